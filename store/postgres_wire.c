#include "store/postgres_wire.h"

#include "core/auto.h"

#include <endian.h>
#include <limits.h>
#include <string.h>

#define ARRAY_HEADER_BYTES 20 /* dimensions, has-null flag, element type, length, lower bound */
#define ELEMENT_NULL       UINT32_MAX

/* Object ids of the built-in types; fixed for ever in PostgreSQL's catalogue. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_FLOAT8 = 701,
    OID_VARCHAR = 1043,
    OID_BYTEA_ARRAY = 1001,
    OID_TEXT_ARRAY = 1009,
    OID_INT8_ARRAY = 1016,
    OID_FLOAT8_ARRAY = 1022
};

struct letter {
    char letter;
    Oid oid;
    Oid array_oid;
};
static const struct letter letters[] = {
    {'i', OID_INT8, OID_INT8_ARRAY},
    {'r', OID_FLOAT8, OID_FLOAT8_ARRAY},
    {'t', OID_TEXT, OID_TEXT_ARRAY},
    {'b', OID_BYTEA, OID_BYTEA_ARRAY},
};

static const struct letter *find_letter(char letter);
static bool check_values(const struct hf_statement_row *statement, const struct hf_value *values, int columns,
                         int row_count, struct hf_error *err);
static bool value_fits(char letter, const struct hf_value *value);
static size_t element_bytes(const struct hf_value *value);
static uint64_t number_bits(char letter, const struct hf_value *value);
static unsigned char *put_u32(unsigned char *to, uint32_t number);
static unsigned char *put_array(unsigned char *to, char letter, const struct hf_value *column, int stride, int rows);
static bool read_column(const PGresult *result, int row, int column, struct hf_value *out, struct hf_error *err);
static uint64_t read_u64(const char *from);

int hf_postgres_types(const struct hf_statement_row *statement, Oid out[HF_POSTGRES_COLUMNS_MAX])
{
    int count = (int)strlen(statement->params);
    HF_ASSERT(count <= HF_POSTGRES_COLUMNS_MAX);
    for (int i = 0; i < count; i++) {
        const struct letter *letter = find_letter(statement->params[i]);
        out[i] = statement->many ? letter->array_oid : letter->oid;
    }
    return count;
}

bool hf_postgres_params_set(struct hf_postgres_params *out, const struct hf_statement_row *statement,
                            const struct hf_value *values, int count, struct hf_error *err)
{
    out->count = 0;
    out->memory = NULL;
    if (!check_values(statement, values, count, 1, err))
        return false;
    for (int i = 0; i < count; i++) {
        out->formats[i] = 1;
        out->lengths[i] = (int)element_bytes(&values[i]);
        if (values[i].type == HF_VALUE_NULL) {
            out->values[i] = NULL;
        } else if (values[i].type == HF_VALUE_TEXT || values[i].type == HF_VALUE_BYTES) {
            out->values[i] = values[i].bytes > 0 ? values[i].data : "";
        } else {
            uint64_t bits = htobe64(number_bits(statement->params[i], &values[i]));
            memcpy(out->numbers[i], &bits, sizeof(bits));
            out->values[i] = (const char *)out->numbers[i];
        }
    }
    out->count = count;
    return true;
}

bool hf_postgres_params_set_many(struct hf_postgres_params *out, const struct hf_statement_row *statement,
                                 const struct hf_value *values, int columns, int row_count, struct hf_error *err)
{
    out->count = 0;
    out->memory = NULL;
    if (!check_values(statement, values, columns, row_count, err))
        return false;
    size_t total_bytes = 0;
    for (int column = 0; column < columns; column++) {
        size_t bytes = ARRAY_HEADER_BYTES;
        for (int row = 0; row < row_count; row++)
            bytes += sizeof(uint32_t) + element_bytes(&values[(size_t)row * (size_t)columns + (size_t)column]);
        if (bytes > INT_MAX)
            return hf_error_set(err, HF_INTERNAL, "%s: a parameter of %zu bytes is too large", statement->name, bytes);
        out->lengths[column] = (int)bytes;
        total_bytes += bytes;
    }
    unsigned char *to = malloc(total_bytes);
    if (!to)
        return hf_error_set(err, HF_INTERNAL, "%s: no memory for %zu bytes of parameters", statement->name,
                            total_bytes);
    out->memory = to;
    for (int column = 0; column < columns; column++) {
        out->formats[column] = 1;
        out->values[column] = (const char *)to;
        to = put_array(to, statement->params[column], values + column, columns, row_count);
    }
    HF_ASSERT(to == out->memory + total_bytes);
    out->count = columns;
    return true;
}

void hf_postgres_params_done(struct hf_postgres_params *params)
{
    free(params->memory);
    params->memory = NULL;
}

int hf_postgres_rows_within(const struct hf_value *values, int columns, int row_count, size_t bytes_max)
{
    size_t bytes = 0;
    for (int row = 0; row < row_count; row++) {
        for (int column = 0; column < columns; column++)
            bytes += sizeof(uint32_t) + element_bytes(&values[(size_t)row * (size_t)columns + (size_t)column]);
        if (bytes > bytes_max)
            return row > 0 ? row : 1;
    }
    return row_count;
}

bool hf_postgres_row_read(const PGresult *result, int row, struct hf_value out[HF_POSTGRES_COLUMNS_MAX], int *count_out,
                          struct hf_error *err)
{
    int count = PQnfields(result);
    HF_ASSERT(count <= HF_POSTGRES_COLUMNS_MAX);
    for (int column = 0; column < count; column++)
        if (!read_column(result, row, column, &out[column], err))
            return false;
    *count_out = count;
    return true;
}

static const struct letter *find_letter(char letter)
{
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
        if (letters[i].letter == letter)
            return &letters[i];
    HF_ASSERT(!"a parameter letter is one of i, r, t, b");
    return NULL;
}

static bool check_values(const struct hf_statement_row *statement, const struct hf_value *values, int columns,
                         int row_count, struct hf_error *err)
{
    if ((size_t)columns != strlen(statement->params))
        return hf_error_set(err, HF_INTERNAL, "%s takes %zu parameters, not %d", statement->name,
                            strlen(statement->params), columns);
    for (int row = 0; row < row_count; row++) {
        for (int column = 0; column < columns; column++) {
            const struct hf_value *value = &values[(size_t)row * (size_t)columns + (size_t)column];
            if (!value_fits(statement->params[column], value) || element_bytes(value) > INT_MAX)
                return hf_error_set(err, HF_INTERNAL, "%s: parameter %d has the wrong type or size", statement->name,
                                    column + 1);
        }
    }
    return true;
}

static bool value_fits(char letter, const struct hf_value *value)
{
    switch (value->type) {
    case HF_VALUE_NULL:
        return true;
    case HF_VALUE_INT:
        return letter == 'i' || letter == 'r';
    case HF_VALUE_REAL:
        return letter == 'r';
    case HF_VALUE_TEXT:
        return letter == 't';
    case HF_VALUE_BYTES:
        return letter == 'b';
    }
    return false;
}

static size_t element_bytes(const struct hf_value *value)
{
    switch (value->type) {
    case HF_VALUE_NULL:
        return 0;
    case HF_VALUE_INT:
    case HF_VALUE_REAL:
        return sizeof(uint64_t);
    case HF_VALUE_TEXT:
    case HF_VALUE_BYTES:
        return value->bytes;
    }
    return 0;
}

static uint64_t number_bits(char letter, const struct hf_value *value)
{
    if (letter == 'i')
        return (uint64_t)value->integer;
    double real = value->type == HF_VALUE_INT ? (double)value->integer : value->real;
    uint64_t bits;
    memcpy(&bits, &real, sizeof(bits));
    return bits;
}

static unsigned char *put_u32(unsigned char *to, uint32_t number)
{
    uint32_t bits = htobe32(number);
    memcpy(to, &bits, sizeof(bits));
    return to + sizeof(bits);
}

static unsigned char *put_array(unsigned char *to, char letter, const struct hf_value *column, int stride, int rows)
{
    unsigned char *has_null = to + sizeof(uint32_t);
    to = put_u32(to, 1);
    to = put_u32(to, 0);
    to = put_u32(to, find_letter(letter)->oid);
    to = put_u32(to, (uint32_t)rows);
    to = put_u32(to, 1);
    for (int row = 0; row < rows; row++, column += stride) {
        if (column->type == HF_VALUE_NULL) {
            put_u32(has_null, 1);
            to = put_u32(to, ELEMENT_NULL);
            continue;
        }
        size_t bytes = element_bytes(column);
        to = put_u32(to, (uint32_t)bytes);
        if (column->type == HF_VALUE_TEXT || column->type == HF_VALUE_BYTES) {
            if (bytes > 0)
                memcpy(to, column->data, bytes);
        } else {
            uint64_t bits = htobe64(number_bits(letter, column));
            memcpy(to, &bits, sizeof(bits));
        }
        to += bytes;
    }
    return to;
}

static bool read_column(const PGresult *result, int row, int column, struct hf_value *out, struct hf_error *err)
{
    if (PQgetisnull(result, row, column)) {
        *out = HF_NULL;
        return true;
    }
    const char *data = PQgetvalue(result, row, column);
    size_t bytes = (size_t)PQgetlength(result, row, column);
    switch (PQftype(result, column)) {
    case OID_INT8:
        *out = HF_INT((int64_t)read_u64(data));
        return true;
    case OID_INT4: {
        uint32_t bits;
        memcpy(&bits, data, sizeof(bits));
        *out = HF_INT((int32_t)be32toh(bits));
        return true;
    }
    case OID_BOOL:
        *out = HF_INT(data[0] != 0);
        return true;
    case OID_FLOAT8: {
        uint64_t bits = read_u64(data);
        double real;
        memcpy(&real, &bits, sizeof(real));
        *out = HF_REAL(real);
        return true;
    }
    case OID_TEXT:
    case OID_VARCHAR:
    case OID_NAME:
        *out = (struct hf_value){HF_VALUE_TEXT, bytes, {.data = data}};
        return true;
    case OID_BYTEA:
        *out = HF_BYTES(data, bytes);
        return true;
    default:
        return hf_error_set(err, HF_INTERNAL, "column %s has the unexpected type %u", PQfname(result, column),
                            PQftype(result, column));
    }
}

static uint64_t read_u64(const char *from)
{
    uint64_t bits;
    memcpy(&bits, from, sizeof(bits));
    return be64toh(bits);
}
