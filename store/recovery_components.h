/* What clients report about a recovery: rows of recovery_components, one a component, and whether the recovery waits
 * for reports (system_recovery_logs.reporting_since_ms). Error codes are those of store.h. */
#ifndef HF_STORE_RECOVERY_COMPONENTS_H
#define HF_STORE_RECOVERY_COMPONENTS_H

#include "core/arena.h"
#include "store/store.h"

struct hf_recovery_component_row {
    const char *component;
    int64_t wave;
    const char *status; /* pending | restored | failed | fresh */
    const char *detail;
    int64_t duration_ms;    /* -1: not told */
    int64_t reported_at_ms; /* 0: not reported */
};
typedef bool hf_recovery_component_row_fn(void *context, const struct hf_recovery_component_row *row);

/* Whether and since when a recovery waits for reports. */
struct hf_recovery_waiting {
    char status[16];
    int64_t started_at_ms;
    int64_t reporting_since_ms; /* 0: it does not wait */
};

struct hf_recovery_component_counts {
    int64_t pending, restored, failed, fresh;
};

/* All pending; component and wave are read, the rest is not. In one transaction. */
HF_MUST_USE bool hf_recovery_components_insert(struct hf_session *session, int64_t system_id, const char *recovery,
                                               const struct hf_recovery_component_row *rows, int count,
                                               struct hf_error *err);
/* By wave, then name. */
HF_MUST_USE bool hf_recovery_components_list(struct hf_session *session, int64_t system_id, const char *recovery,
                                             hf_recovery_component_row_fn *each, void *context, struct hf_error *err);
/* Texts of *out in the arena. */
HF_MUST_USE bool hf_recovery_components_get(struct hf_session *session, int64_t system_id, const char *recovery,
                                            const char *component, struct hf_arena *arena,
                                            struct hf_recovery_component_row *out, bool *found_out,
                                            struct hf_error *err);
/* Writes all but component and wave. */
HF_MUST_USE bool hf_recovery_components_report(struct hf_session *session, int64_t system_id, const char *recovery,
                                               const struct hf_recovery_component_row *row, struct hf_error *err);
/* The first names that are pending, or that failed, in byte order. */
HF_MUST_USE bool hf_recovery_components_names(struct hf_session *session, int64_t system_id, const char *recovery,
                                              bool failed, int64_t limit, struct hf_arena *arena,
                                              const char **names_out, int *count_out, struct hf_error *err);
HF_MUST_USE bool hf_recovery_components_count(struct hf_session *session, int64_t system_id, const char *recovery,
                                              struct hf_recovery_component_counts *out, struct hf_error *err);
/* Deletes at most limit rows of recoveries that hf_recoveries_trim would delete; that one then does. */
HF_MUST_USE bool hf_recovery_components_trim(struct hf_session *session, int64_t system_id, int64_t before_ms,
                                             int64_t limit, int64_t *deleted_out, struct hf_error *err);

HF_MUST_USE bool hf_recovery_waiting_get(struct hf_session *session, int64_t system_id, const char *recovery,
                                         struct hf_recovery_waiting *out, bool *found_out, struct hf_error *err);
HF_MUST_USE bool hf_recovery_waiting_begin(struct hf_session *session, int64_t system_id, const char *recovery,
                                           int64_t since_ms, struct hf_error *err);
/* The recovery gets its last status, and is not waited for any more; *ended_out is false, and nothing changed, when it
 * was neither pending nor applied. */
HF_MUST_USE bool hf_recovery_waiting_end(struct hf_session *session, int64_t system_id, const char *recovery,
                                         const char *status, int64_t completed_at_ms, bool *ended_out,
                                         struct hf_error *err);
/* Those that wait since before_ms or longer, of all systems, longest first. */
typedef bool hf_recovery_overdue_fn(void *context, int64_t system_id, const char *recovery);
HF_MUST_USE bool hf_recovery_waiting_overdue(struct hf_session *session, int64_t before_ms, int64_t limit,
                                             hf_recovery_overdue_fn *each, void *context, struct hf_error *err);

#endif
