/* Loop threads and their libmicrohttpd daemons: the only file that knows the library.
 *
 * What was learned about libmicrohttpd 0.9.75, and is relied on here: a response may be queued on the first call of the
 * access handler or on the last, never in the middle of a body; suspended connections neither time out nor notice that
 * their client left, so the loop gives each a deadline; a connection is suspended and resumed on its loop's thread
 * only, which needs no signalling inside the library; after a resume MHD_run must run before the loop sleeps; stopping
 * a daemon with a suspended connection aborts the process; a refusal for a malformed Content-Length is sent with its
 * head twice, before anything here is asked (its strict mode does the same for a missing Host, and drops a target with
 * a space without an answer, so both are refused here); target, method and version lie in one piece of memory. */
#include "server/http.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "core/metrics.h"
#include "server/exchange.h"
#include "server/head.h"
#include "server/listen.h"
#include "server/plain.h"
#include "server/record.h"

#include <microhttpd.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define LOOPS_MAX               8
#define CONNECTION_MEMORY_BYTES (16 * 1024) /* the library zeroes all of it between two requests: more costs each */
#define ANSWER_HEAD_BYTES       (3 * 1024)  /* of the same memory, what the head of an answer may need */
#define SWEEP_NS                HF_SECOND_NS
#define ARRIVAL_NS              (3 * HF_SECOND_NS)  /* at stop, for requests that are not whole yet */
#define LAST_ANSWERS_NS         HF_SECOND_NS        /* at stop, for answers that are on their way */
#define LAST_COMPLETIONS_NS     (10 * HF_SECOND_NS) /* at stop, for requests that others still have */

struct loop {
    struct hf_http *http;
    struct MHD_Daemon *daemon;
    int mhd_fd;    /* the daemon's epoll descriptor; borrowed */
    int listen_fd; /* -1 once closed */
    struct hf_completions completions;
    struct hf_record record;
    struct hf_request_ids ids;
    struct hf_exchange *waiting_first; /* suspended, oldest first: the one with the nearest deadline leads */
    struct hf_exchange *waiting_last;
    unsigned open;   /* connections after the last run */
    int connected;   /* exchanges that a connection refers to */
    int outstanding; /* exchanges lent out */
    uint64_t sweep_due_ns;
    pthread_t thread;
    bool running;
};

/* While a request's headers are walked through. */
struct reading {
    struct hf_exchange *x;
    struct hf_head head;
};

struct hf_http {
    struct hf_service service;
    struct hf_listen_address address;
    atomic_bool stopping;
    int loop_count;
    struct loop loops[LOOPS_MAX];
};

static int loops_wanted(const struct hf_config *config);
static bool check_address(const struct hf_http *http, const struct hf_config *config, struct hf_error *err);
static bool start_loops(struct hf_http *http, struct hf_error *err);
static bool prepare_loop(struct loop *loop, struct hf_error *err);
static bool start_daemon(struct loop *loop, struct hf_error *err);
static bool is_busy(const struct hf_http *http, uint64_t arrival_ns);
static void wake_all(struct hf_http *http);
static void free_http(struct hf_http *http);

static void *run_loop(void *argument);
static void turn(struct loop *loop);
static void run_daemon(struct loop *loop);
static bool wait_for_work(struct loop *loop);
static bool resume_finished(struct loop *loop);
static bool sweep(struct loop *loop);
static bool give_up_waiting(struct loop *loop, uint64_t dispatched_before_ns, enum hf_code reason);
static void stop_listening(struct loop *loop);
static void shut_down(struct loop *loop);
static void take_late_completions(struct hf_http *http);

static void *on_target(void *cls, const char *target, struct MHD_Connection *connection);
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_bytes, void **slot);
static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value);
static enum MHD_Result on_headers(struct loop *loop, struct reading *reading, const char *method, const char *version);
static enum MHD_Result on_complete_request(struct loop *loop, struct hf_exchange *x);
static void on_completed(void *cls, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code);
static size_t on_unescape(void *cls, struct MHD_Connection *connection, char *text);
static void on_library_log(void *cls, const char *format, va_list args) HF_PRINTF(2, 0);

