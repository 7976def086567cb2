/* Calendar arithmetic is done here rather than by gmtime_r and timegm, which take a process-wide lock in glibc. */
#include "core/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_MS      INT64_C(86400000)
#define YEAR_0_MS   INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define YEAR_MAX_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

struct civil {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second, ms;
    int weekday; /* 0: Sunday */
};

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static struct civil civil_of(int64_t at_ms);
static int64_t days_of(int year, int month, int day);
static bool date_exists(int year, int month, int day);
static char *put_digits(char *out, int value, int digits);
static bool take_digits(const char **text, int digits, int *out);
static bool take_char(const char **text, const char *allowed);
static bool take_fraction(const char **text, int *ms_out);
static bool take_offset(const char **text, int *minutes_out);

int64_t hf_clock_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t hf_clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * HF_SECOND_NS + (uint64_t)now.tv_nsec;
}

size_t hf_time_format(int64_t at_ms, char out[HF_TIME_BYTES])
{
    struct civil c = civil_of(at_ms);
    char *end = put_digits(out, c.year, 4);
    *end++ = '-';
    end = put_digits(end, c.month, 2);
    *end++ = '-';
    end = put_digits(end, c.day, 2);
    *end++ = 'T';
    end = put_digits(end, c.hour, 2);
    *end++ = ':';
    end = put_digits(end, c.minute, 2);
    *end++ = ':';
    end = put_digits(end, c.second, 2);
    *end++ = '.';
    end = put_digits(end, c.ms, 3);
    *end++ = 'Z';
    *end = '\0';
    return (size_t)(end - out);
}

size_t hf_time_format_compact(int64_t at_ms, char out[HF_TIME_BYTES])
{
    struct civil c = civil_of(at_ms);
    char *end = put_digits(out, c.year, 4);
    end = put_digits(end, c.month, 2);
    end = put_digits(end, c.day, 2);
    *end++ = 'T';
    end = put_digits(end, c.hour, 2);
    end = put_digits(end, c.minute, 2);
    end = put_digits(end, c.second, 2);
    *end++ = 'Z';
    *end = '\0';
    return (size_t)(end - out);
}

size_t hf_time_format_http(int64_t at_ms, char out[HF_TIME_BYTES])
{
    struct civil c = civil_of(at_ms);
    char *end = out;
    memcpy(end, day_names[c.weekday], 3);
    memcpy(end + 3, ", ", 2);
    end = put_digits(end + 5, c.day, 2);
    *end++ = ' ';
    memcpy(end, month_names[c.month - 1], 3);
    end[3] = ' ';
    end = put_digits(end + 4, c.year, 4);
    *end++ = ' ';
    end = put_digits(end, c.hour, 2);
    *end++ = ':';
    end = put_digits(end, c.minute, 2);
    *end++ = ':';
    end = put_digits(end, c.second, 2);
    memcpy(end, " GMT", 5);
    return (size_t)(end + 4 - out);
}

bool hf_time_parse(const char *text, int64_t *at_ms_out)
{
    int year, month, day, hour, minute, second, ms, offset_minutes;
    bool shaped = take_digits(&text, 4, &year) && take_char(&text, "-") && take_digits(&text, 2, &month) &&
                  take_char(&text, "-") && take_digits(&text, 2, &day) && take_char(&text, "Tt") &&
                  take_digits(&text, 2, &hour) && take_char(&text, ":") && take_digits(&text, 2, &minute) &&
                  take_char(&text, ":") && take_digits(&text, 2, &second) && take_fraction(&text, &ms) &&
                  take_offset(&text, &offset_minutes) && *text == '\0';
    if (!shaped || !date_exists(year, month, day) || hour > 23 || minute > 59 || second > 60)
        return false;
    int64_t minutes = days_of(year, month, day) * 1440 + hour * 60 + minute - offset_minutes;
    /* A leap second ends a UTC day; on our clock it is the first second of the next day. */
    if (second == 60 && (minutes % 1440 + 1440) % 1440 != 1439)
        return false;
    int64_t at_ms = minutes * 60000 + second * INT64_C(1000) + ms;
    if (at_ms < YEAR_0_MS || at_ms > YEAR_MAX_MS)
        return false;
    *at_ms_out = at_ms;
    return true;
}

