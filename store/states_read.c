/* One row of component_states with its content, which may lie in chunks, or with another row. */
#include "core/auto.h"
#include "store/states_private.h"

#include <string.h>

#define STATE_BYTES_MAX (INT64_C(4) << 30) /* more than any state may have: such a length is damage */

/* One row being read with its content. */
struct reading {
    int64_t system_id;
    int64_t sequence;
    int64_t holder_system_id, holder_sequence; /* whose chunks they are: another row's where contents are shared */
    struct hf_state_row *row;
    struct hf_state_text *storage;
    const struct hf_hash *wanted; /* NULL: the row is believed; else bytes with this hash, whatever the row says */
    struct hf_blob *blob;         /* owns until it is handed over */
    bool found;
    bool in_chunks;
    bool no_memory;
    bool too_long;
    bool complete; /* all of it was read, whatever it is */
};

static bool read_whole(struct hf_session *session, void *context, struct hf_error *err);
static bool read_state(void *context, const struct hf_value *values, int count);
static bool read_chunk(void *context, const struct hf_value *values, int count);
static bool make_room(struct reading *reading, size_t bytes);
static bool check_content(const struct reading *reading, struct hf_error *err);
static bool is_wanted(const struct reading *reading);

/* The row and its chunks are read as of one moment, or a trim in between would look like damage. */
bool hf_states_get(struct hf_session *session, int64_t system_id, int64_t sequence, struct hf_state_row *row_out,
                   struct hf_state_text *storage, struct hf_blob **blob_out, struct hf_error *err)
{
    struct hf_state_row row;
    struct reading reading = {.system_id = system_id, .sequence = sequence, .row = &row, .storage = storage};
    if (!hf_session_transaction(session, read_whole, &reading, err)) {
        hf_blob_unref(reading.blob);
        return false;
    }
    *row_out = row;
    row_out->content = reading.blob ? reading.blob->data : NULL;
    *blob_out = reading.blob;
    return true;
}

static bool read_whole(struct hf_session *session, void *context, struct hf_error *err)
{
    struct reading *reading = context;
    hf_blob_unref(reading->blob); /* of an attempt before this one */
    reading->blob = NULL;
    reading->found = reading->in_chunks = reading->no_memory = reading->too_long = reading->complete = false;
    if (!hf_session_run(session, HF_STMT_STATE_GET, read_state, reading, NULL, err, HF_INT(reading->system_id),
                        HF_INT(reading->sequence)))
        return false;
    if (!reading->found)
        return hf_error_set(err, HF_NOT_FOUND, "history no longer holds the state of sequence %lld",
                            (long long)reading->sequence);
    if (reading->in_chunks && !reading->no_memory && !reading->too_long &&
        !hf_session_run(session, HF_STMT_CHUNKS_GET, read_chunk, reading, NULL, err, HF_INT(reading->holder_system_id),
                        HF_INT(reading->holder_sequence)))
        return false;
    reading->complete = true;
    return check_content(reading, err);
}

bool hf_states_examine(struct hf_session *session, const struct hf_state_row *expected,
                       enum hf_row_condition *condition_out, struct hf_blob **blob_out, struct hf_error *err)
{
    struct hf_state_row row;
    struct hf_state_text storage;
    struct reading reading = {.system_id = expected->system_id,
                              .sequence = expected->sequence,
                              .row = &row,
                              .storage = &storage,
                              .wanted = &expected->hash};
    bool read = hf_session_transaction(session, read_whole, &reading, err);
    HF_AUTO(blob) struct hf_blob *blob = reading.blob;
    if (!read && err->code != HF_NOT_FOUND && err->code != HF_DAMAGED)
        return false;
    if (!read) {
        *condition_out = err->code == HF_NOT_FOUND ? HF_ROW_MISSING
                         : reading.complete        ? HF_ROW_ALTERED
                                                   : HF_ROW_UNREADABLE;
    } else if (row.deleted || row.component_id != expected->component_id || row.version != expected->version ||
               !hf_hash_equal(&row.hash, &expected->hash)) {
        *condition_out = HF_ROW_ALTERED;
    } else {
        *condition_out = HF_ROW_SOUND;
    }
    if (*condition_out == HF_ROW_SOUND || (reading.complete && is_wanted(&reading))) {
        *blob_out = blob;
        blob = NULL;
    }
    return true;
}

static bool is_wanted(const struct reading *reading)
{
    struct hf_hash hash;
    if (reading->no_memory || reading->too_long)
        return false;
    hf_hash_of(reading->blob->data, reading->blob->bytes, &hash);
    return hf_hash_equal(&hash, reading->wanted);
}

static bool read_state(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct reading *reading = context;
    struct hf_state_row row;
    hf_state_read_metadata(reading->system_id, values, &row);
    hf_state_keep_metadata(&row, reading->row, reading->storage);
    reading->found = true;
    if (row.deleted && !reading->wanted)
        return false;
    if ((row.bytes < 0 || row.bytes > STATE_BYTES_MAX) && !reading->wanted) {
        reading->too_long = true;
        return false;
    }
    size_t room = reading->wanted ? HF_STATE_CHUNK_BYTES : (size_t)row.bytes;
    const struct hf_value *content = &values[HF_STATE_METADATA_COLUMNS];
    reading->holder_system_id = hf_value_int(&content[1]);
    reading->holder_sequence = hf_value_int(&content[2]);
    reading->in_chunks = content->type == HF_VALUE_NULL;
    reading->blob = reading->in_chunks ? hf_blob_new(room) : hf_blob_copy(content->data, content->bytes);
    reading->no_memory = !reading->blob;
    return false;
}

static bool read_chunk(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct reading *reading = context;
    if (reading->wanted && !make_room(reading, values[0].bytes))
        return false;
    struct hf_blob *blob = reading->blob;
    if (values[0].bytes > blob->capacity - blob->bytes) {
        reading->too_long = true;
        return false;
    }
    if (values[0].bytes > 0)
        memcpy(blob->data + blob->bytes, values[0].data, values[0].bytes);
    blob->bytes += values[0].bytes;
    return true;
}

/* Where the length that the row says counts for nothing; none at all above what a state may have. */
static bool make_room(struct reading *reading, size_t bytes)
{
    size_t needed = reading->blob->bytes + bytes;
    if (needed <= reading->blob->capacity || needed > STATE_BYTES_MAX)
        return true;
    struct hf_blob *grown = hf_blob_grow(reading->blob, needed);
    reading->no_memory = !grown;
    if (grown)
        reading->blob = grown;
    return grown != NULL;
}

static bool check_content(const struct reading *reading, struct hf_error *err)
{
    const struct hf_state_row *row = reading->row;
    if (row->deleted)
        return true;
    if (reading->no_memory)
        return hf_error_set(err, HF_OVERLOADED, "no memory for a state of %lld bytes", (long long)row->bytes);
    struct hf_hash hash;
    if (!reading->too_long && reading->blob->bytes == (size_t)row->bytes) {
        hf_hash_of(reading->blob->data, reading->blob->bytes, &hash);
        if (hf_hash_equal(&hash, &row->hash))
            return true;
    }
    return hf_error_set(err, HF_DAMAGED,
                        "the stored state of sequence %lld (version %lld) does not match its hash or length",
                        (long long)row->sequence, (long long)row->version);
}
