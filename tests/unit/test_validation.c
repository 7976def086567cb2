/* Validation: what passes, what is healed from where, what is lost, and what the score makes of it. */
#include "core/auto.h"
#include "engine/validation_private.h"
#include "store/journal.h"
#include "tests/support/stores.h"
#undef HF_TEST_SYSTEM
#include "tests/support/snapshots.h"
#include "tests/support/judging.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

START_TEST(a_sound_snapshot_passes_every_check_and_scores_one)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":1}");
    hf_test_put(&hf_judging.service, "b", "{\"b\":1}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    ck_assert_str_eq(hf_judging_run(&full, true), "valid");
    hf_judging_expect_score(1);
    ck_assert_int_eq(hf_judging.verdict.check_count, 12);
    ck_assert_int_eq(hf_judging.verdict.blobs_checked, 2);
    ck_assert_int_eq(hf_judging.verdict.bytes_checked, 14);
    for (int i = 0; i < hf_judging.verdict.check_count; i++) {
        const struct hf_validation_check *check = &hf_judging.verdict.checks[i];
        bool skipped = strcmp(check->name, "signature") == 0 || strcmp(check->name, "sizes") == 0;
        ck_assert_msg(strcmp(check->status, skipped ? "skipped" : "passed") == 0, "%s %s: %s", check->name,
                      check->status, check->detail);
    }
    hf_judging_expect_row(&full, "complete", "valid");
    ck_assert(hf_judging_row(&full).quality_score == 1);
    ck_assert_int_eq(hf_judging_row(&full).validated_at_ms, hf_judging.verdict.checked_at_ms);
    ck_assert_int_eq(hf_judging_count_told("snapshot.healed") + hf_judging_count_told("snapshot.damaged"), 0);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(a_content_is_healed_from_the_database)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"as it was\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    size_t bytes_before, bytes_after;
    HF_AUTO(free) char *before = hf_test_read_file(hf_judging_path(&full), &bytes_before);
    hf_test_damage_content(hf_judging_path(&full), "{\"a\":\"as it was\"}");
    ck_assert_str_eq(hf_judging_run(&full, false), "healed");
    hf_judging_expect_score(1);
    ck_assert_int_eq(hf_judging.verdict.contents_healed, 1);
    ck_assert_str_eq(hf_judging_check("blobs")->status, "healed");
    ck_assert_ptr_nonnull(strstr(hf_judging_check("blobs")->detail, "the good copy came from "));
    HF_AUTO(free) char *after = hf_test_read_file(hf_judging_path(&full), &bytes_after);
    ck_assert_uint_eq(bytes_before, bytes_after);
    ck_assert_int_eq(memcmp(before, after, bytes_before), 0);
    hf_judging_expect_row(&full, "complete", "valid");
    hf_judging_expect_told("snapshot.healed", 1);
    hf_judging_expect_told("snapshot.damaged", 0);
    ck_assert_str_eq(hf_judging_run(&full, true), "valid");
    hf_judging_expect_told("snapshot.healed", 1);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(a_content_is_healed_from_another_generation)
{
    hf_judging_open("--anchor-interval", "0");
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"old\"}");
    struct hf_snapshot_row first = hf_test_full(&hf_judging.service), second = hf_test_full(&hf_judging.service);
    ck_assert_str_ne(first.generation, second.generation);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"new\"}");
    hf_test_forget_history(&hf_judging.service);
    hf_test_damage_content(hf_judging_path(&second), "{\"a\":\"old\"}");
    ck_assert_str_eq(hf_judging_run(&second, true), "healed");
    ck_assert_msg(strstr(hf_judging_check("blobs")->detail, first.id), "%s", hf_judging_check("blobs")->detail);
    hf_judging_expect_row(&first, "complete", "pending");
    hf_test_service_close(&hf_judging.service);
}
END_TEST

/* Contents of a and b that are nowhere but in the file; c is sound. */
static struct hf_snapshot_row lose_two_of_three(void)
{
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"first\"}");
    hf_test_put(&hf_judging.service, "b", "{\"b\":\"first\"}");
    hf_test_put(&hf_judging.service, "b", "{\"b\":\"second\"}");
    hf_test_put(&hf_judging.service, "c", "{\"c\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"new\"}");
    hf_test_put(&hf_judging.service, "b", "{\"b\":\"new\"}");
    hf_test_forget_history(&hf_judging.service);
    hf_test_damage_content(hf_judging_path(&full), "{\"a\":\"first\"}");
    hf_test_damage_content(hf_judging_path(&full), "{\"b\":\"second\"}");
    return full;
}

