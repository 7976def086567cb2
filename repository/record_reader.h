/* Reads many records of a snapshot file, mostly one behind the other: in large pieces, into memory that is used again,
 * so that it costs little more than the hashing. One thread. Private to repository/. */
#ifndef HF_REPOSITORY_RECORD_READER_H
#define HF_REPOSITORY_RECORD_READER_H

#include "repository/snapshot_file.h"

#define HF_RECORD_READER_AHEAD ((size_t)2 << 20)  /* for reading everything */
#define HF_RECORD_READER_HEADS ((size_t)16 << 10) /* for reading heads alone */

struct hf_record_reader; /* opaque */

/* pace (NULL: none) is told of each read's bytes; false: what is being read fails with HF_SHUTTING_DOWN. */
struct hf_record_reader *hf_record_reader_new(bool (*pace)(void *context, int64_t bytes), void *context);
void hf_record_reader_free(struct hf_record_reader *reader); /* accepts NULL */

/* What follows is of this file (borrowed until the next use). ahead_bytes: how much is read at once. */
void hf_record_reader_use(struct hf_record_reader *reader, struct hf_snapshot_file *file, size_t ahead_bytes);
int64_t hf_record_reader_bytes(const struct hf_record_reader *reader); /* read in all */

/* The head of the record at offset, its lengths bounded by the blobs of the file. */
HF_MUST_USE bool hf_record_reader_head(struct hf_record_reader *reader, int64_t offset, struct hf_format_record *out,
                                       struct hf_error *err);

/* Its content, verified. *out is borrowed until the next call; take a reference to keep it. */
HF_MUST_USE bool hf_record_reader_content(struct hf_record_reader *reader, int64_t offset,
                                          const struct hf_format_record *record, struct hf_blob **out,
                                          struct hf_error *err);

static inline void hf_auto_record_reader(struct hf_record_reader **slot)
{
    hf_record_reader_free(*slot);
}

#endif
