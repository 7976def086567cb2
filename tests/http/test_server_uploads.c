/* Bodies that are too large to hold: their bytes, their ends, good and bad, and what is bounded. */
#include "core/auto.h"

#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/small_server.h"
#include "tests/support/streaming_server.h"

#define GROWTH_MAX (64 * HF_FLOW_MIB)

START_TEST(a_large_body_comes_whole)
{
    hf_streaming_start();
    for (int i = 0; i < 2; i++) {
        struct hf_flow flow = {.bytes_max = HF_FLOW_LARGE_BYTES, .chunked = i == 1};
        int64_t before = hf_test_resident_bytes();
        ck_assert_int_eq(hf_flow_upload(&flow, "/import"), CURLE_OK);
        ck_assert_int_eq(flow.status, 201);
        HF_AUTO(free) char *wanted = hf_format("%lld %s", (long long)HF_FLOW_LARGE_BYTES, flow.digest);
        ck_assert_str_eq(flow.body, wanted);
        if (i == 1)
            ck_assert_int_lt(hf_test_resident_bytes() - before, GROWTH_MAX);
    }
    hf_streaming_stop();
}
END_TEST

START_TEST(small_and_empty_bodies_leave_the_connection_usable)
{
    hf_streaming_start();
    for (int i = 0; i < 30; i++) {
        hf_streaming_expect("POST", "/import", i % 3 ? "x" : "", 201, i % 3 ? "1 sha256:" : "0 sha256:");
        hf_streaming_expect("GET", "/open", NULL, 200, "open");
    }
    hf_streaming_stop();
}
END_TEST

START_TEST(a_body_is_read_while_it_comes)
{
    hf_streaming_start();
    HF_AUTO(close)
    int fd = hf_streaming_send_head("POST /import?refuse=3 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc");
    hf_streaming_await(&hf_streaming.received, 1); /* and the rest has not even been sent */
    ck_assert_int_eq(hf_streaming.receiver_err.code, HF_CONFLICT);
    ck_assert(hf_raw_send_text(fd, "de"));
    free(hf_raw_read(fd, "409 Conflict", 1, true));
    hf_streaming_stop();
}
END_TEST

START_TEST(a_body_over_the_limit_is_refused)
{
    hf_streaming.config = hf_small_server_config();
    hf_streaming.config.import_bytes_max = 3 * HF_FLOW_MIB;
    hf_streaming_start();
    for (int i = 0; i < 2; i++) {
        struct hf_flow flow = {.bytes_max = 4 * HF_FLOW_MIB, .chunked = i == 1};
        ck_assert_int_eq(hf_flow_upload(&flow, "/import"), CURLE_OK);
        ck_assert_int_eq(flow.status, 413);
        ck_assert_ptr_nonnull(strstr(flow.body, "\"limit\":3145728"));
        ck_assert_int_eq(hf_streaming.received, i); /* the announced one came to no handler */
    }
    ck_assert_int_eq(hf_streaming.receiver_err.code, HF_BODY_TOO_LARGE);
    struct hf_flow exact = {.bytes_max = 3 * HF_FLOW_MIB, .chunked = true};
    ck_assert_int_eq(hf_flow_upload(&exact, "/import"), CURLE_OK);
    ck_assert_int_eq(exact.status, 201);
    hf_streaming_stop();
}
END_TEST

START_TEST(a_refusal_in_the_middle_of_a_body_is_told_when_it_has_come)
{
    hf_streaming_start();
    for (int i = 0; i < 2; i++) {
        struct hf_flow flow = {.bytes_max = 8 * HF_FLOW_MIB, .chunked = i == 1};
        ck_assert_int_eq(hf_flow_upload(&flow, "/import?refuse=1000000"), CURLE_OK);
        ck_assert_int_eq(flow.status, 409);
        ck_assert_ptr_nonnull(strstr(flow.body, "this archive is not wanted"));
    }
    struct hf_flow endless = {.bytes_max = INT64_C(1) << 40, .chunked = true}; /* so much is not swallowed */
    ck_assert_int_ne(hf_flow_upload(&endless, "/import?refuse=1000000"), CURLE_OK);
    ck_assert_int_lt(endless.bytes, HF_FLOW_LARGE_BYTES);
    hf_streaming_expect("GET", "/open", NULL, 200, "open");
    hf_streaming_stop();
}
END_TEST

