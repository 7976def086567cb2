/* Validation: what passes, what is healed from where, what is lost, and what the score makes of it. */
#include "engine/validation_ask.h"
#include "engine/validation_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "store/journal.h"
#include "tests/support/engine.h"
#include "tests/support/stores.h"
#undef HF_TEST_SYSTEM
#include "tests/support/snapshots.h"
#include "tests/support/temp.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 60000 /* for what happens in the background */

static struct hf_test_service service;
static struct hf_validation verdict; /* of the last validation */

/* Nothing is validated but by the tests. */
static void open_quiet(const char *more, const char *value)
{
    const char *flags[] = {"--enable-state-validation", "false", "--scrub-interval", "0", more, value, NULL};
    hf_test_service_open(&service, flags);
}

static const char *validate(const struct hf_snapshot_row *row, bool deep)
{
    struct hf_error err;
    HF_TEST_OK(hf_validation_run(service.engine, HF_TEST_NAME, row->id, deep, 0, &service.arena, &verdict, &err));
    return verdict.status;
}

static const struct hf_validation_check *check_in(const struct hf_validation *validation, const char *name)
{
    for (int i = 0; i < validation->check_count; i++) {
        if (strcmp(validation->checks[i].name, name) == 0)
            return &validation->checks[i];
    }
    ck_abort_msg("there is no check %s", name);
}

static const struct hf_validation_check *check_of(const char *name)
{
    return check_in(&verdict, name);
}

static struct hf_snapshot_row row_of(const struct hf_snapshot_row *row)
{
    struct hf_snapshot_row now;
    struct hf_error err;
    HF_TEST_OK(hf_snapshot_find(service.engine, HF_TEST_NAME, row->id, &service.arena, &now, &err));
    return now;
}

static void expect_row(const struct hf_snapshot_row *row, const char *state, const char *validation_status)
{
    struct hf_snapshot_row now = row_of(row);
    ck_assert_str_eq(now.state, state);
    ck_assert_str_eq(now.validation_status, validation_status);
}

static struct hf_snapshot_row incremental(void)
{
    bool unchanged = true;
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    return row;
}

static const char *path_of(const struct hf_snapshot_row *row)
{
    return hf_test_engine_snapshot_path(&service, row);
}

static int count_told(const char *type)
{
    return hf_test_count_events(&service, hf_test_system(&service).id, type);
}

/* Events are written soon after they happen. */
static void expect_told(const char *type, int count)
{
    for (int waited_ms = 0; count_told(type) < count && waited_ms < PATIENCE_MS; waited_ms += 10)
        usleep(10000);
    ck_assert_int_eq(count_told(type), count);
}

static void alter(const char *sql)
{
    struct hf_test_store database = {.engine = HF_TEST_SQLITE, .directory = service.directory};
    hf_test_store_alter(&database, sql);
}

static void expect_score(double expected)
{
    ck_assert_msg(verdict.quality_score > expected - 1e-9 && verdict.quality_score < expected + 1e-9,
                  "the score is %f, expected %f", verdict.quality_score, expected);
}

