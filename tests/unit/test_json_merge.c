/* JSON Merge Patch. The examples of RFC 7396 are in test_json_patch_suite.py. */
#include "core/json_merge.h"

#include "core/json_exact.h"

#include <string.h>

#include "tests/support/check_main.h"

static json_t *json(const char *text)
{
    struct hf_error err = {0};
    json_t *value = hf_json_parse_exact(text, strlen(text), &err);
    ck_assert_msg(value != NULL, "%s: %s", text, err.text);
    return value;
}

static void check(const char *document_text, const char *patch_text, const char *expected)
{
    HF_AUTO(json) json_t *document = json(document_text), *patch = json(patch_text);
    HF_AUTO(json) json_t *document_before = json_deep_copy(document), *patch_before = json_deep_copy(patch);
    HF_AUTO(json) json_t *result = hf_json_merge(document, patch);
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, 1000);
    ck_assert(hf_json_write(&text, result));
    ck_assert_str_eq(text.data, expected);
    ck_assert(hf_json_same(document, document_before, NULL));
    ck_assert(hf_json_same(patch, patch_before, NULL));
}

START_TEST(members_keep_their_order)
{
    check("{\"z\":1,\"m\":{\"y\":1,\"x\":2},\"a\":3}", "{\"a\":4,\"m\":{\"y\":5},\"n\":6}",
          "{\"z\":1,\"m\":{\"y\":5,\"x\":2},\"a\":4,\"n\":6}");
}
END_TEST

START_TEST(null_removes_in_objects_and_stays_in_arrays)
{
    check("{\"a\":1,\"b\":null}", "{\"a\":null,\"absent\":null,\"c\":[null,{\"d\":null}]}",
          "{\"b\":null,\"c\":[null,{\"d\":null}]}");
    check("[1]", "{\"a\":{\"b\":null}}", "{\"a\":{}}");
    check("{\"a\":1}", "null", "null");
}
END_TEST

START_TEST(a_member_that_is_no_object_gives_way_to_one)
{
    check("{\"a\":[1]}", "{\"a\":{\"b\":{\"c\":1}}}", "{\"a\":{\"b\":{\"c\":1}}}");
    check("{\"a\":{\"b\":1}}", "{\"a\":[{\"b\":2}]}", "{\"a\":[{\"b\":2}]}");
}
END_TEST

HF_TEST_MAIN("json_merge", members_keep_their_order, null_removes_in_objects_and_stays_in_arrays,
             a_member_that_is_no_object_gives_way_to_one);
