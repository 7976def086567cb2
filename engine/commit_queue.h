/* What waits for the committer: any thread adds, the committer takes all of it at once. Bounded. */
#ifndef HF_ENGINE_COMMIT_QUEUE_H
#define HF_ENGINE_COMMIT_QUEUE_H

#include "engine/committer.h"

#include <pthread.h>

struct hf_commit_queue {
    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t wake;  /* on the monotonic clock */
    struct hf_write *first, *last;
    int64_t length;
    bool waiting; /* the committer sleeps: who adds must wake it */
    bool nudged;  /* something else came; stays set until the committer finds no writes and looks after that */
    bool stopping;
};

void hf_commit_queue_init(struct hf_commit_queue *queue);
void hf_commit_queue_done(struct hf_commit_queue *queue); /* when nobody adds any more */

/* HF_SHUTTING_DOWN; HF_OVERLOADED when length_max writes wait already. Any thread; never blocks. */
HF_MUST_USE bool hf_commit_queue_push(struct hf_commit_queue *queue, struct hf_write *write, int64_t length_max,
                                      struct hf_error *err);
void hf_commit_queue_nudge(struct hf_commit_queue *queue);
int64_t hf_commit_queue_length(struct hf_commit_queue *queue);

/* Everything that waits, oldest first. The committer's thread; waits for at most wait_ms (-1: for ever) when there is
 * nothing. */
struct hf_write *hf_commit_queue_take(struct hf_commit_queue *queue, int64_t wait_ms, bool *stopping_out);

/* From now on nothing is added; what is in is still taken. */
void hf_commit_queue_stop(struct hf_commit_queue *queue);

#endif
