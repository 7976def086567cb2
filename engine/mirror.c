#include "engine/mirror_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cond.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/events.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LOOK_EVERY_MS      30000
#define FINAL_ROUND_MS     3000 /* the final snapshots, when the service stops */
#define SYSTEM_PATIENCE_MS 2000

static bool check_places(const struct hf_engine *engine, struct hf_error *err);
static bool same_place(const char *a, const char *b);
static void *run(void *context);
static void wait_for_work(struct hf_mirror *mirror);
static void add_forgotten(struct hf_mirror *mirror, const struct hf_mirror_forgotten *forgotten);
static uint64_t in_ms(int64_t ms);

bool hf_mirror_open(struct hf_engine *engine, struct hf_error *err)
{
    const char *directory = engine->config->mirror_directory;
    if (!directory)
        return true;
    if (!check_places(engine, err))
        return false;
    hf_repository_open_remote(&engine->mirror_repository, directory);
    hf_repository_use_keys(engine->mirror_repository, engine->keys);
    struct hf_mirror *mirror = hf_alloc(sizeof(*mirror));
    mirror->engine = engine;
    mirror->forgotten = hf_alloc(HF_MIRROR_FORGOTTEN_MAX * sizeof(mirror->forgotten[0]));
    mirror->status.configured = true;
    pthread_mutex_init(&mirror->mutex, NULL);
    hf_cond_init(&mirror->wake);
    hf_cond_init(&mirror->done);
    engine->mirror = mirror;
    struct hf_error away;
    if (hf_mirror_is_there(engine, &away))
        hf_mirror_note_up(mirror);
    else
        hf_mirror_note_away(mirror, &away);
    return true;
}

/* A copy in the same place is none, and would go with the original. */
static bool check_places(const struct hf_engine *engine, struct hf_error *err)
{
    const struct hf_config *config = engine->config;
    HF_AUTO(free) char *full = hf_format("%s/full", config->mirror_directory);
    HF_AUTO(free) char *incremental = hf_format("%s/incremental", config->mirror_directory);
    const char *const mirrors[] = {full, incremental};
    const char *const places[] = {config->backup_directory, config->incremental_directory};
    for (int i = 0; i < 4; i++) {
        if (same_place(mirrors[i / 2], places[i % 2]))
            return hf_error_set(err, HF_CONFIG,
                                "the mirror's directory %s is where the snapshot files themselves are: give "
                                "--mirror-directory a place of its own, best on another disk",
                                mirrors[i / 2]);
    }
    return true;
}

