/* Which moment is meant, and where it comes from. */
#include "engine/past_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "engine/load.h"
#include "engine/row_of.h"
#include "engine/snapshot.h"
#include "engine/validation.h"
#include "repository/repository.h"

#include <string.h>

/* Snapshots that a moment may come from. */
struct nearest {
    struct hf_arena *arena;
    int64_t sequence_max;
    const char **ids; /* newest first; owns */
    int count, capacity;
};

static bool is_number(const char *text);
static bool find_system(struct hf_engine *engine, const char *name, struct hf_system_info *out, struct hf_error *err);
static bool open_named(struct hf_engine *engine, const struct hf_system_info *system, const char *id,
                       struct hf_past **out, struct hf_error *err);
static bool open_mended(struct hf_engine *engine, const struct hf_system_info *system, const char *id,
                        struct hf_past **out, struct hf_error *err);
static bool list_nearest(struct hf_engine *engine, int64_t system_id, int64_t before_ms, struct nearest *out,
                         struct hf_error *err);
static hf_snapshot_row_fn add_candidate;
static bool try_nearest(struct hf_engine *engine, const struct hf_system_info *system, const struct nearest *nearest,
                        struct hf_past **out, struct hf_error *err);
static bool tell_none(const struct hf_system_info *system, const struct hf_past_moment *moment, int damaged,
                      struct hf_error *err);

bool hf_past_parse(const char *text, struct hf_past_moment *out, struct hf_error *err)
{
    struct hf_past_moment moment = {.kind = HF_PAST_NOW};
    if (strcmp(text, "now") == 0) {
        moment.kind = HF_PAST_NOW;
    } else if (is_number(text)) {
        moment.kind = HF_PAST_SEQUENCE;
        moment.sequence = strtoll(text, NULL, 10);
    } else if (hf_time_parse(text, &moment.at_ms)) {
        moment.kind = HF_PAST_AT;
    } else if (hf_name_is_valid(text, strlen(text))) {
        moment.kind = HF_PAST_SNAPSHOT;
        moment.snapshot = text;
    } else {
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "a moment is \"now\", a snapshot id or \"latest\", a sequence, or an RFC 3339 time such as "
                            "2026-11-23T01:30:00Z");
    }
    *out = moment;
    return true;
}

/* Of digits alone, and no more than a sequence can have. */
static bool is_number(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length <= 18 && strspn(text, "0123456789") == length;
}

bool hf_past_open(struct hf_engine *engine, const char *system_name, const struct hf_past_moment *moment,
                  struct hf_past **out, struct hf_error *err)
{
    struct hf_system_info system;
    if (!find_system(engine, system_name, &system, err))
        return false;
    if (moment->kind == HF_PAST_SNAPSHOT && strcmp(moment->snapshot, "latest") != 0)
        return open_named(engine, &system, moment->snapshot, out, err);
    if (moment->kind == HF_PAST_SNAPSHOT)
        return hf_past_open_nearest(engine, &system, moment, -1, "", out, err);
    if (moment->kind == HF_PAST_SEQUENCE && moment->sequence > system.sequence)
        return hf_error_set(err, HF_NOT_FOUND, "system %s is at sequence %lld, %lld is not reached yet", system.name,
                            (long long)system.sequence, (long long)moment->sequence);
    struct hf_past *past = NULL;
    int64_t wanted = -1;
    if (!hf_past_open_history(engine, &system, moment, &past, &wanted, err))
        return false;
    if (!past)
        return hf_past_open_nearest(engine, &system, moment, wanted, "history no longer reaches back so far", out, err);
    *out = past;
    return true;
}

static bool find_system(struct hf_engine *engine, const char *name, struct hf_system_info *out, struct hf_error *err)
{
    return hf_catalog_read_system(engine->catalog, name, out) ||
           hf_error_set(err, HF_NOT_FOUND, "there is no system %s", name);
}

static bool open_named(struct hf_engine *engine, const struct hf_system_info *system, const char *id,
                       struct hf_past **out, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_snapshot_row row;
    return hf_snapshot_find(engine, system->name, id, &arena, &row, err) &&
           open_mended(engine, system, row.id, out, err);
}

/* For readers: damage is mended first where that is possible, and what is damaged later or cannot be mended is read
 * around. */
static bool open_mended(struct hf_engine *engine, const struct hf_system_info *system, const char *id,
                        struct hf_past **out, struct hf_error *err)
{
    if (!hf_past_open_snapshot(engine, system, id, NULL, out, err)) {
        struct hf_error again;
        if (err->code != HF_DAMAGED || !hf_validation_mend(engine, system->name, id) ||
            !hf_past_open_snapshot(engine, system, id, NULL, out, &again))
            return false;
    }
    hf_past_look_elsewhere(*out);
    (*out)->mends = true;
    return true;
}

void hf_past_look_elsewhere(struct hf_past *past)
{
    past->elsewhere = true;
}

bool hf_past_open_nearest(struct hf_engine *engine, const struct hf_system_info *system,
                          const struct hf_past_moment *moment, int64_t wanted, const char *why, struct hf_past **out,
                          struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    bool by_sequence = moment->kind == HF_PAST_SEQUENCE;
    struct nearest nearest = {.arena = &arena, .sequence_max = by_sequence ? moment->sequence : INT64_MAX};
    int64_t before_ms = moment->kind == HF_PAST_AT && moment->at_ms < INT64_MAX ? moment->at_ms + 1 : INT64_MAX;
    struct hf_past *past = NULL;
    bool ok =
        list_nearest(engine, system->id, before_ms, &nearest, err) && try_nearest(engine, system, &nearest, &past, err);
    free(nearest.ids);
    if (!ok)
        return false;
    if (!past)
        return tell_none(system, moment, nearest.count, err);
    wanted = by_sequence ? moment->sequence : wanted;
    past->cut.exact = moment->kind == HF_PAST_SNAPSHOT || past->cut.sequence == wanted;
    past->cut.why = hf_arena_strdup(&past->arena, why);
    *out = past;
    return true;
}

