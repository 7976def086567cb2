/* Components: what they declared, how they are, their heartbeats; deleting one. */
#include "api/api.h"
#include "api/auth.h"
#include "api/conditions.h"
#include "api/handlers.h"
#include "api/upload.h"
#include "core/clock.h"
#include "core/id.h"
#include "engine/health.h"

#include <math.h>
#include <string.h>

#define DEPENDS_ON_MAX        256
#define POINTERS_MAX          256
#define POINTER_BYTES_MAX     1024
#define METRICS_MAX           256
#define STATUS_BYTES_MAX      1024
#define HEARTBEAT_INTERVAL_MS (INT64_C(365) * 24 * 3600 * 1000)
#define SCAN_STEP             1000

static const char *const health_labels[] = {"healthy", "stale", "failed", "unknown", NULL};

/* What a list is to hold. */
struct filter {
    const char *kind;   /* NULL: any */
    const char *health; /* NULL: any */
    const struct hf_principal *principal;
    int64_t now_ms;
};

static bool read_filter(const struct hf_request *request, struct filter *out, struct hf_error *err);
static bool matches(const struct filter *filter, const struct hf_component_info *component);
static const char *collect(struct hf_request *request, struct hf_engine *engine, const struct filter *filter,
                           const char *after, int limit, json_t *list, bool *system_found_out);
static json_t *component_json(const struct hf_component_info *component, int64_t now_ms);
static void set_head(json_t *object, const struct hf_head *head);
static bool read_registration(struct hf_request *request, const json_t *body, struct hf_registration *out,
                              struct hf_error *err);
static bool check_pointers(const json_t *array, struct hf_error *err);
static bool pointer_is_valid(const char *text, size_t bytes);
static bool read_component(struct hf_request *request, struct hf_engine *engine, struct hf_component_info *out,
                           struct hf_error *err);
static bool forget_unused(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                          const struct hf_order *order, enum hf_verdict *out, struct hf_error *err);
static void component_deleted(struct hf_write *write);
static bool finish_delete(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);
static bool check_metrics(const json_t *metrics, struct hf_error *err);

