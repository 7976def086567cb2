/* Forks as a client sees them. On SQLite and on PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/clock.h"

#include <string.h>
#include <time.h>

#define ORIGIN "/v1/systems/default"
#define FORK   "/v1/systems/what-if"

static void start(struct hf_api_test *t, int postgres)
{
    const struct hf_test_server_options options = {.postgres = postgres != 0};
    hf_api_start(t, &options);
}

static void put(struct hf_api_test *t, const char *path, const char *state)
{
    const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct hf_client_request request = {
        .method = "PUT", .path = path, .headers = headers, .body = state, .body_bytes = strlen(state)};
    struct hf_answer answer;
    ck_assert(hf_client_send(t->client, &request, &answer));
    ck_assert_msg(answer.status == 200 || answer.status == 201, "PUT %s: %s", path, answer.body);
    hf_answer_done(&answer);
}

static void expect_state(struct hf_api_test *t, const char *path, const char *state)
{
    hf_api_call(t, state ? 200 : 404, "GET", path, NULL);
    if (state)
        ck_assert_str_eq(t->answer.body, state);
}

/* "a" at version 2, "b" at 1, "gone" deleted. */
static void fill(struct hf_api_test *t)
{
    put(t, ORIGIN "/components/a/state", "{\"a\":1}");
    put(t, ORIGIN "/components/gone/state", "{}");
    put(t, ORIGIN "/components/a/state", "{\"a\":2}");
    put(t, ORIGIN "/components/b/state", "{\"b\":1}");
    hf_api_call(t, 204, "DELETE", ORIGIN "/components/gone", NULL);
}

static char *root_hash(struct hf_api_test *t, const char *system)
{
    HF_AUTO(free) char *path = hf_format("/v1/systems/%s/snapshots", system);
    hf_api_call(t, 201, "POST", path, "{}");
    return hf_strdup(hf_json_str(t->json, "rootHash"));
}

static char *etag_of(struct hf_api_test *t, const char *path)
{
    hf_api_call(t, 200, "GET", path, NULL);
    return hf_strdup(hf_api_header(t, "ETag"));
}

START_TEST(a_fork_of_now_is_the_same_system_under_another_name)
{
    struct hf_api_test t;
    start(&t, _i);
    fill(&t);
    HF_AUTO(free) char *was = root_hash(&t, "default");
    HF_AUTO(free) char *etag = etag_of(&t, ORIGIN "/components/a/state");

    hf_api_call(&t, 201, "POST", "/v1/systems",
                "{\"name\":\"what-if\",\"description\":\"try it\",\"from\":{\"system\":\"default\"}}");
    ck_assert_str_eq(hf_api_header(&t, "Location"), FORK);
    ck_assert_str_eq(hf_json_str(t.json, "name"), "what-if");
    ck_assert_str_eq(hf_json_str(t.json, "description"), "try it");
    ck_assert_int_eq(hf_json_int(t.json, "sequence"), 3);
    ck_assert_int_eq(hf_json_int(t.json, "epoch"), 1);
    ck_assert_int_eq(hf_json_int(t.json, "components"), 2);
    const json_t *from = json_object_get(t.json, "forkedFrom");
    ck_assert_str_eq(hf_json_str(from, "system"), "default");
    ck_assert_int_eq(hf_json_int(from, "sequence"), 5);
    ck_assert(json_is_null(json_object_get(from, "snapshot")));
    ck_assert(json_is_true(json_object_get(from, "exact")));
    ck_assert_int_eq(hf_json_int(from, "sharedStates"), 2);
    ck_assert_int_eq(hf_json_int(from, "copiedStates"), 0);

    HF_AUTO(free) char *is = root_hash(&t, "what-if");
    HF_AUTO(free) char *same_etag = etag_of(&t, FORK "/components/a/state");
    ck_assert_str_eq(is, was);
    ck_assert_str_eq(same_etag, etag);
    expect_state(&t, FORK "/components/a/state", "{\"a\":2}");
    expect_state(&t, FORK "/components/gone/state", NULL);

    const json_t *event = NULL;
    for (int naps = 0; !event; hf_api_nap(&naps)) { /* events are written soon after */
        hf_api_call(&t, 200, "GET", FORK "/events", NULL);
        event = json_array_get(json_object_get(t.json, "events"), 0);
    }
    ck_assert_str_eq(hf_json_str(event, "type"), "system.created");
    ck_assert_str_eq(hf_json_str(json_object_get(event, "data"), "from"), "default");
    hf_api_stop(&t);
}
END_TEST

