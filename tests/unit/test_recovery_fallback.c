/* Restores past damage: what is healed, and what is passed over, for what reason and at what cost. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "engine/validation.h"
#include "store/snapshots.h"
#include "tests/support/engine.h"
#include "tests/support/recoveries.h"
#include "tests/support/snapshots.h"

#include "tests/support/check_main.h"

#include <string.h>
#include <sys/stat.h>

static const char *const own_generations[] = {"--anchor-interval", "0", "--enable-state-validation", "false", NULL};
static struct hf_test_service service;
static struct hf_error err;

/* Reading it fails, which says nothing about its bytes. */
static void make_unreadable(const struct hf_snapshot_row *row)
{
    const char *loop = hf_test_service_path(&service, "loop");
    ck_assert_int_eq(symlink(loop, loop), 0);
    ck_assert_int_eq(rename(loop, hf_test_engine_snapshot_path(&service, row)),
                     0); /* in one step: a file that is gone for a moment is damage */
}

static void expect_skipped(const json_t *skipped, const struct hf_snapshot_row *bad, const struct hf_snapshot_row *used)
{
    ck_assert_str_eq(json_string_value(json_object_get(skipped, "snapshot")), bad->id);
    ck_assert_int_gt(json_string_length(json_object_get(skipped, "reason")), 0);
    const json_t *ms = json_object_get(skipped, "extraDataLossMs"),
                 *versions = json_object_get(skipped, "extraVersions");
    if (!used) {
        ck_assert(json_is_null(ms) && json_is_null(versions));
        return;
    }
    ck_assert(json_is_integer(ms) && json_is_integer(versions));
    ck_assert_int_eq(json_integer_value(ms), bad->cut_at_ms - used->cut_at_ms);
    ck_assert_int_eq(json_integer_value(versions), bad->sequence - used->sequence);
}

/* Two fulls of their own generations; the content of the newer is in no other place. */
static void make_good_and_bad(struct hf_snapshot_row *good, struct hf_snapshot_row *bad)
{
    hf_test_service_open(&service, own_generations);
    hf_test_put(&service, "a", "{\"a\":\"good\"}");
    *good = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"never\"}");
    hf_test_put(&service, "a", "{\"a\":\"bad\"}");
    usleep(2000);
    *bad = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"now\"}");
    hf_test_forget_history(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, bad), "{\"a\":\"bad\"}");
}

START_TEST(latest_is_healed_where_a_good_copy_is_left)
{
    hf_test_service_open(&service, own_generations);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"second\"}");
    struct hf_snapshot_row newer = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"now\"}"); /* the history still has the second */
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &newer), "{\"a\":\"second\"}");
    struct hf_recovery_row row;
    ck_assert_msg(hf_test_try_restore(&service, "latest", &row, &err), "%s", err.text);
    ck_assert_str_eq(row.snapshot, newer.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"second\"}");
    hf_test_expect_detail(&row, "skipped", "[]");
    hf_test_expect_detail(&row, "salvage", "null");
    ck_assert_ptr_nonnull(strstr(row.detail, "is whole again: 1 contents healed"));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(each_snapshot_passed_over_is_told_with_its_reason_and_its_cost)
{
    struct hf_snapshot_row good, bad;
    make_good_and_bad(&good, &bad);
    for (int again = 0; again < 2; again++) { /* the second time it is known to be damaged */
        struct hf_recovery_row row;
        ck_assert_msg(hf_test_recover(&service, &(struct hf_recovery_request){.source = "at", .at_ms = bad.cut_at_ms},
                                      &row, &err),
                      "%s", err.text);
        ck_assert_str_eq(row.snapshot, good.id);
        ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"good\"}");
        HF_AUTO(json) json_t *detail = hf_test_recovery_detail(&row);
        const json_t *skipped = json_object_get(detail, "skipped");
        ck_assert_int_eq(json_array_size(skipped), 1);
        expect_skipped(json_array_get(skipped, 0), &bad, &good);
        const char *reason = json_string_value(json_object_get(json_array_get(skipped, 0), "reason"));
        ck_assert_int_eq(strstr(reason, "known to be damaged") != NULL, again);
    }
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_plan_keeps_the_cost_of_what_it_passed_over)
{
    struct hf_snapshot_row good, bad;
    struct hf_recovery_row plan, row;
    make_good_and_bad(&good, &bad);
    ck_assert_msg(
        hf_test_recover(&service,
                        &(struct hf_recovery_request){.source = "snapshot", .snapshot = "latest", .dry_run = true},
                        &plan, &err),
        "%s", err.text);
    ck_assert_str_eq(plan.snapshot, good.id);
    ck_assert_msg(hf_test_apply(&service, plan.id, false, &row, &err), "%s", err.text);
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(&row);
    expect_skipped(json_array_get(json_object_get(detail, "skipped"), 0), &bad, &good);
    hf_test_service_close(&service);
}
END_TEST

