/* A restore drill in answers: the list of drills, and the status. */
#ifndef HF_API_DRILL_JSON_H
#define HF_API_DRILL_JSON_H

#include "core/json.h"
#include "store/drills.h"

/* Owns. */
json_t *hf_api_drill_json(const char *system, const struct hf_drill_row *row);

#endif
