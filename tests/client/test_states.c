/* Saving, loading and what belongs to it, against the real server; and with an answer lost on the way. */
#include "client/holdfast.h"

#include "core/auto.h"
#include "tests/support/faulty.h"
#include "tests/support/server.h"

#include "tests/support/check_main.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE_BYTES ((size_t)3 * 1024 * 1024)
#define THREADS     4
#define SAVES       25

struct scene {
    struct hf_test_server *server;
    struct hf_faulty *faulty; /* NULL: straight to the server */
    struct holdfast *service;
    struct holdfast_error err;
};

static void start(struct scene *s, const struct hf_faulty_step *steps, int count)
{
    setenv("no_proxy", "127.0.0.1", 1);
    *s = (struct scene){.server = hf_test_server_start(NULL)};
    int port = hf_test_server_port(s->server);
    s->faulty = steps ? hf_faulty_start(steps, count, port) : NULL;
    HF_AUTO(free) char *url = hf_format("http://127.0.0.1:%d", port);
    const struct holdfast_options options = {.url = steps ? hf_faulty_url(s->faulty) : url};
    ck_assert_msg(holdfast_open(&options, &s->service, &s->err), "%s", s->err.text);
}

static void stop(struct scene *s)
{
    holdfast_close(s->service);
    if (s->faulty)
        hf_faulty_stop(s->faulty);
    hf_test_server_free(s->server);
}

#define must(s, call) ck_assert_msg(call, "%s: %s", (s).err.code, (s).err.text)

static void save(struct scene *s, const char *component, const char *text, struct holdfast_receipt *out)
{
    must(*s, holdfast_save(s->service, component, text, strlen(text), NULL, out, &s->err));
}

static void expect_state(struct scene *s, const char *component, const struct holdfast_when *when, const char *text)
{
    struct holdfast_state state = {0};
    must(*s, holdfast_load(s->service, component, when, &state, &s->err));
    ck_assert_str_eq(state.data, text);
    ck_assert_uint_eq(state.bytes, strlen(text));
    holdfast_state_free(&state);
}

static void expect_refused(struct scene *s, bool ok, const char *code)
{
    ck_assert(!ok);
    ck_assert_msg(strcmp(s->err.code, code) == 0, "%s instead of %s: %s", s->err.code, code, s->err.text);
}

START_TEST(a_saved_state_is_loaded_byte_for_byte_with_what_is_known_of_it)
{
    struct scene s;
    struct holdfast_receipt receipt, again;
    struct holdfast_state state = {0};
    HF_AUTO(free) char *large = hf_alloc(LARGE_BYTES);
    start(&s, NULL, 0);
    memset(large, 7, LARGE_BYTES);
    const struct holdfast_save_options options = {.content_type = "application/x-weights"};
    must(s, holdfast_save(s.service, "model", large, LARGE_BYTES, &options, &receipt, &s.err));
    ck_assert_int_eq(receipt.version, 1);
    ck_assert_int_eq(receipt.epoch, 1);
    ck_assert_int_eq(receipt.bytes, LARGE_BYTES);
    ck_assert(!receipt.unchanged && receipt.committed_at[0] && receipt.sequence > 0);
    must(s, holdfast_load(s.service, "model", NULL, &state, &s.err));
    ck_assert_uint_eq(state.bytes, LARGE_BYTES);
    ck_assert_mem_eq(state.data, large, LARGE_BYTES);
    ck_assert_str_eq(state.content_type, "application/x-weights");
    ck_assert_str_eq(state.etag, receipt.etag);
    ck_assert_str_eq(state.hash, receipt.hash);
    ck_assert_int_eq(state.version, 1);
    ck_assert_int_eq(state.epoch, 1);
    ck_assert_int_eq(state.sequence, receipt.sequence);
    holdfast_state_free(&state);
    must(s, holdfast_save(s.service, "model", large, LARGE_BYTES, &options, &again, &s.err));
    ck_assert(again.unchanged);
    ck_assert_str_eq(again.etag, receipt.etag);
    must(s, holdfast_save(s.service, "empty", NULL, 0, &options, NULL, &s.err));
    expect_state(&s, "empty", NULL, "");
    stop(&s);
}
END_TEST

