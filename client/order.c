#include "client/order.h"

#include "core/id.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* Drawn once, and anew in the child of a fork, where no other thread is yet. */
static uint64_t writer[2];
static _Atomic int64_t last; /* number given out */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void draw(void)
{
    hf_random_bytes(writer, sizeof(writer));
}

static void start(void)
{
    draw();
    pthread_atfork(NULL, NULL, draw);
}

int64_t hf_order_next(void)
{
    pthread_once(&once, start);
    return atomic_fetch_add(&last, 1) + 1;
}

void hf_order_line(int64_t number, char out[HF_ORDER_LINE_BYTES])
{
    snprintf(out, HF_ORDER_LINE_BYTES, "State-Order: %016llx%016llx/%lld", (unsigned long long)writer[0],
             (unsigned long long)writer[1], (long long)number);
}
