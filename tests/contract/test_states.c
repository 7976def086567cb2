/* Versions and their content, on both engines. */
#include "tests/contract/states_fixture.h"

START_TEST(content_of_any_size_comes_back_the_same)
{
    struct hf_error err;
    const int64_t sizes[] = {0,
                             1,
                             HF_STATE_INLINE_BYTES - 1,
                             HF_STATE_INLINE_BYTES,
                             HF_STATE_INLINE_BYTES + 1,
                             200 * KIB,
                             HF_STATE_CHUNK_BYTES,
                             HF_STATE_CHUNK_BYTES + 1,
                             3 * KIB * KIB};
    hf_test_store_begin(&test, _i);
    HF_AUTO(free) unsigned char *content = patterned(3 * KIB * KIB);
    for (int i = 0; i < (int)(sizeof(sizes) / sizeof(sizes[0])); i++) {
        const struct hf_state_row stored = hf_test_state(i + 1, i + 1, 1, 0, content, sizes[i]);
        hf_test_store_commit(&test, &stored, 1);
        struct hf_state_row row;
        struct hf_state_text text;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        HF_TEST_OK(hf_states_get(test.read, HF_TEST_SYSTEM, i + 1, &row, &text, &blob, &err));
        ck_assert_int_eq(row.bytes, sizes[i]);
        ck_assert(!row.deleted);
        ck_assert_ptr_nonnull(blob);
        ck_assert_uint_eq(blob->bytes, (size_t)sizes[i]);
        ck_assert(sizes[i] == 0 || memcmp(blob->data, content, (size_t)sizes[i]) == 0);
        ck_assert_int_eq(count_chunks(i + 1) > 0, sizes[i] > HF_STATE_INLINE_BYTES);
    }
    hf_test_store_done(&test);
}
END_TEST

START_TEST(row_comes_back_with_all_its_fields)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    struct hf_state_row stored = hf_test_state(9, 4, 3, 2, "\0\xff\x01", 3);
    stored.epoch = 5;
    stored.content_type = "application/octet-stream";
    stored.event = "large-reward";
    hf_test_store_commit(&test, &stored, 1);
    struct hf_state_row row;
    struct hf_state_text text;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_states_get(test.read, HF_TEST_SYSTEM, 9, &row, &text, &blob, &err));
    ck_assert_int_eq(row.system_id, HF_TEST_SYSTEM);
    ck_assert_int_eq(row.sequence, 9);
    ck_assert_int_eq(row.component_id, 4);
    ck_assert_int_eq(row.version, 3);
    ck_assert_int_eq(row.previous_sequence, 2);
    ck_assert_int_eq(row.epoch, 5);
    ck_assert_int_eq(row.committed_at_ms, 9000);
    ck_assert_str_eq(row.content_type, "application/octet-stream");
    ck_assert_str_eq(row.event, "large-reward");
    ck_assert(hf_hash_equal(&row.hash, &stored.hash));
    ck_assert_mem_eq(blob->data, "\0\xff\x01", 3);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(tombstone_has_no_content)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    const struct hf_state_row rows[] = {hf_test_state(1, 1, 1, 0, "{}", 2), hf_test_state(2, 1, 2, 1, NULL, 0)};
    hf_test_store_commit(&test, rows, 2);
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_states_get(test.read, HF_TEST_SYSTEM, 2, &row, &text, &blob, &err));
    ck_assert(row.deleted);
    ck_assert_ptr_null(blob);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(state_that_is_not_kept_is_not_found)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_blob *blob = NULL;
    HF_TEST_FAILS(HF_NOT_FOUND, hf_states_get(test.read, HF_TEST_SYSTEM, 1, &row, &text, &blob, &err));
    ck_assert_ptr_null(blob);
    hf_test_store_done(&test);
}
END_TEST

