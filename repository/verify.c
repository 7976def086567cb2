/* Reading a snapshot back: its own file in one pass from front to back; of other files what its states need, file by
 * file and in the order of their offsets. */
#include "repository/chain.h"
#include "repository/place.h"
#include "repository/record_reader.h"

#include "core/auto.h"

#include <fcntl.h>
#include <string.h>

struct verifier {
    struct hf_repository *repository;
    struct hf_chain *chain;
    struct hf_snapshot_file *own;
    const struct hf_verify_options *options;
    struct hf_verify_report *report;
    struct hf_record_reader *reader;
    const struct hf_manifest_entry **entries; /* present ones: of the own file first, then by file; by offset */
    size_t count, own_count;
};

static const struct hf_verify_options thorough = {.deep = true};

static bool records_are_sound(struct hf_snapshot_file *file);
static bool check_contents(struct verifier *verifier, struct hf_error *err);
static void sort_entries(struct verifier *verifier);
static int compare_places(const void *a, const void *b);
static bool check_own_records(struct verifier *verifier, struct hf_error *err);
static bool check_own_record(struct verifier *verifier, int64_t offset, const struct hf_format_record *record,
                             size_t *next, struct hf_error *err);
static bool check_other_files(struct verifier *verifier, struct hf_error *err);
static bool check_other_file(struct verifier *verifier, size_t from, size_t to, struct hf_error *err);
static bool open_other(struct verifier *verifier, const char *id, struct hf_snapshot_file **out, struct hf_error *err);
static bool check_entry(const struct hf_snapshot_file *file, const struct hf_manifest_entry *entry,
                        const struct hf_format_record *record, struct hf_error *err);
static void tell(struct verifier *verifier, const struct hf_manifest_entry *entry, const struct hf_blob *blob);

bool hf_repository_verify(struct hf_repository *repository, const char *system, const char *id,
                          const struct hf_verify_options *options, struct hf_verify_report *report_out,
                          struct hf_error *err)
{
    struct hf_verify_report *report = report_out;
    HF_AUTO(snapshot_file) struct hf_snapshot_file *own = NULL;
    struct verifier verifier = {.repository = repository, .options = options ? options : &thorough, .report = report};
    *report = (struct hf_verify_report){0};
    report->structure_ok = hf_snapshot_file_open(&own, repository, system, NULL, id, err);
    if (!report->structure_ok || !hf_snapshot_file_unlock(own, err))
        return false;
    verifier.own = own;
    report->chain_ok = hf_chain_gather(&verifier.chain, repository, system, id, &report->manifest_ok, err);
    report->root_hash_ok = report->chain_ok && hf_chain_check_root(verifier.chain, err);
    report->signature_ok =
        report->root_hash_ok && hf_repository_check_signature(repository, verifier.chain, &report->signature, err);
    report->blobs_ok = report->signature_ok && check_contents(&verifier, err);
    hf_chain_free(verifier.chain);
    return report->blobs_ok;
}

bool hf_repository_check_signature(const struct hf_repository *repository, const struct hf_chain *chain,
                                   int *verdict_out, struct hf_error *err)
{
    const struct hf_manifest_header *header = hf_chain_header(chain);
    enum hf_signature_verdict verdict = hf_keys_verify_root(repository->keys, header);
    *verdict_out = (int)verdict;
    if (verdict == HF_SIGNATURE_BAD)
        return hf_error_set(err, HF_DAMAGED, "snapshot %s/%s: its signature by %s does not fit", header->system,
                            header->id, header->signed_by);
    if (!repository->require_signatures || verdict == HF_SIGNATURE_GOOD)
        return true;
    if (verdict == HF_SIGNATURE_NONE)
        return hf_error_set(err, HF_DAMAGED, "snapshot %s/%s: it is not signed, and signatures are required",
                            header->system, header->id);
    return hf_error_set(err, HF_DAMAGED,
                        "snapshot %s/%s: it is signed by %.16s, a key that is not trusted, and trusted signatures are "
                        "required",
                        header->system, header->id, header->signed_by);
}

