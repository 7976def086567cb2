/* Validations that take long, break off, or come by themselves. */
#include "core/auto.h"
#include "core/metrics.h"
#include "engine/validation_ask.h"
#include "engine/validation_private.h"
#include "tests/support/keys.h"
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

#define CHAIN_LENGTH 12 /* incrementals behind the full */

static void flip_lost_content(const struct hf_snapshot_row *full)
{
    hf_test_damage_content(hf_judging_path(full), "{\"lost\":\"only here\"}");
}

/* A full with a large content and a small one, and incrementals that each add one and refer to both. The small one is
 * then nowhere else, and damaged. Returns the bytes of all files. */
static int64_t damage_generation(struct hf_snapshot_row files[1 + CHAIN_LENGTH])
{
    hf_test_put(&hf_judging.service, "large", noise(300000));
    hf_test_put(&hf_judging.service, "lost", "{\"lost\":\"only here\"}");
    files[0] = hf_test_full(&hf_judging.service);
    int64_t bytes = files[0].file_bytes;
    for (int i = 1; i <= CHAIN_LENGTH; i++) {
        hf_test_put(&hf_judging.service, hf_arena_format(&hf_judging.service.arena, "c%d", i), noise(1000 + (size_t)i));
        files[i] = hf_judging_incremental();
        ck_assert_str_eq(files[i].generation, files[0].id);
        bytes += files[i].file_bytes;
    }
    hf_test_put(&hf_judging.service, "lost", "{\"lost\":\"another\"}");
    hf_test_forget_history(&hf_judging.service);
    flip_lost_content(&files[0]);
    return bytes;
}

/* As the scrub does, which counts what it reads. */
static int64_t count_bytes_of_look(const struct hf_snapshot_row *row, const char *expected)
{
    double before = hf_metric_get(HF_M_SCRUBBED_BYTES);
    struct hf_pacer pacer = {.scrubbing = true};
    struct hf_error err;
    HF_TEST_OK(hf_validation_run_paced(hf_judging.service.engine, HF_TEST_NAME, row->id, false, &pacer,
                                       &hf_judging.service.arena, &hf_judging.verdict, &err));
    ck_assert_str_eq(hf_judging.verdict.status, expected);
    return (int64_t)(hf_metric_get(HF_M_SCRUBBED_BYTES) - before);
}

START_TEST(a_look_at_a_damaged_generation_reads_it_a_few_times_and_not_once_for_each_snapshot)
{
    struct hf_snapshot_row files[1 + CHAIN_LENGTH];
    hf_judging_open(NULL, NULL);
    int64_t bytes = damage_generation(files);
    ck_assert_int_le(count_bytes_of_look(&files[0], "damaged"), 4 * bytes);
    for (int i = 0; i <= CHAIN_LENGTH; i++) {
        struct hf_error err;
        bool found;
        hf_judging_expect_row(&files[i], "damaged", "damaged");
        HF_TEST_OK(hf_validation_latest(hf_judging.service.engine, HF_TEST_NAME, files[i].id, &hf_judging.service.arena,
                                        &hf_judging.verdict, &found, &err));
        ck_assert_int_eq(hf_judging.verdict.lost_count, 1);
        ck_assert_str_eq(hf_judging.verdict.lost[0].component, "lost");
    }
    ck_assert_int_le(count_bytes_of_look(&files[CHAIN_LENGTH], "damaged"), 4 * bytes);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

START_TEST(what_is_whole_again_is_read_once_for_all_snapshots)
{
    struct hf_snapshot_row files[1 + CHAIN_LENGTH];
    hf_judging_open(NULL, NULL);
    int64_t bytes = damage_generation(files);
    count_bytes_of_look(&files[0], "damaged");
    flip_lost_content(&files[0]); /* back as it was */
    ck_assert_int_le(count_bytes_of_look(&files[1], "valid"), 4 * bytes);
    for (int i = 0; i <= CHAIN_LENGTH; i++) {
        struct hf_error err;
        bool found;
        hf_judging_await_valid(&files[i]);
        HF_TEST_OK(hf_validation_latest(hf_judging.service.engine, HF_TEST_NAME, files[i].id, &hf_judging.service.arena,
                                        &hf_judging.verdict, &found, &err));
        if (i > 1)
            ck_assert_int_eq(hf_judging.verdict.bytes_checked, 1000 + i);
    }
    hf_test_service_close(&hf_judging.service);
}
END_TEST

/* What an examination found sound and a reader found damaged is read again. */
START_TEST(what_a_reader_found_damaged_is_read_again)
{
    struct hf_snapshot_row files[1 + CHAIN_LENGTH];
    hf_judging_open(NULL, NULL);
    damage_generation(files);
    count_bytes_of_look(&files[0], "damaged");
    flip_lost_content(&files[0]);
    count_bytes_of_look(&files[1], "valid");
    for (int i = 0; i <= CHAIN_LENGTH; i++)
        hf_judging_await_valid(&files[i]);
    flip_lost_content(&files[0]);
    struct hf_error err;
    HF_TEST_OK(
        hf_snapshot_mark_damaged(hf_judging.service.engine, HF_TEST_NAME, files[1].id, "a reader says so", &err));
    ck_assert_str_eq(hf_judging_run(&files[1], false), "damaged");
    hf_test_service_close(&hf_judging.service);
}
END_TEST

static int64_t count_validations(const char *status)
{
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, 1 << 20);
    hf_metrics_write(&text);
    const char *line = hf_arena_format(&hf_judging.service.arena, "holdfast_validations_total{status=\"%s\"} ", status);
    const char *at = memmem(text.data, text.bytes, line, strlen(line));
    return at ? strtoll(at + strlen(line), NULL, 10) : 0;
}

