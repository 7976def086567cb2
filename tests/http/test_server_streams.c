/* The HTTP server with answers and bodies that are too large to hold: their bytes, their ends, good and bad, what is
 * bounded, and stopping in the middle. Handlers stand in for archives. */
#include "api/auth.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"
#include "server/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "tests/support/check_main.h"
#include "tests/support/client.h"
#include "tests/support/small_server.h"

#define MIB         ((int64_t)1024 * 1024)
#define LARGE_BYTES (200 * MIB)
#define PIECE_BYTES (60 * 1000) /* divides nothing evenly */
#define AHEAD_MAX   (64 * MIB)  /* of a producer before its client: the pipe and all that the kernel holds */
#define GROWTH_MAX  (64 * MIB)

static struct hf_config config;
static struct hf_auth *auth;
static struct hf_http *http;
static struct hf_client *client;

/* What the handlers did. */
static struct {
    pthread_mutex_t mutex;  /* protects all below */
    pthread_cond_t changed; /* any of it */
    bool gate_open;
    int reached_gate;
    int producing; /* begun */
    int freed;
    int received; /* bodies, whole or not */
    struct hf_error producer_err, receiver_err;
    bool producer_ok, receiver_ok;
} seen = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static _Atomic int64_t produced_bytes;

/* One archive under way. */
struct producer {
    int64_t bytes, fail_at, wait_at; /* -1: never */
    struct hf_hasher *hasher;
    char digest[HF_HASH_LABEL];
};

static void pass_gate(void)
{
    pthread_mutex_lock(&seen.mutex);
    seen.reached_gate++;
    pthread_cond_broadcast(&seen.changed);
    while (!seen.gate_open)
        pthread_cond_wait(&seen.changed, &seen.mutex);
    pthread_mutex_unlock(&seen.mutex);
}

static void open_gate(void)
{
    pthread_mutex_lock(&seen.mutex);
    seen.gate_open = true;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.mutex);
}

static void count(int *counter)
{
    pthread_mutex_lock(&seen.mutex);
    ++*counter;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.mutex);
}

static void await(const int *counter, int wanted)
{
    pthread_mutex_lock(&seen.mutex);
    while (*counter < wanted)
        pthread_cond_wait(&seen.changed, &seen.mutex);
    pthread_mutex_unlock(&seen.mutex);
}

/* Bytes that differ wherever a piece could be lost, doubled or moved. */
static void fill(unsigned char *out, int64_t position, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        uint64_t at = (uint64_t)position + i;
        out[i] = (unsigned char)(at ^ (at >> 8) * 31 ^ (at >> 16) * 17);
    }
}

static bool produce_pieces(struct producer *p, const struct hf_writer *to, struct hf_error *err)
{
    unsigned char piece[PIECE_BYTES];
    for (int64_t at = 0; at < p->bytes;) {
        size_t bytes = p->bytes - at < PIECE_BYTES ? (size_t)(p->bytes - at) : PIECE_BYTES;
        if (p->fail_at >= 0 && at >= p->fail_at)
            return hf_error_set(err, HF_DAMAGED, "a blob does not match its hash");
        if (p->wait_at >= 0 && at >= p->wait_at) {
            p->wait_at = -1;
            pass_gate();
        }
        fill(piece, at, bytes);
        hf_hasher_add(p->hasher, piece, bytes);
        if (!to->write(to->context, piece, bytes, err))
            return false;
        at += (int64_t)bytes;
        atomic_store(&produced_bytes, at);
    }
    struct hf_hash hash;
    hf_hasher_finish(p->hasher, &hash);
    hf_hash_label(&hash, p->digest);
    return true;
}

static bool produce(void *context, const struct hf_writer *to, struct hf_error *err)
{
    count(&seen.producing);
    bool ok = produce_pieces(context, to, err);
    pthread_mutex_lock(&seen.mutex);
    seen.producer_ok = ok;
    if (!ok)
        seen.producer_err = *err;
    pthread_mutex_unlock(&seen.mutex);
    return ok;
}

