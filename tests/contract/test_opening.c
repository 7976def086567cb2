/* Opening a database: schemas, claims to it, and what is refused, on both engines. */
#include "core/auto.h"
#include "tests/support/stores.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define OPENERS 4

static struct hf_test_store test;

static bool open_store(bool *created_out, struct hf_error *err)
{
    struct hf_store *store = NULL;
    bool ok = hf_store_open(&store, &test.options, created_out, err);
    hf_store_close(store);
    return ok;
}

START_TEST(empty_place_is_said_to_be_created_once)
{
    struct hf_error err;
    hf_test_store_place(&test, (enum hf_test_engine)_i);
    bool created = false;
    HF_TEST_OK(open_store(&created, &err));
    ck_assert(created);
    HF_TEST_OK(open_store(&created, &err));
    ck_assert(!created);
    hf_test_store_done(&test);
}
END_TEST

START_TEST(engine_tells_its_name)
{
    static const char *const names[] = {"sqlite", "postgres"};
    hf_test_store_place(&test, (enum hf_test_engine)_i);
    hf_test_store_open(&test);
    ck_assert_str_eq(hf_store_engine(test.store), names[_i]);
    hf_test_store_done(&test);
}
END_TEST

struct opener {
    pthread_t thread;
    bool ok;
    struct hf_error err;
};

static void *open_in_thread(void *context)
{
    struct opener *opener = context;
    opener->ok = open_store(NULL, &opener->err);
    return NULL;
}

START_TEST(files_of_a_new_database_are_the_owners_alone)
{
    if (_i != HF_TEST_SQLITE)
        return;
    hf_test_store_place(&test, HF_TEST_SQLITE);
    mode_t mask = umask(0);
    hf_test_store_open(&test);
    hf_test_store_add_system(&test);
    umask(mask);
    static const char *const names[] = {"holdfast.db", "holdfast.db-wal", "holdfast.db-shm"};
    for (int i = 0; i < 3; i++) {
        HF_AUTO(free) char *path = hf_format("%s/%s", test.directory, names[i]);
        struct stat status;
        ck_assert_msg(stat(path, &status) == 0, "%s is missing", path);
        ck_assert_int_eq(status.st_mode & 07777, 0600);
    }
    hf_test_store_done(&test);
}
END_TEST

START_TEST(several_may_open_a_new_database_at_once)
{
    struct opener openers[OPENERS];
    hf_test_store_place(&test, (enum hf_test_engine)_i);
    for (int i = 0; i < OPENERS; i++)
        ck_assert_int_eq(pthread_create(&openers[i].thread, NULL, open_in_thread, &openers[i]), 0);
    for (int i = 0; i < OPENERS; i++)
        ck_assert_int_eq(pthread_join(openers[i].thread, NULL), 0);
    for (int i = 0; i < OPENERS; i++)
        ck_assert_msg(openers[i].ok, "%s", openers[i].err.text);
    hf_test_store_open(&test);
    hf_test_store_add_system(&test);
    hf_test_store_done(&test);
}
END_TEST

static void expect_refusal(const char *change)
{
    struct hf_error err;
    HF_TEST_OK(open_store(NULL, &err));
    hf_test_store_alter(&test, change);
    HF_TEST_FAILS(HF_CONFIG, open_store(NULL, &err));
    HF_TEST_FAILS(HF_CONFIG, open_store(NULL, &err)); /* the refusal changed nothing */
}

START_TEST(newer_schema_is_refused)
{
    hf_test_store_place(&test, (enum hf_test_engine)_i);
    expect_refusal("INSERT INTO schema_migrations (number, name, checksum, applied_at_ms)"
                   " VALUES (9999, 'future', 'abc', 1)");
    hf_test_store_done(&test);
}
END_TEST

START_TEST(schema_from_other_files_is_refused)
{
    hf_test_store_place(&test, (enum hf_test_engine)_i);
    expect_refusal("UPDATE schema_migrations SET checksum = 'abc' WHERE number = 1");
    hf_test_store_done(&test);
}
END_TEST

START_TEST(failed_migration_leaves_nothing)
{
    struct hf_error err;
    hf_test_store_place(&test, (enum hf_test_engine)_i);
    HF_TEST_OK(open_store(NULL, &err));
    /* As if the first migration had to run on a database that already has one of its later tables. */
    hf_test_store_alter(&test, "DELETE FROM schema_migrations; DROP TABLE systems; DROP TABLE component_states;"
                               " DROP TABLE state_chunks; DROP TABLE component_state_tracking");
    ck_assert(!open_store(NULL, &err));
    hf_test_store_alter(&test, "CREATE TABLE systems (id BIGINT)"); /* it was not made by the failed one */
    hf_test_store_done(&test);
}
END_TEST

START_TEST(missing_table_is_noticed_when_a_session_opens)
{
    struct hf_error err;
    hf_test_store_place(&test, (enum hf_test_engine)_i);
    HF_TEST_OK(hf_store_open(&test.store, &test.options, NULL, &err));
    hf_test_store_alter(&test, "DROP TABLE idempotency_keys");
    ck_assert(!hf_session_open(&test.read, test.store, HF_SESSION_READ, &err));
    ck_assert_msg(strstr(err.text, "system_delete_keys"), "the statement is not named: %s", err.text);
    hf_test_store_done(&test);
}
END_TEST

HF_TEST_STORE_MAIN("contract_opening", empty_place_is_said_to_be_created_once, engine_tells_its_name,
                   files_of_a_new_database_are_the_owners_alone, several_may_open_a_new_database_at_once,
                   newer_schema_is_refused, schema_from_other_files_is_refused, failed_migration_leaves_nothing,
                   missing_table_is_noticed_when_a_session_opens);
