/* Writes that were given up and arrive all the same, after newer ones were acknowledged: held back on the way, or in
 * the sockets of a server that stood still. */
#include "client/handle.h"

#include "core/auto.h"
#include "tests/client/outbox_files.h"
#include "tests/support/faulty.h"
#include "tests/support/server.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OLD_BYTES     ((size_t)900 * 1024 + 1)
#define PATIENCE_MS   300    /* for what is not answered in this time, whatever else is slow */
#define PATIENCE_LONG 120000 /* only a hang takes so long */

static struct hf_test_server *server;
static struct hf_faulty *faulty; /* NULL: straight to the server */
static struct holdfast *service;
static struct holdfast_error err;

#define must(call) ck_assert_msg(call, "%s: %s", err.code, err.text)

static void start(const struct hf_faulty_step *steps, int count)
{
    setenv("no_proxy", "127.0.0.1", 1);
    server = hf_test_server_start(NULL);
    faulty = steps ? hf_faulty_start(steps, count, hf_test_server_port(server)) : NULL;
    HF_AUTO(free) char *url = hf_format("http://127.0.0.1:%d", hf_test_server_port(server));
    const struct holdfast_options options = {
        .url = faulty ? hf_faulty_url(faulty) : url,
        .timeout_ms = PATIENCE_MS,
        .retry_ms = -1,
    };
    must(holdfast_open(&options, &service, &err));
}

static void stop(void)
{
    holdfast_close(service);
    if (faulty)
        hf_faulty_stop(faulty);
    hf_test_server_free(server);
}

/* What is called from now on is waited for: who is slow is not lost. */
static void be_patient(void)
{
    service->timeout_ms = PATIENCE_LONG;
}

static void be_impatient(void)
{
    service->timeout_ms = PATIENCE_MS;
}

/* After a call that was given up: it is the one that is held back, however late it is read. */
static void await_held(int requests)
{
    hf_faulty_await(faulty, requests);
    be_patient();
}

static bool save(const char *text)
{
    return holdfast_save(service, "a", text, strlen(text), NULL, NULL, &err);
}

static void expect_state(const char *component, const char *text)
{
    struct holdfast_state state = {0};
    must(holdfast_load(service, component, NULL, &state, &err));
    ck_assert_uint_eq(state.bytes, strlen(text)); /* first: Check cannot tell of very long texts */
    ck_assert_str_eq(state.data, text);
    holdfast_state_free(&state);
}

static void expect_superseded(int request)
{
    HF_AUTO(free) char *answer = hf_faulty_deliver(faulty, request);
    ck_assert_ptr_nonnull(answer);
    ck_assert_msg(strncmp(answer, "HTTP/1.1 409", 12) == 0 && strstr(answer, "\"code\":\"superseded\""), "%s", answer);
}

/* The first request is held back, all others go through. */
static const struct hf_faulty_step holding[] = {{HF_FAULTY_SILENCE, NULL}, {HF_FAULTY_PASS_ON, NULL}};

START_TEST(a_save_that_arrives_after_a_newer_one_is_refused)
{
    start(holding, 2);
    ck_assert(!save("\"old\""));
    ck_assert_str_eq(err.code, "timed_out");
    await_held(1);
    must(save("\"new\""));
    expect_superseded(0);
    expect_state("a", "\"new\"");
    stop();
}
END_TEST

START_TEST(a_save_that_arrives_after_the_removal_brings_nothing_back)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_SILENCE, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL}};
    struct holdfast_state none = {0};
    start(steps, 3);
    be_patient();
    must(save("1"));
    be_impatient();
    ck_assert(!save("2"));
    await_held(2);
    must(holdfast_remove(service, "a", &err));
    expect_superseded(1);
    ck_assert(!holdfast_load(service, "a", NULL, &none, &err));
    ck_assert_str_eq(err.code, "not_found");
    stop();
}
END_TEST

START_TEST(a_removal_that_arrives_after_a_newer_save_removes_nothing)
{
    start(holding, 2);
    ck_assert(!holdfast_remove(service, "a", &err));
    await_held(1);
    must(save("1"));
    expect_superseded(0);
    expect_state("a", "1");
    stop();
}
END_TEST

START_TEST(a_batch_that_arrives_late_writes_nothing_at_all)
{
    const struct holdfast_item items[] = {{"b", "1", 1, {0}}, {"a", "1", 1, {0}}};
    struct holdfast_state none = {0};
    start(holding, 2);
    ck_assert(!holdfast_save_all(service, items, 2, NULL, &err));
    await_held(1);
    must(save("2"));
    expect_superseded(0);
    expect_state("a", "2");
    ck_assert(!holdfast_load(service, "b", NULL, &none, &err));
    stop();
}
END_TEST

START_TEST(an_attempt_that_arrives_after_its_own_repetition_changes_nothing)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_CLOSE, NULL}, {HF_FAULTY_PASS_ON, NULL}};
    start(steps, 2);
    holdfast_close(service);
    must(holdfast_open(&(struct holdfast_options){.url = hf_faulty_url(faulty)}, &service, &err));
    must(save("1"));
    ck_assert_int_eq(hf_faulty_requests(faulty), 2);
    HF_AUTO(free) char *answer = hf_faulty_deliver(faulty, 0);
    ck_assert_ptr_nonnull(answer);
    ck_assert_ptr_nonnull(strstr(answer, "\"version\":1,"));
    ck_assert_ptr_nonnull(strstr(answer, "\"unchanged\":true"));
    must(save("2"));
    expect_superseded(0);
    expect_state("a", "2");
    stop();
}
END_TEST

