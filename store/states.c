#include "store/states.h"

#include "core/auto.h"
#include "store/rows.h"
#include "store/shared.h"
#include "store/states_private.h"

#include <stdio.h>
#include <string.h>

#define INSERT_COLUMNS 13
#define CHUNK_COLUMNS  4
#define CHUNKS_AT_ONCE 16      /* 8 MiB of content in one statement */
#define TRIM_ROWS_MAX  1000000 /* in one call */

struct insertion {
    const struct hf_state_row *rows;
    int count;
};

struct list {
    int64_t system_id;
    hf_state_row_fn *each;
    void *context;
};

/* One row's metadata kept beyond the callback. */
struct kept {
    struct hf_state_row *row;
    struct hf_state_text *storage;
    bool found;
};

struct sequences {
    int64_t *list;
    int count, limit;
};

struct moment {
    int64_t sequence;
    int64_t at_ms;
    bool found;
};

struct trim {
    int64_t system_id;
    int64_t up_to;
    int64_t limit;
    int64_t deleted;
    int64_t *chunked; /* owns: sequences whose chunks have to go, too */
    int64_t chunked_count;
};

static bool insert_rows(struct hf_session *session, void *context, struct hf_error *err);
static void fill_row(struct hf_value *params, const struct hf_state_row *row);
static bool insert_chunks(struct hf_session *session, const struct hf_state_row *row, struct hf_error *err);
static bool read_listed(void *context, const struct hf_value *values, int count);
static bool keep_row(void *context, const struct hf_state_row *row);
static bool replace_row(struct hf_session *session, void *context, struct hf_error *err);
static bool note_sequence(void *context, const struct hf_value *values, int count);
static bool read_replaced(void *context, const struct hf_value *values, int count);
static bool read_moment(void *context, const struct hf_value *values, int count);
static bool moment_before(struct hf_session *session, int64_t system_id, int64_t sequence, struct moment *out,
                          struct hf_error *err);
static bool trim_rows(struct hf_session *session, void *context, struct hf_error *err);
static bool note_trimmed(void *context, const struct hf_value *values, int count);
static bool read_floor(void *context, const struct hf_value *values, int count);
static bool read_usage(void *context, const struct hf_value *values, int count);

bool hf_states_insert(struct hf_session *session, const struct hf_state_row *rows, int count, struct hf_error *err)
{
    struct insertion insertion = {rows, count};
    return hf_session_transaction(session, insert_rows, &insertion, err);
}

static bool insert_rows(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct insertion *insertion = context;
    size_t values = (size_t)insertion->count * INSERT_COLUMNS;
    HF_AUTO(free) struct hf_value *params = hf_alloc(values * sizeof(*params) + 1);
    for (int i = 0; i < insertion->count; i++)
        fill_row(params + (size_t)i * INSERT_COLUMNS, &insertion->rows[i]);
    if (!hf_session_exec_many(session, HF_STMT_STATES_INSERT, params, INSERT_COLUMNS, insertion->count, NULL, err))
        return false;
    for (int i = 0; i < insertion->count; i++)
        if (!insertion->rows[i].deleted && insertion->rows[i].bytes > HF_STATE_INLINE_BYTES &&
            !insert_chunks(session, &insertion->rows[i], err))
            return false;
    return true;
}

static void fill_row(struct hf_value *params, const struct hf_state_row *row)
{
    bool is_inline = !row->deleted && row->bytes <= HF_STATE_INLINE_BYTES;
    const void *content = row->content ? row->content : ""; /* of no bytes */
    HF_ASSERT(row->deleted || row->content || row->bytes == 0);
    *params++ = HF_INT(row->system_id);
    *params++ = HF_INT(row->sequence);
    *params++ = HF_INT(row->component_id);
    *params++ = HF_INT(row->version);
    *params++ = HF_INT(row->previous_sequence);
    *params++ = HF_INT(row->epoch);
    *params++ = HF_HASH(&row->hash);
    *params++ = HF_INT(row->bytes);
    *params++ = hf_text_or(row->content_type, "");
    *params++ = HF_INT(row->committed_at_ms);
    *params++ = HF_INT(row->deleted);
    *params++ = HF_TEXT(row->event);
    *params = is_inline ? HF_BYTES(content, (size_t)row->bytes) : HF_NULL;
}

