/* The thread that drills: every system once each interval, counted from its last drill, so that restarts change
 * nothing. A system that was never drilled waits for its share of the interval, by its name: many that came at the same
 * moment do not all come due together. */
#include "engine/drill_private.h"

#include "core/clock.h"
#include "core/cond.h"
#include "core/log.h"
#include "engine/snapshot.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS_MAX  60000
#define LOOK_MS_MIN  20
#define LOOKS        10      /* an interval, where it is short */
#define RETRY_MS     3600000 /* after a drill that came to no verdict */
#define PAUSE_SHARES 4       /* drills follow one another at this part of an even spread, when many are overdue */
#define NICENESS     10

static void *run(void *context);
static int64_t look_ms(const struct hf_driller *driller);
static int64_t choose(struct hf_driller *driller, char system_out[HF_NAME_MAX + 4], int *count_out);
static int64_t due_at_ms(struct hf_driller *driller, const struct hf_system_info *system, int64_t now_ms);
static int64_t share_ms(const char *name, int64_t interval_ms);
static bool drill_one(struct hf_driller *driller, const char *system);
static bool sleep_ms(struct hf_driller *driller, int64_t ms);

bool hf_driller_start(struct hf_driller **out, struct hf_engine *engine, struct hf_error *err)
{
    struct hf_driller *driller = hf_alloc(sizeof(*driller));
    driller->engine = engine;
    pthread_mutex_init(&driller->drilling, NULL);
    pthread_mutex_init(&driller->mutex, NULL);
    hf_cond_init(&driller->wake);
    hf_drill_sweep(engine);
    bool ok = hf_drill_load_facts(driller, err);
    *out = driller; /* the thread finds itself there */
    int failure = ok ? pthread_create(&driller->thread, NULL, run, driller) : 0;
    if (ok && failure == 0)
        return true;
    *out = NULL;
    hf_drill_free_facts(driller);
    pthread_cond_destroy(&driller->wake);
    pthread_mutex_destroy(&driller->mutex);
    pthread_mutex_destroy(&driller->drilling);
    free(driller);
    return ok ? hf_error_errno(err, failure, "the thread of the restore drills cannot be started") : false;
}

void hf_driller_break_off(struct hf_driller *driller)
{
    if (!driller)
        return;
    pthread_mutex_lock(&driller->mutex);
    driller->stopping = true;
    pthread_cond_signal(&driller->wake);
    pthread_mutex_unlock(&driller->mutex);
}

void hf_driller_stop(struct hf_driller *driller)
{
    if (!driller)
        return;
    hf_driller_break_off(driller);
    pthread_join(driller->thread, NULL);
    pthread_mutex_lock(&driller->drilling); /* one on demand breaks off too */
    pthread_mutex_unlock(&driller->drilling);
    hf_drill_free_facts(driller);
    pthread_cond_destroy(&driller->wake);
    pthread_mutex_destroy(&driller->mutex);
    pthread_mutex_destroy(&driller->drilling);
    free(driller);
}

bool hf_drill_run(struct hf_engine *engine, const char *system, struct hf_arena *arena, struct hf_drill_row *out,
                  struct hf_error *err)
{
    return hf_drill_take(engine, system, false, arena, out, err);
}

static void *run(void *context)
{
    struct hf_driller *driller = context;
    /* Only this thread: in Linux each has a niceness of its own. Without it drills are merely less modest. */
    if (setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS) != 0)
        hf_log(HF_LOG_DEBUG, "drill_priority", "the thread of the restore drills keeps its ordinary priority");
    int64_t interval_ms = driller->engine->config->drill_interval_ms;
    uint64_t refreshed_ns = 0, free_ns = 0; /* when facts were looked up; before when no further drill begins */
    for (;;) {
        uint64_t now_ns = hf_clock_monotonic_ns();
        if (!refreshed_ns || now_ns - refreshed_ns >= LOOK_MS_MAX * HF_MS_NS) {
            hf_drill_refresh_facts(driller);
            refreshed_ns = now_ns;
        }
        char system[HF_NAME_MAX + 4];
        int count = 0;
        int64_t due_ms = interval_ms ? choose(driller, system, &count) : INT64_MAX;
        if (due_ms <= hf_clock_now_ms() && free_ns <= now_ns && !driller->stopping) {
            int64_t pause_ms = interval_ms / count / PAUSE_SHARES;
            if (!drill_one(driller, system) || pause_ms > LOOK_MS_MAX)
                pause_ms = LOOK_MS_MAX;
            free_ns = hf_clock_monotonic_ns() + (uint64_t)pause_ms * HF_MS_NS;
            refreshed_ns = 0;
        }
        if (!sleep_ms(driller, look_ms(driller)))
            return NULL;
    }
}

