/* The repository as a place: listing, sweeping, deleting, and what a failed write leaves behind. */
#include "tests/support/repository_fixture.h"

#include "core/auto.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOUND_MAX 32

static const struct hf_test_state states[] = {{"a", "state of a", 0, 1, false, NULL}};
static const struct hf_test_snapshot full = {"full-1", NULL, "full-1", 4, states, 1, NULL, 0};
static const struct hf_test_snapshot next = {"incremental-2", "full-1", "full-1", 5, states, 1, NULL, 0};

static void make_file(const char *format_directory, const char *name, const char *text)
{
    HF_AUTO(free) char *path = hf_format("%s/%s/%s", directory, format_directory, name);
    hf_test_write_file(path, text, strlen(text));
}

static bool exists(const char *below)
{
    HF_AUTO(free) char *path = hf_format("%s/%s", directory, below);
    return access(path, F_OK) == 0;
}

/* Entries of a directory below the temporary one, without . and ..; one that is not there has none. */
static int count_entries(const char *below)
{
    HF_AUTO(free) char *path = hf_format("%s/%s", directory, below);
    DIR *listing = opendir(path);
    if (!listing) {
        ck_assert_int_eq(errno, ENOENT);
        return 0;
    }
    int count = -2;
    while (readdir(listing))
        count++;
    closedir(listing);
    return count;
}

struct found {
    int count;
    int stop_after; /* 0: never */
    char ids[FOUND_MAX][HF_SNAPSHOT_ID_MAX + 1];
    char files[FOUND_MAX][300];
    char kinds[FOUND_MAX][16];
    int64_t bytes[FOUND_MAX];
    enum hf_code codes[FOUND_MAX];
};

static bool note_found(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                       const struct hf_error *damage)
{
    struct found *found = context;
    int at = found->count++;
    ck_assert_int_lt(at, FOUND_MAX);
    snprintf(found->ids[at], sizeof(found->ids[at]), "%s", header->id);
    snprintf(found->files[at], sizeof(found->files[at]), "%s", file);
    snprintf(found->kinds[at], sizeof(found->kinds[at]), "%s", header->kind);
    found->bytes[at] = file_bytes;
    found->codes[at] = damage ? damage->code : HF_OK;
    return found->count != found->stop_after;
}

static struct found scan(const char *system)
{
    struct found found = {0};
    struct hf_error err = {0};
    ck_assert_msg(hf_repository_scan(repository, system, note_found, &found, &err), "%s", err.text);
    return found;
}

START_TEST(scan_finds_what_was_written_and_ignores_the_rest)
{
    int64_t full_bytes = hf_test_write_snapshot(repository, &full, NULL);
    hf_test_write_snapshot(repository, &next, NULL);
    make_file("full/" HF_TEST_SYSTEM, "notes.txt", "mine");
    make_file("full/" HF_TEST_SYSTEM, ".hidden.snapshot", "mine");
    make_file("full", "full-7.snapshot", "not in a system");
    HF_AUTO(free) char *folder = hf_format("%s/full/" HF_TEST_SYSTEM "/full-8.snapshot", directory);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    struct found found = scan(NULL);
    ck_assert_int_eq(found.count, 2);
    ck_assert_str_eq(found.ids[0], "full-1");
    ck_assert_str_eq(found.kinds[0], "full");
    ck_assert_str_eq(found.files[0], HF_TEST_SYSTEM "/full-1.snapshot");
    ck_assert_int_eq(found.bytes[0], full_bytes);
    ck_assert_int_eq(found.codes[0], HF_OK);
    ck_assert_str_eq(found.ids[1], "incremental-2");
    ck_assert_str_eq(found.kinds[1], "incremental");
    ck_assert_int_eq(scan("another").count, 0);
}
END_TEST

START_TEST(scan_tells_damage_and_goes_on)
{
    hf_test_write_snapshot(repository, &full, NULL);
    hf_test_write_snapshot(repository, &next, NULL);
    make_file("full/" HF_TEST_SYSTEM, "full-0.snapshot", "");
    make_file("incremental/" HF_TEST_SYSTEM, "incremental-1.snapshot",
              "this is no snapshot file, however long it may be");
    struct found found = scan(HF_TEST_SYSTEM);
    ck_assert_int_eq(found.count, 4);
    ck_assert_str_eq(found.ids[0], "full-0");
    ck_assert_str_eq(found.kinds[0], "full");
    ck_assert_int_eq(found.codes[0], HF_DAMAGED);
    ck_assert_int_eq(found.codes[1], HF_OK);
    ck_assert_str_eq(found.ids[2], "incremental-1");
    ck_assert_str_eq(found.kinds[2], "incremental");
    ck_assert_int_eq(found.codes[2], HF_DAMAGED);
    ck_assert_int_eq(found.codes[3], HF_OK);
}
END_TEST

