#include "api/status_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"

#define TITLE_WIDTH 24

static void add_line(struct hf_buf *out, const char *title, const char *format, ...) HF_PRINTF(3, 4);
static void add_totals(struct hf_buf *out, const struct hf_status *status);
static void add_total(struct hf_buf *out, const char *title, double value);
static void add_until(struct hf_buf *out, const char *title, int64_t at_ms, int64_t now_ms);
static void add_snapshot(struct hf_buf *out, const char *title, const struct hf_snapshot_row *row, int64_t now_ms);
static void add_recoverability(struct hf_buf *out, const struct hf_recoverability *figures, int64_t now_ms);
static void add_mirror(struct hf_buf *out, const struct hf_mirror_status *mirror, int64_t now_ms);
static double total_of(const struct hf_status *status, const char *name);
static void title_of(const char *name, char out[64]);
static void upper_case(const char *text, char out[32]);

/* Two names have a title of their own; the others are made from the metric's name. */
static const struct {
    const char *name, *title;
} titles[] = {{"judgments", "Total Judgments"}, {"learningEvents", "Learning Events"}};
#define TITLE_COUNT (sizeof(titles) / sizeof(titles[0]))

void hf_status_text_write(struct hf_buf *out, const struct hf_status *status, const char *system, int64_t now_ms)
{
    char word[32], uptime[64];
    upper_case(status->status, word);
    hf_duration_format(status->uptime_ms, uptime, sizeof(uptime));
    if (system)
        hf_buf_add_format(out, "SYSTEM STATUS: %s\n", system);
    else
        hf_buf_add_format(out, "SYSTEM STATUS:\n");
    add_line(out, "Active Agents", "%" PRId64, status->active_agents);
    add_totals(out, status);
    add_line(out, "Uptime", "%s", uptime);
    add_line(out, "State Persistence", "%s", word);
    int64_t next = status->next_full_at_ms;
    if (!next || (status->next_incremental_at_ms && status->next_incremental_at_ms < next))
        next = status->next_incremental_at_ms;
    add_until(out, "Next Backup", next, now_ms);
    add_line(out, "System Health", "%.1f%%", status->overall_health * 100.0);
    add_line(out, "Components", "%" PRId64 " (%" PRId64 " healthy, %" PRId64 " stale, %" PRId64 " failed)",
             status->components, status->healthy, status->stale, status->failed);
    if (!system)
        add_line(out, "Systems", "%" PRId64, status->systems);
    add_until(out, "Next Full Backup", status->next_full_at_ms, now_ms);
    add_snapshot(out, "Last Full Backup", status->has_full ? &status->last_full : NULL, now_ms);
    add_snapshot(out, "Last Incremental", status->has_incremental ? &status->last_incremental : NULL, now_ms);
    add_recoverability(out, &status->recoverability, now_ms);
    add_line(out, "Database", "%s, %s", status->engine, status->store_up ? "up" : "DOWN");
    if (!system && status->mirror.configured)
        add_mirror(out, &status->mirror, now_ms);
    for (int i = 0; i < status->warning_count; i++)
        add_line(out, "Warning", "%s", status->warnings[i]);
}

static void add_line(struct hf_buf *out, const char *title, const char *format, ...)
{
    char value[512];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    hf_buf_add_format(out, "   %s:%*s%s\n", title, (int)(TITLE_WIDTH - strlen(title) % TITLE_WIDTH), "", value);
}

static void add_totals(struct hf_buf *out, const struct hf_status *status)
{
    for (size_t i = 0; i < TITLE_COUNT; i++)
        add_total(out, titles[i].title, total_of(status, titles[i].name));
    for (int i = 0; i < status->metric_total_count; i++) {
        const struct hf_metric_total *total = &status->metric_totals[i];
        bool shown = false;
        for (size_t k = 0; k < TITLE_COUNT; k++)
            shown = shown || strcmp(total->name, titles[k].name) == 0;
        char title[64];
        title_of(total->name, title);
        if (!shown)
            add_total(out, title, total->value);
    }
}

/* Whole numbers get their thousands separated, others two digits. */
static void add_total(struct hf_buf *out, const char *title, double value)
{
    if (floor(value) != value || fabs(value) > 1e15) {
        add_line(out, title, "%.2f", value);
        return;
    }
    char digits[32], grouped[48];
    int length = snprintf(digits, sizeof(digits), "%.0f", fabs(value)), used = 0;
    if (value < 0)
        grouped[used++] = '-';
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            grouped[used++] = ',';
        grouped[used++] = digits[i];
    }
    grouped[used] = '\0';
    add_line(out, title, "%s", grouped);
}

