#include "engine/rebuild_write.h"

#include "core/auto.h"
#include "engine/row_of.h"
#include "store/components.h"
#include "store/states.h"

#define PORTION_ROWS_MAX  256
#define PORTION_BYTES_MAX (INT64_C(8) << 20)

struct writing {
    struct hf_session *session;
    const struct hf_system_row *system;
    struct hf_chain *chain;
    const atomic_bool *stop;
};

static bool insert_components(const struct writing *writing, struct hf_error *err);
static bool insert_states(const struct writing *writing, struct hf_error *err);
static int64_t *entries_by_sequence(const struct hf_chain *chain);

bool hf_rebuild_write(struct hf_session *session, const struct hf_system_row *system, struct hf_chain *chain,
                      const atomic_bool *stop, struct hf_error *err)
{
    const struct writing writing = {session, system, chain, stop};
    return hf_systems_insert(session, system, err) &&
           (!chain || (insert_components(&writing, err) && insert_states(&writing, err)));
}

static bool insert_components(const struct writing *writing, struct hf_error *err)
{
    HF_AUTO(free) struct hf_component_row *rows = hf_alloc(PORTION_ROWS_MAX * sizeof(rows[0]));
    int64_t total = hf_chain_count(writing->chain);
    for (int64_t first = 0; first < total; first += PORTION_ROWS_MAX) {
        int count = 0;
        for (int64_t i = first; i < total && count < PORTION_ROWS_MAX; i++) {
            const struct hf_manifest_entry *entry = hf_chain_entry(writing->chain, i);
            const struct hf_registration registration = hf_registration_of_entry(entry);
            const struct hf_head head = hf_head_of_entry(entry);
            struct hf_component_row *row = &rows[count++];
            *row = hf_component_row_of(&registration, &head);
            row->system_id = writing->system->id;
            row->component_id = i + 1;
            row->name = entry->component;
            row->last_activity_at_ms = entry->committed_at_ms;
            row->created_at_ms = entry->created_at_ms;
        }
        if (!hf_components_insert(writing->session, rows, count, err))
            return false;
    }
    return true;
}

struct by_sequence {
    int64_t sequence, index;
};

static int compare_sequences(const void *a, const void *b)
{
    int64_t left = ((const struct by_sequence *)a)->sequence, right = ((const struct by_sequence *)b)->sequence;
    return left < right ? -1 : left > right;
}

/* Rows go in by their key: the database grows at its end, and old contents lie together in the file. */
static int64_t *entries_by_sequence(const struct hf_chain *chain)
{
    int64_t count = hf_chain_count(chain);
    HF_AUTO(free) struct by_sequence *sorted = hf_alloc(((size_t)count + 1) * sizeof(sorted[0]));
    for (int64_t i = 0; i < count; i++)
        sorted[i] = (struct by_sequence){hf_chain_entry(chain, i)->sequence, i};
    qsort(sorted, (size_t)count, sizeof(sorted[0]), compare_sequences);
    int64_t *order = hf_alloc(((size_t)count + 1) * sizeof(order[0]));
    for (int64_t i = 0; i < count; i++)
        order[i] = sorted[i].index;
    return order;
}

static bool insert_states(const struct writing *writing, struct hf_error *err)
{
    HF_AUTO(free) int64_t *order = entries_by_sequence(writing->chain);
    struct hf_state_row rows[PORTION_ROWS_MAX];
    struct hf_blob *blobs[PORTION_ROWS_MAX];
    int64_t total = hf_chain_count(writing->chain), next = 0;
    bool ok = true;
    while (ok && next < total) {
        if (writing->stop && *writing->stop)
            return hf_error_set(err, HF_SHUTTING_DOWN, "the service is stopping");
        int count = 0;
        int64_t bytes = 0;
        while (ok && next < total && count < PORTION_ROWS_MAX && bytes < PORTION_BYTES_MAX) {
            int64_t index = order[next++];
            const struct hf_manifest_entry *entry = hf_chain_entry(writing->chain, index);
            if (entry->version == 0)
                continue;
            struct hf_blob *blob = NULL;
            if (hf_manifest_entry_is_present(entry))
                ok = hf_chain_read(writing->chain, entry, &blob, err);
            if (!ok)
                break;
            bytes += entry->bytes;
            blobs[count] = blob;
            const struct hf_head head = hf_head_of_entry(entry);
            struct hf_state_row *row = &rows[count++];
            *row = hf_state_row_of(&head);
            row->system_id = writing->system->id;
            row->component_id = index + 1;
            row->epoch = hf_chain_header(writing->chain)->epoch;
            row->content = blob ? blob->data : NULL;
        }
        if (ok && count)
            ok = hf_states_insert(writing->session, rows, count, err);
        for (int i = 0; i < count; i++)
            hf_blob_unref(blobs[i]);
    }
    return ok;
}
