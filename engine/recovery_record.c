/* The record of a recovery: its row, and one for every component that is there afterwards and may report. */
#include "engine/recovery_private.h"

#include "store/recovery_components.h"

#include <string.h>

static bool find_made(struct hf_session *session, int64_t system_id, const struct hf_idempotency *once,
                      struct hf_arena *arena, struct hf_recovery_row *out, bool *found_out, struct hf_error *err);
static bool keep_key(struct hf_session *session, const struct hf_recovering *recovering, struct hf_error *err);
static bool insert_components(struct hf_session *session, const struct hf_recovering *recovering, struct hf_error *err);

bool hf_recovery_find_made(struct hf_engine *engine, const char *system, const struct hf_idempotency *once,
                           struct hf_arena *arena, struct hf_recovery_row *out, bool *found_out, struct hf_error *err)
{
    struct hf_system_info info;
    struct hf_session *session;
    *found_out = false;
    if (!hf_catalog_read_system(engine->catalog, system, &info))
        return true;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool ok = find_made(session, info.id, once, arena, out, found_out, err);
    hf_sessions_give(engine->sessions, session);
    return ok;
}

static bool find_made(struct hf_session *session, int64_t system_id, const struct hf_idempotency *once,
                      struct hf_arena *arena, struct hf_recovery_row *out, bool *found_out, struct hf_error *err)
{
    const char *id;
    if (!hf_idempotency_find(session, system_id, once, arena, &id, err))
        return false;
    if (!id)
        return true;
    if (!hf_recoveries_get(session, system_id, id, arena, out, found_out, err))
        return false;
    return *found_out || hf_error_set(err, HF_CONFLICT,
                                      "Idempotency-Key \"%.80s\" made recovery %s, which is no longer kept; take a new "
                                      "key for a new request",
                                      once->key, id);
}

bool hf_recovery_check_key(struct hf_session *session, const struct hf_recovering *recovering, struct hf_error *err)
{
    const struct hf_idempotency *once = recovering->request->once;
    const char *made = NULL;
    if (!once)
        return true;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    if (!hf_idempotency_find(session, recovering->system.id, once, &arena, &made, err))
        return false;
    /* Its own: an attempt whose outcome was unknown is in. */
    return !made || strcmp(made, recovering->id) == 0 ||
           hf_error_set(err, HF_IDEMPOTENCY_REUSED, "Idempotency-Key \"%.80s\" made recovery %s meanwhile", once->key,
                        made);
}

bool hf_recovery_insert_plan(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct hf_recovering *recovering = context;
    const struct hf_recovery_row *row = &recovering->row;
    if (!hf_recovery_check_key(session, recovering, err) || !hf_recoveries_insert(session, row, err) ||
        !keep_key(session, recovering, err))
        return false;
    if (strcmp(row->status, "pending") != 0)
        return true;
    return insert_components(session, recovering, err) &&
           hf_recovery_waiting_begin(session, row->system_id, row->id, row->started_at_ms, err);
}

bool hf_recovery_insert_restore(struct hf_session *session, const struct hf_recovering *recovering, bool *taken_out,
                                struct hf_error *err)
{
    const struct hf_recovery_row *row = &recovering->row;
    bool updated = true;
    if (!recovering->request->plan) {
        if (!hf_recoveries_insert(session, row, err))
            return false;
    } else if (!hf_recoveries_update(session, row, recovering->request->plan->status, &updated, err)) {
        return false;
    }
    *taken_out = !updated;
    if (!updated)
        return hf_error_set(err, HF_PLAN_CHANGED, "recovery %s is no longer a plan", recovering->id);
    return keep_key(session, recovering, err) && insert_components(session, recovering, err);
}

static bool keep_key(struct hf_session *session, const struct hf_recovering *recovering, struct hf_error *err)
{
    const struct hf_idempotency *once = recovering->request->once;
    return !once || hf_idempotency_keep(session, recovering->system.id, once, recovering->id, err);
}

static bool insert_components(struct hf_session *session, const struct hf_recovering *recovering, struct hf_error *err)
{
    const struct hf_plan *plan = &recovering->plan;
    HF_AUTO(free) struct hf_recovery_component_row *rows = hf_alloc(((size_t)plan->count + 1) * sizeof(rows[0]));
    int count = 0;
    for (int i = 0; i < plan->count; i++) {
        if (plan->items[i].wave >= 0)
            rows[count++] =
                (struct hf_recovery_component_row){.component = plan->items[i].component, .wave = plan->items[i].wave};
    }
    return hf_recovery_components_insert(session, recovering->system.id, recovering->id, rows, count, err);
}
