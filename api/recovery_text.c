#include "api/recovery_text.h"

#include "core/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TITLE_WIDTH 20
#define NAME_WIDTH  28

static void write_head(struct hf_buf *out, const json_t *recovery);
static void write_source(struct hf_buf *out, const json_t *recovery);
static void write_cost(struct hf_buf *out, const json_t *recovery);
static void write_skipped(struct hf_buf *out, const json_t *skipped);
static void write_lost(struct hf_buf *out, const json_t *recovery);
static void write_steps(struct hf_buf *out, const json_t *steps);
static void write_waves(struct hf_buf *out, const json_t *recovery);
static void write_part(struct hf_buf *out, const json_t *part);
static void write_warnings(struct hf_buf *out, const json_t *recovery);
static void write_verdict(struct hf_buf *out, const json_t *recovery);
static void write_names(struct hf_buf *out, const json_t *names);
static void add_line(struct hf_buf *out, const char *title, const char *format, ...) HF_PRINTF(3, 4);
static void add_clean(struct hf_buf *out, const char *text);
static const char *text_in(const json_t *object, const char *name);
static int64_t number_in(const json_t *object, const char *name);
static size_t count_in(const json_t *object, const char *name);
static bool is_status(const json_t *recovery, const char *status);
static bool is_head(const json_t *recovery);
static bool was_applied(const json_t *recovery);
static void bytes_format(int64_t bytes, char out[32]);

void hf_recovery_text_write(struct hf_buf *out, const json_t *recovery)
{
    hf_buf_add_format(out, "RECOVERY REPORT: %s\n", text_in(recovery, "id"));
    write_head(out, recovery);
    write_cost(out, recovery);
    write_skipped(out, json_object_get(recovery, "skipped"));
    write_lost(out, recovery);
    write_steps(out, json_object_get(recovery, "steps"));
    write_waves(out, recovery);
    write_warnings(out, recovery);
    write_verdict(out, recovery);
}

static void write_head(struct hf_buf *out, const json_t *recovery)
{
    const char *reason = text_in(recovery, "reason"), *completed = text_in(recovery, "completedAt");
    const char *planned = text_in(recovery, "plannedAt"), *started = text_in(recovery, "startedAt");
    int64_t started_ms = 0, completed_ms = 0, epoch = number_in(recovery, "epoch");
    char word[16] = "";
    const char *status = text_in(recovery, "status");
    for (size_t i = 0; status[i] && i + 1 < sizeof(word); i++)
        word[i] = (char)toupper((unsigned char)status[i]);
    add_line(out, "System", "%s", text_in(recovery, "system"));
    add_line(out, "Status", "%s", word);
    write_source(out, recovery);
    add_line(out, "Reason", "%s", *reason ? reason : "none was given");
    if (*planned)
        add_line(out, "Planned", "%s", planned);
    add_line(out, "Started", "%s", *started ? started : "not begun");
    add_line(out, "Ended", "%s", *completed ? completed : *started ? "not yet" : "not begun");
    if (hf_time_parse(started, &started_ms) && hf_time_parse(completed, &completed_ms)) {
        char took[64];
        hf_duration_format(completed_ms - started_ms, took, sizeof(took));
        add_line(out, "Took", "%s", took);
    }
    if (was_applied(recovery))
        add_line(out, "Epoch", "%" PRId64 " before, %" PRId64 " after", epoch - 1, epoch);
    else
        add_line(out, "Epoch", "%" PRId64 ", unchanged", epoch);
    add_line(out, "Sequence", "%" PRId64 " before, %" PRId64 " after", number_in(recovery, "sequenceBefore"),
             number_in(recovery, "sequenceAfter"));
}

static void write_source(struct hf_buf *out, const json_t *recovery)
{
    const char *snapshot = text_in(recovery, "snapshot"), *at = text_in(recovery, "at");
    const json_t *cut = json_object_get(recovery, "cut");
    size_t named = count_in(recovery, "components");
    bool along = json_is_true(json_object_get(recovery, "includeDependencies"));
    if (is_head(recovery))
        add_line(out, "What", "start of the client system from the present");
    else if (*at)
        add_line(out, "What", "restore of the system as of %s", at);
    else
        add_line(out, "What", "restore of a snapshot");
    if (!is_head(recovery))
        add_line(out, "Source", "%s", *snapshot ? snapshot : "the history in the database");
    if (!is_head(recovery) && json_is_object(cut))
        add_line(out, "Cut", "%s, sequence %" PRId64 "%s", text_in(cut, "at"), number_in(cut, "sequence"),
                 json_is_false(json_object_get(cut, "exact")) ? "; not exactly what was asked for, but the nearest"
                                                              : "");
    if (named)
        add_line(out, "Extent", "%zu component%s asked for by name%s", named, named == 1 ? "" : "s",
                 along ? ", and what they depend on" : "");
    else
        add_line(out, "Extent", "the whole system");
}

