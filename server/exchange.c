#include "server/exchange.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "server/dispatch.h"
#include "server/transfer.h"

#include <string.h>
#include <strings.h>

#define TARGET_BYTES_MAX  8192
#define SMALL_BODY_MAX    (1024 * 1024)      /* HF_BODY_SMALL */
#define BODY_FIRST_BYTES  (16 * 1024)        /* of a body whose length is not announced */
#define SWALLOW_BYTES_MIN (1024 * 1024)      /* of a refused body: so much is read to keep the connection */
#define SWALLOW_BYTES_MAX (64 * 1024 * 1024) /* ... and never more than this */
#define TOO_LARGE_TEXT    "the body is larger than the %lld bytes allowed here"
#define BODY_BYTES_PER_MS 10 /* the slowest that a body may come, past the time for a request */

static const struct {
    const char *name;
    size_t bytes;
} headers[HF_HEADER_COUNT] = {
#define X(id, name) [id] = {name, sizeof(name) - 1},
    HF_HEADER_TABLE(X)
#undef X
};

static void split_target(struct hf_exchange *x, const char *target);
static enum hf_method parse_method(const char *text);
static void take_request_id(struct hf_exchange *x, struct hf_request_ids *ids);
static bool request_id_is_sane(const char *text);
static bool check(struct hf_exchange *x);
static bool find_route(struct hf_exchange *x);
static bool refuse_other_origins(struct hf_exchange *x);
static bool authenticate(struct hf_exchange *x);
static bool check_body(struct hf_exchange *x);
static int64_t body_limit(const struct hf_config *config, enum hf_body_kind kind);
static int64_t parse_length(const char *text);
static bool too_large(struct hf_exchange *x);
static void add_limit_member(struct hf_exchange *x);
static bool has_body(const struct hf_exchange *x);
static bool is_dawdling(const struct hf_exchange *x);
static bool pass_on_body(struct hf_exchange *x, const void *data, size_t *bytes);
static bool keep_body(struct hf_exchange *x, const void *data, size_t bytes);
static bool append_body(struct hf_exchange *x, const void *data, size_t bytes);
static bool make_room(struct hf_exchange *x, int64_t bytes);
static void release(struct hf_exchange *x);

struct hf_exchange *hf_exchange_new(struct hf_service *service, struct hf_completions *completions, const char *target)
{
    struct hf_arena arena; /* holds the exchange itself too: one piece of memory for a usual request */
    hf_arena_init(&arena);
    struct hf_exchange *x = hf_arena_alloc(&arena, sizeof(*x));
    x->request.arena = arena;
    atomic_fetch_add_explicit(&service->under_way, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&service->arriving, 1, memory_order_relaxed);
    x->arriving = true;
    x->service = service;
    x->completions = completions;
    x->connected = true;
    x->content_length = -1;
    x->swallow_left = SWALLOW_BYTES_MIN;
    hf_reply_init(&x->reply);
    x->request.method = HF_METHOD_COUNT;
    x->request.received_ns = hf_clock_monotonic_ns();
    x->request.api = service->api;
    x->request.complete = hf_dispatch_complete;
    x->request.put_aside = hf_dispatch_put_aside;
    x->request.resume = hf_dispatch_resume;
    x->request.server = x;
    split_target(x, target);
    return x;
}

void hf_exchange_free(struct hf_exchange *x)
{
    HF_ASSERT(!x->connected && !x->outstanding);
    hf_exchange_has_arrived(x);
    release(x);
    hf_reply_done(&x->reply);
    hf_transfer_free(x->transfer);
    hf_blob_unref(x->request.body);
    hf_standin_free(x->standin);
    struct hf_service *service = x->service;
    struct hf_arena arena = x->request.arena;
    hf_arena_done(&arena);
    atomic_fetch_sub_explicit(&service->under_way, 1, memory_order_release);
}

