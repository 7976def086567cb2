/* Recoveries: bring a system, or some of its components, back to a past moment; and what was brought back before. */
#include "api/api.h"
#include "api/auth.h"
#include "api/conditions.h"
#include "api/handlers.h"
#include "api/page.h"
#include "api/recovery_json.h"
#include "api/recovery_text.h"
#include "core/clock.h"
#include "core/id.h"
#include "engine/recovery.h"

#include <string.h>

#define PAGE_DETAIL_BYTES_MAX ((size_t)2 << 20)
#define COMPONENTS_MAX        100000
#define REASON_BYTES_MAX      1024

/* A recovery that a request makes, or made when it came before. */
struct making {
    struct hf_request *request;
    struct hf_engine *engine;
    struct hf_idempotency once; /* key NULL: there is none */
    struct hf_recovery_row row;
    bool before; /* another request, the same, has made it */
};

static bool read_source(struct hf_request *request, const json_t *body, struct hf_recovery_request *out,
                        struct hf_error *err);
static bool read_rest(struct hf_request *request, const json_t *body, struct hf_recovery_request *out,
                      struct hf_error *err);
static bool read_reason(struct hf_request *request, const json_t *body, const char **out, struct hf_error *err);
static bool check_scope(const struct hf_request *request, const struct hf_recovery_request *wanted,
                        struct hf_error *err);
static bool read_key(struct hf_request *request, struct hf_idempotency *out, struct hf_error *err);
static enum hf_verdict run_recovery(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                    struct hf_recovery_request *wanted, struct hf_error *err);
static bool run_plan(struct making *making, const json_t *body, struct hf_error *err);
static bool was_made(struct making *making, struct hf_error *err);
static bool was_made_meanwhile(struct making *making, struct hf_error *err);
static enum hf_verdict answer(struct hf_reply *reply, const struct making *making, int status, struct hf_error *err);
static bool append_row(void *context, const struct hf_recovery_row *row);

struct recovery_list {
    struct hf_api_page *page;
    const char *system;
    size_t detail_bytes; /* of the rows in the page */
};

enum hf_verdict hf_api_recovery_create(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"source", "snapshot", "at",      "components",          "maxAgeMs",
                                         "dryRun", "reason",   "salvage", "includeDependencies", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, false, fields, err);
    struct hf_recovery_request wanted = {.system = request->params[0]};
    if (!body || !read_source(request, body, &wanted, err) || !read_rest(request, body, &wanted, err))
        return HF_FAIL;
    return run_recovery(request, reply, engine, &wanted, err);
}

enum hf_verdict hf_api_snapshot_restore(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"components", "includeDependencies", "maxAgeMs", "dryRun", "reason", "salvage",
                                         NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, true, fields, err);
    struct hf_recovery_request wanted = {.system = request->params[0],
                                         .source = "snapshot",
                                         .snapshot = request->params[1]};
    if (!body || !read_rest(request, body, &wanted, err))
        return HF_FAIL;
    return run_recovery(request, reply, engine, &wanted, err);
}

enum hf_verdict hf_api_recovery_apply(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"force", "reason", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, true, fields, err);
    struct making making = {.request = request, .engine = engine};
    if (!body || !read_key(request, &making.once, err) || !was_made(&making, err))
        return HF_FAIL;
    if (!making.before && !run_plan(&making, body, err) && !was_made_meanwhile(&making, err))
        return HF_FAIL;
    return answer(reply, &making, 200, err);
}

