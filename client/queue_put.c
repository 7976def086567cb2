/* The savers' side of a queue: bounds and what happens at them, the file, and coalescing. */
#include "client/problem.h"
#include "client/queue_parts.h"

#include <string.h>

static bool enter(struct holdfast_queue *queue, const struct hf_queue_state *state, struct holdfast_error *err);
static bool may_queue(struct holdfast_queue *queue, const char *component, struct holdfast_error *err);
static bool has_room(struct holdfast_queue *queue, const struct hf_queue_state *state);
static bool wait_for_room(struct holdfast_queue *queue, const struct hf_queue_state *state, struct holdfast_error *err);
static void drop_oldest(struct holdfast_queue *queue, const struct hf_queue_state *state);
static void give_way(struct holdfast_queue *queue, struct hf_queue_entry *entry);
static struct hf_queue_entry *take_entry(struct holdfast_queue *queue, const char *component);
static bool is_known(const struct hf_queue_entry *entry, const struct hf_queue_state *state);
static bool write_file(struct holdfast_queue *queue, struct hf_queue_entry *entry, const struct hf_queue_state *state,
                       struct holdfast_error *err);

bool hf_queue_put(struct holdfast_queue *queue, struct hf_queue_state *state, struct holdfast_error *err)
{
    pthread_mutex_lock(&queue->lock);
    bool ok = enter(queue, state, err);
    if (ok) {
        queue->counts.waiting++;
        queue->counts.waiting_bytes += state->bytes;
        struct hf_queue_entry *entry = take_entry(queue, state->component);
        state->unchanged = !entry->busy && is_known(entry, state);
        bool overtaken = state->captured && entry->asked > state->asked;
        if (overtaken) {
            ok = true;
        } else if (entry->busy) {
            ok = may_queue(queue, state->component, err);
        } else if (state->unchanged) {
            queue->counts.waiting_bytes -= state->bytes;
            state->bytes = 0;
            hf_blob_unref(state->data);
            state->data = NULL;
        } else if (queue->outbox) {
            ok = write_file(queue, entry, state, err);
        }
        entry->savers--;
        if (overtaken) {
            hf_queue_discard(queue, state);
            hf_queue_table_place(&queue->table, entry, false);
        } else if (ok) {
            queue->counts.queued++;
            entry->asked = state->asked > entry->asked ? state->asked : entry->asked;
            state->order = ++queue->order;
            hf_queue_publish(queue, entry, state);
        } else {
            hf_queue_discard(queue, state);
            hf_queue_table_place(&queue->table, entry, false);
        }
    } else {
        hf_queue_state_free(state);
    }
    pthread_cond_signal(&queue->work); /* also after a failure: what waits was passed over while its file was written */
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    return ok;
}

void hf_queue_ask(struct holdfast_queue *queue, const char *component)
{
    pthread_mutex_lock(&queue->lock);
    struct hf_queue_entry *entry = hf_queue_table_get(&queue->table, component);
    entry->asked = ++queue->asked;
    hf_queue_table_place(&queue->table, entry, false);
    pthread_mutex_unlock(&queue->lock);
}

void hf_queue_publish(struct holdfast_queue *queue, struct hf_queue_entry *entry, struct hf_queue_state *state)
{
    struct hf_queue_state *earlier = entry->pending;
    if (earlier) {
        hf_queue_state_keep_event(state, earlier);
        state->order = earlier->order;
        state->captured = state->captured && earlier->captured;
        state->unchanged = state->unchanged && !state->event[0];
        queue->counts.coalesced++;
        hf_queue_discard(queue, earlier);
    }
    entry->pending = state;
    hf_queue_table_place(&queue->table, entry, false);
}

void hf_queue_discard(struct holdfast_queue *queue, struct hf_queue_state *state)
{
    queue->counts.waiting--;
    queue->counts.waiting_bytes -= state->bytes;
    hf_queue_state_free(state);
}

/* True: the state may come in, by the bounds. The lock is held, but is released while waiting. */
static bool enter(struct holdfast_queue *queue, const struct hf_queue_state *state, struct holdfast_error *err)
{
    const struct holdfast_queue_options *options = &queue->options;
    if (!may_queue(queue, state->component, err))
        return false;
    if (state->bytes > options->bytes_max)
        return hf_problem_set(err, HF_QUEUE_FULL, false,
                              "component %s: a state of %zu bytes is more than the queue may hold (bytes_max is %zu)",
                              state->component, state->bytes, options->bytes_max);
    if (options->when_full == HOLDFAST_BLOCK && !pthread_equal(pthread_self(), queue->sender))
        return wait_for_room(queue, state, err);
    if (options->when_full == HOLDFAST_DROP_OLDEST) {
        drop_oldest(queue, state);
        return may_queue(queue, state->component, err); /* it was told, which takes as long as it takes */
    }
    if (!has_room(queue, state))
        return hf_problem_set(err, HF_QUEUE_FULL, true,
                              "component %s: the queue is full (%zu states, %zu bytes wait); save again later",
                              state->component, queue->counts.waiting, queue->counts.waiting_bytes);
    return true;
}

static bool may_queue(struct holdfast_queue *queue, const char *component, struct holdfast_error *err)
{
    if (hf_queue_is_cancelled(queue))
        return hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "component %s: the handle was cancelled", component);
    if (queue->stopping || (queue->closing && !hf_periodic_is_self(queue->periodic)))
        return hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "component %s: the queue is closed", component);
    return true;
}

