/* What healing a row (heal.c) and looking for copies (heal_search.c) share. */
#ifndef HF_ENGINE_HEAL_PRIVATE_H
#define HF_ENGINE_HEAL_PRIVATE_H

#include "engine/heal.h"

#define HF_SEARCH_ANY_LENGTH INT64_C(-1)

/* A content being looked for. */
struct hf_search {
    struct hf_engine *engine;
    const char *system;
    const struct hf_hash *hash;
    int64_t bytes; /* or HF_SEARCH_ANY_LENGTH: whoever asks knows its hash alone */
    enum hf_heal_patience patience;
    struct hf_blob *blob;    /* owns, once found */
    char *origin;            /* of HF_ORIGIN_BYTES */
    struct hf_error trouble; /* HF_OK: every place could be looked at; else which could not, and why */
};

/* True: blob and origin are set. */
bool hf_search_everywhere(struct hf_search *search);

#endif
