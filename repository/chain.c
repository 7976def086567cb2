#include "repository/chain.h"

#include "core/auto.h"
#include "repository/outline.h"

#include <pthread.h>
#include <string.h>

#define OPEN_FILES_MAX 32

struct hf_chain {
    struct hf_repository *repository; /* borrowed */
    bool by_outlines;                 /* manifests may come from there: this is salvaging */
    struct hf_arena arena;
    struct hf_manifest_header header;   /* of the snapshot asked for */
    struct hf_manifest_entry **entries; /* by name */
    int64_t count, capacity;
    pthread_mutex_t files_mutex; /* protects files and use_clock, and is held while one of them is read */
    struct open_file {
        struct hf_snapshot_file *file;
        uint64_t used_at; /* by use_clock */
    } files[OPEN_FILES_MAX];
    uint64_t use_clock;
};

/* One file being laid under what newer files said. */
struct layer {
    struct hf_chain *chain;
    int64_t known; /* entries of newer files: sorted; what this file adds comes behind */
};

/* The files of one generation, the newest first. */
struct generation {
    struct member {
        char id[HF_SNAPSHOT_ID_MAX + 1];
        int64_t sequence;
        bool laid; /* or found unreadable: in any case done with */
    } * members;
    size_t count, capacity;
};

static hf_entry_fn lay_entry;
static struct hf_chain *new_chain(struct hf_repository *repository);
static bool gather_files(struct hf_chain *chain, const char *system, const char *id, bool *own_read_out,
                         struct hf_manifest_header *reached_out, struct hf_error *err);
static bool lay_file(struct hf_chain *chain, const char *system, const char *id, const struct hf_manifest_header *child,
                     struct hf_manifest_header *header_out, struct hf_error *err);
static bool lay_manifest(struct hf_chain *chain, struct hf_snapshot_file *file, const struct hf_manifest_header *child,
                         struct hf_manifest_header *header_out, struct hf_error *err);
static bool check_ancestor(const struct hf_chain *chain, const struct hf_manifest_header *child,
                           const struct hf_format_header *parent, struct hf_error *err);
static bool salvage_rest(struct hf_chain *chain, const char *system, const struct hf_manifest_header *reached,
                         struct hf_error *err);
static bool list_generation(const struct hf_chain *chain, const char *system, struct generation *out,
                            struct hf_error *err);
static bool add_member(const struct hf_chain *chain, const char *system, const char *id, struct generation *out,
                       struct hf_error *err);
static int compare_members(const void *a, const void *b);
static bool lay_newest(struct hf_chain *chain, const char *system, struct generation *generation, int64_t sequence_max,
                       struct hf_manifest_header *header_out, bool *found_out, struct hf_error *err);
static void merge_layer(struct hf_chain *chain, int64_t known);
static int64_t search(const struct hf_chain *chain, int64_t count, const char *component);
static bool use_file(struct hf_chain *chain, const char *id, struct hf_snapshot_file **out, struct hf_error *err);
static struct open_file *slot_for(struct hf_chain *chain, const char *id);

bool hf_chain_load(struct hf_chain **out, struct hf_repository *repository, const char *system, const char *id,
                   struct hf_error *err)
{
    struct hf_chain *chain;
    if (!hf_chain_gather(&chain, repository, system, id, NULL, err))
        return false;
    if (!hf_chain_check_root(chain, err)) {
        hf_chain_free(chain);
        return false;
    }
    *out = chain;
    return true;
}

bool hf_chain_salvage(struct hf_chain **out, struct hf_repository *repository, const char *system, const char *id,
                      bool *whole_out, char why[480], struct hf_error *err)
{
    struct hf_chain *chain = new_chain(repository);
    chain->by_outlines = true;
    struct hf_manifest_header reached;
    struct hf_error damage = {0};
    bool own_read = false;
    bool whole = gather_files(chain, system, id, &own_read, &reached, &damage) && hf_chain_check_root(chain, &damage);
    bool ok = whole || (own_read && damage.code == HF_DAMAGED);
    if (!ok)
        *err = damage;
    else if (!whole && strcmp(reached.kind, "full") != 0)
        ok = salvage_rest(chain, system, &reached, err);
    if (!ok) {
        hf_chain_free(chain);
        return false;
    }
    snprintf(why, sizeof(damage.text), "%s", whole ? "" : damage.text);
    *whole_out = whole;
    *out = chain;
    return true;
}

void hf_chain_free(struct hf_chain *chain)
{
    if (!chain)
        return;
    for (int i = 0; i < OPEN_FILES_MAX; i++)
        hf_snapshot_file_close(chain->files[i].file);
    pthread_mutex_destroy(&chain->files_mutex);
    free(chain->entries);
    hf_arena_done(&chain->arena);
    free(chain);
}

