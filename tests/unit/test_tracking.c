/* Heads that say something else than they did. */
#include "core/auto.h"
#include "tests/support/check_main.h"
#include "tests/unit/tracking_fixture.h"

START_TEST(state_that_its_row_calls_deleted_is_back_after_a_start)
{
    mends(_i, "UPDATE component_state_tracking SET deleted = 1 WHERE name = 'b'");
}
END_TEST

START_TEST(component_whose_row_knows_of_no_state_is_back_after_a_start)
{
    mends(_i, "UPDATE component_state_tracking SET version = 0, sequence = 0, hash = NULL, bytes = 0 WHERE name = 'b'");
}
END_TEST

START_TEST(altered_hash_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET hash = (SELECT o.hash FROM component_states AS o WHERE sequence = 1)"
              " WHERE name = 'b'");
}
END_TEST

START_TEST(altered_length_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET bytes = 5 WHERE name = 'b'");
}
END_TEST

START_TEST(altered_version_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET version = 50 WHERE name = 'b'");
}
END_TEST

START_TEST(sequence_of_anothers_row_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET sequence = 1 WHERE name = 'b'");
}
END_TEST

START_TEST(sequence_of_anothers_newer_row_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET sequence = 7 WHERE name = 'b'");
}
END_TEST

START_TEST(sequence_that_was_never_reached_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET sequence = 999 WHERE name = 'b'");
}
END_TEST

START_TEST(head_that_is_an_older_version_of_its_own_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET version = 1, sequence = 2,"
              " hash = (SELECT o.hash FROM component_states AS o WHERE sequence = 2) WHERE name = 'b'");
}
END_TEST

/* A tombstone or a newer version that came after the snapshot is no damage, nor is a missing row of a sound head. */
START_TEST(what_later_rows_explain_is_left_alone)
{
    open_service(_i);
    fill();
    hf_test_delete(&service, "b");
    hf_test_put(&service, "c", text_of("c", 3));
    validate("latest");
    ck_assert_ptr_null(hf_test_get(&service, "b"));
    alter_stopped("UPDATE component_state_tracking SET deleted = deleted");
    struct hf_snapshot_row oldest = {0};
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_error err;
    HF_TEST_OK(hf_snapshot_find(service.engine, HF_TEST_NAME, "latest", &arena, &oldest, &err));
    validate(oldest.id);
    ck_assert_ptr_null(hf_test_get(&service, "b"));
    ck_assert_str_eq(hf_test_get(&service, "c"), text_of("c", 3));
    ck_assert_int_eq(count_events("state.healed"), 0);
    close_service();
}
END_TEST

HF_TEST_STORE_MAIN("tracking", state_that_its_row_calls_deleted_is_back_after_a_start,
                   component_whose_row_knows_of_no_state_is_back_after_a_start, altered_hash_is_mended,
                   altered_length_is_mended, altered_version_is_mended, sequence_of_anothers_row_is_mended,
                   sequence_of_anothers_newer_row_is_mended, sequence_that_was_never_reached_is_mended,
                   head_that_is_an_older_version_of_its_own_is_mended, what_later_rows_explain_is_left_alone);
