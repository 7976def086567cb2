#include "engine/load.h"

#include "core/json.h"
#include "engine/row_of.h"
#include "store/components.h"
#include "store/states.h"
#include "store/systems.h"

#include <string.h>

struct load {
    struct hf_catalog *catalog;
    struct hf_system *system;
    struct hf_error *err;
    int64_t expected_sequence;
    bool ok;
};

bool hf_names_parse(const char *json, struct hf_arena *arena, const char *const **names_out, int *count_out,
                    struct hf_error *err)
{
    HF_AUTO(json) json_t *array = hf_json_parse(json, strlen(json), err);
    if (!array || !json_is_array(array))
        return hf_error_set(err, HF_DAMAGED, "a stored list of names is not a JSON array");
    const char **names = hf_arena_alloc(arena, (json_array_size(array) + 1) * sizeof *names);
    size_t i;
    json_t *name;
    json_array_foreach(array, i, name)
    {
        if (!json_is_string(name))
            return hf_error_set(err, HF_DAMAGED, "a stored list of names holds something else than texts");
        names[i] = hf_arena_strdup(arena, json_string_value(name));
    }
    *names_out = names;
    *count_out = (int)json_array_size(array);
    return true;
}

static bool load_registration(struct hf_system *system, struct hf_component *component,
                              const struct hf_component_row *row, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_registration registration = {
        .kind = row->kind,
        .depends_on_json = row->depends_on,
        .required_pointers_json = row->required_pointers,
        .heartbeat_interval_ms = row->heartbeat_interval_ms,
        .registered_at_ms = row->registered_at_ms,
    };
    if (!hf_names_parse(row->depends_on, &arena, &registration.depends_on, &registration.depends_on_count, err))
        return hf_error_wrap(err, "component %s", row->name);
    hf_catalog_set_registration_locked(system, component, &registration);
    return true;
}

static const char *intern(struct load *load, const char *content_type)
{
    const char *interned = hf_catalog_intern_locked(load->catalog, content_type);
    return interned ? interned : "application/octet-stream"; /* past the bound only by hand-made rows */
}

static bool load_component(void *context, const struct hf_component_row *row)
{
    struct load *load = context;
    struct hf_component *component =
        hf_catalog_add_component_locked(load->system, row->name, row->component_id, row->created_at_ms);
    component->stored = true;
    component->health = row->health;
    component->heartbeat_at_ms = row->heartbeat_at_ms;
    component->last_activity_at_ms = row->last_activity_at_ms;
    if (*row->status)
        component->status = hf_strdup(row->status);
    if (strcmp(row->metrics, "{}"))
        component->metrics = hf_strdup(row->metrics);
    struct hf_head head = {row->version,         row->sequence, row->hash, row->bytes, intern(load, row->content_type),
                           row->committed_at_ms, row->deleted};
    component->dirty = true; /* what comes from its row needs no fold */
    hf_catalog_set_head_locked(load->catalog, load->system, component, &head, NULL);
    component->dirty = false;
    load->ok = !row->registered_at_ms || load_registration(load->system, component, row, load->err);
    return load->ok;
}

static bool load_tail_row(void *context, const struct hf_state_row *row)
{
    struct load *load = context;
    if (row->sequence != load->expected_sequence) {
        load->ok = hf_error_set(load->err, HF_DAMAGED, "system %s: sequence %lld is missing in component_states",
                                load->system->name, (long long)load->expected_sequence);
        return false;
    }
    load->expected_sequence++;
    struct hf_component *component = hf_catalog_component_by_id_locked(load->system, row->component_id);
    if (!component) { /* its row is gone: tracking.c brings it back, or tells that it cannot */
        hf_catalog_reserve_component_id_locked(load->system, row->component_id);
        return true;
    }
    /* Some heads are already folded further than folded_sequence says. */
    if (row->sequence <= component->head.sequence)
        return true;
    struct hf_head head = hf_head_of_row(row);
    head.content_type = intern(load, row->content_type);
    hf_catalog_set_head_locked(load->catalog, load->system, component, &head, NULL);
    return true;
}

static bool load_system(void *context, const struct hf_system_row *row)
{
    struct load *load = context;
    struct hf_system *system = hf_catalog_add_system_locked(load->catalog, row->name, row->id, row->created_at_ms);
    free(system->description);
    system->description = hf_strdup(row->description);
    system->sequence = row->sequence;
    system->epoch = row->epoch;
    system->folded_sequence = row->folded_sequence;
    system->committed_at_ms = row->committed_at_ms;
    system->backup_interval_ms = row->backup_interval_ms;
    system->incremental_interval_ms = row->incremental_interval_ms;
    system->max_retention_hours = row->max_retention_hours;
    system->stored = true;
    return true;
}

static bool load_contents(struct load *load, struct hf_session *session)
{
    struct hf_system *system = load->system;
    if (!hf_components_list(session, system->id, load_component, load, load->err) || !load->ok)
        return false;
    load->expected_sequence = system->folded_sequence + 1;
    if (!hf_states_tail(session, system->id, system->folded_sequence, system->sequence, load_tail_row, load,
                        load->err) ||
        !load->ok)
        return false;
    if (load->expected_sequence != system->sequence + 1)
        return hf_error_set(load->err, HF_DAMAGED, "system %s: component_states ends at sequence %lld, not at %lld",
                            system->name, (long long)load->expected_sequence - 1, (long long)system->sequence);
    return true;
}

bool hf_catalog_load(struct hf_catalog *catalog, struct hf_session *session, struct hf_error *err)
{
    struct load load = {.catalog = catalog, .err = err, .ok = true};
    if (!hf_session_begin(session, err))
        return false;
    hf_catalog_lock(catalog);
    bool ok = hf_systems_list(session, load_system, &load, err);
    for (struct hf_system *system = hf_catalog_next_system_locked(catalog, 0); ok && system;
         system = hf_catalog_next_system_locked(catalog, system->id)) {
        load.system = system;
        ok = load_contents(&load, session);
    }
    hf_catalog_unlock(catalog);
    hf_session_rollback(session);
    return ok;
}
