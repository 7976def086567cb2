/* What fork.c (what becomes of the past) and fork_write.c (the portions, the catalogue) share. Not for others. */
#ifndef HF_ENGINE_FORK_PRIVATE_H
#define HF_ENGINE_FORK_PRIVATE_H

#include "engine/fork.h"
#include "store/shared.h"
#include "store/states.h"

/* One component of the new system; its number there is its place + 1. */
struct hf_fork_item {
    const struct hf_past_entry *entry;
    const char *content_type; /* interned */
    struct hf_registration registration;
    int64_t sequence;        /* in the new system; 0: registered, no state */
    int64_t origin_sequence; /* a row of the origin that may hold the content; 0: none */
};

struct hf_forking {
    struct hf_engine *engine;
    const struct hf_fork_request *request;
    struct hf_arena arena;
    struct hf_past *past;       /* NULL: nothing to fork from */
    struct hf_fork_item *items; /* owns; in name order */
    int64_t count;
    int64_t system_id, sequence; /* of the new one; 0 until begun */
    char hidden[32];             /* its name until it is complete */
    int64_t now_ms, batch_id;
    bool name_taken;
    int64_t shared, copied;
};

/* The new system's row, under a hidden name, and its place in the catalogue. */
HF_MUST_USE bool hf_fork_begin(struct hf_forking *forking, struct hf_error *err);
/* All components and states. */
HF_MUST_USE bool hf_fork_fill(struct hf_forking *forking, struct hf_error *err);
/* Its name; from here on everybody sees it. */
HF_MUST_USE bool hf_fork_reveal(struct hf_forking *forking, struct hf_error *err);
/* Takes back what was written. */
void hf_fork_discard(struct hf_forking *forking);

#endif
