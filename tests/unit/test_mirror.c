#include "engine/mirror.h"

#include "core/auto.h"
#include "core/clock.h"
#include "engine/retention.h"
#include "tests/support/engine.h"
#include "tests/support/snapshots.h"
#include "tests/support/temp.h"

#include "tests/support/check_main.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_MS INT64_C(86400000)

static struct hf_test_service service;
static struct hf_error err;
static char *mirror_directory;

static const char *const every_full_alone[] = {"--anchor-interval", "0", "--enable-state-validation", "false", NULL};
static const char *const one_generation[] = {"--enable-state-validation", "false", NULL};

static void connect_mirror(void)
{
    free(service.config.mirror_directory);
    service.config.mirror_directory = hf_strdup(mirror_directory);
}

static void disconnect_mirror(void)
{
    free(service.config.mirror_directory);
    service.config.mirror_directory = NULL;
}

static void open_with_mirror(const char *const *flags)
{
    mirror_directory = hf_test_temp_directory();
    hf_test_service_open(&service, flags);
    hf_test_service_stop(&service);
    connect_mirror();
    hf_test_service_start(&service);
}

static void close_all(void)
{
    hf_test_service_close(&service);
    hf_test_remove_tree(mirror_directory);
    free(mirror_directory);
}

static void restart(void)
{
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
}

static char *mirror_path(const struct hf_snapshot_row *row)
{
    return hf_arena_format(&service.arena, "%s/%s/%s", mirror_directory,
                           strcmp(row->kind, "full") == 0 ? "full" : "incremental", row->file);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Waits for what another thread does; only a bug makes it wait for long. */
static bool becomes(const char *path, bool there)
{
    for (int try = 0; try < 1000 && is_there(path) != there; try++)
        usleep(10000);
    return is_there(path) == there;
}

static struct hf_mirror_status wait_until_up(bool up)
{
    struct hf_mirror_status status;
    for (int try = 0; try < 1000; try++) {
        hf_mirror_read_status(service.engine, &status);
        if (status.up == up && (!up || (status.caught_up_at_ms && !status.pending_files)))
            break;
        hf_mirror_wake(service.engine);
        usleep(10000);
    }
    ck_assert_int_eq(status.up, up);
    return status;
}

static void check_same(const struct hf_snapshot_row *row)
{
    size_t bytes = 0, copied = 0;
    HF_AUTO(free) char *data = hf_test_read_file(hf_test_engine_snapshot_path(&service, row), &bytes);
    HF_AUTO(free) char *copy = hf_test_read_file(mirror_path(row), &copied);
    ck_assert_uint_eq(bytes, copied);
    ck_assert_int_eq(memcmp(data, copy, bytes), 0);
}

/* Directories of a system in the mirror that were set aside. */
static int count_asides(const char *prefix)
{
    HF_AUTO(free) char *path = hf_format("%s/full", mirror_directory);
    DIR *directory = opendir(path);
    int count = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    if (directory)
        closedir(directory);
    return count;
}

static void remove_primary(void)
{
    hf_test_service_remove_database(&service);
    hf_test_remove_tree(service.config.backup_directory);
    hf_test_remove_tree(service.config.incremental_directory);
}

START_TEST(what_is_published_is_copied_byte_for_byte)
{
    open_with_mirror(one_generation);
    bool unchanged;
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "2");
    struct hf_snapshot_row incremental = hf_test_incremental(&service, &unchanged);
    ck_assert(becomes(mirror_path(&full), true));
    ck_assert(becomes(mirror_path(&incremental), true));
    check_same(&full);
    check_same(&incremental);
    struct hf_mirror_status status = wait_until_up(true);
    ck_assert(status.configured);
    ck_assert_str_eq(status.last_error, "");
    close_all();
}
END_TEST

