/* The course of a recovery: find the source, check it, plan, apply, record. */
#include "engine/recovery_private.h"

#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/events.h"

#include <stdarg.h>
#include <string.h>

#define PLAN_TRIES_MAX 5

struct candidates {
    struct hf_arena *arena;
    struct hf_snapshot_row *rows; /* newest first; owns */
    int64_t count, capacity;
};

static void start_record(struct hf_recovering *recovering);
static bool recover(struct hf_recovering *recovering, struct hf_error *err);
static bool recover_named(struct hf_recovering *recovering, struct hf_error *err);
static bool recover_at(struct hf_recovering *recovering, struct hf_error *err);
static bool recover_newest(struct hf_recovering *recovering, int64_t before_ms, struct hf_error *err);
static hf_snapshot_row_fn add_candidate;
static bool check_age(const struct hf_recovering *recovering, int64_t cut_at_ms, struct hf_error *err);
static bool use_snapshot(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err);
static bool use_source(struct hf_recovering *recovering, struct hf_error *err);
static bool plan_only(struct hf_recovering *recovering, struct hf_error *err);
static bool insert_row(struct hf_session *session, void *context, struct hf_error *err);
static void note_damage(struct hf_recovering *recovering, const struct hf_snapshot_row *row,
                        const struct hf_error *damage);
static void tell_applied(struct hf_recovering *recovering);
static void tell_failed(struct hf_recovering *recovering, const struct hf_error *failure);
static void copy_row(struct hf_arena *arena, const struct hf_recovery_row *from, struct hf_recovery_row *to);

bool hf_recovery_run(struct hf_engine *engine, const struct hf_recovery_request *request, struct hf_arena *arena,
                     struct hf_recovery_row *out, struct hf_error *err)
{
    struct hf_recovering recovering = {.engine = engine,
                                       .request = request,
                                       .started_at_ms = hf_clock_now_ms(),
                                       .step_ns = hf_clock_monotonic_ns(),
                                       .snapshot = ""};
    if (!hf_catalog_read_system(engine->catalog, request->system, &recovering.system))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", request->system);
    hf_arena_init(&recovering.arena);
    hf_buf_init(&recovering.steps, 1 << 20);
    hf_buf_init(&recovering.skipped, 1 << 20);
    start_record(&recovering);

    bool ok = recover(&recovering, err);
    if (ok) {
        copy_row(arena, &recovering.row, out);
        if (strcmp(out->status, "applied") == 0)
            tell_applied(&recovering);
    } else {
        tell_failed(&recovering, err);
    }
    hf_recovery_close_source(&recovering);
    hf_plan_done(&recovering);
    hf_buf_done(&recovering.steps);
    hf_buf_done(&recovering.skipped);
    hf_arena_done(&recovering.arena);
    return ok;
}

/* Under which id it is recorded, and for which components. */
static void start_record(struct hf_recovering *recovering)
{
    const struct hf_recovery_request *request = recovering->request;
    if (request->components) {
        size_t bytes = (size_t)request->component_count * sizeof(char *);
        recovering->selected = hf_arena_alloc(&recovering->arena, bytes + 1);
        memcpy(recovering->selected, request->components, bytes);
        qsort(recovering->selected, (size_t)request->component_count, sizeof(char *), hf_recovery_compare_names);
    }
    if (!request->plan) {
        hf_id_random("rec-", recovering->id, sizeof(recovering->id));
        return;
    }
    snprintf(recovering->id, sizeof(recovering->id), "%s", request->plan->id);
    recovering->started_at_ms = request->plan->started_at_ms;
    hf_recovery_take_over_plan(recovering);
}

