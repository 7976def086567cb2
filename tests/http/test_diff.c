/* What changed between two moments, and which cut the past was read at. On SQLite and on PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/json_patch.h"
#include "tests/support/temp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM "/v1/systems/default"
#define FIRST  "{\"new\":true,\"n\":[1,2]}" /* every component's first state */

static void start(struct hf_api_test *t, int postgres)
{
    const struct hf_test_server_options options = {.postgres = postgres != 0};
    hf_api_start(t, &options);
}

static void put(struct hf_api_test *t, const char *component, const char *text)
{
    HF_AUTO(free) char *path = hf_format(SYSTEM "/components/%s/state", component);
    const char *const headers[] = {"Content-Type: application/json", NULL};
    hf_api_send(t, strcmp(text, FIRST) == 0 ? 201 : 200, "PUT", path, headers, text, strlen(text));
}

static void put_new(struct hf_api_test *t, const char *component)
{
    put(t, component, FIRST);
}

/* "+a ~b" of the page. */
static char *in_short(const json_t *page)
{
    char text[512] = "";
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(page, "changes"), i, item)
    {
        const char *change = hf_json_str(item, "change");
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s%s%s", used ? " " : "",
                 strcmp(change, "added") == 0     ? "+"
                 : strcmp(change, "removed") == 0 ? "-"
                                                  : "~",
                 hf_json_str(item, "component"));
    }
    return hf_strdup(text);
}

static void expect_page(struct hf_api_test *t, const char *query, const char *expected)
{
    HF_AUTO(free) char *path = hf_format(SYSTEM "/diff?%s", query);
    HF_AUTO(free) char *told = in_short(hf_api_call(t, 200, "GET", path, NULL));
    ck_assert_str_eq(told, expected);
}

START_TEST(snapshots_sequences_and_times_are_compared)
{
    struct hf_api_test t;
    start(&t, _i);
    put_new(&t, "a");
    put_new(&t, "b");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"full\"}");
    HF_AUTO(free) char *id = hf_strdup(hf_json_str(t.json, "id"));
    usleep(3000);
    char at[HF_TIME_BYTES];
    hf_time_format(hf_clock_now_ms(), at);
    usleep(3000);
    put(&t, "a", "{\"n\":[1,2,3]}");
    put_new(&t, "c");
    hf_api_call(&t, 204, "DELETE", SYSTEM "/components/b", NULL);
    HF_AUTO(free) char *from_snapshot = hf_format("from=%s", id);
    HF_AUTO(free) char *from_time = hf_format("from=%s&to=now", at);
    expect_page(&t, from_snapshot, "~a -b +c");
    const json_t *cut = json_object_get(t.json, "from"), *counts = json_object_get(t.json, "counts");
    ck_assert_str_eq(hf_json_str(cut, "snapshot"), id);
    ck_assert_int_eq(hf_json_int(cut, "sequence"), 2);
    ck_assert(json_is_true(json_object_get(cut, "exact")));
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "to"), "sequence"), 5);
    ck_assert(json_is_null(json_object_get(json_object_get(t.json, "to"), "snapshot")));
    ck_assert_int_eq(hf_json_int(counts, "added") + hf_json_int(counts, "removed") + hf_json_int(counts, "changed"), 3);
    ck_assert_int_eq(hf_json_int(counts, "unchanged"), 0);
    const json_t *changed = json_array_get(json_object_get(t.json, "changes"), 0);
    ck_assert_int_eq(hf_json_int(changed, "fromVersion"), 1);
    ck_assert_int_eq(hf_json_int(changed, "toVersion"), 2);
    ck_assert_int_eq(hf_json_int(changed, "toBytes"), 13);
    expect_page(&t, from_time, "~a -b +c");
    ck_assert_str_eq(hf_json_str(json_object_get(t.json, "from"), "at"), at);
    expect_page(&t, "from=2&to=4", "~a +c");
    expect_page(&t, "from=4&to=2", "~a -c");
    expect_page(&t, "from=latest&to=3", "~a");
    hf_api_stop(&t);
}
END_TEST