static void expect_two_lost(const struct hf_validation *validation)
{
    ck_assert_str_eq(validation->status, "damaged");
    ck_assert(!validation->lost_all);
    ck_assert_int_eq(validation->lost_count, 2);
    ck_assert_str_eq(validation->lost[0].component, "a");
    ck_assert_int_eq(validation->lost[0].version, 1);
    ck_assert_str_eq(validation->lost[1].component, "b");
    ck_assert_int_eq(validation->lost[1].version, 2);
    ck_assert_int_eq(validation->lost[1].bytes, (int64_t)strlen("{\"b\":\"second\"}"));
    struct hf_hash hash;
    hf_hash_of("{\"b\":\"second\"}", strlen("{\"b\":\"second\"}"), &hash);
    ck_assert(hf_hash_equal(&hash, &validation->lost[1].hash));
    ck_assert_str_eq(hf_judging_check_in(validation, "blobs")->status, "failed");
    ck_assert_str_eq(hf_judging_check_in(validation, "json")->status, "skipped");
}

static bool note_data(void *context, const struct hf_event_row *row)
{
    if (strcmp(row->type, "snapshot.damaged") == 0)
        snprintf(context, 512, "%s", row->data);
    return true;
}

START_TEST(damage_that_stays_has_an_exact_list)
{
    hf_judging_open(NULL, NULL);
    struct hf_snapshot_row full = lose_two_of_three();
    ck_assert_str_eq(hf_judging_run(&full, false), "damaged");
    expect_two_lost(&hf_judging.verdict);
    hf_judging_expect_score(1.0 / 3);
    hf_judging_expect_row(&full, "damaged", "damaged");

    struct hf_validation latest;
    struct hf_error err;
    bool found = false;
    HF_TEST_OK(hf_validation_latest(hf_judging.service.engine, HF_TEST_NAME, full.id, &hf_judging.service.arena,
                                    &latest, &found, &err));
    ck_assert(found);
    expect_two_lost(&latest);
    ck_assert(latest.quality_score == hf_judging.verdict.quality_score);
    ck_assert_int_eq(latest.check_count, 12);
    ck_assert_int_eq(latest.checked_at_ms, hf_judging.verdict.checked_at_ms);

    hf_judging_expect_told("snapshot.damaged", 1);
    char data[512] = "";
    struct hf_session *session;
    HF_TEST_OK(hf_sessions_take(hf_judging.service.engine->sessions, &session, &err));
    HF_TEST_OK(hf_events_list(session, hf_test_system(&hf_judging.service).id, NULL, 0, 1000, note_data, data, &err));
    hf_sessions_give(hf_judging.service.engine->sessions, session);
    ck_assert_msg(strstr(data, "\"lost\":[\"a\",\"b\"]") && strstr(data, "\"lostCount\":2") && strstr(data, full.id),
                  "%s", data);

    ck_assert_str_eq(hf_judging_run(&full, true), "damaged"); /* again, and nobody is told twice */
    expect_two_lost(&hf_judging.verdict);
    hf_judging_expect_told("snapshot.damaged", 1);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(everything_that_refers_to_what_is_lost_is_damaged_until_it_is_back)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"first\"}");
    hf_test_put(&hf_judging.service, "b", "{\"b\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    hf_test_put(&hf_judging.service, "b", "{\"b\":\"second\"}");
    struct hf_snapshot_row refers = hf_judging_incremental();
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"second\"}");
    struct hf_snapshot_row does_not = hf_judging_incremental();
    ck_assert_str_eq(does_not.generation, full.id);
    hf_test_forget_history(&hf_judging.service);
    hf_test_damage_content(hf_judging_path(&full), "{\"a\":\"first\"}");

    ck_assert_str_eq(hf_judging_run(&full, false), "damaged");
    hf_judging_expect_row(&full, "damaged", "damaged");
    hf_judging_expect_row(&refers, "damaged", "damaged");
    hf_judging_expect_row(&does_not, "complete", "pending");
    struct hf_error err;
    bool found;
    HF_TEST_OK(hf_validation_latest(hf_judging.service.engine, HF_TEST_NAME, refers.id, &hf_judging.service.arena,
                                    &hf_judging.verdict, &found, &err));
    ck_assert_int_eq(hf_judging.verdict.lost_count, 1);
    ck_assert_str_eq(hf_judging.verdict.lost[0].component, "a");
    ck_assert(hf_judging_row(&refers).quality_score == 0.5);
    /* A look at its own file alone would find nothing. */
    ck_assert_str_eq(hf_judging_run(&refers, false), "damaged");

    hf_test_damage_content(hf_judging_path(&full), "{\"a\":\"first\"}"); /* back as it was */
    ck_assert_str_eq(hf_judging_run(&full, false), "valid");
    hf_judging_expect_row(&full, "complete", "valid");
    hf_judging_await_valid(&refers);
    hf_judging_expect_row(&refers, "complete", "valid");
    hf_judging_expect_told("snapshot.damaged", 2);
    hf_judging_expect_told("snapshot.healed", 2);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(a_file_that_is_cut_short_and_has_no_copy_has_lost_all)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"second\"}");
    struct hf_snapshot_row later = hf_judging_incremental();
    hf_test_remove_outline(&hf_judging.service, &full);
    ck_assert_int_eq(truncate(hf_judging_path(&full), 30), 0);
    ck_assert_str_eq(hf_judging_run(&full, false), "damaged");
    ck_assert(hf_judging.verdict.lost_all);
    ck_assert_int_eq(hf_judging.verdict.lost_count, 0);
    hf_judging_expect_score(0);
    hf_judging_expect_row(&later, "damaged", "damaged"); /* its chain ends there */
    ck_assert(hf_judging_row(&later).quality_score == 0);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

