/* The one thread behind all streams of events. It reads what the database holds after each stream's last event and
 * writes that into the stream's pipe, so a stream has every event once, in the order of the ids, wherever it begins and
 * however slowly its client reads. It waits for no client: a stream whose pipe is full is taken up again when there is
 * room. Streams at the same place share what is read. */
#ifndef HF_ENGINE_EVENT_FEED_H
#define HF_ENGINE_EVENT_FEED_H

#include "core/pipe.h"
#include "engine/events.h"
#include "store/journal.h"

struct hf_event_feed;
struct hf_event_stream;

/* The sessions must be there. Stopped after the committer, before the sessions go; no stream may be open. */
HF_MUST_USE bool hf_event_feed_start(struct hf_event_feed **out, struct hf_engine *engine, struct hf_error *err);
void hf_event_feed_stop(struct hf_event_feed *feed); /* accepts NULL */

/* The database has these. Any thread; never waits for a database or a client. */
void hf_event_feed_notice(struct hf_event_feed *feed, const struct hf_event_row *rows, int count);

#define HF_EVENTS_NEWEST (-1)
struct hf_event_stream_request {
    const char *system;
    int64_t system_id;
    const char *severity; /* NULL: any */
    int64_t after;        /* begins with the event after this one; HF_EVENTS_NEWEST: with the next that happens. One
                             greater than any id is of a database that was lost: then it begins with the oldest. */
};

/* Worker thread. HF_OVERLOADED past the setting's number of streams, HF_SHUTTING_DOWN, HF_NOT_FOUND. The pipe is the
 * stream's until close, which may be called on any thread; afterwards nobody writes into it. */
HF_MUST_USE bool hf_event_stream_open(struct hf_event_feed *feed, const struct hf_event_stream_request *request,
                                      struct hf_event_stream **out, struct hf_error *err);
struct hf_pipe *hf_event_stream_pipe(struct hf_event_stream *stream);
void hf_event_stream_close(struct hf_event_stream *stream);

/* Ends the streams of a system that is gone, or all of them and whatever is opened later, each after a last event of
 * this type. It has no id: it is in no list of the system. Any thread. */
void hf_event_feed_end_system(struct hf_event_feed *feed, int64_t system_id, enum hf_event_type type, const char *text);
void hf_event_feed_end_all(struct hf_event_feed *feed, enum hf_event_type type, const char *text);

#endif
