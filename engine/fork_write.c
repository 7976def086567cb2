/* Writing a fork: portions on the committer, each short enough for uploads to fit between. Contents that cannot be
 * shared are read outside of it. */
#include "engine/fork_private.h"

#include "core/auto.h"
#include "core/fault.h"
#include "core/log.h"
#include "engine/catalog_write.h"
#include "engine/row_of.h"
#include "store/components.h"
#include "store/systems.h"

#include <string.h>

#define SHARED_AT_ONCE   1000 /* rows in one transaction: some 20 ms */
#define COPIED_AT_ONCE   256
#define COPIED_BYTES_MAX (INT64_C(8) << 20)
#define FORK_EPOCH       1

/* Items from first on that are written in one transaction. */
struct portion {
    struct hf_forking *forking;
    int64_t first;
    int count;
    struct hf_shared_row shared[SHARED_AT_ONCE];
    int shared_count;
    bool holds[SHARED_AT_ONCE]; /* of each item: its content is there, or it has none */
};

/* Contents of its own. */
struct copies {
    struct hf_forking *forking;
    struct hf_state_row rows[COPIED_AT_ONCE];
    struct hf_blob *blobs[COPIED_AT_ONCE]; /* own references */
    int count;
    int64_t bytes;
};

static bool insert_system(struct hf_session *session, void *context, struct hf_error *err);
static bool run_portion(struct hf_session *session, void *context, struct hf_error *err);
static bool insert_components(struct hf_session *session, const struct portion *portion, struct hf_error *err);
static bool insert_tombstones(struct hf_session *session, struct portion *portion, struct hf_error *err);
static bool insert_shared(struct hf_session *session, struct portion *portion, struct hf_error *err);
static struct hf_state_row row_of(const struct hf_forking *forking, const struct hf_fork_item *item);
static bool copy_rest(struct portion *portion, struct hf_error *err);
static bool add_copy(struct copies *copies, const struct hf_fork_item *item, struct hf_error *err);
static bool flush_copies(struct copies *copies, struct hf_error *err);
static bool run_copies(struct hf_session *session, void *context, struct hf_error *err);
static void drop_copies(struct copies *copies);
static bool reveal_system(struct hf_session *session, void *context, struct hf_error *err);
static void publish_system(void *context);
static void publish_component(struct hf_forking *forking, struct hf_system *system, const struct hf_fork_item *item,
                              int64_t id);
static struct hf_head head_of(const struct hf_forking *forking, const struct hf_fork_item *item);
static bool delete_system(struct hf_session *session, void *context, struct hf_error *err);
static void forget_system(void *context);

bool hf_fork_begin(struct hf_forking *forking, struct hf_error *err)
{
    struct hf_call call = {.run = insert_system, .context = forking};
    return hf_committer_call(forking->engine->committer, &call, err);
}

/* Its place in the catalogue keeps its number from being given to another; nobody sees it there. */
static bool insert_system(struct hf_session *session, void *context, struct hf_error *err)
{
    struct hf_forking *forking = context;
    struct hf_catalog *catalog = forking->engine->catalog;
    if (!forking->system_id) {
        hf_catalog_lock(catalog);
        forking->system_id = hf_catalog_add_system_locked(catalog, forking->hidden, 0, forking->now_ms)->id;
        hf_catalog_unlock(catalog);
    }
    const struct hf_system_row row = {.id = forking->system_id,
                                      .name = forking->hidden,
                                      .epoch = FORK_EPOCH,
                                      .backup_interval_ms = -1,
                                      .incremental_interval_ms = -1,
                                      .max_retention_hours = -1,
                                      .created_at_ms = forking->now_ms,
                                      .committed_at_ms = forking->now_ms};
    return hf_systems_insert(session, &row, err) &&
           (!forking->past || hf_shared_join_family(session, forking->system_id, hf_past_system(forking->past)->id,
                                                    forking->batch_id, err));
}

bool hf_fork_fill(struct hf_forking *forking, struct hf_error *err)
{
    HF_AUTO(free) struct portion *portion = hf_alloc(sizeof(*portion));
    portion->forking = forking;
    for (int64_t next = 0; next < forking->count; next += portion->count) {
        int64_t left = forking->count - next;
        portion->first = next;
        portion->count = left < SHARED_AT_ONCE ? (int)left : SHARED_AT_ONCE;
        struct hf_call call = {.run = run_portion, .context = portion};
        if (!hf_committer_call(forking->engine->committer, &call, err) || !copy_rest(portion, err))
            return false;
        if (hf_fault("fork_midway"))
            return hf_error_set(err, HF_STORE_DOWN, "fault point fork_midway");
    }
    return true;
}

/* May run again after a commit whose outcome is unknown; if that one is in, the first insert says so. What it found
 * out then still holds. */
