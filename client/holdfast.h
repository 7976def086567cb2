/* libholdfast: keeps the state of your program's components in a holdfast service, and gets it back.
 *
 *     struct holdfast *service = NULL;
 *     struct holdfast_error err;
 *     if (!holdfast_open(NULL, &service, &err) || !holdfast_save(service, "agent-7", text, length, NULL, NULL, &err))
 *         fprintf(stderr, "%s\n", err.text);
 *     holdfast_close(service);
 *
 * Conventions of every function here:
 * - It returns true on success. On failure it returns false and fills *err (which may be NULL), and leaves what it
 * would have given out untouched.
 * - Structures of options mean their defaults where they are zero, and may be NULL altogether. Texts are UTF-8 and end
 * in NUL. What is passed in is borrowed until the call returns; what is given out belongs to the caller and is freed
 * with the function named there.
 * - A handle may be used by several threads at once. There is no state outside handles, but that libcurl is initialised
 *   once in a process, when the first one is opened. Callbacks run in the thread that made the call (a queue's: see
 *   there) and may use the handle, but not close it.
 * - After fork() parent and child may both use a handle and each closes it for itself: the child leaves the kept
 *   connections to the parent and makes its own. Only a child made inside a callback must not go on with that call.
 * - A request that ends in a lost connection or in 503 is sent again, with growing, random pauses and not before
 *   Retry-After, until options.retry_ms has passed. That is safe: saving the same content twice is one version, a
 *   condition that fails because our own lost answer was stored counts as success, and what is not idempotent by itself
 *   carries an Idempotency-Key or is not repeated once it may have arrived (code "outcome_unknown").
 * - The writes of a handle to one component happen in the order in which they were called: an attempt that was given up
 *   and arrives after a newer write was stored is refused by the service. So may be, with "superseded", the earlier one
 *   of two that threads make at the same time. Keep the handle after a failure: another one is another writer.
 * - Memory of a few bytes that cannot be had ends the process; what you size (states, answers) fails with "no_memory".
 */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HOLDFAST_PUBLIC __attribute__((visibility("default")))
#else
#define HOLDFAST_PUBLIC
#endif

#define HOLDFAST_VERSION "0.1.0"

/* The version of the library that runs, as "0.1.0". */
HOLDFAST_PUBLIC const char *holdfast_version(void);

/* ---- failures ---------------------------------------------------------------------------------------------------- */

/* code is the service's ("stale_epoch", "superseded", "precondition_failed", "not_found", …; docs/api.md lists them) or
 * one of ours: "invalid_argument", "unreachable", "timed_out", "outcome_unknown", "bad_answer" (not what the contract
 * says, or bytes that do not match their digest), "cancelled", "queue_full", "outbox_failed", "no_memory". */
struct holdfast_error {
    int status;            /* HTTP status, 0 where no answer came */
    bool retryable;        /* the same call may succeed later */
    char code[40];         /* stable, for programs */
    char text[480];        /* what failed, on which thing, and what to do; never a state or a token */
    char request_id[72];   /* finds the request in the service's log; "" where no answer came */
    char current_etag[64]; /* precondition_failed: what is there now; else "" */
};

/* ---- the handle -------------------------------------------------------------------------------------------------- */

struct holdfast;

struct holdfast_options {
    const char *url;        /* NULL: $HOLDFAST_URL, else http://127.0.0.1:8080 */
    const char *token;      /* NULL: $HOLDFAST_TOKEN, else none */
    const char *system;     /* NULL: $HOLDFAST_SYSTEM, else "default" */
    const char *ca_file;    /* NULL: the system's certificates */
    const char *user_agent; /* NULL: libholdfast/VERSION */
    int connect_timeout_ms; /* 0: 5,000 */
    int timeout_ms;         /* of one attempt without any byte moving; 0: 30,000 */
    int retry_ms;           /* of all attempts of one call; 0: 60,000; below 0: one attempt */
    size_t state_bytes_max; /* the largest answer kept in memory; 0: 1 GiB */
    size_t delta_bytes_min; /* states from this size on are uploaded as a difference; 0: 1 MiB; SIZE_MAX: never */
};

/* Makes a handle; nothing is sent yet. Fails with invalid_argument. Owns *out: holdfast_close. */
HOLDFAST_PUBLIC bool holdfast_open(const struct holdfast_options *options, struct holdfast **out,
                                   struct holdfast_error *err);
