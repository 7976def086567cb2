/* The place for snapshot files: <backup directory>/<system>/<id>.snapshot for fulls, <incremental directory>/... for
 * incrementals. Files are immutable: written under a temporary name, fsynced, renamed, the directory fsynced.
 *
 * One writer per system at a time (the engine serialises snapshots); readers from any thread. Codes: HF_IO (a read or
 * write failed: not proof of corruption), HF_STORAGE_FULL, HF_NOT_FOUND, HF_DAMAGED (proven corruption: bad magic,
 * length, hash, structure; the text says what, where, in which file), HF_INVALID_REQUEST (a name that cannot be part of
 * a path). A file of a newer format version is HF_IO. */
#ifndef HF_REPOSITORY_REPOSITORY_H
#define HF_REPOSITORY_REPOSITORY_H

#include "core/blob.h"
#include "repository/manifest.h"

struct hf_repository;

/* Creates the directories when missing (durably). Both may be the same place. */
HF_MUST_USE bool hf_repository_open(struct hf_repository **out, const char *backup_directory,
                                    const char *incremental_directory, struct hf_error *err);
void hf_repository_close(struct hf_repository *repository);

/* As hf_repository_open, but makes nothing: HF_NOT_FOUND when a directory is missing. For reading what others wrote. */
HF_MUST_USE bool hf_repository_open_existing(struct hf_repository **out, const char *backup_directory,
                                             const char *incremental_directory, struct hf_error *err);

/* <directory>/full and <directory>/incremental, which may be away now and then: looks at nothing and makes nothing.
 * While it is away its files are missing (HF_NOT_FOUND) or cannot be read (HF_IO). */
void hf_repository_open_remote(struct hf_repository **out, const char *directory);
/* Makes its two directories, and those of the system, where they are missing; never the one that they lie in: HF_IO
 * when that is not there. */
HF_MUST_USE bool hf_repository_prepare(struct hf_repository *repository, const char *system_or_null,
                                       struct hf_error *err);

/* Names and lengths of the system's snapshot files, which are not opened; fulls first, by id. Stops early when each
 * returns false. */
typedef bool hf_name_fn(void *context, const char *kind, const char *id, int64_t file_bytes);
HF_MUST_USE bool hf_repository_list(struct hf_repository *repository, const char *system, hf_name_fn *each,
                                    void *context, struct hf_error *err);

/* Keys for what is read and written from now on (borrowed; NULL: none). Before other threads use the repository. */
struct hf_keys;
void hf_repository_use_keys(struct hf_repository *repository, const struct hf_keys *keys);

/* From now on a snapshot without the signature of a trusted key is as good as a forged one: HF_DAMAGED when it is
 * verified. */
void hf_repository_require_signatures(struct hf_repository *repository);

/* Is what lies at the place of system/id another snapshot's file, sound in itself: ends, manifest, every record? Then
 * true, and *owner_out (owns, free()) is "SYSTEM/ID". Errors are a no. */
bool hf_repository_is_misplaced(const struct hf_repository *repository, const char *system, const char *id,
                                char **owner_out);

/* Of the root of a chain that is loaded. *verdict_out: enum hf_signature_verdict (keys.h). HF_DAMAGED: it does not fit,
 * or is required and missing. */
struct hf_chain;
HF_MUST_USE bool hf_repository_check_signature(const struct hf_repository *repository, const struct hf_chain *chain,
                                               int *verdict_out, struct hf_error *err);

/* Removes temporary files that a crash left behind; each is told of first. Call once at start. */
typedef void hf_leftover_fn(void *context, const char *path, int64_t bytes);
HF_MUST_USE bool hf_repository_sweep(struct hf_repository *repository, hf_leftover_fn *each, void *context,
                                     struct hf_error *err);

/* ---- writing ---- */
struct hf_snapshot_writer;

/* header: id, system, kind, generation, parent are needed now (copied) and stay; all else may be set until finish.
 * HF_CONFLICT when the snapshot's file is there already. */
HF_MUST_USE bool hf_snapshot_writer_new(struct hf_snapshot_writer **out, struct hf_repository *repository,
                                        const struct hf_manifest_header *header, struct hf_error *err);

/* Writes one blob (zstd, or raw where that is smaller) and tells where it lies. data must match hash (the caller has
 * verified it). The same hash given twice is written once. */
HF_MUST_USE bool hf_snapshot_writer_add_blob(struct hf_snapshot_writer *writer, const struct hf_hash *hash,
                                             const void *data, size_t bytes, int64_t *offset_out,
                                             int64_t *stored_bytes_out, struct hf_error *err);