/* Between two looks at a sound snapshot there is one look at those of the damaged generation. */
START_TEST(the_scrub_takes_the_damaged_snapshots_of_a_generation_as_one)
{
    struct hf_snapshot_row files[1 + CHAIN_LENGTH];
    hf_test_service_open(&hf_judging.service, scrub_flags);
    hf_test_service_stop(&hf_judging.service);
    hf_judging.service.config.scrub_interval_ms = 0;
    hf_test_service_start(&hf_judging.service);
    damage_generation(files);
    ck_assert_str_eq(hf_judging_run(&files[0], false), "damaged");
    struct hf_snapshot_row sound = hf_test_full(&hf_judging.service);
    ck_assert_str_ne(sound.generation, files[0].id);
    hf_test_service_stop(&hf_judging.service);
    hf_judging.service.config.scrub_interval_ms = 100;
    int64_t damaged = count_validations("damaged"), valid = count_validations("valid");
    hf_test_service_start(&hf_judging.service);
    for (int waited_ms = 0; count_validations("valid") < valid + 5; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, HF_JUDGING_PATIENCE_MS);
        usleep(10000);
    }
    hf_test_service_stop(&hf_judging.service);
    damaged = count_validations("damaged") - damaged;
    valid = count_validations("valid") - valid;
    ck_assert_int_ge(damaged, 1);
    ck_assert_int_le(damaged, valid + 1);
    hf_test_service_start(&hf_judging.service);
    hf_test_service_close(&hf_judging.service);
}
END_TEST

#define KEYLESS 130

static void restart_with_keys(const char *text, int64_t scrub_interval_ms)
{
    struct hf_config *config = &hf_judging.service.config;
    hf_test_service_stop(&hf_judging.service);
    free(config->encryption_key_file);
    config->encryption_key_file = text ? hf_test_key_file(hf_judging.service.directory, "keys", text) : NULL;
    config->scrub_interval_ms = scrub_interval_ms;
    hf_test_service_start(&hf_judging.service);
}

/* There is no verdict of them, so they would be the ones that were looked at longest ago for ever. */
START_TEST(snapshots_whose_key_is_lost_do_not_keep_the_scrub_from_the_others)
{
    hf_test_service_open(&hf_judging.service, scrub_flags);
    restart_with_keys(HF_TEST_KEY_ONE "\n", 0);
    for (int i = 0; i < KEYLESS; i++) {
        hf_test_put(&hf_judging.service, "a", hf_arena_format(&hf_judging.service.arena, "{\"a\":%d}", i));
        hf_judging_incremental();
    }
    restart_with_keys(NULL, 100);
    hf_test_put(&hf_judging.service, "a", "{\"a\":true}");
    struct hf_snapshot_row readable = hf_test_full(&hf_judging.service);
    hf_judging_await_valid(&readable);
    int64_t first_ms = hf_judging_row(&readable).validated_at_ms;
    for (int waited_ms = 0; hf_judging_row(&readable).validated_at_ms == first_ms; waited_ms += 10) {
        ck_assert_int_lt(waited_ms, HF_JUDGING_PATIENCE_MS);
        usleep(10000);
    }
    hf_test_service_close(&hf_judging.service);
}
END_TEST

HF_TEST_MAIN("scrub", a_slow_validation_hurries_when_a_deletion_waits,
             what_was_asked_for_breaks_off_at_a_stop_without_a_verdict, the_scrub_finds_and_heals_a_flipped_byte,
             the_scrub_mends_the_copy_in_the_mirror, a_scrub_under_way_is_broken_off_at_the_end,
             a_look_at_a_damaged_generation_reads_it_a_few_times_and_not_once_for_each_snapshot,
             what_is_whole_again_is_read_once_for_all_snapshots, what_a_reader_found_damaged_is_read_again,
             the_scrub_takes_the_damaged_snapshots_of_a_generation_as_one,
             snapshots_whose_key_is_lost_do_not_keep_the_scrub_from_the_others);
