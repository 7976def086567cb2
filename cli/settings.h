/* Where the service is and who asks: flags win over the environment, the environment over the file. */
#ifndef HF_CLI_SETTINGS_H
#define HF_CLI_SETTINGS_H

#include "cli/options.h"
#include "cli/pen.h"
#include "core/error.h"

#include <stdint.h>

struct hf_settings {
    char *url;        /* never NULL */
    char *system;     /* never NULL */
    char *token;      /* NULL: none. Never printed */
    char *token_file; /* where it was read; NULL: nowhere */
    char *ca_file;    /* NULL: the machine's certificates */
    bool system_told; /* not the default */
    enum hf_colour colour;
    int64_t timeout_ms; /* 0: not told */
};

/* Reads flags, HOLDFAST_URL, HOLDFAST_SYSTEM, HOLDFAST_TOKEN, HOLDFAST_TOKEN_FILE and the file: --config, else
 * $XDG_CONFIG_HOME/holdfast/config, else ~/.config/holdfast/config, which may be missing. A file that holds a token and
 * that others may read is refused. HF_CONFIG names the setting and its place. out: hf_settings_done, in any case. */
HF_MUST_USE bool hf_settings_read(const struct hf_options *options, struct hf_settings *out, struct hf_error *err);
void hf_settings_done(struct hf_settings *settings);

#endif
