/* Mending one snapshot file: what is wrong with it, part by part, and from where the good bytes come. The file is
 * written anew beside the damaged one, verified, and takes its name in one step (RENAME_EXCHANGE); the damaged one is
 * removed only then. A crash leaves the one or the other.
 *
 * One thread at a time for one system; readers are not disturbed. */
#ifndef HF_REPOSITORY_REPAIR_H
#define HF_REPOSITORY_REPAIR_H

#include "core/arena.h"
#include "repository/repository.h"

#define HF_ORIGIN_BYTES 160

/* Content from outside the repository (the primary database). */
struct hf_content_source {
    /* Looks a content up by its hash; origin says for people where it was. *out owns a reference; it is verified again
     * here. False: not there. May be asked for contents that no component has any more. */
    bool (*find)(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                 char origin[HF_ORIGIN_BYTES]);
    void *context;
};

enum hf_repair_outcome {
    HF_REPAIR_SOUND,   /* nothing was wrong */
    HF_REPAIR_HEALED,  /* every byte is right again */
    HF_REPAIR_DAMAGED, /* something is lost; what could be mended is */
};

struct hf_lost_content {
    struct hf_hash hash; /* zeros where not even that is known */
    int64_t offset;      /* of its record */
};

struct hf_repair_report {
    enum hf_repair_outcome outcome;
    int64_t contents_healed;
    bool file_replaced;                 /* as a whole, from the mirror or from another name */
    bool file_lost;                     /* missing, or its manifest cannot be read: nothing of it can be used */
    char what[480];                     /* the first thing that was wrong; "" when sound */
    char origin[HF_ORIGIN_BYTES];       /* where the first good copy came from; "" */
    const struct hf_lost_content *lost; /* arena */
    int64_t lost_count;
    int64_t bytes_read, bytes_written;
};

/* Looks at every byte of the file of a snapshot and mends it. Good contents are looked for by hash in the other
 * snapshot files of the system, of any generation, in the mirror's, and then in source; header and footer are made
 * again from the manifest; a file that is missing, cut short or has lost its manifest is looked for in the mirror and,
 * by what headers say, under the names of other files (swapped files are swapped back). kind as the row says it. mirror
 * and source may be NULL. HF_IO, HF_STORAGE_FULL, HF_KEY_MISSING: no verdict, nothing was changed. Fault points:
 * repair_before_write, repair_before_exchange, repair_after_exchange. */
HF_MUST_USE bool hf_repository_repair(struct hf_repository *repository, struct hf_repository *mirror,
                                      const char *system, const char *kind, const char *id,
                                      const struct hf_content_source *source, struct hf_arena *arena,
                                      struct hf_repair_report *out, struct hf_error *err);

/* Finds a content by hash in any sound snapshot file of the system; verified. *out owns a reference. *found_out false:
 * in none that can be read. HF_IO, HF_KEY_MISSING: in none, but some place could not be looked at. */
HF_MUST_USE bool hf_repository_find_content(struct hf_repository *repository, const char *system,
                                            const struct hf_hash *hash, struct hf_blob **out,
                                            char origin[HF_ORIGIN_BYTES], bool *found_out, struct hf_error *err);

/* The hashes of all contents that the snapshot files of the system have, some more than once, some of what cannot be
 * read. each returning false ends it. *all_out false: it was ended. HF_IO, HF_KEY_MISSING: some place
 * could not be looked at. */
typedef bool hf_content_fn(void *context, const struct hf_hash *hash);
HF_MUST_USE bool hf_repository_list_contents(struct hf_repository *repository, const char *system, hf_content_fn *each,
                                             void *context, bool *all_out, struct hf_error *err);

/* Copies one file from another repository, byte for byte: temporary name, verified as far as its structure and manifest
 * go, fsynced, renamed. Never over an existing file (HF_CONFLICT) unless replace is set, and then in one step.
 * HF_NOT_FOUND: from has no such file; HF_DAMAGED: from's is not sound. pace may be NULL: called with what was read.
 * Fault point: copy_before_rename. */
typedef void hf_pace_fn(void *context, int64_t bytes);
HF_MUST_USE bool hf_repository_copy(struct hf_repository *from, struct hf_repository *to, const char *system,
                                    const char *kind, const char *id, bool replace, hf_pace_fn *pace, void *context,
                                    int64_t *bytes_out, struct hf_error *err);

/* Are both byte for byte the same? *same_out. Missing on either side: HF_NOT_FOUND. */
HF_MUST_USE bool hf_repository_compare(struct hf_repository *a, struct hf_repository *b, const char *system,
                                       const char *kind, const char *id, hf_pace_fn *pace, void *context,
                                       bool *same_out, struct hf_error *err);

#endif
