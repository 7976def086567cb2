#include "server/exchange.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/metrics.h"

#include <string.h>
#include <strings.h>

#define TARGET_BYTES_MAX  8192
#define SMALL_BODY_MAX    (1024 * 1024)      /* HF_BODY_SMALL */
#define BODY_FIRST_BYTES  (16 * 1024)        /* of a body whose length is not announced */
#define SWALLOW_BYTES_MIN (1024 * 1024)      /* of a refused body: so much is read to keep the connection */
#define SWALLOW_BYTES_MAX (64 * 1024 * 1024) /* ... and never more than this */
#define BODY_BYTES_PER_MS 10                 /* the slowest that a body may come, past the time for a request */

enum job { JOB_NONE, JOB_QUEUED, JOB_RUNNING, JOB_GIVEN_UP };

/* A reply with a request of its own: the real ones may be in use by another thread. */
struct hf_standin {
    struct hf_request request;
    struct hf_reply reply;
};

static const struct {
    const char *name;
    size_t bytes;
} headers[HF_HEADER_COUNT] = {
#define X(id, name) [id] = {name, sizeof(name) - 1},
    HF_HEADER_TABLE(X)
#undef X
};

static void has_arrived(struct hf_exchange *x);
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
static bool has_body(const struct hf_exchange *x);
static bool is_dawdling(const struct hf_exchange *x);
static bool append_body(struct hf_exchange *x, const void *data, size_t bytes);
static bool make_room(struct hf_exchange *x, int64_t bytes);
static bool reserve(struct hf_exchange *x, int64_t bytes);
static void release(struct hf_exchange *x);
static bool wants_worker(const struct hf_exchange *x);
static bool hand_to_worker(struct hf_exchange *x);
static void run_job(void *argument);
static bool is_late(const struct hf_exchange *x);
static void complete(struct hf_request *request);
static bool overloaded(struct hf_exchange *x, const char *what);
static bool give_up_error(struct hf_exchange *x, enum hf_code reason, struct hf_error *err);

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
    x->request.complete = complete;
    x->request.server = x;
    split_target(x, target);
    return x;
}

