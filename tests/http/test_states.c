/* One state: receipts, conditions, ranges, digests, history. On SQLite and on PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/digest.h"

#include <string.h>
#include <time.h>

#define STATE "/v1/systems/default/components/a/state"

static void start(struct hf_api_test *t, int postgres)
{
    const struct hf_test_server_options options = {.postgres = postgres != 0};
    hf_api_start(t, &options);
}

static void put(struct hf_api_test *t, int status, const char *header, const char *body)
{
    const char *const headers[] = {"Content-Type: application/json", header, NULL};
    hf_api_send(t, status, "PUT", STATE, headers, body, strlen(body));
}

static void get(struct hf_api_test *t, int status, const char *header)
{
    const char *const headers[] = {header, NULL};
    hf_api_send(t, status, "GET", STATE, headers, NULL, 0);
}

START_TEST(an_upload_is_read_back_byte_for_byte)
{
    struct hf_api_test t;
    start(&t, _i);
    const char *state = " {\"b\":1.50, \"a\":\"\\u00e9\"}\n";
    put(&t, 201, NULL, state);
    struct hf_hash hash;
    char label[HF_HASH_LABEL], digest[64] = "sha-256=:";
    hf_hash_of(state, strlen(state), &hash);
    hf_hash_label(&hash, label);
    ck_assert_str_eq(hf_json_str(t.json, "hash"), label);
    ck_assert_int_eq(hf_json_int(t.json, "bytes"), (long long)strlen(state));
    ck_assert_int_eq(hf_json_int(t.json, "epoch"), 1);
    HF_AUTO(free) char *etag = hf_format("\"1-%.16s\"", label + strlen("sha256:"));
    ck_assert_str_eq(hf_api_header(&t, "ETag"), etag);
    get(&t, 200, NULL);
    ck_assert_str_eq(t.answer.body, state);
    ck_assert_str_eq(hf_api_header(&t, "ETag"), etag);
    ck_assert_str_eq(hf_api_header(&t, "Content-Type"), "application/json");
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), "1");
    ck_assert_str_eq(hf_api_header(&t, "State-Sequence"), "1");
    ck_assert_str_eq(hf_api_header(&t, "State-Epoch"), "1");
    ck_assert_str_eq(hf_api_header(&t, "Accept-Ranges"), "bytes");
    struct tm modified;
    const char *end = strptime(hf_api_header(&t, "Last-Modified"), "%a, %d %b %Y %H:%M:%S GMT", &modified);
    ck_assert(end && !*end);
    hf_base64_encode(hash.bytes, HF_HASH_BYTES, digest + 9);
    strcat(digest, ":");
    ck_assert_str_eq(hf_api_header(&t, "Repr-Digest"), digest);
    hf_api_stop(&t);
}
END_TEST

START_TEST(any_bytes_with_any_content_type_are_a_state)
{
    struct hf_api_test t;
    start(&t, _i);
    const char bytes[] = {0, 1, (char)0xff, '\r', '\n', 0};
    const char *const headers[] = {"Content-Type: application/x-q-table; version=2", NULL};
    hf_api_send(&t, 201, "PUT", STATE, headers, bytes, sizeof(bytes));
    get(&t, 200, NULL);
    ck_assert_mem_eq(t.answer.body, bytes, sizeof(bytes));
    ck_assert_int_eq(t.answer.body_bytes, sizeof(bytes));
    ck_assert_str_eq(hf_api_header(&t, "Content-Type"), "application/x-q-table; version=2");
    const char *const text[] = {"Content-Type: text/plain", NULL};
    hf_api_send(&t, 200, "PUT", STATE, text, "", 0);
    ck_assert_int_eq(hf_json_int(t.json, "bytes"), 0);
    get(&t, 200, NULL);
    ck_assert_int_eq(t.answer.body_bytes, 0);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_state_of_many_chunks_is_read_back_whole_and_in_ranges)
{
    struct hf_api_test t;
    start(&t, _i);
    size_t bytes = 3 * 1024 * 1024 + 17;
    HF_AUTO(free) char *big = hf_alloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        big[i] = (char)(i * 2654435761u >> 13);
    const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    hf_api_send(&t, 201, "PUT", STATE, headers, big, bytes);
    get(&t, 200, NULL);
    ck_assert_uint_eq(t.answer.body_bytes, bytes);
    ck_assert_mem_eq(t.answer.body, big, bytes);
    get(&t, 206, "Range: bytes=524280-1048600");
    ck_assert_uint_eq(t.answer.body_bytes, 1048600 - 524280 + 1);
    ck_assert_mem_eq(t.answer.body, big + 524280, t.answer.body_bytes);
    hf_test_server_kill(t.server);
    hf_test_server_start_again(t.server); /* now it is not in memory */
    hf_api_reconnect(&t);
    get(&t, 206, "Range: bytes=-17");
    ck_assert_mem_eq(t.answer.body, big + bytes - 17, 17);
    get(&t, 200, NULL);
    ck_assert_mem_eq(t.answer.body, big, bytes);
    hf_api_stop(&t);
}
END_TEST

