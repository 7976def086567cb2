#include "api/conditions.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/committer.h"

#define KEY_BYTES_MAX 200

static const char *skip_blanks(const char *text);
static const char *without_weak_marks(struct hf_arena *arena, const char *list);
static bool parse_number(const char **text, uint64_t *out);
static bool read_sha256(const char *name, const char *header, struct hf_hash *out, bool *found_out,
                        struct hf_error *err);
static bool decode_sha256(const char *value, size_t length, struct hf_hash *out);

bool hf_etag_list_check(const char *header, const char *text, struct hf_error *err)
{
    const char *at = skip_blanks(text);
    if (strcmp(at, "*") == 0)
        return true;
    int count = 0;
    while (*at) {
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        const char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
        if (!end)
            break;
        count++;
        at = skip_blanks(end + 1);
        if (*at == ',')
            at = skip_blanks(at + 1);
        else if (*at)
            break;
    }
    if (*at || count == 0)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "header %s must be * or ETags with their quotes, such as \"42-9f86d081884c7d65\"", header);
    return true;
}

bool hf_condition_for_read(struct hf_request *request, const struct hf_head *head, enum hf_read_condition *out,
                           struct hf_error *err)
{
    const char *if_match = request->headers[HF_H_IF_MATCH];
    const char *if_none_match = request->headers[HF_H_IF_NONE_MATCH];
    *out = HF_READ_GO;
    if (if_match) {
        if (!hf_etag_list_check("If-Match", if_match, err))
            return false;
        if (!hf_etag_matches(if_match, head)) {
            *out = HF_READ_FAILED;
            return true;
        }
    }
    if (if_none_match) {
        if (!hf_etag_list_check("If-None-Match", if_none_match, err))
            return false;
        /* Weak comparison (section 8.8.3.2): a proxy that compresses makes our tags weak. */
        if (hf_etag_matches(without_weak_marks(&request->arena, if_none_match), head))
            *out = HF_READ_NOT_MODIFIED;
    }
    return true;
}

enum hf_range hf_range_for_read(const struct hf_request *request, const struct hf_head *head, size_t *offset_out,
                                size_t *bytes_out)
{
    const char *text = request->headers[HF_H_RANGE];
    const char *if_range = request->headers[HF_H_IF_RANGE];
    if (request->method != HF_GET || !text || strncasecmp(text, "bytes=", 6) != 0)
        return HF_RANGE_ALL;
    if (if_range && (strcmp(if_range, "*") == 0 || !hf_etag_matches(if_range, head)))
        return HF_RANGE_ALL;
    uint64_t total = (uint64_t)head->bytes, first = 0, last = UINT64_MAX;
    text = skip_blanks(text + 6);
    bool has_first = parse_number(&text, &first);
    if (*text++ != '-')
        return HF_RANGE_ALL;
    bool has_last = parse_number(&text, &last);
    if (*skip_blanks(text) != '\0' || (!has_first && !has_last) || (has_first && has_last && last < first))
        return HF_RANGE_ALL;
    if (!has_first) { /* the last so many */
        if (last == 0)
            return HF_RANGE_OUTSIDE;
        first = last < total ? total - last : 0;
        last = UINT64_MAX;
    }
    if (first >= total)
        return HF_RANGE_OUTSIDE;
    if (last >= total)
        last = total - 1;
    *offset_out = first;
    *bytes_out = last - first + 1;
    return HF_RANGE_PART;
}

bool hf_idempotency_key_read(const struct hf_request *request, const char **out, struct hf_error *err)
{
    const char *key = request->headers[HF_H_IDEMPOTENCY_KEY];
    size_t length = key ? strlen(key) : 0;
    bool good = !key || (length > 0 && length <= KEY_BYTES_MAX);
    for (size_t i = 0; good && i < length; i++)
        good = key[i] > ' ' && key[i] < 127;
    if (!good)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "header Idempotency-Key must be 1 to %d printable characters without spaces",
                            KEY_BYTES_MAX);
    *out = key;
    return true;
}

/* A dictionary of RFC 8941 whose values are byte sequences: sha-256=:…:, sha-512=:…: */
bool hf_content_digest_check(const char *header, const struct hf_hash *hash, struct hf_error *err)
{
    struct hf_hash given;
    bool has_sha256;
    if (!read_sha256("Content-Digest", header, &given, &has_sha256, err))
        return false;
    return !has_sha256 || hf_hash_equal(&given, hash) ||
           hf_error_set(err, HF_DIGEST_MISMATCH,
                        "the body that arrived does not have the SHA-256 that Content-Digest states");
}

bool hf_repr_digest_read(const char *header, struct hf_hash *out, struct hf_error *err)
{
    bool has_sha256;
    return read_sha256("Repr-Digest", header, out, &has_sha256, err) &&
           (has_sha256 || hf_error_set(err, HF_INVALID_REQUEST, "header Repr-Digest must have a sha-256"));
}

/* The sha-256 of a dictionary of digests; of several the last, as RFC 8941 has it. */
static bool read_sha256(const char *name, const char *header, struct hf_hash *out, bool *found_out,
                        struct hf_error *err)
{
    const char *at = skip_blanks(header);
    *found_out = false;
    while (*at) {
        size_t key = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_-.*");
        const char *value = at + key;
        if (key == 0 || strncmp(value, "=:", 2) != 0)
            break;
        value += 2;
        size_t length = strcspn(value, ":");
        if (value[length] != ':')
            break;
        if (key == strlen("sha-256") && strncmp(at, "sha-256", key) == 0) {
            if (!decode_sha256(value, length, out))
                return hf_error_set(err, HF_INVALID_REQUEST, "header %s: sha-256 must be 32 bytes in base64", name);
            *found_out = true;
        }
        at = skip_blanks(value + length + 1);
        if (*at == '\0')
            return true;
        if (*at != ',')
            break;
        at = skip_blanks(at + 1);
    }
    return hf_error_set(err, HF_INVALID_REQUEST, "header %s must be like sha-256=:BASE64:", name);
}

void hf_repr_digest_format(const struct hf_hash *hash, char out[HF_REPR_DIGEST_BYTES])
{
    memcpy(out, "sha-256=:", 9);
    size_t length = 9 + hf_base64_encode(hash->bytes, HF_HASH_BYTES, out + 9);
    out[length] = ':';
    out[length + 1] = '\0';
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

static const char *without_weak_marks(struct hf_arena *arena, const char *list)
{
    if (!strstr(list, "W/\""))
        return list;
    char *copy = hf_arena_strdup(arena, list), *to = copy;
    bool quoted = false;
    for (const char *from = list; *from; from++) {
        if (!quoted && strncmp(from, "W/\"", 3) == 0)
            from += 2;
        if (*from == '"')
            quoted = !quoted;
        *to++ = *from;
    }
    *to = '\0';
    return copy;
}

/* Digits; more than 18 of them mean a very large number. */
static bool parse_number(const char **text, uint64_t *out)
{
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0)
        return false;
    *out = digits > 18 ? UINT64_C(1) << 62 : strtoull(*text, NULL, 10);
    *text += digits;
    return true;
}

static bool decode_sha256(const char *value, size_t length, struct hf_hash *out)
{
    unsigned char given[HF_HASH_BYTES + 4];
    size_t bytes = 0;
    if (length > 48 || !hf_base64_decode(value, length, given, &bytes) || bytes != HF_HASH_BYTES)
        return false;
    memcpy(out->bytes, given, HF_HASH_BYTES);
    return true;
}