static void write_cost(struct hf_buf *out, const json_t *recovery)
{
    const json_t *loss = json_object_get(recovery, "dataLoss");
    int64_t versions = number_in(loss, "versions"), components = number_in(loss, "components");
    char duration[64], bytes[32];
    if (!versions) {
        add_line(out, "Data Loss", "nothing");
        return;
    }
    hf_duration_format(number_in(loss, "ms"), duration, sizeof(duration));
    bytes_format(number_in(loss, "bytes"), bytes);
    add_line(out, "Data Loss", "%s of work: %" PRId64 " version%s in %" PRId64 " component%s, %s", duration, versions,
             versions == 1 ? "" : "s", components, components == 1 ? "" : "s", bytes);
}

static void write_skipped(struct hf_buf *out, const json_t *skipped)
{
    size_t i;
    const json_t *entry;
    if (json_array_size(skipped))
        hf_buf_add_text(out, "\nSNAPSHOTS PASSED OVER:\n");
    json_array_foreach(skipped, i, entry)
    {
        hf_buf_add_format(out, "   %s: ", text_in(entry, "snapshot"));
        add_clean(out, text_in(entry, "reason"));
        if (json_is_integer(json_object_get(entry, "extraDataLossMs"))) {
            char extra[64];
            hf_duration_format(number_in(entry, "extraDataLossMs"), extra, sizeof(extra));
            hf_buf_add_format(out, "; this cost %s more", extra);
        }
        hf_buf_add_char(out, '\n');
    }
}

static void write_lost(struct hf_buf *out, const json_t *recovery)
{
    size_t i;
    const json_t *entry;
    if (count_in(recovery, "lost"))
        hf_buf_add_text(out, "\nLOST IN THE SNAPSHOT, LEFT AS THEY WERE:\n");
    json_array_foreach(json_object_get(recovery, "lost"), i, entry)
    {
        char bytes[32];
        bytes_format(number_in(entry, "bytes"), bytes);
        hf_buf_add_format(out, "   %-*s version %" PRId64 ", %s\n", NAME_WIDTH, text_in(entry, "component"),
                          number_in(entry, "version"), bytes);
    }
    if (count_in(recovery, "removed")) {
        hf_buf_add_text(out, "\nREMOVED, BECAUSE THEY CAME LATER: ");
        write_names(out, json_object_get(recovery, "removed"));
        hf_buf_add_char(out, '\n');
    }
}

static void write_steps(struct hf_buf *out, const json_t *steps)
{
    size_t i;
    const json_t *step;
    if (json_array_size(steps))
        hf_buf_add_text(out, "\nSTEPS:\n");
    json_array_foreach(steps, i, step)
    {
        char took[64];
        snprintf(took, sizeof(took), "%" PRId64 " ms", number_in(step, "durationMs"));
        if (number_in(step, "durationMs") >= 1000)
            hf_duration_format(number_in(step, "durationMs"), took, sizeof(took));
        hf_buf_add_format(out, "   %s  %10s  ", text_in(step, "completedAt"), took);
        add_clean(out, text_in(step, "name"));
        hf_buf_add_char(out, '\n');
    }
}

static void write_waves(struct hf_buf *out, const json_t *recovery)
{
    size_t wave, i;
    const json_t *list, *part;
    const json_t *times = json_object_get(recovery, "waveTimes");
    if (count_in(recovery, "waves"))
        hf_buf_add_text(out, "\nWAVES:\n");
    json_array_foreach(json_object_get(recovery, "waves"), wave, list)
    {
        const json_t *time = json_array_get(times, wave);
        char took[96] = "";
        if (json_is_integer(json_object_get(time, "durationMs"))) {
            size_t used = (size_t)snprintf(took, sizeof(took), ", done after ");
            hf_duration_format(number_in(time, "durationMs"), took + used, sizeof(took) - used);
        }
        hf_buf_add_format(out, "   Wave %zu: %" PRId64 " component%s%s\n", wave, number_in(time, "components"),
                          number_in(time, "components") == 1 ? "" : "s", took);
        json_array_foreach(list, i, part) write_part(out, part);
    }
}

static void write_part(struct hf_buf *out, const json_t *part)
{
    int64_t lost = number_in(part, "versionsLost"), source = number_in(part, "sourceVersion");
    hf_buf_add_format(out, "      %-*s %-10s version %" PRId64, NAME_WIDTH, text_in(part, "component"),
                      text_in(part, "status"), number_in(part, "restoredVersion"));
    if (source && source != number_in(part, "restoredVersion"))
        hf_buf_add_format(out, ", as %" PRId64 " was", source);
    if (lost)
        hf_buf_add_format(out, ", %" PRId64 " lost", lost);
    if (json_is_integer(json_object_get(part, "durationMs")))
        hf_buf_add_format(out, ", took %" PRId64 " ms", number_in(part, "durationMs"));
    if (*text_in(part, "detail")) {
        hf_buf_add_text(out, ": ");
        add_clean(out, text_in(part, "detail"));
    }
    hf_buf_add_char(out, '\n');
}

