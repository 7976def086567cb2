#include "server/dispatch.h"

#include "core/auto.h"
#include "core/clock.h"
#include "server/transfer.h"

#include <string.h>

enum job { JOB_NONE, JOB_QUEUED, JOB_RUNNING, JOB_RUNNING_LONG, JOB_GIVEN_UP };

static bool wants_worker(const struct hf_exchange *x);
static bool hand_to_worker(struct hf_exchange *x);
static bool hand_to_task(struct hf_exchange *x);
static bool hand_to_transfer(struct hf_exchange *x, bool receives);
static bool submit(struct hf_exchange *x, struct hf_workers *workers, const char *when_full);
static void run_job(void *argument);
static void run_again(void *argument);
static bool is_long(const struct hf_exchange *x);
static bool is_late(const struct hf_exchange *x);
static void run_transfer(struct hf_exchange *x, enum hf_verdict verdict);
static void tell(struct hf_exchange *x, unsigned news);
static bool give_up_error(struct hf_exchange *x, enum hf_code reason, struct hf_error *err);

void hf_standin_free(struct hf_standin *standin)
{
    if (!standin)
        return;
    hf_reply_done(&standin->reply);
    hf_arena_done(&standin->request.arena);
    free(standin);
}

bool hf_dispatch_request(struct hf_exchange *x)
{
    hf_exchange_has_arrived(x);
    if (x->failed)
        return true;
    x->waiting_ns = hf_clock_monotonic_ns();
    if (x->transfer) {
        hf_pipe_finish(x->transfer->pipe);
        return !x->outstanding;
    }
    x->dispatched_ns = x->waiting_ns;
    if (x->request.route->where == HF_ON_TRANSFER)
        return !hand_to_transfer(x, false);
    if (x->request.route->where == HF_ON_TASK)
        return !hand_to_task(x);
    if (wants_worker(x))
        return !hand_to_worker(x);
    x->verdict = x->request.route->handler(&x->request, &x->reply, &x->err);
    if (x->verdict == HF_RETRY_ON_WORKER)
        return !hand_to_worker(x);
    x->outstanding = x->verdict == HF_LATER;
    return !x->outstanding;
}

bool hf_dispatch_receiver(struct hf_exchange *x)
{
    HF_ASSERT(x->request.route->where == HF_ON_TRANSFER);
    x->dispatched_ns = hf_clock_monotonic_ns();
    if (!hand_to_transfer(x, true))
        return false;
    hf_exchange_has_arrived(x); /* a stop waits for it as for any other that has begun */
    return true;
}

void hf_dispatch_complete(struct hf_request *request)
{
    tell(request->server, HF_NEWS_VERDICT | HF_NEWS_END);
}

void hf_dispatch_put_aside(struct hf_request *request)
{
    struct hf_exchange *x = request->server;
    HF_ASSERT(x->request.route->where == HF_ON_WORKER);
    atomic_store(&x->job, JOB_QUEUED);
}

bool hf_dispatch_resume(struct hf_request *request)
{
    struct hf_exchange *x = request->server;
    return hf_workers_submit(x->service->workers, run_again, x);
}

void hf_dispatch_tell_pipe(void *exchange)
{
    tell(exchange, HF_NEWS_PIPE);
}

bool hf_dispatch_has_news(struct hf_exchange *x)
{
    return atomic_load(&x->news) != 0;
}

unsigned hf_dispatch_take_news(struct hf_exchange *x)
{
    return atomic_exchange(&x->news, 0);
}

bool hf_dispatch_may_take_long(const struct hf_exchange *x)
{
    return atomic_load_explicit(&x->job, memory_order_relaxed) == JOB_RUNNING_LONG;
}

void hf_dispatch_give_up(struct hf_exchange *x, enum hf_code reason)
{
    HF_ASSERT(x->outstanding && !x->standin);
    struct hf_standin *standin = hf_alloc(sizeof(*standin));
    hf_arena_init(&standin->request.arena);
    hf_reply_init(&standin->reply);
    standin->request.target = x->request.target;
    memcpy(standin->request.request_id, x->request.request_id, sizeof(standin->request.request_id));
    standin->request.tells_all = true;
    struct hf_error err;
    give_up_error(x, reason, &err);
    hf_reply_problem(&standin->request, &standin->reply, &err);
    x->standin = standin;
    if (x->transfer)
        hf_pipe_break(x->transfer->pipe, reason, err.text);
}

void hf_dispatch_discard(struct hf_exchange *x)
{
    HF_ASSERT(x->standin && !x->outstanding);
    struct hf_error ignored;
    if (x->verdict == HF_LATER && !x->request.finish(&x->request, &x->reply, &ignored))
        return; /* it failed late; the client was told that the outcome is unknown */
}

static bool wants_worker(const struct hf_exchange *x)
{
    enum hf_where where = x->request.route->where;
    size_t bytes = x->request.body ? x->request.body->bytes : 0;
    return where == HF_ON_WORKER || (where == HF_ON_LOOP_IF_SMALL && bytes > HF_SMALL_BODY_BYTES);
}

static bool hand_to_worker(struct hf_exchange *x)
{
    return submit(x, x->service->workers, "too many requests wait for a worker");
}

static bool hand_to_task(struct hf_exchange *x)
{
    return submit(x, x->service->tasks, "too many long requests are under way");
}

