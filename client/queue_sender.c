/* The sender of a queue: gathers what waits, sends it, and decides by the answer what happens next. */
#include "client/handle.h"
#include "client/problem.h"
#include "client/queue_parts.h"
#include "client/retry.h"
#include "client/states.h"
#include "core/clock.h"

#include <string.h>

#define BATCH_BYTES_MAX  (4 * 1024 * 1024)
#define SINGLE_BYTES     (256 * 1024) /* from this size on a state is sent alone: perhaps as a difference */
#define HURRIED_PAUSE_MS 500          /* somebody waits for the end of it */

/* What to do about a failure. */
enum verdict {
    LATER,      /* the service is away: nothing can be sent */
    ITEM_LATER, /* this may do later, others now */
    GIVE_UP,
    END /* of the queue, or of the handle */
};

static void tell_damaged(struct holdfast_queue *queue);
static bool pick(struct holdfast_queue *queue, uint64_t *wake_ns_out);
static bool pick_unchanged(struct holdfast_queue *queue);
static bool is_acknowledged(const struct hf_queue_entry *entry);
static uint64_t due_ns(const struct holdfast_queue *queue, const struct hf_queue_entry *entry);
static bool goes_alone(const struct hf_queue_state *state);
static void take(struct holdfast_queue *queue, struct hf_queue_entry *entry);
static void send_batch(struct holdfast_queue *queue);
static void doubt(struct holdfast_queue *queue);
static void tell_unchanged(struct holdfast_queue *queue);
static void read_files(struct holdfast_queue *queue);
static bool read_file(struct holdfast_queue *queue, struct hf_queue_entry *entry);
static void send_together(struct holdfast_queue *queue);
static void send_singly(struct holdfast_queue *queue);
static struct holdfast_item item_of(const struct hf_queue_state *state);
static enum verdict judge(const struct holdfast_error *err, const struct hf_states_answer *answer);
static bool is_by_other(const struct holdfast_error *err, const struct hf_states_answer *answer);
static void note_success(struct holdfast_queue *queue);
static void pause_all(struct holdfast_queue *queue, struct hf_queue_entry *const entries[], size_t count,
                      const struct hf_states_answer *answer);
static void pause_one(struct holdfast_queue *queue, struct hf_queue_entry *entry, int64_t after_ms);
static uint64_t pause_end_ns(const struct holdfast_queue *queue, int failures, int64_t after_ms);
static void refuse(struct holdfast_queue *queue, struct hf_queue_entry *entry, const struct holdfast_error *err);

void *hf_queue_run_sender(void *argument)
{
    struct holdfast_queue *queue = argument;
    tell_damaged(queue);
    pthread_mutex_lock(&queue->lock);
    while (!atomic_load(&queue->stop)) {
        uint64_t wake_ns = queue->table.left_count > 0 ? queue->files_at_ns : UINT64_MAX;
        if (hf_queue_retry_files(queue, false))
            continue;
        if (!hf_queue_is_cancelled(queue) && pick(queue, &wake_ns)) {
            pthread_mutex_unlock(&queue->lock);
            send_batch(queue);
            pthread_mutex_lock(&queue->lock);
        } else if (wake_ns == UINT64_MAX) {
            pthread_cond_wait(&queue->work, &queue->lock);
        } else {
            struct timespec wake = {.tv_sec = (time_t)(wake_ns / HF_SECOND_NS),
                                    .tv_nsec = (long)(wake_ns % HF_SECOND_NS)};
            pthread_cond_timedwait(&queue->work, &queue->lock, &wake);
        }
    }
    queue->batch.count = 0;
    while (pick_unchanged(queue)) {
        pthread_mutex_unlock(&queue->lock);
        tell_unchanged(queue);
        pthread_mutex_lock(&queue->lock);
        queue->batch.count = 0;
    }
    (void)hf_queue_retry_files(queue, true);
    pthread_mutex_unlock(&queue->lock);
    if (!queue->outbox)
        hf_queue_lose_rest(queue);
    pthread_mutex_lock(&queue->lock);
    queue->sender_ended = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    hf_queue_release(queue);
    return NULL;
}

static void tell_damaged(struct holdfast_queue *queue)
{
    pthread_mutex_lock(&queue->lock); /* the thread that started this one has written all */
    pthread_mutex_unlock(&queue->lock);
    for (size_t i = 0; i < queue->damaged_count; i++)
        hf_queue_tell(queue, queue->damaged[i].file, NULL, &queue->damaged[i].told);
}

