#include "api/batch_body.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/conditions.h"
#include "api/json_walk.h"
#include "api/upload.h"
#include "core/id.h"
#include "core/json.h"

/* One item as it is written. */
struct parts {
    struct hf_json_span state; /* at NULL: not given */
    const char *state_base64;
    const char *component, *content_type, *if_match, *if_none_match, *event;
};

struct reader {
    struct hf_request *request;
    struct hf_save_item *items;
    int count, capacity;
};

static bool read_json(struct reader *reader, struct hf_error *err);
static bool read_lines(struct reader *reader, struct hf_error *err);
static bool add_item(struct reader *reader, struct hf_json_span span, struct hf_error *err);
static bool read_parts(struct reader *reader, struct hf_json_span span, struct parts *out, struct hf_error *err);
static bool take_part(struct reader *reader, struct parts *parts, const char *name, struct hf_json_span value,
                      struct hf_error *err);
static bool read_text(struct reader *reader, struct hf_json_span span, const char *name, const char **out,
                      struct hf_error *err);
static bool check_event(const char *event, struct hf_error *err);
static bool make_item(const struct parts *parts, struct hf_save_item *item, struct hf_error *err);
static bool decode_base64(const char *text, struct hf_blob **out, struct hf_error *err);
static bool check_distinct(const struct reader *reader, struct hf_error *err);
static int compare_names(const void *a, const void *b);

bool hf_batch_body_read(struct hf_request *request, struct hf_save_item **items_out, int *count_out,
                        struct hf_error *err)
{
    const char *content_type = request->headers[HF_H_CONTENT_TYPE];
    struct reader reader = {.request = request};
    if (!request->body || request->body->bytes == 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "the body must be {\"states\":[…]} or one item a line");
    bool lines = content_type && strncasecmp(content_type, "application/x-ndjson", 20) == 0;
    if (!lines && content_type && !hf_content_type_is_json(content_type))
        return hf_error_set(err, HF_UNSUPPORTED_MEDIA,
                            "the body must be sent with Content-Type: application/json or application/x-ndjson");
    bool good = lines ? read_lines(&reader, err) : read_json(&reader, err);
    if (good && reader.count == 0)
        good = hf_error_set(err, HF_INVALID_REQUEST, "the batch holds no states");
    if (!good || !check_distinct(&reader, err)) {
        hf_batch_items_free(reader.items, reader.count);
        return false;
    }
    *items_out = reader.items;
    *count_out = reader.count;
    return true;
}

void hf_batch_items_free(struct hf_save_item *items, int count)
{
    for (int i = 0; i < count; i++) {
        hf_blob_unref(items[i].body);
        items[i].body = NULL;
    }
}

static bool read_json(struct reader *reader, struct hf_error *err)
{
    const struct hf_blob *body = reader->request->body;
    struct hf_json_span name, value = {(const char *)body->data, body->bytes};
    struct hf_json_walk walk, states;
    if (!hf_json_check(body->data, body->bytes, err))
        return false;
    if (!hf_json_walk_enter(&walk, value, '{'))
        return hf_error_set(err, HF_INVALID_REQUEST, "the body must be an object: {\"states\":[…]}");
    while (hf_json_walk_next(&walk, &name, &value)) {
        if (name.bytes != 8 || memcmp(name.at, "\"states\"", 8) != 0)
            return hf_error_set(err, HF_INVALID_REQUEST, "unknown field %.*s; known are: states",
                                name.bytes < 64 ? (int)name.bytes : 64, name.at);
        if (!hf_json_walk_enter(&states, value, '['))
            return hf_error_set(err, HF_INVALID_REQUEST, "field \"states\" must be an array");
        while (hf_json_walk_next(&states, &name, &value))
            if (!add_item(reader, value, err))
                return hf_error_wrap(err, "states[%d]", reader->count);
    }
    return true;
}

static bool read_lines(struct reader *reader, struct hf_error *err)
{
    const char *at = (const char *)reader->request->body->data;
    const char *end = at + reader->request->body->bytes;
    for (int number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct hf_json_span line = {at, (size_t)((newline ? newline : end) - at)};
        at = newline ? newline + 1 : end;
        if (line.bytes == 0 || (line.bytes == 1 && *line.at == '\r'))
            continue; /* such as after the last newline */
        if (!hf_json_check(line.at, line.bytes, err) || !add_item(reader, line, err))
            return hf_error_wrap(err, "line %d of the batch", number);
    }
    return true;
}

/* The array grows by doubling within the arena: at most twice the memory that is needed. */
static bool add_item(struct reader *reader, struct hf_json_span span, struct hf_error *err)
{
    struct parts parts = {0};
    if (reader->count == HF_BATCH_ITEMS_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST, "a batch holds at most %d states", HF_BATCH_ITEMS_MAX);
    if (reader->count == reader->capacity) {
        int capacity = reader->capacity ? 2 * reader->capacity : 16;
        struct hf_save_item *items = hf_arena_alloc(&reader->request->arena, (size_t)capacity * sizeof(*items));
        if (reader->count > 0)
            memcpy(items, reader->items, (size_t)reader->count * sizeof(*items));
        reader->items = items;
        reader->capacity = capacity;
    }
    struct hf_save_item *item = &reader->items[reader->count];
    *item = (struct hf_save_item){0};
    if (!read_parts(reader, span, &parts, err))
        return false;
    if (!make_item(&parts, item, err)) {
        hf_blob_unref(item->body);
        return false;
    }
    reader->count++;
    return true;
}

