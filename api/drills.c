/* Restore drills: one on demand, and what came of those before. */
#include "api/api.h"
#include "api/drill_json.h"
#include "api/handlers.h"
#include "api/page.h"
#include "engine/drill.h"

#include <math.h>
#include <string.h>

#define BYTES_IN_MB 1e6

struct drill_list {
    struct hf_api_page *page;
    const char *system;
};

static hf_drill_row_fn append_row;

enum hf_verdict hf_api_drill_create(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_drill_row row;
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, true, fields, err);
    if (!body || !hf_drill_run(engine, request->params[0], &request->arena, &row, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = hf_api_drill_json(request->params[0], &row);
    hf_reply_json(reply, 201, object);
    return HF_DONE;
}

enum hf_verdict hf_api_drills_list(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_system_info system;
    HF_AUTO(api_page) struct hf_api_page page = {0};
    if (!engine || !hf_api_page_begin(request, "drills", &page, err) ||
        !hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    struct drill_list list = {&page, request->params[0]};
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return HF_FAIL;
    bool good = hf_drills_list(session, system.id, page.before_at_ms, page.before_id, hf_api_page_rows_max(&page),
                               append_row, &list, err);
    hf_sessions_give(engine->sessions, session);
    if (!good)
        return HF_FAIL;
    hf_api_page_answer(request, reply, &page);
    return HF_DONE;
}

json_t *hf_api_drill_json(const char *system, const struct hf_drill_row *row)
{
    json_t *object = json_object();
    hf_api_set_text(object, "id", row->id);
    hf_api_set_text(object, "system", system);
    hf_json_set_time(object, "at", row->started_at_ms);
    hf_api_set_text(object, "status", row->status);
    hf_api_set_text(object, "snapshot", row->snapshot[0] ? row->snapshot : NULL);
    hf_api_set_int(object, "sequence", row->sequence);
    hf_api_set_int(object, "durationMs", row->duration_ms);
    hf_api_set_int(object, "components", row->components);
    hf_api_set_int(object, "bytes", row->bytes);
    double rate = row->duration_ms ? (double)row->bytes / BYTES_IN_MB * 1000 / (double)row->duration_ms : 0;
    hf_api_set(object, "megabytesPerSecond", row->duration_ms ? json_real(round(rate * 1000) / 1000) : json_null());
    hf_api_set_text(object, "detail", row->detail);
    return object;
}

static bool append_row(void *context, const struct hf_drill_row *row)
{
    struct drill_list *list = context;
    if (hf_api_page_is_full(list->page))
        return hf_api_page_end(list->page);
    return hf_api_page_add(list->page, hf_api_drill_json(list->system, row), row->started_at_ms, row->id);
}
