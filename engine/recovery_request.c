/* What a recovery was asked for: kept in its row with the plan, and read back when the plan is applied. */
#include "engine/recovery_private.h"

#include "core/clock.h"
#include "core/json.h"

#include <string.h>

static bool find_row(struct hf_engine *engine, const char *system, const char *id, struct hf_arena *arena,
                     struct hf_recovery_row *out, struct hf_error *err);
static bool read_request(const struct hf_recovery_row *plan, struct hf_arena *arena, struct hf_recovery_request *out,
                         struct hf_error *err);
static bool read_along(const struct hf_recovery_row *plan, const json_t *list, struct hf_arena *arena,
                       struct hf_recovery_request *out, struct hf_error *err);
static bool read_components(const struct hf_recovery_row *plan, const json_t *components, struct hf_arena *arena,
                            struct hf_recovery_request *out, struct hf_error *err);
static json_t *parse_detail(const struct hf_recovery_row *row);
static void write_along(const struct hf_recovering *recovering, struct hf_buf *out);

bool hf_recovery_read_plan(struct hf_engine *engine, const char *system, const char *id, struct hf_arena *arena,
                           struct hf_recovery_row *plan_out, struct hf_recovery_request *out, struct hf_error *err)
{
    struct hf_recovery_row plan;
    if (!find_row(engine, system, id, arena, &plan, err))
        return false;
    if (strcmp(plan.status, "planned") != 0)
        return hf_error_set(err, HF_CONFLICT, "recovery %s is %s; only a plan, made with \"dryRun\":true, is applied",
                            id, plan.status);
    if (strcmp(plan.source, "head") == 0)
        return hf_error_set(err, HF_CONFLICT,
                            "recovery %s is a plan of the present (source head): there is nothing to apply", id);
    struct hf_recovery_request request = {.system = system,
                                          .source = plan.source,
                                          .snapshot = plan.snapshot[0] ? plan.snapshot : NULL,
                                          .at_ms = plan.at_ms,
                                          .reason = plan.reason,
                                          .plan = plan_out};
    if (!read_request(&plan, arena, &request, err))
        return false;
    *plan_out = plan;
    *out = request;
    return true;
}

static bool find_row(struct hf_engine *engine, const char *system, const char *id, struct hf_arena *arena,
                     struct hf_recovery_row *out, struct hf_error *err)
{
    struct hf_system_info info;
    struct hf_session *session;
    bool found = false;
    if (!hf_catalog_read_system(engine->catalog, system, &info))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", system);
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool ok = hf_recoveries_get(session, info.id, id, arena, out, &found, err);
    hf_sessions_give(engine->sessions, session);
    if (ok && !found)
        return hf_error_set(err, HF_NOT_FOUND, "system %s has no recovery %s", system, id);
    return ok;
}

static bool read_request(const struct hf_recovery_row *plan, struct hf_arena *arena, struct hf_recovery_request *out,
                         struct hf_error *err)
{
    HF_AUTO(json) json_t *detail = parse_detail(plan);
    const json_t *request = json_object_get(detail, "request");
    /* Plans of earlier releases say neither: they had no such limit, and nothing was salvaged or came along. */
    if (!hf_json_get_int(request, "maxAgeMs", 1, INT64_MAX, &out->age_ms_max, err) ||
        !hf_json_get_bool(request, "salvage", &out->salvage, err) ||
        !hf_json_get_bool(request, "includeDependencies", &out->include_dependencies, err))
        return hf_error_set(err, HF_DAMAGED, "recovery %s: what it was asked for cannot be read", plan->id);
    return read_along(plan, json_object_get(request, "along"), arena, out, err) &&
           read_components(plan, json_object_get(request, "components"), arena, out, err);
}

static bool read_along(const struct hf_recovery_row *plan, const json_t *list, struct hf_arena *arena,
                       struct hf_recovery_request *out, struct hf_error *err)
{
    size_t count = json_array_size(list);
    struct hf_selected *along = hf_arena_alloc(arena, (count + 1) * sizeof(along[0]));
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(item, "component"));
        const char *because = json_string_value(json_object_get(item, "because"));
        if (!name || !because)
            return hf_error_set(err, HF_DAMAGED, "recovery %s: what comes along cannot be read", plan->id);
        along[i] = (struct hf_selected){hf_arena_strdup(arena, name), hf_arena_strdup(arena, because)};
    }
    out->along = along;
    out->along_count = (int)count;
    return true;
}

static bool read_components(const struct hf_recovery_row *plan, const json_t *components, struct hf_arena *arena,
                            struct hf_recovery_request *out, struct hf_error *err)
{
    size_t count = json_array_size(components);
    /* A plan whose extent is not known must not become a restore of everything. */
    if (!json_is_null(components) && count == 0)
        return hf_error_set(err, HF_CONFLICT, "recovery %s does not tell what it was asked for; make a new plan",
                            plan->id);
    if (json_is_null(components))
        return true;
    const char **names = hf_arena_alloc(arena, count * sizeof(names[0]));
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(components, i));
        if (!name)
            return hf_error_set(err, HF_DAMAGED, "recovery %s: a component's name is not a text", plan->id);
        names[i] = hf_arena_strdup(arena, name);
    }
    out->components = names;
    out->component_count = (int)count;
    return true;
}