/* Copied, because the connection may move on to its next request while a worker still reads these. */
void hf_exchange_header(struct hf_exchange *x, const char *name, const char *value)
{
    struct hf_arena *arena = &x->request.arena;
    size_t bytes = strlen(name);
    for (int i = 0; i < HF_HEADER_COUNT; i++) {
        if (headers[i].bytes != bytes || strcasecmp(headers[i].name, name) != 0)
            continue;
        const char *before = x->request.headers[i];
        x->request.headers[i] =
            before ? hf_arena_format(arena, "%s, %s", before, value) : hf_arena_strdup(arena, value);
        return;
    }
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        x->chunked = true;
        if (strcasecmp(value, "chunked") != 0)
            hf_exchange_refuse(x, "of all transfer encodings only chunked is understood");
    }
    if (strcasecmp(name, "Expect") == 0)
        x->expects_continue = strcasecmp(value, "100-continue") == 0;
}

void hf_exchange_refuse(struct hf_exchange *x, const char *why)
{
    hf_metric_add(HF_M_HTTP_PROTOCOL_ERRORS, 1);
    x->close = true;
    if (!x->failed)
        x->failed = !hf_error_set(&x->err, HF_INVALID_REQUEST, "%s", why);
}

void hf_exchange_admit(struct hf_exchange *x, const char *method, struct hf_request_ids *ids)
{
    x->request.method = parse_method(method);
    take_request_id(x, ids);
    x->phase = HF_PHASE_BODY;
    const char *length = x->request.headers[HF_H_CONTENT_LENGTH];
    x->content_length = length ? parse_length(length) : -1;
    /* What curl -d says by itself says nothing about the body: as if it had not been sent. */
    const char *content_type = x->request.headers[HF_H_CONTENT_TYPE];
    if (content_type && strcasecmp(content_type, "application/x-www-form-urlencoded") == 0)
        x->request.headers[HF_H_CONTENT_TYPE] = NULL;
    if (!check(x))
        x->failed = true;
}

/* Nothing on the connection can be trusted after a malformed head. With an announced body of some size, or one that
 * waits to be asked for, it is cheaper for both sides to close. */
bool hf_exchange_answers_early(const struct hf_exchange *x)
{
    if (!x->failed || x->close)
        return x->failed;
    return has_body(x) && (x->expects_continue || x->content_length > SWALLOW_BYTES_MIN);
}

bool hf_exchange_is_still_allowed(const struct hf_exchange *x)
{
    const struct hf_request *request = &x->request;
    const struct hf_principal *principal;
    struct hf_error err;
    return request->route->role == HF_ROLE_NONE ||
           (hf_auth_check(x->service->auth, request->headers[HF_H_AUTHORIZATION], &principal, &err) &&
            hf_auth_allow(principal, request->route, request->params, &err));
}

bool hf_exchange_body(struct hf_exchange *x, const void *data, size_t *bytes)
{
    size_t came = *bytes;
    size_t left = came;
    bool wanted = x->transfer ? pass_on_body(x, data, &left) : keep_body(x, data, came);
    if (!wanted || !x->transfer)
        left = 0;
    *bytes = left;
    x->body_bytes += (int64_t)(came - left);
    if (is_dawdling(x))
        return false;
    if (!wanted)
        x->swallow_left -= (int64_t)came;
    return x->swallow_left >= 0;
}

void hf_exchange_has_arrived(struct hf_exchange *x)
{
    if (x->arriving)
        atomic_fetch_sub_explicit(&x->service->arriving, 1, memory_order_relaxed);
    x->arriving = false;
}

bool hf_exchange_reserve(struct hf_exchange *x, int64_t bytes)
{
    _Atomic int64_t *inflight = &x->service->inflight_bytes;
    int64_t before = atomic_fetch_add_explicit(inflight, bytes, memory_order_relaxed);
    x->reserved += bytes;
    if (before + bytes <= x->service->config->inflight_bytes_max)
        return true;
    x->reserved -= bytes;
    atomic_fetch_sub_explicit(inflight, bytes, memory_order_relaxed);
    return false;
}

bool hf_exchange_overloaded(struct hf_exchange *x, const char *what)
{
    hf_metric_add(HF_M_REFUSED_OVERLOADED, 1);
    return hf_error_set(&x->err, HF_OVERLOADED, "%s; try again in a second", what);
}

