/* The course of a recovery: find the source, check it, plan, apply, record. */
#include "engine/recovery_private.h"

#include "core/clock.h"
#include "core/fault.h"
#include "core/id.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/events.h"
#include "engine/hydration.h"

#include <stdarg.h>
#include <string.h>

#define PLAN_TRIES_MAX 5

static void start_record(struct hf_recovering *recovering);
static bool recover(struct hf_recovering *recovering, struct hf_error *err);
static bool recover_at(struct hf_recovering *recovering, struct hf_error *err);
static bool leave_history(struct hf_recovering *recovering, const char *why, struct hf_error *err);
static bool plan_only(struct hf_recovering *recovering, struct hf_error *err);
static bool insert_row(struct hf_session *session, void *context, struct hf_error *err);
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
                                       .snapshot = "",
                                       .cut = {.snapshot = "", .why = ""},
                                       .wanted = -1};
    if (!hf_catalog_read_system(engine->catalog, request->system, &recovering.system))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", request->system);
    hf_arena_init(&recovering.arena);
    hf_buf_init(&recovering.steps, 1 << 20);
    start_record(&recovering);

    bool ok = recover(&recovering, err);
    if (ok) {
        copy_row(arena, &recovering.row, out);
        hf_recovery_log_skipped(&recovering);
        if (strcmp(out->status, "applied") == 0)
            tell_applied(&recovering);
    } else {
        tell_failed(&recovering, err);
    }
    hf_recovery_close_source(&recovering);
    hf_plan_done(&recovering);
    hf_buf_done(&recovering.steps);
    free(recovering.selected);
    free(recovering.skipped);
    hf_arena_done(&recovering.arena);
    return ok;
}

