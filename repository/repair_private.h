/* The steps of mending a snapshot file, apart: looking at it, finding good contents, bringing a whole file from another
 * place, and writing it anew. Private to repository/. */
#ifndef HF_REPOSITORY_REPAIR_PRIVATE_H
#define HF_REPOSITORY_REPAIR_PRIVATE_H

#include "core/auto.h"
#include "repository/outline.h"
#include "repository/repair.h"
#include "repository/snapshot_file.h"

/* ---- which file is meant ---- */

struct hf_repair_target {
    struct hf_repository *repository;
    const char *system, *id;
    bool full;
    int root;
    char *directory, *path, *name; /* own */
    char *kept; /* owns; another link to a file that was replaced as a whole: it may have contents that are wanted */
};

/* ---- what is the matter with it (repair_examine.c) ---- */

/* A record that is not as it was written, or bytes between records that are none. */
struct hf_repair_damage {
    int64_t offset, end;
    bool known;  /* what the record held: hash, bytes, stored_bytes */
    bool filler; /* nothing refers to what was here: zeros take its place */
    struct hf_hash hash;
    int64_t bytes, stored_bytes;
    bool healed;
};

/* What a manifest says lies in the file. */
struct hf_repair_claim {
    int64_t offset, bytes, stored_bytes;
    struct hf_hash hash;
};

struct hf_repair_claims {
    struct hf_repair_claim *items;
    size_t count, capacity;
};

struct hf_examination {
    bool missing;
    bool usable;     /* header and manifest are sound, or made again: file is set, and may be read as if it were so */
    bool foreign;    /* it is another snapshot's file, as identity says */
    bool is_outline; /* nothing but the outline of a snapshot, under this name */
    bool ends_damaged;
    bool hopeless; /* something is wrong that nothing can mend: manifest and records contradict one another */
    struct hf_format_header identity; /* of a usable file, or one that has a sound header; id "" else */
    struct hf_snapshot_file *file;    /* owns; its header and footer are right, its length is what it should be */
    struct hf_repair_claims claims;   /* sorted by offset */
    struct hf_repair_damage *damages; /* in order of offset */
    size_t damages_count, damages_capacity;
    int64_t records; /* and gaps between them */
    int64_t bytes_read;
    char what[480]; /* the first thing wrong */
};

void hf_repair_add_claim(struct hf_repair_claims *claims, const struct hf_manifest_entry *entry);
void hf_repair_sort_claims(struct hf_repair_claims *claims);

/* Looks at the ends and the manifest; of the wanted file also at every record. HF_IO, HF_KEY_MISSING: no verdict. */
HF_MUST_USE bool hf_repair_examine(const struct hf_repair_target *target, struct hf_examination *out,
                                   struct hf_error *err);
/* Goes on with header, manifest and footer from the outline, and with what contents are here; a file of another
 * snapshot that has the name goes home or aside. *used_out false: there is no outline, and nothing was changed. */
HF_MUST_USE bool hf_repair_use_outline(const struct hf_repair_target *target, struct hf_examination *examination,
                                       bool *used_out, struct hf_error *err);
void hf_examination_done(struct hf_examination *examination);

/* Makes the header, the footer or both of file again, where they are not sound (repair_ends.c). file has fd, keys, name
 * and bytes. The claims are those of its own manifest. *mended_out: something was made again. HF_DAMAGED: it cannot be
 * used; its header tells its identity then, if it is sound. */
HF_MUST_USE bool hf_repair_find_ends(const struct hf_repair_target *target, struct hf_snapshot_file *file,
                                     struct hf_repair_claims *claims, bool *mended_out, char what[480],
                                     struct hf_error *err);
void hf_repair_note(char what[480], const char *format, ...) HF_PRINTF(2, 3); /* the first note stays */

/* Makes file->footer for a manifest that begins at offset and ends before limit; in a plain file its frames say where.
 * header_line_out: the manifest's first line. HF_DAMAGED: there is none (repair_manifest.c). */
HF_MUST_USE bool hf_repair_measure_manifest(struct hf_snapshot_file *file, int64_t offset, int64_t limit,
                                            struct hf_buf *header_line_out, bool *checksummed_out,
                                            struct hf_error *err);

/* ---- good contents (repair_find.c) ---- */

struct hf_finder;
/* mirror NULL: none. skip (NULL: none): the file that is being mended, no source of itself. */
struct hf_finder *hf_finder_new(struct hf_repository *repository, struct hf_repository *mirror, const char *system,
                                const struct hf_repair_target *skip);
void hf_finder_free(struct hf_finder *finder);                             /* accepts NULL */
void hf_finder_want(struct hf_finder *finder, const struct hf_hash *hash); /* before hf_finder_search */
/* Notes where each wanted content is said to lie; reads manifests alone, or everything where they are unsound. */
void hf_finder_search(struct hf_finder *finder);
/* bytes -1: unknown. *out NULL: in no file that can be read. */
void hf_finder_fetch(struct hf_finder *finder, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                     char origin[HF_ORIGIN_BYTES]);
/* A file that could not be read is no proof that a content is lost: true when one was not, with why. */
bool hf_finder_failed(const struct hf_finder *finder, struct hf_error *why);
int64_t hf_finder_bytes_read(const struct hf_finder *finder);

/* ---- a whole file (repair_place.c) ---- */

/* Brings the right file to its place: from another name, or from the mirror. *found_out false: there is none, and
 * nothing was changed. */
HF_MUST_USE bool hf_repair_bring_file(const struct hf_repair_target *target, struct hf_repository *mirror,
                                      const struct hf_examination *examination, bool *found_out,
                                      char origin[HF_ORIGIN_BYTES], int64_t *bytes_written, struct hf_error *err);

/* The file that has the name is of another snapshot, or an outline: it goes home, or aside. */
HF_MUST_USE bool hf_repair_make_room(const struct hf_repair_target *target, const struct hf_examination *examination,
                                     struct hf_error *err);

/* ---- the new file (repair_write.c) ---- */

/* Writes what is sound and what can be mended, verifies it, and exchanges it for the one that is there.
 * contents_healed, origin and bytes of the report are set. *lost_out: not everything could be mended. Writes nothing
 * when nothing can. */
HF_MUST_USE bool hf_repair_write(const struct hf_repair_target *target, struct hf_repository *mirror,
                                 struct hf_examination *examination, const struct hf_content_source *source,
                                 struct hf_repair_report *report, struct hf_error *err);

/* ---- small steps on files ---- */

HF_MUST_USE bool hf_repair_compare_files(int left, int right, hf_pace_fn *pace, void *context, bool *same_out,
                                         struct hf_error *err);
HF_MUST_USE bool hf_repair_write_at(int fd, const void *data, size_t bytes, int64_t offset, struct hf_error *err);
/* RENAME_EXCHANGE, or where the file system does not know it, a rename over to; *exchanged_out: from is the old one
 * now. */
HF_MUST_USE bool hf_repair_exchange(const char *from, const char *to, bool *exchanged_out, struct hf_error *err);
HF_MUST_USE bool hf_repair_move(const char *from, const char *to, struct hf_error *err); /* HF_CONFLICT: never over */

static inline void hf_auto_examination(struct hf_examination *examination)
{
    hf_examination_done(examination);
}

static inline void hf_auto_finder(struct hf_finder **slot)
{
    hf_finder_free(*slot);
}

#endif
