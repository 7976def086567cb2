/* Heads whose row is gone or has another name, and rows of states that no head explains. */
#include "tests/support/check_main.h"
#include "tests/unit/tracking_fixture.h"

START_TEST(component_whose_row_is_gone_is_back_after_a_start)
{
    mends(_i, "DELETE FROM component_state_tracking WHERE name = 'b'");
}
END_TEST

START_TEST(newest_component_whose_row_is_gone_is_back_after_a_start)
{
    mends(_i, "DELETE FROM component_state_tracking WHERE name = 'd'");
}
END_TEST

START_TEST(altered_name_is_mended_by_the_next_validation)
{
    open_service(_i);
    fill();
    hf_test_service_stop(&service);
    hf_test_store_alter(&database, "UPDATE component_state_tracking SET name = 'zz' WHERE name = 'b'");
    hf_test_service_start(&service);
    validate("latest");
    ck_assert_ptr_null(hf_test_get(&service, "zz"));
    expect_mended("latest");
    close_service();
}
END_TEST

START_TEST(row_gone_above_the_last_fold_ends_no_start)
{
    open_service(_i);
    fill();
    alter_stopped("UPDATE systems SET folded_sequence = 0; DELETE FROM component_state_tracking WHERE name = 'b'");
    expect_mended("latest");
    close_service();
}
END_TEST

/* The snapshot has an older version: the name is found through the row's history, the state is the newest. */
START_TEST(newest_version_comes_back_though_the_snapshot_is_older)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", NULL});
    database = (struct hf_test_store){.engine = HF_TEST_SQLITE, .directory = service.directory};
    hf_test_put(&service, "a", text_of("a", 1));
    hf_test_put(&service, "b", text_of("b", 1));
    hf_test_full(&service);
    hf_test_put(&service, "b", text_of("b", 2));
    hf_test_put(&service, "b", text_of("b", 3));
    hf_test_service_crash(&service);
    hf_test_store_alter(&database, "DELETE FROM component_state_tracking WHERE name = 'b'");
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "b"), text_of("b", 3));
    ck_assert_int_eq(head_of("b").version, 3);
    ck_assert_int_eq(count_events("state.healed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(component_whose_name_nobody_knows_is_told_and_its_rows_stay)
{
    open_service(_i);
    hf_test_put(&service, "a", text_of("a", 1));
    hf_test_service_stop(&service);
    hf_test_store_alter(&database, "DELETE FROM component_state_tracking; DELETE FROM system_state_snapshots");
    hf_test_remove_tree(service.config.backup_directory);
    hf_test_service_start(&service);
    ck_assert_int_eq(count_events("state.healed"), 0);
    ck_assert_int_eq(count_events("state.damaged"), 1);
    hf_test_put(&service, "new", text_of("new", 1));
    struct hf_component_info info;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "new", &service.arena, &info));
    ck_assert_int_eq(info.component_id, 2); /* number 1 stays that of the lost one */
    close_service();
}
END_TEST

START_TEST(lost_row_of_a_sound_head_is_healed_as_a_row)
{
    open_service(_i);
    fill();
    alter_stopped("DELETE FROM component_states WHERE sequence = 6");
    ck_assert_int_eq(head_of("b").sequence, 6);
    expect_mended("latest");
    close_service();
}
END_TEST

HF_TEST_STORE_MAIN("tracking_rows", component_whose_row_is_gone_is_back_after_a_start,
                   newest_component_whose_row_is_gone_is_back_after_a_start,
                   altered_name_is_mended_by_the_next_validation, row_gone_above_the_last_fold_ends_no_start,
                   newest_version_comes_back_though_the_snapshot_is_older,
                   component_whose_name_nobody_knows_is_told_and_its_rows_stay,
                   lost_row_of_a_sound_head_is_healed_as_a_row);
