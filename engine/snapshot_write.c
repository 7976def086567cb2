/* Writing a snapshot: contents that the generation does not hold yet, the manifest, then the row. The file is published
 * first; a row without a file would promise what is not there. */
#include "engine/snapshot_private.h"

#include "core/clock.h"
#include "core/fault.h"
#include "engine/mirror.h"
#include "engine/heal.h"
#include "engine/row_of.h"
#include "repository/keys.h"
#include "store/states.h"

#include <string.h>

#define ID_TRIES_MAX 99

struct generation_files {
    struct hf_making *making;
    const char *ids[4096];
    const char *kinds[4096];
    int count;
};

struct row_insert {
    const struct hf_snapshot_row *row;
};

static bool load_index(struct hf_making *making, struct hf_error *err);
static hf_snapshot_row_fn add_generation_file;
static bool open_writer(struct hf_making *making, struct hf_snapshot_writer **out, struct hf_error *err);
static bool make_id(struct hf_making *making, int try, char out[HF_SNAPSHOT_ID_MAX], bool *free_out,
                    struct hf_error *err);
static bool write_entries(struct hf_making *making, struct hf_snapshot_writer *writer, struct hf_error *err);
static bool place_content(struct hf_making *making, struct hf_snapshot_writer *writer, struct hf_cut_entry *cut,
                          struct hf_error *err);
static bool place_older(struct hf_making *making, struct hf_snapshot_writer *writer, struct hf_cut_entry *cut,
                        struct hf_error *err);
static bool place_known(struct hf_making *making, struct hf_manifest_entry *entry);
static bool place_blob(struct hf_making *making, struct hf_snapshot_writer *writer, struct hf_manifest_entry *entry,
                       const struct hf_blob *blob, struct hf_error *err);
static bool read_content(struct hf_making *making, const struct hf_manifest_entry *entry, struct hf_blob **out,
                         struct hf_error *err);
static bool heal_content(struct hf_making *making, const struct hf_manifest_entry *entry, struct hf_blob **out,
                         struct hf_error *err);
static bool sign(struct hf_making *making, struct hf_error *err);
static void note_progress(struct hf_making *making, int64_t done);
static void fill_row(struct hf_making *making, struct hf_snapshot_row *row, const char *file, int64_t file_bytes);
static bool insert_row(struct hf_session *session, void *context, struct hf_error *err);
static void keep_published(struct hf_making *making, const struct hf_snapshot_row *row);

bool hf_snapshot_write(struct hf_making *making, struct hf_snapshot_row *row_out, struct hf_error *err)
{
    struct hf_engine *engine = making->engine;
    struct hf_snapshot_writer *writer = NULL;
    HF_AUTO(free) char *file = NULL;
    int64_t file_bytes = 0;
    /* open_writer first: it gives the snapshot its id, and an anchor its generation. */
    bool ok = open_writer(making, &writer, err) && load_index(making, err) && write_entries(making, writer, err);
    if (ok) {
        hf_lost_describe(making);
        /* Before the slow part, so that the database may clean up behind us. */
        hf_sessions_give(engine->sessions, making->session);
        making->session = NULL;
        ok = sign(making, err) && hf_snapshot_writer_finish(writer, &making->header, &file, &file_bytes, err);
    }
    hf_snapshot_writer_free(writer);
    if (!ok)
        return false;

    struct hf_snapshot_row row;
    fill_row(making, &row, file, file_bytes);
    struct hf_call call = {.run = insert_row, .context = &(struct row_insert){&row}};
    ok = hf_fault("snapshot_before_row") ? hf_error_set(err, HF_STORE_DOWN, "fault snapshot_before_row")
                                         : hf_committer_call(engine->committer, &call, err);
    if (!ok) {
        making->shelf->orphaned = true;
        hf_log(HF_LOG_WARNING, "snapshot_without_row",
               "a snapshot file is complete but the database did not take its row; it stays and is adopted by the next "
               "snapshot or at the next start",
               HF_LOG_TEXT("system", row.file), HF_LOG_TEXT("reason", err->text));
        return hf_error_wrap(err, "the row of snapshot %s (its file stays and will be adopted)", row.id);
    }
    keep_published(making, &row);
    *row_out = row;
    return true;
}

