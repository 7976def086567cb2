/* Changing a large state by what is new alone: signatures, deltas, and what is refused. On SQLite and on PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/delta.h"
#include "core/digest.h"
#include "core/json.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define STATE        "/v1/systems/default/components/a/state"
#define SIGNATURE    STATE "/signature"
#define DELTA        "Content-Type: application/vnd.holdfast.rsync-delta"
#define BINARY       "Content-Type: application/octet-stream"
#define LARGE        ((size_t)3 << 20)
#define ROOM         (4 * LARGE)
#define STATE_BYTES  300000 /* PERSISTENCE_MAX_STATE_BYTES where it is set */
#define CLIENT_COUNT 4
#define CHANGES      8

static void start(struct hf_api_test *t, int postgres, const char *setting)
{
    const char *const environment[] = {setting, NULL};
    const struct hf_test_server_options options = {.postgres = postgres != 0, .environment = environment};
    hf_api_start(t, &options);
}

/* Bytes that do not repeat. Owns. */
static char *make_bytes(size_t bytes, uint64_t seed)
{
    char *out = hf_alloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        out[i] = (char)(seed >> 24);
    }
    return out;
}

static void put(struct hf_api_test *t, int status, const char *type, const void *state, size_t bytes)
{
    const char *const headers[] = {type, NULL};
    hf_api_send(t, status, "PUT", STATE, headers, state, bytes);
}

/* A header line; owns. */
static char *digest_of(const void *data, size_t bytes)
{
    struct hf_hash hash;
    char text[48];
    hf_hash_of(data, bytes, &hash);
    hf_base64_encode(hash.bytes, HF_HASH_BYTES, text);
    return hf_format("Repr-Digest: sha-256=:%s:", text);
}

/* Asks for the signature of the present state and makes the delta to these bytes; *match_out (owns) is the If-Match. */
static void make_delta(struct hf_api_test *t, const void *state, size_t bytes, struct hf_buf *out, char **match_out)
{
    struct hf_error err;
    hf_api_call(t, 200, "GET", SIGNATURE, NULL);
    hf_buf_init(out, ROOM);
    ck_assert_msg(hf_delta_make(t->answer.body, t->answer.body_bytes, state, bytes, out, &err), "%s", err.text);
    *match_out = hf_format("If-Match: %s", hf_api_header(t, "ETag"));
}

static void send_delta(struct hf_api_test *t, int status, const char *match, const char *digest, const char *more,
                       const void *delta, size_t bytes)
{
    const char *headers[5] = {DELTA};
    int count = 1;
    const char *const given[] = {match, digest, more};
    for (int i = 0; i < 3; i++)
        if (given[i])
            headers[count++] = given[i];
    hf_api_send(t, status, "PATCH", STATE, headers, delta, bytes);
}

static void refuse(struct hf_api_test *t, int status, const char *code, const char *match, const char *digest,
                   const void *delta, size_t bytes, const char *detail)
{
    send_delta(t, status, match, digest, NULL, delta, bytes);
    hf_api_problem(t, code);
    ck_assert_detail_has(t, detail);
}

static void reads(struct hf_api_test *t, const void *state, size_t bytes)
{
    hf_api_call(t, 200, "GET", STATE, NULL);
    ck_assert_uint_eq(t->answer.body_bytes, bytes);
    ck_assert(memcmp(t->answer.body, state, bytes) == 0);
}

