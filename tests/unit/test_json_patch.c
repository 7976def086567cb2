/* JSON Patch: what the published suite (test_json_patch_suite.py) does not try. */
#include "core/json_patch.h"

#include "core/json_exact.h"
#include "core/json_pointer.h"

#include <string.h>

#include "tests/support/check_main.h"

static json_t *json(const char *text)
{
    struct hf_error err = {0};
    json_t *value = hf_json_parse_exact(text, strlen(text), &err);
    ck_assert_msg(value != NULL, "%s: %s", text, err.text);
    return value;
}

static void check_text(const json_t *value, const char *expected)
{
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, 100000);
    ck_assert(hf_json_write(&text, value));
    ck_assert_str_eq(text.data, expected);
}

static void check(const char *document_text, const char *patch_text, const char *expected)
{
    struct hf_error err = {0};
    HF_AUTO(json) json_t *document = json(document_text), *patch = json(patch_text);
    ck_assert_msg(hf_json_patch_apply(patch, &document, &err), "%s: %s", patch_text, err.text);
    check_text(document, expected);
    check_text(patch, patch_text);
}

static void check_refused(const char *document_text, const char *patch_text, enum hf_code code, const char *expected)
{
    struct hf_error err = {0};
    HF_AUTO(json) json_t *document = json(document_text), *patch = json(patch_text);
    const json_t *before = document;
    ck_assert_msg(!hf_json_patch_apply(patch, &document, &err), "%s", patch_text);
    ck_assert_msg(err.code == code, "%s: %s", patch_text, err.text);
    ck_assert_msg(strstr(err.text, expected) != NULL, "\"%s\" does not say \"%s\"", err.text, expected);
    ck_assert_ptr_eq(document, before);
    check_text(document, document_text);
}

#define ADD(path, value)     "{\"op\":\"add\",\"path\":\"" path "\",\"value\":" value "}"
#define REPLACE(path, value) "{\"op\":\"replace\",\"path\":\"" path "\",\"value\":" value "}"
#define TEST(path, value)    "{\"op\":\"test\",\"path\":\"" path "\",\"value\":" value "}"
#define REMOVE(path)         "{\"op\":\"remove\",\"path\":\"" path "\"}"
#define MOVE(from, path)     "{\"op\":\"move\",\"from\":\"" from "\",\"path\":\"" path "\"}"
#define COPY(from, path)     "{\"op\":\"copy\",\"from\":\"" from "\",\"path\":\"" path "\"}"

START_TEST(members_that_are_not_named_keep_their_order)
{
    check("{\"z\":1,\"m\":{\"y\":1,\"x\":2},\"a\":3}", "[" REPLACE("/m/y", "5") "," ADD("/z", "0") "," REMOVE("/a") "]",
          "{\"z\":0,\"m\":{\"y\":5,\"x\":2}}");
}
END_TEST

START_TEST(a_copy_and_its_origin_go_their_own_ways)
{
    check("{\"a\":{\"b\":[1]}}",
          "[" COPY("/a", "/c") "," ADD("/c/b/-", "2") "," ADD("/a/b/0", "0") "," COPY("", "/d") "]",
          "{\"a\":{\"b\":[0,1]},\"c\":{\"b\":[1,2]},\"d\":{\"a\":{\"b\":[0,1]},\"c\":{\"b\":[1,2]}}}");
    check("[1]", "[" COPY("", "/0") "," ADD("/0/-", "2") "]", "[[1,2],1]");
}
END_TEST

START_TEST(a_value_of_the_patch_is_not_changed_by_the_operations_after_it)
{
    check("{}", "[" ADD("/a", "[{}]") "," ADD("/a/0/b", "1") "," ADD("", "[{}]") "," ADD("/0/c", "2") "]",
          "[{\"c\":2}]");
}
END_TEST

START_TEST(a_move_to_its_own_place_changes_nothing)
{
    check("[1,2]", "[" MOVE("/1", "/1") "," MOVE("", "") "]", "[1,2]");
    check_refused("[1]", "[" MOVE("/1", "/1") "]", HF_CONFLICT, "operation 0 (move)");
}
END_TEST

