/* Calls against a server that fails in every way: what a caller is told, and what a body or an answer goes through. */
#include "tests/client/calls_fixture.h"

#include "core/auto.h"
#include "core/buf.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

START_TEST(refusals_are_told_and_not_sent_again)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_ANSWER, PROBLEM("409", "conflict", "false", "")},
        {HF_FAULTY_ANSWER, PROBLEM("507", "storage_full", "true", "")},
        {HF_FAULTY_ANSWER, PROBLEM("500", "io_error", "true", "")},
        {HF_FAULTY_ANSWER, "HTTP/1.1 404 x\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>"},
        {HF_FAULTY_ANSWER, "this is not HTTP at all\r\n\r\n"},
    };
    static const char *const codes[] = {"conflict", "storage_full", "io_error", "bad_answer"};
    static const int statuses[] = {409, 507, 500, 404};
    struct scene s;
    start(&s, steps);
    for (int i = 0; i < 4; i++) {
        ck_assert(!call(&s, "PUT", "components/a"));
        expect_error(&s, codes[i], i == 1 || i == 2);
        ck_assert_int_eq(s.err.status, statuses[i]);
        ck_assert_msg(i == 3 || strstr(s.err.text, "PUT /v1/systems/default/components/a: why it failed"), "%s",
                      s.err.text);
        ck_assert_str_eq(s.err.request_id, i == 3 ? "" : "r-2");
        ck_assert_int_eq(hf_faulty_requests(s.faulty), i + 1);
    }
    ck_assert(!call(&s, "PUT", "components/a"));
    expect_error(&s, "bad_answer", false);
    stop(&s);
}
END_TEST

/* A call that was answered "elsewhere" did nothing, whatever it was; only a condition makes a 304 an answer. */
START_TEST(a_redirection_is_a_failure_that_names_where_to)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_ANSWER, "HTTP/1.1 302 x\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n"},
        {HF_FAULTY_ANSWER, "HTTP/1.1 307 x\r\nLocation: https://login.example/\r\nContent-Length: 2\r\n\r\n{}"},
        {HF_FAULTY_ANSWER, "HTTP/1.1 304 x\r\nETag: \"1\"\r\n\r\n"},
        {HF_FAULTY_ANSWER, OK},
    };
    static const char *const methods[] = {"POST", "GET", "GET"};
    static const int statuses[] = {302, 307, 304};
    struct scene s;
    start(&s, steps);
    for (int i = 0; i < 3; i++) {
        ck_assert(!call(&s, methods[i], "snapshots"));
        expect_error(&s, "bad_answer", false);
        ck_assert_msg(i == 2 || strstr(s.err.text, "to https://login.example/"), "%s", s.err.text);
        ck_assert_int_eq(s.err.status, statuses[i]);
    }
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 3);
    stop(&s);
}
END_TEST

START_TEST(not_modified_is_an_answer_to_who_asks_for_it)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_ANSWER, "HTTP/1.1 304 x\r\nETag: \"1\"\r\n\r\n"}};
    static const char *const headers[] = {"If-None-Match: \"1\"", NULL};
    struct holdfast_answer answer = {0};
    struct scene s;
    start(&s, steps);
    ck_assert_msg(holdfast_call(s.service, &(struct holdfast_request){.path = "components/a", .headers = headers},
                                &answer, &s.err),
                  "%s", s.err.text);
    ck_assert_int_eq(answer.status, 304);
    ck_assert_str_eq(answer.etag, "\"1\"");
    holdfast_answer_free(&answer);
    stop(&s);
}
END_TEST

START_TEST(nobody_there_is_unreachable_and_silence_times_out)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_SILENCE, NULL}};
    struct scene s;
    start(&s, steps, .retry_ms = -1, .timeout_ms = 1500);
    ck_assert(!call(&s, "GET", "status"));
    expect_error(&s, "timed_out", true);
    ck_assert(!call(&s, "POST", "snapshots"));
    expect_error(&s, "outcome_unknown", true);
    hf_faulty_stop(s.faulty);
    ck_assert(!call(&s, "POST", "snapshots"));
    expect_error(&s, "unreachable", true); /* it cannot have arrived */
    holdfast_close(s.service);
}
END_TEST

START_TEST(a_state_is_given_only_when_it_matches_its_digest)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nState-Version: 1\r\n"
                               "Content-Length: 1\r\n";
    HF_AUTO(free)
    char *right =
        hf_format("%sRepr-Digest: sha-512=:x:, sha-256=:a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s=:\r\n\r\n1", head);
    HF_AUTO(free)
    char *wrong = hf_format("%sRepr-Digest: sha-256=:a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s=:\r\n\r\n2", head);
    HF_AUTO(free) char *none = hf_format("%s\r\n1", head);
    const struct hf_faulty_step steps[] = {{HF_FAULTY_ANSWER, right},
                                           {HF_FAULTY_ANSWER, wrong},
                                           {HF_FAULTY_ANSWER, none}};
    struct holdfast_state state = {.bytes = 77};
    struct scene s;
    start(&s, steps);
    ck_assert_msg(holdfast_load(s.service, "a", NULL, &state, &s.err), "%s", s.err.text);
    ck_assert_str_eq(state.data, "1");
    holdfast_state_free(&state);
    state.bytes = 77;
    for (int i = 0; i < 2; i++) {
        ck_assert(!holdfast_load(s.service, "a", NULL, &state, &s.err));
        expect_error(&s, "bad_answer", true);
        ck_assert_int_eq(state.bytes, 77);
    }
    stop(&s);
}
END_TEST

