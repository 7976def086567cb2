/* Values on their way to and from PostgreSQL, in its binary formats: scalars, one-dimensional arrays, result columns.
 * Private to the PostgreSQL engine. */
#ifndef HF_STORE_POSTGRES_WIRE_H
#define HF_STORE_POSTGRES_WIRE_H

#include "store/store.h"

#include <libpq-fe.h>

#define HF_POSTGRES_COLUMNS_MAX 48 /* parameters of one statement, columns of one row */

/* The parameters of one execution, as PQsendQueryPrepared wants them. */
struct hf_postgres_params {
    int count;
    const char *values[HF_POSTGRES_COLUMNS_MAX]; /* NULL: SQL NULL */
    int lengths[HF_POSTGRES_COLUMNS_MAX];
    int formats[HF_POSTGRES_COLUMNS_MAX];
    unsigned char numbers[HF_POSTGRES_COLUMNS_MAX][8];
    unsigned char *memory; /* arrays; owned */
};

/* Types of a statement's parameters from its letters; returns how many. */
int hf_postgres_types(const struct hf_statement_row *statement, Oid out[HF_POSTGRES_COLUMNS_MAX]);

/* One row; borrows text and bytes of values. HF_INTERNAL when values do not fit the statement's letters. */
HF_MUST_USE bool hf_postgres_params_set(struct hf_postgres_params *out, const struct hf_statement_row *statement,
                                        const struct hf_value *values, int count, struct hf_error *err);

/* Many rows (row-major), as one array per column. */
HF_MUST_USE bool hf_postgres_params_set_many(struct hf_postgres_params *out, const struct hf_statement_row *statement,
                                             const struct hf_value *values, int columns, int row_count,
                                             struct hf_error *err);
void hf_postgres_params_done(struct hf_postgres_params *params); /* also HF_AUTO(postgres_params) */

/* How many of the rows, at least one, make parameters of at most bytes_max together. */
int hf_postgres_rows_within(const struct hf_value *values, int columns, int row_count, size_t bytes_max);

/* Columns of one row; text and bytes borrow from the result. HF_INTERNAL for a type that no statement should return. */
HF_MUST_USE bool hf_postgres_row_read(const PGresult *result, int row, struct hf_value out[HF_POSTGRES_COLUMNS_MAX],
                                      int *count_out, struct hf_error *err);

static inline void hf_auto_postgres_params(struct hf_postgres_params *params)
{
    hf_postgres_params_done(params);
}

#endif
