/* A fixed set of worker threads with one bounded queue. Jobs may wait for the database and files. */
#ifndef HF_SERVER_WORKERS_H
#define HF_SERVER_WORKERS_H

#include "core/error.h"

struct hf_workers;
typedef void hf_job_fn(void *argument);

HF_MUST_USE bool hf_workers_start(struct hf_workers **out, int threads, int queue_max, struct hf_error *err);
/* False when the queue is full: the caller answers 503. Any thread; never blocks. */
bool hf_workers_submit(struct hf_workers *workers, hf_job_fn *run, void *argument);
/* Runs what is queued, joins, frees. */
void hf_workers_stop(struct hf_workers *workers);

#endif
