/* What a loop keeps of its exchanges, without HTTP library types: which of them wait and since when, which transfer,
 * and what became of those that come back through its queue. On the loop's own thread throughout. */
#ifndef HF_SERVER_LOOP_H
#define HF_SERVER_LOOP_H

#include "server/exchange.h"
#include "server/record.h"

struct hf_loop {
    struct hf_service *service;
    /* The HTTP library's: connections that are suspended are left alone until they are resumed. */
    void (*suspend)(void *connection);
    void (*resume)(void *connection);
    bool (*has_left)(void *connection); /* the client sends no more, and all that it sent has been read */
    struct hf_completions completions;
    struct hf_record record;
    struct hf_request_ids ids;
    struct hf_exchange *waiting_first; /* for their answer, oldest first: the one with the nearest deadline leads */
    struct hf_exchange *waiting_last;
    struct hf_exchange *transfers; /* lent out */
    struct hf_exchange *streams;   /* whose answer goes on */
    int connected;                 /* exchanges that a connection refers to */
    uint64_t sweep_due_ns;
};

HF_MUST_USE bool hf_loop_init(struct hf_loop *loop, struct hf_error *err); /* the service and the functions are set */
void hf_loop_done(struct hf_loop *loop);

struct hf_exchange *hf_loop_connect(struct hf_loop *loop, const char *target, void *connection);

/* The connection is done with the exchange. timed_out: the library saw it stand still. */
void hf_loop_disconnect(struct hf_loop *loop, struct hf_exchange *exchange, bool timed_out);

/* Hands the body of an admitted HF_BODY_STREAM request over while it comes. It may fail (exchange->failed). */
void hf_loop_receive(struct hf_loop *loop, struct hf_exchange *exchange);

/* The answer that is about to be sent is a stream. */
void hf_loop_stream(struct hf_loop *loop, struct hf_exchange *exchange);

/* Suspends the connection: until the exchange's answer can be made, or until its pipe can be tried again. */
void hf_loop_wait(struct hf_loop *loop, struct hf_exchange *exchange);
void hf_loop_pause(struct hf_loop *loop, struct hf_exchange *exchange);

/* All of these: true when a connection was resumed, so that the library must run before the loop sleeps. */
bool hf_loop_take_news(struct hf_loop *loop);
bool hf_loop_sweep(struct hf_loop *loop);           /* once a second: what stands still */
bool hf_loop_give_up(struct hf_loop *loop);         /* at stop: everything that others still have */
int hf_loop_timeout_ms(const struct hf_loop *loop); /* how long it may sleep; -1: for ever */

#endif