/* Its row was made when nobody could say of when it is. */
START_TEST(a_file_taken_in_damaged_gets_its_row_right_when_it_is_whole)
{
    hf_judging_open("--anchor-interval", "0");
    hf_test_put(&hf_judging.service, "a", "{\"a\":1}");
    struct hf_snapshot_row old = hf_test_full(&hf_judging.service);
    hf_test_put(&hf_judging.service, "a", "{\"a\":2}");
    struct hf_snapshot_row newer = hf_test_full(&hf_judging.service);
    hf_test_service_stop(&hf_judging.service);
    hf_judging_alter(
        hf_arena_format(&hf_judging.service.arena, "DELETE FROM system_state_snapshots WHERE id = '%s'", old.id));
    size_t bytes;
    HF_AUTO(free) char *whole = hf_test_read_file(hf_judging_path(&old), &bytes);
    hf_test_write_file(hf_judging_path(&old), whole, 30);
    hf_test_service_start(&hf_judging.service);
    hf_judging_expect_row(&old, "damaged", "damaged");
    ck_assert_int_gt(hf_judging_row(&old).cut_at_ms, newer.cut_at_ms);

    hf_test_write_file(hf_judging_path(&old), whole, bytes);
    ck_assert_str_eq(hf_judging_run(&old, true), "valid");
    struct hf_snapshot_row now = hf_judging_row(&old);
    ck_assert_str_eq(now.state, "complete");
    ck_assert_int_eq(now.cut_at_ms, old.cut_at_ms);
    ck_assert_int_eq(now.sequence, old.sequence);
    ck_assert_int_eq(now.components, old.components);
    ck_assert(hf_hash_equal(&now.root_hash, &old.root_hash));
    ck_assert_str_eq(hf_judging_row(&(struct hf_snapshot_row){.id = "latest"}).id, newer.id);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(a_failure_to_write_while_healing_is_no_verdict)
{
    setenv("HOLDFAST_FAULT", "repair_before_write:error", 1);
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    hf_test_damage_content(hf_judging_path(&full), "{\"a\":\"first\"}");
    struct hf_error err;
    HF_TEST_FAILS(HF_IO, hf_validation_run(hf_judging.service.engine, HF_TEST_NAME, full.id, true, 0,
                                           &hf_judging.service.arena, &hf_judging.verdict, &err));
    hf_judging_expect_row(&full, "complete", "pending");
    bool found = true;
    HF_TEST_OK(hf_validation_latest(hf_judging.service.engine, HF_TEST_NAME, full.id, &hf_judging.service.arena,
                                    &hf_judging.verdict, &found, &err));
    ck_assert(!found);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(a_snapshot_that_was_deleted_meanwhile_gets_no_verdict_and_no_row)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    struct hf_snapshot_row later = hf_test_full(&hf_judging.service);
    struct hf_error err;
    struct hf_validating validating = {.engine = hf_judging.service.engine,
                                       .shelf = hf_shelf_get(hf_judging.service.engine, HF_TEST_NAME, &err),
                                       .arena = &hf_judging.service.arena,
                                       .row = later,
                                       .corrected = &later};
    for (int i = 0; i < HF_CHECK_COUNT; i++)
        hf_check_set(&validating, (enum hf_check)i, "passed", 1, "a test");
    hf_validation_fill(&validating, &hf_judging.verdict);
    HF_TEST_OK(hf_validation_record(&validating, &hf_judging.verdict, &err)); /* so much for what is there */
    HF_TEST_OK(hf_snapshot_delete(hf_judging.service.engine, HF_TEST_NAME, later.id, &err));
    HF_TEST_FAILS(HF_NOT_FOUND, hf_validation_record(&validating, &hf_judging.verdict, &err));
    struct hf_snapshot_row found;
    HF_TEST_FAILS(HF_NOT_FOUND, hf_snapshot_find(hf_judging.service.engine, HF_TEST_NAME, later.id,
                                                 &hf_judging.service.arena, &found, &err));
    ck_assert_str_eq(hf_judging_row(&full).id, full.id);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(what_builds_on_something_broken_is_taken_again_in_a_new_generation)
{
    hf_test_service_open(&hf_judging.service, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    for (int waited_ms = 0; strcmp(hf_judging_row(&full).validation_status, "valid") != 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, HF_JUDGING_PATIENCE_MS);
        usleep(10000);
    }
    hf_test_remove_outline(&hf_judging.service, &full);
    ck_assert_int_eq(unlink(hf_judging_path(&full)), 0);
    hf_test_put(&hf_judging.service, "b", "{\"b\":\"first\"}");
    struct hf_snapshot_row later = hf_judging_incremental();
    ck_assert_str_eq(later.generation, full.id);
    struct hf_snapshot_row newest = later;
    struct hf_error none;
    for (int waited_ms = 0; strcmp(newest.generation, full.id) == 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, HF_JUDGING_PATIENCE_MS);
        usleep(10000);
        if (!hf_snapshot_find(hf_judging.service.engine, HF_TEST_NAME, "latest", &hf_judging.service.arena, &newest,
                              &none))
            newest = later; /* for a moment there is none that is whole */
    }
    ck_assert_str_eq(newest.generation, newest.id);
    ck_assert_int_eq(newest.components, 2);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(a_deep_validation_sees_what_lies_in_other_files)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    hf_test_put(&hf_judging.service, "b", "{\"b\":\"first\"}");
    struct hf_snapshot_row later = hf_judging_incremental();
    hf_test_damage_content(hf_judging_path(&full), "{\"a\":\"first\"}");
    ck_assert_str_eq(hf_judging_run(&later, false), "valid");
    ck_assert_int_eq(hf_judging.verdict.blobs_checked, 1);
    ck_assert_str_eq(hf_judging_run(&later, true), "healed");
    ck_assert_int_eq(hf_judging.verdict.blobs_checked, 2);
    ck_assert_str_eq(hf_judging_run(&full, true), "valid"); /* mended on the way */
    hf_test_service_close(&hf_judging.service);
}
END_TEST

HF_TEST_MAIN("validation", a_sound_snapshot_passes_every_check_and_scores_one, a_content_is_healed_from_the_database,
             a_content_is_healed_from_another_generation, damage_that_stays_has_an_exact_list,
             everything_that_refers_to_what_is_lost_is_damaged_until_it_is_back,
             a_file_that_is_cut_short_and_has_no_copy_has_lost_all, a_failure_to_write_while_healing_is_no_verdict,
             a_file_taken_in_damaged_gets_its_row_right_when_it_is_whole,
             a_snapshot_that_was_deleted_meanwhile_gets_no_verdict_and_no_row,
             what_builds_on_something_broken_is_taken_again_in_a_new_generation,
             a_deep_validation_sees_what_lies_in_other_files);
