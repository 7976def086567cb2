/* Rows of snapshots: the newest in memory, finding, changing and deleting them, and leases on what is being read. */
#include "engine/snapshot_private.h"

#include "core/clock.h"
#include "engine/events.h"
#include "engine/mirror.h"

#include <string.h>

#define HOUR_MS INT64_C(3600000)

/* Rows come newest first; damaged ones newer than the newest good one are remembered by their generation. */
struct shelf_reading {
    struct hf_arena arena;
    struct hf_shelf *shelf;
    struct hf_snapshot_row full, incremental, newest, oldest;
    bool has_full, has_incremental, has_newest, has_oldest;
    int64_t anchor_cut_at_ms, last_cut_at_ms;
    int64_t damaged_count, pending_count, last_validated_at_ms;
    bool generation_damaged;
    const char *damaged_generations[16];
    int damaged_generation_count;
};

struct row_change {
    int64_t system_id;
    const char *id;
    const char *label;
    bool pinned;
    const char *state, *validation_status;
    int64_t at_ms;
    double quality_score;
};

/* Is there a newer file in the generation of a row? */
struct dependents {
    const struct hf_snapshot_row *row;
    char id[HF_SNAPSHOT_ID_MAX]; /* "": none */
};

static hf_snapshot_row_fn read_row;
static bool find_row(struct hf_engine *engine, int64_t system_id, const char *id, struct hf_arena *arena,
                     struct hf_snapshot_row *out, struct hf_error *err);
static const char *find_made(struct hf_snapshotter *snapshotter, int64_t system_id, const char *id,
                             struct hf_arena *arena);
static hf_snapshot_row_fn find_dependent;
static bool check_deletable(struct hf_engine *engine, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                            struct hf_error *err);
static bool run_patch(struct hf_session *session, void *context, struct hf_error *err);
static bool run_set_state(struct hf_session *session, void *context, struct hf_error *err);
static bool run_delete(struct hf_session *session, void *context, struct hf_error *err);
static bool remove_row_and_file(struct hf_engine *engine, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                                int64_t *freed_out, struct hf_error *err);
static bool is_being_deleted(const struct hf_snapshotter *snapshotter, int64_t system_id, const char *id);
static bool is_leased(const struct hf_snapshotter *snapshotter, int64_t system_id, const char *id);

void hf_snapshot_row_copy(struct hf_arena *arena, const struct hf_snapshot_row *from, struct hf_snapshot_row *to)
{
    *to = *from;
    to->id = hf_arena_strdup(arena, from->id);
    to->kind = hf_arena_strdup(arena, from->kind);
    to->trigger = hf_arena_strdup(arena, from->trigger);
    to->label = hf_arena_strdup(arena, from->label ? from->label : "");
    to->reason = hf_arena_strdup(arena, from->reason ? from->reason : "");
    to->generation = hf_arena_strdup(arena, from->generation);
    to->parent = hf_arena_strdup(arena, from->parent ? from->parent : "");
    to->file = hf_arena_strdup(arena, from->file);
    to->state = hf_arena_strdup(arena, from->state);
    to->validation_status = hf_arena_strdup(arena, from->validation_status);
}

void hf_kept_row_set(struct hf_kept_row *kept, const struct hf_snapshot_row *row)
{
    if (!kept->has || !row || strcmp(kept->row.id, row->id) != 0)
        kept->declared = 0;
    hf_arena_done(&kept->arena);
    hf_arena_init(&kept->arena);
    kept->has = row != NULL;
    if (row)
        hf_snapshot_row_copy(&kept->arena, row, &kept->row);
}

void hf_shelf_forget(struct hf_shelf *shelf)
{
    hf_view_free(shelf->view);
    shelf->view = NULL;
    hf_blob_index_free(shelf->index);
    shelf->index = NULL;
    shelf->index_generation[0] = '\0';
}

