#include "engine/copies.h"
#include "engine/snapshot_private.h"

#include "core/clock.h"
#include "core/metrics.h"
#include "engine/events.h"
#include "engine/validation.h"

#include <string.h>

static void *background(void *context);
static bool take_job(struct hf_snapshotter *snapshotter, struct hf_snapshot_job *out);
static void run_job(struct hf_engine *engine, const struct hf_snapshot_job *job);
static bool take_announced(struct hf_engine *engine, const struct hf_snapshot_request *request, const char *asked_id,
                           struct hf_arena *arena, struct hf_snapshot_row *out, bool *unchanged_out,
                           struct hf_error *err);
static bool make(struct hf_making *making, struct hf_snapshot_row *row_out, struct hf_error *err);
static void begin_progress(struct hf_making *making);
static void end_progress(struct hf_making *making, const struct hf_snapshot_row *row, const struct hf_error *failure);
static void tell_success(struct hf_making *making, const struct hf_snapshot_row *row);
static void tell_failure(struct hf_making *making, const struct hf_error *failure);
static void validate_after(struct hf_engine *engine, const struct hf_snapshot_request *request, const char *id);
static bool queue_validation(struct hf_engine *engine, const char *system, const char *id, bool just_taken);
static void validate_here(struct hf_engine *engine, const char *system, const char *id, bool just_taken);
static void begin_generation(struct hf_engine *engine, const char *system, const char *id);
static bool is_queued(const struct hf_snapshotter *snapshotter, const struct hf_snapshot_job *job);
static bool queue_job(struct hf_snapshotter *snapshotter, const struct hf_snapshot_job *job);

struct hf_snapshotter *hf_snapshotter_new(struct hf_engine *engine)
{
    struct hf_snapshotter *snapshotter = hf_alloc(sizeof(*snapshotter));
    snapshotter->engine = engine;
    pthread_mutex_init(&snapshotter->mutex, NULL);
    pthread_cond_init(&snapshotter->wake, NULL);
    HF_ASSERT(pthread_create(&snapshotter->thread, NULL, background, snapshotter) == 0);
    return snapshotter;
}

void hf_snapshotter_free(struct hf_snapshotter *snapshotter)
{
    if (!snapshotter)
        return;
    pthread_mutex_lock(&snapshotter->mutex);
    snapshotter->stopping = true;
    pthread_cond_signal(&snapshotter->wake);
    pthread_mutex_unlock(&snapshotter->mutex);
    pthread_join(snapshotter->thread, NULL);

    while (snapshotter->shelves) {
        struct hf_shelf *shelf = snapshotter->shelves;
        snapshotter->shelves = shelf->next;
        hf_shelf_forget(shelf);
        hf_arena_done(&shelf->full.arena);
        hf_arena_done(&shelf->incremental.arena);
        hf_arena_done(&shelf->newest.arena);
        hf_arena_done(&shelf->oldest.arena);
        pthread_mutex_destroy(&shelf->taking);
        pthread_mutex_destroy(&shelf->judging);
        free(shelf->name);
        free(shelf);
    }
    pthread_cond_destroy(&snapshotter->wake);
    pthread_mutex_destroy(&snapshotter->mutex);
    free(snapshotter);
}

bool hf_snapshot_take(struct hf_engine *engine, const struct hf_snapshot_request *request, struct hf_arena *arena,
                      struct hf_snapshot_row *out, bool *unchanged_out, struct hf_error *err)
{
    return take_announced(engine, request, "", arena, out, unchanged_out, err);
}

