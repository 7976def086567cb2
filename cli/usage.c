#include "cli/usage.h"

#include "cli/exits.h"
#include "core/auto.h"

#include <string.h>

#define WIDTH      80
#define TEXT_MAX   4096
#define NAME_WIDTH 14

static void write_program(const struct hf_pen *pen);
static void write_options(const struct hf_pen *pen, const struct hf_command *command);
static void write_option(const struct hf_pen *pen, const struct hf_option *option);
static void write_heading(const struct hf_pen *pen, const char *text);

const struct hf_exit_meaning hf_exit_meanings[] = {
#define X(name, number, text) {number, text},
    HF_EXIT_TABLE(X)
#undef X
};
const int hf_exit_meaning_count = sizeof(hf_exit_meanings) / sizeof(hf_exit_meanings[0]);

void hf_usage_write(const struct hf_pen *pen, const struct hf_command *command)
{
    if (!command) {
        write_program(pen);
        return;
    }
    HF_AUTO(buf) struct hf_buf line;
    hf_buf_init(&line, TEXT_MAX);
    hf_usage_line(&line, command);
    hf_pen_line(pen, HF_PLAIN, "Usage: %s", line.data);
    hf_pen_line(pen, HF_PLAIN, "%s", "");
    hf_pen_wrap(pen, command->description, 0, WIDTH);
    write_options(pen, command);
    write_heading(pen, strchr(command->example, '\n') ? "Examples:" : "Example:");
    hf_pen_wrap(pen, command->example, 2, SIZE_MAX);
}

void hf_usage_line(struct hf_buf *out, const struct hf_command *command)
{
    hf_buf_add_format(out, "holdfast %s", command->name);
    if (command->options[0].name)
        hf_buf_add_text(out, " [OPTION]...");
    for (size_t i = 0; i < HF_ARGUMENTS_MAX && command->arguments[i].name; i++)
        hf_buf_add_format(out, command->arguments[i].optional ? " [%s]" : " %s", command->arguments[i].name);
}

void hf_usage_option(struct hf_buf *out, const struct hf_option *option)
{
    if (option->letter)
        hf_buf_add_format(out, "-%c, ", option->letter);
    hf_buf_add_format(out, "--%s", option->name);
    if (option->value)
        hf_buf_add_format(out, " %s", option->value);
}

static void write_program(const struct hf_pen *pen)
{
    hf_pen_line(pen, HF_PLAIN, "Usage: holdfast [OPTION]... COMMAND [ARGUMENT]...");
    hf_pen_line(pen, HF_PLAIN, "%s", "");
    hf_pen_line(pen, HF_PLAIN, "Watches over the states that a holdfast service keeps, and brings them back.");
    write_heading(pen, "Commands:");
    for (size_t i = 0; i < hf_command_count; i++) {
        const struct hf_command *command = &hf_commands[i];
        if (command->hidden)
            continue;
        hf_pen_print(pen, HF_BOLD, "  %s", command->name);
        hf_pen_spaces(pen, NAME_WIDTH - strlen(command->name));
        hf_pen_line(pen, HF_PLAIN, "%s", command->summary);
    }
    write_options(pen, NULL);
    write_heading(pen, "Settings:");
    hf_pen_wrap(pen,
                "HOLDFAST_URL, HOLDFAST_SYSTEM and HOLDFAST_TOKEN (or HOLDFAST_TOKEN_FILE) of the environment; else "
                "url, system, token, tokenFile, caFile and color of the JSON object in the config file. Options win "
                "over the environment, the environment over the file. There is no option for the token itself: other "
                "users could read it in the list of processes.",
                2, WIDTH);
    write_heading(pen, "Exit status:");
    for (int i = 0; i < hf_exit_meaning_count; i++)
        hf_pen_line(pen, HF_PLAIN, "  %3d  %s", hf_exit_meanings[i].status, hf_exit_meanings[i].text);
    hf_pen_line(pen, HF_PLAIN, "%s", "");
    hf_pen_line(pen, HF_PLAIN, "holdfast help COMMAND tells more of one. The manual: man holdfast.");
}

static void write_options(const struct hf_pen *pen, const struct hf_command *command)
{
    if (command && command->options[0].name)
        write_heading(pen, "Options:");
    for (size_t i = 0; command && i < HF_OPTIONS_MAX && command->options[i].name; i++)
        write_option(pen, &command->options[i]);
    write_heading(pen, "Options of every command:");
    for (const struct hf_option *option = hf_global_options; option->name; option++)
        if (!hf_command_has_own(command, option))
            write_option(pen, option);
}

static void write_option(const struct hf_pen *pen, const struct hf_option *option)
{
    HF_AUTO(buf) struct hf_buf name;
    hf_buf_init(&name, TEXT_MAX);
    hf_usage_option(&name, option);
    hf_pen_line(pen, HF_BOLD, "  %s", name.data);
    hf_pen_wrap(pen, option->help, 6, WIDTH);
}

static void write_heading(const struct hf_pen *pen, const char *text)
{
    hf_pen_line(pen, HF_PLAIN, "%s", "");
    hf_pen_line(pen, HF_BOLD, "%s", text);
}
