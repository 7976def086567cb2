#include "cli/status.h"

#include "cli/print.h"
#include "core/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static void write_counts(const struct hf_pen *pen, const json_t *status);
static void write_totals(const struct hf_pen *pen, const json_t *totals);
static void write_total(const struct hf_pen *pen, const char *title, double value);
static void write_next(const struct hf_pen *pen, const json_t *status, int64_t now_ms);
static void write_snapshots(const struct hf_pen *pen, const json_t *status, int64_t now_ms);
static void write_recoverability(const struct hf_pen *pen, const json_t *figures, int64_t now_ms);
static void write_exposure(const struct hf_pen *pen, const json_t *figures);
static void write_drill(const struct hf_pen *pen, const json_t *drill, int64_t now_ms);
static void write_places(const struct hf_pen *pen, const json_t *status);
static void title(const struct hf_pen *pen, const char *text);
static void upper_case(const char *text, char out[32]);
static void title_of(const char *name, char out[64]);

int hf_run_status(struct hf_cli *cli)
{
    struct holdfast_error err;
    HF_AUTO(json) json_t *status = hf_status_ask(cli, hf_option_given(&cli->options, "all"), &err);
    if (!status)
        return hf_cli_fail(cli, &err, "cannot tell how %s is", cli->settings.system);
    if (cli->json)
        hf_cli_json(cli, status);
    else
        hf_status_write(&cli->out, status, hf_clock_now_ms());
    return hf_status_style(status) == HF_GREEN ? HF_EXIT_OK : HF_EXIT_DEGRADED;
}

json_t *hf_status_ask(struct hf_cli *cli, bool all, struct holdfast_error *err)
{
    json_t *status = all ? hf_cli_get(cli, err, "/v1/status") : hf_cli_get(cli, err, "status");
    if (!status && !all && !cli->settings.system_told && strcmp(err->code, "not_found") == 0)
        status = hf_cli_get(cli, err, "/v1/status");
    return status;
}

void hf_status_write(const struct hf_pen *pen, const json_t *status, int64_t now_ms)
{
    char word[32], number[HF_NUMBER_BYTES];
    size_t i;
    const json_t *warning, *warnings = json_object_get(status, "warnings");
    const char *state = hf_field_text(status, "status"), *system = hf_field_text(status, "system");
    upper_case(state, word);
    hf_pen_print(pen, HF_BOLD, "SYSTEM STATUS:");
    hf_pen_line(pen, HF_BOLD, "%s%s", *system ? " " : "", system);
    write_counts(pen, status);
    hf_number_format(hf_field_int(status, "uptimeSeconds"), number);
    title(pen, "Uptime");
    hf_pen_line(pen, HF_PLAIN, "%ss", number);
    title(pen, "Central Nervous System");
    hf_pen_line(pen, hf_status_style(status), "%s %s",
                strcmp(state, "operational") == 0 ? "[x]"
                : strcmp(state, "degraded") == 0  ? "[!]"
                                                  : "[ ]",
                word);
    write_next(pen, status, now_ms);
    title(pen, "System Health");
    hf_pen_line(pen, HF_PLAIN, "%.1f%%", hf_field_real(json_object_get(status, "systemHealth"), "overallHealth") * 100);
    write_snapshots(pen, status, now_ms);
    write_recoverability(pen, json_object_get(status, "recoverability"), now_ms);
    write_places(pen, status);
    json_array_foreach(warnings, i, warning)
    {
        title(pen, "Warning");
        hf_pen_line(pen, HF_YELLOW, "%s", json_is_string(warning) ? json_string_value(warning) : "?");
    }
}

enum hf_style hf_status_style(const json_t *status)
{
    const char *state = hf_field_text(status, "status");
    if (strcmp(state, "operational") == 0)
        return json_array_size(json_object_get(status, "warnings")) ? HF_YELLOW : HF_GREEN;
    return strcmp(state, "degraded") == 0 ? HF_YELLOW : HF_RED;
}