bool hf_snapshot_start(struct hf_engine *engine, const struct hf_snapshot_request *request,
                       char id_out[HF_SNAPSHOT_ID_MAX], struct hf_error *err)
{
    struct hf_system_info system;
    if (!hf_catalog_read_system(engine->catalog, request->system, &system))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", request->system);
    struct hf_shelf *shelf = hf_shelf_get(engine, request->system, err);
    if (!shelf)
        return false;

    struct hf_snapshot_job job = {.kind = HF_JOB_TAKE,
                                  .full = request->full,
                                  .even_unchanged = request->even_unchanged};
    char time[HF_TIME_BYTES];
    hf_time_format_compact(hf_clock_now_ms(), time);
    snprintf(job.system, sizeof(job.system), "%s", request->system);
    snprintf(job.id, sizeof(job.id), "%s-%s-%lld", request->full ? "full" : "incremental", time,
             (long long)system.sequence);
    snprintf(job.trigger, sizeof(job.trigger), "%s", request->trigger);
    snprintf(job.label, sizeof(job.label), "%s", request->label ? request->label : "");

    struct hf_snapshotter *snapshotter = engine->snapshotter;
    pthread_mutex_lock(&snapshotter->mutex);
    bool ok = true;
    if ((shelf->full.has && strcmp(shelf->full.row.id, job.id) == 0) ||
        (shelf->incremental.has && strcmp(shelf->incremental.row.id, job.id) == 0)) {
        size_t used = strlen(job.id);
        snprintf(job.id + used, sizeof(job.id) - used, "-2"); /* a second one at the same moment, as make_id names it */
    }
    if (!shelf->queued_id[0]) {
        ok = queue_job(snapshotter, &job);
        if (ok)
            snprintf(shelf->queued_id, sizeof(shelf->queued_id), "%s", job.id);
    }
    if (ok)
        snprintf(id_out, HF_SNAPSHOT_ID_MAX, "%s", shelf->queued_id);
    pthread_mutex_unlock(&snapshotter->mutex);
    return ok ? true
              : hf_error_set(err, HF_OVERLOADED, "%d snapshots and validations wait already", HF_SNAPSHOT_JOBS_MAX);
}

bool hf_snapshot_progress(struct hf_engine *engine, const char *system, const char *id_or_null,
                          struct hf_snapshot_progress *out)
{
    struct hf_error ignored;
    struct hf_shelf *shelf = hf_shelf_get(engine, system, &ignored);
    if (!shelf)
        return false;
    pthread_mutex_lock(&engine->snapshotter->mutex);
    bool found = shelf->has_progress && (!id_or_null || strcmp(id_or_null, shelf->progress.id) == 0 ||
                                         strcmp(id_or_null, shelf->asked_id) == 0);
    if (found) {
        *out = shelf->progress;
        if (id_or_null)
            snprintf(out->id, sizeof(out->id), "%s", id_or_null);
    } else if (shelf->queued_id[0] && (!id_or_null || strcmp(id_or_null, shelf->queued_id) == 0)) {
        found = true;
        memset(out, 0, sizeof(*out));
        snprintf(out->id, sizeof(out->id), "%s", shelf->queued_id);
        snprintf(out->kind, sizeof(out->kind), "%s", shelf->queued_id[0] == 'f' ? "full" : "incremental");
        snprintf(out->state, sizeof(out->state), "running");
        out->cut_at_ms = hf_clock_now_ms();
    }
    pthread_mutex_unlock(&engine->snapshotter->mutex);
    return found;
}

struct hf_shelf *hf_shelf_get(struct hf_engine *engine, const char *system, struct hf_error *err)
{
    struct hf_system_info info;
    if (!hf_catalog_read_system(engine->catalog, system, &info)) {
        hf_error_set(err, HF_NOT_FOUND, "there is no system %s", system);
        return NULL;
    }
    struct hf_snapshotter *snapshotter = engine->snapshotter;
    pthread_mutex_lock(&snapshotter->mutex);
    struct hf_shelf *shelf = snapshotter->shelves;
    while (shelf && shelf->system_id != info.id)
        shelf = shelf->next;
    if (!shelf) {
        shelf = hf_alloc(sizeof(*shelf));
        shelf->system_id = info.id;
        shelf->name = hf_strdup(info.name);
        shelf->history_bytes = -1;
        pthread_mutex_init(&shelf->judging, NULL);
        pthread_mutex_init(&shelf->taking, NULL);
        hf_arena_init(&shelf->full.arena);
        hf_arena_init(&shelf->incremental.arena);
        hf_arena_init(&shelf->newest.arena);
        hf_arena_init(&shelf->oldest.arena);
        shelf->next = snapshotter->shelves;
        snapshotter->shelves = shelf;
    }
    pthread_mutex_unlock(&snapshotter->mutex);
    return shelf;
}

void hf_shelf_await(struct hf_shelf *shelf)
{
    shelf->awaited++;
    pthread_mutex_lock(&shelf->judging);
    shelf->awaited--;
}

