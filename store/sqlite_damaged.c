/* A range of rows that meets a bad page is halved until only rows that cannot be read are left: so a page costs its own
 * rows and no others. */
#include "store/sqlite_damaged.h"

#include "core/auto.h"
#include "store/salvage.h"
#include "store/sqlite.h"

#include <errno.h>
#include <sqlite3.h>

#define CACHE_KIB        (16 * 1024)
#define FAILED_READS_MAX 2000000 /* of one table: bounds the time that a large hole costs */
#define ROWS_A_PAGE_MAX  400

/* A table read in the order of a number, between two of its values: ?1 < number <= ?2, and ?3 for what is fixed. */
struct range_reader {
    sqlite3 *db;
    sqlite3_stmt *statement;
    hf_damaged_row_fn *each;
    void *context;
    int64_t failed_reads;
    int io_result; /* an error that is no damage; SQLITE_OK: none */
};

static char *path_unless_there(const char *path, const char *tail);
static bool is_damage(int result);
static void read_range(struct range_reader *reader, int64_t low, int64_t high);

/* The log is read, and neither copied into the file nor removed at the end. */
bool hf_damaged_open(struct hf_damaged *damaged, const char *path, struct hf_error *err)
{
    if (access(path, R_OK) != 0)
        return hf_error_errno(err, errno, "%s", path);
    damaged->log_path = path_unless_there(path, "-wal");
    damaged->index_path = path_unless_there(path, "-shm");
    int result = sqlite3_open_v2(path, &damaged->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (result != SQLITE_OK)
        return hf_sqlite_fail(damaged->db, result, err, path);
    sqlite3_extended_result_codes(damaged->db, 1);
    sqlite3_db_config(damaged->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(damaged->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    HF_AUTO(free)
    char *pragmas = hf_format("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
                              " PRAGMA query_only = ON; PRAGMA cache_size = -%d",
                              CACHE_KIB);
    result = sqlite3_exec(damaged->db, pragmas, NULL, NULL, NULL);
    return result == SQLITE_OK || hf_sqlite_fail(damaged->db, result, err, path);
}

static char *path_unless_there(const char *path, const char *tail)
{
    char *full = hf_format("%s%s", path, tail);
    if (access(full, F_OK) != 0)
        return full;
    free(full);
    return NULL;
}

void hf_damaged_close(struct hf_damaged *damaged)
{
    sqlite3_close_v2(damaged->db);
    /* What opening left behind, empty, where there was none. */
    if (damaged->log_path)
        unlink(damaged->log_path);
    if (damaged->index_path)
        unlink(damaged->index_path);
    free(damaged->log_path);
    free(damaged->index_path);
}

/* What cannot be prepared has a schema that is damaged, or older than the columns that are read. */
bool hf_damaged_prepare(struct hf_damaged *damaged, const char *sql, sqlite3_stmt **out, struct hf_error *err)
{
    int result = sqlite3_prepare_v2(damaged->db, sql, -1, out, NULL);
    if (result == SQLITE_OK)
        return true;
    hf_sqlite_fail(damaged->db, result, err, "reading the damaged database");
    if (err->code == HF_INTERNAL)
        err->code = HF_DAMAGED;
    return false;
}

bool hf_damaged_read_table(struct hf_damaged *damaged, const char *sql, int64_t fixed, int64_t high,
                           hf_damaged_row_fn *each, void *context, struct hf_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (!hf_damaged_prepare(damaged, sql, &statement, err))
        return false;
    sqlite3_bind_int64(statement, 3, fixed);
    struct range_reader reader = {damaged->db, statement, each, context, 0, SQLITE_OK};
    read_range(&reader, 0, high);
    if (reader.io_result != SQLITE_OK)
        hf_sqlite_fail(damaged->db, reader.io_result, err, "reading the damaged database");
    sqlite3_finalize(statement);
    return reader.io_result == SQLITE_OK;
}

/* Depth of the recursion: the bits of a number. */
static void read_range(struct range_reader *reader, int64_t low, int64_t high)
{
    while (low < high && reader->io_result == SQLITE_OK) {
        sqlite3_bind_int64(reader->statement, 1, low);
        sqlite3_bind_int64(reader->statement, 2, high);
        int result;
        while ((result = sqlite3_step(reader->statement)) == SQLITE_ROW) {
            int64_t number = sqlite3_column_int64(reader->statement, 0);
            if (number <= low || number > high) { /* a tree out of order could send us round in circles */
                result = SQLITE_CORRUPT;
                break;
            }
            low = number;
            reader->each(reader->context, reader->statement);
        }
        sqlite3_reset(reader->statement);
        if (result == SQLITE_DONE)
            return;
        if (!is_damage(result)) {
            reader->io_result = result;
            return;
        }
        if (++reader->failed_reads > FAILED_READS_MAX || high - low == 1)
            return;
        int64_t middle = low + (high - low) / 2;
        read_range(reader, low, middle);
        low = middle;
    }
}

static bool is_damage(int result)
{
    int primary = result & 0xff;
    return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_TOOBIG ||
           primary == SQLITE_MISMATCH || result == SQLITE_IOERR_SHORT_READ;
}

/* Where the end of the table cannot be read, its index may still say; or it is as long as the file can hold. */
bool hf_damaged_last_place(struct hf_damaged *damaged, const char *table, int64_t *out, struct hf_error *err)
{
    HF_AUTO(free) char *direct = hf_format("SELECT rowid FROM %s NOT INDEXED ORDER BY rowid DESC LIMIT 1", table);
    HF_AUTO(free)
    char *by_index = hf_format("SELECT max(rowid) FROM %s INDEXED BY sqlite_autoindex_%s_1", table, table);
    const char *const texts[] = {direct, by_index, "PRAGMA page_count"};
    for (int i = 0; i < 3; i++) {
        sqlite3_stmt *statement = NULL;
        if (!hf_damaged_prepare(damaged, texts[i], &statement, err))
            return false;
        int result = sqlite3_step(statement);
        *out = result == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
        sqlite3_finalize(statement);
        if (!is_damage(result) && result != SQLITE_ROW && result != SQLITE_DONE)
            return hf_sqlite_fail(damaged->db, result, err, "reading the damaged database");
        if (i == 2)
            *out *= ROWS_A_PAGE_MAX;
        if ((result == SQLITE_ROW || result == SQLITE_DONE) && *out >= 0 && *out <= HF_SALVAGE_NUMBER_MAX)
            return true;
    }
    return hf_error_set(err, HF_DAMAGED, "the length of table %s cannot be read", table);
}

bool hf_damaged_read_index(struct hf_damaged *damaged, const char *sql, int64_t fixed, hf_damaged_row_fn *each,
                           void *context, struct hf_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (!hf_damaged_prepare(damaged, sql, &statement, err))
        return false;
    if (sqlite3_bind_parameter_count(statement))
        sqlite3_bind_int64(statement, 1, fixed);
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        each(context, statement);
    bool ok = result == SQLITE_DONE || is_damage(result) ||
              hf_sqlite_fail(damaged->db, result, err, "reading the damaged database");
    sqlite3_finalize(statement);
    return ok;
}

bool hf_damaged_step(struct hf_damaged *damaged, sqlite3_stmt *statement, int64_t place, struct hf_error *err)
{
    sqlite3_reset(statement);
    sqlite3_bind_int64(statement, 1, place);
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        return true;
    if (result == SQLITE_DONE || is_damage(result))
        return hf_error_set(err, HF_DAMAGED, "a row of the damaged database cannot be read");
    return hf_sqlite_fail(damaged->db, result, err, "reading the damaged database");
}

bool hf_damaged_numbers(sqlite3_stmt *statement, int from, int count, int64_t *out)
{
    for (int i = 0; i < count; i++) {
        out[i] = sqlite3_column_int64(statement, from + i);
        if (sqlite3_column_type(statement, from + i) != SQLITE_INTEGER || out[i] < 0 || out[i] > HF_SALVAGE_NUMBER_MAX)
            return false;
    }
    return true;
}

const char *hf_damaged_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? text : "";
}

int64_t hf_damaged_optional(sqlite3_stmt *statement, int column)
{
    int64_t number = sqlite3_column_int64(statement, column);
    bool none = sqlite3_column_type(statement, column) == SQLITE_NULL;
    return none || number < 0 || number > HF_SALVAGE_NUMBER_MAX ? -1 : number;
}
