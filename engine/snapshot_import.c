/* Taking an archive in as a snapshot: read and checked into a temporary file while nothing waits for it, then published
 * like a snapshot that was taken here. A system that is new comes into being only when the archive is good. */
#include "engine/copies.h"
#include "engine/snapshot_private.h"

#include "core/clock.h"
#include "core/fault.h"
#include "core/log.h"
#include "engine/events.h"
#include "engine/mirror.h"
#include "repository/archive.h"
#include "repository/keys.h"

#include <stdatomic.h>
#include <string.h>

#define ID_TRIES_MAX       99
#define MANIFEST_BYTES_MAX (INT64_C(64) << 20)
#define IMPORTS_MAX        2 /* under way; each may hold what a manifest makes */

struct importing {
    struct hf_engine *engine;
    const char *system;
    struct hf_arena *arena;
    struct hf_archive *archive;
    const struct hf_manifest_header *origin; /* what the archive says of itself */
    enum hf_signature_verdict signature;     /* of the origin's */
    struct hf_system_info known;
    bool is_known; /* the system was there when the import began */
    struct hf_manifest_header header;
    struct hf_snapshot_writer *writer;
    uint64_t started_ns;
};

static bool import(struct importing *importing, const struct hf_reader *from, const char *label,
                   struct hf_snapshot_row *out, struct hf_error *err);
static bool check_signature(struct importing *importing, struct hf_error *err);
static void fill_header(struct importing *importing, const char *label);
static bool open_writer(struct importing *importing, struct hf_error *err);
static bool is_free(struct importing *importing, const char *id, bool *free_out, struct hf_error *err);
static bool publish(struct importing *importing, struct hf_snapshot_row *out, struct hf_error *err);
static bool sign(struct importing *importing, struct hf_error *err);
static bool publish_locked(struct importing *importing, struct hf_shelf *shelf, struct hf_snapshot_row *out,
                           struct hf_error *err);
static bool insert_row(struct hf_session *session, void *context, struct hf_error *err);
static void tell(struct importing *importing, const struct hf_snapshot_row *row);

bool hf_snapshot_import(struct hf_engine *engine, const char *system, const struct hf_reader *from, const char *label,
                        struct hf_arena *arena, struct hf_snapshot_row *out, struct hf_error *err)
{
    struct importing importing = {.engine = engine,
                                  .system = system,
                                  .arena = arena,
                                  .started_ns = hf_clock_monotonic_ns()};
    bool ok = false;
    if (atomic_fetch_add(&engine->imports, 1) < IMPORTS_MAX)
        ok = import(&importing, from, label, out, err);
    else
        hf_error_set(err, HF_OVERLOADED, "%d imports are under way; try again when one of them is done", IMPORTS_MAX);
    atomic_fetch_sub(&engine->imports, 1);
    return ok;
}

static bool import(struct importing *importing, const struct hf_reader *from, const char *label,
                   struct hf_snapshot_row *out, struct hf_error *err)
{
    struct hf_engine *engine = importing->engine;
    const struct hf_archive_limits limits = {.archive_bytes_max = engine->config->import_bytes_max,
                                             .state_bytes_max = engine->config->state_bytes_max,
                                             .manifest_bytes_max = MANIFEST_BYTES_MAX};
    importing->is_known = hf_catalog_read_system(engine->catalog, importing->system, &importing->known);
    if (!hf_archive_open(&importing->archive, from, &limits, err))
        return false;
    importing->origin = hf_archive_header(importing->archive);
    fill_header(importing, label);
    bool ok = check_signature(importing, err) && open_writer(importing, err) &&
              hf_archive_read(importing->archive, importing->writer, err) && publish(importing, out, err);
    hf_snapshot_writer_free(importing->writer);
    if (ok)
        tell(importing, out);
    hf_archive_free(importing->archive);
    return ok;
}

