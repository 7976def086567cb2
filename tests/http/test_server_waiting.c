/* The HTTP server while others have its requests: workers, completers, clients that leave, deadlines, stopping. */
#include "core/auto.h"
#include "core/clock.h"

#include <pthread.h>
#include <string.h>

#include "tests/support/check_main.h"
#include "tests/support/client.h"
#include "tests/support/small_server.h"

static struct hf_config config;
static struct hf_small_server *server;

static void start(void)
{
    if (!config.listen)
        config = hf_small_server_config();
    server = hf_small_server_start(&config, NULL);
}

static int connection(void)
{
    return hf_raw_connect(hf_small_server_port(server));
}

static void send_request(int fd, const char *method, const char *path, const char *body)
{
    HF_AUTO(free)
    char *request =
        hf_format("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", method, path, strlen(body), body);
    ck_assert(hf_raw_send_text(fd, request));
}

static void expect_answer(int fd, const char *word)
{
    free(hf_raw_read(fd, word, 1, true));
}

static void expect_alive(void)
{
    HF_AUTO(close) int fd = connection();
    send_request(fd, "GET", "/open", "");
    expect_answer(fd, "open");
}

START_TEST(another_thread_completes_a_request)
{
    start();
    HF_AUTO(close) int fd = connection();
    for (int i = 0; i < 50; i++) {
        send_request(fd, "POST", "/v1/later", "from afar");
        expect_answer(fd, "from afar");
    }
    ck_assert_int_eq(hf_small_server_finished(server), 50);
    hf_small_server_stop(server);
}
END_TEST

START_TEST(a_handler_may_ask_for_a_worker)
{
    start();
    HF_AUTO(close) int fd = connection();
    send_request(fd, "GET", "/v1/retry", "");
    expect_answer(fd, "worker");
    hf_small_server_stop(server);
}
END_TEST

START_TEST(loops_answer_while_every_worker_waits)
{
    start();
    HF_AUTO(close) int first = connection();
    HF_AUTO(close) int second = connection();
    send_request(first, "GET", "/v1/worker", "");
    send_request(second, "POST", "/v1/worker", "x");
    hf_small_server_await_gate(server, 2);
    expect_alive();
    hf_small_server_open_gate(server);
    expect_answer(first, "worker");
    expect_answer(second, "X-Principal: anonymous");
    hf_small_server_stop(server);
}
END_TEST

START_TEST(a_full_worker_queue_is_answered_503)
{
    int waiting[3];
    config = hf_small_server_config();
    config.workers = 1;
    config.queue_jobs_max = 2;
    start();
    waiting[0] = connection();
    send_request(waiting[0], "GET", "/v1/worker", "");
    hf_small_server_await_gate(server, 1); /* the worker has it; the queue is empty */
    for (int i = 1; i < 3; i++) {
        waiting[i] = connection();
        send_request(waiting[i], "GET", "/v1/worker", "");
    }
    /* Whichever two of the three come first fill the queue; so ask until one is refused. */
    struct hf_client *client = hf_client_new(hf_small_server_port(server));
    struct hf_answer answer = {0};
    const struct hf_client_request request = {.path = "/v1/worker", .timeout_ms = 500};
    while (answer.status != 503) {
        hf_answer_done(&answer);
        hf_client_send(client, &request, &answer);
    }
    ck_assert_ptr_nonnull(strstr(answer.body, "\"overloaded\""));
    ck_assert_str_eq(hf_answer_header(&answer, "Retry-After"), "1");
    hf_answer_done(&answer);
    hf_client_free(client);
    expect_alive();
    hf_small_server_open_gate(server);
    expect_answer(waiting[0], "worker");
    for (int i = 0; i < 3; i++)
        close(waiting[i]);
    hf_small_server_stop(server);
}
END_TEST

START_TEST(clients_that_leave_while_they_wait_harm_nobody)
{
    start();
    for (int i = 0; i < 20; i++) {
        int fd = connection();
        send_request(fd, "POST", i % 2 ? "/v1/held" : "/v1/worker", "never read");
        if (i < 2 || i % 2)
            hf_small_server_await_gate(server, 1);
        close(fd);
    }
    hf_small_server_open_gate(server);
    expect_alive();
    HF_AUTO(close) int fd = connection();
    send_request(fd, "POST", "/v1/worker", "x");
    expect_answer(fd, "worker");
    hf_small_server_stop(server);
}
END_TEST

