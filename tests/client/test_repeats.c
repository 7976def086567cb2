/* What is sent again after a failure and what is not, for how long, and what a caller is told who cannot know. */
#include "tests/client/calls_fixture.h"

#include "core/auto.h"
#include "core/buf.h"
#include "tests/support/check_main.h"

#include <time.h>

START_TEST(a_503_is_sent_again_until_it_works)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_ANSWER, PROBLEM("503", "overloaded", "true", "Retry-After: 0\r\n")},
        {HF_FAULTY_ANSWER, PROBLEM("503", "store_unavailable", "true", "")},
        {HF_FAULTY_ANSWER, "HTTP/1.1 503 x\r\nContent-Length: 3\r\n\r\n<p>"},
        {HF_FAULTY_ANSWER, OK},
    };
    struct scene s;
    start(&s, steps);
    ck_assert_msg(call(&s, "PUT", "components/a"), "%s", s.err.text);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 4);
    ck_assert(hf_faulty_has(s.faulty, 3, "PUT /v1/systems/default/components/a HTTP/1.1\r\n"));
    ck_assert(hf_faulty_has(s.faulty, 3, "Authorization: Bearer " TOKEN "\r\n"));
    ck_assert(hf_faulty_has(s.faulty, 3, "User-Agent: libholdfast/" HOLDFAST_VERSION "\r\n"));
    ck_assert(!hf_faulty_has(s.faulty, 3, "Expect:"));
    stop(&s);
}
END_TEST

START_TEST(a_post_is_sent_again_where_it_changed_nothing_for_certain)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_ANSWER, PROBLEM("503", "overloaded", "true", "Retry-After: 0\r\n")},
        {HF_FAULTY_ANSWER, PROBLEM("503", "starting", "true", "")},
        {HF_FAULTY_ANSWER, PROBLEM("503", "shutting_down", "true", "")},
        {HF_FAULTY_ANSWER, OK},
    };
    struct scene s;
    start(&s, steps);
    ck_assert_msg(call(&s, "POST", "snapshots"), "%s", s.err.text);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 4);
    stop(&s);
}
END_TEST

START_TEST(a_post_that_may_have_arrived_is_not_sent_again)
{
    static const struct hf_faulty_step lost[] = {{HF_FAULTY_CLOSE, NULL}, {HF_FAULTY_ANSWER, OK}};
    static const struct hf_faulty_step unknown[] = {{HF_FAULTY_ANSWER,
                                                     PROBLEM("503", "outcome_unknown", "true", "Retry-After: 0\r\n")},
                                                    {HF_FAULTY_ANSWER, OK}};
    static const struct hf_faulty_step gateway[] = {{HF_FAULTY_ANSWER, "HTTP/1.1 504 x\r\nContent-Length: 0\r\n\r\n"},
                                                    {HF_FAULTY_ANSWER, OK}};
    static const struct hf_faulty_step proxy[] = {{HF_FAULTY_ANSWER, "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"},
                                                  {HF_FAULTY_ANSWER, OK}};
    const struct hf_faulty_step *const all[] = {lost, unknown, gateway, proxy};
    for (int i = 0; i < 4; i++) {
        struct scene s;
        start_with(&s, all[i], 2, (struct holdfast_options){.retry_ms = 60000});
        ck_assert(!call(&s, "POST", "snapshots"));
        expect_error(&s, "outcome_unknown", true);
        ck_assert_int_eq(hf_faulty_requests(s.faulty), 1);
        stop(&s);
    }
}
END_TEST

static bool post_with(struct scene *s, const char *header, const char *path)
{
    const char *const headers[] = {"X-Other: 1", header, NULL};
    const struct holdfast_request request = {
        .method = "POST", .path = path, .headers = headers, .body = "{}", .bytes = 2};
    return holdfast_call(s->service, &request, NULL, &s->err);
}

