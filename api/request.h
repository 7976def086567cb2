/* A request and its reply as plain data: no HTTP library types. The server fills the request, a handler the reply. */
#ifndef HF_API_REQUEST_H
#define HF_API_REQUEST_H

#include "core/arena.h"
#include "core/blob.h"
#include "core/buf.h"
#include "core/error.h"
#include "core/stream.h"

#include <stdint.h>

enum hf_method { HF_GET, HF_HEAD, HF_PUT, HF_POST, HF_DELETE, HF_PATCH, HF_METHOD_COUNT };

/* Header fields that handlers may look at; one row each. */
#define HF_HEADER_TABLE(X)                                                                                             \
    X(HF_H_ACCEPT, "Accept")                                                                                           \
    X(HF_H_AUTHORIZATION, "Authorization")                                                                             \
    X(HF_H_CONTENT_DIGEST, "Content-Digest")                                                                           \
    X(HF_H_CONTENT_ENCODING, "Content-Encoding")                                                                       \
    X(HF_H_CONTENT_LENGTH, "Content-Length")                                                                           \
    X(HF_H_CONTENT_TYPE, "Content-Type")                                                                               \
    X(HF_H_HOST, "Host")                                                                                               \
    X(HF_H_IDEMPOTENCY_KEY, "Idempotency-Key")                                                                         \
    X(HF_H_IF_MATCH, "If-Match")                                                                                       \
    X(HF_H_IF_MODIFIED_SINCE, "If-Modified-Since")                                                                     \
    X(HF_H_IF_NONE_MATCH, "If-None-Match")                                                                             \
    X(HF_H_IF_RANGE, "If-Range")                                                                                       \
    X(HF_H_LAST_EVENT_ID, "Last-Event-ID")                                                                             \
    X(HF_H_ORIGIN, "Origin")                                                                                           \
    X(HF_H_PREFER, "Prefer")                                                                                           \
    X(HF_H_RANGE, "Range")                                                                                             \
    X(HF_H_REPR_DIGEST, "Repr-Digest")                                                                                 \
    X(HF_H_STATE_EPOCH, "State-Epoch")                                                                                 \
    X(HF_H_STATE_EVENT, "State-Event")                                                                                 \
    X(HF_H_STATE_EVENT_SNAPSHOT, "State-Event-Snapshot")                                                               \
    X(HF_H_STATE_ORDER, "State-Order")                                                                                 \
    X(HF_H_X_REQUEST_ID, "X-Request-Id")

enum hf_header {
#define X(id, name) id,
    HF_HEADER_TABLE(X)
#undef X
        HF_HEADER_COUNT
};

struct hf_query {
    const char *name;
    const char *value; /* "" for a bare name; percent-decoded, free of NUL */
};

struct hf_reply_header {
    const char *name;
    const char *value;
};

struct hf_reply {
    int status;
    const char *content_type; /* NULL: no body; with 304 a blob may still be given, to tell its length */
    struct hf_buf body;       /* text made by the handler, or … */
    struct hf_blob *blob;     /* … shared bytes (takes the reference); then [blob_offset, +blob_bytes) is sent */
    size_t blob_offset;
    size_t blob_bytes;
    struct hf_reply_header headers[20];
    int header_count;
    /* A body too large to hold: after the handler has said HF_DONE and the head is on its way, the server calls produce
     * on the same thread, which writes to the client as fast as that reads (chunked). False breaks the answer off, so
     * that the client cannot take it for whole. Only on routes with HF_ON_TRANSFER; no other body then. */
    bool (*produce)(void *context, const struct hf_writer *to, struct hf_error *err);
    void *produce_context;
    void (*produce_free)(void *context); /* called once, also when produce never was; NULL: nothing to free */
    struct hf_reply_header trailer;      /* name NULL: none; announced in Trailer, its value may be set by … */
    const char *(*trailer_value)(void *context); /* … this, after produce has succeeded */
    /* A body that goes on for hours: the server sends what comes into the pipe until that is finished or broken
     * (chunked), and no thread waits meanwhile. Borrowed until the server calls stream_leave, once, on any thread; the
     * writer may not block, and its end of the pipe is told through the pipe's own wake. Not on HF_ON_TRANSFER. */
    struct hf_pipe *stream;
    void (*stream_leave)(void *context);
    void *stream_context;
};

#define HF_REPLY_BYTES_MAX (64 * 1024 * 1024) /* of a text made by a handler */

void hf_reply_init(struct hf_reply *reply);
void hf_reply_done(struct hf_reply *reply); /* frees the body and drops the blob's reference; may be used again */

struct hf_route;
struct hf_principal;
struct hf_api;
struct hf_problem_member;

