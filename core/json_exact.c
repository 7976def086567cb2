#include "core/json_exact.h"

#include "core/auto.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define NUMBER_BYTES_MAX 1024 /* no double needs more digits to be told exactly */

/* Goes through the numbers of a text that is JSON. */
struct number_scan {
    const char *text;
    size_t bytes;
    size_t at;         /* where it goes on */
    size_t start, end; /* of the number found */
    int line;
};

static bool numbers_survive(const char *text, size_t bytes, bool *has_negative_zero_out, struct hf_error *err);
static bool next_number(struct number_scan *scan);
static bool is_negative_zero(const struct number_scan *scan);
static json_t *parse_with_points(const char *text, size_t bytes, struct hf_error *err);
static size_t string_bytes(const char *text, size_t bytes);
static bool survives(const char *token, size_t bytes);
static int significant_digits(const char *token, size_t bytes, char out[NUMBER_BYTES_MAX]);
static bool same_objects(const json_t *a, const json_t *b, int64_t *work_left);
static bool same_arrays(const json_t *a, const json_t *b, int64_t *work_left);
static bool same_reals(double a, double b);
static bool write_object(struct hf_buf *out, const json_t *object);
static bool write_array(struct hf_buf *out, const json_t *array);
static bool write_real(struct hf_buf *out, double value);

json_t *hf_json_parse_exact(const void *text, size_t bytes, struct hf_error *err)
{
    bool has_negative_zero = false;
    json_t *value = hf_json_parse(text, bytes, err);
    if (value && numbers_survive(text, bytes, &has_negative_zero, err) && !has_negative_zero)
        return value;
    json_decref(value);
    return has_negative_zero ? parse_with_points(text, bytes, err) : NULL;
}

bool hf_json_same(const json_t *a, const json_t *b, int64_t *work_left)
{
    if (work_left && --*work_left < 0)
        return false;
    if (a == b)
        return true;
    if (json_typeof(a) != json_typeof(b))
        return false;
    switch (json_typeof(a)) {
    case JSON_OBJECT:
        return same_objects(a, b, work_left);
    case JSON_ARRAY:
        return same_arrays(a, b, work_left);
    case JSON_REAL:
        return same_reals(json_real_value(a), json_real_value(b));
    default:
        return json_equal(a, b);
    }
}