static void add_until(struct hf_buf *out, const char *title, int64_t at_ms, int64_t now_ms)
{
    char text[64];
    hf_duration_format(at_ms > now_ms ? at_ms - now_ms : 0, text, sizeof(text));
    add_line(out, title, "%s", at_ms == 0 ? "none" : at_ms <= now_ms ? "now" : text);
}

static void add_snapshot(struct hf_buf *out, const char *title, const struct hf_snapshot_row *row, int64_t now_ms)
{
    if (!row) {
        add_line(out, title, "none yet");
        return;
    }
    char age[64];
    hf_duration_format(now_ms > row->cut_at_ms ? now_ms - row->cut_at_ms : 0, age, sizeof(age));
    add_line(out, title, "%s ago, %s (%s)", age, row->id, row->validation_status);
}

static void add_recoverability(struct hf_buf *out, const struct hf_recoverability *figures, int64_t now_ms)
{
    char text[64], other[64];
    hf_duration_format(figures->exposure_ms, text, sizeof(text));
    hf_duration_format(figures->promised_exposure_ms, other, sizeof(other));
    if (figures->unsnapshotted_versions == 0)
        add_line(out, "Not In A Snapshot", "nothing");
    else
        add_line(out, "Not In A Snapshot",
                 "%" PRId64 " version%s, %" PRId64 " bytes, the oldest %s old (promised: at most %s)",
                 figures->unsnapshotted_versions, figures->unsnapshotted_versions == 1 ? "" : "s",
                 figures->unsnapshotted_bytes, text, other);
    hf_duration_format(now_ms - figures->from_ms, text, sizeof(text));
    hf_duration_format(now_ms - figures->history_from_ms, other, sizeof(other));
    if (figures->to_ms)
        add_line(out, "Recoverable", "the last %s, to any instant in the last %s", text, other);
    hf_duration_format(figures->expected_recovery_ms, text, sizeof(text));
    add_line(out, "Expected Recovery", "%s", figures->expected_recovery_ms < 0 ? "never measured" : text);
    const struct hf_drill_row *drill = &figures->last_drill;
    hf_duration_format(now_ms > drill->started_at_ms ? now_ms - drill->started_at_ms : 0, text, sizeof(text));
    if (figures->has_drill)
        add_line(out, "Last Restore Drill", "%s %s ago: %s", drill->status, text, drill->detail);
    else
        add_line(out, "Last Restore Drill", "none yet");
}

static void add_mirror(struct hf_buf *out, const struct hf_mirror_status *mirror, int64_t now_ms)
{
    char age[64];
    hf_duration_format(now_ms > mirror->caught_up_at_ms ? now_ms - mirror->caught_up_at_ms : 0, age, sizeof(age));
    if (!mirror->up || mirror->pending_files)
        add_line(out, "Mirror", "%s, %" PRId64 " file%s waiting", mirror->up ? "up" : "DOWN", mirror->pending_files,
                 mirror->pending_files == 1 ? "" : "s");
    else if (mirror->caught_up_at_ms)
        add_line(out, "Mirror", "up, even %s ago", age);
    else
        add_line(out, "Mirror", "up");
}

static double total_of(const struct hf_status *status, const char *name)
{
    for (int i = 0; i < status->metric_total_count; i++)
        if (strcmp(status->metric_totals[i].name, name) == 0)
            return status->metric_totals[i].value;
    return 0;
}

/* learningEvents -> Learning Events; controls are left out, so that a name cannot move the cursor of a terminal. */
static void title_of(const char *name, char out[64])
{
    size_t used = 0;
    for (size_t i = 0; name[i] && used + 2 < TITLE_WIDTH - 1; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < ' ' || c == 127)
            continue;
        if (i > 0 && isupper(c) && !isupper((unsigned char)name[i - 1]))
            out[used++] = ' ';
        out[used++] = (char)(i == 0 ? toupper(c) : c);
    }
    out[used] = '\0';
}

static void upper_case(const char *text, char out[32])
{
    size_t used = 0;
    while (text[used] && used < 31) {
        out[used] = (char)toupper((unsigned char)text[used]);
        used++;
    }
    out[used] = '\0';
}
