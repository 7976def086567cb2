/* A generation of three snapshots, for the tests of chains. */
#ifndef HF_TESTS_UNIT_CHAIN_FIXTURE_H
#define HF_TESTS_UNIT_CHAIN_FIXTURE_H

#include "core/auto.h"
#include "tests/support/repository_fixture.h"

#include <check.h>
#include <string.h>

/* full-1 {a b c d}; inc-2 changes b, deletes c, adds aa; inc-3 brings c back with b's old text and changes d. */
static const struct hf_test_state first[] = {
    {"a", "state of a", 0, 1, false, NULL},
    {"b", "state of b", 0, 1, false, NULL},
    {"c", "state of c", 0, 1, false, NULL},
    {"d", "state of d", 0, 1, false, NULL},
};
static const struct hf_test_state second[] = {
    {"aa", "new", 0, 1, false, NULL},
    {"b", "second state of b", 0, 2, false, NULL},
    {"c", "", 0, 2, true, NULL},
};
static const struct hf_test_state third[] = {
    {"c", "state of b", 0, 3, false, NULL},
    {"d", "second state of d", 0, 2, false, NULL},
    {"e", NULL, 0, 0, false, "[\"a\"]"},
};
static const struct hf_test_state whole_second[] = {
    {"a", "state of a", 0, 1, false, NULL},
    {"aa", "new", 0, 1, false, NULL},
    {"b", "second state of b", 0, 2, false, NULL},
    {"d", "state of d", 0, 1, false, NULL},
};
static const struct hf_test_state whole_third[] = {
    {"a", "state of a", 0, 1, false, NULL},        {"aa", "new", 0, 1, false, NULL},
    {"b", "second state of b", 0, 2, false, NULL}, {"c", "state of b", 0, 3, false, NULL},
    {"d", "second state of d", 0, 2, false, NULL},
};
static const struct hf_test_snapshot full = {"full-1", NULL, "full-1", 4, first, HF_TEST_COUNT(first), NULL, 0};
static const struct hf_test_snapshot middle = {"incremental-2", "full-1",
                                               "full-1",        7,
                                               second,          HF_TEST_COUNT(second),
                                               whole_second,    HF_TEST_COUNT(whole_second)};
static const struct hf_test_snapshot last = {"incremental-3", "incremental-2",
                                             "full-1",        9,
                                             third,           HF_TEST_COUNT(third),
                                             whole_third,     HF_TEST_COUNT(whole_third)};

static inline void write_three(void)
{
    struct hf_blob_index *index = hf_blob_index_new();
    hf_test_write_snapshot(repository, &full, index);
    hf_test_write_snapshot(repository, &middle, index);
    hf_test_write_snapshot(repository, &last, index);
    hf_blob_index_free(index);
}

static inline struct hf_chain *load(const char *id)
{
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    ck_assert_msg(hf_chain_load(&chain, repository, HF_TEST_SYSTEM, id, &err), "%s", err.text);
    return chain;
}

static inline void assert_text(struct hf_chain *chain, const char *component, const char *text)
{
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    struct hf_error err = {0};
    const struct hf_manifest_entry *entry = hf_chain_find(chain, component);
    ck_assert_msg(entry != NULL, "no %s", component);
    ck_assert_msg(hf_chain_read(chain, entry, &blob, &err), "%s", err.text);
    ck_assert_uint_eq(blob->bytes, strlen(text));
    ck_assert_mem_eq(blob->data, text, blob->bytes);
}

static inline void damage_manifest(const struct hf_test_snapshot *snapshot)
{
    size_t bytes;
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, snapshot);
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    data[bytes - 190] ^= 1;
    hf_test_write_file(path, data, bytes);
}

#endif
