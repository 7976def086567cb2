/* What is wrong is refused with the right problem, and the service goes on. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/buf.h"

#include <string.h>
#include <unistd.h>

#include "tests/support/check_main.h"

#define STATE "/v1/systems/default/components/a/state"

static void still_serves(struct hf_api_test *t)
{
    hf_api_call(t, 200, "GET", "/livez", NULL);
}

/* The status of the first answer on a bare connection that sends this text and then, if wanted, ends its side. */
static int raw_status(struct hf_api_test *t, const char *text)
{
    int fd = hf_raw_connect(hf_test_server_port(t->server));
    hf_raw_send_text(fd, text);
    HF_AUTO(free) char *answer = hf_raw_read(fd, "\r\n", 1, true);
    close(fd);
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

START_TEST(unknown_paths_and_methods_are_refused)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_refused(&t, 404, "not_found", "GET", "/v2/systems", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/default/components/a/stat", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/default/components/a", NULL);
    hf_api_refused(&t, 405, "method_not_allowed", "DELETE", STATE, NULL);
    const char *allow = hf_api_header(&t, "Allow");
    ck_assert(strstr(allow, "GET") && strstr(allow, "HEAD") && strstr(allow, "PUT") && strstr(allow, "POST"));
    hf_api_refused(&t, 405, "method_not_allowed", "POST", "/v1/status", "{}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(malformed_names_are_refused)
{
    static const char *const paths[] = {
        "/v1/systems/default/components/a%2Fb/state", "/v1/systems/default/components/../state",
        "/v1/systems/%2e%2e/components/a/state",      "/v1/systems/default/components/a%00b/state",
        "/v1/systems/default/components/-a/state",    "/v1/systems/default/components/a%20b/state",
        "/v1/systems/default/components/a%zz/state",  "/v1/systems/default/components/%C3%A9/state",
    };
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        hf_api_refused(&t, 400, "invalid_request", "PUT", paths[i], "1");
    char name[130];
    memset(name, 'n', sizeof(name));
    name[129] = '\0';
    HF_AUTO(free) char *too_long = hf_format("/v1/systems/default/components/%s/state", name);
    hf_api_refused(&t, 400, "invalid_request", "PUT", too_long, "1");
    name[128] = '\0';
    HF_AUTO(free) char *longest = hf_format("/v1/systems/default/components/%s/state", name);
    hf_api_call(&t, 201, "PUT", longest, "1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_very_long_url_is_refused)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, 200000);
    hf_buf_add_text(&text, "GET /v1/");
    for (int i = 0; i < 100000; i++)
        hf_buf_add_char(&text, 'a');
    hf_buf_add_text(&text, " HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_eq(raw_status(&t, text.data), 414);
    still_serves(&t);
    char path[9001] = "/v1/";
    memset(path + 4, 'a', sizeof(path) - 5);
    hf_api_refused(&t, 414, "uri_too_long", "GET", path, NULL);
    ck_assert_detail_has(&t, "9000 bytes");
    still_serves(&t);
    hf_api_stop(&t);
}
END_TEST

START_TEST(unknown_query_parameters_are_refused_by_name)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_call(&t, 201, "PUT", STATE, "1");
    hf_api_refused(&t, 400, "invalid_request", "GET", STATE "?versoin=1", NULL);
    ck_assert_detail_has(&t, "versoin");
    hf_api_refused(&t, 400, "invalid_request", "GET", STATE "?version=1&version=1", NULL);
    hf_api_refused(&t, 400, "invalid_request", "PUT", STATE "?version=1", "1");
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/status?format=xml", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/default/events?severity=fatal", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/default/events?after=-1", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/default/events?order=up", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/default/events?before=7", NULL);
    ck_assert_detail_has(&t, "order=desc");
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/default/events?order=desc&before=0", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/default/snapshots?kind=partial", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/default/snapshots?before=noon", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/default/snapshots?cursor=31", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/default/recoveries?cursor=zz", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", "/readyz?exclude=databse", NULL);
    hf_api_stop(&t);
}
END_TEST

static void refuse_json(struct hf_api_test *t, const void *body, size_t bytes, const char *detail)
{
    const char *const headers[] = {"Content-Type: application/json", NULL};
    hf_api_send(t, 400, "PUT", STATE, headers, body, bytes);
    hf_api_problem(t, "invalid_request");
    ck_assert_detail_has(t, detail);
}

START_TEST(bodies_that_are_not_json_are_refused_with_the_place)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    refuse_json(&t, "{\"a\":\n 1,}", 10, "line 2, column 4");
    refuse_json(&t, "{\"a\":1", 6, "line 1");
    refuse_json(&t, "", 0, "empty");
    refuse_json(&t, "\"\xff\"", 3, "line 1");
    refuse_json(&t, "\"\xc0\x80\"", 4, "line 1");
    refuse_json(&t, "{\"a\":1,\"a\":2}", 13, "line 1");
    refuse_json(&t, "1 2", 3, "line 1");
    refuse_json(&t, "NaN", 3, "line 1");
    char deep[20001];
    memset(deep, '[', 10000);
    memset(deep + 10000, ']', 10000);
    refuse_json(&t, deep, 20000, "deeper");
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/default", NULL);
    const char *const suffix[] = {"Content-Type: application/vnd.agent+json; v=1", NULL};
    hf_api_send(&t, 400, "PUT", STATE, suffix, "{", 1);
    hf_api_send(&t, 201, "PUT", STATE, suffix, "{}", 2);
    hf_api_stop(&t);
}
END_TEST

START_TEST(silly_content_types_are_refused)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    HF_AUTO(free) char *long_type = hf_alloc(400);
    strcpy(long_type, "Content-Type: text/");
    memset(long_type + strlen(long_type), 'x', 300);
    const char *const types[] = {"Content-Type: json", "Content-Type: /json", "Content-Type: text/",
                                 "Content-Type: text/plain text/html", long_type};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const char *const headers[] = {types[i], NULL};
        hf_api_send(&t, 400, "PUT", STATE, headers, "1", 1);
        hf_api_problem(&t, "invalid_request");
    }
    const char *const compressed[] = {"Content-Type: application/json", "Content-Encoding: gzip", NULL};
    hf_api_send(&t, 415, "PUT", STATE, compressed, "1", 1);
    hf_api_problem(&t, "unsupported_media_type");
    const char *const plain[] = {"Content-Type: text/plain", NULL};
    hf_api_send(&t, 415, "POST", "/v1/systems/default/snapshots", plain, "{\"kind\":\"full\"}", 15);
    hf_api_problem(&t, "unsupported_media_type");
    hf_api_stop(&t);
}
END_TEST