START_TEST(conditions_hold_or_refuse)
{
    struct scene s;
    struct holdfast_receipt first, second;
    start(&s, NULL, 0);
    const struct holdfast_save_options absent = {.if_absent = true};
    must(s, holdfast_save(s.service, "a", "1", 1, &absent, &first, &s.err));
    expect_refused(&s, holdfast_save(s.service, "a", "1", 1, &absent, NULL, &s.err), "precondition_failed");
    ck_assert_int_eq(s.err.status, 412);
    ck_assert_str_eq(s.err.current_etag, first.etag);
    const struct holdfast_save_options match = {.if_match = first.etag};
    must(s, holdfast_save(s.service, "a", "2", 1, &match, &second, &s.err));
    ck_assert_int_eq(second.version, 2);
    expect_refused(&s, holdfast_save(s.service, "a", "2", 1, &match, NULL, &s.err), "precondition_failed");
    ck_assert_str_eq(s.err.current_etag, second.etag);
    const struct holdfast_save_options both = {.if_match = first.etag, .if_absent = true};
    expect_refused(&s, holdfast_save(s.service, "a", "3", 1, &both, NULL, &s.err), "invalid_argument");
    expect_refused(&s, holdfast_save(s.service, "a", "not json", 8, NULL, NULL, &s.err), "invalid_request");
    const struct holdfast_save_options event = {.event = "a name"};
    expect_refused(&s, holdfast_save(s.service, "a", "3", 1, &event, NULL, &s.err), "invalid_argument");
    expect_state(&s, "a", NULL, "2");
    stop(&s);
}
END_TEST

START_TEST(a_condition_that_our_own_lost_answer_made_fail_is_success)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON_AND_CLOSE, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL}, /* if_absent: stored; 412 */
                                                  {HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL}, /* what is there now */
                                                  {HF_FAULTY_PASS_ON_AND_CLOSE, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL}, /* if_match: the same */
                                                  {HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_CLOSE, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL}, /* not stored; 412 by another's */
                                                  {HF_FAULTY_PASS_ON, NULL}};
    struct scene s;
    struct holdfast_receipt receipt;
    start(&s, steps, sizeof(steps) / sizeof(steps[0]));
    const struct holdfast_save_options absent = {.if_absent = true};
    must(s, holdfast_save(s.service, "a", "1", 1, &absent, &receipt, &s.err));
    ck_assert_int_eq(receipt.version, 1);
    ck_assert_int_eq(receipt.epoch, 1);
    ck_assert_int_eq(receipt.sequence, 1);
    ck_assert_int_eq(receipt.bytes, 1);
    ck_assert(strlen(receipt.hash) == 71 && strlen(receipt.etag) > 18 && receipt.committed_at[0] && !receipt.unchanged);
    char first[64];
    strcpy(first, receipt.etag);
    const struct holdfast_save_options match = {.if_match = first};
    must(s, holdfast_save(s.service, "a", "2", 1, &match, &receipt, &s.err));
    ck_assert_int_eq(receipt.version, 2);
    expect_refused(&s, holdfast_save(s.service, "a", "3", 1, &match, NULL, &s.err), "precondition_failed");
    ck_assert_str_eq(s.err.current_etag, receipt.etag);
    expect_state(&s, "a", NULL, "2");
    stop(&s);
}
END_TEST

/* Saves once the first attempt is stored, and before one comes through that can say so. */
static void *go_on_from_it(void *argument)
{
    struct scene *s = argument;
    int port = hf_test_server_port(s->server);
    HF_AUTO(free) char *url = hf_format("http://127.0.0.1:%d", port);
    struct holdfast *other = NULL;
    struct holdfast_error err;
    ck_assert(holdfast_open(&(struct holdfast_options){.url = url}, &other, &err));
    hf_faulty_await(s->faulty, 3);
    hf_faulty_pass_on_to(s->faulty, 0);
    ck_assert(holdfast_save(other, "a", "3", 1, NULL, NULL, &err));
    hf_faulty_pass_on_to(s->faulty, port);
    holdfast_close(other);
    return NULL;
}

