#include "engine/fold.h"

#include "core/arena.h"
#include "core/auto.h"
#include "core/clock.h"
#include "store/components.h"
#include "store/systems.h"

#include <string.h>

#define STEP_ROWS      512
#define STEP_PAUSE_NS  (20 * HF_MS_NS) /* between steps under load, so that uploads hardly notice */
#define ROUND_PAUSE_NS HF_SECOND_NS    /* between rounds: a component that changes all the time is written once each */

/* One round covers all components of one system that were dirty when it began. */
struct hf_fold {
    int64_t system_id; /* 0: no round under way */
    int64_t round_sequence;
    int64_t *component_ids; /* in order, so that neighbours share pages; one may be forgotten meanwhile */
    int count, next;
    int64_t last_system_id; /* systems take turns */
    uint64_t last_step_ns, last_round_ns;
};

struct hf_fold *hf_fold_new(void)
{
    return hf_alloc(sizeof(struct hf_fold));
}

static void end_round(struct hf_fold *fold)
{
    free(fold->component_ids);
    fold->component_ids = NULL;
    fold->system_id = 0;
    fold->count = fold->next = 0;
}

void hf_fold_free(struct hf_fold *fold)
{
    if (!fold)
        return;
    end_round(fold);
    free(fold);
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The next system in turn that has something to fold. */
static struct hf_system *next_dirty(struct hf_fold *fold, struct hf_catalog *catalog)
{
    struct hf_system *first = NULL;
    for (struct hf_system *system = hf_catalog_next_system_locked(catalog, 0); system;
         system = hf_catalog_next_system_locked(catalog, system->id)) {
        if (!system->dirty_first)
            continue;
        if (system->id > fold->last_system_id)
            return system;
        if (!first)
            first = system;
    }
    return first;
}

static bool begin_round(struct hf_fold *fold, struct hf_catalog *catalog)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = next_dirty(fold, catalog);
    if (system) {
        fold->system_id = fold->last_system_id = system->id;
        fold->round_sequence = system->sequence;
        fold->component_ids = hf_alloc((size_t)system->dirty_count * sizeof(fold->component_ids[0]));
        fold->count = fold->next = 0;
        for (struct hf_component *component = system->dirty_first; component; component = component->dirty_next)
            fold->component_ids[fold->count++] = component->id;
        system->dirty_first = NULL;
        system->dirty_count = 0;
    }
    hf_catalog_unlock(catalog);
    if (system)
        qsort(fold->component_ids, (size_t)fold->count, sizeof(fold->component_ids[0]), compare_ids);
    return system != NULL;
}

static bool has_work(struct hf_fold *fold, struct hf_catalog *catalog)
{
    if (fold->system_id)
        return true;
    hf_catalog_lock(catalog);
    bool dirty = next_dirty(fold, catalog) != NULL;
    hf_catalog_unlock(catalog);
    return dirty;
}

int64_t hf_fold_wait_ms(struct hf_fold *fold, struct hf_catalog *catalog, uint64_t now_ns, bool idle)
{
    if (!has_work(fold, catalog))
        return -1;
    uint64_t due =
        fold->system_id ? (idle ? now_ns : fold->last_step_ns + STEP_PAUSE_NS) : fold->last_round_ns + ROUND_PAUSE_NS;
    return due <= now_ns ? 0 : (int64_t)((due - now_ns) / HF_MS_NS) + 1;
}

static void fill_row(const struct hf_system *system, const struct hf_component *component, struct hf_arena *arena,
                     struct hf_component_row *row)
{
    *row = (struct hf_component_row){
        .system_id = system->id,
        .component_id = component->id,
        .name = component->name,
        .version = component->head.version,
        .sequence = component->head.sequence,
        .hash = component->head.hash,
        .bytes = component->head.bytes,
        .content_type = component->head.content_type,
        .committed_at_ms = component->head.committed_at_ms,
        .deleted = component->head.deleted,
        .health = component->health,
        .status = component->status ? hf_arena_strdup(arena, component->status) : "",
        .metrics = component->metrics ? hf_arena_strdup(arena, component->metrics) : "{}",
        .heartbeat_at_ms = component->heartbeat_at_ms,
        .last_activity_at_ms = component->last_activity_at_ms,
        .created_at_ms = component->created_at_ms,
    };
}