/* Ends the handle (NULL: nothing). No other thread may be in a call, and its queues must be closed. */
HOLDFAST_PUBLIC void holdfast_close(struct holdfast *service);
/* Makes every call on the handle, running or to come, end with "cancelled", at once. For another thread. */
HOLDFAST_PUBLIC void holdfast_cancel(struct holdfast *service);

HOLDFAST_PUBLIC const char *holdfast_url(const struct holdfast *service);    /* borrowed from the handle */
HOLDFAST_PUBLIC const char *holdfast_system(const struct holdfast *service); /* borrowed from the handle */

/* The epoch the handle lives in: 0 until holdfast_hydrate or holdfast_set_epoch; from then on it is sent with every
 * save, so that after a restore by an operator the saves of this process fail with "stale_epoch" instead of overwriting
 * what was restored. The way on is to hydrate again. */
HOLDFAST_PUBLIC int64_t holdfast_epoch(const struct holdfast *service);
HOLDFAST_PUBLIC void holdfast_set_epoch(struct holdfast *service, int64_t epoch);

/* ---- components -------------------------------------------------------------------------------------------------- */

struct holdfast_component {
    const char *name;
    const char *kind;                     /* NULL: none */
    const char *const *depends_on;        /* names, ended by NULL; NULL: none */
    int64_t heartbeat_interval_ms;        /* 0: none expected */
    const char *const *required_pointers; /* JSON Pointers (RFC 6901) that a state must have; NULL: none */
};

/* Registers a component: what is given is the whole registration. Fails with dependency_cycle, naming the cycle. */
HOLDFAST_PUBLIC bool holdfast_register(struct holdfast *service, const struct holdfast_component *component,
                                       struct holdfast_error *err);

struct holdfast_metric {
    const char *name;
    double value;
};

/* Tells that the component lives. health is 0 to 1; below 0: not told. status may be NULL. */
HOLDFAST_PUBLIC bool holdfast_heartbeat(struct holdfast *service, const char *component, double health,
                                        const char *status, const struct holdfast_metric *metrics, size_t count,
                                        struct holdfast_error *err);

/* Deletes a component: its present is gone, its history and snapshots stay. */
HOLDFAST_PUBLIC bool holdfast_remove(struct holdfast *service, const char *component, struct holdfast_error *err);

/* ---- saving ------------------------------------------------------------------------------------------------------ */

struct holdfast_save_options {
    const char *content_type; /* NULL: application/json */
    const char *if_match;     /* ETag that must be the present one, else precondition_failed */
    bool if_absent;           /* only where there is no state yet, else precondition_failed */
    const char *event;        /* a name: the save is an event that operators see */
    bool event_snapshot;      /* and takes an incremental snapshot at once */
};

/* What the service says after the state is on its disk. */
struct holdfast_receipt {
    int64_t version;
    int64_t sequence;
    int64_t epoch;
    int64_t bytes;
    bool unchanged;        /* the same content was there already */
    char hash[72];         /* "sha256:" and 64 hexadecimal digits */
    char etag[64];         /* with its quotes, for if_match */
    char committed_at[32]; /* RFC 3339 */
};

/* Saves a state. When it returns true, the state survives the death of everything. out may be NULL. */
HOLDFAST_PUBLIC bool holdfast_save(struct holdfast *service, const char *component, const void *data, size_t bytes,
                                   const struct holdfast_save_options *options, struct holdfast_receipt *out,
                                   struct holdfast_error *err);

struct holdfast_item {
    const char *component;
    const void *data;
    size_t bytes;
    struct holdfast_save_options options;
};

/* Saves all items in one commit, or none: a cut over several components that no crash can divide. out, if given, has
 * room for count receipts. options.event_snapshot is refused here. */
HOLDFAST_PUBLIC bool holdfast_save_all(struct holdfast *service, const struct holdfast_item *items, size_t count,
                                       struct holdfast_receipt *out, struct holdfast_error *err);

/* ---- loading ----------------------------------------------------------------------------------------------------- */

struct holdfast_when { /* all zero or NULL: now; else exactly one */
    int64_t version;
    const char *at;       /* RFC 3339 */
    const char *snapshot; /* its id */
};

struct holdfast_state {
    void *data; /* followed by a NUL that bytes does not count */
    size_t bytes;
    int64_t version;
    int64_t sequence;
    int64_t epoch;
    char content_type[128];
    char hash[72];
    char etag[64];
};

/* Reads a state and checks it against its digest; never gives bytes that do not match. Fails with not_found where there
 * is none. Owns out->data: holdfast_state_free. */
