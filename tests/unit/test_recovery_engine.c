#include "core/clock.h"
#include "core/auto.h"
#include "core/json.h"
#include "tests/support/engine.h"
#include "tests/support/recoveries.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct hf_test_service service;
static struct hf_error err;

/* The wave of a component, its object in *out; -1 when it is in none. */
static int find_in_waves(const json_t *detail, const char *component, const json_t **out)
{
    const json_t *waves = json_object_get(detail, "waves");
    for (size_t w = 0; w < json_array_size(waves); w++) {
        const json_t *wave = json_array_get(waves, w);
        for (size_t i = 0; i < json_array_size(wave); i++) {
            const json_t *item = json_array_get(wave, i);
            if (strcmp(json_string_value(json_object_get(item, "component")), component) == 0) {
                if (out)
                    *out = item;
                return (int)w;
            }
        }
    }
    return -1;
}

static int64_t number_in(const json_t *item, const char *name)
{
    ck_assert_msg(json_is_integer(json_object_get(item, name)), "%s", name);
    return json_integer_value(json_object_get(item, name));
}

static bool run(const struct hf_recovery_request *request, struct hf_recovery_row *out)
{
    return hf_recovery_run(service.engine, request, &service.arena, out, &err);
}

START_TEST(a_whole_restore_makes_the_system_equal_to_the_snapshot)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_put(&service, "c", "{\"c\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "a", "{\"a\":3}");
    hf_test_delete(&service, "b");
    hf_test_put(&service, "later", "{\"l\":1}");
    struct hf_system_info before = hf_test_system(&service);

    struct hf_recovery_row row = hf_test_restore(&service, full.id);
    ck_assert_str_eq(row.status, "applied");
    ck_assert_str_eq(row.snapshot, full.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":1}");
    ck_assert_str_eq(hf_test_get(&service, "c"), "{\"c\":1}");
    ck_assert_ptr_null(hf_test_get(&service, "later"));
    struct hf_hash root = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &full.root_hash));

    struct hf_system_info after = hf_test_system(&service);
    ck_assert_int_eq(after.epoch, before.epoch + 1);
    ck_assert_int_eq(row.epoch, after.epoch);
    ck_assert_int_eq(row.sequence_before, before.sequence);
    ck_assert_int_eq(row.sequence_after, after.sequence);
    ck_assert_int_eq(after.sequence, before.sequence + 3); /* a, b, later; c was right */
    ck_assert_int_eq(after.components, 3);
    ck_assert_int_eq(hf_test_put(&service, "a", "{\"a\":4}"), 5);
    ck_assert_int_ge(hf_test_count_events(&service, after.id, "recovery.applied"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_restore_survives_a_restart)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "later", "1");
    struct hf_recovery_row row = hf_test_restore(&service, full.id);
    struct hf_system_info before = hf_test_system(&service);
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    struct hf_system_info after = hf_test_system(&service);
    ck_assert_int_eq(after.epoch, row.epoch);
    ck_assert_int_eq(after.sequence, before.sequence);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_ptr_null(hf_test_get(&service, "later"));
    struct hf_recovery_row stored;
    struct hf_session *session;
    bool found;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_recoveries_get(session, after.id, row.id, &service.arena, &stored, &found, &err));
    hf_sessions_give(service.engine->sessions, session);
    ck_assert(found);
    ck_assert_str_eq(stored.status, "applied");
    ck_assert_str_eq(stored.detail, row.detail);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(data_loss_is_told_per_component_and_in_all)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_put(&service, "gone", "1");
    usleep(20000); /* what was done before the cut costs nothing */
    struct hf_snapshot_row full = hf_test_full(&service);
    usleep(20000);
    hf_test_put(&service, "a", "{\"a\":22}");
    hf_test_put(&service, "a", "{\"a\":333}");
    int64_t last_of_a_ms = hf_test_system(&service).committed_at_ms;
    hf_test_put(&service, "gone", "{\"large\":\"and gone\"}");
    hf_test_delete(&service, "gone");
    usleep(5000);
    hf_test_put(&service, "later", "12345");
    int64_t last_ms = hf_test_system(&service).committed_at_ms;
    struct hf_recovery_row row = hf_test_restore(&service, full.id);
    ck_assert_int_eq(row.data_loss_versions, 2 + 2 + 1);
    ck_assert_int_eq(row.data_loss_components, 3);
    ck_assert_int_eq(row.data_loss_bytes, 9 + 0 + 5);
    ck_assert_int_eq(row.data_loss_ms, last_ms - full.cut_at_ms);
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(&row);
    const json_t *item = NULL;
    ck_assert_int_eq(find_in_waves(detail, "a", &item), 0);
    ck_assert_int_eq(number_in(item, "version"), 3);
    ck_assert_int_eq(number_in(item, "sourceVersion"), 1);
    ck_assert_int_eq(number_in(item, "restoredVersion"), 4);
    ck_assert_int_eq(number_in(item, "versionsLost"), 2);
    ck_assert_int_eq(number_in(item, "bytes"), 7);
    ck_assert_int_eq(number_in(item, "dataLossMs"), last_of_a_ms - full.cut_at_ms);
    ck_assert_int_eq(number_in(item, "bytesLost"), 9);
    ck_assert_int_eq(find_in_waves(detail, "b", &item), 0);
    ck_assert_int_eq(number_in(item, "version"), 1);
    ck_assert_int_eq(number_in(item, "sourceVersion"), 1);
    ck_assert_int_eq(number_in(item, "restoredVersion"), 1);
    ck_assert_int_eq(number_in(item, "dataLossMs"), 0);
    ck_assert_int_eq(number_in(item, "bytesLost"), 0);
    ck_assert_int_eq(find_in_waves(detail, "gone", &item), 0);
    ck_assert_int_eq(number_in(item, "versionsLost"), 2);
    ck_assert_int_eq(number_in(item, "bytesLost"), 0);
    ck_assert_int_eq(find_in_waves(detail, "later", NULL), -1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_plan_comes_in_waves_of_dependencies)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "orchestrator", "1");
    hf_test_put(&service, "agent", "2");
    hf_test_put(&service, "memory", "3");
    hf_test_register(&service, "agent", "agent", "memory", 0);
    hf_test_register(&service, "orchestrator", "service", "agent", 0);
    struct hf_recovery_row row;
    struct hf_system_info before = hf_test_system(&service);
    ck_assert(run(&(struct hf_recovery_request){.system = HF_TEST_NAME, .source = "head", .dry_run = true}, &row));
    ck_assert_str_eq(row.status, "planned");
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(&row);
    ck_assert_int_eq(json_array_size(json_object_get(detail, "waves")), 3);
    ck_assert_int_eq(find_in_waves(detail, "memory", NULL), 0);
    ck_assert_int_eq(find_in_waves(detail, "agent", NULL), 1);
    ck_assert_int_eq(find_in_waves(detail, "orchestrator", NULL), 2);
    struct hf_system_info after = hf_test_system(&service);
    ck_assert_int_eq(after.sequence, before.sequence);
    ck_assert_int_eq(after.epoch, before.epoch);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_dry_run_tells_the_loss_and_changes_nothing)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_system_info before = hf_test_system(&service);
    struct hf_recovery_row row;
    struct hf_recovery_request request = {
        .system = HF_TEST_NAME, .source = "snapshot", .snapshot = full.id, .dry_run = true, .reason = "curious"};
    ck_assert_msg(run(&request, &row), "%s", err.text);
    ck_assert_str_eq(row.status, "planned");
    ck_assert_str_eq(row.reason, "curious");
    ck_assert_int_eq(row.data_loss_versions, 1);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_int_eq(hf_test_system(&service).epoch, before.epoch);
    ck_assert_int_eq(hf_test_system(&service).sequence, before.sequence);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_partial_restore_touches_only_what_was_named)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "b", "{\"b\":2}");
    hf_test_put(&service, "later", "1");
    const char *const names[] = {"a"};
    struct hf_recovery_request request = {
        .system = HF_TEST_NAME, .source = "snapshot", .snapshot = full.id, .components = names, .component_count = 1};
    struct hf_recovery_row row;
    ck_assert_msg(run(&request, &row), "%s", err.text);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":2}");
    ck_assert_str_eq(hf_test_get(&service, "later"), "1");

    const char *const unknown[] = {"later"};
    request.components = unknown;
    ck_assert(!run(&request, &row));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_past_moment_is_restored_from_history)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_delete(&service, "b");
    hf_test_put(&service, "a", "{\"a\":2}");
    usleep(5000);
    int64_t at_ms = hf_clock_now_ms();
    usleep(5000);
    hf_test_put(&service, "a", "{\"a\":3}");
    hf_test_put(&service, "b", "{\"b\":2}");
    hf_test_put(&service, "later", "1");
    struct hf_recovery_row row;
    ck_assert_msg(run(&(struct hf_recovery_request){.system = HF_TEST_NAME, .source = "at", .at_ms = at_ms}, &row),
                  "%s", err.text);
    ck_assert_str_eq(row.status, "applied");
    ck_assert_int_eq(row.at_ms, at_ms);
    ck_assert_str_eq(row.snapshot, "");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_ptr_null(hf_test_get(&service, "b"));
    ck_assert_ptr_null(hf_test_get(&service, "later"));
    ck_assert_int_eq(hf_test_put(&service, "a", "{\"a\":5}"), 5);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_moment_before_history_comes_from_the_snapshot_before_it)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    usleep(5000);
    int64_t at_ms = hf_clock_now_ms();
    usleep(5000);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_full(&service);
    /* Without its first version the history no longer reaches back. */
    hf_test_service_crash(&service);
    char *command = hf_format("python3 -c \"import sqlite3;c=sqlite3.connect('%s/holdfast.db');"
                              "c.execute('delete from component_states where version=1');"
                              "c.execute('update systems set folded_sequence=sequence');"
                              "c.execute('update component_state_tracking set version=2, sequence=2, "
                              "hash=(select hash from component_states where sequence=2), bytes=7, "
                              "content_type=(select content_type from component_states where sequence=2)');"
                              "c.commit();c.close()\"",
                              service.directory);
    ck_assert_int_eq(system(command), 0);
    free(command);
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    struct hf_recovery_row row;
    ck_assert_msg(run(&(struct hf_recovery_request){.system = HF_TEST_NAME, .source = "at", .at_ms = at_ms}, &row),
                  "%s", err.text);
    ck_assert_str_eq(row.snapshot, full.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(latest_falls_back_past_damage_and_lists_what_it_skipped)
{
    const char *const flags[] = {"--anchor-interval", "0", NULL};
    hf_test_service_open(&service, flags);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row good = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row bad = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":3}");
    hf_test_forget_history(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &bad), "{\"a\":2}");

    struct hf_recovery_row row;
    struct hf_recovery_request named = {.system = HF_TEST_NAME, .source = "snapshot", .snapshot = bad.id};
    ck_assert(!run(&named, &row));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":3}");

    row = hf_test_restore(&service, "latest");
    ck_assert_str_eq(row.snapshot, good.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(&row);
    const json_t *skipped = json_object_get(detail, "skipped");
    ck_assert_int_eq(json_array_size(skipped), 1);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(skipped, 0), "snapshot")), bad.id);
    struct hf_snapshot_row marked;
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, bad.id, &service.arena, &marked, &err));
    ck_assert_str_eq(marked.state, "damaged");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(when_every_snapshot_is_damaged_nothing_is_changed_and_the_failure_is_recorded)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row bad = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_remove_outline(&service, &bad);
    ck_assert_int_eq(truncate(hf_test_engine_snapshot_path(&service, &bad), 60), 0);
    struct hf_recovery_row row;
    struct hf_system_info before = hf_test_system(&service);
    ck_assert(
        !run(&(struct hf_recovery_request){.system = HF_TEST_NAME, .source = "snapshot", .snapshot = "latest"}, &row));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_int_eq(hf_test_system(&service).epoch, before.epoch);
    ck_assert_int_ge(hf_test_count_events(&service, before.id, "recovery.failed"), 1);
    hf_test_service_close(&service);
}
END_TEST