static void suspend(struct loop *loop, struct hf_exchange *x);
static void resume(struct loop *loop, struct hf_exchange *x);
static void take_back(struct loop *loop, struct hf_exchange *x);
static enum MHD_Result answer(struct loop *loop, struct hf_exchange *x);
static enum MHD_Result answer_past_library(struct loop *loop, struct hf_exchange *x);
static enum MHD_Result queue_reply(struct hf_exchange *x, const struct hf_reply *reply);
static struct MHD_Response *make_response(const struct hf_reply *reply);

bool hf_http_start(struct hf_http **out, const struct hf_http_options *options, struct hf_error *err)
{
    const struct hf_config *config = options->config;
    struct hf_http *http = hf_alloc(sizeof(*http));
    http->service = (struct hf_service){
        .config = config,
        .api = options->api,
        .auth = options->auth,
        .routes = {options->routes, options->route_count},
    };
    if (!hf_listen_resolve(config->listen, &http->address, err) || !check_address(http, config, err) ||
        !hf_workers_start(&http->service.workers, (int)config->workers, (int)config->queue_jobs_max, err) ||
        !start_loops(http, err)) {
        hf_http_stop(http);
        return false;
    }
    *out = http;
    return true;
}

int hf_http_port(const struct hf_http *http)
{
    return hf_listen_port(&http->address);
}

void hf_http_quiesce(struct hf_http *http, uint64_t deadline_ns)
{
    atomic_store(&http->service.quiescing, true);
    wake_all(http);
    const struct timespec pause = {.tv_nsec = 2 * (long)HF_MS_NS};
    uint64_t arrival_ns = hf_clock_monotonic_ns() + ARRIVAL_NS;
    while (is_busy(http, arrival_ns) && hf_clock_monotonic_ns() < deadline_ns)
        nanosleep(&pause, NULL);
}

void hf_http_stop(struct hf_http *http)
{
    if (!http)
        return;
    atomic_store(&http->service.quiescing, true);
    atomic_store(&http->stopping, true);
    wake_all(http);
    for (int i = 0; i < http->loop_count; i++)
        if (http->loops[i].running)
            pthread_join(http->loops[i].thread, NULL);
    hf_workers_stop(http->service.workers);
    take_late_completions(http);
    int left = atomic_load(&http->service.under_way);
    if (left == 0) {
        free_http(http);
        return;
    }
    /* Whoever has them will push them to a queue of this server: its memory must stay. */
    hf_log(HF_LOG_ERROR, "requests_never_completed", "stopped while requests were still with the engine",
           HF_LOG_NUMBER("requests", left));
}

static int loops_wanted(const struct hf_config *config)
{
    long loops = config->loops ? (long)config->loops : sysconf(_SC_NPROCESSORS_ONLN) / 2;
    if (loops < 1)
        return 1;
    return loops < LOOPS_MAX ? (int)loops : LOOPS_MAX;
}

static bool check_address(const struct hf_http *http, const struct hf_config *config, struct hf_error *err)
{
    if (hf_listen_is_loopback(&http->address) || hf_auth_has_tokens(http->service.auth))
        return true;
    return hf_error_set(err, HF_CONFIG,
                        "refusing to listen on %s without tokens: anyone could read and change every state. Make one "
                        "with: holdfast-server token create --role operator --tokens-file FILE, and start with "
                        "PERSISTENCE_TOKENS_FILE=FILE",
                        config->listen);
}

