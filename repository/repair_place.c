/* Brings a whole file to where it belongs: from another name, by what headers say, or from the mirror. A sound file of
 * another snapshot that is in the way goes to its own place, or aside, and is never destroyed. */
#include "repository/repair_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE_NAMES_MAX 100

static bool find_elsewhere(const struct hf_repair_target *target, char **path_out, char origin[HF_ORIGIN_BYTES],
                           struct hf_error *err);
static bool find_in_directory(const struct hf_repair_target *target, int root, const char *system, bool outlines,
                              char **path_out, char origin[HF_ORIGIN_BYTES], struct hf_error *err);
static bool is_wanted(const struct hf_repair_target *target, const char *path, const char *name, bool *wanted_out,
                      struct hf_error *err);
static bool read_identity(const char *path, struct hf_format_header *out, bool *known_out, struct hf_error *err);
static bool is_sound_file(const char *path, const char *name, const struct hf_keys *keys,
                          const struct hf_format_header *identity, bool *sound_out, struct hf_error *err);
static bool move_here(const struct hf_repair_target *target, const struct hf_examination *examination, const char *from,
                      struct hf_error *err);
static bool bring_from_mirror(const struct hf_repair_target *target, struct hf_repository *mirror,
                              const struct hf_examination *examination, bool *found_out, int64_t *bytes_written,
                              struct hf_error *err);
static bool same_bytes(const char *a, const char *b, bool *same_out, struct hf_error *err);
static bool set_aside(const struct hf_repair_target *target, struct hf_error *err);
static bool swap(const char *a, const char *b, struct hf_error *err);
static bool sync_parent_of(const char *path, struct hf_error *err);

bool hf_repair_bring_file(const struct hf_repair_target *target, struct hf_repository *mirror,
                          const struct hf_examination *examination, bool *found_out, char origin[HF_ORIGIN_BYTES],
                          int64_t *bytes_written, struct hf_error *err)
{
    HF_AUTO(free) char *path = NULL;
    struct hf_error unread = {0};
    *found_out = false;
    bool searched = find_elsewhere(target, &path, origin, &unread);
    if (!searched && unread.code != HF_IO) {
        *err = unread;
        return false;
    }
    if (path) {
        *found_out = true;
        return move_here(target, examination, path, err);
    }
    if (mirror && !bring_from_mirror(target, mirror, examination, found_out, bytes_written, err))
        return false;
    if (*found_out)
        snprintf(origin, HF_ORIGIN_BYTES, "the mirror");
    if (!*found_out && !searched) { /* it may be the one that could not be read */
        *err = unread;
        return false;
    }
    return true;
}

bool hf_repair_move(const char *from, const char *to, struct hf_error *err)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return true;
    int error_number = errno;
    if (error_number == EINVAL || error_number == ENOSYS) { /* some network file systems do not know the flag */
        error_number = link(from, to) == 0 ? 0 : errno;
        if (error_number == 0 && unlink(from) == 0)
            return true;
    }
    if (error_number == EEXIST)
        return hf_error_set(err, HF_CONFLICT, "there is already a file %s", to);
    return hf_error_errno(err, error_number, "%s cannot be renamed to %s", from, to);
}

bool hf_repair_exchange(const char *from, const char *to, bool *exchanged_out, struct hf_error *err)
{
    *exchanged_out = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0;
    if (*exchanged_out)
        return true;
    int error_number = errno;
    if ((error_number == EINVAL || error_number == ENOSYS || error_number == ENOENT) && rename(from, to) == 0)
        return true;
    return hf_error_errno(err, error_number, "%s cannot take the place of %s", from, to);
}

/* *path_out owns; NULL: nowhere. HF_IO: nowhere that can be read. Outlines may have changed names with snapshots: the
 * name of one is where to look last. */
static bool find_elsewhere(const struct hf_repair_target *target, char **path_out, char origin[HF_ORIGIN_BYTES],
                           struct hf_error *err)
{
    struct hf_repository *repository = target->repository;
    bool ok = true;
    for (int i = 0; i < 2 * repository->roots_count; i++) {
        int root = i % repository->roots_count;
        HF_AUTO(place_list) struct hf_place_list systems = {0};
        if (!hf_place_list_systems(repository, root, &systems, err))
            return false;
        for (size_t s = 0; s < systems.count; s++) {
            if (!find_in_directory(target, root, systems.items[s], i >= repository->roots_count, path_out, origin, err))
                ok = false;
            if (*path_out)
                return true;
        }
    }
    return ok;
}

