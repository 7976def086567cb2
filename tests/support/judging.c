#include "tests/support/judging.h"

#include "tests/support/stores.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

struct hf_judging hf_judging;

void hf_judging_open(const char *more, const char *value)
{
    const char *flags[] = {"--enable-state-validation", "false", "--scrub-interval", "0", more, value, NULL};
    hf_test_service_open(&hf_judging.service, flags);
}

const char *hf_judging_run(const struct hf_snapshot_row *row, bool deep)
{
    struct hf_error err;
    HF_TEST_OK(hf_validation_run(hf_judging.service.engine, HF_TEST_NAME, row->id, deep, 0, &hf_judging.service.arena,
                                 &hf_judging.verdict, &err));
    return hf_judging.verdict.status;
}

const struct hf_validation_check *hf_judging_check_in(const struct hf_validation *validation, const char *name)
{
    for (int i = 0; i < validation->check_count; i++) {
        if (strcmp(validation->checks[i].name, name) == 0)
            return &validation->checks[i];
    }
    ck_abort_msg("there is no check %s", name);
}

const struct hf_validation_check *hf_judging_check(const char *name)
{
    return hf_judging_check_in(&hf_judging.verdict, name);
}

struct hf_snapshot_row hf_judging_row(const struct hf_snapshot_row *row)
{
    struct hf_snapshot_row now;
    struct hf_error err;
    HF_TEST_OK(
        hf_snapshot_find(hf_judging.service.engine, HF_TEST_NAME, row->id, &hf_judging.service.arena, &now, &err));
    return now;
}

void hf_judging_expect_row(const struct hf_snapshot_row *row, const char *state, const char *validation_status)
{
    struct hf_snapshot_row now = hf_judging_row(row);
    ck_assert_str_eq(now.state, state);
    ck_assert_str_eq(now.validation_status, validation_status);
}

const char *hf_judging_path(const struct hf_snapshot_row *row)
{
    return hf_test_engine_snapshot_path(&hf_judging.service, row);
}

struct hf_snapshot_row hf_judging_incremental(void)
{
    bool unchanged = true;
    struct hf_snapshot_row row = hf_test_incremental(&hf_judging.service, &unchanged);
    ck_assert(!unchanged);
    return row;
}

int hf_judging_count_told(const char *type)
{
    return hf_test_count_events(&hf_judging.service, hf_test_system(&hf_judging.service).id, type);
}

void hf_judging_expect_told(const char *type, int count)
{
    for (int waited_ms = 0; hf_judging_count_told(type) < count && waited_ms < HF_JUDGING_PATIENCE_MS; waited_ms += 10)
        usleep(10000);
    ck_assert_int_eq(hf_judging_count_told(type), count);
}

void hf_judging_await_told(const char *type)
{
    for (int waited_ms = 0; hf_judging_count_told(type) == 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, HF_JUDGING_PATIENCE_MS);
        usleep(10000);
    }
}

void hf_judging_await_valid(const struct hf_snapshot_row *row)
{
    for (int waited_ms = 0; strcmp(hf_judging_row(row).validation_status, "valid") != 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, HF_JUDGING_PATIENCE_MS);
        usleep(10000);
    }
}

void hf_judging_alter(const char *sql)
{
    struct hf_test_store database = {.engine = HF_TEST_SQLITE, .directory = hf_judging.service.directory};
    hf_test_store_alter(&database, sql);
}

void hf_judging_expect_score(double expected)
{
    ck_assert_msg(hf_judging.verdict.quality_score > expected - 1e-9 &&
                      hf_judging.verdict.quality_score < expected + 1e-9,
                  "the score is %f, expected %f", hf_judging.verdict.quality_score, expected);
}