START_TEST(scan_stops_when_told)
{
    hf_test_write_snapshot(repository, &full, NULL);
    hf_test_write_snapshot(repository, &next, NULL);
    struct found found = {.stop_after = 1};
    struct hf_error err = {0};
    ck_assert(hf_repository_scan(repository, NULL, note_found, &found, &err));
    ck_assert_int_eq(found.count, 1);
}
END_TEST

START_TEST(one_directory_may_serve_for_both_kinds)
{
    HF_AUTO(free) char *both = hf_format("%s/both", directory);
    hf_repository_close(repository);
    struct hf_error err = {0};
    ck_assert(hf_repository_open(&repository, both, both, &err));
    hf_test_write_snapshot(repository, &full, NULL);
    hf_test_write_snapshot(repository, &next, NULL);
    make_file("both/" HF_TEST_SYSTEM, "incremental-3.snapshot", "damaged");
    struct found found = scan(NULL);
    ck_assert_int_eq(found.count, 3);
    ck_assert_str_eq(found.kinds[0], "full");
    ck_assert_str_eq(found.kinds[1], "incremental");
    ck_assert_str_eq(found.kinds[2], "incremental");
    struct hf_verify_report report;
    ck_assert_msg(hf_repository_verify(repository, HF_TEST_SYSTEM, "incremental-2", NULL, &report, &err), "%s",
                  err.text);
    ck_assert(hf_repository_deletion_begin(repository, HF_TEST_SYSTEM, "1t2", &err));
    ck_assert(hf_repository_deletion_finish(repository, HF_TEST_SYSTEM, "1t2", &err));
    ck_assert_int_eq(count_entries("both"), 0);
}
END_TEST

static void note_leftover(void *context, const char *path, int64_t bytes)
{
    struct found *found = context;
    snprintf(found->files[found->count], sizeof(found->files[0]), "%s", path);
    found->bytes[found->count++] = bytes;
}

START_TEST(sweep_removes_temporary_files_alone)
{
    struct found found = {0};
    struct hf_error err = {0};
    hf_test_write_snapshot(repository, &full, NULL);
    make_file("full/" HF_TEST_SYSTEM, ".tmp-full-2-4711", "half a snapshot");
    make_file("full/" HF_TEST_SYSTEM, "notes.txt", "mine");
    ck_assert(hf_repository_sweep(repository, note_leftover, &found, &err));
    ck_assert_int_eq(found.count, 1);
    ck_assert_ptr_nonnull(strstr(found.files[0], "/full/" HF_TEST_SYSTEM "/.tmp-full-2-4711"));
    ck_assert_int_eq(found.bytes[0], 15);
    ck_assert(!exists("full/" HF_TEST_SYSTEM "/.tmp-full-2-4711"));
    ck_assert(exists("full/" HF_TEST_SYSTEM "/notes.txt"));
    ck_assert(exists("full/" HF_TEST_SYSTEM "/full-1.snapshot"));
}
END_TEST

START_TEST(delete_frees_the_file_and_twice_is_fine)
{
    struct hf_error err = {0};
    int64_t freed = -1, bytes = hf_test_write_snapshot(repository, &full, NULL);
    hf_test_write_snapshot(repository, &next, NULL);
    ck_assert(hf_repository_delete(repository, HF_TEST_SYSTEM, "full", "full-1", &freed, &err));
    ck_assert_int_eq(freed, bytes);
    ck_assert(hf_repository_delete(repository, HF_TEST_SYSTEM, "full", "full-1", &freed, &err));
    ck_assert_int_eq(freed, 0);
    ck_assert(hf_repository_delete(repository, "never-was", "full", "full-1", &freed, &err));
    ck_assert(exists("incremental/" HF_TEST_SYSTEM "/incremental-2.snapshot"));
}
END_TEST

