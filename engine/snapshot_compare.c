/* Does a snapshot hold what there is now? Registrations, names and settings change without moving the sequence. Within
 * a run of the service they are counted; what an earlier run took is compared with its file. Times tell nothing here:
 * the clock may be set back, and a cut may come between the stamp of a change and its commit. */
#include "engine/snapshot_private.h"

#include "core/clock.h"
#include "engine/row_of.h"

#include <string.h>

static bool is_same_state(const struct hf_manifest_entry *one, const struct hf_manifest_entry *other);
static bool is_same_registration(const struct hf_registration *one, const struct hf_registration *other);
static bool has_same_settings(const struct hf_manifest_header *one, const struct hf_manifest_header *other);

/* A registration that is being committed may be in or not: if it is, hf_cut_keep_order moves the time behind it. */
void hf_cut_note_declared(struct hf_making *making)
{
    struct hf_catalog *catalog = making->engine->catalog;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, making->shelf->system_id);
    int64_t now_ms = hf_clock_now_ms(), registering_at_ms = system ? system->registering_at_ms : 0;
    making->declared = system ? system->declared : 0;
    making->begun_at_ms = registering_at_ms && registering_at_ms <= now_ms ? registering_at_ms - 1 : now_ms;
    if (system && making->begun_at_ms > system->cut_at_ms)
        system->cut_at_ms = making->begun_at_ms;
    hf_catalog_unlock(catalog);
}

void hf_cut_keep_order(struct hf_making *making)
{
    struct hf_catalog *catalog = making->engine->catalog;
    int64_t *cut_at_ms = &making->header.cut_at_ms;
    for (int64_t i = 0; i < making->entry_count; i++) {
        int64_t registered_at_ms = making->entries[i].entry.registered_at_ms;
        if (registered_at_ms >= *cut_at_ms)
            *cut_at_ms = registered_at_ms + 1;
    }
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, making->shelf->system_id);
    if (system && *cut_at_ms > system->cut_at_ms)
        system->cut_at_ms = *cut_at_ms;
    hf_catalog_unlock(catalog);
}

bool hf_cut_is_unchanged(struct hf_making *making)
{
    struct hf_snapshot_row last = making->previous;
    bool has_last = making->has_previous;
    int64_t declared = making->previous_declared;
    if (making->request->full) {
        if (making->request->even_unchanged)
            return false;
        struct hf_kept_row *full = &making->shelf->full;
        pthread_mutex_lock(&making->engine->snapshotter->mutex);
        has_last = full->has;
        declared = full->declared;
        if (has_last)
            hf_snapshot_row_copy(&making->arena, &full->row, &last);
        pthread_mutex_unlock(&making->engine->snapshotter->mutex);
    }
    if (!has_last || making->generation_damaged || last.sequence != making->header.sequence ||
        last.epoch != making->header.epoch || hf_lost_came_back(making))
        return false;
    making->last = last;
    making->perhaps_unchanged = !declared;
    return declared && declared == making->declared;
}

bool hf_cut_compare(struct hf_making *making, const struct hf_snapshot_row *row, struct hf_cut_comparison *out,
                    struct hf_error *err)
{
    struct hf_chain *chain = NULL;
    *out = (struct hf_cut_comparison){0};
    if (!hf_chain_load(&chain, making->engine->repository, making->header.system, row->id, err)) {
        if (err->code != HF_DAMAGED && err->code != HF_NOT_FOUND && err->code != HF_KEY_MISSING)
            return false;
        hf_log(HF_LOG_WARNING, "snapshot_parent_unusable", err->text, HF_LOG_TEXT("system", making->header.system));
        return true; /* a full does not need it */
    }
    int64_t known = 0;
    bool continues = true, same = has_same_settings(hf_chain_header(chain), &making->header);
    for (int64_t i = 0; i < making->entry_count; i++) {
        struct hf_cut_entry *cut = &making->entries[i];
        const struct hf_manifest_entry *now = &cut->entry, *then = hf_chain_find(chain, now->component);
        known += then != NULL;
        if (now->sequence <= row->sequence)
            continues = continues && (then ? is_same_state(now, then) : now->version == 0);
        cut->changed = now->sequence > row->sequence || !then || now->created_at_ms != then->created_at_ms;
        if (!cut->changed) {
            const struct hf_registration of_now = hf_registration_of_entry(now);
            const struct hf_registration of_then = hf_registration_of_entry(then);
            cut->changed = !is_same_registration(&of_now, &of_then);
        }
        same = same && !cut->changed;
    }
    out->continues = continues && known == hf_chain_count(chain);
    out->same = same && known == hf_chain_count(chain);
    hf_chain_free(chain);
    return true;
}

