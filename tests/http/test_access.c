/* Tokens: who may do what. */
#include "tests/support/api.h"

#include "core/auto.h"

#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/temp.h"

#define STATE "/v1/systems/default/components/agent-1/state"

/* A server whose tokens file holds these tokens. */
struct guarded {
    struct hf_api_test t;
    char *directory;
    char *viewer, *agent, *operator_, *scoped, *of_default, *of_what_if;
};

static char *make_token(const char *file, const char *role, const char *system, const char *prefix)
{
    const char *arguments[16] = {"token", "create", "--role", role, "--tokens-file", file};
    int count = 6, exit_code;
    if (system) {
        arguments[count++] = "--system";
        arguments[count++] = system;
    }
    if (prefix) {
        arguments[count++] = "--component-prefix";
        arguments[count++] = prefix;
    }
    char *token = hf_test_server_run(arguments, &exit_code, NULL);
    ck_assert_int_eq(exit_code, 0);
    token[strcspn(token, "\n")] = '\0';
    ck_assert_int_eq(strncmp(token, "hft_", 4), 0);
    return token;
}

static void start(struct guarded *g)
{
    g->directory = hf_test_temp_directory();
    HF_AUTO(free) char *file = hf_format("%s/tokens", g->directory);
    g->viewer = make_token(file, "viewer", NULL, NULL);
    g->agent = make_token(file, "agent", NULL, NULL);
    g->operator_ = make_token(file, "operator", NULL, NULL);
    g->scoped = make_token(file, "operator", "default", "agent-");
    g->of_default = make_token(file, "operator", "default", NULL);
    g->of_what_if = make_token(file, "operator", "what-if", NULL);
    HF_AUTO(free) char *setting = hf_format("PERSISTENCE_TOKENS_FILE=%s", file);
    const char *const environment[] = {setting, NULL};
    const struct hf_test_server_options options = {.environment = environment};
    hf_api_start(&g->t, &options);
}

static void stop(struct guarded *g)
{
    g->t.token = NULL;
    hf_api_stop(&g->t);
    hf_test_remove_tree(g->directory);
    free(g->directory);
    free(g->viewer);
    free(g->agent);
    free(g->operator_);
    free(g->of_default);
    free(g->of_what_if);
    free(g->scoped);
}

START_TEST(without_a_token_only_the_open_paths_answer)
{
    struct guarded g;
    start(&g);
    hf_api_refused(&g.t, 401, "unauthorized", "GET", STATE, NULL);
    ck_assert_ptr_nonnull(strstr(hf_api_header(&g.t, "WWW-Authenticate"), "Bearer"));
    hf_api_refused(&g.t, 401, "unauthorized", "PUT", STATE, "1");
    hf_api_refused(&g.t, 401, "unauthorized", "GET", "/v1/status", NULL);
    hf_api_refused(&g.t, 401, "unauthorized", "GET", "/metrics", NULL);
    hf_api_call(&g.t, 200, "GET", "/livez", NULL);
    hf_api_call(&g.t, 200, "GET", "/readyz", NULL);
    hf_api_call(&g.t, 200, "GET", "/v1/openapi.json", NULL);
    g.t.token = "hft_nobody_0000000000000000000000000000000000000000";
    hf_api_refused(&g.t, 401, "unauthorized", "GET", STATE, NULL);
    g.t.token = "nonsense";
    hf_api_refused(&g.t, 401, "unauthorized", "GET", STATE, NULL);
    stop(&g);
}
END_TEST

START_TEST(each_role_includes_the_ones_before_it_and_no_more)
{
    struct guarded g;
    start(&g);
    g.t.token = g.viewer;
    hf_api_refused(&g.t, 403, "forbidden", "PUT", STATE, "1");
    hf_api_refused(&g.t, 403, "forbidden", "POST", "/v1/systems/default/states", "{}");
    hf_api_call(&g.t, 200, "GET", "/v1/status", NULL);
    g.t.token = g.agent;
    hf_api_call(&g.t, 201, "PUT", STATE, "1");
    hf_api_call(&g.t, 200, "GET", STATE, NULL);
    hf_api_refused(&g.t, 403, "forbidden", "POST", "/v1/systems/default/snapshots", "{}");
    hf_api_refused(&g.t, 403, "forbidden", "DELETE", "/v1/systems/default?confirm=default", NULL);
    hf_api_refused(&g.t, 403, "forbidden", "POST", "/v1/systems/default/recoveries", "{\"source\":\"head\"}");
    g.t.token = g.viewer;
    hf_api_call(&g.t, 200, "GET", STATE, NULL);
    g.t.token = g.operator_;
    hf_api_call(&g.t, 201, "POST", "/v1/systems/default/snapshots", "{}");
    hf_api_call(&g.t, 200, "PUT", STATE, "2");
    stop(&g);
}
END_TEST

