/* Bringing rows and files together: at start, and after a snapshot whose row could not be written. Files are the truth
 * about what can be restored; rows tell of them. Nothing is deleted here except temporary files of a crash. */
#include "engine/snapshot_private.h"

#include "core/clock.h"
#include "core/metrics.h"
#include "engine/events.h"
#include "engine/heal.h"
#include "engine/mirror.h"
#include "engine/system_delete.h"

#include <string.h>

#define ADOPTED_TOLD_MAX 3 /* more, as after a rebuild, are told of in one event */

struct found_file {
    struct hf_manifest_header header; /* texts in the arena */
    const char *file;
    int64_t file_bytes;
    bool damaged;
    const char *damage;
};

struct known_row {
    const char *id;
    const char *kind;
    const char *file;
    bool damaged;
    bool has_file;
    bool returned; /* from the mirror */
};

struct matching {
    struct hf_engine *engine;
    bool at_start; /* nobody writes a snapshot meanwhile */
    struct hf_arena arena;
    struct found_file *files; /* by system, then id; owns */
    int64_t file_count, file_capacity;
    const char **orphans; /* systems that have files and no row; owns the array */
    int64_t orphan_count;

    /* of the system under way */
    struct hf_system_info system;
    struct found_file *first; /* its part of files */
    int64_t count;
    struct known_row *rows; /* by id; owns */
    int64_t row_count, row_capacity;
    int64_t adopted, lost;
};

struct pending_queue {
    struct hf_engine *engine;
    const char *system;
    bool newest_too;
};

static void tell_leftover(void *context, const char *path, int64_t bytes);
static hf_scan_fn add_file;
static void add_orphan(struct matching *matching, const char *system);
static void set_orphans_aside(const struct matching *matching);
static bool match_system(struct matching *matching, struct hf_error *err);
static hf_snapshot_row_fn add_row;
static void ask_mirror(struct matching *matching);
static bool fetch(struct matching *matching, struct known_row *row, const char *what, bool replace);
static bool make_again(struct matching *matching, struct known_row *row);
static hf_outline_fn remove_orphaned_outline;
static bool apply_matching(struct hf_session *session, void *context, struct hf_error *err);
static bool adopt_file(struct hf_session *session, struct matching *matching, const struct found_file *file,
                       struct hf_error *err);
static void tell_matching(struct matching *matching);
static hf_snapshot_row_fn queue_pending;
static bool requires_parts(struct hf_engine *engine, int64_t system_id);
static bool load_shelf(struct hf_engine *engine, const char *system, struct hf_error *err);

bool hf_snapshots_adopt(struct hf_engine *engine, struct hf_error *err)
{
    if (!hf_repository_sweep(engine->repository, tell_leftover, engine, err))
        return hf_error_wrap(err, "removing temporary snapshot files");
    hf_deletions_finish(engine);
    return hf_snapshots_match_files(engine, NULL, err);
}

bool hf_snapshots_match_files(struct hf_engine *engine, const char *system_or_null, struct hf_error *err)
{
    struct matching matching = {.engine = engine, .at_start = !system_or_null};
    hf_arena_init(&matching.arena);
    bool ok = hf_repository_scan(engine->repository, system_or_null, add_file, &matching, err);
    int system_count = 0;
    struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &matching.arena, &system_count);
    int64_t next = 0;
    for (int i = 0; ok && i < system_count; i++) {
        if (system_or_null && strcmp(systems[i].name, system_or_null) != 0)
            continue;
        while (next < matching.file_count && strcmp(matching.files[next].header.system, systems[i].name) < 0)
            next++;
        matching.system = systems[i];
        matching.first = matching.files + next;
        matching.count = 0;
        while (next < matching.file_count && strcmp(matching.files[next].header.system, systems[i].name) == 0) {
            matching.count++;
            next++;
        }
        ok = match_system(&matching, err) && load_shelf(engine, systems[i].name, err);
        if (ok && !system_or_null)
            hf_snapshots_validate_pending(engine, systems[i].name, requires_parts(engine, systems[i].id));
    }
    if (ok && !system_or_null)
        set_orphans_aside(&matching);
    free(matching.orphans);
    free(matching.files);
    free(matching.rows);
    hf_arena_done(&matching.arena);
    return ok;
}

