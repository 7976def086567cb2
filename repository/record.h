/* One content as a record of a snapshot file: packed with zstd where that is smaller, sealed where the file is
 * encrypted. Private to repository/. */
#ifndef HF_REPOSITORY_RECORD_H
#define HF_REPOSITORY_RECORD_H

#include "repository/format.h"
#include "repository/seal.h"

struct hf_packer; /* one thread */

struct hf_packed {
    unsigned char head[HF_FORMAT_RECORD_BYTES_MAX];
    size_t head_bytes;
    const unsigned char *stored; /* borrowed until the next call, or the content itself */
    size_t stored_bytes;
};

/* seal is borrowed; NULL: plain. */
struct hf_packer *hf_packer_new(struct hf_seal *seal);
void hf_packer_free(struct hf_packer *packer); /* accepts NULL */

/* data must match hash. */
HF_MUST_USE bool hf_packer_pack(struct hf_packer *packer, const struct hf_hash *hash, const void *data, size_t bytes,
                                struct hf_packed *out, struct hf_error *err);

/* For mending in place: the stored bytes are exactly stored_bytes long, so that what refers to them stays right. Tries
 * the encodings and levels there are, and fills what is left with a skippable frame (RFC 8878, 3.1.2). HF_NOT_FOUND
 * when none fits. */
HF_MUST_USE bool hf_packer_pack_into(struct hf_packer *packer, const struct hf_hash *hash, const void *data,
                                     size_t bytes, size_t stored_bytes, struct hf_packed *out, struct hf_error *err);

#endif
