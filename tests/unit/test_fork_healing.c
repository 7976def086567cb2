/* Damage in contents that systems of one family share: whoever has a copy heals them all, what a system holds for
 * others is looked at before it goes, and nothing is given up while a copy may be somewhere. */
#include "core/clock.h"
#include "engine/retention.h"
#include "store/journal.h"
#include "tests/support/altered_rows.h"
#include "tests/support/forks.h"
#include "tests/support/keys.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORK "what-if"

static struct hf_test_service service;
static struct hf_error err;

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
    hf_test_alter(&service,
                  "UPDATE component_states SET content = zeroblob(length(content)) WHERE content IS NOT NULL");
}

START_TEST(a_fork_is_healed_from_the_snapshots_of_its_origin)
{
    share_one_content();
    hf_test_full(&service);
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    ck_assert_int_eq(fork.shared, 1);
    damage_shared_content();
    ck_assert_str_eq(hf_test_text_of(&service, FORK, "a"), "{\"shared\":true}");
    ck_assert_int_eq(hf_test_count_events(&service, fork.system.id, "state.healed"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(an_origin_and_another_fork_are_healed_from_the_snapshots_of_a_fork)
{
    share_one_content();
    hf_test_fork_now(&service, FORK);
    hf_test_fork_now(&service, "another");
    hf_test_full_of(&service, FORK);
    damage_shared_content();
    ck_assert_str_eq(hf_test_text_of(&service, "another", "a"), "{\"shared\":true}");
    ck_assert_str_eq(hf_test_text_of(&service, HF_TEST_NAME, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_one_copy_is_found_among_many_rows_that_have_lost_theirs)
{
    static const int many = 150; /* more than are looked at in one go */
    share_one_content();
    for (int i = 0; i < many; i++) {
        hf_test_put(&service, "a", "{\"shared\":false}");
        hf_test_put(&service, "a", "{\"shared\":true}");
    }
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    hf_test_fork_now(&service, "another");
    hf_test_full_of(&service, "another");
    damage_shared_content();
    ck_assert(hf_system_delete(service.engine, HF_TEST_NAME, false, &err));
    ck_assert_int_eq(hf_test_count_events(&service, fork.system.id, "state.damaged"), 0);
    ck_assert_str_eq(hf_test_text_of(&service, FORK, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_one_fork_has_heals_all_at_once)
{
    share_one_content();
    hf_test_fork_now(&service, FORK);
    hf_test_fork_now(&service, "another");
    hf_test_full_of(&service, FORK);
    damage_shared_content();
    ck_assert_str_eq(hf_test_text_of(&service, FORK, "a"), "{\"shared\":true}");
    struct hf_error ignored;
    ck_assert_msg(hf_system_delete(service.engine, FORK, false, &ignored), "%s", ignored.text);
    ck_assert_str_eq(hf_test_text_of(&service, "another", "a"), "{\"shared\":true}");
    ck_assert_str_eq(hf_test_text_of(&service, HF_TEST_NAME, "a"), "{\"shared\":true}");
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

/* Its own row alone says another length; what it shares is well, and the relative that holds it says so. */
START_TEST(an_old_version_with_an_altered_length_is_healed_from_its_relatives)
{
    static const char *const lengths[] = {"1", "bytes + 1"};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        share_one_content();
        struct hf_fork fork = hf_test_fork_now(&service, FORK);
        hf_test_put_in(&service, FORK, "a", "{\"newer\":true}");
        hf_test_alter(&service,
                      hf_arena_format(&service.arena,
                                      "UPDATE component_states SET bytes = %s WHERE system_id = %lld AND version = 1",
                                      lengths[i], (long long)fork.system.id));
        ck_assert(!row_is_sound(fork.system.id, 1));
        const struct hf_moment first = {.kind = HF_MOMENT_VERSION, .version = 1};
        struct hf_state state = {0};
        ck_assert_msg(hf_state_read(service.engine, FORK, "a", &first, &state, &err), "%s: %s", lengths[i], err.text);
        ck_assert_int_eq(state.head.bytes, (int64_t)state.body->bytes);
        hf_blob_unref(state.body);
        ck_assert(row_is_sound(fork.system.id, 1));
        ck_assert_int_eq(hf_test_count_events_so_far(&service, fork.system.id, "state.healed"), 1);
        ck_assert_str_eq(hf_test_text_of(&service, HF_TEST_NAME, "a"), "{\"shared\":true}");
        hf_test_service_close(&service);
    }
}
END_TEST

START_TEST(what_a_deleted_origin_hands_on_is_healed_first)
{
    share_one_content();
    hf_test_full(&service);
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    damage_shared_content();
    ck_assert(!row_is_sound(fork.system.id, 1));
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, false, &err), "%s", err.text);
    ck_assert(row_is_sound(fork.system.id, 1));
    ck_assert_str_eq(hf_test_text_of(&service, FORK, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_no_copy_is_left_of_is_named_when_it_is_handed_on)
{
    share_one_content();
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    damage_shared_content();
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, false, &err), "%s", err.text);
    ck_assert(!hf_test_is_known(&service, HF_TEST_NAME));
    ck_assert_int_eq(hf_test_count_events(&service, fork.system.id, "state.damaged"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, 0, "state.damaged"), 1);
    hf_test_service_close(&service);
}
END_TEST

static bool ends_with_a_mark(void *context, const struct hf_event_row *row)
{
    bool *marked = context;
    size_t length = strlen(row->text);
    if (!strcmp(row->type, "state.damaged"))
        *marked = length > 5 && !strcmp(row->text + length - 5, ", ...");
    return true;
}

START_TEST(names_that_an_event_has_no_room_for_are_marked)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", NULL});
    for (int i = 0; i < 12; i++) {
        char name[HF_NAME_MAX + 1], text[16];
        snprintf(name, sizeof(name), "%0*d", HF_NAME_MAX - 1, i);
        snprintf(text, sizeof(text), "%d", i);
        hf_test_put(&service, name, text);
    }
    hf_test_fork_now(&service, FORK);
    damage_shared_content();
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, false, &err), "%s", err.text);
    ck_assert_int_eq(hf_test_count_events(&service, 0, "state.damaged"), 1);
    struct hf_session *session;
    bool marked = false;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_events_list(session, 0, NULL, 0, 1000, ends_with_a_mark, &marked, &err));
    hf_sessions_give(service.engine->sessions, session);
    ck_assert(marked);
    hf_test_service_close(&service);
}
END_TEST

/* A relative's snapshot files, which may have copies and cannot be looked at: a file lies in their place. */
static const char *hide_files(const char *system)
{
    const char *files = hf_test_service_path(&service, "%s/%s", "system-state-backups", system);
    ck_assert_int_eq(rename(files, hf_test_service_path(&service, "away")), 0);
    FILE *no_directory = fopen(files, "w");
    ck_assert_ptr_nonnull(no_directory);
    fclose(no_directory);
    return files;
}

static void show_files(const char *files)
{
    ck_assert_int_eq(unlink(files), 0);
    ck_assert_int_eq(rename(hf_test_service_path(&service, "away"), files), 0);
}

START_TEST(while_a_copy_may_be_where_nobody_could_look_nothing_is_deleted)
{
    share_one_content();
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    hf_test_full_of(&service, FORK);
    damage_shared_content();
    const char *files = hide_files(FORK);
    ck_assert(!hf_system_delete(service.engine, HF_TEST_NAME, false, &err));
    ck_assert_msg(err.code != HF_DAMAGED && hf_code_retryable(err.code), "%s: %s", hf_code_name(err.code), err.text);
    ck_assert_msg(strstr(err.text, "is not deleted"), "%s", err.text);
    ck_assert(hf_test_is_known(&service, HF_TEST_NAME));
    show_files(files);
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, false, &err), "%s", err.text);
    ck_assert(row_is_sound(fork.system.id, 1));
    ck_assert_str_eq(hf_test_text_of(&service, FORK, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_refused_deletion_names_what_could_not_be_searched_and_looks_again_when_it_is_repeated)
{
    share_one_content();
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    hf_test_fork_now(&service, "another");
    hf_test_full_of(&service, "another");
    damage_shared_content();
    const char *files = hide_files("another");
    ck_assert(!hf_system_delete(service.engine, HF_TEST_NAME, false, &err));
    ck_assert_msg(strstr(err.text, "component a of system " FORK), "%s", err.text);
    ck_assert_msg(strstr(err.text, "the snapshot files of system another ("), "%s", err.text);
    ck_assert_msg(strstr(err.text, "force=true"), "%s", err.text);
    show_files(files);
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, false, &err), "%s", err.text);
    ck_assert(row_is_sound(fork.system.id, 1));
    hf_test_service_close(&service);
}
END_TEST

