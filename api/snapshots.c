/* Snapshots: take, list, look at, label and pin, delete; what one holds. */
#include "api/api.h"
#include "api/auth.h"
#include "api/handlers.h"
#include "api/page.h"
#include "api/snapshot_json.h"
#include "api/validation_json.h"
#include "core/clock.h"
#include "engine/snapshot.h"
#include "engine/validation.h"

#include <string.h>
#include <strings.h>

#define LABEL_BYTES_MAX 256

static bool read_wanted(const json_t *body, struct hf_snapshot_request *out, struct hf_error *err);
static const char *why_unchanged(struct hf_request *request, const struct hf_snapshot_row *newest);
static bool prefers_async(const struct hf_request *request);
static enum hf_verdict start_snapshot(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                      const struct hf_snapshot_request *wanted, struct hf_error *err);
static enum hf_verdict answer_snapshot(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                       const char *id, struct hf_error *err);
static bool append_row(void *context, const struct hf_snapshot_row *row);
static bool check_label(const char *label, struct hf_error *err);
static void set_location(struct hf_request *request, struct hf_reply *reply, const char *id);
static json_t *chain_page(struct hf_request *request, struct hf_reply *reply, const struct hf_chain *chain,
                          const char *after, int limit);

struct snapshot_list {
    struct hf_api_page *page;
    struct hf_engine *engine;
    const struct hf_system_info *system;
};

enum hf_verdict hf_api_snapshot_create(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"kind", "label", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, true, fields, err);
    struct hf_snapshot_request wanted = {.system = request->params[0], .trigger = "manual"};
    struct hf_system_info system;
    if (!body || !read_wanted(body, &wanted, err) || !hf_api_read_system(engine, wanted.system, &system, err))
        return HF_FAIL;
    if (prefers_async(request))
        return start_snapshot(request, reply, engine, &wanted, err);
    struct hf_snapshot_row row;
    bool unchanged = false;
    if (!hf_snapshot_take(engine, &wanted, &request->arena, &row, &unchanged, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = hf_api_snapshot_json(engine, &system, &row);
    hf_api_set(object, "unchanged", json_boolean(unchanged));
    if (unchanged)
        hf_api_set_text(object, "reason", why_unchanged(request, &row));
    set_location(request, reply, row.id);
    hf_reply_json(reply, unchanged ? 200 : 201, object);
    return HF_DONE;
}

enum hf_verdict hf_api_snapshots_list(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    const char *kind = hf_request_query(request, "kind"), *before = hf_request_query(request, "before");
    struct hf_system_info system;
    HF_AUTO(api_page) struct hf_api_page page = {0};
    if (!engine || !hf_api_page_begin(request, "snapshots", &page, err) ||
        !hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    if (kind && strcmp(kind, "full") != 0 && strcmp(kind, "incremental") != 0) {
        hf_error_set(err, HF_INVALID_REQUEST, "query parameter kind must be full or incremental");
        return HF_FAIL;
    }
    int64_t before_ms;
    if (before && !hf_time_parse(before, &before_ms)) {
        hf_error_set(err, HF_INVALID_REQUEST, "query parameter before must be an RFC 3339 time");
        return HF_FAIL;
    }
    if (before && before_ms < page.before_at_ms) {
        page.before_at_ms = before_ms;
        page.before_id = "";
    }
    struct snapshot_list list = {&page, engine, &system};
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return HF_FAIL;
    bool good = hf_snapshots_list(session, system.id, kind, page.before_at_ms, page.before_id,
                                  hf_api_page_rows_max(&page), append_row, &list, err);
    hf_sessions_give(engine->sessions, session);
    if (!good)
        return HF_FAIL;
    hf_api_page_answer(request, reply, &page);
    return HF_DONE;
}

enum hf_verdict hf_api_snapshot_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    return engine ? answer_snapshot(request, reply, engine, request->params[1], err) : HF_FAIL;
}

enum hf_verdict hf_api_snapshot_delete(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine || !hf_snapshot_delete(engine, request->params[0], request->params[1], err))
        return HF_FAIL;
    return hf_api_no_content(reply);
}

enum hf_verdict hf_api_snapshot_patch(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"label", "pinned", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, false, fields, err);
    const char *label = NULL;
    bool pinned = false;
    if (!body || !hf_json_get_text(body, "label", &label, err) || !hf_json_get_bool(body, "pinned", &pinned, err) ||
        !check_label(label, err))
        return HF_FAIL;
    bool has_pinned = json_object_get(body, "pinned") != NULL;
    if (!hf_snapshot_patch(engine, request->params[0], request->params[1], label, has_pinned ? &pinned : NULL, err))
        return HF_FAIL;
    return answer_snapshot(request, reply, engine, request->params[1], err);
}

enum hf_verdict hf_api_snapshot_components(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_system_info system;
    struct hf_snapshot_row row;
    const char *after = "";
    int limit;
    if (!engine || !hf_api_limit(request, &limit, err) || !hf_api_cursor_read(request, &after, err) ||
        !hf_api_read_system(engine, request->params[0], &system, err) ||
        !hf_snapshot_find(engine, system.name, request->params[1], &request->arena, &row, err))
        return HF_FAIL;
    struct hf_chain *chain = NULL;
    if (!hf_snapshot_lease(engine, system.id, row.id, err))
        return HF_FAIL;
    bool loaded = hf_validation_load_chain(engine, system.name, row.id, &chain, err);
    hf_snapshot_release(engine, system.id, row.id);
    if (!loaded)
        return HF_FAIL;
    HF_AUTO(json) json_t *page = chain_page(request, reply, chain, after, limit);
    hf_chain_free(chain);
    hf_reply_json(reply, 200, page);
    return HF_DONE;
}

