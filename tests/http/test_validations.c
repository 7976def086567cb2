/* Validation as an operator sees it. On SQLite and on PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "tests/support/engine.h"

#include <string.h>
#include <unistd.h>

#define SYSTEM "/v1/systems/default"

static char *full_path; /* of the snapshot under test */

static void start(struct hf_api_test *t, int postgres)
{
    static const char *const environment[] = {"PERSISTENCE_ENABLE_STATE_VALIDATION=false", NULL};
    const struct hf_test_server_options options = {.postgres = postgres != 0, .environment = environment};
    hf_api_start(t, &options);
    hf_api_call(t, 201, "PUT", SYSTEM "/components/a/state", "{\"a\":\"first\"}");
    hf_api_call(t, 201, "PUT", SYSTEM "/components/b/state", "{\"b\":\"first\"}");
    hf_api_call(t, 201, "POST", SYSTEM "/snapshots", "{}");
    full_path = hf_format(SYSTEM "/snapshots/%s", hf_json_str(t->json, "id"));
}

static void stop(struct hf_api_test *t)
{
    free(full_path);
    hf_api_stop(t);
}

/* The file of the snapshot under test. */
static char *file_of(struct hf_api_test *t)
{
    return hf_format("%s/data/system-state-backups/default/%s.snapshot", hf_test_server_directory(t->server),
                     strrchr(full_path, '/') + 1);
}

static const json_t *validate(struct hf_api_test *t, const char *body)
{
    HF_AUTO(free) char *path = hf_format("%s/validate", full_path);
    return hf_api_call(t, 200, "POST", path, body);
}

static const char *status_of(const json_t *validation, const char *name)
{
    size_t index;
    json_t *check;
    json_array_foreach(json_object_get(validation, "checks"), index, check)
    {
        if (strcmp(hf_json_str(check, "name"), name) == 0)
            return hf_json_str(check, "status");
    }
    ck_abort_msg("there is no check %s", name);
}

static const json_t *look(struct hf_api_test *t)
{
    return json_object_get(hf_api_call(t, 200, "GET", full_path, NULL), "validation");
}

START_TEST(a_validation_answers_with_its_checks_and_is_remembered)
{
    struct hf_api_test t;
    start(&t, _i);
    const json_t *before = look(&t);
    ck_assert_str_eq(hf_json_str(before, "status"), "pending");
    ck_assert(json_is_null(json_object_get(before, "checks")));
    ck_assert(json_is_null(json_object_get(before, "lost")));
    ck_assert(json_is_null(json_object_get(before, "lostAll")));
    hf_api_call(&t, 200, "GET", SYSTEM "/status", NULL);
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "validation"), "pending"), 1);
    ck_assert(json_is_null(json_object_get(json_object_get(t.json, "validation"), "lastValidatedAt")));

    const json_t *result = validate(&t, NULL);
    ck_assert_str_eq(hf_json_str(result, "status"), "valid");
    ck_assert_str_eq(hf_json_str(result, "snapshot"), strrchr(full_path, '/') + 1);
    ck_assert(json_number_value(json_object_get(result, "qualityScore")) == 1);
    ck_assert_int_eq(hf_json_int(result, "blobsChecked"), 2);
    ck_assert_str_eq(status_of(result, "blobs"), "passed");
    ck_assert_str_eq(status_of(result, "database"), "passed");
    ck_assert_str_eq(status_of(result, "signature"), "skipped");
    HF_AUTO(free) char *checked_at = hf_strdup(hf_json_str(result, "checkedAt"));

    const json_t *after = look(&t);
    ck_assert_str_eq(hf_json_str(after, "status"), "valid");
    ck_assert_str_eq(hf_json_str(after, "checkedAt"), checked_at);
    ck_assert_uint_eq(json_array_size(json_object_get(after, "checks")), 12);
    hf_api_call(&t, 200, "GET", SYSTEM "/status", NULL);
    const json_t *all = json_object_get(t.json, "validation");
    ck_assert_str_eq(hf_json_str(all, "lastValidatedAt"), checked_at);
    ck_assert_int_eq(hf_json_int(all, "pending"), 0);
    hf_api_call(&t, 200, "GET", SYSTEM "/snapshots", NULL);
    const json_t *listed = json_array_get(json_object_get(t.json, "snapshots"), 0);
    ck_assert_ptr_null(json_object_get(json_object_get(listed, "validation"), "checks"));
    stop(&t);
}
END_TEST

