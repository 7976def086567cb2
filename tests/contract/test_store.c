/* Sessions, transactions and values: what store.h promises, on both engines. */
#include "core/auto.h"
#include "store/components.h"
#include "store/journal.h"
#include "tests/support/stores.h"

#include <float.h>
#include <stdint.h>
#include <string.h>

#define LARGE_BYTES (60 * 1024)
#define LARGE_ROWS  600 /* 36 MiB: more than one message to PostgreSQL */

static struct hf_test_store test;

static int64_t stored_sequence(struct hf_session *session)
{
    struct hf_error err;
    int64_t sequence = -1, batch = 0;
    bool found = false;
    HF_TEST_OK(hf_systems_outcome(session, HF_TEST_SYSTEM, &sequence, &batch, &found, &err));
    return found ? sequence : -1;
}

static bool advance(int64_t from, int64_t to)
{
    struct hf_error err;
    bool moved = false;
    HF_TEST_OK(hf_systems_advance(test.write, HF_TEST_SYSTEM, from, to, 1, to, to, &moved, &err));
    return moved;
}

static int count_states(struct hf_session *session)
{
    const struct hf_value range[] = {HF_INT(HF_TEST_SYSTEM), HF_INT(0), HF_INT(INT64_MAX)};
    return hf_test_store_count(session, HF_STMT_STATES_TAIL, range, 3);
}

START_TEST(committed_rows_are_there_after_reopening)
{
    hf_test_store_begin(&test, _i);
    const struct hf_state_row row = hf_test_state(1, 1, 1, 0, "{}", 2);
    hf_test_store_commit(&test, &row, 1);
    hf_test_store_close(&test);
    hf_test_store_open(&test);
    ck_assert_int_eq(stored_sequence(test.read), 1);
    ck_assert_int_eq(count_states(test.read), 1);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(rolled_back_rows_are_not_there)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    ck_assert(advance(0, 5));
    ck_assert_int_eq(stored_sequence(test.write), 5);
    hf_session_rollback(test.write);
    ck_assert_int_eq(stored_sequence(test.write), 0);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(hf_session_commit(test.write, &err)); /* an empty transaction is one too */
    hf_test_store_done(&test);
}
END_TEST

START_TEST(session_closed_inside_a_transaction_leaves_nothing)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    ck_assert(advance(0, 5));
    hf_test_store_close(&test);
    hf_test_store_open(&test);
    ck_assert_int_eq(stored_sequence(test.read), 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(statement_outside_a_transaction_commits_by_itself)
{
    hf_test_store_begin(&test, _i);
    ck_assert(advance(0, 3));
    ck_assert_int_eq(stored_sequence(test.read), 3);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(system_advances_only_from_the_sequence_it_has)
{
    hf_test_store_begin(&test, _i);
    ck_assert(advance(0, 4));
    ck_assert(!advance(0, 9));
    ck_assert(!advance(5, 9));
    ck_assert_int_eq(stored_sequence(test.read), 4);
    ck_assert(advance(4, 9));
    ck_assert_int_eq(stored_sequence(test.read), 9);
    hf_test_store_done(&test);
}
END_TEST

static void insert_states(int count)
{
    struct hf_error err;
    HF_AUTO(free) struct hf_state_row *rows = hf_alloc((size_t)count * sizeof(*rows));
    for (int i = 0; i < count; i++) {
        rows[i] = hf_test_state(i + 1, i + 1, 1, 0, i % 3 == 2 ? NULL : "[1]", i % 3 == 2 ? 0 : 3);
        rows[i].event = i % 2 ? "large-reward" : NULL;
    }
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(hf_states_insert(test.write, rows, count, &err));
    HF_TEST_OK(hf_session_commit(test.write, &err));
}

struct expectation {
    int64_t next;
};

static bool expect_state(void *context, const struct hf_state_row *row)
{
    struct expectation *expected = context;
    int64_t i = expected->next++;
    ck_assert_int_eq(row->sequence, i + 1);
    ck_assert_int_eq(row->component_id, i + 1);
    ck_assert_int_eq(row->deleted, i % 3 == 2);
    ck_assert_int_eq(row->bytes, i % 3 == 2 ? 0 : 3);
    ck_assert_int_eq(row->committed_at_ms, (i + 1) * 1000);
    ck_assert_str_eq(row->content_type, "application/json");
    if (i % 2)
        ck_assert_str_eq(row->event, "large-reward");
    else
        ck_assert_ptr_null(row->event);
    return true;
}

START_TEST(many_rows_keep_their_values_and_nulls)
{
    struct hf_error err;
    const int counts[] = {1, 2, 5000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        hf_test_store_begin(&test, _i);
        insert_states(counts[i]);
        struct expectation expected = {0};
        HF_TEST_OK(hf_states_tail(test.read, HF_TEST_SYSTEM, 0, INT64_MAX, expect_state, &expected, &err));
        ck_assert_int_eq(expected.next, counts[i]);
        hf_test_store_done(&test);
    }
}
END_TEST

START_TEST(no_rows_at_all_are_no_failure)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    int64_t affected = -1;
    HF_TEST_OK(hf_session_exec_many(test.write, HF_STMT_EVENT_INSERT, NULL, 6, 0, &affected, &err));
    ck_assert_int_eq(affected, 0);
    HF_TEST_OK(hf_session_commit(test.write, &err));
    hf_test_store_done(&test);
}
END_TEST

START_TEST(many_large_rows_arrive_whole)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_AUTO(free) struct hf_state_row *rows = hf_alloc(LARGE_ROWS * sizeof(*rows));
    HF_AUTO(free) unsigned char *content = hf_alloc((size_t)LARGE_ROWS * LARGE_BYTES);
    for (int i = 0; i < LARGE_ROWS; i++) {
        unsigned char *own = content + (size_t)i * LARGE_BYTES;
        memset(own, i & 0xff, LARGE_BYTES);
        rows[i] = hf_test_state(i + 1, i + 1, 1, 0, own, LARGE_BYTES);
    }
    hf_test_store_commit(&test, rows, LARGE_ROWS);
    const int picked[] = {0, 1, LARGE_ROWS / 2, LARGE_ROWS - 1};
    for (size_t i = 0; i < sizeof(picked) / sizeof(picked[0]); i++) {
        struct hf_state_row row;
        struct hf_state_text text;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        HF_TEST_OK(hf_states_get(test.read, HF_TEST_SYSTEM, picked[i] + 1, &row, &text, &blob, &err));
        ck_assert_uint_eq(blob->bytes, LARGE_BYTES);
        ck_assert_mem_eq(blob->data, rows[picked[i]].content, LARGE_BYTES);
    }
    hf_test_store_done(&test);
}
END_TEST

