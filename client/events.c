/* Following the events of the system over any number of connections. */
#include "client/call.h"
#include "client/problem.h"
#include "client/retry.h"
#include "client/sse.h"
#include "core/clock.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define EVENT_BYTES_MAX   ((size_t)16 * 1024 * 1024)
#define SILENCE_MAX_MS    60000 /* the service shows every 15 s that it is there, if not set otherwise */
#define RECONNECT_MS      2000
#define RECONNECT_SOON_MS 100
#define STREAM_TYPE       "text/event-stream"

struct following {
    struct holdfast *service;
    const struct holdfast_follow_options *options;
    struct hf_sse sse;
    struct hf_wire_answer answer;
    const char *why; /* what was wrong with an event; NULL: nothing */
    bool ended;      /* on_event said false */
};

static bool check(const struct holdfast_follow_options *options, struct holdfast_error *err);
static bool follow_on(struct following *f, struct holdfast_error *err);
static bool connect_once(struct following *f, struct holdfast_error *err);
static bool take_piece(void *context, const void *data, size_t bytes);
static bool take_event(void *context, const struct hf_sse_event *event);
static int64_t pause_of(const struct hf_sse *sse);

bool holdfast_follow(struct holdfast *service, const struct holdfast_follow_options *options,
                     struct holdfast_error *err)
{
    struct holdfast_error unused;
    err = err ? err : &unused;
    if (!check(options, err))
        return false;
    struct following f = {.service = service, .options = options};
    hf_sse_init(&f.sse, EVENT_BYTES_MAX, take_event, &f);
    hf_wire_answer_init(&f.answer);
    if (options->after)
        hf_buf_add_text(&f.sse.last_id, options->after);
    bool ok = follow_on(&f, err);
    hf_sse_done(&f.sse);
    hf_wire_answer_done(&f.answer);
    return ok;
}

static bool check(const struct holdfast_follow_options *options, struct holdfast_error *err)
{
    if (!options || !options->on_event)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "following needs an on_event");
    const char *after = options->after;
    if (after && (!*after || strspn(after, "0123456789") != strlen(after)))
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "\"%.60s\" is no id of an event", after);
    return true;
}

/* A stream that broke off is taken up again; where no connection comes about, the call itself tries again until its
 * time is over. */
static bool follow_on(struct following *f, struct holdfast_error *err)
{
    for (;;) {
        hf_sse_restart(&f->sse);
        bool whole = connect_once(f, err);
        if (f->ended)
            return true;
        if (f->why)
            return hf_call_bad_answer(err, "following events", f->why);
        if (!whole && (!err->retryable || !f->answer.began_writing))
            return false;
        if (f->service->retry_ms < 0)
            return whole ? hf_problem_set(err, HF_PROBLEM_UNREACHABLE, true, "following events: the stream ended")
                         : false;
        if (!hf_wire_pause(f->service->wire, pause_of(&f->sse), NULL))
            return hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "following events: it was cancelled");
    }
}

/* Where the stream began is told at once, so that nothing is missed also when it breaks off before the first event. */
static bool connect_once(struct following *f, struct holdfast_error *err)
{
    const char *severity = f->options->severity, *last_id = f->sse.last_id.bytes > 0 ? f->sse.last_id.data : NULL;
    HF_AUTO(free) char *escaped = hf_call_escape(severity ? severity : "");
    HF_AUTO(free) char *target = hf_call_target(f->service, "events%s%s", severity ? "?severity=" : "", escaped);
    HF_AUTO(free) char *line = last_id ? hf_format("Last-Event-ID: %s", last_id) : NULL;
    const char *const headers[] = {line, NULL};
    int timeout_ms = f->service->timeout_ms > SILENCE_MAX_MS ? f->service->timeout_ms : SILENCE_MAX_MS;
    const struct hf_call call = {
        .request = {.doing = "following events",
                    .method = "GET",
                    .target = target,
                    .accept = STREAM_TYPE,
                    .headers = headers,
                    .write = take_piece,
                    .context = f},
        .repeatable = true,
        .timeout_ms = timeout_ms,
    };
    return hf_call_send(f->service, &call, &f->answer, err);
}

static bool take_piece(void *context, const void *data, size_t bytes)
{
    struct following *f = context;
    if (strncasecmp(f->answer.content_type, STREAM_TYPE, strlen(STREAM_TYPE)) != 0)
        f->why = "it is no stream of events";
    else if (!hf_sse_feed(&f->sse, data, bytes) && !f->sse.refused)
        f->why = "an event is too large";
    return !f->why && !f->sse.refused;
}

static bool take_event(void *context, const struct hf_sse_event *event)
{
    struct following *f = context;
    struct hf_error ignored;
    char id[24] = "";
    int64_t number;
    HF_AUTO(json) json_t *json = hf_json_parse(event->data, event->data_bytes, &ignored);
    const char *severity = json_string_value(json_object_get(json, "severity"));
    const char *time = json_string_value(json_object_get(json, "occurredAt"));
    const char *text = json_string_value(json_object_get(json, "text"));
    const char *component = json_string_value(json_object_get(json_object_get(json, "data"), "component"));
    if (!severity || !time || !text) {
        f->why = "an event lacks its severity, time or text";
        return false;
    }
    if (hf_call_get_int(json, "id", &number))
        snprintf(id, sizeof(id), "%lld", (long long)number);
    const struct holdfast_event given = {
        .id = id,
        .type = event->type,
        .severity = severity,
        .time = time,
        .component = component ? component : "",
        .text = text,
        .json = event->data,
    };
    f->ended = !f->options->on_event(f->options->context, &given);
    return !f->ended;
}

/* What the stream asked for, spread, so that clients that lost one service do not all come at once. */
static int64_t pause_of(const struct hf_sse *sse)
{
    int64_t asked_ms = sse->retry_ms >= 0 ? sse->retry_ms : RECONNECT_MS;
    int64_t spread_ms = asked_ms / 2 > RECONNECT_SOON_MS ? asked_ms / 2 : RECONNECT_SOON_MS;
    return asked_ms / 2 + (int64_t)((double)spread_ms * hf_retry_random());
}
