#include "engine/commit_queue.h"

#include "core/clock.h"
#include "core/cond.h"
#include "core/metrics.h"

#include <time.h>

void hf_commit_queue_init(struct hf_commit_queue *queue)
{
    *queue = (struct hf_commit_queue){0};
    pthread_mutex_init(&queue->lock, NULL);
    hf_cond_init(&queue->wake);
}

void hf_commit_queue_done(struct hf_commit_queue *queue)
{
    pthread_cond_destroy(&queue->wake);
    pthread_mutex_destroy(&queue->lock);
}

bool hf_commit_queue_push(struct hf_commit_queue *queue, struct hf_write *write, int64_t length_max,
                          struct hf_error *err)
{
    write->next = NULL;
    pthread_mutex_lock(&queue->lock);
    bool stopping = queue->stopping;
    bool full = queue->length >= length_max;
    bool wake = false;
    if (!stopping && !full) {
        if (queue->last)
            queue->last->next = write;
        else
            queue->first = write;
        queue->last = write;
        queue->length++;
        wake = queue->waiting;
        queue->waiting = false;
    }
    pthread_mutex_unlock(&queue->lock);
    if (wake)
        pthread_cond_signal(&queue->wake);
    if (stopping)
        return hf_error_set(err, HF_SHUTTING_DOWN, "the service is stopping; nothing was written");
    if (!full)
        return true;
    hf_metric_add(HF_M_REFUSED_OVERLOADED, 1);
    return hf_error_set(err, HF_OVERLOADED, "more than %lld writes are waiting; nothing was written, try again soon",
                        (long long)length_max);
}

void hf_commit_queue_nudge(struct hf_commit_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool signal = queue->waiting;
    queue->waiting = false;
    queue->nudged = true;
    pthread_mutex_unlock(&queue->lock);
    if (signal)
        pthread_cond_signal(&queue->wake);
}

int64_t hf_commit_queue_length(struct hf_commit_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    int64_t length = queue->length;
    pthread_mutex_unlock(&queue->lock);
    return length;
}

struct hf_write *hf_commit_queue_take(struct hf_commit_queue *queue, int64_t wait_ms, bool *stopping_out)
{
    uint64_t until_ns = hf_clock_monotonic_ns() + (uint64_t)wait_ms * HF_MS_NS;
    pthread_mutex_lock(&queue->lock);
    while (!queue->first && !queue->stopping && !queue->nudged && wait_ms) {
        queue->waiting = true;
        if (wait_ms < 0)
            pthread_cond_wait(&queue->wake, &queue->lock);
        else if (!hf_cond_wait_until(&queue->wake, &queue->lock, until_ns))
            break;
    }
    queue->waiting = false;
    struct hf_write *list = queue->first;
    if (!list && wait_ms)
        queue->nudged = false;
    queue->first = queue->last = NULL;
    queue->length = 0;
    *stopping_out = queue->stopping;
    pthread_mutex_unlock(&queue->lock);
    return list;
}

void hf_commit_queue_stop(struct hf_commit_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    pthread_mutex_unlock(&queue->lock);
    pthread_cond_signal(&queue->wake);
}