bool hf_shelf_check_current(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_error *err)
{
    struct hf_system_info info;
    if (!hf_catalog_read_system(engine->catalog, shelf->name, &info) || info.id != shelf->system_id)
        return hf_error_set(err, HF_NOT_FOUND, "system %s was deleted meanwhile", shelf->name);
    pthread_mutex_lock(&engine->snapshotter->mutex);
    bool deleting = shelf->deleting;
    pthread_mutex_unlock(&engine->snapshotter->mutex);
    if (deleting)
        return hf_error_set(err, HF_CONFLICT,
                            "the deletion of system %s was begun and not finished; repeat it, or restart the service",
                            shelf->name);
    return true;
}

bool hf_snapshot_queue_validation(struct hf_engine *engine, const char *system, const char *id)
{
    return queue_validation(engine, system, id, false);
}

static bool queue_validation(struct hf_engine *engine, const char *system, const char *id, bool just_taken)
{
    struct hf_snapshot_job job = {.kind = HF_JOB_VALIDATE, .just_taken = just_taken};
    snprintf(job.system, sizeof(job.system), "%s", system);
    snprintf(job.id, sizeof(job.id), "%s", id);
    pthread_mutex_lock(&engine->snapshotter->mutex);
    bool ok = is_queued(engine->snapshotter, &job) || queue_job(engine->snapshotter, &job);
    pthread_mutex_unlock(&engine->snapshotter->mutex);
    return ok;
}

/* One look serves all who asked for it before it begins. */
static bool is_queued(const struct hf_snapshotter *snapshotter, const struct hf_snapshot_job *job)
{
    for (int i = 0; i < snapshotter->job_count; i++) {
        const struct hf_snapshot_job *queued = &snapshotter->jobs[(snapshotter->job_first + i) % HF_SNAPSHOT_JOBS_MAX];
        if (queued->kind == job->kind && strcmp(queued->system, job->system) == 0 && strcmp(queued->id, job->id) == 0)
            return true;
    }
    return false;
}

static bool queue_job(struct hf_snapshotter *snapshotter, const struct hf_snapshot_job *job)
{
    if (snapshotter->job_count == HF_SNAPSHOT_JOBS_MAX || snapshotter->stopping)
        return false;
    snapshotter->jobs[(snapshotter->job_first + snapshotter->job_count++) % HF_SNAPSHOT_JOBS_MAX] = *job;
    pthread_cond_signal(&snapshotter->wake);
    return true;
}

static void *background(void *context)
{
    struct hf_snapshotter *snapshotter = context;
    struct hf_snapshot_job job;
    while (take_job(snapshotter, &job))
        run_job(snapshotter->engine, &job);
    return NULL;
}

/* What still waits when the service stops is left: a final full is taken, and unvalidated snapshots are validated
 * after the next start. */
static bool take_job(struct hf_snapshotter *snapshotter, struct hf_snapshot_job *out)
{
    pthread_mutex_lock(&snapshotter->mutex);
    while (!snapshotter->stopping && !snapshotter->job_count)
        pthread_cond_wait(&snapshotter->wake, &snapshotter->mutex);
    bool some = !snapshotter->stopping;
    if (some) {
        *out = snapshotter->jobs[snapshotter->job_first];
        snapshotter->job_first = (snapshotter->job_first + 1) % HF_SNAPSHOT_JOBS_MAX;
        snapshotter->job_count--;
    }
    pthread_mutex_unlock(&snapshotter->mutex);
    return some;
}

static void run_job(struct hf_engine *engine, const struct hf_snapshot_job *job)
{
    struct hf_error err;
    if (job->kind == HF_JOB_VALIDATE) {
        validate_here(engine, job->system, job->id, job->just_taken);
        return;
    }
    struct hf_snapshot_request request = {.system = job->system,
                                          .full = job->full,
                                          .trigger = job->trigger,
                                          .label = job->label,
                                          .even_unchanged = job->even_unchanged};
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_snapshot_row row;
    bool unchanged;
    if (!take_announced(engine, &request, job->id, &arena, &row, &unchanged, &err))
        hf_log(HF_LOG_WARNING, "snapshot_in_background_failed", err.text, HF_LOG_TEXT("system", job->system),
               HF_LOG_TEXT("snapshot", job->id));
}

