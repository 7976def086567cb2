/* What a validation says of contents: of what states hold, and of the rows of the database. */
#include "core/auto.h"
#include "core/clock.h"
#include "tests/support/stores.h"
#include "tests/support/judging.h"

#include "tests/support/check_main.h"

#include <string.h>

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
    HF_TEST_OK(hf_component_register(hf_judging.service.engine, HF_TEST_NAME, component, &registration, &created,
                                     &cycle, &hf_judging.service.arena, &err));
}

START_TEST(a_state_that_is_no_json_costs_its_share)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":1}");
    hf_test_put(&hf_judging.service, "b", "{\"b\":"); /* past the check of uploads */
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    ck_assert_str_eq(hf_judging_run(&full, false), "valid");
    ck_assert_str_eq(hf_judging_check("json")->status, "warning");
    ck_assert_msg(strstr(hf_judging_check("json")->detail, "first: b: "), "%s", hf_judging_check("json")->detail);
    hf_judging_expect_score(1 - 0.25 * 0.5);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(missing_parts_and_dependencies_cost_their_share)
{
    hf_judging_open(NULL, NULL);
    require("a", "[\"/q\"]", "[\"b\",\"nobody\"]");
    hf_test_put(&hf_judging.service, "a", "{\"a\":1}");
    hf_test_put(&hf_judging.service, "b", "{\"b\":1}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    ck_assert_str_eq(hf_judging_run(&full, false), "valid");
    ck_assert_str_eq(hf_judging_check("required_pointers")->status, "warning");
    ck_assert_ptr_nonnull(strstr(hf_judging_check("required_pointers")->detail, "a has no /q"));
    ck_assert_str_eq(hf_judging_check("dependencies")->status, "warning");
    ck_assert_ptr_nonnull(strstr(hf_judging_check("dependencies")->detail, "a depends on nobody"));
    hf_judging_expect_score(1 - 0.25 - 0.15 * 0.5);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(a_registration_that_asks_for_more_is_judged_with_an_old_content)
{
    hf_judging_open(NULL, NULL);
    require("a", "[]", "[]");
    hf_test_put(&hf_judging.service, "a", "{\"a\":1}");
    hf_test_full(&hf_judging.service);
    require("a", "[\"/q\"]", "[]");
    hf_test_put(&hf_judging.service, "b", "{\"b\":1}");
    struct hf_snapshot_row later = hf_judging_incremental();
    ck_assert_str_eq(hf_judging_run(&later, false), "valid");
    ck_assert_str_eq(hf_judging_check("required_pointers")->status, "warning");
    hf_test_service_close(&hf_judging.service);
}
END_TEST

static const char *long_text(char letter)
{
    char *text = hf_arena_alloc(&hf_judging.service.arena, 1003);
    memset(text, letter, 1002);
    text[0] = text[1001] = '"';
    return text;
}

START_TEST(a_component_that_shrank_is_a_warning_with_its_name)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "same", long_text('s'));
    for (int i = 0; i < 3; i++) {
        hf_test_put(&hf_judging.service, "big", long_text((char)('a' + i)));
        struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
        ck_assert_str_eq(hf_judging_run(&full, false), "valid");
        ck_assert_str_eq(hf_judging_check("sizes")->status, "skipped");
    }
    hf_test_put(&hf_judging.service, "big", "\"small\"");
    struct hf_snapshot_row shrunk = hf_test_full(&hf_judging.service);
    ck_assert_str_eq(hf_judging_run(&shrunk, false), "valid");
    ck_assert_str_eq(hf_judging_check("sizes")->status, "warning");
    ck_assert_msg(strstr(hf_judging_check("sizes")->detail, "1 of 2 ") &&
                      strstr(hf_judging_check("sizes")->detail, "first: big has 7"),
                  "%s", hf_judging_check("sizes")->detail);
    hf_judging_expect_score(1 - 0.05 * 0.5);

    /* 7 times out of 11 small: that is its size now. */
    struct hf_snapshot_row usual = shrunk;
    for (int i = 0; i < 4; i++)
        usual = hf_test_full(&hf_judging.service);
    ck_assert_str_eq(hf_judging_run(&usual, false), "valid");
    ck_assert_str_eq(hf_judging_check("sizes")->status, "passed");
    hf_test_service_close(&hf_judging.service);
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
    HF_TEST_OK(hf_snapshot_writer_new(&writer, hf_judging.service.engine->repository, &header, &err));
    HF_TEST_OK(hf_snapshot_writer_add_blob(writer, &entry.hash, text, strlen(text), &entry.blob_offset,
                                           &entry.blob_stored_bytes, &err));
    HF_TEST_OK(hf_snapshot_writer_add_entry(writer, &entry, &err));
    HF_TEST_OK(hf_snapshot_writer_finish(writer, &header, &file, &file_bytes, &err));
    hf_snapshot_writer_free(writer);
}

