/* JSON Pointer (RFC 6901): the way to one value inside a JSON document. */
#ifndef HF_CORE_JSON_POINTER_H
#define HF_CORE_JSON_POINTER_H

#include "core/buf.h"
#include "core/json.h"

struct hf_json_pointer {
    char *text;          /* owns what the tokens point to */
    const char **tokens; /* unescaped, terminated */
    int count;           /* 0: the whole document */
};

/* Parses "" or "/a~1b/0". HF_INVALID_REQUEST: it does not start with a slash, ~ is not followed by 0 or 1, it holds
 * U+0000 (which no name can), or has more parts than a document has levels. out is to be freed with
 * hf_json_pointer_done, also as HF_AUTO(json_pointer), and empty after a failure. */
HF_MUST_USE bool hf_json_pointer_parse(struct hf_json_pointer *out, const char *text, size_t bytes,
                                       struct hf_error *err);
void hf_json_pointer_done(struct hf_json_pointer *pointer);

/* "0", or digits that do not start with 0: an index of an array. */
bool hf_json_token_index(const char *token, size_t *out);

/* The member or element of a container; NULL: there is none. Borrows. */
json_t *hf_json_token_get(const json_t *container, const char *token);

/* The value at the first count tokens; NULL: there is none. Borrows. */
json_t *hf_json_pointer_get(const json_t *document, const struct hf_json_pointer *pointer, int count);

/* Appends a slash and the token, escaped. */
bool hf_json_pointer_add(struct hf_buf *path, const char *token);

static inline void hf_auto_json_pointer(struct hf_json_pointer *pointer)
{
    hf_json_pointer_done(pointer);
}

#endif
