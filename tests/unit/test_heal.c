/* Rows of the primary database that were damaged, altered or lost behind the service's back, on SQLite: what is read is
 * right or nothing, and the rows are written again from the copies that are left. */
#include "engine/heal.h"
#include "tests/support/altered_rows.h"
#include "tests/support/check_main.h"
#include "tests/support/engine.h"
#include "tests/support/stores.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LARGE_BYTES 200000 /* in chunks */

static struct hf_test_service service;

/* Bodies as good as never stay in memory, so that reads go to the database. */
static void open_service(void)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", NULL});
}

static void restart_service(void)
{
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
}

static const char *large_text(char letter)
{
    char *text = hf_arena_alloc(&service.arena, LARGE_BYTES + 3);
    memset(text, letter, LARGE_BYTES + 2);
    text[0] = text[LARGE_BYTES + 1] = '"';
    text[LARGE_BYTES + 2] = '\0';
    return text;
}

static bool is_damaged(const char *component)
{
    struct hf_component_info info;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, component, &service.arena, &info));
    return info.damaged;
}

static void expect_refused(const char *component, struct hf_error *err)
{
    const struct hf_moment latest = {.kind = HF_MOMENT_LATEST};
    struct hf_state state = {0};
    ck_assert(!hf_state_read(service.engine, HF_TEST_NAME, component, &latest, &state, err));
    ck_assert_ptr_null(state.body);
    ck_assert_int_eq(err->code, HF_DAMAGED);
}

static int count_events(const char *type)
{
    return hf_test_count_events_so_far(&service, hf_test_system(&service).id, type);
}

/* As one who means it would: content, length and hash agree. */
static char *forge(int64_t sequence, const char *text)
{
    struct hf_hash hash;
    char hex[2 * HF_HASH_BYTES + 1];
    hf_hash_of(text, strlen(text), &hash);
    for (int i = 0; i < HF_HASH_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash.bytes[i]);
    return hf_arena_format(&service.arena,
                           "UPDATE component_states SET content = CAST('%s' AS BLOB), hash = x'%s', bytes = %zu"
                           " WHERE sequence = %lld",
                           text, hex, strlen(text), (long long)sequence);
}

static void heals_damage_of(const char *table, const char *text)
{
    open_service();
    hf_test_put(&service, "a", text);
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_full(&service);
    int64_t sequence = hf_test_sequence_of(&service, "a");
    hf_test_alter(&service, hf_test_flip_content(&service, table, sequence));
    ck_assert_int_eq(hf_test_row_condition(&service, sequence, "a", 1, text), HF_ROW_ALTERED);
    ck_assert_str_eq(hf_test_get(&service, "a"), text);
    ck_assert_int_eq(hf_test_row_condition(&service, sequence, "a", 1, text), HF_ROW_SOUND);
    ck_assert(!is_damaged("a"));
    ck_assert_str_eq(hf_test_get(&service, "a"), text);
    ck_assert_int_eq(count_events("state.healed"), 1);
    hf_test_service_close(&service);
}

START_TEST(damaged_row_is_answered_and_written_again_from_a_snapshot)
{
    heals_damage_of("component_states", "{\"a\":\"0123456789\"}");
}
END_TEST

START_TEST(damaged_chunk_is_answered_and_written_again_from_a_snapshot)
{
    open_service(); /* for its arena */
    const char *text = strdup(large_text('l'));
    hf_test_service_close(&service);
    heals_damage_of("state_chunks", text);
    free((void *)text);
}
END_TEST