START_TEST(our_own_write_is_known_also_where_others_went_on_from_it)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_PASS_ON_AND_CLOSE, NULL},
                                                  {HF_FAULTY_CLOSE, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL}};
    struct scene s;
    struct holdfast_receipt receipt;
    pthread_t other;
    start(&s, steps, sizeof(steps) / sizeof(steps[0]));
    save(&s, "a", "1", &receipt);
    ck_assert_int_eq(pthread_create(&other, NULL, go_on_from_it, &s), 0);
    const struct holdfast_save_options match = {.if_match = receipt.etag};
    must(s, holdfast_save(s.service, "a", "2", 1, &match, &receipt, &s.err));
    ck_assert_int_eq(receipt.version, 2);
    pthread_join(other, NULL);
    expect_state(&s, "a", NULL, "3");
    stop(&s);
}
END_TEST

START_TEST(the_same_content_by_another_writer_later_is_no_success_of_ours)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_CLOSE, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL}};
    struct scene s;
    struct holdfast_receipt first;
    start(&s, steps, sizeof(steps) / sizeof(steps[0]));
    save(&s, "a", "1", &first);
    save(&s, "a", "2", NULL);
    save(&s, "a", "3", NULL);
    const struct holdfast_save_options match = {.if_match = first.etag};
    expect_refused(&s, holdfast_save(s.service, "a", "3", 1, &match, NULL, &s.err), "precondition_failed");
    stop(&s);
}
END_TEST

START_TEST(a_batch_is_all_or_nothing_and_keeps_every_byte)
{
    static const struct holdfast_item items[] = {
        {"a", "{\"x\": 1.50}", 11, {0}},
        {"b", " [1]\n", 5, {0}},
        {"c", "\0\1\2", 3, {.content_type = "application/x-bytes"}},
        {"d", "\"\\u0000\"", 8, {.content_type = "application/x+json"}},
        {"e", "", 0, {.content_type = "text/plain"}},
    };
    struct scene s;
    struct holdfast_receipt receipts[5];
    start(&s, NULL, 0);
    must(s, holdfast_save_all(s.service, items, 5, receipts, &s.err));
    for (int i = 0; i < 5; i++) {
        struct holdfast_state state = {0};
        must(s, holdfast_load(s.service, items[i].component, NULL, &state, &s.err));
        ck_assert_uint_eq(state.bytes, items[i].bytes);
        ck_assert_mem_eq(state.data, items[i].data, items[i].bytes + 1);
        ck_assert_str_eq(state.hash, receipts[i].hash);
        ck_assert_str_eq(state.etag, receipts[i].etag);
        holdfast_state_free(&state);
    }
    const struct holdfast_item half[] = {{"f", "1", 1, {0}}, {"a", "2", 1, {.if_match = "\"9-0000000000000000\""}}};
    expect_refused(&s, holdfast_save_all(s.service, half, 2, NULL, &s.err), "precondition_failed");
    struct holdfast_state none = {0};
    expect_refused(&s, holdfast_load(s.service, "f", NULL, &none, &s.err), "not_found");
    /* JSON that would end the batch early is no way in. */
    const struct holdfast_item sly[] = {{"g", "1},{\"component\":\"h\",\"state\":2", 30, {0}}};
    expect_refused(&s, holdfast_save_all(s.service, sly, 1, NULL, &s.err), "invalid_request");
    expect_refused(&s, holdfast_load(s.service, "h", NULL, &none, &s.err), "not_found");
    expect_refused(&s, holdfast_save_all(s.service, items, 0, NULL, &s.err), "invalid_argument");
    stop(&s);
}
END_TEST