START_TEST(what_is_damaged_is_healed_and_told)
{
    struct hf_api_test t;
    start(&t, _i);
    HF_AUTO(free) char *file = file_of(&t);
    hf_test_damage_content(file, "{\"a\":\"first\"}");
    const json_t *result = validate(&t, "{\"deep\":false}");
    ck_assert_str_eq(hf_json_str(result, "status"), "healed");
    ck_assert_str_eq(status_of(result, "blobs"), "healed");
    ck_assert_int_eq(hf_json_int(result, "contentsHealed"), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(result, "lost")), 0);
    ck_assert_str_eq(hf_json_str(look(&t), "status"), "valid");
    stop(&t);
}
END_TEST

/* Of the incremental nothing is left, not even its list. The second full needs what only its file holds; but the
 * database still has that, so it is damaged and has lost nothing. */
START_TEST(what_is_lost_is_listed)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 200, "PUT", SYSTEM "/components/b/state", "{\"b\":\"second\"}");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"incremental\"}");
    HF_AUTO(free) char *incremental = hf_strdup(hf_json_str(t.json, "id"));
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{}");
    free(full_path);
    full_path = hf_format(SYSTEM "/snapshots/%s", hf_json_str(t.json, "id"));
    hf_test_server_lose_incremental(t.server, incremental);
    const json_t *result = validate(&t, NULL);
    ck_assert_str_eq(hf_json_str(result, "status"), "damaged");
    ck_assert(json_is_false(json_object_get(result, "lostAll")));
    ck_assert_str_eq(status_of(result, "json"), "skipped");
    const json_t *after = look(&t);
    ck_assert_str_eq(hf_json_str(after, "status"), "damaged");
    ck_assert_uint_eq(json_array_size(json_object_get(after, "lost")), 0);
    free(full_path);
    full_path = hf_format(SYSTEM "/snapshots/%s", incremental);
    result = validate(&t, NULL);
    ck_assert_str_eq(hf_json_str(result, "status"), "damaged");
    ck_assert(json_is_true(json_object_get(result, "lostAll")));
    bool told = false;
    for (int naps = 0; !told; hf_api_nap(&naps)) { /* events are written soon after */
        hf_api_call(&t, 200, "GET", SYSTEM "/events?severity=error", NULL);
        told = strstr(t.answer.body, "\"lostAll\":true") != NULL;
    }
    hf_api_call(&t, 200, "GET", "/v1/status", NULL);
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "validation"), "damaged"), 2);
    stop(&t);
}
END_TEST

START_TEST(a_request_that_is_wrong_validates_nothing)
{
    struct hf_api_test t;
    start(&t, _i);
    HF_AUTO(free) char *path = hf_format("%s/validate", full_path);
    hf_api_refused(&t, 400, "invalid_request", "POST", path, "{\"deep\":1}");
    hf_api_refused(&t, 400, "invalid_request", "POST", path, "{\"depp\":true}");
    hf_api_refused(&t, 404, "not_found", "POST", SYSTEM "/snapshots/full-20200101T000000Z-1/validate", NULL);
    hf_api_refused(&t, 404, "not_found", "POST", "/v1/systems/nobody/snapshots/latest/validate", NULL);
    ck_assert_str_eq(hf_json_str(look(&t), "status"), "pending");
    hf_api_call(&t, 200, "POST", SYSTEM "/snapshots/latest/validate", NULL);
    ck_assert_str_eq(hf_json_str(look(&t), "status"), "valid");
    stop(&t);
}
END_TEST

#ifdef HF_FAULTS
static void start_slow(struct hf_api_test *t, int postgres)
{
    static const char *const environment[] = {"PERSISTENCE_ENABLE_STATE_VALIDATION=false",
                                              "HOLDFAST_FAULT=validation_slow:sleep=7000",
                                              "PERSISTENCE_REQUEST_TIMEOUT=5000", "PERSISTENCE_WORKERS=2", NULL};
    const struct hf_test_server_options options = {.postgres = postgres != 0, .environment = environment};
    hf_api_start(t, &options);
    hf_api_call(t, 201, "PUT", SYSTEM "/components/a/state", "{\"a\":\"first\"}");
    hf_api_call(t, 201, "POST", SYSTEM "/snapshots", "{}");
    full_path = hf_format(SYSTEM "/snapshots/%s", hf_json_str(t->json, "id"));
}

