/* What happened: rows of system_recovery_logs, state_validation_results, events and idempotency_keys. Error codes are
 * those of store.h. */
#ifndef HF_STORE_JOURNAL_H
#define HF_STORE_JOURNAL_H

#include "core/arena.h"
#include "store/store.h"

struct hf_recovery_row {
    int64_t system_id;
    const char *id;
    const char *source; /* head | snapshot | at */
    const char *snapshot;
    int64_t at_ms;
    const char *status; /* planned | pending | applied | completed | failed | fresh */
    const char *reason;
    int64_t epoch;
    int64_t sequence_before;
    int64_t sequence_after;
    int64_t data_loss_ms;
    int64_t data_loss_versions;
    int64_t data_loss_bytes;
    int64_t data_loss_components;
    int64_t started_at_ms; /* of a plan: when it was made */
    int64_t completed_at_ms;
    const char *detail; /* JSON object: request, plannedAt, waves, removed, skipped, steps */
};
typedef bool hf_recovery_row_fn(void *context, const struct hf_recovery_row *row);

HF_MUST_USE bool hf_recoveries_insert(struct hf_session *session, const struct hf_recovery_row *row,
                                      struct hf_error *err);
HF_MUST_USE bool hf_recoveries_get(struct hf_session *session, int64_t system_id, const char *id,
                                   struct hf_arena *arena, struct hf_recovery_row *out, bool *found_out,
                                   struct hf_error *err);
/* Newest first, before (started_at_ms, id), exclusive: INT64_MAX and "" for the start. */
HF_MUST_USE bool hf_recoveries_list(struct hf_session *session, int64_t system_id, int64_t before_started_at_ms,
                                    const char *before_id, int64_t limit, hf_recovery_row_fn *each, void *context,
                                    struct hf_error *err);
/* Writes all but id, source and at_ms, and only while the stored status is from_status; *updated_out
 * tells whether it was. */
HF_MUST_USE bool hf_recoveries_update(struct hf_session *session, const struct hf_recovery_row *row,
                                      const char *from_status, bool *updated_out, struct hf_error *err);
/* Deletes at most limit rows that were started before before_ms, oldest first; never the newest of the system, and none
 * that has components (recovery_components.h) left. */
HF_MUST_USE bool hf_recoveries_trim(struct hf_session *session, int64_t system_id, int64_t before_ms, int64_t limit,
                                    int64_t *deleted_out, struct hf_error *err);

struct hf_validation_row {
    int64_t system_id;
    const char *snapshot;
    const char *check_name;
    const char *status; /* passed | healed | warning | failed | skipped */
    const char *detail;
    double quality_score;
    int64_t checked_at_ms; /* the same for all rows of one run */
    const char *data;      /* JSON object; NULL: "{}" */
};
typedef bool hf_validation_row_fn(void *context, const struct hf_validation_row *row);
HF_MUST_USE bool hf_validations_insert(struct hf_session *session, const struct hf_validation_row *row,
                                       struct hf_error *err);
HF_MUST_USE bool hf_validations_list(struct hf_session *session, int64_t system_id, const char *snapshot,
                                     hf_validation_row_fn *each, void *context,
                                     struct hf_error *err); /* oldest first */
/* Deletes the rows of a snapshot but those of its newest runs. */
HF_MUST_USE bool hf_validations_forget(struct hf_session *session, int64_t system_id, const char *snapshot,
                                       int64_t runs_kept, struct hf_error *err);
/* Deletes at most limit rows that were checked before before_ms and whose snapshot has no row any more. */
HF_MUST_USE bool hf_validations_trim(struct hf_session *session, int64_t system_id, int64_t before_ms, int64_t limit,
                                     int64_t *deleted_out, struct hf_error *err);

struct hf_event_row {
    int64_t id; /* given by the database */
    int64_t system_id;
    int64_t at_ms;
    const char *severity; /* info | warning | error */
    const char *type;     /* snapshot.completed, recovery.applied, … */
    const char *text;
    const char *data; /* JSON object */
};
typedef bool hf_event_row_fn(void *context, const struct hf_event_row *row);
HF_MUST_USE bool hf_events_insert(struct hf_session *session, const struct hf_event_row *rows, int count,
                                  struct hf_error *err);
/* Oldest first, id > after; severity NULL: any. */
HF_MUST_USE bool hf_events_list(struct hf_session *session, int64_t system_id, const char *severity, int64_t after,
                                int64_t limit, hf_event_row_fn *each, void *context, struct hf_error *err);
struct hf_events_wanted {
    int64_t system_id;
    const char *severity;  /* NULL: any */
    int64_t after, before; /* ids between these two; 0, INT64_MAX: all */
    int64_t limit;
};
/* Newest first: what came last is found without reading what came before. */
HF_MUST_USE bool hf_events_list_newest(struct hf_session *session, const struct hf_events_wanted *wanted,
                                       hf_event_row_fn *each, void *context, struct hf_error *err);
/* The greatest id of any system's; 0 without one. */
HF_MUST_USE bool hf_events_newest(struct hf_session *session, int64_t *id_out, struct hf_error *err);
HF_MUST_USE bool hf_events_trim(struct hf_session *session, int64_t before_ms, int64_t limit, int64_t *deleted_out,
                                struct hf_error *err);

/* Idempotency keys of batches and recoveries. */
HF_MUST_USE bool hf_keys_insert(struct hf_session *session, int64_t system_id, const char *key,
                                const struct hf_hash *body_hash, const char *answer, int64_t created_at_ms,
                                struct hf_error *err);
HF_MUST_USE bool hf_keys_get(struct hf_session *session, int64_t system_id, const char *key, struct hf_arena *arena,
                             struct hf_hash *body_hash_out, const char **answer_out, int64_t *created_at_ms_out,
                             bool *found_out, struct hf_error *err);
HF_MUST_USE bool hf_keys_trim(struct hf_session *session, int64_t before_ms, int64_t limit, int64_t *deleted_out,
                              struct hf_error *err);

#endif
