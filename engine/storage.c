#include "engine/storage.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cond.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/size.h"
#include "engine/catalog.h"
#include "engine/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define LOOK_EVERY_NS (5 * HF_SECOND_NS)
#define LOOK_OLD_NS   (60 * HF_SECOND_NS) /* a look that did not come back for so long says nothing any more */
#define STOP_NS       HF_SECOND_NS
#define LOW_SHARE     20                 /* low: less than a twentieth is free */
#define LOW_MAX_BYTES (INT64_C(2) << 30) /* and less than this: a twentieth of a large disk is plenty */
#define NEED_FACTOR   2

struct look {
    bool known;
    int64_t free_bytes, total_bytes;
    uint64_t device;
    uint64_t at_ns;
};

/* One place and its thread. Left behind, it belongs to the thread. */
struct place {
    char *path;
    pthread_t thread;
    pthread_mutex_t mutex; /* protects the following; never held while the file system is asked */
    pthread_cond_t wake;   /* on the monotonic clock */
    bool stopping, ended, left_behind;
    struct look look;
};

struct hf_storage {
    struct place *places[HF_STORAGE_PLACES_MAX]; /* in the order of descriptions; NULL: not configured */
};

static const struct description {
    const char *name;
    const char *holds; /* for people */
    bool takes_fulls;
    size_t setting; /* offset of its path in the configuration */
} descriptions[HF_STORAGE_PLACES_MAX] = {
    {"data", "the data directory", false, offsetof(struct hf_config, data_directory)},
    {"backup", "full snapshots", true, offsetof(struct hf_config, backup_directory)},
    {"incremental", "incremental snapshots", false, offsetof(struct hf_config, incremental_directory)},
    {"mirror", "the mirror", true, offsetof(struct hf_config, mirror_directory)},
};

static struct place *start_place(const char *path, struct hf_error *err);
static void *run(void *context);
static int64_t low_below(int64_t total_bytes);
static struct look look_at(const char *path);
static void stop_place(struct place *place, uint64_t until_ns);
static void free_place(struct place *place);
static bool read_place(struct place *place, struct hf_storage_figures *out);
static int64_t needed_bytes(struct hf_engine *engine);
static int read_all(struct hf_engine *engine, int64_t needed, struct hf_storage_figures out[HF_STORAGE_PLACES_MAX]);
static const char *warning_of(const struct hf_storage_figures *figures, const struct hf_storage_figures *end,
                              struct hf_arena *arena);
static bool is_told_with(const struct hf_storage_figures *one, const struct hf_storage_figures *other);

bool hf_storage_start(struct hf_storage **out, struct hf_engine *engine, struct hf_error *err)
{
    struct hf_storage *storage = hf_alloc(sizeof(*storage));
    for (int i = 0; i < HF_STORAGE_PLACES_MAX; i++) {
        const char *path = *(char *const *)((const char *)engine->config + descriptions[i].setting);
        if (path && !(storage->places[i] = start_place(path, err))) {
            hf_storage_stop(storage);
            return false;
        }
    }
    *out = storage;
    return true;
}

static struct place *start_place(const char *path, struct hf_error *err)
{
    struct place *place = hf_alloc(sizeof(*place));
    place->path = hf_strdup(path);
    pthread_mutex_init(&place->mutex, NULL);
    hf_cond_init(&place->wake);
    int failure = hf_fault("storage_thread") ? EAGAIN : pthread_create(&place->thread, NULL, run, place);
    if (failure == 0) {
        pthread_setname_np(place->thread, "hf-storage");
        return place;
    }
    free_place(place);
    hf_error_errno(err, failure, "the thread that looks at free space cannot be started");
    return NULL;
}

static void *run(void *context)
{
    struct place *place = context;
    pthread_mutex_lock(&place->mutex);
    while (!place->stopping) {
        pthread_mutex_unlock(&place->mutex);
        struct look look = look_at(place->path);
        pthread_mutex_lock(&place->mutex);
        place->look = look;
        while (!place->stopping && hf_cond_wait_until(&place->wake, &place->mutex, look.at_ns + LOOK_EVERY_NS))
            ;
    }
    place->ended = true;
    bool left_behind = place->left_behind;
    pthread_cond_signal(&place->wake);
    pthread_mutex_unlock(&place->mutex);
    if (left_behind)
        free_place(place);
    return NULL;
}

static int64_t low_below(int64_t total_bytes)
{
    int64_t share = total_bytes / LOW_SHARE;
    return share < LOW_MAX_BYTES ? share : LOW_MAX_BYTES;
}

/* The only thing here that may take for ever. */
static struct look look_at(const char *path)
{
    struct statvfs room;
    struct stat status;
    bool known = !hf_fault("storage_look") && statvfs(path, &room) == 0 && stat(path, &status) == 0;
    struct look look = {.known = known && room.f_blocks > 0, .at_ns = hf_clock_monotonic_ns()};
    if (!look.known)
        return look;
    look.free_bytes = (int64_t)((uint64_t)room.f_bavail * room.f_frsize);
    look.total_bytes = (int64_t)((uint64_t)room.f_blocks * room.f_frsize);
    look.device = status.st_dev;
    if (hf_fault("storage_low"))
        look.free_bytes = low_below(look.total_bytes) / 2;
    return look;
}

void hf_storage_stop(struct hf_storage *storage)
{
    if (!storage)
        return;
    for (int i = 0; i < HF_STORAGE_PLACES_MAX; i++) {
        struct place *place = storage->places[i];
        if (!place)
            continue;
        pthread_mutex_lock(&place->mutex);
        place->stopping = true;
        pthread_cond_signal(&place->wake);
        pthread_mutex_unlock(&place->mutex);
    }
    uint64_t until_ns = hf_clock_monotonic_ns() + STOP_NS;
    for (int i = 0; i < HF_STORAGE_PLACES_MAX; i++) {
        if (storage->places[i])
            stop_place(storage->places[i], until_ns);
    }
    free(storage);
}

