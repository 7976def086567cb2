/* Queues whose outbox is on a disk that fails: nothing is lost, comes back, or stands still. */
#include "tests/client/queue_fixture.h"

#include "tests/support/check_main.h"

#include <sys/wait.h>

#define LEFT_BEHIND 3

static const struct holdfast_queue_options with_outbox = {.outbox_directory = outbox};

/* Runs work in a process of its own, which then dies. */
static void in_a_process(void (*work)(void))
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        work();
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The oldest one has an event, and so goes alone: the others are still in their files while it is on its way. */
static void leave_states(void)
{
    fake_gate(true);
    open_queue(with_outbox);
    save_event("held", "0", "won");
    fake_await_inside();
    usleep(2000);
    for (int i = 0; i < LEFT_BEHIND; i++)
        save((const char *[]){"a", "b", "c"}[i], "1");
}

static bool is_told(const char *text)
{
    pthread_mutex_lock(&told.lock);
    bool found = strstr(told.text, text) != NULL;
    pthread_mutex_unlock(&told.lock);
    return found;
}

static void await_aside(const char *suffix, int count)
{
    while (count_aside(suffix) != count)
        usleep(1000);
}

/* A directory that is not empty, in the place where the component's state would be set aside. Owns: free(). */
static char *block_setting_aside(const char *component, const char *suffix)
{
    HF_AUTO(free) char *prefix = hf_format("%s-", component);
    HF_AUTO(free) char *state = path_of(prefix);
    HF_AUTO(free) char *aside = hf_format("%s%s", state, suffix);
    char *inside = hf_format("%s/file", aside);
    ck_assert_int_eq(mkdir(aside, 0700), 0);
    ck_assert_int_eq(close(creat(inside, 0600)), 0);
    return inside;
}

static void unblock(const char *inside)
{
    HF_AUTO(free) char *aside = hf_strdup(inside);
    *strrchr(aside, '/') = '\0';
    ck_assert_int_eq(unlink(inside), 0);
    ck_assert_int_eq(rmdir(aside), 0);
}

static void refuse_one(void)
{
    fake_gate(true);
    open_queue(with_outbox);
    fake_fail((struct failing){"superseded", 409, false, 1, NULL, false});
    save("a", "1");
    fake_await_inside();
}

START_TEST(a_refused_state_that_cannot_be_set_aside_is_told_and_set_aside_later)
{
    refuse_one();
    HF_AUTO(free) char *inside = block_setting_aside("a", ".refused");
    fake_gate(false);
    flush();
    ck_assert(is_told("a:superseded"));
    ck_assert(is_told(".state:outbox_failed"));
    ck_assert_int_eq(count_files(), 1);
    unblock(inside);
    await_aside(".refused", 1);
    ck_assert_int_eq(count_files(), 0);
    close_balanced();
}
END_TEST

START_TEST(a_newer_state_takes_the_place_of_one_that_cannot_be_set_aside)
{
    refuse_one();
    HF_AUTO(free) char *inside = block_setting_aside("a", ".refused");
    fake_gate(false);
    flush();
    save("a", "2");
    flush();
    ck_assert_int_eq(count_files(), 0);
    ck_assert_story("a=2");
    close_balanced();
}
END_TEST

static void refuse_and_fail_to_set_aside(void)
{
    refuse_one();
    HF_AUTO(free) char *inside = block_setting_aside("a", ".refused");
    fake_gate(false);
    flush();
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "outbox_failed");
}

START_TEST(a_refused_state_that_could_not_be_set_aside_is_not_sent_by_the_next_process)
{
    in_a_process(refuse_and_fail_to_set_aside);
    ck_assert_int_eq(count_files(), 1);
    open_queue(with_outbox);
    ck_assert_uint_eq(counts().waiting, 0);
    ck_assert_int_eq(count_files(), 0);
    close_balanced();
    ck_assert_story("");
}
END_TEST

