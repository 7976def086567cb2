/* Which contents are already stored, and where: an open-addressing table keyed by the content's hash. Its entries are
 * never removed. */
#include "repository/repository.h"

#include "core/auto.h"

#include <string.h>

#define SLOTS_MIN 256 /* a power of two, as every later size */

struct slot {
    struct hf_hash hash;
    int64_t offset;
    int64_t stored_bytes;
    const char *file; /* NULL: free */
};

struct hf_blob_index {
    struct slot *slots;
    size_t capacity, count;
    char **files; /* every file name once */
    size_t files_count, files_capacity;
};

static struct slot *find_slot(const struct hf_blob_index *index, const struct hf_hash *hash);
static const char *keep_file(struct hf_blob_index *index, const char *file);
static void grow(struct hf_blob_index *index);

struct hf_blob_index *hf_blob_index_new(void)
{
    struct hf_blob_index *index = hf_alloc(sizeof(*index));
    index->capacity = SLOTS_MIN;
    index->slots = hf_alloc(index->capacity * sizeof(*index->slots));
    return index;
}

void hf_blob_index_free(struct hf_blob_index *index)
{
    if (!index)
        return;
    for (size_t i = 0; i < index->files_count; i++)
        free(index->files[i]);
    free(index->files);
    free(index->slots);
    free(index);
}

void hf_blob_index_add(struct hf_blob_index *index, const struct hf_hash *hash, const char *file, int64_t offset,
                       int64_t stored_bytes)
{
    if (4 * (index->count + 1) > 3 * index->capacity)
        grow(index);
    struct slot *slot = find_slot(index, hash);
    if (slot->file)
        return;
    *slot = (struct slot){*hash, offset, stored_bytes, keep_file(index, file)};
    index->count++;
}

bool hf_blob_index_find(const struct hf_blob_index *index, const struct hf_hash *hash, struct hf_blob_place *out)
{
    const struct slot *slot = find_slot(index, hash);
    if (!slot->file)
        return false;
    *out = (struct hf_blob_place){slot->file, slot->offset, slot->stored_bytes};
    return true;
}

/* The slot of this hash, or the free one where it belongs. */
static struct slot *find_slot(const struct hf_blob_index *index, const struct hf_hash *hash)
{
    uint64_t start; /* the hash is as good as random already */
    memcpy(&start, hash->bytes, sizeof(start));
    for (size_t at = (size_t)start & (index->capacity - 1);; at = (at + 1) & (index->capacity - 1)) {
        struct slot *slot = &index->slots[at];
        if (!slot->file || hf_hash_equal(&slot->hash, hash))
            return slot;
    }
}

/* Blobs of one file are added in a row, so the newest name is nearly always the one. */
static const char *keep_file(struct hf_blob_index *index, const char *file)
{
    for (size_t i = index->files_count; i > 0; i--) {
        if (strcmp(index->files[i - 1], file) == 0)
            return index->files[i - 1];
    }
    if (index->files_count == index->files_capacity) {
        index->files_capacity = index->files_capacity ? 2 * index->files_capacity : 16;
        index->files = hf_realloc(index->files, index->files_capacity * sizeof(*index->files));
    }
    return index->files[index->files_count++] = hf_strdup(file);
}

static void grow(struct hf_blob_index *index)
{
    struct hf_blob_index larger = *index;
    larger.capacity = 2 * index->capacity;
    larger.slots = hf_alloc(larger.capacity * sizeof(*larger.slots));
    for (size_t i = 0; i < index->capacity; i++) {
        if (index->slots[i].file)
            *find_slot(&larger, &index->slots[i].hash) = index->slots[i];
    }
    free(index->slots);
    *index = larger;
}
