/* Forks: a past of one system becomes the present of another, wherever its contents lie, or nothing does. */
#include "engine/fork.h"

#include "core/auto.h"
#include "store/systems.h"
#include "tests/support/altered_rows.h"
#include "tests/support/forks.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define FORK      "what-if"
#define MANY      2300 /* three portions */
#define BIG_BYTES (HF_STATE_CHUNK_BYTES + 100)

static struct hf_test_service service;
static struct hf_error err;

static struct hf_past_moment in_snapshot(const char *id)
{
    return (struct hf_past_moment){.kind = HF_PAST_SNAPSHOT, .snapshot = id};
}

static bool try_fork(const char *from, const char *name, struct hf_past_moment moment, struct hf_fork *out)
{
    const struct hf_fork_request request = {.name = name, .from = from, .moment = moment};
    return hf_fork_make(service.engine, &request, &service.arena, out, &err);
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
    ck_assert_str_eq(hf_test_text_of(&service, system, "c00000"), "00000");
    ck_assert_str_eq(hf_test_text_of(&service, system, "c02299"), "02299");
    ck_assert_uint_eq(strlen(hf_test_text_of(&service, system, "big")), BIG_BYTES);
    ck_assert_ptr_null(hf_test_text_of(&service, system, "gone"));
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
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    ck_assert_int_eq(fork.shared, MANY + 1);
    ck_assert_int_eq(fork.copied, 0);
    ck_assert_int_eq(fork.system.sequence, MANY + 2);
    ck_assert_int_eq(fork.system.components, MANY + 1);
    ck_assert_int_eq(fork.system.state_bytes, hf_test_system(&service).state_bytes);
    expect_filled(FORK);
    struct hf_snapshot_row is = hf_test_full_of(&service, FORK);
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
    struct hf_fork fork = hf_test_fork(&service, HF_TEST_NAME, FORK, in_snapshot(was.id));
    ck_assert_int_eq(fork.copied, 3);
    ck_assert_int_eq(fork.shared, MANY - 2);
    ck_assert_str_eq(fork.cut.snapshot, was.id);
    expect_filled(FORK);
    ck_assert_str_eq(hf_test_text_of(&service, FORK, "c00002"), "00002");
    struct hf_snapshot_row is = hf_test_full_of(&service, FORK);
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
    ck_assert_int_eq(hf_test_fork(&service, HF_TEST_NAME, FORK, then).shared, MANY + 1);
    hf_test_fork(&service, FORK, "again", hf_test_now());
    hf_test_forget_history(&service);
    expect_filled(FORK);
    expect_filled("again");
    ck_assert(hf_system_delete(service.engine, HF_TEST_NAME, false, &err));
    expect_filled(FORK);
    expect_filled("again");
    struct hf_snapshot_row full = hf_test_full_of(&service, FORK);
    ck_assert(hf_system_delete(service.engine, FORK, false, &err));
    expect_filled("again");
    ck_assert_int_eq(full.components, MANY + 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_snapshot_of_a_fork_needs_nobody_else)
{
    fill();
    hf_test_fork_now(&service, FORK);
    hf_test_full_of(&service, FORK);
    ck_assert(hf_system_delete(service.engine, HF_TEST_NAME, false, &err));
    hf_test_service_stop(&service);
    hf_test_service_remove_database(&service);
    hf_test_service_start(&service);
    ck_assert(!hf_test_is_known(&service, HF_TEST_NAME));
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
    struct hf_fork fork = hf_test_fork(&service, HF_TEST_NAME, FORK, then);
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
    hf_test_alter(&service, "DELETE FROM component_states WHERE component_id = 2001");
    struct hf_fork fork;
    ck_assert(!try_fork(HF_TEST_NAME, FORK, hf_test_now(), &fork));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_msg(strstr(err.text, "c01999"), "%s", err.text);
    ck_assert(!hf_test_is_known(&service, FORK));
    ck_assert_int_eq(count_systems(), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_missing_row_is_healed_on_the_way)
{
    /* Nothing else heals it before the fork comes: no validation, of those that a stop broke off neither. */
    fill_with((const char *const[]){"--enable-state-validation", "false", NULL});
    hf_test_full(&service);
    hf_test_service_stop(&service);
    hf_test_service_start(&service); /* nothing is in memory */
    hf_test_alter(&service, "DELETE FROM component_states WHERE component_id = 2001");
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    ck_assert_int_eq(fork.copied, 1);
    ck_assert_str_eq(hf_test_text_of(&service, FORK, "c01999"), "01999");
    ck_assert_str_eq(hf_test_text_of(&service, HF_TEST_NAME, "c01999"), "01999");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_fork_that_fails_midway_leaves_nothing)
{
    setenv("HOLDFAST_FAULT", "fork_midway:error:1", 1); /* behind the second portion */
    fill();
    struct hf_fork fork;
    ck_assert(!try_fork(HF_TEST_NAME, FORK, hf_test_now(), &fork));
    ck_assert_int_eq(err.code, HF_STORE_DOWN);
    ck_assert(!hf_test_is_known(&service, FORK));
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
    const struct hf_fork_request request = {.name = forker->name, .from = HF_TEST_NAME, .moment = hf_test_now()};
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
        long ahead = strtol(hf_test_text_of(&service, name, "z1"), NULL, 10) -
                     strtol(hf_test_text_of(&service, name, "z2"), NULL, 10);
        ck_assert_msg(ahead == 0 || ahead == 1, "z1 was never %ld ahead of z2", ahead);
        expect_filled(name);
    }
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("fork", a_fork_shares_every_content_and_is_the_same_whole, what_history_lost_is_copied_from_the_snapshot,
             a_fork_outlives_history_and_origin, the_snapshot_of_a_fork_needs_nobody_else,
             what_came_later_is_no_part_of_a_fork, a_lost_content_fails_the_whole_fork_by_name,
             a_missing_row_is_healed_on_the_way, a_fork_that_fails_midway_leaves_nothing,
             of_two_forks_under_one_name_one_comes_into_being, a_fork_is_one_cut_whatever_goes_on_meanwhile);
