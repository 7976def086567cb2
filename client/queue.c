/* Queues: what the program calls. */
#include "client/problem.h"
#include "client/queue_parts.h"
#include "client/states.h"
#include "core/clock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATES_DEFAULT   1024
#define BYTES_DEFAULT    ((size_t)64 * 1024 * 1024)
#define FLUSH_DEFAULT_MS 10000
#define END_MS           500 /* what a callback may take to return, after the flush */
#define WAIT_MS          100 /* the longest anybody takes to notice what is not signalled */

static bool check_options(const struct holdfast_queue_options *options, struct holdfast_error *err);
static struct holdfast_queue *make(struct holdfast *service, const struct holdfast_queue_options *options);
static bool open_outbox(struct holdfast_queue *queue, const char *directory, struct holdfast_error *err);
static void add_leftover(void *context, struct hf_queue_state *state);
static void add_damaged(void *context, const char *file, const struct holdfast_error *told);
static bool start(struct holdfast_queue *queue, struct holdfast_error *err);
static void destroy(struct holdfast_queue *queue);
static bool is_usable(struct holdfast_queue *queue, struct holdfast_error *err);
static bool begin_call(struct holdfast_queue *queue, struct holdfast_error *err);
static void end_call(struct holdfast_queue *queue);
static uint64_t mark_capture(void *context);
static struct hf_queue_state *copy_capture(void *context, const char *component, const void *data, size_t bytes,
                                           uint64_t mark);
static void put_capture(void *context, struct hf_queue_state *state);
static bool flush(struct holdfast_queue *queue, uint64_t deadline_ns, bool at_end, struct holdfast_error *err);
static void end_pauses(struct holdfast_queue *queue);
static bool is_outstanding(const struct holdfast_queue *queue, uint64_t order);
static bool await_end(struct holdfast_queue *queue, bool at_exit, uint64_t deadline_ns);
static bool report_held_up(struct holdfast_queue *queue, struct holdfast_error *err);
static void let_go_threads(struct holdfast_queue *queue);
static void begin_captures(void *context);
static void end_captures(void *context);
static bool report_rest(struct holdfast_queue *queue, struct holdfast_error *err);

bool holdfast_queue_open(struct holdfast *service, const struct holdfast_queue_options *options,
                         struct holdfast_queue **out, struct holdfast_error *err)
{
    static const struct holdfast_queue_options defaults;
    if (!options)
        options = &defaults;
    if (!check_options(options, err))
        return false;
    struct holdfast_queue *queue = make(service, options);
    if ((options->outbox_directory && !open_outbox(queue, options->outbox_directory, err)) || !start(queue, err)) {
        hf_queue_release(queue);
        return false;
    }
    if (options->flush_at_exit)
        queue->exit = hf_queue_exit_register(queue);
    *out = queue;
    return true;
}

bool holdfast_queue_save(struct holdfast_queue *queue, const char *component, const void *data, size_t bytes,
                         const struct holdfast_save_options *options, struct holdfast_error *err)
{
    if (!is_usable(queue, err))
        return false;
    if (bytes > queue->options.bytes_max)
        return hf_problem_set(err, HF_QUEUE_FULL, false,
                              "component %s: a state of %zu bytes is more than the queue may hold (bytes_max is %zu)",
                              component ? component : "", bytes, queue->options.bytes_max);
    struct hf_queue_state *state = hf_queue_state_new(component, data, bytes, options, err);
    if (!state)
        return false;
    if (!begin_call(queue, err)) {
        hf_queue_state_free(state);
        return false;
    }
    state->epoch = holdfast_epoch(queue->service);
    pthread_mutex_lock(&queue->lock);
    state->asked = ++queue->asked;
    pthread_mutex_unlock(&queue->lock);
    bool ok = hf_queue_put(queue, state, err);
    end_call(queue);
    return ok;
}

