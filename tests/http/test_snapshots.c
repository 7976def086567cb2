/* Snapshots and recoveries as a client sees them. On SQLite and on PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/clock.h"

#include <string.h>
#include <unistd.h>

#define SYSTEM "/v1/systems/default"

static void start(struct hf_api_test *t, int postgres)
{
    const struct hf_test_server_options options = {.postgres = postgres != 0};
    hf_api_start(t, &options);
}

static void put(struct hf_api_test *t, const char *component, const char *state)
{
    HF_AUTO(free) char *path = hf_format(SYSTEM "/components/%s/state", component);
    const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct hf_client_request request = {
        .method = "PUT", .path = path, .headers = headers, .body = state, .body_bytes = strlen(state)};
    struct hf_answer answer;
    ck_assert(hf_client_send(t->client, &request, &answer));
    ck_assert_msg(answer.status == 200 || answer.status == 201, "PUT %s: %s", component, answer.body);
    hf_answer_done(&answer);
}

static void expect_state(struct hf_api_test *t, const char *component, const char *state)
{
    HF_AUTO(free) char *path = hf_format(SYSTEM "/components/%s/state", component);
    hf_api_call(t, state ? 200 : 404, "GET", path, NULL);
    if (state)
        ck_assert_str_eq(t->answer.body, state);
}

static char *take(struct hf_api_test *t, const char *kind)
{
    HF_AUTO(free) char *body = hf_format("{\"kind\":\"%s\"}", kind);
    hf_api_call(t, 201, "POST", SYSTEM "/snapshots", body);
    return hf_strdup(hf_json_str(t->json, "id"));
}

START_TEST(an_incremental_builds_on_a_full)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_refused(&t, 404, "not_found", "POST", SYSTEM "/snapshots", "{}");
    put(&t, "a", "1");
    put(&t, "b", "1");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"incremental\"}");
    ck_assert_str_eq(hf_json_str(t.json, "kind"), "full"); /* there is nothing to build on */
    ck_assert_str_ne(hf_json_str(t.json, "reason"), "");
    HF_AUTO(free) char *full = hf_strdup(hf_json_str(t.json, "id"));
    put(&t, "b", "2");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"incremental\"}");
    ck_assert_str_eq(hf_json_str(t.json, "kind"), "incremental");
    ck_assert_str_eq(hf_json_str(t.json, "parent"), full);
    ck_assert_int_eq(hf_json_int(t.json, "changed"), 1);
    ck_assert_int_eq(hf_json_int(t.json, "components"), 2);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_full_is_taken_even_of_what_did_not_change)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    HF_AUTO(free) char *first = take(&t, "full");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"label\":\"before the experiment\"}");
    ck_assert_str_eq(hf_json_str(t.json, "label"), "before the experiment");
    ck_assert_str_ne(hf_json_str(t.json, "id"), first);
    HF_AUTO(free) char *second = hf_strdup(hf_json_str(t.json, "id"));

    hf_api_call(&t, 200, "POST", SYSTEM "/snapshots", "{\"kind\":\"incremental\"}");
    ck_assert(json_is_true(json_object_get(t.json, "unchanged")));
    ck_assert_str_eq(hf_json_str(t.json, "id"), second);
    ck_assert_ptr_nonnull(strstr(hf_json_str(t.json, "reason"), "nothing changed since 20"));
    ck_assert_ptr_nonnull(strstr(hf_json_str(t.json, "reason"), "the newest snapshot is a full"));

    put(&t, "a", "2");
    HF_AUTO(free) char *third = take(&t, "incremental");
    hf_api_call(&t, 200, "POST", SYSTEM "/snapshots", "{\"kind\":\"incremental\"}");
    ck_assert_str_eq(hf_json_str(t.json, "id"), third);
    ck_assert_ptr_null(strstr(hf_json_str(t.json, "reason"), "is a full"));
    hf_api_stop(&t);
}
END_TEST

static void be_in_use(struct hf_api_test *t, const char *id, const char *why)
{
    HF_AUTO(free) char *path = hf_format(SYSTEM "/snapshots/%s", id);
    hf_api_refused(t, 409, "snapshot_in_use", "DELETE", path, NULL);
    ck_assert_detail_has(t, why);
}