static bool find_in_directory(const struct hf_repair_target *target, int root, const char *system, bool outlines,
                              char **path_out, char origin[HF_ORIGIN_BYTES], struct hf_error *err)
{
    struct hf_repository *repository = target->repository;
    HF_AUTO(place_list) struct hf_place_list ids = {0};
    if (!(outlines ? hf_place_list_outlines : hf_place_list_ids)(repository, root, system, &ids, err))
        return false;
    bool ok = true;
    for (size_t i = 0; i < ids.count; i++) {
        HF_AUTO(free)
        char *path = (outlines ? hf_place_outline : hf_place_path)(repository, root, system, ids.items[i]);
        HF_AUTO(free) char *name = hf_place_file(system, ids.items[i]);
        bool own = strcmp(system, target->system) == 0 && strcmp(ids.items[i], target->id) == 0, wanted = false;
        if (own && (outlines ? hf_outline_is_sound(path, repository->keys) : root == target->root))
            continue; /* each is what it should be: used as such */
        if (!is_wanted(target, path, name, &wanted, err))
            ok = false;
        if (!wanted)
            continue;
        snprintf(origin, HF_ORIGIN_BYTES, "the file under the name of %s/%s", system, ids.items[i]);
        *path_out = path;
        path = NULL;
        return true;
    }
    return ok;
}

static bool is_wanted(const struct hf_repair_target *target, const char *path, const char *name, bool *wanted_out,
                      struct hf_error *err)
{
    struct hf_format_header header;
    bool known;
    if (!read_identity(path, &header, &known, err))
        return false;
    if (!known || strcmp(header.system, target->system) != 0 || strcmp(header.id, target->id) != 0 ||
        header.full != target->full)
        return true;
    return is_sound_file(path, name, target->repository->keys, &header, wanted_out, err);
}

static bool read_identity(const char *path, struct hf_format_header *out, bool *known_out, struct hf_error *err)
{
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX];
    size_t header_bytes;
    struct hf_error ignored;
    *known_out = false;
    HF_AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || hf_error_errno(err, errno, "%s cannot be opened", path);
    ssize_t got = pread(fd, head, sizeof(head), 0);
    if (got < 0)
        return hf_error_errno(err, errno, "%s cannot be read", path);
    *known_out = hf_format_decode_header(head, (size_t)got, out, &header_bytes, &ignored);
    return true;
}

/* As far as its ends and its manifest go. A key that is missing is no hindrance: nobody says that it is damaged. */
static bool is_sound_file(const char *path, const char *name, const struct hf_keys *keys,
                          const struct hf_format_header *identity, bool *sound_out, struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    HF_AUTO(arena) struct hf_arena arena;
    struct hf_manifest_header header;
    hf_arena_init(&arena);
    *sound_out = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || hf_error_errno(err, errno, "%s cannot be opened", path);
    *sound_out = hf_snapshot_file_open_fd(&file, fd, keys, name, err) &&
                 strcmp(file->header.system, identity->system) == 0 && strcmp(file->header.id, identity->id) == 0 &&
                 hf_snapshot_file_read_manifest(file, &arena, &header, NULL, NULL, err);
    return *sound_out || (file && strcmp(file->header.id, identity->id) != 0) || err->code == HF_DAMAGED;
}

static bool move_here(const struct hf_repair_target *target, const struct hf_examination *examination, const char *from,
                      struct hf_error *err)
{
    bool ok;
    if (examination->missing)
        ok = hf_place_make_directory(target->directory, err) && hf_repair_move(from, target->path, err);
    else if (examination->foreign)
        ok = swap(from, target->path, err);
    else
        ok = rename(from, target->path) == 0 || hf_error_errno(err, errno, "%s cannot be renamed", from);
    return ok && sync_parent_of(from, err) && hf_place_sync_directory(target->directory, err);
}

