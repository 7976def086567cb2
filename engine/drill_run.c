/* The course of one drill: lease the newest snapshot, whole or not, restore it, give what is damaged a chance to be
 * healed, judge, record, tell. An older snapshot that is whole is named, and makes no drill pass: what was saved since
 * would be lost. */
#include "engine/drill_private.h"

#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/events.h"
#include "engine/snapshot.h"
#include "engine/validation_private.h"

#include <stdarg.h>
#include <string.h>

#define LEASE_TRIES 3
#define MEGABYTE    1e6

/* The newest of the system's own, as the list gives it; texts in the arena of the drill. */
struct newest {
    struct hf_drill *drill;
    struct hf_snapshot_row row;
    bool found;
};

static bool drill(struct hf_drill *drill, struct hf_error *err);
static bool lease_newest(struct hf_drill *drill, struct hf_error *err);
static bool find_newest(struct hf_drill *drill, struct hf_snapshot_row *out, struct hf_error *err);
static hf_snapshot_row_fn keep_newest;
static bool restore(struct hf_drill *drill, struct hf_error *err);
static bool judge_failure(struct hf_drill *drill, const struct hf_error *failure, struct hf_error *err);
static void conclude_failed(struct hf_drill *drill, const char *failure);
static void tell_passed(struct hf_drill *drill, const char *healed);
static void conclude(struct hf_drill *drill, const char *status, const char *format, ...) HF_PRINTF(3, 4);
static void record(struct hf_drill *drill);
static bool insert(struct hf_session *session, void *context, struct hf_error *err);
static void tell(struct hf_drill *drill);

bool hf_drill_take(struct hf_engine *engine, const char *system, bool wait, struct hf_arena *arena,
                   struct hf_drill_row *out, struct hf_error *err)
{
    struct hf_driller *driller = engine->driller;
    struct hf_drill taken = {.engine = engine, .driller = driller, .arena = arena};
    if (!hf_catalog_read_system(engine->catalog, system, &taken.system))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system \"%s\"", system);
    if (wait)
        pthread_mutex_lock(&driller->drilling);
    else if (pthread_mutex_trylock(&driller->drilling) != 0)
        return hf_error_set(err, HF_CONFLICT,
                            "another drill is under way, and there is one at a time; try again when it is done");
    bool ok = drill(&taken, err);
    pthread_mutex_unlock(&driller->drilling);
    if (ok)
        *out = taken.row;
    return ok;
}

static bool drill(struct hf_drill *drill, struct hf_error *err)
{
    char *id = hf_arena_alloc(drill->arena, 40);
    hf_id_random("drill-", id, 40);
    drill->row = (struct hf_drill_row){.system_id = drill->system.id,
                                       .id = id,
                                       .snapshot = "",
                                       .started_at_ms = hf_clock_now_ms(),
                                       .status = "skipped",
                                       .detail = ""};
    drill->snapshot.id = "";
    bool ok = true;
    if (lease_newest(drill, err)) {
        drill->row.snapshot = drill->snapshot.id;
        drill->row.sequence = drill->snapshot.sequence;
        ok = restore(drill, err);
    } else if (err->code == HF_NOT_FOUND) {
        conclude(drill, "skipped", "there is no snapshot yet that could be restored");
    } else {
        conclude(drill, "inconclusive", "%s", err->text);
    }
    if (ok) {
        record(drill);
        tell(drill);
    }
    if (drill->snapshot.id[0]) /* not before it is recorded: nor is the system deleted until then */
        hf_snapshot_release(drill->engine, drill->system.id, drill->snapshot.id);
    return ok;
}

