/* Forks: a past of one system becomes the present of another, wherever its contents lie, or nothing does. */
#include "engine/fork.h"

#include "core/auto.h"
#include "engine/retention.h"
#include "store/journal.h"
#include "tests/support/engine.h"
#include "tests/support/stores.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FORK      "what-if"
#define MANY      2300 /* three portions */
#define BIG_BYTES (HF_STATE_CHUNK_BYTES + 100)

static struct hf_test_service service;
static struct hf_error err;

static struct hf_past_moment now(void)
{
    return (struct hf_past_moment){.kind = HF_PAST_NOW};
}

static struct hf_past_moment in_snapshot(const char *id)
{
    return (struct hf_past_moment){.kind = HF_PAST_SNAPSHOT, .snapshot = id};
}

static bool try_fork(const char *from, const char *name, struct hf_past_moment moment, struct hf_fork *out)
{
    const struct hf_fork_request request = {.name = name, .from = from, .moment = moment};
    return hf_fork_make(service.engine, &request, &service.arena, out, &err);
}

static struct hf_fork fork_of(const char *from, const char *name, struct hf_past_moment moment)
{
    struct hf_fork fork;
    ck_assert_msg(try_fork(from, name, moment, &fork), "%s", err.text);
    return fork;
}

/* From the database: what a fork was given is not in memory. */
static const char *text_of(const char *system, const char *component)
{
    struct hf_moment latest = {.kind = HF_MOMENT_LATEST};
    struct hf_state state = {0};
    if (!hf_state_read(service.engine, system, component, &latest, &state, &err)) {
        ck_assert_msg(err.code == HF_NOT_FOUND, "%s", err.text);
        return NULL;
    }
    char *text = hf_arena_strndup(&service.arena, (const char *)state.body->data, state.body->bytes);
    hf_blob_unref(state.body);
    return text;
}

static struct hf_snapshot_row full_of(const char *system)
{
    const struct hf_snapshot_request request = {.system = system,
                                                .full = true,
                                                .trigger = "manual",
                                                .even_unchanged = true};
    struct hf_snapshot_row row;
    bool unchanged;
    ck_assert_msg(hf_snapshot_take(service.engine, &request, &service.arena, &row, &unchanged, &err), "%s", err.text);
    return row;
}

static bool is_known(const char *system)
{
    struct hf_system_info info;
    return hf_catalog_read_system(service.engine->catalog, system, &info);
}

static bool count_system(void *context, const struct hf_system_row *row)
{
    (void)row;
    ++*(int *)context;
    return true;
}

static int count_systems(void)
{
    struct hf_session *session;
    int count = 0;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_systems_list(session, count_system, &count, &err));
    hf_sessions_give(service.engine->sessions, session);
    return count;
}

static void alter(const char *sql)
{
    const struct hf_test_store database = {.engine = HF_TEST_SQLITE, .directory = service.directory};
    hf_test_store_alter(&database, sql);
}

/* In one transaction. */
static void put_many(void)
{
    static struct hf_save_item items[MANY];
    for (int i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof(name), "c%05d", i);
        items[i] = (struct hf_save_item){.component = hf_arena_strdup(&service.arena, name),
                                         .body = hf_blob_copy(name + 1, 5),
                                         .content_type = "application/json"};
        hf_hash_of(name + 1, 5, &items[i].hash);
    }
    struct hf_write write = {.system = HF_TEST_NAME, .state_epoch = -1, .items = items, .item_count = MANY};
    ck_assert_msg(hf_committer_write(service.engine->committer, &write, &err), "%s", err.text);
    for (int i = 0; i < MANY; i++)
        hf_blob_unref(items[i].body);
}

/* Three portions, one content in chunks, a tombstone, and a registration without a state. */
static void fill_with(const char *const *flags)
{
    char *big = hf_alloc(BIG_BYTES + 1);
    memset(big, '1', BIG_BYTES);
    hf_test_service_open(&service, flags);
    hf_test_register(&service, "silent", "agent", NULL, 5000);
    put_many();
    hf_test_put(&service, "big", big);
    hf_test_put(&service, "gone", "1");
    hf_test_delete(&service, "gone");
    hf_test_register(&service, "big", "model", "silent", 0);
    free(big);
}

static void fill(void)
{
    fill_with(NULL);
}

