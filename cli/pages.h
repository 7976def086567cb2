/* What is generated from the rows of the commands: manual pages and completions. */
#ifndef HF_CLI_PAGES_H
#define HF_CLI_PAGES_H

#include "cli/commands.h"

#include <stdio.h>

/* troff, for man(7); command NULL: of the program. */
void hf_man_write(FILE *file, const struct hf_command *command);

/* For "bash" or "zsh". False: no such shell. */
bool hf_completion_write(FILE *file, const char *shell);

#endif
