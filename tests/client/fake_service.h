/* In the place of client/states.c: a service that stores what it is given, or fails in any way on command. Included by
 * one test program alone, whose calls then never reach the real one. */
#ifndef HF_TESTS_CLIENT_FAKE_SERVICE_H
#define HF_TESTS_CLIENT_FAKE_SERVICE_H

#include "client/problem.h"
#include "client/states.h"
#include "core/auto.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STORED_MAX 20000
#define TEXT_BYTES 64

struct stored {
    char component[40];
    char text[TEXT_BYTES];
    char event[40];
    int64_t epoch;
    size_t together; /* how many were saved in this call */
};

struct failing {
    const char *code; /* NULL: nothing fails */
    int status;
    bool retryable;
    int times;             /* how often; -1: always */
    const char *component; /* only calls with it; NULL: all */
    bool after_storing;    /* the answer gets lost, the state does not */
    int64_t retry_after_ms;
    bool by_other; /* it is not the service that answers */
};

struct holdfast {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct stored stored[STORED_MAX];
    size_t count;
    struct failing failing;
    bool gate_closed; /* calls wait */
    int inside;       /* calls that wait at the gate */
    int calls;
    int64_t epoch;
    atomic_bool cancelled;
    int log_fd; /* also told here, a line for each state; 0: not */
};

static struct holdfast service = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int64_t holdfast_epoch(const struct holdfast *handle)
{
    return handle->epoch;
}

const char *holdfast_system(const struct holdfast *handle)
{
    (void)handle;
    return "default";
}

bool hf_states_are_cancelled(const struct holdfast *handle)
{
    return atomic_load(&handle->cancelled);
}

struct hf_order_place hf_states_next_place(struct holdfast *handle)
{
    (void)handle;
    return (struct hf_order_place){0};
}

void hf_states_take_turn(struct holdfast *handle, const uint64_t writer[2], int64_t turn)
{
    (void)handle, (void)writer, (void)turn;
}

static inline void fake_gate(bool closed)
{
    pthread_mutex_lock(&service.lock);
    service.gate_closed = closed;
    pthread_cond_broadcast(&service.changed);
    pthread_mutex_unlock(&service.lock);
}

static inline void fake_fail(struct failing failing)
{
    pthread_mutex_lock(&service.lock);
    service.failing = failing;
    pthread_mutex_unlock(&service.lock);
}

/* Waits until a call is at the gate. */
static inline void fake_await_inside(void)
{
    pthread_mutex_lock(&service.lock);
    while (service.inside == 0)
        pthread_cond_wait(&service.changed, &service.lock);
    pthread_mutex_unlock(&service.lock);
}

static inline int fake_count_calls(void)
{
    pthread_mutex_lock(&service.lock);
    int calls = service.calls;
    pthread_mutex_unlock(&service.lock);
    return calls;
}

/* "a=1 b=2!event@epoch …": all that was stored, in order; an epoch of 0 is left out. Owns: free(). */
static inline char *fake_story(void)
{
    pthread_mutex_lock(&service.lock);
    char *text = hf_alloc(service.count * 160 + 1), *at = text;
    for (size_t i = 0; i < service.count; i++) {
        const struct stored *one = &service.stored[i];
        at += sprintf(at, "%s%s=%s", i ? " " : "", one->component, one->text);
        at += one->event[0] ? sprintf(at, "!%s", one->event) : 0;
        at += one->epoch ? sprintf(at, "@%d", (int)one->epoch) : 0;
    }
    pthread_mutex_unlock(&service.lock);
    return text;
}

static inline void fake_await_stored(size_t count)
{
    for (bool enough = false; !enough; usleep(1000)) {
        pthread_mutex_lock(&service.lock);
        enough = service.count >= count;
        pthread_mutex_unlock(&service.lock);
    }
}

static inline bool fake_concerns(const struct failing *failing, const struct holdfast_item *items, size_t count)
{
    bool found = !failing->component;
    for (size_t i = 0; i < count; i++)
        found = found || strcmp(items[i].component, failing->component) == 0;
    return found && failing->code && failing->times != 0;
}

static inline void fake_store(const struct holdfast_item *item, int64_t epoch, size_t together,
                              struct holdfast_receipt *out)
{
    ck_assert_uint_lt(service.count, STORED_MAX);
    struct stored *one = &service.stored[service.count++];
    *one = (struct stored){.epoch = epoch, .together = together};
    snprintf(one->component, sizeof(one->component), "%s", item->component);
    snprintf(one->text, sizeof(one->text), "%.*s", (int)item->bytes, (const char *)item->data);
    snprintf(one->event, sizeof(one->event), "%s", item->options.event ? item->options.event : "");
    if (service.log_fd > 0)
        dprintf(service.log_fd, "%s=%s\n", one->component, one->text);
    *out = (struct holdfast_receipt){.version = (int64_t)service.count, .epoch = epoch, .bytes = (int64_t)item->bytes};
}

static inline bool fake_save(const struct hf_states_terms *terms, const struct holdfast_item *items, size_t count,
                             struct holdfast_receipt *out, struct holdfast_error *err)
{
    pthread_mutex_lock(&service.lock);
    service.calls++;
    service.inside++;
    pthread_cond_broadcast(&service.changed);
    while (service.gate_closed && !atomic_load(terms->stop) && !atomic_load(&service.cancelled)) {
        pthread_mutex_unlock(&service.lock);
        usleep(1000);
        pthread_mutex_lock(&service.lock);
    }
    service.inside--;
    bool ended = atomic_load(terms->stop) || atomic_load(&service.cancelled);
    struct failing *failing = &service.failing;
    bool fails = fake_concerns(failing, items, count), ok = !ended && !fails;
    if (!ended && (!fails || failing->after_storing))
        for (size_t i = 0; i < count; i++)
            fake_store(&items[i], terms->epoch, count, &out[i]);
    if (ended) {
        hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "ended");
    } else if (fails) {
        hf_problem_set(err, failing->code, failing->retryable, "as it was commanded");
        err->status = failing->status;
        *terms->answer =
            (struct hf_states_answer){failing->status >= 400 && !failing->by_other, failing->retry_after_ms};
        failing->times -= failing->times > 0;
    }
    pthread_mutex_unlock(&service.lock);
    return ok;
}

bool hf_states_save(struct holdfast *handle, const struct hf_states_terms *terms, const char *component,
                    const void *data, size_t bytes, const struct holdfast_save_options *options,
                    struct holdfast_receipt *out, struct holdfast_error *err)
{
    (void)handle;
    struct holdfast_item item = {component, data, bytes, *options};
    return fake_save(terms, &item, 1, out, err);
}

bool hf_states_save_all(struct holdfast *handle, const struct hf_states_terms *terms, const struct holdfast_item *items,
                        size_t count, struct holdfast_receipt *out, struct holdfast_error *err)
{
    (void)handle;
    for (size_t i = 0; i < count; i++)
        ck_assert(!items[i].options.event); /* the service knows none there */
    return fake_save(terms, items, count, out, err);
}

#endif
