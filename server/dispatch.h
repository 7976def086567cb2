/* The way of an exchange to the thread that answers it, and back: on the loop itself, on a worker, with whoever
 * completes it, or on a transfer's thread; and the answer given when it does not come back in time. */
#ifndef HF_SERVER_DISPATCH_H
#define HF_SERVER_DISPATCH_H

#include "server/exchange.h"

/* What comes through the completion queue. */
enum {
    HF_NEWS_VERDICT = 1, /* the answer can be made */
    HF_NEWS_END = 2, /* the exchange is back; always the last, and for all but transfers together with the verdict */
    HF_NEWS_PIPE = 4 /* the loop's end of its pipe should be tried again */
};

/* A reply with a request of its own: the real ones may be in use by another thread. */
struct hf_standin {
    struct hf_request request;
    struct hf_reply reply;
};
void hf_standin_free(struct hf_standin *standin); /* accepts NULL */

/* The request is complete: runs its handler or hands it over; a body that streamed in is ended. True: it can be settled
 * now. False: it is outstanding. */
HF_MUST_USE bool hf_dispatch_request(struct hf_exchange *exchange);

/* The head of a request to a HF_BODY_STREAM route was admitted: hands it over. False: it has failed. */
HF_MUST_USE bool hf_dispatch_receiver(struct hf_exchange *exchange);

/* hf_request_complete leads here, hf_request_put_aside and hf_request_resume to the next two. Any thread. */
void hf_dispatch_complete(struct hf_request *request);
void hf_dispatch_put_aside(struct hf_request *request);
HF_MUST_USE bool hf_dispatch_resume(struct hf_request *request);
void hf_dispatch_tell_pipe(void *exchange);                   /* wakes the loop's end of its pipe; any thread */
bool hf_dispatch_has_news(struct hf_exchange *exchange);      /* its completion is in the queue */
unsigned hf_dispatch_take_news(struct hf_exchange *exchange); /* on the loop, once its completion was taken */

/* Its handler runs, or whoever completes it has it, and it may take as long as it needs: a task, or the reader of a
 * body that is in. */
bool hf_dispatch_may_take_long(const struct hf_exchange *exchange);

/* Answers for whoever has the exchange, because time is up or the service stops (reason HF_OVERLOADED or
 * HF_SHUTTING_DOWN); a transfer's pipe breaks. A write that has begun gets HF_OUTCOME_UNKNOWN. */
void hf_dispatch_give_up(struct hf_exchange *exchange, enum hf_code reason);

/* It came back after it was given up: lets finish release what it holds. */
void hf_dispatch_discard(struct hf_exchange *exchange);

#endif