enum hf_verdict hf_api_recoveries_list(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_system_info system;
    HF_AUTO(api_page) struct hf_api_page page = {0};
    if (!engine || !hf_api_page_begin(request, "recoveries", &page, err) ||
        !hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    struct recovery_list list = {.page = &page, .system = request->params[0]};
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return HF_FAIL;
    bool good = hf_recoveries_list(session, system.id, page.before_at_ms, page.before_id, hf_api_page_rows_max(&page),
                                   append_row, &list, err);
    for (size_t i = 0; good && i < json_array_size(page.rows); i++)
        good = hf_api_recovery_json_finish(json_array_get(page.rows, i), session, system.id, request->principal, err);
    hf_sessions_give(engine->sessions, session);
    if (!good)
        return HF_FAIL;
    hf_api_page_answer(request, reply, &page);
    return HF_DONE;
}

enum hf_verdict hf_api_recovery_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_system_info system;
    struct hf_recovery_row row;
    struct hf_session *session;
    bool found = false, text = false;
    if (!engine || !hf_api_wants_text(request, &text, err) ||
        !hf_api_read_system(engine, request->params[0], &system, err) ||
        !hf_sessions_take(engine->sessions, &session, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = NULL;
    bool good = hf_recoveries_get(session, system.id, request->params[1], &request->arena, &row, &found, err);
    if (good && found) {
        object = hf_api_recovery_json(system.name, &row);
        good = hf_api_recovery_json_finish(object, session, system.id, request->principal, err);
    }
    hf_sessions_give(engine->sessions, session);
    if (good && !found)
        good = hf_error_set(err, HF_NOT_FOUND, "system \"%s\" has no recovery \"%s\"", system.name, request->params[1]);
    if (!good)
        return HF_FAIL;
    if (!text) {
        hf_reply_json(reply, 200, object);
        return HF_DONE;
    }
    hf_recovery_text_write(&reply->body, object);
    reply->status = 200;
    reply->content_type = "text/plain; charset=utf-8";
    return HF_DONE;
}

static bool read_source(struct hf_request *request, const json_t *body, struct hf_recovery_request *out,
                        struct hf_error *err)
{
    const char *source = NULL, *snapshot = NULL, *at = NULL;
    if (!hf_json_get_text(body, "source", &source, err) || !hf_json_get_text(body, "snapshot", &snapshot, err) ||
        !hf_json_get_text(body, "at", &at, err))
        return false;
    if (!source || (strcmp(source, "head") != 0 && strcmp(source, "snapshot") != 0 && strcmp(source, "at") != 0))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"source\" must be head, snapshot or at");
    if ((snapshot != NULL) != (strcmp(source, "snapshot") == 0))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"snapshot\" (an id or latest) belongs to the source snapshot, and only there");
    if ((at != NULL) != (strcmp(source, "at") == 0))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"at\" (a time) belongs to the source at, and only there");
    if (snapshot && !hf_name_is_valid(snapshot, strlen(snapshot)))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"snapshot\" must be a snapshot id or latest");
    if (at && !hf_time_parse(at, &out->at_ms))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"at\" must be an RFC 3339 time such as 2026-11-23T01:30:00Z");
    out->source = hf_arena_strdup(&request->arena, source);
    out->snapshot = snapshot ? hf_arena_strdup(&request->arena, snapshot) : NULL;
    return true;
}

static bool read_rest(struct hf_request *request, const json_t *body, struct hf_recovery_request *out,
                      struct hf_error *err)
{
    if (!hf_api_name_list(request, body, "components", COMPONENTS_MAX, &out->components, &out->component_count, err) ||
        !hf_json_get_int(body, "maxAgeMs", 1, INT64_MAX, &out->age_ms_max, err) ||
        !hf_json_get_bool(body, "dryRun", &out->dry_run, err) ||
        !hf_json_get_bool(body, "includeDependencies", &out->include_dependencies, err) ||
        !hf_json_get_bool(body, "salvage", &out->salvage, err) || !read_reason(request, body, &out->reason, err))
        return false;
    if (out->components && out->component_count == 0)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"components\" is empty; leave it out to mean the whole system");
    if (out->include_dependencies && !out->components)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"includeDependencies\" belongs to the field \"components\": a recovery of the "
                            "whole system leaves nothing out");
    out->allowed_prefix = request->principal->component_prefix;
    if (out->salvage && (!out->snapshot || strcmp(out->snapshot, "latest") == 0))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"salvage\" belongs to a snapshot that is named by its id, and only there");
    return check_scope(request, out, err);
}

/* Absent: untouched. */
static bool read_reason(struct hf_request *request, const json_t *body, const char **out, struct hf_error *err)
{
    const char *reason = NULL;
    if (!hf_json_get_text(body, "reason", &reason, err))
        return false;
    if (reason && strlen(reason) > REASON_BYTES_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"reason\" is longer than %d bytes", REASON_BYTES_MAX);
    if (reason)
        *out = hf_arena_strdup(&request->arena, reason);
    return true;
}

/* A token for some components may not move the whole system. */
static bool check_scope(const struct hf_request *request, const struct hf_recovery_request *wanted,
                        struct hf_error *err)
{
    if (!wanted->components && request->principal->component_prefix)
        return hf_error_set(err, HF_FORBIDDEN,
                            "token %s is for components named %s… only; name them in the field \"components\"",
                            request->principal->id, request->principal->component_prefix);
    for (int i = 0; i < wanted->component_count + wanted->along_count; i++) {
        int along = i - wanted->component_count;
        const char *name = along < 0 ? wanted->components[i] : wanted->along[along].name;
        if (!hf_auth_component_allowed(request->principal, name))
            return hf_error_set(err, HF_FORBIDDEN, "token %s is for components named %s… only, not for %s",
                                request->principal->id, request->principal->component_prefix, name);
    }
    return true;
}