bool hf_shelf_load(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_session *session, struct hf_error *err)
{
    struct hf_session *own = NULL;
    if (!session && !hf_sessions_take(engine->sessions, &own, err))
        return false;
    struct shelf_reading reading = {.shelf = shelf};
    hf_arena_init(&reading.arena);
    bool ok = hf_snapshots_list(session ? session : own, shelf->system_id, NULL, INT64_MAX, "", INT64_MAX, read_row,
                                &reading, err);
    if (ok) {
        pthread_mutex_lock(&engine->snapshotter->mutex);
        hf_kept_row_set(&shelf->full, reading.has_full ? &reading.full : NULL);
        hf_kept_row_set(&shelf->incremental, reading.has_incremental ? &reading.incremental : NULL);
        hf_kept_row_set(&shelf->newest, reading.has_newest ? &reading.newest : NULL);
        hf_kept_row_set(&shelf->oldest, reading.has_oldest ? &reading.oldest : NULL);
        shelf->anchor_cut_at_ms = reading.anchor_cut_at_ms;
        shelf->last_cut_at_ms = reading.last_cut_at_ms;
        shelf->generation_damaged = reading.generation_damaged;
        shelf->damaged_count = reading.damaged_count;
        shelf->pending_count = shelf->unvalidated_count = reading.pending_count;
        shelf->last_validated_at_ms = reading.last_validated_at_ms;
        pthread_mutex_unlock(&engine->snapshotter->mutex);
        shelf->loaded = true;
        hf_shelf_note_held(engine, shelf, session ? session : own);
    }
    hf_sessions_give(engine->sessions, own);
    hf_arena_done(&reading.arena);
    return ok;
}

static bool read_row(void *context, const struct hf_snapshot_row *row)
{
    struct shelf_reading *reading = context;
    bool damaged = strcmp(row->state, "damaged") == 0 || strcmp(row->validation_status, "damaged") == 0;
    if (row->validated_at_ms > reading->last_validated_at_ms)
        reading->last_validated_at_ms = row->validated_at_ms;
    if (strcmp(row->trigger, "import") != 0 && row->cut_at_ms > reading->last_cut_at_ms)
        reading->last_cut_at_ms = row->cut_at_ms;
    if (damaged) {
        reading->damaged_count++;
        reading->pending_count += row->quality_score < 0; /* at first sight: what is lost, a validation tells */
        if (reading->has_newest && strcmp(row->generation, reading->newest.generation) == 0)
            reading->generation_damaged = true;
        else if (!reading->has_newest && reading->damaged_generation_count < 16)
            reading->damaged_generations[reading->damaged_generation_count++] =
                hf_arena_strdup(&reading->arena, row->generation);
        return true;
    }
    if (strcmp(row->state, "complete") != 0)
        return true;
    reading->pending_count += strcmp(row->validation_status, "pending") == 0;
    if (strcmp(row->trigger, "import") == 0) /* nothing of this system's own builds on it */
        return true;
    if (!reading->has_newest) {
        hf_snapshot_row_copy(&reading->arena, row, &reading->newest);
        reading->has_newest = true;
        for (int i = 0; i < reading->damaged_generation_count; i++) {
            if (strcmp(reading->damaged_generations[i], row->generation) == 0)
                reading->generation_damaged = true;
        }
    }
    if (strcmp(row->id, reading->newest.generation) == 0)
        reading->anchor_cut_at_ms = row->cut_at_ms;
    bool full = strcmp(row->kind, "full") == 0;
    if (full && !reading->has_full) {
        hf_snapshot_row_copy(&reading->arena, row, &reading->full);
        reading->has_full = true;
    } else if (!full && !reading->has_incremental) {
        hf_snapshot_row_copy(&reading->arena, row, &reading->incremental);
        reading->has_incremental = true;
    }
    hf_snapshot_row_copy(&reading->arena, row, &reading->oldest); /* the last one stays */
    reading->has_oldest = true;
    return true;
}

