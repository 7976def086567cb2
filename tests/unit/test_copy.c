/* Whole files between two repositories: copied only when they are sound, never over another one unasked. */
#include "tests/support/snapshots.h"
#include "tests/support/temp.h"

#include "core/auto.h"
#include "repository/repair.h"

#include <check.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_BYTES ((size_t)3 << 20)

static char *directory, *second_directory;
static struct hf_repository *from, *to;
static char *text;

static struct hf_test_state states[] = {{"a", NULL, TEXT_BYTES, 1, false, NULL}};
static const struct hf_test_snapshot full = {"full-1", NULL, "full-1", 4, states, 1, NULL, 0};

static void open_both(void)
{
    second_directory = hf_format("%s/second", directory);
    text = hf_alloc(TEXT_BYTES);
    for (size_t i = 0, seed = 1; i < TEXT_BYTES; i++) {
        seed = seed * 1103515245u + 12345u;
        text[i] = (char)(seed >> 16);
    }
    states[0].text = text;
    from = hf_test_repository(directory);
    ck_assert_int_eq(mkdir(second_directory, 0700), 0);
    hf_repository_open_remote(&to, second_directory);
    hf_test_write_snapshot(from, &full, NULL);
}

static void setup(void)
{
    directory = hf_test_temp_directory();
    open_both();
}

static void teardown(void)
{
    hf_repository_close(from);
    hf_repository_close(to);
    hf_test_remove_tree(directory);
    free(directory);
    free(second_directory);
    free(text);
}

static void count_bytes(void *context, int64_t bytes)
{
    *(int64_t *)context += bytes;
}

static bool copy(bool replace, int64_t *paced, int64_t *bytes, struct hf_error *err)
{
    *paced = 0;
    return hf_repository_copy(from, to, HF_TEST_SYSTEM, "full", "full-1", replace, count_bytes, paced, bytes, err);
}

static bool is_same(void)
{
    bool same = false;
    struct hf_error err = {0};
    ck_assert_msg(hf_repository_compare(from, to, HF_TEST_SYSTEM, "full", "full-1", NULL, NULL, &same, &err), "%s",
                  err.text);
    return same;
}

static void change_byte(const char *root, long at)
{
    size_t bytes;
    HF_AUTO(free) char *path = hf_test_snapshot_path(root, &full);
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    data[at < 0 ? (long)bytes + at : at] ^= 4;
    hf_test_write_file(path, data, bytes);
}

START_TEST(copy_is_the_same_file)
{
    struct hf_error err = {0};
    struct hf_verify_report report;
    int64_t paced, bytes = 0;
    struct stat status;
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &full);
    ck_assert_msg(copy(false, &paced, &bytes, &err), "%s", err.text);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(bytes, status.st_size);
    ck_assert_int_eq(paced, bytes);
    ck_assert(is_same());
    ck_assert_msg(hf_repository_verify(to, HF_TEST_SYSTEM, "full-1", NULL, &report, &err), "%s", err.text);
}
END_TEST

START_TEST(copy_goes_over_an_existing_file_only_when_told)
{
    struct hf_error err = {0};
    int64_t paced, bytes = 0;
    ck_assert(copy(false, &paced, &bytes, &err));
    change_byte(second_directory, 5000);
    ck_assert(!is_same());
    ck_assert(!copy(false, &paced, &bytes, &err));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    ck_assert_int_eq(paced, 0);
    ck_assert(!is_same());
    ck_assert_msg(copy(true, &paced, &bytes, &err), "%s", err.text);
    ck_assert(is_same());
}
END_TEST

