#include "core/escape.h"

#include <stdbool.h>
#include <string.h>

static bool is_continuation(unsigned char c);

size_t hf_utf8_character_bytes(const unsigned char *text, size_t bytes)
{
    unsigned char lead = text[0];
    if (lead < 0x80)
        return 1;
    size_t need = lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0) == 0xe0 ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
    if (need == 0 || need > bytes)
        return 0;
    for (size_t i = 1; i < need; i++)
        if (!is_continuation(text[i]))
            return 0;
    /* Overlong forms, surrogates and what lies past U+10FFFF show in the second byte. */
    unsigned char second = text[1];
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
        (lead == 0xf4 && second > 0x8f))
        return 0;
    return need;
}

size_t hf_escape_character(const char *text, size_t bytes, char out[HF_ESCAPE_BYTES], size_t *out_bytes)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    unsigned char c = (unsigned char)text[0];
    const char *found = c ? strchr(shorts, c) : NULL;
    if (found) {
        out[0] = '\\';
        out[1] = letters[found - shorts];
        *out_bytes = 2;
        return 1;
    }
    if (c < 0x20 || c == 0x7f) {
        memcpy(out, "\\u00", 4);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        *out_bytes = 6;
        return 1;
    }
    size_t taken = hf_utf8_character_bytes((const unsigned char *)text, bytes);
    if (taken == 0) {
        memcpy(out, "\xef\xbf\xbd", 3);
        *out_bytes = 3;
        return 1;
    }
    memcpy(out, text, taken);
    *out_bytes = taken;
    return taken;
}

size_t hf_escape_plain_bytes(const char *text, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && text[i] >= 0x20 && text[i] < 0x7f && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}