/* Fills the batch with what can be sent, or told, now; else says when to look again. The lock is held. */
static bool pick(struct holdfast_queue *queue, uint64_t *wake_ns_out)
{
    struct hf_queue_batch *batch = &queue->batch;
    struct hf_queue_entry *entry, *next;
    const struct hf_queue_state *first = NULL;
    uint64_t now_ns = hf_clock_monotonic_ns();
    size_t bytes = 0;
    batch->count = 0;
    if (pick_unchanged(queue))
        return true;
    for (entry = TAILQ_FIRST(&queue->table.waiting); entry && batch->count < HF_QUEUE_BATCH_MAX; entry = next) {
        next = TAILQ_NEXT(entry, link);
        const struct hf_queue_state *state = entry->pending;
        uint64_t at_ns = due_ns(queue, entry);
        if (entry->busy)
            continue;
        if (at_ns > now_ns) {
            *wake_ns_out = at_ns < *wake_ns_out ? at_ns : *wake_ns_out;
            continue;
        }
        if (first && (goes_alone(state) || state->epoch != first->epoch || bytes + state->bytes > BATCH_BYTES_MAX))
            continue;
        first = first ? first : state;
        bytes += state->bytes;
        entry->not_before_ns = now_ns + (uint64_t)queue->options.interval_ms * HF_MS_NS;
        take(queue, entry);
        if (goes_alone(first))
            break;
    }
    return batch->count > 0;
}

static bool pick_unchanged(struct holdfast_queue *queue)
{
    struct hf_queue_batch *batch = &queue->batch;
    struct hf_queue_entry *entry, *next;
    for (entry = TAILQ_FIRST(&queue->table.waiting); entry && batch->count < HF_QUEUE_BATCH_MAX; entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (!entry->busy && is_acknowledged(entry))
            take(queue, entry);
    }
    batch->unchanged = batch->count > 0;
    return batch->unchanged;
}

static bool is_acknowledged(const struct hf_queue_entry *entry)
{
    const struct hf_queue_state *state = entry->pending;
    return state->unchanged ||
           (state->captured && entry->acknowledged && state->data && !state->event[0] && entry->epoch == state->epoch &&
            hf_hash_equal(&entry->hash, &state->hash) && strcmp(entry->content_type, state->content_type) == 0);
}

static uint64_t due_ns(const struct holdfast_queue *queue, const struct hf_queue_entry *entry)
{
    uint64_t at_ns = queue->retry_at_ns > entry->retry_at_ns ? queue->retry_at_ns : entry->retry_at_ns;
    return queue->hurrying == 0 && entry->not_before_ns > at_ns ? entry->not_before_ns : at_ns;
}

/* Batches know no events, and one condition or one large body would hold up all the others. */
static bool goes_alone(const struct hf_queue_state *state)
{
    return state->event[0] || state->bytes >= SINGLE_BYTES;
}

static void take(struct holdfast_queue *queue, struct hf_queue_entry *entry)
{
    entry->sending = entry->pending;
    entry->pending = NULL;
    hf_queue_table_place(&queue->table, entry, false);
    queue->batch.entries[queue->batch.count++] = entry;
}

/* From here on the lock is not held. */
static void send_batch(struct holdfast_queue *queue)
{
    if (queue->batch.unchanged) {
        tell_unchanged(queue);
        return;
    }
    read_files(queue);
    if (atomic_load(&queue->stop)) { /* while something was told: the handle may be gone */
        hf_queue_put_back(queue, queue->batch.entries, queue->batch.count, true);
        return;
    }
    doubt(queue);
    queue->batch.place = hf_states_next_place(queue->service); /* the same should they go singly then */
    if (queue->batch.count > 1)
        send_together(queue);
    else
        send_singly(queue);
}

/* From now on the service may hold what is sent, answer or not: what it acknowledged before is no longer known to be
 * the present, and capturing that again is a change. */
static void doubt(struct holdfast_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < queue->batch.count; i++)
        queue->batch.entries[i]->acknowledged = false;
    pthread_mutex_unlock(&queue->lock);
}

static void tell_unchanged(struct holdfast_queue *queue)
{
    struct hf_queue_batch *batch = &queue->batch;
    for (size_t i = 0; i < batch->count; i++) {
        batch->receipts[i] = batch->entries[i]->receipt;
        batch->receipts[i].unchanged = true;
    }
    hf_queue_acknowledge(queue, batch->entries, batch->receipts, batch->count);
}