START_TEST(a_test_compares_numbers_by_value)
{
    check("[1,2.0,0.0,9007199254740993]",
          "[" TEST("", "[1.0,2,-0.0,9007199254740993]") "," TEST("/0", "1.0") "," TEST("/3", "9007199254740993") "]",
          "[1,2.0,0.0,9007199254740993]");
    check_refused("[9007199254740993]", "[" TEST("/0", "9007199254740992.0") "]", HF_PRECONDITION,
                  "operation 0 (test)");
    check_refused("[9223372036854775807]", "[" TEST("/0", "9.2233720368547758e+18") "]", HF_PRECONDITION,
                  "another value");
    check_refused("[1]", "[" TEST("/0", "true") "]", HF_PRECONDITION, "another value");
    check_refused("{\"a\":1}", "[" TEST("", "{\"a\":1,\"b\":2}") "]", HF_PRECONDITION, "another value");
    check_refused("{\"a\":1}", "[" TEST("/b", "null") "]", HF_PRECONDITION, "nothing");
}
END_TEST

START_TEST(a_failure_says_which_operation_and_leaves_the_document)
{
    check_refused("{\"a\":[1]}", "[" ADD("/a/-", "2") "," REMOVE("/b") "]", HF_CONFLICT, "operation 1 (remove)");
    check_refused("{\"a\":[1]}", "[" REMOVE("/a/0") "," REPLACE("/a/0", "2") "]", HF_CONFLICT, "operation 1 (replace)");
    check_refused("{\"a\":[1]}", "[" ADD("/a/2", "2") "]", HF_CONFLICT, "no place in the array");
    check_refused("{\"a\":[1]}", "[" ADD("/a/01", "2") "]", HF_CONFLICT, "no place in the array");
    check_refused("{\"a\":[1]}", "[" REMOVE("/a/-") "]", HF_CONFLICT, "nothing to remove");
    check_refused("{\"a\":[1]}", "[" REPLACE("/a/-", "1") "]", HF_CONFLICT, "no place");
    check_refused("{\"a\":[1]}", "[" ADD("/a/0/b", "1") "]", HF_CONFLICT, "neither an object nor an array");
    check_refused("{\"a\":[1]}", "[" ADD("/b/c/d", "1") "]", HF_CONFLICT, "ends before it");
    check_refused("{\"a\":[1]}", "[" COPY("/b", "/c") "]", HF_CONFLICT, "\"from\"");
    check_refused("{\"a\":[1]}", "[" REMOVE("") "]", HF_CONFLICT, "whole document");
    check_refused("1", "[" ADD("/a", "1") "]", HF_CONFLICT, "neither an object nor an array");
}
END_TEST

START_TEST(a_malformed_patch_is_refused_before_anything_is_tried)
{
    check_refused("[1]", "{\"op\":\"remove\",\"path\":\"/0\"}", HF_INVALID_REQUEST, "an array of operations");
    check_refused("[1]", "[" TEST("/0", "2") ",1]", HF_INVALID_REQUEST, "operation 1 is not an object");
    check_refused("[1]", "[" TEST("/0", "2") ",{\"op\":\"ad\",\"path\":\"\"}]", HF_INVALID_REQUEST,
                  "operation 1: \"op\"");
    check_refused("[1]", "[{\"op\":[],\"path\":\"\"}]", HF_INVALID_REQUEST, "\"op\"");
    check_refused("[1]", "[{\"op\":\"remove\"}]", HF_INVALID_REQUEST, "operation 0 (remove): member \"path\"");
    check_refused("[1]", "[{\"op\":\"remove\",\"path\":1}]", HF_INVALID_REQUEST, "member \"path\"");
    check_refused("[1]", "[{\"op\":\"add\",\"path\":\"/0\"}]", HF_INVALID_REQUEST, "member \"value\"");
    check_refused("[1]", "[{\"op\":\"copy\",\"path\":\"/0\"}]", HF_INVALID_REQUEST, "member \"from\"");
    check_refused("[1]", "[" REMOVE("0") "]", HF_INVALID_REQUEST, "starts with /");
    check_refused("[1]", "[" REMOVE("/~2") "]", HF_INVALID_REQUEST, "followed by 0 or 1");
    check_refused("[1]", "[" REMOVE("/a~") "]", HF_INVALID_REQUEST, "followed by 0 or 1");
    check_refused("[1]", "[" REMOVE("/a\\u0000") "]", HF_INVALID_REQUEST, "U+0000");
    check_refused("{\"a\":{}}", "[" MOVE("/a", "/a/b") "]", HF_INVALID_REQUEST, "into itself");
    check_refused("{\"a\":{}}", "[" MOVE("", "/b") "]", HF_INVALID_REQUEST, "into itself");
    check("{\"a\":1}", "[" MOVE("/a", "/ab") "]", "{\"ab\":1}");
}
END_TEST

