#include "cli/file.h"

#include "cli/interrupt.h"
#include "core/auto.h"
#include "core/id.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define LINKS_MAX 40 /* as the kernel has it */

struct hf_out_file {
    char *path;
    char *temporary; /* NULL: written directly */
    int fd;
};

static bool open_temporary(struct hf_out_file *file, struct hf_error *err);
static bool sync_directory(const char *path, struct hf_error *err);
static char *target_of(const char *path);
static char *directory_of(const char *path);

bool hf_out_file_open(const char *path, struct hf_out_file **out, struct hf_error *err)
{
    struct stat status;
    struct hf_out_file *file = hf_alloc(sizeof(*file));
    bool exists = stat(path, &status) == 0;
    file->fd = -1;
    if (exists && !S_ISREG(status.st_mode)) {
        file->path = hf_strdup(path);
        file->fd = hf_interrupt_open_output(path);
        if (file->fd < 0) {
            hf_error_errno(err, errno, "cannot write %.200s", path);
            hf_out_file_drop(file);
            return false;
        }
        *out = file;
        return true;
    }
    if (!exists && errno != ENOENT) {
        hf_error_errno(err, errno, "cannot write %.200s", path);
        hf_out_file_drop(file);
        return false;
    }
    /* Through a symbolic link its target is replaced, not the link. */
    file->path = target_of(path);
    if (exists && faccessat(AT_FDCWD, file->path, W_OK, AT_EACCESS) != 0) {
        hf_error_errno(err, errno, "cannot write %.200s", path);
        hf_out_file_drop(file);
        return false;
    }
    if (!open_temporary(file, err)) {
        hf_out_file_drop(file);
        return false;
    }
    if (exists && fchmod(file->fd, status.st_mode & 07777) != 0) {
        /* Not the owner: the umask has to do. */
    }
    *out = file;
    return true;
}

bool hf_out_file_add(struct hf_out_file *file, const void *data, size_t bytes, struct hf_error *err)
{
    for (const char *at = data; bytes > 0;) {
        ssize_t written = write(file->fd, at, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN && hf_interrupt_await_output(file->fd))
            continue;
        if (written < 0)
            return hf_error_errno(err, errno, "cannot write %.200s", file->path);
        at += written;
        bytes -= (size_t)written;
    }
    return true;
}

bool hf_out_file_keep(struct hf_out_file *file, struct hf_error *err)
{
    bool good = true;
    if (file->temporary) {
        good = fsync(file->fd) == 0 || hf_error_errno(err, errno, "cannot write %.200s", file->path);
        good = good && (rename(file->temporary, file->path) == 0 ||
                        hf_error_errno(err, errno, "cannot rename to %.200s", file->path));
        if (good) {
            free(file->temporary);
            file->temporary = NULL;
            good = sync_directory(file->path, err);
        }
    }
    hf_out_file_drop(file);
    return good;
}

void hf_out_file_drop(struct hf_out_file *file)
{
    if (!file)
        return;
    if (file->fd >= 0)
        close(file->fd);
    if (file->temporary)
        unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    free(file);
}

static bool open_temporary(struct hf_out_file *file, struct hf_error *err)
{
    char id[40];
    HF_AUTO(free) char *directory = directory_of(file->path);
    hf_id_random(".tmp-holdfast-", id, sizeof(id));
    file->temporary = hf_format("%s/%s", directory, id);
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd >= 0)
        return true;
    hf_error_errno(err, errno, "cannot write %.200s", file->path);
    free(file->temporary);
    file->temporary = NULL;
    return false;
}

static bool sync_directory(const char *path, struct hf_error *err)
{
    HF_AUTO(free) char *directory = directory_of(path);
    HF_AUTO(close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* EINVAL: a file system that has no such thing. */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        return hf_error_errno(err, errno, "cannot flush the directory of %.200s", path);
    return true;
}

/* Also where the last of the links leads to nothing yet. Owns. */
static char *target_of(const char *path)
{
    char *at = hf_strdup(path), link[PATH_MAX];
    for (int links = 0; links < LINKS_MAX; links++) {
        ssize_t bytes = readlink(at, link, sizeof(link) - 1);
        if (bytes < 0)
            break;
        link[bytes] = '\0';
        HF_AUTO(free) char *directory = directory_of(at);
        free(at);
        at = link[0] == '/' ? hf_strdup(link) : hf_format("%s/%s", directory, link);
    }
    return at;
}

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !slash ? hf_strdup(".") : slash == path ? hf_strdup("/") : hf_strndup(path, (size_t)(slash - path));
}
