#include "keeper_private.h"
#include "options.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    RETRY_MS = 1500, /* of one call; short, so that a signal is heard while the service is away */
    PAUSE_MS = 200,
    HEARTBEAT_MS = 15000, /* expected at least */
};

static bool says_stale(const struct holdfast_error *err);

struct keeper *keeper_open(const struct options *options)
{
    const struct holdfast_options wanted = {.url = options->url,
                                            .system = options->system,
                                            .user_agent = "syndicate",
                                            .retry_ms = RETRY_MS};
    struct holdfast_error err;
    struct keeper *keeper = calloc(1, sizeof(*keeper));
    if (!keeper)
        abort();
    keeper->saved_step = -1;
    keeper->quiet = options->quiet;
    keeper->journal = -1;
    if (!holdfast_open(&wanted, &keeper->service, &err)) {
        fprintf(stderr, "syndicate: %s\n", err.text);
        keeper_close(keeper);
        return NULL;
    }
    if (options->journal) {
        keeper->journal = open(options->journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (keeper->journal < 0) {
            perror(options->journal);
            keeper_close(keeper);
            return NULL;
        }
    }
    keeper->stop = stop_listen(keeper->service, options->stop_seconds * 1000);
    return keeper;
}

void keeper_close(struct keeper *keeper)
{
    if (!keeper)
        return;
    stop_end(keeper->stop);
    if (keeper->journal >= 0)
        close(keeper->journal);
    holdfast_close(keeper->service);
    free(keeper);
}

enum kept keeper_register(struct keeper *keeper, const struct roster *roster)
{
    struct holdfast_error err;
    for (size_t i = 0; i < roster->count; i++) {
        const struct member *member = &roster->members[i];
        const struct holdfast_component component = {.name = member->name,
                                                     .kind = member->kind,
                                                     .depends_on = member->needs,
                                                     .heartbeat_interval_ms = HEARTBEAT_MS};
        while (!holdfast_register(keeper->service, &component, &err)) {
            enum kept next = keeper_after_failure(keeper, &err);
            if (next != KEPT)
                return next;
        }
        keeper_after_success(keeper);
    }
    return KEPT;
}

static size_t collect(struct keeper *keeper, struct roster *roster, struct holdfast_item *items,
                      struct member **members)
{
    size_t count = 0;
    for (size_t i = 0; i < roster->count; i++) {
        struct member *member = &roster->members[i];
        if (!member->part->unsaved)
            continue;
        const struct known *known = keeper_known(keeper, member->name);
        char *text = member_state(member);
        members[count] = member;
        items[count++] = (struct holdfast_item){
            .component = member->name,
            .data = text,
            .bytes = strlen(text),
            .options = {.if_match = known && known->etag[0] ? known->etag : NULL,
                        .if_absent = !known,
                        .event = member->part->event},
        };
    }
    return count;
}

static void take_receipts(struct keeper *keeper, struct member *const *members, const struct holdfast_receipt *receipts,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        members[i]->part->unsaved = false;
        members[i]->part->event = NULL;
        keeper_know(keeper, members[i]->name, receipts[i].etag);
    }
    /* The orchestrator changes in every step and is the last. */
    keeper->saved_step = members[count - 1]->part->step;
    keeper_note(keeper, "acknowledged", keeper->saved_step, receipts[count - 1].version, receipts[count - 1].sequence);
}

enum kept keeper_save(struct keeper *keeper, struct roster *roster)
{
    struct holdfast_error err;
    struct holdfast_item items[ROSTER_MOST];
    struct member *members[ROSTER_MOST];
    struct holdfast_receipt receipts[ROSTER_MOST];
    size_t count = collect(keeper, roster, items, members);
    enum kept result = KEPT;
    while (count > 0 && result == KEPT && !holdfast_save_all(keeper->service, items, count, receipts, &err))
        result = says_stale(&err) ? KEPT_STALE : keeper_after_failure(keeper, &err);
    for (size_t i = 0; i < count; i++)
        free((void *)items[i].data);
    if (result != KEPT || count == 0)
        return result;
    keeper_after_success(keeper);
    take_receipts(keeper, members, receipts, count);
    return KEPT;
}

enum kept keeper_back_up(struct keeper *keeper, const char *label)
{
    struct holdfast_error err;
    struct holdfast_snapshot snapshot;
    while (!holdfast_take_snapshot(keeper->service, "full", label, &snapshot, &err)) {
        enum kept next = keeper_after_failure(keeper, &err);
        if (next != KEPT)
            return next;
    }
    keeper_after_success(keeper);
    if (!keeper->quiet)
        printf("[x] Backup %s: %" PRId64 " components, %" PRId64 " bytes\n", snapshot.id, snapshot.components,
               snapshot.state_bytes);
    return KEPT;
}

