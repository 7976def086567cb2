/* The past from version history: the heads in memory, and for those that changed since, what took their place names
 * what was there. All in one view of the database, so that no trim and no upload comes in between. */
#include "engine/past_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "engine/row_of.h"
#include "store/states.h"
#include "store/systems.h"

#include <string.h>

/* What is being put together. */
struct gathering {
    struct hf_past *past;
    const struct hf_component_info *components; /* by name */
    int count;
    int64_t sequence; /* of the list: everything up to here is in it, and nothing later */
    int64_t *place;   /* component id -> index + 1; owns */
    int64_t place_count;
    int64_t open;             /* changed since; what they were is not known yet */
    const char *content_type; /* the last one kept */
};

static void list_present(struct gathering *gathering);
static bool find_cut(struct gathering *gathering, const struct hf_past_moment *moment, int64_t newest, bool *found_out,
                     struct hf_error *err);
static hf_system_row_fn note_sequence;
static bool gather(struct gathering *gathering, int64_t newest, struct hf_error *err);
static hf_state_row_fn put_replaced;
static void tell_time(struct hf_past *past, const struct hf_past_moment *moment, int64_t now_ms);
static int64_t time_of_cut(const struct hf_past *past);

bool hf_past_open_history(struct hf_engine *engine, const struct hf_system_info *system,
                          const struct hf_past_moment *moment, struct hf_past **out, int64_t *wanted_out,
                          struct hf_error *err)
{
    struct hf_past *past = hf_past_new(engine, system);
    struct gathering gathering = {.past = past, .content_type = ""};
    int64_t now_ms = hf_clock_now_ms(), newest = -1;
    bool found = false;
    /* The list first, then the view: everything listed is in the view. */
    list_present(&gathering);
    bool ok = hf_sessions_take(engine->sessions, &past->session, err) && hf_session_begin(past->session, err) &&
              hf_systems_get(past->session, system->id, note_sequence, &newest, err);
    if (ok && newest < 0)
        ok = hf_error_set(err, HF_NOT_FOUND, "there is no system %s", system->name);
    ok = ok && find_cut(&gathering, moment, newest, &found, err);
    if (wanted_out)
        *wanted_out = ok && found ? past->cut.sequence : -1;
    if (ok && found)
        ok = gather(&gathering, newest, err);
    free(gathering.place);
    if (!ok || !found || gathering.open) {
        hf_past_close(past);
        *out = NULL;
        return ok;
    }
    tell_time(past, moment, now_ms);
    *out = past;
    return true;
}

/* Taken in one piece, and every commit moves a head: the newest of them is the sequence of the list. */
static void list_present(struct gathering *gathering)
{
    struct hf_past *past = gathering->past;
    bool system_found;
    gathering->components = hf_catalog_list_components(past->engine->catalog, past->system.name, "", INT32_MAX,
                                                       &past->arena, &gathering->count, &system_found);
    for (int i = 0; i < gathering->count; i++) {
        const struct hf_component_info *component = &gathering->components[i];
        if (component->head.sequence > gathering->sequence)
            gathering->sequence = component->head.sequence;
        if (component->component_id >= gathering->place_count)
            gathering->place_count = component->component_id + 1;
    }
}

static bool note_sequence(void *context, const struct hf_system_row *row)
{
    *(int64_t *)context = row->sequence;
    return false;
}

static bool find_cut(struct gathering *gathering, const struct hf_past_moment *moment, int64_t newest, bool *found_out,
                     struct hf_error *err)
{
    struct hf_past *past = gathering->past;
    int64_t *sequence = &past->cut.sequence;
    *found_out = true;
    *sequence = moment->kind == HF_PAST_SEQUENCE ? moment->sequence : gathering->sequence;
    if (moment->kind == HF_PAST_AT &&
        !hf_states_sequence_at(past->session, past->system.id, newest, moment->at_ms, sequence, found_out, err))
        return false;
    /* What was committed after the list was made had not been acknowledged when the moment was asked for. */
    if (*found_out && *sequence > gathering->sequence)
        *sequence = gathering->sequence;
    return true;
}

static bool gather(struct gathering *gathering, int64_t newest, struct hf_error *err)
{
    struct hf_past *past = gathering->past;
    past->entries = hf_alloc(((size_t)gathering->count + 1) * sizeof(past->entries[0]));
    past->count = gathering->count;
    gathering->place = hf_alloc(((size_t)gathering->place_count + 1) * sizeof(gathering->place[0]));
    for (int i = 0; i < gathering->count; i++) {
        const struct hf_component_info *component = &gathering->components[i];
        const struct hf_head *head = &component->head;
        past->entries[i] = (struct hf_past_entry){.component = component->name, .content_type = ""};
        if (head->sequence > past->cut.sequence) {
            gathering->place[component->component_id] = i + 1;
            gathering->open++;
        } else if (head->version > 0) {
            past->entries[i] = hf_past_entry_of(component->name, head);
        }
    }
    return !gathering->open ||
           hf_states_replaced(past->session, past->system.id, past->cut.sequence, newest, put_replaced, gathering, err);
}

static bool put_replaced(void *context, const struct hf_state_row *row)
{
    struct gathering *gathering = context;
    struct hf_past *past = gathering->past;
    /* A component that the list does not have came after it. */
    if (row->component_id < 0 || row->component_id >= gathering->place_count || !gathering->place[row->component_id])
        return true;
    struct hf_past_entry *entry = &past->entries[gathering->place[row->component_id] - 1];
    gathering->place[row->component_id] = 0;
    gathering->open--;
    if (row->version == 0)
        return true;
    if (strcmp(gathering->content_type, row->content_type) != 0)
        gathering->content_type = hf_arena_strdup(&past->arena, row->content_type);
    struct hf_head head = hf_head_of_row(row);
    head.content_type = gathering->content_type;
    *entry = hf_past_entry_of(entry->component, &head);
    return true;
}

/* No moment to come: a time is the one asked for or now, and now is when this began, or the last commit that the list
 * still caught. */
static void tell_time(struct hf_past *past, const struct hf_past_moment *moment, int64_t now_ms)
{
    int64_t committed_ms = time_of_cut(past);
    past->cut.at_ms = now_ms > committed_ms ? now_ms : committed_ms;
    if (moment->kind == HF_PAST_SEQUENCE)
        past->cut.at_ms = committed_ms;
    else if (moment->kind == HF_PAST_AT && moment->at_ms < past->cut.at_ms)
        past->cut.at_ms = moment->at_ms;
}

/* The last of its commits is the state of its component. */
static int64_t time_of_cut(const struct hf_past *past)
{
    int64_t at_ms = 0;
    for (int64_t i = 0; i < past->count; i++)
        if (past->entries[i].committed_at_ms > at_ms)
            at_ms = past->entries[i].committed_at_ms;
    return at_ms;
}
