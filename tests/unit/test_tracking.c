/* Rows of component_state_tracking that were altered, deleted or renamed behind the service's back, on both databases:
 * after a start, or after the next validation, every state is back with its bytes and its version, it was told once,
 * and what is written from then on is whole. */
#include "core/auto.h"
#include "engine/events.h"
#include "engine/validation.h"
#include "tests/support/check_main.h"
#include "tests/support/engine.h"
#include "tests/support/postgres.h"
#include "tests/support/stores.h"
#include "tests/support/temp.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define STATES 4

static struct hf_test_service service;
static struct hf_test_store database;
static int marks_made;
static const char *const names[STATES] = {"a", "b", "c", "d"};

static void open_service(int engine)
{
    const char *flags[] = {"--cache-bytes", "1", NULL, NULL, NULL};
    marks_made = 0;
    database = (struct hf_test_store){.engine = (enum hf_test_engine)engine};
    if (engine == HF_TEST_POSTGRES) {
        database.url = hf_test_postgres_new_database(NULL);
        flags[2] = "--database-url";
        flags[3] = database.url;
    }
    hf_test_service_open(&service, flags);
    database.directory = service.directory;
}

static void close_service(void)
{
    hf_test_service_close(&service);
    free(database.url);
}

static const char *text_of(const char *name, int version)
{
    return hf_arena_format(&service.arena, "{\"%s\":%d,\"text\":\"0123456789\"}", name, version);
}

/* Two versions of each, all in a full. */
static void fill(void)
{
    for (int version = 1; version <= 2; version++) {
        for (int i = 0; i < STATES; i++)
            hf_test_put(&service, names[i], text_of(names[i], version));
    }
    hf_test_full(&service);
}

static struct hf_head head_of(const char *component)
{
    struct hf_head head;
    ck_assert_msg(hf_catalog_read_head(service.engine->catalog, HF_TEST_NAME, component, &head, NULL, NULL),
                  "there is no %s", component);
    return head;
}

/* Events are written in order: when the one emitted here is there, so are all before it. */
static int count_events(const char *type)
{
    int64_t system_id = hf_test_system(&service).id;
    int marks = 0;
    hf_event_emit(service.engine, system_id, HF_TEST_NAME, HF_EV_MIRROR_CAUGHT_UP, NULL, "a mark of the test");
    for (int expected = ++marks_made; marks < expected;)
        marks = hf_test_count_events(&service, system_id, "mirror.caught_up");
    return hf_test_count_events(&service, system_id, type);
}

static double validate(const char *id)
{
    struct hf_validation result;
    struct hf_error err;
    HF_TEST_OK(hf_validation_run(service.engine, HF_TEST_NAME, id, true, 0, &service.arena, &result, &err));
    ck_assert_str_ne(result.status, "damaged");
    return result.quality_score;
}

static void alter_stopped(const char *sql)
{
    hf_test_service_stop(&service);
    hf_test_store_alter(&database, sql);
    hf_test_service_start(&service);
}

static void expect_all(void)
{
    for (int i = 0; i < STATES; i++) {
        const char *text = hf_test_get(&service, names[i]);
        ck_assert_msg(text, "%s is gone", names[i]);
        ck_assert_str_eq(text, text_of(names[i], 2));
        struct hf_head head = head_of(names[i]);
        ck_assert_int_eq(head.version, 2);
        ck_assert_int_eq(head.bytes, (int64_t)strlen(text));
        ck_assert_int_eq(head.sequence, STATES + i + 1);
    }
}

/* Whatever was altered: mended and told once, and then there is peace. */
static void expect_mended(const char *newest)
{
    struct hf_hash root = hf_test_root_hash(&service);
    for (int round = 0; round < 2; round++) {
        expect_all();
        validate(newest);
    }
    ck_assert_int_eq(count_events("state.healed"), 1);
    ck_assert_int_eq(count_events("state.damaged"), 0);
    struct hf_snapshot_row next = hf_test_full(&service);
    ck_assert_int_eq(next.components, STATES);
    ck_assert(hf_hash_equal(&next.root_hash, &root));
    ck_assert(validate(next.id) == 1);
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    expect_all();
    validate("latest");
    ck_assert_int_eq(count_events("state.healed"), 1);
}

static void mends(int engine, const char *sql)
{
    open_service(engine);
    fill();
    alter_stopped(sql);
    expect_mended("latest");
    close_service();
}

START_TEST(state_that_its_row_calls_deleted_is_back_after_a_start)
{
    mends(_i, "UPDATE component_state_tracking SET deleted = 1 WHERE name = 'b'");
}
END_TEST

START_TEST(component_whose_row_is_gone_is_back_after_a_start)
{
    mends(_i, "DELETE FROM component_state_tracking WHERE name = 'b'");
}
END_TEST

START_TEST(newest_component_whose_row_is_gone_is_back_after_a_start)
{
    mends(_i, "DELETE FROM component_state_tracking WHERE name = 'd'");
}
END_TEST

START_TEST(component_whose_row_knows_of_no_state_is_back_after_a_start)
{
    mends(_i, "UPDATE component_state_tracking SET version = 0, sequence = 0, hash = NULL, bytes = 0 WHERE name = 'b'");
}
END_TEST

START_TEST(altered_hash_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET hash = (SELECT o.hash FROM component_states AS o WHERE sequence = 1)"
              " WHERE name = 'b'");
}
END_TEST

START_TEST(altered_length_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET bytes = 5 WHERE name = 'b'");
}
END_TEST