/* Between being found and being leased it may be deleted: then there is a newer one, or none. */
static bool lease_newest(struct hf_drill *drill, struct hf_error *err)
{
    for (int try = 1;; try++) {
        struct hf_snapshot_row row;
        if (!find_newest(drill, &row, err))
            return false;
        bool leased = hf_snapshot_lease(drill->engine, drill->system.id, row.id, err);
        if (leased && hf_snapshot_find(drill->engine, drill->system.name, row.id, drill->arena, &row, err)) {
            drill->snapshot = row;
            return true;
        }
        if (leased)
            hf_snapshot_release(drill->engine, drill->system.id, row.id);
        if (try == LEASE_TRIES || (err->code != HF_NOT_FOUND && err->code != HF_CONFLICT))
            return false;
    }
}

/* Not "latest", which leaves out what is damaged. */
static bool find_newest(struct hf_drill *drill, struct hf_snapshot_row *out, struct hf_error *err)
{
    struct newest newest = {.drill = drill};
    struct hf_session *session;
    if (!hf_sessions_take(drill->engine->sessions, &session, err))
        return false;
    bool ok = hf_snapshots_list(session, drill->system.id, NULL, INT64_MAX, "", INT64_MAX, keep_newest, &newest, err);
    hf_sessions_give(drill->engine->sessions, session);
    if (ok && !newest.found)
        return hf_error_set(err, HF_NOT_FOUND, "the system has no snapshot yet");
    *out = newest.row;
    return ok;
}

static bool keep_newest(void *context, const struct hf_snapshot_row *row)
{
    struct newest *newest = context;
    if (strcmp(row->trigger, "import") == 0 || strcmp(row->state, "failed") == 0)
        return true;
    hf_snapshot_row_copy(newest->drill->arena, row, &newest->row);
    newest->found = true;
    return false;
}

/* False: broken off. */
static bool restore(struct hf_drill *drill, struct hf_error *err)
{
    if (!hf_drill_has_room(drill)) {
        conclude(drill, "skipped",
                 "there is no room to try it: the data directory needs %lld bytes free, twice the %lld of the states",
                 2 * (long long)drill->snapshot.state_bytes, (long long)drill->snapshot.state_bytes);
        return true;
    }
    struct hf_error failure;
    if (strcmp(drill->snapshot.state, "damaged") == 0 || strcmp(drill->snapshot.validation_status, "damaged") == 0) {
        hf_error_set(&failure, HF_DAMAGED, "snapshot %s is damaged", drill->snapshot.id);
    } else if (hf_drill_restore(drill, &failure)) {
        tell_passed(drill, "");
        return true;
    }
    if (failure.code == HF_DAMAGED || failure.code == HF_NOT_FOUND)
        return judge_failure(drill, &failure, err);
    if (failure.code == HF_SHUTTING_DOWN)
        return hf_error_set(err, failure.code, "%s", failure.text);
    conclude(drill, "inconclusive", "%s", failure.text);
    return true;
}

/* A good copy may be left somewhere: only what stays damaged is a failure. */
static bool judge_failure(struct hf_drill *drill, const struct hf_error *failure, struct hf_error *err)
{
    struct hf_validation validation;
    struct hf_error again;
    hf_log(HF_LOG_WARNING, "drill_validates", failure->text, HF_LOG_TEXT("system", drill->system.name),
           HF_LOG_TEXT("snapshot", drill->snapshot.id));
    struct hf_pacer pacer = {.stop = &drill->driller->stopping};
    if (!hf_validation_run_paced(drill->engine, drill->system.name, drill->snapshot.id, true, &pacer, drill->arena,
                                 &validation, &again)) {
        if (again.code == HF_SHUTTING_DOWN)
            return hf_error_set(err, again.code, "%s", again.text);
        conclude(drill, "inconclusive", "%.200s; %.200s", failure->text, again.text);
    } else if (strcmp(validation.status, "damaged") == 0) {
        conclude_failed(drill, failure->text);
    } else if (hf_drill_restore(drill, &again)) {
        tell_passed(drill, "; it was damaged before, and healed");
    } else if (again.code == HF_SHUTTING_DOWN) {
        return hf_error_set(err, again.code, "%s", again.text);
    } else if (again.code == HF_DAMAGED || again.code == HF_NOT_FOUND) {
        conclude_failed(drill, again.text);
    } else {
        conclude(drill, "inconclusive", "%s", again.text);
    }
    return true;
}

