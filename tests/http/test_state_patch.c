/* Changing a part of a state: both kinds of patches, conditions, refusals, and many clients at once. On SQLite and on
 * PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/json.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define STATE        "/v1/systems/default/components/a/state"
#define MERGE        "Content-Type: application/merge-patch+json"
#define PATCH        "Content-Type: application/json-patch+json; charset=utf-8"
#define CLIENT_COUNT 8
#define CHANGES      50
#define STATE_BYTES  2000 /* PERSISTENCE_MAX_STATE_BYTES where it is set */

static void start(struct hf_api_test *t, int postgres, const char *setting)
{
    const char *const environment[] = {setting, NULL};
    const struct hf_test_server_options options = {.postgres = postgres != 0, .environment = environment};
    hf_api_start(t, &options);
}

static void put(struct hf_api_test *t, int status, const char *type, const char *state)
{
    const char *const headers[] = {type, NULL};
    hf_api_send(t, status, "PUT", STATE, headers, state, strlen(state));
}

static void patch(struct hf_api_test *t, int status, const char *type, const char *header, const char *body)
{
    const char *const headers[] = {type, header, NULL};
    hf_api_send(t, status, "PATCH", STATE, headers, body, strlen(body));
}

static void refuse(struct hf_api_test *t, int status, const char *code, const char *type, const char *body)
{
    patch(t, status, type, NULL, body);
    hf_api_problem(t, code);
}

static void reads(struct hf_api_test *t, const char *state)
{
    hf_api_call(t, 200, "GET", STATE, NULL);
    ck_assert_str_eq(t->answer.body, state);
}