static void write_counts(const struct hf_pen *pen, const json_t *status)
{
    const json_t *health = json_object_get(status, "systemHealth");
    title(pen, "Active Agents");
    hf_pen_line(pen, HF_PLAIN, "%" PRId64, hf_field_int(status, "activeAgents"));
    write_totals(pen, json_object_get(status, "metricTotals"));
    if (json_object_get(status, "system") == NULL) {
        title(pen, "Systems");
        hf_pen_line(pen, HF_PLAIN, "%" PRId64, hf_field_int(status, "systems"));
    }
    title(pen, "Components");
    hf_pen_line(pen, HF_PLAIN, "%" PRId64 " (%" PRId64 " healthy, %" PRId64 " stale, %" PRId64 " failed)",
                hf_field_int(status, "components"), hf_field_int(health, "healthy"), hf_field_int(health, "stale"),
                hf_field_int(health, "failed"));
}

/* Two totals have a line of their own; the others are titled by their name. */
static void write_totals(const struct hf_pen *pen, const json_t *totals)
{
    const char *name;
    const json_t *value;
    write_total(pen, "Total Judgments", hf_field_real(totals, "judgments"));
    write_total(pen, "Learning Events", hf_field_real(totals, "learningEvents"));
    json_object_foreach((json_t *)totals, name, value)
    {
        char text[64];
        if (strcmp(name, "judgments") == 0 || strcmp(name, "learningEvents") == 0 || !json_is_number(value))
            continue;
        title_of(name, text);
        write_total(pen, text, json_number_value(value));
    }
}

static void write_total(const struct hf_pen *pen, const char *text, double value)
{
    char number[HF_NUMBER_BYTES];
    title(pen, text);
    if (floor(value) != value || fabs(value) > 1e15) {
        hf_pen_line(pen, HF_PLAIN, "%.2f", value);
        return;
    }
    hf_number_format((int64_t)value, number);
    hf_pen_line(pen, HF_PLAIN, "%s", number);
}

static void write_next(const struct hf_pen *pen, const json_t *status, int64_t now_ms)
{
    char text[64];
    int64_t next_ms = hf_field_int(status, "nextFullBackup"), other_ms = hf_field_int(status, "nextIncrementalBackup");
    if (other_ms && (!next_ms || other_ms < next_ms))
        next_ms = other_ms;
    hf_duration_format(next_ms - now_ms, text, sizeof(text));
    title(pen, "Next Backup");
    hf_pen_line(pen, HF_PLAIN, "%s", next_ms == 0 ? "none" : next_ms <= now_ms ? "now" : text);
}

static void write_snapshots(const struct hf_pen *pen, const json_t *status, int64_t now_ms)
{
    static const char *const rows[][2] = {{"Last Full Backup", "lastFullBackup"},
                                          {"Last Incremental", "lastIncrementalBackup"}};
    for (size_t i = 0; i < 2; i++) {
        const json_t *last = json_object_get(status, rows[i][1]);
        char age[HF_AGE_BYTES];
        hf_age_format(hf_field_text(last, "cutAt"), now_ms, age);
        const char *verdict = hf_field_text(last, "validation");
        title(pen, rows[i][0]);
        if (!json_is_object(last))
            hf_pen_line(pen, HF_PLAIN, "none yet");
        else
            hf_pen_line(pen, strcmp(verdict, "damaged") == 0 ? HF_RED : HF_PLAIN, "%s, %s (%s)", age,
                        hf_field_text(last, "id"), verdict);
    }
}

