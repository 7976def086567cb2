/* What is declared of a system and its components is in the next snapshot, whatever time it is stamped with: the clock
 * may be set back, and a cut may come between the stamp and the commit. */
#include "core/clock.h"
#include "engine/catalog_write.h"
#include "engine/row_of.h"
#include "store/components.h"
#include "store/snapshots.h"
#include "tests/support/engine.h"

#include "tests/support/check_main.h"

#include <string.h>
#include <time.h>

static struct hf_test_service service;

/* A registration on its way to the disk, with the time that it was stamped with before. */
struct stamped {
    const char *component;
    struct hf_registration registration;
};

static struct hf_component *find_locked(const char *name)
{
    return hf_catalog_find_component_locked(hf_catalog_find_system_locked(service.engine->catalog, HF_TEST_NAME), name);
}

static bool write_registration(struct hf_session *session, void *context, struct hf_error *err)
{
    struct stamped *stamped = context;
    struct hf_component_row row = hf_component_row_of(&stamped->registration, NULL);
    hf_catalog_lock(service.engine->catalog);
    row.component_id = find_locked(stamped->component)->id;
    hf_catalog_unlock(service.engine->catalog);
    row.system_id = hf_test_system(&service).id;
    return hf_components_register(session, &row, err);
}

static void publish_registration(void *context)
{
    struct stamped *stamped = context;
    struct hf_catalog *catalog = service.engine->catalog;
    hf_catalog_lock(catalog);
    hf_catalog_set_registration_locked(hf_catalog_find_system_locked(catalog, HF_TEST_NAME),
                                       find_locked(stamped->component), &stamped->registration);
    hf_catalog_unlock(catalog);
}

static void register_at(const char *component, const char *depends_on, int64_t at_ms)
{
    struct stamped stamped = {.component = component,
                              .registration = {.kind = "agent",
                                               .depends_on = &depends_on,
                                               .depends_on_count = 1,
                                               .depends_on_json =
                                                   hf_arena_format(&service.arena, "[\"%s\"]", depends_on),
                                               .required_pointers_json = "[]",
                                               .registered_at_ms = at_ms}};
    struct hf_call call = {.run = write_registration, .published = publish_registration, .context = &stamped};
    struct hf_error err;
    ck_assert_msg(hf_committer_call(service.engine->committer, &call, &err), "%s", err.text);
}

static void put_three(void)
{
    hf_test_put(&service, "a", "1");
    hf_test_put(&service, "b", "2");
    hf_test_put(&service, "c", "3");
}

static void restart(void)
{
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
}

/* What the scheduler asks for. */
static struct hf_snapshot_row take_if_changed(bool *unchanged_out)
{
    struct hf_snapshot_request request = {.system = HF_TEST_NAME, .full = true, .trigger = "schedule"};
    struct hf_snapshot_row row;
    struct hf_error err;
    *unchanged_out = false;
    ck_assert_msg(hf_snapshot_take(service.engine, &request, &service.arena, &row, unchanged_out, &err), "%s",
                  err.text);
    return row;
}

static struct hf_chain *load(const struct hf_snapshot_row *row)
{
    struct hf_chain *chain;
    struct hf_error err;
    ck_assert_msg(hf_chain_load(&chain, service.engine->repository, HF_TEST_NAME, row->id, &err), "%s", err.text);
    return chain;
}

static void check_depends(const struct hf_snapshot_row *row, const char *component, const char *json)
{
    struct hf_chain *chain = load(row);
    const struct hf_manifest_entry *entry = hf_chain_find(chain, component);
    ck_assert_ptr_nonnull(entry);
    ck_assert_str_eq(entry->depends_on, json);
    hf_chain_free(chain);
}

/* Nothing came in between: not with what is in memory, and not with what is read from the files. */
static void check_unchanged(void)
{
    for (int i = 0; i < 2; i++) {
        bool unchanged = false;
        hf_test_incremental(&service, &unchanged);
        ck_assert(unchanged);
        restart();
    }
}

static void check_stamped_before_the_cut(bool restarted)
{
    hf_test_service_open(&service, NULL);
    put_three();
    struct hf_snapshot_row full = hf_test_full(&service);
    register_at("b", "a", full.cut_at_ms - 1000);
    if (restarted)
        restart();
    bool unchanged = true;
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    ck_assert_str_eq(row.kind, "incremental");
    check_depends(&row, "b", "[\"a\"]");
    check_unchanged();
    hf_test_service_close(&service);
}

START_TEST(a_registration_stamped_before_the_cut_is_in_the_next_incremental)
{
    check_stamped_before_the_cut(false);
}
END_TEST

