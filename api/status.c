/* How the service, or one system of it, is: as JSON for programs, as text for people. */
#include "api/api.h"
#include "api/drill_json.h"
#include "api/handlers.h"
#include "api/status_text.h"
#include "core/clock.h"

#include <math.h>
#include <string.h>

static enum hf_verdict answer_status(struct hf_request *request, struct hf_reply *reply, const char *system,
                                     struct hf_error *err);
static json_t *status_json(const struct hf_status *status, const char *system);
static json_t *health_json(const struct hf_status *status);
static json_t *metric_totals_json(const struct hf_status *status);
static json_t *snapshot_json(const struct hf_snapshot_row *row);
static json_t *recoverability_json(const struct hf_recoverability *figures);
static json_t *validation_json(const struct hf_status *status);
static json_t *mirror_json(const struct hf_mirror_status *mirror);
static json_t *storage_json(const struct hf_status *status);
static json_t *warnings_json(const struct hf_status *status);

enum hf_verdict hf_api_service_status(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    return answer_status(request, reply, NULL, err);
}

enum hf_verdict hf_api_system_status(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    return answer_status(request, reply, request->params[0], err);
}

static enum hf_verdict answer_status(struct hf_request *request, struct hf_reply *reply, const char *system,
                                     struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_status status = {0};
    bool text = false;
    if (!engine || !hf_api_wants_text(request, &text, err))
        return HF_FAIL;
    if (!hf_status_collect(engine, system, &request->arena, &status)) {
        hf_error_set(err, HF_NOT_FOUND, "there is no system \"%s\"", system ? system : "");
        return HF_FAIL;
    }
    if (text) {
        hf_status_text_write(&reply->body, &status, system, hf_clock_now_ms());
        reply->status = 200;
        reply->content_type = "text/plain; charset=utf-8";
        return HF_DONE;
    }
    HF_AUTO(json) json_t *object = status_json(&status, system);
    hf_reply_json(reply, 200, object);
    return HF_DONE;
}

static json_t *status_json(const struct hf_status *status, const char *system)
{
    json_t *object = json_object();
    hf_api_set_text(object, "status", status->status);
    hf_api_set_text(object, "version", HF_VERSION);
    if (system)
        hf_api_set_text(object, "system", system);
    hf_api_set_int(object, "uptimeSeconds", status->uptime_ms / 1000);
    hf_api_set_int(object, "systems", status->systems);
    hf_api_set(object, "systemHealth", health_json(status));
    hf_api_set_int(object, "nextFullBackup", status->next_full_at_ms);
    hf_json_set_time(object, "nextFullBackupAt", status->next_full_at_ms);
    hf_api_set_int(object, "nextIncrementalBackup", status->next_incremental_at_ms);
    hf_json_set_time(object, "nextIncrementalBackupAt", status->next_incremental_at_ms);
    hf_api_set(object, "lastFullBackup", snapshot_json(status->has_full ? &status->last_full : NULL));
    hf_api_set(object, "lastIncrementalBackup",
               snapshot_json(status->has_incremental ? &status->last_incremental : NULL));
    hf_api_set_int(object, "components", status->components);
    hf_api_set_int(object, "activeAgents", status->active_agents);
    hf_api_set(object, "metricTotals", metric_totals_json(status));
    hf_api_set(object, "recoverability", recoverability_json(&status->recoverability));
    hf_api_set(object, "validation", validation_json(status));
    json_t *store = json_object();
    hf_api_set_text(store, "engine", status->engine);
    hf_api_set_text(store, "status", status->store_up ? "up" : "down");
    hf_api_set(object, "store", store);
    if (!system) {
        hf_api_set(object, "mirror", mirror_json(&status->mirror));
        hf_api_set(object, "storage", storage_json(status));
    }
    hf_api_set(object, "warnings", warnings_json(status));
    return object;
}

