/* Batches: all or nothing, in both forms, and repeated safely. On SQLite and on PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/digest.h"

#include <string.h>

#define STATES "/v1/systems/default/states"

static void start(struct hf_api_test *t, int postgres)
{
    const struct hf_test_server_options options = {.postgres = postgres != 0};
    hf_api_start(t, &options);
}

static void lines(struct hf_api_test *t, int status, const char *body)
{
    const char *const headers[] = {"Content-Type: application/x-ndjson", NULL};
    hf_api_send(t, status, "POST", STATES, headers, body, strlen(body));
}

static void keyed(struct hf_api_test *t, int status, const char *key, const char *body)
{
    HF_AUTO(free) char *header = hf_format("Idempotency-Key: %s", key);
    const char *const headers[] = {"Content-Type: application/json", header, NULL};
    hf_api_send(t, status, "POST", STATES, headers, body, strlen(body));
}

static void expect_state(struct hf_api_test *t, const char *component, const char *state)
{
    HF_AUTO(free) char *path = hf_format("/v1/systems/default/components/%s/state", component);
    hf_api_call(t, state ? 200 : 404, "GET", path, NULL);
    if (state)
        ck_assert_str_eq(t->answer.body, state);
}

START_TEST(a_batch_keeps_the_bytes_of_each_state_as_they_were_sent)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 200, "POST", STATES,
                "{ \"states\" : [ {\"component\":\"a\", \"state\" : {\"x\": 1.50, \"]}\":\"\\\"}\" } },\n"
                "{\"state\":-7e3 ,\"component\":\"b\"},{\"component\":\"c\",\"state\":[ ]},"
                "{\"component\":\"d\",\"state\":\"te\\\\\"},{\"component\":\"e\",\"stateBase64\":\"AAEC\"},"
                "{\"\\u0063omponent\":\"f\",\"state\":null},"
                "{\"component\":\"g\",\"state\":12345678901234567890123}]}");
    const json_t *results = json_object_get(t.json, "results");
    ck_assert_int_eq(json_array_size(results), 7);
    ck_assert_int_eq(hf_json_int(t.json, "sequence"), 7);
    struct hf_hash hash;
    char label[HF_HASH_LABEL];
    hf_hash_of("[ ]", 3, &hash);
    hf_hash_label(&hash, label);
    ck_assert_str_eq(hf_json_str(json_array_get(results, 2), "hash"), label);
    expect_state(&t, "a", "{\"x\": 1.50, \"]}\":\"\\\"}\" }");
    expect_state(&t, "b", "-7e3");
    expect_state(&t, "c", "[ ]");
    expect_state(&t, "d", "\"te\\\\\"");
    expect_state(&t, "f", "null");
    expect_state(&t, "g", "12345678901234567890123");
    hf_api_call(&t, 200, "GET", "/v1/systems/default/components/e/state", NULL);
    ck_assert_mem_eq(t.answer.body, "\0\1\2", 3);
    ck_assert_str_eq(hf_api_header(&t, "Content-Type"), "application/octet-stream");
    hf_api_stop(&t);
}
END_TEST

START_TEST(the_first_batch_of_a_system_tells_the_next_backup)
{
    static const char body[] = "{\"states\":[{\"component\":\"a\",\"state\":1}]}";
    const char *const first_key[] = {"Content-Type: application/json", "Idempotency-Key: first", NULL};
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 200, "POST", "/v1/systems/plain/states", body);
    const json_t *receipt = json_array_get(json_object_get(t.json, "results"), 0);
    ck_assert_int_gt(hf_json_int(receipt, "nextIncrementalBackup"), hf_clock_now_ms());
    hf_api_send(&t, 200, "POST", "/v1/systems/keyed/states", first_key, body, strlen(body));
    HF_AUTO(free) char *first = hf_strdup(t.answer.body);
    receipt = json_array_get(json_object_get(t.json, "results"), 0);
    ck_assert_int_gt(hf_json_int(receipt, "nextIncrementalBackup"), hf_clock_now_ms());
    hf_api_send(&t, 200, "POST", "/v1/systems/keyed/states", first_key, body, strlen(body));
    ck_assert_str_eq(t.answer.body, first);
    hf_api_stop(&t);
}
END_TEST

START_TEST(one_item_a_line_is_the_same)
{
    struct hf_api_test t;
    start(&t, _i);
    lines(&t, 200, "{\"component\":\"a\",\"state\":1}\r\n\n{\"component\":\"b\",\"state\": {\"n\": 2} }\n");
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "results")), 2);
    expect_state(&t, "b", "{\"n\": 2}");
    lines(&t, 400, "{\"component\":\"a\",\"state\":3}\n{\"component\":\"b\",\"state\":}\n");
    ck_assert_detail_has(&t, "line 2 of the batch");
    expect_state(&t, "a", "1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(an_item_can_be_an_event)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 200, "POST", STATES,
                "{\"states\":[{\"component\":\"a\",\"state\":1},"
                "{\"component\":\"b\",\"state\":2,\"event\":\"large-reward\"}]}");
    hf_api_call(&t, 200, "GET", "/v1/systems/default/components/b/versions", NULL);
    const json_t *versions = json_object_get(t.json, "versions");
    ck_assert_str_eq(hf_json_str(json_array_get(versions, 0), "event"), "large-reward");
    hf_api_call(&t, 200, "GET", "/v1/systems/default/components/a/versions", NULL);
    ck_assert(json_is_null(json_object_get(json_array_get(json_object_get(t.json, "versions"), 0), "event")));
    hf_api_stop(&t);
}
END_TEST

START_TEST(an_item_can_be_for_a_component_without_a_state_alone)
{
    struct hf_api_test t;
    start(&t, _i);
    const char *body = "{\"states\":[{\"component\":\"a\",\"state\":1},"
                       "{\"component\":\"b\",\"state\":2,\"ifNoneMatch\":\"*\"}]}";
    hf_api_call(&t, 200, "POST", STATES, body);
    hf_api_call(&t, 200, "PUT", "/v1/systems/default/components/a/state", "3");
    hf_api_call(&t, 412, "POST", STATES, body);
    expect_state(&t, "a", "3");
    hf_api_call(&t, 204, "DELETE", "/v1/systems/default/components/b", NULL);
    hf_api_call(&t, 200, "POST", STATES, body);
    expect_state(&t, "a", "1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(one_failed_condition_writes_nothing)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 201, "PUT", "/v1/systems/default/components/b/state", "1");
    HF_AUTO(free) char *etag = hf_strdup(hf_api_header(&t, "ETag"));
    hf_api_call(&t, 412, "POST", STATES,
                "{\"states\":[{\"component\":\"a\",\"state\":1},{\"component\":\"new\",\"state\":1},"
                "{\"component\":\"b\",\"state\":2,\"ifMatch\":\"\\\"7-0000000000000000\\\"\"}]}");
    hf_api_problem(&t, "precondition_failed");
    ck_assert_str_eq(hf_json_str(t.json, "component"), "b");
    ck_assert_str_eq(hf_json_str(t.json, "currentEtag"), etag);
    expect_state(&t, "a", NULL);
    expect_state(&t, "new", NULL);
    expect_state(&t, "b", "1");
    hf_api_call(&t, 200, "GET", "/v1/systems/default", NULL);
    ck_assert_int_eq(hf_json_int(t.json, "sequence"), 1);
    etag[strlen(etag) - 1] = '\0';
    HF_AUTO(free)
    char *good = hf_format(
        "{\"states\":[{\"component\":\"a\",\"state\":1},{\"component\":\"b\",\"state\":2,\"ifMatch\":\"\\\"%s\\\"\"}]}",
        etag + 1);
    hf_api_call(&t, 200, "POST", STATES, good);
    ck_assert_int_eq(hf_json_int(t.json, "sequence"), 3);
    expect_state(&t, "b", "2");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_malformed_batch_is_refused_with_the_item_named)
{
    static const struct {
        const char *body, *detail;
    } rows[] = {
        {"{\"states\":[{\"component\":\"a\",\"state\":1},{\"component\":\"a\",\"state\":2}]}", "twice"},
        {"{\"states\":[{\"component\":\"a\",\"state\":1},{\"component\":\"b\"}]}", "states[1]"},
        {"{\"states\":[{\"component\":\"a\",\"state\":1,\"stateBase64\":\"AA==\"}]}", "either"},
        {"{\"states\":[{\"component\":\"../a\",\"state\":1}]}", "component"},
        {"{\"states\":[{\"component\":7,\"state\":1}]}", "must be a string"},
        {"{\"states\":[{\"component\":\"a\",\"stat\":1}]}", "unknown field \"stat\""},
        {"{\"states\":[{\"component\":\"a\",\"stateBase64\":\"A\"}]}", "base64"},
        {"{\"states\":[{\"component\":\"a\",\"state\":1,\"contentType\":\"text/plain\"}]}", "contentType"},
        {"{\"states\":[{\"component\":\"a\",\"state\":1,\"contentType\":\"json\"}]}", "states[0]"},
        {"{\"states\":[{\"component\":\"a\",\"state\":1,\"ifMatch\":\"3\"}]}", "ifMatch"},
        {"{\"states\":[{\"component\":\"a\",\"stateBase64\":\"ew==\",\"contentType\":\"application/json\"}]}",
         "line 1"},
        {"{\"states\":[{\"component\":\"a\",\"state\":1,\"event\":\"large reward\"}]}", "\"event\" must be a name"},
        {"{\"states\":[{\"component\":\"a\",\"state\":1,\"ifNoneMatch\":\"7\"}]}", "can only be"},
        {"{\"states\":[7]}", "must be an object"},
        {"{\"states\":{}}", "must be an array"},
        {"{\"states\":[]}", "no states"},
        {"{\"state\":[]}", "unknown field"},
        {"{}", "no states"},
        {"[]", "object"},
        {"{\"states\":[", "line 1"},
    };
    struct hf_api_test t;
    start(&t, _i);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hf_api_refused(&t, 400, "invalid_request", "POST", STATES, rows[i].body);
        ck_assert_detail_has(&t, rows[i].detail);
    }
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/default", NULL);
    const char *const text[] = {"Content-Type: text/plain", NULL};
    hf_api_send(&t, 415, "POST", STATES, text, "{}", 2);
    hf_api_stop(&t);
}
END_TEST

START_TEST(ten_thousand_items_are_taken_and_one_more_is_refused)
{
    struct hf_api_test t;
    start(&t, _i);
    HF_AUTO(buf) struct hf_buf body;
    hf_buf_init(&body, 4 * 1024 * 1024);
    for (int i = 0; i < 10000; i++)
        hf_buf_add_format(&body, "{\"component\":\"c%d\",\"state\":%d}\n", i, i);
    lines(&t, 200, body.data);
    ck_assert_int_eq(hf_json_int(t.json, "sequence"), 10000);
    expect_state(&t, "c9999", "9999");
    hf_buf_add_text(&body, "{\"component\":\"d\",\"state\":1}\n");
    lines(&t, 400, body.data);
    ck_assert_detail_has(&t, "at most 10000");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_repeated_key_gets_the_first_answer_and_writes_nothing)
{
    struct hf_api_test t;
    start(&t, _i);
    const char *first = "{\"states\":[{\"component\":\"a\",\"state\":1},{\"component\":\"b\",\"state\":1}]}";
    keyed(&t, 200, "upload-1", first);
    HF_AUTO(free) char *answer = hf_strdup(t.answer.body);
    hf_api_call(&t, 200, "PUT", "/v1/systems/default/components/a/state", "2");
    keyed(&t, 200, "upload-1", first);
    ck_assert_str_eq(t.answer.body, answer);
    expect_state(&t, "a", "2");
    hf_test_server_kill(t.server);
    hf_test_server_start_again(t.server);
    hf_api_reconnect(&t);
    keyed(&t, 200, "upload-1", first);
    ck_assert_str_eq(t.answer.body, answer);
    keyed(&t, 422, "upload-1", "{\"states\":[{\"component\":\"a\",\"state\":3}]}");
    hf_api_problem(&t, "idempotency_key_reused");
    expect_state(&t, "a", "2");
    keyed(&t, 200, "upload-2", first);
    expect_state(&t, "a", "1");
    keyed(&t, 400, "two words", first);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_failed_batch_does_not_use_up_its_key)
{
    struct hf_api_test t;
    start(&t, _i);
    const char *body = "{\"states\":[{\"component\":\"a\",\"state\":2,\"ifMatch\":\"*\"}]}";
    keyed(&t, 412, "k", body);
    hf_api_call(&t, 201, "PUT", "/v1/systems/default/components/a/state", "1");
    keyed(&t, 200, "k", body);
    expect_state(&t, "a", "2");
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_batch_keeps_the_bytes_of_each_state_as_they_were_sent,
                                  the_first_batch_of_a_system_tells_the_next_backup,
                                  one_item_a_line_is_the_same,
                                  an_item_can_be_an_event,
                                  an_item_can_be_for_a_component_without_a_state_alone,
                                  one_failed_condition_writes_nothing,
                                  a_malformed_batch_is_refused_with_the_item_named,
                                  ten_thousand_items_are_taken_and_one_more_is_refused,
                                  a_repeated_key_gets_the_first_answer_and_writes_nothing,
                                  a_failed_batch_does_not_use_up_its_key};
    return hf_api_run_on_both("batch", tests, (int)(sizeof(tests) / sizeof(tests[0])));
}
