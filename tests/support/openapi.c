#include "tests/support/openapi.h"

#include "core/auto.h"
#include "core/clock.h"

#include <check.h>
#include <ctype.h>
#include <regex.h>
#include <string.h>
#include <strings.h>

struct hf_openapi {
    json_t *document;
    json_t *exercised; /* operation ids */
};

static const json_t *find_operation(const struct hf_openapi *openapi, const char *method, const char *path);
static bool template_matches(const char *template, const char *path, size_t path_bytes);
static const json_t *resolve(const struct hf_openapi *openapi, const json_t *node);
static char *check_problem_without_operation(const struct hf_openapi *openapi, const struct hf_answer *answer);
static char *check_content(const struct hf_openapi *openapi, const json_t *response, const struct hf_answer *answer);
static char *check_value(const struct hf_openapi *openapi, const json_t *schema, const json_t *value, const char *at);
static char *check_combined(const struct hf_openapi *openapi, const json_t *schema, const json_t *value,
                            const char *at);
static char *check_object(const struct hf_openapi *openapi, const json_t *schema, const json_t *value, const char *at);
static char *check_text(const json_t *schema, const char *text, const char *at);
static bool type_fits(const char *type, const json_t *value);

struct hf_openapi *hf_openapi_load(struct hf_client *client)
{
    struct hf_answer answer;
    ck_assert(hf_client_call(client, "GET", "/v1/openapi.json", NULL, NULL, &answer));
    ck_assert_int_eq(answer.status, 200);
    json_error_t failure;
    json_t *document = json_loadb(answer.body, answer.body_bytes, JSON_REJECT_DUPLICATES, &failure);
    ck_assert_msg(document != NULL, "openapi.json: %s", failure.text);
    hf_answer_done(&answer);
    struct hf_openapi *openapi = hf_openapi_new(document);
    json_decref(document);
    return openapi;
}

struct hf_openapi *hf_openapi_new(json_t *document)
{
    struct hf_openapi *openapi = hf_alloc(sizeof(*openapi));
    openapi->document = json_incref(document);
    openapi->exercised = json_object();
    return openapi;
}

void hf_openapi_free(struct hf_openapi *openapi)
{
    json_decref(openapi->document);
    json_decref(openapi->exercised);
    free(openapi);
}

char *hf_openapi_find_fault(struct hf_openapi *openapi, const char *method, const char *path,
                            const struct hf_answer *answer)
{
    const json_t *operation = find_operation(openapi, method, path);
    if (!operation)
        return check_problem_without_operation(openapi, answer);
    char status[16];
    snprintf(status, sizeof(status), "%ld", answer->status);
    const json_t *response = json_object_get(json_object_get(operation, "responses"), status);
    const char *id = json_string_value(json_object_get(operation, "operationId"));
    if (!response)
        return hf_format("%s does not describe the status %s: %.300s", id, status, answer->body);
    if (answer->status < 400)
        json_object_set_new(openapi->exercised, id, json_true());
    if (strcasecmp(method, "HEAD") == 0)
        return NULL;
    return check_content(openapi, resolve(openapi, response), answer);
}

bool hf_openapi_exercised(const struct hf_openapi *openapi, const char *operation_id)
{
    return json_object_get(openapi->exercised, operation_id) != NULL;
}

const json_t *hf_openapi_operation(const struct hf_openapi *openapi, const char *method, const char *path)
{
    return json_object_get(json_object_get(json_object_get(openapi->document, "paths"), path), method);
}

const json_t *hf_openapi_document(const struct hf_openapi *openapi)
{
    return openapi->document;
}

static const json_t *find_operation(const struct hf_openapi *openapi, const char *method, const char *path)
{
    size_t path_bytes = strcspn(path, "?");
    char name[16] = "";
    for (size_t i = 0; method[i] && i + 1 < sizeof(name); i++)
        name[i] = (char)tolower((unsigned char)method[i]);
    const char *template;
    const json_t *first = NULL;
    json_t *item;
    json_object_foreach(json_object_get(openapi->document, "paths"), template, item)
    {
        const json_t *operation = template_matches(template, path, path_bytes) ? json_object_get(item, name) : NULL;
        if (operation && !strchr(strrchr(template, '/'), '{')) /* /snapshots/import is no /snapshots/{id} */
            return operation;
        if (operation && !first)
            first = operation;
    }
    return first;
}

static bool template_matches(const char *template, const char *path, size_t path_bytes)
{
    const char *end = path + path_bytes;
    while (*template && path < end) {
        if (*template == '{') {
            size_t segment = strcspn(path, "/?");
            if (segment == 0)
                return false;
            path += segment;
            template += strcspn(template, "}") + 1;
        } else if (*template ++ != *path++) {
            return false;
        }
    }
    return *template == '\0' && path == end;
}

static const json_t *resolve(const struct hf_openapi *openapi, const json_t *node)
{
    const char *reference;
    while ((reference = json_string_value(json_object_get(node, "$ref")))) {
        ck_assert_msg(strncmp(reference, "#/", 2) == 0, "reference %s", reference);
        node = openapi->document;
        for (const char *at = reference + 2; *at;) {
            HF_AUTO(free) char *key = hf_strndup(at, strcspn(at, "/"));
            node = json_object_get(node, key);
            ck_assert_msg(node != NULL, "%s leads nowhere", reference);
            at += strlen(key);
            at += *at == '/';
        }
    }
    return node;
}

