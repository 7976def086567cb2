#include "core/buf.h"

#include "core/auto.h"

#include <string.h>

#include "tests/support/check_main.h"

START_TEST(appended_pieces_stand_one_after_the_other_and_are_terminated)
{
    HF_AUTO(buf) struct hf_buf buf;
    hf_buf_init(&buf, 1000);
    ck_assert_ptr_null(buf.data);
    ck_assert(hf_buf_add(&buf, "abc", 2));
    ck_assert(hf_buf_add_text(&buf, "-text"));
    ck_assert(hf_buf_add_char(&buf, '!'));
    ck_assert(hf_buf_add_format(&buf, "%d/%s", 7, "x"));
    ck_assert(hf_buf_add_u64(&buf, 0));
    ck_assert(hf_buf_add_u64(&buf, UINT64_MAX));
    ck_assert_str_eq(buf.data, "ab-text!7/x018446744073709551615");
    ck_assert_uint_eq(buf.bytes, strlen(buf.data));
}
END_TEST

START_TEST(the_maximum_is_reached_but_never_passed)
{
    HF_AUTO(buf) struct hf_buf buf;
    hf_buf_init(&buf, 5);
    ck_assert(hf_buf_add_text(&buf, "12345"));
    ck_assert(!buf.failed);
    ck_assert(!hf_buf_add_char(&buf, '6'));
    ck_assert(buf.failed);
    ck_assert_str_eq(buf.data, "12345");
    ck_assert_uint_le(buf.capacity, 6);
}
END_TEST

START_TEST(after_a_failure_nothing_is_added_until_reset)
{
    HF_AUTO(buf) struct hf_buf buf;
    hf_buf_init(&buf, 5);
    ck_assert(hf_buf_add_text(&buf, "123"));
    ck_assert(!hf_buf_add_text(&buf, "456"));
    ck_assert(!hf_buf_add_char(&buf, 'x'));
    ck_assert(!hf_buf_add_format(&buf, "%d", 4));
    ck_assert_ptr_null(hf_buf_reserve(&buf, 1));
    ck_assert_str_eq(buf.data, "123");
    hf_buf_reset(&buf);
    ck_assert(!buf.failed);
    ck_assert_str_eq(buf.data, "");
    ck_assert(hf_buf_add_text(&buf, "45678"));
    ck_assert_str_eq(buf.data, "45678");
}
END_TEST

START_TEST(a_format_that_does_not_fit_leaves_the_content_as_it_was)
{
    HF_AUTO(buf) struct hf_buf buf;
    hf_buf_init(&buf, 8);
    ck_assert(hf_buf_add_text(&buf, "ab"));
    ck_assert(!hf_buf_add_format(&buf, "%s", "1234567"));
    ck_assert_str_eq(buf.data, "ab");
    ck_assert_uint_eq(buf.bytes, 2);
    ck_assert_uint_eq(strlen(buf.data), 2);
}
END_TEST

START_TEST(a_format_larger_than_the_room_grows_the_buffer)
{
    HF_AUTO(buf) struct hf_buf buf;
    hf_buf_init(&buf, 100000);
    char word[1001];
    memset(word, 'w', 1000);
    word[1000] = '\0';
    for (int i = 0; i < 20; i++)
        ck_assert(hf_buf_add_format(&buf, "%s;", word));
    ck_assert_uint_eq(buf.bytes, 20 * 1001);
    ck_assert_uint_eq(strlen(buf.data), 20 * 1001);
    ck_assert_int_eq(buf.data[1000], ';');
    ck_assert_int_eq(buf.data[20 * 1001 - 1], ';');
}
END_TEST

static void check_json_string(const char *text, size_t bytes, const char *expected)
{
    HF_AUTO(buf) struct hf_buf buf;
    hf_buf_init(&buf, 1000);
    ck_assert(hf_buf_add_json_string(&buf, text, bytes));
    ck_assert_str_eq(buf.data, expected);
}

START_TEST(json_strings_are_escaped)
{
    check_json_string("", 0, "\"\"");
    check_json_string("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
    check_json_string("\n\r\t\b\f\0\x1f\x7f", 8, "\"\\n\\r\\t\\b\\f\\u0000\\u001f\\u007f\"");
    check_json_string("h\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10, "\"h\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
}
END_TEST

START_TEST(malformed_utf8_becomes_the_replacement_character)
{
    check_json_string("a\xff"
                      "b",
                      3,
                      "\"a\xef\xbf\xbd"
                      "b\"");
    check_json_string("\xc3", 1, "\"\xef\xbf\xbd\"");
    check_json_string("\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    check_json_string("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    check_json_string("\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}
END_TEST

START_TEST(a_json_string_that_does_not_fit_leaves_no_half_behind)
{
    HF_AUTO(buf) struct hf_buf buf;
    hf_buf_init(&buf, 6);
    ck_assert(hf_buf_add_text(&buf, "x"));
    ck_assert(!hf_buf_add_json_string(&buf, "12345", 5));
    ck_assert(buf.failed);
    ck_assert_str_eq(buf.data, "x");
}
END_TEST

START_TEST(reserved_room_becomes_content_when_counted)
{
    HF_AUTO(buf) struct hf_buf buf;
    hf_buf_init(&buf, 1000);
    ck_assert(hf_buf_add_text(&buf, "ab"));
    char *room = hf_buf_reserve(&buf, 500);
    ck_assert_ptr_nonnull(room);
    memcpy(room, "cd", 2);
    buf.bytes += 2;
    ck_assert_str_eq(buf.data, "abcd");
    ck_assert_ptr_null(hf_buf_reserve(&buf, 997));
    ck_assert(buf.failed);
}
END_TEST

START_TEST(taking_hands_the_memory_over_and_empties_the_buffer)
{
    struct hf_buf buf;
    hf_buf_init(&buf, 10);
    size_t bytes = 99;
    HF_AUTO(free) char *nothing = hf_buf_take(&buf, &bytes);
    ck_assert_str_eq(nothing, "");
    ck_assert_uint_eq(bytes, 0);
    ck_assert(hf_buf_add_text(&buf, "abc"));
    HF_AUTO(free) char *text = hf_buf_take(&buf, &bytes);
    ck_assert_str_eq(text, "abc");
    ck_assert_uint_eq(bytes, 3);
    ck_assert_ptr_null(buf.data);
    ck_assert_uint_eq(buf.bytes, 0);
    ck_assert(hf_buf_add_text(&buf, "0123456789"));
    ck_assert(!hf_buf_add_text(&buf, "0"));
    ck_assert_ptr_null(hf_buf_take(&buf, &bytes));
    ck_assert_ptr_null(buf.data);
}
END_TEST

HF_TEST_MAIN("buf", appended_pieces_stand_one_after_the_other_and_are_terminated,
             the_maximum_is_reached_but_never_passed, after_a_failure_nothing_is_added_until_reset,
             a_format_that_does_not_fit_leaves_the_content_as_it_was, a_format_larger_than_the_room_grows_the_buffer,
             json_strings_are_escaped, malformed_utf8_becomes_the_replacement_character,
             a_json_string_that_does_not_fit_leaves_no_half_behind, reserved_room_becomes_content_when_counted,
             taking_hands_the_memory_over_and_empties_the_buffer);
