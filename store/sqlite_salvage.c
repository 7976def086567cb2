#include "store/salvage.h"

#include "core/auto.h"
#include "store/sqlite_damaged.h"

#include <sqlite3.h>
#include <string.h>

#define UNKNOWN_IDS_MAX   65536 /* ids looked at when the largest cannot be read */
#define CONTENT_BYTES_MAX (INT64_C(4) << 30)

struct chunk {
    int64_t system_id, sequence, index, place;
};

struct hf_salvage {
    struct hf_damaged file;
    struct hf_salvage_row *rows; /* owns */
    int64_t row_count, row_capacity;
    struct chunk *chunks; /* owns */
    int64_t chunk_count, chunk_capacity;
    sqlite3_stmt *state, *content, *chunk;
};

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
        hf_damaged_open(&salvage->file, path, err) &&
        hf_damaged_prepare(
            &salvage->file,
            "SELECT hash, bytes, content_type, committed_at_ms, event, deleted, system_id, sequence, component_id,"
            " version, origin_system_id, origin_sequence FROM component_states NOT INDEXED WHERE rowid = ?1",
            &salvage->state, err) &&
        hf_damaged_prepare(&salvage->file, "SELECT content FROM component_states NOT INDEXED WHERE rowid = ?1",
                           &salvage->content, err) &&
        hf_damaged_prepare(
            &salvage->file,
            "SELECT content, system_id, sequence, chunk_index FROM state_chunks NOT INDEXED WHERE rowid = ?1",
            &salvage->chunk, err) &&
        hf_damaged_last_place(&salvage->file, "component_states", &rows_high, err) &&
        hf_damaged_last_place(&salvage->file, "state_chunks", &chunks_high, err) &&
        hf_damaged_read_table(
            &salvage->file,
            "SELECT rowid, system_id, sequence, component_id, version, previous_sequence, epoch FROM"
            " component_states NOT INDEXED WHERE rowid > ?1 AND rowid <= ?2 AND ?3 = 0 ORDER BY rowid",
            0, rows_high, add_row, salvage, err) &&
        hf_damaged_read_table(&salvage->file,
                              "SELECT rowid, system_id, sequence, chunk_index FROM state_chunks NOT INDEXED"
                              " WHERE rowid > ?1 AND rowid <= ?2 AND ?3 = 0 ORDER BY rowid",
                              0, chunks_high, add_chunk, salvage, err);
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
    hf_damaged_close(&salvage->file);
    free(salvage->rows);
    free(salvage->chunks);
    free(salvage);
}

const struct hf_salvage_row *hf_salvage_rows(const struct hf_salvage *salvage, int64_t *count_out)
{
    *count_out = salvage->row_count;
    return salvage->rows;
}

static void add_row(void *context, sqlite3_stmt *statement)
{
    struct hf_salvage *salvage = context;
    int64_t numbers[6];
    if (!hf_damaged_numbers(statement, 1, 6, numbers) || numbers[1] == 0 || numbers[3] == 0)
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
    if (!hf_damaged_numbers(statement, 1, 3, numbers))
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
    if (!hf_damaged_numbers(statement, 3, 2, numbers) || !hf_damaged_numbers(statement, 8, 2, times))
        return;
    struct hf_system_row row = {.id = sqlite3_column_int64(statement, 0),
                                .name = hf_damaged_text(statement, 1),
                                .description = hf_damaged_text(statement, 2),
                                .sequence = numbers[0],
                                .epoch = numbers[1],
                                .backup_interval_ms = hf_damaged_optional(statement, 5),
                                .incremental_interval_ms = hf_damaged_optional(statement, 6),
                                .max_retention_hours = hf_damaged_optional(statement, 7),
                                .created_at_ms = times[0],
                                .committed_at_ms = times[1]};
    if (!is_told(list, row.id))
        list->each(list->context, &row);
}