START_TEST(a_write_that_is_not_answered_in_time_has_an_unknown_outcome)
{
    config = hf_small_server_config();
    config.request_timeout_ms = HF_SMALL_SERVER_BRIEF_MS;
    start();
    HF_AUTO(close) int write = connection();
    HF_AUTO(close) int read = connection();
    send_request(write, "POST", "/v1/held", "a write");
    send_request(read, "GET", "/v1/held", "");
    hf_small_server_await_gate(server, 2);
    HF_AUTO(free) char *answer = hf_raw_read(write, "\"requestId\"", 1, true);
    ck_assert_ptr_nonnull(strstr(answer, "\"code\":\"outcome_unknown\""));
    ck_assert_ptr_nonnull(strstr(answer, "within the time for a request"));
    ck_assert_ptr_null(strstr(answer, "database")); /* nobody has asked it */
    expect_answer(read, "\"code\":\"overloaded\"");
    send_request(write, "GET", "/open", ""); /* the connection goes on */
    expect_answer(write, "open");
    hf_small_server_open_gate(server);
    hf_small_server_stop(server);
}
END_TEST

START_TEST(a_job_that_no_worker_began_in_time_is_taken_back)
{
    config = hf_small_server_config();
    config.request_timeout_ms = HF_SMALL_SERVER_BRIEF_MS;
    config.workers = 1;
    start();
    HF_AUTO(close) int begun = connection();
    send_request(begun, "POST", "/v1/worker", "x");
    hf_small_server_await_gate(server, 1);
    HF_AUTO(close) int queued = connection(); /* which does not stand idle meanwhile */
    send_request(queued, "POST", "/v1/worker", "x");
    expect_answer(begun, "\"code\":\"outcome_unknown\"");
    expect_answer(queued, "nothing was changed");
    hf_small_server_open_gate(server);
    send_request(queued, "POST", "/v1/worker", "x");
    expect_answer(queued, "X-Principal");
    hf_small_server_await_gate(server, 2); /* the first and the last: the one between never ran */
    hf_small_server_stop(server);
}
END_TEST

static void *stop_http(void *argument)
{
    (void)argument;
    hf_small_server_stop_http(server);
    return NULL;
}

/* The ordinary write that began later and was given up is how it knows that a deadline has passed. */
START_TEST(a_task_may_take_longer_than_a_request)
{
    config = hf_small_server_config();
    config.request_timeout_ms = HF_SMALL_SERVER_BRIEF_MS;
    config.loops = 1;
    start();
    HF_AUTO(close) int task = connection();
    send_request(task, "POST", "/v1/task", "x");
    hf_small_server_await_gate(server, 1);
    HF_AUTO(close) int ordinary = connection();
    for (int i = 0; i < 2; i++) {
        send_request(ordinary, "POST", "/v1/held", "x");
        expect_answer(ordinary, "\"code\":\"outcome_unknown\"");
    }
    hf_small_server_open_gate(server);
    HF_AUTO(free) char *answer = hf_raw_read(task, "X-Principal", 1, true);
    ck_assert_msg(strncmp(answer, "HTTP/1.1 200", 12) == 0, "%s", answer);
    hf_small_server_stop(server);
}
END_TEST

START_TEST(tasks_that_wait_time_out_and_the_next_are_refused)
{
    enum { WAITING = 2 }; /* as many as fit */
    int waiting[WAITING];
    config = hf_small_server_config();
    config.request_timeout_ms = HF_SMALL_SERVER_BRIEF_MS;
    config.tasks = 1;
    start();
    HF_AUTO(close) int begun = connection();
    send_request(begun, "POST", "/v1/task", "x");
    hf_small_server_await_gate(server, 1);
    for (int i = 0; i < WAITING; i++) {
        waiting[i] = connection();
        send_request(waiting[i], "POST", "/v1/task", "x");
    }
    for (int i = 0; i < WAITING; i++) {
        HF_AUTO(free) char *answer = hf_raw_read(waiting[i], "\"requestId\"", 1, true);
        ck_assert_ptr_nonnull(strstr(answer, "\"code\":\"overloaded\""));
        ck_assert_ptr_nonnull(strstr(answer, "Retry-After"));
        ck_assert_ptr_nonnull(strstr(answer, "nothing was changed"));
    }
    HF_AUTO(close) int next = connection();
    send_request(next, "POST", "/v1/task", "x"); /* what was given up keeps its place until a thread comes to it */
    expect_answer(next, "too many long requests");
    expect_alive();
    hf_small_server_open_gate(server);
    expect_answer(begun, "worker");
    for (int i = 0; i < WAITING; i++)
        close(waiting[i]);
    hf_small_server_stop(server);
}
END_TEST

START_TEST(a_client_that_leaves_a_task_does_not_end_it)
{
    config = hf_small_server_config();
    config.tasks = 1;
    start();
    int gone = connection();
    send_request(gone, "POST", "/v1/task", "x");
    hf_small_server_await_gate(server, 1);
    close(gone);
    hf_small_server_open_gate(server);
    HF_AUTO(close) int next = connection();
    send_request(next, "POST", "/v1/task", "x");
    expect_answer(next, "worker");
    hf_small_server_await_gate(server, 2);
    hf_small_server_stop(server);
}
END_TEST

