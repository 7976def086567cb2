/* Events of a system, oldest first. */
#include "api/api.h"
#include "api/handlers.h"
#include "store/journal.h"

#include <string.h>

static bool append_event(void *context, const struct hf_event_row *row);

struct event_list {
    json_t *array;
    const char *system;
};

enum hf_verdict hf_api_events_list(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_system_info system;
    const char *severity = hf_request_query(request, "severity");
    int64_t after = 0;
    int limit;
    if (!engine || !hf_request_query_int(request, "after", 0, INT64_MAX, &after, err) ||
        !hf_api_limit(request, &limit, err) || !hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    if (severity && strcmp(severity, "info") != 0 && strcmp(severity, "warning") != 0 &&
        strcmp(severity, "error") != 0) {
        hf_error_set(err, HF_INVALID_REQUEST, "query parameter severity must be info, warning or error");
        return HF_FAIL;
    }
    HF_AUTO(json) json_t *page = json_object();
    struct event_list list = {json_array(), system.name};
    hf_api_set(page, "events", list.array);
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return HF_FAIL;
    bool good = hf_events_list(session, system.id, severity, after, limit, append_event, &list, err);
    hf_sessions_give(engine->sessions, session);
    if (!good)
        return HF_FAIL;
    hf_reply_json(reply, 200, page);
    return HF_DONE;
}

static bool append_event(void *context, const struct hf_event_row *row)
{
    struct event_list *list = context;
    json_t *object = json_object();
    hf_api_set_int(object, "id", row->id);
    hf_json_set_time(object, "occurredAt", row->at_ms);
    hf_api_set_text(object, "severity", row->severity);
    hf_api_set_text(object, "type", row->type);
    hf_api_set_text(object, "system", list->system);
    hf_api_set_text(object, "text", row->text);
    hf_api_set_stored(object, "data", row->data, "{}");
    json_array_append_new(list->array, object);
    return true;
}
