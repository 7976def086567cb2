/* How much room there is where the service writes. On SQLite. */
#include "engine/storage.h"

#include "core/auto.h"
#include "core/metrics.h"
#include "engine/health.h"
#include "tests/support/check_main.h"
#include "tests/support/engine.h"
#include "tests/support/temp.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOKS 12000 /* of 10 ms: only a place that is never looked at takes so long */

static struct hf_test_service service;

static struct hf_storage_figures figures_of(const char *place)
{
    struct hf_storage_figures all[HF_STORAGE_PLACES_MAX];
    int count = hf_storage_read(service.engine, all);
    for (int i = 0; i < count; i++)
        if (strcmp(all[i].place, place) == 0)
            return all[i];
    ck_abort_msg("there is no place %s", place);
}

static struct hf_storage_figures wait_until_known(const char *place, bool known)
{
    for (int i = 0; i < LOOKS && figures_of(place).known != known; i++)
        usleep(10000);
    struct hf_storage_figures figures = figures_of(place);
    ck_assert_msg(figures.known == known, "%s", place);
    return figures;
}

static void wait_for_all(void)
{
    wait_until_known("data", true);
    wait_until_known("backup", true);
    wait_until_known("incremental", true);
}

static void open_with_fault(const char *fault)
{
    setenv("HOLDFAST_FAULT", fault, 1);
    hf_test_service_open(&service, NULL);
}

static char *metrics(void)
{
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 1 << 20);
    hf_storage_set_gauges(service.engine);
    hf_metrics_write(&out);
    return hf_arena_strdup(&service.arena, out.data);
}

START_TEST(every_place_that_is_written_to_has_figures)
{
    hf_test_service_open(&service, NULL);
    wait_for_all();
    struct hf_storage_figures all[HF_STORAGE_PLACES_MAX];
    ck_assert_int_eq(hf_storage_read(service.engine, all), 3); /* no mirror */
    for (int i = 0; i < 3; i++) {
        ck_assert_int_ge(all[i].free_bytes, 0);
        ck_assert_int_gt(all[i].total_bytes, all[i].free_bytes);
        ck_assert_uint_eq(all[i].device, all[0].device);
    }
    HF_AUTO(free)
    char *line = hf_format("\nholdfast_storage_size_bytes{place=\"backup\"} %lld\n", (long long)all[1].total_bytes);
    ck_assert_ptr_nonnull(strstr(metrics(), line));
    ck_assert_ptr_nonnull(strstr(metrics(), "\nholdfast_storage_free_bytes{place=\"data\"} "));
    ck_assert_ptr_null(strstr(metrics(), "{place=\"mirror\"}"));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_mirror_that_is_away_has_no_figures_until_it_comes)
{
    HF_AUTO(free) char *parent = hf_test_temp_directory();
    HF_AUTO(free) char *mirror = hf_format("%s/mirror", parent);
    hf_test_service_open(&service, (const char *const[]){"--mirror-directory", mirror, NULL});
    wait_for_all();
    ck_assert(!figures_of("mirror").known);
    ck_assert(!figures_of("mirror").low);
    ck_assert_ptr_null(strstr(metrics(), "{place=\"mirror\"}"));
    ck_assert_int_eq(mkdir(mirror, 0700), 0);
    ck_assert_int_gt(wait_until_known("mirror", true).total_bytes, 0);
    ck_assert_ptr_nonnull(strstr(metrics(), "\nholdfast_storage_free_bytes{place=\"mirror\"} "));
    hf_test_service_close(&service);
    hf_test_remove_tree(parent);
}
END_TEST

START_TEST(a_disk_that_fills_up_is_warned_about_once_for_all_that_is_on_it)
{
    open_with_fault("storage_low:error");
    wait_for_all();
    ck_assert(figures_of("data").low && figures_of("backup").low && figures_of("incremental").low);
    struct hf_status status;
    ck_assert(hf_status_collect(service.engine, NULL, &service.arena, &status));
    ck_assert_str_eq(status.status, "degraded");
    ck_assert_int_eq(status.storage_count, 3);
    ck_assert_int_eq(status.warning_count, 1);
    ck_assert_ptr_nonnull(strstr(status.warnings[0], "the disk fills up: "));
    ck_assert_ptr_nonnull(
        strstr(status.warnings[0], " free for the data directory, full snapshots, incremental snapshots"));
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 1 << 20);
    hf_storage_write(service.engine, &out);
    HF_AUTO(free) char *line = hf_format("[!]storage: %s\n", status.warnings[0]);
    ck_assert_str_eq(out.data, line);
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

START_TEST(a_file_system_that_does_not_say_it_is_no_problem)
{
    open_with_fault("storage_look:error");
    hf_test_put(&service, "a", "1");
    ck_assert(!figures_of("data").known);
    ck_assert(!figures_of("data").low);
    ck_assert_ptr_null(strstr(metrics(), "holdfast_storage_free_bytes{"));
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

/* It would take ten days. */
START_TEST(a_file_system_that_hangs_holds_up_neither_the_figures_nor_the_end)
{
    open_with_fault("storage_look:sleep=864000000");
    struct hf_status status;
    ck_assert(hf_status_collect(service.engine, NULL, &service.arena, &status));
    ck_assert_int_eq(status.storage_count, 3);
    for (int i = 0; i < 3; i++)
        ck_assert(!status.storage[i].known);
    hf_test_put(&service, "a", "1");
    hf_test_full(&service);
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

static bool has_thread(const char *name)
{
    bool found = false;
    DIR *tasks = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char line[64] = "";
        HF_AUTO(free) char *path = hf_format("/proc/self/task/%s/comm", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r"); /* it may have ended meanwhile */
        if (file) {
            found = found || (fgets(line, sizeof(line), file) && strncmp(line, name, strlen(name)) == 0);
            fclose(file);
        }
    }
    closedir(tasks);
    return found;
}

/* One of the last things that can fail at the start. */
START_TEST(a_start_that_fails_for_want_of_threads_leaves_no_scheduler_behind)
{
    struct hf_error err;
    open_with_fault("storage_thread:error:4"); /* three for the first start */
    ck_assert(has_thread("hf-scheduler"));
    hf_test_service_stop(&service);
    ck_assert(!hf_engine_start(&service.engine, &service.config, &err));
    for (int i = 0; i < LOOKS && has_thread("hf-scheduler"); i++) /* what was joined is still listed for a moment */
        usleep(10000);
    ck_assert(!has_thread("hf-scheduler"));
    hf_test_service_close(&service);
    unsetenv("HOLDFAST_FAULT");
}
END_TEST

HF_TEST_MAIN("storage", every_place_that_is_written_to_has_figures, a_mirror_that_is_away_has_no_figures_until_it_comes,
             a_disk_that_fills_up_is_warned_about_once_for_all_that_is_on_it,
             a_file_system_that_does_not_say_it_is_no_problem,
             a_file_system_that_hangs_holds_up_neither_the_figures_nor_the_end,
             a_start_that_fails_for_want_of_threads_leaves_no_scheduler_behind);