/* As if the good copy had been away when it was validated. */
START_TEST(what_is_marked_damaged_is_tried_again_when_a_copy_is_back)
{
    struct hf_snapshot_row good, bad;
    struct hf_recovery_row row;
    make_good_and_bad(&good, &bad);
    struct hf_validation verdict;
    ck_assert(hf_validation_run(service.engine, HF_TEST_NAME, bad.id, true, 0, &service.arena, &verdict, &err));
    ck_assert_str_eq(verdict.status, "damaged");
    hf_test_put(&service, "b", "{\"a\":\"bad\"}"); /* the same content */
    ck_assert_msg(hf_test_try_restore(&service, "latest", &row, &err), "%s", err.text);
    ck_assert_str_eq(row.snapshot, bad.id);
    hf_test_expect_detail(&row, "skipped", "[]");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"bad\"}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(only_the_newest_three_that_are_marked_damaged_are_tried_again)
{
    struct hf_snapshot_row rows[5];
    struct hf_recovery_row row;
    hf_test_service_open(&service, own_generations);
    for (int i = 0; i < 5; i++) {
        hf_test_put(&service, "a", hf_arena_format(&service.arena, "{\"a\":\"%d\"}", i));
        rows[i] = hf_test_full(&service);
        usleep(2000);
    }
    hf_test_put(&service, "a", "{\"a\":\"now\"}");
    hf_test_forget_history(&service);
    for (int i = 1; i < 5; i++) {
        hf_test_damage_content(hf_test_engine_snapshot_path(&service, &rows[i]),
                               hf_arena_format(&service.arena, "{\"a\":\"%d\"}", i));
        ck_assert(hf_snapshot_mark_damaged(service.engine, HF_TEST_NAME, rows[i].id, "a test", &err));
    }
    ck_assert_msg(hf_test_try_restore(&service, "latest", &row, &err), "%s", err.text);
    ck_assert_str_eq(row.snapshot, rows[0].id);
    ck_assert_ptr_nonnull(strstr(row.detail, "was not tried again: 3 newer ones were"));
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(&row);
    ck_assert_int_eq(json_array_size(json_object_get(detail, "skipped")), 4);
    hf_test_service_close(&service);
}
END_TEST

/* Two fulls; the newer cannot be mended, though what it lacks is in the history still. */
static void make_unmendable(struct hf_snapshot_row *newer)
{
    setenv("HOLDFAST_FAULT", "repair_before_write:error", 1);
    hf_test_service_open(&service, own_generations);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    hf_test_put(&service, "b", "{\"b\":\"first\"}");
    hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"second\"}");
    *newer = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"now\"}");
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, newer), "{\"a\":\"second\"}");
}

static void expect_second(const struct hf_recovery_row *row, const struct hf_snapshot_row *newer)
{
    ck_assert_str_eq(row->snapshot, newer->id);
    ck_assert_str_eq(row->status, "applied");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"second\"}");
    hf_test_expect_detail(row, "lost", "[]");
    hf_test_expect_detail(row, "skipped", "[]");
    ck_assert_ptr_nonnull(strstr(row->detail, "cannot be mended now"));
}

