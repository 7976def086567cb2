/* Rows of recoveries, validations, events and keys, on both engines. */
#include "core/auto.h"
#include "store/journal.h"
#include "store/snapshots.h"
#include "tests/support/store_rows.h"

#include <stdint.h>

static struct hf_test_store test;

static bool note_recovery(void *context, const struct hf_recovery_row *row)
{
    hf_test_add_name(context, row->id);
    return true;
}

/* r2, as it was updated. */
static void expect_updated_recovery(void)
{
    struct hf_error err;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_recovery_row got;
    bool found = false;
    HF_TEST_OK(hf_recoveries_get(test.read, HF_TEST_SYSTEM, "r2", &arena, &got, &found, &err));
    ck_assert(found);
    ck_assert_str_eq(got.status, "completed");
    ck_assert_str_eq(got.detail, "{\"waves\":[]}");
    ck_assert_str_eq(got.source, "snapshot");
    ck_assert_str_eq(got.snapshot, "full-2");
    ck_assert_str_eq(got.reason, "in earnest");
    ck_assert_int_eq(got.at_ms, 9);
    ck_assert_int_eq(got.epoch, 2);
    ck_assert_int_eq(got.sequence_before, 11);
    ck_assert_int_eq(got.sequence_after, 15);
    ck_assert_int_eq(got.data_loss_ms, 5);
    ck_assert_int_eq(got.data_loss_versions, 6);
    ck_assert_int_eq(got.data_loss_bytes, 7);
    ck_assert_int_eq(got.data_loss_components, 8);
    ck_assert_int_eq(got.started_at_ms, 200);
    ck_assert_int_eq(got.completed_at_ms, 300);
}

START_TEST(recovery_is_logged_and_updated)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    struct hf_recovery_row row = {.system_id = HF_TEST_SYSTEM,
                                  .source = "snapshot",
                                  .snapshot = "s1",
                                  .at_ms = 9,
                                  .status = "planned",
                                  .reason = "drill",
                                  .epoch = 1,
                                  .sequence_before = 10,
                                  .data_loss_ms = 1,
                                  .data_loss_versions = 2,
                                  .data_loss_bytes = 3,
                                  .data_loss_components = 4,
                                  .detail = "{}"};
    for (int i = 1; i <= 3; i++) {
        char id[] = {'r', (char)('0' + i), '\0'};
        row.id = id;
        row.started_at_ms = 50 + i * 50;
        HF_TEST_OK(hf_recoveries_insert(test.write, &row, &err));
    }
    row.id = "r2";
    row.snapshot = "full-2";
    row.status = "completed";
    row.reason = "in earnest";
    row.epoch = 2;
    row.sequence_after = 15;
    row.started_at_ms = 200; /* as that of r3, which it came before */
    row.completed_at_ms = 300;
    row.detail = "{\"waves\":[]}";
    row.sequence_before = 11;
    row.data_loss_ms = 5;
    row.data_loss_versions = 6;
    row.data_loss_bytes = 7;
    row.data_loss_components = 8;
    bool updated = true;
    HF_TEST_OK(hf_recoveries_update(test.write, &row, "applied", &updated, &err)); /* no longer, or never */
    ck_assert(!updated);
    HF_TEST_OK(hf_recoveries_update(test.write, &row, "planned", &updated, &err));
    ck_assert(updated);
    expect_updated_recovery();
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_recovery_row got;
    bool found = false;
    HF_TEST_OK(hf_recoveries_get(test.read, HF_TEST_SYSTEM, "r9", &arena, &got, &found, &err));
    ck_assert(!found);
    struct hf_test_names all = {0}, rest = {0};
    HF_TEST_OK(hf_recoveries_list(test.read, HF_TEST_SYSTEM, INT64_MAX, "", 10, note_recovery, &all, &err));
    ck_assert_str_eq(all.joined, "r3 r2 r1 ");
    HF_TEST_OK(hf_recoveries_list(test.read, HF_TEST_SYSTEM, 200, "r3", 1, note_recovery, &rest, &err));
    ck_assert_str_eq(rest.joined, "r2 ");
    hf_test_store_done(&test);
}
END_TEST