static bool list_nearest(struct hf_engine *engine, int64_t system_id, int64_t before_ms, struct nearest *out,
                         struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool ok = hf_snapshots_list(session, system_id, NULL, before_ms, "", INT64_MAX, add_candidate, out, err);
    hf_sessions_give(engine->sessions, session);
    return ok;
}

/* An import may be of another system, or of any age. */
static bool add_candidate(void *context, const struct hf_snapshot_row *row)
{
    struct nearest *nearest = context;
    if (strcmp(row->state, "complete") != 0 || strcmp(row->validation_status, "damaged") == 0 ||
        strcmp(row->trigger, "import") == 0 || row->sequence > nearest->sequence_max)
        return true;
    if (nearest->count == nearest->capacity) {
        nearest->capacity = nearest->capacity ? nearest->capacity * 2 : 64;
        nearest->ids = hf_realloc(nearest->ids, (size_t)nearest->capacity * sizeof(nearest->ids[0]));
    }
    nearest->ids[nearest->count++] = hf_arena_strdup(nearest->arena, row->id);
    return true;
}

/* Only proven damage moves on to an older one, and so does one that retention took away meanwhile. */
static bool try_nearest(struct hf_engine *engine, const struct hf_system_info *system, const struct nearest *nearest,
                        struct hf_past **out, struct hf_error *err)
{
    for (int i = 0; i < nearest->count; i++) {
        if (open_mended(engine, system, nearest->ids[i], out, err))
            return true;
        if (err->code != HF_DAMAGED)
            return false;
        hf_log(HF_LOG_WARNING, "snapshot_passed_over", err->text, HF_LOG_TEXT("system", system->name),
               HF_LOG_TEXT("snapshot", nearest->ids[i]));
    }
    return true;
}

static bool tell_none(const struct hf_system_info *system, const struct hf_past_moment *moment, int damaged,
                      struct hf_error *err)
{
    char when[64] = "its newest snapshot", time[HF_TIME_BYTES];
    if (moment->kind == HF_PAST_SNAPSHOT && !damaged)
        return hf_error_set(err, HF_NOT_FOUND,
                            "system %s has no complete snapshot of its own; an import is named by its id",
                            system->name);
    if (moment->kind == HF_PAST_AT) {
        hf_time_format(moment->at_ms, time);
        snprintf(when, sizeof(when), "%s", time);
    } else if (moment->kind == HF_PAST_SEQUENCE) {
        snprintf(when, sizeof(when), "sequence %lld", (long long)moment->sequence);
    }
    if (!damaged)
        return hf_error_set(err, HF_NOT_FOUND,
                            "neither the history of system %s nor a whole snapshot of it reaches back "
                            "to %s",
                            system->name, when);
    return hf_error_set(err, HF_DAMAGED,
                        "none of the %d snapshots of system %s that could give %s is whole; POST "
                        "/v1/systems/%s/snapshots/{id}/validate heals one when good copies turn up",
                        damaged, system->name, when, system->name);
}

struct hf_past *hf_past_new(struct hf_engine *engine, const struct hf_system_info *system)
{
    struct hf_past *past = hf_alloc(sizeof(*past));
    past->engine = engine;
    past->system = *system;
    past->leased = "";
    past->cut = (struct hf_past_cut){.snapshot = "", .exact = true, .why = ""};
    hf_arena_init(&past->arena);
    return past;
}

void hf_past_close(struct hf_past *past)
{
    if (!past)
        return;
    hf_past_leave_view(past);
    hf_chain_free(past->chain);
    if (past->leased[0])
        hf_snapshot_release(past->engine, past->system.id, past->leased);
    free(past->entries);
    hf_arena_done(&past->arena);
    free(past);
}

void hf_past_leave_view(struct hf_past *past)
{
    hf_sessions_give(past->engine->sessions, past->session);
    past->session = NULL;
}

const struct hf_past_cut *hf_past_cut(const struct hf_past *past)
{
    return &past->cut;
}

const struct hf_system_info *hf_past_system(const struct hf_past *past)
{
    return &past->system;
}

const struct hf_manifest_header *hf_past_header(const struct hf_past *past)
{
    return past->chain ? hf_chain_header(past->chain) : NULL;
}

struct hf_past_entry *hf_past_entries(struct hf_past *past, int64_t *count_out)
{
    *count_out = past->count;
    return past->entries;
}

const struct hf_past_entry *hf_past_find(const struct hf_past *past, const char *component)
{
    int64_t low = 0, high = past->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(past->entries[middle].component, component);
        if (order == 0)
            return &past->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool hf_past_registration(const struct hf_past_entry *entry, struct hf_arena *arena, struct hf_registration *out,
                          bool *known_out, struct hf_error *err)
{
    const struct hf_manifest_entry *stored = entry->stored;
    *out = hf_registration_of_entry(stored);
    *known_out = stored != NULL;
    if (!stored)
        return true;
    return hf_names_parse(stored->depends_on, arena, &out->depends_on, &out->depends_on_count, err) ||
           hf_error_wrap(err, "component %s", entry->component);
}
