/* Filling the catalogue from the database at start: rows of components, then the tail of uploads that were committed
 * after the last fold. Before the committer runs. */
#ifndef HF_ENGINE_LOAD_H
#define HF_ENGINE_LOAD_H

#include "engine/catalog_write.h"
#include "store/store.h"

/* HF_DAMAGED when the rows contradict each other (a gap in the sequence). Heads are taken as they are stored: see
 * tracking.h. */
HF_MUST_USE bool hf_catalog_load(struct hf_catalog *catalog, struct hf_session *session, struct hf_error *err);

/* Parses a JSON array of names into the arena: for registrations read from rows. */
HF_MUST_USE bool hf_names_parse(const char *json, struct hf_arena *arena, const char *const **names_out, int *count_out,
                                struct hf_error *err);

#endif
