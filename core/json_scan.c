/* Accepts in one pass what is plainly well-formed. Whatever is rare or doubtful is answered with false, so that the
 * parser, which also knows how to explain an error, decides; that keeps this file free of hard cases. */
#include "core/json_scan.h"

#include "core/escape.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX         64
#define NUMBER_DIGITS_MAX 200 /* with two digits of exponent no such number overflows a double */
#define SLOT_COUNT_FIRST  64
#define SLOT_COUNT_MAX    (1 << 20)
#define PROBES_MAX        128 /* chance never needs as many in a table half full; an attack on the hash does */

/* A key seen, with the object that holds it; text NULL: free. */
struct key_slot {
    const unsigned char *text;
    size_t bytes;
    uint32_t object;
    uint32_t hash;
};

struct scanner {
    const unsigned char *at, *end;
    int depth;
    uint32_t objects[DEPTH_MAX]; /* number of the open object; 0: an array */
    uint32_t object_last;
    struct key_slot *slots; /* NULL until the first key */
    uint32_t slot_count;    /* a power of two */
    uint32_t key_count;
};

enum step { REFUSED, VALUE_NEXT, VALUE_DONE, TEXT_DONE };

static bool scan(struct scanner *s);
static enum step begin_value(struct scanner *s);
static enum step open_container(struct scanner *s, bool is_object);
static enum step end_value(struct scanner *s);
static bool take_key(struct scanner *s);
static bool remember_key(struct scanner *s, const unsigned char *text, size_t bytes);
static bool grow_slots(struct scanner *s);
static struct key_slot *slot_of(struct scanner *s, const struct key_slot *key);
static bool take_string(struct scanner *s, bool *escaped_out);
static bool take_escape(struct scanner *s);
static bool take_number(struct scanner *s);
static size_t take_digits(struct scanner *s);
static bool take_word(struct scanner *s, const char *word);
static bool take(struct scanner *s, char c);
static void skip_space(struct scanner *s);

bool hf_json_scan(const void *text, size_t bytes)
{
    struct scanner s;
    s.at = text;
    s.end = s.at + bytes;
    s.depth = 0;
    s.object_last = 0;
    s.slots = NULL;
    s.slot_count = 0;
    s.key_count = 0;
    bool ok = bytes > 0 && scan(&s);
    free(s.slots);
    return ok;
}

static bool scan(struct scanner *s)
{
    enum step step = VALUE_NEXT;
    while (step == VALUE_NEXT || step == VALUE_DONE)
        step = step == VALUE_NEXT ? begin_value(s) : end_value(s);
    return step == TEXT_DONE;
}

static enum step begin_value(struct scanner *s)
{
    bool escaped;
    skip_space(s);
    if (s->at == s->end)
        return REFUSED;
    switch (*s->at) {
    case '{':
        return open_container(s, true);
    case '[':
        return open_container(s, false);
    case '"':
        return take_string(s, &escaped) ? VALUE_DONE : REFUSED;
    case 't':
        return take_word(s, "true") ? VALUE_DONE : REFUSED;
    case 'f':
        return take_word(s, "false") ? VALUE_DONE : REFUSED;
    case 'n':
        return take_word(s, "null") ? VALUE_DONE : REFUSED;
    default:
        return take_number(s) ? VALUE_DONE : REFUSED;
    }
}

static enum step open_container(struct scanner *s, bool is_object)
{
    s->at++;
    skip_space(s);
    if (take(s, is_object ? '}' : ']'))
        return VALUE_DONE;
    if (s->depth == DEPTH_MAX)
        return REFUSED;
    s->objects[s->depth++] = is_object ? ++s->object_last : 0;
    return !is_object || take_key(s) ? VALUE_NEXT : REFUSED;
}

static enum step end_value(struct scanner *s)
{
    skip_space(s);
    if (s->depth == 0)
        return s->at == s->end ? TEXT_DONE : REFUSED;
    bool is_object = s->objects[s->depth - 1] != 0;
    if (take(s, ',')) {
        skip_space(s);
        return !is_object || take_key(s) ? VALUE_NEXT : REFUSED;
    }
    if (!take(s, is_object ? '}' : ']'))
        return REFUSED;
    s->depth--;
    return VALUE_DONE;
}

/* "key": and nothing of the value. */
static bool take_key(struct scanner *s)
{
    const unsigned char *start = s->at + 1;
    bool escaped;
    if (s->at == s->end || *s->at != '"' || !take_string(s, &escaped) || escaped)
        return false;
    size_t bytes = (size_t)(s->at - 1 - start);
    skip_space(s);
    return take(s, ':') && remember_key(s, start, bytes);
}