START_TEST(a_large_state_changes_by_what_is_new_alone)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    HF_AUTO(free) char *before = make_bytes(LARGE, 1);
    HF_AUTO(free) char *after = hf_alloc(LARGE + 1);
    memcpy(after + 1, before, LARGE);
    after[0] = 'x'; /* all of it moves */
    after[LARGE / 2] ^= 1;
    after[LARGE] ^= 1;
    put(&t, 201, BINARY, before, LARGE);
    HF_AUTO(buf) struct hf_buf delta;
    HF_AUTO(free) char *match = NULL;
    make_delta(&t, after, LARGE + 1, &delta, &match);
    ck_assert_uint_lt(t.answer.body_bytes + delta.bytes, 60000);
    HF_AUTO(free) char *digest = digest_of(after, LARGE + 1);
    send_delta(&t, 200, match, digest, "State-Event: learned", delta.data, delta.bytes);
    ck_assert_int_eq(hf_json_int(t.json, "version"), 2);
    ck_assert_int_eq(hf_json_int(t.json, "bytes"), (long long)LARGE + 1);
    ck_assert_str_eq(hf_json_str(t.json, "durability"), "database");
    ck_assert(json_is_false(json_object_get(t.json, "unchanged")));
    HF_AUTO(free) char *etag = hf_strdup(hf_api_header(&t, "ETag"));
    reads(&t, after, LARGE + 1);
    ck_assert_str_eq(hf_api_header(&t, "ETag"), etag);
    ck_assert_str_eq(hf_api_header(&t, "Content-Type"), "application/octet-stream");
    hf_api_call(&t, 200, "GET", "/v1/systems/default/components/a/versions", NULL);
    ck_assert_str_eq(hf_json_str(json_array_get(json_object_get(t.json, "versions"), 0), "event"), "learned");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_signature_tells_of_which_state_it_is)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    hf_api_refused(&t, 404, "not_found", "GET", SIGNATURE, NULL);
    put(&t, 201, NULL, "{\"a\":1}", 7);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    static const char *const names[] = {"ETag",          "Last-Modified",  "Repr-Digest",
                                        "State-Version", "State-Sequence", "State-Epoch"};
    char *values[6];
    for (int i = 0; i < 6; i++)
        values[i] = hf_strdup(hf_api_header(&t, names[i]));
    hf_api_call(&t, 200, "GET", SIGNATURE, NULL);
    ck_assert_str_eq(hf_api_header(&t, "Content-Type"), "application/vnd.holdfast.rsync-signature");
    ck_assert_ptr_null(hf_answer_header(&t.answer, "Accept-Ranges"));
    for (int i = 0; i < 6; i++)
        ck_assert_str_eq(hf_api_header(&t, names[i]), values[i]);
    HF_AUTO(free) char *same = hf_format("If-None-Match: %s", values[0]);
    const char *const headers[] = {same, NULL};
    hf_api_send(&t, 304, "GET", SIGNATURE, headers, NULL, 0);
    const char *const other[] = {"If-Match: \"7-0123456789abcdef\"", NULL};
    hf_api_send(&t, 412, "GET", SIGNATURE, other, NULL, 0);
    hf_api_problem(&t, "precondition_failed");
    hf_api_refused(&t, 400, "invalid_request", "GET", SIGNATURE "?version=1", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/nobody/components/a/state/signature", NULL);
    hf_api_call(&t, 204, "DELETE", "/v1/systems/default/components/a", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", SIGNATURE, NULL);
    for (int i = 0; i < 6; i++)
        free(values[i]);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_delta_says_what_it_is_for_and_what_it_makes)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, BINARY, "old bytes", 9);
    HF_AUTO(buf) struct hf_buf delta;
    HF_AUTO(free) char *match = NULL;
    make_delta(&t, "new bytes", 9, &delta, &match);
    HF_AUTO(free) char *digest = digest_of("new bytes", 9);
    HF_AUTO(free) char *wrong = digest_of("old bytes", 9);
    refuse(&t, 400, "invalid_request", NULL, digest, delta.data, delta.bytes, "If-Match");
    refuse(&t, 400, "invalid_request", "If-Match: *", digest, delta.data, delta.bytes, "If-Match");
    refuse(&t, 400, "invalid_request", match, NULL, delta.data, delta.bytes, "Repr-Digest");
    refuse(&t, 400, "invalid_request", match, "Repr-Digest: sha-256=:AAAA:", delta.data, delta.bytes, "Repr-Digest");
    refuse(&t, 400, "invalid_request", match, "Repr-Digest: md5=:AAAA:", delta.data, delta.bytes, "sha-256");
    refuse(&t, 400, "digest_mismatch", match, wrong, delta.data, delta.bytes, "Repr-Digest");
    send_delta(&t, 400, match, digest,
               "Content-Digest: sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:", delta.data, delta.bytes);
    hf_api_problem(&t, "digest_mismatch");
    reads(&t, "old bytes", 9);
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), "1");
    send_delta(&t, 200, match, digest, NULL, delta.data, delta.bytes);
    reads(&t, "new bytes", 9);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_delta_for_another_state_is_refused)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, BINARY, "first", 5);
    HF_AUTO(buf) struct hf_buf delta;
    HF_AUTO(free) char *match = NULL;
    make_delta(&t, "third", 5, &delta, &match);
    HF_AUTO(free) char *digest = digest_of("third", 5);
    put(&t, 200, BINARY, "second", 6);
    HF_AUTO(free) char *etag = hf_strdup(hf_api_header(&t, "ETag"));
    refuse(&t, 412, "precondition_failed", match, digest, delta.data, delta.bytes, "If-Match");
    ck_assert_str_eq(hf_json_str(t.json, "currentEtag"), etag);
    /* It claims to be for this one. */
    HF_AUTO(free) char *large = make_bytes(LARGE, 7);
    put(&t, 200, BINARY, large, LARGE);
    HF_AUTO(buf) struct hf_buf of_large;
    HF_AUTO(free) char *of_large_match = NULL;
    make_delta(&t, large, LARGE - 1, &of_large, &of_large_match);
    put(&t, 200, BINARY, large + 5, LARGE - 5);
    HF_AUTO(free) char *lie = hf_format("If-Match: %s", hf_api_header(&t, "ETag"));
    HF_AUTO(free) char *of_large_digest = digest_of(large, LARGE - 1);
    send_delta(&t, 400, lie, of_large_digest, NULL, of_large.data, of_large.bytes);
    reads(&t, large + 5, LARGE - 5);
    hf_api_call(&t, 201, "POST", "/v1/systems/default/snapshots", NULL);
    hf_api_call(&t, 201, "POST", "/v1/systems/default/snapshots/latest/restore", "{}");
    HF_AUTO(buf) struct hf_buf late;
    HF_AUTO(free) char *late_match = NULL;
    make_delta(&t, "late", 4, &late, &late_match);
    HF_AUTO(free) char *late_digest = digest_of("late", 4);
    send_delta(&t, 409, late_match, late_digest, "State-Epoch: 1", late.data, late.bytes);
    hf_api_problem(&t, "stale_epoch");
    send_delta(&t, 200, late_match, late_digest, "State-Epoch: 2", late.data, late.bytes);
    hf_api_stop(&t);
}
END_TEST

