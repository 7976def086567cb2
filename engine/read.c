/* Reading states: the present from memory or the database, the past from version history, older moments from snapshot
 * files. Bytes that do not match their hash are never returned: the readers below verify before they give, and what
 * proves damaged is answered from another copy (heal.h), or not at all. */
#include "engine/engine.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "engine/heal.h"
#include "engine/past.h"
#include "engine/row_of.h"
#include "engine/snapshot.h"
#include "engine/validation.h"
#include "store/states.h"

#include <stdio.h>
#include <string.h>

HF_AUTO_DEFINE(chain, struct hf_chain *, hf_chain_free);
HF_AUTO_DEFINE(past, struct hf_past *, hf_past_close);

struct reading {
    struct hf_engine *engine;
    const char *system;
    const char *component;
    struct hf_system_info info;
    struct hf_head head; /* the present */
    struct hf_session *session;
    int64_t asked_at_ms; /* before anything was looked up */

    /* A row that is not what it was; it is healed once the session is given back. */
    struct hf_state_row expected;
    struct hf_state_text expected_text;
    bool missing;     /* the row of the present state is not there */
    char damage[480]; /* what is wrong; "": nothing */
};

static bool not_found(const struct reading *reading, struct hf_error *err)
{
    return hf_error_set(err, HF_NOT_FOUND, "component %s of system %s has no state", reading->component,
                        reading->system);
}

static bool is_deletion(const struct reading *reading, int64_t version, struct hf_error *err)
{
    return hf_error_set(err, HF_NOT_FOUND, "version %lld of component %s is its deletion", (long long)version,
                        reading->component);
}

static struct hf_state_row row_of_head(const struct reading *reading)
{
    struct hf_state_row row = hf_state_row_of(&reading->head);
    row.system_id = reading->info.id;
    row.epoch = reading->info.epoch;
    return row;
}

static void suspect(struct reading *reading, const struct hf_state_row *expected, const char *damage)
{
    reading->expected = *expected;
    snprintf(reading->expected_text.content_type, sizeof reading->expected_text.content_type, "%s",
             expected->content_type);
    reading->expected.content_type = reading->expected_text.content_type;
    reading->expected.event = NULL;
    snprintf(reading->damage, sizeof reading->damage, "%s", damage);
}

static void fill(const struct hf_state_row *row, struct hf_state *out)
{
    snprintf(out->content_type, sizeof out->content_type, "%s", row->content_type);
    out->head = hf_head_of_row(row);
    out->head.content_type = out->content_type;
    out->epoch = row->epoch;
}

/* A version of the past with its bytes. */
static bool read_past(struct reading *reading, const struct hf_state_row *known, struct hf_state *out,
                      struct hf_error *err)
{
    struct hf_state_row row;
    struct hf_state_text storage;
    if (!hf_states_get(reading->session, reading->info.id, known->sequence, &row, &storage, &out->body, err)) {
        if (err->code == HF_DAMAGED)
            suspect(reading, known, err->text);
        return false;
    }
    fill(&row, out);
    return !row.deleted || is_deletion(reading, row.version, err);
}

/* The row has two witnesses: its own hash, and the head in memory. */
static bool read_head_row(struct reading *reading, struct hf_state *out, struct hf_error *err)
{
    const struct hf_head *head = &reading->head;
    const struct hf_state_row expected = row_of_head(reading);
    struct hf_state_row row;
    struct hf_state_text storage;
    if (!hf_states_get(reading->session, reading->info.id, head->sequence, &row, &storage, &out->body, err)) {
        reading->missing = err->code == HF_NOT_FOUND;
        if (reading->missing)
            suspect(reading, &expected, "its row is missing");
        else if (err->code == HF_DAMAGED)
            suspect(reading, &expected, err->text);
        return false;
    }
    if (!row.deleted && row.version == head->version && hf_hash_equal(&row.hash, &head->hash))
        return true;
    hf_error_set(err, HF_DAMAGED, "its row holds another content than was stored");
    suspect(reading, &expected, err->text);
    return false;
}

