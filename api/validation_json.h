/* What validation found, as JSON. */
#ifndef HF_API_VALIDATION_JSON_H
#define HF_API_VALIDATION_JSON_H

#include "api/request.h"
#include "core/json.h"
#include "engine/validation.h"
#include "store/snapshots.h"

/* Adds checks, lost (what the token reaches) and lostAll. */
void hf_api_add_findings(struct hf_request *request, json_t *object, const struct hf_validation *validation);

/* Adds those of the last validation of the snapshot; null where it was not examined yet. */
HF_MUST_USE bool hf_api_add_latest_validation(struct hf_request *request, struct hf_engine *engine, const char *system,
                                              const struct hf_snapshot_row *row, json_t *validation,
                                              struct hf_error *err);

#endif