START_TEST(what_curl_calls_a_form_is_read_as_json)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    const char *const form[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    hf_api_send(&t, 201, "PUT", STATE, form, "{\"a\":1}", 7);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    ck_assert_str_eq(hf_api_header(&t, "Content-Type"), "application/json");
    hf_api_send(&t, 400, "PUT", STATE, form, "a=1", 3);
    hf_api_problem(&t, "invalid_request");
    hf_api_send(&t, 400, "POST", "/v1/systems/default/snapshots", form, "kind=full", 9);
    hf_api_problem(&t, "invalid_request");
    hf_api_send(&t, 201, "POST", "/v1/systems/default/snapshots", form, "{\"kind\":\"full\"}", 15);
    hf_api_send(&t, 201, "POST", "/v1/systems/default/snapshots/latest/restore", form, "{}", 2);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_web_page_of_another_origin_changes_nothing)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    const char *const page[] = {"Content-Type: text/plain", "Origin: http://pages.example", NULL};
    const char *const sandboxed[] = {"Origin: null", NULL};
    hf_api_send(&t, 403, "POST", STATE, page, "1", 1);
    hf_api_problem(&t, "forbidden");
    hf_api_send(&t, 403, "PUT", STATE, sandboxed, "1", 1);
    hf_api_problem(&t, "forbidden");
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/default", NULL);
    HF_AUTO(free) char *own = hf_format("Origin: http://127.0.0.1:%d", hf_test_server_port(t.server));
    const char *const ours[] = {own, NULL};
    hf_api_send(&t, 201, "PUT", STATE, ours, "1", 1);
    hf_api_stop(&t);
}
END_TEST

