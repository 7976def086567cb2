/* version, help, completion, internal. */
#include "cli/cli.h"
#include "cli/pages.h"
#include "cli/usage.h"
#include "core/id.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int write_pages(struct hf_cli *cli, const char *directory);
static int write_page(struct hf_cli *cli, const char *directory, const struct hf_command *command);
static int write_names(struct hf_cli *cli, const char *kind);

int hf_run_version(struct hf_cli *cli)
{
    struct holdfast_error err;
    HF_AUTO(json) json_t *service = cli->service ? hf_cli_get(cli, &err, "/v1/status") : NULL;
    const char *version = service ? hf_field_text(service, "version") : NULL;
    if (cli->json) {
        HF_AUTO(json)
        json_t *document =
            json_pack("{s:s, s:s, s:s?}", "command", HF_VERSION, "library", holdfast_version(), "service", version);
        return hf_cli_json(cli, document);
    }
    hf_pen_line(&cli->out, HF_PLAIN, "holdfast " HF_VERSION " (libholdfast %s)", holdfast_version());
    if (version)
        hf_pen_line(&cli->out, HF_PLAIN, "the service at %s is %s", holdfast_url(cli->service), version);
    else if (cli->service)
        hf_cli_note(cli, "the service at %s does not say: %s", holdfast_url(cli->service), err.text);
    return HF_EXIT_OK;
}

int hf_run_help(struct hf_cli *cli)
{
    const char *name = hf_argument(&cli->options, 0);
    const struct hf_command *command = name ? hf_command_find(name) : NULL;
    const char *nearest = name && !command ? hf_command_nearest(name) : NULL;
    if (nearest)
        return hf_cli_usage(cli, "there is no command %.60s; did you mean %s?", name, nearest);
    if (name && (!command || command->hidden))
        return hf_cli_usage(cli, "there is no command %.60s; holdfast help lists them", name);
    hf_usage_write(&cli->out, command);
    return HF_EXIT_OK;
}

int hf_run_completion(struct hf_cli *cli)
{
    const char *shell = hf_argument(&cli->options, 0);
    if (!hf_completion_write(cli->out.file, shell))
        return hf_cli_usage(cli, "there are completions for bash and zsh, not for %.60s", shell);
    return HF_EXIT_OK;
}

/* internal man-pages DIRECTORY | man NAME | commands */
int hf_run_internal(struct hf_cli *cli)
{
    const char *what = hf_argument(&cli->options, 0), *name = hf_argument(&cli->options, 1);
    if (strcmp(what, "man-pages") == 0 && name)
        return write_pages(cli, name);
    const struct hf_command *command = name ? hf_command_find(name) : NULL;
    if (strcmp(what, "man") == 0 && name && ((command && !command->hidden) || strcmp(name, "holdfast") == 0)) {
        hf_man_write(cli->out.file, command);
        return HF_EXIT_OK;
    }
    if (strcmp(what, "commands") == 0) {
        for (size_t i = 0; i < hf_command_count; i++)
            if (!hf_commands[i].hidden)
                hf_pen_line(&cli->out, HF_PLAIN, "%s", hf_commands[i].name);
        return HF_EXIT_OK;
    }
    return HF_EXIT_USAGE;
}

/* internal-names KIND: for completions. Says nothing when it cannot. */
int hf_run_names(struct hf_cli *cli)
{
    return write_names(cli, hf_argument(&cli->options, 0));
}

static int write_pages(struct hf_cli *cli, const char *directory)
{
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return hf_cli_failed(cli, HF_EXIT_FAILED, "cannot make %s: %s", directory, strerror(errno));
    int status = write_page(cli, directory, NULL);
    for (size_t i = 0; status == HF_EXIT_OK && i < hf_command_count; i++)
        if (!hf_commands[i].hidden)
            status = write_page(cli, directory, &hf_commands[i]);
    return status;
}

static int write_page(struct hf_cli *cli, const char *directory, const struct hf_command *command)
{
    HF_AUTO(free)
    char *path = hf_format("%s/holdfast%s%s.1", directory, command ? "-" : "", command ? command->name : "");
    FILE *file = fopen(path, "w");
    if (!file)
        return hf_cli_failed(cli, HF_EXIT_FAILED, "cannot write %s: %s", path, strerror(errno));
    hf_man_write(file, command);
    if (fclose(file) != 0)
        return hf_cli_failed(cli, HF_EXIT_FAILED, "cannot write %s: %s", path, strerror(errno));
    return HF_EXIT_OK;
}

static int write_names(struct hf_cli *cli, const char *kind)
{
    static const struct {
        const char *kind, *path, *member, *field;
    } lists[] = {{"component", "components", "components", "name"},
                 {"snapshot", "snapshots", "snapshots", "id"},
                 {"recovery", "recoveries", "recoveries", "id"},
                 {"system", "/v1/systems", "systems", "name"}};
    struct holdfast_error err;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (strcmp(kind, lists[i].kind) != 0)
            continue;
        bool paged = strcmp(kind, "system") != 0;
        HF_AUTO(json) json_t *document = paged ? NULL : hf_cli_get(cli, &err, "%s", lists[i].path);
        HF_AUTO(json)
        json_t *list = paged ? hf_cli_list(cli, lists[i].path, lists[i].member, 1000, &err)
                             : json_incref(json_object_get(document, lists[i].member));
        size_t k;
        const json_t *entry;
        if (strcmp(kind, "snapshot") == 0)
            hf_pen_line(&cli->out, HF_PLAIN, "latest");
        json_array_foreach(list, k, entry)
        {
            const char *name = hf_field_text(entry, lists[i].field);
            if (hf_name_is_valid(name, strlen(name)))
                hf_pen_line(&cli->out, HF_PLAIN, "%s", name);
        }
        return HF_EXIT_OK;
    }
    return HF_EXIT_USAGE;
}