bool hf_snapshots_wait_for_validation(struct hf_engine *engine, int64_t system_id)
{
    struct hf_snapshotter *snapshotter = engine->snapshotter;
    pthread_mutex_lock(&snapshotter->mutex);
    const struct hf_shelf *shelf = snapshotter->shelves;
    while (shelf && shelf->system_id != system_id)
        shelf = shelf->next;
    bool waits = shelf && shelf->pending_count > 0 && snapshotter->job_count == 0;
    pthread_mutex_unlock(&snapshotter->mutex);
    return waits;
}

static void copy_kept(struct hf_arena *arena, const struct hf_kept_row *kept, bool *has_out,
                      struct hf_snapshot_row *out)
{
    *has_out = kept->has;
    if (kept->has)
        hf_snapshot_row_copy(arena, &kept->row, out);
}

void hf_snapshot_read_newest(struct hf_engine *engine, int64_t system_id, struct hf_arena *arena,
                             struct hf_snapshot_newest *out)
{
    *out = (struct hf_snapshot_newest){0};
    struct hf_snapshotter *snapshotter = engine->snapshotter;
    pthread_mutex_lock(&snapshotter->mutex);
    struct hf_shelf *shelf = snapshotter->shelves;
    while (shelf && shelf->system_id != system_id)
        shelf = shelf->next;
    if (shelf) {
        copy_kept(arena, &shelf->full, &out->has_full, &out->full);
        copy_kept(arena, &shelf->incremental, &out->has_incremental, &out->incremental);
        copy_kept(arena, &shelf->newest, &out->has_newest, &out->newest);
        copy_kept(arena, &shelf->oldest, &out->has_oldest, &out->oldest);
        out->damaged = shelf->damaged_count;
        out->pending = shelf->unvalidated_count;
        out->last_validated_at_ms = shelf->last_validated_at_ms;
        if (shelf->has_progress && strcmp(shelf->progress.state, "failed") == 0)
            snprintf(out->last_error, sizeof(out->last_error), "%s", shelf->progress.error);
    }
    pthread_mutex_unlock(&snapshotter->mutex);
}

/* ---- finding ---- */

bool hf_snapshot_find(struct hf_engine *engine, const char *system, const char *id, struct hf_arena *arena,
                      struct hf_snapshot_row *out, struct hf_error *err)
{
    struct hf_system_info info;
    if (!hf_catalog_read_system(engine->catalog, system, &info))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", system);
    return find_row(engine, info.id, id, arena, out, err);
}

static bool find_row(struct hf_engine *engine, int64_t system_id, const char *id, struct hf_arena *arena,
                     struct hf_snapshot_row *out, struct hf_error *err)
{
    bool latest = strcmp(id, "latest") == 0;
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    struct hf_snapshot_row row;
    bool found = false;
    bool ok = latest ? hf_snapshots_latest(session, system_id, NULL, arena, &row, &found, err)
                     : hf_snapshots_get(session, system_id, id, arena, &row, &found, err);
    /* An announced id stands for another only where no snapshot really has it. */
    const char *made = ok && !found ? find_made(engine->snapshotter, system_id, id, arena) : NULL;
    if (made)
        ok = hf_snapshots_get(session, system_id, made, arena, &row, &found, err);
    hf_sessions_give(engine->sessions, session);
    if (!ok)
        return false;
    if (!found)
        return latest ? hf_error_set(err, HF_NOT_FOUND, "the system has no snapshot yet")
                      : hf_error_set(err, HF_NOT_FOUND, "there is no snapshot %s", id);
    *out = row;
    return true;
}

/* What became of the one that was announced as id; NULL: none was, as far as is remembered. */
static const char *find_made(struct hf_snapshotter *snapshotter, int64_t system_id, const char *id,
                             struct hf_arena *arena)
{
    const char *made = NULL;
    pthread_mutex_lock(&snapshotter->mutex);
    for (int i = 0; i < HF_SNAPSHOT_ALIASES_MAX; i++) {
        const struct hf_snapshot_alias *alias = &snapshotter->aliases[i];
        if (alias->system_id == system_id && strcmp(alias->announced, id) == 0)
            made = hf_arena_strdup(arena, alias->made);
    }
    pthread_mutex_unlock(&snapshotter->mutex);
    return made;
}

