/* Many transfers at once, and stopping in the middle of them. */
#include "core/auto.h"
#include "core/clock.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/check_main.h"
#include "tests/support/small_server.h"
#include "tests/support/streaming_server.h"

START_TEST(more_transfers_than_threads_are_refused_and_others_go_on)
{
    int fds[4];
    struct hf_answer answer;
    hf_streaming.config = hf_small_server_config();
    hf_streaming_start();
    for (int i = 0; i < 4; i++) {
        fds[i] =
            hf_streaming_send_head(i % 2 ? "POST /import?wait=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                                         : "GET /archive?bytes=1000&wait=0 HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i < 2)
            hf_streaming_await(&hf_streaming.reached_gate, i + 1);
    }
    /* Two have the threads, and those that wait may not have been read by now: so until one is too many. */
    const struct hf_client_request request = {.path = "/archive?bytes=1000", .timeout_ms = 500};
    for (bool refused = false; !refused;) {
        hf_client_send(hf_streaming.client, &request, &answer);
        refused = answer.status == 503;
        if (refused)
            ck_assert_str_eq(hf_answer_header(&answer, "Retry-After"), "1");
        hf_answer_done(&answer);
    }
    hf_streaming_expect("POST", "/import", "abc", 503, "\"overloaded\"");
    for (int i = 0; i < 20; i++) {
        hf_streaming_expect("GET", "/open", NULL, 200, "open");
        hf_streaming_expect("GET", "/worker", NULL, 200, "open");
    }
    hf_streaming_open_gate();
    for (int i = 0; i < 2; i++) /* these had a thread */
        free(hf_raw_read(fds[i], i % 2 ? "201 Created" : "200 OK", 1, true));
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    hf_streaming_stop();
}
END_TEST

START_TEST(twice_as_many_transfers_as_threads_are_never_refused)
{
    enum { COUNT = 16 };
    int fds[COUNT];
    hf_streaming.config = hf_small_server_config();
    hf_streaming.config.transfers = COUNT / 2;
    for (int round = 0; round < 5; round++) {
        hf_streaming_start();
        for (int i = 0; i < COUNT; i++) /* faster than idle threads take them */
            fds[i] = hf_streaming_send_head("GET /archive?bytes=1000 HTTP/1.1\r\nHost: x\r\n\r\n");
        for (int i = 0; i < COUNT; i++) {
            free(hf_raw_read(fds[i], "200 OK", 1, true));
            close(fds[i]);
        }
        hf_streaming_stop();
    }
}
END_TEST

START_TEST(ordinary_requests_are_answered_during_transfers)
{
    char some[65536];
    hf_streaming_start();
    HF_AUTO(close) int out = hf_streaming_send_head("GET /archive?bytes=1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    HF_AUTO(close)
    int in = hf_streaming_send_head("POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    memset(some, 'x', sizeof(some));
    for (int i = 0; i < 300; i++) {
        ck_assert_int_gt(recv(out, some, sizeof(some), 0), 0);
        ck_assert(hf_raw_send(in, some, sizeof(some)));
        hf_streaming_expect("GET", i % 2 ? "/open" : "/worker", NULL, 200, "open");
    }
    hf_streaming_stop();
    ck_assert_int_eq(hf_streaming.freed, 1);
    ck_assert_int_eq(hf_streaming.received, 1);
}
END_TEST

START_TEST(stopping_ends_transfers_in_both_directions)
{
    int64_t bytes;
    hf_streaming_start();
    HF_AUTO(close) int out = hf_streaming_send_head("GET /archive?bytes=1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    hf_streaming_await(&hf_streaming.producing, 1);
    HF_AUTO(close)
    int in = hf_streaming_send_head("POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nabc");
    HF_AUTO(close)
    int queued = hf_streaming_send_head("POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    hf_http_quiesce(hf_streaming.http, hf_clock_monotonic_ns() + 50 * HF_MS_NS);
    hf_streaming_stop();
    ck_assert_int_eq(hf_streaming.freed, 1);
    ck_assert(!hf_streaming.producer_ok);
    ck_assert(!hf_streaming.receiver_ok);
    hf_streaming_read_to_end(out, &bytes);
    ck_assert_int_lt(bytes, 1000000000000);
    hf_streaming_read_to_end(in, &bytes);
    hf_streaming_read_to_end(queued, &bytes);
}
END_TEST

struct paused {
    int out, in;
    int64_t out_bytes;
};

/* When the stop has ended both connections, which does not wait for the gate, and waits for no answer any more. */
static void *open_gate_at_last(void *argument)
{
    struct paused *paused = argument;
    int64_t ignored;
    hf_streaming_read_to_end(paused->out, &paused->out_bytes);
    hf_streaming_read_to_end(paused->in, &ignored);
    usleep(1500 * 1000);
    hf_streaming_open_gate();
    return NULL;
}

START_TEST(stopping_resumes_transfers_that_are_paused)
{
    pthread_t opener;
    static char some[2 * 1024 * 1024];
    hf_streaming_start();
    /* One connection is suspended for want of bytes, the other because its reader takes none. */
    HF_AUTO(close)
    int out = hf_streaming_send_head("GET /archive?bytes=1000000&wait=60000 HTTP/1.1\r\nHost: x\r\n\r\n");
    HF_AUTO(close)
    int in = hf_streaming_send_head("POST /import?wait=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n");
    hf_streaming_await(&hf_streaming.reached_gate, 2);
    ck_assert_int_gt(recv(out, some, sizeof(some), 0), 0);
    ck_assert_int_gt(send(in, some, sizeof(some), MSG_DONTWAIT | MSG_NOSIGNAL), 0);
    hf_streaming_expect("GET", "/open", NULL, 200, "open");
    struct paused paused = {out, in, 0};
    ck_assert_int_eq(pthread_create(&opener, NULL, open_gate_at_last, &paused), 0);
    hf_streaming_stop();
    ck_assert_int_eq(pthread_join(opener, NULL), 0);
    ck_assert_int_eq(hf_streaming.freed, 1);
    ck_assert(!hf_streaming.producer_ok);
    ck_assert(!hf_streaming.receiver_ok);
    ck_assert_int_lt(paused.out_bytes, 1000000);
}
END_TEST

HF_TEST_MAIN("server_transfers", more_transfers_than_threads_are_refused_and_others_go_on,
             twice_as_many_transfers_as_threads_are_never_refused, ordinary_requests_are_answered_during_transfers,
             stopping_ends_transfers_in_both_directions, stopping_resumes_transfers_that_are_paused);
