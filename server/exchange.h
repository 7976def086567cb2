/* One request and its answer on the way through the server, without HTTP library types: early checks, the body, the
 * handler's thread, the answer.
 *
 * An exchange belongs to its loop's thread. It is lent out while outstanding: then a worker or whoever completes it
 * may write the request's arena, reply, err and verdict, and the loop keeps its hands off these until the exchange
 * comes back through the completion queue. It is freed when it is back and its connection is done with it. */
#ifndef HF_SERVER_EXCHANGE_H
#define HF_SERVER_EXCHANGE_H

#include "server/completions.h"
#include "server/http.h"
#include "server/workers.h"

/* What all exchanges of one server share. */
struct hf_service {
    const struct hf_config *config;
    struct hf_api *api;
    struct hf_auth *auth;
    struct hf_route_table routes;
    struct hf_workers *workers;
    atomic_bool quiescing;
    atomic_int under_way;           /* exchanges that exist */
    atomic_int arriving;            /* those of them whose request is not whole yet */
    _Atomic int64_t inflight_bytes; /* of bodies held */
};

/* Makes request ids: a random start, then counting. One per loop. */
struct hf_request_ids {
    uint64_t next;
};

enum hf_exchange_phase {
    HF_PHASE_HEADERS,
    HF_PHASE_BODY,
    HF_PHASE_WAITING, /* suspended; somebody else has the exchange */
    HF_PHASE_READY,   /* resumed; the answer can be made */
    HF_PHASE_ANSWERED
};

struct hf_standin;

struct hf_exchange {
    struct hf_request request;
    struct hf_reply reply;
    struct hf_error err;
    enum hf_verdict verdict;
    bool arriving; /* counted in the service's */
    bool failed;   /* err holds the answer */

    struct hf_service *service;
    struct hf_completions *completions; /* of its loop */
    struct hf_completion completion;
    void *connection; /* the HTTP library's */
    struct hf_exchange *waiting_before, *waiting_after;
    enum hf_exchange_phase phase;
    bool connected;   /* the connection still refers to it */
    bool outstanding; /* lent out */
    bool close;       /* the connection must not be used again */

    bool chunked;
    bool expects_continue;
    int64_t content_length; /* -1: not given */
    int64_t body_max;
    int64_t body_bytes;   /* came so far */
    int64_t swallow_left; /* how much of a refused body is read before the connection is cut */
    int64_t reserved;     /* of the service's inflight_bytes */
    size_t target_bytes;  /* as sent */
    const char *query;
    const char *allow; /* for 405 */

    uint64_t dispatched_ns;
    atomic_int job;             /* enum job in exchange.c: who got hold of a queued job first */
    struct hf_standin *standin; /* the answer given when the real one did not come in time */
};

/* target is the request's, as sent. Owns: hf_exchange_free. */
struct hf_exchange *hf_exchange_new(struct hf_service *service, struct hf_completions *completions, const char *target);
void hf_exchange_free(struct hf_exchange *exchange); /* neither connected nor outstanding */

void hf_exchange_header(struct hf_exchange *exchange, const char *name, const char *value);

/* Before hf_exchange_admit, for a head that is malformed: 400, unless it has failed already, and the end of the
 * connection. */
void hf_exchange_refuse(struct hf_exchange *exchange, const char *why);

/* Everything that can be checked before the body. After a refusal (exchange->failed) the body is swallowed, or, when
 * hf_exchange_answers_early says so, not even read. */
void hf_exchange_admit(struct hf_exchange *exchange, const char *method, struct hf_request_ids *ids);
bool hf_exchange_answers_early(const struct hf_exchange *exchange);

/* A piece of the body. False: too much of a body that was refused, or it comes too slowly; cut the connection. */
HF_MUST_USE bool hf_exchange_body(struct hf_exchange *exchange, const void *data, size_t bytes);

/* The request is complete: runs its handler or hands it over. True: it can be settled now. False: it is outstanding. */
HF_MUST_USE bool hf_exchange_dispatch(struct hf_exchange *exchange);

/* Makes the answer from what the handler, or finish, has to say. */
void hf_exchange_settle(struct hf_exchange *exchange);
const struct hf_reply *hf_exchange_reply(const struct hf_exchange *exchange);

/* Answers for whoever has the exchange, because time is up or the service stops (reason HF_OVERLOADED or
 * HF_SHUTTING_DOWN). A write that has begun gets HF_OUTCOME_UNKNOWN. */
void hf_exchange_give_up(struct hf_exchange *exchange, enum hf_code reason);

/* It came back after it was given up: lets finish release what it holds. */
void hf_exchange_discard(struct hf_exchange *exchange);

#endif