/* Adds an entry; in byte order of the component names. blob_file "" means this file. */
HF_MUST_USE bool hf_snapshot_writer_add_entry(struct hf_snapshot_writer *writer, const struct hf_manifest_entry *entry,
                                              struct hf_error *err);

/* Manifest, footer, fsync, rename, fsync of the directory. header carries the final counts and the root hash.
 * *file_out (owns, free()) is the path relative to the directory of its kind. On failure nothing is published. */
HF_MUST_USE bool hf_snapshot_writer_finish(struct hf_snapshot_writer *writer, const struct hf_manifest_header *header,
                                           char **file_out, int64_t *file_bytes_out, struct hf_error *err);

/* Frees; removes the temporary file when not finished. Accepts NULL. */
void hf_snapshot_writer_free(struct hf_snapshot_writer *writer);

/* ---- reading ---- */

/* Every snapshot file found, by name order within a system. When the file's structure, manifest hash or header is
 * damaged, header holds only system, id, kind (from the path) and damage says why (HF_DAMAGED); damage NULL: sound so
 * far (blobs are not read). damage HF_KEY_MISSING is no damage: the file is there and may be sound, but its key is not
 * at hand; header also holds generation, parent, sequence, epoch and cut_at_ms. file_bytes is the size on disk. Stops
 * early when each returns false. */
typedef bool hf_scan_fn(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                        const struct hf_error *damage);
HF_MUST_USE bool hf_repository_scan(struct hf_repository *repository, const char *system_or_null, hf_scan_fn *each,
                                    void *context, struct hf_error *err);

/* A snapshot with everything it builds on: the whole system at its cut. */
struct hf_chain;

/* Loads the manifests of id and its ancestors back to the nearest full, overlays them, and checks the root hash.
 * HF_DAMAGED names the file that is at fault. */
HF_MUST_USE bool hf_chain_load(struct hf_chain **out, struct hf_repository *repository, const char *system,
                               const char *id, struct hf_error *err);
void hf_chain_free(struct hf_chain *chain); /* accepts NULL */

/* As hf_chain_load, but goes on past proven damage: manifests come from outlines where the files are missing or cannot
 * be read; ancestors that have neither are left out, and the root hash need not fit. *whole_out false: something may be
 * missing, why says what; else the list is exact. Contents are still verified when they are read. HF_DAMAGED,
 * HF_NOT_FOUND only when not even the snapshot's own manifest can be read. */
HF_MUST_USE bool hf_chain_salvage(struct hf_chain **out, struct hf_repository *repository, const char *system,
                                  const char *id, bool *whole_out, char why[480], struct hf_error *err);
const struct hf_manifest_header *hf_chain_header(const struct hf_chain *chain);
int64_t hf_chain_count(const struct hf_chain *chain);
const struct hf_manifest_entry *hf_chain_entry(const struct hf_chain *chain, int64_t index); /* name order; tombstones
                                                                                                and version 0 too */
const struct hf_manifest_entry *hf_chain_find(const struct hf_chain *chain, const char *component); /* NULL: none */
int64_t hf_chain_index_of(const struct hf_chain *chain, const char *component);                     /* -1: none */

/* Reads one state: decompressed, its length and hash verified (HF_DAMAGED otherwise; HF_NOT_FOUND when the entry stands
 * for none). *out owns a reference. Any thread; reads of one chain take turns. */
HF_MUST_USE bool hf_chain_read(struct hf_chain *chain, const struct hf_manifest_entry *entry, struct hf_blob **out,
                               struct hf_error *err);

/* Where a generation already holds a content. Built from the manifests of all files of the generation, kept in memory
 * by the engine while the generation is written. */
struct hf_blob_index;
struct hf_blob_place {
    const char *file; /* snapshot id; borrowed from the index */
    int64_t offset;
    int64_t stored_bytes;
};
struct hf_blob_index *hf_blob_index_new(void);
void hf_blob_index_free(struct hf_blob_index *index); /* accepts NULL */
void hf_blob_index_add(struct hf_blob_index *index, const struct hf_hash *hash, const char *file, int64_t offset,
                       int64_t stored_bytes);
bool hf_blob_index_find(const struct hf_blob_index *index, const struct hf_hash *hash, struct hf_blob_place *out);
/* Adds every blob that the file of this snapshot holds itself. */
HF_MUST_USE bool hf_blob_index_add_file(struct hf_blob_index *index, struct hf_repository *repository,
                                        const char *system, const char *kind, const char *id, struct hf_error *err);

