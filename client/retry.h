/* How long to pause between two attempts of a call. Pure functions: the same arguments give the same pause. */
#ifndef HF_CLIENT_RETRY_H
#define HF_CLIENT_RETRY_H

#include <stdint.h>

/* Pause before the next attempt after `failures` of them (1: the first one failed). random is 0 to below 1: the pause
 * lies between the half and the whole of 100 ms that double with each failure, up to 5 s. */
int64_t hf_retry_pause_ms(int failures, double random);

/* The same, and not before what Retry-After said: after_ms from now; 0: nothing was said. Clients that
 * were told the same moment do not all come at it. */
int64_t hf_retry_pause_after_ms(int failures, double random, int64_t after_ms);

/* 0 to below 1, unpredictable. Any thread. */
double hf_retry_random(void);

#endif
