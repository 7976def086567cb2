#include "event_queue.h"

#include <stdio.h>
#include <string.h>

enum { PER_STEP = 2 };

static struct happening take_first(struct happening *list, size_t *count)
{
    struct happening first = list[0];
    memmove(list, list + 1, --*count * sizeof(list[0]));
    return first;
}

void event_queue_push(struct event_queue *queue, const char *what, const char *source, int64_t step)
{
    queue->part.changed = true;
    queue->received++;
    if (queue->pending_count == EVENTS_PENDING) {
        queue->dropped++;
        return;
    }
    struct happening *event = &queue->pending[queue->pending_count++];
    *event = (struct happening){.id = queue->received, .step = step};
    snprintf(event->what, sizeof(event->what), "%s", what);
    snprintf(event->source, sizeof(event->source), "%s", source);
}

void event_queue_step(struct event_queue *queue, int64_t step)
{
    for (int i = 0; i < PER_STEP && queue->pending_count > 0; i++) {
        struct happening event = take_first(queue->pending, &queue->pending_count);
        if (queue->done_count == EVENTS_DONE)
            take_first(queue->done, &queue->done_count);
        queue->done[queue->done_count++] = event;
        queue->processed++;
        if (step - event.step > queue->longest_wait)
            queue->longest_wait = step - event.step;
        queue->part.changed = true;
    }
}

static void write_list(json_t *to, const char *key, const struct happening *events, size_t count)
{
    json_t *list = put_list(to, key);
    for (size_t i = 0; i < count; i++) {
        json_t *event = add_object(list);
        put_integer(event, "id", events[i].id);
        put_integer(event, "step", events[i].step);
        put_text(event, "what", events[i].what);
        put_text(event, "source", events[i].source);
    }
}

static size_t read_list(struct reading *from, const char *key, struct happening *out, size_t most)
{
    size_t count = get_list(from, key, 0, most);
    for (size_t i = 0; i < count; i++) {
        struct reading inner = reading_enter(from, key, i);
        out[i].id = get_integer(&inner, "id", 1, INT64_MAX);
        out[i].step = get_integer(&inner, "step", 0, INT64_MAX);
        get_text(&inner, "what", out[i].what, sizeof(out[i].what));
        get_text(&inner, "source", out[i].source, sizeof(out[i].source));
        reading_leave(from, &inner, key, i);
    }
    return count;
}

void event_queue_write(const void *part, json_t *to)
{
    const struct event_queue *queue = part;
    put_integer(to, "received", queue->received);
    put_integer(to, "processed", queue->processed);
    put_integer(to, "dropped", queue->dropped);
    put_integer(to, "longestWait", queue->longest_wait);
    write_list(to, "pending", queue->pending, queue->pending_count);
    write_list(to, "done", queue->done, queue->done_count);
}

void event_queue_read(void *part, struct reading *from)
{
    struct event_queue *queue = part;
    queue->received = get_integer(from, "received", 0, INT64_MAX);
    queue->processed = get_integer(from, "processed", 0, INT64_MAX);
    queue->dropped = get_integer(from, "dropped", 0, INT64_MAX);
    queue->longest_wait = get_integer(from, "longestWait", 0, INT64_MAX);
    queue->pending_count = read_list(from, "pending", queue->pending, EVENTS_PENDING);
    queue->done_count = read_list(from, "done", queue->done, EVENTS_DONE);
}
