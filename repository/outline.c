#include "repository/outline.h"

#include "core/fault.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE   0640
#define PIECE_BYTES ((size_t)128 << 10)

struct hf_outline_writer {
    char *directory, *temporary, *path;
    int fd;
    int64_t offset; /* of the next byte of the manifest */
    bool published;
};

typedef bool piece_fn(void *context, const void *data, size_t bytes, struct hf_error *err);

static bool open_own(struct hf_snapshot_file **out, const struct hf_repository *repository, const char *system,
                     const char *kind, const char *id, struct hf_error *err);
static bool open_path(struct hf_snapshot_file **out, const struct hf_keys *keys, const char *path, const char *name,
                      struct hf_error *err);
static bool open_elsewhere(struct hf_snapshot_file **out, const struct hf_repository *repository, const char *system,
                           const char *id, struct hf_error *err);
static bool open_listed(struct hf_snapshot_file **out, const struct hf_repository *repository, int root,
                        const char *system, const char *id, struct hf_error *err);
static bool read_ends(struct hf_snapshot_file *file, int64_t outline_bytes, struct hf_error *err);
static bool walk_manifest(struct hf_snapshot_file *file, piece_fn *each, void *context, struct hf_error *err);
static bool is_of(const struct hf_snapshot_file *file, const char *system, const char *id);
static bool is_same(struct hf_snapshot_file *outline, struct hf_snapshot_file *file);
static bool make_room(const struct hf_repository *repository, const char *path, const struct hf_format_header *wanted,
                      struct hf_error *err);
static bool read_header(const char *path, struct hf_format_header *out);
static bool write_from(const struct hf_repository *repository, struct hf_snapshot_file *file, struct hf_error *err);
static piece_fn put_piece;
static bool write_at(const struct hf_outline_writer *writer, const void *data, size_t bytes, int64_t at,
                     struct hf_error *err);

bool hf_outline_open(struct hf_snapshot_file **out, const struct hf_repository *repository, const char *system,
                     const char *kind, const char *id, struct hf_error *err)
{
    struct hf_error elsewhere;
    if (!hf_place_check_names(system, id, err))
        return false;
    bool incremental = kind ? strcmp(kind, "full") != 0 : strncmp(id, "incremental-", 12) == 0;
    if (open_own(out, repository, system, incremental ? "incremental" : "full", id, err) ||
        (!kind && repository->roots_count > 1 && err->code == HF_NOT_FOUND &&
         open_own(out, repository, system, incremental ? "full" : "incremental", id, err)))
        return true;
    if (err->code != HF_NOT_FOUND && err->code != HF_DAMAGED)
        return false;
    return open_elsewhere(out, repository, system, id, &elsewhere);
}

static bool open_own(struct hf_snapshot_file **out, const struct hf_repository *repository, const char *system,
                     const char *kind, const char *id, struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    HF_AUTO(free) char *path = hf_place_outline(repository, hf_place_outline_root(repository, kind), system, id);
    HF_AUTO(free) char *name = hf_place_file(system, id);
    if (!open_path(&file, repository->keys, path, name, err))
        return false;
    if (!is_of(file, system, id) || file->header.full != (strcmp(kind, "full") == 0))
        return hf_error_set(err, HF_DAMAGED, "%s is the outline of another snapshot", path);
    *out = file;
    file = NULL;
    return true;
}

static bool open_path(struct hf_snapshot_file **out, const struct hf_keys *keys, const char *path, const char *name,
                      struct hf_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return hf_error_set(err, HF_NOT_FOUND, "there is no outline %s", path);
    if (fd < 0)
        return hf_error_errno(err, errno, "the outline %s cannot be opened", path);
    return hf_outline_open_fd(out, fd, keys, name, err);
}

/* Two files may have changed their names, and an outline is too small not to look into it. */
static bool open_elsewhere(struct hf_snapshot_file **out, const struct hf_repository *repository, const char *system,
                           const char *id, struct hf_error *err)
{
    for (int root = 0; root < repository->roots_count; root++) {
        if (open_listed(out, repository, root, system, id, err))
            return true;
    }
    return false;
}

