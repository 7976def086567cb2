#include "engine/retention.h"

#include "core/clock.h"
#include "engine/idempotency.h"
#include "store/drills.h"
#include "store/journal.h"
#include "store/recovery_components.h"

#define STEP_ROWS  500 /* a few milliseconds of the committer */
#define STEPS_MAX  200 /* the rest waits for the next run */
#define HOUR_MS    INT64_C(3600000)
#define KEPT_HOURS 24 /* at least: a plan of today is not gone before it is applied */

struct trim;
typedef bool trim_fn(struct hf_session *session, struct trim *trim, struct hf_error *err);

/* One table, one step after another. */
struct trim {
    trim_fn *delete_some;
    int64_t system_id; /* where the table is trimmed by system */
    int64_t before_ms;
    int64_t deleted; /* by the last step */
};

static bool trim_table(struct hf_engine *engine, struct trim trim, int64_t *deleted_out, struct hf_error *err);
static bool run_step(struct hf_session *session, void *context, struct hf_error *err);

static bool trim_events(struct hf_session *session, struct trim *trim, struct hf_error *err)
{
    return hf_events_trim(session, trim->before_ms, STEP_ROWS, &trim->deleted, err);
}

static bool trim_keys(struct hf_session *session, struct trim *trim, struct hf_error *err)
{
    return hf_keys_trim(session, trim->before_ms, STEP_ROWS, &trim->deleted, err);
}

static bool trim_recoveries(struct hf_session *session, struct trim *trim, struct hf_error *err)
{
    return hf_recoveries_trim(session, trim->system_id, trim->before_ms, STEP_ROWS, &trim->deleted, err);
}

static bool trim_recovery_components(struct hf_session *session, struct trim *trim, struct hf_error *err)
{
    return hf_recovery_components_trim(session, trim->system_id, trim->before_ms, STEP_ROWS, &trim->deleted, err);
}

static bool trim_validations(struct hf_session *session, struct trim *trim, struct hf_error *err)
{
    return hf_validations_trim(session, trim->system_id, trim->before_ms, STEP_ROWS, &trim->deleted, err);
}

static bool trim_drills(struct hf_session *session, struct trim *trim, struct hf_error *err)
{
    return hf_drills_trim(session, trim->system_id, trim->before_ms, STEP_ROWS, &trim->deleted, err);
}

static int64_t kept_since_ms(int64_t hours)
{
    return hf_clock_now_ms() - (hours > KEPT_HOURS ? hours : KEPT_HOURS) * HOUR_MS;
}

bool hf_retention_trim_service(struct hf_engine *engine, int64_t *deleted_out, struct hf_error *err)
{
    *deleted_out = 0;
    int64_t events_ms = kept_since_ms(engine->config->max_retention_hours);
    int64_t keys_ms = hf_clock_now_ms() - HF_KEY_LIFETIME_MS;
    return trim_table(engine, (struct trim){.delete_some = trim_events, .before_ms = events_ms}, deleted_out, err) &&
           trim_table(engine, (struct trim){.delete_some = trim_keys, .before_ms = keys_ms}, deleted_out, err);
}

bool hf_retention_trim_journal(struct hf_engine *engine, const char *system, int64_t *deleted_out, struct hf_error *err)
{
    *deleted_out = 0;
    struct hf_system_info info;
    if (!hf_catalog_read_system(engine->catalog, system, &info))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", system);
    struct trim trim = {
        .system_id = info.id,
        .before_ms = kept_since_ms(info.max_retention_hours >= 0 ? info.max_retention_hours
                                                                 : engine->config->max_retention_hours),
    };
    trim.delete_some = trim_recovery_components;
    if (!trim_table(engine, trim, deleted_out, err))
        return false;
    trim.delete_some = trim_recoveries;
    if (!trim_table(engine, trim, deleted_out, err))
        return false;
    trim.delete_some = trim_validations;
    if (!trim_table(engine, trim, deleted_out, err))
        return false;
    trim.delete_some = trim_drills;
    return trim_table(engine, trim, deleted_out, err);
}

static bool trim_table(struct hf_engine *engine, struct trim trim, int64_t *deleted_out, struct hf_error *err)
{
    bool more = true;
    for (int step = 0; step < STEPS_MAX && more; step++) {
        struct hf_call call = {.run = run_step, .context = &trim};
        if (!hf_committer_call(engine->committer, &call, err))
            return false;
        *deleted_out += trim.deleted;
        more = trim.deleted == STEP_ROWS;
    }
    return true;
}

static bool run_step(struct hf_session *session, void *context, struct hf_error *err)
{
    struct trim *trim = context;
    trim->deleted = 0;
    return trim->delete_some(session, trim, err);
}
