#include "repository/snapshot_file.h"

#include "core/auto.h"
#include "repository/place.h"
#include "repository/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool open_path(struct hf_snapshot_file **out, const struct hf_repository *repository, const char *path,
                      const char *name, struct hf_error *err);
static bool read_some(int fd, void *out, size_t bytes, int64_t offset, size_t *got_out, struct hf_error *err);
static bool read_parts(const struct hf_snapshot_file *file, void *out, size_t bytes, int64_t offset,
                       struct hf_error *err);
static bool read_ends(struct hf_snapshot_file *file, struct hf_error *err);
static bool take_key(struct hf_snapshot_file *file, struct hf_error *err);
static bool check_place(const struct hf_snapshot_file *file, const struct hf_repository *repository, int root,
                        const char *system, const char *id, struct hf_error *err);

bool hf_snapshot_file_open(struct hf_snapshot_file **out, const struct hf_repository *repository, const char *system,
                           const char *kind, const char *id, struct hf_error *err)
{
    if (!hf_place_check_names(system, id, err))
        return false;
    bool incremental = kind ? strcmp(kind, "full") != 0 : strncmp(id, "incremental-", 12) == 0;
    int first = hf_place_root(repository, incremental ? "incremental" : "full");
    int tries = kind ? 1 : repository->roots_count;
    HF_AUTO(free) char *name = hf_place_file(system, id);
    for (int i = 0; i < tries; i++) {
        int root = i == 0 ? first : HF_ROOTS - 1 - first;
        HF_AUTO(free) char *path = hf_place_path(repository, root, system, id);
        HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
        if (!open_path(&file, repository, path, name, err)) {
            if (err->code == HF_NOT_FOUND && i + 1 < tries)
                continue;
            return false;
        }
        if (!check_place(file, repository, root, system, id, err))
            return hf_error_wrap(err, "snapshot file %s", name);
        *out = file;
        file = NULL;
        return true;
    }
    return false;
}

