/* Looking for a copy of a content, in every place that may have one. */
#include "core/auto.h"
#include "engine/catalog_write.h"
#include "engine/copies.h"
#include "engine/heal_private.h"

#include <string.h>

#define COPIES_MAX    16  /* rows with the content that are tried */
#define TROUBLE_BYTES 200 /* of one place that could not be looked at */
#define PLACES_MAX    128 /* that are asked for at a time: many may share the name of a content, and few have it */
#define TIMES_MAX     64  /* who has time asks again that often; whatever is behind is not searched */

static bool find_in_primary(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                            char origin[HF_ORIGIN_BYTES]);
static bool look_in_system(struct hf_search *search, int64_t system_id);
static bool look_at_relatives(struct hf_search *search, int64_t system_id);
static bool look_in_places(struct hf_search *search, int64_t system_id, bool relatives, struct hf_error *missed_out);
static bool look_in_place(struct hf_search *search, const struct hf_copy_place *place, bool relatives);
static bool look_in_memory(struct hf_search *search, int64_t *sequences, int *count);
static bool look_in_rows(struct hf_search *search, int64_t system_id, const int64_t *sequences, int count);
static bool look_in_history(struct hf_search *search);
static bool look_in_snapshots(struct hf_search *search, struct hf_repository *repository, const char *where);
static void note_trouble(struct hf_search *search, const struct hf_error *err, const char *place);
static void add_trouble(struct hf_search *search, enum hf_code code, const char *text);
static bool take(struct hf_search *search, struct hf_blob *blob);

struct hf_content_source hf_heal_source(struct hf_heal_primary *primary)
{
    return (struct hf_content_source){find_in_primary, primary};
}

static bool find_in_primary(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                            char origin[HF_ORIGIN_BYTES])
{
    const struct hf_heal_primary *primary = context;
    struct hf_search search = {.engine = primary->engine, .system = primary->system, .hash = hash, .bytes = bytes};
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
                  enum hf_heal_patience patience, struct hf_blob **out, char origin[HF_ORIGIN_BYTES])
{
    struct hf_search search = {
        .engine = engine, .system = system, .hash = hash, .bytes = bytes, .patience = patience, .origin = origin};
    if (!hf_search_everywhere(&search))
        return false;
    *out = search.blob;
    return true;
}

bool hf_search_everywhere(struct hf_search *search)
{
    struct hf_engine *engine = search->engine;
    struct hf_system_info system;
    if (!hf_catalog_read_system(engine->catalog, search->system, &system))
        return look_in_snapshots(search, engine->repository, "");
    if (look_in_system(search, system.id))
        return true;
    if (engine->phase != HF_PHASE_STOPPING)
        return look_at_relatives(search, system.id);
    /* The end of the service waits for nobody's relatives. */
    add_trouble(search, HF_SHUTTING_DOWN, "its relatives, because the service is stopping");
    return false;
}

/* What costs least first; the rows of history last, because they have no index by hash. Who looks for many reads all of
 * it once. */
static bool look_in_system(struct hf_search *search, int64_t system_id)
{
    struct hf_engine *engine = search->engine;
    int64_t sequences[COPIES_MAX];
    int count = 0;
    struct hf_error missed = {.code = HF_OVERLOADED};
    if (look_in_memory(search, sequences, &count) || look_in_rows(search, system_id, sequences, count))
        return true;
    if (search->patience == HF_HEAL_THOROUGH && look_in_places(search, system_id, false, &missed))
        return true;
    /* Each file that can be read was read about; who has no key for another will not have it for each content. */
    if (missed.code == HF_KEY_MISSING)
        add_trouble(search, missed.code, missed.text);
    return missed.code != HF_OK && missed.code != HF_KEY_MISSING &&
           (look_in_snapshots(search, engine->repository, "") ||
            look_in_snapshots(search, engine->mirror_repository, "the mirror: ") || look_in_history(search));
}

/* Forks and their origin read the same rows: each alone may have no other copy of what is damaged there. */
static bool look_at_relatives(struct hf_search *search, int64_t system_id)
{
    struct hf_error missed;
    if (look_in_places(search, system_id, true, &missed))
        return true;
    if (missed.code != HF_OK)
        add_trouble(search, missed.code, missed.text);
    return false;
}

static bool look_in_places(struct hf_search *search, int64_t system_id, bool relatives, struct hf_error *missed_out)
{
    struct hf_copies_wanted wanted = {system_id, relatives, search->hash, search->patience, NULL};
    struct hf_copy_place places[PLACES_MAX], last;
    int count, times = search->patience == HF_HEAL_THOROUGH ? TIMES_MAX : 1;
    bool found = false, more;
    do {
        count = hf_copies_find(search->engine, &wanted, places, PLACES_MAX, missed_out);
        for (int i = 0; i < count && !found; i++)
            found = look_in_place(search, &places[i], relatives);
        more = !found && count == PLACES_MAX;
        if (more)
            last = places[count - 1];
        wanted.after = &last;
    } while (more && --times > 0 && !search->engine->breaking_off);
    if (more && (missed_out->code == HF_OK || missed_out->code == HF_KEY_MISSING))
        hf_error_set(missed_out, HF_OVERLOADED, "all the many places that have had the same content");
    return found;
}

