/* A table for people: columns aligned by what they take on a terminal. Where the terminal is too narrow, columns that
 * may shrink do, and then those of the least importance are left out; in a pipe nothing is. */
#ifndef HF_CLI_TABLE_H
#define HF_CLI_TABLE_H

#include "cli/pen.h"

struct hf_table;

struct hf_column {
    const char *title;
    bool right;   /* numbers */
    bool shrinks; /* may be cut */
    int rank;     /* 0: always shown; the highest is left out first */
};

/* columns are borrowed until hf_table_free. */
struct hf_table *hf_table_new(const struct hf_column *columns, size_t count);
void hf_table_free(struct hf_table *table); /* also NULL */

/* Adds the next cell of the present row; a row is full with its last column. The text is copied and cleaned. */
void hf_table_add(struct hf_table *table, enum hf_style style, const char *format, ...) HF_PRINTF(3, 4);
void hf_table_write(const struct hf_table *table, const struct hf_pen *pen, size_t indent);

static inline void hf_auto_table(struct hf_table **slot)
{
    hf_table_free(*slot);
}

#endif
