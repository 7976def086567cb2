#include "engine/rebuild_private.h"

#include "core/clock.h"
#include "core/log.h"
#include "engine/fork.h"
#include "engine/mirror.h"
#include "engine/system_delete.h"
#include "store/journal.h"
#include "store/systems.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DATABASE_FILE "holdfast.db"
#define MARKER_FILE   "holdfast.rebuilding" /* some systems may be back and others not yet */

struct known_systems {
    struct hf_arena *arena;
    const char **names;
    int64_t count, capacity, last_id;
};

static bool open_store(struct hf_engine *engine, bool *created_out, struct hf_error *err);
static bool is_sqlite(const struct hf_engine *engine);
static bool set_aside(struct hf_engine *engine, const char *reason, struct hf_error *err);
static bool rename_aside(const char *path, const char *to, struct hf_error *err);
static bool sync_directory(const char *path, struct hf_error *err);
static bool rebuild_all(struct hf_engine *engine, const char *why, bool created, bool *rebuilt_out,
                        struct hf_error *err);
static bool has_events(struct hf_session *session);
static hf_event_row_fn note_event;
static hf_system_row_fn add_known;
static hf_scan_fn add_file;
static void read_id(struct hf_manifest_header *header);
static int compare_files(const void *a, const void *b);
static bool rebuild_systems(struct hf_rebuild *rebuild, const struct known_systems *known, struct hf_error *err);
static bool rescue_systems(struct hf_rebuild *rebuild, const struct known_systems *known, struct hf_error *err);
static char *read_marker(const struct hf_engine *engine, const char *path);
static bool place_marker(const char *path, const char *aside, struct hf_error *err);

bool hf_rebuild_open_store(struct hf_engine *engine, bool *rebuilt_out, struct hf_error *err)
{
    bool created = false;
    const char *why = "the database was missing";
    *rebuilt_out = false;
    if (!open_store(engine, &created, err)) {
        if (err->code != HF_DAMAGED || !set_aside(engine, err->text, err) || !open_store(engine, &created, err))
            return false;
        created = true;
        why = "the database was damaged";
    }
    if (rebuild_all(engine, why, created, rebuilt_out, err))
        return true;
    hf_store_close(engine->store);
    engine->store = NULL;
    return false;
}

bool hf_rebuild_replace_store(struct hf_engine *engine, struct hf_error *err)
{
    bool created, rebuilt;
    char reason[sizeof(err->text)];
    snprintf(reason, sizeof(reason), "%s", err->text);
    if (is_sqlite(engine)) {
        hf_store_close(engine->store);
        engine->store = NULL;
    }
    if (!set_aside(engine, reason, err) || !open_store(engine, &created, err))
        return false;
    if (rebuild_all(engine, "the database was damaged", true, &rebuilt, err))
        return true;
    hf_store_close(engine->store);
    engine->store = NULL;
    return false;
}

static bool open_store(struct hf_engine *engine, bool *created_out, struct hf_error *err)
{
    const struct hf_config *config = engine->config;
    struct hf_store_options options = {.database_url = config->database_url,
                                       .data_directory = config->data_directory,
                                       .timeout_ms = config->store_timeout_ms,
                                       .claim = true};
    return hf_store_open(&engine->store, &options, created_out, err);
}

static bool is_sqlite(const struct hf_engine *engine)
{
    return engine->config->database_url == NULL;
}

/* The damaged files are evidence, and may hold what no snapshot does: they are kept under a name of their own. */
static bool set_aside(struct hf_engine *engine, const char *reason, struct hf_error *err)
{
    if (!is_sqlite(engine))
        return hf_error_set(
            err, HF_DAMAGED,
            "the PostgreSQL database is damaged (%.200s); it is never replaced automatically: repair or "
            "restore it, or point DATABASE_URL to an empty database, which is then rebuilt from the "
            "snapshot files",
            reason);
    const char *directory = engine->config->data_directory;
    char time[HF_TIME_BYTES], name[128];
    hf_time_format_compact(hf_clock_now_ms(), time);
    for (int try = 1;; try++) {
        snprintf(name, sizeof(name), try == 1 ? DATABASE_FILE ".damaged-%s" : DATABASE_FILE ".damaged-%s-%d", time,
                 try);
        HF_AUTO(free) char *to = hf_format("%s/%s", directory, name);
        if (access(to, F_OK) != 0)
            break;
    }
    /* First of all: a start that is broken off must find what it is to be rescued from. */
    HF_AUTO(free) char *marker = hf_format("%s/" MARKER_FILE, directory);
    if (!place_marker(marker, name, err) || !sync_directory(directory, err))
        return false;
    static const char *const tails[] = {"-wal", "-shm", ""};
    for (int i = 0; i < 3; i++) {
        HF_AUTO(free) char *from = hf_format("%s/" DATABASE_FILE "%s", directory, tails[i]);
        HF_AUTO(free) char *to = hf_format("%s/%s%s", directory, name, tails[i]);
        if (!rename_aside(from, to, err))
            return false;
    }
    hf_log(HF_LOG_ERROR, "database_set_aside", "the database is damaged; its files were renamed and a new one is made",
           HF_LOG_TEXT("reason", reason), HF_LOG_TEXT("kept_as", name));
    return sync_directory(directory, err);
}