START_TEST(a_sound_snapshot_passes_every_check_and_scores_one)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    ck_assert_str_eq(validate(&full, true), "valid");
    expect_score(1);
    ck_assert_int_eq(verdict.check_count, 12);
    ck_assert_int_eq(verdict.blobs_checked, 2);
    ck_assert_int_eq(verdict.bytes_checked, 14);
    for (int i = 0; i < verdict.check_count; i++) {
        const struct hf_validation_check *check = &verdict.checks[i];
        bool skipped = strcmp(check->name, "signature") == 0 || strcmp(check->name, "sizes") == 0;
        ck_assert_msg(strcmp(check->status, skipped ? "skipped" : "passed") == 0, "%s %s: %s", check->name,
                      check->status, check->detail);
    }
    expect_row(&full, "complete", "valid");
    ck_assert(row_of(&full).quality_score == 1);
    ck_assert_int_eq(row_of(&full).validated_at_ms, verdict.checked_at_ms);
    ck_assert_int_eq(count_told("snapshot.healed") + count_told("snapshot.damaged"), 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_content_is_healed_from_the_database)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "{\"a\":\"as it was\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    size_t bytes_before, bytes_after;
    HF_AUTO(free) char *before = hf_test_read_file(path_of(&full), &bytes_before);
    hf_test_damage_content(path_of(&full), "{\"a\":\"as it was\"}");
    ck_assert_str_eq(validate(&full, false), "healed");
    expect_score(1);
    ck_assert_int_eq(verdict.contents_healed, 1);
    ck_assert_str_eq(check_of("blobs")->status, "healed");
    ck_assert_ptr_nonnull(strstr(check_of("blobs")->detail, "the good copy came from "));
    HF_AUTO(free) char *after = hf_test_read_file(path_of(&full), &bytes_after);
    ck_assert_uint_eq(bytes_before, bytes_after);
    ck_assert_int_eq(memcmp(before, after, bytes_before), 0);
    expect_row(&full, "complete", "valid");
    expect_told("snapshot.healed", 1);
    expect_told("snapshot.damaged", 0);
    ck_assert_str_eq(validate(&full, true), "valid");
    expect_told("snapshot.healed", 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_content_is_healed_from_another_generation)
{
    open_quiet("--anchor-interval", "0");
    hf_test_put(&service, "a", "{\"a\":\"old\"}");
    struct hf_snapshot_row first = hf_test_full(&service), second = hf_test_full(&service);
    ck_assert_str_ne(first.generation, second.generation);
    hf_test_put(&service, "a", "{\"a\":\"new\"}");
    hf_test_forget_history(&service);
    hf_test_damage_content(path_of(&second), "{\"a\":\"old\"}");
    ck_assert_str_eq(validate(&second, true), "healed");
    ck_assert_msg(strstr(check_of("blobs")->detail, first.id), "%s", check_of("blobs")->detail);
    expect_row(&first, "complete", "pending");
    hf_test_service_close(&service);
}
END_TEST

/* Contents of a and b that are nowhere but in the file; c is sound. */
static struct hf_snapshot_row lose_two_of_three(void)
{
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    hf_test_put(&service, "b", "{\"b\":\"first\"}");
    hf_test_put(&service, "b", "{\"b\":\"second\"}");
    hf_test_put(&service, "c", "{\"c\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"new\"}");
    hf_test_put(&service, "b", "{\"b\":\"new\"}");
    hf_test_forget_history(&service);
    hf_test_damage_content(path_of(&full), "{\"a\":\"first\"}");
    hf_test_damage_content(path_of(&full), "{\"b\":\"second\"}");
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
    ck_assert_str_eq(check_in(validation, "blobs")->status, "failed");
    ck_assert_str_eq(check_in(validation, "json")->status, "skipped");
}

static bool note_data(void *context, const struct hf_event_row *row)
{
    if (strcmp(row->type, "snapshot.damaged") == 0)
        snprintf(context, 512, "%s", row->data);
    return true;
}

START_TEST(damage_that_stays_has_an_exact_list)
{
    open_quiet(NULL, NULL);
    struct hf_snapshot_row full = lose_two_of_three();
    ck_assert_str_eq(validate(&full, false), "damaged");
    expect_two_lost(&verdict);
    expect_score(1.0 / 3);
    expect_row(&full, "damaged", "damaged");

    struct hf_validation latest;
    struct hf_error err;
    bool found = false;
    HF_TEST_OK(hf_validation_latest(service.engine, HF_TEST_NAME, full.id, &service.arena, &latest, &found, &err));
    ck_assert(found);
    expect_two_lost(&latest);
    ck_assert(latest.quality_score == verdict.quality_score);
    ck_assert_int_eq(latest.check_count, 12);
    ck_assert_int_eq(latest.checked_at_ms, verdict.checked_at_ms);

    expect_told("snapshot.damaged", 1);
    char data[512] = "";
    struct hf_session *session;
    HF_TEST_OK(hf_sessions_take(service.engine->sessions, &session, &err));
    HF_TEST_OK(hf_events_list(session, hf_test_system(&service).id, NULL, 0, 1000, note_data, data, &err));
    hf_sessions_give(service.engine->sessions, session);
    ck_assert_msg(strstr(data, "\"lost\":[\"a\",\"b\"]") && strstr(data, "\"lostCount\":2") && strstr(data, full.id),
                  "%s", data);

    ck_assert_str_eq(validate(&full, true), "damaged"); /* again, and nobody is told twice */
    expect_two_lost(&verdict);
    expect_told("snapshot.damaged", 1);
    hf_test_service_close(&service);
}
END_TEST

