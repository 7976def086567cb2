#include "server/loop.h"

#include "core/clock.h"
#include "core/id.h"
#include "core/metrics.h"
#include "server/dispatch.h"
#include "server/transfer.h"

#define SWEEP_NS HF_SECOND_NS

static void suspend(struct hf_loop *loop, struct hf_exchange *x);
static void resume(struct hf_loop *loop, struct hf_exchange *x);
static void link_waiting(struct hf_loop *loop, struct hf_exchange *x);
static void unlink_waiting(struct hf_loop *loop, struct hf_exchange *x);
static void link_to(struct hf_exchange **list, struct hf_exchange *x);
static void unlink_from(struct hf_exchange **list, struct hf_exchange *x);
static bool take_news(struct hf_loop *loop, struct hf_exchange *x);
static void take_back(struct hf_loop *loop, struct hf_exchange *x);
static bool give_up_waiting(struct hf_loop *loop, uint64_t since_before_ns, enum hf_code reason);
static bool give_up_transfers(struct hf_loop *loop, uint64_t moved_before_ns, enum hf_code reason);
static void end_stream(struct hf_loop *loop, struct hf_exchange *x);
static bool give_up_streams(struct hf_loop *loop);
static void look_for_listeners(struct hf_loop *loop);
static bool look_for_clients(struct hf_loop *loop);
static bool stands_still(const struct hf_exchange *x, uint64_t moved_before_ns);

bool hf_loop_init(struct hf_loop *loop, struct hf_error *err)
{
    if (!hf_completions_init(&loop->completions, err))
        return false;
    hf_record_init(&loop->record, &loop->service->routes);
    hf_random_bytes(&loop->ids.next, sizeof(loop->ids.next));
    return true;
}

void hf_loop_done(struct hf_loop *loop)
{
    hf_record_done(&loop->record);
    hf_completions_done(&loop->completions);
}

struct hf_exchange *hf_loop_connect(struct hf_loop *loop, const char *target, void *connection)
{
    struct hf_exchange *x = hf_exchange_new(loop->service, &loop->completions, target);
    x->loop = loop;
    x->connection = connection;
    loop->connected++;
    return x;
}

void hf_loop_disconnect(struct hf_loop *loop, struct hf_exchange *x, bool timed_out)
{
    HF_ASSERT(!x->suspended);
    x->connected = false;
    loop->connected--;
    if (x->open_stream)
        end_stream(loop, x);
    if (!x->outstanding) {
        if (!hf_dispatch_has_news(x)) /* else its completion is in the queue, and it is freed when that is taken */
            hf_exchange_free(x);
        return;
    }
    if (!x->transfer)
        return;
    /* Whoever sends or reads on the other side of the pipe need not go on. */
    if (x->transfer->receives)
        hf_pipe_break(x->transfer->pipe, HF_INVALID_REQUEST,
                      timed_out ? "the client stopped sending before its body was whole"
                                : "the client went away before its body was whole");
    else
        hf_pipe_break(x->transfer->pipe, HF_IO,
                      timed_out ? "the client stopped reading before its answer was whole"
                                : "the client went away before its answer was whole");
}

void hf_loop_receive(struct hf_loop *loop, struct hf_exchange *x)
{
    if (hf_dispatch_receiver(x))
        link_to(&loop->transfers, x);
}

void hf_loop_stream(struct hf_loop *loop, struct hf_exchange *x)
{
    x->open_stream = true;
    link_to(&loop->streams, x);
    atomic_fetch_add_explicit(&loop->service->streams, 1, memory_order_relaxed);
    hf_pipe_set_reader_wake(x->reply.stream, hf_dispatch_tell_pipe, x);
}

void hf_loop_wait(struct hf_loop *loop, struct hf_exchange *x)
{
    suspend(loop, x);
    x->phase = HF_PHASE_WAITING;
    link_waiting(loop, x);
    if (x->transfer && !x->transfer->receives)
        link_to(&loop->transfers, x);
}

void hf_loop_pause(struct hf_loop *loop, struct hf_exchange *x)
{
    suspend(loop, x);
    x->paused_at_ns = hf_clock_monotonic_ns();
}

