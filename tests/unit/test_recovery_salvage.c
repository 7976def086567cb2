/* What can be had of a damaged snapshot, and what a salvage leaves alone. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "tests/support/engine.h"
#include "tests/support/recoveries.h"

#include "tests/support/check_main.h"

#include <string.h>

static const char *const own_generations[] = {"--anchor-interval", "0", NULL};
static struct hf_test_service service;
static struct hf_error err;

/* A full of a, b, c; all of them changed since, and "later" came; the old content of b is nowhere any more. */
static struct hf_snapshot_row lose_b(void)
{
    hf_test_service_open(&service, own_generations);
    hf_test_put(&service, "a", "{\"a\":\"old\"}");
    hf_test_put(&service, "b", "{\"b\":\"old\"}");
    hf_test_put(&service, "c", "{\"c\":\"old\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"new\"}");
    hf_test_put(&service, "b", "{\"b\":\"new\"}");
    hf_test_put(&service, "c", "{\"c\":\"new\"}");
    hf_test_put(&service, "later", "1");
    hf_test_forget_history(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &full), "{\"b\":\"old\"}");
    return full;
}

static char *lost_b(void)
{
    struct hf_hash hash;
    char label[HF_HASH_LABEL];
    hf_hash_of("{\"b\":\"old\"}", 11, &hash);
    hf_hash_label(&hash, label);
    return hf_arena_format(&service.arena, "[{\"component\":\"b\",\"version\":1,\"hash\":\"%s\",\"bytes\":11}]", label);
}

