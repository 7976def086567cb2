/* snapshots, show, pin, diff. */
#include "cli/snapshots.h"

#include "cli/lists.h"
#include "cli/print.h"
#include "cli/table.h"
#include "core/clock.h"

#include <inttypes.h>
#include <string.h>

static void write_list(const struct hf_pen *pen, const json_t *snapshots);
static void write_held(const struct hf_pen *pen, const json_t *components);
static void write_lost(const struct hf_pen *pen, const json_t *validation);

int hf_run_snapshots(struct hf_cli *cli)
{
    size_t most;
    const char *kind = hf_option_text(&cli->options, "kind"), *before = hf_option_text(&cli->options, "before");
    if (kind && strcmp(kind, "full") != 0 && strcmp(kind, "incremental") != 0)
        return hf_cli_usage(cli, "--kind must be full or incremental");
    if (!hf_limit_read(cli, 100, &most) || !hf_moment_check(cli, "before"))
        return HF_EXIT_USAGE;
    HF_AUTO(free) char *at = hf_moment(before ? before : "");
    HF_AUTO(free) char *escaped = hf_escape(at);
    HF_AUTO(free)
    char *path = hf_format("snapshots%s%s%s%s%s", kind || before ? "?" : "", kind ? "kind=" : "", kind ? kind : "",
                           before ? kind ? "&before=" : "before=" : "", escaped);
    HF_AUTO(free)
    char *none = hf_format("%s has no such snapshot; holdfast backup takes one", cli->settings.system);
    return hf_listing_run(cli, &(struct hf_listing){.path = path,
                                                    .member = "snapshots",
                                                    .of = cli->settings.system,
                                                    .most = most,
                                                    .says_most = true,
                                                    .none = none,
                                                    .write = write_list});
}

int hf_run_show(struct hf_cli *cli)
{
    struct holdfast_error err;
    const char *wanted = hf_argument(&cli->options, 0);
    HF_AUTO(free) char *id = hf_escape(wanted);
    HF_AUTO(json) json_t *snapshot = hf_cli_expect(hf_cli_get(cli, &err, "snapshots/%s", id), "id state", &err);
    if (!snapshot)
        return hf_cli_fail(cli, &err, "cannot show snapshot %s", wanted);
    HF_AUTO(json) json_t *held = NULL;
    if (hf_option_given(&cli->options, "components")) {
        HF_AUTO(free) char *path = hf_format("snapshots/%s/components", id);
        held = hf_cli_list(cli, path, "components", 0, &err);
        if (!held)
            return hf_cli_fail(cli, &err, "cannot list what snapshot %s holds", wanted);
    }
    if (cli->json) {
        if (held)
            json_object_set(snapshot, "held", held);
        return hf_cli_json(cli, snapshot);
    }
    hf_snapshot_write(&cli->out, snapshot);
    if (held)
        write_held(&cli->out, held);
    return HF_EXIT_OK;
}

int hf_run_pin(struct hf_cli *cli)
{
    struct holdfast_error err;
    bool pinned = !hf_option_given(&cli->options, "off");
    const char *wanted = hf_argument(&cli->options, 0), *label = hf_option_text(&cli->options, "label");
    HF_AUTO(free) char *id = hf_escape(wanted);
    struct hf_sending sending = {.method = "PATCH",
                                 .body = json_pack("{s:b, s:s*}", "pinned", pinned, "label", label),
                                 .idempotent = true};
    if (!sending.body)
        return hf_cli_usage(cli, "the label is not UTF-8");
    HF_AUTO(json) json_t *snapshot = hf_cli_expect(hf_cli_send(cli, &sending, &err, "snapshots/%s", id), "id", &err);
    if (!snapshot && hf_was_interrupted(&err))
        return hf_cli_failed(cli, hf_exit_of(&err),
                             "interrupted; it may have been done: holdfast --system %s show %s tells",
                             cli->settings.system, wanted);
    if (!snapshot)
        return hf_cli_fail(cli, &err, "cannot %s snapshot %s", pinned ? "pin" : "unpin", wanted);
    if (cli->json)
        return hf_cli_json(cli, snapshot);
    hf_pen_line(&cli->out, HF_PLAIN, "%s is %s", hf_field_text(snapshot, "id"),
                hf_field_true(snapshot, "pinned") ? "pinned: retention never deletes it" : "not pinned");
    return HF_EXIT_OK;
}