static bool insert_chunks(struct hf_session *session, const struct hf_state_row *row, struct hf_error *err)
{
    struct hf_value params[CHUNKS_AT_ONCE * CHUNK_COLUMNS];
    const unsigned char *content = row->content;
    size_t bytes_left = (size_t)row->bytes;
    int64_t chunk_index = 0;
    while (bytes_left > 0) {
        int count = 0;
        struct hf_value *next = params;
        for (; count < CHUNKS_AT_ONCE && bytes_left > 0; count++) {
            size_t bytes = bytes_left < HF_STATE_CHUNK_BYTES ? bytes_left : HF_STATE_CHUNK_BYTES;
            *next++ = HF_INT(row->system_id);
            *next++ = HF_INT(row->sequence);
            *next++ = HF_INT(chunk_index++);
            *next++ = HF_BYTES(content, bytes);
            content += bytes;
            bytes_left -= bytes;
        }
        if (!hf_session_exec_many(session, HF_STMT_CHUNKS_INSERT, params, CHUNK_COLUMNS, count, NULL, err))
            return false;
    }
    return true;
}

bool hf_states_replace(struct hf_session *session, const struct hf_state_row *row, struct hf_error *err)
{
    struct insertion insertion = {row, 1};
    return hf_session_transaction(session, replace_row, &insertion, err);
}

static bool replace_row(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct insertion *insertion = context;
    const struct hf_value system_id = HF_INT(insertion->rows->system_id), sequence = HF_INT(insertion->rows->sequence);
    return hf_session_run(session, HF_STMT_CHUNKS_TRIM, NULL, NULL, NULL, err, system_id, sequence) &&
           hf_session_run(session, HF_STMT_STATE_DELETE, NULL, NULL, NULL, err, system_id, sequence) &&
           insert_rows(session, context, err);
}

bool hf_states_set_content(struct hf_session *session, const struct hf_state_row *row, struct hf_error *err)
{
    bool is_inline = row->bytes <= HF_STATE_INLINE_BYTES;
    const struct hf_value system_id = HF_INT(row->system_id), sequence = HF_INT(row->sequence);
    const void *content = row->content ? row->content : "";
    return hf_session_run(session, HF_STMT_CHUNKS_TRIM, NULL, NULL, NULL, err, system_id, sequence) &&
           hf_session_run(session, HF_STMT_STATE_SET_CONTENT, NULL, NULL, NULL, err, system_id, sequence,
                          is_inline ? HF_BYTES(content, (size_t)row->bytes) : HF_NULL) &&
           (is_inline || insert_chunks(session, row, err));
}

bool hf_states_tail(struct hf_session *session, int64_t system_id, int64_t after, int64_t up_to, hf_state_row_fn *each,
                    void *context, struct hf_error *err)
{
    struct list list = {system_id, each, context};
    return hf_session_run(session, HF_STMT_STATES_TAIL, read_listed, &list, NULL, err, HF_INT(system_id), HF_INT(after),
                          HF_INT(up_to));
}

void hf_state_read_metadata(int64_t system_id, const struct hf_value *values, struct hf_state_row *row)
{
    struct hf_columns columns = {values};
    *row = (struct hf_state_row){.system_id = system_id};
    row->sequence = hf_columns_int(&columns);
    row->component_id = hf_columns_int(&columns);
    row->version = hf_columns_int(&columns);
    row->previous_sequence = hf_columns_int(&columns);
    row->epoch = hf_columns_int(&columns);
    hf_columns_hash(&columns, &row->hash);
    row->bytes = hf_columns_int(&columns);
    row->content_type = hf_columns_text(&columns);
    row->committed_at_ms = hf_columns_int(&columns);
    row->event = columns.next->type == HF_VALUE_NULL ? NULL : hf_value_text(columns.next);
    columns.next++;
    row->deleted = hf_columns_int(&columns) != 0;
}

static bool read_listed(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct list *list = context;
    struct hf_state_row row;
    hf_state_read_metadata(list->system_id, values, &row);
    return list->each(list->context, &row);
}

void hf_state_keep_metadata(const struct hf_state_row *row, struct hf_state_row *out, struct hf_state_text *storage)
{
    *out = *row;
    snprintf(storage->content_type, sizeof(storage->content_type), "%s", row->content_type);
    snprintf(storage->event, sizeof(storage->event), "%s", row->event ? row->event : "");
    out->content_type = storage->content_type;
    out->event = row->event ? storage->event : NULL;
}

bool hf_states_find_version(struct hf_session *session, int64_t system_id, int64_t head_sequence, int64_t version,
                            struct hf_state_row *row_out, struct hf_state_text *storage, bool *found_out,
                            struct hf_error *err)
{
    struct kept kept = {row_out, storage, false};
    struct list list = {system_id, keep_row, &kept};
    if (!hf_session_run(session, HF_STMT_STATE_WALK_VERSION, read_listed, &list, NULL, err, HF_INT(system_id),
                        HF_INT(head_sequence), HF_INT(version)))
        return false;
    *found_out = kept.found;
    return true;
}