START_TEST(altered_version_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET version = 50 WHERE name = 'b'");
}
END_TEST

START_TEST(sequence_of_anothers_row_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET sequence = 1 WHERE name = 'b'");
}
END_TEST

START_TEST(sequence_of_anothers_newer_row_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET sequence = 7 WHERE name = 'b'");
}
END_TEST

START_TEST(sequence_that_was_never_reached_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET sequence = 999 WHERE name = 'b'");
}
END_TEST

START_TEST(head_that_is_an_older_version_of_its_own_is_mended)
{
    mends(_i, "UPDATE component_state_tracking SET version = 1, sequence = 2,"
              " hash = (SELECT o.hash FROM component_states AS o WHERE sequence = 2) WHERE name = 'b'");
}
END_TEST

START_TEST(altered_name_is_mended_by_the_next_validation)
{
    open_service(_i);
    fill();
    hf_test_service_stop(&service);
    hf_test_store_alter(&database, "UPDATE component_state_tracking SET name = 'zz' WHERE name = 'b'");
    hf_test_service_start(&service);
    validate("latest");
    ck_assert_ptr_null(hf_test_get(&service, "zz"));
    expect_mended("latest");
    close_service();
}
END_TEST

START_TEST(row_gone_above_the_last_fold_ends_no_start)
{
    open_service(_i);
    fill();
    alter_stopped("UPDATE systems SET folded_sequence = 0; DELETE FROM component_state_tracking WHERE name = 'b'");
    expect_mended("latest");
    close_service();
}
END_TEST

/* The snapshot has an older version: the name is found through the row's history, the state is the newest. */
START_TEST(newest_version_comes_back_though_the_snapshot_is_older)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", NULL});
    database = (struct hf_test_store){.engine = HF_TEST_SQLITE, .directory = service.directory};
    marks_made = 0;
    hf_test_put(&service, "a", text_of("a", 1));
    hf_test_put(&service, "b", text_of("b", 1));
    hf_test_full(&service);
    hf_test_put(&service, "b", text_of("b", 2));
    hf_test_put(&service, "b", text_of("b", 3));
    hf_test_service_crash(&service);
    hf_test_store_alter(&database, "DELETE FROM component_state_tracking WHERE name = 'b'");
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "b"), text_of("b", 3));
    ck_assert_int_eq(head_of("b").version, 3);
    ck_assert_int_eq(count_events("state.healed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(component_whose_name_nobody_knows_is_told_and_its_rows_stay)
{
    open_service(_i);
    hf_test_put(&service, "a", text_of("a", 1));
    hf_test_service_stop(&service);
    hf_test_store_alter(&database, "DELETE FROM component_state_tracking; DELETE FROM system_state_snapshots");
    hf_test_remove_tree(service.config.backup_directory);
    hf_test_service_start(&service);
    ck_assert_int_eq(count_events("state.healed"), 0);
    ck_assert_int_eq(count_events("state.damaged"), 1);
    hf_test_put(&service, "new", text_of("new", 1));
    struct hf_component_info info;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "new", &service.arena, &info));
    ck_assert_int_eq(info.component_id, 2); /* number 1 stays that of the lost one */
    close_service();
}
END_TEST

/* A tombstone or a newer version that came after the snapshot is no damage, nor is a missing row of a sound head. */
START_TEST(what_later_rows_explain_is_left_alone)
{
    open_service(_i);
    fill();
    hf_test_delete(&service, "b");
    hf_test_put(&service, "c", text_of("c", 3));
    validate("latest");
    ck_assert_ptr_null(hf_test_get(&service, "b"));
    alter_stopped("UPDATE component_state_tracking SET deleted = deleted");
    struct hf_snapshot_row oldest = {0};
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_error err;
    HF_TEST_OK(hf_snapshot_find(service.engine, HF_TEST_NAME, "latest", &arena, &oldest, &err));
    validate(oldest.id);
    ck_assert_ptr_null(hf_test_get(&service, "b"));
    ck_assert_str_eq(hf_test_get(&service, "c"), text_of("c", 3));
    ck_assert_int_eq(count_events("state.healed"), 0);
    close_service();
}
END_TEST

START_TEST(lost_row_of_a_sound_head_is_healed_as_a_row)
{
    open_service(_i);
    fill();
    alter_stopped("DELETE FROM component_states WHERE sequence = 6");
    ck_assert_int_eq(head_of("b").sequence, 6);
    expect_mended("latest");
    close_service();
}
END_TEST

HF_TEST_STORE_MAIN("tracking", state_that_its_row_calls_deleted_is_back_after_a_start,
                   component_whose_row_is_gone_is_back_after_a_start,
                   newest_component_whose_row_is_gone_is_back_after_a_start,
                   component_whose_row_knows_of_no_state_is_back_after_a_start, altered_hash_is_mended,
                   altered_length_is_mended, altered_version_is_mended, sequence_of_anothers_row_is_mended,
                   sequence_of_anothers_newer_row_is_mended, sequence_that_was_never_reached_is_mended,
                   head_that_is_an_older_version_of_its_own_is_mended, altered_name_is_mended_by_the_next_validation,
                   row_gone_above_the_last_fold_ends_no_start, newest_version_comes_back_though_the_snapshot_is_older,
                   component_whose_name_nobody_knows_is_told_and_its_rows_stay, what_later_rows_explain_is_left_alone,
                   lost_row_of_a_sound_head_is_healed_as_a_row);
