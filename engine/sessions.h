/* A bounded pool of read sessions for workers, snapshots and restores. */
#ifndef HF_ENGINE_SESSIONS_H
#define HF_ENGINE_SESSIONS_H

#include "store/store.h"

struct hf_sessions;

struct hf_sessions *hf_sessions_new(struct hf_store *store, int max);
void hf_sessions_free(struct hf_sessions *sessions); /* all must have been given back */

/* Waits for a free one (bounded: HF_OVERLOADED after some seconds), opens or resets it as needed. */
HF_MUST_USE bool hf_sessions_take(struct hf_sessions *sessions, struct hf_session **out, struct hf_error *err);
/* Rolls back what is open. Accepts NULL. */
void hf_sessions_give(struct hf_sessions *sessions, struct hf_session *session);

#endif