static void wait_until_valid(const struct hf_snapshot_row *row)
{
    for (int waited_ms = 0; strcmp(row_of(row).validation_status, "valid") != 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, PATIENCE_MS);
        usleep(10000);
    }
}

START_TEST(everything_that_refers_to_what_is_lost_is_damaged_until_it_is_back)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    hf_test_put(&service, "b", "{\"b\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "b", "{\"b\":\"second\"}");
    struct hf_snapshot_row refers = incremental();
    hf_test_put(&service, "a", "{\"a\":\"second\"}");
    struct hf_snapshot_row does_not = incremental();
    ck_assert_str_eq(does_not.generation, full.id);
    hf_test_forget_history(&service);
    hf_test_damage_content(path_of(&full), "{\"a\":\"first\"}");

    ck_assert_str_eq(validate(&full, false), "damaged");
    expect_row(&full, "damaged", "damaged");
    expect_row(&refers, "damaged", "damaged");
    expect_row(&does_not, "complete", "pending");
    struct hf_error err;
    bool found;
    HF_TEST_OK(hf_validation_latest(service.engine, HF_TEST_NAME, refers.id, &service.arena, &verdict, &found, &err));
    ck_assert_int_eq(verdict.lost_count, 1);
    ck_assert_str_eq(verdict.lost[0].component, "a");
    ck_assert(row_of(&refers).quality_score == 0.5);
    /* A look at its own file alone would find nothing. */
    ck_assert_str_eq(validate(&refers, false), "damaged");

    hf_test_damage_content(path_of(&full), "{\"a\":\"first\"}"); /* back as it was */
    ck_assert_str_eq(validate(&full, false), "valid");
    expect_row(&full, "complete", "valid");
    wait_until_valid(&refers);
    expect_row(&refers, "complete", "valid");
    expect_told("snapshot.damaged", 2);
    expect_told("snapshot.healed", 2);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_file_that_is_cut_short_and_has_no_copy_has_lost_all)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"second\"}");
    struct hf_snapshot_row later = incremental();
    hf_test_remove_outline(&service, &full);
    ck_assert_int_eq(truncate(path_of(&full), 30), 0);
    ck_assert_str_eq(validate(&full, false), "damaged");
    ck_assert(verdict.lost_all);
    ck_assert_int_eq(verdict.lost_count, 0);
    expect_score(0);
    expect_row(&later, "damaged", "damaged"); /* its chain ends there */
    ck_assert(row_of(&later).quality_score == 0);
    hf_test_service_close(&service);
}
END_TEST

