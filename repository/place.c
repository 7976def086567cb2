#include "repository/place.h"

#include "core/auto.h"
#include "repository/format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_MODE 0750

/* Decides whether a directory's entry belongs in a list, and under what text (bytes of name). */
typedef bool pick_fn(const char *name, mode_t mode, size_t *bytes_out);

static pick_fn pick_system, pick_snapshot, pick_outline, pick_temporary, pick_deletion;
static bool has_suffix(const char *name, mode_t mode, const char *suffix, size_t *bytes_out);
static bool list_directory(const char *path, bool missing_is_empty, pick_fn *pick, struct hf_place_list *out,
                           struct hf_error *err);
static bool make_one(const char *path, struct hf_error *err);
static bool sync_parent(const char *path, struct hf_error *err);
static void list_add(struct hf_place_list *list, const char *text, size_t bytes);
static int compare_texts(const void *a, const void *b);

int hf_place_root(const struct hf_repository *repository, const char *kind)
{
    return repository->roots_count == 1 || strcmp(kind, "full") == 0 ? HF_ROOT_FULL : HF_ROOT_INCREMENTAL;
}

const char *hf_place_kind(const struct hf_repository *repository, int root, const char *id)
{
    bool incremental =
        repository->roots_count == 1 ? strncmp(id, "incremental-", 12) == 0 : root == HF_ROOT_INCREMENTAL;
    return incremental ? "incremental" : "full";
}

char *hf_place_directory(const struct hf_repository *repository, int root, const char *system)
{
    return hf_format("%s/%s", repository->roots[root], system);
}

char *hf_place_path(const struct hf_repository *repository, int root, const char *system, const char *id)
{
    return hf_format("%s/%s/%s" HF_SNAPSHOT_SUFFIX, repository->roots[root], system, id);
}

int hf_place_outline_root(const struct hf_repository *repository, const char *kind)
{
    if (repository->roots_count == 1)
        return HF_ROOT_FULL;
    return hf_place_root(repository, kind) == HF_ROOT_FULL ? HF_ROOT_INCREMENTAL : HF_ROOT_FULL;
}

char *hf_place_outline(const struct hf_repository *repository, int root, const char *system, const char *id)
{
    return hf_format("%s/%s/%s" HF_OUTLINE_SUFFIX, repository->roots[root], system, id);
}

char *hf_place_file(const char *system, const char *id)
{
    return hf_format("%s/%s" HF_SNAPSHOT_SUFFIX, system, id);
}

bool hf_place_check_names(const char *system, const char *id, struct hf_error *err)
{
    if (!hf_name_is_valid(system, strlen(system)))
        return hf_error_set(err, HF_INVALID_REQUEST, "the system's name is not one that a directory can have");
    if (id && !hf_format_id_is_valid(id))
        return hf_error_set(err, HF_INVALID_REQUEST, "the snapshot's id is not one that a file can have");
    return true;
}

bool hf_place_make_directory(const char *path, struct hf_error *err)
{
    HF_AUTO(free) char *prefix = hf_strdup(path);
    for (char *at = prefix + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (!make_one(prefix, err))
            return false;
        *at = '/';
    }
    /* The last one's entry is made durable even if it exists: a crash may have come between mkdir and fsync. */
    return make_one(path, err) && sync_parent(path, err);
}

bool hf_place_sync_directory(const char *path, struct hf_error *err)
{
    HF_AUTO(close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return hf_error_errno(err, errno, "the directory %s cannot be opened", path);
    if (fsync(fd) != 0)
        return hf_error_errno(err, errno, "the directory %s cannot be written to disk", path);
    return true;
}

void hf_place_list_done(struct hf_place_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct hf_place_list){0};
}

bool hf_place_list_systems(const struct hf_repository *repository, int root, struct hf_place_list *out,
                           struct hf_error *err)
{
    return list_directory(repository->roots[root], false, pick_system, out, err);
}

bool hf_place_list_ids(const struct hf_repository *repository, int root, const char *system, struct hf_place_list *out,
                       struct hf_error *err)
{
    HF_AUTO(free) char *directory = hf_place_directory(repository, root, system);
    return list_directory(directory, true, pick_snapshot, out, err);
}

bool hf_place_list_outlines(const struct hf_repository *repository, int root, const char *system,
                            struct hf_place_list *out, struct hf_error *err)
{
    HF_AUTO(free) char *directory = hf_place_directory(repository, root, system);
    return list_directory(directory, true, pick_outline, out, err);
}