START_TEST(a_snapshot_that_a_later_one_builds_on_is_in_use)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    HF_AUTO(free) char *full = take(&t, "full");
    put(&t, "a", "2");
    HF_AUTO(free) char *incremental = take(&t, "incremental");
    be_in_use(&t, full, incremental);
    HF_AUTO(free) char *path = hf_format(SYSTEM "/snapshots/%s", incremental);
    hf_api_call(&t, 204, "DELETE", path, NULL);
    HF_AUTO(free) char *full_path = hf_format(SYSTEM "/snapshots/%s", full);
    hf_api_call(&t, 200, "PATCH", full_path, "{\"pinned\":true}");
    be_in_use(&t, full, "pinned");
    hf_api_call(&t, 200, "PATCH", full_path, "{\"pinned\":false}");
    hf_api_call(&t, 204, "DELETE", full_path, NULL);
    hf_api_stop(&t);
}
END_TEST

#ifdef HF_FAULTS
/* A deletion waits for a validation under way, and that for the committer. */
static void wait_until_validated(struct hf_api_test *t, const char *id)
{
    HF_AUTO(free) char *path = hf_format(SYSTEM "/snapshots/%s", id);
    bool validated = false;
    for (int naps = 0; !validated; hf_api_nap(&naps)) {
        const json_t *snapshot = hf_api_call(t, 200, "GET", path, NULL);
        validated = strcmp(hf_json_str(json_object_get(snapshot, "validation"), "status"), "valid") == 0;
    }
}

/* The incremental keeps the full from being deleted before the restore has begun. */
START_TEST(a_snapshot_that_a_restore_reads_is_in_use)
{
    struct hf_api_test t;
    const char *const environment[] = {"HOLDFAST_FAULT=recovery_before_commit:sleep=8000", NULL};
    const struct hf_test_server_options options = {.postgres = _i != 0, .environment = environment};
    hf_api_start(&t, &options);
    put(&t, "a", "1");
    HF_AUTO(free) char *full = take(&t, "full");
    put(&t, "a", "2");
    HF_AUTO(free) char *incremental = take(&t, "incremental");
    HF_AUTO(free) char *path = hf_format(SYSTEM "/snapshots/%s", full);
    wait_until_validated(&t, full);
    wait_until_validated(&t, incremental);
    HF_AUTO(free)
    char *restore = hf_format("POST %s/restore HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", path);
    int fd = hf_raw_connect(hf_test_server_port(t.server));
    hf_raw_send_text(fd, restore);
    bool read = false;
    for (int naps = 0; !read; hf_api_nap(&naps)) {
        hf_api_refused(&t, 409, "snapshot_in_use", "DELETE", path, NULL);
        read = strstr(hf_json_str(t.json, "detail"), "is being read") != NULL;
    }
    HF_AUTO(free) char *answer = hf_raw_read(fd, "\r\n", 1, true);
    close(fd);
    ck_assert_msg(strncmp(answer, "HTTP/1.1 201", 12) == 0, "%s", answer);
    hf_api_stop(&t);
}
END_TEST
#endif

START_TEST(equal_systems_have_equal_root_hashes)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    put(&t, "b", "1");
    free(take(&t, "full"));
    HF_AUTO(free) char *root = hf_strdup(hf_json_str(t.json, "rootHash"));
    put(&t, "b", "2");
    free(take(&t, "full"));
    ck_assert_str_ne(hf_json_str(t.json, "rootHash"), root);
    put(&t, "b", "1");
    free(take(&t, "full"));
    ck_assert_str_eq(hf_json_str(t.json, "rootHash"), root);
    hf_api_stop(&t);
}
END_TEST

START_TEST(an_asynchronous_snapshot_is_found_under_its_location)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    const char *const headers[] = {"Content-Type: application/json", "Prefer: respond-async, wait=1", NULL};
    hf_api_send(&t, 202, "POST", SYSTEM "/snapshots", headers, "{\"kind\":\"full\"}", 15);
    ck_assert_str_eq(hf_json_str(t.json, "state"), "running");
    HF_AUTO(free) char *location = hf_strdup(hf_api_header(&t, "Location"));
    uint64_t deadline_ns = hf_clock_monotonic_ns() + 60 * HF_SECOND_NS;
    do {
        hf_api_call(&t, 200, "GET", location, NULL);
        ck_assert_uint_lt(hf_clock_monotonic_ns(), deadline_ns);
    } while (strcmp(hf_json_str(t.json, "state"), "running") == 0);
    ck_assert_str_eq(hf_json_str(t.json, "state"), "complete");
    hf_api_stop(&t);
}
END_TEST

