/* The part of an exchange whose answer or body is too large to hold: the pipe between its loop and the thread that
 * makes the answer or reads the body, and what goes with it. One direction each: a body that streams in is answered
 * with a text, an answer that streams out belongs to a request without a body. */
#ifndef HF_SERVER_TRANSFER_H
#define HF_SERVER_TRANSFER_H

#include "api/request.h"
#include "core/pipe.h"

#define HF_TRANSFER_PIPE_BYTES (512 * 1024)

struct hf_transfer {
    struct hf_pipe *pipe;
    struct hf_reader body; /* what the handler of a HF_BODY_STREAM route reads */
    bool receives;         /* a body comes in; otherwise an answer goes out */

    /* Taken over from the reply of an answer that streams out. */
    bool (*produce)(void *context, const struct hf_writer *to, struct hf_error *err);
    void *produce_context;
    void (*produce_free)(void *context);
    const char *(*trailer_value)(void *context);
    struct hf_reply_header trailer; /* its value may be read once the pipe has ended */
    char *trailer_copy;
};

/* wake is called when the loop's end of the pipe should be tried again. */
struct hf_transfer *hf_transfer_new(bool receives, int64_t patience_ms, void (*wake)(void *context), void *context);
void hf_transfer_free(struct hf_transfer *transfer); /* accepts NULL; its thread is done with it */

/* On the transfer's thread. take_answer makes the producer of a reply the transfer's own; without a body to send (HEAD)
 * it is freed at once. produce runs and frees it, and ends the pipe or breaks it; a failure is logged with the
 * request's id. */
void hf_transfer_take_answer(struct hf_transfer *transfer, struct hf_reply *reply, bool wants_body);
void hf_transfer_produce(struct hf_transfer *transfer, const char *request_id);

#endif
