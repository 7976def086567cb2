#include "repository/keys.h"

#include "core/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX    ((size_t)64 << 10)
#define KEYS_MAX          1024
#define KEYS_NAMED        8 /* in a message */
#define SIGNATURE_RAW     64
#define PUBLIC_RAW        32
#define KEY_ID_TEXT       "holdfast key id v1"
#define DERIVE_TEXT       "holdfast snapshot file v2"
#define SIGNED_TEXT       "holdfast snapshot root v1\n"
#define PEM_PUBLIC_BEGIN  "-----BEGIN PUBLIC KEY-----"
#define PEM_ANY_BEGIN     "-----BEGIN "
#define ENCRYPTION_WANTED "one key a line, 64 hex digits, as `openssl rand -hex 32` prints"
#define SIGNING_WANTED    "an Ed25519 private key without a password, as `openssl genpkey -algorithm ed25519` writes it"
#define TRUSTED_WANTED    "Ed25519 public keys, as `openssl pkey -in KEY -pubout` writes them"

struct secret {
    char id[HF_KEY_ID_BYTES];
    unsigned char bytes[HF_KEY_BYTES];
};

struct trusted {
    char id[HF_KEY_ID_BYTES];
    EVP_PKEY *key;
};

struct hf_keys {
    struct secret *secrets; /* the first encrypts */
    size_t secrets_count;
    EVP_PKEY *signing; /* NULL: none */
    char signing_id[HF_KEY_ID_BYTES];
    struct trusted *trusted; /* the signing key's public part among them */
    size_t trusted_count;
};

/* The text of a file, wiped when it is given back. */
struct text {
    char *data; /* ends with a NUL */
    size_t bytes;
};

static bool load_encryption(struct hf_keys *keys, const char *path, struct hf_error *err);
static bool take_line(struct hf_keys *keys, const char *line, size_t bytes, const char *path, int number,
                      struct hf_error *err);
static bool decode_hex(const char *text, size_t bytes, unsigned char *out);
static void name_secret(struct secret *secret);
static bool load_signing(struct hf_keys *keys, const char *path, struct hf_error *err);
static bool load_trusted(struct hf_keys *keys, const char *path, struct hf_error *err);
static bool trust(struct hf_keys *keys, EVP_PKEY *key, char id_out[HF_KEY_ID_BYTES], struct hf_error *err);
static const struct trusted *find_trusted(const struct hf_keys *keys, const char *id);
static EVP_PKEY *read_pem(const char *pem, size_t bytes, bool secret);
static int refuse_password(char *buffer, int bytes, int writing, void *context);
static bool read_text(struct text *out, const char *path, bool secret, struct hf_error *err);
static bool check_file(int fd, const char *path, bool secret, struct hf_error *err);
static void text_done(struct text *text);
static const struct secret *find_secret(const struct hf_keys *keys, const char *id);
static bool refuse_missing(const struct hf_keys *keys, const char *key_id, struct hf_error *err);
static bool derive(const struct secret *secret, const unsigned char *salt, size_t salt_bytes, unsigned char *out);
static char *signed_message(const char *system, const char *id, const struct hf_hash *root_hash);

bool hf_keys_load(struct hf_keys **out, const char *encryption_key_file, const char *signing_key_file,
                  const char *trusted_keys_file, struct hf_error *err)
{
    struct hf_keys *keys = hf_alloc(sizeof(*keys));
    if ((encryption_key_file && !load_encryption(keys, encryption_key_file, err)) ||
        (trusted_keys_file && !load_trusted(keys, trusted_keys_file, err)) ||
        (signing_key_file && !load_signing(keys, signing_key_file, err))) {
        hf_keys_free(keys);
        return false;
    }
    *out = keys;
    return true;
}

void hf_keys_free(struct hf_keys *keys)
{
    if (!keys)
        return;
    if (keys->secrets)
        OPENSSL_cleanse(keys->secrets, KEYS_MAX * sizeof(*keys->secrets));
    free(keys->secrets);
    for (size_t i = 0; i < keys->trusted_count; i++)
        EVP_PKEY_free(keys->trusted[i].key);
    free(keys->trusted);
    EVP_PKEY_free(keys->signing); /* wipes */
    free(keys);
}

bool hf_keys_encrypt(const struct hf_keys *keys)
{
    return keys && keys->secrets_count > 0;
}

bool hf_keys_trust(const struct hf_keys *keys)
{
    return keys && keys->trusted_count > 0;
}

bool hf_keys_sign(const struct hf_keys *keys)
{
    return keys && keys->signing;
}