static bool rename_aside(const char *path, const char *to, struct hf_error *err)
{
    if (rename(path, to) == 0 || errno == ENOENT)
        return true;
    return hf_error_errno(err, errno, "the damaged database %s cannot be renamed to %s", path, to);
}

static bool sync_directory(const char *path, struct hf_error *err)
{
    HF_AUTO(close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return hf_error_errno(err, errno, "the directory %s cannot be synced", path);
    return true;
}

static bool rebuild_all(struct hf_engine *engine, const char *why, bool created, bool *rebuilt_out,
                        struct hf_error *err)
{
    HF_AUTO(free) char *marker = hf_format("%s/" MARKER_FILE, engine->config->data_directory);
    bool unfinished = access(marker, F_OK) == 0;
    struct hf_rebuild rebuild = {.engine = engine, .why = unfinished && !created ? "a rebuild was interrupted" : why};
    hf_arena_init(&rebuild.arena);
    struct known_systems known = {.arena = &rebuild.arena};
    bool ok = hf_session_open(&rebuild.session, engine->store, HF_SESSION_WRITE, err) &&
              hf_forks_tidy(rebuild.session, err) &&
              hf_deletions_settle(engine, rebuild.session, created || unfinished, err) &&
              hf_systems_list(rebuild.session, add_known, &known, err);
    /* An empty database is rebuilt whether or not it was made just now: the process may have ended in between. */
    HF_AUTO(free) char *aside = read_marker(engine, marker);
    ok = ok && (!aside || hf_rescue_open(&rebuild.rescue, aside, err));
    if (ok && (unfinished || known.count == 0)) {
        bool asked = created || unfinished || !has_events(rebuild.session);
        ok = (!asked || hf_mirror_bring_back(engine, err)) &&
             hf_repository_scan(engine->repository, NULL, add_file, &rebuild, err);
        if (ok && (rebuild.file_count || rebuild.rescue)) {
            ok = (unfinished || place_marker(marker, "", err)) && sync_directory(engine->config->data_directory, err) &&
                 rebuild_systems(&rebuild, &known, err) && rescue_systems(&rebuild, &known, err);
        }
        if (ok && unlink(marker) != 0 && errno != ENOENT)
            ok = hf_error_errno(err, errno, "%s cannot be removed", marker);
    }
    *rebuilt_out = rebuild.rebuilt > 0;
    hf_session_close(rebuild.session);
    hf_rescue_close(rebuild.rescue);
    free(known.names);
    free(rebuild.files);
    hf_arena_done(&rebuild.arena);
    return ok;
}

/* A database that was used once and has no systems any more has had them deleted: the mirror may not know that yet. */
static bool has_events(struct hf_session *session)
{
    struct hf_error ignored;
    bool some = false;
    return hf_events_list(session, 0, NULL, 0, 1, note_event, &some, &ignored) && some;
}

static bool note_event(void *context, const struct hf_event_row *row)
{
    (void)row;
    *(bool *)context = true;
    return false;
}

static bool add_known(void *context, const struct hf_system_row *row)
{
    struct known_systems *known = context;
    if (known->count == known->capacity) {
        known->capacity = known->capacity ? known->capacity * 2 : 16;
        known->names = hf_realloc(known->names, (size_t)known->capacity * sizeof(known->names[0]));
    }
    known->names[known->count++] = hf_arena_strdup(known->arena, row->name);
    if (row->id > known->last_id)
        known->last_id = row->id;
    return true;
}

static bool add_file(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                     const struct hf_error *damage)
{
    struct hf_rebuild *rebuild = context;
    struct hf_arena *arena = &rebuild->arena;
    if (rebuild->file_count == rebuild->file_capacity) {
        rebuild->file_capacity = rebuild->file_capacity ? rebuild->file_capacity * 2 : 64;
        rebuild->files = hf_realloc(rebuild->files, (size_t)rebuild->file_capacity * sizeof(rebuild->files[0]));
    }
    struct hf_rebuild_file *found = &rebuild->files[rebuild->file_count++];
    *found = (struct hf_rebuild_file){.file_bytes = file_bytes};
    hf_manifest_header_copy(arena, header, &found->header);
    found->file = hf_arena_strdup(arena, file);
    if (damage && damage->code == HF_DAMAGED) {
        found->damage = hf_arena_strdup(arena, damage->text);
        read_id(&found->header);
    } else if (damage) { /* not proven: found out, or refused, when the system is rebuilt */
        read_id(&found->header);
    }
    return true;
}

/* "full-20261123T013000Z-90817": what a file's name says when its header cannot. It names only the second: the last
 * moment of it is taken, so that a damaged file is told of before one of the same second is chosen. */
static void read_id(struct hf_manifest_header *header)
{
    const char *time = strchr(header->id, '-');
    const char *sequence = time ? strchr(time + 1, '-') : NULL;
    header->sequence = sequence ? strtoll(sequence + 1, NULL, 10) : 0;
    if (header->sequence < 0 || header->sequence > HF_MANIFEST_NUMBER_MAX)
        header->sequence = 0;
    int year, month, day, hour, minute, second;
    char text[HF_TIME_BYTES];
    if (time && sscanf(time + 1, "%4d%2d%2dT%2d%2d%2dZ", &year, &month, &day, &hour, &minute, &second) == 6) {
        snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", year % 10000, month % 100, day % 100, hour % 100,
                 minute % 100, second % 100);
        header->cut_at_ms = hf_time_parse(text, &header->cut_at_ms) ? header->cut_at_ms + 999 : 0;
    }
}