int64_t hf_snapshot_expires_at_ms(struct hf_engine *engine, const struct hf_system_info *system,
                                  const struct hf_snapshot_row *row)
{
    if (row->pinned)
        return 0;
    int64_t hours =
        system->max_retention_hours >= 0 ? system->max_retention_hours : engine->config->max_retention_hours;
    return hf_snapshot_kept_from_ms(row) + hours * HOUR_MS;
}

int64_t hf_snapshot_kept_from_ms(const struct hf_snapshot_row *row)
{
    return strcmp(row->trigger, "import") == 0 ? row->completed_at_ms : row->cut_at_ms;
}

/* ---- changing ---- */

bool hf_snapshot_patch(struct hf_engine *engine, const char *system, const char *id, const char *label_or_null,
                       const bool *pinned_or_null, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    struct hf_snapshot_row row;
    if (!shelf)
        return false;
    /* Reading and writing belong together: two patches of different fields must not undo each other. */
    pthread_mutex_lock(&shelf->taking);
    bool ok = hf_shelf_check_current(engine, shelf, err) && find_row(engine, shelf->system_id, id, &arena, &row, err);
    if (ok) {
        struct row_change change = {.system_id = shelf->system_id,
                                    .id = row.id,
                                    .label = label_or_null ? label_or_null : row.label,
                                    .pinned = pinned_or_null ? *pinned_or_null : row.pinned};
        struct hf_call call = {.run = run_patch, .context = &change};
        ok = hf_committer_call(engine->committer, &call, err) && hf_shelf_load(engine, shelf, NULL, err);
    }
    pthread_mutex_unlock(&shelf->taking);
    return ok;
}

static bool run_patch(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct row_change *change = context;
    return hf_snapshots_update(session, change->system_id, change->id, change->label, change->pinned, err);
}

bool hf_snapshot_set_state(struct hf_engine *engine, int64_t system_id, const char *id, const char *state,
                           const char *validation_status, double quality_score, struct hf_error *err)
{
    struct row_change change = {.system_id = system_id,
                                .id = id,
                                .state = state,
                                .validation_status = validation_status,
                                .at_ms = hf_clock_now_ms(),
                                .quality_score = quality_score};
    struct hf_call call = {.run = run_set_state, .context = &change};
    return hf_committer_call(engine->committer, &call, err);
}

static bool run_set_state(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct row_change *change = context;
    return hf_snapshots_set_state(session, change->system_id, change->id, change->state, change->validation_status,
                                  change->at_ms, change->quality_score, err);
}

/* ---- deleting ---- */

bool hf_snapshot_delete(struct hf_engine *engine, const char *system, const char *id, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    if (!shelf)
        return false;
    hf_shelf_await(shelf); /* a validation under way is waited for; it is no reason to refuse */
    pthread_mutex_lock(&shelf->taking);
    struct hf_snapshot_row row;
    int64_t freed;
    bool ok = hf_shelf_check_current(engine, shelf, err) && find_row(engine, shelf->system_id, id, &arena, &row, err) &&
              check_deletable(engine, shelf, &row, err) && hf_snapshot_remove(engine, shelf, &row, &freed, err) &&
              hf_shelf_load(engine, shelf, NULL, err);
    pthread_mutex_unlock(&shelf->taking);
    pthread_mutex_unlock(&shelf->judging);
    return ok;
}

