/* One attempt of one request on libcurl. Handles are kept with their connections and used again; whatever waits here,
 * for the network or in a pause, ends at once when the wire is cancelled. */
#ifndef HF_CLIENT_WIRE_H
#define HF_CLIENT_WIRE_H

#include "client/holdfast.h"
#include "core/buf.h"

#include <stdatomic.h>

struct hf_wire; /* opaque; any thread */

struct hf_wire_options {
    const char *url;     /* http:// or https://, without a slash at the end */
    const char *token;   /* NULL: none */
    const char *ca_file; /* NULL: the system's certificates */
    const char *user_agent;
    int connect_timeout_ms;
};

/* Copies the options. Owns: hf_wire_free, when no thread is inside. */
struct hf_wire *hf_wire_new(const struct hf_wire_options *options);
void hf_wire_free(struct hf_wire *wire);

void hf_wire_cancel(struct hf_wire *wire); /* for ever */
bool hf_wire_is_cancelled(struct hf_wire *wire);
/* False: cancelled, or stop (may be NULL) became true, which is noticed within a tenth of a second. */
bool hf_wire_pause(struct hf_wire *wire, int64_t pause_ms, const atomic_bool *stop);

struct hf_wire_request {
    const char *doing;  /* for messages: "saving agent-7" */
    const char *method; /* upper case */
    const char *target; /* "/v1/…", escaped */
    const void *body;   /* borrowed; NULL: none */
    size_t bytes;
    const char *content_type;   /* NULL: none */
    const char *accept;         /* NULL: anything */
    const char *const *headers; /* more lines, ended by NULL; may be NULL */
    bool once;                  /* must not be sent twice unseen, as libcurl does on a kept connection that ended */
    int idle_ms;                /* longest time without a byte moving; below 0: any */
    const atomic_bool *stop;    /* ends it as a cancellation does, within a tenth of a second; may be NULL */
    size_t answer_bytes_max;    /* of the body in memory */
    int64_t (*read)(void *context, void *to, size_t room); /* these as in struct holdfast_request; may be NULL */
    int64_t upload_bytes;
    bool (*write)(void *context, const void *data, size_t bytes);
    bool (*progress)(void *context, int64_t sent, int64_t to_send, int64_t received, int64_t to_receive);
    void *context;
};

struct hf_wire_answer {
    int status;         /* 0: none came */
    struct hf_buf body; /* empty where write took it */
    char content_type[128];
    char etag[64];
    char location[256];
    char request_id[72];
    char repr_digest[80];
    char content_digest[80];          /* also where it came as a trailer */
    int64_t version, sequence, epoch; /* of a state; 0: not told */
    int64_t retry_after_ms;           /* 0: not told, or now */
    bool may_have_arrived;            /* a request that failed may have been carried out */
    bool is_problem;                  /* a failure in the service's own words */
    bool maybe_twice;                 /* libcurl may have sent it a second time on a new connection */
    bool began_reading;               /* read was called */
    bool began_writing;               /* write was called */
};

/* Whether an answer of this status is what was asked for: 2xx, or 304 where the request has a condition for it. A
 * redirection is none: it is not followed, as the body and the token are meant for this service alone. */
bool hf_wire_is_success(const struct hf_wire_request *request, int status);

void hf_wire_answer_init(struct hf_wire_answer *answer);
void hf_wire_answer_done(struct hf_wire_answer *answer); /* also as HF_AUTO(wire_answer) */

/* Sends and waits for the whole answer, of any status; answer is set anew. False: no whole answer came (unreachable,
 * timed_out, cancelled, bad_answer, no_memory); err is not NULL. */
bool hf_wire_send(struct hf_wire *wire, const struct hf_wire_request *request, struct hf_wire_answer *answer,
                  struct holdfast_error *err);

static inline void hf_auto_wire_answer(struct hf_wire_answer *answer)
{
    hf_wire_answer_done(answer);
}

#endif
