/* Retention: snapshots by whole generations (retention.c), versions (retention_history.c), and what is written down of
 * events, recoveries, validations and keys (retention_journal.c). */
#ifndef HF_ENGINE_RETENTION_H
#define HF_ENGINE_RETENTION_H

#include "engine/engine.h"
#include "store/snapshots.h"

/* Deletes generations whose newest snapshot is older than the system's retention (an import's counts from when it
 * came). Never: pinned ones, leased ones, the generation now being written, and, imports apart, the newest generation
 * that holds a valid full; without any, the newest with a full that is not known to be damaged; without any, the
 * newest. Each deletion leaves an event and each run another. Fault point: retention_midway. */
HF_MUST_USE bool hf_retention_run(struct hf_engine *engine, const char *system, int64_t *deleted_out,
                                  struct hf_error *err);

/* What hf_retention_run would do now, newest snapshot first; changes nothing. */
struct hf_retention_item {
    struct hf_snapshot_row row;
    bool keep;
    const char *reason; /* a sentence without a full stop */
};
HF_MUST_USE bool hf_retention_preview(struct hf_engine *engine, const char *system, struct hf_arena *arena,
                                      struct hf_retention_item **out, int64_t *count_out, struct hf_error *err);

/* Trims version history by age and size, in small steps so that uploads do not wait; latest versions stay. */
HF_MUST_USE bool hf_retention_trim_history(struct hf_engine *engine, const char *system, int64_t *deleted_out,
                                           struct hf_error *err);

/* Trims what is not of one system: events older than the service's retention, keys of batches that are no longer
 * honoured. In small steps; what the bound of one run leaves waits for the next. */
HF_MUST_USE bool hf_retention_trim_service(struct hf_engine *engine, int64_t *deleted_out, struct hf_error *err);

/* Trims the system's recoveries (never the newest) and the validations of snapshots that are gone, both by the system's
 * retention; in small steps. Nothing younger than a day goes here, however short the retention. */
HF_MUST_USE bool hf_retention_trim_journal(struct hf_engine *engine, const char *system, int64_t *deleted_out,
                                           struct hf_error *err);

#endif