START_TEST(the_same_content_again_is_no_new_version)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, 201, NULL, "{\"a\":1}");
    put(&t, 200, NULL, "{\"a\":1}");
    ck_assert(json_is_true(json_object_get(t.json, "unchanged")));
    ck_assert_int_eq(hf_json_int(t.json, "version"), 1);
    ck_assert_int_eq(hf_json_int(t.json, "sequence"), 1);
    put(&t, 200, NULL, "{\"a\":2}");
    ck_assert(json_is_false(json_object_get(t.json, "unchanged")));
    ck_assert_int_eq(hf_json_int(t.json, "version"), 2);
    hf_api_stop(&t);
}
END_TEST

START_TEST(if_match_lets_only_the_known_version_be_replaced)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, 412, "If-Match: \"1-0000000000000000\"", "1");
    ck_assert(json_is_null(json_object_get(hf_api_problem(&t, "precondition_failed"), "currentEtag")));
    put(&t, 412, "If-Match: *", "1");
    put(&t, 201, "If-None-Match: *", "1");
    HF_AUTO(free) char *first = hf_strdup(hf_api_header(&t, "ETag"));
    put(&t, 412, "If-None-Match: *", "2");
    ck_assert_str_eq(hf_json_str(hf_api_problem(&t, "precondition_failed"), "currentEtag"), first);
    HF_AUTO(free) char *match = hf_format("If-Match: \"9-0000000000000000\", %s", first);
    put(&t, 200, match, "2");
    HF_AUTO(free) char *second = hf_strdup(hf_api_header(&t, "ETag"));
    put(&t, 412, match, "3");
    ck_assert_str_eq(hf_json_str(hf_api_problem(&t, "precondition_failed"), "currentEtag"), second);
    HF_AUTO(free) char *weak = hf_format("If-Match: W/%s", second);
    put(&t, 412, weak, "3");
    put(&t, 200, "If-Match: *", "3");
    get(&t, 200, NULL);
    ck_assert_str_eq(t.answer.body, "3");
    put(&t, 400, "If-Match: 3-0000000000000000", "4");
    ck_assert_detail_has(&t, "quotes");
    put(&t, 400, "If-None-Match: \"1-0000000000000000\"", "4");
    hf_api_stop(&t);
}
END_TEST

