/* Asking the service, and reading what it answers. */
#include "cli/cli.h"
#include "cli/print.h"

#include "core/clock.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#define PAGE         1000
#define SLOW_MS      (24 * 3600 * 1000)
#define DOCUMENT_MAX ((size_t)1 << 30)

static json_t *ask(struct hf_cli *cli, const struct holdfast_request *request, struct holdfast_error *err);
static char *page_path(const char *path, const char *cursor, size_t limit);

json_t *hf_cli_get(struct hf_cli *cli, struct holdfast_error *err, const char *path, ...)
{
    va_list args;
    va_start(args, path);
    HF_AUTO(free) char *whole = hf_format_args(path, args);
    va_end(args);
    struct holdfast_request request = {.path = whole, .accept = "application/json"};
    return ask(cli, &request, err);
}

json_t *hf_cli_send(struct hf_cli *cli, const struct hf_sending *sending, struct holdfast_error *err, const char *path,
                    ...)
{
    HF_AUTO(free) char *body = NULL;
    va_list args;
    va_start(args, path);
    HF_AUTO(free) char *whole = hf_format_args(path, args);
    va_end(args);
    if (sending->body)
        body = hf_json_text(sending->body);
    json_decref(sending->body);
    const char *headers[] = {sending->header, NULL};
    struct holdfast_request request = {
        .method = sending->method ? sending->method : "POST",
        .path = whole,
        .accept = "application/json",
        .body = body,
        .bytes = body ? strlen(body) : 0,
        .headers = headers,
        .idempotent = sending->idempotent,
        .timeout_ms = sending->slow && !cli->settings.timeout_ms ? SLOW_MS : 0,
    };
    return ask(cli, &request, err);
}

json_t *hf_cli_expect(json_t *answer, const char *fields, struct holdfast_error *err)
{
    HF_AUTO(free) char *names = hf_strdup(fields);
    char *rest = NULL;
    for (char *name = strtok_r(names, " ", &rest); answer && name; name = strtok_r(NULL, " ", &rest)) {
        if (*hf_field_text(answer, name))
            continue;
        *err = (struct holdfast_error){.code = "bad_answer"};
        snprintf(err->text, sizeof(err->text), "the answer has no \"%s\"; is this a holdfast service?", name);
        json_decref(answer);
        answer = NULL;
    }
    return answer;
}

json_t *hf_cli_expect_list(json_t *answer, const char *member, struct holdfast_error *err)
{
    if (!answer || json_is_array(json_object_get(answer, member)))
        return answer;
    *err = (struct holdfast_error){.code = "bad_answer"};
    snprintf(err->text, sizeof(err->text), "the answer has no list \"%s\"; is this a holdfast service?", member);
    json_decref(answer);
    return NULL;
}

json_t *hf_cli_list(struct hf_cli *cli, const char *path, const char *member, size_t most, struct holdfast_error *err)
{
    HF_AUTO(free) char *cursor = NULL;
    json_t *all = json_array();
    for (;;) {
        size_t have = json_array_size(all), limit = most && most - have < PAGE ? most - have : PAGE;
        HF_AUTO(free) char *next = page_path(path, cursor, limit);
        HF_AUTO(json) json_t *page = hf_cli_expect_list(hf_cli_get(cli, err, "%s", next), member, err);
        json_t *entries = json_object_get(page, member);
        if (!page) {
            json_decref(all);
            return NULL;
        }
        json_array_extend(all, entries);
        const char *after = hf_field_text(page, "nextCursor");
        HF_AUTO(free) char *before = cursor;
        cursor = *after ? hf_escape(after) : NULL;
        if (cursor && before && strcmp(cursor, before) == 0) {
            *err = (struct holdfast_error){.code = "bad_answer",
                                           .text = "the list does not end: a page names itself "
                                                   "as the next one"};
            json_decref(all);
            return NULL;
        }
        if (!cursor || json_array_size(entries) == 0 || (most && json_array_size(all) >= most))
            return all;
    }
}

char *hf_escape(const char *text)
{
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, DOCUMENT_MAX);
    hf_buf_add_text(&out, "");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~:", c))
            hf_buf_add_char(&out, (char)c);
        else
            hf_buf_add_format(&out, "%%%02X", c);
    }
    return hf_buf_take(&out, NULL);
}

char *hf_moment(const char *text)
{
    int64_t ago_ms;
    size_t length = strlen(text);
    char at[HF_TIME_BYTES];
    if (length < 2 || !isalpha((unsigned char)text[length - 1]) || !hf_span_parse(text, &ago_ms))
        return hf_strdup(text);
    hf_time_format(hf_clock_now_ms() - ago_ms, at);
    return hf_strdup(at);
}

bool hf_moment_check(struct hf_cli *cli, const char *option)
{
    int64_t at_ms;
    const char *text = hf_option_text(&cli->options, option);
    HF_AUTO(free) char *moment = text ? hf_moment(text) : NULL;
    if (!moment || hf_time_parse(moment, &at_ms))
        return true;
    hf_cli_usage(cli, "--%s must be a time, as 2026-11-23T01:30:00Z, or how long ago it was, as 90s, 15m, 2h or 3d",
                 option);
    return false;
}

const char *hf_field_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

int64_t hf_field_int(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

double hf_field_real(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

bool hf_field_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

static json_t *ask(struct hf_cli *cli, const struct holdfast_request *request, struct holdfast_error *err)
{
    struct holdfast_answer answer = {0};
    struct hf_error why;
    *err = (struct holdfast_error){0};
    if (!holdfast_call(cli->service, request, &answer, err))
        return NULL;
    json_t *object =
        answer.status == 204 ? json_object() : hf_json_parse(answer.body ? answer.body : "", answer.bytes, &why);
    if (!json_is_object(object)) {
        snprintf(err->code, sizeof(err->code), "bad_answer");
        err->status = answer.status;
        snprintf(err->request_id, sizeof(err->request_id), "%s", answer.request_id);
        snprintf(err->text, sizeof(err->text), "the answer is no JSON object (%.300s); is this a holdfast service?",
                 object ? "it is another value" : why.text);
        json_decref(object);
        object = NULL;
    }
    holdfast_answer_free(&answer);
    return object;
}

static char *page_path(const char *path, const char *cursor, size_t limit)
{
    char separator = strchr(path, '?') ? '&' : '?';
    if (!cursor)
        return hf_format("%s%climit=%zu", path, separator, limit);
    return hf_format("%s%climit=%zu&cursor=%s", path, separator, limit, cursor);
}
