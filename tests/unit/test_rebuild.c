/* The service without its database: what comes back, what does not, and what is said. */
#include "core/auto.h"
#include "tests/support/engine.h"
#include "tests/support/recoveries.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct hf_test_service service;
static struct hf_error err;

static void overwrite_database(void)
{
    FILE *file = fopen(hf_test_service_path(&service, "holdfast.db"), "w");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < 5000; i++)
        fputs("this was a database ", file);
    fclose(file);
    unlink(hf_test_service_path(&service, "holdfast.db-wal"));
    unlink(hf_test_service_path(&service, "holdfast.db-shm"));
}

/* a at version 2, b, a tombstone, a registration; a full and an incremental; then one change that no snapshot holds. */
static void fill(struct hf_snapshot_row *full, struct hf_snapshot_row *incremental)
{
    bool unchanged;
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_put(&service, "gone", "1");
    hf_test_delete(&service, "gone");
    hf_test_register(&service, "b", "agent", "a", 5000);
    *full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    *incremental = hf_test_incremental(&service, &unchanged);
    hf_test_put(&service, "b", "{\"b\":\"lost\"}");
}

static void check_rebuilt(const struct hf_snapshot_row *from)
{
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":1}");
    ck_assert_ptr_null(hf_test_get(&service, "gone"));
    struct hf_hash root = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &from->root_hash));
    struct hf_system_info system = hf_test_system(&service);
    ck_assert_int_eq(system.sequence, from->sequence);
    ck_assert_int_eq(system.epoch, from->epoch + 1);
    struct hf_component_info b;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "b", &service.arena, &b));
    ck_assert_str_eq(b.registration.kind, "agent");
    ck_assert_int_eq(b.registration.depends_on_count, 1);
    ck_assert_int_eq(b.registration.heartbeat_interval_ms, 5000);
    struct hf_recovery_row row = hf_test_newest_recovery(&service);
    ck_assert_str_eq(row.status, "applied");
    ck_assert_str_eq(row.snapshot, from->id);
    ck_assert_int_ge(hf_test_count_events(&service, system.id, "database.rebuilt"), 1);
}

static const char *validation_of(const struct hf_snapshot_row *row)
{
    struct hf_snapshot_row found;
    ck_assert_msg(hf_snapshot_find(service.engine, HF_TEST_NAME, row->id, &service.arena, &found, &err), "%s",
                  err.text);
    return found.validation_status;
}

START_TEST(the_snapshots_that_came_back_are_validated_without_another_start)
{
    struct hf_snapshot_row full, incremental;
    hf_test_service_open(&service, NULL);
    fill(&full, &incremental);
    hf_test_service_crash(&service);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    for (int i = 0;
         i < 500 && (strcmp(validation_of(&full), "valid") != 0 || strcmp(validation_of(&incremental), "valid") != 0);
         i++)
        usleep(10000);
    ck_assert_str_eq(validation_of(&full), "valid");
    ck_assert_str_eq(validation_of(&incremental), "valid");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_missing_database_comes_back_from_the_newest_chain)
{
    struct hf_snapshot_row full, incremental;
    hf_test_service_open(&service, NULL);
    fill(&full, &incremental);
    hf_test_service_crash(&service);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    check_rebuilt(&incremental);
    /* Versions and files go on. */
    ck_assert_int_eq(hf_test_put(&service, "a", "{\"a\":3}"), 3);
    bool unchanged;
    struct hf_snapshot_row next = hf_test_incremental(&service, &unchanged);
    ck_assert_str_eq(next.kind, "incremental");
    ck_assert_str_eq(next.parent, incremental.id);
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":3}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_damaged_database_is_set_aside_and_rebuilt)
{
    struct hf_snapshot_row full, incremental;
    hf_test_service_open(&service, NULL);
    fill(&full, &incremental);
    hf_test_service_crash(&service);
    overwrite_database();
    hf_test_service_start(&service);
    check_rebuilt(&incremental);
    ck_assert_int_eq(hf_test_count_set_aside(&service), 1);
    ck_assert_ptr_nonnull(strstr(hf_test_newest_recovery(&service).reason, "damaged"));
    hf_test_service_close(&service);
}
END_TEST

/* Beyond mending: the manifest is lost, and there is no other copy. */
static void ruin(const struct hf_snapshot_row *row)
{
    hf_test_remove_outline(&service, row);
    const char *path = hf_test_engine_snapshot_path(&service, row);
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(truncate(path, status.st_size / 2), 0);
}

START_TEST(a_damaged_newest_snapshot_makes_way_for_the_one_before)
{
    struct hf_snapshot_row full, incremental;
    hf_test_service_open(&service, NULL);
    fill(&full, &incremental);
    hf_test_service_crash(&service);
    ruin(&incremental);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    struct hf_recovery_row row = hf_test_newest_recovery(&service);
    ck_assert_str_eq(row.snapshot, full.id);
    ck_assert_ptr_nonnull(strstr(row.detail, incremental.id));
    struct hf_snapshot_row marked;
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, incremental.id, &service.arena, &marked, &err));
    ck_assert_str_eq(marked.state, "damaged");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_flipped_byte_in_a_state_is_mended_before_anything_is_believed)
{
    struct hf_snapshot_row full, incremental;
    const char *const flags[] = {"--anchor-interval", "0", NULL};
    hf_test_service_open(&service, flags);
    fill(&full, &incremental);
    struct hf_snapshot_row second = hf_test_full(&service);
    ck_assert_str_eq(second.generation, second.id);
    hf_test_service_crash(&service);
    hf_test_damage_file(hf_test_engine_snapshot_path(&service, &second), 250);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    struct hf_recovery_row row = hf_test_newest_recovery(&service);
    ck_assert_str_eq(row.snapshot, second.id); /* from the content of another generation */
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":\"lost\"}");
    ck_assert_int_eq(hf_test_count_events(&service, hf_test_system(&service).id, "snapshot.healed"), 1);
    ck_assert_ptr_null(strstr(row.detail, second.id)); /* nothing was passed over */
    hf_test_service_close(&service);
}
END_TEST

