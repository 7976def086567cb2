/* Condition variables whose waits end by the monotonic clock, whatever happens to the time of day. */
#ifndef HF_CORE_COND_H
#define HF_CORE_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void hf_cond_init(pthread_cond_t *out); /* pthread_cond_destroy() ends it */

/* With the mutex. False: until_ns (of hf_clock_monotonic_ns) has come. True says only that it is time to look again. */
bool hf_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns);

#endif
