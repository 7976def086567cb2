/* Applying a plan: sequence, new versions and the recovery's row in one transaction, then the catalogue. While it runs
 * on the committer nothing else can move the system, so the plan is made there once more and is exact. */
#include "engine/recovery_private.h"

#include "core/clock.h"
#include "core/fault.h"
#include "core/id.h"
#include "engine/row_of.h"
#include "store/components.h"
#include "store/states.h"
#include "store/systems.h"

#include <string.h>

/* One portion of rows in memory. */
#define PORTION_ROWS_MAX  256
#define PORTION_BYTES_MAX (INT64_C(8) << 20)

struct application {
    struct hf_recovering *recovering;
    int64_t batch_id;
    int64_t committed_at_ms;
    size_t steps_bytes;    /* of the steps before this one */
    int64_t created_count; /* components that the catalogue does not know */
    bool plan_is_taken;    /* it was applied by somebody else meanwhile */
};

struct portion {
    struct hf_state_row rows[PORTION_ROWS_MAX];
    struct hf_blob *blobs[PORTION_ROWS_MAX];
    int count;
    int64_t bytes;
};

static bool run_application(struct hf_session *session, void *context, struct hf_error *err);
static bool advance_system(struct hf_session *session, struct application *application, struct hf_error *err);
static bool prepare_items(struct application *application, struct hf_error *err);
static bool insert_components(struct hf_session *session, struct application *application, struct hf_error *err);
static bool insert_versions(struct hf_session *session, struct application *application, struct hf_error *err);
static bool add_version(struct application *application, struct portion *portion, const struct hf_plan_item *item,
                        struct hf_error *err);
static bool flush_portion(struct hf_session *session, struct portion *portion, struct hf_error *err);
static void publish_application(void *context);
static struct hf_head head_after(const struct application *application, const struct hf_plan_item *item);

bool hf_recovery_apply(struct hf_recovering *recovering, struct hf_error *err)
{
    struct application application = {.recovering = recovering};
    hf_random_bytes(&application.batch_id, sizeof(application.batch_id));
    application.batch_id = (application.batch_id & INT64_MAX) | 1; /* 0 means none */
    struct hf_call call = {.run = run_application,
                           .published = publish_application,
                           .context = &application,
                           .system_id = recovering->system.id,
                           .batch_id = application.batch_id};
    application.steps_bytes = recovering->steps.bytes;
    if (!hf_committer_call(recovering->engine->committer, &call, err)) {
        /* Said only here: the committer would take a conflict for one of the database and try again. */
        return application.plan_is_taken
                   ? hf_error_set(err, HF_CONFLICT, "recovery %s was applied meanwhile", recovering->id)
                   : false;
    }
    return !hf_fault("recovery_after_commit") || hf_error_set(err, HF_OUTCOME_UNKNOWN, "fault recovery_after_commit");
}

bool hf_recovery_fill_row(struct hf_recovering *recovering, const char *status, struct hf_error *err)
{
    const struct hf_plan *plan = &recovering->plan;
    bool applied = strcmp(status, "applied") == 0;
    struct hf_recovery_row *row = &recovering->row;
    HF_AUTO(buf) struct hf_buf detail;
    hf_buf_init(&detail, HF_RECOVERY_DETAIL_BYTES_MAX);
    if (!hf_plan_write_detail(recovering, &detail, err))
        return false;
    *row = (struct hf_recovery_row){
        .system_id = recovering->system.id,
        .id = recovering->id,
        .source = recovering->request->source,
        .snapshot = recovering->snapshot,
        .at_ms = strcmp(recovering->request->source, "at") == 0 ? recovering->request->at_ms : 0,
        .status = status,
        .reason = recovering->request->reason ? recovering->request->reason : "",
        .epoch = plan->system.epoch + applied,
        .sequence_before = plan->system.sequence,
        .sequence_after = plan->system.sequence + (applied ? plan->changes : 0),
        .data_loss_ms = plan->loss_ms,
        .data_loss_versions = plan->loss_versions,
        .data_loss_bytes = plan->loss_bytes,
        .data_loss_components = plan->loss_components,
        .started_at_ms = recovering->started_at_ms,
        .completed_at_ms = applied || strcmp(status, "completed") == 0 ? hf_clock_now_ms() : 0,
        .detail = hf_arena_strndup(&recovering->arena, detail.data, detail.bytes),
    };
    return true;
}

