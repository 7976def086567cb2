/* An HTTP server whose handlers stand in for archives: GET /archive?bytes=&fail=&wait=&linger=&refuse= and POST
 * /import?refuse=&wait=&linger=, of any length, with a gate to hold them at; and /open, /slow and /worker, which are
 * ordinary. Every helper fails the test that calls it. */
#ifndef HF_TESTS_STREAMING_SERVER_H
#define HF_TESTS_STREAMING_SERVER_H

#include "core/config.h"
#include "core/digest.h"
#include "server/http.h"
#include "tests/support/client.h"

#include <curl/curl.h>
#include <pthread.h>

#define HF_FLOW_MIB         ((int64_t)1024 * 1024)
#define HF_FLOW_LARGE_BYTES (200 * HF_FLOW_MIB)

/* The server, and what its handlers did. */
extern struct hf_streaming {
    struct hf_config config; /* hf_small_server_config() unless set before the start */
    struct hf_http *http;
    struct hf_client *client;
    _Atomic int64_t produced_bytes;
    pthread_mutex_t mutex;  /* protects all below */
    pthread_cond_t changed; /* any of it */
    bool gate_open;
    int reached_gate;
    int producing; /* begun */
    int freed;
    int received; /* bodies, whole or not */
    struct hf_error producer_err, receiver_err;
    bool producer_ok, receiver_ok;
} hf_streaming;

void hf_streaming_start(void);
void hf_streaming_stop(void);
void hf_streaming_open_gate(void);
void hf_streaming_await(const int *counter, int wanted); /* one of the counters above */

/* The answer has that status, and the word in it. */
void hf_streaming_expect(const char *method, const char *path, const char *body, long status, const char *word);
int hf_streaming_send_head(const char *request);           /* the connection; close() */
bool hf_streaming_read_to_end(int fd, int64_t *bytes_out); /* true: it ended in good order */
int64_t hf_test_resident_bytes(void);                      /* of this process */

/* A client that holds nothing: it hashes what comes, sends what a producer would. */
struct hf_flow {
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

CURLcode hf_flow_download(struct hf_flow *flow, const char *path);
CURLcode hf_flow_upload(struct hf_flow *flow, const char *path);

#endif