const struct hf_manifest_header *hf_chain_header(const struct hf_chain *chain)
{
    return &chain->header;
}

int64_t hf_chain_count(const struct hf_chain *chain)
{
    return chain->count;
}

const struct hf_manifest_entry *hf_chain_entry(const struct hf_chain *chain, int64_t index)
{
    HF_ASSERT(index >= 0 && index < chain->count);
    return chain->entries[index];
}

const struct hf_manifest_entry *hf_chain_find(const struct hf_chain *chain, const char *component)
{
    int64_t index = search(chain, chain->count, component);
    return index < 0 ? NULL : chain->entries[index];
}

int64_t hf_chain_index_of(const struct hf_chain *chain, const char *component)
{
    return search(chain, chain->count, component);
}

bool hf_chain_read(struct hf_chain *chain, const struct hf_manifest_entry *entry, struct hf_blob **out,
                   struct hf_error *err)
{
    struct hf_snapshot_file *file = NULL;
    struct hf_format_record record;
    pthread_mutex_lock(&chain->files_mutex);
    bool ok = hf_chain_find_record(chain, entry, &file, &record, err) &&
              hf_snapshot_file_read_content(file, entry->blob_offset, &record, out, err);
    pthread_mutex_unlock(&chain->files_mutex);
    if (!ok && err->code != HF_NOT_FOUND)
        hf_error_wrap(err, "the state of %s", entry->component);
    return ok;
}

bool hf_chain_find_record(struct hf_chain *chain, const struct hf_manifest_entry *entry,
                          struct hf_snapshot_file **file_out, struct hf_format_record *record_out, struct hf_error *err)
{
    if (!hf_manifest_entry_is_present(entry))
        return hf_error_set(err, HF_NOT_FOUND, "component %s has no state in this snapshot", entry->component);
    struct hf_snapshot_file *file = NULL;
    struct hf_format_record record;
    if (!use_file(chain, entry->blob_file, &file, err) ||
        !hf_snapshot_file_read_record(file, entry->blob_offset, &record, err))
        return false;
    if (!hf_hash_equal(&record.hash, &entry->hash) || record.bytes != entry->bytes ||
        record.stored_bytes != entry->blob_stored_bytes)
        return hf_error_set(err, HF_DAMAGED, "snapshot file %s: the blob at offset %lld is not the one of the manifest",
                            file->name, (long long)entry->blob_offset);
    *file_out = file;
    *record_out = record;
    return true;
}

bool hf_chain_gather(struct hf_chain **out, struct hf_repository *repository, const char *system, const char *id,
                     bool *own_read_out, struct hf_error *err)
{
    struct hf_chain *chain = new_chain(repository);
    struct hf_manifest_header reached;
    bool own_read = false;
    bool ok = gather_files(chain, system, id, &own_read, &reached, err);
    if (own_read_out)
        *own_read_out = own_read;
    if (!ok) {
        hf_chain_free(chain);
        return false;
    }
    *out = chain;
    return true;
}

bool hf_chain_check_root(const struct hf_chain *chain, struct hf_error *err)
{
    struct hf_hasher *hasher = hf_hasher_new();
    for (int64_t i = 0; i < chain->count; i++) {
        if (hf_manifest_entry_is_present(chain->entries[i]))
            hf_root_hash_add(hasher, chain->entries[i]->component, &chain->entries[i]->hash);
    }
    struct hf_hash root_hash;
    hf_hasher_finish(hasher, &root_hash);
    hf_hasher_free(hasher);
    if (!hf_hash_equal(&root_hash, &chain->header.root_hash))
        return hf_error_set(err, HF_DAMAGED,
                            "snapshot %s/%s: its components do not have the root hash it was made with",
                            chain->header.system, chain->header.id);
    return true;
}

static struct hf_chain *new_chain(struct hf_repository *repository)
{
    struct hf_chain *chain = hf_alloc(sizeof(*chain));
    chain->repository = repository;
    hf_arena_init(&chain->arena);
    pthread_mutex_init(&chain->files_mutex, NULL);
    return chain;
}

