#include "api/json_walk.h"

#include "core/json.h"

#include <string.h>

#include "tests/support/check_main.h"

static struct hf_json_span span(const char *text)
{
    return (struct hf_json_span){text, strlen(text)};
}

static void expect(struct hf_json_span got, const char *text)
{
    ck_assert_msg(got.bytes == strlen(text) && memcmp(got.at, text, got.bytes) == 0, "\"%.*s\" instead of \"%s\"",
                  (int)got.bytes, got.at, text);
}

START_TEST(elements_are_found_as_they_are_written)
{
    static const char *const values[] = {"1",          "-2.5e+7",      "true",     "null", "\"a,]}:\\\"b\"",
                                         "[ 1 , [2]]", "{\"]\":[{}]}", "\"\\\\\"", "[]",   "{ }"};
    char text[512] = " [ ";
    size_t count = sizeof(values) / sizeof(values[0]);
    for (size_t i = 0; i < count; i++)
        strcat(strcat(text, i ? "\t,\n " : ""), values[i]);
    strcat(text, " ] ");
    struct hf_error err;
    ck_assert(hf_json_check(text, strlen(text), &err));
    struct hf_json_walk walk;
    struct hf_json_span name, value;
    ck_assert(hf_json_walk_enter(&walk, span(text), '['));
    for (size_t i = 0; i < count; i++) {
        ck_assert(hf_json_walk_next(&walk, &name, &value));
        expect(value, values[i]);
    }
    ck_assert(!hf_json_walk_next(&walk, &name, &value));
}
END_TEST

START_TEST(members_come_with_their_names)
{
    const char *text = "{\"a\":1,\"b,:\" : {\"c\":[\"}\"]} ,\"\":\"\"}";
    struct hf_json_walk walk;
    struct hf_json_span name, value;
    ck_assert(hf_json_walk_enter(&walk, span(text), '{'));
    ck_assert(hf_json_walk_next(&walk, &name, &value));
    expect(name, "\"a\"");
    expect(value, "1");
    ck_assert(hf_json_walk_next(&walk, &name, &value));
    expect(name, "\"b,:\"");
    expect(value, "{\"c\":[\"}\"]}");
    ck_assert(hf_json_walk_next(&walk, &name, &value));
    expect(name, "\"\"");
    expect(value, "\"\"");
    ck_assert(!hf_json_walk_next(&walk, &name, &value));
}
END_TEST

START_TEST(the_other_kind_is_not_entered)
{
    struct hf_json_walk walk;
    ck_assert(!hf_json_walk_enter(&walk, span("[]"), '{'));
    ck_assert(!hf_json_walk_enter(&walk, span("{}"), '['));
    ck_assert(!hf_json_walk_enter(&walk, span("7"), '['));
    ck_assert(!hf_json_walk_enter(&walk, span("  "), '['));
}
END_TEST

/* Good texts only are promised, but a cut one must not lead out of its bytes (the sanitizers watch). */
START_TEST(a_cut_text_is_never_read_past_its_end)
{
    const char *text = "{\"states\":[{\"component\":\"a\\\"\",\"state\":[1,{\"x\":\"\\\\\"}]}]}";
    for (size_t bytes = 0; bytes <= strlen(text); bytes++) {
        char *copy = malloc(bytes ? bytes : 1);
        memcpy(copy, text, bytes);
        struct hf_json_walk walk;
        struct hf_json_span name = {copy, 0}, value = {copy, bytes};
        int steps = 0;
        for (bool inside = hf_json_walk_enter(&walk, value, '{'); inside && hf_json_walk_next(&walk, &name, &value);) {
            ck_assert(value.at >= copy);
            ck_assert(value.at + value.bytes <= copy + bytes);
            ck_assert_int_lt(++steps, 100);
        }
        free(copy);
    }
}
END_TEST

HF_TEST_MAIN("json_walk", elements_are_found_as_they_are_written, members_come_with_their_names,
             the_other_kind_is_not_entered, a_cut_text_is_never_read_past_its_end);