void hf_snapshot_write(const struct hf_pen *pen, const json_t *snapshot)
{
    char when[32], size[HF_SIZE_BYTES], file[HF_SIZE_BYTES], took[64], age[HF_AGE_BYTES];
    const json_t *validation = json_object_get(snapshot, "validation");
    const char *state = hf_field_text(snapshot, "state"), *verdict = hf_field_text(validation, "status");
    hf_size_format(hf_field_int(snapshot, "stateBytes"), size);
    hf_size_format(hf_field_int(snapshot, "fileBytes"), file);
    hf_duration_format(hf_field_int(snapshot, "durationMs"), took, sizeof(took));
    hf_when_format(hf_field_text(snapshot, "cutAt"), when);
    hf_age_format(hf_field_text(snapshot, "cutAt"), hf_clock_now_ms(), age);
    hf_pen_line(pen, HF_BOLD, "%s", hf_field_text(snapshot, "id"));
    hf_title(pen, "Kind");
    hf_pen_line(pen, HF_PLAIN, "%s, by %s", hf_field_text(snapshot, "kind"), hf_field_text(snapshot, "trigger"));
    if (*hf_field_text(snapshot, "label")) {
        hf_title(pen, "Label");
        hf_pen_line(pen, HF_PLAIN, "%s", hf_field_text(snapshot, "label"));
    }
    if (*hf_field_text(snapshot, "reason")) {
        hf_title(pen, "Because");
        hf_pen_line(pen, HF_PLAIN, "%s", hf_field_text(snapshot, "reason"));
    }
    hf_title(pen, "Cut");
    hf_pen_line(pen, HF_PLAIN, "%s, %s, sequence %" PRId64 ", epoch %" PRId64, when, age,
                hf_field_int(snapshot, "sequence"), hf_field_int(snapshot, "epoch"));
    hf_title(pen, "Holds");
    hf_pen_line(pen, HF_PLAIN, "%" PRId64 " component%s, %s (%" PRId64 " changed, %" PRId64 " deleted)",
                hf_field_int(snapshot, "components"), hf_field_int(snapshot, "components") == 1 ? "" : "s", size,
                hf_field_int(snapshot, "changed"), hf_field_int(snapshot, "deleted"));
    hf_title(pen, "File");
    hf_pen_line(pen, HF_PLAIN, "%s, %s, written in %s", hf_field_text(snapshot, "file"), file, took);
    hf_title(pen, "Root hash");
    hf_pen_line(pen, HF_PLAIN, "%s", hf_field_text(snapshot, "rootHash"));
    hf_title(pen, "Kept");
    hf_when_format(hf_field_text(snapshot, "expiresAt"), when);
    hf_pen_line(pen, HF_PLAIN, "%s%s", hf_field_true(snapshot, "pinned") ? "for ever: it is pinned" : "until ",
                hf_field_true(snapshot, "pinned") ? "" : when);
    hf_title(pen, "State");
    hf_pen_line(pen, hf_word_style(state), "%s", state);
    hf_title(pen, "Validation");
    hf_pen_print(pen, hf_word_style(verdict), "%s", verdict);
    if (json_is_number(json_object_get(validation, "qualityScore")))
        hf_pen_print(pen, HF_PLAIN, ", quality %.3g", hf_field_real(validation, "qualityScore"));
    hf_pen_line(pen, HF_PLAIN, "%s", "");
    write_lost(pen, validation);
}

