/* Reading a damaged database. A range of rows that meets a bad page is halved until only rows that cannot be read are
 * left: so a page costs its own rows and no others. */
#include "store/salvage.h"

#include "core/auto.h"
#include "store/rows.h"
#include "store/sqlite.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#define CACHE_KIB         (16 * 1024)
#define FAILED_READS_MAX  2000000 /* of one table: bounds the time that a large hole costs */
#define ROWS_A_PAGE_MAX   400
#define UNKNOWN_IDS_MAX   65536 /* ids looked at when the largest cannot be read */
#define CONTENT_BYTES_MAX (INT64_C(4) << 30)

struct chunk {
    int64_t system_id, sequence, index, place;
};

struct hf_salvage {
    sqlite3 *db;
    char *log_path, *index_path; /* NULL: was there before */
    struct hf_salvage_row *rows; /* owns */
    int64_t row_count, row_capacity;
    struct chunk *chunks; /* owns */
    int64_t chunk_count, chunk_capacity;
    sqlite3_stmt *state, *content, *chunk;
};

/* A table read in the order of a number, between two of its values: ?1 < number <= ?2, and ?3 for what is fixed. */
struct range_reader {
    sqlite3 *db;
    sqlite3_stmt *statement;
    void (*each)(void *context, sqlite3_stmt *statement);
    void *context;
    int64_t failed_reads;
    int io_result; /* an error that is no damage; SQLITE_OK: none */
};

static bool connect_read_only(struct hf_salvage *salvage, const char *path, struct hf_error *err);
static char *path_unless_there(const char *path, const char *tail);
static bool prepare(struct hf_salvage *salvage, const char *sql, sqlite3_stmt **out, struct hf_error *err);
static bool read_table(struct hf_salvage *salvage, const char *sql, int64_t fixed, int64_t low, int64_t high,
                       void (*each)(void *context, sqlite3_stmt *statement), void *context, struct hf_error *err);
static void read_range(struct range_reader *reader, int64_t low, int64_t high);
static bool highest_place(struct hf_salvage *salvage, const char *table, int64_t *out, struct hf_error *err);
static void add_row(void *context, sqlite3_stmt *statement);
static void add_chunk(void *context, sqlite3_stmt *statement);
static int compare_rows(const void *a, const void *b);
static int compare_chunks(const void *a, const void *b);
static const struct hf_salvage_row *find_row(const struct hf_salvage *salvage, int64_t system_id, int64_t sequence);
static bool read_inline(struct hf_salvage *salvage, int64_t place, int64_t bytes, struct hf_blob **out,
                        struct hf_error *err);
static bool read_chunks(struct hf_salvage *salvage, const struct hf_salvage_row *holder, int64_t bytes,
                        struct hf_blob **out, struct hf_error *err);
static bool is_printable(const char *text, size_t bytes_max);

bool hf_salvage_open(struct hf_salvage **out, const char *path, struct hf_error *err)
{
    struct hf_salvage *salvage = hf_alloc(sizeof(*salvage));
    int64_t rows_high = 0, chunks_high = 0;
    bool ok =
        connect_read_only(salvage, path, err) &&
        prepare(salvage,
                "SELECT hash, bytes, content_type, committed_at_ms, event, deleted, system_id, sequence, component_id,"
                " version, origin_system_id, origin_sequence FROM component_states NOT INDEXED WHERE rowid = ?1",
                &salvage->state, err) &&
        prepare(salvage, "SELECT content FROM component_states NOT INDEXED WHERE rowid = ?1", &salvage->content, err) &&
        prepare(salvage,
                "SELECT content, system_id, sequence, chunk_index FROM state_chunks NOT INDEXED WHERE rowid = ?1",
                &salvage->chunk, err) &&
        highest_place(salvage, "component_states", &rows_high, err) &&
        highest_place(salvage, "state_chunks", &chunks_high, err) &&
        read_table(salvage,
                   "SELECT rowid, system_id, sequence, component_id, version, previous_sequence, epoch FROM"
                   " component_states NOT INDEXED WHERE rowid > ?1 AND rowid <= ?2 AND ?3 = 0 ORDER BY rowid",
                   0, 0, rows_high, add_row, salvage, err) &&
        read_table(salvage,
                   "SELECT rowid, system_id, sequence, chunk_index FROM state_chunks NOT INDEXED"
                   " WHERE rowid > ?1 AND rowid <= ?2 AND ?3 = 0 ORDER BY rowid",
                   0, 0, chunks_high, add_chunk, salvage, err);
    if (!ok) {
        hf_salvage_close(salvage);
        return false;
    }
    if (salvage->row_count)
        qsort(salvage->rows, (size_t)salvage->row_count, sizeof(salvage->rows[0]), compare_rows);
    if (salvage->chunk_count)
        qsort(salvage->chunks, (size_t)salvage->chunk_count, sizeof(salvage->chunks[0]), compare_chunks);
    *out = salvage;
    return true;
}

