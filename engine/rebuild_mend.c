/* What is damaged is mended before an older snapshot is chosen: from the mirror, and from other files of the system. */
#include "engine/rebuild_private.h"

#include "core/log.h"
#include "core/metrics.h"
#include "engine/events.h"
#include "repository/repair.h"

#include <string.h>

struct reading {
    struct hf_rebuild *rebuild;
    struct hf_rebuild_file *file;
};

static bool mend_file(struct hf_rebuild *rebuild, struct hf_rebuild_file *file, int64_t system_id);
static bool read_again(struct hf_rebuild *rebuild, struct hf_rebuild_file *file, struct hf_error *err);
static hf_scan_fn read_file;

bool hf_rebuild_mend(struct hf_rebuild *rebuild, struct hf_rebuild_file *files, int64_t count, int64_t index,
                     int64_t system_id)
{
    bool mended = mend_file(rebuild, &files[index], system_id);
    const char *generation = files[index].header.generation;
    if (files[index].damage || !generation[0])
        return mended;
    /* The fault may be in any that it builds on; one whose header cannot be read may be of its generation. */
    for (int64_t i = index + 1; i < count; i++) {
        const char *other = files[i].header.generation;
        if (!other[0] || strcmp(other, generation) == 0)
            mended |= mend_file(rebuild, &files[i], system_id);
    }
    return mended;
}

/* Once each. True when something of it is better than it was. */
static bool mend_file(struct hf_rebuild *rebuild, struct hf_rebuild_file *file, int64_t system_id)
{
    struct hf_engine *engine = rebuild->engine;
    const struct hf_manifest_header *header = &file->header;
    struct hf_repair_report report = {0};
    struct hf_error err;
    if (file->mended)
        return false;
    file->mended = true;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    if (!hf_repository_repair(engine->repository, engine->mirror_repository, header->system, header->kind, header->id,
                              NULL, &arena, &report, &err)) {
        hf_log(HF_LOG_WARNING, "rebuild_not_mended", err.text, HF_LOG_TEXT("system", header->system),
               HF_LOG_TEXT("snapshot", header->id));
        return false;
    }
    if (report.outcome != HF_REPAIR_HEALED && !report.contents_healed)
        return false;
    if (!read_again(rebuild, file, &err)) {
        hf_log(HF_LOG_WARNING, "rebuild_not_mended", err.text, HF_LOG_TEXT("system", header->system),
               HF_LOG_TEXT("snapshot", header->id));
        return false;
    }
    hf_metric_add_labelled(HF_M_HEALED, report.file_replaced ? "file" : "content", 1);
    hf_event_emit(engine, system_id, header->system, HF_EV_SNAPSHOT_HEALED, NULL,
                  "snapshot %s was mended before the database was rebuilt from it: %s; the good copy came from %s",
                  header->id, report.what, report.origin);
    return true;
}

/* What it says now that it can be read. */
static bool read_again(struct hf_rebuild *rebuild, struct hf_rebuild_file *file, struct hf_error *err)
{
    struct reading reading = {rebuild, file};
    const char *system = file->header.system;
    return hf_repository_scan(rebuild->engine->repository, system, read_file, &reading, err);
}

static bool read_file(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                      const struct hf_error *damage)
{
    (void)file;
    struct reading *reading = context;
    struct hf_rebuild_file *known = reading->file;
    if (strcmp(header->id, known->header.id) != 0)
        return true;
    struct hf_arena *arena = &reading->rebuild->arena;
    known->file_bytes = file_bytes;
    known->damage = damage ? hf_arena_strdup(arena, damage->text) : NULL;
    if (!damage)
        hf_manifest_header_copy(arena, header, &known->header);
    return false;
}
