/* JSON in and out without altering a number: for texts that are changed in part and written again. */
#ifndef HF_CORE_JSON_EXACT_H
#define HF_CORE_JSON_EXACT_H

#include "core/buf.h"
#include "core/json.h"

#define HF_JSON_DEPTH_MAX 2048 /* levels that can be parsed, the innermost value included */

/* Parses a JSON text whose numbers a 64-bit integer or a double can hold: 12345678901234567890 and
 * 0.12345678901234567890 are refused, as writing them again would give other numbers. -0 becomes the real -0.0, so that
 * it keeps its sign. HF_INVALID_REQUEST names the line. Owns; NULL on failure. */
json_t *hf_json_parse_exact(const void *text, size_t bytes, struct hf_error *err);

/* Are they the same in every value? The order of members does not count; 1 and 1.0, 0.0 and -0.0 are different.
 * work_left, if not NULL, is lowered by one for each value looked at; below 0 the answer is false. */
bool hf_json_same(const json_t *a, const json_t *b, int64_t *work_left);

/* Appends a compact text with the members in their order and each real in the shortest form that gives it again. False
 * when it does not fit; the buffer's failed is set then. */
bool hf_json_write(struct hf_buf *out, const json_t *value);

#endif