START_TEST(what_cannot_be_written_again_is_restored_all_the_same)
{
    struct hf_snapshot_row newer;
    struct hf_recovery_row row;
    for (int i = 0; i < 2; i++) {
        make_unmendable(&newer);
        ck_assert_msg(hf_test_try_restore(&service, i ? newer.id : "latest", &row, &err), "%s", err.text);
        expect_second(&row, &newer);
        hf_test_service_close(&service);
    }
    make_unmendable(&newer);
    ck_assert_msg(hf_test_salvage(&service, newer.id, false, &row, &err), "%s", err.text);
    expect_second(&row, &newer);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_only_a_rewrite_could_bring_says_that_it_cannot_be_mended)
{
    struct hf_snapshot_row newer;
    struct hf_recovery_row row;
    make_unmendable(&newer);
    hf_test_forget_history(&service);
    struct hf_system_info before = hf_test_system(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &newer),
                           "{\"b\":\"first\"}"); /* mendable, so that a rewrite is tried */
    ck_assert(!hf_test_try_restore(&service, "latest", &row, &err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert_msg(strstr(err.text, "it cannot be mended") != NULL, "%s", err.text);
    hf_test_expect_unchanged(&service, &before);
    ck_assert_msg(hf_test_salvage(&service, newer.id, false, &row, &err), "%s", err.text);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"now\"}"); /* lost: it stays */
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_ends_the_search)
{
    hf_test_service_open(&service, own_generations);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row newer = hf_test_full(&service);
    struct hf_system_info before = hf_test_system(&service);
    make_unreadable(&newer);
    struct hf_recovery_row row;
    ck_assert(!hf_test_try_restore(&service, "latest", &row, &err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "does not prove it damaged"));
    hf_test_expect_unchanged(&service, &before);
    struct hf_snapshot_row marked;
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, newer.id, &service.arena, &marked, &err));
    ck_assert_str_eq(marked.state, "complete");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_content_that_cannot_be_read_ends_the_search)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row first = hf_test_full(&service);
    hf_test_put(&service, "b", "{\"b\":1}");
    struct hf_snapshot_row second = hf_test_full(&service); /* refers to the content of a in the first */
    ck_assert_str_eq(second.generation, first.id);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_system_info before = hf_test_system(&service);
    make_unreadable(&first);
    struct hf_recovery_row row;
    ck_assert(!hf_test_try_restore(&service, "latest", &row, &err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "does not prove it damaged"));
    ck_assert(!hf_test_salvage(&service, second.id, false, &row, &err)); /* nor does it prove anything lost */
    ck_assert_int_eq(err.code, HF_IO);
    hf_test_expect_unchanged(&service, &before);
    hf_test_service_close(&service);
}
END_TEST

static void start_again_with_key(const char *file_or_null)
{
    hf_test_service_crash(&service);
    free(service.config.encryption_key_file);
    service.config.encryption_key_file = file_or_null ? hf_strdup(file_or_null) : NULL;
    hf_test_service_start(&service);
}

