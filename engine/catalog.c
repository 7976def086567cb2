#include "engine/catalog_write.h"

#include "core/auto.h"
#include "core/metrics.h"
#include "engine/absent.h"

#include <pthread.h>
#include <string.h>

#define CONTENT_TYPES_MAX 10000

struct content_type {
    char *name;
};

struct hf_catalog {
    pthread_mutex_t lock; /* protects everything reachable from here except the pending fields */
    struct hf_name_table systems;
    struct hf_system **by_id; /* in id order */
    uint32_t by_id_count, by_id_capacity;
    struct hf_name_table content_types;
    uint32_t visit;         /* counts walks over dependencies */
    int64_t last_system_id; /* never given out twice while we run */
    struct hf_absent *absent;

    /* the cache: a ring of components with a body; the hand moves as in the clock algorithm (Corbató 1968) */
    struct hf_component *hand;
    int64_t cache_bytes, cache_bytes_max;
};

struct hf_catalog *hf_catalog_new(int64_t cache_bytes_max)
{
    struct hf_catalog *catalog = hf_alloc(sizeof *catalog);
    pthread_mutex_init(&catalog->lock, NULL);
    catalog->cache_bytes_max = cache_bytes_max;
    catalog->absent = hf_absent_new();
    return catalog;
}

void hf_catalog_free(struct hf_catalog *catalog)
{
    if (!catalog)
        return;
    while (catalog->by_id_count)
        hf_catalog_remove_system_locked(catalog, catalog->by_id[catalog->by_id_count - 1]);
    free(catalog->by_id);
    hf_name_table_done(&catalog->systems);
    for (uint32_t i = 0; i < catalog->content_types.slot_count; i++) {
        struct content_type *type = catalog->content_types.slots[i];
        if (type) {
            free(type->name);
            free(type);
        }
    }
    hf_name_table_done(&catalog->content_types);
    hf_absent_free(catalog->absent);
    pthread_mutex_destroy(&catalog->lock);
    free(catalog);
}

void hf_catalog_lock(struct hf_catalog *catalog)
{
    pthread_mutex_lock(&catalog->lock);
}

void hf_catalog_unlock(struct hf_catalog *catalog)
{
    pthread_mutex_unlock(&catalog->lock);
}

/* ---- the cache ---- */

static int64_t body_cost(const struct hf_blob *body)
{
    return (int64_t)(sizeof *body + body->capacity);
}

static void drop_body(struct hf_catalog *catalog, struct hf_component *component)
{
    if (!component->body)
        return;
    if (component->ring_next == component) {
        catalog->hand = NULL;
    } else {
        component->ring_next->ring_previous = component->ring_previous;
        component->ring_previous->ring_next = component->ring_next;
        if (catalog->hand == component)
            catalog->hand = component->ring_next;
    }
    catalog->cache_bytes -= body_cost(component->body);
    hf_blob_unref(component->body);
    component->body = NULL;
    component->ring_next = component->ring_previous = NULL;
}

static void evict(struct hf_catalog *catalog)
{
    while (catalog->cache_bytes > catalog->cache_bytes_max && catalog->hand) {
        struct hf_component *candidate = catalog->hand;
        if (candidate->body_recent) {
            candidate->body_recent = false;
            catalog->hand = candidate->ring_next;
        } else {
            drop_body(catalog, candidate);
        }
    }
}

static void keep_body(struct hf_catalog *catalog, struct hf_component *component, struct hf_blob *body)
{
    if (component->body == body)
        return;
    bool was_recent = component->body && component->body_recent;
    drop_body(catalog, component);
    if (!body || body_cost(body) > catalog->cache_bytes_max / 4)
        return;
    component->body = hf_blob_ref(body);
    component->body_recent = was_recent;
    if (!catalog->hand) {
        component->ring_next = component->ring_previous = component;
        catalog->hand = component;
    } else { /* behind the hand: looked at last */
        component->ring_next = catalog->hand;
        component->ring_previous = catalog->hand->ring_previous;
        component->ring_previous->ring_next = component;
        catalog->hand->ring_previous = component;
    }
    catalog->cache_bytes += body_cost(body);
    evict(catalog);
    hf_metric_set(HF_M_CACHE_BYTES, (double)catalog->cache_bytes);
}

/* ---- systems ---- */

struct hf_system *hf_catalog_find_system_locked(struct hf_catalog *catalog, const char *name)
{
    return hf_name_table_find(&catalog->systems, name);
}

