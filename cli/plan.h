/* The plan of a restore, and what came of it, for people. */
#ifndef HF_CLI_PLAN_H
#define HF_CLI_PLAN_H

#include "cli/cli.h"

/* Waves, versions, ages, and what is lost. */
void hf_plan_write(const struct hf_pen *pen, const json_t *recovery);

/* "3 versions in 2 components would be lost, 12 minutes of work"; "nothing would be lost". */
void hf_plan_loss(const json_t *recovery, bool done, char out[256]);

#endif
