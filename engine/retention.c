#include "engine/retention.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "engine/snapshot_private.h"
#include "store/states.h"

#include <string.h>

#define TRIM_STEP_ROWS 500 /* a few milliseconds of the committer */
#define TRIM_STEPS_MAX 200 /* the rest waits for the next run */

/* Snapshot files that live and die together. */
struct generation {
    const char *id;
    int64_t newest_cut_at_ms;
    bool pinned, leased;
    bool has_full;  /* complete, not damaged */
    bool has_valid; /* and proved by validation */
};

struct survey {
    struct hf_engine *engine;
    struct hf_arena arena;
    struct hf_snapshot_row *rows; /* newest first; owns */
    int64_t count, capacity;
    struct generation *generations; /* newest first; owns */
    int64_t generation_count, generation_capacity;
};

struct trim {
    int64_t system_id, up_to, deleted;
};

static hf_snapshot_row_fn survey_row;
static struct generation *generation_of(struct survey *survey, const char *id);
static const struct generation *last_resort(const struct survey *survey);
static const char *why_kept(const struct survey *survey, const struct generation *generation,
                            const struct hf_shelf *shelf, int64_t expired_before_ms);
static bool delete_generation(struct survey *survey, struct hf_shelf *shelf, const struct generation *generation,
                              int64_t *deleted_out, struct hf_error *err);
static bool sequence_by_age(struct hf_engine *engine, const struct hf_system_info *system, int64_t *up_to_out,
                            struct hf_error *err);
static bool trim_in_steps(struct hf_engine *engine, const struct hf_system_info *system, int64_t up_to,
                          int64_t *deleted_out, bool *more_out, struct hf_error *err);
static bool run_trim(struct hf_session *session, void *context, struct hf_error *err);
static bool trim_by_size(struct hf_engine *engine, const struct hf_system_info *system, struct hf_shelf *shelf,
                         int64_t *deleted_out, struct hf_error *err);
static int64_t folded_sequence(struct hf_engine *engine, int64_t system_id);
static bool measure_history(struct hf_engine *engine, const struct hf_system_info *system, int64_t *rows_out,
                            int64_t *bytes_out, struct hf_error *err);

bool hf_retention_run(struct hf_engine *engine, const char *system, int64_t *deleted_out, struct hf_error *err)
{
    *deleted_out = 0;
    struct hf_system_info info;
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    struct hf_session *session;
    if (!shelf || !hf_catalog_read_system(engine->catalog, system, &info) ||
        !hf_sessions_take(engine->sessions, &session, err))
        return false;
    struct survey survey = {.engine = engine};
    hf_arena_init(&survey.arena);
    pthread_mutex_lock(&shelf->taking);
    bool ok = hf_shelf_check_current(engine, shelf, err) &&
              hf_snapshots_list(session, info.id, NULL, INT64_MAX, "", INT64_MAX, survey_row, &survey, err);
    hf_sessions_give(engine->sessions, session);

    int64_t hours = info.max_retention_hours >= 0 ? info.max_retention_hours : engine->config->max_retention_hours;
    int64_t expired_before_ms = hf_clock_now_ms() - hours * 3600000;
    for (int64_t i = survey.generation_count - 1; ok && i >= 0; i--) { /* oldest first */
        const struct generation *generation = &survey.generations[i];
        const char *kept = why_kept(&survey, generation, shelf, expired_before_ms);
        hf_log(kept ? HF_LOG_DEBUG : HF_LOG_INFO, "retention_decision", kept ? kept : "expired: its files are deleted",
               HF_LOG_TEXT("system", system), HF_LOG_TEXT("generation", generation->id));
        if (!kept)
            ok = delete_generation(&survey, shelf, generation, deleted_out, err);
    }
    if (*deleted_out) {
        hf_metric_add(HF_M_RETENTION_DELETED, *deleted_out);
        struct hf_error ignored;
        if (!hf_shelf_load(engine, shelf, NULL, ok ? err : &ignored))
            ok = false;
    }
    pthread_mutex_unlock(&shelf->taking);
    free(survey.rows);
    free(survey.generations);
    hf_arena_done(&survey.arena);
    return ok;
}

