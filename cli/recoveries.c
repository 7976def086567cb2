/* recoveries, drill. */
#include "cli/lists.h"
#include "cli/plan.h"
#include "cli/print.h"
#include "cli/table.h"
#include "core/clock.h"

#include <inttypes.h>
#include <string.h>

#define DRILLS_MOST 100

static int report(struct hf_cli *cli, const char *id);
static void write_report(const struct hf_pen *pen, const char *text);
static void write_recoveries(const struct hf_pen *pen, const json_t *recoveries);
static int list_drills(struct hf_cli *cli);
static void write_drills(const struct hf_pen *pen, const json_t *drills);

int hf_run_recoveries(struct hf_cli *cli)
{
    size_t most;
    if (hf_argument(&cli->options, 0))
        return report(cli, hf_argument(&cli->options, 0));
    if (!hf_limit_read(cli, 20, &most))
        return HF_EXIT_USAGE;
    HF_AUTO(free) char *none = hf_format("%s was never recovered or restored.", cli->settings.system);
    return hf_listing_run(cli, &(struct hf_listing){.path = "recoveries",
                                                    .member = "recoveries",
                                                    .of = cli->settings.system,
                                                    .most = most,
                                                    .says_most = true,
                                                    .none = none,
                                                    .write = write_recoveries});
}

int hf_run_drill(struct hf_cli *cli)
{
    struct holdfast_error err;
    if (hf_option_given(&cli->options, "list"))
        return list_drills(cli);
    struct hf_sending sending = {.body = json_object(), .slow = true};
    HF_AUTO(json) json_t *drill = hf_cli_send(cli, &sending, &err, "drills");
    if (!drill)
        return hf_cli_fail(cli, &err, "cannot try a restore of %s", cli->settings.system);
    const char *status = hf_field_text(drill, "status");
    char size[HF_SIZE_BYTES], took[64];
    hf_size_format(hf_field_int(drill, "bytes"), size);
    hf_duration_format(hf_field_int(drill, "durationMs"), took, sizeof(took));
    if (cli->json) {
        hf_cli_json(cli, drill);
    } else {
        hf_pen_print(&cli->out, hf_word_style(status), "%s", status);
        hf_pen_line(&cli->out, HF_PLAIN, ": %s", hf_field_text(drill, "detail"));
        hf_pen_line(&cli->out, HF_PLAIN, "%" PRId64 " components, %s in %s", hf_field_int(drill, "components"), size,
                    took);
    }
    return strcmp(status, "passed") == 0 ? HF_EXIT_OK : HF_EXIT_DEGRADED;
}

/* The service writes the report itself. */
static int report(struct hf_cli *cli, const char *id)
{
    struct holdfast_error err;
    HF_AUTO(free) char *escaped = hf_escape(id);
    if (cli->json) {
        HF_AUTO(json) json_t *recovery = hf_cli_get(cli, &err, "recoveries/%s", escaped);
        return recovery ? hf_cli_json(cli, recovery) : hf_cli_fail(cli, &err, "cannot report on recovery %s", id);
    }
    HF_AUTO(free) char *path = hf_format("recoveries/%s?format=text", escaped);
    struct holdfast_answer answer = {0};
    if (!holdfast_call(cli->service, &(struct holdfast_request){.path = path}, &answer, &err))
        return hf_cli_fail(cli, &err, "cannot report on recovery %s", id);
    write_report(&cli->out, answer.body ? answer.body : "");
    holdfast_answer_free(&answer);
    return HF_EXIT_OK;
}

static void write_report(const struct hf_pen *pen, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        hf_pen_line(pen, HF_PLAIN, "%.*s", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void write_recoveries(const struct hf_pen *pen, const json_t *recoveries)
{
    static const struct hf_column columns[] = {
        {"RECOVERY", false, false, 0}, {"STATUS", false, false, 0}, {"SOURCE", false, false, 3},
        {"STARTED", false, false, 1},  {"LOSS", false, true, 4},    {"REASON", false, true, 2},
    };
    HF_AUTO(table) struct hf_table *table = hf_table_new(columns, sizeof(columns) / sizeof(columns[0]));
    size_t i;
    const json_t *recovery;
    json_array_foreach(recoveries, i, recovery)
    {
        char when[32], loss[64], time[64];
        const char *status = hf_field_text(recovery, "status"), *started = hf_field_text(recovery, "startedAt");
        int64_t versions = hf_field_int(json_object_get(recovery, "dataLoss"), "versions");
        hf_when_format(*started ? started : hf_field_text(recovery, "plannedAt"), when);
        hf_duration_format(hf_field_int(json_object_get(recovery, "dataLoss"), "ms"), time, sizeof(time));
        snprintf(loss, sizeof(loss), "%" PRId64 " version%s, %.30s", versions, versions == 1 ? "" : "s", time);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(recovery, "id"));
        hf_table_add(table, hf_word_style(status), "%s", status);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(recovery, "source"));
        hf_table_add(table, HF_PLAIN, "%s", when);
        hf_table_add(table, HF_PLAIN, "%s", versions ? loss : "nothing");
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(recovery, "reason"));
    }
    hf_table_write(table, pen, 0);
}

static int list_drills(struct hf_cli *cli)
{
    HF_AUTO(free)
    char *none = hf_format("No restore of %s was ever tried; holdfast drill does.", cli->settings.system);
    return hf_listing_run(cli, &(struct hf_listing){.path = "drills",
                                                    .member = "drills",
                                                    .of = cli->settings.system,
                                                    .most = DRILLS_MOST,
                                                    .none = none,
                                                    .write = write_drills});
}

static void write_drills(const struct hf_pen *pen, const json_t *drills)
{
    static const struct hf_column columns[] = {
        {"WHEN", false, false, 0}, {"STATUS", false, false, 0}, {"SNAPSHOT", false, true, 2},
        {"SIZE", true, false, 3},  {"TOOK", true, false, 1},    {"DETAIL", false, true, 4},
    };
    HF_AUTO(table) struct hf_table *table = hf_table_new(columns, sizeof(columns) / sizeof(columns[0]));
    size_t i;
    const json_t *drill;
    json_array_foreach(drills, i, drill)
    {
        char when[32], size[HF_SIZE_BYTES], took[64];
        hf_when_format(hf_field_text(drill, "at"), when);
        hf_size_format(hf_field_int(drill, "bytes"), size);
        hf_duration_format(hf_field_int(drill, "durationMs"), took, sizeof(took));
        hf_table_add(table, HF_PLAIN, "%s", when);
        hf_table_add(table, hf_word_style(hf_field_text(drill, "status")), "%s", hf_field_text(drill, "status"));
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(drill, "snapshot"));
        hf_table_add(table, HF_PLAIN, "%s", size);
        hf_table_add(table, HF_PLAIN, "%s", took);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(drill, "detail"));
    }
    hf_table_write(table, pen, 0);
}