static bool look_in_place(struct hf_search *search, const struct hf_copy_place *place, bool relatives)
{
    struct hf_engine *engine = search->engine;
    const char *own = search->system;
    int64_t sequences[COPIES_MAX];
    int count = 0;
    hf_catalog_lock(engine->catalog);
    const struct hf_system *system = hf_catalog_system_by_id_locked(engine->catalog, place->system_id);
    HF_AUTO(free) char *name = system ? hf_strdup(system->name) : NULL;
    hf_catalog_unlock(engine->catalog);
    if (!name)
        return false;
    search->system = name;
    bool found = place->sequence == HF_COPY_IN_FILES
                     ? look_in_snapshots(search, engine->repository, "") ||
                           look_in_snapshots(search, engine->mirror_repository, "the mirror: ")
                 : place->sequence == HF_COPY_IN_MEMORY ? look_in_memory(search, sequences, &count)
                                                        : look_in_rows(search, place->system_id, &place->sequence, 1);
    search->system = own;
    if (found && relatives) {
        char origin[HF_ORIGIN_BYTES];
        snprintf(origin, sizeof(origin), "%.80s, of system %.60s", search->origin, name);
        memcpy(search->origin, origin, sizeof(origin));
    }
    return found;
}

/* The cached bodies of latest states; of those that are not cached, the sequences. */
static bool look_in_memory(struct hf_search *search, int64_t *sequences, int *count)
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

static bool look_in_rows(struct hf_search *search, int64_t system_id, const int64_t *sequences, int count)
{
    struct hf_session *session;
    struct hf_error err;
    if (!count)
        return false;
    if (!hf_sessions_take(search->engine->sessions, &session, &err)) {
        note_trouble(search, &err, "the rows");
        return false;
    }
    bool found = false;
    for (int i = 0; i < count && !found; i++) {
        struct hf_state_row row;
        struct hf_state_text storage;
        struct hf_blob *blob = NULL;
        if (!hf_states_get(session, system_id, sequences[i], &row, &storage, &blob, &err)) {
            note_trouble(search, &err, "the rows");
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

static bool look_in_history(struct hf_search *search)
{
    struct hf_system_info system;
    struct hf_session *session;
    struct hf_error err;
    int64_t sequences[COPIES_MAX];
    int count = 0;
    if (!hf_catalog_read_system(search->engine->catalog, search->system, &system))
        return false;
    if (!hf_sessions_take(search->engine->sessions, &session, &err)) {
        note_trouble(search, &err, "the rows");
        return false;
    }
    if (!hf_states_of_hash(session, system.id, search->hash, COPIES_MAX, sequences, &count, &err))
        note_trouble(search, &err, "the rows");
    hf_sessions_give(search->engine->sessions, session);
    return look_in_rows(search, system.id, sequences, count);
}

static bool look_in_snapshots(struct hf_search *search, struct hf_repository *repository, const char *where)
{
    struct hf_blob *blob = NULL;
    struct hf_error err;
    char origin[HF_ORIGIN_BYTES] = "";
    bool found = false;
    if (!repository)
        return false;
    if (!hf_repository_find_content(repository, search->system, search->hash, &blob, origin, &found, &err)) {
        note_trouble(search, &err, *where ? "the mirror's snapshot files" : "the snapshot files");
        return false;
    }
    if (!found || !take(search, blob))
        return false;
    snprintf(search->origin, HF_ORIGIN_BYTES, "%s%.140s", where, origin);
    return true;
}

/* Damage is what we expect to meet; everything else means that a place was not looked at. */
static void note_trouble(struct hf_search *search, const struct hf_error *err, const char *place)
{
    if (err->code == HF_DAMAGED || err->code == HF_NOT_FOUND)
        return;
    HF_AUTO(free) char *text = hf_format("%s of system %s (%s)", place, search->system, err->text);
    add_trouble(search, err->code, text);
}

/* All of them are named, as far as there is room, and each once. */
static void add_trouble(struct hf_search *search, enum hf_code code, const char *text)
{
    struct hf_error *trouble = &search->trouble;
    size_t used = strlen(trouble->text);
    char place[TROUBLE_BYTES];
    snprintf(place, sizeof(place), "%.*s", (int)sizeof(place) - 1, text);
    if (trouble->code == HF_OK)
        trouble->code = code;
    else if (strstr(trouble->text, place))
        return;
    snprintf(trouble->text + used, sizeof(trouble->text) - used, "%s%s", used ? "; " : "", place);
}

/* Takes blob. Nobody is believed: the last word has the hash. */
static bool take(struct hf_search *search, struct hf_blob *blob)
{
    HF_AUTO(blob) struct hf_blob *mine = blob;
    if (!mine || (search->bytes != HF_SEARCH_ANY_LENGTH && mine->bytes != (size_t)search->bytes))
        return false;
    struct hf_hash hash;
    hf_hash_of(mine->data, mine->bytes, &hash);
    if (!hf_hash_equal(&hash, search->hash))
        return false;
    search->blob = mine;
    mine = NULL;
    return true;
}