static bool note_validation(void *context, const struct hf_validation_row *row)
{
    ck_assert(row->quality_score == 0.25);
    ck_assert_str_eq(row->status, "warning");
    hf_test_add_name(context, row->check_name);
    return true;
}

START_TEST(validations_are_listed_oldest_first_per_snapshot)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    const char *const checks[] = {"rootHash", "blobs", "manifest"};
    for (int i = 0; i < 6; i++) {
        const struct hf_validation_row row = {.system_id = HF_TEST_SYSTEM,
                                              .snapshot = i % 2 ? "s2" : "s1",
                                              .check_name = checks[i / 2],
                                              .status = "warning",
                                              .detail = "",
                                              .quality_score = 0.25,
                                              .checked_at_ms = 100 - i};
        HF_TEST_OK(hf_validations_insert(test.write, &row, &err));
    }
    struct hf_test_names names = {0};
    HF_TEST_OK(hf_validations_list(test.read, HF_TEST_SYSTEM, "s2", note_validation, &names, &err));
    ck_assert_str_eq(names.joined, "rootHash blobs manifest ");
    hf_test_store_done(&test);
}
END_TEST

struct events {
    int count;
    int64_t last_id;
};

static bool note_event(void *context, const struct hf_event_row *row)
{
    struct events *events = context;
    ck_assert_int_gt(row->id, events->last_id);
    events->last_id = row->id;
    events->count++;
    return true;
}

static int count_events(const char *severity)
{
    struct hf_error err;
    struct events events = {0};
    HF_TEST_OK(hf_events_list(test.read, HF_TEST_SYSTEM, severity, 0, 1000, note_event, &events, &err));
    return events.count;
}

START_TEST(events_are_paged_oldest_first)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    hf_test_insert_events(test.write);
    struct events events = {0};
    for (int pages = 0; pages < 3; pages++) {
        HF_TEST_OK(hf_events_list(test.read, HF_TEST_SYSTEM, NULL, events.last_id, 10, note_event, &events, &err));
        ck_assert_int_eq(events.count, pages < 2 ? (pages + 1) * 10 : HF_TEST_EVENTS);
    }
    ck_assert_int_eq(count_events("warning"), 5);
    ck_assert_int_eq(count_events("error"), 0);
    hf_test_store_done(&test);
}
END_TEST

struct newest_events {
    int count;
    int64_t ids[HF_TEST_EVENTS];
};

static bool note_newest(void *context, const struct hf_event_row *row)
{
    struct newest_events *events = context;
    ck_assert_int_lt(events->count, HF_TEST_EVENTS);
    ck_assert(events->count == 0 || row->id < events->ids[events->count - 1]);
    events->ids[events->count++] = row->id;
    return true;
}

