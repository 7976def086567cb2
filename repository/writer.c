/* Writes one snapshot file: blobs as they come, manifest and footer at the end, then publishes it under its name. It
 * holds the compressed manifest in memory until then; nothing else grows with the system. */
#include "repository/outline.h"
#include "repository/record.h"

#include "core/auto.h"
#include "core/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#define FILE_MODE           0640
#define BUFFER_BYTES        ((size_t)1 << 20)
#define MANIFEST_PACKED_MAX ((size_t)16 << 30)
#define MANIFEST_LEVEL      3
#define SPREAD_BYTES        (INT64_C(4) << 20)

struct hf_snapshot_writer {
    struct hf_repository *repository; /* borrowed */
    struct hf_format_header header;
    char *directory, *temporary_path, *final_path;
    int fd;
    bool published;
    bool made_directory; /* it is removed again when nothing is published */
    bool failed;         /* after the first failed write nothing more is attempted */
    unsigned char *buffer;
    size_t buffered;
    int64_t offset;  /* of the next byte, buffered ones counted */
    int64_t started; /* up to here the system has been told to write to the disk */
    size_t header_bytes;
    struct hf_seal *seal; /* NULL: a plain file */
    struct hf_packer *packer;
    ZSTD_CCtx *manifest_packer;
    struct hf_outline_writer *outline; /* NULL until the manifest is written */
    struct hf_blob_index *own;         /* blobs of this file */
    int64_t blobs;
    struct hf_buf line;   /* one of the manifest */
    struct hf_buf packed; /* the manifest's entries, compressed */
    int64_t manifest_bytes, entries;
    char last[HF_NAME_MAX + 1];
};

struct manifest_output {
    struct hf_hasher *hasher;
    struct hf_seal_stream *sealing; /* NULL: a plain file */
};

static bool take_header(struct hf_format_header *out, const struct hf_manifest_header *header, struct hf_error *err);
static bool take_key(struct hf_snapshot_writer *writer, const struct hf_keys *keys, struct hf_error *err);
static bool create_file(struct hf_snapshot_writer *writer, struct hf_repository *repository, struct hf_error *err);
static bool write_bytes(struct hf_snapshot_writer *writer, const void *data, size_t bytes, struct hf_error *err);
static bool flush(struct hf_snapshot_writer *writer, struct hf_error *err);
static void spread(struct hf_snapshot_writer *writer);
static bool write_all(struct hf_snapshot_writer *writer, const void *data, size_t bytes, int64_t at,
                      struct hf_error *err);
static bool pack_line(struct hf_snapshot_writer *writer, struct hf_buf *into, ZSTD_EndDirective directive,
                      struct hf_error *err);
static bool write_manifest(struct hf_snapshot_writer *writer, const struct hf_manifest_header *header,
                           struct hf_format_footer *footer, struct hf_error *err);
static bool begin_manifest(struct hf_snapshot_writer *writer, struct manifest_output *output, struct hf_error *err);
static bool put_manifest(struct hf_snapshot_writer *writer, struct manifest_output *output, struct hf_buf *packed,
                         struct hf_error *err);
static bool put_stored(struct hf_snapshot_writer *writer, struct manifest_output *output, const void *data,
                       size_t bytes, struct hf_error *err);
static bool end_manifest(struct hf_snapshot_writer *writer, struct manifest_output *output, struct hf_error *err);
static bool write_header_and_footer(struct hf_snapshot_writer *writer, struct hf_format_footer *footer,
                                    struct hf_error *err);
static bool publish(struct hf_snapshot_writer *writer, struct hf_error *err);
static bool rename_without_overwriting(const char *from, const char *to, struct hf_error *err);

