/* Queues against a service that fails on command. */
#include "client/holdfast.h"

#include "tests/client/fake_service.h"
#include "tests/client/outbox_files.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <sys/wait.h>

#define THREADS          8
#define SAVES_PER_THREAD 100
#define TOLD_MAX         STORED_MAX

/* What on_result said: "a:stored", "a:unchanged", "a:CODE". */
static struct {
    pthread_mutex_t lock;
    char text[TOLD_MAX * 8];
    size_t bytes;
    pthread_t thread;
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct holdfast_queue *queue;
static struct holdfast_error err;

static void on_result(void *context, const char *component, const struct holdfast_receipt *receipt,
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

static void open_queue(struct holdfast_queue_options options)
{
    options.on_result = options.on_result ? options.on_result : on_result;
    ck_assert_msg(holdfast_queue_open(&service, &options, &queue, &err), "%s", err.text);
}

static void save(const char *component, const char *text)
{
    ck_assert_msg(holdfast_queue_save(queue, component, text, strlen(text), NULL, &err), "%s", err.text);
}

static void save_event(const char *component, const char *text, const char *event)
{
    struct holdfast_save_options options = {.event = event};
    ck_assert_msg(holdfast_queue_save(queue, component, text, strlen(text), &options, &err), "%s", err.text);
}

static bool refuses(const char *component, const char *text, const char *code)
{
    return !holdfast_queue_save(queue, component, text, strlen(text), NULL, &err) && strcmp(err.code, code) == 0;
}

static void flush(void)
{
    ck_assert_msg(holdfast_queue_flush(queue, 0, &err), "%s", err.text);
}

static struct holdfast_queue_counts counts(void)
{
    struct holdfast_queue_counts out;
    holdfast_queue_count(queue, &out);
    return out;
}

/* Every state that was queued has come to one end, or waits. */
static void close_balanced(void)
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
static void hold_up(void)
{
    fake_gate(true);
    save("held", "0");
    fake_await_inside();
}

START_TEST(what_is_queued_is_stored_and_told_in_a_thread_of_the_queue)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    ck_assert_story("a=1");
    ck_assert_str_eq(told.text, "a:stored");
    ck_assert(!pthread_equal(told.thread, pthread_self()));
    close_balanced();
}
END_TEST

START_TEST(rapid_saves_of_one_component_are_stored_as_the_newest_alone)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    char text[8];
    for (int i = 1; i <= 100; i++) {
        snprintf(text, sizeof(text), "%d", i);
        save("a", text);
    }
    ck_assert_uint_eq(counts().waiting, 2);
    ck_assert_uint_eq(counts().waiting_bytes, 4);
    fake_gate(false);
    flush();
    ck_assert_story("held=0 a=100");
    ck_assert_uint_eq(counts().coalesced, 99);
    close_balanced();
}
END_TEST

START_TEST(content_that_was_acknowledged_is_not_sent_again)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    save("a", "1");
    flush();
    ck_assert_int_eq(fake_count_calls(), 1);
    ck_assert_str_eq(told.text, "a:stored a:unchanged");
    save("a", "2");
    flush();
    save("a", "1");
    flush();
    ck_assert_story("a=1 a=2 a=1");
    close_balanced();
}
END_TEST

START_TEST(content_that_returns_while_another_is_on_its_way_is_sent)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    fake_gate(true);
    save("a", "2");
    fake_await_inside();
    save("a", "1");
    fake_gate(false);
    flush();
    ck_assert_story("a=1 a=2 a=1");
    close_balanced();
}
END_TEST

START_TEST(content_that_returns_before_another_was_sent_is_not_sent)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    hold_up();
    save("a", "2");
    save("a", "1");
    fake_gate(false);
    flush();
    ck_assert_story("a=1 held=0");
    close_balanced();
}
END_TEST

