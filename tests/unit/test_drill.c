/* Restore drills: what they find, what they leave behind, when they come by themselves. On SQLite. */
#include "core/auto.h"
#include "engine/drill.h"
#include "tests/support/check_main.h"
#include "tests/support/engine.h"
#include "tests/support/stores.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE_BYTES 700000 /* in chunks */

static struct hf_test_service service;
static struct hf_error err;

/* Nothing looks at snapshots but the drill. */
static const char *const alone[] = {"--enable-state-validation", "false", "--scrub-interval", "0", NULL};

static void alter(const char *sql)
{
    struct hf_test_store database = {.engine = HF_TEST_SQLITE, .directory = service.directory};
    hf_test_store_alter(&database, sql);
}

static struct hf_drill_row drill(void)
{
    struct hf_drill_row row;
    HF_TEST_OK(hf_drill_run(service.engine, HF_TEST_NAME, &service.arena, &row, &err));
    return row;
}

static struct hf_drill_facts facts(void)
{
    struct hf_drill_facts out;
    hf_drill_read_facts(service.engine, hf_test_system(&service).id, &service.arena, &out);
    return out;
}

/* Directories of scratch databases. */
static int count_scratch(void)
{
    int count = 0;
    DIR *directory = opendir(service.directory);
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *item = readdir(directory); item; item = readdir(directory))
        count += strncmp(item->d_name, "drill-", 6) == 0;
    closedir(directory);
    return count;
}

static bool count_row(void *context, const struct hf_drill_row *row)
{
    (void)row;
    ++*(int *)context;
    return true;
}

static int count_rows(void)
{
    int count = 0;
    struct hf_session *session;
    HF_TEST_OK(hf_sessions_take(service.engine->sessions, &session, &err));
    HF_TEST_OK(hf_drills_list(session, hf_test_system(&service).id, INT64_MAX, "", 1000, count_row, &count, &err));
    hf_sessions_give(service.engine->sessions, session);
    return count;
}

static const char *large_text(void)
{
    char *text = hf_arena_alloc(&service.arena, LARGE_BYTES + 1);
    memset(text, 'x', LARGE_BYTES);
    text[0] = text[LARGE_BYTES - 1] = '"';
    text[LARGE_BYTES] = '\0';
    return text;
}

/* A full and an incremental with everything that a system can hold: 4 components with a state. */
static struct hf_snapshot_row fill(void)
{
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_put(&service, "gone", "{\"g\":1}");
    hf_test_register(&service, "promised", "agent", "a", 60000);
    hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "large", large_text());
    hf_test_put(&service, "z", "{\"z\":1}");
    hf_test_delete(&service, "gone");
    bool unchanged;
    return hf_test_incremental(&service, &unchanged);
}