static json_t *parse_detail(const struct hf_recovery_row *row)
{
    struct hf_error ignored;
    return hf_json_parse(row->detail, strlen(row->detail), &ignored);
}

void hf_recovery_write_request(const struct hf_recovering *recovering, struct hf_buf *out)
{
    const struct hf_recovery_request *request = recovering->request;
    hf_buf_add_format(out, "\"request\":{\"salvage\":%s,", request->salvage ? "true" : "false");
    if (request->include_dependencies)
        write_along(recovering, out);
    if (request->age_ms_max)
        hf_buf_add_format(out, "\"maxAgeMs\":%lld,", (long long)request->age_ms_max);
    hf_buf_add_text(out, request->components ? "\"components\":[" : "\"components\":null}");
    for (int i = 0; i < request->component_count; i++) {
        hf_buf_add_text(out, i ? "," : "");
        hf_buf_add_json_string(out, request->components[i], strlen(request->components[i]));
    }
    hf_buf_add_text(out, request->components ? "]}" : "");
}

static void write_along(const struct hf_recovering *recovering, struct hf_buf *out)
{
    int written = 0;
    hf_buf_add_text(out, "\"includeDependencies\":true,\"along\":[");
    for (int i = 0; i < recovering->selected_count; i++) {
        const struct hf_selected *selected = &recovering->selected[i];
        if (!selected->because)
            continue;
        hf_buf_add_text(out, written++ ? ",{\"component\":" : "{\"component\":");
        hf_buf_add_json_string(out, selected->name, strlen(selected->name));
        hf_buf_add_text(out, ",\"because\":");
        hf_buf_add_json_string(out, selected->because, strlen(selected->because));
        hf_buf_add_char(out, '}');
    }
    hf_buf_add_text(out, "],");
}

void hf_recovery_take_over_plan(struct hf_recovering *recovering)
{
    const struct hf_recovery_row *plan = recovering->request->plan;
    HF_AUTO(json) json_t *detail = parse_detail(plan);
    hf_recovery_take_over_skipped(recovering, json_object_get(detail, "skipped"));
    const json_t *salvage = json_object_get(detail, "salvage"), *lost = json_object_get(detail, "lost");
    const json_t *cut = json_object_get(detail, "cut");
    recovering->planned_sequence = json_integer_value(json_object_get(cut, "sequence"));
    if (json_is_true(json_object_get(cut, "exact")))
        recovering->wanted = json_integer_value(json_object_get(cut, "sequence"));
    recovering->planned.under_way = json_is_object(salvage);
    recovering->planned.list.whole = json_is_true(json_object_get(salvage, "whole"));
    recovering->planned.lost = (int64_t)json_array_size(lost);
    char time[HF_TIME_BYTES];
    hf_time_format(plan->started_at_ms, time);
    hf_recovery_step(recovering, "applying the plan of %s, made at sequence %lld%s", time,
                     (long long)plan->sequence_before,
                     recovering->request->force ? ", wherever the system is now" : "");
}

bool hf_recovery_check_unmoved(const struct hf_recovering *recovering, const struct hf_system_info *now,
                               struct hf_error *err)
{
    const struct hf_recovery_row *plan = recovering->request->plan;
    if (!plan || recovering->request->force || (now->sequence == plan->sequence_before && now->epoch == plan->epoch))
        return true;
    return hf_error_set(err, HF_PLAN_CHANGED,
                        "system %s moved from sequence %lld (epoch %lld) to %lld (epoch %lld) since the plan was made; "
                        "make a new plan, or apply this one with \"force\":true",
                        now->name, (long long)plan->sequence_before, (long long)plan->epoch, (long long)now->sequence,
                        (long long)now->epoch);
}

bool hf_recovery_check_cut(const struct hf_recovering *recovering, struct hf_error *err)
{
    const int64_t planned = recovering->planned_sequence, now = recovering->cut.sequence;
    return planned == 0 || planned == now ||
           hf_error_set(
               err, HF_PLAN_CHANGED,
               "what the plan was made from is not the same any more: sequence %lld then, %lld now; make a new "
               "plan",
               (long long)planned, (long long)now);
}

bool hf_recovery_check_salvage(const struct hf_recovering *recovering, struct hf_error *err)
{
    const struct hf_recovery_request *request = recovering->request;
    const struct hf_salvage *planned = &recovering->planned, *now = &recovering->salvage;
    if (!request->plan || (planned->under_way == now->under_way &&
                           (!now->under_way || (planned->list.whole == now->list.whole && planned->lost == now->lost))))
        return true;
    return hf_error_set(
        err, HF_PLAN_CHANGED,
        "of snapshot %s other components are lost (%lld) than when the plan was made (%lld); make a new plan",
        recovering->snapshot, (long long)now->lost, (long long)planned->lost);
}
