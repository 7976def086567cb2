#include "engine/scheduler.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cond.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/catalog_write.h"
#include "engine/events.h"
#include "engine/health.h"
#include "engine/hydration.h"
#include "engine/retention.h"
#include "engine/snapshot.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define TICK_MS         1000
#define TRIM_EVERY_MS   60000
#define RETAIN_EVERY_MS 3600000
#define WALK_PORTION    4096 /* components looked at under one hold of the catalogue's lock */
#define TRANSITIONS_MAX 1000 /* told of in one round; the rest in the next */

/* What a system's intervals count from. The intervals may change at any time, and hold at once. */
struct since {
    int64_t full_ms, incremental_ms; /* 0: not looked at yet */
};

/* What is known of one system's times. */
struct schedule {
    char *name; /* first: it is what the name table looks at */
    int64_t system_id;
    int64_t full_tried_at_ms, incremental_tried_at_ms;
    int64_t retained_at_ms, trimmed_at_ms;
    int64_t validated_at_ms;
    int64_t journal_at_ms; /* 0: not yet since the start */
    struct since since;
};

struct hf_scheduler {
    struct hf_engine *engine;
    pthread_t thread;
    pthread_mutex_t mutex; /* protects everything below */
    pthread_cond_t wake;   /* on the monotonic clock */
    bool stopping;
    void (*tick)(void *context);
    void *tick_context;
    struct hf_name_table schedules;

    /* the scheduler thread only */
    int64_t service_trimmed_at_ms; /* 0: not yet since the start */
};

struct transition {
    char component[HF_NAME_MAX + 4];
    bool stale;
    int64_t silent_ms;
};

static void *run(void *context);
static bool wait_for_tick(struct hf_scheduler *scheduler);
static void do_round(struct hf_scheduler *scheduler);
static void do_system(struct hf_scheduler *scheduler, const struct hf_system_info *system, struct hf_arena *arena);
static struct schedule *schedule_of(struct hf_scheduler *scheduler, const struct hf_system_info *system);
static struct since look_since(const struct hf_system_info *system, const struct hf_snapshot_newest *newest,
                               const struct schedule *schedule);
static struct hf_schedule next_after(const struct hf_engine *engine, const struct hf_system_info *system,
                                     struct since since);
static bool take_due(struct hf_scheduler *scheduler, const struct hf_system_info *system, struct schedule *schedule,
                     struct hf_arena *arena);
static void keep_house(struct hf_scheduler *scheduler, const struct hf_system_info *system, struct schedule *schedule,
                       bool took_full);
static void trim_service(struct hf_scheduler *scheduler);
static void look_at_components(struct hf_engine *engine, const struct hf_system_info *system);
static void set_gauges(struct hf_scheduler *scheduler, const struct hf_system_info *systems, int count,
                       struct hf_arena *arena);
static bool is_stopping(struct hf_scheduler *scheduler);

bool hf_scheduler_start(struct hf_scheduler **out, struct hf_engine *engine, struct hf_error *err)
{
    struct hf_scheduler *scheduler = hf_alloc(sizeof(*scheduler));
    scheduler->engine = engine;
    pthread_mutex_init(&scheduler->mutex, NULL);
    hf_cond_init(&scheduler->wake);
    *out = scheduler; /* before the thread runs: it asks for its own times through the engine */
    int failure = pthread_create(&scheduler->thread, NULL, run, scheduler);
    if (failure == 0) {
        pthread_setname_np(scheduler->thread, "hf-scheduler");
        return true;
    }
    *out = NULL;
    pthread_cond_destroy(&scheduler->wake);
    pthread_mutex_destroy(&scheduler->mutex);
    free(scheduler);
    return hf_error_errno(err, failure, "the scheduler's thread cannot be started");
}

void hf_scheduler_stop(struct hf_scheduler *scheduler)
{
    if (!scheduler)
        return;
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->stopping = true;
    pthread_cond_signal(&scheduler->wake);
    pthread_mutex_unlock(&scheduler->mutex);
    pthread_join(scheduler->thread, NULL);

    for (uint32_t i = 0; i < scheduler->schedules.slot_count; i++) {
        struct schedule *schedule = scheduler->schedules.slots[i];
        if (schedule) {
            free(schedule->name);
            free(schedule);
        }
    }
    hf_name_table_done(&scheduler->schedules);
    scheduler->engine->scheduler = NULL;
    pthread_cond_destroy(&scheduler->wake);
    pthread_mutex_destroy(&scheduler->mutex);
    free(scheduler);
}

void hf_scheduler_on_tick(struct hf_scheduler *scheduler, void (*tick)(void *context), void *context)
{
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->tick = tick;
    scheduler->tick_context = context;
    pthread_mutex_unlock(&scheduler->mutex);
}

