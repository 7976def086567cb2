/* The cut: what a snapshot lists. Everything comes from one read transaction, so it is the system as of one sequence
 * while writers go on. A full reads every component; an incremental reads what came after the snapshot before it and
 * lays it over the view kept of that. */
#include "engine/snapshot_private.h"

#include "engine/heal.h"
#include "engine/row_of.h"
#include "store/components.h"
#include "store/states.h"
#include "store/systems.h"

#include <string.h>

/* Few different texts appear among many components: remembers the last ones. */
#define TEXTS_KEPT 8
struct text_keeper {
    struct hf_arena *arena;
    const char *texts[TEXTS_KEPT];
    int next;
};

struct listing {
    struct hf_making *making;
    struct text_keeper keeper;
    uint32_t *place; /* component id -> index + 1 */
    int64_t place_count;
    int64_t since;      /* heads up to here need no look */
    int64_t missing_id; /* a version of a component that has no row; 0: none */
    bool alone;         /* the database cannot list: the cut is what memory says */
};

static void recall_previous(struct hf_making *making);
static bool read_system(struct hf_making *making, struct hf_error *err);
static hf_system_row_fn take_system;
static void choose_full(struct hf_making *making, const char *reason);
static void take_view(struct hf_making *making);
static bool list_against_file(struct hf_making *making, struct hf_error *err);
static const char *why_not_incremental(const struct hf_making *making);
static void choose_generation(struct hf_making *making);
static bool list_all(struct hf_making *making, struct hf_error *err);
static hf_component_row_fn list_component;
static hf_state_row_fn overlay_head;
static bool list_memory(struct listing *listing, struct hf_error *err);
static bool give_up_listing(struct listing *listing, struct hf_error *err);
static void set_memory(struct hf_manifest_entry *entry, const struct hf_head *head);
static void set_head(struct hf_manifest_entry *entry, const struct hf_state_row *row, const char *content_type);
static void trust_memory(struct listing *listing);
static struct hf_cut_entry *listed_as(struct listing *listing, int64_t component_id);
static bool list_changes(struct hf_making *making, struct hf_error *err);
static hf_state_row_fn list_change;
static struct hf_cut_entry *list_one(struct hf_making *making, int64_t component_id);
static void list_registrations(struct hf_making *making);
static void read_declared(struct hf_making *making, const struct hf_system *system, struct hf_cut_entry *cut);
static bool complete_change(struct hf_making *making, struct hf_cut_entry *cut, struct hf_error *err);
static struct hf_cut_entry *add_entry(struct hf_making *making);
static const char *keep_text(struct text_keeper *keeper, const char *text);

bool hf_cut_read(struct hf_making *making, struct hf_error *err)
{
    recall_previous(making);
    /* Before the view of the database: what is declared in between counts as later. */
    hf_cut_note_declared(making);
    if (!hf_session_begin(making->session, err) || !read_system(making, err))
        return false;
    if (!making->full)
        choose_full(making, why_not_incremental(making));
    making->unchanged = hf_cut_is_unchanged(making);
    if (!making->unchanged) {
        take_view(making);
        if (!(making->view ? list_changes(making, err) : list_all(making, err) && list_against_file(making, err)))
            return false;
    }
    if (making->unchanged) {
        making->previous = making->last;
        return true;
    }
    hf_cut_keep_order(making);
    choose_generation(making);
    hf_cut_sort(making);
    hf_cut_count(making);
    return true;
}

static void choose_full(struct hf_making *making, const char *reason)
{
    making->reason = reason;
    making->full = reason[0] != '\0';
}

/* What is forgotten since, or has another name, no incremental can say. */
static void take_view(struct hf_making *making)
{
    struct hf_shelf *shelf = making->shelf;
    bool fits = shelf->view && making->has_previous && strcmp(shelf->view->id, making->previous.id) == 0;
    if (making->full || making->perhaps_unchanged || !fits)
        return;
    if (hf_view_has_all_names(making, shelf->view)) {
        making->view = shelf->view;
        shelf->view = NULL;
    } else {
        choose_full(making, "a component of the snapshot before it is there no more");
    }
}

