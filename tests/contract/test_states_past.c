/* Finding earlier versions, on both engines. */
#include "tests/contract/states_fixture.h"

#define FIRST_VERSION 1

START_TEST(tail_is_a_range_in_order)
{
    hf_test_store_begin(&test, _i);
    commit_in_turn(6);
    expect_tail(0, INT64_MAX, (const int64_t[]){1, 2, 3, 4, 5, 6}, 6);
    expect_tail(2, 4, (const int64_t[]){3, 4}, 2);
    expect_tail(6, INT64_MAX, NULL, 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(version_is_found_from_the_head)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    for (int64_t version = 0; version <= 6; version++) {
        struct hf_state_row row = {0};
        struct hf_state_text text;
        bool found = !(version >= 1 && version <= 5);
        HF_TEST_OK(hf_states_find_version(test.read, HF_TEST_SYSTEM, 9, version, &row, &text, &found, &err));
        ck_assert_int_eq(found, version >= 1 && version <= 5);
        if (found) {
            ck_assert_int_eq(row.sequence, version * 2 - 1);
            ck_assert_int_eq(row.component_id, 1);
            ck_assert_int_eq(row.version, version);
            ck_assert_str_eq(row.content_type, "application/json");
        }
    }
    hf_test_store_done(&test);
}
END_TEST

START_TEST(state_at_a_sequence_is_the_newest_up_to_it)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    for (int64_t at = 0; at <= 12; at++) {
        struct hf_state_row row = {0};
        struct hf_state_text text;
        bool found = at < 2;
        HF_TEST_OK(hf_states_find_at(test.read, HF_TEST_SYSTEM, 10, at, &row, &text, &found, &err));
        ck_assert_int_eq(found, at >= 2); /* component 2 came into being with sequence 2 */
        if (found) {
            ck_assert_int_eq(row.component_id, 2);
            ck_assert_int_eq(row.sequence, at >= 10 ? 10 : at / 2 * 2);
        }
    }
    hf_test_store_done(&test);
}
END_TEST

#define WIDE_COMPONENTS 3
struct then {
    int64_t sequences[WIDE_COMPONENTS + 1]; /* by component; -1: not told, 0: it had none yet */
    int count;
};

static bool note_then(void *context, const struct hf_state_row *row)
{
    struct then *then = context;
    ck_assert_int_ge(row->component_id, 1);
    ck_assert_int_le(row->component_id, WIDE_COMPONENTS);
    ck_assert_int_eq(then->sequences[row->component_id], -1);
    ck_assert_int_eq(row->version == 0, row->sequence == 0);
    then->sequences[row->component_id] = row->sequence;
    then->count++;
    return true;
}

static struct then replaced_after(int64_t at, int64_t newest)
{
    struct hf_error err;
    struct then then = {.sequences = {-1, -1, -1, -1}};
    HF_TEST_OK(hf_states_replaced(test.read, HF_TEST_SYSTEM, at, newest, note_then, &then, &err));
    return then;
}

START_TEST(what_later_rows_replaced_is_the_state_at_a_sequence)
{
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    const struct hf_state_row third = hf_test_state(11, 3, 1, 0, "{}", 2);
    hf_test_store_commit(&test, &third, 1);
    struct then then = replaced_after(5, 11);
    ck_assert_int_eq(then.count, 3);
    ck_assert_int_eq(then.sequences[1], 5);
    ck_assert_int_eq(then.sequences[2], 4);
    ck_assert_int_eq(then.sequences[3], 0);
    then = replaced_after(9, 10); /* the third came after that; the first did not change since */
    ck_assert_int_eq(then.count, 1);
    ck_assert_int_eq(then.sequences[2], 8);
    ck_assert_int_eq(replaced_after(11, 11).count, 0);
    then = replaced_after(0, 11);
    ck_assert_int_eq(then.count, 3);
    ck_assert_int_eq(then.sequences[1], 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(what_was_replaced_and_trimmed_is_left_out)
{
    struct hf_error err;
    int64_t deleted;
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, 6, 100, &deleted, &err));
    ck_assert_int_eq(deleted, 4); /* 1 to 4 */
    ck_assert_int_eq(replaced_after(4, 10).count, 0);
    struct then then = replaced_after(5, 10); /* the second was at 4 */
    ck_assert_int_eq(then.count, 1);
    ck_assert_int_eq(then.sequences[1], 5);
    ck_assert_int_eq(replaced_after(6, 10).count, 2);

    /* A row that claims to have taken the place of another component's proves nothing. */
    const struct hf_state_row crossed = hf_test_state(11, 3, 2, 10, "{}", 2);
    hf_test_store_commit(&test, &crossed, 1);
    ck_assert_int_eq(replaced_after(10, 11).count, 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(time_of_a_sequence_is_told_while_its_row_is_kept)
{
    struct hf_error err;
    int64_t at_ms = 0, deleted;
    bool found = false;
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    HF_TEST_OK(hf_states_time_of(test.read, HF_TEST_SYSTEM, 4, &at_ms, &found, &err));
    ck_assert(found);
    ck_assert_int_eq(at_ms, 4000);
    HF_TEST_OK(hf_states_time_after(test.read, HF_TEST_SYSTEM, 0, &at_ms, &found, &err));
    ck_assert(found);
    ck_assert_int_eq(at_ms, 1000);
    HF_TEST_OK(hf_states_time_after(test.read, HF_TEST_SYSTEM, 4, &at_ms, &found, &err));
    ck_assert(found);
    ck_assert_int_eq(at_ms, 5000);
    HF_TEST_OK(hf_states_time_after(test.read, HF_TEST_SYSTEM, 10, &at_ms, &found, &err));
    ck_assert(!found);
    found = true;
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, 6, 100, &deleted, &err));
    HF_TEST_OK(hf_states_time_of(test.read, HF_TEST_SYSTEM, 4, &at_ms, &found, &err));
    ck_assert(!found);
    HF_TEST_OK(hf_states_time_of(test.read, HF_TEST_SYSTEM, 11, &at_ms, &found, &err));
    ck_assert(!found);
    at_ms = 0;
    HF_TEST_OK(hf_states_time_after(test.read, HF_TEST_SYSTEM, 0, &at_ms, &found, &err));
    ck_assert(found);
    ck_assert_int_eq(at_ms, 5000); /* the oldest that the trim left */
    hf_test_store_done(&test);
}
END_TEST

