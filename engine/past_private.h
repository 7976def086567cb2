/* What past.c (which moment, which source), past_history.c (version history) and past_read.c (snapshots and contents)
 * share. Not for others. */
#ifndef HF_ENGINE_PAST_PRIVATE_H
#define HF_ENGINE_PAST_PRIVATE_H

#include "engine/past.h"

struct hf_past {
    struct hf_engine *engine;
    struct hf_system_info system;
    struct hf_arena arena;
    struct hf_past_cut cut;
    struct hf_past_entry *entries; /* owns */
    int64_t count;
    struct hf_chain *chain; /* NULL: history */
    const char *leased;     /* the snapshot; "": none */
    bool elsewhere;         /* what the files of the snapshot lack is read from other copies */
    bool mends;             /* and the snapshot is then validated in the background, once: */
    bool mending;
    struct hf_session *session; /* the view that history is read from; NULL: left, or a snapshot */
};

struct hf_past *hf_past_new(struct hf_engine *engine, const struct hf_system_info *system);

#endif
