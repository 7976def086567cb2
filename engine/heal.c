#include "engine/heal.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/catalog_write.h"
#include "engine/events.h"
#include "store/shared.h"

#include <pthread.h>
#include <string.h>

#define COPIES_MAX    16                 /* rows with the content that are tried */
#define RELATIVES_MAX 64                 /* systems that share contents with one and are looked at for it */
#define LOST_PAUSE_NS (2 * HF_SECOND_NS) /* what was just looked for everywhere is not looked for again at once */

/* One row at a time, so that nothing is written or told twice. Protects the told_damage of every engine. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/* A content being looked for. */
struct search {
    struct hf_engine *engine;
    const char *system;
    const struct hf_hash *hash;
    int64_t bytes;
    struct hf_blob *blob; /* owns, once found */
    char *origin;
    struct hf_error trouble; /* HF_OK: every place could be looked at */
};

/* A row being healed. */
struct healing {
    struct hf_engine *engine;
    const char *system, *component, *damage;
    struct hf_state_row row; /* as it has to be */
    struct hf_blob *blob;    /* owns, once found */
    char origin[HF_ORIGIN_BYTES];
    struct hf_error trouble;
    bool is_head;
    enum hf_row_condition condition;
    bool written;
};

/* What is there of the row while it is written again. */
struct present {
    bool found;
    struct hf_state_row row;
    char event[256];
};

static bool find_in_primary(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                            char origin[HF_ORIGIN_BYTES]);
static bool look_everywhere(struct search *search);
static bool look_in_system(struct search *search, int64_t system_id);
static bool look_at_relatives(struct search *search, int64_t system_id);
static int find_relatives(struct search *search, int64_t system_id, struct hf_system_info *out);
static bool look_in_memory(struct search *search, int64_t *sequences, int *count);
static bool look_in_rows(struct search *search, int64_t system_id, const int64_t *sequences, int count);
static bool look_in_history(struct search *search);
static bool look_in_snapshots(struct search *search, struct hf_repository *repository, const char *where);
static void note_trouble(struct search *search, const struct hf_error *err);
static bool take(struct search *search, struct hf_blob *blob);
static bool heal_row(struct healing *healing, struct hf_error *err);
static bool find_only(struct healing *healing, struct hf_blob **out, struct hf_error *err);
static bool find_content(struct healing *healing);
static bool examine(struct healing *healing, struct hf_error *err);
static void look_at_head(struct healing *healing);
static bool write_row(struct healing *healing, struct hf_error *err);
static bool find_previous(struct healing *healing, struct hf_error *err);
static bool run_write(struct hf_session *session, void *context, struct hf_error *err);
static hf_state_row_fn keep_present;
static void note_written(struct healing *healing);
static void note_not_written(struct healing *healing, const struct hf_error *why);
static void tell_database(const struct healing *healing, const char *damage);
static void note_database(struct hf_engine *engine, const char *what);
static struct hf_told_damage *told_slot(struct healing *healing);
static bool was_just_lost(struct healing *healing);
static bool tell_lost(struct healing *healing, struct hf_error *err);

struct hf_content_source hf_heal_source(struct hf_heal_primary *primary)
{
    return (struct hf_content_source){find_in_primary, primary};
}

static bool find_in_primary(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                            char origin[HF_ORIGIN_BYTES])
{
    const struct hf_heal_primary *primary = context;
    struct search search = {.engine = primary->engine, .system = primary->system, .hash = hash, .bytes = bytes};
    struct hf_system_info system;
    int64_t sequences[COPIES_MAX];
    int count = 0;
    search.origin = origin;
    if (!hf_catalog_read_system(primary->engine->catalog, primary->system, &system) ||
        (!look_in_memory(&search, sequences, &count) && !look_in_rows(&search, system.id, sequences, count) &&
         !look_in_history(&search)))
        return false;
    *out = search.blob;
    return true;
}

bool hf_heal_find(struct hf_engine *engine, const char *system, const struct hf_hash *hash, int64_t bytes,
                  struct hf_blob **out, char origin[HF_ORIGIN_BYTES])
{
    struct search search = {.engine = engine, .system = system, .hash = hash, .bytes = bytes, .origin = origin};
    if (!look_everywhere(&search))
        return false;
    *out = search.blob;
    return true;
}