START_TEST(acknowledged_content_is_sent_again_with_an_event_or_another_type_or_in_another_epoch)
{
    open_queue((struct holdfast_queue_options){0});
    save("a", "1");
    flush();
    save_event("a", "1", "won");
    flush();
    struct holdfast_save_options options = {.content_type = "text/plain"};
    ck_assert(holdfast_queue_save(queue, "a", "1", 1, &options, &err));
    flush();
    service.epoch = 3;
    ck_assert(holdfast_queue_save(queue, "a", "1", 1, &options, &err));
    flush();
    ck_assert_story("a=1 a=1!won a=1 a=1@3");
    close_balanced();
}
END_TEST

START_TEST(an_event_outlives_the_state_that_it_came_with)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    save_event("a", "1", "won");
    save("a", "2");
    save_event("b", "1", "won");
    save_event("b", "2", "lost");
    fake_gate(false);
    flush();
    ck_assert_story("held=0 a=2!won b=2!lost");
    close_balanced();
}
END_TEST

START_TEST(an_event_outlives_a_failure_of_the_state_that_it_came_with)
{
    open_queue((struct holdfast_queue_options){0});
    fake_gate(true);
    save_event("a", "1", "won");
    fake_await_inside();
    save("a", "2");
    fake_fail((struct failing){"unreachable", 0, true, 1, NULL, false});
    fake_gate(false);
    flush();
    ck_assert_story("a=2!won");
    close_balanced();
}
END_TEST

START_TEST(what_waits_goes_together_but_large_states_events_and_other_epochs_apart)
{
    size_t large_bytes = 300 * 1024;
    HF_AUTO(free) char *large = hf_alloc(large_bytes);
    memset(large, 'x', large_bytes);
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        save(name, "1");
    }
    save_event("event", "1", "won");
    ck_assert(holdfast_queue_save(queue, "large", large, large_bytes, NULL, &err));
    service.epoch = 2;
    save("later", "1");
    save("later2", "1");
    fake_gate(false);
    flush();
    ck_assert_uint_eq(service.count, 305);
    for (size_t i = 0; i < service.count; i++) {
        const struct stored *one = &service.stored[i];
        size_t expected = one->component[0] == 'c'                 ? (i <= 256 ? 256 : 44)
                          : one->component[1] == 'a' && one->epoch ? 2
                                                                   : 1;
        ck_assert_msg(one->together == expected, "%s (%zu) with %zu", one->component, i, one->together);
    }
    ck_assert_int_eq(service.calls, 6);
    close_balanced();
}
END_TEST

START_TEST(one_bad_state_does_not_fail_the_others)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    save("a", "1");
    save("bad", "1");
    save("c", "1");
    fake_fail((struct failing){"invalid_request", 400, false, -1, "bad", false});
    fake_gate(false);
    flush();
    ck_assert_story("held=0 a=1 c=1");
    ck_assert_str_eq(told.text, "held:stored a:stored bad:invalid_request c:stored");
    ck_assert_uint_eq(counts().given_up, 1);
    close_balanced();
}
END_TEST

START_TEST(what_was_given_up_is_sent_when_it_is_queued_again)
{
    open_queue((struct holdfast_queue_options){0});
    fake_fail((struct failing){"invalid_request", 400, false, 1, NULL, false});
    save("a", "1");
    flush();
    save("a", "1");
    flush();
    ck_assert_story("a=1");
    close_balanced();
}
END_TEST

START_TEST(what_fails_while_the_service_is_away_is_tried_until_it_is_back)
{
    static const struct failing ways[] = {{"unreachable", 0, true, 3, NULL, false},
                                          {"timed_out", 0, true, 3, NULL, false},
                                          {"outcome_unknown", 0, false, 3, NULL, false},
                                          {"overloaded", 503, true, 3, NULL, false},
                                          {"no_memory", 0, false, 3, NULL, false}};
    open_queue((struct holdfast_queue_options){0});
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char text[8];
        snprintf(text, sizeof(text), "%zu", i);
        fake_fail(ways[i]);
        save("a", text);
        save("b", text);
        flush();
    }
    ck_assert_uint_eq(service.count, 10);
    ck_assert_uint_ge(counts().retried, 15);
    ck_assert_uint_eq(counts().given_up, 0);
    close_balanced();
}
END_TEST