static bool open_path(struct hf_snapshot_file **out, const struct hf_repository *repository, const char *path,
                      const char *name, struct hf_error *err)
{
    /* O_NONBLOCK: a pipe of that name must not hang us; it means nothing for regular files. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return hf_error_set(err, HF_NOT_FOUND, "there is no snapshot file %s", name);
    if (fd < 0)
        return hf_error_errno(err, errno, "snapshot file %s cannot be opened", path);
    return hf_snapshot_file_open_fd(out, fd, repository->keys, name, err);
}

bool hf_snapshot_file_open_fd(struct hf_snapshot_file **out, int fd, const struct hf_keys *keys, const char *name,
                              struct hf_error *err)
{
    struct hf_snapshot_file *file = hf_alloc(sizeof(*file));
    file->fd = fd;
    file->keys = keys;
    file->name = hf_strdup(name);
    struct stat status;
    bool ok;
    if (fstat(fd, &status) != 0)
        ok = hf_error_errno(err, errno, "its length cannot be read");
    else if (!S_ISREG(status.st_mode))
        ok = hf_error_set(err, HF_DAMAGED, "it is not a regular file");
    else {
        file->bytes = status.st_size;
        ok = read_ends(file, err) && take_key(file, err);
    }
    if (!ok) {
        hf_error_wrap(err, "snapshot file %s", name);
        hf_snapshot_file_close(file);
        return false;
    }
    *out = file;
    return true;
}

bool hf_snapshot_file_check_fd(struct hf_snapshot_file **out, int fd, const struct hf_keys *keys, const char *name,
                               struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    HF_AUTO(arena) struct hf_arena arena;
    struct hf_manifest_header header;
    hf_arena_init(&arena);
    int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (again < 0)
        return hf_error_errno(err, errno, "snapshot file %s cannot be opened", name);
    if (!hf_snapshot_file_open_fd(&file, again, keys, name, err) ||
        !hf_snapshot_file_read_manifest(file, &arena, &header, NULL, NULL, err))
        return false;
    *out = file;
    file = NULL;
    return true;
}

void hf_snapshot_file_close(struct hf_snapshot_file *file)
{
    if (!file)
        return;
    if (file->fd >= 0)
        close(file->fd);
    if (file->is_outline)
        close(file->outline_fd);
    hf_seal_free(file->seal);
    free(file->name);
    free(file);
}

bool hf_snapshot_file_unlock(struct hf_snapshot_file *file, struct hf_error *err)
{
    const struct hf_format_header *header = &file->header;
    return !header->key_id[0] || file->seal ||
           hf_seal_open(&file->seal, file->keys, header->key_id, header->salt, err) ||
           hf_error_wrap(err, "snapshot file %s", file->name);
}

bool hf_snapshot_file_read(struct hf_snapshot_file *file, void *out, size_t bytes, int64_t offset, struct hf_error *err)
{
    size_t got = 0;
    if (file->is_outline)
        return read_parts(file, out, bytes, offset, err);
    if (!read_some(file->fd, out, bytes, offset, &got, err))
        return false;
    return got == bytes || hf_error_set(err, HF_DAMAGED, "the file was cut short while it was read");
}

/* Fewer bytes only where the file ends. */
static bool read_some(int fd, void *out, size_t bytes, int64_t offset, size_t *got_out, struct hf_error *err)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = pread(fd, (char *)out + done, bytes - done, (off_t)offset + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hf_error_errno(err, errno, "%zu bytes at offset %lld cannot be read", bytes, (long long)offset);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *got_out = done;
    return true;
}

static bool read_parts(const struct hf_snapshot_file *file, void *out, size_t bytes, int64_t offset,
                       struct hf_error *err)
{
    const int64_t begin = file->header_bytes, end = file->footer.manifest_offset;
    unsigned char *to = out;
    for (size_t done = 0; done < bytes;) {
        int64_t at = offset + (int64_t)done;
        int64_t left = at < begin ? begin - at : at < end ? end - at : INT64_MAX;
        size_t piece = bytes - done, got = 0;
        if ((int64_t)piece > left)
            piece = (size_t)left;
        bool contents = at >= begin && at < end;
        if (!contents && !read_some(file->outline_fd, to + done, piece, at < begin ? at : at - end + begin, &got, err))
            return false;
        if (contents && file->fd >= 0 && !read_some(file->fd, to + done, piece, at, &got, err))
            return false;
        if (!contents && got < piece)
            return hf_error_set(err, HF_DAMAGED, "the outline was cut short while it was read");
        memset(to + done + got, 0, piece - got);
        done += piece;
    }
    return true;
}

static bool read_ends(struct hf_snapshot_file *file, struct hf_error *err)
{
    if (file->bytes < HF_FORMAT_HEADER_BYTES_MIN + HF_FORMAT_FOOTER_BYTES)
        return hf_error_set(err, HF_DAMAGED, "%lld bytes are too few for a snapshot file; it was cut short",
                            (long long)file->bytes);
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX], tail[HF_FORMAT_FOOTER_BYTES];
    int64_t room = file->bytes - HF_FORMAT_FOOTER_BYTES;
    size_t head_bytes = room < HF_FORMAT_HEADER_BYTES_MAX ? (size_t)room : HF_FORMAT_HEADER_BYTES_MAX;
    size_t header_bytes;
    if (!hf_snapshot_file_read(file, head, head_bytes, 0, err) ||
        !hf_format_decode_header(head, head_bytes, &file->header, &header_bytes, err) ||
        !hf_snapshot_file_read(file, tail, sizeof(tail), room, err) ||
        !hf_format_decode_footer(tail, file->bytes, &file->footer, err))
        return false;
    struct hf_hash header_hash;
    hf_hash_of(head, header_bytes, &header_hash);
    if (!hf_hash_equal(&header_hash, &file->footer.header_hash))
        return hf_error_set(err, HF_DAMAGED, "header and footer belong to different files");
    file->header_bytes = (int64_t)header_bytes;
    if (file->footer.manifest_offset < file->header_bytes)
        return hf_error_set(err, HF_DAMAGED, "the footer places the manifest inside the header");
    return true;
}

