#include "api/request.h"
#include "core/json.h"

#include <string.h>

#include "tests/support/check_main.h"

static void init(struct hf_request *request, struct hf_reply *reply)
{
    *request = (struct hf_request){.target = "/v1/x\"y", .request_id = "req-1"};
    hf_arena_init(&request->arena);
    hf_reply_init(reply);
}

static void done(struct hf_request *request, struct hf_reply *reply)
{
    hf_reply_done(reply);
    hf_arena_done(&request->arena);
}

static const char *header(const struct hf_reply *reply, const char *name)
{
    for (int i = 0; i < reply->header_count; i++)
        if (strcmp(reply->headers[i].name, name) == 0)
            return reply->headers[i].value;
    return NULL;
}

START_TEST(a_problem_has_every_member_of_the_contract)
{
    struct hf_request request;
    struct hf_reply reply;
    struct hf_error err;
    init(&request, &reply);
    hf_error_set(&err, HF_PRECONDITION, "the state is at \"7\"");
    hf_request_problem_member(&request, "currentEtag", "\"7-ff\"");
    hf_request_problem_member(&request, "limit", "12");
    hf_reply_problem(&request, &reply, &err);
    ck_assert_int_eq(reply.status, 412);
    ck_assert_str_eq(reply.content_type, "application/problem+json");

    HF_AUTO(json) json_t *problem = hf_json_parse(reply.body.data, reply.body.bytes, &err);
    ck_assert_msg(problem != NULL, "%s: %s", err.text, reply.body.data);
    HF_AUTO(json)
    json_t *expected =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:b, s:s, s:s, s:i}", "type",
                  "urn:holdfast:problem:precondition_failed", "title", hf_code_title(HF_PRECONDITION), "status", 412,
                  "detail", "the state is at \"7\"", "instance", "/v1/x\"y", "code", "precondition_failed", "retryable",
                  0, "requestId", "req-1", "currentEtag", "7-ff", "limit", 12);
    ck_assert_msg(json_equal(problem, expected), "%s", reply.body.data);
    done(&request, &reply);
}
END_TEST

START_TEST(a_problem_replaces_what_the_reply_held)
{
    struct hf_request request;
    struct hf_reply reply;
    struct hf_error err;
    init(&request, &reply);
    struct hf_blob *blob = hf_blob_copy("abc", 3);
    reply.blob = hf_blob_ref(blob);
    hf_buf_add_text(&reply.body, "half");
    hf_reply_header(&request, &reply, "ETag", "x");
    hf_error_set(&err, HF_INTERNAL, "it broke");
    hf_reply_problem(&request, &reply, &err);
    ck_assert_ptr_null(reply.blob);
    ck_assert_int_eq(atomic_load(&blob->references), 1);
    ck_assert_ptr_null(header(&reply, "ETag"));
    ck_assert_int_eq(reply.body.data[0], '{');
    hf_blob_unref(blob);
    done(&request, &reply);
}
END_TEST

START_TEST(statuses_that_want_a_header_get_it)
{
    static const struct {
        enum hf_code code;
        const char *name;
        const char *value;
    } rows[] = {
        {HF_UNAUTHORIZED, "WWW-Authenticate", "Bearer realm=\"holdfast\""},
        {HF_OVERLOADED, "Retry-After", "1"},
        {HF_STORE_DOWN, "Retry-After", "1"},
        {HF_STORAGE_FULL, "Retry-After", "5"},
        {HF_NOT_FOUND, "Retry-After", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_request request;
        struct hf_reply reply;
        struct hf_error err;
        init(&request, &reply);
        hf_error_set(&err, rows[i].code, "x");
        hf_reply_problem(&request, &reply, &err);
        ck_assert_pstr_eq(header(&reply, rows[i].name), rows[i].value);
        done(&request, &reply);
    }
}
END_TEST

START_TEST(clients_are_not_told_what_the_database_said)
{
    static const enum hf_code codes[] = {HF_STORE_DOWN, HF_OUTCOME_UNKNOWN};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct hf_request request;
        struct hf_reply reply;
        struct hf_error err;
        init(&request, &reply);
        hf_error_set(&err, codes[i], "systems_list: connection to server at 10.1.2.3 refused");
        hf_reply_problem(&request, &reply, &err);
        ck_assert_int_eq(reply.status, 503);
        ck_assert_ptr_null(strstr(reply.body.data, "systems_list"));
        ck_assert_ptr_null(strstr(reply.body.data, "10.1.2.3"));
        ck_assert_ptr_nonnull(strstr(reply.body.data, "\"detail\":\"the database "));
        done(&request, &reply);
    }
}
END_TEST

START_TEST(clients_are_told_of_time_where_time_is_the_reason)
{
    struct hf_request request;
    struct hf_reply reply;
    struct hf_error err;
    init(&request, &reply);
    request.tells_all = true;
    hf_error_set(&err, HF_OUTCOME_UNKNOWN, "no end of it came in time");
    hf_reply_problem(&request, &reply, &err);
    ck_assert_int_eq(reply.status, 503);
    ck_assert_ptr_nonnull(strstr(reply.body.data, "\"detail\":\"no end of it came in time\""));
    ck_assert_ptr_null(strstr(reply.body.data, "database"));
    done(&request, &reply);
}
END_TEST

START_TEST(a_header_value_cannot_start_another_header)
{
    struct hf_request request;
    struct hf_reply reply;
    init(&request, &reply);
    hf_reply_header(&request, &reply, "Location", "/a\r\nSet-Cookie: b");
    hf_reply_header_format(&request, &reply, "State-Version", "%d", 42);
    ck_assert_str_eq(header(&reply, "Location"), "/a  Set-Cookie: b");
    ck_assert_str_eq(header(&reply, "State-Version"), "42");
    done(&request, &reply);
}
END_TEST

START_TEST(json_replies_end_with_a_newline)
{
    struct hf_request request;
    struct hf_reply reply;
    init(&request, &reply);
    HF_AUTO(json) json_t *value = json_pack("{s:i}", "a", 1);
    hf_reply_json(&reply, 201, value);
    ck_assert_int_eq(reply.status, 201);
    ck_assert_str_eq(reply.content_type, "application/json");
    ck_assert_str_eq(reply.body.data, "{\"a\":1}\n");
    done(&request, &reply);
}
END_TEST

START_TEST(accept_counts_only_what_it_names)
{
    static const struct {
        const char *accept;
        bool accepts_text;
    } rows[] = {
        {NULL, false},
        {"", false},
        {"text/plain", true},
        {"application/json, TEXT/Plain;q=0.5", true},
        {"text/plain ; charset=utf-8", true},
        {"*/*", false},
        {"text/*", false},
        {"text/plain;q=0", false},
        {"text/plain; q=0.000", false},
        {"text/plain;q=0.001", true},
        {"text/plainer", false},
        {"text/plain;q=0, text/plain", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_request request = {0};
        request.headers[HF_H_ACCEPT] = rows[i].accept;
        ck_assert_msg(hf_request_accepts(&request, "text/plain") == rows[i].accepts_text, "%s",
                      rows[i].accept ? rows[i].accept : "(none)");
    }
}
END_TEST

HF_TEST_MAIN("problem", a_problem_has_every_member_of_the_contract, a_problem_replaces_what_the_reply_held,
             statuses_that_want_a_header_get_it, clients_are_not_told_what_the_database_said,
             clients_are_told_of_time_where_time_is_the_reason, a_header_value_cannot_start_another_header,
             json_replies_end_with_a_newline, accept_counts_only_what_it_names);
