/* How the metadata of a state is read, for states.c (rows) and states_read.c (a row with its content). Not for others.
 */
#ifndef HF_STORE_STATES_PRIVATE_H
#define HF_STORE_STATES_PRIVATE_H

#include "store/rows.h"
#include "store/states.h"

#define HF_STATE_METADATA_COLUMNS 11 /* what else a statement gives comes after them */

/* Texts are borrowed from values. */
void hf_state_read_metadata(int64_t system_id, const struct hf_value *values, struct hf_state_row *row);

/* With texts that live in storage. */
void hf_state_keep_metadata(const struct hf_state_row *row, struct hf_state_row *out, struct hf_state_text *storage);

#endif