START_TEST(bodies_of_a_wrong_length_do_no_harm)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    int fd = hf_raw_connect(hf_test_server_port(t.server));
    hf_raw_send_text(fd, "PUT " STATE " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"cut\":");
    close(fd); /* the rest never comes */
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/default", NULL);
    /* Longer than said: the rest is not part of the state. */
    ck_assert_int_eq(raw_status(&t,
                                "PUT " STATE " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1\x01garbage\r\n\r\n"),
                     201);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    ck_assert_str_eq(t.answer.body, "1");
    ck_assert_int_eq(raw_status(&t, "PUT " STATE " HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"), 400);
    ck_assert_int_eq(raw_status(&t, "PUT " STATE
                                    " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                                    "1\r\n2\r\n0\r\n\r\n"),
                     400);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    ck_assert_str_eq(t.answer.body, "1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_body_over_the_limit_is_refused_with_the_limit)
{
    static const char *const environment[] = {"PERSISTENCE_MAX_STATE_BYTES=100000",
                                              "PERSISTENCE_MAX_BATCH_BYTES=200000", NULL};
    const struct hf_test_server_options options = {.environment = environment};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    HF_AUTO(free) char *big = hf_alloc(300001);
    memset(big, ' ', 300000);
    big[0] = '1';
    const char *const headers[] = {"Content-Type: application/json", NULL};
    hf_api_send(&t, 201, "PUT", STATE, headers, big, 100000);
    hf_api_send(&t, 413, "PUT", STATE, headers, big, 100001);
    ck_assert_int_eq(hf_json_int(hf_api_problem(&t, "body_too_large"), "limit"), 100000);
    hf_api_send(&t, 413, "POST", "/v1/systems/default/states", headers, big, 200001);
    ck_assert_int_eq(hf_json_int(hf_api_problem(&t, "body_too_large"), "limit"), 200000);
    const struct hf_client_request chunked = {
        .method = "PUT", .path = STATE, .headers = headers, .body = big, .body_bytes = 300000, .chunked = true};
    struct hf_answer answer;
    ck_assert(hf_client_send(t.client, &chunked, &answer));
    ck_assert_int_eq(answer.status, 413);
    hf_answer_done(&answer);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    ck_assert_uint_eq(t.answer.body_bytes, 100000);
    hf_api_stop(&t);
}
END_TEST

START_TEST(past_the_memory_for_bodies_uploads_are_put_off)
{
    static const char *const environment[] = {"PERSISTENCE_MAX_INFLIGHT_BYTES=100000", NULL};
    const struct hf_test_server_options options = {.environment = environment};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    int fd = hf_raw_connect(hf_test_server_port(t.server)); /* holds its share until it ends */
    hf_raw_send_text(fd, "PUT " STATE " HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n{");
    bool held = false;
    for (int naps = 0; !held; hf_api_nap(&naps)) {
        hf_api_call(&t, 200, "GET", "/metrics", NULL);
        held = strstr(t.answer.body, "\nholdfast_inflight_bytes 0\n") == NULL;
    }
    HF_AUTO(free) char *body = hf_alloc(50001);
    memset(body, ' ', 50000);
    body[0] = '1';
    hf_api_refused(&t, 503, "overloaded", "PUT", STATE, body);
    ck_assert(json_is_true(json_object_get(t.json, "retryable")));
    ck_assert_str_eq(hf_api_header(&t, "Retry-After"), "1");
    close(fd);
    long status = 0;
    for (int naps = 0; status != 201; hf_api_nap(&naps)) {
        struct hf_answer answer;
        ck_assert(hf_client_call(t.client, "PUT", STATE, body, "Content-Type: application/json", &answer));
        status = answer.status;
        hf_answer_done(&answer);
    }
    hf_api_stop(&t);
}
END_TEST

START_TEST(unknown_fields_are_refused_by_name)
{
    static const struct {
        const char *method, *path;
    } rows[] = {
        {"PUT", "/v1/systems/default"},
        {"PUT", "/v1/systems/default/components/a"},
        {"POST", "/v1/systems/default/components/a/heartbeat"},
        {"POST", "/v1/systems/default/snapshots"},
        {"PATCH", "/v1/systems/default/snapshots/latest"},
        {"POST", "/v1/systems/default/snapshots/latest/restore"},
        {"POST", "/v1/systems/default/recoveries"},
        {"POST", "/v1/systems/default/states"},
    };
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_call(&t, 201, "PUT", STATE, "1");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hf_api_refused(&t, 400, "invalid_request", rows[i].method, rows[i].path, "{\"tpyo\":1}");
        ck_assert_detail_has(&t, "tpyo");
    }
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_sane_request_id_comes_back_and_another_is_replaced)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    const char *const sane[] = {"X-Request-Id: job-17.step_2", NULL};
    hf_api_send(&t, 404, "GET", "/v1/systems/default", sane, NULL, 0);
    ck_assert_str_eq(hf_api_header(&t, "X-Request-Id"), "job-17.step_2");
    const char *const odd[] = {"X-Request-Id: a b\"c", NULL};
    hf_api_send(&t, 404, "GET", "/v1/systems/default", odd, NULL, 0);
    ck_assert_str_ne(hf_api_header(&t, "X-Request-Id"), "a b\"c");
    hf_api_stop(&t);
}
END_TEST

HF_TEST_MAIN("refusals", unknown_paths_and_methods_are_refused, malformed_names_are_refused, a_very_long_url_is_refused,
             unknown_query_parameters_are_refused_by_name, bodies_that_are_not_json_are_refused_with_the_place,
             silly_content_types_are_refused, what_curl_calls_a_form_is_read_as_json,
             a_web_page_of_another_origin_changes_nothing, bodies_of_a_wrong_length_do_no_harm,
             a_body_over_the_limit_is_refused_with_the_limit, past_the_memory_for_bodies_uploads_are_put_off,
             unknown_fields_are_refused_by_name, a_sane_request_id_comes_back_and_another_is_replaced);
