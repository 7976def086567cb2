#include "tests/support/api.h"

#include "core/auto.h"
#include "tests/support/postgres.h"

#include <string.h>
#include <unistd.h>

#define HEADERS_MAX 24
#define NAP_MS      10
#define NAPS_MAX    6000

void hf_api_start(struct hf_api_test *test, const struct hf_test_server_options *options)
{
    *test = (struct hf_api_test){.server = hf_test_server_start(options)};
    test->client = hf_client_new(hf_test_server_port(test->server));
    test->openapi = hf_openapi_load(test->client);
}

void hf_api_reconnect(struct hf_api_test *test)
{
    hf_client_free(test->client);
    test->client = hf_client_new(hf_test_server_port(test->server));
}

void hf_api_stop(struct hf_api_test *test)
{
    json_decref(test->json);
    hf_answer_done(&test->answer);
    hf_openapi_free(test->openapi);
    hf_client_free(test->client);
    hf_test_server_free(test->server);
}

json_t *hf_api_call(struct hf_api_test *test, int status, const char *method, const char *path, const char *body)
{
    const char *const headers[] = {body ? "Content-Type: application/json" : NULL, NULL};
    return hf_api_send(test, status, method, path, headers, body, body ? strlen(body) : 0);
}

json_t *hf_api_send(struct hf_api_test *test, int status, const char *method, const char *path,
                    const char *const headers[], const void *body, size_t body_bytes)
{
    const char *all[HEADERS_MAX] = {NULL};
    int count = 0;
    for (int i = 0; headers && headers[i] && count < HEADERS_MAX - 2; i++)
        all[count++] = headers[i];
    HF_AUTO(free) char *authorization = hf_format("Authorization: Bearer %s", test->token ? test->token : "");
    if (test->token)
        all[count++] = authorization;
    const struct hf_client_request request = {
        .method = method, .path = path, .headers = all, .body = body, .body_bytes = body_bytes};
    hf_answer_done(&test->answer);
    json_decref(test->json);
    test->json = NULL;
    ck_assert_msg(hf_client_send(test->client, &request, &test->answer), "%s %.200s: no answer", method, path);
    ck_assert_msg(test->answer.status == status, "%s %.200s: status %ld, expected %d: %.2000s", method, path,
                  test->answer.status, status, test->answer.body ? test->answer.body : "");
    ck_assert_msg(hf_answer_header(&test->answer, "X-Request-Id") != NULL, "%s %.200s: no X-Request-Id", method, path);
    HF_AUTO(free) char *fault = hf_openapi_find_fault(test->openapi, method, path, &test->answer);
    ck_assert_msg(fault == NULL, "%s %.200s: %s", method, path, fault);
    const char *type = hf_answer_header(&test->answer, "Content-Type");
    if (type && strstr(type, "json") && test->answer.body_bytes)
        test->json = json_loadb(test->answer.body, test->answer.body_bytes, JSON_DECODE_ANY, NULL);
    return test->json;
}

void hf_api_put_state(struct hf_api_test *test, const char *system_path, const char *component, const char *text)
{
    HF_AUTO(free) char *path = hf_format("%s/components/%s/state", system_path, component);
    struct hf_client_request request = {.method = "PUT", .path = path, .body = text, .body_bytes = strlen(text)};
    struct hf_answer answer;
    ck_assert(hf_client_send(test->client, &request, &answer));
    ck_assert_msg(answer.status == 200 || answer.status == 201, "%s", answer.body);
    hf_answer_done(&answer);
}

json_t *hf_api_refused(struct hf_api_test *test, int status, const char *code, const char *method, const char *path,
                       const char *body)
{
    hf_api_call(test, status, method, path, body);
    return hf_api_problem(test, code);
}

void hf_api_nap(int *naps)
{
    ck_assert_msg((*naps)++ < NAPS_MAX, "what the test waits for does not come");
    usleep(NAP_MS * 1000);
}

json_t *hf_api_problem(struct hf_api_test *test, const char *code)
{
    ck_assert_str_eq(hf_api_header(test, "Content-Type"), "application/problem+json");
    ck_assert_str_eq(hf_json_str(test->json, "code"), code);
    ck_assert_int_eq(hf_json_int(test->json, "status"), test->answer.status);
    ck_assert_str_eq(hf_json_str(test->json, "requestId"), hf_api_header(test, "X-Request-Id"));
    return test->json;
}

int hf_api_run_on_both(const char *suite_name, const TTest *const tests[], int count)
{
    Suite *suite = suite_create(suite_name);
    TCase *cases = tcase_create(suite_name);
    tcase_set_timeout(cases, 300);
    for (int i = 0; i < count; i++)
        tcase_add_loop_test(cases, tests[i], 0, 2);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    hf_test_postgres_prepare();
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

const char *hf_api_header(struct hf_api_test *test, const char *name)
{
    const char *value = hf_answer_header(&test->answer, name);
    ck_assert_msg(value != NULL, "the answer has no header %s:\n%s", name, test->answer.headers);
    return value;
}

long long hf_json_int(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    ck_assert_msg(json_is_integer(value), "field %s is missing or no integer", name);
    return json_integer_value(value);
}

const char *hf_json_str(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    ck_assert_msg(json_is_string(value), "field %s is missing or no string", name);
    return json_string_value(value);
}
