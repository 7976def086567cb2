#include "client/problem.h"

#include "core/id.h"
#include "core/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool read_members(struct holdfast_error *err, const char *doing, const struct hf_problem_answer *answer);
static void say_what_came(struct holdfast_error *err, const char *doing, const struct hf_problem_answer *answer);
static const char *code_of_status(int status);
static void copy_member(const json_t *object, const char *name, char *out, size_t room);
static void tidy(char *text);

bool hf_problem_set(struct holdfast_error *err, const char *code, bool retryable, const char *format, ...)
{
    if (!err)
        return false;
    struct holdfast_error made = {.retryable = retryable};
    va_list args;
    va_start(args, format);
    vsnprintf(made.text, sizeof(made.text), format, args);
    va_end(args);
    snprintf(made.code, sizeof(made.code), "%s", code);
    tidy(made.text);
    *err = made;
    return false;
}

bool hf_problem_read(struct holdfast_error *err, const char *doing, const struct hf_problem_answer *answer)
{
    struct holdfast_error made = {.status = answer->status};
    snprintf(made.request_id, sizeof(made.request_id), "%s", answer->request_id);
    bool is_problem = read_members(&made, doing, answer);
    if (!is_problem)
        say_what_came(&made, doing, answer);
    if (answer->is_problem_out)
        *answer->is_problem_out = is_problem;
    if (!err)
        return false;
    tidy(made.text);
    *err = made;
    return false;
}

bool hf_problem_is(const struct holdfast_error *err, const char *code)
{
    return strcmp(err->code, code) == 0;
}

bool hf_problem_check_name(const char *what, const char *name, struct holdfast_error *err)
{
    if (!name)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "no %s is named", what);
    if (!hf_name_is_valid(name, strlen(name)))
        return hf_problem_set(
            err, HF_PROBLEM_INVALID, false,
            "\"%.140s\" is no name of %s %s: 1 to 128 letters, digits and . _ : -, the first of them a "
            "letter or a digit",
            name, strchr("aeiou", what[0]) ? "an" : "a", what);
    return true;
}

bool hf_problem_check_header(const char *what, const char *text, struct holdfast_error *err)
{
    for (const char *at = text; at && *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return hf_problem_set(err, HF_PROBLEM_INVALID, false, "%s holds a control character", what);
    return true;
}

static bool read_members(struct holdfast_error *err, const char *doing, const struct hf_problem_answer *answer)
{
    struct hf_error ignored;
    if (!answer->body || !hf_json_is_media_type(answer->content_type))
        return false;
    HF_AUTO(json) json_t *problem = hf_json_parse(answer->body, answer->bytes, &ignored);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    copy_member(problem, "code", err->code, sizeof(err->code));
    if (!detail || !err->code[0])
        return false;
    err->retryable = json_is_true(json_object_get(problem, "retryable"));
    copy_member(problem, "currentEtag", err->current_etag, sizeof(err->current_etag));
    copy_member(problem, "requestId", err->request_id, sizeof(err->request_id));
    snprintf(err->text, sizeof(err->text), "%s: %s", doing, detail);
    return true;
}

/* No problem came: an answer to HEAD has no body, and what answers may be a proxy on the way. */
static void say_what_came(struct holdfast_error *err, const char *doing, const struct hf_problem_answer *answer)
{
    int status = answer->status;
    const char *code = answer->body && answer->bytes > 0 ? NULL : code_of_status(status);
    bool away = status == 502 || status == 503 || status == 504;
    if (!code)
        code = away ? HF_PROBLEM_UNREACHABLE : HF_PROBLEM_BAD_ANSWER;
    snprintf(err->code, sizeof(err->code), "%s", code);
    err->retryable = away || status == 429;
    snprintf(err->text, sizeof(err->text), "%s: the answer was %d, without a word on why%s", doing, status,
             away ? "; the service may be behind something that does not reach it" : "");
}

static const char *code_of_status(int status)
{
    static const enum hf_code codes[] = {HF_INVALID_REQUEST, HF_UNAUTHORIZED, HF_FORBIDDEN,      HF_NOT_FOUND,
                                         HF_CONFLICT,        HF_PRECONDITION, HF_BODY_TOO_LARGE, HF_INTERNAL,
                                         HF_OVERLOADED,      HF_STORAGE_FULL};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (hf_code_status(codes[i]) == status)
            return hf_code_name(codes[i]);
    return NULL;
}

static void copy_member(const json_t *object, const char *name, char *out, size_t room)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text)
        snprintf(out, room, "%s", text);
}

/* Control characters become spaces, as the text may be printed on a terminal; a character that was cut is left out. */
static void tidy(char *text)
{
    char *end = text;
    for (; *end; end++)
        if ((unsigned char)*end < 0x20 || *end == 0x7f)
            *end = ' ';
    char *lead = end;
    while (lead > text && ((unsigned char)lead[-1] & 0xC0) == 0x80)
        lead--;
    if (lead == text || (unsigned char)lead[-1] < 0xC0)
        return;
    lead--;
    unsigned char first = (unsigned char)*lead;
    size_t whole = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if ((size_t)(end - lead) < whole)
        *lead = '\0';
}
