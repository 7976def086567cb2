#include "engine/idempotency.h"

#include "core/clock.h"
#include "store/journal.h"

bool hf_idempotency_find(struct hf_session *session, int64_t system_id, const struct hf_idempotency *once,
                         struct hf_arena *arena, const char **answer_out, struct hf_error *err)
{
    struct hf_hash request;
    const char *answer;
    int64_t created_at_ms;
    bool found;
    if (!hf_keys_get(session, system_id, once->key, arena, &request, &answer, &created_at_ms, &found, err))
        return false;
    *answer_out = NULL;
    if (!found || created_at_ms + HF_KEY_LIFETIME_MS < hf_clock_now_ms())
        return true;
    if (!hf_hash_equal(&request, &once->request))
        return hf_error_set(err, HF_IDEMPOTENCY_REUSED,
                            "Idempotency-Key \"%.80s\" was used for another request, or with another body; take a new "
                            "key for a new request",
                            once->key);
    *answer_out = answer;
    return true;
}

bool hf_idempotency_keep(struct hf_session *session, int64_t system_id, const struct hf_idempotency *once,
                         const char *answer, struct hf_error *err)
{
    return hf_keys_insert(session, system_id, once->key, &once->request, answer, hf_clock_now_ms(), err);
}