static bool survey_row(void *context, const struct hf_snapshot_row *row)
{
    struct survey *survey = context;
    if (survey->count == survey->capacity) {
        survey->capacity = survey->capacity ? survey->capacity * 2 : 64;
        survey->rows = hf_realloc(survey->rows, (size_t)survey->capacity * sizeof(survey->rows[0]));
    }
    struct hf_snapshot_row *copy = &survey->rows[survey->count++];
    hf_snapshot_row_copy(&survey->arena, row, copy);
    struct generation *generation = generation_of(survey, copy->generation);
    if (row->cut_at_ms > generation->newest_cut_at_ms)
        generation->newest_cut_at_ms = row->cut_at_ms;
    generation->pinned |= row->pinned;
    generation->leased |= hf_snapshot_is_leased(survey->engine, row->system_id, row->id);
    bool sound = strcmp(row->state, "complete") == 0 && strcmp(row->validation_status, "damaged") != 0;
    if (sound && strcmp(row->kind, "full") == 0) {
        generation->has_full = true;
        generation->has_valid |= strcmp(row->validation_status, "valid") == 0;
    }
    return true;
}

static struct generation *generation_of(struct survey *survey, const char *id)
{
    for (int64_t i = 0; i < survey->generation_count; i++) {
        if (strcmp(survey->generations[i].id, id) == 0)
            return &survey->generations[i];
    }
    if (survey->generation_count == survey->generation_capacity) {
        survey->generation_capacity = survey->generation_capacity ? survey->generation_capacity * 2 : 16;
        survey->generations =
            hf_realloc(survey->generations, (size_t)survey->generation_capacity * sizeof(survey->generations[0]));
    }
    struct generation *generation = &survey->generations[survey->generation_count++];
    *generation = (struct generation){.id = id};
    return generation;
}

/* The newest that proved good; without any, the newest that may be. It is never deleted, however old. */
static const struct generation *last_resort(const struct survey *survey)
{
    const struct generation *hope = NULL;
    for (int64_t i = 0; i < survey->generation_count; i++) {
        const struct generation *generation = &survey->generations[i];
        if (generation->has_valid)
            return generation;
        if (generation->has_full && !hope)
            hope = generation;
    }
    return hope;
}

/* NULL: nothing speaks for it. */
static const char *why_kept(const struct survey *survey, const struct generation *generation,
                            const struct hf_shelf *shelf, int64_t expired_before_ms)
{
    if (generation->newest_cut_at_ms >= expired_before_ms)
        return "kept: within the retention time";
    if (generation->pinned)
        return "kept: a snapshot in it is pinned";
    if (generation->leased)
        return "kept: a snapshot in it is being read";
    if (generation == last_resort(survey))
        return "kept: it is the newest that can be restored";
    if (shelf->newest.has && strcmp(shelf->newest.row.generation, generation->id) == 0)
        return "kept: it is being written";
    return NULL;
}

/* Newest first, so that what is left at any moment is whole. */
static bool delete_generation(struct survey *survey, struct hf_shelf *shelf, const struct generation *generation,
                              int64_t *deleted_out, struct hf_error *err)
{
    for (int64_t i = 0; i < survey->count; i++) {
        if (strcmp(survey->rows[i].generation, generation->id) != 0)
            continue;
        if (!hf_snapshot_remove(survey->engine, shelf, &survey->rows[i], err))
            return false;
        ++*deleted_out;
    }
    return true;
}

/* ---- history ---- */

bool hf_retention_trim_history(struct hf_engine *engine, const char *system, int64_t *deleted_out, struct hf_error *err)
{
    *deleted_out = 0;
    struct hf_system_info info;
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    if (!shelf || !hf_catalog_read_system(engine->catalog, system, &info))
        return false;
    int64_t up_to = 0;
    bool more;
    if (!sequence_by_age(engine, &info, &up_to, err))
        return false;
    /* What is above is still read as a whole when the service starts. */
    int64_t folded = folded_sequence(engine, info.id);
    if (up_to > folded)
        up_to = folded;
    if (up_to && !trim_in_steps(engine, &info, up_to, deleted_out, &more, err))
        return false;
    return trim_by_size(engine, &info, shelf, deleted_out, err);
}

