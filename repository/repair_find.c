/* Looks for contents by their hash in snapshot files. Only what is wanted is remembered, so that memory grows with the
 * damage and not with the repository. What files say is a hint: a content is believed when it was read and verified. */
#include "repository/record_reader.h"
#include "repository/repair_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SCAN_BYTES  ((size_t)1 << 20)
#define PLACES_MAX  64 /* of one content; more copies than that are not all bad */
#define MAGIC       "HFB1"
#define MAGIC_BYTES 4

struct origin_file {
    struct hf_repository *repository;
    int root;
    char id[HF_SNAPSHOT_ID_MAX + 1];
    const char *path; /* borrowed; NULL: by root and id */
};

struct place {
    size_t file; /* index */
    int64_t offset;
    size_t next; /* index + 1; 0: the last one */
};

struct wanted {
    struct hf_hash hash;
    size_t first, last; /* places: index + 1 */
    int count;
};

struct hf_finder {
    struct hf_repository *repository, *mirror;
    const char *system;
    const struct hf_repair_target *skip;
    struct wanted *wanted; /* sorted, each once, when searching */
    size_t wanted_count, wanted_capacity;
    struct origin_file *files;
    size_t files_count, files_capacity;
    struct place *places;
    size_t places_count, places_capacity;
    struct hf_record_reader *reader;
    struct hf_snapshot_file *open; /* the file of index open_index */
    size_t open_index;
    int64_t bytes_read;
    hf_content_fn *each; /* NULL: what is wanted is noted; else all is told */
    void *each_context;
    bool ended; /* by each */
    bool failed;
    struct hf_error why;
    bool locked; /* a file is encrypted with a key that is missing */
    struct hf_error why_locked;
};

static hf_entry_fn note_entry;
static int compare_wanted(const void *a, const void *b);
static struct wanted *find_wanted(const struct hf_finder *finder, const struct hf_hash *hash);
static void add_place(struct hf_finder *finder, const struct hf_hash *hash, int64_t offset);
static void search_repository(struct hf_finder *finder, struct hf_repository *repository);
static struct origin_file *add_file(struct hf_finder *finder);
static void search_file(struct hf_finder *finder);
static bool open_file(struct hf_finder *finder, size_t index, struct hf_snapshot_file **out, struct hf_error *err);
static bool open_bare(int fd, const struct hf_keys *keys, const char *name, struct hf_snapshot_file **out,
                      struct hf_error *err);
static void scan_file(struct hf_finder *finder, struct hf_snapshot_file *file);
static bool fetch_from(struct hf_finder *finder, const struct place *place, const struct hf_hash *hash, int64_t bytes,
                       struct hf_blob **out);
static void note_failure(struct hf_finder *finder, const struct hf_error *err);
static bool has_missed(const struct hf_finder *finder, struct hf_error *why);

struct hf_finder *hf_finder_new(struct hf_repository *repository, struct hf_repository *mirror, const char *system,
                                const struct hf_repair_target *skip)
{
    struct hf_finder *finder = hf_alloc(sizeof(*finder));
    finder->repository = repository;
    finder->mirror = mirror;
    finder->system = system;
    finder->skip = skip;
    finder->reader = hf_record_reader_new(NULL, NULL);
    return finder;
}

void hf_finder_free(struct hf_finder *finder)
{
    if (!finder)
        return;
    hf_snapshot_file_close(finder->open);
    hf_record_reader_free(finder->reader);
    free(finder->wanted);
    free(finder->files);
    free(finder->places);
    free(finder);
}

void hf_finder_want(struct hf_finder *finder, const struct hf_hash *hash)
{
    if (finder->wanted_count == finder->wanted_capacity) {
        finder->wanted_capacity = finder->wanted_capacity ? 2 * finder->wanted_capacity : 16;
        finder->wanted = hf_realloc(finder->wanted, finder->wanted_capacity * sizeof(*finder->wanted));
    }
    finder->wanted[finder->wanted_count++] = (struct wanted){.hash = *hash};
}

