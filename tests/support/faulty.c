#include "tests/support/faulty.h"

#include "core/auto.h"
#include "core/buf.h"
#include "tests/support/client.h"

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUESTS_MAX      4096
#define REQUEST_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct hf_faulty {
    const struct hf_faulty_step *steps;
    int step_count;
    atomic_int real_port;
    int listener;
    char url[64];
    atomic_bool stopping;
    pthread_t acceptor;
    pthread_mutex_t mutex;  /* protects what follows */
    pthread_cond_t changed; /* a request came, or a connection ended */
    char *requests[REQUESTS_MAX];
    int request_count;
    int connections;
};

struct connection {
    struct hf_faulty *faulty;
    int fd;
};

static void *accept_all(void *argument);
static void *serve(void *argument);
static bool wait_readable(struct hf_faulty *faulty, int fd);
static char *read_request(struct hf_faulty *faulty, int fd, size_t *bytes_out);
static size_t content_length(const char *head);
static int note(struct hf_faulty *faulty, char *request);
static const struct hf_faulty_step *step_of(const struct hf_faulty *faulty, int index);
static int try_to_connect(int port);
static char *ask_real_server(const struct hf_faulty *faulty, const char *request, size_t bytes,
                             size_t *answer_bytes_out);

struct hf_faulty *hf_faulty_start(const struct hf_faulty_step *steps, int count, int real_port)
{
    struct hf_faulty *faulty = hf_alloc(sizeof(*faulty));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    *faulty = (struct hf_faulty){.steps = steps, .step_count = count};
    atomic_store(&faulty->real_port, real_port);
    faulty->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(faulty->listener, 0);
    ck_assert_int_eq(bind(faulty->listener, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(faulty->listener, 64), 0);
    ck_assert_int_eq(getsockname(faulty->listener, (struct sockaddr *)&address, &length), 0);
    snprintf(faulty->url, sizeof(faulty->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    pthread_mutex_init(&faulty->mutex, NULL);
    pthread_cond_init(&faulty->changed, NULL);
    ck_assert_int_eq(pthread_create(&faulty->acceptor, NULL, accept_all, faulty), 0);
    return faulty;
}

void hf_faulty_stop(struct hf_faulty *faulty)
{
    atomic_store(&faulty->stopping, true);
    pthread_join(faulty->acceptor, NULL);
    pthread_mutex_lock(&faulty->mutex);
    while (faulty->connections > 0)
        pthread_cond_wait(&faulty->changed, &faulty->mutex);
    pthread_mutex_unlock(&faulty->mutex);
    close(faulty->listener);
    for (int i = 0; i < faulty->request_count; i++)
        free(faulty->requests[i]);
    pthread_mutex_destroy(&faulty->mutex);
    pthread_cond_destroy(&faulty->changed);
    free(faulty);
}

void hf_faulty_pass_on_to(struct hf_faulty *faulty, int real_port)
{
    atomic_store(&faulty->real_port, real_port);
}

const char *hf_faulty_url(const struct hf_faulty *faulty)
{
    return faulty->url;
}

int hf_faulty_requests(struct hf_faulty *faulty)
{
    pthread_mutex_lock(&faulty->mutex);
    int count = faulty->request_count;
    pthread_mutex_unlock(&faulty->mutex);
    return count;
}

void hf_faulty_await(struct hf_faulty *faulty, int requests)
{
    pthread_mutex_lock(&faulty->mutex);
    while (faulty->request_count < requests)
        pthread_cond_wait(&faulty->changed, &faulty->mutex);
    pthread_mutex_unlock(&faulty->mutex);
}

const char *hf_faulty_request(struct hf_faulty *faulty, int index)
{
    ck_assert_int_lt(index, hf_faulty_requests(faulty));
    return faulty->requests[index];
}

bool hf_faulty_has(struct hf_faulty *faulty, int index, const char *text)
{
    return strstr(hf_faulty_request(faulty, index), text) != NULL;
}

char *hf_faulty_deliver(struct hf_faulty *faulty, int index)
{
    const char *request = hf_faulty_request(faulty, index);
    size_t answer_bytes = 0;
    return ask_real_server(faulty, request, strlen(request), &answer_bytes);
}

static void *accept_all(void *argument)
{
    struct hf_faulty *faulty = argument;
    while (wait_readable(faulty, faulty->listener)) {
        struct connection *connection = hf_alloc(sizeof(*connection));
        *connection = (struct connection){faulty, accept4(faulty->listener, NULL, NULL, SOCK_CLOEXEC)};
        pthread_t thread;
        pthread_mutex_lock(&faulty->mutex);
        faulty->connections++;
        pthread_mutex_unlock(&faulty->mutex);
        ck_assert_int_eq(pthread_create(&thread, NULL, serve, connection), 0);
        pthread_detach(thread);
    }
    return NULL;
}

static void *serve(void *argument)
{
    struct connection connection = *(struct connection *)argument;
    struct hf_faulty *faulty = connection.faulty;
    free(argument);
    bool open = true;
    while (open) {
        size_t bytes, answer_bytes = 0;
        if (step_of(faulty, hf_faulty_requests(faulty))->action == HF_FAULTY_CLOSE_UNREAD) {
            note(faulty, hf_strdup(""));
            break;
        }
        char *request = read_request(faulty, connection.fd, &bytes);
        if (!request)
            break;
        const struct hf_faulty_step *step = step_of(faulty, note(faulty, request));
        HF_AUTO(free) char *answer = NULL;
        if (step->action == HF_FAULTY_PASS_ON || step->action == HF_FAULTY_PASS_ON_AND_CLOSE)
            answer = ask_real_server(faulty, request, bytes, &answer_bytes);
        if (step->action == HF_FAULTY_SILENCE) {
            char ignored;
            while (wait_readable(faulty, connection.fd) && recv(connection.fd, &ignored, 1, 0) > 0)
                continue;
        }
        if (step->action == HF_FAULTY_ANSWER || step->action == HF_FAULTY_ANSWER_AND_KEEP)
            hf_raw_send(connection.fd, step->answer, step->answer_bytes ? step->answer_bytes : strlen(step->answer));
        if (step->action == HF_FAULTY_PASS_ON && answer)
            hf_raw_send(connection.fd, answer, answer_bytes);
        if (step->action == HF_FAULTY_CLOSE)
            usleep((useconds_t)step->after_ms * 1000);
        open = step->action == HF_FAULTY_ANSWER_AND_KEEP;
    }
    close(connection.fd);
    pthread_mutex_lock(&faulty->mutex);
    faulty->connections--;
    pthread_cond_broadcast(&faulty->changed);
    pthread_mutex_unlock(&faulty->mutex);
    return NULL;
}

static bool wait_readable(struct hf_faulty *faulty, int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (!atomic_load(&faulty->stopping))
        if (poll(&wait, 1, 20) > 0)
            return true;
    return false;
}

/* NULL: the client left. */
static char *read_request(struct hf_faulty *faulty, int fd, size_t *bytes_out)
{
    struct hf_buf text;
    hf_buf_init(&text, REQUEST_BYTES_MAX);
    for (;;) {
        char piece[65536];
        const char *end = text.data ? strstr(text.data, "\r\n\r\n") : NULL;
        if (end && text.bytes >= (size_t)(end + 4 - text.data) + content_length(text.data))
            return hf_buf_take(&text, bytes_out);
        if (end && text.bytes == (size_t)(end + 4 - text.data) && strcasestr(text.data, "Expect: 100-continue"))
            hf_raw_send_text(fd, "HTTP/1.1 100 Continue\r\n\r\n");
        ssize_t got = wait_readable(faulty, fd) ? recv(fd, piece, sizeof(piece), 0) : 0;
        if (got <= 0) {
            hf_buf_done(&text);
            return NULL;
        }
        hf_buf_add(&text, piece, (size_t)got);
    }
}

static size_t content_length(const char *head)
{
    const char *line = strcasestr(head, "\r\nContent-Length:");
    return line && line < strstr(head, "\r\n\r\n") ? strtoull(line + strlen("\r\nContent-Length:"), NULL, 10) : 0;
}

/* Takes the request; returns its index. */
static int note(struct hf_faulty *faulty, char *request)
{
    pthread_mutex_lock(&faulty->mutex);
    HF_ASSERT(faulty->request_count < REQUESTS_MAX);
    int index = faulty->request_count++;
    faulty->requests[index] = request;
    pthread_cond_broadcast(&faulty->changed);
    pthread_mutex_unlock(&faulty->mutex);
    return index;
}

static const struct hf_faulty_step *step_of(const struct hf_faulty *faulty, int index)
{
    return &faulty->steps[index < faulty->step_count ? index : faulty->step_count - 1];
}

/* -1: nobody is there. */
static int try_to_connect(int port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = port ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static char *ask_real_server(const struct hf_faulty *faulty, const char *request, size_t bytes,
                             size_t *answer_bytes_out)
{
    int fd = try_to_connect(atomic_load(&faulty->real_port));
    if (fd < 0)
        return NULL;
    size_t line = (size_t)(strstr(request, "\r\n") + 2 - request);
    hf_raw_send(fd, request, line);
    hf_raw_send_text(fd, "Connection: close\r\n");
    hf_raw_send(fd, request + line, bytes - line);
    HF_AUTO(buf) struct hf_buf answer;
    char piece[65536];
    hf_buf_init(&answer, REQUEST_BYTES_MAX);
    for (ssize_t got; (got = recv(fd, piece, sizeof(piece), 0)) > 0;)
        hf_buf_add(&answer, piece, (size_t)got);
    close(fd);
    return answer.bytes > 0 ? hf_buf_take(&answer, answer_bytes_out) : NULL;
}
