/* Events on their way to the database when it does not say whether it took them. */
#include "engine/event_queue.h"

#include <stdlib.h>

#include "tests/support/check_main.h"
#include "tests/support/stores.h"

static struct hf_event_queue *queue;
static struct hf_test_store first, second;
static struct hf_error err;
static int told;

static void note_written(void *context, const struct hf_event_row *rows, int count)
{
    (void)context;
    (void)rows;
    told += count;
}

static void start(void)
{
    setenv("HOLDFAST_FAULT", "events_after_commit:error", 1); /* the answer to every commit is lost */
    hf_test_store_place(&first, HF_TEST_SQLITE);
    hf_test_store_open(&first);
    hf_test_store_place(&second, HF_TEST_SQLITE);
    hf_test_store_open(&second);
    queue = hf_event_queue_new();
    hf_event_queue_on_written(queue, note_written, NULL);
    told = 0;
}

static void finish(void)
{
    hf_event_queue_free(queue);
    hf_test_store_done(&first);
    hf_test_store_done(&second);
    unsetenv("HOLDFAST_FAULT");
}

static void add(int count)
{
    for (int i = 0; i < count; i++)
        hf_event_queue_add(queue, HF_TEST_SYSTEM, 1, "info", "state.event", "one", "{}");
}

static bool count_row(void *context, const struct hf_event_row *row)
{
    (void)row;
    ++*(int *)context;
    return true;
}

static int stored(const struct hf_test_store *test)
{
    int count = 0;
    HF_TEST_OK(hf_events_list(test->read, HF_TEST_SYSTEM, NULL, 0, 1000, count_row, &count, &err));
    return count;
}

START_TEST(events_whose_commit_gave_no_answer_are_looked_for_and_stored_once)
{
    start();
    add(3);
    HF_TEST_FAILS(HF_OUTCOME_UNKNOWN, hf_event_queue_write(queue, first.write, &err));
    ck_assert_int_eq(told, 0);
    ck_assert(hf_event_queue_is_due(queue, false));
    HF_TEST_OK(hf_event_queue_write(queue, first.write, &err));
    ck_assert_int_eq(stored(&first), 3);
    ck_assert_int_eq(told, 3);
    ck_assert(!hf_event_queue_is_due(queue, true));
    add(2);
    HF_TEST_FAILS(HF_OUTCOME_UNKNOWN, hf_event_queue_write(queue, first.write, &err));
    add(1);
    HF_TEST_FAILS(HF_OUTCOME_UNKNOWN, hf_event_queue_write(queue, first.write, &err));
    HF_TEST_OK(hf_event_queue_write(queue, first.write, &err));
    ck_assert_int_eq(stored(&first), 6);
    ck_assert_int_eq(told, 6);
    finish();
}
END_TEST

START_TEST(events_that_are_not_in_after_all_are_written_again)
{
    start();
    add(3);
    HF_TEST_FAILS(HF_OUTCOME_UNKNOWN, hf_event_queue_write(queue, first.write, &err));
    HF_TEST_FAILS(HF_OUTCOME_UNKNOWN, hf_event_queue_write(queue, second.write, &err)); /* which has none of them */
    HF_TEST_OK(hf_event_queue_write(queue, second.write, &err));
    ck_assert_int_eq(stored(&second), 3);
    ck_assert_int_eq(told, 3);
    finish();
}
END_TEST

HF_TEST_MAIN("event_queue", events_whose_commit_gave_no_answer_are_looked_for_and_stored_once,
             events_that_are_not_in_after_all_are_written_again);
