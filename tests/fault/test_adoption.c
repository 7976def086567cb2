/* Start-up with snapshot files and rows that do not match, as a crash leaves them. */
#include "core/auto.h"
#include "engine/validation.h"
#include "tests/support/engine.h"
#include "tests/support/stores.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct hf_test_service service;
static struct hf_error err;

static void alter_database(const char *sql)
{
    char *command = hf_format("python3 -c \"import sqlite3;c=sqlite3.connect('%s/holdfast.db');c.execute('%s');"
                              "c.commit();c.close()\"",
                              service.directory, sql);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

START_TEST(half_written_files_are_removed_and_told_of)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_service_crash(&service);
    char *leftover =
        hf_test_service_path(&service, "system-state-backups/%s/.tmp-full-20200101T000000Z-1-77", HF_TEST_NAME);
    FILE *file = fopen(leftover, "w");
    ck_assert_ptr_nonnull(file);
    fputs("half a snapsh", file);
    fclose(file);
    hf_test_service_start(&service);
    ck_assert_int_ne(access(leftover, F_OK), 0);
    ck_assert_int_eq(access(hf_test_engine_snapshot_path(&service, &full), F_OK), 0);
    ck_assert_int_eq(hf_test_count_events_so_far(&service, 0, "snapshot.leftover_removed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_file_without_a_row_is_adopted)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_service_crash(&service);
    alter_database("delete from system_state_snapshots");
    hf_test_service_start(&service);
    struct hf_snapshot_row row;
    ck_assert_msg(hf_snapshot_find(service.engine, HF_TEST_NAME, full.id, &service.arena, &row, &err), "%s", err.text);
    ck_assert_str_eq(row.state, "complete");
    ck_assert_str_eq(row.generation, full.generation);
    ck_assert_str_eq(row.file, full.file);
    ck_assert_int_eq(row.sequence, full.sequence);
    ck_assert_int_eq(row.cut_at_ms, full.cut_at_ms);
    ck_assert_int_eq(row.file_bytes, full.file_bytes);
    ck_assert(hf_hash_equal(&row.root_hash, &full.root_hash));
    ck_assert_int_eq(hf_test_count_events_so_far(&service, hf_test_system(&service).id, "snapshot.adopted"), 1);
    /* It is as good as any other: the next one builds on it. */
    hf_test_put(&service, "a", "{\"a\":2}");
    bool unchanged;
    struct hf_snapshot_row next = hf_test_incremental(&service, &unchanged);
    ck_assert_str_eq(next.parent, full.id);
    hf_test_service_close(&service);
}
END_TEST

/* The outline says what was in it, and the database still has the contents. */
START_TEST(a_missing_file_is_made_again_from_its_outline)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_service_crash(&service);
    ck_assert_int_eq(unlink(hf_test_engine_snapshot_path(&service, &full)), 0);
    /* An outline of nothing is removed. */
    HF_AUTO(free) char *stray = hf_format("%s/" HF_TEST_NAME "/full-9.outline", service.config.incremental_directory);
    FILE *file = fopen(stray, "w");
    ck_assert(file && fclose(file) == 0);
    hf_test_service_start(&service);
    struct hf_snapshot_row row;
    struct hf_chain *chain = NULL;
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, full.id, &service.arena, &row, &err));
    ck_assert_str_eq(row.state, "complete");
    ck_assert_int_eq(hf_test_count_events_so_far(&service, hf_test_system(&service).id, "snapshot.healed"), 1);
    ck_assert_msg(hf_chain_load(&chain, service.engine->repository, HF_TEST_NAME, full.id, &err), "%s", err.text);
    hf_chain_free(chain);
    ck_assert_int_ne(access(stray, F_OK), 0);
    hf_test_service_close(&service);
}
END_TEST

/* Until somebody has looked at what was called damaged, nothing is said about what is lost. */
static void expect_examined(const char *id)
{
    struct hf_snapshot_row row = {.quality_score = -1};
    while (row.quality_score < 0) /* the test's time-out ends it */
        HF_TEST_OK(hf_snapshot_find(service.engine, HF_TEST_NAME, id, &service.arena, &row, &err));
    struct hf_validation validation;
    bool found = false;
    HF_TEST_OK(hf_validation_latest(service.engine, HF_TEST_NAME, id, &service.arena, &validation, &found, &err));
    ck_assert(found);
    ck_assert_str_eq(validation.status, "damaged");
    ck_assert(validation.lost_all);
    ck_assert_int_gt(validation.check_count, 0);
}