START_TEST(snapshots_are_listed_newest_first_in_pages)
{
    struct hf_api_test t;
    start(&t, _i);
    char *ids[5];
    for (int i = 0; i < 5; i++) {
        char state[8];
        snprintf(state, sizeof(state), "%d", i);
        put(&t, "a", state);
        ids[i] = take(&t, i == 0 ? "full" : "incremental");
    }
    HF_AUTO(free) char *path = hf_strdup(SYSTEM "/snapshots?limit=2");
    int seen = 5;
    while (path) {
        hf_api_call(&t, 200, "GET", path, NULL);
        size_t index;
        json_t *snapshot;
        json_array_foreach(json_object_get(t.json, "snapshots"), index, snapshot)
        {
            ck_assert_int_gt(seen, 0);
            ck_assert_str_eq(hf_json_str(snapshot, "id"), ids[--seen]);
        }
        const char *cursor = json_string_value(json_object_get(t.json, "nextCursor"));
        free(path);
        path = cursor ? hf_format(SYSTEM "/snapshots?limit=2&cursor=%s", cursor) : NULL;
    }
    ck_assert_int_eq(seen, 0);
    hf_api_call(&t, 200, "GET", SYSTEM "/snapshots?kind=full", NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "snapshots")), 1);
    hf_api_call(&t, 200, "GET", SYSTEM "/snapshots?before=2001-01-01T00:00:00Z", NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "snapshots")), 0);
    hf_api_call(&t, 200, "GET", SYSTEM "/snapshots/latest", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "id"), ids[4]);
    for (int i = 0; i < 5; i++)
        free(ids[i]);
    hf_api_stop(&t);
}
END_TEST

START_TEST(what_a_snapshot_holds_is_listed_in_pages)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    put(&t, "b", "1");
    put(&t, "c", "1");
    hf_api_call(&t, 204, "DELETE", SYSTEM "/components/b", NULL);
    HF_AUTO(free) char *id = take(&t, "full");
    HF_AUTO(free) char *path = hf_format(SYSTEM "/snapshots/%s/components?limit=1", id);
    hf_api_call(&t, 200, "GET", path, NULL);
    ck_assert_str_eq(hf_json_str(json_array_get(json_object_get(t.json, "components"), 0), "name"), "a");
    HF_AUTO(free) char *next = hf_format("%s&cursor=%s", path, hf_json_str(t.json, "nextCursor"));
    hf_api_call(&t, 200, "GET", next, NULL);
    ck_assert_str_eq(hf_json_str(json_array_get(json_object_get(t.json, "components"), 0), "name"), "c");
    ck_assert(json_is_null(json_object_get(t.json, "nextCursor")));
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_whole_restore_makes_the_system_equal_to_the_snapshot)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    put(&t, "b", "1");
    HF_AUTO(free) char *id = take(&t, "full");
    HF_AUTO(free) char *root = hf_strdup(hf_json_str(t.json, "rootHash"));
    put(&t, "a", "2");
    put(&t, "later", "2");
    hf_api_call(&t, 204, "DELETE", SYSTEM "/components/b", NULL);
    HF_AUTO(free) char *path = hf_format(SYSTEM "/snapshots/%s/restore", id);
    hf_api_call(&t, 201, "POST", path, "{\"reason\":\"test\",\"dryRun\":true}");
    ck_assert_str_eq(hf_json_str(t.json, "status"), "planned");
    expect_state(&t, "a", "2");
    hf_api_call(&t, 201, "POST", path, "{\"reason\":\"test\"}");
    ck_assert_str_eq(hf_json_str(t.json, "status"), "applied");
    ck_assert_int_eq(hf_json_int(t.json, "epoch"), 2);
    ck_assert_int_ge(hf_json_int(json_object_get(t.json, "dataLoss"), "components"), 1);
    expect_state(&t, "a", "1");
    expect_state(&t, "b", "1");
    expect_state(&t, "later", NULL);
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"full\"}");
    ck_assert_str_eq(hf_json_str(t.json, "rootHash"), root);
    hf_api_stop(&t);
}
END_TEST

