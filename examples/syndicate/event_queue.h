/* The event queue: what happened in the collective in real time, processed in order, a few in each step. */
#ifndef SYNDICATE_EVENT_QUEUE_H
#define SYNDICATE_EVENT_QUEUE_H

#include "fields.h"
#include "part.h"

enum {
    EVENTS_PENDING = 32,
    EVENTS_DONE = 16,
};

struct happening {
    int64_t id;
    int64_t step; /* when it happened */
    char what[32];
    char source[32];
};

struct event_queue {
    struct part part;
    struct happening pending[EVENTS_PENDING]; /* oldest first */
    size_t pending_count;
    struct happening done[EVENTS_DONE]; /* the last ones, oldest first */
    size_t done_count;
    int64_t received, processed, dropped;
    int64_t longest_wait; /* steps */
};

/* A full queue drops the event and counts it. */
void event_queue_push(struct event_queue *queue, const char *what, const char *source, int64_t step);
void event_queue_step(struct event_queue *queue, int64_t step);

void event_queue_write(const void *part, json_t *to);
void event_queue_read(void *part, struct reading *from);

#endif
