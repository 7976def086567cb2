/* Rows of systems, components, snapshots, recoveries, validations, events and keys, on both engines. */
#include "core/auto.h"
#include "store/components.h"
#include "store/journal.h"
#include "store/snapshots.h"
#include "tests/support/stores.h"

#include <stdint.h>
#include <string.h>

#define EVENTS    25
#define SNAPSHOTS 7

static struct hf_test_store test;

struct names {
    int count;
    char joined[1024]; /* with a blank after each */
};

static void add_name(struct names *names, const char *name)
{
    size_t used = strlen(names->joined);
    snprintf(names->joined + used, sizeof(names->joined) - used, "%s ", name);
    names->count++;
}

static void open_with_system(int engine)
{
    hf_test_store_place(&test, (enum hf_test_engine)engine);
    hf_test_store_open(&test);
    hf_test_store_add_system(&test);
}

static bool keep_system(void *context, const struct hf_system_row *row)
{
    struct hf_system_row *kept = context;
    if (row->id == HF_TEST_SYSTEM) {
        *kept = *row;
        ck_assert_str_eq(row->name, "default");
        ck_assert_str_eq(row->description, kept->sequence == 0 ? "" : "of the north");
    }
    return true;
}

START_TEST(system_keeps_its_settings)
{
    struct hf_error err;
    open_with_system(_i);
    struct hf_system_row row = {0};
    HF_TEST_OK(hf_systems_list(test.read, keep_system, &row, &err));
    ck_assert_int_eq(row.backup_interval_ms, -1);
    ck_assert_int_eq(row.max_retention_hours, -1);
    bool moved = false;
    HF_TEST_OK(hf_systems_advance(test.write, HF_TEST_SYSTEM, 0, 9, 2, 77, 1234, &moved, &err));
    const struct hf_system_row settings = {.id = HF_TEST_SYSTEM,
                                           .description = "of the north",
                                           .backup_interval_ms = 0,
                                           .incremental_interval_ms = 5,
                                           .max_retention_hours = -1};
    HF_TEST_OK(hf_systems_set_settings(test.write, &settings, &err));
    HF_TEST_OK(hf_systems_set_folded(test.write, HF_TEST_SYSTEM, 8, &err));
    row.sequence = 9;
    HF_TEST_OK(hf_systems_list(test.read, keep_system, &row, &err));
    ck_assert_int_eq(row.sequence, 9);
    ck_assert_int_eq(row.epoch, 2);
    ck_assert_int_eq(row.batch_id, 77);
    ck_assert_int_eq(row.committed_at_ms, 1234);
    ck_assert_int_eq(row.folded_sequence, 8);
    ck_assert_int_eq(row.backup_interval_ms, 0);
    ck_assert_int_eq(row.incremental_interval_ms, 5);
    ck_assert_int_eq(row.max_retention_hours, -1);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(one_system_is_found_by_its_id)
{
    struct hf_error err;
    open_with_system(_i);
    const struct hf_system_row other = {.id = HF_TEST_SYSTEM + 1, .name = "other", .sequence = 5, .epoch = 1};
    HF_TEST_OK(hf_systems_insert(test.write, &other, &err));
    struct hf_system_row row = {0};
    HF_TEST_OK(hf_systems_get(test.read, HF_TEST_SYSTEM, keep_system, &row, &err));
    ck_assert_int_eq(row.id, HF_TEST_SYSTEM);
    ck_assert_int_eq(row.sequence, 0);
    row.id = 0;
    HF_TEST_OK(hf_systems_get(test.read, HF_TEST_SYSTEM + 2, keep_system, &row, &err));
    ck_assert_int_eq(row.id, 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(system_name_is_given_once)
{
    struct hf_error err;
    open_with_system(_i);
    const struct hf_system_row twin = {.id = HF_TEST_SYSTEM + 1, .name = "default", .description = ""};
    HF_TEST_FAILS(HF_CONFLICT, hf_systems_insert(test.write, &twin, &err));
    hf_session_rollback(test.write);
    int64_t sequence, batch;
    bool found = true;
    HF_TEST_OK(hf_systems_outcome(test.read, twin.id, &sequence, &batch, &found, &err));
    ck_assert(!found);
    hf_test_store_done(&test);
}
END_TEST

static struct hf_component_row component(int64_t id, const char *name)
{
    struct hf_component_row row = {.system_id = HF_TEST_SYSTEM,
                                   .component_id = id,
                                   .name = name,
                                   .kind = "agent",
                                   .depends_on = "[\"world-model\"]",
                                   .required_pointers = "[\"/qTable\"]",
                                   .heartbeat_interval_ms = 5000,
                                   .registered_at_ms = 11,
                                   .version = 2,
                                   .sequence = 20 + id,
                                   .bytes = 3,
                                   .content_type = "application/json",
                                   .committed_at_ms = 12,
                                   .health = -1,
                                   .status = "",
                                   .metrics = "{}",
                                   .created_at_ms = 10};
    hf_hash_of("abc", 3, &row.hash);
    return row;
}

static bool keep_component(void *context, const struct hf_component_row *row)
{
    struct hf_component_row *kept = context;
    kept[row->component_id - 1] = *row;
    kept[row->component_id - 1].name = NULL;
    ck_assert_str_eq(row->name, row->component_id == 1 ? "agent-1" : "agent-2");
    ck_assert_str_eq(row->kind, row->registered_at_ms == 99 ? "planner" : "agent");
    ck_assert_str_eq(row->depends_on, row->registered_at_ms == 99 ? "[]" : "[\"world-model\"]");
    ck_assert_str_eq(row->metrics, row->version == 3 ? "{\"judgments\":4}" : "{}");
    ck_assert_str_eq(row->status, row->version == 3 ? "learning" : "");
    return true;
}

START_TEST(component_is_registered_and_folded)
{
    struct hf_error err;
    open_with_system(_i);
    struct hf_component_row rows[] = {component(1, "agent-1"), component(2, "agent-2")}, kept[2];
    HF_TEST_OK(hf_components_insert(test.write, rows, 2, &err));
    HF_TEST_OK(hf_components_list(test.read, HF_TEST_SYSTEM, keep_component, kept, &err));
    ck_assert(kept[1].health == -1);
    ck_assert_int_eq(kept[1].sequence, 22);
    ck_assert(hf_hash_equal(&kept[1].hash, &rows[1].hash));

    rows[0].kind = "planner";
    rows[0].depends_on = "[]";
    rows[0].registered_at_ms = 99;
    rows[0].heartbeat_interval_ms = 7;
    HF_TEST_OK(hf_components_register(test.write, &rows[0], &err));
    rows[1].version = 3;
    rows[1].sequence = 30;
    rows[1].deleted = true;
    rows[1].health = 0.75;
    rows[1].status = "learning";
    rows[1].metrics = "{\"judgments\":4}";
    rows[1].heartbeat_at_ms = 40;
    rows[1].last_activity_at_ms = 41;
    memset(&rows[1].hash, 0, sizeof(rows[1].hash));
    HF_TEST_OK(hf_components_fold(test.write, &rows[1], 1, &err));

    HF_TEST_OK(hf_components_list(test.read, HF_TEST_SYSTEM, keep_component, kept, &err));
    ck_assert_int_eq(kept[0].registered_at_ms, 99);
    ck_assert_int_eq(kept[0].heartbeat_interval_ms, 7);
    ck_assert_int_eq(kept[0].version, 2); /* registering leaves the head alone */
    ck_assert_int_eq(kept[1].version, 3);
    ck_assert_int_eq(kept[1].sequence, 30);
    ck_assert(kept[1].deleted);
    ck_assert(kept[1].health == 0.75);
    ck_assert(hf_hash_equal(&kept[1].hash, &rows[1].hash));
    ck_assert_int_eq(kept[1].heartbeat_at_ms, 40);
    ck_assert_int_eq(kept[1].last_activity_at_ms, 41);
    ck_assert_int_eq(kept[1].registered_at_ms, 11); /* folding leaves the registration alone */
    hf_test_store_done(&test);
}
END_TEST

static struct hf_snapshot_row snapshot(const char *id, const char *kind, int64_t cut_at_ms)
{
    struct hf_snapshot_row row = {.system_id = HF_TEST_SYSTEM,
                                  .id = id,
                                  .kind = kind,
                                  .trigger = "schedule",
                                  .label = "before the upgrade",
                                  .reason = "",
                                  .generation = "s1",
                                  .parent = "s0",
                                  .sequence = 5,
                                  .epoch = 1,
                                  .components = 2,
                                  .changed = 3,
                                  .deleted = 4,
                                  .state_bytes = 50,
                                  .file_bytes = 60,
                                  .file = "f/x.snap",
                                  .cut_at_ms = cut_at_ms,
                                  .completed_at_ms = cut_at_ms + 2,
                                  .duration_ms = 2,
                                  .state = "complete",
                                  .validation_status = "pending",
                                  .quality_score = -1};
    hf_hash_of(id, strlen(id), &row.root_hash);
    return row;
}

/* s1 … s7; the odd ones are full; s3 and s4 were cut in the same millisecond; s7 failed. */
static void insert_snapshots(void)
{
    struct hf_error err;
    for (int i = 1; i <= SNAPSHOTS; i++) {
        char id[] = {'s', (char)('0' + i), '\0'};
        struct hf_snapshot_row row = snapshot(id, i % 2 ? "full" : "incremental", i == 4 ? 300 : i * 100);
        if (i == SNAPSHOTS)
            row.state = "failed";
        HF_TEST_OK(hf_snapshots_insert(test.write, &row, &err));
    }
}

struct page {
    struct names names;
    int64_t last_cut_at_ms;
    char last_id[64];
};

static bool note_snapshot(void *context, const struct hf_snapshot_row *row)
{
    struct page *page = context;
    add_name(&page->names, row->id);
    page->last_cut_at_ms = row->cut_at_ms;
    snprintf(page->last_id, sizeof(page->last_id), "%s", row->id);
    return true;
}

START_TEST(snapshots_are_paged_newest_first)
{
    struct hf_error err;
    open_with_system(_i);
    insert_snapshots();
    struct page page = {.last_cut_at_ms = INT64_MAX};
    for (int i = 0; i < 5; i++)
        HF_TEST_OK(hf_snapshots_list(test.read, HF_TEST_SYSTEM, NULL, page.last_cut_at_ms, page.last_id, 2,
                                     note_snapshot, &page, &err));
    ck_assert_str_eq(page.names.joined, "s7 s6 s5 s4 s3 s2 s1 ");
    struct page full = {.last_cut_at_ms = INT64_MAX};
    HF_TEST_OK(hf_snapshots_list(test.read, HF_TEST_SYSTEM, "full", INT64_MAX, "", 100, note_snapshot, &full, &err));
    ck_assert_str_eq(full.names.joined, "s7 s5 s3 s1 ");
    hf_test_store_done(&test);
}
END_TEST

static bool get_snapshot(struct hf_arena *arena, const char *id, struct hf_snapshot_row *out)
{
    struct hf_error err;
    bool found = false;
    HF_TEST_OK(hf_snapshots_get(test.read, HF_TEST_SYSTEM, id, arena, out, &found, &err));
    return found;
}

START_TEST(latest_snapshot_is_a_complete_one)
{
    struct hf_error err;
    open_with_system(_i);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_snapshot_row row;
    bool found = true;
    HF_TEST_OK(hf_snapshots_latest(test.read, HF_TEST_SYSTEM, NULL, &arena, &row, &found, &err));
    ck_assert(!found);
    insert_snapshots();
    HF_TEST_OK(hf_snapshots_latest(test.read, HF_TEST_SYSTEM, NULL, &arena, &row, &found, &err));
    ck_assert(found);
    ck_assert_str_eq(row.id, "s6");
    HF_TEST_OK(hf_snapshots_latest(test.read, HF_TEST_SYSTEM, "full", &arena, &row, &found, &err));
    ck_assert_str_eq(row.id, "s5");
    hf_test_store_done(&test);
}
END_TEST

START_TEST(snapshot_comes_back_changes_and_goes)
{
    struct hf_error err;
    open_with_system(_i);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    insert_snapshots();
    const struct hf_snapshot_row wanted = snapshot("s2", "incremental", 200);
    struct hf_snapshot_row row;
    ck_assert(get_snapshot(&arena, "s2", &row));
    ck_assert_str_eq(row.kind, "incremental");
    ck_assert_str_eq(row.trigger, "schedule");
    ck_assert_str_eq(row.label, wanted.label);
    ck_assert_str_eq(row.parent, "s0");
    ck_assert_str_eq(row.file, "f/x.snap");
    ck_assert_int_eq(row.changed, 3);
    ck_assert_int_eq(row.deleted, 4);
    ck_assert_int_eq(row.file_bytes, 60);
    ck_assert(row.quality_score == -1);
    ck_assert(!row.pinned);
    ck_assert(hf_hash_equal(&row.root_hash, &wanted.root_hash));

    HF_TEST_OK(hf_snapshots_update(test.write, HF_TEST_SYSTEM, "s2", "kept", true, &err));
    HF_TEST_OK(hf_snapshots_set_state(test.write, HF_TEST_SYSTEM, "s2", "damaged", "damaged", 777, 0.5, &err));
    ck_assert(get_snapshot(&arena, "s2", &row));
    ck_assert_str_eq(row.label, "kept");
    ck_assert(row.pinned);
    ck_assert_str_eq(row.state, "damaged");
    ck_assert_str_eq(row.validation_status, "damaged");
    ck_assert_int_eq(row.validated_at_ms, 777);
    ck_assert(row.quality_score == 0.5);

    HF_TEST_OK(hf_snapshots_delete(test.write, HF_TEST_SYSTEM, "s2", &err));
    ck_assert(!get_snapshot(&arena, "s2", &row));
    ck_assert(get_snapshot(&arena, "s3", &row));
    ck_assert_str_eq(row.label, wanted.label);
    HF_TEST_FAILS(HF_CONFLICT, hf_snapshots_insert(test.write, &row, &err));
    hf_test_store_done(&test);
}
END_TEST

static bool note_recovery(void *context, const struct hf_recovery_row *row)
{
    add_name(context, row->id);
    return true;
}

START_TEST(recovery_is_logged_and_updated)
{
    struct hf_error err;
    open_with_system(_i);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
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
    HF_TEST_OK(hf_recoveries_get(test.read, HF_TEST_SYSTEM, "r9", &arena, &got, &found, &err));
    ck_assert(!found);
    struct names all = {0}, rest = {0};
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
    add_name(context, row->check_name);
    return true;
}

START_TEST(validations_are_listed_oldest_first_per_snapshot)
{
    struct hf_error err;
    open_with_system(_i);
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
    struct names names = {0};
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

static void insert_events(void)
{
    struct hf_error err;
    struct hf_event_row rows[EVENTS];
    for (int i = 0; i < EVENTS; i++)
        rows[i] = (struct hf_event_row){.system_id = HF_TEST_SYSTEM,
                                        .at_ms = i * 10,
                                        .severity = i % 5 ? "info" : "warning",
                                        .type = "snapshot.completed",
                                        .text = "a snapshot was taken",
                                        .data = "{}"};
    HF_TEST_OK(hf_events_insert(test.write, rows, EVENTS, &err));
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
    open_with_system(_i);
    insert_events();
    struct events events = {0};
    for (int pages = 0; pages < 3; pages++) {
        HF_TEST_OK(hf_events_list(test.read, HF_TEST_SYSTEM, NULL, events.last_id, 10, note_event, &events, &err));
        ck_assert_int_eq(events.count, pages < 2 ? (pages + 1) * 10 : EVENTS);
    }
    ck_assert_int_eq(count_events("warning"), 5);
    ck_assert_int_eq(count_events("error"), 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(events_are_trimmed_by_age_and_ids_are_not_given_again)
{
    struct hf_error err;
    open_with_system(_i);
    insert_events();
    int64_t deleted = 0, total = 0;
    do {
        HF_TEST_OK(hf_events_trim(test.write, 100, 4, &deleted, &err));
        ck_assert_int_le(deleted, 4);
        total += deleted;
    } while (deleted > 0);
    ck_assert_int_eq(total, 10);
    ck_assert_int_eq(count_events(NULL), EVENTS - 10);
    struct events before = {0};
    HF_TEST_OK(hf_events_list(test.read, HF_TEST_SYSTEM, NULL, 0, 1000, note_event, &before, &err));
    HF_TEST_OK(hf_events_trim(test.write, INT64_MAX, 1000, &deleted, &err));
    ck_assert_int_eq(deleted, EVENTS - 10);
    insert_events();
    struct events after = {.last_id = before.last_id}; /* note_event wants every id to be greater */
    HF_TEST_OK(hf_events_list(test.read, HF_TEST_SYSTEM, NULL, 0, 1000, note_event, &after, &err));
    ck_assert_int_eq(after.count, EVENTS);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(newest_event_is_that_of_any_system)
{
    struct hf_error err;
    int64_t newest = -1, deleted;
    open_with_system(_i);
    HF_TEST_OK(hf_events_newest(test.read, &newest, &err));
    ck_assert_int_eq(newest, 0);
    insert_events();
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
    open_with_system(_i);
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

START_TEST(old_recoveries_are_trimmed_in_steps_and_the_newest_stays)
{
    struct hf_error err;
    open_with_system(_i);
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
    struct names names = {0};
    HF_TEST_OK(hf_recoveries_list(test.read, HF_TEST_SYSTEM, INT64_MAX, "", 10, note_recovery, &names, &err));
    ck_assert_str_eq(names.joined, "r4 r3 r2 ");
    HF_TEST_OK(hf_recoveries_trim(test.write, HF_TEST_SYSTEM, 300, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    HF_TEST_OK(hf_recoveries_trim(test.write, HF_TEST_SYSTEM, INT64_MAX, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    names = (struct names){0};
    HF_TEST_OK(hf_recoveries_list(test.read, HF_TEST_SYSTEM, INT64_MAX, "", 10, note_recovery, &names, &err));
    ck_assert_str_eq(names.joined, "r4 ");
    hf_test_store_done(&test);
}
END_TEST

static int count_validations(const char *snapshot)
{
    struct hf_error err;
    struct names names = {0};
    HF_TEST_OK(hf_validations_list(test.read, HF_TEST_SYSTEM, snapshot, note_validation, &names, &err));
    return names.count;
}

START_TEST(validations_of_snapshots_that_are_gone_are_trimmed_by_age)
{
    struct hf_error err;
    open_with_system(_i);
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
    add_name(context, row->data);
    return true;
}

START_TEST(validations_keep_their_data_and_only_their_newest_runs)
{
    struct hf_error err;
    open_with_system(_i);
    insert_run("s1", 100, NULL);
    insert_run("s1", 200, "{\"lost\":[]}");
    insert_run("s1", 300, "{\"lost\":[\"ü\"]}");
    insert_run("s2", 50, NULL);
    HF_TEST_OK(hf_validations_forget(test.write, HF_TEST_SYSTEM, "s1", 3, &err));
    ck_assert_int_eq(count_validations("s1"), 6);
    HF_TEST_OK(hf_validations_forget(test.write, HF_TEST_SYSTEM, "s1", 2, &err));
    struct names data = {0};
    HF_TEST_OK(hf_validations_list(test.read, HF_TEST_SYSTEM, "s1", note_data, &data, &err));
    ck_assert_str_eq(data.joined, "{\"lost\":[]} {\"lost\":[]} {\"lost\":[\"ü\"]} {\"lost\":[\"ü\"]} ");
    struct names other = {0};
    HF_TEST_OK(hf_validations_list(test.read, HF_TEST_SYSTEM, "s2", note_data, &other, &err));
    ck_assert_str_eq(other.joined, "{} {} ");
    hf_test_store_done(&test);
}
END_TEST

START_TEST(deleted_system_leaves_nothing_behind)
{
    struct hf_error err;
    open_with_system(_i);
    insert_snapshots();
    insert_events();
    const struct hf_component_row row = component(1, "agent-1");
    HF_TEST_OK(hf_components_insert(test.write, &row, 1, &err));
    HF_AUTO(free) char *content = hf_alloc(200 * 1024);
    const struct hf_state_row state = hf_test_state(1, 1, 1, 0, content, 200 * 1024);
    hf_test_store_commit(&test, &state, 1);
    HF_TEST_OK(hf_systems_delete(test.write, HF_TEST_SYSTEM, &err));
    const struct hf_value id = HF_INT(HF_TEST_SYSTEM);
    const struct hf_value range[] = {id, HF_INT(0), HF_INT(INT64_MAX)};
    ck_assert_int_eq(hf_test_store_count(test.read, HF_STMT_SYSTEMS_LIST, NULL, 0), 0);
    ck_assert_int_eq(hf_test_store_count(test.read, HF_STMT_COMPONENTS_LIST, &id, 1), 0);
    ck_assert_int_eq(hf_test_store_count(test.read, HF_STMT_STATES_TAIL, range, 3), 0);
    ck_assert_int_eq(hf_test_store_count(test.read, HF_STMT_CHUNKS_GET, (const struct hf_value[]){id, HF_INT(1)}, 2),
                     0);
    struct page page = {0};
    HF_TEST_OK(hf_snapshots_list(test.read, HF_TEST_SYSTEM, NULL, INT64_MAX, "", 10, note_snapshot, &page, &err));
    ck_assert_int_eq(page.names.count, 0);
    ck_assert_int_eq(count_events(NULL), 0);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("contract_records", system_keeps_its_settings, one_system_is_found_by_its_id,
                   system_name_is_given_once, component_is_registered_and_folded, snapshots_are_paged_newest_first,
                   latest_snapshot_is_a_complete_one, snapshot_comes_back_changes_and_goes,
                   recovery_is_logged_and_updated, validations_are_listed_oldest_first_per_snapshot,
                   events_are_paged_oldest_first, newest_event_is_that_of_any_system,
                   events_are_trimmed_by_age_and_ids_are_not_given_again,
                   old_recoveries_are_trimmed_in_steps_and_the_newest_stays,
                   validations_of_snapshots_that_are_gone_are_trimmed_by_age,
                   validations_keep_their_data_and_only_their_newest_runs, key_is_replaced_and_trimmed,
                   deleted_system_leaves_nothing_behind);
