/* The subcommands of holdfast-server that do not serve: help, version, config, token create. */
#ifndef HF_SERVER_COMMANDS_H
#define HF_SERVER_COMMANDS_H

#include "core/config.h"

/* Runs the command that the arguments name; false when they name none and the server is to run. */
bool hf_command_run(int argc, char *argv[], int *exit_code_out);

/* "sqlite data/holdfast.db" or "postgres host/database": never user, password or options. */
void hf_database_describe(const struct hf_config *config, char *out, size_t bytes);

#endif