static bool start_loops(struct hf_http *http, struct hf_error *err)
{
    int fds[LOOPS_MAX];
    int count = loops_wanted(http->service.config);
    if (!hf_listen_open(&http->address, fds, count, err))
        return false;
    for (int i = 0; i < count; i++)
        http->loops[i] = (struct loop){.http = http, .listen_fd = fds[i], .completions = {.eventfd = -1}};
    http->loop_count = count;
    for (int i = 0; i < count; i++)
        if (!prepare_loop(&http->loops[i], err))
            return false;

    /* Signals belong to the main thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (int i = 0; i < count && !failed; i++) {
        failed = pthread_create(&http->loops[i].thread, NULL, run_loop, &http->loops[i]);
        http->loops[i].running = !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed || hf_error_errno(err, failed, "a loop thread cannot be started");
}

static bool prepare_loop(struct loop *loop, struct hf_error *err)
{
    if (!hf_completions_init(&loop->completions, err) || !start_daemon(loop, err))
        return false;
    hf_record_init(&loop->record, &loop->http->service.routes);
    hf_random_bytes(&loop->ids.next, sizeof(loop->ids.next));
    return true;
}

static bool start_daemon(struct loop *loop, struct hf_error *err)
{
    const struct hf_config *config = loop->http->service.config;
    /* Suspending without the library's own wake-up channel: this loop has one already. */
    unsigned suspend_alone = (unsigned)MHD_ALLOW_SUSPEND_RESUME & ~(unsigned)MHD_USE_ITC;
    unsigned flags = (unsigned)MHD_USE_EPOLL | (unsigned)MHD_USE_ERROR_LOG | suspend_alone;
    if (hf_listen_is_ipv6(&loop->http->address))
        flags |= (unsigned)MHD_USE_IPv6;
    int64_t connections = (config->connections_max + loop->http->loop_count - 1) / loop->http->loop_count;
    loop->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, on_request, loop, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, loop,
                         MHD_OPTION_LISTEN_SOCKET, loop->listen_fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((config->request_timeout_ms + 999) / 1000),
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
                         MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_URI_LOG_CALLBACK, on_target, loop,
                         MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, loop, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
                         loop, MHD_OPTION_END);
    if (!loop->daemon)
        return hf_error_set(err, HF_INTERNAL, "libmicrohttpd cannot start: %s", strerror(errno));
    loop->mhd_fd = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return true;
}

/* One client that began a request and dawdles must not use up the time that a supervisor gives for a stop. */
static bool is_busy(const struct hf_http *http, uint64_t arrival_ns)
{
    int arriving = atomic_load_explicit(&http->service.arriving, memory_order_relaxed);
    int under_way = atomic_load_explicit(&http->service.under_way, memory_order_acquire);
    return under_way > (hf_clock_monotonic_ns() < arrival_ns ? 0 : arriving);
}

static void wake_all(struct hf_http *http)
{
    for (int i = 0; i < http->loop_count; i++)
        hf_completions_wake(&http->loops[i].completions);
}

static void free_http(struct hf_http *http)
{
    for (int i = 0; i < http->loop_count; i++) {
        struct loop *loop = &http->loops[i];
        if (loop->daemon && !loop->running)
            MHD_stop_daemon(loop->daemon); /* a start that failed half-way; closes its socket */
        else if (!loop->daemon && loop->listen_fd >= 0)
            close(loop->listen_fd);
        hf_record_done(&loop->record);
        hf_completions_done(&loop->completions);
    }
    free(http);
}

static void *run_loop(void *argument)
{
    struct loop *loop = argument;
    while (!atomic_load_explicit(&loop->http->stopping, memory_order_relaxed))
        turn(loop);
    shut_down(loop);
    return NULL;
}

static void turn(struct loop *loop)
{
    if (wait_for_work(loop))
        run_daemon(loop);
    if (atomic_load_explicit(&loop->http->service.quiescing, memory_order_relaxed))
        stop_listening(loop);
    bool finished = resume_finished(loop);
    if (sweep(loop) || finished)
        run_daemon(loop);
    hf_record_flush(&loop->record);
}

/* At its limit (of connections, or of the process's descriptors) the library no longer watches the listening socket,
 * and takes that up again only at the start of a run. So connections that ended are followed by one more: nothing else
 * would ever wake a loop that has lost all of them. */
static void run_daemon(struct loop *loop)
{
    MHD_run(loop->daemon);
    unsigned open = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
    if (open < loop->open)
        MHD_run(loop->daemon);
    loop->open = open;
}

