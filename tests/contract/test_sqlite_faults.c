/* SQLite files that are damaged, and disks that are full. */
#include "core/auto.h"
#include "tests/support/check_main.h"
#include "tests/support/stores.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define DISK_BYTES   "size=12m"
#define LARGER_BYTES "size=64m"
#define ROW_BYTES    (60 * 1024)
#define ROWS_AT_ONCE 16
#define COMMITS_MAX  64 /* far more than the small disk takes */

static struct hf_test_store test;

static bool open_store(bool *created_out, struct hf_error *err)
{
    struct hf_store *store = NULL;
    bool ok = hf_store_open(&store, &test.options, created_out, err);
    hf_store_close(store);
    return ok;
}

static void write_file(const char *name, const void *data, size_t bytes)
{
    HF_AUTO(free) char *path = hf_format("%s/%s", test.directory, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, bytes, file), bytes);
    ck_assert_int_eq(fclose(file), 0);
}

static off_t file_bytes(const char *name)
{
    HF_AUTO(free) char *path = hf_format("%s/%s", test.directory, name);
    struct stat status;
    return stat(path, &status) == 0 ? status.st_size : -1;
}

/* A closed database with many rows, so that it has pages of every kind. */
static void make_database(void)
{
    hf_test_store_place(&test, HF_TEST_SQLITE);
    hf_test_store_open(&test);
    hf_test_store_add_system(&test);
    static const char content[8000];
    for (int64_t sequence = 1; sequence <= 200; sequence++) {
        const struct hf_state_row row = hf_test_state(sequence, sequence, 1, 0, content, sizeof(content));
        hf_test_store_commit(&test, &row, 1);
    }
    hf_test_store_close(&test);
}

static void overwrite(off_t offset, size_t bytes)
{
    HF_AUTO(free) char *path = hf_format("%s/holdfast.db", test.directory);
    HF_AUTO(free) unsigned char *noise = hf_alloc(bytes);
    memset(noise, 0xa5, bytes);
    HF_AUTO(close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, noise, bytes, offset), (ssize_t)bytes);
}

START_TEST(garbage_is_damaged_and_stays_as_it_is)
{
    struct hf_error err;
    char garbage[20000];
    hf_test_store_place(&test, HF_TEST_SQLITE);
    memset(garbage, 'g', sizeof(garbage));
    write_file("holdfast.db", garbage, sizeof(garbage));
    HF_TEST_FAILS(HF_DAMAGED, open_store(NULL, &err));
    ck_assert_int_eq(file_bytes("holdfast.db"), sizeof(garbage));
    hf_test_store_done(&test);
}
END_TEST

