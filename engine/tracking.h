/* Heads that are not believed blindly. What stands in component_state_tracking is only a copy of what component_states
 * says: a row there proves itself by its content, a snapshot's manifest by its root hash, and where these agree against
 * a head, the head is mended. What cannot be decided, or not be brought back, is told and left as it is. */
#ifndef HF_ENGINE_TRACKING_H
#define HF_ENGINE_TRACKING_H

#include "engine/engine.h"
#include "repository/repository.h"

/* At start, when the committer runs and before anybody writes: every head against the row of its sequence, and, as far
 * as the newest rows go, whether it is the newest and whether there is a row of component_state_tracking at all. One
 * state.healed event for each that was mended, one state.damaged for each whose name nobody knows. */
HF_MUST_USE bool hf_tracking_check(struct hf_engine *engine, struct hf_error *err);

/* In a validation: an entry of a manifest that has its root hash, whose component has no head, another name, or a head
 * that does not fit. *mended_out tells whether anything was mended; false also where a later row explains it, and where
 * no row of the database confirms the entry. chain is the one of the entry. Not from a loop thread or the committer. */
HF_MUST_USE bool hf_tracking_check_entry(struct hf_engine *engine, const char *system, const struct hf_chain *chain,
                                         const struct hf_manifest_entry *entry, bool *mended_out, struct hf_error *err);

#endif
