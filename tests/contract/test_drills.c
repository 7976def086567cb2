/* Rows of restore drills, and how far history reaches back, on both engines. */
#include "store/drills.h"
#include "tests/support/stores.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static struct hf_test_store test;

struct names {
    char joined[1024]; /* with a blank after each */
};

static void add_name(struct names *names, const char *name)
{
    size_t used = strlen(names->joined);
    snprintf(names->joined + used, sizeof(names->joined) - used, "%s ", name);
}

static bool note_drill(void *context, const struct hf_drill_row *row)
{
    add_name(context, row->id);
    return true;
}

static bool check_drill(void *context, const struct hf_drill_row *row)
{
    (void)context;
    ck_assert_int_eq(row->system_id, HF_TEST_SYSTEM);
    ck_assert_str_eq(row->snapshot, "full-1");
    ck_assert_int_eq(row->sequence, 11);
    ck_assert_int_eq(row->started_at_ms, 400);
    ck_assert_int_eq(row->duration_ms, 12);
    ck_assert_int_eq(row->components, 13);
    ck_assert_int_eq(row->bytes, 14);
    ck_assert_str_eq(row->status, "failed");
    ck_assert_str_eq(row->detail, "other bytes");
    return true;
}

/* d1 to d4, started at 100 to 400; the second passed. */
static void insert_drills(void)
{
    struct hf_error err;
    for (int i = 1; i <= 4; i++) {
        char id[] = {'d', (char)('0' + i), '\0'};
        const struct hf_drill_row row = {.system_id = HF_TEST_SYSTEM,
                                         .id = id,
                                         .snapshot = "full-1",
                                         .sequence = 11,
                                         .started_at_ms = i * 100,
                                         .duration_ms = 12,
                                         .components = 13,
                                         .bytes = 14,
                                         .status = i == 2 ? "passed" : "failed",
                                         .detail = "other bytes"};
        HF_TEST_OK(hf_drills_insert(test.write, &row, &err));
    }
}

static const char *drills_now(struct names *names)
{
    struct hf_error err;
    *names = (struct names){0};
    HF_TEST_OK(hf_drills_list(test.read, HF_TEST_SYSTEM, INT64_MAX, "", 10, note_drill, names, &err));
    return names->joined;
}

START_TEST(drills_are_listed_newest_first)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    insert_drills();
    struct names names;
    ck_assert_str_eq(drills_now(&names), "d4 d3 d2 d1 ");
    HF_TEST_OK(hf_drills_list(test.read, HF_TEST_SYSTEM, INT64_MAX, "", 1, check_drill, NULL, &err));
    names = (struct names){0};
    HF_TEST_OK(hf_drills_list(test.read, HF_TEST_SYSTEM, 300, "d3", 1, note_drill, &names, &err));
    ck_assert_str_eq(names.joined, "d2 ");
    names = (struct names){0};
    HF_TEST_OK(hf_drills_newest(test.read, NULL, note_drill, &names, &err));
    ck_assert_str_eq(names.joined, "d4 ");
    names = (struct names){0};
    HF_TEST_OK(hf_drills_newest(test.read, "passed", note_drill, &names, &err));
    ck_assert_str_eq(names.joined, "d2 ");
    hf_test_store_done(&test);
}
END_TEST

START_TEST(old_drills_are_trimmed_but_neither_the_newest_nor_the_newest_that_passed)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    insert_drills();
    int64_t deleted = 0;
    struct names names;
    HF_TEST_OK(hf_drills_trim(test.write, HF_TEST_SYSTEM + 1, INT64_MAX, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 0);
    HF_TEST_OK(hf_drills_trim(test.write, HF_TEST_SYSTEM, 300, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    ck_assert_str_eq(drills_now(&names), "d4 d3 d2 ");
    HF_TEST_OK(hf_drills_trim(test.write, HF_TEST_SYSTEM, INT64_MAX, 10, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    ck_assert_str_eq(drills_now(&names), "d4 d2 ");
    hf_test_store_done(&test);
}
END_TEST

START_TEST(drills_go_with_their_system_and_do_not_outlive_it)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    insert_drills();
    HF_TEST_OK(hf_systems_delete(test.write, HF_TEST_SYSTEM, &err));
    struct names names;
    ck_assert_str_eq(drills_now(&names), "");
    insert_drills(); /* one that was under way meanwhile */
    ck_assert_str_eq(drills_now(&names), "");
    hf_test_store_done(&test);
}
END_TEST

static int64_t floor_now(void)
{
    struct hf_error err;
    int64_t from_ms = -1;
    HF_TEST_OK(hf_states_floor(test.read, HF_TEST_SYSTEM, &from_ms, &err));
    return from_ms;
}

START_TEST(history_is_whole_from_the_newest_row_on_whose_predecessor_is_gone)
{
    struct hf_error err;
    hf_test_store_begin(&test, _i);
    ck_assert_int_eq(floor_now(), 0);
    const struct hf_state_row rows[] = {hf_test_state(1, 1, 1, 0, "1", 1), hf_test_state(2, 2, 1, 0, "1", 1),
                                        hf_test_state(3, 1, 2, 1, "2", 1), hf_test_state(4, 2, 2, 2, "2", 1),
                                        hf_test_state(5, 3, 1, 0, "1", 1), hf_test_state(6, 1, 3, 3, "3", 1)};
    hf_test_store_commit(&test, rows, 6);
    ck_assert_int_eq(floor_now(), 0); /* all is there */
    int64_t deleted;
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, 3, 10, &deleted, &err));
    ck_assert_int_eq(floor_now(), 3000);
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, 5, 10, &deleted, &err));
    ck_assert_int_eq(floor_now(), 4000);
    HF_TEST_OK(hf_states_trim(test.write, HF_TEST_SYSTEM, 6, 10, &deleted, &err));
    ck_assert_int_eq(floor_now(), 6000);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("contract_drills", drills_are_listed_newest_first,
                   old_drills_are_trimmed_but_neither_the_newest_nor_the_newest_that_passed,
                   drills_go_with_their_system_and_do_not_outlive_it,
                   history_is_whole_from_the_newest_row_on_whose_predecessor_is_gone);