static const char *digest_of(void *context)
{
    struct producer *p = context;
    return p->digest;
}

static void free_producer(void *context)
{
    struct producer *p = context;
    hf_hasher_free(p->hasher);
    free(p);
    count(&seen.freed);
}

static int64_t number(const struct hf_request *request, const char *name, int64_t otherwise)
{
    struct hf_error err;
    return hf_request_query_int(request, name, 0, INT64_MAX, &otherwise, &err) ? otherwise : -1;
}

static enum hf_verdict archive(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct producer *p = hf_alloc(sizeof(*p));
    p->bytes = number(request, "bytes", 0);
    p->fail_at = number(request, "fail", -1);
    p->wait_at = number(request, "wait", -1);
    p->hasher = hf_hasher_new();
    reply->status = 200;
    reply->content_type = "application/octet-stream";
    reply->produce = produce;
    reply->produce_context = p;
    reply->produce_free = free_producer;
    reply->trailer.name = "Content-Digest";
    reply->trailer_value = digest_of;
    hf_reply_header(request, reply, "X-Archive", "yes");
    if (!hf_request_query(request, "refuse"))
        return HF_DONE;
    hf_error_set(err, HF_NOT_FOUND, "there is no such archive");
    return HF_FAIL;
}

/* Reads up to limit bytes; *got_out: how many came. */
static bool receive_bytes(const struct hf_reader *from, int64_t limit, int64_t *got_out, struct hf_hasher *hasher,
                          struct hf_error *err)
{
    unsigned char piece[PIECE_BYTES];
    size_t got = 1;
    *got_out = 0;
    while (got > 0 && *got_out < limit) {
        if (!from->read(from->context, piece, sizeof(piece), &got, err))
            return false;
        hf_hasher_add(hasher, piece, got);
        *got_out += (int64_t)got;
    }
    return true;
}

static enum hf_verdict import(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_hasher *hasher = hf_hasher_new();
    struct hf_hash hash;
    char label[HF_HASH_LABEL];
    int64_t refuse_at = number(request, "refuse", INT64_MAX), got;
    HF_ASSERT(request->on_worker);
    if (hf_request_query(request, "wait"))
        pass_gate();
    bool ok = receive_bytes(request->body_stream, refuse_at, &got, hasher, err);
    hf_hasher_finish(hasher, &hash);
    hf_hasher_free(hasher);
    hf_hash_label(&hash, label);
    if (hf_request_query(request, "linger"))
        pass_gate();
    if (ok && got >= refuse_at)
        ok = hf_error_set(err, HF_CONFLICT, "this archive is not wanted");
    pthread_mutex_lock(&seen.mutex);
    seen.receiver_ok = ok;
    if (!ok)
        seen.receiver_err = *err;
    pthread_mutex_unlock(&seen.mutex);
    count(&seen.received);
    if (!ok)
        return HF_FAIL;
    reply->status = 201;
    reply->content_type = "text/plain";
    hf_buf_add_format(&reply->body, "%lld %s", (long long)got, label);
    return HF_DONE;
}

static enum hf_verdict open_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)request, (void)err;
    reply->status = 200;
    reply->content_type = "text/plain";
    hf_buf_add_text(&reply->body, "open");
    return HF_DONE;
}

static enum hf_verdict slow_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    pass_gate();
    return open_get(request, reply, err);
}

static const struct hf_route routes[] = {
    {HF_GET, "/archive", archive, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_TRANSFER, "archive", "bytes fail wait refuse"},
    {HF_POST, "/import", import, HF_ROLE_OPERATOR, HF_BODY_STREAM, HF_ON_TRANSFER, "import", "refuse wait linger"},
    {HF_GET, "/open", open_get, HF_ROLE_NONE, HF_BODY_NONE, HF_ON_LOOP, "open", NULL},
    {HF_GET, "/slow", slow_get, HF_ROLE_NONE, HF_BODY_NONE, HF_ON_WORKER, "slow", NULL},
    {HF_GET, "/worker", open_get, HF_ROLE_NONE, HF_BODY_NONE, HF_ON_WORKER, "worker", NULL},
};