static bool same_place(const char *a, const char *b)
{
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

bool hf_mirror_is_there(struct hf_engine *engine, struct hf_error *err)
{
    struct stat status;
    const char *directory = engine->config->mirror_directory;
    if (stat(directory, &status) != 0)
        return hf_error_errno(err, errno,
                              "the mirror's directory %s is not there (it is never made here: is its disk "
                              "mounted?)",
                              directory);
    return hf_repository_prepare(engine->mirror_repository, NULL, err);
}

bool hf_mirror_start(struct hf_engine *engine, struct hf_error *err)
{
    struct hf_mirror *mirror = engine->mirror;
    if (!mirror)
        return true;
    int failure = pthread_create(&mirror->thread, NULL, run, mirror);
    if (failure != 0)
        return hf_error_errno(err, failure, "the mirror's thread cannot be started");
    mirror->started = true;
    return true;
}

void hf_mirror_stop(struct hf_mirror *mirror)
{
    if (!mirror)
        return;
    pthread_mutex_lock(&mirror->mutex);
    mirror->stopping = true;
    pthread_cond_broadcast(&mirror->wake);
    pthread_cond_broadcast(&mirror->done);
    pthread_mutex_unlock(&mirror->mutex);
    if (mirror->started)
        pthread_join(mirror->thread, NULL);
    pthread_cond_destroy(&mirror->done);
    pthread_cond_destroy(&mirror->wake);
    pthread_mutex_destroy(&mirror->mutex);
    free(mirror->forgotten);
    free(mirror);
}

static void *run(void *context)
{
    struct hf_mirror *mirror = context;
    while (!hf_mirror_is_stopping(mirror)) {
        hf_mirror_do_round(mirror, 0);
        wait_for_work(mirror);
    }
    pthread_mutex_lock(&mirror->mutex);
    bool up = mirror->status.up;
    pthread_mutex_unlock(&mirror->mutex);
    if (up)
        hf_mirror_do_round(mirror, hf_clock_monotonic_ns() + FINAL_ROUND_MS * HF_MS_NS);
    return NULL;
}

/* After a failure nothing wakes it: a disk that is full is not written to again with every snapshot. */
static void wait_for_work(struct hf_mirror *mirror)
{
    uint64_t until_ns = in_ms(LOOK_EVERY_MS);
    bool in_time = true;
    pthread_mutex_lock(&mirror->mutex);
    while (!mirror->stopping && !(mirror->woken && !mirror->failed) && in_time)
        in_time = hf_cond_wait_until(&mirror->wake, &mirror->mutex, until_ns);
    mirror->woken = false;
    pthread_mutex_unlock(&mirror->mutex);
}

bool hf_mirror_is_stopping(struct hf_mirror *mirror)
{
    pthread_mutex_lock(&mirror->mutex);
    bool stopping = mirror->stopping;
    pthread_mutex_unlock(&mirror->mutex);
    return stopping;
}

/* ---- what it is told ---- */

void hf_mirror_wake(struct hf_engine *engine)
{
    struct hf_mirror *mirror = engine->mirror;
    if (!mirror)
        return;
    pthread_mutex_lock(&mirror->mutex);
    mirror->woken = true;
    pthread_cond_signal(&mirror->wake);
    pthread_mutex_unlock(&mirror->mutex);
}

void hf_mirror_forget(struct hf_engine *engine, const char *system, const char *kind, const char *id)
{
    struct hf_mirror *mirror = engine->mirror;
    if (!mirror)
        return;
    struct hf_mirror_forgotten forgotten = {0};
    snprintf(forgotten.system, sizeof(forgotten.system), "%s", system);
    snprintf(forgotten.kind, sizeof(forgotten.kind), "%s", kind);
    snprintf(forgotten.id, sizeof(forgotten.id), "%s", id);
    pthread_mutex_lock(&mirror->mutex);
    add_forgotten(mirror, &forgotten);
    pthread_mutex_unlock(&mirror->mutex);
}

void hf_mirror_forget_system(struct hf_engine *engine, const char *system, const char *mark)
{
    struct hf_mirror *mirror = engine->mirror;
    if (!mirror)
        return;
    struct hf_mirror_forgotten forgotten = {0};
    snprintf(forgotten.system, sizeof(forgotten.system), "%s", system);
    snprintf(forgotten.mark, sizeof(forgotten.mark), "%s", mark);
    uint64_t until_ns = in_ms(SYSTEM_PATIENCE_MS);
    bool in_time = true;
    pthread_mutex_lock(&mirror->mutex);
    add_forgotten(mirror, &forgotten);
    uint64_t ticket = ++mirror->systems_asked;
    while (mirror->systems_done < ticket && mirror->status.up && !mirror->stopping && in_time)
        in_time = hf_cond_wait_until(&mirror->done, &mirror->mutex, until_ns);
    pthread_mutex_unlock(&mirror->mutex);
}

/* With the mutex. A full list drops the oldest, which counts as done. */
static void add_forgotten(struct hf_mirror *mirror, const struct hf_mirror_forgotten *forgotten)
{
    if (mirror->forgotten_count == HF_MIRROR_FORGOTTEN_MAX) {
        mirror->systems_done += mirror->forgotten[mirror->forgotten_first].kind[0] == '\0';
        mirror->forgotten_first = (mirror->forgotten_first + 1) % HF_MIRROR_FORGOTTEN_MAX;
        mirror->forgotten_count--;
    }
    mirror->forgotten[(mirror->forgotten_first + mirror->forgotten_count++) % HF_MIRROR_FORGOTTEN_MAX] = *forgotten;
    mirror->woken = true;
    pthread_cond_signal(&mirror->wake);
}

bool hf_mirror_next_forgotten(struct hf_mirror *mirror, struct hf_mirror_forgotten *out)
{
    pthread_mutex_lock(&mirror->mutex);
    bool some = mirror->forgotten_count > 0;
    if (some) {
        *out = mirror->forgotten[mirror->forgotten_first];
        mirror->forgotten_first = (mirror->forgotten_first + 1) % HF_MIRROR_FORGOTTEN_MAX;
        mirror->forgotten_count--;
    }
    pthread_mutex_unlock(&mirror->mutex);
    return some;
}

void hf_mirror_end_forgotten(struct hf_mirror *mirror, const struct hf_mirror_forgotten *forgotten)
{
    if (forgotten->kind[0])
        return;
    pthread_mutex_lock(&mirror->mutex);
    mirror->systems_done++;
    pthread_cond_broadcast(&mirror->done);
    pthread_mutex_unlock(&mirror->mutex);
}

/* ---- how it is ---- */

void hf_mirror_read_status(struct hf_engine *engine, struct hf_mirror_status *out)
{
    struct hf_mirror *mirror = engine->mirror;
    *out = (struct hf_mirror_status){0};
    if (!mirror)
        return;
    pthread_mutex_lock(&mirror->mutex);
    *out = mirror->status;
    pthread_mutex_unlock(&mirror->mutex);
}

void hf_mirror_set_pending(struct hf_mirror *mirror, int64_t pending)
{
    pthread_mutex_lock(&mirror->mutex);
    mirror->status.pending_files = pending;
    pthread_mutex_unlock(&mirror->mutex);
    hf_metric_set(HF_M_MIRROR_PENDING, (double)pending);
}

void hf_mirror_note_up(struct hf_mirror *mirror)
{
    pthread_mutex_lock(&mirror->mutex);
    mirror->status.up = true;
    mirror->status.last_error[0] = '\0';
    pthread_mutex_unlock(&mirror->mutex);
}

/* Told of once, however often it is tried. */
void hf_mirror_note_away(struct hf_mirror *mirror, const struct hf_error *err)
{
    mirror->swept = false; /* what was being written when it went may lie there */
    mirror->tidied_at_ms = 0;
    pthread_mutex_lock(&mirror->mutex);
    bool tell = !mirror->behind;
    mirror->behind = true;
    mirror->status.up = false;
    snprintf(mirror->status.last_error, sizeof(mirror->status.last_error), "%.255s", err->text);
    int64_t pending = mirror->status.pending_files;
    pthread_cond_broadcast(&mirror->done);
    pthread_mutex_unlock(&mirror->mutex);
    if (!tell) {
        hf_log(HF_LOG_DEBUG, "mirror_still_behind", err->text);
        return;
    }
    HF_AUTO(buf) struct hf_buf data;
    hf_buf_init(&data, 8192);
    hf_buf_add_format(&data, "{\"pendingFiles\":%lld,\"reason\":", (long long)pending);
    hf_buf_add_json_string(&data, err->text, strlen(err->text));
    hf_buf_add_text(&data, "}");
    hf_event_emit(mirror->engine, 0, "", HF_EV_MIRROR_BEHIND, data.data,
                  "the mirror of the snapshot files falls behind; it is tried again every %d s: %s",
                  LOOK_EVERY_MS / 1000, err->text);
}

void hf_mirror_note_even(struct hf_mirror *mirror)
{
    pthread_mutex_lock(&mirror->mutex);
    bool tell = mirror->behind;
    mirror->behind = false;
    mirror->status.up = true;
    mirror->status.last_error[0] = '\0';
    mirror->status.caught_up_at_ms = hf_clock_now_ms();
    pthread_mutex_unlock(&mirror->mutex);
    if (tell)
        hf_event_emit(mirror->engine, 0, "", HF_EV_MIRROR_CAUGHT_UP, NULL,
                      "the mirror has a copy of every snapshot file again");
}

static uint64_t in_ms(int64_t ms)
{
    return hf_clock_monotonic_ns() + (uint64_t)ms * HF_MS_NS;
}
