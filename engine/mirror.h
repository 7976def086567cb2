/* A second place for snapshot files: each is copied there after it is published, and what is lacking is caught up with
 * when the place was away. The service never waits for it. Used for healing and, at start, for a rebuild. */
#ifndef HF_ENGINE_MIRROR_H
#define HF_ENGINE_MIRROR_H

#include "engine/engine.h"

struct hf_mirror;

/* Starts the thread; engine->mirror_repository is set already. */
HF_MUST_USE bool hf_mirror_start(struct hf_mirror **out, struct hf_engine *engine, struct hf_error *err);
void hf_mirror_stop(struct hf_mirror *mirror); /* accepts NULL; ends after the file under way */

/* Something was published, deleted or healed: look again soon. Any thread; never blocks. engine->mirror may be NULL. */
void hf_mirror_wake(struct hf_engine *engine);

/* Opens <mirror directory>/full and /incremental as engine->mirror_repository, when a mirror is configured and there; a
 * mirror that is away is an event, no reason not to start. */
HF_MUST_USE bool hf_mirror_open(struct hf_engine *engine, struct hf_error *err);

/* At start, before a rebuild: every file that only the mirror has is copied back. Told in the log. HF_IO when the
 * backup directories cannot be written. */
HF_MUST_USE bool hf_mirror_bring_back(struct hf_engine *engine, struct hf_error *err);

struct hf_mirror_status {
    bool configured, up;
    int64_t pending_files;
    int64_t caught_up_at_ms; /* 0: not yet */
    char last_error[256];    /* "": none */
};
void hf_mirror_read_status(struct hf_engine *engine, struct hf_mirror_status *out); /* any thread; never blocks */

#endif