HOLDFAST_PUBLIC bool holdfast_load(struct holdfast *service, const char *component, const struct holdfast_when *when,
                                   struct holdfast_state *out, struct holdfast_error *err);
HOLDFAST_PUBLIC void holdfast_state_free(struct holdfast_state *state); /* also of a zeroed one */

/* ---- coming back ------------------------------------------------------------------------------------------------- */

enum holdfast_outcome {
    HOLDFAST_RESTORED, /* lives on from the state it was given */
    HOLDFAST_FRESH,    /* starts anew */
    HOLDFAST_FAILED,   /* cannot go on */
};

struct holdfast_hydration {
    /* Called for each component, dependencies before those that need them. state is borrowed; NULL where the service
     * has none that it can give. What is written to detail (NUL-ended, "" before the call) lands in the recovery's
     * report. */
    enum holdfast_outcome (*restore)(void *context, const char *component, const struct holdfast_state *state,
                                     char detail[160]);
    void *context;
    const char *const *components; /* names, ended by NULL; NULL: all */
    bool include_dependencies;     /* and what those depend on */
    int64_t max_age_ms;            /* older states are not brought back; 0: any age */
    const char *reason;            /* for the report */
};

struct holdfast_recovery {
    char id[80];
    char status[16]; /* planned, applied, completed, failed, fresh */
    char source[16];
    char snapshot[128];
    int64_t epoch;
    int64_t components;
    int64_t restored;
    int64_t fresh;
    int64_t failed;
    int64_t lost_ms;
    int64_t lost_versions;
    int64_t lost_bytes;
    int64_t duration_ms;
};

/* Brings this process back to the present of the system: asks for a recovery from head, loads wave by wave, calls
 * restore, reports each outcome, and takes the epoch over. True also when components failed or started fresh: out
 * tells. A system that the service does not know yet gives a recovery with no components, and the epoch comes with the
 * first receipt. Components given by name that have no state are restored with NULL, last. A token that may not open
 * recoveries gets the present states in the same order, without a report. out may be NULL. */
HOLDFAST_PUBLIC bool holdfast_hydrate(struct holdfast *service, const struct holdfast_hydration *hydration,
                                      struct holdfast_recovery *out, struct holdfast_error *err);

struct holdfast_restore_options {  /* snapshot, at or plan: exactly one */
    const char *snapshot;          /* its id, or "latest" */
    const char *at;                /* RFC 3339 */
    const char *plan;              /* id of a dry run that is to be applied now */
    const char *const *components; /* names, ended by NULL; NULL: all */
    bool include_dependencies;
    bool dry_run; /* only plan */
    bool force;   /* with plan: also if the system moved on since */
    int64_t max_age_ms;
    const char *reason;
    const char *key; /* NULL: a new one. The call again with the key of one whose outcome is unknown, within a day and
                        by whatever process, gets what that one did, and does it only if it was not done */
};

/* Puts the system back to an earlier moment, which raises its epoch; the handle does not follow: hydrate afterwards.
 * Returns when it is done, however long that takes; retry_ms counts from the first failure. Given up after its answer
 * was lost it fails with "outcome_unknown". */
HOLDFAST_PUBLIC bool holdfast_restore(struct holdfast *service, const struct holdfast_restore_options *options,
                                      struct holdfast_recovery *out, struct holdfast_error *err);

/* ---- snapshots and status ---------------------------------------------------------------------------------------- */

struct holdfast_snapshot {
    char id[128];
    char kind[16]; /* what was really made: full or incremental */
    char state[16];
    char root_hash[72];
    int64_t sequence;
    int64_t components;
    int64_t state_bytes;
    int64_t file_bytes;
    int64_t duration_ms;
    bool unchanged; /* nothing was new: this is the one before */
};

/* kind is "full" or "incremental"; label may be NULL. Returns when the snapshot is on disk, however long that takes.
 * out may be NULL. */
HOLDFAST_PUBLIC bool holdfast_take_snapshot(struct holdfast *service, const char *kind, const char *label,
                                            struct holdfast_snapshot *out, struct holdfast_error *err);

struct holdfast_status {
    char status[16];       /* operational, degraded, failed */
    double overall_health; /* 0 to 1 */
    int64_t uptime_seconds;
    int64_t components;
    int64_t active_agents;
    int64_t next_full_ms;        /* epoch in milliseconds; 0: none planned */
    int64_t next_incremental_ms; /* the same */
    int64_t exposure_ms;         /* what would be lost with the database now */
    size_t warnings;
    char *json; /* all of the answer */
};

