/* Events, for the commands that show them. */
#ifndef HF_CLI_EVENTS_H
#define HF_CLI_EVENTS_H

#include "cli/cli.h"

/* The last `most` events after an id, at least 1, oldest first: an array. What came before them is not read. Owns. */
json_t *hf_events_last(struct hf_cli *cli, const char *after, const char *severity, size_t most,
                       struct holdfast_error *err);

/* The first `most` events after an id, at most 1,000, oldest first: an array. Owns. */
json_t *hf_events_after(struct hf_cli *cli, const char *after, size_t most, struct holdfast_error *err);

void hf_event_write(const struct hf_pen *pen, const json_t *event);

#endif
