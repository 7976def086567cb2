#include "client/periodic.h"

#include "client/problem.h"
#include "core/clock.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#define COMPONENTS_MAX 4096

/* One component that is captured. Removed by the thread of the captures alone. */
struct captured {
    struct captured *next;
    char *component;
    holdfast_capture *capture;
    void *context;
    uint64_t interval_ns;
    uint64_t due_ns;
    uint64_t round; /* the last one in which it was captured */
};

struct hf_periodic {
    struct hf_periodic_target target;
    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t changed;
    pthread_t thread;
    bool started, refusing, stopping, ended;
    struct captured *list;
    size_t count;
    struct captured *running;          /* its capture is being called */
    struct captured *copying;          /* what its capture gave is being copied */
    uint64_t round_wanted, round_done; /* captures of everything */
};

static void *run(void *argument);
static struct captured *next_due(struct hf_periodic *periodic, uint64_t *wake_ns_out);
static void capture_one(struct hf_periodic *periodic, struct captured *one);
static struct captured *find_idle(struct hf_periodic *periodic, const char *component);
static bool start(struct hf_periodic *periodic, struct holdfast_error *err);
static bool is_self(const struct hf_periodic *periodic);
static void wait_until(struct hf_periodic *periodic, uint64_t deadline_ns);

struct hf_periodic *hf_periodic_new(const struct hf_periodic_target *target)
{
    struct hf_periodic *periodic = hf_alloc(sizeof(*periodic));
    pthread_condattr_t monotonic;
    periodic->target = *target;
    pthread_mutex_init(&periodic->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&periodic->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return periodic;
}

void hf_periodic_stop(struct hf_periodic *periodic)
{
    pthread_mutex_lock(&periodic->lock);
    periodic->refusing = periodic->stopping = true;
    pthread_cond_broadcast(&periodic->changed);
    pthread_mutex_unlock(&periodic->lock);
}

void hf_periodic_refuse(struct hf_periodic *periodic)
{
    pthread_mutex_lock(&periodic->lock);
    periodic->refusing = true;
    pthread_cond_broadcast(&periodic->changed);
    pthread_mutex_unlock(&periodic->lock);
}

bool hf_periodic_is_running(struct hf_periodic *periodic, const char **capturing_out)
{
    pthread_mutex_lock(&periodic->lock);
    bool running = periodic->started && !periodic->ended;
    if (capturing_out)
        *capturing_out = running && periodic->running ? periodic->running->component : NULL;
    pthread_mutex_unlock(&periodic->lock);
    return running;
}

void hf_periodic_let_go(struct hf_periodic *periodic)
{
    pthread_mutex_lock(&periodic->lock);
    bool started = periodic->started, ended = periodic->ended;
    pthread_t thread = periodic->thread;
    pthread_mutex_unlock(&periodic->lock);
    if (started && ended)
        pthread_join(thread, NULL);
    else if (started)
        pthread_detach(thread);
}

void hf_periodic_free(struct hf_periodic *periodic)
{
    for (struct captured *one = periodic->list, *next; one; one = next) {
        next = one->next;
        free(one->component);
        free(one);
    }
    pthread_cond_destroy(&periodic->changed);
    pthread_mutex_destroy(&periodic->lock);
    free(periodic);
}

bool hf_periodic_set(struct hf_periodic *periodic, const char *component, int interval_ms, holdfast_capture *capture,
                     void *context, struct holdfast_error *err)
{
    pthread_mutex_lock(&periodic->lock);
    struct captured *one = find_idle(periodic, component);
    bool ok = !periodic->refusing || hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "the queue is closed");
    if (ok && !one && interval_ms > 0) {
        ok = periodic->count < COMPONENTS_MAX ||
             hf_problem_set(err, HF_PROBLEM_INVALID, false, "more than %d periodic components", COMPONENTS_MAX);
        ok = ok && start(periodic, err);
        if (ok) {
            one = hf_alloc(sizeof(*one));
            one->component = hf_strdup(component);
            one->next = periodic->list;
            periodic->list = one;
            periodic->count++;
        }
    }
    if (ok && one) {
        one->interval_ns = (uint64_t)interval_ms * HF_MS_NS; /* 0: the thread forgets it */
        one->due_ns = hf_clock_monotonic_ns() + one->interval_ns;
        one->capture = capture;
        one->context = context;
    }
    pthread_cond_broadcast(&periodic->changed);
    pthread_mutex_unlock(&periodic->lock);
    return ok;
}

uint64_t hf_periodic_capture_all(struct hf_periodic *periodic)
{
    pthread_mutex_lock(&periodic->lock);
    uint64_t round = ++periodic->round_wanted;
    pthread_cond_broadcast(&periodic->changed);
    pthread_mutex_unlock(&periodic->lock);
    return round;
}

bool hf_periodic_await(struct hf_periodic *periodic, uint64_t round, int wait_ms)
{
    uint64_t deadline_ns = hf_clock_monotonic_ns() + (uint64_t)wait_ms * HF_MS_NS;
    pthread_mutex_lock(&periodic->lock);
    while (periodic->started && !periodic->stopping && periodic->round_done < round &&
           hf_clock_monotonic_ns() < deadline_ns)
        wait_until(periodic, deadline_ns);
    bool done = !periodic->started || periodic->stopping || periodic->round_done >= round;
    pthread_mutex_unlock(&periodic->lock);
    return done;
}