/* Each harm is done to a state of 3 bytes at sequence 1 and one of 200 KiB at sequence 2. */
START_TEST(damaged_content_is_never_returned)
{
    struct hf_error err;
    const struct {
        int64_t sequence;
        const char *sqlite;
        const char *postgres; /* NULL: the same */
    } harms[] = {
        {1, "UPDATE component_states SET content = x'7b7b7d' WHERE sequence = 1",
         "UPDATE component_states SET content = '\\x7b7b7d' WHERE sequence = 1"},
        {1, "UPDATE component_states SET content = x'7b' WHERE sequence = 1",
         "UPDATE component_states SET content = '\\x7b' WHERE sequence = 1"},
        {1, "UPDATE component_states SET bytes = 2 WHERE sequence = 1", NULL},
        {1, "UPDATE component_states SET bytes = 9223372036854775807 WHERE sequence = 1", NULL},
        {1, "UPDATE component_states SET bytes = -1 WHERE sequence = 1", NULL},
        {1, "UPDATE component_states SET content = NULL WHERE sequence = 1", NULL},
        {1, "UPDATE component_states SET hash = x'00' WHERE sequence = 1",
         "UPDATE component_states SET hash = '\\x00' WHERE sequence = 1"},
        {2, "DELETE FROM state_chunks WHERE sequence = 2", NULL},
        {2, "UPDATE state_chunks SET content = x'00' WHERE sequence = 2",
         "UPDATE state_chunks SET content = '\\x00' WHERE sequence = 2"},
        {2, "UPDATE state_chunks SET content = zeroblob(204800) WHERE sequence = 2",
         "UPDATE state_chunks SET content = set_byte(content, 1000, (get_byte(content, 1000) + 1) % 256)"
         " WHERE sequence = 2"},
        {2, "INSERT INTO state_chunks SELECT system_id, sequence, 99, content FROM state_chunks WHERE sequence = 2",
         NULL},
    };
    HF_AUTO(free) unsigned char *content = patterned(200 * KIB);
    hf_test_store_begin(&test, _i);
    for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
        hf_test_store_alter(&test, "DELETE FROM component_states; DELETE FROM state_chunks");
        const struct hf_state_row rows[] = {hf_test_state(1, 1, 1, 0, "{1}", 3),
                                            hf_test_state(2, 2, 1, 0, content, 200 * KIB)};
        hf_test_store_commit(&test, rows, 2);
        bool other = test.engine == HF_TEST_POSTGRES && harms[i].postgres;
        hf_test_store_alter(&test, other ? harms[i].postgres : harms[i].sqlite);
        struct hf_state_row row;
        struct hf_state_text text;
        struct hf_blob *blob = NULL;
        ck_assert_msg(!hf_states_get(test.read, HF_TEST_SYSTEM, harms[i].sequence, &row, &text, &blob, &err),
                      "unnoticed: %s", harms[i].sqlite);
        ck_assert_msg(err.code == HF_DAMAGED, "%s: %s: %s", harms[i].sqlite, hf_code_name(err.code), err.text);
        ck_assert_ptr_null(blob);
        HF_AUTO(blob) struct hf_blob *intact = NULL;
        HF_TEST_OK(hf_states_get(test.read, HF_TEST_SYSTEM, 3 - harms[i].sequence, &row, &text, &intact, &err));
    }
    hf_test_store_done(&test);
}
END_TEST

START_TEST(systems_do_not_see_each_other)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    commit_in_turn(2);
    struct hf_state_row other = hf_test_state(1, 1, 1, 0, "[]", 2);
    other.system_id = HF_TEST_SYSTEM + 1;
    HF_TEST_OK(hf_states_insert(test.write, &other, 1, &err));
    expect_tail(0, INT64_MAX, (const int64_t[]){1, 2}, 2);
    struct listing listing = {0};
    HF_TEST_OK(hf_states_history(test.read, other.system_id, 1, 10, note_row, &listing, &err));
    expect_sequences(&listing, (const int64_t[]){1}, 1);
    hf_test_store_done(&test);
}
END_TEST

static enum hf_row_condition condition_of(const struct hf_state_row *expected)
{
    struct hf_error err;
    enum hf_row_condition condition;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_states_examine(test.read, expected, &condition, &blob, &err));
    ck_assert(blob || condition != HF_ROW_SOUND);
    ck_assert(!blob ||
              (blob->bytes == (size_t)expected->bytes && memcmp(blob->data, expected->content, blob->bytes) == 0));
    return condition;
}