void hf_duration_format(int64_t duration_ms, char *out, size_t bytes)
{
    const char *sign = duration_ms < 0 ? "-" : "";
    uint64_t ms = duration_ms < 0 ? 0 - (uint64_t)duration_ms : (uint64_t)duration_ms;
    uint64_t seconds = ms / 1000, minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
    if (ms > 0 && ms < 1000)
        snprintf(out, bytes, "%s%llu ms", sign, (unsigned long long)ms);
    else if (seconds < 60)
        snprintf(out, bytes, "%s%llu s", sign, (unsigned long long)seconds);
    else if (minutes < 60)
        snprintf(out, bytes, "%s%llu %s", sign, (unsigned long long)minutes, minutes == 1 ? "minute" : "minutes");
    else if (hours < 24 && minutes % 60 == 0)
        snprintf(out, bytes, "%s%llu h", sign, (unsigned long long)hours);
    else if (hours < 24)
        snprintf(out, bytes, "%s%llu h %llu min", sign, (unsigned long long)hours, (unsigned long long)(minutes % 60));
    else if (hours % 24 == 0)
        snprintf(out, bytes, "%s%llu %s", sign, (unsigned long long)days, days == 1 ? "day" : "days");
    else
        snprintf(out, bytes, "%s%llu %s %llu h", sign, (unsigned long long)days, days == 1 ? "day" : "days",
                 (unsigned long long)(hours % 24));
}

/* Proleptic Gregorian calendar by whole eras of 400 years that start in March (H. Hinnant, "chrono-compatible low-level
 * date algorithms"). Instants outside years 0 to 9999 are written as the nearest one inside: RFC 3339 has no other. */
static struct civil civil_of(int64_t at_ms)
{
    at_ms = at_ms < YEAR_0_MS ? YEAR_0_MS : at_ms > YEAR_MAX_MS ? YEAR_MAX_MS : at_ms;
    int64_t days = at_ms / DAY_MS - (at_ms % DAY_MS < 0);
    int rest = (int)(at_ms - days * DAY_MS);
    int64_t shifted = days + 719468; /* days since 0000-03-01 */
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int day_of_era = (int)(shifted - era * 146097);
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int march_month = (5 * day_of_year + 2) / 153;
    int month = march_month < 10 ? march_month + 3 : march_month - 9;
    return (struct civil){
        .year = (int)(year_of_era + era * 400) + (month <= 2),
        .month = month,
        .day = day_of_year - (153 * march_month + 2) / 5 + 1,
        .hour = rest / 3600000,
        .minute = rest / 60000 % 60,
        .second = rest / 1000 % 60,
        .ms = rest % 1000,
        .weekday = (int)(((days + 4) % 7 + 7) % 7),
    };
}

/* Days from 1970-01-01; the inverse of civil_of. */
static int64_t days_of(int year, int month, int day)
{
    int64_t march_year = month <= 2 ? year - 1 : year;
    int64_t era = (march_year >= 0 ? march_year : march_year - 399) / 400;
    int64_t year_of_era = march_year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static bool date_exists(int year, int month, int day)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= month_days[month - 1] + (month == 2 && leap);
}

static char *put_digits(char *out, int value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + digits;
}

static bool take_digits(const char **text, int digits, int *out)
{
    int value = 0;
    for (int i = 0; i < digits; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        value = value * 10 + (**text - '0');
    }
    *out = value;
    return true;
}

static bool take_char(const char **text, const char *allowed)
{
    if (**text == '\0' || !strchr(allowed, **text))
        return false;
    (*text)++;
    return true;
}

/* An optional ".digits"; what is finer than a millisecond is cut off. */
static bool take_fraction(const char **text, int *ms_out)
{
    int ms = 0, digits = 0;
    if (take_char(text, ".")) {
        for (; **text >= '0' && **text <= '9'; (*text)++, digits++)
            ms = digits < 3 ? ms * 10 + (**text - '0') : ms;
        if (digits == 0)
            return false;
    }
    for (; digits > 0 && digits < 3; digits++)
        ms *= 10;
    *ms_out = ms;
    return true;
}

static bool take_offset(const char **text, int *minutes_out)
{
    *minutes_out = 0;
    if (take_char(text, "Zz"))
        return true;
    int hours, minutes, sign = **text == '-' ? -1 : 1;
    if (!take_char(text, "+-") || !take_digits(text, 2, &hours) || !take_char(text, ":") ||
        !take_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *minutes_out = sign * (hours * 60 + minutes);
    return true;
}