START_TEST(a_drill_restores_the_newest_chain_and_leaves_nothing_behind)
{
    hf_test_service_open(&service, NULL);
    struct hf_snapshot_row newest = fill();
    ck_assert_str_eq(newest.kind, "incremental");
    struct hf_system_info before = hf_test_system(&service);
    struct hf_drill_row row = drill();
    ck_assert_msg(strcmp(row.status, "passed") == 0, "%s", row.detail);
    ck_assert_str_eq(row.snapshot, newest.id);
    ck_assert_int_eq(row.sequence, newest.sequence);
    ck_assert_int_eq(row.components, 4);
    ck_assert_int_eq(row.bytes, newest.state_bytes);
    ck_assert_int_gt(row.duration_ms, 0);
    ck_assert_int_eq(count_scratch(), 0);
    ck_assert_int_eq(hf_test_count_events(&service, before.id, "drill.passed"), 1);
    struct hf_system_info after = hf_test_system(&service);
    ck_assert_int_eq(after.sequence, before.sequence);
    ck_assert_int_eq(after.epoch, before.epoch);
    /* It lets go of what it read. */
    ck_assert(hf_snapshot_delete(service.engine, HF_TEST_NAME, newest.id, &err));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_is_damaged_is_healed_before_it_is_called_a_failure)
{
    hf_test_service_open(&service, alone);
    hf_test_put(&service, "a", "{\"a\":\"as it was\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &full), "{\"a\":\"as it was\"}");
    struct hf_drill_row row = drill();
    ck_assert_msg(strcmp(row.status, "passed") == 0, "%s", row.detail);
    ck_assert_ptr_nonnull(strstr(row.detail, "healed"));
    ck_assert_int_ge(hf_test_count_events(&service, full.system_id, "snapshot.healed"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, full.system_id, "drill.failed"), 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_cannot_be_healed_fails_and_is_told)
{
    hf_test_service_open(&service, alone);
    hf_test_put(&service, "a", "{\"a\":\"as it was\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"later\"}");
    hf_test_forget_history(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &full), "{\"a\":\"as it was\"}");
    struct hf_drill_row row = drill();
    ck_assert_str_eq(row.status, "failed");
    ck_assert_str_eq(row.snapshot, full.id);
    ck_assert_ptr_nonnull(strstr(row.detail, full.id));
    ck_assert_int_eq(hf_test_count_events(&service, full.system_id, "drill.failed"), 1);
    ck_assert_int_eq(count_scratch(), 0);
    ck_assert_str_eq(facts().last.status, "failed");
    ck_assert(!facts().has_passed);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(where_no_snapshot_is_whole_every_drill_fails)
{
    hf_test_service_open(&service, alone);
    hf_test_put(&service, "a", "{\"a\":\"as it was\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"later\"}");
    hf_test_forget_history(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &full), "{\"a\":\"as it was\"}");
    for (int i = 1; i <= 2; i++) {
        struct hf_drill_row row = drill();
        ck_assert_str_eq(row.status, "failed");
        ck_assert_str_eq(row.snapshot, full.id);
        ck_assert_msg(strstr(row.detail, "no snapshot is whole"), "%s", row.detail);
        while (hf_test_count_events(&service, full.system_id, "drill.failed") < i)
            usleep(1000);
    }
    hf_test_service_close(&service);
}
END_TEST

START_TEST(an_older_snapshot_that_is_whole_makes_no_drill_pass)
{
    hf_test_service_open(&service, (const char *const[]){"--enable-state-validation", "false", "--scrub-interval", "0",
                                                         "--anchor-interval", "0", NULL});
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row older = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"as it was\"}");
    struct hf_snapshot_row newest = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"later\"}");
    hf_test_forget_history(&service);
    char *path = hf_test_engine_snapshot_path(&service, &newest);
    hf_test_damage_content(path, "{\"a\":\"as it was\"}");
    for (int i = 0; i < 2; i++) {
        struct hf_drill_row row = drill();
        ck_assert_str_eq(row.status, "failed");
        ck_assert_str_eq(row.snapshot, newest.id);
        ck_assert_msg(strstr(row.detail, older.id), "%s", row.detail);
    }
    hf_test_damage_content(path, "{\"a\":\"as it was\"}"); /* it is whole again */
    struct hf_drill_row row = drill();
    ck_assert_msg(strcmp(row.status, "passed") == 0, "%s", row.detail);
    ck_assert_str_eq(row.snapshot, newest.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(another_root_hash_than_was_recorded_is_a_failure)
{
    hf_test_service_open(&service, alone);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    alter("UPDATE system_state_snapshots SET root_hash = zeroblob(32)");
    struct hf_drill_row row = drill();
    ck_assert_str_eq(row.status, "failed");
    ck_assert_ptr_nonnull(strstr(row.detail, "root hash"));
    ck_assert_str_eq(row.snapshot, full.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(without_a_snapshot_there_is_nothing_to_try)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    struct hf_drill_row row = drill();
    ck_assert_str_eq(row.status, "skipped");
    ck_assert_str_eq(row.snapshot, "");
    ck_assert_ptr_nonnull(strstr(row.detail, "no snapshot"));
    ck_assert_int_eq(count_rows(), 1);
    HF_TEST_FAILS(HF_NOT_FOUND, hf_drill_run(service.engine, "nobody", &service.arena, &row, &err));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(without_room_it_is_skipped_with_a_warning)
{
    setenv("HOLDFAST_FAULT", "drill_no_space:error", 1);
    hf_test_service_open(&service, NULL);
    struct hf_snapshot_row newest = fill();
    struct hf_drill_row row = drill();
    ck_assert_str_eq(row.status, "skipped");
    ck_assert_str_eq(row.snapshot, newest.id);
    ck_assert_ptr_nonnull(strstr(row.detail, "no room"));
    ck_assert_int_eq(hf_test_count_events(&service, newest.system_id, "drill.inconclusive"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, newest.system_id, "drill.failed"), 0);
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

START_TEST(a_failed_write_proves_nothing)
{
    setenv("HOLDFAST_FAULT", "drill_midway:error", 1);
    hf_test_service_open(&service, NULL);
    fill();
    struct hf_drill_row row = drill();
    ck_assert_str_eq(row.status, "inconclusive");
    ck_assert_int_eq(row.components, 0);
    ck_assert_int_eq(row.duration_ms, 0);
    ck_assert_int_eq(count_scratch(), 0);
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

static void *drill_in_thread(void *context)
{
    struct hf_error own;
    struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_drill_row row;
    *(bool *)context =
        hf_drill_run(service.engine, HF_TEST_NAME, &arena, &row, &own) && strcmp(row.status, "passed") == 0;
    hf_arena_done(&arena);
    return NULL;
}

START_TEST(a_second_drill_is_refused_while_one_is_under_way)
{
    setenv("HOLDFAST_FAULT", "drill_midway:sleep=3000", 1);
    hf_test_service_open(&service, NULL);
    struct hf_snapshot_row newest = fill();
    bool passed = false;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, drill_in_thread, &passed), 0);
    while (count_scratch() == 0)
        usleep(1000);
    struct hf_drill_row row;
    HF_TEST_FAILS(HF_CONFLICT, hf_drill_run(service.engine, HF_TEST_NAME, &service.arena, &row, &err));
    HF_TEST_FAILS(HF_SNAPSHOT_IN_USE, hf_snapshot_delete(service.engine, HF_TEST_NAME, newest.id, &err));
    pthread_join(thread, NULL);
    ck_assert(passed);
    ck_assert_int_eq(count_rows(), 1);
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

static void make_scratch(const char *name, const char *file)
{
    ck_assert_int_eq(mkdir(hf_test_service_path(&service, "%s", name), 0700), 0);
    FILE *out = fopen(hf_test_service_path(&service, "%s/%s", name, file), "w");
    ck_assert_ptr_nonnull(out);
    fclose(out);
}

START_TEST(what_a_crash_left_is_removed_at_the_next_start)
{
    hf_test_service_open(&service, NULL);
    hf_test_service_stop(&service);
    make_scratch("drill-aB3dE6", "holdfast.db-wal");
    make_scratch("drill-notours", "holdfast.db");
    make_scratch("drill-aB3dE7", "notes.txt");
    hf_test_service_start(&service);
    ck_assert_int_ne(access(hf_test_service_path(&service, "drill-aB3dE6"), F_OK), 0);
    ck_assert_int_eq(access(hf_test_service_path(&service, "drill-notours/holdfast.db"), F_OK), 0);
    ck_assert_int_eq(access(hf_test_service_path(&service, "drill-aB3dE7/notes.txt"), F_OK), 0);
    hf_test_service_close(&service);
}
END_TEST

static struct hf_drill_facts wait_for_another(const char *id)
{
    struct hf_drill_facts found = facts();
    for (int i = 0; i < 6000 && (!found.has_last || strcmp(found.last.id, id) == 0); i++) {
        usleep(10000);
        found = facts();
    }
    ck_assert(found.has_last);
    ck_assert_str_ne(found.last.id, id);
    return found;
}

START_TEST(drills_come_by_themselves_again_and_again)
{
    hf_test_service_open(&service, (const char *const[]){"--drill-interval", "50", NULL});
    fill();
    struct hf_drill_facts first = wait_for_another("");
    ck_assert_msg(strcmp(first.last.status, "passed") == 0, "%s", first.last.detail);
    wait_for_another(first.last.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_restart_neither_forgets_nor_repeats_a_drill)
{
    hf_test_service_open(&service, NULL);
    fill();
    const char *id = drill().id;
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    ck_assert_str_eq(facts().last.id, id);
    ck_assert_str_eq(facts().passed.id, id);
    hf_test_service_stop(&service);
    alter("UPDATE restore_drills SET started_at_ms = started_at_ms - 86400000"); /* an interval ago: it is due */
    hf_test_service_start(&service);
    ck_assert_str_eq(wait_for_another(id).last.status, "passed");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(imports_are_not_drilled)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    alter(
        "INSERT INTO system_state_snapshots SELECT system_id, 'full-20991231T000000Z-9', kind, 'import', label, reason,"
        " 'full-20991231T000000Z-9', parent, sequence, epoch, root_hash, components, changed, deleted, state_bytes,"
        " file_bytes, file, cut_at_ms + 1000, completed_at_ms, duration_ms, state, validation_status,"
        " validated_at_ms, quality_score, pinned FROM system_state_snapshots");
    ck_assert_str_eq(drill().snapshot, full.id);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("drill", a_drill_restores_the_newest_chain_and_leaves_nothing_behind,
             what_is_damaged_is_healed_before_it_is_called_a_failure, what_cannot_be_healed_fails_and_is_told,
             where_no_snapshot_is_whole_every_drill_fails, an_older_snapshot_that_is_whole_makes_no_drill_pass,
             another_root_hash_than_was_recorded_is_a_failure, without_a_snapshot_there_is_nothing_to_try,
             without_room_it_is_skipped_with_a_warning, a_failed_write_proves_nothing,
             a_second_drill_is_refused_while_one_is_under_way, what_a_crash_left_is_removed_at_the_next_start,
             drills_come_by_themselves_again_and_again, a_restart_neither_forgets_nor_repeats_a_drill,
             imports_are_not_drilled);