bool hf_place_list_temporary(const struct hf_repository *repository, int root, const char *system,
                             struct hf_place_list *out, struct hf_error *err)
{
    HF_AUTO(free) char *directory = hf_place_directory(repository, root, system);
    return list_directory(directory, true, pick_temporary, out, err);
}

bool hf_place_list_deletions(const struct hf_repository *repository, int root, struct hf_place_list *out,
                             struct hf_error *err)
{
    return list_directory(repository->roots[root], false, pick_deletion, out, err);
}

static bool make_one(const char *path, struct hf_error *err)
{
    struct stat status;
    if (mkdir(path, DIRECTORY_MODE) == 0)
        return sync_parent(path, err);
    int error_number = errno;
    if (error_number != EEXIST)
        return hf_error_errno(err, error_number, "the directory %s cannot be created", path);
    if (stat(path, &status) != 0)
        return hf_error_errno(err, errno, "the directory %s cannot be read", path);
    if (!S_ISDIR(status.st_mode))
        return hf_error_errno(err, ENOTDIR, "%s is needed as a directory", path);
    return true;
}

static bool sync_parent(const char *path, struct hf_error *err)
{
    HF_AUTO(free) char *parent = hf_strdup(path);
    size_t bytes = strlen(parent);
    while (bytes > 1 && parent[bytes - 1] == '/')
        parent[--bytes] = '\0';
    char *slash = strrchr(parent, '/');
    if (!slash)
        return hf_place_sync_directory(".", err);
    slash[slash == parent ? 1 : 0] = '\0';
    if (access(parent, W_OK) != 0) /* not of our making: nothing of ours waits to be written there */
        return true;
    return hf_place_sync_directory(parent, err);
}

static bool list_directory(const char *path, bool missing_is_empty, pick_fn *pick, struct hf_place_list *out,
                           struct hf_error *err)
{
    DIR *directory = opendir(path);
    if (!directory) {
        if (errno == ENOENT && missing_is_empty)
            return true;
        return hf_error_errno(err, errno, "the directory %s cannot be read", path);
    }
    int error_number = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry) {
            error_number = errno;
            break;
        }
        struct stat status;
        size_t bytes;
        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) /* removed by retention meanwhile */
                continue;
            error_number = errno;
            break;
        }
        if (pick(entry->d_name, status.st_mode, &bytes))
            list_add(out, entry->d_name, bytes);
    }
    closedir(directory);
    if (error_number)
        return hf_error_errno(err, error_number, "the directory %s cannot be read", path);
    if (out->count)
        qsort(out->items, out->count, sizeof(*out->items), compare_texts);
    return true;
}

static bool pick_system(const char *name, mode_t mode, size_t *bytes_out)
{
    *bytes_out = strlen(name);
    return S_ISDIR(mode) && hf_name_is_valid(name, *bytes_out);
}

static bool pick_snapshot(const char *name, mode_t mode, size_t *bytes_out)
{
    return has_suffix(name, mode, HF_SNAPSHOT_SUFFIX, bytes_out);
}

static bool pick_outline(const char *name, mode_t mode, size_t *bytes_out)
{
    return has_suffix(name, mode, HF_OUTLINE_SUFFIX, bytes_out);
}

static bool has_suffix(const char *name, mode_t mode, const char *suffix, size_t *bytes_out)
{
    size_t bytes = strlen(name), suffix_bytes = strlen(suffix);
    if (!S_ISREG(mode) || bytes <= suffix_bytes || strcmp(name + bytes - suffix_bytes, suffix) != 0)
        return false;
    *bytes_out = bytes - suffix_bytes;
    return *bytes_out <= HF_SNAPSHOT_ID_MAX && hf_name_is_valid(name, *bytes_out);
}

static bool pick_temporary(const char *name, mode_t mode, size_t *bytes_out)
{
    *bytes_out = strlen(name);
    return S_ISREG(mode) && strncmp(name, HF_TEMPORARY_PREFIX, strlen(HF_TEMPORARY_PREFIX)) == 0;
}

static bool pick_deletion(const char *name, mode_t mode, size_t *bytes_out)
{
    *bytes_out = strlen(name);
    return S_ISDIR(mode) && strncmp(name, HF_DELETING_PREFIX, strlen(HF_DELETING_PREFIX)) == 0;
}

static void list_add(struct hf_place_list *list, const char *text, size_t bytes)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 64;
        list->items = hf_realloc(list->items, list->capacity * sizeof(*list->items));
    }
    list->items[list->count++] = hf_strndup(text, bytes);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}