struct hf_schedule hf_scheduler_next(struct hf_engine *engine, const char *system)
{
    struct since since = {0};
    struct hf_system_info info;
    struct hf_scheduler *scheduler = engine->scheduler;
    if (!hf_catalog_read_system(engine->catalog, system, &info))
        return (struct hf_schedule){0};
    if (scheduler) {
        pthread_mutex_lock(&scheduler->mutex);
        const struct schedule *schedule = hf_name_table_find(&scheduler->schedules, system);
        if (schedule && schedule->system_id == info.id)
            since = schedule->since;
        pthread_mutex_unlock(&scheduler->mutex);
    }
    if (!since.full_ms) /* younger than the last round */
        since = look_since(&info, &(struct hf_snapshot_newest){0}, &(struct schedule){0});
    return next_after(engine, &info, since);
}

static void *run(void *context)
{
    struct hf_scheduler *scheduler = context;
    do
        do_round(scheduler);
    while (wait_for_tick(scheduler));
    return NULL;
}

static bool wait_for_tick(struct hf_scheduler *scheduler)
{
    uint64_t until_ns = hf_clock_monotonic_ns() + TICK_MS * HF_MS_NS;
    /* Intervals below a second are for tests and impatient people: look as often as the shortest asks for. */
    int64_t shortest_ms = scheduler->engine->config->incremental_interval_ms;
    if (scheduler->engine->config->backup_interval_ms < shortest_ms)
        shortest_ms = scheduler->engine->config->backup_interval_ms;
    if (shortest_ms < TICK_MS)
        until_ns = hf_clock_monotonic_ns() + (uint64_t)(shortest_ms / 2 + 1) * HF_MS_NS;
    pthread_mutex_lock(&scheduler->mutex);
    while (!scheduler->stopping && hf_cond_wait_until(&scheduler->wake, &scheduler->mutex, until_ns))
        ;
    bool go_on = !scheduler->stopping;
    pthread_mutex_unlock(&scheduler->mutex);
    return go_on;
}

static bool is_stopping(struct hf_scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->mutex);
    bool stopping = scheduler->stopping;
    pthread_mutex_unlock(&scheduler->mutex);
    return stopping;
}

static void do_round(struct hf_scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->mutex);
    void (*tick)(void *) = scheduler->tick;
    void *tick_context = scheduler->tick_context;
    pthread_mutex_unlock(&scheduler->mutex);
    if (tick)
        tick(tick_context);

    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    int count = 0;
    const struct hf_system_info *systems = hf_catalog_list_systems(scheduler->engine->catalog, &arena, &count);
    for (int i = 0; i < count && !is_stopping(scheduler); i++)
        do_system(scheduler, &systems[i], &arena);
    hf_hydration_time_out(scheduler->engine);
    trim_service(scheduler);
    set_gauges(scheduler, systems, count, &arena);
}

static void trim_service(struct hf_scheduler *scheduler)
{
    struct hf_engine *engine = scheduler->engine;
    int64_t now_ms = hf_clock_now_ms(), deleted = 0;
    if (!hf_committer_store_is_up(engine->committer) || now_ms - scheduler->service_trimmed_at_ms < RETAIN_EVERY_MS)
        return;
    scheduler->service_trimmed_at_ms = now_ms;
    struct hf_error err;
    if (!hf_retention_trim_service(engine, &deleted, &err))
        hf_log(HF_LOG_WARNING, "events_not_trimmed", err.text);
}

static void do_system(struct hf_scheduler *scheduler, const struct hf_system_info *system, struct hf_arena *arena)
{
    struct hf_engine *engine = scheduler->engine;
    struct schedule *schedule = schedule_of(scheduler, system);
    bool took_full = take_due(scheduler, system, schedule, arena);
    keep_house(scheduler, system, schedule, took_full);

    struct hf_snapshot_newest newest;
    hf_snapshot_read_newest(engine, system->id, arena, &newest);
    look_at_components(engine, system);
    struct since since = look_since(system, &newest, schedule);
    pthread_mutex_lock(&scheduler->mutex);
    schedule->since = since;
    pthread_mutex_unlock(&scheduler->mutex);
}

/* The table is changed by this thread alone; others read it under the mutex. */
static struct schedule *schedule_of(struct hf_scheduler *scheduler, const struct hf_system_info *system)
{
    pthread_mutex_lock(&scheduler->mutex);
    struct schedule *schedule = hf_name_table_find(&scheduler->schedules, system->name);
    if (!schedule) {
        schedule = hf_alloc(sizeof(*schedule));
        schedule->name = hf_strdup(system->name);
        hf_name_table_add(&scheduler->schedules, schedule);
    }
    if (schedule->system_id != system->id) { /* new, or deleted and made again */
        char *name = schedule->name;
        *schedule = (struct schedule){.name = name, .system_id = system->id};
        schedule->retained_at_ms = schedule->trimmed_at_ms = schedule->validated_at_ms = hf_clock_now_ms();
    }
    pthread_mutex_unlock(&scheduler->mutex);
    return schedule;
}

