/* Agreement with the primary: a state that is still its component's present one has a row that says the same. What does
 * not is written again from the snapshot. */
#include "engine/validation_private.h"

#include "engine/heal.h"
#include "engine/row_of.h"
#include "engine/tracking.h"
#include "store/states.h"

#include <string.h>

#define PAGE_COUNT 1000
#define GAP_MAX    64 /* rows of other versions that one reading runs over rather than asking anew */

struct compared {
    const struct hf_manifest_entry *entry;
    bool seen;
    int64_t epoch;      /* as the row says it */
    const char *damage; /* NULL: the row says the same */
};

struct comparison {
    struct hf_validating *validating;
    struct hf_session *session;
    struct compared *items; /* owns; by sequence */
    int64_t count;
    int64_t next; /* while a range is read */
};

static void mend_heads(struct comparison *comparison, const struct hf_chain *chain, struct hf_tally *tally);
static bool is_head_doubtful(struct hf_validating *validating, const struct hf_manifest_entry *entry);
static void gather(struct comparison *comparison, const struct hf_chain *chain);
static int compare_sequences(const void *a, const void *b);
static bool compare_all(struct comparison *comparison, struct hf_error *err);
static bool compare_range(struct comparison *comparison, int64_t first, int64_t last, struct hf_error *err);
static hf_state_row_fn compare_row;
static bool compare_content(struct comparison *comparison, struct compared *item, struct hf_error *err);
static const char *difference(struct hf_arena *arena, const struct hf_manifest_entry *entry,
                              const struct hf_state_row *row);
static bool heal(struct comparison *comparison, const struct compared *item, struct hf_tally *tally);
static void find_older(struct hf_validating *validating, const struct hf_chain *chain, struct hf_tally *tally);

void hf_check_database(struct hf_validating *validating, const struct hf_chain *chain)
{
    struct comparison comparison = {.validating = validating};
    struct hf_error err;
    struct hf_tally heads = {0};
    mend_heads(&comparison, chain, &heads);
    gather(&comparison, chain);
    bool ok = hf_sessions_take(validating->engine->sessions, &comparison.session, &err);
    if (ok) {
        ok = compare_all(&comparison, &err);
        hf_sessions_give(validating->engine->sessions, comparison.session);
    }
    struct hf_tally tally = {.asked = comparison.count};
    int64_t healed = 0;
    for (int64_t i = 0; ok && i < comparison.count; i++)
        healed += comparison.items[i].damage && heal(&comparison, &comparison.items[i], &tally);
    free(comparison.items);
    struct hf_tally older = {0};
    find_older(validating, chain, &older);
    if (healed) /* a head that went with its row is right when both are what the snapshot says */
        mend_heads(&comparison, chain, &heads);
    healed += heads.asked - heads.failed;
    tally.asked += heads.asked;
    if (heads.failed)
        hf_tally_fail(&tally, "%s", heads.first);
    if (!ok)
        hf_check_set(validating, HF_CHECK_DATABASE, "skipped", 1, "the database cannot be asked now: %s", err.text);
    else if (tally.failed)
        hf_check_set(validating, HF_CHECK_DATABASE, "warning", 1 - (double)tally.failed / (double)tally.asked,
                     "%lld of %lld present states could not be written again, first: %s", (long long)tally.failed,
                     (long long)tally.asked, tally.first);
    else if (older.failed)
        hf_check_set(validating, HF_CHECK_DATABASE, "warning", 1 - (double)older.failed / (double)older.asked,
                     "%lld of %lld states that were present at the cut are held as of an older version or not at all, "
                     "first: %s",
                     (long long)older.failed, (long long)older.asked, older.first);
    else if (healed)
        hf_check_set(validating, HF_CHECK_DATABASE, "healed", 1,
                     "%lld of %lld present states were damaged in the database and are whole again", (long long)healed,
                     (long long)tally.asked);
    else
        hf_check_set(validating, HF_CHECK_DATABASE, "passed", 1, "%lld present states are %s in the database",
                     (long long)tally.asked, validating->deep ? "the same" : "listed the same");
}

