#include "tests/support/small_server.h"

#include "core/auto.h"

#include <pthread.h>
#include <string.h>

#define HELD_MAX 1024

struct hf_small_server {
    struct hf_http *http;
    struct hf_auth *auth;
    pthread_t completer;
    pthread_mutex_t mutex; /* protects all below */
    pthread_cond_t changed;
    struct hf_request *later[HELD_MAX]; /* to be completed at once */
    int later_count;
    struct hf_request *held[HELD_MAX]; /* to be completed when the gate opens */
    int held_count;
    int reached_gate;
    int finished;
    bool gate_open;
    bool stopping;
};

/* One server a test program: handlers get at it through the request's api pointer. */
static struct hf_small_server *server_of(const struct hf_request *request)
{
    return (struct hf_small_server *)(void *)request->api;
}

static void reply_text(struct hf_reply *reply, const char *text)
{
    reply->status = 200;
    reply->content_type = "text/plain";
    hf_buf_add_text(&reply->body, text);
}

static enum hf_verdict open_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)request, (void)err;
    reply_text(reply, "open");
    return HF_DONE;
}

static enum hf_verdict state_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    const char *version = hf_request_query(request, "version");
    (void)err;
    reply_text(reply, request->params[0]);
    hf_buf_add_format(&reply->body, " %s %s", request->params[1], version ? version : "-");
    hf_reply_header(request, reply, "ETag", "\"1-abc\"");
    return HF_DONE;
}

static void echo_body(struct hf_request *request, struct hf_reply *reply)
{
    reply->status = 200;
    reply->content_type = "application/octet-stream";
    if (!request->body)
        return;
    reply->blob = hf_blob_ref(request->body);
    reply->blob_bytes = request->body->bytes;
}

static enum hf_verdict echo(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)err;
    echo_body(request, reply);
    return HF_DONE;
}

static enum hf_verdict worker(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_small_server *server = server_of(request);
    (void)err;
    HF_ASSERT(request->on_worker);
    pthread_mutex_lock(&server->mutex);
    server->reached_gate++;
    pthread_cond_broadcast(&server->changed);
    while (!server->gate_open)
        pthread_cond_wait(&server->changed, &server->mutex);
    pthread_mutex_unlock(&server->mutex);
    reply_text(reply, "worker");
    hf_reply_header_format(request, reply, "X-Principal", "%s", request->principal->id);
    return HF_DONE;
}

static enum hf_verdict retry(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)err;
    if (!request->on_worker)
        return HF_RETRY_ON_WORKER;
    reply_text(reply, "worker");
    return HF_DONE;
}

static bool finish_echo(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_small_server *server = server_of(request);
    (void)err;
    pthread_mutex_lock(&server->mutex);
    server->finished++;
    pthread_mutex_unlock(&server->mutex);
    echo_body(request, reply);
    return true;
}

static enum hf_verdict later(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_small_server *server = server_of(request);
    (void)reply, (void)err;
    request->finish = finish_echo;
    pthread_mutex_lock(&server->mutex);
    HF_ASSERT(server->later_count < HELD_MAX);
    server->later[server->later_count++] = request;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
    return HF_LATER;
}

static enum hf_verdict held(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_small_server *server = server_of(request);
    (void)reply, (void)err;
    request->finish = finish_echo;
    pthread_mutex_lock(&server->mutex);
    HF_ASSERT(server->held_count < HELD_MAX);
    server->held[server->held_count++] = request;
    server->reached_gate++;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
    return HF_LATER;
}

static enum hf_verdict part(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)request, (void)err;
    reply->status = 206;
    reply->content_type = "text/plain";
    reply->blob = hf_blob_copy("0123456789", 10);
    reply->blob_offset = 3;
    reply->blob_bytes = 4;
    return HF_DONE;
}

static enum hf_verdict refuse(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    reply_text(reply, "half an answer that must not be seen");
    hf_request_problem_member(request, "currentEtag", "\"\\\"7-ff\\\"\"");
    hf_error_set(err, HF_PRECONDITION, "the state is at version 7");
    return HF_FAIL;
}

static enum hf_verdict unmodified(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)err;
    reply->status = 304;
    reply->blob = hf_blob_copy("0123456789", 10); /* for its length */
    reply->blob_bytes = 10;
    hf_reply_header(request, reply, "ETag", "\"1-abc\"");
    return HF_DONE;
}

static enum hf_verdict thing_delete(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)request, (void)err;
    reply->status = 204;
    return HF_DONE;
}

