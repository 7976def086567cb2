/* A snapshot as a tar archive (POSIX.1-2001 pax, made and read with libarchive): manifest.json first, then one file
 * states/COMPONENT for each present state, in name order. Memory holds one state at a time. docs/archive-format.md. */
#ifndef HF_REPOSITORY_ARCHIVE_H
#define HF_REPOSITORY_ARCHIVE_H

#include "core/stream.h"
#include "repository/repository.h"

/* Writes all of it, compressed with zstd when asked. Every content is verified before its first byte leaves. HF_DAMAGED
 * and HF_IO break the archive off, and so do errors of the writer. */
HF_MUST_USE bool hf_archive_write(struct hf_chain *chain, bool zstd, const struct hf_writer *to, struct hf_error *err);

struct hf_archive_limits {
    int64_t archive_bytes_max; /* as it comes, and again unpacked */
    int64_t state_bytes_max;
    int64_t manifest_bytes_max;
};

/* Takes an archive (plain tar, or compressed with zstd or gzip) into a new snapshot file of writer's: entries as in its
 * manifest, contents as in its states. Refuses with HF_INVALID_REQUEST, naming the member: a manifest that is not the
 * first member or is malformed; members that are no regular files or directories, absolute or with "..", not in the
 * manifest, or given twice; states of another length or hash; missing states; contents whose root hash is not the
 * manifest's. header comes filled with what the target wants (id, system, kind full, generation, parent, trigger,
 * label) and is completed from the manifest (counts, root hash, cut time, sequence, epoch); texts go to the arena.
 * Nothing is published: hf_snapshot_writer_finish is the caller's. */
HF_MUST_USE bool hf_archive_read(const struct hf_reader *from, const struct hf_archive_limits *limits,
                                 struct hf_snapshot_writer *writer, struct hf_arena *arena,
                                 struct hf_manifest_header *header, struct hf_error *err);

#endif