/* What the key stands for is all that the request asks for: a snapshot's id is in its path. */
static bool read_key(struct hf_request *request, struct hf_idempotency *out, struct hf_error *err)
{
    if (!hf_idempotency_key_read(request, &out->key, err))
        return false;
    if (!out->key)
        return true;
    const char *label = request->route->label, *id = request->params[1] ? request->params[1] : "";
    struct hf_hasher *hasher = hf_hasher_new();
    hf_hasher_add(hasher, label, strlen(label) + 1);
    hf_hasher_add(hasher, id, strlen(id) + 1);
    if (request->body)
        hf_hasher_add(hasher, request->body->data, request->body->bytes);
    hf_hasher_finish(hasher, &out->request);
    hf_hasher_free(hasher);
    return true;
}

static enum hf_verdict run_recovery(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                    struct hf_recovery_request *wanted, struct hf_error *err)
{
    struct making making = {.request = request, .engine = engine};
    if (!read_key(request, &making.once, err) || !was_made(&making, err))
        return HF_FAIL;
    wanted->once = making.once.key ? &making.once : NULL;
    if (!making.before && !hf_recovery_run(engine, wanted, &request->arena, &making.row, err) &&
        !was_made_meanwhile(&making, err))
        return HF_FAIL;
    hf_reply_header_format(request, reply, "Location", "/v1/systems/%s/recoveries/%s", wanted->system, making.row.id);
    return answer(reply, &making, 201, err);
}

static bool run_plan(struct making *making, const json_t *body, struct hf_error *err)
{
    struct hf_request *request = making->request;
    struct hf_recovery_row plan;
    struct hf_recovery_request wanted;
    const char *reason = NULL;
    bool force = false;
    if (!hf_json_get_bool(body, "force", &force, err) || !read_reason(request, body, &reason, err) ||
        !hf_recovery_read_plan(making->engine, request->params[0], request->params[1], &request->arena, &plan, &wanted,
                               err) ||
        !check_scope(request, &wanted, err))
        return false;
    wanted.force = force;
    if (reason)
        wanted.reason = reason;
    wanted.once = making->once.key ? &making->once : NULL;
    return hf_recovery_run(making->engine, &wanted, &request->arena, &making->row, err);
}

static bool was_made(struct making *making, struct hf_error *err)
{
    return !making->once.key || hf_recovery_find_made(making->engine, making->request->params[0], &making->once,
                                                      &making->request->arena, &making->row, &making->before, err);
}

/* Two of the same at a time: one makes it, and the other fails in one way or another. err stays what it is, but for a
 * key that turns out to be another's. */
static bool was_made_meanwhile(struct making *making, struct hf_error *err)
{
    struct hf_error why = {0};
    if (!was_made(making, &why) && why.code == HF_IDEMPOTENCY_REUSED)
        *err = why;
    return making->before;
}

/* Nobody can have reported on a new one yet: its answer does not depend on the database any more. */
static enum hf_verdict answer(struct hf_reply *reply, const struct making *making, int status, struct hf_error *err)
{
    struct hf_request *request = making->request;
    struct hf_session *session = NULL;
    HF_AUTO(json) json_t *object = hf_api_recovery_json(request->params[0], &making->row);
    if (making->before && !hf_sessions_take(making->engine->sessions, &session, err))
        return HF_FAIL;
    bool good = hf_api_recovery_json_finish(object, session, making->row.system_id, request->principal, err);
    if (session)
        hf_sessions_give(making->engine->sessions, session);
    if (!good)
        return HF_FAIL;
    hf_reply_json(reply, status, object);
    return HF_DONE;
}

/* A plan names every component: pages end early rather than grow with the system. */
static bool append_row(void *context, const struct hf_recovery_row *row)
{
    struct recovery_list *list = context;
    size_t bytes = strlen(row->detail);
    bool too_much = list->detail_bytes > 0 && list->detail_bytes + bytes > PAGE_DETAIL_BYTES_MAX;
    if (hf_api_page_is_full(list->page) || too_much)
        return hf_api_page_end(list->page);
    list->detail_bytes += bytes;
    return hf_api_page_add(list->page, hf_api_recovery_json(list->system, row), row->started_at_ms, row->id);
}