static bool remember_key(struct scanner *s, const unsigned char *text, size_t bytes)
{
    if (s->key_count >= s->slot_count / 2 && !grow_slots(s))
        return false;
    struct key_slot key = {text, bytes, s->objects[s->depth - 1], 0};
    key.hash = UINT32_C(2166136261) ^ key.object * UINT32_C(2654435761);
    for (size_t i = 0; i < bytes; i++)
        key.hash = (key.hash ^ text[i]) * UINT32_C(16777619);
    key.hash = (key.hash ^ key.hash >> 16) * UINT32_C(0x85ebca6b);
    key.hash ^= key.hash >> 13;
    struct key_slot *slot = slot_of(s, &key);
    if (!slot || slot->text)
        return false;
    *slot = key;
    s->key_count++;
    return true;
}

static bool grow_slots(struct scanner *s)
{
    struct scanner grown = *s;
    grown.slot_count = s->slot_count ? s->slot_count * 2 : SLOT_COUNT_FIRST;
    if (grown.slot_count > SLOT_COUNT_MAX)
        return false;
    grown.slots = calloc(grown.slot_count, sizeof(*grown.slots));
    bool ok = grown.slots != NULL;
    for (uint32_t i = 0; ok && i < s->slot_count; i++) {
        if (!s->slots[i].text)
            continue;
        struct key_slot *slot = slot_of(&grown, &s->slots[i]);
        ok = slot != NULL;
        if (ok)
            *slot = s->slots[i];
    }
    free(ok ? s->slots : grown.slots);
    if (ok)
        *s = grown;
    return ok;
}

/* The slot that holds an equal key, or the free one where it belongs; NULL after too many probes. */
static struct key_slot *slot_of(struct scanner *s, const struct key_slot *key)
{
    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        struct key_slot *slot = &s->slots[(key->hash + i) & (s->slot_count - 1)];
        if (!slot->text || (slot->hash == key->hash && slot->object == key->object && slot->bytes == key->bytes &&
                            memcmp(slot->text, key->text, key->bytes) == 0))
            return slot;
    }
    return NULL;
}

static bool take_string(struct scanner *s, bool *escaped_out)
{
    *escaped_out = false;
    s->at++;
    for (;;) {
        s->at += hf_escape_plain_bytes((const char *)s->at, (size_t)(s->end - s->at));
        if (s->at == s->end || *s->at < 0x20)
            return false;
        if (take(s, '"'))
            return true;
        if (*s->at == '\\') {
            *escaped_out = true;
            if (!take_escape(s))
                return false;
            continue;
        }
        size_t bytes = hf_utf8_character_bytes(s->at, (size_t)(s->end - s->at));
        if (bytes == 0)
            return false;
        s->at += bytes;
    }
}

/* Short escapes, and \u outside the surrogates. */
static bool take_escape(struct scanner *s)
{
    s->at++;
    if (s->at == s->end || *s->at == '\0' || !strchr("\"\\/bfnrtu", *s->at))
        return false;
    if (*s->at++ != 'u')
        return true;
    if (s->end - s->at < 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (s->at[i] == '\0' || !strchr("0123456789abcdefABCDEF", s->at[i]))
            return false;
    if ((s->at[0] | 0x20) == 'd' && s->at[1] >= '8')
        return false;
    s->at += 4;
    return true;
}

static bool take_number(struct scanner *s)
{
    take(s, '-');
    const unsigned char *first = s->at;
    size_t digits = take_digits(s);
    if (digits == 0 || digits > NUMBER_DIGITS_MAX || (*first == '0' && digits > 1))
        return false;
    if (take(s, '.') && take_digits(s) == 0)
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        size_t exponent_digits = take_digits(s);
        return exponent_digits == 1 || exponent_digits == 2;
    }
    return true;
}

static size_t take_digits(struct scanner *s)
{
    const unsigned char *start = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return (size_t)(s->at - start);
}

static bool take_word(struct scanner *s, const char *word)
{
    size_t bytes = strlen(word);
    if ((size_t)(s->end - s->at) < bytes || memcmp(s->at, word, bytes) != 0)
        return false;
    s->at += bytes;
    return true;
}

static bool take(struct scanner *s, char c)
{
    if (s->at == s->end || *s->at != (unsigned char)c)
        return false;
    s->at++;
    return true;
}

static void skip_space(struct scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}