START_TEST(a_scoped_token_stays_within_its_system_and_prefix)
{
    struct guarded g;
    start(&g);
    g.t.token = g.operator_;
    hf_api_call(&g.t, 201, "PUT", "/v1/systems/other/components/agent-1/state", "1");
    hf_api_call(&g.t, 201, "PUT", "/v1/systems/default/components/model/state", "1");
    g.t.token = g.scoped;
    hf_api_call(&g.t, 201, "PUT", STATE, "1");
    hf_api_refused(&g.t, 403, "forbidden", "PUT", "/v1/systems/default/components/model/state", "2");
    hf_api_refused(&g.t, 403, "forbidden", "PUT", "/v1/systems/other/components/agent-1/state", "2");
    hf_api_refused(&g.t, 403, "forbidden", "GET", "/v1/systems/other", NULL);
    hf_api_refused(&g.t, 403, "forbidden", "POST", "/v1/systems/default/states",
                   "{\"states\":[{\"component\":\"agent-1\",\"state\":3},{\"component\":\"model\",\"state\":3}]}");
    ck_assert_detail_has(&g.t, "model");
    hf_api_call(&g.t, 200, "POST", "/v1/systems/default/states",
                "{\"states\":[{\"component\":\"agent-1\",\"state\":4},{\"component\":\"agent-2\",\"state\":4}]}");
    hf_api_refused(&g.t, 403, "forbidden", "DELETE", "/v1/systems/default?confirm=default", NULL);
    g.t.token = g.operator_;
    hf_api_call(&g.t, 201, "POST", "/v1/systems/default/snapshots", "{}");
    g.t.token = g.scoped;
    hf_api_refused(&g.t, 403, "forbidden", "POST", "/v1/systems/default/snapshots/latest/restore", "{}");
    hf_api_refused(&g.t, 403, "forbidden", "POST", "/v1/systems/default/recoveries",
                   "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"components\":[\"agent-1\",\"model\"]}");
    ck_assert_detail_has(&g.t, "model");
    hf_api_call(&g.t, 201, "POST", "/v1/systems/default/recoveries",
                "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"components\":[\"agent-1\"]}");
    g.t.token = g.operator_;
    hf_api_call(&g.t, 201, "POST", "/v1/systems/default/recoveries",
                "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"dryRun\":true}");
    HF_AUTO(free)
    char *apply = hf_format("/v1/systems/default/recoveries/%s/apply", hf_json_str(g.t.json, "id"));
    g.t.token = g.scoped;
    hf_api_refused(&g.t, 403, "forbidden", "POST", apply, NULL); /* a plan of everything */
    stop(&g);
}
END_TEST

START_TEST(a_fork_needs_both_systems_and_all_of_them)
{
    struct guarded g;
    start(&g);
    g.t.token = g.operator_;
    hf_api_call(&g.t, 201, "PUT", STATE, "1");
    const char *fork = "{\"name\":\"what-if\",\"from\":{\"system\":\"default\"}}";
    const char *const too_small[] = {g.viewer, g.agent, g.scoped, g.of_default, g.of_what_if};
    for (size_t i = 0; i < sizeof(too_small) / sizeof(too_small[0]); i++) {
        g.t.token = too_small[i];
        hf_api_refused(&g.t, 403, "forbidden", "POST", "/v1/systems", fork);
    }
    g.t.token = g.operator_;
    hf_api_call(&g.t, 404, "GET", "/v1/systems/what-if", NULL);
    hf_api_call(&g.t, 201, "POST", "/v1/systems", fork);
    stop(&g);
}
END_TEST

/* Follows the pages of a list of components; every name must be within the prefix. */
static int count_listed(struct guarded *g, const char *path, int *pages_out)
{
    HF_AUTO(free) char *next = hf_strdup("");
    int count = 0;
    *pages_out = 0;
    for (; next; (*pages_out)++) {
        HF_AUTO(free) char *url = hf_format("%s?limit=2%s%s", path, *next ? "&cursor=" : "", next);
        json_t *page = hf_api_call(&g->t, 200, "GET", url, NULL), *entry;
        size_t index;
        json_array_foreach(json_object_get(page, "components"), index, entry)
        {
            ck_assert_msg(strncmp(hf_json_str(entry, "name"), "agent-", 6) == 0, "%s", hf_json_str(entry, "name"));
            count++;
        }
        const char *cursor = json_string_value(json_object_get(page, "nextCursor"));
        free(next);
        next = cursor ? hf_strdup(cursor) : NULL;
    }
    return count;
}

