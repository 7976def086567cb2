/* Takes the body of a batch apart: {"states":[item, …]}, or one item a line. The bytes of each state are exactly those
 * that were sent, not a re-written form: what is read back later has the hash that the sender can compute. */
#ifndef HF_API_BATCH_BODY_H
#define HF_API_BATCH_BODY_H

#include "api/request.h"
#include "engine/committer.h"

#define HF_BATCH_ITEMS_MAX 10000

/* *items_out and all texts live in the request's arena; each item's body owns a reference (hf_batch_items_free). Names,
 * content types and hashes are checked. HF_INVALID_REQUEST says which item and why. */
HF_MUST_USE bool hf_batch_body_read(struct hf_request *request, struct hf_save_item **items_out, int *count_out,
                                    struct hf_error *err);
void hf_batch_items_free(struct hf_save_item *items, int count);

#endif