bool hf_keys_derive(const struct hf_keys *keys, const char *key_id, const unsigned char *salt, size_t salt_bytes,
                    unsigned char key_out[HF_KEY_BYTES], char key_id_out[HF_KEY_ID_BYTES], struct hf_error *err)
{
    const struct secret *secret = key_id ? find_secret(keys, key_id) : hf_keys_encrypt(keys) ? keys->secrets : NULL;
    if (!secret)
        return refuse_missing(keys, key_id ? key_id : "any", err);
    if (!derive(secret, salt, salt_bytes, key_out))
        return hf_error_set(err, HF_INTERNAL, "HKDF-SHA-256 cannot be used; is OpenSSL whole?");
    memcpy(key_id_out, secret->id, HF_KEY_ID_BYTES);
    return true;
}

bool hf_keys_sign_root(const struct hf_keys *keys, const char *system, const char *id, const struct hf_hash *root_hash,
                       char signed_by_out[HF_KEY_ID_BYTES], char signature_out[HF_SIGNATURE_BYTES],
                       struct hf_error *err)
{
    HF_AUTO(free) char *message = signed_message(system, id, root_hash);
    unsigned char raw[SIGNATURE_RAW];
    size_t bytes = sizeof(raw);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestSignInit(context, NULL, NULL, NULL, keys->signing) == 1 &&
              EVP_DigestSign(context, raw, &bytes, (const unsigned char *)message, strlen(message)) == 1 &&
              bytes == sizeof(raw);
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    if (!ok)
        return hf_error_set(err, HF_INTERNAL, "snapshot %s could not be signed", id);
    memcpy(signed_by_out, keys->signing_id, HF_KEY_ID_BYTES);
    hf_base64_encode(raw, sizeof(raw), signature_out);
    return true;
}

enum hf_signature_verdict hf_keys_verify_root(const struct hf_keys *keys, const struct hf_manifest_header *header)
{
    const char *signed_by = header->signed_by ? header->signed_by : "";
    const char *signature = header->signature ? header->signature : "";
    if (!signed_by[0] && !signature[0])
        return HF_SIGNATURE_NONE;
    const struct trusted *trusted = find_trusted(keys, signed_by);
    if (!trusted)
        return HF_SIGNATURE_UNKNOWN;
    unsigned char raw[HF_SIGNATURE_BYTES];
    size_t bytes;
    if (strlen(signature) != HF_SIGNATURE_BYTES - 1 ||
        !hf_base64_decode(signature, HF_SIGNATURE_BYTES - 1, raw, &bytes) || bytes != SIGNATURE_RAW)
        return HF_SIGNATURE_BAD;
    HF_AUTO(free) char *message = signed_message(header->system, header->id, &header->root_hash);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, trusted->key) == 1 &&
                EVP_DigestVerify(context, raw, bytes, (const unsigned char *)message, strlen(message)) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good ? HF_SIGNATURE_GOOD : HF_SIGNATURE_BAD;
}

static bool load_encryption(struct hf_keys *keys, const char *path, struct hf_error *err)
{
    struct text text = {0};
    keys->secrets = hf_alloc(KEYS_MAX * sizeof(*keys->secrets));
    bool ok = read_text(&text, path, true, err);
    int number = 0;
    for (const char *line = text.data; ok && line && *line;) {
        const char *newline = strchr(line, '\n');
        size_t bytes = newline ? (size_t)(newline - line) : strlen(line);
        ok = take_line(keys, line, bytes, path, ++number, err);
        line = newline ? newline + 1 : NULL;
    }
    text_done(&text);
    if (ok && keys->secrets_count == 0)
        return hf_error_set(err, HF_CONFIG, "the encryption key file %s holds no key; wanted is " ENCRYPTION_WANTED,
                            path);
    return ok;
}

static bool take_line(struct hf_keys *keys, const char *line, size_t bytes, const char *path, int number,
                      struct hf_error *err)
{
    while (bytes > 0 && strchr(" \t\r", line[bytes - 1]))
        bytes--;
    while (bytes > 0 && strchr(" \t", line[0]))
        line++, bytes--;
    if (bytes == 0 || line[0] == '#')
        return true;
    if (keys->secrets_count == KEYS_MAX)
        return hf_error_set(err, HF_CONFIG, "the encryption key file %s, line %d: more than %d keys", path, number,
                            KEYS_MAX);
    struct secret *secret = &keys->secrets[keys->secrets_count];
    if (!decode_hex(line, bytes, secret->bytes))
        return hf_error_set(err, HF_CONFIG,
                            "the encryption key file %s, line %d: that is no key; wanted is " ENCRYPTION_WANTED, path,
                            number);
    name_secret(secret);
    for (size_t i = 0; i < keys->secrets_count; i++) {
        if (CRYPTO_memcmp(keys->secrets[i].bytes, secret->bytes, HF_KEY_BYTES) == 0)
            return hf_error_set(err, HF_CONFIG, "the encryption key file %s, line %d: the same key stands further up",
                                path, number);
    }
    keys->secrets_count++;
    return true;
}