bool hf_repository_is_misplaced(const struct hf_repository *repository, const char *system, const char *id,
                                char **owner_out)
{
    HF_AUTO(free) char *name = hf_place_file(system, id);
    for (int root = 0; root < repository->roots_count; root++) {
        HF_AUTO(free) char *path = hf_place_path(repository, root, system, id);
        HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
        HF_AUTO(arena) struct hf_arena arena;
        struct hf_manifest_header header;
        struct hf_error ignored;
        hf_arena_init(&arena);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || !hf_snapshot_file_open_fd(&file, fd, repository->keys, name, &ignored))
            continue;
        const struct hf_format_header *own = &file->header;
        if ((strcmp(own->system, system) == 0 && strcmp(own->id, id) == 0) ||
            !hf_snapshot_file_read_manifest(file, &arena, &header, NULL, NULL, &ignored) || !records_are_sound(file))
            continue;
        *owner_out = hf_format("%s/%s", own->system, own->id);
        return true;
    }
    return false;
}

static bool records_are_sound(struct hf_snapshot_file *file)
{
    HF_AUTO(record_reader) struct hf_record_reader *reader = hf_record_reader_new(NULL, NULL);
    struct hf_format_record record;
    struct hf_blob *blob = NULL;
    struct hf_error ignored;
    int64_t blobs = 0;
    hf_record_reader_use(reader, file, HF_RECORD_READER_AHEAD);
    for (int64_t offset = file->header_bytes; offset < file->footer.manifest_offset; blobs++) {
        if (!hf_record_reader_head(reader, offset, &record, &ignored) ||
            !hf_record_reader_content(reader, offset, &record, &blob, &ignored))
            return false;
        offset += file->record_bytes + record.stored_bytes;
    }
    return blobs == file->footer.blobs;
}

static bool check_contents(struct verifier *verifier, struct hf_error *err)
{
    verifier->reader = hf_record_reader_new(verifier->options->pace, verifier->options->context);
    sort_entries(verifier);
    bool ok = check_own_records(verifier, err) && check_other_files(verifier, err);
    free(verifier->entries);
    hf_record_reader_free(verifier->reader);
    return ok;
}

static void sort_entries(struct verifier *verifier)
{
    int64_t count = hf_chain_count(verifier->chain);
    const struct hf_manifest_entry **entries = hf_alloc((size_t)(count + 1) * sizeof(*entries));
    verifier->entries = entries;
    for (int own = 1; own >= 0; own--) {
        for (int64_t i = 0; i < count; i++) {
            const struct hf_manifest_entry *entry = hf_chain_entry(verifier->chain, i);
            if (hf_manifest_entry_is_present(entry) && own == (strcmp(entry->blob_file, verifier->own->header.id) == 0))
                entries[verifier->count++] = entry;
        }
        if (own)
            verifier->own_count = verifier->count;
    }
    if (verifier->own_count)
        qsort(entries, verifier->own_count, sizeof(*entries), compare_places);
    if (verifier->count > verifier->own_count)
        qsort(entries + verifier->own_count, verifier->count - verifier->own_count, sizeof(*entries), compare_places);
}

static int compare_places(const void *a, const void *b)
{
    const struct hf_manifest_entry *left = *(const struct hf_manifest_entry *const *)a;
    const struct hf_manifest_entry *right = *(const struct hf_manifest_entry *const *)b;
    int order = strcmp(left->blob_file, right->blob_file);
    if (order == 0 && left->blob_offset != right->blob_offset)
        order = left->blob_offset < right->blob_offset ? -1 : 1;
    return order ? order : strcmp(left->component, right->component);
}

/* The blobs of the file itself lie one behind the other from header to manifest, without gaps, and are as many as the
 * footer says. Those that no entry refers to are checked too: later snapshots may. */
static bool check_own_records(struct verifier *verifier, struct hf_error *err)
{
    struct hf_snapshot_file *file = verifier->own;
    int64_t blobs = 0;
    size_t next = 0;
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    hf_record_reader_use(verifier->reader, file, HF_RECORD_READER_AHEAD);
    for (int64_t offset = file->header_bytes; offset < file->footer.manifest_offset; blobs++) {
        struct hf_format_record record;
        if (!hf_record_reader_head(verifier->reader, offset, &record, err) ||
            !check_own_record(verifier, offset, &record, &next, err))
            return false;
        offset += file->record_bytes + record.stored_bytes;
    }
    if (next < verifier->own_count)
        return hf_error_set(err, HF_DAMAGED, "snapshot file %s: no blob starts at offset %lld, where %s has its state",
                            file->name, (long long)verifier->entries[next]->blob_offset,
                            verifier->entries[next]->component);
    if (blobs != file->footer.blobs)
        return hf_error_set(err, HF_DAMAGED, "snapshot file %s has %lld blobs and was written with %lld", file->name,
                            (long long)blobs, (long long)file->footer.blobs);
    return true;
}

