#include "engine/health.h"

#include "core/auto.h"
#include "core/clock.h"
#include "tests/support/engine.h"

#include "tests/support/check_main.h"

#include <math.h>
#include <string.h>

static struct hf_test_service service;

static struct hf_component_info component(double reported, int64_t interval_ms, int64_t heard_ms)
{
    return (struct hf_component_info){.name = "a",
                                      .head = {.version = 1, .content_type = ""},
                                      .registration = {.kind = "",
                                                       .heartbeat_interval_ms = interval_ms,
                                                       .registered_at_ms = interval_ms ? 1 : 0},
                                      .report = {.health = reported, .status = "", .metrics = "{}"},
                                      .last_activity_at_ms = heard_ms};
}

START_TEST(a_component_that_promised_nothing_is_unknown_and_counts_in_full)
{
    struct hf_component_info info = component(-1, 0, 0);
    struct hf_component_health health = hf_component_health(&info, 1000000);
    ck_assert_str_eq(health.label, "unknown");
    ck_assert(fabs(health.score - 1) < 1e-9);
}
END_TEST

START_TEST(the_reported_health_is_the_score_while_heartbeats_come)
{
    struct hf_component_info info = component(0.8, 1000, 999000);
    struct hf_component_health health = hf_component_health(&info, 1000000);
    ck_assert_str_eq(health.label, "healthy");
    ck_assert(fabs(health.score - 0.8) < 1e-9);
}
END_TEST

START_TEST(silence_makes_stale_and_lowers_the_score_with_time)
{
    struct hf_component_info info = component(1, 1000, 100000);
    ck_assert_str_eq(hf_component_health(&info, 101999).label, "healthy");
    struct hf_component_health early = hf_component_health(&info, 102000);
    struct hf_component_health late = hf_component_health(&info, 104000);
    ck_assert_str_eq(early.label, "stale");
    ck_assert(fabs(early.score - 1) < 1e-9);
    ck_assert(fabs(late.score - 0.5) < 1e-9);
    ck_assert(hf_component_health(&info, 200000).score < 0.05);
}
END_TEST

START_TEST(damage_and_low_reports_and_the_word_failed_mean_failed)
{
    struct hf_component_info info = component(1, 0, 100000);
    info.damaged = true;
    ck_assert_str_eq(hf_component_health(&info, 100000).label, "failed");
    ck_assert(hf_component_health(&info, 100000).score == 0);
    info = component(1, 0, 100000);
    info.lack = "has no /q";
    ck_assert_str_eq(hf_component_health(&info, 100000).label, "failed");
    ck_assert(hf_component_health(&info, 100000).score == 0);
    info = component(0.1, 0, 100000);
    ck_assert_str_eq(hf_component_health(&info, 100000).label, "failed");
    info = component(0.9, 0, 100000);
    info.report.status = "failed";
    ck_assert_str_eq(hf_component_health(&info, 100000).label, "failed");
}
END_TEST