bool hf_loop_take_news(struct hf_loop *loop)
{
    bool resumed = false;
    struct hf_completion *item = hf_completions_take(&loop->completions);
    while (item) {
        struct hf_completion *next = item->next;
        struct hf_exchange *x = (struct hf_exchange *)(void *)((char *)item - offsetof(struct hf_exchange, completion));
        resumed = take_news(loop, x) || resumed;
        item = next;
    }
    return resumed;
}

bool hf_loop_sweep(struct hf_loop *loop)
{
    const struct hf_service *service = loop->service;
    uint64_t now_ns = hf_clock_monotonic_ns();
    if (now_ns < loop->sweep_due_ns)
        return false;
    hf_record_allow_warnings(&loop->record);
    loop->sweep_due_ns = now_ns + SWEEP_NS;
    hf_metric_set(HF_M_INFLIGHT_BYTES, (double)atomic_load_explicit(&service->inflight_bytes, memory_order_relaxed));
    uint64_t before_ns = now_ns - (uint64_t)service->config->request_timeout_ms * HF_MS_NS;
    bool resumed = give_up_waiting(loop, before_ns, HF_OVERLOADED);
    resumed = give_up_transfers(loop, before_ns, HF_OVERLOADED) || resumed;
    look_for_listeners(loop);
    return look_for_clients(loop) || resumed;
}

bool hf_loop_give_up(struct hf_loop *loop)
{
    bool resumed = give_up_waiting(loop, UINT64_MAX, HF_SHUTTING_DOWN);
    resumed = give_up_transfers(loop, UINT64_MAX, HF_SHUTTING_DOWN) || resumed;
    resumed = give_up_streams(loop) || resumed;
    HF_ASSERT(!loop->waiting_first);
    return resumed;
}

int hf_loop_timeout_ms(const struct hf_loop *loop)
{
    return loop->waiting_first || loop->transfers || loop->streams ? (int)(SWEEP_NS / HF_MS_NS) : -1;
}

static void suspend(struct hf_loop *loop, struct hf_exchange *x)
{
    HF_ASSERT(!x->suspended);
    x->suspended = true;
    loop->suspend(x->connection);
}

static void resume(struct hf_loop *loop, struct hf_exchange *x)
{
    HF_ASSERT(x->suspended);
    x->suspended = false;
    if (x->phase == HF_PHASE_WAITING) {
        unlink_waiting(loop, x);
        x->phase = HF_PHASE_READY;
    } else {
        x->paused_ns += hf_clock_monotonic_ns() - x->paused_at_ns;
    }
    loop->resume(x->connection);
}

static void link_waiting(struct hf_loop *loop, struct hf_exchange *x)
{
    x->waiting_before = loop->waiting_last;
    x->waiting_after = NULL;
    if (loop->waiting_last)
        loop->waiting_last->waiting_after = x;
    else
        loop->waiting_first = x;
    loop->waiting_last = x;
}

static void unlink_waiting(struct hf_loop *loop, struct hf_exchange *x)
{
    if (x->waiting_before)
        x->waiting_before->waiting_after = x->waiting_after;
    else
        loop->waiting_first = x->waiting_after;
    if (x->waiting_after)
        x->waiting_after->waiting_before = x->waiting_before;
    else
        loop->waiting_last = x->waiting_before;
}

static void link_to(struct hf_exchange **list, struct hf_exchange *x)
{
    x->transfer_before = NULL;
    x->transfer_after = *list;
    if (*list)
        (*list)->transfer_before = x;
    *list = x;
}

static void unlink_from(struct hf_exchange **list, struct hf_exchange *x)
{
    if (x->transfer_before)
        x->transfer_before->transfer_after = x->transfer_after;
    else
        *list = x->transfer_after;
    if (x->transfer_after)
        x->transfer_after->transfer_before = x->transfer_before;
}

/* True when its connection was resumed. */
static bool take_news(struct hf_loop *loop, struct hf_exchange *x)
{
    unsigned news = hf_dispatch_take_news(x);
    if (news & HF_NEWS_END)
        take_back(loop, x);
    if (x->suspended && (x->phase != HF_PHASE_WAITING || news & HF_NEWS_VERDICT)) {
        resume(loop, x);
        return true;
    }
    if (!x->connected && !x->outstanding)
        hf_exchange_free(x);
    return false;
}