START_TEST(malformed_deltas_change_nothing)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, BINARY, "0123456789", 10);
    HF_AUTO(buf) struct hf_buf delta;
    HF_AUTO(free) char *match = NULL;
    make_delta(&t, "new bytes", 9, &delta, &match);
    HF_AUTO(free) char *digest = digest_of("new bytes", 9);
    for (size_t bytes = 0; bytes < delta.bytes; bytes++)
        refuse(&t, 400, "invalid_request", match, digest, delta.data, bytes, "cut short");
    refuse(&t, 400, "invalid_request", match, digest, "{\"a\":1}", 7, "does not begin like one");
    refuse(&t, 400, "invalid_request", match, digest, "rs\x02\x36\x45\x05\x06\x00", 8, "beyond the end");
    refuse(&t, 400, "invalid_request", match, digest, "rs\x02\x36\xff\x00", 6, "makes no sense");
    reads(&t, "0123456789", 10);
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), "1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(what_a_delta_makes_is_bounded_like_an_upload)
{
    struct hf_api_test t;
    HF_AUTO(free) char *setting = hf_format("PERSISTENCE_MAX_STATE_BYTES=%d", STATE_BYTES);
    start(&t, _i, setting);
    HF_AUTO(free) char *state = make_bytes(STATE_BYTES + 1, 9);
    put(&t, 201, BINARY, state, STATE_BYTES - 10);
    HF_AUTO(buf) struct hf_buf delta;
    HF_AUTO(buf) struct hf_buf more;
    HF_AUTO(free) char *match = NULL;
    HF_AUTO(free) char *again = NULL;
    make_delta(&t, state, STATE_BYTES + 1, &more, &match);
    HF_AUTO(free) char *digest = digest_of(state, STATE_BYTES + 1);
    refuse(&t, 413, "body_too_large", match, digest, more.data, more.bytes, "300000");
    ck_assert_int_eq(hf_json_int(t.json, "limit"), STATE_BYTES);
    /* It copies the state twice. */
    static const char huge[] = "rs\x02\x36\x47\x00\x00\x04\x93\xd6\x47\x00\x00\x04\x93\xd6\x00";
    send_delta(&t, 413, match, digest, NULL, huge, sizeof(huge) - 1);
    hf_api_problem(&t, "body_too_large");
    make_delta(&t, state, STATE_BYTES, &delta, &again);
    HF_AUTO(free) char *fits = digest_of(state, STATE_BYTES);
    send_delta(&t, 200, again, fits, NULL, delta.data, delta.bytes);
    reads(&t, state, STATE_BYTES);
    hf_api_stop(&t);
}
END_TEST

