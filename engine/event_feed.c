#include "engine/event_feed.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/cond.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/event_json.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define PIPE_BYTES     (64 * 1024)
#define PAGE_ROWS      100
#define PAGE_BYTES     (256 * 1024) /* of text, after which a page ends */
#define PAGE_BYTES_MAX (16 * 1024 * 1024)
#define RETRY_NS       HF_SECOND_NS /* between two attempts to read from a database that is away */

struct hf_event_stream {
    struct hf_event_stream *before, *after;
    struct hf_event_feed *feed;
    struct hf_pipe *pipe;
    char *system;
    int64_t system_id;
    char severity[8]; /* "": any */
    int64_t last_id;  /* the last that was written, or passed over */
    uint64_t turn;    /* when it was last fed: who waits longest is next */
    bool hungry;      /* there may be rows after last_id */
    bool in_page;     /* the page that is being read is for it */
    bool ended;
    char *rest; /* of what was written last, the part without room in the pipe; owns */
    size_t rest_at, rest_bytes;
};

struct hf_event_feed {
    struct hf_engine *engine;
    pthread_mutex_t lock; /* protects the streams and all in them; never held while reading from the database */
    struct hf_event_stream *streams;
    uint64_t turns;
    bool closed; /* no more streams */
    atomic_int count;

    /* Of its own, held for nothing else: pipes wake the feed wherever it is. */
    pthread_mutex_t wake_lock;
    pthread_cond_t wake;
    bool woken, stopping;
    pthread_t thread;
    uint64_t beat_ns; /* the thread's own: when the next heartbeat is due */
};

struct page_row {
    int64_t id;
    char severity[8];
    size_t at, bytes;
};

/* What is read at once, for all streams of a system that are at the same place. */
struct page {
    int64_t system_id, after;
    const char *system; /* owns */
    struct hf_buf text;
    struct page_row rows[PAGE_ROWS];
    int count;
    bool more;
};

static void *run(void *argument);
static void wake_up(void *feed);
static bool wait_for_work(struct hf_event_feed *feed, uint64_t until_ns);
static void keep_alive(struct hf_event_feed *feed);
static bool feed_all(struct hf_event_feed *feed, struct hf_error *err);
static bool begin_page(struct hf_event_feed *feed, struct page *page);
static bool is_hungry(const struct hf_event_stream *stream);
static bool read_page(struct hf_event_feed *feed, struct page *page, struct hf_error *err);
static hf_event_row_fn add_row;
static void add_event(struct hf_buf *out, const struct hf_event_row *row, const char *system);
static void deliver_page(struct hf_event_feed *feed, const struct page *page, bool ok);
static void deliver(struct hf_event_stream *stream, const struct page *page);
static void put(struct hf_event_stream *stream, const char *text, size_t bytes);
static bool put_rest(struct hf_event_stream *stream);
static bool find_start(struct hf_event_feed *feed, int64_t *after, struct hf_error *err);
static bool add_stream(struct hf_event_stream *stream, struct hf_error *err);
static void end_streams(struct hf_event_feed *feed, int64_t system_id, enum hf_event_type type, const char *text);

bool hf_event_feed_start(struct hf_event_feed **out, struct hf_engine *engine, struct hf_error *err)
{
    struct hf_event_feed *feed = hf_alloc(sizeof(*feed));
    feed->engine = engine;
    feed->beat_ns = hf_clock_monotonic_ns() + (uint64_t)engine->config->stream_heartbeat_ms * HF_MS_NS;
    pthread_mutex_init(&feed->lock, NULL);
    pthread_mutex_init(&feed->wake_lock, NULL);
    hf_cond_init(&feed->wake);
    int failed = pthread_create(&feed->thread, NULL, run, feed);
    if (!failed) {
        pthread_setname_np(feed->thread, "hf-events");
        *out = feed;
        return true;
    }
    pthread_cond_destroy(&feed->wake);
    pthread_mutex_destroy(&feed->wake_lock);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
    return hf_error_errno(err, failed, "the thread for streams of events cannot be started");
}

