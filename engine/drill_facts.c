/* What is known of each system, in memory: its last drills, how long its last restore took, how far back every version
 * is kept. */
#include "engine/drill_private.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "store/journal.h"
#include "store/states.h"

#include <string.h>

#define RECOVERIES_MAX 32 /* looked through for one that restored */

static struct hf_drill_memory *memory_of_locked(struct hf_driller *driller, int64_t system_id);
static hf_drill_row_fn keep_newest;
static void keep_locked(struct hf_known_drill *known, const struct hf_drill_row *row);
static void copy_row(struct hf_arena *arena, const struct hf_drill_row *from, struct hf_drill_row *to);
static void free_memory(struct hf_drill_memory *memory);
static void forget_missing(struct hf_driller *driller, const struct hf_system_info *systems, int count);
static void look_up(struct hf_driller *driller, struct hf_session *session, const struct hf_system_info *system);
static hf_recovery_row_fn note_restore;
static void set_gauge(struct hf_driller *driller, const struct hf_system_info *systems, int count);

bool hf_drill_load_facts(struct hf_driller *driller, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(driller->engine->sessions, &session, err))
        return false;
    bool ok = hf_drills_newest(session, NULL, keep_newest, driller, err) &&
              hf_drills_newest(session, "passed", keep_newest, driller, err);
    hf_sessions_give(driller->engine->sessions, session);
    return ok;
}

void hf_drill_note(struct hf_driller *driller, const struct hf_drill_row *row)
{
    pthread_mutex_lock(&driller->mutex);
    struct hf_drill_memory *memory = memory_of_locked(driller, row->system_id);
    keep_locked(&memory->last, row);
    if (strcmp(row->status, "passed") == 0)
        keep_locked(&memory->passed, row);
    pthread_mutex_unlock(&driller->mutex);
}

void hf_drill_read_facts(struct hf_engine *engine, int64_t system_id, struct hf_arena *arena,
                         struct hf_drill_facts *out)
{
    struct hf_driller *driller = engine->driller;
    *out = (struct hf_drill_facts){0};
    if (!driller)
        return;
    pthread_mutex_lock(&driller->mutex);
    const struct hf_drill_memory *memory = memory_of_locked(driller, system_id);
    out->has_last = memory->last.has;
    if (out->has_last)
        copy_row(arena, &memory->last.row, &out->last);
    out->has_passed = memory->passed.has;
    if (out->has_passed)
        copy_row(arena, &memory->passed.row, &out->passed);
    out->restore_ms = memory->restore_ms;
    out->history_from_ms = memory->history_from_ms;
    pthread_mutex_unlock(&driller->mutex);
}

void hf_drill_forget_history(struct hf_engine *engine, int64_t system_id)
{
    struct hf_driller *driller = engine->driller;
    if (!driller)
        return;
    pthread_mutex_lock(&driller->mutex);
    memory_of_locked(driller, system_id)->history_known = false;
    pthread_mutex_unlock(&driller->mutex);
}

int64_t hf_drill_last_at(struct hf_driller *driller, int64_t system_id, char status_out[16])
{
    pthread_mutex_lock(&driller->mutex);
    const struct hf_known_drill *last = &memory_of_locked(driller, system_id)->last;
    int64_t at_ms = last->has ? last->row.started_at_ms : 0;
    snprintf(status_out, 16, "%s", last->has ? last->row.status : "");
    pthread_mutex_unlock(&driller->mutex);
    return at_ms;
}

void hf_drill_refresh_facts(struct hf_driller *driller)
{
    struct hf_engine *engine = driller->engine;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    int count = 0;
    const struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &arena, &count);
    forget_missing(driller, systems, count);
    struct hf_session *session = NULL;
    struct hf_error ignored; /* looked up the next time */
    if (hf_committer_store_is_up(engine->committer) && hf_sessions_take(engine->sessions, &session, &ignored)) {
        for (int i = 0; i < count && !driller->stopping; i++)
            look_up(driller, session, &systems[i]);
        hf_sessions_give(engine->sessions, session);
    }
    set_gauge(driller, systems, count);
}

void hf_drill_free_facts(struct hf_driller *driller)
{
    for (int i = 0; i < HF_DRILL_BUCKETS; i++) {
        for (struct hf_drill_memory *memory = driller->memories[i], *next; memory; memory = next) {
            next = memory->next;
            free_memory(memory);
        }
        driller->memories[i] = NULL;
    }
}

static void free_memory(struct hf_drill_memory *memory)
{
    hf_arena_done(&memory->last.arena);
    hf_arena_done(&memory->passed.arena);
    free(memory);
}

