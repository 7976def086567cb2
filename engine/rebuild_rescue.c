#include "engine/rebuild_rescue.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "engine/load.h"
#include "engine/row_of.h"
#include "store/salvage.h"

#include <string.h>
#include <unistd.h>

#define LISTED_BYTES_MAX  ((size_t)16 << 20)
#define CLOCK_SLACK_MS    (INT64_C(24) * 3600 * 1000) /* a commit time further ahead is damage */
#define COMPONENT_IDS_MAX (INT64_C(1) << 31)

struct hf_rescue {
    struct hf_salvage *salvage;
    struct hf_arena arena;
    struct hf_system_row *systems; /* owns */
    int64_t system_count, system_capacity;
};

/* A component as the rescued file and the snapshot know it. */
struct rescued_component {
    const char *name;                      /* NULL: not known */
    struct hf_component_row tracked;       /* version -1: its row cannot be read */
    const struct hf_manifest_entry *entry; /* NULL: the snapshot does not have it */
    int64_t new_id;                        /* 0: not in the rebuilt system yet */
};

struct laying {
    struct hf_rescue *rescue;
    struct hf_session *session;
    const struct hf_system_row *old, *system;
    const struct hf_chain *chain;
    const struct hf_salvage_row *rows; /* of the system, by sequence */
    int64_t row_count;
    int64_t base, base_epoch; /* the snapshot's */
    int64_t sequence_max;
    struct rescued_component *components; /* by old id; owns */
    int64_t id_max;
    int64_t last_id; /* given out in the rebuilt system */
    struct hf_arena arena;
    struct hf_rescued *out;
};

static hf_system_row_fn add_system;
static void find_rows(struct laying *laying);
static bool gather_components(struct laying *laying, struct hf_error *err);
static hf_component_row_fn add_component;
static void name_by_snapshot(struct laying *laying);
static void drop_repeated(struct laying *laying);
static bool lay_components(struct laying *laying, struct hf_error *err);
static bool lay_component(struct laying *laying, int64_t id, const struct hf_salvage_row **rows, int64_t count,
                          struct hf_error *err);
static bool is_plausible(const struct laying *laying, const struct rescued_component *component,
                         const struct hf_salvage_row *row);
static bool is_linked(const struct laying *laying, const struct rescued_component *component,
                      const struct hf_salvage_row *row);
static bool is_proven(const struct laying *laying, const struct rescued_component *component,
                      const struct hf_salvage_row *row, const struct hf_state_row *state);
static bool write_component(struct laying *laying, struct rescued_component *component, struct hf_state_row *state,
                            struct hf_error *err);
static void list(struct hf_buf *out, const char *name, int64_t id, int64_t version);
static void count_unread(struct laying *laying);

bool hf_rescue_open(struct hf_rescue **out, const char *path, struct hf_error *err)
{
    *out = NULL;
    if (access(path, F_OK) != 0)
        return true;
    struct hf_rescue *rescue = hf_alloc(sizeof(*rescue));
    hf_arena_init(&rescue->arena);
    bool ok =
        hf_salvage_open(&rescue->salvage, path, err) && hf_salvage_systems(rescue->salvage, add_system, rescue, err);
    if (ok && rescue->system_count) {
        *out = rescue;
        return true;
    }
    hf_rescue_close(rescue);
    if (!ok && err->code != HF_DAMAGED)
        return hf_error_wrap(err,
                             "the damaged database %s cannot be read (move it away to start without what it holds)",
                             path);
    hf_log(HF_LOG_WARNING, "rescue_impossible", "nothing can be taken out of the damaged database",
           HF_LOG_TEXT("file", path), HF_LOG_TEXT("reason", ok ? "no system in it can be read" : err->text));
    return true;
}

void hf_rescue_close(struct hf_rescue *rescue)
{
    if (!rescue)
        return;
    hf_salvage_close(rescue->salvage);
    hf_arena_done(&rescue->arena);
    free(rescue->systems);
    free(rescue);
}

