#include "core/json_exact.h"

#include <string.h>

#include "tests/support/check_main.h"

static void check_written(const char *text, const char *expected)
{
    struct hf_error err = {0};
    HF_AUTO(json) json_t *value = hf_json_parse_exact(text, strlen(text), &err);
    ck_assert_msg(value != NULL, "%s: %s", text, err.text);
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 10000);
    ck_assert(hf_json_write(&out, value));
    ck_assert_str_eq(out.data, expected);
    HF_AUTO(json) json_t *again = hf_json_parse_exact(out.data, out.bytes, &err);
    ck_assert(again && hf_json_same(again, value, NULL));
}

START_TEST(values_are_written_compactly_and_in_their_order)
{
    check_written(" { \"z\" : [ 1 , true , false , null ] ,\n \"a\" : { } , \"\" : [ ] } ",
                  "{\"z\":[1,true,false,null],\"a\":{},\"\":[]}");
    check_written("\"\\u00e9\\u0000\\\"\\\\\\n\\/\\ud83d\\ude00\"", "\"\xc3\xa9\\u0000\\\"\\\\\\n/\xf0\x9f\x98\x80\"");
}
END_TEST

START_TEST(numbers_come_back_as_they_were)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"0", "0"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"1.0", "1.0"},
        {"-0.0", "-0.0"},
        {"0.1", "0.1"},
        {"0.10000000000000001", "0.1"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"123456789012345680000.0", "1.2345678901234568e+20"},
        {"-0", "-0.0"},
        {"5e-324", "5e-324"},
        {"-2.5e-322", "-2.5e-322"},
        {"2.2250738585072014e-308", "2.2250738585072014e-308"},
        {"2.225073858507201e-308", "2.225073858507201e-308"},
        {"0.123456789012345", "0.123456789012345"},
        {"1234567890.123456", "1234567890.123456"},
        {"9007199254740992.0", "9007199254740992.0"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"0.1000000000000000055511151231257827021181583404541015625", "0.1"},
        {"0e99999", "0.0"},
        {"1e2", "100.0"},
        {"1e23", "1e+23"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_written(cases[i].text, cases[i].expected);
}
END_TEST

START_TEST(a_negative_zero_without_a_point_keeps_its_sign_wherever_it_stands)
{
    check_written("-0", "-0.0");
    check_written("[-0,0,-0 ,{\"-0\":\"\\\"-0\",\"a\":-0}, -0.5,-0e1,-0\n]",
                  "[-0.0,0,-0.0,{\"-0\":\"\\\"-0\",\"a\":-0.0},-0.5,-0.0,-0.0]");
}
END_TEST

START_TEST(numbers_that_would_be_altered_are_refused_with_their_line)
{
    static const char *const cases[] = {
        "12345678901234567890",
        "-9223372036854775809",
        "0.12345678901234567890",
        "1e-400",
        "123456789012345678901.0",
        "1.00000000000000001",
        "9007199254740993.0",
        "0.1000000000000000055511151231259",
        "1e400",
        "-1e309",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hf_error err = {0};
        HF_AUTO(free) char *text = hf_format("[\n\"1e-400 \\\" 1e-400\",\n%s]", cases[i]);
        ck_assert_msg(hf_json_parse_exact(text, strlen(text), &err) == NULL, "%s", cases[i]);
        ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
        ck_assert_msg(strstr(err.text, "line 3") != NULL, "%s", err.text);
        ck_assert_ptr_null(strstr(err.text, cases[i]));
    }
    char zeros[2000];
    struct hf_error err;
    memset(zeros, '0', sizeof(zeros));
    memcpy(zeros, "0.", 2);
    zeros[sizeof(zeros) - 1] = '1'; /* no terminator */
    ck_assert_ptr_null(hf_json_parse_exact(zeros, sizeof(zeros), &err));
}
END_TEST

START_TEST(a_text_that_does_not_fit_is_not_written)
{
    HF_AUTO(json) json_t *value = json_pack("[[s], {s:i}, [[]]]", "text", "name", 1);
    for (size_t room = 0; room < strlen("[[\"text\"],{\"name\":1},[[]]]"); room++) {
        HF_AUTO(buf) struct hf_buf out;
        hf_buf_init(&out, room);
        ck_assert_msg(!hf_json_write(&out, value), "%zu", room);
        ck_assert(out.failed);
    }
}
END_TEST

static bool same(const char *a_text, const char *b_text)
{
    struct hf_error err;
    HF_AUTO(json) json_t *a = hf_json_parse_exact(a_text, strlen(a_text), &err);
    HF_AUTO(json) json_t *b = hf_json_parse_exact(b_text, strlen(b_text), &err);
    ck_assert(a && b);
    return hf_json_same(a, b, NULL);
}

START_TEST(sameness_is_of_every_value_and_not_of_order)
{
    ck_assert(same("{\"a\":[1,{\"b\":2.0}],\"c\":null}", "{\"c\":null,\"a\":[1,{\"b\":2.0}]}"));
    ck_assert(!same("1", "1.0"));
    ck_assert(!same("0.0", "-0.0"));
    ck_assert(!same("[1,2]", "[2,1]"));
    ck_assert(!same("[1]", "[1,2]"));
    ck_assert(!same("{\"a\":null}", "{\"b\":null}"));
    ck_assert(!same("\"a\\u0000b\"", "\"a\\u0000c\""));
    ck_assert(!same("true", "false"));
}
END_TEST

START_TEST(comparing_stops_when_the_work_is_used_up)
{
    HF_AUTO(json) json_t *value = json_pack("[i,i,i]", 1, 2, 3);
    HF_AUTO(json) json_t *other = json_deep_copy(value);
    int64_t work_left = 4;
    ck_assert(hf_json_same(value, other, &work_left));
    ck_assert_int_eq(work_left, 0);
    work_left = 3;
    ck_assert(!hf_json_same(value, other, &work_left));
    ck_assert_int_lt(work_left, 0);
}
END_TEST

HF_TEST_MAIN("json_exact", values_are_written_compactly_and_in_their_order, numbers_come_back_as_they_were,
             a_negative_zero_without_a_point_keeps_its_sign_wherever_it_stands,
             numbers_that_would_be_altered_are_refused_with_their_line, a_text_that_does_not_fit_is_not_written,
             sameness_is_of_every_value_and_not_of_order, comparing_stops_when_the_work_is_used_up);
