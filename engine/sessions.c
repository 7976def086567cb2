#include "engine/sessions.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cond.h"

#include <pthread.h>
#include <time.h>

#define WAIT_SECONDS 10

struct hf_sessions {
    struct hf_store *store;
    int max;
    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t freed;
    struct hf_session **idle;
    int idle_count, open_count;
};

struct hf_sessions *hf_sessions_new(struct hf_store *store, int max)
{
    struct hf_sessions *sessions = hf_alloc(sizeof *sessions);
    sessions->store = store;
    sessions->max = max;
    sessions->idle = hf_alloc((size_t)max * sizeof(void *));
    pthread_mutex_init(&sessions->lock, NULL);
    hf_cond_init(&sessions->freed);
    return sessions;
}

void hf_sessions_free(struct hf_sessions *sessions)
{
    if (!sessions)
        return;
    HF_ASSERT(sessions->idle_count == sessions->open_count);
    while (sessions->idle_count)
        hf_session_close(sessions->idle[--sessions->idle_count]);
    free(sessions->idle);
    pthread_cond_destroy(&sessions->freed);
    pthread_mutex_destroy(&sessions->lock);
    free(sessions);
}

static void forget(struct hf_sessions *sessions)
{
    pthread_mutex_lock(&sessions->lock);
    sessions->open_count--;
    pthread_mutex_unlock(&sessions->lock);
    pthread_cond_signal(&sessions->freed);
}

/* An idle session, or the right to open one (*out NULL). False when neither came in time. */
static bool reserve(struct hf_sessions *sessions, struct hf_session **out)
{
    uint64_t until_ns = hf_clock_monotonic_ns() + WAIT_SECONDS * HF_SECOND_NS;
    bool ok = true;
    pthread_mutex_lock(&sessions->lock);
    while (ok && !sessions->idle_count && sessions->open_count == sessions->max)
        ok = hf_cond_wait_until(&sessions->freed, &sessions->lock, until_ns);
    *out = NULL;
    if (sessions->idle_count) {
        *out = sessions->idle[--sessions->idle_count];
        ok = true;
    } else if (sessions->open_count < sessions->max) {
        sessions->open_count++;
        ok = true;
    }
    pthread_mutex_unlock(&sessions->lock);
    return ok;
}

bool hf_sessions_take(struct hf_sessions *sessions, struct hf_session **out, struct hf_error *err)
{
    struct hf_session *session;
    if (!reserve(sessions, &session))
        return hf_error_set(err, HF_OVERLOADED, "all %d database sessions for reading are busy; try again soon",
                            sessions->max);
    bool ok = session ? !hf_session_is_broken(session) || hf_session_reset(session, err)
                      : hf_session_open(&session, sessions->store, HF_SESSION_READ, err);
    if (ok) {
        *out = session;
        return true;
    }
    hf_session_close(session);
    forget(sessions);
    return false;
}

void hf_sessions_give(struct hf_sessions *sessions, struct hf_session *session)
{
    if (!session)
        return;
    hf_session_rollback(session);
    pthread_mutex_lock(&sessions->lock);
    sessions->idle[sessions->idle_count++] = session;
    pthread_mutex_unlock(&sessions->lock);
    pthread_cond_signal(&sessions->freed);
}