START_TEST(what_was_there_before_the_mirror_is_caught_up_with)
{
    open_with_mirror(every_full_alone);
    hf_test_service_stop(&service);
    disconnect_mirror();
    hf_test_service_start(&service);
    struct hf_mirror_status status;
    hf_mirror_read_status(service.engine, &status);
    ck_assert(!status.configured);
    struct hf_snapshot_row rows[5];
    for (int i = 0; i < 5; i++) {
        hf_test_put(&service, "a", i % 2 ? "1" : "2");
        rows[i] = hf_test_full(&service);
    }
    hf_test_service_stop(&service);
    connect_mirror();
    hf_test_service_start(&service);
    for (int i = 0; i < 5; i++) {
        ck_assert(becomes(mirror_path(&rows[i]), true));
        check_same(&rows[i]);
    }
    close_all();
}
END_TEST

START_TEST(the_final_snapshot_is_copied_before_the_service_ends)
{
    open_with_mirror(one_generation);
    hf_test_put(&service, "a", "\"last words\"");
    hf_test_service_stop(&service);
    HF_AUTO(free) char *path = hf_format("%s/full/" HF_TEST_NAME, mirror_directory);
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    int snapshots = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        snapshots += strstr(entry->d_name, ".snapshot") != NULL;
    closedir(directory);
    ck_assert_int_eq(snapshots, 1);
    close_all();
}
END_TEST

START_TEST(a_mirror_that_is_away_is_told_of_once_never_made_and_caught_up_with_later)
{
    open_with_mirror(every_full_alone);
    HF_AUTO(free) char *hidden = hf_format("%s.unmounted", mirror_directory);
    hf_test_service_stop(&service);
    ck_assert_int_eq(rename(mirror_directory, hidden), 0);
    hf_test_service_start(&service);
    struct hf_mirror_status status = wait_until_up(false);
    ck_assert_ptr_nonnull(strstr(status.last_error, "mounted"));
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row first = hf_test_full(&service), second = hf_test_full(&service);
    for (int try = 0; try < 1000 && status.pending_files < 2; try++) {
        hf_mirror_wake(service.engine);
        usleep(10000);
        hf_mirror_read_status(service.engine, &status);
    }
    ck_assert_int_eq(status.pending_files, 2);
    ck_assert(!status.up);
    ck_assert(!is_there(mirror_directory));

    ck_assert_int_eq(rename(hidden, mirror_directory), 0);
    wait_until_up(true);
    check_same(&first);
    check_same(&second);
    ck_assert_int_eq(hf_test_count_events(&service, 0, "mirror.caught_up"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, 0, "mirror.behind"), 1);
    close_all();
}
END_TEST

START_TEST(a_mirror_that_goes_away_while_the_service_runs_is_caught_up_with)
{
    open_with_mirror(every_full_alone);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row first = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&first), true));
    wait_until_up(true);
    HF_AUTO(free) char *hidden = hf_format("%s.unmounted", mirror_directory);
    ck_assert_int_eq(rename(mirror_directory, hidden), 0);
    struct hf_snapshot_row second = hf_test_full(&service);
    wait_until_up(false);
    ck_assert(!is_there(mirror_directory));
    ck_assert_int_eq(rename(hidden, mirror_directory), 0);
    wait_until_up(true);
    check_same(&second);
    close_all();
}
END_TEST

START_TEST(a_mirror_in_the_place_of_the_originals_is_refused)
{
    mirror_directory = hf_test_temp_directory();
    HF_AUTO(free) char *full = hf_format("%s/full", mirror_directory);
    const char *const flags[] = {"--backup-directory", full, NULL};
    hf_test_service_open(&service, flags);
    hf_test_service_stop(&service);
    connect_mirror();
    ck_assert(!hf_engine_start(&service.engine, &service.config, &err));
    ck_assert_int_eq(err.code, HF_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "--mirror-directory"));
    service.engine = NULL;
    close_all();
}
END_TEST

