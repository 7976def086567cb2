/* Reading states: the present from memory or the database, the past from version history, older moments from snapshot
 * files. Bytes that do not match their hash are never returned: the readers below verify before they give. */
#include "engine/engine.h"

#include "core/auto.h"
#include "core/clock.h"
#include "engine/events.h"
#include "engine/snapshot.h"
#include "store/snapshots.h"
#include "store/states.h"

#include <stdio.h>
#include <string.h>

HF_AUTO_DEFINE(chain, struct hf_chain *, hf_chain_free);

struct reading {
    struct hf_engine *engine;
    const char *system;
    const char *component;
    struct hf_system_info info;
    struct hf_head head; /* the present */
    struct hf_session *session;
};

static bool not_found(const struct reading *reading, struct hf_error *err)
{
    return hf_error_set(err, HF_NOT_FOUND, "component %s of system %s has no state", reading->component,
                        reading->system);
}

/* Once for the present state, however often it is asked for; an old version does not make the component a bad one. */
static void note_damage(const struct reading *reading, int64_t sequence, const struct hf_error *err)
{
    if (sequence == reading->head.sequence &&
        !hf_catalog_mark_damaged(reading->engine->catalog, reading->system, reading->component, true))
        return;
    hf_event_emit(reading->engine, reading->info.id, reading->system, HF_EV_STATE_DAMAGED, NULL, "%s: %s",
                  reading->component, err->text);
}

static void fill(const struct hf_state_row *row, struct hf_state *out)
{
    snprintf(out->content_type, sizeof out->content_type, "%s", row->content_type);
    out->head = (struct hf_head){row->version,      row->sequence,        row->hash,   row->bytes,
                                 out->content_type, row->committed_at_ms, row->deleted};
    out->epoch = row->epoch;
}

/* The row of one sequence with its bytes. */
static bool read_row(struct reading *reading, int64_t sequence, struct hf_state *out, struct hf_error *err)
{
    struct hf_state_row row;
    struct hf_state_text storage;
    if (!hf_states_get(reading->session, reading->info.id, sequence, &row, &storage, &out->body, err)) {
        if (err->code == HF_DAMAGED)
            note_damage(reading, sequence, err);
        return false;
    }
    fill(&row, out);
    if (row.deleted)
        return hf_error_set(err, HF_NOT_FOUND, "version %lld of component %s is its deletion", (long long)row.version,
                            reading->component);
    return true;
}

static bool read_latest(struct reading *reading, struct hf_state *out, struct hf_error *err)
{
    if (!hf_head_is_present(&reading->head))
        return not_found(reading, err);
    if (!read_row(reading, reading->head.sequence, out, err))
        return false;
    out->epoch = reading->info.epoch;
    hf_catalog_offer_body(reading->engine->catalog, reading->system, reading->component, out->head.sequence, out->body);
    return true;
}

static bool read_version(struct reading *reading, int64_t version, struct hf_state *out, struct hf_error *err)
{
    struct hf_state_row row;
    struct hf_state_text storage;
    bool found = false;
    if (version == reading->head.version && hf_head_is_present(&reading->head))
        return read_latest(reading, out, err);
    if (version < reading->head.version &&
        !hf_states_find_version(reading->session, reading->info.id, reading->head.sequence, version, &row, &storage,
                                &found, err))
        return false;
    if (!found && version != reading->head.version)
        return hf_error_set(err, HF_NOT_FOUND,
                            "version %lld of component %s is not kept; its versions end at %lld, and %s",
                            (long long)version, reading->component, (long long)reading->head.version,
                            "older ones may be in snapshots (?snapshot=ID, ?at=TIME)");
    return read_row(reading, found ? row.sequence : reading->head.sequence, out, err);
}

static bool read_snapshot(struct reading *reading, const char *id, struct hf_state *out, struct hf_error *err)
{
    HF_AUTO(chain) struct hf_chain *chain = NULL;
    if (!hf_chain_load(&chain, reading->engine->repository, reading->system, id, err))
        return false;
    const struct hf_manifest_entry *entry = hf_chain_find(chain, reading->component);
    if (!entry || !hf_manifest_entry_is_present(entry))
        return hf_error_set(err, HF_NOT_FOUND, "component %s has no state in snapshot %s", reading->component, id);
    if (!hf_chain_read(chain, entry, &out->body, err))
        return false;
    snprintf(out->content_type, sizeof out->content_type, "%s", entry->content_type);
    out->head = (struct hf_head){entry->version,    entry->sequence,        entry->hash, entry->bytes,
                                 out->content_type, entry->committed_at_ms, false};
    out->epoch = hf_chain_header(chain)->epoch;
    return true;
}

/* Leased, so that retention cannot take it away while it is read. */
static bool read_leased_snapshot(struct reading *reading, const char *id, struct hf_state *out, struct hf_error *err)
{
    if (!hf_snapshot_lease(reading->engine, reading->info.id, id, err))
        return false;
    bool ok = read_snapshot(reading, id, out, err);
    hf_snapshot_release(reading->engine, reading->info.id, id);
    return ok;
}

struct nearest {
    char id[HF_SNAPSHOT_ID_MAX];
};

static bool take_complete(void *context, const struct hf_snapshot_row *row)
{
    struct nearest *nearest = context;
    if (strcmp(row->state, "complete") || !strcmp(row->trigger, "import"))
        return true;
    snprintf(nearest->id, sizeof nearest->id, "%s", row->id);
    return false;
}