START_TEST(status_sums_up_components_metrics_and_snapshots)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "b", "{\"b\":1}");
    hf_test_put(&service, "c", "{\"c\":1}");
    hf_test_delete(&service, "c");
    hf_test_register(&service, "a", "agent", NULL, 60000);
    hf_test_register(&service, "b", "agent", NULL, 60000);
    int64_t now_ms = hf_clock_now_ms();
    struct hf_catalog *catalog = service.engine->catalog;
    ck_assert(hf_catalog_heartbeat(catalog, HF_TEST_NAME, "a", 1, "ok", "{\"judgments\":1200,\"x\":0.5}", now_ms));
    ck_assert(hf_catalog_heartbeat(catalog, HF_TEST_NAME, "b", 0.5, "ok", "{\"judgments\":47}", now_ms));

    struct hf_status status;
    ck_assert(hf_status_collect(service.engine, HF_TEST_NAME, &service.arena, &status));
    ck_assert_str_eq(status.status, "operational");
    ck_assert_str_eq(status.engine, "sqlite");
    ck_assert(status.store_up);
    ck_assert_int_eq(status.components, 2);
    ck_assert_int_eq(status.healthy, 2);
    ck_assert_int_eq(status.active_agents, 2);
    ck_assert(fabs(status.overall_health - 0.75) < 1e-9);
    ck_assert_int_eq(status.metric_total_count, 2);
    ck_assert_str_eq(status.metric_totals[0].name, "judgments");
    ck_assert(fabs(status.metric_totals[0].value - 1247) < 1e-9);
    ck_assert_str_eq(status.metric_totals[1].name, "x");
    ck_assert(!status.has_full);
    ck_assert_int_eq(status.recoverability.unsnapshotted_versions, 4);
    ck_assert_int_eq(status.recoverability.unsnapshotted_bytes, 14);
    ck_assert_int_gt(status.next_full_at_ms, now_ms);

    struct hf_snapshot_row full = hf_test_full(&service);
    ck_assert(hf_status_collect(service.engine, NULL, &service.arena, &status));
    ck_assert(status.has_full);
    ck_assert_str_eq(status.last_full.id, full.id);
    ck_assert_int_eq(status.recoverability.unsnapshotted_versions, 0);
    ck_assert_int_eq(status.recoverability.exposure_ms, 0);
    ck_assert_int_eq(status.systems, 1);
    ck_assert_int_gt(status.recoverability.from_ms, 0);
    ck_assert_int_ge(status.recoverability.to_ms, status.recoverability.from_ms);
    ck_assert(!hf_status_collect(service.engine, "nobody", &service.arena, &status));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_failed_component_makes_the_service_degraded_and_says_so)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    ck_assert(hf_catalog_heartbeat(service.engine->catalog, HF_TEST_NAME, "a", 0, "failed", NULL, hf_clock_now_ms()));
    struct hf_status status;
    ck_assert(hf_status_collect(service.engine, NULL, &service.arena, &status));
    ck_assert_str_eq(status.status, "degraded");
    ck_assert_int_eq(status.failed, 1);
    ck_assert_int_eq(status.warning_count, 1);
    ck_assert_ptr_nonnull(strstr(status.warnings[0], "1 component has failed"));
    hf_test_service_close(&service);
}
END_TEST

START_TEST(components_that_are_only_registered_are_not_counted)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "1");
    hf_test_register(&service, "promised", "agent", NULL, 60000);
    struct hf_status status;
    ck_assert(hf_status_collect(service.engine, NULL, &service.arena, &status));
    ck_assert_int_eq(status.components, 1);
    ck_assert_int_eq(status.healthy, 1);
    ck_assert_int_eq(status.stale + status.failed, 0);
    hf_test_service_close(&service);
}
END_TEST

static void put_in(const char *system, const char *text)
{
    struct hf_blob *body = hf_blob_copy(text, strlen(text));
    struct hf_save_item item = {.component = "a", .body = body, .content_type = "application/json"};
    hf_hash_of(text, strlen(text), &item.hash);
    struct hf_write write = {.system = system, .state_epoch = -1, .items = &item, .item_count = 1};
    struct hf_error err;
    ck_assert_msg(hf_committer_write(service.engine->committer, &write, &err) && write.ok, "%s", err.text);
    hf_blob_unref(body);
}

START_TEST(the_range_of_the_service_is_that_of_its_youngest_system)
{
    hf_test_service_open(&service, NULL);
    put_in("early", "1");
    usleep(5000);
    put_in("late", "1");
    struct hf_status early, late, both;
    ck_assert(hf_status_collect(service.engine, "early", &service.arena, &early));
    ck_assert(hf_status_collect(service.engine, "late", &service.arena, &late));
    ck_assert(hf_status_collect(service.engine, NULL, &service.arena, &both));
    ck_assert_int_gt(early.recoverability.from_ms, 0);
    ck_assert_int_lt(early.recoverability.from_ms, late.recoverability.from_ms);
    ck_assert_int_eq(both.recoverability.from_ms, late.recoverability.from_ms);
    ck_assert_int_ge(both.recoverability.to_ms, late.recoverability.to_ms);
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("health", a_component_that_promised_nothing_is_unknown_and_counts_in_full,
             the_reported_health_is_the_score_while_heartbeats_come, silence_makes_stale_and_lowers_the_score_with_time,
             damage_and_low_reports_and_the_word_failed_mean_failed, status_sums_up_components_metrics_and_snapshots,
             a_failed_component_makes_the_service_degraded_and_says_so,
             components_that_are_only_registered_are_not_counted,
             the_range_of_the_service_is_that_of_its_youngest_system);
