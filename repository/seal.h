/* Encryption of snapshot files: AES-256-GCM (NIST SP 800-38D) under a key for each file, made by HKDF-SHA-256 (RFC
 * 5869) from one of the keys of the key file and the file's random salt. Nonces are random, 12 bytes, and stored in
 * front of the ciphertext; the tag of 16 bytes follows it. Private to repository/. */
#ifndef HF_REPOSITORY_SEAL_H
#define HF_REPOSITORY_SEAL_H

#include "repository/keys.h"

#include <stdint.h>

#define HF_SEAL_NONCE_BYTES 12
#define HF_SEAL_TAG_BYTES   16
#define HF_SEAL_EXTRA_BYTES (HF_SEAL_NONCE_BYTES + HF_SEAL_TAG_BYTES)
#define HF_SEAL_SALT_BYTES  16

struct hf_seal; /* the key of one file; one thread */

/* For a new file: with the first key and a new salt. */
HF_MUST_USE bool hf_seal_new(struct hf_seal **out, const struct hf_keys *keys, char key_id_out[HF_KEY_ID_BYTES],
                             unsigned char salt_out[HF_SEAL_SALT_BYTES], struct hf_error *err);
/* For a file that is there. HF_KEY_MISSING names the key that is wanted and those that are at hand. */
HF_MUST_USE bool hf_seal_open(struct hf_seal **out, const struct hf_keys *keys, const char *key_id,
                              const unsigned char salt[HF_SEAL_SALT_BYTES], struct hf_error *err);
void hf_seal_free(struct hf_seal *seal); /* accepts NULL; wipes */

/* out: bytes + HF_SEAL_EXTRA_BYTES; must not overlap data. */
HF_MUST_USE bool hf_seal_close(struct hf_seal *seal, const void *aad, size_t aad_bytes, const void *data, size_t bytes,
                               unsigned char *out, struct hf_error *err);
/* sealed_bytes includes HF_SEAL_EXTRA_BYTES; out: sealed_bytes less those; apart, or exactly where the ciphertext lies
 * (sealed + HF_SEAL_NONCE_BYTES). HF_DAMAGED: the tag does not fit, and out holds nothing. */
HF_MUST_USE bool hf_seal_unlock(struct hf_seal *seal, const void *aad, size_t aad_bytes, const unsigned char *sealed,
                                size_t sealed_bytes, void *out, struct hf_error *err);

/* A ciphertext too large to be held: sealed or unlocked piece by piece, in place. Apart from the seal it was made of,
 * so that others may go on meanwhile. What comes out of unlocking is not to be believed before the end. */
struct hf_seal_stream;
HF_MUST_USE bool hf_seal_stream_close(struct hf_seal_stream **out, const struct hf_seal *seal, const void *aad,
                                      size_t aad_bytes, unsigned char nonce_out[HF_SEAL_NONCE_BYTES],
                                      struct hf_error *err);
HF_MUST_USE bool hf_seal_stream_unlock(struct hf_seal_stream **out, const struct hf_seal *seal, const void *aad,
                                       size_t aad_bytes, const unsigned char nonce[HF_SEAL_NONCE_BYTES],
                                       struct hf_error *err);
HF_MUST_USE bool hf_seal_stream_turn(struct hf_seal_stream *stream, unsigned char *data, size_t bytes,
                                     struct hf_error *err);
/* Closing: fills the tag. Unlocking: compares it; HF_DAMAGED when it does not fit. */
HF_MUST_USE bool hf_seal_stream_end(struct hf_seal_stream *stream, unsigned char tag[HF_SEAL_TAG_BYTES],
                                    struct hf_error *err);
void hf_seal_stream_free(struct hf_seal_stream *stream); /* accepts NULL; wipes */

static inline void hf_auto_seal_stream(struct hf_seal_stream **slot)
{
    hf_seal_stream_free(*slot);
}

#endif
