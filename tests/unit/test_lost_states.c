/* States whose content is lost in the database and in no other place: the snapshots of their system hold everything
 * else, say what they lack, and take it again when it is there again. */
#include "core/auto.h"
#include "engine/validation.h"
#include "tests/support/check_main.h"
#include "tests/support/engine.h"
#include "tests/support/stores.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define AGENTS 120 /* some pages */

static inline void hf_auto_chain(struct hf_chain **slot)
{
    hf_chain_free(*slot);
}

static struct hf_test_service service;

static void open_service(const char *anchor_interval)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", "--anchor-interval", anchor_interval,
                                                         "--enable-state-validation", "false", NULL});
}

static void alter(const char *sql)
{
    struct hf_test_store database = {.engine = HF_TEST_SQLITE, .directory = service.directory};
    hf_test_store_alter(&database, sql);
}

static int64_t sequence_of(const char *component)
{
    struct hf_head head;
    ck_assert(hf_catalog_read_head(service.engine->catalog, HF_TEST_NAME, component, &head, NULL, NULL));
    return head.sequence;
}

static void lose(const char *component)
{
    alter(hf_arena_format(&service.arena,
                          "UPDATE component_states SET content = CAST('lost' AS BLOB) WHERE sequence = %lld",
                          (long long)sequence_of(component)));
}

static struct hf_chain *load(const struct hf_snapshot_row *row)
{
    struct hf_chain *chain;
    struct hf_error err;
    HF_TEST_OK(hf_chain_load(&chain, service.engine->repository, HF_TEST_NAME, row->id, &err));
    HF_TEST_OK(hf_repository_verify(service.engine->repository, HF_TEST_NAME, row->id, NULL,
                                    &(struct hf_verify_report){0}, &err));
    return chain;
}

/* text NULL: the snapshot holds no present state of the component. */
static void check_holds(const struct hf_snapshot_row *row, const char *component, int64_t version, const char *text)
{
    HF_AUTO(chain) struct hf_chain *chain = load(row);
    const struct hf_manifest_entry *entry = hf_chain_find(chain, component);
    struct hf_error err;
    if (!text) {
        ck_assert(!entry || !hf_manifest_entry_is_present(entry));
        return;
    }
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    ck_assert_ptr_nonnull(entry);
    ck_assert_int_eq(entry->version, version);
    ck_assert_int_le(entry->sequence, row->sequence);
    HF_TEST_OK(hf_chain_read(chain, entry, &blob, &err));
    ck_assert_uint_eq(blob->bytes, strlen(text));
    ck_assert_mem_eq(blob->data, text, blob->bytes);
}

/* a, b, c in a full; then b and c change, d is new, and b and d are lost. */
static void lose_two(struct hf_snapshot_row *before)
{
    hf_test_put(&service, "a", "\"a1\"");
    hf_test_put(&service, "b", "\"b1\"");
    hf_test_put(&service, "c", "\"c1\"");
    *before = hf_test_full(&service);
    hf_test_put(&service, "b", "\"b2\"");
    hf_test_put(&service, "c", "\"c2\"");
    hf_test_put(&service, "d", "\"d1\"");
    lose("b");
    lose("d");
}

static void check_lacks_two(const struct hf_snapshot_row *row)
{
    check_holds(row, "a", 1, "\"a1\"");
    check_holds(row, "b", 1, "\"b1\"");
    check_holds(row, "c", 2, "\"c2\"");
    check_holds(row, "d", 0, NULL);
    ck_assert_int_eq(row->components, 3);
    ck_assert_ptr_nonnull(strstr(row->reason, "1 component is held as of an older version and 1 missing"));
    ck_assert_ptr_nonnull(strstr(row->reason, "b, d"));
}

static bool take_data(void *context, const struct hf_event_row *row)
{
    char *data = context;
    if (strcmp(row->type, "snapshot.incomplete") == 0)
        snprintf(data, 512, "%s", row->data);
    return true;
}

static const char *event_data(void)
{
    char *data = hf_arena_alloc(&service.arena, 512);
    struct hf_session *session;
    struct hf_error err;
    data[0] = '\0';
    HF_TEST_OK(hf_sessions_take(service.engine->sessions, &session, &err));
    HF_TEST_OK(hf_events_list(session, hf_test_system(&service).id, NULL, 0, 1000, take_data, data, &err));
    hf_sessions_give(service.engine->sessions, session);
    return data;
}

