/* A batch: the uploads of one transaction, with conditions checked and versions given out (save.c), before anything is
 * written (committer.c). Committer thread only. */
#ifndef HF_ENGINE_BATCH_H
#define HF_ENGINE_BATCH_H

#include "engine/catalog_write.h"
#include "engine/committer.h"
#include "store/states.h"

/* Bounds of one transaction: past them the rest waits for the next, so that no commit takes long. */
#define HF_BATCH_ROWS_MAX  4096
#define HF_BATCH_BYTES_MAX (32 * 1024 * 1024)

struct hf_batch_row {
    struct hf_system *system;
    struct hf_component *component;
    struct hf_blob *body; /* borrowed from the write */
};

struct hf_batch_touch {
    struct hf_component *component;
    int64_t at_ms;
};

/* What a component's order was before a write of the batch. */
struct hf_batch_order {
    struct hf_component *component;
    struct hf_order before;
};

struct hf_batch {
    uint64_t number;  /* marks the pending fields that belong to this batch */
    int64_t batch_id; /* random; stored in systems.batch_id */
    int64_t now_ms;
    struct hf_system *systems;   /* those with changes, through batch_next */
    struct hf_state_row *states; /* what to insert; parallel to rows */
    struct hf_batch_row *rows;
    int count, capacity;
    int64_t bytes;
    struct hf_component **fresh; /* components that are new in this batch, with their systems */
    struct hf_system **fresh_systems;
    int fresh_count, fresh_capacity;
    struct hf_batch_touch *touched; /* unchanged uploads: activity only */
    int touched_count, touched_capacity;
    struct hf_batch_order *orders; /* as they were, oldest first */
    int order_count, order_capacity;
    struct hf_write *first, *last; /* all writes of the batch, the refused ones too, through next */
};

void hf_batch_init(struct hf_batch *batch);
void hf_batch_done(struct hf_batch *batch);  /* frees the arrays */
void hf_batch_begin(struct hf_batch *batch); /* empties it and gives it a new number and id */
static inline bool hf_batch_is_full(const struct hf_batch *batch)
{
    return batch->count >= HF_BATCH_ROWS_MAX || batch->bytes >= HF_BATCH_BYTES_MAX;
}

/* Adds a write: checks its conditions against the heads as they will be, then gives out versions and sequences. The
 * verdict and the receipts are in the write; a refused write leaves nothing behind. */
void hf_batch_add(struct hf_batch *batch, struct hf_catalog *catalog, struct hf_write *write);

/* With an upload that has an Idempotency-Key: the key and the answer to be stored with it. */
struct hf_batch_key {
    const struct hf_write *write; /* NULL: none */
    const char *answer;
};

/* Writes the batch in one transaction. HF_OUTCOME_UNKNOWN also when a system has moved: either somebody else wrote, or
 * an attempt that seemed lost is in after all. */
HF_MUST_USE bool hf_batch_write(const struct hf_batch *batch, struct hf_session *session,
                                const struct hf_batch_key *key, struct hf_error *err);

/* The first system that the transaction moves: its row tells whether the transaction is in. NULL: it moves none. */
const struct hf_system *hf_batch_witness(const struct hf_batch *batch);

/* After the commit: the heads become what was pending. */
void hf_batch_publish(struct hf_batch *batch, struct hf_catalog *catalog);

/* After a failure: forgets what was pending, and components and systems that never came to be. */
void hf_batch_abandon(struct hf_batch *batch, struct hf_catalog *catalog);

#endif