struct event_text {
    const char *type;
    char text[1024]; /* of the newest of this type */
};

static bool keep_text(void *context, const struct hf_event_row *row)
{
    struct event_text *kept = context;
    if (!strcmp(row->type, kept->type))
        snprintf(kept->text, sizeof(kept->text), "%s", row->text);
    return true;
}

START_TEST(a_forced_deletion_gives_up_what_could_not_be_searched_for_and_says_so)
{
    share_one_content();
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    hf_test_fork_now(&service, "another");
    hf_test_full_of(&service, "another");
    damage_shared_content();
    const char *files = hide_files("another");
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, true, &err), "%s", err.text);
    ck_assert(!hf_test_is_known(&service, HF_TEST_NAME));
    ck_assert(!row_is_sound(fork.system.id, 1));
    ck_assert_int_eq(hf_test_count_events_so_far(&service, 0, "state.damaged"), 1);
    struct event_text given_up = {.type = "state.damaged"};
    struct hf_session *session;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_events_list(session, 0, NULL, 0, 1000, keep_text, &given_up, &err));
    hf_sessions_give(service.engine->sessions, session);
    ck_assert_msg(strstr(given_up.text, "although not every copy could be looked for"), "%s", given_up.text);
    ck_assert_msg(strstr(given_up.text, FORK "/a"), "%s", given_up.text);
    ck_assert_msg(strstr(given_up.text, "the snapshot files of system another ("), "%s", given_up.text);
    /* What was damaged was handed on as it was: the copy heals it still, once it can be read. */
    show_files(files);
    ck_assert_str_eq(hf_test_text_of(&service, "another", "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

/* As after a crash; NULL: without one. */
static void restart_with_key(const char *key)
{
    free(service.config.encryption_key_file);
    service.config.encryption_key_file = key ? hf_test_key_file(service.directory, "keys", key) : NULL;
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
}

START_TEST(a_copy_may_be_in_a_file_whose_key_is_missing)
{
    share_one_content();
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    hf_test_fork_now(&service, "another");
    restart_with_key(HF_TEST_KEY_ONE "\n");
    hf_test_full_of(&service, "another");
    restart_with_key(NULL);
    damage_shared_content();
    ck_assert(!hf_system_delete(service.engine, HF_TEST_NAME, false, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    const char *place = strstr(err.text, "the snapshot files of system another (");
    ck_assert_msg(place && !strstr(place + 1, "the snapshot files of"), "%s", err.text);
    restart_with_key(HF_TEST_KEY_ONE "\n");
    ck_assert_msg(hf_system_delete(service.engine, HF_TEST_NAME, false, &err), "%s", err.text);
    ck_assert(row_is_sound(fork.system.id, 1));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_missing_key_keeps_no_history_from_being_trimmed)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", "--history", "1", NULL});
    hf_test_put(&service, "a", "{\"shared\":true}");
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    restart_with_key(HF_TEST_KEY_ONE "\n");
    hf_test_put(&service, "a", "{\"newer\":true}");
    hf_test_service_stop(&service); /* folded, and every snapshot is encrypted */
    hf_test_service_start(&service);
    restart_with_key(NULL);
    hf_test_alter(&service, "UPDATE component_states SET content = zeroblob(length(content))"
                            " WHERE version = 1 AND content IS NOT NULL");
    int64_t deleted = 0, before_ms = hf_clock_now_ms();
    while (hf_clock_now_ms() < before_ms + 5) /* of history */
        usleep(1000);
    ck_assert_msg(hf_retention_trim_history(service.engine, HF_TEST_NAME, &deleted, &err), "%s", err.text);
    ck_assert_int_eq(deleted, 1);
    ck_assert(!row_is_sound(fork.system.id, 1));
    ck_assert_int_eq(hf_test_count_events_so_far(&service, hf_test_system(&service).id, "state.damaged"), 1);
    restart_with_key(HF_TEST_KEY_ONE "\n");
    ck_assert_str_eq(hf_test_text_of(&service, FORK, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_trimmed_history_hands_on_is_healed_first)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", "--history", "1", NULL});
    hf_test_put(&service, "a", "{\"shared\":true}");
    hf_test_full(&service);
    struct hf_fork fork = hf_test_fork_now(&service, FORK);
    hf_test_put(&service, "a", "{\"newer\":true}");
    hf_test_service_stop(&service); /* folded: history up to here may go */
    hf_test_service_start(&service);
    hf_test_alter(
        &service,
        "UPDATE component_states SET content = zeroblob(length(content)) WHERE version = 1 AND content IS NOT NULL");
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
    hf_test_fork_now(&service, FORK);
    const struct hf_snapshot_row row = hf_test_full_of(&service, FORK);
    const char *file = hf_test_service_path(&service, "%s/%s/%s.snapshot", "system-state-backups", FORK, row.id);
    const char *away = hf_test_service_path(&service, "away");
    damage_shared_content();
    ck_assert_int_eq(rename(file, away), 0);
    ck_assert(!can_be_read("a"));
    ck_assert_int_eq(rename(away, file), 0);
    ck_assert(!can_be_read("b")); /* remembered: the file was not there when the fork was read */
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_test_full_of(&service, FORK);
    while (!can_be_read("c"))
        usleep(100000);
    ck_assert_str_eq(hf_test_text_of(&service, HF_TEST_NAME, "c"), "{\"shared\":3}");
    hf_test_service_close(&service);
}
END_TEST

/* Another system's healing has made it well: it says so as soon as it is read. */
START_TEST(who_shares_what_was_healed_is_damaged_no_more)
{
    share_one_content();
    hf_test_fork_now(&service, FORK);
    const struct hf_snapshot_row row = hf_test_full_of(&service, FORK);
    const char *file = hf_test_service_path(&service, "%s/%s/%s.snapshot", "system-state-backups", FORK, row.id);
    const char *away = hf_test_service_path(&service, "away");
    struct hf_component_info info;
    damage_shared_content();
    ck_assert_int_eq(rename(file, away), 0);
    ck_assert(!can_be_read("a"));
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "a", &service.arena, &info));
    ck_assert(info.damaged);
    ck_assert_int_eq(rename(away, file), 0);
    ck_assert_str_eq(hf_test_text_of(&service, FORK, "a"), "{\"shared\":true}");
    ck_assert(can_be_read("a"));
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "a", &service.arena, &info));
    ck_assert(!info.damaged);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_last_snapshot_waits_for_no_relatives)
{
    share_one_content();
    hf_test_fork_now(&service, FORK);
    hf_test_full_of(&service, FORK);
    damage_shared_content();
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    int64_t system_id = hf_test_system(&service).id;
    ck_assert_int_eq(hf_test_count_events(&service, system_id, "snapshot.incomplete"), 1);
    ck_assert_int_eq(hf_test_count_events(&service, system_id, "state.healed"), 0);
    ck_assert_str_eq(hf_test_text_of(&service, HF_TEST_NAME, "a"), "{\"shared\":true}");
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("fork_healing", a_fork_is_healed_from_the_snapshots_of_its_origin,
             an_origin_and_another_fork_are_healed_from_the_snapshots_of_a_fork,
             the_one_copy_is_found_among_many_rows_that_have_lost_theirs, what_one_fork_has_heals_all_at_once,
             an_old_version_with_an_altered_length_is_healed_from_its_relatives,
             what_a_deleted_origin_hands_on_is_healed_first, what_no_copy_is_left_of_is_named_when_it_is_handed_on,
             names_that_an_event_has_no_room_for_are_marked,
             while_a_copy_may_be_where_nobody_could_look_nothing_is_deleted,
             a_refused_deletion_names_what_could_not_be_searched_and_looks_again_when_it_is_repeated,
             a_forced_deletion_gives_up_what_could_not_be_searched_for_and_says_so,
             a_copy_may_be_in_a_file_whose_key_is_missing, a_missing_key_keeps_no_history_from_being_trimmed,
             what_trimmed_history_hands_on_is_healed_first,
             relatives_are_read_once_for_all_that_is_lost_until_a_snapshot_comes,
             who_shares_what_was_healed_is_damaged_no_more, the_last_snapshot_waits_for_no_relatives);