bool hf_states_find_at(struct hf_session *session, int64_t system_id, int64_t head_sequence, int64_t at_sequence,
                       struct hf_state_row *row_out, struct hf_state_text *storage, bool *found_out,
                       struct hf_error *err)
{
    struct kept kept = {row_out, storage, false};
    struct list list = {system_id, keep_row, &kept};
    if (!hf_session_run(session, HF_STMT_STATE_WALK_SEQUENCE, read_listed, &list, NULL, err, HF_INT(system_id),
                        HF_INT(head_sequence), HF_INT(at_sequence)))
        return false;
    *found_out = kept.found;
    return true;
}

static bool keep_row(void *context, const struct hf_state_row *row)
{
    struct kept *kept = context;
    hf_state_keep_metadata(row, kept->row, kept->storage);
    kept->found = true;
    return false;
}

bool hf_states_previous(struct hf_session *session, int64_t system_id, int64_t component_id, int64_t sequence,
                        int64_t *previous_out, struct hf_error *err)
{
    int64_t previous = 0;
    struct sequences found = {&previous, 0, 1};
    if (!hf_session_run(session, HF_STMT_STATE_PREVIOUS, note_sequence, &found, NULL, err, HF_INT(system_id),
                        HF_INT(component_id), HF_INT(sequence)))
        return false;
    *previous_out = previous;
    return true;
}

bool hf_states_of_hash(struct hf_session *session, int64_t system_id, const struct hf_hash *hash, int limit,
                       int64_t *sequences_out, int *count_out, struct hf_error *err)
{
    struct sequences found = {sequences_out, 0, limit};
    if (!hf_session_run(session, HF_STMT_STATES_OF_HASH, note_sequence, &found, NULL, err, HF_INT(system_id),
                        HF_HASH(hash), HF_INT(limit)))
        return false;
    *count_out = found.count;
    return true;
}

static bool note_sequence(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct sequences *found = context;
    if (found->count == found->limit)
        return false;
    found->list[found->count++] = hf_value_int(&values[0]);
    return true;
}

bool hf_states_history(struct hf_session *session, int64_t system_id, int64_t head_sequence, int64_t limit,
                       hf_state_row_fn *each, void *context, struct hf_error *err)
{
    struct list list = {system_id, each, context};
    return hf_session_run(session, HF_STMT_STATE_WALK_LIST, read_listed, &list, NULL, err, HF_INT(system_id),
                          HF_INT(head_sequence), HF_INT(limit));
}

bool hf_states_replaced(struct hf_session *session, int64_t system_id, int64_t at_sequence, int64_t newest_sequence,
                        hf_state_row_fn *each, void *context, struct hf_error *err)
{
    struct list list = {system_id, each, context};
    return hf_session_run(session, HF_STMT_STATES_REPLACED, read_replaced, &list, NULL, err, HF_INT(system_id),
                          HF_INT(at_sequence), HF_INT(newest_sequence));
}

static bool read_replaced(void *context, const struct hf_value *values, int count)
{
    const struct hf_value *next =
        &values[HF_STATE_METADATA_COLUMNS]; /* component_id, version, previous_sequence of the newer row */
    if (values[0].type != HF_VALUE_NULL)
        return read_listed(context, values, count);
    if (hf_value_int(&next[1]) != 1 || hf_value_int(&next[2]) != 0)
        return true;
    const struct list *list = context;
    const struct hf_state_row none = {.system_id = list->system_id,
                                      .component_id = hf_value_int(&next[0]),
                                      .content_type = ""};
    return list->each(list->context, &none);
}

bool hf_states_time_of(struct hf_session *session, int64_t system_id, int64_t sequence, int64_t *at_ms_out,
                       bool *found_out, struct hf_error *err)
{
    struct moment row = {0};
    if (!hf_session_run(session, HF_STMT_STATE_BEFORE, read_moment, &row, NULL, err, HF_INT(system_id),
                        HF_INT(sequence)))
        return false;
    *found_out = row.found && row.sequence == sequence;
    if (*found_out)
        *at_ms_out = row.at_ms;
    return true;
}

bool hf_states_time_after(struct hf_session *session, int64_t system_id, int64_t sequence, int64_t *at_ms_out,
                          bool *found_out, struct hf_error *err)
{
    struct moment row = {0};
    if (!hf_session_run(session, HF_STMT_STATE_AFTER, read_moment, &row, NULL, err, HF_INT(system_id),
                        HF_INT(sequence)))
        return false;
    *found_out = row.found;
    if (row.found)
        *at_ms_out = row.at_ms;
    return true;
}