static bool look_everywhere(struct search *search)
{
    struct hf_engine *engine = search->engine;
    struct hf_system_info system;
    if (!hf_catalog_read_system(engine->catalog, search->system, &system))
        return look_in_snapshots(search, engine->repository, "");
    return look_in_system(search, system.id) || look_at_relatives(search, system.id);
}

/* What costs least first; the rows of history last, because they have no index by hash. */
static bool look_in_system(struct search *search, int64_t system_id)
{
    struct hf_engine *engine = search->engine;
    int64_t sequences[COPIES_MAX];
    int count = 0;
    return look_in_memory(search, sequences, &count) || look_in_rows(search, system_id, sequences, count) ||
           look_in_snapshots(search, engine->repository, "") ||
           look_in_snapshots(search, engine->mirror_repository, "the mirror: ") || look_in_history(search);
}

/* Forks and their origin read the same rows: each alone may have no other copy of what is damaged there. */
static bool look_at_relatives(struct search *search, int64_t system_id)
{
    HF_AUTO(free) struct hf_system_info *relatives = hf_alloc(RELATIVES_MAX * sizeof(relatives[0]));
    int count = find_relatives(search, system_id, relatives);
    const char *own = search->system;
    bool found = false;
    for (int i = 0; i < count && !found; i++) {
        search->system = relatives[i].name;
        found = look_in_system(search, relatives[i].id);
        if (!found)
            continue;
        char origin[HF_ORIGIN_BYTES];
        snprintf(origin, sizeof(origin), "%.80s, of system %.60s", search->origin, relatives[i].name);
        memcpy(search->origin, origin, sizeof(origin));
    }
    search->system = own;
    return found;
}

static int find_relatives(struct search *search, int64_t system_id, struct hf_system_info *out)
{
    int64_t ids[RELATIVES_MAX];
    int count = 0, known = 0, systems_count = 0;
    struct hf_session *session;
    struct hf_error err;
    if (!hf_sessions_take(search->engine->sessions, &session, &err)) {
        note_trouble(search, &err);
        return 0;
    }
    if (!hf_shared_relatives(session, system_id, RELATIVES_MAX, ids, &count, &err))
        note_trouble(search, &err);
    hf_sessions_give(search->engine->sessions, session);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    const struct hf_system_info *systems = hf_catalog_list_systems(search->engine->catalog, &arena, &systems_count);
    for (int i = 0; i < systems_count; i++) {
        for (int r = 0; r < count; r++) {
            if (systems[i].id == ids[r])
                out[known++] = systems[i];
        }
    }
    return known;
}

/* The cached bodies of latest states; of those that are not cached, the sequences. */
static bool look_in_memory(struct search *search, int64_t *sequences, int *count)
{
    struct hf_catalog *catalog = search->engine->catalog;
    struct hf_blob *blob = NULL;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, search->system);
    for (uint32_t i = 0; system && i < system->by_name_count && !blob; i++) {
        const struct hf_component *component = system->by_name[i];
        if (!component->stored || !hf_head_is_present(&component->head) ||
            !hf_hash_equal(&component->head.hash, search->hash))
            continue;
        if (component->body) {
            blob = hf_blob_ref(component->body);
            snprintf(search->origin, HF_ORIGIN_BYTES, "memory (component %.100s)", component->name);
        } else if (*count < COPIES_MAX) {
            sequences[(*count)++] = component->head.sequence;
        }
    }
    hf_catalog_unlock(catalog);
    return blob && take(search, blob);
}

static bool look_in_rows(struct search *search, int64_t system_id, const int64_t *sequences, int count)
{
    struct hf_session *session;
    struct hf_error err;
    if (!count)
        return false;
    if (!hf_sessions_take(search->engine->sessions, &session, &err)) {
        note_trouble(search, &err);
        return false;
    }
    bool found = false;
    for (int i = 0; i < count && !found; i++) {
        struct hf_state_row row;
        struct hf_state_text storage;
        struct hf_blob *blob = NULL;
        if (!hf_states_get(session, system_id, sequences[i], &row, &storage, &blob, &err)) {
            note_trouble(search, &err);
            continue;
        }
        found = take(search, blob);
        if (found)
            snprintf(search->origin, HF_ORIGIN_BYTES, "another row of the database (sequence %lld)",
                     (long long)row.sequence);
    }
    hf_sessions_give(search->engine->sessions, session);
    return found;
}

