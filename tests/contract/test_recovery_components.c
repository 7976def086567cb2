/* What clients report about a recovery, on both engines. */
#include "core/auto.h"
#include "store/journal.h"
#include "store/recovery_components.h"
#include "tests/support/stores.h"

#include <stdint.h>
#include <string.h>

#define MANY 2500 /* more than one portion */

static struct hf_test_store test;

static void open_with_recoveries(int engine)
{
    struct hf_error err;
    hf_test_store_begin(&test, engine);
    static const char *const ids[] = {"old", "older", "newest"};
    for (int i = 0; i < 3; i++) {
        const struct hf_recovery_row row = {.system_id = HF_TEST_SYSTEM,
                                            .id = ids[i],
                                            .source = "head",
                                            .status = i == 0 ? "applied" : "pending",
                                            .started_at_ms = i == 0   ? 200
                                                             : i == 1 ? 100
                                                                      : 300};
        HF_TEST_OK(hf_recoveries_insert(test.write, &row, &err));
    }
}

static void add_components(const char *recovery)
{
    struct hf_error err;
    static const struct hf_recovery_component_row rows[] = {{"b", 1}, {"a", 1}, {"base", 0}};
    HF_TEST_OK(hf_recovery_components_insert(test.write, HF_TEST_SYSTEM, recovery, rows, 3, &err));
}

static void report(const char *recovery, const char *component, const char *status)
{
    struct hf_error err;
    const struct hf_recovery_component_row row = {.component = component,
                                                  .status = status,
                                                  .detail = "as told",
                                                  .duration_ms = strcmp(status, "fresh") == 0 ? -1 : 7,
                                                  .reported_at_ms = 99};
    HF_TEST_OK(hf_recovery_components_report(test.write, HF_TEST_SYSTEM, recovery, &row, &err));
}

static bool join_row(void *context, const struct hf_recovery_component_row *row)
{
    char *joined = context;
    sprintf(joined + strlen(joined), "%s:%d:%s:%s:%d:%d ", row->component, (int)row->wave, row->status, row->detail,
            (int)row->duration_ms, (int)row->reported_at_ms);
    return true;
}

START_TEST(components_are_pending_until_they_report)
{
    struct hf_error err;
    open_with_recoveries(_i);
    add_components("old");
    add_components("newest");
    report("old", "a", "failed");
    report("old", "base", "fresh");
    char joined[512] = "";
    HF_TEST_OK(hf_recovery_components_list(test.read, HF_TEST_SYSTEM, "old", join_row, joined, &err));
    ck_assert_str_eq(joined, "base:0:fresh:as told:-1:99 a:1:failed:as told:7:99 b:1:pending::-1:0 ");
    struct hf_recovery_component_counts counts;
    HF_TEST_OK(hf_recovery_components_count(test.read, HF_TEST_SYSTEM, "old", &counts, &err));
    ck_assert_int_eq(counts.pending, 1);
    ck_assert_int_eq(counts.failed, 1);
    ck_assert_int_eq(counts.fresh, 1);
    ck_assert_int_eq(counts.restored, 0);
    HF_TEST_OK(hf_recovery_components_count(test.read, HF_TEST_SYSTEM, "newest", &counts, &err));
    ck_assert_int_eq(counts.pending, 3);

    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_recovery_component_row row;
    bool found = false;
    HF_TEST_OK(hf_recovery_components_get(test.read, HF_TEST_SYSTEM, "old", "a", &arena, &row, &found, &err));
    ck_assert(found);
    ck_assert_str_eq(row.status, "failed");
    ck_assert_int_eq(row.duration_ms, 7);
    HF_TEST_OK(hf_recovery_components_get(test.read, HF_TEST_SYSTEM, "old", "c", &arena, &row, &found, &err));
    ck_assert(!found);
    const char *names[2];
    int count = 0;
    HF_TEST_OK(
        hf_recovery_components_names(test.read, HF_TEST_SYSTEM, "newest", false, 2, &arena, names, &count, &err));
    ck_assert_int_eq(count, 2);
    ck_assert_str_eq(names[0], "a");
    ck_assert_str_eq(names[1], "b");
    HF_TEST_OK(hf_recovery_components_names(test.read, HF_TEST_SYSTEM, "old", true, 2, &arena, names, &count, &err));
    ck_assert_int_eq(count, 1);
    ck_assert_str_eq(names[0], "a");
    hf_test_store_done(&test);
}
END_TEST

START_TEST(a_component_is_in_a_recovery_once)
{
    struct hf_error err;
    open_with_recoveries(_i);
    add_components("old");
    const struct hf_recovery_component_row again = {"a", 0};
    HF_TEST_FAILS(HF_CONFLICT, hf_recovery_components_insert(test.write, HF_TEST_SYSTEM, "old", &again, 1, &err));
    hf_test_store_done(&test);
}
END_TEST

