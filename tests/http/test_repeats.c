/* Recoveries with an Idempotency-Key: what is sent again gets what the first one made. On SQLite and PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/json.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM     "/v1/systems/shop"
#define RECOVERIES SYSTEM "/recoveries"
#define LATEST     "{\"source\":\"snapshot\",\"snapshot\":\"latest\"}"
#define AT_ONCE    8

static struct hf_api_test t;

static void put(const char *component, const char *text)
{
    hf_api_put_state(&t, SYSTEM, component, text);
}

/* A snapshot with a in it, and a changed since. */
static void start_with(int postgres, const char *environment)
{
    const char *const variables[] = {environment, NULL};
    hf_api_start(&t, &(struct hf_test_server_options){.postgres = postgres, .environment = variables});
    put("a", "1");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{}");
    put("a", "2");
}

static void start(int postgres)
{
    start_with(postgres, NULL);
}

static void post(int status, const char *key, const char *path, const char *body)
{
    HF_AUTO(free) char *line = hf_format("Idempotency-Key: %s", key);
    const char *const headers[] = {"Content-Type: application/json", line, NULL};
    hf_api_send(&t, status, "POST", path, headers, body, strlen(body));
}

/* The id of the recovery. */
static char *made(int status, const char *key, const char *path, const char *body)
{
    post(status, key, path, body);
    return hf_strdup(hf_json_str(t.json, "id"));
}

static void refuse(int status, const char *code, const char *key, const char *path, const char *body)
{
    post(status, key, path, body);
    hf_api_problem(&t, code);
}

static void expect_state(const char *component, const char *text)
{
    HF_AUTO(free) char *path = hf_format(SYSTEM "/components/%s/state", component);
    hf_api_call(&t, 200, "GET", path, NULL);
    ck_assert_str_eq(t.answer.body, text);
}

static void expect_system(int epoch, size_t recoveries)
{
    hf_api_call(&t, 200, "GET", SYSTEM, NULL);
    ck_assert_int_eq(hf_json_int(t.json, "epoch"), epoch);
    hf_api_call(&t, 200, "GET", RECOVERIES, NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "recoveries")), recoveries);
}

START_TEST(a_repeated_restore_gets_the_first_and_restores_nothing)
{
    start(_i);
    HF_AUTO(free) char *first = made(201, "k", RECOVERIES, LATEST);
    HF_AUTO(free) char *location = hf_strdup(hf_api_header(&t, "Location"));
    expect_state("a", "1");
    put("a", "3"); /* what came after it is not restored away */
    put("b", "1");
    HF_AUTO(free) char *again = made(201, "k", RECOVERIES, LATEST);
    ck_assert_str_eq(again, first);
    ck_assert_str_eq(hf_api_header(&t, "Location"), location);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "applied");
    ck_assert_int_eq(hf_json_int(t.json, "epoch"), 2);
    expect_state("a", "3");
    expect_state("b", "1");
    expect_system(2, 1);
    HF_AUTO(free) char *other = made(201, "k2", RECOVERIES, LATEST);
    ck_assert_str_ne(other, first);
    expect_state("a", "1");
    expect_system(3, 2);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_repeated_start_gets_the_first_as_it_stands_by_then)
{
    start(_i);
    HF_AUTO(free) char *first = made(201, "k", RECOVERIES, "{\"source\":\"head\"}");
    HF_AUTO(free) char *report = hf_format(RECOVERIES "/%s/components/a", first);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "pending");
    put("b", "1"); /* is no part of it */
    HF_AUTO(free) char *second = made(201, "k", RECOVERIES, "{\"source\":\"head\"}");
    ck_assert_str_eq(second, first);
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "progress"), "total"), 1);
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "progress"), "pending"), 1);
    hf_api_call(&t, 200, "PUT", report, "{\"status\":\"restored\"}");
    HF_AUTO(free) char *third = made(201, "k", RECOVERIES, "{\"source\":\"head\"}");
    ck_assert_str_eq(third, first);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "completed");
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "progress"), "restored"), 1);
    expect_system(1, 1);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_plan_and_its_application_are_made_once_each)
{
    start(_i);
    static const char dry[] = "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"dryRun\":true}";
    HF_AUTO(free) char *plan = made(201, "plan", RECOVERIES, dry);
    HF_AUTO(free) char *same = made(201, "plan", RECOVERIES, dry);
    ck_assert_str_eq(same, plan);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "planned");
    HF_AUTO(free) char *apply = hf_format(RECOVERIES "/%s/apply", plan);
    refuse(422, "idempotency_key_reused", "plan", apply, "{}");
    HF_AUTO(free) char *first = made(200, "apply", apply, "{\"reason\":\"looks right\"}");
    put("a", "3");
    HF_AUTO(free) char *again = made(200, "apply", apply, "{\"reason\":\"looks right\"}");
    ck_assert_str_eq(first, plan);
    ck_assert_str_eq(again, plan);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "applied");
    ck_assert_str_eq(hf_json_str(t.json, "reason"), "looks right");
    expect_state("a", "3");
    refuse(409, "conflict", "other", apply, "{}");
    hf_api_refused(&t, 409, "conflict", "POST", apply, "{}");
    expect_system(2, 1);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_key_serves_one_request_of_its_system)
{
    static const char batch[] = "{\"states\":[{\"component\":\"c\",\"state\":1}]}";
    start(_i);
    hf_api_call(&t, 200, "GET", SYSTEM "/snapshots/latest", NULL);
    HF_AUTO(free) char *restore = hf_format(SYSTEM "/snapshots/%s/restore", hf_json_str(t.json, "id"));
    HF_AUTO(free) char *first = made(201, "k", restore, "{}");
    put("a", "3");
    HF_AUTO(free) char *again = made(201, "k", restore, "{}");
    ck_assert_str_eq(again, first);
    refuse(422, "idempotency_key_reused", "k", restore, "{\"dryRun\":true}");
    refuse(422, "idempotency_key_reused", "k", SYSTEM "/snapshots/latest/restore", "{}");
    refuse(422, "idempotency_key_reused", "k", RECOVERIES, LATEST);
    refuse(422, "idempotency_key_reused", "k", SYSTEM "/states", batch);
    post(200, "batch", SYSTEM "/states", batch);
    refuse(422, "idempotency_key_reused", "batch", RECOVERIES, "{\"source\":\"head\"}");
    expect_state("a", "3");
    expect_system(2, 1);
    hf_api_call(&t, 201, "PUT", "/v1/systems/other", "{}");
    HF_AUTO(free) char *other = made(201, "k", "/v1/systems/other/recoveries", "{\"source\":\"head\"}");
    ck_assert_str_ne(other, first);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_request_that_failed_leaves_no_key)
{
    hf_api_start(&t, &(struct hf_test_server_options){.postgres = _i});
    refuse(404, "not_found", "k", RECOVERIES, LATEST); /* there is no system */
    put("a", "1");
    refuse(404, "not_found", "k", RECOVERIES, LATEST); /* there is no snapshot */
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{}");
    put("a", "2");
    free(made(201, "k", RECOVERIES, LATEST));
    expect_state("a", "1");
    expect_system(2, 1);
    hf_api_stop(&t);
}
END_TEST

