/* Comparing two moments, on SQLite and on PostgreSQL. */
#include "engine/diff.h"

#include "core/auto.h"
#include "core/json_exact.h"
#include "core/json_patch.h"
#include "tests/support/engine.h"
#include "tests/support/postgres.h"
#include "tests/support/stores.h"

#include <stdio.h>
#include <string.h>

static struct hf_test_service service;
static struct hf_error err;
static char *url;

static void open_on(int engine)
{
    url = engine == HF_TEST_POSTGRES ? hf_test_postgres_new_database(NULL) : NULL;
    const char *const flags[] = {"--enable-state-validation", "false", url ? "--database-url" : NULL, url, NULL};
    hf_test_service_open(&service, flags);
}

static void close_it(void)
{
    hf_test_service_close(&service);
    free(url);
    url = NULL;
}

static struct hf_diff *open_diff(const char *from, const char *to)
{
    struct hf_past_moment moments[2];
    struct hf_diff *diff = NULL;
    ck_assert(hf_past_parse(from, &moments[0], &err) && hf_past_parse(to, &moments[1], &err));
    ck_assert_msg(hf_diff_open(service.engine, HF_TEST_NAME, &moments[0], &moments[1], &diff, &err), "%s", err.text);
    return diff;
}

/* "+a ~b -c =d", in the order in which they come. */
static void expect_diff(const char *from, const char *to, const char *expected)
{
    struct hf_diff *diff = open_diff(from, to);
    struct hf_difference difference;
    char told[512] = "";
    while (hf_diff_next(diff, &difference)) {
        size_t used = strlen(told);
        snprintf(told + used, sizeof(told) - used, "%s%c%s", used ? " " : "", "+-~="[difference.change],
                 difference.component);
        ck_assert_int_eq(difference.from == NULL, difference.change == HF_CHANGE_ADDED);
        ck_assert_int_eq(difference.to == NULL, difference.change == HF_CHANGE_REMOVED);
    }
    ck_assert_str_eq(told, expected);
    hf_diff_close(diff);
}

START_TEST(differences_come_in_name_order_with_what_they_are)
{
    open_on(_i);
    hf_test_put(&service, "b", "1");
    hf_test_put(&service, "a", "1");
    hf_test_put(&service, "d", "1");
    hf_test_register(&service, "never", "agent", NULL, 0); /* has no state */
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "b", "2");
    hf_test_put(&service, "c", "1");
    hf_test_delete(&service, "d");
    hf_test_put(&service, "short", "1"); /* comes and goes in between */
    hf_test_delete(&service, "short");
    const char *then = hf_test_service_path(&service, "%lld", (long long)full.sequence);
    then = strrchr(then, '/') + 1;
    expect_diff(full.id, "now", "=a ~b +c -d");
    expect_diff(then, "now", "=a ~b +c -d");
    expect_diff("now", full.id, "=a ~b -c +d");
    expect_diff("latest", then, "=a =b =d");
    expect_diff("0", full.id, "+a +b +d");
    expect_diff("now", "now", "=a =b =c");
    close_it();
}
END_TEST

START_TEST(the_same_content_is_unchanged_whatever_its_version)
{
    open_on(_i);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_delete(&service, "a");
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_diff *diff = open_diff("1", "now");
    struct hf_difference difference;
    ck_assert(hf_diff_find(diff, "a", &difference));
    ck_assert_int_eq(difference.change, HF_CHANGE_UNCHANGED);
    ck_assert_int_eq(difference.from->version, 1);
    ck_assert_int_eq(difference.to->version, 5);
    ck_assert(!hf_diff_find(diff, "b", &difference));
    hf_diff_close(diff);
    expect_diff("1", "3", "=a");
    expect_diff("1", "2", "~a");
    close_it();
}
END_TEST