static bool read_parts(struct reader *reader, struct hf_json_span span, struct parts *out, struct hf_error *err)
{
    struct hf_json_walk walk;
    struct hf_json_span name_span, value;
    if (!hf_json_walk_enter(&walk, span, '{'))
        return hf_error_set(err, HF_INVALID_REQUEST, "an item must be an object");
    while (hf_json_walk_next(&walk, &name_span, &value)) {
        const char *name;
        if (!read_text(reader, name_span, "name", &name, err) || !take_part(reader, out, name, value, err))
            return false;
    }
    if (!out->component || !hf_name_is_valid(out->component, strlen(out->component)))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "field \"component\" must be a name: letters, digits and . _ : - only");
    if ((out->state.at != NULL) == (out->state_base64 != NULL))
        return hf_error_set(err, HF_INVALID_REQUEST, "component %s: give either state or stateBase64", out->component);
    return true;
}

static bool take_part(struct reader *reader, struct parts *parts, const char *name, struct hf_json_span value,
                      struct hf_error *err)
{
    if (strcmp(name, "state") == 0) {
        parts->state = value;
        return true;
    }
    if (strcmp(name, "component") == 0)
        return read_text(reader, value, name, &parts->component, err);
    if (strcmp(name, "stateBase64") == 0)
        return read_text(reader, value, name, &parts->state_base64, err);
    if (strcmp(name, "contentType") == 0)
        return read_text(reader, value, name, &parts->content_type, err);
    if (strcmp(name, "ifMatch") == 0)
        return read_text(reader, value, name, &parts->if_match, err) &&
               hf_etag_list_check("ifMatch", parts->if_match, err);
    if (strcmp(name, "ifNoneMatch") == 0)
        return read_text(reader, value, name, &parts->if_none_match, err) &&
               (strcmp(parts->if_none_match, "*") == 0 ||
                hf_error_set(err, HF_INVALID_REQUEST, "field \"ifNoneMatch\" of an item can only be \"*\""));
    if (strcmp(name, "event") == 0)
        return read_text(reader, value, name, &parts->event, err) && check_event(parts->event, err);
    return hf_error_set(
        err, HF_INVALID_REQUEST,
        "unknown field \"%.64s\"; known are: component, state, stateBase64, contentType, ifMatch, ifNoneMatch, event",
        name);
}

/* A JSON string, decoded into the arena. */
static bool read_text(struct reader *reader, struct hf_json_span span, const char *name, const char **out,
                      struct hf_error *err)
{
    HF_AUTO(json) json_t *value = hf_json_parse(span.at, span.bytes, err);
    if (!value)
        return false;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%.64s\" must be a string", name);
    *out = hf_arena_strndup(&reader->request->arena, json_string_value(value), json_string_length(value));
    return true;
}

static bool check_event(const char *event, struct hf_error *err)
{
    return hf_name_is_valid(event, strlen(event)) ||
           hf_error_set(err, HF_INVALID_REQUEST,
                        "field \"event\" must be a name: letters, digits and . _ : - of at most %d characters",
                        HF_NAME_MAX);
}

static bool make_item(const struct parts *parts, struct hf_save_item *item, struct hf_error *err)
{
    item->component = parts->component;
    item->if_match = parts->if_match;
    item->if_none_match_any = parts->if_none_match != NULL;
    item->event = parts->event;
    item->content_type = parts->content_type   ? parts->content_type
                         : parts->state_base64 ? "application/octet-stream"
                                               : "application/json";
    if (parts->state_base64) {
        if (!decode_base64(parts->state_base64, &item->body, err))
            return false;
        return hf_upload_check(item, NULL, err);
    }
    if (!hf_content_type_is_json(item->content_type))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "component %s: state is JSON, so contentType must be too; send other bytes as stateBase64",
                            item->component);
    item->body = hf_blob_copy(parts->state.at, parts->state.bytes);
    if (!item->body)
        return hf_error_set(err, HF_OVERLOADED, "not enough memory for the batch");
    return hf_upload_check(item, NULL, err);
}

static bool decode_base64(const char *text, struct hf_blob **out, struct hf_error *err)
{
    size_t length = strlen(text);
    struct hf_blob *blob = hf_blob_new(3 * (length / 4) + 1);
    if (!blob)
        return hf_error_set(err, HF_OVERLOADED, "not enough memory for the batch");
    *out = blob;
    return hf_base64_decode(text, length, blob->data, &blob->bytes) ||
           hf_error_set(err, HF_INVALID_REQUEST, "field \"stateBase64\" is not base64 with padding (RFC 4648)");
}

static bool check_distinct(const struct reader *reader, struct hf_error *err)
{
    size_t count = (size_t)reader->count;
    const char **names = hf_arena_alloc(&reader->request->arena, count * sizeof(*names));
    for (size_t i = 0; i < count; i++)
        names[i] = reader->items[i].component;
    qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return hf_error_set(err, HF_INVALID_REQUEST, "component %s is named twice in one batch", names[i]);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}