START_TEST(a_newer_state_is_never_overtaken_by_an_older_one_that_is_tried_again)
{
    open_queue((struct holdfast_queue_options){0});
    fake_gate(true);
    save("a", "1");
    fake_await_inside();
    save("a", "2");
    fake_fail((struct failing){"timed_out", 0, true, 1, NULL, true}); /* it had arrived */
    fake_gate(false);
    flush();
    ck_assert_story("a=1 a=2");
    ck_assert_uint_eq(counts().coalesced, 1);
    close_balanced();
}
END_TEST

START_TEST(a_state_that_fails_for_now_lets_the_others_pass)
{
    open_queue((struct holdfast_queue_options){0});
    fake_fail((struct failing){"storage_full", 507, true, -1, "full", false});
    hold_up();
    save("full", "1");
    save("b", "1");
    fake_gate(false);
    fake_await_stored(2);
    save("c", "1");
    fake_await_stored(3);
    ck_assert_story("held=0 b=1 c=1");
    fake_fail((struct failing){0});
    flush();
    ck_assert_story("held=0 b=1 c=1 full=1");
    close_balanced();
}
END_TEST

START_TEST(states_of_an_epoch_that_is_over_are_given_up_and_told)
{
    open_queue((struct holdfast_queue_options){0});
    service.epoch = 1;
    hold_up();
    save("a", "1");
    save("b", "1");
    fake_fail((struct failing){"stale_epoch", 409, false, 2, NULL, false});
    fake_gate(false);
    flush();
    ck_assert_str_eq(told.text, "held:stale_epoch a:stale_epoch b:stale_epoch");
    ck_assert_int_eq(fake_count_calls(), 2);
    service.epoch = 2;
    save("a", "2");
    flush();
    ck_assert_story("a=2@2");
    close_balanced();
}
END_TEST

START_TEST(a_full_queue_refuses)
{
    open_queue((struct holdfast_queue_options){.states_max = 3, .bytes_max = 6, .when_full = HOLDFAST_REFUSE});
    hold_up();
    ck_assert(refuses("a", "7654321", "queue_full") && !err.retryable);
    save("a", "1");
    ck_assert(refuses("b", "12345", "queue_full") && err.retryable);
    save("b", "1");
    ck_assert(refuses("c", "1", "queue_full"));
    save("a", "123"); /* in the place of another of its own */
    ck_assert(refuses("a", "123456", "queue_full"));
    fake_gate(false);
    flush();
    ck_assert_story("held=0 a=123 b=1");
    save("c", "1");
    close_balanced();
}
END_TEST

START_TEST(a_full_queue_gives_up_what_waits_longest)
{
    open_queue((struct holdfast_queue_options){.states_max = 3, .when_full = HOLDFAST_DROP_OLDEST});
    hold_up();
    save("a", "1");
    save("b", "1");
    save("a", "2"); /* still as old as its first one */
    save("c", "1");
    ck_assert_str_eq(told.text, "a:queue_full");
    save("d", "1");
    ck_assert_str_eq(told.text, "a:queue_full b:queue_full");
    fake_gate(false);
    flush();
    ck_assert_story("held=0 c=1 d=1");
    ck_assert_uint_eq(counts().given_up, 2);
    close_balanced();
}
END_TEST

START_TEST(what_is_on_its_way_is_not_dropped)
{
    open_queue((struct holdfast_queue_options){.states_max = 1, .when_full = HOLDFAST_DROP_OLDEST});
    hold_up();
    save("a", "1");
    save("b", "1");
    fake_gate(false);
    flush();
    ck_assert_story("held=0 b=1");
    close_balanced();
}
END_TEST

static void *save_later(void *argument)
{
    struct holdfast_error *failure = argument;
    memset(failure, 0, sizeof(*failure));
    holdfast_queue_save(queue, "late", "1", 1, NULL, failure);
    return NULL;
}

