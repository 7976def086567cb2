/* Events of a system: a page, from the oldest on or from the newest back, or a stream that goes on. */
#include "api/api.h"
#include "api/handlers.h"
#include "engine/event_feed.h"
#include "engine/event_json.h"

#include <string.h>

struct event_list {
    json_t *array;
    const char *system;
};

static bool read_wanted(const struct hf_request *request, struct hf_events_wanted *out, bool *newest_first_out,
                        struct hf_error *err);
static bool list(struct hf_engine *engine, const struct hf_events_wanted *wanted, bool newest_first,
                 struct event_list *into, struct hf_error *err);
static bool append_event(void *context, const struct hf_event_row *row);
static bool open_stream(struct hf_request *request, const struct hf_system_info *system, struct hf_reply *reply,
                        struct hf_error *err);
static bool read_last_id(const char *text, int64_t *out, struct hf_error *err);
static void close_stream(void *stream);

enum hf_verdict hf_api_events_list(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_system_info system;
    struct hf_events_wanted wanted = {0};
    bool newest_first = false;
    if (!engine || !read_wanted(request, &wanted, &newest_first, err) ||
        !hf_api_read_system(engine, request->params[0], &system, err))
        return HF_FAIL;
    if (hf_request_accepts(request, "text/event-stream")) {
        if (!newest_first)
            return open_stream(request, &system, reply, err) ? HF_DONE : HF_FAIL;
        hf_error_set(err, HF_INVALID_REQUEST, "a stream of events goes on from old to new: order=desc is for lists");
        return HF_FAIL;
    }
    HF_AUTO(json) json_t *page = json_object();
    struct event_list into = {json_array(), system.name};
    hf_api_set(page, "events", into.array);
    wanted.system_id = system.id;
    if (!list(engine, &wanted, newest_first, &into, err))
        return HF_FAIL;
    hf_reply_json(reply, 200, page);
    return HF_DONE;
}

static bool read_wanted(const struct hf_request *request, struct hf_events_wanted *out, bool *newest_first_out,
                        struct hf_error *err)
{
    const char *severity = hf_request_query(request, "severity"), *order = hf_request_query(request, "order");
    bool newest_first = order && strcmp(order, "desc") == 0;
    int64_t after = 0, before = INT64_MAX;
    int limit;
    if (!hf_request_query_int(request, "after", 0, INT64_MAX, &after, err) ||
        !hf_request_query_int(request, "before", 1, INT64_MAX, &before, err) || !hf_api_limit(request, &limit, err))
        return false;
    if (order && !newest_first && strcmp(order, "asc") != 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "query parameter order must be asc or desc");
    if (hf_request_query(request, "before") && !newest_first)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "query parameter before goes with order=desc; from the oldest on it is after");
    if (severity && strcmp(severity, "info") != 0 && strcmp(severity, "warning") != 0 && strcmp(severity, "error") != 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "query parameter severity must be info, warning or error");
    *out = (struct hf_events_wanted){.severity = severity, .after = after, .before = before, .limit = limit};
    *newest_first_out = newest_first;
    return true;
}

static bool list(struct hf_engine *engine, const struct hf_events_wanted *wanted, bool newest_first,
                 struct event_list *into, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool good = newest_first ? hf_events_list_newest(session, wanted, append_event, into, err)
                             : hf_events_list(session, wanted->system_id, wanted->severity, wanted->after,
                                              wanted->limit, append_event, into, err);
    hf_sessions_give(engine->sessions, session);
    return good;
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
