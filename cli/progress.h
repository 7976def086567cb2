/* How far something is, on standard error: a bar with rate and time left on a terminal, else a plain line now and then.
 * Nothing with --quiet or --json. */
#ifndef HF_CLI_PROGRESS_H
#define HF_CLI_PROGRESS_H

#include "cli/cli.h"
#include "core/buf.h"

#include <stdint.h>

struct hf_progress {
    const struct hf_pen *pen; /* NULL: silent */
    const char *label;        /* borrowed */
    bool bytes;               /* done and total are sizes; else they are counts */
    bool drawn;
    uint64_t began_ns, told_ns;
    int64_t done, total;
};

void hf_progress_begin(struct hf_progress *progress, struct hf_cli *cli, const char *label, bool bytes);
/* total below 1: not known. Draws at most ten times a second. */
void hf_progress_show(struct hf_progress *progress, int64_t done, int64_t total);
/* Takes the bar away. What came of it is for the caller to say. */
void hf_progress_end(struct hf_progress *progress);

/* "[=====>    ]  50%  1.0 MiB of 2.0 MiB  512.0 KiB/s  2 s left"; a bar of bar_width columns, 0: none. */
void hf_progress_write(struct hf_buf *out, const struct hf_progress *progress, uint64_t now_ns, size_t bar_width);

#endif
