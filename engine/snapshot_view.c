/* The system as a snapshot holds it, component by component, and what that amounts to. */
#include "engine/snapshot_private.h"

#include <string.h>

static int compare_cuts(const void *a, const void *b);
static int compare_ids(const void *a, const void *b, void *context);

void hf_view_free(struct hf_view *view)
{
    if (!view)
        return;
    for (int64_t i = 0; i < view->capacity; i++)
        free(view->entries[i].name);
    free(view->entries);
    free(view->order);
    free(view);
}

void hf_cut_sort(struct hf_making *making)
{
    struct hf_view *view = making->view;
    if (making->entry_count > 1)
        qsort(making->entries, (size_t)making->entry_count, sizeof(making->entries[0]), compare_cuts);
    if (view->unsorted)
        qsort_r(view->order, (size_t)view->order_count, sizeof(view->order[0]), compare_ids, view);
    view->unsorted = false;
}

static int compare_cuts(const void *a, const void *b)
{
    return strcmp(((const struct hf_cut_entry *)a)->entry.component, ((const struct hf_cut_entry *)b)->entry.component);
}

static int compare_ids(const void *a, const void *b, void *context)
{
    const struct hf_view *view = context;
    return strcmp(view->entries[*(const uint32_t *)a - 1].name, view->entries[*(const uint32_t *)b - 1].name);
}

void hf_cut_count(struct hf_making *making)
{
    struct hf_manifest_header *header = &making->header;
    const struct hf_view *view = making->view;
    struct hf_hasher *hasher = hf_hasher_new();
    header->components = header->state_bytes = header->changed = header->deleted = 0;
    for (int64_t i = 0; i < view->order_count; i++) {
        const struct hf_view_entry *entry = &view->entries[view->order[i] - 1];
        if (entry->version == 0 || entry->deleted)
            continue;
        hf_root_hash_add(hasher, entry->name, &entry->hash);
        header->components++;
        header->state_bytes += entry->bytes;
    }
    hf_hasher_finish(hasher, &header->root_hash);
    hf_hasher_free(hasher);

    int64_t since = making->has_previous ? making->previous.sequence : 0;
    for (int64_t i = 0; i < making->entry_count; i++) {
        const struct hf_manifest_entry *entry = &making->entries[i].entry;
        header->changed += hf_manifest_entry_is_present(entry) && entry->sequence > since;
        header->deleted += entry->deleted;
    }
}

struct hf_view_entry *hf_view_at(struct hf_view *view, int64_t component_id)
{
    if (component_id > view->capacity) {
        int64_t capacity = view->capacity ? view->capacity : 64;
        while (capacity < component_id)
            capacity *= 2;
        view->entries = hf_realloc(view->entries, (size_t)capacity * sizeof(view->entries[0]));
        memset(view->entries + view->capacity, 0, (size_t)(capacity - view->capacity) * sizeof(view->entries[0]));
        view->capacity = capacity;
    }
    return &view->entries[component_id - 1];
}

void hf_view_put(struct hf_view *view, const struct hf_cut_entry *cut)
{
    struct hf_view_entry *known = hf_view_at(view, cut->component_id);
    if (!known->name) {
        known->name = hf_strdup(cut->entry.component);
        if (view->order_count == view->order_capacity) {
            view->order_capacity = view->order_capacity ? view->order_capacity * 2 : 64;
            view->order = hf_realloc(view->order, (size_t)view->order_capacity * sizeof(view->order[0]));
        }
        view->order[view->order_count++] = (uint32_t)cut->component_id;
        view->unsorted = true;
    }
    known->lost_version = 0;
    known->version = cut->entry.version;
    known->sequence = cut->entry.sequence;
    known->bytes = cut->entry.bytes;
    known->declared = cut->declared;
    known->hash = cut->entry.hash;
    known->deleted = cut->entry.deleted;
}