static bool sequence_by_age(struct hf_engine *engine, const struct hf_system_info *system, int64_t *up_to_out,
                            struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool found = false;
    int64_t sequence = 0;
    bool ok = hf_states_sequence_at(session, system->id, system->sequence,
                                    hf_clock_now_ms() - engine->config->history_ms, &sequence, &found, err);
    hf_sessions_give(engine->sessions, session);
    *up_to_out = ok && found ? sequence : 0;
    return ok;
}

static bool trim_in_steps(struct hf_engine *engine, const struct hf_system_info *system, int64_t up_to,
                          int64_t *deleted_out, bool *more_out, struct hf_error *err)
{
    *more_out = true;
    for (int step = 0; step < TRIM_STEPS_MAX && *more_out; step++) {
        struct trim trim = {.system_id = system->id, .up_to = up_to};
        struct hf_call call = {.run = run_trim, .context = &trim};
        if (!hf_committer_call(engine->committer, &call, err))
            return false;
        *deleted_out += trim.deleted;
        *more_out = trim.deleted == TRIM_STEP_ROWS;
    }
    return true;
}

static bool run_trim(struct hf_session *session, void *context, struct hf_error *err)
{
    struct trim *trim = context;
    return hf_states_trim(session, trim->system_id, trim->up_to, TRIM_STEP_ROWS, &trim->deleted, err);
}

/* Measuring reads all of the history, so it is done again only when as much may have come as there is room for. */
static bool trim_by_size(struct hf_engine *engine, const struct hf_system_info *system, struct hf_shelf *shelf,
                         int64_t *deleted_out, struct hf_error *err)
{
    int64_t bytes_max = engine->config->history_bytes_max;
    int64_t average = system->components ? system->state_bytes / system->components + 1 : 1;
    int64_t come = (system->sequence - shelf->history_sequence) * average;
    if (shelf->history_bytes >= 0 && shelf->history_bytes + come <= bytes_max)
        return true;
    int64_t rows, bytes, up_to = folded_sequence(engine, system->id);
    if (!measure_history(engine, system, &rows, &bytes, err))
        return false;
    for (bool more = true; more && bytes > bytes_max && rows > 0;) {
        /* Oldest first: as many steps as the surplus is worth by the average of what is there. */
        int64_t surplus_rows = (bytes - bytes_max) / (bytes / rows + 1) + 1;
        int64_t before = *deleted_out;
        for (int64_t left = surplus_rows; left > 0 && more; left -= TRIM_STEP_ROWS) {
            struct trim trim = {.system_id = system->id, .up_to = up_to};
            struct hf_call call = {.run = run_trim, .context = &trim};
            if (!hf_committer_call(engine->committer, &call, err))
                return false;
            *deleted_out += trim.deleted;
            more = trim.deleted == TRIM_STEP_ROWS;
        }
        if (*deleted_out == before || !measure_history(engine, system, &rows, &bytes, err))
            break;
    }
    shelf->history_bytes = bytes;
    shelf->history_sequence = system->sequence;
    return true;
}

static bool measure_history(struct hf_engine *engine, const struct hf_system_info *system, int64_t *rows_out,
                            int64_t *bytes_out, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool ok = hf_states_usage(session, system->id, system->sequence, rows_out, bytes_out, err);
    hf_sessions_give(engine->sessions, session);
    return ok;
}

static int64_t folded_sequence(struct hf_engine *engine, int64_t system_id)
{
    hf_catalog_lock(engine->catalog);
    const struct hf_system *system = hf_catalog_system_by_id_locked(engine->catalog, system_id);
    int64_t folded = system ? system->folded_sequence : 0;
    hf_catalog_unlock(engine->catalog);
    return folded;
}