START_TEST(conditional_reads_save_the_transfer)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, 201, NULL, "{\"a\":1}");
    HF_AUTO(free) char *etag = hf_strdup(hf_api_header(&t, "ETag"));
    HF_AUTO(free) char *none = hf_format("If-None-Match: %s", etag);
    HF_AUTO(free) char *weak = hf_format("If-None-Match: \"x\", W/%s", etag);
    HF_AUTO(free) char *match = hf_format("If-Match: %s", etag);
    get(&t, 304, none);
    ck_assert_str_eq(hf_api_header(&t, "ETag"), etag);
    ck_assert_int_eq(t.answer.body_bytes, 0);
    get(&t, 304, weak);
    get(&t, 304, "If-None-Match: *");
    get(&t, 200, match);
    put(&t, 200, NULL, "{\"a\":2}");
    get(&t, 200, none);
    ck_assert_str_eq(t.answer.body, "{\"a\":2}");
    get(&t, 412, match);
    hf_api_problem(&t, "precondition_failed");
    ck_assert_str_ne(hf_json_str(t.json, "currentEtag"), etag);
    get(&t, 400, "If-None-Match: 1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(ranges_follow_the_standard)
{
    static const struct {
        const char *range;
        int status;
        const char *body, *content_range;
    } rows[] = {
        {"bytes=0-0", 206, "0", "bytes 0-0/10"},
        {"bytes=3-5", 206, "345", "bytes 3-5/10"},
        {"bytes=7-", 206, "789", "bytes 7-9/10"},
        {"bytes=-4", 206, "6789", "bytes 6-9/10"},
        {"bytes=-99", 206, "0123456789", "bytes 0-9/10"},
        {"bytes=5-99999999999999999999999", 206, "56789", "bytes 5-9/10"},
        {"bytes=10-", 416, NULL, "bytes */10"},
        {"bytes=-0", 416, NULL, "bytes */10"},
        {"bytes=5-3", 200, "0123456789", NULL},
        {"bytes=0-1,4-5", 200, "0123456789", NULL},
        {"bytes=x-y", 200, "0123456789", NULL},
        {"bytes=-", 200, "0123456789", NULL},
        {"lines=0-1", 200, "0123456789", NULL},
    };
    struct hf_api_test t;
    start(&t, _i);
    const char *const headers[] = {"Content-Type: text/plain", NULL};
    hf_api_send(&t, 201, "PUT", STATE, headers, "0123456789", 10);
    HF_AUTO(free) char *etag = hf_strdup(hf_api_header(&t, "ETag"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        HF_AUTO(free) char *range = hf_format("Range: %s", rows[i].range);
        get(&t, rows[i].status, range);
        if (rows[i].status == 416)
            hf_api_problem(&t, "range_not_satisfiable");
        if (rows[i].body)
            ck_assert_str_eq(t.answer.body, rows[i].body);
        if (rows[i].content_range)
            ck_assert_str_eq(hf_api_header(&t, "Content-Range"), rows[i].content_range);
        else
            ck_assert_ptr_null(hf_answer_header(&t.answer, "Content-Range"));
    }
    HF_AUTO(free) char *if_range = hf_format("If-Range: %s", etag);
    const char *const same[] = {"Range: bytes=0-0", if_range, NULL};
    const char *const other[] = {"Range: bytes=0-0", "If-Range: \"7-0000000000000000\"", NULL};
    const char *const date[] = {"Range: bytes=0-0", "If-Range: Mon, 23 Nov 2026 01:30:00 GMT", NULL};
    hf_api_send(&t, 206, "GET", STATE, same, NULL, 0);
    hf_api_send(&t, 200, "GET", STATE, other, NULL, 0);
    hf_api_send(&t, 200, "GET", STATE, date, NULL, 0);
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_digest_that_does_not_match_is_refused)
{
    struct hf_api_test t;
    start(&t, _i);
    /* printf 1 | openssl dgst -sha256 -binary | base64 */
    const char *good = "Content-Digest: sha-256=:a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s=:";
    put(&t, 201, good, "1");
    put(&t, 400, good, "2");
    hf_api_problem(&t, "digest_mismatch");
    put(&t, 200, "Content-Digest: md5=:AAAA:", "3");
    put(&t, 200, "Content-Digest: sha-512=:AAAA:, sha-256=:a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s=:", "1");
    static const char *const bad[] = {"Content-Digest: sha-256=:AAAA:", "Content-Digest: sha-256=a4ay",
                                      "Content-Digest: sha-256=:a4ay",  "Content-Digest: md5=:AAAA:;",
                                      "Content-Digest: sha-256=:!:",    "Content-Digest: x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put(&t, 400, bad[i], "1");
        hf_api_problem(&t, "invalid_request");
    }
    get(&t, 200, NULL);
    ck_assert_str_eq(t.answer.body, "1");
    hf_api_stop(&t);
}
END_TEST

static void wait_for_the_next_millisecond(void)
{
    int64_t now_ms = hf_clock_now_ms();
    const struct timespec pause = {0, 2000000};
    while (hf_clock_now_ms() <= now_ms + 1)
        nanosleep(&pause, NULL);
}

START_TEST(the_past_stays_readable)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, 201, "State-Event: start", "1");
    HF_AUTO(free) char *first_at = hf_strdup(hf_json_str(t.json, "committedAt"));
    wait_for_the_next_millisecond();
    hf_api_call(&t, 201, "POST", "/v1/systems/default/snapshots", NULL);
    HF_AUTO(free) char *in_snapshot = hf_format(STATE "?snapshot=%s", hf_json_str(t.json, "id"));
    put(&t, 200, NULL, "2");
    put(&t, 200, NULL, "3");
    hf_api_call(&t, 200, "GET", STATE "?version=2", NULL);
    ck_assert_str_eq(t.answer.body, "2");
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), "2");
    HF_AUTO(free) char *at = hf_format(STATE "?at=%s", first_at);
    hf_api_call(&t, 200, "GET", at, NULL);
    ck_assert_str_eq(t.answer.body, "1");
    hf_api_call(&t, 200, "GET", in_snapshot, NULL);
    ck_assert_str_eq(t.answer.body, "1");
    hf_api_call(&t, 200, "GET", STATE "?snapshot=latest", NULL);
    ck_assert_str_eq(t.answer.body, "1");
    hf_api_refused(&t, 404, "not_found", "GET", STATE "?version=4", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", STATE "?at=2001-01-01T00:00:00Z", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", STATE "?snapshot=full-20010101T000000Z-1", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", STATE "?version=1&at=2026-01-01T00:00:00Z", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", STATE "?version=0", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", STATE "?at=yesterday", NULL);
    hf_api_call(&t, 200, "GET", "/v1/systems/default/components/a/versions?limit=2", NULL);
    const json_t *versions = json_object_get(t.json, "versions");
    ck_assert_int_eq(json_array_size(versions), 2);
    ck_assert_int_eq(hf_json_int(json_array_get(versions, 0), "version"), 3);
    HF_AUTO(free)
    char *next =
        hf_format("/v1/systems/default/components/a/versions?limit=2&cursor=%s", hf_json_str(t.json, "nextCursor"));
    hf_api_call(&t, 200, "GET", next, NULL);
    versions = json_object_get(t.json, "versions");
    ck_assert_int_eq(json_array_size(versions), 1);
    ck_assert_str_eq(hf_json_str(json_array_get(versions, 0), "event"), "start");
    ck_assert(json_is_null(json_object_get(t.json, "nextCursor")));
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_deleted_component_is_gone_and_its_history_is_not)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, 201, NULL, "1");
    hf_api_call(&t, 204, "DELETE", "/v1/systems/default/components/a", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", STATE, NULL);
    hf_api_refused(&t, 404, "not_found", "DELETE", "/v1/systems/default/components/a", NULL);
    hf_api_call(&t, 200, "GET", STATE "?version=1", NULL);
    ck_assert_str_eq(t.answer.body, "1");
    put(&t, 201, NULL, "1");
    ck_assert_int_eq(hf_json_int(t.json, "version"), 3);
    const char *const headers[] = {"If-Match: \"1-0000000000000000\"", NULL};
    hf_api_send(&t, 412, "DELETE", "/v1/systems/default/components/a", headers, NULL, 0);
    hf_api_stop(&t);
}
END_TEST

