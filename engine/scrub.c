/* The background scrub: every snapshot is validated again once each interval, the one that was looked at longest ago
 * first, one at a time, with a pause between each two that spreads them over the interval. The damaged ones of one
 * generation count as one: looking at any of them reads, and tries to mend, all files of the generation. Where there is
 * a mirror, its copy is compared with the file that was just found sound. */
#include "engine/validation_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cond.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/events.h"
#include "engine/mirror.h"
#include "engine/name_table.h"

#include <string.h>
#include <time.h>

#define LOOK_AGAIN_MS  60000 /* at the latest, for snapshots that came and went */
#define PAUSE_MS_MIN   10
#define TRIED_NAME_MAX (HF_SNAPSHOT_ID_MAX + 24)

/* A snapshot that there was no verdict of: without its key, say. It waits its turn like those that have one. */
struct tried {
    char *name; /* first: it is what the name table looks at; as tried_name makes it */
    int64_t at_ms;
    uint64_t met_in; /* the walk that met it last */
};

struct hf_scrubber {
    struct hf_engine *engine;
    pthread_t thread;
    pthread_mutex_t mutex; /* protects nothing but the sleep */
    pthread_cond_t wake;
    atomic_bool stopping;
    struct hf_pacer pacer;
    struct hf_name_table tried; /* of those that still are; owns */
    uint64_t walks;
};

/* A sound snapshot, or all damaged ones of a generation. */
struct unit {
    struct unit *next;
    int64_t system_id;
    const char *system, *generation;
    const char *id;          /* the one that was looked at longest ago */
    int64_t id_looked_at_ms; /* when */
    int64_t looked_at_ms;    /* when any of them was looked at last */
};

struct choosing {
    struct hf_scrubber *scrubber;
    struct hf_arena *arena;
    const char *system;
    struct unit *damaged;     /* of all systems */
    const struct unit *sound; /* the one that was looked at longest ago; NULL: none */
    int64_t count;            /* of all units */
};

struct choice {
    int64_t count; /* of all that can be scrubbed */
    int64_t looked_at_ms;
    char system_name[HF_NAME_MAX + 4];
    char id[HF_SNAPSHOT_ID_MAX];
    int64_t system_id;
};

static void *scrub(void *context);
static bool choose(struct hf_scrubber *scrubber, struct choice *out);
static hf_snapshot_row_fn consider;
static void consider_damaged(struct choosing *choosing, const struct hf_snapshot_row *row, int64_t looked_at_ms);
static struct unit *new_unit(struct choosing *choosing, const struct hf_snapshot_row *row, int64_t looked_at_ms);
static int64_t when_tried(struct hf_scrubber *scrubber, const struct hf_snapshot_row *row);
static void note_tried(struct hf_scrubber *scrubber, const struct choice *choice);
static void forget_tried(struct hf_scrubber *scrubber, uint64_t met_before);
static void tried_name(char *name, int64_t system_id, const char *id);
static int64_t pause_ms(const struct hf_scrubber *scrubber, const struct choice *choice, bool first);
static bool sleep_ms(struct hf_scrubber *scrubber, int64_t ms);
static void scrub_one(struct hf_scrubber *scrubber, const struct choice *choice);
static void compare_mirror(struct hf_scrubber *scrubber, const struct choice *choice);
static bool compare_copies(struct hf_scrubber *scrubber, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                           struct hf_error *err);
static hf_pace_fn pace_copy;

/* Whom a copy under way may keep waiting. */
struct copying {
    struct hf_scrubber *scrubber;
    struct hf_shelf *shelf;
};

bool hf_scrubber_start(struct hf_scrubber **out, struct hf_engine *engine, struct hf_error *err)
{
    *out = NULL;
    if (engine->config->scrub_interval_ms == 0)
        return true;
    struct hf_scrubber *scrubber = hf_alloc(sizeof(*scrubber));
    scrubber->engine = engine;
    scrubber->pacer = (struct hf_pacer){.bytes_per_second = engine->config->scrub_bytes_per_second,
                                        .stop = &scrubber->stopping,
                                        .scrubbing = true};
    pthread_mutex_init(&scrubber->mutex, NULL);
    hf_cond_init(&scrubber->wake);
    int failure = pthread_create(&scrubber->thread, NULL, scrub, scrubber);
    if (failure) {
        pthread_cond_destroy(&scrubber->wake);
        pthread_mutex_destroy(&scrubber->mutex);
        free(scrubber);
        return hf_error_errno(err, failure, "the thread of the background validation cannot be started");
    }
    *out = scrubber;
    return true;
}