static bool is_same_state(const struct hf_manifest_entry *one, const struct hf_manifest_entry *other)
{
    return one->sequence == other->sequence && one->version == other->version && one->deleted == other->deleted &&
           hf_hash_equal(&one->hash, &other->hash);
}

static bool is_same_registration(const struct hf_registration *one, const struct hf_registration *other)
{
    return one->registered_at_ms == other->registered_at_ms &&
           one->heartbeat_interval_ms == other->heartbeat_interval_ms && strcmp(one->kind, other->kind) == 0 &&
           strcmp(one->depends_on_json, other->depends_on_json) == 0 &&
           strcmp(one->required_pointers_json, other->required_pointers_json) == 0;
}

static bool has_same_settings(const struct hf_manifest_header *one, const struct hf_manifest_header *other)
{
    return one->backup_interval_ms == other->backup_interval_ms &&
           one->incremental_interval_ms == other->incremental_interval_ms &&
           one->max_retention_hours == other->max_retention_hours && strcmp(one->description, other->description) == 0;
}

void hf_cut_keep_changed(struct hf_making *making)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < making->entry_count; i++) {
        if (making->entries[i].changed)
            making->entries[kept++] = making->entries[i];
    }
    making->entry_count = kept;
}

void hf_cut_keep_unchanged(struct hf_making *making, bool continues)
{
    struct hf_shelf *shelf = making->shelf;
    bool is_newest = false;
    struct hf_kept_row *const kept[] = {&shelf->full, &shelf->newest};
    pthread_mutex_lock(&making->engine->snapshotter->mutex);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (!kept[i]->has || strcmp(kept[i]->row.id, making->last.id) != 0)
            continue;
        kept[i]->declared = making->declared;
        is_newest = kept[i] == &shelf->newest;
    }
    pthread_mutex_unlock(&making->engine->snapshotter->mutex);
    if (!continues || !is_newest || shelf->view)
        return;
    shelf->view = making->view;
    making->view = NULL;
    snprintf(shelf->view->id, sizeof(shelf->view->id), "%s", making->last.id);
    shelf->view->sequence = making->last.sequence;
}

void hf_cut_number_registrations(struct hf_making *making)
{
    struct hf_catalog *catalog = making->engine->catalog;
    const struct hf_registration none = hf_registration_of_entry(NULL);
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, making->shelf->system_id);
    for (int64_t i = 0; i < making->entry_count; i++) {
        struct hf_cut_entry *cut = &making->entries[i];
        const struct hf_component *component =
            system ? hf_catalog_component_by_id_locked(system, cut->component_id) : NULL;
        const struct hf_registration *known = component && component->registration ? component->registration : &none;
        const struct hf_registration read = hf_registration_of_entry(&cut->entry);
        cut->declared = component && is_same_registration(known, &read) ? component->declared : -1;
    }
    hf_catalog_unlock(catalog);
}

bool hf_view_has_all_names(struct hf_making *making, const struct hf_view *view)
{
    struct hf_catalog *catalog = making->engine->catalog;
    bool all = true;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, making->shelf->system_id);
    for (int64_t i = 0; i < view->order_count && all; i++) {
        uint32_t id = view->order[i];
        const struct hf_component *component = system ? hf_catalog_component_by_id_locked(system, id) : NULL;
        all = component && strcmp(component->name, view->entries[id - 1].name) == 0;
    }
    hf_catalog_unlock(catalog);
    return all;
}