static bool bring_from_mirror(const struct hf_repair_target *target, struct hf_repository *mirror,
                              const struct hf_examination *examination, bool *found_out, int64_t *bytes_written,
                              struct hf_error *err)
{
    const char *kind = target->full ? "full" : "incremental";
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    HF_AUTO(arena) struct hf_arena arena;
    struct hf_manifest_header header;
    int64_t bytes = 0;
    hf_arena_init(&arena);
    if (!hf_snapshot_file_open(&file, mirror, target->system, kind, target->id, err) ||
        !hf_snapshot_file_read_manifest(file, &arena, &header, NULL, NULL, err))
        return err->code == HF_NOT_FOUND || err->code == HF_DAMAGED;
    if (examination->foreign && !hf_repair_make_room(target, examination, err))
        return false;
    if (!hf_repository_copy(mirror, target->repository, target->system, kind, target->id, true, NULL, NULL, &bytes,
                            err))
        return err->code == HF_NOT_FOUND || err->code == HF_DAMAGED;
    *bytes_written += bytes;
    *found_out = true;
    return true;
}

bool hf_repair_make_room(const struct hf_repair_target *target, const struct hf_examination *examination,
                         struct hf_error *err)
{
    if (examination->is_outline)
        return hf_outline_send_home(target->repository, target->path, &examination->identity, err);
    const struct hf_format_header *identity = &examination->identity;
    struct hf_repository *repository = target->repository;
    int root = hf_place_root(repository, identity->full ? "full" : "incremental");
    HF_AUTO(free) char *directory = hf_place_directory(repository, root, identity->system);
    HF_AUTO(free) char *path = hf_place_path(repository, root, identity->system, identity->id);
    HF_AUTO(free) char *name = hf_place_file(identity->system, identity->id);
    bool sound = false, same = false;
    if (access(directory, F_OK) != 0) /* of a system that is gone: it must not come back by this */
        return set_aside(target, err);
    if (hf_repair_move(target->path, path, err))
        return hf_place_sync_directory(directory, err) && hf_place_sync_directory(target->directory, err);
    if (err->code != HF_CONFLICT || !is_sound_file(path, name, repository->keys, identity, &sound, err) ||
        !same_bytes(path, target->path, &same, err))
        return false;
    if (same)
        return true; /* a copy of what is in its own place anyway */
    if (sound || !examination->usable)
        return set_aside(target, err);
    if (rename(target->path, path) != 0)
        return hf_error_errno(err, errno, "%s cannot be renamed", target->path);
    return hf_place_sync_directory(directory, err) && hf_place_sync_directory(target->directory, err);
}

static bool same_bytes(const char *a, const char *b, bool *same_out, struct hf_error *err)
{
    HF_AUTO(close) int left = open(a, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    HF_AUTO(close) int right = open(b, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (left < 0 || right < 0)
        return hf_error_errno(err, errno, "%s cannot be opened", left < 0 ? a : b);
    return hf_repair_compare_files(left, right, NULL, NULL, same_out, err);
}

/* Under a name that nothing here takes for a snapshot. */
static bool set_aside(const struct hf_repair_target *target, struct hf_error *err)
{
    for (int i = 0; i < ASIDE_NAMES_MAX; i++) {
        HF_AUTO(free) char *path = hf_format("%s.displaced-%d", target->path, i);
        if (hf_repair_move(target->path, path, err))
            return hf_place_sync_directory(target->directory, err);
        if (err->code != HF_CONFLICT)
            return false;
    }
    return false;
}

static bool swap(const char *a, const char *b, struct hf_error *err)
{
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return hf_error_errno(err, errno, "%s and %s cannot be exchanged", a, b);
    HF_AUTO(free) char *aside = hf_format("%s.displaced", b);
    return hf_repair_move(b, aside, err) && hf_repair_move(a, b, err) && hf_repair_move(aside, a, err);
}

static bool sync_parent_of(const char *path, struct hf_error *err)
{
    HF_AUTO(free) char *parent = hf_strdup(path);
    *strrchr(parent, '/') = '\0';
    return hf_place_sync_directory(parent, err);
}