static void stop_place(struct place *place, uint64_t until_ns)
{
    bool in_time = true;
    pthread_mutex_lock(&place->mutex);
    while (!place->ended && in_time)
        in_time = hf_cond_wait_until(&place->wake, &place->mutex, until_ns);
    bool ended = place->ended;
    place->left_behind = !ended;
    if (!ended) /* before it can end */
        pthread_detach(place->thread);
    pthread_mutex_unlock(&place->mutex);
    if (ended) {
        pthread_join(place->thread, NULL);
        free_place(place);
        return;
    }
    hf_log(HF_LOG_WARNING, "storage_does_not_answer",
           "a file system did not say how much room it has; it is left alone");
}

static void free_place(struct place *place)
{
    pthread_cond_destroy(&place->wake);
    pthread_mutex_destroy(&place->mutex);
    free(place->path);
    free(place);
}

int hf_storage_read(struct hf_engine *engine, struct hf_storage_figures out[HF_STORAGE_PLACES_MAX])
{
    return read_all(engine, needed_bytes(engine), out);
}

static int read_all(struct hf_engine *engine, int64_t needed, struct hf_storage_figures out[HF_STORAGE_PLACES_MAX])
{
    int count = 0;
    for (int i = 0; engine->storage && i < HF_STORAGE_PLACES_MAX; i++) {
        struct place *place = engine->storage->places[i];
        if (!place)
            continue;
        struct hf_storage_figures *figures = &out[count++];
        *figures = (struct hf_storage_figures){.place = descriptions[i].name,
                                               .holds = descriptions[i].holds,
                                               .needed = needed};
        if (!read_place(place, figures))
            continue;
        bool few = figures->free_bytes < low_below(figures->total_bytes);
        figures->low_by_need = !few && descriptions[i].takes_fulls && figures->free_bytes / NEED_FACTOR < needed;
        figures->low = few || figures->low_by_need;
    }
    return count;
}

static bool read_place(struct place *place, struct hf_storage_figures *out)
{
    pthread_mutex_lock(&place->mutex);
    struct look look = place->look;
    pthread_mutex_unlock(&place->mutex);
    out->known = look.known && hf_clock_monotonic_ns() - look.at_ns < LOOK_OLD_NS;
    if (!out->known)
        return false;
    out->free_bytes = look.free_bytes;
    out->total_bytes = look.total_bytes;
    out->device = look.device;
    return true;
}

/* What the newest full snapshots of all systems took: the next ones come at the same time. */
static int64_t needed_bytes(struct hf_engine *engine)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    int count = 0;
    int64_t bytes = 0;
    const struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &arena, &count);
    for (int i = 0; i < count; i++) {
        struct hf_snapshot_newest newest;
        hf_snapshot_read_newest(engine, systems[i].id, &arena, &newest);
        bytes += newest.has_full ? newest.full.file_bytes : 0;
    }
    return bytes;
}

int hf_storage_warnings(const struct hf_storage_figures figures[], int count, struct hf_arena *arena,
                        const char *out[HF_STORAGE_PLACES_MAX])
{
    int warnings = 0;
    for (int i = 0; i < count; i++) {
        bool told = !figures[i].low;
        for (int k = 0; k < i; k++)
            told = told || is_told_with(&figures[k], &figures[i]);
        if (!told)
            out[warnings++] = warning_of(&figures[i], &figures[count], arena);
    }
    return warnings;
}

static bool is_told_with(const struct hf_storage_figures *one, const struct hf_storage_figures *other)
{
    return one->low && other->low && one->device == other->device && one->low_by_need == other->low_by_need;
}

/* Names the other places on the same file system too. */
static const char *warning_of(const struct hf_storage_figures *figures, const struct hf_storage_figures *end,
                              struct hf_arena *arena)
{
    char free_size[HF_SIZE_BYTES], total[HF_SIZE_BYTES], newest[HF_SIZE_BYTES];
    hf_size_format(figures->free_bytes, free_size);
    hf_size_format(figures->total_bytes, total);
    hf_size_format(figures->needed, newest);
    const char *holds = figures->holds;
    for (const struct hf_storage_figures *other = figures + 1; other < end; other++) {
        if (is_told_with(figures, other))
            holds = hf_arena_format(arena, "%s, %s", holds, other->holds);
    }
    if (figures->low_by_need)
        return hf_arena_format(arena, "the disk fills up: %s of %s free for %s, and the newest full snapshots took %s",
                               free_size, total, holds, newest);
    return hf_arena_format(arena, "the disk fills up: %s of %s free for %s", free_size, total, holds);
}

void hf_storage_write(struct hf_engine *engine, struct hf_buf *out)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_storage_figures figures[HF_STORAGE_PLACES_MAX];
    const char *warnings[HF_STORAGE_PLACES_MAX];
    int count = hf_storage_warnings(figures, hf_storage_read(engine, figures), &arena, warnings);
    for (int i = 0; i < count; i++)
        hf_buf_add_format(out, "[!]storage: %s\n", warnings[i]);
}

void hf_storage_set_gauges(struct hf_engine *engine)
{
    struct hf_storage_figures figures[HF_STORAGE_PLACES_MAX];
    int count = read_all(engine, 0, figures);
    for (int i = 0; i < count; i++) {
        hf_metric_set_labelled(HF_M_STORAGE_FREE, figures[i].place, figures[i].known ? figures[i].free_bytes : -1);
        hf_metric_set_labelled(HF_M_STORAGE_SIZE, figures[i].place, figures[i].known ? figures[i].total_bytes : -1);
    }
}