bool hf_snapshot_writer_new(struct hf_snapshot_writer **out, struct hf_repository *repository,
                            const struct hf_manifest_header *header, struct hf_error *err)
{
    struct hf_snapshot_writer *writer = hf_alloc(sizeof(*writer));
    writer->fd = -1;
    writer->repository = repository;
    hf_buf_init(&writer->line, HF_FORMAT_LINE_BYTES_MAX);
    hf_buf_init(&writer->packed, MANIFEST_PACKED_MAX);
    if (!take_header(&writer->header, header, err) || !take_key(writer, repository->keys, err) ||
        !create_file(writer, repository, err)) {
        hf_snapshot_writer_free(writer);
        return false;
    }
    writer->buffer = hf_alloc(BUFFER_BYTES);
    writer->own = hf_blob_index_new();
    writer->packer = hf_packer_new(writer->seal);
    writer->manifest_packer = ZSTD_createCCtx();
    HF_ASSERT(writer->manifest_packer);
    ZSTD_CCtx_setParameter(writer->manifest_packer, ZSTD_c_compressionLevel, MANIFEST_LEVEL);
    ZSTD_CCtx_setParameter(writer->manifest_packer, ZSTD_c_checksumFlag, 1); /* proves itself without the footer */
    /* Holds the place; the final header has the same length and is written over it at the end. */
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX];
    writer->header_bytes = hf_format_encode_header(&writer->header, head);
    if (!write_bytes(writer, head, writer->header_bytes, err)) {
        hf_snapshot_writer_free(writer);
        return false;
    }
    *out = writer;
    return true;
}

bool hf_snapshot_writer_add_blob(struct hf_snapshot_writer *writer, const struct hf_hash *hash, const void *data,
                                 size_t bytes, int64_t *offset_out, int64_t *stored_bytes_out, struct hf_error *err)
{
    struct hf_blob_place place;
    if (hf_blob_index_find(writer->own, hash, &place)) {
        *offset_out = place.offset;
        *stored_bytes_out = place.stored_bytes;
        return true;
    }
    if (bytes > (size_t)HF_FORMAT_BLOB_BYTES_MAX)
        return hf_error_set(err, HF_BODY_TOO_LARGE, "a state of %zu bytes is too large for a snapshot file", bytes);
    struct hf_packed packed;
    if (!hf_packer_pack(writer->packer, hash, data, bytes, &packed, err))
        return false;
    int64_t offset = writer->offset;
    if (!write_bytes(writer, packed.head, packed.head_bytes, err) ||
        !write_bytes(writer, packed.stored, packed.stored_bytes, err))
        return false;
    hf_blob_index_add(writer->own, hash, "", offset, (int64_t)packed.stored_bytes);
    writer->blobs++;
    *offset_out = offset;
    *stored_bytes_out = (int64_t)packed.stored_bytes;
    return true;
}

bool hf_snapshot_writer_add_entry(struct hf_snapshot_writer *writer, const struct hf_manifest_entry *entry,
                                  struct hf_error *err)
{
    if (!hf_name_is_valid(entry->component, strlen(entry->component)) || strcmp(writer->last, entry->component) >= 0)
        return hf_error_set(err, HF_INTERNAL, "component \"%.*s\" came out of order for the snapshot", HF_NAME_MAX,
                            entry->component);
    struct hf_manifest_entry line = *entry;
    if (hf_manifest_entry_is_present(entry) && (!entry->blob_file || !entry->blob_file[0]))
        line.blob_file = writer->header.id;
    hf_buf_reset(&writer->line);
    if (!hf_manifest_write_entry(&writer->line, &line))
        return hf_error_set(err, HF_INTERNAL, "component %s has a registration that a snapshot cannot hold",
                            entry->component);
    if (!pack_line(writer, &writer->packed, ZSTD_e_continue, err))
        return false;
    memcpy(writer->last, entry->component, strlen(entry->component) + 1);
    writer->entries++;
    return true;
}

bool hf_snapshot_writer_finish(struct hf_snapshot_writer *writer, const struct hf_manifest_header *header,
                               char **file_out, int64_t *file_bytes_out, struct hf_error *err)
{
    struct hf_format_header final;
    if (!take_header(&final, header, err))
        return false;
    if (strcmp(final.system, writer->header.system) != 0 || strcmp(final.id, writer->header.id) != 0 ||
        strcmp(final.generation, writer->header.generation) != 0 || strcmp(final.parent, writer->header.parent) != 0 ||
        final.full != writer->header.full)
        return hf_error_set(err, HF_INTERNAL, "snapshot %s changed its identity while it was written",
                            writer->header.id);
    memcpy(final.key_id, writer->header.key_id, sizeof(final.key_id));
    memcpy(final.salt, writer->header.salt, sizeof(final.salt));
    writer->header = final;
    struct hf_format_footer footer = {0};
    if (!write_manifest(writer, header, &footer, err) || !write_header_and_footer(writer, &footer, err) ||
        !publish(writer, err))
        return hf_error_wrap(err, "snapshot %s could not be written", writer->header.id);
    *file_out = hf_place_file(writer->header.system, writer->header.id);
    *file_bytes_out = footer.file_bytes;
    return true;
}

