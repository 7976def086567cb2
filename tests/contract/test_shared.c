/* Contents shared between systems: read through, handed on when their holder goes, and never lost. On both engines. */
#include "core/auto.h"
#include "store/shared.h"
#include "tests/support/stores.h"

#include <stdio.h>
#include <string.h>

#define FORK      (HF_TEST_SYSTEM + 1)
#define OTHER     (HF_TEST_SYSTEM + 2)
#define BIG_BYTES (HF_STATE_CHUNK_BYTES + 1000) /* two chunks */
#define MANY_ROWS 1300

static struct hf_test_store test;
static struct hf_error err;
static char big[BIG_BYTES], small[] = "{\"a\":1}";

static void add_system(int64_t id)
{
    char name[32];
    snprintf(name, sizeof(name), "fork-%lld", (long long)id);
    const struct hf_system_row row = {.id = id,
                                      .name = name,
                                      .epoch = 1,
                                      .backup_interval_ms = -1,
                                      .incremental_interval_ms = -1,
                                      .max_retention_hours = -1,
                                      .created_at_ms = 1};
    HF_TEST_OK(hf_systems_insert(test.write, &row, &err));
}

/* The system at sequence 2: component 1 with an inline content, component 2 with one in chunks. */
static void open_with_origin(int engine)
{
    memset(big, 'x', sizeof(big));
    hf_test_store_begin(&test, engine);
    add_system(FORK);
    add_system(OTHER);
    const struct hf_state_row rows[] = {hf_test_state(1, 1, 1, 0, small, sizeof(small)),
                                        hf_test_state(2, 2, 1, 0, big, sizeof(big))};
    hf_test_store_commit(&test, rows, 2);
}

static struct hf_shared_row shared_row(int64_t system_id, int64_t origin_system_id, int64_t sequence)
{
    struct hf_shared_row row = {.system_id = system_id,
                                .sequence = sequence,
                                .component_id = sequence,
                                .version = 5,
                                .epoch = 1,
                                .content_type = "text/plain",
                                .committed_at_ms = 77,
                                .origin_system_id = origin_system_id,
                                .origin_sequence = sequence};
    if (sequence == 1)
        hf_hash_of(small, sizeof(small), &row.hash);
    else
        hf_hash_of(big, sizeof(big), &row.hash);
    return row;
}

static void fork_rows(int64_t system_id, int64_t origin_system_id)
{
    struct hf_shared_row rows[] = {shared_row(system_id, origin_system_id, 1),
                                   shared_row(system_id, origin_system_id, 2)};
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(hf_shared_insert(test.write, rows, 2, &err));
    HF_TEST_OK(hf_session_commit(test.write, &err));
    ck_assert(rows[0].shared && rows[1].shared);
}

static void expect_content(int64_t system_id, int64_t sequence)
{
    struct hf_state_row row;
    struct hf_state_text text;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_states_get(test.read, system_id, sequence, &row, &text, &blob, &err));
    const char *content = sequence == 1 ? small : big;
    size_t bytes = sequence == 1 ? sizeof(small) : sizeof(big);
    ck_assert_uint_eq(blob->bytes, bytes);
    ck_assert(memcmp(blob->data, content, bytes) == 0);
}

static void expect_contents(int64_t system_id)
{
    expect_content(system_id, 1);
    expect_content(system_id, 2);
}

static void delete_system(int64_t id)
{
    HF_TEST_OK(hf_systems_delete(test.write, id, &err));
}

static int count_chunks(int64_t system_id, int64_t sequence)
{
    const struct hf_value params[] = {HF_INT(system_id), HF_INT(sequence)};
    return hf_test_store_count(test.read, HF_STMT_CHUNKS_GET, params, 2);
}

static int64_t own_bytes(int64_t system_id)
{
    int64_t rows, bytes;
    HF_TEST_OK(hf_states_usage(test.read, system_id, INT64_MAX, &rows, &bytes, &err));
    return bytes;
}

START_TEST(shared_contents_are_read_through_and_stored_once)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    expect_contents(FORK);
    struct hf_state_row row;
    struct hf_state_text text;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_states_get(test.read, FORK, 1, &row, &text, &blob, &err));
    ck_assert_int_eq(row.version, 5);
    ck_assert_int_eq(row.previous_sequence, 0);
    ck_assert_str_eq(row.content_type, "text/plain");
    ck_assert_int_eq(row.committed_at_ms, 77);
    ck_assert_int_eq(count_chunks(FORK, 2), 0);
    ck_assert_int_eq(count_chunks(HF_TEST_SYSTEM, 2), 2);
    hf_test_store_done(&test);
}
END_TEST

static void expect_relatives(int64_t system_id, int count, const int64_t *wanted)
{
    int64_t ids[4];
    int found = -1;
    HF_TEST_OK(hf_shared_relatives(test.read, system_id, 4, ids, &found, &err));
    ck_assert_int_eq(found, count);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(ids[i], wanted[i]);
}

