/* Saving large states by what is new in them: which requests are made, and that the outcome is that of an upload. */
#include "client/holdfast.h"

#include "core/auto.h"
#include "tests/support/faulty.h"
#include "tests/support/server.h"

#include "tests/support/check_main.h"

#include <string.h>
#include <unistd.h>

#define BYTES     ((size_t)1536 * 1024)
#define TYPE      "application/x-weights"
#define COUNT(of) ((int)(sizeof(of) / sizeof((of)[0])))

#define REFUSED(status) "HTTP/1.1 " status " x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* Everything passes a server in between, so that the requests are seen; steps come after the first upload. */
static struct hf_test_server *server;
static struct hf_faulty *faulty;
static struct holdfast *service;
static struct holdfast_error err;
static struct holdfast_receipt receipt;
static char *data;
static struct hf_faulty_step *script; /* of all requests */
static int seen;                      /* requests of before */

static void fill(uint64_t seed)
{
    for (size_t i = 0; i < BYTES; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        data[i] = (char)(seed >> 56);
    }
}

static bool save_as(const struct holdfast_save_options *options)
{
    return holdfast_save(service, "model", data, BYTES, options, &receipt, &err);
}

static const struct holdfast_save_options weights = {.content_type = TYPE};

#define must(call) ck_assert_msg(call, "%s: %s", err.code, err.text)

static void start(const struct hf_faulty_step *steps, int count)
{
    struct hf_faulty_step *all = script = hf_alloc(((size_t)count + 3) * sizeof(*all));
    setenv("no_proxy", "127.0.0.1", 1);
    server = hf_test_server_start(NULL);
    for (int i = 0; i < count + 3; i++)
        all[i] = i >= 2 && i < count + 2 ? steps[i - 2] : (struct hf_faulty_step){HF_FAULTY_PASS_ON};
    faulty = hf_faulty_start(all, count + 3, hf_test_server_port(server));
    must(holdfast_open(&(struct holdfast_options){.url = hf_faulty_url(faulty)}, &service, &err));
    data = hf_alloc(BYTES);
    fill(1);
    must(save_as(&weights)); /* HEAD: there is none; PUT */
    ck_assert_int_eq(receipt.version, 1);
    seen = hf_faulty_requests(faulty);
    ck_assert_int_eq(seen, 2);
    memset(data + 700000, 0, 1000);
}

#define start_with(steps) start(steps, COUNT(steps))

static void stop(void)
{
    holdfast_close(service);
    hf_faulty_stop(faulty);
    hf_test_server_free(server);
    free(data);
    free(script);
}

/* "HEAD GET PATCH": the methods since the last time. */
static void expect_requests(const char *expected)
{
    char text[256] = "";
    for (; seen < hf_faulty_requests(faulty); seen++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s", text[0] ? " " : "",
                 (int)strcspn(hf_faulty_request(faulty, seen), " "), hf_faulty_request(faulty, seen));
    ck_assert_str_eq(text, expected);
}

static void expect_stored(int64_t version)
{
    struct holdfast_state state = {0};
    must(holdfast_load(service, "model", NULL, &state, &err));
    seen++;
    ck_assert_int_eq(state.version, version);
    ck_assert_int_eq(receipt.version, version);
    ck_assert_str_eq(receipt.etag, state.etag);
    ck_assert_str_eq(receipt.hash, state.hash);
    ck_assert_uint_eq(state.bytes, BYTES);
    ck_assert(memcmp(state.data, data, BYTES) == 0);
    holdfast_state_free(&state);
}

/* Events are written soon after what they tell of. */
static void await_event(const char *name)
{
    for (bool there = false; !there; usleep(10000)) {
        struct holdfast_answer answer = {0};
        must(holdfast_call(service, &(struct holdfast_request){.path = "events?limit=100"}, &answer, &err));
        there = strstr(answer.body, name) != NULL;
        holdfast_answer_free(&answer);
    }
}

START_TEST(a_change_of_a_large_state_is_sent_alone)
{
    start(NULL, 0);
    must(save_as(&weights));
    ck_assert(!receipt.unchanged && receipt.committed_at[0]);
    expect_requests("HEAD GET PATCH");
    const char *length = strstr(hf_faulty_request(faulty, seen - 1), "Content-Length: ");
    ck_assert(length && atoi(length + strlen("Content-Length: ")) < 8192);
    expect_stored(2);
    stop();
}
END_TEST

START_TEST(what_is_there_already_costs_no_signature)
{
    start(NULL, 0);
    fill(1);
    must(save_as(&weights));
    ck_assert(receipt.unchanged);
    expect_requests("HEAD PATCH");
    expect_stored(1);
    stop();
}
END_TEST

START_TEST(a_state_that_is_mostly_new_is_sent_as_a_whole)
{
    start(NULL, 0);
    fill(2);
    must(save_as(&weights));
    expect_requests("HEAD GET PUT");
    expect_stored(2);
    stop();
}
END_TEST

START_TEST(another_content_type_needs_the_whole_state)
{
    struct holdfast_save_options options = {.content_type = "application/x-other"};
    start(NULL, 0);
    must(save_as(&options));
    expect_requests("HEAD PUT");
    expect_stored(2);
    stop();
}
END_TEST

START_TEST(smaller_states_are_simply_sent)
{
    start(NULL, 0);
    must(holdfast_save(service, "small", "1", 1, NULL, NULL, &err));
    expect_requests("PUT");
    stop();
}
END_TEST