/* Those of an earlier process are still in their files alone. What cannot be read leaves the batch. */
static void read_files(struct holdfast_queue *queue)
{
    struct hf_queue_batch *batch = &queue->batch;
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->entries[i]->sending->data || read_file(queue, batch->entries[i]))
            batch->entries[kept++] = batch->entries[i];
    batch->count = kept;
}

static bool read_file(struct holdfast_queue *queue, struct hf_queue_entry *entry)
{
    struct hf_queue_state *state = NULL, *listed = entry->sending;
    struct holdfast_error err;
    enum hf_outbox_reading reading = hf_outbox_read(queue->outbox, entry->component, &state, &err);
    if (reading == HF_OUTBOX_DAMAGED || reading == HF_OUTBOX_GONE) {
        hf_queue_give_up(queue, entry, &err, ".damaged");
        return false;
    }
    if (reading == HF_OUTBOX_LATER) {
        if (entry->failures == 0)
            hf_queue_tell_file(queue, entry->component, &err);
        pause_one(queue, entry, 0);
        return false;
    }
    /* A saver has replaced the file meanwhile, or is about to: that is what is sent then. One that was replaced in
     * vain, as its directory could not be written, holds all that there is of the component: but it has an epoch and an
     * event of its own, and was picked by those of another. */
    bool replaced = state->epoch != listed->epoch || state->queued_at_ms != listed->queued_at_ms ||
                    state->bytes != listed->bytes || strcmp(state->event, listed->event) != 0;
    pthread_mutex_lock(&queue->lock);
    bool awaited = replaced && (entry->pending || entry->busy);
    if (!awaited) {
        state->order = listed->order;
        entry->sending = state;
        queue->counts.waiting_bytes = queue->counts.waiting_bytes - listed->bytes + state->bytes;
    }
    pthread_mutex_unlock(&queue->lock);
    hf_queue_state_free(awaited ? state : listed);
    if (replaced)
        hf_queue_put_back(queue, &entry, 1, false);
    return !replaced;
}

/* One bad state must not fail the others: what fails together, and is not the service's trouble, is sent singly. A
 * stale epoch is the same for all of them. */
static void send_together(struct holdfast_queue *queue)
{
    struct hf_queue_batch *batch = &queue->batch;
    struct hf_states_answer answer = {0};
    struct hf_states_terms terms = {
        .epoch = batch->entries[0]->sending->epoch,
        .stop = &queue->stop,
        .answer = &answer,
        .place = batch->place,
    };
    struct holdfast_error err = {0};
    for (size_t i = 0; i < batch->count; i++)
        batch->items[i] = item_of(batch->entries[i]->sending);
    if (hf_states_save_all(queue->service, &terms, batch->items, batch->count, batch->receipts, &err)) {
        note_success(queue);
        hf_queue_acknowledge(queue, batch->entries, batch->receipts, batch->count);
        return;
    }
    enum verdict verdict = judge(&err, &answer);
    if (verdict == LATER && !is_by_other(&err, &answer))
        pause_all(queue, batch->entries, batch->count, &answer);
    else if (verdict == END)
        hf_queue_put_back(queue, batch->entries, batch->count, true);
    else if (hf_problem_is(&err, "stale_epoch"))
        for (size_t i = 0; i < batch->count; i++)
            refuse(queue, batch->entries[i], &err);
    else
        send_singly(queue);
}

static void send_singly(struct holdfast_queue *queue)
{
    struct hf_queue_batch *batch = &queue->batch;
    for (size_t i = 0; i < batch->count; i++) {
        struct hf_queue_entry *entry = batch->entries[i];
        if (atomic_load(&queue->stop)) { /* while something was told: the handle may be gone */
            hf_queue_put_back(queue, batch->entries + i, batch->count - i, true);
            return;
        }
        const struct hf_queue_state *state = entry->sending;
        struct hf_states_answer answer = {0};
        struct hf_states_terms terms = {
            .epoch = state->epoch,
            .stop = &queue->stop,
            .answer = &answer,
            .place = batch->place,
        };
        struct holdfast_item item = item_of(state);
        struct holdfast_error err = {0};
        if (hf_states_save(queue->service, &terms, item.component, item.data, item.bytes, &item.options,
                           &batch->receipts[i], &err)) {
            note_success(queue);
            hf_queue_acknowledge(queue, &entry, &batch->receipts[i], 1);
            continue;
        }
        enum verdict verdict = judge(&err, &answer);
        if (verdict == GIVE_UP) {
            refuse(queue, entry, &err);
        } else if (verdict == ITEM_LATER) {
            pause_one(queue, entry, answer.retry_after_ms);
        } else {
            if (verdict == LATER)
                pause_all(queue, batch->entries + i, batch->count - i, &answer);
            else
                hf_queue_put_back(queue, batch->entries + i, batch->count - i, true);
            return;
        }
    }
}