enum hf_verdict hf_api_components_list(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct filter filter;
    const char *after = "";
    int limit;
    bool system_found;
    if (!engine || !read_filter(request, &filter, err) || !hf_api_limit(request, &limit, err) ||
        !hf_api_cursor_read(request, &after, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *page = json_object();
    json_t *list = json_array();
    hf_api_set(page, "components", list);
    const char *last = collect(request, engine, &filter, after, limit, list, &system_found);
    if (!system_found) {
        hf_error_set(err, HF_NOT_FOUND, "there is no system \"%s\"", request->params[0]);
        return HF_FAIL;
    }
    hf_api_set_next(request, reply, page, last ? hf_api_cursor_make(request, last) : NULL);
    hf_reply_json(reply, 200, page);
    return HF_DONE;
}

enum hf_verdict hf_api_component_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_component_info component;
    if (!engine || !read_component(request, engine, &component, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = component_json(&component, hf_clock_now_ms());
    hf_reply_json(reply, 200, object);
    return HF_DONE;
}

enum hf_verdict hf_api_component_register(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"kind", "dependsOn", "heartbeatIntervalMs", "requiredPointers", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, true, fields, err);
    struct hf_registration registration;
    const char *cycle = NULL;
    bool created = false;
    if (!body || !read_registration(request, body, &registration, err))
        return HF_FAIL;
    if (!hf_component_register(engine, request->params[0], request->params[1], &registration, &created, &cycle,
                               &request->arena, err)) {
        if (err->code == HF_DEPENDENCY_CYCLE && cycle)
            hf_request_problem_member(request, "cycle", hf_arena_format(&request->arena, "\"%s\"", cycle));
        return HF_FAIL;
    }
    struct hf_component_info component;
    if (!hf_catalog_read_component(engine->catalog, request->params[0], request->params[1], &request->arena,
                                   &component)) {
        hf_error_set(err, HF_NOT_FOUND, "the system was deleted meanwhile");
        return HF_FAIL;
    }
    HF_AUTO(json) json_t *object = component_json(&component, hf_clock_now_ms());
    hf_reply_json(reply, created ? 201 : 200, object);
    return HF_DONE;
}

enum hf_verdict hf_api_component_delete(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    const char *if_match = request->headers[HF_H_IF_MATCH];
    int64_t epoch;
    struct hf_order order;
    if (!engine || (if_match && !hf_etag_list_check("If-Match", if_match, err)) ||
        !hf_epoch_of_writer(request, &epoch, err) || !hf_order_of_writer(request, &order, err))
        return HF_FAIL;
    enum hf_verdict verdict;
    if (!if_match && forget_unused(request, reply, engine, &order, &verdict, err))
        return verdict;
    struct hf_write *write = hf_arena_alloc(&request->arena, sizeof(*write));
    struct hf_save_item *item = hf_arena_alloc(&request->arena, sizeof(*item));
    *item = (struct hf_save_item){.component = request->params[1],
                                  .content_type = "",
                                  .delete_it = true,
                                  .if_match = if_match};
    *write = (struct hf_write){.system = request->params[0],
                               .state_epoch = epoch,
                               .order = order,
                               .items = item,
                               .item_count = 1,
                               .done = component_deleted,
                               .context = request};
    request->work = write;
    request->finish = finish_delete;
    return hf_committer_submit(engine->committer, write, err) ? HF_LATER : HF_FAIL;
}

enum hf_verdict hf_api_component_heartbeat(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"health", "status", "metrics", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, true, fields, err);
    struct hf_component_info component;
    if (!body || !read_component(request, engine, &component, err))
        return HF_FAIL;
    double health = component.report.health; /* a heartbeat without one says: as before */
    const char *status = NULL;
    const json_t *metrics = json_object_get(body, "metrics");
    if (!hf_json_get_number(body, "health", 0, 1, &health, err) || !hf_json_get_text(body, "status", &status, err) ||
        (metrics && !check_metrics(metrics, err)))
        return HF_FAIL;
    if (status && strlen(status) > STATUS_BYTES_MAX) {
        hf_error_set(err, HF_INVALID_REQUEST, "field \"status\" is longer than %d bytes", STATUS_BYTES_MAX);
        return HF_FAIL;
    }
    HF_AUTO(free) char *metrics_json = metrics ? hf_json_text(metrics) : NULL;
    if (!hf_catalog_heartbeat(engine->catalog, request->params[0], request->params[1], health, status, metrics_json,
                              hf_clock_now_ms())) {
        hf_error_set(err, HF_NOT_FOUND, "the component was deleted meanwhile");
        return HF_FAIL;
    }
    return hf_api_no_content(reply);
}

static bool read_filter(const struct hf_request *request, struct filter *out, struct hf_error *err)
{
    *out = (struct filter){hf_request_query(request, "kind"), hf_request_query(request, "health"), request->principal,
                           hf_clock_now_ms()};
    for (int i = 0; out->health && strcmp(out->health, health_labels[i]) != 0; i++)
        if (!health_labels[i + 1])
            return hf_error_set(err, HF_INVALID_REQUEST,
                                "query parameter health must be healthy, stale, failed or unknown");
    return true;
}

static bool matches(const struct filter *filter, const struct hf_component_info *component)
{
    return !component->head.deleted && hf_auth_component_allowed(filter->principal, component->name) &&
           (!filter->kind || strcmp(filter->kind, component->registration.kind) == 0) &&
           (!filter->health || strcmp(filter->health, hf_component_health(component, filter->now_ms).label) == 0);
}

/* Walks the catalogue in steps until the page is full. Returns the last name on the page when there is another page. */
static const char *collect(struct hf_request *request, struct hf_engine *engine, const struct filter *filter,
                           const char *after, int limit, json_t *list, bool *system_found_out)
{
    const char *last_listed = NULL;
    int listed = 0;
    for (;;) {
        HF_AUTO(arena) struct hf_arena arena;
        hf_arena_init(&arena);
        int count;
        const struct hf_component_info *found = hf_catalog_list_components(engine->catalog, request->params[0], after,
                                                                           SCAN_STEP, &arena, &count, system_found_out);
        if (!*system_found_out)
            return NULL;
        for (int i = 0; i < count; i++) {
            if (!matches(filter, &found[i]))
                continue;
            if (listed == limit)
                return last_listed;
            json_array_append_new(list, component_json(&found[i], filter->now_ms));
            if (++listed == limit)
                last_listed = hf_arena_strdup(&request->arena, found[i].name);
        }
        if (count < SCAN_STEP)
            return NULL;
        after = hf_arena_strdup(&request->arena, found[count - 1].name);
    }
}

static json_t *component_json(const struct hf_component_info *component, int64_t now_ms)
{
    const struct hf_registration *registration = &component->registration;
    const struct hf_health_report *report = &component->report;
    struct hf_component_health health = hf_component_health(component, now_ms);
    json_t *object = json_object();
    hf_api_set_text(object, "name", component->name);
    hf_api_set_text(object, "kind", registration->kind ? registration->kind : "");
    hf_api_set_stored(object, "dependsOn", registration->depends_on_json, "[]");
    hf_api_set_stored(object, "requiredPointers", registration->required_pointers_json, "[]");
    hf_api_set_int(object, "heartbeatIntervalMs", registration->heartbeat_interval_ms);
    hf_json_set_time(object, "registeredAt", registration->registered_at_ms);
    set_head(object, &component->head);
    hf_json_set_time(object, "createdAt", component->created_at_ms);
    hf_json_set_time(object, "lastActivityAt", component->last_activity_at_ms);
    hf_json_set_time(object, "heartbeatAt", report->heartbeat_at_ms);
    hf_api_set(object, "health", json_real(round(health.score * 10000) / 10000)); /* more would be noise */
    hf_api_set_text(object, "healthLabel", health.label);
    hf_api_set_text(object, "status", report->status ? report->status : "");
    hf_api_set_stored(object, "metrics", report->metrics, "{}");
    hf_api_set(object, "damaged", json_boolean(component->damaged));
    return object;
}

/* Version 0: registered, no state yet. */
static void set_head(json_t *object, const struct hf_head *head)
{
    bool present = hf_head_is_present(head);
    hf_api_set_int(object, "version", head->version);
    hf_api_set_int(object, "sequence", head->sequence);
    hf_api_set_hash(object, "hash", present ? &head->hash : NULL);
    hf_api_set_int(object, "bytes", present ? head->bytes : 0);
    hf_api_set_text(object, "contentType", present ? head->content_type : NULL);
    hf_json_set_time(object, "committedAt", present ? head->committed_at_ms : 0);
}

static bool read_registration(struct hf_request *request, const json_t *body, struct hf_registration *out,
                              struct hf_error *err)
{
    *out = (struct hf_registration){.kind = "", .depends_on_json = "[]", .required_pointers_json = "[]"};
    if (!hf_json_get_text(body, "kind", &out->kind, err) ||
        !hf_json_get_int(body, "heartbeatIntervalMs", 0, HEARTBEAT_INTERVAL_MS, &out->heartbeat_interval_ms, err) ||
        !hf_api_name_list(request, body, "dependsOn", DEPENDS_ON_MAX, &out->depends_on, &out->depends_on_count, err))
        return false;
    if (*out->kind && !hf_name_is_valid(out->kind, strlen(out->kind)))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"kind\" must be a name: letters, digits and . _ : - of at most %d characters",
                            HF_NAME_MAX);
    const json_t *depends_on = json_object_get(body, "dependsOn");
    const json_t *pointers = json_object_get(body, "requiredPointers");
    if (pointers && !check_pointers(pointers, err))
        return false;
    out->kind = hf_arena_strdup(&request->arena, out->kind);
    if (depends_on) {
        HF_AUTO(free) char *text = hf_json_text(depends_on);
        out->depends_on_json = hf_arena_strdup(&request->arena, text);
    }
    if (pointers) {
        HF_AUTO(free) char *text = hf_json_text(pointers);
        out->required_pointers_json = hf_arena_strdup(&request->arena, text);
    }
    return true;
}