void hf_event_feed_stop(struct hf_event_feed *feed)
{
    if (!feed)
        return;
    pthread_mutex_lock(&feed->wake_lock);
    feed->stopping = true;
    pthread_cond_signal(&feed->wake);
    pthread_mutex_unlock(&feed->wake_lock);
    pthread_join(feed->thread, NULL);
    HF_ASSERT(!feed->streams);
    pthread_cond_destroy(&feed->wake);
    pthread_mutex_destroy(&feed->wake_lock);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

void hf_event_feed_notice(struct hf_event_feed *feed, const struct hf_event_row *rows, int count)
{
    if (!feed || atomic_load(&feed->count) == 0)
        return;
    bool some = false;
    int64_t last = 0;
    pthread_mutex_lock(&feed->lock);
    for (int i = 0; i < count; i++) {
        if (rows[i].system_id == last)
            continue;
        last = rows[i].system_id;
        for (struct hf_event_stream *stream = feed->streams; stream; stream = stream->after) {
            stream->hungry = stream->hungry || stream->system_id == last;
            some = some || stream->system_id == last;
        }
    }
    pthread_mutex_unlock(&feed->lock);
    if (some)
        wake_up(feed);
}

bool hf_event_stream_open(struct hf_event_feed *feed, const struct hf_event_stream_request *request,
                          struct hf_event_stream **out, struct hf_error *err)
{
    int64_t after = request->after;
    if (!find_start(feed, &after, err))
        return false;
    const struct hf_pipe_options options = {.bytes_max = PIPE_BYTES,
                                            .patience_ms = 1,
                                            .wake = wake_up,
                                            .wake_context = feed}; /* nobody waits in it */
    struct hf_event_stream *stream = hf_alloc(sizeof(*stream));
    stream->feed = feed;
    stream->pipe = hf_pipe_new(&options);
    stream->system = hf_strdup(request->system);
    stream->system_id = request->system_id;
    snprintf(stream->severity, sizeof(stream->severity), "%s", request->severity ? request->severity : "");
    stream->last_id = after;
    stream->hungry = true;
    /* The id alone is no event, but what a client that loses the connection before the first one comes back with. */
    char hello[64];
    int bytes = snprintf(hello, sizeof(hello), "retry: 2000\nid: %lld\n\n", (long long)after);
    put(stream, hello, (size_t)bytes);
    if (!add_stream(stream, err)) {
        hf_event_stream_close(stream);
        return false;
    }
    *out = stream;
    wake_up(feed);
    return true;
}

struct hf_pipe *hf_event_stream_pipe(struct hf_event_stream *stream)
{
    return stream->pipe;
}

void hf_event_stream_close(struct hf_event_stream *stream)
{
    struct hf_event_feed *feed = stream->feed;
    pthread_mutex_lock(&feed->lock);
    if (stream->before || stream->after || feed->streams == stream) {
        if (stream->before)
            stream->before->after = stream->after;
        else
            feed->streams = stream->after;
        if (stream->after)
            stream->after->before = stream->before;
        hf_metric_set(HF_M_EVENT_STREAMS, atomic_fetch_sub(&feed->count, 1) - 1);
    }
    pthread_mutex_unlock(&feed->lock);
    hf_pipe_free(stream->pipe);
    free(stream->rest);
    free(stream->system);
    free(stream);
}

void hf_event_feed_end_system(struct hf_event_feed *feed, int64_t system_id, enum hf_event_type type, const char *text)
{
    if (!feed)
        return;
    pthread_mutex_lock(&feed->lock);
    end_streams(feed, system_id, type, text);
    pthread_mutex_unlock(&feed->lock);
}

void hf_event_feed_end_all(struct hf_event_feed *feed, enum hf_event_type type, const char *text)
{
    pthread_mutex_lock(&feed->lock);
    feed->closed = true;
    end_streams(feed, 0, type, text);
    pthread_mutex_unlock(&feed->lock);
}

static void *run(void *argument)
{
    struct hf_event_feed *feed = argument;
    uint64_t retry_ns = UINT64_MAX;
    while (wait_for_work(feed, retry_ns < feed->beat_ns ? retry_ns : feed->beat_ns)) {
        struct hf_error err;
        bool failed_before = retry_ns != UINT64_MAX;
        retry_ns = UINT64_MAX;
        if (!feed_all(feed, &err)) {
            retry_ns = hf_clock_monotonic_ns() + RETRY_NS;
            if (!failed_before)
                hf_log(HF_LOG_WARNING, "events_not_read", err.text, HF_LOG_TEXT("code", hf_code_name(err.code)));
        }
    }
    return NULL;
}

/* Takes no lock but the one nobody holds while calling out: some callers have the feed's, or a pipe's end. */
static void wake_up(void *context)
{
    struct hf_event_feed *feed = context;
    pthread_mutex_lock(&feed->wake_lock);
    feed->woken = true;
    pthread_cond_signal(&feed->wake);
    pthread_mutex_unlock(&feed->wake_lock);
}

/* False: stopping. */
static bool wait_for_work(struct hf_event_feed *feed, uint64_t until_ns)
{
    bool in_time = true;
    pthread_mutex_lock(&feed->wake_lock);
    while (!feed->woken && !feed->stopping && in_time)
        in_time = hf_cond_wait_until(&feed->wake, &feed->wake_lock, until_ns);
    feed->woken = false;
    bool go_on = !feed->stopping;
    pthread_mutex_unlock(&feed->wake_lock);
    return go_on;
}

static void keep_alive(struct hf_event_feed *feed)
{
    static const char heartbeat[] = ": keep-alive\n\n";
    uint64_t now_ns = hf_clock_monotonic_ns();
    if (now_ns < feed->beat_ns)
        return;
    feed->beat_ns = now_ns + (uint64_t)feed->engine->config->stream_heartbeat_ms * HF_MS_NS;
    pthread_mutex_lock(&feed->lock);
    for (struct hf_event_stream *stream = feed->streams; stream; stream = stream->after) {
        if (put_rest(stream))
            put(stream, heartbeat, sizeof(heartbeat) - 1);
    }
    pthread_mutex_unlock(&feed->lock);
}

/* Until nobody is hungry. A heartbeat may take the room that a stream had waited for, and nobody tells of it again: so
 * every heartbeat is followed by another look. */
static bool feed_all(struct hf_event_feed *feed, struct hf_error *err)
{
    HF_AUTO(free) struct page *page = hf_alloc(sizeof(*page));
    bool ok = true;
    for (keep_alive(feed); ok && begin_page(feed, page); keep_alive(feed)) {
        hf_buf_init(&page->text, PAGE_BYTES_MAX);
        ok = read_page(feed, page, err);
        deliver_page(feed, page, ok);
        hf_buf_done(&page->text);
        free((char *)(uintptr_t)page->system);
    }
    return ok;
}

/* Nobody is hungry once a page was begun for it: what the database takes from now on makes it so again. */
static bool begin_page(struct hf_event_feed *feed, struct page *page)
{
    struct hf_event_stream *next = NULL;
    pthread_mutex_lock(&feed->lock);
    for (struct hf_event_stream *stream = feed->streams; stream; stream = stream->after) {
        if (put_rest(stream) && is_hungry(stream) && (!next || stream->turn < next->turn))
            next = stream;
    }
    if (next) {
        *page = (struct page){.system_id = next->system_id, .after = next->last_id, .system = hf_strdup(next->system)};
        feed->turns++;
    }
    for (struct hf_event_stream *stream = feed->streams; next && stream; stream = stream->after) {
        stream->in_page = is_hungry(stream) && stream->system_id == page->system_id && stream->last_id == page->after;
        if (!stream->in_page)
            continue;
        stream->hungry = false;
        stream->turn = feed->turns;
    }
    pthread_mutex_unlock(&feed->lock);
    return next != NULL;
}

static bool is_hungry(const struct hf_event_stream *stream)
{
    return stream->hungry && !stream->ended && !stream->rest;
}

static bool read_page(struct hf_event_feed *feed, struct page *page, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(feed->engine->sessions, &session, err))
        return false;
    bool ok = hf_events_list(session, page->system_id, NULL, page->after, PAGE_ROWS, add_row, page, err);
    hf_sessions_give(feed->engine->sessions, session);
    page->more = page->more || page->count == PAGE_ROWS;
    return ok;
}

