#include "repository/seal.h"

#include "core/auto.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 30) /* OpenSSL counts in int */

/* Contexts that have their key already: only the nonce changes from one content to the next. */
struct hf_seal {
    EVP_CIPHER_CTX *closing, *unlocking;
    unsigned char key[HF_KEY_BYTES]; /* for streams */
};

struct hf_seal_stream {
    EVP_CIPHER_CTX *cipher;
    bool closing;
};

static bool make_seal(struct hf_seal **out, const struct hf_keys *keys, const char *key_id, const unsigned char *salt,
                      char key_id_out[HF_KEY_ID_BYTES], struct hf_error *err);
static EVP_CIPHER_CTX *new_cipher(const unsigned char *key, bool closing);
static bool begin(EVP_CIPHER_CTX *cipher, const unsigned char *nonce, const void *aad, size_t aad_bytes,
                  struct hf_error *err);
static bool turn(EVP_CIPHER_CTX *cipher, const unsigned char *data, size_t bytes, unsigned char *out,
                 struct hf_error *err);
static bool end_closing(EVP_CIPHER_CTX *cipher, unsigned char *tag, struct hf_error *err);
static bool end_unlocking(EVP_CIPHER_CTX *cipher, const unsigned char *tag, struct hf_error *err);
static bool make_stream(struct hf_seal_stream **out, const struct hf_seal *seal, bool closing, const void *aad,
                        size_t aad_bytes, const unsigned char *nonce, struct hf_error *err);
static bool random_bytes(unsigned char *out, int bytes, struct hf_error *err);
static bool refuse(struct hf_error *err);

bool hf_seal_new(struct hf_seal **out, const struct hf_keys *keys, char key_id_out[HF_KEY_ID_BYTES],
                 unsigned char salt_out[HF_SEAL_SALT_BYTES], struct hf_error *err)
{
    return random_bytes(salt_out, HF_SEAL_SALT_BYTES, err) && make_seal(out, keys, NULL, salt_out, key_id_out, err);
}

bool hf_seal_open(struct hf_seal **out, const struct hf_keys *keys, const char *key_id,
                  const unsigned char salt[HF_SEAL_SALT_BYTES], struct hf_error *err)
{
    char same[HF_KEY_ID_BYTES];
    return make_seal(out, keys, key_id, salt, same, err);
}

void hf_seal_free(struct hf_seal *seal)
{
    if (!seal)
        return;
    EVP_CIPHER_CTX_free(seal->closing); /* wipes its key */
    EVP_CIPHER_CTX_free(seal->unlocking);
    OPENSSL_cleanse(seal, sizeof(*seal));
    free(seal);
}

bool hf_seal_close(struct hf_seal *seal, const void *aad, size_t aad_bytes, const void *data, size_t bytes,
                   unsigned char *out, struct hf_error *err)
{
    return random_bytes(out, HF_SEAL_NONCE_BYTES, err) && begin(seal->closing, out, aad, aad_bytes, err) &&
           turn(seal->closing, data, bytes, out + HF_SEAL_NONCE_BYTES, err) &&
           end_closing(seal->closing, out + HF_SEAL_NONCE_BYTES + bytes, err);
}

bool hf_seal_unlock(struct hf_seal *seal, const void *aad, size_t aad_bytes, const unsigned char *sealed,
                    size_t sealed_bytes, void *out, struct hf_error *err)
{
    if (sealed_bytes < HF_SEAL_EXTRA_BYTES)
        return hf_error_set(err, HF_DAMAGED, "%zu bytes are too few for anything encrypted", sealed_bytes);
    size_t bytes = sealed_bytes - HF_SEAL_EXTRA_BYTES;
    if (begin(seal->unlocking, sealed, aad, aad_bytes, err) &&
        turn(seal->unlocking, sealed + HF_SEAL_NONCE_BYTES, bytes, out, err) &&
        end_unlocking(seal->unlocking, sealed + HF_SEAL_NONCE_BYTES + bytes, err))
        return true;
    OPENSSL_cleanse(out, bytes); /* nobody vouches for it */
    return false;
}

bool hf_seal_stream_close(struct hf_seal_stream **out, const struct hf_seal *seal, const void *aad, size_t aad_bytes,
                          unsigned char nonce_out[HF_SEAL_NONCE_BYTES], struct hf_error *err)
{
    return random_bytes(nonce_out, HF_SEAL_NONCE_BYTES, err) &&
           make_stream(out, seal, true, aad, aad_bytes, nonce_out, err);
}

bool hf_seal_stream_unlock(struct hf_seal_stream **out, const struct hf_seal *seal, const void *aad, size_t aad_bytes,
                           const unsigned char nonce[HF_SEAL_NONCE_BYTES], struct hf_error *err)
{
    return make_stream(out, seal, false, aad, aad_bytes, nonce, err);
}

