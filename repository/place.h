/* Directories of snapshot files: paths, durable creation and removal, listing. Knows names, not contents. Private to
 * repository/. Paths are made only from validated names, so nothing outside the two roots is ever touched. */
#ifndef HF_REPOSITORY_PLACE_H
#define HF_REPOSITORY_PLACE_H

#include "core/auto.h"
#include "core/error.h"
#include "repository/repository.h"

#define HF_SNAPSHOT_SUFFIX  ".snapshot"
#define HF_OUTLINE_SUFFIX   ".outline"
#define HF_TEMPORARY_PREFIX ".tmp-"
#define HF_DELETING_PREFIX  ".deleting-" /* of directories, as the next: no system has such a name */
#define HF_ORPHANED_PREFIX  ".orphaned-"

enum { HF_ROOT_FULL, HF_ROOT_INCREMENTAL, HF_ROOTS };

struct hf_repository {
    char *roots[HF_ROOTS];
    int roots_count;            /* 1 when both are the same place */
    bool has_outlines;          /* they are written: not in a mirror, nor where nothing is written */
    const struct hf_keys *keys; /* borrowed; NULL: none */
    bool require_signatures;
};

/* The root for a kind; HF_ROOT_FULL for everything when both are the same place. */
int hf_place_root(const struct hf_repository *repository, const char *kind);

/* What the path alone says of a file's kind. */
const char *hf_place_kind(const struct hf_repository *repository, int root, const char *id);

/* Both own, free(). file is relative to the root: <system>/<id>.snapshot. */
char *hf_place_directory(const struct hf_repository *repository, int root, const char *system);
char *hf_place_path(const struct hf_repository *repository, int root, const char *system, const char *id);
char *hf_place_file(const char *system, const char *id);

/* Where the outline of a snapshot of this kind lies: with the files of the other one. Owns, free(). */
int hf_place_outline_root(const struct hf_repository *repository, const char *kind);
char *hf_place_outline(const struct hf_repository *repository, int root, const char *system, const char *id);

/* HF_INVALID_REQUEST unless both can be part of a path; id NULL: the system alone. */
HF_MUST_USE bool hf_place_check_names(const char *system, const char *id, struct hf_error *err);

/* Creates the directory and what is missing above it; when it returns, each is in its parent on disk. */
HF_MUST_USE bool hf_place_make_directory(const char *path, struct hf_error *err);
HF_MUST_USE bool hf_place_sync_directory(const char *path, struct hf_error *err);

/* A sorted list of texts. */
struct hf_place_list {
    char **items;
    size_t count, capacity;
};
void hf_place_list_done(struct hf_place_list *list);

static inline void hf_auto_place_list(struct hf_place_list *list)
{
    hf_place_list_done(list);
}

/* Directories below the root that bear a valid name. A missing root is HF_IO; a missing system has no files. */
HF_MUST_USE bool hf_place_list_systems(const struct hf_repository *repository, int root, struct hf_place_list *out,
                                       struct hf_error *err);

/* Ids of the regular files named <id>.snapshot; or <id>.outline; or the names of temporary files. */
HF_MUST_USE bool hf_place_list_ids(const struct hf_repository *repository, int root, const char *system,
                                   struct hf_place_list *out, struct hf_error *err);
HF_MUST_USE bool hf_place_list_outlines(const struct hf_repository *repository, int root, const char *system,
                                        struct hf_place_list *out, struct hf_error *err);
HF_MUST_USE bool hf_place_list_temporary(const struct hf_repository *repository, int root, const char *system,
                                         struct hf_place_list *out, struct hf_error *err);

/* Directories of systems that were being deleted, by their whole names. */
HF_MUST_USE bool hf_place_list_deletions(const struct hf_repository *repository, int root, struct hf_place_list *out,
                                         struct hf_error *err);

#endif
