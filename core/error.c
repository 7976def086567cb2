/* The error table's columns and the three ways to fill an error. */
#include "core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct code_row {
    const char *name;
    int status;
    bool retryable;
    const char *title;
};

static const struct code_row code_rows[] = {
#define X(code, name, status, retryable, title) [code] = {name, status, retryable, title},
    HF_CODE_TABLE(X)
#undef X
};

static const struct code_row *row_of(enum hf_code code);
static void join_text(struct hf_error *err, const char *first, const char *second);

bool hf_error_set(struct hf_error *err, enum hf_code code, const char *format, ...)
{
    /* Formatted aside: the arguments may point into err->text. */
    char text[sizeof(err->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    err->code = code;
    memcpy(err->text, text, sizeof(text));
    return false;
}

bool hf_error_wrap(struct hf_error *err, const char *format, ...)
{
    char prefix[sizeof(err->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof(prefix), format, args);
    va_end(args);
    join_text(err, prefix, err->text);
    return false;
}

bool hf_error_errno(struct hf_error *err, int error_number, const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    char reason[128];
    err->code = error_number == ENOSPC || error_number == EDQUOT ? HF_STORAGE_FULL : HF_IO;
    join_text(err, text, strerror_r(error_number, reason, sizeof(reason)));
    return false;
}

const char *hf_code_name(enum hf_code code)
{
    return row_of(code)->name;
}

const char *hf_code_title(enum hf_code code)
{
    return row_of(code)->title;
}

int hf_code_status(enum hf_code code)
{
    return row_of(code)->status;
}

bool hf_code_retryable(enum hf_code code)
{
    return row_of(code)->retryable;
}

void hf_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "holdfast: %s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}

static const struct code_row *row_of(enum hf_code code)
{
    HF_ASSERT((unsigned)code < HF_CODE_COUNT);
    return &code_rows[code];
}

/* err->text = "first: second", cut at its size; either part may be err->text itself. */
static void join_text(struct hf_error *err, const char *first, const char *second)
{
    char text[sizeof(err->text)];
    size_t used = strnlen(first, sizeof(text) - 1);
    memcpy(text, first, used);
    const char *const parts[] = {": ", second};
    for (int i = 0; i < 2; i++) {
        size_t bytes = strnlen(parts[i], sizeof(text) - 1 - used);
        memcpy(text + used, parts[i], bytes);
        used += bytes;
    }
    memcpy(err->text, text, used);
    err->text[used] = '\0';
}
