/* Loop threads and their libmicrohttpd daemons: the only file that knows the library.
 *
 * What was learned about libmicrohttpd 0.9.75, and is relied on here: a response may be queued on the first call of the
 * access handler or on the last, never in the middle of a body; suspended connections neither time out nor notice that
 * their client left, so the loop gives each a deadline; a connection is suspended and resumed on its loop's thread
 * only, which needs no signalling inside the library; after a resume MHD_run must run before the loop sleeps; stopping
 * a daemon with a suspended connection aborts the process; the end of a connection that arrives together with bytes
 * goes unnoticed, unless the connection is suspended and resumed, which makes the library read again; a chunked answer
 * to HEAD is sent with its last chunk, so it must be one without chunks; a refusal for a
 * malformed Content-Length is sent with its head twice, before anything here is asked (its strict mode does the same
 * for a missing Host, and drops a target with a space without an answer, so both are refused here); target, method and
 * version lie in one piece of memory. */
#include "server/http.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "server/dispatch.h"
#include "server/head.h"
#include "server/listen.h"
#include "server/loop.h"
#include "server/plain.h"
#include "server/transfer.h"

#include <microhttpd.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define LOOPS_MAX               8
#define CONNECTION_MEMORY_BYTES (16 * 1024) /* the library zeroes all of it between two requests: more costs each */
#define ANSWER_HEAD_BYTES       (3 * 1024)  /* of the same memory, what the head of an answer may need */
#define CONTENT_BLOCK_BYTES     (32 * 1024)
#define ARRIVAL_NS              (3 * HF_SECOND_NS)  /* at stop, for requests that are not whole yet */
#define LAST_ANSWERS_NS         HF_SECOND_NS        /* at stop, for answers that are on their way */
#define LAST_COMPLETIONS_NS     (10 * HF_SECOND_NS) /* at stop, for requests that others still have */

struct loop {
    struct hf_loop own; /* its exchanges */
    struct hf_http *http;
    struct MHD_Daemon *daemon;
    int mhd_fd;    /* the daemon's epoll descriptor; borrowed */
    int listen_fd; /* -1 once closed */
    unsigned open; /* connections after the last run */
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
    atomic_int listening; /* loops that do */
    int loop_count;
    struct loop loops[LOOPS_MAX];
};

static int loops_wanted(const struct hf_config *config);
static bool start_loops(struct hf_http *http, struct hf_error *err);
static bool start_daemon(struct loop *loop, struct hf_error *err);
static void wake_all(struct hf_http *http);
static void free_http(struct hf_http *http);

static void *run_loop(void *argument);
static void turn(struct loop *loop);
static void run_daemon(struct loop *loop);
static bool wait_for_work(struct loop *loop);
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

static void suspend(void *connection);
static void resume(void *connection);
static bool has_left(void *connection);
static int socket_of(struct MHD_Connection *connection);
static enum MHD_Result answer(struct loop *loop, struct hf_exchange *x);
static enum MHD_Result answer_past_library(struct loop *loop, struct hf_exchange *x);
static enum MHD_Result queue_reply(struct hf_exchange *x, const struct hf_reply *reply);
static struct MHD_Response *make_response(struct hf_exchange *x, const struct hf_reply *reply);
static ssize_t on_content(void *cls, uint64_t position, char *out, size_t bytes_max);
static ssize_t end_content(struct hf_exchange *x);
static ssize_t break_off_content(const struct hf_exchange *x);

