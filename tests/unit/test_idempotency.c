/* What is kept with an idempotency key, for how long, and what a recovery makes of it. */
#include "engine/idempotency.h"
#include "core/auto.h"
#include "core/clock.h"
#include "engine/recovery.h"
#include "tests/support/recoveries.h"

#include "tests/support/check_main.h"

#include <string.h>

static struct hf_test_service service;
static struct hf_error err;

static const struct hf_idempotency once = {.key = "k", .request = {{1}}}, other = {.key = "k", .request = {{2}}};

/* One a that was changed after the snapshot. */
static void open_with_snapshot(void)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    hf_test_full(&service);
    hf_test_put(&service, "a", "2");
}

static bool restore(const struct hf_idempotency *key, struct hf_recovery_row *out)
{
    const struct hf_recovery_request request = {.source = "snapshot", .snapshot = "latest", .once = key};
    return hf_test_recover(&service, &request, out, &err);
}

static bool find(const struct hf_idempotency *key, struct hf_recovery_row *out, bool *found)
{
    return hf_recovery_find_made(service.engine, HF_TEST_NAME, key, &service.arena, out, found, &err);
}

struct aging {
    int64_t system_id, created_at_ms;
    const char *answer;
};

static bool keep_aged(struct hf_session *session, void *context, struct hf_error *failure)
{
    const struct aging *aging = context;
    return hf_keys_insert(session, aging->system_id, once.key, &once.request, aging->answer, aging->created_at_ms,
                          failure);
}

static void keep(const char *answer, int64_t age_ms)
{
    struct aging aging = {hf_test_system(&service).id, hf_clock_now_ms() - age_ms, answer};
    struct hf_call call = {.run = keep_aged, .context = &aging};
    ck_assert_msg(hf_committer_call(service.engine->committer, &call, &err), "%s", err.text);
}

START_TEST(what_a_key_made_is_found_by_the_same_request_alone)
{
    struct hf_recovery_row made, row;
    bool found = true;
    open_with_snapshot();
    ck_assert_msg(find(&once, &row, &found), "%s", err.text);
    ck_assert(!found);
    ck_assert_msg(restore(&once, &made), "%s", err.text);
    ck_assert_msg(find(&once, &row, &found), "%s", err.text);
    ck_assert(found);
    ck_assert_str_eq(row.id, made.id);
    ck_assert(!find(&other, &row, &found));
    ck_assert_int_eq(err.code, HF_IDEMPOTENCY_REUSED);
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    ck_assert_msg(find(&once, &row, &found) && found, "%s", err.text);
    ck_assert_str_eq(row.id, made.id);
    hf_test_service_close(&service);
}
END_TEST

/* As when two of the same looked before either was through. */
START_TEST(a_key_that_is_kept_meanwhile_lets_no_second_recovery_through)
{
    struct hf_recovery_row made, row;
    open_with_snapshot();
    ck_assert_msg(restore(&once, &made), "%s", err.text);
    hf_test_put(&service, "a", "3");
    struct hf_system_info before = hf_test_system(&service);
    const struct hf_recovery_request start = {.source = "head", .once = &once};
    const struct hf_recovery_request plan = {.source = "snapshot",
                                             .snapshot = "latest",
                                             .dry_run = true,
                                             .once = &once};
    ck_assert(!restore(&once, &row));
    ck_assert_int_eq(err.code, HF_IDEMPOTENCY_REUSED);
    ck_assert(!restore(&other, &row));
    ck_assert_int_eq(err.code, HF_IDEMPOTENCY_REUSED);
    ck_assert(!hf_test_recover(&service, &start, &row, &err));
    ck_assert_int_eq(err.code, HF_IDEMPOTENCY_REUSED);
    ck_assert(!hf_test_recover(&service, &plan, &row, &err));
    ck_assert_int_eq(err.code, HF_IDEMPOTENCY_REUSED);
    ck_assert_str_eq(hf_test_newest_recovery(&service).id, made.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "3");
    hf_test_expect_unchanged(&service, &before);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_key_serves_for_a_day)
{
    struct hf_recovery_row made, row;
    bool found = false;
    open_with_snapshot();
    ck_assert_msg(restore(NULL, &made), "%s", err.text);
    keep(made.id, HF_KEY_LIFETIME_MS - 600000);
    ck_assert_msg(find(&once, &row, &found) && found, "%s", err.text);
    ck_assert(!restore(&once, &row));
    keep(made.id, HF_KEY_LIFETIME_MS + 1);
    ck_assert_msg(find(&other, &row, &found) && !found, "%s", err.text);
    ck_assert_msg(restore(&other, &row), "%s", err.text);
    ck_assert_str_ne(row.id, made.id);
    ck_assert_msg(find(&other, &made, &found) && found, "%s", err.text);
    ck_assert_str_eq(row.id, made.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_recovery_that_is_no_longer_kept_is_not_made_again)
{
    struct hf_recovery_row row;
    bool found = true;
    open_with_snapshot();
    keep("rec-gone", 1000);
    ck_assert(!find(&once, &row, &found));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    ck_assert(!restore(&once, &row));
    ck_assert_str_eq(hf_test_get(&service, "a"), "2");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_recovery_that_failed_leaves_no_key)
{
    struct hf_recovery_row row;
    bool found = true;
    open_with_snapshot();
    hf_test_put(&service, "b", "1");
    struct hf_snapshot_row bad = hf_test_full(&service);
    hf_test_cut_off(&service, &bad);
    const struct hf_recovery_request request = {.source = "snapshot", .snapshot = bad.id, .once = &once};
    ck_assert(!hf_test_recover(&service, &request, &row, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_str_eq(hf_test_newest_recovery(&service).status, "failed");
    ck_assert_msg(find(&once, &row, &found) && !found, "%s", err.text);
    hf_test_service_close(&service);
}
END_TEST

#ifdef HF_FAULTS
START_TEST(a_recovery_that_did_not_reach_the_disk_leaves_no_key)
{
    struct hf_recovery_row row;
    bool found = true;
    setenv("HOLDFAST_FAULT", "recovery_before_commit:error", 1);
    open_with_snapshot();
    ck_assert(!restore(&once, &row));
    ck_assert_msg(find(&once, &row, &found) && !found, "%s", err.text);
    hf_test_service_close(&service);
}
END_TEST
#define WITH_FAULTS , a_recovery_that_did_not_reach_the_disk_leaves_no_key
#else
#define WITH_FAULTS
#endif

HF_TEST_MAIN("idempotency", what_a_key_made_is_found_by_the_same_request_alone,
             a_key_that_is_kept_meanwhile_lets_no_second_recovery_through, a_key_serves_for_a_day,
             a_recovery_that_is_no_longer_kept_is_not_made_again, a_recovery_that_failed_leaves_no_key WITH_FAULTS);
