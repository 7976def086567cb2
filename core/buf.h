/* A growing byte buffer that cannot exist without its maximum. Always terminated by a NUL that does not count. */
#ifndef HF_CORE_BUF_H
#define HF_CORE_BUF_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

struct hf_buf {
    char *data;       /* NULL until the first byte */
    size_t bytes;     /* used */
    size_t capacity;  /* allocated */
    size_t bytes_max; /* never grows past this */
    bool failed;      /* an append did not fit or memory ran out; stays set until reset */
};

void hf_buf_init(struct hf_buf *buf, size_t bytes_max);
void hf_buf_done(struct hf_buf *buf);  /* frees; also as HF_AUTO(buf) struct hf_buf b */
void hf_buf_reset(struct hf_buf *buf); /* keeps the memory, forgets content and failure */

/* Appends; false when it would pass the maximum (content stays as it was and failed is set). */
bool hf_buf_add(struct hf_buf *buf, const void *data, size_t bytes);
bool hf_buf_add_text(struct hf_buf *buf, const char *text);
bool hf_buf_add_char(struct hf_buf *buf, char c);
bool hf_buf_add_format(struct hf_buf *buf, const char *format, ...) HF_PRINTF(2, 3);
bool hf_buf_add_u64(struct hf_buf *buf, uint64_t value); /* decimal; cheap */

/* Appends text as a JSON string with its quotes (RFC 8259); invalid UTF-8 becomes U+FFFD. */
bool hf_buf_add_json_string(struct hf_buf *buf, const char *text, size_t bytes);

/* Reserves room for more bytes and returns where they go; the caller then adds to ->bytes. NULL past the maximum. */
char *hf_buf_reserve(struct hf_buf *buf, size_t more_bytes);

/* Hands the memory over (owns, free()); the buffer is empty afterwards. Never NULL unless failed. */
char *hf_buf_take(struct hf_buf *buf, size_t *bytes_out);

static inline void hf_auto_buf(struct hf_buf *buf)
{
    hf_buf_done(buf);
}

#endif