/* Owns out->json: holdfast_status_free. */
HOLDFAST_PUBLIC bool holdfast_get_status(struct holdfast *service, struct holdfast_status *out,
                                         struct holdfast_error *err);
HOLDFAST_PUBLIC void holdfast_status_free(struct holdfast_status *status);

/* ---- events ------------------------------------------------------------------------------------------------------ */

struct holdfast_event { /* borrowed until the callback returns */
    const char *id;
    const char *type;
    const char *severity;
    const char *time;
    const char *component; /* "" where it is about the whole */
    const char *text;
    const char *json; /* all of it */
};

struct holdfast_follow_options {
    const char *after;    /* id of the last event seen; NULL: begin with the next one */
    const char *severity; /* this one alone: info, warning or error; NULL: all */
    /* Called for each event; false ends the following. */
    bool (*on_event)(void *context, const struct holdfast_event *event);
    void *context;
};

/* Follows the events of the system, and goes on after a lost connection where it was, until on_event says false (true),
 * holdfast_cancel (cancelled) or the service stays away for longer than options.retry_ms. */
HOLDFAST_PUBLIC bool holdfast_follow(struct holdfast *service, const struct holdfast_follow_options *options,
                                     struct holdfast_error *err);

/* ---- saving in the background ------------------------------------------------------------------------------------ */

struct holdfast_queue;

enum holdfast_full {
    HOLDFAST_BLOCK,       /* the saver waits for room */
    HOLDFAST_DROP_OLDEST, /* the state that waits longest is given up, and on_result told (queue_full) by the saver */
    HOLDFAST_REFUSE,      /* the save fails with queue_full */
};

struct holdfast_queue_options {
    size_t states_max; /* states that wait; 0: 1,024 */
    size_t bytes_max;  /* their bytes; 0: 64 MiB. A larger state fails with queue_full at once */
    enum holdfast_full when_full;
    int interval_ms;              /* least time between two saves of one component; 0: as fast as it goes */
    const char *outbox_directory; /* NULL: memory only. Else what is queued is on disk before holdfast_queue_save
                                     returns, and is sent by the next process that opens the directory. One queue at a
                                     time may have it open. */
    bool flush_at_exit;           /* exit() flushes for at most flush_ms, as holdfast_queue_close does */
    int flush_ms;                 /* 0: 10,000 */
    /* Called for each state that was stored, was unchanged, or was given up (then receipt is NULL); with the name of
     * its file for one in the outbox that is damaged past knowing its component. Also of files that can for now not be
     * read, or not be removed once they are done with (".": the directory cannot be written to disk): told once with
     * outbox_failed and the file's name, and tried again. Runs in the queue's sender thread,
     * which sends nothing meanwhile, and with HOLDFAST_DROP_OLDEST also in the thread whose save, or capture, found no
     * room, before that returns: perhaps in several threads at once. A save of this queue in it never waits for room
     * (where others would, it fails with queue_full); with an outbox it waits for the disk, and for a thread that is
     * writing the same component. May be NULL. */
    void (*on_result)(void *context, const char *component, const struct holdfast_receipt *receipt,
                      const struct holdfast_error *err);
    void *context;
};

/* Starts a queue with a sender thread. The handle must outlive it. Owns *out: holdfast_queue_close. Fails with
 * outbox_failed. What an earlier process left in the outbox is sent first, under the epoch it was queued in: open
 * and flush it before you hydrate. After fork() the child can neither use nor close the queue; while it lives without
 * exec, the outbox stays locked. */
HOLDFAST_PUBLIC bool holdfast_queue_open(struct holdfast *service, const struct holdfast_queue_options *options,
                                         struct holdfast_queue **out, struct holdfast_error *err);

/* Queues a copy of the state and returns. A newer state of a component takes the place of one that still waits (its
 * event, if it had one, is kept unless the newer has its own). The same content again is sent again: others may have
 * changed the component since, and where they did not, the service finds it unchanged. States carry the epoch of the
 * moment they were queued: after a restore they are given up with stale_epoch, never written over it. options.if_match
 * and if_absent are refused: conditions want an answer. Among the writes of the handle it counts from when it is sent,
 * not from this call: save a component that is in the queue in another way only after on_result or a flush, else the
 * older state may be stored last. */
HOLDFAST_PUBLIC bool holdfast_queue_save(struct holdfast_queue *queue, const char *component, const void *data,
                                         size_t bytes, const struct holdfast_save_options *options,
                                         struct holdfast_error *err);