/* Everything is listed: compares it with what a snapshot of an earlier run, or the one before an incremental, holds. */
static bool list_against_file(struct hf_making *making, struct hf_error *err)
{
    struct hf_cut_comparison found = {0};
    const struct hf_snapshot_row *row = making->perhaps_unchanged ? &making->last : &making->previous;
    if (making->full && !making->perhaps_unchanged)
        return true;
    if (!hf_cut_compare(making, row, &found, err))
        return false;
    if (making->perhaps_unchanged && found.same) {
        making->unchanged = true;
        hf_cut_keep_unchanged(making, found.continues);
    } else if (!making->full && !found.continues) {
        choose_full(making, "the database does not continue the snapshot before it");
    } else if (!making->full) {
        hf_cut_keep_changed(making);
    }
    return true;
}

static void recall_previous(struct hf_making *making)
{
    struct hf_shelf *shelf = making->shelf;
    pthread_mutex_lock(&making->engine->snapshotter->mutex);
    making->has_previous = shelf->newest.has;
    if (shelf->newest.has)
        hf_snapshot_row_copy(&making->arena, &shelf->newest.row, &making->previous);
    making->previous_declared = shelf->newest.declared;
    making->last_cut_at_ms = shelf->last_cut_at_ms;
    making->anchor_cut_at_ms = shelf->anchor_cut_at_ms;
    making->generation_damaged = shelf->generation_damaged;
    pthread_mutex_unlock(&making->engine->snapshotter->mutex);
}

static bool read_system(struct hf_making *making, struct hf_error *err)
{
    struct hf_manifest_header *header = &making->header;
    header->system = NULL;
    if (!hf_systems_get(making->session, making->shelf->system_id, take_system, making, err))
        return false;
    if (!header->system)
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", making->request->system);
    header->trigger = making->request->trigger;
    header->label = making->request->label ? making->request->label : "";
    /* Cuts are ordered in time even when the clock is set back. */
    if (making->begun_at_ms > header->cut_at_ms)
        header->cut_at_ms = making->begun_at_ms;
    if (making->last_cut_at_ms >= header->cut_at_ms)
        header->cut_at_ms = making->last_cut_at_ms + 1;
    return true;
}

static bool take_system(void *context, const struct hf_system_row *row)
{
    struct hf_making *making = context;
    struct hf_manifest_header *header = &making->header;
    header->system = hf_arena_strdup(&making->arena, row->name);
    header->description = hf_arena_strdup(&making->arena, row->description);
    header->sequence = row->sequence;
    header->epoch = row->epoch;
    header->backup_interval_ms = row->backup_interval_ms;
    header->incremental_interval_ms = row->incremental_interval_ms;
    header->max_retention_hours = row->max_retention_hours;
    header->created_at_ms = row->created_at_ms;
    header->cut_at_ms = row->committed_at_ms;
    making->folded_sequence = row->folded_sequence;
    return false;
}

static const char *why_not_incremental(const struct hf_making *making)
{
    if (!making->has_previous)
        return "there is no earlier snapshot to build on";
    if (making->generation_damaged)
        return "a file of the generation to build on is damaged";
    if (!making->anchor_cut_at_ms)
        return "the anchor of the generation to build on is missing";
    if (making->previous.sequence > making->header.sequence)
        return "the database is older than the last snapshot";
    return "";
}

static void choose_generation(struct hf_making *making)
{
    struct hf_manifest_header *header = &making->header;
    int64_t interval_ms = making->engine->config->anchor_interval_ms;
    bool usable = making->has_previous && !making->generation_damaged && making->anchor_cut_at_ms &&
                  making->previous.sequence <= header->sequence;
    making->anchor =
        making->full && (!usable || interval_ms == 0 || header->cut_at_ms - making->anchor_cut_at_ms >= interval_ms);
    header->kind = making->full ? "full" : "incremental";
    header->generation = making->anchor ? NULL : making->previous.generation; /* an anchor's is its own id */
    header->parent = making->anchor ? "" : making->previous.id;
}

/* ---- everything ---- */

