/* The status of a system, or of the service, as lines for people. */
#ifndef HF_CLI_STATUS_H
#define HF_CLI_STATUS_H

#include "cli/cli.h"

void hf_status_write(const struct hf_pen *pen, const json_t *status, int64_t now_ms);
enum hf_style hf_status_style(const json_t *status); /* green, yellow or red */

/* Of the system; of the service where that was asked for, or where no system was named and there is none "default".
 * Owns the answer. */
json_t *hf_status_ask(struct hf_cli *cli, bool all, struct holdfast_error *err);

#endif
