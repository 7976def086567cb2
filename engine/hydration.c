#include "engine/hydration.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/events.h"

#include <stdio.h>
#include <string.h>

#define OVERDUE_MAX 100 /* ended in one round; the rest in the next */

/* How a recovery ended. */
struct ending {
    bool ended;
    bool timed_out;
    char status[16];
    int64_t duration_ms;
    struct hf_recovery_component_counts counts;
    const char *names[HF_HYDRATION_NAMES_MAX]; /* those that were silent, or that failed */
    int name_count;
};

enum verdict { ACCEPTED, NO_RECOVERY, NO_COMPONENT, NOT_WAITING };

/* One call of the committer. */
struct course {
    struct hf_engine *engine;
    int64_t system_id;
    const char *system, *recovery;
    struct hf_arena *arena;
    const struct hf_hydration_report *report; /* NULL: the time is out */
    int64_t since_ms_max;                     /* with the time out: waiting since then or earlier */
    struct hf_hydration_receipt *receipt;
    enum verdict verdict;
    struct ending ending;
};

struct overdue {
    struct hf_arena arena;
    int64_t system_ids[OVERDUE_MAX];
    const char *recoveries[OVERDUE_MAX];
    int count;
};

static bool record_report(struct hf_session *session, void *context, struct hf_error *err);
static bool is_same(const struct hf_recovery_component_row *row, const struct hf_hydration_report *report);
static bool write_report(struct hf_session *session, struct course *course, const struct hf_recovery_waiting *waiting,
                         struct hf_error *err);
static bool end_when_all_reported(struct hf_session *session, struct course *course,
                                  const struct hf_recovery_waiting *waiting, int64_t now_ms, struct hf_error *err);
static bool end_overdue(struct hf_session *session, void *context, struct hf_error *err);
static bool end_recovery(struct hf_session *session, struct course *course, const struct hf_recovery_waiting *waiting,
                         int64_t now_ms, struct hf_error *err);
static void tell_ending(void *context);
static void write_names(struct hf_buf *data, struct hf_buf *text, const struct ending *ending);
static bool read_overdue(struct hf_engine *engine, struct overdue *overdue, struct hf_error *err);
static hf_recovery_overdue_fn add_overdue;
static bool find_system_name(struct hf_engine *engine, int64_t system_id, struct hf_arena *arena, const char **out);

bool hf_hydration_report(struct hf_engine *engine, const struct hf_hydration_report *report, struct hf_arena *arena,
                         struct hf_hydration_receipt *out, struct hf_error *err)
{
    struct hf_system_info system;
    if (!hf_catalog_read_system(engine->catalog, report->system, &system))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", report->system);
    struct hf_hydration_receipt receipt = {0};
    struct course course = {.engine = engine,
                            .system_id = system.id,
                            .system = report->system,
                            .recovery = report->recovery,
                            .arena = arena,
                            .report = report,
                            .receipt = &receipt};
    struct hf_call call = {.run = record_report, .published = tell_ending, .context = &course, .shares = true};
    if (!hf_committer_call(engine->committer, &call, err))
        return false;
    /* Said only here: the committer would take a conflict for one of the database and try again. */
    switch (course.verdict) {
    case NO_RECOVERY:
        return hf_error_set(err, HF_NOT_FOUND, "system %s has no recovery %s", report->system, report->recovery);
    case NO_COMPONENT:
        return hf_error_set(err, HF_NOT_FOUND, "component %s is not part of recovery %s", report->component,
                            report->recovery);
    case NOT_WAITING:
        return hf_error_set(err, HF_CONFLICT, "recovery %s is %s: it takes no reports%s", report->recovery,
                            receipt.recovery_status,
                            strcmp(receipt.recovery_status, "planned") == 0 ? "" : " but the same ones again");
    case ACCEPTED:
        break;
    }
    *out = receipt;
    return true;
}

/* May run more than once. After an attempt whose outcome was not known the same report is found; the ending that the
 * attempt came to then still is to be told, so it is left as it is. */
static bool record_report(struct hf_session *session, void *context, struct hf_error *err)
{
    struct course *course = context;
    const struct hf_hydration_report *report = course->report;
    struct hf_hydration_receipt *receipt = course->receipt;
    struct hf_recovery_waiting waiting;
    bool found = false;
    if (!hf_recovery_waiting_get(session, course->system_id, report->recovery, &waiting, &found, err))
        return false;
    course->verdict = NO_RECOVERY;
    if (!found)
        return true;
    snprintf(receipt->recovery_status, sizeof(receipt->recovery_status), "%s", waiting.status);
    course->verdict = NOT_WAITING;
    if (strcmp(waiting.status, "planned") == 0)
        return true;
    if (!hf_recovery_components_get(session, course->system_id, report->recovery, report->component, course->arena,
                                    &receipt->row, &found, err))
        return false;
    course->verdict = found ? ACCEPTED : NO_COMPONENT;
    if (!found || is_same(&receipt->row, report))
        return true;
    if (strcmp(waiting.status, "pending") == 0 || strcmp(waiting.status, "applied") == 0)
        return write_report(session, course, &waiting, err);
    course->verdict = NOT_WAITING;
    return true;
}