START_TEST(a_token_for_a_prefix_sees_and_changes_nothing_else)
{
    static const char *const names[] = {"aa", "agent-1", "agent-2", "agent-3", "agenz", "model", "agen"};
    struct guarded g;
    int pages;
    start(&g);
    g.t.token = g.operator_;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        HF_AUTO(free) char *path = hf_format("/v1/systems/default/components/%s/state", names[i]);
        hf_api_call(&g.t, 201, "PUT", path, "1");
    }
    hf_api_call(&g.t, 201, "POST", "/v1/systems/default/snapshots", "{}");
    hf_api_call(&g.t, 201, "POST", "/v1/systems/default/recoveries",
                "{\"source\":\"snapshot\",\"snapshot\":\"latest\"}");
    HF_AUTO(free) char *recovery = hf_format("/v1/systems/default/recoveries/%s", hf_json_str(g.t.json, "id"));
    ck_assert_ptr_nonnull(strstr(g.t.answer.body, "\"model\""));

    g.t.token = g.scoped;
    ck_assert_int_eq(count_listed(&g, "/v1/systems/default/components", &pages), 3);
    ck_assert_int_eq(pages, 2);
    ck_assert_int_eq(count_listed(&g, "/v1/systems/default/snapshots/latest/components", &pages), 3);
    ck_assert_int_eq(pages, 2);
    hf_api_call(&g.t, 200, "GET", recovery, NULL);
    ck_assert_ptr_null(strstr(g.t.answer.body, "\"model\""));
    ck_assert_ptr_nonnull(strstr(g.t.answer.body, "\"agent-1\""));
    HF_AUTO(free) char *own = hf_format("%s/components/agent-1", recovery);
    HF_AUTO(free) char *other = hf_format("%s/components/model", recovery);
    hf_api_call(&g.t, 200, "PUT", own, "{\"status\":\"failed\"}");
    hf_api_refused(&g.t, 403, "forbidden", "PUT", other, "{\"status\":\"failed\"}");
    g.t.token = g.viewer;
    hf_api_refused(&g.t, 403, "forbidden", "PUT", own, "{\"status\":\"failed\"}");
    g.t.token = g.agent;
    hf_api_call(&g.t, 200, "PUT", other, "{\"status\":\"failed\"}");
    g.t.token = g.scoped;
    hf_api_call(&g.t, 200, "GET", recovery, NULL);
    ck_assert_ptr_null(strstr(g.t.answer.body, "\"model\""));

    hf_api_refused(&g.t, 403, "forbidden", "POST", "/v1/systems/default/snapshots", "{}");
    ck_assert_detail_has(&g.t, "components named agent-… only");
    hf_api_refused(&g.t, 403, "forbidden", "PATCH", "/v1/systems/default/snapshots/latest", "{\"pinned\":true}");
    hf_api_refused(&g.t, 403, "forbidden", "DELETE", "/v1/systems/default/snapshots/latest", NULL);
    hf_api_refused(&g.t, 403, "forbidden", "PUT", "/v1/systems/default", "{}");
    hf_api_refused(&g.t, 403, "forbidden", "POST", "/v1/systems/default/recoveries", "{\"source\":\"head\"}");
    ck_assert_detail_has(&g.t, "components named agent-… only");
    stop(&g);
}
END_TEST

START_TEST(a_token_made_while_the_server_runs_is_known_soon)
{
    struct guarded g;
    start(&g);
    HF_AUTO(free) char *file = hf_format("%s/tokens", g.directory);
    HF_AUTO(free) char *token = make_token(file, "agent", NULL, NULL);
    HF_AUTO(free) char *header = hf_format("Authorization: Bearer %s", token);
    long status = 0;
    for (int naps = 0; status != 201; hf_api_nap(&naps)) {
        struct hf_answer answer;
        ck_assert(hf_client_call(g.t.client, "PUT", STATE, "1", header, &answer));
        status = answer.status;
        hf_answer_done(&answer);
    }
    stop(&g);
}
END_TEST

START_TEST(without_tokens_only_loopback_is_listened_on)
{
    const char *const arguments[] = {"--listen", "0.0.0.0:0", "--data-directory", "/nonexistent/holdfast", NULL};
    int exit_code;
    char *errors = NULL;
    free(hf_test_server_run(arguments, &exit_code, &errors));
    ck_assert_int_eq(exit_code, 1);
    ck_assert_msg(strstr(errors, "token"), "%s", errors);
    free(errors);
}
END_TEST

HF_TEST_MAIN("access", without_a_token_only_the_open_paths_answer, each_role_includes_the_ones_before_it_and_no_more,
             a_scoped_token_stays_within_its_system_and_prefix, a_token_for_a_prefix_sees_and_changes_nothing_else,
             a_fork_needs_both_systems_and_all_of_them, a_token_made_while_the_server_runs_is_known_soon,
             without_tokens_only_loopback_is_listened_on);
