#include "core/blob.h"

#include "core/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct hf_blob *hf_blob_new(size_t capacity)
{
    if (capacity > SIZE_MAX / 2)
        return NULL;
    struct hf_blob *blob = malloc(sizeof(*blob) + capacity);
    if (!blob)
        return NULL;
    atomic_init(&blob->references, 1);
    blob->bytes = 0;
    blob->capacity = capacity;
    return blob;
}

struct hf_blob *hf_blob_copy(const void *data, size_t bytes)
{
    struct hf_blob *blob = hf_blob_new(bytes);
    if (blob && bytes > 0)
        memcpy(blob->data, data, bytes);
    if (blob)
        blob->bytes = bytes;
    return blob;
}

struct hf_blob *hf_blob_grow(struct hf_blob *blob, size_t capacity)
{
    HF_ASSERT(atomic_load_explicit(&blob->references, memory_order_relaxed) == 1);
    if (capacity <= blob->capacity)
        return blob;
    if (capacity > SIZE_MAX / 2)
        return NULL;
    struct hf_blob *moved = realloc(blob, sizeof(*blob) + capacity);
    if (moved)
        moved->capacity = capacity;
    return moved;
}

struct hf_blob *hf_blob_ref(struct hf_blob *blob)
{
    int before = atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    HF_ASSERT(before > 0);
    return blob;
}

void hf_blob_unref(struct hf_blob *blob)
{
    if (!blob)
        return;
    /* Release what this thread did with the content, acquire what the others did, before the last one frees it. */
    int before = atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel);
    HF_ASSERT(before > 0);
    if (before == 1)
        free(blob);
}
