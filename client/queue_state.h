/* One state on its way through a queue. */
#ifndef HF_CLIENT_QUEUE_STATE_H
#define HF_CLIENT_QUEUE_STATE_H

#include "client/holdfast.h"
#include "core/auto.h"
#include "core/blob.h"
#include "core/digest.h"
#include "core/id.h"

#define HF_QUEUE_TYPE_BYTES 128 /* a content type, with its end */

struct hf_queue_state {
    struct hf_blob *data; /* NULL: still in the outbox's file alone, or (unchanged) not needed */
    size_t bytes;
    struct hf_hash hash; /* of the bytes; of one that is still in its file: not known yet */
    int64_t epoch;       /* of the moment it was queued in */
    int64_t queued_at_ms;
    uint64_t order; /* of the oldest state that this one stands for: what waits for that one waits for this one */
    uint64_t asked; /* number of the public call it came with; of a capture: of the last one before it began */
    bool captured;  /* by a periodic capture; nobody said "save this" */
    bool unchanged; /* the content that was last acknowledged: nothing to send */
    bool snapshot;  /* holdfast_save_options.event_snapshot */
    char event[HF_NAME_MAX + 1];            /* "": none */
    char content_type[HF_QUEUE_TYPE_BYTES]; /* "": the default */
    char component[HF_NAME_MAX + 1];
};

/* A copy of what is to be saved. NULL on failure: invalid_argument, no_memory. Owns: hf_queue_state_free. */
struct hf_queue_state *hf_queue_state_new(const char *component, const void *data, size_t bytes,
                                          const struct holdfast_save_options *options, struct holdfast_error *err);
void hf_queue_state_free(struct hf_queue_state *state); /* accepts NULL */

/* Gives state the event of the one that it takes the place of, unless it has its own. */
void hf_queue_state_keep_event(struct hf_queue_state *state, const struct hf_queue_state *earlier);

#define HF_QUEUE_FULL   "queue_full"
#define HF_QUEUE_OUTBOX "outbox_failed"

HF_AUTO_DEFINE(queue_state, struct hf_queue_state *, hf_queue_state_free);

#endif
