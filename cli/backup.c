/* backup, validate. */
#include "cli/interrupt.h"
#include "cli/lists.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/snapshots.h"
#include "core/clock.h"

#include <inttypes.h>
#include <string.h>

#define POLL_MIN_MS 20
#define POLL_MAX_MS 500
#define TRIES       5

static json_t *take(struct hf_cli *cli, bool incremental, const char *label, char id[256], struct holdfast_error *err);
static bool is_ours(const json_t *snapshot, bool incremental, const char *label);
static json_t *await(struct hf_cli *cli, const char *id, struct holdfast_error *err);
static bool end_validated(struct hf_cli *cli, json_t **snapshot);
static char *newest_id(struct hf_cli *cli);
static int validate_all(struct hf_cli *cli, bool deep);
static int validate_some(struct hf_cli *cli, const json_t *snapshots, bool deep);
static int fail_validation(struct hf_cli *cli, const char *id, const struct holdfast_error *err);
static bool is_damaged(const json_t *validation);

int hf_run_backup(struct hf_cli *cli)
{
    struct holdfast_error err;
    char id[256];
    const char *label = hf_option_text(&cli->options, "label");
    bool incremental = hf_option_given(&cli->options, "incremental");
    HF_AUTO(free) char *before = incremental ? newest_id(cli) : NULL;
    HF_AUTO(json) json_t *snapshot = NULL;
    for (int i = 0; i < TRIES && !is_ours(snapshot, incremental, label); i++) {
        json_decref(snapshot);
        snapshot = NULL;
        HF_AUTO(json) json_t *started = take(cli, incremental, label, id, &err);
        if (!started && hf_was_interrupted(&err))
            return hf_cli_failed(cli, hf_exit_of(&err),
                                 "interrupted; a snapshot may be under way: holdfast --system %s snapshots tells",
                                 cli->settings.system);
        if (!started)
            return hf_cli_fail(cli, &err, "cannot take a snapshot of %s", cli->settings.system);
        snapshot = await(cli, id, &err);
        if (!snapshot && hf_was_interrupted(&err))
            return hf_cli_failed(cli, hf_exit_of(&err),
                                 "interrupted; the service goes on with it: holdfast --system %s show %s tells",
                                 cli->settings.system, id);
        if (!snapshot)
            return hf_cli_fail(cli, &err, "the snapshot %s of %s was not completed", id, cli->settings.system);
    }
    if (!is_ours(snapshot, incremental, label))
        return hf_cli_failed(cli, HF_EXIT_CONFLICT, "others take snapshots of %s all the time; %s is one of theirs",
                             cli->settings.system, id);
    bool unchanged = before && strcmp(before, hf_field_text(snapshot, "id")) == 0;
    bool told = hf_option_given(&cli->options, "no-validate") || end_validated(cli, &snapshot);
    if (hf_interrupt_signal())
        return hf_cli_failed(cli, 128 + hf_interrupt_signal(),
                             "interrupted; the snapshot was taken: holdfast --system %s show %s tells whether it can "
                             "be read back",
                             cli->settings.system, id);
    json_object_set_new(snapshot, "unchanged", json_boolean(unchanged));
    if (cli->json)
        hf_cli_json(cli, snapshot);
    else
        hf_snapshot_write(&cli->out, snapshot);
    if (unchanged)
        hf_cli_note(cli, "Nothing changed since that snapshot; no other was needed.");
    if (!told)
        hf_cli_note(cli, "It was not read back yet; holdfast validate %s does it.", hf_field_text(snapshot, "id"));
    return hf_snapshot_is_damaged(snapshot) ? HF_EXIT_DEGRADED : HF_EXIT_OK;
}

int hf_run_validate(struct hf_cli *cli)
{
    struct holdfast_error err;
    bool all = hf_option_given(&cli->options, "all"), deep = !hf_option_given(&cli->options, "shallow");
    const char *id = hf_argument(&cli->options, 0);
    if (all == (id != NULL))
        return hf_cli_usage(cli, "validate needs either SNAPSHOT or --all; see holdfast help validate");
    if (all)
        return validate_all(cli, deep);
    HF_AUTO(json) json_t *validation = hf_snapshot_validate(cli, id, deep, &err);
    if (!validation)
        return fail_validation(cli, id, &err);
    if (cli->json)
        hf_cli_json(cli, validation);
    else
        hf_validation_write(&cli->out, validation, true);
    return is_damaged(validation) ? HF_EXIT_DEGRADED : HF_EXIT_OK;
}

