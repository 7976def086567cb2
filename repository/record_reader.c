#include "repository/record_reader.h"

#include "core/auto.h"
#include "repository/record.h"

#include <string.h>
#include <zstd.h>

#define KEPT_BYTES ((size_t)16 << 20) /* memory for a larger record is given back with the next small one */

struct room {
    unsigned char *data;
    size_t capacity;
};

struct hf_record_reader {
    struct hf_snapshot_file *file; /* borrowed */
    size_t ahead_bytes;
    struct room window; /* what was read last: window_bytes of the file from window_at on */
    int64_t window_at;
    size_t window_bytes;
    struct room unsealed;
    ZSTD_DCtx *zstd;
    struct hf_blob *blob; /* used again while nobody else holds it */
    bool (*pace)(void *context, int64_t bytes);
    void *context;
    int64_t bytes;
};

static bool fetch(struct hf_record_reader *reader, int64_t offset, size_t bytes, const unsigned char **out,
                  struct hf_error *err);
static bool reserve(struct room *room, size_t bytes, const unsigned char *kept, size_t kept_bytes,
                    struct hf_error *err);
static bool renew_blob(struct hf_record_reader *reader, size_t bytes, struct hf_error *err);
static bool decode(struct hf_record_reader *reader, const struct hf_format_record *record, const unsigned char *stored,
                   struct hf_error *err);

struct hf_record_reader *hf_record_reader_new(bool (*pace)(void *context, int64_t bytes), void *context)
{
    struct hf_record_reader *reader = hf_alloc(sizeof(*reader));
    reader->pace = pace;
    reader->context = context;
    reader->zstd = ZSTD_createDCtx();
    HF_ASSERT(reader->zstd);
    return reader;
}

void hf_record_reader_free(struct hf_record_reader *reader)
{
    if (!reader)
        return;
    ZSTD_freeDCtx(reader->zstd);
    hf_blob_unref(reader->blob);
    free(reader->window.data);
    free(reader->unsealed.data);
    free(reader);
}

void hf_record_reader_use(struct hf_record_reader *reader, struct hf_snapshot_file *file, size_t ahead_bytes)
{
    reader->file = file;
    reader->ahead_bytes = ahead_bytes;
    reader->window_bytes = 0;
}

int64_t hf_record_reader_bytes(const struct hf_record_reader *reader)
{
    return reader->bytes;
}

bool hf_record_reader_head(struct hf_record_reader *reader, int64_t offset, struct hf_format_record *out,
                           struct hf_error *err)
{
    struct hf_snapshot_file *file = reader->file;
    const unsigned char *data = NULL;
    if (!hf_snapshot_file_unlock(file, err))
        return false;
    if (!hf_snapshot_file_check_offset(file, offset, err) ||
        !fetch(reader, offset, (size_t)file->record_bytes, &data, err) ||
        !hf_snapshot_file_decode_record(file, offset, data, out, err))
        return hf_error_wrap(err, "snapshot file %s: blob at offset %lld", file->name, (long long)offset);
    return true;
}

bool hf_record_reader_content(struct hf_record_reader *reader, int64_t offset, const struct hf_format_record *record,
                              struct hf_blob **out, struct hf_error *err)
{
    struct hf_snapshot_file *file = reader->file;
    const unsigned char *stored = NULL;
    if (!hf_snapshot_file_unlock(file, err))
        return false;
    if (!renew_blob(reader, (size_t)record->bytes, err) ||
        !fetch(reader, offset + file->record_bytes, (size_t)record->stored_bytes, &stored, err) ||
        !decode(reader, record, stored, err))
        return hf_error_wrap(err, "snapshot file %s: blob at offset %lld", file->name, (long long)offset);
    *out = reader->blob;
    return true;
}

/* From the window, or into it. */
static bool fetch(struct hf_record_reader *reader, int64_t offset, size_t bytes, const unsigned char **out,
                  struct hf_error *err)
{
    struct room *window = &reader->window;
    int64_t window_end = reader->window_at + (int64_t)reader->window_bytes;
    bool inside = offset >= reader->window_at && offset < window_end;
    size_t kept = inside ? (size_t)(window_end - offset) : 0;
    if (kept < bytes) {
        int64_t left = reader->file->footer.manifest_offset - offset;
        size_t wanted = bytes > reader->ahead_bytes ? bytes : reader->ahead_bytes;
        if (left < (int64_t)wanted)
            wanted = left < (int64_t)bytes ? bytes : (size_t)left;
        const unsigned char *rest = inside ? window->data + (offset - reader->window_at) : NULL;
        reader->window_bytes = 0;
        if (!reserve(window, wanted, rest, kept, err) ||
            !hf_snapshot_file_read(reader->file, window->data + kept, wanted - kept, offset + (int64_t)kept, err))
            return false;
        reader->window_at = offset;
        reader->window_bytes = wanted;
        reader->bytes += (int64_t)(wanted - kept);
        if (reader->pace && !reader->pace(reader->context, (int64_t)(wanted - kept)))
            return hf_error_set(err, HF_SHUTTING_DOWN, "reading was broken off");
    }
    *out = window->data + (offset - reader->window_at);
    return true;
}

/* Makes room and moves what is kept (it lies in the room) to its start. */
static bool reserve(struct room *room, size_t bytes, const unsigned char *kept, size_t kept_bytes, struct hf_error *err)
{
    if (bytes <= room->capacity && room->data && (room->capacity <= KEPT_BYTES || bytes > KEPT_BYTES)) {
        if (kept_bytes)
            memmove(room->data, kept, kept_bytes);
        return true;
    }
    unsigned char *data = malloc(bytes + 1);
    if (!data)
        return hf_error_set(err, HF_OVERLOADED, "there is no memory to read %zu bytes", bytes);
    if (kept_bytes)
        memcpy(data, kept, kept_bytes);
    free(room->data);
    *room = (struct room){data, bytes};
    return true;
}

static bool renew_blob(struct hf_record_reader *reader, size_t bytes, struct hf_error *err)
{
    struct hf_blob *blob = reader->blob;
    bool ours = blob && atomic_load(&blob->references) == 1;
    if (ours && blob->capacity >= bytes && (blob->capacity <= KEPT_BYTES || bytes > KEPT_BYTES))
        return true;
    hf_blob_unref(blob);
    reader->blob = hf_blob_new(bytes);
    if (!reader->blob)
        return hf_error_set(err, HF_OVERLOADED, "there is no memory for a state of %zu bytes", bytes);
    return true;
}

static bool decode(struct hf_record_reader *reader, const struct hf_format_record *record, const unsigned char *stored,
                   struct hf_error *err)
{
    struct hf_record_decoding with = {.seal = reader->file->seal, .zstd = reader->zstd};
    if (with.seal && record->encoding != HF_ENCODING_RAW) {
        if (!reserve(&reader->unsealed, (size_t)record->stored_bytes - HF_SEAL_EXTRA_BYTES, NULL, 0, err))
            return false;
        with.unsealed = reader->unsealed.data;
    }
    return hf_record_decode(&with, record, stored, reader->blob, err);
}