void hf_exchange_settle(struct hf_exchange *x)
{
    struct hf_request *request = &x->request;
    HF_ASSERT(!x->outstanding || x->streams);
    if (!x->failed && x->verdict == HF_LATER)
        x->failed = !request->finish(request, &x->reply, &x->err);
    else if (!x->failed)
        x->failed = x->verdict != HF_DONE;
    if (!x->failed && x->reply.body.failed)
        x->failed = !hf_error_set(&x->err, HF_INTERNAL, "the answer is larger than %d bytes; ask for less at once",
                                  HF_REPLY_BYTES_MAX);
    if (!x->failed)
        return;
    if (x->overran && x->err.code == HF_BODY_TOO_LARGE)
        add_limit_member(x);
    hf_reply_problem(request, &x->reply, &x->err);
    if (x->allow)
        hf_reply_header(request, &x->reply, "Allow", x->allow);
}

const struct hf_reply *hf_exchange_reply(const struct hf_exchange *x)
{
    return x->standin ? &x->standin->reply : &x->reply;
}

bool hf_exchange_streams(const struct hf_exchange *x)
{
    return !x->standin && !x->failed && (x->streams || x->reply.stream);
}

struct hf_pipe *hf_exchange_pipe(const struct hf_exchange *x)
{
    return x->reply.stream ? x->reply.stream : x->transfer->pipe;
}

/* The path and query of origin-form ("/a?b") and absolute-form ("http://host/a?b", RFC 9112 section 3.2.2). */
static void split_target(struct hf_exchange *x, const char *target)
{
    x->target_bytes = strlen(target);
    if (strchr(target, ' '))
        hf_exchange_refuse(x, "a URL has no spaces; write %20");
    if (strncasecmp(target, "http://", 7) == 0) {
        const char *path = target + 7 + strcspn(target + 7, "/?");
        target = *path == '/' ? path : "/";
    }
    size_t path_bytes = strcspn(target, "?");
    size_t bytes = strlen(target);
    if (bytes > TARGET_BYTES_MAX) {
        x->failed =
            !hf_error_set(&x->err, HF_URI_TOO_LONG, "the URL has %zu bytes; %d are allowed", bytes, TARGET_BYTES_MAX);
        path_bytes = path_bytes < 100 ? path_bytes : 100;
        bytes = path_bytes;
    }
    x->request.target = hf_arena_strndup(&x->request.arena, target, path_bytes);
    if (bytes > path_bytes + 1)
        x->query = hf_arena_strdup(&x->request.arena, target + path_bytes + 1);
}

static enum hf_method parse_method(const char *text)
{
    int method = 0;
    while (method < HF_METHOD_COUNT && strcmp(text, hf_method_name((enum hf_method)method)) != 0)
        method++;
    return (enum hf_method)method;
}

static void take_request_id(struct hf_exchange *x, struct hf_request_ids *ids)
{
    const char *sent = x->request.headers[HF_H_X_REQUEST_ID];
    char *to = x->request.request_id;
    if (sent && request_id_is_sane(sent)) {
        memcpy(to, sent, strlen(sent) + 1);
        return;
    }
    uint64_t id = ids->next++;
    for (int shift = 60; shift >= 0; shift -= 4)
        *to++ = "0123456789abcdef"[id >> shift & 15];
    *to = '\0';
}

/* [A-Za-z0-9._-]{1,64}: it goes into logs and back out in a header. */
static bool request_id_is_sane(const char *text)
{
    size_t bytes = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return bytes >= 1 && bytes <= 64 && text[bytes] == '\0';
}

/* Cheapest first, and nothing about the body before the sender is known. */
static bool check(struct hf_exchange *x)
{
    struct hf_request *request = &x->request;
    if (x->failed)
        return false;
    if (atomic_load_explicit(&x->service->quiescing, memory_order_relaxed))
        return hf_error_set(&x->err, HF_SHUTTING_DOWN, "the service is stopping; try again when it is back");
    return find_route(x) && hf_route_parse_query(request->route, x->query, request, &x->err) &&
           refuse_other_origins(x) && authenticate(x) &&
           hf_auth_allow(request->principal, request->route, request->params, &x->err) && check_body(x);
}