static json_t *operations(const char *text, int count)
{
    json_t *patch = json_array(), *operation = json(text);
    for (int i = 0; i < count; i++)
        json_array_append(patch, operation);
    json_decref(operation);
    return patch;
}

static void check_bounded(json_t *document, json_t *patch, enum hf_code code, const char *expected)
{
    struct hf_error err = {0};
    const json_t *before = document;
    ck_assert(!hf_json_patch_apply(patch, &document, &err));
    ck_assert_msg(err.code == code && strstr(err.text, expected), "%s", err.text);
    ck_assert_ptr_eq(document, before);
    json_decref(document);
    json_decref(patch);
}

START_TEST(too_many_operations_are_refused)
{
    struct hf_error err = {0};
    HF_AUTO(json) json_t *document = json_array();
    HF_AUTO(json) json_t *most = operations(ADD("/-", "1"), HF_JSON_PATCH_OPERATIONS_MAX);
    ck_assert(hf_json_patch_apply(most, &document, &err));
    ck_assert_uint_eq(json_array_size(document), HF_JSON_PATCH_OPERATIONS_MAX);
    check_bounded(json_array(), operations(ADD("/-", "1"), HF_JSON_PATCH_OPERATIONS_MAX + 1), HF_INVALID_REQUEST,
                  "10000");
}
END_TEST

START_TEST(copies_of_copies_are_bounded)
{
    check_bounded(json("{\"a\":1}"), operations(COPY("", "/a"), 2500), HF_CONFLICT, "nested too deep");
    /* Doubles each time: without a bound, 2^10000 values. */
    check_bounded(json("[1,2,3]"), operations(COPY("", "/-"), 2500), HF_BODY_TOO_LARGE, "too many values");
}
END_TEST

START_TEST(moving_many_elements_aside_is_bounded)
{
    json_t *document = json_array();
    for (int i = 0; i < 2000000; i++)
        json_array_append_new(document, json_true());
    check_bounded(document, operations(ADD("/0", "1"), HF_JSON_PATCH_OPERATIONS_MAX), HF_BODY_TOO_LARGE, "too many");
}
END_TEST

static json_t *nested(int levels)
{
    json_t *value = json_integer(1);
    for (int i = 0; i < levels; i++)
        value = json_pack("[o]", value);
    return value;
}

static bool add_nested(int document_levels, int value_levels)
{
    struct hf_error err = {0};
    HF_AUTO(buf) struct hf_buf path, text;
    hf_buf_init(&path, 10000);
    hf_buf_init(&text, 100000);
    for (int i = 0; i < document_levels; i++)
        hf_buf_add_text(&path, "/0");
    HF_AUTO(json) json_t *document = nested(document_levels);
    HF_AUTO(json)
    json_t *patch = json_pack("[{ss ss so}]", "op", "replace", "path", path.data, "value", nested(value_levels));
    bool ok = hf_json_patch_apply(patch, &document, &err);
    ck_assert_msg(ok || err.code == HF_CONFLICT, "%s", err.text);
    ck_assert(hf_json_write(&text, document));
    HF_AUTO(json) json_t *again = hf_json_parse_exact(text.data, text.bytes, &err);
    ck_assert_ptr_nonnull(again);
    return ok;
}

START_TEST(a_result_can_always_be_read_again)
{
    ck_assert(add_nested(1, 2046));
    ck_assert(!add_nested(1, 2047));
    ck_assert(add_nested(1000, 1047));
    ck_assert(!add_nested(1000, 1048));
    ck_assert(add_nested(2047, 0));
    ck_assert(!add_nested(2047, 1));
}
END_TEST

static size_t check_diff(const json_t *from, const json_t *to)
{
    struct hf_error err = {0};
    HF_AUTO(json) json_t *patch = hf_json_patch_diff(from, to), *again = hf_json_patch_diff(from, to);
    HF_AUTO(json) json_t *result = json_deep_copy(from);
    ck_assert_msg(hf_json_patch_apply(patch, &result, &err), "%s", err.text);
    ck_assert(hf_json_same(result, to, NULL));
    ck_assert(json_equal(patch, again));
    return json_array_size(patch);
}

static void check_diff_text(const char *from_text, const char *to_text, const char *expected)
{
    HF_AUTO(json) json_t *from = json(from_text), *to = json(to_text);
    HF_AUTO(json) json_t *patch = hf_json_patch_diff(from, to);
    check_text(patch, expected);
    check_diff(from, to);
}