START_TEST(some_components_are_restored_and_the_others_stay)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    put(&t, "b", "1");
    free(take(&t, "full"));
    put(&t, "a", "2");
    put(&t, "b", "2");
    hf_api_call(&t, 201, "POST", SYSTEM "/recoveries",
                "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"components\":[\"a\"]}");
    expect_state(&t, "a", "1");
    expect_state(&t, "b", "2");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_moment_of_the_past_is_restored)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 201, "PUT", SYSTEM "/components/a/state", "1");
    HF_AUTO(free) char *at = hf_strdup(hf_json_str(t.json, "committedAt"));
    int64_t at_ms;
    ck_assert(hf_time_parse(at, &at_ms));
    while (hf_clock_now_ms() <= at_ms + 1)
        usleep(1000);
    put(&t, "a", "2");
    HF_AUTO(free) char *body = hf_format("{\"source\":\"at\",\"at\":\"%s\"}", at);
    hf_api_call(&t, 201, "POST", SYSTEM "/recoveries", body);
    ck_assert_str_eq(hf_json_str(t.json, "at"), at);
    expect_state(&t, "a", "1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_plan_puts_dependencies_first)
{
    struct hf_api_test t;
    start(&t, _i);
    hf_api_call(&t, 201, "PUT", SYSTEM "/components/agent", "{\"dependsOn\":[\"model\"]}");
    hf_api_call(&t, 201, "PUT", SYSTEM "/components/model", "{\"dependsOn\":[\"world\"]}");
    put(&t, "agent", "1");
    put(&t, "model", "1");
    put(&t, "world", "1");
    hf_api_call(&t, 201, "POST", SYSTEM "/recoveries", "{\"source\":\"head\"}");
    const json_t *waves = json_object_get(t.json, "waves");
    static const char *const order[] = {"world", "model", "agent"};
    ck_assert_int_eq(json_array_size(waves), 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_str_eq(hf_json_str(json_array_get(json_array_get(waves, i), 0), "component"), order[i]);
    ck_assert_int_eq(hf_json_int(t.json, "epoch"), 1);
    hf_api_stop(&t);
}
END_TEST

START_TEST(bad_recoveries_are_refused)
{
    static const char *const bodies[] = {
        "{}",
        "{\"source\":\"moon\"}",
        "{\"source\":\"snapshot\"}",
        "{\"source\":\"head\",\"snapshot\":\"latest\"}",
        "{\"source\":\"at\"}",
        "{\"source\":\"at\",\"at\":\"noon\"}",
        "{\"source\":\"snapshot\",\"snapshot\":\"a/b\"}",
        "{\"source\":\"head\",\"components\":[]}",
        "{\"source\":\"head\",\"components\":[\"a\",\"a\"]}",
        "{\"source\":\"head\",\"maxAgeMs\":0}",
        "{\"source\":\"head\",\"dryRun\":\"yes\"}",
        "{\"source\":\"head\",\"salvage\":true}",
        "{\"source\":\"at\",\"at\":\"2026-11-23T01:30:00Z\",\"salvage\":true}",
        "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"salvage\":true}",
        "{\"source\":\"snapshot\",\"snapshot\":\"full-20261123T013000Z-1\",\"salvage\":1}",
    };
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        hf_api_refused(&t, 400, "invalid_request", "POST", SYSTEM "/recoveries", bodies[i]);
    hf_api_refused(&t, 400, "invalid_request", "POST", SYSTEM "/snapshots/latest/restore", "{\"salvage\":true}");
    hf_api_refused(&t, 404, "not_found", "POST", SYSTEM "/recoveries",
                   "{\"source\":\"snapshot\",\"snapshot\":\"latest\"}");
    hf_api_refused(&t, 404, "not_found", "POST", "/v1/systems/none/recoveries", "{\"source\":\"head\"}");
    hf_api_refused(&t, 404, "not_found", "GET", SYSTEM "/recoveries/rec-none", NULL);
    hf_api_stop(&t);
}
END_TEST

/* Plans and returns the path of the plan. */
static char *plan(struct hf_api_test *t, const char *body)
{
    hf_api_call(t, 201, "POST", SYSTEM "/recoveries", body);
    ck_assert_str_eq(hf_json_str(t->json, "status"), "planned");
    return hf_format(SYSTEM "/recoveries/%s", hf_json_str(t->json, "id"));
}

START_TEST(a_plan_is_applied_once_and_becomes_the_record)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    free(take(&t, "full"));
    put(&t, "a", "2");
    put(&t, "later", "1");
    HF_AUTO(free)
    char *path = plan(&t, "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"dryRun\":true,\"reason\":\"look\"}");
    HF_AUTO(free) char *apply = hf_format("%s/apply", path);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(t.json, "removed"), 0)), "later");
    expect_state(&t, "a", "2");
    hf_api_refused(&t, 400, "invalid_request", "POST", apply, "{\"forced\":true}");
    hf_api_refused(&t, 400, "invalid_request", "POST", apply, "{\"force\":1}");
    hf_api_call(&t, 200, "POST", apply, "{\"reason\":\"looks right\"}");
    ck_assert_str_eq(hf_json_str(t.json, "status"), "applied");
    ck_assert_int_eq(hf_json_int(t.json, "epoch"), 2);
    ck_assert_int_eq(hf_json_int(t.json, "sequenceBefore"), 3);
    ck_assert_int_eq(hf_json_int(t.json, "sequenceAfter"), 5);
    expect_state(&t, "a", "1");
    expect_state(&t, "later", NULL);
    hf_api_refused(&t, 409, "conflict", "POST", apply, NULL);
    hf_api_refused(&t, 409, "conflict", "POST", apply, "{\"force\":true}");
    hf_api_call(&t, 200, "GET", path, NULL);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "applied");
    ck_assert_str_eq(hf_json_str(t.json, "reason"), "looks right");
    ck_assert(json_is_string(json_object_get(t.json, "completedAt")));
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(t.json, "removed"), 0)), "later");
    hf_api_call(&t, 200, "GET", SYSTEM "/recoveries", NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "recoveries")), 1);
    hf_api_stop(&t);
}
END_TEST

