/* Version history in the primary, trimmed by age and by size. */
#include "engine/retention.h"

#include "core/auto.h"
#include "core/clock.h"
#include "engine/bequest.h"
#include "engine/drill.h"
#include "engine/snapshot_private.h"
#include "store/states.h"

#define TRIM_STEP_ROWS 500 /* a few milliseconds of the committer */
#define TRIM_STEPS_MAX 200 /* the rest waits for the next run */

struct trim {
    int64_t system_id, up_to, deleted;
};

static bool sequence_by_age(struct hf_engine *engine, const struct hf_system_info *system, int64_t *up_to_out,
                            struct hf_error *err);
static bool trim_in_steps(struct hf_engine *engine, const struct hf_system_info *system, int64_t up_to,
                          int64_t *deleted_out, bool *more_out, struct hf_error *err);
static bool trim_step(struct hf_engine *engine, const struct hf_system_info *system, struct trim *trim,
                      struct hf_error *err);
static bool run_trim(struct hf_session *session, void *context, struct hf_error *err);
static bool trim_by_size(struct hf_engine *engine, const struct hf_system_info *system, struct hf_shelf *shelf,
                         int64_t *deleted_out, struct hf_error *err);
static int64_t folded_sequence(struct hf_engine *engine, int64_t system_id);
static bool measure_history(struct hf_engine *engine, const struct hf_system_info *system, int64_t *rows_out,
                            int64_t *bytes_out, struct hf_error *err);

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
        if (!trim_step(engine, system, &trim, err))
            return false;
        *deleted_out += trim.deleted;
        *more_out = trim.deleted == TRIM_STEP_ROWS;
    }
    return true;
}

/* What goes to heirs is looked at outside of the committer: whatever supersedes more rows meanwhile is above up_to. */
static bool trim_step(struct hf_engine *engine, const struct hf_system_info *system, struct trim *trim,
                      struct hf_error *err)
{
    const struct hf_heirs_of heirs = {.system_id = trim->system_id,
                                      .trim = true,
                                      .up_to = trim->up_to,
                                      .limit = TRIM_STEP_ROWS};
    struct hf_call call = {.run = run_trim, .context = trim};
    return hf_bequest_check(engine, system->name, &heirs, false, err) &&
           hf_committer_call(engine->committer, &call, err);
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
            if (!trim_step(engine, system, &trim, err))
                return false;
            *deleted_out += trim.deleted;
            more = trim.deleted == TRIM_STEP_ROWS;
        }
        if (*deleted_out == before || !measure_history(engine, system, &rows, &bytes, err))
            break;
    }
    hf_drill_forget_history(engine, system->id);
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
