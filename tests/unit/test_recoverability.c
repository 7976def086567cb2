/* From when to when one can go back, what would be lost now, how long it takes. On SQLite. */
#include "engine/recoverability.h"
#include "core/auto.h"
#include "core/clock.h"
#include "engine/health.h"
#include "tests/support/check_main.h"
#include "tests/support/engine.h"
#include "tests/support/stores.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_MS       INT64_C(86400000)
#define TEN_YEARS_MS INT64_C(315360000000)

static struct hf_test_service service;
static struct hf_error err;

static struct hf_recoverability look(void)
{
    struct hf_status status;
    ck_assert(hf_status_collect(service.engine, HF_TEST_NAME, &service.arena, &status));
    return status.recoverability;
}

static void expect_lost(int64_t versions, int64_t bytes)
{
    struct hf_recoverability figures = look();
    ck_assert_int_eq(figures.unsnapshotted_versions, versions);
    ck_assert_int_eq(figures.unsnapshotted_bytes, bytes);
    ck_assert(versions || figures.exposure_ms == 0);
}

static struct hf_drill_row drill(void)
{
    struct hf_drill_row row;
    HF_TEST_OK(hf_drill_run(service.engine, HF_TEST_NAME, &service.arena, &row, &err));
    ck_assert_msg(strcmp(row.status, "passed") == 0, "%s", row.detail);
    return row;
}

START_TEST(what_would_be_lost_is_what_no_snapshot_holds)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "12345");
    hf_test_put(&service, "b", "12");
    expect_lost(2, 7);
    hf_test_put(&service, "a", "12345"); /* unchanged */
    expect_lost(2, 7);
    hf_test_put(&service, "a", "123");
    expect_lost(3, 5);
    struct hf_snapshot_row full = hf_test_full(&service);
    expect_lost(0, 0);
    hf_test_put(&service, "a", "123"); /* unchanged */
    expect_lost(0, 0);
    hf_test_delete(&service, "b");
    expect_lost(1, 0);
    hf_test_put(&service, "c", "1");
    expect_lost(2, 1);
    hf_test_restore(&service, full.id); /* b is back, c goes */
    expect_lost(4, 2);
    bool unchanged;
    hf_test_incremental(&service, &unchanged);
    expect_lost(0, 0);
    hf_test_register(&service, "promised", "agent", NULL, 60000);
    expect_lost(0, 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_change_that_comes_late_is_not_as_old_as_the_last_snapshot)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    hf_test_full(&service);
    int64_t before_ms = hf_clock_now_ms();
    usleep(30000);
    int64_t changed_ms = hf_clock_now_ms();
    hf_test_put(&service, "a", "2");
    int64_t exposure_ms = look().exposure_ms, after_ms = hf_clock_now_ms();
    ck_assert_int_le(exposure_ms, after_ms - changed_ms);
    ck_assert_int_lt(before_ms, changed_ms);
    hf_test_service_close(&service);
}
END_TEST

/* What changed first at since_ms is exposed that long, whatever came after it. */
static void expect_exposed_since(int64_t since_ms)
{
    int64_t before_ms = hf_clock_now_ms();
    int64_t exposure_ms = look().exposure_ms;
    ck_assert_int_ge(exposure_ms, before_ms - since_ms);
    ck_assert_int_le(exposure_ms, hf_clock_now_ms() - since_ms);
}

static int64_t put_at(const char *component, const char *text)
{
    usleep(30000);
    hf_test_put(&service, component, text);
    return hf_test_system(&service).committed_at_ms;
}