/* The patch from one text to the other, applied, gives the other. */
static void expect_patch(const char *from, const char *to)
{
    hf_test_put(&service, "patched", from);
    int64_t first = hf_test_system(&service).sequence;
    hf_test_put(&service, "patched", to);
    HF_AUTO(free) char *then = hf_format("%lld", (long long)first);
    struct hf_diff *diff = open_diff(then, "now");
    struct hf_difference difference;
    char reason[HF_DIFF_REASON_BYTES];
    HF_AUTO(json) json_t *patch = NULL;
    ck_assert(hf_diff_find(diff, "patched", &difference));
    ck_assert_msg(hf_diff_patch(diff, &difference, &patch, reason, &err), "%s", err.text);
    ck_assert_msg(patch != NULL, "%s", reason);
    HF_AUTO(json) json_t *document = hf_json_parse_exact(from, strlen(from), &err);
    HF_AUTO(json) json_t *wanted = hf_json_parse_exact(to, strlen(to), &err);
    ck_assert_msg(hf_json_patch_apply(patch, &document, &err), "%s", err.text);
    ck_assert(hf_json_same(document, wanted, NULL));
    hf_diff_close(diff);
}

START_TEST(a_patch_leads_from_one_side_to_the_other)
{
    open_on(_i);
    expect_patch("{\"a\":1,\"b\":[1,2,3]}", "{\"b\":[1,3,4],\"c\":{\"~x/y\":null}}");
    expect_patch("[1,2,3]", "{\"a\":0.1}");
    expect_patch("{\"a\":1}", "{ \"a\" : 1 }"); /* other bytes, the same values */
    expect_patch("\"text\"", "null");
    close_it();
}
END_TEST

static void put_bytes(const char *component, const char *content_type, const char *text)
{
    struct hf_blob *body = hf_blob_copy(text, strlen(text));
    struct hf_save_item item = {.component = component, .body = body, .content_type = content_type};
    hf_hash_of(text, strlen(text), &item.hash);
    struct hf_write write = {.system = HF_TEST_NAME, .state_epoch = -1, .items = &item, .item_count = 1};
    ck_assert(hf_committer_write(service.engine->committer, &write, &err) && write.ok);
    hf_blob_unref(body);
}

static void expect_no_patch(struct hf_diff *diff, const char *component, const char *why)
{
    struct hf_difference difference;
    char reason[HF_DIFF_REASON_BYTES];
    json_t *patch = NULL;
    ck_assert(hf_diff_find(diff, component, &difference));
    ck_assert_msg(hf_diff_patch(diff, &difference, &patch, reason, &err), "%s", err.text);
    ck_assert_ptr_null(patch);
    ck_assert_msg(strstr(reason, why) != NULL, "%s", reason);
}

START_TEST(without_a_patch_the_reason_is_told)
{
    open_on(_i);
    put_bytes("bytes", "application/octet-stream", "1");
    put_bytes("mixed", "application/json", "1");
    put_bytes("large", "application/json", "1");
    put_bytes("gone", "application/json", "1");
    put_bytes("bytes", "application/octet-stream", "2");
    put_bytes("mixed", "text/plain", "2");
    put_bytes("large", "application/json", "123456789012345678901234567890");
    put_bytes("new", "application/json", "1");
    hf_test_delete(&service, "gone");
    struct hf_diff *diff = open_diff("4", "now");
    expect_no_patch(diff, "bytes", "content type is not JSON");
    expect_no_patch(diff, "mixed", "content type is not JSON");
    expect_no_patch(diff, "large", "what a patch cannot express");
    expect_no_patch(diff, "new", "it was added");
    expect_no_patch(diff, "gone", "it was removed");
    hf_diff_close(diff);
    close_it();
}
END_TEST

START_TEST(a_diff_holds_no_database_session)
{
    enum { MANY = 32 }; /* more than there are */
    struct hf_diff *diffs[MANY];
    open_on(_i);
    hf_test_put(&service, "a", "1");
    hf_test_put(&service, "a", "2");
    for (int i = 0; i < MANY; i++)
        diffs[i] = open_diff("1", "2");
    for (int i = 0; i < MANY; i++)
        hf_diff_close(diffs[i]);
    close_it();
}
END_TEST

HF_TEST_STORE_MAIN("diff", differences_come_in_name_order_with_what_they_are,
                   the_same_content_is_unchanged_whatever_its_version, a_patch_leads_from_one_side_to_the_other,
                   without_a_patch_the_reason_is_told, a_diff_holds_no_database_session);
