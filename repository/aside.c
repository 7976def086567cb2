/* Directories of systems moved aside under names that no system has, and moved back or removed. Every step can be
 * repeated: a crash or an error in the middle leaves files in one of two places, and doing it again brings the rest. */
#include "core/id.h"
#include "repository/place.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static char *aside_name(const char *prefix, const char *system, const char *mark);
static bool move_all(struct hf_repository *repository, const char *from, const char *to, struct hf_error *err);
static bool move_directory(const char *root, const char *from, const char *to, struct hf_error *err);
static bool move_entries(const char *from, const char *to, struct hf_error *err);
static bool remove_files(struct hf_repository *repository, int root, const char *name, struct hf_error *err);
static bool remove_listed(const char *directory, const struct hf_place_list *list, const char *suffix,
                          struct hf_error *err);

bool hf_repository_deletion_begin(struct hf_repository *repository, const char *system, const char *mark,
                                  struct hf_error *err)
{
    HF_AUTO(free) char *aside = aside_name(HF_DELETING_PREFIX, system, mark);
    return hf_place_check_names(system, NULL, err) && move_all(repository, system, aside, err);
}

bool hf_repository_deletion_undo(struct hf_repository *repository, const char *system, const char *mark,
                                 struct hf_error *err)
{
    HF_AUTO(free) char *aside = aside_name(HF_DELETING_PREFIX, system, mark);
    return hf_place_check_names(system, NULL, err) && move_all(repository, aside, system, err);
}

bool hf_repository_deletion_finish(struct hf_repository *repository, const char *system, const char *mark,
                                   struct hf_error *err)
{
    HF_AUTO(free) char *aside = aside_name(HF_DELETING_PREFIX, system, mark);
    if (!hf_place_check_names(system, NULL, err))
        return false;
    for (int root = repository->roots_count - 1; root >= 0; root--) {
        if (!remove_files(repository, root, aside, err))
            return false;
    }
    /* What is not ours is still there; it must not be looked at again and again. */
    return hf_repository_deletion_keep(repository, system, mark, err);
}

bool hf_repository_deletion_keep(struct hf_repository *repository, const char *system, const char *mark,
                                 struct hf_error *err)
{
    HF_AUTO(free) char *aside = aside_name(HF_DELETING_PREFIX, system, mark);
    HF_AUTO(free) char *kept = aside_name(HF_ORPHANED_PREFIX, system, mark);
    return hf_place_check_names(system, NULL, err) && move_all(repository, aside, kept, err);
}

bool hf_repository_set_aside_system(struct hf_repository *repository, const char *system, const char *stamp,
                                    struct hf_error *err)
{
    HF_AUTO(free) char *kept = aside_name(HF_ORPHANED_PREFIX, system, stamp);
    return hf_place_check_names(system, NULL, err) && move_all(repository, system, kept, err);
}

bool hf_repository_deletions_list(struct hf_repository *repository, hf_deletion_fn *each, void *context,
                                  struct hf_error *err)
{
    for (int root = 0; root < repository->roots_count; root++) {
        HF_AUTO(place_list) struct hf_place_list names = {0};
        if (!hf_place_list_deletions(repository, root, &names, err))
            return false;
        for (size_t i = 0; i < names.count; i++) {
            char *system = names.items[i] + strlen(HF_DELETING_PREFIX);
            char *dash = strrchr(system, '-'); /* a name may have dashes, a mark has none */
            if (!dash || !hf_name_is_valid(system, (size_t)(dash - system)))
                continue; /* not made here */
            *dash = '\0';
            each(context, system, dash + 1);
        }
    }
    return true;
}

static char *aside_name(const char *prefix, const char *system, const char *mark)
{
    return hf_format("%s%s-%s", prefix, system, mark);
}

static bool move_all(struct hf_repository *repository, const char *from, const char *to, struct hf_error *err)
{
    for (int root = 0; root < repository->roots_count; root++) {
        if (!move_directory(repository->roots[root], from, to, err))
            return false;
    }
    return true;
}

static bool move_directory(const char *root, const char *from, const char *to, struct hf_error *err)
{
    HF_AUTO(free) char *source = hf_format("%s/%s", root, from);
    HF_AUTO(free) char *target = hf_format("%s/%s", root, to);
    if (rename(source, target) == 0)
        return hf_place_sync_directory(root, err);
    if (errno == ENOENT)
        return true;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return hf_error_errno(err, errno, "%s cannot be renamed to %s", source, target);
    if (!move_entries(source, target, err))
        return false;
    if (rmdir(source) != 0 && errno != ENOENT)
        return hf_error_errno(err, errno, "the directory %s cannot be removed", source);
    return hf_place_sync_directory(root, err);
}

/* Both are there when an earlier move could not be finished or undone. */
static bool move_entries(const char *from, const char *to, struct hf_error *err)
{
    DIR *directory = opendir(from);
    if (!directory)
        return hf_error_errno(err, errno, "the directory %s cannot be read", from);
    bool ok = true;
    for (const struct dirent *entry; ok && (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        HF_AUTO(free) char *source = hf_format("%s/%s", from, entry->d_name);
        HF_AUTO(free) char *target = hf_format("%s/%s", to, entry->d_name);
        if (access(target, F_OK) == 0)
            ok = hf_error_errno(err, EEXIST, "%s cannot be renamed to %s", source, target);
        else if (rename(source, target) != 0)
            ok = hf_error_errno(err, errno, "%s cannot be renamed to %s", source, target);
    }
    closedir(directory);
    return ok && hf_place_sync_directory(to, err);
}

/* The directory too, unless something is in it that is not ours. */
static bool remove_files(struct hf_repository *repository, int root, const char *name, struct hf_error *err)
{
    HF_AUTO(free) char *directory = hf_place_directory(repository, root, name);
    HF_AUTO(place_list) struct hf_place_list ids = {0};
    HF_AUTO(place_list) struct hf_place_list outlines = {0};
    HF_AUTO(place_list) struct hf_place_list temporary = {0};
    if (!hf_place_list_ids(repository, root, name, &ids, err) ||
        !hf_place_list_outlines(repository, root, name, &outlines, err) ||
        !hf_place_list_temporary(repository, root, name, &temporary, err) ||
        !remove_listed(directory, &ids, HF_SNAPSHOT_SUFFIX, err) ||
        !remove_listed(directory, &outlines, HF_OUTLINE_SUFFIX, err) || !remove_listed(directory, &temporary, "", err))
        return false;
    if (rmdir(directory) == 0)
        return hf_place_sync_directory(repository->roots[root], err);
    if (errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
        return hf_error_errno(err, errno, "the directory %s cannot be removed", directory);
    return true;
}

static bool remove_listed(const char *directory, const struct hf_place_list *list, const char *suffix,
                          struct hf_error *err)
{
    for (size_t i = list->count; i > 0; i--) {
        HF_AUTO(free) char *path = hf_format("%s/%s%s", directory, list->items[i - 1], suffix);
        if (unlink(path) != 0 && errno != ENOENT)
            return hf_error_errno(err, errno, "%s cannot be removed", path);
    }
    return true;
}