START_TEST(an_epoch_from_before_a_restore_is_refused)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, 201, "State-Epoch: 1", "1");
    hf_api_call(&t, 201, "POST", "/v1/systems/default/snapshots", NULL);
    put(&t, 200, "State-Epoch: 1", "2");
    hf_api_call(&t, 201, "POST", "/v1/systems/default/snapshots/latest/restore", "{}");
    ck_assert_int_eq(hf_json_int(t.json, "epoch"), 2);
    put(&t, 409, "State-Epoch: 1", "3");
    ck_assert_int_eq(hf_json_int(hf_api_problem(&t, "stale_epoch"), "epoch"), 2);
    get(&t, 200, NULL);
    ck_assert_str_eq(t.answer.body, "1");
    ck_assert_str_eq(hf_api_header(&t, "State-Epoch"), "2");
    put(&t, 200, "State-Epoch: 2", "3");
    put(&t, 400, "State-Epoch: two", "3");
    put(&t, 400, "State-Epoch: -1", "3");
    hf_api_stop(&t);
}
END_TEST

#define MERGE "Content-Type: application/merge-patch+json"

/* One write of each kind, as State-Order says. */
static void write_late(struct hf_api_test *t, const char *order)
{
    static const char batch[] = "{\"states\":[{\"component\":\"b\",\"state\":1},{\"component\":\"a\",\"state\":1}]}";
    static const char component[] = "/v1/systems/default/components/a";
    const char *const headers[] = {"Content-Type: application/json", order, NULL}, *const patch[] = {MERGE, order,
                                                                                                     NULL};
    put(t, 409, order, "{\"late\":1}");
    hf_api_problem(t, "superseded");
    hf_api_send(t, 409, "POST", STATE, headers, "{}", 2);
    hf_api_problem(t, "superseded");
    hf_api_send(t, 409, "PATCH", STATE, patch, "{\"late\":1}", 10);
    hf_api_problem(t, "superseded");
    hf_api_send(t, 409, "DELETE", component, headers, NULL, 0);
    hf_api_problem(t, "superseded");
    hf_api_send(t, 409, "POST", "/v1/systems/default/states", headers, batch, strlen(batch));
    ck_assert_str_eq(hf_json_str(hf_api_problem(t, "superseded"), "component"), "a");
    hf_api_refused(t, 404, "not_found", "GET", "/v1/systems/default/components/b/state", NULL);
}