static void expect_versions(int64_t version, int64_t sequence, int64_t epochs_later, const char *text,
                            const char *status, const char *detail)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":1}");
    hf_test_put(&hf_judging.service, "a", "{\"a\":2}");
    hf_test_full(&hf_judging.service);
    for (int i = 0; i < 50; i++)
        hf_test_put(&hf_judging.service, "other", hf_arena_format(&hf_judging.service.arena, "%d", i));
    const char *id = "full-20990101T000000Z-50";
    write_file(id, hf_test_system(&hf_judging.service).epoch + epochs_later, version, sequence, text);
    hf_test_service_stop(&hf_judging.service);
    hf_test_service_start(&hf_judging.service); /* takes the file in */
    ck_assert_str_eq(hf_judging_run(&(struct hf_snapshot_row){.id = id}, false), "valid");
    ck_assert_str_eq(hf_judging_check("versions")->status, status);
    ck_assert_msg(strstr(hf_judging_check("versions")->detail, detail), "%s", hf_judging_check("versions")->detail);
    hf_judging_expect_score(strcmp(status, "warning") == 0 ? 1 - 0.15 : 1);
    hf_test_service_close(&hf_judging.service);
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
    hf_judging_open("--cache-bytes", "1");
    for (int i = 0; i < 200; i++)
        hf_test_put(&hf_judging.service, "busy",
                    hf_arena_format(&hf_judging.service.arena, "{\"busy\":%d}", i)); /* rows apart */
    hf_test_put(&hf_judging.service, "a", "{\"a\":1}");
    hf_test_put(&hf_judging.service, "b", "{\"b\":1}");
    for (int i = 0; i < 200; i++)
        hf_test_put(&hf_judging.service, "busy", hf_arena_format(&hf_judging.service.arena, "{\"busy\":-%d}", i));
    hf_test_put(&hf_judging.service, "c", "{\"c\":1}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    hf_test_put(&hf_judging.service, "busy", "{\"later\":1}"); /* no longer the snapshot's business */
    ck_assert_str_eq(hf_judging_run(&full, false), "valid");
    ck_assert_str_eq(hf_judging_check("database")->status, "passed");
    ck_assert_ptr_eq(strstr(hf_judging_check("database")->detail, "3 present states"),
                     hf_judging_check("database")->detail);

    hf_judging_alter("UPDATE component_states SET bytes = 6 WHERE sequence = 201");
    hf_judging_alter("DELETE FROM component_states WHERE sequence = 403");
    ck_assert_str_eq(hf_judging_run(&full, false), "valid");
    ck_assert_str_eq(hf_judging_check("database")->status, "healed");
    ck_assert_ptr_eq(strstr(hf_judging_check("database")->detail, "2 of 3 "), hf_judging_check("database")->detail);
    hf_judging_expect_score(1);
    hf_judging_expect_told("state.healed", 2);
    ck_assert_str_eq(hf_judging_run(&full, false), "valid");
    ck_assert_str_eq(hf_judging_check("database")->status, "passed");
    ck_assert_str_eq(hf_test_get(&hf_judging.service, "a"), "{\"a\":1}");
    ck_assert_str_eq(hf_test_get(&hf_judging.service, "c"), "{\"c\":1}");
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(a_content_that_was_altered_in_the_database_is_found_by_a_deep_validation)
{
    hf_judging_open("--cache-bytes", "1");
    hf_test_put(&hf_judging.service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    hf_judging_alter("UPDATE component_states SET content = CAST('{\"a\":2}' AS BLOB) WHERE sequence = 1");
    ck_assert_str_eq(hf_judging_run(&full, false), "valid");
    ck_assert_str_eq(hf_judging_check("database")->status, "passed");
    ck_assert_str_eq(hf_judging_run(&full, true), "valid");
    ck_assert_str_eq(hf_judging_check("database")->status, "healed");
    ck_assert_str_eq(hf_test_get(&hf_judging.service, "a"), "{\"a\":1}");
    hf_test_service_close(&hf_judging.service);
}
END_TEST

HF_TEST_MAIN("validation_contents", a_state_that_is_no_json_costs_its_share,
             missing_parts_and_dependencies_cost_their_share,
             a_registration_that_asks_for_more_is_judged_with_an_old_content,
             a_component_that_shrank_is_a_warning_with_its_name, a_version_that_went_back_is_a_warning,
             a_version_with_another_content_is_a_warning, a_sequence_above_the_cut_is_a_warning,
             a_version_may_go_back_with_a_restore, a_row_that_was_altered_or_lost_is_written_again,
             a_content_that_was_altered_in_the_database_is_found_by_a_deep_validation);