/* May run more than once: everything is made anew. */
static bool run_application(struct hf_session *session, void *context, struct hf_error *err)
{
    struct application *application = context;
    struct hf_recovering *recovering = application->recovering;
    recovering->steps.bytes = application->steps_bytes;
    if (!hf_recovery_check_key(session, recovering, err)) /* first: what it made moved the system */
        return false;
    if (!hf_plan_make(recovering, err) || !hf_recovery_check_unmoved(recovering, &recovering->plan.system, err) ||
        !prepare_items(application, err))
        return false;
    if (hf_fault("recovery_planned"))
        return hf_error_set(err, HF_STORE_DOWN, "fault recovery_planned");
    if (!advance_system(session, application, err) || !insert_components(session, application, err) ||
        !insert_versions(session, application, err))
        return false;
    if (hf_fault("recovery_before_row"))
        return hf_error_set(err, HF_STORE_DOWN, "fault recovery_before_row");
    hf_recovery_step(recovering, "wrote %lld versions (%lld of them tombstones) and epoch %lld",
                     (long long)recovering->plan.changes, (long long)recovering->plan.buried,
                     (long long)recovering->plan.system.epoch + 1);
    if (!hf_recovery_fill_row(recovering, "applied", err) ||
        !hf_recovery_insert_restore(session, recovering, &application->plan_is_taken, err))
        return false;
    return !hf_fault("recovery_before_commit") || hf_error_set(err, HF_STORE_DOWN, "fault recovery_before_commit");
}

static bool advance_system(struct hf_session *session, struct application *application, struct hf_error *err)
{
    const struct hf_plan *plan = &application->recovering->plan;
    const struct hf_system_info *system = &plan->system;
    application->committed_at_ms = hf_clock_now_ms();
    if (application->committed_at_ms < system->committed_at_ms)
        application->committed_at_ms = system->committed_at_ms;
    bool moved = false;
    if (!hf_systems_advance(session, system->id, system->sequence, system->sequence + plan->changes, system->epoch + 1,
                            application->batch_id, application->committed_at_ms, &moved, err))
        return false;
    return moved || hf_error_set(err, HF_PLAN_CHANGED, "system %s is no longer at sequence %lld", system->name,
                                 (long long)system->sequence);
}

/* Content types as the catalogue keeps them, and numbers for components it does not know. */
static bool prepare_items(struct application *application, struct hf_error *err)
{
    struct hf_recovering *recovering = application->recovering;
    struct hf_plan *plan = &recovering->plan;
    struct hf_catalog *catalog = recovering->engine->catalog;
    bool ok = true;
    hf_catalog_lock(catalog);
    const struct hf_system *system = hf_catalog_system_by_id_locked(catalog, plan->system.id);
    int64_t last_id = system ? system->last_component_id : 0;
    application->created_count = 0;
    for (int i = 0; ok && i < plan->count; i++) {
        struct hf_plan_item *item = &plan->items[i];
        if (item->action == HF_PLAN_KEEP)
            continue;
        const char *content_type = item->action == HF_PLAN_WRITE ? item->source->content_type : "";
        item->content_type = hf_catalog_intern_locked(catalog, content_type);
        ok = item->content_type != NULL;
        if (!item->current)
            item->component_id = last_id + ++application->created_count;
    }
    hf_catalog_unlock(catalog);
    return ok || hf_error_set(err, HF_OVERLOADED, "too many different content types are in use");
}

static bool insert_components(struct hf_session *session, struct application *application, struct hf_error *err)
{
    const struct hf_plan *plan = &application->recovering->plan;
    if (!application->created_count)
        return true;
    HF_AUTO(free)
    struct hf_component_row *rows = hf_alloc((size_t)application->created_count * sizeof(struct hf_component_row));
    int count = 0;
    for (int i = 0; i < plan->count; i++) {
        const struct hf_plan_item *item = &plan->items[i];
        if (item->current)
            continue;
        struct hf_head head = head_after(application, item);
        struct hf_component_row *row = &rows[count++];
        *row = hf_component_row_of(&item->registration, &head);
        row->system_id = plan->system.id;
        row->component_id = item->component_id;
        row->name = item->component;
        row->last_activity_at_ms = head.committed_at_ms;
        row->created_at_ms = application->committed_at_ms;
    }
    return hf_components_insert(session, rows, count, err);
}