#define STATE "/v1/systems/{system}/components/{component}/state"
const struct hf_route hf_small_routes[] = {
    {HF_GET, "/open", open_get, HF_ROLE_NONE, HF_BODY_NONE, HF_ON_LOOP, "open", NULL},
    {HF_GET, STATE, state_get, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "state_get", "version at"},
    {HF_PUT, STATE, echo, HF_ROLE_AGENT, HF_BODY_STATE, HF_ON_LOOP_IF_SMALL, "state_put", NULL},
    {HF_POST, "/v1/small", echo, HF_ROLE_AGENT, HF_BODY_SMALL, HF_ON_LOOP, "small", NULL},
    {HF_GET, "/v1/worker", worker, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_WORKER, "worker_get", NULL},
    {HF_POST, "/v1/worker", worker, HF_ROLE_VIEWER, HF_BODY_SMALL, HF_ON_WORKER, "worker_post", NULL},
    {HF_GET, "/v1/task", worker, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_TASK, "task_get", NULL},
    {HF_POST, "/v1/task", worker, HF_ROLE_VIEWER, HF_BODY_SMALL, HF_ON_TASK, "task_post", NULL},
    {HF_GET, "/v1/retry", retry, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "retry", NULL},
    {HF_POST, "/v1/later", later, HF_ROLE_VIEWER, HF_BODY_SMALL, HF_ON_LOOP, "later", NULL},
    {HF_POST, "/v1/held", held, HF_ROLE_VIEWER, HF_BODY_SMALL, HF_ON_LOOP, "held_post", NULL},
    {HF_GET, "/v1/held", held, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "held_get", NULL},
    {HF_GET, "/v1/part", part, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "part", NULL},
    {HF_GET, "/v1/fail", refuse, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "fail", NULL},
    {HF_GET, "/v1/unmodified", unmodified, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "unmodified", NULL},
    {HF_DELETE, "/v1/things/{id}", thing_delete, HF_ROLE_OPERATOR, HF_BODY_NONE, HF_ON_LOOP, "thing_delete", NULL},
    {HF_PATCH, "/v1/things/{id}", echo, HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_LOOP, "thing_patch", NULL},
};
const int hf_small_route_count = (int)(sizeof(hf_small_routes) / sizeof(hf_small_routes[0]));

/* Plays the part of the committer. */
static void *complete_requests(void *argument)
{
    struct hf_small_server *server = argument;
    pthread_mutex_lock(&server->mutex);
    for (;;) {
        while (server->later_count > 0)
            hf_request_complete(server->later[--server->later_count]);
        while (server->gate_open && server->held_count > 0)
            hf_request_complete(server->held[--server->held_count]);
        if (server->stopping)
            break;
        pthread_cond_wait(&server->changed, &server->mutex);
    }
    pthread_mutex_unlock(&server->mutex);
    return NULL;
}

_Noreturn static void give_up(const struct hf_error *err)
{
    fprintf(stderr, "the small server cannot start: %s\n", err->text);
    abort();
}

struct hf_config hf_small_server_config(void)
{
    return (struct hf_config){
        .listen = (char *)"127.0.0.1:0",
        .state_bytes_max = 100000,
        .batch_bytes_max = 100000,
        .inflight_bytes_max = 64 * 1024 * 1024,
        .queue_jobs_max = 64,
        .connections_max = 2000,
        .request_timeout_ms = 30000,
        .store_timeout_ms = 5000,
        .loops = 2,
        .workers = 2,
        .tasks = 2,
        .transfers = 2,
        .import_bytes_max = INT64_C(1) << 30,
    };
}

struct hf_small_server *hf_small_server_start(const struct hf_config *config, const char *tokens_file)
{
    struct hf_small_server *server = hf_alloc(sizeof(*server));
    struct hf_error err;
    pthread_mutex_init(&server->mutex, NULL);
    pthread_cond_init(&server->changed, NULL);
    if (!hf_auth_open(&server->auth, tokens_file, &err))
        give_up(&err);
    const struct hf_http_options options = {
        .config = config,
        .api = (struct hf_api *)(void *)server,
        .auth = server->auth,
        .routes = hf_small_routes,
        .route_count = hf_small_route_count,
    };
    HF_ASSERT(pthread_create(&server->completer, NULL, complete_requests, server) == 0);
    if (!hf_http_start(&server->http, &options, &err))
        give_up(&err);
    return server;
}

void hf_small_server_stop(struct hf_small_server *server)
{
    hf_small_server_open_gate(server);
    hf_http_stop(server->http);
    pthread_mutex_lock(&server->mutex);
    server->stopping = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
    pthread_join(server->completer, NULL);
    hf_auth_close(server->auth);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

void hf_small_server_stop_http(struct hf_small_server *server)
{
    hf_http_stop(server->http);
    server->http = NULL; /* only the stopping thread looks at it */
}

int hf_small_server_port(const struct hf_small_server *server)
{
    return hf_http_port(server->http);
}

struct hf_http *hf_small_server_http(struct hf_small_server *server)
{
    return server->http;
}

struct hf_auth *hf_small_server_auth(struct hf_small_server *server)
{
    return server->auth;
}

void hf_small_server_open_gate(struct hf_small_server *server)
{
    pthread_mutex_lock(&server->mutex);
    server->gate_open = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

void hf_small_server_await_gate(struct hf_small_server *server, int count)
{
    pthread_mutex_lock(&server->mutex);
    while (server->reached_gate < count)
        pthread_cond_wait(&server->changed, &server->mutex);
    pthread_mutex_unlock(&server->mutex);
}

int hf_small_server_finished(struct hf_small_server *server)
{
    pthread_mutex_lock(&server->mutex);
    int finished = server->finished;
    pthread_mutex_unlock(&server->mutex);
    return finished;
}