/* Until there is something to do; false when that is completions alone and the library needs no run of its own. */
static bool wait_for_work(struct loop *loop)
{
    MHD_UNSIGNED_LONG_LONG mhd_ms = 0;
    int timeout_ms = loop->waiting_first ? (int)(SWEEP_NS / HF_MS_NS) : -1;
    if (MHD_get_timeout(loop->daemon, &mhd_ms) == MHD_YES && (timeout_ms < 0 || mhd_ms < (unsigned)timeout_ms))
        timeout_ms = mhd_ms < 60000 ? (int)mhd_ms : 60000;
    bool mhd_ready = timeout_ms == 0;
    /* The flags are looked at after the loop has said that it sleeps, so that no wake-up is missed. */
    if (!hf_completions_may_sleep(&loop->completions) ||
        (loop->listen_fd >= 0 && atomic_load(&loop->http->service.quiescing)) || atomic_load(&loop->http->stopping))
        timeout_ms = 0;
    struct pollfd fds[2] = {{.fd = loop->mhd_fd, .events = POLLIN},
                            {.fd = loop->completions.eventfd, .events = POLLIN}};
    int ready = poll(fds, 2, timeout_ms);
    hf_completions_awake(&loop->completions, ready > 0 && fds[1].revents);
    return ready == 0 || mhd_ready || (ready > 0 && fds[0].revents);
}

/* True when a connection was resumed: the library must run before the loop sleeps. */
static bool resume_finished(struct loop *loop)
{
    bool resumed = false;
    struct hf_completion *item = hf_completions_take(&loop->completions);
    while (item) {
        struct hf_completion *next = item->next;
        struct hf_exchange *x = (struct hf_exchange *)(void *)((char *)item - offsetof(struct hf_exchange, completion));
        take_back(loop, x);
        if (x->phase == HF_PHASE_WAITING) {
            resume(loop, x);
            resumed = true;
        } else if (!x->connected) {
            hf_exchange_free(x);
        }
        item = next;
    }
    return resumed;
}

/* Once a second: requests whose answer does not come. */
static bool sweep(struct loop *loop)
{
    const struct hf_service *service = &loop->http->service;
    uint64_t now_ns = hf_clock_monotonic_ns();
    if (now_ns < loop->sweep_due_ns)
        return false;
    hf_record_allow_warnings(&loop->record);
    loop->sweep_due_ns = now_ns + SWEEP_NS;
    hf_metric_set(HF_M_INFLIGHT_BYTES, (double)atomic_load_explicit(&service->inflight_bytes, memory_order_relaxed));
    return give_up_waiting(loop, now_ns - (uint64_t)service->config->request_timeout_ms * HF_MS_NS, HF_OVERLOADED);
}

static bool give_up_waiting(struct loop *loop, uint64_t dispatched_before_ns, enum hf_code reason)
{
    bool resumed = false;
    while (loop->waiting_first && loop->waiting_first->dispatched_ns <= dispatched_before_ns) {
        struct hf_exchange *x = loop->waiting_first;
        hf_exchange_give_up(x, reason);
        resume(loop, x);
        resumed = true;
    }
    return resumed;
}

