/* Memory of a size we choose ourselves: being refused it is not an error a caller could handle, so the process ends
 * with a message. What a client can size goes through hf_buf and hf_blob instead, which fail politely. */
#include "core/auto.h"

#include <stdarg.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t bytes)
{
    fprintf(stderr, "holdfast: out of memory (%zu bytes refused)\n", bytes);
    abort();
}

void *hf_alloc(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        out_of_memory(bytes);
    return memory;
}

void *hf_realloc(void *memory, size_t bytes)
{
    void *moved = realloc(memory, bytes ? bytes : 1);
    if (!moved)
        out_of_memory(bytes);
    return moved;
}

char *hf_strdup(const char *text)
{
    return hf_strndup(text, strlen(text));
}

char *hf_text_place(char **cursor, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = memcpy(*cursor, text, bytes);
    *cursor += bytes;
    return copy;
}

char *hf_strndup(const char *text, size_t bytes)
{
    size_t length = strnlen(text, bytes);
    char *copy = hf_alloc(length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *hf_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = hf_format_args(format, args);
    va_end(args);
    return text;
}

char *hf_format_args(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        out_of_memory(0);
    return text;
}
