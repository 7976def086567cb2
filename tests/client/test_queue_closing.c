/* How the use of a queue ends: flushing, closing, exit and fork, and callbacks that call back. */
#include "tests/client/queue_fixture.h"

#include "tests/support/check_main.h"

#include <sys/wait.h>

START_TEST(a_flush_says_when_its_time_is_over)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    ck_assert(!holdfast_queue_flush(queue, 20, &err));
    ck_assert_str_eq(err.code, "timed_out");
    fake_gate(false);
    close_balanced();
}
END_TEST

START_TEST(closing_stores_what_waits)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    save("a", "1");
    fake_gate(false);
    ck_assert(holdfast_queue_close(queue, &err));
    ck_assert_story("held=0 a=1");
}
END_TEST

static void exit_with_a_full_queue(int log_fd, bool after_closing)
{
    service.log_fd = log_fd;
    fake_gate(true);
    open_queue((struct holdfast_queue_options){.flush_at_exit = true});
    save("a", "1");
    fake_await_inside();
    save("a", "2");
    pid_t child = fork(); /* leaves through exit() itself, and must neither hang nor flush */
    if (child == 0)
        exit(0);
    waitpid(child, NULL, 0);
    fake_gate(false);
    if (after_closing)
        holdfast_queue_close(queue, NULL);
    exit(7);
}

/* What a child that ends with exit() stored, one state a line. */
static void expect_story_of_exit(bool after_closing, const char *expected)
{
    int ends[2], status;
    char text[4096] = "";
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        exit_with_a_full_queue(ends[1], after_closing);
    close(ends[1]);
    for (ssize_t got, bytes = 0; (got = read(ends[0], text + bytes, 4000 - (size_t)bytes)) > 0;)
        bytes += got;
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    ck_assert_str_eq(text, expected);
}

START_TEST(exit_stores_what_waits)
{
    expect_story_of_exit(false, "a=1\na=2\n");
    expect_story_of_exit(true, "a=1\na=2\n");
}
END_TEST

START_TEST(a_child_of_fork_cannot_use_the_queue)
{
    open_queue((struct holdfast_queue_options){0});
    pid_t child = fork();
    if (child == 0)
        _exit(refuses("a", "1", "invalid_argument") && !holdfast_queue_close(queue, &err) ? 0 : 1);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close_balanced();
}
END_TEST

static pthread_mutex_t world = PTHREAD_MUTEX_INITIALIZER; /* the program's own */
static atomic_bool inside;

static bool capture_the_world(void *context, const char *component, const void **data, size_t *bytes)
{
    (void)context, (void)component;
    atomic_store(&inside, true);
    pthread_mutex_lock(&world);
    pthread_mutex_unlock(&world);
    *data = "1";
    *bytes = 1;
    return true;
}

static void look_at_the_world(void *context, const char *component, const struct holdfast_receipt *receipt,
                              const struct holdfast_error *error)
{
    (void)context, (void)component, (void)receipt, (void)error;
    atomic_store(&inside, true);
    pthread_mutex_lock(&world);
    pthread_mutex_unlock(&world);
}

static void await_inside(void)
{
    while (!atomic_load(&inside))
        usleep(1000);
}

START_TEST(a_capture_that_does_not_return_does_not_hold_up_the_close)
{
    open_queue((struct holdfast_queue_options){.flush_ms = 20});
    pthread_mutex_lock(&world);
    ck_assert(holdfast_queue_every(queue, "a", 1, capture_the_world, NULL, &err));
    await_inside();
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "timed_out");
    ck_assert_msg(strstr(err.text, "capture of component a"), "%s", err.text);
    pthread_mutex_unlock(&world);
    usleep(10000); /* its thread frees the queue now, if it comes to that */
    ck_assert_uint_eq(service.count, 0);
}
END_TEST

START_TEST(an_on_result_that_does_not_return_does_not_hold_up_the_close)
{
    open_queue((struct holdfast_queue_options){.flush_ms = 20, .on_result = look_at_the_world});
    pthread_mutex_lock(&world);
    save("a", "1");
    await_inside();
    save("b", "1");
    save("a", "2");
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "timed_out");
    ck_assert_msg(strstr(err.text, "on_result for a"), "%s", err.text);
    pthread_mutex_unlock(&world);
    usleep(10000);
    ck_assert_uint_eq(service.count, 1);
}
END_TEST

static void exit_while_capturing(void)
{
    open_queue((struct holdfast_queue_options){.flush_ms = 20, .flush_at_exit = true});
    pthread_mutex_lock(&world);
    ck_assert(holdfast_queue_every(queue, "a", 1, capture_the_world, NULL, &err));
    await_inside();
    exit(7);
}

START_TEST(a_capture_that_does_not_return_does_not_hold_up_exit)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        exit_while_capturing();
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
}
END_TEST

static void save_again(void *context, const char *component, const struct holdfast_receipt *receipt,
                       const struct holdfast_error *error)
{
    (void)receipt, (void)error;
    if (strcmp(component, "a") == 0) {
        ck_assert(!holdfast_queue_flush(queue, 0, &err));
        ck_assert_str_eq(err.code, "invalid_argument");
        *(bool *)context = holdfast_queue_save(queue, "b", "1", 1, NULL, &err);
    }
}

START_TEST(a_callback_may_save_but_never_waits_for_itself)
{
    bool saved = false;
    open_queue((struct holdfast_queue_options){.on_result = save_again, .context = &saved});
    save("a", "1");
    fake_await_stored(2);
    flush();
    ck_assert(saved);
    ck_assert_story("a=1 b=1");
    ck_assert(holdfast_queue_close(queue, &err));
    open_queue((struct holdfast_queue_options){.on_result = save_again, .context = &saved, .states_max = 1});
    save("a", "2");
    flush();
    ck_assert(!saved);
    ck_assert_str_eq(err.code, "queue_full");
    ck_assert(holdfast_queue_close(queue, &err));
}
END_TEST

HF_TEST_MAIN("queue closing", a_capture_that_does_not_return_does_not_hold_up_the_close,
             an_on_result_that_does_not_return_does_not_hold_up_the_close,
             a_capture_that_does_not_return_does_not_hold_up_exit, a_flush_says_when_its_time_is_over,
             closing_stores_what_waits, exit_stores_what_waits, a_child_of_fork_cannot_use_the_queue,
             a_callback_may_save_but_never_waits_for_itself);
