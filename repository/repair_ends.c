/* Header, footer and manifest vouch for one another: of a file that has lost one of them, the others make it again.
 * Nothing is taken for right that has no proof: the footer's hash of the header, the checksums of the manifest's frames
 * (or the root hash over the entries), the tag of an encrypted manifest. */
#include "repository/chain.h"
#include "repository/repair_private.h"

#include <stdarg.h>
#include <string.h>

#define SCAN_BYTES ((size_t)1 << 20)

static const unsigned char frame_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
static const unsigned char record_magic[4] = {'H', 'F', 'B', '1'};
static const unsigned char footer_magic[8] = {'H', 'F', 'S', 'N', 'E', 'N', 'D', '\n'};

struct ends {
    const struct hf_repair_target *target;
    struct hf_snapshot_file *file;
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX];
    size_t head_bytes; /* read */
    bool header_sound, footer_sound;
    bool proven;        /* the manifest's frames have checksums */
    struct hf_buf line; /* the manifest's first */
    char *what;
};

/* The entries as they come, and the root hash over them; of an incremental, laid over what it builds on. */
struct collecting {
    struct hf_snapshot_file *file;
    struct hf_repair_claims *claims;
    struct hf_hasher *root; /* NULL: other things prove the manifest */
    struct hf_chain *base;  /* NULL: a full */
    int64_t base_next;
};

/* Tries a place that looks right; true with *found_out when it was. */
typedef bool try_fn(struct ends *ends, int64_t offset, bool *found_out, struct hf_error *err);

static hf_entry_fn collect_entry;
static try_fn try_footer, try_manifest;
static bool read_header(struct ends *ends, struct hf_error *err);
static bool read_footer(struct ends *ends, struct hf_error *err);
static bool is_header_of_footer(const struct ends *ends);
static bool mend_header(struct ends *ends, struct hf_error *err);
static bool header_from_line(struct ends *ends, struct hf_error *err);
static bool header_by_one_byte(struct ends *ends);
static bool mend_footer(struct ends *ends, struct hf_error *err);
static bool find_encrypted_manifest(struct ends *ends, bool *found_out, struct hf_error *err);
static bool find_end_of_records(struct ends *ends, int64_t limit, int64_t *end_out, struct hf_error *err);
static bool scan_back(struct ends *ends, const void *magic, size_t magic_bytes, try_fn *try, bool *found_out,
                      struct hf_error *err);
static bool try_hits(struct ends *ends, const unsigned char *piece, size_t bytes, int64_t at, const void *magic,
                     size_t magic_bytes, try_fn *try, bool *found_out, struct hf_error *err);
static bool take_key(struct hf_snapshot_file *file, struct hf_error *err);
static bool collect(struct ends *ends, struct hf_repair_claims *claims, struct hf_error *err);
static bool begin_root(struct ends *ends, struct collecting *collecting, struct hf_error *err);
static bool is_root(struct collecting *collecting, const struct hf_manifest_header *header);
static void add_base(struct collecting *collecting, const char *before);
static int compare_claims(const void *a, const void *b);

bool hf_repair_find_ends(const struct hf_repair_target *target, struct hf_snapshot_file *file,
                         struct hf_repair_claims *claims, bool *mended_out, char what[480], struct hf_error *err)
{
    struct ends ends = {.target = target, .file = file, .what = what};
    hf_buf_init(&ends.line, HF_FORMAT_LINE_BYTES_MAX);
    bool ok = read_header(&ends, err) && read_footer(&ends, err);
    *mended_out = ok && (!ends.header_sound || !ends.footer_sound || what[0]);
    if (ok && ends.footer_sound && (!ends.header_sound || !is_header_of_footer(&ends))) {
        *mended_out = true;
        ok = mend_header(&ends, err);
    } else if (ok && !ends.footer_sound) {
        ok = mend_footer(&ends, err);
    }
    ok = ok && take_key(file, err) && hf_snapshot_file_unlock(file, err) && collect(&ends, claims, err);
    if (ok && !ends.footer_sound) {
        unsigned char head[HF_FORMAT_HEADER_BYTES_MAX];
        size_t bytes = hf_format_encode_header(&file->header, head);
        hf_hash_of(head, bytes, &file->footer.header_hash);
        file->footer.blobs = -1; /* until they are counted */
    }
    hf_buf_done(&ends.line);
    if (!ok && err->code == HF_DAMAGED)
        hf_repair_note(what, "%s", err->text);
    return ok;
}

