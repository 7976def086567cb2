/* Changing a large state by sending no more than what is new: the client asks for the signature of the present state,
 * makes a delta from it, and sends that as a patch. The formats are those of rdiff (core/delta.h). */
#ifndef HF_API_STATE_DELTA_H
#define HF_API_STATE_DELTA_H

#include "api/request.h"
#include "core/digest.h"
#include "engine/engine.h"

#define HF_SIGNATURE_TYPE "application/vnd.holdfast.rsync-signature"
#define HF_DELTA_TYPE     "application/vnd.holdfast.rsync-delta"

/* What a delta must come with: If-Match with the ETag of the state it was made for, and Repr-Digest of what it makes,
 * which is put out. */
HF_MUST_USE bool hf_state_delta_read(const struct hf_request *request, struct hf_hash *wanted_out,
                                     struct hf_error *err);

/* What the request's body makes of the state; owns, NULL on failure. Nothing is taken that has another digest, is
 * larger than an upload may be, or is no JSON where the state is. */
struct hf_blob *hf_state_delta_apply(struct hf_request *request, const struct hf_state *state,
                                     const struct hf_hash *wanted, struct hf_error *err);

#endif
