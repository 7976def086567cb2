/* Health and status: component scores from heartbeats, freshness and validation; the figures of GET /v1/status. */
#ifndef HF_ENGINE_HEALTH_H
#define HF_ENGINE_HEALTH_H

#include "engine/engine.h"
#include "engine/mirror.h"
#include "engine/recoverability.h"
#include "engine/storage.h"
#include "store/snapshots.h"

/* score 0..1 = reported health x freshness x validation. label: healthy | stale | failed | unknown (never reported,
 * no heartbeat promised: counts as healthy in the overall figure). */
struct hf_component_health {
    double score;
    const char *label;
};
struct hf_component_health hf_component_health(const struct hf_component_info *component, int64_t now_ms);

/* When a component counts as stale unless it is heard of before: two heartbeats missed after the last sign of life.
 * 0: never, because it promised none. */
int64_t hf_component_stale_at_ms(int64_t heartbeat_interval_ms, int64_t last_activity_at_ms, int64_t registered_at_ms);

struct hf_metric_total {
    const char *name;
    double value;
};

struct hf_status {
    const char *status; /* operational | degraded | failed */
    int64_t uptime_ms;
    int64_t systems;
    double overall_health;
    int64_t healthy, stale, failed; /* together: components */
    int64_t components;             /* with a present state */
    int64_t active_agents;          /* kind "agent" and active within twice its heartbeat interval (or 5 minutes) */
    int64_t next_full_at_ms, next_incremental_at_ms;
    bool has_full, has_incremental;
    struct hf_snapshot_row last_full, last_incremental;
    struct hf_metric_total *metric_totals; /* sums over components by metric name, by name; at most 256 */
    int metric_total_count;
    struct hf_recoverability recoverability;
    int64_t damaged_snapshots, pending_validations;
    int64_t last_validated_at_ms; /* 0: never */
    bool store_up;
    const char *engine;
    struct hf_mirror_status mirror; /* of the whole service, as is the storage */
    struct hf_storage_figures storage[HF_STORAGE_PLACES_MAX];
    int storage_count;
    const char *warnings[16];
    int warning_count;
};

/* system NULL: the whole service. Texts live in the arena. Reads snapshot rows from memory kept by the snapshotter, so
 * it answers while the database is away. False: no such system. */
bool hf_status_collect(struct hf_engine *engine, const char *system, struct hf_arena *arena, struct hf_status *out);

#endif