bool hf_snapshot_is_damaged(const json_t *snapshot)
{
    return strcmp(hf_field_text(snapshot, "state"), "damaged") == 0 ||
           strcmp(hf_field_text(json_object_get(snapshot, "validation"), "status"), "damaged") == 0;
}

static void write_list(const struct hf_pen *pen, const json_t *snapshots)
{
    static const struct hf_column columns[] = {
        {"SNAPSHOT", false, false, 0},   {"AGE", true, false, 1},   {"TRIGGER", false, false, 5},
        {"COMPONENTS", true, false, 4},  {"SIZE", true, false, 3},  {"FILE", true, false, 6},
        {"VALIDATION", false, false, 0}, {"LABEL", false, true, 2},
    };
    HF_AUTO(table) struct hf_table *table = hf_table_new(columns, sizeof(columns) / sizeof(columns[0]));
    int64_t now_ms = hf_clock_now_ms();
    size_t i;
    const json_t *snapshot;
    json_array_foreach(snapshots, i, snapshot)
    {
        char age[HF_AGE_BYTES], size[HF_SIZE_BYTES], file[HF_SIZE_BYTES];
        const char *verdict = hf_field_text(json_object_get(snapshot, "validation"), "status");
        const char *word =
            strcmp(hf_field_text(snapshot, "state"), "complete") == 0 ? verdict : hf_field_text(snapshot, "state");
        hf_age_format(hf_field_text(snapshot, "cutAt"), now_ms, age);
        hf_size_format(hf_field_int(snapshot, "stateBytes"), size);
        hf_size_format(hf_field_int(snapshot, "fileBytes"), file);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(snapshot, "id"));
        hf_table_add(table, HF_PLAIN, "%s", age);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(snapshot, "trigger"));
        hf_table_add(table, HF_PLAIN, "%" PRId64, hf_field_int(snapshot, "components"));
        hf_table_add(table, HF_PLAIN, "%s", size);
        hf_table_add(table, HF_PLAIN, "%s", file);
        hf_table_add(table, hf_word_style(word), "%s%s", word, hf_field_true(snapshot, "pinned") ? ", pinned" : "");
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(snapshot, "label"));
    }
    hf_table_write(table, pen, 0);
}

static void write_held(const struct hf_pen *pen, const json_t *components)
{
    static const struct hf_column columns[] = {{"COMPONENT", false, true, 0},  {"KIND", false, true, 2},
                                               {"VERSION", true, false, 0},    {"SIZE", true, false, 1},
                                               {"COMMITTED", false, false, 3}, {"CONTENT TYPE", false, true, 4}};
    HF_AUTO(table) struct hf_table *table = hf_table_new(columns, sizeof(columns) / sizeof(columns[0]));
    size_t i;
    const json_t *component;
    json_array_foreach(components, i, component)
    {
        char size[HF_SIZE_BYTES], when[32];
        hf_size_format(hf_field_int(component, "bytes"), size);
        hf_when_format(hf_field_text(component, "committedAt"), when);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(component, "name"));
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(component, "kind"));
        hf_table_add(table, HF_PLAIN, "%" PRId64, hf_field_int(component, "version"));
        hf_table_add(table, HF_PLAIN, "%s", size);
        hf_table_add(table, HF_PLAIN, "%s", when);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(component, "contentType"));
    }
    hf_pen_line(pen, HF_PLAIN, "%s", "");
    hf_table_write(table, pen, 0);
}

static void write_lost(const struct hf_pen *pen, const json_t *validation)
{
    size_t i;
    const json_t *lost;
    if (hf_field_true(validation, "lostAll"))
        hf_pen_line(pen, HF_RED, "Not even the list of its components can be read.");
    json_array_foreach(json_object_get(validation, "lost"), i, lost)
        hf_pen_line(pen, HF_RED, "Lost: %s, version %" PRId64, hf_field_text(lost, "component"),
                    hf_field_int(lost, "version"));
}