START_TEST(unsound_file_is_not_copied)
{
    struct hf_error err = {0};
    int64_t paced, bytes = 0;
    bool same;
    HF_AUTO(free) char *command = hf_format("test -z \"$(find %s -type f)\"", second_directory);
    change_byte(directory, -190); /* of the manifest */
    ck_assert(!copy(false, &paced, &bytes, &err));
    ck_assert_msg(err.code == HF_DAMAGED, "%s", err.text);
    change_byte(directory, -190);
    change_byte(directory, -100); /* of the footer */
    ck_assert(!copy(false, &paced, &bytes, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_int_eq(system(command), 0);
    ck_assert(!hf_repository_compare(from, to, HF_TEST_SYSTEM, "full", "full-1", NULL, NULL, &same, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert(!hf_repository_copy(from, to, HF_TEST_SYSTEM, "full", "full-2", false, NULL, NULL, &bytes, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert(!hf_repository_copy(from, to, HF_TEST_SYSTEM, "full", "../full-1", false, NULL, NULL, &bytes, &err));
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    ck_assert(!hf_repository_compare(from, to, "..", "full", "full-1", NULL, NULL, &same, &err));
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
}
END_TEST

/* The directory that the place lies in is never made: what is missing may be a disk. */
START_TEST(place_that_is_away_stays_away)
{
    struct hf_error err = {0};
    int64_t paced, bytes = 0;
    ck_assert_int_eq(rmdir(second_directory), 0);
    ck_assert(!copy(false, &paced, &bytes, &err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert_int_ne(access(second_directory, F_OK), 0);
}
END_TEST

START_TEST(files_of_different_lengths_differ)
{
    struct hf_error err = {0};
    int64_t paced, bytes = 0;
    HF_AUTO(free) char *path = hf_test_snapshot_path(second_directory, &full);
    ck_assert(copy(false, &paced, &bytes, &err));
    ck_assert_int_eq(truncate(path, (off_t)bytes - 1), 0);
    ck_assert(!is_same());
    ck_assert_int_eq(truncate(path, (off_t)bytes), 0);
    ck_assert_msg(!is_same(), "the last byte is not zero");
    change_byte(second_directory, 2 << 20);
    ck_assert(!is_same());
}
END_TEST

#ifdef HF_FAULTS
static void copy_with_fault(const char *action)
{
    struct hf_error err = {0};
    int64_t paced, bytes;
    HF_AUTO(free) char *spec = hf_format("copy_before_rename:%s", action);
    setenv("HOLDFAST_FAULT", spec, 1);
    open_both();
    bool ok = copy(false, &paced, &bytes, &err);
    _exit(!ok && err.code == HF_IO ? 137 : 1);
}

/* In a process of its own: the fault points are read once. */
START_TEST(interrupted_copy_leaves_no_file_under_its_name)
{
    int status;
    struct hf_error err = {0};
    int64_t paced, bytes;
    directory = hf_test_temp_directory();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        copy_with_fault(_i ? "exit" : "error");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 137, "status %x", (unsigned)status);
    second_directory = hf_format("%s/second", directory);
    from = hf_test_repository(directory);
    hf_repository_open_remote(&to, second_directory);
    HF_AUTO(free) char *path = hf_test_snapshot_path(second_directory, &full);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert(hf_repository_sweep(to, NULL, NULL, &err));
    HF_AUTO(free) char *command = hf_format("test -z \"$(find %s -type f)\"", second_directory);
    ck_assert_int_eq(system(command), 0);
    ck_assert(copy(false, &paced, &bytes, &err));
    ck_assert(is_same());
    teardown();
}
END_TEST
#endif

START_TEST(existing_repository_is_opened_and_none_is_made)
{
    struct hf_error err = {0};
    struct hf_repository *repository = NULL;
    struct hf_verify_report report;
    HF_AUTO(free) char *fulls = hf_format("%s/full", directory);
    HF_AUTO(free) char *incrementals = hf_format("%s/incremental", directory);
    HF_AUTO(free) char *missing = hf_format("%s/missing", directory);
    ck_assert(hf_repository_open_existing(&repository, fulls, incrementals, &err));
    ck_assert(hf_repository_verify(repository, HF_TEST_SYSTEM, "full-1", NULL, &report, &err));
    hf_repository_close(repository);
    repository = NULL;
    ck_assert(!hf_repository_open_existing(&repository, fulls, missing, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert_ptr_null(repository);
    ck_assert_int_ne(access(missing, F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("copy");
    TCase *cases = tcase_create("copy");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, copy_is_the_same_file);
    tcase_add_test(cases, copy_goes_over_an_existing_file_only_when_told);
    tcase_add_test(cases, unsound_file_is_not_copied);
    tcase_add_test(cases, place_that_is_away_stays_away);
    tcase_add_test(cases, files_of_different_lengths_differ);
    tcase_add_test(cases, existing_repository_is_opened_and_none_is_made);
    suite_add_tcase(suite, cases);
#ifdef HF_FAULTS
    TCase *interrupted = tcase_create("interrupted");
    tcase_set_timeout(interrupted, 300);
    tcase_add_loop_test(interrupted, interrupted_copy_leaves_no_file_under_its_name, 0, 2);
    suite_add_tcase(suite, interrupted);
#endif
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