static bool hand_to_transfer(struct hf_exchange *x, bool receives)
{
    if (!hf_exchange_reserve(x, HF_TRANSFER_PIPE_BYTES)) {
        x->failed = true;
        return hf_exchange_overloaded(x, "too many bytes of other requests are under way");
    }
    x->transfer = hf_transfer_new(receives, x->service->config->request_timeout_ms, hf_dispatch_tell_pipe, x);
    x->request.body_stream = receives ? &x->transfer->body : NULL;
    if (submit(x, x->service->transfers, "too many archives are sent or received"))
        return true;
    hf_transfer_free(x->transfer);
    x->transfer = NULL;
    return false;
}

/* False: the queue is full and the exchange has failed. */
static bool submit(struct hf_exchange *x, struct hf_workers *workers, const char *when_full)
{
    x->verdict = HF_LATER;
    x->request.on_worker = true;
    x->outstanding = true;
    atomic_store_explicit(&x->job, JOB_QUEUED, memory_order_relaxed);
    if (hf_workers_submit(workers, run_job, x))
        return true;
    x->outstanding = false;
    x->failed = true;
    return hf_exchange_overloaded(x, when_full);
}

/* On a worker's thread, a task's, or a transfer's. */
static void run_job(void *argument)
{
    struct hf_exchange *x = argument;
    int expected = JOB_QUEUED;
    enum hf_verdict verdict = HF_FAIL;
    if (!atomic_compare_exchange_strong(&x->job, &expected, is_long(x) ? JOB_RUNNING_LONG : JOB_RUNNING))
        hf_error_set(&x->err, HF_OVERLOADED, "the request was given up before its turn");
    else if (is_late(x))
        hf_exchange_overloaded(x, "the request waited longer for a thread than a client waits for an answer");
    else
        verdict = x->request.route->handler(&x->request, &x->reply, &x->err);
    HF_ASSERT(verdict != HF_RETRY_ON_WORKER);
    if (verdict == HF_LATER)
        return; /* whoever completes it may have done so, and freed it, already */
    if (x->transfer) {
        run_transfer(x, verdict);
        return;
    }
    x->verdict = verdict;
    hf_dispatch_complete(&x->request);
}

/* Others may wait for what the handler has to give back, so it runs in any case. */
static void run_again(void *argument)
{
    struct hf_exchange *x = argument;
    int expected = JOB_QUEUED;
    x->request.resumed = true;
    x->request.given_up = !atomic_compare_exchange_strong(&x->job, &expected, JOB_RUNNING);
    enum hf_verdict verdict = x->request.route->handler(&x->request, &x->reply, &x->err);
    HF_ASSERT(verdict == HF_DONE || verdict == HF_FAIL);
    x->verdict = verdict;
    hf_dispatch_complete(&x->request);
}

static bool is_long(const struct hf_exchange *x)
{
    return x->request.route->where == HF_ON_TASK || (x->transfer && x->transfer->receives);
}

static bool is_late(const struct hf_exchange *x)
{
    uint64_t age_ns = hf_clock_monotonic_ns() - x->dispatched_ns;
    return age_ns > (uint64_t)x->service->config->request_timeout_ms * HF_MS_NS;
}

/* What a transfer's thread has still to do when the handler has spoken. */
static void run_transfer(struct hf_exchange *x, enum hf_verdict verdict)
{
    struct hf_transfer *transfer = x->transfer;
    HF_ASSERT(verdict == HF_DONE || verdict == HF_FAIL);
    x->verdict = verdict;
    x->streams = verdict == HF_DONE && x->reply.produce;
    if (x->streams)
        hf_transfer_take_answer(transfer, &x->reply, x->request.method != HF_HEAD);
    if (transfer->receives)
        hf_pipe_break(transfer->pipe, HF_IO, "the rest of the body is not wanted");
    if (!transfer->produce) {
        tell(x, HF_NEWS_VERDICT | HF_NEWS_END);
        return;
    }
    tell(x, HF_NEWS_VERDICT);
    hf_transfer_produce(transfer, x->request.request_id);
    tell(x, HF_NEWS_END);
}

/* Whoever brings the first news pushes the completion, and the loop looks at all that has come until then. After
 * HF_NEWS_END the exchange must not be touched. */
static void tell(struct hf_exchange *x, unsigned news)
{
    struct hf_completions *completions = x->completions;
    if (atomic_fetch_or(&x->news, news) == 0)
        hf_completions_push(completions, &x->completion);
}

/* A queued job that no worker has begun can be taken back: then nothing was done. */
static bool give_up_error(struct hf_exchange *x, enum hf_code reason, struct hf_error *err)
{
    int expected = JOB_QUEUED;
    bool untouched = atomic_compare_exchange_strong(&x->job, &expected, JOB_GIVEN_UP);
    bool reads = x->request.method == HF_GET || x->request.method == HF_HEAD;
    if (untouched || reads)
        return hf_error_set(err, reason, "%s; nothing was changed",
                            reason == HF_SHUTTING_DOWN ? "the service is stopping" : "the answer did not come in time");
    return hf_error_set(err, HF_OUTCOME_UNKNOWN,
                        "%s; what was asked for had begun and may or may not be stored: look, or repeat it, identical "
                        "content is stored once",
                        reason == HF_SHUTTING_DOWN ? "the service is stopping and waits no longer"
                                                   : "no end of it came within the time for a request");
}