START_TEST(row_is_written_again_whatever_is_there)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    HF_AUTO(free) unsigned char *content = patterned(3 * KIB * KIB);
    const int64_t sizes[] = {0, 100, 200 * KIB, 3 * KIB * KIB};
    for (int i = 0; i < 4; i++) {
        struct hf_state_row row = hf_test_state(i + 1, 1, i + 1, i, content, sizes[i]);
        row.event = "kept";
        hf_test_store_commit(&test, &row, 1);
        ck_assert_int_eq(condition_of(&row), HF_ROW_SOUND);
        char sql[400];
        snprintf(sql, sizeof(sql),
                 i % 2
                     ? "DELETE FROM component_states WHERE sequence = %d; DELETE FROM state_chunks WHERE sequence = %d"
                     : "UPDATE component_states SET bytes = 7, content = NULL, event = NULL WHERE sequence = %d;"
                       " DELETE FROM state_chunks WHERE sequence = %d AND chunk_index = 0",
                 i + 1, i + 1);
        hf_test_store_alter(&test, sql);
        ck_assert_int_eq(condition_of(&row), i % 2 ? HF_ROW_MISSING : HF_ROW_ALTERED);
        for (int again = 0; again < 2; again++) { /* also when nothing is wrong any more */
            HF_TEST_OK(hf_states_replace(test.write, &row, &err));
            ck_assert_int_eq(condition_of(&row), HF_ROW_SOUND);
        }
        struct hf_state_row found;
        struct hf_state_text text;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        HF_TEST_OK(hf_states_get(test.read, HF_TEST_SYSTEM, i + 1, &found, &text, &blob, &err));
        ck_assert_str_eq(found.event, "kept");
        ck_assert_int_eq(found.previous_sequence, i);
    }
    expect_tail(0, INT64_MAX, (const int64_t[]){1, 2, 3, 4}, 4);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(row_of_another_version_or_content_is_an_altered_one)
{
    hf_test_store_begin(&test, _i);
    const struct hf_state_row row = hf_test_state(1, 1, 1, 0, "{}", 2);
    hf_test_store_commit(&test, &row, 1);
    struct hf_state_row other = row;
    other.version = 2;
    ck_assert_int_eq(condition_of(&other), HF_ROW_ALTERED);
    other = row;
    other.component_id = 2;
    ck_assert_int_eq(condition_of(&other), HF_ROW_ALTERED);
    other = hf_test_state(1, 1, 1, 0, "[]", 2);
    ck_assert_int_eq(condition_of(&other), HF_ROW_ALTERED);
    other = hf_test_state(1, 1, 1, 0, "{} ", 3);
    ck_assert_int_eq(condition_of(&other), HF_ROW_ALTERED);
    hf_test_store_alter(&test, "UPDATE component_states SET deleted = 1");
    ck_assert_int_eq(condition_of(&row), HF_ROW_ALTERED);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(bytes_of_an_altered_row_are_given_when_they_have_the_hash_that_is_expected)
{
    static const char *const alterations[] = {"bytes = 1",     "bytes = bytes + 1", "bytes = 1099511627776",
                                              "version = 9",   "component_id = 9",  "deleted = 1",
                                              "bytes = -bytes"};
    struct hf_error err;
    HF_AUTO(free) unsigned char *content = patterned(3 * KIB * KIB);
    const int64_t sizes[] = {100, 200 * KIB, 3 * KIB * KIB};
    for (size_t i = 0; i < sizeof(alterations) / sizeof(alterations[0]); i++) {
        hf_test_store_begin(&test, _i);
        char sql[128];
        snprintf(sql, sizeof(sql), "UPDATE component_states SET %s", alterations[i]);
        struct hf_state_row rows[3];
        for (int size = 0; size < 3; size++) {
            rows[size] = hf_test_state(size + 1, 1, size + 1, size, content, sizes[size]);
            hf_test_store_commit(&test, &rows[size], 1);
        }
        hf_test_store_alter(&test, sql);
        for (int size = 0; size < 3; size++) {
            enum hf_row_condition condition;
            HF_AUTO(blob) struct hf_blob *blob = NULL, *none = NULL;
            HF_TEST_OK(hf_states_examine(test.read, &rows[size], &condition, &blob, &err));
            ck_assert_int_eq(condition, HF_ROW_ALTERED);
            ck_assert_msg(blob && blob->bytes == (size_t)sizes[size], "%s of %lld", alterations[i],
                          (long long)sizes[size]);
            ck_assert_int_eq(memcmp(blob->data, content, blob->bytes), 0);
            struct hf_state_row other = rows[size];
            other.hash.bytes[0] ^= 1;
            HF_TEST_OK(hf_states_examine(test.read, &other, &condition, &none, &err));
            ck_assert_int_eq(condition, HF_ROW_ALTERED);
            ck_assert_ptr_null(none);
        }
        hf_test_store_done(&test);
    }
}
END_TEST

START_TEST(rows_are_found_by_their_content)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    const struct hf_state_row rows[] = {hf_test_state(1, 1, 1, 0, "same", 4), hf_test_state(2, 2, 1, 0, "else", 4),
                                        hf_test_state(3, 3, 1, 0, "same", 4), hf_test_state(4, 1, 2, 1, "same", 4)};
    hf_test_store_commit(&test, rows, 4);
    int64_t sequences[4];
    int count = -1;
    HF_TEST_OK(hf_states_of_hash(test.read, HF_TEST_SYSTEM, &rows[0].hash, 4, sequences, &count, &err));
    ck_assert_int_eq(count, 3);
    ck_assert(sequences[0] == 4 && sequences[1] == 3 && sequences[2] == 1);
    HF_TEST_OK(hf_states_of_hash(test.read, HF_TEST_SYSTEM, &rows[0].hash, 2, sequences, &count, &err));
    ck_assert_int_eq(count, 2);
    HF_TEST_OK(hf_states_of_hash(test.read, HF_TEST_SYSTEM + 1, &rows[0].hash, 4, sequences, &count, &err));
    ck_assert_int_eq(count, 0);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("contract_states", content_of_any_size_comes_back_the_same, row_comes_back_with_all_its_fields,
                   tombstone_has_no_content, state_that_is_not_kept_is_not_found, damaged_content_is_never_returned,
                   systems_do_not_see_each_other, row_is_written_again_whatever_is_there,
                   row_of_another_version_or_content_is_an_altered_one,
                   bytes_of_an_altered_row_are_given_when_they_have_the_hash_that_is_expected,
                   rows_are_found_by_their_content);