static void full_goes_on(const char *anchor_interval)
{
    struct hf_snapshot_row before;
    open_service(anchor_interval);
    lose_two(&before);
    struct hf_snapshot_row row = hf_test_full(&service);
    check_lacks_two(&row);
    ck_assert_int_eq(strcmp(row.generation, before.generation) == 0, strcmp(anchor_interval, "0") != 0);
    ck_assert_int_eq(hf_test_count_events(&service, row.system_id, "snapshot.incomplete"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, row.system_id, "snapshot.completed"), 1); /* the one before */
    ck_assert_str_eq(event_data(), hf_arena_format(&service.arena,
                                                   "{\"snapshot\":\"%s\",\"older\":[{\"component\":\"b\",\"version\":2,"
                                                   "\"heldVersion\":1}],\"missing\":[{\"component\":\"d\","
                                                   "\"version\":1}]}",
                                                   row.id));
    hf_test_service_close(&service);
}

START_TEST(full_in_the_generation_goes_on_past_lost_states)
{
    full_goes_on("3600000");
}
END_TEST

START_TEST(anchor_goes_on_past_lost_states_and_stands_alone)
{
    full_goes_on("0");
}
END_TEST

START_TEST(incremental_goes_on_and_takes_what_is_uploaded_again)
{
    struct hf_snapshot_row before;
    bool unchanged = true;
    open_service("3600000");
    lose_two(&before);
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    ck_assert_str_eq(row.kind, "incremental");
    check_lacks_two(&row);
    struct hf_snapshot_row again = hf_test_incremental(&service, &unchanged);
    ck_assert(unchanged);
    ck_assert_str_eq(again.id, row.id);

    hf_test_put(&service, "a", "\"a2\"");
    row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    ck_assert_str_eq(row.kind, "incremental");
    check_holds(&row, "a", 2, "\"a2\"");
    check_holds(&row, "b", 1, "\"b1\"");
    check_holds(&row, "d", 0, NULL);
    ck_assert_ptr_nonnull(strstr(row.reason, "b, d"));

    hf_test_put(&service, "b", "\"b3\"");
    hf_test_put(&service, "d", "\"d2\"");
    row = hf_test_incremental(&service, &unchanged);
    check_holds(&row, "b", 3, "\"b3\"");
    check_holds(&row, "d", 2, "\"d2\"");
    ck_assert_str_eq(row.reason, "");
    struct hf_hash root = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &row.root_hash));
    hf_test_service_close(&service);
}
END_TEST