static void tell_leftover(void *context, const char *path, int64_t bytes)
{
    hf_event_emit(context, 0, "", HF_EV_LEFTOVER_REMOVED, NULL,
                  "removing %s (%lld bytes): a snapshot that was not finished when the service ended", path,
                  (long long)bytes);
}

static bool add_file(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                     const struct hf_error *damage)
{
    struct matching *matching = context;
    struct hf_arena *arena = &matching->arena;
    struct hf_system_info known;
    if (!hf_catalog_read_system(matching->engine->catalog, header->system, &known)) {
        add_orphan(matching, header->system);
        return true;
    }
    if (damage && damage->code != HF_DAMAGED) { /* no verdict: what the row says stays */
        hf_log(HF_LOG_WARNING, "snapshot_file_unreadable", damage->text, HF_LOG_TEXT("file", file));
    }
    if (matching->file_count == matching->file_capacity) {
        matching->file_capacity = matching->file_capacity ? matching->file_capacity * 2 : 64;
        matching->files = hf_realloc(matching->files, (size_t)matching->file_capacity * sizeof(matching->files[0]));
    }
    struct found_file *found = &matching->files[matching->file_count++];
    *found = (struct found_file){.file_bytes = file_bytes, .damaged = damage != NULL};
    hf_manifest_header_copy(arena, header, &found->header);
    found->file = hf_arena_strdup(arena, file);
    found->damage = damage && damage->code == HF_DAMAGED ? hf_arena_strdup(arena, damage->text) : NULL;
    return true;
}

/* Files come system by system. */
static void add_orphan(struct matching *matching, const char *system)
{
    int64_t count = matching->orphan_count;
    if (count && strcmp(matching->orphans[count - 1], system) == 0)
        return;
    matching->orphans = hf_realloc(matching->orphans, (size_t)(count + 1) * sizeof(matching->orphans[0]));
    matching->orphans[matching->orphan_count++] = hf_arena_strdup(&matching->arena, system);
}

/* The rows are the truth: a crash while a system was deleted leaves its files. A new system of the same name would
 * build on them, and its snapshots would bring the deleted states back. */
static void set_orphans_aside(const struct matching *matching)
{
    char stamp[HF_TIME_BYTES];
    hf_time_format_compact(hf_clock_now_ms(), stamp);
    for (int64_t i = 0; i < matching->orphan_count; i++) {
        struct hf_error err;
        const char *system = matching->orphans[i];
        if (hf_repository_set_aside_system(matching->engine->repository, system, stamp, &err))
            hf_log(HF_LOG_WARNING, "snapshots_set_aside",
                   "the database does not know this system; its snapshot files stay, in directories that begin with "
                   ".orphaned-",
                   HF_LOG_TEXT("system", system), HF_LOG_TEXT("stamp", stamp));
        else
            hf_log(HF_LOG_WARNING, "snapshots_not_set_aside", err.text, HF_LOG_TEXT("system", system));
    }
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct known_row *)a)->id, ((const struct known_row *)b)->id);
}

static struct known_row *find_known(struct matching *matching, const char *id)
{
    struct known_row key = {.id = id};
    return matching->row_count ? bsearch(&key, matching->rows, (size_t)matching->row_count, sizeof(key), compare_rows)
                               : NULL;
}

