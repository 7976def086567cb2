#include "api/api.h"

#include <ctype.h>
#include <string.h>

#include "api/routes.h"
#include "api/upload.h"
#include "core/buf.h"
#include "core/id.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000
#define LINK_BYTES    8192

static const char *next_link(struct hf_request *request, const char *cursor);
static void add_percent_encoded(struct hf_buf *out, const char *text);

struct hf_engine *hf_api_engine(const struct hf_request *request, struct hf_error *err)
{
    struct hf_engine *engine = atomic_load_explicit(&request->api->engine, memory_order_acquire);
    if (!engine)
        hf_error_set(err, HF_STARTING, "the service is starting and bringing its state back; GET /readyz tells when");
    return engine;
}

json_t *hf_api_body_object(const struct hf_request *request, bool optional, const char *const fields[],
                           struct hf_error *err)
{
    if (!request->body || request->body->bytes == 0) {
        if (optional)
            return json_object();
        hf_error_set(err, HF_INVALID_REQUEST, "a JSON object is expected as the body");
        return NULL;
    }
    const char *content_type = request->headers[HF_H_CONTENT_TYPE];
    if (content_type && !hf_content_type_is_json(content_type)) {
        hf_error_set(err, HF_UNSUPPORTED_MEDIA, "the body must be sent with Content-Type: application/json");
        return NULL;
    }
    HF_AUTO(json) json_t *object = hf_json_parse(request->body->data, request->body->bytes, err);
    if (!object || !hf_json_only_fields(object, fields, err))
        return NULL;
    return json_incref(object);
}

bool hf_api_name_list(struct hf_request *request, const json_t *object, const char *field, int count_max,
                      const char *const **out, int *count_out, struct hf_error *err)
{
    *out = NULL;
    *count_out = 0;
    const json_t *array = json_object_get(object, field);
    if (!array)
        return true;
    size_t count = json_array_size(array);
    if (!json_is_array(array) || count > (size_t)count_max)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" must be an array of at most %d names", field,
                            count_max);
    HF_AUTO(json) json_t *seen = json_object();
    const char **names = hf_arena_alloc(&request->arena, (count + 1) * sizeof(*names));
    for (size_t i = 0; i < count; i++) {
        const json_t *name = json_array_get(array, i);
        if (!json_is_string(name) || !hf_name_is_valid(json_string_value(name), json_string_length(name)))
            return hf_error_set(err, HF_INVALID_REQUEST, "%s[%zu] is not a name: letters, digits and . _ : - only",
                                field, i);
        names[i] = hf_arena_strdup(&request->arena, json_string_value(name));
        if (json_object_get(seen, names[i]))
            return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" names %s twice", field, names[i]);
        hf_api_set(seen, names[i], json_true());
    }
    *out = names;
    *count_out = (int)count;
    return true;
}

bool hf_api_limit(const struct hf_request *request, int *out, struct hf_error *err)
{
    int64_t limit = LIMIT_DEFAULT;
    if (!hf_request_query_int(request, "limit", 1, LIMIT_MAX, &limit, err))
        return false;
    *out = (int)limit;
    return true;
}

