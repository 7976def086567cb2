#include "engine/tracking.h"

#include "core/auto.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/catalog_write.h"
#include "engine/events.h"
#include "engine/load.h"
#include "engine/row_of.h"
#include "store/components.h"
#include "store/snapshots.h"
#include "store/states.h"

#include <string.h>

#define ROWS_AT_START                                                                                                  \
    500000                 /* of each system, newest first, that a start looks through for components without a row    \
                            */
#define VERSIONS_MAX  1000 /* that are looked through for one that a snapshot names */
#define SNAPSHOTS_MAX 16   /* that are tried as witness, newest first */

HF_AUTO_DEFINE(chain, struct hf_chain *, hf_chain_free);

struct suspect {
    int64_t component_id, newest_sequence;
};

/* The check of one system. */
struct check {
    struct hf_engine *engine;
    struct hf_system_info system;
    struct hf_arena arena;
    struct suspect *suspects; /* owns; by component, each once */
    int64_t count, capacity;
    const char *snapshots[SNAPSHOTS_MAX];
    int snapshot_count;
    const struct hf_chain *chain;              /* the witness; NULL: none */
    const struct hf_manifest_entry **sequence; /* owns; the witness's entries by sequence; NULL: not sorted yet */
};

/* One component. */
struct mending {
    struct check *check;
    int64_t component_id;
    bool known;
    char name[HF_NAME_MAX + 4];
    struct hf_head before; /* as the catalogue has it */
    struct hf_state_row row;
    struct hf_state_text text;
    bool sound;                            /* the row's content has its hash */
    const struct hf_manifest_entry *entry; /* what the witness says of the name; NULL: nothing */
    const char *new_name;                  /* NULL: stays */
    bool mended;
};

/* The versions of a component, newest first, until one is named. */
struct naming {
    struct check *check;
    const struct hf_manifest_entry *entry;
};

static bool check_system(struct check *check, struct hf_error *err);
static bool find_suspects(struct check *check, struct hf_error *err);
static hf_component_suspect_fn add_suspect;
static int compare_suspects(const void *a, const void *b);
static hf_snapshot_row_fn add_snapshot;
static bool find_witness(struct check *check, struct hf_chain **chain_out, struct hf_error *err);
static void sort_entries(struct check *check);
static int compare_entries(const void *a, const void *b);
static bool is_explained(const struct check *check, struct hf_session *session, const struct hf_manifest_entry *entry,
                         bool *explained_out, struct hf_error *err);
static bool mend_suspect(struct check *check, const struct suspect *suspect, bool *mended_out, struct hf_error *err);
static void look_up(struct mending *mending);
static bool read_newest(struct check *check, struct mending *mending, int64_t newest_sequence, bool *found_out,
                        struct hf_error *err);
static bool is_head_wrong(const struct mending *mending, bool *wrong_out, struct hf_error *err);
static bool judge_by_rows(const struct mending *mending, struct hf_session *session, bool *wrong_out,
                          struct hf_error *err);
static bool mend_unnamed(struct mending *mending, struct hf_error *err);
static bool find_name(struct mending *mending, struct hf_error *err);
static hf_state_row_fn look_for_name;
static bool apply(struct mending *mending, struct hf_error *err);
static bool write_row(struct hf_session *session, void *context, struct hf_error *err);
static void publish(void *context);
static void take_over_registration(struct hf_system *system, struct hf_component *component,
                                   const struct hf_manifest_entry *entry);
static void tell_mended(const struct mending *mending);
static void tell_unnamed(const struct mending *mending);

bool hf_tracking_check(struct hf_engine *engine, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    int count = 0;
    struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &arena, &count);
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        struct check check = {.engine = engine, .system = systems[i]};
        hf_arena_init(&check.arena);
        ok = check_system(&check, err);
        free(check.suspects);
        free(check.sequence);
        hf_arena_done(&check.arena);
    }
    return ok;
}