static bool add_row(void *context, const struct hf_event_row *row)
{
    struct page *page = context;
    struct page_row *to = &page->rows[page->count++];
    to->id = row->id;
    to->at = page->text.bytes;
    snprintf(to->severity, sizeof(to->severity), "%s", row->severity);
    add_event(&page->text, row, page->system);
    to->bytes = page->text.bytes - to->at;
    page->more = page->text.bytes >= PAGE_BYTES;
    return !page->more;
}

/* JSON text has no line breaks of its own. */
static void add_event(struct hf_buf *out, const struct hf_event_row *row, const char *system)
{
    HF_AUTO(json) json_t *object = hf_event_json(row, system);
    HF_AUTO(free) char *data = hf_json_text(object);
    if (row->id)
        hf_buf_add_format(out, "id: %lld\n", (long long)row->id);
    hf_buf_add_format(out, "event: %s\ndata: ", row->type);
    hf_buf_add_text(out, data);
    hf_buf_add_text(out, "\n\n");
    HF_ASSERT(!out->failed);
}

static void deliver_page(struct hf_event_feed *feed, const struct page *page, bool ok)
{
    pthread_mutex_lock(&feed->lock);
    for (struct hf_event_stream *stream = feed->streams; stream; stream = stream->after) {
        if (!stream->in_page)
            continue;
        stream->in_page = false;
        if (!ok)
            stream->hungry = true;
        else if (!stream->ended)
            deliver(stream, page);
    }
    pthread_mutex_unlock(&feed->lock);
}

/* As much as the pipe has room for; the others are read again when it has more. */
static void deliver(struct hf_event_stream *stream, const struct page *page)
{
    for (int i = 0; i < page->count; i++) {
        const struct page_row *row = &page->rows[i];
        if (stream->rest) {
            stream->hungry = true;
            return;
        }
        if (!*stream->severity || strcmp(stream->severity, row->severity) == 0)
            put(stream, page->text.data + row->at, row->bytes);
        stream->last_id = row->id;
    }
    stream->hungry = stream->hungry || page->more;
}

