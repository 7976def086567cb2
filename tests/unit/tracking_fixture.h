/* A system on either database, each state of it in a full, whose rows of component_state_tracking are altered, deleted
 * or renamed behind the service's back: after a start, or after the next validation, every state is back with its bytes
 * and its version, it was told once, and what is written from then on is whole. */
#ifndef HF_TESTS_TRACKING_FIXTURE_H
#define HF_TESTS_TRACKING_FIXTURE_H

#include "engine/validation.h"
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
static const char *const names[STATES] = {"a", "b", "c", "d"};

static void open_service(int engine)
{
    const char *flags[] = {"--cache-bytes", "1", NULL, NULL, NULL};
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

static int count_events(const char *type)
{
    return hf_test_count_events_so_far(&service, hf_test_system(&service).id, type);
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

#endif
