/* What becomes of states that were being sent. Files are worked on, and free again, before it is told: who is told may
 * save the component at once. It is told before flush returns. */
#include "client/problem.h"
#include "client/queue_parts.h"

#include <string.h>

static void remember(struct hf_queue_entry *entry, const struct holdfast_receipt *receipt);
static bool take_file(struct holdfast_queue *queue, struct hf_queue_entry *entry);
static void finish(struct holdfast_queue *queue, struct hf_queue_entry *entry);

void hf_queue_acknowledge(struct holdfast_queue *queue, struct hf_queue_entry *const entries[],
                          const struct holdfast_receipt receipts[], size_t count)
{
    struct hf_queue_entry *cleared[HF_QUEUE_BATCH_MAX];
    size_t cleared_count = 0;
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < count; i++) {
        remember(entries[i], &receipts[i]);
        if (take_file(queue, entries[i]))
            cleared[cleared_count++] = entries[i];
    }
    pthread_mutex_unlock(&queue->lock);
    /* Once told, a state must not come back: the program may go on to save the component another way. */
    hf_queue_clear_files(queue, cleared, cleared_count, NULL);
    for (size_t i = 0; i < count; i++)
        hf_queue_tell(queue, entries[i]->component, &receipts[i], NULL);
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < count; i++) {
        if (receipts[i].unchanged)
            queue->counts.unchanged++;
        else
            queue->counts.stored++;
        finish(queue, entries[i]);
    }
    pthread_mutex_unlock(&queue->lock);
}

void hf_queue_give_up(struct holdfast_queue *queue, struct hf_queue_entry *entry, const struct holdfast_error *err,
                      const char *suffix)
{
    pthread_mutex_lock(&queue->lock);
    bool had_file = suffix && take_file(queue, entry);
    pthread_mutex_unlock(&queue->lock);
    hf_queue_clear_files(queue, &entry, had_file ? 1 : 0, suffix);
    hf_queue_tell(queue, entry->component, NULL, err);
    pthread_mutex_lock(&queue->lock);
    queue->counts.given_up++;
    entry->failures = 0;
    finish(queue, entry);
    pthread_mutex_unlock(&queue->lock);
}

void hf_queue_put_back(struct holdfast_queue *queue, struct hf_queue_entry *const entries[], size_t count, bool first)
{
    pthread_mutex_lock(&queue->lock);
    for (size_t i = count; i-- > 0;) { /* the last one first, so that the first one comes out at the front */
        struct hf_queue_entry *entry = entries[i];
        struct hf_queue_state *state = entry->sending, *newer = entry->pending;
        entry->sending = NULL;
        queue->counts.retried += !atomic_load(&queue->stop);
        if (newer) { /* never overtaken by what is older */
            hf_queue_state_keep_event(newer, state);
            newer->order = state->order;
            newer->captured = newer->captured && state->captured;
            queue->counts.coalesced++;
            hf_queue_discard(queue, state);
        } else {
            entry->pending = state;
        }
        hf_queue_table_place(&queue->table, entry, first && !newer);
    }
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

void hf_queue_lose_rest(struct holdfast_queue *queue)
{
    struct holdfast_error told;
    pthread_mutex_lock(&queue->lock);
    bool cancelled = hf_queue_is_cancelled(queue);
    for (struct hf_queue_entry *entry; (entry = TAILQ_FIRST(&queue->table.waiting));) {
        entry->sending = entry->pending;
        entry->pending = NULL;
        queue->lost++;
        hf_queue_table_place(&queue->table, entry, false);
        pthread_mutex_unlock(&queue->lock);
        hf_problem_set(&told, cancelled ? HF_PROBLEM_CANCELLED : HF_PROBLEM_TIMED_OUT, false,
                       "component %s: the queue was closed before the state could be stored; it is lost",
                       entry->component);
        hf_queue_give_up(queue, entry, &told, NULL);
        pthread_mutex_lock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
}

static void remember(struct hf_queue_entry *entry, const struct holdfast_receipt *receipt)
{
    const struct hf_queue_state *state = entry->sending;
    entry->failures = 0;
    if (state->unchanged)
        return;
    entry->acknowledged = true;
    entry->hash = state->hash;
    entry->epoch = state->epoch;
    entry->receipt = *receipt;
    memcpy(entry->content_type, state->content_type, sizeof(entry->content_type));
}

/* True: the file holds what was being sent, and is ours until hf_queue_clear_files. A newer state may have its place
 * already; one that is just being written is left to who writes it. */
static bool take_file(struct holdfast_queue *queue, struct hf_queue_entry *entry)
{
    if (!queue->outbox || !entry->has_file || entry->pending)
        return false;
    if (entry->busy) {
        entry->file_is_done = true;
        return false;
    }
    entry->busy = true;
    return true;
}

static void finish(struct holdfast_queue *queue, struct hf_queue_entry *entry)
{
    hf_queue_discard(queue, entry->sending);
    entry->sending = NULL;
    hf_queue_table_place(&queue->table, entry, false);
    pthread_cond_broadcast(&queue->changed);
}
