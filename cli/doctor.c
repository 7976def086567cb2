/* doctor: asks for everything; what it means is in cli/doctor_examine.c. */
#include "cli/doctor.h"

#include "cli/events.h"
#include "cli/interrupt.h"
#include "cli/status.h"
#include "core/clock.h"

#include <stdarg.h>
#include <string.h>

#define SNAPSHOTS_LOOKED_AT 500
#define ERRORS_LOOKED_AT    20

static int examine(struct hf_doctor *doctor);
static int examine_reachable(struct hf_doctor *doctor);
static int examine_ready(struct hf_doctor *doctor);
static void read_checks(struct hf_doctor *doctor, const char *text, bool ready);
static bool examine_list(struct hf_doctor *doctor, const char *path, const char *member, size_t most,
                         void (*look)(struct hf_doctor *doctor, const json_t *entries));
static int give_verdict(struct hf_doctor *doctor, int status);
static const char *verdict_of(const struct hf_doctor *doctor, int status);
static int stop(struct hf_doctor *doctor, const struct holdfast_error *err, const char *name);

static const char *const finding_words[] = {"good", "warning", "danger"};
static const char *const finding_signs[] = {"[ok]", "[!!]", "[XX]"};
static const enum hf_style finding_styles[] = {HF_GREEN, HF_YELLOW, HF_RED};

int hf_run_doctor(struct hf_cli *cli)
{
    struct hf_doctor doctor = {.cli = cli, .findings = json_array()};
    int status = examine(&doctor);
    status = hf_interrupt_signal() ? HF_EXIT_INTERRUPTED : give_verdict(&doctor, status);
    json_decref(doctor.findings);
    return status;
}

void hf_doctor_add(struct hf_doctor *doctor, enum hf_finding finding, const char *name, const char *next,
                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    HF_AUTO(free) char *text = hf_format_args(format, args);
    va_end(args);
    if (finding > doctor->worst) {
        doctor->worst = finding;
        snprintf(doctor->next, sizeof(doctor->next), "%s", next ? next : "");
    } else if (finding == doctor->worst && !doctor->next[0] && finding != HF_FOUND_GOOD) {
        snprintf(doctor->next, sizeof(doctor->next), "%s", next ? next : "");
    }
    json_t *row = json_object();
    json_object_set_new(row, "name", json_string(name));
    json_object_set_new(row, "finding", json_string(finding_words[finding]));
    json_object_set_new(row, "text", json_string(text));
    if (finding != HF_FOUND_GOOD && next && *next)
        json_object_set_new(row, "next", json_string(next));
    json_array_append_new(doctor->findings, row);
    if (doctor->cli->json || doctor->cli->quiet)
        return;
    const struct hf_pen *pen = &doctor->cli->out;
    hf_pen_print(pen, finding_styles[finding], "%s", finding_signs[finding]);
    hf_pen_line(pen, HF_PLAIN, " %-14s %s", name, text);
    fflush(pen->file);
}

/* HF_EXIT_OK: all could be asked. */
static int examine(struct hf_doctor *doctor)
{
    struct holdfast_error err;
    struct hf_cli *cli = doctor->cli;
    int status = examine_reachable(doctor);
    status = status ? status : examine_ready(doctor);
    if (status)
        return status;
    HF_AUTO(json) json_t *service = hf_cli_get(cli, &err, "/v1/status");
    if (!service)
        return stop(doctor, &err, "service");
    hf_doctor_examine_service(doctor, service);
    HF_AUTO(json) json_t *system = hf_cli_get(cli, &err, "status");
    if (!system && strcmp(err.code, "not_found") == 0) {
        hf_doctor_add(doctor, HF_FOUND_WARNING, "system", "systems", "there is no system %s yet", cli->settings.system);
        return HF_EXIT_OK;
    }
    if (!system)
        return stop(doctor, &err, "system");
    hf_doctor_examine_system(doctor, system);
    if (!examine_list(doctor, "snapshots", "snapshots", SNAPSHOTS_LOOKED_AT, hf_doctor_examine_snapshots) ||
        !examine_list(doctor, "components", "components", 0, hf_doctor_examine_components) ||
        !examine_list(doctor, "recoveries", "recoveries", 20, hf_doctor_examine_recoveries))
        return HF_EXIT_FAILED;
    HF_AUTO(json) json_t *errors = hf_events_last(cli, "0", "error", ERRORS_LOOKED_AT, &err);
    if (errors)
        hf_doctor_examine_events(doctor, errors);
    return HF_EXIT_OK;
}