START_TEST(a_registration_stamped_before_the_cut_is_in_the_first_incremental_after_a_restart)
{
    check_stamped_before_the_cut(true);
}
END_TEST

/* The states alone would make an incremental. */
START_TEST(a_registration_stamped_before_the_cut_comes_along_with_other_changes)
{
    for (int restarted = 0; restarted < 2; restarted++) {
        hf_test_service_open(&service, NULL);
        put_three();
        struct hf_snapshot_row full = hf_test_full(&service);
        register_at("b", "a", full.cut_at_ms - 1000);
        if (restarted)
            restart();
        hf_test_put(&service, "c", "33");
        bool unchanged;
        struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
        ck_assert_str_eq(row.kind, "incremental");
        ck_assert_int_eq(row.changed, 1);
        check_depends(&row, "b", "[\"a\"]");
        check_depends(&row, "c", "[]");
        hf_test_service_close(&service);
    }
}
END_TEST

START_TEST(two_registrations_of_one_millisecond_are_told_apart)
{
    hf_test_service_open(&service, NULL);
    put_three();
    hf_test_full(&service);
    int64_t at_ms = hf_clock_now_ms();
    bool unchanged = true;
    register_at("b", "a", at_ms);
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    check_depends(&row, "b", "[\"a\"]");
    register_at("b", "c", at_ms);
    row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    check_depends(&row, "b", "[\"c\"]");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_full_is_taken_for_a_registration_stamped_before_the_last)
{
    for (int restarted = 0; restarted < 2; restarted++) {
        hf_test_service_open(&service, NULL);
        put_three();
        struct hf_snapshot_row full = hf_test_full(&service);
        register_at("b", "a", full.cut_at_ms - 1000);
        bool unchanged;
        hf_test_incremental(&service, &unchanged); /* has it, but is no full */
        if (restarted)
            restart();
        struct hf_snapshot_row row = take_if_changed(&unchanged);
        ck_assert(!unchanged);
        check_depends(&row, "b", "[\"a\"]");
        row = take_if_changed(&unchanged);
        ck_assert(unchanged);
        hf_test_service_close(&service);
    }
}
END_TEST

START_TEST(nothing_changed_over_a_restart_makes_no_snapshot)
{
    hf_test_service_open(&service, NULL);
    put_three();
    hf_test_delete(&service, "c");
    hf_test_register(&service, "b", "agent", "a", 1000);
    hf_test_register(&service, "promised", "agent", "a", 0);
    struct hf_snapshot_row full = hf_test_full(&service);
    restart();
    bool unchanged;
    struct hf_snapshot_row row = take_if_changed(&unchanged);
    ck_assert(unchanged);
    ck_assert_str_eq(row.id, full.id);
    check_unchanged();
    hf_test_put(&service, "a", "11");
    row = hf_test_incremental(&service, &unchanged);
    ck_assert(!unchanged);
    ck_assert_str_eq(row.kind, "incremental");
    ck_assert_str_eq(row.parent, full.id);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(settings_are_part_of_what_changed)
{
    const struct hf_system_settings settings = {"of the north", 3600000, 60000, 48};
    for (int restarted = 0; restarted < 2; restarted++) {
        hf_test_service_open(&service, NULL);
        put_three();
        hf_test_full(&service);
        bool created, unchanged = true;
        struct hf_error err;
        ck_assert_msg(hf_system_put(service.engine, HF_TEST_NAME, &settings, &created, &err), "%s", err.text);
        if (restarted)
            restart();
        struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
        ck_assert(!unchanged);
        struct hf_chain *chain = load(&row);
        const struct hf_manifest_header *header = hf_chain_header(chain);
        ck_assert_str_eq(header->description, "of the north");
        ck_assert_int_eq(header->backup_interval_ms, 3600000);
        ck_assert_int_eq(header->incremental_interval_ms, 60000);
        ck_assert_int_eq(header->max_retention_hours, 48);
        hf_chain_free(chain);
        check_unchanged();
        hf_test_service_close(&service);
    }
}
END_TEST

START_TEST(a_forgotten_component_is_not_in_the_next_snapshot)
{
    for (int restarted = 0; restarted < 2; restarted++) {
        hf_test_service_open(&service, NULL);
        put_three();
        hf_test_register(&service, "promised", "agent", NULL, 0);
        hf_test_full(&service);
        bool forgotten = false, unchanged = true;
        struct hf_error err;
        ck_assert_msg(hf_component_forget(service.engine, HF_TEST_NAME, "promised", &(struct hf_order){0}, &forgotten,
                                          &err),
                      "%s", err.text);
        ck_assert(forgotten);
        if (restarted)
            restart();
        struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
        ck_assert(!unchanged);
        struct hf_chain *chain = load(&row);
        ck_assert_ptr_null(hf_chain_find(chain, "promised"));
        ck_assert_int_eq(hf_chain_count(chain), 3);
        hf_chain_free(chain);
        check_unchanged();
        hf_test_service_close(&service);
    }
}
END_TEST

/* As after the clock was set back by an hour. */
START_TEST(a_registration_is_stamped_no_earlier_than_the_commits_before_it)
{
    hf_test_service_open(&service, NULL);
    put_three();
    int64_t ahead_ms = hf_clock_now_ms() + 3600000;
    hf_catalog_lock(service.engine->catalog);
    hf_catalog_find_system_locked(service.engine->catalog, HF_TEST_NAME)->committed_at_ms = ahead_ms;
    hf_catalog_unlock(service.engine->catalog);
    hf_test_register(&service, "b", "agent", "a", 0);
    struct hf_component_info info;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, "b", &service.arena, &info));
    ck_assert_int_eq(info.registration.registered_at_ms, ahead_ms);
    ck_assert_int_eq(info.last_activity_at_ms, ahead_ms);
    hf_test_service_close(&service);
}
END_TEST