START_TEST(events_are_paged_newest_first)
{
    struct hf_error err;
    int64_t newest;
    hf_test_store_begin(&test, _i);
    hf_test_insert_events(test.write);
    HF_TEST_OK(hf_events_newest(test.read, &newest, &err));
    struct newest_events events = {0};
    struct hf_events_wanted wanted = {.system_id = HF_TEST_SYSTEM, .before = INT64_MAX, .limit = 10};
    for (int pages = 0; pages < 3; pages++) {
        HF_TEST_OK(hf_events_list_newest(test.read, &wanted, note_newest, &events, &err));
        ck_assert_int_eq(events.count, pages < 2 ? (pages + 1) * 10 : HF_TEST_EVENTS);
        wanted.before = events.ids[events.count - 1];
    }
    ck_assert_int_eq(events.ids[0], newest);

    struct newest_events later = {0};
    wanted.after = events.ids[3];
    wanted.before = events.ids[0];
    HF_TEST_OK(hf_events_list_newest(test.read, &wanted, note_newest, &later, &err));
    ck_assert_int_eq(later.count, 2);
    ck_assert_int_eq(later.ids[0], events.ids[1]);

    struct newest_events warnings = {0};
    wanted = (struct hf_events_wanted){.system_id = HF_TEST_SYSTEM,
                                       .severity = "warning",
                                       .before = INT64_MAX,
                                       .limit = 1000};
    HF_TEST_OK(hf_events_list_newest(test.read, &wanted, note_newest, &warnings, &err));
    ck_assert_int_eq(warnings.count, count_events("warning"));
    struct newest_events others = {0};
    wanted = (struct hf_events_wanted){.system_id = HF_TEST_SYSTEM + 1, .before = INT64_MAX, .limit = 1000};
    HF_TEST_OK(hf_events_list_newest(test.read, &wanted, note_newest, &others, &err));
    ck_assert_int_eq(others.count, 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(events_are_trimmed_by_age_and_ids_are_not_given_again)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    hf_test_insert_events(test.write);
    int64_t deleted = 0, total = 0;
    do {
        HF_TEST_OK(hf_events_trim(test.write, 100, 4, &deleted, &err));
        ck_assert_int_le(deleted, 4);
        total += deleted;
    } while (deleted > 0);
    ck_assert_int_eq(total, 10);
    ck_assert_int_eq(count_events(NULL), HF_TEST_EVENTS - 10);
    struct events before = {0};
    HF_TEST_OK(hf_events_list(test.read, HF_TEST_SYSTEM, NULL, 0, 1000, note_event, &before, &err));
    HF_TEST_OK(hf_events_trim(test.write, INT64_MAX, 1000, &deleted, &err));
    ck_assert_int_eq(deleted, HF_TEST_EVENTS - 10);
    hf_test_insert_events(test.write);
    struct events after = {.last_id = before.last_id}; /* note_event wants every id to be greater */
    HF_TEST_OK(hf_events_list(test.read, HF_TEST_SYSTEM, NULL, 0, 1000, note_event, &after, &err));
    ck_assert_int_eq(after.count, HF_TEST_EVENTS);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(newest_event_is_that_of_any_system)
{
    struct hf_error err;
    int64_t newest = -1, deleted;
    hf_test_store_begin(&test, _i);
    HF_TEST_OK(hf_events_newest(test.read, &newest, &err));
    ck_assert_int_eq(newest, 0);
    hf_test_insert_events(test.write);
    const struct hf_event_row other = {
        .system_id = 0, .at_ms = 1, .severity = "info", .type = "store.up", .text = "", .data = "{}"};
    HF_TEST_OK(hf_events_insert(test.write, &other, 1, &err));
    struct events events = {0};
    HF_TEST_OK(hf_events_list(test.read, 0, NULL, 0, 1000, note_event, &events, &err));
    ck_assert_int_eq(events.count, 1);
    HF_TEST_OK(hf_events_newest(test.read, &newest, &err));
    ck_assert_int_eq(newest, events.last_id);
    HF_TEST_OK(hf_events_trim(test.write, INT64_MAX, 1000, &deleted, &err));
    HF_TEST_OK(hf_events_newest(test.read, &newest, &err));
    ck_assert_int_eq(newest, 0);
    hf_test_store_done(&test);
}
END_TEST

static bool get_key(struct hf_arena *arena, const char *key, struct hf_hash *hash, const char **answer)
{
    struct hf_error err;
    int64_t created_at_ms;
    bool found = false;
    HF_TEST_OK(hf_keys_get(test.read, HF_TEST_SYSTEM, key, arena, hash, answer, &created_at_ms, &found, &err));
    return found;
}

START_TEST(key_is_replaced_and_trimmed)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_hash first, second, got;
    hf_hash_of("1", 1, &first);
    hf_hash_of("2", 1, &second);
    const char *answer;
    ck_assert(!get_key(&arena, "k", &got, &answer));
    HF_TEST_OK(hf_keys_insert(test.write, HF_TEST_SYSTEM, "k", &first, "{\"sequence\":1}", 100, &err));
    HF_TEST_OK(hf_keys_insert(test.write, HF_TEST_SYSTEM, "k2", &first, "{}", 300, &err));
    ck_assert(get_key(&arena, "k", &got, &answer));
    ck_assert(hf_hash_equal(&got, &first));
    HF_TEST_OK(hf_keys_insert(test.write, HF_TEST_SYSTEM, "k", &second, "{\"sequence\":2}", 200, &err));
    ck_assert(get_key(&arena, "k", &got, &answer));
    ck_assert(hf_hash_equal(&got, &second));
    ck_assert_str_eq(answer, "{\"sequence\":2}");
    int64_t deleted = 0;
    HF_TEST_OK(hf_keys_trim(test.write, 200, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 0);
    HF_TEST_OK(hf_keys_trim(test.write, 201, 0, &deleted, &err));
    ck_assert_int_eq(deleted, 0);
    HF_TEST_OK(hf_keys_trim(test.write, 201, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    ck_assert(!get_key(&arena, "k", &got, &answer));
    ck_assert(get_key(&arena, "k2", &got, &answer));
    hf_test_store_done(&test);
}
END_TEST

START_TEST(key_is_kept_with_its_transaction_or_not_at_all)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_hash hash, got;
    hf_hash_of("1", 1, &hash);
    const char *answer;
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(hf_keys_insert(test.write, HF_TEST_SYSTEM, "k", &hash, "rec-1", 100, &err));
    ck_assert(!get_key(&arena, "k", &got, &answer)); /* another session */
    hf_session_rollback(test.write);
    ck_assert(!get_key(&arena, "k", &got, &answer));
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(hf_keys_insert(test.write, HF_TEST_SYSTEM, "k", &hash, "rec-2", 100, &err));
    HF_TEST_OK(hf_session_commit(test.write, &err));
    ck_assert(get_key(&arena, "k", &got, &answer));
    ck_assert_str_eq(answer, "rec-2");
    hf_test_store_done(&test);
}
END_TEST

START_TEST(old_recoveries_are_trimmed_in_steps_and_the_newest_stays)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    const char *const ids[] = {"r1", "r2", "r3", "r4"};
    for (int i = 0; i < 4; i++) {
        const struct hf_recovery_row row = {.system_id = HF_TEST_SYSTEM,
                                            .id = ids[i],
                                            .source = "head",
                                            .status = "completed",
                                            .started_at_ms = (i + 1) * 100};
        HF_TEST_OK(hf_recoveries_insert(test.write, &row, &err));
    }
    int64_t deleted = 0;
    HF_TEST_OK(hf_recoveries_trim(test.write, HF_TEST_SYSTEM + 1, INT64_MAX, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 0);
    HF_TEST_OK(hf_recoveries_trim(test.write, HF_TEST_SYSTEM, 300, 1, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    struct hf_test_names names = {0};
    HF_TEST_OK(hf_recoveries_list(test.read, HF_TEST_SYSTEM, INT64_MAX, "", 10, note_recovery, &names, &err));
    ck_assert_str_eq(names.joined, "r4 r3 r2 ");
    HF_TEST_OK(hf_recoveries_trim(test.write, HF_TEST_SYSTEM, 300, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    HF_TEST_OK(hf_recoveries_trim(test.write, HF_TEST_SYSTEM, INT64_MAX, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    names = (struct hf_test_names){0};
    HF_TEST_OK(hf_recoveries_list(test.read, HF_TEST_SYSTEM, INT64_MAX, "", 10, note_recovery, &names, &err));
    ck_assert_str_eq(names.joined, "r4 ");
    hf_test_store_done(&test);
}
END_TEST

static int count_validations(const char *snapshot)
{
    struct hf_error err;
    struct hf_test_names names = {0};
    HF_TEST_OK(hf_validations_list(test.read, HF_TEST_SYSTEM, snapshot, note_validation, &names, &err));
    return names.count;
}

START_TEST(validations_of_snapshots_that_are_gone_are_trimmed_by_age)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    const struct hf_snapshot_row kept = {.system_id = HF_TEST_SYSTEM,
                                         .id = "kept",
                                         .kind = "full",
                                         .trigger = "manual",
                                         .generation = "kept",
                                         .file = "kept.hfs",
                                         .state = "complete"};
    HF_TEST_OK(hf_snapshots_insert(test.write, &kept, &err));
    for (int i = 0; i < 8; i++) {
        const struct hf_validation_row row = {.system_id = HF_TEST_SYSTEM,
                                              .snapshot = i % 2 ? "kept" : "gone",
                                              .check_name = "blobs",
                                              .status = "warning",
                                              .quality_score = 0.25,
                                              .checked_at_ms = i * 100};
        HF_TEST_OK(hf_validations_insert(test.write, &row, &err));
    }
    int64_t deleted = 0;
    HF_TEST_OK(hf_validations_trim(test.write, HF_TEST_SYSTEM, 600, 2, &deleted, &err));
    ck_assert_int_eq(deleted, 2);
    HF_TEST_OK(hf_validations_trim(test.write, HF_TEST_SYSTEM, 600, 2, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    ck_assert_int_eq(count_validations("gone"), 1);
    ck_assert_int_eq(count_validations("kept"), 4);
    hf_test_store_done(&test);
}
END_TEST

static void insert_run(const char *snapshot, int64_t at_ms, const char *data)
{
    struct hf_error err;
    for (int i = 0; i < 2; i++) {
        const struct hf_validation_row row = {.system_id = HF_TEST_SYSTEM,
                                              .snapshot = snapshot,
                                              .check_name = i ? "chain" : "blobs",
                                              .status = "warning",
                                              .quality_score = 0.25,
                                              .checked_at_ms = at_ms,
                                              .data = data};
        HF_TEST_OK(hf_validations_insert(test.write, &row, &err));
    }
}

static bool note_data(void *context, const struct hf_validation_row *row)
{
    hf_test_add_name(context, row->data);
    return true;
}

START_TEST(validations_keep_their_data_and_only_their_newest_runs)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    insert_run("s1", 100, NULL);
    insert_run("s1", 200, "{\"lost\":[]}");
    insert_run("s1", 300, "{\"lost\":[\"ü\"]}");
    insert_run("s2", 50, NULL);
    HF_TEST_OK(hf_validations_forget(test.write, HF_TEST_SYSTEM, "s1", 3, &err));
    ck_assert_int_eq(count_validations("s1"), 6);
    HF_TEST_OK(hf_validations_forget(test.write, HF_TEST_SYSTEM, "s1", 2, &err));
    struct hf_test_names data = {0};
    HF_TEST_OK(hf_validations_list(test.read, HF_TEST_SYSTEM, "s1", note_data, &data, &err));
    ck_assert_str_eq(data.joined, "{\"lost\":[]} {\"lost\":[]} {\"lost\":[\"ü\"]} {\"lost\":[\"ü\"]} ");
    struct hf_test_names other = {0};
    HF_TEST_OK(hf_validations_list(test.read, HF_TEST_SYSTEM, "s2", note_data, &other, &err));
    ck_assert_str_eq(other.joined, "{} {} ");
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("contract_journal", recovery_is_logged_and_updated, validations_are_listed_oldest_first_per_snapshot,
                   events_are_paged_oldest_first, events_are_paged_newest_first, newest_event_is_that_of_any_system,
                   events_are_trimmed_by_age_and_ids_are_not_given_again,
                   old_recoveries_are_trimmed_in_steps_and_the_newest_stays,
                   validations_of_snapshots_that_are_gone_are_trimmed_by_age,
                   validations_keep_their_data_and_only_their_newest_runs, key_is_replaced_and_trimmed,
                   key_is_kept_with_its_transaction_or_not_at_all);