START_TEST(a_family_knows_each_other_whatever_it_shares)
{
    open_with_origin(_i);
    expect_relatives(HF_TEST_SYSTEM, 0, NULL);
    HF_TEST_OK(hf_shared_join_family(test.write, FORK, HF_TEST_SYSTEM, 4711, &err));
    expect_relatives(OTHER, 0, NULL);
    expect_relatives(FORK, 1, (const int64_t[]){HF_TEST_SYSTEM});
    HF_TEST_OK(hf_shared_join_family(test.write, OTHER, FORK, 4712, &err));
    expect_relatives(HF_TEST_SYSTEM, 2, (const int64_t[]){FORK, OTHER});
    expect_relatives(FORK, 2, (const int64_t[]){HF_TEST_SYSTEM, OTHER});
    expect_relatives(OTHER, 2, (const int64_t[]){HF_TEST_SYSTEM, FORK});
    int64_t first;
    int count = 0;
    HF_TEST_OK(hf_shared_relatives(test.read, OTHER, 1, &first, &count, &err));
    ck_assert_int_eq(count, 1);
    delete_system(HF_TEST_SYSTEM);
    expect_relatives(OTHER, 1, (const int64_t[]){FORK});
    hf_test_store_done(&test);
}
END_TEST

/* As a database has it that was made before there were families. */
START_TEST(who_shared_before_there_were_families_is_one)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    hf_test_store_close(&test);
    hf_test_store_alter(&test, "DROP INDEX systems_family; ALTER TABLE systems DROP COLUMN family;"
                               " DELETE FROM schema_migrations WHERE number = 6");
    hf_test_store_open(&test);
    expect_relatives(FORK, 1, (const int64_t[]){HF_TEST_SYSTEM});
    expect_relatives(HF_TEST_SYSTEM, 1, (const int64_t[]){FORK});
    expect_relatives(OTHER, 0, NULL);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(an_origin_that_says_another_hash_or_is_gone_is_not_shared)
{
    open_with_origin(_i);
    const struct hf_state_row tombstone = hf_test_state(3, 1, 2, 1, NULL, 0);
    hf_test_store_commit(&test, &tombstone, 1);
    struct hf_shared_row rows[] = {shared_row(FORK, HF_TEST_SYSTEM, 1), shared_row(FORK, HF_TEST_SYSTEM, 2),
                                   shared_row(FORK, HF_TEST_SYSTEM, 3), shared_row(FORK, HF_TEST_SYSTEM, 4)};
    rows[0].hash.bytes[0] ^= 1;
    memset(&rows[2].hash, 0, sizeof(rows[2].hash));
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(hf_shared_insert(test.write, rows, 4, &err));
    HF_TEST_OK(hf_session_commit(test.write, &err));
    ck_assert(!rows[0].shared && rows[1].shared && !rows[2].shared && !rows[3].shared);
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_blob *blob = NULL;
    HF_TEST_FAILS(HF_NOT_FOUND, hf_states_get(test.read, FORK, 1, &row, &text, &blob, &err));
    expect_content(FORK, 2);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(the_fork_of_a_fork_names_the_holder_itself)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    fork_rows(OTHER, FORK);
    expect_contents(OTHER);
    delete_system(FORK); /* it held nothing */
    expect_contents(OTHER);
    expect_contents(HF_TEST_SYSTEM);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(deleting_the_holder_hands_its_contents_on)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    fork_rows(OTHER, HF_TEST_SYSTEM);
    delete_system(HF_TEST_SYSTEM);
    expect_contents(FORK);
    expect_contents(OTHER);
    ck_assert_int_eq(count_chunks(FORK, 2), 2);
    ck_assert_int_eq(count_chunks(OTHER, 2), 0);
    ck_assert_int_eq(count_chunks(HF_TEST_SYSTEM, 2), 0);
    delete_system(FORK);
    expect_contents(OTHER);
    ck_assert_int_eq(count_chunks(OTHER, 2), 2);
    delete_system(OTHER);
    ck_assert_int_eq(count_chunks(OTHER, 2), 0);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(deleting_a_fork_takes_nothing_from_others)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    delete_system(FORK);
    expect_contents(HF_TEST_SYSTEM);
    fork_rows(OTHER, HF_TEST_SYSTEM);
    expect_contents(OTHER);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(trimming_the_holder_hands_its_contents_on)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    fork_rows(OTHER, HF_TEST_SYSTEM);
    const struct hf_state_row newer[] = {hf_test_state(3, 1, 2, 1, "{}", 2), hf_test_state(4, 2, 2, 2, "{}", 2)};
    hf_test_store_commit(&test, newer, 2);
    int64_t deleted = 0;
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, INT64_MAX, 1, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    ck_assert_int_eq(count_chunks(HF_TEST_SYSTEM, 2), 2); /* not its turn yet */
    expect_contents(FORK);
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, INT64_MAX, 100, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    ck_assert_int_eq(count_chunks(HF_TEST_SYSTEM, 2), 0);
    ck_assert_int_eq(count_chunks(FORK, 2), 2);
    expect_contents(FORK);
    expect_contents(OTHER);
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_blob *blob = NULL;
    HF_TEST_FAILS(HF_NOT_FOUND, hf_states_get(test.read, HF_TEST_SYSTEM, 1, &row, &text, &blob, &err));
    hf_test_store_done(&test);
}
END_TEST