static bool is_same(const struct hf_recovery_component_row *row, const struct hf_hydration_report *report)
{
    return strcmp(row->status, report->status) == 0 && strcmp(row->detail, report->detail) == 0 &&
           row->duration_ms == report->duration_ms;
}

static bool write_report(struct hf_session *session, struct course *course, const struct hf_recovery_waiting *waiting,
                         struct hf_error *err)
{
    const struct hf_hydration_report *report = course->report;
    struct hf_recovery_component_row *row = &course->receipt->row;
    int64_t now_ms = hf_clock_now_ms();
    row->status = report->status;
    row->detail = report->detail;
    row->duration_ms = report->duration_ms;
    row->reported_at_ms = now_ms;
    course->ending = (struct ending){0};
    if (!hf_recovery_components_report(session, course->system_id, report->recovery, row, err) ||
        (!waiting->reporting_since_ms &&
         !hf_recovery_waiting_begin(session, course->system_id, report->recovery, now_ms, err)) ||
        !end_when_all_reported(session, course, waiting, now_ms, err))
        return false;
    return !hf_fault("hydration_before_commit") || hf_error_set(err, HF_STORE_DOWN, "fault hydration_before_commit");
}

static bool end_when_all_reported(struct hf_session *session, struct course *course,
                                  const struct hf_recovery_waiting *waiting, int64_t now_ms, struct hf_error *err)
{
    const char *pending;
    int pending_count = 0;
    if (!hf_recovery_components_names(session, course->system_id, course->recovery, false, 1, course->arena, &pending,
                                      &pending_count, err))
        return false;
    return pending_count > 0 || end_recovery(session, course, waiting, now_ms, err);
}

static bool end_recovery(struct hf_session *session, struct course *course, const struct hf_recovery_waiting *waiting,
                         int64_t now_ms, struct hf_error *err)
{
    struct ending *ending = &course->ending;
    if (!hf_recovery_components_count(session, course->system_id, course->recovery, &ending->counts, err))
        return false;
    ending->timed_out = ending->counts.pending > 0;
    bool failed = ending->timed_out || ending->counts.failed > 0;
    snprintf(ending->status, sizeof(ending->status), "%s", failed ? "failed" : "completed");
    ending->duration_ms = now_ms > waiting->started_at_ms ? now_ms - waiting->started_at_ms : 0;
    if (failed &&
        !hf_recovery_components_names(session, course->system_id, course->recovery, !ending->timed_out,
                                      HF_HYDRATION_NAMES_MAX, course->arena, ending->names, &ending->name_count, err))
        return false;
    if (!hf_recovery_waiting_end(session, course->system_id, course->recovery, ending->status, now_ms, &ending->ended,
                                 err))
        return false;
    if (course->receipt)
        memcpy(course->receipt->recovery_status, ending->status, sizeof(ending->status));
    return true;
}

/* ---- time-outs ---- */

void hf_hydration_time_out(struct hf_engine *engine)
{
    struct hf_error err;
    if (!engine->config->recovery_timeout_ms || !hf_committer_store_is_up(engine->committer))
        return;
    struct overdue overdue = {0};
    hf_arena_init(&overdue.arena);
    if (!read_overdue(engine, &overdue, &err))
        hf_log(HF_LOG_WARNING, "recoveries_not_timed_out", err.text);
    for (int i = 0; i < overdue.count; i++) {
        struct course course = {.engine = engine,
                                .system_id = overdue.system_ids[i],
                                .recovery = overdue.recoveries[i],
                                .arena = &overdue.arena,
                                .since_ms_max = hf_clock_now_ms() - engine->config->recovery_timeout_ms};
        struct hf_call call = {.run = end_overdue, .published = tell_ending, .context = &course};
        if (find_system_name(engine, course.system_id, &overdue.arena, &course.system) &&
            !hf_committer_call(engine->committer, &call, &err))
            hf_log(HF_LOG_WARNING, "recovery_not_timed_out", err.text, HF_LOG_TEXT("recovery", course.recovery));
    }
    hf_arena_done(&overdue.arena);
}