static bool look_in_history(struct search *search)
{
    struct hf_system_info system;
    struct hf_session *session;
    struct hf_error err;
    int64_t sequences[COPIES_MAX];
    int count = 0;
    if (!hf_catalog_read_system(search->engine->catalog, search->system, &system))
        return false;
    if (!hf_sessions_take(search->engine->sessions, &session, &err)) {
        note_trouble(search, &err);
        return false;
    }
    if (!hf_states_of_hash(session, system.id, search->hash, COPIES_MAX, sequences, &count, &err))
        note_trouble(search, &err);
    hf_sessions_give(search->engine->sessions, session);
    return look_in_rows(search, system.id, sequences, count);
}

static bool look_in_snapshots(struct search *search, struct hf_repository *repository, const char *where)
{
    struct hf_blob *blob = NULL;
    struct hf_error err;
    char origin[HF_ORIGIN_BYTES] = "";
    bool found = false;
    if (!repository)
        return false;
    if (!hf_repository_find_content(repository, search->system, search->hash, &blob, origin, &found, &err)) {
        note_trouble(search, &err);
        return false;
    }
    if (!found || !take(search, blob))
        return false;
    snprintf(search->origin, HF_ORIGIN_BYTES, "%s%.140s", where, origin);
    return true;
}

/* Damage is what we expect to meet; everything else means that a place was not looked at. */
static void note_trouble(struct search *search, const struct hf_error *err)
{
    if (err->code != HF_DAMAGED && err->code != HF_NOT_FOUND)
        search->trouble = *err;
}

/* Takes blob. Nobody is believed: the last word has the hash. */
static bool take(struct search *search, struct hf_blob *blob)
{
    HF_AUTO(blob) struct hf_blob *mine = blob;
    if (!mine || mine->bytes != (size_t)search->bytes)
        return false;
    struct hf_hash hash;
    hf_hash_of(mine->data, mine->bytes, &hash);
    if (!hf_hash_equal(&hash, search->hash))
        return false;
    search->blob = mine;
    mine = NULL;
    return true;
}

/* ---- healing a row ---- */

bool hf_heal_state(struct hf_engine *engine, const char *system, const char *component,
                   const struct hf_state_row *expected, const char *damage, struct hf_blob **out, struct hf_error *err)
{
    struct healing healing = {
        .engine = engine, .system = system, .component = component, .damage = damage, .row = *expected};
    /* What waits there for the committer must not be waited for by it: the next reader writes the row again. */
    if (hf_committer_is_current(engine->committer))
        return find_only(&healing, out, err);
    pthread_mutex_lock(&one_at_a_time);
    bool ok = heal_row(&healing, err);
    pthread_mutex_unlock(&one_at_a_time);
    if (ok)
        *out = healing.blob;
    return ok;
}

static bool heal_row(struct healing *healing, struct hf_error *err)
{
    look_at_head(healing);
    if (!examine(healing, err))
        return false;
    if (healing->condition == HF_ROW_SOUND) /* somebody else has healed it meanwhile */
        return true;
    if (was_just_lost(healing))
        return tell_lost(healing, err);
    if (!find_content(healing))
        return tell_lost(healing, err);

    struct hf_error why;
    if (healing->condition == HF_ROW_UNREADABLE) {
        /* To write there would be to follow pointers that lead anywhere. */
        hf_error_set(&why, HF_DAMAGED, "%s", healing->damage);
        note_not_written(healing, &why);
    } else if (write_row(healing, &why)) {
        note_written(healing);
    } else {
        note_not_written(healing, &why);
    }
    return true;
}

static bool find_only(struct healing *healing, struct hf_blob **out, struct hf_error *err)
{
    if (!find_content(healing))
        return hf_error_set(err, HF_DAMAGED,
                            "version %lld of component %s is damaged (%s), and no other copy can be read",
                            (long long)healing->row.version, healing->component, healing->damage);
    *out = healing->blob;
    return true;
}