static void start(void)
{
    struct hf_error err;
    if (!config.listen)
        config = hf_small_server_config();
    const struct hf_http_options options = {.config = &config,
                                            .routes = routes,
                                            .route_count = (int)(sizeof(routes) / sizeof(routes[0]))};
    struct hf_http_options with_auth = options;
    ck_assert(hf_auth_open(&auth, NULL, &err));
    with_auth.auth = auth;
    ck_assert_msg(hf_http_start(&http, &with_auth, &err), "%s", err.text);
    client = hf_client_new(hf_http_port(http));
}

static void stop(void)
{
    hf_client_free(client);
    hf_http_stop(http);
    hf_auth_close(auth);
}

static void expect(const char *method, const char *path, const char *body, long status, const char *word)
{
    struct hf_answer answer;
    ck_assert_msg(hf_client_call(client, method, path, body, NULL, &answer), "%s %s: no answer", method, path);
    ck_assert_msg(answer.status == status, "%s %s: %ld %s", method, path, answer.status, answer.body);
    ck_assert_msg(strstr(answer.body, word) != NULL, "%s %s: no \"%s\" in %s", method, path, word, answer.body);
    hf_answer_done(&answer);
}

static int send_head(const char *request)
{
    int fd = hf_raw_connect(hf_http_port(http));
    ck_assert(hf_raw_send_text(fd, request));
    return fd;
}

static int64_t resident_bytes(void)
{
    long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lld %lld", &pages, &resident), 2);
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

/* A client that holds nothing: it hashes what comes, sends what a producer would. */
struct flow {
    struct hf_hasher *hasher;
    int64_t bytes, bytes_max;
    int64_t ahead_max; /* of the producer */
    bool slowly;
    bool chunked;
    long status;
    char trailer[HF_HASH_LABEL + 40];
    char body[400];
    char digest[HF_HASH_LABEL];
};

static size_t take_answer(char *data, size_t size, size_t items, void *userdata)
{
    struct flow *flow = userdata;
    int64_t ahead = atomic_load(&produced_bytes) - flow->bytes;
    if (ahead > flow->ahead_max)
        flow->ahead_max = ahead;
    hf_hasher_add(flow->hasher, data, size * items);
    if (flow->slowly && flow->bytes / (256 * 1024) != (flow->bytes + (int64_t)(size * items)) / (256 * 1024))
        usleep(1000);
    flow->bytes += (int64_t)(size * items);
    return size * items;
}

static size_t take_text(char *data, size_t size, size_t items, void *userdata)
{
    struct flow *flow = userdata;
    size_t had = strlen(flow->body), room = sizeof(flow->body) - 1 - had;
    memcpy(flow->body + had, data, size * items < room ? size * items : room);
    return size * items;
}

static size_t take_header(char *data, size_t size, size_t items, void *userdata)
{
    struct flow *flow = userdata;
    if (size * items < sizeof(flow->trailer) && strncasecmp(data, "Content-Digest: ", 16) == 0)
        snprintf(flow->trailer, sizeof(flow->trailer), "%.*s", (int)strcspn(data + 16, "\r\n"), data + 16);
    return size * items;
}

static size_t give_body(char *to, size_t size, size_t items, void *userdata)
{
    struct flow *flow = userdata;
    int64_t left = flow->bytes_max - flow->bytes;
    size_t bytes = left < (int64_t)(size * items) ? (size_t)left : size * items;
    fill((unsigned char *)to, flow->bytes, bytes);
    hf_hasher_add(flow->hasher, to, bytes);
    flow->bytes += (int64_t)bytes;
    return bytes;
}

static CURL *flow_curl(struct flow *flow, const char *path)
{
    char url[200];
    CURL *curl = curl_easy_init();
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", hf_http_port(http), path);
    flow->hasher = hf_hasher_new();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, flow);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, flow);
    return curl;
}