/* A thread that is known to wait for room. */
static pthread_t block_a_saver(struct holdfast_error *failure)
{
    pthread_t thread;
    open_queue((struct holdfast_queue_options){.states_max = 1, .flush_ms = 50});
    hold_up();
    ck_assert_int_eq(pthread_create(&thread, NULL, save_later, failure), 0);
    usleep(20000); /* so that it usually does wait; the tests are right without */
    return thread;
}

START_TEST(a_saver_waits_for_room)
{
    struct holdfast_error failure;
    pthread_t thread = block_a_saver(&failure);
    ck_assert_uint_eq(counts().waiting, 1);
    fake_gate(false);
    pthread_join(thread, NULL);
    ck_assert_str_eq(failure.code, "");
    flush();
    ck_assert_story("held=0 late=1");
    close_balanced();
}
END_TEST

START_TEST(closing_ends_the_wait_for_room_and_a_call_that_hangs)
{
    struct holdfast_error failure;
    pthread_t thread = block_a_saver(&failure);
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "timed_out");
    pthread_join(thread, NULL);
    ck_assert_str_eq(failure.code, "cancelled");
    ck_assert_str_eq(told.text, "held:timed_out");
    ck_assert_uint_eq(service.count, 0);
}
END_TEST

START_TEST(cancelling_the_handle_ends_every_wait)
{
    struct holdfast_error failure;
    pthread_t thread = block_a_saver(&failure);
    atomic_store(&service.cancelled, true);
    pthread_join(thread, NULL);
    ck_assert_str_eq(failure.code, "cancelled");
    ck_assert(!holdfast_queue_flush(queue, 0, &err));
    ck_assert_str_eq(err.code, "cancelled");
    ck_assert(refuses("a", "1", "cancelled"));
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "cancelled");
    ck_assert_str_eq(told.text, "held:cancelled");
}
END_TEST

START_TEST(a_flush_says_when_its_time_is_over)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    ck_assert(!holdfast_queue_flush(queue, 20, &err));
    ck_assert_str_eq(err.code, "timed_out");
    fake_gate(false);
    close_balanced();
}
END_TEST

START_TEST(closing_stores_what_waits)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    save("a", "1");
    fake_gate(false);
    ck_assert(holdfast_queue_close(queue, &err));
    ck_assert_story("held=0 a=1");
}
END_TEST

START_TEST(between_two_saves_of_a_component_there_is_the_least_interval_unless_somebody_flushes)
{
    open_queue((struct holdfast_queue_options){.interval_ms = 3600000});
    save("a", "1");
    fake_await_stored(1);
    save("a", "2");
    save("b", "1");
    fake_await_stored(2);
    ck_assert_story("a=1 b=1");
    save("a", "3");
    flush();
    ck_assert_story("a=1 b=1 a=3");
    close_balanced();
}
END_TEST

static atomic_int captures;

static bool capture(void *context, const char *component, const void **data, size_t *bytes)
{
    static _Thread_local char text[32];
    (void)component;
    int number = atomic_fetch_add(&captures, 1) + 1;
    *bytes = (size_t)snprintf(text, sizeof(text), "%s%d", (const char *)context, number);
    *data = text;
    return number != 2;
}

START_TEST(a_periodic_component_is_captured_and_saved_again_and_again)
{
    open_queue((struct holdfast_queue_options){0});
    ck_assert(holdfast_queue_every(queue, "a", 1, capture, (void *)"x", &err));
    fake_await_stored(3);
    ck_assert(holdfast_queue_every(queue, "a", 0, NULL, NULL, &err));
    int before = atomic_load(&captures);
    flush();
    ck_assert_int_eq(atomic_load(&captures), before);
    HF_AUTO(free) char *story = fake_story();
    ck_assert_msg(strncmp(story, "a=x1 a=x3", 9) == 0, "%s", story);
    close_balanced();
}
END_TEST

