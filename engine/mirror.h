/* A second place for snapshot files: each is copied there after it is published, and what is lacking is caught up with
 * when the place was away. The service never waits for it. Used for healing and, at start, for a rebuild. */
#ifndef HF_ENGINE_MIRROR_H
#define HF_ENGINE_MIRROR_H

#include "engine/engine.h"

struct hf_mirror;

/* Where a mirror is configured: engine->mirror_repository, which stays, and engine->mirror. A mirror that is away is an
 * event, no reason not to start. HF_CONFIG: it is where the snapshot files are. Before other threads start. */
HF_MUST_USE bool hf_mirror_open(struct hf_engine *engine, struct hf_error *err);

/* At start, before a rebuild: every file that only the mirror has is copied back. Told in the log. HF_IO when the
 * backup directories cannot be written, or the mirror is there and cannot be read: nothing older is chosen for that. */
HF_MUST_USE bool hf_mirror_bring_back(struct hf_engine *engine, struct hf_error *err);

/* At start: copies one file back; replace: over a damaged one. HF_NOT_FOUND: there is no mirror, it is away, or it has
 * no such file. */
HF_MUST_USE bool hf_mirror_fetch(struct hf_engine *engine, const char *system, const char *kind, const char *id,
                                 bool replace, struct hf_error *err);

/* Starts the thread, where a mirror is configured. */
HF_MUST_USE bool hf_mirror_start(struct hf_engine *engine, struct hf_error *err);
/* Copies what was just published, for a few seconds at most, and ends after the file under way. Accepts NULL. */
void hf_mirror_stop(struct hf_mirror *mirror);

/* Something was published, deleted or healed: look again soon. Any thread; never blocks. engine->mirror may be NULL. */
void hf_mirror_wake(struct hf_engine *engine);

/* A snapshot was deleted: its copy goes soon. What is missed, because the mirror is away for long or the service ends,
 * goes when its retention and a day are over. Any thread; never blocks. */
void hf_mirror_forget(struct hf_engine *engine, const char *system, const char *kind, const char *id);

/* A system was deleted, as hf_repository_deletion_begin has it: so are its copies, when the mirror is there. Waits a
 * moment for that. Any thread without locks of the snapshotter. */
void hf_mirror_forget_system(struct hf_engine *engine, const char *system, const char *mark);

/* At start: the same for a system whose deletion was not finished; keep: its copies stay aside. */
void hf_mirror_end_deletion(struct hf_engine *engine, const char *system, const char *mark, bool keep);

struct hf_mirror_status {
    bool configured, up;
    int64_t pending_files;
    int64_t caught_up_at_ms; /* 0: not yet */
    char last_error[256];    /* "": none */
};
void hf_mirror_read_status(struct hf_engine *engine, struct hf_mirror_status *out); /* any thread; never blocks */

#endif
