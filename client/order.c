#include "client/order.h"

#include "core/id.h"

#include <stdio.h>
#include <unistd.h>

void hf_order_init(struct hf_order *order)
{
    hf_random_bytes(order->writer, sizeof(order->writer));
    atomic_init(&order->last, 0);
}

int64_t hf_order_next(struct hf_order *order)
{
    return atomic_fetch_add(&order->last, 1) + 1;
}

void hf_order_line(const struct hf_order *order, int64_t number, char out[HF_ORDER_LINE_BYTES])
{
    snprintf(out, HF_ORDER_LINE_BYTES, "State-Order: %016llx%016llx-%ld/%lld", (unsigned long long)order->writer[0],
             (unsigned long long)order->writer[1], (long)getpid(), (long long)number);
}
