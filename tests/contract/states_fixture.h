/* Versions in a store, in both engines: what the programs that test them share. */
#ifndef HF_TESTS_CONTRACT_STATES_FIXTURE_H
#define HF_TESTS_CONTRACT_STATES_FIXTURE_H

#include "core/auto.h"
#include "tests/support/stores.h"

#include <check.h>
#include <stdint.h>
#include <string.h>

#define KIB        ((int64_t)1024)
#define LISTED_MAX 64

static struct hf_test_store test;

struct listing {
    int count;
    int64_t sequences[LISTED_MAX];
    int64_t versions[LISTED_MAX];
};

static inline bool note_row(void *context, const struct hf_state_row *row)
{
    struct listing *listing = context;
    ck_assert_int_lt(listing->count, LISTED_MAX);
    listing->sequences[listing->count] = row->sequence;
    listing->versions[listing->count++] = row->version;
    return true;
}

/* Two components in turn: component 1 has versions 1, 2, 3, … at sequences 1, 3, 5, …; component 2 at 2, 4, 6, … */
static inline void commit_in_turn(int64_t sequences)
{
    struct hf_state_row rows[LISTED_MAX];
    for (int64_t sequence = 1; sequence <= sequences; sequence++) {
        int64_t version = (sequence + 1) / 2;
        rows[sequence - 1] =
            hf_test_state(sequence, sequence % 2 ? 1 : 2, version, version > 1 ? sequence - 2 : 0, "{}", 2);
    }
    hf_test_store_commit(&test, rows, (int)sequences);
}

static inline void expect_sequences(const struct listing *listing, const int64_t *expected, int count)
{
    ck_assert_int_eq(listing->count, count);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(listing->sequences[i], expected[i]);
}

static inline void expect_tail(int64_t after, int64_t up_to, const int64_t *expected, int count)
{
    struct hf_error err;
    struct listing listing = {0};
    HF_TEST_OK(hf_states_tail(test.read, HF_TEST_SYSTEM, after, up_to, note_row, &listing, &err));
    expect_sequences(&listing, expected, count);
}

static inline int64_t count_chunks(int64_t sequence)
{
    const struct hf_value key[] = {HF_INT(HF_TEST_SYSTEM), HF_INT(sequence)};
    return hf_test_store_count(test.read, HF_STMT_CHUNKS_GET, key, 2);
}

static inline unsigned char *patterned(int64_t bytes)
{
    unsigned char *content = hf_alloc((size_t)bytes + 1);
    for (int64_t i = 0; i < bytes; i++)
        content[i] = (unsigned char)(i * 131 + i / 251);
    return content;
}

static inline void expect_sequence_at(int64_t newest, int64_t at_ms, int64_t expected)
{
    struct hf_error err;
    int64_t sequence = -1;
    bool found = expected == 0;
    HF_TEST_OK(hf_states_sequence_at(test.read, HF_TEST_SYSTEM, newest, at_ms, &sequence, &found, &err));
    ck_assert_msg(found == (expected > 0), "at %lld", (long long)at_ms);
    if (found)
        ck_assert_int_eq(sequence, expected);
}

static inline int64_t trim(int64_t up_to, int64_t limit)
{
    struct hf_error err;
    int64_t deleted = -1;
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, up_to, limit, &deleted, &err));
    return deleted;
}

#endif