/* All of it, now or as the rest that goes first. A pipe that is broken, which may be at any moment, has lost its
 * client. */
static void put(struct hf_event_stream *stream, const char *text, size_t bytes)
{
    size_t moved;
    HF_ASSERT(!stream->rest);
    if (stream->ended)
        return;
    switch (hf_pipe_offer(stream->pipe, text, bytes, &moved)) {
    case HF_PIPE_WAIT:
        stream->rest = hf_realloc(NULL, bytes - moved);
        stream->rest_at = 0;
        stream->rest_bytes = bytes - moved;
        memcpy(stream->rest, text + moved, bytes - moved);
        break;
    case HF_PIPE_BROKEN:
        stream->ended = true;
        break;
    case HF_PIPE_MOVED:
    case HF_PIPE_END:
        break;
    }
}

/* True when nothing is left of it. */
static bool put_rest(struct hf_event_stream *stream)
{
    size_t moved;
    if (!stream->rest || stream->ended)
        return !stream->rest;
    enum hf_pipe_result result =
        hf_pipe_offer(stream->pipe, stream->rest + stream->rest_at, stream->rest_bytes, &moved);
    stream->rest_at += moved;
    stream->rest_bytes -= moved;
    stream->ended = result == HF_PIPE_BROKEN;
    if (result == HF_PIPE_WAIT)
        return false;
    free(stream->rest);
    stream->rest = NULL;
    return true;
}

static bool find_start(struct hf_event_feed *feed, int64_t *after, struct hf_error *err)
{
    struct hf_session *session;
    int64_t newest = 0;
    if (!hf_sessions_take(feed->engine->sessions, &session, err))
        return false;
    bool ok = hf_events_newest(session, &newest, err);
    hf_sessions_give(feed->engine->sessions, session);
    if (ok && *after == HF_EVENTS_NEWEST)
        *after = newest;
    else if (ok && *after > newest)
        *after = 0;
    return ok;
}

/* The catalogue is asked once the stream can be found: a deletion forgets the system there first, and then ends its
 * streams. */
static bool add_stream(struct hf_event_stream *stream, struct hf_error *err)
{
    struct hf_event_feed *feed = stream->feed;
    int64_t max = feed->engine->config->streams_max;
    bool ok = true;
    pthread_mutex_lock(&feed->lock);
    if (feed->closed)
        ok = hf_error_set(err, HF_SHUTTING_DOWN, "the service is stopping; try again when it is back");
    else if (atomic_load(&feed->count) >= max)
        ok = hf_error_set(err, HF_OVERLOADED, "%lld streams of events are open, and more are not allowed",
                          (long long)max);
    if (ok) {
        stream->after = feed->streams;
        if (feed->streams)
            feed->streams->before = stream;
        feed->streams = stream;
        hf_metric_set(HF_M_EVENT_STREAMS, atomic_fetch_add(&feed->count, 1) + 1);
    }
    pthread_mutex_unlock(&feed->lock);
    if (!ok) {
        hf_metric_add(HF_M_REFUSED_OVERLOADED, err->code == HF_OVERLOADED);
        return false;
    }
    struct hf_system_info info;
    if (hf_catalog_read_system(feed->engine->catalog, stream->system, &info) && info.id == stream->system_id)
        return true;
    return hf_error_set(err, HF_NOT_FOUND, "there is no system \"%s\"", stream->system);
}

/* With the lock. system_id 0: all. A client that has no room even for this learns the end by the end. */
static void end_streams(struct hf_event_feed *feed, int64_t system_id, enum hf_event_type type, const char *text)
{
    const struct hf_event_row row = {.at_ms = hf_clock_now_ms(),
                                     .severity = hf_event_severity(type),
                                     .type = hf_event_type_name(type),
                                     .text = text};
    for (struct hf_event_stream *stream = feed->streams; stream; stream = stream->after) {
        if (stream->ended || (system_id && stream->system_id != system_id))
            continue;
        HF_AUTO(buf) struct hf_buf last;
        hf_buf_init(&last, PAGE_BYTES_MAX);
        add_event(&last, &row, stream->system);
        bool wanted = !*stream->severity || strcmp(stream->severity, row.severity) == 0;
        bool whole = put_rest(stream);
        if (whole && wanted)
            put(stream, last.data, last.bytes);
        if (!stream->rest && !stream->ended)
            hf_pipe_finish(stream->pipe);
        else
            hf_pipe_break(stream->pipe, HF_SHUTTING_DOWN, "the client reads its events too slowly to get the last one");
        stream->ended = true;
    }
}
