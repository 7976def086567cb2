/* States whose content can be had from nowhere any more. They do not keep a snapshot from being taken: it holds such a
 * component as the snapshot before it did, or as one without a state, and says so. The view keeps what the file holds
 * and that it is not what was stored, so that each later snapshot looks again. */
#include "engine/snapshot_private.h"

#include "core/json.h"
#include "engine/heal.h"

#include <string.h>

#define NAMES_IN_REASON 5
#define NAMES_IN_EVENT  100

/* What a snapshot lacks, as far as it is named. */
struct naming {
    int64_t older, missing;
    json_t *older_list, *missing_list; /* borrowed */
    struct hf_buf names;               /* the first of both */
};

static bool load_previous(struct hf_making *making, struct hf_error *err);
static bool is_proven(struct hf_making *making, bool whole, struct hf_error *err);
static void take_older(struct hf_manifest_entry *entry, const struct hf_manifest_entry *older);
static void name_one(struct naming *naming, const struct hf_view_entry *known);
static void word_reason(struct hf_making *making, const struct naming *naming);

bool hf_lost_replace(struct hf_making *making, struct hf_cut_entry *cut, bool never_mind, struct hf_error *err)
{
    const struct hf_manifest_entry *older = NULL;
    struct hf_view_entry *known = hf_view_at(making->view, cut->component_id);
    int64_t lost_version = known->lost_version ? known->lost_version : cut->entry.version;
    if (!never_mind) {
        if (!load_previous(making, err))
            return false;
        older = making->chain ? hf_chain_find(making->chain, cut->entry.component) : NULL;
        if (older && older->sequence >= cut->entry.sequence)
            older = NULL; /* of a past that was given up, or lost itself */
    }
    take_older(&cut->entry, older);
    hf_view_put(making->view, cut);

    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_component_info info;
    known->lost_version = lost_version;
    known->lost_marked = hf_catalog_read_component(making->engine->catalog, making->header.system, cut->entry.component,
                                                   &arena, &info) &&
                         info.damaged;
    return true;
}

/* Damage of its own is no reason to stop either: what can be read of it is taken. An I/O error may pass, and would cost
 * the older state. */
static bool load_previous(struct hf_making *making, struct hf_error *err)
{
    bool whole;
    char why[480];
    if (making->previous_tried || !making->has_previous)
        return true;
    if (!hf_chain_salvage(&making->chain, making->engine->repository, making->header.system, making->previous.id,
                          &whole, why, err) ||
        !is_proven(making, whole, err)) {
        if (err->code != HF_DAMAGED && err->code != HF_NOT_FOUND && err->code != HF_KEY_MISSING)
            return false;
        hf_log(HF_LOG_WARNING, "snapshot_parent_unusable", err->text, HF_LOG_TEXT("system", making->header.system));
    }
    making->previous_tried = true;
    return true;
}

/* This snapshot is signed: what it holds must not come from one that nobody signed. */
static bool is_proven(struct hf_making *making, bool whole, struct hf_error *err)
{
    int verdict;
    bool required = making->engine->config->require_signatures;
    bool ok = hf_repository_check_signature(making->engine->repository, making->chain, &verdict, err);
    if (ok && (whole || !required))
        return true;
    if (ok)
        hf_error_set(err, HF_DAMAGED, "no signature vouches for what is left of snapshot %s", making->previous.id);
    hf_chain_free(making->chain);
    making->chain = NULL;
    return false;
}

/* The registration stays as it is now. */
static void take_older(struct hf_manifest_entry *entry, const struct hf_manifest_entry *older)
{
    static const struct hf_manifest_entry none = {.content_type = ""};
    const struct hf_manifest_entry *from = older ? older : &none;
    entry->version = from->version;
    entry->sequence = from->sequence;
    entry->hash = from->hash;
    entry->bytes = from->bytes;
    entry->content_type = from->content_type;
    entry->committed_at_ms = from->committed_at_ms;
    entry->deleted = from->deleted;
    entry->blob_file = "";
    entry->blob_offset = entry->blob_stored_bytes = 0;
}

bool hf_lost_read(struct hf_making *making, const struct hf_manifest_entry *entry, struct hf_blob **out,
                  struct hf_error *err)
{
    char origin[HF_ORIGIN_BYTES];
    const struct hf_manifest_entry *older = hf_chain_find(making->chain, entry->component);
    if (hf_chain_read(making->chain, older, out, err))
        return true;
    if (err->code != HF_DAMAGED && err->code != HF_NOT_FOUND && err->code != HF_KEY_MISSING)
        return false;
    if (hf_heal_find(making->engine, making->header.system, &entry->hash, entry->bytes, HF_HEAL_THOROUGH, out, origin))
        return true;
    return hf_error_set(err, HF_DAMAGED, "no copy of version %lld can be read either", (long long)entry->version);
}

bool hf_lost_came_back(struct hf_making *making)
{
    const struct hf_view *view = making->shelf->view;
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    for (int64_t i = 0; view && i < view->order_count; i++) {
        const struct hf_view_entry *known = &view->entries[view->order[i] - 1];
        struct hf_component_info info;
        if (known->lost_version && known->lost_marked &&
            hf_catalog_read_component(making->engine->catalog, making->header.system, known->name, &arena, &info) &&
            !info.damaged)
            return true;
    }
    return false;
}

void hf_lost_describe(struct hf_making *making)
{
    const struct hf_view *view = making->view;
    HF_AUTO(json) json_t *data = json_object();
    struct naming naming = {.older_list = json_array(), .missing_list = json_array()};
    json_object_set_new(data, "snapshot", json_string(making->header.id));
    json_object_set_new(data, "older", naming.older_list);
    json_object_set_new(data, "missing", naming.missing_list);
    hf_buf_init(&naming.names, 4096);
    for (int64_t i = 0; i < view->order_count; i++) {
        const struct hf_view_entry *known = &view->entries[view->order[i] - 1];
        if (known->lost_version)
            name_one(&naming, known);
    }
    if (naming.older + naming.missing) {
        hf_cut_count(making); /* the file holds other states than were listed */
        word_reason(making, &naming);
        HF_AUTO(free) char *text = hf_json_text(data);
        making->lost_data = hf_arena_strdup(&making->arena, text);
    }
    hf_buf_done(&naming.names);
}

static void name_one(struct naming *naming, const struct hf_view_entry *known)
{
    bool held = known->version > 0 && !known->deleted;
    int64_t *count = held ? &naming->older : &naming->missing;
    json_t *list = held ? naming->older_list : naming->missing_list;
    int64_t before = naming->older + naming->missing;
    ++*count;
    if (before < NAMES_IN_REASON)
        hf_buf_add_format(&naming->names, "%s%s", before ? ", " : "", known->name);
    if (*count > NAMES_IN_EVENT)
        return;
    json_t *item = json_pack("{s:s, s:I}", "component", known->name, "version", (json_int_t)known->lost_version);
    if (held)
        json_object_set_new(item, "heldVersion", json_integer(known->version));
    json_array_append_new(list, item);
}

static void word_reason(struct hf_making *making, const struct naming *naming)
{
    int64_t all = naming->older + naming->missing;
    making->lost_reason = hf_arena_format(
        &making->arena,
        "%lld component%s held as of an older version and %lld missing, because the latest states are damaged in the "
        "database and no other copy was found: %.*s%s",
        (long long)naming->older, naming->older == 1 ? " is" : "s are", (long long)naming->missing,
        (int)naming->names.bytes, naming->names.data, all > NAMES_IN_REASON ? ", …" : "");
}