static bool list_all(struct hf_making *making, struct hf_error *err)
{
    struct listing listing = {.making = making, .keeper = {.arena = &making->arena}};
    bool ok = hf_components_list(making->session, making->shelf->system_id, list_component, &listing, err) &&
              hf_states_tail(making->session, making->shelf->system_id, making->folded_sequence,
                             making->header.sequence, overlay_head, &listing, err);
    if (ok)
        trust_memory(&listing);
    else if (give_up_listing(&listing, err))
        ok = list_memory(&listing, err);
    free(listing.place);
    if (ok && listing.missing_id)
        return hf_error_set(err, HF_DAMAGED, "system %s has versions of component number %lld, which it does not list",
                            making->shelf->name, (long long)listing.missing_id);
    if (!ok)
        return false;
    hf_cut_number_registrations(making);
    making->view = hf_alloc(sizeof(*making->view));
    for (int64_t i = 0; i < making->entry_count; i++)
        hf_view_put(making->view, &making->entries[i]);
    return true;
}

static bool list_component(void *context, const struct hf_component_row *row)
{
    struct listing *listing = context;
    struct hf_cut_entry *cut = add_entry(listing->making);
    cut->component_id = row->component_id;
    cut->entry = (struct hf_manifest_entry){
        .component = hf_arena_strdup(&listing->making->arena, row->name),
        .version = row->version,
        .sequence = row->sequence,
        .hash = row->hash,
        .bytes = row->bytes,
        .content_type = keep_text(&listing->keeper, row->content_type),
        .committed_at_ms = row->committed_at_ms,
        .deleted = row->deleted,
        .component_kind = keep_text(&listing->keeper, row->kind),
        .depends_on = keep_text(&listing->keeper, row->depends_on),
        .required_pointers = keep_text(&listing->keeper, row->required_pointers),
        .heartbeat_interval_ms = row->heartbeat_interval_ms,
        .registered_at_ms = row->registered_at_ms,
        .created_at_ms = row->created_at_ms,
        .blob_file = "",
    };
    if (row->component_id >= listing->place_count) {
        int64_t count = (row->component_id + 1) * 2;
        listing->place = hf_realloc(listing->place, (size_t)count * sizeof(listing->place[0]));
        memset(listing->place + listing->place_count, 0,
               (size_t)(count - listing->place_count) * sizeof(listing->place[0]));
        listing->place_count = count;
    }
    listing->place[row->component_id] = (uint32_t)listing->making->entry_count;
    return true;
}

/* The database itself is damaged where it lists: what it listed is forgotten, for memory knows every component and what
 * it stands at. False: it is something else. */
static bool give_up_listing(struct listing *listing, struct hf_error *err)
{
    struct hf_making *making = listing->making;
    if (err->code != HF_DAMAGED)
        return false;
    hf_heal_note_database(making->engine, err->text);
    for (int64_t i = 0; making->view && i < making->entry_count; i++)
        hf_view_at(making->view, making->entries[i].component_id)->listed = 0;
    making->entry_count = 0;
    listing->alone = true;
    hf_session_rollback(making->session);
    return hf_session_begin(making->session, err);
}

/* Heads and the sequence change together, under the lock that is held here: they are one cut. */
static bool list_memory(struct listing *listing, struct hf_error *err)
{
    struct hf_making *making = listing->making;
    struct hf_catalog *catalog = making->engine->catalog;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, making->shelf->system_id);
    making->header.sequence = system ? system->sequence : 0;
    for (uint32_t i = 0; system && i < system->by_name_count; i++) {
        const struct hf_component *component = system->by_name[i];
        if (!component->stored)
            continue;
        struct hf_cut_entry *cut = add_entry(making);
        memset(cut, 0, sizeof(*cut));
        cut->component_id = component->id;
        cut->entry.blob_file = "";
        set_memory(&cut->entry, &component->head);
        read_declared(making, system, cut);
    }
    hf_catalog_unlock(catalog);
    for (int64_t i = 0; i < making->entry_count; i++) {
        if (!complete_change(making, &making->entries[i], err))
            return false;
    }
    return true;
}

static void set_memory(struct hf_manifest_entry *entry, const struct hf_head *head)
{
    const struct hf_state_row row = hf_state_row_of(head);
    set_head(entry, &row, head->content_type);
}