bool hf_seal_stream_turn(struct hf_seal_stream *stream, unsigned char *data, size_t bytes, struct hf_error *err)
{
    return turn(stream->cipher, data, bytes, data, err);
}

bool hf_seal_stream_end(struct hf_seal_stream *stream, unsigned char tag[HF_SEAL_TAG_BYTES], struct hf_error *err)
{
    return stream->closing ? end_closing(stream->cipher, tag, err) : end_unlocking(stream->cipher, tag, err);
}

void hf_seal_stream_free(struct hf_seal_stream *stream)
{
    if (!stream)
        return;
    EVP_CIPHER_CTX_free(stream->cipher);
    free(stream);
}

static bool make_seal(struct hf_seal **out, const struct hf_keys *keys, const char *key_id, const unsigned char *salt,
                      char key_id_out[HF_KEY_ID_BYTES], struct hf_error *err)
{
    struct hf_seal *seal = hf_alloc(sizeof(*seal));
    if (!hf_keys_derive(keys, key_id, salt, HF_SEAL_SALT_BYTES, seal->key, key_id_out, err)) {
        hf_seal_free(seal);
        return false;
    }
    seal->closing = new_cipher(seal->key, true);
    seal->unlocking = new_cipher(seal->key, false);
    if (!seal->closing || !seal->unlocking) {
        hf_seal_free(seal);
        return refuse(err);
    }
    *out = seal;
    return true;
}

static EVP_CIPHER_CTX *new_cipher(const unsigned char *key, bool closing)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    if (cipher && EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, NULL, closing) == 1)
        return cipher;
    EVP_CIPHER_CTX_free(cipher);
    return NULL;
}

static bool begin(EVP_CIPHER_CTX *cipher, const unsigned char *nonce, const void *aad, size_t aad_bytes,
                  struct hf_error *err)
{
    int ignored;
    bool ok = EVP_CipherInit_ex(cipher, NULL, NULL, NULL, nonce, -1) == 1 &&
              (aad_bytes == 0 || EVP_CipherUpdate(cipher, NULL, &ignored, aad, (int)aad_bytes) == 1);
    return ok || refuse(err);
}

static bool turn(EVP_CIPHER_CTX *cipher, const unsigned char *data, size_t bytes, unsigned char *out,
                 struct hf_error *err)
{
    for (size_t done = 0; done < bytes;) {
        size_t piece = bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES;
        int turned;
        if (EVP_CipherUpdate(cipher, out + done, &turned, data + done, (int)piece) != 1 || (size_t)turned != piece)
            return refuse(err);
        done += piece;
    }
    return true;
}

static bool end_closing(EVP_CIPHER_CTX *cipher, unsigned char *tag, struct hf_error *err)
{
    unsigned char none[1];
    int ignored;
    bool ok = EVP_CipherFinal_ex(cipher, none, &ignored) == 1 &&
              EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, HF_SEAL_TAG_BYTES, tag) == 1;
    return ok || refuse(err);
}

static bool end_unlocking(EVP_CIPHER_CTX *cipher, const unsigned char *tag, struct hf_error *err)
{
    unsigned char expected[HF_SEAL_TAG_BYTES], none[1];
    int ignored;
    memcpy(expected, tag, sizeof(expected)); /* the interface wants it writable */
    if (EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, HF_SEAL_TAG_BYTES, expected) != 1)
        return refuse(err);
    if (EVP_CipherFinal_ex(cipher, none, &ignored) != 1)
        return hf_error_set(err, HF_DAMAGED, "what is encrypted does not match its tag");
    return true;
}

static bool make_stream(struct hf_seal_stream **out, const struct hf_seal *seal, bool closing, const void *aad,
                        size_t aad_bytes, const unsigned char *nonce, struct hf_error *err)
{
    struct hf_seal_stream *stream = hf_alloc(sizeof(*stream));
    stream->closing = closing;
    stream->cipher = new_cipher(seal->key, closing);
    if (!stream->cipher || !begin(stream->cipher, nonce, aad, aad_bytes, err)) {
        hf_seal_stream_free(stream);
        return refuse(err);
    }
    *out = stream;
    return true;
}

static bool random_bytes(unsigned char *out, int bytes, struct hf_error *err)
{
    if (RAND_bytes(out, bytes) != 1)
        return hf_error_set(err, HF_INTERNAL, "there are no random bytes to encrypt with");
    return true;
}

/* Nothing here depends on data, so that only a lack of memory or a library without the cipher comes here. */
static bool refuse(struct hf_error *err)
{
    return hf_error_set(err, HF_INTERNAL,
                        "the cipher AES-256-GCM cannot be used; is OpenSSL whole, and is there memory?");
}
