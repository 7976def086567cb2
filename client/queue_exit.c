/* The last flush of a program that calls exit() with a queue open.
 *
 * on_exit(3) takes an argument, which atexit(3) does not, so that no list of queues is kept anywhere in the library:
 * libc holds a small box, and the box the queue. What was registered cannot be taken back: of a queue that is closed in
 * time the empty box stays until exit() frees it. It also means that libc knows an address in the library; a program
 * that unloads it with dlclose() would jump into nothing at its end, which is why the shared library is linked to stay
 * loaded (-z nodelete).
 *
 * The queue's memory is not freed in exit(): other threads still run, and may be using it. A child made by fork()
 * inherits the box, but none of the threads, and leaves it alone. */
#include "client/queue_parts.h"
#include "core/error.h"

#include <stdlib.h>
#include <unistd.h>

struct hf_queue_exit {
    pthread_mutex_t lock;         /* held while exit() ends the queue */
    struct holdfast_queue *queue; /* NULL: closed */
    pid_t process;
};

static void flush_at_exit(int status, void *argument);

struct hf_queue_exit *hf_queue_exit_register(struct holdfast_queue *queue)
{
    struct hf_queue_exit *box = hf_alloc(sizeof(*box));
    pthread_mutex_init(&box->lock, NULL);
    box->queue = queue;
    box->process = getpid();
    HF_ASSERT(on_exit(flush_at_exit, box) == 0); /* fails where there is no memory */
    return box;
}

void hf_queue_exit_forget(struct hf_queue_exit *box)
{
    if (!box)
        return;
    pthread_mutex_lock(&box->lock);
    box->queue = NULL;
    pthread_mutex_unlock(&box->lock);
}

static void flush_at_exit(int status, void *argument)
{
    (void)status;
    struct hf_queue_exit *box = argument;
    if (box->process != getpid())
        return;
    pthread_mutex_lock(&box->lock);
    struct holdfast_queue *queue = box->queue;
    if (queue && !hf_queue_is_own_thread(queue))
        (void)hf_queue_end(queue, true, NULL);
    pthread_mutex_unlock(&box->lock);
    if (!queue)
        free(box);
}