/* The row is put right behind the service's back; nothing else changes. */
START_TEST(what_can_be_read_again_is_taken_though_nothing_changed)
{
    struct hf_snapshot_row before;
    bool unchanged;
    open_service("3600000");
    lose_two(&before);
    (void)hf_test_incremental(&service, &unchanged);
    alter(hf_arena_format(&service.arena,
                          "UPDATE component_states SET content = CAST('\"b2\"' AS BLOB) WHERE sequence = %lld",
                          (long long)sequence_of("b")));
    hf_catalog_mark_damaged(service.engine->catalog, HF_TEST_NAME, "b", false); /* as what heals it does */
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    check_holds(&row, "b", 2, "\"b2\"");
    check_holds(&row, "d", 0, NULL);
    (void)hf_test_incremental(&service, &unchanged);
    ck_assert(unchanged);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(after_a_restart_the_lost_states_are_looked_at_again)
{
    struct hf_snapshot_row before;
    bool unchanged;
    open_service("3600000");
    lose_two(&before);
    (void)hf_test_incremental(&service, &unchanged);
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    (void)hf_test_incremental(&service, &unchanged);
    ck_assert(unchanged); /* the one at the stop */
    hf_test_put(&service, "a", "\"a2\"");
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    check_holds(&row, "a", 2, "\"a2\"");
    check_holds(&row, "b", 1, "\"b1\"");
    check_holds(&row, "d", 0, NULL);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(validation_warns_of_what_a_snapshot_lacks)
{
    struct hf_snapshot_row before;
    struct hf_validation result;
    struct hf_error err;
    open_service("3600000");
    lose_two(&before);
    struct hf_snapshot_row row = hf_test_full(&service);
    for (int i = 0; i < 2; i++) {
        const char *id = i ? before.id : row.id;
        const char *status = NULL, *detail = "";
        HF_TEST_OK(hf_validation_run(service.engine, HF_TEST_NAME, id, true, 0, &service.arena, &result, &err));
        ck_assert_str_eq(result.status, "valid");
        for (int check = 0; check < result.check_count; check++) {
            if (strcmp(result.checks[check].name, "database") == 0) {
                status = result.checks[check].status;
                detail = result.checks[check].detail;
            }
        }
        ck_assert_str_eq(status, i ? "passed" : "warning");
        ck_assert_int_eq(strstr(detail, "2 of 4 states") != NULL, !i);
        ck_assert_int_eq(result.quality_score < 1, !i);
    }
    hf_test_service_close(&service);
}
END_TEST

/* Garbage over pages of the file, so that even listing the versions fails. */
static void corrupt_pages_with(const char *text)
{
    enum { PAGE = 16384 };
    static unsigned char page[PAGE];
    int found = 0;
    alter("PRAGMA wal_checkpoint(TRUNCATE)");
    FILE *file = fopen(hf_test_service_path(&service, "holdfast.db"), "r+b");
    ck_assert_ptr_nonnull(file);
    for (long at = 0; fread(page, 1, PAGE, file) == PAGE; at += PAGE) {
        if (at && (page[0] == 13 || page[0] == 10) && memmem(page, PAGE, text, strlen(text))) { /* a leaf */
            memset(page, 0xee, PAGE);
            ck_assert_int_eq(fseek(file, at, SEEK_SET), 0);
            ck_assert_uint_eq(fwrite(page, 1, PAGE, file), PAGE);
            ck_assert_int_eq(fseek(file, at + PAGE, SEEK_SET), 0);
            found++;
        }
    }
    fclose(file);
    ck_assert_int_gt(found, 0);
}

static const char *text_of(int agent, int round)
{
    return hf_arena_format(&service.arena,
                           "{\"agent\":\"agent-%03d\",\"text\":\"round %d of %03d\",\"pad\":\"%0300d\"}", agent, round,
                           agent, agent);
}

static int count_of_round(const struct hf_snapshot_row *row, int agents, int round)
{
    HF_AUTO(chain) struct hf_chain *chain = load(row);
    int count = 0;
    for (int i = 0; i < agents; i++) {
        char name[32];
        struct hf_hash hash;
        const char *text = text_of(i, round);
        snprintf(name, sizeof(name), "agent-%03d", i);
        hf_hash_of(text, strlen(text), &hash);
        const struct hf_manifest_entry *entry = hf_chain_find(chain, name);
        ck_assert(entry && hf_manifest_entry_is_present(entry));
        count += hf_hash_equal(&entry->hash, &hash);
    }
    return count;
}

static void put_round(int agents, int round)
{
    for (int i = 0; i < agents; i++) {
        char name[32];
        snprintf(name, sizeof(name), "agent-%03d", i);
        hf_test_put(&service, name, text_of(i, round));
    }
}

static void corrupt_page_costs_only_what_it_held(bool full)
{
    bool unchanged;
    open_service("3600000");
    put_round(AGENTS, 1);
    (void)hf_test_full(&service);
    put_round(AGENTS, 2);
    corrupt_pages_with("round 2 of 060");
    struct hf_snapshot_row row = full ? hf_test_full(&service) : hf_test_incremental(&service, &unchanged);
    int newer = count_of_round(&row, AGENTS, 2);
    ck_assert_int_lt(newer, AGENTS);
    ck_assert_int_gt(newer, AGENTS / 2);
    ck_assert_int_eq(count_of_round(&row, AGENTS, 1), AGENTS - newer);
    ck_assert_ptr_nonnull(strstr(row.reason, "held as of an older version"));
    ck_assert_int_eq(hf_test_count_events(&service, 0, "database.damaged"), 1);

    hf_test_service_stop(&service);
    hf_test_service_start(&service); /* rebuilds */
    int kept = 0;
    for (int i = 0; i < AGENTS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "agent-%03d", i);
        kept += strcmp(hf_test_get(&service, name), text_of(i, 2)) == 0;
    }
    ck_assert_int_eq(kept, newer);
    hf_test_service_close(&service);
}

START_TEST(corrupt_page_costs_a_full_only_what_it_held)
{
    corrupt_page_costs_only_what_it_held(true);
}
END_TEST

START_TEST(corrupt_page_costs_an_incremental_only_what_it_held)
{
    corrupt_page_costs_only_what_it_held(false);
}
END_TEST

/* The directory is away: that is not damage, and the stop says that it did not work. */
START_TEST(stop_says_that_a_final_snapshot_could_not_be_taken)
{
    open_service("3600000");
    hf_test_put(&service, "a", "\"a1\"");
    ck_assert(hf_engine_stop(service.engine));
    service.engine = NULL;
    hf_test_service_start(&service);
    hf_test_put(&service, "a", "\"a2\"");
    char *directory = hf_test_service_path(&service, "system-state-backups");
    char *away = hf_test_service_path(&service, "away");
    ck_assert_int_eq(rename(directory, away), 0);
    FILE *file = fopen(directory, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    ck_assert(!hf_engine_stop(service.engine));
    service.engine = NULL;
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("lost_states", full_in_the_generation_goes_on_past_lost_states,
             anchor_goes_on_past_lost_states_and_stands_alone, incremental_goes_on_and_takes_what_is_uploaded_again,
             what_can_be_read_again_is_taken_though_nothing_changed,
             after_a_restart_the_lost_states_are_looked_at_again, validation_warns_of_what_a_snapshot_lacks,
             corrupt_page_costs_a_full_only_what_it_held, corrupt_page_costs_an_incremental_only_what_it_held,
             stop_says_that_a_final_snapshot_could_not_be_taken);
