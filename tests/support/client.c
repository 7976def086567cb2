#include "tests/support/client.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/clock.h"

#include <arpa/inet.h>
#include <check.h>
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define ANSWER_BYTES_MAX   (512 * 1024 * 1024)
#define TIMEOUT_DEFAULT_MS 60000 /* bounds that only a hang reaches */
#define RAW_DEADLINE_NS    (60 * HF_SECOND_NS)

struct hf_client {
    CURL *curl;
    int port;
};

struct collector {
    struct hf_buf headers;
    struct hf_buf body;
};

struct source {
    const char *data;
    size_t left;
};

static size_t collect_header(char *data, size_t size, size_t count, void *userdata);
static size_t collect_body(char *data, size_t size, size_t count, void *userdata);
static size_t give_body(char *to, size_t size, size_t count, void *userdata);
static void set_body(CURL *curl, const struct hf_client_request *request, struct source *source);
static struct curl_slist *header_list(const struct hf_client_request *request);
static int count_of(const char *text, const char *needle);

void hf_answer_done(struct hf_answer *answer)
{
    free(answer->headers);
    free(answer->body);
    *answer = (struct hf_answer){0};
}

const char *hf_answer_header(const struct hf_answer *answer, const char *name)
{
    static _Thread_local char value[1024];
    size_t name_bytes = strlen(name);
    for (const char *line = answer->headers; line && *line; line += strcspn(line, "\n") + 1) {
        if (strncasecmp(line, name, name_bytes) != 0 || line[name_bytes] != ':')
            continue;
        const char *start = line + name_bytes + 1;
        start += strspn(start, " \t");
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(start, "\r\n"), start);
        return value;
    }
    return NULL;
}

struct hf_client *hf_client_new(int port)
{
    struct hf_client *client = hf_alloc(sizeof(*client));
    client->curl = curl_easy_init();
    client->port = port;
    ck_assert_ptr_nonnull(client->curl);
    return client;
}

void hf_client_free(struct hf_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    free(client);
}

bool hf_client_send(struct hf_client *client, const struct hf_client_request *request, struct hf_answer *out)
{
    CURL *curl = client->curl;
    struct collector collector;
    struct source source = {0};
    char url[64];
    hf_buf_init(&collector.headers, ANSWER_BYTES_MAX);
    hf_buf_init(&collector.body, ANSWER_BYTES_MAX);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", client->port);

    curl_easy_reset(curl); /* options only; the connection stays */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_REQUEST_TARGET, request->path);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, request->timeout_ms ? request->timeout_ms : (long)TIMEOUT_DEFAULT_MS);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, collect_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &collector);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &collector);
    set_body(curl, request, &source);
    struct curl_slist *headers = header_list(request);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);

    CURLcode code = curl_easy_perform(curl);
    long connects = 0;
    *out = (struct hf_answer){0};
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
    curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &connects);
    out->connection_reused = connects == 0;
    curl_slist_free_all(headers);
    out->headers = hf_buf_take(&collector.headers, NULL);
    out->body = hf_buf_take(&collector.body, &out->body_bytes);
    return code == CURLE_OK;
}

bool hf_client_call(struct hf_client *client, const char *method, const char *path, const char *body,
                    const char *header, struct hf_answer *out)
{
    const char *const headers[] = {header, NULL};
    const struct hf_client_request request = {
        .method = method,
        .path = path,
        .headers = headers,
        .body = body,
        .body_bytes = body ? strlen(body) : 0,
    };
    return hf_client_send(client, &request, out);
}

int hf_raw_connect(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_msg(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect: %s", strerror(errno));
    return fd;
}

bool hf_raw_send(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        at += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

bool hf_raw_send_text(int fd, const char *text)
{
    return hf_raw_send(fd, text, strlen(text));
}

char *hf_raw_read(int fd, const char *needle, int count, bool must_come)
{
    struct hf_buf text;
    hf_buf_init(&text, ANSWER_BYTES_MAX);
    uint64_t deadline_ns = hf_clock_monotonic_ns() + RAW_DEADLINE_NS;
    bool open = true;
    while (open && count_of(text.data ? text.data : "", needle) < count && hf_clock_monotonic_ns() < deadline_ns) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        char chunk[65536];
        if (poll(&readable, 1, 100) <= 0)
            continue;
        ssize_t bytes = recv(fd, chunk, sizeof(chunk), 0);
        open = bytes > 0;
        if (open)
            ck_assert(hf_buf_add(&text, chunk, (size_t)bytes));
    }
    char *all = hf_buf_take(&text, NULL);
    if (must_come)
        ck_assert_msg(count_of(all, needle) >= count, "\"%s\" did not come %d times in: %.2000s", needle, count, all);
    return all;
}

/* A new response (100, then the final one) starts the headers anew. */
static size_t collect_header(char *data, size_t size, size_t count, void *userdata)
{
    struct collector *collector = userdata;
    size_t bytes = size * count;
    if (bytes > 5 && strncmp(data, "HTTP/", 5) == 0)
        hf_buf_reset(&collector->headers);
    return hf_buf_add(&collector->headers, data, bytes) ? bytes : 0;
}

static size_t collect_body(char *data, size_t size, size_t count, void *userdata)
{
    struct collector *collector = userdata;
    return hf_buf_add(&collector->body, data, size * count) ? size * count : 0;
}

static size_t give_body(char *to, size_t size, size_t count, void *userdata)
{
    struct source *source = userdata;
    size_t bytes = size * count < source->left ? size * count : source->left;
    memcpy(to, source->data, bytes);
    source->data += bytes;
    source->left -= bytes;
    return bytes;
}

static void set_body(CURL *curl, const struct hf_client_request *request, struct source *source)
{
    const char *method = request->method ? request->method : "GET";
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (request->chunked) {
        *source = (struct source){request->body, request->body_bytes};
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(curl, CURLOPT_READDATA, source);
    } else if (request->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    } else if (strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

/* libcurl's own Content-Type for posted fields would be wrong for nearly every test, so none is sent unless given. */
static struct curl_slist *header_list(const struct hf_client_request *request)
{
    struct curl_slist *list = NULL;
    bool has_type = false;
    for (const char *const *header = request->headers; header && *header; header++) {
        list = curl_slist_append(list, *header);
        has_type = has_type || strncasecmp(*header, "Content-Type:", 13) == 0;
    }
    if (!has_type)
        list = curl_slist_append(list, "Content-Type:");
    if (request->chunked)
        list = curl_slist_append(list, "Transfer-Encoding: chunked");
    return list;
}

static int count_of(const char *text, const char *needle)
{
    int count = 0;
    if (!*needle)
        return 0;
    for (const char *at = strstr(text, needle); at; at = strstr(at + strlen(needle), needle))
        count++;
    return count;
}
