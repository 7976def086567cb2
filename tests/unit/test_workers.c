#include "server/workers.h"

#include <pthread.h>

#include "tests/support/check_main.h"

/* A gate that jobs wait behind, and what they did. */
struct scene {
    pthread_mutex_t mutex; /* protects the rest */
    pthread_cond_t changed;
    bool open;
    int begun;
    int done;
    int order[64];
};

struct numbered {
    struct scene *scene;
    int number;
};

static void init(struct scene *scene)
{
    *scene = (struct scene){0};
    pthread_mutex_init(&scene->mutex, NULL);
    pthread_cond_init(&scene->changed, NULL);
}

static void wait_behind_gate(void *argument)
{
    struct numbered *job = argument;
    struct scene *scene = job->scene;
    pthread_mutex_lock(&scene->mutex);
    scene->begun++;
    pthread_cond_broadcast(&scene->changed);
    while (!scene->open)
        pthread_cond_wait(&scene->changed, &scene->mutex);
    scene->order[scene->done++] = job->number;
    pthread_cond_broadcast(&scene->changed);
    pthread_mutex_unlock(&scene->mutex);
}

static void await_begun(struct scene *scene, int count)
{
    pthread_mutex_lock(&scene->mutex);
    while (scene->begun < count)
        pthread_cond_wait(&scene->changed, &scene->mutex);
    pthread_mutex_unlock(&scene->mutex);
}

static void open_gate(struct scene *scene)
{
    pthread_mutex_lock(&scene->mutex);
    scene->open = true;
    pthread_cond_broadcast(&scene->changed);
    pthread_mutex_unlock(&scene->mutex);
}

START_TEST(as_many_jobs_run_at_once_as_there_are_threads)
{
    struct scene scene;
    struct numbered job = {&scene, 1};
    struct hf_workers *workers;
    struct hf_error err;
    init(&scene);
    ck_assert(hf_workers_start(&workers, 3, 8, &err));
    for (int i = 0; i < 3; i++)
        ck_assert(hf_workers_submit(workers, wait_behind_gate, &job));
    await_begun(&scene, 3);
    open_gate(&scene);
    hf_workers_stop(workers);
    ck_assert_int_eq(scene.done, 3);
}
END_TEST

START_TEST(a_full_queue_refuses_and_recovers)
{
    struct scene scene;
    struct numbered job = {&scene, 1};
    struct hf_workers *workers;
    struct hf_error err;
    init(&scene);
    ck_assert(hf_workers_start(&workers, 1, 2, &err));
    ck_assert(hf_workers_submit(workers, wait_behind_gate, &job));
    await_begun(&scene, 1); /* so that the queue itself is empty */
    ck_assert(hf_workers_submit(workers, wait_behind_gate, &job));
    ck_assert(hf_workers_submit(workers, wait_behind_gate, &job));
    ck_assert(!hf_workers_submit(workers, wait_behind_gate, &job));
    open_gate(&scene);
    await_begun(&scene, 3);
    ck_assert(hf_workers_submit(workers, wait_behind_gate, &job));
    hf_workers_stop(workers);
    ck_assert_int_eq(scene.done, 4);
}
END_TEST

START_TEST(stop_runs_what_is_queued_in_its_order)
{
    struct scene scene;
    struct numbered jobs[20];
    struct hf_workers *workers;
    struct hf_error err;
    init(&scene);
    ck_assert(hf_workers_start(&workers, 1, 20, &err));
    for (int i = 0; i < 20; i++) {
        jobs[i] = (struct numbered){&scene, i};
        ck_assert(hf_workers_submit(workers, wait_behind_gate, &jobs[i]));
    }
    open_gate(&scene);
    hf_workers_stop(workers);
    ck_assert_int_eq(scene.done, 20);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(scene.order[i], i);
}
END_TEST

HF_TEST_MAIN("workers", as_many_jobs_run_at_once_as_there_are_threads, a_full_queue_refuses_and_recovers,
             stop_runs_what_is_queued_in_its_order);
