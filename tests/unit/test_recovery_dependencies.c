/* Partial restores that bring along what they depend on, and what is said of dependencies that are missing. */
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "tests/support/engine.h"
#include "tests/support/recoveries.h"

#include "tests/support/check_main.h"

#include <string.h>

static struct hf_test_service service;
static struct hf_error err;

static bool run(struct hf_recovery_request request, struct hf_recovery_row *out)
{
    request.system = HF_TEST_NAME;
    return hf_recovery_run(service.engine, &request, &service.arena, out, &err);
}

/* The plan in short: waves by "|", "component<because", then "!component>dependency" for each warning. */
static const char *in_short(const struct hf_recovery_row *row)
{
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(row);
    char *text = hf_arena_strdup(&service.arena, "");
    size_t w, i;
    const json_t *wave, *item;
    json_array_foreach(json_object_get(detail, "waves"), w, wave)
    {
        json_array_foreach(wave, i, item)
        {
            const char *because = json_string_value(json_object_get(item, "because"));
            text = hf_arena_format(&service.arena, "%s%s%s%s%s", text,
                                   i   ? " "
                                   : w ? "|"
                                       : "",
                                   json_string_value(json_object_get(item, "component")), because ? "<" : "",
                                   because ? because : "");
        }
    }
    json_array_foreach(json_object_get(detail, "warnings"), i, item)
    {
        text = hf_arena_format(&service.arena, "%s !%s>%s", text, json_string_value(json_object_get(item, "component")),
                               json_string_value(json_object_get(item, "dependency")));
        ck_assert(json_is_string(json_object_get(item, "text")));
    }
    return text;
}

/* agent-7 -> model -> data; other and stray stand apart. */
static struct hf_snapshot_row open_fleet(void)
{
    hf_test_service_open(&service, NULL);
    static const char *const names[] = {"agent-7", "data", "model", "other"};
    for (int i = 0; i < 4; i++)
        hf_test_put(&service, names[i], "1");
    hf_test_register(&service, "agent-7", "agent", "model", 0);
    hf_test_register(&service, "model", "model", "data", 0);
    struct hf_snapshot_row full = hf_test_full(&service);
    for (int i = 0; i < 4; i++)
        hf_test_put(&service, names[i], "2");
    return full;
}

static const char *const agent[] = {"agent-7"};