static bool check_pointers(const json_t *array, struct hf_error *err)
{
    size_t index, count = json_array_size(array);
    const json_t *pointer;
    if (!json_is_array(array) || count > POINTERS_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"requiredPointers\" must be an array of at most %d JSON pointers", POINTERS_MAX);
    json_array_foreach(array, index, pointer)
    {
        if (!json_is_string(pointer) || !pointer_is_valid(json_string_value(pointer), json_string_length(pointer)))
            return hf_error_set(err, HF_INVALID_REQUEST,
                                "requiredPointers[%zu] is not a JSON pointer (RFC 6901) such as /qTable", index);
    }
    return true;
}

static bool pointer_is_valid(const char *text, size_t bytes)
{
    if (bytes > POINTER_BYTES_MAX || strlen(text) != bytes || (bytes > 0 && text[0] != '/'))
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == '~' && text[i + 1] != '0' && text[i + 1] != '1')
            return false;
    return true;
}

static bool read_component(struct hf_request *request, struct hf_engine *engine, struct hf_component_info *out,
                           struct hf_error *err)
{
    const char *system = request->params[0], *component = request->params[1];
    if (hf_catalog_read_component(engine->catalog, system, component, &request->arena, out)) {
        if (!out->head.deleted)
            return true;
        return hf_error_set(err, HF_NOT_FOUND, "component \"%s\" was deleted; its history and snapshots remain",
                            component);
    }
    struct hf_system_info info;
    return hf_api_read_system(engine, system, &info, err) &&
           hf_error_set(err, HF_NOT_FOUND, "system \"%s\" has no component \"%s\"", system, component);
}

