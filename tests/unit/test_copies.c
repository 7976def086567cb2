/* Where copies lie is remembered for several systems and families at a time, and for no more than there is room for. */
#include "engine/copies.h"

#include "core/clock.h"
#include "tests/support/forks.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define FAMILIES   10 /* more than are remembered */
#define REMEMBERED 8
#define BYTES_MAX  (24 << 20)
#define SOON_NS    (10 * HF_SECOND_NS) /* well before anything is read again because of its age */

static struct hf_test_service service;
static struct hf_error err;
static int64_t origins[FAMILIES], forks[FAMILIES];

/* Each an origin with one state, and its fork, which shares it. */
static void open_with_families(void)
{
    hf_test_service_open(&service, NULL);
    for (int i = 0; i < FAMILIES; i++) {
        char origin[24], fork[24], text[24];
        struct hf_system_info info;
        snprintf(origin, sizeof(origin), "origin-%d", i);
        snprintf(fork, sizeof(fork), "fork-%d", i);
        snprintf(text, sizeof(text), "{\"of\":%d}", i);
        hf_test_put_in(&service, origin, "a", text);
        forks[i] = hf_test_fork(&service, origin, fork, hf_test_now()).system.id;
        ck_assert(hf_catalog_read_system(service.engine->catalog, origin, &info));
        origins[i] = info.id;
    }
}

/* The fork asks for what its origin has; true: nothing had to be read for that. */
static bool is_remembered(int family)
{
    char text[24];
    struct hf_hash hash;
    struct hf_copy_place places[4];
    snprintf(text, sizeof(text), "{\"of\":%d}", family);
    hf_hash_of(text, strlen(text), &hash);
    const struct hf_copies_wanted wanted = {forks[family], true, &hash, HF_HEAL_THOROUGH, NULL};
    int64_t readings = hf_copies_usage(service.engine).readings;
    int count = hf_copies_find(service.engine, &wanted, places, 4, &err);
    ck_assert_msg(err.code == HF_OK, "%s", err.text);
    ck_assert_int_gt(count, 0);
    ck_assert_int_eq(places[0].system_id, origins[family]);
    return hf_copies_usage(service.engine).readings == readings;
}

/* Runs check until it was quick enough for nothing to be too old; counts what had to be read in that run. */
static int64_t count_readings(void (*check)(void))
{
    for (;;) {
        uint64_t begun_ns = hf_clock_monotonic_ns();
        int64_t readings = hf_copies_usage(service.engine).readings;
        check();
        if (hf_clock_monotonic_ns() - begun_ns < SOON_NS)
            return hf_copies_usage(service.engine).readings - readings;
    }
}

static void alternate(void)
{
    hf_copies_changed(service.engine);
    hf_copies_forget_missed(service.engine);
    for (int round = 0; round < 5; round++) {
        (void)is_remembered(0);
        (void)is_remembered(1);
    }
}

START_TEST(of_two_families_that_are_asked_for_in_turn_each_is_read_once)
{
    open_with_families();
    ck_assert_int_eq(count_readings(alternate), 2);
    hf_test_service_close(&service);
}
END_TEST

static bool first_stayed, second_stayed;

static void ask_for_all(void)
{
    hf_copies_changed(service.engine);
    hf_copies_forget_missed(service.engine);
    for (int i = 0; i < REMEMBERED; i++)
        (void)is_remembered(i);
    (void)is_remembered(0);
    (void)is_remembered(REMEMBERED); /* takes the place of the one that nobody has asked for the longest */
    first_stayed = is_remembered(0);
    second_stayed = is_remembered(1);
}

START_TEST(no_more_than_a_few_are_remembered_and_the_last_that_were_asked_for_stay)
{
    open_with_families();
    ck_assert_int_eq(count_readings(ask_for_all), REMEMBERED + 2);
    ck_assert(first_stayed);
    ck_assert(!second_stayed);
    for (int i = 0; i < FAMILIES; i++)
        (void)is_remembered(i);
    struct hf_copies_usage usage = hf_copies_usage(service.engine);
    ck_assert_int_eq(usage.remembered, REMEMBERED);
    ck_assert_int_gt(usage.bytes, 0);
    ck_assert_int_le(usage.bytes, BYTES_MAX);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_new_snapshot_is_read_about_the_next_time)
{
    open_with_families();
    (void)is_remembered(0);
    hf_test_full_of(&service, "origin-0");
    hf_copies_forget_missed(service.engine);
    ck_assert(!is_remembered(0));
    hf_test_service_close(&service);
}
END_TEST

