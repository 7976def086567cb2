/* Two generations of snapshots and their mirror, for tests that damage them and have them repaired: what every file was
 * like before, and what it must be like again. Every helper fails the test that calls it. */
#ifndef HF_TESTS_REPAIR_WORLD_H
#define HF_TESTS_REPAIR_WORLD_H

#include "repository/repair.h"
#include "tests/support/snapshots.h"

#include <check.h>

#define HF_TEST_FILES       5
#define HF_TEST_RECORDS_MAX 16
#define HF_TEST_TEXT_BYTES  6000
#define HF_TEST_NOISE_BYTES 3000

struct hf_test_record {
    size_t offset, end;
    struct hf_hash hash;
    bool unique; /* in no other file */
};

/* What a file was like before anything happened to it. */
struct hf_test_original {
    char *path, *data;
    size_t bytes, header_bytes, manifest_at;
    size_t record_bytes;
    int records;
    struct hf_test_record record[HF_TEST_RECORDS_MAX];
};

extern struct hf_test_world {
    char *directory;
    struct hf_repository *repository, *mirror;
    struct hf_keys *keys;                     /* NULL: plain files */
    bool outlined;                            /* else the files are of before there were outlines */
    const struct hf_test_snapshot *snapshots; /* HF_TEST_FILES: full-1, incremental-2, -3, -4, full-5 */
    struct hf_test_original originals[HF_TEST_FILES];
    struct hf_arena arena; /* of the reports; the program's main begins and ends it */
} hf_test_world;

/* Contents of some of the states; filled with the world. */
extern char hf_test_long_text[HF_TEST_TEXT_BYTES + 1], hf_test_other_text[HF_TEST_TEXT_BYTES + 1];
extern char hf_test_noise[HF_TEST_NOISE_BYTES];

/* Checked fixtures. */
void hf_test_world_setup(void);
void hf_test_world_setup_sealed(void);
void hf_test_world_setup_outlined(void);
void hf_test_world_setup_sealed_outlined(void);
void hf_test_world_teardown(void);
TCase *hf_test_add_case(Suite *suite, const char *name, void (*before)(void), void (*after)(void)); /* NULL: none */
int hf_test_world_run(Suite *suite); /* the end of main: runs and frees the suite; returns the exit status */

/* The steps of setting up, for tests that do it in parts: the directory is there. */
void hf_test_fill_texts(void);
void hf_test_world_write(const struct hf_keys *with);
void hf_test_world_read_original(int which);

/* All files as they were. */
void hf_test_world_restore(void);

/* Sets bytes [from, to) of the file to 0, or turns the bits of value in each; the rest is as it was. */
void hf_test_damage(int which, size_t from, size_t to, char value);
struct hf_test_record *hf_test_record_of(int which, const char *text, size_t bytes);
char *hf_test_outline_path(int which); /* owns, free() */

struct hf_repair_report hf_test_repair(int which);
struct hf_repair_report hf_test_repair_with(int which, struct hf_repository *from,
                                            const struct hf_content_source *source);

/* The primary as a source of contents: it has what the states say; with a context it lies. */
bool hf_test_find_in_source(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                            char origin[HF_ORIGIN_BYTES]);

/* Every state of every snapshot is there and is the right one. */
void hf_test_assert_world_sound(const char *what);
/* The writer is deterministic where nothing is encrypted, so that a healed file is the very same. */
void hf_test_assert_original(int which, const char *what);
/* Header, manifest and footer, byte for byte. */
void hf_test_assert_outline(int which);
/* Healed, nothing lost, all sound, nothing left behind. */
void hf_test_assert_healed(struct hf_repair_report report, const char *what);
bool hf_test_no_temporary_files(void);

#endif