/* Hexadecimal, so that nobody reads or makes one by accident and that it needs no encoding in a URL. */
const char *hf_api_cursor_make(struct hf_request *request, const char *position)
{
    size_t length = strlen(position);
    char *out = hf_arena_alloc(&request->arena, 2 * length + 1);
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = "0123456789abcdef"[(unsigned char)position[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[(unsigned char)position[i] & 15];
    }
    return out;
}

bool hf_api_cursor_read(struct hf_request *request, const char **out, struct hf_error *err)
{
    const char *cursor = hf_request_query(request, "cursor");
    if (!cursor)
        return true;
    size_t length = strlen(cursor);
    bool good = length > 0 && length % 2 == 0 && strspn(cursor, "0123456789abcdef") == length;
    char *position = hf_arena_alloc(&request->arena, length / 2 + 1);
    for (size_t i = 0; good && i < length / 2; i++) {
        char pair[3] = {cursor[2 * i], cursor[2 * i + 1], '\0'};
        position[i] = (char)strtol(pair, NULL, 16);
        good = position[i] > ' ' && position[i] < 127;
    }
    if (!good)
        return hf_error_set(err, HF_INVALID_REQUEST, "query parameter cursor is not one that this service gave out");
    *out = position;
    return true;
}

const char *hf_api_cursor_make_time(struct hf_request *request, int64_t at_ms, const char *id)
{
    return hf_api_cursor_make(request, hf_arena_format(&request->arena, "%lld/%s", (long long)at_ms, id));
}

bool hf_api_cursor_read_time(struct hf_request *request, int64_t *at_ms_out, const char **id_out, struct hf_error *err)
{
    const char *position = NULL;
    *at_ms_out = INT64_MAX;
    *id_out = "";
    if (!hf_api_cursor_read(request, &position, err) || !position)
        return position == NULL && !hf_request_query(request, "cursor");
    char *end;
    long long at_ms = strtoll(position, &end, 10);
    if (end == position || *end != '/' || !hf_name_is_valid(end + 1, strlen(end + 1)))
        return hf_error_set(err, HF_INVALID_REQUEST, "query parameter cursor is not one that this list gave out");
    *at_ms_out = at_ms;
    *id_out = end + 1;
    return true;
}

void hf_api_set_next(struct hf_request *request, struct hf_reply *reply, json_t *page, const char *cursor)
{
    hf_api_set_text(page, "nextCursor", cursor);
    if (cursor)
        hf_reply_header(request, reply, "Link", next_link(request, cursor));
}

void hf_api_set(json_t *object, const char *name, json_t *value)
{
    HF_ASSERT(json_object_set_new(object, name, value) == 0);
}

void hf_api_set_text(json_t *object, const char *name, const char *value)
{
    hf_api_set(object, name, value ? json_string(value) : json_null());
}

void hf_api_set_int(json_t *object, const char *name, int64_t value)
{
    hf_api_set(object, name, json_integer(value));
}

void hf_api_set_hash(json_t *object, const char *name, const struct hf_hash *hash)
{
    char label[HF_HASH_LABEL];
    if (hash)
        hf_hash_label(hash, label);
    hf_api_set_text(object, name, hash ? label : NULL);
}

void hf_api_set_stored(json_t *object, const char *name, const char *json_text, const char *otherwise)
{
    struct hf_error err;
    const char *text = json_text && *json_text ? json_text : otherwise;
    json_t *value = hf_json_parse(text, strlen(text), &err);
    hf_api_set(object, name, value ? value : json_null());
}

bool hf_api_read_system(struct hf_engine *engine, const char *system, struct hf_system_info *out, struct hf_error *err)
{
    if (hf_catalog_read_system(engine->catalog, system, out))
        return true;
    return hf_error_set(err, HF_NOT_FOUND, "there is no system \"%s\"", system);
}

enum hf_verdict hf_api_no_content(struct hf_reply *reply)
{
    reply->status = 204;
    reply->content_type = NULL;
    return HF_DONE;
}

/* RFC 8288: this list with its own filters and the next cursor. */
static const char *next_link(struct hf_request *request, const char *cursor)
{
    HF_AUTO(buf) struct hf_buf link;
    hf_buf_init(&link, LINK_BYTES);
    hf_buf_add_char(&link, '<');
    hf_buf_add_text(&link, request->target);
    hf_buf_add_char(&link, '?');
    for (int i = 0; i < request->query_count; i++) {
        if (strcmp(request->query[i].name, "cursor") == 0)
            continue;
        hf_buf_add_text(&link, request->query[i].name);
        hf_buf_add_char(&link, '=');
        add_percent_encoded(&link, request->query[i].value);
        hf_buf_add_char(&link, '&');
    }
    hf_buf_add_format(&link, "cursor=%s>; rel=\"next\"", cursor);
    return hf_arena_strdup(&request->arena, link.failed ? "" : link.data);
}

static void add_percent_encoded(struct hf_buf *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (isalnum(*c) || strchr("-._~:", *c))
            hf_buf_add_char(out, (char)*c);
        else
            hf_buf_add_format(out, "%%%02X", *c);
    }
}

bool hf_api_wants_text(const struct hf_request *request, bool *out, struct hf_error *err)
{
    const char *format = hf_request_query(request, "format");
    if (format && strcmp(format, "text") != 0 && strcmp(format, "json") != 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "query parameter format must be text or json");
    if (format)
        *out = strcmp(format, "text") == 0;
    else
        *out = hf_request_accepts(request, "text/plain") && !hf_request_accepts(request, "application/json");
    return true;
}
