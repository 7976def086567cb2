#include "engine/event_queue.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/fault.h"
#include "core/log.h"

#include <pthread.h>
#include <string.h>

#define EVENTS_MAX     10000
#define WRITE_PAUSE_NS (200 * HF_MS_NS)

struct event {
    struct event *next;
    struct hf_event_row row;
    char texts[]; /* what the row points to */
};

struct hf_event_queue {
    pthread_mutex_t lock; /* protects what follows */
    struct event *first, *last;
    int count;
    int64_t dropped;
    uint64_t written_ns;

    /* The committer's thread only: those whose commit gave no answer, and the newest event that was stored before. */
    struct event *unsure;
    int unsure_count;
    int64_t unsure_after_id;

    void (*written)(void *context, const struct hf_event_row *rows, int count); /* may be NULL */
    void *written_context;
};

struct hf_event_queue *hf_event_queue_new(void)
{
    struct hf_event_queue *queue = hf_alloc(sizeof *queue);
    pthread_mutex_init(&queue->lock, NULL);
    return queue;
}

void hf_event_queue_on_written(struct hf_event_queue *queue,
                               void (*written)(void *context, const struct hf_event_row *rows, int count),
                               void *context)
{
    queue->written = written;
    queue->written_context = context;
}

static void free_list(struct event *list)
{
    while (list) {
        struct event *next = list->next;
        free(list);
        list = next;
    }
}

void hf_event_queue_free(struct hf_event_queue *queue)
{
    if (!queue)
        return;
    free_list(queue->first);
    free_list(queue->unsure);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

void hf_event_queue_add(struct hf_event_queue *queue, int64_t system_id, int64_t at_ms, const char *severity,
                        const char *type, const char *text, const char *data_json)
{
    size_t bytes = strlen(severity) + strlen(type) + strlen(text) + strlen(data_json) + 4;
    struct event *event = hf_alloc(sizeof *event + bytes);
    char *cursor = event->texts;
    event->row = (struct hf_event_row){.system_id = system_id, .at_ms = at_ms};
    event->row.severity = hf_text_place(&cursor, severity);
    event->row.type = hf_text_place(&cursor, type);
    event->row.text = hf_text_place(&cursor, text);
    event->row.data = hf_text_place(&cursor, data_json);

    pthread_mutex_lock(&queue->lock);
    if (queue->last)
        queue->last->next = event;
    else
        queue->first = event;
    queue->last = event;
    struct event *oldest = NULL;
    if (++queue->count > EVENTS_MAX) {
        oldest = queue->first;
        queue->first = oldest->next;
        queue->count--;
        queue->dropped++;
    }
    pthread_mutex_unlock(&queue->lock);
    free(oldest);
}

bool hf_event_queue_is_due(struct hf_event_queue *queue, bool idle)
{
    pthread_mutex_lock(&queue->lock);
    bool due =
        queue->unsure || (queue->first && (idle || hf_clock_monotonic_ns() - queue->written_ns > WRITE_PAUSE_NS));
    pthread_mutex_unlock(&queue->lock);
    return due;
}

/* What could not be written goes back to the front, in order. */
static void put_back(struct hf_event_queue *queue, struct event *list, int count)
{
    struct event *last = list;
    while (last->next)
        last = last->next;
    pthread_mutex_lock(&queue->lock);
    last->next = queue->first;
    queue->first = list;
    if (!queue->last)
        queue->last = last;
    queue->count += count;
    pthread_mutex_unlock(&queue->lock);
}

static void tell_written(struct hf_event_queue *queue, const struct event *list, int count)
{
    HF_AUTO(free) struct hf_event_row *rows = hf_alloc((size_t)count * sizeof *rows);
    int i = 0;
    for (const struct event *event = list; event; event = event->next)
        rows[i++] = event->row;
    if (queue->written)
        queue->written(queue->written_context, rows, count);
}

/* Ids only grow and nobody else writes events: a newer one than there was before means that all of them are in. */
static bool settle_unsure(struct hf_event_queue *queue, struct hf_session *session, struct hf_error *err)
{
    int64_t newest_id;
    if (!queue->unsure)
        return true;
    if (!hf_events_newest(session, &newest_id, err))
        return false;
    if (newest_id > queue->unsure_after_id) {
        tell_written(queue, queue->unsure, queue->unsure_count);
        free_list(queue->unsure);
    } else {
        put_back(queue, queue->unsure, queue->unsure_count);
    }
    queue->unsure = NULL;
    queue->unsure_count = 0;
    return true;
}

static bool insert_list(struct hf_session *session, const struct event *list, int count, int64_t *newest_id_out,
                        struct hf_error *err)
{
    HF_AUTO(free) struct hf_event_row *rows = hf_alloc((size_t)count * sizeof *rows);
    int i = 0;
    for (const struct event *event = list; event; event = event->next)
        rows[i++] = event->row;
    if (!hf_session_begin(session, err) || !hf_events_newest(session, newest_id_out, err) ||
        !hf_events_insert(session, rows, count, err) || !hf_session_commit(session, err))
        return false;
    if (hf_fault("events_after_commit"))
        return hf_error_set(err, HF_OUTCOME_UNKNOWN, "fault point events_after_commit");
    return true;
}

bool hf_event_queue_write(struct hf_event_queue *queue, struct hf_session *session, struct hf_error *err)
{
    if (!settle_unsure(queue, session, err))
        return false;
    pthread_mutex_lock(&queue->lock);
    struct event *list = queue->first;
    int count = queue->count;
    int64_t dropped = queue->dropped, newest_id = 0;
    queue->first = queue->last = NULL;
    queue->count = 0;
    queue->dropped = 0;
    queue->written_ns = hf_clock_monotonic_ns();
    pthread_mutex_unlock(&queue->lock);
    if (dropped)
        hf_log(HF_LOG_WARNING, "events_dropped",
               "more events came than could be written; the oldest are in the log only",
               HF_LOG_NUMBER("count", dropped));
    if (!list)
        return true;

    bool ok = insert_list(session, list, count, &newest_id, err);
    if (ok) {
        tell_written(queue, list, count);
        free_list(list);
    } else if (err->code == HF_OUTCOME_UNKNOWN) {
        queue->unsure = list;
        queue->unsure_count = count;
        queue->unsure_after_id = newest_id;
    } else {
        put_back(queue, list, count);
    }
    return ok;
}
