/* Pauses between attempts. */
#include "client/retry.h"

#include "tests/support/check_main.h"

#include <stdbool.h>

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

HF_TEST_MAIN("retry", pauses_double_from_a_tenth_of_a_second_to_five_and_lie_between_half_and_whole,
             no_pause_is_shorter_than_retry_after, random_numbers_differ_and_stay_below_one);