START_TEST(too_old_a_snapshot_means_a_fresh_start_that_keeps_the_files)
{
    struct hf_snapshot_row full, incremental;
    const char *const flags[] = {"--recovery-max-age", "1000", NULL};
    hf_test_service_open(&service, flags);
    fill(&full, &incremental);
    hf_test_service_crash(&service);
    hf_test_service_remove_database(&service);
    usleep(1100000);
    hf_test_service_start(&service);
    ck_assert_ptr_null(hf_test_get(&service, "a"));
    struct hf_system_info system = hf_test_system(&service);
    ck_assert_int_ge(system.sequence, incremental.sequence);
    ck_assert_int_gt(system.epoch, incremental.epoch);
    ck_assert_int_eq(system.components, 0);
    ck_assert_str_eq(hf_test_newest_recovery(&service).status, "fresh");
    ck_assert_int_eq(hf_test_service_count_files(&service, "system-state-backups"), 1);
    ck_assert_int_eq(hf_test_service_count_files(&service, "incremental-state"), 1);
    ck_assert_int_ge(hf_test_count_events(&service, system.id, "recovery.fresh_start"), 1);

    /* What the message tells the operator to do. */
    struct hf_recovery_row row = hf_test_restore(&service, incremental.id);
    ck_assert_str_eq(row.status, "applied");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":1}");
    struct hf_hash root = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &incremental.root_hash));
    struct hf_component_info b;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "b", &service.arena, &b));
    ck_assert_str_eq(b.registration.kind, "agent");
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(when_all_files_are_damaged_the_start_is_fresh_and_above_them)
{
    struct hf_snapshot_row full, incremental;
    hf_test_service_open(&service, NULL);
    fill(&full, &incremental);
    hf_test_service_crash(&service);
    ruin(&full);
    ruin(&incremental);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    ck_assert_ptr_null(hf_test_get(&service, "a"));
    ck_assert_int_ge(hf_test_system(&service).sequence, incremental.sequence);
    ck_assert_int_gt(hf_test_system(&service).epoch, 1);
    ck_assert_str_eq(hf_test_newest_recovery(&service).status, "fresh");
    ck_assert_int_eq(hf_test_put(&service, "a", "{\"a\":1}"), 1);
    bool unchanged;
    struct hf_snapshot_row next = hf_test_incremental(&service, &unchanged);
    ck_assert_str_eq(next.kind, "full");
    ck_assert_str_eq(next.generation, next.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_whole_database_is_left_alone)
{
    struct hf_snapshot_row full, incremental;
    hf_test_service_open(&service, NULL);
    fill(&full, &incremental);
    struct hf_system_info before = hf_test_system(&service);
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":\"lost\"}"); /* it is not */
    ck_assert_int_eq(hf_test_system(&service).epoch, before.epoch);
    ck_assert_int_eq(hf_test_system(&service).sequence, before.sequence);
    ck_assert_int_eq(hf_test_count_set_aside(&service), 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_rebuild_that_was_interrupted_goes_on)
{
    struct hf_snapshot_row full, incremental;
    hf_test_service_open(&service, NULL);
    fill(&full, &incremental);
    bool created;
    struct hf_system_settings settings = {NULL, -1, -1, -1};
    ck_assert(hf_system_put(service.engine, "another", &settings, &created, &err));
    hf_test_service_crash(&service);
    /* As after a kill between two systems: the marker is there, one system is not. */
    char *command = hf_format("python3 -c \"import sqlite3;c=sqlite3.connect('%s/holdfast.db');"
                              "s=c.execute('select id from systems where name=\\'shop\\'').fetchone()[0];"
                              "[c.execute('delete from '+t+' where system_id=?',(s,)) for t in "
                              "('component_states','component_state_tracking','system_state_snapshots')];"
                              "c.execute('delete from systems where id=?',(s,));c.commit();c.close()\"",
                              service.directory);
    ck_assert_int_eq(system(command), 0);
    free(command);
    FILE *marker = fopen(hf_test_service_path(&service, "holdfast.rebuilding"), "w");
    fclose(marker);
    hf_test_service_start(&service);
    check_rebuilt(&incremental);
    struct hf_system_info other;
    ck_assert(hf_catalog_read_system(service.engine->catalog, "another", &other));
    ck_assert_int_ne(access(hf_test_service_path(&service, "holdfast.rebuilding"), F_OK), 0);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("rebuild", a_missing_database_comes_back_from_the_newest_chain,
             the_snapshots_that_came_back_are_validated_without_another_start,
             a_damaged_database_is_set_aside_and_rebuilt, a_damaged_newest_snapshot_makes_way_for_the_one_before,
             a_flipped_byte_in_a_state_is_mended_before_anything_is_believed,
             too_old_a_snapshot_means_a_fresh_start_that_keeps_the_files,
             when_all_files_are_damaged_the_start_is_fresh_and_above_them, a_whole_database_is_left_alone,
             a_rebuild_that_was_interrupted_goes_on);
