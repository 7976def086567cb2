/* The yardstick: the product's own HTTP stack with the state routes answered from memory. It reads each body, keeps
 * nothing, checks nothing. What the service costs beyond HTTP is the difference to this.
 *
 * PUT and GET are answered at once on the loop. POST is handed to one other thread and comes back from there, as any
 * upload must that is to be stored before the answer.
 *
 *   null_server [settings of holdfast-server]     prints "null_server listens on http://127.0.0.1:PORT" */
#include "core/auto.h"
#include "core/json.h"
#include "core/log.h"
#include "server/http.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#define STATE_BYTES 1024

static enum hf_verdict state_put(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);
static enum hf_verdict state_post(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);
static enum hf_verdict state_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);
static void *hand_back(void *unused);

static const struct hf_route routes[] = {
    {HF_PUT, "/v1/systems/{system}/components/{component}/state", state_put, HF_ROLE_NONE, HF_BODY_STATE, HF_ON_LOOP,
     "state_put", NULL},
    {HF_POST, "/v1/systems/{system}/components/{component}/state", state_post, HF_ROLE_NONE, HF_BODY_STATE, HF_ON_LOOP,
     "state_post", NULL},
    {HF_GET, "/v1/systems/{system}/components/{component}/state", state_get, HF_ROLE_NONE, HF_BODY_NONE, HF_ON_LOOP,
     "state_get", NULL},
};

/* As long as a real receipt. */
static const char receipt[] =
    "{\"system\":\"bench\",\"component\":\"c-0000001\",\"version\":42,\"sequence\":90817,\"epoch\":1,\"hash\":\"sha256:"
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\",\"bytes\":1024,\"unchanged\":false,"
    "\"durability\":\"database\",\"committedAt\":\"2026-11-23T01:30:00.123Z\",\"nextIncrementalBackup\":1795397400000}"
    "\n";

static struct hf_blob *state;

/* What the other thread has to hand back. */
struct handed {
    struct hf_request *request;
    struct handed *next;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects what follows */
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static struct handed *waiting;
static bool sleeping;

int main(int argc, char *argv[])
{
    struct hf_error err = {0};
    struct hf_config config;
    struct hf_auth *auth = NULL;
    struct hf_http *http = NULL;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    hf_json_init();
    hf_log_init(STDERR_FILENO, HF_LOG_WARNING, false);
    state = hf_blob_new(STATE_BYTES);
    if (!state || !hf_config_load(&config, argc, argv, &err) || !hf_auth_open(&auth, NULL, &err)) {
        fprintf(stderr, "null_server: %s\n", err.text);
        return EXIT_FAILURE;
    }
    memset(state->data, ' ', STATE_BYTES);
    memcpy(state->data, "{}", 2);
    state->bytes = STATE_BYTES;
    struct hf_http_options options = {.config = &config,
                                      .auth = auth,
                                      .routes = routes,
                                      .route_count = sizeof(routes) / sizeof(routes[0])};
    if (!hf_http_start(&http, &options, &err)) {
        fprintf(stderr, "null_server: %s\n", err.text);
        return EXIT_FAILURE;
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, hand_back, NULL)) {
        fprintf(stderr, "null_server: no thread\n");
        return EXIT_FAILURE;
    }
    pthread_detach(thread);
    printf("null_server listens on http://127.0.0.1:%d\n", hf_http_port(http));
    fflush(stdout);
    int signal_number;
    sigwait(&ends, &signal_number);
    hf_http_stop(http);
    hf_auth_close(auth);
    hf_config_done(&config);
    hf_blob_unref(state);
    return EXIT_SUCCESS;
}

static bool give_receipt(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    if (!request->body)
        return hf_error_set(err, HF_INVALID_REQUEST, "a state needs a body");
    reply->status = 200;
    reply->content_type = "application/json";
    hf_buf_add(&reply->body, receipt, sizeof(receipt) - 1);
    hf_reply_header(request, reply, "ETag", "\"42-9f86d081884c7d65\"");
    return true;
}

static enum hf_verdict state_put(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    return give_receipt(request, reply, err) ? HF_DONE : HF_FAIL;
}

static enum hf_verdict state_post(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)reply, (void)err;
    struct handed *handed = hf_arena_alloc(&request->arena, sizeof(*handed));
    handed->request = request;
    request->finish = give_receipt;
    pthread_mutex_lock(&lock);
    handed->next = waiting;
    waiting = handed;
    bool wake = sleeping;
    sleeping = false;
    pthread_mutex_unlock(&lock);
    if (wake)
        pthread_cond_signal(&arrived);
    return HF_LATER;
}

static void *hand_back(void *unused)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        while (!waiting) {
            sleeping = true;
            pthread_cond_wait(&arrived, &lock);
        }
        sleeping = false;
        struct handed *list = waiting;
        waiting = NULL;
        pthread_mutex_unlock(&lock);
        while (list) {
            struct handed *next = list->next;
            hf_request_complete(list->request);
            list = next;
        }
    }
    return unused;
}

static enum hf_verdict state_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)err;
    reply->status = 200;
    reply->content_type = "application/json";
    reply->blob = hf_blob_ref(state);
    reply->blob_bytes = STATE_BYTES;
    hf_reply_header(request, reply, "ETag", "\"42-9f86d081884c7d65\"");
    return HF_DONE;
}