struct hf_request {
    enum hf_method method;
    const char *target; /* path as sent, without the query; for logs and problem "instance" */
    const struct hf_route *route;
    const char *params[4]; /* {system}, {component}, … in the route's order: decoded and valid names */
    const struct hf_query *query;
    int query_count;
    const char *headers[HF_HEADER_COUNT]; /* NULL: not sent; a header sent twice is joined with ", " */
    const struct hf_reader *body_stream;  /* HF_BODY_STREAM: read it to its end; NULL otherwise */
    struct hf_blob *body;                 /* NULL: empty; owned by the request, take a reference to keep it */
    const struct hf_principal *principal; /* never NULL in a handler */
    char request_id[72];
    struct hf_arena arena; /* lives until the answer is sent */
    uint64_t received_ns;
    struct hf_api *api;
    struct hf_problem_member *problem_members; /* newest first, in the arena; see hf_request_problem_member */
    bool tells_all;                            /* a problem's text is the service's own, not the database's */
    bool on_worker;                            /* set by the server: the handler runs on a worker and may wait */

    /* For HF_LATER: what hf_request_complete leads to. finish runs on the request's own loop thread and fills the
     * reply, or the error (then returns false). */
    bool (*finish)(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);
    void *work;                                   /* the handler's own, for finish */
    void (*complete)(struct hf_request *request); /* set by the server; see hf_request_complete */

    /* For HF_LATER from a worker that goes on there: see hf_request_put_aside. */
    bool resumed;  /* the handler is run again */
    bool given_up; /* … and its client does not wait any more: it only gives back what it holds, and fails */
    void (*put_aside)(struct hf_request *request); /* these two are set by the server */
    bool (*resume)(struct hf_request *request);
    void *server; /* the server's own */
};

/* What a handler says. */
enum hf_verdict {
    HF_DONE,           /* the reply is filled */
    HF_FAIL,           /* the error is filled: a problem+json answer is made from it */
    HF_LATER,          /* request->finish is set; somebody will call hf_request_complete exactly once */
    HF_RETRY_ON_WORKER /* this one must wait for something: the server runs the same handler again on a worker thread,
                          with on_worker set. Only when on_worker is false; the reply is untouched. */
};

/* Hands a request that is HF_LATER back to its loop. Any thread; never blocks; the caller must not touch the request
 * afterwards. Cheap in a row: a loop that is already awake, or already woken, is not woken again. */
void hf_request_complete(struct hf_request *request);

/* A handler on a worker that must wait without holding it puts its request aside, lets others know of it, and says
 * HF_LATER. While it is aside nothing has been done, and when its time is up its client hears just that. Exactly one of
 * them then calls hf_request_resume: the same handler runs again on a worker, with resumed set. False: there is no room
 * in their queue; set finish and call hf_request_complete. Any thread; neither blocks. */
void hf_request_put_aside(struct hf_request *request);
HF_MUST_USE bool hf_request_resume(struct hf_request *request);

/* Query and header helpers. */
const char *hf_request_query(const struct hf_request *request, const char *name); /* NULL: absent */
HF_MUST_USE bool hf_request_query_int(const struct hf_request *request, const char *name, int64_t min, int64_t max,
                                      int64_t *out, struct hf_error *err); /* absent: untouched */
/* True when Accept lists media_type itself with a weight above 0. Wildcards do not count, and neither does a missing
 * Accept: those clients get the route's usual representation. */
bool hf_request_accepts(const struct hf_request *request, const char *media_type);

/* Adds a header; name is static, value is copied into the request's arena. */
void hf_reply_header(struct hf_request *request, struct hf_reply *reply, const char *name, const char *value);
void hf_reply_header_int(struct hf_request *request, struct hf_reply *reply, const char *name, int64_t value);
void hf_reply_header_format(struct hf_request *request, struct hf_reply *reply, const char *name, const char *format,
                            ...) HF_PRINTF(4, 5);

/* Fills the reply with a JSON text (takes nothing; serialises value compactly with a newline). A text past
 * HF_REPLY_BYTES_MAX leaves reply->body.failed set, which the server answers with 500. */
struct json_t;
void hf_reply_json(struct hf_reply *reply, int status, const struct json_t *value);

/* RFC 9457 problem+json from an error, with the members remembered for it and Retry-After or WWW-Authenticate where
 * the status wants one; whatever the reply held is dropped. (X-Request-Id is added to every answer by the server.) */
void hf_reply_problem(struct hf_request *request, struct hf_reply *reply, const struct hf_error *err);
/* Remembers a member (currentEtag, limit, component, cycle …) for the problem answer; value_json is copied. */
void hf_request_problem_member(struct hf_request *request, const char *name, const char *value_json);

#endif
