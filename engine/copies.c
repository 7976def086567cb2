#include "engine/copies.h"

#include "core/auto.h"
#include "core/clock.h"
#include "engine/catalog_write.h"
#include "store/shared.h"

#include <pthread.h>
#include <string.h>

#define ENTRIES_MAX   ((size_t)1 << 19) /* of one index */
#define RELATIVES_MAX 64                /* of a family; the others are not looked at */
#define SOON_NS       HF_SECOND_NS
#define THOROUGH_NS   (30 * HF_SECOND_NS)
#define AGE_NS        (30 * HF_SECOND_NS) /* by then somebody may have put files there by hand */
#define OWN_AGE_NS    HF_SECOND_NS
#define AGE_PER_WORK  10 /* reading takes a small part of the time, whatever it takes */

struct entry {
    uint64_t start; /* of the hash */
    struct hf_copy_place place;
};

struct hf_copy_index {
    int64_t members[1 + RELATIVES_MAX + 1]; /* the last one only tells that there are more */
    int member_count;
    struct entry *entries; /* owns; sorted, each once */
    size_t count, capacity;
    uint64_t begun_ns, took_ns; /* 0: never read */
    int64_t changes;            /* as counted when it was read */
    enum hf_heal_patience patience;
    bool complete;
};

struct hf_copies {
    pthread_mutex_t mutex; /* protects the indexes, also while they are read */
    struct hf_copy_index own, family;
    _Atomic int64_t changes;
};

struct building {
    struct hf_engine *engine;
    struct hf_copy_index *index;
    int64_t system_id; /* that is being read */
    uint64_t until_ns;
    bool full;
};

static struct hf_copy_index *current_index(struct hf_engine *engine, int64_t system_id, bool relatives,
                                           enum hf_heal_patience patience);
static bool is_current(const struct hf_copies *copies, const struct hf_copy_index *index, int64_t system_id,
                       bool relatives, enum hf_heal_patience patience);
static void build(struct hf_engine *engine, struct hf_copy_index *index, int64_t system_id, bool relatives,
                  enum hf_heal_patience patience);
static bool list_members(struct hf_engine *engine, struct hf_copy_index *index, int64_t system_id, bool relatives);
static bool is_over(const struct building *building);
static bool read_system(struct building *building, int64_t system_id);
static bool read_memory(struct building *building, char **name_out);
static bool read_rows(struct building *building);
static bool read_files(struct building *building, struct hf_repository *repository, const char *name);
static hf_own_state_fn add_row;
static bool add_file_content(void *context, const struct hf_hash *hash);
static bool add(struct building *building, const struct hf_hash *hash, int64_t sequence);
static uint64_t start_of(const struct hf_hash *hash);
static int compare(const void *a, const void *b);
static void tidy(struct hf_copy_index *index);

struct hf_copies *hf_copies_new(void)
{
    struct hf_copies *copies = hf_alloc(sizeof(*copies));
    pthread_mutex_init(&copies->mutex, NULL);
    return copies;
}

void hf_copies_free(struct hf_copies *copies)
{
    if (!copies)
        return;
    free(copies->own.entries);
    free(copies->family.entries);
    pthread_mutex_destroy(&copies->mutex);
    free(copies);
}

void hf_copies_changed(struct hf_engine *engine)
{
    engine->copies->changes++;
}

int hf_copies_find(struct hf_engine *engine, int64_t system_id, bool relatives, const struct hf_hash *hash,
                   enum hf_heal_patience patience, struct hf_copy_place *out, int limit, bool *complete_out)
{
    struct hf_copies *copies = engine->copies;
    int found = 0;
    *complete_out = false;
    if (patience == HF_HEAL_THOROUGH)
        pthread_mutex_lock(&copies->mutex);
    else if (pthread_mutex_trylock(&copies->mutex) != 0)
        return 0;
    const struct hf_copy_index *index = current_index(engine, system_id, relatives, patience);
    uint64_t start = start_of(hash);
    size_t low = 0, high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->entries[middle].start < start)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < index->count && index->entries[low].start == start && found < limit; low++) {
        if (!relatives || index->entries[low].place.system_id != system_id)
            out[found++] = index->entries[low].place;
    }
    /* One that is outdated still says where copies are, but no more where there are none. */
    *complete_out = index->complete && index->changes == copies->changes;
    pthread_mutex_unlock(&copies->mutex);
    return found;
}

static struct hf_copy_index *current_index(struct hf_engine *engine, int64_t system_id, bool relatives,
                                           enum hf_heal_patience patience)
{
    struct hf_copies *copies = engine->copies;
    struct hf_copy_index *index = relatives ? &copies->family : &copies->own;
    if (!is_current(copies, index, system_id, relatives, patience))
        build(engine, index, system_id, relatives, patience);
    return index;
}

static bool is_current(const struct hf_copies *copies, const struct hf_copy_index *index, int64_t system_id,
                       bool relatives, enum hf_heal_patience patience)
{
    bool known = false;
    for (int i = 0; i < index->member_count && !known; i++)
        known = index->members[i] == system_id;
    if (!known || !index->begun_ns || (!index->complete && patience > index->patience))
        return false;
    uint64_t age_ns = hf_clock_monotonic_ns() - index->begun_ns - index->took_ns;
    uint64_t age_max_ns = relatives ? AGE_NS : OWN_AGE_NS;
    if (age_ns <= AGE_PER_WORK * index->took_ns)
        return true;
    return age_ns <= age_max_ns && index->changes == copies->changes;
}

