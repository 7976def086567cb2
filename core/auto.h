/* Cleanup by scope: HF_AUTO(free) char *copy = strdup(x); frees copy on every way out. */
#ifndef HF_CORE_AUTO_H
#define HF_CORE_AUTO_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HF_AUTO(kind) __attribute__((__cleanup__(hf_auto_##kind)))

/* Defines the cleanup function for a pointer type whose destructor takes the pointer and accepts NULL. */
#define HF_AUTO_DEFINE(kind, type, destructor)                                                                         \
    static inline void hf_auto_##kind(type *slot)                                                                      \
    {                                                                                                                  \
        if (*slot)                                                                                                     \
            destructor(*slot);                                                                                         \
    }                                                                                                                  \
    struct hf_auto_semicolon_##kind

/* For memory of any type: HF_AUTO(free) char *text = ...; */
static inline void hf_auto_free(void *slot)
{
    void **memory = slot;
    free(*memory);
}

/* For file descriptors; -1 means none. */
static inline void hf_auto_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* Memory whose size we choose ourselves: failing to get it ends the process with a message. */
void *hf_alloc(size_t bytes); /* zeroed; owns, free() */
void *hf_realloc(void *memory, size_t bytes);
char *hf_strdup(const char *text);                /* owns, free() */
char *hf_strndup(const char *text, size_t bytes); /* owns, free() */
/* Copies the text, with its end, to *cursor and moves the cursor past it; borrows from the memory written to. */
char *hf_text_place(char **cursor, const char *text);
char *hf_format(const char *format, ...) __attribute__((format(printf, 1, 2)));               /* owns, free() */
char *hf_format_args(const char *format, va_list args) __attribute__((format(printf, 1, 0))); /* owns, free() */

#endif
