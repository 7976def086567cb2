#include "core/digest.h"

#include "core/auto.h"
#include "core/error.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

struct hf_hasher {
    EVP_MD_CTX *context;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *algorithm;         /* set once, never freed: it lives as long as the process */
static pthread_key_t context_key; /* frees a thread's context when the thread ends */
static _Thread_local EVP_MD_CTX *thread_context;

static void fetch_algorithm(void);
static void free_context(void *context);
static EVP_MD_CTX *context_of_thread(void);
static void start(EVP_MD_CTX *context);
static void add(EVP_MD_CTX *context, const void *data, size_t bytes);
static void finish(EVP_MD_CTX *context, struct hf_hash *out);
static int value_of_hex(char c);
static int value_of_base64(char c);

void hf_hash_of(const void *data, size_t bytes, struct hf_hash *out)
{
    EVP_MD_CTX *context = context_of_thread();
    start(context);
    add(context, data, bytes);
    finish(context, out);
}

struct hf_hasher *hf_hasher_new(void)
{
    pthread_once(&once, fetch_algorithm);
    struct hf_hasher *hasher = hf_alloc(sizeof(*hasher));
    hasher->context = EVP_MD_CTX_new();
    HF_ASSERT(hasher->context != NULL);
    start(hasher->context);
    return hasher;
}

void hf_hasher_add(struct hf_hasher *hasher, const void *data, size_t bytes)
{
    add(hasher->context, data, bytes);
}

void hf_hasher_finish(struct hf_hasher *hasher, struct hf_hash *out)
{
    finish(hasher->context, out);
    start(hasher->context);
}

void hf_hasher_free(struct hf_hasher *hasher)
{
    if (!hasher)
        return;
    EVP_MD_CTX_free(hasher->context);
    free(hasher);
}

bool hf_hash_equal(const struct hf_hash *a, const struct hf_hash *b)
{
    return memcmp(a->bytes, b->bytes, HF_HASH_BYTES) == 0;
}

void hf_hash_hex(const struct hf_hash *hash, char out[HF_HASH_HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < HF_HASH_BYTES; i++) {
        out[2 * i] = digits[hash->bytes[i] >> 4];
        out[2 * i + 1] = digits[hash->bytes[i] & 15];
    }
    out[2 * HF_HASH_BYTES] = '\0';
}

void hf_hash_label(const struct hf_hash *hash, char out[HF_HASH_LABEL])
{
    memcpy(out, "sha256:", 7);
    hf_hash_hex(hash, out + 7);
}

bool hf_hash_parse(const char *text, struct hf_hash *out)
{
    if (strncmp(text, "sha256:", 7) == 0)
        text += 7;
    struct hf_hash hash;
    for (size_t i = 0; i < HF_HASH_BYTES; i++) {
        int high = value_of_hex(text[2 * i]);
        int low = high < 0 ? -1 : value_of_hex(text[2 * i + 1]);
        if (low < 0)
            return false;
        hash.bytes[i] = (unsigned char)(high << 4 | low);
    }
    if (text[2 * HF_HASH_BYTES] != '\0')
        return false;
    *out = hash;
    return true;
}

bool hf_bytes_equal_constant_time(const void *a, const void *b, size_t bytes)
{
    return CRYPTO_memcmp(a, b, bytes) == 0;
}

size_t hf_base64_encode(const void *data, size_t bytes, char *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = data;
    char *end = out;
    for (size_t i = 0; i < bytes; i += 3, end += 4) {
        size_t left = bytes - i;
        unsigned group = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        end[0] = alphabet[group >> 18];
        end[1] = alphabet[group >> 12 & 63];
        end[2] = left > 1 ? alphabet[group >> 6 & 63] : '=';
        end[3] = left > 2 ? alphabet[group & 63] : '=';
    }
    *end = '\0';
    return (size_t)(end - out);
}

bool hf_base64_decode(const char *text, size_t length, unsigned char *out, size_t *bytes_out)
{
    if (length % 4 != 0)
        return false;
    size_t padding = length == 0 || text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;
    size_t used = 0;
    for (size_t i = 0; i < length; i += 4) {
        size_t missing = i + 4 == length ? padding : 0;
        unsigned group = 0;
        for (size_t j = 0; j < 4; j++) {
            int value = j >= 4 - missing ? 0 : value_of_base64(text[i + j]);
            if (value < 0)
                return false;
            group = group << 6 | (unsigned)value;
        }
        /* Bits that padding leaves over must be zero: one text for each content. */
        if ((missing == 1 && (group & 0xff)) || (missing == 2 && (group & 0xffff)))
            return false;
        for (size_t j = 0; j < 3 - missing; j++)
            out[used++] = (unsigned char)(group >> (16 - 8 * j));
    }
    *bytes_out = used;
    return true;
}

static void fetch_algorithm(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    HF_ASSERT(algorithm != NULL);
    HF_ASSERT(pthread_key_create(&context_key, free_context) == 0);
}

static void free_context(void *context)
{
    thread_context = NULL;
    EVP_MD_CTX_free(context);
}

static EVP_MD_CTX *context_of_thread(void)
{
    if (!thread_context) {
        pthread_once(&once, fetch_algorithm);
        thread_context = EVP_MD_CTX_new();
        HF_ASSERT(thread_context != NULL);
        HF_ASSERT(pthread_setspecific(context_key, thread_context) == 0);
    }
    return thread_context;
}

/* Hashing memory with a fetched algorithm fails only when memory is short or the library broken: not to be handled. */
static void start(EVP_MD_CTX *context)
{
    HF_ASSERT(EVP_DigestInit_ex2(context, algorithm, NULL) == 1);
}

static void add(EVP_MD_CTX *context, const void *data, size_t bytes)
{
    HF_ASSERT(EVP_DigestUpdate(context, data, bytes) == 1);
}

static void finish(EVP_MD_CTX *context, struct hf_hash *out)
{
    unsigned bytes = 0;
    HF_ASSERT(EVP_DigestFinal_ex(context, out->bytes, &bytes) == 1);
    HF_ASSERT(bytes == HF_HASH_BYTES);
}

static int value_of_hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int value_of_base64(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}
