/* Snapshot files for tests, made with the real writer from a few lines of table. */
#ifndef HF_TESTS_SNAPSHOTS_H
#define HF_TESTS_SNAPSHOTS_H

#include "repository/repository.h"

struct hf_test_state {
    const char *component;
    const char *text; /* NULL: a registration without a state */
    size_t bytes;     /* 0: strlen(text) */
    int64_t version;  /* 0: 1, if there is a text */
    bool deleted;
    const char *depends_on; /* NULL: "[]" */
};

struct hf_test_snapshot {
    const char *id;
    const char *parent; /* NULL: a full */
    const char *generation;
    int64_t sequence;
    const struct hf_test_state *states; /* in name order */
    int count;
    const struct hf_test_state *whole; /* the system at the cut, for the root hash; NULL: the states */
    int whole_count;
};

#define HF_TEST_SYSTEM       "default"
#define HF_TEST_COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* A repository in <directory>/full and <directory>/incremental. */
struct hf_repository *hf_test_repository(const char *directory);

/* Where the snapshot's file lies (owns, free()). */
char *hf_test_snapshot_path(const char *directory, const struct hf_test_snapshot *snapshot);

struct hf_manifest_header hf_test_header(const struct hf_test_snapshot *snapshot);

/* Writes it; blobs that the index (NULL: none) holds are referred to, new ones are added to it. */
HF_MUST_USE bool hf_test_try_snapshot(struct hf_repository *repository, const struct hf_test_snapshot *snapshot,
                                      struct hf_blob_index *index, int64_t *file_bytes_out, struct hf_error *err);

/* The same; a failure ends the test. Returns the file's length. */
int64_t hf_test_write_snapshot(struct hf_repository *repository, const struct hf_test_snapshot *snapshot,
                               struct hf_blob_index *index);

/* Whole files; a failure ends the test. read: owns, free(). */
char *hf_test_read_file(const char *path, size_t *bytes_out);
void hf_test_write_file(const char *path, const void *data, size_t bytes);

#endif