static struct holdfast_item item_of(const struct hf_queue_state *state)
{
    return (struct holdfast_item){.component = state->component,
                                  .data = state->data->data,
                                  .bytes = state->bytes,
                                  .options = {.content_type = state->content_type[0] ? state->content_type : NULL,
                                              .event = state->event[0] ? state->event : NULL,
                                              .event_snapshot = state->snapshot}};
}

/* What may have arrived all the same is sent again as well: the same content is one version. Short memory says nothing
 * about a state, nor does what a proxy or a stranger answers in the place of the service: only its own word ends one.
 */
static enum verdict judge(const struct holdfast_error *err, const struct hf_states_answer *answer)
{
    static const char *const passing[] = {HF_PROBLEM_UNREACHABLE, HF_PROBLEM_TIMED_OUT, HF_PROBLEM_UNKNOWN,
                                          HF_PROBLEM_NO_MEMORY};
    bool again = err->retryable || is_by_other(err, answer);
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
        again = again || hf_problem_is(err, passing[i]);
    if (hf_problem_is(err, HF_PROBLEM_CANCELLED))
        return END;
    if (!again)
        return GIVE_UP;
    /* A stranger's refusal may be about this one: a proxy that takes no large bodies. */
    bool refused = err->status >= 400 && err->status < 500 && err->status != 429;
    bool away = err->status == 429 || (err->status >= 502 && err->status <= 504);
    return away || err->status == 0 || (is_by_other(err, answer) && !refused) ? LATER : ITEM_LATER;
}

static bool is_by_other(const struct holdfast_error *err, const struct hf_states_answer *answer)
{
    bool overloaded = err->status == 429 || (err->status >= 502 && err->status <= 504);
    return hf_problem_is(err, HF_PROBLEM_BAD_ANSWER) || (err->status >= 400 && !overloaded && !answer->by_service);
}

static void note_success(struct holdfast_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->failures = 0;
    pthread_mutex_unlock(&queue->lock);
}

static void pause_all(struct holdfast_queue *queue, struct hf_queue_entry *const entries[], size_t count,
                      const struct hf_states_answer *answer)
{
    pthread_mutex_lock(&queue->lock);
    queue->retry_at_ns = pause_end_ns(queue, ++queue->failures, answer->retry_after_ms);
    queue->told_until_ns = answer->retry_after_ms > 0 ? queue->retry_at_ns : 0;
    pthread_mutex_unlock(&queue->lock);
    hf_queue_put_back(queue, entries, count, true);
}

static void pause_one(struct holdfast_queue *queue, struct hf_queue_entry *entry, int64_t after_ms)
{
    pthread_mutex_lock(&queue->lock);
    entry->retry_at_ns = pause_end_ns(queue, ++entry->failures, after_ms);
    pthread_mutex_unlock(&queue->lock);
    hf_queue_put_back(queue, &entry, 1, false);
}

/* Who hurries waits no less than the service asked for. */
static uint64_t pause_end_ns(const struct holdfast_queue *queue, int failures, int64_t after_ms)
{
    int64_t pause_ms = hf_retry_pause_ms(failures, hf_retry_random());
    if (queue->hurrying > 0 && pause_ms > HURRIED_PAUSE_MS)
        pause_ms = HURRIED_PAUSE_MS;
    if (after_ms > pause_ms)
        pause_ms = hf_retry_pause_after_ms(failures, hf_retry_random(), after_ms);
    return hf_clock_monotonic_ns() + (uint64_t)pause_ms * HF_MS_NS;
}

/* A token that is not good enough says nothing about the state: an outbox keeps it for a process that has another. */
static void refuse(struct holdfast_queue *queue, struct hf_queue_entry *entry, const struct holdfast_error *err)
{
    bool token = hf_problem_is(err, "unauthorized") || hf_problem_is(err, "forbidden");
    hf_queue_give_up(queue, entry, err, token ? NULL : ".refused");
}
