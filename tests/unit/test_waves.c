#include "engine/waves.h"

#include "core/auto.h"

#include "tests/support/check_main.h"

#include <stdio.h>

static const char *const none[1] = {NULL};

START_TEST(nothing_has_no_waves)
{
    int waves = 7;
    ck_assert(hf_waves_assign(NULL, 0, &waves));
    ck_assert_int_eq(waves, 0);
}
END_TEST

START_TEST(independent_components_share_the_first_wave)
{
    struct hf_wave_node nodes[] = {{"a", none, 0, 9}, {"b", none, 0, 9}, {"c", none, 0, 9}};
    int waves;
    ck_assert(hf_waves_assign(nodes, 3, &waves));
    ck_assert_int_eq(waves, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(nodes[i].wave, 0);
}
END_TEST

START_TEST(a_component_follows_its_latest_dependency)
{
    const char *const on_a[] = {"a"};
    const char *const on_both[] = {"a", "b"};
    struct hf_wave_node nodes[] = {{"c", on_both, 2, 0}, {"b", on_a, 1, 0}, {"a", none, 0, 0}, {"d", on_a, 1, 0}};
    int waves;
    ck_assert(hf_waves_assign(nodes, 4, &waves));
    ck_assert_int_eq(waves, 3);
    ck_assert_int_eq(nodes[0].wave, 2);
    ck_assert_int_eq(nodes[1].wave, 1);
    ck_assert_int_eq(nodes[2].wave, 0);
    ck_assert_int_eq(nodes[3].wave, 1);
}
END_TEST

START_TEST(dependencies_outside_the_set_are_ignored)
{
    const char *const on_missing[] = {"not-here", "a", "a"};
    struct hf_wave_node nodes[] = {{"b", on_missing, 3, 0}, {"a", on_missing, 1, 0}};
    int waves;
    ck_assert(hf_waves_assign(nodes, 2, &waves));
    ck_assert_int_eq(waves, 2);
    ck_assert_int_eq(nodes[0].wave, 1);
    ck_assert_int_eq(nodes[1].wave, 0);
}
END_TEST

START_TEST(a_cycle_is_broken_into_one_last_wave)
{
    const char *const on_a[] = {"a"}, *const on_b[] = {"b"}, *const on_c[] = {"c"};
    struct hf_wave_node nodes[] = {
        {"a", on_b, 1, 0}, {"b", on_a, 1, 0}, {"behind", on_a, 1, 0}, {"c", none, 0, 0}, {"d", on_c, 1, 0}};
    int waves;
    ck_assert(!hf_waves_assign(nodes, 5, &waves));
    ck_assert_int_eq(waves, 3);
    ck_assert_int_eq(nodes[0].wave, 2);
    ck_assert_int_eq(nodes[1].wave, 2);
    ck_assert_int_eq(nodes[2].wave, 2);
    ck_assert_int_eq(nodes[3].wave, 0);
    ck_assert_int_eq(nodes[4].wave, 1);
}
END_TEST

START_TEST(a_component_that_depends_on_itself_is_a_cycle)
{
    const char *const on_a[] = {"a"};
    struct hf_wave_node nodes[] = {{"a", on_a, 1, 0}};
    int waves;
    ck_assert(!hf_waves_assign(nodes, 1, &waves));
    ck_assert_int_eq(waves, 1);
    ck_assert_int_eq(nodes[0].wave, 0);
}
END_TEST

START_TEST(a_long_chain_gets_one_wave_each)
{
    enum { LENGTH = 20000 };
    HF_AUTO(free) struct hf_wave_node *nodes = hf_alloc(LENGTH * sizeof(*nodes));
    char(*names)[16] = hf_alloc(LENGTH * sizeof(*names));
    const char **dependencies = hf_alloc(LENGTH * sizeof(*dependencies));
    for (int i = 0; i < LENGTH; i++) {
        snprintf(names[i], sizeof(names[i]), "n%d", i);
        dependencies[i] = i > 0 ? names[i - 1] : NULL;
        nodes[i] = (struct hf_wave_node){names[i], &dependencies[i], i > 0, 0};
    }
    int waves;
    ck_assert(hf_waves_assign(nodes, LENGTH, &waves));
    ck_assert_int_eq(waves, LENGTH);
    for (int i = 0; i < LENGTH; i++)
        ck_assert_int_eq(nodes[i].wave, i);
    free(names);
    free(dependencies);
}
END_TEST

HF_TEST_MAIN("waves", nothing_has_no_waves, independent_components_share_the_first_wave,
             a_component_follows_its_latest_dependency, dependencies_outside_the_set_are_ignored,
             a_cycle_is_broken_into_one_last_wave, a_component_that_depends_on_itself_is_a_cycle,
             a_long_chain_gets_one_wave_each);
