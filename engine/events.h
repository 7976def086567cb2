/* Events: what an operator may want to know. Each goes to the log, to the metrics and, soon after, to the database. */
#ifndef HF_ENGINE_EVENTS_H
#define HF_ENGINE_EVENTS_H

#include "engine/engine.h"

/* type, severity. The text is given at the call. */
#define HF_EVENT_TABLE(X)                                                                                              \
    X(HF_EV_SERVICE_STARTED, "service.started", "info")                                                                \
    X(HF_EV_SERVICE_STOPPING, "service.stopping", "info")                                                              \
    X(HF_EV_STORE_DOWN, "store.down", "error")                                                                         \
    X(HF_EV_STORE_UP, "store.up", "info")                                                                              \
    X(HF_EV_STORE_FULL, "store.full", "error")                                                                         \
    X(HF_EV_STATE, "state.event", "info")                                                                              \
    X(HF_EV_STATE_DAMAGED, "state.damaged", "error")                                                                   \
    X(HF_EV_SYSTEM_CREATED, "system.created", "info")                                                                  \
    X(HF_EV_SYSTEM_FORKED, "system.forked", "info")                                                                    \
    X(HF_EV_SYSTEM_DELETED, "system.deleted", "warning")                                                               \
    X(HF_EV_COMPONENT_STALE, "component.stale", "warning")                                                             \
    X(HF_EV_COMPONENT_INVALID, "component.invalid", "warning")                                                         \
    X(HF_EV_COMPONENT_RECOVERED, "component.recovered", "info")                                                        \
    X(HF_EV_SNAPSHOT_COMPLETED, "snapshot.completed", "info")                                                          \
    X(HF_EV_SNAPSHOT_INCOMPLETE, "snapshot.incomplete", "warning")                                                     \
    X(HF_EV_SNAPSHOT_FAILED, "snapshot.failed", "warning")                                                             \
    X(HF_EV_SNAPSHOT_DAMAGED, "snapshot.damaged", "error")                                                             \
    X(HF_EV_SNAPSHOT_HEALED, "snapshot.healed", "warning")                                                             \
    X(HF_EV_SNAPSHOT_IMPORTED, "snapshot.imported", "info")                                                            \
    X(HF_EV_STATE_HEALED, "state.healed", "warning")                                                                   \
    X(HF_EV_MIRROR_BEHIND, "mirror.behind", "warning")                                                                 \
    X(HF_EV_MIRROR_CAUGHT_UP, "mirror.caught_up", "info")                                                              \
    X(HF_EV_MIRROR_HEALED, "mirror.healed", "warning")                                                                 \
    X(HF_EV_RETENTION_DELETED, "retention.deleted", "info")                                                            \
    X(HF_EV_SNAPSHOT_ADOPTED, "snapshot.adopted", "warning")                                                           \
    X(HF_EV_SNAPSHOT_DELETED, "snapshot.deleted", "info")                                                              \
    X(HF_EV_LEFTOVER_REMOVED, "snapshot.leftover_removed", "warning")                                                  \
    X(HF_EV_RECOVERY_APPLIED, "recovery.applied", "warning")                                                           \
    X(HF_EV_RECOVERY_COMPLETED, "recovery.completed", "info")                                                          \
    X(HF_EV_RECOVERY_FAILED, "recovery.failed", "error")                                                               \
    X(HF_EV_DRILL_PASSED, "drill.passed", "info")                                                                      \
    X(HF_EV_DRILL_FAILED, "drill.failed", "error")                                                                     \
    X(HF_EV_DRILL_INCONCLUSIVE, "drill.inconclusive", "warning")                                                       \
    X(HF_EV_DATABASE_DAMAGED, "database.damaged", "error")                                                             \
    X(HF_EV_DATABASE_REBUILT, "database.rebuilt", "warning")                                                           \
    X(HF_EV_DATABASE_BEHIND, "database.behind", "error")                                                               \
    X(HF_EV_FRESH_START, "recovery.fresh_start", "error")

enum hf_event_type {
#define X(id, type, severity) id,
    HF_EVENT_TABLE(X)
#undef X
        HF_EVENT_TYPE_COUNT
};

/* system_id 0: the service itself. data_json NULL: "{}". Any thread; never blocks. */
void hf_event_emit(struct hf_engine *engine, int64_t system_id, const char *system, enum hf_event_type type,
                   const char *data_json, const char *format, ...) HF_PRINTF(6, 7);
const char *hf_event_type_name(enum hf_event_type type);
const char *hf_event_severity(enum hf_event_type type);

#endif
