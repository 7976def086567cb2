#include "engine/copies.h"
#include "engine/fork_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "engine/catalog_write.h"
#include "engine/events.h"
#include "store/systems.h"

#include <string.h>

#define HIDDEN_PREFIX ".fork-" /* no valid name begins like this */
#define TIDIED_MAX    64       /* forks under way are few: there is a worker thread for each */

struct leftovers {
    int64_t ids[TIDIED_MAX];
    int count;
};

static bool check_name(const struct hf_forking *forking, struct hf_error *err);
static bool list_items(struct hf_forking *forking, struct hf_error *err);
static const struct hf_component_info *find_component(const struct hf_component_info *components, int count,
                                                      const char *name);
static bool existed(const struct hf_forking *forking, const struct hf_past_entry *entry,
                    const struct hf_registration *registration);
static int64_t choose_origin(const struct hf_past_entry *entry, const struct hf_component_info *present);
static bool intern_types(struct hf_forking *forking, struct hf_error *err);
static bool write_all(struct hf_forking *forking, struct hf_error *err);
static bool fill_result(struct hf_forking *forking, struct hf_arena *arena, struct hf_fork *out, struct hf_error *err);
static void tell(const struct hf_forking *forking);
static hf_system_row_fn note_leftover;

bool hf_fork_make(struct hf_engine *engine, const struct hf_fork_request *request, struct hf_arena *arena,
                  struct hf_fork *out, struct hf_error *err)
{
    struct hf_forking forking = {.engine = engine, .request = request};
    hf_arena_init(&forking.arena);
    bool ok = check_name(&forking, err) &&
              (!request->from || (hf_past_open(engine, request->from, &request->moment, &forking.past, err) &&
                                  list_items(&forking, err) && intern_types(&forking, err))) &&
              write_all(&forking, err) && fill_result(&forking, arena, out, err);
    if (ok)
        tell(&forking);
    hf_past_close(forking.past);
    free(forking.items);
    hf_arena_done(&forking.arena);
    return ok;
}

/* Before all the work; hf_fork_reveal looks again. */
static bool check_name(const struct hf_forking *forking, struct hf_error *err)
{
    struct hf_system_info info;
    const char *name = forking->request->name;
    return !hf_catalog_read_system(forking->engine->catalog, name, &info) ||
           hf_error_set(err, HF_CONFLICT, "there is a system %s already", name);
}

static bool list_items(struct hf_forking *forking, struct hf_error *err)
{
    int64_t count;
    const struct hf_past_entry *entries = hf_past_entries(forking->past, &count);
    int present_count;
    bool found;
    const struct hf_component_info *present =
        hf_catalog_list_components(forking->engine->catalog, forking->request->from, "", INT32_MAX, &forking->arena,
                                   &present_count, &found);
    forking->items = hf_alloc(((size_t)count + 1) * sizeof(forking->items[0]));
    for (int64_t i = 0; i < count; i++) {
        struct hf_fork_item *item = &forking->items[forking->count];
        const struct hf_component_info *now = find_component(present, present_count, entries[i].component);
        bool known;
        *item = (struct hf_fork_item){.entry = &entries[i]};
        if (!hf_past_registration(&entries[i], &forking->arena, &item->registration, &known, err))
            return false;
        if (!known && now)
            item->registration = now->registration;
        if (!existed(forking, &entries[i], &item->registration))
            continue;
        item->sequence = entries[i].version > 0 ? ++forking->sequence : 0;
        item->origin_sequence = hf_past_entry_is_present(&entries[i]) ? choose_origin(&entries[i], now) : 0;
        forking->count++;
    }
    return true;
}

