/* What the parts of validation share: validation.c (the course), validation_heal.c (mending a generation, what damage
 * took), validation_checks.c and validation_database.c (what a sound snapshot says), validation_record.c (rows),
 * scrub.c. Not for others. */
#ifndef HF_ENGINE_VALIDATION_PRIVATE_H
#define HF_ENGINE_VALIDATION_PRIVATE_H

#include "engine/snapshot_private.h"
#include "engine/validation.h"
#include "repository/repair.h"

#include <stdatomic.h>
#include <string.h>

/* Every check: name, and what the quality score loses when it fails altogether (docs/operations.md lists the same). The
 * first six are about bytes: where one of them fails the snapshot is damaged, and the score is made from what is left.
 */
#define HF_CHECK_TABLE(X)                                                                                              \
    X(HF_CHECK_STRUCTURE, "structure", 0)                                                                              \
    X(HF_CHECK_MANIFEST, "manifest", 0)                                                                                \
    X(HF_CHECK_CHAIN, "chain", 0)                                                                                      \
    X(HF_CHECK_ROOT_HASH, "root_hash", 0)                                                                              \
    X(HF_CHECK_SIGNATURE, "signature", 0.05)                                                                           \
    X(HF_CHECK_BLOBS, "blobs", 0)                                                                                      \
    X(HF_CHECK_DATABASE, "database", 0.10)                                                                             \
    X(HF_CHECK_JSON, "json", 0.25)                                                                                     \
    X(HF_CHECK_REQUIRED_POINTERS, "required_pointers", 0.25)                                                           \
    X(HF_CHECK_VERSIONS, "versions", 0.15)                                                                             \
    X(HF_CHECK_DEPENDENCIES, "dependencies", 0.15)                                                                     \
    X(HF_CHECK_SIZES, "sizes", 0.05)

enum hf_check {
#define X(id, name, weight) id,
    HF_CHECK_TABLE(X)
#undef X
        HF_CHECK_COUNT
};

/* How fast snapshots are read. One thread; several validations may share one after the other. */
struct hf_pacer {
    int64_t bytes_per_second; /* 0: as fast as it goes */
    const atomic_bool *stop;  /* NULL: it is never broken off */
    bool scrubbing;           /* counted by the metric */
    uint64_t free_ns;         /* when the next read may begin */
};
/* Waits after a read; not while somebody waits for the shelf. False: to be broken off. */
bool hf_pacer_wait(struct hf_pacer *pacer, const struct hf_shelf *shelf, int64_t bytes);

/* A question asked of many: how many were asked, how many failed, and the first of those. */
struct hf_tally {
    int64_t asked, failed;
    char first[420];
};
void hf_tally_fail(struct hf_tally *tally, const char *format, ...) HF_PRINTF(2, 3);

/* A snapshot's own file as damage left it. */
struct hf_lost_place {
    const char *file; /* snapshot id */
    int64_t offset;   /* of the record; -1: the whole file */
};

/* Which contents have a copy that can be read, as far as it was asked: a table by hash. A validation and those of its
 * siblings share one, so that each content of a generation is read once. */
struct hf_fates {
    struct hf_fate {
        bool used, known, lost;
        struct hf_hash hash;
    } * slots; /* owns */
    size_t count, capacity;
};

/* One validation under way; texts live in the arena. */
struct hf_validating {
    struct hf_engine *engine;
    struct hf_shelf *shelf; /* judging is held */
    struct hf_arena *arena;
    struct hf_pacer *pacer;
    bool deep;
    struct hf_snapshot_row row;
    const struct hf_snapshot_row *rows; /* all of the system, newest first */
    int row_count;

    bool valid;
    struct hf_verify_report report; /* of the last verification */
    struct hf_error damage;         /* what it found */
    struct hf_validation_check checks[HF_CHECK_COUNT];

    /* read with the contents */
    struct hf_tally json, pointers;

    /* healing */
    bool was_wrong; /* the first verification failed with: */
    struct hf_verify_report first_report;
    char what[480];
    char origin[HF_ORIGIN_BYTES]; /* "": nothing was mended */
    bool changed;                 /* a file is not what it was when the verification failed */
    int64_t contents_healed, files_replaced;
    struct hf_lost_place *places; /* owns */
    int64_t place_count, place_capacity;
    bool unsure;            /* healing may have missed a place: a file that others need, and this one does not */
    struct hf_fates *fates; /* borrowed */

    /* What the file says about itself, where the row was made when it could not be read; NULL: the row is right. */
    const struct hf_snapshot_row *corrected;

    /* damage */
    struct hf_lost_component *lost; /* owns; moves to the arena with the result */
    int64_t lost_count, lost_capacity;
    bool lost_all;    /* the list of components, or a part of it */
    bool lost_parent; /* something it builds on cannot be read: what is left may be older than the cut */
};

/* validation.c */
void hf_check_set(struct hf_validating *validating, enum hf_check check, const char *status, double score,
                  const char *format, ...) HF_PRINTF(5, 6);
HF_MUST_USE bool hf_validation_run_paced(struct hf_engine *engine, const char *system, const char *id, bool deep,
                                         struct hf_pacer *pacer, struct hf_arena *arena, struct hf_validation *out,
                                         struct hf_error *err);

static inline bool hf_validation_is_damaged(const struct hf_snapshot_row *row)
{
    return strcmp(row->state, "damaged") == 0 || strcmp(row->validation_status, "damaged") == 0;
}

/* validation_heal.c. False: no verdict can be had now. */
/* Every file that the snapshot can need; whole: every other file of the generation too, as far as it can be read. */
HF_MUST_USE bool hf_validation_heal(struct hf_validating *validating, bool whole, struct hf_error *err);
/* Was every content that this snapshot can need read a short while ago, and is it sound? */
bool hf_validation_was_examined(const struct hf_validating *validating);
HF_MUST_USE bool hf_validation_find_lost(struct hf_validating *validating, struct hf_error *err);
/* Does this snapshot refer to what was lost? *why_out says what (arena). */
HF_MUST_USE bool hf_validation_is_hit(struct hf_validating *validating, const struct hf_snapshot_row *row,
                                      const char **why_out, struct hf_error *err);

/* validation_checks.c */
void hf_checks_read_content(void *validating, const struct hf_manifest_entry *entry, const struct hf_blob *blob);
HF_MUST_USE bool hf_checks_run(struct hf_validating *validating, struct hf_error *err);

/* validation_database.c */
void hf_check_database(struct hf_validating *validating, const struct hf_chain *chain);

/* validation_record.c */
void hf_validation_fill(struct hf_validating *validating, struct hf_validation *out);
HF_MUST_USE bool hf_validation_record(struct hf_validating *validating, const struct hf_validation *result,
                                      struct hf_error *err);

#endif
