/* Queues whose states outlive the process in an outbox. */
#include "tests/client/queue_fixture.h"

#include "tests/support/check_main.h"

#include <sys/wait.h>

/* A process that queues and dies before anything is stored. */
static void queue_and_die(void (*work)(void))
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        fake_gate(true);
        open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
        work();
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void queue_some(void)
{
    service.epoch = 4;
    save("a", "1");
    fake_await_inside();
    save("a", "2");
    save_event("b", "1", "won");
    save("b", "2");
    save("c", "1");
}

START_TEST(what_a_process_queued_before_it_died_is_sent_first_by_the_next_one)
{
    queue_and_die(queue_some);
    ck_assert_int_eq(count_files(), 3);
    fake_gate(true);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    ck_assert_uint_eq(counts().waiting, 3);
    ck_assert_uint_eq(counts().waiting_bytes, 3);
    fake_await_inside();
    save("d", "1");
    fake_gate(false);
    flush();
    ck_assert_int_eq(count_files(), 0);
    HF_AUTO(free) char *story = fake_story();
    ck_assert(strstr(story, "a=2@4") && strstr(story, "b=2!won@4") && strstr(story, "c=1@4"));
    ck_assert_str_eq(story + strlen(story) - 3, "d=1");
    close_balanced();
}
END_TEST

START_TEST(a_state_takes_the_place_of_what_an_earlier_process_left_and_keeps_its_event)
{
    queue_and_die(queue_some);
    fake_gate(true);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    fake_await_inside(); /* with what is sent first */
    save("a", "3");
    save("b", "3");
    save("c", "3");
    fake_gate(false);
    flush();
    HF_AUTO(free) char *story = fake_story();
    ck_assert_ptr_nonnull(strstr(story, "a=3"));
    ck_assert_ptr_nonnull(strstr(story, "c=3"));
    ck_assert_msg(strstr(story, "b=3!won") || strstr(story, "b=2!won"), "%s", story);
    ck_assert_int_eq(count_files(), 0);
    close_balanced();
}
END_TEST

START_TEST(what_was_stored_leaves_the_outbox_and_what_waits_stays)
{
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox, .flush_ms = 50});
    save("a", "1");
    flush();
    ck_assert_int_eq(count_files(), 0);
    fake_gate(true);
    save("a", "2");
    fake_await_inside();
    save("a", "3");
    ck_assert_int_eq(count_files(), 1);
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "timed_out");
    ck_assert_ptr_nonnull(strstr(err.text, "outbox"));
    ck_assert_str_eq(told.text, "a:stored");
    fake_gate(false);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    flush();
    ck_assert_story("a=1 a=3");
    ck_assert_int_eq(count_files(), 0);
    close_balanced();
}
END_TEST

START_TEST(content_that_returns_while_another_waits_in_the_outbox_outlives_the_process)
{
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox, .flush_ms = 50});
    save("a", "1");
    flush();
    hold_up();
    save("a", "2");
    save("a", "1");
    ck_assert(!holdfast_queue_close(queue, &err));
    fake_gate(false);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    flush();
    HF_AUTO(free) char *story = fake_story();
    ck_assert_ptr_null(strstr(story, "a=2"));
    close_balanced();
}
END_TEST

START_TEST(a_refused_state_is_set_aside_and_one_with_a_bad_token_stays)
{
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    fake_fail((struct failing){"invalid_request", 400, false, 1, NULL, false});
    save("a", "1");
    flush();
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(count_aside(".refused"), 1);
    fake_fail((struct failing){"unauthorized", 401, false, 1, NULL, false});
    save("b", "1");
    flush();
    ck_assert_str_eq(told.text, "a:invalid_request b:unauthorized");
    ck_assert_int_eq(count_files(), 1);
    close_balanced();
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    flush();
    ck_assert_story("b=1");
    close_balanced();
}
END_TEST

START_TEST(a_state_that_a_bad_token_left_behind_never_overtakes_what_was_queued_after_it)
{
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    save("a", "1");
    flush();
    fake_fail((struct failing){"unauthorized", 401, false, 1, NULL, false});
    save("a", "2");
    flush();
    ck_assert_int_eq(count_files(), 1);
    save("a", "1");
    flush();
    ck_assert_int_eq(count_files(), 0);
    ck_assert_story("a=1 a=1");
    close_balanced();
}
END_TEST

START_TEST(a_damaged_state_is_told_and_set_aside_and_the_others_are_sent)
{
    queue_and_die(queue_some);
    damage_file("b-", -1);
    damage_file("c-", 0);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    flush();
    ck_assert_story("a=2@4");
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(count_aside(".damaged"), 2);
    ck_assert_ptr_nonnull(strstr(told.text, "b:outbox_failed"));
    ck_assert_ptr_nonnull(strstr(told.text, ".state:outbox_failed"));
    ck_assert_int_eq(strncmp(told.text, "c-", 2), 0);
    close_balanced();
}
END_TEST

