#include "tests/support/streaming_server.h"

#include "api/auth.h"
#include "core/auto.h"
#include "core/digest.h"
#include "tests/support/small_server.h"

#include <check.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define PIECE_BYTES (60 * 1000) /* divides nothing evenly */
#define LINGER_US   200000

static struct hf_auth *auth;

struct hf_streaming hf_streaming = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* One archive under way. */
struct producer {
    int64_t bytes, fail_at, wait_at; /* -1: never */
    bool lingers;                    /* before it is gone */
    struct hf_hasher *hasher;
    char digest[HF_HASH_LABEL];
};

static void pass_gate(void)
{
    pthread_mutex_lock(&hf_streaming.mutex);
    hf_streaming.reached_gate++;
    pthread_cond_broadcast(&hf_streaming.changed);
    while (!hf_streaming.gate_open)
        pthread_cond_wait(&hf_streaming.changed, &hf_streaming.mutex);
    pthread_mutex_unlock(&hf_streaming.mutex);
}

void hf_streaming_open_gate(void)
{
    pthread_mutex_lock(&hf_streaming.mutex);
    hf_streaming.gate_open = true;
    pthread_cond_broadcast(&hf_streaming.changed);
    pthread_mutex_unlock(&hf_streaming.mutex);
}

static void count(int *counter)
{
    pthread_mutex_lock(&hf_streaming.mutex);
    ++*counter;
    pthread_cond_broadcast(&hf_streaming.changed);
    pthread_mutex_unlock(&hf_streaming.mutex);
}

void hf_streaming_await(const int *counter, int wanted)
{
    pthread_mutex_lock(&hf_streaming.mutex);
    while (*counter < wanted)
        pthread_cond_wait(&hf_streaming.changed, &hf_streaming.mutex);
    pthread_mutex_unlock(&hf_streaming.mutex);
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
        atomic_store(&hf_streaming.produced_bytes, at);
    }
    struct hf_hash hash;
    hf_hasher_finish(p->hasher, &hash);
    hf_hash_label(&hash, p->digest);
    return true;
}

static bool produce(void *context, const struct hf_writer *to, struct hf_error *err)
{
    count(&hf_streaming.producing);
    bool ok = produce_pieces(context, to, err);
    pthread_mutex_lock(&hf_streaming.mutex);
    hf_streaming.producer_ok = ok;
    if (!ok)
        hf_streaming.producer_err = *err;
    pthread_mutex_unlock(&hf_streaming.mutex);
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
    if (p->lingers)
        usleep(LINGER_US);
    free(p);
    count(&hf_streaming.freed);
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
    p->lingers = hf_request_query(request, "linger") != NULL;
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
    pthread_mutex_lock(&hf_streaming.mutex);
    hf_streaming.receiver_ok = ok;
    if (!ok)
        hf_streaming.receiver_err = *err;
    pthread_mutex_unlock(&hf_streaming.mutex);
    count(&hf_streaming.received);
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
    {HF_GET, "/archive", archive, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_TRANSFER, "archive",
     "bytes fail wait linger refuse"},
    {HF_POST, "/import", import, HF_ROLE_OPERATOR, HF_BODY_STREAM, HF_ON_TRANSFER, "import", "refuse wait linger"},
    {HF_GET, "/open", open_get, HF_ROLE_NONE, HF_BODY_NONE, HF_ON_LOOP, "open", NULL},
    {HF_GET, "/slow", slow_get, HF_ROLE_NONE, HF_BODY_NONE, HF_ON_WORKER, "slow", NULL},
    {HF_GET, "/worker", open_get, HF_ROLE_NONE, HF_BODY_NONE, HF_ON_WORKER, "worker", NULL},
};

void hf_streaming_start(void)
{
    struct hf_error err;
    if (!hf_streaming.config.listen)
        hf_streaming.config = hf_small_server_config();
    const struct hf_http_options options = {.config = &hf_streaming.config,
                                            .routes = routes,
                                            .route_count = (int)(sizeof(routes) / sizeof(routes[0]))};
    struct hf_http_options with_auth = options;
    ck_assert(hf_auth_open(&auth, NULL, &err));
    with_auth.auth = auth;
    ck_assert_msg(hf_http_start(&hf_streaming.http, &with_auth, &err), "%s", err.text);
    hf_streaming.client = hf_client_new(hf_http_port(hf_streaming.http));
}

void hf_streaming_stop(void)
{
    hf_client_free(hf_streaming.client);
    hf_http_stop(hf_streaming.http);
    hf_auth_close(auth);
}

void hf_streaming_expect(const char *method, const char *path, const char *body, long status, const char *word)
{
    struct hf_answer answer;
    ck_assert_msg(hf_client_call(hf_streaming.client, method, path, body, NULL, &answer), "%s %s: no answer", method,
                  path);
    ck_assert_msg(answer.status == status, "%s %s: %ld %s", method, path, answer.status, answer.body);
    ck_assert_msg(strstr(answer.body, word) != NULL, "%s %s: no \"%s\" in %s", method, path, word, answer.body);
    hf_answer_done(&answer);
}

int hf_streaming_send_head(const char *request)
{
    int fd = hf_raw_connect(hf_http_port(hf_streaming.http));
    ck_assert(hf_raw_send_text(fd, request));
    return fd;
}

bool hf_streaming_read_to_end(int fd, int64_t *bytes_out)
{
    static char some[65536];
    ssize_t got;
    *bytes_out = 0;
    while ((got = recv(fd, some, sizeof(some), 0)) > 0)
        *bytes_out += got;
    return got == 0;
}

int64_t hf_test_resident_bytes(void)
{
    long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lld %lld", &pages, &resident), 2);
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

static size_t take_answer(char *data, size_t size, size_t items, void *userdata)
{
    struct hf_flow *flow = userdata;
    int64_t ahead = atomic_load(&hf_streaming.produced_bytes) - flow->bytes;
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
    struct hf_flow *flow = userdata;
    size_t had = strlen(flow->body), room = sizeof(flow->body) - 1 - had;
    memcpy(flow->body + had, data, size * items < room ? size * items : room);
    return size * items;
}

static size_t take_header(char *data, size_t size, size_t items, void *userdata)
{
    struct hf_flow *flow = userdata;
    if (size * items < sizeof(flow->trailer) && strncasecmp(data, "Content-Digest: ", 16) == 0)
        snprintf(flow->trailer, sizeof(flow->trailer), "%.*s", (int)strcspn(data + 16, "\r\n"), data + 16);
    return size * items;
}

static size_t give_body(char *to, size_t size, size_t items, void *userdata)
{
    struct hf_flow *flow = userdata;
    int64_t left = flow->bytes_max - flow->bytes;
    size_t bytes = left < (int64_t)(size * items) ? (size_t)left : size * items;
    fill((unsigned char *)to, flow->bytes, bytes);
    hf_hasher_add(flow->hasher, to, bytes);
    flow->bytes += (int64_t)bytes;
    return bytes;
}

static CURL *flow_curl(struct hf_flow *flow, const char *path)
{
    char url[200];
    CURL *curl = curl_easy_init();
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", hf_http_port(hf_streaming.http), path);
    flow->hasher = hf_hasher_new();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, flow);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, flow);
    return curl;
}

static CURLcode run_flow(struct hf_flow *flow, CURL *curl)
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

CURLcode hf_flow_download(struct hf_flow *flow, const char *path)
{
    CURL *curl = flow_curl(flow, path);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    return run_flow(flow, curl);
}

CURLcode hf_flow_upload(struct hf_flow *flow, const char *path)
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
