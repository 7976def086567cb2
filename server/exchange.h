/* One request and its answer on the way through the server, without HTTP library types: early checks, the body, the
 * handler's thread, the answer.
 *
 * An exchange belongs to its loop's thread. It is lent out while outstanding: then a worker or whoever completes it
 * may write the request's arena, reply, err and verdict, and the loop keeps its hands off these until the exchange
 * comes back through the completion queue. It is freed when it is back and its connection is done with it.
 *
 * A transfer is lent out for longer: the thread that has it tells the verdict first, after which the reply is the
 * loop's, and comes back when the producer has ended. In between they share the transfer's pipe alone.
 *
 * A stream is back before it is answered: whoever writes into its pipe knows nothing of the exchange, and is told to
 * leave before that is freed. */
#ifndef HF_SERVER_EXCHANGE_H
#define HF_SERVER_EXCHANGE_H

#include "server/completions.h"
#include "server/service.h"

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

struct hf_loop;
struct hf_standin;
struct hf_transfer;

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
    atomic_uint news; /* HF_NEWS_* not looked at yet; the completion is in the queue while there are any */
    struct hf_loop *loop;
    void *connection; /* the HTTP library's, as is … */
    void *response;   /* … that of an answer that streams */
    struct hf_exchange *waiting_before, *waiting_after;
    struct hf_exchange *transfer_before, *transfer_after; /* in its loop's list of transfers, or of streams */
    enum hf_exchange_phase phase;
    bool suspended;   /* in HF_PHASE_WAITING, or for its pipe */
    bool connected;   /* the connection still refers to it */
    bool outstanding; /* lent out */
    bool close;       /* the connection must not be used again */

    bool is_http_1_0;
    bool chunked;
    bool expects_continue;
    int64_t content_length; /* -1: not given */
    int64_t body_max;
    int64_t body_bytes;   /* came so far */
    bool overran;         /* a body that streams in became longer than body_max */
    int64_t swallow_left; /* how much of a refused body is read before the connection is cut */
    int64_t reserved;     /* of the service's inflight_bytes */
    size_t target_bytes;  /* as sent */
    const char *query;
    const char *allow; /* for 405 */

    struct hf_transfer *transfer; /* on HF_ON_TRANSFER, once dispatched */
    bool streams;                 /* known with the verdict: the answer's body comes through the transfer's pipe */
    bool open_stream;             /* the reply's stream is being sent */
    uint64_t paused_at_ns;        /* when it was last suspended for its pipe */
    uint64_t paused_ns;           /* how long in all */

    uint64_t dispatched_ns;
    uint64_t waiting_ns;        /* since when its answer is waited for */
    atomic_int job;             /* enum job in dispatch.c: who got hold of a queued job first */
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

bool hf_exchange_is_still_allowed(const struct hf_exchange *exchange); /* its token may have been revoked meanwhile */

/* A piece of the body; *bytes becomes what was not taken, because the transfer's pipe is full: come again when that
 * tells. False: too much of a body that was refused, or it comes too slowly; cut the connection. */
HF_MUST_USE bool hf_exchange_body(struct hf_exchange *exchange, const void *data, size_t *bytes);
void hf_exchange_has_arrived(struct hf_exchange *exchange); /* its request is whole, or in good hands */

/* Counts bytes as held until the exchange is freed; false: past the bound. */
HF_MUST_USE bool hf_exchange_reserve(struct hf_exchange *exchange, int64_t bytes);
bool hf_exchange_overloaded(struct hf_exchange *exchange, const char *what); /* sets err; returns false */

/* Makes the answer from what the handler, or finish, has to say. */
void hf_exchange_settle(struct hf_exchange *exchange);
const struct hf_reply *hf_exchange_reply(const struct hf_exchange *exchange); /* what to answer with */
/* Whether its body comes through a pipe: the transfer's, or that of the reply's stream. */
bool hf_exchange_streams(const struct hf_exchange *exchange);
struct hf_pipe *hf_exchange_pipe(const struct hf_exchange *exchange);

#endif
