#include "core/cond.h"

#include "core/clock.h"

#include <time.h>

void hf_cond_init(pthread_cond_t *out)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(out, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool hf_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns)
{
    const struct timespec until = {(time_t)(until_ns / HF_SECOND_NS), (long)(until_ns % HF_SECOND_NS)};
    return pthread_cond_timedwait(cond, mutex, &until) == 0;
}
