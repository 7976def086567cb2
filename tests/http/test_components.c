/* Components and systems: registration, lists in pages, filters, cycles, heartbeats. */
#include "tests/support/api.h"

#include "core/auto.h"

#include <string.h>

#include "tests/support/check_main.h"

#define COMPONENTS "/v1/systems/default/components"

static void put_states(struct hf_api_test *t, int count)
{
    for (int i = 0; i < count; i++) {
        HF_AUTO(free) char *path = hf_format(COMPONENTS "/c%02d/state", i);
        hf_api_call(t, 201, "PUT", path, "1");
    }
}

START_TEST(pages_hold_every_component_once_in_name_order)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    put_states(&t, 23);
    HF_AUTO(free) char *path = hf_strdup(COMPONENTS "?limit=10");
    int seen = 0, pages = 0;
    for (bool more = true; more; pages++) {
        hf_api_call(&t, 200, "GET", path, NULL);
        size_t index;
        json_t *component;
        json_array_foreach(json_object_get(t.json, "components"), index, component)
        {
            HF_AUTO(free) char *name = hf_format("c%02d", seen++);
            ck_assert_str_eq(hf_json_str(component, "name"), name);
        }
        const char *link = hf_answer_header(&t.answer, "Link");
        more = json_is_string(json_object_get(t.json, "nextCursor"));
        ck_assert_int_eq(more, link != NULL);
        if (!more)
            break;
        /* <path?limit=10&cursor=…>; rel="next" */
        ck_assert_ptr_nonnull(strstr(link, ">; rel=\"next\""));
        free(path);
        path = hf_strndup(link + 1, strcspn(link + 1, ">"));
    }
    ck_assert_int_eq(seen, 23);
    ck_assert_int_eq(pages, 2);
    hf_api_refused(&t, 400, "invalid_request", "GET", COMPONENTS "?limit=0", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", COMPONENTS "?limit=1001", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", COMPONENTS "?limit=ten", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", COMPONENTS "?cursor=c01", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", COMPONENTS "?cursor=00", NULL);
    hf_api_stop(&t);
}
END_TEST

static int listed(struct hf_api_test *t, const char *query)
{
    HF_AUTO(free) char *path = hf_format(COMPONENTS "%s", query);
    hf_api_call(t, 200, "GET", path, NULL);
    return (int)json_array_size(json_object_get(t->json, "components"));
}

