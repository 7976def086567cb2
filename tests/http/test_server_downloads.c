/* Answers that are too large to hold: their bytes, their ends, good and bad, and what is bounded. */
#include "core/auto.h"

#include <string.h>
#include <sys/socket.h>

#include "tests/support/check_main.h"
#include "tests/support/small_server.h"
#include "tests/support/streaming_server.h"

#define AHEAD_MAX  (64 * HF_FLOW_MIB) /* of a producer before its client: the pipe and all that the kernel holds */
#define GROWTH_MAX (64 * HF_FLOW_MIB)

static void expect_large_download(bool slowly)
{
    char path[64];
    struct hf_flow flow = {.slowly = slowly};
    hf_streaming_start();
    hf_streaming_expect("GET", "/archive?bytes=10000000", NULL, 200, ""); /* what is allocated once is allocated now */
    int64_t before = hf_test_resident_bytes();
    snprintf(path, sizeof(path), "/archive?bytes=%lld", (long long)HF_FLOW_LARGE_BYTES);
    ck_assert_int_eq(hf_flow_download(&flow, path), CURLE_OK);
    ck_assert_int_eq(flow.status, 200);
    ck_assert_int_eq(flow.bytes, HF_FLOW_LARGE_BYTES);
    ck_assert_str_eq(flow.trailer, flow.digest);
    ck_assert_int_lt(flow.ahead_max, AHEAD_MAX);
    ck_assert_int_lt(hf_test_resident_bytes() - before, GROWTH_MAX);
    hf_streaming_await(&hf_streaming.freed, 2);
    ck_assert_int_eq(hf_streaming.freed, 2);
    hf_streaming_stop();
}

START_TEST(a_large_answer_comes_whole_with_its_trailer)
{
    expect_large_download(false);
}
END_TEST

START_TEST(a_slow_reader_holds_the_producer_back)
{
    expect_large_download(true);
}
END_TEST

START_TEST(small_and_empty_archives_leave_the_connection_usable)
{
    struct hf_answer answer;
    hf_streaming_start();
    for (int i = 0; i < 50; i++) {
        HF_AUTO(free) char *path = hf_format("/archive?bytes=%d", i * 7);
        ck_assert(hf_client_call(hf_streaming.client, "GET", path, NULL, NULL, &answer));
        ck_assert_int_eq(answer.status, 200);
        ck_assert_uint_eq(answer.body_bytes, (size_t)i * 7);
        ck_assert_str_eq(hf_answer_header(&answer, "Transfer-Encoding"), "chunked");
        ck_assert_str_eq(hf_answer_header(&answer, "Trailer"), "Content-Digest");
        ck_assert_str_eq(hf_answer_header(&answer, "X-Archive"), "yes");
        ck_assert(i == 0 || answer.connection_reused);
        hf_answer_done(&answer);
    }
    hf_streaming_stop();
}
END_TEST

