#include "fields.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT = 53 };                  /* bits of an integer that every reader of JSON keeps */
static const double real_most = 1e15; /* larger ones are none of ours, and could grow into infinity */

/* What every number of a list must keep to. */
struct bounds {
    bool whole;
    double least, most; /* of whole ones up to 2^53, which a double holds exactly */
};

static const json_t *get(struct reading *reading, const char *key);
static const json_t *get_numbers(struct reading *reading, const char *key, size_t count, const struct bounds *bounds);
static bool is_sane(const json_t *value);

/* Memory of a few bytes that cannot be had, or a number that no JSON can hold, ends the example. */
static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "syndicate: cannot write the field %s\n", what);
    abort();
}

void put_real(json_t *to, const char *key, double value)
{
    must(json_object_set_new(to, key, json_real(value)) == 0, key);
}

void put_reals(json_t *to, const char *key, const double *values, size_t count)
{
    json_t *list = put_list(to, key);
    for (size_t i = 0; i < count; i++)
        must(json_array_append_new(list, json_real(values[i])) == 0, key);
}

void put_integer(json_t *to, const char *key, int64_t value)
{
    must(llabs(value) <= INT64_C(1) << EXACT && json_object_set_new(to, key, json_integer(value)) == 0, key);
}

void put_integers(json_t *to, const char *key, const int64_t *values, size_t count)
{
    json_t *list = put_list(to, key);
    for (size_t i = 0; i < count; i++)
        must(json_array_append_new(list, json_integer(values[i])) == 0, key);
}

void put_bool(json_t *to, const char *key, bool value)
{
    must(json_object_set_new(to, key, json_boolean(value)) == 0, key);
}

void put_text(json_t *to, const char *key, const char *text)
{
    must(json_object_set_new(to, key, json_string(text)) == 0, key);
}

void put_word(json_t *to, const char *key, uint64_t value)
{
    char text[17];
    snprintf(text, sizeof(text), "%016" PRIx64, value);
    put_text(to, key, text);
}

void put_dice(json_t *to, const struct dice *dice)
{
    char text[65];
    for (int i = 0; i < 4; i++)
        snprintf(text + 16 * i, 17, "%016" PRIx64, dice->state[i]);
    put_text(to, "dice", text);
}

json_t *put_list(json_t *to, const char *key)
{
    must(json_object_set_new(to, key, json_array()) == 0, key);
    return json_object_get(to, key);
}

json_t *add_object(json_t *list)
{
    must(json_array_append_new(list, json_object()) == 0, "of a list");
    return json_array_get(list, json_array_size(list) - 1);
}

