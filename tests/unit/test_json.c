#include "core/json.h"

#include "core/buf.h"
#include "core/json_scan.h"

#include <string.h>

#include "tests/support/check_main.h"

static void check_refused(const char *text, size_t bytes, const char *expected)
{
    struct hf_error err = {0};
    HF_AUTO(json) json_t *value = hf_json_parse(text, bytes, &err);
    ck_assert_msg(value == NULL, "%s", text);
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    ck_assert_msg(strstr(err.text, expected) != NULL, "\"%s\" does not say \"%s\"", err.text, expected);
    ck_assert(!hf_json_check(text, bytes, &err));
}

START_TEST(any_json_text_is_accepted)
{
    static const char *const cases[] = {"null",     "true",        "-1.5e3",
                                        "\"text\"", "[]",          " {} \n",
                                        "[1,2]",    "\"\\u0000\"", "{\"a\":{\"b\":[null]}}"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hf_error err;
        HF_AUTO(json) json_t *value = hf_json_parse(cases[i], strlen(cases[i]), &err);
        ck_assert_msg(value != NULL, "%s", cases[i]);
        ck_assert(hf_json_check(cases[i], strlen(cases[i]), &err));
    }
}
END_TEST

START_TEST(errors_name_line_and_column)
{
    check_refused("{\n  \"a\": 1,\n  \"b\": oops\n}", 26, "line 3, column 11: ");
    check_refused("", 0, "line 1, column 1: the JSON text is empty");
    check_refused("[1,", 3, "near end of file");
    check_refused("1 2", 3, "end of file expected");
    check_refused("{\"a\":1,\"a\":2}", 13, "duplicate object key");
    check_refused("[1,]", 4, "line 1, column 4: ");
    check_refused("\"\xff\"", 3, "unable to decode byte 0xff");
    check_refused("[\0]", 3, "line 1, column ");
    check_refused("NaN", 3, "line 1, column ");
    check_refused("1e999", 5, "real number overflow");
}
END_TEST

START_TEST(errors_never_quote_the_body)
{
    struct hf_error err;
    ck_assert(!hf_json_check("{\"a\": hunter2}", 14, &err));
    ck_assert_ptr_null(strstr(err.text, "hunter2"));
    ck_assert(!hf_json_check("{\"hunter2\":1,\"hunter2\":1}", 25, &err));
    ck_assert_ptr_null(strstr(err.text, "hunter2"));
}
END_TEST

START_TEST(nesting_is_bounded_and_the_error_says_so)
{
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, 10000);
    struct hf_error err;
    for (int i = 0; i < 2047; i++)
        hf_buf_add_char(&text, '[');
    for (int i = 0; i < 2047; i++)
        hf_buf_add_char(&text, ']');
    ck_assert(hf_json_check(text.data, text.bytes, &err));
    hf_buf_reset(&text);
    for (int i = 0; i < 5000; i++)
        hf_buf_add_char(&text, '[');
    check_refused(text.data, text.bytes, "line 1, column 2049: nested deeper than 2048 levels");
}
END_TEST

START_TEST(a_state_may_hold_integers_larger_than_64_bits)
{
    struct hf_error err;
    const char *text = "[123456789012345678901234567890]";
    ck_assert(hf_json_check(text, strlen(text), &err));
    HF_AUTO(json) json_t *value = hf_json_parse(text, strlen(text), &err);
    ck_assert_ptr_null(value);
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
}
END_TEST

START_TEST(unknown_fields_are_refused_by_name)
{
    static const char *const names[] = {"kind", "label", NULL};
    struct hf_error err;
    HF_AUTO(json) json_t *good = json_pack("{s:s}", "label", "x");
    HF_AUTO(json) json_t *bad = json_pack("{s:s, s:s}", "kind", "full", "lable", "x");
    HF_AUTO(json) json_t *array = json_array();
    ck_assert(hf_json_only_fields(good, names, &err));
    ck_assert(!hf_json_only_fields(bad, names, &err));
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    ck_assert_str_eq(err.text, "unknown field \"lable\"; known are: kind, label");
    ck_assert(!hf_json_only_fields(array, names, &err));
    ck_assert_str_eq(err.text, "a JSON object is expected");
    ck_assert(!hf_json_only_fields(good, names + 2, &err));
    ck_assert_str_eq(err.text, "unknown field \"label\"; none is known");
}
END_TEST

