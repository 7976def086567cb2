#include "engine/events.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/event_queue.h"

#include <stdarg.h>
#include <string.h>

static const struct {
    const char *type;
    const char *severity;
} types[HF_EVENT_TYPE_COUNT] = {
#define X(id, type, severity) [id] = {type, severity},
    HF_EVENT_TABLE(X)
#undef X
};

const char *hf_event_type_name(enum hf_event_type type)
{
    return types[type].type;
}

const char *hf_event_severity(enum hf_event_type type)
{
    return types[type].severity;
}

static enum hf_log_level level_of(const char *severity)
{
    return !strcmp(severity, "error") ? HF_LOG_ERROR : !strcmp(severity, "warning") ? HF_LOG_WARNING : HF_LOG_INFO;
}

void hf_event_emit(struct hf_engine *engine, int64_t system_id, const char *system, enum hf_event_type type,
                   const char *data_json, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* What a client names may come often: at info that would be a log line an upload. */
    enum hf_log_level level = type == HF_EV_STATE ? HF_LOG_DEBUG : level_of(types[type].severity);
    if (*system)
        hf_log(level, types[type].type, text, HF_LOG_TEXT("system", system));
    else
        hf_log(level, types[type].type, text);
    hf_metric_add_labelled(HF_M_EVENTS, types[type].severity, 1);
    hf_event_queue_add(engine->events, system_id, hf_clock_now_ms(), types[type].severity, types[type].type, text,
                       data_json ? data_json : "{}");
    if (engine->committer)
        hf_committer_wake(engine->committer);
}