START_TEST(stopping_answers_for_a_task_too)
{
    pthread_t thread;
    start();
    HF_AUTO(close) int task = connection();
    send_request(task, "POST", "/v1/task", "x");
    hf_small_server_await_gate(server, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_http, NULL), 0);
    expect_answer(task, "the service is stopping");
    hf_small_server_open_gate(server);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    hf_small_server_stop(server);
}
END_TEST

static void *quiesce(void *argument)
{
    (void)argument;
    hf_http_quiesce(hf_small_server_http(server), hf_clock_monotonic_ns() + 60 * HF_SECOND_NS);
    return NULL;
}

START_TEST(quiescing_finishes_what_is_under_way_and_refuses_the_rest)
{
    pthread_t thread;
    start();
    HF_AUTO(close) int under_way = connection();
    HF_AUTO(close) int idle = connection();
    send_request(under_way, "POST", "/v1/held", "precious");
    send_request(idle, "GET", "/open", "");
    expect_answer(idle, "open");
    hf_small_server_await_gate(server, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, quiesce, NULL), 0);
    for (bool refused = false; !refused;) { /* until the other thread has said so */
        send_request(idle, "GET", "/open", "");
        HF_AUTO(free) char *answer = hf_raw_read(idle, "X-Request-Id", 1, true);
        refused = strstr(answer, "503 Service Unavailable") != NULL;
        if (refused)
            ck_assert_ptr_nonnull(strstr(answer, "Connection: close"));
    }
    ck_assert_int_eq(hf_small_server_finished(server), 0);
    hf_small_server_open_gate(server);
    expect_answer(under_way, "precious");
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    struct hf_client *client = hf_client_new(hf_small_server_port(server));
    struct hf_answer answer;
    ck_assert_msg(!hf_client_call(client, "GET", "/open", NULL, NULL, &answer), "a new connection was accepted");
    hf_answer_done(&answer);
    hf_client_free(client);
    hf_small_server_stop(server);
}
END_TEST

START_TEST(quiescing_ends_at_its_deadline)
{
    start();
    HF_AUTO(close) int fd = connection();
    send_request(fd, "POST", "/v1/held", "x");
    hf_small_server_await_gate(server, 1);
    hf_http_quiesce(hf_small_server_http(server), hf_clock_monotonic_ns() + 20 * HF_MS_NS);
    ck_assert_int_eq(hf_small_server_finished(server), 0);
    hf_small_server_stop(server);
}
END_TEST

START_TEST(stopping_answers_requests_that_others_still_have)
{
    enum { COUNT = 20 };
    int fds[COUNT];
    pthread_t thread;
    start();
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connection();
        send_request(fds[i], i % 2 ? "POST" : "GET", "/v1/held", "");
    }
    hf_small_server_await_gate(server, COUNT);
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_http, NULL), 0);
    for (int i = 0; i < COUNT; i++)
        expect_answer(fds[i], i % 2 ? "\"code\":\"outcome_unknown\"" : "\"code\":\"shutting_down\"");
    hf_small_server_open_gate(server); /* now they come back, to a server without loops */
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(hf_small_server_finished(server), COUNT);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    hf_small_server_stop(server);
}
END_TEST

START_TEST(stopping_under_load_leaves_nothing_behind)
{
    enum { COUNT = 50 };
    int fds[COUNT];
    start();
    hf_small_server_open_gate(server);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connection();
        send_request(fds[i], "POST", i % 3 ? "/v1/later" : "/v1/worker", "x");
        send_request(fds[i], "POST", "/v1/later", "y");
        if (i % 5 == 0)
            ck_assert(hf_raw_send_text(fds[i], "PUT /v1/small HTTP/1.1\r\nHost: x\r\nContent-Le"));
    }
    hf_small_server_stop(server); /* the sanitizers and the assertions in it are the judges */
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
}
END_TEST

HF_TEST_MAIN("server_waiting", another_thread_completes_a_request, a_handler_may_ask_for_a_worker,
             loops_answer_while_every_worker_waits, a_full_worker_queue_is_answered_503,
             clients_that_leave_while_they_wait_harm_nobody,
             a_write_that_is_not_answered_in_time_has_an_unknown_outcome,
             a_job_that_no_worker_began_in_time_is_taken_back, a_task_may_take_longer_than_a_request,
             tasks_that_wait_time_out_and_the_next_are_refused, a_client_that_leaves_a_task_does_not_end_it,
             stopping_answers_for_a_task_too, quiescing_finishes_what_is_under_way_and_refuses_the_rest,
             quiescing_ends_at_its_deadline, stopping_answers_requests_that_others_still_have,
             stopping_under_load_leaves_nothing_behind);
