/* Rows of component_states and state_chunks: every version of every component. Error codes are those of store.h. */
#ifndef HF_STORE_STATES_H
#define HF_STORE_STATES_H

#include "core/blob.h"
#include "store/store.h"

#define HF_STATE_INLINE_BYTES (64 * 1024) /* content up to here lives in its row, above in chunks */
#define HF_STATE_CHUNK_BYTES  (512 * 1024)

struct hf_state_row {
    int64_t system_id;
    int64_t sequence;
    int64_t component_id;
    int64_t version;
    int64_t previous_sequence; /* 0: none */
    int64_t epoch;
    struct hf_hash hash; /* all zero for a tombstone */
    int64_t bytes;
    const char *content_type;
    int64_t committed_at_ms;
    const char *event; /* NULL: none */
    bool deleted;
    const void *content; /* ->bytes long; NULL for a tombstone, and in rows read as metadata */
};

typedef bool hf_state_row_fn(void *context, const struct hf_state_row *row);

/* Adds rows, with their content (inline or in chunks). */
HF_MUST_USE bool hf_states_insert(struct hf_session *session, const struct hf_state_row *rows, int count,
                                  struct hf_error *err);

/* Writes a row again, with its content, in place of whatever is there under its sequence; in one transaction. */
HF_MUST_USE bool hf_states_replace(struct hf_session *session, const struct hf_state_row *row, struct hf_error *err);

/* Writes only the content of a row that is there: system_id, sequence, bytes, content. Inside a transaction. */
HF_MUST_USE bool hf_states_set_content(struct hf_session *session, const struct hf_state_row *row,
                                       struct hf_error *err);

/* Metadata of all rows with after < sequence <= up_to, in order. */
HF_MUST_USE bool hf_states_tail(struct hf_session *session, int64_t system_id, int64_t after, int64_t up_to,
                                hf_state_row_fn *each, void *context, struct hf_error *err);

/* One row with its content as a blob (owns; NULL for a tombstone). row_out's texts live in storage. HF_NOT_FOUND when
 * the row is not kept; HF_DAMAGED when the content does not match its hash or length: such bytes are never returned. */
struct hf_state_text {
    char content_type[256];
    char event[256];
};
HF_MUST_USE bool hf_states_get(struct hf_session *session, int64_t system_id, int64_t sequence,
                               struct hf_state_row *row_out, struct hf_state_text *storage, struct hf_blob **blob_out,
                               struct hf_error *err);

/* Is the row of expected (system_id, sequence) what it was: component_id, version, hash, present, and its content? A
 * verdict is no failure. *blob_out owns its content when it is sound, and also when it is altered but its bytes are
 * those of the hash that is expected: then only what the row says of them is wrong. Else it stays as it is. */
enum hf_row_condition {
    HF_ROW_SOUND,
    HF_ROW_ALTERED, /* it can be read and says or holds something else */
    HF_ROW_MISSING,
    HF_ROW_UNREADABLE, /* the database says of itself that it is corrupt there: better not written to */
};
HF_MUST_USE bool hf_states_examine(struct hf_session *session, const struct hf_state_row *expected,
                                   enum hf_row_condition *condition_out, struct hf_blob **blob_out,
                                   struct hf_error *err);

/* Sequence of the component's newest row below this one; 0: none is kept. Reads back through the system's rows. */
HF_MUST_USE bool hf_states_previous(struct hf_session *session, int64_t system_id, int64_t component_id,
                                    int64_t sequence, int64_t *previous_out, struct hf_error *err);

/* Sequences of rows with this hash, newest first, at most limit. No index: reads all of the system's rows. */
HF_MUST_USE bool hf_states_of_hash(struct hf_session *session, int64_t system_id, const struct hf_hash *hash, int limit,
                                   int64_t *sequences_out, int *count_out, struct hf_error *err);

/* Walk back from head_sequence (inclusive) along previous_sequence. The row found is metadata only. find_version:
 * *found_out is false when there is no such version, or history no longer holds it. find_at gives the version that was
 * current at at_sequence: *found_out is false when the component had none yet, or history no longer reaches so far
 * back. */
HF_MUST_USE bool hf_states_find_version(struct hf_session *session, int64_t system_id, int64_t head_sequence,
                                        int64_t version, struct hf_state_row *row_out, struct hf_state_text *storage,
                                        bool *found_out, struct hf_error *err);
HF_MUST_USE bool hf_states_find_at(struct hf_session *session, int64_t system_id, int64_t head_sequence,
                                   int64_t at_sequence, struct hf_state_row *row_out, struct hf_state_text *storage,
                                   bool *found_out, struct hf_error *err);
/* For every component with rows in at_sequence < sequence <= newest_sequence: what the first of them took the place of,
 * that is the row that was current at at_sequence (metadata only, in no order). A row of version 0, with component_id
 * alone, stands for a component that had none yet. Components whose row is no longer kept are left out. */
HF_MUST_USE bool hf_states_replaced(struct hf_session *session, int64_t system_id, int64_t at_sequence,
                                    int64_t newest_sequence, hf_state_row_fn *each, void *context,
                                    struct hf_error *err);

HF_MUST_USE bool hf_states_history(struct hf_session *session, int64_t system_id, int64_t head_sequence, int64_t limit,
                                   hf_state_row_fn *each, void *context, struct hf_error *err);

/* When this sequence was committed; *found_out false when its row is not kept. */
HF_MUST_USE bool hf_states_time_of(struct hf_session *session, int64_t system_id, int64_t sequence, int64_t *at_ms_out,
                                   bool *found_out, struct hf_error *err);

/* When the oldest row that is kept behind this sequence was committed; *found_out false: none is. */
HF_MUST_USE bool hf_states_time_after(struct hf_session *session, int64_t system_id, int64_t sequence,
                                      int64_t *at_ms_out, bool *found_out, struct hf_error *err);

/* The last sequence committed at or before at_ms (binary search; times never go back along the sequence).
 * *found_out false when at_ms is before the first one, or history does not reach that far. */
HF_MUST_USE bool hf_states_sequence_at(struct hf_session *session, int64_t system_id, int64_t newest_sequence,
                                       int64_t at_ms, int64_t *sequence_out, bool *found_out, struct hf_error *err);

/* Deletes rows that a newer version at or before up_to has superseded (chunks too), at most limit (up to a million)
 * rows, oldest first, in one transaction. A component's newest row always stays, and so does the one that was current
 * at up_to: the whole system can still be read as of up_to and every later sequence. What other systems share goes to
 * them first (shared.h). */
HF_MUST_USE bool hf_states_trim(struct hf_session *session, int64_t system_id, int64_t up_to, int64_t limit,
                                int64_t *deleted_out, struct hf_error *err);

/* From when on every instant is kept: when the newest row was committed whose predecessor is not there any more; 0: all
 * that ever was is there. Reads back through the system's rows until it finds one. */
HF_MUST_USE bool hf_states_floor(struct hf_session *session, int64_t system_id, int64_t *from_ms_out,
                                 struct hf_error *err);

/* Rows that a trim up to this sequence would delete, and the bytes of their own contents (see shared.h). */
HF_MUST_USE bool hf_states_usage(struct hf_session *session, int64_t system_id, int64_t up_to, int64_t *rows_out,
                                 int64_t *bytes_out, struct hf_error *err);

#endif