void hf_exchange_free(struct hf_exchange *x)
{
    HF_ASSERT(!x->connected && !x->outstanding);
    has_arrived(x);
    release(x);
    hf_reply_done(&x->reply);
    hf_blob_unref(x->request.body);
    if (x->standin) {
        hf_reply_done(&x->standin->reply);
        hf_arena_done(&x->standin->request.arena);
        free(x->standin);
    }
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

bool hf_exchange_body(struct hf_exchange *x, const void *data, size_t bytes)
{
    x->body_bytes += (int64_t)bytes;
    if (is_dawdling(x))
        return false;
    if (!x->failed && !append_body(x, data, bytes)) {
        x->failed = true;
        hf_blob_unref(x->request.body);
        x->request.body = NULL;
        release(x);
    }
    if (!x->failed)
        return true;
    x->swallow_left -= (int64_t)bytes;
    return x->swallow_left >= 0;
}

bool hf_exchange_dispatch(struct hf_exchange *x)
{
    has_arrived(x);
    if (x->failed)
        return true;
    x->dispatched_ns = hf_clock_monotonic_ns();
    if (wants_worker(x))
        return !hand_to_worker(x);
    x->verdict = x->request.route->handler(&x->request, &x->reply, &x->err);
    if (x->verdict == HF_RETRY_ON_WORKER)
        return !hand_to_worker(x);
    x->outstanding = x->verdict == HF_LATER;
    return !x->outstanding;
}

void hf_exchange_settle(struct hf_exchange *x)
{
    struct hf_request *request = &x->request;
    HF_ASSERT(!x->outstanding);
    if (!x->failed && x->verdict == HF_LATER)
        x->failed = !request->finish(request, &x->reply, &x->err);
    else if (!x->failed)
        x->failed = x->verdict != HF_DONE;
    if (!x->failed && x->reply.body.failed)
        x->failed = !hf_error_set(&x->err, HF_INTERNAL, "the answer is larger than %d bytes; ask for less at once",
                                  HF_REPLY_BYTES_MAX);
    if (!x->failed)
        return;
    hf_reply_problem(request, &x->reply, &x->err);
    if (x->allow)
        hf_reply_header(request, &x->reply, "Allow", x->allow);
}

const struct hf_reply *hf_exchange_reply(const struct hf_exchange *x)
{
    return x->standin ? &x->standin->reply : &x->reply;
}

void hf_exchange_give_up(struct hf_exchange *x, enum hf_code reason)
{
    HF_ASSERT(x->outstanding && !x->standin);
    struct hf_standin *standin = hf_alloc(sizeof(*standin));
    hf_arena_init(&standin->request.arena);
    hf_reply_init(&standin->reply);
    standin->request.target = x->request.target;
    memcpy(standin->request.request_id, x->request.request_id, sizeof(standin->request.request_id));
    struct hf_error err;
    give_up_error(x, reason, &err);
    hf_reply_problem(&standin->request, &standin->reply, &err);
    x->standin = standin;
}

void hf_exchange_discard(struct hf_exchange *x)
{
    HF_ASSERT(x->standin && !x->outstanding);
    struct hf_error ignored;
    if (x->verdict == HF_LATER && !x->request.finish(&x->request, &x->reply, &ignored))
        return; /* it failed late; the client was told that the outcome is unknown */
}

static void has_arrived(struct hf_exchange *x)
{
    if (x->arriving)
        atomic_fetch_sub_explicit(&x->service->arriving, 1, memory_order_relaxed);
    x->arriving = false;
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
    return x->content_length <= 0 || make_room(x, x->content_length);
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
    char limit[24];
    snprintf(limit, sizeof(limit), "%lld", (long long)x->body_max);
    hf_request_problem_member(&x->request, "limit", limit);
    return hf_error_set(&x->err, HF_BODY_TOO_LARGE, "the body is larger than the %s bytes allowed here", limit);
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
    return hf_clock_monotonic_ns() - x->request.received_ns > (uint64_t)allowed_ms * HF_MS_NS;
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
    if (!reserve(x, wanted - capacity))
        return overloaded(x, "too many bytes of other requests are under way");
    body = body ? hf_blob_grow(body, (size_t)wanted) : hf_blob_new((size_t)wanted);
    if (!body)
        return overloaded(x, "there is no memory for the body");
    x->request.body = body;
    return true;
}

static bool reserve(struct hf_exchange *x, int64_t bytes)
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

static void release(struct hf_exchange *x)
{
    if (x->reserved)
        atomic_fetch_sub_explicit(&x->service->inflight_bytes, x->reserved, memory_order_relaxed);
    x->reserved = 0;
}

static bool wants_worker(const struct hf_exchange *x)
{
    enum hf_where where = x->request.route->where;
    size_t bytes = x->request.body ? x->request.body->bytes : 0;
    return where == HF_ON_WORKER || (where == HF_ON_LOOP_IF_SMALL && bytes > HF_SMALL_BODY_BYTES);
}

/* False: the queue is full and the exchange has failed. */
static bool hand_to_worker(struct hf_exchange *x)
{
    x->verdict = HF_LATER;
    x->request.on_worker = true;
    x->outstanding = true;
    atomic_store_explicit(&x->job, JOB_QUEUED, memory_order_relaxed);
    if (hf_workers_submit(x->service->workers, run_job, x))
        return true;
    x->outstanding = false;
    x->failed = true;
    return overloaded(x, "too many requests wait for a worker");
}

/* On a worker's thread. */
static void run_job(void *argument)
{
    struct hf_exchange *x = argument;
    int expected = JOB_QUEUED;
    enum hf_verdict verdict = HF_FAIL;
    if (!atomic_compare_exchange_strong(&x->job, &expected, JOB_RUNNING))
        hf_error_set(&x->err, HF_OVERLOADED, "the request was given up before its turn");
    else if (is_late(x))
        overloaded(x, "the request waited longer for a worker than a client waits for an answer");
    else
        verdict = x->request.route->handler(&x->request, &x->reply, &x->err);
    HF_ASSERT(verdict != HF_RETRY_ON_WORKER);
    if (verdict == HF_LATER)
        return; /* whoever completes it may have it already */
    x->verdict = verdict;
    complete(&x->request);
}

static bool is_late(const struct hf_exchange *x)
{
    uint64_t age_ns = hf_clock_monotonic_ns() - x->dispatched_ns;
    return age_ns > (uint64_t)x->service->config->request_timeout_ms * HF_MS_NS;
}

static void complete(struct hf_request *request)
{
    struct hf_exchange *x = request->server;
    hf_completions_push(x->completions, &x->completion);
}

static bool overloaded(struct hf_exchange *x, const char *what)
{
    hf_metric_add(HF_M_REFUSED_OVERLOADED, 1);
    return hf_error_set(&x->err, HF_OVERLOADED, "%s; try again in a second", what);
}

/* A queued job that no worker has begun can be taken back: then nothing was done. */
static bool give_up_error(struct hf_exchange *x, enum hf_code reason, struct hf_error *err)
{
    int expected = JOB_QUEUED;
    bool untouched = atomic_compare_exchange_strong(&x->job, &expected, JOB_GIVEN_UP);
    bool reads = x->request.method == HF_GET || x->request.method == HF_HEAD;
    const char *why = reason == HF_SHUTTING_DOWN ? "the service is stopping" : "the answer did not come in time";
    if (untouched || reads)
        return hf_error_set(err, reason, "%s; nothing was changed", why);
    return hf_error_set(err, HF_OUTCOME_UNKNOWN,
                        "%s; the write may or may not be stored; repeat it, identical content is stored once", why);
}
