#include "cli/cli.h"

#include "cli/interrupt.h"
#include "cli/usage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS   10000
#define SILENCE_MS 30000

static int run(struct hf_cli *cli, int argc, char *argv[]);
static int run_with_service(struct hf_cli *cli);
static int end_output(struct hf_cli *cli, int status);

int hf_cli_main(int argc, char *argv[])
{
    struct hf_cli cli = {0};
    hf_interrupt_begin();
    hf_json_init();
    hf_pen_init(&cli.out, stdout, HF_COLOUR_AUTO);
    hf_pen_init(&cli.err, stderr, HF_COLOUR_AUTO);
    int status = end_output(&cli, run(&cli, argc, argv));
    hf_settings_done(&cli.settings);
    hf_options_done(&cli.options);
    return status;
}

static int run(struct hf_cli *cli, int argc, char *argv[])
{
    struct hf_error err;
    bool good = hf_options_read(argc, argv, &cli->options, &err);
    const struct hf_options *options = &cli->options;
    const struct hf_command *command = options->command;
    cli->json = hf_option_given(options, "json");
    cli->quiet = hf_option_given(options, "quiet");
    if (!good)
        return hf_cli_usage(cli, "%s", err.text);
    if (hf_option_given(options, "help")) {
        hf_usage_write(&cli->out, command);
        return HF_EXIT_OK;
    }
    for (size_t i = 0; i < options->given_count; i++)
        if (strcmp(options->given[i].option->name, "version") == 0 && !options->given[i].value) {
            hf_pen_line(&cli->out, HF_PLAIN, "holdfast " HF_VERSION);
            return HF_EXIT_OK;
        }
    if (!command) {
        hf_usage_write(&cli->err, NULL);
        return HF_EXIT_USAGE;
    }
    if (!hf_settings_read(options, &cli->settings, &err)) {
        if (hf_interrupt_signal())
            return 128 + hf_interrupt_signal();
        if (command->unsettled) {
            hf_cli_note(cli, "%s", err.text);
            return command->run(cli);
        }
        /* Completions must neither fail nor speak because of a wrong setting. */
        return command->hidden ? HF_EXIT_USAGE : hf_cli_usage(cli, "%s", err.text);
    }
    hf_pen_init(&cli->out, stdout, cli->settings.colour);
    hf_pen_init(&cli->err, stderr, cli->settings.colour);
    return command->offline ? command->run(cli) : run_with_service(cli);
}

static int run_with_service(struct hf_cli *cli)
{
    const struct hf_settings *settings = &cli->settings;
    struct holdfast_error err;
    struct holdfast_options options = {
        .url = settings->url,
        .token = settings->token,
        .system = settings->system,
        .ca_file = settings->ca_file,
        .user_agent = "holdfast/" HF_VERSION,
        .connect_timeout_ms = (int)(settings->timeout_ms && settings->timeout_ms < 5000 ? settings->timeout_ms : 5000),
        .timeout_ms = (int)(settings->timeout_ms ? settings->timeout_ms : SILENCE_MS),
        .retry_ms =
            cli->options.command->impatient ? -1 : (int)(settings->timeout_ms ? settings->timeout_ms : RETRY_MS),
        .state_bytes_max = SIZE_MAX / 8, /* as much as there is memory for */
    };
    if (!holdfast_open(&options, &cli->service, &err))
        return hf_cli_usage(cli, "%s", err.text);
    hf_interrupt_attach(cli->service);
    int status = cli->options.command->run(cli);
    hf_interrupt_attach(NULL);
    holdfast_close(cli->service);
    return hf_interrupt_signal() ? 128 + hf_interrupt_signal() : status;
}

/* What could not be written is a failure too, but a reader that left (head, less) needs no message. */
static int end_output(struct hf_cli *cli, int status)
{
    errno = 0;
    bool good = fflush(stdout) == 0 && !ferror(stdout);
    if (good || status == HF_EXIT_PIPE)
        return status;
    if (errno == EPIPE || errno == 0)
        return HF_EXIT_PIPE;
    return hf_cli_failed(cli, HF_EXIT_FAILED, "the output could not be written: %s", strerror(errno));
}
