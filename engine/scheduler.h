/* The scheduler thread: fulls, incrementals, retention, history, health, token file. A failure leaves an event and is
 * tried again at the next interval; the service goes on. */
#ifndef HF_ENGINE_SCHEDULER_H
#define HF_ENGINE_SCHEDULER_H

#include "engine/engine.h"

struct hf_scheduler;
HF_MUST_USE bool hf_scheduler_start(struct hf_scheduler **out, struct hf_engine *engine, struct hf_error *err);
void hf_scheduler_stop(struct hf_scheduler *scheduler); /* waits for the snapshot under way */

/* When the next ones are due, epoch ms; 0: unknown system. Any thread, never blocks. */
struct hf_schedule {
    int64_t next_full_at_ms, next_incremental_at_ms;
};
struct hf_schedule hf_scheduler_next(struct hf_engine *engine, const char *system);

/* Calls back once a second from the scheduler thread (token file refresh); set before traffic. */
void hf_scheduler_on_tick(struct hf_scheduler *scheduler, void (*tick)(void *context), void *context);

#endif
