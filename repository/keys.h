/* Keys of the repository: AES-256 keys that encrypt snapshot files, an Ed25519 key that signs them, and the public keys
 * whose signatures are trusted. Immutable once loaded; any thread. Key bytes never appear in errors or logs. */
#ifndef HF_REPOSITORY_KEYS_H
#define HF_REPOSITORY_KEYS_H

#include "core/digest.h"
#include "core/error.h"
#include "repository/manifest.h"

#include <stddef.h>

#define HF_KEY_ID_BYTES    17 /* 16 hex digits and the NUL */
#define HF_KEY_BYTES       32 /* of AES-256 */
#define HF_SIGNATURE_BYTES 89 /* base64 of 64 bytes and the NUL */

struct hf_keys;

/* Each path may be NULL. encryption_key_file: one key a line, 64 hex digits; empty lines and those that begin with #
 * are skipped; the first key encrypts, all decrypt. signing_key_file: an Ed25519 private key, PEM (as openssl genpkey
 * -algorithm ed25519 writes it); its public key is trusted. trusted_keys_file: Ed25519 public keys, PEM, one behind the
 * other. HF_CONFIG says which file, which line, and what is wanted; so does a secret file that others may read. *out
 * owns: hf_keys_free. */
HF_MUST_USE bool hf_keys_load(struct hf_keys **out, const char *encryption_key_file, const char *signing_key_file,
                              const char *trusted_keys_file, struct hf_error *err);
void hf_keys_free(struct hf_keys *keys); /* accepts NULL; wipes */

bool hf_keys_encrypt(const struct hf_keys *keys); /* new files are encrypted; keys NULL: false */
bool hf_keys_sign(const struct hf_keys *keys);    /* new snapshots are signed; keys NULL: false */
bool hf_keys_trust(const struct hf_keys *keys);   /* there is a key whose signatures are trusted; keys NULL: false */

/* The key of one file, for seal.c: HKDF-SHA-256 of the key of that id (NULL: the first one) and the salt.
 * HF_KEY_MISSING names the key that is wanted and those at hand. key_out is the caller's to wipe. */
HF_MUST_USE bool hf_keys_derive(const struct hf_keys *keys, const char *key_id, const unsigned char *salt,
                                size_t salt_bytes, unsigned char key_out[HF_KEY_BYTES],
                                char key_id_out[HF_KEY_ID_BYTES], struct hf_error *err);

/* What is signed: "holdfast snapshot root v1\n" system "\n" id "\n" root hash as sha256:HEX "\n". Fills both. */
HF_MUST_USE bool hf_keys_sign_root(const struct hf_keys *keys, const char *system, const char *id,
                                   const struct hf_hash *root_hash, char signed_by_out[HF_KEY_ID_BYTES],
                                   char signature_out[HF_SIGNATURE_BYTES], struct hf_error *err);

enum hf_signature_verdict {
    HF_SIGNATURE_NONE,    /* the snapshot is not signed */
    HF_SIGNATURE_UNKNOWN, /* signed with a key that is not among the trusted ones */
    HF_SIGNATURE_GOOD,
    HF_SIGNATURE_BAD /* a trusted key's, and does not fit: somebody changed the snapshot */
};
/* keys NULL: none are trusted. */
enum hf_signature_verdict hf_keys_verify_root(const struct hf_keys *keys, const struct hf_manifest_header *header);

#endif
