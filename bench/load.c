/* A load generator for the state routes: keep-alive connections in one epoll loop, one request under way on each.
 *
 *   load --port PORT [--method PUT|POST|GET] [--components N] [--bytes S] [--connections C]
 *        [--seconds T | --requests N] [--system NAME] [--token TOKEN]
 *
 * Uploads are JSON of exactly S bytes and differ from each other, so that none is answered as unchanged. The result is
 * one JSON object on stdout; latencies run from the first byte sent to the last byte received. */
#include "bench/histogram.h"
#include "core/auto.h"
#include "core/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#define HEAD_BYTES_MAX   1024
#define ANSWER_BYTES_MAX (16 * 1024)
#define BODY_BYTES_MIN   64
#define RECONNECTS_MAX   10000
#define POOL_BYTES       (4 * 1024 * 1024)

struct options {
    int port, connections;
    bool upload;
    const char *method;
    int64_t components, bytes, seconds, requests;
    const char *system, *token;
};

struct connection {
    int fd;
    bool wants_write; /* EPOLLOUT is asked for */
    bool is_busy;     /* a request is under way */
    uint64_t began_ns;
    size_t request_bytes, sent;
    size_t received;   /* of the answer, as far as it is kept */
    int64_t body_left; /* -1: the head is not complete */
    char *request;     /* owns */
    char answer[ANSWER_BYTES_MAX];
};

struct load {
    struct options options;
    int epoll;
    struct connection *connections;
    char *pool;           /* random letters, from which bodies are cut */
    uint64_t run;         /* random, so that two runs differ */
    uint64_t deadline_ns; /* 0: none */
    int64_t started, finished, under_way;
    int64_t refused, failed,
        reconnects; /* answers other than 2xx; of these those that are not 503; broken connections */
    uint64_t answer_bytes;
    struct hf_histogram latencies;
};

static void parse_options(struct options *options, int argc, char *argv[]);
static int64_t parse_count(const char *name, const char *text, int64_t min, int64_t max);
static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void prepare(struct load *load);
static void connect_one(struct load *load, struct connection *connection);
static void run_loop(struct load *load);
static void next_request(struct load *load, struct connection *connection);
static size_t write_body(struct load *load, char *out, int64_t number);
static void send_some(struct load *load, struct connection *connection);
static void receive_some(struct load *load, struct connection *connection);
static bool parse_head(struct load *load, struct connection *connection);
static void finish_request(struct load *load, struct connection *connection);
static void reconnect(struct load *load, struct connection *connection);
static void watch(struct load *load, struct connection *connection, bool wants_write);
static void report(const struct load *load, uint64_t took_ns);

int main(int argc, char *argv[])
{
    struct load *load = hf_alloc(sizeof(*load));
    parse_options(&load->options, argc, argv);
    prepare(load);
    uint64_t began_ns = hf_clock_monotonic_ns();
    if (load->options.seconds > 0)
        load->deadline_ns = began_ns + (uint64_t)load->options.seconds * HF_SECOND_NS;
    for (int i = 0; i < load->options.connections; i++)
        next_request(load, &load->connections[i]);
    run_loop(load);
    report(load, hf_clock_monotonic_ns() - began_ns);
    for (int i = 0; i < load->options.connections; i++) {
        close(load->connections[i].fd);
        free(load->connections[i].request);
    }
    close(load->epoll);
    free(load->connections);
    free(load->pool);
    free(load);
    return EXIT_SUCCESS;
}