static int64_t registered_at_ms(const char *component)
{
    struct hf_component_info info;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, component, &service.arena, &info));
    return info.registration.registered_at_ms;
}

START_TEST(a_snapshot_holds_what_was_registered_before_its_time_and_nothing_else)
{
    hf_test_service_open(&service, NULL);
    put_three();
    nanosleep(&(struct timespec){0, 5000000}, NULL); /* now is after the last commit */
    /* As while one is being committed that was stamped a minute ago. A cut is no earlier than what it holds. */
    hf_catalog_lock(service.engine->catalog);
    hf_catalog_find_system_locked(service.engine->catalog, HF_TEST_NAME)->registering_at_ms = hf_clock_now_ms() - 60000;
    hf_catalog_unlock(service.engine->catalog);
    struct hf_snapshot_row full = hf_test_full(&service);
    ck_assert_int_eq(full.cut_at_ms, hf_test_system(&service).committed_at_ms);

    hf_test_register(&service, "b", "agent", "a", 0);
    ck_assert_int_gt(registered_at_ms("b"), full.cut_at_ms);
    bool unchanged;
    int64_t ahead_ms = hf_clock_now_ms() + 60000;
    register_at("c", "a", ahead_ms);
    struct hf_snapshot_row row = hf_test_incremental(&service, &unchanged);
    check_depends(&row, "c", "[\"a\"]");
    ck_assert_int_gt(row.cut_at_ms, ahead_ms);
    hf_test_register(&service, "b", "agent", "c", 0);
    ck_assert_int_gt(registered_at_ms("b"), row.cut_at_ms);
    hf_test_service_close(&service);
}
END_TEST

static bool insert_row(struct hf_session *session, void *context, struct hf_error *err)
{
    return hf_snapshots_insert(session, context, err);
}

/* A damaged one may be mended and stand among the others again: each has a time of its own. */
START_TEST(a_cut_is_later_than_that_of_a_damaged_snapshot_from_before_the_clock_was_set_back)
{
    hf_test_service_open(&service, NULL);
    put_three();
    struct hf_snapshot_row damaged = hf_test_full(&service);
    damaged.id = hf_arena_format(&service.arena, "%s-2", damaged.id);
    damaged.generation = damaged.id;
    damaged.validation_status = "damaged";
    damaged.cut_at_ms += 3600000;
    struct hf_call call = {.run = insert_row, .context = &damaged};
    struct hf_error err;
    ck_assert_msg(hf_committer_call(service.engine->committer, &call, &err), "%s", err.text);
    restart();
    ck_assert_int_eq(hf_test_full(&service).cut_at_ms, damaged.cut_at_ms + 1);
    ck_assert_int_eq(hf_test_full(&service).cut_at_ms, damaged.cut_at_ms + 2);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("declared", a_registration_stamped_before_the_cut_is_in_the_next_incremental,
             a_registration_stamped_before_the_cut_is_in_the_first_incremental_after_a_restart,
             a_registration_stamped_before_the_cut_comes_along_with_other_changes,
             two_registrations_of_one_millisecond_are_told_apart,
             a_full_is_taken_for_a_registration_stamped_before_the_last,
             nothing_changed_over_a_restart_makes_no_snapshot, settings_are_part_of_what_changed,
             a_forgotten_component_is_not_in_the_next_snapshot,
             a_registration_is_stamped_no_earlier_than_the_commits_before_it,
             a_snapshot_holds_what_was_registered_before_its_time_and_nothing_else,
             a_cut_is_later_than_that_of_a_damaged_snapshot_from_before_the_clock_was_set_back);