START_TEST(a_post_with_a_key_is_sent_again_and_given_up_it_is_unknown)
{
    static const struct hf_faulty_step lost[] = {{HF_FAULTY_CLOSE, NULL}, {HF_FAULTY_ANSWER, OK}};
    static const struct hf_faulty_step then_down[] = {{HF_FAULTY_CLOSE, NULL},
                                                      {HF_FAULTY_ANSWER,
                                                       PROBLEM("503", "overloaded", "true", "Retry-After: 3600\r\n")}};
    static const struct hf_faulty_step refused[] = {
        {HF_FAULTY_ANSWER, PROBLEM("503", "overloaded", "true", "Retry-After: 3600\r\n")}};
    struct scene s;
    start(&s, lost);
    ck_assert_msg(post_with(&s, "idempotency-key: k", "recoveries"), "%s", s.err.text);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 2);
    stop(&s);
    start(&s, lost);
    ck_assert(!post_with(&s, "Idempotency-Key: ", "recoveries")); /* is not sent as one */
    expect_error(&s, "outcome_unknown", true);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 1);
    stop(&s);
    start(&s, then_down);
    ck_assert(!post_with(&s, "Idempotency-Key: k", "recoveries"));
    expect_error(&s, "outcome_unknown", true);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 2);
    stop(&s);
    start(&s, refused);
    ck_assert(!post_with(&s, "Idempotency-Key: k", "recoveries")); /* nothing was done, for certain */
    expect_error(&s, "overloaded", true);
    stop(&s);
}
END_TEST

/* Who is turned away at the door does not hear what became of the first attempt; who is told of the key does. */
START_TEST(a_refusal_that_says_nothing_of_the_key_leaves_the_outcome_unknown)
{
#define LOST_THEN(answer)                                                                                              \
    {                                                                                                                  \
        {HF_FAULTY_CLOSE, NULL},                                                                                       \
        {                                                                                                              \
            HF_FAULTY_ANSWER, answer                                                                                   \
        }                                                                                                              \
    }
    static const struct {
        struct hf_faulty_step steps[2];
        const char *code;
    } cases[] = {
        {LOST_THEN(PROBLEM("401", "unauthorized", "false", "")), "outcome_unknown"},
        {LOST_THEN(PROBLEM("403", "forbidden", "false", "")), "outcome_unknown"},
        {LOST_THEN("HTTP/1.1 404 x\r\nContent-Type: text/html\r\nConnection: close\r\n\r\nno"), "outcome_unknown"},
        {LOST_THEN("HTTP/1.1 302 x\r\nLocation: http://login/\r\nConnection: close\r\n\r\n"), "outcome_unknown"},
        {LOST_THEN(PROBLEM("409", "plan_changed", "false", "")), "plan_changed"},
        {LOST_THEN(PROBLEM("422", "idempotency_key_reused", "false", "")), "idempotency_key_reused"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene s;
        start(&s, cases[i].steps);
        ck_assert(!post_with(&s, "Idempotency-Key: k", "recoveries"));
        ck_assert_int_eq(hf_faulty_requests(s.faulty), 2);
        ck_assert_str_eq(s.err.code, cases[i].code);
        stop(&s);
    }
}
END_TEST

START_TEST(the_time_for_trying_again_with_a_key_begins_with_the_first_failure)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_CLOSE, .after_ms = 3000}, {HF_FAULTY_ANSWER, OK}};
    struct scene s;
    start(&s, steps, .retry_ms = 2900);
    ck_assert_msg(post_with(&s, "Idempotency-Key: k", "recoveries"), "%s", s.err.text);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 2);
    stop(&s);
    start(&s, steps, .retry_ms = 2900);
    ck_assert(!call(&s, "GET", "status"));
    expect_error(&s, "unreachable", true);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 1);
    stop(&s);
}
END_TEST

START_TEST(a_post_is_not_repeated_unseen_on_a_connection_that_was_kept)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_ANSWER_AND_KEEP, OK},
                                                  {HF_FAULTY_CLOSE, NULL},
                                                  {HF_FAULTY_ANSWER, OK}};
    struct scene s;
    start(&s, steps);
    ck_assert(call(&s, "GET", "status"));
    ck_assert(!call(&s, "POST", "snapshots"));
    expect_error(&s, "outcome_unknown", true);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 2);
    stop(&s);
}
END_TEST

START_TEST(what_may_be_repeated_survives_lost_connections)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_ANSWER_AND_KEEP, OK},
                                                  {HF_FAULTY_CLOSE, NULL},
                                                  {HF_FAULTY_CLOSE_UNREAD, NULL},
                                                  {HF_FAULTY_CLOSE, NULL},
                                                  {HF_FAULTY_ANSWER, OK_HEAD "Content-Length: 9\r\n\r\n{}"},
                                                  {HF_FAULTY_ANSWER, OK}};
    struct scene s;
    start(&s, steps);
    ck_assert(call(&s, "GET", "status"));
    ck_assert_msg(call(&s, "PUT", "components/a"), "%s", s.err.text);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 6);
    stop(&s);
}
END_TEST

