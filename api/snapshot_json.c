#include "api/snapshot_json.h"

#include "api/api.h"

json_t *hf_api_snapshot_json(struct hf_engine *engine, const struct hf_system_info *system,
                             const struct hf_snapshot_row *row)
{
    json_t *object = json_object(), *validation = json_object();
    hf_api_set_text(object, "id", row->id);
    hf_api_set_text(object, "system", system->name);
    hf_api_set_text(object, "state", row->state);
    hf_api_set_text(object, "kind", row->kind);
    hf_api_set_text(object, "trigger", row->trigger);
    hf_api_set_text(object, "label", row->label);
    hf_api_set_text(object, "reason", row->reason);
    hf_api_set_text(object, "generation", row->generation);
    hf_api_set_text(object, "parent", row->parent && *row->parent ? row->parent : NULL);
    hf_api_set_int(object, "sequence", row->sequence);
    hf_api_set_int(object, "epoch", row->epoch);
    hf_api_set_hash(object, "rootHash", &row->root_hash);
    hf_api_set_int(object, "components", row->components);
    hf_api_set_int(object, "changed", row->changed);
    hf_api_set_int(object, "deleted", row->deleted);
    hf_api_set_int(object, "stateBytes", row->state_bytes);
    hf_api_set_int(object, "fileBytes", row->file_bytes);
    hf_api_set_text(object, "file", row->file);
    hf_json_set_time(object, "cutAt", row->cut_at_ms);
    hf_json_set_time(object, "completedAt", row->completed_at_ms);
    hf_api_set_int(object, "durationMs", row->duration_ms);
    hf_api_set_text(validation, "status", row->validation_status);
    hf_json_set_time(validation, "checkedAt", row->validated_at_ms);
    hf_api_set(validation, "qualityScore", row->quality_score < 0 ? json_null() : json_real(row->quality_score));
    hf_api_set(object, "validation", validation);
    hf_api_set(object, "pinned", json_boolean(row->pinned));
    hf_json_set_time(object, "expiresAt", hf_snapshot_expires_at_ms(engine, system, row));
    return object;
}

json_t *hf_api_snapshot_progress_json(const struct hf_system_info *system, const struct hf_snapshot_progress *progress)
{
    json_t *object = json_object();
    hf_api_set_text(object, "id", progress->id);
    hf_api_set_text(object, "system", system->name);
    hf_api_set_text(object, "state", progress->state);
    hf_api_set_text(object, "kind", progress->kind);
    hf_api_set_text(object, "error", progress->error[0] ? progress->error : NULL);
    hf_json_set_time(object, "cutAt", progress->cut_at_ms);
    hf_api_set_int(object, "componentsDone", progress->components_done);
    hf_api_set_int(object, "componentsTotal", progress->components_total);
    return object;
}

json_t *hf_api_snapshot_entry_json(const struct hf_manifest_entry *entry)
{
    json_t *object = json_object();
    hf_api_set_text(object, "name", entry->component);
    hf_api_set_text(object, "kind", entry->component_kind);
    hf_api_set_stored(object, "dependsOn", entry->depends_on, "[]");
    hf_api_set_int(object, "version", entry->version);
    hf_api_set_int(object, "sequence", entry->sequence);
    hf_api_set_hash(object, "hash", &entry->hash);
    hf_api_set_int(object, "bytes", entry->bytes);
    hf_api_set_text(object, "contentType", entry->content_type);
    hf_json_set_time(object, "committedAt", entry->committed_at_ms);
    return object;
}
