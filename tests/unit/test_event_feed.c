/* Streams of events whose clients leave, or do not read, at any moment. */
#include "engine/event_feed.h"

#include "core/auto.h"
#include "core/clock.h"

#include <string.h>
#include <unistd.h>

#include "tests/support/check_main.h"
#include "tests/support/engine.h"
#include "tests/support/stores.h"

#define EVENTS   300
#define LAST     "300 of 300"
#define ATTEMPTS 300

static struct hf_test_service service;
static int64_t system_id;

static void start(void)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "one", "1");
    system_id = hf_test_system(&service).id;
}

static void emit(int count)
{
    for (int i = 0; i < count; i++)
        hf_event_emit(service.engine, system_id, HF_TEST_NAME, HF_EV_STATE, NULL, "%.400d %d of %d", 0, i + 1, count);
}

static struct hf_event_stream *open_stream(int64_t after)
{
    const struct hf_event_stream_request request = {.system = HF_TEST_NAME, .system_id = system_id, .after = after};
    struct hf_event_stream *stream;
    struct hf_error err;
    ck_assert_msg(hf_event_stream_open(service.engine->feed, &request, &stream, &err), "%s", err.text);
    return stream;
}

static void ignore_wake(void *context)
{
    (void)context; /* this reader asks again and again */
}

static void await_events(int count)
{
    while (hf_test_count_events(&service, system_id, "state.event") < count)
        usleep(1000);
}

/* Reads until text has come; returns how many events of this type had come by then. */
static int read_until(struct hf_event_stream *stream, const char *text, const char *type)
{
    HF_AUTO(buf) struct hf_buf all;
    hf_buf_init(&all, 16 * 1024 * 1024);
    HF_AUTO(free) char *event = hf_format("\nevent: %s\n", type);
    char piece[1000];
    size_t got;
    while (!all.data || !strstr(all.data, text)) {
        enum hf_pipe_result result = hf_pipe_take(hf_event_stream_pipe(stream), piece, sizeof(piece), &got);
        ck_assert(result == HF_PIPE_MOVED || result == HF_PIPE_WAIT);
        if (result == HF_PIPE_WAIT)
            usleep(1000);
        hf_buf_add(&all, piece, got);
    }
    int count = 0;
    for (const char *at = strstr(all.data, event); at; at = strstr(at + 1, event))
        count++;
    return count;
}

START_TEST(a_client_may_leave_at_any_moment)
{
    start();
    emit(EVENTS);
    await_events(EVENTS);
    for (int i = 0; i < ATTEMPTS; i++) {
        struct hf_event_stream *stream = open_stream(0);
        usleep((useconds_t)(i * 10));
        hf_pipe_break(hf_event_stream_pipe(stream), HF_IO, "the client went away");
        usleep(1000);
        hf_event_stream_close(stream);
    }
    struct hf_event_stream *stream = open_stream(HF_EVENTS_NEWEST);
    hf_pipe_set_reader_wake(hf_event_stream_pipe(stream), ignore_wake, NULL);
    emit(1);
    ck_assert_int_eq(read_until(stream, "1 of 1\"", "state.event"), 1);
    hf_event_stream_close(stream);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_full_pipe_is_taken_up_again_where_it_was_left)
{
    start();
    struct hf_event_stream *stream = open_stream(HF_EVENTS_NEWEST);
    hf_pipe_set_reader_wake(hf_event_stream_pipe(stream), ignore_wake, NULL);
    emit(EVENTS);
    await_events(EVENTS);
    hf_event_emit(service.engine, system_id, HF_TEST_NAME, HF_EV_STATE, NULL, "the end");
    ck_assert_int_eq(read_until(stream, "the end", "state.event"), EVENTS + 1);
    hf_event_stream_close(stream);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_client_that_does_not_read_does_not_get_half_a_last_event)
{
    char piece[1000];
    size_t got;
    start();
    emit(EVENTS);
    await_events(EVENTS);
    struct hf_event_stream *full = open_stream(0), *empty = open_stream(HF_EVENTS_NEWEST);
    struct hf_pipe *pipe = hf_event_stream_pipe(full);
    hf_pipe_set_reader_wake(hf_event_stream_pipe(empty), ignore_wake, NULL);
    /* The feed takes turns: when another has had all of it, this one has had more than its pipe holds. */
    struct hf_event_stream *other = open_stream(0);
    hf_pipe_set_reader_wake(hf_event_stream_pipe(other), ignore_wake, NULL);
    ck_assert_int_eq(read_until(other, LAST, "state.event"), EVENTS);
    hf_event_stream_close(other);
    hf_event_feed_end_system(service.engine->feed, system_id + 1, HF_EV_SYSTEM_DELETED, "another");
    ck_assert(!hf_pipe_is_broken(pipe));
    hf_event_feed_end_system(service.engine->feed, system_id, HF_EV_SYSTEM_DELETED, "gone");
    ck_assert_int_eq(hf_pipe_take(pipe, piece, sizeof(piece), &got), HF_PIPE_BROKEN);
    ck_assert_int_eq(read_until(empty, "\"gone\"", "system.deleted"), 1);
    while (hf_pipe_take(hf_event_stream_pipe(empty), piece, sizeof(piece), &got) == HF_PIPE_MOVED)
        ;
    ck_assert_int_eq(hf_pipe_take(hf_event_stream_pipe(empty), piece, sizeof(piece), &got), HF_PIPE_END);
    hf_event_stream_close(full);
    hf_event_stream_close(empty);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(after_the_end_of_all_none_is_opened)
{
    struct hf_error err;
    struct hf_event_stream *stream;
    start();
    hf_engine_end_streams(service.engine);
    const struct hf_event_stream_request request = {.system = HF_TEST_NAME, .system_id = system_id};
    ck_assert(!hf_event_stream_open(service.engine->feed, &request, &stream, &err));
    ck_assert_int_eq(err.code, HF_SHUTTING_DOWN);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_stream_of_a_system_that_is_gone_is_not_opened)
{
    struct hf_error err;
    struct hf_event_stream *stream;
    start();
    HF_TEST_OK(hf_system_delete(service.engine, HF_TEST_NAME, false, &err));
    const struct hf_event_stream_request request = {.system = HF_TEST_NAME, .system_id = system_id};
    ck_assert(!hf_event_stream_open(service.engine->feed, &request, &stream, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    hf_test_put(&service, "one", "1");
    ck_assert(!hf_event_stream_open(service.engine->feed, &request, &stream, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("event_feed", a_client_may_leave_at_any_moment, a_full_pipe_is_taken_up_again_where_it_was_left,
             a_client_that_does_not_read_does_not_get_half_a_last_event, after_the_end_of_all_none_is_opened,
             a_stream_of_a_system_that_is_gone_is_not_opened);