void hf_repair_note(char what[480], const char *format, ...)
{
    va_list args;
    if (what[0])
        return;
    va_start(args, format);
    vsnprintf(what, 480, format, args);
    va_end(args);
}

void hf_repair_add_claim(struct hf_repair_claims *claims, const struct hf_manifest_entry *entry)
{
    if (claims->count == claims->capacity) {
        claims->capacity = claims->capacity ? 2 * claims->capacity : 64;
        claims->items = hf_realloc(claims->items, claims->capacity * sizeof(*claims->items));
    }
    claims->items[claims->count++] =
        (struct hf_repair_claim){entry->blob_offset, entry->bytes, entry->blob_stored_bytes, entry->hash};
}

void hf_repair_sort_claims(struct hf_repair_claims *claims)
{
    if (claims->count)
        qsort(claims->items, claims->count, sizeof(*claims->items), compare_claims);
}

static bool read_header(struct ends *ends, struct hf_error *err)
{
    struct hf_snapshot_file *file = ends->file;
    size_t header_bytes = 0;
    ends->head_bytes = file->bytes < HF_FORMAT_HEADER_BYTES_MAX ? (size_t)file->bytes : HF_FORMAT_HEADER_BYTES_MAX;
    if (!hf_snapshot_file_read(file, ends->head, ends->head_bytes, 0, err))
        return false;
    ends->header_sound = hf_format_decode_header(ends->head, ends->head_bytes, &file->header, &header_bytes, err);
    file->header_bytes = (int64_t)header_bytes;
    if (ends->header_sound)
        return true;
    hf_repair_note(ends->what, "snapshot file %s: %s", file->name, err->text);
    return err->code == HF_DAMAGED; /* of a newer version: none of ours to mend */
}

static bool read_footer(struct ends *ends, struct hf_error *err)
{
    struct hf_snapshot_file *file = ends->file;
    unsigned char tail[HF_FORMAT_FOOTER_BYTES];
    int64_t at = file->bytes - HF_FORMAT_FOOTER_BYTES;
    if (at < HF_FORMAT_HEADER_BYTES_MIN)
        return hf_error_set(err, HF_DAMAGED, "%lld bytes are too few for a snapshot file; it was cut short",
                            (long long)file->bytes);
    if (!hf_snapshot_file_read(file, tail, sizeof(tail), at, err))
        return false;
    ends->footer_sound = hf_format_decode_footer(tail, file->bytes, &file->footer, err);
    if (ends->footer_sound)
        return true;
    hf_repair_note(ends->what, "snapshot file %s: %s", file->name, err->text);
    return scan_back(ends, footer_magic, sizeof(footer_magic), try_footer, &ends->footer_sound, err);
}

/* A sound footer that is not the end: something was appended. */
static bool try_footer(struct ends *ends, int64_t offset, bool *found_out, struct hf_error *err)
{
    struct hf_snapshot_file *file = ends->file;
    unsigned char tail[HF_FORMAT_FOOTER_BYTES];
    struct hf_error ignored;
    int64_t end = offset + (int64_t)sizeof(footer_magic), at = end - HF_FORMAT_FOOTER_BYTES;
    if (at < HF_FORMAT_HEADER_BYTES_MIN || end == file->bytes)
        return true;
    if (!hf_snapshot_file_read(file, tail, sizeof(tail), at, err))
        return false;
    *found_out = hf_format_decode_footer(tail, end, &file->footer, &ignored);
    if (*found_out)
        file->bytes = end;
    return true;
}

static bool is_header_of_footer(const struct ends *ends)
{
    struct hf_hash hash;
    hf_hash_of(ends->head, (size_t)ends->file->header_bytes, &hash);
    return hf_hash_equal(&hash, &ends->file->footer.header_hash);
}