/* Whose signature is not known is no reason to refuse, unless the operator says so: the hashes hold. */
static bool check_signature(struct importing *importing, struct hf_error *err)
{
    importing->signature = hf_keys_verify_root(importing->engine->keys, importing->origin);
    if (importing->signature == HF_SIGNATURE_GOOD)
        return true;
    if (importing->signature != HF_SIGNATURE_BAD && !importing->engine->config->require_signatures)
        return true;
    if (importing->signature != HF_SIGNATURE_BAD)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "the archive is %s, and PERSISTENCE_REQUIRE_SIGNATURES refuses such ones",
                            importing->signature == HF_SIGNATURE_NONE ? "not signed"
                                                                      : "signed with a key that is not trusted here");
    return hf_error_set(err, HF_INVALID_REQUEST,
                        "the signature of key %.16s does not fit: the archive is not what was signed as %s of %s",
                        importing->origin->signed_by, importing->origin->id, importing->origin->system);
}

static void fill_header(struct importing *importing, const char *label)
{
    struct hf_manifest_header *header = &importing->header;
    hf_manifest_header_copy(importing->arena, importing->origin, header);
    header->system = importing->system;
    header->kind = "full";
    header->trigger = "import";
    header->parent = "";
    header->deleted = 0;
    if (label)
        header->label = hf_arena_strdup(importing->arena, label);
    header->description = importing->is_known ? hf_arena_strdup(importing->arena, importing->known.description) : "";
    header->backup_interval_ms = importing->is_known ? importing->known.backup_interval_ms : -1;
    header->incremental_interval_ms = importing->is_known ? importing->known.incremental_interval_ms : -1;
    header->max_retention_hours = importing->is_known ? importing->known.max_retention_hours : -1;
}

static bool open_writer(struct importing *importing, struct hf_error *err)
{
    struct hf_manifest_header *header = &importing->header;
    char time[HF_TIME_BYTES];
    hf_time_format_compact(header->cut_at_ms, time);
    for (int try = 1; try <= ID_TRIES_MAX; try++) {
        const char *id =
            try == 1 ? hf_arena_format(importing->arena, "full-%s-%lld", time, (long long)header->sequence)
                     : hf_arena_format(importing->arena, "full-%s-%lld-%d", time, (long long)header->sequence, try);
        bool free_id = true;
        if (importing->is_known && !is_free(importing, id, &free_id, err))
            return false;
        if (!free_id)
            continue;
        header->id = header->generation = id;
        /* Over system and id: of another snapshot it says nothing. */
        if (strcmp(importing->origin->id, id) != 0 || strcmp(importing->origin->system, importing->system) != 0)
            header->signed_by = header->signature = "";
        if (hf_snapshot_writer_new(&importing->writer, importing->engine->repository, header, err))
            return true;
        if (err->code != HF_CONFLICT)
            return false;
    }
    return hf_error_set(err, HF_CONFLICT, "no free name for a snapshot of %s at sequence %lld", importing->system,
                        (long long)header->sequence);
}

static bool is_free(struct importing *importing, const char *id, bool *free_out, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(importing->engine->sessions, &session, err))
        return false;
    struct hf_snapshot_row row;
    bool found = false;
    bool ok = hf_snapshots_get(session, importing->known.id, id, importing->arena, &row, &found, err);
    hf_sessions_give(importing->engine->sessions, session);
    *free_out = !found;
    return ok;
}

static bool publish(struct importing *importing, struct hf_snapshot_row *out, struct hf_error *err)
{
    struct hf_engine *engine = importing->engine;
    if (!importing->is_known && !hf_system_ensure(engine, importing->system, err))
        return false;
    struct hf_shelf *shelf = hf_shelf_get(engine, importing->system, err);
    if (!shelf)
        return false;
    struct hf_system_info now;
    if (!hf_catalog_read_system(engine->catalog, importing->system, &now) || now.id != shelf->system_id ||
        (importing->is_known && now.id != importing->known.id))
        return hf_error_set(err, HF_NOT_FOUND, "system %s was deleted meanwhile", importing->system);
    importing->header.created_at_ms = now.created_at_ms; /* by it the mirror knows whose file it is */
    pthread_mutex_lock(&shelf->taking);
    bool ok = hf_shelf_check_current(engine, shelf, err) && sign(importing, err) &&
              publish_locked(importing, shelf, out, err);
    pthread_mutex_unlock(&shelf->taking);
    return ok;
}

