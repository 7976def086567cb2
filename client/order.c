#include "client/order.h"

#include "core/id.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void hf_order_init(struct hf_order *order)
{
    hf_random_bytes(order->writer, sizeof(order->writer));
    order->process = 0;
    order->before = NULL;
    atomic_init(&order->last, 0);
}

void hf_order_init_turn(struct hf_order *order, const uint64_t writer[2], int64_t turn)
{
    memcpy(order->writer, writer, sizeof(order->writer));
    order->process = getpid();
    order->before = NULL;
    atomic_init(&order->last, turn << HF_ORDER_TURN_BITS);
}

struct hf_order_place hf_order_next(struct hf_order *order)
{
    return (struct hf_order_place){order, atomic_fetch_add(&order->last, 1) + 1};
}

void hf_order_line(struct hf_order_place place, char out[HF_ORDER_LINE_BYTES])
{
    const struct hf_order *order = place.order;
    pid_t process = getpid();
    char suffix[24] = "";
    if (process != order->process)
        snprintf(suffix, sizeof(suffix), "-%ld", (long)process);
    snprintf(out, HF_ORDER_LINE_BYTES, "State-Order: %016llx%016llx%s/%lld", (unsigned long long)order->writer[0],
             (unsigned long long)order->writer[1], suffix, (long long)place.number);
}