static bool check_deletable(struct hf_engine *engine, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                            struct hf_error *err)
{
    if (row->pinned)
        return hf_error_set(err, HF_SNAPSHOT_IN_USE, "snapshot %s is pinned: unpin it first", row->id);
    if (hf_snapshot_is_leased(engine, shelf->system_id, row->id))
        return hf_error_set(err, HF_SNAPSHOT_IN_USE, "snapshot %s is being read", row->id);
    struct dependents dependents = {.row = row};
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool ok =
        hf_snapshots_list(session, shelf->system_id, NULL, INT64_MAX, "", INT64_MAX, find_dependent, &dependents, err);
    hf_sessions_give(engine->sessions, session);
    if (ok && dependents.id[0])
        return hf_error_set(err, HF_SNAPSHOT_IN_USE, "snapshot %s builds on %s: delete the newer one first",
                            dependents.id, row->id);
    return ok;
}

static bool find_dependent(void *context, const struct hf_snapshot_row *row)
{
    struct dependents *dependents = context;
    const struct hf_snapshot_row *asked = dependents->row;
    if (strcmp(row->id, asked->id) == 0 || strcmp(row->generation, asked->generation) != 0 ||
        row->cut_at_ms < asked->cut_at_ms)
        return true;
    snprintf(dependents->id, sizeof(dependents->id), "%s", row->id);
    return false;
}

bool hf_snapshot_remove(struct hf_engine *engine, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                        int64_t *freed_out, struct hf_error *err)
{
    pthread_mutex_t *mutex = &engine->snapshotter->mutex;
    pthread_mutex_lock(mutex);
    bool leased = is_leased(engine->snapshotter, shelf->system_id, row->id);
    if (!leased)
        snprintf(shelf->removing, sizeof(shelf->removing), "%s", row->id);
    pthread_mutex_unlock(mutex);
    if (leased)
        return hf_error_set(err, HF_SNAPSHOT_IN_USE, "snapshot %s is being read", row->id);
    bool ok = remove_row_and_file(engine, shelf, row, freed_out, err);
    pthread_mutex_lock(mutex);
    shelf->removing[0] = '\0';
    pthread_mutex_unlock(mutex);
    return ok;
}

static bool remove_row_and_file(struct hf_engine *engine, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                                int64_t *freed_out, struct hf_error *err)
{
    struct row_change change = {.system_id = shelf->system_id, .id = row->id};
    struct hf_call call = {.run = run_delete, .context = &change};
    if (!hf_committer_call(engine->committer, &call, err))
        return false;
    if (shelf->view && strcmp(shelf->view->id, row->id) == 0) {
        hf_view_free(shelf->view);
        shelf->view = NULL;
    }
    if (strcmp(shelf->index_generation, row->generation) == 0) {
        hf_blob_index_free(shelf->index);
        shelf->index = NULL;
    }
    int64_t freed = 0;
    if (!hf_repository_delete(engine->repository, shelf->name, row->kind, row->id, &freed, err))
        return hf_error_wrap(err, "the row of snapshot %s is deleted but its file is not (the next start adopts it)",
                             row->id);
    hf_mirror_forget(engine, shelf->name, row->kind, row->id);
    *freed_out = freed;
    HF_AUTO(free) char *data = hf_format("{\"snapshot\":\"%s\",\"freedBytes\":%lld}", row->id, (long long)freed);
    hf_event_emit(engine, shelf->system_id, shelf->name, HF_EV_SNAPSHOT_DELETED, data,
                  "snapshot %s was deleted, %lld bytes freed", row->id, (long long)freed);
    return true;
}

static bool run_delete(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct row_change *change = context;
    return hf_snapshots_delete(session, change->system_id, change->id, err);
}

/* ---- deleting the whole system ---- */

bool hf_shelf_begin_deletion(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_error *err)
{
    struct hf_snapshotter *snapshotter = engine->snapshotter;
    const struct hf_snapshot_lease *held = NULL;
    pthread_mutex_lock(&snapshotter->mutex);
    for (int i = 0; i < HF_SNAPSHOT_LEASES_MAX && !held; i++) {
        const struct hf_snapshot_lease *lease = &snapshotter->leases[i];
        held = lease->count && lease->system_id == shelf->system_id ? lease : NULL;
    }
    if (held)
        hf_error_set(err, HF_SNAPSHOT_IN_USE, "snapshot %s of system %s is being read: try again when that is done",
                     held->id, shelf->name);
    else
        shelf->deleting = true;
    pthread_mutex_unlock(&snapshotter->mutex);
    return !held;
}

