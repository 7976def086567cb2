/* diff. */
#include "cli/lists.h"
#include "cli/print.h"
#include "cli/table.h"

#include <inttypes.h>
#include <string.h>

static json_t *ask_all(struct hf_cli *cli, const char *path, struct holdfast_error *err);
static void write_cut(const struct hf_pen *pen, const char *title, const json_t *cut);
static void write_changes(const struct hf_pen *pen, const json_t *changes);
static void write_one(const struct hf_pen *pen, const json_t *diff);
static void format_side(const json_t *change, const char *version, const char *bytes, char out[64]);

int hf_run_diff(struct hf_cli *cli)
{
    struct holdfast_error err;
    const char *given_to = hf_argument(&cli->options, 1), *component = hf_option_text(&cli->options, "component");
    HF_AUTO(free) char *from = hf_moment(hf_argument(&cli->options, 0));
    HF_AUTO(free) char *to = hf_moment(given_to ? given_to : "now");
    HF_AUTO(free) char *from_escaped = hf_escape(from);
    HF_AUTO(free) char *to_escaped = hf_escape(to);
    HF_AUTO(free) char *name = hf_escape(component ? component : "");
    HF_AUTO(free)
    char *path = hf_format("diff?from=%s&to=%s%s%s", from_escaped, to_escaped, component ? "&component=" : "", name);
    HF_AUTO(json) json_t *diff = component ? hf_cli_get(cli, &err, "%s", path) : ask_all(cli, path, &err);
    if (!diff)
        return hf_cli_fail(cli, &err, "cannot compare %s with %s", from, to);
    if (cli->json)
        return hf_cli_json(cli, diff);
    write_cut(&cli->out, "From", json_object_get(diff, "from"));
    write_cut(&cli->out, "To", json_object_get(diff, "to"));
    if (component) {
        write_one(&cli->out, diff);
        return HF_EXIT_OK;
    }
    const json_t *counts = json_object_get(diff, "counts");
    hf_title(&cli->out, "Components");
    hf_pen_line(&cli->out, HF_PLAIN,
                "%" PRId64 " added, %" PRId64 " removed, %" PRId64 " changed, %" PRId64 " unchanged",
                hf_field_int(counts, "added"), hf_field_int(counts, "removed"), hf_field_int(counts, "changed"),
                hf_field_int(counts, "unchanged"));
    if (json_array_size(json_object_get(diff, "changes")))
        write_changes(&cli->out, json_object_get(diff, "changes"));
    return HF_EXIT_OK;
}

/* The first page with the changes of all of them. */
static json_t *ask_all(struct hf_cli *cli, const char *path, struct holdfast_error *err)
{
    json_t *all = hf_cli_expect_list(hf_cli_get(cli, err, "%s&limit=1000", path), "changes", err);
    HF_AUTO(free) char *cursor = all ? hf_escape(hf_field_text(all, "nextCursor")) : NULL;
    while (all && *cursor) {
        HF_AUTO(json)
        json_t *page =
            hf_cli_expect_list(hf_cli_get(cli, err, "%s&limit=1000&cursor=%s", path, cursor), "changes", err);
        HF_AUTO(free) char *before = cursor;
        cursor = hf_escape(hf_field_text(page, "nextCursor"));
        if (page && strcmp(cursor, before) == 0) {
            *err = (struct holdfast_error){.code = "bad_answer",
                                           .text = "the list does not end: a page names itself as the next one"};
            json_decref(page);
            page = NULL;
        }
        if (!page) {
            json_decref(all);
            return NULL;
        }
        json_array_extend(json_object_get(all, "changes"), json_object_get(page, "changes"));
    }
    if (all)
        json_object_del(all, "nextCursor");
    return all;
}

static void write_cut(const struct hf_pen *pen, const char *title, const json_t *cut)
{
    char when[32];
    const char *snapshot = hf_field_text(cut, "snapshot");
    hf_when_format(hf_field_text(cut, "at"), when);
    hf_title(pen, title);
    hf_pen_line(pen, json_is_false(json_object_get(cut, "exact")) ? HF_YELLOW : HF_PLAIN,
                "%s, sequence %" PRId64 "%s%s%s", when, hf_field_int(cut, "sequence"), *snapshot ? ", from " : "",
                snapshot,
                json_is_false(json_object_get(cut, "exact")) ? " (the nearest there is, not exactly that moment)" : "");
}

static void write_changes(const struct hf_pen *pen, const json_t *changes)
{
    static const struct hf_column columns[] = {{"COMPONENT", false, true, 0},
                                               {"CHANGE", false, false, 0},
                                               {"FROM", false, false, 1},
                                               {"TO", false, false, 1}};
    HF_AUTO(table) struct hf_table *table = hf_table_new(columns, 4);
    size_t i;
    const json_t *change;
    json_array_foreach(changes, i, change)
    {
        char from[64], to[64];
        format_side(change, "fromVersion", "fromBytes", from);
        format_side(change, "toVersion", "toBytes", to);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(change, "component"));
        hf_table_add(table, hf_word_style(hf_field_text(change, "change")), "%s", hf_field_text(change, "change"));
        hf_table_add(table, HF_PLAIN, "%s", from);
        hf_table_add(table, HF_PLAIN, "%s", to);
    }
    hf_pen_line(pen, HF_PLAIN, "%s", "");
    hf_table_write(table, pen, 0);
}

static void write_one(const struct hf_pen *pen, const json_t *diff)
{
    char from[64], to[64];
    size_t i;
    const json_t *step, *patch = json_object_get(diff, "patch");
    format_side(diff, "fromVersion", "fromBytes", from);
    format_side(diff, "toVersion", "toBytes", to);
    hf_title(pen, "Component");
    hf_pen_print(pen, HF_PLAIN, "%s: ", hf_field_text(diff, "component"));
    hf_pen_line(pen, hf_word_style(hf_field_text(diff, "change")), "%s", hf_field_text(diff, "change"));
    hf_title(pen, "Versions");
    hf_pen_line(pen, HF_PLAIN, "%s to %s", from, to);
    if (!json_is_array(patch)) {
        hf_title(pen, "No patch");
        hf_pen_line(pen, HF_PLAIN, "%s", hf_field_text(diff, "reason"));
    }
    json_array_foreach(patch, i, step)
    {
        HF_AUTO(free)
        char *value = json_object_get(step, "value") ? hf_json_text(json_object_get(step, "value")) : NULL;
        hf_pen_line(pen, HF_PLAIN, "   %s %s%s%s%s%s", hf_field_text(step, "op"), hf_field_text(step, "path"),
                    value ? " " : "", value ? value : "", *hf_field_text(step, "from") ? " from " : "",
                    hf_field_text(step, "from"));
    }
}

static void format_side(const json_t *change, const char *version, const char *bytes, char out[64])
{
    char size[HF_SIZE_BYTES];
    hf_size_format(hf_field_int(change, bytes), size);
    if (json_is_integer(json_object_get(change, version)))
        snprintf(out, 64, "version %" PRId64 ", %s", hf_field_int(change, version), size);
    else
        snprintf(out, 64, "nothing");
}
