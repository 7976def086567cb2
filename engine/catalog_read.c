/* Copies out of the catalogue, for readers of any thread. */
#include "engine/catalog_write.h"

#include "core/auto.h"
#include "core/metrics.h"
#include "engine/row_of.h"

#include <stdlib.h>
#include <string.h>

static void copy_system(const struct hf_system *system, struct hf_system_info *out)
{
    *out = (struct hf_system_info){
        .id = system->id,
        .sequence = system->sequence,
        .epoch = system->epoch,
        .committed_at_ms = system->committed_at_ms,
        .created_at_ms = system->created_at_ms,
        .backup_interval_ms = system->backup_interval_ms,
        .incremental_interval_ms = system->incremental_interval_ms,
        .max_retention_hours = system->max_retention_hours,
        .components = system->present_count,
        .state_bytes = system->present_bytes,
        .exposed_since_ms = system->exposed_since_ms,
    };
    snprintf(out->name, sizeof out->name, "%s", system->name);
    snprintf(out->description, sizeof out->description, "%s", system->description);
}

bool hf_catalog_read_system(struct hf_catalog *catalog, const char *name, struct hf_system_info *out)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, name);
    bool found = system && system->stored;
    if (found)
        copy_system(system, out);
    hf_catalog_unlock(catalog);
    return found;
}

static int compare_info(const void *a, const void *b)
{
    return strcmp(((const struct hf_system_info *)a)->name, ((const struct hf_system_info *)b)->name);
}

static struct hf_system *next_stored(struct hf_catalog *catalog, const struct hf_system *system)
{
    struct hf_system *next = hf_catalog_next_system_locked(catalog, system ? system->id : 0);
    while (next && !next->stored)
        next = hf_catalog_next_system_locked(catalog, next->id);
    return next;
}

struct hf_system_info *hf_catalog_list_systems(struct hf_catalog *catalog, struct hf_arena *arena, int *count_out)
{
    struct hf_system *system;
    hf_catalog_lock(catalog);
    size_t stored = 0;
    for (system = NULL; (system = next_stored(catalog, system));)
        stored++;
    struct hf_system_info *list = hf_arena_alloc(arena, (stored + 1) * sizeof *list);
    int count = 0;
    for (system = NULL; (system = next_stored(catalog, system));)
        copy_system(system, &list[count++]);
    hf_catalog_unlock(catalog);
    qsort(list, (size_t)count, sizeof *list, compare_info);
    *count_out = count;
    return list;
}

bool hf_catalog_read_head(struct hf_catalog *catalog, const char *system_name, const char *name, struct hf_head *out,
                          int64_t *epoch_out, struct hf_blob **body_out)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, system_name);
    struct hf_component *component = system ? hf_catalog_find_component_locked(system, name) : NULL;
    /* One that waits for its first commit is nobody's yet. */
    bool found = component && component->stored;
    if (found) {
        *out = component->head;
        out->epoch = system->epoch;
        if (epoch_out)
            *epoch_out = system->epoch;
        if (body_out) {
            *body_out = component->body ? hf_blob_ref(component->body) : NULL;
            component->body_recent = component->body != NULL;
        }
    }
    hf_catalog_unlock(catalog);
    if (found && body_out && hf_head_is_present(out))
        hf_metric_add(*body_out ? HF_M_CACHE_HITS : HF_M_CACHE_MISSES, 1);
    return found;
}

static void copy_registration(const struct hf_registration *from, struct hf_arena *arena, struct hf_registration *out)
{
    *out = hf_registration_of_entry(NULL);
    if (!from)
        return;
    *out = *from;
    const char **names = hf_arena_alloc(arena, (size_t)(from->depends_on_count + 1) * sizeof *names);
    for (int i = 0; i < from->depends_on_count; i++)
        names[i] = hf_arena_strdup(arena, from->depends_on[i]);
    out->depends_on = names;
    out->kind = hf_arena_strdup(arena, from->kind);
    out->depends_on_json = hf_arena_strdup(arena, from->depends_on_json);
    out->required_pointers_json = hf_arena_strdup(arena, from->required_pointers_json);
}

static void copy_component(const struct hf_component *component, struct hf_arena *arena, struct hf_component_info *out)
{
    *out = (struct hf_component_info){
        .name = hf_arena_strdup(arena, component->name),
        .component_id = component->id,
        .head = component->head,
        .report = {.health = component->health,
                   .status = component->status ? hf_arena_strdup(arena, component->status) : "",
                   .metrics = component->metrics ? hf_arena_strdup(arena, component->metrics) : "{}",
                   .heartbeat_at_ms = component->heartbeat_at_ms},
        .last_activity_at_ms = component->last_activity_at_ms,
        .created_at_ms = component->created_at_ms,
        .damaged = component->damaged,
        .lack = component->lack ? hf_arena_strdup(arena, component->lack) : NULL,
    };
    copy_registration(component->registration, arena, &out->registration);
}

bool hf_catalog_read_component(struct hf_catalog *catalog, const char *system_name, const char *name,
                               struct hf_arena *arena, struct hf_component_info *out)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, system_name);
    struct hf_component *component = system ? hf_catalog_find_component_locked(system, name) : NULL;
    bool found = component && component->stored;
    if (found)
        copy_component(component, arena, out);
    hf_catalog_unlock(catalog);
    return found;
}

static int compare_components(const void *a, const void *b)
{
    return strcmp((*(struct hf_component *const *)a)->name, (*(struct hf_component *const *)b)->name);
}

/* Merges what was added since the last listing into the order: costs once what many additions would cost each. */
static void sort_names(struct hf_system *system)
{
    uint32_t sorted = system->by_name_sorted, fresh = system->by_name_count - sorted;
    if (!fresh)
        return;
    HF_AUTO(free) struct hf_component **tail = hf_alloc(fresh * sizeof(void *));
    memcpy(tail, system->by_name + sorted, fresh * sizeof(void *));
    qsort(tail, fresh, sizeof(void *), compare_components);
    uint32_t at = system->by_name_count;
    while (fresh) {
        if (sorted && strcmp(system->by_name[sorted - 1]->name, tail[fresh - 1]->name) > 0)
            system->by_name[--at] = system->by_name[--sorted];
        else
            system->by_name[--at] = tail[--fresh];
    }
    system->by_name_sorted = system->by_name_count;
}

struct hf_component_info *hf_catalog_list_components(struct hf_catalog *catalog, const char *system_name,
                                                     const char *after, int limit, struct hf_arena *arena,
                                                     int *count_out, bool *system_found_out)
{
    *count_out = 0;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, system_name);
    *system_found_out = system && system->stored;
    struct hf_component_info *list = NULL;
    if (system) {
        sort_names(system);
        uint32_t low = 0, high = system->by_name_count;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (strcmp(system->by_name[middle]->name, after) > 0)
                high = middle;
            else
                low = middle + 1;
        }
        uint32_t room = system->by_name_count - low;
        room = room > (uint32_t)limit ? (uint32_t)limit : room;
        list = hf_arena_alloc(arena, (room + 1) * sizeof *list);
        for (; low < system->by_name_count && *count_out < limit; low++) {
            if (system->by_name[low]->stored)
                copy_component(system->by_name[low], arena, &list[(*count_out)++]);
        }
    }
    hf_catalog_unlock(catalog);
    return list;
}