static int64_t later_of(int64_t one_ms, int64_t other_ms)
{
    return one_ms > other_ms ? one_ms : other_ms;
}

static struct since look_since(const struct hf_system_info *system, const struct hf_snapshot_newest *newest,
                               const struct schedule *schedule)
{
    int64_t full_at_ms = newest->has_full ? newest->full.cut_at_ms : system->created_at_ms;
    int64_t any_at_ms = newest->has_newest ? newest->newest.cut_at_ms : system->created_at_ms;
    return (struct since){later_of(full_at_ms, schedule->full_tried_at_ms),
                          later_of(any_at_ms, schedule->incremental_tried_at_ms)};
}

static int64_t due_after(int64_t since_ms, int64_t interval_ms, int64_t now_ms)
{
    return (since_ms > now_ms ? now_ms : since_ms) + interval_ms; /* later than now: the clock was set back */
}

static struct hf_schedule next_after(const struct hf_engine *engine, const struct hf_system_info *system,
                                     struct since since)
{
    const struct hf_config *config = engine->config;
    int64_t now_ms = hf_clock_now_ms();
    int64_t full_ms = system->backup_interval_ms >= 0 ? system->backup_interval_ms : config->backup_interval_ms;
    int64_t incremental_ms =
        system->incremental_interval_ms >= 0 ? system->incremental_interval_ms : config->incremental_interval_ms;
    return (struct hf_schedule){due_after(since.full_ms, full_ms, now_ms),
                                due_after(since.incremental_ms, incremental_ms, now_ms)};
}

static bool take(struct hf_engine *engine, const struct hf_system_info *system, bool full, struct hf_arena *arena)
{
    struct hf_snapshot_request request = {.system = system->name, .full = full, .trigger = "schedule"};
    struct hf_snapshot_row row;
    struct hf_error err;
    bool unchanged = false;
    /* A failure has left its event; the next interval tries again. */
    return hf_snapshot_take(engine, &request, arena, &row, &unchanged, &err) && !unchanged &&
           strcmp(row.kind, "full") == 0;
}

/* Takes what is due, a full before an incremental; true when a full was made. */
static bool take_due(struct hf_scheduler *scheduler, const struct hf_system_info *system, struct schedule *schedule,
                     struct hf_arena *arena)
{
    struct hf_engine *engine = scheduler->engine;
    struct hf_snapshot_newest newest;
    hf_snapshot_read_newest(engine, system->id, arena, &newest);
    struct hf_schedule next = next_after(engine, system, look_since(system, &newest, schedule));
    int64_t now_ms = hf_clock_now_ms();
    bool full = next.next_full_at_ms <= now_ms;
    if ((!full && next.next_incremental_at_ms > now_ms) || !hf_committer_store_is_up(engine->committer))
        return false;
    if (full)
        schedule->full_tried_at_ms = now_ms;
    schedule->incremental_tried_at_ms = now_ms;
    if (!newest.has_newest && system->sequence == 0)
        return false; /* nothing in it yet */
    return take(engine, system, full, arena);
}

/* A history shorter than the pause between trims would otherwise last as long as that. */
static int64_t trim_every_ms(const struct hf_config *config)
{
    if (config->history_ms >= TRIM_EVERY_MS)
        return TRIM_EVERY_MS;
    return config->history_ms > TICK_MS ? config->history_ms : TICK_MS;
}

static void keep_house(struct hf_scheduler *scheduler, const struct hf_system_info *system, struct schedule *schedule,
                       bool took_full)
{
    struct hf_engine *engine = scheduler->engine;
    int64_t now_ms = hf_clock_now_ms(), deleted = 0;
    struct hf_error err;
    if (!hf_committer_store_is_up(engine->committer))
        return;
    if (took_full || now_ms - schedule->retained_at_ms >= RETAIN_EVERY_MS) {
        schedule->retained_at_ms = now_ms;
        if (!hf_retention_run(engine, system->name, &deleted, &err))
            hf_log(HF_LOG_WARNING, "retention_failed", err.text, HF_LOG_TEXT("system", system->name));
    }
    if (now_ms - schedule->trimmed_at_ms >= trim_every_ms(engine->config)) {
        schedule->trimmed_at_ms = now_ms;
        if (!hf_retention_trim_history(engine, system->name, &deleted, &err))
            hf_log(HF_LOG_WARNING, "history_not_trimmed", err.text, HF_LOG_TEXT("system", system->name));
    }
    if (now_ms - schedule->validated_at_ms >=
        TRIM_EVERY_MS) { /* after a rebuild there may be more than the queue takes */
        schedule->validated_at_ms = now_ms;
        if (hf_snapshots_wait_for_validation(engine, system->id))
            hf_snapshots_validate_pending(engine, system->name, false);
    }
    if (now_ms - schedule->journal_at_ms >= RETAIN_EVERY_MS) {
        schedule->journal_at_ms = now_ms;
        if (!hf_retention_trim_journal(engine, system->name, &deleted, &err))
            hf_log(HF_LOG_WARNING, "journal_not_trimmed", err.text, HF_LOG_TEXT("system", system->name));
    }
}