json_t *hf_snapshot_validate(struct hf_cli *cli, const char *id, bool deep, struct holdfast_error *err)
{
    HF_AUTO(free) char *escaped = hf_escape(id);
    struct hf_sending sending = {.body = json_pack("{s:b}", "deep", deep), .idempotent = true, .slow = true};
    return hf_cli_expect(hf_cli_send(cli, &sending, err, "snapshots/%s/validate", escaped), "snapshot status", err);
}

void hf_validation_write(const struct hf_pen *pen, const json_t *validation, bool with_checks)
{
    char took[64], size[HF_SIZE_BYTES];
    const char *status = hf_field_text(validation, "status");
    size_t i;
    const json_t *entry;
    hf_duration_format(hf_field_int(validation, "durationMs"), took, sizeof(took));
    hf_size_format(hf_field_int(validation, "bytesChecked"), size);
    json_array_foreach(json_object_get(validation, "checks"), i, entry)
    {
        const char *word = hf_field_text(entry, "status"), *detail = hf_field_text(entry, "detail");
        if (!with_checks)
            break;
        hf_title(pen, hf_field_text(entry, "name"));
        hf_pen_print(pen, hf_word_style(word), "%s", word);
        hf_pen_line(pen, HF_PLAIN, "%s%s", *detail ? ": " : "", detail);
    }
    json_array_foreach(json_object_get(validation, "lost"), i, entry)
        hf_pen_line(pen, HF_RED, "Lost: %s, version %" PRId64, hf_field_text(entry, "component"),
                    hf_field_int(entry, "version"));
    hf_pen_print(pen, HF_PLAIN, "%s: ", hf_field_text(validation, "snapshot"));
    hf_pen_print(pen, hf_word_style(status), "%s", status);
    hf_pen_line(pen, HF_PLAIN, ", quality %.3g, %" PRId64 " contents (%s) in %s",
                hf_field_real(validation, "qualityScore"), hf_field_int(validation, "blobsChecked"), size, took);
}

/* Asked for without waiting, so that how far it is can be shown. */
static json_t *take(struct hf_cli *cli, bool incremental, const char *label, char id[256], struct holdfast_error *err)
{
    struct hf_sending sending = {
        .body = json_pack("{s:s, s:s*}", "kind", incremental ? "incremental" : "full", "label", label),
        .header = "Prefer: respond-async",
    };
    json_t *started = hf_cli_expect(hf_cli_send(cli, &sending, err, "snapshots"), "id", err);
    if (started)
        snprintf(id, 256, "%s", hf_field_text(started, "id"));
    return started;
}

/* What is asked for while another one waits for its turn joins that one, of whatever kind and label it is. What an
 * incremental came to, a full or nothing new, is the service's decision. */
static bool is_ours(const json_t *snapshot, bool incremental, const char *label)
{
    if (!snapshot)
        return false;
    return incremental || (strcmp(hf_field_text(snapshot, "kind"), "full") == 0 &&
                           strcmp(hf_field_text(snapshot, "label"), label ? label : "") == 0);
}

static json_t *await(struct hf_cli *cli, const char *id, struct holdfast_error *err)
{
    HF_AUTO(free) char *escaped = hf_escape(id);
    struct hf_progress progress;
    hf_progress_begin(&progress, cli, "Components", false);
    json_t *snapshot = NULL;
    for (int pause_ms = POLL_MIN_MS;; pause_ms = pause_ms * 2 < POLL_MAX_MS ? pause_ms * 2 : POLL_MAX_MS) {
        snapshot = hf_cli_expect(hf_cli_get(cli, err, "snapshots/%s", escaped), "id state", err);
        const char *state = hf_field_text(snapshot, "state");
        if (!snapshot || (strcmp(state, "running") != 0 && strcmp(state, "failed") != 0))
            break;
        if (strcmp(state, "failed") == 0) {
            *err = (struct holdfast_error){.code = "snapshot_failed"};
            snprintf(err->text, sizeof(err->text), "%.400s", hf_field_text(snapshot, "error"));
            json_decref(snapshot);
            snapshot = NULL;
            break;
        }
        hf_progress_show(&progress, hf_field_int(snapshot, "componentsDone"),
                         hf_field_int(snapshot, "componentsTotal"));
        json_decref(snapshot);
        snapshot = NULL;
        if (!hf_interrupt_sleep(pause_ms)) {
            *err = (struct holdfast_error){.code = "cancelled"};
            break;
        }
    }
    hf_progress_end(&progress);
    return snapshot;
}