static json_t *health_json(const struct hf_status *status)
{
    json_t *object = json_object();
    /* Four digits: more would be noise of floating point. */
    hf_api_set(object, "overallHealth", json_real(round(status->overall_health * 10000) / 10000));
    hf_api_set_int(object, "healthy", status->healthy);
    hf_api_set_int(object, "stale", status->stale);
    hf_api_set_int(object, "failed", status->failed);
    return object;
}

static json_t *metric_totals_json(const struct hf_status *status)
{
    json_t *object = json_object();
    for (int i = 0; i < status->metric_total_count; i++) {
        double value = status->metric_totals[i].value;
        bool whole = floor(value) == value && fabs(value) < 9e15;
        /* A sum of many huge numbers may leave what JSON can say. */
        json_t *number = whole ? json_integer((json_int_t)value) : isfinite(value) ? json_real(value) : json_null();
        hf_api_set(object, status->metric_totals[i].name, number);
    }
    return object;
}

static json_t *snapshot_json(const struct hf_snapshot_row *row)
{
    if (!row)
        return json_null();
    json_t *object = json_object();
    hf_api_set_text(object, "id", row->id);
    hf_json_set_time(object, "cutAt", row->cut_at_ms);
    hf_api_set_text(object, "validation", row->validation_status);
    return object;
}

static json_t *recoverability_json(const struct hf_recoverability *figures)
{
    json_t *object = json_object();
    hf_json_set_time(object, "from", figures->from_ms);
    hf_json_set_time(object, "to", figures->to_ms);
    hf_json_set_time(object, "historyFrom", figures->history_from_ms);
    hf_api_set_int(object, "exposureMs", figures->exposure_ms);
    hf_api_set_int(object, "promisedExposureMs", figures->promised_exposure_ms);
    hf_api_set_int(object, "unsnapshottedVersions", figures->unsnapshotted_versions);
    hf_api_set_int(object, "unsnapshottedBytes", figures->unsnapshotted_bytes);
    bool known = figures->expected_recovery_ms >= 0;
    hf_api_set(object, "expectedRecoveryMs", known ? json_integer(figures->expected_recovery_ms) : json_null());
    hf_api_set(object, "lastDrill",
               figures->has_drill ? hf_api_drill_json(figures->drill_system, &figures->last_drill) : json_null());
    hf_json_set_time(object, "nextDrillBy", figures->next_drill_by_ms);
    return object;
}

static json_t *validation_json(const struct hf_status *status)
{
    json_t *object = json_object();
    hf_json_set_time(object, "lastValidatedAt", status->last_validated_at_ms);
    hf_api_set_int(object, "pending", status->pending_validations);
    hf_api_set_int(object, "damaged", status->damaged_snapshots);
    return object;
}

static json_t *mirror_json(const struct hf_mirror_status *mirror)
{
    if (!mirror->configured)
        return json_null();
    json_t *object = json_object();
    hf_api_set_text(object, "status", mirror->up ? "up" : "down");
    hf_api_set_int(object, "pendingFiles", mirror->pending_files);
    hf_json_set_time(object, "caughtUpAt", mirror->caught_up_at_ms);
    hf_api_set_text(object, "lastError", mirror->last_error[0] ? mirror->last_error : NULL);
    return object;
}

static json_t *storage_json(const struct hf_status *status)
{
    json_t *array = json_array();
    for (int i = 0; i < status->storage_count; i++) {
        const struct hf_storage_figures *figures = &status->storage[i];
        json_t *object = json_object();
        hf_api_set_text(object, "place", figures->place);
        hf_api_set(object, "freeBytes", figures->known ? json_integer(figures->free_bytes) : json_null());
        hf_api_set(object, "totalBytes", figures->known ? json_integer(figures->total_bytes) : json_null());
        hf_api_set(object, "low", json_boolean(figures->low));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *warnings_json(const struct hf_status *status)
{
    json_t *array = json_array();
    for (int i = 0; i < status->warning_count; i++)
        json_array_append_new(array, json_string(status->warnings[i]));
    return array;
}