START_TEST(row_that_exists_is_a_conflict_and_the_whole_batch_is_undone)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    const struct hf_state_row first = hf_test_state(2, 1, 1, 0, "1", 1);
    hf_test_store_commit(&test, &first, 1);
    const struct hf_state_row again[] = {hf_test_state(1, 2, 1, 0, "2", 1), hf_test_state(2, 3, 1, 0, "3", 1)};
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_FAILS(HF_CONFLICT, hf_states_insert(test.write, again, 2, &err));
    hf_session_rollback(test.write);
    ck_assert(!hf_session_is_broken(test.write));
    ck_assert_int_eq(count_states(test.write), 1);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(hf_states_insert(test.write, again, 1, &err));
    HF_TEST_OK(hf_session_commit(test.write, &err));
    ck_assert_int_eq(count_states(test.read), 2);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(failed_transaction_cannot_be_committed)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    const struct hf_state_row row = hf_test_state(1, 1, 1, 0, "1", 1);
    hf_test_store_commit(&test, &row, 1);
    const struct hf_state_row duplicate = hf_test_state(1, 2, 1, 0, "2", 1);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    ck_assert(advance(1, 2));
    HF_TEST_FAILS(HF_CONFLICT, hf_states_insert(test.write, &duplicate, 1, &err));
    ck_assert(!hf_session_commit(test.write, &err));
    hf_session_rollback(test.write);
    ck_assert_int_eq(stored_sequence(test.read), 1);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(view_stays_as_it_was_when_it_began)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_TEST_OK(hf_session_begin(test.read, &err)); /* nothing read yet: the beginning counts */
    const struct hf_state_row row = hf_test_state(1, 1, 1, 0, "1", 1);
    hf_test_store_commit(&test, &row, 1);
    ck_assert_int_eq(stored_sequence(test.read), 0);
    ck_assert_int_eq(count_states(test.read), 0);
    ck_assert_int_eq(stored_sequence(test.write), 1);
    HF_TEST_OK(hf_session_commit(test.read, &err));
    ck_assert_int_eq(stored_sequence(test.read), 1);
    ck_assert_int_eq(count_states(test.read), 1);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(reading_goes_on_while_a_write_is_open)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    ck_assert(advance(0, 5));
    ck_assert_int_eq(stored_sequence(test.read), 0);
    HF_TEST_OK(hf_session_commit(test.write, &err));
    ck_assert_int_eq(stored_sequence(test.read), 5);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(read_session_refuses_to_write)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    bool moved = false;
    ck_assert(!hf_systems_advance(test.read, HF_TEST_SYSTEM, 0, 5, 1, 5, 5, &moved, &err));
    ck_assert_int_eq(stored_sequence(test.write), 0);
    hf_test_store_done(&test);
}
END_TEST

static bool take_two(void *context, const struct hf_state_row *row)
{
    (void)row;
    return ++*(int *)context < 2;
}

