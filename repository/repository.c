/* The repository as a whole: opening, listing, sweeping, and deleting single files. */
#include "repository/repository.h"

#include "core/auto.h"
#include "repository/place.h"
#include "repository/snapshot_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct scan {
    struct hf_repository *repository;
    hf_scan_fn *each;
    void *context;
    bool stopped;
};

/* A snapshot file found: where, and under what id. */
struct found {
    const char *id; /* borrowed from the list it was found in */
    int root;
};

struct index_file {
    struct hf_blob_index *index;
    const char *id;
};

static hf_entry_fn index_entry;
static struct hf_repository *new_repository(const char *backup_directory, const char *incremental_directory);
static bool merge_systems(struct hf_repository *repository, struct hf_place_list *out, struct hf_error *err);
static bool scan_system(struct scan *scan, const char *system, struct hf_error *err);
static bool scan_file(struct scan *scan, const char *system, const struct found *found, struct hf_error *err);
static void take_plain_part(const struct hf_format_header *from, struct hf_manifest_header *to);
static bool file_bytes(const char *path, int64_t *bytes_out, bool *missing_out, struct hf_error *err);
static bool sweep_system(struct hf_repository *repository, int root, const char *system, hf_leftover_fn *each,
                         void *context, struct hf_error *err);
static bool remove_file(const char *path, int64_t *bytes_out, struct hf_error *err);
static bool same_place(const char *a, const char *b);

bool hf_repository_open(struct hf_repository **out, const char *backup_directory, const char *incremental_directory,
                        struct hf_error *err)
{
    if (!hf_place_make_directory(backup_directory, err) || !hf_place_make_directory(incremental_directory, err))
        return false;
    *out = new_repository(backup_directory, incremental_directory);
    (*out)->has_outlines = true;
    return true;
}

bool hf_repository_open_existing(struct hf_repository **out, const char *backup_directory,
                                 const char *incremental_directory, struct hf_error *err)
{
    const char *const directories[HF_ROOTS] = {backup_directory, incremental_directory};
    for (int i = 0; i < HF_ROOTS; i++) {
        struct stat status;
        if (stat(directories[i], &status) != 0 && errno != ENOENT && errno != ENOTDIR)
            return hf_error_errno(err, errno, "the directory %s cannot be read", directories[i]);
        if (stat(directories[i], &status) != 0 || !S_ISDIR(status.st_mode))
            return hf_error_set(err, HF_NOT_FOUND, "there is no directory %s", directories[i]);
    }
    *out = new_repository(backup_directory, incremental_directory);
    return true;
}

void hf_repository_close(struct hf_repository *repository)
{
    if (!repository)
        return;
    for (int i = 0; i < HF_ROOTS; i++)
        free(repository->roots[i]);
    free(repository);
}

void hf_repository_use_keys(struct hf_repository *repository, const struct hf_keys *keys)
{
    repository->keys = keys;
}

void hf_repository_require_signatures(struct hf_repository *repository)
{
    repository->require_signatures = true;
}

bool hf_repository_sweep(struct hf_repository *repository, hf_leftover_fn *each, void *context, struct hf_error *err)
{
    for (int root = 0; root < repository->roots_count; root++) {
        HF_AUTO(place_list) struct hf_place_list systems = {0};
        if (!hf_place_list_systems(repository, root, &systems, err))
            return false;
        for (size_t i = 0; i < systems.count; i++) {
            if (!sweep_system(repository, root, systems.items[i], each, context, err))
                return false;
        }
    }
    return true;
}

bool hf_repository_scan(struct hf_repository *repository, const char *system_or_null, hf_scan_fn *each, void *context,
                        struct hf_error *err)
{
    struct scan scan = {repository, each, context, false};
    if (system_or_null)
        return hf_place_check_names(system_or_null, NULL, err) && scan_system(&scan, system_or_null, err);
    HF_AUTO(place_list) struct hf_place_list systems = {0};
    if (!merge_systems(repository, &systems, err))
        return false;
    for (size_t i = 0; i < systems.count && !scan.stopped; i++) {
        if (i > 0 && strcmp(systems.items[i], systems.items[i - 1]) == 0)
            continue;
        if (!scan_system(&scan, systems.items[i], err))
            return false;
    }
    return true;
}