static void build(struct hf_engine *engine, struct hf_copy_index *index, int64_t system_id, bool relatives,
                  enum hf_heal_patience patience)
{
    struct building building = {.engine = engine, .index = index};
    index->count = 0;
    index->changes = engine->copies->changes;
    index->begun_ns = hf_clock_monotonic_ns();
    index->patience = patience;
    building.until_ns = index->begun_ns + (patience == HF_HEAL_THOROUGH ? THOROUGH_NS : SOON_NS);
    index->complete = list_members(engine, index, system_id, relatives);
    for (int i = 0; i < index->member_count && !is_over(&building); i++)
        index->complete = read_system(&building, index->members[i]) && index->complete;
    index->complete = index->complete && !is_over(&building);
    tidy(index);
    index->took_ns = hf_clock_monotonic_ns() - index->begun_ns;
}

/* The system itself is always one. False: not all of them are known. */
static bool list_members(struct hf_engine *engine, struct hf_copy_index *index, int64_t system_id, bool relatives)
{
    struct hf_session *session;
    struct hf_error err;
    int count = 0;
    index->members[0] = system_id;
    index->member_count = 1;
    if (!relatives)
        return true;
    if (!hf_sessions_take(engine->sessions, &session, &err))
        return false;
    bool ok = hf_shared_relatives(session, system_id, RELATIVES_MAX + 1, index->members + 1, &count, &err);
    hf_sessions_give(engine->sessions, session);
    if (!ok)
        return false;
    index->member_count += count < RELATIVES_MAX ? count : RELATIVES_MAX;
    return count <= RELATIVES_MAX;
}

static bool is_over(const struct building *building)
{
    return building->full || building->engine->breaking_off || hf_clock_monotonic_ns() >= building->until_ns;
}

/* False: not all of it could be read. */
static bool read_system(struct building *building, int64_t system_id)
{
    struct hf_engine *engine = building->engine;
    HF_AUTO(free) char *name = NULL;
    building->system_id = system_id;
    bool ok = read_memory(building, &name);
    if (!name) /* deleted meanwhile */
        return true;
    return ok && read_rows(building) && read_files(building, engine->repository, name) &&
           (!engine->mirror_repository || read_files(building, engine->mirror_repository, name));
}

static bool read_memory(struct building *building, char **name_out)
{
    struct hf_catalog *catalog = building->engine->catalog;
    bool ok = true;
    hf_catalog_lock(catalog);
    const struct hf_system *system = hf_catalog_system_by_id_locked(catalog, building->system_id);
    for (uint32_t i = 0; system && ok && i < system->by_name_count; i++) {
        const struct hf_component *component = system->by_name[i];
        if (component->body && hf_head_is_present(&component->head))
            ok = add(building, &component->head.hash, HF_COPY_IN_MEMORY);
    }
    *name_out = system ? hf_strdup(system->name) : NULL;
    hf_catalog_unlock(catalog);
    return ok;
}

static bool read_rows(struct building *building)
{
    struct hf_session *session;
    struct hf_error err;
    if (!hf_sessions_take(building->engine->sessions, &session, &err))
        return false;
    bool ok = hf_shared_list_own(session, building->system_id, add_row, building, &err);
    hf_sessions_give(building->engine->sessions, session);
    /* A table that is damaged has no more to give. */
    return (ok || err.code == HF_DAMAGED) && !is_over(building);
}

static bool read_files(struct building *building, struct hf_repository *repository, const char *name)
{
    struct hf_error err;
    bool all;
    return hf_repository_list_contents(repository, name, add_file_content, building, &all, &err) && all;
}

static bool add_row(void *context, int64_t sequence, const struct hf_hash *hash)
{
    struct building *building = context;
    return add(building, hash, sequence) && !is_over(building);
}

static bool add_file_content(void *context, const struct hf_hash *hash)
{
    struct building *building = context;
    return add(building, hash, HF_COPY_IN_FILES) && !is_over(building);
}

static bool add(struct building *building, const struct hf_hash *hash, int64_t sequence)
{
    struct hf_copy_index *index = building->index;
    if (index->count == ENTRIES_MAX) {
        tidy(index); /* most of what many files hold is the same */
        if (index->count > ENTRIES_MAX / 4 * 3)
            building->full = true;
    }
    if (building->full)
        return false;
    if (index->count == index->capacity) {
        index->capacity = index->capacity ? 2 * index->capacity : 1024;
        index->entries = hf_realloc(index->entries, index->capacity * sizeof(index->entries[0]));
    }
    index->entries[index->count++] = (struct entry){start_of(hash), {building->system_id, sequence}};
    return true;
}

static uint64_t start_of(const struct hf_hash *hash)
{
    uint64_t start;
    memcpy(&start, hash->bytes, sizeof(start));
    return start;
}

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->place.system_id != y->place.system_id)
        return x->place.system_id < y->place.system_id ? -1 : 1;
    return (x->place.sequence > y->place.sequence) - (x->place.sequence < y->place.sequence);
}

static void tidy(struct hf_copy_index *index)
{
    size_t kept = 0;
    if (index->count)
        qsort(index->entries, index->count, sizeof(index->entries[0]), compare);
    for (size_t i = 0; i < index->count; i++) {
        if (!kept || compare(&index->entries[kept - 1], &index->entries[i]) != 0)
            index->entries[kept++] = index->entries[i];
    }
    index->count = kept;
}
