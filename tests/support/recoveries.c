#include "tests/support/recoveries.h"

#include "core/auto.h"

#include <check.h>
#include <string.h>

bool hf_test_recover(struct hf_test_service *service, const struct hf_recovery_request *request,
                     struct hf_recovery_row *out, struct hf_error *err)
{
    struct hf_recovery_request wanted = *request;
    wanted.system = HF_TEST_NAME;
    return hf_recovery_run(service->engine, &wanted, &service->arena, out, err);
}

bool hf_test_try_restore(struct hf_test_service *service, const char *snapshot, struct hf_recovery_row *out,
                         struct hf_error *err)
{
    const struct hf_recovery_request request = {.source = "snapshot", .snapshot = snapshot};
    return hf_test_recover(service, &request, out, err);
}

bool hf_test_salvage(struct hf_test_service *service, const char *snapshot, bool dry_run, struct hf_recovery_row *out,
                     struct hf_error *err)
{
    const struct hf_recovery_request request = {.source = "snapshot",
                                                .snapshot = snapshot,
                                                .salvage = true,
                                                .dry_run = dry_run};
    return hf_test_recover(service, &request, out, err);
}

bool hf_test_apply(struct hf_test_service *service, const char *id, bool force, struct hf_recovery_row *out,
                   struct hf_error *err)
{
    struct hf_recovery_row plan;
    struct hf_recovery_request request;
    if (!hf_recovery_read_plan(service->engine, HF_TEST_NAME, id, &service->arena, &plan, &request, err))
        return false;
    request.force = force;
    return hf_recovery_run(service->engine, &request, &service->arena, out, err);
}

json_t *hf_test_recovery_detail(const struct hf_recovery_row *row)
{
    struct hf_error err;
    json_t *detail = hf_json_parse(row->detail, strlen(row->detail), &err);
    ck_assert_msg(detail != NULL, "%s", err.text);
    return detail;
}

void hf_test_expect_detail(const struct hf_recovery_row *row, const char *member, const char *wanted)
{
    HF_AUTO(json) json_t *detail = hf_test_recovery_detail(row);
    ck_assert_ptr_nonnull(json_object_get(detail, member));
    HF_AUTO(free) char *text = hf_json_text(json_object_get(detail, member));
    ck_assert_str_eq(text, wanted);
}

void hf_test_expect_unchanged(struct hf_test_service *service, const struct hf_system_info *before)
{
    struct hf_system_info after = hf_test_system(service);
    ck_assert_int_eq(after.epoch, before->epoch);
    ck_assert_int_eq(after.sequence, before->sequence);
}

void hf_test_cut_off(struct hf_test_service *service, const struct hf_snapshot_row *row)
{
    hf_test_remove_outline(service, row);
    ck_assert_int_eq(truncate(hf_test_engine_snapshot_path(service, row), 60), 0);
}

struct newest {
    struct hf_arena *arena;
    struct hf_recovery_row row;
    bool found;
};

static bool take_row(void *context, const struct hf_recovery_row *row)
{
    struct newest *newest = context;
    newest->row = *row;
    newest->row.id = hf_arena_strdup(newest->arena, row->id);
    newest->row.source = hf_arena_strdup(newest->arena, row->source);
    newest->row.status = hf_arena_strdup(newest->arena, row->status);
    newest->row.snapshot = hf_arena_strdup(newest->arena, row->snapshot);
    newest->row.reason = hf_arena_strdup(newest->arena, row->reason);
    newest->row.detail = hf_arena_strdup(newest->arena, row->detail);
    newest->found = true;
    return false;
}

struct hf_recovery_row hf_test_newest_recovery(struct hf_test_service *service)
{
    struct hf_error err;
    struct newest newest = {.arena = &service->arena};
    struct hf_session *session;
    ck_assert(hf_sessions_take(service->engine->sessions, &session, &err));
    ck_assert(hf_recoveries_list(session, hf_test_system(service).id, INT64_MAX, "", 1, take_row, &newest, &err));
    hf_sessions_give(service->engine->sessions, session);
    ck_assert(newest.found);
    return newest.row;
}
