/* Systems and registrations: changes that go through the committer as calls of their own, in order with the uploads. */
#include "engine/engine.h"

#include "core/auto.h"
#include "core/clock.h"
#include "engine/catalog_write.h"
#include "engine/events.h"
#include "engine/row_of.h"
#include "store/components.h"
#include "store/systems.h"

#include <string.h>

/* ---- settings of a system ---- */

struct put {
    struct hf_engine *engine;
    const char *name;
    const struct hf_system_settings *settings;
    int64_t id;
    bool only_create; /* one that is there stays as it is */
    bool created;
};

/* Finds the system, or makes one that only the committer sees until its row is committed. */
static struct hf_system *ensure_system_locked(struct hf_catalog *catalog, const char *name)
{
    struct hf_system *system = hf_catalog_find_system_locked(catalog, name);
    return system ? system : hf_catalog_add_system_locked(catalog, name, 0, hf_clock_now_ms());
}

static bool put_system(struct hf_session *session, void *context, struct hf_error *err)
{
    struct put *put = context;
    hf_catalog_lock(put->engine->catalog);
    struct hf_system *system = ensure_system_locked(put->engine->catalog, put->name);
    struct hf_system_row row = hf_system_row_of(system);
    put->created = !system->stored;
    put->id = system->id;
    hf_catalog_unlock(put->engine->catalog);
    if (put->only_create && !put->created)
        return true;
    row.description = put->settings->description ? put->settings->description : "";
    row.backup_interval_ms = put->settings->backup_interval_ms;
    row.incremental_interval_ms = put->settings->incremental_interval_ms;
    row.max_retention_hours = put->settings->max_retention_hours;
    return put->created ? hf_systems_insert(session, &row, err) : hf_systems_set_settings(session, &row, err);
}

/* Takes back what the committer alone could see: a name whose row was never committed. */
static void drop_unstored(struct hf_catalog *catalog, const char *system_name, const char *component_name)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, system_name);
    struct hf_component *component =
        system && component_name ? hf_catalog_find_component_locked(system, component_name) : NULL;
    if (component && !component->stored)
        hf_catalog_drop_component_locked(system, component);
    if (system && !system->stored)
        hf_catalog_remove_system_locked(catalog, system);
    hf_catalog_unlock(catalog);
}

static void abandon_system(void *context)
{
    struct put *put = context;
    drop_unstored(put->engine->catalog, put->name, NULL);
}