static void tell_system_name(void *context, sqlite3_stmt *statement)
{
    struct system_list *list = context;
    struct hf_system_row row = {.id = sqlite3_column_int64(statement, 0),
                                .name = hf_damaged_text(statement, 1),
                                .description = "",
                                .sequence = -1,
                                .backup_interval_ms = -1,
                                .incremental_interval_ms = -1,
                                .max_retention_hours = -1};
    if (row.id > 0 && row.id <= HF_SALVAGE_NUMBER_MAX && !is_told(list, row.id))
        list->each(list->context, &row);
}

bool hf_salvage_systems(struct hf_salvage *salvage, hf_system_row_fn *each, void *context, struct hf_error *err)
{
    struct system_list list = {.each = each, .context = context};
    int64_t high = UNKNOWN_IDS_MAX;
    for (int64_t i = 0; i < salvage->row_count; i++) {
        if (salvage->rows[i].system_id > high && salvage->rows[i].system_id < INT32_MAX)
            high = salvage->rows[i].system_id;
    }
    bool ok = hf_damaged_read_table(
                  &salvage->file,
                  "SELECT id, name, description, sequence, epoch, backup_interval_ms, incremental_interval_ms,"
                  " max_retention_hours, created_at_ms, committed_at_ms FROM systems NOT INDEXED"
                  " WHERE id > ?1 AND id <= ?2 AND ?3 = 0 ORDER BY id",
                  0, high, tell_system, &list, err) &&
              hf_damaged_read_index(&salvage->file,
                                    "SELECT id, name FROM systems INDEXED BY sqlite_autoindex_systems_1 ORDER BY name",
                                    0, tell_system_name, &list, err);
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
    if (!hf_damaged_numbers(statement, 6, 8, numbers) || row.component_id <= 0 || row.component_id > list->id_max)
        return;
    row.name = hf_damaged_text(statement, 1);
    row.kind = hf_damaged_text(statement, 2);
    row.depends_on = hf_damaged_text(statement, 3);
    row.required_pointers = hf_damaged_text(statement, 4);
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
                                   .name = hf_damaged_text(statement, 1),
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
    bool ok = hf_damaged_read_table(
                  &salvage->file,
                  "SELECT component_id, name, kind, depends_on, required_pointers, hash, heartbeat_interval_ms,"
                  " registered_at_ms, version, sequence, bytes, committed_at_ms, deleted, created_at_ms"
                  " FROM component_state_tracking NOT INDEXED WHERE system_id = ?3 AND component_id > ?1"
                  " AND component_id <= ?2 ORDER BY component_id",
                  system_id, id_max, tell_component, &list, err) &&
              hf_damaged_read_index(&salvage->file,
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

/* The metadata, which is checked against what the scan saw; then the content, wherever it is. */
bool hf_salvage_read(struct hf_salvage *salvage, const struct hf_salvage_row *row, struct hf_state_row *row_out,
                     struct hf_state_text *storage, struct hf_blob **blob_out, struct hf_error *err)
{
    sqlite3_stmt *state = salvage->state;
    int64_t numbers[4], bytes, committed_at_ms, deleted;
    if (!hf_damaged_step(&salvage->file, state, row->place, err))
        return false;
    const char *type = hf_damaged_text(state, 2), *event = hf_damaged_text(state, 4);
    bool has_event = sqlite3_column_type(state, 4) == SQLITE_TEXT;
    bool sound = hf_damaged_numbers(state, 6, 4, numbers) && numbers[0] == row->system_id &&
                 numbers[1] == row->sequence && numbers[2] == row->component_id && numbers[3] == row->version &&
                 hf_damaged_numbers(state, 1, 1, &bytes) && hf_damaged_numbers(state, 3, 1, &committed_at_ms) &&
                 hf_damaged_numbers(state, 5, 1, &deleted) && deleted <= 1 && bytes <= CONTENT_BYTES_MAX &&
                 sqlite3_column_bytes(state, 0) == HF_HASH_BYTES && is_printable(type, sizeof(storage->content_type));
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
    if (!hf_damaged_step(&salvage->file, salvage->content, place, err))
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
        if (!hf_damaged_step(&salvage->file, salvage->chunk, salvage->chunks[low].place, err))
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