static void take_back(struct hf_loop *loop, struct hf_exchange *x)
{
    HF_ASSERT(x->outstanding);
    x->outstanding = false;
    x->request.on_worker = false;
    if (x->transfer)
        unlink_from(&loop->transfers, x);
    if (x->standin)
        hf_dispatch_discard(x);
}

/* Neither a body that its reader is still taking from the pipe nor long work is a reason to give up, until a stop. */
static bool give_up_waiting(struct hf_loop *loop, uint64_t since_before_ns, enum hf_code reason)
{
    bool resumed = false;
    while (loop->waiting_first && loop->waiting_first->waiting_ns <= since_before_ns) {
        struct hf_exchange *x = loop->waiting_first;
        uint64_t moved_ns = x->transfer ? hf_pipe_moved_ns(x->transfer->pipe) : 0;
        if (reason == HF_OVERLOADED && hf_dispatch_may_take_long(x))
            moved_ns = hf_clock_monotonic_ns();
        if (moved_ns > since_before_ns) {
            unlink_waiting(loop, x);
            x->waiting_ns = moved_ns;
            link_waiting(loop, x);
            continue;
        }
        hf_dispatch_give_up(x, reason);
        resume(loop, x);
        resumed = true;
    }
    return resumed;
}

/* A body gets its answer when it has ended; an answer that has begun can only be broken off. */
static bool give_up_transfers(struct hf_loop *loop, uint64_t moved_before_ns, enum hf_code reason)
{
    bool resumed = false;
    for (struct hf_exchange *x = loop->transfers; x; x = x->transfer_after) {
        if (!x->connected || x->standin || x->phase == HF_PHASE_WAITING || !stands_still(x, moved_before_ns))
            continue;
        if (x->transfer->receives)
            hf_dispatch_give_up(x, reason);
        else
            hf_pipe_break(x->transfer->pipe, reason,
                          reason == HF_SHUTTING_DOWN ? "the service is stopping"
                                                     : "nothing more of the answer came in time");
        if (x->suspended) {
            resume(loop, x);
            resumed = true;
        }
    }
    return resumed;
}

/* After this nobody writes into its pipe, or tells of it. */
static void end_stream(struct hf_loop *loop, struct hf_exchange *x)
{
    x->open_stream = false;
    unlink_from(&loop->streams, x);
    hf_reply_done(&x->reply);
    atomic_fetch_sub_explicit(&loop->service->streams, 1, memory_order_relaxed);
}

/* One that was ended in order may still send what it has. */
static bool give_up_streams(struct hf_loop *loop)
{
    bool resumed = false;
    for (struct hf_exchange *x = loop->streams; x; x = x->transfer_after) {
        if (!hf_pipe_is_finished(x->reply.stream))
            hf_pipe_break(x->reply.stream, HF_SHUTTING_DOWN, "the service is stopping");
        if (x->suspended) {
            resume(loop, x);
            resumed = true;
        }
    }
    return resumed;
}

/* The library does not see a client leave whose connection is suspended, and nothing may be sent to it for long. One
 * that stays may lose its right to. */
static void look_for_listeners(struct hf_loop *loop)
{
    for (struct hf_exchange *x = loop->streams; x; x = x->transfer_after) {
        if (x->suspended && loop->has_left(x->connection))
            hf_pipe_break(x->reply.stream, HF_IO, "the client went away");
        else if (!hf_exchange_is_still_allowed(x))
            hf_pipe_break(x->reply.stream, HF_UNAUTHORIZED, "the token was revoked");
    }
}

/* Connections that are not suspended are watched by the library. */
static bool stands_still(const struct hf_exchange *x, uint64_t moved_before_ns)
{
    if (moved_before_ns == UINT64_MAX)
        return true;
    return x->suspended && x->paused_at_ns <= moved_before_ns && hf_pipe_moved_ns(x->transfer->pipe) <= moved_before_ns;
}

/* The library misses the end of a connection that comes together with bytes, until its time is up. A resumed connection
 * it reads from again, whatever was reported. */
static bool look_for_clients(struct hf_loop *loop)
{
    bool resumed = false;
    for (struct hf_exchange *x = loop->transfers; x; x = x->transfer_after) {
        if (!x->connected || x->suspended || x->phase != HF_PHASE_BODY || !loop->has_left(x->connection))
            continue;
        hf_loop_pause(loop, x);
        resume(loop, x);
        resumed = true;
    }
    return resumed;
}