static bool read_at(struct reading *reading, int64_t at_ms, struct hf_state *out, struct hf_error *err)
{
    int64_t sequence;
    bool found;
    if (!hf_states_sequence_at(reading->session, reading->info.id, reading->info.sequence, at_ms, &sequence, &found,
                               err))
        return false;
    if (found && sequence >= reading->head.sequence)
        return read_latest(reading, out, err);
    struct hf_state_row row;
    struct hf_state_text storage;
    if (found && !hf_states_find_at(reading->session, reading->info.id, reading->head.sequence, sequence, &row,
                                    &storage, &found, err))
        return false;
    if (found)
        return read_row(reading, row.sequence, out, err);
    struct nearest nearest = {""};
    if (!hf_snapshots_list(reading->session, reading->info.id, NULL, at_ms + 1, "", 100, take_complete, &nearest, err))
        return false;
    char time[HF_TIME_BYTES];
    hf_time_format(at_ms, time);
    if (!*nearest.id)
        return hf_error_set(err, HF_NOT_FOUND,
                            "component %s had no state at %s, or neither history nor a snapshot reaches back so far",
                            reading->component, time);
    return read_leased_snapshot(reading, nearest.id, out, err);
}

static bool read_named_snapshot(struct reading *reading, const char *id, struct hf_state *out, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_snapshot_row row;
    return hf_snapshot_find(reading->engine, reading->system, id, &arena, &row, err) &&
           read_leased_snapshot(reading, row.id, out, err);
}

static bool read_moment(struct reading *reading, const struct hf_moment *moment, struct hf_state *out,
                        struct hf_error *err)
{
    switch (moment->kind) {
    case HF_MOMENT_LATEST:
        return read_latest(reading, out, err);
    case HF_MOMENT_VERSION:
        return read_version(reading, moment->version, out, err);
    case HF_MOMENT_AT:
        return read_at(reading, moment->at_ms, out, err);
    case HF_MOMENT_SNAPSHOT:
        return read_named_snapshot(reading, moment->snapshot, out, err);
    }
    return hf_error_set(err, HF_INTERNAL, "no such kind of moment");
}

/* Looks system and component up. A snapshot may hold a component that the catalogue never knew. */
static bool look_up(struct reading *reading, bool may_be_unknown, struct hf_error *err)
{
    struct hf_catalog *catalog = reading->engine->catalog;
    if (!hf_catalog_read_system(catalog, reading->system, &reading->info))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", reading->system);
    if (hf_catalog_read_head(catalog, reading->system, reading->component, &reading->head, NULL, NULL) ||
        may_be_unknown)
        return true;
    return hf_error_set(err, HF_NOT_FOUND, "system %s has no component %s", reading->system, reading->component);
}

bool hf_state_read(struct hf_engine *engine, const char *system, const char *component, const struct hf_moment *moment,
                   struct hf_state *out, struct hf_error *err)
{
    struct reading reading = {.engine = engine, .system = system, .component = component};
    *out = (struct hf_state){0};
    /* Twice: a head that was superseded and trimmed between the look-up and the read is looked up again. */
    for (int attempt = 0; attempt < 2; attempt++) {
        if (!look_up(&reading, moment->kind == HF_MOMENT_SNAPSHOT || moment->kind == HF_MOMENT_AT, err) ||
            !hf_sessions_take(engine->sessions, &reading.session, err))
            return false;
        bool ok = read_moment(&reading, moment, out, err);
        hf_sessions_give(engine->sessions, reading.session);
        if (ok)
            return true;
        hf_blob_unref(out->body);
        out->body = NULL;
        if (err->code != HF_NOT_FOUND || moment->kind != HF_MOMENT_LATEST || !hf_head_is_present(&reading.head))
            return false;
    }
    return false;
}

struct listing {
    struct hf_arena *arena;
    struct hf_version_info *list;
    int count, limit;
    int64_t before_version;
};

static bool add_version(void *context, const struct hf_state_row *row)
{
    struct listing *listing = context;
    if (row->version >= listing->before_version)
        return true;
    struct hf_version_info *info = &listing->list[listing->count++];
    info->head = (struct hf_head){
        row->version,         row->sequence, row->hash, row->bytes, hf_arena_strdup(listing->arena, row->content_type),
        row->committed_at_ms, row->deleted};
    info->event = row->event && *row->event ? hf_arena_strdup(listing->arena, row->event) : NULL;
    return listing->count < listing->limit;
}

static bool list_versions(struct reading *reading, struct listing *listing, struct hf_error *err)
{
    int64_t from = reading->head.sequence;
    if (listing->before_version <= reading->head.version) {
        struct hf_state_row row;
        struct hf_state_text storage;
        bool found;
        if (!hf_states_find_version(reading->session, reading->info.id, from, listing->before_version - 1, &row,
                                    &storage, &found, err))
            return false;
        if (!found)
            return true;
        from = row.sequence;
    }
    return hf_states_history(reading->session, reading->info.id, from, listing->limit, add_version, listing, err);
}

bool hf_state_versions(struct hf_engine *engine, const char *system, const char *component, int64_t before_version,
                       int limit, struct hf_arena *arena, struct hf_version_info **out, int *count_out,
                       struct hf_error *err)
{
    struct reading reading = {.engine = engine, .system = system, .component = component};
    if (!look_up(&reading, false, err) || !hf_sessions_take(engine->sessions, &reading.session, err))
        return false;
    struct listing listing = {.arena = arena,
                              .list = hf_arena_alloc(arena, (size_t)limit * sizeof(struct hf_version_info)),
                              .limit = limit,
                              .before_version = before_version};
    bool ok = !reading.head.version || list_versions(&reading, &listing, err);
    hf_sessions_give(engine->sessions, reading.session);
    *out = listing.list;
    *count_out = listing.count;
    return ok;
}