void hf_scrubber_break_off(struct hf_scrubber *scrubber)
{
    if (!scrubber)
        return;
    pthread_mutex_lock(&scrubber->mutex);
    scrubber->stopping = true;
    pthread_cond_signal(&scrubber->wake);
    pthread_mutex_unlock(&scrubber->mutex);
}

void hf_scrubber_stop(struct hf_scrubber *scrubber)
{
    if (!scrubber)
        return;
    hf_scrubber_break_off(scrubber);
    pthread_join(scrubber->thread, NULL);
    forget_tried(scrubber, UINT64_MAX);
    hf_name_table_done(&scrubber->tried);
    pthread_cond_destroy(&scrubber->wake);
    pthread_mutex_destroy(&scrubber->mutex);
    free(scrubber);
}

static void *scrub(void *context)
{
    struct hf_scrubber *scrubber = context;
    bool first = true;
    uint64_t last_ns = hf_clock_monotonic_ns();
    for (;;) {
        struct choice choice;
        if (!choose(scrubber, &choice)) {
            if (!sleep_ms(scrubber, LOOK_AGAIN_MS))
                return NULL;
            continue;
        }
        int64_t passed_ms = (int64_t)((hf_clock_monotonic_ns() - last_ns) / HF_MS_NS);
        int64_t left_ms = pause_ms(scrubber, &choice, first) - (first ? 0 : passed_ms);
        if (left_ms > 0) {
            if (!sleep_ms(scrubber, left_ms < LOOK_AGAIN_MS ? left_ms : LOOK_AGAIN_MS))
                return NULL;
            continue; /* what is oldest may be another one by now */
        }
        if (scrubber->stopping)
            return NULL;
        scrub_one(scrubber, &choice);
        first = false;
        last_ns = hf_clock_monotonic_ns();
    }
}

/* False: there is nothing to look at, or the database is away. */
static bool choose(struct hf_scrubber *scrubber, struct choice *out)
{
    struct hf_engine *engine = scrubber->engine;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct choosing choosing = {.scrubber = scrubber, .arena = &arena};
    struct hf_session *session;
    struct hf_error err;
    if (!hf_sessions_take(engine->sessions, &session, &err))
        return false;
    int count = 0;
    struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &arena, &count);
    bool ok = true;
    scrubber->walks++;
    for (int i = 0; ok && i < count; i++) {
        choosing.system = systems[i].name;
        ok = hf_snapshots_list(session, systems[i].id, NULL, INT64_MAX, "", INT64_MAX, consider, &choosing, &err);
    }
    hf_sessions_give(engine->sessions, session);
    if (ok)
        forget_tried(scrubber, scrubber->walks);
    const struct unit *chosen = choosing.sound;
    for (const struct unit *unit = choosing.damaged; unit; unit = unit->next) {
        if (!chosen || unit->looked_at_ms < chosen->looked_at_ms)
            chosen = unit;
    }
    if (!ok || !chosen)
        return false;
    *out =
        (struct choice){.count = choosing.count, .looked_at_ms = chosen->looked_at_ms, .system_id = chosen->system_id};
    snprintf(out->system_name, sizeof(out->system_name), "%s", chosen->system);
    snprintf(out->id, sizeof(out->id), "%s", chosen->id);
    return true;
}

static bool consider(void *context, const struct hf_snapshot_row *row)
{
    struct choosing *choosing = context;
    if (strcmp(row->state, "failed") == 0)
        return true;
    int64_t tried_at_ms = when_tried(choosing->scrubber, row);
    int64_t looked_at_ms = tried_at_ms > row->validated_at_ms ? tried_at_ms : row->validated_at_ms;
    if (hf_validation_is_damaged(row)) {
        consider_damaged(choosing, row, looked_at_ms);
        return true;
    }
    choosing->count++;
    if (!choosing->sound || looked_at_ms < choosing->sound->looked_at_ms)
        choosing->sound = new_unit(choosing, row, looked_at_ms);
    return true;
}