/* Under the catalogue's lock: notes a change between silent and heard of. */
static void look_at_component(struct hf_component *component, int64_t started_at_ms, int64_t now_ms,
                              struct transition *transitions, int *count)
{
    int64_t interval_ms = component->registration ? component->registration->heartbeat_interval_ms : 0;
    bool gone = component->head.deleted;
    int64_t heard_ms = component->last_activity_at_ms;
    if (heard_ms < started_at_ms) /* nobody could be heard while the service was down */
        heard_ms = started_at_ms;
    int64_t stale_at_ms = interval_ms && !gone ? hf_component_stale_at_ms(interval_ms, heard_ms,
                                                                          component->registration->registered_at_ms)
                                               : 0;
    bool stale = stale_at_ms && stale_at_ms <= now_ms;
    if (stale == component->stale || *count == TRANSITIONS_MAX)
        return;
    component->stale = stale;
    if (gone)
        return;
    struct transition *transition = &transitions[(*count)++];
    snprintf(transition->component, sizeof(transition->component), "%s", component->name);
    transition->stale = stale;
    transition->silent_ms = now_ms - component->last_activity_at_ms;
}

static void look_at_components(struct hf_engine *engine, const struct hf_system_info *info)
{
    HF_AUTO(free) struct transition *transitions = hf_alloc(TRANSITIONS_MAX * sizeof(transitions[0]));
    int count = 0;
    int64_t now_ms = hf_clock_now_ms();
    bool more = true;
    for (uint32_t next = 0; more;) {
        hf_catalog_lock(engine->catalog);
        struct hf_system *system = hf_catalog_system_by_id_locked(engine->catalog, info->id);
        more = system && next < system->by_name_count;
        for (uint32_t i = 0; more && i < WALK_PORTION && next < system->by_name_count; i++, next++) {
            struct hf_component *component = system->by_name[next];
            look_at_component(component, engine->started_at_ms, now_ms, transitions, &count);
        }
        hf_catalog_unlock(engine->catalog);
    }
    for (int i = 0; i < count; i++) {
        const struct transition *transition = &transitions[i];
        HF_AUTO(free) char *data = hf_format("{\"component\":\"%s\"}", transition->component);
        char silent[64];
        hf_duration_format(transition->silent_ms, silent, sizeof(silent));
        if (transition->stale)
            hf_event_emit(engine, info->id, info->name, HF_EV_COMPONENT_STALE, data,
                          "component %s has not been heard of for %s", transition->component, silent);
        else
            hf_event_emit(engine, info->id, info->name, HF_EV_COMPONENT_RECOVERED, data, "component %s is back",
                          transition->component);
    }
}

static void set_gauges(struct hf_scheduler *scheduler, const struct hf_system_info *systems, int count,
                       struct hf_arena *arena)
{
    struct hf_engine *engine = scheduler->engine;
    int64_t now_ms = hf_clock_now_ms(), oldest_ms = 0, next_ms = 0, exposure_ms = 0;
    bool all = true;
    for (int i = 0; i < count; i++) {
        struct hf_snapshot_newest newest;
        hf_snapshot_read_newest(engine, systems[i].id, arena, &newest);
        all = all && newest.has_newest;
        if (newest.has_newest && (!oldest_ms || newest.newest.cut_at_ms < oldest_ms))
            oldest_ms = newest.newest.cut_at_ms;
        struct hf_system_info now;
        if (hf_catalog_read_system(engine->catalog, systems[i].name, &now) && now.exposed_since_ms &&
            now_ms - now.exposed_since_ms > exposure_ms)
            exposure_ms = now_ms - now.exposed_since_ms;
        struct hf_schedule next = hf_scheduler_next(engine, systems[i].name);
        if (next.next_full_at_ms && (!next_ms || next.next_full_at_ms < next_ms))
            next_ms = next.next_full_at_ms;
    }
    hf_metric_set(HF_M_LAST_SNAPSHOT_TIME, all ? (double)oldest_ms / 1000 : 0);
    hf_metric_set(HF_M_NEXT_FULL_TIME, (double)next_ms / 1000);
    hf_metric_set(HF_M_EXPOSURE_SECONDS, (double)exposure_ms / 1000);
}