bool hf_http_start(struct hf_http **out, const struct hf_http_options *options, struct hf_error *err)
{
    struct hf_http *http = hf_alloc(sizeof(*http));
    if (!hf_listen_resolve(options->config->listen, &http->address, err) ||
        !hf_service_start(&http->service, options, err) ||
        !hf_service_check_tokens(&http->service, hf_listen_is_loopback(&http->address), err) ||
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
    while ((atomic_load(&http->listening) > 0 || hf_service_is_busy(&http->service, arrival_ns)) &&
           hf_clock_monotonic_ns() < deadline_ns)
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
    hf_service_stop(&http->service);
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

static bool start_loops(struct hf_http *http, struct hf_error *err)
{
    int fds[LOOPS_MAX];
    int count = loops_wanted(http->service.config);
    if (!hf_listen_open(&http->address, fds, count, err))
        return false;
    for (int i = 0; i < count; i++)
        http->loops[i] = (struct loop){
            .http = http,
            .listen_fd = fds[i],
            .own = {.service = &http->service,
                    .suspend = suspend,
                    .resume = resume,
                    .has_left = has_left,
                    .completions = {.eventfd = -1}},
        };
    http->loop_count = count;
    atomic_store(&http->listening, count);
    for (int i = 0; i < count; i++)
        if (!hf_loop_init(&http->loops[i].own, err) || !start_daemon(&http->loops[i], err))
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

static void wake_all(struct hf_http *http)
{
    for (int i = 0; i < http->loop_count; i++)
        hf_completions_wake(&http->loops[i].own.completions);
}

static void free_http(struct hf_http *http)
{
    for (int i = 0; i < http->loop_count; i++) {
        struct loop *loop = &http->loops[i];
        if (loop->daemon && !loop->running)
            MHD_stop_daemon(loop->daemon); /* a start that failed half-way; closes its socket */
        else if (!loop->daemon && loop->listen_fd >= 0)
            close(loop->listen_fd);
        hf_loop_done(&loop->own);
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
    bool resumed = hf_loop_take_news(&loop->own);
    if (hf_loop_sweep(&loop->own) || resumed)
        run_daemon(loop);
    hf_record_flush(&loop->own.record);
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
    struct hf_completions *completions = &loop->own.completions;
    int timeout_ms = hf_loop_timeout_ms(&loop->own);
    if (MHD_get_timeout(loop->daemon, &mhd_ms) == MHD_YES && (timeout_ms < 0 || mhd_ms < (unsigned)timeout_ms))
        timeout_ms = mhd_ms < 60000 ? (int)mhd_ms : 60000;
    bool mhd_ready = timeout_ms == 0;
    /* The flags are looked at after the loop has said that it sleeps, so that no wake-up is missed. */
    if (!hf_completions_may_sleep(completions) ||
        (loop->listen_fd >= 0 && atomic_load(&loop->http->service.quiescing)) || atomic_load(&loop->http->stopping))
        timeout_ms = 0;
    struct pollfd fds[2] = {{.fd = loop->mhd_fd, .events = POLLIN}, {.fd = completions->eventfd, .events = POLLIN}};
    int ready = poll(fds, 2, timeout_ms);
    hf_completions_awake(completions, ready > 0 && fds[1].revents);
    return ready == 0 || mhd_ready || (ready > 0 && fds[0].revents);
}

static void stop_listening(struct loop *loop)
{
    if (loop->listen_fd < 0)
        return;
    MHD_socket fd = MHD_quiesce_daemon(loop->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    loop->listen_fd = -1;
    atomic_fetch_sub(&loop->http->listening, 1);
}

/* What others still have is answered now; then the answers get a moment to leave. */
static void shut_down(struct loop *loop)
{
    stop_listening(loop);
    hf_loop_take_news(&loop->own);
    hf_loop_give_up(&loop->own);
    MHD_run(loop->daemon);
    uint64_t deadline_ns = hf_clock_monotonic_ns() + LAST_ANSWERS_NS;
    while (loop->own.connected > 0 && hf_clock_monotonic_ns() < deadline_ns) {
        struct pollfd fd = {.fd = loop->mhd_fd, .events = POLLIN};
        poll(&fd, 1, 10);
        MHD_run(loop->daemon);
        hf_loop_take_news(&loop->own);
    }
    MHD_stop_daemon(loop->daemon);
    loop->daemon = NULL;
    HF_ASSERT(loop->own.connected == 0);
    hf_record_flush(&loop->own.record);
}

/* The loops have ended; requests that others had come back to this thread. */
static void take_late_completions(struct hf_http *http)
{
    const struct timespec pause = {.tv_nsec = 5 * (long)HF_MS_NS};
    uint64_t deadline_ns = hf_clock_monotonic_ns() + LAST_COMPLETIONS_NS;
    for (;;) {
        for (int i = 0; i < http->loop_count; i++)
            hf_loop_take_news(&http->loops[i].own);
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
    return hf_loop_connect(&loop->own, target, connection);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_bytes, void **slot)
{
    struct loop *loop = cls;
    struct hf_exchange *x = *slot;
    struct reading reading;
    size_t bytes = *data_bytes;
    (void)connection;
    *data_bytes = 0; /* taken, or the connection is suspended: a body left lying hangs it */
    switch (x->phase) {
    case HF_PHASE_HEADERS:
        reading.x = x;
        hf_head_begin(&reading.head, method, url, x->target_bytes, version);
        return on_headers(loop, &reading, method, version);
    case HF_PHASE_BODY:
        if (bytes == 0)
            return on_complete_request(loop, x);
        if (!hf_exchange_body(x, data, &bytes))
            return MHD_NO;
        if (bytes > 0)
            hf_loop_pause(&loop->own, x);
        *data_bytes = bytes;
        break;
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
    x->is_http_1_0 = strcmp(version, "HTTP/1.0") == 0;
    if (!is_whole)
        hf_exchange_refuse(x, "the request line or a header has a NUL byte, a line break or a space too many");
    else if (!x->is_http_1_0 && !x->request.headers[HF_H_HOST])
        hf_exchange_refuse(x, "the header Host is missing (RFC 9112, section 3.2)");
    else if (is_crowded)
        hf_exchange_refuse(x, "the headers are too many or too long");
    hf_exchange_admit(x, method, &loop->own.ids);
    if (is_crowded)
        return answer_past_library(loop, x);
    if (!x->failed && x->request.route->body == HF_BODY_STREAM)
        hf_loop_receive(&loop->own, x);
    if (!hf_exchange_answers_early(x))
        return MHD_YES;
    x->close = true;
    return answer(loop, x);
}

static enum MHD_Result on_complete_request(struct loop *loop, struct hf_exchange *x)
{
    if (!x->transfer && atomic_load_explicit(&loop->http->stopping, memory_order_relaxed))
        x->failed = !hf_error_set(&x->err, HF_SHUTTING_DOWN, "the service is stopping; nothing was changed");
    if (x->standin || hf_dispatch_request(x))
        return answer(loop, x);
    hf_loop_wait(&loop->own, x);
    return MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    struct loop *loop = cls;
    struct hf_exchange *x = *slot;
    (void)connection;
    if (!x)
        return;
    *slot = NULL;
    hf_loop_disconnect(&loop->own, x, code == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED);
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

static void suspend(void *connection)
{
    MHD_suspend_connection(connection);
}

static void resume(void *connection)
{
    MHD_resume_connection(connection);
}

static bool has_left(void *connection)
{
    char byte;
    return recv(socket_of(connection), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static int socket_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static enum MHD_Result answer(struct loop *loop, struct hf_exchange *x)
{
    if (!x->standin)
        hf_exchange_settle(x);
    const struct hf_reply *reply = hf_exchange_reply(x);
    x->phase = HF_PHASE_ANSWERED;
    if (hf_exchange_streams(x) && reply->stream)
        hf_loop_stream(&loop->own, x);
    hf_record_add(&loop->own.record, x, reply->status);
    return queue_reply(x, reply);
}

/* The library would take the answer and then close the connection for want of memory, without a word. */
static enum MHD_Result answer_past_library(struct loop *loop, struct hf_exchange *x)
{
    hf_exchange_settle(x);
    x->phase = HF_PHASE_ANSWERED;
    int status = hf_exchange_reply(x)->status;
    hf_record_add(&loop->own.record, x, status);
    hf_plain_send(socket_of(x->connection), x, MHD_get_reason_phrase_for((unsigned)status));
    return MHD_NO;
}

/* Nothing is copied: the exchange keeps the reply's memory until the library says that the request is completed. */
static enum MHD_Result queue_reply(struct hf_exchange *x, const struct hf_reply *reply)
{
    struct MHD_Response *response = make_response(x, reply);
    if (!response)
        return MHD_NO;
    bool ok = MHD_add_response_header(response, "X-Request-Id", x->request.request_id) == MHD_YES;
    if (reply->content_type)
        ok = ok && MHD_add_response_header(response, "Content-Type", reply->content_type) == MHD_YES;
    for (int i = 0; i < reply->header_count; i++)
        ok = ok && MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value) == MHD_YES;
    if (hf_exchange_streams(x) && x->request.method != HF_HEAD && x->transfer && x->transfer->trailer.name)
        ok = ok && MHD_add_response_header(response, "Trailer", x->transfer->trailer.name) == MHD_YES;
    if (x->close || atomic_load_explicit(&x->service->quiescing, memory_order_relaxed))
        ok = ok && MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    enum MHD_Result result = ok ? MHD_queue_response(x->connection, (unsigned)reply->status, response) : MHD_NO;
    MHD_destroy_response(response);
    return result;
}

static struct MHD_Response *make_response(struct hf_exchange *x, const struct hf_reply *reply)
{
    if (hf_exchange_streams(x)) {
        x->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, CONTENT_BLOCK_BYTES, on_content, x, NULL);
        if (x->response && x->request.method == HF_HEAD)
            MHD_set_response_options(x->response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
        return x->response;
    }
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

/* What has been written into its pipe by now, or later. */
static ssize_t on_content(void *cls, uint64_t position, char *out, size_t bytes_max)
{
    struct hf_exchange *x = cls;
    size_t bytes;
    (void)position;
    switch (hf_pipe_take(hf_exchange_pipe(x), out, bytes_max, &bytes)) {
    case HF_PIPE_MOVED:
        return (ssize_t)bytes;
    case HF_PIPE_WAIT:
        hf_loop_pause(x->loop, x);
        return 0;
    case HF_PIPE_END:
        return end_content(x);
    case HF_PIPE_BROKEN:
        break;
    }
    return break_off_content(x);
}

static ssize_t end_content(struct hf_exchange *x)
{
    const struct hf_reply_header *trailer = x->transfer ? &x->transfer->trailer : NULL;
    if (trailer && trailer->name && trailer->value &&
        MHD_add_response_footer(x->response, trailer->name, trailer->value) != MHD_YES)
        return break_off_content(x);
    return MHD_CONTENT_READER_END_OF_STREAM;
}

/* The last chunk stays away. A client that knows no chunks takes the end of the connection for that of the body: it
 * gets a reset, which is what disconnecting a socket sends on the spot (the library would close in good order first).
 */
static ssize_t break_off_content(const struct hf_exchange *x)
{
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    if (x->is_http_1_0 && connect(socket_of(x->connection), &nowhere, sizeof(nowhere)) != 0)
        hf_log(HF_LOG_DEBUG, "reset_failed", strerror(errno));
    return MHD_CONTENT_READER_END_WITH_ERROR;
}