START_TEST(flushing_and_closing_capture_what_is_periodic)
{
    open_queue((struct holdfast_queue_options){0});
    ck_assert(holdfast_queue_every(queue, "a", 3600000, capture, (void *)"x", &err));
    ck_assert(holdfast_queue_every(queue, "b", 3600000, capture, (void *)"old", &err));
    ck_assert(holdfast_queue_every(queue, "b", 3600000, capture, (void *)"y", &err));
    flush(); /* the second capture has nothing to give */
    ck_assert_uint_eq(service.count, 1);
    ck_assert_ptr_null(strstr(service.stored[0].text, "old"));
    ck_assert(holdfast_queue_close(queue, &err));
    ck_assert_int_eq(atomic_load(&captures), 4);
    ck_assert_uint_eq(service.count, 3);
}
END_TEST

START_TEST(captures_go_on_while_the_service_is_away)
{
    open_queue((struct holdfast_queue_options){0});
    hold_up();
    ck_assert(holdfast_queue_every(queue, "a", 1, capture, (void *)"x", &err));
    while (atomic_load(&captures) < 5)
        usleep(1000);
    ck_assert(holdfast_queue_every(queue, "a", 0, NULL, NULL, &err));
    fake_gate(false);
    flush();
    ck_assert_uint_eq(service.count, 2);
    close_balanced();
}
END_TEST

/* Every thread saves numbers to its own component and, turn by turn, to one of all. */
static void *save_numbers(void *argument)
{
    char name[16], text[24];
    snprintf(name, sizeof(name), "own%d", *(int *)argument);
    for (int i = 1; i <= SAVES_PER_THREAD; i++) {
        snprintf(text, sizeof(text), "%d", i);
        struct holdfast_error failure;
        ck_assert_msg(holdfast_queue_save(queue, name, text, strlen(text), NULL, &failure), "%s", failure.text);
        ck_assert_msg(holdfast_queue_save(queue, "shared", text, strlen(text), NULL, &failure), "%s", failure.text);
        if (i % 25 == 0)
            ck_assert_msg(holdfast_queue_flush(queue, 0, &failure), "%s", failure.text);
    }
    return NULL;
}

static void check_numbers(void)
{
    int last[THREADS] = {0}, number;
    for (size_t i = 0; i < service.count; i++) {
        const struct stored *one = &service.stored[i];
        if (sscanf(one->component, "own%d", &number) != 1)
            continue;
        ck_assert_msg(atoi(one->text) >= last[number], "%s: %s after %d", one->component, one->text, last[number]);
        last[number] = atoi(one->text);
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(last[i], SAVES_PER_THREAD);
}

static void save_from_many_threads(const char *directory)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    open_queue((struct holdfast_queue_options){.states_max = 3, .outbox_directory = directory});
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, save_numbers, &numbers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        fake_fail((struct failing){"unreachable", 0, true, 1, NULL, i % 2 == 1});
        usleep(2000);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    close_balanced();
    check_numbers();
}

START_TEST(many_threads_save_in_order_through_a_small_queue)
{
    save_from_many_threads(NULL);
}
END_TEST

