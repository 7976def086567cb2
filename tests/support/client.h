/* A small HTTP client for tests: libcurl for requests as a client makes them, and a bare TCP connection for those that
 * no client would make. Anything that cannot happen in a working test fails the test. */
#ifndef HF_TESTS_SUPPORT_CLIENT_H
#define HF_TESTS_SUPPORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

struct hf_answer {
    long status;   /* 0: no answer came */
    char *headers; /* of the last response, lines as sent */
    char *body;    /* terminated */
    size_t body_bytes;
    bool connection_reused;
};
void hf_answer_done(struct hf_answer *answer);

/* The value of a header of the answer; NULL: absent. Valid until the next call or hf_answer_done. */
const char *hf_answer_header(const struct hf_answer *answer, const char *name);

/* One connection, kept alive between requests, to 127.0.0.1:port. */
struct hf_client;
struct hf_client *hf_client_new(int port); /* owns: hf_client_free */
void hf_client_free(struct hf_client *client);

struct hf_client_request {
    const char *method;         /* NULL: GET */
    const char *path;           /* with the query, sent as it is */
    const char *const *headers; /* "Name: value" lines, NULL-terminated; may be NULL */
    const void *body;           /* NULL: none */
    size_t body_bytes;
    bool chunked;    /* the body without Content-Length */
    long timeout_ms; /* 0: 60 s */
};
/* Sends and waits for the answer; out is set anew (owns: hf_answer_done). False: no answer (out->status is 0). */
bool hf_client_send(struct hf_client *client, const struct hf_client_request *request, struct hf_answer *out);

/* The same for the usual: method, path, text body (may be NULL), one header line (may be NULL). */
bool hf_client_call(struct hf_client *client, const char *method, const char *path, const char *body,
                    const char *header, struct hf_answer *out);

/* Bare TCP. */
int hf_raw_connect(int port);                             /* owns: close() */
bool hf_raw_send(int fd, const void *data, size_t bytes); /* false: the other side closed */
bool hf_raw_send_text(int fd, const char *text);
/* Reads until the other side closes, or needle has come count times, or 60 s passed (fails the test only when
 * must_come). Owns: free(). */
char *hf_raw_read(int fd, const char *needle, int count, bool must_come);

#endif