static bool read_latest(struct reading *reading, struct hf_state *out, struct hf_error *err)
{
    if (!hf_head_is_present(&reading->head))
        return not_found(reading, err);
    if (!read_head_row(reading, out, err))
        return false;
    out->head = reading->head;
    out->epoch = reading->info.epoch;
    hf_catalog_offer_body(reading->engine->catalog, reading->system, reading->component, out->head.sequence, out->body);
    return true;
}

/* All of history is reached through the row of the present state. */
static bool mend_head(struct reading *reading, bool *mended_out, struct hf_error *err)
{
    *mended_out = false;
    struct hf_state_row row;
    struct hf_state_text storage;
    bool found;
    struct reading now = *reading;
    if (!hf_head_is_present(&reading->head))
        return true;
    if (!hf_states_find_at(reading->session, reading->info.id, reading->head.sequence, reading->head.sequence, &row,
                           &storage, &found, err))
        return false;
    if (found ||
        !hf_catalog_read_head(reading->engine->catalog, reading->system, reading->component, &now.head, NULL, NULL) ||
        now.head.sequence != reading->head.sequence)
        return true;
    hf_sessions_give(reading->engine->sessions, reading->session);
    reading->session = NULL;
    const struct hf_state_row expected = row_of_head(reading);
    struct hf_blob *blob = NULL;
    *mended_out = hf_heal_state(reading->engine, reading->system, reading->component, &expected, "its row is missing",
                                HF_HEAL_SOON, &blob, err);
    hf_blob_unref(blob);
    return *mended_out && hf_sessions_take(reading->engine->sessions, &reading->session, err);
}

/* The row of a version, or of the newest version at a sequence. */
static bool walk(struct reading *reading, bool by_version, int64_t wanted, struct hf_state_row *row,
                 struct hf_state_text *storage, bool *found, struct hf_error *err)
{
    for (bool mended = false;;) {
        int64_t from = reading->head.sequence;
        bool ok =
            by_version
                ? hf_states_find_version(reading->session, reading->info.id, from, wanted, row, storage, found, err)
                : hf_states_find_at(reading->session, reading->info.id, from, wanted, row, storage, found, err);
        if (!ok || *found || mended)
            return ok;
        if (!mend_head(reading, &mended, err))
            return false;
        if (!mended)
            return true;
    }
}

static bool read_version(struct reading *reading, int64_t version, struct hf_state *out, struct hf_error *err)
{
    struct hf_state_row row;
    struct hf_state_text storage;
    bool found = false;
    if (version == reading->head.version && hf_head_is_present(&reading->head))
        return read_latest(reading, out, err);
    if (version == reading->head.version && reading->head.deleted)
        return is_deletion(reading, version, err);
    if (version < reading->head.version && !walk(reading, true, version, &row, &storage, &found, err))
        return false;
    if (!found)
        return hf_error_set(err, HF_NOT_FOUND,
                            "version %lld of component %s is not kept; its versions end at %lld, and %s",
                            (long long)version, reading->component, (long long)reading->head.version,
                            "older ones may be in snapshots (?snapshot=ID, ?at=TIME)");
    return read_past(reading, &row, out, err);
}

/* What the snapshot file lost may be elsewhere. The file itself is mended in the background. */
static bool read_copy(const struct reading *reading, const char *id, const struct hf_manifest_entry *entry,
                      struct hf_state *out, const struct hf_error *err)
{
    char origin[HF_ORIGIN_BYTES];
    if (err->code != HF_DAMAGED ||
        !hf_heal_find(reading->engine, reading->system, &entry->hash, entry->bytes, HF_HEAL_SOON, &out->body, origin))
        return false;
    hf_validation_mend_later(reading->engine, reading->system, id);
    hf_log(HF_LOG_WARNING, "state_read_elsewhere", err->text, HF_LOG_TEXT("system", reading->system),
           HF_LOG_TEXT("snapshot", id), HF_LOG_TEXT("found_in", origin));
    return true;
}

