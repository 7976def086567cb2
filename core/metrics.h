/* Counters, gauges and histograms as rows of one table, written as Prometheus text (exposition format 0.0.4).
 * Adding is lock-free; any thread. */
#ifndef HF_CORE_METRICS_H
#define HF_CORE_METRICS_H

#include "core/buf.h"

#include <stdint.h>

/* id, kind, name, help. One label at most, with a bounded set of values given at the call. */
#define HF_METRIC_TABLE(X)                                                                                             \
    X(HF_M_REQUESTS, COUNTER, "holdfast_http_requests_total", "HTTP requests answered.", "route_status")               \
    X(HF_M_REQUEST_SECONDS, HISTOGRAM, "holdfast_http_request_seconds", "Time from request to answer.", NULL)          \
    X(HF_M_HTTP_PROTOCOL_ERRORS, COUNTER, "holdfast_http_protocol_errors_total",                                       \
      "Answers made by the HTTP parser itself.", NULL)                                                                 \
    X(HF_M_SAVES, COUNTER, "holdfast_saves_total", "States made durable.", NULL)                                       \
    X(HF_M_SAVES_UNCHANGED, COUNTER, "holdfast_saves_unchanged_total", "Uploads whose content was already stored.",    \
      NULL)                                                                                                            \
    X(HF_M_SAVED_BYTES, COUNTER, "holdfast_saved_bytes_total", "Bytes of states made durable.", NULL)                  \
    X(HF_M_COMMITS, COUNTER, "holdfast_commits_total", "Transactions of the committer.", NULL)                         \
    X(HF_M_COMMIT_SECONDS, HISTOGRAM, "holdfast_commit_seconds", "Time of one group commit.", NULL)                    \
    X(HF_M_COMMIT_FAILURES, COUNTER, "holdfast_commit_failures_total", "Group commits that failed.", NULL)             \
    X(HF_M_OUTCOMES_RESOLVED, COUNTER, "holdfast_commit_outcomes_resolved_total",                                      \
      "Commits whose outcome was unknown and was found out.", NULL)                                                    \
    X(HF_M_QUEUE_JOBS, GAUGE, "holdfast_commit_queue_jobs", "Writes waiting for the committer.", NULL)                 \
    X(HF_M_INFLIGHT_BYTES, GAUGE, "holdfast_inflight_bytes", "Bytes of bodies held for requests under way.", NULL)     \
    X(HF_M_REFUSED_OVERLOADED, COUNTER, "holdfast_refused_overloaded_total",                                           \
      "Requests refused because a bound was reached.", NULL)                                                           \
    X(HF_M_CACHE_HITS, COUNTER, "holdfast_cache_hits_total", "Reads of latest states answered from memory.", NULL)     \
    X(HF_M_CACHE_MISSES, COUNTER, "holdfast_cache_misses_total", "Reads of latest states that went to the database.",  \
      NULL)                                                                                                            \
    X(HF_M_CACHE_BYTES, GAUGE, "holdfast_cache_bytes", "Bytes of latest states held in memory.", NULL)                 \
    X(HF_M_STORE_RECONNECTS, COUNTER, "holdfast_store_reconnects_total", "Database sessions opened again.", NULL)      \
    X(HF_M_STORE_UP, GAUGE, "holdfast_store_up", "1 when the database answers.", NULL)                                 \
    X(HF_M_COMPONENTS, GAUGE, "holdfast_components", "Components with a present state, all systems.", NULL)            \
    X(HF_M_SYSTEMS, GAUGE, "holdfast_systems", "Systems.", NULL)                                                       \
    X(HF_M_SNAPSHOTS, COUNTER, "holdfast_snapshots_total", "Snapshots completed.", "kind")                             \
    X(HF_M_SNAPSHOT_FAILURES, COUNTER, "holdfast_snapshot_failures_total", "Snapshots that failed.", NULL)             \
    X(HF_M_SNAPSHOT_SECONDS, HISTOGRAM, "holdfast_snapshot_seconds", "Time of one snapshot.", NULL)                    \
    X(HF_M_SNAPSHOT_WRITTEN_BYTES, COUNTER, "holdfast_snapshot_written_bytes_total",                                   \
      "Bytes of snapshot files written.", NULL)                                                                        \
    X(HF_M_LAST_SNAPSHOT_TIME, GAUGE, "holdfast_last_snapshot_timestamp_seconds",                                      \
      "Cut time of the newest snapshot, oldest system.", NULL)                                                         \
    X(HF_M_NEXT_FULL_TIME, GAUGE, "holdfast_next_full_snapshot_timestamp_seconds",                                     \
      "When the next full snapshot is due.", NULL)                                                                     \
    X(HF_M_EXPOSURE_SECONDS, GAUGE, "holdfast_exposure_seconds", "Age of the oldest change that no snapshot holds.",   \
      NULL)                                                                                                            \
    X(HF_M_RECOVERIES, COUNTER, "holdfast_recoveries_total", "Recoveries by outcome.", "status")                       \
    X(HF_M_DRILLS, COUNTER, "holdfast_drills_total", "Restore drills by outcome.", "status")                           \
    X(HF_M_LAST_DRILL_TIME, GAUGE, "holdfast_last_drill_timestamp_seconds",                                            \
      "When the last restore drill that passed was started, oldest system; 0 where one never passed.", NULL)           \
    X(HF_M_LAST_DRILL_SECONDS, GAUGE, "holdfast_last_drill_seconds",                                                   \
      "How long the restore of the last drill that passed took.", NULL)                                                \
    X(HF_M_VALIDATIONS, COUNTER, "holdfast_validations_total", "Validations by result.", "status")                     \
    X(HF_M_EVENTS, COUNTER, "holdfast_events_total", "Events recorded, by severity.", "severity")                      \
    X(HF_M_EVENT_STREAMS, GAUGE, "holdfast_event_streams", "Streams of events that are open.", NULL)                   \
    X(HF_M_RETENTION_DELETED, COUNTER, "holdfast_retention_deleted_snapshots_total",                                   \
      "Snapshots deleted by retention.", NULL)                                                                         \
    X(HF_M_RETENTION_FREED_BYTES, COUNTER, "holdfast_retention_freed_bytes_total",                                     \
      "Bytes of snapshot files deleted by retention.", NULL)                                                           \
    X(HF_M_HEALED, COUNTER, "holdfast_healed_total",                                                                   \
      "What was found damaged and put right, by what it was: content, file, state, mirror.", "what")                   \
    X(HF_M_SCRUBBED_BYTES, COUNTER, "holdfast_scrubbed_bytes_total", "Bytes read by the background validation.", NULL) \
    X(HF_M_MIRROR_PENDING, GAUGE, "holdfast_mirror_pending_files", "Snapshot files that the mirror lacks.", NULL)      \
    X(HF_M_STORAGE_FREE, GAUGE, "holdfast_storage_free_bytes",                                                         \
      "Bytes that are free where the service writes: data, backup, incremental, mirror.", "place")                     \
    X(HF_M_STORAGE_SIZE, GAUGE, "holdfast_storage_size_bytes", "Bytes that there are in all, likewise.", "place")      \
    X(HF_M_IMPORTS, COUNTER, "holdfast_imports_total", "Archives imported.", NULL)                                     \
    X(HF_M_START_TIME, GAUGE, "holdfast_start_timestamp_seconds", "When the service started.", NULL)

enum hf_metric {
#define X(id, kind, name, help, label) id,
    HF_METRIC_TABLE(X)
#undef X
        HF_METRIC_COUNT
};

void hf_metric_add(enum hf_metric metric, int64_t amount);
void hf_metric_set(enum hf_metric metric, double value);
void hf_metric_observe(enum hf_metric metric, double seconds);

/* For a labelled counter: value is one of a bounded set of program words (at most 256 per metric, then "other").
 * For "route_status" the value is "route|status" and is written as two labels, route and status. */
void hf_metric_add_labelled(enum hf_metric metric, const char *value, int64_t amount);

/* For a labelled gauge, of whole numbers: below 0 it is not known, and its line is left out. The same values. */
void hf_metric_set_labelled(enum hf_metric metric, const char *value, int64_t number);

double hf_metric_get(enum hf_metric metric); /* counters and gauges without labels; for status and tests */
void hf_metrics_write(struct hf_buf *out);   /* every row with HELP and TYPE */

#endif
