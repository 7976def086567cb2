/* Restore drills and recoverability as an operator sees them. On SQLite and on PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "tests/support/engine.h"

#include <string.h>

#define SYSTEM "/v1/systems/default"

static void start(struct hf_api_test *t, int postgres)
{
    static const char *const environment[] = {"PERSISTENCE_ENABLE_STATE_VALIDATION=false",
                                              "PERSISTENCE_SCRUB_INTERVAL=0", NULL};
    const struct hf_test_server_options options = {.postgres = postgres != 0, .environment = environment};
    hf_api_start(t, &options);
    hf_api_call(t, 201, "PUT", SYSTEM "/components/a/state", "{\"a\":\"first\"}");
    hf_api_call(t, 201, "PUT", SYSTEM "/components/b/state", "{\"b\":\"first\"}");
}

static const json_t *recoverability(struct hf_api_test *t, const char *path)
{
    const json_t *figures = json_object_get(hf_api_call(t, 200, "GET", path, NULL), "recoverability");
    ck_assert(json_is_object(figures));
    return figures;
}

START_TEST(a_drill_answers_with_what_came_of_it_and_is_listed)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 201, "POST", SYSTEM "/drills", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "skipped");
    ck_assert(json_is_null(json_object_get(t.json, "snapshot")));
    HF_AUTO(free)
    char *snapshot = hf_strdup(hf_json_str(hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{}"), "id"));
    hf_api_call(&t, 201, "POST", SYSTEM "/drills", "{}");
    ck_assert_msg(strcmp(hf_json_str(t.json, "status"), "passed") == 0, "%s", t.answer.body);
    ck_assert_str_eq(hf_json_str(t.json, "snapshot"), snapshot);
    ck_assert_str_eq(hf_json_str(t.json, "system"), "default");
    ck_assert_int_eq(hf_json_int(t.json, "components"), 2);
    ck_assert_int_eq(hf_json_int(t.json, "bytes"), 26);
    ck_assert_int_gt(hf_json_int(t.json, "durationMs"), 0);
    HF_AUTO(free) char *id = hf_strdup(hf_json_str(t.json, "id"));

    const json_t *drills = json_object_get(hf_api_call(&t, 200, "GET", SYSTEM "/drills?limit=1", NULL), "drills");
    ck_assert_uint_eq(json_array_size(drills), 1);
    ck_assert_str_eq(hf_json_str(json_array_get(drills, 0), "id"), id);
    HF_AUTO(free) char *next = hf_format(SYSTEM "/drills?limit=1&cursor=%s", hf_json_str(t.json, "nextCursor"));
    drills = json_object_get(hf_api_call(&t, 200, "GET", next, NULL), "drills");
    ck_assert_uint_eq(json_array_size(drills), 1);
    ck_assert_str_eq(hf_json_str(json_array_get(drills, 0), "status"), "skipped");
    ck_assert(json_is_null(json_object_get(t.json, "nextCursor")));
    hf_api_stop(&t);
}
END_TEST

START_TEST(status_says_what_can_be_recovered)
{
    struct hf_api_test t;
    start(&t, _i);
    const json_t *figures = recoverability(&t, SYSTEM "/status");
    ck_assert_int_eq(hf_json_int(figures, "unsnapshottedVersions"), 2);
    ck_assert_int_eq(hf_json_int(figures, "unsnapshottedBytes"), 26);
    ck_assert_int_eq(hf_json_int(figures, "promisedExposureMs"), 600000);
    ck_assert(json_is_null(json_object_get(figures, "lastDrill")));
    ck_assert(json_is_null(json_object_get(figures, "expectedRecoveryMs")));
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{}");
    hf_api_call(&t, 201, "POST", SYSTEM "/drills", NULL);
    long long took_ms = hf_json_int(t.json, "durationMs");
    figures = recoverability(&t, "/v1/status");
    ck_assert_int_eq(hf_json_int(figures, "unsnapshottedVersions"), 0);
    ck_assert_int_eq(hf_json_int(figures, "exposureMs"), 0);
    ck_assert_int_eq(hf_json_int(figures, "expectedRecoveryMs"), took_ms);
    ck_assert_str_le(hf_json_str(figures, "from"), hf_json_str(figures, "historyFrom"));
    ck_assert_str_le(hf_json_str(figures, "historyFrom"), hf_json_str(figures, "to"));
    ck_assert_str_eq(hf_json_str(json_object_get(figures, "lastDrill"), "status"), "passed");
    hf_api_call(&t, 200, "GET", SYSTEM "/status?format=text", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "   Last Restore Drill:"));
    ck_assert_ptr_nonnull(strstr(t.answer.body, "2 components"));
    ck_assert_ptr_nonnull(strstr(t.answer.body, "   Expected Recovery:"));
    ck_assert_ptr_nonnull(strstr(t.answer.body, "   Recoverable:"));
    hf_api_call(&t, 200, "GET", "/metrics", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "holdfast_drills_total{status=\"passed\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(t.answer.body, "holdfast_drills_total{status=\"failed\"} 0\n"));
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_drill_that_fails_degrades_the_service)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{}");
    hf_api_call(&t, 200, "PUT", SYSTEM "/components/b/state", "{\"b\":\"second\"}");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"incremental\"}");
    HF_AUTO(free) char *incremental = hf_strdup(hf_json_str(t.json, "id"));
    hf_api_call(&t, 204, "DELETE", SYSTEM "/components/b", NULL);
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"incremental\"}");
    HF_AUTO(free) char *newest = hf_strdup(hf_json_str(t.json, "id"));
    hf_test_server_lose_incremental(t.server, incremental); /* what the newest one builds on */
    hf_api_call(&t, 201, "POST", SYSTEM "/drills", NULL);
    ck_assert_msg(strcmp(hf_json_str(t.json, "status"), "failed") == 0, "%s", t.answer.body);
    ck_assert_str_eq(hf_json_str(t.json, "snapshot"), newest);
    const json_t *figures = recoverability(&t, SYSTEM "/status");
    ck_assert_str_eq(hf_json_str(json_object_get(figures, "lastDrill"), "status"), "failed");
    ck_assert_str_eq(hf_json_str(t.json, "status"), "degraded");
    ck_assert_ptr_nonnull(strstr(t.answer.body, "the last restore drill of system default failed"));
    bool told = false;
    for (int naps = 0; !told; hf_api_nap(&naps)) { /* events are written soon after */
        hf_api_call(&t, 200, "GET", SYSTEM "/events?severity=error", NULL);
        told = strstr(t.answer.body, "\"drill.failed\"") != NULL;
    }
    hf_api_stop(&t);
}
END_TEST

