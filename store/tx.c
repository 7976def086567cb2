#include "store/store.h"

#include "store/engine.h"

#include <time.h>

#define ATTEMPTS_MAX   5
#define RETRY_PAUSE_MS 10

static bool run_once(struct hf_session *session, hf_tx_fn *work, void *context, struct hf_error *err);
static void pause_before_attempt(int attempt);

bool hf_session_transaction(struct hf_session *session, hf_tx_fn *work, void *context, struct hf_error *err)
{
    if (session->in_transaction)
        return work(session, context, err);
    if (hf_session_is_broken(session) && !hf_session_reset(session, err))
        return false;
    for (int attempt = 1;; attempt++) {
        if (run_once(session, work, context, err))
            return true;
        if (err->code != HF_CONFLICT || attempt == ATTEMPTS_MAX)
            return false;
        pause_before_attempt(attempt + 1);
    }
}

static bool run_once(struct hf_session *session, hf_tx_fn *work, void *context, struct hf_error *err)
{
    if (!hf_session_begin(session, err))
        return false;
    if (work(session, context, err) && hf_session_commit(session, err))
        return true;
    hf_session_rollback(session);
    return false;
}

/* The other transaction needs a moment to end: 10, 20, 40, 80 ms. */
static void pause_before_attempt(int attempt)
{
    long pause_ms = (long)RETRY_PAUSE_MS << (attempt - 2);
    nanosleep(&(struct timespec){0, pause_ms * 1000000}, NULL);
}
