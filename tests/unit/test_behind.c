/* A database that reads well and lacks commits which its snapshot files hold. */
#include "core/auto.h"
#include "tests/support/engine.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct hf_test_service service;

static void shell(const char *format)
{
    char *command = hf_format(format, service.directory, service.directory, service.directory, service.directory);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

/* Everything below is acknowledged, and the database is then as it was before it. */
static struct hf_snapshot_row lose_commits(void)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_service_stop(&service);
    shell("mkdir %s/aside && cp %s/holdfast.db* %s/aside");
    hf_test_service_start(&service);
    for (int i = 2; i <= 5; i++) {
        char text[32];
        snprintf(text, sizeof(text), "{\"a\":%d}", i);
        hf_test_put(&service, "a", text);
    }
    hf_test_put(&service, "c", "{\"c\":1}");
    hf_test_delete(&service, "b");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_service_crash(&service);
    shell("rm %s/holdfast.db* && mv %s/aside/* %s/ && rmdir %s/aside");
    hf_test_service_start(&service);
    return full;
}

START_TEST(what_was_acknowledged_comes_back)
{
    struct hf_snapshot_row full = lose_commits();
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":5}");
    ck_assert_str_eq(hf_test_get(&service, "c"), "{\"c\":1}");
    ck_assert_ptr_null(hf_test_get(&service, "b"));
    struct hf_hash root_hash = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root_hash, &full.root_hash));
    ck_assert_int_eq(hf_test_count_events(&service, hf_test_system(&service).id, "database.behind"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(no_number_is_given_twice)
{
    struct hf_snapshot_row full = lose_commits();
    struct hf_system_info now = hf_test_system(&service);
    ck_assert_int_gt(now.sequence, full.sequence);
    ck_assert_int_gt(now.epoch, full.epoch);
    /* Version 5 was acknowledged with this content: what is written now comes above it. */
    ck_assert_int_gt(hf_test_put(&service, "a", "{\"a\":6}"), 5);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(it_goes_on_as_ever_afterwards)
{
    struct hf_snapshot_row full = lose_commits();
    hf_test_put(&service, "a", "{\"a\":6}");
    bool unchanged;
    struct hf_snapshot_row next = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    ck_assert_int_gt(next.sequence, full.sequence);
    hf_test_service_crash(&service);
    hf_test_service_start(&service); /* the gap in the sequence is no damage */
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":6}");
    ck_assert_str_eq(hf_test_get(&service, "c"), "{\"c\":1}");
    ck_assert_int_eq(hf_test_count_events(&service, hf_test_system(&service).id, "database.behind"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, 0, "database.rebuilt"), 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_database_that_is_level_is_left_alone)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    int64_t epoch = hf_test_system(&service).epoch;
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    ck_assert_int_eq(hf_test_system(&service).epoch, epoch);
    ck_assert_int_eq(hf_test_count_events(&service, hf_test_system(&service).id, "database.behind"), 0);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("behind", what_was_acknowledged_comes_back, no_number_is_given_twice, it_goes_on_as_ever_afterwards,
             a_database_that_is_level_is_left_alone);
