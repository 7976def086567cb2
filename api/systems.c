/* Systems: list, look at, set up, delete. */
#include "api/api.h"
#include "api/auth.h"
#include "api/handlers.h"

#include <string.h>

#define INTERVAL_MIN_MS       100
#define INTERVAL_MAX_MS       (INT64_C(3650) * 24 * 3600 * 1000)
#define RETENTION_MAX_HOURS   87600
#define DESCRIPTION_BYTES_MAX 1024

static json_t *system_json(const struct hf_system_info *system);
static void set_setting(json_t *object, const char *name, int64_t value);
static bool read_settings(json_t *object, struct hf_system_settings *out, struct hf_error *err);

enum hf_verdict hf_api_systems_list(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    int count;
    const struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &request->arena, &count);
    const char *only = request->principal->system;
    HF_AUTO(json) json_t *page = json_object();
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        if (!only || strcmp(only, systems[i].name) == 0)
            json_array_append_new(list, system_json(&systems[i]));
    hf_api_set(page, "systems", list);
    hf_reply_json(reply, 200, page);
    return HF_DONE;
}

enum hf_verdict hf_api_system_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_system_info system;
    if (!engine || !hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = system_json(&system);
    hf_reply_json(reply, 200, object);
    return HF_DONE;
}

enum hf_verdict hf_api_system_put(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"backupIntervalMs", "incrementalIntervalMs", "maxRetentionHours",
                                         "description", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, true, fields, err);
    struct hf_system_settings settings;
    struct hf_system_info system;
    bool created = false;
    if (!body || !read_settings(body, &settings, err) ||
        !hf_system_put(engine, request->params[0], &settings, &created, err) ||
        !hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = system_json(&system);
    hf_reply_json(reply, created ? 201 : 200, object);
    return HF_DONE;
}

enum hf_verdict hf_api_system_delete(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    const char *confirm = hf_request_query(request, "confirm");
    struct hf_system_info system;
    if (!engine || !hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    if (!confirm || strcmp(confirm, system.name) != 0) {
        hf_error_set(err, HF_INVALID_REQUEST,
                     "this deletes all states, history and snapshots of the system; if that is meant, send ?confirm=%s",
                     system.name);
        return HF_FAIL;
    }
    return hf_system_delete(engine, system.name, err) ? hf_api_no_content(reply) : HF_FAIL;
}

static json_t *system_json(const struct hf_system_info *system)
{
    json_t *object = json_object();
    hf_api_set_text(object, "name", system->name);
    hf_api_set_text(object, "description", system->description);
    hf_api_set_int(object, "sequence", system->sequence);
    hf_api_set_int(object, "epoch", system->epoch);
    hf_api_set_int(object, "components", system->components);
    hf_api_set_int(object, "stateBytes", system->state_bytes);
    hf_json_set_time(object, "createdAt", system->created_at_ms);
    hf_json_set_time(object, "committedAt", system->committed_at_ms);
    set_setting(object, "backupIntervalMs", system->backup_interval_ms);
    set_setting(object, "incrementalIntervalMs", system->incremental_interval_ms);
    set_setting(object, "maxRetentionHours", system->max_retention_hours);
    return object;
}

/* null: the service's setting counts. */
static void set_setting(json_t *object, const char *name, int64_t value)
{
    hf_api_set(object, name, value < 0 ? json_null() : json_integer(value));
}

/* What is left out or null goes back to the service's setting. */
static bool read_settings(json_t *object, struct hf_system_settings *out, struct hf_error *err)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, name, value)
    {
        if (json_is_null(value))
            json_object_del(object, name);
    }
    *out = (struct hf_system_settings){"", -1, -1, -1};
    if (!hf_json_get_text(object, "description", &out->description, err) ||
        !hf_json_get_int(object, "backupIntervalMs", INTERVAL_MIN_MS, INTERVAL_MAX_MS, &out->backup_interval_ms, err) ||
        !hf_json_get_int(object, "incrementalIntervalMs", INTERVAL_MIN_MS, INTERVAL_MAX_MS,
                         &out->incremental_interval_ms, err) ||
        !hf_json_get_int(object, "maxRetentionHours", 1, RETENTION_MAX_HOURS, &out->max_retention_hours, err))
        return false;
    if (strlen(out->description) > DESCRIPTION_BYTES_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"description\" is longer than %d bytes",
                            DESCRIPTION_BYTES_MAX);
    return true;
}