static void consider_damaged(struct choosing *choosing, const struct hf_snapshot_row *row, int64_t looked_at_ms)
{
    struct unit *unit = choosing->damaged;
    while (unit && (unit->system_id != row->system_id || strcmp(unit->generation, row->generation) != 0))
        unit = unit->next;
    if (!unit) {
        unit = new_unit(choosing, row, looked_at_ms);
        unit->next = choosing->damaged;
        choosing->damaged = unit;
        choosing->count++;
    }
    if (looked_at_ms > unit->looked_at_ms)
        unit->looked_at_ms = looked_at_ms;
    if (looked_at_ms < unit->id_looked_at_ms) {
        unit->id = hf_arena_strdup(choosing->arena, row->id);
        unit->id_looked_at_ms = looked_at_ms;
    }
}

static struct unit *new_unit(struct choosing *choosing, const struct hf_snapshot_row *row, int64_t looked_at_ms)
{
    struct unit *unit = hf_arena_alloc(choosing->arena, sizeof(*unit));
    *unit = (struct unit){.system_id = row->system_id,
                          .system = choosing->system,
                          .generation = hf_arena_strdup(choosing->arena, row->generation),
                          .id = hf_arena_strdup(choosing->arena, row->id),
                          .id_looked_at_ms = looked_at_ms,
                          .looked_at_ms = looked_at_ms};
    return unit;
}

/* 0: not that we know. */
static int64_t when_tried(struct hf_scrubber *scrubber, const struct hf_snapshot_row *row)
{
    char name[TRIED_NAME_MAX];
    tried_name(name, row->system_id, row->id);
    struct tried *tried = hf_name_table_find(&scrubber->tried, name);
    if (!tried)
        return 0;
    tried->met_in = scrubber->walks;
    return tried->at_ms;
}

static void note_tried(struct hf_scrubber *scrubber, const struct choice *choice)
{
    char name[TRIED_NAME_MAX];
    tried_name(name, choice->system_id, choice->id);
    struct tried *tried = hf_name_table_find(&scrubber->tried, name);
    if (!tried) {
        tried = hf_alloc(sizeof(*tried));
        tried->name = hf_strdup(name);
        hf_name_table_add(&scrubber->tried, tried);
    }
    tried->at_ms = hf_clock_now_ms();
    tried->met_in = scrubber->walks;
}

/* What the walk did not meet was deleted. */
static void forget_tried(struct hf_scrubber *scrubber, uint64_t met_before)
{
    HF_AUTO(free) struct tried **gone = hf_alloc((scrubber->tried.count + 1) * sizeof(gone[0]));
    uint32_t count = 0;
    for (uint32_t i = 0; i < scrubber->tried.slot_count; i++) {
        struct tried *tried = scrubber->tried.slots[i];
        if (tried && tried->met_in < met_before)
            gone[count++] = tried;
    }
    for (uint32_t i = 0; i < count; i++) { /* not above: removal moves what is in other slots */
        hf_name_table_remove(&scrubber->tried, gone[i]);
        free(gone[i]->name);
        free(gone[i]);
    }
}

static void tried_name(char *name, int64_t system_id, const char *id)
{
    snprintf(name, TRIED_NAME_MAX, "%lld/%s", (long long)system_id, id);
}

/* From the one before to the next: an equal share of the interval. The first after a start comes when it is due, so
 * that a service that is restarted often scrubs too. */
static int64_t pause_ms(const struct hf_scrubber *scrubber, const struct choice *choice, bool first)
{
    int64_t interval_ms = scrubber->engine->config->scrub_interval_ms;
    int64_t share_ms = interval_ms / choice->count;
    if (first) {
        int64_t due_ms = choice->looked_at_ms + interval_ms - hf_clock_now_ms();
        if (due_ms < share_ms)
            share_ms = due_ms;
        return share_ms;
    }
    return share_ms > PAUSE_MS_MIN ? share_ms : PAUSE_MS_MIN;
}