/* *reached_out: the oldest file that was laid. */
static bool gather_files(struct hf_chain *chain, const char *system, const char *id, bool *own_read_out,
                         struct hf_manifest_header *reached_out, struct hf_error *err)
{
    struct hf_manifest_header child, parent;
    if (!lay_file(chain, system, id, NULL, &chain->header, err))
        return false;
    *own_read_out = true;
    child = chain->header;
    *reached_out = child;
    const char *mark = child.id; /* a circle comes back to the mark, which moves ever more seldom (Brent) */
    for (int64_t depth = 1, move_at = 2; strcmp(child.kind, "full") != 0; depth++) {
        if (!lay_file(chain, system, child.parent, &child, &parent, err)) {
            if (err->code == HF_NOT_FOUND)
                return hf_error_set(err, HF_DAMAGED, "snapshot %s/%s builds on %s, which is missing", system, child.id,
                                    child.parent);
            return hf_error_wrap(err, "snapshot %s builds on %s", child.id, child.parent);
        }
        if (strcmp(parent.id, mark) == 0)
            return hf_error_set(err, HF_DAMAGED, "snapshot %s/%s builds on itself", system, parent.id);
        if (depth == move_at) {
            mark = parent.id;
            move_at *= 2;
        }
        child = parent;
        *reached_out = child;
    }
    return true;
}

/* A link is broken. What else there is of the generation, from newer to older, until a full: snapshots of a generation
 * follow one another, so each is an ancestor. */
static bool salvage_rest(struct hf_chain *chain, const char *system, const struct hf_manifest_header *reached,
                         struct hf_error *err)
{
    struct generation generation = {0};
    struct hf_manifest_header header = *reached;
    bool found = true;
    bool ok = list_generation(chain, system, &generation, err);
    while (ok && found && strcmp(header.kind, "full") != 0)
        ok = lay_newest(chain, system, &generation, header.sequence, &header, &found, err);
    free(generation.members);
    return ok;
}

static bool list_generation(const struct hf_chain *chain, const char *system, struct generation *out,
                            struct hf_error *err)
{
    for (int root = 0; root < chain->repository->roots_count; root++) {
        HF_AUTO(place_list) struct hf_place_list ids = {0};
        /* Of one that has both, the second is laid in vain. */
        if (!hf_place_list_ids(chain->repository, root, system, &ids, err) ||
            !hf_place_list_outlines(chain->repository, root, system, &ids, err))
            return false;
        for (size_t i = 0; i < ids.count; i++) {
            if (!add_member(chain, system, ids.items[i], out, err))
                return false;
        }
    }
    if (out->count)
        qsort(out->members, out->count, sizeof(*out->members), compare_members);
    return true;
}

/* One whose ends cannot be read anywhere is none of those that help. */
static bool add_member(const struct hf_chain *chain, const char *system, const char *id, struct generation *out,
                       struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    if (!hf_snapshot_file_open(&file, chain->repository, system, NULL, id, err) &&
        ((err->code != HF_DAMAGED && err->code != HF_NOT_FOUND) ||
         !hf_outline_open(&file, chain->repository, system, NULL, id, err)))
        return err->code == HF_DAMAGED || err->code == HF_NOT_FOUND;
    if (strcmp(file->header.generation, chain->header.generation) != 0 || strcmp(id, chain->header.id) == 0)
        return true;
    if (out->count == out->capacity) {
        out->capacity = out->capacity ? 2 * out->capacity : 64;
        out->members = hf_realloc(out->members, out->capacity * sizeof(*out->members));
    }
    struct member *member = &out->members[out->count++];
    *member = (struct member){.sequence = file->header.sequence};
    memcpy(member->id, file->header.id, sizeof(member->id));
    return true;
}

static int compare_members(const void *a, const void *b)
{
    const struct member *left = a, *right = b;
    if (left->sequence != right->sequence)
        return left->sequence < right->sequence ? 1 : -1;
    return strcmp(right->id, left->id);
}

/* Lays the newest readable file that was not laid yet. One that was, before the chain broke, adds nothing again. */
static bool lay_newest(struct hf_chain *chain, const char *system, struct generation *generation, int64_t sequence_max,
                       struct hf_manifest_header *header_out, bool *found_out, struct hf_error *err)
{
    *found_out = false;
    for (size_t i = 0; !*found_out && i < generation->count; i++) {
        struct member *member = &generation->members[i];
        if (member->laid || member->sequence > sequence_max)
            continue;
        member->laid = true;
        *found_out = lay_file(chain, system, member->id, &chain->header, header_out, err);
        if (!*found_out && err->code != HF_DAMAGED && err->code != HF_NOT_FOUND)
            return false;
    }
    return true;
}

static bool check_ancestor(const struct hf_chain *chain, const struct hf_manifest_header *child,
                           const struct hf_format_header *parent, struct hf_error *err)
{
    if (strcmp(parent->generation, chain->header.generation) != 0)
        return hf_error_set(err, HF_DAMAGED, "%s is of another generation", parent->id);
    if (parent->sequence > child->sequence)
        return hf_error_set(err, HF_DAMAGED, "%s is one which is newer", parent->id);
    return true;
}

