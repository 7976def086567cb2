/* The service with keys: what it writes, what it does when one is gone, and how it says so. */
#include "tests/support/engine.h"
#include "tests/support/keys.h"
#include "tests/support/snapshots.h"
#include "tests/support/temp.h"

#include "core/auto.h"
#include "engine/validation.h"
#include "repository/format.h"

#include "tests/support/check_main.h"

#include <string.h>

static struct hf_test_service service;
static struct hf_error err;

/* Stopped, or not opened yet. NULL: none. */
static void use_keys(const char *encryption, const char *signing)
{
    free(service.config.encryption_key_file);
    free(service.config.signing_key_file);
    service.config.encryption_key_file = encryption ? hf_test_key_file(service.directory, "keys", encryption) : NULL;
    service.config.signing_key_file = signing ? hf_test_key_file(service.directory, "signing", signing) : NULL;
}

static void restart(const char *encryption, const char *signing)
{
    hf_test_service_stop(&service);
    use_keys(encryption, signing);
    hf_test_service_start(&service);
}

static unsigned version_of(const struct hf_snapshot_row *row)
{
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(hf_test_engine_snapshot_path(&service, row), &bytes);
    return (unsigned char)data[8];
}

static const char *state_of(const struct hf_snapshot_row *row)
{
    struct hf_snapshot_row found;
    ck_assert_msg(hf_snapshot_find(service.engine, HF_TEST_NAME, row->id, &service.arena, &found, &err), "%s",
                  err.text);
    return found.state;
}

static struct hf_verify_report verify(const struct hf_snapshot_row *row)
{
    struct hf_verify_report report;
    ck_assert_msg(hf_repository_verify(service.engine->repository, HF_TEST_NAME, row->id, NULL, &report, &err), "%s",
                  err.text);
    return report;
}