START_TEST(absent_members_leave_the_result_untouched)
{
    HF_AUTO(json) json_t *object = json_object();
    struct hf_error err;
    const char *text = "before";
    int64_t number = 7;
    bool flag = true;
    double real = 0.5;
    ck_assert(hf_json_get_text(object, "x", &text, &err));
    ck_assert(hf_json_get_int(object, "x", 0, 1, &number, &err));
    ck_assert(hf_json_get_bool(object, "x", &flag, &err));
    ck_assert(hf_json_get_number(object, "x", 0, 1, &real, &err));
    ck_assert_str_eq(text, "before");
    ck_assert_int_eq(number, 7);
    ck_assert(flag);
    ck_assert_double_eq(real, 0.5);
}
END_TEST

START_TEST(members_of_the_right_type_are_read)
{
    HF_AUTO(json) json_t *object = json_pack("{s:s, s:i, s:b, s:f}", "t", "text", "i", -3, "b", 0, "r", 0.25);
    struct hf_error err;
    const char *text = NULL;
    int64_t number = 0;
    bool flag = true;
    double real = 0;
    ck_assert(hf_json_get_text(object, "t", &text, &err));
    ck_assert(hf_json_get_int(object, "i", -3, -3, &number, &err));
    ck_assert(hf_json_get_bool(object, "b", &flag, &err));
    ck_assert(hf_json_get_number(object, "r", 0, 1, &real, &err));
    ck_assert_str_eq(text, "text");
    ck_assert_int_eq(number, -3);
    ck_assert(!flag);
    ck_assert_double_eq(real, 0.25);
    ck_assert(hf_json_get_number(object, "i", -5, 5, &real, &err));
    ck_assert_double_eq(real, -3);
}
END_TEST

START_TEST(wrong_types_and_ranges_are_refused_by_name)
{
    HF_AUTO(json)
    json_t *object =
        json_pack("{s:i, s:n, s:s, s:f, s:s#}", "limit", 1001, "none", "word", "12", "real", 1.5, "zero", "a\0b", 3);
    struct hf_error err;
    const char *text = "before";
    int64_t number = 7;
    bool flag = true;
    double real = 0.5;
    ck_assert(!hf_json_get_int(object, "limit", 1, 1000, &number, &err));
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    ck_assert_str_eq(err.text, "field \"limit\" must be a whole number from 1 to 1000");
    ck_assert(!hf_json_get_int(object, "word", 1, 1000, &number, &err));
    ck_assert(!hf_json_get_int(object, "real", 1, 1000, &number, &err));
    ck_assert(!hf_json_get_text(object, "limit", &text, &err));
    ck_assert_str_eq(err.text, "field \"limit\" must be a string");
    ck_assert(!hf_json_get_text(object, "none", &text, &err));
    ck_assert(!hf_json_get_text(object, "zero", &text, &err));
    ck_assert_str_eq(err.text, "field \"zero\" must not contain the character U+0000");
    ck_assert(!hf_json_get_bool(object, "limit", &flag, &err));
    ck_assert_str_eq(err.text, "field \"limit\" must be true or false");
    ck_assert(!hf_json_get_number(object, "real", 0, 1, &real, &err));
    ck_assert_str_eq(err.text, "field \"real\" must be a number from 0 to 1");
    ck_assert(!hf_json_get_number(object, "word", 0, 1, &real, &err));
    ck_assert_str_eq(text, "before");
    ck_assert_int_eq(number, 7);
    ck_assert_double_eq(real, 0.5);
}
END_TEST

START_TEST(values_are_written_compactly_in_the_order_they_were_added)
{
    HF_AUTO(json) json_t *object = json_pack("{s:i, s:[s, n]}", "b", 1, "a", "x");
    hf_json_set_time(object, "cutAt", 1795397400123);
    hf_json_set_time(object, "completedAt", 0);
    HF_AUTO(free) char *text = hf_json_text(object);
    ck_assert_str_eq(text, "{\"b\":1,\"a\":[\"x\",null],\"cutAt\":\"2026-11-23T01:30:00.123Z\",\"completedAt\":null}");
    HF_AUTO(json) json_t *scalar = json_string("s");
    HF_AUTO(free) char *scalar_text = hf_json_text(scalar);
    ck_assert_str_eq(scalar_text, "\"s\"");
}
END_TEST

START_TEST(objects_work_after_the_hash_is_seeded)
{
    hf_json_init();
    struct hf_error err;
    HF_AUTO(json) json_t *value = hf_json_parse("{\"a\":1,\"b\":2}", 13, &err);
    ck_assert_int_eq(json_integer_value(json_object_get(value, "b")), 2);
}
END_TEST

