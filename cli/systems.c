/* systems, fork. */
#include "cli/lists.h"
#include "cli/print.h"
#include "cli/table.h"
#include "core/clock.h"

#include <inttypes.h>

static void write_systems(const struct hf_pen *pen, const json_t *systems);

int hf_run_systems(struct hf_cli *cli)
{
    struct holdfast_error err;
    HF_AUTO(json) json_t *document = hf_cli_expect_list(hf_cli_get(cli, &err, "/v1/systems"), "systems", &err);
    if (!document)
        return hf_cli_fail(cli, &err, "cannot list the systems");
    if (cli->json)
        return hf_cli_json(cli, document);
    if (json_array_size(json_object_get(document, "systems")) == 0)
        hf_cli_note(cli, "There is no system yet; the first upload makes one.");
    else
        write_systems(&cli->out, json_object_get(document, "systems"));
    return HF_EXIT_OK;
}

int hf_run_fork(struct hf_cli *cli)
{
    struct holdfast_error err;
    const struct hf_options *options = &cli->options;
    const char *name = hf_argument(options, 0), *at = hf_option_text(options, "at");
    const char *snapshot = hf_option_text(options, "snapshot");
    if (at && snapshot)
        return hf_cli_usage(cli, "fork takes one of --at and --snapshot");
    if (!hf_moment_check(cli, "at"))
        return HF_EXIT_USAGE;
    HF_AUTO(free) char *moment = at ? hf_moment(at) : NULL;
    struct hf_sending sending = {
        .body = json_pack("{s:s, s:s*, s:{s:s, s:s*, s:s*}}", "name", name, "description",
                          hf_option_text(options, "description"), "from", "system", cli->settings.system, "at", moment,
                          "snapshot", snapshot),
        .slow = true,
    };
    if (!sending.body)
        return hf_cli_usage(cli, "what is given is not UTF-8");
    HF_AUTO(json) json_t *made = hf_cli_expect(hf_cli_send(cli, &sending, &err, "/v1/systems"), "name", &err);
    if (!made && hf_was_interrupted(&err))
        return hf_cli_failed(cli, hf_exit_of(&err), "interrupted; %s may have been made: holdfast systems tells", name);
    if (!made)
        return hf_cli_fail(cli, &err, "cannot fork %s as %s", cli->settings.system, name);
    if (cli->json)
        return hf_cli_json(cli, made);
    const json_t *from = json_object_get(made, "forkedFrom");
    char when[32];
    hf_when_format(hf_field_text(from, "at"), when);
    hf_pen_line(&cli->out, HF_PLAIN, "%s: %" PRId64 " components of %s as of %s, sequence %" PRId64 "%s%s",
                hf_field_text(made, "name"), hf_field_int(made, "components"), hf_field_text(from, "system"), when,
                hf_field_int(from, "sequence"), *hf_field_text(from, "snapshot") ? ", from " : "",
                hf_field_text(from, "snapshot"));
    if (json_is_false(json_object_get(from, "exact")))
        hf_cli_note(cli, "Not exactly that moment: %s", hf_field_text(from, "why"));
    return HF_EXIT_OK;
}

static void write_systems(const struct hf_pen *pen, const json_t *systems)
{
    static const struct hf_column columns[] = {
        {"SYSTEM", false, true, 0},      {"COMPONENTS", true, false, 1}, {"SIZE", true, false, 2},
        {"EPOCH", true, false, 4},       {"SEQUENCE", true, false, 5},   {"LAST CHANGE", true, false, 3},
        {"DESCRIPTION", false, true, 6},
    };
    HF_AUTO(table) struct hf_table *table = hf_table_new(columns, sizeof(columns) / sizeof(columns[0]));
    size_t i;
    const json_t *system;
    json_array_foreach(systems, i, system)
    {
        char size[HF_SIZE_BYTES], age[HF_AGE_BYTES];
        hf_size_format(hf_field_int(system, "stateBytes"), size);
        hf_age_format(hf_field_text(system, "committedAt"), hf_clock_now_ms(), age);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(system, "name"));
        hf_table_add(table, HF_PLAIN, "%" PRId64, hf_field_int(system, "components"));
        hf_table_add(table, HF_PLAIN, "%s", size);
        hf_table_add(table, HF_PLAIN, "%" PRId64, hf_field_int(system, "epoch"));
        hf_table_add(table, HF_PLAIN, "%" PRId64, hf_field_int(system, "sequence"));
        hf_table_add(table, HF_PLAIN, "%s", age);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(system, "description"));
    }
    hf_table_write(table, pen, 0);
}
