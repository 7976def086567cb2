#include "core/clock.h"
#include "core/auto.h"
#include "engine/snapshot_private.h"
#include "engine/validation.h"
#include "tests/support/engine.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static struct hf_test_service service;

static void put_many(int count, int round)
{
    for (int i = 0; i < count; i++) {
        char name[32], text[64];
        snprintf(name, sizeof(name), "agent-%03d", i);
        snprintf(text, sizeof(text), "{\"agent\":%d,\"round\":%d}", i, round);
        hf_test_put(&service, name, text);
    }
}

START_TEST(a_full_lists_everything_and_is_an_anchor)
{
    hf_test_service_open(&service, NULL);
    put_many(20, 1);
    hf_test_put(&service, "gone", "1");
    hf_test_delete(&service, "gone");
    struct hf_snapshot_row row = hf_test_full(&service);
    ck_assert_str_eq(row.kind, "full");
    ck_assert_str_eq(row.generation, row.id);
    ck_assert_str_eq(row.parent, "");
    ck_assert_str_eq(row.state, "complete");
    ck_assert_int_eq(row.components, 20);
    ck_assert_int_eq(row.changed, 20);
    ck_assert_int_eq(row.deleted, 1);
    ck_assert_int_eq(row.sequence, 22);
    struct hf_hash root = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &row.root_hash));
    ck_assert_int_eq(access(hf_test_engine_snapshot_path(&service, &row), R_OK), 0);

    struct hf_chain *chain;
    struct hf_error err;
    ck_assert_msg(hf_chain_load(&chain, service.engine->repository, HF_TEST_NAME, row.id, &err), "%s", err.text);
    ck_assert_int_eq(hf_chain_count(chain), 21);
    ck_assert(hf_chain_find(chain, "gone")->deleted);
    hf_chain_free(chain);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(an_incremental_lists_only_what_changed)
{
    hf_test_service_open(&service, NULL);
    put_many(20, 1);
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "agent-003", "{\"changed\":1}");
    hf_test_put(&service, "agent-003", "{\"changed\":2}");
    hf_test_put(&service, "newcomer", "{\"new\":true}");
    hf_test_delete(&service, "agent-004");
    bool unchanged = true;
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    ck_assert_str_eq(row.kind, "incremental");
    ck_assert_str_eq(row.parent, full.id);
    ck_assert_str_eq(row.generation, full.id);
    ck_assert_int_eq(row.changed, 2);
    ck_assert_int_eq(row.deleted, 1);
    ck_assert_int_eq(row.components, 20);
    struct hf_hash root = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &row.root_hash));

    struct hf_chain *chain;
    struct hf_error err;
    ck_assert_msg(hf_chain_load(&chain, service.engine->repository, HF_TEST_NAME, row.id, &err), "%s", err.text);
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    ck_assert(hf_chain_read(chain, hf_chain_find(chain, "agent-003"), &blob, &err));
    ck_assert_int_eq(memcmp(blob->data, "{\"changed\":2}", blob->bytes), 0);
    ck_assert_int_eq(hf_chain_find(chain, "agent-003")->version, 3);
    hf_chain_free(chain);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(nothing_changed_makes_no_incremental)
{
    hf_test_service_open(&service, NULL);
    put_many(3, 1);
    struct hf_snapshot_row full = hf_test_full(&service);
    bool unchanged = false;
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert(unchanged);
    ck_assert_str_eq(row.id, full.id);
    ck_assert_str_eq(row.reason, hf_arena_format(&service.arena, "nothing changed since %s", full.id));
    ck_assert_int_eq(hf_test_service_count_files(&service, "incremental-state"), 0);
    struct hf_snapshot_request request = {.system = HF_TEST_NAME, .full = true, .trigger = "schedule"};
    struct hf_error err;
    unchanged = false;
    ck_assert_msg(hf_snapshot_take(service.engine, &request, &service.arena, &row, &unchanged, &err), "%s", err.text);
    ck_assert(unchanged);
    ck_assert_ptr_nonnull(strstr(row.reason, "nothing changed since"));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(an_incremental_without_a_parent_becomes_a_full_and_says_why)
{
    hf_test_service_open(&service, NULL);
    put_many(3, 1);
    bool unchanged = true;
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    ck_assert_str_eq(row.kind, "full");
    ck_assert_ptr_nonnull(strstr(row.reason, "no earlier snapshot"));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_second_full_of_the_generation_stores_no_content_twice)
{
    hf_test_service_open(&service, NULL);
    char *large = hf_alloc(200001);
    for (int i = 0; i < 200000; i++)
        large[i] = (char)('a' + (i * 7919 + i / 13) % 26);
    char *text = hf_format("\"%s\"", large);
    hf_test_put(&service, "large", text);
    struct hf_snapshot_row first = hf_test_full(&service);
    struct hf_snapshot_row second = hf_test_full(&service);
    ck_assert_str_ne(first.id, second.id);
    ck_assert_str_eq(second.generation, first.id);
    ck_assert_int_lt(second.file_bytes, 4096);
    ck_assert_int_gt(first.file_bytes, second.file_bytes);
    ck_assert(hf_hash_equal(&first.root_hash, &second.root_hash));
    free(large);
    free(text);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(with_anchor_interval_zero_every_full_stands_alone)
{
    const char *const flags[] = {"--anchor-interval", "0", NULL};
    hf_test_service_open(&service, flags);
    put_many(3, 1);
    struct hf_snapshot_row first = hf_test_full(&service);
    struct hf_snapshot_row second = hf_test_full(&service);
    ck_assert_str_eq(first.generation, first.id);
    ck_assert_str_eq(second.generation, second.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(registrations_are_part_of_a_snapshot_and_of_what_changed)
{
    hf_test_service_open(&service, NULL);
    put_many(3, 1);
    hf_test_full(&service);
    hf_test_register(&service, "agent-001", "agent", "agent-000", 1000);
    hf_test_register(&service, "promised", "agent", NULL, 0);
    bool unchanged = true;
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    ck_assert_int_eq(row.changed, 0);
    struct hf_chain *chain;
    struct hf_error err;
    ck_assert_msg(hf_chain_load(&chain, service.engine->repository, HF_TEST_NAME, row.id, &err), "%s", err.text);
    ck_assert_str_eq(hf_chain_find(chain, "agent-001")->depends_on, "[\"agent-000\"]");
    ck_assert_str_eq(hf_chain_find(chain, "agent-001")->content_type, "application/json");
    ck_assert_int_eq(hf_chain_find(chain, "agent-001")->version, 1);
    ck_assert_int_eq(hf_chain_find(chain, "promised")->version, 0);
    hf_chain_free(chain);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(an_incremental_after_a_restart_continues_the_chain)
{
    hf_test_service_open(&service, NULL);
    put_many(10, 1);
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "agent-001", "{\"before\":1}");
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    hf_test_put(&service, "agent-002", "{\"after\":1}");
    bool unchanged = true;
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert_str_eq(row.kind, "incremental");
    ck_assert_str_eq(row.parent, full.id);
    ck_assert_int_eq(row.changed, 2);
    struct hf_verify_report report;
    struct hf_error err;
    ck_assert_msg(hf_repository_verify(service.engine->repository, HF_TEST_NAME, row.id, NULL, &report, &err), "%s",
                  err.text);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(stopping_takes_a_final_full_when_something_changed)
{
    hf_test_service_open(&service, NULL);
    put_many(5, 1);
    hf_test_service_stop(&service);
    ck_assert_int_eq(hf_test_service_count_files(&service, "system-state-backups"), 1);
    hf_test_service_start(&service);
    struct hf_snapshot_row row;
    struct hf_error err;
    ck_assert_msg(hf_snapshot_find(service.engine, HF_TEST_NAME, "latest", &service.arena, &row, &err), "%s", err.text);
    ck_assert_str_eq(row.trigger, "shutdown");
    ck_assert_str_eq(row.validation_status, "valid");
    hf_test_service_stop(&service);
    ck_assert_int_eq(hf_test_service_count_files(&service, "system-state-backups"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(damage_that_stays_makes_the_next_snapshot_start_anew)
{
    /* Nothing validates, and mends, beside the test. */
    static const char *const flags[] = {"--enable-state-validation", "false", NULL};
    hf_test_service_open(&service, flags);
    put_many(30, 1);
    struct hf_snapshot_row full = hf_test_full(&service);
    struct hf_verify_report report;
    struct hf_validation verdict;
    struct hf_error err;
    ck_assert_msg(hf_validation_run(service.engine, HF_TEST_NAME, full.id, false, 0, &service.arena, &verdict, &err),
                  "%s", err.text);
    ck_assert_str_eq(verdict.status, "valid");
    ck_assert_int_eq(verdict.blobs_checked, 30);

    hf_test_remove_outline(&service, &full);
    ck_assert_int_eq(truncate(hf_test_engine_snapshot_path(&service, &full), 300), 0);
    ck_assert_msg(hf_validation_run(service.engine, HF_TEST_NAME, full.id, false, 0, &service.arena, &verdict, &err),
                  "%s", err.text);
    ck_assert_str_eq(verdict.status, "damaged");
    struct hf_snapshot_row row;
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, full.id, &service.arena, &row, &err));
    ck_assert_str_eq(row.state, "damaged");
    ck_assert_str_eq(row.validation_status, "damaged");
    ck_assert_int_ge(hf_test_count_events(&service, hf_test_system(&service).id, "snapshot.damaged"), 1);

    hf_test_put(&service, "agent-001", "{\"later\":1}");
    bool unchanged = true;
    struct hf_snapshot_row next = hf_test_incremental(&service, &unchanged);
    ck_assert_str_eq(next.kind, "full");
    ck_assert_str_eq(next.generation, next.id);
    ck_assert_msg(hf_repository_verify(service.engine->repository, HF_TEST_NAME, next.id, NULL, &report, &err), "%s",
                  err.text);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_snapshot_on_which_another_builds_is_not_deleted)
{
    hf_test_service_open(&service, NULL);
    put_many(3, 1);
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "agent-001", "{\"later\":1}");
    bool unchanged;
    struct hf_snapshot_row incremental = hf_test_incremental(&service, &unchanged);
    struct hf_error err;
    ck_assert(!hf_snapshot_delete(service.engine, HF_TEST_NAME, full.id, &err));
    ck_assert_int_eq(err.code, HF_SNAPSHOT_IN_USE);
    ck_assert_ptr_nonnull(strstr(err.text, incremental.id));

    bool pinned = true;
    ck_assert(hf_snapshot_patch(service.engine, HF_TEST_NAME, incremental.id, "keep", &pinned, &err));
    ck_assert(!hf_snapshot_delete(service.engine, HF_TEST_NAME, incremental.id, &err));
    ck_assert_int_eq(err.code, HF_SNAPSHOT_IN_USE);
    pinned = false;
    ck_assert(hf_snapshot_patch(service.engine, HF_TEST_NAME, incremental.id, NULL, &pinned, &err));

    int64_t system_id = hf_test_system(&service).id;
    ck_assert(hf_snapshot_lease(service.engine, system_id, incremental.id, &err));
    ck_assert(!hf_snapshot_delete(service.engine, HF_TEST_NAME, incremental.id, &err));
    ck_assert_int_eq(err.code, HF_SNAPSHOT_IN_USE);
    hf_snapshot_release(service.engine, system_id, incremental.id);

    ck_assert_msg(hf_snapshot_delete(service.engine, HF_TEST_NAME, incremental.id, &err), "%s", err.text);
    ck_assert_int_ne(access(hf_test_engine_snapshot_path(&service, &incremental), F_OK), 0);
    /* What was in the deleted one is in the next. */
    struct hf_snapshot_row again = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    ck_assert_str_eq(again.parent, full.id);
    ck_assert_int_eq(again.changed, 1);
    hf_test_service_close(&service);
}
END_TEST

struct writer {
    atomic_bool stop;
    atomic_int written;
};

static void *write_on(void *context)
{
    struct writer *writer = context;
    for (int i = 0; !atomic_load(&writer->stop); i++) {
        char text[64];
        snprintf(text, sizeof(text), "{\"count\":%d}", i);
        struct hf_blob *body = hf_blob_copy(text, strlen(text));
        struct hf_save_item item = {.component = "busy", .body = body, .content_type = "application/json"};
        hf_hash_of(text, strlen(text), &item.hash);
        struct hf_write write = {.system = HF_TEST_NAME, .state_epoch = -1, .items = &item, .item_count = 1};
        struct hf_error err;
        if (!hf_committer_write(service.engine->committer, &write, &err) || !write.ok)
            abort();
        hf_blob_unref(body);
        atomic_fetch_add(&writer->written, 1);
    }
    return NULL;
}

START_TEST(writers_go_on_while_snapshots_are_taken_and_each_is_consistent)
{
    hf_test_service_open(&service, NULL);
    put_many(50, 1);
    struct writer writer = {0};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &writer), 0);
    while (atomic_load(&writer.written) < 5)
        usleep(1000);
    int64_t last_sequence = 0;
    for (int i = 0; i < 8; i++) {
        bool unchanged = false;
        struct hf_snapshot_row row = i % 4 == 0 ? hf_test_full(&service) : hf_test_incremental(&service, &unchanged);
        struct hf_verify_report report;
        struct hf_error err;
        ck_assert_msg(hf_repository_verify(service.engine->repository, HF_TEST_NAME, row.id, NULL, &report, &err), "%s",
                      err.text);
        struct hf_chain *chain;
        ck_assert(hf_chain_load(&chain, service.engine->repository, HF_TEST_NAME, row.id, &err));
        ck_assert_int_le(hf_chain_find(chain, "busy")->sequence, row.sequence);
        hf_chain_free(chain);
        ck_assert_int_ge(row.sequence, last_sequence);
        last_sequence = row.sequence;
        int before = atomic_load(&writer.written);
        while (atomic_load(&writer.written) == before)
            usleep(1000);
    }
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(one_started_in_the_background_is_found_by_the_id_it_was_given)
{
    hf_test_service_open(&service, NULL);
    put_many(5, 1);
    struct hf_snapshot_request request = {.system = HF_TEST_NAME, .trigger = "manual"};
    char id[HF_SNAPSHOT_ID_MAX];
    struct hf_error err;
    ck_assert_msg(hf_snapshot_start(service.engine, &request, id, &err), "%s", err.text);
    struct hf_snapshot_row row;
    bool found = false;
    for (int i = 0; i < 500 && !found; i++) {
        found = hf_snapshot_find(service.engine, HF_TEST_NAME, id, &service.arena, &row, &err);
        if (!found)
            usleep(10000);
    }
    ck_assert(found);
    ck_assert_str_eq(row.kind, "full"); /* asked for an incremental; there was nothing to build on */
    ck_assert_int_eq(row.components, 5);
    struct hf_snapshot_progress progress;
    ck_assert(!hf_snapshot_progress(service.engine, HF_TEST_NAME, id, &progress));
    hf_test_service_close(&service);
}
END_TEST

/* Both of the same second and sequence, so that the id of the second would be that of the first. */
START_TEST(one_in_the_background_never_hides_another_of_the_same_moment)
{
    hf_test_service_open(&service, NULL);
    put_many(5, 1);
    struct hf_snapshot_request request = {
        .system = HF_TEST_NAME, .full = true, .trigger = "manual", .label = "second", .even_unchanged = true};
    struct hf_snapshot_row first, second, found;
    struct hf_error err;
    bool same = false;
    for (int i = 0; i < 20 && !same; i++) {
        char id[HF_SNAPSHOT_ID_MAX];
        first = hf_test_full(&service);
        ck_assert_msg(hf_snapshot_start(service.engine, &request, id, &err), "%s", err.text);
        bool done = false;
        for (int pause = 0; pause < 500 && !done; pause++) {
            done = hf_snapshot_find(service.engine, HF_TEST_NAME, id, &service.arena, &second, &err);
            if (!done)
                usleep(10000);
        }
        ck_assert(done);
        ck_assert_str_eq(second.label, "second");
        same = strncmp(first.id, second.id, strlen(first.id)) == 0;
        put_many(1, i + 2);
    }
    ck_assert(same);
    ck_assert_str_ne(first.id, second.id);
    ck_assert_msg(hf_snapshot_find(service.engine, HF_TEST_NAME, first.id, &service.arena, &found, &err), "%s",
                  err.text);
    ck_assert_str_eq(found.id, first.id);
    hf_test_service_close(&service);
}
END_TEST

/* Its sequence moved on while it waited: what it was announced as is by then the id of another. */
START_TEST(an_announced_id_means_the_snapshot_that_really_has_it)
{
    hf_test_service_open(&service, NULL);
    put_many(5, 1);
    struct hf_snapshot_row first = hf_test_full(&service), found;
    struct hf_snapshotter *snapshotter = service.engine->snapshotter;
    struct hf_error err;
    put_many(5, 2);
    struct hf_snapshot_row later = hf_test_full(&service);
    struct hf_system_info system;
    ck_assert(hf_catalog_read_system(service.engine->catalog, HF_TEST_NAME, &system));
    pthread_mutex_lock(&snapshotter->mutex);
    struct hf_snapshot_alias *alias = &snapshotter->aliases[0];
    alias->system_id = system.id;
    snprintf(alias->announced, sizeof(alias->announced), "%s", first.id);
    snprintf(alias->made, sizeof(alias->made), "%s", later.id);
    pthread_mutex_unlock(&snapshotter->mutex);
    ck_assert_msg(hf_snapshot_find(service.engine, HF_TEST_NAME, first.id, &service.arena, &found, &err), "%s",
                  err.text);
    ck_assert_str_eq(found.id, first.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_damaged_state_in_the_database_is_taken_from_the_snapshot_before)
{
    const char *const flags[] = {"--anchor-interval", "0", "--cache-bytes", "0", NULL};
    hf_test_service_open(&service, flags);
    put_many(5, 1);
    hf_test_full(&service);
    hf_test_service_crash(&service);
    char *command = hf_format("python3 -c \"import sqlite3;c=sqlite3.connect('%s/holdfast.db');"
                              "c.execute('update component_states set content=x\\'00\\' where component_id=2');"
                              "c.commit();c.close()\"",
                              service.directory);
    ck_assert_int_eq(system(command), 0);
    free(command);
    hf_test_service_start(&service);
    struct hf_snapshot_row row = hf_test_full(&service);
    ck_assert_str_eq(row.generation, row.id);
    struct hf_verify_report report;
    struct hf_error err;
    ck_assert_msg(hf_repository_verify(service.engine->repository, HF_TEST_NAME, row.id, NULL, &report, &err), "%s",
                  err.text);
    ck_assert_int_eq(report.blobs, 5);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("snapshot engine", a_full_lists_everything_and_is_an_anchor, an_incremental_lists_only_what_changed,
             nothing_changed_makes_no_incremental, an_incremental_without_a_parent_becomes_a_full_and_says_why,
             a_second_full_of_the_generation_stores_no_content_twice, with_anchor_interval_zero_every_full_stands_alone,
             registrations_are_part_of_a_snapshot_and_of_what_changed,
             an_incremental_after_a_restart_continues_the_chain, stopping_takes_a_final_full_when_something_changed,
             damage_that_stays_makes_the_next_snapshot_start_anew, a_snapshot_on_which_another_builds_is_not_deleted,
             writers_go_on_while_snapshots_are_taken_and_each_is_consistent,
             one_started_in_the_background_is_found_by_the_id_it_was_given,
             one_in_the_background_never_hides_another_of_the_same_moment,
             an_announced_id_means_the_snapshot_that_really_has_it,
             a_damaged_state_in_the_database_is_taken_from_the_snapshot_before);