static void parse_options(struct options *options, int argc, char *argv[])
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},        {"method", required_argument, NULL, 'm'},
        {"components", required_argument, NULL, 'n'},  {"bytes", required_argument, NULL, 'b'},
        {"connections", required_argument, NULL, 'c'}, {"seconds", required_argument, NULL, 's'},
        {"requests", required_argument, NULL, 'r'},    {"system", required_argument, NULL, 'y'},
        {"token", required_argument, NULL, 't'},       {NULL, 0, NULL, 0}};
    *options = (struct options){
        .connections = 64, .upload = true, .method = "PUT", .components = 1000, .bytes = 1024, .system = "bench"};
    int letter;
    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (letter) {
        case 'p':
            options->port = (int)parse_count("port", optarg, 1, 65535);
            break;
        case 'm':
            options->method = optarg;
            options->upload = strcmp(optarg, "GET") != 0;
            break;
        case 'n':
            options->components = parse_count("components", optarg, 1, 10000000);
            break;
        case 'b':
            options->bytes = parse_count("bytes", optarg, BODY_BYTES_MIN, POOL_BYTES / 2);
            break;
        case 'c':
            options->connections = (int)parse_count("connections", optarg, 1, 10000);
            break;
        case 's':
            options->seconds = parse_count("seconds", optarg, 1, 86400);
            break;
        case 'r':
            options->requests = parse_count("requests", optarg, 1, INT64_MAX);
            break;
        case 'y':
            options->system = optarg;
            break;
        case 't':
            options->token = optarg;
            break;
        default:
            fail("see the head of bench/load.c for the options");
        }
    }
    if (options->port == 0 || (options->seconds == 0) == (options->requests == 0))
        fail("give --port and one of --seconds and --requests");
}

static int64_t parse_count(const char *name, const char *text, int64_t min, int64_t max)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || *end || end == text || number < min || number > max)
        fail("--%s: %s is not a number from %lld to %lld", name, text, (long long)min, (long long)max);
    return number;
}

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

static void prepare(struct load *load)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t random;
    if (getrandom(&load->run, sizeof(load->run), 0) < 0 || getrandom(&random, sizeof(random), 0) < 0)
        fail("getrandom: %s", strerror(errno));
    load->pool = hf_alloc(POOL_BYTES);
    for (size_t i = 0; i < POOL_BYTES; i++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        load->pool[i] = letters[random >> 58];
    }
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0)
        fail("epoll_create1: %s", strerror(errno));
    load->connections = hf_alloc((size_t)load->options.connections * sizeof(*load->connections));
    for (int i = 0; i < load->options.connections; i++) {
        load->connections[i].request = hf_alloc(HEAD_BYTES_MAX + (size_t)load->options.bytes);
        connect_one(load, &load->connections[i]);
    }
}

