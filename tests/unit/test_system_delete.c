/* Deleting a system while others use its name, while it is read, and when it goes wrong or is cut short. */
#include "core/auto.h"
#include "engine/validation.h"
#include "tests/support/engine.h"
#include "tests/support/temp.h"

#include "tests/support/check_main.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DELETIONS 20
#define BACKUPS   "system-state-backups"

static struct hf_test_service service;
static struct hf_error err;

static bool delete_it(void)
{
    return hf_system_delete(service.engine, HF_TEST_NAME, false, &err);
}

struct listed {
    char ids[2000][HF_SNAPSHOT_ID_MAX];
    int count;
};

static bool note_id(void *context, const struct hf_snapshot_row *row)
{
    struct listed *listed = context;
    ck_assert_str_eq(row->state, "complete");
    snprintf(listed->ids[listed->count++], HF_SNAPSHOT_ID_MAX, "%s", row->id);
    return listed->count < 2000;
}

/* Returns how many there are. */
static int check_that_all_validate(void)
{
    static struct listed listed;
    struct hf_session *session;
    listed.count = 0;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_snapshots_list(session, hf_test_system(&service).id, NULL, INT64_MAX, "", INT64_MAX, note_id, &listed,
                                &err));
    hf_sessions_give(service.engine->sessions, session);
    for (int i = 0; i < listed.count; i++) {
        struct hf_validation verdict;
        ck_assert_msg(hf_validation_run(service.engine, HF_TEST_NAME, listed.ids[i], true, 0, &service.arena, &verdict,
                                        &err),
                      "%s", err.text);
        ck_assert_msg(strcmp(verdict.status, "valid") == 0, "snapshot %s is %s", listed.ids[i], verdict.status);
    }
    return listed.count;
}

static int count_begun(void)
{
    HF_AUTO(free) char *path = hf_format("%s/" BACKUPS, service.directory);
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strncmp(entry->d_name, ".deleting-", 10) == 0;
    closedir(directory);
    return count;
}

/* ---- while it is used ---- */

static atomic_bool stopping;

static void *use_the_name(void *context)
{
    (void)context;
    struct hf_arena arena;
    hf_arena_init(&arena);
    for (int i = 0; !atomic_load(&stopping); i++) {
        char text[64];
        snprintf(text, sizeof(text), "{\"count\":%d}", i);
        hf_test_put(&service, "busy", text);
        struct hf_snapshot_request request = {.system = HF_TEST_NAME,
                                              .full = i % 3 == 0,
                                              .trigger = "manual",
                                              .even_unchanged = true};
        struct hf_snapshot_row row;
        struct hf_error failure;
        bool unchanged;
        if (!hf_snapshot_take(service.engine, &request, &arena, &row, &unchanged, &failure))
            ck_assert_msg(failure.code == HF_NOT_FOUND, "%s", failure.text);
    }
    hf_arena_done(&arena);
    return NULL;
}

START_TEST(snapshots_of_a_system_that_comes_again_at_once_stay_whole)
{
    /* Where there are fault points: time for the next one to have snapshots before the files of this one go. */
    setenv("HOLDFAST_FAULT", "system_delete_after_commit:sleep=50", 1);
    hf_test_service_open(&service, NULL);
    atomic_store(&stopping, false);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_the_name, NULL), 0);
    for (int deleted = 0; deleted < DELETIONS;) {
        if (delete_it())
            deleted++;
        else
            ck_assert_msg(err.code == HF_NOT_FOUND || err.code == HF_SNAPSHOT_IN_USE, "%s", err.text);
    }
    /* Some are taken after the last deletion. */
    hf_test_put(&service, "last", "1");
    atomic_store(&stopping, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "last", "2");
    ck_assert_int_ge(check_that_all_validate(), 1);
    ck_assert_int_eq(count_begun(), 0);
    ck_assert_str_eq(hf_test_restore(&service, full.id).status, "applied");
    ck_assert_str_eq(hf_test_get(&service, "last"), "1");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_snapshot_that_is_being_read_is_a_reason_to_refuse)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    int64_t system_id = hf_test_system(&service).id;
    ck_assert(hf_snapshot_lease(service.engine, system_id, full.id, &err));
    ck_assert(!delete_it());
    ck_assert_int_eq(err.code, HF_SNAPSHOT_IN_USE);
    ck_assert_ptr_nonnull(strstr(err.text, full.id));
    ck_assert_str_eq(hf_test_get(&service, "a"), "1");
    ck_assert_int_eq(check_that_all_validate(), 1);
    hf_snapshot_release(service.engine, system_id, full.id);
    ck_assert_msg(delete_it(), "%s", err.text);
    ck_assert_int_eq(hf_test_service_count_files(&service, BACKUPS), 0);
    ck_assert(!hf_snapshot_lease(service.engine, system_id, full.id, &err));
    ck_assert(!delete_it());
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_system_of_the_same_name_starts_from_nothing)
{
    bool unchanged;
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "secret", "1");
    hf_test_full(&service);
    ck_assert_msg(delete_it(), "%s", err.text);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert_str_eq(row.kind, "full");
    ck_assert_str_eq(row.generation, row.id);
    ck_assert_int_eq(row.components, 1);
    ck_assert_int_eq(hf_test_service_count_files(&service, BACKUPS), 1);
    ck_assert_int_eq(check_that_all_validate(), 1);
    hf_test_service_close(&service);
}
END_TEST