START_TEST(items_of_a_batch_have_conditions_and_events)
{
    struct scene s;
    struct holdfast_receipt receipt;
    start(&s, NULL, 0);
    const struct holdfast_item first[] = {{"a", "1", 1, {.if_absent = true, .event = "birth"}}};
    must(s, holdfast_save_all(s.service, first, 1, &receipt, &s.err));
    struct holdfast_answer versions = {0};
    must(s, holdfast_call(s.service, &(struct holdfast_request){.path = "components/a/versions"}, &versions, &s.err));
    ck_assert_ptr_nonnull(strstr(versions.body, "\"event\":\"birth\""));
    holdfast_answer_free(&versions);
    expect_refused(&s, holdfast_save_all(s.service, first, 1, NULL, &s.err), "precondition_failed");
    const struct holdfast_item next[] = {{"a", "2", 1, {.if_match = receipt.etag}}};
    must(s, holdfast_save_all(s.service, next, 1, NULL, &s.err));
    expect_refused(&s, holdfast_save_all(s.service, next, 1, NULL, &s.err), "precondition_failed");
    const struct holdfast_item both[] = {{"a", "3", 1, {.if_match = receipt.etag, .if_absent = true}}};
    expect_refused(&s, holdfast_save_all(s.service, both, 1, NULL, &s.err), "invalid_argument");
    const struct holdfast_item snapshot[] = {{"a", "3", 1, {.event = "death", .event_snapshot = true}}};
    expect_refused(&s, holdfast_save_all(s.service, snapshot, 1, NULL, &s.err), "invalid_argument");
    stop(&s);
}
END_TEST

START_TEST(a_batch_whose_answer_is_lost_is_stored_once)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON_AND_CLOSE, NULL}, {HF_FAULTY_PASS_ON, NULL}};
    struct scene s;
    struct holdfast_receipt receipts[2];
    start(&s, steps, 2);
    const struct holdfast_item items[] = {{"a", "1", 1, {0}}, {"b", "2", 1, {0}}};
    must(s, holdfast_save_all(s.service, items, 2, receipts, &s.err));
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 2);
    const char *key = strstr(hf_faulty_request(s.faulty, 0), "Idempotency-Key: ");
    ck_assert_ptr_nonnull(key);
    HF_AUTO(free) char *line = hf_strndup(key, strcspn(key, "\r"));
    ck_assert_uint_gt(strlen(line), strlen("Idempotency-Key: ") + 16);
    ck_assert(hf_faulty_has(s.faulty, 1, line));
    ck_assert(!receipts[0].unchanged && !receipts[1].unchanged);
    must(s, holdfast_save_all(s.service, items, 2, receipts, &s.err));
    ck_assert(!hf_faulty_has(s.faulty, 2, line));
    ck_assert(receipts[0].unchanged);
    stop(&s);
}
END_TEST

START_TEST(the_past_is_read_by_version_time_and_snapshot)
{
    struct scene s;
    struct holdfast_receipt first;
    struct holdfast_snapshot snapshot;
    struct holdfast_state none = {0};
    start(&s, NULL, 0);
    save(&s, "a", "1", &first);
    must(s, holdfast_take_snapshot(s.service, "full", "before", &snapshot, &s.err));
    ck_assert_str_eq(snapshot.kind, "full");
    ck_assert_str_eq(snapshot.state, "complete");
    ck_assert_int_eq(snapshot.components, 1);
    ck_assert(!snapshot.unchanged && snapshot.file_bytes > 0 && snapshot.state_bytes == 1);
    save(&s, "a", "2", NULL);
    expect_state(&s, "a", &(struct holdfast_when){.version = 1}, "1");
    expect_state(&s, "a", &(struct holdfast_when){.snapshot = snapshot.id}, "1");
    expect_state(&s, "a", &(struct holdfast_when){.snapshot = "latest"}, "1");
    expect_state(&s, "a", &(struct holdfast_when){.at = first.committed_at}, "1");
    expect_state(&s, "a", &(struct holdfast_when){0}, "2");
    const struct holdfast_when bad[] = {{.version = 1, .at = first.committed_at}, {.version = -1}, {.at = "yesterday"}};
    for (int i = 0; i < 3; i++)
        expect_refused(&s, holdfast_load(s.service, "a", &bad[i], &none, &s.err), "invalid_argument");
    const struct holdfast_when nowhere[] = {{.version = 3}, {.snapshot = "full-x/../y"}};
    for (int i = 0; i < 2; i++)
        ck_assert(!holdfast_load(s.service, "a", &nowhere[i], &none, &s.err) && s.err.status >= 400);
    expect_refused(&s, holdfast_take_snapshot(s.service, "partial", NULL, NULL, &s.err), "invalid_argument");
    stop(&s);
}
END_TEST