/* The footer is sound, so that what is right can be told by its hash. */
static bool mend_header(struct ends *ends, struct hf_error *err)
{
    struct hf_snapshot_file *file = ends->file;
    struct hf_format_footer footer = file->footer;
    struct hf_format_header was = file->header;
    struct hf_error why;
    hf_repair_note(ends->what, "snapshot file %s: header and footer belong to different files", file->name);
    file->header = (struct hf_format_header){0};
    bool ok =
        hf_repair_measure_manifest(file, footer.manifest_offset, footer.manifest_offset + footer.manifest_stored_bytes,
                                   &ends->line, &ends->proven, &why) &&
        header_from_line(ends, &why);
    file->footer = footer;
    if (!ok && why.code != HF_DAMAGED) {
        *err = why;
        return false;
    }
    if (ok) {
        size_t bytes = hf_format_encode_header(&file->header, ends->head);
        file->header_bytes = (int64_t)bytes;
    }
    if ((ok && is_header_of_footer(ends)) || header_by_one_byte(ends))
        return true;
    file->header = was; /* what it says of itself may tell whose it is */
    return hf_error_set(err, HF_DAMAGED, "the header of snapshot file %s cannot be made again", file->name);
}

static bool header_from_line(struct ends *ends, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    struct hf_manifest_header line;
    hf_arena_init(&arena);
    if (!hf_manifest_read_header(ends->line.data, ends->line.bytes, &arena, &line, err))
        return false;
    struct hf_format_header *header = &ends->file->header;
    *header = (struct hf_format_header){.full = strcmp(line.kind, "full") == 0,
                                        .sequence = line.sequence,
                                        .epoch = line.epoch,
                                        .cut_at_ms = line.cut_at_ms};
    snprintf(header->system, sizeof(header->system), "%s", line.system);
    snprintf(header->id, sizeof(header->id), "%s", line.id);
    snprintf(header->generation, sizeof(header->generation), "%s", line.generation);
    snprintf(header->parent, sizeof(header->parent), "%s", line.parent);
    return true;
}

/* An encrypted file's header holds what its key is made of, and nothing else in the file says it. But where one byte is
 * wrong there are few that it can have been. */
static bool header_by_one_byte(struct ends *ends)
{
    struct hf_snapshot_file *file = ends->file;
    unsigned char *head = ends->head;
    struct hf_error ignored;
    if (!hf_snapshot_file_read(file, head, ends->head_bytes, 0, &ignored))
        return false;
    for (size_t at = 0; at < ends->head_bytes; at++) {
        unsigned char was = head[at];
        for (int flip = 1; flip < 256; flip++) {
            head[at] = (unsigned char)(was ^ flip);
            size_t bytes = head[12] + 256u * head[13];
            if (bytes < HF_FORMAT_HEADER_BYTES_MIN || bytes > ends->head_bytes || at >= bytes)
                continue;
            file->header_bytes = (int64_t)bytes;
            if (is_header_of_footer(ends))
                return hf_format_decode_header(head, ends->head_bytes, &file->header, &bytes, &ignored);
        }
        head[at] = was;
    }
    return false;
}

static bool mend_footer(struct ends *ends, struct hf_error *err)
{
    struct hf_snapshot_file *file = ends->file;
    bool found = false;
    if (ends->header_sound && file->header.key_id[0]) {
        if (!take_key(file, err) || !hf_snapshot_file_unlock(file, err) || !find_encrypted_manifest(ends, &found, err))
            return false;
    } else if (!scan_back(ends, frame_magic, sizeof(frame_magic), try_manifest, &found, err)) {
        return false;
    }
    if (!found)
        return hf_error_set(err, HF_DAMAGED, "snapshot file %s: its manifest cannot be found", file->name);
    file->bytes = file->footer.file_bytes;
    if (ends->header_sound)
        return true;
    if (!header_from_line(ends, err))
        return false;
    file->header_bytes = (int64_t)hf_format_encode_header(&file->header, ends->head);
    return true;
}

/* It ends where the footer began. It begins where the footer says, be it as damaged as it may, or where no record
 * begins any more: the tag tells whether that is right. */
