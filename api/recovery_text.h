/* A recovery as a report for people, after the incident: what was done and why, what it cost, how it went, what is left
 * to do. */
#ifndef HF_API_RECOVERY_TEXT_H
#define HF_API_RECOVERY_TEXT_H

#include "core/buf.h"
#include "core/json.h"

/* From what hf_api_recovery_json_finish made. */
void hf_recovery_text_write(struct hf_buf *out, const json_t *recovery);

#endif
