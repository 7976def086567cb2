#include "engine/copies.h"

#include "core/auto.h"
#include "core/clock.h"
#include "engine/catalog_write.h"
#include "store/shared.h"

#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#define INDEXES_MAX   8
#define RELATIVES_MAX 64 /* of a family; the others are not looked at */
#define SOON_NS       HF_SECOND_NS
#define THOROUGH_NS   (30 * HF_SECOND_NS)
#define AGE_NS        (30 * HF_SECOND_NS) /* by then somebody may have put files there by hand */
#define OWN_AGE_NS    HF_SECOND_NS
#define AGE_PER_WORK  10 /* reading takes a small part of the time, whatever it takes */

struct entry {
    uint64_t start; /* of the hash */
    struct hf_copy_place place;
};

/* Of a system, or of a family as one of its systems asked for it. */
struct hf_copy_index {
    bool relatives;
    int64_t members[1 + RELATIVES_MAX + 1]; /* the last one only tells that there are more */
    int member_count;                       /* 0: the index is free */
    struct entry *entries;                  /* owns; sorted, each once */
    size_t count, capacity;
    uint64_t begun_ns, took_ns;
    int64_t changes; /* as counted when it was read */
    enum hf_heal_patience patience;
    struct hf_error missed; /* HF_OK: everything was read */
    uint64_t last_use;
};

struct hf_copies {
    pthread_mutex_t mutex; /* protects what follows but changes, also while an index is read */
    struct hf_copy_index indexes[INDEXES_MAX];
    uint64_t uses;
    int64_t readings;
    size_t entries_max;
    _Atomic int64_t changes;
};

struct building {
    struct hf_engine *engine;
    struct hf_copy_index *index;
    int64_t system_id; /* that is being read */
    const char *name;
    uint64_t until_ns;
    bool full;
};

static void free_index(struct hf_copy_index *index);
static struct hf_copy_index *current_index(struct hf_engine *engine, const struct hf_copies_wanted *wanted);
static struct hf_copy_index *find_index(struct hf_copies *copies, const struct hf_copies_wanted *wanted);
static bool is_of(const struct hf_copy_index *index, const struct hf_copies_wanted *wanted);
static bool is_current(const struct hf_copies *copies, const struct hf_copy_index *index,
                       const struct hf_copies_wanted *wanted);
static void make_room(struct hf_copies *copies, const struct hf_copy_index *index);
static void build(struct hf_engine *engine, struct hf_copy_index *index, const struct hf_copies_wanted *wanted);
static void list_members(struct building *building, const struct hf_copies_wanted *wanted);
static bool is_over(const struct building *building);
static void read_system(struct building *building, int64_t system_id);
static char *read_memory(struct building *building);
static void read_rows(struct building *building);
static void read_files(struct building *building, struct hf_repository *repository, const char *whose);
static hf_own_state_fn add_row;
static bool add_file_content(void *context, const struct hf_hash *hash);
static bool add(struct building *building, const struct hf_hash *hash, int64_t sequence);
static void note_missed(struct building *building, enum hf_code code, const char *format, ...) HF_PRINTF(3, 4);
static size_t first_behind(const struct hf_copy_index *index, const struct entry *last);
static uint64_t start_of(const struct hf_hash *hash);
static int compare(const void *a, const void *b);
static void tidy(struct hf_copy_index *index);
static void shrink(struct hf_copy_index *index);

struct hf_copies *hf_copies_new(size_t entries_max)
{
    struct hf_copies *copies = hf_alloc(sizeof(*copies));
    copies->entries_max = entries_max;
    pthread_mutex_init(&copies->mutex, NULL);
    return copies;
}

void hf_copies_free(struct hf_copies *copies)
{
    if (!copies)
        return;
    for (int i = 0; i < INDEXES_MAX; i++)
        free_index(&copies->indexes[i]);
    pthread_mutex_destroy(&copies->mutex);
    free(copies);
}

void hf_copies_changed(struct hf_engine *engine)
{
    engine->copies->changes++;
}

void hf_copies_forget_missed(struct hf_engine *engine)
{
    struct hf_copies *copies = engine->copies;
    pthread_mutex_lock(&copies->mutex);
    for (int i = 0; i < INDEXES_MAX; i++) {
        struct hf_copy_index *index = &copies->indexes[i];
        if (index->missed.code != HF_OK || index->changes != copies->changes)
            free_index(index);
    }
    pthread_mutex_unlock(&copies->mutex);
}

static void free_index(struct hf_copy_index *index)
{
    free(index->entries);
    *index = (struct hf_copy_index){0};
}

