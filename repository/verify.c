#include "repository/chain.h"

#include "core/auto.h"

#include <string.h>

static hf_entry_fn count_entry;
static bool check_structure(struct hf_snapshot_file *file, struct hf_error *err);
static bool check_states(struct hf_chain *chain, struct hf_blob_index *seen, struct hf_verify_report *report,
                         struct hf_error *err);
static bool check_records(struct hf_snapshot_file *file, struct hf_blob_index *seen, struct hf_verify_report *report,
                          struct hf_error *err);
static bool check_content(struct hf_snapshot_file *file, int64_t offset, const struct hf_format_record *record,
                          struct hf_blob_index *seen, struct hf_verify_report *report, struct hf_error *err);
static bool was_seen(const struct hf_blob_index *seen, const struct hf_snapshot_file *file, int64_t offset,
                     const struct hf_format_record *record);

bool hf_repository_verify(struct hf_repository *repository, const char *system, const char *id,
                          const struct hf_verify_options *options, struct hf_verify_report *report_out,
                          struct hf_error *err)
{
    (void)options; /* every way of reading back is as thorough so far */
    struct hf_verify_report *report = report_out;
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    struct hf_chain *chain = NULL;
    struct hf_blob_index *seen = hf_blob_index_new();
    *report = (struct hf_verify_report){0};
    report->structure_ok =
        hf_snapshot_file_open(&file, repository, system, NULL, id, err) && check_structure(file, err);
    report->chain_ok = report->structure_ok && hf_chain_gather(&chain, repository, system, id, err);
    report->root_hash_ok = report->chain_ok && hf_chain_check_root(chain, err);
    report->blobs_ok =
        report->root_hash_ok && check_states(chain, seen, report, err) && check_records(file, seen, report, err);
    bool ok = report->blobs_ok;
    hf_chain_free(chain);
    hf_blob_index_free(seen);
    return ok;
}

static bool check_structure(struct hf_snapshot_file *file, struct hf_error *err)
{
    struct hf_manifest_header header;
    struct hf_arena arena;
    hf_arena_init(&arena);
    bool ok = hf_snapshot_file_read_manifest(file, &arena, &header, count_entry, NULL, err);
    hf_arena_done(&arena);
    return ok;
}

/* The reader has checked the entry already: there is nothing to add. */
static bool count_entry(void *context, const struct hf_manifest_entry *entry, struct hf_error *err)
{
    (void)context, (void)entry, (void)err;
    return true;
}

/* Every state of the system, wherever in the generation it lies; each content once. */
static bool check_states(struct hf_chain *chain, struct hf_blob_index *seen, struct hf_verify_report *report,
                         struct hf_error *err)
{
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        struct hf_snapshot_file *file = NULL;
        struct hf_format_record record;
        if (!hf_manifest_entry_is_present(entry))
            continue;
        if (!hf_chain_find_record(chain, entry, &file, &record, err) ||
            !check_content(file, entry->blob_offset, &record, seen, report, err))
            return hf_error_wrap(err, "the state of %s", entry->component);
    }
    return true;
}

/* The blobs of the file itself lie one behind the other from header to manifest, without gaps, and are as many as the
 * footer says. Those that no entry refers to are checked too: later snapshots may. */
static bool check_records(struct hf_snapshot_file *file, struct hf_blob_index *seen, struct hf_verify_report *report,
                          struct hf_error *err)
{
    int64_t blobs = 0;
    for (int64_t offset = file->header_bytes; offset < file->footer.manifest_offset; blobs++) {
        struct hf_format_record record;
        if (!hf_snapshot_file_read_record(file, offset, &record, err) ||
            !check_content(file, offset, &record, seen, report, err))
            return false;
        offset += HF_FORMAT_RECORD_BYTES + record.stored_bytes;
    }
    if (blobs != file->footer.blobs)
        return hf_error_set(err, HF_DAMAGED, "snapshot file %s has %lld blobs and was written with %lld", file->name,
                            (long long)blobs, (long long)file->footer.blobs);
    return true;
}

static bool check_content(struct hf_snapshot_file *file, int64_t offset, const struct hf_format_record *record,
                          struct hf_blob_index *seen, struct hf_verify_report *report, struct hf_error *err)
{
    if (was_seen(seen, file, offset, record))
        return true;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    if (!hf_snapshot_file_read_content(file, offset, record, &blob, err))
        return false;
    hf_blob_index_add(seen, &record->hash, file->header.id, offset, record->stored_bytes);
    report->blobs++;
    report->bytes += record->bytes;
    return true;
}

static bool was_seen(const struct hf_blob_index *seen, const struct hf_snapshot_file *file, int64_t offset,
                     const struct hf_format_record *record)
{
    struct hf_blob_place place;
    return hf_blob_index_find(seen, &record->hash, &place) && place.offset == offset &&
           place.stored_bytes == record->stored_bytes && strcmp(place.file, file->header.id) == 0;
}