static bool count_row(void *context, const struct hf_recovery_row *row)
{
    ck_assert_str_eq(row->status, "failed");
    ++*(int *)context;
    return true;
}

static int stored_rows(void)
{
    struct hf_session *session;
    int count = 0;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_recoveries_list(session, hf_test_system(&service).id, INT64_MAX, "", 100, count_row, &count, &err));
    hf_sessions_give(service.engine->sessions, session);
    return count;
}

START_TEST(a_plan_that_cannot_be_made_is_no_failed_recovery)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row bad = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_remove_outline(&service, &bad);
    ck_assert_int_eq(truncate(hf_test_engine_snapshot_path(&service, &bad), 60), 0);
    struct hf_recovery_row row;
    struct hf_recovery_request request = {.system = HF_TEST_NAME,
                                          .source = "snapshot",
                                          .snapshot = bad.id,
                                          .dry_run = true};
    ck_assert(!run(&request, &row));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_int_eq(stored_rows(), 0);
    request.dry_run = false;
    ck_assert(!run(&request, &row));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_int_eq(stored_rows(), 1);
    ck_assert_int_eq(hf_test_count_events(&service, hf_test_system(&service).id, "recovery.failed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(too_old_a_source_is_refused_when_an_age_is_given)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    usleep(20000);
    struct hf_recovery_row row;
    struct hf_recovery_request request = {.system = HF_TEST_NAME,
                                          .source = "snapshot",
                                          .snapshot = "latest",
                                          .age_ms_max = 5};
    ck_assert(!run(&request, &row));
    ck_assert_int_eq(err.code, HF_PRECONDITION);
    request.age_ms_max = 3600000;
    ck_assert_msg(run(&request, &row), "%s", err.text);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(without_any_snapshot_latest_is_not_found)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_recovery_row row;
    ck_assert(
        !run(&(struct hf_recovery_request){.system = HF_TEST_NAME, .source = "snapshot", .snapshot = "latest"}, &row));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(many_components_of_different_sizes_come_back_whole)
{
    hf_test_service_open(&service, NULL);
    enum { COUNT = 700 };
    char *large = hf_alloc(300001);
    memset(large, ' ', 300000);
    for (int i = 0; i < COUNT; i++) {
        char name[32], text[32];
        snprintf(name, sizeof(name), "c%03d", i);
        snprintf(text, sizeof(text), "%d", i);
        memcpy(large, text, strlen(text));
        hf_test_put(&service, name, i % 100 == 0 ? large : text);
    }
    struct hf_snapshot_row full = hf_test_full(&service);
    for (int i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof(name), "c%03d", i);
        hf_test_put(&service, name, "\"overwritten\"");
    }
    struct hf_recovery_row row = hf_test_restore(&service, full.id);
    struct hf_hash root = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &full.root_hash));
    ck_assert_int_eq(row.data_loss_components, COUNT);
    ck_assert_str_eq(hf_test_get(&service, "c699"), "699");
    ck_assert_int_eq(strlen(hf_test_get(&service, "c600")), 300000);
    free(large);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("recovery engine", a_whole_restore_makes_the_system_equal_to_the_snapshot, a_restore_survives_a_restart,
             data_loss_is_told_per_component_and_in_all, the_plan_comes_in_waves_of_dependencies,
             a_dry_run_tells_the_loss_and_changes_nothing, a_partial_restore_touches_only_what_was_named,
             a_past_moment_is_restored_from_history, a_moment_before_history_comes_from_the_snapshot_before_it,
             latest_falls_back_past_damage_and_lists_what_it_skipped,
             when_every_snapshot_is_damaged_nothing_is_changed_and_the_failure_is_recorded,
             a_plan_that_cannot_be_made_is_no_failed_recovery, too_old_a_source_is_refused_when_an_age_is_given,
             without_any_snapshot_latest_is_not_found, many_components_of_different_sizes_come_back_whole);
