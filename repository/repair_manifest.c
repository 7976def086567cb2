/* A manifest whose footer is lost: how long is it, what does its header line say, does it prove itself? */
#include "repository/repair_private.h"

#include <string.h>
#include <zstd.h>

#define CHUNK_BYTES      ((size_t)128 << 10)
#define FRAME_HEAD_BYTES 5    /* magic and descriptor */
#define CHECKSUM_FLAG    0x04 /* of the descriptor */
#define FRAMES           2    /* the header line, then all entries: fewer, and the file was cut between them */

static const unsigned char frame_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
static const char line_start[] = "{\"system\":";

struct measure {
    struct hf_snapshot_file *file;
    ZSTD_DStream *zstd;
    struct hf_seal_stream *unlocking; /* NULL: a plain file */
    unsigned char *packed;            /* CHUNK_BYTES */
    char *unpacked;                   /* CHUNK_BYTES */
    int64_t at, limit;                /* what of the frames is not in yet */
    ZSTD_inBuffer in;
    struct hf_buf *line;
    bool has_line;
    bool checksummed;
    int frames;
    int64_t bytes, lines;
};

static bool begin(struct measure *measure, int64_t offset, int64_t limit, struct hf_error *err);
static bool measure_frames(struct measure *measure, struct hf_error *err);
static bool starts_frame(struct measure *measure, int64_t at, bool *starts_out, struct hf_error *err);
static bool measure_frame(struct measure *measure, struct hf_error *err);
static bool read_more(struct measure *measure, struct hf_error *err);
static bool take(struct measure *measure, size_t bytes, struct hf_error *err);
static bool end(struct measure *measure, int64_t limit, struct hf_error *err);
static bool fill_footer(struct measure *measure, int64_t offset, int64_t stored_end, struct hf_error *err);

bool hf_repair_measure_manifest(struct hf_snapshot_file *file, int64_t offset, int64_t limit,
                                struct hf_buf *header_line_out, bool *checksummed_out, struct hf_error *err)
{
    struct measure measure = {.file = file, .line = header_line_out, .checksummed = true};
    measure.packed = hf_alloc(CHUNK_BYTES);
    measure.unpacked = hf_alloc(CHUNK_BYTES);
    measure.zstd = ZSTD_createDStream();
    HF_ASSERT(measure.zstd);
    ZSTD_DCtx_setParameter(measure.zstd, ZSTD_d_windowLogMax, HF_FORMAT_WINDOW_LOG_MAX);
    hf_buf_reset(header_line_out);
    bool ok = begin(&measure, offset, limit, err) && measure_frames(&measure, err) && end(&measure, limit, err);
    int64_t stored_end = file->seal ? limit : measure.at - (int64_t)(measure.in.size - measure.in.pos);
    ok = ok && fill_footer(&measure, offset, stored_end, err);
    hf_seal_stream_free(measure.unlocking);
    ZSTD_freeDStream(measure.zstd);
    free(measure.unpacked);
    free(measure.packed);
    *checksummed_out = measure.checksummed || file->seal != NULL; /* a tag is as good */
    return ok;
}

static bool begin(struct measure *measure, int64_t offset, int64_t limit, struct hf_error *err)
{
    struct hf_snapshot_file *file = measure->file;
    unsigned char nonce[HF_SEAL_NONCE_BYTES], head[HF_FORMAT_HEADER_BYTES_MAX];
    measure->at = offset;
    measure->limit = limit;
    measure->in.src = measure->packed;
    if (!file->seal)
        return true;
    if (limit - offset < HF_SEAL_EXTRA_BYTES)
        return hf_error_set(err, HF_DAMAGED, "there is no room for a manifest");
    measure->at += HF_SEAL_NONCE_BYTES;
    measure->limit -= HF_SEAL_TAG_BYTES;
    size_t head_bytes = hf_format_encode_header(&file->header, head);
    return hf_snapshot_file_read(file, nonce, sizeof(nonce), offset, err) &&
           hf_seal_stream_unlock(&measure->unlocking, file->seal, head, head_bytes, nonce, err);
}

static bool measure_frames(struct measure *measure, struct hf_error *err)
{
    for (;;) {
        int64_t at = measure->at - (int64_t)(measure->in.size - measure->in.pos);
        bool starts = at < measure->limit;
        if (!measure->unlocking && !starts_frame(measure, at, &starts, err))
            return false;
        if (!starts)
            return true;
        if (!measure_frame(measure, err))
            return false;
        measure->frames++;
    }
}

