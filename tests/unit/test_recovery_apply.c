/* Applying plans: what was planned happens, once, and only while the system stands where it stood. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "tests/support/engine.h"
#include "tests/support/recoveries.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

static struct hf_test_service service;
static struct hf_error err;

static struct hf_recovery_row plan_of(const struct hf_recovery_request *request)
{
    struct hf_recovery_request wanted = *request;
    struct hf_recovery_row row;
    wanted.system = HF_TEST_NAME;
    wanted.dry_run = true;
    ck_assert_msg(hf_recovery_run(service.engine, &wanted, &service.arena, &row, &err), "%s", err.text);
    ck_assert_str_eq(row.status, "planned");
    return row;
}

static struct hf_recovery_row plan_snapshot(const char *snapshot)
{
    return plan_of(&(struct hf_recovery_request){.source = "snapshot", .snapshot = snapshot, .reason = "planned"});
}

static bool add_row(void *context, const struct hf_recovery_row *row)
{
    struct hf_recovery_row *last = context;
    last->system_id++; /* counts */
    last->status = hf_arena_strdup(&service.arena, row->status);
    last->detail = hf_arena_strdup(&service.arena, row->detail);
    last->epoch = row->epoch;
    last->started_at_ms = row->started_at_ms;
    return true;
}

/* The only row there is. */
static struct hf_recovery_row stored_row(void)
{
    struct hf_recovery_row last = {0};
    struct hf_session *session;
    ck_assert(hf_sessions_take(service.engine->sessions, &session, &err));
    ck_assert(hf_recoveries_list(session, hf_test_system(&service).id, INT64_MAX, "", 100, add_row, &last, &err));
    hf_sessions_give(service.engine->sessions, session);
    ck_assert_int_eq(last.system_id, 1);
    return last;
}

START_TEST(a_plan_becomes_the_restore_that_it_planned)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "later", "1");
    struct hf_system_info before = hf_test_system(&service);
    struct hf_recovery_row plan = plan_snapshot(full.id), row;
    hf_test_expect_detail(&plan, "removed", "[\"later\"]");
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");

    ck_assert_msg(hf_test_apply(&service, plan.id, false, &row, &err), "%s", err.text);
    ck_assert_str_eq(row.id, plan.id);
    ck_assert_str_eq(row.status, "applied");
    ck_assert_str_eq(row.snapshot, full.id);
    ck_assert_str_eq(row.reason, "planned");
    ck_assert_int_eq(row.epoch, before.epoch + 1);
    ck_assert_int_eq(row.sequence_before, before.sequence);
    ck_assert_int_eq(row.sequence_after, before.sequence + 2);
    ck_assert_int_ge(row.completed_at_ms, row.started_at_ms);
    ck_assert_int_eq(row.data_loss_versions, 2);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_ptr_null(hf_test_get(&service, "later"));
    ck_assert_int_eq(hf_test_system(&service).sequence, row.sequence_after);

    struct hf_recovery_row stored = stored_row();
    ck_assert_str_eq(stored.status, "applied");
    ck_assert_str_eq(stored.detail, row.detail);
    ck_assert_int_eq(stored.epoch, row.epoch);
    hf_test_expect_detail(&stored, "removed", "[\"later\"]");
    hf_test_service_close(&service);
}
END_TEST

