/* What a queue stores of what it is given, and in which order. */
#include "tests/client/queue_fixture.h"

#include "tests/support/check_main.h"

#include <pthread.h>

#define THREADS          8
#define SAVES_PER_THREAD 100

START_TEST(what_is_queued_is_stored_and_told_in_a_thread_of_the_queue)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    ck_assert_story("a=1");
    ck_assert_str_eq(told.text, "a:stored");
    ck_assert(!pthread_equal(told.thread, pthread_self()));
    close_balanced();
}
END_TEST

START_TEST(rapid_saves_of_one_component_are_stored_as_the_newest_alone)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    char text[8];
    for (int i = 1; i <= 100; i++) {
        snprintf(text, sizeof(text), "%d", i);
        save("a", text);
    }
    ck_assert_uint_eq(counts().waiting, 2);
    ck_assert_uint_eq(counts().waiting_bytes, 4);
    fake_gate(false);
    flush();
    ck_assert_story("held=0 a=100");
    ck_assert_uint_eq(counts().coalesced, 99);
    close_balanced();
}
END_TEST

START_TEST(the_same_content_again_is_sent_as_others_may_have_changed_the_component)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    save("a", "1");
    flush();
    ck_assert_story("a=1 a=1");
    close_balanced();
}
END_TEST

START_TEST(content_that_returns_while_another_is_on_its_way_is_sent)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    fake_gate(true);
    save("a", "2");
    fake_await_inside();
    save("a", "1");
    fake_gate(false);
    flush();
    ck_assert_story("a=1 a=2 a=1");
    close_balanced();
}
END_TEST

START_TEST(content_that_returns_before_another_was_sent_takes_its_place)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    hold_up();
    save("a", "2");
    save("a", "1");
    fake_gate(false);
    flush();
    ck_assert_story("a=1 held=0 a=1");
    close_balanced();
}
END_TEST

START_TEST(acknowledged_content_is_sent_again_with_an_event_or_another_type_or_in_another_epoch)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    save_event("a", "1", "won");
    flush();
    struct holdfast_save_options options = {.content_type = "text/plain"};
    ck_assert(holdfast_queue_save(queue, "a", "1", 1, &options, &err));
    flush();
    service.epoch = 3;
    ck_assert(holdfast_queue_save(queue, "a", "1", 1, &options, &err));
    flush();
    ck_assert_story("a=1 a=1!won a=1 a=1@3");
    close_balanced();
}
END_TEST

START_TEST(an_event_outlives_the_state_that_it_came_with)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    save_event("a", "1", "won");
    save("a", "2");
    save_event("b", "1", "won");
    save_event("b", "2", "lost");
    fake_gate(false);
    flush();
    ck_assert_story("held=0 a=2!won b=2!lost");
    close_balanced();
}
END_TEST

START_TEST(what_waits_goes_together_but_large_states_events_and_other_epochs_apart)
{
    size_t large_bytes = 300 * 1024;
    HF_AUTO(free) char *large = hf_alloc(large_bytes);
    memset(large, 'x', large_bytes);
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        save(name, "1");
    }
    save_event("event", "1", "won");
    ck_assert(holdfast_queue_save(queue, "large", large, large_bytes, NULL, &err));
    service.epoch = 2;
    save("later", "1");
    save("later2", "1");
    fake_gate(false);
    flush();
    ck_assert_uint_eq(service.count, 305);
    for (size_t i = 0; i < service.count; i++) {
        const struct stored *one = &service.stored[i];
        size_t expected = one->component[0] == 'c'                 ? (i <= 256 ? 256 : 44)
                          : one->component[1] == 'a' && one->epoch ? 2
                                                                   : 1;
        ck_assert_msg(one->together == expected, "%s (%zu) with %zu", one->component, i, one->together);
    }
    ck_assert_int_eq(service.calls, 6);
    close_balanced();
}
END_TEST

START_TEST(a_newer_state_is_never_overtaken_by_an_older_one_that_is_tried_again)
{
    open_queue((struct holdfast_queue_options){0});
    fake_gate(true);
    save("a", "1");
    fake_await_inside();
    save("a", "2");
    fake_fail((struct failing){"timed_out", 0, true, 1, NULL, true}); /* it had arrived */
    fake_gate(false);
    flush();
    ck_assert_story("a=1 a=2");
    ck_assert_uint_eq(counts().coalesced, 1);
    close_balanced();
}
END_TEST

/* Every thread saves numbers to its own component and, turn by turn, to one of all. */
static void *save_numbers(void *argument)
{
    char name[16], text[24];
    snprintf(name, sizeof(name), "own%d", *(int *)argument);
    for (int i = 1; i <= SAVES_PER_THREAD; i++) {
        snprintf(text, sizeof(text), "%d", i);
        struct holdfast_error failure;
        ck_assert_msg(holdfast_queue_save(queue, name, text, strlen(text), NULL, &failure), "%s", failure.text);
        ck_assert_msg(holdfast_queue_save(queue, "shared", text, strlen(text), NULL, &failure), "%s", failure.text);
        if (i % 25 == 0)
            ck_assert_msg(holdfast_queue_flush(queue, 0, &failure), "%s", failure.text);
    }
    return NULL;
}

static void check_numbers(void)
{
    int last[THREADS] = {0}, number;
    for (size_t i = 0; i < service.count; i++) {
        const struct stored *one = &service.stored[i];
        if (sscanf(one->component, "own%d", &number) != 1)
            continue;
        ck_assert_msg(atoi(one->text) >= last[number], "%s: %s after %d", one->component, one->text, last[number]);
        last[number] = atoi(one->text);
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(last[i], SAVES_PER_THREAD);
}

static void save_from_many_threads(const char *directory)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    open_queue((struct holdfast_queue_options){.states_max = 3, .outbox_directory = directory});
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, save_numbers, &numbers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        fake_fail((struct failing){"unreachable", 0, true, 1, NULL, i % 2 == 1});
        usleep(2000);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    close_balanced();
    check_numbers();
}

START_TEST(many_threads_save_in_order_through_a_small_queue)
{
    save_from_many_threads(NULL);
}
END_TEST

START_TEST(many_threads_save_in_order_through_a_small_queue_with_an_outbox)
{
    save_from_many_threads(outbox);
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

HF_TEST_MAIN_WITH("queue", make_outbox_place, remove_outbox_place,
                  what_is_queued_is_stored_and_told_in_a_thread_of_the_queue,
                  rapid_saves_of_one_component_are_stored_as_the_newest_alone,
                  the_same_content_again_is_sent_as_others_may_have_changed_the_component,
                  content_that_returns_while_another_is_on_its_way_is_sent,
                  content_that_returns_before_another_was_sent_takes_its_place,
                  acknowledged_content_is_sent_again_with_an_event_or_another_type_or_in_another_epoch,
                  an_event_outlives_the_state_that_it_came_with,
                  what_waits_goes_together_but_large_states_events_and_other_epochs_apart,
                  a_newer_state_is_never_overtaken_by_an_older_one_that_is_tried_again,
                  many_threads_save_in_order_through_a_small_queue,
                  many_threads_save_in_order_through_a_small_queue_with_an_outbox);