struct hf_copies_usage hf_copies_usage(struct hf_engine *engine)
{
    struct hf_copies *copies = engine->copies;
    pthread_mutex_lock(&copies->mutex);
    struct hf_copies_usage usage = {.readings = copies->readings};
    for (int i = 0; i < INDEXES_MAX; i++) {
        usage.remembered += copies->indexes[i].member_count > 0;
        usage.bytes += (int64_t)(copies->indexes[i].capacity * sizeof(struct entry));
    }
    pthread_mutex_unlock(&copies->mutex);
    return usage;
}

int hf_copies_find(struct hf_engine *engine, const struct hf_copies_wanted *wanted, struct hf_copy_place *out,
                   int limit, struct hf_error *missed_out)
{
    struct hf_copies *copies = engine->copies;
    int found = 0;
    if (wanted->patience == HF_HEAL_THOROUGH) {
        pthread_mutex_lock(&copies->mutex);
    } else if (pthread_mutex_trylock(&copies->mutex) != 0) {
        hf_error_set(missed_out, HF_OVERLOADED, "all that others are just now searched for");
        return 0;
    }
    const struct hf_copy_index *index = current_index(engine, wanted);
    uint64_t start = start_of(wanted->hash);
    const struct entry last = {start, wanted->after ? *wanted->after : (struct hf_copy_place){INT64_MIN, INT64_MIN}};
    for (size_t i = first_behind(index, &last); i < index->count && index->entries[i].start == start && found < limit;
         i++) {
        if (!wanted->relatives || index->entries[i].place.system_id != wanted->system_id)
            out[found++] = index->entries[i].place;
    }
    *missed_out = index->missed;
    /* One that is outdated still says where copies are, but no more where there are none. */
    if (missed_out->code == HF_OK && index->changes != copies->changes)
        hf_error_set(missed_out, HF_OVERLOADED, "what came since its relatives were searched");
    pthread_mutex_unlock(&copies->mutex);
    return found;
}

static struct hf_copy_index *current_index(struct hf_engine *engine, const struct hf_copies_wanted *wanted)
{
    struct hf_copies *copies = engine->copies;
    struct hf_copy_index *index = find_index(copies, wanted);
    if (!is_current(copies, index, wanted)) {
        make_room(copies, index);
        build(engine, index, wanted);
        copies->readings++;
    }
    index->last_use = ++copies->uses;
    return index;
}

/* Its own, or one that is free, or the one that nobody has asked for the longest. */
static struct hf_copy_index *find_index(struct hf_copies *copies, const struct hf_copies_wanted *wanted)
{
    struct hf_copy_index *oldest = &copies->indexes[0];
    for (int i = 0; i < INDEXES_MAX; i++) {
        struct hf_copy_index *index = &copies->indexes[i];
        if (is_of(index, wanted))
            return index;
        if (index->last_use < oldest->last_use)
            oldest = index;
    }
    return oldest;
}

static bool is_of(const struct hf_copy_index *index, const struct hf_copies_wanted *wanted)
{
    for (int i = 0; i < index->member_count && index->relatives == wanted->relatives; i++) {
        if (index->members[i] == wanted->system_id)
            return true;
    }
    return false;
}

static bool is_current(const struct hf_copies *copies, const struct hf_copy_index *index,
                       const struct hf_copies_wanted *wanted)
{
    if (!is_of(index, wanted) || (index->missed.code != HF_OK && wanted->patience > index->patience))
        return false;
    uint64_t age_ns = hf_clock_monotonic_ns() - index->begun_ns - index->took_ns;
    uint64_t age_max_ns = index->relatives ? AGE_NS : OWN_AGE_NS;
    if (age_ns <= AGE_PER_WORK * index->took_ns)
        return true;
    return age_ns <= age_max_ns && index->changes == copies->changes;
}

/* How large it will be is not known before it is read. */
static void make_room(struct hf_copies *copies, const struct hf_copy_index *index)
{
    for (;;) {
        struct hf_copy_index *oldest = NULL;
        size_t total = 0;
        for (int i = 0; i < INDEXES_MAX; i++) {
            struct hf_copy_index *other = &copies->indexes[i];
            if (other == index || !other->capacity)
                continue;
            total += other->capacity;
            if (!oldest || other->last_use < oldest->last_use)
                oldest = other;
        }
        if (total <= copies->entries_max)
            return;
        free_index(oldest);
    }
}

static void build(struct hf_engine *engine, struct hf_copy_index *index, const struct hf_copies_wanted *wanted)
{
    struct building building = {.engine = engine, .index = index};
    index->relatives = wanted->relatives;
    index->count = 0;
    index->changes = engine->copies->changes;
    index->begun_ns = hf_clock_monotonic_ns();
    index->patience = wanted->patience;
    index->missed = (struct hf_error){0};
    building.until_ns = index->begun_ns + (wanted->patience == HF_HEAL_THOROUGH ? THOROUGH_NS : SOON_NS);
    list_members(&building, wanted);
    for (int i = 0; i < index->member_count && !is_over(&building); i++)
        read_system(&building, index->members[i]);
    if (engine->breaking_off)
        note_missed(&building, HF_SHUTTING_DOWN, "all its relatives, because the service is stopping");
    else if (is_over(&building))
        note_missed(&building, HF_OVERLOADED, "all its relatives in the time and memory that there is for it");
    tidy(index);
    shrink(index);
    index->took_ns = hf_clock_monotonic_ns() - index->begun_ns;
}