static bool run_portion(struct hf_session *session, void *context, struct hf_error *err)
{
    struct portion *portion = context;
    return insert_components(session, portion, err) && insert_tombstones(session, portion, err) &&
           insert_shared(session, portion, err);
}

static bool insert_components(struct hf_session *session, const struct portion *portion, struct hf_error *err)
{
    const struct hf_forking *forking = portion->forking;
    HF_AUTO(free)
    struct hf_component_row *rows = hf_alloc((size_t)portion->count * sizeof(struct hf_component_row));
    for (int i = 0; i < portion->count; i++) {
        const struct hf_fork_item *item = &forking->items[portion->first + i];
        const struct hf_head head = head_of(forking, item);
        rows[i] = hf_component_row_of(&item->registration, &head);
        rows[i].system_id = forking->system_id;
        rows[i].component_id = portion->first + i + 1;
        rows[i].name = item->entry->component;
        rows[i].last_activity_at_ms = rows[i].created_at_ms = forking->now_ms;
    }
    return hf_components_insert(session, rows, portion->count, err);
}

/* They hold the place of a version that was deleted: numbers go on behind it. */
static bool insert_tombstones(struct hf_session *session, struct portion *portion, struct hf_error *err)
{
    const struct hf_forking *forking = portion->forking;
    HF_AUTO(free) struct hf_state_row *rows = hf_alloc((size_t)portion->count * sizeof(struct hf_state_row));
    int count = 0;
    for (int i = 0; i < portion->count; i++) {
        const struct hf_fork_item *item = &forking->items[portion->first + i];
        portion->holds[i] = !hf_past_entry_is_present(item->entry);
        if (portion->holds[i] && item->sequence)
            rows[count++] = row_of(forking, item);
    }
    return !count || hf_states_insert(session, rows, count, err);
}

static bool insert_shared(struct hf_session *session, struct portion *portion, struct hf_error *err)
{
    const struct hf_forking *forking = portion->forking;
    int place[SHARED_AT_ONCE];
    portion->shared_count = 0;
    for (int i = 0; i < portion->count; i++) {
        const struct hf_fork_item *item = &forking->items[portion->first + i];
        if (!item->origin_sequence)
            continue;
        const struct hf_state_row row = row_of(forking, item);
        place[portion->shared_count] = i;
        portion->shared[portion->shared_count++] =
            (struct hf_shared_row){.system_id = row.system_id,
                                   .sequence = row.sequence,
                                   .component_id = row.component_id,
                                   .version = row.version,
                                   .epoch = row.epoch,
                                   .hash = row.hash,
                                   .content_type = row.content_type,
                                   .committed_at_ms = row.committed_at_ms,
                                   .origin_system_id = hf_past_system(forking->past)->id,
                                   .origin_sequence = item->origin_sequence};
    }
    if (!hf_shared_insert(session, portion->shared, portion->shared_count, err))
        return false;
    for (int i = 0; i < portion->shared_count; i++)
        portion->holds[place[i]] = portion->shared[i].shared;
    return true;
}

static struct hf_state_row row_of(const struct hf_forking *forking, const struct hf_fork_item *item)
{
    const struct hf_head head = head_of(forking, item);
    struct hf_state_row row = hf_state_row_of(&head);
    row.system_id = forking->system_id;
    row.component_id = item - forking->items + 1;
    row.epoch = FORK_EPOCH;
    return row;
}

static bool copy_rest(struct portion *portion, struct hf_error *err)
{
    struct hf_forking *forking = portion->forking;
    HF_AUTO(free) struct copies *copies = hf_alloc(sizeof(*copies));
    copies->forking = forking;
    for (int i = 0; i < portion->shared_count; i++)
        forking->shared += portion->shared[i].shared;
    bool ok = true;
    for (int i = 0; ok && i < portion->count; i++) {
        if (portion->holds[i])
            continue;
        ok = add_copy(copies, &forking->items[portion->first + i], err);
        if (ok && (copies->count == COPIED_AT_ONCE || copies->bytes >= COPIED_BYTES_MAX))
            ok = flush_copies(copies, err);
    }
    ok = ok && flush_copies(copies, err);
    drop_copies(copies);
    return ok;
}

static bool add_copy(struct copies *copies, const struct hf_fork_item *item, struct hf_error *err)
{
    struct hf_forking *forking = copies->forking;
    struct hf_blob *blob = NULL;
    if (!hf_past_read(forking->past, item->entry, &blob, err))
        return hf_error_wrap(err, "nothing was forked, because component %s cannot be read", item->entry->component);
    copies->blobs[copies->count] = blob;
    copies->rows[copies->count] = row_of(forking, item);
    copies->rows[copies->count].content = blob->data;
    copies->bytes += copies->rows[copies->count++].bytes;
    return true;
}

