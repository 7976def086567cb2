/* What trimming takes of the history and what it leaves, on both engines. */
#include "tests/contract/states_fixture.h"

START_TEST(trim_keeps_the_newest_version_of_every_component)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    ck_assert_int_eq(trim(INT64_MAX, 100), 8);
    expect_tail(0, INT64_MAX, (const int64_t[]){9, 10}, 2); /* although no head was ever folded */
    ck_assert_int_eq(trim(INT64_MAX, 100), 0);
    struct hf_state_row row;
    struct hf_state_text text;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_states_get(test.read, HF_TEST_SYSTEM, 9, &row, &text, &blob, &err));
    hf_test_store_done(&test);
}
END_TEST

START_TEST(trim_keeps_what_was_current_at_its_limit)
{
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    ck_assert_int_eq(trim(6, 100), 4); /* at sequence 6, versions 5 and 6 were the present */
    expect_tail(0, INT64_MAX, (const int64_t[]){5, 6, 7, 8, 9, 10}, 6);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(trim_goes_by_pieces_from_the_oldest)
{
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    ck_assert_int_eq(trim(10, 3), 3);
    expect_tail(0, INT64_MAX, (const int64_t[]){4, 5, 6, 7, 8, 9, 10}, 7);
    ck_assert_int_eq(trim(10, 3), 3);
    ck_assert_int_eq(trim(10, 3), 2);
    ck_assert_int_eq(trim(10, 3), 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(trim_takes_chunks_along)
{
    hf_test_store_begin(&test, _i);
    HF_AUTO(free) unsigned char *content = patterned(3 * KIB * KIB);
    const struct hf_state_row rows[] = {hf_test_state(1, 1, 1, 0, content, 3 * KIB * KIB),
                                        hf_test_state(2, 1, 2, 1, content, 200 * KIB)};
    hf_test_store_commit(&test, rows, 2);
    ck_assert_int_gt(count_chunks(1), 1);
    ck_assert_int_eq(trim(2, 100), 1);
    ck_assert_int_eq(count_chunks(1), 0);
    ck_assert_int_gt(count_chunks(2), 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(trimmed_history_says_so)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    ck_assert_int_eq(trim(6, 100), 4);
    struct hf_state_row row;
    struct hf_state_text text;
    bool found = true;
    HF_TEST_OK(hf_states_find_version(test.read, HF_TEST_SYSTEM, 9, 2, &row, &text, &found, &err));
    ck_assert(!found);
    HF_TEST_OK(hf_states_find_version(test.read, HF_TEST_SYSTEM, 9, 3, &row, &text, &found, &err));
    ck_assert(found);
    HF_TEST_OK(hf_states_find_at(test.read, HF_TEST_SYSTEM, 9, 4, &row, &text, &found, &err));
    ck_assert(!found);
    HF_TEST_OK(hf_states_find_at(test.read, HF_TEST_SYSTEM, 9, 6, &row, &text, &found, &err));
    ck_assert(found);
    ck_assert_int_eq(row.sequence, 5);
    expect_sequence_at(10, 4500, 0);
    expect_sequence_at(10, 6500, 6);
    struct listing listing = {0};
    HF_TEST_OK(hf_states_history(test.read, HF_TEST_SYSTEM, 9, 100, note_row, &listing, &err));
    expect_sequences(&listing, (const int64_t[]){9, 7, 5}, 3);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("contract_states_trim", trim_keeps_the_newest_version_of_every_component,
                   trim_keeps_what_was_current_at_its_limit, trim_goes_by_pieces_from_the_oldest,
                   trim_takes_chunks_along, trimmed_history_says_so);