/* False: the scrub is over. */
static bool sleep_ms(struct hf_scrubber *scrubber, int64_t ms)
{
    uint64_t until_ns = hf_clock_monotonic_ns() + (uint64_t)ms * HF_MS_NS;
    pthread_mutex_lock(&scrubber->mutex);
    while (!scrubber->stopping && hf_cond_wait_until(&scrubber->wake, &scrubber->mutex, until_ns))
        ;
    pthread_mutex_unlock(&scrubber->mutex);
    return !scrubber->stopping;
}

static void scrub_one(struct hf_scrubber *scrubber, const struct choice *choice)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_validation result;
    struct hf_error err;
    if (hf_validation_run_paced(scrubber->engine, choice->system_name, choice->id, false, &scrubber->pacer, &arena,
                                &result, &err)) {
        if (strcmp(result.status, "damaged") != 0 && scrubber->engine->mirror_repository)
            compare_mirror(scrubber, choice);
        return;
    }
    if (scrubber->stopping)
        return;
    note_tried(scrubber, choice);
    if (err.code != HF_NOT_FOUND) /* it was deleted meanwhile */
        hf_log(HF_LOG_WARNING, "snapshot_not_validated", err.text, HF_LOG_TEXT("system", choice->system_name),
               HF_LOG_TEXT("snapshot", choice->id));
}

/* A mirror that is away, or lacks the file, catches up by itself. */
static void compare_mirror(struct hf_scrubber *scrubber, const struct choice *choice)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_engine *engine = scrubber->engine;
    struct hf_snapshot_row row;
    struct hf_error err;
    struct hf_shelf *shelf = hf_shelf_get(engine, choice->system_name, &err);
    if (!shelf)
        return;
    hf_shelf_await(shelf);
    /* Retention does not wait for judging; with the lease, it does not delete what is copied here. */
    bool leased = hf_snapshot_lease(engine, shelf->system_id, choice->id, &err);
    bool ok = leased && hf_shelf_check_current(engine, shelf, &err) &&
              hf_snapshot_find(engine, choice->system_name, choice->id, &arena, &row, &err) &&
              compare_copies(scrubber, shelf, &row, &err);
    if (leased)
        hf_snapshot_release(engine, shelf->system_id, choice->id);
    pthread_mutex_unlock(&shelf->judging);
    if (!ok && err.code == HF_NOT_FOUND)
        hf_mirror_wake(engine);
    else if (!ok)
        hf_log(HF_LOG_WARNING, "mirror_not_compared", err.text, HF_LOG_TEXT("system", choice->system_name),
               HF_LOG_TEXT("snapshot", choice->id));
}

static bool compare_copies(struct hf_scrubber *scrubber, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                           struct hf_error *err)
{
    struct hf_engine *engine = scrubber->engine;
    struct copying copying = {scrubber, shelf};
    bool same = false;
    int64_t bytes = 0;
    if (!hf_repository_compare(engine->repository, engine->mirror_repository, shelf->name, row->kind, row->id,
                               pace_copy, &copying, &same, err))
        return false;
    if (same)
        return true;
    if (!hf_repository_copy(engine->repository, engine->mirror_repository, shelf->name, row->kind, row->id, true,
                            pace_copy, &copying, &bytes, err))
        return false;
    hf_metric_add_labelled(HF_M_HEALED, "mirror", 1);
    HF_AUTO(free) char *data = hf_format("{\"snapshot\":\"%s\"}", row->id);
    hf_event_emit(engine, shelf->system_id, shelf->name, HF_EV_MIRROR_HEALED, data,
                  "the mirror's copy of snapshot %s differed from the file and was written again", row->id);
    return true;
}

/* A comparison cannot be broken off: at a stop it is only no longer slowed down. */
static void pace_copy(void *context, int64_t bytes)
{
    const struct copying *copying = context;
    hf_pacer_wait(&copying->scrubber->pacer, copying->shelf, bytes);
}
