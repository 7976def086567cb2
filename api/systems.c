/* Systems: list, look at, set up, fork, delete. */
#include "api/api.h"
#include "api/auth.h"
#include "api/handlers.h"
#include "core/clock.h"
#include "core/id.h"
#include "engine/fork.h"

#include <string.h>

#define INTERVAL_MIN_MS       100
#define INTERVAL_MAX_MS       (INT64_C(3650) * 24 * 3600 * 1000)
#define RETENTION_MAX_HOURS   87600
#define DESCRIPTION_BYTES_MAX 1024

static bool read_fork(struct hf_request *request, const json_t *body, struct hf_fork_request *out,
                      struct hf_error *err);
static bool read_name(struct hf_request *request, const json_t *object, const char *field, const char **out,
                      struct hf_error *err);
static bool read_moment(struct hf_request *request, const json_t *from, struct hf_past_moment *out,
                        struct hf_error *err);
static json_t *forked_from_json(const struct hf_fork_request *wanted, const struct hf_fork *fork);
static bool check_description(const char *description, struct hf_error *err);
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

enum hf_verdict hf_api_system_create(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"name", "description", "from", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, false, fields, err);
    struct hf_fork_request wanted = {0};
    struct hf_fork fork;
    if (!body || !read_fork(request, body, &wanted, err) || !hf_fork_make(engine, &wanted, &request->arena, &fork, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = system_json(&fork.system);
    hf_api_set(object, "forkedFrom", wanted.from ? forked_from_json(&wanted, &fork) : json_null());
    hf_reply_header_format(request, reply, "Location", "/v1/systems/%s", wanted.name);
    hf_reply_json(reply, 201, object);
    return HF_DONE;
}

enum hf_verdict hf_api_system_delete(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    const char *confirm = hf_request_query(request, "confirm");
    const char *force = hf_request_query(request, "force");
    struct hf_system_info system;
    if (!engine || !hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    if (force && strcmp(force, "true") != 0 && strcmp(force, "false") != 0) {
        hf_error_set(err, HF_INVALID_REQUEST, "query parameter force must be true or false");
        return HF_FAIL;
    }
    if (!confirm || strcmp(confirm, system.name) != 0) {
        hf_error_set(err, HF_INVALID_REQUEST,
                     "this deletes all states, history and snapshots of the system; if that is meant, send ?confirm=%s",
                     system.name);
        return HF_FAIL;
    }
    return hf_system_delete(engine, system.name, force && strcmp(force, "true") == 0, err) ? hf_api_no_content(reply)
                                                                                           : HF_FAIL;
}

static bool read_fork(struct hf_request *request, const json_t *body, struct hf_fork_request *out, struct hf_error *err)
{
    static const char *const fields[] = {"system", "at", "snapshot", "sequence", NULL};
    const char *description = "";
    if (!read_name(request, body, "name", &out->name, err) ||
        !hf_json_get_text(body, "description", &description, err) || !check_description(description, err))
        return false;
    out->description = hf_arena_strdup(&request->arena, description);
    const json_t *from = json_object_get(body, "from");
    if (!from)
        return true;
    return (hf_json_only_fields(from, fields, err) && read_name(request, from, "system", &out->from, err) &&
            read_moment(request, from, &out->moment, err)) ||
           hf_error_wrap(err, "field \"from\"");
}

static bool read_name(struct hf_request *request, const json_t *object, const char *field, const char **out,
                      struct hf_error *err)
{
    const char *name = NULL;
    if (!hf_json_get_text(object, field, &name, err))
        return false;
    if (!name || !hf_name_is_valid(name, strlen(name)))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"%s\" must be the name of a system: 1 to %d of A-Z a-z 0-9 . _ : -, the first a "
                            "letter or digit",
                            field, HF_NAME_MAX);
    *out = hf_arena_strdup(&request->arena, name);
    return true;
}

static bool read_moment(struct hf_request *request, const json_t *from, struct hf_past_moment *out,
                        struct hf_error *err)
{
    const char *at = NULL, *snapshot = NULL;
    int64_t sequence = -1;
    if (!hf_json_get_text(from, "at", &at, err) || !hf_json_get_text(from, "snapshot", &snapshot, err) ||
        !hf_json_get_int(from, "sequence", 0, INT64_MAX, &sequence, err))
        return false;
    if ((at != NULL) + (snapshot != NULL) + (sequence >= 0) > 1)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "at, snapshot and sequence are three ways to name one moment; send at most one of them");
    *out = (struct hf_past_moment){.kind = HF_PAST_NOW};
    if (at) {
        out->kind = HF_PAST_AT;
        return hf_time_parse(at, &out->at_ms) ||
               hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"at\" must be an RFC 3339 time such as 2026-11-23T01:30:00Z");
    }
    if (snapshot) {
        out->kind = HF_PAST_SNAPSHOT;
        out->snapshot = hf_arena_strdup(&request->arena, snapshot);
        return hf_name_is_valid(snapshot, strlen(snapshot)) ||
               hf_error_set(err, HF_INVALID_REQUEST, "field \"snapshot\" must be a snapshot id or latest");
    }
    if (sequence >= 0)
        *out = (struct hf_past_moment){.kind = HF_PAST_SEQUENCE, .sequence = sequence};
    return true;
}

static json_t *forked_from_json(const struct hf_fork_request *wanted, const struct hf_fork *fork)
{
    const struct hf_past_cut *cut = &fork->cut;
    json_t *object = json_object();
    hf_api_set_text(object, "system", wanted->from);
    hf_api_set_int(object, "sequence", cut->sequence);
    hf_json_set_time(object, "at", cut->at_ms);
    hf_api_set_text(object, "snapshot", cut->snapshot[0] ? cut->snapshot : NULL);
    hf_api_set(object, "exact", json_boolean(cut->exact));
    hf_api_set_text(object, "why", cut->why);
    hf_api_set_int(object, "sharedStates", fork->shared);
    hf_api_set_int(object, "copiedStates", fork->copied);
    return object;
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
    return check_description(out->description, err);
}

static bool check_description(const char *description, struct hf_error *err)
{
    return strlen(description) <= DESCRIPTION_BYTES_MAX ||
           hf_error_set(err, HF_INVALID_REQUEST, "field \"description\" is longer than %d bytes",
                        DESCRIPTION_BYTES_MAX);
}