START_TEST(one_component_comes_with_its_patch)
{
    struct hf_api_test t;
    start(&t, _i);
    put_new(&t, "a");
    put(&t, "a", "{\"n\":[1,3,{\"x\":null}]}");
    put_new(&t, "b");
    hf_api_call(&t, 200, "GET", SYSTEM "/diff?from=1&to=2&component=a", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "change"), "changed");
    struct hf_error err;
    static const char from[] = FIRST, to[] = "{\"n\":[1,3,{\"x\":null}]}";
    HF_AUTO(json) json_t *document = hf_json_parse(from, strlen(from), &err);
    HF_AUTO(json) json_t *wanted = hf_json_parse(to, strlen(to), &err);
    ck_assert_msg(hf_json_patch_apply(json_object_get(t.json, "patch"), &document, &err), "%s", err.text);
    ck_assert(json_equal(document, wanted));
    ck_assert(json_is_null(json_object_get(t.json, "reason")));
    hf_api_call(&t, 200, "GET", SYSTEM "/diff?from=1&component=b", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "change"), "added");
    ck_assert(json_is_null(json_object_get(t.json, "patch")));
    ck_assert_ptr_nonnull(strstr(hf_json_str(t.json, "reason"), "added"));
    hf_api_call(&t, 200, "GET", SYSTEM "/diff?from=2&component=a", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "change"), "unchanged");
    ck_assert_uint_eq(json_array_size(json_object_get(t.json, "patch")), 0);
    hf_api_refused(&t, 404, "not_found", "GET", SYSTEM "/diff?from=1&component=nobody", NULL);
    hf_api_stop(&t);
}
END_TEST

START_TEST(another_content_type_alone_is_a_change_as_it_is_to_a_restore)
{
    struct hf_api_test t;
    start(&t, _i);
    put_new(&t, "a");
    put_new(&t, "b");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"full\"}");
    const char *const headers[] = {"Content-Type: text/plain", NULL};
    hf_api_send(&t, 200, "PUT", SYSTEM "/components/a/state", headers, FIRST, strlen(FIRST));
    expect_page(&t, "from=latest", "~a");
    const json_t *change = json_array_get(json_object_get(t.json, "changes"), 0);
    ck_assert_str_eq(hf_json_str(change, "fromHash"), hf_json_str(change, "toHash"));
    ck_assert_str_eq(hf_json_str(change, "fromContentType"), "application/json");
    ck_assert_str_eq(hf_json_str(change, "toContentType"), "text/plain");
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "counts"), "unchanged"), 1);
    hf_api_call(&t, 200, "GET", SYSTEM "/diff?from=latest&component=a", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "change"), "changed");
    ck_assert(json_is_null(json_object_get(t.json, "patch")));
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots/latest/restore", "{}");
    expect_page(&t, "from=latest", "");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_moment_to_come_is_now)
{
    struct hf_api_test t;
    char before[HF_TIME_BYTES], after[HF_TIME_BYTES];
    start(&t, _i);
    put_new(&t, "a");
    hf_time_format(hf_clock_now_ms(), before);
    hf_api_call(&t, 200, "GET", SYSTEM "/components/a/state?at=2099-01-01T00:00:00Z", NULL);
    HF_AUTO(free) char *read_at = hf_strdup(hf_api_header(&t, "State-Cut-At"));
    hf_api_call(&t, 200, "GET", SYSTEM "/diff?from=1&to=2099-01-01T00:00:00Z", NULL);
    HF_AUTO(free) char *diff_at = hf_strdup(hf_json_str(json_object_get(t.json, "to"), "at"));
    hf_api_call(&t, 201, "POST", "/v1/systems",
                "{\"name\":\"then\",\"from\":{\"system\":\"default\",\"at\":\"2099-01-01T00:00:00Z\"}}");
    HF_AUTO(free) char *fork_at = hf_strdup(hf_json_str(json_object_get(t.json, "forkedFrom"), "at"));
    hf_api_call(&t, 201, "POST", SYSTEM "/recoveries",
                "{\"source\":\"at\",\"at\":\"2099-01-01T00:00:00Z\",\"dryRun\":true}");
    HF_AUTO(free) char *recovery_at = hf_strdup(hf_json_str(json_object_get(t.json, "cut"), "at"));
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", NULL);
    hf_time_format(hf_clock_now_ms(), after);
    const char *const told[] = {read_at, diff_at, fork_at, recovery_at};
    for (int i = 0; i < 4; i++)
        ck_assert_msg(strcmp(before, told[i]) <= 0 && strcmp(told[i], after) <= 0, "%d: %s", i, told[i]);
    hf_api_stop(&t);
}
END_TEST