START_TEST(what_is_deleted_goes_from_the_mirror_too)
{
    open_with_mirror(every_full_alone);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row by_hand = hf_test_full(&service), expired = hf_test_full(&service),
                           kept = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&by_hand), true));
    ck_assert(becomes(mirror_path(&expired), true));
    ck_assert(becomes(mirror_path(&kept), true));
    ck_assert_msg(hf_snapshot_delete(service.engine, HF_TEST_NAME, by_hand.id, &err), "%s", err.text);
    ck_assert(becomes(mirror_path(&by_hand), false));
    struct hf_system_settings settings = {NULL, -1, -1, 0};
    bool created;
    int64_t deleted;
    ck_assert(hf_system_put(service.engine, HF_TEST_NAME, &settings, &created, &err));
    usleep(5000);
    ck_assert(hf_retention_run(service.engine, HF_TEST_NAME, &deleted, &err));
    ck_assert_int_eq(deleted, 1);
    ck_assert(becomes(mirror_path(&expired), false));
    wait_until_up(true);
    ck_assert(is_there(mirror_path(&kept)));
    close_all();
}
END_TEST

/* A file in the mirror that no row tells of. */
static char *plant(const char *system, const char *id, int64_t created_at_ms, int64_t cut_at_ms)
{
    struct hf_repository *repository = hf_test_repository(mirror_directory);
    struct hf_manifest_header header = {.system = system,
                                        .id = id,
                                        .kind = "full",
                                        .trigger = "manual",
                                        .label = "",
                                        .generation = id,
                                        .parent = "",
                                        .sequence = 1,
                                        .epoch = 1,
                                        .cut_at_ms = cut_at_ms,
                                        .description = "",
                                        .backup_interval_ms = -1,
                                        .incremental_interval_ms = -1,
                                        .max_retention_hours = -1,
                                        .created_at_ms = created_at_ms,
                                        .signed_by = "",
                                        .signature = ""};
    struct hf_hasher *hasher = hf_hasher_new();
    hf_hasher_finish(hasher, &header.root_hash);
    hf_hasher_free(hasher);
    struct hf_snapshot_writer *writer = NULL;
    HF_AUTO(free) char *file = NULL;
    int64_t bytes;
    ck_assert_msg(hf_snapshot_writer_new(&writer, repository, &header, &err), "%s", err.text);
    ck_assert_msg(hf_snapshot_writer_finish(writer, &header, &file, &bytes, &err), "%s", err.text);
    hf_snapshot_writer_free(writer);
    hf_repository_close(repository);
    return hf_arena_format(&service.arena, "%s/full/%s/%s.snapshot", mirror_directory, system, id);
}

START_TEST(only_what_provably_was_deleted_long_ago_is_removed)
{
    open_with_mirror(every_full_alone);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row own = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&own), true));
    int64_t now_ms = hf_clock_now_ms(), created_at_ms = hf_test_system(&service).created_at_ms;
    hf_test_service_stop(&service);
    const char *missed = plant(HF_TEST_NAME, "full-20200101T000000Z-1", created_at_ms, now_ms - 9 * DAY_MS);
    const char *young = plant(HF_TEST_NAME, "full-20200101T000000Z-2", created_at_ms, now_ms - 7 * DAY_MS - DAY_MS / 2);
    const char *foreign = plant(HF_TEST_NAME, "full-20200101T000000Z-3", created_at_ms - 1, now_ms - 9 * DAY_MS);
    const char *unknown = plant("nobody", "full-20200101T000000Z-4", created_at_ms, now_ms - 9 * DAY_MS);
    const char *damaged = plant(HF_TEST_NAME, "full-20200101T000000Z-5", created_at_ms, now_ms - 9 * DAY_MS);
    hf_test_damage_file(damaged, -1);
    hf_test_service_start(&service);
    ck_assert(becomes(missed, false));
    wait_until_up(true);
    ck_assert(is_there(young));
    ck_assert(is_there(foreign));
    ck_assert(is_there(unknown));
    ck_assert(is_there(damaged));
    ck_assert(is_there(mirror_path(&own)));
    close_all();
}
END_TEST