/* Counts those that were wrong. An imported snapshot tells of another system, or of another time. */
static void mend_heads(struct comparison *comparison, const struct hf_chain *chain, struct hf_tally *tally)
{
    struct hf_validating *validating = comparison->validating;
    if (strcmp(validating->row.trigger, "import") == 0)
        return;
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        bool mended = false;
        struct hf_error err;
        if (!hf_manifest_entry_is_present(entry) || !is_head_doubtful(validating, entry))
            continue;
        bool ok = hf_tracking_check_entry(validating->engine, validating->shelf->name, chain, entry, &mended, &err);
        tally->asked += mended || !ok;
        if (!ok)
            hf_tally_fail(tally, "%s: %s", entry->component, err.text);
    }
}

/* A later tombstone explains a state that is gone; whether it is there, the rows tell. */
static bool is_head_doubtful(struct hf_validating *validating, const struct hf_manifest_entry *entry)
{
    struct hf_head head;
    if (!hf_catalog_read_head(validating->engine->catalog, validating->shelf->name, entry->component, &head, NULL,
                              NULL))
        return true;
    if (head.sequence != entry->sequence)
        return head.deleted || head.sequence < entry->sequence;
    return head.deleted || head.version != entry->version || head.bytes != entry->bytes ||
           !hf_hash_equal(&head.hash, &entry->hash);
}

static void gather(struct comparison *comparison, const struct hf_chain *chain)
{
    const struct hf_validating *validating = comparison->validating;
    comparison->items = hf_alloc((size_t)(hf_chain_count(chain) + 1) * sizeof(comparison->items[0]));
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        struct hf_head head;
        if (hf_manifest_entry_is_present(entry) &&
            hf_catalog_read_head(validating->engine->catalog, validating->shelf->name, entry->component, &head, NULL,
                                 NULL) &&
            head.sequence == entry->sequence)
            comparison->items[comparison->count++].entry = entry;
    }
    qsort(comparison->items, (size_t)comparison->count, sizeof(comparison->items[0]), compare_sequences);
}

static int compare_sequences(const void *a, const void *b)
{
    int64_t left = ((const struct compared *)a)->entry->sequence, right = ((const struct compared *)b)->entry->sequence;
    return (left > right) - (left < right);
}

/* Metadata goes by ranges, as far as the states lie close together; contents one by one. */
static bool compare_all(struct comparison *comparison, struct hf_error *err)
{
    for (int64_t first = 0, last; first < comparison->count; first = last + 1) {
        last = first;
        if (comparison->validating->deep) {
            if (!compare_content(comparison, &comparison->items[first], err))
                return false;
            continue;
        }
        while (last + 1 < comparison->count &&
               comparison->items[last + 1].entry->sequence - comparison->items[last].entry->sequence <= GAP_MAX)
            last++;
        if (!compare_range(comparison, first, last, err))
            return false;
    }
    return true;
}

static bool compare_range(struct comparison *comparison, int64_t first, int64_t last, struct hf_error *err)
{
    struct compared *items = comparison->items;
    comparison->next = first;
    if (hf_states_tail(comparison->session, comparison->validating->shelf->system_id, items[first].entry->sequence - 1,
                       items[last].entry->sequence, compare_row, comparison, err)) {
        for (int64_t i = first; i <= last; i++) {
            if (!items[i].seen)
                items[i].damage = "its row is missing";
        }
        return true;
    }
    if (err->code != HF_DAMAGED)
        return false;
    /* Part of the database cannot be read: which rows, the readings one by one tell. */
    for (int64_t i = first; i <= last; i++) {
        if (!items[i].seen && !compare_content(comparison, &items[i], err))
            return false;
    }
    return true;
}

static bool compare_row(void *context, const struct hf_state_row *row)
{
    struct comparison *comparison = context;
    while (comparison->next < comparison->count && comparison->items[comparison->next].entry->sequence < row->sequence)
        comparison->next++;
    struct compared *item = &comparison->items[comparison->next];
    if (comparison->next == comparison->count || item->entry->sequence != row->sequence)
        return true;
    item->seen = true;
    item->epoch = row->epoch;
    item->damage = difference(comparison->validating->arena, item->entry, row);
    return true;
}