static bool add_system(void *context, const struct hf_system_row *row)
{
    struct hf_rescue *rescue = context;
    if (!hf_name_is_valid(row->name, strlen(row->name)) || hf_rescue_find(rescue, row->name))
        return true;
    if (rescue->system_count == rescue->system_capacity) {
        rescue->system_capacity = rescue->system_capacity ? rescue->system_capacity * 2 : 16;
        rescue->systems = hf_realloc(rescue->systems, (size_t)rescue->system_capacity * sizeof(rescue->systems[0]));
    }
    struct hf_system_row *kept = &rescue->systems[rescue->system_count++];
    *kept = *row;
    kept->name = hf_arena_strdup(&rescue->arena, row->name);
    kept->description = hf_arena_strdup(&rescue->arena, row->description);
    return true;
}

const struct hf_system_row *hf_rescue_systems(const struct hf_rescue *rescue, int64_t *count_out)
{
    *count_out = rescue->system_count;
    return rescue->systems;
}

const struct hf_system_row *hf_rescue_find(const struct hf_rescue *rescue, const char *name)
{
    for (int64_t i = 0; i < rescue->system_count; i++) {
        if (strcmp(rescue->systems[i].name, name) == 0)
            return &rescue->systems[i];
    }
    return NULL;
}

/* Where the system's row is there it says how far it had come: a row above is damage, not news. */
void hf_rescue_bounds(const struct hf_rescue *rescue, const struct hf_system_row *old, int64_t *sequence_out,
                      int64_t *epoch_out)
{
    int64_t count, sequence = old->sequence, epoch = old->epoch;
    const struct hf_salvage_row *rows = hf_salvage_rows(rescue->salvage, &count);
    for (int64_t i = 0; old->sequence < 0 && i < count; i++) {
        if (rows[i].system_id == old->id && rows[i].sequence > sequence)
            sequence = rows[i].sequence;
        if (rows[i].system_id == old->id && rows[i].epoch > epoch)
            epoch = rows[i].epoch;
    }
    *sequence_out = sequence < 0 ? 0 : sequence;
    *epoch_out = epoch;
}

void hf_rescued_init(struct hf_rescued *rescued)
{
    *rescued = (struct hf_rescued){.examined = false};
    hf_buf_init(&rescued->taken, LISTED_BYTES_MAX);
    hf_buf_init(&rescued->lost, LISTED_BYTES_MAX);
}

void hf_rescued_done(struct hf_rescued *rescued)
{
    hf_buf_done(&rescued->taken);
    hf_buf_done(&rescued->lost);
}

bool hf_rescue_lay(struct hf_rescue *rescue, const struct hf_system_row *old, struct hf_session *session,
                   const struct hf_system_row *system, const struct hf_chain *chain, struct hf_rescued *out,
                   struct hf_error *err)
{
    struct laying laying = {.rescue = rescue, .session = session, .old = old, .system = system, .chain = chain};
    int64_t epoch;
    hf_rescue_bounds(rescue, old, &laying.sequence_max, &epoch);
    hf_arena_init(&laying.arena);
    laying.out = out;
    laying.base = chain ? hf_chain_header(chain)->sequence : 0;
    laying.base_epoch = chain ? hf_chain_header(chain)->epoch : 0;
    laying.last_id = chain ? hf_chain_count(chain) : 0;
    hf_rescued_done(out);
    hf_rescued_init(out);
    out->examined = true;
    find_rows(&laying);
    bool ok = gather_components(&laying, err) && lay_components(&laying, err);
    if (ok) {
        count_unread(&laying);
        out->whole = old->sequence >= 0 && !out->lost_count && !out->unread;
    }
    free(laying.components);
    hf_arena_done(&laying.arena);
    return ok;
}

static void find_rows(struct laying *laying)
{
    int64_t count, first = 0;
    const struct hf_salvage_row *rows = hf_salvage_rows(laying->rescue->salvage, &count);
    while (first < count && rows[first].system_id < laying->old->id)
        first++;
    laying->rows = rows + first;
    while (first + laying->row_count < count && laying->rows[laying->row_count].system_id == laying->old->id)
        laying->row_count++;
    for (int64_t i = 0; i < laying->row_count; i++) {
        if (laying->rows[i].component_id > laying->id_max && laying->rows[i].component_id < COMPONENT_IDS_MAX)
            laying->id_max = laying->rows[i].component_id;
    }
    /* A damaged id must not size the memory; components that were registered and never had a state come on top. */
    int64_t plausible = laying->row_count + laying->last_id + 65536;
    laying->id_max = laying->id_max > plausible ? plausible : laying->id_max;
    laying->id_max = laying->id_max < 65536 ? 65536 : laying->id_max;
}

