/* Every operation once, in the order in which a system lives, on both databases; and the table against the
 * description. */
#include "tests/support/api.h"

#include "api/routes.h"
#include "core/auto.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "tests/support/check_main.h"

static const char *const method_names[HF_METHOD_COUNT] = {"get", "head", "put", "post", "delete", "patch"};

static void walk_service(struct hf_api_test *t)
{
    hf_api_call(t, 200, "GET", "/", NULL);
    hf_api_call(t, 200, "GET", "/livez", NULL);
    hf_api_call(t, 200, "GET", "/readyz?verbose", NULL);
    ck_assert_ptr_nonnull(strstr(t->answer.body, "[+]database ok\n"));
    hf_api_call(t, 200, "GET", "/metrics", NULL);
    ck_assert_ptr_nonnull(strstr(t->answer.body, "# TYPE holdfast_saves_total counter\n"));
    hf_api_call(t, 200, "GET", "/v1/openapi.json", NULL);
    hf_api_call(t, 200, "GET", "/v1/status", NULL);
}

static void walk_systems(struct hf_api_test *t)
{
    hf_api_call(t, 201, "PUT", "/v1/systems/fleet", "{\"description\":\"trucks\",\"backupIntervalMs\":60000}");
    ck_assert_int_eq(hf_json_int(t->json, "backupIntervalMs"), 60000);
    ck_assert(json_is_null(json_object_get(t->json, "maxRetentionHours")));
    hf_api_call(t, 200, "PUT", "/v1/systems/fleet", "{\"maxRetentionHours\":24,\"backupIntervalMs\":null}");
    ck_assert_str_eq(hf_json_str(t->json, "description"), "");
    hf_api_call(t, 200, "GET", "/v1/systems/fleet", NULL);
    ck_assert_int_eq(hf_json_int(t->json, "maxRetentionHours"), 24);
    ck_assert_int_eq(hf_json_int(t->json, "sequence"), 0);
    hf_api_call(t, 200, "GET", "/v1/systems", NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t->json, "systems")), 1);
}

static void walk_components(struct hf_api_test *t)
{
    const char *base = "/v1/systems/fleet/components";
    hf_api_call(t, 201, "PUT", "/v1/systems/fleet/components/model",
                "{\"kind\":\"model\",\"requiredPointers\":[\"/weights\"]}");
    hf_api_call(t, 201, "PUT", "/v1/systems/fleet/components/agent-1",
                "{\"kind\":\"agent\",\"dependsOn\":[\"model\"],\"heartbeatIntervalMs\":60000}");
    hf_api_call(t, 200, "PUT", "/v1/systems/fleet/components/agent-1",
                "{\"kind\":\"agent\",\"dependsOn\":[\"model\"],\"heartbeatIntervalMs\":30000}");
    ck_assert_int_eq(hf_json_int(t->json, "heartbeatIntervalMs"), 30000);
    hf_api_call(t, 204, "POST", "/v1/systems/fleet/components/agent-1/heartbeat",
                "{\"health\":0.5,\"status\":\"learning\",\"metrics\":{\"judgments\":7}}");
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/components/agent-1", NULL);
    ck_assert_int_eq(hf_json_int(t->json, "version"), 0);
    ck_assert_str_eq(hf_json_str(t->json, "status"), "learning");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(t->json, "metrics"), "judgments")), 7);
    hf_api_call(t, 200, "GET", base, NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t->json, "components")), 2);
}

static void walk_states(struct hf_api_test *t)
{
    hf_api_call(t, 201, "PUT", "/v1/systems/fleet/components/model/state", "{\"weights\":[1,2,3]}");
    ck_assert_int_eq(hf_json_int(t->json, "version"), 1);
    ck_assert_int_eq(hf_json_int(t->json, "sequence"), 1);
    ck_assert_str_eq(hf_json_str(t->json, "durability"), "database");
    ck_assert_int_gt(hf_json_int(t->json, "nextIncrementalBackup"), 0);
    hf_api_call(t, 201, "POST", "/v1/systems/fleet/components/agent-1/state", "{\"reward\":1}");
    hf_api_call(t, 200, "POST", "/v1/systems/fleet/components/agent-1/state", "{\"reward\":2}");
    ck_assert_int_eq(hf_json_int(t->json, "version"), 2);
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/components/agent-1/state", NULL);
    ck_assert_str_eq(t->answer.body, "{\"reward\":2}");
    hf_api_call(t, 200, "HEAD", "/v1/systems/fleet/components/agent-1/state", NULL);
    ck_assert_str_eq(hf_api_header(t, "Content-Length"), "12");
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/components/agent-1/versions", NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t->json, "versions")), 2);
    const char *const merge[] = {"Content-Type: application/merge-patch+json", NULL};
    hf_api_send(t, 200, "PATCH", "/v1/systems/fleet/components/agent-1/state", merge, "{}", 2);
    ck_assert(json_is_true(json_object_get(t->json, "unchanged")));
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/components/agent-1/state/signature", NULL);
    hf_api_call(t, 200, "POST", "/v1/systems/fleet/states",
                "{\"states\":[{\"component\":\"agent-1\",\"state\":{\"reward\":3}},"
                "{\"component\":\"agent-2\",\"state\":[]}]}");
    ck_assert_int_eq(hf_json_int(t->json, "sequence"), 5);
}

