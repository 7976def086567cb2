#include "client/order.h"

#include "core/id.h"

#include <pthread.h>
#include <stdio.h>

/* Drawn once, and anew in the child of a fork, where no other thread is yet. */
static uint64_t process[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void draw(void)
{
    hf_random_bytes(process, sizeof(process));
}

static void start(void)
{
    draw();
    pthread_atfork(NULL, NULL, draw);
}

void hf_orders_init(struct hf_orders *orders)
{
    static atomic_uint_fast64_t handles;
    pthread_once(&once, start);
    orders->handle = atomic_fetch_add(&handles, 1) + 1;
    atomic_init(&orders->last, 0);
}

int64_t hf_orders_next(struct hf_orders *orders)
{
    return atomic_fetch_add(&orders->last, 1) + 1;
}

void hf_orders_line(const struct hf_orders *orders, int64_t number, char out[HF_ORDER_LINE_BYTES])
{
    snprintf(out, HF_ORDER_LINE_BYTES, "State-Order: %016llx%016llx-%llu/%lld", (unsigned long long)process[0],
             (unsigned long long)process[1], (unsigned long long)orders->handle, (long long)number);
}
