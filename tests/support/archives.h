/* Archives for tests: the two ends of a stream in memory, tars made and taken apart block by block, and an import into
 * system copy. Every helper fails the test that calls it, except hf_test_take_in. */
#ifndef HF_TESTS_ARCHIVES_H
#define HF_TESTS_ARCHIVES_H

#include "core/buf.h"
#include "repository/archive.h"
#include "tests/support/snapshots.h"

#define HF_TEST_TAR_BLOCK       512
#define HF_TEST_TAR_MEMBERS_MAX 16
#define HF_TEST_MIB             ((int64_t)1 << 20)

/* Bytes that are given in small pieces. */
struct hf_test_source {
    const char *data;
    size_t bytes, at, step;
    size_t fails_at; /* 0: never */
};

/* One member of a tar. */
struct hf_test_member {
    const char *name; /* NULL: left out */
    char type;        /* '0': a file */
    const char *data;
    size_t bytes;
    const char *link;
    int64_t claims; /* the length in its header; -1: the true one */
};

/* A tar taken apart. */
struct hf_test_tar {
    char *manifest; /* owns; text */
    struct hf_test_member members[HF_TEST_TAR_MEMBERS_MAX];
    int count;
};

/* full-1 of seven components: with equal contents, an empty one, a tombstone, a registration without a state. */
extern const struct hf_test_snapshot hf_test_archived;
extern const struct hf_archive_limits hf_test_roomy;

bool hf_test_source_read(void *context, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err);
bool hf_test_write_buf(void *context, const void *data, size_t bytes, struct hf_error *err);
void hf_test_write_archive(struct hf_repository *repository, const char *id, bool zstd, struct hf_buf *out);
bool hf_test_take_in(struct hf_repository *repository, const char *data, size_t bytes, size_t step,
                     const struct hf_archive_limits *limits, struct hf_error *err);
void hf_test_forget_copy(struct hf_repository *repository);
void hf_test_assert_copy_is(struct hf_repository *repository, const char *id);
int64_t hf_test_tar_number(const char *field, size_t bytes);
void hf_test_tar_parse(const char *text, size_t bytes, struct hf_test_tar *out);
void hf_test_tar_add(struct hf_buf *out, const struct hf_test_member *member);
void hf_test_tar_build(struct hf_test_tar *tar, struct hf_buf *out);
void hf_test_tar_insert(struct hf_test_tar *tar, int at, struct hf_test_member member);
void hf_test_tar_swap(struct hf_test_tar *tar, const char *from, const char *to);

#endif
