/* Completeness: does what a component's state says hold the parts that its registration requires? The verdict on the
 * present state is kept in the catalogue, where health reads it. Refuses nothing: states are stored as they come. */
#ifndef HF_ENGINE_COMPLETENESS_H
#define HF_ENGINE_COMPLETENESS_H

#include "engine/engine.h"

#define HF_LACK_BYTES 320

/* Looks for each of the RFC 6901 pointers (JSON array) in the state. lack: what is wrong first, or "" when nothing is.
 * Any thread; parses the whole state, so not a loop thread. */
void hf_completeness_judge(const struct hf_blob *state, const char *required_pointers_json, char lack[HF_LACK_BYTES]);

/* The verdict on the present state, when the present state is the one of that sequence and has been judged by these
 * pointers. False: it has to be looked at. */
bool hf_completeness_recall(struct hf_catalog *catalog, int64_t system_id, const char *component, int64_t sequence,
                            const char *required_pointers_json, char lack[HF_LACK_BYTES]);

/* Keeps a verdict if it is about the present state and registration; a change between complete and not leaves an event.
 * Any thread. */
void hf_completeness_record(struct hf_engine *engine, int64_t system_id, const char *component, int64_t sequence,
                            const char *required_pointers_json, const char *lack);

#endif