START_TEST(deleting_a_system_leaves_others_and_foreign_files)
{
    struct hf_error err = {0};
    hf_test_write_snapshot(repository, &full, NULL);
    hf_test_write_snapshot(repository, &next, NULL);
    HF_AUTO(free) char *other = hf_format("%s/full/other", directory);
    ck_assert_int_eq(mkdir(other, 0700), 0);
    make_file("full/other", "full-1.snapshot", "x");
    make_file("full/" HF_TEST_SYSTEM, ".tmp-full-2-4711", "half");
    make_file("incremental/" HF_TEST_SYSTEM, "notes.txt", "mine");
    ck_assert_msg(hf_repository_deletion_begin(repository, HF_TEST_SYSTEM, "1t2", &err), "%s", err.text);
    ck_assert_int_eq(scan(NULL).count, 1);
    ck_assert_msg(hf_repository_deletion_finish(repository, HF_TEST_SYSTEM, "1t2", &err), "%s", err.text);
    ck_assert_int_eq(count_entries("full"), 1);
    ck_assert(exists("full/other/full-1.snapshot"));
    ck_assert_int_eq(count_entries("incremental"), 1);
    ck_assert_int_eq(count_entries("incremental/.orphaned-" HF_TEST_SYSTEM "-1t2"), 1);
    ck_assert(exists("incremental/.orphaned-" HF_TEST_SYSTEM "-1t2/notes.txt"));
    ck_assert(hf_repository_deletion_finish(repository, HF_TEST_SYSTEM, "1t2", &err));
    ck_assert(hf_repository_deletion_begin(repository, "never-was", "1t2", &err));
    ck_assert(hf_repository_deletion_undo(repository, "never-was", "1t2", &err));
    ck_assert(hf_repository_deletion_finish(repository, "never-was", "1t2", &err));
}
END_TEST

static void note_deletion(void *context, const char *system, const char *mark)
{
    struct found *found = context;
    snprintf(found->files[found->count++], sizeof(found->files[0]), "%s %s", system, mark);
}

START_TEST(a_deletion_is_listed_until_it_is_undone)
{
    struct hf_error err = {0};
    struct found found = {0};
    hf_test_write_snapshot(repository, &full, NULL);
    hf_test_write_snapshot(repository, &next, NULL);
    ck_assert(hf_repository_deletion_begin(repository, HF_TEST_SYSTEM, "1t2", &err));
    ck_assert(hf_repository_deletions_list(repository, note_deletion, &found, &err));
    ck_assert_int_eq(found.count, 2); /* one for each place */
    ck_assert_str_eq(found.files[0], HF_TEST_SYSTEM " 1t2");
    ck_assert_str_eq(found.files[1], HF_TEST_SYSTEM " 1t2");
    ck_assert(hf_repository_deletion_undo(repository, HF_TEST_SYSTEM, "1t2", &err));
    struct hf_verify_report report;
    ck_assert_msg(hf_repository_verify(repository, HF_TEST_SYSTEM, "incremental-2", NULL, &report, &err), "%s",
                  err.text);
    found.count = 0;
    ck_assert(hf_repository_deletions_list(repository, note_deletion, &found, &err));
    ck_assert_int_eq(found.count, 0);
}
END_TEST

START_TEST(a_deletion_that_was_half_undone_is_undone_by_undoing_it_again)
{
    struct hf_error err = {0};
    hf_test_write_snapshot(repository, &full, NULL);
    ck_assert(hf_repository_deletion_begin(repository, HF_TEST_SYSTEM, "1t2", &err));
    hf_test_write_snapshot(repository, &next, NULL);
    static const struct hf_test_snapshot later = {"full-3", NULL, "full-3", 6, states, 1, NULL, 0};
    hf_test_write_snapshot(repository, &later, NULL);
    ck_assert_msg(hf_repository_deletion_undo(repository, HF_TEST_SYSTEM, "1t2", &err), "%s", err.text);
    ck_assert_int_eq(count_entries("full"), 1);
    ck_assert_int_eq(count_entries("full/" HF_TEST_SYSTEM), 3); /* with the outline of the incremental */
    ck_assert(exists("full/" HF_TEST_SYSTEM "/full-1.snapshot"));
    /* Never over a file that is there. */
    ck_assert(hf_repository_deletion_begin(repository, HF_TEST_SYSTEM, "1t2", &err));
    hf_test_write_snapshot(repository, &full, NULL);
    ck_assert(!hf_repository_deletion_undo(repository, HF_TEST_SYSTEM, "1t2", &err));
    ck_assert(exists("full/" HF_TEST_SYSTEM "/full-1.snapshot"));
    ck_assert(exists("full/.deleting-" HF_TEST_SYSTEM "-1t2/full-1.snapshot"));
}
END_TEST