START_TEST(many_threads_save_in_order_through_a_small_queue_with_an_outbox)
{
    save_from_many_threads(outbox);
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

/* A process that queues and dies before anything is stored. */
static void queue_and_die(void (*work)(void))
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        fake_gate(true);
        open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
        work();
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void queue_some(void)
{
    service.epoch = 4;
    save("a", "1");
    fake_await_inside();
    save("a", "2");
    save_event("b", "1", "won");
    save("b", "2");
    save("c", "1");
}

START_TEST(what_a_process_queued_before_it_died_is_sent_first_by_the_next_one)
{
    queue_and_die(queue_some);
    ck_assert_int_eq(count_files(), 3);
    fake_gate(true);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    ck_assert_uint_eq(counts().waiting, 3);
    ck_assert_uint_eq(counts().waiting_bytes, 3);
    fake_await_inside();
    save("d", "1");
    fake_gate(false);
    flush();
    ck_assert_int_eq(count_files(), 0);
    HF_AUTO(free) char *story = fake_story();
    ck_assert(strstr(story, "a=2@4") && strstr(story, "b=2!won@4") && strstr(story, "c=1@4"));
    ck_assert_str_eq(story + strlen(story) - 3, "d=1");
    close_balanced();
}
END_TEST

START_TEST(a_state_takes_the_place_of_what_an_earlier_process_left_and_keeps_its_event)
{
    queue_and_die(queue_some);
    fake_gate(true);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    fake_await_inside(); /* with what is sent first */
    save("a", "3");
    save("b", "3");
    save("c", "3");
    fake_gate(false);
    flush();
    HF_AUTO(free) char *story = fake_story();
    ck_assert_ptr_nonnull(strstr(story, "a=3"));
    ck_assert_ptr_nonnull(strstr(story, "c=3"));
    ck_assert_msg(strstr(story, "b=3!won") || strstr(story, "b=2!won"), "%s", story);
    ck_assert_int_eq(count_files(), 0);
    close_balanced();
}
END_TEST

START_TEST(what_was_stored_leaves_the_outbox_and_what_waits_stays)
{
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox, .flush_ms = 50});
    save("a", "1");
    flush();
    ck_assert_int_eq(count_files(), 0);
    fake_gate(true);
    save("a", "2");
    fake_await_inside();
    save("a", "3");
    ck_assert_int_eq(count_files(), 1);
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_str_eq(err.code, "timed_out");
    ck_assert_ptr_nonnull(strstr(err.text, "outbox"));
    ck_assert_str_eq(told.text, "a:stored");
    fake_gate(false);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    flush();
    ck_assert_story("a=1 a=3");
    ck_assert_int_eq(count_files(), 0);
    close_balanced();
}
END_TEST

START_TEST(content_that_returns_while_another_waits_in_the_outbox_outlives_the_process)
{
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox, .flush_ms = 50});
    save("a", "1");
    flush();
    hold_up();
    save("a", "2");
    save("a", "1");
    ck_assert(!holdfast_queue_close(queue, &err));
    fake_gate(false);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    flush();
    HF_AUTO(free) char *story = fake_story();
    ck_assert_ptr_null(strstr(story, "a=2"));
    close_balanced();
}
END_TEST

START_TEST(a_refused_state_is_set_aside_and_one_with_a_bad_token_stays)
{
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    fake_fail((struct failing){"invalid_request", 400, false, 1, NULL, false});
    save("a", "1");
    flush();
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(count_aside(".refused"), 1);
    fake_fail((struct failing){"unauthorized", 401, false, 1, NULL, false});
    save("b", "1");
    flush();
    ck_assert_str_eq(told.text, "a:invalid_request b:unauthorized");
    ck_assert_int_eq(count_files(), 1);
    close_balanced();
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    flush();
    ck_assert_story("b=1");
    close_balanced();
}
END_TEST

START_TEST(a_state_that_a_bad_token_left_behind_never_overtakes_what_was_queued_after_it)
{
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    save("a", "1");
    flush();
    fake_fail((struct failing){"unauthorized", 401, false, 1, NULL, false});
    save("a", "2");
    flush();
    ck_assert_int_eq(count_files(), 1);
    save("a", "1"); /* what is there already: nothing to send, but the file must go */
    flush();
    ck_assert_int_eq(count_files(), 0);
    ck_assert_story("a=1");
    close_balanced();
}
END_TEST

START_TEST(a_damaged_state_is_told_and_set_aside_and_the_others_are_sent)
{
    queue_and_die(queue_some);
    damage_file("b-", -1);
    damage_file("c-", 0);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox});
    flush();
    ck_assert_story("a=2@4");
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(count_aside(".damaged"), 2);
    ck_assert_ptr_nonnull(strstr(told.text, "b:outbox_failed"));
    ck_assert_ptr_nonnull(strstr(told.text, ".state:outbox_failed"));
    ck_assert_int_eq(strncmp(told.text, "c-", 2), 0);
    close_balanced();
}
END_TEST

