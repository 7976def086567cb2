/* PERSISTENCE_REQUIRE_SIGNATURES: nothing of a snapshot that nobody trusted has signed is given out or built on. */
#include "core/auto.h"
#include "core/blob.h"
#include "engine/drill.h"
#include "engine/validation.h"
#include "tests/support/check_main.h"
#include "tests/support/engine.h"
#include "tests/support/keys.h"
#include "tests/support/recoveries.h"
#include "tests/support/stores.h"

#include <string.h>
#include <unistd.h>

static const char *const alone[] = {
    "--enable-state-validation", "false", "--scrub-interval", "0", "--anchor-interval", "0", NULL};
static struct hf_test_service service;
static struct hf_error err;

static void alter(const char *sql)
{
    struct hf_test_store database = {.engine = HF_TEST_SQLITE, .directory = service.directory};
    hf_test_store_alter(&database, sql);
}

/* As it is after the operator has set the key and what requires it. */
static void require_signatures(void)
{
    if (service.engine)
        hf_test_service_stop(&service);
    free(service.config.signing_key_file);
    service.config.signing_key_file = hf_test_key_file(service.directory, "signing", HF_TEST_SIGNING_KEY);
    service.config.require_signatures = true;
    hf_test_service_start(&service);
}

static void expect_refused(bool ok)
{
    ck_assert(!ok);
    ck_assert_msg(err.code == HF_DAMAGED, "%s: %s", hf_code_name(err.code), err.text);
    ck_assert_msg(strstr(err.text, "not signed") != NULL, "%s", err.text);
}

static bool read_state(const struct hf_snapshot_row *row, struct hf_state *out)
{
    struct hf_moment moment = {.kind = HF_MOMENT_SNAPSHOT, .snapshot = row->id};
    return hf_state_read(service.engine, HF_TEST_NAME, "a", &moment, out, &err);
}

START_TEST(an_unsigned_snapshot_is_neither_read_nor_downloaded)
{
    struct hf_state state = {0};
    struct hf_chain *chain = NULL;
    hf_test_service_open(&service, alone);
    hf_test_put(&service, "a", "\"old\"");
    struct hf_snapshot_row plain = hf_test_full(&service);
    ck_assert(read_state(&plain, &state));
    hf_blob_unref(state.body);
    require_signatures();
    expect_refused(read_state(&plain, &state));
    expect_refused(hf_validation_load_chain(service.engine, HF_TEST_NAME, plain.id, &chain, &err));
    struct hf_snapshot_row mine = hf_test_full(&service);
    ck_assert_msg(read_state(&mine, &state), "%s", err.text);
    hf_blob_unref(state.body);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_drill_of_an_unsigned_snapshot_fails_and_says_why)
{
    struct hf_drill_row row;
    hf_test_service_open(&service, alone);
    hf_test_put(&service, "a", "\"old\"");
    hf_test_full(&service);
    require_signatures();
    HF_TEST_OK(hf_drill_run(service.engine, HF_TEST_NAME, &service.arena, &row, &err));
    ck_assert_str_eq(row.status, "failed");
    ck_assert_msg(strstr(row.detail, "it is not signed, and signatures are required") != NULL, "%s", row.detail);
    hf_test_put(&service, "a", "\"new\"");
    hf_test_full(&service);
    HF_TEST_OK(hf_drill_run(service.engine, HF_TEST_NAME, &service.arena, &row, &err));
    ck_assert_str_eq(row.status, "passed");
    hf_test_service_close(&service);
}
END_TEST

/* The signature is of all components: of some it proves nothing. */
START_TEST(what_is_left_of_a_list_proves_nothing_and_is_not_salvaged)
{
    struct hf_recovery_row row;
    bool unchanged;
    hf_test_service_open(&service, alone);
    require_signatures();
    hf_test_put(&service, "a", "\"old\"");
    hf_test_put(&service, "b", "\"old\"");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "\"new\"");
    struct hf_snapshot_row incremental = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    hf_test_remove_outline(&service, &full);
    ck_assert_int_eq(unlink(hf_test_engine_snapshot_path(&service, &full)), 0);
    ck_assert(!hf_test_salvage(&service, incremental.id, false, &row, &err));
    ck_assert_msg(strstr(err.text, "no signature vouches for") != NULL, "%s", err.text);
    hf_test_service_stop(&service);
    service.config.require_signatures = false;
    hf_test_service_start(&service);
    ck_assert_msg(hf_test_salvage(&service, incremental.id, false, &row, &err), "%s", err.text);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_row_that_is_gone_does_not_come_back_from_an_unsigned_snapshot)
{
    hf_test_service_open(&service, alone);
    hf_test_put(&service, "a", "\"old\"");
    hf_test_put(&service, "b", "\"old\"");
    hf_test_full(&service);
    hf_test_service_stop(&service);
    alter("DELETE FROM component_state_tracking WHERE name = 'a'");
    require_signatures();
    ck_assert_ptr_null(hf_test_get(&service, "a"));
    ck_assert_str_eq(hf_test_get(&service, "b"), "\"old\"");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_lost_state_is_not_replaced_by_that_of_an_unsigned_snapshot)
{
    hf_test_service_open(&service, alone);
    hf_test_put(&service, "a", "\"old\"");
    hf_test_put(&service, "b", "\"old\"");
    hf_test_full(&service);
    hf_test_put(&service, "a", "\"new\"");
    hf_test_service_crash(&service);
    alter("UPDATE component_states SET content = CAST('lost' AS BLOB) WHERE version = 2");
    require_signatures();
    struct hf_snapshot_row row = hf_test_full(&service);
    ck_assert_int_eq(row.components, 1);
    ck_assert_msg(strstr(row.reason, " and 1 missing") != NULL, "%s", row.reason);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("required signatures", an_unsigned_snapshot_is_neither_read_nor_downloaded,
             a_drill_of_an_unsigned_snapshot_fails_and_says_why,
             what_is_left_of_a_list_proves_nothing_and_is_not_salvaged,
             a_row_that_is_gone_does_not_come_back_from_an_unsigned_snapshot,
             a_lost_state_is_not_replaced_by_that_of_an_unsigned_snapshot);