/* Whoever thinks about a plan for an hour has not restored for an hour. */
START_TEST(the_time_between_plan_and_restore_belongs_to_neither)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_recovery_row plan = plan_snapshot(full.id), row;
    usleep(50000);
    int64_t decided_ms = hf_clock_now_ms();
    ck_assert_msg(hf_test_apply(&service, plan.id, false, &row, &err), "%s", err.text);
    ck_assert_int_lt(plan.started_at_ms, decided_ms);
    ck_assert_int_ge(row.started_at_ms, decided_ms);
    ck_assert_int_ge(stored_row().started_at_ms, decided_ms);
    char planned[HF_TIME_BYTES];
    hf_time_format(plan.started_at_ms, planned);
    HF_AUTO(free) char *wanted = hf_format("\"%s\"", planned);
    const struct hf_recovery_row last = stored_row();
    hf_test_expect_detail(&last, "plannedAt", wanted);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_plan_is_refused_once_the_system_moved_on_unless_forced)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_recovery_row plan = plan_snapshot(full.id), row;
    hf_test_put(&service, "b", "1");
    ck_assert(!hf_test_apply(&service, plan.id, false, &row, &err));
    ck_assert_int_eq(err.code, HF_PLAN_CHANGED);
    ck_assert_ptr_nonnull(strstr(err.text, "from sequence 2 (epoch 1) to 3 (epoch 1)"));
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_int_eq(hf_test_system(&service).sequence, 3);
    ck_assert_str_eq(stored_row().status, "planned");

    ck_assert_msg(hf_test_apply(&service, plan.id, true, &row, &err), "%s", err.text);
    ck_assert_int_eq(row.sequence_before, 3);
    ck_assert_int_eq(row.data_loss_versions, 2); /* as of now, not as planned */
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_ptr_null(hf_test_get(&service, "b"));
    ck_assert_str_eq(stored_row().status, "applied");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_restore_in_between_makes_a_plan_outdated_by_its_epoch)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    struct hf_recovery_row plan = plan_snapshot(full.id), row;
    hf_test_restore(&service, full.id); /* writes nothing: only the epoch moves */
    ck_assert_int_eq(hf_test_system(&service).sequence, 1);
    ck_assert(!hf_test_apply(&service, plan.id, false, &row, &err));
    ck_assert_int_eq(err.code, HF_PLAN_CHANGED);
    ck_assert_int_eq(hf_test_system(&service).epoch, 2);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(only_a_plan_of_the_past_is_applied_and_only_once)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_recovery_row plan = plan_snapshot(full.id), head, row;
    ck_assert_msg(hf_test_apply(&service, plan.id, false, &row, &err), "%s", err.text);
    ck_assert(!hf_test_apply(&service, plan.id, false, &row, &err));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    ck_assert(!hf_test_apply(&service, plan.id, true, &row, &err));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    head = plan_of(&(struct hf_recovery_request){.source = "head"});
    ck_assert(!hf_test_apply(&service, head.id, true, &row, &err));
    ck_assert_int_eq(err.code, HF_CONFLICT);
    ck_assert(!hf_test_apply(&service, "rec-none", true, &row, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert_int_eq(hf_test_system(&service).epoch, 2);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_partial_plan_touches_only_what_it_named)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_put(&service, "c", "{\"c\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    hf_test_put(&service, "b", "{\"b\":2}");
    hf_test_put(&service, "c", "{\"c\":2}");
    hf_test_put(&service, "later", "1");
    const char *const names[] = {"c", "a"};
    struct hf_recovery_row row, plan = plan_of(&(struct hf_recovery_request){.source = "snapshot",
                                                                             .snapshot = full.id,
                                                                             .components = names,
                                                                             .component_count = 2});
    ck_assert_msg(hf_test_apply(&service, plan.id, false, &row, &err), "%s", err.text);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_str_eq(hf_test_get(&service, "b"), "{\"b\":2}");
    ck_assert_str_eq(hf_test_get(&service, "c"), "{\"c\":1}");
    ck_assert_str_eq(hf_test_get(&service, "later"), "1");
    hf_test_expect_detail(&row, "request", "{\"salvage\":false,\"components\":[\"c\",\"a\"]}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_plan_of_a_past_moment_is_applied_from_history)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    usleep(5000);
    int64_t at_ms = hf_clock_now_ms();
    usleep(5000);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_recovery_row row, plan = plan_of(&(struct hf_recovery_request){.source = "at", .at_ms = at_ms});
    ck_assert_msg(hf_test_apply(&service, plan.id, false, &row, &err), "%s", err.text);
    ck_assert_str_eq(row.source, "at");
    ck_assert_int_eq(row.at_ms, at_ms);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_plan_whose_history_went_is_refused_even_when_forced)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    usleep(5000);
    int64_t at_ms = hf_clock_now_ms();
    usleep(5000);
    hf_test_put(&service, "a", "{\"a\":3}");
    struct hf_recovery_row row, plan = plan_of(&(struct hf_recovery_request){.source = "at", .at_ms = at_ms});
    hf_test_forget_history(&service); /* the snapshot before that moment holds 1 */
    for (int force = 0; force <= 1; force++) {
        ck_assert(!hf_test_apply(&service, plan.id, force, &row, &err));
        ck_assert_int_eq(err.code, HF_PLAN_CHANGED);
        ck_assert_ptr_nonnull(strstr(err.text, "make a new plan"));
        ck_assert_ptr_null(strstr(err.text, "force"));
    }
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":3}");
    ck_assert_int_eq(hf_test_system(&service).epoch, 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_plan_of_latest_means_the_snapshot_that_was_the_latest_then)
{
    const char *const flags[] = {"--anchor-interval", "0", NULL};
    hf_test_service_open(&service, flags);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row good = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row bad = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":3}");
    hf_test_forget_history(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &bad), "{\"a\":2}");
    struct hf_recovery_row plan = plan_snapshot("latest"), row;
    ck_assert_str_eq(plan.snapshot, good.id);
    hf_test_full(&service); /* of the present: it moves nothing */
    ck_assert_msg(hf_test_apply(&service, plan.id, false, &row, &err), "%s", err.text);
    ck_assert_str_eq(row.snapshot, good.id);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    HF_AUTO(free) char *skipped = hf_format("\"skipped\":[{\"snapshot\":\"%s\"", bad.id);
    ck_assert_ptr_nonnull(strstr(row.detail, skipped));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_plan_outlives_a_restart_and_a_failure)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_recovery_row plan = plan_snapshot(full.id), row;
    hf_test_service_stop(&service);
    hf_test_service_start(&service);
    char *path = hf_test_engine_snapshot_path(&service, &full);
    hf_test_forget_history(&service);
    hf_test_damage_content(path, "{\"a\":1}");
    ck_assert(!hf_test_apply(&service, plan.id, false, &row, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":2}");
    ck_assert_str_eq(stored_row().status, "planned");
    ck_assert_int_ge(hf_test_count_events(&service, hf_test_system(&service).id, "recovery.failed"), 1);
    hf_test_damage_content(path, "{\"a\":1}"); /* flipped back */
    ck_assert_msg(hf_test_apply(&service, plan.id, false, &row, &err), "%s", err.text);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_str_eq(stored_row().status, "applied");
    hf_test_service_close(&service);
}
END_TEST

