/* Writing a batch: systems, new components, versions and the key of a keyed one, in one transaction. */
#include "engine/batch.h"

#include "core/auto.h"
#include "core/fault.h"
#include "engine/row_of.h"
#include "store/components.h"
#include "store/journal.h"
#include "store/systems.h"

static bool write_system(struct hf_session *session, const struct hf_batch *batch, const struct hf_system *system,
                         struct hf_error *err)
{
    if (!system->stored) {
        struct hf_system_row row = {.id = system->id,
                                    .name = system->name,
                                    .description = "",
                                    .epoch = system->epoch,
                                    .backup_interval_ms = -1,
                                    .incremental_interval_ms = -1,
                                    .max_retention_hours = -1,
                                    .created_at_ms = system->created_at_ms};
        if (!hf_systems_insert(session, &row, err))
            return false;
    }
    bool moved;
    if (!hf_systems_advance(session, system->id, system->sequence, system->pending_sequence, system->epoch,
                            batch->batch_id, system->pending_committed_at_ms, &moved, err))
        return false;
    /* Either somebody else wrote, or an attempt of ours that seemed lost is in after all: the committer looks which. */
    return moved || hf_error_set(err, HF_OUTCOME_UNKNOWN, "system %s is no longer at sequence %lld", system->name,
                                 (long long)system->sequence);
}

static int compare_systems(const void *a, const void *b)
{
    int64_t x = (*(struct hf_system *const *)a)->id, y = (*(struct hf_system *const *)b)->id;
    return x < y ? -1 : x > y;
}

/* In id order, so that two servers never wait for each other in a circle. */
static bool write_systems(struct hf_session *session, const struct hf_batch *batch, struct hf_error *err)
{
    int count = 0;
    for (struct hf_system *system = batch->systems; system; system = system->batch_next)
        count++;
    HF_AUTO(free) struct hf_system **sorted = hf_alloc((size_t)(count + 1) * sizeof(void *));
    count = 0;
    for (struct hf_system *system = batch->systems; system; system = system->batch_next) {
        if (system->pending_sequence != system->sequence)
            sorted[count++] = system;
    }
    qsort(sorted, (size_t)count, sizeof(void *), compare_systems);
    for (int i = 0; i < count; i++) {
        if (!write_system(session, batch, sorted[i], err))
            return false;
    }
    return true;
}

static bool write_fresh_components(struct hf_session *session, const struct hf_batch *batch, struct hf_error *err)
{
    if (!batch->fresh_count)
        return true;
    HF_AUTO(free) struct hf_component_row *rows = hf_alloc((size_t)batch->fresh_count * sizeof *rows);
    for (int i = 0; i < batch->fresh_count; i++) {
        rows[i] = hf_component_row_of(NULL, NULL);
        rows[i].system_id = batch->fresh_systems[i]->id;
        rows[i].component_id = batch->fresh[i]->id;
        rows[i].name = batch->fresh[i]->name;
        rows[i].last_activity_at_ms = rows[i].created_at_ms = batch->now_ms;
    }
    return hf_components_insert(session, rows, batch->fresh_count, err);
}

bool hf_batch_write(const struct hf_batch *batch, struct hf_session *session, const struct hf_batch_key *key,
                    struct hf_error *err)
{
    if (hf_fault("commit_before"))
        return hf_error_set(err, HF_STORE_DOWN, "fault point commit_before");
    if (!hf_session_begin(session, err) || !write_systems(session, batch, err) ||
        !write_fresh_components(session, batch, err))
        return false;
    if (batch->count && !hf_states_insert(session, batch->states, batch->count, err))
        return false;
    if (key->write && !hf_keys_insert(session, batch->systems->id, key->write->idempotency_key, &key->write->body_hash,
                                      key->answer, batch->now_ms, err))
        return false;
    if (!hf_session_commit(session, err))
        return false;
    if (hf_fault("commit_after"))
        return hf_error_set(err, HF_OUTCOME_UNKNOWN, "fault point commit_after");
    return true;
}

const struct hf_system *hf_batch_witness(const struct hf_batch *batch)
{
    for (const struct hf_system *system = batch->systems; system; system = system->batch_next) {
        if (system->pending_sequence != system->sequence)
            return system;
    }
    return NULL;
}
