#include "core/clock.h"

#include <string.h>
#include <time.h>

#include "tests/support/check_main.h"

static void check_format(int64_t at_ms, const char *expected)
{
    char text[HF_TIME_BYTES];
    ck_assert_uint_eq(hf_time_format(at_ms, text), strlen(expected));
    ck_assert_str_eq(text, expected);
}

START_TEST(instants_are_written_in_utc_with_milliseconds)
{
    check_format(0, "1970-01-01T00:00:00.000Z");
    check_format(1795397400123, "2026-11-23T01:30:00.123Z");
    check_format(-1, "1969-12-31T23:59:59.999Z");
    check_format(951782400000, "2000-02-29T00:00:00.000Z");
    check_format(INT64_MAX, "9999-12-31T23:59:59.999Z");
    check_format(INT64_MIN, "0000-01-01T00:00:00.000Z");
}
END_TEST

START_TEST(every_day_of_eight_centuries_agrees_with_the_c_library)
{
    for (int64_t day = -146097; day < 146097; day += 1) {
        time_t seconds = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);
        struct tm tm;
        char expected[64], text[HF_TIME_BYTES];
        gmtime_r(&seconds, &tm);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        hf_time_format((int64_t)seconds * 1000, text);
        ck_assert_str_eq(text, expected);
        strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        hf_time_format_http((int64_t)seconds * 1000, text);
        ck_assert_str_eq(text, expected);
    }
}
END_TEST

START_TEST(the_compact_form_has_no_separators)
{
    char text[HF_TIME_BYTES];
    ck_assert_uint_eq(hf_time_format_compact(1795397400123, text), 16);
    ck_assert_str_eq(text, "20261123T013000Z");
}
END_TEST

START_TEST(well_formed_instants_are_read)
{
    static const struct {
        const char *text;
        int64_t at_ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-23T01:30:00.123Z", 1795397400123},
        {"2026-11-23t01:30:00.123z", 1795397400123},
        {"2026-11-23T01:30:00.1Z", 1795397400100},
        {"2026-11-23T01:30:00.12Z", 1795397400120},
        {"2026-11-23T01:30:00.123999999999999999999Z", 1795397400123},
        {"2026-11-23T02:30:00.123+01:00", 1795397400123},
        {"2026-11-22T20:00:00.123-05:30", 1795397400123},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"1990-12-31T23:59:60Z", 662688000000},
        {"1990-12-31T15:59:60-08:00", 662688000000},
        {"1969-12-31T23:59:59.999Z", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t at_ms = 42;
        ck_assert_msg(hf_time_parse(cases[i].text, &at_ms), "%s", cases[i].text);
        ck_assert_int_eq(at_ms, cases[i].at_ms);
    }
}
END_TEST

START_TEST(malformed_instants_are_refused_and_leave_the_result_untouched)
{
    static const char *const cases[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T01:30:00",
        "2026-11-23 01:30:00Z",
        "2026-11-23T01:30Z",
        "2026-11-23T01:30:00.Z",
        "2026-11-23T01:30:00,1Z",
        "2026-11-23T01:30:00Z ",
        " 2026-11-23T01:30:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T01:60:00Z",
        "2026-11-23T01:30:60Z",
        "2026-11-23T01:30:61Z",
        "2026-11-23T01:30:00+24:00",
        "2026-11-23T01:30:00+01:60",
        "2026-11-23T01:30:00+0100",
        "2026-11-23T01:30:00+01",
        "+2026-11-23T01:30:00Z",
        "12026-11-23T01:30:00Z",
        "0000-01-01T00:00:00+00:01",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t at_ms = 42;
        ck_assert_msg(!hf_time_parse(cases[i], &at_ms), "%s", cases[i]);
        ck_assert_int_eq(at_ms, 42);
    }
}
END_TEST

START_TEST(durations_are_written_for_people)
{
    static const struct {
        int64_t duration_ms;
        const char *text;
    } cases[] = {
        {0, "0 s"},
        {450, "450 ms"},
        {45999, "45 s"},
        {60000, "1 minute"},
        {23 * 60000, "23 minutes"},
        {7200000, "2 h"},
        {7500000, "2 h 5 min"},
        {86400000, "1 day"},
        {3 * 86400000LL + 4 * 3600000, "3 days 4 h"},
        {-45000, "-45 s"},
        {INT64_MIN, "-106751991167 days 7 h"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64];
        hf_duration_format(cases[i].duration_ms, text, sizeof(text));
        ck_assert_str_eq(text, cases[i].text);
    }
    char small[4];
    hf_duration_format(23 * 60000, small, sizeof(small));
    ck_assert_str_eq(small, "23 ");
}
END_TEST

START_TEST(the_monotonic_clock_never_goes_back)
{
    uint64_t before = hf_clock_monotonic_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = hf_clock_monotonic_ns();
        ck_assert_uint_ge(now, before);
        before = now;
    }
    time_t seconds = time(NULL);
    ck_assert_int_ge(hf_clock_now_ms() / 1000, seconds - 1);
}
END_TEST

HF_TEST_MAIN("clock", instants_are_written_in_utc_with_milliseconds,
             every_day_of_eight_centuries_agrees_with_the_c_library, the_compact_form_has_no_separators,
             well_formed_instants_are_read, malformed_instants_are_refused_and_leave_the_result_untouched,
             durations_are_written_for_people, the_monotonic_clock_never_goes_back);
