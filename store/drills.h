/* Rows of restore_drills: how restoring went when it was only tried. Error codes are those of store.h. */
#ifndef HF_STORE_DRILLS_H
#define HF_STORE_DRILLS_H

#include "store/store.h"

struct hf_drill_row {
    int64_t system_id;
    const char *id;
    const char *snapshot; /* "": there was none */
    int64_t sequence;     /* of that snapshot */
    int64_t started_at_ms;
    int64_t duration_ms; /* of the restore, without the comparison; 0: it did not get so far */
    int64_t components;  /* restored and found equal */
    int64_t bytes;       /* of their states */
    const char *status;  /* passed | failed | inconclusive | skipped */
    const char *detail;
};
typedef bool hf_drill_row_fn(void *context, const struct hf_drill_row *row);

/* Writes nothing when the system is gone. */
HF_MUST_USE bool hf_drills_insert(struct hf_session *session, const struct hf_drill_row *row, struct hf_error *err);
/* Newest first, before (started_at_ms, id), exclusive: INT64_MAX and "" for the start. */
HF_MUST_USE bool hf_drills_list(struct hf_session *session, int64_t system_id, int64_t before_started_at_ms,
                                const char *before_id, int64_t limit, hf_drill_row_fn *each, void *context,
                                struct hf_error *err);
/* The newest row of every system; status NULL: whatever came of it, else the newest of those. */
HF_MUST_USE bool hf_drills_newest(struct hf_session *session, const char *status, hf_drill_row_fn *each, void *context,
                                  struct hf_error *err);
/* Deletes at most limit rows that were started before before_ms, oldest first; never the newest of the system, nor the
 * newest that passed. */
HF_MUST_USE bool hf_drills_trim(struct hf_session *session, int64_t system_id, int64_t before_ms, int64_t limit,
                                int64_t *deleted_out, struct hf_error *err);

#endif