/* Gives the present state: *data is the callee's until the next call for this component; false: nothing to save now. */
typedef bool holdfast_capture(void *context, const char *component, const void **data, size_t *bytes);

/* Saves the component every interval_ms with what capture gives, in a second thread of the queue, so that it goes on
 * while the sender waits for the service; 0 ends it. What is captured as it was last acknowledged is no change, and is
 * not sent: what others have made of the component since then is newer, and stays. A capture during which the component
 * was saved with holdfast_queue_save is older than that, and left out. Again for the same component: replaces. Once it
 * has returned, what was set before is not called any more. */
HOLDFAST_PUBLIC bool holdfast_queue_every(struct holdfast_queue *queue, const char *component, int interval_ms,
                                          holdfast_capture *capture, void *context, struct holdfast_error *err);

/* Captures all periodic components now, and waits until everything queued so far is stored or given up; fails with
 * timed_out. timeout_ms 0: for ever. */
HOLDFAST_PUBLIC bool holdfast_queue_flush(struct holdfast_queue *queue, int timeout_ms, struct holdfast_error *err);

struct holdfast_queue_counts {
    uint64_t queued, stored, unchanged, coalesced, given_up, retried;
    size_t waiting, waiting_bytes;
};
/* In a child of fork(): nothing but zeros. */
HOLDFAST_PUBLIC void holdfast_queue_count(struct holdfast_queue *queue, struct holdfast_queue_counts *out);

/* Flushes for at most flush_ms and ends the queue, in any case. False with timed_out: states were left; those of an
 * outbox stay there, others are lost (on_result told). False with outbox_failed: nothing was left to store, but files
 * of the outbox could not be removed. An on_result or a capture that has not returned half a second later is left
 * alone, and named in the error: until it returns, its thread lives, and with it the outbox's lock; it calls nothing of
 * the program any more. exit() leaves it as well. */
HOLDFAST_PUBLIC bool holdfast_queue_close(struct holdfast_queue *queue, struct holdfast_error *err);

/* ---- anything else ----------------------------------------------------------------------------------------------- */

struct holdfast_request {
    const char *method; /* NULL: GET */
    const char *path;   /* "/v1/…" or "/readyz" as it is; else below /v1/systems/SYSTEM/: "snapshots?limit=5" */
    const void *body;
    size_t bytes;
    const char *content_type;   /* NULL: application/json where there is a body */
    const char *accept;         /* NULL: anything */
    const char *const *headers; /* more of them, "Name: value", ended by NULL */
    bool idempotent;            /* may be sent again though it may have arrived; GET, HEAD, PUT, DELETE, and a POST with
                                   an Idempotency-Key, always may */
    int timeout_ms;             /* 0: the handle's */
    int retry_ms;               /* 0: the handle's */
    /* Streams the body instead of `body`: writes up to room bytes, returns how many, 0 at the end, -1 on failure.
     * upload_bytes is the whole size, -1 if unknown. Streamed bodies are not sent twice. */
    int64_t (*read)(void *context, void *to, size_t room);
    int64_t upload_bytes;
    /* Takes a successful answer's body piece by piece instead of answer.body; false ends the call with "cancelled". An
     * answer that breaks off is not asked for again once a piece was given. */
    bool (*write)(void *context, const void *data, size_t bytes);
    /* Called now and then; a total of -1 is unknown; false ends the call with "cancelled". */
    bool (*progress)(void *context, int64_t sent, int64_t to_send, int64_t received, int64_t to_receive);
    void *context;
};

struct holdfast_answer {
    int status;
    char *body; /* followed by a NUL that bytes does not count; NULL where write took it */
    size_t bytes;
    char content_type[128];
    char etag[64];
    char location[256];
    char request_id[72];
    char digest[72]; /* "sha256:" and hexadecimal digits, by Repr-Digest or Content-Digest, also where that came as a
                        trailer; "" where the service told none. What a streamed body must be compared with */
};

/* Sends any request, with the handle's token, retries and errors. An answer that is not 2xx is a failure, but for
 * 304 to a GET or HEAD with a condition (If-None-Match, If-Modified-Since); redirections are not followed. Owns
 * out->body: holdfast_answer_free. */
HOLDFAST_PUBLIC bool holdfast_call(struct holdfast *service, const struct holdfast_request *request,
                                   struct holdfast_answer *out, struct holdfast_error *err);
HOLDFAST_PUBLIC void holdfast_answer_free(struct holdfast_answer *answer); /* also of a zeroed one */

#ifdef __cplusplus
}
#endif

#endif