START_TEST(an_outdated_plan_is_refused_unless_forced)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    free(take(&t, "full"));
    put(&t, "a", "2");
    HF_AUTO(free)
    char *path = plan(&t, "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"dryRun\":true}");
    HF_AUTO(free) char *apply = hf_format("%s/apply", path);
    put(&t, "a", "3");
    hf_api_refused(&t, 409, "plan_changed", "POST", apply, "{}");
    ck_assert_detail_has(&t, "from sequence 2 (epoch 1) to 3 (epoch 1)");
    ck_assert_detail_has(&t, "force");
    expect_state(&t, "a", "3");
    hf_api_call(&t, 200, "GET", path, NULL);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "planned");
    hf_api_call(&t, 200, "POST", apply, "{\"force\":true}");
    ck_assert_int_eq(hf_json_int(t.json, "sequenceBefore"), 3);
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "dataLoss"), "versions"), 2);
    expect_state(&t, "a", "1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_partial_plan_touches_only_what_it_named)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    put(&t, "b", "1");
    free(take(&t, "full"));
    put(&t, "a", "2");
    put(&t, "b", "2");
    put(&t, "later", "1");
    HF_AUTO(free)
    char *path = plan(&t, "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"components\":[\"a\"],\"dryRun\":true}");
    HF_AUTO(free) char *apply = hf_format("%s/apply", path);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(t.json, "components"), 0)), "a");
    hf_api_call(&t, 200, "POST", apply, NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "components")), 1);
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "removed")), 0);
    expect_state(&t, "a", "1");
    expect_state(&t, "b", "2");
    expect_state(&t, "later", "1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(what_is_no_plan_of_the_past_is_not_applied)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    free(take(&t, "full"));
    HF_AUTO(free) char *path = plan(&t, "{\"source\":\"head\",\"dryRun\":true}");
    HF_AUTO(free) char *apply_head = hf_format("%s/apply", path);
    hf_api_refused(&t, 409, "conflict", "POST", apply_head, "{\"force\":true}");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots/latest/restore", NULL);
    HF_AUTO(free) char *apply_applied = hf_format(SYSTEM "/recoveries/%s/apply", hf_json_str(t.json, "id"));
    hf_api_refused(&t, 409, "conflict", "POST", apply_applied, NULL);
    hf_api_refused(&t, 404, "not_found", "POST", SYSTEM "/recoveries/rec-none/apply", NULL);
    hf_api_refused(&t, 404, "not_found", "POST", "/v1/systems/none/recoveries/rec-none/apply", NULL);
    hf_api_call(&t, 200, "GET", SYSTEM, NULL);
    ck_assert_int_eq(hf_json_int(t.json, "epoch"), 2);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_source_older_than_allowed_is_refused)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "1");
    free(take(&t, "full"));
    put(&t, "a", "2");
    int64_t now_ms = hf_clock_now_ms();
    while (hf_clock_now_ms() <= now_ms + 2)
        usleep(1000);
    hf_api_refused(&t, 412, "precondition_failed", "POST", SYSTEM "/snapshots/latest/restore", "{\"maxAgeMs\":1}");
    expect_state(&t, "a", "2");
    hf_api_stop(&t);
}
END_TEST