/* Choosing reads memory alone; as often as the interval is worth. */
static int64_t look_ms(const struct hf_driller *driller)
{
    int64_t interval_ms = driller->engine->config->drill_interval_ms, ms = interval_ms / LOOKS;
    if (interval_ms == 0 || ms > LOOK_MS_MAX)
        return LOOK_MS_MAX;
    return ms > LOOK_MS_MIN ? ms : LOOK_MS_MIN;
}

/* The system that is due first, and when; INT64_MAX: none has a snapshot to restore, or none can be asked for. */
static int64_t choose(struct hf_driller *driller, char system_out[HF_NAME_MAX + 4], int *count_out)
{
    struct hf_engine *engine = driller->engine;
    int64_t first_ms = INT64_MAX, now_ms = hf_clock_now_ms();
    if (!hf_committer_store_is_up(engine->committer))
        return first_ms;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    const struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &arena, count_out);
    for (int i = 0; i < *count_out; i++) {
        struct hf_snapshot_newest newest;
        hf_snapshot_read_newest(engine, systems[i].id, &arena, &newest);
        int64_t due_ms = newest.has_newest ? due_at_ms(driller, &systems[i], now_ms) : INT64_MAX;
        if (due_ms < first_ms) {
            first_ms = due_ms;
            snprintf(system_out, HF_NAME_MAX + 4, "%s", systems[i].name);
        }
    }
    return first_ms;
}

static int64_t due_at_ms(struct hf_driller *driller, const struct hf_system_info *system, int64_t now_ms)
{
    int64_t interval_ms = driller->engine->config->drill_interval_ms;
    char status[16];
    int64_t last_ms = hf_drill_last_at(driller, system->id, status);
    if (!last_ms)
        return system->created_at_ms + share_ms(system->name, interval_ms);
    if (last_ms > now_ms) /* the clock was set back */
        return now_ms;
    bool verdict = strcmp(status, "passed") == 0 || strcmp(status, "failed") == 0;
    return last_ms + (verdict || interval_ms < RETRY_MS ? interval_ms : RETRY_MS);
}

/* Always the same for a name (FNV-1a). */
static int64_t share_ms(const char *name, int64_t interval_ms)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
    return (int64_t)(hash % (uint64_t)interval_ms);
}

/* False: not even an attempt can be recorded now. */
static bool drill_one(struct hf_driller *driller, const char *system)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_drill_row row;
    struct hf_error err;
    if (hf_drill_take(driller->engine, system, true, &arena, &row, &err))
        return true;
    if (err.code != HF_SHUTTING_DOWN && err.code != HF_NOT_FOUND) /* it was deleted meanwhile */
        hf_log(HF_LOG_WARNING, "drill_not_done", err.text, HF_LOG_TEXT("system", system));
    return false;
}

/* False: the thread ends. */
static bool sleep_ms(struct hf_driller *driller, int64_t ms)
{
    uint64_t until_ns = hf_clock_monotonic_ns() + (uint64_t)ms * HF_MS_NS;
    pthread_mutex_lock(&driller->mutex);
    while (!driller->stopping && hf_cond_wait_until(&driller->wake, &driller->mutex, until_ns))
        ;
    pthread_mutex_unlock(&driller->mutex);
    return !driller->stopping;
}
