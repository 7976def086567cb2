/* Reads a stream of server-sent events, as section 9.2 of the HTML standard says: lines end in CR, LF or both, events
 * in an empty line, and a byte order mark at the begin is none of the text. Pieces may be cut anywhere. */
#ifndef HF_CLIENT_SSE_H
#define HF_CLIENT_SSE_H

#include "core/buf.h"

struct hf_sse_event { /* borrowed until the callback returns */
    const char *type; /* "message" where the stream says none */
    const char *data; /* lines joined by LF; NUL-ended, may hold NUL */
    size_t data_bytes;
    const char *last_id; /* "": none so far */
};

struct hf_sse {
    struct hf_buf line;
    struct hf_buf data;
    struct hf_buf type;
    struct hf_buf id;      /* of the event that is being read */
    struct hf_buf last_id; /* where to go on after a lost connection */
    int64_t retry_ms;      /* what the stream asks for; -1: nothing */
    int bom;               /* bytes of a byte order mark seen; -1: past it */
    bool after_cr;
    bool refused; /* on_event said false */
    bool (*on_event)(void *context, const struct hf_sse_event *event);
    void *context;
};

/* No line and no event may be larger than bytes_max. */
void hf_sse_init(struct hf_sse *sse, size_t bytes_max, bool (*on_event)(void *, const struct hf_sse_event *),
                 void *context);
void hf_sse_done(struct hf_sse *sse);

/* The next piece. False: on_event said false (refused), or something is larger than bytes_max. */
bool hf_sse_feed(struct hf_sse *sse, const void *data, size_t bytes);

/* A new connection: forgets the event that was cut off, keeps last_id and retry_ms. */
void hf_sse_restart(struct hf_sse *sse);

#endif
