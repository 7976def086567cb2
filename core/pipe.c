#include "core/pipe.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cond.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

struct hf_pipe {
    struct hf_pipe_options options;
    unsigned char *ring;    /* used bytes belong to the reader, the others to the writer: copied without the mutex */
    pthread_mutex_t mutex;  /* protects all below */
    pthread_cond_t changed; /* what somebody waits for has come */
    size_t first;           /* of the used bytes */
    size_t used;
    uint64_t moved_ns;
    bool writer_waits, reader_waits;
    bool writer_wants_wake, reader_wants_wake; /* were told HF_PIPE_WAIT */
    void (*reader_wake)(void *context);        /* NULL: options.wake */
    void *reader_wake_context;
    bool finished;
    bool end_seen;
    bool broken;
    struct hf_error why;
};

/* A piece of the ring that lies in one. */
struct piece {
    unsigned char *at;
    size_t bytes;
};

static struct piece free_piece(const struct hf_pipe *pipe, size_t bytes_max);
static struct piece used_piece(const struct hf_pipe *pipe, size_t bytes_max);
static size_t put(struct hf_pipe *pipe, const unsigned char *data, size_t bytes);
static bool wait_for_other(struct hf_pipe *pipe, bool *waits, bool (*is_there)(const struct hf_pipe *),
                           const struct hf_pipe_lateness *late, struct hf_error *err);
static bool has_room(const struct hf_pipe *pipe);
static bool has_bytes(const struct hf_pipe *pipe);
static void unlock_and_tell(struct hf_pipe *pipe);

struct hf_pipe *hf_pipe_new(const struct hf_pipe_options *options)
{
    HF_ASSERT(options->bytes_max > 0 && options->patience_ms > 0);
    struct hf_pipe *pipe = hf_alloc(sizeof(*pipe));
    pipe->options = *options;
    pipe->ring = hf_realloc(NULL, options->bytes_max);
    pthread_mutex_init(&pipe->mutex, NULL);
    hf_cond_init(&pipe->changed);
    pipe->moved_ns = hf_clock_monotonic_ns();
    return pipe;
}

void hf_pipe_free(struct hf_pipe *pipe)
{
    if (!pipe)
        return;
    pthread_cond_destroy(&pipe->changed);
    pthread_mutex_destroy(&pipe->mutex);
    free(pipe->ring);
    free(pipe);
}

void hf_pipe_set_reader_wake(struct hf_pipe *pipe, void (*wake)(void *context), void *context)
{
    pthread_mutex_lock(&pipe->mutex);
    HF_ASSERT(!pipe->reader_wants_wake);
    pipe->reader_wake = wake;
    pipe->reader_wake_context = context;
    pthread_mutex_unlock(&pipe->mutex);
}

bool hf_pipe_write(struct hf_pipe *pipe, const void *data, size_t bytes, struct hf_error *err)
{
    const unsigned char *at = data;
    pthread_mutex_lock(&pipe->mutex);
    HF_ASSERT(!pipe->finished);
    bool ok = true;
    while (ok && bytes > 0) {
        size_t moved = pipe->broken ? 0 : put(pipe, at, bytes);
        at += moved;
        bytes -= moved;
        if (bytes > 0)
            ok = wait_for_other(pipe, &pipe->writer_waits, has_room, &pipe->options.write_late, err);
    }
    unlock_and_tell(pipe);
    return ok;
}

bool hf_pipe_read(struct hf_pipe *pipe, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err)
{
    pthread_mutex_lock(&pipe->mutex);
    bool ok = true;
    if (pipe->broken || !has_bytes(pipe))
        ok = wait_for_other(pipe, &pipe->reader_waits, has_bytes, &pipe->options.read_late, err);
    pthread_mutex_unlock(&pipe->mutex);
    if (!ok)
        return false;
    enum hf_pipe_result result = hf_pipe_take(pipe, out, bytes_max, got_out);
    if (result == HF_PIPE_MOVED || result == HF_PIPE_END)
        return true;
    *err = pipe->why; /* broken between the two */
    return false;
}

enum hf_pipe_result hf_pipe_offer(struct hf_pipe *pipe, const void *data, size_t bytes, size_t *moved_out)
{
    pthread_mutex_lock(&pipe->mutex);
    HF_ASSERT(!pipe->finished);
    enum hf_pipe_result result = HF_PIPE_BROKEN;
    *moved_out = 0;
    if (!pipe->broken) {
        *moved_out = put(pipe, data, bytes);
        result = *moved_out == bytes ? HF_PIPE_MOVED : HF_PIPE_WAIT;
    }
    pipe->writer_wants_wake = result == HF_PIPE_WAIT;
    unlock_and_tell(pipe);
    return result;
}

enum hf_pipe_result hf_pipe_take(struct hf_pipe *pipe, void *out, size_t bytes_max, size_t *moved_out)
{
    unsigned char *to = out;
    enum hf_pipe_result result = HF_PIPE_BROKEN;
    *moved_out = 0;
    pthread_mutex_lock(&pipe->mutex);
    while (!pipe->broken && pipe->used > 0 && *moved_out < bytes_max) {
        struct piece piece = used_piece(pipe, bytes_max - *moved_out);
        pthread_mutex_unlock(&pipe->mutex);
        memcpy(to + *moved_out, piece.at, piece.bytes);
        pthread_mutex_lock(&pipe->mutex);
        pipe->first = (pipe->first + piece.bytes) % pipe->options.bytes_max;
        pipe->used -= piece.bytes;
        *moved_out += piece.bytes;
    }
    if (*moved_out > 0) {
        pipe->moved_ns = hf_clock_monotonic_ns();
        result = HF_PIPE_MOVED;
    } else if (!pipe->broken && pipe->finished) {
        pipe->end_seen = true;
        result = HF_PIPE_END;
    } else if (!pipe->broken) {
        pipe->reader_wants_wake = true;
        result = HF_PIPE_WAIT;
    }
    unlock_and_tell(pipe);
    return result;
}

