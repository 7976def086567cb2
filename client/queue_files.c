/* The files of states that are done with. One that cannot be removed is told of, and tried again: it must not be sent
 * another time, by a later process, over what is newer. A newer state of the component takes its place. */
#include "client/outbox_file.h"
#include "client/problem.h"
#include "client/queue_parts.h"
#include "client/retry.h"
#include "core/clock.h"

#define THE_DIRECTORY "." /* as the name of a file that something is told of */

/* What could not be cleared; error.code is empty where that was told before. */
struct left {
    struct hf_queue_entry *entry; /* NULL: it is gone */
    struct holdfast_error error;
};

static struct left *clear(struct holdfast_queue *queue, struct hf_queue_entry *const entries[], size_t count,
                          const char *suffix);
static void plan_retry(struct holdfast_queue *queue, bool failed);
static size_t take_left(struct holdfast_queue *queue, struct hf_queue_entry *out[], const char **suffix_out);

void hf_queue_clear_files(struct holdfast_queue *queue, struct hf_queue_entry *const entries[], size_t count,
                          const char *suffix)
{
    struct holdfast_error unsure;
    if (count == 0)
        return;
    HF_AUTO(free) struct left *left = clear(queue, entries, count, suffix);
    bool synced = hf_outbox_sync(queue->outbox, &unsure); /* once told, a state must not come back */
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < count; i++) {
        entries[i]->busy = false;
        if (left && left[i].entry) {
            hf_queue_note_left(entries[i], suffix);
            entries[i]->file_is_told = true;
        } else {
            hf_queue_note_gone(entries[i]);
        }
    }
    plan_retry(queue, left != NULL);
    bool tells_unsure = !synced && !queue->unsure_told;
    queue->unsure_told = queue->unsure_told || !synced;
    pthread_cond_broadcast(&queue->changed); /* others may write new ones, also who is told now */
    pthread_mutex_unlock(&queue->lock);
    for (size_t i = 0; left && i < count; i++)
        if (left[i].error.code[0])
            hf_queue_tell_file(queue, entries[i]->component, &left[i].error);
    if (tells_unsure)
        hf_queue_tell(queue, THE_DIRECTORY, NULL, &unsure);
}

void hf_queue_note_left(struct hf_queue_entry *entry, const char *suffix)
{
    entry->has_file = entry->file_is_left = true;
    entry->file_is_done = false;
    entry->file_suffix = suffix;
}

void hf_queue_note_gone(struct hf_queue_entry *entry)
{
    entry->has_file = entry->file_is_done = entry->file_is_left = entry->file_is_told = false;
}

void hf_queue_tell_file(struct holdfast_queue *queue, const char *component, const struct holdfast_error *err)
{
    char name[HF_OUTBOX_NAME_BYTES];
    hf_outbox_file_name(component, name);
    hf_queue_tell(queue, name, NULL, err);
}

/* As many at a time as a batch has, so that what waits is not held up for long; at the end all of them, once. */
bool hf_queue_retry_files(struct holdfast_queue *queue, bool at_end)
{
    struct hf_queue_entry *entries[HF_QUEUE_BATCH_MAX];
    size_t tries = queue->table.left_count;
    bool tried = false;
    while (tries > 0 && queue->table.left_count > 0 && (at_end || hf_clock_monotonic_ns() >= queue->files_at_ns)) {
        const char *suffix;
        size_t count = take_left(queue, entries, &suffix);
        pthread_mutex_unlock(&queue->lock);
        hf_queue_clear_files(queue, entries, count, suffix);
        pthread_mutex_lock(&queue->lock);
        for (size_t i = 0; i < count; i++) {
            entries[i]->savers--;
            hf_queue_table_place(&queue->table, entries[i], false);
        }
        tries -= count < tries ? count : tries;
        tried = true;
    }
    return tried;
}

/* NULL: all are gone. Owns: free(). */
static struct left *clear(struct holdfast_queue *queue, struct hf_queue_entry *const entries[], size_t count,
                          const char *suffix)
{
    struct left *left = NULL;
    for (size_t i = 0; i < count; i++) {
        struct holdfast_error err;
        const char *component = entries[i]->component;
        if (suffix ? hf_outbox_set_aside(queue->outbox, component, suffix, &err)
                   : hf_outbox_remove(queue->outbox, component, &err))
            continue;
        left = left ? left : hf_alloc(count * sizeof(*left));
        left[i] = (struct left){entries[i], err};
        if (entries[i]->file_is_told)
            left[i].error.code[0] = '\0';
    }
    return left;
}

/* The lock is held. */
static void plan_retry(struct holdfast_queue *queue, bool failed)
{
    queue->file_failures = failed ? queue->file_failures + 1 : 0;
    queue->files_at_ns = 0;
    if (!failed)
        return;
    int64_t pause_ms = hf_retry_pause_ms(queue->file_failures, hf_retry_random());
    queue->files_at_ns = hf_clock_monotonic_ns() + (uint64_t)pause_ms * HF_MS_NS;
    pthread_cond_signal(&queue->work); /* so that somebody looks at the time */
}

/* Those with one suffix; `busy`, and held on to. The lock is held. */
static size_t take_left(struct holdfast_queue *queue, struct hf_queue_entry *out[], const char **suffix_out)
{
    struct hf_queue_entry *entry = TAILQ_FIRST(&queue->table.left), *next;
    size_t count = 0;
    *suffix_out = entry->file_suffix;
    for (; entry && count < HF_QUEUE_BATCH_MAX; entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (entry->file_suffix != *suffix_out)
            continue;
        entry->busy = true;
        entry->savers++;
        hf_queue_table_place(&queue->table, entry, false);
        out[count++] = entry;
    }
    return count;
}
