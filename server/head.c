#include "server/head.h"

#include <string.h>

#define HEADER_RECORD_BYTES 64 /* the library's record of one header or cookie, rounded up */

static bool is_zeros(const char *from, size_t bytes);

void hf_head_begin(struct hf_head *head, const char *method, const char *target, size_t target_bytes,
                   const char *version)
{
    *head = (struct hf_head){.start = method, .end = version + strlen(version)};
    /* One space lay between each two of them. */
    head->whole = target == method + strlen(method) + 1 && version == target + target_bytes + 1;
}

void hf_head_add_header(struct hf_head *head, const char *name, const char *value)
{
    size_t gap = (size_t)((uintptr_t)name - (uintptr_t)head->end);
    if (head->newline_bytes == 0)
        head->newline_bytes = gap;
    size_t name_bytes = strlen(name);
    if (name_bytes == 0 || name[name_bytes - 1] == ' ' || name[name_bytes - 1] == '\t')
        head->whole = false; /* a Content-Length that others may see and we do not (RFC 9112, section 5.1) */
    head->whole = head->whole && gap == head->newline_bytes && (gap == 1 || gap == 2) && is_zeros(head->end, gap);
    head->end = value + strlen(value);
    head->more_bytes += HEADER_RECORD_BYTES;
}

/* A copy. */
void hf_head_add_cookie(struct hf_head *head, const char *name, const char *value)
{
    head->more_bytes += HEADER_RECORD_BYTES + strlen(name) + strlen(value) + 4;
}

/* The last line ends twice, the second time for the empty line. */
bool hf_head_is_whole(const struct hf_head *head)
{
    return head->whole && is_zeros(head->end, 2 * head->newline_bytes);
}

size_t hf_head_memory_bytes(const struct hf_head *head)
{
    return (size_t)((uintptr_t)head->end - (uintptr_t)head->start) + head->more_bytes;
}

static bool is_zeros(const char *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (from[i] != '\0')
            return false;
    return true;
}
