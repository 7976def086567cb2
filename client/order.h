/* The order of a handle's writes, which the service is told (header State-Order): what was given up and lies on the way
 * still must not come to be after what was stored since. */
#ifndef HF_CLIENT_ORDER_H
#define HF_CLIENT_ORDER_H

#include <stdatomic.h>
#include <stdint.h>

#define HF_ORDER_LINE_BYTES 96

struct hf_orders {
    uint64_t handle;      /* counts the handles of this program */
    _Atomic int64_t last; /* number given out */
};

void hf_orders_init(struct hf_orders *orders);

/* A number higher than all before it. Taken once for a write, which keeps it in all its attempts. Any thread. */
int64_t hf_orders_next(struct hf_orders *orders);

/* "State-Order: WRITER/NUMBER". The writer is another one in each process: numbers that parent and child of a fork
 * give out are of two writers. */
void hf_orders_line(const struct hf_orders *orders, int64_t number, char out[HF_ORDER_LINE_BYTES]);

#endif