void hf_finder_search(struct hf_finder *finder)
{
    size_t kept = 0;
    if (finder->wanted_count == 0)
        return;
    qsort(finder->wanted, finder->wanted_count, sizeof(*finder->wanted), compare_wanted);
    for (size_t i = 0; i < finder->wanted_count; i++) {
        if (kept == 0 || compare_wanted(&finder->wanted[kept - 1], &finder->wanted[i]) != 0)
            finder->wanted[kept++] = finder->wanted[i];
    }
    finder->wanted_count = kept;
    search_repository(finder, finder->repository);
    if (finder->mirror)
        search_repository(finder, finder->mirror);
    if (finder->skip && finder->skip->kept) {
        *add_file(finder) = (struct origin_file){.repository = finder->repository, .path = finder->skip->kept};
        search_file(finder);
    }
}

void hf_finder_fetch(struct hf_finder *finder, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                     char origin[HF_ORIGIN_BYTES])
{
    const struct wanted *wanted = find_wanted(finder, hash);
    *out = NULL;
    for (size_t at = wanted ? wanted->first : 0; at; at = finder->places[at - 1].next) {
        const struct place *place = &finder->places[at - 1];
        const struct origin_file *file = &finder->files[place->file];
        if (!fetch_from(finder, place, hash, bytes, out))
            continue;
        if (file->path)
            snprintf(origin, HF_ORIGIN_BYTES, "what was left of the file that was replaced");
        else
            snprintf(origin, HF_ORIGIN_BYTES, "snapshot file %s%s",
                     file->repository == finder->repository ? "" : "of the mirror, ", file->id);
        return;
    }
}

bool hf_finder_failed(const struct hf_finder *finder, struct hf_error *why)
{
    if (finder->failed)
        *why = finder->why;
    return finder->failed;
}

int64_t hf_finder_bytes_read(const struct hf_finder *finder)
{
    return finder->bytes_read + hf_record_reader_bytes(finder->reader);
}

bool hf_repository_find_content(struct hf_repository *repository, const char *system, const struct hf_hash *hash,
                                struct hf_blob **out, char origin[HF_ORIGIN_BYTES], bool *found_out,
                                struct hf_error *err)
{
    struct hf_blob *blob = NULL;
    if (!hf_place_check_names(system, NULL, err))
        return false;
    HF_AUTO(finder) struct hf_finder *finder = hf_finder_new(repository, NULL, system, NULL);
    hf_finder_want(finder, hash);
    hf_finder_search(finder);
    hf_finder_fetch(finder, hash, -1, &blob, origin);
    if (!blob && has_missed(finder, err))
        return false;
    *found_out = blob != NULL;
    if (blob)
        *out = blob;
    return true;
}

bool hf_repository_list_contents(struct hf_repository *repository, const char *system, hf_content_fn *each,
                                 void *context, bool *all_out, struct hf_error *err)
{
    if (!hf_place_check_names(system, NULL, err))
        return false;
    HF_AUTO(finder) struct hf_finder *finder = hf_finder_new(repository, NULL, system, NULL);
    finder->each = each;
    finder->each_context = context;
    search_repository(finder, repository);
    *all_out = !finder->ended;
    return finder->ended || !has_missed(finder, err);
}

/* Who mends a file goes on without what is locked; who asks where copies are has to know that there may be one. */
static bool has_missed(const struct hf_finder *finder, struct hf_error *why)
{
    if (hf_finder_failed(finder, why))
        return true;
    if (finder->locked)
        *why = finder->why_locked;
    return finder->locked;
}

static int compare_wanted(const void *a, const void *b)
{
    return memcmp(((const struct wanted *)a)->hash.bytes, ((const struct wanted *)b)->hash.bytes, HF_HASH_BYTES);
}

static struct wanted *find_wanted(const struct hf_finder *finder, const struct hf_hash *hash)
{
    struct wanted key = {.hash = *hash};
    if (finder->wanted_count == 0)
        return NULL;
    return bsearch(&key, finder->wanted, finder->wanted_count, sizeof(key), compare_wanted);
}