static CURLcode run_flow(struct flow *flow, CURL *curl)
{
    struct hf_hash hash;
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &flow->status);
    curl_easy_cleanup(curl);
    hf_hasher_finish(flow->hasher, &hash);
    hf_hasher_free(flow->hasher);
    hf_hash_label(&hash, flow->digest);
    return code;
}

static CURLcode download(struct flow *flow, const char *path)
{
    CURL *curl = flow_curl(flow, path);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    return run_flow(flow, curl);
}

static CURLcode upload(struct flow *flow, const char *path)
{
    CURL *curl = flow_curl(flow, path);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-tar");
    if (flow->chunked)
        headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
    else
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)flow->bytes_max);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "POST");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(curl, CURLOPT_READDATA, flow);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_text);
    CURLcode code = run_flow(flow, curl);
    curl_slist_free_all(headers);
    return code;
}

static void expect_large_download(bool slowly)
{
    char path[64];
    struct flow flow = {.slowly = slowly};
    start();
    expect("GET", "/archive?bytes=10000000", NULL, 200, ""); /* what is allocated once is allocated now */
    int64_t before = resident_bytes();
    snprintf(path, sizeof(path), "/archive?bytes=%lld", (long long)LARGE_BYTES);
    ck_assert_int_eq(download(&flow, path), CURLE_OK);
    ck_assert_int_eq(flow.status, 200);
    ck_assert_int_eq(flow.bytes, LARGE_BYTES);
    ck_assert_str_eq(flow.trailer, flow.digest);
    ck_assert_int_lt(flow.ahead_max, AHEAD_MAX);
    ck_assert_int_lt(resident_bytes() - before, GROWTH_MAX);
    await(&seen.freed, 2);
    ck_assert_int_eq(seen.freed, 2);
    stop();
}

START_TEST(a_large_answer_comes_whole_with_its_trailer)
{
    expect_large_download(false);
}
END_TEST

START_TEST(a_slow_reader_holds_the_producer_back)
{
    expect_large_download(true);
}
END_TEST

START_TEST(small_and_empty_archives_leave_the_connection_usable)
{
    struct hf_answer answer;
    start();
    for (int i = 0; i < 50; i++) {
        HF_AUTO(free) char *path = hf_format("/archive?bytes=%d", i * 7);
        ck_assert(hf_client_call(client, "GET", path, NULL, NULL, &answer));
        ck_assert_int_eq(answer.status, 200);
        ck_assert_uint_eq(answer.body_bytes, (size_t)i * 7);
        ck_assert_str_eq(hf_answer_header(&answer, "Transfer-Encoding"), "chunked");
        ck_assert_str_eq(hf_answer_header(&answer, "Trailer"), "Content-Digest");
        ck_assert_str_eq(hf_answer_header(&answer, "X-Archive"), "yes");
        ck_assert(i == 0 || answer.connection_reused);
        hf_answer_done(&answer);
    }
    stop();
}
END_TEST

START_TEST(head_sends_the_head_alone_and_runs_no_producer)
{
    struct hf_answer answer;
    start();
    ck_assert(hf_client_call(client, "HEAD", "/archive?bytes=1000", NULL, NULL, &answer));
    ck_assert_int_eq(answer.status, 200);
    ck_assert_uint_eq(answer.body_bytes, 0);
    ck_assert_str_eq(hf_answer_header(&answer, "X-Archive"), "yes");
    hf_answer_done(&answer);
    expect("GET", "/open", NULL, 200, "open");
    HF_AUTO(close) int fd = send_head("HEAD /archive?bytes=1000 HTTP/1.1\r\nHost: x\r\n\r\n");
    HF_AUTO(free) char *all = hf_raw_read(fd, "nothing of the kind", 1, false);
    const char *end = strstr(all, "\r\n\r\n");
    ck_assert_msg(end && end[4] == '\0', "more than a head: %s", all);
    await(&seen.freed, 2);
    ck_assert_int_eq(seen.producing, 0);
    stop();
}
END_TEST

