#include "engine/copies.h"
#include "engine/engine.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/behind.h"
#include "engine/drill.h"
#include "engine/event_feed.h"
#include "engine/event_queue.h"
#include "engine/events.h"
#include "engine/load.h"
#include "engine/mirror.h"
#include "engine/rebuild.h"
#include "engine/scheduler.h"
#include "engine/snapshot.h"
#include "engine/storage.h"
#include "engine/tracking.h"
#include "engine/validation.h"
#include "repository/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOCK_FILE "holdfast.lock"

/* Sessions beyond one a worker, one a transfer and two a task (restores read while they plan): the scheduler, the
 * snapshotter, the scrub, the drills, the mirror, the feed of the event streams, and two to spare. */
#define SESSIONS_EXTRA 8

static bool make_directory(const char *path, struct hf_error *err)
{
    HF_AUTO(free) char *copy = hf_strdup(path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) && errno != EEXIST)
            return hf_error_errno(err, errno, "the data directory %s cannot be made", copy);
        *slash = '/';
    }
    if (mkdir(copy, 0700) && errno != EEXIST)
        return hf_error_errno(err, errno, "the data directory %s cannot be made", copy);
    return true;
}

/* One server a directory: the kernel lets go of the lock however the process ends. */
static bool lock_directory(struct hf_engine *engine, struct hf_error *err)
{
    const char *directory = engine->config->data_directory;
    if (!make_directory(directory, err))
        return false;
    HF_AUTO(free) char *path = hf_format("%s/" LOCK_FILE, directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return hf_error_errno(err, errno, "the lock file %s cannot be opened", path);
    char owner[32] = "";
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int reason = errno;
        ssize_t bytes = pread(fd, owner, sizeof owner - 1, 0);
        owner[bytes > 0 ? strcspn(owner, "\n") : 0] = '\0';
        close(fd);
        if (reason != EWOULDBLOCK)
            return hf_error_errno(err, reason, "the lock file %s cannot be locked", path);
        return hf_error_set(err, HF_CONFIG,
                            "another holdfast-server (process %s) uses the data directory %s; stop it, or give this "
                            "one a directory of its own with --data-directory",
                            *owner ? owner : "unknown", directory);
    }
    int length = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, owner, (size_t)length, 0) != length)
        hf_log(HF_LOG_WARNING, "lock_not_signed", "the lock file could not be written; the lock holds all the same");
    engine->directory_lock = fd;
    return true;
}

static bool load(struct hf_engine *engine, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_session_open(&session, engine->store, HF_SESSION_READ, err))
        return false;
    bool ok = hf_catalog_load(engine->catalog, session, err);
    hf_session_close(session);
    return ok;
}

/* Opens and loads; a database that proves damaged only while it is loaded is set aside and rebuilt like one that does
 * not open. */
static bool open_and_load(struct hf_engine *engine, bool *rebuilt_out, struct hf_error *err)
{
    if (!hf_rebuild_open_store(engine, rebuilt_out, err))
        return false;
    for (int attempt = 0;; attempt++) {
        engine->catalog = hf_catalog_new(engine->config->cache_bytes);
        if (load(engine, err))
            return true;
        hf_catalog_free(engine->catalog);
        engine->catalog = NULL;
        if (err->code != HF_DAMAGED || attempt)
            return false;
        if (!hf_rebuild_replace_store(engine, err))
            return false;
        *rebuilt_out = true;
    }
}

static void free_parts(struct hf_engine *engine)
{
    hf_storage_stop(engine->storage);
    hf_driller_stop(engine->driller); /* it judges and records likewise */
    engine->driller = NULL;
    hf_scrubber_stop(engine->scrubber); /* it judges through the snapshotter and the committer */
    engine->scrubber = NULL;
    hf_snapshotter_free(engine->snapshotter); /* its thread writes through the committer */
    hf_mirror_stop(engine->mirror);
    engine->mirror = NULL;
    hf_committer_stop(engine->committer);
    hf_event_feed_stop(engine->feed); /* the committer tells it of events to the last */
    hf_sessions_free(engine->sessions);
    hf_catalog_free(engine->catalog);
    hf_store_close(engine->store);
    hf_repository_close(engine->mirror_repository);
    hf_repository_close(engine->repository);
    hf_keys_free(engine->keys);
    hf_copies_free(engine->copies);
    hf_event_queue_free(engine->events);
    if (engine->directory_lock >= 0)
        close(engine->directory_lock);
    free(engine);
}

static void tell_feed(void *context, const struct hf_event_row *rows, int count)
{
    hf_event_feed_notice(context, rows, count);
}