/* In the file that was added last. */
static void add_place(struct hf_finder *finder, const struct hf_hash *hash, int64_t offset)
{
    if (finder->each) {
        finder->ended = finder->ended || !finder->each(finder->each_context, hash);
        return;
    }
    struct wanted *wanted = find_wanted(finder, hash);
    if (!wanted || wanted->count == PLACES_MAX)
        return;
    struct place *last = wanted->last ? &finder->places[wanted->last - 1] : NULL;
    if (last && last->file == finder->files_count - 1 && last->offset == offset) /* of several entries */
        return;
    if (finder->places_count == finder->places_capacity) {
        finder->places_capacity = finder->places_capacity ? 2 * finder->places_capacity : 16;
        finder->places = hf_realloc(finder->places, finder->places_capacity * sizeof(*finder->places));
    }
    finder->places[finder->places_count++] = (struct place){finder->files_count - 1, offset, 0};
    if (wanted->last)
        finder->places[wanted->last - 1].next = finder->places_count;
    else
        wanted->first = finder->places_count;
    wanted->last = finder->places_count;
    wanted->count++;
}

static void search_repository(struct hf_finder *finder, struct hf_repository *repository)
{
    for (int root = 0; root < repository->roots_count; root++) {
        HF_AUTO(place_list) struct hf_place_list ids = {0};
        struct hf_error err;
        if (!hf_place_list_ids(repository, root, finder->system, &ids, &err))
            note_failure(finder, &err);
        for (size_t i = 0; i < ids.count && !finder->ended; i++) {
            const struct hf_repair_target *skip = finder->skip;
            if (skip && repository == skip->repository && root == skip->root && strcmp(ids.items[i], skip->id) == 0)
                continue;
            struct origin_file *file = add_file(finder);
            *file = (struct origin_file){.repository = repository, .root = root};
            snprintf(file->id, sizeof(file->id), "%s", ids.items[i]);
            search_file(finder);
        }
    }
}

static struct origin_file *add_file(struct hf_finder *finder)
{
    if (finder->files_count == finder->files_capacity) {
        finder->files_capacity = finder->files_capacity ? 2 * finder->files_capacity : 64;
        finder->files = hf_realloc(finder->files, finder->files_capacity * sizeof(*finder->files));
    }
    return &finder->files[finder->files_count++];
}

/* The file that was added last. Whose it is does not matter: one under a wrong name has good contents too. */
static void search_file(struct hf_finder *finder)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    struct hf_manifest_header header;
    struct hf_error err;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    if (!open_file(finder, finder->files_count - 1, &file, &err)) {
        note_failure(finder, &err);
        return;
    }
    finder->open = file; /* for the entries */
    bool sound =
        file->header_bytes > 0 && hf_snapshot_file_read_manifest(file, &arena, &header, note_entry, finder, &err);
    finder->open = NULL;
    finder->bytes_read += sound ? file->footer.manifest_stored_bytes : 0;
    if (!sound && file->header_bytes > 0 && err.code != HF_DAMAGED && !finder->ended) {
        note_failure(finder, &err);
        return;
    }
    if (!sound && !finder->ended)
        scan_file(finder, file);
}

static bool note_entry(void *context, const struct hf_manifest_entry *entry, struct hf_error *err)
{
    struct hf_finder *finder = context;
    if (finder->ended)
        return hf_error_set(err, HF_CONFLICT, "the list was ended");
    if (hf_manifest_entry_is_present(entry) && strcmp(entry->blob_file, finder->open->header.id) == 0)
        add_place(finder, &entry->hash, entry->blob_offset);
    return true;
}

/* One whose ends are damaged is opened too: its header_bytes are 0. */
static bool open_file(struct hf_finder *finder, size_t index, struct hf_snapshot_file **out, struct hf_error *err)
{
    const struct origin_file *from = &finder->files[index];
    HF_AUTO(free)
    char *path =
        from->path ? hf_strdup(from->path) : hf_place_path(from->repository, from->root, finder->system, from->id);
    HF_AUTO(free) char *name = hf_place_file(finder->system, from->id);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return hf_error_set(err, HF_NOT_FOUND, "there is no snapshot file %s", name);
    if (fd < 0)
        return hf_error_errno(err, errno, "snapshot file %s cannot be opened", path);
    int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (again < 0) {
        close(fd);
        return hf_error_errno(err, errno, "snapshot file %s cannot be opened", path);
    }
    bool ok = hf_snapshot_file_open_fd(out, fd, from->repository->keys, name, err);
    if (!ok && err->code == HF_DAMAGED)
        return open_bare(again, from->repository->keys, name, out, err);
    close(again);
    return ok;
}

