/* Queues against a service that fails on command: what the programs that test them share. Each test has a process of
 * its own, and so a service, a queue and an outbox of its own. */
#ifndef HF_TESTS_CLIENT_QUEUE_FIXTURE_H
#define HF_TESTS_CLIENT_QUEUE_FIXTURE_H

#include "client/holdfast.h"
#include "tests/client/fake_service.h"
#include "tests/client/outbox_files.h"

#include <check.h>
#include <pthread.h>

#define TOLD_MAX STORED_MAX

/* What on_result said: "a:stored", "a:unchanged", "a:CODE". */
static struct {
    pthread_mutex_t lock;
    char text[TOLD_MAX * 8];
    size_t bytes;
    pthread_t thread;
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct holdfast_queue *queue;
static struct holdfast_error err;

static inline void on_result(void *context, const char *component, const struct holdfast_receipt *receipt,
                             const struct holdfast_error *error)
{
    (void)context;
    ck_assert((receipt != NULL) != (error != NULL));
    pthread_mutex_lock(&told.lock);
    told.thread = pthread_self();
    told.bytes += (size_t)snprintf(told.text + told.bytes, sizeof(told.text) - told.bytes, "%s%s:%s",
                                   told.bytes ? " " : "", component,
                                   error                ? error->code
                                   : receipt->unchanged ? "unchanged"
                                                        : "stored");
    pthread_mutex_unlock(&told.lock);
}

static inline void open_queue(struct holdfast_queue_options options)
{
    options.on_result = options.on_result ? options.on_result : on_result;
    ck_assert_msg(holdfast_queue_open(&service, &options, &queue, &err), "%s", err.text);
}

static inline void save(const char *component, const char *text)
{
    ck_assert_msg(holdfast_queue_save(queue, component, text, strlen(text), NULL, &err), "%s", err.text);
}

static inline void save_event(const char *component, const char *text, const char *event)
{
    struct holdfast_save_options options = {.event = event};
    ck_assert_msg(holdfast_queue_save(queue, component, text, strlen(text), &options, &err), "%s", err.text);
}

static inline bool refuses(const char *component, const char *text, const char *code)
{
    return !holdfast_queue_save(queue, component, text, strlen(text), NULL, &err) && strcmp(err.code, code) == 0;
}

static inline void flush(void)
{
    ck_assert_msg(holdfast_queue_flush(queue, 0, &err), "%s", err.text);
}

static inline struct holdfast_queue_counts counts(void)
{
    struct holdfast_queue_counts out;
    holdfast_queue_count(queue, &out);
    return out;
}

/* Every state that was queued has come to one end, or waits. */
static inline void close_balanced(void)
{
    struct holdfast_queue_counts now;
    if (holdfast_queue_flush(queue, 0, &err)) {
        now = counts();
        ck_assert_uint_eq(now.queued, now.stored + now.unchanged + now.coalesced + now.given_up);
        ck_assert_uint_eq(now.waiting, 0);
        ck_assert_uint_eq(now.waiting_bytes, 0);
    }
    ck_assert_msg(holdfast_queue_close(queue, &err), "%s", err.text);
}

#define ck_assert_story(expected)                                                                                      \
    do {                                                                                                               \
        char *story_ = fake_story();                                                                                   \
        ck_assert_str_eq(story_, (expected));                                                                          \
        free(story_);                                                                                                  \
    } while (0)

/* One state is on its way and does not arrive: all that follows waits. */
static inline void hold_up(void)
{
    fake_gate(true);
    save("held", "0");
    fake_await_inside();
}

#endif