/* Says what a restore would give instead: by now the newest is known to be damaged. */
static void conclude_failed(struct hf_drill *drill, const char *failure)
{
    struct hf_snapshot_row whole;
    struct hf_error err = {0};
    char cut[HF_TIME_BYTES];
    if (hf_snapshot_find(drill->engine, drill->system.name, "latest", drill->arena, &whole, &err) &&
        strcmp(whole.id, drill->snapshot.id) != 0) {
        hf_time_format(whole.cut_at_ms, cut);
        conclude(drill, "failed", "%.280s; the newest that is not known to be damaged is %s, cut at %s", failure,
                 whole.id, cut);
    } else if (err.code == HF_NOT_FOUND) {
        conclude(drill, "failed", "%.280s; no snapshot is whole", failure);
    } else {
        conclude(drill, "failed", "%s", failure);
    }
}

static void tell_passed(struct hf_drill *drill, const char *healed)
{
    const struct hf_drill_row *row = &drill->row;
    double seconds = (double)row->duration_ms / 1000;
    conclude(drill, "passed", "%lld components, %.1f MB, restored in %.3f s (%.1f MB/s), all equal%s",
             (long long)row->components, (double)row->bytes / MEGABYTE, seconds,
             (double)row->bytes / MEGABYTE / seconds, healed);
}

static void conclude(struct hf_drill *drill, const char *status, const char *format, ...)
{
    char text[480];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    drill->row.status = status;
    drill->row.detail = hf_arena_strdup(drill->arena, text);
}

/* A database that is away now keeps the result from being listed, not from being known. */
static void record(struct hf_drill *drill)
{
    struct hf_call call = {.run = insert, .context = drill};
    struct hf_error err;
    if (!hf_committer_call(drill->engine->committer, &call, &err))
        hf_log(HF_LOG_WARNING, "drill_not_recorded", err.text, HF_LOG_TEXT("system", drill->system.name));
    hf_drill_note(drill->driller, &drill->row);
}

static bool insert(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct hf_drill *drill = context;
    return hf_drills_insert(session, &drill->row, err);
}

static void tell(struct hf_drill *drill)
{
    const struct hf_drill_row *row = &drill->row;
    hf_metric_add_labelled(HF_M_DRILLS, row->status, 1);
    if (!row->snapshot[0] && strcmp(row->status, "skipped") == 0) {
        hf_log(HF_LOG_INFO, "drill_skipped", row->detail, HF_LOG_TEXT("system", drill->system.name));
        return;
    }
    HF_AUTO(free)
    char *data = hf_format("{\"drill\":\"%s\",\"snapshot\":\"%s\",\"status\":\"%s\",\"durationMs\":%lld}", row->id,
                           row->snapshot, row->status, (long long)row->duration_ms);
    if (strcmp(row->status, "passed") == 0) {
        hf_metric_set(HF_M_LAST_DRILL_SECONDS, (double)row->duration_ms / 1000);
        hf_event_emit(drill->engine, drill->system.id, drill->system.name, HF_EV_DRILL_PASSED, data,
                      "restore drill of snapshot %s: %s", row->snapshot, row->detail);
    } else if (strcmp(row->status, "failed") == 0) {
        hf_event_emit(drill->engine, drill->system.id, drill->system.name, HF_EV_DRILL_FAILED, data,
                      "restore drill failed: snapshot %s of system %s cannot be restored: %s", row->snapshot,
                      drill->system.name, row->detail);
    } else {
        hf_event_emit(drill->engine, drill->system.id, drill->system.name, HF_EV_DRILL_INCONCLUSIVE, data,
                      "restore drill of snapshot %s was %s: %s", row->snapshot[0] ? row->snapshot : "(unknown)",
                      row->status, row->detail);
    }
}
