#include "engine/behind.h"

#include "core/auto.h"
#include "core/digest.h"
#include "core/log.h"
#include "engine/catalog_write.h"
#include "engine/events.h"
#include "engine/fold.h"
#include "engine/recovery.h"
#include "repository/manifest.h"
#include "store/snapshots.h"
#include "store/systems.h"

#include <string.h>

/* One system that lacks commits. */
struct behind {
    struct hf_engine *engine;
    struct hf_system_info system;
    int64_t sequence, epoch, cut_at_ms; /* the greatest that its snapshots say */
    int64_t batch_id;
    int64_t committed_at_ms;
};

static hf_snapshot_row_fn note_newest;
static bool bring_forward(struct behind *behind, struct hf_error *err);
static bool run_jump(struct hf_session *session, void *context, struct hf_error *err);
static void publish_jump(void *context);

bool hf_behind_bring_forward(struct hf_engine *engine, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    int count = 0;
    struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &arena, &count);
    for (int i = 0; i < count; i++) {
        struct behind behind = {.engine = engine, .system = systems[i]};
        struct hf_session *session;
        if (!hf_sessions_take(engine->sessions, &session, err))
            return false;
        bool ok = hf_snapshots_list(session, systems[i].id, NULL, INT64_MAX, "", INT64_MAX, note_newest, &behind, err);
        hf_sessions_give(engine->sessions, session);
        if (!ok || (behind.sequence > systems[i].sequence && !bring_forward(&behind, err)))
            return false;
    }
    return true;
}

/* A snapshot is only ever taken of what was committed. Imports count by the numbers of where they came from. */
static bool note_newest(void *context, const struct hf_snapshot_row *row)
{
    struct behind *behind = context;
    if (strcmp(row->state, "complete") != 0 || strcmp(row->trigger, "import") == 0)
        return true;
    /* Nobody reaches such numbers by counting, and there must be room above. */
    if (row->sequence > HF_MANIFEST_NUMBER_MAX / 2 || row->epoch > HF_MANIFEST_NUMBER_MAX / 2)
        return true;
    if (row->sequence > behind->sequence)
        behind->sequence = row->sequence;
    if (row->epoch > behind->epoch)
        behind->epoch = row->epoch;
    if (row->cut_at_ms > behind->cut_at_ms)
        behind->cut_at_ms = row->cut_at_ms;
    return true;
}

static bool bring_forward(struct behind *behind, struct hf_error *err)
{
    struct hf_engine *engine = behind->engine;
    const struct hf_system_info *system = &behind->system;
    hf_event_emit(engine, system->id, system->name, HF_EV_DATABASE_BEHIND, NULL,
                  "the database has system %s as of sequence %lld, and its snapshots reach %lld: commits were lost (a "
                  "missing write-ahead log, or an old copy of the database); the newest snapshot is restored",
                  system->name, (long long)system->sequence, (long long)behind->sequence);
    hf_random_bytes(&behind->batch_id, sizeof(behind->batch_id));
    behind->batch_id = (behind->batch_id & INT64_MAX) | 1;
    struct hf_call call = {.run = run_jump,
                           .published = publish_jump,
                           .context = behind,
                           .system_id = system->id,
                           .batch_id = behind->batch_id};
    if (!hf_committer_call(engine->committer, &call, err))
        return false;

    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_recovery_request request = {.system = system->name,
                                          .source = "snapshot",
                                          .snapshot = "latest",
                                          .reason = "the database was behind its snapshot files"};
    struct hf_recovery_row row;
    struct hf_error failure;
    if (!hf_recovery_run(engine, &request, &arena, &row, &failure))
        hf_log(HF_LOG_ERROR, "system_not_brought_forward", failure.text, HF_LOG_TEXT("system", system->name));
    return true;
}

/* Heads first: what is not folded is found at a start by following the sequence, which has a gap from here on. */
static bool run_jump(struct hf_session *session, void *context, struct hf_error *err)
{
    struct behind *behind = context;
    const struct hf_system_info *system = &behind->system;
    int64_t epoch = behind->epoch > system->epoch ? behind->epoch : system->epoch;
    behind->committed_at_ms = behind->cut_at_ms > system->committed_at_ms ? behind->cut_at_ms : system->committed_at_ms;
    bool moved = false;
    if (!hf_systems_advance(session, system->id, system->sequence, behind->sequence, epoch, behind->batch_id,
                            behind->committed_at_ms, &moved, err) ||
        !hf_fold_system(behind->engine->catalog, session, system->id, err) ||
        !hf_systems_set_folded(session, system->id, behind->sequence, err))
        return false;
    behind->epoch = epoch;
    return moved || hf_error_set(err, HF_CONFLICT, "system %s is no longer at sequence %lld", system->name,
                                 (long long)system->sequence);
}

static void publish_jump(void *context)
{
    struct behind *behind = context;
    struct hf_catalog *catalog = behind->engine->catalog;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, behind->system.id);
    HF_ASSERT(system);
    hf_system_advance_locked(system, behind->sequence, behind->committed_at_ms);
    system->folded_sequence = behind->sequence;
    system->epoch = behind->epoch;
    hf_catalog_unlock(catalog);
}
