/* When a queue saves: no more often than the least interval, and what is captured from time to time. */
#include "tests/client/queue_fixture.h"

#include "tests/support/check_main.h"

START_TEST(between_two_saves_of_a_component_there_is_the_least_interval_unless_somebody_flushes)
{
    open_queue((struct holdfast_queue_options){.interval_ms = 3600000});
    save("a", "1");
    fake_await_stored(1);
    save("a", "2");
    save("b", "1");
    fake_await_stored(2);
    ck_assert_story("a=1 b=1");
    save("a", "3");
    flush();
    ck_assert_story("a=1 b=1 a=3");
    close_balanced();
}
END_TEST

static atomic_int captures;

static bool capture(void *context, const char *component, const void **data, size_t *bytes)
{
    static _Thread_local char text[32];
    (void)component;
    int number = atomic_fetch_add(&captures, 1) + 1;
    *bytes = (size_t)snprintf(text, sizeof(text), "%s%d", (const char *)context, number);
    *data = text;
    return number != 2;
}

/* Gives nothing before what it gave is stored, which a slow sender would else get to see the newest of alone. */
static bool capture_in_step(void *context, const char *component, const void **data, size_t *bytes)
{
    static atomic_size_t given;
    fake_await_stored(atomic_load(&given));
    bool gives = capture(context, component, data, bytes);
    atomic_fetch_add(&given, gives);
    return gives;
}

START_TEST(a_periodic_component_is_captured_and_saved_again_and_again)
{
    open_queue((struct holdfast_queue_options){0});
    ck_assert(holdfast_queue_every(queue, "a", 1, capture_in_step, (void *)"x", &err));
    fake_await_stored(3);
    ck_assert(holdfast_queue_every(queue, "a", 0, NULL, NULL, &err));
    int before = atomic_load(&captures);
    flush();
    ck_assert_int_eq(atomic_load(&captures), before);
    HF_AUTO(free) char *story = fake_story();
    ck_assert_msg(strncmp(story, "a=x1 a=x3", 9) == 0, "%s", story);
    close_balanced();
}
END_TEST

START_TEST(flushing_and_closing_capture_what_is_periodic)
{
    open_queue((struct holdfast_queue_options){0});
    ck_assert(holdfast_queue_every(queue, "a", 3600000, capture, (void *)"x", &err));
    ck_assert(holdfast_queue_every(queue, "b", 3600000, capture, (void *)"old", &err));
    ck_assert(holdfast_queue_every(queue, "b", 3600000, capture, (void *)"y", &err));
    flush(); /* the second capture has nothing to give */
    ck_assert_uint_eq(service.count, 1);
    ck_assert_ptr_null(strstr(service.stored[0].text, "old"));
    ck_assert(holdfast_queue_close(queue, &err));
    ck_assert_int_eq(atomic_load(&captures), 4);
    ck_assert_uint_eq(service.count, 3);
}
END_TEST

START_TEST(captures_go_on_while_the_service_is_away)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    ck_assert(holdfast_queue_every(queue, "a", 1, capture, (void *)"x", &err));
    while (atomic_load(&captures) < 5)
        usleep(1000);
    ck_assert(holdfast_queue_every(queue, "a", 0, NULL, NULL, &err));
    fake_gate(false);
    flush();
    ck_assert_uint_eq(service.count, 2);
    close_balanced();
}
END_TEST

static bool capture_the_same(void *context, const char *component, const void **data, size_t *bytes)
{
    (void)component;
    *data = context;
    *bytes = 1;
    return true;
}

START_TEST(what_is_captured_as_it_was_acknowledged_is_not_sent_again)
{
    static char text[] = "1";
    open_queue((struct holdfast_queue_options){0});
    ck_assert(holdfast_queue_every(queue, "a", 3600000, capture_the_same, text, &err));
    flush();
    flush();
    ck_assert_int_eq(fake_count_calls(), 1);
    ck_assert_str_eq(told.text, "a:stored a:unchanged");
    text[0] = '2';
    flush();
    ck_assert_story("a=1 a=2");
    close_balanced();
}
END_TEST

START_TEST(what_was_acknowledged_is_sent_again_after_something_else_whose_answer_got_lost)
{
    static char text[] = "1";
    open_queue((struct holdfast_queue_options){0});
    ck_assert(holdfast_queue_every(queue, "a", 3600000, capture_the_same, text, &err));
    flush();
    fake_fail((struct failing){"unreachable", 0, true, -1, NULL, true, 0, false});
    text[0] = '2';
    ck_assert(!holdfast_queue_flush(queue, 1, &err));
    fake_await_stored(2);
    text[0] = '1';
    uint64_t before = counts().coalesced;
    ck_assert(!holdfast_queue_flush(queue, 1, &err));
    while (counts().coalesced == before) /* it waits in the place of the other, or will */
        usleep(1000);
    fake_fail((struct failing){0});
    flush();
    ck_assert_str_eq(service.stored[service.count - 1].text, "1");
    close_balanced();
}
END_TEST

static atomic_bool captures_old, captures_on;

static bool capture_what_was(void *context, const char *component, const void **data, size_t *bytes)
{
    (void)context, (void)component;
    *data = "old";
    *bytes = 3;
    atomic_store(&captures_old, true);
    while (!atomic_load(&captures_on))
        usleep(1000);
    return true;
}

START_TEST(a_capture_does_not_take_the_place_of_what_was_saved_while_it_ran)
{
    open_queue((struct holdfast_queue_options){0});
    ck_assert(holdfast_queue_every(queue, "a", 3600000, capture_what_was, NULL, &err));
    ck_assert(!holdfast_queue_flush(queue, 1, &err)); /* it begins by this alone */
    while (!atomic_load(&captures_old))
        usleep(1000);
    save("a", "new");
    fake_await_stored(1);
    atomic_store(&captures_on, true);
    ck_assert(holdfast_queue_every(queue, "a", 0, NULL, NULL, &err)); /* and is waited for here */
    flush();
    ck_assert_story("a=new");
    close_balanced();
}
END_TEST

HF_TEST_MAIN("queue periodic", between_two_saves_of_a_component_there_is_the_least_interval_unless_somebody_flushes,
             a_periodic_component_is_captured_and_saved_again_and_again, flushing_and_closing_capture_what_is_periodic,
             captures_go_on_while_the_service_is_away, what_is_captured_as_it_was_acknowledged_is_not_sent_again,
             what_was_acknowledged_is_sent_again_after_something_else_whose_answer_got_lost,
             a_capture_does_not_take_the_place_of_what_was_saved_while_it_ran);