static bool open_repository(struct hf_engine *engine, struct hf_error *err)
{
    const struct hf_config *config = engine->config;
    if (!hf_keys_load(&engine->keys, config->encryption_key_file, config->signing_key_file, config->trusted_keys_file,
                      err) ||
        !hf_repository_open(&engine->repository, config->backup_directory, config->incremental_directory, err))
        return false;
    hf_repository_use_keys(engine->repository, engine->keys);
    if (!config->require_signatures)
        return true;
    if (!hf_keys_sign(engine->keys)) /* its own snapshots would not be restored */
        return hf_error_set(err, HF_CONFIG,
                            "PERSISTENCE_REQUIRE_SIGNATURES is set, and the service has no key to sign with: set "
                            "PERSISTENCE_SIGNING_KEY_FILE");
    hf_repository_require_signatures(engine->repository);
    return true;
}

static bool start_parts(struct hf_engine *engine, struct hf_error *err)
{
    const struct hf_config *config = engine->config;
    bool rebuilt = false;
    if (!lock_directory(engine, err) || !open_repository(engine, err))
        return false;
    engine->phase = HF_PHASE_RECOVERING;
    if (!hf_mirror_open(engine, err) || !open_and_load(engine, &rebuilt, err))
        return false;
    int64_t sessions = config->workers + 2 * config->tasks + config->transfers + SESSIONS_EXTRA;
    engine->sessions = hf_sessions_new(engine->store, (int)sessions);
    engine->snapshotter = hf_snapshotter_new(engine);
    if (!hf_event_feed_start(&engine->feed, engine, err))
        return false;
    hf_event_queue_on_written(engine->events, tell_feed, engine->feed);
    if (!hf_committer_start(&engine->committer, engine, err) || !hf_tracking_check(engine, err) ||
        !hf_snapshots_adopt(engine, err) || !hf_behind_bring_forward(engine, err) || !hf_mirror_start(engine, err) ||
        !hf_scrubber_start(&engine->scrubber, engine, err) || !hf_driller_start(&engine->driller, engine, err) ||
        !hf_storage_start(&engine->storage, engine, err) || !hf_scheduler_start(&engine->scheduler, engine, err))
        return false;
    hf_event_emit(engine, 0, "", HF_EV_SERVICE_STARTED, NULL, "holdfast " HF_VERSION " started%s",
                  rebuilt ? "; the database was rebuilt from snapshot files" : "");
    return true;
}

bool hf_engine_start(struct hf_engine **out, const struct hf_config *config, struct hf_error *err)
{
    struct hf_engine *engine = hf_alloc(sizeof *engine);
    engine->config = config;
    engine->directory_lock = -1;
    engine->started_at_ms = hf_clock_now_ms();
    engine->events = hf_event_queue_new();
    engine->copies = hf_copies_new(HF_COPIES_ENTRIES_MAX);
    hf_metric_set(HF_M_START_TIME, (double)engine->started_at_ms / 1000);
    if (!start_parts(engine, err)) {
        free_parts(engine);
        return false;
    }
    engine->phase = HF_PHASE_READY;
    *out = engine;
    return true;
}

void hf_engine_end_streams(struct hf_engine *engine)
{
    hf_event_feed_end_all(engine->feed, HF_EV_SERVICE_STOPPING, "holdfast is stopping");
}

static bool take_final_snapshots(struct hf_engine *engine)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    if (hf_fault("shutdown_before_snapshot"))
        return true;
    bool all = true;
    int count;
    struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &arena, &count);
    for (int i = 0; i < count; i++) {
        struct hf_snapshot_request request = {.system = systems[i].name, .full = true, .trigger = "shutdown"};
        struct hf_snapshot_row row;
        struct hf_error err;
        bool unchanged;
        bool ok = hf_snapshot_take(engine, &request, &arena, &row, &unchanged, &err);
        if (ok)
            hf_log(HF_LOG_INFO, "shutdown_snapshot",
                   unchanged ? "Nothing changed since the last snapshot" : "The final snapshot was taken",
                   HF_LOG_TEXT("system", systems[i].name), HF_LOG_TEXT("snapshot", row.id));
        if (ok || err.code == HF_NOT_FOUND) /* deleted meanwhile */
            continue;
        all = false;
        hf_log(HF_LOG_ERROR, "shutdown_snapshot_failed", err.text, HF_LOG_TEXT("system", systems[i].name));
    }
    return all;
}

void hf_engine_break_off(struct hf_engine *engine)
{
    engine->breaking_off = true;
    hf_committer_hurry(engine->committer);
    hf_scrubber_break_off(engine->scrubber);
    hf_driller_break_off(engine->driller);
}

bool hf_engine_stop(struct hf_engine *engine)
{
    if (!engine)
        return true;
    engine->phase = HF_PHASE_STOPPING;
    hf_committer_hurry(engine->committer);
    hf_event_emit(engine, 0, "", HF_EV_SERVICE_STOPPING, NULL, "holdfast is stopping");
    hf_scheduler_stop(engine->scheduler);
    hf_scrubber_stop(engine->scrubber);
    engine->scrubber = NULL;
    hf_driller_stop(engine->driller);
    engine->driller = NULL;
    bool all = take_final_snapshots(engine);
    free_parts(engine);
    return all;
}