static void connect_one(struct load *load, struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail("cannot connect to 127.0.0.1:%d: %s", load->options.port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    connection->fd = fd;
    connection->wants_write = false;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

static void run_loop(struct load *load)
{
    struct epoll_event events[256];
    while (load->under_way > 0) {
        int count = epoll_wait(load->epoll, events, 256, 30000);
        if (count == 0)
            fail("no answer for 30 s with %lld requests under way", (long long)load->under_way);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                send_some(load, connection);
            else
                receive_some(load, connection);
        }
    }
}

/* Starts the next request on the connection, unless the run is over. */
static void next_request(struct load *load, struct connection *connection)
{
    const struct options *options = &load->options;
    connection->began_ns = hf_clock_monotonic_ns();
    if (options->requests > 0 ? load->started >= options->requests : connection->began_ns >= load->deadline_ns)
        return;
    int64_t number = load->started++;
    load->under_way++;
    connection->is_busy = true;
    char authorization[256] = "";
    if (options->token)
        snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s\r\n", options->token);
    int head = snprintf(connection->request, HEAD_BYTES_MAX,
                        "%s /v1/systems/%s/components/c-%07lld/state HTTP/1.1\r\nHost: 127.0.0.1\r\n%s",
                        options->method, options->system, (long long)(number % options->components), authorization);
    if (options->upload)
        head += snprintf(connection->request + head, HEAD_BYTES_MAX - (size_t)head,
                         "Content-Type: application/json\r\nContent-Length: %lld\r\n", (long long)options->bytes);
    memcpy(connection->request + head, "\r\n", 2);
    connection->request_bytes = (size_t)head + 2;
    if (options->upload)
        connection->request_bytes += write_body(load, connection->request + head + 2, number);
    connection->sent = 0;
    connection->received = 0;
    connection->body_left = -1;
    send_some(load, connection);
}

static size_t write_body(struct load *load, char *out, int64_t number)
{
    size_t bytes = (size_t)load->options.bytes;
    int head =
        sprintf(out, "{\"run\":\"%016llx\",\"n\":%lld,\"data\":\"", (unsigned long long)load->run, (long long)number);
    size_t fill = bytes - (size_t)head - 2;
    uint64_t place = ((uint64_t)number * UINT64_C(0x9E3779B97F4A7C15)) % (POOL_BYTES - bytes);
    memcpy(out + head, load->pool + place, fill);
    memcpy(out + head + fill, "\"}", 2);
    return bytes;
}

static void send_some(struct load *load, struct connection *connection)
{
    while (connection->sent < connection->request_bytes) {
        ssize_t sent = send(connection->fd, connection->request + connection->sent,
                            connection->request_bytes - connection->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            watch(load, connection, true);
            return;
        }
        if (sent < 0) {
            reconnect(load, connection);
            return;
        }
        connection->sent += (size_t)sent;
    }
    watch(load, connection, false);
}

static void receive_some(struct load *load, struct connection *connection)
{
    /* The head is kept; of the body only its length matters, so its bytes overwrite each other. */
    size_t place = connection->body_left < 0 ? connection->received : 0;
    ssize_t got =
        recv(connection->fd, connection->answer + place, sizeof(connection->answer) - place - 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        reconnect(load, connection);
        return;
    }
    load->answer_bytes += (uint64_t)got;
    if (connection->body_left >= 0) {
        connection->body_left -= got;
    } else {
        connection->received += (size_t)got;
        connection->answer[connection->received] = '\0';
        if (!parse_head(load, connection))
            return;
    }
    if (connection->body_left == 0)
        finish_request(load, connection);
    else if (connection->body_left < 0)
        fail("the answer is longer than its Content-Length");
}

/* False while the head is incomplete. */
static bool parse_head(struct load *load, struct connection *connection)
{
    const char *end = strstr(connection->answer, "\r\n\r\n");
    if (!end) {
        if (connection->received + 1 >= sizeof(connection->answer))
            fail("an answer's head is longer than %d bytes", ANSWER_BYTES_MAX);
        return false;
    }
    int status = atoi(connection->answer + strlen("HTTP/1.1 "));
    const char *length = strcasestr(connection->answer, "\r\nContent-Length:");
    bool is_bodyless = status == 204 || status == 304;
    if (!is_bodyless && (!length || length > end))
        fail("an answer has no Content-Length:\n%s", connection->answer);
    int64_t body = is_bodyless ? 0 : strtoll(length + strlen("\r\nContent-Length:"), NULL, 10);
    connection->body_left = body - (int64_t)(connection->received - (size_t)(end + 4 - connection->answer));
    if (status < 200 || status > 299) {
        load->refused++;
        if (status != 503 && load->failed++ == 0)
            fprintf(stderr, "load: first failure:\n%s\n", connection->answer);
    }
    return true;
}

static void finish_request(struct load *load, struct connection *connection)
{
    hf_histogram_add(&load->latencies, hf_clock_monotonic_ns() - connection->began_ns);
    load->finished++;
    load->under_way--;
    connection->is_busy = false;
    next_request(load, connection);
}

/* The server closed the connection: a request under way is counted as failed. */
static void reconnect(struct load *load, struct connection *connection)
{
    if (++load->reconnects > RECONNECTS_MAX)
        fail("the server closed more than %d connections", RECONNECTS_MAX);
    close(connection->fd);
    connect_one(load, connection);
    if (!connection->is_busy)
        return;
    connection->is_busy = false;
    load->under_way--;
    load->refused++;
    load->failed++;
    next_request(load, connection);
}

static void watch(struct load *load, struct connection *connection, bool wants_write)
{
    if (connection->wants_write == wants_write)
        return;
    struct epoll_event event = {.events = wants_write ? EPOLLOUT : EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
    connection->wants_write = wants_write;
}

static void report(const struct load *load, uint64_t took_ns)
{
    const struct hf_histogram *latencies = &load->latencies;
    double seconds = (double)took_ns / 1e9;
    printf("{\"requests\":%lld,\"seconds\":%.3f,\"perSecond\":%.0f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"p999Ms\":%.3f,"
           "\"maxMs\":%.3f,\"non2xx\":%lld,\"failed\":%lld,\"reconnects\":%lld,\"answerBytes\":%llu}\n",
           (long long)load->finished, seconds, (double)load->finished / seconds,
           (double)hf_histogram_at(latencies, 0.5) / 1e6, (double)hf_histogram_at(latencies, 0.99) / 1e6,
           (double)hf_histogram_at(latencies, 0.999) / 1e6, (double)latencies->max_ns / 1e6, (long long)load->refused,
           (long long)load->failed, (long long)load->reconnects, (unsigned long long)load->answer_bytes);
}