START_TEST(trimming_a_fork_leaves_the_holder_its_contents)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    struct hf_state_row newer = hf_test_state(3, 2, 6, 2, "{}", 2);
    newer.system_id = FORK;
    HF_TEST_OK(hf_states_insert(test.write, &newer, 1, &err));
    ck_assert_int_eq(own_bytes(FORK), 0); /* deleting it would free nothing */
    int64_t deleted = 0;
    HF_TEST_OK(hf_states_trim(test.write, FORK, INT64_MAX, 100, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    expect_contents(HF_TEST_SYSTEM);
    expect_content(FORK, 1);
    hf_test_store_done(&test);
}
END_TEST

static void damage_holder(void)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "UPDATE component_states SET content = NULL WHERE system_id = %d AND sequence = 1;"
             " DELETE FROM state_chunks WHERE system_id = %d AND sequence = 2 AND chunk_index = 1",
             HF_TEST_SYSTEM, HF_TEST_SYSTEM);
    hf_test_store_alter(&test, sql);
}

static void expect_damaged(int64_t system_id, int64_t sequence)
{
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_blob *blob = NULL;
    HF_TEST_FAILS(HF_DAMAGED, hf_states_get(test.read, system_id, sequence, &row, &text, &blob, &err));
}

START_TEST(healing_the_holder_heals_those_who_share)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    damage_holder();
    expect_damaged(FORK, 1);
    expect_damaged(FORK, 2);
    const struct hf_state_row good[] = {hf_test_state(1, 1, 1, 0, small, sizeof(small)),
                                        hf_test_state(2, 2, 1, 0, big, sizeof(big))};
    HF_TEST_OK(hf_states_replace(test.write, &good[0], &err));
    HF_TEST_OK(hf_states_replace(test.write, &good[1], &err));
    expect_contents(FORK);
    expect_contents(HF_TEST_SYSTEM);
    hf_test_store_done(&test);
}
END_TEST

/* Writes both contents, which are good, again as rows of the fork. */
static void replace_in_fork(bool (*replace)(struct hf_session *, const struct hf_state_row *, struct hf_error *))
{
    struct hf_state_row good[] = {hf_test_state(1, 1, 5, 0, small, sizeof(small)),
                                  hf_test_state(2, 2, 5, 0, big, sizeof(big))};
    for (int i = 0; i < 2; i++) {
        good[i].system_id = FORK;
        HF_TEST_OK(replace(test.write, &good[i], &err));
    }
}

START_TEST(a_healed_row_of_a_fork_has_its_own_content)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    damage_holder();
    replace_in_fork(hf_states_replace);
    expect_contents(FORK);
    expect_damaged(HF_TEST_SYSTEM, 1);
    expect_damaged(HF_TEST_SYSTEM, 2);
    delete_system(HF_TEST_SYSTEM); /* what it lost does not come over them */
    expect_contents(FORK);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(healing_one_who_shares_heals_all_who_share)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    fork_rows(OTHER, HF_TEST_SYSTEM);
    damage_holder();
    replace_in_fork(hf_shared_replace);
    expect_contents(FORK);
    expect_contents(HF_TEST_SYSTEM);
    expect_contents(OTHER);
    ck_assert_int_eq(count_chunks(FORK, 2), 0); /* still shared */
    hf_test_store_done(&test);
}
END_TEST

START_TEST(who_is_healed_holds_for_the_others_what_the_holder_lost)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    fork_rows(OTHER, HF_TEST_SYSTEM);
    char sql[256];
    snprintf(sql, sizeof(sql),
             "DELETE FROM component_states WHERE system_id = %d AND sequence = 1;"
             " UPDATE component_states SET bytes = 1 WHERE system_id = %d AND sequence = 2",
             HF_TEST_SYSTEM, HF_TEST_SYSTEM);
    hf_test_store_alter(&test, sql);
    replace_in_fork(hf_shared_replace);
    expect_contents(FORK);
    expect_contents(OTHER);
    delete_system(HF_TEST_SYSTEM);
    expect_contents(FORK);
    expect_contents(OTHER);
    hf_test_store_done(&test);
}
END_TEST