START_TEST(an_answer_is_not_kept_in_memory_beyond_the_limit)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_ANSWER, OK_HEAD "Content-Length: 1000000000000\r\n\r\n{}"},
        {HF_FAULTY_ANSWER, OK_HEAD "Connection: close\r\n\r\n0123456789012345678901234567890123456789"}};
    struct scene s;
    start(&s, steps, .state_bytes_max = 32);
    for (int i = 0; i < 2; i++) {
        ck_assert(!call(&s, "GET", "status"));
        expect_error(&s, "no_memory", false);
    }
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 2);
    stop(&s);
}
END_TEST

static void *cancel_soon(void *argument)
{
    struct scene *s = argument;
    hf_faulty_await(s->faulty, 1);
    usleep(20000); /* into the wait, most likely; right also before it */
    holdfast_cancel(s->service);
    return NULL;
}

START_TEST(cancel_ends_a_wait_for_an_answer_and_a_pause)
{
    static const struct hf_faulty_step silence[] = {{HF_FAULTY_SILENCE, NULL}};
    static const struct hf_faulty_step later[] = {
        {HF_FAULTY_ANSWER, PROBLEM("503", "overloaded", "true", "Retry-After: 3600\r\n")}};
    const struct hf_faulty_step *const all[] = {silence, later};
    for (int i = 0; i < 2; i++) {
        struct scene s;
        pthread_t thread;
        /* Longer than a test may take. */
        start_with(&s, all[i], 1, (struct holdfast_options){.retry_ms = 100000000, .timeout_ms = 100000000});
        ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, &s), 0);
        ck_assert(!call(&s, "GET", "status"));
        expect_error(&s, "cancelled", false);
        pthread_join(thread, NULL);
        ck_assert(!call(&s, "GET", "status"));
        expect_error(&s, "cancelled", false);
        stop(&s);
    }
}
END_TEST

static int64_t give_tens(void *context, void *to, size_t room)
{
    int *left = context;
    if (*left == 0 || room < 10)
        return *left == 0 ? 0 : -1;
    (*left)--;
    memcpy(to, "0123456789", 10);
    return 10;
}

static bool take(void *context, const void *data, size_t bytes)
{
    return hf_buf_add(context, data, bytes);
}

static bool refuse(void *context, const void *data, size_t bytes)
{
    (void)context, (void)data, (void)bytes;
    return false;
}

static bool refuse_progress(void *context, int64_t sent, int64_t to_send, int64_t received, int64_t to_receive)
{
    (void)context, (void)sent, (void)to_send, (void)received, (void)to_receive;
    return false;
}

START_TEST(a_streamed_body_is_sent_once)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_ANSWER, OK},
                                                  {HF_FAULTY_CLOSE_UNREAD, NULL},
                                                  {HF_FAULTY_CLOSE, NULL},
                                                  {HF_FAULTY_ANSWER, OK}};
    struct scene s;
    int left = 3;
    struct holdfast_request request = {
        .method = "PUT", .path = "/v1/x", .read = give_tens, .upload_bytes = 30, .context = &left};
    start(&s, steps);
    ck_assert_msg(holdfast_call(s.service, &request, NULL, &s.err), "%s", s.err.text);
    ck_assert(hf_faulty_has(s.faulty, 0, "\r\n\r\n012345678901234567890123456789"));
    left = 3;
    ck_assert(!holdfast_call(s.service, &request, NULL, &s.err));
    expect_error(&s, "unreachable", true);
    ck_assert_int_ge(hf_faulty_requests(s.faulty), 2);
    stop(&s);
}
END_TEST

START_TEST(an_answer_is_handed_over_piece_by_piece_and_not_asked_for_twice)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_ANSWER,
                                                   PROBLEM("503", "overloaded", "true", "Retry-After: 0\r\n")},
                                                  {HF_FAULTY_ANSWER, OK},
                                                  {HF_FAULTY_ANSWER, OK_HEAD "Content-Length: 9\r\n\r\n{}"},
                                                  {HF_FAULTY_ANSWER, OK}};
    struct scene s;
    struct hf_buf text;
    struct holdfast_answer answer = {0};
    struct holdfast_request request = {.path = "/v1/x", .write = take, .context = &text};
    hf_buf_init(&text, 1000);
    start(&s, steps);
    ck_assert_msg(holdfast_call(s.service, &request, &answer, &s.err), "%s", s.err.text);
    ck_assert_str_eq(text.data, "{}"); /* nothing of the problem */
    ck_assert_ptr_null(answer.body);
    ck_assert_str_eq(answer.request_id, "r-1");
    ck_assert(!holdfast_call(s.service, &request, NULL, &s.err));
    expect_error(&s, "unreachable", true);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 3);
    request.write = refuse;
    ck_assert(!holdfast_call(s.service, &request, NULL, &s.err));
    expect_error(&s, "cancelled", false);
    request.write = NULL;
    request.progress = refuse_progress;
    ck_assert(!holdfast_call(s.service, &request, NULL, &s.err));
    expect_error(&s, "cancelled", false);
    hf_buf_done(&text);
    stop(&s);
}
END_TEST