static void stop_listening(struct loop *loop)
{
    if (loop->listen_fd < 0)
        return;
    MHD_socket fd = MHD_quiesce_daemon(loop->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    loop->listen_fd = -1;
}

/* What others still have is answered now; then the answers get a moment to leave. */
static void shut_down(struct loop *loop)
{
    stop_listening(loop);
    resume_finished(loop);
    give_up_waiting(loop, UINT64_MAX, HF_SHUTTING_DOWN);
    MHD_run(loop->daemon);
    uint64_t deadline_ns = hf_clock_monotonic_ns() + LAST_ANSWERS_NS;
    while (loop->connected > 0 && hf_clock_monotonic_ns() < deadline_ns) {
        struct pollfd fd = {.fd = loop->mhd_fd, .events = POLLIN};
        poll(&fd, 1, 10);
        MHD_run(loop->daemon);
        resume_finished(loop);
    }
    HF_ASSERT(!loop->waiting_first);
    MHD_stop_daemon(loop->daemon);
    loop->daemon = NULL;
    HF_ASSERT(loop->connected == 0);
    hf_record_flush(&loop->record);
}

/* The loops have ended; requests that others had come back to this thread. */
static void take_late_completions(struct hf_http *http)
{
    const struct timespec pause = {.tv_nsec = 5 * (long)HF_MS_NS};
    uint64_t deadline_ns = hf_clock_monotonic_ns() + LAST_COMPLETIONS_NS;
    for (;;) {
        for (int i = 0; i < http->loop_count; i++)
            resume_finished(&http->loops[i]);
        if (atomic_load_explicit(&http->service.under_way, memory_order_acquire) == 0 ||
            hf_clock_monotonic_ns() >= deadline_ns)
            return;
        nanosleep(&pause, NULL);
    }
}

/* The library's earliest call, with the target as it was sent; what this returns comes back as *slot. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    struct loop *loop = cls;
    struct hf_exchange *x = hf_exchange_new(&loop->http->service, &loop->completions, target);
    x->connection = connection;
    loop->connected++;
    return x;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_bytes, void **slot)
{
    struct loop *loop = cls;
    struct hf_exchange *x = *slot;
    struct reading reading;
    size_t bytes = *data_bytes;
    (void)connection;
    *data_bytes = 0; /* always taken: a body left lying hangs the connection */
    switch (x->phase) {
    case HF_PHASE_HEADERS:
        reading.x = x;
        hf_head_begin(&reading.head, method, url, x->target_bytes, version);
        return on_headers(loop, &reading, method, version);
    case HF_PHASE_BODY:
        if (bytes > 0)
            return hf_exchange_body(x, data, bytes) ? MHD_YES : MHD_NO;
        return on_complete_request(loop, x);
    case HF_PHASE_READY:
        return answer(loop, x);
    case HF_PHASE_WAITING:
    case HF_PHASE_ANSWERED:
        break;
    }
    return MHD_YES;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct reading *reading = cls;
    const char *text = value ? value : "";
    if (kind == MHD_COOKIE_KIND) {
        hf_head_add_cookie(&reading->head, name, text);
        return MHD_YES;
    }
    hf_head_add_header(&reading->head, name, text);
    hf_exchange_header(reading->x, name, text);
    return MHD_YES;
}

static enum MHD_Result on_headers(struct loop *loop, struct reading *reading, const char *method, const char *version)
{
    struct hf_exchange *x = reading->x;
    MHD_get_connection_values(x->connection, (enum MHD_ValueKind)(MHD_HEADER_KIND | MHD_COOKIE_KIND), on_header,
                              reading);
    size_t memory_bytes = hf_head_memory_bytes(&reading->head);
    bool is_crowded = memory_bytes > CONNECTION_MEMORY_BYTES - ANSWER_HEAD_BYTES;
    bool is_whole = hf_head_is_whole(&reading->head);
    if (!is_whole)
        hf_exchange_refuse(x, "the request line or a header has a NUL byte, a line break or a space too many");
    else if (strcmp(version, "HTTP/1.0") != 0 && !x->request.headers[HF_H_HOST])
        hf_exchange_refuse(x, "the header Host is missing (RFC 9112, section 3.2)");
    else if (is_crowded)
        hf_exchange_refuse(x, "the headers are too many or too long");
    hf_exchange_admit(x, method, &loop->ids);
    if (is_crowded)
        return answer_past_library(loop, x);
    if (!hf_exchange_answers_early(x))
        return MHD_YES;
    x->close = true;
    return answer(loop, x);
}

static enum MHD_Result on_complete_request(struct loop *loop, struct hf_exchange *x)
{
    if (atomic_load_explicit(&loop->http->stopping, memory_order_relaxed))
        x->failed = !hf_error_set(&x->err, HF_SHUTTING_DOWN, "the service is stopping; nothing was changed");
    if (hf_exchange_dispatch(x))
        return answer(loop, x);
    loop->outstanding++;
    suspend(loop, x);
    return MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    struct loop *loop = cls;
    struct hf_exchange *x = *slot;
    (void)connection, (void)code;
    if (!x)
        return;
    *slot = NULL;
    HF_ASSERT(x->phase != HF_PHASE_WAITING);
    x->connected = false;
    loop->connected--;
    if (!x->outstanding)
        hf_exchange_free(x);
}

/* The router decodes the target itself, after splitting it: the library's own decoding is of no use. */
static size_t on_unescape(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls, (void)connection;
    return strlen(text);
}

