/* One snapshot file from one repository to another, and whether two are the same. */
#include "repository/repair_private.h"

#include "core/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE    0640
#define PIECE_BYTES  ((size_t)1 << 20)
#define SPREAD_BYTES (INT64_C(4) << 20)

struct copying {
    struct hf_repository *to;
    struct hf_snapshot_file *from;
    char *directory, *temporary, *path;
    int fd;
    bool replace;
    hf_pace_fn *pace;
    void *context;
};

static bool copy_file(struct copying *copying, struct hf_error *err);
static bool copy_bytes(struct copying *copying, struct hf_error *err);
static bool check_copy(struct copying *copying, struct hf_error *err);
static bool publish(struct copying *copying, struct hf_error *err);
static bool open_named(struct hf_repository *repository, const char *system, const char *kind, const char *id,
                       int *fd_out, struct hf_error *err);
static bool read_piece(int fd, unsigned char *out, size_t bytes, int64_t at, struct hf_error *err);

bool hf_repository_copy(struct hf_repository *from, struct hf_repository *to, const char *system, const char *kind,
                        const char *id, bool replace, hf_pace_fn *pace, void *context, int64_t *bytes_out,
                        struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    if (!hf_snapshot_file_open(&file, from, system, kind, id, err) || !hf_snapshot_file_unlock(file, err) ||
        !hf_repository_prepare(to, system, err))
        return false;
    int root = hf_place_root(to, kind);
    struct copying copying = {.to = to, .from = file, .fd = -1, .replace = replace, .pace = pace, .context = context};
    copying.directory = hf_place_directory(to, root, system);
    copying.path = hf_place_path(to, root, system, id);
    copying.temporary = hf_format("%s/" HF_TEMPORARY_PREFIX "%s-%ld-copy", copying.directory, id, (long)getpid());
    bool ok = copy_file(&copying, err);
    ok = ok && hf_repository_ensure_outline(to, system, kind, id, err);
    if (ok)
        *bytes_out = file->bytes;
    free(copying.directory);
    free(copying.path);
    free(copying.temporary);
    return ok;
}

bool hf_repository_compare(struct hf_repository *a, struct hf_repository *b, const char *system, const char *kind,
                           const char *id, hf_pace_fn *pace, void *context, bool *same_out, struct hf_error *err)
{
    HF_AUTO(close) int left = -1;
    HF_AUTO(close) int right = -1;
    if (!hf_place_check_names(system, id, err) || !open_named(a, system, kind, id, &left, err) ||
        !open_named(b, system, kind, id, &right, err))
        return false;
    return hf_repair_compare_files(left, right, pace, context, same_out, err);
}

bool hf_repair_compare_files(int left, int right, hf_pace_fn *pace, void *context, bool *same_out, struct hf_error *err)
{
    struct stat a, b;
    HF_AUTO(free) unsigned char *pieces = hf_alloc(2 * PIECE_BYTES);
    if (fstat(left, &a) != 0 || fstat(right, &b) != 0)
        return hf_error_errno(err, errno, "the length of a snapshot file cannot be read");
    bool same = a.st_size == b.st_size;
    for (int64_t at = 0; same && at < a.st_size; at += (int64_t)PIECE_BYTES) {
        size_t bytes = a.st_size - at < (int64_t)PIECE_BYTES ? (size_t)(a.st_size - at) : PIECE_BYTES;
        if (!read_piece(left, pieces, bytes, at, err) || !read_piece(right, pieces + PIECE_BYTES, bytes, at, err))
            return false;
        same = memcmp(pieces, pieces + PIECE_BYTES, bytes) == 0;
        if (pace)
            pace(context, (int64_t)(2 * bytes));
    }
    *same_out = same;
    return true;
}

bool hf_repair_write_at(int fd, const void *data, size_t bytes, int64_t offset, struct hf_error *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t wrote = pwrite(fd, (const char *)data + done, bytes - done, (off_t)offset + (off_t)done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return hf_error_errno(err, wrote < 0 ? errno : EIO, "a snapshot file cannot be written");
        done += (size_t)wrote;
    }
    return true;
}

static bool copy_file(struct copying *copying, struct hf_error *err)
{
    if (!copying->replace && access(copying->path, F_OK) == 0) /* the rename would refuse too, after the work */
        return hf_error_set(err, HF_CONFLICT, "there is already a file %s", copying->path);
    unlink(copying->temporary); /* of one with our number that was killed */
    copying->fd = open(copying->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (copying->fd < 0)
        return hf_error_errno(err, errno, "the file %s cannot be created", copying->temporary);
    bool ok = copy_bytes(copying, err) && check_copy(copying, err);
    if (ok && fsync(copying->fd) != 0)
        ok = hf_error_errno(err, errno, "%s cannot be written to disk", copying->temporary);
    close(copying->fd);
    ok = ok && publish(copying, err);
    if (!ok)
        unlink(copying->temporary);
    return ok;
}

static bool copy_bytes(struct copying *copying, struct hf_error *err)
{
    struct hf_snapshot_file *from = copying->from;
    HF_AUTO(free) unsigned char *piece = hf_alloc(PIECE_BYTES);
    int64_t started = 0;
    posix_fadvise(from->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (int64_t at = 0; at < from->bytes; at += (int64_t)PIECE_BYTES) {
        size_t bytes = from->bytes - at < (int64_t)PIECE_BYTES ? (size_t)(from->bytes - at) : PIECE_BYTES;
        if (!hf_snapshot_file_read(from, piece, bytes, at, err) ||
            !hf_repair_write_at(copying->fd, piece, bytes, at, err))
            return hf_error_wrap(err, "snapshot file %s", from->name);
        if (at + (int64_t)bytes - started >= SPREAD_BYTES) { /* so that the fsync at the end has little left to do */
            sync_file_range(copying->fd, started, at + (int64_t)bytes - started, SYNC_FILE_RANGE_WRITE);
            started = at + (int64_t)bytes;
        }
        if (copying->pace)
            copying->pace(copying->context, (int64_t)bytes);
    }
    return true;
}

/* What was written is looked at, and not what was read. */
static bool check_copy(struct copying *copying, struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    return hf_snapshot_file_check_fd(&file, copying->fd, copying->from->keys, copying->from->name, err);
}

static bool publish(struct copying *copying, struct hf_error *err)
{
    if (hf_fault("copy_before_rename"))
        return hf_error_errno(err, EIO, "%s cannot be renamed", copying->temporary);
    if (!copying->replace && !hf_repair_move(copying->temporary, copying->path, err))
        return false;
    if (copying->replace && rename(copying->temporary, copying->path) != 0)
        return hf_error_errno(err, errno, "%s cannot be renamed", copying->temporary);
    return hf_place_sync_directory(copying->directory, err);
}

static bool open_named(struct hf_repository *repository, const char *system, const char *kind, const char *id,
                       int *fd_out, struct hf_error *err)
{
    HF_AUTO(free) char *path = hf_place_path(repository, hf_place_root(repository, kind), system, id);
    *fd_out = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd_out >= 0)
        return true;
    if (errno == ENOENT)
        return hf_error_set(err, HF_NOT_FOUND, "there is no snapshot file %s", path);
    return hf_error_errno(err, errno, "snapshot file %s cannot be opened", path);
}

static bool read_piece(int fd, unsigned char *out, size_t bytes, int64_t at, struct hf_error *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(fd, out + done, bytes - done, (off_t)at + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return hf_error_errno(err, got < 0 ? errno : EIO, "a snapshot file cannot be read");
        done += (size_t)got;
    }
    return true;
}
