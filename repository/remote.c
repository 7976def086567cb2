/* A repository that may be away: a disk that is not mounted, a share that does not answer. The directory that its two
 * lie in is never made here: where it is missing the disk is, and what was written below it would fill another one and
 * be hidden as soon as the right one comes. */
#include "repository/place.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define DIRECTORY_MODE 0750

static bool make_below(const char *path, struct hf_error *err);
static bool list_root(struct hf_repository *repository, int root, const char *system, hf_name_fn *each, void *context,
                      bool *stopped, struct hf_error *err);

void hf_repository_open_remote(struct hf_repository **out, const char *directory)
{
    struct hf_repository *repository = hf_alloc(sizeof(*repository));
    repository->roots[HF_ROOT_FULL] = hf_format("%s/full", directory);
    repository->roots[HF_ROOT_INCREMENTAL] = hf_format("%s/incremental", directory);
    repository->roots_count = HF_ROOTS;
    *out = repository;
}

bool hf_repository_prepare(struct hf_repository *repository, const char *system_or_null, struct hf_error *err)
{
    if (system_or_null && !hf_place_check_names(system_or_null, NULL, err))
        return false;
    for (int root = 0; root < repository->roots_count; root++) {
        if (!make_below(repository->roots[root], err))
            return false;
        if (!system_or_null)
            continue;
        HF_AUTO(free) char *directory = hf_place_directory(repository, root, system_or_null);
        if (!make_below(directory, err))
            return false;
    }
    return true;
}

/* One level, and durably. */
static bool make_below(const char *path, struct hf_error *err)
{
    struct stat status;
    if (stat(path, &status) == 0)
        return S_ISDIR(status.st_mode) || hf_error_errno(err, ENOTDIR, "%s is needed as a directory", path);
    if (errno != ENOENT)
        return hf_error_errno(err, errno, "the directory %s cannot be read", path);
    if (mkdir(path, DIRECTORY_MODE) != 0 && errno != EEXIST)
        return hf_error_errno(err, errno, "the directory %s cannot be created", path);
    HF_AUTO(free) char *parent = hf_strdup(path);
    *strrchr(parent, '/') = '\0';
    return hf_place_sync_directory(parent, err);
}

bool hf_repository_list(struct hf_repository *repository, const char *system, hf_name_fn *each, void *context,
                        struct hf_error *err)
{
    bool stopped = false;
    if (!hf_place_check_names(system, NULL, err))
        return false;
    for (int root = 0; root < repository->roots_count && !stopped; root++) {
        if (!list_root(repository, root, system, each, context, &stopped, err))
            return false;
    }
    return true;
}

static bool list_root(struct hf_repository *repository, int root, const char *system, hf_name_fn *each, void *context,
                      bool *stopped, struct hf_error *err)
{
    HF_AUTO(place_list) struct hf_place_list ids = {0};
    if (!hf_place_list_ids(repository, root, system, &ids, err))
        return false;
    for (size_t i = 0; i < ids.count && !*stopped; i++) {
        HF_AUTO(free) char *path = hf_place_path(repository, root, system, ids.items[i]);
        struct stat status;
        if (stat(path, &status) == 0)
            *stopped = !each(context, hf_place_kind(repository, root, ids.items[i]), ids.items[i], status.st_size);
        else if (errno != ENOENT) /* deleted since the directory was read */
            return hf_error_errno(err, errno, "%s cannot be read", path);
    }
    return true;
}