START_TEST(a_sender_that_stands_still_is_given_up)
{
    hf_streaming.config = hf_small_server_config();
    hf_streaming.config.request_timeout_ms = HF_SMALL_SERVER_BRIEF_MS;
    hf_streaming_start();
    HF_AUTO(close) int fd = hf_streaming_send_head("POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc");
    hf_streaming_await(&hf_streaming.received, 1);
    ck_assert(!hf_streaming.receiver_ok);
    ck_assert_int_eq(hf_streaming.receiver_err.code, HF_INVALID_REQUEST);
    ck_assert_ptr_nonnull(strstr(hf_streaming.receiver_err.text, "the client"));
    int64_t bytes;
    ck_assert(hf_streaming_read_to_end(fd, &bytes)); /* the connection does not stay open for ever */
    hf_streaming_stop();
}
END_TEST

START_TEST(a_sender_that_leaves_ends_the_reader)
{
    hf_streaming_start(); /* with a time limit that no test waits for */
    int fd =
        hf_streaming_send_head("POST /import HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    close(fd);
    hf_streaming_await(&hf_streaming.received, 1);
    ck_assert(!hf_streaming.receiver_ok);
    ck_assert_ptr_nonnull(strstr(hf_streaming.receiver_err.text, "the client went away"));
    hf_streaming_stop();
}
END_TEST

START_TEST(a_reader_that_stands_still_is_given_up)
{
    hf_streaming.config = hf_small_server_config();
    hf_streaming.config.request_timeout_ms = HF_SMALL_SERVER_BRIEF_MS;
    hf_streaming_start();
    struct hf_flow flow = {.bytes_max = 8 * HF_FLOW_MIB};
    ck_assert_int_eq(hf_flow_upload(&flow, "/import?wait=1"), CURLE_OK);
    ck_assert_int_eq(flow.status, 503);
    ck_assert_ptr_nonnull(strstr(flow.body, "outcome_unknown"));
    hf_streaming_open_gate();
    hf_streaming_await(&hf_streaming.received, 1);
    ck_assert(!hf_streaming.receiver_ok); /* it must not take what it gets for all */
    hf_streaming_stop();
}
END_TEST

/* The other request is how it knows that the time for one has passed. */
START_TEST(a_reader_that_has_all_may_take_longer_than_a_request)
{
    hf_streaming.config = hf_small_server_config();
    hf_streaming.config.request_timeout_ms = HF_SMALL_SERVER_BRIEF_MS;
    hf_streaming.config.loops = 1;
    hf_streaming_start();
    int fd = hf_streaming_send_head("POST /import?linger=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    hf_streaming_await(&hf_streaming.reached_gate, 1);
    for (int i = 0; i < 2; i++)
        hf_streaming_expect("GET", "/slow", NULL, 503, "\"overloaded\"");
    hf_streaming_open_gate();
    free(hf_raw_read(fd, "201 Created", 1, true));
    close(fd);
    hf_streaming_stop();
}
END_TEST

HF_TEST_MAIN("server_uploads", a_large_body_comes_whole, small_and_empty_bodies_leave_the_connection_usable,
             a_body_is_read_while_it_comes, a_body_over_the_limit_is_refused,
             a_refusal_in_the_middle_of_a_body_is_told_when_it_has_come, a_sender_that_stands_still_is_given_up,
             a_sender_that_leaves_ends_the_reader, a_reader_that_stands_still_is_given_up,
             a_reader_that_has_all_may_take_longer_than_a_request);