START_TEST(another_database_does_not_touch_what_it_does_not_know)
{
    open_with_mirror(every_full_alone);
    hf_test_put(&service, "a", "\"first\"");
    struct hf_snapshot_row own = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&own), true));
    hf_test_service_stop(&service);

    /* Another service, with a system of the same name, is given the same mirror by mistake. */
    struct hf_test_service first = service;
    hf_test_service_open(&service, every_full_alone);
    hf_test_put(&service, "a", "\"second\"");
    hf_test_put(&service, "a", "\"third\""); /* so that no id is the same within one second */
    hf_test_service_stop(&service);
    connect_mirror();
    hf_test_service_start(&service);
    struct hf_snapshot_row other = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&other), true));
    ck_assert_int_eq(count_asides(".orphaned-" HF_TEST_NAME "-"), 1); /* not removed, and not mixed */
    hf_test_service_close(&service);
    service = first;
    close_all();
}
END_TEST

START_TEST(a_lost_machine_comes_back_from_the_mirror)
{
    open_with_mirror(one_generation);
    bool unchanged;
    hf_test_put(&service, "a", "\"one\"");
    hf_test_put(&service, "b", "\"two\"");
    hf_test_full(&service);
    hf_test_put(&service, "a", "\"three\"");
    struct hf_snapshot_row newest = hf_test_incremental(&service, &unchanged);
    ck_assert(becomes(mirror_path(&newest), true));
    struct hf_hash before = hf_test_root_hash(&service);
    hf_test_service_stop(&service);
    remove_primary();
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "\"three\"");
    ck_assert_str_eq(hf_test_get(&service, "b"), "\"two\"");
    struct hf_hash after = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&before, &after));
    check_same(&newest);
    close_all();
}
END_TEST

START_TEST(a_file_that_is_missing_comes_back_from_the_mirror_and_is_damaged_only_without_one)
{
    open_with_mirror(every_full_alone);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row first = hf_test_full(&service), second = hf_test_full(&service), found;
    ck_assert(becomes(mirror_path(&first), true));
    ck_assert(becomes(mirror_path(&second), true));
    hf_test_service_stop(&service);
    HF_AUTO(free) char *hidden = hf_format("%s.unmounted", mirror_directory);
    hf_test_remove_outline(&service, &first);
    ck_assert_int_eq(unlink(hf_test_engine_snapshot_path(&service, &first)), 0);
    hf_test_damage_file(hf_test_engine_snapshot_path(&service, &second), -1);

    ck_assert_int_eq(rename(mirror_directory, hidden), 0);
    hf_test_service_start(&service);
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, first.id, &service.arena, &found, &err));
    ck_assert_str_eq(found.state, "damaged");
    hf_test_service_stop(&service);

    ck_assert_int_eq(rename(hidden, mirror_directory), 0);
    hf_test_service_start(&service);
    check_same(&first);
    check_same(&second);
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, first.id, &service.arena, &found, &err));
    ck_assert_str_eq(found.state, "complete");
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, second.id, &service.arena, &found, &err));
    ck_assert_str_eq(found.state, "complete");
    for (int try = 0; try < 100 && hf_test_count_events(&service, first.system_id, "snapshot.healed") < 2; try++)
        usleep(10000);
    ck_assert_int_eq(hf_test_count_events(&service, first.system_id, "snapshot.healed"), 2);
    hf_test_restore(&service, first.id);
    close_all();
}
END_TEST

START_TEST(a_deleted_system_goes_from_the_mirror_and_a_new_one_of_the_name_starts_anew)
{
    open_with_mirror(every_full_alone);
    hf_test_put(&service, "old", "1");
    struct hf_snapshot_row old = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&old), true));
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, false, &err), "%s", err.text);
    ck_assert(becomes(mirror_path(&old), false));
    hf_test_put(&service, "new", "2");
    struct hf_snapshot_row fresh = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&fresh), true));
    wait_until_up(true);
    ck_assert_int_eq(count_asides(".deleting-"), 0);
    ck_assert_int_eq(count_asides(".orphaned-"), 0);
    close_all();
}
END_TEST