struct hf_system *hf_catalog_next_system_locked(struct hf_catalog *catalog, int64_t after_id)
{
    uint32_t low = 0, high = catalog->by_id_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (catalog->by_id[middle]->id > after_id)
            high = middle;
        else
            low = middle + 1;
    }
    return low < catalog->by_id_count ? catalog->by_id[low] : NULL;
}

struct hf_system *hf_catalog_system_by_id_locked(struct hf_catalog *catalog, int64_t id)
{
    struct hf_system *system = hf_catalog_next_system_locked(catalog, id - 1);
    return system && system->id == id ? system : NULL;
}

struct hf_system *hf_catalog_add_system_locked(struct hf_catalog *catalog, const char *name, int64_t id,
                                               int64_t created_at_ms)
{
    struct hf_system *system = hf_alloc(sizeof *system);
    system->name = hf_strdup(name);
    system->description = hf_strdup("");
    system->id = id ? id : catalog->last_system_id + 1;
    HF_ASSERT(system->id > catalog->last_system_id); /* loaded by id, then numbered on */
    catalog->last_system_id = system->id;
    system->epoch = system->declared = 1;
    system->created_at_ms = created_at_ms;
    system->backup_interval_ms = system->incremental_interval_ms = system->max_retention_hours = -1;
    if (catalog->by_id_count == catalog->by_id_capacity) {
        catalog->by_id_capacity = catalog->by_id_capacity ? catalog->by_id_capacity * 2 : 16;
        catalog->by_id = hf_realloc(catalog->by_id, catalog->by_id_capacity * sizeof(void *));
    }
    catalog->by_id[catalog->by_id_count++] = system;
    hf_name_table_add(&catalog->systems, system);
    hf_metric_set(HF_M_SYSTEMS, catalog->by_id_count);
    return system;
}

void hf_catalog_rename_system_locked(struct hf_catalog *catalog, struct hf_system *system, const char *name)
{
    hf_name_table_remove(&catalog->systems, system);
    free(system->name);
    system->name = hf_strdup(name);
    hf_name_table_add(&catalog->systems, system);
}

void hf_system_advance_locked(struct hf_system *system, int64_t sequence, int64_t at_ms)
{
    if (system->sequence <= system->held_sequence && sequence > system->held_sequence)
        system->exposed_since_ms = at_ms;
    system->sequence = sequence;
    system->committed_at_ms = at_ms;
}

bool hf_catalog_set_held(struct hf_catalog *catalog, int64_t system_id, int64_t held, int64_t cut_at_ms)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, system_id);
    bool exposed = system && system->sequence > held;
    if (system && (!exposed || system->held_sequence != held || !system->exposed_since_ms)) {
        int64_t since_ms = held ? cut_at_ms : system->created_at_ms;
        system->held_sequence = held;
        system->exposed_since_ms = exposed ? since_ms : 0;
    }
    hf_catalog_unlock(catalog);
    return exposed;
}

void hf_catalog_set_exposed(struct hf_catalog *catalog, int64_t system_id, int64_t held, int64_t since_ms)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, system_id);
    if (system && system->held_sequence == held && system->sequence > held)
        system->exposed_since_ms = since_ms;
    hf_catalog_unlock(catalog);
}

static void free_component(struct hf_component *component)
{
    free(component->name);
    free(component->registration);
    free(component->status);
    free(component->metrics);
    free(component->lack);
    free(component);
}

void hf_catalog_remove_system_locked(struct hf_catalog *catalog, struct hf_system *system)
{
    hf_name_table_remove(&catalog->systems, system);
    uint32_t at = 0;
    while (catalog->by_id[at] != system)
        at++;
    memmove(&catalog->by_id[at], &catalog->by_id[at + 1], (catalog->by_id_count - at - 1) * sizeof(void *));
    catalog->by_id_count--;
    for (uint32_t i = 0; i < system->by_name_count; i++) {
        drop_body(catalog, system->by_name[i]);
        free_component(system->by_name[i]);
    }
    hf_metric_add(HF_M_COMPONENTS, -system->present_count);
    hf_metric_set(HF_M_SYSTEMS, catalog->by_id_count);
    hf_name_table_done(&system->components);
    free(system->by_name);
    free(system->by_id);
    free(system->name);
    free(system->description);
    free(system);
}

/* ---- components ---- */

struct hf_component *hf_catalog_find_component_locked(const struct hf_system *system, const char *name)
{
    return hf_name_table_find(&system->components, name);
}

struct hf_component *hf_catalog_component_by_id_locked(const struct hf_system *system, int64_t id)
{
    return id > 0 && id <= (int64_t)system->by_id_capacity ? system->by_id[id - 1] : NULL;
}