START_TEST(a_row_without_a_file_becomes_damaged)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_service_crash(&service);
    hf_test_remove_outline(&service, &full);
    ck_assert_int_eq(unlink(hf_test_engine_snapshot_path(&service, &full)), 0);
    hf_test_service_start(&service);
    struct hf_snapshot_row row;
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, full.id, &service.arena, &row, &err));
    ck_assert_str_eq(row.state, "damaged");
    expect_examined(full.id);
    ck_assert_int_eq(hf_test_count_events_so_far(&service, hf_test_system(&service).id, "snapshot.damaged"), 1);
    hf_test_put(&service, "a", "{\"a\":2}");
    bool unchanged;
    struct hf_snapshot_row next = hf_test_incremental(&service, &unchanged);
    ck_assert_str_eq(next.kind, "full");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_damaged_file_without_a_row_gets_a_row_that_says_so)
{
    /* nobody examines it, and nothing is said about what is lost */
    hf_test_service_open(&service, (const char *const[]){"--enable-state-validation", "false", NULL});
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_service_crash(&service);
    alter_database("delete from system_state_snapshots");
    hf_test_damage_file(hf_test_engine_snapshot_path(&service, &full), -1);
    hf_test_service_start(&service);
    struct hf_snapshot_row row;
    ck_assert_msg(hf_snapshot_find(service.engine, HF_TEST_NAME, full.id, &service.arena, &row, &err), "%s", err.text);
    ck_assert_str_eq(row.state, "damaged");
    ck_assert(row.quality_score < 0);
    ck_assert(!hf_snapshot_find(service.engine, HF_TEST_NAME, "latest", &service.arena, &row, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_matches_is_not_touched)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    bool label = true;
    struct hf_snapshot_row full = hf_test_full(&service);
    ck_assert(hf_snapshot_patch(service.engine, HF_TEST_NAME, full.id, "before the release", &label, &err));
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    struct hf_snapshot_row row;
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, full.id, &service.arena, &row, &err));
    ck_assert_str_eq(row.label, "before the release");
    ck_assert(row.pinned);
    ck_assert_str_eq(row.state, "complete");
    hf_test_service_close(&service);
}
END_TEST

#ifdef HF_FAULTS
START_TEST(a_file_whose_row_failed_is_adopted_by_the_next_snapshot_or_start)
{
    setenv("HOLDFAST_FAULT", "snapshot_before_row:error:1", 1); /* the first passes, no other */
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_request request = {.system = HF_TEST_NAME, .trigger = "manual"};
    struct hf_snapshot_row row;
    bool unchanged;
    ck_assert(!hf_snapshot_take(service.engine, &request, &service.arena, &row, &unchanged, &err));
    ck_assert_int_eq(hf_test_service_count_files(&service, "incremental-state"), 1);
    struct hf_snapshot_newest newest;
    hf_snapshot_read_newest(service.engine, hf_test_system(&service).id, &service.arena, &newest);
    ck_assert_str_eq(newest.newest.id, full.id);
    ck_assert_str_ne(newest.last_error, "");
    ck_assert_int_ge(hf_test_count_events_so_far(&service, hf_test_system(&service).id, "snapshot.failed"), 1);
    /* The final full adopts the incremental first, then fails in the same way and is adopted by the start. */
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    ck_assert_int_eq(hf_test_count_events_so_far(&service, hf_test_system(&service).id, "snapshot.adopted"), 2);
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, "latest", &service.arena, &row, &err));
    struct hf_verify_report report;
    ck_assert_msg(hf_repository_verify(service.engine->repository, HF_TEST_NAME, row.id, NULL, &report, &err), "%s",
                  err.text);
    hf_test_service_close(&service);
}
END_TEST
#define FAULT_TESTS , a_file_whose_row_failed_is_adopted_by_the_next_snapshot_or_start
#else
#define FAULT_TESTS
#endif

HF_TEST_MAIN("adoption", half_written_files_are_removed_and_told_of, a_file_without_a_row_is_adopted,
             a_missing_file_is_made_again_from_its_outline, a_row_without_a_file_becomes_damaged,
             a_damaged_file_without_a_row_gets_a_row_that_says_so, what_matches_is_not_touched FAULT_TESTS);