START_TEST(head_sends_the_head_alone_and_runs_no_producer)
{
    struct hf_answer answer;
    hf_streaming_start();
    ck_assert(hf_client_call(hf_streaming.client, "HEAD", "/archive?bytes=1000", NULL, NULL, &answer));
    ck_assert_int_eq(answer.status, 200);
    ck_assert_uint_eq(answer.body_bytes, 0);
    ck_assert_str_eq(hf_answer_header(&answer, "X-Archive"), "yes");
    hf_answer_done(&answer);
    hf_streaming_expect("GET", "/open", NULL, 200, "open");
    HF_AUTO(close)
    int fd = hf_streaming_send_head("HEAD /archive?bytes=1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    HF_AUTO(free) char *all = hf_raw_read(fd, "nothing of the kind", 1, false); /* until it is closed */
    const char *end = strstr(all, "\r\n\r\n");
    ck_assert_msg(end && end[4] == '\0', "more than a head: %s", all);
    hf_streaming_await(&hf_streaming.freed, 2);
    ck_assert_int_eq(hf_streaming.producing, 0);
    hf_streaming_stop();
}
END_TEST

START_TEST(a_refused_archive_is_a_problem_and_frees_its_producer)
{
    hf_streaming_start();
    hf_streaming_expect("GET", "/archive?bytes=1000&refuse=1", NULL, 404, "there is no such archive");
    hf_streaming_expect("GET", "/open", NULL, 200, "open");
    hf_streaming_await(&hf_streaming.freed, 1);
    ck_assert_int_eq(hf_streaming.producing, 0);
    hf_streaming_stop();
}
END_TEST

START_TEST(a_client_that_leaves_ends_the_producer)
{
    char some[100000];
    hf_streaming_start();
    int fd = hf_streaming_send_head("GET /archive?bytes=1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_gt(recv(fd, some, sizeof(some), MSG_WAITALL), 0);
    close(fd);
    hf_streaming_await(&hf_streaming.freed, 1);
    ck_assert(!hf_streaming.producer_ok);
    ck_assert_int_eq(hf_streaming.producer_err.code, HF_IO);
    ck_assert_ptr_nonnull(strstr(hf_streaming.producer_err.text, "the client"));
    hf_streaming_expect("GET", "/open", NULL, 200, "open");
    hf_streaming_stop();
    ck_assert_int_eq(hf_streaming.freed, 1);
}
END_TEST

START_TEST(a_client_that_reads_nothing_ends_the_producer)
{
    hf_streaming.config = hf_small_server_config();
    hf_streaming.config.request_timeout_ms = HF_SMALL_SERVER_BRIEF_MS;
    hf_streaming_start();
    int fd = hf_streaming_send_head("GET /archive?bytes=1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    hf_streaming_await(&hf_streaming.freed, 1);
    ck_assert_int_eq(hf_streaming.producer_err.code, HF_IO);
    ck_assert_ptr_nonnull(strstr(hf_streaming.producer_err.text, "the client"));
    close(fd);
    hf_streaming_stop();
}
END_TEST

START_TEST(an_answer_whose_producer_fails_cannot_be_taken_for_whole)
{
    struct hf_flow flow = {0};
    hf_streaming_start();
    CURLcode code = hf_flow_download(&flow, "/archive?bytes=10000000&fail=3000000");
    ck_assert_msg(code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR, "%d", code);
    ck_assert_int_lt(flow.bytes, 10000000);
    ck_assert_str_eq(flow.trailer, "");
    flow = (struct hf_flow){0};
    code = hf_flow_download(&flow, "/archive?bytes=10000000&fail=0"); /* before its first byte */
    ck_assert_msg(code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING, "%d", code);
    hf_streaming_await(&hf_streaming.freed, 2);
    hf_streaming_expect("GET", "/open", NULL, 200, "open");
    hf_streaming_stop();
}
END_TEST

/* Else a client that has all of a snapshot's archive and deletes the snapshot would hear that somebody reads it. */
START_TEST(an_answer_ends_when_its_producer_is_gone)
{
    hf_streaming_start();
    for (int i = 0; i < 2; i++) {
        struct hf_flow flow = {0};
        CURLcode code =
            hf_flow_download(&flow, i ? "/archive?bytes=1000&linger=1&fail=0" : "/archive?bytes=1000&linger=1");
        ck_assert_int_eq(code == CURLE_OK, i == 0);
        pthread_mutex_lock(&hf_streaming.mutex);
        ck_assert_int_eq(hf_streaming.freed, i + 1);
        pthread_mutex_unlock(&hf_streaming.mutex);
    }
    hf_streaming_stop();
}
END_TEST

START_TEST(a_client_without_chunks_sees_an_answer_break_off_too)
{
    int64_t bytes;
    hf_streaming_start();
    HF_AUTO(close) int whole = hf_streaming_send_head("GET /archive?bytes=10000000 HTTP/1.0\r\n\r\n");
    ck_assert(hf_streaming_read_to_end(whole, &bytes));
    ck_assert_int_gt(bytes, 10000000);
    HF_AUTO(close) int broken = hf_streaming_send_head("GET /archive?bytes=10000000&fail=3000000 HTTP/1.0\r\n\r\n");
    ck_assert(!hf_streaming_read_to_end(broken, &bytes));
    ck_assert_int_lt(bytes, 10000000);
    hf_streaming_stop();
}
END_TEST

START_TEST(a_producer_that_stands_still_is_given_up)
{
    struct hf_flow flow = {0};
    hf_streaming.config = hf_small_server_config();
    hf_streaming.config.request_timeout_ms = HF_SMALL_SERVER_BRIEF_MS;
    hf_streaming_start();
    ck_assert_int_ne(hf_flow_download(&flow, "/archive?bytes=10000000&wait=1000000"), CURLE_OK);
    ck_assert_int_lt(flow.bytes, 10000000);
    hf_streaming_open_gate();
    hf_streaming_await(&hf_streaming.freed, 1);
    ck_assert(!hf_streaming.producer_ok);
    hf_streaming_stop();
}
END_TEST

HF_TEST_MAIN("server_downloads", a_large_answer_comes_whole_with_its_trailer, a_slow_reader_holds_the_producer_back,
             small_and_empty_archives_leave_the_connection_usable, head_sends_the_head_alone_and_runs_no_producer,
             a_refused_archive_is_a_problem_and_frees_its_producer, a_client_that_leaves_ends_the_producer,
             a_client_that_reads_nothing_ends_the_producer, an_answer_whose_producer_fails_cannot_be_taken_for_whole,
             an_answer_ends_when_its_producer_is_gone, a_client_without_chunks_sees_an_answer_break_off_too,
             a_producer_that_stands_still_is_given_up);