START_TEST(more_components_than_a_portion_are_inserted)
{
    struct hf_error err;
    open_with_recoveries(_i);
    static char names[MANY][8];
    static struct hf_recovery_component_row rows[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "c%d", i);
        rows[i] = (struct hf_recovery_component_row){names[i], i % 3};
    }
    HF_TEST_OK(hf_recovery_components_insert(test.write, HF_TEST_SYSTEM, "old", rows, MANY, &err));
    struct hf_recovery_component_counts counts;
    HF_TEST_OK(hf_recovery_components_count(test.read, HF_TEST_SYSTEM, "old", &counts, &err));
    ck_assert_int_eq(counts.pending, MANY);
    hf_test_store_done(&test);
}
END_TEST

static bool join_overdue(void *context, int64_t system_id, const char *recovery)
{
    char *joined = context;
    sprintf(joined + strlen(joined), "%d/%s ", (int)system_id, recovery);
    return true;
}

START_TEST(who_waits_too_long_is_found_until_it_ends)
{
    struct hf_error err;
    open_with_recoveries(_i);
    HF_TEST_OK(hf_recovery_waiting_begin(test.write, HF_TEST_SYSTEM, "newest", 20, &err));
    HF_TEST_OK(hf_recovery_waiting_begin(test.write, HF_TEST_SYSTEM, "old", 10, &err));
    HF_TEST_OK(hf_recovery_waiting_begin(test.write, HF_TEST_SYSTEM, "older", 21, &err));
    struct hf_recovery_waiting waiting;
    bool found = false, ended = false;
    HF_TEST_OK(hf_recovery_waiting_get(test.read, HF_TEST_SYSTEM, "old", &waiting, &found, &err));
    ck_assert(found);
    ck_assert_str_eq(waiting.status, "applied");
    ck_assert_int_eq(waiting.started_at_ms, 200);
    ck_assert_int_eq(waiting.reporting_since_ms, 10);
    char overdue[128] = "", one[128] = "", rest[128] = "";
    HF_TEST_OK(hf_recovery_waiting_overdue(test.read, 20, 10, join_overdue, overdue, &err));
    ck_assert_str_eq(overdue, "7/old 7/newest ");
    HF_TEST_OK(hf_recovery_waiting_overdue(test.read, 20, 1, join_overdue, one, &err));
    ck_assert_str_eq(one, "7/old ");
    HF_TEST_OK(hf_recovery_waiting_end(test.write, HF_TEST_SYSTEM, "old", "failed", 500, &ended, &err));
    ck_assert(ended);
    HF_TEST_OK(hf_recovery_waiting_end(test.write, HF_TEST_SYSTEM, "old", "completed", 600, &ended, &err));
    ck_assert(!ended); /* it has ended already */
    HF_TEST_OK(hf_recovery_waiting_get(test.read, HF_TEST_SYSTEM, "old", &waiting, &found, &err));
    ck_assert_str_eq(waiting.status, "failed");
    ck_assert_int_eq(waiting.reporting_since_ms, 0);
    HF_TEST_OK(hf_recovery_waiting_overdue(test.read, 20, 10, join_overdue, rest, &err));
    ck_assert_str_eq(rest, "7/newest ");
    HF_TEST_OK(hf_recovery_waiting_get(test.read, HF_TEST_SYSTEM, "none", &waiting, &found, &err));
    ck_assert(!found);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(a_recovery_is_trimmed_after_its_components)
{
    struct hf_error err;
    open_with_recoveries(_i);
    add_components("old");
    add_components("newest");
    int64_t deleted = 0;
    HF_TEST_OK(hf_recoveries_trim(test.write, HF_TEST_SYSTEM, 1000, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 1); /* older has none */
    HF_TEST_OK(hf_recovery_components_trim(test.write, HF_TEST_SYSTEM, 1000, 2, &deleted, &err));
    ck_assert_int_eq(deleted, 2);
    HF_TEST_OK(hf_recovery_components_trim(test.write, HF_TEST_SYSTEM, 1000, 2, &deleted, &err));
    ck_assert_int_eq(deleted, 1); /* those of the newest stay */
    HF_TEST_OK(hf_recoveries_trim(test.write, HF_TEST_SYSTEM, 1000, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    struct hf_recovery_component_counts counts;
    HF_TEST_OK(hf_recovery_components_count(test.read, HF_TEST_SYSTEM, "newest", &counts, &err));
    ck_assert_int_eq(counts.pending, 3);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(a_deleted_system_takes_its_reports_along)
{
    struct hf_error err;
    open_with_recoveries(_i);
    add_components("old");
    HF_TEST_OK(hf_systems_delete(test.write, HF_TEST_SYSTEM, &err));
    struct hf_recovery_component_counts counts;
    HF_TEST_OK(hf_recovery_components_count(test.read, HF_TEST_SYSTEM, "old", &counts, &err));
    ck_assert_int_eq(counts.pending, 0);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("recovery components", components_are_pending_until_they_report, a_component_is_in_a_recovery_once,
                   more_components_than_a_portion_are_inserted, who_waits_too_long_is_found_until_it_ends,
                   a_recovery_is_trimmed_after_its_components, a_deleted_system_takes_its_reports_along);