START_TEST(keys_that_are_none_are_refused)
{
    char long_key[202];
    memset(long_key, 'k', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = '\0';
    start(_i);
    HF_AUTO(free) char *plan = made(201, long_key + 1, RECOVERIES, "{\"source\":\"head\",\"dryRun\":true}");
    HF_AUTO(free) char *apply = hf_format(RECOVERIES "/%s/apply", plan);
    const char *const paths[] = {RECOVERIES, SYSTEM "/snapshots/latest/restore", apply};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        refuse(400, "invalid_request", long_key, paths[i], i ? "{}" : LATEST);
        refuse(400, "invalid_request", "two words", paths[i], i ? "{}" : LATEST);
    }
    expect_system(1, 1);
    hf_api_stop(&t);
}
END_TEST

struct sender {
    pthread_t thread;
    int port;
    struct hf_answer answer;
};

static void *send_restore(void *context)
{
    struct sender *sender = context;
    static const char *const headers[] = {"Content-Type: application/json", "Idempotency-Key: k", NULL};
    const struct hf_client_request request = {
        .method = "POST", .path = RECOVERIES, .headers = headers, .body = LATEST, .body_bytes = strlen(LATEST)};
    struct hf_client *client = hf_client_new(sender->port);
    hf_client_send(client, &request, &sender->answer);
    hf_client_free(client);
    return NULL;
}

START_TEST(many_of_the_same_at_once_make_one)
{
    start_with(_i, "HOLDFAST_FAULT=recovery_before_row:sleep=300"); /* the others come meanwhile */
    struct sender senders[AT_ONCE] = {0};
    HF_AUTO(free) char *id = NULL;
    for (int i = 0; i < AT_ONCE; i++) {
        senders[i].port = hf_test_server_port(t.server);
        ck_assert_int_eq(pthread_create(&senders[i].thread, NULL, send_restore, &senders[i]), 0);
    }
    for (int i = 0; i < AT_ONCE; i++) {
        struct hf_error err;
        pthread_join(senders[i].thread, NULL);
        ck_assert_msg(senders[i].answer.status == 201, "%ld %s", senders[i].answer.status, senders[i].answer.body);
        HF_AUTO(json)
        json_t *recovery = hf_json_parse(senders[i].answer.body, senders[i].answer.body_bytes, &err);
        if (!id)
            id = hf_strdup(hf_json_str(recovery, "id"));
        ck_assert_str_eq(hf_json_str(recovery, "id"), id);
        hf_answer_done(&senders[i].answer);
    }
    expect_system(2, 1);
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_key_serves_one_request_of_its_system,
                                  a_plan_and_its_application_are_made_once_each,
                                  a_repeated_restore_gets_the_first_and_restores_nothing,
                                  a_repeated_start_gets_the_first_as_it_stands_by_then,
                                  a_request_that_failed_leaves_no_key,
                                  keys_that_are_none_are_refused,
                                  many_of_the_same_at_once_make_one};
    return hf_api_run_on_both("repeats", tests, (int)(sizeof(tests) / sizeof(tests[0])));
}