START_TEST(a_merge_patch_changes_what_it_names_and_keeps_the_rest)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, "Content-Type: application/vnd.agent+json",
        "{ \"z\": 1.50, \"gone\": 2,\n \"n\": {\"a\":1,\"b\":[1e2]} }");
    patch(&t, 200, MERGE, NULL, "{\"gone\":null,\"n\":{\"a\":0.1},\"new\":[null]}");
    ck_assert_int_eq(hf_json_int(t.json, "version"), 2);
    ck_assert_str_eq(hf_json_str(t.json, "durability"), "database");
    HF_AUTO(free) char *etag = hf_strdup(hf_api_header(&t, "ETag"));
    reads(&t, "{\"z\":1.5,\"n\":{\"a\":0.1,\"b\":[100.0]},\"new\":[null]}");
    ck_assert_str_eq(hf_api_header(&t, "ETag"), etag);
    ck_assert_str_eq(hf_api_header(&t, "Content-Type"), "application/vnd.agent+json");
    hf_api_call(&t, 200, "GET", STATE "?version=1", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "\"gone\": 2"));
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_json_patch_is_applied_whole_or_not_at_all)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, NULL, "{\"q\":[1,2],\"n\":5}");
    patch(&t, 200, PATCH, NULL,
          "[{\"op\":\"test\",\"path\":\"/n\",\"value\":5.0},{\"op\":\"add\",\"path\":\"/q/-\",\"value\":\"\\u00e9\"},"
          "{\"op\":\"replace\",\"path\":\"/n\",\"value\":6}]");
    reads(&t, "{\"q\":[1,2,\"\xc3\xa9\"],\"n\":6}");
    HF_AUTO(free) char *etag = hf_strdup(hf_api_header(&t, "ETag"));
    refuse(&t, 412, "precondition_failed", PATCH,
           "[{\"op\":\"remove\",\"path\":\"/q\"},{\"op\":\"test\",\"path\":\"/n\",\"value\":5}]");
    ck_assert_detail_has(&t, "operation 1 (test)");
    ck_assert_str_eq(hf_json_str(t.json, "currentEtag"), etag);
    refuse(&t, 409, "conflict", PATCH,
           "[{\"op\":\"remove\",\"path\":\"/q\"},{\"op\":\"replace\",\"path\":\"/q/0\",\"value\":5}]");
    ck_assert_detail_has(&t, "operation 1 (replace)");
    refuse(&t, 400, "invalid_request", PATCH,
           "[{\"op\":\"remove\",\"path\":\"/q\"},{\"op\":\"replace\",\"path\":\"/n\"}]");
    ck_assert_detail_has(&t, "\"value\"");
    reads(&t, "{\"q\":[1,2,\"\xc3\xa9\"],\"n\":6}");
    ck_assert_str_eq(hf_api_header(&t, "ETag"), etag);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_patch_that_changes_nothing_makes_no_version)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, NULL, " {\"a\": 1.0, \"b\": [] }\n");
    HF_AUTO(free) char *etag = hf_strdup(hf_api_header(&t, "ETag"));
    patch(&t, 200, MERGE, NULL, "{\"a\":1.0,\"absent\":null}");
    ck_assert(json_is_true(json_object_get(t.json, "unchanged")));
    ck_assert_str_eq(hf_api_header(&t, "ETag"), etag);
    patch(&t, 200, PATCH, NULL, "[]");
    ck_assert(json_is_true(json_object_get(t.json, "unchanged")));
    reads(&t, " {\"a\": 1.0, \"b\": [] }\n");
    patch(&t, 200, MERGE, NULL, "{\"a\":1}");
    ck_assert(json_is_false(json_object_get(t.json, "unchanged")));
    reads(&t, "{\"a\":1,\"b\":[]}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(numbers_that_a_patch_does_not_name_keep_their_value)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, NULL, "{\"a\":1,\"n\":[-0,-0.0,0,5e-324,0.30000000000000004,1.7976931348623157e308]}");
    patch(&t, 200, MERGE, NULL, "{\"a\":-0}");
    reads(&t, "{\"a\":-0.0,\"n\":[-0.0,-0.0,0,5e-324,0.30000000000000004,1.7976931348623157e+308]}");
    patch(&t, 200, PATCH, NULL,
          "[{\"op\":\"test\",\"path\":\"/n/0\",\"value\":0},{\"op\":\"remove\",\"path\":\"/n/3\"}]");
    reads(&t, "{\"a\":-0.0,\"n\":[-0.0,-0.0,0,0.30000000000000004,1.7976931348623157e+308]}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(conditions_hold_for_patches)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    refuse(&t, 404, "not_found", MERGE, "{\"a\":1}");
    put(&t, 201, NULL, "{\"a\":1}");
    HF_AUTO(free) char *match = hf_format("If-Match: %s", hf_api_header(&t, "ETag"));
    patch(&t, 200, MERGE, match, "{\"a\":2}");
    HF_AUTO(free) char *second = hf_strdup(hf_api_header(&t, "ETag"));
    patch(&t, 412, PATCH, match, "[{\"op\":\"test\",\"path\":\"/a\",\"value\":9}]");
    ck_assert_str_eq(hf_json_str(hf_api_problem(&t, "precondition_failed"), "currentEtag"), second);
    ck_assert_detail_has(&t, "If-Match");
    patch(&t, 200, MERGE, "If-Match: *", "{\"a\":3}");
    patch(&t, 412, MERGE, "If-None-Match: *", "{\"a\":4}");
    patch(&t, 400, MERGE, "If-Match: 1", "{\"a\":4}");
    patch(&t, 409, MERGE, "State-Epoch: 9", "{\"a\":4}");
    hf_api_problem(&t, "conflict");
    patch(&t, 200, MERGE, "State-Epoch: 1", "{\"a\":4}");
    hf_api_call(&t, 201, "POST", "/v1/systems/default/snapshots", NULL);
    hf_api_call(&t, 201, "POST", "/v1/systems/default/snapshots/latest/restore", "{}");
    patch(&t, 409, MERGE, "State-Epoch: 1", "{\"a\":5}");
    ck_assert_int_eq(hf_json_int(hf_api_problem(&t, "stale_epoch"), "epoch"), 2);
    /* printf '{"a":6}' | openssl dgst -sha256 -binary | base64 */
    const char *digest = "Content-Digest: sha-256=:l/+K561qflAsnfT3xfGduy1lOOuNTCbHrNMe9tN38BY=:";
    patch(&t, 400, MERGE, digest, "{\"a\":7}");
    hf_api_problem(&t, "digest_mismatch");
    patch(&t, 200, MERGE, digest, "{\"a\":6}");
    reads(&t, "{\"a\":6}");
    hf_api_call(&t, 204, "DELETE", "/v1/systems/default/components/a", NULL);
    refuse(&t, 404, "not_found", MERGE, "{\"a\":1}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(an_event_is_recorded_with_a_patch)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, NULL, "{}");
    patch(&t, 200, MERGE, "State-Event: large-reward", "{\"reward\":9}");
    hf_api_call(&t, 200, "GET", "/v1/systems/default/components/a/versions", NULL);
    const json_t *newest = json_array_get(json_object_get(t.json, "versions"), 0);
    ck_assert_int_eq(hf_json_int(newest, "version"), 2);
    ck_assert_str_eq(hf_json_str(newest, "event"), "large-reward");
    hf_api_stop(&t);
}
END_TEST

START_TEST(other_content_types_are_refused_and_the_right_ones_named)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, NULL, "{\"a\":1}");
    static const char *const types[] = {"Content-Type: application/json", "Content-Type: text/plain",
                                        "Content-Type: application/merge-patch+jsonx", "Content-Type:"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        patch(&t, 415, types[i], NULL, "{\"a\":2}");
        hf_api_problem(&t, "unsupported_media_type");
        ck_assert_str_eq(hf_api_header(&t, "Accept-Patch"),
                         "application/merge-patch+json, application/json-patch+json, "
                         "application/vnd.holdfast.rsync-delta");
    }
    patch(&t, 415, MERGE, "Content-Encoding: gzip", "{\"a\":2}");
    reads(&t, "{\"a\":1}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(states_that_a_patch_would_harm_are_refused)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, "Content-Type: text/plain", "{\"a\":1}");
    refuse(&t, 409, "conflict", MERGE, "{\"a\":2}");
    ck_assert_detail_has(&t, "text/plain");
    static const char *const states[] = {"{\"a\":1,\n\"b\":12345678901234567890}",
                                         "{\"a\":1,\n\"b\":0.12345678901234567891}", "{\"a\":1,\n\"b\":1e-999}"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        put(&t, 200, NULL, states[i]);
        refuse(&t, 409, "conflict", MERGE, "{\"a\":2}");
        ck_assert_detail_has(&t, "line 2");
        reads(&t, states[i]);
    }
    put(&t, 200, NULL, "{\"a\":1}");
    refuse(&t, 400, "invalid_request", MERGE, "{\"a\":12345678901234567890}");
    refuse(&t, 400, "invalid_request", MERGE, "{\"a\":");
    refuse(&t, 400, "invalid_request", MERGE, "");
    refuse(&t, 400, "invalid_request", PATCH, "{}");
    reads(&t, "{\"a\":1}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(the_changed_state_is_bounded_like_an_upload)
{
    struct hf_api_test t;
    HF_AUTO(free) char *setting = hf_format("PERSISTENCE_MAX_STATE_BYTES=%d", STATE_BYTES);
    start(&t, _i, setting);
    put(&t, 201, NULL, "{\"a\":\"0123456789\"}");
    refuse(&t, 413, "body_too_large", PATCH,
           "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/b\"},{\"op\":\"copy\",\"from\":\"\",\"path\":\"/c\"},"
           "{\"op\":\"copy\",\"from\":\"\",\"path\":\"/d\"},{\"op\":\"copy\",\"from\":\"\",\"path\":\"/e\"},"
           "{\"op\":\"copy\",\"from\":\"\",\"path\":\"/f\"},{\"op\":\"copy\",\"from\":\"\",\"path\":\"/g\"},"
           "{\"op\":\"copy\",\"from\":\"\",\"path\":\"/h\"},{\"op\":\"copy\",\"from\":\"\",\"path\":\"/i\"}]");
    ck_assert_int_eq(hf_json_int(t.json, "limit"), STATE_BYTES);
    reads(&t, "{\"a\":\"0123456789\"}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_patch_overtaken_again_and_again_gives_up)
{
    struct hf_api_test t;
    start(&t, _i, "HOLDFAST_FAULT=patch_before_save:error");
    put(&t, 201, NULL, "{\"a\":1}");
    refuse(&t, 409, "conflict", MERGE, "{\"a\":2}");
    ck_assert_detail_has(&t, "send it again");
    reads(&t, "{\"a\":1}");
    hf_api_stop(&t);
}
END_TEST

struct writer {
    pthread_t thread;
    int port, number, done;
};

static void *change_often(void *context)
{
    struct writer *writer = context;
    struct hf_client *client = hf_client_new(writer->port);
    for (int i = 0; i < CHANGES; i++) {
        bool merge = i % 2 == 0;
        HF_AUTO(free)
        char *body = merge ? hf_format("{\"c%d\":%d}", writer->number, i + 1)
                           : hf_format("[{\"op\":\"test\",\"path\":\"/c%d\",\"value\":%d},"
                                       "{\"op\":\"replace\",\"path\":\"/c%d\",\"value\":%d}]",
                                       writer->number, i, writer->number, i + 1);
        struct hf_answer answer;
        if (hf_client_call(client, "PATCH", STATE, body, merge ? MERGE : PATCH, &answer) && answer.status == 200)
            writer->done++;
        hf_answer_done(&answer);
    }
    hf_client_free(client);
    return NULL;
}

START_TEST(no_patch_of_many_clients_is_lost)
{
    struct hf_api_test t;
    struct writer writers[CLIENT_COUNT];
    start(&t, _i, NULL);
    put(&t, 201, NULL, "{\"c0\":0,\"c1\":0,\"c2\":0,\"c3\":0,\"c4\":0,\"c5\":0,\"c6\":0,\"c7\":0}");
    for (int i = 0; i < CLIENT_COUNT; i++) {
        writers[i] = (struct writer){.port = hf_test_server_port(t.server), .number = i};
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, change_often, &writers[i]), 0);
    }
    for (int i = 0; i < CLIENT_COUNT; i++)
        pthread_join(writers[i].thread, NULL);
    for (int i = 0; i < CLIENT_COUNT; i++)
        ck_assert_int_eq(writers[i].done, CHANGES);
    reads(&t, "{\"c0\":50,\"c1\":50,\"c2\":50,\"c3\":50,\"c4\":50,\"c5\":50,\"c6\":50,\"c7\":50}");
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), "401");
    hf_api_stop(&t);
}
END_TEST

static void *patch_once(void *context)
{
    struct writer *writer = context;
    struct hf_client *client = hf_client_new(writer->port);
    struct hf_answer answer;
    if (hf_client_call(client, "PATCH", STATE, "{\"mine\":1}", MERGE, &answer))
        writer->done = (int)answer.status;
    hf_answer_done(&answer);
    hf_client_free(client);
    return NULL;
}

/* Sets "theirs" as careful writers do: on the condition that nobody else wrote since it was read. */
static void set_theirs(struct hf_api_test *t, int value)
{
    for (;;) {
        hf_api_call(t, 200, "GET", STATE, NULL);
        HF_AUTO(free) char *match = hf_format("If-Match: %s", hf_api_header(t, "ETag"));
        HF_AUTO(json) json_t *state = json_deep_copy(t->json);
        json_object_set_new(state, "theirs", json_integer(value));
        HF_AUTO(free) char *text = hf_json_text(state);
        struct hf_answer answer;
        ck_assert(hf_client_call(t->client, "PUT", STATE, text, match, &answer));
        long status = answer.status;
        hf_answer_done(&answer);
        if (status == 200)
            return;
        ck_assert_int_eq(status, 412);
    }
}

/* The fault point holds the patch between reading and saving, so that an upload comes in between; whenever it
 * comes, neither may undo the other. */
START_TEST(a_patch_is_made_again_on_what_another_wrote_meanwhile)
{
    struct hf_api_test t;
    start(&t, _i, "HOLDFAST_FAULT=patch_before_save:sleep=300");
    put(&t, 201, NULL, "{\"theirs\":0}");
    struct writer writer = {.port = hf_test_server_port(t.server)};
    ck_assert_int_eq(pthread_create(&writer.thread, NULL, patch_once, &writer), 0);
    const struct timespec pause = {0, 100000000};
    nanosleep(&pause, NULL);
    set_theirs(&t, 1);
    pthread_join(writer.thread, NULL);
    ck_assert_int_eq(writer.done, 200);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    ck_assert_int_eq(hf_json_int(t.json, "theirs"), 1);
    ck_assert_int_eq(hf_json_int(t.json, "mine"), 1);
    hf_api_stop(&t);
}
END_TEST

#define CROWD 40 /* more than wait for one component: 32, and one at work */

struct patcher {
    pthread_t thread;
    int port, number;
    long status;
    char code[40];
    bool has_retry_after;
};

static void *patch_own_member(void *context)
{
    struct patcher *patcher = context;
    struct hf_client *client = hf_client_new(patcher->port);
    HF_AUTO(free) char *body = hf_format("{\"m%d\":1}", patcher->number);
    struct hf_answer answer;
    struct hf_error err;
    ck_assert(hf_client_call(client, "PATCH", STATE, body, MERGE, &answer));
    patcher->status = answer.status;
    HF_AUTO(json) json_t *problem = answer.status == 200 ? NULL : hf_json_parse(answer.body, strlen(answer.body), &err);
    if (problem)
        snprintf(patcher->code, sizeof(patcher->code), "%s", hf_json_str(problem, "code"));
    patcher->has_retry_after = hf_answer_header(&answer, "Retry-After") != NULL;
    hf_answer_done(&answer);
    hf_client_free(client);
    return NULL;
}

/* While many patches of one state are held up by the fault point, for longer in all than a client waits for an answer,
 * another request that needs a worker is answered. Each patch that is refused, because too many wait or its time is up
 * before its turn, changed nothing. */
START_TEST(patches_that_wait_for_each_other_keep_no_other_request_waiting)
{
    static const char *const environment[] = {"HOLDFAST_FAULT=patch_before_save:sleep=1000",
                                              "PERSISTENCE_REQUEST_TIMEOUT=6000", "PERSISTENCE_WORKERS=4", NULL};
    const struct hf_test_server_options options = {.postgres = _i != 0, .environment = environment};
    static struct patcher patchers[CROWD];
    struct hf_api_test t;
    int stored = 0, refused = 0;
    hf_api_start(&t, &options);
    put(&t, 201, NULL, "{}");
    for (int i = 0; i < CROWD; i++) {
        patchers[i] = (struct patcher){.port = hf_test_server_port(t.server), .number = i};
        ck_assert_int_eq(pthread_create(&patchers[i].thread, NULL, patch_own_member, &patchers[i]), 0);
    }
    const struct timespec pause = {0, 200000000};
    for (int i = 0; i < 10; i++) {
        nanosleep(&pause, NULL);
        hf_api_call(&t, 200, "GET", "/v1/systems/default/components/a/versions", NULL);
    }
    for (int i = 0; i < CROWD; i++)
        pthread_join(patchers[i].thread, NULL);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    for (int i = 0; i < CROWD; i++) {
        HF_AUTO(free) char *name = hf_format("m%d", i);
        bool is_there = json_object_get(t.json, name) != NULL;
        if (patchers[i].status == 200) {
            ck_assert_msg(is_there, "%s", name);
            stored++;
            continue;
        }
        ck_assert_int_eq(patchers[i].status, 503);
        ck_assert(patchers[i].has_retry_after);
        if (strcmp(patchers[i].code, "outcome_unknown") == 0)
            continue;
        ck_assert_str_eq(patchers[i].code, "overloaded");
        ck_assert_msg(!is_there, "%s", name);
        refused++;
    }
    ck_assert_int_gt(stored, 0);
    ck_assert_int_ge(refused, CROWD - 33);
    patch(&t, 200, MERGE, NULL, "{\"last\":1}"); /* the turn was passed on by those that had been answered */
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_merge_patch_changes_what_it_names_and_keeps_the_rest,
                                  a_json_patch_is_applied_whole_or_not_at_all,
                                  a_patch_that_changes_nothing_makes_no_version,
                                  numbers_that_a_patch_does_not_name_keep_their_value,
                                  conditions_hold_for_patches,
                                  an_event_is_recorded_with_a_patch,
                                  other_content_types_are_refused_and_the_right_ones_named,
                                  states_that_a_patch_would_harm_are_refused,
                                  the_changed_state_is_bounded_like_an_upload,
                                  a_patch_overtaken_again_and_again_gives_up,
                                  no_patch_of_many_clients_is_lost,
                                  a_patch_is_made_again_on_what_another_wrote_meanwhile,
                                  patches_that_wait_for_each_other_keep_no_other_request_waiting};
    return hf_api_run_on_both("state_patch", tests, sizeof(tests) / sizeof(tests[0]));
}
