/* The way back to a loop: any thread pushes finished work, the loop takes all of it at once. Lock-free. Only the push
 * that finds the loop asleep makes a system call. */
#ifndef HF_SERVER_COMPLETIONS_H
#define HF_SERVER_COMPLETIONS_H

#include "core/error.h"

#include <stdatomic.h>

struct hf_completion {
    struct hf_completion *next; /* the queue's, while pushed */
};

struct hf_completions {
    _Atomic(struct hf_completion *) newest;
    atomic_bool asleep; /* the loop waits, or is about to, and wants a write to the eventfd */
    atomic_int pushers; /* threads inside of push: the queue must stay until they are out */
    int eventfd;
};

HF_MUST_USE bool hf_completions_init(struct hf_completions *queue, struct hf_error *err);
void hf_completions_done(struct hf_completions *queue); /* when every item that will come has been taken */

/* Any thread. */
void hf_completions_push(struct hf_completions *queue, struct hf_completion *item);
void hf_completions_wake(struct hf_completions *queue); /* without an item */

/* The loop's thread. take returns everything, oldest first, or NULL. */
struct hf_completion *hf_completions_take(struct hf_completions *queue);

/* Before waiting for the eventfd: false when something has arrived and the loop must not wait. After waiting, or
 * instead of it: hf_completions_awake. */
bool hf_completions_may_sleep(struct hf_completions *queue);
void hf_completions_awake(struct hf_completions *queue, bool eventfd_readable);

#endif