static bool write_rows(struct hf_fold *fold, struct hf_session *session, const struct hf_component_row *rows, int count,
                       bool last, struct hf_error *err)
{
    if (hf_session_begin(session, err) && hf_components_fold(session, rows, count, err) &&
        (!last || hf_systems_set_folded(session, fold->system_id, fold->round_sequence, err)) &&
        hf_session_commit(session, err))
        return true;
    hf_session_rollback(session);
    return false;
}

/* Puts the whole round back: the next one begins where this one could not go on. */
static void give_back(struct hf_fold *fold, struct hf_system *system, int from)
{
    for (int i = from; i < fold->count; i++) {
        struct hf_component *component = hf_catalog_component_by_id_locked(system, fold->component_ids[i]);
        if (!component)
            continue;
        component->dirty = false;
        hf_catalog_mark_dirty_locked(system, component);
    }
}

bool hf_fold_step(struct hf_fold *fold, struct hf_catalog *catalog, struct hf_session *session, struct hf_error *err)
{
    if (!fold->system_id && !begin_round(fold, catalog))
        return true;
    fold->last_step_ns = hf_clock_monotonic_ns();

    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    HF_AUTO(free) struct hf_component_row *rows = hf_alloc(STEP_ROWS * sizeof *rows);
    int from = fold->next, count = 0;

    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, fold->system_id);
    if (system) {
        if (fold->round_sequence < system->folded_sequence) /* it was folded past this round meanwhile */
            fold->round_sequence = system->folded_sequence;
        for (; fold->next < fold->count && count < STEP_ROWS; fold->next++) {
            struct hf_component *component = hf_catalog_component_by_id_locked(system, fold->component_ids[fold->next]);
            if (!component)
                continue;
            component->dirty = false;
            fill_row(system, component, &arena, &rows[count++]);
        }
    }
    hf_catalog_unlock(catalog);
    if (!system) { /* deleted meanwhile, and its components with it */
        end_round(fold);
        return true;
    }

    bool last = fold->next == fold->count;
    bool ok = write_rows(fold, session, rows, count, last, err);
    hf_catalog_lock(catalog);
    if (!ok)
        give_back(fold, system, from);
    else if (last)
        system->folded_sequence = fold->round_sequence;
    hf_catalog_unlock(catalog);
    if (!ok || last) {
        end_round(fold);
        fold->last_round_ns = hf_clock_monotonic_ns();
    }
    return ok;
}

bool hf_fold_all(struct hf_fold *fold, struct hf_catalog *catalog, struct hf_session *session, struct hf_error *err)
{
    while (has_work(fold, catalog)) {
        if (!hf_fold_step(fold, catalog, session, err))
            return false;
    }
    return true;
}

bool hf_fold_system(struct hf_catalog *catalog, struct hf_session *session, int64_t system_id, struct hf_error *err)
{
    HF_AUTO(free) struct hf_component_row *rows = hf_alloc(STEP_ROWS * sizeof *rows);
    for (int64_t id = 1, last = 1; id <= last;) {
        HF_AUTO(arena) struct hf_arena arena;
        hf_arena_init(&arena);
        int count = 0;
        hf_catalog_lock(catalog);
        const struct hf_system *system = hf_catalog_system_by_id_locked(catalog, system_id);
        last = system ? system->last_component_id : 0;
        for (; id <= last && count < STEP_ROWS; id++) {
            const struct hf_component *component = hf_catalog_component_by_id_locked(system, id);
            if (component && component->stored)
                fill_row(system, component, &arena, &rows[count++]);
        }
        hf_catalog_unlock(catalog);
        if (count && !hf_components_fold(session, rows, count, err))
            return false;
    }
    return true;
}
