/* The order of a handle's writes, which the service is told (header State-Order): what was given up and lies on the way
 * still must not come to be after what was stored since. */
#ifndef HF_CLIENT_ORDER_H
#define HF_CLIENT_ORDER_H

#include <stdatomic.h>
#include <stdint.h>

#define HF_ORDER_LINE_BYTES 80

struct hf_order {
    uint64_t writer[2];   /* random; does not change */
    _Atomic int64_t last; /* number given out */
};

void hf_order_init(struct hf_order *order);

/* A number higher than all before it. Taken once for a write, which keeps it in all its attempts. Any thread. */
int64_t hf_order_next(struct hf_order *order);

/* "State-Order: WRITER/NUMBER", of a number given out. The writer's name holds the process: numbers that parent and
 * child of a fork give out are of two writers. */
void hf_order_line(const struct hf_order *order, int64_t number, char out[HF_ORDER_LINE_BYTES]);

#endif