bool holdfast_queue_every(struct holdfast_queue *queue, const char *component, int interval_ms,
                          holdfast_capture *capture, void *context, struct holdfast_error *err)
{
    if (!is_usable(queue, err) || !hf_problem_check_name("component", component, err))
        return false;
    if (interval_ms < 0 || (interval_ms > 0 && !capture))
        return hf_problem_set(
            err, HF_PROBLEM_INVALID, false,
            "component %s: an interval is 0 or more milliseconds, and needs something to capture with", component);
    if (!begin_call(queue, err))
        return false;
    bool ok = hf_periodic_set(queue->periodic, component, interval_ms, capture, context, err);
    if (ok)
        hf_queue_ask(queue, component);
    end_call(queue);
    return ok;
}

bool holdfast_queue_flush(struct holdfast_queue *queue, int timeout_ms, struct holdfast_error *err)
{
    if (!is_usable(queue, err))
        return false;
    if (hf_queue_is_own_thread(queue))
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "a queue's own threads cannot wait for it");
    if (!begin_call(queue, err))
        return false;
    uint64_t now_ns = hf_clock_monotonic_ns();
    bool ok = flush(queue, timeout_ms > 0 ? now_ns + (uint64_t)timeout_ms * HF_MS_NS : UINT64_MAX, false, err);
    end_call(queue);
    return ok;
}

void holdfast_queue_count(struct holdfast_queue *queue, struct holdfast_queue_counts *out)
{
    *out = (struct holdfast_queue_counts){0};
    if (!is_usable(queue, NULL))
        return;
    pthread_mutex_lock(&queue->lock);
    *out = queue->counts;
    pthread_mutex_unlock(&queue->lock);
}

bool holdfast_queue_close(struct holdfast_queue *queue, struct holdfast_error *err)
{
    if (!queue)
        return true;
    if (!is_usable(queue, err))
        return false;
    if (hf_queue_is_own_thread(queue))
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "a queue's own threads cannot close it");
    hf_queue_exit_forget(queue->exit);
    bool ok = hf_queue_end(queue, false, err);
    hf_queue_release(queue);
    return ok;
}

void hf_queue_wait(struct holdfast_queue *queue)
{
    uint64_t until_ns = hf_clock_monotonic_ns() + WAIT_MS * HF_MS_NS;
    struct timespec until = {.tv_sec = (time_t)(until_ns / HF_SECOND_NS), .tv_nsec = (long)(until_ns % HF_SECOND_NS)};
    pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
}

bool hf_queue_is_cancelled(struct holdfast_queue *queue)
{
    return queue->abandoned || hf_states_are_cancelled(queue->service);
}

bool hf_queue_end(struct holdfast_queue *queue, bool at_exit, struct holdfast_error *err)
{
    uint64_t deadline_ns = hf_clock_monotonic_ns() + (uint64_t)queue->options.flush_ms * HF_MS_NS;
    pthread_mutex_lock(&queue->lock);
    bool ended = queue->ended;
    queue->ended = queue->closing = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    hf_periodic_refuse(queue->periodic);
    pthread_mutex_lock(&queue->lock);
    while (queue->callers > 0 && hf_clock_monotonic_ns() < deadline_ns)
        hf_queue_wait(queue);
    pthread_mutex_unlock(&queue->lock);
    if (!ended)
        (void)flush(queue, deadline_ns, true, NULL);
    pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    atomic_store(&queue->stop, true);
    pthread_cond_broadcast(&queue->changed);
    pthread_cond_broadcast(&queue->work);
    pthread_mutex_unlock(&queue->lock);
    hf_periodic_stop(queue->periodic);
    bool all_ended = await_end(queue, at_exit, hf_clock_monotonic_ns() + END_MS * HF_MS_NS);
    let_go_threads(queue);
    return all_ended ? report_rest(queue, err) : report_held_up(queue, err);
}

void hf_queue_release(struct holdfast_queue *queue)
{
    if (atomic_fetch_sub(&queue->owners, 1) == 1)
        destroy(queue);
}

bool hf_queue_is_own_thread(struct holdfast_queue *queue)
{
    return pthread_equal(pthread_self(), queue->sender) || hf_periodic_is_self(queue->periodic);
}