static void publish_system(void *context)
{
    struct put *put = context;
    if (put->only_create && !put->created)
        return;
    hf_catalog_lock(put->engine->catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(put->engine->catalog, put->id);
    system->stored = true;
    free(system->description);
    system->description = hf_strdup(put->settings->description ? put->settings->description : "");
    system->backup_interval_ms = put->settings->backup_interval_ms;
    system->incremental_interval_ms = put->settings->incremental_interval_ms;
    system->max_retention_hours = put->settings->max_retention_hours;
    system->declared++;
    hf_catalog_unlock(put->engine->catalog);
}

static bool run_put(struct put *put, bool *created_out, struct hf_error *err)
{
    struct hf_call call = {.run = put_system, .published = publish_system, .abandoned = abandon_system, .context = put};
    if (!hf_committer_call(put->engine->committer, &call, err))
        return false;
    *created_out = put->created;
    if (put->created)
        hf_event_emit(put->engine, put->id, put->name, HF_EV_SYSTEM_CREATED, NULL, "system %s was created", put->name);
    return true;
}

bool hf_system_put(struct hf_engine *engine, const char *name, const struct hf_system_settings *settings,
                   bool *created_out, struct hf_error *err)
{
    struct put put = {.engine = engine, .name = name, .settings = settings};
    return run_put(&put, created_out, err);
}

bool hf_system_ensure(struct hf_engine *engine, const char *name, struct hf_error *err)
{
    const struct hf_system_settings settings = {NULL, -1, -1, -1};
    struct put put = {.engine = engine, .name = name, .settings = &settings, .only_create = true};
    bool created;
    return run_put(&put, &created, err);
}

/* ---- registering a component ---- */

struct registering {
    struct hf_engine *engine;
    const char *system;
    const char *component;
    struct hf_registration registration;
    struct hf_arena *arena;
    const char *cycle;
    int64_t system_id;
    bool system_created, created;
};

static bool write_rows(struct hf_session *session, const struct registering *registering,
                       const struct hf_system_row *system_row, const struct hf_component_row *row, struct hf_error *err)
{
    if (registering->system_created && !hf_systems_insert(session, system_row, err))
        return false;
    return registering->created ? hf_components_insert(session, row, 1, err)
                                : hf_components_register(session, row, err);
}

/* Also when the clock was set back: looks at the past ask what was registered at the time of a commit, and a snapshot
 * holds what was registered before its time and nothing else. One more, so that a cut finds room for itself while this
 * is being committed. */
static int64_t time_after_all_of(const struct hf_system *system)
{
    int64_t now_ms = hf_clock_now_ms();
    if (now_ms < system->committed_at_ms)
        now_ms = system->committed_at_ms;
    return now_ms > system->cut_at_ms + 1 ? now_ms : system->cut_at_ms + 2;
}

static bool register_component(struct hf_session *session, void *context, struct hf_error *err)
{
    struct registering *registering = context;
    struct hf_registration *registration = &registering->registration;
    registering->cycle =
        hf_catalog_find_cycle(registering->engine->catalog, registering->system, registering->component,
                              registration->depends_on, registration->depends_on_count, registering->arena);
    if (registering->cycle)
        return hf_error_set(err, HF_DEPENDENCY_CYCLE, "the dependencies would form a cycle: %.300s",
                            registering->cycle);

    hf_catalog_lock(registering->engine->catalog);
    struct hf_system *system = ensure_system_locked(registering->engine->catalog, registering->system);
    struct hf_component *component = hf_catalog_find_component_locked(system, registering->component);
    if (!component)
        component = hf_catalog_add_component_locked(system, registering->component, 0, hf_clock_now_ms());
    registering->system_created = !system->stored;
    registering->created = !component->stored;
    registering->system_id = system->id;
    registration->registered_at_ms = system->registering_at_ms = time_after_all_of(system);
    const struct hf_system_row system_row = hf_system_row_of(system);
    struct hf_component_row row = hf_component_row_of(registration, NULL);
    row.system_id = system->id;
    row.component_id = component->id;
    row.name = registering->component;
    row.last_activity_at_ms = registration->registered_at_ms;
    row.created_at_ms = component->created_at_ms;
    hf_catalog_unlock(registering->engine->catalog);
    return write_rows(session, registering, &system_row, &row, err);
}

static void publish_registration(void *context)
{
    struct registering *registering = context;
    hf_catalog_lock(registering->engine->catalog);
    struct hf_system *system = hf_catalog_find_system_locked(registering->engine->catalog, registering->system);
    struct hf_component *component = hf_catalog_find_component_locked(system, registering->component);
    system->stored = true;
    system->registering_at_ms = 0;
    component->stored = true;
    if (registering->registration.registered_at_ms > component->last_activity_at_ms)
        component->last_activity_at_ms = registering->registration.registered_at_ms;
    hf_catalog_set_registration_locked(system, component, &registering->registration);
    hf_catalog_unlock(registering->engine->catalog);
}

static void abandon_registration(void *context)
{
    struct registering *registering = context;
    hf_catalog_lock(registering->engine->catalog);
    struct hf_system *system = hf_catalog_find_system_locked(registering->engine->catalog, registering->system);
    if (system)
        system->registering_at_ms = 0;
    hf_catalog_unlock(registering->engine->catalog);
    drop_unstored(registering->engine->catalog, registering->system, registering->component);
}

bool hf_component_register(struct hf_engine *engine, const char *system, const char *component,
                           const struct hf_registration *registration, bool *created_out, const char **cycle_out,
                           struct hf_arena *arena, struct hf_error *err)
{
    struct registering registering = {
        .engine = engine, .system = system, .component = component, .registration = *registration, .arena = arena};
    struct hf_call call = {.run = register_component,
                           .published = publish_registration,
                           .abandoned = abandon_registration,
                           .context = &registering};
    bool ok = hf_committer_call(engine->committer, &call, err);
    *cycle_out = registering.cycle;
    *created_out = registering.created;
    if (ok && registering.system_created)
        hf_event_emit(engine, registering.system_id, system, HF_EV_SYSTEM_CREATED, NULL, "system %s was created",
                      system);
    return ok;
}

/* ---- forgetting a component that never had a state ---- */

struct forgetting {
    struct hf_engine *engine;
    const char *system_name;
    const char *component_name;
    struct hf_order order;
    int64_t system_id, component_id; /* 0: there is nothing to forget */
};

/* In order with the uploads: one that came first has given the component its state. */
static bool forget_component(struct hf_session *session, void *context, struct hf_error *err)
{
    struct forgetting *forgetting = context;
    forgetting->component_id = 0;
    hf_catalog_lock(forgetting->engine->catalog);
    struct hf_system *system = hf_catalog_find_system_locked(forgetting->engine->catalog, forgetting->system_name);
    struct hf_component *component =
        system ? hf_catalog_find_component_locked(system, forgetting->component_name) : NULL;
    if (component && component->stored && component->head.version == 0) {
        forgetting->system_id = system->id;
        forgetting->component_id = component->id;
    }
    hf_catalog_unlock(forgetting->engine->catalog);
    return !forgetting->component_id ||
           hf_components_forget(session, forgetting->system_id, forgetting->component_id, err);
}

static void publish_forgetting(void *context)
{
    const struct forgetting *forgetting = context;
    if (!forgetting->component_id)
        return;
    hf_catalog_lock(forgetting->engine->catalog);
    struct hf_catalog *catalog = forgetting->engine->catalog;
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, forgetting->system_id);
    struct hf_component *component = hf_catalog_component_by_id_locked(system, forgetting->component_id);
    const struct hf_order *order = forgetting->order.writer ? &forgetting->order : &component->order;
    if (order->writer) /* a state may still be on its way */
        hf_catalog_note_absent_locked(catalog, forgetting->system_name, forgetting->component_name, order);
    hf_catalog_forget_component_locked(system, component);
    hf_catalog_unlock(catalog);
}

bool hf_component_forget(struct hf_engine *engine, const char *system, const char *component,
                         const struct hf_order *order, bool *forgotten_out, struct hf_error *err)
{
    struct forgetting forgetting = {.engine = engine,
                                    .system_name = system,
                                    .component_name = component,
                                    .order = *order};
    struct hf_call call = {.run = forget_component, .published = publish_forgetting, .context = &forgetting};
    if (!hf_committer_call(engine->committer, &call, err))
        return false;
    *forgotten_out = forgetting.component_id != 0;
    return true;
}