static void expect_filled(const char *system)
{
    ck_assert_str_eq(text_of(system, "c00000"), "00000");
    ck_assert_str_eq(text_of(system, "c02299"), "02299");
    ck_assert_uint_eq(strlen(text_of(system, "big")), BIG_BYTES);
    ck_assert_ptr_null(text_of(system, "gone"));
    struct hf_component_info info;
    ck_assert(hf_catalog_read_component(service.engine->catalog, system, "silent", &service.arena, &info));
    ck_assert_str_eq(info.registration.kind, "agent");
    ck_assert_int_eq(info.registration.heartbeat_interval_ms, 5000);
    ck_assert(hf_catalog_read_component(service.engine->catalog, system, "big", &service.arena, &info));
    ck_assert_int_eq(info.registration.depends_on_count, 1);
    ck_assert_str_eq(info.registration.depends_on[0], "silent");
    ck_assert(hf_catalog_read_component(service.engine->catalog, system, "gone", &service.arena, &info));
    ck_assert_int_eq(info.head.version, 2);
    ck_assert(info.head.deleted);
}

START_TEST(a_fork_shares_every_content_and_is_the_same_whole)
{
    fill();
    struct hf_snapshot_row was = hf_test_full(&service);
    struct hf_fork fork = fork_of(HF_TEST_NAME, FORK, now());
    ck_assert_int_eq(fork.shared, MANY + 1);
    ck_assert_int_eq(fork.copied, 0);
    ck_assert_int_eq(fork.system.sequence, MANY + 2);
    ck_assert_int_eq(fork.system.components, MANY + 1);
    ck_assert_int_eq(fork.system.state_bytes, hf_test_system(&service).state_bytes);
    expect_filled(FORK);
    struct hf_snapshot_row is = full_of(FORK);
    ck_assert(hf_hash_equal(&is.root_hash, &was.root_hash));
    ck_assert_int_eq(is.file_bytes > BIG_BYTES / 1000, 1);
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    expect_filled(FORK);
    ck_assert_int_eq(hf_test_count_events(&service, fork.system.id, "system.created"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, hf_test_system(&service).id, "system.forked"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_history_lost_is_copied_from_the_snapshot)
{
    fill();
    struct hf_snapshot_row was = hf_test_full(&service);
    hf_test_put(&service, "c00000", "\"changed\"");
    hf_test_put(&service, "big", "2");
    hf_test_put(&service, "c00001", "\"changed\"");
    hf_test_put(&service, "c00001", "00001"); /* the same again, in another row */
    hf_test_delete(&service, "c00002");
    hf_test_forget_history(&service);
    struct hf_fork fork = fork_of(HF_TEST_NAME, FORK, in_snapshot(was.id));
    ck_assert_int_eq(fork.copied, 3);
    ck_assert_int_eq(fork.shared, MANY - 2);
    ck_assert_str_eq(fork.cut.snapshot, was.id);
    expect_filled(FORK);
    ck_assert_str_eq(text_of(FORK, "c00002"), "00002");
    struct hf_snapshot_row is = full_of(FORK);
    ck_assert(hf_hash_equal(&is.root_hash, &was.root_hash));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_fork_outlives_history_and_origin)
{
    fill();
    int64_t cut = hf_test_system(&service).sequence;
    hf_test_put(&service, "big", "2");
    hf_test_put(&service, "c00000", "2");
    struct hf_past_moment then = {.kind = HF_PAST_SEQUENCE, .sequence = cut};
    ck_assert_int_eq(fork_of(HF_TEST_NAME, FORK, then).shared, MANY + 1);
    fork_of(FORK, "again", now());
    hf_test_forget_history(&service);
    expect_filled(FORK);
    expect_filled("again");
    ck_assert(hf_system_delete(service.engine, HF_TEST_NAME, &err));
    expect_filled(FORK);
    expect_filled("again");
    struct hf_snapshot_row full = full_of(FORK);
    ck_assert(hf_system_delete(service.engine, FORK, &err));
    expect_filled("again");
    ck_assert_int_eq(full.components, MANY + 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_snapshot_of_a_fork_needs_nobody_else)
{
    fill();
    fork_of(HF_TEST_NAME, FORK, now());
    full_of(FORK);
    ck_assert(hf_system_delete(service.engine, HF_TEST_NAME, &err));
    hf_test_service_stop(&service);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    ck_assert(!is_known(HF_TEST_NAME));
    expect_filled(FORK);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_came_later_is_no_part_of_a_fork)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    hf_test_put(&service, "late-state", "1");
    hf_test_register(&service, "late-silent", "agent", NULL, 0);
    struct hf_past_moment then = {.kind = HF_PAST_SEQUENCE, .sequence = 1};
    struct hf_fork fork = fork_of(HF_TEST_NAME, FORK, then);
    ck_assert_int_eq(fork.cut.sequence, 1);
    int count;
    bool found;
    hf_catalog_list_components(service.engine->catalog, FORK, "", INT32_MAX, &service.arena, &count, &found);
    ck_assert_int_eq(count, 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_lost_content_fails_the_whole_fork_by_name)
{
    fill_with((const char *const[]){"--cache-bytes", "1", NULL}); /* no copy in memory */
    alter("DELETE FROM component_states WHERE component_id = 2001");
    struct hf_fork fork;
    ck_assert(!try_fork(HF_TEST_NAME, FORK, now(), &fork));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_msg(strstr(err.text, "c01999"), "%s", err.text);
    ck_assert(!is_known(FORK));
    ck_assert_int_eq(count_systems(), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_missing_row_is_healed_on_the_way)
{
    fill();
    hf_test_full(&service);
    hf_test_service_stop(&service);
    hf_test_service_start(&service); /* nothing is in memory */
    alter("DELETE FROM component_states WHERE component_id = 2001");
    struct hf_fork fork = fork_of(HF_TEST_NAME, FORK, now());
    ck_assert_int_eq(fork.copied, 1);
    ck_assert_str_eq(text_of(FORK, "c01999"), "01999");
    ck_assert_str_eq(text_of(HF_TEST_NAME, "c01999"), "01999");
    hf_test_service_close(&service);
}
END_TEST

/* One content in one row, which both read; bodies do not stay in memory. */
static void share_one_content(void)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", NULL});
    hf_test_put(&service, "a", "{\"shared\":true}");
}

static void damage_shared_content(void)
{
    hf_test_service_crash(&service); /* no last snapshot, and nothing in memory */
    hf_test_service_start(&service);
    alter("UPDATE component_states SET content = zeroblob(length(content)) WHERE content IS NOT NULL");
}

START_TEST(a_fork_is_healed_from_the_snapshots_of_its_origin)
{
    share_one_content();
    hf_test_full(&service);
    struct hf_fork fork = fork_of(HF_TEST_NAME, FORK, now());
    ck_assert_int_eq(fork.shared, 1);
    damage_shared_content();
    ck_assert_str_eq(text_of(FORK, "a"), "{\"shared\":true}");
    ck_assert_int_eq(hf_test_count_events(&service, fork.system.id, "state.healed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(an_origin_and_another_fork_are_healed_from_the_snapshots_of_a_fork)
{
    share_one_content();
    fork_of(HF_TEST_NAME, FORK, now());
    fork_of(HF_TEST_NAME, "another", now());
    full_of(FORK);
    damage_shared_content();
    ck_assert_str_eq(text_of("another", "a"), "{\"shared\":true}");
    ck_assert_str_eq(text_of(HF_TEST_NAME, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_one_fork_has_heals_all_at_once)
{
    share_one_content();
    fork_of(HF_TEST_NAME, FORK, now());
    fork_of(HF_TEST_NAME, "another", now());
    full_of(FORK);
    damage_shared_content();
    ck_assert_str_eq(text_of(FORK, "a"), "{\"shared\":true}");
    struct hf_error ignored;
    ck_assert_msg(hf_system_delete(service.engine, FORK, &ignored), "%s", ignored.text);
    ck_assert_str_eq(text_of("another", "a"), "{\"shared\":true}");
    ck_assert_str_eq(text_of(HF_TEST_NAME, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

/* Past everything that heals. */
static bool row_is_sound(int64_t system_id, int64_t sequence)
{
    struct hf_session *session;
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_blob *blob = NULL;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    bool sound = hf_states_get(session, system_id, sequence, &row, &text, &blob, &err);
    hf_sessions_give(service.engine->sessions, session);
    hf_blob_unref(blob);
    return sound;
}

START_TEST(what_a_deleted_origin_hands_on_is_healed_first)
{
    share_one_content();
    hf_test_full(&service);
    struct hf_fork fork = fork_of(HF_TEST_NAME, FORK, now());
    damage_shared_content();
    ck_assert(!row_is_sound(fork.system.id, 1));
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, &err), "%s", err.text);
    ck_assert(row_is_sound(fork.system.id, 1));
    ck_assert_str_eq(text_of(FORK, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_no_copy_is_left_of_is_named_when_it_is_handed_on)
{
    share_one_content();
    struct hf_fork fork = fork_of(HF_TEST_NAME, FORK, now());
    damage_shared_content();
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, &err), "%s", err.text);
    ck_assert(!is_known(HF_TEST_NAME));
    ck_assert_int_eq(hf_test_count_events(&service, fork.system.id, "state.damaged"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, 0, "state.damaged"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(while_a_copy_may_be_where_nobody_could_look_nothing_is_deleted)
{
    share_one_content();
    struct hf_fork fork = fork_of(HF_TEST_NAME, FORK, now());
    full_of(FORK);
    const char *files = hf_test_service_path(&service, "%s/%s", "system-state-backups", FORK);
    const char *away = hf_test_service_path(&service, "away");
    damage_shared_content();
    ck_assert_int_eq(rename(files, away), 0);
    FILE *no_directory = fopen(files, "w");
    ck_assert_ptr_nonnull(no_directory);
    fclose(no_directory);
    ck_assert(!hf_system_delete(service.engine, HF_TEST_NAME, &err));
    ck_assert_msg(err.code != HF_DAMAGED && hf_code_retryable(err.code), "%s: %s", hf_code_name(err.code), err.text);
    ck_assert_msg(strstr(err.text, "is not deleted"), "%s", err.text);
    ck_assert(is_known(HF_TEST_NAME));
    ck_assert_int_eq(unlink(files), 0);
    ck_assert_int_eq(rename(away, files), 0);
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, &err), "%s", err.text);
    ck_assert(row_is_sound(fork.system.id, 1));
    ck_assert_str_eq(text_of(FORK, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_trimmed_history_hands_on_is_healed_first)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", "--history", "1", NULL});
    hf_test_put(&service, "a", "{\"shared\":true}");
    hf_test_full(&service);
    struct hf_fork fork = fork_of(HF_TEST_NAME, FORK, now());
    hf_test_put(&service, "a", "{\"newer\":true}");
    hf_test_service_stop(&service); /* folded: history up to here may go */
    hf_test_service_start(&service);
    alter("UPDATE component_states SET content = zeroblob(length(content)) WHERE version = 1 AND content IS NOT NULL");
    ck_assert(!row_is_sound(fork.system.id, 1));
    usleep(5000);
    int64_t deleted = 0;
    ck_assert_msg(hf_retention_trim_history(service.engine, HF_TEST_NAME, &deleted, &err), "%s", err.text);
    ck_assert_int_eq(deleted, 1);
    ck_assert(row_is_sound(fork.system.id, 1));
    hf_test_service_close(&service);
}
END_TEST

static bool can_be_read(const char *component)
{
    const struct hf_moment latest = {.kind = HF_MOMENT_LATEST};
    struct hf_state state = {0};
    bool ok = hf_state_read(service.engine, HF_TEST_NAME, component, &latest, &state, &err);
    hf_blob_unref(state.body);
    return ok;
}

START_TEST(relatives_are_read_once_for_all_that_is_lost_until_a_snapshot_comes)
{
    share_one_content();
    hf_test_put(&service, "b", "{\"shared\":2}");
    hf_test_put(&service, "c", "{\"shared\":3}");
    fork_of(HF_TEST_NAME, FORK, now());
    const struct hf_snapshot_row row = full_of(FORK);
    const char *file = hf_test_service_path(&service, "%s/%s/%s.snapshot", "system-state-backups", FORK, row.id);
    const char *away = hf_test_service_path(&service, "away");
    damage_shared_content();
    ck_assert_int_eq(rename(file, away), 0);
    ck_assert(!can_be_read("a"));
    ck_assert_int_eq(rename(away, file), 0);
    ck_assert(!can_be_read("b")); /* remembered: the file was not there when the fork was read */
    ck_assert_int_eq(err.code, HF_DAMAGED);
    full_of(FORK);
    while (!can_be_read("c"))
        usleep(100000);
    ck_assert_str_eq(text_of(HF_TEST_NAME, "c"), "{\"shared\":3}");
    hf_test_service_close(&service);
}
END_TEST

/* Another system's healing has made it well: it says so as soon as it is read. */
START_TEST(who_shares_what_was_healed_is_damaged_no_more)
{
    share_one_content();
    fork_of(HF_TEST_NAME, FORK, now());
    const struct hf_snapshot_row row = full_of(FORK);
    const char *file = hf_test_service_path(&service, "%s/%s/%s.snapshot", "system-state-backups", FORK, row.id);
    const char *away = hf_test_service_path(&service, "away");
    struct hf_component_info info;
    damage_shared_content();
    ck_assert_int_eq(rename(file, away), 0);
    ck_assert(!can_be_read("a"));
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "a", &service.arena, &info));
    ck_assert(info.damaged);
    ck_assert_int_eq(rename(away, file), 0);
    ck_assert_str_eq(text_of(FORK, "a"), "{\"shared\":true}");
    ck_assert(can_be_read("a"));
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "a", &service.arena, &info));
    ck_assert(!info.damaged);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_last_snapshot_waits_for_no_relatives)
{
    share_one_content();
    fork_of(HF_TEST_NAME, FORK, now());
    full_of(FORK);
    damage_shared_content();
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    int64_t system_id = hf_test_system(&service).id;
    ck_assert_int_eq(hf_test_count_events(&service, system_id, "snapshot.incomplete"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, system_id, "state.healed"), 0);
    ck_assert_str_eq(text_of(HF_TEST_NAME, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_fork_that_fails_midway_leaves_nothing)
{
    setenv("HOLDFAST_FAULT", "fork_midway:error:1", 1); /* behind the second portion */
    fill();
    struct hf_fork fork;
    ck_assert(!try_fork(HF_TEST_NAME, FORK, now(), &fork));
    ck_assert_int_eq(err.code, HF_STORE_DOWN);
    ck_assert(!is_known(FORK));
    ck_assert_int_eq(count_systems(), 1);
    unsetenv("HOLDFAST_FAULT");
    hf_test_service_close(&service);
}
END_TEST

struct forker {
    const char *name;
    bool ok;
    enum hf_code code;
};

static _Atomic int forks_under_way;

static void *fork_in_thread(void *context)
{
    struct forker *forker = context;
    struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_fork fork;
    struct hf_error why = {0};
    const struct hf_fork_request request = {.name = forker->name, .from = HF_TEST_NAME, .moment = now()};
    forker->ok = hf_fork_make(service.engine, &request, &arena, &fork, &why);
    forker->code = why.code;
    hf_arena_done(&arena);
    forks_under_way--;
    return NULL;
}

START_TEST(of_two_forks_under_one_name_one_comes_into_being)
{
    fill();
    struct forker forkers[2] = {{.name = FORK}, {.name = FORK}};
    pthread_t threads[2];
    forks_under_way = 2;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fork_in_thread, &forkers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(forkers[0].ok + forkers[1].ok, 1);
    ck_assert_int_eq(forkers[forkers[0].ok].code, HF_CONFLICT);
    expect_filled(FORK);
    ck_assert_int_eq(count_systems(), 2);
    hf_test_service_close(&service);
}
END_TEST

/* What is uploaded, trimmed and snapshotted meanwhile does not show in what is forked. */
START_TEST(a_fork_is_one_cut_whatever_goes_on_meanwhile)
{
    fill();
    hf_test_put(&service, "z1", "0");
    hf_test_put(&service, "z2", "0");
    char name[32];
    int put = 0;
    for (int round = 0; round < 5; round++) {
        snprintf(name, sizeof(name), "fork-%d", round);
        struct forker forker = {.name = name};
        pthread_t thread;
        forks_under_way = 1;
        ck_assert_int_eq(pthread_create(&thread, NULL, fork_in_thread, &forker), 0);
        while (forks_under_way) {
            char text[32];
            snprintf(text, sizeof(text), "%d", ++put);
            hf_test_put(&service, "z1", text);
            hf_test_put(&service, "z2", text);
            if (put % 10 == 0)
                hf_test_forget_history(&service);
        }
        pthread_join(thread, NULL);
        ck_assert(forker.ok);
        long ahead = strtol(text_of(name, "z1"), NULL, 10) - strtol(text_of(name, "z2"), NULL, 10);
        ck_assert_msg(ahead == 0 || ahead == 1, "z1 was never %ld ahead of z2", ahead);
        expect_filled(name);
    }
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("fork", a_fork_shares_every_content_and_is_the_same_whole, what_history_lost_is_copied_from_the_snapshot,
             a_fork_outlives_history_and_origin, the_snapshot_of_a_fork_needs_nobody_else,
             what_came_later_is_no_part_of_a_fork, a_lost_content_fails_the_whole_fork_by_name,
             a_missing_row_is_healed_on_the_way, a_fork_is_healed_from_the_snapshots_of_its_origin,
             an_origin_and_another_fork_are_healed_from_the_snapshots_of_a_fork, what_one_fork_has_heals_all_at_once,
             what_a_deleted_origin_hands_on_is_healed_first, what_no_copy_is_left_of_is_named_when_it_is_handed_on,
             while_a_copy_may_be_where_nobody_could_look_nothing_is_deleted,
             what_trimmed_history_hands_on_is_healed_first,
             relatives_are_read_once_for_all_that_is_lost_until_a_snapshot_comes,
             who_shares_what_was_healed_is_damaged_no_more, the_last_snapshot_waits_for_no_relatives,
             a_fork_that_fails_midway_leaves_nothing, of_two_forks_under_one_name_one_comes_into_being,
             a_fork_is_one_cut_whatever_goes_on_meanwhile);
