/* One content as a record of a snapshot file: packed with zstd where that is smaller, sealed where the file is
 * encrypted. Private to repository/. */
#ifndef HF_REPOSITORY_RECORD_H
#define HF_REPOSITORY_RECORD_H

#include "core/blob.h"
#include "repository/format.h"
#include "repository/seal.h"

/* ---- writing ---- */

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

/* ---- reading ---- */

struct ZSTD_DCtx_s;

/* What decoding borrows. */
struct hf_record_decoding {
    struct hf_seal *seal;     /* NULL: a plain file */
    struct ZSTD_DCtx_s *zstd; /* NULL: one is made for the record */
    /* Only of a compressed record in a sealed file: room for its stored bytes less HF_SEAL_EXTRA_BYTES, apart from
     * them or where their ciphertext lies (stored + HF_SEAL_NONCE_BYTES). */
    unsigned char *unsealed;
};

/* data: HF_FORMAT_RECORD_BYTES, of a sealed file HF_FORMAT_RECORD_BYTES_MAX. HF_DAMAGED; out holds nothing then. */
HF_MUST_USE bool hf_record_decode_head(struct hf_seal *seal, const unsigned char *data, struct hf_format_record *out,
                                       struct hf_error *err);

/* Makes the record's content of its stored bytes, which may be blob->data itself, and verifies it. The blob has room
 * for record->bytes and gets that length. HF_DAMAGED: it holds nothing to be believed. */
HF_MUST_USE bool hf_record_decode(const struct hf_record_decoding *with, const struct hf_format_record *record,
                                  const unsigned char *stored, struct hf_blob *blob, struct hf_error *err);

#endif