static bool check_system(struct check *check, struct hf_error *err)
{
    if (!find_suspects(check, err))
        return false;
    if (!check->count)
        return true;
    HF_AUTO(chain) struct hf_chain *chain = NULL;
    if (!find_witness(check, &chain, err))
        return false;
    check->chain = chain;
    for (int64_t i = 0; i < check->count; i++) {
        bool mended;
        if (!mend_suspect(check, &check->suspects[i], &mended, err))
            return hf_error_wrap(err, "system %s: looking at a row of component_state_tracking", check->system.name);
    }
    return true;
}

static bool find_suspects(struct check *check, struct hf_error *err)
{
    struct hf_engine *engine = check->engine;
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    hf_catalog_lock(engine->catalog);
    const struct hf_system *system = hf_catalog_system_by_id_locked(engine->catalog, check->system.id);
    int64_t up_to = system->sequence, folded = system->folded_sequence;
    hf_catalog_unlock(engine->catalog);
    bool ok = hf_components_suspect(session, check->system.id, up_to - ROWS_AT_START, up_to, folded, add_suspect, check,
                                    err) &&
              (!check->count ||
               hf_snapshots_list(session, check->system.id, NULL, INT64_MAX, "", INT64_MAX, add_snapshot, check, err));
    hf_sessions_give(engine->sessions, session);
    if (check->count)
        qsort(check->suspects, (size_t)check->count, sizeof(check->suspects[0]), compare_suspects);
    int64_t kept = 0;
    for (int64_t i = 0; i < check->count; i++) { /* of the same component the last has the newest sequence */
        if (kept && check->suspects[kept - 1].component_id == check->suspects[i].component_id)
            kept--;
        check->suspects[kept++] = check->suspects[i];
    }
    check->count = kept;
    return ok;
}

static bool add_suspect(void *context, int64_t component_id, int64_t newest_sequence)
{
    struct check *check = context;
    if (check->count == check->capacity) {
        check->capacity = check->capacity ? 2 * check->capacity : 16;
        check->suspects = hf_realloc(check->suspects, (size_t)check->capacity * sizeof(check->suspects[0]));
    }
    check->suspects[check->count++] = (struct suspect){component_id, newest_sequence};
    return true;
}

static int compare_suspects(const void *a, const void *b)
{
    const struct suspect *left = a, *right = b;
    if (left->component_id != right->component_id)
        return left->component_id < right->component_id ? -1 : 1;
    return (left->newest_sequence > right->newest_sequence) - (left->newest_sequence < right->newest_sequence);
}

/* Imports tell of another system, or of another time. */
static bool add_snapshot(void *context, const struct hf_snapshot_row *row)
{
    struct check *check = context;
    if (strcmp(row->state, "complete") == 0 && strcmp(row->trigger, "import") != 0)
        check->snapshots[check->snapshot_count++] = hf_arena_strdup(&check->arena, row->id);
    return check->snapshot_count < SNAPSHOTS_MAX;
}

static bool find_witness(struct check *check, struct hf_chain **chain_out, struct hf_error *err)
{
    for (int i = 0; i < check->snapshot_count; i++) {
        struct hf_repository *repository = check->engine->repository;
        struct hf_chain *chain = NULL;
        int verdict;
        if (hf_chain_load(&chain, repository, check->system.name, check->snapshots[i], err) &&
            hf_repository_check_signature(repository, chain, &verdict, err)) {
            *chain_out = chain;
            return true;
        }
        hf_chain_free(chain);
        if (err->code != HF_DAMAGED && err->code != HF_NOT_FOUND)
            return false;
    }
    return true;
}

static void sort_entries(struct check *check)
{
    int64_t count = check->chain ? hf_chain_count(check->chain) : 0;
    check->sequence = hf_alloc((size_t)(count + 1) * sizeof(struct hf_manifest_entry *));
    for (int64_t i = 0; i < count; i++)
        check->sequence[i] = hf_chain_entry(check->chain, i);
    if (count)
        qsort(check->sequence, (size_t)count, sizeof(struct hf_manifest_entry *), compare_entries);
}