START_TEST(components_register_beat_and_are_removed)
{
    static const char *const needs_b[] = {"b", NULL}, *const needs_a[] = {"a", NULL}, *const pointers[] = {"/x", NULL};
    static const struct holdfast_metric metrics[] = {{"judgments", 12}, {"loss", 0.5}};
    struct scene s;
    struct holdfast_status status = {0};
    struct holdfast_answer answer = {0};
    start(&s, NULL, 0);
    const struct holdfast_component a = {"a", "agent", needs_b, 30000, pointers},
                                    b = {.name = "b", .depends_on = needs_a};
    must(s, holdfast_register(s.service, &a, &s.err));
    expect_refused(&s, holdfast_register(s.service, &b, &s.err), "dependency_cycle");
    must(s, holdfast_heartbeat(s.service, "a", 0.5, "busy", metrics, 2, &s.err));
    must(s, holdfast_heartbeat(s.service, "a", -1, NULL, NULL, 0, &s.err));
    expect_refused(&s, holdfast_heartbeat(s.service, "a", 1.5, NULL, NULL, 0, &s.err), "invalid_argument");
    must(s, holdfast_call(s.service, &(struct holdfast_request){.path = "components/a"}, &answer, &s.err));
    ck_assert_int_eq(answer.status, 200);
    static const char *const parts[] = {"\"kind\":\"agent\"",
                                        "\"dependsOn\":[\"b\"]",
                                        "\"heartbeatIntervalMs\":30000",
                                        "\"requiredPointers\":[\"/x\"]",
                                        "\"judgments\":12",
                                        "\"busy\""};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        ck_assert_msg(strstr(answer.body, parts[i]), "%s is not in %s", parts[i], answer.body);
    holdfast_answer_free(&answer);
    save(&s, "a", "{\"x\":1}", NULL);
    must(s, holdfast_get_status(s.service, &status, &s.err));
    ck_assert_str_eq(status.status, "operational");
    ck_assert_int_eq(status.components, 1);
    ck_assert(status.overall_health > 0 && strstr(status.json, "\"metricTotals\""));
    holdfast_status_free(&status);
    must(s, holdfast_remove(s.service, "a", &s.err));
    expect_refused(&s, holdfast_remove(s.service, "a", &s.err), "not_found");
    stop(&s);
}
END_TEST

START_TEST(a_removal_whose_answer_is_lost_is_success)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_PASS_ON_AND_CLOSE, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL}};
    struct scene s;
    start(&s, steps, 3);
    save(&s, "a", "1", NULL);
    must(s, holdfast_remove(s.service, "a", &s.err));
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 3);
    expect_refused(&s, holdfast_remove(s.service, "a", &s.err), "not_found");
    stop(&s);
}
END_TEST

struct writer {
    struct holdfast *service;
    int number;
    atomic_int *stored;
    char problem[480];
};

static void *write_many(void *argument)
{
    struct writer *writer = argument;
    struct holdfast_error err;
    for (int i = 1; i <= SAVES && !writer->problem[0]; i++) {
        char component[16], text[16];
        struct holdfast_state state = {0};
        snprintf(component, sizeof(component), "agent-%d", writer->number);
        snprintf(text, sizeof(text), "%d", i);
        if (!holdfast_save(writer->service, component, text, strlen(text), NULL, NULL, &err) ||
            !holdfast_load(writer->service, component, NULL, &state, &err))
            strcpy(writer->problem, err.text);
        else if (strcmp(state.data, text) != 0)
            strcpy(writer->problem, "what was saved was not loaded");
        holdfast_state_free(&state);
        atomic_fetch_add(writer->stored, 1);
    }
    return NULL;
}

