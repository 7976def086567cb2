/* The HTTP server with an answer that goes on and on: it is sent as it comes, takes no thread, and holds up no stop. */
#include "api/auth.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/pipe.h"
#include "server/http.h"

#include <string.h>
#include <unistd.h>

#include "tests/support/check_main.h"
#include "tests/support/client.h"
#include "tests/support/small_server.h"

#define STREAMS     50
#define HANG_NS     (60 * HF_SECOND_NS) /* only a stop that waits for a stream takes so long */
#define GET         "GET /stream HTTP/1.1\r\nHost: here\r\n\r\n"
#define GET_BRIEF   "GET /brief HTTP/1.1\r\nHost: here\r\n\r\n"
#define HELLO_CHUNK "5\r\nhello\r\n"

static struct hf_config config;
static struct hf_auth *auth;
static struct hf_http *http;
static atomic_int opened, left;
static _Atomic(struct hf_pipe *) newest; /* of a test with one stream */

static void leave(void *pipe)
{
    atomic_fetch_add(&left, 1);
    hf_pipe_free(pipe);
}

static void wake_writer(void *context)
{
    (void)context; /* these writers have no more to say */
}

static enum hf_verdict stream(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    const struct hf_pipe_options options = {.bytes_max = 1000, .patience_ms = 1, .wake = wake_writer};
    struct hf_pipe *pipe = hf_pipe_new(&options);
    size_t moved;
    (void)err;
    HF_ASSERT(hf_pipe_offer(pipe, "hello", 5, &moved) == HF_PIPE_MOVED);
    if (strcmp(request->target, "/brief") == 0)
        hf_pipe_finish(pipe);
    reply->status = 200;
    reply->content_type = "text/plain";
    reply->stream = pipe;
    reply->stream_leave = leave;
    reply->stream_context = pipe;
    atomic_store(&newest, pipe);
    atomic_fetch_add(&opened, 1);
    if (strcmp(request->target, "/refused") != 0)
        return HF_DONE;
    hf_error_set(err, HF_NOT_FOUND, "no such stream");
    return HF_FAIL;
}

static enum hf_verdict worker(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)request, (void)err;
    reply->status = 200;
    reply->content_type = "text/plain";
    hf_buf_add_text(&reply->body, "worker");
    return HF_DONE;
}

static const struct hf_route routes[] = {
    {HF_GET, "/stream", stream, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_WORKER, "stream", NULL},
    {HF_GET, "/brief", stream, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "brief", NULL},
    {HF_GET, "/refused", stream, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "refused", NULL},
    {HF_GET, "/worker", worker, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_WORKER, "worker", NULL},
};

static void start(void)
{
    struct hf_error err;
    config = hf_small_server_config();
    ck_assert(hf_auth_open(&auth, NULL, &err));
    const struct hf_http_options options = {.config = &config,
                                            .auth = auth,
                                            .routes = routes,
                                            .route_count = (int)(sizeof(routes) / sizeof(routes[0]))};
    ck_assert_msg(hf_http_start(&http, &options, &err), "%s", err.text);
}

static void stop(void)
{
    uint64_t deadline_ns = hf_clock_monotonic_ns() + HANG_NS;
    hf_http_quiesce(http, deadline_ns);
    ck_assert(hf_clock_monotonic_ns() < deadline_ns);
    hf_http_stop(http);
    hf_auth_close(auth);
    ck_assert_int_eq(atomic_load(&left), atomic_load(&opened));
}

static int open_stream(void)
{
    int fd = hf_raw_connect(hf_http_port(http));
    ck_assert(hf_raw_send_text(fd, GET));
    free(hf_raw_read(fd, HELLO_CHUNK, 1, true));
    return fd;
}

static void expect_worker(void)
{
    struct hf_client *client = hf_client_new(hf_http_port(http));
    struct hf_answer answer;
    ck_assert(hf_client_call(client, "GET", "/worker", NULL, NULL, &answer));
    ck_assert_str_eq(answer.body, "worker");
    hf_answer_done(&answer);
    hf_client_free(client);
}

static void await_left(int count)
{
    while (atomic_load(&left) < count)
        usleep(1000);
}

START_TEST(many_streams_take_no_worker_and_hold_up_no_stop)
{
    int fds[STREAMS];
    start();
    for (int i = 0; i < STREAMS; i++)
        fds[i] = open_stream();
    expect_worker();
    stop();
    for (int i = 0; i < STREAMS; i++) {
        HF_AUTO(free) char *rest = hf_raw_read(fds[i], "0\r\n\r\n", 1, false);
        ck_assert_ptr_null(strstr(rest, "0\r\n\r\n")); /* was broken off: nobody had said that it is whole */
        close(fds[i]);
    }
}
END_TEST

START_TEST(what_is_written_later_is_sent_at_once)
{
    size_t moved;
    start();
    int fd = open_stream();
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(hf_pipe_offer(atomic_load(&newest), "again", 5, &moved), HF_PIPE_MOVED);
        free(hf_raw_read(fd, "again", 1, true));
    }
    hf_pipe_finish(atomic_load(&newest));
    free(hf_raw_read(fd, "0\r\n\r\n", 1, true));
    await_left(1);
    close(fd);
    stop();
}
END_TEST

START_TEST(a_stream_that_ends_keeps_its_connection)
{
    start();
    int fd = hf_raw_connect(hf_http_port(http));
    for (int i = 0; i < 3; i++) {
        ck_assert(hf_raw_send_text(fd, GET_BRIEF));
        HF_AUTO(free) char *answer = hf_raw_read(fd, "0\r\n\r\n", 1, true);
        ck_assert_ptr_nonnull(strstr(answer, HELLO_CHUNK));
    }
    close(fd);
    await_left(3);
    stop();
}
END_TEST

START_TEST(a_client_that_leaves_is_noticed_while_nothing_is_sent)
{
    start();
    for (int i = 0; i < 5; i++)
        close(open_stream());
    await_left(5);
    stop();
}
END_TEST

START_TEST(a_stream_that_was_refused_after_all_is_left)
{
    struct hf_answer answer;
    start();
    struct hf_client *client = hf_client_new(hf_http_port(http));
    ck_assert(hf_client_call(client, "GET", "/refused", NULL, NULL, &answer));
    ck_assert_int_eq(answer.status, 404);
    hf_answer_done(&answer);
    hf_client_free(client);
    stop();
}
END_TEST

HF_TEST_MAIN("server_open_streams", many_streams_take_no_worker_and_hold_up_no_stop,
             what_is_written_later_is_sent_at_once, a_stream_that_ends_keeps_its_connection,
             a_client_that_leaves_is_noticed_while_nothing_is_sent, a_stream_that_was_refused_after_all_is_left);