void hf_queue_tell(struct holdfast_queue *queue, const char *component, const struct holdfast_receipt *receipt,
                   const struct holdfast_error *err)
{
    if (!queue->options.on_result)
        return;
    pthread_mutex_lock(&queue->lock);
    bool tell = !queue->abandoned;
    queue->telling += tell;
    snprintf(queue->told, sizeof(queue->told), "%s", component);
    pthread_mutex_unlock(&queue->lock);
    if (!tell)
        return;
    queue->options.on_result(queue->options.context, component, receipt, err);
    pthread_mutex_lock(&queue->lock);
    queue->telling--;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

static bool check_options(const struct holdfast_queue_options *options, struct holdfast_error *err)
{
    if (options->interval_ms < 0 || options->flush_ms < 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "a queue's times are 0 or more milliseconds");
    if ((int)options->when_full < HOLDFAST_BLOCK || options->when_full > HOLDFAST_REFUSE)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "when_full is none of the three");
    if (options->outbox_directory && !options->outbox_directory[0])
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "the outbox's directory has no name");
    return true;
}

static struct holdfast_queue *make(struct holdfast *service, const struct holdfast_queue_options *options)
{
    struct holdfast_queue *queue = hf_alloc(sizeof(*queue));
    pthread_condattr_t monotonic;
    queue->service = service;
    queue->options = *options;
    queue->options.outbox_directory = NULL;
    queue->options.states_max = options->states_max ? options->states_max : STATES_DEFAULT;
    queue->options.bytes_max = options->bytes_max ? options->bytes_max : BYTES_DEFAULT;
    queue->options.flush_ms = options->flush_ms ? options->flush_ms : FLUSH_DEFAULT_MS;
    queue->process = getpid();
    atomic_store(&queue->owners, 1);
    queue->periodic = hf_periodic_new(
        &(struct hf_periodic_target){mark_capture, copy_capture, put_capture, begin_captures, end_captures, queue});
    hf_queue_table_init(&queue->table);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->work, &monotonic);
    pthread_cond_init(&queue->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return queue;
}

static bool open_outbox(struct holdfast_queue *queue, const char *directory, struct holdfast_error *err)
{
    struct hf_outbox_visitor visitor = {add_leftover, add_damaged, queue};
    uint64_t writer[2];
    int64_t turn = 0;
    if (!hf_outbox_open(directory, holdfast_system(queue->service), &queue->outbox, err) ||
        !hf_outbox_scan(queue->outbox, &visitor, err))
        return false;
    if (hf_outbox_take_turn(queue->outbox, writer, &turn))
        hf_states_take_turn(queue->service, writer, turn);
    return true;
}

/* Only what its file says of it: the bytes are read when it is its turn, so that any number may be left. */
static void add_leftover(void *context, struct hf_queue_state *state)
{
    struct holdfast_queue *queue = context;
    struct hf_queue_entry *entry = hf_queue_table_get(&queue->table, state->component);
    HF_ASSERT(!entry->pending);
    queue->counts.queued++;
    queue->counts.waiting++;
    queue->counts.waiting_bytes += state->bytes;
    state->order = ++queue->order;
    entry->has_file = true;
    hf_queue_publish(queue, entry, state);
}

static void add_damaged(void *context, const char *file, const struct holdfast_error *told)
{
    struct holdfast_queue *queue = context;
    queue->damaged = hf_realloc(queue->damaged, (queue->damaged_count + 1) * sizeof(*queue->damaged));
    queue->damaged[queue->damaged_count++] = (struct hf_queue_damaged){hf_strdup(file), *told};
}

