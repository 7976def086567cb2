/* Streams a snapshot file's manifest: hash first, then decompressed piece by piece and cut into lines, so that memory
 * stays the same for ten entries and for a million. */
#include "repository/snapshot_file.h"

#include "core/auto.h"
#include "core/buf.h"

#include <string.h>
#include <zstd.h>

#define CHUNK_BYTES       ((size_t)128 << 10)
#define SCRATCH_BYTES_MAX ((size_t)64 << 10) /* texts of entries already told, before their memory is reused */

struct manifest_reader {
    struct hf_snapshot_file *file;
    ZSTD_DStream *stream;
    unsigned char *packed; /* CHUNK_BYTES of the file */
    char *unpacked;        /* CHUNK_BYTES of lines */
    struct hf_buf rest;    /* the start of a line whose end has not come yet */
    struct hf_arena scratch;
    struct hf_arena *arena; /* for the header */
    struct hf_manifest_header *header;
    bool has_header;
    bool done; /* nothing more is wanted */
    int64_t bytes;
    int64_t entries;
    char last[HF_NAME_MAX + 1];
    hf_entry_fn *each;
    void *context;
};

static bool check_hash(struct manifest_reader *reader, struct hf_error *err);
static bool read_stream(struct manifest_reader *reader, struct hf_error *err);
static bool unpack(struct manifest_reader *reader, ZSTD_inBuffer *in, size_t *hint_out, struct hf_error *err);
static bool take_lines(struct manifest_reader *reader, const char *data, size_t bytes, struct hf_error *err);
static bool take_line(struct manifest_reader *reader, const char *line, size_t bytes, struct hf_error *err);
static bool take_header(struct manifest_reader *reader, const char *line, size_t bytes, struct hf_error *err);
static bool take_entry(struct manifest_reader *reader, const char *line, size_t bytes, struct hf_error *err);
static bool check_end(const struct manifest_reader *reader, struct hf_error *err);

bool hf_snapshot_file_read_manifest(struct hf_snapshot_file *file, struct hf_arena *arena,
                                    struct hf_manifest_header *header_out, hf_entry_fn *each, void *context,
                                    struct hf_error *err)
{
    struct hf_manifest_header header;
    struct manifest_reader reader = {.file = file, .arena = arena, .header = &header, .each = each, .context = context};
    reader.packed = hf_alloc(CHUNK_BYTES);
    reader.unpacked = hf_alloc(CHUNK_BYTES);
    reader.stream = ZSTD_createDStream();
    HF_ASSERT(reader.stream);
    ZSTD_DCtx_setParameter(reader.stream, ZSTD_d_windowLogMax, HF_FORMAT_WINDOW_LOG_MAX);
    hf_buf_init(&reader.rest, HF_FORMAT_LINE_BYTES_MAX);
    hf_arena_init(&reader.scratch);
    bool ok = check_hash(&reader, err) && read_stream(&reader, err) && check_end(&reader, err);
    hf_arena_done(&reader.scratch);
    hf_buf_done(&reader.rest);
    ZSTD_freeDStream(reader.stream);
    free(reader.unpacked);
    free(reader.packed);
    if (!ok)
        return hf_error_wrap(err, "snapshot file %s", file->name);
    *header_out = header;
    return true;
}

struct hf_manifest_entry *hf_manifest_entry_copy(struct hf_arena *arena, const struct hf_manifest_entry *entry)
{
    struct hf_manifest_entry *copy = hf_arena_alloc(arena, sizeof(*copy));
    *copy = *entry;
    const char **texts[] = {&copy->component,  &copy->content_type,      &copy->component_kind,
                            &copy->depends_on, &copy->required_pointers, &copy->blob_file};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        *texts[i] = **texts[i] ? hf_arena_strdup(arena, *texts[i]) : "";
    return copy;
}

static bool check_hash(struct manifest_reader *reader, struct hf_error *err)
{
    const struct hf_format_footer *footer = &reader->file->footer;
    struct hf_hasher *hasher = hf_hasher_new();
    bool ok = true;
    for (int64_t at = 0; ok && at < footer->manifest_stored_bytes; at += (int64_t)CHUNK_BYTES) {
        int64_t left = footer->manifest_stored_bytes - at;
        size_t bytes = left < (int64_t)CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        ok = hf_snapshot_file_read(reader->file, reader->packed, bytes, footer->manifest_offset + at, err);
        if (ok)
            hf_hasher_add(hasher, reader->packed, bytes);
    }
    struct hf_hash hash;
    hf_hasher_finish(hasher, &hash);
    hf_hasher_free(hasher);
    if (ok && !hf_hash_equal(&hash, &footer->manifest_hash))
        return hf_error_set(err, HF_DAMAGED, "the manifest does not match its hash");
    return ok;
}

