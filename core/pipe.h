/* A bounded pipe for bytes between two threads, one that writes and one that reads. Either end may wait for the other,
 * or be one that never waits and is told when to come again. Waiting is bounded: not in all, but without any byte
 * moving. Either side may break the pipe, and the other then learns why. */
#ifndef HF_CORE_PIPE_H
#define HF_CORE_PIPE_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

struct hf_pipe;

/* What an end is told that has waited too long; the text is followed by "for … ms". */
struct hf_pipe_lateness {
    enum hf_code code;
    const char *text;
};

struct hf_pipe_options {
    size_t bytes_max;    /* held at once */
    int64_t patience_ms; /* how long an end waits while no byte moves */
    struct hf_pipe_lateness read_late, write_late;
    /* Tells the end that never waits to come again; called on the other end's thread, or on that of hf_pipe_break, at
     * most once for each HF_PIPE_WAIT. NULL when both ends wait. */
    void (*wake)(void *context);
    void *wake_context;
};

struct hf_pipe *hf_pipe_new(const struct hf_pipe_options *options); /* owns: hf_pipe_free */
void hf_pipe_free(struct hf_pipe *pipe);                            /* nobody uses it any more; accepts NULL */

/* For a pipe of which neither end waits: the reader is told by this one instead of options.wake, which then tells the
 * writer alone. Before the reader's first take. */
void hf_pipe_set_reader_wake(struct hf_pipe *pipe, void (*wake)(void *context), void *context);

/* Ends that wait. write takes all of it. read fills at least one byte, or *got_out is 0: the end. False: the pipe is
 * broken, or was waited for too long; err says why. */
HF_MUST_USE bool hf_pipe_write(struct hf_pipe *pipe, const void *data, size_t bytes, struct hf_error *err);
HF_MUST_USE bool hf_pipe_read(struct hf_pipe *pipe, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err);

enum hf_pipe_result {
    HF_PIPE_MOVED, /* all that was offered, or something was taken */
    HF_PIPE_WAIT,  /* wake will be called; some of what was offered may have moved */
    HF_PIPE_END,   /* take only: there will be no more */
    HF_PIPE_BROKEN
};

/* Ends that never wait. */
HF_MUST_USE enum hf_pipe_result hf_pipe_offer(struct hf_pipe *pipe, const void *data, size_t bytes, size_t *moved_out);
HF_MUST_USE enum hf_pipe_result hf_pipe_take(struct hf_pipe *pipe, void *out, size_t bytes_max, size_t *moved_out);

/* The writer has written all. */
void hf_pipe_finish(struct hf_pipe *pipe);
bool hf_pipe_is_finished(struct hf_pipe *pipe);

/* Any thread. Bytes still held are lost to the reader; only the first reason counts, and none after the reader has seen
 * the end. */
void hf_pipe_break(struct hf_pipe *pipe, enum hf_code code, const char *why);
bool hf_pipe_is_broken(struct hf_pipe *pipe);

uint64_t hf_pipe_moved_ns(struct hf_pipe *pipe); /* when a byte last moved; at first, when the pipe was made */

#endif