START_TEST(a_system_deleted_while_the_mirror_was_away_is_not_inherited)
{
    open_with_mirror(every_full_alone);
    hf_test_put(&service, "old", "1");
    struct hf_snapshot_row old = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&old), true));
    hf_test_service_stop(&service);
    disconnect_mirror();
    hf_test_service_start(&service);
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, false, &err), "%s", err.text);
    connect_mirror();
    restart();
    ck_assert_ptr_null(hf_test_get(&service, "old")); /* known once, and deleted: it is not rebuilt */
    hf_test_put(&service, "new", "1");
    hf_test_put(&service, "new", "2"); /* so that no id is the same within one second */
    struct hf_snapshot_row fresh = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&fresh), true));
    ck_assert(!is_there(mirror_path(&old)));
    ck_assert_int_eq(count_asides(".orphaned-" HF_TEST_NAME "-"), 1);

    hf_test_service_stop(&service);
    remove_primary();
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "new"), "2");
    ck_assert_ptr_null(hf_test_get(&service, "old"));
    close_all();
}
END_TEST

START_TEST(a_rebuild_takes_back_one_of_two_systems_that_had_the_name)
{
    open_with_mirror(every_full_alone);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row own = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&own), true));
    int64_t created_at_ms = hf_test_system(&service).created_at_ms;
    hf_test_service_stop(&service);
    const char *foreign =
        plant(HF_TEST_NAME, "full-20200101T000000Z-9", created_at_ms - 5, hf_clock_now_ms() - 2 * DAY_MS);
    remove_primary();
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "1");
    struct hf_snapshot_row found;
    ck_assert(!hf_snapshot_find(service.engine, HF_TEST_NAME, "full-20200101T000000Z-9", &service.arena, &found, &err));
    ck_assert(is_there(foreign));
    close_all();
}
END_TEST

START_TEST(damage_is_mended_from_the_mirror_before_an_older_snapshot_is_chosen)
{
    open_with_mirror(every_full_alone);
    hf_test_put(&service, "a", "\"older\"");
    struct hf_snapshot_row older = hf_test_full(&service);
    hf_test_put(&service, "a", "\"newer and some more, so that there is a content to hit\"");
    struct hf_snapshot_row newer = hf_test_full(&service);
    ck_assert(becomes(mirror_path(&newer), true));
    ck_assert(becomes(mirror_path(&older), true));
    hf_test_service_stop(&service);
    hf_test_service_remove_database(&service);
    const char *path = hf_test_engine_snapshot_path(&service, &newer);
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(truncate(path, status.st_size / 2), 0);
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "\"newer and some more, so that there is a content to hit\"");
    check_same(&newer);
    ck_assert_int_ge(hf_test_count_events(&service, hf_test_system(&service).id, "snapshot.healed"), 1);
    close_all();
}
END_TEST

HF_TEST_MAIN("mirror", what_is_published_is_copied_byte_for_byte, what_was_there_before_the_mirror_is_caught_up_with,
             the_final_snapshot_is_copied_before_the_service_ends,
             a_mirror_that_is_away_is_told_of_once_never_made_and_caught_up_with_later,
             a_mirror_that_goes_away_while_the_service_runs_is_caught_up_with,
             a_mirror_in_the_place_of_the_originals_is_refused, what_is_deleted_goes_from_the_mirror_too,
             only_what_provably_was_deleted_long_ago_is_removed, another_database_does_not_touch_what_it_does_not_know,
             a_lost_machine_comes_back_from_the_mirror,
             a_file_that_is_missing_comes_back_from_the_mirror_and_is_damaged_only_without_one,
             a_deleted_system_goes_from_the_mirror_and_a_new_one_of_the_name_starts_anew,
             a_system_deleted_while_the_mirror_was_away_is_not_inherited,
             a_rebuild_takes_back_one_of_two_systems_that_had_the_name,
             damage_is_mended_from_the_mirror_before_an_older_snapshot_is_chosen);
