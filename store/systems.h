/* Rows of systems. Functions run on the given session, inside its transaction if one is open; the error codes are
 * those of store.h. */
#ifndef HF_STORE_SYSTEMS_H
#define HF_STORE_SYSTEMS_H

#include "store/store.h"

struct hf_system_row {
    int64_t id;
    const char *name;
    const char *description;
    int64_t sequence;
    int64_t epoch;
    int64_t folded_sequence;
    int64_t batch_id;
    int64_t backup_interval_ms;      /* -1: the service's setting */
    int64_t incremental_interval_ms; /* -1 */
    int64_t max_retention_hours;     /* -1 */
    int64_t created_at_ms;
    int64_t committed_at_ms;
};

typedef bool hf_system_row_fn(void *context, const struct hf_system_row *row);

HF_MUST_USE bool hf_systems_list(struct hf_session *session, hf_system_row_fn *each, void *context,
                                 struct hf_error *err); /* by id */
/* The same for one system; each is not called when there is none. */
HF_MUST_USE bool hf_systems_get(struct hf_session *session, int64_t system_id, hf_system_row_fn *each, void *context,
                                struct hf_error *err);
HF_MUST_USE bool hf_systems_insert(struct hf_session *session, const struct hf_system_row *row, struct hf_error *err);

/* Moves the system from old_sequence to new_sequence; *moved_out is false when the row no longer has old_sequence. */
HF_MUST_USE bool hf_systems_advance(struct hf_session *session, int64_t system_id, int64_t old_sequence,
                                    int64_t new_sequence, int64_t epoch, int64_t batch_id, int64_t committed_at_ms,
                                    bool *moved_out, struct hf_error *err);

/* Reads sequence and batch_id; *found_out false when there is no such system. */
HF_MUST_USE bool hf_systems_outcome(struct hf_session *session, int64_t system_id, int64_t *sequence_out,
                                    int64_t *batch_id_out, bool *found_out, struct hf_error *err);
HF_MUST_USE bool hf_systems_set_settings(struct hf_session *session, const struct hf_system_row *row,
                                         struct hf_error *err); /* description and the three intervals, by id */
HF_MUST_USE bool hf_systems_set_folded(struct hf_session *session, int64_t system_id, int64_t folded_sequence,
                                       struct hf_error *err);
/* Gives a system that was put together under another name its own: name, description, sequence (folded up to there),
 * batch_id, and committed_at_ms, which is also when it was created; by id. */
HF_MUST_USE bool hf_systems_reveal(struct hf_session *session, const struct hf_system_row *row, struct hf_error *err);
/* With all rows of every table; contents that other systems share go to them first (shared.h). */
HF_MUST_USE bool hf_systems_delete(struct hf_session *session, int64_t system_id, struct hf_error *err);

#endif