static int compare_entries(const void *a, const void *b)
{
    int64_t left = (*(const struct hf_manifest_entry *const *)a)->sequence;
    int64_t right = (*(const struct hf_manifest_entry *const *)b)->sequence;
    return (left > right) - (left < right);
}

bool hf_tracking_check_entry(struct hf_engine *engine, const char *system, const struct hf_chain *chain,
                             const struct hf_manifest_entry *entry, bool *mended_out, struct hf_error *err)
{
    struct check check = {.engine = engine, .chain = chain};
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_session *session;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    *mended_out = false;
    if (!hf_catalog_read_system(engine->catalog, system, &check.system))
        return true;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool explained = false;
    bool looked = is_explained(&check, session, entry, &explained, err);
    bool read =
        looked && !explained && hf_states_get(session, check.system.id, entry->sequence, &row, &text, &blob, err);
    hf_sessions_give(engine->sessions, session);
    if (!looked || explained)
        return looked;
    if (!read)
        return err->code == HF_NOT_FOUND || err->code == HF_DAMAGED; /* then the row is what has to be healed first */
    if (row.deleted || row.version != entry->version || !hf_hash_equal(&row.hash, &entry->hash))
        return true;

    struct suspect suspect = {row.component_id, 0};
    struct mending renaming = {.check = &check, .component_id = row.component_id};
    hf_arena_init(&check.arena);
    look_up(&renaming);
    bool ok = true;
    if (renaming.known && strcmp(renaming.name, entry->component) != 0) {
        /* Components never change their names: a row was altered, unless both names are in use. */
        struct hf_head head;
        if (!hf_chain_find(chain, renaming.name) &&
            !hf_catalog_read_head(engine->catalog, system, entry->component, &head, NULL, NULL)) {
            renaming.new_name = entry->component;
            renaming.row = row;
            ok = apply(&renaming, err);
            *mended_out = ok && renaming.mended;
        }
    } else {
        ok = mend_suspect(&check, &suspect, mended_out, err);
    }
    free(check.sequence);
    hf_arena_done(&check.arena);
    return ok;
}

/* By a row that was committed after the entry and is what the head says. */
static bool is_explained(const struct check *check, struct hf_session *session, const struct hf_manifest_entry *entry,
                         bool *explained_out, struct hf_error *err)
{
    struct hf_head head;
    struct hf_state_row row;
    struct hf_state_text text;
    bool found = false;
    *explained_out = false;
    if (!hf_catalog_read_head(check->engine->catalog, check->system.name, entry->component, &head, NULL, NULL) ||
        head.sequence <= entry->sequence)
        return true;
    if (!hf_states_find_at(session, check->system.id, head.sequence, head.sequence, &row, &text, &found, err))
        return false;
    *explained_out = found && row.sequence == head.sequence && row.version == head.version &&
                     row.deleted == head.deleted && (row.deleted || hf_hash_equal(&row.hash, &head.hash));
    return true;
}

static bool mend_suspect(struct check *check, const struct suspect *suspect, bool *mended_out, struct hf_error *err)
{
    struct mending mending = {.check = check, .component_id = suspect->component_id};
    bool found = false, wrong = false;
    *mended_out = false;
    look_up(&mending);
    if (!read_newest(check, &mending, suspect->newest_sequence, &found, err))
        return false;
    if (!found) /* nothing to compare with: the row is lost, which a read or a validation finds */
        return true;
    if (!mending.known) {
        if (!mend_unnamed(&mending, err))
            return false;
        *mended_out = mending.mended;
        return true;
    }
    if (check->chain)
        mending.entry = hf_chain_find(check->chain, mending.name);
    if (!is_head_wrong(&mending, &wrong, err) || (wrong && !apply(&mending, err)))
        return false;
    *mended_out = mending.mended;
    return true;
}