static bool read_overdue(struct hf_engine *engine, struct overdue *overdue, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool ok = hf_recovery_waiting_overdue(session, hf_clock_now_ms() - engine->config->recovery_timeout_ms, OVERDUE_MAX,
                                          add_overdue, overdue, err);
    hf_sessions_give(engine->sessions, session);
    return ok;
}

static bool add_overdue(void *context, int64_t system_id, const char *recovery)
{
    struct overdue *overdue = context;
    overdue->system_ids[overdue->count] = system_id;
    overdue->recoveries[overdue->count++] = hf_arena_strdup(&overdue->arena, recovery);
    return overdue->count < OVERDUE_MAX;
}

static bool find_system_name(struct hf_engine *engine, int64_t system_id, struct hf_arena *arena, const char **out)
{
    int count = 0;
    const struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, arena, &count);
    for (int i = 0; i < count; i++) {
        if (systems[i].id != system_id)
            continue;
        *out = systems[i].name;
        return true;
    }
    return false;
}

/* Looks again: the last report may have come meanwhile. */
static bool end_overdue(struct hf_session *session, void *context, struct hf_error *err)
{
    struct course *course = context;
    struct hf_recovery_waiting waiting;
    bool found = false;
    if (!hf_recovery_waiting_get(session, course->system_id, course->recovery, &waiting, &found, err))
        return false;
    if (!found || !waiting.reporting_since_ms || waiting.reporting_since_ms > course->since_ms_max)
        return true;
    course->ending = (struct ending){0};
    return end_recovery(session, course, &waiting, hf_clock_now_ms(), err);
}

/* ---- telling ---- */

static void tell_ending(void *context)
{
    const struct course *course = context;
    const struct ending *ending = &course->ending;
    if (!ending->ended)
        return;
    const struct hf_recovery_component_counts *counts = &ending->counts;
    bool failed = strcmp(ending->status, "failed") == 0;
    char duration[64];
    hf_duration_format(ending->duration_ms, duration, sizeof(duration));
    HF_AUTO(buf) struct hf_buf data;
    HF_AUTO(buf) struct hf_buf names;
    hf_buf_init(&data, 1 << 20);
    hf_buf_init(&names, 1 << 20);
    hf_buf_add_format(&data,
                      "{\"recovery\":\"%s\",\"status\":\"%s\",\"durationMs\":%lld,\"restored\":%lld,\"failed\":%lld,"
                      "\"fresh\":%lld,\"pending\":%lld",
                      course->recovery, ending->status, (long long)ending->duration_ms, (long long)counts->restored,
                      (long long)counts->failed, (long long)counts->fresh, (long long)counts->pending);
    write_names(&data, &names, ending);
    hf_buf_add_char(&data, '}');
    hf_metric_add_labelled(HF_M_RECOVERIES, ending->status, 1);
    hf_event_emit(course->engine, course->system_id, course->system,
                  failed ? HF_EV_RECOVERY_FAILED : HF_EV_RECOVERY_COMPLETED, data.data,
                  "recovery %s %s after %s: %lld restored, %lld fresh, %lld failed, %lld silent%s%s", course->recovery,
                  !failed             ? "is completed"
                  : ending->timed_out ? "failed, its time is out"
                                      : "failed",
                  duration, (long long)counts->restored, (long long)counts->fresh, (long long)counts->failed,
                  (long long)counts->pending, names.bytes ? ": " : "", names.bytes ? names.data : "");
}

/* The names as a member of the data, and as words. */
static void write_names(struct hf_buf *data, struct hf_buf *text, const struct ending *ending)
{
    if (!ending->name_count)
        return;
    hf_buf_add_text(data, ending->timed_out ? ",\"silentComponents\":[" : ",\"failedComponents\":[");
    for (int i = 0; i < ending->name_count; i++) {
        hf_buf_add_text(data, i ? "," : "");
        hf_buf_add_json_string(data, ending->names[i], strlen(ending->names[i]));
        hf_buf_add_format(text, "%s%s", i ? ", " : "", ending->names[i]);
    }
    hf_buf_add_char(data, ']');
    int64_t all = ending->timed_out ? ending->counts.pending : ending->counts.failed;
    if (all > ending->name_count)
        hf_buf_add_format(text, " and %lld more", (long long)(all - ending->name_count));
}

void hf_hydration_tell_empty(struct hf_engine *engine, int64_t system_id, const char *system, const char *recovery)
{
    struct course course = {.engine = engine, .system_id = system_id, .system = system, .recovery = recovery};
    course.ending = (struct ending){.ended = true, .status = "completed"};
    tell_ending(&course);
}
