/* What all loops and exchanges of one server share: settings, routes, the threads that may wait, and counts of what is
 * under way. */
#ifndef HF_SERVER_SERVICE_H
#define HF_SERVER_SERVICE_H

#include "api/routes.h"
#include "server/http.h"
#include "server/workers.h"

#include <stdatomic.h>

struct hf_service {
    const struct hf_config *config;
    struct hf_api *api;
    struct hf_auth *auth;
    struct hf_route_table routes;
    struct hf_workers *workers;
    struct hf_workers *tasks;     /* for HF_ON_TASK */
    struct hf_workers *transfers; /* for HF_ON_TRANSFER */
    atomic_bool quiescing;
    atomic_int under_way;           /* exchanges that exist */
    atomic_int streams;             /* those of them that send a stream: a stop does not wait for these */
    atomic_int arriving;            /* those of them whose request is not whole yet */
    _Atomic int64_t inflight_bytes; /* of bodies held, and pipes */
};

/* Starts the workers. A failure leaves it to be stopped. */
HF_MUST_USE bool hf_service_start(struct hf_service *service, const struct hf_http_options *options,
                                  struct hf_error *err);
void hf_service_stop(struct hf_service *service); /* runs what is queued and ends the workers */

/* HF_CONFIG without tokens, unless only this machine can reach the address. */
HF_MUST_USE bool hf_service_check_tokens(const struct hf_service *service, bool is_loopback, struct hf_error *err);

/* Whether there are requests to wait for; those that are not whole by arrival_ns (monotonic) do not count. */
bool hf_service_is_busy(const struct hf_service *service, uint64_t arrival_ns);

#endif
