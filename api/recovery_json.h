/* Recoveries as JSON: the row, what clients reported, and what follows from both. */
#ifndef HF_API_RECOVERY_JSON_H
#define HF_API_RECOVERY_JSON_H

#include "api/auth.h"
#include "core/json.h"
#include "store/journal.h"

/* What the row says. Owns; not yet for clients: */
json_t *hf_api_recovery_json(const char *system, const struct hf_recovery_row *row);

/* Adds what was reported to it, the progress, and the times of waves and steps; then leaves out the components that the
 * principal may not see. session NULL: nothing was reported yet. */
HF_MUST_USE bool hf_api_recovery_json_finish(json_t *recovery, struct hf_session *session, int64_t system_id,
                                             const struct hf_principal *principal, struct hf_error *err);

#endif
