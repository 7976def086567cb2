/* What a queue refuses, and what it does when it is full. */
#include "client/queue_parts.h"
#include "tests/client/queue_fixture.h"

#include "tests/support/check_main.h"

#include <pthread.h>

START_TEST(what_a_queue_cannot_take_is_refused_at_once)
{
    struct holdfast_save_options match = {.if_match = "\"1-0\""}, absent = {.if_absent = true},
                                 event = {.event = "a b"}, type = {.content_type = "a\nb"};
    const struct holdfast_save_options *const bad[] = {&match, &absent, &event, &type};
    open_queue((struct holdfast_queue_options){0});
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert(!holdfast_queue_save(queue, "a", "1", 1, bad[i], &err));
        ck_assert_str_eq(err.code, "invalid_argument");
    }
    ck_assert(refuses("../a", "1", "invalid_argument"));
    ck_assert(!holdfast_queue_save(queue, NULL, "1", 1, NULL, &err));
    ck_assert(!holdfast_queue_every(queue, "a", 5, NULL, NULL, &err));
    ck_assert(!holdfast_queue_open(&service, &(struct holdfast_queue_options){.flush_ms = -1}, &queue, &err));
    close_balanced();
    ck_assert_int_eq(fake_count_calls(), 0);
}
END_TEST

START_TEST(a_full_queue_refuses)
{
    open_queue((struct holdfast_queue_options){.states_max = 3, .bytes_max = 6, .when_full = HOLDFAST_REFUSE});
    hold_up();
    ck_assert(refuses("a", "7654321", "queue_full") && !err.retryable);
    save("a", "1");
    ck_assert(refuses("b", "12345", "queue_full") && err.retryable);
    save("b", "1");
    ck_assert(refuses("c", "1", "queue_full"));
    save("a", "123"); /* in the place of another of its own */
    ck_assert(refuses("a", "123456", "queue_full"));
    fake_gate(false);
    flush();
    ck_assert_story("held=0 a=123 b=1");
    save("c", "1");
    close_balanced();
}
END_TEST

START_TEST(a_full_queue_gives_up_what_waits_longest)
{
    open_queue((struct holdfast_queue_options){.states_max = 3, .when_full = HOLDFAST_DROP_OLDEST});
    hold_up();
    save("a", "1");
    save("b", "1");
    save("a", "2"); /* still as old as its first one */
    save("c", "1");
    ck_assert_str_eq(told.text, "a:queue_full");
    save("d", "1");
    ck_assert_str_eq(told.text, "a:queue_full b:queue_full");
    fake_gate(false);
    flush();
    ck_assert_story("held=0 c=1 d=1");
    ck_assert_uint_eq(counts().given_up, 2);
    close_balanced();
}
END_TEST

START_TEST(what_is_on_its_way_is_not_dropped)
{
    open_queue((struct holdfast_queue_options){.states_max = 1, .when_full = HOLDFAST_DROP_OLDEST});
    hold_up();
    save("a", "1");
    save("b", "1");
    fake_gate(false);
    flush();
    ck_assert_story("held=0 b=1");
    close_balanced();
}
END_TEST

static void *save_later(void *argument)
{
    struct holdfast_error *failure = argument;
    memset(failure, 0, sizeof(*failure));
    holdfast_queue_save(queue, "late", "1", 1, NULL, failure);
    return NULL;
}

/* From then on it waits for room: who came later would save to a queue that is closed. */
static void await_saver(void)
{
    for (int callers = 0; callers == 0; usleep(1000)) {
        pthread_mutex_lock(&queue->lock);
        callers = queue->callers;
        pthread_mutex_unlock(&queue->lock);
    }
}

/* A thread that is known to wait for room, or is about to. */
static pthread_t block_a_saver(struct holdfast_error *failure)
{
    pthread_t thread;
    open_queue((struct holdfast_queue_options){.states_max = 1, .flush_ms = 50});
    hold_up();
    ck_assert_int_eq(pthread_create(&thread, NULL, save_later, failure), 0);
    await_saver();
    return thread;
}

START_TEST(a_saver_waits_for_room)
{
    struct holdfast_error failure;
    pthread_t thread = block_a_saver(&failure);
    ck_assert_uint_eq(counts().waiting, 1);
    fake_gate(false);
    pthread_join(thread, NULL);
    ck_assert_str_eq(failure.code, "");
    flush();
    ck_assert_story("held=0 late=1");
    close_balanced();
}
END_TEST

START_TEST(closing_ends_the_wait_for_room_and_a_call_that_hangs)
{
    struct holdfast_error failure;
    pthread_t thread = block_a_saver(&failure);
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "timed_out");
    pthread_join(thread, NULL);
    ck_assert_str_eq(failure.code, "cancelled");
    ck_assert_str_eq(told.text, "held:timed_out");
    ck_assert_uint_eq(service.count, 0);
}
END_TEST

START_TEST(cancelling_the_handle_ends_every_wait)
{
    struct holdfast_error failure;
    pthread_t thread = block_a_saver(&failure);
    atomic_store(&service.cancelled, true);
    pthread_join(thread, NULL);
    ck_assert_str_eq(failure.code, "cancelled");
    ck_assert(!holdfast_queue_flush(queue, 0, &err));
    ck_assert_str_eq(err.code, "cancelled");
    ck_assert(refuses("a", "1", "cancelled"));
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "cancelled");
    ck_assert_str_eq(told.text, "held:cancelled");
}
END_TEST

HF_TEST_MAIN("queue bounds", what_a_queue_cannot_take_is_refused_at_once, a_full_queue_refuses,
             a_full_queue_gives_up_what_waits_longest, what_is_on_its_way_is_not_dropped, a_saver_waits_for_room,
             closing_ends_the_wait_for_room_and_a_call_that_hangs, cancelling_the_handle_ends_every_wait);