START_TEST(a_snapshot_whose_key_is_not_at_hand_ends_the_search)
{
    hf_test_service_open(&service, own_generations);
    const char *key_file = hf_test_service_path(&service, "keys");
    hf_test_write_file(key_file, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", 65);
    ck_assert_int_eq(chmod(key_file, 0600), 0);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    start_again_with_key(key_file);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row sealed = hf_test_full(&service);
    start_again_with_key(NULL);
    hf_test_put(&service, "a", "{\"a\":3}");
    struct hf_system_info before = hf_test_system(&service);
    struct hf_recovery_row row;
    ck_assert(!hf_test_try_restore(&service, "latest", &row, &err));
    ck_assert_msg(err.code == HF_KEY_MISSING, "%s", err.text);
    ck_assert(!hf_test_salvage(&service, sealed.id, false, &row, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    hf_test_expect_unchanged(&service, &before);
    struct hf_snapshot_row marked;
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, sealed.id, &service.arena, &marked, &err));
    ck_assert_str_eq(marked.state, "complete");
    start_again_with_key(key_file);
    ck_assert_msg(hf_test_try_restore(&service, "latest", &row, &err), "%s", err.text);
    ck_assert_str_eq(row.snapshot, sealed.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    hf_test_service_close(&service);
}
END_TEST

/* While it is stopped. The statement holds no quotes. */
static void alter_database(const char *statement)
{
    hf_test_service_crash(&service);
    HF_AUTO(free)
    char *command = hf_format("python3 -c \"import sqlite3;c=sqlite3.connect('%s/holdfast.db');c.execute('%s');"
                              "c.commit();c.close()\"",
                              service.directory, statement);
    ck_assert_int_eq(system(command), 0);
    hf_test_service_start(&service);
}

START_TEST(a_moment_whose_history_is_damaged_comes_from_the_snapshot_before_it)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    usleep(5000);
    int64_t at_ms = hf_clock_now_ms();
    usleep(5000);
    hf_test_put(&service, "a", "{\"a\":3}");
    alter_database("update component_states set content=cast(char(123,125) as blob) where version=2");
    struct hf_recovery_row row;
    ck_assert_msg(hf_test_recover(&service, &(struct hf_recovery_request){.source = "at", .at_ms = at_ms}, &row, &err),
                  "%s", err.text);
    ck_assert_str_eq(row.snapshot, full.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_ptr_nonnull(strstr(row.detail, "the history in the database does not serve"));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_damaged_history_without_a_snapshot_is_an_error)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":2}");
    usleep(5000);
    int64_t at_ms = hf_clock_now_ms();
    usleep(5000);
    hf_test_put(&service, "a", "{\"a\":3}");
    alter_database("update component_states set content=cast(char(123,125) as blob) where version=1");
    struct hf_recovery_row row;
    struct hf_system_info before = hf_test_system(&service);
    ck_assert(!hf_test_recover(&service, &(struct hf_recovery_request){.source = "at", .at_ms = at_ms}, &row, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_test_expect_unchanged(&service, &before);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":3}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(when_none_is_whole_the_answer_says_what_can_be_done)
{
    hf_test_service_open(&service, own_generations);
    hf_test_put(&service, "a", "{\"a\":\"one\"}");
    struct hf_snapshot_row one = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"two\"}");
    struct hf_snapshot_row two = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"now\"}");
    hf_test_forget_history(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &one), "{\"a\":\"one\"}");
    hf_test_cut_off(&service, &two);
    struct hf_system_info before = hf_test_system(&service);
    struct hf_recovery_row row;
    ck_assert(!hf_test_try_restore(&service, "latest", &row, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_int_eq(hf_code_status(err.code), 500);
    ck_assert_ptr_nonnull(strstr(err.text, "none of the 2 snapshots"));
    ck_assert_ptr_nonnull(strstr(err.text, "\"salvage\": true"));
    ck_assert_ptr_nonnull(strstr(err.text, "validate"));
    hf_test_expect_unchanged(&service, &before);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"now\"}");
    hf_test_service_close(&service);
}
END_TEST

static bool make_import(struct hf_session *session, void *context, struct hf_error *error)
{
    struct hf_snapshot_row row = *(const struct hf_snapshot_row *)context;
    row.trigger = "import";
    return hf_snapshots_delete(session, row.system_id, row.id, error) && hf_snapshots_insert(session, &row, error);
}

START_TEST(an_import_is_restored_by_its_id_alone)
{
    hf_test_service_open(&service, own_generations);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row own = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row import = hf_test_full(&service);
    struct hf_call call = {.run = make_import, .context = &import};
    ck_assert_msg(hf_committer_call(service.engine->committer, &call, &err), "%s", err.text);
    hf_test_put(&service, "a", "{\"a\":3}");
    struct hf_recovery_row row;
    ck_assert_msg(hf_test_try_restore(&service, "latest", &row, &err), "%s", err.text);
    ck_assert_str_eq(row.snapshot, own.id);
    hf_test_expect_detail(&row, "skipped", "[]");
    ck_assert_msg(hf_test_try_restore(&service, import.id, &row, &err), "%s", err.text);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_plan_remembers_its_age_limit_and_checks_it_again)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_recovery_row plan, row;
    struct hf_recovery_request request = {.source = "snapshot",
                                          .snapshot = full.id,
                                          .age_ms_max = 3600000,
                                          .dry_run = true};
    ck_assert_msg(hf_test_recover(&service, &request, &plan, &err), "%s", err.text);
    ck_assert(hf_recovery_read_plan(service.engine, HF_TEST_NAME, plan.id, &service.arena, &row, &request, &err));
    ck_assert_int_eq(request.age_ms_max, 3600000);
    request.age_ms_max = 1; /* as if it had waited too long */
    usleep(5000);
    ck_assert(!hf_test_recover(&service, &request, &row, &err));
    ck_assert_int_eq(err.code, HF_PRECONDITION);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    hf_test_service_close(&service);
}
END_TEST