START_TEST(filters_choose_by_kind_and_health)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    put_states(&t, 3);
    hf_api_call(&t, 201, "PUT", COMPONENTS "/x", "{\"kind\":\"agent\",\"heartbeatIntervalMs\":3600000}");
    hf_api_call(&t, 201, "PUT", COMPONENTS "/y", "{\"kind\":\"agent\"}");
    hf_api_call(&t, 204, "POST", COMPONENTS "/x/heartbeat", "{\"health\":1}");
    ck_assert_int_eq(listed(&t, ""), 5);
    ck_assert_int_eq(listed(&t, "?kind=agent"), 2);
    ck_assert_int_eq(listed(&t, "?kind=agent&limit=1"), 1);
    ck_assert(json_is_string(json_object_get(t.json, "nextCursor")));
    ck_assert_int_eq(listed(&t, "?kind=nobody"), 0);
    ck_assert_int_eq(listed(&t, "?kind=agent&health=healthy"), 1);
    ck_assert_str_eq(hf_json_str(json_array_get(json_object_get(t.json, "components"), 0), "name"), "x");
    hf_api_refused(&t, 400, "invalid_request", "GET", COMPONENTS "?health=fine", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", COMPONENTS "?kin=agent", NULL);
    ck_assert_detail_has(&t, "kin");
    hf_api_call(&t, 204, "DELETE", COMPONENTS "/c00", NULL);
    ck_assert_int_eq(listed(&t, ""), 4);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_cycle_of_dependencies_is_refused_and_named)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_call(&t, 201, "PUT", COMPONENTS "/a", "{\"dependsOn\":[\"b\"]}");
    hf_api_call(&t, 201, "PUT", COMPONENTS "/b", "{\"dependsOn\":[\"c\"]}");
    hf_api_refused(&t, 409, "dependency_cycle", "PUT", COMPONENTS "/c", "{\"dependsOn\":[\"a\"]}");
    const char *cycle = hf_json_str(t.json, "cycle");
    ck_assert(strstr(cycle, "a") && strstr(cycle, "b") && strstr(cycle, "c"));
    hf_api_refused(&t, 409, "dependency_cycle", "PUT", COMPONENTS "/d", "{\"dependsOn\":[\"d\"]}");
    hf_api_call(&t, 200, "PUT", COMPONENTS "/b", "{}");
    hf_api_call(&t, 201, "PUT", COMPONENTS "/c", "{\"dependsOn\":[\"a\"]}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(what_is_sent_is_the_registration)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_call(&t, 201, "PUT", COMPONENTS "/a",
                "{\"kind\":\"agent\",\"dependsOn\":[\"m\"],\"heartbeatIntervalMs\":5,\"requiredPointers\":[\"/q~1\"]}");
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(t.json, "dependsOn"), 0)), "m");
    hf_api_call(&t, 200, "PUT", COMPONENTS "/a", "{\"kind\":\"worker\"}");
    ck_assert_str_eq(hf_json_str(t.json, "kind"), "worker");
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "dependsOn")), 0);
    ck_assert_int_eq(hf_json_int(t.json, "heartbeatIntervalMs"), 0);
    hf_test_server_kill(t.server);
    hf_test_server_start_again(t.server);
    hf_api_reconnect(&t);
    hf_api_call(&t, 200, "GET", COMPONENTS "/a", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "kind"), "worker");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_bad_registration_is_refused)
{
    static const struct {
        const char *body, *detail;
    } rows[] = {
        {"{\"kind\":7}", "kind"},
        {"{\"kind\":\"two words\"}", "kind"},
        {"{\"colour\":\"red\"}", "colour"},
        {"{\"dependsOn\":\"b\"}", "dependsOn"},
        {"{\"dependsOn\":[\"b\",\"b\"]}", "twice"},
        {"{\"dependsOn\":[\"b/c\"]}", "dependsOn[0]"},
        {"{\"heartbeatIntervalMs\":-1}", "heartbeatIntervalMs"},
        {"{\"heartbeatIntervalMs\":1.5}", "heartbeatIntervalMs"},
        {"{\"requiredPointers\":[\"q\"]}", "requiredPointers[0]"},
        {"{\"requiredPointers\":[\"/a~2\"]}", "requiredPointers[0]"},
        {"[]", "object"},
        {"{\"kind\":\"a\",\"kind\":\"b\"}", "line 1"},
    };
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hf_api_refused(&t, 400, "invalid_request", "PUT", COMPONENTS "/a", rows[i].body);
        ck_assert_detail_has(&t, rows[i].detail);
    }
    hf_api_refused(&t, 404, "not_found", "GET", COMPONENTS "/a", NULL);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_component_without_a_state_is_forgotten)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_call(&t, 201, "PUT", COMPONENTS "/planned", "{\"kind\":\"agent\"}");
    hf_api_call(&t, 204, "POST", COMPONENTS "/planned/heartbeat", "{\"health\":1}");
    const char *const if_match[] = {"If-Match: *", NULL};
    hf_api_send(&t, 412, "DELETE", COMPONENTS "/planned", if_match, NULL, 0);
    hf_api_call(&t, 204, "DELETE", COMPONENTS "/planned", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", COMPONENTS "/planned", NULL);
    hf_api_refused(&t, 404, "not_found", "DELETE", COMPONENTS "/planned", NULL);
    hf_api_call(&t, 201, "PUT", COMPONENTS "/planned/state", "1");
    ck_assert_int_eq(hf_json_int(t.json, "version"), 1);
    hf_api_call(&t, 201, "PUT", COMPONENTS "/gone", "{}");
    hf_api_call(&t, 204, "DELETE", COMPONENTS "/gone", NULL);
    ck_assert_int_eq(hf_test_server_stop(t.server), 0);
    hf_test_server_start_again(t.server);
    hf_api_reconnect(&t);
    hf_api_refused(&t, 404, "not_found", "GET", COMPONENTS "/gone", NULL);
    hf_api_call(&t, 201, "PUT", COMPONENTS "/gone", "{}");
    hf_api_call(&t, 204, "DELETE", COMPONENTS "/planned", NULL); /* has a state: a tombstone */
    hf_api_call(&t, 201, "PUT", COMPONENTS "/planned/state", "1");
    ck_assert_int_eq(hf_json_int(t.json, "version"), 3);
    hf_api_stop(&t);
}
END_TEST

