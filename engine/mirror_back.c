/* Bringing files back from the mirror, at start. Of several systems that had one name only one comes back: the one
 * whose files the primary directories hold, else the one of the newest file. */
#include "engine/mirror_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"

#include <string.h>
#include <time.h>

#define IO_TRIES_MAX 3
#define IO_PAUSE_MS  200

/* A sound file in the mirror; texts in the arena. */
struct found {
    const char *system, *kind, *id;
    int64_t created_at_ms, cut_at_ms;
};

struct bringing {
    struct hf_engine *engine;
    struct hf_arena arena;
    struct found *found; /* system by system; owns */
    int64_t count, capacity;
};

/* What the primary directories hold of one system. */
struct primary {
    struct hf_arena *arena;
    const char **ids; /* owns */
    int64_t count;
    int64_t created_at_ms; /* of the newest sound one; -1: there is none */
    int64_t cut_at_ms;
};

static bool scan_mirror(struct bringing *bringing, struct hf_error *err);
static hf_scan_fn add_found;
static bool bring_system(struct bringing *bringing, const struct found *found, int64_t count, struct hf_error *err);
static bool bring_files(struct bringing *bringing, const struct found *found, int64_t count,
                        const struct primary *primary, struct hf_error *err);
static hf_scan_fn add_primary;
static bool copy_back(struct hf_engine *engine, const char *system, const char *kind, const char *id, bool replace,
                      struct hf_error *err);
static void pause_before(int try);

bool hf_mirror_bring_back(struct hf_engine *engine, struct hf_error *err)
{
    struct hf_error away;
    if (!engine->mirror_repository)
        return true;
    if (!hf_mirror_is_there(engine, &away)) {
        hf_log(HF_LOG_WARNING, "mirror_not_asked",
               "the mirror is away: the database is rebuilt from what the backup directories hold",
               HF_LOG_TEXT("reason", away.text));
        return true;
    }
    struct bringing bringing = {.engine = engine};
    hf_arena_init(&bringing.arena);
    bool ok = scan_mirror(&bringing, err);
    for (int64_t first = 0, next; ok && first < bringing.count; first = next) {
        for (next = first + 1; next < bringing.count; next++) {
            if (strcmp(bringing.found[next].system, bringing.found[first].system) != 0)
                break;
        }
        ok = bring_system(&bringing, bringing.found + first, next - first, err);
    }
    free(bringing.found);
    hf_arena_done(&bringing.arena);
    return ok || hf_error_wrap(err, "snapshot files could not be brought back from the mirror");
}

static bool scan_mirror(struct bringing *bringing, struct hf_error *err)
{
    for (int try = 1;; try++) {
        bringing->count = 0;
        if (hf_repository_scan(bringing->engine->mirror_repository, NULL, add_found, bringing, err))
            return true;
        if (err->code != HF_IO)
            return false;
        if (try == IO_TRIES_MAX)
            return hf_error_wrap(err,
                                 "the mirror could not be read in %d attempts (make it readable, or start without "
                                 "it to use what the backup directories hold)",
                                 try);
        pause_before(try);
    }
}

static bool add_found(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                      const struct hf_error *damage)
{
    (void)file_bytes;
    struct bringing *bringing = context;
    if (damage) {
        hf_log(HF_LOG_WARNING, "mirror_file_damaged", damage->text, HF_LOG_TEXT("file", file));
        return true;
    }
    if (bringing->count == bringing->capacity) {
        bringing->capacity = bringing->capacity ? bringing->capacity * 2 : 64;
        bringing->found = hf_realloc(bringing->found, (size_t)bringing->capacity * sizeof(bringing->found[0]));
    }
    bringing->found[bringing->count++] =
        (struct found){.system = hf_arena_strdup(&bringing->arena, header->system),
                       .kind = strcmp(header->kind, "full") == 0 ? "full" : "incremental",
                       .id = hf_arena_strdup(&bringing->arena, header->id),
                       .created_at_ms = header->created_at_ms,
                       .cut_at_ms = header->cut_at_ms};
    return true;
}

