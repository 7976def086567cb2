/* Forks: a new system with a past of another as its present, for a what-if. Contents are shared with the origin by
 * hash where its rows still hold them (store/shared.h), and read from the snapshot, verified, where they do not.
 *
 * Versions, hashes, content types and registrations are those of the past, so that root hash and ETags are, too. The
 * sequences are new: one commit, 1 to n in the order of names. The new system is put together under a name that nobody
 * can ask for, in portions that uploads fit between, and shows as a whole with its last commit, or never: what a crash
 * leaves is removed at the next start. */
#ifndef HF_ENGINE_FORK_H
#define HF_ENGINE_FORK_H

#include "engine/past.h"

struct hf_fork_request {
    const char *name;
    const char *description; /* NULL: "" */
    const char *from;        /* the origin; NULL: a new system without anything */
    struct hf_past_moment moment;
};

struct hf_fork {
    struct hf_system_info system;
    struct hf_past_cut cut; /* really used; texts in the arena. With an origin only */
    int64_t shared, copied; /* contents */
};

/* HF_CONFLICT: the name is taken. HF_NOT_FOUND: as hf_past_open. HF_DAMAGED: names the component that neither the
 * database nor a snapshot can give; nothing is there then. Worker threads. */
HF_MUST_USE bool hf_fork_make(struct hf_engine *engine, const struct hf_fork_request *request, struct hf_arena *arena,
                              struct hf_fork *out, struct hf_error *err);

/* At start, before anything looks at the systems: removes what a crash left of forks under way. */
HF_MUST_USE bool hf_forks_tidy(struct hf_session *session, struct hf_error *err);

#endif