/* Which contents the generation holds. An anchor starts with none. */
static bool load_index(struct hf_making *making, struct hf_error *err)
{
    struct hf_shelf *shelf = making->shelf;
    const struct hf_manifest_header *header = &making->header;
    if (shelf->index && strcmp(shelf->index_generation, header->generation) == 0)
        return true;
    hf_blob_index_free(shelf->index);
    shelf->index = hf_blob_index_new();
    snprintf(shelf->index_generation, sizeof(shelf->index_generation), "%s", header->generation);
    if (making->anchor)
        return true;

    HF_AUTO(free) struct generation_files *files = hf_alloc(sizeof(*files));
    files->making = making;
    if (!hf_snapshots_list(making->session, shelf->system_id, NULL, INT64_MAX, "", INT64_MAX, add_generation_file,
                           files, err))
        return false;
    for (int i = files->count - 1; i >= 0; i--) {
        struct hf_error why;
        if (hf_blob_index_add_file(shelf->index, making->engine->repository, header->system, files->kinds[i],
                                   files->ids[i], &why))
            continue;
        if (why.code != HF_DAMAGED && why.code != HF_NOT_FOUND && why.code != HF_KEY_MISSING) {
            *err = why;
            return false;
        }
        /* What is not referenced is written again: safe, only larger. */
        hf_log(HF_LOG_WARNING, "snapshot_file_not_referenced", why.text, HF_LOG_TEXT("system", header->system),
               HF_LOG_TEXT("snapshot", files->ids[i]));
    }
    return true;
}

static bool add_generation_file(void *context, const struct hf_snapshot_row *row)
{
    struct generation_files *files = context;
    struct hf_making *making = files->making;
    if (strcmp(row->generation, making->header.generation) != 0 || strcmp(row->state, "complete") != 0 ||
        strcmp(row->validation_status, "damaged") == 0)
        return true;
    files->ids[files->count] = hf_arena_strdup(&making->arena, row->id);
    files->kinds[files->count] = strcmp(row->kind, "full") == 0 ? "full" : "incremental";
    files->count++;
    return files->count < (int)(sizeof(files->ids) / sizeof(files->ids[0]));
}

static bool open_writer(struct hf_making *making, struct hf_snapshot_writer **out, struct hf_error *err)
{
    struct hf_manifest_header *header = &making->header;
    for (int try = 1; try <= ID_TRIES_MAX; try++) {
        char id[HF_SNAPSHOT_ID_MAX];
        bool is_free;
        if (!make_id(making, try, id, &is_free, err))
            return false;
        if (!is_free)
            continue;
        header->id = hf_arena_strdup(&making->arena, id);
        if (making->anchor)
            header->generation = header->id;
        if (hf_snapshot_writer_new(out, making->engine->repository, header, err)) {
            note_progress(making, 0);
            return true;
        }
        if (err->code != HF_CONFLICT)
            return false;
    }
    return hf_error_set(err, HF_CONFLICT, "no free name for a snapshot of %s at sequence %lld", header->system,
                        (long long)header->sequence);
}

static bool make_id(struct hf_making *making, int try, char out[HF_SNAPSHOT_ID_MAX], bool *free_out,
                    struct hf_error *err)
{
    const struct hf_manifest_header *header = &making->header;
    char time[HF_TIME_BYTES], tail[32];
    hf_time_format_compact(header->cut_at_ms, time);
    snprintf(tail, sizeof(tail), "-%lld", (long long)header->sequence);
    size_t asked = strlen(making->asked_id), tail_bytes = strlen(tail), kind_bytes = strlen(header->kind);
    /* The announced id, where it is still true. */
    bool as_asked = try == 1 && asked > tail_bytes && strncmp(making->asked_id, header->kind, kind_bytes) == 0 &&
                    strcmp(making->asked_id + asked - tail_bytes, tail) == 0;
    if (as_asked)
        snprintf(out, HF_SNAPSHOT_ID_MAX, "%s", making->asked_id);
    else if (try == 1)
        snprintf(out, HF_SNAPSHOT_ID_MAX, "%s-%s%s", header->kind, time, tail);
    else
        snprintf(out, HF_SNAPSHOT_ID_MAX, "%s-%s%s-%d", header->kind, time, tail, try);

