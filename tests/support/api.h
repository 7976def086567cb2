/* A running server, a connection to it and its description: every call states the status it expects, and every answer
 * is held against the description. */
#ifndef HF_TESTS_SUPPORT_API_H
#define HF_TESTS_SUPPORT_API_H

#include "tests/support/client.h"
#include "tests/support/openapi.h"
#include "tests/support/server.h"

#include <check.h>

struct hf_api_test {
    struct hf_test_server *server;
    struct hf_client *client;
    struct hf_openapi *openapi;
    struct hf_answer answer; /* the last one */
    json_t *json;            /* of the last answer; NULL: not JSON */
    const char *token;       /* sent with every call; NULL: none. Borrowed */
};

void hf_api_start(struct hf_api_test *test, const struct hf_test_server_options *options);
void hf_api_reconnect(struct hf_api_test *test); /* after the server was started again */
void hf_api_stop(struct hf_api_test *test);

/* Sends a request; body NULL: none, else sent as application/json. Fails the test when the answer has another status,
 * lacks X-Request-Id, or is not as described. Returns the answer's JSON (borrowed until the next call) or NULL. */
json_t *hf_api_call(struct hf_api_test *test, int status, const char *method, const char *path, const char *body);

/* The same with header lines of one's own (NULL-terminated, no content type added). */
json_t *hf_api_send(struct hf_api_test *test, int status, const char *method, const char *path,
                    const char *const headers[], const void *body, size_t body_bytes);

/* Uploads a state, the first of its component or not; the last answer stays as it is. */
void hf_api_put_state(struct hf_api_test *test, const char *system_path, const char *component, const char *text);

/* A call that must be refused with this problem code; returns the problem. */
json_t *hf_api_refused(struct hf_api_test *test, int status, const char *code, const char *method, const char *path,
                       const char *body);
/* For a loop around calls that waits for what the service does behind its answers: 10 ms. *naps is 0 at first. Fails
 * the test after a minute of naps, which only a hang takes. */
void hf_api_nap(int *naps);

/* The last answer must be this problem. */
json_t *hf_api_problem(struct hf_api_test *test, const char *code);

/* A main function's work: runs every test with _i = 0 (SQLite) and _i = 1 (PostgreSQL). */
int hf_api_run_on_both(const char *suite, const TTest *const tests[], int count);

/* Header of the last answer; fails the test when it is missing. Valid until the next use. */
const char *hf_api_header(struct hf_api_test *test, const char *name);

/* Members of an answer; fail the test when they are missing or of another type. */
long long hf_json_int(const json_t *object, const char *name);
const char *hf_json_str(const json_t *object, const char *name);
#define ck_assert_detail_has(test, text)                                                                               \
    ck_assert_msg(strstr(hf_json_str((test)->json, "detail"), (text)) != NULL, "detail \"%s\" lacks \"%s\"",           \
                  hf_json_str((test)->json, "detail"), (text))

#endif