static bool insert_versions(struct hf_session *session, struct application *application, struct hf_error *err)
{
    const struct hf_plan *plan = &application->recovering->plan;
    struct portion *portion = hf_alloc(sizeof(*portion));
    bool ok = true;
    for (int i = 0; ok && i < plan->count; i++) {
        if (plan->items[i].action == HF_PLAN_KEEP)
            continue;
        ok = add_version(application, portion, &plan->items[i], err);
        if (ok && (portion->count == PORTION_ROWS_MAX || portion->bytes >= PORTION_BYTES_MAX))
            ok = flush_portion(session, portion, err);
    }
    if (ok)
        ok = flush_portion(session, portion, err);
    for (int i = 0; i < portion->count; i++)
        hf_blob_unref(portion->blobs[i]);
    free(portion);
    return ok;
}

static bool add_version(struct application *application, struct portion *portion, const struct hf_plan_item *item,
                        struct hf_error *err)
{
    struct hf_recovering *recovering = application->recovering;
    struct hf_blob *blob = NULL;
    if (item->action == HF_PLAN_WRITE && !hf_past_read(recovering->past, item->source, &blob, err))
        return false;
    struct hf_head head = head_after(application, item);
    portion->blobs[portion->count] = blob;
    struct hf_state_row *row = &portion->rows[portion->count++];
    *row = hf_state_row_of(&head);
    row->system_id = recovering->plan.system.id;
    row->component_id = item->component_id;
    row->previous_sequence = item->current ? item->current->head.sequence : 0;
    row->epoch = recovering->plan.system.epoch + 1;
    row->content = blob ? blob->data : NULL;
    portion->bytes += head.bytes;
    return true;
}

static bool flush_portion(struct hf_session *session, struct portion *portion, struct hf_error *err)
{
    bool ok = portion->count == 0 || hf_states_insert(session, portion->rows, portion->count, err);
    for (int i = 0; i < portion->count; i++)
        hf_blob_unref(portion->blobs[i]);
    portion->count = 0;
    portion->bytes = 0;
    if (ok && hf_fault("recovery_midway"))
        return hf_error_set(err, HF_STORE_DOWN, "fault recovery_midway");
    return ok;
}

static void publish_application(void *context)
{
    (void)hf_fault("recovery_before_publish"); /* nothing can fail any more; one may still be killed */
    struct application *application = context;
    struct hf_recovering *recovering = application->recovering;
    const struct hf_plan *plan = &recovering->plan;
    struct hf_catalog *catalog = recovering->engine->catalog;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, plan->system.id);
    HF_ASSERT(system); /* only the committer removes systems, and this is its thread */
    for (int i = 0; i < plan->count; i++) {
        const struct hf_plan_item *item = &plan->items[i];
        if (item->action == HF_PLAN_KEEP)
            continue;
        struct hf_component *component = hf_catalog_find_component_locked(system, item->component);
        if (!component) {
            component = hf_catalog_add_component_locked(system, item->component, item->component_id,
                                                        application->committed_at_ms);
            component->stored = true;
            if (item->registration.registered_at_ms)
                hf_catalog_set_registration_locked(system, component, &item->registration);
        }
        struct hf_head head = head_after(application, item);
        hf_catalog_set_head_locked(catalog, system, component, &head, NULL);
    }
    hf_system_advance_locked(system, system->sequence + plan->changes, application->committed_at_ms);
    system->epoch = plan->system.epoch + 1;
    hf_catalog_unlock(catalog);
}

static struct hf_head head_after(const struct application *application, const struct hf_plan_item *item)
{
    struct hf_head head = {.version = item->new_version,
                           .sequence = item->new_sequence,
                           .content_type = item->content_type,
                           .committed_at_ms = application->committed_at_ms,
                           .deleted = item->action == HF_PLAN_BURY};
    if (!head.deleted) {
        head.hash = item->source->hash;
        head.bytes = item->source->bytes;
    }
    return head;
}
