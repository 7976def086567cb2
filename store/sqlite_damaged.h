/* A damaged SQLite database, opened to be read row by row and never written. What it says is not believed: see
 * store/salvage.h. Private to store/sqlite*.c.
 *
 * A row that cannot be read is passed over; a table fails only for what is no damage (HF_STORE_DOWN), or where its
 * schema cannot be read (HF_DAMAGED). */
#ifndef HF_STORE_SQLITE_DAMAGED_H
#define HF_STORE_SQLITE_DAMAGED_H

#include "core/error.h"

#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;

struct hf_damaged {
    struct sqlite3 *db;
    char *log_path, *index_path; /* owns; NULL: was there before */
};

typedef void hf_damaged_row_fn(void *context, struct sqlite3_stmt *statement);

/* damaged is zeroed, and is to be closed also on failure. */
HF_MUST_USE bool hf_damaged_open(struct hf_damaged *damaged, const char *path, struct hf_error *err);
void hf_damaged_close(struct hf_damaged *damaged); /* accepts a zeroed one */

HF_MUST_USE bool hf_damaged_prepare(struct hf_damaged *damaged, const char *sql, struct sqlite3_stmt **out,
                                    struct hf_error *err);

/* A table in the order of a number, its first column, up to high: the statement's ?1 < number <= ?2, and ?3 is fixed.
 */
HF_MUST_USE bool hf_damaged_read_table(struct hf_damaged *damaged, const char *sql, int64_t fixed, int64_t high,
                                       hf_damaged_row_fn *each, void *context, struct hf_error *err);

/* Rows of an index in its order, until it cannot be read on: what names are left where their rows are not. ?1, if there
 * is one, is fixed. */
HF_MUST_USE bool hf_damaged_read_index(struct hf_damaged *damaged, const char *sql, int64_t fixed,
                                       hf_damaged_row_fn *each, void *context, struct hf_error *err);

/* No row of the table has a greater rowid. */
HF_MUST_USE bool hf_damaged_last_place(struct hf_damaged *damaged, const char *table, int64_t *out,
                                       struct hf_error *err);

/* Whether the statement gave its one row; false with HF_DAMAGED, or another code for what is no damage. */
HF_MUST_USE bool hf_damaged_step(struct hf_damaged *damaged, struct sqlite3_stmt *statement, int64_t place,
                                 struct hf_error *err);

/* Columns of the row at hand. numbers: false unless all are whole, not negative and at most HF_SALVAGE_NUMBER_MAX. */
bool hf_damaged_numbers(struct sqlite3_stmt *statement, int from, int count, int64_t *out);
const char *hf_damaged_text(struct sqlite3_stmt *statement, int column); /* "" for NULL; until the next step */
int64_t hf_damaged_optional(struct sqlite3_stmt *statement, int column); /* -1: none, or no such number */

#endif
