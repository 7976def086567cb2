/* What is rescued from a damaged database: rows past bad pages, and nothing that does not prove itself. */
#include "core/auto.h"
#include "tests/support/engine.h"
#include "tests/support/recoveries.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MANY 300

static struct hf_test_service service;

static void name_of(char name[16], int i)
{
    snprintf(name, 16, "c%03d", i);
}

/* So large that a page holds a few. */
static const char *text_of(int i, const char *word)
{
    return hf_arena_format(&service.arena, "{\"n\":%d,\"word\":\"%s\",\"pad\":\"%01500d\"}", i, word, i);
}

static const char *big_text(char letter)
{
    char *text = hf_arena_alloc(&service.arena, 1200003);
    memset(text, letter, 1200002);
    text[0] = text[1200001] = '"';
    return text;
}

/* A snapshot of all, then all of them again, two tombstones, two new ones and one in chunks. */
static struct hf_snapshot_row fill_many(void)
{
    char name[16];
    for (int i = 0; i < MANY; i++) {
        name_of(name, i);
        hf_test_put(&service, name, text_of(i, "old"));
    }
    hf_test_put(&service, "big", big_text('o'));
    struct hf_snapshot_row full = hf_test_full(&service);
    for (int i = 0; i < MANY; i++) {
        name_of(name, i);
        hf_test_put(&service, name, text_of(i, "new"));
    }
    hf_test_put(&service, "big", big_text('n'));
    hf_test_delete(&service, "c007");
    hf_test_put(&service, "newcomer", "{\"new\":1}");
    hf_test_put(&service, "newcomer", "{\"new\":2}");
    hf_test_register(&service, "newcomer", "agent", "c001", 5000);
    return full;
}

/* Everything into the one file, and the service is gone without a last snapshot. */
static void crash_with_all_in_one_file(void)
{
    hf_test_service_crash(&service);
    char *command = hf_format("python3 -c \"import sqlite3;c=sqlite3.connect('%s/holdfast.db');"
                              "c.execute('pragma wal_checkpoint(truncate)');c.close()\"",
                              service.directory);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

/* Overwrites one page: of the table or index, the first of its type (leaf 13, interior 5, index leaf 10) that holds the
 * text, or the first of all. */
static void overwrite_page_of(const char *object, int type, int skip)
{
    char *command = hf_format(
        "python3 - <<'END'\n"
        "import sqlite3\n"
        "path='%s/holdfast.db'\n"
        "c=sqlite3.connect('file:'+path+'?mode=ro',uri=True)\n"
        "root=c.execute('select rootpage from sqlite_schema where name=?',('%s',)).fetchone()[0]\n"
        "c.close()\n"
        "d=open(path,'rb').read(); size=16384; found=[]\n"
        "def walk(page):\n"
        "  at=(page-1)*size; kind=d[at]\n"
        "  if kind==%d: found.append(page)\n"
        "  if kind not in (2,5): return\n"
        "  n=int.from_bytes(d[at+3:at+5],'big')\n"
        "  for i in range(n):\n"
        "    cell=int.from_bytes(d[at+12+2*i:at+14+2*i],'big')\n"
        "    walk(int.from_bytes(d[at+cell:at+cell+4],'big'))\n"
        "  walk(int.from_bytes(d[at+8:at+12],'big'))\n"
        "walk(root)\n"
        "page=found[len(found)*%d//4]\n"
        "f=open(path,'r+b'); f.seek((page-1)*size); f.write(bytes((i*37+11)%%256 for i in range(size))); f.close()\n"
        "END\n",
        service.directory, object, type, skip);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

/* How many came back new; every one of them is the one or the other, whole. */
static int check_many(void)
{
    char name[16];
    int news = 0;
    for (int i = 0; i < MANY; i++) {
        name_of(name, i);
        const char *found = hf_test_get(&service, name);
        if (i == 7 && !found) {
            news++;
            continue;
        }
        ck_assert_ptr_nonnull(found);
        bool is_new = strcmp(found, text_of(i, "new")) == 0;
        ck_assert_msg(is_new || strcmp(found, text_of(i, "old")) == 0, "%s", name);
        news += is_new;
    }
    const char *big = hf_test_get(&service, "big");
    ck_assert(strcmp(big, big_text('n')) == 0 || strcmp(big, big_text('o')) == 0);
    return news;
}

static int64_t count_in(const char *detail, const char *member)
{
    const char *at = strstr(detail, member);
    ck_assert_msg(at != NULL, "%s: %.300s", member, detail);
    return strtoll(at + strlen(member), NULL, 10);
}

static void check_others(void)
{
    ck_assert_str_eq(hf_test_get(&service, "big"), big_text('n'));
    ck_assert_ptr_null(hf_test_get(&service, "c007"));
    ck_assert_str_eq(hf_test_get(&service, "newcomer"), "{\"new\":2}");
    struct hf_component_info newcomer;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "newcomer", &service.arena, &newcomer));
    ck_assert_str_eq(newcomer.registration.kind, "agent");
    ck_assert_int_eq(newcomer.head.version, 2);
}

