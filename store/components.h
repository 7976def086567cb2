/* Rows of component_state_tracking: registration, head, health. Error codes are those of store.h. */
#ifndef HF_STORE_COMPONENTS_H
#define HF_STORE_COMPONENTS_H

#include "store/store.h"

struct hf_component_row {
    int64_t system_id;
    int64_t component_id; /* 1, 2, 3, … per system */
    const char *name;
    const char *kind;
    const char *depends_on;        /* JSON array of names */
    const char *required_pointers; /* JSON array of RFC 6901 pointers */
    int64_t heartbeat_interval_ms;
    int64_t registered_at_ms;
    int64_t version;
    int64_t sequence;
    struct hf_hash hash;
    int64_t bytes;
    const char *content_type;
    int64_t committed_at_ms;
    bool deleted;
    double health; /* -1: never reported */
    const char *status;
    const char *metrics; /* JSON object of numbers */
    int64_t heartbeat_at_ms;
    int64_t last_activity_at_ms;
    int64_t created_at_ms;
};

typedef bool hf_component_row_fn(void *context, const struct hf_component_row *row);

/* All rows of a system as stored (heads may lag behind: overlay hf_states_tail), by component_id. */
HF_MUST_USE bool hf_components_list(struct hf_session *session, int64_t system_id, hf_component_row_fn *each,
                                    void *context, struct hf_error *err);
HF_MUST_USE bool hf_components_insert(struct hf_session *session, const struct hf_component_row *rows, int count,
                                      struct hf_error *err); /* every column */

/* Writes head (version … deleted), health, status, metrics, heartbeat_at_ms and last_activity_at_ms of existing rows.
 */
HF_MUST_USE bool hf_components_fold(struct hf_session *session, const struct hf_component_row *rows, int count,
                                    struct hf_error *err);

/* Writes kind, depends_on, required_pointers, heartbeat_interval_ms, registered_at_ms. */
HF_MUST_USE bool hf_components_register(struct hf_session *session, const struct hf_component_row *row,
                                        struct hf_error *err);

/* Deletes the row of a component that never had a state; one that is gone already is no failure. */
HF_MUST_USE bool hf_components_forget(struct hf_session *session, int64_t system_id, int64_t component_id,
                                      struct hf_error *err);

/* Gives a component another name. */
HF_MUST_USE bool hf_components_rename(struct hf_session *session, int64_t system_id, int64_t component_id,
                                      const char *name, struct hf_error *err);

/* Components whose row and component_states contradict each other: the head is not what the row of its sequence says,
 * or is not the component's newest row, or there is no row of that number at all. newest_sequence is the component's
 * newest row as far as this look has found it; 0: not found. A component may come twice. Heads may lag behind above
 * folded_sequence. Of component_states only after < sequence <= up_to is read as a whole; heads are compared wherever
 * they lie. */
typedef bool hf_component_suspect_fn(void *context, int64_t component_id, int64_t newest_sequence);
HF_MUST_USE bool hf_components_suspect(struct hf_session *session, int64_t system_id, int64_t after, int64_t up_to,
                                       int64_t folded_sequence, hf_component_suspect_fn *each, void *context,
                                       struct hf_error *err);

#endif
