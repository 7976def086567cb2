/* The commands: one row each, from which usage, help, manual pages, completions and the dispatch are made. */
#ifndef HF_CLI_COMMANDS_H
#define HF_CLI_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

struct hf_cli;

/* complete: words separated by spaces, or what is asked of the service or the shell: "@component", "@snapshot",
 * "@system", "@recovery", "@command", "@file"; NULL: nothing. */
struct hf_option {
    const char *name;  /* without the dashes; NULL ends a list */
    char letter;       /* 0: none */
    const char *value; /* what it takes, as "FILE"; NULL: nothing */
    const char *complete;
    const char *help;
};

struct hf_argument {
    const char *name; /* as "SNAPSHOT"; NULL ends the list */
    bool optional;
    const char *complete;
};

#define HF_ARGUMENTS_MAX 3
#define HF_OPTIONS_MAX   12

struct hf_command {
    const char *name;
    struct hf_argument arguments[HF_ARGUMENTS_MAX]; /* of these, without a name: none */
    struct hf_option options[HF_OPTIONS_MAX];       /* likewise; always room for the end */
    const char *summary;                            /* one line, no full stop */
    const char *description;                        /* paragraphs */
    const char *example;                            /* commands, one a line */
    bool offline;                                   /* needs no service */
    bool unsettled;                                 /* runs without a service where the settings are wrong */
    bool impatient;                                 /* asks once, and does not wait for a service that is away */
    bool hidden;                                    /* for the build and the completions alone */
    int (*run)(struct hf_cli *cli);                 /* the exit status */
};

extern const struct hf_command hf_commands[];
extern const size_t hf_command_count;

/* Understood with every command, before or after its name. Ended by a row without a name. */
extern const struct hf_option hf_global_options[];

const struct hf_command *hf_command_find(const char *name); /* NULL: there is none */

/* The nearest command that is not hidden, if it may have been meant; else NULL. */
const char *hf_command_nearest(const char *name);

/* Whether the command (NULL: none) has an option of its own in place of this one of the program. */
bool hf_command_has_own(const struct hf_command *command, const struct hf_option *option);

int hf_run_status(struct hf_cli *cli);
int hf_run_backup(struct hf_cli *cli);
int hf_run_snapshots(struct hf_cli *cli);
int hf_run_show(struct hf_cli *cli);
int hf_run_diff(struct hf_cli *cli);
int hf_run_restore(struct hf_cli *cli);
int hf_run_validate(struct hf_cli *cli);
int hf_run_archive(struct hf_cli *cli);
int hf_run_import(struct hf_cli *cli);
int hf_run_components(struct hf_cli *cli);
int hf_run_get(struct hf_cli *cli);
int hf_run_put(struct hf_cli *cli);
int hf_run_history(struct hf_cli *cli);
int hf_run_events(struct hf_cli *cli);
int hf_run_watch(struct hf_cli *cli);
int hf_run_doctor(struct hf_cli *cli);
int hf_run_systems(struct hf_cli *cli);
int hf_run_fork(struct hf_cli *cli);
int hf_run_drill(struct hf_cli *cli);
int hf_run_recoveries(struct hf_cli *cli);
int hf_run_pin(struct hf_cli *cli);
int hf_run_version(struct hf_cli *cli);
int hf_run_help(struct hf_cli *cli);
int hf_run_completion(struct hf_cli *cli);
int hf_run_internal(struct hf_cli *cli);
int hf_run_names(struct hf_cli *cli);

#endif