START_TEST(json_stays_json)
{
    static const char broken[] = "{\"a\":1,}", better[] = "{\"a\":12345678901234567890, \"b\":[]}";
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, "Content-Type: application/vnd.agent+json", "{\"a\":1}", 7);
    HF_AUTO(buf) struct hf_buf delta;
    HF_AUTO(buf) struct hf_buf good;
    HF_AUTO(free) char *match = NULL;
    HF_AUTO(free) char *again = NULL;
    make_delta(&t, broken, strlen(broken), &delta, &match);
    HF_AUTO(free) char *digest = digest_of(broken, strlen(broken));
    refuse(&t, 400, "invalid_request", match, digest, delta.data, delta.bytes, "line 1");
    reads(&t, "{\"a\":1}", 7);
    make_delta(&t, better, strlen(better), &good, &again);
    HF_AUTO(free) char *fits = digest_of(better, strlen(better));
    send_delta(&t, 200, again, fits, NULL, good.data, good.bytes);
    reads(&t, better, strlen(better)); /* to the byte, spaces and all */
    ck_assert_str_eq(hf_api_header(&t, "Content-Type"), "application/vnd.agent+json");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_delta_that_changes_nothing_makes_no_version)
{
    struct hf_api_test t;
    start(&t, _i, NULL);
    put(&t, 201, BINARY, "", 0);
    HF_AUTO(buf) struct hf_buf delta;
    HF_AUTO(free) char *match = NULL;
    make_delta(&t, "", 0, &delta, &match);
    HF_AUTO(free) char *digest = digest_of("", 0);
    send_delta(&t, 200, match, digest, NULL, delta.data, delta.bytes);
    ck_assert(json_is_true(json_object_get(t.json, "unchanged")));
    ck_assert_int_eq(hf_json_int(t.json, "version"), 1);
    hf_api_stop(&t);
}
END_TEST

struct writer {
    pthread_t thread;
    int port, number, done;
};

/* One attempt to count up the own byte; true when it was stored. */
static bool count_up(struct hf_client *client, int number)
{
    struct hf_error err;
    struct hf_answer state, signature, receipt;
    HF_AUTO(buf) struct hf_buf delta;
    hf_buf_init(&delta, ROOM);
    ck_assert(hf_client_call(client, "GET", STATE, NULL, NULL, &state) && state.status == 200);
    state.body[number * 1000]++;
    HF_AUTO(free) char *etag = hf_strdup(hf_answer_header(&state, "ETag"));
    HF_AUTO(free) char *digest = digest_of(state.body, state.body_bytes);
    HF_AUTO(free) char *match = hf_format("If-Match: %s", etag);
    ck_assert(hf_client_call(client, "GET", SIGNATURE, NULL, match, &signature));
    bool stored = false;
    if (signature.status == 200) {
        ck_assert(hf_delta_make(signature.body, signature.body_bytes, state.body, state.body_bytes, &delta, &err));
        const char *const headers[] = {DELTA, match, digest, NULL};
        const struct hf_client_request request = {
            .method = "PATCH", .path = STATE, .headers = headers, .body = delta.data, .body_bytes = delta.bytes};
        ck_assert(hf_client_send(client, &request, &receipt));
        stored = receipt.status == 200;
        ck_assert_msg(stored || receipt.status == 412 || receipt.status == 503, "%s", receipt.body);
        hf_answer_done(&receipt);
    }
    hf_answer_done(&signature);
    hf_answer_done(&state);
    return stored;
}

static void *count_often(void *context)
{
    struct writer *writer = context;
    struct hf_client *client = hf_client_new(writer->port);
    while (writer->done < CHANGES)
        writer->done += count_up(client, writer->number);
    hf_client_free(client);
    return NULL;
}

START_TEST(no_delta_of_many_clients_undoes_another)
{
    struct hf_api_test t;
    struct writer writers[CLIENT_COUNT];
    static char zeros[CLIENT_COUNT * 1000], wanted[CLIENT_COUNT * 1000];
    start(&t, _i, NULL);
    put(&t, 201, BINARY, zeros, sizeof(zeros));
    for (int i = 0; i < CLIENT_COUNT; i++) {
        wanted[i * 1000] = CHANGES;
        writers[i] = (struct writer){.port = hf_test_server_port(t.server), .number = i};
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, count_often, &writers[i]), 0);
    }
    for (int i = 0; i < CLIENT_COUNT; i++)
        pthread_join(writers[i].thread, NULL);
    reads(&t, wanted, sizeof(wanted));
    HF_AUTO(free) char *version = hf_format("%d", CLIENT_COUNT * CHANGES + 1);
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), version);
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_large_state_changes_by_what_is_new_alone,
                                  a_signature_tells_of_which_state_it_is,
                                  a_delta_says_what_it_is_for_and_what_it_makes,
                                  a_delta_for_another_state_is_refused,
                                  malformed_deltas_change_nothing,
                                  what_a_delta_makes_is_bounded_like_an_upload,
                                  json_stays_json,
                                  a_delta_that_changes_nothing_makes_no_version,
                                  no_delta_of_many_clients_undoes_another};
    return hf_api_run_on_both("state_delta", tests, sizeof(tests) / sizeof(tests[0]));
}