static bool take_announced(struct hf_engine *engine, const struct hf_snapshot_request *request, const char *asked_id,
                           struct hf_arena *arena, struct hf_snapshot_row *out, bool *unchanged_out,
                           struct hf_error *err)
{
    struct hf_shelf *shelf = hf_shelf_get(engine, request->system, err);
    if (!shelf)
        return false;
    struct hf_making making = {.engine = engine,
                               .shelf = shelf,
                               .request = request,
                               .asked_id = asked_id,
                               .full = request->full,
                               .reason = ""};
    hf_arena_init(&making.arena);
    pthread_mutex_lock(&shelf->taking);
    if (!hf_shelf_check_current(engine, shelf, err)) {
        pthread_mutex_unlock(&shelf->taking);
        hf_arena_done(&making.arena);
        return false;
    }
    making.started_ns = hf_clock_monotonic_ns();
    begin_progress(&making);
    struct hf_snapshot_row row;
    bool ok = make(&making, &row, err);
    end_progress(&making, ok ? &row : NULL, err);
    pthread_mutex_unlock(&shelf->taking);

    if (!ok) {
        tell_failure(&making, err);
    } else {
        hf_snapshot_row_copy(arena, &row, out);
        *unchanged_out = making.unchanged;
        if (making.unchanged) {
            out->reason = hf_arena_format(arena, "nothing changed since %s", row.id);
        } else {
            tell_success(&making, out);
            validate_after(engine, request, out->id);
        }
    }
    hf_arena_done(&making.arena);
    return ok;
}

/* With taking held. */
static bool make(struct hf_making *making, struct hf_snapshot_row *row_out, struct hf_error *err)
{
    struct hf_engine *engine = making->engine;
    struct hf_shelf *shelf = making->shelf;
    if (shelf->orphaned) {
        if (!hf_snapshots_match_files(engine, shelf->name, err))
            return hf_error_wrap(err, "an earlier snapshot file without a row");
        shelf->orphaned = false;
    }
    if (!shelf->loaded && !hf_shelf_load(engine, shelf, NULL, err))
        return false;
    if (!hf_sessions_take(engine->sessions, &making->session, err))
        return false;
    bool ok = hf_cut_read(making, err);
    if (ok && making->unchanged)
        *row_out = making->previous;
    else if (ok)
        ok = hf_snapshot_write(making, row_out, err);
    hf_sessions_give(engine->sessions, making->session);
    if (ok && !making->unchanged)
        hf_shelf_note_held(engine, shelf, NULL);
    if (!ok)
        hf_shelf_forget(shelf); /* view and index may be ahead of what was published */
    hf_view_free(making->view);
    hf_chain_free(making->chain);
    free(making->entries);
    return ok;
}

static void begin_progress(struct hf_making *making)
{
    struct hf_shelf *shelf = making->shelf;
    struct hf_snapshot_progress *progress = &shelf->progress;
    pthread_mutex_lock(&making->engine->snapshotter->mutex);
    memset(progress, 0, sizeof(*progress));
    shelf->has_progress = true;
    snprintf(progress->id, sizeof(progress->id), "%s", making->asked_id);
    snprintf(progress->kind, sizeof(progress->kind), "%s", making->full ? "full" : "incremental");
    snprintf(progress->state, sizeof(progress->state), "running");
    progress->cut_at_ms = hf_clock_now_ms();
    snprintf(shelf->asked_id, sizeof(shelf->asked_id), "%s", making->asked_id);
    if (making->asked_id[0] && strcmp(shelf->queued_id, making->asked_id) == 0)
        shelf->queued_id[0] = '\0';
    pthread_mutex_unlock(&making->engine->snapshotter->mutex);
}

static void end_progress(struct hf_making *making, const struct hf_snapshot_row *row, const struct hf_error *failure)
{
    struct hf_snapshotter *snapshotter = making->engine->snapshotter;
    struct hf_shelf *shelf = making->shelf;
    pthread_mutex_lock(&snapshotter->mutex);
    if (!row) {
        snprintf(shelf->progress.state, sizeof(shelf->progress.state), "failed");
        snprintf(shelf->progress.error, sizeof(shelf->progress.error), "%.255s", failure->text);
    } else {
        shelf->has_progress = false;
        if (making->asked_id[0] && strcmp(making->asked_id, row->id) != 0) {
            struct hf_snapshot_alias *alias = &snapshotter->aliases[snapshotter->alias_next];
            snapshotter->alias_next = (snapshotter->alias_next + 1) % HF_SNAPSHOT_ALIASES_MAX;
            alias->system_id = shelf->system_id;
            snprintf(alias->announced, sizeof(alias->announced), "%s", making->asked_id);
            snprintf(alias->made, sizeof(alias->made), "%s", row->id);
        }
    }
    pthread_mutex_unlock(&snapshotter->mutex);
}

