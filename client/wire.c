#include "client/wire_private.h"

#include "client/problem.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/cond.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define LINES_KEPT_MAX     16
#define POLL_MAX_MS        1000
#define LOOK_EVERY_NS      (100 * HF_MS_NS)
#define EXPECT_BYTES_MIN   (1024 * 1024)
#define KEEP_ALIVE_SECONDS 30L
#define LATER_SECONDS_MAX  INT64_C(1000000000)

/* An easy handle for its options, and a multi handle for its connections and for being woken up. */
struct line {
    CURL *easy;
    CURLM *multi;
    curl_socket_t kept; /* its connection while it is idle; CURL_SOCKET_BAD: none */
    char reason[CURL_ERROR_SIZE];
    struct line *next;
};

struct hf_wire {
    char *url;
    char *authorization; /* the whole header line; NULL: none */
    char *ca_file;
    char *user_agent;
    int connect_timeout_ms;
    _Atomic pid_t process; /* whose lines these are; below 0: that process is just making it its own */
    pthread_mutex_t mutex; /* protects what follows */
    pthread_cond_t cancelled;
    bool is_cancelled;
    struct line *idle;
    struct line *busy;
    int idle_count;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start_library(void);
static void own(struct hf_wire *wire);
static void start_anew(struct hf_wire *wire);
static struct line *take_line(struct hf_wire *wire);
static void give_line_back(struct hf_wire *wire, struct line *line);
static void free_line(struct line *line);
static struct curl_slist *prepare(struct hf_wire *wire, struct line *line, struct exchange *exchange);
static void prepare_body(CURL *easy, struct exchange *exchange);
static struct curl_slist *header_lines(const struct hf_wire *wire, const struct hf_wire_request *request);
static CURLcode run(struct hf_wire *wire, struct line *line, struct exchange *exchange);
static int longest_wait_ms(const struct hf_wire_request *request);
static int64_t retry_after_ms(CURL *easy);
static bool is_stopped(const atomic_bool *stop);
static bool goes_on(struct exchange *exchange, uint64_t *moved_ns, int64_t *moved_bytes, uint64_t *told_ns);
static bool tell_progress(struct exchange *exchange);
static int64_t moved_by(const struct exchange *exchange);
static bool explain(const struct hf_wire *wire, const struct line *line, const struct exchange *exchange, CURLcode code,
                    struct holdfast_error *err);
static int note_beginning(void *userdata, char *their_address, char *our_address, int their_port, int our_port);

struct hf_wire *hf_wire_new(const struct hf_wire_options *options)
{
    pthread_once(&once, start_library);
    struct hf_wire *wire = hf_alloc(sizeof(*wire));
    wire->url = hf_strdup(options->url);
    wire->authorization = options->token ? hf_format("Authorization: Bearer %s", options->token) : NULL;
    wire->ca_file = options->ca_file ? hf_strdup(options->ca_file) : NULL;
    wire->user_agent = hf_strdup(options->user_agent);
    wire->connect_timeout_ms = options->connect_timeout_ms;
    wire->process = getpid();
    hf_cond_init(&wire->cancelled);
    pthread_mutex_init(&wire->mutex, NULL);
    return wire;
}

void hf_wire_free(struct hf_wire *wire)
{
    if (!wire)
        return;
    own(wire);
    HF_ASSERT(!wire->busy);
    while (wire->idle) {
        struct line *line = wire->idle;
        wire->idle = line->next;
        free_line(line);
    }
    pthread_mutex_destroy(&wire->mutex);
    pthread_cond_destroy(&wire->cancelled);
    free(wire->url);
    free(wire->authorization);
    free(wire->ca_file);
    free(wire->user_agent);
    free(wire);
}

void hf_wire_cancel(struct hf_wire *wire)
{
    own(wire);
    pthread_mutex_lock(&wire->mutex);
    wire->is_cancelled = true;
    for (struct line *line = wire->busy; line; line = line->next)
        curl_multi_wakeup(line->multi);
    pthread_cond_broadcast(&wire->cancelled);
    pthread_mutex_unlock(&wire->mutex);
}

bool hf_wire_is_cancelled(struct hf_wire *wire)
{
    own(wire);
    pthread_mutex_lock(&wire->mutex);
    bool is_cancelled = wire->is_cancelled;
    pthread_mutex_unlock(&wire->mutex);
    return is_cancelled;
}

bool hf_wire_pause(struct hf_wire *wire, int64_t pause_ms, const atomic_bool *stop)
{
    uint64_t end_ns = hf_clock_monotonic_ns() + (uint64_t)pause_ms * HF_MS_NS, now_ns;
    own(wire);
    pthread_mutex_lock(&wire->mutex);
    while (!wire->is_cancelled && !is_stopped(stop) && (now_ns = hf_clock_monotonic_ns()) < end_ns) {
        uint64_t until_ns = stop && now_ns + LOOK_EVERY_NS < end_ns ? now_ns + LOOK_EVERY_NS : end_ns;
        hf_cond_wait_until(&wire->cancelled, &wire->mutex, until_ns);
    }
    bool go_on = !wire->is_cancelled && !is_stopped(stop);
    pthread_mutex_unlock(&wire->mutex);
    return go_on;
}

bool hf_wire_send(struct hf_wire *wire, const struct hf_wire_request *request, struct hf_wire_answer *answer,
                  struct holdfast_error *err)
{
    hf_wire_answer_done(answer);
    hf_wire_answer_init(answer);
    struct line *line = take_line(wire);
    if (!line)
        return hf_problem_set(err, HF_PROBLEM_NO_MEMORY, false, "%s: libcurl has no memory left", request->doing);
    struct exchange exchange = {.easy = line->easy, .request = request, .answer = answer};
    struct curl_slist *headers = prepare(wire, line, &exchange);
    CURLcode code = run(wire, line, &exchange);
    long status = 0;
    curl_easy_getinfo(line->easy, CURLINFO_RESPONSE_CODE, &status);
    answer->retry_after_ms = retry_after_ms(line->easy);
    answer->maybe_twice = exchange.begun > 1;
    answer->may_have_arrived = code != CURLE_OK && exchange.begun > 0;
    answer->status = code == CURLE_OK ? (int)status : 0;
    bool ok = code == CURLE_OK || explain(wire, line, &exchange, code, err);
    curl_easy_reset(line->easy); /* options only; the connections stay */
    curl_slist_free_all(headers);
    give_line_back(wire, line);
    return ok;
}

static void start_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* After fork() the child has the lines of its parent, but their connections still are the parent's as well: on what
 * both use, each would get the other's answers. The child drops them, whichever of its threads comes first. */
static void own(struct hf_wire *wire)
{
    pid_t self = getpid(), owner;
    while ((owner = atomic_load(&wire->process)) != self) {
        if (owner != -self && atomic_compare_exchange_strong(&wire->process, &owner, -self)) {
            start_anew(wire);
            atomic_store(&wire->process, self);
        } else {
            sched_yield();
        }
    }
}

/* Nothing is said on the connections, not even a farewell of TLS: so libcurl is not asked to clean up, and its memory
 * is left. Lines that were in use lie about as a thread, which is not here, left them; so may the mutex. */
static void start_anew(struct hf_wire *wire)
{
    for (struct line *line = wire->idle; line; line = line->next)
        if (line->kept != CURL_SOCKET_BAD)
            close(line->kept);
    wire->idle = wire->busy = NULL;
    wire->idle_count = 0;
    pthread_mutex_init(&wire->mutex, NULL);
    hf_cond_init(&wire->cancelled);
}

static struct line *take_line(struct hf_wire *wire)
{
    own(wire);
    pthread_mutex_lock(&wire->mutex);
    struct line *line = wire->idle;
    if (line) {
        wire->idle = line->next;
        wire->idle_count--;
    } else {
        line = hf_alloc(sizeof(*line));
        line->kept = CURL_SOCKET_BAD;
        line->easy = curl_easy_init();
        line->multi = curl_multi_init();
        if (!line->easy || !line->multi) {
            free_line(line);
            line = NULL;
        }
    }
    if (line) {
        line->next = wire->busy;
        wire->busy = line;
    }
    pthread_mutex_unlock(&wire->mutex);
    return line;
}

static void give_line_back(struct hf_wire *wire, struct line *line)
{
    pthread_mutex_lock(&wire->mutex);
    struct line **place = &wire->busy;
    while (*place != line)
        place = &(*place)->next;
    *place = line->next;
    bool keep = wire->idle_count < LINES_KEPT_MAX;
    if (keep) {
        line->next = wire->idle;
        wire->idle = line;
        wire->idle_count++;
    }
    pthread_mutex_unlock(&wire->mutex);
    if (!keep)
        free_line(line);
}

static void free_line(struct line *line)
{
    if (line->easy)
        curl_easy_cleanup(line->easy);
    if (line->multi)
        curl_multi_cleanup(line->multi);
    free(line);
}

static struct curl_slist *prepare(struct hf_wire *wire, struct line *line, struct exchange *exchange)
{
    const struct hf_wire_request *request = exchange->request;
    CURL *easy = line->easy;
    HF_AUTO(free) char *url = hf_format("%s%s", wire->url, request->target);
    line->reason[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, line->reason);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)wire->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L); /* where idle_ms does not bound the wait */
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEP_ALIVE_SECONDS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEP_ALIVE_SECONDS);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, wire->user_agent);
    if (wire->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, wire->ca_file);
    /* On a kept connection that ends without an answer libcurl sends the request again by itself. */
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->once || request->read ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, note_beginning);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, hf_wire_take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, hf_wire_take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    prepare_body(easy, exchange);
    struct curl_slist *headers = header_lines(wire, request);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    return headers;
}

