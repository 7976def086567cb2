/* Showing a snapshot, for the commands that end with one. */
#ifndef HF_CLI_SNAPSHOTS_H
#define HF_CLI_SNAPSHOTS_H

#include "cli/cli.h"

void hf_snapshot_write(const struct hf_pen *pen, const json_t *snapshot);
bool hf_snapshot_is_damaged(const json_t *snapshot);

/* Validates a snapshot and waits for the verdict. Owns the answer; NULL on failure. */
json_t *hf_snapshot_validate(struct hf_cli *cli, const char *id, bool deep, struct holdfast_error *err);
void hf_validation_write(const struct hf_pen *pen, const json_t *validation, bool with_checks);

#endif