static bool match_system(struct matching *matching, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(matching->engine->sessions, &session, err))
        return false;
    matching->row_count = 0;
    bool ok = hf_snapshots_list(session, matching->system.id, NULL, INT64_MAX, "", INT64_MAX, add_row, matching, err);
    hf_sessions_give(matching->engine->sessions, session);
    if (!ok)
        return false;
    if (matching->row_count > 1)
        qsort(matching->rows, (size_t)matching->row_count, sizeof(matching->rows[0]), compare_rows);

    matching->adopted = matching->lost = 0;
    ask_mirror(matching);
    if (matching->at_start && !hf_repository_list_outlines(matching->engine->repository, matching->system.name,
                                                           remove_orphaned_outline, matching, err))
        return false;
    for (int64_t i = 0; i < matching->count; i++) {
        struct known_row *row = find_known(matching, matching->first[i].header.id);
        if (!row) {
            /* One that cannot be read now is taken up when it can be. */
            matching->adopted += !matching->first[i].damaged || matching->first[i].damage;
            continue;
        }
        row->has_file = true;
        matching->lost += matching->first[i].damage && !row->damaged;
    }
    for (int64_t i = 0; i < matching->row_count; i++)
        matching->lost += matching->rows[i].returned || (!matching->rows[i].has_file && !matching->rows[i].damaged);
    if (!matching->adopted && !matching->lost)
        return true;
    struct hf_call call = {.run = apply_matching, .context = matching};
    if (!hf_committer_call(matching->engine->committer, &call, err))
        return false;
    tell_matching(matching);
    return true;
}

static bool add_row(void *context, const struct hf_snapshot_row *row)
{
    struct matching *matching = context;
    if (strcmp(row->state, "failed") == 0)
        return true;
    if (matching->row_count == matching->row_capacity) {
        matching->row_capacity = matching->row_capacity ? matching->row_capacity * 2 : 64;
        matching->rows = hf_realloc(matching->rows, (size_t)matching->row_capacity * sizeof(matching->rows[0]));
    }
    matching->rows[matching->row_count++] = (struct known_row){
        .id = hf_arena_strdup(&matching->arena, row->id),
        .kind = strcmp(row->kind, "full") == 0 ? "full" : "incremental",
        .file = hf_arena_strdup(&matching->arena, row->file),
        .damaged = strcmp(row->state, "damaged") == 0,
    };
    return true;
}

/* What is missing or damaged here may be whole there. */
static void ask_mirror(struct matching *matching)
{
    for (int64_t i = 0; i < matching->count; i++) {
        struct found_file *file = &matching->first[i];
        struct known_row *row = find_known(matching, file->header.id);
        if (!row)
            continue;
        row->has_file = true;
        if (file->damage && fetch(matching, row, file->damage, true)) {
            file->damage = NULL;
            file->damaged = false;
        }
    }
    for (int64_t i = 0; i < matching->row_count; i++) {
        struct known_row *row = &matching->rows[i];
        row->has_file = row->has_file || fetch(matching, row, "it was missing", false) || make_again(matching, row);
    }
}

/* From its outline and the contents that lie elsewhere, or from under another name. */
static bool make_again(struct matching *matching, struct known_row *row)
{
    struct hf_engine *engine = matching->engine;
    struct hf_heal_primary primary = {.engine = engine, .system = matching->system.name};
    const struct hf_content_source source = hf_heal_source(&primary);
    struct hf_repair_report report = {0};
    struct hf_error err;
    if (row->damaged)
        return false;
    if (!hf_repository_repair(engine->repository, engine->mirror_repository, matching->system.name, row->kind, row->id,
                              &source, &matching->arena, &report, &err)) {
        hf_log(HF_LOG_WARNING, "snapshot_not_made_again", err.text, HF_LOG_TEXT("system", matching->system.name),
               HF_LOG_TEXT("snapshot", row->id));
        return false;
    }
    if (report.outcome == HF_REPAIR_DAMAGED)
        return false;
    row->returned = true;
    hf_metric_add_labelled(HF_M_HEALED, "file", 1);
    hf_event_emit(engine, matching->system.id, matching->system.name, HF_EV_SNAPSHOT_HEALED, NULL,
                  "the file of snapshot %s was missing and is there again: %lld contents and what is left of it came "
                  "from %s",
                  row->id, (long long)report.contents_healed, report.origin[0] ? report.origin : "its outline");
    return true;
}