/* How a snapshot is read back. */
struct hf_verify_options {
    bool deep; /* every state of the system, wherever in the generation; else the file's own contents, and of those that
                  it refers to that their records are there and say the same */
    /* Told of each content that was read and is right, once for each entry that has it; entry NULL: a content that no
     * entry of this snapshot has. NULL: nobody wants to know. */
    void (*content)(void *context, const struct hf_manifest_entry *entry, const struct hf_blob *blob);
    /* Called after each read with its bytes on disk; may sleep; false breaks the verification off (HF_SHUTTING_DOWN).
     * NULL: as fast as it goes. */
    bool (*pace)(void *context, int64_t bytes);
    void *context;
};

/* What was found; each *_ok is true only when it was reached and is right. */
struct hf_verify_report {
    int64_t blobs;
    int64_t bytes; /* of states, decompressed */
    bool structure_ok, manifest_ok, blobs_ok, chain_ok, root_hash_ok, signature_ok;
    int signature; /* enum hf_signature_verdict (keys.h); signature_ok is false for a bad one, and for a required one
                      that is missing */
};

/* Reads a snapshot back: structure, manifest hash, chain, root hash, signature, contents. HF_DAMAGED says the first
 * thing found wrong; HF_IO and HF_KEY_MISSING are no verdict. options NULL: deep. */
HF_MUST_USE bool hf_repository_verify(struct hf_repository *repository, const char *system, const char *id,
                                      const struct hf_verify_options *options, struct hf_verify_report *report_out,
                                      struct hf_error *err);

/* ---- deleting ---- */
HF_MUST_USE bool hf_repository_delete(struct hf_repository *repository, const char *system, const char *kind,
                                      const char *id, int64_t *bytes_freed_out,
                                      struct hf_error *err); /* gone is fine */

/* Outlines: the second copy of a file's header, manifest and footer. One is written with each snapshot, is deleted with
 * it, and is used by hf_repository_repair and hf_chain_salvage. */

/* Writes the outline of a sound snapshot file where it is missing or says something else; little work where it is
 * right. HF_CONFLICT: a file of another snapshot has its name, which may be the only one left. Nothing is done in a
 * mirror or where nothing is written. */
HF_MUST_USE bool hf_repository_ensure_outline(struct hf_repository *repository, const char *system, const char *kind,
                                              const char *id, struct hf_error *err);
HF_MUST_USE bool hf_repository_delete_outline(struct hf_repository *repository, const char *system, const char *kind,
                                              const char *id, struct hf_error *err); /* gone is fine */

/* By their names alone; kind of the snapshot. */
typedef void hf_outline_fn(void *context, const char *kind, const char *id);
HF_MUST_USE bool hf_repository_list_outlines(struct hf_repository *repository, const char *system, hf_outline_fn *each,
                                             void *context, struct hf_error *err);

/* Deleting a system whose rows are elsewhere: begin renames its directories to .deleting-<system>-<mark>, which nothing
 * else here reads, so that a new system of the name has directories of its own; on disk when it returns. Then undo
 * renames them back, finish removes the files (what is not ours stays, aside as below), or keep leaves all of them
 * aside. mark: letters and digits, another one for every system that ever had the name. Each may be repeated after a
 * failure; none minds that there is nothing. One thread at a time for one system. */
HF_MUST_USE bool hf_repository_deletion_begin(struct hf_repository *repository, const char *system, const char *mark,
                                              struct hf_error *err);
HF_MUST_USE bool hf_repository_deletion_undo(struct hf_repository *repository, const char *system, const char *mark,
                                             struct hf_error *err);
HF_MUST_USE bool hf_repository_deletion_finish(struct hf_repository *repository, const char *system, const char *mark,
                                               struct hf_error *err);
HF_MUST_USE bool hf_repository_deletion_keep(struct hf_repository *repository, const char *system, const char *mark,
                                             struct hf_error *err);

/* Those that were begun and not ended; perhaps twice, once for each place. */
typedef void hf_deletion_fn(void *context, const char *system, const char *mark);
HF_MUST_USE bool hf_repository_deletions_list(struct hf_repository *repository, hf_deletion_fn *each, void *context,
                                              struct hf_error *err);

/* Renames the system's directories to .orphaned-<system>-<stamp>, which nothing here ever reads: its files stay for
 * whoever wants them, and a new system of the same name does not inherit them. stamp: letters and digits. */
HF_MUST_USE bool hf_repository_set_aside_system(struct hf_repository *repository, const char *system, const char *stamp,
                                                struct hf_error *err);

#endif