#ifdef HF_FAULTS
START_TEST(a_deletion_that_fails_leaves_the_system_as_it_was)
{
    bool unchanged;
    setenv("HOLDFAST_FAULT", "system_delete_begun:error", 1);
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    ck_assert(!delete_it());
    ck_assert_int_eq(err.code, HF_STORE_DOWN);
    ck_assert_int_eq(count_begun(), 0);
    ck_assert_int_eq(check_that_all_validate(), 1);
    hf_test_put(&service, "a", "2");
    struct hf_snapshot_row next = hf_test_incremental(&service, &unchanged);
    ck_assert_str_eq(next.parent, full.id);
    ck_assert_int_eq(check_that_all_validate(), 2);
    hf_test_service_close(&service);
}
END_TEST
#endif

/* ---- cut short ---- */

/* Snapshots are taken, the service ends, and its directories are as hf_system_delete renames them first. */
static void prepare_begun(int64_t id_added)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    struct hf_system_info info = hf_test_system(&service);
    hf_test_service_crash(&service);
    if (id_added) /* both directories were set aside then */
        hf_test_remove_outline(&service, &full);
    char *from = hf_test_service_path(&service, BACKUPS "/" HF_TEST_NAME);
    char *to = hf_test_service_path(&service, BACKUPS "/.deleting-" HF_TEST_NAME "-%lldt%lld",
                                    (long long)(info.id + id_added), (long long)info.created_at_ms);
    ck_assert_int_eq(rename(from, to), 0);
}

START_TEST(a_deletion_cut_short_before_the_commit_is_undone)
{
    prepare_begun(0);
    hf_test_service_start(&service);
    ck_assert_int_eq(count_begun(), 0);
    ck_assert_str_eq(hf_test_get(&service, "a"), "1");
    ck_assert_int_eq(check_that_all_validate(), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(files_of_an_earlier_system_of_the_name_are_removed)
{
    prepare_begun(7);
    ck_assert_int_eq(mkdir(hf_test_service_path(&service, BACKUPS "/" HF_TEST_NAME), 0700), 0);
    hf_test_service_start(&service);
    ck_assert_int_eq(count_begun(), 0);
    ck_assert_int_eq(hf_test_service_count_files(&service, BACKUPS), 0);
    ck_assert_str_eq(hf_test_get(&service, "a"), "1");
    ck_assert_int_ge(hf_test_count_events(&service, 0, "snapshot.leftover_removed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(without_a_database_they_are_neither_rebuilt_from_nor_removed)
{
    struct hf_system_info info;
    prepare_begun(0);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    ck_assert(!hf_catalog_read_system(service.engine->catalog, HF_TEST_NAME, &info));
    ck_assert_int_eq(count_begun(), 0);
    ck_assert_int_eq(hf_test_service_count_files(&service, BACKUPS), 1);
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    ck_assert(!hf_catalog_read_system(service.engine->catalog, HF_TEST_NAME, &info));
    ck_assert_int_eq(hf_test_service_count_files(&service, BACKUPS), 1);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("system_delete", snapshots_of_a_system_that_comes_again_at_once_stay_whole,
             a_snapshot_that_is_being_read_is_a_reason_to_refuse, a_system_of_the_same_name_starts_from_nothing,
#ifdef HF_FAULTS
             a_deletion_that_fails_leaves_the_system_as_it_was,
#endif
             a_deletion_cut_short_before_the_commit_is_undone, files_of_an_earlier_system_of_the_name_are_removed,
             without_a_database_they_are_neither_rebuilt_from_nor_removed);