static bool flush_copies(struct copies *copies, struct hf_error *err)
{
    struct hf_call call = {.run = run_copies, .context = copies};
    if (copies->count && !hf_committer_call(copies->forking->engine->committer, &call, err))
        return false;
    copies->forking->copied += copies->count;
    drop_copies(copies);
    return true;
}

static bool run_copies(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct copies *copies = context;
    return hf_states_insert(session, copies->rows, copies->count, err);
}

static void drop_copies(struct copies *copies)
{
    for (int i = 0; i < copies->count; i++)
        hf_blob_unref(copies->blobs[i]);
    copies->count = 0;
    copies->bytes = 0;
}

bool hf_fork_reveal(struct hf_forking *forking, struct hf_error *err)
{
    /* The batch is what tells, after a commit whose answer was lost, whether it is in. */
    struct hf_call call = {.run = reveal_system,
                           .published = publish_system,
                           .context = forking,
                           .system_id = forking->system_id,
                           .batch_id = forking->batch_id};
    if (hf_committer_call(forking->engine->committer, &call, err))
        return true;
    /* Said only here: the committer would take a conflict for one of the database and try again. */
    return forking->name_taken
               ? hf_error_set(err, HF_CONFLICT, "system %s came into being meanwhile", forking->request->name)
               : false;
}

static bool reveal_system(struct hf_session *session, void *context, struct hf_error *err)
{
    struct hf_forking *forking = context;
    hf_catalog_lock(forking->engine->catalog);
    forking->name_taken = hf_catalog_find_system_locked(forking->engine->catalog, forking->request->name) != NULL;
    hf_catalog_unlock(forking->engine->catalog);
    if (forking->name_taken)
        return hf_error_set(err, HF_INTERNAL, "the name is taken");
    const struct hf_system_row row = {.id = forking->system_id,
                                      .name = forking->request->name,
                                      .description = forking->request->description,
                                      .sequence = forking->sequence,
                                      .batch_id = forking->batch_id,
                                      .committed_at_ms = forking->now_ms};
    return hf_systems_reveal(session, &row, err);
}

static void publish_system(void *context)
{
    struct hf_forking *forking = context;
    struct hf_catalog *catalog = forking->engine->catalog;
    const char *description = forking->request->description;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, forking->system_id);
    hf_catalog_rename_system_locked(catalog, system, forking->request->name);
    free(system->description);
    system->description = hf_strdup(description ? description : "");
    hf_system_advance_locked(system, forking->sequence, forking->now_ms);
    system->folded_sequence = forking->sequence;
    system->epoch = FORK_EPOCH;
    for (int64_t i = 0; i < forking->count; i++)
        publish_component(forking, system, &forking->items[i], i + 1);
    system->stored = true;
    hf_catalog_unlock(catalog);
}

static void publish_component(struct hf_forking *forking, struct hf_system *system, const struct hf_fork_item *item,
                              int64_t id)
{
    struct hf_component *component =
        hf_catalog_add_component_locked(system, item->entry->component, id, forking->now_ms);
    const struct hf_head head = head_of(forking, item);
    component->stored = true;
    component->last_activity_at_ms = forking->now_ms;
    if (item->registration.registered_at_ms)
        hf_catalog_set_registration_locked(system, component, &item->registration);
    component->dirty = true; /* it is as its row: no fold is needed */
    hf_catalog_set_head_locked(forking->engine->catalog, system, component, &head, NULL);
    component->dirty = false;
}

static struct hf_head head_of(const struct hf_forking *forking, const struct hf_fork_item *item)
{
    const struct hf_past_entry *entry = item->entry;
    struct hf_head head = {.version = entry->version, .sequence = item->sequence, .content_type = item->content_type};
    if (!item->sequence)
        return head;
    head.committed_at_ms = forking->now_ms;
    head.deleted = entry->deleted;
    if (!entry->deleted) {
        head.hash = entry->hash;
        head.bytes = entry->bytes;
    }
    return head;
}

void hf_fork_discard(struct hf_forking *forking)
{
    struct hf_call call = {.run = delete_system, .published = forget_system, .context = forking};
    struct hf_error err;
    if (forking->system_id && !hf_committer_call(forking->engine->committer, &call, &err))
        hf_log(HF_LOG_WARNING, "fork_not_removed", err.text, HF_LOG_TEXT("system", forking->request->name),
               HF_LOG_TEXT("remedy", "nobody sees what was written of it; the next start removes it"));
}

static bool delete_system(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct hf_forking *forking = context;
    return hf_systems_delete(session, forking->system_id, err);
}

static void forget_system(void *context)
{
    const struct hf_forking *forking = context;
    struct hf_catalog *catalog = forking->engine->catalog;
    hf_catalog_lock(catalog);
    hf_catalog_remove_system_locked(catalog, hf_catalog_system_by_id_locked(catalog, forking->system_id));
    hf_catalog_unlock(catalog);
}