static bool insert_snapshot(struct hf_session *session, void *context, struct hf_error *error)
{
    return hf_snapshots_insert(session, context, error);
}

/* A snapshot of a system of the same name that was created at another time, with "a" at version 90. */
static const char *add_foreign_snapshot(void)
{
    struct hf_manifest_header header = {.system = HF_TEST_NAME,
                                        .id = "full-20200101T000000Z-100",
                                        .kind = "full",
                                        .trigger = "import",
                                        .label = "",
                                        .generation = "full-20200101T000000Z-100",
                                        .parent = "",
                                        .sequence = 100,
                                        .epoch = 1,
                                        .cut_at_ms = 1577836800000,
                                        .components = 1,
                                        .changed = 1,
                                        .state_bytes = 7,
                                        .description = "",
                                        .backup_interval_ms = -1,
                                        .incremental_interval_ms = -1,
                                        .max_retention_hours = -1,
                                        .created_at_ms = 1577000000000,
                                        .signed_by = "",
                                        .signature = ""};
    struct hf_manifest_entry entry = {.component = "a",
                                      .version = 90,
                                      .sequence = 95,
                                      .bytes = 7,
                                      .content_type = "application/json",
                                      .committed_at_ms = 1577836700000,
                                      .component_kind = "",
                                      .depends_on = "[]",
                                      .required_pointers = "[]",
                                      .created_at_ms = 1577836700000,
                                      .blob_file = ""};
    hf_hash_of("{\"a\":9}", 7, &entry.hash);
    struct hf_hasher *hasher = hf_hasher_new();
    hf_root_hash_add(hasher, "a", &entry.hash);
    hf_hasher_finish(hasher, &header.root_hash);
    hf_hasher_free(hasher);
    struct hf_snapshot_writer *writer;
    char *file = NULL;
    int64_t file_bytes = 0;
    ck_assert_msg(hf_snapshot_writer_new(&writer, service.engine->repository, &header, &err), "%s", err.text);
    ck_assert_msg(hf_snapshot_writer_add_blob(writer, &entry.hash, "{\"a\":9}", 7, &entry.blob_offset,
                                              &entry.blob_stored_bytes, &err) &&
                      hf_snapshot_writer_add_entry(writer, &entry, &err) &&
                      hf_snapshot_writer_finish(writer, &header, &file, &file_bytes, &err),
                  "%s", err.text);
    hf_snapshot_writer_free(writer);
    struct hf_snapshot_row row =
        hf_snapshot_row_of_file(hf_test_system(&service).id, &header, file, file_bytes, false, "");
    struct hf_call call = {.run = insert_snapshot, .context = &row};
    ck_assert_msg(hf_committer_call(service.engine->committer, &call, &err), "%s", err.text);
    free(file);
    return "full-20200101T000000Z-100";
}

START_TEST(versions_of_another_system_do_not_count_against_the_loss)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "a", "{\"a\":3}");
    const char *id = add_foreign_snapshot();
    struct hf_recovery_row row;
    ck_assert_msg(hf_test_try_restore(&service, id, &row, &err), "%s", err.text);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":9}");
    ck_assert_int_eq(row.data_loss_versions, 3);
    ck_assert_int_eq(row.data_loss_components, 1);
    ck_assert_ptr_nonnull(strstr(row.detail, "was imported: its version numbers need not compare"));
    ck_assert_int_eq(hf_test_put(&service, "a", "4"), 5);
    hf_test_service_close(&service);
}
END_TEST