/* Its row was made when nobody could say of when it is. */
START_TEST(a_file_taken_in_damaged_gets_its_row_right_when_it_is_whole)
{
    open_quiet("--anchor-interval", "0");
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row old = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row newer = hf_test_full(&service);
    hf_test_service_stop(&service);
    alter(hf_arena_format(&service.arena, "DELETE FROM system_state_snapshots WHERE id = '%s'", old.id));
    size_t bytes;
    HF_AUTO(free) char *whole = hf_test_read_file(path_of(&old), &bytes);
    hf_test_write_file(path_of(&old), whole, 30);
    hf_test_service_start(&service);
    expect_row(&old, "damaged", "damaged");
    ck_assert_int_gt(row_of(&old).cut_at_ms, newer.cut_at_ms);

    hf_test_write_file(path_of(&old), whole, bytes);
    ck_assert_str_eq(validate(&old, true), "valid");
    struct hf_snapshot_row now = row_of(&old);
    ck_assert_str_eq(now.state, "complete");
    ck_assert_int_eq(now.cut_at_ms, old.cut_at_ms);
    ck_assert_int_eq(now.sequence, old.sequence);
    ck_assert_int_eq(now.components, old.components);
    ck_assert(hf_hash_equal(&now.root_hash, &old.root_hash));
    ck_assert_str_eq(row_of(&(struct hf_snapshot_row){.id = "latest"}).id, newer.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_failure_to_write_while_healing_is_no_verdict)
{
    setenv("HOLDFAST_FAULT", "repair_before_write:error", 1);
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_damage_content(path_of(&full), "{\"a\":\"first\"}");
    struct hf_error err;
    HF_TEST_FAILS(HF_IO,
                  hf_validation_run(service.engine, HF_TEST_NAME, full.id, true, 0, &service.arena, &verdict, &err));
    expect_row(&full, "complete", "pending");
    bool found = true;
    HF_TEST_OK(hf_validation_latest(service.engine, HF_TEST_NAME, full.id, &service.arena, &verdict, &found, &err));
    ck_assert(!found);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_snapshot_that_was_deleted_meanwhile_gets_no_verdict_and_no_row)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    struct hf_snapshot_row later = hf_test_full(&service);
    struct hf_error err;
    struct hf_validating validating = {.engine = service.engine,
                                       .shelf = hf_shelf_get(service.engine, HF_TEST_NAME, &err),
                                       .arena = &service.arena,
                                       .row = later,
                                       .corrected = &later};
    for (int i = 0; i < HF_CHECK_COUNT; i++)
        hf_check_set(&validating, (enum hf_check)i, "passed", 1, "a test");
    hf_validation_fill(&validating, &verdict);
    HF_TEST_OK(hf_validation_record(&validating, &verdict, &err)); /* so much for what is there */
    HF_TEST_OK(hf_snapshot_delete(service.engine, HF_TEST_NAME, later.id, &err));
    HF_TEST_FAILS(HF_NOT_FOUND, hf_validation_record(&validating, &verdict, &err));
    struct hf_snapshot_row found;
    HF_TEST_FAILS(HF_NOT_FOUND, hf_snapshot_find(service.engine, HF_TEST_NAME, later.id, &service.arena, &found, &err));
    ck_assert_str_eq(row_of(&full).id, full.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_builds_on_something_broken_is_taken_again_in_a_new_generation)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    for (int waited_ms = 0; strcmp(row_of(&full).validation_status, "valid") != 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, PATIENCE_MS);
        usleep(10000);
    }
    hf_test_remove_outline(&service, &full);
    ck_assert_int_eq(unlink(path_of(&full)), 0);
    hf_test_put(&service, "b", "{\"b\":\"first\"}");
    struct hf_snapshot_row later = incremental();
    ck_assert_str_eq(later.generation, full.id);
    struct hf_snapshot_row newest = later;
    struct hf_error none;
    for (int waited_ms = 0; strcmp(newest.generation, full.id) == 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, PATIENCE_MS);
        usleep(10000);
        if (!hf_snapshot_find(service.engine, HF_TEST_NAME, "latest", &service.arena, &newest, &none))
            newest = later; /* for a moment there is none that is whole */
    }
    ck_assert_str_eq(newest.generation, newest.id);
    ck_assert_int_eq(newest.components, 2);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_deep_validation_sees_what_lies_in_other_files)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "b", "{\"b\":\"first\"}");
    struct hf_snapshot_row later = incremental();
    hf_test_damage_content(path_of(&full), "{\"a\":\"first\"}");
    ck_assert_str_eq(validate(&later, false), "valid");
    ck_assert_int_eq(verdict.blobs_checked, 1);
    ck_assert_str_eq(validate(&later, true), "healed");
    ck_assert_int_eq(verdict.blobs_checked, 2);
    ck_assert_str_eq(validate(&full, true), "valid"); /* mended on the way */
    hf_test_service_close(&service);
}
END_TEST

/* ---- what states say ---- */