static void walk_archive(struct hf_api_test *t, const char *snapshot)
{
    static const char *const tar[] = {"Content-Type: application/x-tar", NULL};
    HF_AUTO(free) char *archive = hf_format("%s/archive", snapshot);
    hf_api_call(t, 200, "GET", archive, NULL);
    size_t bytes = t->answer.body_bytes;
    HF_AUTO(free) char *copy = hf_alloc(bytes + 1);
    memcpy(copy, t->answer.body, bytes);
    hf_api_send(t, 201, "POST", "/v1/systems/copy/snapshots/import", tar, copy, bytes);
    ck_assert_str_eq(hf_json_str(t->json, "trigger"), "import");
    ck_assert_int_eq(hf_json_int(t->json, "components"), 3);
}

static void walk_snapshots(struct hf_api_test *t)
{
    hf_api_call(t, 201, "POST", "/v1/systems/fleet/snapshots", "{\"kind\":\"full\",\"label\":\"first\"}");
    ck_assert_str_eq(hf_json_str(t->json, "kind"), "full");
    ck_assert_int_eq(hf_json_int(t->json, "components"), 3);
    HF_AUTO(free) char *path = hf_format("/v1/systems/fleet/snapshots/%s", hf_json_str(t->json, "id"));
    ck_assert_str_eq(hf_api_header(t, "Location"), path);
    hf_api_call(t, 200, "POST", "/v1/systems/fleet/snapshots", "{\"kind\":\"incremental\"}");
    ck_assert(json_is_true(json_object_get(t->json, "unchanged")));
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/snapshots", NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t->json, "snapshots")), 1);
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/snapshots/latest", NULL);
    hf_api_call(t, 200, "GET", path, NULL);
    ck_assert_str_eq(hf_json_str(t->json, "label"), "first");
    hf_api_call(t, 200, "PATCH", path, "{\"label\":\"kept\",\"pinned\":true}");
    ck_assert(json_is_true(json_object_get(t->json, "pinned")));
    ck_assert(json_is_null(json_object_get(t->json, "expiresAt")));
    HF_AUTO(free) char *validate = hf_format("%s/validate", path);
    hf_api_call(t, 200, "POST", validate, NULL);
    ck_assert_str_eq(hf_json_str(t->json, "status"), "valid");
    ck_assert_int_eq(json_array_size(json_object_get(t->json, "checks")), 12);
    HF_AUTO(free) char *components = hf_format("%s/components", path);
    hf_api_call(t, 200, "GET", components, NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t->json, "components")), 3);
    walk_archive(t, path);
}

static void walk_recoveries(struct hf_api_test *t)
{
    hf_api_call(t, 201, "POST", "/v1/systems/fleet/recoveries", "{\"source\":\"head\"}");
    ck_assert_int_eq(json_array_size(json_object_get(t->json, "waves")), 2);
    ck_assert(json_is_null(json_object_get(t->json, "components")));
    HF_AUTO(free)
    char *report = hf_format("/v1/systems/fleet/recoveries/%s/components/agent-1", hf_json_str(t->json, "id"));
    hf_api_call(t, 200, "PUT", report, "{\"status\":\"restored\"}");
    hf_api_call(t, 200, "PUT", "/v1/systems/fleet/components/agent-1/state", "{\"reward\":-1}");
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/diff?from=latest&to=now", NULL);
    ck_assert_int_eq(hf_json_int(json_object_get(t->json, "counts"), "changed"), 1);
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/diff?from=latest&component=agent-1", NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t->json, "patch")), 1);
    hf_api_call(t, 201, "POST", "/v1/systems/fleet/snapshots/latest/restore", "{\"reason\":\"bad reward\"}");
    ck_assert_str_eq(hf_json_str(t->json, "status"), "applied");
    HF_AUTO(free) char *path = hf_format("/v1/systems/fleet/recoveries/%s", hf_json_str(t->json, "id"));
    hf_api_call(t, 200, "GET", path, NULL);
    ck_assert_str_eq(hf_json_str(t->json, "reason"), "bad reward");
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/recoveries", NULL);
    ck_assert_int_ge(json_array_size(json_object_get(t->json, "recoveries")), 1);
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/components/agent-1/state", NULL);
    ck_assert_str_eq(t->answer.body, "{\"reward\":3}");
    hf_api_call(t, 201, "POST", "/v1/systems/fleet/recoveries",
                "{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"dryRun\":true}");
    HF_AUTO(free) char *apply = hf_format("/v1/systems/fleet/recoveries/%s/apply", hf_json_str(t->json, "id"));
    hf_api_call(t, 200, "POST", apply, NULL);
    ck_assert_str_eq(hf_json_str(t->json, "status"), "applied");
}