static void expect_condition(const struct hf_state_row *expected, enum hf_row_condition wanted)
{
    enum hf_row_condition condition;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_states_examine(test.read, expected, &condition, &blob, &err));
    ck_assert_int_eq(condition, wanted);
}

/* Its own row says something else than it did, with the right hash; what it shares is well. */
static const char *const row_alterations[] = {"bytes = 1", "bytes = bytes + 1", "version = 9", "component_id = 7"};

START_TEST(a_row_that_shares_is_written_again_when_it_is_altered_itself)
{
    for (size_t i = 0; i < sizeof(row_alterations) / sizeof(row_alterations[0]); i++) {
        open_with_origin(_i);
        fork_rows(FORK, HF_TEST_SYSTEM);
        fork_rows(OTHER, HF_TEST_SYSTEM);
        char sql[256];
        snprintf(sql, sizeof(sql), "UPDATE component_states SET %s WHERE system_id = %d", row_alterations[i], FORK);
        hf_test_store_alter(&test, sql);
        struct hf_state_row good[] = {hf_test_state(1, 1, 5, 0, small, sizeof(small)),
                                      hf_test_state(2, 2, 5, 0, big, sizeof(big))};
        for (int row = 0; row < 2; row++) {
            good[row].system_id = FORK;
            expect_condition(&good[row], HF_ROW_ALTERED);
            HF_TEST_OK(hf_shared_replace(test.write, &good[row], &err));
            expect_condition(&good[row], HF_ROW_SOUND);
        }
        expect_contents(HF_TEST_SYSTEM);
        expect_contents(OTHER);
        delete_system(HF_TEST_SYSTEM);
        expect_contents(FORK);
        expect_contents(OTHER);
        delete_system(FORK);
        expect_contents(OTHER);
        hf_test_store_done(&test);
    }
}
END_TEST

START_TEST(a_row_is_found_by_its_hash_wherever_its_content_lies)
{
    open_with_origin(_i);
    fork_rows(FORK, HF_TEST_SYSTEM);
    struct hf_hash hash;
    hf_hash_of(big, sizeof(big), &hash);
    int64_t sequence = 0;
    int count = 0;
    HF_TEST_OK(hf_states_of_hash(test.read, FORK, &hash, 1, &sequence, &count, &err));
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(sequence, 2);
    hf_test_store_done(&test);
}
END_TEST

/* More than one statement takes. */
START_TEST(many_contents_are_handed_on_at_once)
{
    open_with_origin(_i);
    static struct hf_state_row rows[MANY_ROWS];
    static struct hf_shared_row shared[2][MANY_ROWS];
    for (int i = 0; i < MANY_ROWS; i++) {
        rows[i] = hf_test_state(3 + i, 3 + i, 1, 0, &rows[i], 0);
        rows[i].content = "0123456789";
        rows[i].bytes = 1 + i % 10;
        hf_hash_of(rows[i].content, (size_t)rows[i].bytes, &rows[i].hash);
        for (int fork = 0; fork < 2; fork++) {
            shared[fork][i] = shared_row(FORK + fork, HF_TEST_SYSTEM, 3 + i);
            shared[fork][i].hash = rows[i].hash;
        }
    }
    hf_test_store_commit(&test, rows, MANY_ROWS);
    for (int fork = 0; fork < 2; fork++) {
        HF_TEST_OK(hf_session_begin(test.write, &err));
        HF_TEST_OK(hf_shared_insert(test.write, shared[fork], MANY_ROWS, &err));
        HF_TEST_OK(hf_session_commit(test.write, &err));
    }
    delete_system(HF_TEST_SYSTEM);
    delete_system(FORK);
    for (int i = 0; i < MANY_ROWS; i++) {
        struct hf_state_row row;
        struct hf_state_text text;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        HF_TEST_OK(hf_states_get(test.read, OTHER, 3 + i, &row, &text, &blob, &err));
    }
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("shared", shared_contents_are_read_through_and_stored_once,
                   a_family_knows_each_other_whatever_it_shares,
                   an_origin_that_says_another_hash_or_is_gone_is_not_shared,
                   the_fork_of_a_fork_names_the_holder_itself, deleting_the_holder_hands_its_contents_on,
                   deleting_a_fork_takes_nothing_from_others, trimming_the_holder_hands_its_contents_on,
                   trimming_a_fork_leaves_the_holder_its_contents, healing_the_holder_heals_those_who_share,
                   a_healed_row_of_a_fork_has_its_own_content, who_shared_before_there_were_families_is_one,
                   healing_one_who_shares_heals_all_who_share, who_is_healed_holds_for_the_others_what_the_holder_lost,
                   a_row_that_shares_is_written_again_when_it_is_altered_itself,
                   a_row_is_found_by_its_hash_wherever_its_content_lies, many_contents_are_handed_on_at_once);
