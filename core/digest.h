/* SHA-256 (FIPS 180-4, by OpenSSL), hex (RFC 4648 base 16, lower case) and base64 (RFC 4648). */
#ifndef HF_CORE_DIGEST_H
#define HF_CORE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_HASH_BYTES 32
#define HF_HASH_HEX   65 /* with the terminator */
#define HF_HASH_LABEL 72 /* "sha256:" + hex + terminator */

struct hf_hash {
    unsigned char bytes[HF_HASH_BYTES];
};

/* One-shot; any thread; cheap for small input (the algorithm is fetched once per process). */
void hf_hash_of(const void *data, size_t bytes, struct hf_hash *out);

/* Streaming. */
struct hf_hasher; /* opaque */
struct hf_hasher *hf_hasher_new(void);
void hf_hasher_add(struct hf_hasher *hasher, const void *data, size_t bytes);
void hf_hasher_finish(struct hf_hasher *hasher, struct hf_hash *out); /* ready for new input afterwards */
void hf_hasher_free(struct hf_hasher *hasher);

bool hf_hash_equal(const struct hf_hash *a, const struct hf_hash *b);
void hf_hash_hex(const struct hf_hash *hash, char out[HF_HASH_HEX]);
void hf_hash_label(const struct hf_hash *hash, char out[HF_HASH_LABEL]); /* "sha256:<hex>" */
bool hf_hash_parse(const char *text, struct hf_hash *out);               /* hex with or without "sha256:" */

/* Equality in a time that does not depend on the content. */
bool hf_bytes_equal_constant_time(const void *a, const void *b, size_t bytes);

/* Base64 with padding. encode: out needs 4 * ((bytes + 2) / 3) + 1; returns the length. decode: strict; out needs
 * 3 * (length / 4); false when malformed. */
size_t hf_base64_encode(const void *data, size_t bytes, char *out);
bool hf_base64_decode(const char *text, size_t length, unsigned char *out, size_t *bytes_out);

#endif