static void write_recoverability(const struct hf_pen *pen, const json_t *figures, int64_t now_ms)
{
    char text[HF_AGE_BYTES], history[HF_AGE_BYTES];
    write_exposure(pen, figures);
    title(pen, "Recoverable");
    hf_age_format(hf_field_text(figures, "from"), now_ms, text);
    hf_age_format(hf_field_text(figures, "historyFrom"), now_ms, history);
    if (!*hf_field_text(figures, "to"))
        hf_pen_line(pen, HF_YELLOW, "nothing yet");
    else
        hf_pen_line(pen, HF_PLAIN, "from %s, to any instant from %s", text, history);
    title(pen, "Expected Recovery");
    hf_duration_format(hf_field_int(figures, "expectedRecoveryMs"), text, sizeof(text));
    hf_pen_line(pen, HF_PLAIN, "%s",
                json_is_integer(json_object_get(figures, "expectedRecoveryMs")) ? text : "never measured");
    write_drill(pen, json_object_get(figures, "lastDrill"), now_ms);
}

static void write_exposure(const struct hf_pen *pen, const json_t *figures)
{
    char oldest[64], promised[64], size[HF_SIZE_BYTES];
    int64_t versions = hf_field_int(figures, "unsnapshottedVersions");
    int64_t exposure_ms = hf_field_int(figures, "exposureMs"),
            promised_ms = hf_field_int(figures, "promisedExposureMs");
    hf_duration_format(exposure_ms, oldest, sizeof(oldest));
    hf_duration_format(promised_ms, promised, sizeof(promised));
    hf_size_format(hf_field_int(figures, "unsnapshottedBytes"), size);
    title(pen, "Not In A Snapshot");
    if (versions == 0)
        hf_pen_line(pen, HF_PLAIN, "nothing");
    else
        hf_pen_line(pen, promised_ms > 0 && exposure_ms > promised_ms ? HF_YELLOW : HF_PLAIN,
                    "%" PRId64 " version%s, %s, the oldest %s old (promised: at most %s)", versions,
                    versions == 1 ? "" : "s", size, oldest, promised);
}

static void write_drill(const struct hf_pen *pen, const json_t *drill, int64_t now_ms)
{
    char age[HF_AGE_BYTES];
    const char *status = hf_field_text(drill, "status");
    title(pen, "Last Restore Drill");
    hf_age_format(hf_field_text(drill, "at"), now_ms, age);
    if (json_is_object(drill))
        hf_pen_line(pen, strcmp(status, "failed") == 0 ? HF_RED : HF_PLAIN, "%s %s: %s", status, age,
                    hf_field_text(drill, "detail"));
    else
        hf_pen_line(pen, HF_PLAIN, "none yet");
}

static void write_places(const struct hf_pen *pen, const json_t *status)
{
    const json_t *store = json_object_get(status, "store"), *mirror = json_object_get(status, "mirror");
    bool up = strcmp(hf_field_text(store, "status"), "up") == 0;
    title(pen, "Database");
    hf_pen_line(pen, up ? HF_PLAIN : HF_RED, "%s, %s", hf_field_text(store, "engine"), hf_field_text(store, "status"));
    if (!json_is_object(mirror))
        return;
    int64_t waiting = hf_field_int(mirror, "pendingFiles");
    title(pen, "Mirror");
    up = strcmp(hf_field_text(mirror, "status"), "up") == 0;
    hf_pen_line(pen, up && !waiting ? HF_PLAIN : HF_YELLOW, "%s, %" PRId64 " file%s waiting",
                hf_field_text(mirror, "status"), waiting, waiting == 1 ? "" : "s");
}

static void title(const struct hf_pen *pen, const char *text)
{
    hf_pen_print(pen, HF_PLAIN, "   %s: ", text);
}

static void upper_case(const char *text, char out[32])
{
    size_t used = 0;
    for (; text[used] && used < 31; used++)
        out[used] = (char)toupper((unsigned char)text[used]);
    out[used] = '\0';
}

/* learningEvents -> Learning Events */
static void title_of(const char *name, char out[64])
{
    size_t used = 0;
    for (size_t i = 0; name[i] && used + 2 < 63; i++) {
        unsigned char c = (unsigned char)name[i];
        if (i > 0 && isupper(c) && !isupper((unsigned char)name[i - 1]))
            out[used++] = ' ';
        out[used++] = (char)(i == 0 ? toupper(c) : c);
    }
    out[used] = '\0';
}
