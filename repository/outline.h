/* The second copy of what a snapshot file has only once: header, manifest as stored and footer, one behind the other,
 * in the directory of the other kind (docs/snapshot-format.md). An outline opens as a snapshot file whose contents are
 * not there: its manifest can be read, its records cannot. Private to repository/. */
#ifndef HF_REPOSITORY_OUTLINE_H
#define HF_REPOSITORY_OUTLINE_H

#include "repository/place.h"
#include "repository/snapshot_file.h"

/* Opens the outline of a snapshot, from its own place or from under any other name of the system's directories; its
 * ends and the hash of its manifest are right. kind NULL: either. HF_NOT_FOUND, HF_DAMAGED: there is none; HF_IO. */
HF_MUST_USE bool hf_outline_open(struct hf_snapshot_file **out, const struct hf_repository *repository,
                                 const char *system, const char *kind, const char *id, struct hf_error *err);

/* The same for one file, whosever it is. Takes fd, also on failure. */
HF_MUST_USE bool hf_outline_open_fd(struct hf_snapshot_file **out, int fd, const struct hf_keys *keys, const char *name,
                                    struct hf_error *err);

/* Is this file an outline, and of which snapshot? Not one of a snapshot without contents: that is the same bytes. */
bool hf_outline_recognise(const char *path, const struct hf_keys *keys, struct hf_format_header *out);

/* Also of a snapshot without contents. */
bool hf_outline_is_sound(const char *path, const struct hf_keys *keys);

/* From now on the contents are read from fd (taken); where it ends, and where fd is -1, zeros are read. */
void hf_outline_use_contents(struct hf_snapshot_file *outline, int fd);

/* Moves an outline that lies under another name to its own place, unless a sound one is there: then it is removed. */
HF_MUST_USE bool hf_outline_send_home(const struct hf_repository *repository, const char *path,
                                      const struct hf_format_header *header, struct hf_error *err);

/* ---- writing ---- */

struct hf_outline_writer;
HF_MUST_USE bool hf_outline_writer_new(struct hf_outline_writer **out, const struct hf_repository *repository,
                                       const struct hf_format_header *header, struct hf_error *err);
/* The manifest as it is stored, piece by piece. */
HF_MUST_USE bool hf_outline_writer_put(struct hf_outline_writer *writer, const void *data, size_t bytes,
                                       struct hf_error *err);
/* Header and footer, and all of it to the disk; nothing is to be seen yet. */
HF_MUST_USE bool hf_outline_writer_finish(struct hf_outline_writer *writer, const struct hf_format_header *header,
                                          const struct hf_format_footer *footer, struct hf_error *err);
/* Takes its name, over whatever has it. The directory is synced apart. Fault point: outline_before_rename. */
HF_MUST_USE bool hf_outline_writer_publish(struct hf_outline_writer *writer, struct hf_error *err);
HF_MUST_USE bool hf_outline_writer_sync(struct hf_outline_writer *writer, struct hf_error *err);
/* Removes what was written unless keep; accepts NULL. */
void hf_outline_writer_free(struct hf_outline_writer *writer, bool keep);

#endif