void keeper_beat(struct keeper *keeper, const struct roster *roster, const struct syndicate *syndicate)
{
    const struct orchestrator *orchestrator = &syndicate->orchestrator;
    const struct holdfast_metric metrics[] = {{"learningEvents", (double)orchestrator->learning_events},
                                              {"trades", (double)orchestrator->trades},
                                              {"steps", (double)orchestrator->steps}};
    const struct holdfast_metric judgments = {"judgments", (double)syndicate->judge.total_judgments};
    for (size_t i = 0; i < roster->count; i++) {
        const struct part *part = roster->members[i].part;
        bool leads = part == &orchestrator->part, judges = part == &syndicate->judge.part;
        if (!holdfast_heartbeat(keeper->service, roster->members[i].name, leads ? orchestrator->health : 1, "running",
                                leads ? metrics : &judgments, leads ? sizeof(metrics) / sizeof(metrics[0]) : judges,
                                NULL))
            return;
    }
}

bool keeper_read_status(struct keeper *keeper, struct keeper_status *out)
{
    struct holdfast_status status;
    struct timespec now;
    if (!holdfast_get_status(keeper->service, &status, NULL))
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    *out = (struct keeper_status){.active_agents = status.active_agents,
                                  .next_backup_ms = -1,
                                  .health = status.overall_health};
    if (status.next_full_ms)
        out->next_backup_ms = status.next_full_ms > now_ms ? status.next_full_ms - now_ms : 0;
    holdfast_status_free(&status);
    return true;
}

/* What backups a new system gets: those of the constructor of the system that this example goes back to. */
static const char backups[] = "{\"description\":\"examples/syndicate\",\"backupIntervalMs\":3600000,"
                              "\"incrementalIntervalMs\":300000,\"maxRetentionHours\":168}";

enum kept keeper_found_system(struct keeper *keeper)
{
    char path[256];
    struct holdfast_error err;
    struct holdfast_answer answer = {0};
    struct holdfast_request request = {.path = path};
    snprintf(path, sizeof(path), "/v1/systems/%s", holdfast_system(keeper->service));
    while (!holdfast_call(keeper->service, &request, &answer, &err)) {
        enum kept next = KEPT;
        if (strcmp(err.code, "not_found") == 0)
            request =
                (struct holdfast_request){.method = "PUT", .path = path, .body = backups, .bytes = sizeof(backups) - 1};
        else
            next = keeper_after_failure(keeper, &err);
        if (next != KEPT)
            return next;
    }
    keeper_after_success(keeper);
    json_t *system = json_loadb(answer.body, answer.bytes, 0, NULL);
    keeper->backup_interval_ms = json_integer_value(json_object_get(system, "backupIntervalMs"));
    json_decref(system);
    holdfast_answer_free(&answer);
    return KEPT;
}

bool keeper_is_told_to_stop(const struct keeper *keeper)
{
    return stop_is_told(keeper->stop);
}

void keeper_pause(struct keeper *keeper, int64_t ms)
{
    stop_pause(keeper->stop, ms);
}

int64_t keeper_backup_interval(const struct keeper *keeper)
{
    return keeper->backup_interval_ms;
}

int64_t keeper_saved_step(const struct keeper *keeper)
{
    return keeper->saved_step;
}

int64_t keeper_epoch(const struct keeper *keeper)
{
    return holdfast_epoch(keeper->service);
}

const char *keeper_url(const struct keeper *keeper)
{
    return holdfast_url(keeper->service);
}

struct known *keeper_known(struct keeper *keeper, const char *name)
{
    for (size_t i = 0; i < keeper->known_count; i++)
        if (strcmp(keeper->known[i].name, name) == 0)
            return &keeper->known[i];
    return NULL;
}

void keeper_know(struct keeper *keeper, const char *name, const char *etag)
{
    struct known *known = keeper_known(keeper, name);
    if (!known) {
        known = &keeper->known[keeper->known_count++];
        known->name = name;
    }
    snprintf(known->etag, sizeof(known->etag), "%s", etag);
}

static bool says_stale(const struct holdfast_error *err)
{
    return strcmp(err->code, "stale_epoch") == 0 || strcmp(err->code, "precondition_failed") == 0;
}

/* The outcome of a save may be unknown; saved again on the same conditions it is found out. */
static bool is_away(const struct holdfast_error *err)
{
    return err->retryable || strcmp(err->code, "unreachable") == 0 || strcmp(err->code, "timed_out") == 0 ||
           strcmp(err->code, "outcome_unknown") == 0;
}

enum kept keeper_after_failure(struct keeper *keeper, const struct holdfast_error *err)
{
    if (strcmp(err->code, "cancelled") == 0)
        return KEPT_STOPPED;
    if (!is_away(err)) {
        fprintf(stderr, "syndicate: %s\n", err->text);
        return KEPT_FAILED;
    }
    if (!keeper->away)
        fprintf(stderr, "The service is away (%s): waiting for it.\n", err->code);
    keeper->away = true;
    stop_pause(keeper->stop, PAUSE_MS);
    return stop_is_told(keeper->stop) ? KEPT_STOPPED : KEPT;
}

void keeper_after_success(struct keeper *keeper)
{
    if (keeper->away)
        fprintf(stderr, "The service is back.\n");
    keeper->away = false;
}

void keeper_note(struct keeper *keeper, const char *what, int64_t step, int64_t version, int64_t sequence)
{
    if (keeper->journal >= 0)
        dprintf(keeper->journal, "%s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", what, step, version, sequence,
                holdfast_epoch(keeper->service));
}