/* Of a snapshot that a crash kept from being published, or whose deletion it kept from being finished. */
static void remove_orphaned_outline(void *context, const char *kind, const char *id)
{
    struct matching *matching = context;
    struct hf_error err;
    bool has_file = false;
    for (int64_t i = 0; i < matching->count && !has_file; i++)
        has_file = strcmp(matching->first[i].header.id, id) == 0;
    if (has_file || find_known(matching, id))
        return;
    if (hf_repository_delete_outline(matching->engine->repository, matching->system.name, kind, id, &err))
        hf_log(HF_LOG_INFO, "outline_removed", "its snapshot is gone", HF_LOG_TEXT("system", matching->system.name),
               HF_LOG_TEXT("snapshot", id));
    else
        hf_log(HF_LOG_WARNING, "outline_not_removed", err.text, HF_LOG_TEXT("system", matching->system.name),
               HF_LOG_TEXT("snapshot", id));
}

static bool fetch(struct matching *matching, struct known_row *row, const char *what, bool replace)
{
    struct hf_engine *engine = matching->engine;
    struct hf_error err;
    if (!hf_mirror_fetch(engine, matching->system.name, row->kind, row->id, replace, &err)) {
        if (err.code != HF_NOT_FOUND)
            hf_log(HF_LOG_WARNING, "mirror_file_not_used", err.text, HF_LOG_TEXT("system", matching->system.name),
                   HF_LOG_TEXT("snapshot", row->id));
        return false;
    }
    row->returned = true;
    hf_metric_add_labelled(HF_M_HEALED, "file", 1);
    hf_event_emit(engine, matching->system.id, matching->system.name, HF_EV_SNAPSHOT_HEALED, NULL,
                  "the file of snapshot %s was copied back from the mirror: %s", row->id, what);
    return true;
}

static bool apply_matching(struct hf_session *session, void *context, struct hf_error *err)
{
    struct matching *matching = context;
    int64_t now_ms = hf_clock_now_ms();
    for (int64_t i = 0; i < matching->count; i++) {
        const struct found_file *file = &matching->first[i];
        const struct known_row *row = find_known(matching, file->header.id);
        if (!row && (!file->damaged || file->damage) && !adopt_file(session, matching, file, err))
            return false;
        if (row && file->damage && !row->damaged &&
            !hf_snapshots_set_state(session, matching->system.id, row->id, "damaged", "damaged", now_ms, -1, err))
            return false;
    }
    for (int64_t i = 0; i < matching->row_count; i++) {
        const struct known_row *row = &matching->rows[i];
        if (row->returned &&
            !hf_snapshots_set_state(session, matching->system.id, row->id, "complete", "pending", 0, -1, err))
            return false;
        if (!row->has_file && !row->damaged &&
            !hf_snapshots_set_state(session, matching->system.id, row->id, "damaged", "damaged", now_ms, -1, err))
            return false;
    }
    return true;
}

struct hf_snapshot_row hf_snapshot_row_of_file(int64_t system_id, const struct hf_manifest_header *header,
                                               const char *file, int64_t file_bytes, bool damaged, const char *reason)
{
    bool import = strcmp(header->trigger, "import") == 0; /* kept from when it came, however old it is */
    struct hf_snapshot_row row = {
        .system_id = system_id,
        .id = header->id,
        .kind = header->kind,
        .trigger = header->trigger,
        .label = header->label,
        .reason = reason,
        .generation = header->generation[0] ? header->generation : header->id,
        .parent = header->parent,
        .sequence = header->sequence,
        .epoch = header->epoch,
        .root_hash = header->root_hash,
        .components = header->components,
        .changed = header->changed,
        .deleted = header->deleted,
        .state_bytes = header->state_bytes,
        .file_bytes = file_bytes,
        .file = file,
        .cut_at_ms = header->cut_at_ms,
        .completed_at_ms = import ? hf_clock_now_ms() : header->cut_at_ms,
        .state = "complete",
        .validation_status = "pending",
        .quality_score = -1,
    };
    if (damaged) { /* its header cannot be trusted: dated today, so that it is not deleted unseen */
        row.cut_at_ms = row.completed_at_ms = row.validated_at_ms = hf_clock_now_ms();
        row.trigger = "schedule";
        row.state = row.validation_status = "damaged"; /* not scored: a validation finds out what is lost */
    }
    return row;
}