static bool read_stream(struct manifest_reader *reader, struct hf_error *err)
{
    const struct hf_format_footer *footer = &reader->file->footer;
    size_t hint = 0; /* 0 at the end of a frame */
    for (int64_t at = 0; !reader->done && at < footer->manifest_stored_bytes; at += (int64_t)CHUNK_BYTES) {
        int64_t left = footer->manifest_stored_bytes - at;
        ZSTD_inBuffer in = {reader->packed, left < (int64_t)CHUNK_BYTES ? (size_t)left : CHUNK_BYTES, 0};
        if (!hf_snapshot_file_read(reader->file, reader->packed, in.size, footer->manifest_offset + at, err) ||
            !unpack(reader, &in, &hint, err))
            return false;
    }
    if (!reader->done && hint != 0)
        return hf_error_set(err, HF_DAMAGED, "the manifest ends inside a compressed frame");
    return true;
}

/* Decompresses all of in, and what the decompressor still holds of it. */
static bool unpack(struct manifest_reader *reader, ZSTD_inBuffer *in, size_t *hint_out, struct hf_error *err)
{
    bool full = false;
    while (!reader->done && (in->pos < in->size || full)) {
        ZSTD_outBuffer out = {reader->unpacked, CHUNK_BYTES, 0};
        size_t hint = ZSTD_decompressStream(reader->stream, &out, in);
        if (ZSTD_isError(hint))
            return hf_error_set(err, HF_DAMAGED, "the manifest does not decompress: %s", ZSTD_getErrorName(hint));
        *hint_out = hint;
        full = hint != 0 && out.pos == out.size; /* at a frame's end nothing is held back */
        if ((int64_t)out.pos > reader->file->footer.manifest_bytes - reader->bytes)
            return hf_error_set(err, HF_DAMAGED, "the manifest is longer than the footer says");
        reader->bytes += (int64_t)out.pos;
        if (!take_lines(reader, reader->unpacked, out.pos, err))
            return false;
    }
    return true;
}

static bool take_lines(struct manifest_reader *reader, const char *data, size_t bytes, struct hf_error *err)
{
    while (bytes > 0 && !reader->done) {
        const char *newline = memchr(data, '\n', bytes);
        size_t piece = newline ? (size_t)(newline - data) : bytes;
        const char *line = data;
        size_t line_bytes = piece;
        if (!newline || reader->rest.bytes > 0) {
            if (!hf_buf_add(&reader->rest, data, piece))
                return hf_error_set(err, HF_DAMAGED, "a manifest line is longer than %zu bytes",
                                    HF_FORMAT_LINE_BYTES_MAX);
            line = reader->rest.data;
            line_bytes = reader->rest.bytes;
        }
        if (!newline)
            return true;
        if (!take_line(reader, line, line_bytes, err))
            return false;
        hf_buf_reset(&reader->rest);
        data += piece + 1;
        bytes -= piece + 1;
    }
    return true;
}

static bool take_line(struct manifest_reader *reader, const char *line, size_t bytes, struct hf_error *err)
{
    if (!reader->has_header) {
        reader->has_header = true;
        reader->done = reader->each == NULL;
        return take_header(reader, line, bytes, err);
    }
    return take_entry(reader, line, bytes, err);
}

/* What manifest and file header both say must agree: else one of them is not of this snapshot. */
static bool take_header(struct manifest_reader *reader, const char *line, size_t bytes, struct hf_error *err)
{
    struct hf_manifest_header *header = reader->header;
    if (!hf_manifest_read_header(line, bytes, reader->arena, header, err))
        return false;
    const struct hf_format_header *head = &reader->file->header;
    bool same = strcmp(header->system, head->system) == 0 && strcmp(header->id, head->id) == 0 &&
                strcmp(header->generation, head->generation) == 0 && strcmp(header->parent, head->parent) == 0 &&
                strcmp(header->kind, head->full ? "full" : "incremental") == 0 && header->sequence == head->sequence &&
                header->epoch == head->epoch && header->cut_at_ms == head->cut_at_ms &&
                hf_hash_equal(&header->root_hash, &reader->file->footer.root_hash);
    if (!same)
        return hf_error_set(err, HF_DAMAGED, "the manifest is not the one of this header and footer");
    return true;
}

static bool take_entry(struct manifest_reader *reader, const char *line, size_t bytes, struct hf_error *err)
{
    if (reader->scratch.bytes_total > SCRATCH_BYTES_MAX) {
        hf_arena_done(&reader->scratch);
        hf_arena_init(&reader->scratch);
    }
    struct hf_manifest_entry entry;
    if (!hf_manifest_read_entry(line, bytes, &reader->scratch, &entry, err))
        return hf_error_wrap(err, "entry %lld", (long long)reader->entries + 1);
    if (strcmp(reader->last, entry.component) >= 0)
        return hf_error_set(err, HF_DAMAGED, "the manifest's entries are not in the order of their names");
    memcpy(reader->last, entry.component, strlen(entry.component) + 1);
    reader->entries++;
    return reader->each(reader->context, &entry, err);
}

static bool check_end(const struct manifest_reader *reader, struct hf_error *err)
{
    const struct hf_format_footer *footer = &reader->file->footer;
    if (!reader->has_header)
        return hf_error_set(err, HF_DAMAGED, "the manifest is empty");
    if (reader->done)
        return true;
    if (reader->rest.bytes > 0 || reader->bytes != footer->manifest_bytes || reader->entries != footer->entries)
        return hf_error_set(err, HF_DAMAGED, "the manifest is shorter than the footer says");
    return true;
}