/* A key that is not at hand is no reason not to open: the file is there, and says what it is. */
static bool take_key(struct hf_snapshot_file *file, struct hf_error *err)
{
    const struct hf_format_header *header = &file->header;
    bool encrypted = header->key_id[0] != '\0';
    file->record_bytes = encrypted ? HF_FORMAT_RECORD_BYTES_MAX : HF_FORMAT_RECORD_BYTES;
    return !encrypted || hf_seal_open(&file->seal, file->keys, header->key_id, header->salt, err) ||
           err->code == HF_KEY_MISSING;
}

/* A file that was renamed, or copied over another, is sound in itself and still wrong here. */
static bool check_place(const struct hf_snapshot_file *file, const struct hf_repository *repository, int root,
                        const char *system, const char *id, struct hf_error *err)
{
    const struct hf_format_header *header = &file->header;
    if (strcmp(header->system, system) != 0 || strcmp(header->id, id) != 0)
        return hf_error_set(err, HF_DAMAGED, "it is the file of %s/%s under another name", header->system, header->id);
    if (repository->roots_count > 1 && header->full != (root == HF_ROOT_FULL))
        return hf_error_set(err, HF_DAMAGED, "it lies in the directory of the other kind");
    return true;
}

bool hf_snapshot_file_read_record(struct hf_snapshot_file *file, int64_t offset, struct hf_format_record *out,
                                  struct hf_error *err)
{
    unsigned char data[HF_FORMAT_RECORD_BYTES_MAX];
    if (!hf_snapshot_file_unlock(file, err))
        return false;
    if (!hf_snapshot_file_check_offset(file, offset, err) ||
        !hf_snapshot_file_read(file, data, (size_t)file->record_bytes, offset, err) ||
        !hf_snapshot_file_decode_record(file, offset, data, out, err))
        return hf_error_wrap(err, "snapshot file %s: blob at offset %lld", file->name, (long long)offset);
    return true;
}

bool hf_snapshot_file_check_offset(const struct hf_snapshot_file *file, int64_t offset, struct hf_error *err)
{
    if (offset < file->header_bytes || offset > file->footer.manifest_offset - file->record_bytes)
        return hf_error_set(err, HF_DAMAGED, "it lies outside the blobs");
    return true;
}

bool hf_snapshot_file_decode_record(const struct hf_snapshot_file *file, int64_t offset, const unsigned char *data,
                                    struct hf_format_record *out, struct hf_error *err)
{
    struct hf_format_record record;
    if (!hf_record_decode_head(file->seal, data, &record, err))
        return false;
    if (record.stored_bytes > file->footer.manifest_offset - file->record_bytes - offset)
        return hf_error_set(err, HF_DAMAGED, "it reaches past the blobs");
    *out = record;
    return true;
}

bool hf_snapshot_file_read_content(struct hf_snapshot_file *file, int64_t offset, const struct hf_format_record *record,
                                   struct hf_blob **out, struct hf_error *err)
{
    if (!hf_snapshot_file_unlock(file, err))
        return false;
    bool in_place = record->encoding == HF_ENCODING_RAW && !file->seal;
    HF_AUTO(blob) struct hf_blob *blob = hf_blob_new((size_t)record->bytes);
    HF_AUTO(free) unsigned char *apart = in_place ? NULL : malloc((size_t)record->stored_bytes + 1);
    if (!blob || (!in_place && !apart))
        return hf_error_set(err, HF_OVERLOADED, "there is no memory for a state of %lld bytes",
                            (long long)record->bytes);
    unsigned char *stored = in_place ? blob->data : apart;
    struct hf_record_decoding with = {.seal = file->seal, .unsealed = in_place ? NULL : apart + HF_SEAL_NONCE_BYTES};
    if (!hf_snapshot_file_read(file, stored, (size_t)record->stored_bytes, offset + file->record_bytes, err) ||
        !hf_record_decode(&with, record, stored, blob, err))
        return hf_error_wrap(err, "snapshot file %s: blob at offset %lld", file->name, (long long)offset);
    *out = blob;
    blob = NULL;
    return true;
}