/* As the service signs what it takes itself: who trusts its key trusts what it took in. */
static bool sign(struct importing *importing, struct hf_error *err)
{
    struct hf_manifest_header *header = &importing->header;
    char signed_by[HF_KEY_ID_BYTES], signature[HF_SIGNATURE_BYTES];
    if (!hf_keys_sign(importing->engine->keys))
        return true;
    if (!hf_keys_sign_root(importing->engine->keys, header->system, header->id, &header->root_hash, signed_by,
                           signature, err))
        return false;
    header->signed_by = hf_arena_strdup(importing->arena, signed_by);
    header->signature = hf_arena_strdup(importing->arena, signature);
    return true;
}

static bool publish_locked(struct importing *importing, struct hf_shelf *shelf, struct hf_snapshot_row *out,
                           struct hf_error *err)
{
    struct hf_engine *engine = importing->engine;
    HF_AUTO(free) char *file = NULL;
    int64_t file_bytes = 0;
    if (!hf_snapshot_writer_finish(importing->writer, &importing->header, &file, &file_bytes, err))
        return false;
    struct hf_snapshot_row row = hf_snapshot_row_of_file(
        shelf->system_id, &importing->header, hf_arena_strdup(importing->arena, file), file_bytes, false,
        hf_arena_format(importing->arena, "imported: it was %s%s of system %s",
                        hf_archive_is_salvaged(importing->archive) ? "what damage had left of " : "",
                        importing->origin->id, importing->origin->system));
    row.completed_at_ms = hf_clock_now_ms();
    row.duration_ms = (int64_t)((hf_clock_monotonic_ns() - importing->started_ns) / HF_MS_NS);
    struct hf_call call = {.run = insert_row, .context = &row};
    if (hf_fault("snapshot_before_row") ? !hf_error_set(err, HF_STORE_DOWN, "fault snapshot_before_row")
                                        : !hf_committer_call(engine->committer, &call, err)) {
        shelf->orphaned = true; /* the next snapshot, or the next start, adopts the file */
        return hf_error_wrap(err, "the row of snapshot %s (its file stays and will be adopted)", row.id);
    }
    struct hf_error ignored;
    if (!hf_shelf_load(engine, shelf, NULL, &ignored))
        hf_log(HF_LOG_WARNING, "snapshots_not_counted", ignored.text, HF_LOG_TEXT("system", importing->system));
    hf_snapshot_row_copy(importing->arena, &row, out);
    return true;
}

static bool insert_row(struct hf_session *session, void *context, struct hf_error *err)
{
    return hf_snapshots_insert(session, context, err);
}

static void tell(struct importing *importing, const struct hf_snapshot_row *row)
{
    static const char *const verdicts[] = {[HF_SIGNATURE_NONE] = "not signed",
                                           [HF_SIGNATURE_UNKNOWN] = "signed with a key that is not trusted here",
                                           [HF_SIGNATURE_GOOD] = "signed with a trusted key"};
    struct hf_engine *engine = importing->engine;
    const struct hf_manifest_header *origin = importing->origin;
    hf_copies_changed(engine);
    HF_AUTO(free)
    char *data = hf_format("{\"snapshot\":\"%s\",\"fromSystem\":\"%s\",\"fromSnapshot\":\"%s\",\"fileBytes\":%lld}",
                           row->id, origin->system, origin->id, (long long)row->file_bytes);
    hf_event_emit(engine, row->system_id, importing->system, HF_EV_SNAPSHOT_IMPORTED, data,
                  "snapshot %s was imported: %s of system %s (%s), %lld component%s, %lld bytes", row->id, origin->id,
                  origin->system, verdicts[importing->signature], (long long)row->components,
                  row->components == 1 ? "" : "s", (long long)row->state_bytes);
    hf_mirror_wake(engine);
    if (engine->config->enable_state_validation && !hf_snapshot_queue_validation(engine, importing->system, row->id))
        hf_log(HF_LOG_INFO, "validation_put_off", "the imported snapshot is validated later: too many wait",
               HF_LOG_TEXT("system", importing->system), HF_LOG_TEXT("snapshot", row->id));
}