START_TEST(heartbeats_tell_how_a_component_is)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_refused(&t, 404, "not_found", "POST", COMPONENTS "/a/heartbeat", "{}");
    hf_api_call(&t, 201, "PUT", COMPONENTS "/a", "{\"kind\":\"agent\",\"heartbeatIntervalMs\":3600000}");
    hf_api_call(&t, 204, "POST", COMPONENTS "/a/heartbeat",
                "{\"health\":0.25,\"status\":\"slow\",\"metrics\":{\"judgments\":12,\"loss\":0.5}}");
    hf_api_call(&t, 200, "GET", COMPONENTS "/a", NULL);
    ck_assert(json_number_value(json_object_get(t.json, "health")) <= 0.25);
    hf_api_call(&t, 204, "POST", COMPONENTS "/a/heartbeat", NULL);
    hf_api_call(&t, 200, "GET", COMPONENTS "/a", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "slow");
    ck_assert(json_number_value(json_object_get(t.json, "health")) > 0.2);
    static const char *const bad[] = {"{\"health\":1.5}",         "{\"health\":\"good\"}",
                                      "{\"metrics\":[]}",         "{\"metrics\":{\"a\":\"b\"}}",
                                      "{\"status\":1}",           "{\"mood\":1}",
                                      "{\"metrics\":{\"a b\":1}}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        hf_api_refused(&t, 400, "invalid_request", "POST", COMPONENTS "/a/heartbeat", bad[i]);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_system_is_deleted_only_when_its_name_is_said_twice)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    put_states(&t, 1);
    hf_api_refused(&t, 400, "invalid_request", "DELETE", "/v1/systems/default", NULL);
    ck_assert_detail_has(&t, "?confirm=default");
    hf_api_refused(&t, 400, "invalid_request", "DELETE", "/v1/systems/default?confirm=Default", NULL);
    hf_api_call(&t, 200, "GET", COMPONENTS "/c00/state", NULL);
    hf_api_call(&t, 204, "DELETE", "/v1/systems/default?confirm=default", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", COMPONENTS "/c00/state", NULL);
    hf_api_refused(&t, 404, "not_found", "DELETE", "/v1/systems/default?confirm=default", NULL);
    put_states(&t, 1);
    ck_assert_int_eq(hf_json_int(t.json, "version"), 1);
    hf_api_stop(&t);
}
END_TEST

START_TEST(bad_settings_of_a_system_are_refused)
{
    static const char *const bad[] = {"{\"backupIntervalMs\":1}", "{\"maxRetentionHours\":0}", "{\"description\":[]}",
                                      "{\"backupInterval\":60000}"};
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        hf_api_refused(&t, 400, "invalid_request", "PUT", "/v1/systems/s", bad[i]);
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/s", NULL);
    hf_api_stop(&t);
}
END_TEST

HF_TEST_MAIN("components", pages_hold_every_component_once_in_name_order, filters_choose_by_kind_and_health,
             a_cycle_of_dependencies_is_refused_and_named, what_is_sent_is_the_registration,
             a_bad_registration_is_refused, a_component_without_a_state_is_forgotten,
             heartbeats_tell_how_a_component_is, a_system_is_deleted_only_when_its_name_is_said_twice,
             bad_settings_of_a_system_are_refused);