static int begin_validation(struct hf_api_test *t, const char *path)
{
    int fd = hf_raw_connect(hf_test_server_port(t->server));
    HF_AUTO(free)
    char *request = hf_format("POST %s/validate HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", path);
    ck_assert(hf_raw_send_text(fd, request));
    return fd;
}

/* All of its answer, which ends with a line feed after the JSON. Owns: free(). */
static char *end_validation(int fd)
{
    char *answer = hf_raw_read(fd, "}\n", 1, true);
    close(fd);
    return answer;
}

START_TEST(validations_may_take_long_are_shared_and_keep_nobody_waiting)
{
    enum { COUNT = 8 };
    struct hf_api_test t;
    int fds[COUNT];
    start_slow(&t, _i);
    for (int i = 0; i < COUNT; i++)
        fds[i] = begin_validation(&t, full_path);
    for (int i = 0; i < 20; i++) {
        hf_api_call(&t, 200, "GET", SYSTEM "/snapshots", NULL);
        hf_api_call(&t, 200, "GET", SYSTEM "/components/a/state", NULL);
        hf_api_call(&t, 200, "GET", SYSTEM "/status", NULL);
    }
    for (int i = 0; i < COUNT; i++) {
        HF_AUTO(free) char *answer = end_validation(fds[i]);
        ck_assert_msg(strncmp(answer, "HTTP/1.1 200", 12) == 0, "%s", answer);
        ck_assert_ptr_nonnull(strstr(answer, "\"status\":\"valid\""));
    }
    hf_api_call(&t, 200, "GET", "/metrics", NULL);
    const char *counted = strstr(t.answer.body, "holdfast_validations_total{status=\"valid\"} ");
    ck_assert_ptr_nonnull(counted);
    ck_assert_int_lt(atoi(strchr(counted, ' ')), COUNT);
    stop(&t);
}
END_TEST

START_TEST(more_validations_of_a_system_than_may_wait_are_refused)
{
    enum { COUNT = 6 };
    struct hf_api_test t;
    int fds[COUNT], judged = 0, refused = 0;
    char *paths[COUNT] = {NULL};
    start_slow(&t, _i);
    for (int i = 0; i < COUNT; i++) {
        hf_api_call(&t, 200, "PUT", SYSTEM "/components/a/state", i % 2 ? "{\"a\":1}" : "{\"a\":2}");
        hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{}");
        paths[i] = hf_format(SYSTEM "/snapshots/%s", hf_json_str(t.json, "id"));
    }
    for (int i = 0; i < COUNT; i++)
        fds[i] = begin_validation(&t, paths[i]);
    for (int i = 0; i < COUNT; i++) {
        HF_AUTO(free) char *answer = end_validation(fds[i]);
        if (strncmp(answer, "HTTP/1.1 200", 12) == 0) {
            judged++;
            continue;
        }
        refused++;
        ck_assert_msg(strstr(answer, "\"code\":\"overloaded\"") != NULL, "%s", answer);
        ck_assert_ptr_nonnull(strstr(answer, "Retry-After"));
        ck_assert_ptr_nonnull(strstr(answer, "a validation of system default is under way"));
    }
    ck_assert_int_ge(judged, 3);
    ck_assert_int_ge(refused, 1);
    for (int i = 0; i < COUNT; i++)
        free(paths[i]);
    stop(&t);
}
END_TEST
#endif

int main(void)
{
    const TTest *const tests[] = {a_validation_answers_with_its_checks_and_is_remembered,
                                  what_is_damaged_is_healed_and_told,
                                  what_is_lost_is_listed,
#ifdef HF_FAULTS
                                  validations_may_take_long_are_shared_and_keep_nobody_waiting,
                                  more_validations_of_a_system_than_may_wait_are_refused,
#endif
                                  a_request_that_is_wrong_validates_nothing};
    return hf_api_run_on_both("validations", tests, (int)(sizeof(tests) / sizeof(tests[0])));
}