/* One that never had a state leaves no history behind, so it needs no tombstone. False: it has or had one. */
static bool forget_unused(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                          const struct hf_order *order, enum hf_verdict *out, struct hf_error *err)
{
    struct hf_head head;
    bool forgotten = false;
    if (!hf_catalog_read_head(engine->catalog, request->params[0], request->params[1], &head, NULL, NULL) ||
        head.version > 0)
        return false;
    if (!request->on_worker)
        *out = HF_RETRY_ON_WORKER;
    else if (!hf_component_forget(engine, request->params[0], request->params[1], order, &forgotten, err))
        *out = HF_FAIL;
    else if (forgotten)
        *out = hf_api_no_content(reply);
    else /* an upload was faster */
        return false;
    return true;
}

/* Committer thread. */
static void component_deleted(struct hf_write *write)
{
    hf_request_complete(write->context);
}

static bool finish_delete(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    const struct hf_write *write = request->work;
    if (!write->ok)
        return hf_upload_fail(request, write, err);
    return hf_api_no_content(reply) == HF_DONE;
}

static bool check_metrics(const json_t *metrics, struct hf_error *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(metrics) || json_object_size(metrics) > METRICS_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"metrics\" must be an object of at most %d numbers",
                            METRICS_MAX);
    json_object_foreach((json_t *)metrics, name, value)
    {
        if (!hf_name_is_valid(name, strlen(name)))
            return hf_error_set(err, HF_INVALID_REQUEST, "metric names hold letters, digits and . _ : - only");
        if (!json_is_number(value))
            return hf_error_set(err, HF_INVALID_REQUEST, "metric %s must be a number", name);
    }
    return true;
}