static void look_up(struct mending *mending)
{
    struct hf_catalog *catalog = mending->check->engine->catalog;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, mending->check->system.id);
    const struct hf_component *component =
        system ? hf_catalog_component_by_id_locked(system, mending->component_id) : NULL;
    mending->known = component && component->stored;
    if (mending->known) {
        mending->before = component->head;
        snprintf(mending->name, sizeof(mending->name), "%s", component->name);
    }
    if (system)
        mending->check->system.sequence = system->sequence;
    hf_catalog_unlock(catalog);
}

/* newest_sequence 0: looked for. A tombstone has no content that could be wrong. */
static bool read_newest(struct check *check, struct mending *mending, int64_t newest_sequence, bool *found_out,
                        struct hf_error *err)
{
    struct hf_session *session;
    int64_t newest = newest_sequence;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    if (!hf_sessions_take(check->engine->sessions, &session, err))
        return false;
    bool ok = newest || hf_states_previous(session, check->system.id, mending->component_id, check->system.sequence + 1,
                                           &newest, err);
    if (ok && newest) {
        mending->sound = hf_states_get(session, check->system.id, newest, &mending->row, &mending->text, &blob, err);
        ok = mending->sound || err->code == HF_DAMAGED || err->code == HF_NOT_FOUND;
        if (ok && !mending->sound) /* its metadata all the same */
            ok = hf_states_find_at(session, check->system.id, newest, newest, &mending->row, &mending->text, found_out,
                                   err);
        *found_out = *found_out || mending->sound;
    }
    hf_sessions_give(check->engine->sessions, session);
    return ok;
}

static bool is_head_wrong(const struct mending *mending, bool *wrong_out, struct hf_error *err)
{
    const struct hf_head *head = &mending->before;
    const struct hf_state_row *row = &mending->row;
    const struct hf_manifest_entry *entry = mending->entry;
    *wrong_out = false;
    if (head->sequence == row->sequence && head->version == row->version && hf_hash_equal(&head->hash, &row->hash) &&
        head->bytes == row->bytes && head->deleted == row->deleted &&
        strcmp(head->content_type, row->content_type) == 0)
        return true;
    /* Two against one: then it is the row that is healed, when it is read or validated. */
    if (entry && entry->sequence == head->sequence && entry->version == head->version &&
        hf_hash_equal(&entry->hash, &head->hash) && entry->bytes == head->bytes && entry->deleted == head->deleted &&
        head->sequence >= row->sequence)
        return true;
    if (head->sequence == row->sequence) {
        *wrong_out = mending->sound;
        return true;
    }
    struct hf_session *session;
    if (!hf_sessions_take(mending->check->engine->sessions, &session, err))
        return false;
    bool ok = judge_by_rows(mending, session, wrong_out, err);
    hf_sessions_give(mending->check->engine->sessions, session);
    return ok;
}

/* The head names another row than the component's newest. */
static bool judge_by_rows(const struct mending *mending, struct hf_session *session, bool *wrong_out,
                          struct hf_error *err)
{
    const struct hf_head *head = &mending->before;
    const struct hf_state_row *row = &mending->row;
    const struct hf_system_info *system = &mending->check->system;
    struct hf_state_row named, link;
    struct hf_state_text text;
    bool exists = false, linked = false;
    if (!hf_states_find_at(session, system->id, head->sequence, head->sequence, &named, &text, &exists, err))
        return false;
    exists = exists && named.sequence == head->sequence;
    if (!exists) {
        /* A newest row that is lost is told of when it is read; the version before it is no substitute. */
        *wrong_out =
            !(head->sequence > row->sequence && head->sequence <= system->sequence && head->version > row->version);
        return true;
    }
    bool same = named.version == head->version && hf_hash_equal(&named.hash, &head->hash);
    if (head->sequence > row->sequence) {
        if (!same) {
            *wrong_out = true;
            return true;
        }
        /* Whose row is it? If its owner stands by it, the head went astray. */
        hf_catalog_lock(mending->check->engine->catalog);
        struct hf_system *in = hf_catalog_system_by_id_locked(mending->check->engine->catalog, system->id);
        const struct hf_component *owner = in ? hf_catalog_component_by_id_locked(in, named.component_id) : NULL;
        *wrong_out = owner && owner->id != mending->component_id && owner->head.sequence == named.sequence;
        hf_catalog_unlock(mending->check->engine->catalog);
        return true;
    }
    if (!same || named.component_id != mending->component_id) {
        *wrong_out = true;
        return true;
    }
    /* An older row of its own: the newer one must go on from it, else it is the newer one that was altered. */
    if (!hf_states_find_at(session, system->id, row->sequence, head->sequence, &link, &text, &linked, err))
        return false;
    *wrong_out = linked && link.sequence == head->sequence && row->version > head->version;
    return true;
}