static void require(const char *component, const char *pointers, const char *depends_on_json)
{
    struct hf_registration registration = {.kind = "agent",
                                           .depends_on = (const char *const[]){NULL},
                                           .depends_on_json = depends_on_json,
                                           .required_pointers_json = pointers};
    bool created;
    const char *cycle = NULL;
    struct hf_error err;
    HF_TEST_OK(hf_component_register(service.engine, HF_TEST_NAME, component, &registration, &created, &cycle,
                                     &service.arena, &err));
}

START_TEST(a_state_that_is_no_json_costs_its_share)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":"); /* past the check of uploads */
    struct hf_snapshot_row full = hf_test_full(&service);
    ck_assert_str_eq(validate(&full, false), "valid");
    ck_assert_str_eq(check_of("json")->status, "warning");
    ck_assert_msg(strstr(check_of("json")->detail, "first: b: "), "%s", check_of("json")->detail);
    expect_score(1 - 0.25 * 0.5);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(missing_parts_and_dependencies_cost_their_share)
{
    open_quiet(NULL, NULL);
    require("a", "[\"/q\"]", "[\"b\",\"nobody\"]");
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    ck_assert_str_eq(validate(&full, false), "valid");
    ck_assert_str_eq(check_of("required_pointers")->status, "warning");
    ck_assert_ptr_nonnull(strstr(check_of("required_pointers")->detail, "a has no /q"));
    ck_assert_str_eq(check_of("dependencies")->status, "warning");
    ck_assert_ptr_nonnull(strstr(check_of("dependencies")->detail, "a depends on nobody"));
    expect_score(1 - 0.25 - 0.15 * 0.5);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_registration_that_asks_for_more_is_judged_with_an_old_content)
{
    open_quiet(NULL, NULL);
    require("a", "[]", "[]");
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    require("a", "[\"/q\"]", "[]");
    hf_test_put(&service, "b", "{\"b\":1}");
    struct hf_snapshot_row later = incremental();
    ck_assert_str_eq(validate(&later, false), "valid");
    ck_assert_str_eq(check_of("required_pointers")->status, "warning");
    hf_test_service_close(&service);
}
END_TEST

static const char *long_text(char letter)
{
    char *text = hf_arena_alloc(&service.arena, 1003);
    memset(text, letter, 1002);
    text[0] = text[1001] = '"';
    return text;
}

START_TEST(a_component_that_shrank_is_a_warning_with_its_name)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "same", long_text('s'));
    for (int i = 0; i < 3; i++) {
        hf_test_put(&service, "big", long_text((char)('a' + i)));
        struct hf_snapshot_row full = hf_test_full(&service);
        ck_assert_str_eq(validate(&full, false), "valid");
        ck_assert_str_eq(check_of("sizes")->status, "skipped");
    }
    hf_test_put(&service, "big", "\"small\"");
    struct hf_snapshot_row shrunk = hf_test_full(&service);
    ck_assert_str_eq(validate(&shrunk, false), "valid");
    ck_assert_str_eq(check_of("sizes")->status, "warning");
    ck_assert_msg(strstr(check_of("sizes")->detail, "1 of 2 ") && strstr(check_of("sizes")->detail, "first: big has 7"),
                  "%s", check_of("sizes")->detail);
    expect_score(1 - 0.05 * 0.5);

    /* 7 times out of 11 small: that is its size now. */
    struct hf_snapshot_row usual = shrunk;
    for (int i = 0; i < 4; i++)
        usual = hf_test_full(&service);
    ck_assert_str_eq(validate(&usual, false), "valid");
    ck_assert_str_eq(check_of("sizes")->status, "passed");
    hf_test_service_close(&service);
}
END_TEST