bool hf_periodic_is_self(struct hf_periodic *periodic)
{
    pthread_mutex_lock(&periodic->lock);
    bool self = is_self(periodic);
    pthread_mutex_unlock(&periodic->lock);
    return self;
}

static void *run(void *argument)
{
    struct hf_periodic *periodic = argument;
    pthread_mutex_lock(&periodic->lock);
    while (!periodic->stopping) {
        uint64_t wake_ns, round = periodic->round_wanted;
        struct captured *one = next_due(periodic, &wake_ns);
        if (one) {
            capture_one(periodic, one);
            continue;
        }
        if (periodic->round_done < round) {
            periodic->round_done = round;
            pthread_cond_broadcast(&periodic->changed);
        }
        wait_until(periodic, wake_ns);
    }
    struct hf_periodic_target target = periodic->target;
    periodic->ended = true;
    pthread_mutex_unlock(&periodic->lock);
    target.end(target.context);
    return NULL;
}

/* The one whose time came first, those before it that a capture of everything has not reached yet; else NULL and when
 * to look again. Frees those that are captured no more. */
static struct captured *next_due(struct hf_periodic *periodic, uint64_t *wake_ns_out)
{
    struct captured *first = NULL;
    uint64_t first_ns = UINT64_MAX;
    for (struct captured **slot = &periodic->list; *slot;) {
        struct captured *one = *slot;
        if (one->interval_ns == 0) {
            *slot = one->next;
            periodic->count--;
            free(one->component);
            free(one);
            continue;
        }
        uint64_t due_ns = one->round < periodic->round_wanted ? 0 : one->due_ns;
        if (due_ns < first_ns) {
            first = one;
            first_ns = due_ns;
        }
        slot = &one->next;
    }
    *wake_ns_out = first_ns;
    return first_ns <= hf_clock_monotonic_ns() ? first : NULL;
}

/* The lock is held, but not while the program's function runs, nor while the state is put. */
static void capture_one(struct hf_periodic *periodic, struct captured *one)
{
    holdfast_capture *capture = one->capture;
    void *context = one->context;
    const void *data = NULL;
    size_t bytes = 0;
    uint64_t now_ns = hf_clock_monotonic_ns();
    one->round = periodic->round_wanted;
    one->due_ns += one->interval_ns;
    if (one->due_ns <= now_ns || one->due_ns > now_ns + one->interval_ns) /* what was missed is not made up for */
        one->due_ns = now_ns + one->interval_ns;
    periodic->running = one;
    pthread_mutex_unlock(&periodic->lock);
    uint64_t mark = periodic->target.mark(periodic->target.context);
    bool captured = capture(context, one->component, &data, &bytes);
    pthread_mutex_lock(&periodic->lock);
    periodic->running = NULL;
    /* Who waits for the end of the capture may free the data: it is waited for in find_idle until they are copied. */
    periodic->copying = captured && !periodic->stopping ? one : NULL;
    pthread_cond_broadcast(&periodic->changed);
    if (!periodic->copying)
        return;
    pthread_mutex_unlock(&periodic->lock);
    struct hf_queue_state *state = periodic->target.copy(periodic->target.context, one->component, data, bytes, mark);
    pthread_mutex_lock(&periodic->lock);
    periodic->copying = NULL;
    pthread_cond_broadcast(&periodic->changed);
    if (!state)
        return;
    pthread_mutex_unlock(&periodic->lock);
    periodic->target.put(periodic->target.context, state);
    pthread_mutex_lock(&periodic->lock);
}

/* Waits while it is being captured: that may be about memory which the caller frees next. NULL: there is none. Once
 * nothing can be set any more, it is not waited for. */
static struct captured *find_idle(struct hf_periodic *periodic, const char *component)
{
    for (;;) {
        struct captured *one = periodic->list;
        while (one && strcmp(one->component, component) != 0)
            one = one->next;
        bool idle = periodic->running != one && periodic->copying != one;
        if (!one || idle || is_self(periodic) || periodic->refusing)
            return one;
        wait_until(periodic, UINT64_MAX);
    }
}

/* The lock is held, but released for a moment where no thread can be had. */
static bool start(struct hf_periodic *periodic, struct holdfast_error *err)
{
    if (periodic->started)
        return true;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* the program's signals are for its own threads */
    periodic->target.begin(periodic->target.context);
    periodic->started = pthread_create(&periodic->thread, NULL, run, periodic) == 0;
    if (!periodic->started) { /* end takes the queue's lock, whose holders take this one */
        pthread_mutex_unlock(&periodic->lock);
        periodic->target.end(periodic->target.context);
        pthread_mutex_lock(&periodic->lock);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return periodic->started || hf_problem_set(err, HF_PROBLEM_NO_MEMORY, true, "a thread could not be started");
}

static bool is_self(const struct hf_periodic *periodic)
{
    return periodic->started && pthread_equal(periodic->thread, pthread_self());
}

static void wait_until(struct hf_periodic *periodic, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&periodic->changed, &periodic->lock);
        return;
    }
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / HF_SECOND_NS),
                                .tv_nsec = (long)(deadline_ns % HF_SECOND_NS)};
    pthread_cond_timedwait(&periodic->changed, &periodic->lock, &deadline);
}
