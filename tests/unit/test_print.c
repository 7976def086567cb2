#include "cli/print.h"

#include "cli/progress.h"
#include "core/clock.h"
#include "core/nearest.h"

#include <string.h>

#include "tests/support/check_main.h"

static void check_clean(const char *text, size_t bytes, const char *expected)
{
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 4096);
    hf_text_clean(&out, text, bytes);
    ck_assert_str_eq(out.data, expected);
}

static void check_fit(const char *text, size_t width, const char *expected)
{
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 4096);
    hf_buf_add_text(&out, "");
    hf_text_fit(&out, text, width);
    ck_assert_str_eq(out.data, expected);
    ck_assert_uint_le(hf_text_width(out.data), width);
}

static void check_size(int64_t bytes, const char *expected)
{
    char out[HF_SIZE_BYTES];
    hf_size_format(bytes, out);
    ck_assert_str_eq(out, expected);
}

static void check_number(int64_t number, const char *expected)
{
    char out[HF_NUMBER_BYTES];
    hf_number_format(number, out);
    ck_assert_str_eq(out, expected);
}

static void check_age(const char *at, int64_t now_ms, const char *expected)
{
    char out[HF_AGE_BYTES];
    hf_age_format(at, now_ms, out);
    ck_assert_str_eq(out, expected);
}

START_TEST(control_characters_are_shown_not_sent)
{
    check_clean("\033[31mred\r\n\a", 11, "\\x1b[31mred\\x0d\\x0a\\x07");
    check_clean("\177", 1, "\\x7f");
    check_clean("\xc2\x9b", 2, "\\u009b");     /* CSI in one character */
    check_clean("\xe2\x80\xae", 3, "\\u202e"); /* turns the reading direction */
    check_clean("\xff\xc3", 2, "\xef\xbf\xbd\xef\xbf\xbd");
    check_clean("v\xc3\xb6r \xe6\xbc\xa2", 8, "v\xc3\xb6r \xe6\xbc\xa2");
    check_clean("a\0b", 3, "a\\x00b");
}
END_TEST

START_TEST(wide_and_combining_characters_have_their_width)
{
    ck_assert_uint_eq(hf_text_width(""), 0);
    ck_assert_uint_eq(hf_text_width("abc"), 3);
    ck_assert_uint_eq(hf_text_width("\xc3\xb6"), 1);
    ck_assert_uint_eq(hf_text_width("\xe6\xbc\xa2\xe5\xad\x97"), 4); /* two Han characters */
    ck_assert_uint_eq(hf_text_width("e\xcc\x81"), 1);                /* e and a combining accent */
    ck_assert_uint_eq(hf_text_width("\xf0\x9f\x98\x80"), 2);         /* an emoji */
    ck_assert_uint_eq(hf_text_width("\xed\x95\x9c"), 2);             /* Hangul */
}
END_TEST

