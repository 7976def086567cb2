/* The record of a recovery: its row, and one for every component that is there afterwards and may report. */
#include "engine/recovery_private.h"

#include "store/recovery_components.h"

#include <string.h>

static bool insert_components(struct hf_session *session, const struct hf_recovering *recovering, struct hf_error *err);

bool hf_recovery_insert_plan(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct hf_recovering *recovering = context;
    const struct hf_recovery_row *row = &recovering->row;
    if (!hf_recoveries_insert(session, row, err))
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
    return insert_components(session, recovering, err);
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