static bool parser_accepts(const char *text, size_t bytes)
{
    json_error_t failure;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
    HF_AUTO(json) json_t *value = json_loadb(text, bytes, flags, &failure);
    return value != NULL;
}

START_TEST(the_scan_accepts_common_states)
{
    static const char *const cases[] = {
        "{}",
        "[]",
        " [ ] ",
        "0",
        "-0",
        "-12.5e-10",
        "1E+99",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\\n\\u00e4\\u0000\\/\"",
        "\"h\xc3\xa4\xf0\x9f\x98\x80\x7f\"",
        "{\"\":1}",
        "[123456789012345678901234567890]",
        "{\"a\":{\"a\":1,\"b\":[{\"a\":1},{\"a\":2}]},\"b\" : [ 1 , 2 ]\t}\r\n",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(hf_json_scan(cases[i], strlen(cases[i])), "%s", cases[i]);
        ck_assert_msg(parser_accepts(cases[i], strlen(cases[i])), "%s", cases[i]);
    }
}
END_TEST

START_TEST(the_scan_refuses_what_is_wrong_or_left_to_the_parser)
{
    static const char *const cases[] = {
        "",
        " ",
        "{",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":1]",
        "[1}",
        "1 2",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1.e3",
        "1e",
        "1e+",
        "1e100",
        "0x1",
        "NaN",
        "nul",
        "truex",
        "\"",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\uD83D\\uDE00\"",
        "\"\xff\"",
        "{\"a\":1,\"b\":2,\"a\":3}",
        "{\"\":1,\"\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "\xef\xbb\xbf{}",
        "[1]x",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(!hf_json_scan(cases[i], strlen(cases[i])), "%s", cases[i]);
}
END_TEST

START_TEST(duplicate_keys_are_found_among_thousands)
{
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, 1000000);
    hf_buf_add_text(&text, "{\"first\":0");
    for (int i = 0; i < 20000; i++)
        hf_buf_add_format(&text, ",\"key-%d\":{\"first\":%d}", i, i);
    size_t bytes = text.bytes;
    hf_buf_add_text(&text, "}");
    ck_assert(hf_json_scan(text.data, text.bytes));
    text.bytes = bytes;
    hf_buf_add_text(&text, ",\"key-77\":1}");
    ck_assert(!hf_json_scan(text.data, text.bytes));
    struct hf_error err;
    ck_assert(!hf_json_check(text.data, text.bytes, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "duplicate object key"));
}
END_TEST

START_TEST(the_scan_accepts_nothing_that_the_parser_refuses)
{
    static const char seed_text[] =
        "{\"a\":[1,-2.5e3,\"x\\n\\u00e4\",true,false,null,{\"b\":{},\"a\":[]}],\"c\":\"\xc3\xa4\"}";
    static const char pieces[] = "{}[],:\"\\0123.eE+-ntfu \xc3\xa4\xff\x01"
                                 "abc";
    unsigned random = 12345;
    int accepted = 0;
    for (int i = 0; i < 200000; i++) {
        char text[sizeof(seed_text)];
        memcpy(text, seed_text, sizeof(text));
        size_t bytes = sizeof(seed_text) - 1;
        for (int change = 0; change < 1 + i % 3; change++) {
            random = random * 1103515245u + 12345u;
            size_t at = (random >> 8) % bytes;
            random = random * 1103515245u + 12345u;
            text[at] = pieces[(random >> 8) % (sizeof(pieces) - 1)];
        }
        bytes -= i % 50 == 0 ? (random >> 20) % bytes : 0;
        if (!hf_json_scan(text, bytes))
            continue;
        accepted++;
        ck_assert_msg(parser_accepts(text, bytes), "%.*s", (int)bytes, text);
    }
    ck_assert_int_gt(accepted, 1000);
}
END_TEST

HF_TEST_MAIN("json", any_json_text_is_accepted, errors_name_line_and_column, errors_never_quote_the_body,
             nesting_is_bounded_and_the_error_says_so, a_state_may_hold_integers_larger_than_64_bits,
             unknown_fields_are_refused_by_name, absent_members_leave_the_result_untouched,
             members_of_the_right_type_are_read, wrong_types_and_ranges_are_refused_by_name,
             values_are_written_compactly_in_the_order_they_were_added, objects_work_after_the_hash_is_seeded,
             the_scan_accepts_common_states, the_scan_refuses_what_is_wrong_or_left_to_the_parser,
             duplicate_keys_are_found_among_thousands, the_scan_accepts_nothing_that_the_parser_refuses);