bool hf_blob_index_add_file(struct hf_blob_index *index, struct hf_repository *repository, const char *system,
                            const char *kind, const char *id, struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    if (!hf_snapshot_file_open(&file, repository, system, kind, id, err))
        return false;
    struct hf_manifest_header header;
    struct hf_arena arena;
    struct index_file context = {index, id};
    hf_arena_init(&arena);
    bool ok = hf_snapshot_file_read_manifest(file, &arena, &header, index_entry, &context, err);
    hf_arena_done(&arena);
    return ok;
}

bool hf_repository_delete(struct hf_repository *repository, const char *system, const char *kind, const char *id,
                          int64_t *bytes_freed_out, struct hf_error *err)
{
    if (!hf_place_check_names(system, id, err))
        return false;
    int root = hf_place_root(repository, kind);
    HF_AUTO(free) char *directory = hf_place_directory(repository, root, system);
    HF_AUTO(free) char *path = hf_place_path(repository, root, system, id);
    int64_t bytes = 0;
    if (!remove_file(path, &bytes, err))
        return false;
    if (bytes > 0 && !hf_place_sync_directory(directory, err))
        return false;
    if (repository->has_outlines && !hf_repository_delete_outline(repository, system, kind, id, err))
        return false;
    *bytes_freed_out = bytes;
    return true;
}

bool hf_repository_delete_outline(struct hf_repository *repository, const char *system, const char *kind,
                                  const char *id, struct hf_error *err)
{
    int root = hf_place_outline_root(repository, kind);
    int64_t bytes = 0;
    if (!hf_place_check_names(system, id, err))
        return false;
    HF_AUTO(free) char *directory = hf_place_directory(repository, root, system);
    HF_AUTO(free) char *path = hf_place_outline(repository, root, system, id);
    return remove_file(path, &bytes, err) && (bytes == 0 || hf_place_sync_directory(directory, err));
}

bool hf_repository_list_outlines(struct hf_repository *repository, const char *system, hf_outline_fn *each,
                                 void *context, struct hf_error *err)
{
    if (!hf_place_check_names(system, NULL, err))
        return false;
    for (int root = 0; root < repository->roots_count; root++) {
        HF_AUTO(place_list) struct hf_place_list ids = {0};
        if (!hf_place_list_outlines(repository, root, system, &ids, err))
            return false;
        for (size_t i = 0; i < ids.count; i++) {
            bool of_full = repository->roots_count == 1 ? strncmp(ids.items[i], "incremental-", 12) != 0
                                                        : root == HF_ROOT_INCREMENTAL;
            each(context, of_full ? "full" : "incremental", ids.items[i]);
        }
    }
    return true;
}

static struct hf_repository *new_repository(const char *backup_directory, const char *incremental_directory)
{
    struct hf_repository *repository = hf_alloc(sizeof(*repository));
    repository->roots[HF_ROOT_FULL] = hf_strdup(backup_directory);
    repository->roots[HF_ROOT_INCREMENTAL] = hf_strdup(incremental_directory);
    repository->roots_count = same_place(backup_directory, incremental_directory) ? 1 : HF_ROOTS;
    return repository;
}

static bool merge_systems(struct hf_repository *repository, struct hf_place_list *out, struct hf_error *err)
{
    for (int root = 0; root < repository->roots_count; root++) {
        if (!hf_place_list_systems(repository, root, out, err))
            return false;
    }
    return true;
}

static int compare_found(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    int order = strcmp(left->id, right->id);
    return order ? order : left->root - right->root;
}

static bool scan_system(struct scan *scan, const char *system, struct hf_error *err)
{
    HF_AUTO(place_list) struct hf_place_list fulls = {0};
    HF_AUTO(place_list) struct hf_place_list incrementals = {0};
    struct hf_place_list *lists[HF_ROOTS] = {&fulls, &incrementals};
    for (int root = 0; root < scan->repository->roots_count; root++) {
        if (!hf_place_list_ids(scan->repository, root, system, lists[root], err))
            return false;
    }
    size_t count = 0;
    HF_AUTO(free) struct found *files = hf_alloc((fulls.count + incrementals.count + 1) * sizeof(*files));
    for (int root = 0; root < HF_ROOTS; root++) {
        for (size_t i = 0; i < lists[root]->count; i++)
            files[count++] = (struct found){lists[root]->items[i], root};
    }
    qsort(files, count, sizeof(*files), compare_found);
    for (size_t i = 0; i < count && !scan->stopped; i++) {
        if (!scan_file(scan, system, &files[i], err))
            return false;
    }
    return true;
}