/* The system itself is always one. */
static void list_members(struct building *building, const struct hf_copies_wanted *wanted)
{
    struct hf_copy_index *index = building->index;
    struct hf_session *session;
    struct hf_error err;
    int count = 0;
    index->members[0] = wanted->system_id;
    index->member_count = 1;
    if (!wanted->relatives)
        return;
    bool ok = hf_sessions_take(building->engine->sessions, &session, &err);
    if (ok) {
        ok = hf_shared_relatives(session, wanted->system_id, RELATIVES_MAX + 1, index->members + 1, &count, &err);
        hf_sessions_give(building->engine->sessions, session);
    }
    if (!ok) {
        note_missed(building, err.code, "its relatives (%s)", err.text);
        return;
    }
    index->member_count += count < RELATIVES_MAX ? count : RELATIVES_MAX;
    if (count > RELATIVES_MAX)
        note_missed(building, HF_OVERLOADED, "all its relatives: they are more than %d", RELATIVES_MAX);
}

static bool is_over(const struct building *building)
{
    return building->full || building->engine->breaking_off || hf_clock_monotonic_ns() >= building->until_ns;
}

static void read_system(struct building *building, int64_t system_id)
{
    struct hf_engine *engine = building->engine;
    building->system_id = system_id;
    HF_AUTO(free) char *name = read_memory(building);
    if (!name) /* deleted meanwhile */
        return;
    building->name = name;
    read_rows(building);
    read_files(building, engine->repository, "the");
    if (engine->mirror_repository)
        read_files(building, engine->mirror_repository, "the mirror's");
}

/* Gives its name. */
static char *read_memory(struct building *building)
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
    char *name = system ? hf_strdup(system->name) : NULL;
    hf_catalog_unlock(catalog);
    return name;
}

static void read_rows(struct building *building)
{
    struct hf_session *session;
    struct hf_error err;
    if (is_over(building))
        return;
    bool ok = hf_sessions_take(building->engine->sessions, &session, &err);
    if (ok) {
        ok = hf_shared_list_own(session, building->system_id, add_row, building, &err);
        hf_sessions_give(building->engine->sessions, session);
    }
    /* A table that is damaged has no more to give. */
    if (!ok && err.code != HF_DAMAGED)
        note_missed(building, err.code, "the rows of system %s (%.200s)", building->name, err.text);
}

static void read_files(struct building *building, struct hf_repository *repository, const char *whose)
{
    struct hf_error err;
    bool all;
    if (!is_over(building) &&
        !hf_repository_list_contents(repository, building->name, add_file_content, building, &all, &err))
        note_missed(building, err.code, "%s snapshot files of system %s (%.200s)", whose, building->name, err.text);
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
    size_t entries_max = building->engine->copies->entries_max;
    if (index->count == entries_max) {
        tidy(index); /* most of what many files hold is the same */
        if (index->count > entries_max / 4 * 3)
            building->full = true;
    }
    if (building->full)
        return false;
    if (index->count == index->capacity) {
        index->capacity = index->capacity ? 2 * index->capacity : 1024;
        if (index->capacity > entries_max)
            index->capacity = entries_max;
        index->entries = hf_realloc(index->entries, index->capacity * sizeof(index->entries[0]));
    }
    index->entries[index->count++] = (struct entry){start_of(hash), {building->system_id, sequence}};
    return true;
}

/* The first thing counts, and a missing key only when there is nothing else: looking again cannot help there. */
static void note_missed(struct building *building, enum hf_code code, const char *format, ...)
{
    struct hf_error *missed = &building->index->missed;
    if (missed->code != HF_OK && (missed->code != HF_KEY_MISSING || code == HF_KEY_MISSING))
        return;
    va_list arguments;
    va_start(arguments, format);
    missed->code = code;
    vsnprintf(missed->text, sizeof(missed->text), format, arguments);
    va_end(arguments);
}

static size_t first_behind(const struct hf_copy_index *index, const struct entry *last)
{
    size_t low = 0, high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&index->entries[middle], last) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
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

/* It is read only from now on. */
static void shrink(struct hf_copy_index *index)
{
    if (!index->count) {
        free(index->entries);
        index->entries = NULL;
    } else if (index->count < index->capacity) {
        index->entries = hf_realloc(index->entries, index->count * sizeof(index->entries[0]));
    }
    index->capacity = index->count;
}
