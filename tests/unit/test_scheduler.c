#include "engine/scheduler.h"

#include "core/auto.h"
#include "core/clock.h"
#include "tests/support/engine.h"

#include "tests/support/check_main.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static struct hf_test_service service;

struct tally {
    int fulls, incrementals, scheduled;
};

static bool count_row(void *context, const struct hf_snapshot_row *row)
{
    struct tally *tally = context;
    tally->scheduled += strcmp(row->trigger, "schedule") == 0;
    if (strcmp(row->kind, "full") == 0)
        tally->fulls++;
    else
        tally->incrementals++;
    return true;
}

static struct tally count_snapshots(void)
{
    struct tally tally = {0};
    struct hf_session *session;
    struct hf_error err;
    ck_assert_msg(hf_sessions_take(service.engine->sessions, &session, &err), "%s", err.text);
    ck_assert(hf_snapshots_list(session, hf_test_system(&service).id, NULL, INT64_MAX, "", INT64_MAX, count_row, &tally,
                                &err));
    hf_sessions_give(service.engine->sessions, session);
    return tally;
}

START_TEST(fulls_and_incrementals_are_taken_by_themselves_while_something_changes)
{
    const char *const flags[] = {"--backup-interval", "1500", "--incremental-interval", "200", NULL};
    hf_test_service_open(&service, flags);
    struct tally tally = {0};
    for (int i = 0; i < 600 && (tally.fulls < 2 || tally.incrementals < 2); i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        hf_test_put(&service, "a", text);
        usleep(30000);
        tally = count_snapshots();
    }
    ck_assert_int_ge(tally.fulls, 2);
    ck_assert_int_ge(tally.incrementals, 2);
    ck_assert_int_eq(tally.scheduled, tally.fulls + tally.incrementals);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(nothing_is_taken_where_nothing_changes)
{
    const char *const flags[] = {"--backup-interval", "1200", "--incremental-interval", "150", NULL};
    hf_test_service_open(&service, flags);
    hf_test_put(&service, "a", "1");
    for (int i = 0; i < 500 && count_snapshots().fulls == 0; i++)
        usleep(20000);
    struct tally before = count_snapshots();
    ck_assert_int_eq(before.fulls, 1);
    usleep(2500000); /* two fulls and many incrementals would be due */
    struct tally after = count_snapshots();
    ck_assert_int_eq(after.fulls, 1);
    ck_assert_int_eq(after.incrementals, 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_next_times_follow_the_last_snapshot_also_after_a_restart)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    struct hf_schedule young = hf_scheduler_next(service.engine, HF_TEST_NAME);
    ck_assert_int_eq(young.next_full_at_ms, hf_test_system(&service).created_at_ms + 86400000);
    struct hf_snapshot_row full = hf_test_full(&service);
    int64_t due_ms = full.cut_at_ms + 86400000;
    struct hf_schedule next = {0};
    for (int i = 0; i < 500 && next.next_full_at_ms != due_ms; i++) {
        next = hf_scheduler_next(service.engine, HF_TEST_NAME);
        usleep(10000);
    }
    ck_assert_int_eq(next.next_full_at_ms, due_ms);
    ck_assert_int_eq(next.next_incremental_at_ms, due_ms);
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    next = (struct hf_schedule){0};
    for (int i = 0; i < 500 && next.next_full_at_ms != due_ms; i++) {
        next = hf_scheduler_next(service.engine, HF_TEST_NAME);
        usleep(10000);
    }
    ck_assert_int_eq(next.next_full_at_ms, due_ms);
    struct hf_schedule unknown = hf_scheduler_next(service.engine, "nobody");
    ck_assert_int_eq(unknown.next_full_at_ms, 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_change_of_the_intervals_holds_at_once)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    int64_t since_ms = hf_test_full(&service).cut_at_ms;
    while (hf_scheduler_next(service.engine, HF_TEST_NAME).next_full_at_ms != since_ms + 86400000)
        usleep(10000); /* until the scheduler has seen it */
    for (int minutes = 1; minutes <= 3; minutes++) {
        struct hf_system_settings settings = {.backup_interval_ms = minutes * 120000,
                                              .incremental_interval_ms = minutes * 60000,
                                              .max_retention_hours = -1};
        struct hf_error err;
        bool created;
        ck_assert_msg(hf_system_put(service.engine, HF_TEST_NAME, &settings, &created, &err), "%s", err.text);
        struct hf_schedule next = hf_scheduler_next(service.engine, HF_TEST_NAME);
        ck_assert_int_eq(next.next_full_at_ms, since_ms + minutes * 120000);
        ck_assert_int_eq(next.next_incremental_at_ms, since_ms + minutes * 60000);
    }
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_silent_component_is_told_of_once_and_once_more_when_it_is_back)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    hf_test_register(&service, "a", "agent", NULL, 100);
    int64_t system_id = hf_test_system(&service).id;
    int stale = 0;
    for (int i = 0; i < 10 && !stale; i++)
        stale = hf_test_count_events(&service, system_id, "component.stale");
    ck_assert_int_eq(stale, 1);
    usleep(1300000); /* another look */
    ck_assert_int_eq(hf_test_count_events(&service, system_id, "component.stale"), 1);

    int back = 0;
    for (int i = 0; i < 300 && !back; i++) { /* heard of again, until the scheduler has looked */
        ck_assert(hf_catalog_heartbeat(service.engine->catalog, HF_TEST_NAME, "a", 1, NULL, NULL, hf_clock_now_ms()));
        usleep(50000);
        if (i % 20 == 19)
            back = hf_test_count_events(&service, system_id, "component.recovered");
    }
    ck_assert_int_eq(back, 1);
    hf_test_service_close(&service);
}
END_TEST

static void count_tick(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

START_TEST(the_tick_is_called_again_and_again)
{
    static atomic_int ticks;
    hf_test_service_open(&service, NULL);
    hf_scheduler_on_tick(service.engine->scheduler, count_tick, &ticks);
    for (int i = 0; i < 1000 && atomic_load(&ticks) < 2; i++)
        usleep(10000);
    ck_assert_int_ge(atomic_load(&ticks), 2);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("scheduler", fulls_and_incrementals_are_taken_by_themselves_while_something_changes,
             nothing_is_taken_where_nothing_changes, the_next_times_follow_the_last_snapshot_also_after_a_restart,
             a_change_of_the_intervals_holds_at_once, a_silent_component_is_told_of_once_and_once_more_when_it_is_back,
             the_tick_is_called_again_and_again);