static bool find_encrypted_manifest(struct ends *ends, bool *found_out, struct hf_error *err)
{
    struct hf_snapshot_file *file = ends->file;
    int64_t limit = file->bytes - HF_FORMAT_FOOTER_BYTES, said = 0, walked = 0;
    unsigned char place[8];
    if (!hf_snapshot_file_read(file, place, sizeof(place), limit, err))
        return false;
    for (int i = 0; i < 8; i++)
        said |= (int64_t)((uint64_t)place[i] << (8 * i));
    if (!find_end_of_records(ends, limit, &walked, err))
        return false;
    const int64_t offsets[] = {walked, said};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]) && !*found_out; i++) {
        if (offsets[i] < file->header_bytes || offsets[i] >= limit)
            continue;
        *found_out = hf_repair_measure_manifest(file, offsets[i], limit, &ends->line, &ends->proven, err);
        if (!*found_out && err->code != HF_DAMAGED)
            return false;
    }
    return true;
}

/* Past heads that are damaged, by looking for the next that is not. */
static bool find_end_of_records(struct ends *ends, int64_t limit, int64_t *end_out, struct hf_error *err)
{
    struct hf_snapshot_file *file = ends->file;
    HF_AUTO(free) unsigned char *piece = hf_alloc(SCAN_BYTES);
    struct hf_format_record record;
    file->footer.manifest_offset = limit;
    *end_out = file->header_bytes;
    for (int64_t at = file->header_bytes; at < limit;) {
        size_t bytes = limit - at < (int64_t)SCAN_BYTES ? (size_t)(limit - at) : SCAN_BYTES;
        if (!hf_snapshot_file_read(file, piece, bytes, at, err))
            return false;
        const unsigned char *hit = memmem(piece, bytes, record_magic, sizeof(record_magic));
        if (!hit) {
            at += bytes < SCAN_BYTES ? (int64_t)bytes : (int64_t)(bytes - sizeof(record_magic) + 1);
            continue;
        }
        at += hit - piece;
        if (hf_snapshot_file_read_record(file, at, &record, err)) {
            at += file->record_bytes + record.stored_bytes;
            *end_out = at;
        } else if (err->code == HF_DAMAGED) {
            at++;
        } else {
            return false;
        }
    }
    return true;
}

static bool try_manifest(struct ends *ends, int64_t offset, bool *found_out, struct hf_error *err)
{
    struct hf_snapshot_file *file = ends->file;
    if (!hf_repair_measure_manifest(file, offset, file->bytes, &ends->line, &ends->proven, err))
        return err->code == HF_DAMAGED;
    int64_t end = file->footer.file_bytes; /* as it should be: it is there, or some of the footer was cut off */
    *found_out = end >= file->bytes && end - file->bytes <= HF_FORMAT_FOOTER_BYTES;
    return true;
}

/* From the end of the file to its start. */
static bool scan_back(struct ends *ends, const void *magic, size_t magic_bytes, try_fn *try, bool *found_out,
                      struct hf_error *err)
{
    struct hf_snapshot_file *file = ends->file;
    HF_AUTO(free) unsigned char *piece = hf_alloc(SCAN_BYTES);
    int64_t end = file->bytes; /* of what no piece has begun in yet */
    bool ok = true;
    while (ok && !*found_out && end > 0) {
        int64_t step = (int64_t)(SCAN_BYTES - magic_bytes);
        int64_t at = end > step ? end - step : 0;
        int64_t left = file->bytes - at;
        size_t bytes = left < (int64_t)SCAN_BYTES ? (size_t)left : SCAN_BYTES;
        if (end + (int64_t)magic_bytes - 1 < at + (int64_t)bytes)
            bytes = (size_t)(end + (int64_t)magic_bytes - 1 - at);
        ok = hf_snapshot_file_read(file, piece, bytes, at, err) &&
             try_hits(ends, piece, bytes, at, magic, magic_bytes, try, found_out, err);
        end = at;
    }
    return ok;
}