START_TEST(pages_go_on_with_the_same_two_cuts)
{
    struct hf_api_test t;
    start(&t, _i);
    put_new(&t, "a");
    put_new(&t, "b");
    put_new(&t, "c");
    put_new(&t, "d");
    expect_page(&t, "from=1&limit=2", "+b +c");
    HF_AUTO(free) char *next = hf_format("from=1&limit=2&cursor=%s", hf_json_str(t.json, "nextCursor"));
    hf_api_call(&t, 204, "DELETE", SYSTEM "/components/d", NULL);
    put_new(&t, "e");
    expect_page(&t, next, "+d");
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "to"), "sequence"), 4);
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "counts"), "added"), 3);
    ck_assert(json_is_null(json_object_get(t.json, "nextCursor")));
    expect_page(&t, "from=1&limit=3", "+b +c +e");
    hf_api_refused(&t, 400, "invalid_request", "GET", SYSTEM "/diff?from=1&cursor=nonsense", NULL);
    hf_api_stop(&t);
}
END_TEST

/* The versions of a component that history still has. */
static int kept_versions(struct hf_api_test *t, const char *component)
{
    HF_AUTO(free) char *path = hf_format(SYSTEM "/components/%s/versions", component);
    return (int)json_array_size(json_object_get(hf_api_call(t, 200, "GET", path, NULL), "versions"));
}

START_TEST(a_page_is_refused_when_history_lost_what_the_first_one_compared)
{
    static const char *const environment[] = {"PERSISTENCE_HISTORY=2000", NULL};
    const struct hf_test_server_options options = {.postgres = _i != 0, .environment = environment};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    put_new(&t, "a");
    put_new(&t, "b");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"full\"}");
    HF_AUTO(free) char *next = NULL;
    for (int round = 0; !next; round++) { /* until no trim came between the upload and the page */
        HF_AUTO(free) char *text = hf_format("[%d]", round), *newer = hf_format("[%d,2]", round);
        put(&t, "a", text);
        put(&t, "b", text);
        long long sequence = hf_json_int(t.json, "sequence");
        put(&t, "a", newer);
        put(&t, "b", newer);
        HF_AUTO(free) char *path = hf_format(SYSTEM "/diff?from=%lld&limit=1", sequence);
        const json_t *page = hf_api_call(&t, 200, "GET", path, NULL);
        if (hf_json_int(json_object_get(page, "from"), "sequence") == sequence)
            next = hf_format("%s&cursor=%s", path, hf_json_str(page, "nextCursor"));
    }
    while (kept_versions(&t, "a") > 1 || kept_versions(&t, "b") > 1)
        usleep(50000);
    hf_api_refused(&t, 409, "conflict", "GET", next, NULL);
    ck_assert_detail_has(&t, "begin again");
    hf_api_stop(&t);
}
END_TEST

