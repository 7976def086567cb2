/* restore: plan, ask, apply that very plan. */
#include "cli/ask.h"
#include "cli/lists.h"
#include "cli/plan.h"
#include "core/clock.h"
#include "core/id.h"

#include <inttypes.h>
#include <string.h>

static json_t *make_plan(struct hf_cli *cli, struct holdfast_error *err);
static json_t *make_request(struct hf_cli *cli);
static json_t *read_plan(struct hf_cli *cli, const char *id, struct holdfast_error *err);
static int check_source(struct hf_cli *cli);
static int confirm(struct hf_cli *cli, const json_t *plan);
static int refuse(struct hf_cli *cli, const json_t *plan);
static int apply(struct hf_cli *cli, const json_t *plan);
static json_t *find_outcome(struct hf_cli *cli, const char *escaped, struct holdfast_error *err);
static void write_outcome(const struct hf_pen *pen, const json_t *recovery);

int hf_run_restore(struct hf_cli *cli)
{
    struct holdfast_error err;
    bool dry_run = hf_option_given(&cli->options, "dry-run"), yes = hf_option_given(&cli->options, "yes");
    int status = check_source(cli);
    if (status != HF_EXIT_OK)
        return status;
    const char *id = hf_option_text(&cli->options, "plan");
    HF_AUTO(json) json_t *plan = id ? read_plan(cli, id, &err) : make_plan(cli, &err);
    if (!plan)
        return hf_cli_fail(cli, &err, "cannot plan a restore of %s", cli->settings.system);
    if (!cli->json && !(yes && cli->quiet))
        hf_plan_write(&cli->out, plan);
    if (cli->json && (dry_run || !yes))
        hf_cli_json(cli, plan);
    if (dry_run) {
        hf_cli_note(cli, "Nothing was changed. holdfast --system %s restore --plan %s applies this plan.",
                    cli->settings.system, hf_field_text(plan, "id"));
        return HF_EXIT_OK;
    }
    status = yes ? HF_EXIT_OK : confirm(cli, plan);
    return status == HF_EXIT_OK ? apply(cli, plan) : status;
}

static int check_source(struct hf_cli *cli)
{
    const struct hf_options *options = &cli->options;
    const char *snapshot = hf_argument(options, 0), *at = hf_option_text(options, "at");
    const char *plan = hf_option_text(options, "plan");
    if ((snapshot != NULL) + (at != NULL) + (plan != NULL) != 1)
        return hf_cli_usage(cli, "restore needs SNAPSHOT, --at MOMENT or --plan RECOVERY, and only one of them");
    if (plan && (hf_option_given(options, "component") || hf_option_given(options, "salvage") ||
                 hf_option_given(options, "include-dependencies")))
        return hf_cli_usage(cli, "a plan is applied as it is: --plan goes without --component, --include-dependencies "
                                 "and --salvage");
    if (hf_option_given(options, "salvage") && (!snapshot || strcmp(snapshot, "latest") == 0))
        return hf_cli_usage(cli, "--salvage needs the id of a snapshot");
    if (hf_option_given(options, "include-dependencies") && !hf_option_given(options, "component"))
        return hf_cli_usage(cli, "--include-dependencies goes with --component; without it all components come back");
    return hf_moment_check(cli, "at") ? HF_EXIT_OK : HF_EXIT_USAGE;
}

static json_t *make_plan(struct hf_cli *cli, struct holdfast_error *err)
{
    /* A plan changes nothing: made twice, the first one is simply not used. */
    struct hf_sending sending = {.body = make_request(cli), .idempotent = true, .slow = true};
    return hf_cli_expect(hf_cli_send(cli, &sending, err, "recoveries"), "id status", err);
}

static json_t *make_request(struct hf_cli *cli)
{
    const struct hf_options *options = &cli->options;
    const char *snapshot = hf_argument(options, 0), *at = hf_option_text(options, "at"), *name;
    const char *reason = hf_option_text(options, "reason");
    HF_AUTO(free) char *moment = hf_moment(at ? at : "");
    json_t *names = json_array(), *request = json_object();
    json_object_set_new(request, "source", json_string(snapshot ? "snapshot" : "at"));
    json_object_set_new(request, snapshot ? "snapshot" : "at", json_string(snapshot ? snapshot : moment));
    json_object_set_new(request, "dryRun", json_true());
    if (reason)
        json_object_set_new(request, "reason", json_string(reason));
    for (size_t cursor = 0; (name = hf_option_next(options, "component", &cursor));)
        json_array_append_new(names, json_string(name));
    if (json_array_size(names))
        json_object_set(request, "components", names);
    json_decref(names);
    if (hf_option_given(options, "include-dependencies"))
        json_object_set_new(request, "includeDependencies", json_true());
    if (hf_option_given(options, "salvage"))
        json_object_set_new(request, "salvage", json_true());
    return request;
}

static json_t *read_plan(struct hf_cli *cli, const char *id, struct holdfast_error *err)
{
    HF_AUTO(free) char *escaped = hf_escape(id);
    json_t *plan = hf_cli_expect(hf_cli_get(cli, err, "recoveries/%s", escaped), "id status", err);
    if (plan && strcmp(hf_field_text(plan, "status"), "planned") != 0) {
        *err = (struct holdfast_error){.code = "conflict", .status = 409};
        snprintf(err->text, sizeof(err->text), "%.80s is no plan that waits: it is %.40s", id,
                 hf_field_text(plan, "status"));
        json_decref(plan);
        return NULL;
    }
    return plan;
}