START_TEST(listing_may_stop_early)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    insert_states(1000);
    int seen = 0;
    HF_TEST_OK(hf_states_tail(test.read, HF_TEST_SYSTEM, 0, INT64_MAX, take_two, &seen, &err));
    ck_assert_int_eq(seen, 2);
    ck_assert_int_eq(count_states(test.read), 1000);
    hf_test_store_done(&test);
}
END_TEST

struct attempts {
    int made;
    int conflicts;
};

static bool conflict_at_first(struct hf_session *session, void *context, struct hf_error *err)
{
    struct attempts *attempts = context;
    bool moved = false;
    attempts->made++;
    if (!hf_systems_advance(session, HF_TEST_SYSTEM, 0, 10 + attempts->made, 1, 1, 1, &moved, err))
        return false;
    if (attempts->made <= attempts->conflicts)
        return hf_error_set(err, HF_CONFLICT, "another transaction was first");
    return moved || hf_error_set(err, HF_INTERNAL, "an earlier attempt was not undone");
}

START_TEST(transaction_is_tried_again_after_a_conflict)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    struct attempts attempts = {.conflicts = 2};
    HF_TEST_OK(hf_session_transaction(test.write, conflict_at_first, &attempts, &err));
    ck_assert_int_eq(attempts.made, 3);
    ck_assert_int_eq(stored_sequence(test.read), 13);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(transaction_gives_up_after_many_conflicts)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    struct attempts attempts = {.conflicts = INT32_MAX};
    HF_TEST_FAILS(HF_CONFLICT, hf_session_transaction(test.write, conflict_at_first, &attempts, &err));
    ck_assert_int_gt(attempts.made, 1);
    ck_assert_int_lt(attempts.made, 100);
    ck_assert_int_eq(stored_sequence(test.read), 0);
    hf_test_store_done(&test);
}
END_TEST

static bool expect_extremes(void *context, const struct hf_component_row *row)
{
    const struct hf_component_row *wanted = context;
    ck_assert_str_eq(row->name, wanted->name);
    ck_assert_str_eq(row->kind, wanted->kind);
    ck_assert_int_eq(row->bytes, wanted->bytes);
    ck_assert_int_eq(row->committed_at_ms, wanted->committed_at_ms);
    ck_assert(row->health == wanted->health);
    ck_assert_str_eq(row->metrics, wanted->metrics);
    ck_assert(hf_hash_equal(&row->hash, &wanted->hash));
    return true;
}

START_TEST(extreme_values_come_back_unchanged)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    struct hf_component_row row = {.system_id = HF_TEST_SYSTEM,
                                   .component_id = 1,
                                   .name = "agent-7",
                                   .kind = "",
                                   .depends_on = "[]",
                                   .required_pointers = "[]",
                                   .content_type = "",
                                   .version = 1,
                                   .sequence = 1,
                                   .bytes = INT64_MAX,
                                   .committed_at_ms = INT64_MIN,
                                   .health = DBL_MIN,
                                   .status = "",
                                   .metrics = "{\"\xc3\xbc'\\\"\":1e-7}"};
    memset(row.hash.bytes, 0xff, sizeof(row.hash.bytes));
    row.hash.bytes[3] = 0;
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(hf_components_insert(test.write, &row, 1, &err));
    HF_TEST_OK(hf_session_commit(test.write, &err));
    HF_TEST_OK(hf_components_list(test.read, HF_TEST_SYSTEM, expect_extremes, &row, &err));
    const struct hf_value id = HF_INT(HF_TEST_SYSTEM);
    ck_assert_int_eq(hf_test_store_count(test.read, HF_STMT_COMPONENTS_LIST, &id, 1), 1);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(reset_of_a_healthy_session_rolls_back)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    ck_assert(advance(0, 5));
    HF_TEST_OK(hf_session_reset(test.write, &err));
    ck_assert(!hf_session_is_broken(test.write));
    ck_assert_int_eq(stored_sequence(test.write), 0);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    ck_assert(advance(0, 6));
    HF_TEST_OK(hf_session_commit(test.write, &err));
    ck_assert_int_eq(stored_sequence(test.read), 6);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("contract_store", committed_rows_are_there_after_reopening, rolled_back_rows_are_not_there,
                   session_closed_inside_a_transaction_leaves_nothing,
                   statement_outside_a_transaction_commits_by_itself, system_advances_only_from_the_sequence_it_has,
                   many_rows_keep_their_values_and_nulls, no_rows_at_all_are_no_failure, many_large_rows_arrive_whole,
                   row_that_exists_is_a_conflict_and_the_whole_batch_is_undone, failed_transaction_cannot_be_committed,
                   view_stays_as_it_was_when_it_began, reading_goes_on_while_a_write_is_open,
                   read_session_refuses_to_write, listing_may_stop_early, transaction_is_tried_again_after_a_conflict,
                   transaction_gives_up_after_many_conflicts, extreme_values_come_back_unchanged,
                   reset_of_a_healthy_session_rolls_back);