static struct hf_drill_memory *memory_of_locked(struct hf_driller *driller, int64_t system_id)
{
    struct hf_drill_memory **bucket = &driller->memories[(uint64_t)system_id % HF_DRILL_BUCKETS], *memory = *bucket;
    while (memory && memory->system_id != system_id)
        memory = memory->next;
    if (memory)
        return memory;
    memory = hf_alloc(sizeof(*memory));
    memory->system_id = system_id;
    hf_arena_init(&memory->last.arena);
    hf_arena_init(&memory->passed.arena);
    memory->next = *bucket;
    *bucket = memory;
    return memory;
}

static bool keep_newest(void *context, const struct hf_drill_row *row)
{
    hf_drill_note(context, row);
    return true;
}

static void keep_locked(struct hf_known_drill *known, const struct hf_drill_row *row)
{
    if (known->has && row->started_at_ms < known->row.started_at_ms)
        return;
    hf_arena_done(&known->arena);
    hf_arena_init(&known->arena);
    copy_row(&known->arena, row, &known->row);
    known->has = true;
}

static void copy_row(struct hf_arena *arena, const struct hf_drill_row *from, struct hf_drill_row *to)
{
    *to = *from;
    to->id = hf_arena_strdup(arena, from->id);
    to->snapshot = hf_arena_strdup(arena, from->snapshot);
    to->status = hf_arena_strdup(arena, from->status);
    to->detail = hf_arena_strdup(arena, from->detail);
}

/* Ids of systems are given once while the service runs. */
static void forget_missing(struct hf_driller *driller, const struct hf_system_info *systems, int count)
{
    pthread_mutex_lock(&driller->mutex);
    driller->round++;
    for (int i = 0; i < count; i++)
        memory_of_locked(driller, systems[i].id)->round = driller->round;
    for (int i = 0; i < HF_DRILL_BUCKETS; i++) {
        for (struct hf_drill_memory **link = &driller->memories[i], *memory = *link; memory; memory = *link) {
            if (memory->round == driller->round) {
                link = &memory->next;
                continue;
            }
            *link = memory->next;
            free_memory(memory);
        }
    }
    pthread_mutex_unlock(&driller->mutex);
}

/* Both are asked for as rarely as can be: history once, the last restore while no drill has measured one. */
static void look_up(struct hf_driller *driller, struct hf_session *session, const struct hf_system_info *system)
{
    pthread_mutex_lock(&driller->mutex);
    struct hf_drill_memory *memory = memory_of_locked(driller, system->id);
    bool wants_history = !memory->history_known, wants_restore = !memory->passed.has;
    memory->history_known = true; /* set first: what is trimmed meanwhile is looked up again */
    pthread_mutex_unlock(&driller->mutex);
    int64_t history_from_ms = 0, restore_ms = 0;
    struct hf_error err;
    bool ok = (!wants_history || hf_states_floor(session, system->id, &history_from_ms, &err)) &&
              (!wants_restore ||
               hf_recoveries_list(session, system->id, INT64_MAX, "", RECOVERIES_MAX, note_restore, &restore_ms, &err));
    if (!ok) {
        hf_log(HF_LOG_DEBUG, "recoverability_not_known", err.text, HF_LOG_TEXT("system", system->name));
        if (!hf_committer_store_is_up(driller->engine->committer)) /* else it takes too long: not asked for again */
            hf_drill_forget_history(driller->engine, system->id);
        return;
    }
    pthread_mutex_lock(&driller->mutex);
    memory = memory_of_locked(driller, system->id);
    if (wants_history)
        memory->history_from_ms = history_from_ms;
    if (restore_ms)
        memory->restore_ms = restore_ms;
    pthread_mutex_unlock(&driller->mutex);
}

/* Newest first; the first that brought states back is what counts. One that components reported to has ended with their
 * reports: its times say nothing. */
static bool note_restore(void *context, const struct hf_recovery_row *row)
{
    bool restored = strcmp(row->source, "head") != 0 && strcmp(row->status, "applied") == 0;
    if (!restored)
        return true;
    int64_t ms = row->completed_at_ms - row->started_at_ms;
    *(int64_t *)context = ms > 0 ? ms : 1;
    return false;
}

static void set_gauge(struct hf_driller *driller, const struct hf_system_info *systems, int count)
{
    int64_t oldest_ms = count ? INT64_MAX : 0;
    pthread_mutex_lock(&driller->mutex);
    for (int i = 0; i < count; i++) {
        const struct hf_known_drill *passed = &memory_of_locked(driller, systems[i].id)->passed;
        int64_t at_ms = passed->has ? passed->row.started_at_ms : 0;
        if (at_ms < oldest_ms)
            oldest_ms = at_ms;
    }
    pthread_mutex_unlock(&driller->mutex);
    hf_metric_set(HF_M_LAST_DRILL_TIME, (double)oldest_ms / 1000);
}