static void write_warnings(struct hf_buf *out, const json_t *recovery)
{
    static const struct {
        const char *list, *text;
    } rows[] = {
        {"failed", "Components that failed"},
        {"silent", "Components that did not report"},
    };
    const json_t *salvage = json_object_get(recovery, "salvage");
    const json_t *progress = json_object_get(recovery, "progress");
    size_t i;
    const json_t *warning;
    hf_buf_add_char(out, '\n');
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        if (!count_in(recovery, rows[r].list))
            continue;
        hf_buf_add_format(out, "WARNING: %s: ", rows[r].text);
        write_names(out, json_object_get(recovery, rows[r].list));
        hf_buf_add_char(out, '\n');
    }
    if (number_in(progress, "fresh"))
        hf_buf_add_format(out, "WARNING: %" PRId64 " of the components started fresh, without their states\n",
                          number_in(progress, "fresh"));
    if (json_is_false(json_object_get(salvage, "whole"))) {
        hf_buf_add_text(out, "WARNING: the snapshot's list of components is not whole: ");
        add_clean(out, text_in(salvage, "detail"));
        hf_buf_add_char(out, '\n');
    }
    json_array_foreach(json_object_get(recovery, "warnings"), i, warning)
    {
        hf_buf_add_text(out, "WARNING: ");
        add_clean(out, json_is_string(warning) ? json_string_value(warning) : text_in(warning, "text"));
        hf_buf_add_char(out, '\n');
    }
}

/* One sentence, and the command that comes next where something is left to do. */
static void write_verdict(struct hf_buf *out, const json_t *recovery)
{
    const json_t *progress = json_object_get(recovery, "progress");
    int64_t total = number_in(progress, "total"), pending = number_in(progress, "pending");
    const char *system = text_in(recovery, "system"), *id = text_in(recovery, "id");
    hf_buf_add_text(out, "VERDICT: ");
    if (is_status(recovery, "planned") && is_head(recovery))
        hf_buf_add_format(out,
                          "a plan, nothing was begun. Next: curl -X POST --json '{\"source\":\"head\"}' "
                          "$U/v1/systems/%s/recoveries\n",
                          system);
    else if (is_status(recovery, "planned"))
        hf_buf_add_format(
            out, "a plan, nothing was changed. Next: curl -X POST --json '{}' $U/v1/systems/%s/recoveries/%s/apply\n",
            system, id);
    else if (is_status(recovery, "pending") || (is_status(recovery, "applied") && pending && pending < total))
        hf_buf_add_format(out,
                          "under way, %" PRId64 " of %" PRId64
                          " components have not reported. Next, for each: curl -X PUT --json "
                          "'{\"status\":\"restored\"}' $U/v1/systems/%s/recoveries/%s/components/NAME\n",
                          pending, total, system, id);
    else if (is_status(recovery, "applied"))
        hf_buf_add_format(out, "the system is back at that state; writers must send State-Epoch %" PRId64 ".\n",
                          number_in(recovery, "epoch"));
    else if (is_status(recovery, "completed"))
        hf_buf_add_text(out, "all components are up again, nothing is left to do.\n");
    else if (is_status(recovery, "failed") && total)
        hf_buf_add_format(out,
                          "not all components came up. Mend those named above, then: curl -X POST --json "
                          "'{\"source\":\"head\"}' $U/v1/systems/%s/recoveries\n",
                          system);
    else if (is_status(recovery, "failed"))
        hf_buf_add_format(out,
                          "it failed and changed nothing; the last step says why. Next, for another source: curl "
                          "$U/v1/systems/%s/snapshots\n",
                          system);
    else
        hf_buf_add_format(out,
                          "the system started fresh, without its states. Next, to see what could be restored: curl "
                          "$U/v1/systems/%s/snapshots\n",
                          system);
}

static void write_names(struct hf_buf *out, const json_t *names)
{
    size_t i;
    const json_t *name;
    json_array_foreach(names, i, name) hf_buf_add_format(out, "%s%s", i ? ", " : "", json_string_value(name));
}

static void add_line(struct hf_buf *out, const char *title, const char *format, ...)
{
    char value[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    hf_buf_add_format(out, "   %s:%*s", title, (int)(TITLE_WIDTH - strlen(title) % TITLE_WIDTH), "");
    add_clean(out, value);
    hf_buf_add_char(out, '\n');
}

/* Without control characters, so that what a client sent cannot move the cursor of a terminal or forge a line. */
static void add_clean(struct hf_buf *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
        hf_buf_add_char(out, c1 || *c < ' ' || *c == 127 ? '?' : (char)*c);
        c += c1;
    }
}

static const char *text_in(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static int64_t number_in(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static size_t count_in(const json_t *object, const char *name)
{
    return json_array_size(json_object_get(object, name));
}

static bool is_status(const json_t *recovery, const char *status)
{
    return strcmp(text_in(recovery, "status"), status) == 0;
}

static bool is_head(const json_t *recovery)
{
    return strcmp(text_in(recovery, "source"), "head") == 0;
}

/* A restore that failed by its reports was applied before; one that failed by itself has no waves. */
static bool was_applied(const json_t *recovery)
{
    return !is_head(recovery) && (is_status(recovery, "applied") || is_status(recovery, "completed") ||
                                  (is_status(recovery, "failed") && count_in(recovery, "waves") > 0));
}

static void bytes_format(int64_t bytes, char out[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        value /= 1024;
    snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}