static bool find_content(struct healing *healing)
{
    struct search search = {.engine = healing->engine,
                            .system = healing->system,
                            .hash = &healing->row.hash,
                            .bytes = healing->row.bytes,
                            .origin = healing->origin};
    bool found = look_everywhere(&search);
    healing->blob = search.blob;
    healing->trouble = search.trouble;
    return found;
}

static bool examine(struct healing *healing, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(healing->engine->sessions, &session, err)) {
        healing->condition = HF_ROW_UNREADABLE;
        return err->code == HF_DAMAGED;
    }
    bool ok = hf_states_examine(session, &healing->row, &healing->condition, &healing->blob, err);
    hf_sessions_give(healing->engine->sessions, session);
    return ok;
}

/* Is the row still the latest of its component? */
static void look_at_head(struct healing *healing)
{
    struct hf_catalog *catalog = healing->engine->catalog;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_system_by_id_locked(catalog, healing->row.system_id);
    const struct hf_component *component = system ? hf_catalog_find_component_locked(system, healing->component) : NULL;
    if (component && !healing->row.component_id)
        healing->row.component_id = component->id;
    healing->is_head = component && hf_head_is_present(&component->head) &&
                       component->head.sequence == healing->row.sequence &&
                       hf_hash_equal(&component->head.hash, &healing->row.hash);
    hf_catalog_unlock(catalog);
}

static bool write_row(struct healing *healing, struct hf_error *err)
{
    healing->row.content = healing->blob->data;
    if (healing->condition == HF_ROW_MISSING && !find_previous(healing, err))
        return false;
    struct hf_call call = {.run = run_write, .context = healing};
    return hf_committer_call(healing->engine->committer, &call, err);
}

/* The chain of versions goes through the row: without its link, everything older could not be found any more. */
static bool find_previous(struct healing *healing, struct hf_error *err)
{
    struct hf_state_row *row = &healing->row;
    struct hf_session *session;
    if (!hf_sessions_take(healing->engine->sessions, &session, err))
        return false;
    bool ok =
        hf_states_previous(session, row->system_id, row->component_id, row->sequence, &row->previous_sequence, err);
    hf_sessions_give(healing->engine->sessions, session);
    return ok;
}

/* On the committer, so that neither a trim nor an upload comes in between: what retention has deleted stays deleted.
 * May run more than once. */
static bool run_write(struct hf_session *session, void *context, struct hf_error *err)
{
    struct healing *healing = context;
    struct hf_state_row row = healing->row;
    struct present present = {0};
    healing->written = false;
    look_at_head(healing);
    if (!hf_states_tail(session, row.system_id, row.sequence - 1, row.sequence, keep_present, &present, err))
        return false;
    bool is_ours = present.found && present.row.component_id == row.component_id && present.row.version == row.version;
    if (!healing->is_head && !is_ours)
        return true;
    if (is_ours) {
        row.epoch = present.row.epoch;
        row.event = present.row.event;
        if (present.row.previous_sequence >= 0 && present.row.previous_sequence < row.sequence)
            row.previous_sequence = present.row.previous_sequence;
    }
    if (!hf_shared_replace(session, &row, err))
        return false;
    healing->written = true;
    return true;
}

static bool keep_present(void *context, const struct hf_state_row *row)
{
    struct present *present = context;
    present->found = true;
    present->row = *row;
    present->row.content_type = NULL; /* not ours any more when this returns */
    snprintf(present->event, sizeof(present->event), "%s", row->event ? row->event : "");
    present->row.event = row->event ? present->event : NULL;
    return true;
}

/* ---- telling ---- */

static void note_written(struct healing *healing)
{
    struct hf_engine *engine = healing->engine;
    const struct hf_state_row *row = &healing->row;
    if (!healing->written)
        return;
    if (healing->is_head) {
        hf_catalog_mark_damaged(engine->catalog, healing->system, healing->component, false);
        hf_catalog_offer_body(engine->catalog, healing->system, healing->component, row->sequence, healing->blob);
    }
    HF_AUTO(free)
    char *data = hf_format("{\"component\":\"%s\",\"version\":%lld,\"sequence\":%lld}", healing->component,
                           (long long)row->version, (long long)row->sequence);
    hf_metric_add_labelled(HF_M_HEALED, "state", 1);
    hf_event_emit(engine, row->system_id, healing->system, HF_EV_STATE_HEALED, data,
                  "version %lld of component %s was damaged in the database (%s); its content was found in %s and "
                  "written again",
                  (long long)row->version, healing->component, healing->damage, healing->origin);
}

