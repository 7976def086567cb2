/* Events on their way to the database: bounded, written together by the committer. */
#ifndef HF_ENGINE_EVENT_QUEUE_H
#define HF_ENGINE_EVENT_QUEUE_H

#include "store/journal.h"

struct hf_event_queue;
struct hf_event_queue *hf_event_queue_new(void);
void hf_event_queue_free(struct hf_event_queue *queue);

/* Called on the committer's thread with what the database has taken. Set before the committer starts. */
void hf_event_queue_on_written(struct hf_event_queue *queue,
                               void (*written)(void *context, const struct hf_event_row *rows, int count),
                               void *context);

/* Copies everything; any thread. Past the bound the oldest is dropped and counted in the log. */
void hf_event_queue_add(struct hf_event_queue *queue, int64_t system_id, int64_t at_ms, const char *severity,
                        const char *type, const char *text, const char *data_json);

/* Worth a transaction now? When idle any event is; under load some time must have passed, unless an outcome is open.
 * Committer thread. */
bool hf_event_queue_is_due(struct hf_event_queue *queue, bool idle);

/* Writes all in one transaction; on failure they stay queued. After HF_OUTCOME_UNKNOWN the next call looks first
 * whether they are in: each is stored once. Committer thread. */
HF_MUST_USE bool hf_event_queue_write(struct hf_event_queue *queue, struct hf_session *session, struct hf_error *err);

#endif