START_TEST(moments_that_are_none_are_refused)
{
    struct hf_api_test t;
    start(&t, _i);
    put_new(&t, "a");
    hf_api_refused(&t, 400, "invalid_request", "GET", SYSTEM "/diff", NULL);
    ck_assert_detail_has(&t, "from");
    hf_api_refused(&t, 400, "invalid_request", "GET", SYSTEM "/diff?from=-1", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", SYSTEM "/diff?from=1&to=in%20a%20while", NULL);
    ck_assert_detail_has(&t, "query parameter to");
    hf_api_refused(&t, 400, "invalid_request", "GET", SYSTEM "/diff?from=1&component=..%2Fx", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", SYSTEM "/diff?from=99", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", SYSTEM "/diff?from=full-x", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", SYSTEM "/diff?from=latest", NULL);
    ck_assert_detail_has(&t, "no complete snapshot of its own");
    hf_api_refused(&t, 404, "not_found", "GET", SYSTEM "/diff?from=2001-01-01T00:00:00Z", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/nobody/diff?from=1", NULL);
    hf_api_stop(&t);
}
END_TEST

START_TEST(reads_of_the_past_say_their_cut)
{
    struct hf_api_test t;
    start(&t, _i);
    put_new(&t, "a");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"full\"}");
    HF_AUTO(free) char *id = hf_strdup(hf_json_str(t.json, "id"));
    HF_AUTO(free) char *cut_at = hf_strdup(hf_json_str(t.json, "cutAt"));
    usleep(3000);
    char at[HF_TIME_BYTES];
    hf_time_format(hf_clock_now_ms(), at);
    usleep(3000);
    put(&t, "a", "2");
    HF_AUTO(free) char *by_time = hf_format(SYSTEM "/components/a/state?at=%s", at);
    hf_api_call(&t, 200, "GET", by_time, NULL);
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), "1");
    ck_assert_str_eq(hf_api_header(&t, "State-Cut-At"), at);
    ck_assert_ptr_null(hf_answer_header(&t.answer, "Snapshot-Id"));
    hf_api_call(&t, 200, "GET", SYSTEM "/components/a/state?sequence=1", NULL);
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), "1");
    ck_assert_str_eq(hf_api_header(&t, "State-Sequence"), "1");
    ck_assert_ptr_nonnull(hf_answer_header(&t.answer, "State-Cut-At"));
    HF_AUTO(free) char *by_snapshot = hf_format(SYSTEM "/components/a/state?snapshot=%s", id);
    hf_api_call(&t, 200, "GET", by_snapshot, NULL);
    ck_assert_str_eq(hf_api_header(&t, "Snapshot-Id"), id);
    ck_assert_str_eq(hf_api_header(&t, "State-Cut-At"), cut_at);
    hf_api_call(&t, 200, "GET", SYSTEM "/components/a/state", NULL);
    ck_assert_ptr_null(hf_answer_header(&t.answer, "State-Cut-At"));
    hf_api_refused(&t, 404, "not_found", "GET", SYSTEM "/components/a/state?sequence=3", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", SYSTEM "/components/a/state?sequence=1&version=1", NULL);
    hf_api_stop(&t);
}
END_TEST

START_TEST(dependencies_come_along_and_missing_ones_are_warnings)
{
    struct hf_api_test t;
    start(&t, _i);
    put_new(&t, "agent-7");
    put_new(&t, "model");
    hf_api_call(&t, 200, "PUT", SYSTEM "/components/agent-7", "{\"dependsOn\":[\"model\",\"nowhere\"]}");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"full\"}");
    put(&t, "agent-7", "2");
    put(&t, "model", "2");
    hf_api_call(&t, 201, "POST", SYSTEM "/recoveries",
                "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"components\":[\"agent-7\"],\"dryRun\":true,"
                "\"includeDependencies\":true}");
    const json_t *first = json_array_get(json_array_get(json_object_get(t.json, "waves"), 0), 0);
    ck_assert_str_eq(hf_json_str(first, "component"), "model");
    ck_assert_str_eq(hf_json_str(first, "because"), "agent-7");
    ck_assert_uint_eq(json_array_size(json_object_get(t.json, "components")), 1);
    ck_assert(json_is_true(json_object_get(t.json, "includeDependencies")));
    const json_t *warning = json_array_get(json_object_get(t.json, "warnings"), 0);
    ck_assert_str_eq(hf_json_str(warning, "component"), "agent-7");
    ck_assert_str_eq(hf_json_str(warning, "dependency"), "nowhere");
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "cut"), "sequence"), 2);
    HF_AUTO(free) char *apply = hf_format(SYSTEM "/recoveries/%s/apply", hf_json_str(t.json, "id"));
    hf_api_call(&t, 200, "POST", apply, NULL);
    ck_assert(json_is_true(json_object_get(json_object_get(t.json, "cut"), "exact")));
    hf_api_call(&t, 200, "GET", SYSTEM "/components/model/state", NULL);
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), "3");
    hf_api_refused(&t, 400, "invalid_request", "POST", SYSTEM "/recoveries",
                   "{\"source\":\"head\",\"includeDependencies\":true}");
    hf_api_stop(&t);
}
END_TEST