static bool bring_system(struct bringing *bringing, const struct found *found, int64_t count, struct hf_error *err)
{
    struct primary primary = {.arena = &bringing->arena, .created_at_ms = -1};
    bool ok = hf_repository_scan(bringing->engine->repository, found[0].system, add_primary, &primary, err);
    for (int64_t i = 0; i < count && primary.ids == NULL; i++) {
        if (found[i].cut_at_ms > primary.cut_at_ms || primary.created_at_ms < 0) {
            primary.cut_at_ms = found[i].cut_at_ms;
            primary.created_at_ms = found[i].created_at_ms;
        }
    }
    ok = ok && bring_files(bringing, found, count, &primary, err);
    free(primary.ids);
    return ok;
}

static bool bring_files(struct bringing *bringing, const struct found *found, int64_t count,
                        const struct primary *primary, struct hf_error *err)
{
    int64_t brought = 0, foreign = 0;
    for (int64_t i = 0; i < count; i++) {
        bool there = false;
        for (int64_t k = 0; k < primary->count && !there; k++)
            there = strcmp(primary->ids[k], found[i].id) == 0;
        /* Where not one file of the primary can be read, all may be its own. */
        bool own = primary->created_at_ms < 0 || found[i].created_at_ms == primary->created_at_ms;
        foreign += !own;
        if (there || !own)
            continue;
        if (copy_back(bringing->engine, found[i].system, found[i].kind, found[i].id, false, err))
            brought++;
        else if (err->code == HF_DAMAGED || err->code == HF_NOT_FOUND || err->code == HF_CONFLICT)
            hf_log(HF_LOG_WARNING, "mirror_file_not_used", err->text, HF_LOG_TEXT("system", found[i].system),
                   HF_LOG_TEXT("snapshot", found[i].id));
        else
            return false;
    }
    if (brought || foreign)
        hf_log(HF_LOG_WARNING, "mirror_brought_back",
               foreign ? "files were copied back from the mirror; those of another system of this name stay there"
                       : "files that only the mirror had were copied back",
               HF_LOG_TEXT("system", found[0].system), HF_LOG_NUMBER("files", brought),
               HF_LOG_NUMBER("foreign", foreign));
    return true;
}

static bool add_primary(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                        const struct hf_error *damage)
{
    (void)file, (void)file_bytes;
    struct primary *primary = context;
    primary->ids = hf_realloc(primary->ids, (size_t)(primary->count + 1) * sizeof(primary->ids[0]));
    primary->ids[primary->count++] = hf_arena_strdup(primary->arena, header->id);
    if (!damage && (primary->created_at_ms < 0 || header->cut_at_ms > primary->cut_at_ms)) {
        primary->created_at_ms = header->created_at_ms;
        primary->cut_at_ms = header->cut_at_ms;
    }
    return true;
}

bool hf_mirror_fetch(struct hf_engine *engine, const char *system, const char *kind, const char *id, bool replace,
                     struct hf_error *err)
{
    struct hf_error away;
    if (!engine->mirror_repository)
        return hf_error_set(err, HF_NOT_FOUND, "there is no mirror");
    if (!hf_mirror_is_there(engine, &away))
        return hf_error_set(err, HF_NOT_FOUND, "%s", away.text);
    return copy_back(engine, system, kind, id, replace, err);
}

static bool copy_back(struct hf_engine *engine, const char *system, const char *kind, const char *id, bool replace,
                      struct hf_error *err)
{
    for (int try = 1;; try++) {
        int64_t bytes;
        if (hf_repository_copy(engine->mirror_repository, engine->repository, system, kind, id, replace, NULL, NULL,
                               &bytes, err))
            return true;
        if (err->code != HF_IO || try == IO_TRIES_MAX)
            return false;
        pause_before(try);
    }
}

static void pause_before(int try)
{
    nanosleep(&(struct timespec){0, (long)(IO_PAUSE_MS * try * (int64_t)HF_MS_NS)}, NULL);
}
