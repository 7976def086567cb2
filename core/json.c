#include "core/json.h"

#include "core/clock.h"
#include "core/id.h"
#include "core/json_scan.h"

#include <string.h>
#include <strings.h>

#define PARSE_FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL)
#define DEPTH_MAX   2048 /* jansson's own, fixed when it is built */

static json_t *parse(const void *text, size_t bytes, size_t flags, struct hf_error *err);
static void explain(const json_error_t *failure, struct hf_error *err);
static bool is_among(const char *name, const char *const names[]);

void hf_json_init(void)
{
    size_t seed = 0;
    while (seed == 0) /* jansson reads 0 as "find one yourself" */
        hf_random_bytes(&seed, sizeof(seed));
    json_object_seed(seed);
}

json_t *hf_json_parse(const void *text, size_t bytes, struct hf_error *err)
{
    return parse(text, bytes, PARSE_FLAGS, err);
}

bool hf_json_check(const void *text, size_t bytes, struct hf_error *err)
{
    /* Nearly every state passes the scan, at a small part of the cost; the parser explains what is wrong with the rest.
     */
    if (hf_json_scan(text, bytes))
        return true;
    HF_AUTO(json) json_t *value = parse(text, bytes, PARSE_FLAGS | JSON_DECODE_INT_AS_REAL, err);
    return value != NULL;
}

bool hf_json_is_media_type(const char *content_type)
{
    size_t bytes = strcspn(content_type, "; \t");
    if (bytes == strlen("application/json") && strncasecmp(content_type, "application/json", bytes) == 0)
        return true;
    return bytes > strlen("+json") && strncasecmp(content_type + bytes - strlen("+json"), "+json", 5) == 0;
}

bool hf_json_only_fields(const json_t *object, const char *const names[], struct hf_error *err)
{
    if (!json_is_object(object))
        return hf_error_set(err, HF_INVALID_REQUEST, "a JSON object is expected");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        if (is_among(name, names))
            continue;
        hf_error_set(err, HF_INVALID_REQUEST, "unknown field \"%.64s\"; known are:", name);
        for (size_t i = 0; names[i]; i++) {
            size_t used = strlen(err->text);
            snprintf(err->text + used, sizeof(err->text) - used, "%s %s", i ? "," : "", names[i]);
        }
        return names[0] ? false : hf_error_set(err, HF_INVALID_REQUEST, "unknown field \"%.64s\"; none is known", name);
    }
    return true;
}

bool hf_json_get_text(const json_t *object, const char *name, const char **out, struct hf_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        return true;
    if (!json_is_string(value))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" must be a string", name);
    const char *text = json_string_value(value);
    if (strlen(text) != json_string_length(value))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" must not contain the character U+0000", name);
    *out = text;
    return true;
}

bool hf_json_get_int(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *out,
                     struct hf_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" must be a whole number from %lld to %lld", name,
                            (long long)min, (long long)max);
    *out = json_integer_value(value);
    return true;
}

bool hf_json_get_bool(const json_t *object, const char *name, bool *out, struct hf_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        return true;
    if (!json_is_boolean(value))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" must be true or false", name);
    *out = json_is_true(value);
    return true;
}

bool hf_json_get_number(const json_t *object, const char *name, double min, double max, double *out,
                        struct hf_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        return true;
    if (!json_is_number(value) || json_number_value(value) < min || json_number_value(value) > max)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" must be a number from %g to %g", name, min, max);
    *out = json_number_value(value);
    return true;
}

char *hf_json_text(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    HF_ASSERT(text != NULL);
    return text;
}

void hf_json_set_time(json_t *object, const char *name, int64_t at_ms)
{
    char text[HF_TIME_BYTES];
    size_t length = hf_time_format(at_ms, text);
    HF_ASSERT(json_object_set_new(object, name, at_ms ? json_stringn(text, length) : json_null()) == 0);
}

static json_t *parse(const void *text, size_t bytes, size_t flags, struct hf_error *err)
{
    if (bytes == 0) {
        hf_error_set(err, HF_INVALID_REQUEST, "line 1, column 1: the JSON text is empty");
        return NULL;
    }
    json_error_t failure;
    json_t *value = json_loadb(text, bytes, flags, &failure);
    if (!value)
        explain(&failure, err);
    return value;
}

static void explain(const json_error_t *failure, struct hf_error *err)
{
    enum json_error_code code = json_error_code(failure);
    if (code == json_error_out_of_memory) {
        hf_error_set(err, HF_OVERLOADED, "not enough memory to parse the JSON text");
        return;
    }
    /* jansson quotes the text where it stopped; an error must not carry a piece of a body. */
    const char *quoted = strstr(failure->text, " near '");
    int length = quoted ? (int)(quoted - failure->text) : (int)strlen(failure->text);
    if (code == json_error_stack_overflow)
        hf_error_set(err, HF_INVALID_REQUEST, "line %d, column %d: nested deeper than %d levels", failure->line,
                     failure->column, DEPTH_MAX);
    else
        hf_error_set(err, HF_INVALID_REQUEST, "line %d, column %d: %.*s", failure->line, failure->column, length,
                     failure->text);
}

static bool is_among(const char *name, const char *const names[])
{
    for (size_t i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}