static bool start(struct holdfast_queue *queue, struct holdfast_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* the program's signals are for its own threads */
    pthread_mutex_lock(&queue->lock);          /* the thread finds its own id written */
    atomic_fetch_add(&queue->owners, 1);
    int failed = pthread_create(&queue->sender, NULL, hf_queue_run_sender, queue);
    if (failed)
        atomic_fetch_sub(&queue->owners, 1);
    pthread_mutex_unlock(&queue->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0 || hf_problem_set(err, HF_PROBLEM_NO_MEMORY, true, "a queue's thread could not be started: %s",
                                         strerror(failed));
}

static void destroy(struct holdfast_queue *queue)
{
    hf_periodic_free(queue->periodic);
    hf_outbox_close(queue->outbox);
    hf_queue_table_done(&queue->table);
    for (size_t i = 0; i < queue->damaged_count; i++)
        free(queue->damaged[i].file);
    free(queue->damaged);
    pthread_cond_destroy(&queue->work);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

static bool is_usable(struct holdfast_queue *queue, struct holdfast_error *err)
{
    return queue->process == getpid() ||
           hf_problem_set(err, HF_PROBLEM_INVALID, false,
                          "the queue belongs to the process that opened it; after fork() the child opens its own");
}

static bool begin_call(struct holdfast_queue *queue, struct holdfast_error *err)
{
    pthread_mutex_lock(&queue->lock);
    bool ok = !queue->closing || hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "the queue is closed");
    queue->callers += ok;
    atomic_fetch_add(&queue->owners, ok);
    pthread_mutex_unlock(&queue->lock);
    return ok;
}

static void end_call(struct holdfast_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->callers--;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    hf_queue_release(queue);
}

static uint64_t mark_capture(void *context)
{
    struct holdfast_queue *queue = context;
    pthread_mutex_lock(&queue->lock);
    uint64_t mark = queue->asked;
    pthread_mutex_unlock(&queue->lock);
    return mark;
}

static struct hf_queue_state *copy_capture(void *context, const char *component, const void *data, size_t bytes,
                                           uint64_t mark)
{
    struct holdfast_queue *queue = context;
    struct holdfast_error err;
    struct hf_queue_state *state = hf_queue_state_new(component, data, bytes, NULL, &err);
    if (state) {
        state->epoch = holdfast_epoch(queue->service);
        state->asked = mark;
        state->captured = true;
    } else {
        hf_queue_tell(queue, component, NULL, &err);
    }
    return state;
}

static void put_capture(void *context, struct hf_queue_state *state)
{
    struct holdfast_queue *queue = context;
    struct holdfast_error err;
    HF_AUTO(free) char *component = hf_strdup(state->component);
    if (!hf_queue_put(queue, state, &err))
        hf_queue_tell(queue, component, NULL, &err);
}

static void begin_captures(void *context)
{
    struct holdfast_queue *queue = context;
    atomic_fetch_add(&queue->owners, 1);
}

static void end_captures(void *context)
{
    struct holdfast_queue *queue = context;
    pthread_mutex_lock(&queue->lock);
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    hf_queue_release(queue);
}

/* at_end: the queue is closing, which ends all others. */
static bool flush(struct holdfast_queue *queue, uint64_t deadline_ns, bool at_end, struct holdfast_error *err)
{
    uint64_t round = hf_periodic_capture_all(queue->periodic), order = UINT64_MAX;
    bool ok = true, captured = false;
    pthread_mutex_lock(&queue->lock);
    queue->hurrying++;
    queue->retry_at_ns = queue->told_until_ns;
    if (at_end)
        end_pauses(queue);
    pthread_cond_signal(&queue->work);
    while (ok && (!captured || is_outstanding(queue, order))) {
        if (hf_queue_is_cancelled(queue) || (queue->closing && !at_end))
            ok = hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "the %s while it was waited for",
                                queue->closing ? "queue was closed" : "handle was cancelled");
        else if (hf_clock_monotonic_ns() >= deadline_ns)
            ok = hf_problem_set(err, HF_PROBLEM_TIMED_OUT, true,
                                "the time is over, and %zu states still wait to be stored", queue->counts.waiting);
        else if (captured)
            hf_queue_wait(queue);
        else {
            pthread_mutex_unlock(&queue->lock);
            captured = hf_periodic_await(queue->periodic, round, WAIT_MS);
            pthread_mutex_lock(&queue->lock);
            order = queue->order;
        }
    }
    queue->hurrying--;
    pthread_mutex_unlock(&queue->lock);
    return ok;
}