/* Without tokens everyone on this machine may write, and so could any web page open in its browser: browsers send the
 * page's Origin (RFC 6454) with such requests, and it must be our own. */
static bool refuse_other_origins(struct hf_exchange *x)
{
    const char *origin = x->request.headers[HF_H_ORIGIN];
    const char *host = x->request.headers[HF_H_HOST];
    if (!origin || x->request.method == HF_GET || x->request.method == HF_HEAD)
        return true;
    const char *authority = strstr(origin, "://");
    if (authority && host && strcasecmp(authority + 3, host) == 0)
        return true;
    return hf_error_set(&x->err, HF_FORBIDDEN, "a page of origin \"%.80s\" may not change anything here", origin);
}

/* What is open to everyone is open to wrong tokens too. */
static bool authenticate(struct hf_exchange *x)
{
    static const struct hf_principal nobody = {.id = "anonymous", .role = HF_ROLE_NONE};
    struct hf_request *request = &x->request;
    if (hf_auth_check(x->service->auth, request->headers[HF_H_AUTHORIZATION], &request->principal, &x->err))
        return true;
    if (request->route->role != HF_ROLE_NONE)
        return false;
    request->principal = &nobody;
    return true;
}

static bool find_route(struct hf_exchange *x)
{
    struct hf_request *request = &x->request;
    struct hf_route_match match = {0};
    bool found =
        hf_route_find_in(&x->service->routes, request->method, request->target, &request->arena, &match, &x->err);
    x->allow = match.allow;
    if (!found)
        return false;
    request->route = match.route;
    memcpy(request->params, match.params, sizeof(request->params));
    return true;
}

static bool check_body(struct hf_exchange *x)
{
    const char *encoding = x->request.headers[HF_H_CONTENT_ENCODING];
    const char *length = x->request.headers[HF_H_CONTENT_LENGTH];
    x->body_max = body_limit(x->service->config, x->request.route->body);
    x->swallow_left = 4 * x->body_max;
    if (x->swallow_left < SWALLOW_BYTES_MIN)
        x->swallow_left = SWALLOW_BYTES_MIN;
    if (x->swallow_left > SWALLOW_BYTES_MAX)
        x->swallow_left = SWALLOW_BYTES_MAX;
    if (length && x->chunked) {
        x->close = true; /* two lengths: whoever stands between may see other requests than we do (RFC 9112, 6.1) */
        return hf_error_set(&x->err, HF_INVALID_REQUEST, "Content-Length and Transfer-Encoding exclude each other");
    }
    if (length && x->content_length < 0)
        return hf_error_set(&x->err, HF_INVALID_REQUEST, "Content-Length \"%.40s\" is not a number of bytes", length);
    if (!has_body(x))
        return true;
    if (x->request.route->body == HF_BODY_NONE)
        return hf_error_set(&x->err, HF_INVALID_REQUEST, "this operation takes no body");
    if (encoding && strcasecmp(encoding, "identity") != 0)
        return hf_error_set(&x->err, HF_UNSUPPORTED_MEDIA,
                            "Content-Encoding \"%.40s\" is not supported; send the bytes as they are", encoding);
    if (x->content_length > x->body_max)
        return too_large(x);
    return x->content_length <= 0 || x->request.route->body == HF_BODY_STREAM || make_room(x, x->content_length);
}

static int64_t body_limit(const struct hf_config *config, enum hf_body_kind kind)
{
    switch (kind) {
    case HF_BODY_SMALL:
        return SMALL_BODY_MAX;
    case HF_BODY_STATE:
        return config->state_bytes_max;
    case HF_BODY_BATCH:
        return config->batch_bytes_max;
    case HF_BODY_STREAM:
        return config->import_bytes_max;
    case HF_BODY_NONE:
        break;
    }
    return 0;
}

