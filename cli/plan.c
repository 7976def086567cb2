#include "cli/plan.h"

#include "cli/lists.h"
#include "cli/print.h"
#include "cli/table.h"
#include "core/clock.h"

#include <inttypes.h>
#include <string.h>

static void write_source(const struct hf_pen *pen, const json_t *recovery);
static void write_waves(const struct hf_pen *pen, const json_t *waves);
static void add_part(struct hf_table *table, size_t wave, const json_t *part);
static void write_names(const struct hf_pen *pen, const char *title, const json_t *names);
static void write_remarks(const struct hf_pen *pen, const json_t *recovery);

void hf_plan_write(const struct hf_pen *pen, const json_t *recovery)
{
    char loss[256];
    hf_pen_line(pen, HF_BOLD, "Plan %s", hf_field_text(recovery, "id"));
    hf_title(pen, "System");
    hf_pen_line(pen, HF_PLAIN, "%s, epoch %" PRId64 ", sequence %" PRId64, hf_field_text(recovery, "system"),
                hf_field_int(recovery, "epoch"), hf_field_int(recovery, "sequenceBefore"));
    write_source(pen, recovery);
    if (json_array_size(json_object_get(recovery, "waves")))
        write_waves(pen, json_object_get(recovery, "waves"));
    write_names(pen, "Deleted", json_object_get(recovery, "removed"));
    write_remarks(pen, recovery);
    hf_plan_loss(recovery, false, loss);
    hf_title(pen, "Data loss");
    hf_pen_line(pen, hf_field_int(json_object_get(recovery, "dataLoss"), "versions") ? HF_YELLOW : HF_GREEN, "%s",
                loss);
}

void hf_plan_loss(const json_t *recovery, bool done, char out[256])
{
    char time[64], size[HF_SIZE_BYTES];
    const json_t *loss = json_object_get(recovery, "dataLoss");
    int64_t versions = hf_field_int(loss, "versions"), components = hf_field_int(loss, "components");
    const char *verb = done ? versions == 1 ? "was" : "were" : "would be";
    hf_duration_format(hf_field_int(loss, "ms"), time, sizeof(time));
    hf_size_format(hf_field_int(loss, "bytes"), size);
    if (versions == 0)
        snprintf(out, 256, "nothing %s lost", done ? "was" : "would be");
    else
        snprintf(out, 256, "%" PRId64 " version%s in %" PRId64 " component%s %s lost: %s of work, %s", versions,
                 versions == 1 ? "" : "s", components, components == 1 ? "" : "s", verb, time, size);
}

static void write_source(const struct hf_pen *pen, const json_t *recovery)
{
    char when[32], age[HF_AGE_BYTES];
    const json_t *cut = json_object_get(recovery, "cut");
    const char *snapshot = hf_field_text(recovery, "snapshot"), *at = hf_field_text(cut, "at");
    bool exact = !json_is_false(json_object_get(cut, "exact"));
    size_t i;
    const json_t *skipped;
    hf_when_format(at, when);
    hf_age_format(at, hf_clock_now_ms(), age);
    hf_title(pen, "Source");
    hf_pen_line(pen, HF_PLAIN, "%s", *snapshot ? snapshot : "the history in the database");
    hf_title(pen, "As of");
    hf_pen_line(pen, exact ? HF_PLAIN : HF_YELLOW, "%s, %s, sequence %" PRId64 "%s", when, age,
                hf_field_int(cut, "sequence"), exact ? "" : " (the nearest there is, not exactly that moment)");
    json_array_foreach(json_object_get(recovery, "skipped"), i, skipped)
    {
        hf_title(pen, "Passed over");
        hf_pen_line(pen, HF_YELLOW, "%s: %s", hf_field_text(skipped, "snapshot"), hf_field_text(skipped, "reason"));
    }
}

static void write_waves(const struct hf_pen *pen, const json_t *waves)
{
    static const struct hf_column columns[] = {
        {"WAVE", true, false, 2},       {"COMPONENT", false, true, 0}, {"NOW", true, false, 0},
        {"COMES BACK", true, false, 0}, {"BECOMES", true, false, 3},   {"AGE", true, false, 1},
        {"SIZE", true, false, 4},       {"LOST", false, false, 0},
    };
    HF_AUTO(table) struct hf_table *table = hf_table_new(columns, sizeof(columns) / sizeof(columns[0]));
    size_t i, k;
    const json_t *wave, *part;
    json_array_foreach(waves, i, wave)
    {
        json_array_foreach(wave, k, part) add_part(table, i, part);
    }
    hf_pen_line(pen, HF_PLAIN, "%s", "");
    hf_table_write(table, pen, 0);
    hf_pen_line(pen, HF_PLAIN, "%s", "");
}

static void add_part(struct hf_table *table, size_t wave, const json_t *part)
{
    char age[64], size[HF_SIZE_BYTES];
    int64_t now = hf_field_int(part, "version"), lost = hf_field_int(part, "versionsLost");
    const json_t *source = json_object_get(part, "sourceVersion");
    hf_duration_format(hf_field_int(part, "ageMs"), age, sizeof(age));
    hf_size_format(hf_field_int(part, "bytes"), size);
    hf_table_add(table, HF_PLAIN, "%zu", wave);
    hf_table_add(table, HF_PLAIN, "%s%s%s", hf_field_text(part, "component"),
                 *hf_field_text(part, "because") ? " for " : "", hf_field_text(part, "because"));
    hf_table_add(table, HF_PLAIN, now ? "%" PRId64 : "none", now);
    hf_table_add(table, HF_PLAIN, json_is_integer(source) ? "%" PRId64 : "as it is",
                 (int64_t)json_integer_value(source));
    hf_table_add(table, HF_PLAIN, "%" PRId64, hf_field_int(part, "restoredVersion"));
    hf_table_add(table, HF_PLAIN, "%s", age);
    hf_table_add(table, HF_PLAIN, "%s", size);
    hf_table_add(table, lost ? HF_YELLOW : HF_PLAIN, lost == 1 ? "%" PRId64 " version" : "%" PRId64 " versions", lost);
}

static void write_names(const struct hf_pen *pen, const char *title, const json_t *names)
{
    size_t i;
    const json_t *name;
    json_array_foreach(names, i, name)
    {
        hf_title(pen, title);
        hf_pen_line(pen, HF_YELLOW, "%s", json_is_string(name) ? json_string_value(name) : "?");
    }
}

static void write_remarks(const struct hf_pen *pen, const json_t *recovery)
{
    size_t i;
    const json_t *entry, *salvage = json_object_get(recovery, "salvage");
    json_array_foreach(json_object_get(recovery, "lost"), i, entry)
    {
        hf_title(pen, "Lost for good");
        hf_pen_line(pen, HF_RED, "%s, version %" PRId64 ": it stays as it is now", hf_field_text(entry, "component"),
                    hf_field_int(entry, "version"));
    }
    if (json_is_false(json_object_get(salvage, "whole"))) {
        hf_title(pen, "Not whole");
        hf_pen_line(pen, HF_RED, "%s", hf_field_text(salvage, "detail"));
    }
    json_array_foreach(json_object_get(recovery, "warnings"), i, entry)
    {
        hf_title(pen, "Warning");
        hf_pen_line(pen, HF_YELLOW, "%s", hf_field_text(entry, "text"));
    }
}