/* Under which id it is recorded. */
static void start_record(struct hf_recovering *recovering)
{
    const struct hf_recovery_request *request = recovering->request;
    if (!request->plan) {
        hf_id_random("rec-", recovering->id, sizeof(recovering->id));
        return;
    }
    snprintf(recovering->id, sizeof(recovering->id), "%s", request->plan->id);
    recovering->planned_at_ms = request->plan->started_at_ms;
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

static bool recover(struct hf_recovering *recovering, struct hf_error *err)
{
    const struct hf_recovery_request *request = recovering->request;
    const char *source = request->source;
    bool named = request->snapshot && strcmp(request->snapshot, "latest") != 0;
    if (request->salvage && !named)
        return hf_error_set(
            err, HF_INVALID_REQUEST,
            "only a snapshot that is named by its id can be salvaged: latest and at look for one that is whole");
    if (!hf_recovery_check_unmoved(recovering, &recovering->system, err))
        return false;
    if (strcmp(source, "head") == 0)
        return hf_recovery_select(recovering, err) && plan_only(recovering, err);
    bool at = strcmp(source, "at") == 0;
    if (at && !named)
        return recover_at(recovering, err);
    if (!at && strcmp(source, "snapshot") != 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "a recovery's source is head, snapshot or at");
    return named ? hf_recovery_use_named(recovering, err) : hf_recovery_use_newest(recovering, INT64_MAX, err);
}

static bool recover_at(struct hf_recovering *recovering, struct hf_error *err)
{
    int64_t at_ms = recovering->request->at_ms;
    bool reached = false;
    if (!hf_recovery_check_age(recovering, at_ms, err) || !hf_recovery_open_history(recovering, at_ms, &reached, err))
        return false;
    if (!reached)
        return leave_history(recovering, "does not reach back so far", err);
    if (hf_recovery_use_source(recovering, err))
        return true;
    if (err->code != HF_DAMAGED)
        return false;
    struct hf_error damage = *err;
    if (leave_history(recovering, damage.text, err))
        return true;
    if (err->code == HF_NOT_FOUND)
        *err = damage;
    return false;
}

/* The newest snapshot before that moment is used instead. */
static bool leave_history(struct hf_recovering *recovering, const char *why, struct hf_error *err)
{
    int64_t at_ms = recovering->request->at_ms;
    char time[HF_TIME_BYTES];
    hf_time_format(at_ms, time);
    hf_recovery_close_source(recovering);
    if (recovering->request->plan) /* forced or not: what would be restored is not what was shown */
        return hf_error_set(err, HF_PLAN_CHANGED,
                            "the history that the plan was made from no longer serves for %s (%s), and a snapshot "
                            "holds something else; make a new plan",
                            time, why);
    hf_recovery_step(recovering, "the history in the database does not serve for %s (%s): looking for a snapshot", time,
                     why);
    return hf_recovery_use_newest(recovering, at_ms + 1, err);
}

bool hf_recovery_use_source(struct hf_recovering *recovering, struct hf_error *err)
{
    /* Before a plan is made, too: it tells what the restore will do, and that depends on what is whole. */
    bool verify = recovering->engine->config->validate_on_restore || recovering->request->salvage;
    if (!hf_recovery_select(recovering, err))
        return false;
    if (!hf_recovery_check_cut(recovering, err) || (verify && !hf_recovery_verify_source(recovering, err)) ||
        !hf_recovery_check_salvage(recovering, err))
        return false;
    if (recovering->request->dry_run)
        return plan_only(recovering, err);
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
    /* Whoever starts from the present has something to do, and tells when it is done. */
    bool starts = !recovering->request->dry_run;
    const char *status = !starts ? "planned" : recovering->plan.count ? "pending" : "completed";
    struct hf_call call = {.run = hf_recovery_insert_plan, .context = recovering};
    if (!hf_recovery_fill_row(recovering, status, err) || !hf_committer_call(recovering->engine->committer, &call, err))
        return false;
    if (hf_fault("recovery_recorded"))
        return hf_error_set(err, HF_OUTCOME_UNKNOWN, "fault recovery_recorded");
    if (!starts)
        hf_metric_add_labelled(HF_M_RECOVERIES, "planned", 1);
    else if (!recovering->plan.count)
        hf_hydration_tell_empty(recovering->engine, recovering->system.id, recovering->system.name, recovering->id);
    return true;
}

static bool insert_row(struct hf_session *session, void *context, struct hf_error *err)
{
    return hf_recoveries_insert(session, context, err);
}

static void tell_applied(struct hf_recovering *recovering)
{
    struct hf_engine *engine = recovering->engine;
    const struct hf_recovery_row *row = &recovering->row;
    const struct hf_plan *plan = &recovering->plan;
    char lost[64], skipped[160] = "", salvaged[96] = "";
    hf_duration_format(row->data_loss_ms, lost, sizeof(lost));
    if (recovering->skipped_count)
        snprintf(skipped, sizeof(skipped), "; newer snapshots passed over as damaged: %d", recovering->skipped_count);
    if (hf_recovery_skipped_ms(recovering) >= 0) {
        char extra[64];
        hf_duration_format(hf_recovery_skipped_ms(recovering), extra, sizeof(extra));
        size_t used = strlen(skipped);
        snprintf(skipped + used, sizeof(skipped) - used, ", which cost %s more", extra);
    }
    if (recovering->salvage.under_way)
        snprintf(salvaged, sizeof(salvaged), "; salvaged, components lost: %lld", (long long)recovering->salvage.lost);
    hf_metric_add_labelled(HF_M_RECOVERIES, "applied", 1);
    HF_AUTO(free)
    char *data = hf_format("{\"recovery\":\"%s\",\"snapshot\":\"%s\",\"epoch\":%lld}", row->id, row->snapshot,
                           (long long)row->epoch);
    hf_event_emit(engine, row->system_id, recovering->system.name, HF_EV_RECOVERY_APPLIED, data,
                  "recovery %s brought back %lld components from %s, removed %lld; the epoch is %lld now; lost: %s, "
                  "%lld versions in %lld components%s%s",
                  row->id, (long long)plan->restored, row->snapshot[0] ? row->snapshot : "history",
                  (long long)plan->buried, (long long)row->epoch, lost, (long long)row->data_loss_versions,
                  (long long)row->data_loss_components, salvaged, skipped);
    /* At once, so that a database rebuilt from files goes on above this epoch. */
    struct hf_snapshot_request request = {.system = recovering->system.name, .trigger = "event"};
    char id[HF_SNAPSHOT_ID_MAX];
    struct hf_error err;
    if (hf_fault("recovery_before_snapshot"))
        hf_log(HF_LOG_WARNING, "snapshot_after_recovery_not_started", "fault recovery_before_snapshot");
    else if (!hf_snapshot_start(engine, &request, id, &err))
        hf_log(HF_LOG_WARNING, "snapshot_after_recovery_not_started", err.text);
}

/* Failures of the source are part of the record; a request that was refused is not, nor a plan that cannot be made. */
static void tell_failed(struct hf_recovering *recovering, const struct hf_error *failure)
{
    if (recovering->request->dry_run)
        return;
    if (failure->code != HF_DAMAGED && failure->code != HF_IO && failure->code != HF_INTERNAL &&
        failure->code != HF_STORAGE_FULL && failure->code != HF_KEY_MISSING)
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