START_TEST(empty_file_is_a_new_database)
{
    struct hf_error err;
    hf_test_store_place(&test, HF_TEST_SQLITE);
    write_file("holdfast.db", "", 0);
    bool created = false;
    HF_TEST_OK(open_store(&created, &err));
    ck_assert(created);
    hf_test_store_open(&test);
    hf_test_store_add_system(&test);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(damaged_header_is_noticed)
{
    struct hf_error err;
    make_database();
    overwrite(0, 100);
    HF_TEST_FAILS(HF_DAMAGED, open_store(NULL, &err));
    hf_test_store_done(&test);
}
END_TEST

START_TEST(damaged_pages_are_noticed)
{
    struct hf_error err;
    make_database();
    off_t bytes = file_bytes("holdfast.db");
    ck_assert_int_gt(bytes, 1000000);
    for (off_t offset = 16384; offset < bytes - 16384; offset += 16384)
        overwrite(offset, 64); /* the head of every page but the first */
    HF_TEST_FAILS(HF_DAMAGED, open_store(NULL, &err));
    hf_test_store_done(&test);
}
END_TEST

START_TEST(truncated_file_is_noticed)
{
    struct hf_error err;
    make_database();
    HF_AUTO(free) char *path = hf_format("%s/holdfast.db", test.directory);
    ck_assert_int_eq(truncate(path, file_bytes("holdfast.db") / 2), 0);
    HF_TEST_FAILS(HF_DAMAGED, open_store(NULL, &err));
    hf_test_store_done(&test);
}
END_TEST

START_TEST(missing_directory_is_no_damage)
{
    struct hf_error err;
    hf_test_store_place(&test, HF_TEST_SQLITE);
    HF_AUTO(free) char *nowhere = hf_format("%s/none", test.directory);
    test.options.data_directory = nowhere;
    ck_assert(!open_store(NULL, &err));
    ck_assert_int_ne(err.code, HF_DAMAGED); /* which would have it set aside and rebuilt */
    ck_assert_int_ne(err.code, HF_OK);
    hf_test_store_done(&test);
}
END_TEST

/* Writes rows until the disk is full; returns how many are in. */
static int64_t fill_disk(const void *content)
{
    struct hf_error err;
    struct hf_state_row rows[ROWS_AT_ONCE];
    int64_t written = 0;
    for (int commits = 0; commits < COMMITS_MAX; commits++) {
        for (int i = 0; i < ROWS_AT_ONCE; i++)
            rows[i] = hf_test_state(written + i + 1, written + i + 1, 1, 0, content, ROW_BYTES);
        HF_TEST_OK(hf_session_begin(test.write, &err));
        if (!hf_states_insert(test.write, rows, ROWS_AT_ONCE, &err) || !hf_session_commit(test.write, &err)) {
            ck_assert_msg(err.code == HF_STORAGE_FULL, "%s: %s", hf_code_name(err.code), err.text);
            hf_session_rollback(test.write);
            return written;
        }
        written += ROWS_AT_ONCE;
    }
    ck_abort_msg("the disk never was full");
    return -1;
}

static int count_states(void)
{
    const struct hf_value range[] = {HF_INT(HF_TEST_SYSTEM), HF_INT(0), HF_INT(INT64_MAX)};
    return hf_test_store_count(test.read, HF_STMT_STATES_TAIL, range, 3);
}

START_TEST(full_disk_loses_nothing_and_work_goes_on_with_room)
{
    struct hf_error err;
    HF_AUTO(free) unsigned char *content = hf_alloc(ROW_BYTES);
    hf_test_store_place(&test, HF_TEST_SQLITE);
    /* The mount is seen by this process alone and goes with it. */
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", test.directory, "tmpfs", 0, DISK_BYTES) != 0) {
        fprintf(stderr, "skipped: a small disk needs the right to mount\n");
        hf_test_store_done(&test);
        return;
    }
    hf_test_store_open(&test);
    hf_test_store_add_system(&test);
    int64_t written = fill_disk(content);
    ck_assert_int_gt(written, 0);
    ck_assert_int_eq(count_states(), written);

    ck_assert_int_eq(mount("tmpfs", test.directory, "tmpfs", MS_REMOUNT, LARGER_BYTES), 0);
    if (hf_session_is_broken(test.write))
        HF_TEST_OK(hf_session_reset(test.write, &err));
    const struct hf_state_row next = hf_test_state(written + 1, 1, 2, 1, content, ROW_BYTES);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(hf_states_insert(test.write, &next, 1, &err));
    HF_TEST_OK(hf_session_commit(test.write, &err));
    hf_test_store_close(&test);
    hf_test_store_open(&test);
    ck_assert_int_eq(count_states(), written + 1);
    hf_test_store_close(&test);
    ck_assert_int_eq(umount(test.directory), 0);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_MAIN("contract_sqlite_faults", garbage_is_damaged_and_stays_as_it_is, empty_file_is_a_new_database,
             damaged_header_is_noticed, damaged_pages_are_noticed, truncated_file_is_noticed,
             missing_directory_is_no_damage, full_disk_loses_nothing_and_work_goes_on_with_room);