START_TEST(a_write_that_comes_after_a_newer_one_of_its_writer_is_refused)
{
    struct hf_api_test t;
    start(&t, _i);
    put(&t, 201, "State-Order: run-1/41", "{\"of\":41}");
    put(&t, 200, "State-Order: run-1/43", "{\"of\":43}");
    write_late(&t, "State-Order: run-1/42");
    get(&t, 200, NULL);
    ck_assert_str_eq(t.answer.body, "{\"of\":43}");
    put(&t, 200, "State-Order: run-1/43", "{\"of\":43}"); /* tried again */
    ck_assert(json_is_true(json_object_get(t.json, "unchanged")));
    put(&t, 200, "State-Order: run-2/1", "{\"of\":1}");
    put(&t, 200, "State-Order: run-2/9007199254740991", "{\"of\":2}");
    const char *const last[] = {"State-Order: run-2/9007199254740991", NULL};
    hf_api_send(&t, 204, "DELETE", "/v1/systems/default/components/a", last, NULL, 0);
    put(&t, 409, "State-Order: run-2/2", "{}");
    hf_api_problem(&t, "superseded");
    hf_api_stop(&t);
}
END_TEST

/* The state of a number below may still be on its way, and must not come after it. */
START_TEST(a_deletion_that_finds_nothing_outruns_what_its_writer_sent_before)
{
    static const char component[] = "/v1/systems/default/components/a", kind[] = "{\"kind\":\"agent\"}";
    const char *const fifth[] = {"State-Order: run-1/5", NULL}, *const seventh[] = {"State-Order: run-1/7", NULL};
    const char *const json[] = {"Content-Type: application/json", NULL};
    struct hf_api_test t;
    start(&t, _i);
    hf_api_send(&t, 404, "DELETE", component, fifth, NULL, 0);
    put(&t, 409, "State-Order: run-1/4", "{}");
    hf_api_problem(&t, "superseded");
    hf_api_send(&t, 201, "PUT", component, json, kind, strlen(kind)); /* a registration brings nothing back */
    put(&t, 409, "State-Order: run-1/4", "{}");
    hf_api_send(&t, 204, "DELETE", component, seventh, NULL, 0); /* never had a state: it is forgotten */
    put(&t, 409, "State-Order: run-1/6", "{}");
    put(&t, 201, "State-Order: run-1/8", "{}");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_malformed_order_is_refused)
{
    static const char *const malformed[] = {"a",
                                            "a/",
                                            "/1",
                                            "a/0",
                                            "a/-1",
                                            "a/+1",
                                            "a/1 2",
                                            "a/1/2",
                                            "a b/1",
                                            "ä/1",
                                            "a/1x",
                                            "a/1.5",
                                            "a/ 1",
                                            "a:b/1",
                                            "a/9007199254740992",
                                            "a/90071992547409910",
                                            "a/18446744073709551617",
                                            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/1"};
    struct hf_api_test t;
    start(&t, _i);
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        HF_AUTO(free) char *header = hf_format("State-Order: %s", malformed[i]);
        const char *const headers[] = {header, NULL};
        put(&t, 400, header, "1");
        ck_assert_detail_has(&t, "header State-Order");
        hf_api_send(&t, 400, "DELETE", "/v1/systems/default/components/a", headers, NULL, 0);
        ck_assert_detail_has(&t, "header State-Order");
        hf_api_send(&t, 400, "POST", "/v1/systems/default/states", headers, "{\"states\":[]}", 13);
        ck_assert_detail_has(&t, "header State-Order");
    }
    put(&t, 201, "State-Order: aZ09._-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/9007199254740991", "1");
    hf_api_stop(&t);
}
END_TEST

