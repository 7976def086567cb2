#include "server/workers.h"

#include "core/auto.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct job {
    hf_job_fn *run;
    void *argument;
};

struct hf_workers {
    pthread_mutex_t mutex;  /* protects jobs, first, count and stopping */
    pthread_cond_t arrived; /* a job, or stopping */
    struct job *jobs;       /* ring of queue_max */
    int queue_max;
    int first;
    int count;
    bool stopping;
    pthread_t *threads;
    int thread_count;
};

static void *work(void *argument);
static bool take_job(struct hf_workers *workers, struct job *out);

bool hf_workers_start(struct hf_workers **out, int threads, int queue_max, struct hf_error *err)
{
    HF_ASSERT(threads > 0 && queue_max > 0);
    struct hf_workers *workers = hf_alloc(sizeof(*workers));
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_cond_init(&workers->arrived, NULL);
    workers->jobs = hf_alloc((size_t)queue_max * sizeof(*workers->jobs));
    workers->queue_max = queue_max;
    workers->threads = hf_alloc((size_t)threads * sizeof(*workers->threads));

    /* Signals belong to the main thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    while (!failed && workers->thread_count < threads) {
        failed = pthread_create(&workers->threads[workers->thread_count], NULL, work, workers);
        if (!failed)
            workers->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        hf_workers_stop(workers);
        hf_error_errno(err, failed, "a worker thread cannot be started");
        err->code = HF_INTERNAL;
        return false;
    }
    *out = workers;
    return true;
}

bool hf_workers_submit(struct hf_workers *workers, hf_job_fn *run, void *argument)
{
    pthread_mutex_lock(&workers->mutex);
    bool fits = workers->count < workers->queue_max && !workers->stopping;
    if (fits) {
        int last = (workers->first + workers->count) % workers->queue_max;
        workers->jobs[last] = (struct job){run, argument};
        workers->count++;
        pthread_cond_signal(&workers->arrived);
    }
    pthread_mutex_unlock(&workers->mutex);
    return fits;
}

void hf_workers_stop(struct hf_workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->mutex);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->arrived);
    pthread_mutex_unlock(&workers->mutex);
    for (int i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->arrived);
    pthread_mutex_destroy(&workers->mutex);
    free(workers->threads);
    free(workers->jobs);
    free(workers);
}

static void *work(void *argument)
{
    struct hf_workers *workers = argument;
    struct job job;
    while (take_job(workers, &job))
        job.run(job.argument);
    return NULL;
}

/* Waits; false when stopping and nothing is left. */
static bool take_job(struct hf_workers *workers, struct job *out)
{
    pthread_mutex_lock(&workers->mutex);
    while (workers->count == 0 && !workers->stopping)
        pthread_cond_wait(&workers->arrived, &workers->mutex);
    bool found = workers->count > 0;
    if (found) {
        *out = workers->jobs[workers->first];
        workers->first = (workers->first + 1) % workers->queue_max;
        workers->count--;
    }
    pthread_mutex_unlock(&workers->mutex);
    return found;
}