/* ---- a component whose row is gone ---- */

static bool mend_unnamed(struct mending *mending, struct hf_error *err)
{
    struct hf_head head;
    struct hf_engine *engine = mending->check->engine;
    hf_catalog_lock(engine->catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(engine->catalog, mending->check->system.id);
    if (system)
        hf_catalog_reserve_component_id_locked(system, mending->component_id);
    hf_catalog_unlock(engine->catalog);
    if (!system)
        return true;
    if (!find_name(mending, err))
        return false;
    if (!mending->entry || hf_catalog_read_head(engine->catalog, mending->check->system.name, mending->entry->component,
                                                &head, NULL, NULL)) {
        tell_unnamed(mending);
        return true;
    }
    snprintf(mending->name, sizeof(mending->name), "%s", mending->entry->component);
    return apply(mending, err);
}

static bool find_name(struct mending *mending, struct hf_error *err)
{
    struct naming naming = {.check = mending->check};
    struct hf_session *session;
    if (!mending->check->sequence)
        sort_entries(mending->check);
    if (!hf_sessions_take(mending->check->engine->sessions, &session, err))
        return false;
    bool ok = hf_states_history(session, mending->check->system.id, mending->row.sequence, VERSIONS_MAX, look_for_name,
                                &naming, err);
    hf_sessions_give(mending->check->engine->sessions, session);
    mending->entry = naming.entry;
    return ok;
}

static bool look_for_name(void *context, const struct hf_state_row *row)
{
    struct naming *naming = context;
    const struct hf_manifest_entry *const *entries = naming->check->sequence;
    int64_t low = 0, high = naming->check->chain ? hf_chain_count(naming->check->chain) : 0;
    int64_t count = high;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (entries[middle]->sequence < row->sequence)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < count && entries[low]->sequence == row->sequence && entries[low]->version == row->version &&
        entries[low]->deleted == row->deleted && hf_hash_equal(&entries[low]->hash, &row->hash))
        naming->entry = entries[low];
    return !naming->entry;
}

/* ---- writing ---- */

/* On the committer, so that no upload comes in between. */
static bool apply(struct mending *mending, struct hf_error *err)
{
    struct hf_call call = {.run = write_row, .published = publish, .context = mending};
    if (!hf_committer_call(mending->check->engine->committer, &call, err))
        return false;
    if (mending->mended)
        tell_mended(mending);
    return true;
}

/* The head of a component that has a row is written by the next fold. */
static bool write_row(struct hf_session *session, void *context, struct hf_error *err)
{
    struct mending *mending = context;
    const struct hf_state_row *row = &mending->row;
    const struct hf_manifest_entry *entry = mending->entry;
    int64_t system_id = mending->check->system.id;
    if (mending->new_name)
        return hf_components_rename(session, system_id, mending->component_id, mending->new_name, err);
    if (mending->known)
        return true;
    const struct hf_registration registration = hf_registration_of_entry(entry);
    const struct hf_head head = hf_head_of_row(row);
    struct hf_component_row inserted = hf_component_row_of(&registration, &head);
    inserted.system_id = system_id;
    inserted.component_id = mending->component_id;
    inserted.name = mending->name;
    inserted.last_activity_at_ms = row->committed_at_ms;
    inserted.created_at_ms = entry->created_at_ms;
    return hf_components_insert(session, &inserted, 1, err);
}

