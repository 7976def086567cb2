/* The service without its database: what comes back, what does not, and what is said. */
#include "core/clock.h"
#include "core/auto.h"
#include "tests/support/engine.h"
#include "tests/support/temp.h"

#include "tests/support/check_main.h"

#include <dirent.h>
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

static int count_set_aside(void)
{
    DIR *directory = opendir(service.directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strncmp(entry->d_name, "holdfast.db.damaged-", 20) == 0;
    closedir(directory);
    return count;
}

struct newest {
    struct hf_recovery_row row;
    bool found;
};

static bool take_row(void *context, const struct hf_recovery_row *row)
{
    struct newest *newest = context;
    newest->row = *row;
    newest->row.status = hf_arena_strdup(&service.arena, row->status);
    newest->row.snapshot = hf_arena_strdup(&service.arena, row->snapshot);
    newest->row.reason = hf_arena_strdup(&service.arena, row->reason);
    newest->row.detail = hf_arena_strdup(&service.arena, row->detail);
    newest->found = true;
    return false;
}

static struct hf_recovery_row newest_recovery(void)
{
    struct newest newest = {0};
    struct hf_session *session;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_recoveries_list(session, hf_test_system(&service).id, INT64_MAX, "", 1, take_row, &newest, &err));
    hf_sessions_give(service.engine->sessions, session);
    ck_assert(newest.found);
    return newest.row;
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
    struct hf_recovery_row row = newest_recovery();
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
    ck_assert_int_eq(count_set_aside(), 1);
    ck_assert_ptr_nonnull(strstr(newest_recovery().reason, "damaged"));
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
    struct hf_recovery_row row = newest_recovery();
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
    struct hf_recovery_row row = newest_recovery();
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
    ck_assert_str_eq(newest_recovery().status, "fresh");
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
    ck_assert_str_eq(newest_recovery().status, "fresh");
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
    ck_assert_int_eq(count_set_aside(), 0);
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

#define MANY 300

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
    ck_assert_int_eq(count_set_aside(), 1);
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
    struct hf_recovery_row row = newest_recovery();
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
        struct hf_recovery_row row = newest_recovery();
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
        struct hf_recovery_row row = newest_recovery();
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
    struct hf_recovery_row row = newest_recovery();
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
    ck_assert_str_eq(newest_recovery().status, "applied");
    ck_assert_int_eq(hf_test_system(&service).sequence, before.sequence);
    ck_assert_int_gt(hf_test_system(&service).epoch, before.epoch);
    ck_assert_int_eq(hf_test_put(&service, "a", "{\"a\":3}"), 3);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_is_rescued_has_no_age)
{
    const char *const flags[] = {"--recovery-max-age", "1000", NULL};
    struct hf_snapshot_row full, incremental;
    hf_test_service_open(&service, flags);
    fill(&full, &incremental);
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

HF_TEST_MAIN("rebuild", a_missing_database_comes_back_from_the_newest_chain,
             the_snapshots_that_came_back_are_validated_without_another_start,
             a_damaged_database_is_set_aside_and_rebuilt, a_damaged_newest_snapshot_makes_way_for_the_one_before,
             a_flipped_byte_in_a_state_is_mended_before_anything_is_believed,
             too_old_a_snapshot_means_a_fresh_start_that_keeps_the_files,
             when_all_files_are_damaged_the_start_is_fresh_and_above_them, a_whole_database_is_left_alone,
             a_rebuild_that_was_interrupted_goes_on, a_bad_page_of_states_costs_its_own_rows_alone,
             a_bad_page_of_an_index_costs_nothing, the_names_of_the_index_do_where_the_rows_of_components_are_gone,
             a_bad_interior_page_or_first_page_gives_nothing_wrong, a_content_that_was_altered_is_not_taken,
             what_the_log_holds_is_rescued_too,
             a_system_that_no_snapshot_has_comes_back_from_the_damaged_database_alone, what_is_rescued_has_no_age);