START_TEST(what_is_overwritten_again_and_again_is_exposed_since_the_first_time)
{
    hf_test_service_open(&service, NULL);
    int64_t first_ms = put_at("a", "1");
    put_at("a", "2");
    expect_exposed_since(first_ms);
    hf_test_full(&service);
    int64_t later_ms = put_at("a", "3");
    put_at("a", "4");
    put_at("b", "1");
    expect_exposed_since(later_ms);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_crash_makes_what_is_exposed_no_younger)
{
    hf_test_service_open(&service, NULL);
    int64_t first_ms = put_at("a", "1");
    put_at("a", "2");
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    expect_exposed_since(first_ms);
    hf_test_full(&service);
    int64_t later_ms = put_at("a", "3");
    put_at("a", "4");
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    expect_exposed_since(later_ms);
    put_at("a", "5");
    expect_exposed_since(later_ms);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_snapshot_that_turns_out_damaged_no_longer_protects)
{
    hf_test_service_open(&service, NULL);
    put_at("a", "1");
    hf_test_full(&service);
    int64_t later_ms = put_at("a", "2");
    struct hf_snapshot_row newest = hf_test_full(&service);
    put_at("a", "3");
    HF_TEST_OK(hf_snapshot_mark_damaged(service.engine, HF_TEST_NAME, newest.id, "a test says so", &err));
    expect_exposed_since(later_ms);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_restore_is_a_change_too)
{
    setenv("HOLDFAST_FAULT", "recovery_before_snapshot:error", 1); /* which would hold it */
    hf_test_service_open(&service, NULL);
    put_at("a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    put_at("a", "2");
    hf_test_full(&service);
    usleep(30000);
    hf_test_restore(&service, full.id);
    int64_t restored_ms = hf_test_system(&service).committed_at_ms;
    put_at("a", "3");
    expect_exposed_since(restored_ms);
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

static void *take_full(void *context)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_snapshot_request request = {.system = HF_TEST_NAME, .full = true, .trigger = "manual"};
    struct hf_snapshot_row row;
    struct hf_error own;
    bool unchanged;
    *(bool *)context = hf_snapshot_take(service.engine, &request, &arena, &row, &unchanged, &own);
    return NULL;
}

START_TEST(what_comes_while_a_snapshot_is_made_is_exposed_since_then)
{
    setenv("HOLDFAST_FAULT", "snapshot_before_row:sleep=1000", 1);
    hf_test_service_open(&service, NULL);
    put_at("a", "1");
    pthread_t thread;
    bool taken = false;
    ck_assert_int_eq(pthread_create(&thread, NULL, take_full, &taken), 0);
    while (hf_test_service_count_files(&service, "system-state-backups") == 0)
        usleep(1000);
    int64_t later_ms = put_at("a", "2");
    put_at("a", "3");
    pthread_join(thread, NULL);
    ck_assert(taken);
    ck_assert_int_eq(look().unsnapshotted_versions, 2);
    expect_exposed_since(later_ms);
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

START_TEST(the_range_begins_with_the_oldest_snapshot_or_with_history)
{
    hf_test_service_open(&service, (const char *const[]){"--history", "1", NULL});
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    usleep(5000);
    hf_test_put(&service, "a", "2");
    usleep(5000);
    struct hf_recoverability figures = look();
    int64_t committed_ms = hf_test_system(&service).committed_at_ms;
    ck_assert_int_eq(figures.from_ms, full.cut_at_ms);
    ck_assert_int_eq(figures.history_from_ms, committed_ms); /* history is over, the latest stays */
    ck_assert_int_gt(figures.to_ms, committed_ms);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(versions_that_are_gone_end_history)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    hf_test_put(&service, "b", "1");
    usleep(5000);
    hf_test_put(&service, "a", "2");
    int64_t second_ms = hf_test_system(&service).committed_at_ms;
    usleep(5000);
    hf_test_put(&service, "c", "1");
    ck_assert_int_eq(look().history_from_ms, hf_test_system(&service).created_at_ms);
    hf_test_forget_history(&service);
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    for (int i = 0; i < 6000 && look().history_from_ms != second_ms; i++) /* it is looked up soon */
        usleep(10000);
    ck_assert_int_eq(look().history_from_ms, second_ms);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(nothing_was_measured_before_the_first_drill)
{
    hf_test_service_open(&service, NULL);
    struct hf_status status;
    ck_assert(hf_status_collect(service.engine, NULL, &service.arena, &status));
    ck_assert_int_eq(status.recoverability.from_ms, 0);
    ck_assert_int_eq(status.recoverability.to_ms, 0);
    ck_assert_int_eq(status.recoverability.expected_recovery_ms, -1);
    hf_test_put(&service, "a", "1");
    ck_assert_int_eq(look().expected_recovery_ms, -1);
    ck_assert(!look().has_drill);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_next_drill_is_promised_within_an_interval)
{
    hf_test_service_open(&service, (const char *const[]){"--drill-interval", "315360000000", NULL});
    hf_test_put(&service, "a", "1");
    hf_test_full(&service);
    ck_assert_int_eq(look().next_drill_by_ms, hf_test_system(&service).created_at_ms + TEN_YEARS_MS);
    struct hf_drill_row row = drill();
    ck_assert_int_eq(look().next_drill_by_ms, row.started_at_ms + TEN_YEARS_MS);
    hf_test_service_close(&service);
    hf_test_service_open(&service, (const char *const[]){"--drill-interval", "0", NULL});
    hf_test_put(&service, "a", "1");
    ck_assert_int_eq(look().next_drill_by_ms, 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_drill_says_how_long_it_takes_and_more_bytes_take_longer)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "12345");
    hf_test_full(&service);
    struct hf_drill_row row = drill();
    ck_assert_int_eq(look().expected_recovery_ms, row.duration_ms);
    ck_assert_str_eq(look().last_drill.id, row.id);
    hf_test_put(&service, "b", "1234567890");
    ck_assert_int_eq(look().expected_recovery_ms, row.duration_ms * 3);
    hf_test_delete(&service, "b");
    hf_test_put(&service, "a", "1"); /* less than was tried takes as long: opening a database has its price */
    ck_assert_int_eq(look().expected_recovery_ms, row.duration_ms);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(without_a_drill_the_last_restore_says_it)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "2");
    struct hf_recovery_row restored = hf_test_restore(&service, full.id);
    int64_t took_ms = restored.completed_at_ms - restored.started_at_ms;
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    for (int i = 0; i < 6000 && look().expected_recovery_ms < 0; i++)
        usleep(10000);
    ck_assert_int_eq(look().expected_recovery_ms, took_ms > 0 ? took_ms : 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_promise_is_the_shorter_interval_of_the_system_twice)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    ck_assert_int_eq(look().promised_exposure_ms, 2 * DAY_MS);
    struct hf_system_settings settings = {.backup_interval_ms = -1,
                                          .incremental_interval_ms = 3600000,
                                          .max_retention_hours = -1};
    bool created;
    HF_TEST_OK(hf_system_put(service.engine, HF_TEST_NAME, &settings, &created, &err));
    ck_assert_int_eq(look().promised_exposure_ms, 7200000);
    settings.backup_interval_ms = 600000;
    HF_TEST_OK(hf_system_put(service.engine, HF_TEST_NAME, &settings, &created, &err));
    ck_assert_int_eq(look().promised_exposure_ms, 1200000);
    hf_test_service_close(&service);
}
END_TEST

static const char *lines(bool names)
{
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 1 << 20);
    hf_exposure_write(service.engine, names, &out);
    return hf_arena_strdup(&service.arena, out.data ? out.data : "");
}