void hf_snapshot_writer_free(struct hf_snapshot_writer *writer)
{
    if (!writer)
        return;
    if (writer->fd >= 0) {
        close(writer->fd);
        if (!writer->published)
            unlink(writer->temporary_path);
    }
    hf_outline_writer_free(writer->outline, writer->published);
    if (writer->made_directory && !writer->published)
        rmdir(writer->directory); /* fails, and is meant to, when somebody else put a file there meanwhile */
    hf_packer_free(writer->packer);
    hf_seal_free(writer->seal);
    ZSTD_freeCCtx(writer->manifest_packer);
    hf_blob_index_free(writer->own);
    hf_buf_done(&writer->line);
    hf_buf_done(&writer->packed);
    free(writer->buffer);
    free(writer->directory);
    free(writer->temporary_path);
    free(writer->final_path);
    free(writer);
}

static bool take_header(struct hf_format_header *out, const struct hf_manifest_header *header, struct hf_error *err)
{
    bool full = strcmp(header->kind, "full") == 0;
    const char *parent = header->parent ? header->parent : "";
    if (!hf_place_check_names(header->system, header->id, err))
        return false;
    if (!hf_format_id_is_valid(header->generation) || (parent[0] && !hf_format_id_is_valid(parent)) ||
        (!full && (strcmp(header->kind, "incremental") != 0 || !parent[0])) || header->sequence < 0 ||
        header->epoch < 0 || header->cut_at_ms < 0)
        return hf_error_set(err, HF_INTERNAL, "snapshot %s has an impossible header", header->id);
    *out = (struct hf_format_header){.full = full,
                                     .sequence = header->sequence,
                                     .epoch = header->epoch,
                                     .cut_at_ms = header->cut_at_ms};
    snprintf(out->system, sizeof(out->system), "%s", header->system);
    snprintf(out->id, sizeof(out->id), "%s", header->id);
    snprintf(out->generation, sizeof(out->generation), "%s", header->generation);
    snprintf(out->parent, sizeof(out->parent), "%s", parent);
    return true;
}

static bool take_key(struct hf_snapshot_writer *writer, const struct hf_keys *keys, struct hf_error *err)
{
    return !hf_keys_encrypt(keys) || hf_seal_new(&writer->seal, keys, writer->header.key_id, writer->header.salt, err);
}