/* The service reads it back by itself; asking for the same validation joins that one, and gets its verdict. False: no
 * verdict could be had. */
static bool end_validated(struct hf_cli *cli, json_t **snapshot)
{
    struct holdfast_error err;
    HF_AUTO(free) char *id = hf_strdup(hf_field_text(*snapshot, "id"));
    HF_AUTO(free) char *escaped = hf_escape(id);
    if (strcmp(hf_field_text(json_object_get(*snapshot, "validation"), "status"), "pending") != 0)
        return true;
    HF_AUTO(json) json_t *validation = hf_snapshot_validate(cli, id, false, &err);
    json_t *again = validation ? hf_cli_expect(hf_cli_get(cli, &err, "snapshots/%s", escaped), "id state", &err) : NULL;
    if (!again)
        return false;
    json_decref(*snapshot);
    *snapshot = again;
    return true;
}

static char *newest_id(struct hf_cli *cli)
{
    struct holdfast_error ignored;
    HF_AUTO(json) json_t *list = hf_cli_list(cli, "snapshots", "snapshots", 1, &ignored);
    return hf_strdup(hf_field_text(json_array_get(list, 0), "id"));
}

static int validate_all(struct hf_cli *cli, bool deep)
{
    struct holdfast_error err;
    HF_AUTO(json) json_t *snapshots = hf_cli_list(cli, "snapshots", "snapshots", 0, &err);
    if (!snapshots)
        return hf_cli_fail(cli, &err, "cannot list the snapshots of %s", cli->settings.system);
    return validate_some(cli, snapshots, deep);
}

static int validate_some(struct hf_cli *cli, const json_t *snapshots, bool deep)
{
    struct holdfast_error err;
    struct hf_progress progress;
    HF_AUTO(json) json_t *document = json_object();
    json_t *validations = json_array();
    json_object_set_new(document, "validations", validations);
    size_t i, damaged = 0;
    const json_t *snapshot;
    int status = HF_EXIT_OK;
    hf_progress_begin(&progress, cli, "Snapshots", false);
    json_array_foreach(snapshots, i, snapshot)
    {
        const char *id = hf_field_text(snapshot, "id");
        if (strcmp(hf_field_text(snapshot, "state"), "failed") == 0)
            continue;
        hf_progress_show(&progress, (int64_t)i, (int64_t)json_array_size(snapshots));
        json_t *validation = hf_snapshot_validate(cli, id, deep, &err);
        hf_progress_end(&progress);
        if (!validation && strcmp(err.code, "not_found") == 0)
            continue; /* it expired meanwhile */
        if (!validation) {
            status = fail_validation(cli, id, &err);
            if (status >= HF_EXIT_INTERRUPTED || status == HF_EXIT_UNREACHABLE)
                break;
            continue;
        }
        json_array_append_new(validations, validation);
        damaged += is_damaged(validation);
        if (!cli->json)
            hf_validation_write(&cli->out, validation, is_damaged(validation));
    }
    if (cli->json)
        hf_cli_json(cli, document);
    else if (status < HF_EXIT_INTERRUPTED)
        hf_pen_line(&cli->out, damaged ? HF_RED : HF_BOLD, "%zu snapshot%s, %zu damaged", json_array_size(validations),
                    json_array_size(validations) == 1 ? "" : "s", damaged);
    return status != HF_EXIT_OK ? status : damaged ? HF_EXIT_DEGRADED : HF_EXIT_OK;
}

static int fail_validation(struct hf_cli *cli, const char *id, const struct holdfast_error *err)
{
    if (hf_was_interrupted(err))
        return hf_cli_failed(cli, hf_exit_of(err),
                             "interrupted; the service goes on with it: holdfast --system %s show %s tells",
                             cli->settings.system, id);
    return hf_cli_fail(cli, err, "cannot validate snapshot %s", id);
}

static bool is_damaged(const json_t *validation)
{
    return strcmp(hf_field_text(validation, "status"), "damaged") == 0;
}