START_TEST(text_is_cut_between_characters_and_never_too_wide)
{
    check_fit("agent-7", 7, "agent-7");
    check_fit("agent-17", 7, "agent-\xe2\x80\xa6");
    check_fit("\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 5, "\xe6\xbc\xa2\xe5\xad\x97\xe2\x80\xa6");
    check_fit("\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 4, "\xe6\xbc\xa2\xe2\x80\xa6");
    check_fit("abc", 1, "\xe2\x80\xa6");
    check_fit("abc", 0, "");
}
END_TEST

START_TEST(sizes_have_the_unit_that_reads_best)
{
    check_size(0, "0 B");
    check_size(1023, "1023 B");
    check_size(1024, "1.0 KiB");
    check_size(1536, "1.5 KiB");
    check_size(1048575, "1.0 MiB"); /* not 1024.0 KiB */
    check_size(INT64_C(5) << 30, "5.0 GiB");
    check_size(INT64_MAX, "8.0 EiB");
}
END_TEST

START_TEST(numbers_have_their_thousands_apart)
{
    check_number(0, "0");
    check_number(999, "999");
    check_number(1247, "1,247");
    check_number(-1234567, "-1,234,567");
    check_number(INT64_MIN, "-9,223,372,036,854,775,808");
}
END_TEST

START_TEST(ages_tell_the_direction)
{
    int64_t now_ms;
    ck_assert(hf_time_parse("2026-11-23T12:00:00Z", &now_ms));
    check_age("2026-11-23T11:37:00Z", now_ms, "23 minutes ago");
    check_age("2026-11-23T12:00:45Z", now_ms, "in 45 s");
    check_age("2026-11-20T08:00:00Z", now_ms, "3 days 4 h ago");
    check_age("", now_ms, "never");
    check_age("yesterday", now_ms, "never");
}
END_TEST

START_TEST(spans_are_read_with_and_without_a_unit)
{
    int64_t ms = -1;
    ck_assert(hf_span_parse("90", &ms) && ms == 90000);
    ck_assert(hf_span_parse("90s", &ms) && ms == 90000);
    ck_assert(hf_span_parse("15m", &ms) && ms == 900000);
    ck_assert(hf_span_parse("2h", &ms) && ms == 7200000);
    ck_assert(hf_span_parse("3d", &ms) && ms == 259200000);
    static const char *const wrong[] = {"", "s", "-1", "1w", "1hh", "1 h", "1.5h", "99999999999999999999", "36526d"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(!hf_span_parse(wrong[i], &ms), "%s", wrong[i]);
}
END_TEST

static void check_progress(struct hf_progress progress, double seconds, size_t bar, const char *expected)
{
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 4096);
    hf_progress_write(&out, &progress, (uint64_t)(seconds * (double)HF_SECOND_NS), bar);
    ck_assert_str_eq(out.data, expected);
}

START_TEST(progress_tells_rate_and_time_left)
{
    check_progress((struct hf_progress){.bytes = true, .done = 1 << 20, .total = 4 << 20}, 2, 12,
                   "[==>       ]  25%  1.0 MiB of 4.0 MiB  512.0 KiB/s  6 s left");
    check_progress((struct hf_progress){.bytes = true, .done = 4 << 20, .total = 4 << 20}, 4, 12,
                   "[==========] 100%  4.0 MiB of 4.0 MiB  1.0 MiB/s  4 s");
    check_progress((struct hf_progress){.bytes = true, .done = 1 << 20, .total = -1}, 2, 12,
                   "1.0 MiB  512.0 KiB/s  2 s");
    check_progress((struct hf_progress){.done = 1500, .total = 3000}, 10, 0,
                   " 50%  1,500 of 3,000  150.0/s  10 s left");
    check_progress((struct hf_progress){.done = 0, .total = 0}, 0, 12, "0");
    /* More came than was announced. */
    check_progress((struct hf_progress){.bytes = true, .done = 2048, .total = 1024}, 1, 0,
                   "100%  1.0 KiB of 1.0 KiB  2.0 KiB/s  1 s");
}
END_TEST

START_TEST(words_are_as_far_apart_as_they_look)
{
    ck_assert_int_eq(hf_edit_distance("status", "status"), 0);
    ck_assert_int_eq(hf_edit_distance("Status", "sTatus"), 0);
    ck_assert_int_eq(hf_edit_distance("statsu", "status"), 1);
    ck_assert_int_eq(hf_edit_distance("lable", "label"), 1);
    ck_assert_int_eq(hf_edit_distance("", "get"), 3);
    ck_assert_int_eq(hf_edit_distance("get", ""), 3);
    ck_assert_int_eq(hf_edit_distance("kitten", "sitting"), 3);
    ck_assert(hf_is_near("lable", 1));
    ck_assert(!hf_is_near("xy", 1));
}
END_TEST

HF_TEST_MAIN("print", control_characters_are_shown_not_sent, wide_and_combining_characters_have_their_width,
             text_is_cut_between_characters_and_never_too_wide, sizes_have_the_unit_that_reads_best,
             numbers_have_their_thousands_apart, ages_tell_the_direction, spans_are_read_with_and_without_a_unit,
             progress_tells_rate_and_time_left, words_are_as_far_apart_as_they_look);
