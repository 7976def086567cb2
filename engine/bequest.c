#include "engine/bequest.h"

#include "core/auto.h"
#include "engine/catalog_write.h"
#include "engine/copies.h"
#include "engine/events.h"
#include "engine/heal.h"

#include <string.h>

#define NAMED_MAX   32  /* components in one event; the others are counted */
#define NAMES_BYTES 560 /* of theirs: what one event has room for */

struct checking {
    struct hf_engine *engine;
    bool give_up;
    bool trim;
    struct hf_heir *heirs; /* owns */
    int64_t count, capacity;
    int64_t lost;
    char names[NAMES_BYTES]; /* of the first that are lost, as system/component */
    size_t names_bytes;
    bool cut;                   /* not all are named */
    struct hf_error unsearched; /* the first that was given up although a copy may be somewhere: why */
};

/* A row as its metadata has it; the names are owned. */
struct kept {
    struct hf_state_row row;
    char content_type[256];
    bool found;
    char *system, *component;
};

static hf_heir_fn add_heir;
static bool list_heirs(struct checking *checking, const struct hf_heirs_of *of, struct hf_error *err);
static bool check_heir(struct checking *checking, const struct hf_heir *heir, struct hf_error *err);
static bool read_heir(struct checking *checking, const struct hf_heir *heir, struct kept *kept, bool *sound_out,
                      struct hf_error *err);
static hf_state_row_fn keep_row;
static bool find_names(struct checking *checking, struct kept *kept);
static bool may_give_up(const struct checking *checking, const struct hf_error *err);
static void note_lost(struct checking *checking, const struct kept *kept);
static void tell_lost(const struct checking *checking, const char *name, int64_t system_id);

bool hf_bequest_check(struct hf_engine *engine, const char *name, const struct hf_heirs_of *of, bool give_up,
                      struct hf_error *err)
{
    HF_AUTO(free) struct checking *checking = hf_alloc(sizeof(*checking));
    checking->engine = engine;
    checking->give_up = give_up;
    checking->trim = of->trim;
    bool ok = list_heirs(checking, of, err);
    if (ok && checking->count)
        hf_copies_forget_missed(engine);
    for (int64_t i = 0; ok && i < checking->count; i++)
        ok = check_heir(checking, &checking->heirs[i], err);
    free(checking->heirs);
    if (checking->lost)
        tell_lost(checking, name, of->trim ? of->system_id : 0);
    return ok;
}

static bool list_heirs(struct checking *checking, const struct hf_heirs_of *of, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(checking->engine->sessions, &session, err))
        return false;
    bool ok = hf_shared_list_heirs(session, of, add_heir, checking, err);
    hf_sessions_give(checking->engine->sessions, session);
    return ok;
}

static bool add_heir(void *context, const struct hf_heir *heir)
{
    struct checking *checking = context;
    if (checking->count == checking->capacity) {
        checking->capacity = checking->capacity ? 2 * checking->capacity : 64;
        checking->heirs = hf_realloc(checking->heirs, (size_t)checking->capacity * sizeof(checking->heirs[0]));
    }
    checking->heirs[checking->count++] = *heir;
    return true;
}

static bool check_heir(struct checking *checking, const struct hf_heir *heir, struct hf_error *err)
{
    struct kept kept = {0};
    struct hf_error damage = {0};
    bool sound;
    if (!read_heir(checking, heir, &kept, &sound, &damage)) {
        *err = damage;
        return false;
    }
    if (sound || !find_names(checking, &kept))
        return true;
    struct hf_blob *blob = NULL;
    bool ok =
        hf_heal_state(checking->engine, kept.system, kept.component, &kept.row, damage.text, HF_HEAL_SURE, &blob, err);
    hf_blob_unref(blob);
    if (!ok && (err->code == HF_DAMAGED || may_give_up(checking, err))) {
        if (err->code != HF_DAMAGED && checking->unsearched.code == HF_OK)
            checking->unsearched = *err;
        note_lost(checking, &kept);
        ok = true;
    }
    free(kept.system);
    free(kept.component);
    return ok;
}