/* The last one first. */
static bool try_hits(struct ends *ends, const unsigned char *piece, size_t bytes, int64_t at, const void *magic,
                     size_t magic_bytes, try_fn *try, bool *found_out, struct hf_error *err)
{
    for (size_t i = bytes < magic_bytes ? 0 : bytes - magic_bytes + 1; i > 0 && !*found_out; i--) {
        if (memcmp(piece + i - 1, magic, magic_bytes) == 0 && !try(ends, at + (int64_t)(i - 1), found_out, err))
            return false;
    }
    return true;
}

static bool take_key(struct hf_snapshot_file *file, struct hf_error *err)
{
    (void)err;
    bool encrypted = file->header.key_id[0] != '\0';
    file->record_bytes = encrypted ? HF_FORMAT_RECORD_BYTES_MAX : HF_FORMAT_RECORD_BYTES;
    return true;
}

static bool collect(struct ends *ends, struct hf_repair_claims *claims, struct hf_error *err)
{
    struct hf_manifest_header header;
    HF_AUTO(arena) struct hf_arena arena;
    struct collecting collecting = {.file = ends->file, .claims = claims};
    hf_arena_init(&arena);
    claims->count = 0;
    if (!ends->footer_sound && !ends->proven && !begin_root(ends, &collecting, err))
        return false;
    bool ok = hf_snapshot_file_read_manifest(ends->file, &arena, &header, collect_entry, &collecting, err);
    hf_repair_sort_claims(claims);
    if (!ok)
        hf_hasher_free(collecting.root);
    else if (collecting.root && !is_root(&collecting, &header))
        ok = hf_error_set(err, HF_DAMAGED, "snapshot file %s: nothing proves that its manifest is right",
                          ends->file->name);
    hf_chain_free(collecting.base);
    return ok;
}

/* A manifest without checksums of its own. */
static bool begin_root(struct ends *ends, struct collecting *collecting, struct hf_error *err)
{
    const struct hf_format_header *header = &ends->file->header;
    if (!header->full && !hf_chain_gather(&collecting->base, ends->target->repository, ends->target->system,
                                          header->parent, NULL, err)) {
        if (err->code == HF_NOT_FOUND)
            err->code = HF_DAMAGED;
        return hf_error_wrap(err, "nothing proves that the manifest of snapshot file %s is right", ends->file->name);
    }
    collecting->root = hf_hasher_new();
    return true;
}

/* Frees the hasher. */
static bool is_root(struct collecting *collecting, const struct hf_manifest_header *header)
{
    struct hf_hash root_hash;
    add_base(collecting, NULL);
    hf_hasher_finish(collecting->root, &root_hash);
    hf_hasher_free(collecting->root);
    return hf_hash_equal(&root_hash, &header->root_hash);
}

static bool collect_entry(void *context, const struct hf_manifest_entry *entry, struct hf_error *err)
{
    (void)err;
    struct collecting *collecting = context;
    bool present = hf_manifest_entry_is_present(entry);
    if (collecting->root) {
        add_base(collecting, entry->component);
        if (present)
            hf_root_hash_add(collecting->root, entry->component, &entry->hash);
    }
    if (present && strcmp(entry->blob_file, collecting->file->header.id) == 0)
        hf_repair_add_claim(collecting->claims, entry);
    return true;
}

/* What lies under the entries so far: of names before that of the next entry (NULL: all), whose own it skips. */
static void add_base(struct collecting *collecting, const char *before)
{
    int64_t count = collecting->base ? hf_chain_count(collecting->base) : 0;
    for (; collecting->base_next < count; collecting->base_next++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(collecting->base, collecting->base_next);
        int order = before ? strcmp(entry->component, before) : -1;
        if (order > 0)
            return;
        if (order < 0 && hf_manifest_entry_is_present(entry))
            hf_root_hash_add(collecting->root, entry->component, &entry->hash);
    }
}

static int compare_claims(const void *a, const void *b)
{
    const struct hf_repair_claim *left = a, *right = b;
    if (left->offset != right->offset)
        return left->offset < right->offset ? -1 : 1;
    return memcmp(left->hash.bytes, right->hash.bytes, HF_HASH_BYTES);
}