void hf_recovery_step(struct hf_recovering *recovering, const char *format, ...)
{
    char text[512], at[HF_TIME_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    uint64_t now_ns = hf_clock_monotonic_ns();
    hf_time_format(hf_clock_now_ms(), at);
    struct hf_buf *steps = &recovering->steps;
    hf_buf_add_text(steps, steps->bytes ? ",{\"name\":" : "{\"name\":");
    hf_buf_add_json_string(steps, text, strlen(text));
    hf_buf_add_format(steps, ",\"at\":\"%s\",\"durationMs\":%lld}", at,
                      (long long)((now_ns - recovering->step_ns) / HF_MS_NS));
    recovering->step_ns = now_ns;
    hf_log(HF_LOG_INFO, "recovery_step", text, HF_LOG_TEXT("system", recovering->system.name),
           HF_LOG_TEXT("recovery", recovering->id));
}

void hf_recovery_skip(struct hf_recovering *recovering, const char *snapshot, const char *reason)
{
    struct hf_buf *skipped = &recovering->skipped;
    hf_buf_add_text(skipped, skipped->bytes ? ",{\"snapshot\":" : "{\"snapshot\":");
    hf_buf_add_json_string(skipped, snapshot, strlen(snapshot));
    hf_buf_add_text(skipped, ",\"reason\":");
    hf_buf_add_json_string(skipped, reason, strlen(reason));
    hf_buf_add_char(skipped, '}');
}

static bool recover(struct hf_recovering *recovering, struct hf_error *err)
{
    const char *source = recovering->request->source;
    if (!hf_recovery_check_unmoved(recovering, &recovering->system, err))
        return false;
    if (strcmp(source, "head") == 0)
        return plan_only(recovering, err);
    bool at = strcmp(source, "at") == 0;
    if (at && !recovering->request->snapshot)
        return recover_at(recovering, err);
    if (!at && strcmp(source, "snapshot") != 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "a recovery's source is head, snapshot or at");
    if (strcmp(recovering->request->snapshot, "latest") == 0)
        return recover_newest(recovering, INT64_MAX, err);
    return recover_named(recovering, err);
}

/* Who names a snapshot means that one: damage is an error, not a reason to take another. */
static bool recover_named(struct hf_recovering *recovering, struct hf_error *err)
{
    struct hf_snapshot_row row;
    if (!hf_snapshot_find(recovering->engine, recovering->system.name, recovering->request->snapshot,
                          &recovering->arena, &row, err) ||
        !check_age(recovering, row.cut_at_ms, err))
        return false;
    bool ok = use_snapshot(recovering, &row, err);
    if (!ok && err->code == HF_DAMAGED)
        note_damage(recovering, &row, err);
    return ok;
}

static bool recover_at(struct hf_recovering *recovering, struct hf_error *err)
{
    int64_t at_ms = recovering->request->at_ms;
    bool reached = false;
    if (!check_age(recovering, at_ms, err) || !hf_recovery_open_history(recovering, at_ms, &reached, err))
        return false;
    if (reached)
        return use_source(recovering, err);
    hf_recovery_close_source(recovering);
    char time[HF_TIME_BYTES];
    hf_time_format(at_ms, time);
    if (recovering->request->plan && !recovering->request->force)
        return hf_error_set(err, HF_PLAN_CHANGED,
                            "the history that the plan was made from no longer reaches back to %s; make a new plan, or "
                            "apply this one with \"force\":true",
                            time);
    hf_recovery_step(recovering, "the history in the database does not reach back to %s: looking for a snapshot", time);
    return recover_newest(recovering, at_ms + 1, err);
}

/* The newest snapshot that proves good. Only proven corruption moves on to an older one. */
static bool recover_newest(struct hf_recovering *recovering, int64_t before_ms, struct hf_error *err)
{
    struct hf_engine *engine = recovering->engine;
    struct candidates candidates = {.arena = &recovering->arena};
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool ok = hf_snapshots_list(session, recovering->system.id, NULL, before_ms, "", INT64_MAX, add_candidate,
                                &candidates, err);
    hf_sessions_give(engine->sessions, session);

    bool found = false;
    for (int64_t i = 0; ok && !found && i < candidates.count; i++) {
        const struct hf_snapshot_row *row = &candidates.rows[i];
        if (strcmp(row->state, "complete") != 0 || strcmp(row->validation_status, "damaged") == 0) {
            hf_recovery_skip(recovering, row->id, "known to be damaged");
            continue;
        }
        ok = check_age(recovering, row->cut_at_ms, err);
        found = ok && use_snapshot(recovering, row, err);
        if (ok && !found) {
            ok = err->code == HF_DAMAGED;
            if (ok) {
                hf_recovery_skip(recovering, row->id, err->text);
                note_damage(recovering, row, err);
                hf_recovery_close_source(recovering);
            }
        }
    }
    int64_t count = candidates.count;
    free(candidates.rows);
    if (ok && !found && count == 0)
        return hf_error_set(err, HF_NOT_FOUND, "system %s has no snapshot%s", recovering->system.name,
                            before_ms == INT64_MAX ? "" : " that old");
    if (ok && !found)
        return hf_error_set(err, HF_DAMAGED, "none of the %lld snapshots of system %s is whole", (long long)count,
                            recovering->system.name);
    return ok && found;
}

static bool add_candidate(void *context, const struct hf_snapshot_row *row)
{
    struct candidates *candidates = context;
    if (strcmp(row->state, "failed") == 0)
        return true;
    if (candidates->count == candidates->capacity) {
        candidates->capacity = candidates->capacity ? candidates->capacity * 2 : 64;
        candidates->rows = hf_realloc(candidates->rows, (size_t)candidates->capacity * sizeof(candidates->rows[0]));
    }
    struct hf_snapshot_row *copy = &candidates->rows[candidates->count++];
    *copy = *row;
    copy->id = hf_arena_strdup(candidates->arena, row->id);
    copy->state = hf_arena_strdup(candidates->arena, row->state);
    copy->validation_status = hf_arena_strdup(candidates->arena, row->validation_status);
    return true;
}

static bool check_age(const struct hf_recovering *recovering, int64_t cut_at_ms, struct hf_error *err)
{
    int64_t age_ms = hf_clock_now_ms() - cut_at_ms, age_ms_max = recovering->request->age_ms_max;
    if (!age_ms_max || age_ms <= age_ms_max)
        return true;
    char age[64], limit[64];
    hf_duration_format(age_ms, age, sizeof(age));
    hf_duration_format(age_ms_max, limit, sizeof(limit));
    return hf_error_set(err, HF_PRECONDITION, "what would be restored is %s old; maxAgeMs allows %s", age, limit);
}

static bool use_snapshot(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err)
{
    return hf_recovery_open_snapshot(recovering, row, err) && use_source(recovering, err);
}

static bool use_source(struct hf_recovering *recovering, struct hf_error *err)
{
    if (recovering->request->dry_run)
        return plan_only(recovering, err);
    if (recovering->engine->config->validate_on_restore && !hf_recovery_verify_source(recovering, err))
        return false;
    for (int try = 1;; try++) {
        if (hf_recovery_apply(recovering, err))
            return true;
        bool exact = recovering->request->plan && !recovering->request->force;
        if (err->code != HF_PLAN_CHANGED || exact || try == PLAN_TRIES_MAX)
            return false;
    }
}

/* Changes nothing but the log of recoveries. */
static bool plan_only(struct hf_recovering *recovering, struct hf_error *err)
{
    if (!hf_plan_make(recovering, err))
        return false;
    hf_recovery_step(recovering, "planned %lld components in %d waves", (long long)recovering->plan.restored,
                     recovering->plan.waves);
    struct hf_call call = {.run = insert_row, .context = &recovering->row};
    if (!hf_recovery_fill_row(recovering, "planned", err) ||
        !hf_committer_call(recovering->engine->committer, &call, err))
        return false;
    hf_metric_add_labelled(HF_M_RECOVERIES, "planned", 1);
    return true;
}

static bool insert_row(struct hf_session *session, void *context, struct hf_error *err)
{
    return hf_recoveries_insert(session, context, err);
}

static void note_damage(struct hf_recovering *recovering, const struct hf_snapshot_row *row,
                        const struct hf_error *damage)
{
    struct hf_error err;
    if (!hf_snapshot_mark_damaged(recovering->engine, recovering->system.name, row->id, damage->text, &err))
        hf_log(HF_LOG_WARNING, "snapshot_not_marked", err.text, HF_LOG_TEXT("snapshot", row->id));
}

static void tell_applied(struct hf_recovering *recovering)
{
    struct hf_engine *engine = recovering->engine;
    const struct hf_recovery_row *row = &recovering->row;
    const struct hf_plan *plan = &recovering->plan;
    char lost[64];
    hf_duration_format(row->data_loss_ms, lost, sizeof(lost));
    hf_metric_add_labelled(HF_M_RECOVERIES, "applied", 1);
    HF_AUTO(free)
    char *data = hf_format("{\"recovery\":\"%s\",\"snapshot\":\"%s\",\"epoch\":%lld}", row->id, row->snapshot,
                           (long long)row->epoch);
    hf_event_emit(engine, row->system_id, recovering->system.name, HF_EV_RECOVERY_APPLIED, data,
                  "recovery %s brought back %lld components from %s, removed %lld; the epoch is %lld now; lost: %s, "
                  "%lld versions in %lld components",
                  row->id, (long long)plan->restored, row->snapshot[0] ? row->snapshot : "history",
                  (long long)plan->buried, (long long)row->epoch, lost, (long long)row->data_loss_versions,
                  (long long)row->data_loss_components);
    /* At once, so that a database rebuilt from files goes on above this epoch. */
    struct hf_snapshot_request request = {.system = recovering->system.name, .trigger = "event"};
    char id[HF_SNAPSHOT_ID_MAX];
    struct hf_error err;
    if (!hf_snapshot_start(engine, &request, id, &err))
        hf_log(HF_LOG_WARNING, "snapshot_after_recovery_not_started", err.text);
}

/* Failures of the source are part of the record; a request that was refused is not. */
static void tell_failed(struct hf_recovering *recovering, const struct hf_error *failure)
{
    if (failure->code != HF_DAMAGED && failure->code != HF_IO && failure->code != HF_INTERNAL &&
        failure->code != HF_STORAGE_FULL)
        return;
    struct hf_error err;
    hf_plan_done(recovering);
    memset(&recovering->plan, 0, sizeof(recovering->plan));
    recovering->plan.system = recovering->system;
    hf_recovery_step(recovering, "failed: %s", failure->text);
    struct hf_call call = {.run = insert_row, .context = &recovering->row};
    /* A plan keeps its row: it can be applied when what failed is mended. */
    if (!recovering->request->plan && (!hf_recovery_fill_row(recovering, "failed", &err) ||
                                       !hf_committer_call(recovering->engine->committer, &call, &err)))
        hf_log(HF_LOG_WARNING, "recovery_not_recorded", err.text, HF_LOG_TEXT("recovery", recovering->id));
    hf_metric_add_labelled(HF_M_RECOVERIES, "failed", 1);
    hf_event_emit(recovering->engine, recovering->system.id, recovering->system.name, HF_EV_RECOVERY_FAILED, NULL,
                  "recovery %s of system %s failed, nothing was changed: %s", recovering->id, recovering->system.name,
                  failure->text);
}

static void copy_row(struct hf_arena *arena, const struct hf_recovery_row *from, struct hf_recovery_row *to)
{
    *to = *from;
    to->id = hf_arena_strdup(arena, from->id);
    to->source = hf_arena_strdup(arena, from->source);
    to->snapshot = hf_arena_strdup(arena, from->snapshot);
    to->status = hf_arena_strdup(arena, from->status);
    to->reason = hf_arena_strdup(arena, from->reason);
    to->detail = hf_arena_strdup(arena, from->detail);
}
