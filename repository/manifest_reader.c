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
    int64_t frames_offset, frames_bytes; /* without the nonce and the tag of an encrypted file */
    struct hf_seal_stream *unlocking;    /* NULL: a plain file */
    unsigned char nonce[HF_SEAL_NONCE_BYTES], tag[HF_SEAL_TAG_BYTES];
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

static bool check_stored(struct manifest_reader *reader, struct hf_error *err);
static bool place_frames(struct manifest_reader *reader, struct hf_error *err);
static bool start_unlocking(struct manifest_reader *reader, struct hf_error *err);
static bool end_unlocking(struct manifest_reader *reader, struct hf_error *err);
static bool read_piece(struct manifest_reader *reader, int64_t at, struct hf_hasher *hasher, size_t *bytes_out,
                       struct hf_error *err);
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
    if (!hf_snapshot_file_unlock(file, err))
        return false;
    struct hf_manifest_header header;
    struct manifest_reader reader = {.file = file, .arena = arena, .header = &header, .each = each, .context = context};
    reader.packed = hf_alloc(CHUNK_BYTES);
    reader.unpacked = hf_alloc(CHUNK_BYTES);
    reader.stream = ZSTD_createDStream();
    HF_ASSERT(reader.stream);
    ZSTD_DCtx_setParameter(reader.stream, ZSTD_d_windowLogMax, HF_FORMAT_WINDOW_LOG_MAX);
    hf_buf_init(&reader.rest, HF_FORMAT_LINE_BYTES_MAX);
    hf_arena_init(&reader.scratch);
    bool ok = check_stored(&reader, err) && read_stream(&reader, err) && check_end(&reader, err);
    hf_arena_done(&reader.scratch);
    hf_buf_done(&reader.rest);
    hf_seal_stream_free(reader.unlocking);
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

/* Hash and, of an encrypted file, tag: before both fit, nothing of the manifest is looked at. */
static bool check_stored(struct manifest_reader *reader, struct hf_error *err)
{
    bool encrypted = reader->file->seal != NULL;
    struct hf_hasher *hasher = hf_hasher_new();
    struct hf_hash hash;
    bool ok = place_frames(reader, err) && start_unlocking(reader, err);
    if (ok && encrypted)
        hf_hasher_add(hasher, reader->nonce, sizeof(reader->nonce));
    for (int64_t at = 0; ok && at < reader->frames_bytes; at += (int64_t)CHUNK_BYTES) {
        size_t bytes;
        ok = read_piece(reader, at, hasher, &bytes, err);
    }
    if (ok && encrypted)
        hf_hasher_add(hasher, reader->tag, sizeof(reader->tag));
    hf_hasher_finish(hasher, &hash);
    hf_hasher_free(hasher);
    if (ok && !hf_hash_equal(&hash, &reader->file->footer.manifest_hash))
        return hf_error_set(err, HF_DAMAGED, "the manifest does not match its hash");
    return ok && end_unlocking(reader, err);
}

static bool place_frames(struct manifest_reader *reader, struct hf_error *err)
{
    const struct hf_format_footer *footer = &reader->file->footer;
    reader->frames_offset = footer->manifest_offset;
    reader->frames_bytes = footer->manifest_stored_bytes;
    if (!reader->file->seal)
        return true;
    if (footer->manifest_stored_bytes < HF_SEAL_EXTRA_BYTES)
        return hf_error_set(err, HF_DAMAGED, "the manifest is too short for an encrypted one");
    reader->frames_offset += HF_SEAL_NONCE_BYTES;
    reader->frames_bytes -= HF_SEAL_EXTRA_BYTES;
    return hf_snapshot_file_read(reader->file, reader->nonce, sizeof(reader->nonce), footer->manifest_offset, err) &&
           hf_snapshot_file_read(reader->file, reader->tag, sizeof(reader->tag),
                                 reader->frames_offset + reader->frames_bytes, err);
}

/* The header is what the tag vouches for beside the manifest: neither can be put to another file. */
static bool start_unlocking(struct manifest_reader *reader, struct hf_error *err)
{
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX];
    if (!reader->file->seal)
        return true;
    size_t bytes = hf_format_encode_header(&reader->file->header, head);
    hf_seal_stream_free(reader->unlocking);
    reader->unlocking = NULL;
    return hf_seal_stream_unlock(&reader->unlocking, reader->file->seal, head, bytes, reader->nonce, err);
}

static bool end_unlocking(struct manifest_reader *reader, struct hf_error *err)
{
    return !reader->unlocking || hf_seal_stream_end(reader->unlocking, reader->tag, err) ||
           hf_error_wrap(err, "the manifest");
}

/* Into packed: the frames' bytes at most CHUNK_BYTES from at on. hasher, which may be NULL, sees them as stored. */
static bool read_piece(struct manifest_reader *reader, int64_t at, struct hf_hasher *hasher, size_t *bytes_out,
                       struct hf_error *err)
{
    int64_t left = reader->frames_bytes - at;
    size_t bytes = left < (int64_t)CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
    if (!hf_snapshot_file_read(reader->file, reader->packed, bytes, reader->frames_offset + at, err))
        return false;
    if (hasher)
        hf_hasher_add(hasher, reader->packed, bytes);
    *bytes_out = bytes;
    return !reader->unlocking || hf_seal_stream_turn(reader->unlocking, reader->packed, bytes, err);
}

static bool read_stream(struct manifest_reader *reader, struct hf_error *err)
{
    size_t hint = 0; /* 0 at the end of a frame */
    if (!start_unlocking(reader, err))
        return false;
    for (int64_t at = 0; !reader->done && at < reader->frames_bytes; at += (int64_t)CHUNK_BYTES) {
        ZSTD_inBuffer in = {reader->packed, 0, 0};
        if (!read_piece(reader, at, NULL, &in.size, err) || !unpack(reader, &in, &hint, err))
            return false;
    }
    if (!reader->done && hint != 0)
        return hf_error_set(err, HF_DAMAGED, "the manifest ends inside a compressed frame");
    return reader->done || end_unlocking(reader, err);
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
    const struct hf_hash no_hash = {{0}}; /* an encrypted file's footer does not say it */
    bool same = strcmp(header->system, head->system) == 0 && strcmp(header->id, head->id) == 0 &&
                strcmp(header->generation, head->generation) == 0 && strcmp(header->parent, head->parent) == 0 &&
                strcmp(header->kind, head->full ? "full" : "incremental") == 0 && header->sequence == head->sequence &&
                header->epoch == head->epoch && header->cut_at_ms == head->cut_at_ms &&
                hf_hash_equal(reader->file->seal ? &no_hash : &header->root_hash, &reader->file->footer.root_hash);
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