/* A full of a generation of its own, as the service would never write it. */
static void write_file(const char *id, int64_t epoch, int64_t version, int64_t sequence, const char *text)
{
    struct hf_manifest_header header = {.system = HF_TEST_NAME,
                                        .id = id,
                                        .kind = "full",
                                        .trigger = "manual",
                                        .label = "",
                                        .generation = id,
                                        .parent = "",
                                        .sequence = 50,
                                        .epoch = epoch,
                                        .cut_at_ms = hf_clock_now_ms() + 1000,
                                        .components = 1,
                                        .changed = 1,
                                        .state_bytes = (int64_t)strlen(text),
                                        .description = "",
                                        .backup_interval_ms = -1,
                                        .incremental_interval_ms = -1,
                                        .max_retention_hours = -1,
                                        .created_at_ms = 1};
    struct hf_manifest_entry entry = {.component = "a",
                                      .version = version,
                                      .sequence = sequence,
                                      .bytes = (int64_t)strlen(text),
                                      .content_type = "application/json",
                                      .committed_at_ms = 1,
                                      .component_kind = "",
                                      .depends_on = "[]",
                                      .required_pointers = "[]",
                                      .created_at_ms = 1,
                                      .blob_file = ""};
    hf_hash_of(text, strlen(text), &entry.hash);
    struct hf_hasher *hasher = hf_hasher_new();
    hf_root_hash_add(hasher, "a", &entry.hash);
    hf_hasher_finish(hasher, &header.root_hash);
    hf_hasher_free(hasher);
    struct hf_snapshot_writer *writer;
    struct hf_error err;
    HF_AUTO(free) char *file = NULL;
    int64_t file_bytes;
    HF_TEST_OK(hf_snapshot_writer_new(&writer, service.engine->repository, &header, &err));
    HF_TEST_OK(hf_snapshot_writer_add_blob(writer, &entry.hash, text, strlen(text), &entry.blob_offset,
                                           &entry.blob_stored_bytes, &err));
    HF_TEST_OK(hf_snapshot_writer_add_entry(writer, &entry, &err));
    HF_TEST_OK(hf_snapshot_writer_finish(writer, &header, &file, &file_bytes, &err));
    hf_snapshot_writer_free(writer);
}

static void expect_versions(int64_t version, int64_t sequence, int64_t epochs_later, const char *text,
                            const char *status, const char *detail)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_full(&service);
    for (int i = 0; i < 50; i++)
        hf_test_put(&service, "other", hf_arena_format(&service.arena, "%d", i));
    const char *id = "full-20990101T000000Z-50";
    write_file(id, hf_test_system(&service).epoch + epochs_later, version, sequence, text);
    hf_test_service_stop(&service);
    hf_test_service_start(&service); /* takes the file in */
    ck_assert_str_eq(validate(&(struct hf_snapshot_row){.id = id}, false), "valid");
    ck_assert_str_eq(check_of("versions")->status, status);
    ck_assert_msg(strstr(check_of("versions")->detail, detail), "%s", check_of("versions")->detail);
    expect_score(strcmp(status, "warning") == 0 ? 1 - 0.15 : 1);
    hf_test_service_close(&service);
}

START_TEST(a_version_that_went_back_is_a_warning)
{
    expect_versions(1, 3, 0, "{\"a\":3}", "warning", "a is at version 1, sequence 3, and was at 2, 2 in full-");
}
END_TEST

START_TEST(a_version_with_another_content_is_a_warning)
{
    expect_versions(2, 2, 0, "{\"a\":3}", "warning", "version 2 of a has another content than in full-");
}
END_TEST

START_TEST(a_sequence_above_the_cut_is_a_warning)
{
    expect_versions(3, 51, 0, "{\"a\":3}", "warning", "a has sequence 51 above the cut 50");
}
END_TEST

START_TEST(a_version_may_go_back_with_a_restore)
{
    expect_versions(1, 3, 1, "{\"a\":3}", "passed", "");
}
END_TEST

/* ---- the database ---- */