/* An unknown path or method, or a path that is malformed: a problem all the same. */
static char *check_problem_without_operation(const struct hf_openapi *openapi, const struct hf_answer *answer)
{
    if (answer->status < 400)
        return hf_format("an answer %ld for an operation that is not described", answer->status);
    const json_t *schemas = json_object_get(json_object_get(openapi->document, "components"), "schemas");
    HF_AUTO(free) char *text = hf_strndup(answer->body ? answer->body : "", answer->body_bytes);
    json_t *value = json_loads(text, 0, NULL);
    char *fault = value ? check_value(openapi, json_object_get(schemas, "Problem"), value, "problem")
                        : hf_format("no problem+json: %.300s", text);
    json_decref(value);
    return fault;
}

static char *check_content(const struct hf_openapi *openapi, const json_t *response, const struct hf_answer *answer)
{
    const json_t *content = json_object_get(response, "content");
    const char *sent = hf_answer_header(answer, "Content-Type");
    if (!content)
        return answer->body_bytes ? hf_format("status %ld has a body, none is described", answer->status) : NULL;
    if (!sent)
        return hf_format("status %ld has no content type", answer->status);
    HF_AUTO(free) char *type = hf_strndup(sent, strcspn(sent, "; "));
    const json_t *media = json_object_get(content, type);
    if (!media && !json_object_get(content, "*/*"))
        return hf_format("status %ld: the content type %s is not described", answer->status, type);
    size_t length = strlen(type);
    if (!media || length < 4 || strcmp(type + length - 4, "json") != 0)
        return NULL;
    json_error_t failure;
    json_t *value = json_loadb(answer->body, answer->body_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &failure);
    if (!value)
        return hf_format("the answer is not JSON: %s", failure.text);
    char *fault = check_value(openapi, json_object_get(media, "schema"), value, "answer");
    json_decref(value);
    return fault;
}

static char *check_value(const struct hf_openapi *openapi, const json_t *schema, const json_t *value, const char *at)
{
    schema = resolve(openapi, schema);
    if (json_is_null(value) && json_is_true(json_object_get(schema, "nullable")))
        return NULL;
    char *fault = check_combined(openapi, schema, value, at);
    if (fault)
        return fault;
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (type && !type_fits(type, value))
        return hf_format("%s is not of type %s", at, type);
    if (json_is_string(value))
        return check_text(schema, json_string_value(value), at);
    const json_t *minimum = json_object_get(schema, "minimum"), *maximum = json_object_get(schema, "maximum");
    if (json_is_number(value) && ((minimum && json_number_value(value) < json_number_value(minimum)) ||
                                  (maximum && json_number_value(value) > json_number_value(maximum))))
        return hf_format("%s is out of range", at);
    const json_t *items = json_object_get(schema, "items");
    for (size_t i = 0; items && i < json_array_size(value); i++) {
        HF_AUTO(free) char *deeper = hf_format("%s[%zu]", at, i);
        if ((fault = check_value(openapi, items, json_array_get(value, i), deeper)))
            return fault;
    }
    return json_is_object(value) ? check_object(openapi, schema, value, at) : NULL;
}

static char *check_combined(const struct hf_openapi *openapi, const json_t *schema, const json_t *value, const char *at)
{
    const json_t *all = json_object_get(schema, "allOf"), *one = json_object_get(schema, "oneOf");
    for (size_t i = 0; i < json_array_size(all); i++) {
        char *fault = check_value(openapi, json_array_get(all, i), value, at);
        if (fault)
            return fault;
    }
    char *last = NULL;
    for (size_t i = 0; i < json_array_size(one); i++) {
        free(last);
        last = check_value(openapi, json_array_get(one, i), value, at);
        if (!last)
            return NULL;
    }
    return last;
}

static char *check_object(const struct hf_openapi *openapi, const json_t *schema, const json_t *value, const char *at)
{
    const json_t *required = json_object_get(schema, "required"), *known = json_object_get(schema, "properties");
    const json_t *more = json_object_get(schema, "additionalProperties");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (!json_object_get(value, name))
            return hf_format("%s lacks the field %s", at, name);
    }
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)value, name, member)
    {
        const json_t *described = json_object_get(known, name);
        if (!described && json_is_false(more))
            return hf_format("%s has the field %s, which is not described", at, name);
        if (!described && json_is_object(more))
            described = more;
        HF_AUTO(free) char *deeper = hf_format("%s.%s", at, name);
        char *fault = described ? check_value(openapi, described, member, deeper) : NULL;
        if (fault)
            return fault;
    }
    return NULL;
}

static char *check_text(const json_t *schema, const char *text, const char *at)
{
    const json_t *allowed = json_object_get(schema, "enum");
    const char *pattern = json_string_value(json_object_get(schema, "pattern"));
    const char *format = json_string_value(json_object_get(schema, "format"));
    bool found = allowed == NULL;
    for (size_t i = 0; i < json_array_size(allowed); i++)
        found = found || strcmp(json_string_value(json_array_get(allowed, i)), text) == 0;
    if (!found)
        return hf_format("%s is \"%s\", which is not among the described values", at, text);
    int64_t at_ms;
    if (format && strcmp(format, "date-time") == 0 && (!hf_time_parse(text, &at_ms) || text[strlen(text) - 1] != 'Z'))
        return hf_format("%s is \"%s\", not a time in UTC", at, text);
    if (pattern) {
        regex_t compiled;
        ck_assert_int_eq(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
        int missed = regexec(&compiled, text, 0, NULL, 0);
        regfree(&compiled);
        if (missed)
            return hf_format("%s is \"%s\", which does not match %s", at, text, pattern);
    }
    return NULL;
}

static bool type_fits(const char *type, const json_t *value)
{
    return (strcmp(type, "object") == 0 && json_is_object(value)) ||
           (strcmp(type, "array") == 0 && json_is_array(value)) ||
           (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "number") == 0 && json_is_number(value)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(value));
}