static bool open_listed(struct hf_snapshot_file **out, const struct hf_repository *repository, int root,
                        const char *system, const char *id, struct hf_error *err)
{
    HF_AUTO(place_list) struct hf_place_list outlines = {0};
    HF_AUTO(place_list) struct hf_place_list snapshots = {0};
    HF_AUTO(free) char *name = hf_place_file(system, id);
    if (!hf_place_list_outlines(repository, root, system, &outlines, err) ||
        !hf_place_list_ids(repository, root, system, &snapshots, err))
        return false;
    for (size_t i = 0; i < outlines.count + snapshots.count; i++) {
        HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
        HF_AUTO(free)
        char *path = i < outlines.count ? hf_place_outline(repository, root, system, outlines.items[i])
                                        : hf_place_path(repository, root, system, snapshots.items[i - outlines.count]);
        if (!open_path(&file, repository->keys, path, name, err) || !is_of(file, system, id))
            continue;
        *out = file;
        file = NULL;
        return true;
    }
    return false;
}

bool hf_outline_open_fd(struct hf_snapshot_file **out, int fd, const struct hf_keys *keys, const char *name,
                        struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = hf_alloc(sizeof(*file));
    struct stat status;
    *file = (struct hf_snapshot_file){
        .fd = -1, .is_outline = true, .outline_fd = fd, .keys = keys, .name = hf_strdup(name)};
    if (fstat(fd, &status) != 0)
        return hf_error_errno(err, errno, "the outline of snapshot file %s cannot be read", name);
    if (!S_ISREG(status.st_mode))
        return hf_error_set(err, HF_DAMAGED, "the outline of snapshot file %s is not a regular file", name);
    if (!read_ends(file, status.st_size, err) || !walk_manifest(file, NULL, NULL, err))
        return hf_error_wrap(err, "the outline of snapshot file %s", name);
    *out = file;
    file = NULL;
    return true;
}

/* The length of the whole file is what the footer says, which its checksum proves. */
static bool read_ends(struct hf_snapshot_file *file, int64_t outline_bytes, struct hf_error *err)
{
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX], tail[HF_FORMAT_FOOTER_BYTES];
    int64_t room = outline_bytes - HF_FORMAT_FOOTER_BYTES;
    size_t header_bytes;
    struct hf_hash header_hash;
    if (room < HF_FORMAT_HEADER_BYTES_MIN)
        return hf_error_set(err, HF_DAMAGED, "it was cut short");
    size_t head_bytes = room < HF_FORMAT_HEADER_BYTES_MAX ? (size_t)room : HF_FORMAT_HEADER_BYTES_MAX;
    file->header_bytes = file->footer.manifest_offset = outline_bytes; /* until they are known */
    if (!hf_snapshot_file_read(file, head, head_bytes, 0, err) ||
        !hf_format_decode_header(head, head_bytes, &file->header, &header_bytes, err) ||
        !hf_snapshot_file_read(file, tail, sizeof(tail), room, err) ||
        !hf_format_decode_footer(tail, hf_format_footer_file_bytes(tail), &file->footer, err))
        return false;
    hf_hash_of(head, header_bytes, &header_hash);
    file->header_bytes = (int64_t)header_bytes;
    file->bytes = file->footer.file_bytes;
    file->record_bytes = file->header.key_id[0] ? HF_FORMAT_RECORD_BYTES_MAX : HF_FORMAT_RECORD_BYTES;
    if (!hf_hash_equal(&header_hash, &file->footer.header_hash) || file->footer.manifest_offset < file->header_bytes ||
        outline_bytes != file->header_bytes + file->footer.manifest_stored_bytes + HF_FORMAT_FOOTER_BYTES)
        return hf_error_set(err, HF_DAMAGED, "its parts do not belong together");
    return true;
}

/* The manifest as it is stored, which must match the footer's hash. each NULL: it is only checked. */
static bool walk_manifest(struct hf_snapshot_file *file, piece_fn *each, void *context, struct hf_error *err)
{
    HF_AUTO(free) unsigned char *piece = hf_alloc(PIECE_BYTES);
    struct hf_hasher *hasher = hf_hasher_new();
    struct hf_hash hash;
    int64_t at = file->footer.manifest_offset, end = at + file->footer.manifest_stored_bytes;
    bool ok = true;
    for (; ok && at < end; at += (int64_t)PIECE_BYTES) {
        size_t bytes = end - at < (int64_t)PIECE_BYTES ? (size_t)(end - at) : PIECE_BYTES;
        ok = hf_snapshot_file_read(file, piece, bytes, at, err) && (!each || each(context, piece, bytes, err));
        if (ok)
            hf_hasher_add(hasher, piece, bytes);
    }
    hf_hasher_finish(hasher, &hash);
    hf_hasher_free(hasher);
    if (ok && !hf_hash_equal(&hash, &file->footer.manifest_hash))
        return hf_error_set(err, HF_DAMAGED, "the manifest does not match its hash");
    return ok;
}

