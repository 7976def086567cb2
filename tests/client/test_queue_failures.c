/* What a queue does about a service that fails: what it tries again, gives up, and tells. */
#include "tests/client/queue_fixture.h"

#include "tests/support/check_main.h"

START_TEST(one_bad_state_does_not_fail_the_others)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    save("a", "1");
    save("bad", "1");
    save("c", "1");
    fake_fail((struct failing){"invalid_request", 400, false, -1, "bad", false});
    fake_gate(false);
    flush();
    ck_assert_story("held=0 a=1 c=1");
    ck_assert_str_eq(told.text, "held:stored a:stored bad:invalid_request c:stored");
    ck_assert_uint_eq(counts().given_up, 1);
    close_balanced();
}
END_TEST

START_TEST(what_was_given_up_is_sent_when_it_is_queued_again)
{
    open_queue((struct holdfast_queue_options){0});
    fake_fail((struct failing){"invalid_request", 400, false, 1, NULL, false});
    save("a", "1");
    flush();
    save("a", "1");
    flush();
    ck_assert_story("a=1");
    close_balanced();
}
END_TEST

START_TEST(what_fails_while_the_service_is_away_is_tried_until_it_is_back)
{
    static const struct failing ways[] = {{"unreachable", 0, true, 3, NULL, false},
                                          {"timed_out", 0, true, 3, NULL, false},
                                          {"outcome_unknown", 0, false, 3, NULL, false},
                                          {"overloaded", 503, true, 3, NULL, false},
                                          {"no_memory", 0, false, 3, NULL, false}};
    open_queue((struct holdfast_queue_options){0});
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char text[8];
        snprintf(text, sizeof(text), "%zu", i);
        fake_fail(ways[i]);
        save("a", text);
        save("b", text);
        flush();
    }
    ck_assert_uint_eq(service.count, 10);
    ck_assert_uint_ge(counts().retried, 15);
    ck_assert_uint_eq(counts().given_up, 0);
    close_balanced();
}
END_TEST

START_TEST(what_is_no_word_of_the_service_is_no_refusal)
{
    static const struct failing ways[] = {{.code = "bad_answer", .status = 200, .times = 3},
                                          {.code = "bad_answer", .status = 404, .times = 3, .by_other = true},
                                          {.code = "not_found", .status = 404, .times = 3, .by_other = true},
                                          {.code = "bad_answer", .times = 3}};
    make_outbox_place();
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char text[8];
        snprintf(text, sizeof(text), "%zu", i);
        fake_fail(ways[i]);
        save("a", text);
        flush();
    }
    ck_assert_story("a=0 a=1 a=2 a=3");
    ck_assert_uint_eq(counts().given_up, 0);
    close_balanced();
    ck_assert_int_eq(count_aside(".refused"), 0);
    remove_outbox_place();
}
END_TEST

START_TEST(what_cannot_be_sent_together_for_a_proxy_is_sent_singly)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    save("a", "1");
    save("b", "1");
    fake_fail((struct failing){.code = "bad_answer", .status = 413, .times = 2, .by_other = true});
    fake_gate(false);
    flush();
    ck_assert_uint_eq(service.count, 3);
    close_balanced();
}
END_TEST

START_TEST(a_close_tries_a_last_time_what_the_service_had_no_room_for)
{
    open_queue((struct holdfast_queue_options){0});
    fake_fail((struct failing){
        .code = "storage_full", .status = 507, .retryable = true, .times = 1, .retry_after_ms = 3600000});
    save("a", "1");
    while (counts().retried == 0)
        usleep(1000);
    ck_assert_msg(holdfast_queue_close(queue, &err), "%s", err.text);
    ck_assert_story("a=1");
}
END_TEST

START_TEST(nothing_is_sent_before_retry_after_but_the_last_attempt_of_a_close)
{
    open_queue((struct holdfast_queue_options){.flush_ms = 4000}); /* all of it passes: the sender may be late */
    fake_fail((struct failing){
        .code = "overloaded", .status = 503, .retryable = true, .times = -1, .retry_after_ms = 3600000});
    save("a", "1");
    while (counts().retried == 0)
        usleep(1000);
    save("b", "1");
    ck_assert(!holdfast_queue_flush(queue, 1000, &err));
    ck_assert_int_eq(fake_count_calls(), 1);
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "timed_out");
    ck_assert_int_eq(fake_count_calls(), 2);
}
END_TEST

START_TEST(an_event_outlives_a_failure_of_the_state_that_it_came_with)
{
    open_queue((struct holdfast_queue_options){0});
    fake_gate(true);
    save_event("a", "1", "won");
    fake_await_inside();
    save("a", "2");
    fake_fail((struct failing){"unreachable", 0, true, 1, NULL, false});
    fake_gate(false);
    flush();
    ck_assert_story("a=2!won");
    close_balanced();
}
END_TEST

START_TEST(a_state_that_fails_for_now_lets_the_others_pass)
{
    open_queue((struct holdfast_queue_options){0});
    fake_fail((struct failing){"storage_full", 507, true, -1, "full", false});
    hold_up();
    save("full", "1");
    save("b", "1");
    fake_gate(false);
    fake_await_stored(2);
    save("c", "1");
    fake_await_stored(3);
    ck_assert_story("held=0 b=1 c=1");
    fake_fail((struct failing){0});
    flush();
    ck_assert_story("held=0 b=1 c=1 full=1");
    close_balanced();
}
END_TEST

START_TEST(states_of_an_epoch_that_is_over_are_given_up_and_told)
{
    open_queue((struct holdfast_queue_options){0});
    service.epoch = 1;
    hold_up();
    save("a", "1");
    save("b", "1");
    fake_fail((struct failing){"stale_epoch", 409, false, 2, NULL, false});
    fake_gate(false);
    flush();
    ck_assert_str_eq(told.text, "held:stale_epoch a:stale_epoch b:stale_epoch");
    ck_assert_int_eq(fake_count_calls(), 2);
    service.epoch = 2;
    save("a", "2");
    flush();
    ck_assert_story("a=2@2");
    close_balanced();
}
END_TEST

HF_TEST_MAIN("queue failures", one_bad_state_does_not_fail_the_others,
             what_was_given_up_is_sent_when_it_is_queued_again,
             what_fails_while_the_service_is_away_is_tried_until_it_is_back,
             what_is_no_word_of_the_service_is_no_refusal, what_cannot_be_sent_together_for_a_proxy_is_sent_singly,
             nothing_is_sent_before_retry_after_but_the_last_attempt_of_a_close,
             a_close_tries_a_last_time_what_the_service_had_no_room_for,
             an_event_outlives_a_failure_of_the_state_that_it_came_with,
             a_state_that_fails_for_now_lets_the_others_pass, states_of_an_epoch_that_is_over_are_given_up_and_told);
