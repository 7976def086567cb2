/* The HTTP server with a small route table of its own, so that its behaviour is tested without the product behind it.
 *
 * GET    /open                                              role none; answers "open"
 * GET    /v1/systems/{system}/components/{component}/state  viewer; "system component", and query "version"
 * PUT    (the same)                                         agent; echoes the body
 * POST   /v1/small                                          agent; at most 1 MiB; echoes the body
 * GET    /v1/worker, POST /v1/worker                        on a worker, which waits for the gate
 * GET    /v1/task, POST /v1/task                            on a task's thread, which waits for the gate
 * GET    /v1/retry                                          asks for a worker; answers "worker"
 * POST   /v1/later                                          completed by another thread; echoes the body
 * POST   /v1/held, GET /v1/held                             completed by another thread once the gate is open
 * GET    /v1/part, /v1/fail, /v1/unmodified                 part of a blob, a problem with a member, 304
 * DELETE /v1/things/{id}, PATCH /v1/things/{id}             operator; 204; echo */
#ifndef HF_TESTS_SUPPORT_SMALL_SERVER_H
#define HF_TESTS_SUPPORT_SMALL_SERVER_H

#include "api/auth.h"
#include "core/config.h"
#include "server/http.h"

struct hf_small_server; /* opaque */

/* Settings that suit tests: loopback, port 0, 2 loops, 2 workers, 2 tasks, bodies up to 100,000 bytes. */
struct hf_config hf_small_server_config(void);
/* A time for requests that a test can wait for; what has to begin within it does, also on a busy machine. */
#define HF_SMALL_SERVER_BRIEF_MS 4000

/* Starts it; a failure fails the test. tokens_file may be NULL. config is borrowed until stop. */
struct hf_small_server *hf_small_server_start(const struct hf_config *config, const char *tokens_file);
void hf_small_server_stop(struct hf_small_server *server);
void hf_small_server_stop_http(struct hf_small_server *server); /* hf_http_stop alone, with the gate as it is */

int hf_small_server_port(const struct hf_small_server *server);
struct hf_http *hf_small_server_http(struct hf_small_server *server);
struct hf_auth *hf_small_server_auth(struct hf_small_server *server);

/* Closed at first. Opening it releases whatever waits behind it. */
void hf_small_server_open_gate(struct hf_small_server *server);
/* Waits until count handlers have reached the gate since the start. */
void hf_small_server_await_gate(struct hf_small_server *server, int count);
int hf_small_server_finished(struct hf_small_server *server); /* calls of finish so far */

extern const struct hf_route hf_small_routes[];
extern const int hf_small_route_count;

#endif
