#include "cli/print.h"

#include "core/clock.h"
#include "core/escape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SPAN_MAX_MS (INT64_C(36525) * 24 * 3600 * 1000)

struct range {
    uint32_t first, last;
};

/* Unicode's East Asian Width W and F, as far as terminals agree, and what has no width. In ascending order. */
static const struct range wide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x25fd, 0x25fe},   {0x2614, 0x2615},
    {0x2648, 0x2653},   {0x267f, 0x267f},   {0x2693, 0x2693},   {0x26a1, 0x26a1},   {0x26aa, 0x26ab},
    {0x26bd, 0x26be},   {0x26d4, 0x26d4},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
    {0x274c, 0x274c},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},   {0x2e80, 0x303e},
    {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},
    {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f004, 0x1f004},
    {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f19a}, {0x1f200, 0x1f265}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
    {0x1f7e0, 0x1f7eb}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
};
static const struct range zero[] = {
    {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},     {0x900, 0x902},
    {0xe31, 0xe31},   {0xe34, 0xe3a},   {0xe47, 0xe4e},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},   {0x200b, 0x200d},
    {0x2060, 0x2060}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef},
};

/* Formatting characters that reorder or hide what stands around them (bidirectional controls, line separators). */
static const struct range deceptive[] = {{0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff}};

static uint32_t decode(const char *text, size_t bytes);
static bool is_in(uint32_t point, const struct range *ranges, size_t count);
static size_t width_of(uint32_t point);

#define COUNT(table) (sizeof(table) / sizeof(table[0]))

void hf_text_clean(struct hf_buf *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        size_t length = hf_utf8_character_bytes((const unsigned char *)text + i, bytes - i);
        uint32_t point = length ? decode(text + i, length) : 0;
        if (length == 0)
            hf_buf_add_text(out, "\xef\xbf\xbd");
        else if (point < 0x20 || point == 0x7f)
            hf_buf_add_format(out, "\\x%02x", (unsigned)point);
        else if ((point >= 0x80 && point < 0xa0) || is_in(point, deceptive, COUNT(deceptive)))
            hf_buf_add_format(out, "\\u%04x", (unsigned)point);
        else
            hf_buf_add(out, text + i, length);
        i += length ? length : 1;
    }
}

size_t hf_text_width(const char *text)
{
    size_t width = 0, bytes = strlen(text);
    for (size_t i = 0; i < bytes;) {
        size_t length = hf_utf8_character_bytes((const unsigned char *)text + i, bytes - i);
        width += length ? width_of(decode(text + i, length)) : 1;
        i += length ? length : 1;
    }
    return width;
}

void hf_text_fit(struct hf_buf *out, const char *text, size_t width)
{
    size_t bytes = strlen(text), used = 0;
    if (hf_text_width(text) <= width) {
        hf_buf_add(out, text, bytes);
        return;
    }
    for (size_t i = 0; i < bytes && width > 0;) {
        size_t length = hf_utf8_character_bytes((const unsigned char *)text + i, bytes - i);
        size_t columns = length ? width_of(decode(text + i, length)) : 1;
        if (used + columns > width - 1)
            break;
        hf_buf_add(out, text + i, length ? length : 1);
        used += columns;
        i += length ? length : 1;
    }
    if (width > 0)
        hf_buf_add_text(out, "\xe2\x80\xa6");
}

void hf_number_format(int64_t number, char out[HF_NUMBER_BYTES])
{
    char digits[24];
    uint64_t value = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, value), used = 0;
    if (number < 0)
        out[used++] = '-';
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
}

void hf_age_format(const char *at, int64_t now_ms, char out[HF_AGE_BYTES])
{
    int64_t at_ms;
    char text[HF_AGE_BYTES - 16];
    if (!*at || !hf_time_parse(at, &at_ms)) {
        snprintf(out, HF_AGE_BYTES, "never");
        return;
    }
    hf_duration_format(at_ms > now_ms ? at_ms - now_ms : now_ms - at_ms, text, sizeof(text));
    snprintf(out, HF_AGE_BYTES, at_ms > now_ms ? "in %s" : "%s ago", text);
}

bool hf_span_parse(const char *text, int64_t *ms_out)
{
    static const struct {
        char letter;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    int64_t value = 0, unit_ms = 1000;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > SPAN_MAX_MS)
            return false;
        value = value * 10 + (*at - '0');
    }
    if (at == text)
        return false;
    if (*at) {
        unit_ms = 0;
        for (size_t i = 0; i < COUNT(units); i++)
            if (*at == units[i].letter && at[1] == '\0')
                unit_ms = units[i].ms;
    }
    if (unit_ms == 0 || value > SPAN_MAX_MS / unit_ms)
        return false;
    *ms_out = value * unit_ms;
    return true;
}

/* Of a well-formed character of 1 to 4 bytes. */
static uint32_t decode(const char *text, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    uint32_t point = bytes == 1 ? at[0] : at[0] & (0xffu >> (bytes + 1));
    for (size_t i = 1; i < bytes; i++)
        point = point << 6 | (at[i] & 0x3f);
    return point;
}

static bool is_in(uint32_t point, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count && ranges[i].first <= point; i++)
        if (point <= ranges[i].last)
            return true;
    return false;
}

static size_t width_of(uint32_t point)
{
    return is_in(point, zero, COUNT(zero)) ? 0 : is_in(point, wide, COUNT(wide)) ? 2 : 1;
}