bool hf_json_write(struct hf_buf *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return write_object(out, value);
    case JSON_ARRAY:
        return write_array(out, value);
    case JSON_STRING:
        return hf_buf_add_json_string(out, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        return hf_buf_add_format(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return write_real(out, json_real_value(value));
    case JSON_TRUE:
        return hf_buf_add_text(out, "true");
    case JSON_FALSE:
        return hf_buf_add_text(out, "false");
    default:
        return hf_buf_add_text(out, "null");
    }
}

static bool numbers_survive(const char *text, size_t bytes, bool *has_negative_zero_out, struct hf_error *err)
{
    struct number_scan scan = {.text = text, .bytes = bytes, .line = 1};
    bool has_negative_zero = false;
    while (next_number(&scan)) {
        if (!survives(text + scan.start, scan.end - scan.start))
            return hf_error_set(err, HF_INVALID_REQUEST,
                                "line %d: a number has more digits, or a smaller exponent, than a 64-bit floating "
                                "point number can hold",
                                scan.line);
        has_negative_zero |= is_negative_zero(&scan);
    }
    *has_negative_zero_out = has_negative_zero;
    return true;
}

/* The text is JSON, so whatever starts like a number outside a string is one. */
static bool next_number(struct number_scan *scan)
{
    const char *text = scan->text;
    while (scan->at < scan->bytes) {
        char c = text[scan->at];
        if (c == '-' || (c >= '0' && c <= '9')) {
            scan->start = scan->at++;
            while (scan->at < scan->bytes && text[scan->at] && strchr("0123456789+-.eE", text[scan->at]))
                scan->at++;
            scan->end = scan->at;
            return true;
        }
        if (c == '"')
            scan->at += string_bytes(text + scan->at, scan->bytes - scan->at);
        else
            scan->line += text[scan->at++] == '\n';
    }
    return false;
}

static bool is_negative_zero(const struct number_scan *scan)
{
    return scan->end - scan->start == 2 && memcmp(scan->text + scan->start, "-0", 2) == 0;
}

/* No integer is -0, only a real: with a point the parser takes it for one. */
static json_t *parse_with_points(const char *text, size_t bytes, struct hf_error *err)
{
    struct number_scan scan = {.text = text, .bytes = bytes};
    size_t copied = 0;
    HF_AUTO(buf) struct hf_buf pointed;
    hf_buf_init(&pointed, 2 * bytes);
    while (next_number(&scan)) {
        if (!is_negative_zero(&scan))
            continue;
        hf_buf_add(&pointed, text + copied, scan.end - copied);
        hf_buf_add_text(&pointed, ".0");
        copied = scan.end;
    }
    if (!hf_buf_add(&pointed, text + copied, bytes - copied)) {
        hf_error_set(err, HF_OVERLOADED, "there is not enough memory to read the JSON");
        return NULL;
    }
    return hf_json_parse(pointed.data, pointed.bytes, err);
}

static size_t string_bytes(const char *text, size_t bytes)
{
    size_t at = 1;
    while (at < bytes && text[at] != '"')
        at += text[at] == '\\' ? 2 : 1;
    return at + 1;
}

/* A real does when the double, printed with as many digits as the text has, gives these digits again. (Integers are
 * the parser's: it refuses those beyond 64 bits.) */
static bool survives(const char *token, size_t bytes)
{
    char copy[NUMBER_BYTES_MAX], digits[NUMBER_BYTES_MAX], printed[NUMBER_BYTES_MAX + 16], again[NUMBER_BYTES_MAX];
    bool has_exponent = memchr(token, 'e', bytes) || memchr(token, 'E', bytes);
    bool is_integer = !has_exponent && !memchr(token, '.', bytes);
    if (is_integer || (!has_exponent && bytes <= 16)) /* with its point, at most 15 digits */
        return true;
    if (bytes >= sizeof(copy))
        return false;
    memcpy(copy, token, bytes);
    copy[bytes] = '\0';
    int count = significant_digits(copy, bytes, digits);
    if (count == 0)
        return true;
    int length = snprintf(printed, sizeof(printed), "%.*e", count - 1, strtod(copy, NULL));
    return significant_digits(printed, (size_t)length, again) == count && memcmp(digits, again, (size_t)count) == 0;
}

/* Those of the mantissa without the zeros at its ends. */
static int significant_digits(const char *token, size_t bytes, char out[NUMBER_BYTES_MAX])
{
    int count = 0;
    for (size_t i = 0; i < bytes && token[i] != 'e' && token[i] != 'E'; i++)
        if (token[i] >= '0' && token[i] <= '9' && (count > 0 || token[i] != '0') && count < NUMBER_BYTES_MAX)
            out[count++] = token[i];
    while (count > 0 && out[count - 1] == '0')
        count--;
    return count;
}

static bool same_objects(const json_t *a, const json_t *b, int64_t *work_left)
{
    if (json_object_size(a) != json_object_size(b))
        return false;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)a, name, value)
    {
        const json_t *other = json_object_get(b, name);
        if (!other || !hf_json_same(value, other, work_left))
            return false;
    }
    return true;
}

static bool same_arrays(const json_t *a, const json_t *b, int64_t *work_left)
{
    size_t count = json_array_size(a);
    if (json_array_size(b) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!hf_json_same(json_array_get(a, i), json_array_get(b, i), work_left))
            return false;
    return true;
}

static bool same_reals(double a, double b)
{
    return a == b && signbit(a) == signbit(b);
}

static bool write_object(struct hf_buf *out, const json_t *object)
{
    bool first = true;
    const char *name;
    json_t *value;
    hf_buf_add_char(out, '{');
    json_object_foreach((json_t *)object, name, value)
    {
        if (!first)
            hf_buf_add_char(out, ',');
        first = false;
        hf_buf_add_json_string(out, name, strlen(name));
        hf_buf_add_char(out, ':');
        if (!hf_json_write(out, value))
            return false;
    }
    return hf_buf_add_char(out, '}');
}

static bool write_array(struct hf_buf *out, const json_t *array)
{
    size_t count = json_array_size(array);
    hf_buf_add_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            hf_buf_add_char(out, ',');
        if (!hf_json_write(out, json_array_get(array, i)))
            return false;
    }
    return hf_buf_add_char(out, ']');
}

static bool write_real(struct hf_buf *out, double value)
{
    char text[40];
    /* 15 digits are never lost; only the smallest numbers, which hold fewer, can be told with fewer (%g leaves out
     * zeros at the end). */
    for (int precision = fabs(value) < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    /* Without one of these it would come back as an integer. */
    return hf_buf_add_text(out, text) && (strpbrk(text, ".e") || hf_buf_add_text(out, ".0"));
}