static void walk_end(struct hf_api_test *t)
{
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/events", NULL);
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/status", NULL);
    hf_api_call(t, 201, "POST", "/v1/systems/fleet/drills", NULL);
    ck_assert_str_eq(hf_json_str(t->json, "status"), "passed");
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/drills", NULL);
    ck_assert_int_eq(json_array_size(json_object_get(t->json, "drills")), 1);
    hf_api_call(t, 200, "GET", "/v1/systems/fleet/retention/preview", NULL);
    ck_assert_int_eq(hf_json_int(t->json, "maxRetentionHours"), 24);
    ck_assert_int_eq(hf_json_int(t->json, "wouldDelete"), 0);
    const json_t *kept = json_array_get(json_object_get(t->json, "snapshots"), 0);
    ck_assert_str_eq(hf_json_str(kept, "decision"), "keep");
    ck_assert_str_eq(hf_json_str(kept, "reason"), "it is within the retention time");
    hf_api_call(t, 204, "DELETE", "/v1/systems/fleet/components/agent-2", NULL);
    hf_api_refused(t, 404, "not_found", "GET", "/v1/systems/fleet/components/agent-2", NULL);
    hf_api_call(t, 201, "POST", "/v1/systems/fleet/snapshots", "{\"kind\":\"incremental\"}");
    HF_AUTO(free) char *path = hf_format("/v1/systems/fleet/snapshots/%s", hf_json_str(t->json, "id"));
    hf_api_call(t, 200, "PATCH", path, "{\"pinned\":true}");
    hf_api_refused(t, 409, "snapshot_in_use", "DELETE", path, NULL);
    hf_api_call(t, 200, "PATCH", path, "{\"pinned\":false}");
    hf_api_call(t, 204, "DELETE", path, NULL);
    hf_api_refused(t, 404, "not_found", "GET", path, NULL);
    hf_api_call(t, 201, "POST", "/v1/systems", "{\"name\":\"what-if\",\"from\":{\"system\":\"fleet\"}}");
    ck_assert_str_eq(hf_api_header(t, "Location"), "/v1/systems/what-if");
    hf_api_call(t, 204, "DELETE", "/v1/systems/fleet?confirm=fleet", NULL);
    hf_api_refused(t, 404, "not_found", "GET", "/v1/systems/fleet", NULL);
}

static void walk(bool postgres)
{
    const struct hf_test_server_options options = {.postgres = postgres};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    walk_service(&t);
    walk_systems(&t);
    walk_components(&t);
    walk_states(&t);
    walk_snapshots(&t);
    walk_recoveries(&t);
    walk_end(&t);
    for (int i = 0; i < hf_route_count; i++)
        ck_assert_msg(hf_openapi_exercised(t.openapi, hf_routes[i].label), "nothing calls %s", hf_routes[i].label);
    hf_api_stop(&t);
}

START_TEST(every_operation_answers_as_described_on_sqlite)
{
    walk(false);
}
END_TEST

START_TEST(every_operation_answers_as_described_on_postgres)
{
    walk(true);
}
END_TEST

/* A path with names for its parameters that the router accepts. */
static void check_row(const struct hf_openapi *openapi, const struct hf_route *route)
{
    const json_t *operation = hf_openapi_operation(openapi, method_names[route->method], route->path);
    ck_assert_msg(operation != NULL, "%s is not described", route->label);
    ck_assert_str_eq(hf_json_str(operation, "operationId"), route->label);
    static const char *const roles[] = {NULL, "viewer", "agent", "operator"};
    const char *role = json_string_value(json_object_get(operation, "x-role"));
    ck_assert_msg(role ? roles[route->role] && strcmp(role, roles[route->role]) == 0 : route->role == HF_ROLE_NONE,
                  "%s: the roles differ", route->label);
    ck_assert_msg((json_object_get(operation, "requestBody") != NULL) == (route->body != HF_BODY_NONE),
                  "%s: the bodies differ", route->label);
}

