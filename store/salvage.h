/* What can still be read of a damaged SQLite database that was set aside. Tables are read by their own tree, row by row
 * where a page cannot be read, never through an index: an index that is damaged may lead to another row. Nothing in the
 * file is believed: numbers are bounded, and of a content only what has its length and hash is given out. The file and
 * its log are not written. */
#ifndef HF_STORE_SALVAGE_H
#define HF_STORE_SALVAGE_H

#include "store/components.h"
#include "store/states.h"
#include "store/systems.h"

#define HF_SALVAGE_NUMBER_MAX (INT64_C(1) << 53) /* ids, versions, sequences and times above are damage */

struct hf_salvage;

/* One row of component_states whose page could be read; its content may still prove wrong. */
struct hf_salvage_row {
    int64_t system_id, sequence; /* sorted by these */
    int64_t component_id, version, previous_sequence, epoch;
    int64_t place; /* in the table */
};

/* Reads everything but contents. HF_DAMAGED when nothing can be read at all (the first page, the schema);
 * HF_STORE_DOWN for an I/O error. */
HF_MUST_USE bool hf_salvage_open(struct hf_salvage **out, const char *path, struct hf_error *err);
void hf_salvage_close(struct hf_salvage *salvage); /* accepts NULL */

const struct hf_salvage_row *hf_salvage_rows(const struct hf_salvage *salvage, int64_t *count_out);

/* Rows of systems; of one that only its index still has, id and name alone, the rest 0 and sequence -1. */
HF_MUST_USE bool hf_salvage_systems(struct hf_salvage *salvage, hf_system_row_fn *each, void *context,
                                    struct hf_error *err);
/* The same of component_state_tracking with ids up to id_max, by id. What only the index has: version -1. */
HF_MUST_USE bool hf_salvage_components(struct hf_salvage *salvage, int64_t system_id, int64_t id_max,
                                       hf_component_row_fn *each, void *context, struct hf_error *err);

/* The row with its content; HF_DAMAGED when it cannot be read or does not prove itself. Otherwise as hf_states_get. */
HF_MUST_USE bool hf_salvage_read(struct hf_salvage *salvage, const struct hf_salvage_row *row,
                                 struct hf_state_row *row_out, struct hf_state_text *storage, struct hf_blob **blob_out,
                                 struct hf_error *err);

#endif