static void fill_from_snapshot(const struct hf_manifest_entry *entry, const struct hf_manifest_header *header,
                               struct hf_state *out)
{
    snprintf(out->content_type, sizeof out->content_type, "%s", entry->content_type);
    out->head = hf_head_of_entry(entry);
    out->head.content_type = out->content_type;
    out->epoch = header->epoch;
    out->cut_at_ms = header->cut_at_ms;
    snprintf(out->cut_snapshot, sizeof out->cut_snapshot, "%s", header->id);
}

static bool read_snapshot(struct reading *reading, const char *id, struct hf_state *out, struct hf_error *err)
{
    HF_AUTO(chain) struct hf_chain *chain = NULL;
    if (!hf_validation_load_chain(reading->engine, reading->system, id, &chain, err))
        return false;
    const struct hf_manifest_entry *entry = hf_chain_find(chain, reading->component);
    if (!entry || !hf_manifest_entry_is_present(entry))
        return hf_error_set(err, HF_NOT_FOUND, "component %s has no state in snapshot %s", reading->component, id);
    if (!hf_chain_read(chain, entry, &out->body, err) && !read_copy(reading, id, entry, out, err))
        return false;
    fill_from_snapshot(entry, hf_chain_header(chain), out);
    return true;
}

/* Leased, so that retention cannot take it away while it is read. */
static bool read_leased_snapshot(struct reading *reading, const char *id, struct hf_state *out, struct hf_error *err)
{
    hf_sessions_give(reading->engine->sessions, reading->session); /* files are slow */
    reading->session = NULL;
    if (!hf_snapshot_lease(reading->engine, reading->info.id, id, err))
        return false;
    bool ok = read_snapshot(reading, id, out, err);
    hf_snapshot_release(reading->engine, reading->info.id, id);
    return ok;
}

/* History no longer has it: the nearest snapshot before, which is told. */
static bool read_nearest(struct reading *reading, const struct hf_past_moment *moment, int64_t wanted,
                         struct hf_state *out, struct hf_error *err)
{
    hf_sessions_give(reading->engine->sessions, reading->session); /* files are slow */
    reading->session = NULL;
    HF_AUTO(past) struct hf_past *past = NULL;
    if (!hf_past_open_nearest(reading->engine, &reading->info, moment, wanted, "", &past, err)) {
        if (err->code == HF_NOT_FOUND)
            hf_error_set(err, HF_NOT_FOUND,
                         "component %s had no state then, or neither history nor a snapshot reaches back so far",
                         reading->component);
        return false;
    }
    const struct hf_past_cut *cut = hf_past_cut(past);
    const struct hf_past_entry *entry = hf_past_find(past, reading->component);
    if (!hf_past_entry_is_present(entry))
        return hf_error_set(err, HF_NOT_FOUND,
                            "component %s had no state then: history does not hold it, and snapshot %s, the nearest "
                            "before, does not either",
                            reading->component, cut->snapshot);
    if (!hf_past_read(past, entry, &out->body, err))
        return false;
    fill_from_snapshot(entry->stored, hf_past_header(past), out);
    return true;
}

/* What time or sequence mean for one component is what they mean for all. */
static bool find_cut(const struct reading *reading, const struct hf_past_moment *moment, int64_t *sequence_out,
                     int64_t *at_ms_out, bool *found_out, struct hf_error *err)
{
    bool timed;
    int64_t now_ms = reading->asked_at_ms;
    if (now_ms < reading->info.committed_at_ms)
        now_ms = reading->info.committed_at_ms;
    *at_ms_out = moment->at_ms < now_ms ? moment->at_ms : now_ms; /* nobody knows what will be */
    if (moment->kind == HF_PAST_AT)
        return hf_states_sequence_at(reading->session, reading->info.id, reading->info.sequence, *at_ms_out,
                                     sequence_out, found_out, err);
    if (moment->sequence > reading->info.sequence)
        return hf_error_set(err, HF_NOT_FOUND, "system %s is at sequence %lld, %lld is not reached yet",
                            reading->system, (long long)reading->info.sequence, (long long)moment->sequence);
    *sequence_out = moment->sequence;
    *at_ms_out = 0;
    *found_out = true;
    return hf_states_time_of(reading->session, reading->info.id, moment->sequence, at_ms_out, &timed, err);
}