START_TEST(what_it_depends_on_comes_along_when_asked_for)
{
    struct hf_snapshot_row full = open_fleet();
    struct hf_recovery_request request = {.source = "snapshot",
                                          .snapshot = full.id,
                                          .components = agent,
                                          .component_count = 1};
    struct hf_recovery_row row;
    request.dry_run = true;
    ck_assert_msg(run(request, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "agent-7");
    request.include_dependencies = true;
    ck_assert_msg(run(request, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "data<model|model<agent-7|agent-7");
    request.dry_run = false;
    ck_assert_msg(run(request, &row), "%s", err.text);
    ck_assert_str_eq(hf_test_get(&service, "agent-7"), "1");
    ck_assert_str_eq(hf_test_get(&service, "model"), "1");
    ck_assert_str_eq(hf_test_get(&service, "data"), "1");
    ck_assert_str_eq(hf_test_get(&service, "other"), "2");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(the_registrations_of_the_snapshot_count_there_and_the_present_ones_in_history)
{
    struct hf_snapshot_row full = open_fleet();
    int64_t at_ms = full.cut_at_ms;
    hf_test_register(&service, "agent-7", "agent", "other", 0);
    struct hf_recovery_row row;
    struct hf_recovery_request request = {.source = "snapshot",
                                          .snapshot = full.id,
                                          .components = agent,
                                          .component_count = 1,
                                          .include_dependencies = true,
                                          .dry_run = true};
    /* The plan goes by the registrations that will hold: the present ones. */
    ck_assert_msg(run(request, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "agent-7 data<model|model<agent-7");
    request.source = "at";
    request.snapshot = NULL;
    request.at_ms = at_ms;
    ck_assert_msg(run(request, &row), "%s", err.text);
    ck_assert_str_eq(row.snapshot, "");
    ck_assert_str_eq(in_short(&row), "other<agent-7|agent-7");
    request.source = "head";
    ck_assert_msg(run(request, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "other<agent-7|agent-7");
    hf_test_service_close(&service);
}
END_TEST

/* top -> mid -> base, where mid is registered but never had a state; other stands apart. */
static struct hf_snapshot_row open_stateless(void)
{
    hf_test_service_open(&service, NULL);
    static const char *const names[] = {"base", "other", "top"};
    for (int i = 0; i < 3; i++)
        hf_test_put(&service, names[i], "1");
    hf_test_register(&service, "mid", "orchestrator", "base", 0);
    hf_test_register(&service, "top", "agent", "mid", 0);
    return hf_test_full(&service);
}

START_TEST(the_order_goes_through_what_is_in_no_wave)
{
    struct hf_snapshot_row full = open_stateless();
    struct hf_recovery_row row;
    ck_assert_msg(run((struct hf_recovery_request){.source = "head", .dry_run = true}, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "base other|top !top>mid");
    ck_assert_msg(run((struct hf_recovery_request){.source = "snapshot", .snapshot = full.id, .dry_run = true}, &row),
                  "%s", err.text);
    ck_assert_str_eq(in_short(&row), "base other|top !top>mid");
    /* It has a state now, but is not asked for; then it is deleted. */
    static const char *const ends[] = {"top", "base"};
    struct hf_recovery_request some = {.source = "head", .components = ends, .component_count = 2, .dry_run = true};
    hf_test_put(&service, "mid", "1");
    ck_assert_msg(run(some, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "base|top");
    hf_test_delete(&service, "mid");
    ck_assert_msg(run(some, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "base|top !top>mid");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_comes_along_is_found_through_what_never_had_a_state)
{
    struct hf_snapshot_row full = open_stateless();
    static const char *const top[] = {"top"};
    struct hf_recovery_row row;
    struct hf_recovery_request request = {.source = "snapshot",
                                          .snapshot = full.id,
                                          .components = top,
                                          .component_count = 1,
                                          .include_dependencies = true,
                                          .dry_run = true};
    ck_assert_msg(run(request, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "base<mid|top !top>mid");
    request.source = "head";
    request.snapshot = NULL;
    ck_assert_msg(run(request, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "base<mid|top !top>mid");
    /* What was deleted needs nothing any more. */
    hf_test_put(&service, "mid", "1");
    hf_test_delete(&service, "mid");
    ck_assert_msg(run(request, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), "top !top>mid");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_plan_applies_what_it_listed)
{
    struct hf_snapshot_row full = open_fleet();
    struct hf_recovery_row plan, row;
    struct hf_recovery_request request = {.source = "snapshot",
                                          .snapshot = full.id,
                                          .components = agent,
                                          .component_count = 1,
                                          .include_dependencies = true,
                                          .dry_run = true};
    ck_assert_msg(run(request, &plan), "%s", err.text);
    struct hf_recovery_request kept;
    struct hf_recovery_row kept_row;
    ck_assert_msg(hf_recovery_read_plan(service.engine, HF_TEST_NAME, plan.id, &service.arena, &kept_row, &kept, &err),
                  "%s", err.text);
    ck_assert(kept.include_dependencies);
    ck_assert_int_eq(kept.along_count, 2);
    ck_assert_msg(run(kept, &row), "%s", err.text);
    ck_assert_str_eq(in_short(&row), in_short(&plan));
    ck_assert_str_eq(hf_test_get(&service, "data"), "1");
    ck_assert_str_eq(hf_test_get(&service, "other"), "2");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_token_for_some_components_brings_nothing_else_along)
{
    struct hf_snapshot_row full = open_fleet();
    struct hf_recovery_row row;
    struct hf_recovery_request request = {.source = "snapshot",
                                          .snapshot = full.id,
                                          .components = agent,
                                          .component_count = 1,
                                          .include_dependencies = true,
                                          .allowed_prefix = "agent-"};
    ck_assert(!run(request, &row));
    ck_assert_int_eq(err.code, HF_FORBIDDEN);
    ck_assert_str_eq(hf_test_get(&service, "agent-7"), "2");
    request.allowed_prefix = "";
    ck_assert_msg(run(request, &row), "%s", err.text);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(dependencies_that_will_have_no_state_are_warnings)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    hf_test_put(&service, "b", "1");
    hf_test_register(&service, "a", "agent", "nowhere", 0);
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "2");
    hf_test_put(&service, "later", "1");
    hf_test_register(&service, "b", "agent", "later", 0);
    struct hf_recovery_row row;
    ck_assert_msg(run((struct hf_recovery_request){.source = "snapshot", .snapshot = full.id, .dry_run = true}, &row),
                  "%s", err.text);
    ck_assert_str_eq(in_short(&row), "a b !a>nowhere !b>later"); /* a whole restore deletes what came later */
    static const char *const b[] = {"b"};
    ck_assert_msg(run((struct hf_recovery_request){.source = "snapshot",
                                                   .snapshot = full.id,
                                                   .components = b,
                                                   .component_count = 1,
                                                   .dry_run = true},
                      &row),
                  "%s", err.text);
    ck_assert_str_eq(in_short(&row), "b"); /* which then stays */
    static const char *const a[] = {"a"};
    ck_assert_msg(run((struct hf_recovery_request){.source = "snapshot",
                                                   .snapshot = full.id,
                                                   .components = a,
                                                   .component_count = 1,
                                                   .include_dependencies = true},
                      &row),
                  "%s", err.text);
    ck_assert_str_eq(row.status, "applied");
    ck_assert_str_eq(in_short(&row), "a !a>nowhere");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(what_the_source_does_not_hold_is_neither_brought_nor_deleted)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    hf_test_put(&service, "gone", "1");
    hf_test_delete(&service, "gone");
    hf_test_register(&service, "a", "agent", "gone", 0);
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_put(&service, "a", "2");
    hf_test_put(&service, "gone", "2");
    static const char *const a[] = {"a"};
    struct hf_recovery_row row;
    ck_assert_msg(run((struct hf_recovery_request){.source = "snapshot",
                                                   .snapshot = full.id,
                                                   .components = a,
                                                   .component_count = 1,
                                                   .include_dependencies = true},
                      &row),
                  "%s", err.text);
    ck_assert_str_eq(in_short(&row), "a");
    ck_assert_str_eq(hf_test_get(&service, "a"), "1");
    ck_assert_str_eq(hf_test_get(&service, "gone"), "2");
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("recovery dependencies", what_it_depends_on_comes_along_when_asked_for,
             the_registrations_of_the_snapshot_count_there_and_the_present_ones_in_history,
             the_order_goes_through_what_is_in_no_wave, what_comes_along_is_found_through_what_never_had_a_state,
             a_plan_applies_what_it_listed, a_token_for_some_components_brings_nothing_else_along,
             dependencies_that_will_have_no_state_are_warnings,
             what_the_source_does_not_hold_is_neither_brought_nor_deleted);
