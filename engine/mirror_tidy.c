/* What has no business in the mirror. Only what provably was deleted goes: an empty database, or the wrong one, knows
 * no system of the name or one that was created at another moment, and then nothing is touched. */
#include "engine/mirror_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"

#include <string.h>

#define HOUR_MS     INT64_C(3600000)
#define GRACE_HOURS 24 /* beyond the retention */

struct tidying {
    struct hf_engine *engine;
    const struct hf_system_info *system;
    const struct hf_mirror_name *names;
    int64_t count;
    int64_t expired_before_ms;
    struct hf_arena arena;
    struct hf_manifest_header *expired; /* owns */
    int64_t expired_count, own, foreign;
};

struct lookup {
    const char *id;
    bool found;
};

static hf_scan_fn judge_file;
static bool remove_expired(struct tidying *tidying, struct hf_error *err);
static hf_name_fn match_name;
static void set_aside(struct tidying *tidying, bool *moved_out);

bool hf_mirror_tidy(struct hf_mirror *mirror, const struct hf_system_info *system, const struct hf_mirror_name *names,
                    int64_t count, bool *moved_out, struct hf_error *err)
{
    struct hf_engine *engine = mirror->engine;
    int64_t hours =
        system->max_retention_hours >= 0 ? system->max_retention_hours : engine->config->max_retention_hours;
    struct tidying tidying = {.engine = engine,
                              .system = system,
                              .names = names,
                              .count = count,
                              .expired_before_ms = hf_clock_now_ms() - (hours + GRACE_HOURS) * HOUR_MS};
    hf_arena_init(&tidying.arena);
    bool ok = hf_repository_scan(engine->mirror_repository, system->name, judge_file, &tidying, err);
    if (!ok && err->code == HF_KEY_MISSING) { /* of an earlier key: nobody can tell what it is */
        hf_log(HF_LOG_DEBUG, "mirror_not_tidied", err->text, HF_LOG_TEXT("system", system->name));
        ok = true;
    } else if (ok) {
        ok = remove_expired(&tidying, err);
        if (ok && tidying.foreign && !tidying.own)
            set_aside(&tidying, moved_out);
    }
    free(tidying.expired);
    hf_arena_done(&tidying.arena);
    return ok;
}

static bool judge_file(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                       const struct hf_error *damage)
{
    (void)file, (void)file_bytes;
    struct tidying *tidying = context;
    for (int64_t i = 0; i < tidying->count; i++) {
        if (tidying->names[i].expected && strcmp(tidying->names[i].id, header->id) == 0) {
            tidying->own++;
            return true;
        }
    }
    if (damage) /* nobody can tell whose it is */
        return true;
    if (header->created_at_ms != tidying->system->created_at_ms) {
        tidying->foreign++;
        return true;
    }
    tidying->own++;
    if (header->cut_at_ms >= tidying->expired_before_ms)
        return true;
    tidying->expired = hf_realloc(tidying->expired, (size_t)(tidying->expired_count + 1) * sizeof(tidying->expired[0]));
    hf_manifest_header_copy(&tidying->arena, header, &tidying->expired[tidying->expired_count++]);
    return true;
}

/* One that is in the primary directories without a row is adopted at the next start: it stays in both. */
static bool remove_expired(struct tidying *tidying, struct hf_error *err)
{
    for (int64_t i = 0; i < tidying->expired_count; i++) {
        const struct hf_manifest_header *header = &tidying->expired[i];
        struct lookup lookup = {.id = header->id};
        int64_t freed;
        if (!hf_repository_list(tidying->engine->repository, tidying->system->name, match_name, &lookup, err))
            return false;
        if (lookup.found)
            continue;
        if (!hf_repository_delete(tidying->engine->mirror_repository, tidying->system->name, header->kind, header->id,
                                  &freed, err))
            return false;
        hf_log(HF_LOG_INFO, "mirror_expired", "a snapshot that was deleted long ago is removed from the mirror too",
               HF_LOG_TEXT("system", tidying->system->name), HF_LOG_TEXT("snapshot", header->id));
    }
    return true;
}

static bool match_name(void *context, const char *kind, const char *id, int64_t file_bytes)
{
    (void)kind, (void)file_bytes;
    struct lookup *lookup = context;
    lookup->found = strcmp(id, lookup->id) == 0;
    return !lookup->found;
}

/* Of an earlier system of the same name, which was deleted when the mirror was away, or which another database knows:
 * they stay for whoever wants them, and this system does not inherit them. */
static void set_aside(struct tidying *tidying, bool *moved_out)
{
    char stamp[HF_TIME_BYTES];
    struct hf_error err;
    hf_time_format_compact(hf_clock_now_ms(), stamp);
    *moved_out = hf_repository_set_aside_system(tidying->engine->mirror_repository, tidying->system->name, stamp, &err);
    hf_log(HF_LOG_WARNING, *moved_out ? "mirror_set_aside" : "mirror_not_set_aside",
           *moved_out ? "the mirror held files of another system of this name; they stay there, in directories that "
                        "begin with .orphaned-"
                      : err.text,
           HF_LOG_TEXT("system", tidying->system->name), HF_LOG_TEXT("stamp", stamp));
}

void hf_mirror_forget_now(struct hf_mirror *mirror)
{
    struct hf_mirror_forgotten forgotten;
    while (hf_mirror_next_forgotten(mirror, &forgotten)) {
        struct hf_error err;
        int64_t freed;
        if (!forgotten.kind[0])
            hf_mirror_end_deletion(mirror->engine, forgotten.system, forgotten.mark, false);
        else if (!hf_repository_delete(mirror->engine->mirror_repository, forgotten.system, forgotten.kind,
                                       forgotten.id, &freed, &err))
            hf_log(HF_LOG_WARNING, "mirror_copy_not_deleted", err.text, HF_LOG_TEXT("system", forgotten.system),
                   HF_LOG_TEXT("snapshot", forgotten.id));
        hf_mirror_end_forgotten(mirror, &forgotten);
    }
}

void hf_mirror_end_deletion(struct hf_engine *engine, const char *system, const char *mark, bool keep)
{
    struct hf_repository *mirror = engine->mirror_repository;
    struct hf_error err;
    if (!mirror)
        return;
    if (hf_mirror_is_there(engine, &err) && hf_repository_deletion_begin(mirror, system, mark, &err) &&
        (keep ? hf_repository_deletion_keep(mirror, system, mark, &err)
              : hf_repository_deletion_finish(mirror, system, mark, &err)))
        return;
    hf_log(HF_LOG_WARNING, "mirror_system_not_deleted", err.text, HF_LOG_TEXT("system", system));
}
