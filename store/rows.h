/* What the row modules share (private to store/): columns read in order, and numbers for which negative means NULL. */
#ifndef HF_STORE_ROWS_H
#define HF_STORE_ROWS_H

#include "core/arena.h"
#include "store/store.h"

/* Reads columns one after the other, as the statement lists them. */
struct hf_columns {
    const struct hf_value *next;
};

static inline int64_t hf_columns_int(struct hf_columns *columns)
{
    return hf_value_int(columns->next++);
}

static inline int64_t hf_columns_optional_int(struct hf_columns *columns) /* -1 for NULL */
{
    const struct hf_value *value = columns->next++;
    return value->type == HF_VALUE_NULL ? -1 : hf_value_int(value);
}

static inline double hf_columns_optional_real(struct hf_columns *columns) /* -1 for NULL */
{
    const struct hf_value *value = columns->next++;
    return value->type == HF_VALUE_NULL ? -1 : hf_value_real(value);
}

static inline const char *hf_columns_text(struct hf_columns *columns) /* "" for NULL */
{
    return hf_value_text(columns->next++);
}

static inline void hf_columns_hash(struct hf_columns *columns, struct hf_hash *out) /* zero when it is none */
{
    (void)hf_value_hash(columns->next++, out);
}

static inline struct hf_value hf_optional_int(int64_t number)
{
    return number < 0 ? HF_NULL : HF_INT(number);
}

static inline struct hf_value hf_optional_real(double number)
{
    return number < 0 ? HF_NULL : HF_REAL(number);
}

/* Columns that may not be NULL. */
static inline struct hf_value hf_text_or(const char *text, const char *fallback)
{
    return HF_TEXT(text ? text : fallback);
}

#endif