START_TEST(neither_sees_what_becomes_of_the_other)
{
    struct hf_api_test t;
    start(&t, _i);
    fill(&t);
    hf_api_call(&t, 201, "POST", "/v1/systems", "{\"name\":\"what-if\",\"from\":{\"system\":\"default\"}}");
    put(&t, FORK "/components/a/state", "{\"a\":\"fork\"}");
    put(&t, ORIGIN "/components/b/state", "{\"b\":\"origin\"}");
    put(&t, FORK "/components/gone/state", "{\"back\":true}"); /* versions go on behind the deleted one */
    for (int restarted = 0; restarted < 2; restarted++) {
        expect_state(&t, FORK "/components/a/state", "{\"a\":\"fork\"}");
        expect_state(&t, FORK "/components/b/state", "{\"b\":1}");
        expect_state(&t, ORIGIN "/components/a/state", "{\"a\":2}");
        expect_state(&t, ORIGIN "/components/b/state", "{\"b\":\"origin\"}");
        expect_state(&t, FORK "/components/a/state?version=2", "{\"a\":2}");
        hf_api_call(&t, 200, "GET", FORK "/components/gone", NULL);
        ck_assert_int_eq(hf_json_int(t.json, "version"), 3);
        if (restarted)
            break;
        hf_test_server_kill(t.server);
        hf_test_server_start_again(t.server);
        hf_api_reconnect(&t);
    }
    hf_api_stop(&t);
}
END_TEST

START_TEST(either_can_be_deleted_first)
{
    struct hf_api_test t;
    start(&t, _i);
    fill(&t);
    hf_api_call(&t, 201, "POST", "/v1/systems", "{\"name\":\"what-if\",\"from\":{\"system\":\"default\"}}");
    hf_api_call(&t, 201, "POST", "/v1/systems", "{\"name\":\"second\",\"from\":{\"system\":\"what-if\"}}");
    hf_api_call(&t, 400, "DELETE", ORIGIN "?confirm=default&force=yes", NULL);
    hf_api_call(&t, 204, "DELETE", ORIGIN "?confirm=default&force=true", NULL);
    hf_test_server_kill(t.server); /* nothing comes from memory */
    hf_test_server_start_again(t.server);
    hf_api_reconnect(&t);
    expect_state(&t, FORK "/components/a/state", "{\"a\":2}");
    hf_api_call(&t, 204, "DELETE", FORK "?confirm=what-if&force=false", NULL);
    expect_state(&t, "/v1/systems/second/components/a/state", "{\"a\":2}");
    expect_state(&t, "/v1/systems/second/components/b/state", "{\"b\":1}");
    hf_api_call(&t, 201, "POST", "/v1/systems", "{\"name\":\"default\",\"from\":{\"system\":\"second\"}}");
    hf_api_call(&t, 204, "DELETE", "/v1/systems/second?confirm=second", NULL);
    expect_state(&t, ORIGIN "/components/b/state", "{\"b\":1}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_fork_begins_at_a_sequence_a_snapshot_or_a_time)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, ORIGIN "/components/a/state", "1");
    hf_api_call(&t, 201, "POST", ORIGIN "/snapshots", "{}");
    HF_AUTO(free) char *snapshot = hf_strdup(hf_json_str(t.json, "id"));
    char between[HF_TIME_BYTES];
    nanosleep(&(struct timespec){0, 5000000}, NULL);
    hf_time_format(hf_clock_now_ms(), between);
    nanosleep(&(struct timespec){0, 5000000}, NULL);
    put(&t, ORIGIN "/components/a/state", "2");
    put(&t, ORIGIN "/components/later/state", "3");
    HF_AUTO(free)
    char *by_snapshot =
        hf_format("{\"name\":\"by-snapshot\",\"from\":{\"system\":\"default\",\"snapshot\":\"%s\"}}", snapshot);
    HF_AUTO(free)
    char *by_time = hf_format("{\"name\":\"by-time\",\"from\":{\"system\":\"default\",\"at\":\"%s\"}}", between);
    const struct {
        const char *name, *body;
    } ways[] = {
        {"by-sequence", "{\"name\":\"by-sequence\",\"from\":{\"system\":\"default\",\"sequence\":1}}"},
        {"by-snapshot", by_snapshot},
        {"by-time", by_time},
        {"by-latest", "{\"name\":\"by-latest\",\"from\":{\"system\":\"default\",\"snapshot\":\"latest\"}}"},
    };
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        hf_api_call(&t, 201, "POST", "/v1/systems", ways[i].body);
        ck_assert_int_eq(hf_json_int(json_object_get(t.json, "forkedFrom"), "sequence"), 1);
        ck_assert_int_eq(hf_json_int(json_object_get(t.json, "forkedFrom"), "sharedStates"), 1);
        HF_AUTO(free) char *path = hf_format("/v1/systems/%s/components/a/state", ways[i].name);
        expect_state(&t, path, "1");
        HF_AUTO(free) char *later = hf_format("/v1/systems/%s/components/later", ways[i].name);
        hf_api_call(&t, 404, "GET", later, NULL);
    }
    hf_api_stop(&t);
}
END_TEST

