/* Reading a request and filling a reply: what every handler needs. */
#include "api/request.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER_BYTES_MAX 2048 /* of a formatted header value */

static bool parse_int(const char *text, int64_t *out);
static bool media_range_matches(const char *range, size_t bytes, const char *media_type);
static bool weight_is_zero(const char *parameters, size_t bytes);
static int add_to_buf(const char *text, size_t bytes, void *buf);

void hf_reply_init(struct hf_reply *reply)
{
    *reply = (struct hf_reply){0};
    hf_buf_init(&reply->body, HF_REPLY_BYTES_MAX);
}

void hf_reply_done(struct hf_reply *reply)
{
    hf_buf_done(&reply->body);
    hf_blob_unref(reply->blob);
    if (reply->produce_free)
        reply->produce_free(reply->produce_context);
    if (reply->stream_leave)
        reply->stream_leave(reply->stream_context);
    hf_reply_init(reply);
}

void hf_request_complete(struct hf_request *request)
{
    request->complete(request);
}

void hf_request_put_aside(struct hf_request *request)
{
    request->put_aside(request);
}

bool hf_request_resume(struct hf_request *request)
{
    return request->resume(request);
}

const char *hf_request_query(const struct hf_request *request, const char *name)
{
    for (int i = 0; i < request->query_count; i++)
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    return NULL;
}

bool hf_request_query_int(const struct hf_request *request, const char *name, int64_t min, int64_t max, int64_t *out,
                          struct hf_error *err)
{
    const char *text = hf_request_query(request, name);
    if (!text)
        return true;
    int64_t value;
    if (!parse_int(text, &value) || value < min || value > max)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "query parameter %s is \"%.64s\"; it must be a whole number from %lld to %lld", name, text,
                            (long long)min, (long long)max);
    *out = value;
    return true;
}

bool hf_request_accepts(const struct hf_request *request, const char *media_type)
{
    const char *at = request->headers[HF_H_ACCEPT];
    while (at && *at) {
        size_t bytes = strcspn(at, ",");
        if (media_range_matches(at, bytes, media_type))
            return true;
        at += bytes + (at[bytes] == ',');
    }
    return false;
}

void hf_reply_header(struct hf_request *request, struct hf_reply *reply, const char *name, const char *value)
{
    int room = (int)(sizeof(reply->headers) / sizeof(reply->headers[0]));
    HF_ASSERT(reply->header_count < room);
    char *copy = hf_arena_strdup(&request->arena, value);
    /* A value made from what a client sent must not be able to start a header of its own. */
    for (char *c = copy; *c; c++)
        if (*c == '\r' || *c == '\n')
            *c = ' ';
    reply->headers[reply->header_count++] = (struct hf_reply_header){name, copy};
}

/* Without printf: reads send three of these each. */
void hf_reply_header_int(struct hf_request *request, struct hf_reply *reply, const char *name, int64_t value)
{
    char digits[24];
    char *at = digits + sizeof(digits) - 1;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    *at = '\0';
    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        *--at = '-';
    hf_reply_header(request, reply, name, at);
}

void hf_reply_header_format(struct hf_request *request, struct hf_reply *reply, const char *name, const char *format,
                            ...)
{
    char value[HEADER_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    hf_reply_header(request, reply, name, value);
}

void hf_reply_json(struct hf_reply *reply, int status, const struct json_t *value)
{
    hf_buf_reset(&reply->body);
    reply->status = status;
    reply->content_type = "application/json";
    if (json_dump_callback(value, add_to_buf, &reply->body, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        reply->body.failed = true;
    hf_buf_add_char(&reply->body, '\n');
}

/* Plain decimal digits with an optional minus; strtoll alone would let spaces and a plus pass. */
static bool parse_int(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-');
    if (!*digits || strspn(digits, "0123456789") != strlen(digits))
        return false;
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

static bool media_range_matches(const char *range, size_t bytes, const char *media_type)
{
    while (bytes > 0 && isspace((unsigned char)*range)) {
        range++;
        bytes--;
    }
    size_t name_bytes = 0;
    while (name_bytes < bytes && range[name_bytes] != ';' && !isspace((unsigned char)range[name_bytes]))
        name_bytes++;
    return name_bytes == strlen(media_type) && strncasecmp(range, media_type, name_bytes) == 0 &&
           !weight_is_zero(range + name_bytes, bytes - name_bytes);
}

/* True for ";q=0", ";q=0.000" and the like. */
static bool weight_is_zero(const char *parameters, size_t bytes)
{
    for (size_t i = 0; i + 1 < bytes; i++) {
        bool starts = i > 0 && (parameters[i - 1] == ';' || parameters[i - 1] == ' ');
        if (!starts || tolower((unsigned char)parameters[i]) != 'q' || parameters[i + 1] != '=')
            continue;
        for (i += 2; i < bytes && (parameters[i] == '0' || parameters[i] == '.'); i++)
            ;
        return i >= bytes || !isdigit((unsigned char)parameters[i]);
    }
    return false;
}

static int add_to_buf(const char *text, size_t bytes, void *buf)
{
    return hf_buf_add(buf, text, bytes) ? 0 : -1;
}