START_TEST(a_damaged_file_that_cannot_be_set_aside_is_told_and_not_sent)
{
    in_a_process(leave_states);
    damage_file("b-", 0);
    HF_AUTO(free) char *inside = block_setting_aside("b", ".damaged");
    open_queue(with_outbox);
    flush();
    ck_assert_ptr_nonnull(strstr(told.text, ".state:outbox_failed"));
    ck_assert_int_eq(strncmp(told.text, "b-", 2), 0);
    HF_AUTO(free) char *story = fake_story();
    ck_assert_ptr_null(strstr(story, "b="));
    ck_assert_int_eq(count_files(), 1);
    save("b", "2");
    flush();
    ck_assert_int_eq(count_files(), 0);
    close_balanced();
}
END_TEST

#ifdef HF_FAULTS
static void set_fault(const char *spec)
{
    setenv("HOLDFAST_FAULT", spec, 1);
}

static void store_and_keep_the_file(void)
{
    set_fault("outbox_before_remove:error");
    open_queue(with_outbox);
    save("a", "1");
    flush();
    ck_assert_story("a=1");
    ck_assert_str_eq(strchr(told.text, ':'), ":outbox_failed a:stored");
    ck_assert_int_eq(count_files(), 1);
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "outbox_failed");
    ck_assert_int_eq(count_files(), 1);
}

START_TEST(a_stored_state_whose_file_cannot_be_removed_is_told_and_not_sent_by_the_next_process)
{
    in_a_process(store_and_keep_the_file);
    open_queue(with_outbox);
    ck_assert_uint_eq(counts().waiting, 0);
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(count_aside(".damaged"), 0);
    close_balanced();
    ck_assert_story("");
    ck_assert_str_eq(told.text, "");
}
END_TEST

START_TEST(what_is_queued_where_a_file_could_not_be_removed_is_sent)
{
    set_fault("outbox_before_remove:error");
    open_queue(with_outbox);
    save("a", "1");
    flush();
    hold_up();
    save("a", "2");
    ck_assert_int_eq(count_files(), 2);
    fake_gate(false);
    flush();
    ck_assert_story("a=1 held=0 a=2");
    ck_assert(!holdfast_queue_close(queue, &err));
}
END_TEST

START_TEST(a_dropped_state_whose_file_cannot_be_removed_is_told)
{
    set_fault("outbox_before_remove:error");
    open_queue((
        struct holdfast_queue_options){.outbox_directory = outbox, .states_max = 2, .when_full = HOLDFAST_DROP_OLDEST});
    hold_up();
    save("a", "1");
    save("b", "1");
    ck_assert(is_told(".state:outbox_failed"));
    ck_assert(is_told("a:queue_full"));
    fake_gate(false);
    flush();
    ck_assert_story("held=0 b=1");
    ck_assert(!holdfast_queue_close(queue, &err));
}
END_TEST

static void *save_in_vain(void *argument)
{
    struct holdfast_error *failure = argument;
    ck_assert(!holdfast_queue_save(queue, "a", "2", 1, NULL, failure));
    return NULL;
}

/* The sender looks while the newer state is being written, which then fails: it has to look again. */
START_TEST(a_waiting_state_is_sent_after_the_writing_of_a_newer_one_failed)
{
    pthread_t thread;
    struct holdfast_error failure;
    set_fault("outbox_midway:sleep=4000:2,outbox_before_rename:error:2");
    open_queue(with_outbox);
    hold_up();
    save("a", "1");
    ck_assert_int_eq(pthread_create(&thread, NULL, save_in_vain, &failure), 0);
    while (count_aside("") < 6) /* . .. lock, two states, and the third one's temporary file */
        usleep(1000);
    fake_gate(false);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_str_eq(failure.code, "outbox_failed");
    fake_await_stored(2);
    ck_assert_story("held=0 a=1");
    close_balanced();
}
END_TEST

/* The files' content is then another one than what they were listed with, and nobody is about to tell of it. */
START_TEST(what_an_earlier_process_left_is_sent_though_a_newer_one_could_not_be_made_to_last)
{
    in_a_process(leave_states);
    set_fault("outbox_directory_sync:error");
    fake_gate(true);
    open_queue(with_outbox);
    fake_await_inside();
    for (int i = 0; i < LEFT_BEHIND; i++)
        ck_assert(refuses((const char *[]){"a", "b", "c"}[i], "22", "outbox_failed"));
    fake_gate(false);
    flush();
    ck_assert_int_eq(count_files(), 0);
    HF_AUTO(free) char *story = fake_story();
    ck_assert(strstr(story, "a=") && strstr(story, "b=") && strstr(story, "c="));
    close_balanced();
}
END_TEST