/* The library answers what it cannot parse (400, 413, 414, 431) without asking; its log is where that shows. */
static void on_library_log(void *cls, const char *format, va_list args)
{
    static const char own_answer[] = "Error processing request";
    (void)cls;
    if (strncmp(format, own_answer, sizeof(own_answer) - 1) == 0)
        hf_metric_add(HF_M_HTTP_PROTOCOL_ERRORS, 1);
    if (!hf_log_enabled(HF_LOG_DEBUG))
        return;
    char text[512];
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\r\n")] = '\0';
    hf_log(HF_LOG_DEBUG, "http_library", text);
}

static void suspend(struct loop *loop, struct hf_exchange *x)
{
    MHD_suspend_connection(x->connection);
    x->phase = HF_PHASE_WAITING;
    x->waiting_before = loop->waiting_last;
    x->waiting_after = NULL;
    if (loop->waiting_last)
        loop->waiting_last->waiting_after = x;
    else
        loop->waiting_first = x;
    loop->waiting_last = x;
}

static void resume(struct loop *loop, struct hf_exchange *x)
{
    if (x->waiting_before)
        x->waiting_before->waiting_after = x->waiting_after;
    else
        loop->waiting_first = x->waiting_after;
    if (x->waiting_after)
        x->waiting_after->waiting_before = x->waiting_before;
    else
        loop->waiting_last = x->waiting_before;
    x->phase = HF_PHASE_READY;
    MHD_resume_connection(x->connection);
}

static void take_back(struct loop *loop, struct hf_exchange *x)
{
    HF_ASSERT(x->outstanding);
    x->outstanding = false;
    x->request.on_worker = false;
    loop->outstanding--;
    if (x->standin)
        hf_exchange_discard(x);
}

static enum MHD_Result answer(struct loop *loop, struct hf_exchange *x)
{
    if (!x->standin)
        hf_exchange_settle(x);
    const struct hf_reply *reply = hf_exchange_reply(x);
    x->phase = HF_PHASE_ANSWERED;
    hf_record_add(&loop->record, x, reply->status);
    return queue_reply(x, reply);
}

/* The library would take the answer and then close the connection for want of memory, without a word. */
static enum MHD_Result answer_past_library(struct loop *loop, struct hf_exchange *x)
{
    hf_exchange_settle(x);
    x->phase = HF_PHASE_ANSWERED;
    int status = hf_exchange_reply(x)->status;
    hf_record_add(&loop->record, x, status);
    hf_plain_send(MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd, x,
                  MHD_get_reason_phrase_for((unsigned)status));
    return MHD_NO;
}

/* Nothing is copied: the exchange keeps the reply's memory until the library says that the request is completed. */
static enum MHD_Result queue_reply(struct hf_exchange *x, const struct hf_reply *reply)
{
    struct MHD_Response *response = make_response(reply);
    if (!response)
        return MHD_NO;
    bool ok = MHD_add_response_header(response, "X-Request-Id", x->request.request_id) == MHD_YES;
    if (reply->content_type)
        ok = ok && MHD_add_response_header(response, "Content-Type", reply->content_type) == MHD_YES;
    for (int i = 0; i < reply->header_count; i++)
        ok = ok && MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value) == MHD_YES;
    if (x->close || atomic_load_explicit(&x->service->quiescing, memory_order_relaxed))
        ok = ok && MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    enum MHD_Result result = ok ? MHD_queue_response(x->connection, (unsigned)reply->status, response) : MHD_NO;
    MHD_destroy_response(response);
    return result;
}

static struct MHD_Response *make_response(const struct hf_reply *reply)
{
    const void *data = reply->body.data;
    size_t bytes = reply->body.bytes;
    if (reply->blob) {
        data = reply->blob->data + reply->blob_offset;
        bytes = reply->blob_bytes;
    }
    /* With 304 the length is that of the content not sent (RFC 9110 section 8.6): a handler may give the blob for it.
     */
    if (bytes == 0 || (!reply->content_type && reply->status != MHD_HTTP_NOT_MODIFIED)) {
        data = "";
        bytes = 0;
    }
    return MHD_create_response_from_buffer(bytes, (void *)(uintptr_t)data, MHD_RESPMEM_PERSISTENT);
}
