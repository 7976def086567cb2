/* JSON at the border (jansson): strict parsing with line and column, bounded depth, no duplicate keys; and readers
 * that refuse unknown fields and wrong types by name, so that a typo never passes silently. */
#ifndef HF_CORE_JSON_H
#define HF_CORE_JSON_H

#include "core/auto.h"
#include "core/error.h"

#include <jansson.h>
#include <stdint.h>

/* Seeds jansson's hash; call once before threads start. */
void hf_json_init(void);

/* Parses any JSON text (RFC 8259). HF_INVALID_REQUEST names line, column and what is wrong. */
json_t *hf_json_parse(const void *text, size_t bytes, struct hf_error *err); /* owns; NULL on failure */

/* Checks a state: well-formed UTF-8 JSON of any type, numbers of any size jansson can hold, no duplicate keys. */
HF_MUST_USE bool hf_json_check(const void *text, size_t bytes, struct hf_error *err);

/* application/json or anything +json, whatever its parameters. */
bool hf_json_is_media_type(const char *content_type);

/* Refuses fields of object that are not among the names (NULL-terminated list); also refuses non-objects. */
HF_MUST_USE bool hf_json_only_fields(const json_t *object, const char *const names[], struct hf_error *err);

/* Optional members: absent leaves *out untouched and returns true; a wrong type or range returns false and names
 * the field. */
HF_MUST_USE bool hf_json_get_text(const json_t *object, const char *name, const char **out,
                                  struct hf_error *err); /* borrows */
HF_MUST_USE bool hf_json_get_int(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *out,
                                 struct hf_error *err);
HF_MUST_USE bool hf_json_get_bool(const json_t *object, const char *name, bool *out, struct hf_error *err);
HF_MUST_USE bool hf_json_get_number(const json_t *object, const char *name, double min, double max, double *out,
                                    struct hf_error *err);

/* Compact text (owns, free()). Never NULL. */
char *hf_json_text(const json_t *value);

/* Sets a member to an instant in RFC 3339, or to null when at_ms is 0. */
void hf_json_set_time(json_t *object, const char *name, int64_t at_ms);

static inline void hf_auto_json(json_t **slot)
{
    json_decref(*slot);
}

#endif