START_TEST(trying_ends_when_its_time_is_over)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_CLOSE, NULL}};
    struct scene s;
    start(&s, steps, .retry_ms = 6000); /* for two attempts, however late each of them is read */
    ck_assert(!call(&s, "GET", "status"));
    expect_error(&s, "unreachable", true);
    ck_assert_int_ge(hf_faulty_requests(s.faulty), 2);
    ck_assert_msg(strstr(s.err.text, "attempts in"), "%s", s.err.text);
    stop(&s);
    static const struct hf_faulty_step later[] = {
        {HF_FAULTY_ANSWER, PROBLEM("503", "overloaded", "true", "Retry-After: 3600\r\n")}};
    start(&s, later);
    ck_assert(!call(&s, "GET", "status"));
    expect_error(&s, "overloaded", true);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 1);
    stop(&s);
    start(&s, steps, .retry_ms = -1);
    ck_assert(!call(&s, "GET", "status"));
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 1);
    stop(&s);
}
END_TEST

/* How many requests come of a call whose first answer says Retry-After, and the second works. */
static int count_requests_after(const char *retry_after)
{
    HF_AUTO(free) char *line = hf_format("Retry-After: %s\r\n", retry_after);
    HF_AUTO(free) char *later = hf_format(PROBLEM("503", "overloaded", "true", "%s"), line);
    const struct hf_faulty_step steps[] = {{HF_FAULTY_ANSWER, later}, {HF_FAULTY_ANSWER, OK}};
    struct scene s;
    start(&s, steps, .retry_ms = 50000);
    bool ok = call(&s, "GET", "status");
    int requests = hf_faulty_requests(s.faulty);
    ck_assert_msg(ok == (requests == 2), "%s: %d requests, but the call %s", retry_after, requests, ok ? "ok" : "not");
    stop(&s);
    return requests;
}

START_TEST(retry_after_later_than_there_is_time_for_ends_the_call_whether_seconds_or_a_date)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    const time_t in_an_hour = time(NULL) + 3600;
    struct tm parts;
    char date[64];
    ck_assert_int_eq(count_requests_after("60"), 1);
    ck_assert_int_eq(count_requests_after("1000000000000000000"), 1);
    ck_assert_int_eq(count_requests_after("Fri, 31 Dec 9999 23:59:59 GMT"), 1);
    for (int i = 0; i < COUNT(forms); i++) {
        strftime(date, sizeof(date), forms[i], gmtime_r(&in_an_hour, &parts));
        ck_assert_msg(count_requests_after(date) == 1, "%s", date);
    }
}
END_TEST

START_TEST(retry_after_that_is_over_or_cannot_be_read_counts_as_none)
{
    static const char *const values[] = {"0",    "Sun, 06 Nov 1994 08:49:37 GMT", "-1", "Sun, 06 Now 9994 08:49:37 GMT",
                                         "soon", "Sun, 06 Nov 9994 25:49:37 GMT", ""};
    for (int i = 0; i < COUNT(values); i++)
        ck_assert_msg(count_requests_after(values[i]) == 2, "%s", values[i]);
}
END_TEST

HF_TEST_MAIN("repeats", a_503_is_sent_again_until_it_works, a_post_is_sent_again_where_it_changed_nothing_for_certain,
             a_post_that_may_have_arrived_is_not_sent_again, a_post_with_a_key_is_sent_again_and_given_up_it_is_unknown,
             a_refusal_that_says_nothing_of_the_key_leaves_the_outcome_unknown,
             the_time_for_trying_again_with_a_key_begins_with_the_first_failure,
             a_post_is_not_repeated_unseen_on_a_connection_that_was_kept,
             what_may_be_repeated_survives_lost_connections, trying_ends_when_its_time_is_over,
             retry_after_later_than_there_is_time_for_ends_the_call_whether_seconds_or_a_date,
             retry_after_that_is_over_or_cannot_be_read_counts_as_none);
