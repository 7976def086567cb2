/* Queues against the real server: with answers lost, 503 and silence on the way, the server killed and started again in
 * the middle, and a system that is restored behind their back. */
#include "client/holdfast.h"

#include "core/auto.h"
#include "tests/client/outbox_files.h"
#include "tests/support/faulty.h"
#include "tests/support/server.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define THREADS   4
#define COUNT(of) ((int)(sizeof(of) / sizeof((of)[0])))
#define OVERLOADED                                                                                                     \
    "HTTP/1.1 503 x\r\nContent-Type: application/problem+json\r\nRetry-After: 0\r\nConnection: close\r\n\r\n"          \
    "{\"detail\":\"busy\",\"code\":\"overloaded\",\"retryable\":true}"

static struct hf_test_server *server;
static struct hf_faulty *faulty;
static struct holdfast *service;
static struct holdfast_queue *queue;
static struct holdfast_error err;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects told */
static char told[4096];

#define must(call) ck_assert_msg(call, "%s: %s", err.code, err.text)

static void on_result(void *context, const char *component, const struct holdfast_receipt *receipt,
                      const struct holdfast_error *error)
{
    (void)context, (void)receipt;
    pthread_mutex_lock(&lock);
    if (error)
        snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s:%s ", component, error->code);
    pthread_mutex_unlock(&lock);
}

static void start(const struct hf_faulty_step *steps, int count, struct holdfast_queue_options options)
{
    setenv("no_proxy", "127.0.0.1", 1);
    server = hf_test_server_start(NULL);
    faulty = hf_faulty_start(steps, count, hf_test_server_port(server));
    must(holdfast_open(&(struct holdfast_options){.url = hf_faulty_url(faulty), .timeout_ms = 300, .retry_ms = -1},
                       &service, &err));
    options.on_result = on_result;
    must(holdfast_queue_open(service, &options, &queue, &err));
}

static void stop(void)
{
    must(holdfast_queue_close(queue, &err));
    holdfast_close(service);
    hf_faulty_stop(faulty);
    hf_test_server_free(server);
}

static bool save(const char *component, int number)
{
    char text[24];
    snprintf(text, sizeof(text), "%d", number);
    return holdfast_queue_save(queue, component, text, strlen(text), NULL, &err);
}

/* By a handle that waits, unlike that of the queue. */
static void load(const char *component, struct holdfast_state *out)
{
    struct holdfast *reader = NULL;
    HF_AUTO(free) char *url = hf_format("http://127.0.0.1:%d", hf_test_server_port(server));
    must(holdfast_open(&(struct holdfast_options){.url = url}, &reader, &err));
    must(holdfast_load(reader, component, NULL, out, &err));
    holdfast_close(reader);
}

static void expect_present(const char *component, const char *text, int64_t version)
{
    struct holdfast_state state = {0};
    load(component, &state);
    ck_assert_str_eq(state.data, text);
    if (version)
        ck_assert_int_eq(state.version, version);
    holdfast_state_free(&state);
}

static const struct hf_faulty_step pass_on[] = {{HF_FAULTY_PASS_ON}};

START_TEST(trouble_on_the_way_loses_nothing_and_stores_nothing_twice)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_ANSWER, OVERLOADED}, {HF_FAULTY_CLOSE_UNREAD},       {HF_FAULTY_SILENCE},
        {HF_FAULTY_PASS_ON_AND_CLOSE},  {HF_FAULTY_ANSWER, OVERLOADED}, {HF_FAULTY_PASS_ON}};
    start(steps, COUNT(steps), (struct holdfast_queue_options){0});
    must(save("a", 1));
    must(save("b", 1));
    must(save("c", 1));
    must(holdfast_queue_flush(queue, 0, &err));
    ck_assert_str_eq(told, "");
    expect_present("a", "1", 1);
    expect_present("b", "1", 1);
    expect_present("c", "1", 1);
    stop();
}
END_TEST

START_TEST(a_batch_holds_any_bytes_and_one_bad_state_fails_alone)
{
    const struct holdfast_save_options text = {.content_type = "text/plain"}, event = {.event = "won"};
    static const char bytes[] = "\0\xff\n\"}";
    struct holdfast_state state = {0};
    start(pass_on, 1, (struct holdfast_queue_options){.interval_ms = 1});
    must(save("a", 1));
    must(holdfast_queue_save(queue, "bad", "{\"a\":", 5, NULL, &err));
    must(holdfast_queue_save(queue, "spaced", " [1] ", 5, NULL, &err));
    must(holdfast_queue_save(queue, "bytes", bytes, sizeof(bytes), &text, &err));
    must(holdfast_queue_save(queue, "event", "2", 1, &event, &err));
    must(holdfast_queue_flush(queue, 0, &err));
    ck_assert_str_eq(told, "bad:invalid_request ");
    expect_present("a", "1", 1);
    expect_present("spaced", " [1] ", 1);
    expect_present("event", "2", 1);
    load("bytes", &state);
    ck_assert_uint_eq(state.bytes, sizeof(bytes));
    ck_assert_mem_eq(state.data, bytes, sizeof(bytes));
    ck_assert_str_eq(state.content_type, "text/plain");
    holdfast_state_free(&state);
    stop();
}
END_TEST

