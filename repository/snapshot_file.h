/* One snapshot file, opened for reading: its header and footer are checked when it is opened, its manifest and its
 * blobs when they are read. Not thread-safe. Private to repository/.
 *
 * Codes: HF_DAMAGED is proven corruption, HF_IO a failed read (or a newer format version), HF_NOT_FOUND no such file,
 * HF_KEY_MISSING that the file is encrypted with a key that is not at hand: opening it needs none, all else does. */
#ifndef HF_REPOSITORY_SNAPSHOT_FILE_H
#define HF_REPOSITORY_SNAPSHOT_FILE_H

#include "repository/format.h"
#include "repository/repository.h"
#include "repository/seal.h"

struct hf_snapshot_file {
    int fd;
    char *name; /* for messages: <system>/<id>.snapshot */
    int64_t bytes;
    int64_t header_bytes;
    int64_t record_bytes; /* HF_FORMAT_RECORD_BYTES, or those of an encrypted file */
    const struct hf_keys *keys;
    struct hf_seal *seal; /* NULL: plain, or its key is not at hand (hf_snapshot_file_unlock says which) */
    struct hf_format_header header;
    struct hf_format_footer footer;
    /* Header, manifest and footer are read from another file (outline.h), the contents from fd, as far as there are
     * any: zeros where it ends, or is -1. */
    bool is_outline;
    int outline_fd;
};

/* kind NULL: looks where the id suggests, then in the other directory. The header must say what the path says. */
HF_MUST_USE bool hf_snapshot_file_open(struct hf_snapshot_file **out, const struct hf_repository *repository,
                                       const char *system, const char *kind, const char *id, struct hf_error *err);

/* Takes fd, also on failure. keys are borrowed, NULL: none. name is copied. */
HF_MUST_USE bool hf_snapshot_file_open_fd(struct hf_snapshot_file **out, int fd, const struct hf_keys *keys,
                                          const char *name, struct hf_error *err);

/* The same with fd borrowed; and it looks, as a reader would, whether the manifest is sound too. */
HF_MUST_USE bool hf_snapshot_file_check_fd(struct hf_snapshot_file **out, int fd, const struct hf_keys *keys,
                                           const char *name, struct hf_error *err);

/* Is what it takes to read it at hand? A plain file: always. */
HF_MUST_USE bool hf_snapshot_file_unlock(struct hf_snapshot_file *file, struct hf_error *err);
void hf_snapshot_file_close(struct hf_snapshot_file *file); /* accepts NULL */

static inline void hf_auto_snapshot_file(struct hf_snapshot_file **slot)
{
    hf_snapshot_file_close(*slot);
}

/* Reads exactly bytes, or fails: HF_DAMAGED when the file ends before. */
HF_MUST_USE bool hf_snapshot_file_read(struct hf_snapshot_file *file, void *out, size_t bytes, int64_t offset,
                                       struct hf_error *err);

/* Called for every entry in name order. The entry's texts live until it returns; false with err set stops. */
typedef bool hf_entry_fn(void *context, const struct hf_manifest_entry *entry, struct hf_error *err);

/* Checks the stored manifest's hash, then streams it: memory does not grow with it. The header's texts go to the
 * arena. each NULL: the header alone is decoded. */
HF_MUST_USE bool hf_snapshot_file_read_manifest(struct hf_snapshot_file *file, struct hf_arena *arena,
                                                struct hf_manifest_header *header_out, hf_entry_fn *each, void *context,
                                                struct hf_error *err);

/* Copies the entry with all its texts into the arena. */
struct hf_manifest_entry *hf_manifest_entry_copy(struct hf_arena *arena, const struct hf_manifest_entry *entry);

/* Reads and bounds the blob record at offset. */
HF_MUST_USE bool hf_snapshot_file_read_record(struct hf_snapshot_file *file, int64_t offset,
                                              struct hf_format_record *out, struct hf_error *err);

/* The two checks of that, for who reads the head's bytes otherwise: may a record begin at offset, and do the bytes of
 * its head, data, describe one that ends within the blobs? The file is unlocked. HF_DAMAGED says neither file nor
 * offset. */
HF_MUST_USE bool hf_snapshot_file_check_offset(const struct hf_snapshot_file *file, int64_t offset,
                                               struct hf_error *err);
HF_MUST_USE bool hf_snapshot_file_decode_record(const struct hf_snapshot_file *file, int64_t offset,
                                                const unsigned char *data, struct hf_format_record *out,
                                                struct hf_error *err);

/* Reads the content of the record at offset; length and hash are verified. *out owns a reference. */
HF_MUST_USE bool hf_snapshot_file_read_content(struct hf_snapshot_file *file, int64_t offset,
                                               const struct hf_format_record *record, struct hf_blob **out,
                                               struct hf_error *err);

#endif