START_TEST(giving_up_the_oldest_removes_its_file)
{
    open_queue((
        struct holdfast_queue_options){.outbox_directory = outbox, .states_max = 2, .when_full = HOLDFAST_DROP_OLDEST});
    hold_up();
    save("a", "1");
    save("b", "1");
    ck_assert_int_eq(count_files(), 2);
    fake_gate(false);
    close_balanced();
    ck_assert_story("held=0 b=1");
}
END_TEST

START_TEST(an_outbox_may_hold_more_than_the_queue_that_opens_it_may)
{
    queue_and_die(queue_some);
    open_queue((struct holdfast_queue_options){.outbox_directory = outbox, .states_max = 1, .bytes_max = 1});
    save("a", "9");
    flush();
    ck_assert_uint_ge(service.count, 3);
    close_balanced();
}
END_TEST

START_TEST(an_outbox_that_another_queue_has_open_is_not_opened)
{
    struct holdfast_queue *second;
    struct holdfast_queue_options options = {.outbox_directory = outbox};
    open_queue(options);
    ck_assert(!holdfast_queue_open(&service, &options, &second, &err));
    ck_assert_str_eq(err.code, "outbox_failed");
    ck_assert_ptr_nonnull(strstr(err.text, "another queue"));
    close_balanced();
    open_queue(options);
    close_balanced();
}
END_TEST

static void exit_with_a_full_queue(int log_fd, bool after_closing)
{
    service.log_fd = log_fd;
    fake_gate(true);
    open_queue((struct holdfast_queue_options){.flush_at_exit = true});
    save("a", "1");
    fake_await_inside();
    save("a", "2");
    pid_t child = fork(); /* leaves through exit() itself, and must neither hang nor flush */
    if (child == 0)
        exit(0);
    waitpid(child, NULL, 0);
    fake_gate(false);
    if (after_closing)
        holdfast_queue_close(queue, NULL);
    exit(7);
}

/* What a child that ends with exit() stored, one state a line. */
static void expect_story_of_exit(bool after_closing, const char *expected)
{
    int ends[2], status;
    char text[4096] = "";
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        exit_with_a_full_queue(ends[1], after_closing);
    close(ends[1]);
    for (ssize_t got, bytes = 0; (got = read(ends[0], text + bytes, 4000 - (size_t)bytes)) > 0;)
        bytes += got;
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    ck_assert_str_eq(text, expected);
}

START_TEST(exit_stores_what_waits)
{
    expect_story_of_exit(false, "a=1\na=2\n");
    expect_story_of_exit(true, "a=1\na=2\n");
}
END_TEST

START_TEST(a_child_of_fork_cannot_use_the_queue)
{
    open_queue((struct holdfast_queue_options){0});
    pid_t child = fork();
    if (child == 0)
        _exit(refuses("a", "1", "invalid_argument") && !holdfast_queue_close(queue, &err) ? 0 : 1);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close_balanced();
}
END_TEST

static void save_again(void *context, const char *component, const struct holdfast_receipt *receipt,
                       const struct holdfast_error *error)
{
    (void)receipt, (void)error;
    if (strcmp(component, "a") == 0) {
        ck_assert(!holdfast_queue_flush(queue, 0, &err));
        ck_assert_str_eq(err.code, "invalid_argument");
        *(bool *)context = holdfast_queue_save(queue, "b", "1", 1, NULL, &err);
    }
}

START_TEST(a_callback_may_save_but_never_waits_for_itself)
{
    bool saved = false;
    open_queue((struct holdfast_queue_options){.on_result = save_again, .context = &saved});
    save("a", "1");
    fake_await_stored(2);
    flush();
    ck_assert(saved);
    ck_assert_story("a=1 b=1");
    ck_assert(holdfast_queue_close(queue, &err));
    open_queue((struct holdfast_queue_options){.on_result = save_again, .context = &saved, .states_max = 1});
    save("a", "2");
    flush();
    ck_assert(!saved);
    ck_assert_str_eq(err.code, "queue_full");
    ck_assert(holdfast_queue_close(queue, &err));
}
END_TEST

