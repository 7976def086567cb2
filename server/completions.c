#include "server/completions.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool hf_completions_init(struct hf_completions *queue, struct hf_error *err)
{
    atomic_init(&queue->newest, NULL);
    atomic_init(&queue->asleep, false);
    atomic_init(&queue->pushers, 0);
    queue->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (queue->eventfd < 0)
        return hf_error_errno(err, errno, "an eventfd for a loop cannot be made");
    return true;
}

/* Who pushed the last item may still be on the way to wake the loop, which has long taken it. */
void hf_completions_done(struct hf_completions *queue)
{
    while (atomic_load_explicit(&queue->pushers, memory_order_acquire) > 0)
        sched_yield();
    if (queue->eventfd >= 0)
        close(queue->eventfd);
    queue->eventfd = -1;
}

void hf_completions_push(struct hf_completions *queue, struct hf_completion *item)
{
    atomic_fetch_add_explicit(&queue->pushers, 1, memory_order_relaxed);
    struct hf_completion *newest = atomic_load_explicit(&queue->newest, memory_order_relaxed);
    do
        item->next = newest;
    while (!atomic_compare_exchange_weak(&queue->newest, &newest, item));
    hf_completions_wake(queue);
    atomic_fetch_sub_explicit(&queue->pushers, 1, memory_order_release);
}

/* Sequentially consistent with may_sleep: either this sees the loop asleep, or the loop sees the item. */
void hf_completions_wake(struct hf_completions *queue)
{
    if (!atomic_load(&queue->asleep) || !atomic_exchange(&queue->asleep, false))
        return;
    uint64_t one = 1;
    /* It fails only when the counter is full, and then the loop is awake. */
    ssize_t written = write(queue->eventfd, &one, sizeof(one));
    (void)written;
}

struct hf_completion *hf_completions_take(struct hf_completions *queue)
{
    if (!atomic_load_explicit(&queue->newest, memory_order_relaxed))
        return NULL;
    struct hf_completion *item = atomic_exchange(&queue->newest, NULL);
    struct hf_completion *oldest = NULL;
    while (item) {
        struct hf_completion *next = item->next;
        item->next = oldest;
        oldest = item;
        item = next;
    }
    return oldest;
}

bool hf_completions_may_sleep(struct hf_completions *queue)
{
    atomic_store(&queue->asleep, true);
    return !atomic_load(&queue->newest);
}

void hf_completions_awake(struct hf_completions *queue, bool eventfd_readable)
{
    atomic_store_explicit(&queue->asleep, false, memory_order_relaxed);
    if (!eventfd_readable)
        return;
    uint64_t count;
    ssize_t bytes = read(queue->eventfd, &count, sizeof(count));
    (void)bytes;
}