START_TEST(a_row_that_was_altered_or_lost_is_written_again)
{
    open_quiet("--cache-bytes", "1");
    for (int i = 0; i < 200; i++)
        hf_test_put(&service, "busy", hf_arena_format(&service.arena, "{\"busy\":%d}", i)); /* rows apart */
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    for (int i = 0; i < 200; i++)
        hf_test_put(&service, "busy", hf_arena_format(&service.arena, "{\"busy\":-%d}", i));
    hf_test_put(&service, "c", "{\"c\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "busy", "{\"later\":1}"); /* no longer the snapshot's business */
    ck_assert_str_eq(validate(&full, false), "valid");
    ck_assert_str_eq(check_of("database")->status, "passed");
    ck_assert_ptr_eq(strstr(check_of("database")->detail, "3 present states"), check_of("database")->detail);

    alter("UPDATE component_states SET bytes = 6 WHERE sequence = 201");
    alter("DELETE FROM component_states WHERE sequence = 403");
    ck_assert_str_eq(validate(&full, false), "valid");
    ck_assert_str_eq(check_of("database")->status, "healed");
    ck_assert_ptr_eq(strstr(check_of("database")->detail, "2 of 3 "), check_of("database")->detail);
    expect_score(1);
    expect_told("state.healed", 2);
    ck_assert_str_eq(validate(&full, false), "valid");
    ck_assert_str_eq(check_of("database")->status, "passed");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_str_eq(hf_test_get(&service, "c"), "{\"c\":1}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_content_that_was_altered_in_the_database_is_found_by_a_deep_validation)
{
    open_quiet("--cache-bytes", "1");
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    alter("UPDATE component_states SET content = CAST('{\"a\":2}' AS BLOB) WHERE sequence = 1");
    ck_assert_str_eq(validate(&full, false), "valid");
    ck_assert_str_eq(check_of("database")->status, "passed");
    ck_assert_str_eq(validate(&full, true), "valid");
    ck_assert_str_eq(check_of("database")->status, "healed");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    hf_test_service_close(&service);
}
END_TEST

/* ---- pace and scrub ---- */

static const char *noise(size_t bytes)
{
    char *text = hf_arena_alloc(&service.arena, bytes + 1);
    unsigned long random = 88172645463325252UL;
    for (size_t i = 1; i + 1 < bytes; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        text[i] = (char)('#' + random % 57); /* neither a quote nor a backslash */
    }
    text[0] = text[bytes - 1] = '"';
    return text;
}

static void *validate_slowly(void *context)
{
    const struct hf_snapshot_row *row = context;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_validation slow;
    struct hf_error err;
    HF_TEST_OK(hf_validation_run(service.engine, HF_TEST_NAME, row->id, false, 1, &arena, &slow, &err));
    ck_assert_str_eq(slow.status, "valid");
    return NULL;
}

/* At a byte a second it would be there for days. */
START_TEST(a_slow_validation_hurries_when_a_deletion_waits)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", noise(500000));
    struct hf_snapshot_row full = hf_test_full(&service);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, validate_slowly, &full), 0);
    usleep(100000);
    struct hf_error err;
    HF_TEST_OK(hf_snapshot_delete(service.engine, HF_TEST_NAME, full.id, &err));
    pthread_join(thread, NULL);
    hf_test_service_close(&service);
}
END_TEST

struct told {
    struct hf_validation_asker asker; /* first */
    int count;
    bool judged;
    struct hf_error err;
};

static void tell(struct hf_validation_asker *asker, const struct hf_validation *result, const struct hf_error *err)
{
    struct told *told = (struct told *)(void *)asker;
    told->count++;
    told->judged = result != NULL;
    if (err)
        told->err = *err;
}

START_TEST(what_was_asked_for_breaks_off_at_a_stop_without_a_verdict)
{
    open_quiet(NULL, NULL);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    struct told before = {.asker = {.tell = tell}}, after = {.asker = {.tell = tell}};
    struct hf_error err;
    HF_TEST_OK(hf_validation_ask(service.engine, HF_TEST_NAME, full.id, false, &before.asker, &err));
    ck_assert_int_eq(before.count, 1);
    ck_assert(before.judged);
    hf_engine_break_off(service.engine);
    HF_TEST_OK(hf_validation_ask(service.engine, HF_TEST_NAME, full.id, true, &after.asker, &err));
    ck_assert_int_eq(after.count, 1);
    ck_assert(!after.judged);
    ck_assert_int_eq(after.err.code, HF_SHUTTING_DOWN);
    ck_assert_str_eq(validate(&full, true), "valid"); /* the stop's own go on */
    hf_test_service_close(&service);
}
END_TEST

static void wait_until_told(const char *type)
{
    for (int waited_ms = 0; count_told(type) == 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, PATIENCE_MS);
        usleep(10000);
    }
}

