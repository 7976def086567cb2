#include "engine/committer.h"

#include "core/arena.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/batch.h"
#include "engine/commit_queue.h"
#include "engine/engine.h"
#include "engine/event_queue.h"
#include "engine/events.h"
#include "engine/fold.h"
#include "engine/idempotency.h"
#include "store/systems.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define RESET_PAUSE_MS   100                /* between two attempts to reach the database again */
#define UNKNOWNS_SLOWEST 20                 /* pauses between commits without an outcome grow up to so many of these */
#define CONFLICTS_MAX    8                  /* serialization failures of one batch in a row */
#define SHARING_MAX      256                /* calls in one transaction */
#define HURRY_NS         (8 * HF_SECOND_NS) /* an unknown outcome is not waited for longer than this in a hurry */

struct hf_committer {
    struct hf_engine *engine;
    struct hf_session *session; /* the committer thread's */
    struct hf_batch batch;      /* the committer thread's */
    struct hf_fold *fold;       /* the committer thread's */
    bool full;                  /* the committer thread's: the last commit found no space */
    pthread_t thread;
    _Atomic bool store_up;
    _Atomic uint64_t hurry_since_ns; /* monotonic; 0: there is time */
    struct hf_commit_queue queue;
};

bool hf_committer_submit(struct hf_committer *committer, struct hf_write *write, struct hf_error *err)
{
    if (!hf_committer_store_is_up(committer))
        return hf_error_set(err, HF_STORE_DOWN, "the database is away; nothing was written, try again soon");
    write->queued_ns = hf_clock_monotonic_ns();
    return hf_commit_queue_push(&committer->queue, write, committer->engine->config->queue_jobs_max, err);
}

void hf_committer_wake(struct hf_committer *committer)
{
    hf_commit_queue_nudge(&committer->queue);
}

bool hf_committer_is_current(const struct hf_committer *committer)
{
    return pthread_equal(committer->thread, pthread_self());
}

int64_t hf_committer_queue_length(struct hf_committer *committer)
{
    return hf_commit_queue_length(&committer->queue);
}

/* ---- answering ---- */

static void finish(struct hf_write *write)
{
    char *answer = write->replayed_answer;
    write->done(write); /* may free the write */
    free(answer);
}

static void fail_write(struct hf_write *write, const struct hf_error *err)
{
    write->ok = false;
    write->error = *err;
    write->failed_item = -1;
    finish(write);
}

static void fail_list(struct hf_write *list, const struct hf_error *err)
{
    while (list) {
        struct hf_write *next = list->next;
        fail_write(list, err);
        list = next;
    }
}

/* ---- the state of the database ---- */

bool hf_committer_store_is_up(struct hf_committer *committer)
{
    return committer->store_up;
}

static void note_store(struct hf_committer *committer, bool up, const char *text)
{
    if (committer->store_up == up)
        return;
    committer->store_up = up;
    hf_metric_set(HF_M_STORE_UP, up);
    hf_event_emit(committer->engine, 0, "", up ? HF_EV_STORE_UP : HF_EV_STORE_DOWN, NULL, "%s", text);
}

static void note_failure(struct hf_committer *committer, const struct hf_error *err)
{
    hf_metric_add(HF_M_COMMIT_FAILURES, 1);
    if (err->code == HF_STORE_DOWN || err->code == HF_OUTCOME_UNKNOWN) {
        note_store(committer, false, err->text);
    } else if (err->code == HF_STORAGE_FULL && !committer->full) {
        committer->full = true;
        hf_event_emit(committer->engine, 0, "", HF_EV_STORE_FULL, NULL,
                      "%s; uploads are refused until there is space again", err->text);
    } else if (err->code != HF_STORAGE_FULL) {
        hf_log(HF_LOG_ERROR, "commit_failed", err->text, HF_LOG_TEXT("code", hf_code_name(err->code)));
    }
}

static bool try_reset(struct hf_committer *committer)
{
    struct hf_error err;
    if (hf_session_reset(committer->session, &err)) {
        hf_metric_add(HF_M_STORE_RECONNECTS, 1);
        note_store(committer, true, "the database answers again");
        return true;
    }
    note_store(committer, false, err.text);
    return false;
}