START_TEST(conditions_of_the_caller_hold)
{
    struct holdfast_save_options options = weights;
    char etag[64];
    start(NULL, 0);
    memcpy(etag, receipt.etag, sizeof(etag));
    options.if_match = etag;
    must(save_as(&options));
    expect_requests("HEAD GET PATCH");
    memset(data, 1, 1000);
    ck_assert(!save_as(&options));
    ck_assert_str_eq(err.code, "precondition_failed");
    ck_assert_str_eq(err.current_etag, receipt.etag);
    options.if_match = NULL;
    options.if_absent = true;
    ck_assert(!save_as(&options));
    ck_assert_str_eq(err.code, "precondition_failed");
    stop();
}
END_TEST

START_TEST(a_condition_that_fails_on_the_way_is_told)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON},
                                                  {HF_FAULTY_PASS_ON},
                                                  {HF_FAULTY_ANSWER, REFUSED("412")}};
    struct holdfast_save_options options = weights;
    char etag[64];
    start_with(steps);
    memcpy(etag, receipt.etag, sizeof(etag));
    options.if_match = etag;
    ck_assert(!save_as(&options));
    ck_assert_str_eq(err.code, "precondition_failed");
    expect_requests("HEAD GET PATCH");
    stop();
}
END_TEST

START_TEST(an_event_and_the_epoch_go_with_the_change)
{
    struct holdfast_save_options options = {.content_type = TYPE, .event = "converged"};
    start(NULL, 0);
    must(save_as(&options));
    expect_requests("HEAD GET PATCH");
    await_event("converged");
    must(holdfast_take_snapshot(service, "full", NULL, NULL, &err));
    memset(data, 1, 1000);
    must(save_as(&weights));
    must(holdfast_restore(service, &(struct holdfast_restore_options){.snapshot = "latest"}, NULL, &err));
    holdfast_set_epoch(service, 1);
    memset(data, 2, 1000);
    ck_assert(!save_as(&weights));
    ck_assert_str_eq(err.code, "stale_epoch");
    memset(data, 1, 1000);
    ck_assert(!save_as(&weights));
    ck_assert_str_eq(err.code, "stale_epoch");
    stop();
}
END_TEST

START_TEST(who_is_overtaken_tries_once_more_and_then_sends_all)
{
    static const struct hf_faulty_step once[] = {{HF_FAULTY_PASS_ON},
                                                 {HF_FAULTY_PASS_ON},
                                                 {HF_FAULTY_ANSWER, REFUSED("412")}};
    static const struct hf_faulty_step always[] = {{HF_FAULTY_PASS_ON},
                                                   {HF_FAULTY_ANSWER, REFUSED("412")},
                                                   {HF_FAULTY_PASS_ON},
                                                   {HF_FAULTY_PASS_ON},
                                                   {HF_FAULTY_ANSWER, REFUSED("412")}};
    start_with(once);
    must(save_as(&weights));
    expect_requests("HEAD GET PATCH HEAD GET PATCH");
    expect_stored(2);
    stop();
    start_with(always);
    must(save_as(&weights));
    expect_requests("HEAD GET HEAD GET PATCH PUT");
    expect_stored(2);
    stop();
}
END_TEST

START_TEST(a_service_that_knows_no_deltas_gets_the_whole_state)
{
    static const char *const answers[] = {REFUSED("404"), REFUSED("405"), REFUSED("406"), REFUSED("415"),
                                          REFUSED("500")};
    for (int i = 0; i < COUNT(answers); i++) {
        const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON}, {HF_FAULTY_ANSWER, answers[i]}};
        const struct hf_faulty_step later[] = {{HF_FAULTY_PASS_ON},
                                               {HF_FAULTY_PASS_ON},
                                               {HF_FAULTY_ANSWER, answers[i]}};
        start_with(steps);
        must(save_as(&weights));
        expect_requests("HEAD GET PUT");
        expect_stored(2);
        stop();
        start_with(later);
        must(save_as(&weights));
        expect_requests("HEAD GET PATCH PUT");
        expect_stored(2);
        stop();
    }
}
END_TEST

START_TEST(a_signature_that_is_none_costs_nothing_but_the_time)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_PASS_ON},
        {HF_FAULTY_ANSWER, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.holdfast.rsync-signature\r\n"
                           "Content-Length: 9\r\nConnection: close\r\n\r\nno, sorry"}};
    start_with(steps);
    must(save_as(&weights));
    expect_requests("HEAD GET PUT");
    expect_stored(2);
    stop();
}
END_TEST

START_TEST(an_answer_lost_on_the_way_is_one_version)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON},
                                                  {HF_FAULTY_PASS_ON},
                                                  {HF_FAULTY_PASS_ON_AND_CLOSE}};
    start_with(steps);
    must(save_as(&weights));
    ck_assert_int_eq(receipt.version, 2);
    seen = hf_faulty_requests(faulty);
    expect_stored(2);
    stop();
}
END_TEST

HF_TEST_MAIN("delta_upload", a_change_of_a_large_state_is_sent_alone, what_is_there_already_costs_no_signature,
             a_state_that_is_mostly_new_is_sent_as_a_whole, another_content_type_needs_the_whole_state,
             smaller_states_are_simply_sent, conditions_of_the_caller_hold, a_condition_that_fails_on_the_way_is_told,
             an_event_and_the_epoch_go_with_the_change, who_is_overtaken_tries_once_more_and_then_sends_all,
             a_service_that_knows_no_deltas_gets_the_whole_state, a_signature_that_is_none_costs_nothing_but_the_time,
             an_answer_lost_on_the_way_is_one_version);