static void remember_id(struct hf_system *system, struct hf_component *component)
{
    HF_ASSERT(component->id > 0 && component->id < (INT64_C(1) << 31));
    if (component->id > (int64_t)system->by_id_capacity) {
        uint32_t old = system->by_id_capacity;
        uint32_t capacity = old ? old : 16;
        while ((int64_t)capacity < component->id)
            capacity *= 2;
        system->by_id = hf_realloc(system->by_id, capacity * sizeof(void *));
        memset(system->by_id + old, 0, (capacity - old) * sizeof(void *));
        system->by_id_capacity = capacity;
    }
    system->by_id[component->id - 1] = component;
    if (component->id > system->last_component_id)
        system->last_component_id = component->id;
}

struct hf_component *hf_catalog_add_component_locked(struct hf_system *system, const char *name, int64_t id,
                                                     int64_t created_at_ms)
{
    struct hf_component *component = hf_alloc(sizeof *component);
    component->name = hf_strdup(name);
    component->id = id ? id : system->last_component_id + 1;
    component->health = -1;
    component->created_at_ms = created_at_ms;
    component->head.content_type = "";
    remember_id(system, component);
    hf_name_table_add(&system->components, component);
    if (system->by_name_count == system->by_name_capacity) {
        system->by_name_capacity = system->by_name_capacity ? system->by_name_capacity * 2 : 16;
        system->by_name = hf_realloc(system->by_name, system->by_name_capacity * sizeof(void *));
    }
    system->by_name[system->by_name_count++] = component;
    return component;
}

void hf_catalog_reserve_component_id_locked(struct hf_system *system, int64_t id)
{
    if (id > system->reserved_component_id)
        system->reserved_component_id = id;
    if (id > system->last_component_id)
        system->last_component_id = id;
}

void hf_catalog_rename_component_locked(struct hf_system *system, struct hf_component *component, const char *name)
{
    hf_name_table_remove(&system->components, component);
    free(component->name);
    component->name = hf_strdup(name);
    hf_name_table_add(&system->components, component);
    system->by_name_sorted = 0; /* sorted anew by whoever lists next */
    system->declared++;
}

void hf_catalog_drop_component_locked(struct hf_system *system, struct hf_component *component)
{
    HF_ASSERT(!component->stored && !component->body && !component->dirty);
    hf_name_table_remove(&system->components, component);
    system->by_id[component->id - 1] = NULL;
    while (system->last_component_id > system->reserved_component_id && !system->by_id[system->last_component_id - 1])
        system->last_component_id--;
    uint32_t at = system->by_name_count - 1; /* new ones are at the end, unless a listing has merged them */
    while (system->by_name[at] != component)
        at--;
    memmove(&system->by_name[at], &system->by_name[at + 1], (system->by_name_count - at - 1) * sizeof(void *));
    system->by_name_count--;
    if (at < system->by_name_sorted)
        system->by_name_sorted--;
    free_component(component);
}

void hf_catalog_note_absent_locked(struct hf_catalog *catalog, const char *system, const char *component,
                                   const struct hf_order *order)
{
    hf_absent_note(catalog->absent, system, component, order);
}

struct hf_order hf_catalog_order_locked(const struct hf_catalog *catalog, const char *system, const char *name,
                                        const struct hf_component *component)
{
    if (component && component->order.writer)
        return component->order;
    return hf_absent_find(catalog->absent, system, name);
}

void hf_catalog_forget_component_locked(struct hf_system *system, struct hf_component *component)
{
    hf_catalog_reserve_component_id_locked(system, component->id);
    for (struct hf_component **link = &system->dirty_first; *link; link = &(*link)->dirty_next) {
        if (*link != component)
            continue;
        *link = component->dirty_next;
        system->dirty_count--;
        break;
    }
    component->dirty = component->stored = false; /* a fold under way looks it up by its number, and finds none */
    hf_catalog_drop_component_locked(system, component);
    system->declared++;
}

void hf_catalog_mark_dirty_locked(struct hf_system *system, struct hf_component *component)
{
    if (component->dirty)
        return;
    component->dirty = true;
    component->dirty_next = system->dirty_first;
    system->dirty_first = component;
    system->dirty_count++;
}

/* What was wrong is gone, or was measured by what no longer holds. */
static void forget_lack(struct hf_component *component)
{
    free(component->lack);
    component->lack = NULL;
    component->judged_sequence = 0;
}

