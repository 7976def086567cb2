/* What the parts of the mirror share: mirror.c (its thread, what it is told, how it is), mirror_round.c (making it
 * even), mirror_tidy.c (what has no business there), mirror_back.c (bringing files back). Not for others. */
#ifndef HF_ENGINE_MIRROR_PRIVATE_H
#define HF_ENGINE_MIRROR_PRIVATE_H

#include "core/arena.h"
#include "engine/mirror.h"
#include "repository/repair.h"

#include <pthread.h>

#define HF_MIRROR_FORGOTTEN_MAX 1024

/* Something that was deleted and is to go from the mirror too. */
struct hf_mirror_forgotten {
    char system[HF_NAME_MAX + 4];
    char kind[16]; /* "": the whole system */
    char id[HF_SNAPSHOT_ID_MAX];
    char mark[64]; /* of the system's deletion */
};

struct hf_mirror {
    struct hf_engine *engine;
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex; /* protects the following; never held across I/O */
    pthread_cond_t wake;   /* of the thread; on the monotonic clock */
    pthread_cond_t done;   /* of who waits for a system's deletion; likewise */
    bool stopping, woken;
    struct hf_mirror_forgotten *forgotten; /* a ring; owns */
    int forgotten_first, forgotten_count;
    uint64_t systems_asked, systems_done; /* deletions of systems */
    struct hf_mirror_status status;
    bool behind; /* and told of */

    /* the mirror's thread only */
    bool failed; /* it is there, and something could not be copied to it */
    bool swept;
    int64_t tidied_at_ms; /* 0: not yet since it was there */
    char unsound_id[HF_SNAPSHOT_ID_MAX];
};

/* mirror.c */
bool hf_mirror_is_there(struct hf_engine *engine, struct hf_error *err); /* makes its two directories */
bool hf_mirror_is_stopping(struct hf_mirror *mirror);
void hf_mirror_set_pending(struct hf_mirror *mirror, int64_t pending);
void hf_mirror_note_away(struct hf_mirror *mirror, const struct hf_error *err);
void hf_mirror_note_even(struct hf_mirror *mirror);
void hf_mirror_note_up(struct hf_mirror *mirror);
bool hf_mirror_next_forgotten(struct hf_mirror *mirror, struct hf_mirror_forgotten *out);
void hf_mirror_end_forgotten(struct hf_mirror *mirror, const struct hf_mirror_forgotten *forgotten);

/* mirror_round.c: deadline_ns 0: until everything is there, or the service stops. */
void hf_mirror_do_round(struct hf_mirror *mirror, uint64_t deadline_ns);

/* One snapshot file of a system by name. */
struct hf_mirror_name {
    const char *id;
    bool expected; /* has a row */
};

/* mirror_tidy.c: removes what was missed when it was deleted, and sets aside what an earlier system of the same name
 * left. names: what the mirror has of the system. *moved_out: its directories were set aside. */
HF_MUST_USE bool hf_mirror_tidy(struct hf_mirror *mirror, const struct hf_system_info *system,
                                const struct hf_mirror_name *names, int64_t count, bool *moved_out,
                                struct hf_error *err);
void hf_mirror_forget_now(struct hf_mirror *mirror);

#endif
