/* Help, made from the rows of the commands. */
#ifndef HF_CLI_USAGE_H
#define HF_CLI_USAGE_H

#include "cli/commands.h"
#include "cli/pen.h"

#include "core/buf.h"

/* Of one command; NULL: of the program. */
void hf_usage_write(const struct hf_pen *pen, const struct hf_command *command);

/* "holdfast restore [OPTION]... [SNAPSHOT]" */
void hf_usage_line(struct hf_buf *out, const struct hf_command *command);

/* "-q, --quiet" or "--file FILE" */
void hf_usage_option(struct hf_buf *out, const struct hf_option *option);

#endif
