#include "engine/batch.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/metrics.h"
#include "engine/row_of.h"
#include "repository/manifest.h"

#include <stdio.h>
#include <string.h>

/* ---- entity tags ---- */

/* Without printf: every answer about a state carries one. */
static char *add_number(char *out, int64_t number)
{
    char digits[24];
    int count = 0;
    for (int64_t rest = number; rest || !count; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    while (count)
        *out++ = digits[--count];
    return out;
}

void hf_etag_format(const struct hf_head *head, char out[HF_ETAG_BYTES])
{
    char hex[HF_HASH_HEX];
    *out++ = '"';
    out = add_number(out, head->version);
    *out++ = '-';
    hf_hash_hex(&head->hash, hex);
    memcpy(out, hex, 16);
    out += 16;
    if (head->epoch > 1) {
        *out++ = '-';
        out = add_number(out, head->epoch);
    }
    memcpy(out, "\"", 2);
}

bool hf_etag_matches(const char *list, const struct hf_head *head)
{
    char etag[HF_ETAG_BYTES];
    hf_etag_format(head, etag);
    size_t length = strlen(etag);
    for (const char *p = list; *p;) {
        p += strspn(p, " \t,");
        if (*p == '*')
            return true;
        size_t item = strcspn(p, ",");
        size_t bytes = item;
        while (bytes && (p[bytes - 1] == ' ' || p[bytes - 1] == '\t'))
            bytes--;
        if (bytes == length && !memcmp(p, etag, length))
            return true;
        p += item;
    }
    return false;
}

/* ---- the batch ---- */

void hf_batch_init(struct hf_batch *batch)
{
    *batch = (struct hf_batch){0};
}

void hf_batch_done(struct hf_batch *batch)
{
    free(batch->states);
    free(batch->rows);
    free(batch->fresh);
    free(batch->fresh_systems);
    free(batch->touched);
    free(batch->orders);
}

void hf_batch_begin(struct hf_batch *batch)
{
    batch->number++;
    hf_random_bytes(&batch->batch_id, sizeof batch->batch_id);
    batch->now_ms = hf_clock_now_ms();
    batch->systems = NULL;
    batch->count = batch->fresh_count = batch->touched_count = batch->order_count = 0;
    batch->bytes = 0;
    batch->first = batch->last = NULL;
}

static void enter_system(struct hf_batch *batch, struct hf_system *system)
{
    if (system->pending_batch == batch->number)
        return;
    system->pending_batch = batch->number;
    system->pending_sequence = system->sequence;
    /* The clock of a system never goes back, whatever the machine's does: times order as sequences do. */
    system->pending_committed_at_ms = batch->now_ms > system->committed_at_ms ? batch->now_ms : system->committed_at_ms;
    system->batch_next = batch->systems;
    batch->systems = system;
}

/* The head as it will be after what is in the batch so far. */
static const struct hf_head *head_in(const struct hf_batch *batch, const struct hf_component *component)
{
    static const struct hf_head none = {.content_type = ""};
    if (!component)
        return &none;
    return component->pending_batch == batch->number ? &component->pending : &component->head;
}

static bool check_epoch(const struct hf_write *write, const struct hf_system *system, struct hf_error *err)
{
    int64_t epoch = system ? system->epoch : 1;
    if (write->state_epoch < 0 || write->state_epoch == epoch)
        return true;
    if (write->state_epoch < epoch)
        return hf_error_set(err, HF_STALE_EPOCH,
                            "State-Epoch %lld is from before a restore: system %s is at epoch %lld; fetch the state "
                            "again and go on from there",
                            (long long)write->state_epoch, write->system, (long long)epoch);
    return hf_error_set(err, HF_CONFLICT, "State-Epoch %lld was never given out: system %s is at epoch %lld",
                        (long long)write->state_epoch, write->system, (long long)epoch);
}

/* What was given up long ago may still lie in a socket or a proxy. */
static bool check_order(const struct hf_write *write, const struct hf_catalog *catalog, const char *name,
                        const struct hf_component *component, struct hf_error *err)
{
    const struct hf_order *order = &write->order;
    if (!order->writer)
        return true;
    struct hf_order last = hf_catalog_order_locked(catalog, write->system, name, component);
    if (last.writer != order->writer || order->number >= last.number)
        return true;
    return hf_error_set(err, HF_SUPERSEDED,
                        "component %s: write %lld of its writer came after write %lld, which is newer and done; "
                        "nothing was changed",
                        name, (long long)order->number, (long long)last.number);
}

static bool check_item(struct hf_write *write, const struct hf_save_item *item, const struct hf_head *head,
                       struct hf_error *err)
{
    bool present = hf_head_is_present(head);
    write->current_etag[0] = '\0';
    if (present)
        hf_etag_format(head, write->current_etag);
    if (item->if_none_match_any && present)
        return hf_error_set(err, HF_PRECONDITION, "component %s has a state already (ETag %s); If-None-Match: * failed",
                            item->component, write->current_etag);
    if (item->if_match && !present)
        return hf_error_set(err, HF_PRECONDITION, "component %s has no state; If-Match failed", item->component);
    if (item->if_match && !hf_etag_matches(item->if_match, head))
        return hf_error_set(err, HF_PRECONDITION, "component %s is at ETag %s; If-Match failed", item->component,
                            write->current_etag);
    if (item->delete_it && !present)
        return hf_error_set(err, HF_NOT_FOUND, "component %s of system %s has no state", item->component,
                            write->system);
    return true;
}

static void *grow(void *array, int *capacity, int needed, size_t size)
{
    if (needed <= *capacity)
        return array;
    *capacity = needed > *capacity * 2 ? needed + 64 : *capacity * 2;
    return hf_realloc(array, (size_t)*capacity * size);
}

static struct hf_component *ensure_component(struct hf_batch *batch, struct hf_system *system, const char *name)
{
    struct hf_component *component = hf_catalog_find_component_locked(system, name);
    if (component)
        return component;
    component = hf_catalog_add_component_locked(system, name, 0, batch->now_ms);
    int capacity = batch->fresh_capacity;
    batch->fresh = grow(batch->fresh, &batch->fresh_capacity, batch->fresh_count + 1, sizeof *batch->fresh);
    batch->fresh_systems = grow(batch->fresh_systems, &capacity, batch->fresh_count + 1, sizeof *batch->fresh_systems);
    batch->fresh[batch->fresh_count] = component;
    batch->fresh_systems[batch->fresh_count++] = system;
    return component;
}

static void touch(struct hf_batch *batch, struct hf_component *component)
{
    batch->touched = grow(batch->touched, &batch->touched_capacity, batch->touched_count + 1, sizeof *batch->touched);
    batch->touched[batch->touched_count++] = (struct hf_batch_touch){component, batch->now_ms};
}

static void note_order(struct hf_batch *batch, struct hf_component *component, const struct hf_order *order)
{
    if (!order->writer)
        return;
    batch->orders = grow(batch->orders, &batch->order_capacity, batch->order_count + 1, sizeof *batch->orders);
    batch->orders[batch->order_count++] = (struct hf_batch_order){component, component->order};
    component->order = *order;
}

/* What its writer deleted stays deleted, also where there was nothing: the state may still be on its way. */
static void note_vain_deletion(struct hf_batch *batch, struct hf_catalog *catalog, const struct hf_system *system,
                               const struct hf_write *write)
{
    if (write->error.code != HF_NOT_FOUND || write->failed_item < 0 || !write->order.writer)
        return;
    const char *name = write->items[write->failed_item].component;
    struct hf_component *component = system ? hf_catalog_find_component_locked(system, name) : NULL;
    struct hf_order last = hf_catalog_order_locked(catalog, write->system, name, component);
    if (last.writer == write->order.writer && last.number >= write->order.number)
        return;
    if (component)
        note_order(batch, component, &write->order);
    else
        hf_catalog_note_absent_locked(catalog, write->system, name, &write->order);
}

static void add_row(struct hf_batch *batch, struct hf_system *system, struct hf_component *component,
                    const struct hf_save_item *item, const struct hf_head *old)
{
    int capacity = batch->capacity;
    batch->states = grow(batch->states, &batch->capacity, batch->count + 1, sizeof *batch->states);
    batch->rows = grow(batch->rows, &capacity, batch->count + 1, sizeof *batch->rows);
    struct hf_state_row *row = &batch->states[batch->count];
    *row = hf_state_row_of(&component->pending);
    row->system_id = system->id;
    row->component_id = component->id;
    row->previous_sequence = old->sequence;
    row->epoch = system->epoch;
    row->event = item->event;
    row->content = item->delete_it ? NULL : item->body->data;
    batch->rows[batch->count++] = (struct hf_batch_row){system, component, item->delete_it ? NULL : item->body};
    batch->bytes += component->pending.bytes;
}

static void apply_item(struct hf_batch *batch, struct hf_system *system, const struct hf_order *order,
                       struct hf_save_item *item, const char *content_type)
{
    struct hf_component *component = ensure_component(batch, system, item->component);
    note_order(batch, component, order);
    struct hf_head old = *head_in(batch, component);
    bool present = hf_head_is_present(&old);
    /* The same content again makes a state whole whose stored bytes are not. */
    bool whole = !component->damaged || component->pending_batch == batch->number;
    item->created = !present;
    item->unchanged = present && whole && !item->delete_it && hf_hash_equal(&old.hash, &item->hash) &&
                      !strcmp(old.content_type, content_type);
    if (item->unchanged) {
        touch(batch, component);
    } else {
        component->pending = (struct hf_head){
            .version = old.version + 1,
            .sequence = ++system->pending_sequence,
            .bytes = item->delete_it ? 0 : (int64_t)item->body->bytes,
            .content_type = content_type,
            .committed_at_ms = system->pending_committed_at_ms,
            .deleted = item->delete_it,
        };
        if (!item->delete_it)
            component->pending.hash = item->hash;
        component->pending_batch = batch->number;
        add_row(batch, system, component, item, &old);
    }
    const struct hf_head *head = head_in(batch, component);
    item->version = head->version;
    item->sequence = head->sequence;
    item->committed_at_ms = head->committed_at_ms;
}

/* A restored snapshot of elsewhere may bring versions that leave no room; what is past them no snapshot could hold. */
static bool check_room(const struct hf_save_item *item, const struct hf_head *head, struct hf_error *err)
{
    return head->version < HF_MANIFEST_NUMBER_MAX ||
           hf_error_set(err, HF_CONFLICT, "component %s is at version %lld: there is no room for a newer one",
                        item->component, (long long)head->version);
}

static bool check_all(struct hf_batch *batch, struct hf_catalog *catalog, struct hf_write *write,
                      struct hf_system *system, const char **content_types)
{
    write->failed_item = -1;
    if (!check_epoch(write, system, &write->error))
        return false;
    for (int i = 0; i < write->item_count; i++) {
        const struct hf_save_item *item = &write->items[i];
        struct hf_component *component = system ? hf_catalog_find_component_locked(system, item->component) : NULL;
        write->failed_item = i;
        struct hf_head head = *head_in(batch, component);
        head.epoch = system ? system->epoch : 1;
        /* A condition that fails says so: whoever tries again on that must not need to know of orders. */
        if (!check_room(item, &head, &write->error) || !check_item(write, item, &head, &write->error) ||
            !check_order(write, catalog, item->component, component, &write->error))
            return false;
        content_types[i] = item->delete_it ? "" : hf_catalog_intern_locked(catalog, item->content_type);
        if (!content_types[i])
            return hf_error_set(&write->error, HF_INVALID_REQUEST,
                                "Content-Type \"%.80s\" is refused: too many different content types are stored",
                                item->content_type);
    }
    write->failed_item = -1;
    return true;
}

void hf_batch_add(struct hf_batch *batch, struct hf_catalog *catalog, struct hf_write *write)
{
    write->next = NULL;
    if (batch->last)
        batch->last->next = write;
    else
        batch->first = write;
    batch->last = write;

    const char *one[1];
    HF_AUTO(free) const char **many = write->item_count > 1 ? hf_alloc((size_t)write->item_count * sizeof *many) : NULL;
    const char **content_types = many ? many : one;

    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, write->system);
    write->ok = check_all(batch, catalog, write, system, content_types);
    write->epoch = system ? system->epoch : 1;
    if (write->ok) {
        if (!system)
            system = hf_catalog_add_system_locked(catalog, write->system, 0, batch->now_ms);
        enter_system(batch, system);
        for (int i = 0; i < write->item_count; i++)
            apply_item(batch, system, &write->order, &write->items[i], content_types[i]);
    } else {
        note_vain_deletion(batch, catalog, system, write);
    }
    hf_catalog_unlock(catalog);
}

