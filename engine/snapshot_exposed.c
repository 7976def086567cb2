/* What no snapshot holds, and since when: told to the catalogue, whose commits go on from there. */
#include "engine/snapshot_private.h"

#include "core/log.h"
#include "store/states.h"

static void look_up(struct hf_engine *engine, struct hf_session *session, int64_t system_id, int64_t held);

void hf_shelf_note_held(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_session *session)
{
    const struct hf_kept_row *newest = &shelf->newest;
    pthread_mutex_lock(&engine->snapshotter->mutex); /* until the catalogue knows: no older one is told after a newer */
    int64_t held = newest->has ? newest->row.sequence : 0;
    bool exposed = hf_catalog_set_held(engine->catalog, shelf->system_id, held, newest->row.cut_at_ms);
    pthread_mutex_unlock(&engine->snapshotter->mutex);
    if (exposed)
        look_up(engine, session, shelf->system_id, held);
}

static void look_up(struct hf_engine *engine, struct hf_session *session, int64_t system_id, int64_t held)
{
    struct hf_session *own = NULL;
    struct hf_error err;
    int64_t since_ms;
    bool found = false;
    if ((session || hf_sessions_take(engine->sessions, &own, &err)) &&
        hf_states_time_after(session ? session : own, system_id, held, &since_ms, &found, &err)) {
        if (found)
            hf_catalog_set_exposed(engine->catalog, system_id, held, since_ms);
    } else { /* until the next snapshot it counts from the cut of this one */
        hf_log(HF_LOG_WARNING, "exposure_not_known", err.text, HF_LOG_NUMBER("system_id", system_id));
    }
    hf_sessions_give(engine->sessions, own);
}