/* The bytes are right all the same. A file that is corrupt stays so until it is replaced: that is told once. */
static void note_not_written(struct healing *healing, const struct hf_error *why)
{
    struct hf_engine *engine = healing->engine;
    if (why->code != HF_DAMAGED) {
        hf_log(HF_LOG_WARNING, "state_not_healed_yet", why->text, HF_LOG_TEXT("system", healing->system),
               HF_LOG_TEXT("component", healing->component));
        return;
    }
    if (healing->is_head) {
        hf_catalog_mark_damaged(engine->catalog, healing->system, healing->component, true);
        hf_catalog_offer_body(engine->catalog, healing->system, healing->component, healing->row.sequence,
                              healing->blob);
    }
    tell_database(healing, why->text);
}

static void tell_database(const struct healing *healing, const char *damage)
{
    HF_AUTO(free)
    char *what = hf_format("version %lld of component %s of system %s: %s", (long long)healing->row.version,
                           healing->component, healing->system, damage);
    note_database(healing->engine, what);
}

void hf_heal_note_database(struct hf_engine *engine, const char *what)
{
    pthread_mutex_lock(&one_at_a_time);
    note_database(engine, what);
    pthread_mutex_unlock(&one_at_a_time);
}

/* With the lock held. */
static void note_database(struct hf_engine *engine, const char *what)
{
    if (engine->told_database_damage)
        return;
    engine->told_database_damage = true;
    bool sqlite = strcmp(hf_store_engine(engine->store), "sqlite") == 0;
    hf_event_emit(engine, 0, "", HF_EV_DATABASE_DAMAGED, NULL,
                  "the database itself is damaged (found at %s); what other copies hold is still answered from them, "
                  "and snapshots hold what can be read. %s",
                  what,
                  sqlite
                      ? "Stop the service in order, so that it takes a final snapshot, and start it again: the start "
                        "checks the file (one above 256 MiB only as far as it reads it: rename that yourself), sets "
                        "it aside and rebuilds it from the snapshot files"
                      : "Repair or restore the PostgreSQL database, or start with an empty one, which is rebuilt "
                        "from the snapshot files");
}

static struct hf_told_damage *told_slot(struct healing *healing)
{
    const struct hf_state_row *row = &healing->row;
    uint64_t mixed = ((uint64_t)row->system_id * 1000003u) ^ (uint64_t)row->sequence;
    return &healing->engine->told_damage[mixed % HF_TOLD_DAMAGE_MAX];
}

static bool was_just_lost(struct healing *healing)
{
    const struct hf_told_damage *told = told_slot(healing);
    return told->looked_ns && told->system_id == healing->row.system_id && told->sequence == healing->row.sequence &&
           hf_clock_monotonic_ns() - told->looked_ns < LOST_PAUSE_NS;
}

static bool tell_lost(struct healing *healing, struct hf_error *err)
{
    struct hf_engine *engine = healing->engine;
    const struct hf_state_row *row = &healing->row;
    struct hf_told_damage *told = told_slot(healing);
    bool news = !told->looked_ns || told->system_id != row->system_id || told->sequence != row->sequence;
    if (!was_just_lost(healing))
        *told = (struct hf_told_damage){row->system_id, row->sequence, hf_clock_monotonic_ns()};
    hf_error_set(err, HF_DAMAGED,
                 "version %lld of component %s is damaged (%.160s), and no other copy of it can be read%s%.100s; "
                 "upload it again, or restore the component from a snapshot",
                 (long long)row->version, healing->component, healing->damage,
                 healing->trouble.code == HF_OK ? "" : " now: ",
                 healing->trouble.code == HF_OK ? "" : healing->trouble.text);
    if (healing->condition == HF_ROW_UNREADABLE)
        tell_database(healing, healing->damage);
    /* An old version does not make the component a bad one. */
    if (healing->is_head)
        news = hf_catalog_mark_damaged(engine->catalog, healing->system, healing->component, true);
    if (news)
        hf_event_emit(engine, row->system_id, healing->system, HF_EV_STATE_DAMAGED, NULL, "%s", err->text);
    return false;
}