/* Adds what the file says of components that no newer file speaks of; when salvaging, what its outline says where it
 * cannot be read. child NULL: nothing was laid yet. On failure nothing is added. */
static bool lay_file(struct hf_chain *chain, const char *system, const char *id, const struct hf_manifest_header *child,
                     struct hf_manifest_header *header_out, struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    HF_AUTO(snapshot_file) struct hf_snapshot_file *outline = NULL;
    struct hf_error ignored;
    if (hf_snapshot_file_open(&file, chain->repository, system, NULL, id, err) &&
        lay_manifest(chain, file, child, header_out, err))
        return true;
    return chain->by_outlines && (err->code == HF_DAMAGED || err->code == HF_NOT_FOUND) &&
           hf_outline_open(&outline, chain->repository, system, NULL, id, &ignored) &&
           lay_manifest(chain, outline, child, header_out, &ignored);
}

static bool lay_manifest(struct hf_chain *chain, struct hf_snapshot_file *file, const struct hf_manifest_header *child,
                         struct hf_manifest_header *header_out, struct hf_error *err)
{
    struct layer layer = {chain, chain->count};
    if ((child && !check_ancestor(chain, child, &file->header, err)) ||
        !hf_snapshot_file_read_manifest(file, &chain->arena, header_out, lay_entry, &layer, err)) {
        chain->count = layer.known;
        return false;
    }
    merge_layer(chain, layer.known);
    return true;
}

static bool lay_entry(void *context, const struct hf_manifest_entry *entry, struct hf_error *err)
{
    (void)err;
    struct layer *layer = context;
    struct hf_chain *chain = layer->chain;
    if (search(chain, layer->known, entry->component) >= 0)
        return true;
    if (chain->count == chain->capacity) {
        chain->capacity = chain->capacity ? 2 * chain->capacity : 256;
        chain->entries = hf_realloc(chain->entries, (size_t)chain->capacity * sizeof(*chain->entries));
    }
    chain->entries[chain->count++] = hf_manifest_entry_copy(&chain->arena, entry);
    return true;
}

/* Both parts are sorted. Merged from the end, so that it costs little when little was added. */
static void merge_layer(struct hf_chain *chain, int64_t known)
{
    int64_t added = chain->count - known;
    if (known == 0 || added == 0)
        return;
    struct hf_manifest_entry **tail = hf_alloc((size_t)added * sizeof(*tail));
    memcpy(tail, chain->entries + known, (size_t)added * sizeof(*tail));
    int64_t to = chain->count;
    while (added > 0) {
        bool older = known > 0 && strcmp(chain->entries[known - 1]->component, tail[added - 1]->component) > 0;
        chain->entries[--to] = older ? chain->entries[--known] : tail[--added];
    }
    free(tail);
}

/* Among the first count entries; -1: not among them. */
static int64_t search(const struct hf_chain *chain, int64_t count, const char *component)
{
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(chain->entries[middle]->component, component);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* The file of a snapshot of this generation, opened when it is not open yet. */
static bool use_file(struct hf_chain *chain, const char *id, struct hf_snapshot_file **out, struct hf_error *err)
{
    struct open_file *slot = slot_for(chain, id);
    if (!slot->file || strcmp(slot->file->header.id, id) != 0) {
        struct hf_snapshot_file *file = NULL;
        if (!hf_snapshot_file_open(&file, chain->repository, chain->header.system, NULL, id, err)) {
            if (err->code == HF_NOT_FOUND)
                hf_error_set(err, HF_DAMAGED, "it lies in the snapshot file %s/%s, which is missing",
                             chain->header.system, id);
            return false;
        }
        if (strcmp(file->header.generation, chain->header.generation) != 0) {
            hf_snapshot_file_close(file);
            return hf_error_set(err, HF_DAMAGED, "it lies in %s, which is of another generation", id);
        }
        hf_snapshot_file_close(slot->file);
        slot->file = file;
    }
    slot->used_at = ++chain->use_clock;
    *out = slot->file;
    return true;
}

/* The slot that holds the file; else a free one; else the one unused for longest. */
static struct open_file *slot_for(struct hf_chain *chain, const char *id)
{
    struct open_file *oldest = &chain->files[0];
    for (int i = 0; i < OPEN_FILES_MAX; i++) {
        struct open_file *slot = &chain->files[i];
        if (!slot->file || strcmp(slot->file->header.id, id) == 0) /* slots are filled in order and never emptied */
            return slot;
        if (slot->used_at < oldest->used_at)
            oldest = slot;
    }
    return oldest;
}
