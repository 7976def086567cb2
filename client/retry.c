#include "client/retry.h"

#include "core/id.h"

#define PAUSE_FIRST_MS INT64_C(100)
#define PAUSE_MAX_MS   INT64_C(5000)

int64_t hf_retry_pause_ms(int failures, double random)
{
    int64_t whole_ms = PAUSE_FIRST_MS;
    for (int i = 1; i < failures && whole_ms < PAUSE_MAX_MS; i++)
        whole_ms *= 2;
    if (whole_ms > PAUSE_MAX_MS)
        whole_ms = PAUSE_MAX_MS;
    return whole_ms / 2 + (int64_t)((double)(whole_ms / 2) * random);
}

int64_t hf_retry_pause_after_ms(int failures, double random, int64_t after_ms)
{
    return after_ms > 0 ? after_ms + hf_retry_pause_ms(1, random) : hf_retry_pause_ms(failures, random);
}

double hf_retry_random(void)
{
    uint32_t bits;
    hf_random_bytes(&bits, sizeof(bits));
    return bits / 4294967296.0;
}