START_TEST(a_damaged_snapshot_that_is_named_says_how_much_is_lost)
{
    struct hf_snapshot_row full = lose_b();
    struct hf_system_info before = hf_test_system(&service);
    struct hf_recovery_row row;
    ck_assert(!hf_test_try_restore(&service, full.id, &row, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_msg(strstr(err.text, "1 of its components is lost") != NULL, "%s", err.text);
    ck_assert_ptr_nonnull(strstr(err.text, "\"salvage\": true restores the rest"));
    hf_test_expect_unchanged(&service, &before);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_salvage_restores_all_but_what_is_lost)
{
    struct hf_snapshot_row full = lose_b();
    struct hf_recovery_row row;
    ck_assert_msg(hf_test_salvage(&service, full.id, false, &row, &err), "%s", err.text);
    ck_assert_str_eq(row.status, "applied");
    ck_assert_str_eq(row.snapshot, full.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"old\"}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":\"new\"}");
    ck_assert_str_eq(hf_test_get(&service, "c"), "{\"c\":\"old\"}");
    ck_assert_ptr_null(hf_test_get(&service, "later")); /* the list is whole: it came later */
    ck_assert_int_eq(row.sequence_after, row.sequence_before + 3);
    ck_assert_int_eq(row.data_loss_components, 3); /* a, c, later: b loses nothing */
    hf_test_expect_detail(&row, "lost", lost_b());
    hf_test_expect_detail(&row, "salvage", "{\"whole\":true,\"detail\":\"\"}");
    hf_test_expect_detail(&row, "removed", "[\"later\"]");
    ck_assert_int_eq(hf_test_put(&service, "b", "2"), 3);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_salvage_is_planned_first_and_applied_as_planned)
{
    struct hf_snapshot_row full = lose_b();
    struct hf_system_info before = hf_test_system(&service);
    struct hf_recovery_row plan, row;
    ck_assert_msg(hf_test_salvage(&service, full.id, true, &plan, &err), "%s", err.text);
    ck_assert_str_eq(plan.status, "planned");
    hf_test_expect_detail(&plan, "lost", lost_b());
    hf_test_expect_unchanged(&service, &before);
    ck_assert_msg(hf_test_apply(&service, plan.id, false, &row, &err), "%s", err.text);
    ck_assert_str_eq(row.status, "applied");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"old\"}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":\"new\"}");
    hf_test_expect_detail(&row, "lost", lost_b());
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_salvage_that_was_planned_with_other_losses_is_refused)
{
    struct hf_snapshot_row full = lose_b();
    struct hf_recovery_row plan, row;
    ck_assert_msg(hf_test_salvage(&service, full.id, true, &plan, &err), "%s", err.text);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &full), "{\"c\":\"old\"}");
    ck_assert(!hf_test_apply(&service, plan.id, false, &row, &err));
    ck_assert_int_eq(err.code, HF_PLAN_CHANGED);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"new\"}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_salvage_of_what_is_lost_alone_is_an_error)
{
    struct hf_snapshot_row full = lose_b();
    struct hf_system_info before = hf_test_system(&service);
    const char *const names[] = {"b"}, *const other[] = {"a"};
    struct hf_recovery_request request = {
        .source = "snapshot", .snapshot = full.id, .components = names, .component_count = 1, .salvage = true};
    struct hf_recovery_row row;
    ck_assert(!hf_test_recover(&service, &request, &row, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_ptr_nonnull(strstr(err.text, "nothing that was asked for is left"));
    hf_test_expect_unchanged(&service, &before);
    request.components = other; /* whole, whatever became of b */
    ck_assert_msg(hf_test_recover(&service, &request, &row, &err), "%s", err.text);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"old\"}");
    ck_assert_str_eq(hf_test_get(&service, "c"), "{\"c\":\"new\"}");
    ck_assert_str_eq(hf_test_get(&service, "later"), "1");
    hf_test_expect_detail(&row, "lost", "[]");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(where_the_list_is_not_whole_nothing_is_deleted)
{
    bool unchanged;
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":\"old\"}");
    hf_test_full(&service);
    hf_test_put(&service, "b", "{\"b\":\"old\"}");
    struct hf_snapshot_row middle = hf_test_incremental(&service, &unchanged);
    hf_test_put(&service, "c", "{\"c\":\"old\"}");
    struct hf_snapshot_row last = hf_test_incremental(&service, &unchanged);
    ck_assert_str_eq(last.parent, middle.id);
    hf_test_put(&service, "a", "{\"a\":\"new\"}");
    hf_test_put(&service, "b", "{\"b\":\"new\"}");
    hf_test_put(&service, "c", "{\"c\":\"new\"}");
    hf_test_put(&service, "later", "1");
    hf_test_forget_history(&service);
    hf_test_cut_off(&service, &middle);
    struct hf_recovery_row row;
    ck_assert(!hf_test_try_restore(&service, last.id, &row, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_msg(hf_test_salvage(&service, last.id, false, &row, &err), "%s", err.text);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"old\"}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":\"new\"}");
    ck_assert_str_eq(hf_test_get(&service, "c"), "{\"c\":\"old\"}");
    ck_assert_str_eq(hf_test_get(&service, "later"), "1");
    hf_test_expect_detail(&row, "removed", "[]");
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(&row);
    const json_t *salvaged = json_object_get(detail, "salvage");
    ck_assert(json_is_false(json_object_get(salvaged, "whole")));
    ck_assert_int_gt(json_string_length(json_object_get(salvaged, "detail")), 0);
    ck_assert_ptr_nonnull(strstr(row.detail, "nothing tells whether they came later: 2"));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(without_its_own_list_nothing_of_a_snapshot_can_be_salvaged)
{
    struct hf_snapshot_row full = lose_b();
    struct hf_system_info before = hf_test_system(&service);
    hf_test_cut_off(&service, &full);
    struct hf_recovery_row row;
    ck_assert(!hf_test_salvage(&service, full.id, false, &row, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_ptr_nonnull(strstr(err.text, "not even its list of components can be read"));
    hf_test_expect_unchanged(&service, &before);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_salvage_of_a_whole_snapshot_is_a_restore)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "later", "1");
    struct hf_recovery_row row;
    ck_assert_msg(hf_test_salvage(&service, full.id, false, &row, &err), "%s", err.text);
    struct hf_hash root = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &full.root_hash));
    hf_test_expect_detail(&row, "lost", "[]");
    hf_test_expect_detail(&row, "salvage", "null");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(only_a_snapshot_named_by_its_id_is_salvaged)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    const struct hf_recovery_request requests[] = {
        {.source = "snapshot", .snapshot = "latest", .salvage = true},
        {.source = "at", .at_ms = hf_clock_now_ms(), .salvage = true},
        {.source = "head", .salvage = true},
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct hf_recovery_row row;
        ck_assert(!hf_test_recover(&service, &requests[i], &row, &err));
        ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    }
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("recovery salvage", a_damaged_snapshot_that_is_named_says_how_much_is_lost,
             a_salvage_restores_all_but_what_is_lost, a_salvage_is_planned_first_and_applied_as_planned,
             a_salvage_that_was_planned_with_other_losses_is_refused, a_salvage_of_what_is_lost_alone_is_an_error,
             where_the_list_is_not_whole_nothing_is_deleted, without_its_own_list_nothing_of_a_snapshot_can_be_salvaged,
             a_salvage_of_a_whole_snapshot_is_a_restore, only_a_snapshot_named_by_its_id_is_salvaged);