/* Of a plain file: the end is where no further frame begins. */
static bool starts_frame(struct measure *measure, int64_t at, bool *starts_out, struct hf_error *err)
{
    unsigned char head[FRAME_HEAD_BYTES];
    *starts_out = false;
    if (measure->limit - at < FRAME_HEAD_BYTES)
        return true;
    if (!hf_snapshot_file_read(measure->file, head, sizeof(head), at, err))
        return false;
    *starts_out = memcmp(head, frame_magic, sizeof(frame_magic)) == 0;
    if (*starts_out && !(head[4] & CHECKSUM_FLAG))
        measure->checksummed = false;
    return true;
}

static bool measure_frame(struct measure *measure, struct hf_error *err)
{
    for (bool full = false;;) {
        if (measure->in.pos == measure->in.size && !full && !read_more(measure, err))
            return false;
        ZSTD_outBuffer out = {measure->unpacked, CHUNK_BYTES, 0};
        size_t hint = ZSTD_decompressStream(measure->zstd, &out, &measure->in);
        if (ZSTD_isError(hint))
            return hf_error_set(err, HF_DAMAGED, "the manifest does not decompress: %s", ZSTD_getErrorName(hint));
        if (!take(measure, out.pos, err))
            return false;
        if (hint == 0)
            return true;
        full = out.pos == out.size;
    }
}

static bool read_more(struct measure *measure, struct hf_error *err)
{
    int64_t left = measure->limit - measure->at;
    if (left <= 0)
        return hf_error_set(err, HF_DAMAGED, "the manifest ends inside a compressed frame");
    size_t bytes = left < (int64_t)CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
    if (!hf_snapshot_file_read(measure->file, measure->packed, bytes, measure->at, err) ||
        (measure->unlocking && !hf_seal_stream_turn(measure->unlocking, measure->packed, bytes, err)))
        return false;
    measure->at += (int64_t)bytes;
    measure->in.size = bytes;
    measure->in.pos = 0;
    return true;
}

static bool take(struct measure *measure, size_t bytes, struct hf_error *err)
{
    const char *data = measure->unpacked;
    measure->bytes += (int64_t)bytes;
    for (const char *at = data; (at = memchr(at, '\n', bytes - (size_t)(at - data))) != NULL; at++)
        measure->lines++;
    if (measure->has_line || bytes == 0)
        return true;
    const char *newline = memchr(data, '\n', bytes);
    size_t piece = newline ? (size_t)(newline - data) : bytes;
    measure->has_line = newline != NULL;
    if (!hf_buf_add(measure->line, data, piece))
        return hf_error_set(err, HF_DAMAGED, "the manifest's first line is too long");
    size_t known = sizeof(line_start) - 1;
    if (memcmp(measure->line->data ? measure->line->data : "", line_start,
               measure->line->bytes < known ? measure->line->bytes : known) != 0)
        return hf_error_set(err, HF_DAMAGED, "no manifest begins here");
    return true;
}

static bool end(struct measure *measure, int64_t limit, struct hf_error *err)
{
    unsigned char tag[HF_SEAL_TAG_BYTES];
    if (!measure->has_line)
        return hf_error_set(err, HF_DAMAGED, "no manifest begins here");
    if (measure->frames != FRAMES)
        return hf_error_set(err, HF_DAMAGED, "the manifest is not whole");
    return !measure->unlocking ||
           (hf_snapshot_file_read(measure->file, tag, sizeof(tag), limit - HF_SEAL_TAG_BYTES, err) &&
            hf_seal_stream_end(measure->unlocking, tag, err));
}

/* All but what concerns the header and the blobs. */
static bool fill_footer(struct measure *measure, int64_t offset, int64_t stored_end, struct hf_error *err)
{
    struct hf_snapshot_file *file = measure->file;
    struct hf_manifest_header header;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    if (!hf_manifest_read_header(measure->line->data, measure->line->bytes, &arena, &header, err))
        return false;
    struct hf_format_footer footer = {.manifest_offset = offset,
                                      .manifest_stored_bytes = stored_end - offset,
                                      .manifest_bytes = measure->bytes,
                                      .entries = measure->lines - 1,
                                      .file_bytes = stored_end + HF_FORMAT_FOOTER_BYTES};
    if (!file->seal)
        footer.root_hash = header.root_hash;
    struct hf_hasher *hasher = hf_hasher_new();
    bool ok = true;
    for (int64_t at = offset; ok && at < stored_end; at += (int64_t)CHUNK_BYTES) {
        int64_t left = stored_end - at;
        size_t bytes = left < (int64_t)CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        ok = hf_snapshot_file_read(file, measure->packed, bytes, at, err);
        if (ok)
            hf_hasher_add(hasher, measure->packed, bytes);
    }
    hf_hasher_finish(hasher, &footer.manifest_hash);
    hf_hasher_free(hasher);
    if (ok)
        file->footer = footer;
    return ok;
}