static bool is_of(const struct hf_snapshot_file *file, const char *system, const char *id)
{
    return strcmp(file->header.system, system) == 0 && strcmp(file->header.id, id) == 0;
}

bool hf_outline_recognise(const char *path, const struct hf_keys *keys, struct hf_format_header *out)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    struct hf_error ignored;
    if (!open_path(&file, keys, path, path, &ignored) || file->footer.manifest_offset == file->header_bytes)
        return false;
    *out = file->header;
    return true;
}

bool hf_outline_is_sound(const char *path, const struct hf_keys *keys)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    struct hf_error ignored;
    return open_path(&file, keys, path, path, &ignored);
}

void hf_outline_use_contents(struct hf_snapshot_file *outline, int fd)
{
    if (outline->fd >= 0)
        close(outline->fd);
    outline->fd = fd;
}

bool hf_outline_send_home(const struct hf_repository *repository, const char *path,
                          const struct hf_format_header *header, struct hf_error *err)
{
    const char *kind = header->full ? "full" : "incremental";
    int root = hf_place_outline_root(repository, kind);
    HF_AUTO(snapshot_file) struct hf_snapshot_file *there = NULL;
    HF_AUTO(free) char *home = hf_place_outline(repository, root, header->system, header->id);
    HF_AUTO(free) char *directory = hf_place_directory(repository, root, header->system);
    struct hf_error ignored;
    if (open_own(&there, repository, header->system, kind, header->id, &ignored) || access(directory, F_OK) != 0)
        return unlink(path) == 0 || hf_error_errno(err, errno, "%s cannot be removed", path);
    if (renameat2(AT_FDCWD, path, AT_FDCWD, home, RENAME_EXCHANGE) != 0 && rename(path, home) != 0)
        return hf_error_errno(err, errno, "%s cannot be renamed", path);
    return hf_place_sync_directory(directory, err);
}

bool hf_repository_ensure_outline(struct hf_repository *repository, const char *system, const char *kind,
                                  const char *id, struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    HF_AUTO(snapshot_file) struct hf_snapshot_file *outline = NULL;
    struct hf_error why;
    if (!repository->has_outlines)
        return true;
    if (!hf_snapshot_file_open(&file, repository, system, kind, id, err))
        return false;
    bool there = open_own(&outline, repository, system, kind, id, &why);
    if (there && is_same(outline, file))
        return true;
    if (!there && why.code != HF_NOT_FOUND && why.code != HF_DAMAGED) {
        *err = why;
        return false;
    }
    HF_AUTO(free) char *path = hf_place_outline(repository, hf_place_outline_root(repository, kind), system, id);
    if (!make_room(repository, path, &file->header, err) || !write_from(repository, file, err))
        return hf_error_wrap(err, "the outline of snapshot %s could not be written", id);
    hf_log(HF_LOG_INFO, "outline_written", there || why.code == HF_DAMAGED ? "it was damaged" : "it was missing",
           HF_LOG_TEXT("system", system), HF_LOG_TEXT("snapshot", id));
    return true;
}

static bool is_same(struct hf_snapshot_file *outline, struct hf_snapshot_file *file)
{
    unsigned char one[HF_FORMAT_FOOTER_BYTES], other[HF_FORMAT_FOOTER_BYTES];
    hf_format_encode_footer(&outline->footer, one); /* with the hashes of header and manifest */
    hf_format_encode_footer(&file->footer, other);
    return memcmp(one, other, sizeof(one)) == 0;
}

/* What lies there may be all that is left of another snapshot. */
static bool make_room(const struct hf_repository *repository, const char *path, const struct hf_format_header *wanted,
                      struct hf_error *err)
{
    struct hf_format_header header;
    if (hf_outline_recognise(path, repository->keys, &header)) {
        bool own = strcmp(header.system, wanted->system) == 0 && strcmp(header.id, wanted->id) == 0;
        return own || hf_outline_send_home(repository, path, &header, err);
    }
    if (!read_header(path, &header) ||
        (strcmp(header.system, wanted->system) == 0 && strcmp(header.id, wanted->id) == 0))
        return true;
    return hf_error_set(err, HF_CONFLICT, "%s is what is left of snapshot %s/%s", path, header.system, header.id);
}

static bool read_header(const char *path, struct hf_format_header *out)
{
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX];
    size_t header_bytes;
    struct hf_error ignored;
    HF_AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t got = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);
    return got > 0 && hf_format_decode_header(head, (size_t)got, out, &header_bytes, &ignored);
}

