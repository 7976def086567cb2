/* The status for people: aligned lines with human durations. */
#ifndef HF_API_STATUS_TEXT_H
#define HF_API_STATUS_TEXT_H

#include "core/buf.h"
#include "engine/health.h"

/* system NULL: the whole service. */
void hf_status_text_write(struct hf_buf *out, const struct hf_status *status, const char *system, int64_t now_ms);

#endif