static bool scan_file(struct scan *scan, const char *system, const struct found *found, struct hf_error *err)
{
    const char *kind = hf_place_kind(scan->repository, found->root, found->id);
    HF_AUTO(free) char *path = hf_place_path(scan->repository, found->root, system, found->id);
    HF_AUTO(free) char *name = hf_place_file(system, found->id);
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    struct hf_manifest_header header = {0};
    struct hf_error damage;
    struct hf_arena arena;
    int64_t bytes;
    bool missing;
    if (!file_bytes(path, &bytes, &missing, err))
        return false;
    if (missing) /* deleted since the directory was read */
        return true;
    hf_arena_init(&arena);
    const char *looked_in = found->root == HF_ROOT_FULL ? "full" : "incremental";
    bool sound = hf_snapshot_file_open(&file, scan->repository, system, looked_in, found->id, &damage) &&
                 hf_snapshot_file_read_manifest(file, &arena, &header, NULL, NULL, &damage);
    bool ok = true;
    if (sound || damage.code == HF_DAMAGED || damage.code == HF_KEY_MISSING) {
        if (!sound)
            header = (struct hf_manifest_header){.system = system, .id = found->id, .kind = kind};
        if (!sound && file && damage.code == HF_KEY_MISSING)
            take_plain_part(&file->header, &header);
        scan->stopped = !scan->each(scan->context, &header, name, bytes, sound ? NULL : &damage);
    } else if (damage.code != HF_NOT_FOUND) {
        *err = damage; /* not read is not the same as damaged */
        ok = false;
    }
    hf_arena_done(&arena);
    return ok;
}

/* What an encrypted file says to everyone. */
static void take_plain_part(const struct hf_format_header *from, struct hf_manifest_header *to)
{
    to->generation = from->generation;
    to->parent = from->parent;
    to->sequence = from->sequence;
    to->epoch = from->epoch;
    to->cut_at_ms = from->cut_at_ms;
}

static bool file_bytes(const char *path, int64_t *bytes_out, bool *missing_out, struct hf_error *err)
{
    struct stat status;
    *missing_out = false;
    *bytes_out = 0;
    if (lstat(path, &status) == 0) {
        *bytes_out = status.st_size;
        return true;
    }
    *missing_out = errno == ENOENT;
    return *missing_out || hf_error_errno(err, errno, "%s cannot be read", path);
}

static bool index_entry(void *context, const struct hf_manifest_entry *entry, struct hf_error *err)
{
    (void)err;
    const struct index_file *file = context;
    if (hf_manifest_entry_is_present(entry) && strcmp(entry->blob_file, file->id) == 0)
        hf_blob_index_add(file->index, &entry->hash, file->id, entry->blob_offset, entry->blob_stored_bytes);
    return true;
}

static bool sweep_system(struct hf_repository *repository, int root, const char *system, hf_leftover_fn *each,
                         void *context, struct hf_error *err)
{
    HF_AUTO(place_list) struct hf_place_list names = {0};
    HF_AUTO(free) char *directory = hf_place_directory(repository, root, system);
    if (!hf_place_list_temporary(repository, root, system, &names, err))
        return false;
    for (size_t i = 0; i < names.count; i++) {
        HF_AUTO(free) char *path = hf_format("%s/%s", directory, names.items[i]);
        int64_t bytes;
        bool missing;
        if (!file_bytes(path, &bytes, &missing, err))
            return false;
        if (missing)
            continue;
        if (each)
            each(context, path, bytes);
        if (!remove_file(path, &bytes, err))
            return false;
    }
    return names.count == 0 || hf_place_sync_directory(directory, err);
}

/* A file that is gone already has 0 bytes. */
static bool remove_file(const char *path, int64_t *bytes_out, struct hf_error *err)
{
    int64_t bytes = 0;
    bool missing;
    if (!file_bytes(path, &bytes, &missing, err))
        return false;
    if (!missing && unlink(path) != 0 && errno != ENOENT)
        return hf_error_errno(err, errno, "%s cannot be removed", path);
    *bytes_out = missing ? 0 : bytes;
    return true;
}

static bool same_place(const char *a, const char *b)
{
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}