static void tell_success(struct hf_making *making, const struct hf_snapshot_row *row)
{
    hf_copies_changed(making->engine);
    hf_metric_add_labelled(HF_M_SNAPSHOTS, row->kind, 1);
    hf_metric_observe(HF_M_SNAPSHOT_SECONDS, (double)row->duration_ms / 1000.0);
    hf_metric_add(HF_M_SNAPSHOT_WRITTEN_BYTES, row->file_bytes);
    if (making->lost_data) {
        hf_event_emit(making->engine, row->system_id, making->shelf->name, HF_EV_SNAPSHOT_INCOMPLETE, making->lost_data,
                      "snapshot %s at sequence %lld is not whole: %s", row->id, (long long)row->sequence, row->reason);
        return;
    }
    HF_AUTO(free)
    char *data = hf_format("{\"snapshot\":\"%s\",\"kind\":\"%s\",\"sequence\":%lld,\"changed\":%lld,\"fileBytes\":%lld,"
                           "\"durationMs\":%lld}",
                           row->id, row->kind, (long long)row->sequence, (long long)row->changed,
                           (long long)row->file_bytes, (long long)row->duration_ms);
    hf_event_emit(making->engine, row->system_id, making->shelf->name, HF_EV_SNAPSHOT_COMPLETED, data,
                  "snapshot %s holds %lld component%s at sequence %lld (%lld changed, %lld bytes written)%s%s", row->id,
                  (long long)row->components, row->components == 1 ? "" : "s", (long long)row->sequence,
                  (long long)row->changed, (long long)row->file_bytes, row->reason[0] ? ": " : "", row->reason);
}

static void tell_failure(struct hf_making *making, const struct hf_error *failure)
{
    hf_metric_add(HF_M_SNAPSHOT_FAILURES, 1);
    hf_event_emit(making->engine, making->shelf->system_id, making->shelf->name, HF_EV_SNAPSHOT_FAILED, NULL,
                  "a snapshot of %s failed: %s; the one before it stays and the next interval tries again",
                  making->shelf->name, failure->text);
}

/* Not part of the answer's time, except at shutdown, when nothing comes after. */
static void validate_after(struct hf_engine *engine, const struct hf_snapshot_request *request, const char *id)
{
    if (!engine->config->enable_state_validation)
        return;
    bool here = strcmp(request->trigger, "shutdown") == 0 || strcmp(request->trigger, "schedule") == 0;
    if (!here && queue_validation(engine, request->system, id, true))
        return;
    validate_here(engine, request->system, id, true);
}

static void validate_here(struct hf_engine *engine, const char *system, const char *id, bool just_taken)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_validation result;
    struct hf_error err;
    if (!hf_validation_run(engine, system, id, false, 0, &arena, &result, &err))
        hf_log(HF_LOG_WARNING, "snapshot_not_validated", err.text, HF_LOG_TEXT("system", system),
               HF_LOG_TEXT("snapshot", id));
    else if (just_taken && strcmp(result.status, "damaged") == 0)
        begin_generation(engine, system, id);
}

/* What was just taken built on something broken, which nobody knew: its changes are not exposed until the next
 * interval. What is the first of its generation builds on nothing else; taking that again would not end on a disk
 * that damages everything. */
static void begin_generation(struct hf_engine *engine, const char *system, const char *id)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_snapshot_row row, fresh;
    struct hf_error err;
    bool unchanged;
    struct hf_snapshot_request request = {.system = system, .full = true, .trigger = "event", .even_unchanged = true};
    if (!hf_snapshot_find(engine, system, id, &arena, &row, &err) || strcmp(row.generation, row.id) == 0)
        return;
    if (!hf_snapshot_take(engine, &request, &arena, &fresh, &unchanged, &err))
        hf_log(HF_LOG_WARNING, "generation_not_begun", err.text, HF_LOG_TEXT("system", system),
               HF_LOG_TEXT("snapshot", id));
}