static bool gather_components(struct laying *laying, struct hf_error *err)
{
    laying->components = hf_alloc(((size_t)laying->id_max + 1) * sizeof(laying->components[0]));
    for (int64_t i = 0; i <= laying->id_max; i++)
        laying->components[i].tracked.version = -1;
    if (!hf_salvage_components(laying->rescue->salvage, laying->old->id, laying->id_max, add_component, laying, err))
        return false;
    name_by_snapshot(laying);
    drop_repeated(laying);
    for (int64_t id = 1; laying->chain && id <= laying->id_max; id++) {
        struct rescued_component *component = &laying->components[id];
        int64_t index = component->name ? hf_chain_index_of(laying->chain, component->name) : -1;
        if (index < 0)
            continue;
        component->entry = hf_chain_entry(laying->chain, index);
        component->new_id = index + 1;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    const struct rescued_component *left = *(struct rescued_component *const *)a;
    const struct rescued_component *right = *(struct rescued_component *const *)b;
    int order = strcmp(left->name, right->name);
    return order ? order : left < right ? -1 : left > right;
}

/* A name that damage gives to two is nobody's. */
static void drop_repeated(struct laying *laying)
{
    HF_AUTO(free)
    struct rescued_component **named = hf_alloc(((size_t)laying->id_max + 1) * sizeof(named[0]));
    int64_t count = 0;
    for (int64_t id = 1; id <= laying->id_max; id++) {
        if (laying->components[id].name)
            named[count++] = &laying->components[id];
    }
    qsort(named, (size_t)count, sizeof(named[0]), compare_names);
    for (int64_t first = 0, next; first < count; first = next) {
        for (next = first + 1; next < count && strcmp(named[first]->name, named[next]->name) == 0;)
            next++;
        for (int64_t i = first; next - first > 1 && i < next; i++)
            *named[i] = (struct rescued_component){.tracked = {.version = -1}};
    }
}

static bool add_component(void *context, const struct hf_component_row *row)
{
    struct laying *laying = context;
    if (row->component_id > laying->id_max || !hf_name_is_valid(row->name, strlen(row->name)))
        return true;
    struct rescued_component *component = &laying->components[row->component_id];
    component->tracked = *row;
    component->name = component->tracked.name = hf_arena_strdup(&laying->arena, row->name);
    component->tracked.kind = hf_arena_strdup(&laying->arena, row->kind);
    component->tracked.depends_on = hf_arena_strdup(&laying->arena, row->depends_on);
    component->tracked.required_pointers = hf_arena_strdup(&laying->arena, row->required_pointers);
    return true;
}

static int compare_rows(const void *a, const void *b)
{
    int64_t left = ((const struct hf_salvage_row *)a)->sequence, right = ((const struct hf_salvage_row *)b)->sequence;
    return (left > right) - (left < right);
}

static const struct hf_salvage_row *row_at(const struct laying *laying, int64_t sequence)
{
    const struct hf_salvage_row key = {.sequence = sequence};
    if (!laying->row_count)
        return NULL;
    return bsearch(&key, laying->rows, (size_t)laying->row_count, sizeof(key), compare_rows);
}

/* A sequence is given out once: whose entry of the snapshot has it is whose row it is. */
static void name_by_snapshot(struct laying *laying)
{
    for (int64_t i = 0; laying->chain && i < hf_chain_count(laying->chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(laying->chain, i);
        const struct hf_salvage_row *row = entry->version ? row_at(laying, entry->sequence) : NULL;
        if (!row || row->version != entry->version || row->component_id > laying->id_max)
            continue;
        struct rescued_component *component = &laying->components[row->component_id];
        if (!component->name)
            component->name = entry->component;
    }
}

static int compare_newest_first(const void *a, const void *b)
{
    const struct hf_salvage_row *left = *(const struct hf_salvage_row *const *)a;
    const struct hf_salvage_row *right = *(const struct hf_salvage_row *const *)b;
    if (left->component_id != right->component_id)
        return left->component_id < right->component_id ? -1 : 1;
    return left->sequence > right->sequence ? -1 : left->sequence < right->sequence;
}

static bool lay_components(struct laying *laying, struct hf_error *err)
{
    HF_AUTO(free)
    const struct hf_salvage_row **news = hf_alloc(((size_t)laying->row_count + 1) * sizeof(news[0]));
    int64_t count = 0;
    for (int64_t i = 0; i < laying->row_count; i++) {
        const struct hf_salvage_row *row = &laying->rows[i];
        if (row->sequence > laying->base && row->sequence <= laying->sequence_max && row->epoch >= laying->base_epoch &&
            row->component_id > 0 && row->component_id <= laying->id_max)
            news[count++] = row;
    }
    qsort(news, (size_t)count, sizeof(news[0]), compare_newest_first);
    int64_t next = 0;
    for (int64_t id = 1; id <= laying->id_max; id++) {
        int64_t first = next;
        while (next < count && news[next]->component_id == id)
            next++;
        if ((next > first || laying->components[id].tracked.version >= 0) &&
            !lay_component(laying, id, news + first, next - first, err))
            return false;
    }
    return true;
}

static void note_lost(struct laying *laying, const char *name, int64_t id, int64_t version)
{
    struct hf_rescued *out = laying->out;
    size_t used = strlen(out->first_lost);
    if (name)
        snprintf(out->first_lost + used, sizeof(out->first_lost) - used, "%s%s", used ? ", " : "", name);
    list(&out->lost, name, id, version);
    out->lost_count++;
}

/* Rows newest first. */
static bool lay_component(struct laying *laying, int64_t id, const struct hf_salvage_row **rows, int64_t count,
                          struct hf_error *err)
{
    struct rescued_component *component = &laying->components[id];
    const struct hf_component_row *tracked = &component->tracked;
    int64_t version = component->entry ? component->entry->version : 0, newest = version;
    int64_t sequence = component->entry ? component->entry->sequence : 0;
    bool taken = false;
    for (int64_t i = 0; i < count && !taken; i++) {
        struct hf_state_row state;
        struct hf_state_text text;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        newest = rows[i]->version > newest ? rows[i]->version : newest;
        if (!component->name || !is_plausible(laying, component, rows[i]))
            continue;
        taken = hf_salvage_read(laying->rescue->salvage, rows[i], &state, &text, &blob, err);
        if (!taken && err->code != HF_DAMAGED)
            return false;
        taken = taken && is_proven(laying, component, rows[i], &state);
        if (taken && !write_component(laying, component, &state, err))
            return false;
        version = taken ? state.version : version;
        sequence = taken ? state.sequence : sequence;
    }
    if (taken) {
        list(&laying->out->taken, component->name, id, version);
        laying->out->taken_count++;
    }
    if (tracked->sequence > sequence && tracked->sequence <= laying->sequence_max && tracked->version > newest)
        newest = tracked->version;
    if (newest > version)
        note_lost(laying, component->name, id, newest);
    else if (!taken && tracked->version == 0 && tracked->registered_at_ms && !component->entry)
        return write_component(laying, component, NULL, err);
    return true;
}

static bool is_linked(const struct laying *laying, const struct rescued_component *component,
                      const struct hf_salvage_row *row)
{
    const struct hf_manifest_entry *entry = component->entry;
    if (entry && entry->version && row->previous_sequence == entry->sequence)
        return row->version == entry->version + 1;
    const struct hf_salvage_row *previous = row->previous_sequence ? row_at(laying, row->previous_sequence) : NULL;
    return previous && previous->component_id == row->component_id && previous->version + 1 == row->version;
}

/* A content proves itself by its hash; whose it is, and which version, must not contradict what came before it. */
static bool is_plausible(const struct laying *laying, const struct rescued_component *component,
                         const struct hf_salvage_row *row)
{
    const struct hf_manifest_entry *entry = component->entry;
    const struct hf_salvage_row *end = laying->rows + laying->row_count;
    if ((row > laying->rows && row[-1].sequence == row->sequence) ||
        (row + 1 < end && row[1].sequence == row->sequence))
        return false; /* a sequence is given out once */
    if (row->previous_sequence >= row->sequence || (entry && row->version <= entry->version))
        return false;
    if (is_linked(laying, component, row))
        return true;
    if (entry && entry->version && row->previous_sequence <= laying->base)
        return false; /* the snapshot would have it */
    return !row->previous_sequence || !row_at(laying, row->previous_sequence);
}

/* With nothing before it to fit, the component's own row must not speak against it; a tombstone has no hash, so there
 * it must speak for it. */
static bool is_proven(const struct laying *laying, const struct rescued_component *component,
                      const struct hf_salvage_row *row, const struct hf_state_row *state)
{
    const struct hf_component_row *tracked = &component->tracked;
    if (state->committed_at_ms > hf_clock_now_ms() + CLOCK_SLACK_MS)
        return false;
    if (is_linked(laying, component, row))
        return true;
    if (tracked->version < 0)
        return !state->deleted;
    if (tracked->sequence == state->sequence)
        return tracked->version == state->version && tracked->deleted == state->deleted &&
               hf_hash_equal(&tracked->hash, &state->hash);
    return !state->deleted && (tracked->sequence > state->sequence) == (tracked->version > state->version);
}

static struct hf_component_row component_row(const struct laying *laying, const struct rescued_component *component,
                                             const struct hf_state_row *state)
{
    const struct hf_component_row *tracked = &component->tracked;
    const struct hf_head head = state ? hf_head_of_row(state) : (struct hf_head){.content_type = ""};
    struct hf_component_row row = hf_component_row_of(NULL, &head);
    row.system_id = laying->system->id;
    row.component_id = component->new_id;
    row.name = component->name;
    struct hf_error ignored;
    struct hf_arena arena;
    hf_arena_init(&arena);
    const char *const *names;
    int count;
    if (tracked->version >= 0 && tracked->registered_at_ms && strlen(tracked->kind) < 256 &&
        hf_names_parse(tracked->depends_on, &arena, &names, &count, &ignored) &&
        hf_names_parse(tracked->required_pointers, &arena, &names, &count, &ignored)) {
        row.kind = tracked->kind;
        row.depends_on = tracked->depends_on;
        row.required_pointers = tracked->required_pointers;
        row.heartbeat_interval_ms = tracked->heartbeat_interval_ms;
        row.registered_at_ms = tracked->registered_at_ms;
    }
    hf_arena_done(&arena);
    row.created_at_ms = tracked->version >= 0 ? tracked->created_at_ms : state ? state->committed_at_ms : 0;
    row.last_activity_at_ms = head.committed_at_ms;
    return row;
}

/* The row of the snapshot stays: history says of what lies between only that it is not kept. */
static bool write_component(struct laying *laying, struct rescued_component *component, struct hf_state_row *state,
                            struct hf_error *err)
{
    bool known = component->new_id != 0;
    if (!known)
        component->new_id = ++laying->last_id;
    const struct hf_component_row row = component_row(laying, component, state);
    if (!(known ? hf_components_fold(laying->session, &row, 1, err)
                : hf_components_insert(laying->session, &row, 1, err)))
        return false;
    if (!state)
        return true;
    state->system_id = laying->system->id;
    state->component_id = component->new_id;
    return hf_states_insert(laying->session, state, 1, err);
}

static void list(struct hf_buf *out, const char *name, int64_t id, int64_t version)
{
    size_t before = out->bytes;
    bool ok = (!before || hf_buf_add_char(out, ',')) && hf_buf_add_text(out, "{\"component\":");
    if (name)
        ok = ok && hf_buf_add_json_string(out, name, strlen(name));
    else
        ok = ok && hf_buf_add_format(out, "\"(number %lld, its name cannot be read)\"", (long long)id);
    ok = ok && hf_buf_add_format(out, ",\"version\":%lld}", (long long)version);
    if (!ok && out->bytes > before) { /* the count says how many there are */
        out->bytes = before;
        out->data[before] = '\0';
    }
}

static int compare_sequences(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

/* Sequences above the snapshot whose rows are not there, but for those that a later row replaces. */
static void count_unread(struct laying *laying)
{
    int64_t known = 0;
    HF_AUTO(free) int64_t *sequences = hf_alloc(((size_t)laying->row_count * 2 + 1) * sizeof(sequences[0]));
    for (int64_t i = 0; i < laying->row_count; i++) {
        sequences[known++] = laying->rows[i].sequence;
        sequences[known++] = laying->rows[i].previous_sequence;
    }
    qsort(sequences, (size_t)known, sizeof(sequences[0]), compare_sequences);
    int64_t there = 0;
    for (int64_t i = 0; i < known; i++) {
        bool again = i && sequences[i] == sequences[i - 1];
        there += !again && sequences[i] > laying->base && sequences[i] <= laying->sequence_max;
    }
    int64_t all = laying->sequence_max > laying->base ? laying->sequence_max - laying->base : 0;
    laying->out->unread = all - there;
}