START_TEST(what_cannot_be_is_refused_and_leaves_nothing)
{
    struct hf_api_test t;
    start(&t, _i);
    fill(&t);
    const struct {
        int status;
        const char *code, *body, *detail;
    } wrong[] = {
        {409, "conflict", "{\"name\":\"default\"}", "already"},
        {409, "conflict", "{\"name\":\"default\",\"from\":{\"system\":\"default\"}}", "already"},
        {404, "not_found", "{\"name\":\"x\",\"from\":{\"system\":\"nowhere\"}}", "nowhere"},
        {404, "not_found", "{\"name\":\"x\",\"from\":{\"system\":\"default\",\"snapshot\":\"full-none\"}}",
         "full-none"},
        {404, "not_found", "{\"name\":\"x\",\"from\":{\"system\":\"default\",\"snapshot\":\"latest\"}}", "snapshot"},
        {404, "not_found", "{\"name\":\"x\",\"from\":{\"system\":\"default\",\"at\":\"2001-01-01T00:00:00Z\"}}",
         "2001"},
        {404, "not_found", "{\"name\":\"x\",\"from\":{\"system\":\"default\",\"sequence\":99}}", "99"},
        {400, "invalid_request", "{\"name\":\"-x\"}", "name"},
        {400, "invalid_request", "{}", "name"},
        {400, "invalid_request", "{\"name\":\"x\",\"from\":{}}", "system"},
        {400, "invalid_request", "{\"name\":\"x\",\"from\":\"default\"}", "from"},
        {400, "invalid_request", "{\"name\":\"x\",\"from\":{\"system\":\"default\",\"when\":1}}", "when"},
        {400, "invalid_request", "{\"name\":\"x\",\"from\":{\"system\":\"default\",\"at\":\"yesterday\"}}", "at"},
        {400, "invalid_request", "{\"name\":\"x\",\"from\":{\"system\":\"default\",\"sequence\":-1}}", "sequence"},
        {400, "invalid_request", "{\"name\":\"x\",\"from\":{\"system\":\"default\",\"snapshot\":\"../x\"}}",
         "snapshot"},
        {400, "invalid_request",
         "{\"name\":\"x\",\"from\":{\"system\":\"default\",\"sequence\":1,\"at\":\"2026-01-01T00:00:00Z\"}}", "one"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        hf_api_refused(&t, wrong[i].status, wrong[i].code, "POST", "/v1/systems", wrong[i].body);
        ck_assert_detail_has(&t, wrong[i].detail);
    }
    hf_api_call(&t, 200, "GET", "/v1/systems", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(t.json, "systems")), 1);
    hf_api_stop(&t);
}
END_TEST

START_TEST(without_from_it_is_empty)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 201, "POST", "/v1/systems", "{\"name\":\"what-if\",\"description\":\"empty\"}");
    ck_assert(json_is_null(json_object_get(t.json, "forkedFrom")));
    ck_assert_int_eq(hf_json_int(t.json, "sequence"), 0);
    hf_api_refused(&t, 409, "conflict", "POST", "/v1/systems", "{\"name\":\"what-if\"}");
    put(&t, FORK "/components/a/state", "1");
    hf_test_server_kill(t.server);
    hf_test_server_start_again(t.server);
    hf_api_reconnect(&t);
    expect_state(&t, FORK "/components/a/state", "1");
    hf_api_call(&t, 200, "GET", FORK, NULL);
    ck_assert_str_eq(hf_json_str(t.json, "description"), "empty");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_crash_in_the_middle_leaves_nothing)
{
    struct hf_api_test t;
    const char *const environment[] = {"HOLDFAST_FAULT=fork_midway:exit", NULL};
    const struct hf_test_server_options options = {.postgres = _i != 0, .environment = environment};
    hf_api_start(&t, &options);
    fill(&t);
    const char *body = "{\"name\":\"what-if\",\"from\":{\"system\":\"default\"}}";
    const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct hf_client_request request = {
        .method = "POST", .path = "/v1/systems", .headers = headers, .body = body, .body_bytes = strlen(body)};
    struct hf_answer answer;
    ck_assert(!hf_client_send(t.client, &request, &answer));
    hf_answer_done(&answer);
    hf_test_server_kill(t.server); /* it is gone already: this only takes note */
    hf_test_server_start_again(t.server);
    hf_api_reconnect(&t);
    hf_api_call(&t, 200, "GET", "/v1/systems", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(t.json, "systems")), 1);
    hf_api_call(&t, 404, "GET", FORK, NULL);
    put(&t, FORK "/components/own/state", "1"); /* neither its name nor its number is taken */
    expect_state(&t, FORK "/components/own/state", "1");
    expect_state(&t, FORK "/components/a/state", NULL);
    expect_state(&t, ORIGIN "/components/a/state", "{\"a\":2}");
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_fork_of_now_is_the_same_system_under_another_name,
                                  neither_sees_what_becomes_of_the_other,
                                  either_can_be_deleted_first,
                                  a_fork_begins_at_a_sequence_a_snapshot_or_a_time,
                                  what_cannot_be_is_refused_and_leaves_nothing,
                                  without_from_it_is_empty,
                                  a_crash_in_the_middle_leaves_nothing};
    return hf_api_run_on_both("forks", tests, sizeof(tests) / sizeof(tests[0]));
}
