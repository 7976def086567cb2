/* Importing while everything else goes on: nothing waits for a slow sender, a system that is deleted meanwhile stays
 * deleted, and a row that could not be written is found again. */
#include "tests/support/archives.h"
#include "tests/support/engine.h"

#include "core/auto.h"

#include <string.h>
#include <unistd.h>

#include "tests/support/check_main.h"

static struct hf_test_service service;
static struct hf_buf archive; /* of the system of the helpers, three components */

static void open_with_archive(void)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "alpha", "{\"a\":1}");
    hf_test_put(&service, "beta", "{\"b\":2}");
    hf_test_put(&service, "gamma", "{\"c\":3}");
    struct hf_snapshot_row row = hf_test_full(&service);
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    hf_buf_init(&archive, (size_t)HF_TEST_MIB);
    ck_assert_msg(hf_chain_load(&chain, service.engine->repository, HF_TEST_NAME, row.id, &err), "%s", err.text);
    ck_assert(hf_archive_write(chain, false, NULL, &(struct hf_writer){hf_test_write_buf, &archive}, &err));
    hf_chain_free(chain);
}

static void close_all(void)
{
    hf_buf_done(&archive);
    hf_test_service_close(&service);
}

/* Sends the archive in small pieces and does something in the middle of it. */
struct sender {
    struct hf_test_source source;
    void (*midway)(void);
};

static bool send_piece(void *context, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err)
{
    struct sender *sender = context;
    if (sender->midway && sender->source.at > archive.bytes / 2) {
        sender->midway();
        sender->midway = NULL;
    }
    return hf_test_source_read(&sender->source, out, bytes_max, got_out, err);
}

static bool take_in(const char *system, void (*midway)(void), struct hf_snapshot_row *out, struct hf_error *err)
{
    struct sender sender = {{archive.data, archive.bytes, 0, 512, 0}, midway};
    const struct hf_reader reader = {send_piece, &sender};
    return hf_snapshot_import(service.engine, system, &reader, NULL, &service.arena, out, err);
}

static void take_both_kinds(void)
{
    bool unchanged;
    hf_test_put(&service, "alpha", "{\"a\":2}");
    ck_assert_str_eq(hf_test_incremental(&service, &unchanged).kind, "incremental");
    ck_assert_str_eq(hf_test_full(&service).kind, "full");
}

START_TEST(a_slow_import_holds_up_no_snapshot)
{
    open_with_archive();
    struct hf_snapshot_row row, latest;
    struct hf_error err = {0};
    ck_assert_msg(take_in(HF_TEST_NAME, take_both_kinds, &row, &err), "%s", err.text);
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, "latest", &service.arena, &latest, &err));
    ck_assert_str_ne(latest.id, row.id);
    ck_assert_str_eq(hf_test_get(&service, "alpha"), "{\"a\":2}");
    hf_test_restore(&service, row.id);
    ck_assert_str_eq(hf_test_get(&service, "alpha"), "{\"a\":1}");
    close_all();
}
END_TEST

static void delete_system(void)
{
    struct hf_error err = {0};
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, false, &err), "%s", err.text);
}

static void replace_system(void)
{
    delete_system();
    hf_test_put(&service, "new", "1");
}

