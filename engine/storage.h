/* How much room there is where the service writes. A thread for each place asks every few seconds: a network file
 * system that hangs holds up that thread alone. */
#ifndef HF_ENGINE_STORAGE_H
#define HF_ENGINE_STORAGE_H

#include "core/arena.h"
#include "core/buf.h"
#include "engine/engine.h"

#define HF_STORAGE_PLACES_MAX 4

struct hf_storage;

/* The directories of the configuration must stand. */
HF_MUST_USE bool hf_storage_start(struct hf_storage **out, struct hf_engine *engine, struct hf_error *err);
/* Leaves a place that does not answer behind, after a second. Accepts NULL. */
void hf_storage_stop(struct hf_storage *storage);

struct hf_storage_figures {
    const char *place;   /* data | backup | incremental | mirror, as the settings call them */
    const char *holds;   /* the same in words */
    bool known;          /* false: not asked yet, not there, or it does not answer */
    int64_t free_bytes;  /* for everybody, without what is kept for root */
    int64_t total_bytes; /* above 0 when known */
    bool low;            /* below a twentieth and 2 GiB, or below twice what the newest full snapshots took */
    uint64_t device;     /* the same for places on one file system */
    bool low_by_need;    /* why it is low: */
    int64_t needed;      /* what the newest full snapshots of all systems took */
};

/* How many of out were set. From memory: any thread, never blocks. */
int hf_storage_read(struct hf_engine *engine, struct hf_storage_figures out[HF_STORAGE_PLACES_MAX]);

/* A sentence for each file system that is low by the figures, and why. Texts live in the arena. Returns how many. */
int hf_storage_warnings(const struct hf_storage_figures figures[], int count, struct hf_arena *arena,
                        const char *out[HF_STORAGE_PLACES_MAX]);

/* The same as lines "[!]storage: …". Any thread, never blocks. */
void hf_storage_write(struct hf_engine *engine, struct hf_buf *out);

void hf_storage_set_gauges(struct hf_engine *engine); /* likewise */

#endif