static bool create_file(struct hf_snapshot_writer *writer, struct hf_repository *repository, struct hf_error *err)
{
    const char *system = writer->header.system, *id = writer->header.id;
    int root = hf_place_root(repository, writer->header.full ? "full" : "incremental");
    writer->directory = hf_place_directory(repository, root, system);
    writer->final_path = hf_place_path(repository, root, system, id);
    writer->temporary_path = hf_format("%s/" HF_TEMPORARY_PREFIX "%s-%ld", writer->directory, id, (long)getpid());
    writer->made_directory = access(writer->directory, F_OK) != 0;
    if (!hf_place_make_directory(writer->directory, err))
        return false;
    if (access(writer->final_path, F_OK) == 0) /* said before the work is done; the rename would refuse too */
        return hf_error_set(err, HF_CONFLICT, "there is already a snapshot file %s", writer->final_path);
    writer->fd = open(writer->temporary_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (writer->fd < 0 && errno == ENOENT && hf_place_make_directory(writer->directory, err)) /* of one that gave up */
        writer->fd = open(writer->temporary_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (writer->fd < 0 && errno == EEXIST) /* two archives of the same snapshot may come at the same time */
        return hf_error_set(err, HF_CONFLICT, "the snapshot file %s is being written already", writer->final_path);
    if (writer->fd < 0)
        return hf_error_errno(err, errno, "the file %s cannot be created", writer->temporary_path);
    return true;
}

static bool write_bytes(struct hf_snapshot_writer *writer, const void *data, size_t bytes, struct hf_error *err)
{
    if (bytes > BUFFER_BYTES - writer->buffered && !flush(writer, err))
        return false;
    if (bytes > BUFFER_BYTES) {
        if (!write_all(writer, data, bytes, writer->offset, err))
            return false;
    } else if (bytes > 0) {
        memcpy(writer->buffer + writer->buffered, data, bytes);
        writer->buffered += bytes;
    }
    writer->offset += (int64_t)bytes;
    return true;
}

static bool flush(struct hf_snapshot_writer *writer, struct hf_error *err)
{
    if (!write_all(writer, writer->buffer, writer->buffered, writer->offset - (int64_t)writer->buffered, err))
        return false;
    writer->buffered = 0;
    spread(writer);
    return true;
}

/* Without this the fsync at the end would send all of the file at once, and commits would wait behind it. Two windows
 * at most are under way: this thread waits for the disk, nobody else does. Only a matter of pace: fsync is what counts,
 * so a refusal here is none of our business. */
static void spread(struct hf_snapshot_writer *writer)
{
    int64_t behind = writer->offset - writer->started;
    if (behind < SPREAD_BYTES)
        return;
    sync_file_range(writer->fd, writer->started, behind, SYNC_FILE_RANGE_WRITE);
    if (writer->started > 0)
        sync_file_range(writer->fd, 0, writer->started, SYNC_FILE_RANGE_WAIT_BEFORE);
    writer->started = writer->offset;
}

static bool write_all(struct hf_snapshot_writer *writer, const void *data, size_t bytes, int64_t at,
                      struct hf_error *err)
{
    if (writer->failed)
        return hf_error_set(err, HF_IO, "an earlier write to %s failed", writer->temporary_path);
    bool faulty = hf_fault("snapshot_write");
    for (size_t done = 0; !faulty && done < bytes;) {
        ssize_t wrote = pwrite(writer->fd, (const char *)data + done, bytes - done, (off_t)at + (off_t)done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            writer->failed = true;
            return hf_error_errno(err, wrote < 0 ? errno : EIO, "%s cannot be written", writer->temporary_path);
        }
        done += (size_t)wrote;
    }
    writer->failed = faulty;
    return faulty ? hf_error_errno(err, EIO, "%s cannot be written", writer->temporary_path) : true;
}

/* Compresses what is in line and appends it. */
static bool pack_line(struct hf_snapshot_writer *writer, struct hf_buf *into, ZSTD_EndDirective directive,
                      struct hf_error *err)
{
    ZSTD_inBuffer in = {writer->line.data, writer->line.bytes, 0};
    size_t left;
    do {
        char *room = hf_buf_reserve(into, ZSTD_CStreamOutSize());
        if (!room)
            return hf_error_set(err, HF_OVERLOADED, "the snapshot has too many entries for its manifest");
        ZSTD_outBuffer out = {room, ZSTD_CStreamOutSize(), 0};
        left = ZSTD_compressStream2(writer->manifest_packer, &out, &in, directive);
        if (ZSTD_isError(left))
            return hf_error_set(err, HF_INTERNAL, "the manifest could not be compressed: %s", ZSTD_getErrorName(left));
        into->bytes += out.pos;
    } while (directive == ZSTD_e_end ? left > 0 : in.pos < in.size);
    writer->manifest_bytes += (int64_t)in.size;
    return true;
}

/* Two zstd frames: the header line, known only now, and the entries, compressed as they came. */
static bool write_manifest(struct hf_snapshot_writer *writer, const struct hf_manifest_header *header,
                           struct hf_format_footer *footer, struct hf_error *err)
{
    HF_AUTO(buf) struct hf_buf head;
    hf_buf_init(&head, 2 * HF_FORMAT_LINE_BYTES_MAX);
    hf_buf_reset(&writer->line);
    if (!pack_line(writer, &writer->packed, ZSTD_e_end, err))
        return false;
    if (!hf_manifest_write_header(&writer->line, header))
        return hf_error_set(err, HF_INTERNAL, "its manifest's header holds an impossible field");
    if (!pack_line(writer, &head, ZSTD_e_end, err))
        return false;
    footer->manifest_offset = writer->offset;
    footer->manifest_bytes = writer->manifest_bytes;
    footer->entries = writer->entries;
    if (!writer->seal)
        footer->root_hash = header->root_hash;
    footer->blobs = writer->blobs;
    if (writer->repository->has_outlines &&
        !hf_outline_writer_new(&writer->outline, writer->repository, &writer->header, err))
        return false;
    struct manifest_output output = {.hasher = hf_hasher_new()};
    bool ok = begin_manifest(writer, &output, err) && put_manifest(writer, &output, &head, err) &&
              put_manifest(writer, &output, &writer->packed, err) && end_manifest(writer, &output, err);
    hf_hasher_finish(output.hasher, &footer->manifest_hash);
    hf_hasher_free(output.hasher);
    hf_seal_stream_free(output.sealing);
    footer->manifest_stored_bytes = writer->offset - footer->manifest_offset;
    return ok;
}

static bool begin_manifest(struct hf_snapshot_writer *writer, struct manifest_output *output, struct hf_error *err)
{
    if (!writer->seal)
        return true;
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX], nonce[HF_SEAL_NONCE_BYTES];
    size_t bytes = hf_format_encode_header(&writer->header, head);
    if (!hf_seal_stream_close(&output->sealing, writer->seal, head, bytes, nonce, err))
        return false;
    return put_stored(writer, output, nonce, sizeof(nonce), err);
}

/* Seals in place: what was packed is not needed any more. */
static bool put_manifest(struct hf_snapshot_writer *writer, struct manifest_output *output, struct hf_buf *packed,
                         struct hf_error *err)
{
    unsigned char *data = (unsigned char *)packed->data;
    if (output->sealing && !hf_seal_stream_turn(output->sealing, data, packed->bytes, err))
        return false;
    return put_stored(writer, output, data, packed->bytes, err);
}

static bool put_stored(struct hf_snapshot_writer *writer, struct manifest_output *output, const void *data,
                       size_t bytes, struct hf_error *err)
{
    hf_hasher_add(output->hasher, data, bytes);
    return write_bytes(writer, data, bytes, err) &&
           (!writer->outline || hf_outline_writer_put(writer->outline, data, bytes, err));
}

static bool end_manifest(struct hf_snapshot_writer *writer, struct manifest_output *output, struct hf_error *err)
{
    unsigned char tag[HF_SEAL_TAG_BYTES];
    if (!output->sealing)
        return true;
    if (!hf_seal_stream_end(output->sealing, tag, err))
        return false;
    return put_stored(writer, output, tag, sizeof(tag), err);
}

static bool write_header_and_footer(struct hf_snapshot_writer *writer, struct hf_format_footer *footer,
                                    struct hf_error *err)
{
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX], tail[HF_FORMAT_FOOTER_BYTES];
    HF_ASSERT(hf_format_encode_header(&writer->header, head) == writer->header_bytes);
    hf_hash_of(head, writer->header_bytes, &footer->header_hash);
    footer->file_bytes = writer->offset + HF_FORMAT_FOOTER_BYTES;
    hf_format_encode_footer(footer, tail);
    return write_bytes(writer, tail, sizeof(tail), err) && flush(writer, err) &&
           write_all(writer, head, writer->header_bytes, 0, err) &&
           (!writer->outline || hf_outline_writer_finish(writer->outline, &writer->header, footer, err));
}

