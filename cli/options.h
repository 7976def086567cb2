/* The command line: the command, its options and arguments, by getopt_long and the rows of cli/commands.h. */
#ifndef HF_CLI_OPTIONS_H
#define HF_CLI_OPTIONS_H

#include "cli/commands.h"
#include "core/error.h"

#include <stdint.h>

struct hf_given {
    const struct hf_option *option;
    const char *value; /* NULL: it takes none */
};

struct hf_options {
    const struct hf_command *command; /* NULL: none was named */
    struct hf_given *given;           /* in the order they were given */
    size_t given_count;
    char **arguments; /* borrowed from argv */
    size_t argument_count;
};

/* Fails with HF_INVALID_REQUEST and says what was meant, if that can be guessed. Even then out holds what was read
 * before. argv is borrowed (and permuted); hf_options_done. Not thread-safe: getopt. */
HF_MUST_USE bool hf_options_read(int argc, char *argv[], struct hf_options *out, struct hf_error *err);
void hf_options_done(struct hf_options *options);

/* By name; a name that neither the command nor the program has is a mistake of ours and ends it. */
bool hf_option_given(const struct hf_options *options, const char *name);
const char *hf_option_text(const struct hf_options *options, const char *name); /* the last one; NULL: not given */
/* The next value of an option that may be repeated; *cursor begins with 0. NULL: no more. */
const char *hf_option_next(const struct hf_options *options, const char *name, size_t *cursor);

/* A whole number of digits alone, without sign or spaces, up to INT64_MAX; else false. */
bool hf_number_read(const char *text, int64_t *out);

/* NULL where fewer were given. */
const char *hf_argument(const struct hf_options *options, size_t index);

#endif
