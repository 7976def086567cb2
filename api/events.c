/* Events of a system, oldest first: a page, or a stream that goes on. */
#include "api/api.h"
#include "api/handlers.h"
#include "engine/event_feed.h"
#include "engine/event_json.h"

#include <string.h>

static bool append_event(void *context, const struct hf_event_row *row);
static bool open_stream(struct hf_request *request, const struct hf_system_info *system, struct hf_reply *reply,
                        struct hf_error *err);
static bool read_last_id(const char *text, int64_t *out, struct hf_error *err);
static void close_stream(void *stream);

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
    if (hf_request_accepts(request, "text/event-stream"))
        return open_stream(request, &system, reply, err) ? HF_DONE : HF_FAIL;
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
    json_array_append_new(list->array, hf_event_json(row, list->system));
    return true;
}

static bool open_stream(struct hf_request *request, const struct hf_system_info *system, struct hf_reply *reply,
                        struct hf_error *err)
{
    const char *last_id = request->headers[HF_H_LAST_EVENT_ID];
    struct hf_event_stream_request wanted = {.system = system->name,
                                             .system_id = system->id,
                                             .severity = hf_request_query(request, "severity"),
                                             .after = HF_EVENTS_NEWEST};
    struct hf_event_stream *stream;
    if (!hf_request_query_int(request, "after", 0, INT64_MAX, &wanted.after, err) ||
        (last_id && *last_id && !read_last_id(last_id, &wanted.after, err)) ||
        !hf_event_stream_open(hf_api_engine(request, err)->feed, &wanted, &stream, err))
        return false;
    reply->status = 200;
    reply->content_type = "text/event-stream";
    reply->stream = hf_event_stream_pipe(stream);
    reply->stream_leave = close_stream;
    reply->stream_context = stream;
    hf_reply_header(request, reply, "Cache-Control", "no-store");
    hf_reply_header(request, reply, "X-Accel-Buffering", "no"); /* nginx would keep them back otherwise */
    return true;
}

/* What this service gave out as an id. */
static bool read_last_id(const char *text, int64_t *out, struct hf_error *err)
{
    int64_t id = 0;
    const char *at = text;
    while (*at >= '0' && *at <= '9' && id <= INT64_MAX / 10 - 1)
        id = id * 10 + (*at++ - '0');
    if (*at)
        return hf_error_set(err, HF_INVALID_REQUEST, "Last-Event-ID is \"%.64s\"; it must be the id of an event", text);
    *out = id;
    return true;
}

static void close_stream(void *stream)
{
    hf_event_stream_close(stream);
}