#define ENTRIES     4 /* of one, and of all others together */
#define FEW         5 /* families: each has its row, and its body in memory */
#define OF_TWO      2 /* families have as many as there is room for */
#define ENTRY_BYTES 24

static void limit_entries(void)
{
    hf_copies_free(service.engine->copies);
    service.engine->copies = hf_copies_new(ENTRIES);
}

static bool stayed[FEW];

static void ask_for_few(void)
{
    hf_copies_changed(service.engine);
    hf_copies_forget_missed(service.engine);
    for (int i = 0; i < FEW; i++) {
        (void)is_remembered(i);
        ck_assert_int_le(hf_copies_usage(service.engine).bytes, (int64_t)2 * ENTRIES * ENTRY_BYTES);
    }
    for (int i = FEW - 1; i >= FEW - 1 - OF_TWO; i--)
        stayed[i] = is_remembered(i);
    stayed[0] = is_remembered(0);
}

START_TEST(when_the_room_is_full_those_that_nobody_has_asked_for_the_longest_make_place)
{
    open_with_families();
    limit_entries();
    (void)is_remembered(0);
    ck_assert_int_eq(hf_copies_usage(service.engine).bytes, (int64_t)2 * ENTRY_BYTES);
    ck_assert_int_eq(count_readings(ask_for_few), FEW + 1);
    for (int i = FEW - 1; i >= FEW - 1 - OF_TWO; i--)
        ck_assert_msg(stayed[i], "%d", i);
    ck_assert(!stayed[0]);
    hf_test_service_close(&service);
}
END_TEST

static int find_of_first(const char *text, struct hf_copy_place *places, int limit)
{
    struct hf_hash hash;
    hf_hash_of(text, strlen(text), &hash);
    const struct hf_copies_wanted wanted = {forks[0], true, &hash, HF_HEAL_THOROUGH, NULL};
    return hf_copies_find(service.engine, &wanted, places, limit, &err);
}

START_TEST(a_family_that_has_more_than_there_is_room_for_is_searched_in_part_and_says_so)
{
    struct hf_copy_place places[4];
    open_with_families();
    limit_entries();
    for (int i = 0; i < 3; i++) { /* the same again takes no room */
        hf_test_full_of(&service, "origin-0");
    }
    ck_assert_int_eq(find_of_first("{\"of\":0}", places, 4), 3);
    ck_assert_msg(err.code == HF_OK, "%s", err.text);
    hf_test_put_in(&service, "origin-0", "b", "{\"more\":1}");
    hf_test_put_in(&service, "origin-0", "c", "{\"more\":2}");
    hf_copies_changed(service.engine);
    hf_copies_forget_missed(service.engine);
    ck_assert_int_gt(find_of_first("{\"of\":0}", places, 4), 0);
    ck_assert_int_eq(err.code, HF_OVERLOADED);
    ck_assert_int_le(hf_copies_usage(service.engine).bytes, (int64_t)ENTRIES * ENTRY_BYTES);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(places_are_given_in_order_and_any_number_at_a_time)
{
    struct hf_copy_place all[4], one = {0};
    struct hf_hash hash;
    open_with_families();
    hf_test_full_of(&service, "origin-0");
    ck_assert_int_eq(find_of_first("{\"of\":0}", all, 4), 3);
    hf_hash_of("{\"of\":0}", 8, &hash);
    struct hf_copies_wanted wanted = {forks[0], true, &hash, HF_HEAL_THOROUGH, NULL};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(hf_copies_find(service.engine, &wanted, &one, 1, &err), 1);
        ck_assert_int_eq(one.system_id, all[i].system_id);
        ck_assert_int_eq(one.sequence, all[i].sequence);
        wanted.after = &one;
    }
    ck_assert_int_eq(hf_copies_find(service.engine, &wanted, &one, 1, &err), 0);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("copies", of_two_families_that_are_asked_for_in_turn_each_is_read_once,
             no_more_than_a_few_are_remembered_and_the_last_that_were_asked_for_stay,
             a_new_snapshot_is_read_about_the_next_time,
             when_the_room_is_full_those_that_nobody_has_asked_for_the_longest_make_place,
             a_family_that_has_more_than_there_is_room_for_is_searched_in_part_and_says_so,
             places_are_given_in_order_and_any_number_at_a_time);