static bool write_from(const struct hf_repository *repository, struct hf_snapshot_file *file, struct hf_error *err)
{
    struct hf_outline_writer *writer = NULL;
    bool ok = hf_outline_writer_new(&writer, repository, &file->header, err) &&
              (walk_manifest(file, put_piece, writer, err) || hf_error_wrap(err, "snapshot file %s", file->name)) &&
              hf_outline_writer_finish(writer, &file->header, &file->footer, err) &&
              hf_outline_writer_publish(writer, err) && hf_outline_writer_sync(writer, err);
    hf_outline_writer_free(writer, ok);
    return ok;
}

static bool put_piece(void *context, const void *data, size_t bytes, struct hf_error *err)
{
    return hf_outline_writer_put(context, data, bytes, err);
}

/* ---- writing ---- */

bool hf_outline_writer_new(struct hf_outline_writer **out, const struct hf_repository *repository,
                           const struct hf_format_header *header, struct hf_error *err)
{
    int root = hf_place_outline_root(repository, header->full ? "full" : "incremental");
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX];
    struct hf_outline_writer *writer = hf_alloc(sizeof(*writer));
    *writer = (struct hf_outline_writer){.fd = -1};
    writer->directory = hf_place_directory(repository, root, header->system);
    writer->path = hf_place_outline(repository, root, header->system, header->id);
    writer->temporary =
        hf_format("%s/" HF_TEMPORARY_PREFIX "%s-%ld-outline", writer->directory, header->id, (long)getpid());
    writer->offset = (int64_t)hf_format_encode_header(header, head);
    bool ok = access(writer->directory, F_OK) == 0 || hf_place_make_directory(writer->directory, err);
    if (ok) {
        unlink(writer->temporary); /* of one with our number that was killed */
        writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        ok = writer->fd >= 0 || hf_error_errno(err, errno, "the file %s cannot be created", writer->temporary);
    }
    if (!ok) {
        hf_outline_writer_free(writer, false);
        return false;
    }
    *out = writer;
    return true;
}

bool hf_outline_writer_put(struct hf_outline_writer *writer, const void *data, size_t bytes, struct hf_error *err)
{
    if (!write_at(writer, data, bytes, writer->offset, err))
        return false;
    writer->offset += (int64_t)bytes;
    return true;
}

bool hf_outline_writer_finish(struct hf_outline_writer *writer, const struct hf_format_header *header,
                              const struct hf_format_footer *footer, struct hf_error *err)
{
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX], tail[HF_FORMAT_FOOTER_BYTES];
    size_t header_bytes = hf_format_encode_header(header, head);
    hf_format_encode_footer(footer, tail);
    HF_ASSERT((int64_t)header_bytes + footer->manifest_stored_bytes == writer->offset);
    if (!write_at(writer, head, header_bytes, 0, err) || !write_at(writer, tail, sizeof(tail), writer->offset, err))
        return false;
    return fsync(writer->fd) == 0 || hf_error_errno(err, errno, "%s cannot be written to disk", writer->temporary);
}

bool hf_outline_writer_publish(struct hf_outline_writer *writer, struct hf_error *err)
{
    if (hf_fault("outline_before_rename"))
        return hf_error_errno(err, EIO, "%s cannot be renamed", writer->temporary);
    if (rename(writer->temporary, writer->path) != 0)
        return hf_error_errno(err, errno, "%s cannot be renamed", writer->temporary);
    writer->published = true;
    return true;
}

bool hf_outline_writer_sync(struct hf_outline_writer *writer, struct hf_error *err)
{
    return hf_place_sync_directory(writer->directory, err);
}

void hf_outline_writer_free(struct hf_outline_writer *writer, bool keep)
{
    if (!writer)
        return;
    if (writer->fd >= 0) {
        close(writer->fd);
        if (!writer->published)
            unlink(writer->temporary);
        else if (!keep)
            unlink(writer->path);
    }
    free(writer->directory);
    free(writer->temporary);
    free(writer->path);
    free(writer);
}

static bool write_at(const struct hf_outline_writer *writer, const void *data, size_t bytes, int64_t at,
                     struct hf_error *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t wrote = pwrite(writer->fd, (const char *)data + done, bytes - done, (off_t)at + (off_t)done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return hf_error_errno(err, wrote < 0 ? errno : EIO, "%s cannot be written", writer->temporary);
        done += (size_t)wrote;
    }
    return true;
}
