#include "engine/health.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "engine/catalog_write.h"
#include "engine/scheduler.h"
#include "engine/snapshot.h"

#include <string.h>

#define METRIC_TOTALS_MAX   256
#define WALK_PORTION        4096 /* components looked at under one hold of the catalogue's lock */
#define HEARTBEATS_MISSED   2
#define AGENT_IDLE_MS       300000 /* for agents that promised no heartbeat */
#define HEALTH_FAILED_BELOW 0.25
#define MIRROR_BEHIND_MS    300000

/* What one component says about itself, wherever it is read from. */
struct signs {
    double reported;
    const char *status;
    bool damaged, incomplete;
    int64_t heartbeat_interval_ms, last_activity_at_ms, registered_at_ms;
};

struct collection {
    struct hf_engine *engine;
    struct hf_arena *arena;
    struct hf_status *out;
    int64_t now_ms;
    double score_sum;
    int64_t scored;
    bool failed_snapshot;
    struct hf_recoverability one; /* of the system under way */
    const char *overdue_system;   /* past its promise, the worst; NULL: none */
};

static struct hf_component_health judge(const struct signs *signs, int64_t now_ms);
static void collect_system(struct collection *collection, const struct hf_system_info *system);
static void collect_snapshots(struct collection *collection, const struct hf_system_info *system,
                              const struct hf_snapshot_newest *newest);
static void collect_components(struct collection *collection, const struct hf_system_info *info, int64_t held);
static void count_component(struct collection *collection, const struct hf_component *component, int64_t held);
static void add_metrics(struct collection *collection, const char *json);
static void add_total(struct hf_status *status, struct hf_arena *arena, const char *name, double value);
static void warn(struct hf_status *status, const char *text);
static void judge_service(struct collection *collection);

int64_t hf_component_stale_at_ms(int64_t heartbeat_interval_ms, int64_t last_activity_at_ms, int64_t registered_at_ms)
{
    if (heartbeat_interval_ms <= 0)
        return 0;
    int64_t heard_ms = last_activity_at_ms > registered_at_ms ? last_activity_at_ms : registered_at_ms;
    return heard_ms + HEARTBEATS_MISSED * heartbeat_interval_ms;
}

struct hf_component_health hf_component_health(const struct hf_component_info *component, int64_t now_ms)
{
    struct signs signs = {.reported = component->report.health,
                          .status = component->report.status,
                          .damaged = component->damaged,
                          .incomplete = component->lack != NULL,
                          .heartbeat_interval_ms = component->registration.heartbeat_interval_ms,
                          .last_activity_at_ms = component->last_activity_at_ms,
                          .registered_at_ms = component->registration.registered_at_ms};
    return judge(&signs, now_ms);
}

static struct hf_component_health judge(const struct signs *signs, int64_t now_ms)
{
    struct hf_component_health health = {.score = signs->reported >= 0 ? signs->reported : 1, .label = "healthy"};
    int64_t stale_at_ms =
        hf_component_stale_at_ms(signs->heartbeat_interval_ms, signs->last_activity_at_ms, signs->registered_at_ms);
    bool stale = stale_at_ms && stale_at_ms <= now_ms;
    if (stale) { /* falls with the silence: half after twice the time allowed */
        int64_t allowed_ms = HEARTBEATS_MISSED * signs->heartbeat_interval_ms;
        health.score *= (double)allowed_ms / (double)(allowed_ms + now_ms - stale_at_ms);
    }
    bool unusable = signs->damaged || signs->incomplete;
    if (unusable)
        health.score = 0;
    if (unusable || (signs->reported >= 0 && signs->reported < HEALTH_FAILED_BELOW) ||
        (signs->status && strcmp(signs->status, "failed") == 0))
        health.label = "failed";
    else if (stale)
        health.label = "stale";
    else if (signs->reported < 0 && !stale_at_ms)
        health.label = "unknown";
    return health;
}

bool hf_status_collect(struct hf_engine *engine, const char *system, struct hf_arena *arena, struct hf_status *out)
{
    *out = (struct hf_status){.store_up = hf_committer_store_is_up(engine->committer),
                              .engine = hf_store_engine(engine->store),
                              .recoverability.expected_recovery_ms = -1};
    struct collection collection = {.engine = engine, .arena = arena, .out = out, .now_ms = hf_clock_now_ms()};
    out->uptime_ms = collection.now_ms - engine->started_at_ms;
    out->metric_totals = hf_arena_alloc(arena, METRIC_TOTALS_MAX * sizeof(out->metric_totals[0]));

    int count = 0;
    const struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, arena, &count);
    bool found = system == NULL;
    out->systems = count;
    for (int i = 0; i < count; i++) {
        if (system && strcmp(systems[i].name, system) != 0)
            continue;
        collect_system(&collection, &systems[i]);
        found = true;
    }
    if (system)
        out->systems = found;
    out->overall_health = collection.scored ? collection.score_sum / (double)collection.scored : 1;
    judge_service(&collection);
    return found;
}