START_TEST(a_difference_names_what_changed_and_nothing_else)
{
    check_diff_text("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "[]");
    check_diff_text("{\"a\":{\"b\":1,\"c\":2},\"d\":3}", "{\"a\":{\"b\":1,\"c\":5},\"e\":4}",
                    "[" REPLACE("/a/c", "5") "," REMOVE("/d") "," ADD("/e", "4") "]");
    check_diff_text("{\"a/b~\":1}", "{\"a/b~\":2}", "[" REPLACE("/a~1b~0", "2") "]");
    check_diff_text("[1,2,3]", "[1,9,2,3]", "[" ADD("/1", "9") "]");
    check_diff_text("[1,2,3,4,5]", "[1,2,4,5]", "[" REMOVE("/2") "]");
    check_diff_text("1", "1.0", "[" REPLACE("", "1.0") "]");
    check_diff_text("[0.0]", "[-0.0]", "[" REPLACE("/0", "-0.0") "]");
    check_diff_text("{}", "[]", "[" REPLACE("", "[]") "]");
    check_diff_text("[1,2,3]", "[4,5,6]", "[" REPLACE("", "[4,5,6]") "]");
}
END_TEST

START_TEST(a_window_that_moved_on_is_a_short_difference)
{
    HF_AUTO(json) json_t *from = json_array(), *to = json_array();
    for (int i = 0; i < 1000; i++) {
        json_array_append_new(from,
                              json_pack("{si ss}", "step", i, "text", "a long text that makes it worth the while"));
        json_array_append_new(to,
                              json_pack("{si ss}", "step", i + 3, "text", "a long text that makes it worth the while"));
    }
    ck_assert_uint_eq(check_diff(from, to), 6);
}
END_TEST

START_TEST(a_large_difference_becomes_a_replacement)
{
    HF_AUTO(json) json_t *from = json_object(), *to = json_object();
    for (int i = 0; i < 20000; i++) {
        char name[20];
        snprintf(name, sizeof(name), "name-%d", i);
        json_object_set_new(from, name, json_integer(i));
        json_object_set_new(to, name, json_integer(i + 1));
    }
    ck_assert_uint_eq(check_diff(from, to), 1);
    json_object_clear(to);
    ck_assert_uint_eq(check_diff(from, to), 1);
    /* Long names above many changes: their text alone would be a thousand times the document's. */
    HF_AUTO(json) json_t *values = json_array(), *others = json_array();
    char name[100001];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (int i = 0; i < 5000; i++) {
        json_array_append_new(values, json_pack("{si}", "a", i));
        json_array_append_new(others, json_pack("{si}", "a", -i - 1));
    }
    HF_AUTO(json) json_t *one = json_pack("{sO}", name, values), *two = json_pack("{sO}", name, others);
    ck_assert_uint_eq(check_diff(one, two), 1);
}
END_TEST

START_TEST(comparing_deep_values_is_bounded)
{
    /* At each level the first elements look alike for long: comparing them at each would be quadratic. */
    json_t *from = json_array(), *to = json_array();
    for (int i = 0; i < 200000; i++) {
        json_array_append_new(from, json_integer(i));
        json_array_append_new(to, json_integer(i));
    }
    json_array_append_new(to, json_integer(1));
    for (int i = 0; i < 1000; i++) {
        from = json_pack("[o,i]", from, i);
        to = json_pack("[o,i,i]", to, i, i);
    }
    ck_assert_uint_eq(check_diff(from, to), 1);
    json_decref(from);
    json_decref(to);
}
END_TEST

HF_TEST_MAIN("json_patch", members_that_are_not_named_keep_their_order, a_copy_and_its_origin_go_their_own_ways,
             a_value_of_the_patch_is_not_changed_by_the_operations_after_it, a_move_to_its_own_place_changes_nothing,
             a_test_compares_numbers_by_value, a_failure_says_which_operation_and_leaves_the_document,
             a_malformed_patch_is_refused_before_anything_is_tried, too_many_operations_are_refused,
             copies_of_copies_are_bounded, moving_many_elements_aside_is_bounded, a_result_can_always_be_read_again,
             a_difference_names_what_changed_and_nothing_else, a_window_that_moved_on_is_a_short_difference,
             a_large_difference_becomes_a_replacement, comparing_deep_values_is_bounded);
