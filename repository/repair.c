#include "repository/repair_private.h"

#include "core/log.h"

#include <string.h>
#include <unistd.h>

static void set_target(struct hf_repair_target *out, struct hf_repository *repository, const char *system,
                       const char *kind, const char *id);
static void mend_outline(struct hf_repository *repository, const char *system, const char *kind, const char *id);
static void target_done(struct hf_repair_target *target);
static void keep_old_file(struct hf_repair_target *target);
static bool repair(struct hf_repair_target *target, struct hf_repository *mirror,
                   const struct hf_content_source *source, struct hf_examination *examination, struct hf_arena *arena,
                   struct hf_repair_report *report, struct hf_error *err);
static void list_lost(const struct hf_examination *examination, struct hf_arena *arena,
                      struct hf_repair_report *report);

bool hf_repository_repair(struct hf_repository *repository, struct hf_repository *mirror, const char *system,
                          const char *kind, const char *id, const struct hf_content_source *source,
                          struct hf_arena *arena, struct hf_repair_report *out, struct hf_error *err)
{
    struct hf_repair_target target;
    struct hf_examination examination = {0};
    struct hf_repair_report report = {0};
    if (!hf_place_check_names(system, id, err))
        return false;
    set_target(&target, repository, system, kind, id);
    bool ok = repair(&target, mirror, source, &examination, arena, &report, err);
    hf_examination_done(&examination);
    target_done(&target);
    if (ok && !report.file_lost)
        mend_outline(repository, system, kind, id);
    if (ok)
        *out = report;
    return ok;
}

static void set_target(struct hf_repair_target *out, struct hf_repository *repository, const char *system,
                       const char *kind, const char *id)
{
    *out = (struct hf_repair_target){.repository = repository,
                                     .system = system,
                                     .id = id,
                                     .full = strcmp(kind, "full") == 0,
                                     .root = hf_place_root(repository, kind)};
    out->directory = hf_place_directory(repository, out->root, system);
    out->path = hf_place_path(repository, out->root, system, id);
    out->name = hf_place_file(system, id);
}

/* The snapshot is as it is without it; the next validation tries again. */
static void mend_outline(struct hf_repository *repository, const char *system, const char *kind, const char *id)
{
    struct hf_error err;
    if (!hf_repository_ensure_outline(repository, system, kind, id, &err))
        hf_log(HF_LOG_WARNING, "outline_not_written", err.text, HF_LOG_TEXT("system", system),
               HF_LOG_TEXT("snapshot", id));
}

static void target_done(struct hf_repair_target *target)
{
    free(target->directory);
    free(target->path);
    free(target->name);
    if (target->kept)
        unlink(target->kept);
    free(target->kept);
}

/* It is about to be replaced. Where the file system knows no links it goes without: it is only one source of several.
 */
static void keep_old_file(struct hf_repair_target *target)
{
    char *kept = hf_format("%s/" HF_TEMPORARY_PREFIX "%s-%ld-old", target->directory, target->id, (long)getpid());
    unlink(kept); /* of one with our number that was killed */
    if (link(target->path, kept) == 0)
        target->kept = kept;
    else
        free(kept);
}

static bool repair(struct hf_repair_target *target, struct hf_repository *mirror,
                   const struct hf_content_source *source, struct hf_examination *examination, struct hf_arena *arena,
                   struct hf_repair_report *report, struct hf_error *err)
{
    if (!hf_repair_examine(target, examination, err))
        return false;
    report->bytes_read += examination->bytes_read;
    memcpy(report->what, examination->what, sizeof(report->what));
    if (!examination->usable || examination->foreign) {
        if (!examination->missing && !examination->foreign)
            keep_old_file(target);
        if (!hf_repair_bring_file(target, mirror, examination, &report->file_replaced, report->origin,
                                  &report->bytes_written, err))
            return false;
        if (report->file_replaced) {
            hf_examination_done(examination);
            if (!hf_repair_examine(target, examination, err))
                return false;
            report->bytes_read += examination->bytes_read;
        }
    }
    if (!examination->usable || examination->foreign) {
        bool used = false;
        if (!hf_repair_use_outline(target, examination, &used, err))
            return false;
        report->bytes_read += examination->bytes_read;
    }
    report->file_lost = !examination->usable || examination->foreign;
    if (report->file_lost) {
        report->outcome = HF_REPAIR_DAMAGED;
        return true;
    }
    if (!examination->ends_damaged && examination->damages_count == 0) {
        report->outcome = report->file_replaced ? HF_REPAIR_HEALED : HF_REPAIR_SOUND;
    } else {
        if (!hf_repair_write(target, mirror, examination, source, report, err))
            return false;
        list_lost(examination, arena, report);
        report->outcome = report->lost_count ? HF_REPAIR_DAMAGED : HF_REPAIR_HEALED;
    }
    if (examination->file->is_outline && !report->origin[0])
        snprintf(report->origin, sizeof(report->origin), "its outline");
    if (examination->hopeless)
        report->outcome = HF_REPAIR_DAMAGED;
    return true;
}

static void list_lost(const struct hf_examination *examination, struct hf_arena *arena, struct hf_repair_report *report)
{
    struct hf_lost_content *lost = hf_arena_alloc(arena, (examination->damages_count + 1) * sizeof(*lost));
    for (size_t i = 0; i < examination->damages_count; i++) {
        const struct hf_repair_damage *damage = &examination->damages[i];
        if (!damage->healed)
            lost[report->lost_count++] = (struct hf_lost_content){damage->hash, damage->offset};
    }
    report->lost = lost;
}