static const struct hf_component_info *find_component(const struct hf_component_info *components, int count,
                                                      const char *name)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(components[middle].name, name);
        if (order == 0)
            return &components[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* History lists every component there is today: what was registered later, or came with a later upload, is no part. */
static bool existed(const struct hf_forking *forking, const struct hf_past_entry *entry,
                    const struct hf_registration *registration)
{
    return entry->version > 0 || entry->stored ||
           (registration->registered_at_ms > 0 && registration->registered_at_ms <= hf_past_cut(forking->past)->at_ms);
}

/* The latest row stays longest. Behind it, the one that the past names: no index finds others by hash. */
static int64_t choose_origin(const struct hf_past_entry *entry, const struct hf_component_info *present)
{
    bool is_head = present && hf_head_is_present(&present->head) && hf_hash_equal(&present->head.hash, &entry->hash);
    if (!is_head)
        return entry->sequence;
    /* What is known to be damaged is read instead: that heals it, or says that it is lost. */
    return present->damaged ? 0 : present->head.sequence;
}

static bool intern_types(struct hf_forking *forking, struct hf_error *err)
{
    bool ok = true;
    hf_catalog_lock(forking->engine->catalog);
    for (int64_t i = 0; ok && i < forking->count; i++) {
        const struct hf_past_entry *entry = forking->items[i].entry;
        const char *type = hf_past_entry_is_present(entry) ? entry->content_type : "";
        forking->items[i].content_type = hf_catalog_intern_locked(forking->engine->catalog, type);
        ok = forking->items[i].content_type != NULL;
    }
    hf_catalog_unlock(forking->engine->catalog);
    return ok || hf_error_set(err, HF_OVERLOADED, "too many different content types are in use");
}

static bool write_all(struct hf_forking *forking, struct hf_error *err)
{
    hf_id_random(HIDDEN_PREFIX, forking->hidden, sizeof(forking->hidden));
    hf_random_bytes(&forking->batch_id, sizeof(forking->batch_id));
    forking->batch_id = (forking->batch_id & INT64_MAX) | 1; /* 0 means none */
    forking->now_ms = hf_clock_now_ms();
    if (hf_fork_begin(forking, err) && hf_fork_fill(forking, err) && hf_fork_reveal(forking, err))
        return true;
    if (err->code != HF_OUTCOME_UNKNOWN) /* else the next start finds it complete, or removes it */
        hf_fork_discard(forking);
    return false;
}

static bool fill_result(struct hf_forking *forking, struct hf_arena *arena, struct hf_fork *out, struct hf_error *err)
{
    const char *name = forking->request->name;
    *out = (struct hf_fork){.shared = forking->shared, .copied = forking->copied};
    if (!hf_catalog_read_system(forking->engine->catalog, name, &out->system))
        return hf_error_set(err, HF_NOT_FOUND, "system %s was made, and deleted at once", name);
    if (forking->past) {
        out->cut = *hf_past_cut(forking->past);
        out->cut.snapshot = hf_arena_strdup(arena, out->cut.snapshot);
        out->cut.why = hf_arena_strdup(arena, out->cut.why);
    }
    return true;
}

static void tell(const struct hf_forking *forking)
{
    hf_copies_changed(forking->engine);
    const char *name = forking->request->name;
    if (!forking->past) {
        hf_event_emit(forking->engine, forking->system_id, name, HF_EV_SYSTEM_CREATED, NULL, "system %s was created",
                      name);
        return;
    }
    const struct hf_system_info *origin = hf_past_system(forking->past);
    const struct hf_past_cut *cut = hf_past_cut(forking->past);
    HF_AUTO(free)
    char *created = hf_format("{\"from\":\"%s\",\"cut\":%lld,\"snapshot\":\"%s\"}", origin->name,
                              (long long)cut->sequence, cut->snapshot);
    HF_AUTO(free)
    char *forked =
        hf_format("{\"to\":\"%s\",\"cut\":%lld,\"snapshot\":\"%s\"}", name, (long long)cut->sequence, cut->snapshot);
    hf_event_emit(forking->engine, forking->system_id, name, HF_EV_SYSTEM_CREATED, created,
                  "system %s was forked from system %s as of sequence %lld: %lld contents shared, %lld copied", name,
                  origin->name, (long long)cut->sequence, (long long)forking->shared, (long long)forking->copied);
    hf_event_emit(forking->engine, origin->id, origin->name, HF_EV_SYSTEM_FORKED, forked,
                  "system %s was forked from this one as of sequence %lld", name, (long long)cut->sequence);
}

/* ---- at start ---- */

bool hf_forks_tidy(struct hf_session *session, struct hf_error *err)
{
    for (struct leftovers leftovers;;) {
        leftovers.count = 0;
        if (!hf_systems_list(session, note_leftover, &leftovers, err))
            return false;
        for (int i = 0; i < leftovers.count; i++)
            if (!hf_systems_delete(session, leftovers.ids[i], err))
                return hf_error_wrap(err, "removing a fork that was not finished");
        if (leftovers.count)
            hf_log(HF_LOG_WARNING, "forks_removed", "the service ended while it forked; what was there is removed",
                   HF_LOG_NUMBER("forks", leftovers.count));
        if (leftovers.count < TIDIED_MAX)
            return true;
    }
}

static bool note_leftover(void *context, const struct hf_system_row *row)
{
    struct leftovers *leftovers = context;
    if (strncmp(row->name, HIDDEN_PREFIX, strlen(HIDDEN_PREFIX)) == 0)
        leftovers->ids[leftovers->count++] = row->id;
    return leftovers->count < TIDIED_MAX;
}