static bool keep_first(void *context, const struct hf_recovery_row *row)
{
    struct hf_recovery_row *out = context;
    out->snapshot = hf_arena_strdup(&service.arena, row->snapshot);
    out->status = hf_arena_strdup(&service.arena, row->status);
    out->detail = hf_arena_strdup(&service.arena, row->detail);
    return false;
}

static struct hf_recovery_row newest_recovery(void)
{
    struct hf_recovery_row row = {0};
    struct hf_session *session;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_recoveries_list(session, hf_test_system(&service).id, INT64_MAX, "", 10, keep_first, &row, &err));
    hf_sessions_give(service.engine->sessions, session);
    ck_assert_ptr_nonnull(row.status);
    return row;
}

/* The database is gone, and no ordered stop took a last snapshot. */
static void lose_the_database(void)
{
    hf_test_service_crash(&service);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
}

START_TEST(a_rebuild_tells_what_it_passed_over_and_its_cost)
{
    struct hf_snapshot_row good, bad;
    make_good_and_bad(&good, &bad);
    lose_the_database();
    struct hf_recovery_row row = newest_recovery();
    ck_assert_str_eq(row.status, "applied");
    ck_assert_str_eq(row.snapshot, good.id);
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(&row);
    ck_assert_int_eq(json_array_size(json_object_get(detail, "skipped")), 1);
    expect_skipped(json_array_get(json_object_get(detail, "skipped"), 0), &bad, &good);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_rebuild_from_nothing_whole_starts_fresh_and_lists_all)
{
    struct hf_snapshot_row good, bad;
    make_good_and_bad(&good, &bad);
    hf_test_cut_off(&service, &good);
    lose_the_database();
    struct hf_recovery_row row = newest_recovery();
    ck_assert_str_eq(row.status, "fresh");
    ck_assert_ptr_null(hf_test_get(&service, "a"));
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(&row);
    ck_assert_int_eq(json_array_size(json_object_get(detail, "skipped")), 2);
    /* A file whose header cannot be read counts as cut at the end of its second: so it comes first when both were. */
    json_t *skipped = json_object_get(detail, "skipped");
    const char *first = json_string_value(json_object_get(json_array_get(skipped, 0), "snapshot"));
    bool good_first = first && strcmp(first, good.id) == 0;
    expect_skipped(json_array_get(skipped, good_first ? 0 : 1), &good, NULL);
    expect_skipped(json_array_get(skipped, good_first ? 1 : 0), &bad, NULL);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("recovery fallback", latest_is_healed_where_a_good_copy_is_left,
             each_snapshot_passed_over_is_told_with_its_reason_and_its_cost,
             a_plan_keeps_the_cost_of_what_it_passed_over, what_is_marked_damaged_is_tried_again_when_a_copy_is_back,
             only_the_newest_three_that_are_marked_damaged_are_tried_again,
             what_cannot_be_written_again_is_restored_all_the_same,
             what_only_a_rewrite_could_bring_says_that_it_cannot_be_mended, a_file_that_cannot_be_read_ends_the_search,
             a_content_that_cannot_be_read_ends_the_search, a_snapshot_whose_key_is_not_at_hand_ends_the_search,
             a_moment_whose_history_is_damaged_comes_from_the_snapshot_before_it,
             a_damaged_history_without_a_snapshot_is_an_error, when_none_is_whole_the_answer_says_what_can_be_done,
             an_import_is_restored_by_its_id_alone, a_plan_remembers_its_age_limit_and_checks_it_again,
             versions_of_another_system_do_not_count_against_the_loss, a_rebuild_tells_what_it_passed_over_and_its_cost,
             a_rebuild_from_nothing_whole_starts_fresh_and_lists_all);