/* The row's query parameters and the described ones, as words. */
static void check_query(const struct hf_openapi *openapi, const struct hf_route *route)
{
    const json_t *operation = hf_openapi_operation(openapi, method_names[route->method], route->path);
    const json_t *shared = json_object_get(json_object_get(hf_openapi_document(openapi), "components"), "parameters");
    char described[256] = " ";
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(operation, "parameters"), index, item)
    {
        const json_t *parameter = json_object_get(shared, strrchr(hf_json_str(item, "$ref"), '/') + 1);
        if (strcmp(hf_json_str(parameter, "in"), "query") != 0)
            continue;
        strcat(strcat(described, hf_json_str(parameter, "name")), " ");
    }
    HF_AUTO(free) char *row = hf_format(" %s%s", route->query ? route->query : "", route->query ? " " : "");
    ck_assert_msg(strcmp(row, described) == 0, "%s: the row has \"%s\", the description \"%s\"", route->label, row,
                  described);
}

START_TEST(the_route_table_and_the_description_agree)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    for (int i = 0; i < hf_route_count; i++) {
        check_row(t.openapi, &hf_routes[i]);
        check_query(t.openapi, &hf_routes[i]);
    }
    int described = 0;
    const char *path, *method;
    json_t *item, *operation;
    json_object_foreach(json_object_get(hf_openapi_document(t.openapi), "paths"), path, item)
    {
        json_object_foreach(item, method, operation)
        {
            described += strcmp(method, "parameters") != 0 && strcmp(method, "head") != 0;
        }
    }
    ck_assert_int_eq(described, hf_route_count);
    hf_api_stop(&t);
}
END_TEST

/* The checker itself must find what it is there to find. */
START_TEST(the_checker_finds_undescribed_answers)
{
    json_t *document = json_loads(
        "{\"components\":{\"schemas\":{\"Problem\":{\"type\":\"object\",\"required\":[\"code\"]}}},\"paths\":{\"/a/"
        "{b}\":"
        "{\"get\":{\"operationId\":\"x\",\"responses\":{\"200\":{\"content\":{\"application/json\":{\"schema\":"
        "{\"type\":\"object\",\"required\":[\"n\"],\"additionalProperties\":false,\"properties\":{\"n\":"
        "{\"type\":\"integer\"}}}}}}}}}}}",
        0, NULL);
    struct hf_openapi *openapi = hf_openapi_new(document);
    static const struct {
        long status;
        const char *headers, *body, *fault;
    } rows[] = {
        {200, "Content-Type: application/json\r\n", "{\"n\":1}", NULL},
        {201, "Content-Type: application/json\r\n", "{\"n\":1}", "status 201"},
        {200, "Content-Type: text/plain\r\n", "{\"n\":1}", "content type"},
        {200, "Content-Type: application/json\r\n", "{}", "lacks"},
        {200, "Content-Type: application/json\r\n", "{\"n\":1,\"m\":2}", "not described"},
        {200, "Content-Type: application/json\r\n", "{\"n\":\"1\"}", "not of type"},
        {200, "Content-Type: application/json\r\n", "{", "not JSON"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_answer answer = {.status = rows[i].status,
                                   .headers = (char *)rows[i].headers,
                                   .body = (char *)rows[i].body,
                                   .body_bytes = strlen(rows[i].body)};
        HF_AUTO(free) char *fault = hf_openapi_find_fault(openapi, "GET", "/a/1?q", &answer);
        ck_assert_msg(rows[i].fault ? fault && strstr(fault, rows[i].fault) : !fault, "row %zu: %s", i,
                      fault ? fault : "no fault");
    }
    struct hf_answer elsewhere = {.status = 200};
    HF_AUTO(free) char *fault = hf_openapi_find_fault(openapi, "GET", "/a/1/2", &elsewhere);
    ck_assert_ptr_nonnull(fault);
    hf_openapi_free(openapi);
    json_decref(document);
}
END_TEST

HF_TEST_MAIN("contract", every_operation_answers_as_described_on_sqlite,
             every_operation_answers_as_described_on_postgres, the_route_table_and_the_description_agree,
             the_checker_finds_undescribed_answers);
