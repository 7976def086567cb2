#include "engine/heal_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/cond.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/catalog_write.h"
#include "engine/events.h"
#include "store/shared.h"

#include <pthread.h>
#include <string.h>

#define PATIENCE_NS   (HF_SECOND_NS / 4) /* of one who answers a client, while others are healed */
#define LOST_PAUSE_NS (2 * HF_SECOND_NS) /* what was just looked for everywhere is not looked for again at once */

/* One row at a time, so that nothing is written or told twice. Whose turn it is has the told_damage of every engine. */
static pthread_mutex_t turn_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_over;
static pthread_once_t turn_once = PTHREAD_ONCE_INIT;
static bool turn_taken; /* behind turn_mutex */

/* A row being healed. */
struct healing {
    struct hf_engine *engine;
    const char *system, *component, *damage;
    struct hf_state_row row; /* as it has to be */
    struct hf_blob *blob;    /* owns, once found */
    char origin[HF_ORIGIN_BYTES];
    struct hf_error trouble;
    enum hf_heal_patience patience; /* SOON or THOROUGH */
    bool sure;                      /* whoever asks deletes what is lost */
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

static void make_turns(void);
static bool take_turn(enum hf_heal_patience patience);
static void give_turn(void);
static bool heal_row(struct healing *healing, struct hf_error *err);
static bool find_only(struct healing *healing, struct hf_blob **out, struct hf_error *err);
static bool take_own(struct healing *healing);
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

/* ---- healing a row ---- */

bool hf_heal_state(struct hf_engine *engine, const char *system, const char *component,
                   const struct hf_state_row *expected, const char *damage, enum hf_heal_patience patience,
                   struct hf_blob **out, struct hf_error *err)
{
    struct healing healing = {.engine = engine,
                              .system = system,
                              .component = component,
                              .damage = damage,
                              .row = *expected,
                              .patience = patience == HF_HEAL_SOON ? HF_HEAL_SOON : HF_HEAL_THOROUGH,
                              .sure = patience == HF_HEAL_SURE};
    /* What waits there for the committer must not be waited for by it: the next reader writes the row again. */
    if (hf_committer_is_current(engine->committer))
        return find_only(&healing, out, err);
    if (!take_turn(healing.patience))
        return hf_error_set(err, HF_OVERLOADED,
                            "version %lld of component %s is damaged (%.160s), and other damage is being healed just "
                            "now: try again soon",
                            (long long)expected->version, component, damage);
    (void)hf_fault("heal_turn"); /* for its sleep */
    bool ok = heal_row(&healing, err);
    give_turn();
    if (ok)
        *out = healing.blob;
    return ok;
}

static void make_turns(void)
{
    hf_cond_init(&turn_over);
}

/* False: it is somebody else's for longer than one can wait. */
static bool take_turn(enum hf_heal_patience patience)
{
    uint64_t until_ns = hf_clock_monotonic_ns() + PATIENCE_NS;
    bool in_time = true;
    pthread_once(&turn_once, make_turns);
    pthread_mutex_lock(&turn_mutex);
    while (turn_taken && in_time) {
        if (patience == HF_HEAL_THOROUGH)
            pthread_cond_wait(&turn_over, &turn_mutex);
        else
            in_time = hf_cond_wait_until(&turn_over, &turn_mutex, until_ns);
    }
    bool mine = !turn_taken;
    turn_taken = true;
    pthread_mutex_unlock(&turn_mutex);
    return mine;
}

static void give_turn(void)
{
    pthread_mutex_lock(&turn_mutex);
    turn_taken = false;
    pthread_cond_signal(&turn_over);
    pthread_mutex_unlock(&turn_mutex);
}

static bool heal_row(struct healing *healing, struct hf_error *err)
{
    look_at_head(healing);
    if (!examine(healing, err))
        return false;
    if (healing->condition == HF_ROW_SOUND) /* somebody else has healed it meanwhile */
        return true;
    /* That may have been a short look, which is not enough for those who have time. */
    bool found =
        take_own(healing) || ((healing->patience != HF_HEAL_SOON || !was_just_lost(healing)) && find_content(healing));
    if (!found)
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

/* Only what the row says of its bytes is wrong: nothing has to be looked for. */
static bool take_own(struct healing *healing)
{
    if (!healing->blob)
        return false;
    snprintf(healing->origin, sizeof(healing->origin), "the row itself");
    healing->row.bytes = (int64_t)healing->blob->bytes;
    return true;
}

/* The length that is expected may be what is wrong with the row: then what has its hash says the right one. */
static bool find_content(struct healing *healing)
{
    struct hf_search search = {.engine = healing->engine,
                               .system = healing->system,
                               .hash = &healing->row.hash,
                               .bytes = HF_SEARCH_ANY_LENGTH,
                               .patience = healing->patience,
                               .origin = healing->origin};
    bool found = hf_search_everywhere(&search);
    healing->blob = search.blob;
    healing->trouble = search.trouble;
    if (found)
        healing->row.bytes = (int64_t)search.blob->bytes;
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
        hf_catalog_offer_body(engine->catalog, healing->system, healing->component, healing->row.sequence,
                              healing->blob);
        hf_catalog_mark_damaged(engine->catalog, healing->system, healing->component, true);
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
    (void)take_turn(HF_HEAL_THOROUGH);
    note_database(engine, what);
    give_turn();
}

/* In its turn. */
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
                 healing->trouble.code == HF_OK ? "" : "; not searched: ",
                 healing->trouble.code == HF_OK ? "" : healing->trouble.text);
    if (healing->condition == HF_ROW_UNREADABLE)
        tell_database(healing, healing->damage);
    /* An old version does not make the component a bad one. */
    if (healing->is_head)
        news = hf_catalog_mark_damaged(engine->catalog, healing->system, healing->component, true);
    if (news)
        hf_event_emit(engine, row->system_id, healing->system, HF_EV_STATE_DAMAGED, NULL, "%s", err->text);
    if (healing->sure && healing->trouble.code != HF_OK)
        hf_error_set(
            err, healing->trouble.code,
            "component %s of system %s is damaged, and these, which may have a copy, could not be searched: %s",
            healing->component, healing->system, healing->trouble.text);
    return false;
}