/* Holds the committer, so that what comes next waits in line. */
struct holder {
    pthread_t thread;
    sem_t held, release;
};

static bool hold(struct hf_session *session, void *context, struct hf_error *ignored)
{
    (void)session, (void)ignored;
    struct holder *holder = context;
    sem_post(&holder->held);
    sem_wait(&holder->release);
    return true;
}

static void *run_hold(void *context)
{
    struct hf_error ignored;
    struct hf_call call = {.run = hold, .context = context};
    return hf_committer_call(service.engine->committer, &call, &ignored) ? context : NULL;
}

static void hold_committer(struct holder *holder)
{
    sem_init(&holder->held, 0, 0);
    sem_init(&holder->release, 0, 0);
    ck_assert_int_eq(pthread_create(&holder->thread, NULL, run_hold, holder), 0);
    sem_wait(&holder->held);
}

static void release_committer(struct holder *holder)
{
    void *ok;
    sem_post(&holder->release);
    pthread_join(holder->thread, &ok);
    ck_assert_ptr_nonnull(ok);
    sem_destroy(&holder->held);
    sem_destroy(&holder->release);
}

/* One thread's work in line behind the holder. */
struct waiting {
    pthread_t thread;
    const char *id; /* of a plan; NULL: an upload */
    bool force, ok;
    struct hf_arena arena;
    struct hf_recovery_row plan;
    struct hf_recovery_request request;
    struct hf_error err;
};

