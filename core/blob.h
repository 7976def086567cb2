/* Immutable bytes shared between threads by reference count: an upload's body goes from the socket to the database,
 * the cache and every answer without a copy. */
#ifndef HF_CORE_BLOB_H
#define HF_CORE_BLOB_H

#include <stdatomic.h>
#include <stddef.h>

struct hf_blob {
    atomic_int references;
    size_t bytes; /* used */
    size_t capacity;
    unsigned char data[]; /* written only by its maker, before it is shared */
};

/* A blob with one reference and room for capacity bytes, ->bytes 0; NULL when memory is short. */
struct hf_blob *hf_blob_new(size_t capacity);
struct hf_blob *hf_blob_copy(const void *data, size_t bytes); /* NULL when memory is short */

/* Grows an unshared blob, keeping its content; may move it. On failure NULL, and the old one stays valid. */
struct hf_blob *hf_blob_grow(struct hf_blob *blob, size_t capacity);

struct hf_blob *hf_blob_ref(struct hf_blob *blob); /* returns blob; any thread */
void hf_blob_unref(struct hf_blob *blob);          /* accepts NULL; any thread; also HF_AUTO(blob) */

static inline void hf_auto_blob(struct hf_blob **slot)
{
    hf_blob_unref(*slot);
}

#endif