static int64_t parse_length(const char *text)
{
    int64_t length = 0;
    if (!*text)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || length > INT64_MAX / 16)
            return -1;
        length = length * 10 + (*text - '0');
    }
    return length;
}

static bool too_large(struct hf_exchange *x)
{
    add_limit_member(x);
    return hf_error_set(&x->err, HF_BODY_TOO_LARGE, TOO_LARGE_TEXT, (long long)x->body_max);
}

static void add_limit_member(struct hf_exchange *x)
{
    char limit[24];
    snprintf(limit, sizeof(limit), "%lld", (long long)x->body_max);
    hf_request_problem_member(&x->request, "limit", limit);
}

static bool has_body(const struct hf_exchange *x)
{
    return x->chunked || x->content_length > 0;
}

/* The library closes a connection that stands still. One that sends a byte now and then would keep its memory, and a
 * stop waiting, for ever. */
static bool is_dawdling(const struct hf_exchange *x)
{
    int64_t allowed_ms = x->service->config->request_timeout_ms + x->body_bytes / BODY_BYTES_PER_MS;
    /* The time during which nobody here took it is not the client's. */
    return hf_clock_monotonic_ns() - x->request.received_ns - x->paused_ns > (uint64_t)allowed_ms * HF_MS_NS;
}

/* *bytes: in, what came; out, what the pipe has no room for. False: nobody wants it. The error is that of the thread
 * which has the exchange, so it is told through the pipe. */
static bool pass_on_body(struct hf_exchange *x, const void *data, size_t *bytes)
{
    size_t moved = 0;
    if (x->body_bytes + (int64_t)*bytes > x->body_max && !x->overran) {
        char why[80];
        snprintf(why, sizeof(why), TOO_LARGE_TEXT, (long long)x->body_max);
        x->overran = true;
        hf_pipe_break(x->transfer->pipe, HF_BODY_TOO_LARGE, why);
    }
    if (x->overran || hf_pipe_offer(x->transfer->pipe, data, *bytes, &moved) == HF_PIPE_BROKEN)
        return false;
    *bytes -= moved;
    return true;
}

static bool keep_body(struct hf_exchange *x, const void *data, size_t bytes)
{
    if (x->failed)
        return false;
    if (append_body(x, data, bytes))
        return true;
    x->failed = true;
    hf_blob_unref(x->request.body);
    x->request.body = NULL;
    release(x);
    return false;
}

static bool append_body(struct hf_exchange *x, const void *data, size_t bytes)
{
    struct hf_blob *body = x->request.body;
    int64_t total = (int64_t)((body ? body->bytes : 0) + bytes);
    if (total > x->body_max)
        return too_large(x);
    if (!make_room(x, total))
        return false;
    body = x->request.body;
    memcpy(body->data + body->bytes, data, bytes);
    body->bytes += bytes;
    return true;
}

/* Room for bytes in all. An announced length is reserved at once, an unannounced one by doubling. */
static bool make_room(struct hf_exchange *x, int64_t bytes)
{
    struct hf_blob *body = x->request.body;
    int64_t capacity = body ? (int64_t)body->capacity : 0;
    if (bytes <= capacity)
        return true;
    int64_t wanted = bytes;
    if (x->chunked) {
        wanted = capacity ? 2 * capacity : BODY_FIRST_BYTES;
        if (wanted < bytes)
            wanted = bytes;
        if (wanted > x->body_max)
            wanted = x->body_max;
    }
    if (!hf_exchange_reserve(x, wanted - capacity))
        return hf_exchange_overloaded(x, "too many bytes of other requests are under way");
    body = body ? hf_blob_grow(body, (size_t)wanted) : hf_blob_new((size_t)wanted);
    if (!body)
        return hf_exchange_overloaded(x, "there is no memory for the body");
    x->request.body = body;
    return true;
}

static void release(struct hf_exchange *x)
{
    if (x->reserved)
        atomic_fetch_sub_explicit(&x->service->inflight_bytes, x->reserved, memory_order_relaxed);
    x->reserved = 0;
}