static bool compare_content(struct comparison *comparison, struct compared *item, struct hf_error *err)
{
    struct hf_validating *validating = comparison->validating;
    struct hf_state_row row;
    struct hf_state_text text;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    if (hf_states_get(comparison->session, validating->shelf->system_id, item->entry->sequence, &row, &text, &blob,
                      err)) {
        item->seen = true;
        item->epoch = row.epoch;
        item->damage = difference(validating->arena, item->entry, &row);
    } else if (err->code == HF_DAMAGED || err->code == HF_NOT_FOUND) {
        item->damage = err->code == HF_NOT_FOUND ? "its row is missing" : hf_arena_strdup(validating->arena, err->text);
    } else {
        return false;
    }
    return hf_pacer_wait(validating->pacer, validating->shelf, item->entry->bytes)
               ? true
               : hf_error_set(err, HF_SHUTTING_DOWN, "the service is stopping");
}

static const char *difference(struct hf_arena *arena, const struct hf_manifest_entry *entry,
                              const struct hf_state_row *row)
{
    if (row->deleted || row->version != entry->version)
        return hf_arena_format(arena, "its row says version %lld%s and was written as version %lld",
                               (long long)row->version, row->deleted ? ", deleted," : "", (long long)entry->version);
    if (row->bytes != entry->bytes)
        return hf_arena_format(arena, "its row says %lld bytes and was written with %lld", (long long)row->bytes,
                               (long long)entry->bytes);
    return hf_hash_equal(&row->hash, &entry->hash) ? NULL : "its row says another hash than was written";
}

/* False also when it is no damage: the component moved on since, and its old row was trimmed. */
static bool heal(struct comparison *comparison, const struct compared *item, struct hf_tally *tally)
{
    struct hf_validating *validating = comparison->validating;
    const struct hf_manifest_entry *entry = item->entry;
    struct hf_component_info info;
    if (!hf_catalog_read_component(validating->engine->catalog, validating->shelf->name, entry->component,
                                   validating->arena, &info) ||
        info.head.sequence != entry->sequence)
        return false;
    const struct hf_head head = hf_head_of_entry(entry);
    struct hf_state_row expected = hf_state_row_of(&head);
    expected.system_id = validating->shelf->system_id;
    expected.component_id = info.component_id;
    expected.epoch = item->seen ? item->epoch : validating->row.epoch;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    struct hf_error err;
    if (hf_heal_state(validating->engine, validating->shelf->name, entry->component, &expected, item->damage,
                      HF_HEAL_THOROUGH, &blob, &err))
        return true;
    hf_tally_fail(tally, "%s: %s", entry->component, err.text);
    return false;
}

/* The other way round: what the database has had since before the cut must be in the snapshot. It is not where it could
 * not be read then (snapshot_lost.c). Across a restore or a rebuild, sequences say nothing. */
static void find_older(struct hf_validating *validating, const struct hf_chain *chain, struct hf_tally *tally)
{
    const struct hf_manifest_header *header = hf_chain_header(chain);
    struct hf_catalog *catalog = validating->engine->catalog;
    struct hf_system_info system;
    if (strcmp(header->trigger, "import") == 0 || strcmp(validating->row.trigger, "import") == 0 ||
        !hf_catalog_read_system(catalog, validating->shelf->name, &system) || system.epoch != header->epoch)
        return;
    char after[HF_NAME_MAX + 4] = "";
    for (int count = PAGE_COUNT; count == PAGE_COUNT;) {
        HF_AUTO(arena) struct hf_arena arena;
        hf_arena_init(&arena);
        bool known;
        const struct hf_component_info *list =
            hf_catalog_list_components(catalog, validating->shelf->name, after, PAGE_COUNT, &arena, &count, &known);
        for (int i = 0; i < count; i++) {
            const struct hf_head *head = &list[i].head;
            if (!hf_head_is_present(head) || head->sequence > header->sequence)
                continue;
            const struct hf_manifest_entry *entry = hf_chain_find(chain, list[i].name);
            tally->asked++;
            if (!entry || entry->sequence < head->sequence)
                hf_tally_fail(tally, "%s is at version %lld and held at %lld", list[i].name, (long long)head->version,
                              (long long)(entry ? entry->version : 0));
        }
        if (count)
            snprintf(after, sizeof(after), "%s", list[count - 1].name);
    }
}
