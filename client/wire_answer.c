#include "client/wire_private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PROBLEM_BYTES_MAX (1024 * 1024)

static void start_anew(struct hf_wire_answer *answer);
static bool value_of(const char *line, size_t bytes, const char *name, char *out, size_t room);
static int64_t number_of(const char *text);

bool hf_wire_is_success(const struct hf_wire_request *request, int status)
{
    static const char *const conditions[] = {"If-None-Match:", "If-Modified-Since:"};
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    for (const char *const *line = request->headers; status == 304 && reads && line && *line; line++)
        for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
            if (strncasecmp(*line, conditions[i], strlen(conditions[i])) == 0)
                return true;
    return status >= 200 && status < 300;
}

void hf_wire_answer_init(struct hf_wire_answer *answer)
{
    *answer = (struct hf_wire_answer){0};
}

void hf_wire_answer_done(struct hf_wire_answer *answer)
{
    hf_buf_done(&answer->body);
}

size_t hf_wire_take_header(char *data, size_t size, size_t count, void *userdata)
{
    struct exchange *exchange = userdata;
    struct hf_wire_answer *answer = exchange->answer;
    size_t bytes = size * count;
    char value[64];
    exchange->head_bytes += (int64_t)bytes;
    if (bytes > 5 && strncmp(data, "HTTP/", 5) == 0)
        start_anew(answer);
    else if (value_of(data, bytes, "Content-Type", answer->content_type, sizeof(answer->content_type)) ||
             value_of(data, bytes, "ETag", answer->etag, sizeof(answer->etag)) ||
             value_of(data, bytes, "Location", answer->location, sizeof(answer->location)) ||
             value_of(data, bytes, "X-Request-Id", answer->request_id, sizeof(answer->request_id)) ||
             value_of(data, bytes, "Content-Digest", answer->content_digest, sizeof(answer->content_digest)) ||
             value_of(data, bytes, "Repr-Digest", answer->repr_digest, sizeof(answer->repr_digest)))
        return bytes;
    else if (value_of(data, bytes, "State-Version", value, sizeof(value)))
        answer->version = number_of(value);
    else if (value_of(data, bytes, "State-Sequence", value, sizeof(value)))
        answer->sequence = number_of(value);
    else if (value_of(data, bytes, "State-Epoch", value, sizeof(value)))
        answer->epoch = number_of(value);
    return bytes;
}

size_t hf_wire_take_body(char *data, size_t size, size_t count, void *userdata)
{
    struct exchange *exchange = userdata;
    const struct hf_wire_request *request = exchange->request;
    struct hf_buf *body = &exchange->answer->body;
    size_t bytes = size * count;
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    exchange->body_bytes += (int64_t)bytes;
    bool success = hf_wire_is_success(request, (int)status);
    if (request->write && success) {
        exchange->answer->began_writing = true;
        if (request->write(request->context, data, bytes))
            return bytes;
        exchange->end = EXCHANGE_REFUSED;
        return 0;
    }
    size_t bytes_max = success ? request->answer_bytes_max : PROBLEM_BYTES_MAX;
    curl_off_t announced = -1;
    curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    if (body->bytes == 0 && !body->data)
        hf_buf_init(body, bytes_max);
    if (bytes > body->bytes_max - body->bytes || (announced > 0 && (uint64_t)announced > bytes_max))
        exchange->end = EXCHANGE_TOO_LARGE;
    else if (!hf_buf_add(body, data, bytes))
        exchange->end = EXCHANGE_NO_MEMORY;
    return exchange->end == EXCHANGE_OPEN ? bytes : 0;
}

size_t hf_wire_give_body(char *to, size_t size, size_t count, void *userdata)
{
    struct exchange *exchange = userdata;
    exchange->answer->began_reading = true;
    int64_t bytes = exchange->request->read(exchange->request->context, to, size * count);
    if (bytes >= 0 && (uint64_t)bytes <= size * count)
        return (size_t)bytes;
    exchange->end = EXCHANGE_REFUSED;
    return CURL_READFUNC_ABORT;
}

/* After "100 Continue" the real answer's head follows. */
static void start_anew(struct hf_wire_answer *answer)
{
    bool began_reading = answer->began_reading;
    hf_wire_answer_done(answer);
    hf_wire_answer_init(answer);
    answer->began_reading = began_reading;
}

/* Whether the line is of the header; then its value is in out, or nothing where it has no room. */
static bool value_of(const char *line, size_t bytes, const char *name, char *out, size_t room)
{
    size_t name_bytes = strlen(name);
    if (bytes <= name_bytes || strncasecmp(line, name, name_bytes) != 0 || line[name_bytes] != ':')
        return false;
    const char *from = line + name_bytes + 1, *end = line + bytes;
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && strchr(" \t\r\n", end[-1]))
        end--;
    size_t value_bytes = (size_t)(end - from) < room ? (size_t)(end - from) : 0;
    memcpy(out, from, value_bytes);
    out[value_bytes] = '\0';
    return true;
}

static int64_t number_of(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    return *text && !*end && number > 0 ? number : 0;
}
