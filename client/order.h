/* The order of a handle's writes, which the service is told (header State-Order): what was given up and lies on the way
 * still must not come to be after what was stored since. With an outbox the writes of one process after the other are
 * of one writer: what the one before had on its way when it died is older than what this one sends. */
#ifndef HF_CLIENT_ORDER_H
#define HF_CLIENT_ORDER_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#define HF_ORDER_LINE_BYTES 80
#define HF_ORDER_TURN_BITS  32                       /* of numbers that a turn has */
#define HF_ORDER_TURN_MAX   ((INT64_C(1) << 21) - 1) /* the service's numbers end at 2^53 */

struct hf_order {
    uint64_t writer[2];      /* random; does not change */
    pid_t process;           /* whose writer's name is that alone; 0: nobody's, all names hold their process */
    _Atomic int64_t last;    /* number given out */
    struct hf_order *before; /* what the handle went by before this one */
};

/* Where a write stands; the same in all its attempts, whatever form they take. */
struct hf_order_place {
    const struct hf_order *order; /* borrowed, until the handle is closed; NULL: nowhere yet */
    int64_t number;
};

void hf_order_init(struct hf_order *order);
/* Of the processes that have one writer after the other, in their turns (from 1). Only the calling process. */
void hf_order_init_turn(struct hf_order *order, const uint64_t writer[2], int64_t turn);

/* A number higher than all before it. Any thread. */
struct hf_order_place hf_order_next(struct hf_order *order);

/* "State-Order: WRITER/NUMBER". Numbers that parent and child of a fork give out are of two writers. */
void hf_order_line(struct hf_order_place place, char out[HF_ORDER_LINE_BYTES]);

#endif