void hf_salvage_close(struct hf_salvage *salvage)
{
    if (!salvage)
        return;
    sqlite3_finalize(salvage->state);
    sqlite3_finalize(salvage->content);
    sqlite3_finalize(salvage->chunk);
    sqlite3_close_v2(salvage->db);
    /* What opening left behind, empty, where there was none. */
    if (salvage->log_path)
        unlink(salvage->log_path);
    if (salvage->index_path)
        unlink(salvage->index_path);
    free(salvage->log_path);
    free(salvage->index_path);
    free(salvage->rows);
    free(salvage->chunks);
    free(salvage);
}

const struct hf_salvage_row *hf_salvage_rows(const struct hf_salvage *salvage, int64_t *count_out)
{
    *count_out = salvage->row_count;
    return salvage->rows;
}

/* Read-only: the log is read, and neither copied into the file nor removed at the end. */
static bool connect_read_only(struct hf_salvage *salvage, const char *path, struct hf_error *err)
{
    if (access(path, R_OK) != 0)
        return hf_error_errno(err, errno, "%s", path);
    salvage->log_path = path_unless_there(path, "-wal");
    salvage->index_path = path_unless_there(path, "-shm");
    int result = sqlite3_open_v2(path, &salvage->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (result != SQLITE_OK)
        return hf_sqlite_fail(salvage->db, result, err, path);
    sqlite3_extended_result_codes(salvage->db, 1);
    sqlite3_db_config(salvage->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(salvage->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    HF_AUTO(free)
    char *pragmas = hf_format("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
                              " PRAGMA query_only = ON; PRAGMA cache_size = -%d",
                              CACHE_KIB);
    result = sqlite3_exec(salvage->db, pragmas, NULL, NULL, NULL);
    return result == SQLITE_OK || hf_sqlite_fail(salvage->db, result, err, path);
}

static char *path_unless_there(const char *path, const char *tail)
{
    char *full = hf_format("%s%s", path, tail);
    if (access(full, F_OK) != 0)
        return full;
    free(full);
    return NULL;
}

/* What cannot be prepared has a schema that is damaged, or older than the columns that are read. */
static bool prepare(struct hf_salvage *salvage, const char *sql, sqlite3_stmt **out, struct hf_error *err)
{
    int result = sqlite3_prepare_v2(salvage->db, sql, -1, out, NULL);
    if (result == SQLITE_OK)
        return true;
    hf_sqlite_fail(salvage->db, result, err, "reading the damaged database");
    if (err->code == HF_INTERNAL)
        err->code = HF_DAMAGED;
    return false;
}

static bool is_damage(int result)
{
    int primary = result & 0xff;
    return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_TOOBIG ||
           primary == SQLITE_MISMATCH || result == SQLITE_IOERR_SHORT_READ;
}

static bool read_table(struct hf_salvage *salvage, const char *sql, int64_t fixed, int64_t low, int64_t high,
                       void (*each)(void *context, sqlite3_stmt *statement), void *context, struct hf_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (!prepare(salvage, sql, &statement, err))
        return false;
    sqlite3_bind_int64(statement, 3, fixed);
    struct range_reader reader = {salvage->db, statement, each, context, 0, SQLITE_OK};
    read_range(&reader, low, high);
    if (reader.io_result != SQLITE_OK)
        hf_sqlite_fail(salvage->db, reader.io_result, err, "reading the damaged database");
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

/* Where the end of the table cannot be read, its index may still say; or it is as long as the file can hold. */
static bool highest_place(struct hf_salvage *salvage, const char *table, int64_t *out, struct hf_error *err)
{
    HF_AUTO(free) char *direct = hf_format("SELECT rowid FROM %s NOT INDEXED ORDER BY rowid DESC LIMIT 1", table);
    HF_AUTO(free)
    char *by_index = hf_format("SELECT max(rowid) FROM %s INDEXED BY sqlite_autoindex_%s_1", table, table);
    const char *const texts[] = {direct, by_index, "PRAGMA page_count"};
    for (int i = 0; i < 3; i++) {
        sqlite3_stmt *statement = NULL;
        if (!prepare(salvage, texts[i], &statement, err))
            return false;
        int result = sqlite3_step(statement);
        *out = result == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
        sqlite3_finalize(statement);
        if (!is_damage(result) && result != SQLITE_ROW && result != SQLITE_DONE)
            return hf_sqlite_fail(salvage->db, result, err, "reading the damaged database");
        if (i == 2)
            *out *= ROWS_A_PAGE_MAX;
        if ((result == SQLITE_ROW || result == SQLITE_DONE) && *out >= 0 && *out <= HF_SALVAGE_NUMBER_MAX)
            return true;
    }
    return hf_error_set(err, HF_DAMAGED, "the length of table %s cannot be read", table);
}

static bool take_numbers(sqlite3_stmt *statement, int from, int count, int64_t *out)
{
    for (int i = 0; i < count; i++) {
        out[i] = sqlite3_column_int64(statement, from + i);
        if (sqlite3_column_type(statement, from + i) != SQLITE_INTEGER || out[i] < 0 || out[i] > HF_SALVAGE_NUMBER_MAX)
            return false;
    }
    return true;
}

static void add_row(void *context, sqlite3_stmt *statement)
{
    struct hf_salvage *salvage = context;
    int64_t numbers[6];
    if (!take_numbers(statement, 1, 6, numbers) || numbers[1] == 0 || numbers[3] == 0)
        return;
    if (salvage->row_count == salvage->row_capacity) {
        salvage->row_capacity = salvage->row_capacity ? salvage->row_capacity * 2 : 1024;
        salvage->rows = hf_realloc(salvage->rows, (size_t)salvage->row_capacity * sizeof(salvage->rows[0]));
    }
    salvage->rows[salvage->row_count++] = (struct hf_salvage_row){
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], sqlite3_column_int64(statement, 0)};
}

static void add_chunk(void *context, sqlite3_stmt *statement)
{
    struct hf_salvage *salvage = context;
    int64_t numbers[3];
    if (!take_numbers(statement, 1, 3, numbers))
        return;
    if (salvage->chunk_count == salvage->chunk_capacity) {
        salvage->chunk_capacity = salvage->chunk_capacity ? salvage->chunk_capacity * 2 : 1024;
        salvage->chunks = hf_realloc(salvage->chunks, (size_t)salvage->chunk_capacity * sizeof(salvage->chunks[0]));
    }
    salvage->chunks[salvage->chunk_count++] =
        (struct chunk){numbers[0], numbers[1], numbers[2], sqlite3_column_int64(statement, 0)};
}

static int compare_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_rows(const void *a, const void *b)
{
    const struct hf_salvage_row *left = a, *right = b;
    int order = compare_numbers(left->system_id, right->system_id);
    return order ? order : compare_numbers(left->sequence, right->sequence);
}

static int compare_chunks(const void *a, const void *b)
{
    const struct chunk *left = a, *right = b;
    int order = compare_numbers(left->system_id, right->system_id);
    order = order ? order : compare_numbers(left->sequence, right->sequence);
    return order ? order : compare_numbers(left->index, right->index);
}

struct system_list {
    hf_system_row_fn *each;
    void *context;
    int64_t *ids; /* owns: told already */
    int64_t count, capacity;
};

static const char *text_of(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? text : "";
}

static int64_t optional_of(sqlite3_stmt *statement, int column)
{
    int64_t number = sqlite3_column_int64(statement, column);
    bool none = sqlite3_column_type(statement, column) == SQLITE_NULL;
    return none || number < 0 || number > HF_SALVAGE_NUMBER_MAX ? -1 : number;
}

static bool is_told(struct system_list *list, int64_t id)
{
    for (int64_t i = 0; i < list->count; i++) {
        if (list->ids[i] == id)
            return true;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 64;
        list->ids = hf_realloc(list->ids, (size_t)list->capacity * sizeof(list->ids[0]));
    }
    list->ids[list->count++] = id;
    return false;
}

static void tell_system(void *context, sqlite3_stmt *statement)
{
    struct system_list *list = context;
    int64_t numbers[2], times[2];
    if (!take_numbers(statement, 3, 2, numbers) || !take_numbers(statement, 8, 2, times))
        return;
    struct hf_system_row row = {.id = sqlite3_column_int64(statement, 0),
                                .name = text_of(statement, 1),
                                .description = text_of(statement, 2),
                                .sequence = numbers[0],
                                .epoch = numbers[1],
                                .backup_interval_ms = optional_of(statement, 5),
                                .incremental_interval_ms = optional_of(statement, 6),
                                .max_retention_hours = optional_of(statement, 7),
                                .created_at_ms = times[0],
                                .committed_at_ms = times[1]};
    if (!is_told(list, row.id))
        list->each(list->context, &row);
}

static void tell_system_name(void *context, sqlite3_stmt *statement)
{
    struct system_list *list = context;
    struct hf_system_row row = {.id = sqlite3_column_int64(statement, 0),
                                .name = text_of(statement, 1),
                                .description = "",
                                .sequence = -1,
                                .backup_interval_ms = -1,
                                .incremental_interval_ms = -1,
                                .max_retention_hours = -1};
    if (row.id > 0 && row.id <= HF_SALVAGE_NUMBER_MAX && !is_told(list, row.id))
        list->each(list->context, &row);
}

/* Rows of an index in its order, until it cannot be read on: what names are left where their rows are not. */
static bool read_names(struct hf_salvage *salvage, const char *sql, int64_t fixed,
                       void (*each)(void *context, sqlite3_stmt *statement), void *context, struct hf_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (!prepare(salvage, sql, &statement, err))
        return false;
    if (sqlite3_bind_parameter_count(statement))
        sqlite3_bind_int64(statement, 1, fixed);
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        each(context, statement);
    bool ok = result == SQLITE_DONE || is_damage(result) ||
              hf_sqlite_fail(salvage->db, result, err, "reading the damaged database");
    sqlite3_finalize(statement);
    return ok;
}

bool hf_salvage_systems(struct hf_salvage *salvage, hf_system_row_fn *each, void *context, struct hf_error *err)
{
    struct system_list list = {.each = each, .context = context};
    int64_t high = UNKNOWN_IDS_MAX;
    for (int64_t i = 0; i < salvage->row_count; i++) {
        if (salvage->rows[i].system_id > high && salvage->rows[i].system_id < INT32_MAX)
            high = salvage->rows[i].system_id;
    }
    bool ok = read_table(salvage,
                         "SELECT id, name, description, sequence, epoch, backup_interval_ms, incremental_interval_ms,"
                         " max_retention_hours, created_at_ms, committed_at_ms FROM systems NOT INDEXED"
                         " WHERE id > ?1 AND id <= ?2 AND ?3 = 0 ORDER BY id",
                         0, 0, high, tell_system, &list, err) &&
              read_names(salvage, "SELECT id, name FROM systems INDEXED BY sqlite_autoindex_systems_1 ORDER BY name", 0,
                         tell_system_name, &list, err);
    free(list.ids);
    return ok;
}

struct component_list {
    int64_t system_id;
    hf_component_row_fn *each;
    void *context;
    bool *told; /* owns; by id */
    int64_t id_max;
};

static void tell_component(void *context, sqlite3_stmt *statement)
{
    struct component_list *list = context;
    struct hf_component_row row = {.system_id = list->system_id};
    int64_t numbers[8];
    row.component_id = sqlite3_column_int64(statement, 0);
    if (!take_numbers(statement, 6, 8, numbers) || row.component_id <= 0 || row.component_id > list->id_max)
        return;
    row.name = text_of(statement, 1);
    row.kind = text_of(statement, 2);
    row.depends_on = text_of(statement, 3);
    row.required_pointers = text_of(statement, 4);
    row.content_type = "";
    if (sqlite3_column_bytes(statement, 5) == HF_HASH_BYTES)
        memcpy(row.hash.bytes, sqlite3_column_blob(statement, 5), HF_HASH_BYTES);
    row.heartbeat_interval_ms = numbers[0];
    row.registered_at_ms = numbers[1];
    row.version = numbers[2];
    row.sequence = numbers[3];
    row.bytes = numbers[4];
    row.committed_at_ms = numbers[5];
    row.deleted = numbers[6] != 0;
    row.created_at_ms = numbers[7];
    list->told[row.component_id] = true;
    list->each(list->context, &row);
}

static void tell_component_name(void *context, sqlite3_stmt *statement)
{
    struct component_list *list = context;
    struct hf_component_row row = {.system_id = list->system_id,
                                   .component_id = sqlite3_column_int64(statement, 0),
                                   .name = text_of(statement, 1),
                                   .kind = "",
                                   .depends_on = "[]",
                                   .required_pointers = "[]",
                                   .content_type = "",
                                   .version = -1};
    if (row.component_id <= 0 || row.component_id > list->id_max || list->told[row.component_id])
        return;
    list->told[row.component_id] = true;
    list->each(list->context, &row);
}

bool hf_salvage_components(struct hf_salvage *salvage, int64_t system_id, int64_t id_max, hf_component_row_fn *each,
                           void *context, struct hf_error *err)
{
    struct component_list list = {system_id, each, context, hf_alloc((size_t)id_max + 1), id_max};
    bool ok = read_table(salvage,
                         "SELECT component_id, name, kind, depends_on, required_pointers, hash, heartbeat_interval_ms,"
                         " registered_at_ms, version, sequence, bytes, committed_at_ms, deleted, created_at_ms"
                         " FROM component_state_tracking NOT INDEXED WHERE system_id = ?3 AND component_id > ?1"
                         " AND component_id <= ?2 ORDER BY component_id",
                         system_id, 0, id_max, tell_component, &list, err) &&
              read_names(salvage,
                         "SELECT component_id, name FROM component_state_tracking INDEXED BY"
                         " component_state_tracking_name WHERE system_id = ?1 ORDER BY name",
                         system_id, tell_component_name, &list, err);
    free(list.told);
    return ok;
}

static const struct hf_salvage_row *find_row(const struct hf_salvage *salvage, int64_t system_id, int64_t sequence)
{
    const struct hf_salvage_row wanted = {.system_id = system_id, .sequence = sequence};
    return salvage->row_count
               ? bsearch(&wanted, salvage->rows, (size_t)salvage->row_count, sizeof(wanted), compare_rows)
               : NULL;
}

static bool refuse(const struct hf_salvage_row *row, struct hf_error *err)
{
    return hf_error_set(err, HF_DAMAGED, "the row of sequence %lld (version %lld) cannot be read or proves wrong",
                        (long long)row->sequence, (long long)row->version);
}

/* Whether the statement gave its one row; false with HF_DAMAGED, or another code for what is no damage. */
static bool step_to(struct hf_salvage *salvage, sqlite3_stmt *statement, int64_t place, struct hf_error *err)
{
    sqlite3_reset(statement);
    sqlite3_bind_int64(statement, 1, place);
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        return true;
    if (result == SQLITE_DONE || is_damage(result))
        return hf_error_set(err, HF_DAMAGED, "a row of the damaged database cannot be read");
    return hf_sqlite_fail(salvage->db, result, err, "reading the damaged database");
}

/* The metadata, which is checked against what the scan saw; then the content, wherever it is. */
bool hf_salvage_read(struct hf_salvage *salvage, const struct hf_salvage_row *row, struct hf_state_row *row_out,
                     struct hf_state_text *storage, struct hf_blob **blob_out, struct hf_error *err)
{
    sqlite3_stmt *state = salvage->state;
    int64_t numbers[4], bytes, committed_at_ms, deleted;
    if (!step_to(salvage, state, row->place, err))
        return false;
    const char *type = text_of(state, 2), *event = text_of(state, 4);
    bool has_event = sqlite3_column_type(state, 4) == SQLITE_TEXT;
    bool sound = take_numbers(state, 6, 4, numbers) && numbers[0] == row->system_id && numbers[1] == row->sequence &&
                 numbers[2] == row->component_id && numbers[3] == row->version && take_numbers(state, 1, 1, &bytes) &&
                 take_numbers(state, 3, 1, &committed_at_ms) && take_numbers(state, 5, 1, &deleted) && deleted <= 1 &&
                 bytes <= CONTENT_BYTES_MAX && sqlite3_column_bytes(state, 0) == HF_HASH_BYTES &&
                 is_printable(type, sizeof(storage->content_type));
    if (!sound)
        return refuse(row, err);
    *row_out = (struct hf_state_row){.system_id = row->system_id,
                                     .sequence = row->sequence,
                                     .component_id = row->component_id,
                                     .version = row->version,
                                     .previous_sequence = row->previous_sequence,
                                     .epoch = row->epoch,
                                     .bytes = bytes,
                                     .content_type = storage->content_type,
                                     .committed_at_ms = committed_at_ms,
                                     .deleted = deleted != 0};
    memcpy(row_out->hash.bytes, sqlite3_column_blob(state, 0), HF_HASH_BYTES);
    snprintf(storage->content_type, sizeof(storage->content_type), "%s", type);
    if (has_event && is_printable(event, sizeof(storage->event))) {
        snprintf(storage->event, sizeof(storage->event), "%s", event);
        row_out->event = storage->event;
    }
    *blob_out = NULL;
    static const struct hf_hash none;
    if (row_out->deleted)
        return (bytes == 0 && hf_hash_equal(&row_out->hash, &none)) || refuse(row, err);
    bool shared = sqlite3_column_type(state, 10) != SQLITE_NULL;
    const struct hf_salvage_row *holder =
        shared ? find_row(salvage, sqlite3_column_int64(state, 10), sqlite3_column_int64(state, 11)) : row;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    if (!holder)
        return refuse(row, err);
    if (!read_inline(salvage, holder->place, bytes, &blob, err) ||
        (!blob && !read_chunks(salvage, holder, bytes, &blob, err)))
        return false;
    struct hf_hash hash;
    hf_hash_of(blob->data, blob->bytes, &hash);
    if (blob->bytes != (size_t)bytes || !hf_hash_equal(&hash, &row_out->hash))
        return refuse(row, err);
    row_out->content = blob->data;
    *blob_out = blob;
    blob = NULL;
    return true;
}

/* *out stays NULL when the content is in chunks. */
static bool read_inline(struct hf_salvage *salvage, int64_t place, int64_t bytes, struct hf_blob **out,
                        struct hf_error *err)
{
    if (!step_to(salvage, salvage->content, place, err))
        return false;
    bool ok = true;
    if (sqlite3_column_type(salvage->content, 0) != SQLITE_NULL) {
        const void *data = sqlite3_column_blob(salvage->content, 0);
        size_t found = (size_t)sqlite3_column_bytes(salvage->content, 0);
        if (found != (size_t)bytes || (found && !data))
            ok = hf_error_set(err, HF_DAMAGED, "a content of the damaged database cannot be read");
        else if (!(*out = hf_blob_copy(data ? data : "", found)))
            ok = hf_error_set(err, HF_OVERLOADED, "no memory for a state of %lld bytes", (long long)bytes);
    }
    sqlite3_reset(salvage->content);
    return ok;
}

static bool read_chunks(struct hf_salvage *salvage, const struct hf_salvage_row *holder, int64_t bytes,
                        struct hf_blob **out, struct hf_error *err)
{
    int64_t low = 0, high = salvage->chunk_count;
    while (low < high) { /* the first of them */
        int64_t middle = low + (high - low) / 2;
        const struct chunk *chunk = &salvage->chunks[middle];
        if (chunk->system_id < holder->system_id ||
            (chunk->system_id == holder->system_id && chunk->sequence < holder->sequence))
            low = middle + 1;
        else
            high = middle;
    }
    /* Memory is taken only for what can be there. */
    int64_t last = low;
    while (last < salvage->chunk_count && salvage->chunks[last].system_id == holder->system_id &&
           salvage->chunks[last].sequence == holder->sequence)
        last++;
    if (bytes > (last - low) * (int64_t)HF_STATE_CHUNK_BYTES)
        return refuse(holder, err);
    HF_AUTO(blob) struct hf_blob *blob = hf_blob_new((size_t)bytes);
    if (!blob)
        return hf_error_set(err, HF_OVERLOADED, "no memory for a state of %lld bytes", (long long)bytes);
    for (; low < last; low++) {
        if (!step_to(salvage, salvage->chunk, salvage->chunks[low].place, err))
            return false;
        size_t found = (size_t)sqlite3_column_bytes(salvage->chunk, 0);
        const void *data = sqlite3_column_blob(salvage->chunk, 0);
        if (found > blob->capacity - blob->bytes || (found && !data))
            return refuse(holder, err);
        if (found)
            memcpy(blob->data + blob->bytes, data, found);
        blob->bytes += found;
    }
    sqlite3_reset(salvage->chunk);
    *out = blob;
    blob = NULL;
    return true;
}

static bool is_printable(const char *text, size_t bytes_max)
{
    size_t bytes = strnlen(text, bytes_max);
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return false;
    }
    return bytes < bytes_max;
}
