/* The committer: one thread, the only writer of the database. It drains whatever waits into one transaction (group
 * commit), checks conditions in arrival order against the catalogue, and completes every job after the commit is on
 * disk. When a commit's outcome is unknown it reconnects, looks, and only then answers or repeats. */
#ifndef HF_ENGINE_COMMITTER_H
#define HF_ENGINE_COMMITTER_H

#include "engine/catalog.h"
#include "store/store.h"

#define HF_ETAG_BYTES 64

struct hf_committer;
struct hf_engine;

/* One component's part of an upload. Texts and the body are borrowed until done is called (the body is referenced
 * longer where the cache keeps it). */
struct hf_save_item {
    const char *component;
    struct hf_blob *body; /* NULL for a deletion */
    struct hf_hash hash;  /* of the body */
    const char *content_type;
    bool delete_it;         /* writes a tombstone; HF_NOT_FOUND when there is no present state */
    bool if_none_match_any; /* If-None-Match: * */
    const char *if_match;   /* NULL: none; else a list of ETags as in RFC 9110 section 13.1.1, or "*" */
    const char *event;      /* NULL: none; also becomes a row of events */

    /* the receipt, valid in done when the write succeeded */
    int64_t version, sequence, committed_at_ms;
    bool unchanged;
    bool created; /* first version, or first after a deletion */
};

/* A job of uploads: all or nothing. */
struct hf_write {
    const char *system;
    int64_t state_epoch;   /* -1: not given */
    struct hf_order order; /* writer 0: not given; HF_SUPERSEDED after a write of that writer with a higher number */
    struct hf_save_item *items;
    int item_count;
    const char *idempotency_key; /* NULL: none */
    struct hf_hash body_hash;    /* of the whole request, with a key */
    /* with a key: makes the text that is stored and answered again; called in the committer after conditions hold */
    char *(*make_answer)(struct hf_write *write);

    /* Called once, on the committer thread, after the outcome is certain. Must not block. */
    void (*done)(struct hf_write *write);
    void *context;

    bool ok;
    struct hf_error error;            /* when not ok */
    int failed_item;                  /* index, or -1 */
    char current_etag[HF_ETAG_BYTES]; /* with HF_PRECONDITION: "42-9f86d081884c7d65" with quotes, or "" */
    int64_t epoch;                    /* of the system, with ok and with HF_STALE_EPOCH */
    char *replayed_answer;            /* with a key used before: the stored text (owns; freed by hf_write_done) */

    /* the committer's own */
    struct hf_write *next;
    struct hf_call *call;
    uint64_t queued_ns;
};

HF_MUST_USE bool hf_committer_start(struct hf_committer **out, struct hf_engine *engine, struct hf_error *err);
/* The service is about to stop: whose outcome is unknown is waited for only some seconds from now on, and its callers,
 * for whom the stop waits, are told that it is unknown. Everything else goes on as before. Any thread; committer may be
 * NULL. */
void hf_committer_hurry(struct hf_committer *committer);
/* Finishes what is queued, folds all heads, closes the write session, joins. */
void hf_committer_stop(struct hf_committer *committer);

/* Queues a job; false (HF_OVERLOADED, HF_STORE_DOWN, HF_SHUTTING_DOWN) means it was not queued and done will not be
 * called. Any thread; never blocks. */
HF_MUST_USE bool hf_committer_submit(struct hf_committer *committer, struct hf_write *write, struct hf_error *err);

/* Submits and waits until done (done must be NULL). Not from a loop thread. */
HF_MUST_USE bool hf_committer_write(struct hf_committer *committer, struct hf_write *write, struct hf_error *err);

/* Any other change of the database: run works in a transaction of its own on the committer's session; when that is on
 * disk, published (may be NULL) brings the catalogue up to date. Both on the committer thread, in order with the
 * uploads. Waits for the end; not from a loop thread or from the committer itself. run may be called again after a
 * failure in which nothing was written. Small calls that share run in one transaction with those that wait right behind
 * them, and alone when that fails: run of one must not stand on what published of another does. */
struct hf_call {
    bool (*run)(struct hf_session *session, void *context, struct hf_error *err);
    void (*published)(void *context);
    void (*abandoned)(void *context); /* NULL: nothing to undo; called instead of published when it failed for good */
    void *context;
    int64_t system_id; /* with batch_id: the system whose row tells whether the transaction is in; else 0 */
    int64_t batch_id;  /* what run gives hf_systems_advance */
    bool shares;       /* not with system_id */
};
HF_MUST_USE bool hf_committer_call(struct hf_committer *committer, struct hf_call *call, struct hf_error *err);

/* Something else than a job waits for the committer: an event, a heartbeat. Any thread. */
void hf_committer_wake(struct hf_committer *committer);

bool hf_committer_store_is_up(struct hf_committer *committer);      /* any thread */
bool hf_committer_is_current(const struct hf_committer *committer); /* is this its thread? */
int64_t hf_committer_queue_length(struct hf_committer *committer);

/* Makes an ETag: quote, version, dash, first 16 hex digits of the hash, quote. Above epoch 1 a dash and the epoch come
 * before the last quote: a restore may leave a component at the version it had, and yet nobody who knows its tag from
 * before may go on from there. */
void hf_etag_format(const struct hf_head *head, char out[HF_ETAG_BYTES]);
/* RFC 9110 section 13.1.1: does the list (or "*") match the head? strong comparison; weak tags never match. */
bool hf_etag_matches(const char *list, const struct hf_head *head);

#endif
