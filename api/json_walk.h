/* Walks over a JSON text that hf_json_check has already found good, without building values: tells where each member
 * or element lies. */
#ifndef HF_API_JSON_WALK_H
#define HF_API_JSON_WALK_H

#include <stdbool.h>
#include <stddef.h>

struct hf_json_span {
    const char *at;
    size_t bytes;
};

struct hf_json_walk {
    const char *at;
    const char *end;
};

/* Starts inside the object or array that the span holds; false when it is neither (kind is '{' or '['). */
bool hf_json_walk_enter(struct hf_json_walk *walk, struct hf_json_span span, char kind);
/* The next element; of an object also its name, as written, with quotes. False at the end. */
bool hf_json_walk_next(struct hf_json_walk *walk, struct hf_json_span *name_out, struct hf_json_span *value_out);

#endif