static bool read_then(struct reading *reading, const struct hf_past_moment *moment, struct hf_state *out,
                      struct hf_error *err)
{
    int64_t sequence = -1, at_ms;
    bool known, found = false;
    if (!find_cut(reading, moment, &sequence, &at_ms, &known, err))
        return false;
    out->cut_at_ms = at_ms;
    if (known && sequence >= reading->head.sequence)
        return read_latest(reading, out, err);
    struct hf_state_row row;
    struct hf_state_text storage;
    if (known && !walk(reading, false, sequence, &row, &storage, &found, err))
        return false;
    return found ? read_past(reading, &row, out, err) : read_nearest(reading, moment, known ? sequence : -1, out, err);
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
        return read_then(reading, &(struct hf_past_moment){.kind = HF_PAST_AT, .at_ms = moment->at_ms}, out, err);
    case HF_MOMENT_SEQUENCE:
        return read_then(reading, &(struct hf_past_moment){.kind = HF_PAST_SEQUENCE, .sequence = moment->sequence}, out,
                         err);
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

/* Is the row that was not there still that of the present state? Else it was superseded and trimmed meanwhile. */
static bool is_still_head(const struct reading *reading)
{
    struct hf_head now;
    return hf_catalog_read_head(reading->engine->catalog, reading->system, reading->component, &now, NULL, NULL) &&
           now.sequence == reading->expected.sequence;
}

static bool read_healed(struct reading *reading, bool latest, struct hf_state *out, struct hf_error *err)
{
    if (!hf_heal_state(reading->engine, reading->system, reading->component, &reading->expected, reading->damage,
                       HF_HEAL_SOON, &out->body, err))
        return false;
    reading->expected.bytes = (int64_t)out->body->bytes; /* where the length was what was altered */
    fill(&reading->expected, out);
    out->head.epoch = latest ? reading->head.epoch : 0;
    return true;
}

bool hf_state_read(struct hf_engine *engine, const char *system, const char *component, const struct hf_moment *moment,
                   struct hf_state *out, struct hf_error *err)
{
    struct reading reading = {.engine = engine, .system = system, .component = component};
    *out = (struct hf_state){0};
    reading.asked_at_ms = hf_clock_now_ms();
    /* Twice: a head that was superseded and trimmed between the look-up and the read is looked up again. */
    for (int attempt = 0; attempt < 2; attempt++) {
        reading.missing = false;
        reading.damage[0] = '\0';
        if (!look_up(&reading, moment->kind != HF_MOMENT_LATEST && moment->kind != HF_MOMENT_VERSION, err) ||
            !hf_sessions_take(engine->sessions, &reading.session, err))
            return false;
        bool ok = read_moment(&reading, moment, out, err);
        hf_sessions_give(engine->sessions, reading.session);
        if (ok)
            return true;
        hf_blob_unref(out->body);
        out->body = NULL;
        if (!reading.damage[0])
            return false;
        if (!reading.missing || is_still_head(&reading))
            return read_healed(&reading, moment->kind == HF_MOMENT_LATEST, out, err);
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
    info->head = hf_head_of_row(row);
    info->head.content_type = hf_arena_strdup(listing->arena, row->content_type);
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
        if (!walk(reading, true, listing->before_version - 1, &row, &storage, &found, err))
            return false;
        if (!found)
            return true;
        from = row.sequence;
    }
    for (bool mended = false;;) {
        if (!hf_states_history(reading->session, reading->info.id, from, listing->limit, add_version, listing, err))
            return false;
        if (listing->count || mended)
            return true;
        if (!mend_head(reading, &mended, err))
            return false;
        if (!mended)
            return true;
    }
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