START_TEST(names_that_lead_elsewhere_are_refused)
{
    static const char *const wrong[] = {"..", "../full", "a/b", "", ".tmp-x", "/etc"};
    make_file(".", "outside.snapshot", "mine");
    for (int i = 0; i < HF_TEST_COUNT(wrong); i++) {
        struct hf_error err = {0};
        struct hf_chain *chain = NULL;
        struct hf_snapshot_writer *writer = NULL;
        struct hf_manifest_header header = hf_test_header(&full);
        int64_t freed;
        struct found found = {0};
        ck_assert(!hf_repository_delete(repository, wrong[i], "full", "outside", &freed, &err));
        ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
        ck_assert(!hf_repository_delete(repository, HF_TEST_SYSTEM, "full", wrong[i], &freed, &err));
        ck_assert(!hf_repository_deletion_begin(repository, wrong[i], "1t2", &err));
        ck_assert(!hf_repository_deletion_finish(repository, wrong[i], "1t2", &err));
        ck_assert(!hf_repository_scan(repository, wrong[i], note_found, &found, &err));
        ck_assert(!hf_chain_load(&chain, repository, wrong[i], "outside", &err));
        ck_assert(!hf_chain_load(&chain, repository, HF_TEST_SYSTEM, wrong[i], &err));
        header.system = wrong[i];
        ck_assert(!hf_snapshot_writer_new(&writer, repository, &header, &err));
        ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    }
    ck_assert(exists("outside.snapshot"));
}
END_TEST

START_TEST(published_file_is_never_overwritten)
{
    struct hf_error err = {0};
    int64_t bytes;
    static const struct hf_test_state other_states[] = {{"b", "other", 0, 1, false, NULL}};
    struct hf_test_snapshot other = {"full-1", NULL, "full-1", 4, other_states, 1, NULL, 0};
    hf_test_write_snapshot(repository, &full, NULL);
    ck_assert(!hf_test_try_snapshot(repository, &other, NULL, &bytes, &err));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    /* Also when it comes while the other is being written. */
    struct hf_manifest_header header = hf_test_header(&next);
    struct hf_snapshot_writer *writer = NULL;
    HF_AUTO(free) char *file = NULL;
    ck_assert(hf_snapshot_writer_new(&writer, repository, &header, &err));
    make_file("incremental/" HF_TEST_SYSTEM, "incremental-2.snapshot", "first");
    ck_assert(!hf_snapshot_writer_finish(writer, &header, &file, &bytes, &err));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    hf_snapshot_writer_free(writer);
    ck_assert_int_eq(count_entries("incremental/" HF_TEST_SYSTEM), 2); /* with the outline of the full */
    ck_assert_int_eq(count_entries("full/" HF_TEST_SYSTEM), 1);
    ck_assert_int_eq(scan(HF_TEST_SYSTEM).bytes[1], 5);
}
END_TEST

START_TEST(abandoned_writer_leaves_nothing)
{
    struct hf_error err = {0};
    struct hf_manifest_header header = hf_test_header(&full);
    struct hf_snapshot_writer *writer = NULL;
    ck_assert(hf_snapshot_writer_new(&writer, repository, &header, &err));
    ck_assert_int_eq(count_entries("full/" HF_TEST_SYSTEM), 1);
    hf_snapshot_writer_free(writer);
    ck_assert_int_eq(count_entries("full/" HF_TEST_SYSTEM), 0);
    hf_snapshot_writer_free(NULL);
}
END_TEST

START_TEST(unreadable_file_is_not_called_damaged)
{
    struct hf_error err = {0};
    struct hf_chain *chain = NULL;
    struct found found = {0};
    hf_test_write_snapshot(repository, &full, NULL);
    /* A link is not followed and cannot be opened as a file: stands for any failing open, also when run as root. */
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &full);
    HF_AUTO(free) char *target = hf_format("%s/elsewhere", directory);
    ck_assert_int_eq(rename(path, target), 0);
    ck_assert_int_eq(symlink(target, path), 0);
    ck_assert(!hf_chain_load(&chain, repository, HF_TEST_SYSTEM, "full-1", &err));
    ck_assert_int_eq(err.code, HF_IO);
    /* A root that went away (an unmounted disk) is no empty repository. */
    HF_AUTO(free) char *root = hf_format("%s/full", directory);
    HF_AUTO(free) char *aside = hf_format("%s/aside", directory);
    ck_assert_int_eq(rename(root, aside), 0);
    ck_assert(!hf_repository_scan(repository, NULL, note_found, &found, &err));
    ck_assert_int_eq(err.code, HF_IO);
}
END_TEST

