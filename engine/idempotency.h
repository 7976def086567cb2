/* Idempotency keys: what a request with a key did is kept for a day, in the transaction that did it. The same request
 * again gets that and does nothing. A request that failed leaves no key. */
#ifndef HF_ENGINE_IDEMPOTENCY_H
#define HF_ENGINE_IDEMPOTENCY_H

#include "core/arena.h"
#include "core/digest.h"
#include "core/error.h"
#include "store/store.h"

/* How long an idempotency key is honoured. */
#define HF_KEY_LIFETIME_MS (INT64_C(24) * 3600 * 1000)

struct hf_idempotency {
    const char *key;        /* of the client; unique within a system, whatever the request is for */
    struct hf_hash request; /* of all that the request says, so that the key serves no other one */
};

/* *answer_out (in arena): what was kept with the key; NULL: nothing. HF_IDEMPOTENCY_REUSED: by another request. */
HF_MUST_USE bool hf_idempotency_find(struct hf_session *session, int64_t system_id, const struct hf_idempotency *once,
                                     struct hf_arena *arena, const char **answer_out, struct hf_error *err);
/* Inside the caller's transaction; takes the place of a key that is no longer honoured. */
HF_MUST_USE bool hf_idempotency_keep(struct hf_session *session, int64_t system_id, const struct hf_idempotency *once,
                                     const char *answer, struct hf_error *err);

#endif