/* Numbers go on, the next start is one like any other, and a snapshot holds what was rescued. */
static void check_goes_on(int64_t sequence_before, int64_t epoch_before)
{
    struct hf_system_info system = hf_test_system(&service);
    ck_assert_int_eq(system.sequence, sequence_before);
    ck_assert_int_gt(system.epoch, epoch_before);
    ck_assert_int_eq(hf_test_put(&service, "newcomer", "{\"new\":3}"), 3);
    struct hf_hash root = hf_test_root_hash(&service);
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    struct hf_hash again = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &again));
    ck_assert_int_eq(hf_test_count_set_aside(&service), 1);
    hf_test_service_stop(&service);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    again = hf_test_root_hash(&service);
    ck_assert(hf_hash_equal(&root, &again));
}

START_TEST(a_bad_page_of_states_costs_its_own_rows_alone)
{
    hf_test_service_open(&service, NULL);
    struct hf_snapshot_row full = fill_many();
    struct hf_system_info before = hf_test_system(&service);
    crash_with_all_in_one_file();
    overwrite_page_of("component_states", 13, 3);
    hf_test_service_start(&service);
    int news = check_many();
    ck_assert_int_ge(news, MANY - 12);
    ck_assert_int_lt(news, MANY);
    check_others();
    struct hf_recovery_row row = hf_test_newest_recovery(&service);
    ck_assert_str_eq(row.status, "applied");
    ck_assert_str_eq(row.snapshot, full.id);
    ck_assert_int_eq(row.data_loss_components + count_in(row.detail, "\"unreadRows\":") > 0, 1);
    ck_assert_int_eq(count_in(row.detail, "\"components\":"), news + 2);
    check_goes_on(before.sequence, before.epoch);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_bad_page_of_an_index_costs_nothing)
{
    static const char *const indexes[] = {"sqlite_autoindex_component_states_1", "sqlite_autoindex_state_chunks_1",
                                          "component_state_tracking_name", "sqlite_autoindex_systems_1"};
    for (int i = 0; i < 4; i++) {
        hf_test_service_open(&service, NULL);
        fill_many();
        struct hf_system_info before = hf_test_system(&service);
        crash_with_all_in_one_file();
        overwrite_page_of(indexes[i], 10, 0);
        hf_test_service_start(&service);
        ck_assert_msg(check_many() == MANY, "%s", indexes[i]);
        check_others();
        struct hf_recovery_row row = hf_test_newest_recovery(&service);
        ck_assert_int_eq(row.data_loss_components, 0);
        ck_assert_int_eq(row.data_loss_ms, 0);
        ck_assert_int_eq(hf_test_system(&service).sequence, before.sequence);
        hf_test_service_close(&service);
    }
}
END_TEST

