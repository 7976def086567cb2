/* What the parts of a queue share. Three kinds of threads meet here, under one lock:
 * - savers (any thread of the program) put states in and wait for room, and with an outbox write the file themselves;
 * - the sender takes what waits, in batches, and tells what became of it;
 * - the thread of the periodic captures is one more saver.
 *
 * Of one component there is at most one state that waits and one that is being sent, so that its saves are stored in
 * the order they were made in. Who works on a component's file holds its `busy`; nobody holds the lock meanwhile. */
#ifndef HF_CLIENT_QUEUE_PARTS_H
#define HF_CLIENT_QUEUE_PARTS_H

#include "client/order.h"
#include "client/outbox.h"
#include "client/periodic.h"
#include "client/queue_table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define HF_QUEUE_BATCH_MAX 256

struct hf_queue_batch {
    struct hf_queue_entry *entries[HF_QUEUE_BATCH_MAX];
    struct holdfast_item items[HF_QUEUE_BATCH_MAX];
    struct holdfast_receipt receipts[HF_QUEUE_BATCH_MAX];
    size_t count;
    struct hf_order_place place; /* of what is being sent */
    bool unchanged;              /* there is nothing to send, only to tell */
};

/* A file of the outbox that says nothing sensible. */
struct hf_queue_damaged {
    char *file;
    struct holdfast_error told;
};

struct hf_queue_exit; /* queue_exit.c */

struct holdfast_queue {
    struct holdfast *service;
    struct holdfast_queue_options options; /* with its defaults filled in; outbox_directory is not kept */
    struct hf_outbox *outbox;              /* NULL: memory only */
    struct hf_periodic *periodic;
    struct hf_queue_exit *exit; /* NULL: not asked for */
    pid_t process;              /* that made it: a child has neither its threads nor its locks in a usable state */
    pthread_t sender;
    atomic_bool stop;                 /* ends the sender, and the call it is in */
    struct hf_queue_batch batch;      /* the sender's own */
    struct hf_queue_damaged *damaged; /* told by the sender when it begins */
    size_t damaged_count;

    atomic_int owners; /* who still uses the memory: until it is closed one, each thread of its own, each caller */

    pthread_mutex_t lock;   /* protects what follows */
    pthread_cond_t work;    /* for the sender: something to do */
    pthread_cond_t changed; /* for everybody else: room, a file that is free, something told */
    struct hf_queue_table table;
    struct holdfast_queue_counts counts; /* waiting and waiting_bytes: also of what is being written or sent */
    uint64_t order;                      /* of the state that was queued last */
    uint64_t asked;                      /* number of the last public call that is about a component */
    uint64_t ticket_next, ticket_served; /* of savers that wait for room: first come, first served */
    int callers;                         /* in a public call; close waits for them */
    int telling;                         /* threads inside on_result */
    char told[HF_NAME_MAX + 1];          /* about this, the last of them */
    int hurrying;                        /* flushes: neither intervals nor long pauses */
    int failures;                        /* of the service, one after the other */
    int file_failures;                   /* to remove files, the same */
    uint64_t files_at_ns;                /* when it is tried again, if any is left */
    bool unsure_told;                    /* that the outbox's directory cannot be written to disk */
    uint64_t retry_at_ns;                /* nothing is sent before */
    uint64_t told_until_ns;              /* the same, by Retry-After: a flush does not cut it short */
    bool closing;                        /* nothing is queued any more but the last captures, nobody waits any more */
    bool stopping;                       /* nothing is queued any more */
    bool ended;                          /* somebody ends the threads, or has */
    bool sender_ended;
    bool threads_gone; /* joined, or left to themselves */
    bool abandoned;    /* closed while callbacks had not returned: they are the last; the handle may be gone */
    size_t lost;       /* states, when it ended */
};

/* ---- queue.c ---- */

/* Waits on changed, for a moment: also for what is not signalled, such as the handle's end. The lock is held. */
void hf_queue_wait(struct holdfast_queue *queue);
bool hf_queue_is_cancelled(struct holdfast_queue *queue); /* the lock is held */
/* Flushes, and ends the threads but those that a callback holds up. True: all ended and nothing was left. Only the
 * first call flushes. */
bool hf_queue_end(struct holdfast_queue *queue, bool at_exit, struct holdfast_error *err);
/* One owner less: the last one frees the queue. */
void hf_queue_release(struct holdfast_queue *queue);
bool hf_queue_is_own_thread(struct holdfast_queue *queue);
void hf_queue_tell(struct holdfast_queue *queue, const char *component, const struct holdfast_receipt *receipt,
                   const struct holdfast_error *err); /* the lock is not held */

/* ---- queue_put.c ---- */

/* Queues the state (takes it). */
bool hf_queue_put(struct holdfast_queue *queue, struct hf_queue_state *state, struct holdfast_error *err);
/* Captures of the component that have begun are not queued any more. */
void hf_queue_ask(struct holdfast_queue *queue, const char *component);
/* Makes state (takes it) what waits for the entry, in the place of what did. The lock is held. */
void hf_queue_publish(struct holdfast_queue *queue, struct hf_queue_entry *entry, struct hf_queue_state *state);
/* Frees a state that is not waited for any more, with its share of the bounds. The lock is held. */
void hf_queue_discard(struct holdfast_queue *queue, struct hf_queue_state *state);

/* ---- queue_sender.c ---- */

void *hf_queue_run_sender(void *queue);

/* ---- queue_results.c ---- */

/* What became of states that were being sent; the lock is not held. Those that were acknowledged: */
void hf_queue_acknowledge(struct holdfast_queue *queue, struct hf_queue_entry *const entries[],
                          const struct holdfast_receipt receipts[], size_t count);
/* One that nobody will take. With an outbox its file gets this suffix; NULL: it stays, for the next process. */
void hf_queue_give_up(struct holdfast_queue *queue, struct hf_queue_entry *entry, const struct holdfast_error *err,
                      const char *suffix);
/* They wait again: before all others, or behind them. */
void hf_queue_put_back(struct holdfast_queue *queue, struct hf_queue_entry *const entries[], size_t count, bool first);
/* At the end, without an outbox: what is left is lost, and told. */
void hf_queue_lose_rest(struct holdfast_queue *queue);

/* ---- queue_files.c ---- */

/* Removes the files of entries that are busy for that, or (suffix, borrowed for ever) sets them aside, and ends the
 * `busy`. What fails is told, and tried again. At most HF_QUEUE_BATCH_MAX entries; the lock is not held. */
void hf_queue_clear_files(struct holdfast_queue *queue, struct hf_queue_entry *const entries[], size_t count,
                          const char *suffix);
/* A file is there that could not be removed, or is there no more. The lock is held. */
void hf_queue_note_left(struct hf_queue_entry *entry, const char *suffix);
void hf_queue_note_gone(struct hf_queue_entry *entry);
/* Tells on_result of the component's file, by its name, not of a state. The lock is not held. */
void hf_queue_tell_file(struct holdfast_queue *queue, const char *component, const struct holdfast_error *err);
/* Tries again to clear what is left, if it is time, at the end in any case. The lock is held; true: it was released
 * meanwhile. */
bool hf_queue_retry_files(struct holdfast_queue *queue, bool at_end);

/* ---- queue_exit.c ---- */

/* Lets exit() end the queue. */
struct hf_queue_exit *hf_queue_exit_register(struct holdfast_queue *queue);
/* The queue is being closed: exit() leaves it alone, and one that is at it is waited for. Accepts NULL. */
void hf_queue_exit_forget(struct hf_queue_exit *exit);

#endif