static bool adopt_file(struct hf_session *session, struct matching *matching, const struct found_file *file,
                       struct hf_error *err)
{
    struct hf_snapshot_row row =
        hf_snapshot_row_of_file(matching->system.id, &file->header, file->file, file->file_bytes, file->damaged,
                                "found as a file without a row");
    return hf_snapshots_insert(session, &row, err);
}

static void tell_matching(struct matching *matching)
{
    struct hf_engine *engine = matching->engine;
    if (matching->adopted > ADOPTED_TOLD_MAX)
        hf_event_emit(engine, matching->system.id, matching->system.name, HF_EV_SNAPSHOT_ADOPTED, NULL,
                      "%lld snapshot files had no row in the database and have one now", (long long)matching->adopted);
    for (int64_t i = 0; i < matching->count; i++) {
        const struct found_file *file = &matching->first[i];
        const struct known_row *row = find_known(matching, file->header.id);
        if (!row && !file->damaged && matching->adopted <= ADOPTED_TOLD_MAX)
            hf_event_emit(engine, matching->system.id, matching->system.name, HF_EV_SNAPSHOT_ADOPTED, NULL,
                          "snapshot file %s had no row in the database and has one now", file->file);
        if (file->damage && (!row || !row->damaged))
            hf_event_emit(engine, matching->system.id, matching->system.name, HF_EV_SNAPSHOT_DAMAGED, NULL,
                          "snapshot file %s is damaged and will not be restored: %s", file->file, file->damage);
    }
    for (int64_t i = 0; i < matching->row_count; i++) {
        const struct known_row *row = &matching->rows[i];
        if (!row->has_file && !row->damaged)
            hf_event_emit(engine, matching->system.id, matching->system.name, HF_EV_SNAPSHOT_DAMAGED, NULL,
                          "the file %s of snapshot %s is missing", row->file, row->id);
    }
}

void hf_snapshots_validate_pending(struct hf_engine *engine, const char *system, bool newest_too)
{
    struct hf_system_info info;
    struct hf_session *session;
    struct hf_error err;
    if (!engine->config->enable_state_validation || !hf_catalog_read_system(engine->catalog, system, &info))
        return;
    struct pending_queue queue = {.engine = engine, .system = system, .newest_too = newest_too};
    bool ok = hf_sessions_take(engine->sessions, &session, &err);
    if (ok) {
        ok = hf_snapshots_list(session, info.id, NULL, INT64_MAX, "", INT64_MAX, queue_pending, &queue, &err);
        hf_sessions_give(engine->sessions, session);
    }
    if (!ok)
        hf_log(HF_LOG_WARNING, "validations_not_queued", err.text, HF_LOG_TEXT("system", system));
}

/* Newest first, as far as the queue takes them. */
static bool queue_pending(void *context, const struct hf_snapshot_row *row)
{
    struct pending_queue *queue = context;
    if (strcmp(row->state, "damaged") == 0)
        return row->quality_score >= 0 || hf_snapshot_queue_validation(queue->engine, queue->system, row->id);
    if (strcmp(row->state, "complete") != 0)
        return true;
    bool wanted = queue->newest_too || strcmp(row->validation_status, "pending") == 0;
    queue->newest_too = false;
    return !wanted || hf_snapshot_queue_validation(queue->engine, queue->system, row->id);
}

/* Does any component's health depend on what is in its state? That verdict is not kept over a restart. */
static bool requires_parts(struct hf_engine *engine, int64_t system_id)
{
    bool some = false;
    hf_catalog_lock(engine->catalog);
    const struct hf_system *system = hf_catalog_system_by_id_locked(engine->catalog, system_id);
    for (uint32_t i = 0; system && i < system->by_name_count && !some; i++) {
        const struct hf_registration *registration = system->by_name[i]->registration;
        some = registration && strcmp(registration->required_pointers_json, "[]") != 0;
    }
    hf_catalog_unlock(engine->catalog);
    return some;
}

static bool load_shelf(struct hf_engine *engine, const char *system, struct hf_error *err)
{
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    return shelf && hf_shelf_load(engine, shelf, NULL, err);
}