START_TEST(what_a_queue_cannot_take_is_refused_at_once)
{
    struct holdfast_save_options match = {.if_match = "\"1-0\""}, absent = {.if_absent = true},
                                 event = {.event = "a b"}, type = {.content_type = "a\nb"};
    const struct holdfast_save_options *const bad[] = {&match, &absent, &event, &type};
    open_queue((struct holdfast_queue_options){0});
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert(!holdfast_queue_save(queue, "a", "1", 1, bad[i], &err));
        ck_assert_str_eq(err.code, "invalid_argument");
    }
    ck_assert(refuses("../a", "1", "invalid_argument"));
    ck_assert(!holdfast_queue_save(queue, NULL, "1", 1, NULL, &err));
    ck_assert(!holdfast_queue_every(queue, "a", 5, NULL, NULL, &err));
    ck_assert(!holdfast_queue_open(&service, &(struct holdfast_queue_options){.flush_ms = -1}, &queue, &err));
    close_balanced();
    ck_assert_int_eq(fake_count_calls(), 0);
}
END_TEST

HF_TEST_MAIN_WITH(
    "queue", make_outbox_place, remove_outbox_place, what_is_queued_is_stored_and_told_in_a_thread_of_the_queue,
    rapid_saves_of_one_component_are_stored_as_the_newest_alone, content_that_was_acknowledged_is_not_sent_again,
    content_that_returns_while_another_is_on_its_way_is_sent, content_that_returns_before_another_was_sent_is_not_sent,
    acknowledged_content_is_sent_again_with_an_event_or_another_type_or_in_another_epoch,
    an_event_outlives_the_state_that_it_came_with, an_event_outlives_a_failure_of_the_state_that_it_came_with,
    what_waits_goes_together_but_large_states_events_and_other_epochs_apart, one_bad_state_does_not_fail_the_others,
    what_was_given_up_is_sent_when_it_is_queued_again, what_fails_while_the_service_is_away_is_tried_until_it_is_back,
    a_newer_state_is_never_overtaken_by_an_older_one_that_is_tried_again,
    a_state_that_fails_for_now_lets_the_others_pass, states_of_an_epoch_that_is_over_are_given_up_and_told,
    a_full_queue_refuses, a_full_queue_gives_up_what_waits_longest, what_is_on_its_way_is_not_dropped,
    a_saver_waits_for_room, closing_ends_the_wait_for_room_and_a_call_that_hangs, cancelling_the_handle_ends_every_wait,
    a_flush_says_when_its_time_is_over, closing_stores_what_waits,
    between_two_saves_of_a_component_there_is_the_least_interval_unless_somebody_flushes,
    a_periodic_component_is_captured_and_saved_again_and_again, flushing_and_closing_capture_what_is_periodic,
    captures_go_on_while_the_service_is_away, many_threads_save_in_order_through_a_small_queue,
    many_threads_save_in_order_through_a_small_queue_with_an_outbox,
    what_a_process_queued_before_it_died_is_sent_first_by_the_next_one,
    a_state_takes_the_place_of_what_an_earlier_process_left_and_keeps_its_event,
    what_was_stored_leaves_the_outbox_and_what_waits_stays,
    content_that_returns_while_another_waits_in_the_outbox_outlives_the_process,
    a_refused_state_is_set_aside_and_one_with_a_bad_token_stays,
    a_state_that_a_bad_token_left_behind_never_overtakes_what_was_queued_after_it,
    a_damaged_state_is_told_and_set_aside_and_the_others_are_sent, giving_up_the_oldest_removes_its_file,
    an_outbox_may_hold_more_than_the_queue_that_opens_it_may, an_outbox_that_another_queue_has_open_is_not_opened,
    exit_stores_what_waits, a_child_of_fork_cannot_use_the_queue, a_callback_may_save_but_never_waits_for_itself,
    what_a_queue_cannot_take_is_refused_at_once);
