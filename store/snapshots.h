/* Rows of system_state_snapshots: what snapshot files exist and how good they are. Error codes are those of store.h. */
#ifndef HF_STORE_SNAPSHOTS_H
#define HF_STORE_SNAPSHOTS_H

#include "core/arena.h"
#include "store/store.h"

struct hf_snapshot_row {
    int64_t system_id;
    const char *id;
    const char *kind;    /* full | incremental */
    const char *trigger; /* schedule | manual | shutdown | event | import */
    const char *label;
    const char *reason;
    const char *generation;
    const char *parent; /* "": none */
    int64_t sequence;
    int64_t epoch;
    struct hf_hash root_hash;
    int64_t components;
    int64_t changed;
    int64_t deleted;
    int64_t state_bytes;
    int64_t file_bytes;
    const char *file;
    int64_t cut_at_ms;
    int64_t completed_at_ms;
    int64_t duration_ms;
    const char *state;             /* complete | failed | damaged */
    const char *validation_status; /* pending | valid | damaged */
    int64_t validated_at_ms;
    double quality_score; /* -1: not scored */
    bool pinned;
};

typedef bool hf_snapshot_row_fn(void *context, const struct hf_snapshot_row *row);

HF_MUST_USE bool hf_snapshots_insert(struct hf_session *session, const struct hf_snapshot_row *row,
                                     struct hf_error *err);
/* Texts live in the arena. *found_out false: none. */
HF_MUST_USE bool hf_snapshots_get(struct hf_session *session, int64_t system_id, const char *id, struct hf_arena *arena,
                                  struct hf_snapshot_row *out, bool *found_out, struct hf_error *err);

/* Newest first; kind NULL: any; only rows before (cut_at_ms, id), exclusive: INT64_MAX and "" for the start. */
HF_MUST_USE bool hf_snapshots_list(struct hf_session *session, int64_t system_id, const char *kind,
                                   int64_t before_cut_at_ms, const char *before_id, int64_t limit,
                                   hf_snapshot_row_fn *each, void *context, struct hf_error *err);

/* The newest complete one; kind NULL: any. */
HF_MUST_USE bool hf_snapshots_latest(struct hf_session *session, int64_t system_id, const char *kind,
                                     struct hf_arena *arena, struct hf_snapshot_row *out, bool *found_out,
                                     struct hf_error *err);
HF_MUST_USE bool hf_snapshots_update(struct hf_session *session, int64_t system_id, const char *id, const char *label,
                                     bool pinned, struct hf_error *err);
HF_MUST_USE bool hf_snapshots_set_state(struct hf_session *session, int64_t system_id, const char *id,
                                        const char *state, const char *validation_status, int64_t validated_at_ms,
                                        double quality_score, struct hf_error *err);
HF_MUST_USE bool hf_snapshots_delete(struct hf_session *session, int64_t system_id, const char *id,
                                     struct hf_error *err);

#endif