    struct hf_snapshot_row row;
    bool found;
    if (!hf_snapshots_get(making->session, making->shelf->system_id, out, &making->arena, &row, &found, err))
        return false;
    *free_out = !found;
    return true;
}

static bool write_entries(struct hf_making *making, struct hf_snapshot_writer *writer, struct hf_error *err)
{
    for (int64_t i = 0; i < making->entry_count; i++) {
        struct hf_cut_entry *cut = &making->entries[i];
        if (hf_manifest_entry_is_present(&cut->entry) && !place_content(making, writer, cut, err))
            return false;
        if (!hf_snapshot_writer_add_entry(writer, &cut->entry, err))
            return false;
        if (i % 256 == 255)
            note_progress(making, i + 1);
    }
    return true;
}

/* The content is in an earlier file of the generation, or goes into this one. One that is lost must not keep all others
 * from being safe. */
static bool place_content(struct hf_making *making, struct hf_snapshot_writer *writer, struct hf_cut_entry *cut,
                          struct hf_error *err)
{
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    if (place_known(making, &cut->entry))
        return true;
    bool ok = read_content(making, &cut->entry, &blob, err)
                  ? place_blob(making, writer, &cut->entry, blob, err)
                  : err->code == HF_DAMAGED && place_older(making, writer, cut, err);
    return ok ? true : hf_error_wrap(err, "component %s", cut->entry.component);
}

static bool place_older(struct hf_making *making, struct hf_snapshot_writer *writer, struct hf_cut_entry *cut,
                        struct hf_error *err)
{
    struct hf_manifest_entry *entry = &cut->entry;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    if (!hf_lost_replace(making, cut, false, err))
        return false;
    if (!hf_manifest_entry_is_present(entry) || place_known(making, entry))
        return true;
    if (hf_lost_read(making, entry, &blob, err))
        return place_blob(making, writer, entry, blob, err);
    return err->code == HF_DAMAGED && hf_lost_replace(making, cut, true, err);
}

static bool place_known(struct hf_making *making, struct hf_manifest_entry *entry)
{
    struct hf_blob_place place;
    if (!hf_blob_index_find(making->shelf->index, &entry->hash, &place))
        return false;
    entry->blob_file = strcmp(place.file, making->header.id) == 0 ? "" : hf_arena_strdup(&making->arena, place.file);
    entry->blob_offset = place.offset;
    entry->blob_stored_bytes = place.stored_bytes;
    return true;
}

static bool place_blob(struct hf_making *making, struct hf_snapshot_writer *writer, struct hf_manifest_entry *entry,
                       const struct hf_blob *blob, struct hf_error *err)
{
    entry->blob_file = "";
    if (!hf_snapshot_writer_add_blob(writer, &entry->hash, blob->data, blob->bytes, &entry->blob_offset,
                                     &entry->blob_stored_bytes, err))
        return false;
    hf_blob_index_add(making->shelf->index, &entry->hash, making->header.id, entry->blob_offset,
                      entry->blob_stored_bytes);
    return true;
}

static bool read_content(struct hf_making *making, const struct hf_manifest_entry *entry, struct hf_blob **out,
                         struct hf_error *err)
{
    struct hf_state_row row;
    struct hf_state_text text;
    bool ok = hf_states_get(making->session, making->shelf->system_id, entry->sequence, &row, &text, out, err);
    if (ok && *out && hf_hash_equal(&row.hash, &entry->hash))
        return true;
    if (ok) {
        hf_blob_unref(*out);
        *out = NULL;
        hf_error_set(err, HF_DAMAGED, "its row holds another content than was stored");
    }
    if (err->code != HF_DAMAGED && err->code != HF_NOT_FOUND)
        return false;
    return heal_content(making, entry, out, err);
}

/* The database lost the bytes, and perhaps the view they were read in: a new one does as well, because every content is
 * compared with the hash of the cut. */