/* began_ns: of what is waited for. */
static bool patience_is_over(struct hf_committer *committer, uint64_t began_ns)
{
    uint64_t since_ns = committer->hurry_since_ns;
    if (since_ns && since_ns < began_ns)
        since_ns = began_ns;
    return since_ns && hf_clock_monotonic_ns() > since_ns + HURRY_NS;
}

static void nap(int64_t ms)
{
    struct timespec pause = {ms / 1000, (ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

/* A disk that cannot flush still answers questions: what tries again must not run hot meanwhile. */
static void nap_after_unknown(int *unknowns)
{
    if ((*unknowns)++)
        nap(RESET_PAUSE_MS * (*unknowns < UNKNOWNS_SLOWEST ? *unknowns : UNKNOWNS_SLOWEST));
}

/* Until the database is back. What waits meanwhile is told at once: it was not begun. */
static bool wait_for_store(struct hf_committer *committer, uint64_t began_ns)
{
    while (!try_reset(committer)) {
        struct hf_error away = {.code = HF_STORE_DOWN};
        hf_error_set(&away, HF_STORE_DOWN, "the database is away; nothing was written, try again soon");
        bool stopping;
        fail_list(hf_commit_queue_take(&committer->queue, 0, &stopping), &away);
        if (patience_is_over(committer, began_ns))
            return false;
        nap(RESET_PAUSE_MS);
    }
    return true;
}

/* Somebody else wrote to this system: what we hold in memory is not what the database says. Going on would answer
 * wrongly; starting anew reads everything afresh. Nothing acknowledged is lost by it. */
static _Noreturn void stop_on_foreign_writer(int64_t system_id)
{
    hf_log(HF_LOG_ERROR, "foreign_writer",
           "the database was changed by something other than this server; ending now, start it again",
           HF_LOG_NUMBER("system_id", system_id));
    _exit(70);
}

enum settled { SETTLED_IN, SETTLED_OUT, SETTLED_NEVER };

/* After a commit whose answer was lost: asks the database itself. */
static enum settled settle(struct hf_committer *committer, int64_t system_id, int64_t batch_id, int64_t old_sequence,
                           uint64_t began_ns)
{
    struct hf_error err;
    for (;;) {
        if (!wait_for_store(committer, began_ns))
            return SETTLED_NEVER;
        int64_t sequence, found_id;
        bool found;
        if (!hf_systems_outcome(committer->session, system_id, &sequence, &found_id, &found, &err)) {
            hf_session_rollback(committer->session);
            if (patience_is_over(committer, began_ns))
                return SETTLED_NEVER;
            nap(RESET_PAUSE_MS);
            continue;
        }
        hf_metric_add(HF_M_OUTCOMES_RESOLVED, 1);
        if (found && found_id == batch_id)
            return SETTLED_IN;
        if (!found ? old_sequence != 0 : sequence != old_sequence)
            stop_on_foreign_writer(system_id);
        return SETTLED_OUT;
    }
}

/* ---- one batch, one transaction ---- */

static bool commit_batch(struct hf_committer *committer, const struct hf_batch *batch, const struct hf_batch_key *key,
                         struct hf_error *err)
{
    const struct hf_system *witness = hf_batch_witness(batch);
    uint64_t began_ns = hf_clock_monotonic_ns();
    int conflicts = 0, unknowns = 0;
    for (;;) {
        if (hf_batch_write(batch, committer->session, key, err))
            return true;
        hf_session_rollback(committer->session);
        if (err->code == HF_CONFLICT && ++conflicts <= CONFLICTS_MAX)
            continue;
        note_failure(committer, err);
        if (err->code != HF_OUTCOME_UNKNOWN)
            return false;
        nap_after_unknown(&unknowns);
        if (!witness) { /* only a key: nothing depends on it, writing it again is harmless */
            if (!wait_for_store(committer, began_ns) || patience_is_over(committer, began_ns))
                return false;
            continue;
        }
        enum settled settled = settle(committer, witness->id, batch->batch_id, witness->sequence, began_ns);
        if (settled == SETTLED_IN)
            return true;
        if (settled == SETTLED_OUT && patience_is_over(committer, began_ns))
            return hf_error_set(err, HF_STORE_DOWN,
                                "the database could not commit, and the service is stopping; "
                                "nothing was written");
        if (settled == SETTLED_NEVER)
            return hf_error_set(err, HF_OUTCOME_UNKNOWN,
                                "the database went away during the commit and did not come back; the write may or may "
                                "not be stored: repeat it, identical content is stored once");
    }
}

static void emit_state_events(struct hf_committer *committer, const struct hf_write *write)
{
    for (int i = 0; write->ok && i < write->item_count; i++) {
        const struct hf_save_item *item = &write->items[i];
        if (!item->event)
            continue;
        hf_catalog_lock(committer->engine->catalog);
        struct hf_system *system = hf_catalog_find_system_locked(committer->engine->catalog, write->system);
        int64_t id = system ? system->id : 0;
        hf_catalog_unlock(committer->engine->catalog);
        HF_AUTO(free)
        char *data = hf_format("{\"component\":\"%s\",\"version\":%lld,\"sequence\":%lld}", item->component,
                               (long long)item->version, (long long)item->sequence);
        hf_event_emit(committer->engine, id, write->system, HF_EV_STATE, data, "%s: %s", item->component, item->event);
    }
}

static void emit_created_systems(struct hf_committer *committer, const struct hf_batch *batch)
{
    for (const struct hf_system *system = batch->systems; system; system = system->batch_next) {
        if (!system->stored)
            hf_event_emit(committer->engine, system->id, system->name, HF_EV_SYSTEM_CREATED, NULL,
                          "system %s came into being with its first upload", system->name);
    }
}

/* Commits what is in the batch and answers all of its writes. */
static void flush(struct hf_committer *committer, const struct hf_batch_key *key)
{
    struct hf_batch *batch = &committer->batch;
    if (!batch->first) {
        hf_batch_begin(batch);
        return;
    }
    struct hf_error err = {0};
    bool ok = true;
    if (batch->count || key->write) {
        uint64_t began_ns = hf_clock_monotonic_ns();
        ok = commit_batch(committer, batch, key, &err);
        hf_metric_add(HF_M_COMMITS, ok);
        hf_metric_observe(HF_M_COMMIT_SECONDS, (double)(hf_clock_monotonic_ns() - began_ns) / 1e9);
    }
    struct hf_write *list = batch->first;
    if (ok) {
        committer->full = false;
        emit_created_systems(committer, batch);
        hf_batch_publish(batch, committer->engine->catalog);
    } else {
        hf_batch_abandon(batch, committer->engine->catalog);
    }
    while (list) {
        struct hf_write *next = list->next;
        if (ok) {
            emit_state_events(committer, list);
            finish(list);
        } else {
            fail_write(list, &err);
        }
        list = next;
    }
    hf_batch_begin(batch);
}

static const struct hf_batch_key no_key = {0};

/* ---- uploads with an Idempotency-Key: alone in their transaction, with the stored answer ---- */

static bool look_up_key(struct hf_committer *committer, struct hf_write *write, bool *replay_out, struct hf_error *err)
{
    *replay_out = false;
    struct hf_system_info system;
    if (!hf_catalog_read_system(committer->engine->catalog, write->system, &system))
        return true;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    const struct hf_idempotency once = {write->idempotency_key, write->body_hash};
    const char *answer;
    if (!hf_idempotency_find(committer->session, system.id, &once, &arena, &answer, err))
        return false;
    *replay_out = answer != NULL;
    write->replayed_answer = answer ? hf_strdup(answer) : NULL;
    return true;
}

static void run_keyed(struct hf_committer *committer, struct hf_write *write)
{
    struct hf_error err;
    bool replay;
    if (!look_up_key(committer, write, &replay, &err)) {
        hf_session_rollback(committer->session);
        if (err.code != HF_IDEMPOTENCY_REUSED)
            note_failure(committer, &err);
        fail_write(write, &err);
        return;
    }
    if (replay) {
        write->ok = true;
        finish(write);
        return;
    }
    hf_batch_add(&committer->batch, committer->engine->catalog, write);
    HF_AUTO(free) char *answer = write->ok ? write->make_answer(write) : NULL;
    const struct hf_batch_key key = {write, answer};
    flush(committer, write->ok ? &key : &no_key);
}

/* ---- other changes ---- */

/* From first up to end, in one transaction. */
static bool attempt_calls(struct hf_committer *committer, const struct hf_write *first, const struct hf_write *end,
                          struct hf_error *err)
{
    bool ok = hf_session_begin(committer->session, err);
    for (const struct hf_write *write = first; ok && write != end; write = write->next)
        ok = write->call->run(committer->session, write->call->context, err);
    if (ok && hf_session_commit(committer->session, err))
        return true;
    hf_session_rollback(committer->session);
    return false;
}

static int64_t sequence_of(struct hf_committer *committer, int64_t system_id)
{
    hf_catalog_lock(committer->engine->catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(committer->engine->catalog, system_id);
    int64_t sequence = system ? system->sequence : 0;
    hf_catalog_unlock(committer->engine->catalog);
    return sequence;
}

/* maybe_in: an attempt before this had no certain outcome. began_ns: of the first attempt. */
static bool run_call(struct hf_committer *committer, const struct hf_write *write, bool maybe_in, uint64_t began_ns,
                     struct hf_error *err)
{
    const struct hf_call *call = write->call;
    for (int conflicts = 0, unknowns = 0;;) {
        if (attempt_calls(committer, write, write->next, err))
            return true;
        /* Run again after an unknown outcome, a unique violation means that the first attempt is in. */
        if (err->code == HF_CONFLICT && maybe_in && !call->system_id)
            return true;
        if (err->code == HF_CONFLICT && ++conflicts <= CONFLICTS_MAX)
            continue;
        bool broken = hf_session_is_broken(committer->session);
        if (broken || err->code == HF_STORAGE_FULL)
            note_failure(committer, err);
        if (err->code != HF_OUTCOME_UNKNOWN && !(maybe_in && broken)) {
            if (maybe_in) /* this attempt failed for certain, but the one before it may be in */
                err->code = HF_OUTCOME_UNKNOWN;
            return false;
        }
        maybe_in = true;
        nap_after_unknown(&unknowns);
        if (!call->system_id) {
            if (wait_for_store(committer, began_ns) && !patience_is_over(committer, began_ns))
                continue;
            err->code = HF_OUTCOME_UNKNOWN;
            return false;
        }
        enum settled settled =
            settle(committer, call->system_id, call->batch_id, sequence_of(committer, call->system_id), began_ns);
        if (settled != SETTLED_OUT)
            return settled == SETTLED_IN;
        if (patience_is_over(committer, began_ns))
            return hf_error_set(err, HF_STORE_DOWN,
                                "the database could not commit, and the service is stopping; "
                                "nothing was written");
        maybe_in = false;
    }
}

static void publish_call(struct hf_write *write)
{
    if (write->call->published)
        write->call->published(write->call->context);
    write->ok = true;
    finish(write);
}

static void run_call_job(struct hf_committer *committer, struct hf_write *write, bool maybe_in, uint64_t began_ns)
{
    struct hf_error err = {0};
    if (run_call(committer, write, maybe_in, began_ns, &err)) {
        publish_call(write);
        return;
    }
    if (write->call->abandoned)
        write->call->abandoned(write->call->context);
    fail_write(write, &err);
}

/* Those that share go to the disk together; when that fails each goes by itself, so that none fails for another.
 * Returns what comes after them. */
static struct hf_write *run_calls(struct hf_committer *committer, struct hf_write *first)
{
    struct hf_write *end = first->next;
    int count = 1;
    for (; first->call->shares && end && end->call && end->call->shares && count < SHARING_MAX; end = end->next)
        count++;
    struct hf_error err = {0};
    uint64_t began_ns = hf_clock_monotonic_ns();
    bool together = count > 1 && attempt_calls(committer, first, end, &err);
    for (struct hf_write *write = first, *next; write != end; write = next) {
        next = write->next;
        if (together)
            publish_call(write);
        else
            run_call_job(committer, write, err.code == HF_OUTCOME_UNKNOWN, began_ns);
    }
    return end;
}

/* ---- the thread ---- */

static bool is_expired(struct hf_committer *committer, const struct hf_write *write, uint64_t now_ns)
{
    return !write->call &&
           now_ns - write->queued_ns > (uint64_t)committer->engine->config->request_timeout_ms * HF_MS_NS;
}

static void process(struct hf_committer *committer, struct hf_write *list)
{
    hf_batch_begin(&committer->batch);
    uint64_t now_ns = hf_clock_monotonic_ns();
    while (list) {
        struct hf_write *write = list;
        list = write->next;
        if (is_expired(committer, write, now_ns)) {
            struct hf_error late;
            hf_error_set(&late, HF_OVERLOADED, "the write waited too long and was not begun");
            fail_write(write, &late);
        } else if (!committer->store_up) {
            struct hf_error away;
            hf_error_set(&away, HF_STORE_DOWN, "the database is away; nothing was written, try again soon");
            fail_write(write, &away);
        } else if (write->call) {
            flush(committer, &no_key);
            list = run_calls(committer, write);
        } else if (write->idempotency_key) {
            flush(committer, &no_key);
            run_keyed(committer, write);
        } else {
            hf_batch_add(&committer->batch, committer->engine->catalog, write);
            if (hf_batch_is_full(&committer->batch))
                flush(committer, &no_key);
        }
    }
    flush(committer, &no_key);
    hf_metric_set(HF_M_QUEUE_JOBS, (double)hf_committer_queue_length(committer));
}

static void write_events(struct hf_committer *committer)
{
    struct hf_error err;
    if (!hf_event_queue_write(committer->engine->events, committer->session, &err)) {
        hf_session_rollback(committer->session);
        note_failure(committer, &err);
    }
}

/* What is done between batches: events and folding. Returns how long the committer may sleep, -1 for ever. */
static int64_t keep_house(struct hf_committer *committer, bool idle)
{
    struct hf_error err;
    if (!committer->store_up && !try_reset(committer))
        return RESET_PAUSE_MS;
    if (hf_event_queue_is_due(committer->engine->events, idle))
        write_events(committer);
    int64_t wait_ms = hf_fold_wait_ms(committer->fold, committer->engine->catalog, hf_clock_monotonic_ns(), idle);
    if (wait_ms == 0) {
        if (!hf_fold_step(committer->fold, committer->engine->catalog, committer->session, &err)) {
            note_failure(committer, &err);
            return RESET_PAUSE_MS;
        }
        wait_ms = hf_fold_wait_ms(committer->fold, committer->engine->catalog, hf_clock_monotonic_ns(), idle);
    }
    return committer->store_up ? wait_ms : RESET_PAUSE_MS;
}

static void close_books(struct hf_committer *committer)
{
    struct hf_error err;
    if (!committer->store_up)
        return;
    write_events(committer);
    if (committer->store_up && !hf_fold_all(committer->fold, committer->engine->catalog, committer->session, &err))
        hf_log(HF_LOG_WARNING, "fold_failed", err.text);
}

static void *run(void *argument)
{
    struct hf_committer *committer = argument;
    struct hf_write *list = NULL;
    bool stopping = false;
    for (;;) {
        int64_t wait_ms = keep_house(committer, list == NULL);
        list = hf_commit_queue_take(&committer->queue, wait_ms, &stopping);
        if (!list && stopping)
            break;
        if (list)
            process(committer, list);
    }
    close_books(committer);
    return NULL;
}

bool hf_committer_start(struct hf_committer **out, struct hf_engine *engine, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_session_open(&session, engine->store, HF_SESSION_WRITE, err))
        return false;
    struct hf_committer *committer = hf_alloc(sizeof *committer);
    committer->engine = engine;
    committer->session = session;
    committer->fold = hf_fold_new();
    committer->store_up = true;
    hf_metric_set(HF_M_STORE_UP, 1);
    hf_batch_init(&committer->batch);
    hf_commit_queue_init(&committer->queue);
    *out = engine->committer = committer; /* before its thread begins: that one emits events, which wake it */
    HF_ASSERT(!pthread_create(&committer->thread, NULL, run, committer));
    pthread_setname_np(committer->thread, "hf-committer");
    return true;
}

void hf_committer_hurry(struct hf_committer *committer)
{
    uint64_t not_yet = 0;
    if (committer)
        atomic_compare_exchange_strong(&committer->hurry_since_ns, &not_yet, hf_clock_monotonic_ns());
}

void hf_committer_stop(struct hf_committer *committer)
{
    if (!committer)
        return;
    hf_committer_hurry(committer);
    hf_commit_queue_stop(&committer->queue);
    pthread_join(committer->thread, NULL);
    hf_session_close(committer->session);
    hf_batch_done(&committer->batch);
    hf_fold_free(committer->fold);
    hf_commit_queue_done(&committer->queue);
    free(committer);
}
