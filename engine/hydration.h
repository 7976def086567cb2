/* Hydration: the components of a client system come up again, wave after wave, and report how it went. A recovery of
 * the present waits for the reports from its start; a restore from the first of them. */
#ifndef HF_ENGINE_HYDRATION_H
#define HF_ENGINE_HYDRATION_H

#include "engine/engine.h"
#include "store/recovery_components.h"

#define HF_HYDRATION_NAMES_MAX 100 /* that an event names; it counts the rest */

struct hf_hydration_report {
    const char *system, *recovery, *component;
    const char *status;  /* restored | failed | fresh */
    const char *detail;  /* "" */
    int64_t duration_ms; /* -1: not told */
};

struct hf_hydration_receipt {
    struct hf_recovery_component_row row; /* as stored; texts in the arena */
    char recovery_status[16];             /* after the report */
};

/* Records what one component tells. The last one ends the recovery: completed, or failed when a component failed; that
 * is told in one event. The same report again changes nothing; another one replaces it until the recovery ends.
 * HF_NOT_FOUND: no such recovery, or the component is not part of it; HF_CONFLICT: the recovery is a plan, or has ended
 * with another report. Worker threads. */
HF_MUST_USE bool hf_hydration_report(struct hf_engine *engine, const struct hf_hydration_report *report,
                                     struct hf_arena *arena, struct hf_hydration_receipt *out, struct hf_error *err);

/* Ends, as failed, every recovery that waits for reports longer than recovery_timeout_ms; its event names who was
 * silent. Scheduler thread. */
void hf_hydration_time_out(struct hf_engine *engine);

/* Counts and tells that a recovery of the present had nothing to wait for. */
void hf_hydration_tell_empty(struct hf_engine *engine, int64_t system_id, const char *system, const char *recovery);

#endif