/* At the end it is now or never, whatever the service asked for. The lock is held. */
static void end_pauses(struct holdfast_queue *queue)
{
    struct hf_queue_entry *entry;
    queue->retry_at_ns = 0;
    TAILQ_FOREACH(entry, &queue->table.waiting, link)
    entry->retry_at_ns = 0;
}

/* Whether anything that was queued up to this one is not done with. */
static bool is_outstanding(const struct holdfast_queue *queue, uint64_t order)
{
    const struct hf_queue_entry *entry;
    TAILQ_FOREACH(entry, &queue->table.sending, link)
    if (entry->sending->order <= order)
        return true;
    TAILQ_FOREACH(entry, &queue->table.waiting, link)
    if (entry->pending->order <= order || (entry->sending && entry->sending->order <= order))
        return true;
    return false;
}

static bool report_rest(struct holdfast_queue *queue, struct holdfast_error *err)
{
    pthread_mutex_lock(&queue->lock);
    size_t kept = queue->counts.waiting, lost = queue->lost, left = queue->table.left_count;
    bool cancelled = hf_queue_is_cancelled(queue);
    pthread_mutex_unlock(&queue->lock);
    if (kept + lost + left == 0)
        return true;
    if (kept + lost == 0)
        return hf_problem_set(err, HF_QUEUE_OUTBOX, false,
                              "the queue was closed with nothing left to store, but %zu files in its outbox could not "
                              "be removed",
                              left);
    return hf_problem_set(err, cancelled ? HF_PROBLEM_CANCELLED : HF_PROBLEM_TIMED_OUT, false,
                          "the queue was closed with %zu states not stored: %s", kept + lost,
                          lost ? "they are lost" : "they stay in the outbox");
}

/* True: no thread uses the queue any more. False: past the deadline, all that do are inside a function of the program,
 * which nothing here can end. What is in the hands of the library ends by itself now, and is waited for, but by exit().
 */
static bool await_end(struct holdfast_queue *queue, bool at_exit, uint64_t deadline_ns)
{
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        const char *capturing = NULL;
        bool captures = hf_periodic_is_running(queue->periodic, &capturing);
        int threads = queue->callers + !queue->sender_ended + captures;
        bool program_has_all = threads <= queue->telling + (capturing != NULL);
        bool held_up = hf_clock_monotonic_ns() >= deadline_ns && (at_exit || program_has_all);
        if (threads == 0 || held_up) {
            queue->abandoned = threads > 0;
            pthread_mutex_unlock(&queue->lock);
            return threads == 0;
        }
        hf_queue_wait(queue);
    }
}

static bool report_held_up(struct holdfast_queue *queue, struct holdfast_error *err)
{
    const char *capturing = NULL;
    pthread_mutex_lock(&queue->lock);
    hf_periodic_is_running(queue->periodic, &capturing);
    if (capturing)
        hf_problem_set(err, HF_PROBLEM_TIMED_OUT, false,
                       "the queue was closed while the capture of component %s had not returned; %zu states were not "
                       "stored",
                       capturing, queue->counts.waiting);
    else
        hf_problem_set(err, HF_PROBLEM_TIMED_OUT, false,
                       "the queue was closed while on_result for %s had not returned; %zu states were not stored",
                       queue->told, queue->counts.waiting);
    pthread_mutex_unlock(&queue->lock);
    return false;
}

/* After the end. What a callback holds up is left to itself: its thread frees the queue when it returns. */
static void let_go_threads(struct holdfast_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool done = queue->threads_gone, joins = queue->sender_ended;
    queue->threads_gone = true;
    pthread_mutex_unlock(&queue->lock);
    if (done)
        return;
    if (joins)
        pthread_join(queue->sender, NULL);
    else
        pthread_detach(queue->sender);
    hf_periodic_let_go(queue->periodic);
}