START_TEST(a_system_deleted_meanwhile_stays_deleted)
{
    open_with_archive();
    struct hf_snapshot_row row;
    struct hf_error err = {0};
    ck_assert(!take_in(HF_TEST_NAME, delete_system, &row, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    struct hf_system_info info;
    ck_assert(!hf_catalog_read_system(service.engine->catalog, HF_TEST_NAME, &info));
    ck_assert_int_eq(hf_test_service_count_files(&service, "system-state-backups"), 0);
    close_all();
}
END_TEST

START_TEST(a_new_system_of_the_same_name_does_not_get_it)
{
    open_with_archive();
    struct hf_snapshot_row row;
    struct hf_error err = {0};
    ck_assert(!take_in(HF_TEST_NAME, replace_system, &row, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert(!hf_snapshot_find(service.engine, HF_TEST_NAME, "latest", &service.arena, &row, &err));
    ck_assert_int_eq(hf_test_service_count_files(&service, "system-state-backups"), 0);
    close_all();
}
END_TEST

static void create_other(void)
{
    const struct hf_system_settings settings = {"mine", 120000, -1, 12};
    bool created;
    struct hf_error err = {0};
    ck_assert(hf_system_put(service.engine, "other", &settings, &created, &err) && created);
}

START_TEST(a_system_made_meanwhile_keeps_its_settings)
{
    open_with_archive();
    struct hf_snapshot_row row;
    struct hf_error err = {0};
    ck_assert_msg(take_in("other", create_other, &row, &err), "%s", err.text);
    struct hf_system_info info;
    ck_assert(hf_catalog_read_system(service.engine->catalog, "other", &info));
    ck_assert_str_eq(info.description, "mine");
    ck_assert_int_eq(info.backup_interval_ms, 120000);
    ck_assert_int_eq(info.max_retention_hours, 12);
    ck_assert(hf_snapshot_find(service.engine, "other", row.id, &service.arena, &row, &err));
    ck_assert_int_eq(hf_snapshot_expires_at_ms(service.engine, &info, &row), row.completed_at_ms + 12 * 3600000);
    close_all();
}
END_TEST

/* The archive with a text of its manifest exchanged. */
static void change_archive(const char *from, const char *to)
{
    struct hf_test_tar tar;
    hf_test_tar_parse(archive.data, archive.bytes, &tar);
    hf_test_tar_swap(&tar, from, to);
    struct hf_buf made;
    hf_buf_init(&made, (size_t)HF_TEST_MIB);
    hf_test_tar_build(&tar, &made);
    free(tar.manifest);
    hf_buf_done(&archive);
    archive = made;
}

START_TEST(what_leaves_no_room_to_count_on_is_not_restored)
{
    open_with_archive();
    change_archive("\"component\":\"beta\",\"version\":1", "\"component\":\"beta\",\"version\":9007199254740991");
    struct hf_snapshot_row row;
    struct hf_error err = {0};
    ck_assert_msg(take_in("other", NULL, &row, &err), "%s", err.text);
    struct hf_recovery_request request = {.system = "other", .source = "snapshot", .snapshot = row.id};
    struct hf_recovery_row recovery;
    ck_assert(!hf_recovery_run(service.engine, &request, &service.arena, &recovery, &err));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    ck_assert_msg(strstr(err.text, "beta is at version 9007199254740991") != NULL, "%s", err.text);
    close_all();
}
END_TEST

START_TEST(the_epoch_of_an_import_is_nothing_to_a_rebuild)
{
    open_with_archive();
    change_archive("\"epoch\":1", "\"epoch\":9007199254740991");
    struct hf_snapshot_row row;
    struct hf_error err = {0};
    ck_assert_msg(take_in(HF_TEST_NAME, NULL, &row, &err), "%s", err.text);
    hf_test_service_stop(&service);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    struct hf_system_info info;
    ck_assert(hf_catalog_read_system(service.engine->catalog, HF_TEST_NAME, &info));
    ck_assert_int_lt(info.epoch, 10);
    ck_assert_str_eq(hf_test_get(&service, "alpha"), "{\"a\":1}");
    close_all();
}
END_TEST

static struct hf_snapshot_row inner_row;

static void take_in_another(void)
{
    struct hf_error err = {0};
    ck_assert_msg(take_in("other", NULL, &inner_row, &err), "%s", err.text);
}

START_TEST(the_same_archive_twice_at_a_time_makes_two_snapshots)
{
    open_with_archive();
    struct hf_snapshot_row row;
    struct hf_error err = {0};
    ck_assert_msg(take_in("other", take_in_another, &row, &err), "%s", err.text);
    ck_assert_str_ne(row.id, inner_row.id);
    ck_assert(hf_hash_equal(&row.root_hash, &inner_row.root_hash));
    const char *const ids[] = {row.id, inner_row.id};
    for (int i = 0; i < 2; i++) {
        struct hf_verify_report report;
        ck_assert_msg(hf_repository_verify(service.engine->repository, "other", ids[i], NULL, &report, &err), "%s",
                      err.text);
        ck_assert_int_eq(report.blobs, 3);
    }
    close_all();
}
END_TEST

START_TEST(a_refused_archive_leaves_neither_a_file_nor_a_system)
{
    open_with_archive();
    struct hf_snapshot_row row;
    struct hf_system_info info;
    struct hf_error err = {0};
    archive.data[archive.bytes - 1024 - HF_TEST_TAR_BLOCK] ^= 1;
    ck_assert(!take_in("other", NULL, &row, &err));
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    ck_assert(!hf_catalog_read_system(service.engine->catalog, "other", &info));
    HF_AUTO(free) char *left = hf_format("%s/system-state-backups/other", service.directory);
    ck_assert_int_ne(access(left, F_OK), 0);
    close_all();
}
END_TEST

#ifdef HF_FAULTS
struct listed {
    struct hf_snapshot_row *rows;
    int *count;
};

static bool add_listed(void *context, const struct hf_snapshot_row *row)
{
    const struct listed *listed = context;
    ck_assert_int_lt(*listed->count, 2);
    listed->rows[*listed->count] = *row;
    listed->rows[(*listed->count)++].trigger = hf_arena_strdup(&service.arena, row->trigger);
    return true;
}

START_TEST(an_import_without_a_row_is_adopted_as_one)
{
    setenv("HOLDFAST_FAULT", "snapshot_before_row:error:1", 1); /* the first is the snapshot that leaves */
    open_with_archive();
    struct hf_snapshot_row row;
    struct hf_error err = {0};
    ck_assert(!take_in("other", NULL, &row, &err));
    ck_assert_int_eq(err.code, HF_STORE_DOWN);
    ck_assert_int_eq(hf_test_service_count_files(&service, "system-state-backups/other"), 1);
    hf_test_service_crash(&service);
    unsetenv("HOLDFAST_FAULT");
    hf_test_service_start(&service);
    struct hf_system_info info;
    ck_assert(hf_catalog_read_system(service.engine->catalog, "other", &info));
    struct hf_session *session;
    struct hf_snapshot_row found[2];
    int count = 0;
    struct listed listed = {found, &count};
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_snapshots_list(session, info.id, NULL, INT64_MAX, "", INT64_MAX, add_listed, &listed, &err));
    hf_sessions_give(service.engine->sessions, session);
    ck_assert_int_eq(count, 1);
    ck_assert_str_eq(found[0].trigger, "import");
    ck_assert_int_ge(found[0].completed_at_ms, found[0].cut_at_ms);
    ck_assert(!hf_snapshot_find(service.engine, "other", "latest", &service.arena, &row, &err));
    close_all();
}
END_TEST
#define WITH_FAULTS , an_import_without_a_row_is_adopted_as_one
#else
#define WITH_FAULTS
#endif

HF_TEST_MAIN("snapshot import", a_slow_import_holds_up_no_snapshot, a_system_deleted_meanwhile_stays_deleted,
             a_new_system_of_the_same_name_does_not_get_it, a_system_made_meanwhile_keeps_its_settings,
             what_leaves_no_room_to_count_on_is_not_restored, the_epoch_of_an_import_is_nothing_to_a_rebuild,
             the_same_archive_twice_at_a_time_makes_two_snapshots,
             a_refused_archive_leaves_neither_a_file_nor_a_system WITH_FAULTS);
