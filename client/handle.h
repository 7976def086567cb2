/* The handle: what was asked for when it was opened, the wire, and the epoch it lives in. */
#ifndef HF_CLIENT_HANDLE_H
#define HF_CLIENT_HANDLE_H

#include "client/holdfast.h"
#include "client/order.h"
#include "client/wire.h"

#include <stdatomic.h>

struct holdfast {
    char *url; /* without a slash at the end */
    char *system;
    int timeout_ms;
    int retry_ms; /* below 0: one attempt */
    size_t state_bytes_max;
    size_t delta_bytes_min;
    struct hf_wire *wire;
    struct hf_order own_order;
    struct hf_order *_Atomic order; /* of its writes: its own, or that of the outbox that was opened last */
    _Atomic int64_t epoch;          /* 0: none */
    atomic_bool epoch_from_save;    /* hydrated before the system was known: the first receipt tells the epoch */
};

/* After a save: takes over the epoch where the handle waits for one. */
void hf_handle_note_epoch(struct holdfast *service, int64_t epoch);

#endif