/* The full needs what the incremental's file holds; without that file nothing can make it whole again. What the
 * database still has is not lost for it. */
START_TEST(what_is_left_of_a_damaged_snapshot_is_salvaged)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, "a", "\"old a\"");
    free(take(&t, "full"));
    put(&t, "b", "\"old b\"");
    HF_AUTO(free) char *incremental = take(&t, "incremental");
    HF_AUTO(free) char *full = take(&t, "full");
    put(&t, "a", "\"new a\"");
    put(&t, "b", "\"new b\"");
    put(&t, "later", "1");
    HF_AUTO(free) char *restore = hf_format(SYSTEM "/snapshots/%s/restore", full);
    hf_api_call(&t, 201, "POST", restore, "{\"dryRun\":true,\"salvage\":true}");
    ck_assert(json_is_null(json_object_get(t.json, "salvage")));
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "lost")), 0);

    hf_test_server_lose_incremental(t.server, incremental);
    hf_api_refused(&t, 500, "data_damaged", "POST", restore, "{}");
    ck_assert_ptr_nonnull(strstr(hf_json_str(t.json, "detail"), "\"salvage\": true"));
    expect_state(&t, "a", "\"new a\"");
    hf_api_call(&t, 201, "POST", restore, "{\"dryRun\":true,\"salvage\":true}");
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "lost")), 0);
    HF_AUTO(free) char *apply = hf_format(SYSTEM "/recoveries/%s/apply", hf_json_str(t.json, "id"));
    HF_AUTO(free) char *recovery = hf_format(SYSTEM "/recoveries/%s", hf_json_str(t.json, "id"));
    hf_api_call(&t, 200, "POST", apply, NULL);
    ck_assert(json_is_true(json_object_get(json_object_get(t.json, "salvage"), "whole")));
    expect_state(&t, "a", "\"old a\"");
    expect_state(&t, "b", "\"old b\"");
    expect_state(&t, "later", NULL);
    hf_api_call(&t, 200, "GET", recovery, NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "lost")), 0);
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {an_incremental_builds_on_a_full,
                                  a_full_is_taken_even_of_what_did_not_change,
                                  a_snapshot_that_a_later_one_builds_on_is_in_use,
#ifdef HF_FAULTS
                                  a_snapshot_that_a_restore_reads_is_in_use,
#endif
                                  equal_systems_have_equal_root_hashes,
                                  an_asynchronous_snapshot_is_found_under_its_location,
                                  snapshots_are_listed_newest_first_in_pages,
                                  what_a_snapshot_holds_is_listed_in_pages,
                                  a_whole_restore_makes_the_system_equal_to_the_snapshot,
                                  some_components_are_restored_and_the_others_stay,
                                  a_moment_of_the_past_is_restored,
                                  a_plan_puts_dependencies_first,
                                  a_plan_is_applied_once_and_becomes_the_record,
                                  an_outdated_plan_is_refused_unless_forced,
                                  a_partial_plan_touches_only_what_it_named,
                                  what_is_no_plan_of_the_past_is_not_applied,
                                  bad_recoveries_are_refused,
                                  a_source_older_than_allowed_is_refused,
                                  what_is_left_of_a_damaged_snapshot_is_salvaged};
    return hf_api_run_on_both("snapshots", tests, (int)(sizeof(tests) / sizeof(tests[0])));
}
