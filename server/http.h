/* The HTTP server: loop threads that each drive a libmicrohttpd daemon in external epoll mode and share the port with
 * SO_REUSEPORT. The only user of microhttpd.h.
 *
 * A loop thread never waits: it parses, authenticates, routes, collects the body, and either answers at once, hands
 * the request to a worker, or leaves it with whoever completes it. Completions come back through the loop's queue; only
 * a sleeping loop costs its completer a system call. */
#ifndef HF_SERVER_HTTP_H
#define HF_SERVER_HTTP_H

#include "api/auth.h"
#include "core/config.h"

struct hf_http;

/* What the server needs to know about a request before any handler runs. */
struct hf_http_options {
    const struct hf_config *config;
    struct hf_api *api; /* handed to every request */
    struct hf_auth *auth;
    /* Routes; hf_routes in the product, a small table in the server's own tests. */
    const struct hf_route *routes;
    int route_count;
};

/* Binds, starts loops and workers. HF_CONFIG when the address is in use or not loopback without tokens (the text says
 * how to make one). */
HF_MUST_USE bool hf_http_start(struct hf_http **out, const struct hf_http_options *options, struct hf_error *err);
int hf_http_port(const struct hf_http *http); /* the real one when 0 was asked */

/* Ordered stop. quiesce: no new connections, requests that arrive on open ones get 503 shutting_down; returns when
 * no loop listens any more and nothing is under way (requests that are not whole after a few seconds do not count), or
 * the deadline (monotonic) has passed. stop: resumes and answers what is left with 503, stops the loops and workers,
 * frees. */
void hf_http_quiesce(struct hf_http *http, uint64_t deadline_ns);
void hf_http_stop(struct hf_http *http);

#endif
