/* What writing and reading archives share: names of members and fields, and the reader of the manifest. Private to
 * repository/archive*.c. */
#ifndef HF_REPOSITORY_ARCHIVE_PRIVATE_H
#define HF_REPOSITORY_ARCHIVE_PRIVATE_H

#include "core/auto.h"
#include "core/buf.h"
#include "repository/archive.h"
#include "repository/format.h"

#define HF_ARCHIVE_FORMAT   "holdfast-archive"
#define HF_ARCHIVE_VERSION  1
#define HF_ARCHIVE_MANIFEST "manifest.json"
#define HF_ARCHIVE_STATES   "states/"

#define HF_ARCHIVE_ENTRIES_MAX 1000000 /* of what is taken in: each is held in memory */

/* The manifest as it comes, byte by byte: one entry is held as text at a time, however many there are. */
struct hf_archive_manifest {
    struct hf_arena arena;             /* all texts */
    struct hf_manifest_header header;  /* filled by finish */
    bool salvaged;                     /* so is this */
    struct hf_manifest_entry *entries; /* by name; owns */
    int64_t count, capacity;
    /* below: of the reading alone */
    struct hf_buf head;    /* the text without the elements of "entries" */
    struct hf_buf element; /* the one that is being read */
    int depth;
    bool in_string, escaped, in_entries, after_comma;
};

void hf_archive_manifest_init(struct hf_archive_manifest *manifest);
void hf_archive_manifest_done(struct hf_archive_manifest *manifest);
/* HF_INVALID_REQUEST. */
HF_MUST_USE bool hf_archive_manifest_feed(struct hf_archive_manifest *manifest, const char *data, size_t bytes,
                                          struct hf_error *err);
/* All of it has come: checks the header and that it fits the entries. */
HF_MUST_USE bool hf_archive_manifest_finish(struct hf_archive_manifest *manifest, struct hf_error *err);
/* NULL: none. */
struct hf_manifest_entry *hf_archive_manifest_find(const struct hf_archive_manifest *manifest, const char *component);

/* One object of "entries". */
HF_MUST_USE bool hf_archive_read_entry(const char *text, size_t bytes, struct hf_arena *arena,
                                       struct hf_manifest_entry *out, struct hf_error *err);
/* The object without its entries. */
HF_MUST_USE bool hf_archive_read_header(const char *text, size_t bytes, struct hf_arena *arena,
                                        struct hf_manifest_header *out, bool *salvaged_out, struct hf_error *err);

#endif