START_TEST(what_cannot_be_right_is_refused_before_it_is_sent)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_ANSWER, OK}};
    static const char *const bad_line[] = {"X-A: 1\r\nX-B: 2", NULL}, *const no_line[] = {"X-A", NULL};
    const struct holdfast_request requests[] = {
        {.path = ""},
        {.path = NULL},
        {.path = "a b"},
        {.path = "a\r\nb"},
        {.path = "a#b"},
        {.path = "x", .method = "BREW"},
        {.path = "x", .headers = bad_line},
        {.path = "x", .headers = no_line},
        {.path = "x", .content_type = "a\nb", .body = "", .method = "PUT"},
    };
    struct scene s;
    start(&s, steps);
    for (int i = 0; i < COUNT(requests); i++) {
        s.err = (struct holdfast_error){0};
        ck_assert_msg(!holdfast_call(s.service, &requests[i], NULL, &s.err), "request %d was sent", i);
        expect_error(&s, "invalid_argument", false);
    }
    static const char *const names[] = {"", "-a", "a/b", "a b", "../a", "\xC3\xA4", NULL};
    for (int i = 0; i < COUNT(names); i++) {
        ck_assert(!holdfast_save(s.service, names[i], "1", 1, NULL, NULL, &s.err));
        expect_error(&s, "invalid_argument", false);
        ck_assert(!holdfast_load(s.service, names[i], NULL, &(struct holdfast_state){0}, NULL));
        ck_assert(!holdfast_remove(s.service, names[i], NULL));
    }
    ck_assert(!holdfast_register(s.service, NULL, &s.err));
    expect_error(&s, "invalid_argument", false);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 0);
    stop(&s);
}
END_TEST

START_TEST(a_handle_is_opened_with_what_can_be_used_only)
{
    static const char *const urls[] = {
        "ftp://host",   "host:8080",         "http://", "http://user:pass@host", "http://host?x=1", "http://host/#a",
        "http://ho st", "http://host:99999", ""};
    struct holdfast *service = NULL;
    struct holdfast_error err;
    for (int i = 0; i < COUNT(urls); i++) {
        ck_assert_msg(!holdfast_open(&(struct holdfast_options){.url = urls[i]}, &service, &err), "%s", urls[i]);
        ck_assert_str_eq(err.code, "invalid_argument");
        ck_assert_ptr_null(strstr(err.text, "pass@"));
    }
    ck_assert(!holdfast_open(&(struct holdfast_options){.system = "a/b"}, &service, NULL));
    ck_assert(!holdfast_open(&(struct holdfast_options){.token = "a\r\nX: y"}, &service, NULL));
    ck_assert(!holdfast_open(&(struct holdfast_options){.timeout_ms = -1}, &service, NULL));
    ck_assert_ptr_null(service);
    setenv("HOLDFAST_URL", "https://elsewhere:99/base/", 1);
    setenv("HOLDFAST_SYSTEM", "mine", 1);
    ck_assert(holdfast_open(NULL, &service, NULL));
    ck_assert_str_eq(holdfast_url(service), "https://elsewhere:99/base");
    ck_assert_str_eq(holdfast_system(service), "mine");
    ck_assert_int_eq(holdfast_epoch(service), 0);
    holdfast_close(service);
    setenv("HOLDFAST_URL", "", 1);
    unsetenv("HOLDFAST_SYSTEM");
    ck_assert(holdfast_open(NULL, &service, NULL));
    ck_assert_str_eq(holdfast_url(service), "http://127.0.0.1:8080");
    ck_assert_str_eq(holdfast_system(service), "default");
    holdfast_close(service);
    holdfast_close(NULL);
    ck_assert_str_eq(holdfast_version(), HF_VERSION);
}
END_TEST

HF_TEST_MAIN("calls", refusals_are_told_and_not_sent_again, a_redirection_is_a_failure_that_names_where_to,
             not_modified_is_an_answer_to_who_asks_for_it, nobody_there_is_unreachable_and_silence_times_out,
             a_state_is_given_only_when_it_matches_its_digest, an_answer_is_not_kept_in_memory_beyond_the_limit,
             cancel_ends_a_wait_for_an_answer_and_a_pause, a_streamed_body_is_sent_once,
             an_answer_is_handed_over_piece_by_piece_and_not_asked_for_twice,
             what_cannot_be_right_is_refused_before_it_is_sent, a_handle_is_opened_with_what_can_be_used_only);