/* A state that one of the same component makes way for needs no room of its own. */
static bool has_room(struct holdfast_queue *queue, const struct hf_queue_state *state)
{
    const struct hf_queue_entry *entry = hf_queue_table_find(&queue->table, state->component);
    const struct hf_queue_state *earlier = entry ? entry->pending : NULL;
    size_t states = queue->counts.waiting + 1 - (earlier ? 1 : 0);
    size_t bytes = queue->counts.waiting_bytes + state->bytes - (earlier ? earlier->bytes : 0);
    bool fewer = earlier && state->bytes <= earlier->bytes; /* an outbox may hold more than the bounds at first */
    return fewer || (states <= queue->options.states_max && bytes <= queue->options.bytes_max);
}

/* First come, first served: else a large state would wait for ever while small ones slip by. */
static bool wait_for_room(struct holdfast_queue *queue, const struct hf_queue_state *state, struct holdfast_error *err)
{
    uint64_t ticket = queue->ticket_next++;
    bool ok = true;
    while (ok && (ticket != queue->ticket_served || !has_room(queue, state))) {
        hf_queue_wait(queue);
        ok = may_queue(queue, state->component, err);
    }
    while (ticket != queue->ticket_served) /* those before it leave for the same reason */
        hf_queue_wait(queue);
    queue->ticket_served++;
    pthread_cond_broadcast(&queue->changed);
    return ok;
}

/* What is being sent cannot be dropped any more: for a moment there may be one batch over the bounds. Nor can, with an
 * outbox, what waits behind an earlier state of its component: the one file stands for both of them. */
static void drop_oldest(struct holdfast_queue *queue, const struct hf_queue_state *state)
{
    while (!has_room(queue, state)) {
        struct hf_queue_entry *oldest = NULL, *entry;
        TAILQ_FOREACH(entry, &queue->table.waiting, link)
        if (!entry->busy && !(queue->outbox && entry->sending) && strcmp(entry->component, state->component) != 0 &&
            (!oldest || entry->pending->order < oldest->pending->order))
            oldest = entry;
        if (!oldest)
            return;
        give_way(queue, oldest);
    }
}

/* Gives up what waits for the entry. Told by this thread: the sender may be busy for long, and what it would have to
 * tell has no bound. */
static void give_way(struct holdfast_queue *queue, struct hf_queue_entry *entry)
{
    HF_AUTO(free) char *component = hf_strdup(entry->component);
    struct holdfast_error told;
    hf_problem_set(&told, HF_QUEUE_FULL, true,
                   "component %s: the state was given up for newer ones, as the queue is full", component);
    hf_queue_discard(queue, entry->pending);
    entry->pending = NULL;
    queue->counts.given_up++;
    entry->savers++; /* so that it is not forgotten meanwhile */
    entry->busy = queue->outbox && entry->has_file;
    hf_queue_table_place(&queue->table, entry, false);
    if (entry->busy) {
        pthread_mutex_unlock(&queue->lock);
        hf_queue_clear_files(queue, &entry, 1, NULL);
        pthread_mutex_lock(&queue->lock);
    }
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    hf_queue_tell(queue, component, NULL, &told);
    pthread_mutex_lock(&queue->lock);
    entry->savers--;
    hf_queue_table_place(&queue->table, entry, false);
    pthread_cond_broadcast(&queue->changed);
}

/* The entry, when nobody else works on its file, or the queue stops; savers is raised. */
static struct hf_queue_entry *take_entry(struct holdfast_queue *queue, const char *component)
{
    struct hf_queue_entry *entry = hf_queue_table_get(&queue->table, component);
    entry->savers++;
    hf_queue_table_place(&queue->table, entry, false);
    while (entry->busy && !queue->stopping)
        hf_queue_wait(queue);
    return entry;
}

/* Whether it was captured again as it was last acknowledged, and nothing else is on its way or on disk. */
static bool is_known(const struct hf_queue_entry *entry, const struct hf_queue_state *state)
{
    return state->captured && entry->acknowledged && !entry->pending && !entry->sending && !entry->has_file &&
           !state->event[0] && entry->epoch == state->epoch && hf_hash_equal(&entry->hash, &state->hash) &&
           strcmp(entry->content_type, state->content_type) == 0;
}

/* The lock is held, but released while writing. The file has the event of what is being sent, too: should that fail and
 * the process die, the event is not lost; at worst, it is there twice. */
static bool write_file(struct holdfast_queue *queue, struct hf_queue_entry *entry, const struct hf_queue_state *state,
                       struct holdfast_error *err)
{
    struct hf_queue_state written = *state;
    if (entry->pending)
        hf_queue_state_keep_event(&written, entry->pending);
    if (entry->sending)
        hf_queue_state_keep_event(&written, entry->sending);
    entry->busy = true;
    pthread_mutex_unlock(&queue->lock);
    bool ok = hf_outbox_put(queue->outbox, &written, err);
    pthread_mutex_lock(&queue->lock);
    if (ok) {
        hf_queue_note_gone(entry);
        entry->has_file = true;
    } else if (entry->file_is_done || !entry->has_file) { /* nothing waits that the file could stand for */
        pthread_mutex_unlock(&queue->lock);
        bool gone = hf_outbox_remove(queue->outbox, entry->component, NULL);
        pthread_mutex_lock(&queue->lock);
        if (gone)
            hf_queue_note_gone(entry);
        else
            hf_queue_note_left(entry, NULL); /* told by the sender, which tries again */
    }
    entry->busy = false;
    return ok;
}
