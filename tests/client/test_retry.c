/* Pauses between attempts, and what Retry-After says. */
#include "client/retry.h"

#include "core/clock.h"

#include "tests/support/check_main.h"

START_TEST(pauses_double_from_a_tenth_of_a_second_to_five_and_lie_between_half_and_whole)
{
    static const int64_t whole_ms[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    for (int i = 0; i < 9; i++) {
        ck_assert_int_eq(hf_retry_pause_ms(i + 1, 0), whole_ms[i] / 2);
        int64_t longest_ms = hf_retry_pause_ms(i + 1, 0.999999);
        ck_assert_int_ge(longest_ms, whole_ms[i] - 2);
        ck_assert_int_le(longest_ms, whole_ms[i]);
    }
    ck_assert_int_eq(hf_retry_pause_ms(1000000, 0), 2500);
}
END_TEST

START_TEST(no_pause_is_shorter_than_retry_after)
{
    ck_assert_int_eq(hf_retry_pause_after_ms(1, 0, 7000), 7050);
    ck_assert_int_eq(hf_retry_pause_after_ms(9, 0, 1000), 1050);
    ck_assert_int_eq(hf_retry_pause_after_ms(3, 0.5, 0), hf_retry_pause_ms(3, 0.5));
    ck_assert_int_eq(hf_retry_pause_after_ms(3, 0.5, -1), hf_retry_pause_ms(3, 0.5));
}
END_TEST

START_TEST(random_numbers_differ_and_stay_below_one)
{
    bool differ = false;
    double first = hf_retry_random();
    for (int i = 0; i < 1000; i++) {
        double next = hf_retry_random();
        ck_assert(next >= 0 && next < 1);
        differ = differ || next != first;
    }
    ck_assert(differ);
}
END_TEST

START_TEST(retry_after_is_seconds_or_one_of_three_dates)
{
    int64_t now_ms;
    ck_assert(hf_time_parse("1994-11-06T08:49:07Z", &now_ms));
    ck_assert_int_eq(hf_retry_after_ms("0", now_ms), 0);
    ck_assert_int_eq(hf_retry_after_ms("120", now_ms), 120000);
    ck_assert_int_eq(hf_retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", now_ms), 30000);
    ck_assert_int_eq(hf_retry_after_ms("Sunday, 06-Nov-94 08:49:37 GMT", now_ms), 30000);
    ck_assert_int_eq(hf_retry_after_ms("Sun Nov  6 08:49:37 1994", now_ms), 30000);
    ck_assert_int_eq(hf_retry_after_ms("Sun, 06 Nov 1994 08:49:00 GMT", now_ms), 0);
    ck_assert_int_eq(hf_retry_after_ms("99999999999999999999999", now_ms) % 1000, 0);
    ck_assert_int_gt(hf_retry_after_ms("99999999999999999999999", now_ms), 0);
}
END_TEST

START_TEST(other_retry_after_counts_as_none)
{
    static const char *const values[] = {"",
                                         "soon",
                                         "-1",
                                         "1.5",
                                         "12 ",
                                         "Sun, 06 Now 1994 08:49:37 GMT",
                                         "Sun, 06 Nov 1994 08:49:37 CET",
                                         "Sun, 06 Nov 1994 08:49:37 GMT and more",
                                         "Sun, 31 Feb 1994 08:49:37 GMT",
                                         "Sun, 06 Nov 1994 25:49:37 GMT",
                                         "Sun Nov  6 08:49:37"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        ck_assert_msg(hf_retry_after_ms(values[i], 0) == -1, "\"%s\" was taken", values[i]);
}
END_TEST

HF_TEST_MAIN("retry", pauses_double_from_a_tenth_of_a_second_to_five_and_lie_between_half_and_whole,
             no_pause_is_shorter_than_retry_after, random_numbers_differ_and_stay_below_one,
             retry_after_is_seconds_or_one_of_three_dates, other_retry_after_counts_as_none);
