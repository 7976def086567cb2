#include "stop.h"

#include <holdfast.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct stop {
    struct holdfast *service;
    struct timespec patience;
    sigset_t signals;
    pthread_t thread;
    pthread_mutex_t mutex; /* protects what follows */
    pthread_cond_t changed;
    bool told, ended;
};

static void *listen_to_signals(void *context);

struct stop *stop_listen(struct holdfast *service, int64_t patience_ms)
{
    struct stop *stop = calloc(1, sizeof(*stop));
    pthread_condattr_t monotonic;
    if (!stop)
        abort();
    stop->service = service;
    stop->patience = (struct timespec){patience_ms / 1000, patience_ms % 1000 * 1000000};
    pthread_mutex_init(&stop->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&stop->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigemptyset(&stop->signals);
    sigaddset(&stop->signals, SIGTERM);
    sigaddset(&stop->signals, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &stop->signals, NULL) != 0 ||
        pthread_create(&stop->thread, NULL, listen_to_signals, stop) != 0)
        abort();
    return stop;
}

void stop_end(struct stop *stop)
{
    if (!stop)
        return;
    pthread_mutex_lock(&stop->mutex);
    stop->ended = true;
    pthread_mutex_unlock(&stop->mutex);
    pthread_kill(stop->thread, SIGTERM);
    pthread_join(stop->thread, NULL);
    pthread_cond_destroy(&stop->changed);
    pthread_mutex_destroy(&stop->mutex);
    free(stop);
}

bool stop_is_told(struct stop *stop)
{
    pthread_mutex_lock(&stop->mutex);
    bool told = stop->told;
    pthread_mutex_unlock(&stop->mutex);
    return told;
}

void stop_pause(struct stop *stop, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&stop->mutex);
    while (!stop->told && pthread_cond_timedwait(&stop->changed, &stop->mutex, &until) == 0)
        continue;
    pthread_mutex_unlock(&stop->mutex);
}

/* A signal's handler could not cancel anything: holdfast_cancel takes a lock. */
static void *listen_to_signals(void *context)
{
    struct stop *stop = context;
    int number;
    while (sigwait(&stop->signals, &number) != 0)
        continue;
    pthread_mutex_lock(&stop->mutex);
    stop->told = true;
    pthread_cond_broadcast(&stop->changed);
    bool ended = stop->ended;
    pthread_mutex_unlock(&stop->mutex);
    while (!ended && sigtimedwait(&stop->signals, NULL, &stop->patience) < 0 && errno == EINTR)
        continue;
    pthread_mutex_lock(&stop->mutex);
    if (!stop->ended)
        holdfast_cancel(stop->service);
    pthread_mutex_unlock(&stop->mutex);
    return NULL;
}