START_TEST(giving_up_the_oldest_removes_its_file)
{
    open_queue((
        struct holdfast_queue_options){.outbox_directory = outbox, .states_max = 2, .when_full = HOLDFAST_DROP_OLDEST});
    hold_up();
    save("a", "1");
    save("b", "1");
    ck_assert_int_eq(count_files(), 2);
    fake_gate(false);
    close_balanced();
    ck_assert_story("held=0 b=1");
}
END_TEST

START_TEST(giving_up_the_oldest_leaves_the_file_of_what_is_being_sent)
{
    open_queue((
        struct holdfast_queue_options){.outbox_directory = outbox, .states_max = 2, .when_full = HOLDFAST_DROP_OLDEST});
    hold_up();
    save("held", "1");
    save("a", "1");
    ck_assert_str_eq(told.text, "");
    ck_assert_int_eq(count_files(), 2);
    save("b", "1");
    ck_assert_str_eq(told.text, "a:queue_full");
    fake_gate(false);
    close_balanced();
    ck_assert_story("held=0 held=1 b=1");
}
END_TEST

/* Saves the component once more when it is told of its failure, as a program may that has a better state. */
static void save_again(void *context, const char *component, const struct holdfast_receipt *receipt,
                       const struct holdfast_error *error)
{
    static atomic_bool saved;
    struct holdfast_error failure;
    on_result(context, component, receipt, error);
    if (error && !atomic_exchange(&saved, true))
        ck_assert_msg(holdfast_queue_save(queue, component, "2", 1, NULL, &failure), "%s", failure.text);
}

START_TEST(a_refused_state_is_saved_again_while_it_is_told)
{
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox, .on_result = save_again});
    fake_fail((struct failing){"invalid_state", 422, false, 1, NULL, false});
    save("a", "1");
    flush();
    flush(); /* what was saved meanwhile */
    ck_assert_str_eq(told.text, "a:invalid_state a:stored");
    ck_assert_story("a=2");
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(count_aside(".refused"), 1);
    close_balanced();
}
END_TEST

START_TEST(a_dropped_state_is_saved_again_while_it_is_told)
{
    open_queue((struct holdfast_queue_options){
        .outbox_directory = outbox, .states_max = 2, .when_full = HOLDFAST_DROP_OLDEST, .on_result = save_again});
    hold_up();
    save("a", "1");
    save("b", "1"); /* gives up a, which comes again, and has to make way again */
    ck_assert_str_eq(told.text, "a:queue_full a:queue_full");
    ck_assert_int_eq(count_files(), 2);
    fake_gate(false);
    close_balanced();
    ck_assert_story("held=0 b=1");
}
END_TEST

START_TEST(an_outbox_may_hold_more_than_the_queue_that_opens_it_may)
{
    queue_and_die(queue_some);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox, .states_max = 1, .bytes_max = 1});
    save("a", "9");
    flush();
    ck_assert_uint_ge(service.count, 3);
    close_balanced();
}
END_TEST

START_TEST(an_outbox_that_another_queue_has_open_is_not_opened)
{
    struct holdfast_queue *second;
    struct holdfast_queue_options options = {.outbox_directory = outbox};
    open_queue(options);
    ck_assert(!holdfast_queue_open(&service, &options, &second, &err));
    ck_assert_str_eq(err.code, "outbox_failed");
    ck_assert_ptr_nonnull(strstr(err.text, "another queue"));
    close_balanced();
    open_queue(options);
    close_balanced();
}
END_TEST

HF_TEST_MAIN_WITH("queue outbox", make_outbox_place, remove_outbox_place,
                  what_a_process_queued_before_it_died_is_sent_first_by_the_next_one,
                  a_state_takes_the_place_of_what_an_earlier_process_left_and_keeps_its_event,
                  what_was_stored_leaves_the_outbox_and_what_waits_stays,
                  content_that_returns_while_another_waits_in_the_outbox_outlives_the_process,
                  a_refused_state_is_set_aside_and_one_with_a_bad_token_stays,
                  a_state_that_a_bad_token_left_behind_never_overtakes_what_was_queued_after_it,
                  a_damaged_state_is_told_and_set_aside_and_the_others_are_sent, giving_up_the_oldest_removes_its_file,
                  giving_up_the_oldest_leaves_the_file_of_what_is_being_sent,
                  a_refused_state_is_saved_again_while_it_is_told, a_dropped_state_is_saved_again_while_it_is_told,
                  an_outbox_may_hold_more_than_the_queue_that_opens_it_may,
                  an_outbox_that_another_queue_has_open_is_not_opened);