START_TEST(snapshots_are_encrypted_and_signed_as_the_settings_say)
{
    bool unchanged;
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row plain = hf_test_full(&service);
    restart(HF_TEST_KEY_ONE "\n", HF_TEST_SIGNING_KEY);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row incremental = hf_test_incremental(&service, &unchanged);
    struct hf_snapshot_row full = hf_test_full(&service);
    ck_assert_uint_eq(version_of(&plain), HF_FORMAT_VERSION_PLAIN);
    ck_assert_uint_eq(version_of(&incremental), HF_FORMAT_VERSION_ENCRYPTED);
    ck_assert_uint_eq(version_of(&full), HF_FORMAT_VERSION_ENCRYPTED);
    ck_assert_str_eq(incremental.generation, plain.generation); /* one chain, whatever its files are */
    ck_assert_int_eq(verify(&plain).signature, HF_SIGNATURE_NONE);
    ck_assert_int_eq(verify(&incremental).signature, HF_SIGNATURE_GOOD);
    ck_assert_int_eq(verify(&full).signature, HF_SIGNATURE_GOOD);
    hf_test_restore(&service, plain.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    hf_test_restore(&service, incremental.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(missing_key_damages_nothing_and_new_snapshots_go_on)
{
    bool unchanged;
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    restart(HF_TEST_KEY_ONE "\n", NULL);
    struct hf_snapshot_row old = hf_test_full(&service);
    restart(NULL, NULL);
    ck_assert_str_eq(state_of(&old), "complete");
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row next = hf_test_incremental(&service, &unchanged);
    ck_assert_uint_eq(version_of(&next), HF_FORMAT_VERSION_PLAIN);
    verify(&next); /* builds on nothing that cannot be read */

    struct hf_recovery_request request = {.system = HF_TEST_NAME, .source = "snapshot", .snapshot = old.id};
    struct hf_recovery_row row;
    ck_assert(!hf_recovery_run(service.engine, &request, &service.arena, &row, &err));
    ck_assert_msg(err.code == HF_KEY_MISSING, "%s: %s", hf_code_name(err.code), err.text);
    ck_assert_ptr_nonnull(strstr(err.text, HF_TEST_KEY_ONE_ID));
    ck_assert_str_eq(state_of(&old), "complete");
    restart(HF_TEST_KEY_TWO "\n" HF_TEST_KEY_ONE "\n", NULL);
    hf_test_restore(&service, old.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(rebuild_waits_for_the_key)
{
    hf_test_service_open(&service, NULL);
    restart(HF_TEST_KEY_ONE "\n", NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    hf_test_service_stop(&service);
    hf_test_service_remove_database(&service);
    use_keys(HF_TEST_KEY_TWO "\n", NULL);
    ck_assert(!hf_engine_start(&service.engine, &service.config, &err));
    service.engine = NULL;
    ck_assert_msg(err.code == HF_KEY_MISSING, "%s: %s", hf_code_name(err.code), err.text);
    ck_assert_ptr_nonnull(strstr(err.text, HF_TEST_KEY_ONE_ID));
    ck_assert_ptr_nonnull(strstr(err.text, "PERSISTENCE_ENCRYPTION_KEY_FILE"));
    use_keys(HF_TEST_KEY_TWO "\n" HF_TEST_KEY_ONE "\n", NULL);
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(wrong_key_file_keeps_the_service_from_starting)
{
    hf_test_service_open(&service, NULL);
    hf_test_service_stop(&service);
    use_keys("not a key\n", NULL);
    ck_assert(!hf_engine_start(&service.engine, &service.config, &err));
    service.engine = NULL;
    ck_assert_int_eq(err.code, HF_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "line 1"));
    use_keys(NULL, NULL);
    hf_test_service_close(&service);
}
END_TEST

static const struct hf_validation_check *signature_check(const struct hf_snapshot_row *row, struct hf_validation *out)
{
    ck_assert_msg(hf_validation_run(service.engine, HF_TEST_NAME, row->id, true, 0, &service.arena, out, &err), "%s",
                  err.text);
    for (int i = 0; i < out->check_count; i++) {
        if (strcmp(out->checks[i].name, "signature") == 0)
            return &out->checks[i];
    }
    ck_abort_msg("no row of the check signature");
}

START_TEST(a_stripped_signature_is_told_of_and_refused_where_they_are_required)
{
    struct hf_validation verdict;
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row plain = hf_test_full(&service);
    ck_assert_str_eq(signature_check(&plain, &verdict)->status, "skipped");
    ck_assert(verdict.quality_score == 1);
    restart(NULL, HF_TEST_SIGNING_KEY);
    ck_assert_str_eq(signature_check(&plain, &verdict)->status, "warning");
    ck_assert_str_eq(verdict.status, "valid");
    ck_assert(verdict.quality_score > 0.9 && verdict.quality_score < 1);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row mine = hf_test_full(&service);
    service.config.require_signatures = true;
    restart(NULL, HF_TEST_SIGNING_KEY);
    ck_assert_str_eq(signature_check(&mine, &verdict)->status, "passed");
    const struct hf_validation_check *check = signature_check(&plain, &verdict);
    ck_assert_str_eq(check->status, "failed");
    ck_assert_msg(strstr(check->detail, "it is not signed") != NULL, "%s", check->detail);
    ck_assert_str_eq(verdict.status, "damaged");
    ck_assert(verdict.quality_score == 0);
    struct hf_recovery_request request = {.system = HF_TEST_NAME, .source = "snapshot", .snapshot = plain.id};
    struct hf_recovery_row recovery;
    ck_assert(!hf_recovery_run(service.engine, &request, &service.arena, &recovery, &err));
    hf_test_restore(&service, mine.id);
    hf_test_service_stop(&service);
    use_keys(NULL, NULL);
    ck_assert(!hf_engine_start(&service.engine, &service.config, &err)); /* nothing of its own would be restored */
    service.engine = NULL;
    ck_assert_int_eq(err.code, HF_CONFIG);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("engine keys", a_stripped_signature_is_told_of_and_refused_where_they_are_required,
             snapshots_are_encrypted_and_signed_as_the_settings_say,
             missing_key_damages_nothing_and_new_snapshots_go_on, rebuild_waits_for_the_key,
             wrong_key_file_keeps_the_service_from_starting);