static bool heal_content(struct hf_making *making, const struct hf_manifest_entry *entry, struct hf_blob **out,
                         struct hf_error *err)
{
    char damage[sizeof(err->text)];
    snprintf(damage, sizeof(damage), "%s", err->text);
    const struct hf_head head = hf_head_of_entry(entry);
    struct hf_state_row expected = hf_state_row_of(&head);
    expected.system_id = making->shelf->system_id;
    expected.epoch = making->header.epoch;
    hf_session_rollback(making->session);
    if (!hf_session_begin(making->session, err))
        return false;
    return hf_heal_state(making->engine, making->header.system, entry->component, &expected, damage, HF_HEAL_THOROUGH,
                         out, err);
}

static bool sign(struct hf_making *making, struct hf_error *err)
{
    struct hf_manifest_header *header = &making->header;
    char signed_by[HF_KEY_ID_BYTES], signature[HF_SIGNATURE_BYTES];
    if (!hf_keys_sign(making->engine->keys))
        return true;
    if (!hf_keys_sign_root(making->engine->keys, header->system, header->id, &header->root_hash, signed_by, signature,
                           err))
        return false;
    header->signed_by = hf_arena_strdup(&making->arena, signed_by);
    header->signature = hf_arena_strdup(&making->arena, signature);
    return true;
}

static void note_progress(struct hf_making *making, int64_t done)
{
    struct hf_snapshot_progress *progress = &making->shelf->progress;
    pthread_mutex_lock(&making->engine->snapshotter->mutex);
    if (!making->asked_id[0])
        snprintf(progress->id, sizeof(progress->id), "%s", making->header.id);
    snprintf(progress->kind, sizeof(progress->kind), "%s", making->header.kind);
    progress->cut_at_ms = making->header.cut_at_ms;
    progress->components_done = done;
    progress->components_total = making->entry_count;
    pthread_mutex_unlock(&making->engine->snapshotter->mutex);
}

static void fill_row(struct hf_making *making, struct hf_snapshot_row *row, const char *file, int64_t file_bytes)
{
    const char *reason = making->request->full ? "" : making->reason;
    if (making->lost_reason)
        reason = hf_arena_format(&making->arena, "%s%s%s", reason, reason[0] ? "; " : "", making->lost_reason);
    *row = hf_snapshot_row_of_file(making->shelf->system_id, &making->header, hf_arena_strdup(&making->arena, file),
                                   file_bytes, false, reason);
    row->completed_at_ms = hf_clock_now_ms();
    row->duration_ms = (int64_t)((hf_clock_monotonic_ns() - making->started_ns) / HF_MS_NS);
}

static bool insert_row(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct row_insert *insert = context;
    return hf_snapshots_insert(session, insert->row, err);
}

/* The snapshot is there: it is what the next one builds on. */
static void keep_published(struct hf_making *making, const struct hf_snapshot_row *row)
{
    struct hf_shelf *shelf = making->shelf;
    hf_view_free(shelf->view);
    shelf->view = making->view;
    making->view = NULL;
    snprintf(shelf->view->id, sizeof(shelf->view->id), "%s", row->id);
    shelf->view->sequence = row->sequence;

    pthread_mutex_lock(&making->engine->snapshotter->mutex);
    hf_kept_row_set(making->full ? &shelf->full : &shelf->incremental, row);
    hf_kept_row_set(&shelf->newest, row);
    shelf->newest.declared = making->declared;
    shelf->last_cut_at_ms = row->cut_at_ms;
    if (making->full)
        shelf->full.declared = making->declared;
    shelf->unvalidated_count++;
    if (!shelf->oldest.has)
        hf_kept_row_set(&shelf->oldest, row);
    if (making->anchor) {
        shelf->anchor_cut_at_ms = row->cut_at_ms;
        shelf->generation_damaged = false;
    }
    hf_catalog_set_held(making->engine->catalog, shelf->system_id, row->sequence, row->cut_at_ms);
    pthread_mutex_unlock(&making->engine->snapshotter->mutex);
    hf_mirror_wake(making->engine);
}