/* By system, imports behind its own, then newest first. */
static int compare_files(const void *a, const void *b)
{
    const struct hf_rebuild_file *left = a, *right = b;
    int order = strcmp(left->header.system, right->header.system);
    if (order)
        return order;
    if (hf_rebuild_file_is_import(left) != hf_rebuild_file_is_import(right))
        return hf_rebuild_file_is_import(left) ? 1 : -1;
    if (left->header.cut_at_ms != right->header.cut_at_ms)
        return left->header.cut_at_ms > right->header.cut_at_ms ? -1 : 1;
    return left->header.sequence > right->header.sequence   ? -1
           : left->header.sequence < right->header.sequence ? 1
                                                            : strcmp(right->header.id, left->header.id);
}

static bool rebuild_systems(struct hf_rebuild *rebuild, const struct known_systems *known, struct hf_error *err)
{
    hf_log(HF_LOG_WARNING, "rebuild_started", "the database is rebuilt from snapshot files",
           HF_LOG_TEXT("reason", rebuild->why), HF_LOG_NUMBER("files", rebuild->file_count));
    if (rebuild->file_count)
        qsort(rebuild->files, (size_t)rebuild->file_count, sizeof(rebuild->files[0]), compare_files);
    rebuild->last_system_id = known->last_id;
    for (int64_t first = 0, next; first < rebuild->file_count; first = next) {
        const char *system = rebuild->files[first].header.system;
        for (next = first + 1; next < rebuild->file_count; next++) {
            if (strcmp(rebuild->files[next].header.system, system) != 0)
                break;
        }
        int64_t own = first;
        while (own < next && !hf_rebuild_file_is_import(&rebuild->files[own]))
            own++;
        bool there = false;
        for (int64_t i = 0; i < known->count && !there; i++)
            there = strcmp(known->names[i], system) == 0;
        /* With imports alone the system comes back empty, so that they can be restored. */
        if (!there && !hf_rebuild_system(rebuild, rebuild->files + first, (own > first ? own : next) - first, err))
            return hf_error_wrap(err, "the database could not be rebuilt: system %s", system);
    }
    return true;
}

/* What no snapshot file speaks of. */
static bool rescue_systems(struct hf_rebuild *rebuild, const struct known_systems *known, struct hf_error *err)
{
    int64_t count = 0;
    const struct hf_system_row *systems = rebuild->rescue ? hf_rescue_systems(rebuild->rescue, &count) : NULL;
    for (int64_t i = 0; i < count; i++) {
        bool there = false;
        for (int64_t file = 0; file < rebuild->file_count && !there; file++)
            there = strcmp(rebuild->files[file].header.system, systems[i].name) == 0;
        for (int64_t name = 0; name < known->count && !there; name++)
            there = strcmp(known->names[name], systems[i].name) == 0;
        if (!there && !hf_rebuild_rescued_system(rebuild, &systems[i], err))
            return hf_error_wrap(err, "the database could not be rebuilt: system %s", systems[i].name);
    }
    return true;
}

/* The path of the damaged database that it names; NULL: none. */
static char *read_marker(const struct hf_engine *engine, const char *path)
{
    char name[160] = "";
    HF_AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? 0 : read(fd, name, sizeof(name) - 1);
    if (bytes <= 0 || strchr(name, '/'))
        return NULL;
    return hf_format("%s/%s", engine->config->data_directory, name);
}

static bool place_marker(const char *path, const char *aside, struct hf_error *err)
{
    HF_AUTO(close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t bytes = strlen(aside);
    if (fd < 0 || write(fd, aside, bytes) != (ssize_t)bytes || fsync(fd) != 0)
        return hf_error_errno(err, errno, "%s cannot be written", path);
    return true;
}
