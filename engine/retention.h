/* Retention: snapshots by whole generations, history rows, old events and keys. */
#ifndef HF_ENGINE_RETENTION_H
#define HF_ENGINE_RETENTION_H

#include "engine/engine.h"

/* Deletes generations whose newest snapshot is older than the system's retention. Never: pinned ones, leased ones,
 * the newest generation that holds a valid full, or the generation now being written. */
HF_MUST_USE bool hf_retention_run(struct hf_engine *engine, const char *system, int64_t *deleted_out,
                                  struct hf_error *err);

/* Trims version history by age and size, in small steps so that uploads do not wait; latest versions stay. */
HF_MUST_USE bool hf_retention_trim_history(struct hf_engine *engine, const char *system, int64_t *deleted_out,
                                           struct hf_error *err);

#endif