/* Sequences are gapless until rows are trimmed: a gap right behind the row found hides the true answer. */
bool hf_states_sequence_at(struct hf_session *session, int64_t system_id, int64_t newest_sequence, int64_t at_ms,
                           int64_t *sequence_out, bool *found_out, struct hf_error *err)
{
    struct moment answer = {0};
    if (!hf_session_run(session, HF_STMT_STATES_OLDEST, read_moment, &answer, NULL, err, HF_INT(system_id)))
        return false;
    *found_out = false;
    if (!answer.found || answer.at_ms > at_ms || answer.sequence > newest_sequence)
        return true;

    struct moment row;
    int64_t low = answer.sequence;  /* no row from answer to here is later than at_ms */
    int64_t high = newest_sequence; /* all rows behind here are */
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (!moment_before(session, system_id, middle, &row, err))
            return false;
        if (row.at_ms > at_ms) {
            high = row.sequence - 1;
        } else {
            answer = row;
            low = middle;
        }
    }
    if (answer.sequence < newest_sequence) {
        if (!moment_before(session, system_id, answer.sequence + 1, &row, err))
            return false;
        if (row.sequence != answer.sequence + 1)
            return true;
    }
    *sequence_out = answer.sequence;
    *found_out = true;
    return true;
}

static bool moment_before(struct hf_session *session, int64_t system_id, int64_t sequence, struct moment *out,
                          struct hf_error *err)
{
    *out = (struct moment){0};
    if (!hf_session_run(session, HF_STMT_STATE_BEFORE, read_moment, out, NULL, err, HF_INT(system_id),
                        HF_INT(sequence)))
        return false;
    return out->found ||
           hf_error_set(err, HF_NOT_FOUND, "history no longer reaches back to sequence %lld", (long long)sequence);
}

static bool read_moment(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct moment *moment = context;
    *moment = (struct moment){hf_value_int(&values[0]), hf_value_int(&values[1]), true};
    return false;
}

bool hf_states_trim(struct hf_session *session, int64_t system_id, int64_t up_to, int64_t limit, int64_t *deleted_out,
                    struct hf_error *err)
{
    HF_ASSERT(limit >= 0 && limit <= TRIM_ROWS_MAX);
    HF_AUTO(free) int64_t *chunked = hf_alloc((size_t)limit * sizeof(*chunked) + 1);
    struct trim trim = {.system_id = system_id, .up_to = up_to, .limit = limit, .chunked = chunked};
    if (!hf_session_transaction(session, trim_rows, &trim, err))
        return false;
    *deleted_out = trim.deleted;
    return true;
}

static bool trim_rows(struct hf_session *session, void *context, struct hf_error *err)
{
    struct trim *trim = context;
    trim->deleted = trim->chunked_count = 0;
    if (!hf_shared_give_trimmed(session, trim->system_id, trim->up_to, trim->limit, err) ||
        !hf_session_run(session, HF_STMT_STATES_TRIM, note_trimmed, trim, NULL, err, HF_INT(trim->system_id),
                        HF_INT(trim->up_to), HF_INT(trim->limit)))
        return false;
    for (int64_t i = 0; i < trim->chunked_count; i++)
        if (!hf_session_run(session, HF_STMT_CHUNKS_TRIM, NULL, NULL, NULL, err, HF_INT(trim->system_id),
                            HF_INT(trim->chunked[i])))
            return false;
    return true;
}

static bool note_trimmed(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct trim *trim = context;
    HF_ASSERT(trim->deleted < trim->limit);
    trim->deleted++;
    if (hf_value_int(&values[1]) > HF_STATE_INLINE_BYTES)
        trim->chunked[trim->chunked_count++] = hf_value_int(&values[0]);
    return true;
}

bool hf_states_usage(struct hf_session *session, int64_t system_id, int64_t up_to, int64_t *rows_out,
                     int64_t *bytes_out, struct hf_error *err)
{
    int64_t usage[2] = {0};
    if (!hf_session_run(session, HF_STMT_STATES_USAGE, read_usage, usage, NULL, err, HF_INT(system_id), HF_INT(up_to)))
        return false;
    *rows_out = usage[0];
    *bytes_out = usage[1];
    return true;
}

bool hf_states_floor(struct hf_session *session, int64_t system_id, int64_t *from_ms_out, struct hf_error *err)
{
    int64_t from_ms = 0;
    if (!hf_session_run(session, HF_STMT_STATES_FLOOR, read_floor, &from_ms, NULL, err, HF_INT(system_id)))
        return false;
    *from_ms_out = from_ms;
    return true;
}

static bool read_floor(void *context, const struct hf_value *values, int count)
{
    (void)count;
    *(int64_t *)context = hf_value_int(&values[1]);
    return true;
}

static bool read_usage(void *context, const struct hf_value *values, int count)
{
    (void)count;
    int64_t *usage = context;
    usage[0] = hf_value_int(&values[0]);
    usage[1] = hf_value_int(&values[1]);
    return true;
}
