/* Periodic captures: a thread that asks for the present state of each component when its time has come, and hands it to
 * the queue. A thread of its own, because the sender may be busy with a service that is away, and what is captured
 * meanwhile has to reach the outbox. It starts with the first component. */
#ifndef HF_CLIENT_PERIODIC_H
#define HF_CLIENT_PERIODIC_H

#include "client/queue_state.h"

struct hf_periodic;

/* What becomes of a capture; called in the thread of the captures. */
struct hf_periodic_target {
    uint64_t (*mark)(void *context); /* before a capture: what is asked for later is newer */
    /* Makes the copy that is queued, before the next call of capture; NULL: it failed, and that was told. */
    struct hf_queue_state *(*copy)(void *context, const char *component, const void *data, size_t bytes, uint64_t mark);
    void (*put)(void *context, struct hf_queue_state *state); /* takes the state; may wait for room */
    void (*begin)(void *context);                             /* the thread is about to be started (by another one) */
    void (*end)(void *context); /* the thread ends, and uses nothing afterwards; or it could not be started */
    void *context;
};

struct hf_periodic *hf_periodic_new(const struct hf_periodic_target *target); /* owns: hf_periodic_free */
void hf_periodic_free(struct hf_periodic *periodic);                          /* after the thread's end */

void hf_periodic_refuse(struct hf_periodic *periodic); /* nothing can be set any more, nor is waited for in that */
void hf_periodic_stop(struct hf_periodic *periodic);   /* no capture begins after it, none that ends is put */

/* Whether the thread runs; *capturing_out (may be NULL): the component whose capture has not returned, or NULL; lives
 * as long as that lasts. */
bool hf_periodic_is_running(struct hf_periodic *periodic, const char **capturing_out);
/* After the stop: the thread has ended, or what it is in is left to it. */
void hf_periodic_let_go(struct hf_periodic *periodic);

/* Captures the component every interval_ms, the first time after one interval; 0 ends it. When it returns, what was set
 * for the component before is not called any more (unless it is the one that calls this). */
bool hf_periodic_set(struct hf_periodic *periodic, const char *component, int interval_ms, holdfast_capture *capture,
                     void *context, struct holdfast_error *err);

/* Asks for a capture of everything at once. Returns what hf_periodic_await is to be asked with. */
uint64_t hf_periodic_capture_all(struct hf_periodic *periodic);
/* Whether all of it was captured and put; waits for up to wait_ms. */
bool hf_periodic_await(struct hf_periodic *periodic, uint64_t round, int wait_ms);

bool hf_periodic_is_self(struct hf_periodic *periodic); /* whether this is the thread of the captures */

#endif
