#include "core/buf.h"

#include "core/auto.h"
#include "core/escape.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 256

static bool make_room(struct hf_buf *buf, size_t more_bytes);

void hf_buf_init(struct hf_buf *buf, size_t bytes_max)
{
    HF_ASSERT(bytes_max < SIZE_MAX / 4);
    *buf = (struct hf_buf){.bytes_max = bytes_max};
}

void hf_buf_done(struct hf_buf *buf)
{
    free(buf->data);
    *buf = (struct hf_buf){.bytes_max = buf->bytes_max};
}

void hf_buf_reset(struct hf_buf *buf)
{
    buf->bytes = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

bool hf_buf_add(struct hf_buf *buf, const void *data, size_t bytes)
{
    if (!make_room(buf, bytes))
        return false;
    if (bytes > 0)
        memcpy(buf->data + buf->bytes, data, bytes);
    buf->bytes += bytes;
    buf->data[buf->bytes] = '\0';
    return true;
}

bool hf_buf_add_text(struct hf_buf *buf, const char *text)
{
    return hf_buf_add(buf, text, strlen(text));
}

bool hf_buf_add_char(struct hf_buf *buf, char c)
{
    return hf_buf_add(buf, &c, 1);
}

bool hf_buf_add_format(struct hf_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = buf->data && !buf->failed ? buf->capacity - buf->bytes : 0;
    int length = vsnprintf(room ? buf->data + buf->bytes : NULL, room, format, args);
    va_end(args);
    HF_ASSERT(length >= 0);
    bool fits = make_room(buf, (size_t)length);
    if (fits && (size_t)length >= room)
        vsnprintf(buf->data + buf->bytes, (size_t)length + 1, format, again);
    va_end(again);
    if (fits)
        buf->bytes += (size_t)length;
    else if (buf->data)
        buf->data[buf->bytes] = '\0';
    return fits;
}

bool hf_buf_add_u64(struct hf_buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return hf_buf_add(buf, digits + at, sizeof(digits) - at);
}

bool hf_buf_add_json_string(struct hf_buf *buf, const char *text, size_t bytes)
{
    size_t start = buf->bytes;
    bool ok = hf_buf_add_char(buf, '"');
    size_t at = 0;
    while (ok && at < bytes) {
        size_t plain = hf_escape_plain_bytes(text + at, bytes - at);
        ok = hf_buf_add(buf, text + at, plain);
        at += plain;
        if (ok && at < bytes) {
            char out[HF_ESCAPE_BYTES];
            size_t out_bytes;
            at += hf_escape_character(text + at, bytes - at, out, &out_bytes);
            ok = hf_buf_add(buf, out, out_bytes);
        }
    }
    ok = ok && hf_buf_add_char(buf, '"');
    if (!ok && buf->data) {
        buf->bytes = start;
        buf->data[start] = '\0';
    }
    return ok;
}

char *hf_buf_reserve(struct hf_buf *buf, size_t more_bytes)
{
    if (!make_room(buf, more_bytes))
        return NULL;
    /* Zeroed, so that the content stays terminated however much of the room the caller fills. */
    memset(buf->data + buf->bytes, 0, more_bytes + 1);
    return buf->data + buf->bytes;
}

char *hf_buf_take(struct hf_buf *buf, size_t *bytes_out)
{
    if (buf->failed) {
        bool failed = buf->failed;
        hf_buf_done(buf);
        buf->failed = failed;
        return NULL;
    }
    char *data = buf->data ? buf->data : hf_alloc(1);
    if (bytes_out)
        *bytes_out = buf->bytes;
    *buf = (struct hf_buf){.bytes_max = buf->bytes_max};
    return data;
}

/* Room for more_bytes and the terminator. A buffer that failed once refuses everything: its content has no gaps. */
static bool make_room(struct hf_buf *buf, size_t more_bytes)
{
    if (buf->failed)
        return false;
    if (more_bytes > buf->bytes_max - buf->bytes) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->bytes + more_bytes + 1;
    if (need <= buf->capacity)
        return true;
    size_t capacity = buf->capacity * 2 > CAPACITY_MIN ? buf->capacity * 2 : CAPACITY_MIN;
    if (capacity < need)
        capacity = need;
    if (capacity > buf->bytes_max + 1)
        capacity = buf->bytes_max + 1;
    char *moved = realloc(buf->data, capacity);
    if (!moved) {
        buf->failed = true;
        return false;
    }
    buf->data = moved;
    buf->capacity = capacity;
    buf->data[buf->bytes] = '\0';
    return true;
}
