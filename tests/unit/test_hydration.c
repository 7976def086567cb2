/* Clients report how their components came up; the last report, or the time, ends the recovery. */
#include "engine/hydration.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "tests/support/engine.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CLIENTS 100

static struct hf_test_service service;
static struct hf_error err;

static void open_with_three(const char *timeout_ms)
{
    const char *const flags[] = {timeout_ms ? "--recovery-timeout" : NULL, timeout_ms, NULL};
    hf_test_service_open(&service, flags);
    hf_test_put(&service, "base", "1");
    hf_test_put(&service, "agent", "2");
    hf_test_put(&service, "judge", "3");
    hf_test_register(&service, "agent", "agent", "base", 0);
}

static char *recover(const char *source, const char *snapshot, bool dry_run)
{
    struct hf_recovery_row row;
    struct hf_recovery_request request = {.system = HF_TEST_NAME,
                                          .source = source,
                                          .snapshot = snapshot,
                                          .dry_run = dry_run};
    ck_assert_msg(hf_recovery_run(service.engine, &request, &service.arena, &row, &err), "%s", err.text);
    return hf_arena_strdup(&service.arena, row.id);
}

static bool report_with(const char *recovery, const char *component, const char *status, const char *detail,
                        int64_t duration_ms, struct hf_hydration_receipt *out)
{
    const struct hf_hydration_report report = {HF_TEST_NAME, recovery, component, status, detail, duration_ms};
    return hf_hydration_report(service.engine, &report, &service.arena, out, &err);
}

/* The status of the recovery after the report. */
static const char *report(const char *recovery, const char *component, const char *status)
{
    static struct hf_hydration_receipt receipt;
    ck_assert_msg(report_with(recovery, component, status, "", 5, &receipt), "%s: %s", component, err.text);
    ck_assert_str_eq(receipt.row.status, status);
    return receipt.recovery_status;
}

static struct hf_recovery_row stored(const char *id)
{
    struct hf_recovery_row row;
    struct hf_session *session;
    bool found = false;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_recoveries_get(session, hf_test_system(&service).id, id, &service.arena, &row, &found, &err));
    hf_sessions_give(service.engine->sessions, session);
    ck_assert(found);
    return row;
}

static int count_events(const char *type)
{
    return hf_test_count_events(&service, hf_test_system(&service).id, type);
}

static bool keep_data(void *context, const struct hf_event_row *row)
{
    if (strcmp(row->type, "recovery.failed") == 0)
        *(const char **)context = hf_arena_strdup(&service.arena, row->data);
    return true;
}

/* Data of the last event recovery.failed. */
static const char *failure_data(void)
{
    const char *data = "";
    struct hf_session *session;
    ck_assert_int_ge(count_events("recovery.failed"), 1);
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_events_list(session, hf_test_system(&service).id, NULL, 0, 1000, keep_data, &data, &err));
    hf_sessions_give(service.engine->sessions, session);
    return data;
}

static const char *wait_for_end(const char *id)
{
    for (int i = 0; i < 3000; i++) {
        const char *status = stored(id).status;
        if (strcmp(status, "pending") != 0 && strcmp(status, "applied") != 0)
            return status;
        usleep(20000);
    }
    ck_abort_msg("it never ended");
}

