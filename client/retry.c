#include "client/retry.h"

#include "core/clock.h"
#include "core/id.h"

#include <stdio.h>
#include <string.h>

#define PAUSE_FIRST_MS INT64_C(100)
#define PAUSE_MAX_MS   INT64_C(5000)
#define SECONDS_MAX    INT64_C(1000000000)

static bool read_seconds(const char *value, int64_t *seconds_out);
static bool read_date(const char *value, int64_t *at_ms_out);
static int month_of(const char *name);

int64_t hf_retry_pause_ms(int failures, double random)
{
    int64_t whole_ms = PAUSE_FIRST_MS;
    for (int i = 1; i < failures && whole_ms < PAUSE_MAX_MS; i++)
        whole_ms *= 2;
    if (whole_ms > PAUSE_MAX_MS)
        whole_ms = PAUSE_MAX_MS;
    return whole_ms / 2 + (int64_t)((double)(whole_ms / 2) * random);
}

int64_t hf_retry_pause_after_ms(int failures, double random, int64_t after_ms)
{
    return after_ms > 0 ? after_ms + hf_retry_pause_ms(1, random) : hf_retry_pause_ms(failures, random);
}

int64_t hf_retry_after_ms(const char *value, int64_t now_ms)
{
    int64_t seconds, at_ms;
    if (read_seconds(value, &seconds))
        return seconds * 1000;
    if (read_date(value, &at_ms))
        return at_ms > now_ms ? at_ms - now_ms : 0;
    return -1;
}

double hf_retry_random(void)
{
    uint32_t bits;
    hf_random_bytes(&bits, sizeof(bits));
    return bits / 4294967296.0;
}

static bool read_seconds(const char *value, int64_t *seconds_out)
{
    int64_t seconds = 0;
    const char *at = value;
    for (; *at >= '0' && *at <= '9'; at++)
        if (seconds < SECONDS_MAX)
            seconds = seconds * 10 + (*at - '0');
    if (at == value || *at != '\0')
        return false;
    *seconds_out = seconds;
    return true;
}

/* IMF-fixdate, and the two obsolete forms that a recipient has to know: of RFC 850, and of asctime. */
static bool read_date(const char *value, int64_t *at_ms_out)
{
    char name[4] = "", text[HF_TIME_BYTES];
    int day, year, hour, minute, second, end = 0;
    if (sscanf(value, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, name, &year, &hour, &minute, &second,
               &end) != 6 ||
        end == 0) {
        if (sscanf(value, "%*9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &day, name, &year, &hour, &minute,
                   &second, &end) == 6 &&
            end > 0)
            year += year < 70 ? 2000 : 1900;
        else if (sscanf(value, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", name, &day, &hour, &minute, &second,
                        &year, &end) != 6 ||
                 end == 0)
            return false;
    }
    int month = month_of(name);
    if (value[end] != '\0' || month == 0 || year < 0 || day < 0 || hour < 0 || minute < 0 || second < 0)
        return false;
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", year % 10000, month, day % 100, hour % 100,
             minute % 100, second % 100);
    return hf_time_parse(text, at_ms_out);
}

static int month_of(const char *name)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++)
        if (strncmp(name, names + 3 * (size_t)i, 3) == 0 && strlen(name) == 3)
            return i + 1;
    return 0;
}