/* Damaged: *err says how. One that is gone meanwhile inherits nothing. */
static bool read_heir(struct checking *checking, const struct hf_heir *heir, struct kept *kept, bool *sound_out,
                      struct hf_error *err)
{
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_blob *blob = NULL;
    struct hf_session *session;
    if (!hf_sessions_take(checking->engine->sessions, &session, err))
        return false;
    bool read = hf_states_get(session, heir->system_id, heir->sequence, &row, &text, &blob, err);
    hf_blob_unref(blob);
    *sound_out = read || err->code == HF_NOT_FOUND;
    bool ok = read || err->code == HF_NOT_FOUND || err->code == HF_DAMAGED;
    struct hf_error other;
    if (ok && !*sound_out &&
        !hf_states_tail(session, heir->system_id, heir->sequence - 1, heir->sequence, keep_row, kept, &other)) {
        ok = other.code == HF_DAMAGED; /* of the heir itself: there is nothing to go by */
        if (!ok)
            *err = other;
    }
    hf_sessions_give(checking->engine->sessions, session);
    return ok;
}

static bool keep_row(void *context, const struct hf_state_row *row)
{
    struct kept *kept = context;
    kept->row = *row;
    snprintf(kept->content_type, sizeof(kept->content_type), "%s", row->content_type);
    kept->row.content_type = kept->content_type;
    kept->row.event = NULL;
    kept->found = true;
    return false;
}

static bool find_names(struct checking *checking, struct kept *kept)
{
    struct hf_catalog *catalog = checking->engine->catalog;
    if (!kept->found)
        return false;
    hf_catalog_lock(catalog);
    const struct hf_system *system = hf_catalog_system_by_id_locked(catalog, kept->row.system_id);
    const struct hf_component *component =
        system ? hf_catalog_component_by_id_locked(system, kept->row.component_id) : NULL;
    if (component) {
        kept->system = hf_strdup(system->name);
        kept->component = hf_strdup(component->name);
    }
    hf_catalog_unlock(catalog);
    return component != NULL;
}

/* Without its database, or on its way out, the service deletes nothing anyway. A trim leaves all files where they are:
 * should their key come back, they heal the heir. */
static bool may_give_up(const struct checking *checking, const struct hf_error *err)
{
    if (checking->trim && err->code == HF_KEY_MISSING)
        return true;
    return checking->give_up && err->code != HF_STORE_DOWN && err->code != HF_SHUTTING_DOWN;
}

static void note_lost(struct checking *checking, const struct kept *kept)
{
    checking->cut = checking->cut || checking->lost >= NAMED_MAX;
    checking->lost++;
    if (checking->cut)
        return;
    size_t room = sizeof(checking->names) - checking->names_bytes;
    int bytes = snprintf(checking->names + checking->names_bytes, room, "%s%s/%s", checking->names_bytes ? ", " : "",
                         kept->system, kept->component);
    if ((size_t)bytes < room) {
        checking->names_bytes += (size_t)bytes;
        return;
    }
    checking->names[checking->names_bytes] = '\0';
    checking->cut = true;
}

static void tell_lost(const struct checking *checking, const char *name, int64_t system_id)
{
    const char *more = checking->cut ? ", ..." : "";
    if (checking->unsearched.code == HF_OK)
        hf_event_emit(checking->engine, system_id, name, HF_EV_STATE_DAMAGED, NULL,
                      "%lld contents that system %s held for systems forked from it are damaged, and no copy could be "
                      "found before they were handed on: %s%s",
                      (long long)checking->lost, name, checking->names, more);
    else
        hf_event_emit(checking->engine, system_id, name, HF_EV_STATE_DAMAGED, NULL,
                      "%lld contents that system %s held for systems forked from it are damaged, and were handed on "
                      "although not every copy could be looked for: %s%s (%.200s)",
                      (long long)checking->lost, name, checking->names, more, checking->unsearched.text);
}