static void leave_states_of_epoch_one(void)
{
    service.epoch = 1;
    leave_states();
}

/* What was replaced in vain is of this process, which knows of no epoch yet. */
START_TEST(what_an_earlier_process_left_is_sent_with_its_epoch_beside_one_that_was_replaced_in_vain)
{
    in_a_process(leave_states_of_epoch_one);
    set_fault("outbox_directory_sync:error");
    fake_gate(true);
    open_queue(with_outbox);
    fake_await_inside();
    ck_assert(refuses("a", "22", "outbox_failed"));
    fake_gate(false);
    flush();
    HF_AUTO(free) char *story = fake_story();
    ck_assert_msg(strstr(story, "b=1@1") && strstr(story, "c=1@1"), "%s", story);
    ck_assert_msg(strstr(story, "a=22") && !strstr(story, "a=22@"), "%s", story);
    close_balanced();
}
END_TEST

START_TEST(a_save_that_failed_is_not_sent_by_the_next_process)
{
    set_fault("outbox_directory_sync:error");
    open_queue(with_outbox);
    ck_assert(refuses("a", "1", "outbox_failed"));
    ck_assert(refuses("a", "2", "outbox_failed"));
    ck_assert_int_eq(count_files(), 0);
    close_balanced();
}
END_TEST

START_TEST(a_directory_that_cannot_be_written_after_something_was_stored_is_told_once)
{
    set_fault("outbox_directory_sync:error:2");
    open_queue(with_outbox);
    hold_up();
    save("a", "1");
    fake_gate(false);
    flush();
    ck_assert_str_eq(told.text, ".:outbox_failed held:stored a:stored");
    ck_assert(refuses("a", "2", "outbox_failed"));
    close_balanced();
}
END_TEST

START_TEST(a_state_that_cannot_be_read_for_now_is_told_and_kept)
{
    in_a_process(leave_states);
    set_fault("outbox_read:error:4"); /* the scan reads each of them, and held */
    fake_gate(false);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox, .flush_ms = 50});
    while (!is_told(".state:outbox_failed"))
        usleep(1000);
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "timed_out");
    ck_assert_int_eq(count_files(), 4);
    ck_assert_int_eq(count_aside(".damaged"), 0);
    ck_assert_story("");
}
END_TEST

#define FAULT_TESTS                                                                                                    \
    a_stored_state_whose_file_cannot_be_removed_is_told_and_not_sent_by_the_next_process,                              \
        what_is_queued_where_a_file_could_not_be_removed_is_sent,                                                      \
        a_dropped_state_whose_file_cannot_be_removed_is_told,                                                          \
        a_waiting_state_is_sent_after_the_writing_of_a_newer_one_failed,                                               \
        what_an_earlier_process_left_is_sent_though_a_newer_one_could_not_be_made_to_last,                             \
        what_an_earlier_process_left_is_sent_with_its_epoch_beside_one_that_was_replaced_in_vain,                      \
        a_save_that_failed_is_not_sent_by_the_next_process,                                                            \
        a_directory_that_cannot_be_written_after_something_was_stored_is_told_once,                                    \
        a_state_that_cannot_be_read_for_now_is_told_and_kept,
#else
#define FAULT_TESTS
#endif

HF_TEST_MAIN_WITH("queue disk", make_outbox_place, remove_outbox_place,
                  FAULT_TESTS a_refused_state_that_cannot_be_set_aside_is_told_and_set_aside_later,
                  a_newer_state_takes_the_place_of_one_that_cannot_be_set_aside,
                  a_refused_state_that_could_not_be_set_aside_is_not_sent_by_the_next_process,
                  a_damaged_file_that_cannot_be_set_aside_is_told_and_not_sent);