static void *run_waiting(void *context)
{
    struct waiting *waiting = context;
    struct hf_recovery_row row;
    if (!waiting->id)
        hf_test_put(&service, "a", "{\"in\":\"between\"}");
    else
        waiting->ok = hf_recovery_run(service.engine, &waiting->request, &waiting->arena, &row, &waiting->err);
    return NULL;
}

/* Returns when it waits in line as number place. */
static void start_waiting(struct waiting *waiting, int place)
{
    hf_arena_init(&waiting->arena);
    if (waiting->id) {
        ck_assert(hf_recovery_read_plan(service.engine, HF_TEST_NAME, waiting->id, &waiting->arena, &waiting->plan,
                                        &waiting->request, &err));
        waiting->request.force = waiting->force;
    }
    ck_assert_int_eq(pthread_create(&waiting->thread, NULL, run_waiting, waiting), 0);
    while (hf_committer_queue_length(service.engine->committer) < place)
        usleep(1000); /* the test's own timeout ends it */
}

static void end_waiting(struct waiting *waiting)
{
    pthread_join(waiting->thread, NULL);
    hf_arena_done(&waiting->arena);
}

START_TEST(an_upload_in_line_before_a_plan_is_not_undone_by_it)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_recovery_row plan = plan_snapshot(full.id);
    struct holder holder;
    struct waiting upload = {.id = NULL}, applied = {.id = plan.id};
    hold_committer(&holder);
    start_waiting(&upload, 1);
    start_waiting(&applied, 2); /* when it looked, nothing had moved yet */
    release_committer(&holder);
    end_waiting(&upload);
    end_waiting(&applied);
    ck_assert(!applied.ok);
    ck_assert_int_eq(applied.err.code, HF_PLAN_CHANGED);
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"in\":\"between\"}");
    ck_assert_int_eq(hf_test_system(&service).epoch, 1);
    ck_assert_str_eq(stored_row().status, "planned");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(of_two_who_force_the_same_plan_one_applies_it)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_recovery_row plan = plan_snapshot(full.id);
    struct holder holder;
    struct waiting one = {.id = plan.id, .force = true}, two = one;
    hold_committer(&holder);
    start_waiting(&one, 1);
    start_waiting(&two, 2);
    release_committer(&holder);
    end_waiting(&one);
    end_waiting(&two);
    ck_assert(one.ok);
    ck_assert(!two.ok);
    ck_assert_int_eq(two.err.code, HF_CONFLICT);
    ck_assert_int_eq(hf_test_system(&service).epoch, 2);
    ck_assert_str_eq(stored_row().status, "applied");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_restore_writes_a_state_again_whose_stored_bytes_are_damaged)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_catalog_mark_damaged(service.engine->catalog, HF_TEST_NAME, "a", true);
    struct hf_recovery_row row = hf_test_restore(&service, full.id);
    ck_assert_int_eq(row.sequence_after, row.sequence_before + 1);
    hf_test_restore(&service, full.id);
    ck_assert_int_eq(hf_test_system(&service).sequence, row.sequence_after); /* whole now: nothing to write */
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("recovery apply", a_plan_becomes_the_restore_that_it_planned,
             the_time_between_plan_and_restore_belongs_to_neither,
             a_plan_is_refused_once_the_system_moved_on_unless_forced,
             a_restore_in_between_makes_a_plan_outdated_by_its_epoch, only_a_plan_of_the_past_is_applied_and_only_once,
             a_partial_plan_touches_only_what_it_named, a_plan_of_a_past_moment_is_applied_from_history,
             a_plan_whose_history_went_is_refused_even_when_forced,
             a_plan_of_latest_means_the_snapshot_that_was_the_latest_then, a_plan_outlives_a_restart_and_a_failure,
             an_upload_in_line_before_a_plan_is_not_undone_by_it, of_two_who_force_the_same_plan_one_applies_it,
             a_restore_writes_a_state_again_whose_stored_bytes_are_damaged);
