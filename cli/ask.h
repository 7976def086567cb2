/* Asking the person at the terminal. */
#ifndef HF_CLI_ASK_H
#define HF_CLI_ASK_H

#include "cli/cli.h"

enum hf_answer { HF_ANSWER_YES, HF_ANSWER_NO, HF_ANSWER_INTERRUPTED };

/* Whether standard input and error are a terminal. */
bool hf_ask_possible(const struct hf_cli *cli);

/* Only "y" and "yes" are a yes; the end of the input is a no. */
enum hf_answer hf_ask_yes(struct hf_cli *cli, const char *question);

#endif