static const char *const scrub_flags[] = {"--enable-state-validation", "false", "--scrub-interval", "100", NULL};

START_TEST(the_scrub_finds_and_heals_a_flipped_byte)
{
    hf_test_service_open(&service, scrub_flags);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_service_stop(&service);
    hf_test_service_start(&service); /* it begins with what it finds */
    wait_until_valid(&full);
    hf_test_damage_content(path_of(&full), "{\"a\":\"first\"}");
    wait_until_told("snapshot.healed");
    ck_assert(hf_metric_get(HF_M_SCRUBBED_BYTES) > 0);
    ck_assert_str_eq(validate(&full, true), "valid");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_scrub_mends_the_copy_in_the_mirror)
{
    HF_AUTO(free) char *mirror = hf_test_temp_directory();
    hf_test_service_open(&service, scrub_flags);
    hf_test_service_stop(&service);
    service.config.mirror_directory = hf_strdup(mirror);
    hf_test_service_start(&service);
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&service);
    const char *copy = hf_arena_format(&service.arena, "%s/full/%s", mirror, full.file);
    for (int waited_ms = 0; access(copy, F_OK) != 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, PATIENCE_MS);
        usleep(10000);
    }
    hf_test_damage_content(copy, "{\"a\":\"first\"}");
    hf_test_service_stop(&service);
    hf_test_service_start(&service); /* it begins with what it finds */
    wait_until_told("mirror.healed");
    size_t bytes, copied;
    HF_AUTO(free) char *data = hf_test_read_file(path_of(&full), &bytes);
    HF_AUTO(free) char *mended = hf_test_read_file(copy, &copied);
    ck_assert_uint_eq(bytes, copied);
    ck_assert_int_eq(memcmp(data, mended, bytes), 0);
    hf_test_service_close(&service);
    hf_test_remove_tree(mirror);
}
END_TEST

START_TEST(a_scrub_under_way_is_broken_off_at_the_end)
{
    static const char *const slow[] = {
        "--enable-state-validation", "false", "--scrub-interval", "100", "--scrub-rate", "65536", NULL};
    hf_test_service_open(&service, slow);
    hf_test_put(&service, "a", noise(40000000)); /* ten minutes of scrubbing */
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    for (int waited_ms = 0; hf_metric_get(HF_M_SCRUBBED_BYTES) == 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, PATIENCE_MS);
        usleep(10000);
    }
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    expect_row(&full, "complete", "pending");
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("validation", a_sound_snapshot_passes_every_check_and_scores_one, a_content_is_healed_from_the_database,
             a_content_is_healed_from_another_generation, damage_that_stays_has_an_exact_list,
             everything_that_refers_to_what_is_lost_is_damaged_until_it_is_back,
             a_file_that_is_cut_short_and_has_no_copy_has_lost_all, a_failure_to_write_while_healing_is_no_verdict,
             a_file_taken_in_damaged_gets_its_row_right_when_it_is_whole,
             a_snapshot_that_was_deleted_meanwhile_gets_no_verdict_and_no_row,
             what_builds_on_something_broken_is_taken_again_in_a_new_generation,
             a_deep_validation_sees_what_lies_in_other_files, a_state_that_is_no_json_costs_its_share,
             missing_parts_and_dependencies_cost_their_share,
             a_registration_that_asks_for_more_is_judged_with_an_old_content,
             a_component_that_shrank_is_a_warning_with_its_name, a_version_that_went_back_is_a_warning,
             a_version_with_another_content_is_a_warning, a_sequence_above_the_cut_is_a_warning,
             a_version_may_go_back_with_a_restore, a_row_that_was_altered_or_lost_is_written_again,
             a_content_that_was_altered_in_the_database_is_found_by_a_deep_validation,
             a_slow_validation_hurries_when_a_deletion_waits, what_was_asked_for_breaks_off_at_a_stop_without_a_verdict,
             the_scrub_finds_and_heals_a_flipped_byte, the_scrub_mends_the_copy_in_the_mirror,
             a_scrub_under_way_is_broken_off_at_the_end);