static void set_head(struct hf_manifest_entry *entry, const struct hf_state_row *row, const char *content_type)
{
    entry->version = row->version;
    entry->sequence = row->sequence;
    entry->hash = row->hash;
    entry->bytes = row->bytes;
    entry->content_type = content_type;
    entry->committed_at_ms = row->committed_at_ms;
    entry->deleted = row->deleted;
}

static bool overlay_head(void *context, const struct hf_state_row *row)
{
    struct listing *listing = context;
    uint32_t place = row->component_id < listing->place_count ? listing->place[row->component_id] : 0;
    if (!place) {
        listing->missing_id = row->component_id;
        return false;
    }
    struct hf_manifest_entry *entry = &listing->making->entries[place - 1].entry;
    if (row->sequence > entry->sequence) /* some heads are folded further than folded_sequence says */
        set_head(entry, row, keep_text(&listing->keeper, row->content_type));
    return true;
}

/* Rows may have been altered or lost behind our back, heads in memory were not. One that stands at or before the cut is
 * what the component was at the cut; memory may be behind the database for a moment, never ahead of it. The contents
 * are compared with these hashes when they are read. */
static void trust_memory(struct listing *listing)
{
    struct hf_making *making = listing->making;
    struct hf_catalog *catalog = making->engine->catalog;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, making->shelf->system_id);
    if (system && listing->alone)
        making->header.sequence = system->sequence;
    for (uint32_t i = 0; system && i < system->by_name_count; i++) {
        const struct hf_component *component = system->by_name[i];
        const struct hf_head *head = &component->head;
        bool lost = making->view && hf_view_at(making->view, component->id)->lost_version;
        if (!component->stored || (head->sequence <= listing->since && !lost) ||
            head->sequence > making->header.sequence)
            continue;
        struct hf_cut_entry *cut = listed_as(listing, component->id);
        if (!cut) {
            listing->missing_id = component->id;
        } else if (head->sequence >= cut->entry.sequence) {
            set_memory(&cut->entry, head);
        }
    }
    hf_catalog_unlock(catalog);
}

/* NULL: a full lists every component that the database names. */
static struct hf_cut_entry *listed_as(struct listing *listing, int64_t component_id)
{
    if (listing->making->view)
        return list_one(listing->making, component_id);
    uint32_t place = component_id < listing->place_count ? listing->place[component_id] : 0;
    return place ? &listing->making->entries[place - 1] : NULL;
}

/* ---- what changed ---- */

static bool list_changes(struct hf_making *making, struct hf_error *err)
{
    struct hf_view *view = making->view;
    view->id[0] = '\0';
    struct listing listing = {.making = making, .keeper = {.arena = &making->arena}};
    if (!hf_states_tail(making->session, making->shelf->system_id, view->sequence, making->header.sequence, list_change,
                        &listing, err) &&
        !give_up_listing(&listing, err))
        return false;
    listing.since = view->sequence;
    trust_memory(&listing);
    list_registrations(making);
    for (int64_t i = 0; i < making->entry_count; i++) {
        if (!complete_change(making, &making->entries[i], err))
            return false;
        hf_view_put(view, &making->entries[i]);
        hf_view_at(view, making->entries[i].component_id)->listed = 0;
    }
    return true;
}

static struct hf_cut_entry *list_one(struct hf_making *making, int64_t component_id)
{
    struct hf_view_entry *known = hf_view_at(making->view, component_id);
    if (known->listed)
        return &making->entries[known->listed - 1];
    struct hf_cut_entry *cut = add_entry(making);
    known->listed = (uint32_t)making->entry_count;
    memset(cut, 0, sizeof(*cut));
    cut->component_id = component_id;
    cut->entry.component = known->name;
    cut->entry.version = known->version;
    cut->entry.sequence = known->sequence;
    cut->entry.hash = known->hash;
    cut->entry.bytes = known->bytes;
    cut->entry.deleted = known->deleted;
    cut->entry.blob_file = "";
    return cut;
}