static void prepare_body(CURL *easy, struct exchange *exchange)
{
    const struct hf_wire_request *request = exchange->request;
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->read) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, hf_wire_give_body);
        curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->upload_bytes);
    } else if (request->body || strcmp(request->method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->bytes);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static struct curl_slist *header_lines(const struct hf_wire *wire, const struct hf_wire_request *request)
{
    struct curl_slist *list = NULL;
    bool large = request->read ? request->upload_bytes < 0 || request->upload_bytes >= EXPECT_BYTES_MIN
                               : request->bytes >= EXPECT_BYTES_MIN;
    HF_AUTO(free)
    char *type = hf_format("Content-Type:%s%s", request->content_type ? " " : "",
                           request->content_type ? request->content_type : "");
    HF_AUTO(free) char *accept = hf_format("Accept: %s", request->accept ? request->accept : "*/*");
    /* What is refused by its head is not worth sending when it is large; small bodies are not made to wait. */
    const char *const own[] = {type, accept, large ? "Expect: 100-continue" : "Expect:", wire->authorization};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (own[i])
            list = curl_slist_append(list, own[i]);
    for (const char *const *line = request->headers; line && *line; line++)
        list = curl_slist_append(list, *line);
    return list;
}

/* As curl_easy_perform, but woken up by hf_wire_cancel. */
static CURLcode run(struct hf_wire *wire, struct line *line, struct exchange *exchange)
{
    if (curl_multi_add_handle(line->multi, line->easy) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    uint64_t moved_ns = hf_clock_monotonic_ns(), told_ns = moved_ns;
    int64_t moved_bytes = 0;
    CURLcode code = CURLE_OK;
    int running = 1, left;
    while (running > 0 && exchange->end == EXCHANGE_OPEN) {
        if (curl_multi_perform(line->multi, &running) != CURLM_OK)
            code = CURLE_OUT_OF_MEMORY;
        const CURLMsg *message = curl_multi_info_read(line->multi, &left);
        if (message && message->msg == CURLMSG_DONE)
            code = message->data.result;
        if (running == 0 || code != CURLE_OK)
            break;
        if (hf_wire_is_cancelled(wire) || is_stopped(exchange->request->stop))
            exchange->end = EXCHANGE_CANCELLED;
        else if (goes_on(exchange, &moved_ns, &moved_bytes, &told_ns))
            curl_multi_poll(line->multi, NULL, 0, longest_wait_ms(exchange->request), NULL);
    }
    line->kept = CURL_SOCKET_BAD;
    if (running == 0 && code == CURLE_OK) /* else it is closed now; and later libcurl does not tell any more */
        curl_easy_getinfo(line->easy, CURLINFO_ACTIVESOCKET, &line->kept);
    curl_multi_remove_handle(line->multi, line->easy);
    if (code == CURLE_OK && exchange->end == EXCHANGE_OPEN && !tell_progress(exchange))
        exchange->end = EXCHANGE_REFUSED;
    return exchange->end != EXCHANGE_OPEN && code == CURLE_OK ? CURLE_ABORTED_BY_CALLBACK : code;
}

static int longest_wait_ms(const struct hf_wire_request *request)
{
    int wait_ms = request->progress || request->stop ? (int)(LOOK_EVERY_NS / HF_MS_NS) : POLL_MAX_MS;
    return request->idle_ms >= 0 && request->idle_ms < wait_ms ? request->idle_ms + 1 : wait_ms;
}

/* As long as the answer said; 0: it did not say, not in a way that can be read, or a moment that is over. */
static int64_t retry_after_ms(CURL *easy)
{
    curl_off_t seconds = 0;
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0)
        return 0;
    return (seconds < LATER_SECONDS_MAX ? seconds : LATER_SECONDS_MAX) * 1000;
}

static bool is_stopped(const atomic_bool *stop)
{
    return stop && atomic_load(stop);
}

/* Looks at the time: whether bytes still move, and whether the caller is to be told. */
static bool goes_on(struct exchange *exchange, uint64_t *moved_ns, int64_t *moved_bytes, uint64_t *told_ns)
{
    uint64_t now_ns = hf_clock_monotonic_ns();
    int64_t bytes = moved_by(exchange);
    int idle_ms = exchange->request->idle_ms;
    if (bytes != *moved_bytes)
        *moved_ns = now_ns;
    *moved_bytes = bytes;
    if (idle_ms >= 0 && now_ns - *moved_ns > (uint64_t)idle_ms * HF_MS_NS)
        exchange->end = EXCHANGE_IDLE;
    if (now_ns - *told_ns >= LOOK_EVERY_NS) {
        *told_ns = now_ns;
        if (!tell_progress(exchange))
            exchange->end = EXCHANGE_REFUSED;
    }
    return exchange->end == EXCHANGE_OPEN;
}

static bool tell_progress(struct exchange *exchange)
{
    const struct hf_wire_request *request = exchange->request;
    curl_off_t sent = 0, to_receive = -1;
    if (!request->progress)
        return true;
    curl_easy_getinfo(exchange->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &to_receive);
    int64_t to_send = request->read ? request->upload_bytes : (int64_t)request->bytes;
    return request->progress(request->context, sent, to_send, exchange->body_bytes, to_receive);
}

static int64_t moved_by(const struct exchange *exchange)
{
    curl_off_t sent = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    return sent + exchange->head_bytes + exchange->body_bytes;
}

/* On a connection, before the request is sent: a second time where libcurl found a kept connection ended. */
static int note_beginning(void *userdata, char *their_address, char *our_address, int their_port, int our_port)
{
    struct exchange *exchange = userdata;
    (void)their_address, (void)our_address, (void)their_port, (void)our_port;
    exchange->begun++;
    return CURL_PREREQFUNC_OK;
}

static bool explain(const struct hf_wire *wire, const struct line *line, const struct exchange *exchange, CURLcode code,
                    struct holdfast_error *err)
{
    const char *doing = exchange->request->doing;
    const char *reason = line->reason[0] ? line->reason : curl_easy_strerror(code);
    switch (exchange->end) {
    case EXCHANGE_CANCELLED:
        return hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "%s: it was cancelled", doing);
    case EXCHANGE_REFUSED:
        return hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "%s: the caller ended it", doing);
    case EXCHANGE_IDLE:
        return hf_problem_set(err, HF_PROBLEM_TIMED_OUT, true, "%s: nothing came from %s for %d ms", doing, wire->url,
                              exchange->request->idle_ms);
    case EXCHANGE_TOO_LARGE:
        return hf_problem_set(err, HF_PROBLEM_NO_MEMORY, false, "%s: the answer is larger than %zu bytes", doing,
                              exchange->request->answer_bytes_max);
    case EXCHANGE_NO_MEMORY:
        return hf_problem_set(err, HF_PROBLEM_NO_MEMORY, false, "%s: no memory for the answer", doing);
    case EXCHANGE_OPEN:
        break;
    }
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return hf_problem_set(err, HF_PROBLEM_TIMED_OUT, true, "%s: no connection to %s within %d ms", doing, wire->url,
                              wire->connect_timeout_ms);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return hf_problem_set(err, HF_PROBLEM_UNREACHABLE, false, "%s: %s cannot be trusted: %s; see ca_file", doing,
                              wire->url, reason);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return hf_problem_set(err, HF_PROBLEM_BAD_ANSWER, false, "%s: %s does not speak HTTP as it should: %s", doing,
                              wire->url, reason);
    case CURLE_OUT_OF_MEMORY:
        return hf_problem_set(err, HF_PROBLEM_NO_MEMORY, false, "%s: libcurl has no memory left", doing);
    default:
        return hf_problem_set(err, HF_PROBLEM_UNREACHABLE, true, "%s: %s cannot be reached: %s", doing, wire->url,
                              reason);
    }
}