static atomic_bool enough;

struct saver {
    int number;
    int last; /* that it saved */
};

static void *save_numbers(void *argument)
{
    struct saver *saver = argument;
    char name[16];
    snprintf(name, sizeof(name), "own%d", saver->number);
    while (!atomic_load(&enough)) {
        char text[24];
        struct holdfast_error failure;
        snprintf(text, sizeof(text), "%d", ++saver->last);
        ck_assert_msg(holdfast_queue_save(queue, name, text, strlen(text), NULL, &failure), "%s", failure.text);
        usleep(2000);
    }
    return NULL;
}

START_TEST(many_threads_save_while_the_server_is_killed_and_comes_back)
{
    pthread_t threads[THREADS];
    struct saver savers[THREADS] = {0};
    start(pass_on, 1, (struct holdfast_queue_options){.states_max = 2, .outbox_directory = outbox});
    for (int i = 0; i < THREADS; i++) {
        savers[i].number = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, save_numbers, &savers[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        hf_faulty_await(faulty, hf_faulty_requests(faulty) + 3);
        hf_test_server_kill(server);
        hf_faulty_await(faulty, hf_faulty_requests(faulty) + 2);
        hf_test_server_start_again(server);
        hf_faulty_pass_on_to(faulty, hf_test_server_port(server));
    }
    hf_faulty_await(faulty, hf_faulty_requests(faulty) + 3);
    atomic_store(&enough, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    must(holdfast_queue_flush(queue, 0, &err));
    ck_assert_str_eq(told, "");
    for (int i = 0; i < THREADS; i++) {
        char name[16], last[24];
        snprintf(name, sizeof(name), "own%d", i);
        snprintf(last, sizeof(last), "%d", savers[i].last);
        expect_present(name, last, 0);
    }
    ck_assert_int_eq(count_files(), 0);
    stop();
}
END_TEST

/* Also what waits on disk for another process: its epoch is over as well. */
START_TEST(nothing_is_written_over_a_restored_system)
{
    start(pass_on, 1, (struct holdfast_queue_options){.outbox_directory = outbox});
    must(save("a", 1));
    must(holdfast_queue_flush(queue, 0, &err));
    holdfast_set_epoch(service, 1);
    must(holdfast_take_snapshot(service, "full", NULL, NULL, &err));
    must(save("a", 2));
    must(holdfast_queue_flush(queue, 0, &err));
    must(holdfast_restore(service, &(struct holdfast_restore_options){.snapshot = "latest"}, NULL, &err));
    must(save("a", 3));
    must(save("b", 3));
    must(holdfast_queue_flush(queue, 0, &err));
    ck_assert_ptr_nonnull(strstr(told, "a:stale_epoch"));
    ck_assert_ptr_nonnull(strstr(told, "b:stale_epoch"));
    ck_assert_int_eq(count_aside(".refused"), 2);
    ck_assert_int_eq(count_files(), 0);
    expect_present("a", "1", 0);
    holdfast_set_epoch(service, 2);
    must(save("a", 3));
    must(holdfast_queue_flush(queue, 0, &err));
    expect_present("a", "3", 0);
    stop();
}
END_TEST

START_TEST(cancelling_the_handle_ends_what_hangs_and_leaves_the_outbox)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_SILENCE}};
    start(steps, 1, (struct holdfast_queue_options){.outbox_directory = outbox});
    must(save("a", 1));
    hf_faulty_await(faulty, 1);
    holdfast_cancel(service);
    ck_assert(!holdfast_queue_flush(queue, 0, &err));
    ck_assert_str_eq(err.code, "cancelled");
    ck_assert(!holdfast_queue_close(queue, &err));
    ck_assert_int_eq(count_files(), 1);
    holdfast_close(service);
    hf_faulty_stop(faulty);
    hf_test_server_free(server);
}
END_TEST

HF_TEST_MAIN_WITH("queue_live", make_outbox_place, remove_outbox_place,
                  trouble_on_the_way_loses_nothing_and_stores_nothing_twice,
                  a_batch_holds_any_bytes_and_one_bad_state_fails_alone,
                  many_threads_save_while_the_server_is_killed_and_comes_back,
                  nothing_is_written_over_a_restored_system,
                  cancelling_the_handle_ends_what_hangs_and_leaves_the_outbox);