START_TEST(a_queue_that_gave_a_state_up_for_a_newer_one_is_not_undone)
{
    struct holdfast_queue *queue = NULL;
    start(holding, 2);
    must(holdfast_queue_open(service, NULL, &queue, &err));
    must(holdfast_queue_save(queue, "a", "\"old\"", 5, NULL, &err));
    hf_faulty_await(faulty, 1);
    must(holdfast_queue_save(queue, "a", "\"new\"", 5, NULL, &err));
    must(holdfast_queue_flush(queue, PATIENCE_LONG, &err)); /* as often as it takes, if the service is slow */
    must(holdfast_queue_close(queue, &err));
    expect_superseded(0);
    be_patient();
    expect_state("a", "\"new\"");
    stop();
}
END_TEST

/* What a process had on its way when it died, and is delivered after the next one's is stored, which reads the outbox.
 */
START_TEST(what_a_dead_process_sent_does_not_undo_what_the_next_one_with_its_outbox_stores)
{
    struct holdfast_queue *queue = NULL;
    int status = -1;
    make_outbox_place();
    const struct holdfast_queue_options options = {.outbox_directory = outbox};
    start(holding, 2);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        bool queued = holdfast_queue_open(service, &options, &queue, &err) &&
                      holdfast_queue_save(queue, "a", "\"old\"", 5, NULL, &err);
        while (queued)
            pause();
        _exit(1);
    }
    hf_faulty_await(faulty, 1);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    be_patient();
    must(holdfast_queue_open(service, &options, &queue, &err));
    must(holdfast_queue_save(queue, "a", "\"new\"", 5, NULL, &err));
    must(holdfast_queue_flush(queue, PATIENCE_LONG, &err));
    expect_superseded(0);
    expect_state("a", "\"new\"");
    must(save("\"by the handle\"")); /* of the same writer, later */
    expect_superseded(0);
    must(holdfast_queue_close(queue, &err));
    expect_state("a", "\"by the handle\"");
    stop();
    remove_outbox_place();
}
END_TEST

static void *wake_server(void *unused)
{
    (void)unused;
    usleep(PATIENCE_MS * 1000 / 3); /* so that the newer save lies there as well */
    kill(hf_test_server_pid(server), SIGCONT);
    return NULL;
}

/* A list of ones: it takes the service longer to check than what comes after it. */
static char *large_list(void)
{
    char *list = hf_alloc(OLD_BYTES + 1);
    for (size_t i = 0; i < OLD_BYTES; i++)
        list[i] = i % 2 ? '1' : ',';
    list[0] = '[';
    list[OLD_BYTES - 1] = ']';
    return list;
}

START_TEST(what_lies_in_the_sockets_of_a_server_that_stood_still_undoes_nothing)
{
    HF_AUTO(free) char *old = large_list();
    pthread_t waker;
    start(NULL, 0);
    be_patient();
    must(save("0"));
    be_impatient();
    kill(hf_test_server_pid(server), SIGSTOP);
    ck_assert(!save(old)); /* its bytes are with the kernel now */
    ck_assert_str_eq(err.code, "timed_out");
    ck_assert_int_eq(pthread_create(&waker, NULL, wake_server, NULL), 0);
    while (!save("\"new\"")) /* the server may be slow to wake up */
        ck_assert_str_eq(err.code, "timed_out");
    pthread_join(waker, NULL);
    /* Who stops has read and finished what came before. */
    ck_assert_int_eq(hf_test_server_stop(server), 0);
    hf_test_server_start_again(server);
    HF_AUTO(free) char *url = hf_format("http://127.0.0.1:%d", hf_test_server_port(server));
    holdfast_close(service);
    must(holdfast_open(&(struct holdfast_options){.url = url}, &service, &err));
    expect_state("a", "\"new\"");
    stop();
}
END_TEST

/* Of the request's header, up to the slash; owns. */
static char *writer_of(int request)
{
    const char *line = strstr(hf_faulty_request(faulty, request), "State-Order: ");
    ck_assert_ptr_nonnull(line);
    return hf_strndup(line, strcspn(line, "/"));
}

START_TEST(the_child_of_a_fork_and_another_handle_are_other_writers)
{
    static const struct hf_faulty_step through[] = {{HF_FAULTY_PASS_ON, NULL}};
    struct holdfast *other = NULL;
    int status = -1;
    start(through, 1);
    be_patient();
    must(save("1"));
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(save("2") && save("3") ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    must(save("4")); /* numbered as the child's first one was */
    must(holdfast_open(&(struct holdfast_options){.url = hf_faulty_url(faulty)}, &other, &err));
    must(holdfast_save(other, "a", "5", 1, NULL, NULL, &err));
    holdfast_close(other);
    HF_AUTO(free) char *mine = writer_of(0);
    HF_AUTO(free) char *childs = writer_of(1), *again = writer_of(3), *others = writer_of(4);
    ck_assert_str_ne(mine, childs);
    ck_assert_str_eq(mine, again);
    ck_assert_str_ne(mine, others);
    ck_assert_str_ne(childs, others);
    expect_state("a", "5");
    stop();
}
END_TEST

HF_TEST_MAIN("late", a_save_that_arrives_after_a_newer_one_is_refused,
             a_save_that_arrives_after_the_removal_brings_nothing_back,
             a_removal_that_arrives_after_a_newer_save_removes_nothing, a_batch_that_arrives_late_writes_nothing_at_all,
             an_attempt_that_arrives_after_its_own_repetition_changes_nothing,
             a_queue_that_gave_a_state_up_for_a_newer_one_is_not_undone,
             what_a_dead_process_sent_does_not_undo_what_the_next_one_with_its_outbox_stores,
             what_lies_in_the_sockets_of_a_server_that_stood_still_undoes_nothing,
             the_child_of_a_fork_and_another_handle_are_other_writers);
