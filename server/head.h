/* The head of a request as it lies in the connection's memory, where the HTTP library has cut it into C strings: finds
 * what the cutting hid, and how much of that memory it takes. Knows no library types, reads nothing but the head. */
#ifndef HF_SERVER_HEAD_H
#define HF_SERVER_HEAD_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

struct hf_head {
    const char *start;
    const char *end;      /* of what has been looked at */
    size_t newline_bytes; /* of this request: 2, or 1 from clients that send a bare LF; 0 until the first header */
    size_t more_bytes;    /* what the library keeps beside it */
    bool whole;
};

/* The three parts of the request line; target_bytes is its length before the library cut off the query. */
void hf_head_begin(struct hf_head *head, const char *method, const char *target, size_t target_bytes,
                   const char *version);
void hf_head_add_header(struct hf_head *head, const char *name, const char *value); /* in the order sent */
void hf_head_add_cookie(struct hf_head *head, const char *name, const char *value);

/* False: a NUL byte ended one of the strings, a header goes on in a second line or has a space before its colon, so
 * that it may have been understood otherwise than it was meant. After the last header. */
HF_MUST_USE bool hf_head_is_whole(const struct hf_head *head);
HF_MUST_USE size_t hf_head_memory_bytes(const struct hf_head *head);

#endif
