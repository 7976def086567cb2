/* Rows of snapshots, on both engines. */
#include "core/auto.h"
#include "store/snapshots.h"
#include "tests/support/store_rows.h"

#include <stdint.h>

static struct hf_test_store test;

struct page {
    struct hf_test_names names;
    int64_t last_cut_at_ms;
    char last_id[64];
};

static bool note_snapshot(void *context, const struct hf_snapshot_row *row)
{
    struct page *page = context;
    hf_test_add_name(&page->names, row->id);
    page->last_cut_at_ms = row->cut_at_ms;
    snprintf(page->last_id, sizeof(page->last_id), "%s", row->id);
    return true;
}

START_TEST(snapshots_are_paged_newest_first)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    hf_test_insert_snapshots(test.write);
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
    hf_test_store_begin(&test, _i);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_snapshot_row row;
    bool found = true;
    HF_TEST_OK(hf_snapshots_latest(test.read, HF_TEST_SYSTEM, NULL, &arena, &row, &found, &err));
    ck_assert(!found);
    hf_test_insert_snapshots(test.write);
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
    hf_test_store_begin(&test, _i);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    hf_test_insert_snapshots(test.write);
    const struct hf_snapshot_row wanted = hf_test_snapshot_row("s2", "incremental", 200);
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

HF_TEST_STORE_MAIN("contract_snapshots", snapshots_are_paged_newest_first, latest_snapshot_is_a_complete_one,
                   snapshot_comes_back_changes_and_goes);