static bool decode_hex(const char *text, size_t bytes, unsigned char *out)
{
    if (bytes != 2 * HF_KEY_BYTES)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        int digit = OPENSSL_hexchar2int((unsigned char)text[i]);
        if (digit < 0)
            return false;
        out[i / 2] = (unsigned char)(i % 2 ? out[i / 2] | digit : digit << 4);
    }
    return true;
}

static void hex_id(const unsigned char *digest, char out[HF_KEY_ID_BYTES])
{
    struct hf_hash hash = {{0}};
    char hex[HF_HASH_HEX];
    memcpy(hash.bytes, digest, (HF_KEY_ID_BYTES - 1) / 2);
    hf_hash_hex(&hash, hex);
    memcpy(out, hex, HF_KEY_ID_BYTES - 1);
    out[HF_KEY_ID_BYTES - 1] = '\0';
}

static void name_secret(struct secret *secret)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned bytes;
    HF_ASSERT(HMAC(EVP_sha256(), secret->bytes, HF_KEY_BYTES, (const unsigned char *)KEY_ID_TEXT, strlen(KEY_ID_TEXT),
                   digest, &bytes) != NULL);
    hex_id(digest, secret->id);
}

static bool load_signing(struct hf_keys *keys, const char *path, struct hf_error *err)
{
    struct text text = {0};
    if (!read_text(&text, path, true, err))
        return false;
    keys->signing = read_pem(text.data, text.bytes, true);
    text_done(&text);
    if (!keys->signing)
        return hf_error_set(err, HF_CONFIG, "the signing key file %s holds no such key; wanted is " SIGNING_WANTED,
                            path);
    EVP_PKEY_up_ref(keys->signing);
    return trust(keys, keys->signing, keys->signing_id, err);
}

static bool load_trusted(struct hf_keys *keys, const char *path, struct hf_error *err)
{
    struct text text = {0};
    bool ok = read_text(&text, path, false, err);
    int line = 1;
    const char *counted = text.data;
    for (const char *at = text.data; ok && (at = strstr(at, PEM_ANY_BEGIN)); at += strlen(PEM_ANY_BEGIN)) {
        for (; counted < at; counted++)
            line += *counted == '\n';
        char id[HF_KEY_ID_BYTES];
        bool public = strncmp(at, PEM_PUBLIC_BEGIN, strlen(PEM_PUBLIC_BEGIN)) == 0;
        EVP_PKEY *key = public ? read_pem(at, text.bytes - (size_t)(at - text.data), false) : NULL;
        size_t before = keys->trusted_count;
        if (!key)
            ok = hf_error_set(err, HF_CONFIG,
                              "the trusted keys file %s, line %d: that is no such key; wanted are " TRUSTED_WANTED,
                              path, line);
        else if (!trust(keys, key, id, err))
            ok = hf_error_wrap(err, "the trusted keys file %s, line %d", path, line);
        else if (keys->trusted_count == before)
            ok = hf_error_set(err, HF_CONFIG, "the trusted keys file %s, line %d: the same key stands further up", path,
                              line);
    }
    text_done(&text);
    if (ok && keys->trusted_count == 0)
        return hf_error_set(err, HF_CONFIG, "the trusted keys file %s holds no key; wanted are " TRUSTED_WANTED, path);
    return ok;
}

/* Takes key. One that is trusted already is not added again. */
static bool trust(struct hf_keys *keys, EVP_PKEY *key, char id_out[HF_KEY_ID_BYTES], struct hf_error *err)
{
    unsigned char raw[PUBLIC_RAW];
    size_t bytes = sizeof(raw);
    if (EVP_PKEY_get_raw_public_key(key, raw, &bytes) != 1 || bytes != sizeof(raw) || keys->trusted_count == KEYS_MAX) {
        EVP_PKEY_free(key);
        ERR_clear_error();
        return hf_error_set(err, HF_CONFIG, "the key cannot be used, or there are more than %d", KEYS_MAX);
    }
    struct hf_hash hash;
    hf_hash_of(raw, sizeof(raw), &hash);
    hex_id(hash.bytes, id_out);
    if (find_trusted(keys, id_out)) {
        EVP_PKEY_free(key);
        return true;
    }
    keys->trusted = hf_realloc(keys->trusted, (keys->trusted_count + 1) * sizeof(*keys->trusted));
    struct trusted *trusted = &keys->trusted[keys->trusted_count++];
    memcpy(trusted->id, id_out, HF_KEY_ID_BYTES);
    trusted->key = key;
    return true;
}

