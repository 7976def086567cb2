/* Snapshots as JSON. All results are new references. */
#ifndef HF_API_SNAPSHOT_JSON_H
#define HF_API_SNAPSHOT_JSON_H

#include "core/json.h"
#include "engine/snapshot.h"

json_t *hf_api_snapshot_json(struct hf_engine *engine, const struct hf_system_info *system,
                             const struct hf_snapshot_row *row);
json_t *hf_api_snapshot_progress_json(const struct hf_system_info *system, const struct hf_snapshot_progress *progress);
json_t *hf_api_snapshot_entry_json(const struct hf_manifest_entry *entry);

#endif
