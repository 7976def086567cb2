/* Saving under a given epoch: what the public functions, which use the handle's, and a queue, which uses the epoch of
 * the moment a state was queued in, have in common. */
#ifndef HF_CLIENT_STATES_H
#define HF_CLIENT_STATES_H

#include "client/holdfast.h"

/* As holdfast_save and holdfast_save_all, with State-Epoch: epoch; 0 sends none. Any thread. */
bool hf_states_save(struct holdfast *service, int64_t epoch, const char *component, const void *data, size_t bytes,
                    const struct holdfast_save_options *options, struct holdfast_receipt *out,
                    struct holdfast_error *err);
bool hf_states_save_all(struct holdfast *service, int64_t epoch, const struct holdfast_item *items, size_t count,
                        struct holdfast_receipt *out, struct holdfast_error *err);

#endif