void reading_fail(struct reading *reading, const char *format, ...)
{
    if (reading->problem[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reading->problem, sizeof(reading->problem), format, arguments);
    va_end(arguments);
}

double get_real(struct reading *reading, const char *key)
{
    const json_t *value = get(reading, key);
    if (value && !is_sane(value))
        reading_fail(reading, "%s is not a number, or not a sane one", key);
    return reading->problem[0] ? 0 : json_number_value(value);
}

double get_real_within(struct reading *reading, const char *key, double least, double most)
{
    double value = get_real(reading, key);
    if (!reading->problem[0] && !(value >= least && value <= most))
        reading_fail(reading, "%s is %g, not between %g and %g", key, value, least, most);
    return reading->problem[0] ? 0 : value;
}

void get_reals(struct reading *reading, const char *key, double *out, size_t count)
{
    const struct bounds bounds = {.least = -real_most, .most = real_most};
    const json_t *list = get_numbers(reading, key, count, &bounds);
    for (size_t i = 0; i < count; i++)
        out[i] = json_number_value(json_array_get(list, i));
}

int64_t get_integer(struct reading *reading, const char *key, int64_t least, int64_t most)
{
    const json_t *value = get(reading, key);
    if (most > INT64_C(1) << (EXACT - 1)) /* leaves room to count on */
        most = INT64_C(1) << (EXACT - 1);
    if (value && !json_is_integer(value))
        reading_fail(reading, "%s is not an integer", key);
    else if (value && (json_integer_value(value) < least || json_integer_value(value) > most))
        reading_fail(reading, "%s is %" PRId64 ", not between %" PRId64 " and %" PRId64, key,
                     (int64_t)json_integer_value(value), least, most);
    return reading->problem[0] ? 0 : json_integer_value(value);
}

void get_integers(struct reading *reading, const char *key, int64_t *out, size_t count, int64_t most)
{
    const struct bounds bounds = {.whole = true, .most = (double)most};
    const json_t *list = get_numbers(reading, key, count, &bounds);
    for (size_t i = 0; i < count; i++)
        out[i] = json_integer_value(json_array_get(list, i));
}

bool get_bool(struct reading *reading, const char *key)
{
    const json_t *value = get(reading, key);
    if (value && !json_is_boolean(value))
        reading_fail(reading, "%s is neither true nor false", key);
    return !reading->problem[0] && json_is_true(value);
}

void get_text(struct reading *reading, const char *key, char *out, size_t size)
{
    const json_t *value = get(reading, key);
    if (value && (!json_is_string(value) || json_string_length(value) >= size))
        reading_fail(reading, "%s is not a text of less than %zu bytes", key, size);
    snprintf(out, size, "%s", reading->problem[0] ? "" : json_string_value(value));
}

static bool parse_word(const char *text, uint64_t *out)
{
    if (strspn(text, "0123456789abcdef") < 16)
        return false;
    char digits[17] = {0};
    memcpy(digits, text, 16);
    *out = strtoull(digits, NULL, 16);
    return true;
}

uint64_t get_word(struct reading *reading, const char *key)
{
    char text[17];
    uint64_t value = 0;
    get_text(reading, key, text, sizeof(text));
    if (!reading->problem[0] && !parse_word(text, &value))
        reading_fail(reading, "%s is not 16 hexadecimal digits", key);
    return value;
}

void get_dice(struct reading *reading, struct dice *out)
{
    char text[65];
    get_text(reading, "dice", text, sizeof(text));
    uint64_t any = 0;
    for (int i = 0; i < 4 && !reading->problem[0]; i++) {
        if (strlen(text) != 64 || !parse_word(text + (ptrdiff_t)16 * i, &out->state[i]))
            reading_fail(reading, "dice is not 64 hexadecimal digits");
        else
            any |= out->state[i];
    }
    if (any == 0) /* would throw zeros for ever */
        reading_fail(reading, "dice is all zero");
}

size_t get_list(struct reading *reading, const char *key, size_t least, size_t most)
{
    const json_t *value = get(reading, key);
    if (value && (!json_is_array(value) || json_array_size(value) < least || json_array_size(value) > most))
        reading_fail(reading, "%s is not a list of %zu to %zu", key, least, most);
    return reading->problem[0] ? 0 : json_array_size(value);
}

struct reading reading_enter(const struct reading *reading, const char *key, size_t index)
{
    return (struct reading){.from = json_array_get(json_object_get(reading->from, key), index)};
}

void reading_leave(struct reading *reading, const struct reading *inner, const char *key, size_t index)
{
    if (inner->problem[0])
        reading_fail(reading, "%s[%zu]: %.100s", key, index, inner->problem);
}

static const json_t *get(struct reading *reading, const char *key)
{
    const json_t *value = json_object_get(reading->from, key);
    if (!value)
        reading_fail(reading, "%s is missing", key);
    return reading->problem[0] ? NULL : value;
}

/* A list of exactly so many, all within the bounds; NULL, of which all entries read as zero: it is none. */
static const json_t *get_numbers(struct reading *reading, const char *key, size_t count, const struct bounds *bounds)
{
    get_list(reading, key, count, count);
    const json_t *list = json_object_get(reading->from, key);
    for (size_t i = 0; i < count && !reading->problem[0]; i++) {
        const json_t *entry = json_array_get(list, i);
        double value = json_number_value(entry);
        bool right = bounds->whole ? json_is_integer(entry) : json_is_number(entry);
        if (!right || !(value >= bounds->least && value <= bounds->most))
            reading_fail(reading, "%s has something that is not %s from %.0f to %.0f", key,
                         bounds->whole ? "an integer" : "a number", bounds->least, bounds->most);
    }
    return reading->problem[0] ? NULL : list;
}

static bool is_sane(const json_t *value)
{
    return json_is_number(value) && fabs(json_number_value(value)) <= real_most;
}