static bool list_change(void *context, const struct hf_state_row *row)
{
    struct listing *listing = context;
    struct hf_cut_entry *cut = list_one(listing->making, row->component_id);
    set_head(&cut->entry, row, keep_text(&listing->keeper, row->content_type));
    return true;
}

/* All in one piece: each is as it was before the same moment. */
static void list_registrations(struct hf_making *making)
{
    struct hf_catalog *catalog = making->engine->catalog;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, making->shelf->system_id);
    for (uint32_t i = 0; system && i < system->by_name_count; i++) {
        const struct hf_component *component = system->by_name[i];
        if (!component->stored || !component->registration)
            continue;
        if (hf_view_at(making->view, component->id)->declared != component->declared)
            list_one(making, component->id);
    }
    for (int64_t i = 0; i < making->entry_count; i++)
        read_declared(making, system, &making->entries[i]);
    hf_catalog_unlock(catalog);
}

/* Under the catalogue's lock: what the version's row does not say. */
static void read_declared(struct hf_making *making, const struct hf_system *system, struct hf_cut_entry *cut)
{
    const struct hf_component *component = system ? hf_catalog_component_by_id_locked(system, cut->component_id) : NULL;
    struct hf_registration registration = hf_registration_of_entry(NULL);
    struct hf_manifest_entry *entry = &cut->entry;
    struct hf_arena *arena = &making->arena;
    entry->component = component ? hf_arena_strdup(arena, component->name) : NULL;
    if (component && component->registration)
        registration = *component->registration;
    entry->component_kind = hf_arena_strdup(arena, registration.kind);
    entry->depends_on = hf_arena_strdup(arena, registration.depends_on_json);
    entry->required_pointers = hf_arena_strdup(arena, registration.required_pointers_json);
    entry->heartbeat_interval_ms = registration.heartbeat_interval_ms;
    entry->registered_at_ms = registration.registered_at_ms;
    entry->created_at_ms = component ? component->created_at_ms : 0;
    cut->declared = component ? component->declared : 0;
}

/* For a registration alone: the version's own. */
static bool complete_change(struct hf_making *making, struct hf_cut_entry *cut, struct hf_error *err)
{
    struct hf_manifest_entry *entry = &cut->entry;
    struct hf_component_info info;
    if (!entry->component)
        return hf_error_set(err, HF_NOT_FOUND, "component number %lld of system %s went away during a snapshot",
                            (long long)cut->component_id, making->shelf->name);
    if (entry->content_type)
        return true;
    entry->content_type = "";
    if (entry->version == 0)
        return true;
    if (hf_catalog_read_component(making->engine->catalog, making->header.system, entry->component, &making->arena,
                                  &info) &&
        info.head.sequence == entry->sequence) {
        set_memory(entry, &info.head);
        return true;
    }

    struct hf_state_row row;
    struct hf_state_text text;
    bool found;
    if (!hf_states_find_at(making->session, making->shelf->system_id, entry->sequence, entry->sequence, &row, &text,
                           &found, err))
        return false;
    if (!found)
        return hf_error_set(err, HF_DAMAGED, "version %lld of component %s has no row", (long long)entry->version,
                            entry->component);
    set_head(entry, &row, hf_arena_strdup(&making->arena, row.content_type));
    return true;
}

/* ---- helpers ---- */

static struct hf_cut_entry *add_entry(struct hf_making *making)
{
    if (making->entry_count == making->entry_capacity) {
        making->entry_capacity = making->entry_capacity ? making->entry_capacity * 2 : 256;
        making->entries = hf_realloc(making->entries, (size_t)making->entry_capacity * sizeof(making->entries[0]));
    }
    return &making->entries[making->entry_count++];
}

static const char *keep_text(struct text_keeper *keeper, const char *text)
{
    if (!text || !text[0])
        return "";
    for (int i = 0; i < TEXTS_KEPT; i++) {
        if (keeper->texts[i] && strcmp(keeper->texts[i], text) == 0)
            return keeper->texts[i];
    }
    const char *kept = hf_arena_strdup(keeper->arena, text);
    keeper->texts[keeper->next] = kept;
    keeper->next = (keeper->next + 1) % TEXTS_KEPT;
    return kept;
}