START_TEST(readiness_warns_of_exposure_and_stays)
{
    static const char *const environment[] = {"PERSISTENCE_INCREMENTAL_INTERVAL=100",
                                              "HOLDFAST_FAULT=snapshot_write:error", NULL};
    const struct hf_test_server_options options = {.postgres = _i != 0, .environment = environment};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    hf_api_call(&t, 201, "PUT", SYSTEM "/components/a/state", "1");
    bool warned = false;
    for (int naps = 0; !warned; hf_api_nap(&naps)) {
        hf_api_call(&t, 200, "GET", "/readyz?verbose", NULL);
        warned = strstr(t.answer.body, "[!]exposure of default: ") != NULL;
    }
    ck_assert_ptr_nonnull(strstr(t.answer.body, ", promised 200 ms\n"));
    ck_assert_ptr_nonnull(strstr(t.answer.body, "readyz check passed\n"));
    hf_api_call(&t, 200, "GET", "/readyz?verbose&exclude=exposure", NULL);
    ck_assert_ptr_null(strstr(t.answer.body, "exposure"));
    hf_api_call(&t, 200, "GET", "/readyz", NULL);
    ck_assert_str_eq(t.answer.body, "ok\n");
    hf_api_stop(&t);
}
END_TEST

START_TEST(readiness_warns_of_a_disk_that_fills_up_and_stays)
{
    static const char *const environment[] = {"HOLDFAST_FAULT=storage_low:error", NULL};
    const struct hf_test_server_options options = {.postgres = _i != 0, .environment = environment};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    size_t low = 0;
    for (int naps = 0; low < 3; hf_api_nap(&naps)) { /* it is looked at soon after the start */
        const json_t *storage = json_object_get(hf_api_call(&t, 200, "GET", "/v1/status", NULL), "storage"), *entry;
        size_t at;
        low = 0;
        json_array_foreach(storage, at, entry) low += json_is_true(json_object_get(entry, "low"));
    }
    ck_assert_str_eq(hf_json_str(t.json, "status"), "degraded");
    hf_api_call(&t, 200, "GET", "/v1/status?format=text", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "the disk fills up: "));
    hf_api_call(&t, 200, "GET", "/readyz?verbose", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "\n[!]storage: the disk fills up: "));
    ck_assert_ptr_nonnull(strstr(t.answer.body, "readyz check passed\n"));
    hf_api_call(&t, 200, "GET", "/readyz?verbose&exclude=storage,exposure", NULL);
    ck_assert_ptr_null(strstr(t.answer.body, "[!]"));
    hf_api_call(&t, 200, "GET", "/metrics", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "\nholdfast_storage_free_bytes{place=\"backup\"} "));
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_drill_that_makes_no_sense_is_refused)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_refused(&t, 404, "not_found", "POST", "/v1/systems/nobody/drills", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/nobody/drills", NULL);
    hf_api_refused(&t, 400, "invalid_request", "POST", SYSTEM "/drills", "{\"snapshot\":\"latest\"}");
    hf_api_refused(&t, 400, "invalid_request", "GET", SYSTEM "/drills?limit=0", NULL);
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_drill_answers_with_what_came_of_it_and_is_listed,
                                  status_says_what_can_be_recovered,
                                  a_drill_that_fails_degrades_the_service,
                                  readiness_warns_of_exposure_and_stays,
                                  readiness_warns_of_a_disk_that_fills_up_and_stays,
                                  a_drill_that_makes_no_sense_is_refused};
    return hf_api_run_on_both("drills", tests, (int)(sizeof(tests) / sizeof(tests[0])));
}