static bool publish(struct hf_snapshot_writer *writer, struct hf_error *err)
{
    if (fsync(writer->fd) != 0)
        return hf_error_errno(err, errno, "%s cannot be written to disk", writer->temporary_path);
    if (writer->outline && !hf_outline_writer_publish(writer->outline, err))
        return false;
    if (hf_fault("snapshot_before_rename"))
        return hf_error_errno(err, EIO, "%s cannot be renamed", writer->temporary_path);
    if (!rename_without_overwriting(writer->temporary_path, writer->final_path, err))
        return false;
    writer->published = true;
    bool ok = !hf_fault("snapshot_after_rename") || hf_error_errno(err, EIO, "%s cannot be named", writer->final_path);
    if (ok && hf_place_sync_directory(writer->directory, err) &&
        (!writer->outline || hf_outline_writer_sync(writer->outline, err)))
        return true;
    unlink(writer->final_path); /* it might vanish in a crash, so it is not announced */
    hf_outline_writer_free(writer->outline, false);
    writer->outline = NULL;
    return false;
}

static bool rename_without_overwriting(const char *from, const char *to, struct hf_error *err)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return true;
    int error_number = errno;
    if (error_number == EINVAL || error_number == ENOSYS) { /* some network file systems do not know the flag */
        error_number = link(from, to) == 0 ? 0 : errno;
        if (error_number == 0) {
            unlink(from);
            return true;
        }
    }
    if (error_number == EEXIST)
        return hf_error_set(err, HF_CONFLICT, "there is already a snapshot file %s", to);
    return hf_error_errno(err, error_number, "%s cannot be renamed", from);
}