/* Takes fd. Records may be anywhere in it. */
static bool open_bare(int fd, const struct hf_keys *keys, const char *name, struct hf_snapshot_file **out,
                      struct hf_error *err)
{
    struct hf_snapshot_file *file = hf_alloc(sizeof(*file));
    struct stat status;
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX];
    size_t header_bytes;
    struct hf_error ignored;
    *file = (struct hf_snapshot_file){.fd = fd, .keys = keys, .name = hf_strdup(name)};
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        hf_snapshot_file_close(file);
        return hf_error_set(err, HF_NOT_FOUND, "%s is no regular file", name);
    }
    file->bytes = status.st_size;
    file->footer.manifest_offset = file->bytes;
    size_t bytes = file->bytes < (int64_t)sizeof(head) ? (size_t)file->bytes : sizeof(head);
    bool encrypted = hf_snapshot_file_read(file, head, bytes, 0, &ignored) &&
                     hf_format_decode_header(head, bytes, &file->header, &header_bytes, &ignored) &&
                     file->header.key_id[0];
    file->record_bytes = encrypted ? HF_FORMAT_RECORD_BYTES_MAX : HF_FORMAT_RECORD_BYTES;
    *out = file;
    return true;
}

/* Reads all of it and tries whatever looks like the start of a record. */
static void scan_file(struct hf_finder *finder, struct hf_snapshot_file *file)
{
    HF_AUTO(free) unsigned char *piece = hf_alloc(SCAN_BYTES);
    struct hf_error err;
    if (!hf_snapshot_file_unlock(file, &err))
        return;
    for (int64_t at = 0; at < file->bytes; at += (int64_t)(SCAN_BYTES - MAGIC_BYTES + 1)) {
        int64_t left = file->bytes - at;
        size_t bytes = left < (int64_t)SCAN_BYTES ? (size_t)left : SCAN_BYTES;
        if (!hf_snapshot_file_read(file, piece, bytes, at, &err)) {
            if (err.code != HF_DAMAGED)
                note_failure(finder, &err);
            return;
        }
        finder->bytes_read += (int64_t)bytes;
        if (finder->ended)
            return;
        const unsigned char *hit = piece;
        while ((hit = memmem(hit, bytes - (size_t)(hit - piece), MAGIC, MAGIC_BYTES)) != NULL) {
            struct hf_format_record record;
            int64_t offset = at + (hit - piece);
            if (hf_snapshot_file_read_record(file, offset, &record, &err))
                add_place(finder, &record.hash, offset);
            hit++;
        }
    }
}

static bool fetch_from(struct hf_finder *finder, const struct place *place, const struct hf_hash *hash, int64_t bytes,
                       struct hf_blob **out)
{
    struct hf_error err = {.code = HF_DAMAGED};
    struct hf_format_record record;
    struct hf_blob *blob = NULL;
    if (!finder->open || finder->open_index != place->file) {
        hf_snapshot_file_close(finder->open);
        finder->open = NULL;
        if (!open_file(finder, place->file, &finder->open, &err)) {
            note_failure(finder, &err);
            return false;
        }
        finder->open_index = place->file;
    }
    hf_record_reader_use(finder->reader, finder->open, 0);
    if (!hf_record_reader_head(finder->reader, place->offset, &record, &err) || !hf_hash_equal(&record.hash, hash) ||
        (bytes >= 0 && record.bytes != bytes) ||
        !hf_record_reader_content(finder->reader, place->offset, &record, &blob, &err)) {
        note_failure(finder, &err);
        return false;
    }
    *out = hf_blob_ref(blob);
    return true;
}

static void note_failure(struct hf_finder *finder, const struct hf_error *err)
{
    if (err->code == HF_KEY_MISSING && !finder->locked) {
        finder->locked = true;
        finder->why_locked = *err;
    }
    bool silent = err->code == HF_DAMAGED || err->code == HF_NOT_FOUND || err->code == HF_KEY_MISSING;
    if (silent || finder->failed)
        return;
    finder->failed = true;
    finder->why = *err;
}