static void collect_system(struct collection *collection, const struct hf_system_info *system)
{
    struct hf_snapshot_newest newest;
    hf_snapshot_read_newest(collection->engine, system->id, collection->arena, &newest);
    collect_snapshots(collection, system, &newest);
    hf_recoverability_read(collection->engine, system, &newest, collection->now_ms, collection->arena,
                           &collection->one);
    collect_components(collection, system, newest.has_newest ? newest.newest.sequence : 0);
    hf_recoverability_add(&collection->out->recoverability, &collection->one);
    if (collection->one.overdue_ms > 0 && collection->one.overdue_ms == collection->out->recoverability.overdue_ms)
        collection->overdue_system = system->name;
    collection->out->components += system->components;
}

static void keep_earliest(int64_t *slot, int64_t at_ms)
{
    if (at_ms && (!*slot || at_ms < *slot))
        *slot = at_ms;
}

static void collect_snapshots(struct collection *collection, const struct hf_system_info *system,
                              const struct hf_snapshot_newest *newest)
{
    struct hf_status *out = collection->out;
    struct hf_schedule next = hf_scheduler_next(collection->engine, system->name);
    keep_earliest(&out->next_full_at_ms, next.next_full_at_ms);
    keep_earliest(&out->next_incremental_at_ms, next.next_incremental_at_ms);
    if (newest->has_full && (!out->has_full || newest->full.cut_at_ms > out->last_full.cut_at_ms)) {
        out->has_full = true;
        out->last_full = newest->full;
    }
    if (newest->has_incremental &&
        (!out->has_incremental || newest->incremental.cut_at_ms > out->last_incremental.cut_at_ms)) {
        out->has_incremental = true;
        out->last_incremental = newest->incremental;
    }
    collection->failed_snapshot |= newest->last_error[0] != '\0';
    out->damaged_snapshots += newest->damaged;
    out->pending_validations += newest->pending;
    if (newest->last_validated_at_ms > out->last_validated_at_ms)
        out->last_validated_at_ms = newest->last_validated_at_ms;
}

static void collect_components(struct collection *collection, const struct hf_system_info *info, int64_t held)
{
    struct hf_catalog *catalog = collection->engine->catalog;
    const char **metrics = hf_alloc(WALK_PORTION * sizeof(metrics[0]));
    bool more = true;
    for (uint32_t next = 0; more;) {
        int metric_count = 0;
        hf_catalog_lock(catalog);
        const struct hf_system *system = hf_catalog_system_by_id_locked(catalog, info->id);
        more = system && next < system->by_name_count;
        for (uint32_t i = 0; more && i < WALK_PORTION && next < system->by_name_count; i++, next++) {
            const struct hf_component *component = system->by_name[next];
            count_component(collection, component, held);
            if (component->metrics && !component->head.deleted)
                metrics[metric_count++] = hf_arena_strdup(collection->arena, component->metrics);
        }
        hf_catalog_unlock(catalog);
        for (int i = 0; i < metric_count; i++) /* parsed without the lock */
            add_metrics(collection, metrics[i]);
    }
    free(metrics);
}

/* Under the catalogue's lock. */
static void count_component(struct collection *collection, const struct hf_component *component, int64_t held)
{
    struct hf_status *out = collection->out;
    hf_recoverability_add_head(&collection->one, &component->head, held);
    const struct hf_registration *registration = component->registration;
    if (component->head.deleted || (component->head.version == 0 && !registration))
        return;
    int64_t heartbeat_ms = registration ? registration->heartbeat_interval_ms : 0;
    if (registration && strcmp(registration->kind, "agent") == 0) {
        int64_t idle_ms = heartbeat_ms ? HEARTBEATS_MISSED * heartbeat_ms : AGENT_IDLE_MS;
        out->active_agents += collection->now_ms - component->last_activity_at_ms <= idle_ms;
    }
    if (component->head.version == 0) /* only registered: not among the components that are counted */
        return;
    struct signs signs = {.reported = component->health,
                          .status = component->status,
                          .damaged = component->damaged,
                          .incomplete = component->lack != NULL,
                          .heartbeat_interval_ms = heartbeat_ms,
                          .last_activity_at_ms = component->last_activity_at_ms,
                          .registered_at_ms = registration ? registration->registered_at_ms : 0};
    struct hf_component_health health = judge(&signs, collection->now_ms);
    collection->score_sum += health.score;
    collection->scored++;
    if (strcmp(health.label, "failed") == 0)
        out->failed++;
    else if (strcmp(health.label, "stale") == 0)
        out->stale++;
    else
        out->healthy++;
}

