/* Rows of systems and components, on both engines. */
#include "core/auto.h"
#include "store/components.h"
#include "store/journal.h"
#include "store/snapshots.h"
#include "tests/support/store_rows.h"

#include <stdint.h>
#include <string.h>

static struct hf_test_store test;

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
    hf_test_store_begin(&test, _i);
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
    hf_test_store_begin(&test, _i);
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
    hf_test_store_begin(&test, _i);
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
    hf_test_store_begin(&test, _i);
    struct hf_component_row rows[] = {hf_test_component_row(1, "agent-1"), hf_test_component_row(2, "agent-2")},
                            kept[2];
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

static bool count_snapshot(void *context, const struct hf_snapshot_row *row)
{
    (void)row;
    ++*(int *)context;
    return true;
}

static bool count_event(void *context, const struct hf_event_row *row)
{
    (void)row;
    ++*(int *)context;
    return true;
}

START_TEST(deleted_system_leaves_nothing_behind)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    hf_test_insert_snapshots(test.write);
    hf_test_insert_events(test.write);
    const struct hf_component_row row = hf_test_component_row(1, "agent-1");
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
    int snapshots = 0, events = 0;
    HF_TEST_OK(hf_snapshots_list(test.read, HF_TEST_SYSTEM, NULL, INT64_MAX, "", 10, count_snapshot, &snapshots, &err));
    ck_assert_int_eq(snapshots, 0);
    HF_TEST_OK(hf_events_list(test.read, HF_TEST_SYSTEM, NULL, 0, 1000, count_event, &events, &err));
    ck_assert_int_eq(events, 0);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("contract_records", system_keeps_its_settings, one_system_is_found_by_its_id,
                   system_name_is_given_once, component_is_registered_and_folded, deleted_system_leaves_nothing_behind);