START_TEST(history_is_newest_first_and_limited)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    commit_in_turn(10);
    struct listing all = {0}, some = {0}, older = {0};
    HF_TEST_OK(hf_states_history(test.read, HF_TEST_SYSTEM, 9, 100, note_row, &all, &err));
    expect_sequences(&all, (const int64_t[]){9, 7, 5, 3, 1}, 5);
    ck_assert_int_eq(all.versions[0], 5);
    ck_assert_int_eq(all.versions[4], FIRST_VERSION);
    HF_TEST_OK(hf_states_history(test.read, HF_TEST_SYSTEM, 9, 2, note_row, &some, &err));
    expect_sequences(&some, (const int64_t[]){9, 7}, 2);
    HF_TEST_OK(hf_states_history(test.read, HF_TEST_SYSTEM, 4, 100, note_row, &older, &err));
    expect_sequences(&older, (const int64_t[]){4, 2}, 2);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(sequence_at_a_time_is_the_last_one_committed_by_then)
{
    hf_test_store_begin(&test, _i);
    expect_sequence_at(0, 5000, 0); /* no history at all */
    commit_in_turn(10);
    expect_sequence_at(10, 999, 0); /* before history */
    expect_sequence_at(10, 1000, 1);
    expect_sequence_at(10, 1999, 1);
    for (int64_t sequence = 2; sequence < 10; sequence++)
        expect_sequence_at(10, sequence * 1000 + 500, sequence);
    expect_sequence_at(10, INT64_MAX, 10);
    expect_sequence_at(4, INT64_MAX, 4); /* what came after is not looked at */
    hf_test_store_done(&test);
}
END_TEST

START_TEST(sequence_at_a_time_is_the_last_of_those_committed_together)
{
    hf_test_store_begin(&test, _i);
    struct hf_state_row rows[8];
    for (int i = 0; i < 8; i++) {
        rows[i] = hf_test_state(i + 1, i + 1, 1, 0, "{}", 2);
        rows[i].committed_at_ms = i < 5 ? 100 : 200;
    }
    hf_test_store_commit(&test, rows, 8);
    expect_sequence_at(8, 99, 0);
    expect_sequence_at(8, 100, 5);
    expect_sequence_at(8, 199, 5);
    expect_sequence_at(8, 200, 8);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(newest_row_of_a_component_below_a_sequence_is_found)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    commit_in_turn(9); /* component 2 at 2, 4, 6, 8 */
    int64_t previous = -1;
    HF_TEST_OK(hf_states_previous(test.read, HF_TEST_SYSTEM, 2, 8, &previous, &err));
    ck_assert_int_eq(previous, 6);
    HF_TEST_OK(hf_states_previous(test.read, HF_TEST_SYSTEM, 2, 7, &previous, &err));
    ck_assert_int_eq(previous, 6);
    HF_TEST_OK(hf_states_previous(test.read, HF_TEST_SYSTEM, 2, 2, &previous, &err));
    ck_assert_int_eq(previous, 0);
    HF_TEST_OK(hf_states_previous(test.read, HF_TEST_SYSTEM + 1, 2, 8, &previous, &err));
    ck_assert_int_eq(previous, 0);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("contract_states_past", tail_is_a_range_in_order, version_is_found_from_the_head,
                   state_at_a_sequence_is_the_newest_up_to_it, what_later_rows_replaced_is_the_state_at_a_sequence,
                   what_was_replaced_and_trimmed_is_left_out, time_of_a_sequence_is_told_while_its_row_is_kept,
                   history_is_newest_first_and_limited, sequence_at_a_time_is_the_last_one_committed_by_then,
                   sequence_at_a_time_is_the_last_of_those_committed_together,
                   newest_row_of_a_component_below_a_sequence_is_found);
