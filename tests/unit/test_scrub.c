/* Validations that take long, break off, or come by themselves. */
#include "core/auto.h"
#include "core/metrics.h"
#include "engine/validation_ask.h"
#include "tests/support/stores.h"
#undef HF_TEST_SYSTEM
#include "tests/support/snapshots.h"
#include "tests/support/temp.h"
#include "tests/support/judging.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <string.h>

static const char *noise(size_t bytes)
{
    char *text = hf_arena_alloc(&hf_judging.service.arena, bytes + 1);
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
    HF_TEST_OK(hf_validation_run(hf_judging.service.engine, HF_TEST_NAME, row->id, false, 1, &arena, &slow, &err));
    ck_assert_str_eq(slow.status, "valid");
    return NULL;
}

/* At a byte a second it would be there for days. */
START_TEST(a_slow_validation_hurries_when_a_deletion_waits)
{
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", noise(500000));
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, validate_slowly, &full), 0);
    usleep(100000);
    struct hf_error err;
    HF_TEST_OK(hf_snapshot_delete(hf_judging.service.engine, HF_TEST_NAME, full.id, &err));
    pthread_join(thread, NULL);
    hf_test_service_close(&hf_judging.service);
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
    hf_judging_open(NULL, NULL);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    struct told before = {.asker = {.tell = tell}}, after = {.asker = {.tell = tell}};
    struct hf_error err;
    HF_TEST_OK(hf_validation_ask(hf_judging.service.engine, HF_TEST_NAME, full.id, false, &before.asker, &err));
    ck_assert_int_eq(before.count, 1);
    ck_assert(before.judged);
    hf_engine_break_off(hf_judging.service.engine);
    HF_TEST_OK(hf_validation_ask(hf_judging.service.engine, HF_TEST_NAME, full.id, true, &after.asker, &err));
    ck_assert_int_eq(after.count, 1);
    ck_assert(!after.judged);
    ck_assert_int_eq(after.err.code, HF_SHUTTING_DOWN);
    ck_assert_str_eq(hf_judging_run(&full, true), "valid"); /* the stop's own go on */
    hf_test_service_close(&hf_judging.service);
}
END_TEST

static const char *const scrub_flags[] = {"--enable-state-validation", "false", "--scrub-interval", "100", NULL};

START_TEST(the_scrub_finds_and_heals_a_flipped_byte)
{
    hf_test_service_open(&hf_judging.service, scrub_flags);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    hf_test_service_stop(&hf_judging.service);
    hf_test_service_start(&hf_judging.service); /* it begins with what it finds */
    hf_judging_await_valid(&full);
    hf_test_damage_content(hf_judging_path(&full), "{\"a\":\"first\"}");
    hf_judging_await_told("snapshot.healed");
    ck_assert(hf_metric_get(HF_M_SCRUBBED_BYTES) > 0);
    ck_assert_str_eq(hf_judging_run(&full, true), "valid");
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(the_scrub_mends_the_copy_in_the_mirror)
{
    HF_AUTO(free) char *mirror = hf_test_temp_directory();
    hf_test_service_open(&hf_judging.service, scrub_flags);
    hf_test_service_stop(&hf_judging.service);
    hf_judging.service.config.mirror_directory = hf_strdup(mirror);
    hf_test_service_start(&hf_judging.service);
    hf_test_put(&hf_judging.service, "a", "{\"a\":\"first\"}");
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    const char *copy = hf_arena_format(&hf_judging.service.arena, "%s/full/%s", mirror, full.file);
    for (int waited_ms = 0; access(copy, F_OK) != 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, HF_JUDGING_PATIENCE_MS);
        usleep(10000);
    }
    hf_test_damage_content(copy, "{\"a\":\"first\"}");
    hf_test_service_stop(&hf_judging.service);
    hf_test_service_start(&hf_judging.service); /* it begins with what it finds */
    hf_judging_await_told("mirror.healed");
    size_t bytes, copied;
    HF_AUTO(free) char *data = hf_test_read_file(hf_judging_path(&full), &bytes);
    HF_AUTO(free) char *mended = hf_test_read_file(copy, &copied);
    ck_assert_uint_eq(bytes, copied);
    ck_assert_int_eq(memcmp(data, mended, bytes), 0);
    hf_test_service_close(&hf_judging.service);
    hf_test_remove_tree(mirror);
}
END_TEST

START_TEST(a_scrub_under_way_is_broken_off_at_the_end)
{
    static const char *const slow[] = {
        "--enable-state-validation", "false", "--scrub-interval", "100", "--scrub-rate", "65536", NULL};
    hf_test_service_open(&hf_judging.service, slow);
    hf_test_put(&hf_judging.service, "a", noise(40000000)); /* ten minutes of scrubbing */
    struct hf_snapshot_row full = hf_test_full(&hf_judging.service);
    hf_test_service_stop(&hf_judging.service);
    hf_test_service_start(&hf_judging.service);
    for (int waited_ms = 0; hf_metric_get(HF_M_SCRUBBED_BYTES) == 0; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, HF_JUDGING_PATIENCE_MS);
        usleep(10000);
    }
    hf_test_service_stop(&hf_judging.service);
    hf_test_service_start(&hf_judging.service);
    hf_judging_expect_row(&full, "complete", "pending");
    hf_test_service_close(&hf_judging.service);
}
END_TEST

HF_TEST_MAIN("scrub", a_slow_validation_hurries_when_a_deletion_waits,
             what_was_asked_for_breaks_off_at_a_stop_without_a_verdict, the_scrub_finds_and_heals_a_flipped_byte,
             the_scrub_mends_the_copy_in_the_mirror, a_scrub_under_way_is_broken_off_at_the_end);