void hf_catalog_set_head_locked(struct hf_catalog *catalog, struct hf_system *system, struct hf_component *component,
                                const struct hf_head *head, struct hf_blob *body)
{
    int64_t count = system->present_count;
    if (hf_head_is_present(&component->head)) {
        system->present_count--;
        system->present_bytes -= component->head.bytes;
    }
    component->head = *head;
    component->damaged = false;
    if (head->deleted)
        forget_lack(component);
    if (hf_head_is_present(head)) {
        system->present_count++;
        system->present_bytes += head->bytes;
    }
    if (head->committed_at_ms > component->last_activity_at_ms)
        component->last_activity_at_ms = head->committed_at_ms;
    if (system->present_count != count)
        hf_metric_add(HF_M_COMPONENTS, system->present_count - count);
    hf_catalog_mark_dirty_locked(system, component);
    keep_body(catalog, component, hf_head_is_present(head) ? body : NULL);
}

uint32_t hf_catalog_next_visit_locked(struct hf_catalog *catalog)
{
    return ++catalog->visit;
}

void hf_catalog_set_registration_locked(struct hf_system *system, struct hf_component *component,
                                        const struct hf_registration *from)
{
    size_t bytes = sizeof *from + (size_t)from->depends_on_count * sizeof(char *) + strlen(from->kind) + 1 +
                   strlen(from->depends_on_json) + 1 + strlen(from->required_pointers_json) + 1;
    for (int i = 0; i < from->depends_on_count; i++)
        bytes += strlen(from->depends_on[i]) + 1;
    struct hf_registration *copy = hf_alloc(bytes); /* one piece: free() is enough */
    *copy = *from;
    const char **names = (const char **)(copy + 1);
    char *cursor = (char *)(names + from->depends_on_count);
    for (int i = 0; i < from->depends_on_count; i++)
        names[i] = hf_text_place(&cursor, from->depends_on[i]);
    copy->depends_on = names;
    copy->kind = hf_text_place(&cursor, from->kind);
    copy->depends_on_json = hf_text_place(&cursor, from->depends_on_json);
    copy->required_pointers_json = hf_text_place(&cursor, from->required_pointers_json);
    if (component->registration &&
        strcmp(component->registration->required_pointers_json, copy->required_pointers_json) != 0)
        forget_lack(component);
    free(component->registration);
    component->registration = copy;
    component->declared = ++system->declared;
}

const char *hf_catalog_intern_locked(struct hf_catalog *catalog, const char *content_type)
{
    struct content_type *type = hf_name_table_find(&catalog->content_types, content_type);
    if (type)
        return type->name;
    if (catalog->content_types.count >= CONTENT_TYPES_MAX)
        return NULL;
    type = hf_alloc(sizeof *type);
    type->name = hf_strdup(content_type);
    hf_name_table_add(&catalog->content_types, type);
    return type->name;
}

/* ---- the little that any thread may change ---- */

void hf_catalog_offer_body(struct hf_catalog *catalog, const char *system_name, const char *name, int64_t sequence,
                           struct hf_blob *body)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, system_name);
    struct hf_component *component = system ? hf_catalog_find_component_locked(system, name) : NULL;
    if (component && component->head.sequence == sequence && hf_head_is_present(&component->head)) {
        component->damaged = false;
        keep_body(catalog, component, body);
    }
    hf_catalog_unlock(catalog);
}

static void replace_text(char **slot, const char *text)
{
    if (!text || (*slot && !strcmp(*slot, text)))
        return;
    free(*slot);
    *slot = hf_strdup(text);
}

bool hf_catalog_heartbeat(struct hf_catalog *catalog, const char *system_name, const char *name, double health,
                          const char *status, const char *metrics_json, int64_t at_ms)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, system_name);
    struct hf_component *component = system ? hf_catalog_find_component_locked(system, name) : NULL;
    bool found = component && component->stored;
    if (found) {
        if (health >= 0)
            component->health = health;
        replace_text(&component->status, status);
        replace_text(&component->metrics, metrics_json);
        component->heartbeat_at_ms = at_ms;
        if (at_ms > component->last_activity_at_ms)
            component->last_activity_at_ms = at_ms;
        hf_catalog_mark_dirty_locked(system, component);
    }
    hf_catalog_unlock(catalog);
    return found;
}

bool hf_catalog_mark_damaged(struct hf_catalog *catalog, const char *system_name, const char *name, bool damaged)
{
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, system_name);
    struct hf_component *component = system ? hf_catalog_find_component_locked(system, name) : NULL;
    bool news = component && component->damaged != damaged;
    if (news)
        component->damaged = damaged;
    hf_catalog_unlock(catalog);
    return news;
}
