/* A snapshot as a tar archive (POSIX.1-2001 pax, made and read with libarchive): manifest.json first, then one file
 * states/COMPONENT for each present state, in name order. Memory holds one state at a time and, while an archive is
 * read, its manifest's entries. docs/archive-format.md. */
#ifndef HF_REPOSITORY_ARCHIVE_H
#define HF_REPOSITORY_ARCHIVE_H

#include "core/stream.h"
#include "repository/repair.h"
#include "repository/repository.h"

/* Writes all of it, compressed with zstd when asked. Every content is verified before its first byte leaves; one that
 * proves damaged is asked of elsewhere (NULL: nobody). HF_DAMAGED, where that has none either, and HF_IO break the
 * archive off, and so do errors of the writer. */
HF_MUST_USE bool hf_archive_write(struct hf_chain *chain, bool zstd, const struct hf_content_source *elsewhere,
                                  const struct hf_writer *to, struct hf_error *err);

/* The archive's manifest.json alone. */
HF_MUST_USE bool hf_archive_write_manifest(const struct hf_chain *chain, const struct hf_writer *to,
                                           struct hf_error *err);

/* The same of what damage has left: only entries i with written[i] and those without a state; components, length and
 * root hash are theirs. The snapshot's own root hash is told beside; its signature, which is over that one, is left
 * out. */
HF_MUST_USE bool hf_archive_write_salvaged_manifest(const struct hf_chain *chain, const bool *written,
                                                    const struct hf_writer *to, struct hf_error *err);

struct hf_archive_limits {
    int64_t archive_bytes_max; /* as it comes, and again unpacked */
    int64_t state_bytes_max;
    int64_t manifest_bytes_max;
};

struct hf_archive; /* being read; one thread */

/* Begins to take an archive in (plain tar, or compressed with zstd or gzip): reads its manifest and checks it against
 * itself, its root hash included. HF_INVALID_REQUEST says what is wrong with it: no tar, a manifest that is not the
 * first member or is malformed. HF_BODY_TOO_LARGE: a limit. Errors of the reader stay what they are. from is borrowed
 * until hf_archive_free; *out owns. */
HF_MUST_USE bool hf_archive_open(struct hf_archive **out, const struct hf_reader *from,
                                 const struct hf_archive_limits *limits, struct hf_error *err);

/* What the snapshot was where it was made: system, id, kind, trigger, label, generation, signature; cut time, sequence
 * and epoch; counts and root hash. Borrowed. */
const struct hf_manifest_header *hf_archive_header(const struct hf_archive *archive);

/* What damage had left of a snapshot (extract --salvage): it is whole in itself, and not all that there was. */
bool hf_archive_is_salvaged(const struct hf_archive *archive);

/* Reads all else into a new snapshot file: entries as in the manifest, contents as in the states. Refuses with
 * HF_INVALID_REQUEST, naming the member: what is no regular file or directory, absolute or with "..", not in the
 * manifest, or given twice; states of another length or hash; missing states. HF_BODY_TOO_LARGE: a limit. The reader is
 * read to its end. Nothing is published: hf_snapshot_writer_finish is the caller's. */
HF_MUST_USE bool hf_archive_read(struct hf_archive *archive, struct hf_snapshot_writer *writer, struct hf_error *err);

void hf_archive_free(struct hf_archive *archive); /* accepts NULL */

#endif
