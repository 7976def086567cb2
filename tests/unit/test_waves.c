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

START_TEST(what_has_no_wave_passes_the_order_on)
{
    const char *const on_base[] = {"base"}, *const on_one[] = {"one"}, *const on_two_and_base[] = {"two", "base"};
    struct hf_wave_node nodes[] = {
        {.name = "top", .depends_on = on_two_and_base, .depends_on_count = 2},
        {.name = "base", .depends_on = none},
        {.name = "beside", .depends_on = none},
        {.name = "one", .depends_on = on_base, .depends_on_count = 1, .passes = true},
        {.name = "two", .depends_on = on_one, .depends_on_count = 1, .passes = true},
    };
    int waves;
    ck_assert(hf_waves_assign(nodes, 5, &waves));
    ck_assert_int_eq(waves, 2);
    ck_assert_int_eq(nodes[0].wave, 1);
    ck_assert_int_eq(nodes[1].wave, 0);
    ck_assert_int_eq(nodes[2].wave, 0);
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

/* Any number of generated systems, each an order of dependencies hidden in random names. */
START_TEST(no_component_comes_before_what_it_depends_on)
{
    enum { COUNT = 10000, EDGES_MAX = 6 };
    char(*names)[16] = hf_alloc(COUNT * sizeof(*names));
    const char *(*dependencies)[EDGES_MAX] = hf_alloc(COUNT * sizeof(*dependencies));
    int(*targets)[EDGES_MAX] = hf_alloc(COUNT * sizeof(*targets));
    int *place = hf_alloc(COUNT * sizeof(*place)); /* the hidden order -> index */
    struct hf_wave_node *nodes = hf_alloc(COUNT * sizeof(*nodes));
    for (unsigned seed = 1; seed <= 5; seed++) {
        unsigned state = seed;
        for (int i = 0; i < COUNT; i++) {
            snprintf(names[i], sizeof(names[i]), "n%u-%d", seed, i);
            int other = i ? rand_r(&state) % (i + 1) : 0;
            place[i] = place[other];
            place[other] = i;
        }
        for (int o = 0; o < COUNT; o++) {
            int i = place[o], count = o ? rand_r(&state) % (EDGES_MAX + 1) : 0;
            int reach = seed % 2 ? o : o < 50 ? o : 50; /* broad ones and deep ones */
            for (int d = 0; d < count; d++) {
                targets[i][d] = place[o - 1 - rand_r(&state) % reach];
                dependencies[i][d] = names[targets[i][d]];
            }
            nodes[i] = (struct hf_wave_node){names[i], dependencies[i], count, -1};
        }
        int waves, last = 0;
        ck_assert(hf_waves_assign(nodes, COUNT, &waves));
        for (int i = 0; i < COUNT; i++) {
            int latest = -1;
            for (int d = 0; d < nodes[i].depends_on_count; d++)
                if (nodes[targets[i][d]].wave > latest)
                    latest = nodes[targets[i][d]].wave;
            ck_assert_int_eq(nodes[i].wave, latest + 1); /* neither before its dependencies nor later than it could */
            last = nodes[i].wave > last ? nodes[i].wave : last;
        }
        ck_assert_int_eq(waves, last + 1);
    }
    free(names);
    free(dependencies);
    free(targets);
    free(place);
    free(nodes);
}
END_TEST

HF_TEST_MAIN("waves", nothing_has_no_waves, independent_components_share_the_first_wave,
             a_component_follows_its_latest_dependency, dependencies_outside_the_set_are_ignored,
             what_has_no_wave_passes_the_order_on, a_cycle_is_broken_into_one_last_wave,
             a_component_that_depends_on_itself_is_a_cycle, a_long_chain_gets_one_wave_each,
             no_component_comes_before_what_it_depends_on);