START_TEST(full_disk_publishes_nothing_and_leaves_nothing)
{
    HF_AUTO(free) char *disk = hf_format("%s/disk", directory);
    ck_assert_int_eq(mkdir(disk, 0700), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=2m") != 0) /* only root may */
        return;
    HF_AUTO(free) char *noise = hf_alloc((size_t)3 << 20);
    struct hf_repository *small = hf_test_repository(disk);
    struct hf_error err = {0};
    int64_t bytes;
    hf_random_bytes(noise, (size_t)3 << 20);
    struct hf_test_state large_states[] = {{"large", noise, (size_t)3 << 20, 1, false, NULL}};
    struct hf_test_snapshot large = {"full-2", NULL, "full-2", 4, large_states, 1, NULL, 0};
    hf_test_write_snapshot(small, &full, NULL);
    bool written = hf_test_try_snapshot(small, &large, NULL, &bytes, &err);
    int left = count_entries("disk/full/" HF_TEST_SYSTEM);
    struct hf_verify_report report;
    struct hf_error verify_err = {0};
    bool sound = hf_repository_verify(small, HF_TEST_SYSTEM, "full-1", NULL, &report, &verify_err);
    hf_repository_close(small);
    ck_assert_int_eq(umount(disk), 0);
    ck_assert(!written);
    ck_assert_msg(err.code == HF_STORAGE_FULL, "%s", err.text);
    ck_assert_int_eq(left, 1);
    ck_assert_msg(sound, "%s", verify_err.text);
}
END_TEST

#ifdef HF_FAULTS
/* One process each: a fault point is read from the environment once. */
static const char *const write_faults[] = {"snapshot_write:error", "snapshot_write:error:1",
                                           "snapshot_before_rename:error", "snapshot_after_rename:error"};

START_TEST(failed_write_publishes_nothing_and_leaves_nothing)
{
    struct hf_error err = {0};
    int64_t bytes;
    ck_assert_int_eq(setenv("HOLDFAST_FAULT", write_faults[_i], 1), 0);
    ck_assert(!hf_test_try_snapshot(repository, &full, NULL, &bytes, &err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert_int_eq(count_entries("full/" HF_TEST_SYSTEM), 0);
}
END_TEST
#endif

START_TEST(directory_that_is_a_file_is_said_so)
{
    struct hf_repository *other = NULL;
    struct hf_error err = {0};
    make_file(".", "file", "x");
    HF_AUTO(free) char *path = hf_format("%s/file", directory);
    ck_assert(!hf_repository_open(&other, path, path, &err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert_ptr_nonnull(strstr(err.text, path));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("repository");
    TCase *cases = tcase_create("repository");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, scan_finds_what_was_written_and_ignores_the_rest);
    tcase_add_test(cases, scan_tells_damage_and_goes_on);
    tcase_add_test(cases, scan_stops_when_told);
    tcase_add_test(cases, one_directory_may_serve_for_both_kinds);
    tcase_add_test(cases, sweep_removes_temporary_files_alone);
    tcase_add_test(cases, delete_frees_the_file_and_twice_is_fine);
    tcase_add_test(cases, deleting_a_system_leaves_others_and_foreign_files);
    tcase_add_test(cases, a_deletion_is_listed_until_it_is_undone);
    tcase_add_test(cases, a_deletion_that_was_half_undone_is_undone_by_undoing_it_again);
    tcase_add_test(cases, names_that_lead_elsewhere_are_refused);
    tcase_add_test(cases, published_file_is_never_overwritten);
    tcase_add_test(cases, abandoned_writer_leaves_nothing);
    tcase_add_test(cases, unreadable_file_is_not_called_damaged);
    tcase_add_test(cases, full_disk_publishes_nothing_and_leaves_nothing);
    tcase_add_test(cases, directory_that_is_a_file_is_said_so);
#ifdef HF_FAULTS
    tcase_add_loop_test(cases, failed_write_publishes_nothing_and_leaves_nothing, 0, HF_TEST_COUNT(write_faults));
#endif
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