static const struct trusted *find_trusted(const struct hf_keys *keys, const char *id)
{
    for (size_t i = 0; keys && i < keys->trusted_count; i++) {
        if (strcmp(keys->trusted[i].id, id) == 0)
            return &keys->trusted[i];
    }
    return NULL;
}

/* The first key in pem; NULL unless it is of Ed25519. */
static EVP_PKEY *read_pem(const char *pem, size_t bytes, bool secret)
{
    BIO *source = BIO_new_mem_buf(pem, (int)bytes);
    HF_ASSERT(source);
    EVP_PKEY *key = secret ? PEM_read_bio_PrivateKey(source, NULL, refuse_password, NULL)
                           : PEM_read_bio_PUBKEY(source, NULL, refuse_password, NULL);
    BIO_free(source);
    ERR_clear_error();
    if (key && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

/* Without it the library would ask the terminal. */
static int refuse_password(char *buffer, int bytes, int writing, void *context)
{
    (void)buffer, (void)bytes, (void)writing, (void)context;
    return -1;
}

static bool read_text(struct text *out, const char *path, bool secret, struct hf_error *err)
{
    HF_AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe of that name must not hang us */
    if (fd < 0)
        return hf_error_set(err, HF_CONFIG, "the key file %s cannot be opened: %s", path, strerror(errno));
    if (!check_file(fd, path, secret, err))
        return false;
    struct text text = {.data = hf_alloc(FILE_BYTES_MAX + 2)};
    while (text.bytes <= FILE_BYTES_MAX) {
        ssize_t got = read(fd, text.data + text.bytes, FILE_BYTES_MAX + 1 - text.bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int error_number = errno;
            text_done(&text);
            return hf_error_set(err, HF_CONFIG, "the key file %s cannot be read: %s", path, strerror(error_number));
        }
        if (got == 0)
            break;
        text.bytes += (size_t)got;
    }
    if (text.bytes > FILE_BYTES_MAX || strlen(text.data) != text.bytes) {
        text_done(&text);
        return hf_error_set(err, HF_CONFIG, "the key file %s is no text, or longer than %zu bytes", path,
                            FILE_BYTES_MAX);
    }
    *out = text;
    return true;
}

/* The group may read it: that is how a service gets a file that belongs to root. */
static bool check_file(int fd, const char *path, bool secret, struct hf_error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return hf_error_set(err, HF_CONFIG, "the key file %s cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return hf_error_set(err, HF_CONFIG, "the key file %s is not a regular file", path);
    if (secret && (status.st_mode & 0007) != 0)
        return hf_error_set(err, HF_CONFIG,
                            "the key file %s is open to everyone (mode %04o); make it secret: chmod o= %s", path,
                            (unsigned)status.st_mode & 07777, path);
    return true;
}

static void text_done(struct text *text)
{
    if (text->data)
        OPENSSL_cleanse(text->data, FILE_BYTES_MAX + 2);
    free(text->data);
    *text = (struct text){0};
}

static const struct secret *find_secret(const struct hf_keys *keys, const char *id)
{
    for (size_t i = 0; keys && i < keys->secrets_count; i++) {
        if (strcmp(keys->secrets[i].id, id) == 0)
            return &keys->secrets[i];
    }
    return NULL;
}

static bool refuse_missing(const struct hf_keys *keys, const char *key_id, struct hf_error *err)
{
    char names[KEYS_NAMED * (HF_KEY_ID_BYTES + 1) + 8] = "none";
    size_t count = keys ? keys->secrets_count : 0, at = 0;
    for (size_t i = 0; i < count && i < KEYS_NAMED; i++)
        at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", i ? ", " : "", keys->secrets[i].id);
    if (count > KEYS_NAMED)
        snprintf(names + at, sizeof(names) - at, ", ...");
    return hf_error_set(err, HF_KEY_MISSING,
                        "it is encrypted with key %s and the keys at hand are: %s; add the key to the file that "
                        "PERSISTENCE_ENCRYPTION_KEY_FILE names",
                        key_id, names);
}

static bool derive(const struct secret *secret, const unsigned char *salt, size_t salt_bytes, unsigned char *out)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret->bytes, HF_KEY_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, salt_bytes),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (char[]){DERIVE_TEXT}, strlen(DERIVE_TEXT)),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok = context && EVP_KDF_derive(context, out, HF_KEY_BYTES, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    ERR_clear_error();
    return ok;
}

static char *signed_message(const char *system, const char *id, const struct hf_hash *root_hash)
{
    char label[HF_HASH_LABEL];
    hf_hash_label(root_hash, label);
    return hf_format(SIGNED_TEXT "%s\n%s\n%s\n", system, id, label);
}