START_TEST(the_names_of_the_index_do_where_the_rows_of_components_are_gone)
{
    hf_test_service_open(&service, NULL);
    fill_many();
    crash_with_all_in_one_file();
    overwrite_page_of("component_state_tracking", 10, 0);
    hf_test_service_start(&service);
    ck_assert_int_eq(check_many(), MANY);
    ck_assert_str_eq(hf_test_get(&service, "big"), big_text('n'));
    ck_assert_ptr_null(hf_test_get(&service, "c007"));
    ck_assert_str_eq(hf_test_get(&service, "newcomer"), "{\"new\":2}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_bad_interior_page_or_first_page_gives_nothing_wrong)
{
    for (int first_page = 0; first_page < 2; first_page++) {
        hf_test_service_open(&service, NULL);
        struct hf_snapshot_row full = fill_many();
        crash_with_all_in_one_file();
        if (first_page) {
            FILE *file = fopen(hf_test_service_path(&service, "holdfast.db"), "r+");
            for (int i = 0; i < 16384; i++)
                fputc(i * 7, file);
            fclose(file);
        } else {
            overwrite_page_of("component_states", 5, 0);
        }
        hf_test_service_start(&service);
        ck_assert_int_eq(check_many(), 0);
        ck_assert_str_eq(hf_test_get(&service, "c007"), text_of(7, "old"));
        ck_assert_ptr_null(hf_test_get(&service, "newcomer"));
        struct hf_recovery_row row = hf_test_newest_recovery(&service);
        ck_assert_str_eq(row.snapshot, full.id);
        ck_assert_int_gt(row.data_loss_ms, 0);
        if (!first_page) {
            ck_assert_int_ge(count_in(row.detail, "\"unreadRows\":"), MANY);
        }
        hf_test_service_close(&service);
    }
}
END_TEST

START_TEST(a_content_that_was_altered_is_not_taken)
{
    hf_test_service_open(&service, NULL);
    fill_many();
    crash_with_all_in_one_file();
    char *command = hf_format("python3 -c \"import sqlite3;c=sqlite3.connect('%s/holdfast.db');"
                              "c.execute('update component_states set content=zeroblob(bytes) where sequence>302 and "
                              "component_id=4');c.commit();c.close()\"",
                              service.directory);
    ck_assert_int_eq(system(command), 0);
    free(command);
    overwrite_page_of("sqlite_autoindex_systems_1", 10, 0);
    hf_test_service_start(&service);
    ck_assert_int_eq(check_many(), MANY - 1);
    ck_assert_str_eq(hf_test_get(&service, "c003"), text_of(3, "old"));
    struct hf_recovery_row row = hf_test_newest_recovery(&service);
    ck_assert_int_eq(row.data_loss_components, 1);
    ck_assert_ptr_nonnull(strstr(row.detail, "\"lost\":[{\"component\":\"c003\",\"version\":2}]"));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_the_log_holds_is_rescued_too)
{
    hf_test_service_open(&service, NULL);
    fill_many();
    crash_with_all_in_one_file();
    hf_test_service_start(&service);
    hf_test_put(&service, "newcomer", "{\"new\":3}");
    hf_test_service_crash(&service);
    struct stat log;
    ck_assert_int_eq(stat(hf_test_service_path(&service, "holdfast.db-wal"), &log), 0);
    ck_assert_int_gt(log.st_size, 0);
    overwrite_page_of("component_states", 13, 0);
    hf_test_service_start(&service);
    ck_assert_int_eq(check_many(), MANY);
    ck_assert_str_eq(hf_test_get(&service, "newcomer"), "{\"new\":3}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_system_that_no_snapshot_has_comes_back_from_the_damaged_database_alone)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_register(&service, "waiting", "agent", NULL, 5000);
    struct hf_system_info before = hf_test_system(&service);
    crash_with_all_in_one_file();
    overwrite_page_of("sqlite_autoindex_component_states_1", 10, 0);
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":1}");
    struct hf_component_info waiting;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "waiting", &service.arena, &waiting));
    ck_assert_str_eq(waiting.registration.kind, "agent");
    ck_assert_str_eq(hf_test_newest_recovery(&service).status, "applied");
    ck_assert_int_eq(hf_test_system(&service).sequence, before.sequence);
    ck_assert_int_gt(hf_test_system(&service).epoch, before.epoch);
    ck_assert_int_eq(hf_test_put(&service, "a", "{\"a\":3}"), 3);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_is_rescued_has_no_age)
{
    const char *const flags[] = {"--recovery-max-age", "1000", NULL};
    hf_test_service_open(&service, flags);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "gone", "1");
    hf_test_delete(&service, "gone");
    hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "b", "{\"b\":\"lost\"}");
    crash_with_all_in_one_file();
    overwrite_page_of("sqlite_autoindex_component_states_1", 10, 0);
    usleep(1100000);
    hf_test_service_start(&service);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":\"lost\"}");
    ck_assert_ptr_null(hf_test_get(&service, "gone"));
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("rebuild_rescue", a_bad_page_of_states_costs_its_own_rows_alone, a_bad_page_of_an_index_costs_nothing,
             the_names_of_the_index_do_where_the_rows_of_components_are_gone,
             a_bad_interior_page_or_first_page_gives_nothing_wrong, a_content_that_was_altered_is_not_taken,
             what_the_log_holds_is_rescued_too,
             a_system_that_no_snapshot_has_comes_back_from_the_damaged_database_alone, what_is_rescued_has_no_age);
