/* Changes of large contents, told without sending the content (rsync's algorithm, by librsync): who has the old one
 * gives a signature, who has the new one makes a delta from that, and the old one and the delta give the new one. The
 * formats are those of the command rdiff. Everything here is memory; any thread. */
#ifndef HF_CORE_DELTA_H
#define HF_CORE_DELTA_H

#include "core/buf.h"

/* Appends the signature of the bytes: RabinKarp and BLAKE2, some ten bytes for every square root of the size.
 * HF_OVERLOADED: it does not fit into the buffer, or memory is short. */
HF_MUST_USE bool hf_delta_sign(const void *data, size_t bytes, struct hf_buf *signature, struct hf_error *err);

/* Appends the delta that makes data of what the signature is of. HF_INVALID_REQUEST: it is no signature; HF_OVERLOADED
 * as above. */
HF_MUST_USE bool hf_delta_make(const void *signature, size_t signature_bytes, const void *data, size_t bytes,
                               struct hf_buf *delta, struct hf_error *err);

/* Appends what the delta makes of the base; it may come from anybody. Whether it was made for this base cannot be seen
 * here: compare the result's digest. HF_INVALID_REQUEST says what is wrong with the delta; HF_BODY_TOO_LARGE: the
 * result would pass the buffer's maximum; HF_OVERLOADED: memory is short. What a failure leaves in the buffer is
 * without meaning. */
HF_MUST_USE bool hf_delta_apply(const void *base, size_t base_bytes, const void *delta, size_t delta_bytes,
                                struct hf_buf *result, struct hf_error *err);

#endif