static int examine_reachable(struct hf_doctor *doctor)
{
    struct hf_cli *cli = doctor->cli;
    struct holdfast_error err;
    struct holdfast_answer answer = {0};
    uint64_t began_ns = hf_clock_monotonic_ns();
    if (!holdfast_call(cli->service, &(struct holdfast_request){.path = "/livez"}, &answer, &err)) {
        hf_doctor_add(doctor, HF_FOUND_DANGER, "reachable", NULL, "%s", *err.text ? err.text : err.code);
        return HF_EXIT_UNREACHABLE;
    }
    holdfast_answer_free(&answer);
    char took[64];
    hf_duration_format((int64_t)((hf_clock_monotonic_ns() - began_ns) / HF_MS_NS), took, sizeof(took));
    hf_doctor_add(doctor, HF_FOUND_GOOD, "reachable", NULL, "%s answers in %s", holdfast_url(cli->service), took);
    return HF_EXIT_OK;
}

static int examine_ready(struct hf_doctor *doctor)
{
    struct hf_cli *cli = doctor->cli;
    struct holdfast_error err;
    struct holdfast_answer answer = {0};
    if (!holdfast_call(cli->service, &(struct holdfast_request){.path = "/readyz?verbose"}, &answer, &err)) {
        hf_doctor_add(doctor, HF_FOUND_DANGER, "ready", NULL, "%s", *err.text ? err.text : err.code);
        return HF_EXIT_UNREACHABLE;
    }
    read_checks(doctor, answer.body ? answer.body : "", true);
    holdfast_answer_free(&answer);
    return HF_EXIT_OK;
}

/* Lines begin with [+], [!] or [-]. Warnings of exposure come again, with figures, in the system's status. */
static void read_checks(struct hf_doctor *doctor, const char *text, bool ready)
{
    size_t failed = 0;
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (strncmp(text, "[-]", 3) == 0) {
            hf_doctor_add(doctor, HF_FOUND_DANGER, "ready", NULL, "%.*s", (int)length - 3, text + 3);
            failed++;
        }
        text += length + (text[length] == '\n');
    }
    if (ready && !failed)
        hf_doctor_add(doctor, HF_FOUND_GOOD, "ready", NULL, "it takes requests");
}

static bool examine_list(struct hf_doctor *doctor, const char *path, const char *member, size_t most,
                         void (*look)(struct hf_doctor *doctor, const json_t *entries))
{
    struct holdfast_error err;
    HF_AUTO(json) json_t *entries = hf_cli_list(doctor->cli, path, member, most, &err);
    if (!entries) {
        stop(doctor, &err, member);
        return false;
    }
    look(doctor, entries);
    return true;
}

static int stop(struct hf_doctor *doctor, const struct holdfast_error *err, const char *name)
{
    hf_doctor_add(doctor, HF_FOUND_DANGER, name, NULL, "%s", *err->text ? err->text : err->code);
    return hf_exit_of(err);
}

static int give_verdict(struct hf_doctor *doctor, int status)
{
    struct hf_cli *cli = doctor->cli;
    const char *verdict = verdict_of(doctor, status);
    HF_AUTO(free) char *next = NULL;
    if (status == HF_EXIT_UNREACHABLE)
        next = hf_format("start the service or look at its log, or say where it is with --url (asked: %s)",
                         holdfast_url(cli->service));
    else if (status == HF_EXIT_FORBIDDEN)
        next = hf_strdup("holdfast --token-file FILE doctor");
    else if (doctor->next[0])
        next = hf_format("holdfast --system %s %s", cli->settings.system, doctor->next);
    if (status == HF_EXIT_OK && doctor->worst != HF_FOUND_GOOD)
        status = HF_EXIT_DEGRADED;
    if (cli->json) {
        HF_AUTO(json) json_t *document = json_object();
        json_object_set_new(document, "verdict", json_string(verdict));
        json_object_set_new(document, "next", next ? json_string(next) : json_null());
        json_object_set(document, "findings", doctor->findings);
        hf_cli_json(cli, document);
        return status;
    }
    hf_pen_print(&cli->out, HF_BOLD, "VERDICT: ");
    hf_pen_line(&cli->out, status == HF_EXIT_OK ? HF_GREEN : finding_styles[doctor->worst], "%s", verdict);
    if (next)
        hf_pen_line(&cli->out, HF_PLAIN, "NEXT: %s", next);
    else
        hf_pen_line(&cli->out, HF_PLAIN, "NEXT: %s",
                    status == HF_EXIT_OK ? "nothing to do" : "look at the service's log");
    return status;
}

static const char *verdict_of(const struct hf_doctor *doctor, int status)
{
    if (status == HF_EXIT_UNREACHABLE)
        return "unreachable";
    if (status == HF_EXIT_FORBIDDEN)
        return "not allowed";
    return doctor->worst == HF_FOUND_GOOD      ? "healthy"
           : doctor->worst == HF_FOUND_WARNING ? "needs attention"
                                               : "in danger";
}