void hf_batch_publish(struct hf_batch *batch, struct hf_catalog *catalog)
{
    hf_catalog_lock(catalog);
    for (struct hf_system *system = batch->systems; system; system = system->batch_next) {
        system->stored = true;
        if (system->pending_sequence != system->sequence)
            hf_system_advance_locked(system, system->pending_sequence, system->pending_committed_at_ms);
    }
    for (int i = 0; i < batch->fresh_count; i++)
        batch->fresh[i]->stored = true;
    for (int i = 0; i < batch->count; i++) {
        const struct hf_state_row *state = &batch->states[i];
        const struct hf_batch_row *row = &batch->rows[i];
        const struct hf_head head = hf_head_of_row(state);
        hf_catalog_set_head_locked(catalog, row->system, row->component, &head, row->body);
    }
    for (int i = 0; i < batch->touched_count; i++) {
        struct hf_component *component = batch->touched[i].component;
        if (batch->touched[i].at_ms > component->last_activity_at_ms)
            component->last_activity_at_ms = batch->touched[i].at_ms;
    }
    hf_catalog_unlock(catalog);
    hf_metric_add(HF_M_SAVES, batch->count);
    hf_metric_add(HF_M_SAVES_UNCHANGED, batch->touched_count);
    hf_metric_add(HF_M_SAVED_BYTES, batch->bytes);
}

void hf_batch_abandon(struct hf_batch *batch, struct hf_catalog *catalog)
{
    hf_catalog_lock(catalog);
    for (int i = batch->order_count - 1; i >= 0; i--)
        batch->orders[i].component->order = batch->orders[i].before;
    for (int i = batch->fresh_count - 1; i >= 0; i--)
        hf_catalog_drop_component_locked(batch->fresh_systems[i], batch->fresh[i]);
    struct hf_system *next;
    for (struct hf_system *system = batch->systems; system; system = next) {
        next = system->batch_next;
        system->pending_batch = 0;
        if (!system->stored)
            hf_catalog_remove_system_locked(catalog, system);
    }
    batch->number++; /* what was pending is void */
    batch->systems = NULL;
    batch->fresh_count = batch->count = batch->touched_count = batch->order_count = 0;
    hf_catalog_unlock(catalog);
}
