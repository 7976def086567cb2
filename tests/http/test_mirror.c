/* What the status says of the mirror, and what retention would do, on both databases. */
#include "tests/support/api.h"

#include "core/auto.h"

#include <string.h>
#include <unistd.h>

#include "tests/support/check_main.h"
#include "tests/support/temp.h"

static struct hf_api_test t;
static char *directory;

static void start(bool postgres, bool there)
{
    directory = hf_test_temp_directory();
    HF_AUTO(free)
    char *setting = hf_format("PERSISTENCE_MIRROR_DIRECTORY=%s%s", directory, there ? "" : "/unmounted");
    const char *const environment[] = {setting, NULL};
    const struct hf_test_server_options options = {.postgres = postgres, .environment = environment};
    hf_api_start(&t, &options);
}

static void stop(void)
{
    hf_api_stop(&t);
    hf_test_remove_tree(directory);
    free(directory);
}

static const json_t *read_mirror(void)
{
    return json_object_get(hf_api_call(&t, 200, "GET", "/v1/status", NULL), "mirror");
}

START_TEST(the_status_tells_that_the_mirror_is_even)
{
    start(_i, true);
    hf_api_call(&t, 201, "PUT", "/v1/systems/fleet/components/a/state", "{\"a\":1}");
    hf_api_call(&t, 201, "POST", "/v1/systems/fleet/snapshots", "{\"kind\":\"full\"}");
    HF_AUTO(free)
    char *copy = hf_format("%s/full/fleet/%s.snapshot", directory, hf_json_str(t.json, "id"));
    int naps = 0;
    while (access(copy, F_OK) != 0)
        hf_api_nap(&naps);
    const json_t *mirror = read_mirror();
    while (json_is_null(json_object_get(mirror, "caughtUpAt")) || hf_json_int(mirror, "pendingFiles")) {
        hf_api_nap(&naps);
        mirror = read_mirror();
    }
    ck_assert_str_eq(hf_json_str(mirror, "status"), "up");
    ck_assert_int_eq(hf_json_int(mirror, "pendingFiles"), 0);
    ck_assert(json_is_null(json_object_get(mirror, "lastError")));
    ck_assert_str_eq(hf_json_str(t.json, "status"), "operational");
    hf_api_call(&t, 200, "GET", "/v1/status?format=text", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "Mirror:"));
    stop();
}
END_TEST

START_TEST(a_mirror_that_is_away_is_a_warning_and_the_service_is_ready)
{
    start(_i, false);
    const json_t *mirror = read_mirror();
    ck_assert_str_eq(hf_json_str(mirror, "status"), "down");
    ck_assert_ptr_nonnull(strstr(hf_json_str(mirror, "lastError"), "unmounted"));
    ck_assert_str_eq(hf_json_str(t.json, "status"), "degraded");
    const json_t *warnings = json_object_get(t.json, "warnings");
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(warnings, 0)), "mirror"));
    hf_api_call(&t, 200, "GET", "/readyz", NULL);
    hf_api_call(&t, 200, "GET", "/v1/status?format=text", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "DOWN"));
    hf_api_call(&t, 201, "PUT", "/v1/systems/fleet/components/a/state", "{\"a\":1}");
    hf_api_call(&t, 201, "POST", "/v1/systems/fleet/snapshots", "{\"kind\":\"full\"}");
    HF_AUTO(free) char *missing = hf_format("%s/unmounted", directory);
    ck_assert_int_ne(access(missing, F_OK), 0); /* never made */
    stop();
}
END_TEST

START_TEST(the_preview_gives_each_snapshot_a_decision_and_a_reason)
{
    start(_i, true);
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/fleet/retention/preview", NULL);
    hf_api_call(&t, 201, "PUT", "/v1/systems/fleet", "{\"maxRetentionHours\":7}");
    hf_api_call(&t, 201, "PUT", "/v1/systems/fleet/components/a/state", "{\"a\":1}");
    hf_api_call(&t, 201, "POST", "/v1/systems/fleet/snapshots", "{\"kind\":\"full\"}");
    hf_api_call(&t, 200, "PUT", "/v1/systems/fleet/components/a/state", "{\"a\":2}");
    hf_api_call(&t, 201, "POST", "/v1/systems/fleet/snapshots", "{\"kind\":\"incremental\"}");
    HF_AUTO(free) char *newest = hf_strdup(hf_json_str(t.json, "id"));
    hf_api_call(&t, 200, "GET", "/v1/systems/fleet/retention/preview", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "system"), "fleet");
    ck_assert_int_eq(hf_json_int(t.json, "maxRetentionHours"), 7);
    ck_assert_int_eq(hf_json_int(t.json, "wouldDelete"), 0);
    ck_assert_int_eq(hf_json_int(t.json, "wouldFreeBytes"), 0);
    const json_t *snapshots = json_object_get(t.json, "snapshots");
    ck_assert_int_eq(json_array_size(snapshots), 2);
    ck_assert_str_eq(hf_json_str(json_array_get(snapshots, 0), "id"), newest);
    ck_assert_str_eq(hf_json_str(json_array_get(snapshots, 1), "decision"), "keep");
    ck_assert_str_eq(hf_json_str(json_array_get(snapshots, 1), "reason"), "it is within the retention time");
    hf_api_refused(&t, 400, "invalid_request", "GET", "/v1/systems/fleet/retention/preview?hours=1", NULL);
    stop();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {the_status_tells_that_the_mirror_is_even,
                                  a_mirror_that_is_away_is_a_warning_and_the_service_is_ready,
                                  the_preview_gives_each_snapshot_a_decision_and_a_reason};
    return hf_api_run_on_both("mirror", tests, (int)(sizeof(tests) / sizeof(tests[0])));
}