static int confirm(struct hf_cli *cli, const json_t *plan)
{
    char loss[256];
    if (cli->json || !hf_ask_possible(cli))
        return refuse(cli, plan);
    hf_plan_loss(plan, false, loss);
    HF_AUTO(free)
    char *question = hf_format("Restore %s? %c%s.", hf_field_text(plan, "system"),
                               loss[0] >= 'a' && loss[0] <= 'z' ? loss[0] - 'a' + 'A' : loss[0], loss + 1);
    switch (hf_ask_yes(cli, question)) {
    case HF_ANSWER_YES:
        return HF_EXIT_OK;
    case HF_ANSWER_NO:
        hf_cli_note(cli, "Nothing was changed.");
        return HF_EXIT_REFUSED;
    default:
        return HF_EXIT_INTERRUPTED;
    }
}

static int refuse(struct hf_cli *cli, const json_t *plan)
{
    return hf_cli_failed(cli, HF_EXIT_REFUSED,
                         "nothing was changed: nobody can be asked here; add --yes, or apply this plan with "
                         "holdfast --system %s restore --plan %s --yes",
                         cli->settings.system, hf_field_text(plan, "id"));
}

static int apply(struct hf_cli *cli, const json_t *plan)
{
    struct holdfast_error err;
    const char *id = hf_field_text(plan, "id"), *reason = hf_option_text(&cli->options, "reason");
    HF_AUTO(free) char *escaped = hf_escape(id);
    char key[32];
    hf_id_random("", key, sizeof(key));
    HF_AUTO(free) char *key_line = hf_format("Idempotency-Key: %s", key);
    struct hf_sending sending = {
        .header = key_line, /* sent again, it is applied once, and answered as the first time */
        .body = json_pack("{s:b, s:s*}", "force", hf_option_given(&cli->options, "force"), "reason", reason),
        .slow = true,
    };
    if (!sending.body)
        return hf_cli_usage(cli, "the reason is not UTF-8");
    fflush(cli->out.file);
    HF_AUTO(json)
    json_t *recovery =
        hf_cli_expect(hf_cli_send(cli, &sending, &err, "recoveries/%s/apply", escaped), "id status", &err);
    if (!recovery && strcmp(err.code, "outcome_unknown") == 0)
        recovery = find_outcome(cli, escaped, &err);
    if (!recovery && hf_was_interrupted(&err))
        return hf_cli_failed(cli, hf_exit_of(&err),
                             "interrupted; the plan may have been applied: holdfast --system %s recoveries %s tells",
                             cli->settings.system, id);
    if (!recovery && strcmp(err.code, "outcome_unknown") == 0)
        return hf_cli_fail(cli, &err, "nobody can tell whether the plan %s was applied", id);
    if (!recovery)
        return hf_cli_fail(cli, &err, "the plan %s was not applied", id);
    if (cli->json)
        hf_cli_json(cli, recovery);
    else
        write_outcome(&cli->out, recovery);
    return strcmp(hf_field_text(recovery, "status"), "failed") == 0 ? HF_EXIT_FAILED : HF_EXIT_OK;
}

/* The answer was lost, but the plan itself says whether it was applied. err stays as it is if that cannot be told. */
static json_t *find_outcome(struct hf_cli *cli, const char *escaped, struct holdfast_error *err)
{
    struct holdfast_error ignored;
    json_t *recovery = hf_cli_expect(hf_cli_get(cli, &ignored, "recoveries/%s", escaped), "id status", &ignored);
    if (!recovery)
        return NULL;
    if (strcmp(hf_field_text(recovery, "status"), "planned") != 0)
        return recovery;
    *err = (struct holdfast_error){.code = "not_applied",
                                   .text = "the connection was lost, and the plan waits as it "
                                           "was; it can be applied again"};
    json_decref(recovery);
    return NULL;
}

static void write_outcome(const struct hf_pen *pen, const json_t *recovery)
{
    char loss[256], took[64];
    int64_t started_ms, completed_ms;
    size_t i, components = 0;
    const json_t *wave;
    const char *status = hf_field_text(recovery, "status");
    json_array_foreach(json_object_get(recovery, "waves"), i, wave) components += json_array_size(wave);
    hf_plan_loss(recovery, true, loss);
    hf_pen_print(pen, hf_word_style(status), "%s", status);
    hf_pen_print(pen, HF_PLAIN, ": %zu component%s of %s", components, components == 1 ? "" : "s",
                 hf_field_text(recovery, "system"));
    if (hf_time_parse(hf_field_text(recovery, "startedAt"), &started_ms) &&
        hf_time_parse(hf_field_text(recovery, "completedAt"), &completed_ms)) {
        hf_duration_format(completed_ms - started_ms, took, sizeof(took));
        hf_pen_print(pen, HF_PLAIN, " in %s", took);
    }
    hf_pen_line(pen, HF_PLAIN, "; %s", loss);
    hf_pen_line(pen, HF_PLAIN, "The epoch is now %" PRId64 ": agents read their states again before they save.",
                hf_field_int(recovery, "epoch"));
    hf_pen_line(pen, HF_PLAIN, "The report: holdfast --system %s recoveries %s", hf_field_text(recovery, "system"),
                hf_field_text(recovery, "id"));
}