START_TEST(threads_share_a_handle_while_the_server_is_killed_and_started_again)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON, NULL}};
    struct scene s;
    start(&s, steps, 1); /* at an address that stays */
    pthread_t threads[THREADS];
    struct writer writers[THREADS];
    atomic_int stored = 0;
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.service = s.service, .number = i, .stored = &stored};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    while (atomic_load(&stored) < THREADS * SAVES / 4)
        sched_yield();
    hf_test_server_kill(s.server);
    hf_test_server_start_again(s.server);
    hf_faulty_pass_on_to(s.faulty, hf_test_server_port(s.server));
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_msg(!writers[i].problem[0], "%s", writers[i].problem);
    }
    ck_assert_int_eq(atomic_load(&stored), THREADS * SAVES);
    stop(&s);
}
END_TEST

#define FDS 256

/* For each descriptor our port, where it is a connection to that port; else 0. */
static void list_connections(int server_port, int ports[FDS])
{
    for (int fd = 0; fd < FDS; fd++) {
        struct sockaddr_in theirs = {0}, ours = {0};
        socklen_t size = sizeof(theirs), our_size = sizeof(ours);
        bool ends_there = getpeername(fd, (struct sockaddr *)&theirs, &size) == 0 && theirs.sin_family == AF_INET &&
                          ntohs(theirs.sin_port) == server_port;
        if (ends_there)
            getsockname(fd, (struct sockaddr *)&ours, &our_size);
        ports[fd] = ntohs(ours.sin_port);
    }
}

static bool is_among(const int ports[FDS], int port)
{
    bool found = false;
    for (int fd = 0; fd < FDS; fd++)
        found = found || ports[fd] == port;
    return found;
}

/* A connection that is there now and was not before. */
static int new_connection(int server_port, const int before[FDS])
{
    int now[FDS], found = 0;
    list_connections(server_port, now);
    for (int fd = 0; fd < FDS; fd++)
        if (now[fd] && !is_among(before, now[fd]))
            found = now[fd];
    return found;
}

static bool child_succeeds(pid_t child)
{
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

START_TEST(after_fork_the_child_has_a_connection_of_its_own)
{
    struct scene s;
    int before[FDS], now[FDS];
    start(&s, NULL, 0);
    int port = hf_test_server_port(s.server);
    list_connections(port, before);
    save(&s, "a", "1", NULL);
    int kept = new_connection(port, before);
    ck_assert_int_ne(kept, 0);
    list_connections(port, before);
    pid_t child = fork();
    if (child == 0) {
        bool saved = holdfast_save(s.service, "a", "2", 1, NULL, NULL, &s.err);
        list_connections(port, now);
        bool own = new_connection(port, before) != 0 && !is_among(now, kept);
        holdfast_close(s.service);
        _exit(saved && own ? 0 : 1);
    }
    ck_assert(child_succeeds(child));
    child = fork();
    if (child == 0) {
        holdfast_close(s.service); /* which says nothing on the parent's connection */
        list_connections(port, now);
        _exit(is_among(now, kept) ? 1 : 0);
    }
    ck_assert(child_succeeds(child));
    expect_state(&s, "a", NULL, "2");
    ck_assert_int_eq(new_connection(port, before), 0);
    stop(&s);
}
END_TEST

HF_TEST_MAIN("states", a_saved_state_is_loaded_byte_for_byte_with_what_is_known_of_it, conditions_hold_or_refuse,
             a_condition_that_our_own_lost_answer_made_fail_is_success,
             our_own_write_is_known_also_where_others_went_on_from_it,
             the_same_content_by_another_writer_later_is_no_success_of_ours,
             a_batch_is_all_or_nothing_and_keeps_every_byte, items_of_a_batch_have_conditions_and_events,
             a_batch_whose_answer_is_lost_is_stored_once, the_past_is_read_by_version_time_and_snapshot,
             components_register_beat_and_are_removed, a_removal_whose_answer_is_lost_is_success,
             threads_share_a_handle_while_the_server_is_killed_and_started_again,
             after_fork_the_child_has_a_connection_of_its_own);
