/* Validation: a snapshot is read back, what is damaged is healed where a good copy is left, and the verdict is
 * recorded, one row a check (state_validation_results), with a quality score (docs/operations.md says how it is made).
 */
#ifndef HF_ENGINE_VALIDATION_H
#define HF_ENGINE_VALIDATION_H

#include "engine/engine.h"
#include "repository/repository.h"

struct hf_validation_check {
    const char *name;   /* structure, manifest, blobs, chain, root_hash, signature, database, json, required_pointers,
                           versions, dependencies, sizes */
    const char *status; /* passed | healed | warning | failed | skipped */
    const char *detail;
    double score; /* 0..1 */
};

/* A component whose content is in no place any more. */
struct hf_lost_component {
    const char *component;
    int64_t version;
    int64_t bytes;
    struct hf_hash hash;
};

struct hf_validation {
    const char *status; /* valid | healed | damaged */
    double quality_score;
    const struct hf_validation_check *checks;
    int check_count;
    const struct hf_lost_component *lost; /* by name */
    int64_t lost_count;
    bool lost_all; /* its list of components cannot be read, or not all of it: lost names only those that are known */
    int64_t contents_healed, blobs_checked, bytes_checked;
    int64_t checked_at_ms, duration_ms;
};

/* Validates now. deep: every state of the system; else what this snapshot's file holds and refers to. Heals what it can
 * (repair.h), records rows, verdict and events; damage that stays also marks every snapshot of the generation that
 * refers to it. *out lives in the arena. bytes_per_second 0: as fast as it goes. HF_IO and HF_KEY_MISSING: no verdict,
 * nothing recorded. Not from a loop thread. */
HF_MUST_USE bool hf_validation_run(struct hf_engine *engine, const char *system, const char *id, bool deep,
                                   int64_t bytes_per_second, struct hf_arena *arena, struct hf_validation *out,
                                   struct hf_error *err);

/* The last one recorded. *found_out false: there is none. */
HF_MUST_USE bool hf_validation_latest(struct hf_engine *engine, const char *system, const char *id,
                                      struct hf_arena *arena, struct hf_validation *out, bool *found_out,
                                      struct hf_error *err);

/* A reader met damage that is proven: validates deep and heals now. True: it is worth reading again. What was found
 * damaged less than a minute ago is not looked at again. Not from a loop thread. */
bool hf_validation_mend(struct hf_engine *engine, const char *system, const char *id);
/* The same in the background, for a reader that found what it lacked elsewhere. */
void hf_validation_mend_later(struct hf_engine *engine, const char *system, const char *id);

/* The chain of a snapshot whose row is there: mended where it can be, and else as it is, if the list of its components
 * is exact. HF_DAMAGED: it is not, or its signature does not fit, or is required and missing. *out owns
 * (hf_chain_free). Not from a loop thread. */
HF_MUST_USE bool hf_validation_load_chain(struct hf_engine *engine, const char *system, const char *id,
                                          struct hf_chain **out, struct hf_error *err);

/* The background scrub: one thread that validates every snapshot again once each scrub interval, the one that was
 * looked at longest ago first, spread over the interval, at most scrub_bytes_per_second. */
struct hf_scrubber;
HF_MUST_USE bool hf_scrubber_start(struct hf_scrubber **out, struct hf_engine *engine, struct hf_error *err);
void hf_scrubber_break_off(struct hf_scrubber *scrubber); /* its validation under way ends soon; accepts NULL */
void hf_scrubber_stop(struct hf_scrubber *scrubber);      /* the same, and waits for it; accepts NULL */

#endif
