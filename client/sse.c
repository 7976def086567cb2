#include "client/sse.h"

#include <string.h>

#define BOM "\xEF\xBB\xBF"
/* Longer is nobody's pause. */
#define RETRY_DIGITS_MAX 9

static bool skip_bom(struct hf_sse *sse, const char **at, const char *end);
static bool take_line(struct hf_sse *sse);
static bool take_field(struct hf_sse *sse, size_t name_bytes, const char *value, size_t bytes);
static void take_retry(struct hf_sse *sse, const char *value, size_t bytes);
static bool dispatch(struct hf_sse *sse);
static bool set(struct hf_buf *buf, const char *text, size_t bytes);
static const char *text_of(const struct hf_buf *buf);

void hf_sse_init(struct hf_sse *sse, size_t bytes_max, bool (*on_event)(void *, const struct hf_sse_event *),
                 void *context)
{
    *sse = (struct hf_sse){.retry_ms = -1, .on_event = on_event, .context = context};
    struct hf_buf *const buffers[] = {&sse->line, &sse->data, &sse->type, &sse->id, &sse->last_id};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        hf_buf_init(buffers[i], bytes_max);
}

void hf_sse_done(struct hf_sse *sse)
{
    struct hf_buf *const buffers[] = {&sse->line, &sse->data, &sse->type, &sse->id, &sse->last_id};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        hf_buf_done(buffers[i]);
}

void hf_sse_restart(struct hf_sse *sse)
{
    hf_buf_reset(&sse->line);
    hf_buf_reset(&sse->data);
    hf_buf_reset(&sse->type);
    set(&sse->id, text_of(&sse->last_id), sse->last_id.bytes);
    sse->bom = 0;
    sse->after_cr = false;
    sse->refused = false;
}

bool hf_sse_feed(struct hf_sse *sse, const void *data, size_t bytes)
{
    const char *at = data, *end = at + bytes;
    if (!skip_bom(sse, &at, end))
        return false;
    while (at < end) {
        if (sse->after_cr && *at == '\n')
            at++;
        sse->after_cr = false;
        const char *stop = at;
        while (stop < end && *stop != '\r' && *stop != '\n')
            stop++;
        if (!hf_buf_add(&sse->line, at, (size_t)(stop - at)))
            return false;
        if (stop == end)
            return true;
        sse->after_cr = *stop == '\r';
        at = stop + 1;
        bool ok = take_line(sse);
        hf_buf_reset(&sse->line);
        if (!ok)
            return false;
    }
    return true;
}

static bool skip_bom(struct hf_sse *sse, const char **at, const char *end)
{
    while (sse->bom >= 0 && *at < end) {
        if (**at != BOM[sse->bom]) {
            /* It only began like one. */
            size_t seen = (size_t)sse->bom;
            sse->bom = -1;
            return hf_buf_add(&sse->line, BOM, seen);
        }
        (*at)++;
        sse->bom = sse->bom == 2 ? -1 : sse->bom + 1;
    }
    return true;
}

static bool take_line(struct hf_sse *sse)
{
    if (sse->line.bytes == 0)
        return dispatch(sse);
    const char *line = sse->line.data, *colon = memchr(line, ':', sse->line.bytes);
    if (!colon)
        return take_field(sse, sse->line.bytes, "", 0);
    const char *value = colon + 1, *end = line + sse->line.bytes;
    if (value < end && *value == ' ')
        value++;
    return take_field(sse, (size_t)(colon - line), value, (size_t)(end - value));
}

/* An empty name is a comment; names that are not known mean nothing. */
static bool take_field(struct hf_sse *sse, size_t name_bytes, const char *value, size_t bytes)
{
    const char *name = sse->line.data;
    if (name_bytes == 5 && memcmp(name, "event", 5) == 0)
        return set(&sse->type, value, bytes);
    if (name_bytes == 4 && memcmp(name, "data", 4) == 0)
        return hf_buf_add(&sse->data, value, bytes) && hf_buf_add_char(&sse->data, '\n');
    if (name_bytes == 2 && memcmp(name, "id", 2) == 0)
        return memchr(value, '\0', bytes) != NULL || set(&sse->id, value, bytes);
    if (name_bytes == 5 && memcmp(name, "retry", 5) == 0)
        take_retry(sse, value, bytes);
    return true;
}

static void take_retry(struct hf_sse *sse, const char *value, size_t bytes)
{
    int64_t retry_ms = 0;
    if (bytes == 0 || bytes > RETRY_DIGITS_MAX)
        return;
    for (size_t i = 0; i < bytes; i++) {
        if (value[i] < '0' || value[i] > '9')
            return;
        retry_ms = retry_ms * 10 + (value[i] - '0');
    }
    sse->retry_ms = retry_ms;
}

static bool dispatch(struct hf_sse *sse)
{
    if (!set(&sse->last_id, text_of(&sse->id), sse->id.bytes))
        return false;
    if (sse->data.bytes > 0) {
        sse->data.data[--sse->data.bytes] = '\0'; /* the last LF */
        const struct hf_sse_event event = {
            .type = sse->type.bytes > 0 ? sse->type.data : "message",
            .data = sse->data.data,
            .data_bytes = sse->data.bytes,
            .last_id = text_of(&sse->last_id),
        };
        sse->refused = !sse->on_event(sse->context, &event);
    }
    hf_buf_reset(&sse->data);
    hf_buf_reset(&sse->type);
    return !sse->refused;
}

static bool set(struct hf_buf *buf, const char *text, size_t bytes)
{
    hf_buf_reset(buf);
    return hf_buf_add(buf, text, bytes);
}

static const char *text_of(const struct hf_buf *buf)
{
    return buf->data ? buf->data : "";
}