static bool read_wanted(const json_t *body, struct hf_snapshot_request *out, struct hf_error *err)
{
    const char *kind = "full";
    if (!hf_json_get_text(body, "kind", &kind, err) || !hf_json_get_text(body, "label", &out->label, err) ||
        !check_label(out->label, err))
        return false;
    out->full = strcmp(kind, "full") == 0;
    out->even_unchanged = out->full; /* who asks for one by hand gets one of his own, with his label */
    if (!out->full && strcmp(kind, "incremental") != 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"kind\" must be full or incremental");
    return true;
}

static const char *why_unchanged(struct hf_request *request, const struct hf_snapshot_row *newest)
{
    char cut_at[HF_TIME_BYTES];
    hf_time_format(newest->cut_at_ms, cut_at);
    bool full = strcmp(newest->kind, "full") == 0;
    return hf_arena_format(&request->arena, "nothing changed since %s%s", cut_at,
                           full ? "; no incremental was needed, the newest snapshot is a full" : "");
}

/* RFC 7240. Other preferences are ignored, as it asks. */
static bool prefers_async(const struct hf_request *request)
{
    const char *at = request->headers[HF_H_PREFER];
    while (at && *at) {
        at += strspn(at, " \t,");
        size_t bytes = strcspn(at, " \t,;=");
        if (bytes == strlen("respond-async") && strncasecmp(at, "respond-async", bytes) == 0)
            return true;
        at += strcspn(at, ",");
    }
    return false;
}

static enum hf_verdict start_snapshot(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                      const struct hf_snapshot_request *wanted, struct hf_error *err)
{
    char id[HF_SNAPSHOT_ID_MAX];
    if (!hf_snapshot_start(engine, wanted, id, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = json_object();
    hf_api_set_text(object, "id", id);
    hf_api_set_text(object, "system", wanted->system);
    hf_api_set_text(object, "state", "running");
    set_location(request, reply, id);
    hf_reply_header(request, reply, "Preference-Applied", "respond-async");
    hf_reply_json(reply, 202, object);
    return HF_DONE;
}

static enum hf_verdict answer_snapshot(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                       const char *id, struct hf_error *err)
{
    struct hf_system_info system;
    struct hf_snapshot_row row;
    struct hf_snapshot_progress progress;
    if (!hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = NULL;
    bool found = hf_snapshot_find(engine, system.name, id, &request->arena, &row, err);
    if (!found && err->code == HF_NOT_FOUND && strcmp(id, "latest") != 0 &&
        hf_snapshot_progress(engine, system.name, id, &progress))
        object = hf_api_snapshot_progress_json(&system, &progress);
    else if (!found && err->code == HF_NOT_FOUND) /* completed between the two looks? */
        found = hf_snapshot_find(engine, system.name, id, &request->arena, &row, err);
    if (found) {
        object = hf_api_snapshot_json(engine, &system, &row);
        if (!hf_api_add_latest_validation(request, engine, system.name, &row, json_object_get(object, "validation"),
                                          err))
            return HF_FAIL;
    }
    if (!object)
        return HF_FAIL;
    hf_reply_json(reply, 200, object);
    return HF_DONE;
}

static bool append_row(void *context, const struct hf_snapshot_row *row)
{
    struct snapshot_list *list = context;
    if (hf_api_page_is_full(list->page))
        return hf_api_page_end(list->page);
    json_t *object = hf_api_snapshot_json(list->engine, list->system, row);
    return hf_api_page_add(list->page, object, row->cut_at_ms, row->id);
}

static bool check_label(const char *label, struct hf_error *err)
{
    if (label && strlen(label) > LABEL_BYTES_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"label\" is longer than %d bytes", LABEL_BYTES_MAX);
    return true;
}

static void set_location(struct hf_request *request, struct hf_reply *reply, const char *id)
{
    hf_reply_header_format(request, reply, "Location", "/v1/systems/%s/snapshots/%s", request->params[0], id);
}

/* Entries are in name order; those without a present state, or that the token does not reach, are left out. */
static json_t *chain_page(struct hf_request *request, struct hf_reply *reply, const struct hf_chain *chain,
                          const char *after, int limit)
{
    json_t *page = json_object(), *array = json_array();
    const char *next = NULL, *last = "";
    for (int64_t i = 0; i < hf_chain_count(chain) && !next; i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        if (!hf_manifest_entry_is_present(entry) || strcmp(entry->component, after) <= 0 ||
            !hf_auth_component_allowed(request->principal, entry->component))
            continue;
        if ((int)json_array_size(array) == limit) {
            next = hf_api_cursor_make(request, last);
            continue;
        }
        json_array_append_new(array, hf_api_snapshot_entry_json(entry));
        last = entry->component;
    }
    hf_api_set(page, "components", array);
    hf_api_set_next(request, reply, page, next);
    return page;
}
