/* Waiting for one's own write. */
#include "engine/committer.h"

#include <pthread.h>

struct waiter {
    pthread_mutex_t lock; /* protects finished */
    pthread_cond_t cond;
    bool finished;
};

static void wake_waiter(struct hf_write *write)
{
    struct waiter *waiter = write->context;
    pthread_mutex_lock(&waiter->lock);
    waiter->finished = true;
    pthread_cond_signal(&waiter->cond);
    pthread_mutex_unlock(&waiter->lock);
}

bool hf_committer_write(struct hf_committer *committer, struct hf_write *write, struct hf_error *err)
{
    struct waiter waiter = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    write->done = wake_waiter;
    write->context = &waiter;
    if (!hf_committer_submit(committer, write, err))
        return false;
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.finished)
        pthread_cond_wait(&waiter.cond, &waiter.lock);
    pthread_mutex_unlock(&waiter.lock);
    if (!write->ok)
        *err = write->error;
    return write->ok;
}

bool hf_committer_call(struct hf_committer *committer, struct hf_call *call, struct hf_error *err)
{
    struct hf_write write = {.system = "", .state_epoch = -1, .call = call, .failed_item = -1};
    return hf_committer_write(committer, &write, err);
}