START_TEST(a_promise_that_is_not_kept_is_warned_about)
{
    setenv("HOLDFAST_FAULT", "snapshot_write:error", 1); /* no snapshot ever succeeds */
    hf_test_service_open(&service, (const char *const[]){"--incremental-interval", "100", NULL});
    ck_assert_str_eq(lines(true), "");
    hf_test_put(&service, "a", "1");
    for (int i = 0; i < 6000 && !*lines(true); i++)
        usleep(10000);
    ck_assert_ptr_nonnull(strstr(lines(true), "[!]exposure of " HF_TEST_NAME ": "));
    ck_assert_ptr_nonnull(strstr(lines(true), ", promised 200 ms\n"));
    ck_assert_ptr_nonnull(strstr(lines(false), "[!]exposure of 1 system: "));
    ck_assert_ptr_null(strstr(lines(false), HF_TEST_NAME));
    struct hf_status status;
    ck_assert(hf_status_collect(service.engine, NULL, &service.arena, &status));
    ck_assert_int_gt(status.recoverability.overdue_ms, 0);
    ck_assert_int_eq(status.recoverability.promised_exposure_ms, 200);
    ck_assert_str_eq(status.status, "degraded");
    bool told = false;
    for (int i = 0; i < status.warning_count; i++)
        told = told || strstr(status.warnings[i], "in no snapshot yet (system " HF_TEST_NAME "; promised: 200 ms)");
    ck_assert(told);
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

static struct hf_recoverability figures_of(int64_t from_ms, int64_t exposure_ms, int64_t promised_ms, int64_t expected)
{
    return (struct hf_recoverability){.systems = 1,
                                      .from_ms = from_ms,
                                      .history_from_ms = from_ms + 5,
                                      .to_ms = 1000,
                                      .exposure_ms = exposure_ms,
                                      .promised_exposure_ms = promised_ms,
                                      .overdue_ms = exposure_ms - promised_ms,
                                      .unsnapshotted_versions = 2,
                                      .unsnapshotted_bytes = 10,
                                      .expected_recovery_ms = expected};
}

START_TEST(the_service_is_as_its_worst_system)
{
    struct hf_recoverability whole = {0}, one = figures_of(100, 50, 600, 7), two = figures_of(200, 40, 10, 8);
    one.has_drill = two.has_drill = true;
    one.drill_system = "one";
    two.drill_system = "two";
    one.last_drill = (struct hf_drill_row){.status = "passed", .started_at_ms = 5};
    one.next_drill_by_ms = 17;
    two.next_drill_by_ms = 12;
    two.last_drill = (struct hf_drill_row){.status = "failed", .started_at_ms = 9};
    hf_recoverability_add(&whole, &one);
    hf_recoverability_add(&whole, &two);
    ck_assert_int_eq(whole.from_ms, 200);
    ck_assert_int_eq(whole.history_from_ms, 205);
    ck_assert_int_eq(whole.exposure_ms, 40);
    ck_assert_int_eq(whole.promised_exposure_ms, 10);
    ck_assert_int_eq(whole.overdue_ms, 30);
    ck_assert_int_eq(whole.unsnapshotted_versions, 4);
    ck_assert_int_eq(whole.unsnapshotted_bytes, 20);
    ck_assert_int_eq(whole.expected_recovery_ms, 15);
    ck_assert_int_eq(whole.next_drill_by_ms, 12);
    ck_assert_str_eq(whole.drill_system, "two");
    struct hf_recoverability empty = {.systems = 1,
                                      .promised_exposure_ms = 600,
                                      .overdue_ms = -600,
                                      .expected_recovery_ms = -1};
    hf_recoverability_add(&whole, &empty);
    ck_assert_int_eq(whole.from_ms, 200);
    ck_assert_int_eq(whole.to_ms, 1000);
    ck_assert_int_eq(whole.expected_recovery_ms, -1); /* one of them was never measured */
    ck_assert_str_eq(whole.drill_system, "two");
}
END_TEST

HF_TEST_MAIN("recoverability", what_would_be_lost_is_what_no_snapshot_holds,
             a_change_that_comes_late_is_not_as_old_as_the_last_snapshot,
             what_is_overwritten_again_and_again_is_exposed_since_the_first_time,
             a_crash_makes_what_is_exposed_no_younger, a_snapshot_that_turns_out_damaged_no_longer_protects,
             a_restore_is_a_change_too, what_comes_while_a_snapshot_is_made_is_exposed_since_then,
             the_range_begins_with_the_oldest_snapshot_or_with_history, versions_that_are_gone_end_history,
             nothing_was_measured_before_the_first_drill, the_next_drill_is_promised_within_an_interval,
             a_drill_says_how_long_it_takes_and_more_bytes_take_longer, without_a_drill_the_last_restore_says_it,
             the_promise_is_the_shorter_interval_of_the_system_twice, a_promise_that_is_not_kept_is_warned_about,
             the_service_is_as_its_worst_system);