static bool has_event(struct hf_api_test *t, const char *type)
{
    size_t index;
    json_t *event;
    json_array_foreach(json_object_get(t->json, "events"), index, event)
    {
        if (strcmp(hf_json_str(event, "type"), type) == 0)
            return true;
    }
    return false;
}

/* More may come at any time: what came until now is looked at from both ends. */
static void check_newest_events(struct hf_api_test *t)
{
    json_t *all = json_incref(json_object_get(t->json, "events"));
    size_t count = json_array_size(all);
    int64_t last = hf_json_int(json_array_get(all, count - 1), "id");
    HF_AUTO(free)
    char *path = hf_format("/v1/systems/default/events?order=desc&limit=2&before=%lld", (long long)(last + 1));
    hf_api_call(t, 200, "GET", path, NULL);
    const json_t *newest = json_object_get(t->json, "events");
    ck_assert_uint_eq(json_array_size(newest), 2);
    ck_assert(json_equal(json_array_get(newest, 0), json_array_get(all, count - 1)));
    ck_assert(json_equal(json_array_get(newest, 1), json_array_get(all, count - 2)));
    json_decref(all);
    const char *const headers[] = {"Accept: text/event-stream", NULL};
    hf_api_send(t, 400, "GET", "/v1/systems/default/events?order=desc", headers, NULL, 0);
}

START_TEST(an_event_is_recorded_and_may_ask_for_a_snapshot)
{
    struct hf_api_test t;
    start(&t, _i);
    const char *const headers[] = {"Content-Type: application/json", "State-Event: large-reward",
                                   "State-Event-Snapshot: true", NULL};
    hf_api_send(&t, 201, "PUT", STATE, headers, "1", 1);
    uint64_t deadline_ns = hf_clock_monotonic_ns() + 60 * HF_SECOND_NS;
    bool seen = false;
    while (!seen && hf_clock_monotonic_ns() < deadline_ns) {
        hf_api_call(&t, 200, "GET", "/v1/systems/default/events", NULL);
        seen = has_event(&t, "state.event") && has_event(&t, "snapshot.completed");
    }
    ck_assert_msg(seen, "%s", t.answer.body);
    check_newest_events(&t);
    hf_api_call(&t, 200, "GET", "/v1/systems/default/snapshots/latest", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "trigger"), "event");
    put(&t, 400, "State-Event: two words", "1");
    put(&t, 400, "State-Event-Snapshot: perhaps", "1");
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {an_upload_is_read_back_byte_for_byte,
                                  any_bytes_with_any_content_type_are_a_state,
                                  a_state_of_many_chunks_is_read_back_whole_and_in_ranges,
                                  the_same_content_again_is_no_new_version,
                                  if_match_lets_only_the_known_version_be_replaced,
                                  conditional_reads_save_the_transfer,
                                  ranges_follow_the_standard,
                                  a_digest_that_does_not_match_is_refused,
                                  the_past_stays_readable,
                                  a_deleted_component_is_gone_and_its_history_is_not,
                                  an_epoch_from_before_a_restore_is_refused,
                                  a_write_that_comes_after_a_newer_one_of_its_writer_is_refused,
                                  a_deletion_that_finds_nothing_outruns_what_its_writer_sent_before,
                                  a_malformed_order_is_refused,
                                  an_event_is_recorded_and_may_ask_for_a_snapshot};
    return hf_api_run_on_both("states", tests, (int)(sizeof(tests) / sizeof(tests[0])));
}