void hf_shelf_end_deletion(struct hf_engine *engine, struct hf_shelf *shelf, bool deleted)
{
    if (deleted)
        hf_shelf_forget(shelf);
    pthread_mutex_lock(&engine->snapshotter->mutex);
    shelf->deleting = deleted;
    if (deleted) {
        hf_kept_row_set(&shelf->full, NULL);
        hf_kept_row_set(&shelf->incremental, NULL);
        hf_kept_row_set(&shelf->newest, NULL);
        hf_kept_row_set(&shelf->oldest, NULL);
        shelf->has_progress = false;
    }
    pthread_mutex_unlock(&engine->snapshotter->mutex);
}

/* ---- leases ---- */

bool hf_snapshot_lease(struct hf_engine *engine, int64_t system_id, const char *id, struct hf_error *err)
{
    struct hf_snapshotter *snapshotter = engine->snapshotter;
    struct hf_snapshot_lease *slot = NULL;
    pthread_mutex_lock(&snapshotter->mutex);
    if (is_being_deleted(snapshotter, system_id, id)) {
        pthread_mutex_unlock(&snapshotter->mutex);
        return hf_error_set(err, HF_CONFLICT, "snapshot %s, or its system, is being deleted", id);
    }
    for (int i = 0; i < HF_SNAPSHOT_LEASES_MAX; i++) {
        struct hf_snapshot_lease *lease = &snapshotter->leases[i];
        if (lease->count && lease->system_id == system_id && strcmp(lease->id, id) == 0) {
            slot = lease;
            break;
        }
        if (!lease->count && !slot)
            slot = lease;
    }
    HF_ASSERT(slot); /* far more slots than threads that could hold one */
    if (!slot->count) {
        slot->system_id = system_id;
        snprintf(slot->id, sizeof(slot->id), "%s", id);
    }
    slot->count++;
    pthread_mutex_unlock(&snapshotter->mutex);
    return true;
}

static bool is_being_deleted(const struct hf_snapshotter *snapshotter, int64_t system_id, const char *id)
{
    const struct hf_shelf *shelf = snapshotter->shelves;
    while (shelf && shelf->system_id != system_id)
        shelf = shelf->next;
    return shelf && (shelf->deleting || strcmp(shelf->removing, id) == 0);
}

void hf_snapshot_release(struct hf_engine *engine, int64_t system_id, const char *id)
{
    struct hf_snapshotter *snapshotter = engine->snapshotter;
    pthread_mutex_lock(&snapshotter->mutex);
    for (int i = 0; i < HF_SNAPSHOT_LEASES_MAX; i++) {
        struct hf_snapshot_lease *lease = &snapshotter->leases[i];
        if (lease->count && lease->system_id == system_id && strcmp(lease->id, id) == 0) {
            lease->count--;
            break;
        }
    }
    pthread_mutex_unlock(&snapshotter->mutex);
}

bool hf_snapshot_is_leased(struct hf_engine *engine, int64_t system_id, const char *id)
{
    pthread_mutex_lock(&engine->snapshotter->mutex);
    bool leased = is_leased(engine->snapshotter, system_id, id);
    pthread_mutex_unlock(&engine->snapshotter->mutex);
    return leased;
}

/* With the mutex. */
static bool is_leased(const struct hf_snapshotter *snapshotter, int64_t system_id, const char *id)
{
    bool leased = false;
    for (int i = 0; i < HF_SNAPSHOT_LEASES_MAX && !leased; i++) {
        const struct hf_snapshot_lease *lease = &snapshotter->leases[i];
        leased = lease->count && lease->system_id == system_id && strcmp(lease->id, id) == 0;
    }
    return leased;
}