START_TEST(a_refused_archive_is_a_problem_and_frees_its_producer)
{
    start();
    expect("GET", "/archive?bytes=1000&refuse=1", NULL, 404, "there is no such archive");
    expect("GET", "/open", NULL, 200, "open");
    await(&seen.freed, 1);
    ck_assert_int_eq(seen.producing, 0);
    stop();
}
END_TEST

START_TEST(a_client_that_leaves_ends_the_producer)
{
    char some[100000];
    start();
    int fd = send_head("GET /archive?bytes=1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_gt(recv(fd, some, sizeof(some), MSG_WAITALL), 0);
    close(fd);
    await(&seen.freed, 1);
    ck_assert(!seen.producer_ok);
    ck_assert_int_eq(seen.producer_err.code, HF_IO);
    ck_assert_ptr_nonnull(strstr(seen.producer_err.text, "the client"));
    expect("GET", "/open", NULL, 200, "open");
    stop();
    ck_assert_int_eq(seen.freed, 1);
}
END_TEST

START_TEST(a_client_that_reads_nothing_ends_the_producer)
{
    config = hf_small_server_config();
    config.request_timeout_ms = 1000;
    start();
    int fd = send_head("GET /archive?bytes=1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    await(&seen.freed, 1);
    ck_assert_int_eq(seen.producer_err.code, HF_IO);
    ck_assert_ptr_nonnull(strstr(seen.producer_err.text, "the client"));
    close(fd);
    stop();
}
END_TEST

START_TEST(an_answer_whose_producer_fails_cannot_be_taken_for_whole)
{
    struct flow flow = {0};
    start();
    CURLcode code = download(&flow, "/archive?bytes=10000000&fail=3000000");
    ck_assert_msg(code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR, "%d", code);
    ck_assert_int_lt(flow.bytes, 10000000);
    ck_assert_str_eq(flow.trailer, "");
    flow = (struct flow){0};
    code = download(&flow, "/archive?bytes=10000000&fail=0"); /* before its first byte */
    ck_assert_msg(code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING, "%d", code);
    await(&seen.freed, 2);
    expect("GET", "/open", NULL, 200, "open");
    stop();
}
END_TEST

/* True: it ended in good order. */
static bool read_to_end(int fd, int64_t *bytes_out)
{
    static char some[65536];
    ssize_t got;
    *bytes_out = 0;
    while ((got = recv(fd, some, sizeof(some), 0)) > 0)
        *bytes_out += got;
    return got == 0;
}

START_TEST(a_client_without_chunks_sees_an_answer_break_off_too)
{
    int64_t bytes;
    start();
    HF_AUTO(close) int whole = send_head("GET /archive?bytes=10000000 HTTP/1.0\r\n\r\n");
    ck_assert(read_to_end(whole, &bytes));
    ck_assert_int_gt(bytes, 10000000);
    HF_AUTO(close) int broken = send_head("GET /archive?bytes=10000000&fail=3000000 HTTP/1.0\r\n\r\n");
    ck_assert(!read_to_end(broken, &bytes));
    ck_assert_int_lt(bytes, 10000000);
    stop();
}
END_TEST

START_TEST(a_producer_that_stands_still_is_given_up)
{
    struct flow flow = {0};
    config = hf_small_server_config();
    config.request_timeout_ms = 1000;
    start();
    ck_assert_int_ne(download(&flow, "/archive?bytes=10000000&wait=1000000"), CURLE_OK);
    ck_assert_int_lt(flow.bytes, 10000000);
    open_gate();
    await(&seen.freed, 1);
    ck_assert(!seen.producer_ok);
    stop();
}
END_TEST

START_TEST(a_large_body_comes_whole)
{
    start();
    for (int i = 0; i < 2; i++) {
        struct flow flow = {.bytes_max = LARGE_BYTES, .chunked = i == 1};
        int64_t before = resident_bytes();
        ck_assert_int_eq(upload(&flow, "/import"), CURLE_OK);
        ck_assert_int_eq(flow.status, 201);
        HF_AUTO(free) char *wanted = hf_format("%lld %s", (long long)LARGE_BYTES, flow.digest);
        ck_assert_str_eq(flow.body, wanted);
        if (i == 1)
            ck_assert_int_lt(resident_bytes() - before, GROWTH_MAX);
    }
    stop();
}
END_TEST

START_TEST(small_and_empty_bodies_leave_the_connection_usable)
{
    start();
    for (int i = 0; i < 30; i++) {
        expect("POST", "/import", i % 3 ? "x" : "", 201, i % 3 ? "1 sha256:" : "0 sha256:");
        expect("GET", "/open", NULL, 200, "open");
    }
    stop();
}
END_TEST

START_TEST(a_body_is_read_while_it_comes)
{
    start();
    HF_AUTO(close) int fd = send_head("POST /import?refuse=3 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc");
    await(&seen.received, 1); /* and the rest has not even been sent */
    ck_assert_int_eq(seen.receiver_err.code, HF_CONFLICT);
    ck_assert(hf_raw_send_text(fd, "de"));
    free(hf_raw_read(fd, "409 Conflict", 1, true));
    stop();
}
END_TEST

START_TEST(a_body_over_the_limit_is_refused)
{
    config = hf_small_server_config();
    config.import_bytes_max = 3 * MIB;
    start();
    for (int i = 0; i < 2; i++) {
        struct flow flow = {.bytes_max = 4 * MIB, .chunked = i == 1};
        ck_assert_int_eq(upload(&flow, "/import"), CURLE_OK);
        ck_assert_int_eq(flow.status, 413);
        ck_assert_ptr_nonnull(strstr(flow.body, "\"limit\":3145728"));
        ck_assert_int_eq(seen.received, i); /* the announced one came to no handler */
    }
    ck_assert_int_eq(seen.receiver_err.code, HF_BODY_TOO_LARGE);
    struct flow exact = {.bytes_max = 3 * MIB, .chunked = true};
    ck_assert_int_eq(upload(&exact, "/import"), CURLE_OK);
    ck_assert_int_eq(exact.status, 201);
    stop();
}
END_TEST

START_TEST(a_refusal_in_the_middle_of_a_body_is_told_when_it_has_come)
{
    start();
    for (int i = 0; i < 2; i++) {
        struct flow flow = {.bytes_max = 8 * MIB, .chunked = i == 1};
        ck_assert_int_eq(upload(&flow, "/import?refuse=1000000"), CURLE_OK);
        ck_assert_int_eq(flow.status, 409);
        ck_assert_ptr_nonnull(strstr(flow.body, "this archive is not wanted"));
    }
    struct flow endless = {.bytes_max = INT64_C(1) << 40, .chunked = true}; /* so much is not swallowed */
    ck_assert_int_ne(upload(&endless, "/import?refuse=1000000"), CURLE_OK);
    ck_assert_int_lt(endless.bytes, LARGE_BYTES);
    expect("GET", "/open", NULL, 200, "open");
    stop();
}
END_TEST

START_TEST(a_sender_that_stands_still_is_given_up)
{
    config = hf_small_server_config();
    config.request_timeout_ms = 1000;
    start();
    HF_AUTO(close) int fd = send_head("POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc");
    await(&seen.received, 1);
    ck_assert(!seen.receiver_ok);
    ck_assert_int_eq(seen.receiver_err.code, HF_INVALID_REQUEST);
    ck_assert_ptr_nonnull(strstr(seen.receiver_err.text, "the client"));
    int64_t bytes;
    ck_assert(read_to_end(fd, &bytes)); /* the connection does not stay open for ever */
    stop();
}
END_TEST

START_TEST(a_sender_that_leaves_ends_the_reader)
{
    start(); /* with a time limit that no test waits for */
    int fd = send_head("POST /import HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    close(fd);
    await(&seen.received, 1);
    ck_assert(!seen.receiver_ok);
    ck_assert_ptr_nonnull(strstr(seen.receiver_err.text, "the client went away"));
    stop();
}
END_TEST

START_TEST(a_reader_that_stands_still_is_given_up)
{
    config = hf_small_server_config();
    config.request_timeout_ms = 1000;
    start();
    struct flow flow = {.bytes_max = 8 * MIB};
    ck_assert_int_eq(upload(&flow, "/import?wait=1"), CURLE_OK);
    ck_assert_int_eq(flow.status, 503);
    ck_assert_ptr_nonnull(strstr(flow.body, "outcome_unknown"));
    open_gate();
    await(&seen.received, 1);
    ck_assert(!seen.receiver_ok); /* it must not take what it gets for all */
    stop();
}
END_TEST

/* The other request is how it knows that the time for one has passed. */
START_TEST(a_reader_that_has_all_may_take_longer_than_a_request)
{
    config = hf_small_server_config();
    config.request_timeout_ms = 1000;
    config.loops = 1;
    start();
    int fd = send_head("POST /import?linger=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    await(&seen.reached_gate, 1);
    for (int i = 0; i < 2; i++)
        expect("GET", "/slow", NULL, 503, "\"overloaded\"");
    open_gate();
    free(hf_raw_read(fd, "201 Created", 1, true));
    close(fd);
    stop();
}
END_TEST

START_TEST(more_transfers_than_threads_are_refused_and_others_go_on)
{
    int fds[4];
    struct hf_answer answer;
    config = hf_small_server_config();
    start();
    for (int i = 0; i < 4; i++) {
        fds[i] = send_head(i % 2 ? "POST /import?wait=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                                 : "GET /archive?bytes=1000&wait=0 HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i < 2)
            await(&seen.reached_gate, i + 1);
    }
    /* Two have the threads, and those that wait may not have been read by now: so until one is too many. */
    const struct hf_client_request request = {.path = "/archive?bytes=1000", .timeout_ms = 500};
    for (bool refused = false; !refused;) {
        hf_client_send(client, &request, &answer);
        refused = answer.status == 503;
        if (refused)
            ck_assert_str_eq(hf_answer_header(&answer, "Retry-After"), "1");
        hf_answer_done(&answer);
    }
    expect("POST", "/import", "abc", 503, "\"overloaded\"");
    for (int i = 0; i < 20; i++) {
        expect("GET", "/open", NULL, 200, "open");
        expect("GET", "/worker", NULL, 200, "open");
    }
    open_gate();
    for (int i = 0; i < 2; i++) /* these had a thread */
        free(hf_raw_read(fds[i], i % 2 ? "201 Created" : "200 OK", 1, true));
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    stop();
}
END_TEST

START_TEST(twice_as_many_transfers_as_threads_are_never_refused)
{
    enum { COUNT = 16 };
    int fds[COUNT];
    config = hf_small_server_config();
    config.transfers = COUNT / 2;
    for (int round = 0; round < 5; round++) {
        start();
        for (int i = 0; i < COUNT; i++) /* faster than idle threads take them */
            fds[i] = send_head("GET /archive?bytes=1000 HTTP/1.1\r\nHost: x\r\n\r\n");
        for (int i = 0; i < COUNT; i++) {
            free(hf_raw_read(fds[i], "200 OK", 1, true));
            close(fds[i]);
        }
        stop();
    }
}
END_TEST

START_TEST(ordinary_requests_are_answered_during_transfers)
{
    char some[65536];
    start();
    HF_AUTO(close) int out = send_head("GET /archive?bytes=1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    HF_AUTO(close) int in = send_head("POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    memset(some, 'x', sizeof(some));
    for (int i = 0; i < 300; i++) {
        ck_assert_int_gt(recv(out, some, sizeof(some), 0), 0);
        ck_assert(hf_raw_send(in, some, sizeof(some)));
        expect("GET", i % 2 ? "/open" : "/worker", NULL, 200, "open");
    }
    stop();
    ck_assert_int_eq(seen.freed, 1);
    ck_assert_int_eq(seen.received, 1);
}
END_TEST

START_TEST(stopping_ends_transfers_in_both_directions)
{
    int64_t bytes;
    start();
    HF_AUTO(close) int out = send_head("GET /archive?bytes=1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    await(&seen.producing, 1);
    HF_AUTO(close) int in = send_head("POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nabc");
    HF_AUTO(close) int queued = send_head("POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    hf_http_quiesce(http, hf_clock_monotonic_ns() + 50 * HF_MS_NS);
    stop();
    ck_assert_int_eq(seen.freed, 1);
    ck_assert(!seen.producer_ok);
    ck_assert(!seen.receiver_ok);
    read_to_end(out, &bytes);
    ck_assert_int_lt(bytes, 1000000000000);
    read_to_end(in, &bytes);
    read_to_end(queued, &bytes);
}
END_TEST

static void *open_gate_at_last(void *argument)
{
    (void)argument;
    usleep(1500 * 1000); /* longer than a stop waits for its last answers */
    open_gate();
    return NULL;
}

START_TEST(stopping_resumes_transfers_that_are_paused)
{
    pthread_t opener;
    static char some[2 * 1024 * 1024];
    int64_t bytes;
    start();
    /* One connection is suspended for want of bytes, the other because its reader takes none. */
    HF_AUTO(close) int out = send_head("GET /archive?bytes=1000000&wait=60000 HTTP/1.1\r\nHost: x\r\n\r\n");
    HF_AUTO(close) int in = send_head("POST /import?wait=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n");
    await(&seen.reached_gate, 2);
    ck_assert_int_gt(recv(out, some, sizeof(some), 0), 0);
    ck_assert_int_gt(send(in, some, sizeof(some), MSG_DONTWAIT | MSG_NOSIGNAL), 0);
    expect("GET", "/open", NULL, 200, "open");
    ck_assert_int_eq(pthread_create(&opener, NULL, open_gate_at_last, NULL), 0);
    stop();
    ck_assert_int_eq(pthread_join(opener, NULL), 0);
    ck_assert_int_eq(seen.freed, 1);
    ck_assert(!seen.producer_ok);
    ck_assert(!seen.receiver_ok);
    read_to_end(out, &bytes);
    ck_assert_int_lt(bytes, 1000000);
}
END_TEST

HF_TEST_MAIN("server_streams", a_large_answer_comes_whole_with_its_trailer, a_slow_reader_holds_the_producer_back,
             small_and_empty_archives_leave_the_connection_usable, head_sends_the_head_alone_and_runs_no_producer,
             a_refused_archive_is_a_problem_and_frees_its_producer, a_client_that_leaves_ends_the_producer,
             a_client_that_reads_nothing_ends_the_producer, an_answer_whose_producer_fails_cannot_be_taken_for_whole,
             a_client_without_chunks_sees_an_answer_break_off_too, a_producer_that_stands_still_is_given_up,
             a_large_body_comes_whole, small_and_empty_bodies_leave_the_connection_usable,
             a_body_is_read_while_it_comes, a_body_over_the_limit_is_refused,
             a_refusal_in_the_middle_of_a_body_is_told_when_it_has_come, a_sender_that_stands_still_is_given_up,
             a_sender_that_leaves_ends_the_reader, a_reader_that_stands_still_is_given_up,
             a_reader_that_has_all_may_take_longer_than_a_request,
             more_transfers_than_threads_are_refused_and_others_go_on,
             twice_as_many_transfers_as_threads_are_never_refused, ordinary_requests_are_answered_during_transfers,
             stopping_ends_transfers_in_both_directions, stopping_resumes_transfers_that_are_paused);