static void add_metrics(struct collection *collection, const char *json)
{
    struct hf_error ignored;
    HF_AUTO(json) json_t *metrics = hf_json_parse(json, strlen(json), &ignored);
    const char *name;
    json_t *value;
    json_object_foreach(metrics, name, value)
    {
        if (json_is_number(value))
            add_total(collection->out, collection->arena, name, json_number_value(value));
    }
}

/* Sorted by name. */
static void add_total(struct hf_status *status, struct hf_arena *arena, const char *name, double value)
{
    int low = 0, high = status->metric_total_count;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = strcmp(status->metric_totals[middle].name, name);
        if (order == 0) {
            status->metric_totals[middle].value += value;
            return;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (status->metric_total_count == METRIC_TOTALS_MAX)
        return;
    memmove(&status->metric_totals[low + 1], &status->metric_totals[low],
            (size_t)(status->metric_total_count - low) * sizeof(status->metric_totals[0]));
    status->metric_totals[low] = (struct hf_metric_total){hf_arena_strdup(arena, name), value};
    status->metric_total_count++;
}

static void warn(struct hf_status *status, const char *text)
{
    if (status->warning_count < (int)(sizeof(status->warnings) / sizeof(status->warnings[0])))
        status->warnings[status->warning_count++] = text;
}

/* Copies take their time; a mirror that is there is behind when they take very long. */
static void judge_mirror(struct collection *collection)
{
    struct hf_mirror_status *mirror = &collection->out->mirror;
    hf_mirror_read_status(collection->engine, mirror);
    if (!mirror->configured)
        return;
    int64_t even_at_ms = mirror->caught_up_at_ms ? mirror->caught_up_at_ms : collection->engine->started_at_ms;
    bool behind = !mirror->up || (mirror->pending_files && collection->now_ms - even_at_ms > MIRROR_BEHIND_MS);
    if (behind)
        warn(collection->out,
             hf_arena_format(collection->arena, "the mirror is behind: %lld snapshot file%s waiting%s%s",
                             (long long)mirror->pending_files, mirror->pending_files == 1 ? " is" : "s are",
                             mirror->last_error[0] ? "; " : "", mirror->last_error));
}

static void judge_storage(struct collection *collection)
{
    const char *warnings[HF_STORAGE_PLACES_MAX];
    collection->out->storage_count = hf_storage_read(collection->engine, collection->out->storage);
    int count =
        hf_storage_warnings(collection->out->storage, collection->out->storage_count, collection->arena, warnings);
    for (int i = 0; i < count; i++)
        warn(collection->out, warnings[i]);
}

/* What was promised of snapshots, and whether they hold it when it is tried. */
static void judge_recoverability(struct collection *collection)
{
    const struct hf_recoverability *figures = &collection->out->recoverability;
    struct hf_arena *arena = collection->arena;
    if (collection->overdue_system) {
        char exposure[64], promised[64];
        hf_duration_format(figures->exposure_ms, exposure, sizeof(exposure));
        hf_duration_format(figures->promised_exposure_ms, promised, sizeof(promised));
        warn(collection->out,
             hf_arena_format(arena, "changes of the last %s are in no snapshot yet (system %s; promised: %s)", exposure,
                             collection->overdue_system, promised));
    }
    if (figures->has_drill && strcmp(figures->last_drill.status, "failed") == 0)
        warn(collection->out, hf_arena_format(arena, "the last restore drill of system %s failed: see its drills",
                                              figures->drill_system));
}

static void judge_service(struct collection *collection)
{
    struct hf_status *out = collection->out;
    struct hf_arena *arena = collection->arena;
    if (!out->store_up)
        warn(out, "the database is away: uploads are refused until it is back");
    if (out->failed)
        warn(out, hf_arena_format(arena, "%lld component%s failed", (long long)out->failed,
                                  out->failed == 1 ? " has" : "s have"));
    if (out->stale)
        warn(out, hf_arena_format(arena, "%lld component%s not been heard of in time", (long long)out->stale,
                                  out->stale == 1 ? " has" : "s have"));
    if (collection->failed_snapshot)
        warn(out, "the last attempt to take a snapshot failed: see the events");
    if (out->damaged_snapshots)
        warn(out, hf_arena_format(arena, "%lld snapshots are damaged and will not be restored",
                                  (long long)out->damaged_snapshots));
    judge_mirror(collection);
    judge_storage(collection);
    judge_recoverability(collection);
    bool ready = collection->engine->phase == HF_PHASE_READY;
    out->status = !ready || !out->store_up ? "failed" : out->warning_count ? "degraded" : "operational";
}