START_TEST(a_start_is_completed_when_all_have_reported)
{
    open_with_three(NULL);
    const char *id = recover("head", NULL, false);
    ck_assert_str_eq(stored(id).status, "pending");
    ck_assert_int_eq(stored(id).completed_at_ms, 0);
    ck_assert_str_eq(report(id, "base", "restored"), "pending");
    ck_assert_str_eq(report(id, "agent", "fresh"), "pending");
    ck_assert_str_eq(report(id, "judge", "restored"), "completed");
    ck_assert_str_eq(stored(id).status, "completed");
    ck_assert_int_gt(stored(id).completed_at_ms, 0);
    ck_assert_int_eq(count_events("recovery.completed"), 1);
    ck_assert_int_eq(count_events("recovery.failed"), 0);
    ck_assert_int_eq(hf_test_system(&service).epoch, 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(one_failed_component_fails_it_with_its_name)
{
    open_with_three(NULL);
    const char *id = recover("head", NULL, false);
    report(id, "base", "restored");
    ck_assert_str_eq(report(id, "agent", "failed"), "pending"); /* the others are still waited for */
    ck_assert_str_eq(report(id, "judge", "restored"), "failed");
    ck_assert_str_eq(stored(id).status, "failed");
    ck_assert_ptr_nonnull(strstr(failure_data(), "\"failedComponents\":[\"agent\"]"));
    ck_assert_int_eq(count_events("recovery.completed"), 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_report_may_come_again_and_be_replaced_until_the_end)
{
    open_with_three(NULL);
    const char *id = recover("head", NULL, false);
    struct hf_hydration_receipt first, again;
    ck_assert(report_with(id, "agent", "failed", "no disk", 9, &first));
    usleep(3000);
    ck_assert(report_with(id, "agent", "failed", "no disk", 9, &again));
    ck_assert_int_eq(again.row.reported_at_ms, first.row.reported_at_ms);
    report(id, "agent", "restored");
    report(id, "base", "restored");
    ck_assert_str_eq(report(id, "judge", "restored"), "completed");
    ck_assert_str_eq(report(id, "judge", "restored"), "completed"); /* the same, after the end */
    ck_assert(!report_with(id, "judge", "failed", "", 5, &again));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    ck_assert(!report_with(id, "judge", "restored", "other words", 5, &again));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    ck_assert_str_eq(stored(id).status, "completed");
    ck_assert_int_eq(count_events("recovery.completed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_is_not_waited_for_is_refused)
{
    struct hf_hydration_receipt receipt;
    open_with_three(NULL);
    const char *id = recover("head", NULL, false), *plan = recover("head", NULL, true);
    ck_assert(!report_with("rec-none", "base", "restored", "", -1, &receipt));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert(!report_with(id, "stranger", "restored", "", -1, &receipt));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert(!report_with(plan, "base", "restored", "", -1, &receipt));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    ck_assert_str_eq(stored(plan).status, "planned");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(only_named_components_are_waited_for)
{
    static const char *const names[] = {"agent"};
    struct hf_hydration_receipt receipt;
    struct hf_recovery_row row;
    open_with_three(NULL);
    const struct hf_recovery_request request = {.system = HF_TEST_NAME,
                                                .source = "head",
                                                .components = names,
                                                .component_count = 1};
    ck_assert(hf_recovery_run(service.engine, &request, &service.arena, &row, &err));
    ck_assert(!report_with(row.id, "base", "restored", "", -1, &receipt));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert_str_eq(report(row.id, "agent", "restored"), "completed");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_start_of_nothing_is_completed_at_once)
{
    open_with_three(NULL);
    hf_test_delete(&service, "base");
    hf_test_delete(&service, "agent");
    hf_test_delete(&service, "judge");
    const char *id = recover("head", NULL, false);
    ck_assert_str_eq(stored(id).status, "completed");
    ck_assert_int_eq(count_events("recovery.completed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_restore_that_is_reported_to_is_completed_too)
{
    open_with_three(NULL);
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "agent", "22");
    hf_test_put(&service, "later", "1");
    const char *id = recover("snapshot", full.id, false);
    struct hf_hydration_receipt receipt;
    ck_assert(!report_with(id, "later", "restored", "", -1, &receipt)); /* it is gone */
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert_str_eq(report(id, "agent", "restored"), "applied");
    ck_assert_str_eq(report(id, "base", "restored"), "applied");
    ck_assert_str_eq(report(id, "judge", "restored"), "completed");
    ck_assert_str_eq(stored(id).status, "completed");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(an_applied_plan_is_reported_to)
{
    open_with_three(NULL);
    struct hf_snapshot_row full = hf_test_full(&service);
    const char *id = recover("snapshot", full.id, true);
    struct hf_recovery_row plan, row;
    struct hf_recovery_request request;
    ck_assert(hf_recovery_read_plan(service.engine, HF_TEST_NAME, id, &service.arena, &plan, &request, &err));
    ck_assert_msg(hf_recovery_run(service.engine, &request, &service.arena, &row, &err), "%s", err.text);
    ck_assert_str_eq(report(id, "agent", "failed"), "applied");
    report(id, "base", "restored");
    ck_assert_str_eq(report(id, "judge", "restored"), "failed");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(who_is_silent_for_too_long_fails_it_by_name)
{
    open_with_three("300");
    const char *id = recover("head", NULL, false);
    report(id, "base", "restored");
    ck_assert_str_eq(wait_for_end(id), "failed");
    ck_assert_ptr_nonnull(strstr(failure_data(), "\"silentComponents\":[\"agent\",\"judge\"]"));
    struct hf_hydration_receipt receipt;
    ck_assert(!report_with(id, "agent", "restored", "", 5, &receipt));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_restore_waits_only_when_somebody_has_reported)
{
    open_with_three("300");
    struct hf_snapshot_row full = hf_test_full(&service);
    const char *untold = recover("snapshot", full.id, false);
    const char *told = recover("snapshot", full.id, false);
    const char *start = recover("head", NULL, false);
    report(told, "base", "restored");
    ck_assert_str_eq(wait_for_end(told), "failed");
    ck_assert_str_eq(wait_for_end(start), "failed");
    ck_assert_str_eq(stored(untold).status, "applied");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(zero_waits_for_ever)
{
    open_with_three("0");
    const char *id = recover("head", NULL, false);
    hf_hydration_time_out(service.engine);
    usleep(50000);
    hf_hydration_time_out(service.engine);
    ck_assert_str_eq(stored(id).status, "pending");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_recovery_that_was_open_at_a_crash_is_timed_out_afterwards)
{
    open_with_three("1500");
    const char *id = recover("head", NULL, false);
    report(id, "base", "restored");
    ck_assert_str_eq(stored(id).status, "pending");
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    ck_assert_str_eq(wait_for_end(id), "failed");
    ck_assert_ptr_nonnull(strstr(failure_data(), "\"silentComponents\":[\"agent\",\"judge\"]"));
    hf_test_service_close(&service);
}
END_TEST

struct client {
    pthread_t thread;
    char name[8];
    const char *recovery;
    bool ok, ended;
};

static void *report_as_client(void *context)
{
    struct client *client = context;
    struct hf_arena arena;
    struct hf_error failure;
    struct hf_hydration_receipt receipt;
    hf_arena_init(&arena);
    const struct hf_hydration_report told = {HF_TEST_NAME, client->recovery, client->name, "restored", "", 1};
    client->ok = hf_hydration_report(service.engine, &told, &arena, &receipt, &failure);
    client->ended = client->ok && strcmp(receipt.recovery_status, "completed") == 0;
    hf_arena_done(&arena);
    return NULL;
}

START_TEST(a_hundred_clients_at_once_end_it_once)
{
    static struct client clients[CLIENTS];
    hf_test_service_open(&service, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(clients[i].name, sizeof(clients[i].name), "c%02d", i);
        hf_test_put(&service, clients[i].name, "1");
    }
    const char *id = recover("head", NULL, false);
    int ended = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].recovery = id;
        ck_assert_int_eq(pthread_create(&clients[i].thread, NULL, report_as_client, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        ck_assert(clients[i].ok);
        ended += clients[i].ended;
    }
    ck_assert_int_eq(ended, 1);
    ck_assert_str_eq(stored(id).status, "completed");
    ck_assert_int_eq(count_events("recovery.completed"), 1);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("hydration", a_start_is_completed_when_all_have_reported, one_failed_component_fails_it_with_its_name,
             a_report_may_come_again_and_be_replaced_until_the_end, what_is_not_waited_for_is_refused,
             only_named_components_are_waited_for, a_start_of_nothing_is_completed_at_once,
             a_restore_that_is_reported_to_is_completed_too, an_applied_plan_is_reported_to,
             who_is_silent_for_too_long_fails_it_by_name, a_restore_waits_only_when_somebody_has_reported,
             zero_waits_for_ever, a_recovery_that_was_open_at_a_crash_is_timed_out_afterwards,
             a_hundred_clients_at_once_end_it_once);