void hf_pipe_finish(struct hf_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    pipe->finished = true;
    unlock_and_tell(pipe);
}

bool hf_pipe_is_finished(struct hf_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    bool finished = pipe->finished;
    pthread_mutex_unlock(&pipe->mutex);
    return finished;
}

void hf_pipe_break(struct hf_pipe *pipe, enum hf_code code, const char *why)
{
    pthread_mutex_lock(&pipe->mutex);
    if (!pipe->broken && !pipe->end_seen) {
        pipe->broken = true;
        hf_error_set(&pipe->why, code, "%s", why);
    }
    unlock_and_tell(pipe);
}

bool hf_pipe_is_broken(struct hf_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    bool broken = pipe->broken;
    pthread_mutex_unlock(&pipe->mutex);
    return broken;
}

uint64_t hf_pipe_moved_ns(struct hf_pipe *pipe)
{
    pthread_mutex_lock(&pipe->mutex);
    uint64_t moved_ns = pipe->moved_ns;
    pthread_mutex_unlock(&pipe->mutex);
    return moved_ns;
}

static struct piece free_piece(const struct hf_pipe *pipe, size_t bytes_max)
{
    size_t size = pipe->options.bytes_max;
    size_t from = (pipe->first + pipe->used) % size;
    size_t bytes = size - pipe->used;
    if (bytes > size - from)
        bytes = size - from;
    return (struct piece){pipe->ring + from, bytes < bytes_max ? bytes : bytes_max};
}

static struct piece used_piece(const struct hf_pipe *pipe, size_t bytes_max)
{
    size_t size = pipe->options.bytes_max;
    size_t bytes = pipe->used;
    if (bytes > size - pipe->first)
        bytes = size - pipe->first;
    return (struct piece){pipe->ring + pipe->first, bytes < bytes_max ? bytes : bytes_max};
}

/* What fits; with the mutex, but not while it copies. */
static size_t put(struct hf_pipe *pipe, const unsigned char *data, size_t bytes)
{
    size_t moved = 0;
    while (moved < bytes && pipe->used < pipe->options.bytes_max) {
        struct piece piece = free_piece(pipe, bytes - moved);
        pthread_mutex_unlock(&pipe->mutex);
        memcpy(piece.at, data + moved, piece.bytes);
        pthread_mutex_lock(&pipe->mutex);
        pipe->used += piece.bytes;
        moved += piece.bytes;
    }
    if (moved > 0)
        pipe->moved_ns = hf_clock_monotonic_ns();
    return moved;
}

/* With the mutex. */
static bool wait_for_other(struct hf_pipe *pipe, bool *waits, bool (*is_there)(const struct hf_pipe *),
                           const struct hf_pipe_lateness *late, struct hf_error *err)
{
    unlock_and_tell(pipe);
    pthread_mutex_lock(&pipe->mutex);
    uint64_t since_ns = hf_clock_monotonic_ns();
    uint64_t patience_ns = (uint64_t)pipe->options.patience_ms * HF_MS_NS;
    bool in_time = true;
    *waits = true;
    while (in_time && !is_there(pipe)) {
        uint64_t until_ns = (pipe->moved_ns > since_ns ? pipe->moved_ns : since_ns) + patience_ns;
        in_time = hf_clock_monotonic_ns() < until_ns;
        if (in_time)
            (void)hf_cond_wait_until(&pipe->changed, &pipe->mutex, until_ns);
    }
    *waits = false;
    if (pipe->broken) {
        *err = pipe->why;
        return false;
    }
    return in_time || hf_error_set(err, late->code, "%s for %lld ms", late->text, (long long)pipe->options.patience_ms);
}

/* Room is worth a wake-up only when it is half of the pipe: so the ends do not take turns for every few bytes. */
static bool has_room(const struct hf_pipe *pipe)
{
    return pipe->broken || pipe->used <= pipe->options.bytes_max / 2;
}

static bool has_bytes(const struct hf_pipe *pipe)
{
    return pipe->broken || pipe->finished || pipe->used > 0;
}

static void unlock_and_tell(struct hf_pipe *pipe)
{
    bool wake_writer = pipe->writer_wants_wake && has_room(pipe);
    bool wake_reader = pipe->reader_wants_wake && has_bytes(pipe);
    pipe->writer_wants_wake = pipe->writer_wants_wake && !wake_writer;
    pipe->reader_wants_wake = pipe->reader_wants_wake && !wake_reader;
    void (*reader_wake)(void *) = pipe->reader_wake ? pipe->reader_wake : pipe->options.wake;
    void *reader_context = pipe->reader_wake ? pipe->reader_wake_context : pipe->options.wake_context;
    if ((pipe->writer_waits && has_room(pipe)) || (pipe->reader_waits && has_bytes(pipe)))
        pthread_cond_broadcast(&pipe->changed);
    pthread_mutex_unlock(&pipe->mutex);
    if (wake_writer)
        pipe->options.wake(pipe->options.wake_context);
    if (wake_reader)
        reader_wake(reader_context);
}