/* *next: the first entry that lies at this offset or behind it. The entries come first: a head that is not theirs may
 * ask for any amount of memory. */
static bool check_own_record(struct verifier *verifier, int64_t offset, const struct hf_format_record *record,
                             size_t *next, struct hf_error *err)
{
    struct hf_blob *blob = NULL;
    size_t first = *next;
    for (; *next < verifier->own_count && verifier->entries[*next]->blob_offset <= offset; (*next)++) {
        const struct hf_manifest_entry *entry = verifier->entries[*next];
        if (entry->blob_offset < offset)
            return hf_error_set(err, HF_DAMAGED,
                                "snapshot file %s: no blob starts at offset %lld, where %s has its state",
                                verifier->own->name, (long long)entry->blob_offset, entry->component);
        if (!check_entry(verifier->own, entry, record, err))
            return hf_error_wrap(err, "the state of %s", entry->component);
    }
    if (!hf_record_reader_content(verifier->reader, offset, record, &blob, err)) {
        if (*next > first)
            hf_error_wrap(err, "the state of %s", verifier->entries[first]->component);
        return false;
    }
    verifier->report->blobs++;
    verifier->report->bytes += record->bytes;
    for (size_t i = first; i < *next; i++)
        tell(verifier, verifier->entries[i], blob);
    if (*next == first)
        tell(verifier, NULL, blob);
    return true;
}

static bool check_other_files(struct verifier *verifier, struct hf_error *err)
{
    for (size_t from = verifier->own_count, to; from < verifier->count; from = to) {
        const char *id = verifier->entries[from]->blob_file;
        for (to = from; to < verifier->count && strcmp(verifier->entries[to]->blob_file, id) == 0;)
            to++;
        if (!check_other_file(verifier, from, to, err))
            return false;
    }
    return true;
}

static bool check_other_file(struct verifier *verifier, size_t from, size_t to, struct hf_error *err)
{
    bool deep = verifier->options->deep;
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    struct hf_blob *blob = NULL;
    struct hf_format_record record = {0};
    int64_t offset = -1; /* of the record at hand */
    if (!open_other(verifier, verifier->entries[from]->blob_file, &file, err))
        return hf_error_wrap(err, "the state of %s", verifier->entries[from]->component);
    hf_record_reader_use(verifier->reader, file, deep ? HF_RECORD_READER_AHEAD : HF_RECORD_READER_HEADS);
    for (size_t i = from; i < to; i++) {
        const struct hf_manifest_entry *entry = verifier->entries[i];
        bool same = entry->blob_offset == offset;
        offset = entry->blob_offset;
        if ((!same && !hf_record_reader_head(verifier->reader, offset, &record, err)) ||
            !check_entry(file, entry, &record, err) ||
            (!same && deep && !hf_record_reader_content(verifier->reader, offset, &record, &blob, err)))
            return hf_error_wrap(err, "the state of %s", entry->component);
        if (deep)
            tell(verifier, entry, blob);
        verifier->report->blobs += deep && !same;
        verifier->report->bytes += deep && !same ? record.bytes : 0;
    }
    return true;
}

static bool open_other(struct verifier *verifier, const char *id, struct hf_snapshot_file **out, struct hf_error *err)
{
    const struct hf_format_header *own = &verifier->own->header;
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    if (!hf_snapshot_file_open(&file, verifier->repository, own->system, NULL, id, err)) {
        if (err->code == HF_NOT_FOUND)
            hf_error_set(err, HF_DAMAGED, "it lies in the snapshot file %s/%s, which is missing", own->system, id);
        return false;
    }
    if (strcmp(file->header.generation, own->generation) != 0)
        return hf_error_set(err, HF_DAMAGED, "it lies in %s, which is of another generation", id);
    *out = file;
    file = NULL;
    return true;
}

static bool check_entry(const struct hf_snapshot_file *file, const struct hf_manifest_entry *entry,
                        const struct hf_format_record *record, struct hf_error *err)
{
    if (hf_hash_equal(&record->hash, &entry->hash) && record->bytes == entry->bytes &&
        record->stored_bytes == entry->blob_stored_bytes)
        return true;
    return hf_error_set(err, HF_DAMAGED, "snapshot file %s: the blob at offset %lld is not the one of the manifest",
                        file->name, (long long)entry->blob_offset);
}

static void tell(struct verifier *verifier, const struct hf_manifest_entry *entry, const struct hf_blob *blob)
{
    if (verifier->options->content)
        verifier->options->content(verifier->options->context, entry, blob);
}