static void publish(void *context)
{
    struct mending *mending = context;
    struct hf_catalog *catalog = mending->check->engine->catalog;
    const struct hf_state_row *row = &mending->row;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, mending->check->system.id);
    struct hf_component *component = system ? hf_catalog_component_by_id_locked(system, mending->component_id) : NULL;
    if (system && mending->new_name && component) {
        hf_catalog_rename_component_locked(system, component, mending->new_name);
        mending->mended = true;
    } else if (system && !mending->new_name) {
        if (!mending->known) {
            component =
                hf_catalog_add_component_locked(system, mending->name, mending->component_id, row->committed_at_ms);
            component->stored = true;
            component->created_at_ms = mending->entry->created_at_ms;
            take_over_registration(system, component, mending->entry);
        }
        /* What was uploaded meanwhile is newer than anything that we know. */
        if (component && component->head.sequence == mending->before.sequence &&
            component->head.version == mending->before.version) {
            const char *type = hf_catalog_intern_locked(catalog, row->content_type);
            struct hf_head head = hf_head_of_row(row);
            head.content_type = type ? type : "application/octet-stream";
            hf_catalog_set_head_locked(catalog, system, component, &head, NULL);
            mending->mended = true;
        }
    }
    hf_catalog_unlock(catalog);
}

static void take_over_registration(struct hf_system *system, struct hf_component *component,
                                   const struct hf_manifest_entry *entry)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_error ignored;
    struct hf_registration registration = hf_registration_of_entry(entry);
    if (entry->registered_at_ms &&
        hf_names_parse(entry->depends_on, &arena, &registration.depends_on, &registration.depends_on_count, &ignored))
        hf_catalog_set_registration_locked(system, component, &registration);
}

/* ---- telling ---- */

static void tell_mended(const struct mending *mending)
{
    const struct hf_system_info *system = &mending->check->system;
    const struct hf_head *head = &mending->before;
    const struct hf_state_row *row = &mending->row;
    const char *name = mending->new_name ? mending->new_name : mending->name;
    HF_AUTO(free)
    char *data = hf_format("{\"component\":\"%s\",\"version\":%lld,\"sequence\":%lld}", name, (long long)row->version,
                           (long long)row->sequence);
    HF_AUTO(free) char *wrong = NULL;
    if (mending->new_name)
        wrong = hf_format("was named \"%.100s\"", mending->name);
    else if (!mending->known)
        wrong = hf_format("was gone; its name was found in a snapshot");
    else
        wrong = hf_format("said version %lld at sequence %lld with %lld bytes%s", (long long)head->version,
                          (long long)head->sequence, (long long)head->bytes, head->deleted ? ", deleted" : "");
    hf_metric_add_labelled(HF_M_HEALED, "state", 1);
    hf_event_emit(mending->check->engine, system->id, system->name, HF_EV_STATE_HEALED, data,
                  "the row of component %s in component_state_tracking %s; it says again what component_states does: "
                  "version %lld at sequence %lld with %lld bytes%s",
                  name, wrong, (long long)row->version, (long long)row->sequence, (long long)row->bytes,
                  row->deleted ? ", deleted" : "");
}

static void tell_unnamed(const struct mending *mending)
{
    const struct hf_system_info *system = &mending->check->system;
    hf_event_emit(mending->check->engine, system->id, system->name, HF_EV_STATE_DAMAGED, NULL,
                  "component number %lld of system %s has no row in component_state_tracking any more, and no snapshot "
                  "tells its name: its versions up to %lld (sequence %lld) stay in component_states. Insert a row with "
                  "its name, number %lld, version and sequence, and start again; or upload the state anew",
                  (long long)mending->component_id, system->name, (long long)mending->row.version,
                  (long long)mending->row.sequence, (long long)mending->component_id);
}
