/* The order of this process's writes, which the service is told (header State-Order): what was given up and lies on the
 * way still must not come to be after what was stored since, though it be by another handle. */
#ifndef HF_CLIENT_ORDER_H
#define HF_CLIENT_ORDER_H

#include <stdint.h>

#define HF_ORDER_LINE_BYTES 80

/* A number higher than all before it. Taken once for a write, which keeps it in all its attempts. Any thread. */
int64_t hf_order_next(void);

/* "State-Order: WRITER/NUMBER", of a number given out. The writer is another one in each process: numbers that parent
 * and child of a fork give out are of two writers. */
void hf_order_line(int64_t number, char out[HF_ORDER_LINE_BYTES]);

#endif
