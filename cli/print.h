/* Text for people: what the service says is never written raw to a terminal, and numbers read as people write them. */
#ifndef HF_CLI_PRINT_H
#define HF_CLI_PRINT_H

#include "core/buf.h"
#include "core/size.h"

#include <stdint.h>

#define HF_NUMBER_BYTES 32
#define HF_AGE_BYTES    64

/* Appends text so that it cannot move a cursor, change colours or turn the reading direction: control characters
 * become \x1b, \u009b and the like, malformed UTF-8 U+FFFD. */
void hf_text_clean(struct hf_buf *out, const char *text, size_t bytes);

/* Columns that UTF-8 text takes on a terminal: 2 for East Asian wide characters and emoji, 0 for combining marks. */
size_t hf_text_width(const char *text);

/* Appends at most width columns of text; what is longer ends in "…". */
void hf_text_fit(struct hf_buf *out, const char *text, size_t width);

/* "1,247" */
void hf_number_format(int64_t number, char out[HF_NUMBER_BYTES]);

/* How long ago an instant (RFC 3339) was, as "23 minutes ago"; "never" for "". */
void hf_age_format(const char *at, int64_t now_ms, char out[HF_AGE_BYTES]);

/* Reads "90", "90s", "15m", "2h", "3d" (seconds without a letter). False: malformed, negative, or beyond 100 years. */
HF_MUST_USE bool hf_span_parse(const char *text, int64_t *ms_out);

#endif
