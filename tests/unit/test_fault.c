/* The fault points are compiled into this program itself, so that they are tested in every build. */
#ifndef HF_FAULTS
#define HF_FAULTS
#endif
#include "core/fault.c"

#include "core/clock.h"

#include <sys/wait.h>

#include "tests/support/check_main.h"

/* Runs body in a process of its own, because the environment is read once in each; returns its exit status. */
static int status_of(const char *environment, int (*body)(void))
{
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (environment)
            setenv("HOLDFAST_FAULT", environment, 1);
        else
            unsetenv("HOLDFAST_FAULT");
        _exit(body());
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* One bit for each of three passes of commit_before, and one for a pass of commit_after. */
static int pass_points(void)
{
    int bits = 0;
    for (int i = 0; i < 3; i++)
        bits |= hf_fault("commit_before") << i;
    return bits | hf_fault("commit_after") << 3;
}

static int pass_unknown_point(void)
{
    return hf_fault("no_such_point");
}

static int measure_sleep(void)
{
    uint64_t before = hf_clock_monotonic_ns();
    bool failed = hf_fault("snapshot_write");
    return !failed && hf_clock_monotonic_ns() - before >= 20 * HF_MS_NS ? 0 : 1;
}

START_TEST(nothing_fails_when_nothing_is_armed)
{
    ck_assert_int_eq(status_of(NULL, pass_points), 0);
    ck_assert_int_eq(status_of("", pass_points), 0);
    ck_assert_int_eq(status_of("rebuild_midway:exit", pass_points), 0);
}
END_TEST

START_TEST(an_armed_point_fails_every_time)
{
    ck_assert_int_eq(status_of("commit_before:error", pass_points), 7);
    ck_assert_int_eq(status_of("commit_before:error,commit_after:error", pass_points), 15);
}
END_TEST

START_TEST(skipped_passes_succeed)
{
    ck_assert_int_eq(status_of("commit_before:error:2", pass_points), 4);
    ck_assert_int_eq(status_of("commit_before:error:3,commit_after:error:0", pass_points), 8);
}
END_TEST

START_TEST(exit_ends_the_process_as_a_kill_would)
{
    ck_assert_int_eq(status_of("commit_after:exit", pass_points), 137);
    ck_assert_int_eq(status_of("commit_before:exit:3", pass_points), 0);
}
END_TEST

START_TEST(sleep_waits_and_then_succeeds)
{
    ck_assert_int_eq(status_of("snapshot_write:sleep=20", measure_sleep), 0);
}
END_TEST

START_TEST(what_is_not_understood_is_refused)
{
    static const char *const cases[] = {"no_such_point:error",    "commit_before",
                                        "commit_before:fail",     "commit_before:sleep=",
                                        "commit_before:sleep=x",  "commit_before:error:",
                                        "commit_before:error:-1", "commit_before:error:1:2",
                                        "commit_before:error,",   "commit_before:sleep=99999999999"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(status_of(cases[i], pass_points) == 2, "%s", cases[i]);
}
END_TEST

START_TEST(a_point_that_is_not_in_the_table_ends_the_process)
{
    ck_assert_int_lt(status_of(NULL, pass_unknown_point), 0);
}
END_TEST

HF_TEST_MAIN("fault", nothing_fails_when_nothing_is_armed, an_armed_point_fails_every_time, skipped_passes_succeed,
             exit_ends_the_process_as_a_kill_would, sleep_waits_and_then_succeeds, what_is_not_understood_is_refused,
             a_point_that_is_not_in_the_table_ends_the_process);