START_TEST(lost_row_comes_back_with_its_history)
{
    enum hf_code code;
    open_service();
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_full(&service);
    int64_t sequence = hf_test_sequence_of(&service, "a");
    char *sql =
        hf_arena_format(&service.arena, "DELETE FROM component_states WHERE sequence = %lld", (long long)sequence);
    hf_test_alter(&service, sql);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_int_eq(hf_test_row_condition(&service, sequence, "a", 2, "{\"a\":2}"), HF_ROW_SOUND);
    ck_assert_str_eq(hf_test_get_version(&service, "a", 1, &code), "{\"a\":1}");

    /* Also when the past is asked for first, or the list of versions. */
    hf_test_alter(&service, sql);
    ck_assert_str_eq(hf_test_get_version(&service, "a", 1, &code), "{\"a\":1}");
    hf_test_alter(&service, sql);
    struct hf_version_info *list;
    int count;
    struct hf_error err;
    HF_TEST_OK(
        hf_state_versions(service.engine, HF_TEST_NAME, "a", INT64_MAX, 10, &service.arena, &list, &count, &err));
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(count_events("state.healed"), 3);
    ck_assert_int_eq(hf_test_get_version(&service, "a", 3, &code) == NULL && code == HF_NOT_FOUND, 1);
    restart_service();
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(forged_row_is_found_by_the_head_in_memory)
{
    open_service();
    hf_test_put(&service, "a", "{\"a\":\"true\"}");
    restart_service(); /* the head comes from its row, and the final snapshot holds the content */
    hf_test_alter(&service, forge(hf_test_sequence_of(&service, "a"), "{\"a\":\"forged\"}"));
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"true\"}");
    ck_assert_int_eq(hf_test_row_condition(&service, hf_test_sequence_of(&service, "a"), "a", 1, "{\"a\":\"true\"}"),
                     HF_ROW_SOUND);
    ck_assert_int_eq(count_events("state.healed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(row_that_says_it_was_deleted_is_found_too)
{
    open_service();
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    hf_test_alter(&service, "UPDATE component_states SET deleted = 1, content = NULL");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_int_eq(count_events("state.healed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_retention_deleted_does_not_come_back)
{
    open_service();
    hf_test_put(&service, "a", "{\"a\":\"old\"}");
    struct hf_state_row expected = {.system_id = hf_test_system(&service).id,
                                    .sequence = hf_test_sequence_of(&service, "a"),
                                    .version = 1,
                                    .bytes = 11,
                                    .content_type = "application/json"};
    hf_hash_of("{\"a\":\"old\"}", 11, &expected.hash);
    hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"new\"}");
    hf_test_alter(&service, hf_arena_format(&service.arena, "DELETE FROM component_states WHERE sequence = %lld",
                                            (long long)expected.sequence));
    struct hf_blob *blob = NULL;
    struct hf_error err;
    HF_TEST_OK(
        hf_heal_state(service.engine, HF_TEST_NAME, "a", &expected, "a test says so", HF_HEAL_SOON, &blob, &err));
    ck_assert_mem_eq(blob->data, "{\"a\":\"old\"}", 11);
    hf_blob_unref(blob);
    ck_assert_int_eq(hf_test_row_condition(&service, expected.sequence, "a", 1, "{\"a\":\"old\"}"), HF_ROW_MISSING);
    hf_test_service_close(&service);
}
END_TEST

static void *read_code(void *component)
{
    static const struct hf_moment latest = {.kind = HF_MOMENT_LATEST};
    struct hf_state state = {0};
    struct hf_error err = {0};
    bool ok = hf_state_read(service.engine, HF_TEST_NAME, component, &latest, &state, &err);
    hf_blob_unref(state.body);
    return (void *)(intptr_t)(ok ? HF_OK : err.code);
}

START_TEST(a_reader_does_not_wait_long_for_another_ones_healing)
{
    static const char *const names[] = {"a", "b"};
    pthread_t threads[2];
    void *codes[2];
    setenv("HOLDFAST_FAULT", "heal_turn:sleep=4000", 1);
    open_service();
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_full(&service);
    for (int i = 0; i < 2; i++)
        hf_test_alter(&service,
                      hf_test_flip_content(&service, "component_states", hf_test_sequence_of(&service, names[i])));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_code, (void *)(uintptr_t)names[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &codes[i]);
    int first = (int)(intptr_t)codes[0], second = (int)(intptr_t)codes[1];
    ck_assert_msg((first == HF_OK && second == HF_OVERLOADED) || (first == HF_OVERLOADED && second == HF_OK), "%s, %s",
                  hf_code_name((enum hf_code)first), hf_code_name((enum hf_code)second));
    ck_assert_str_eq(hf_test_get(&service, first == HF_OK ? "b" : "a"), first == HF_OK ? "{\"b\":1}" : "{\"a\":1}");
    unsetenv("HOLDFAST_FAULT");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(without_a_copy_nothing_is_answered_and_it_is_told_once)
{
    struct hf_error err;
    open_service();
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", hf_test_sequence_of(&service, "a")));
    expect_refused("a", &err);
    ck_assert_msg(strstr(err.text, "version 1 of component a"), "%s", err.text);
    ck_assert_msg(strstr(err.text, "upload it again"), "%s", err.text);
    ck_assert(is_damaged("a"));
    expect_refused("a", &err);
    ck_assert_int_eq(count_events("state.damaged"), 1);
    ck_assert_int_eq(hf_test_put(&service, "a", "{\"a\":1}"), 2);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert(!is_damaged("a"));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(snapshot_is_taken_of_what_was_stored_not_of_what_was_made_of_it)
{
    open_service();
    hf_test_put(&service, "a", "{\"a\":\"true\"}");
    hf_test_put(&service, "b", "{\"b\":\"true\"}");
    hf_test_put(&service, "c", "{\"c\":\"true\"}");
    hf_test_full(&service);
    hf_test_put(&service, "d", "{\"c\":\"true\"}");
    hf_test_alter(&service, forge(hf_test_sequence_of(&service, "a"), "{\"a\":\"forged\"}"));
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", hf_test_sequence_of(&service, "b")));
    hf_test_alter(&service, hf_arena_format(&service.arena, "DELETE FROM component_states WHERE sequence = %lld",
                                            (long long)hf_test_sequence_of(&service, "c")));
    struct hf_snapshot_row row = hf_test_full(&service);
    struct hf_hash now = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&row.root_hash, &now));
    struct hf_chain *chain;
    struct hf_error err;
    HF_TEST_OK(hf_chain_load(&chain, service.engine->repository, HF_TEST_NAME, row.id, &err));
    struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_chain_read(chain, hf_chain_find(chain, "a"), &blob, &err));
    ck_assert_mem_eq(blob->data, "{\"a\":\"true\"}", 12);
    hf_blob_unref(blob);
    hf_chain_free(chain);
    hf_test_service_close(&service);
}
END_TEST

/* Every full is an anchor, so that all contents are read again. */
START_TEST(snapshot_heals_the_rows_that_it_reads)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", "--anchor-interval", "0", NULL});
    hf_test_put(&service, "a", "{\"a\":\"true\"}");
    hf_test_put(&service, "b", "{\"b\":\"true\"}");
    hf_test_full(&service);
    hf_test_put(&service, "c", "{\"c\":\"true\"}");
    int64_t a = hf_test_sequence_of(&service, "a");
    hf_test_alter(&service, forge(a, "{\"a\":\"forged\"}"));
    hf_test_full(&service);
    ck_assert_int_eq(hf_test_row_condition(&service, a, "a", 1, "{\"a\":\"true\"}"), HF_ROW_SOUND);
    ck_assert_int_eq(count_events("state.healed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(restore_from_history_heals_what_it_needs)
{
    open_service();
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    int64_t first = hf_test_sequence_of(&service, "a");
    hf_test_full(&service);
    int64_t then_ms = hf_test_system(&service).committed_at_ms;
    while (hf_test_put(&service, "a", "{\"a\":\"second\"}") && hf_test_system(&service).committed_at_ms == then_ms)
        hf_test_put(&service, "a", "{\"a\":\"between\"}");
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", first));
    struct hf_recovery_request request = {.system = HF_TEST_NAME, .source = "at", .at_ms = then_ms};
    struct hf_recovery_row row;
    struct hf_error err;
    HF_TEST_OK(hf_recovery_run(service.engine, &request, &service.arena, &row, &err));
    ck_assert_str_eq(row.snapshot, ""); /* from history */
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"first\"}");
    ck_assert_int_eq(hf_test_row_condition(&service, first, "a", 1, "{\"a\":\"first\"}"), HF_ROW_SOUND);
    hf_test_service_close(&service);
}
END_TEST

/* Writes garbage over every page of the database file that holds nothing but this component's content. */
static int corrupt_pages(char letter)
{
    enum { PAGE = 16384 };
    int count = 0;
    static unsigned char page[PAGE];
    FILE *file = fopen(hf_test_service_path(&service, "holdfast.db"), "r+b");
    ck_assert_ptr_nonnull(file);
    for (long at = 0; fread(page, 1, PAGE, file) == PAGE; at += PAGE) {
        int same = 0;
        for (int i = 4; i < PAGE; i++) /* the first four lead to the next page */
            same += page[i] == (unsigned char)letter;
        if (same < PAGE - 8)
            continue;
        memset(page, 0xee, PAGE);
        ck_assert_int_eq(fseek(file, at, SEEK_SET), 0);
        ck_assert_uint_eq(fwrite(page, 1, PAGE, file), PAGE);
        ck_assert_int_eq(fseek(file, at + PAGE, SEEK_SET), 0);
        count++;
    }
    ck_assert_int_eq(fclose(file), 0);
    return count;
}

START_TEST(corrupt_pages_are_read_around_and_rebuilt_at_the_next_start)
{
    open_service();
    const char *x = large_text('x'), *y = large_text('y');
    hf_test_put(&service, "x", x);
    hf_test_put(&service, "y", y);
    hf_test_put(&service, "small", "{\"small\":1}");
    hf_test_full(&service);
    restart_service(); /* the log is in the file now, and nothing of it in memory */
    ck_assert_int_gt(corrupt_pages('x'), 0);
    ck_assert_int_gt(corrupt_pages('y'), 0);
    ck_assert_str_eq(hf_test_get(&service, "x"), x);
    ck_assert_str_eq(hf_test_get(&service, "x"), x);
    ck_assert_str_eq(hf_test_get(&service, "y"), y);
    ck_assert_str_eq(hf_test_get(&service, "small"), "{\"small\":1}");
    ck_assert_int_eq(hf_test_count_events_so_far(&service, 0, "database.damaged"), 1);
    hf_test_put(&service, "later", "{\"later\":1}");
    hf_test_service_stop(&service); /* its final snapshot reads around the pages, too */
    hf_test_service_start(&service);
    ck_assert_int_eq(hf_test_count_events(&service, hf_test_system(&service).id, "database.rebuilt") +
                             hf_test_count_events(&service, 0, "database.rebuilt") >
                         0,
                     1);
    ck_assert_str_eq(hf_test_get(&service, "x"), x);
    ck_assert_str_eq(hf_test_get(&service, "y"), y);
    ck_assert_str_eq(hf_test_get(&service, "later"), "{\"later\":1}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(bytes_are_right_though_the_row_cannot_be_written)
{
    open_service();
    hf_test_put(&service, "a", "{\"a\":\"0123456789\"}");
    hf_test_full(&service);
    int64_t sequence = hf_test_sequence_of(&service, "a");
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", sequence));
    hf_test_alter(&service,
                  "CREATE TRIGGER no BEFORE DELETE ON component_states BEGIN SELECT RAISE(ABORT, 'not now'); END");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"0123456789\"}");
    ck_assert_int_eq(hf_test_row_condition(&service, sequence, "a", 1, "{\"a\":\"0123456789\"}"), HF_ROW_ALTERED);
    hf_test_alter(&service, "DROP TRIGGER no");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"0123456789\"}");
    ck_assert_int_eq(hf_test_row_condition(&service, sequence, "a", 1, "{\"a\":\"0123456789\"}"), HF_ROW_SOUND);
    ck_assert_int_eq(count_events("state.healed"), 1);
    hf_test_service_close(&service);
}
END_TEST

static void *read_once(void *argument)
{
    struct hf_moment latest = {.kind = HF_MOMENT_LATEST};
    struct hf_state state = {0};
    struct hf_error err;
    const char *expected = argument;
    bool ok = hf_state_read(service.engine, HF_TEST_NAME, "a", &latest, &state, &err) &&
              state.body->bytes == strlen(expected) && memcmp(state.body->data, expected, state.body->bytes) == 0;
    hf_blob_unref(state.body);
    return ok ? argument : NULL;
}

START_TEST(many_readers_at_once_heal_once)
{
    enum { READERS = 6 };
    static char expected[] = "{\"a\":\"0123456789\"}";
    pthread_t readers[READERS];
    open_service();
    hf_test_put(&service, "a", expected);
    hf_test_full(&service);
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", hf_test_sequence_of(&service, "a")));
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_once, expected), 0);
    for (int i = 0; i < READERS; i++) {
        void *answer;
        ck_assert_int_eq(pthread_join(readers[i], &answer), 0);
        ck_assert_ptr_eq(answer, expected);
    }
    ck_assert_int_eq(count_events("state.healed"), 1);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("heal", damaged_row_is_answered_and_written_again_from_a_snapshot,
             damaged_chunk_is_answered_and_written_again_from_a_snapshot, lost_row_comes_back_with_its_history,
             forged_row_is_found_by_the_head_in_memory, row_that_says_it_was_deleted_is_found_too,
             what_retention_deleted_does_not_come_back, a_reader_does_not_wait_long_for_another_ones_healing,
             without_a_copy_nothing_is_answered_and_it_is_told_once,
             snapshot_is_taken_of_what_was_stored_not_of_what_was_made_of_it, snapshot_heals_the_rows_that_it_reads,
             restore_from_history_heals_what_it_needs, corrupt_pages_are_read_around_and_rebuilt_at_the_next_start,
             bytes_are_right_though_the_row_cannot_be_written, many_readers_at_once_heal_once);
