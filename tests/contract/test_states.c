/* Versions and their content, on both engines. */
#include "core/auto.h"
#include "tests/support/stores.h"

#include <stdint.h>
#include <string.h>

#define KIB           ((int64_t)1024)
#define LISTED_MAX    64
#define FIRST_VERSION 1

static struct hf_test_store test;

struct listing {
    int count;
    int64_t sequences[LISTED_MAX];
    int64_t versions[LISTED_MAX];
};

static bool note_row(void *context, const struct hf_state_row *row)
{
    struct listing *listing = context;
    ck_assert_int_lt(listing->count, LISTED_MAX);
    listing->sequences[listing->count] = row->sequence;
    listing->versions[listing->count++] = row->version;
    return true;
}

/* Two components in turn: component 1 has versions 1, 2, 3, … at sequences 1, 3, 5, …; component 2 at 2, 4, 6, … */
static void commit_in_turn(int64_t sequences)
{
    struct hf_state_row rows[LISTED_MAX];
    for (int64_t sequence = 1; sequence <= sequences; sequence++) {
        int64_t version = (sequence + 1) / 2;
        rows[sequence - 1] =
            hf_test_state(sequence, sequence % 2 ? 1 : 2, version, version > 1 ? sequence - 2 : 0, "{}", 2);
    }
    hf_test_store_commit(&test, rows, (int)sequences);
}

static void expect_sequences(const struct listing *listing, const int64_t *expected, int count)
{
    ck_assert_int_eq(listing->count, count);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(listing->sequences[i], expected[i]);
}

static void expect_tail(int64_t after, int64_t up_to, const int64_t *expected, int count)
{
    struct hf_error err;
    struct listing listing = {0};
    HF_TEST_OK(hf_states_tail(test.read, HF_TEST_SYSTEM, after, up_to, note_row, &listing, &err));
    expect_sequences(&listing, expected, count);
}

static int64_t count_chunks(int64_t sequence)
{
    const struct hf_value key[] = {HF_INT(HF_TEST_SYSTEM), HF_INT(sequence)};
    return hf_test_store_count(test.read, HF_STMT_CHUNKS_GET, key, 2);
}

static unsigned char *patterned(int64_t bytes)
{
    unsigned char *content = hf_alloc((size_t)bytes + 1);
    for (int64_t i = 0; i < bytes; i++)
        content[i] = (unsigned char)(i * 131 + i / 251);
    return content;
}

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
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, 6, 100, &deleted, &err));
    HF_TEST_OK(hf_states_time_of(test.read, HF_TEST_SYSTEM, 4, &at_ms, &found, &err));
    ck_assert(!found);
    HF_TEST_OK(hf_states_time_of(test.read, HF_TEST_SYSTEM, 11, &at_ms, &found, &err));
    ck_assert(!found);
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

static void expect_sequence_at(int64_t newest, int64_t at_ms, int64_t expected)
{
    struct hf_error err;
    int64_t sequence = -1;
    bool found = expected == 0;
    HF_TEST_OK(hf_states_sequence_at(test.read, HF_TEST_SYSTEM, newest, at_ms, &sequence, &found, &err));
    ck_assert_msg(found == (expected > 0), "at %lld", (long long)at_ms);
    if (found)
        ck_assert_int_eq(sequence, expected);
}

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

static int64_t trim(int64_t up_to, int64_t limit)
{
    struct hf_error err;
    int64_t deleted = -1;
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, up_to, limit, &deleted, &err));
    return deleted;
}

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

static enum hf_row_condition condition_of(const struct hf_state_row *expected)
{
    struct hf_error err;
    enum hf_row_condition condition;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_states_examine(test.read, expected, &condition, &blob, &err));
    ck_assert_int_eq(blob != NULL, condition == HF_ROW_SOUND);
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
                   tail_is_a_range_in_order, systems_do_not_see_each_other, version_is_found_from_the_head,
                   state_at_a_sequence_is_the_newest_up_to_it, what_later_rows_replaced_is_the_state_at_a_sequence,
                   what_was_replaced_and_trimmed_is_left_out, time_of_a_sequence_is_told_while_its_row_is_kept,
                   history_is_newest_first_and_limited, sequence_at_a_time_is_the_last_one_committed_by_then,
                   sequence_at_a_time_is_the_last_of_those_committed_together,
                   trim_keeps_the_newest_version_of_every_component, trim_keeps_what_was_current_at_its_limit,
                   trim_goes_by_pieces_from_the_oldest, trim_takes_chunks_along, trimmed_history_says_so,
                   row_is_written_again_whatever_is_there, row_of_another_version_or_content_is_an_altered_one,
                   newest_row_of_a_component_below_a_sequence_is_found, rows_are_found_by_their_content);
