/* Saving under terms of one's own: what the public functions, which use the handle's, and a queue, which uses the epoch
 * of the moment a state was queued in and ends its calls when it closes, have in common. */
#ifndef HF_CLIENT_STATES_H
#define HF_CLIENT_STATES_H

#include "client/holdfast.h"
#include "client/order.h"

#include <stdatomic.h>

/* What is known of a save's last answer besides the error. */
struct hf_states_answer {
    bool by_service;        /* it is the service's own word: not one of something in its place, and not none */
    int64_t retry_after_ms; /* 0: not told, or now */
};

/* How a save is made. */
struct hf_states_terms {
    int64_t epoch;           /* sent as State-Epoch; 0: none */
    const atomic_bool *stop; /* ends the call with "cancelled" soon after it becomes true, in a pause between two
                                attempts too; NULL: holdfast_cancel alone does */
    struct hf_states_answer *answer; /* filled in on failure; NULL: not asked for */
    struct hf_order_place place;     /* for what is sent again in another form; nowhere: the next one is taken */
};

/* As holdfast_save and holdfast_save_all. Any thread. */
bool hf_states_save(struct holdfast *service, const struct hf_states_terms *terms, const char *component,
                    const void *data, size_t bytes, const struct holdfast_save_options *options,
                    struct holdfast_receipt *out, struct holdfast_error *err);
bool hf_states_save_all(struct holdfast *service, const struct hf_states_terms *terms,
                        const struct holdfast_item *items, size_t count, struct holdfast_receipt *out,
                        struct holdfast_error *err);

/* The next place among the writes of the handle. Any thread. */
struct hf_order_place hf_states_next_place(struct holdfast *service);
/* From now on the handle's writes are those of this writer, in this turn (order.h). Any thread. */
void hf_states_take_turn(struct holdfast *service, const uint64_t writer[2], int64_t turn);

/* Whether holdfast_cancel was called: nothing can be saved with this handle any more. Any thread. */
bool hf_states_are_cancelled(const struct holdfast *service);

#endif