static char *make_token(const char *file, const char *role, const char *prefix)
{
    int exit_code;
    const char *const arguments[] = {
        "token", "create", "--role", role, "--tokens-file", file, prefix ? "--component-prefix" : NULL, prefix, NULL};
    char *token = hf_test_server_run(arguments, &exit_code, NULL);
    ck_assert_int_eq(exit_code, 0);
    token[strcspn(token, "\n")] = '\0';
    return token;
}

START_TEST(a_scoped_token_sees_and_moves_its_own_components_alone)
{
    struct hf_api_test t;
    HF_AUTO(free) char *directory = hf_test_temp_directory();
    HF_AUTO(free) char *file = hf_format("%s/tokens", directory);
    HF_AUTO(free) char *all = make_token(file, "operator", NULL);
    HF_AUTO(free) char *scoped = make_token(file, "operator", "agent-");
    HF_AUTO(free) char *setting = hf_format("PERSISTENCE_TOKENS_FILE=%s", file);
    const char *const environment[] = {setting, NULL};
    const struct hf_test_server_options options = {.postgres = _i != 0, .environment = environment};
    hf_api_start(&t, &options);
    t.token = all;
    hf_api_call(&t, 201, "PUT", SYSTEM "/components/agent-1/state", "1");
    hf_api_call(&t, 201, "PUT", SYSTEM "/components/model/state", "1");
    hf_api_call(&t, 200, "PUT", SYSTEM "/components/agent-1", "{\"dependsOn\":[\"model\"]}");
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{\"kind\":\"full\"}");
    hf_api_call(&t, 200, "PUT", SYSTEM "/components/agent-1/state", "2");
    hf_api_call(&t, 200, "PUT", SYSTEM "/components/model/state", "2");
    static const char with[] = "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"components\":[\"agent-1\"],"
                               "\"includeDependencies\":true,\"dryRun\":true}";
    hf_api_call(&t, 201, "POST", SYSTEM "/recoveries", with);
    HF_AUTO(free) char *apply = hf_format(SYSTEM "/recoveries/%s/apply", hf_json_str(t.json, "id"));
    t.token = scoped;
    expect_page(&t, "from=latest", "~agent-1");
    ck_assert_int_eq(hf_json_int(json_object_get(t.json, "counts"), "changed"), 1);
    hf_api_refused(&t, 403, "forbidden", "GET", SYSTEM "/diff?from=latest&component=model", NULL);
    hf_api_refused(&t, 403, "forbidden", "POST", SYSTEM "/recoveries", with);
    hf_api_refused(&t, 403, "forbidden", "POST", apply, NULL);
    t.token = all;
    hf_api_call(&t, 200, "POST", apply, NULL);
    hf_api_stop(&t);
    hf_test_remove_tree(directory);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {snapshots_sequences_and_times_are_compared,
                                  one_component_comes_with_its_patch,
                                  another_content_type_alone_is_a_change_as_it_is_to_a_restore,
                                  a_moment_to_come_is_now,
                                  pages_go_on_with_the_same_two_cuts,
                                  a_page_is_refused_when_history_lost_what_the_first_one_compared,
                                  moments_that_are_none_are_refused,
                                  reads_of_the_past_say_their_cut,
                                  dependencies_come_along_and_missing_ones_are_warnings,
                                  a_scoped_token_sees_and_moves_its_own_components_alone};
    return hf_api_run_on_both("diff", tests, sizeof(tests) / sizeof(tests[0]));
}
