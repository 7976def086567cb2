/* What a sound snapshot is asked beyond its bytes: does the primary say the same, and do the states say what they
 * should? Answers are warnings: the bytes are as they were uploaded. */
#include "engine/validation_private.h"

#include "core/json.h"
#include "engine/completeness.h"

#include <string.h>

#define EARLIER_MAX   16 /* snapshots that a size is compared with */
#define EARLIER_MIN   3
#define SHRUNK_FACTOR 10 /* more than nine tenths gone */

HF_AUTO_DEFINE(chain, struct hf_chain *, hf_chain_free);

/* The snapshot whole, and the one before it. */
struct checking {
    struct hf_validating *validating;
    struct hf_chain *chain;
    int64_t present;
    struct hf_chain *before; /* NULL: none that can be compared with */
    const char *before_id;
};

/* One component that may have shrunk. */
struct shrunk {
    const struct hf_manifest_entry *entry;
    int64_t sizes[EARLIER_MAX];
    int count;
};

static void correct_row(struct hf_validating *validating, const struct hf_manifest_header *header);
static void check_json(struct checking *checking);
static void check_pointers(struct checking *checking);
static void check_versions(struct checking *checking);
static void check_dependencies(struct checking *checking);
static void check_sizes(struct checking *checking);
static void judge_pointers(struct hf_validating *validating, const struct hf_manifest_entry *entry,
                           const struct hf_blob *blob);
static bool was_read(const struct hf_validating *validating, const struct hf_manifest_entry *entry);
static bool is_head(const struct hf_validating *validating, const struct hf_manifest_entry *entry);
static const char *find_before(const struct hf_validating *validating, const struct hf_manifest_header *header);
static bool can_be_compared(const struct hf_snapshot_row *row);
static void compare_versions(const struct checking *checking, const struct hf_manifest_entry *entry,
                             struct hf_tally *tally);
static int list_earlier(const struct hf_validating *validating, const char *ids[EARLIER_MAX]);
static struct shrunk *find_suspects(struct checking *checking, const char *const ids[], int id_count, int *count_out);
static void add_sizes(struct checking *checking, const char *id, struct shrunk *suspects, int count);
static int64_t median(const struct shrunk *shrunk);
static int compare_sizes(const void *a, const void *b);
static struct hf_chain *load_earlier(const struct checking *checking, const char *id);

/* With the table below, one function a check. */
static void (*const checks[])(struct checking *checking) = {check_json, check_pointers, check_versions,
                                                            check_dependencies, check_sizes};

void hf_checks_read_content(void *context, const struct hf_manifest_entry *entry, const struct hf_blob *blob)
{
    struct hf_validating *validating = context;
    if (!entry || !hf_manifest_entry_is_present(entry))
        return;
    if (hf_json_is_media_type(entry->content_type)) {
        struct hf_error bad;
        validating->json.asked++;
        if (!hf_json_check(blob->data, blob->bytes, &bad))
            hf_tally_fail(&validating->json, "%s: %.200s", entry->component, bad.text);
    }
    if (strcmp(entry->required_pointers, "[]") != 0)
        judge_pointers(validating, entry, blob);
}

bool hf_checks_run(struct hf_validating *validating, struct hf_error *err)
{
    HF_AUTO(chain) struct hf_chain *chain = NULL;
    HF_AUTO(chain) struct hf_chain *before = NULL;
    if (!hf_chain_load(&chain, validating->engine->repository, validating->shelf->name, validating->row.id, err))
        return false;
    correct_row(validating, hf_chain_header(chain));
    struct checking checking = {.validating = validating, .chain = chain};
    for (int64_t i = 0; i < hf_chain_count(chain); i++)
        checking.present += hf_manifest_entry_is_present(hf_chain_entry(chain, i));
    checking.before_id = find_before(validating, hf_chain_header(chain));
    if (checking.before_id)
        checking.before = before = load_earlier(&checking, checking.before_id);
    hf_check_database(validating, chain);
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        checks[i](&checking);
    return true;
}

/* A file that was damaged when it was taken in has a row that could not say of when it is. */
static void correct_row(struct hf_validating *validating, const struct hf_manifest_header *header)
{
    const struct hf_snapshot_row *row = &validating->row;
    if (row->cut_at_ms == header->cut_at_ms && row->sequence == header->sequence &&
        strcmp(row->generation, header->generation) == 0)
        return;
    struct hf_snapshot_row told =
        hf_snapshot_row_of_file(row->system_id, header, row->file, row->file_bytes, false, row->reason);
    struct hf_snapshot_row *corrected = hf_arena_alloc(validating->arena, sizeof(*corrected));
    hf_snapshot_row_copy(validating->arena, &told, corrected);
    corrected->pinned = row->pinned;
    if (row->label[0])
        corrected->label = hf_arena_strdup(validating->arena, row->label);
    validating->corrected = corrected;
}

/* ---- what the states say ---- */

static void check_json(struct checking *checking)
{
    struct hf_validating *validating = checking->validating;
    const struct hf_tally *tally = &validating->json;
    if (!tally->failed)
        hf_check_set(validating, HF_CHECK_JSON, "passed", 1, "%lld contents were read as JSON",
                     (long long)tally->asked);
    else
        hf_check_set(validating, HF_CHECK_JSON, "warning", 1 - (double)tally->failed / (double)tally->asked,
                     "%lld of %lld contents are no JSON, first: %s", (long long)tally->failed, (long long)tally->asked,
                     tally->first);
}

/* Contents in other files are read here only where the present state has not been judged yet: the others were judged
 * with the file that holds them. */
static void check_pointers(struct checking *checking)
{
    struct hf_validating *validating = checking->validating;
    struct hf_tally *tally = &validating->pointers;
    for (int64_t i = 0; i < hf_chain_count(checking->chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(checking->chain, i);
        if (!hf_manifest_entry_is_present(entry) || strcmp(entry->required_pointers, "[]") == 0 ||
            was_read(validating, entry) || !is_head(validating, entry))
            continue;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        char lack[HF_LACK_BYTES];
        struct hf_error ignored; /* what cannot be read is the business of that file's own validation */
        if (hf_completeness_recall(validating->engine->catalog, validating->shelf->system_id, entry->component,
                                   entry->sequence, entry->required_pointers, lack) ||
            hf_chain_read(checking->chain, entry, &blob, &ignored))
            judge_pointers(validating, entry, blob);
    }
    if (!tally->failed)
        hf_check_set(validating, HF_CHECK_REQUIRED_POINTERS, "passed", 1,
                     "%lld components with required parts, all complete", (long long)tally->asked);
    else
        hf_check_set(validating, HF_CHECK_REQUIRED_POINTERS, "warning",
                     1 - (double)tally->failed / (double)tally->asked,
                     "%lld of %lld components lack a required part, first: %s", (long long)tally->failed,
                     (long long)tally->asked, tally->first);
}

/* The verdict on a present state is made once and remembered; blob may be NULL where it is. */
static void judge_pointers(struct hf_validating *validating, const struct hf_manifest_entry *entry,
                           const struct hf_blob *blob)
{
    struct hf_engine *engine = validating->engine;
    int64_t system_id = validating->shelf->system_id;
    char lack[HF_LACK_BYTES];
    if (!hf_completeness_recall(engine->catalog, system_id, entry->component, entry->sequence, entry->required_pointers,
                                lack)) {
        if (!blob)
            return;
        hf_completeness_judge(blob, entry->required_pointers, lack);
        hf_completeness_record(engine, system_id, entry->component, entry->sequence, entry->required_pointers, lack);
    }
    validating->pointers.asked++;
    if (lack[0])
        hf_tally_fail(&validating->pointers, "%s %s", entry->component, lack);
}

static bool was_read(const struct hf_validating *validating, const struct hf_manifest_entry *entry)
{
    return validating->deep || !entry->blob_file[0] || strcmp(entry->blob_file, validating->row.id) == 0;
}

static bool is_head(const struct hf_validating *validating, const struct hf_manifest_entry *entry)
{
    struct hf_head head;
    return hf_catalog_read_head(validating->engine->catalog, validating->shelf->name, entry->component, &head, NULL,
                                NULL) &&
           head.sequence == entry->sequence;
}

static void check_dependencies(struct checking *checking)
{
    struct hf_tally tally = {0};
    for (int64_t i = 0; i < hf_chain_count(checking->chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(checking->chain, i);
        if (!hf_manifest_entry_is_present(entry) || strcmp(entry->depends_on, "[]") == 0)
            continue;
        struct hf_error ignored;
        HF_AUTO(json) json_t *names = hf_json_parse(entry->depends_on, strlen(entry->depends_on), &ignored);
        for (size_t n = 0; n < json_array_size(names); n++) {
            const char *name = json_string_value(json_array_get(names, n));
            const struct hf_manifest_entry *other = name ? hf_chain_find(checking->chain, name) : NULL;
            tally.asked++;
            if (!other || !hf_manifest_entry_is_present(other))
                hf_tally_fail(&tally, "%s depends on %s", entry->component, name ? name : "?");
        }
    }
    if (!tally.failed)
        hf_check_set(checking->validating, HF_CHECK_DEPENDENCIES, "passed", 1,
                     "every dependency has a state in the snapshot");
    else
        hf_check_set(checking->validating, HF_CHECK_DEPENDENCIES, "warning",
                     1 - (double)tally.failed / (double)tally.asked, "%lld %s no state, first: %s",
                     (long long)tally.failed, tally.failed == 1 ? "dependency has" : "dependencies have", tally.first);
}

/* ---- against earlier snapshots ---- */

static void check_versions(struct checking *checking)
{
    struct hf_validating *validating = checking->validating;
    struct hf_tally tally = {0};
    for (int64_t i = 0; i < hf_chain_count(checking->chain); i++)
        compare_versions(checking, hf_chain_entry(checking->chain, i), &tally);
    if (tally.failed)
        hf_check_set(validating, HF_CHECK_VERSIONS, "warning", 1 - (double)tally.failed / (double)tally.asked,
                     "%lld of %lld components, first: %s", (long long)tally.failed, (long long)tally.asked,
                     tally.first);
    else if (checking->before)
        hf_check_set(validating, HF_CHECK_VERSIONS, "passed", 1, "no version is smaller than in %s",
                     checking->before_id);
    else
        hf_check_set(validating, HF_CHECK_VERSIONS, "passed", 1,
                     "no version is above the cut; there is no earlier snapshot to compare with");
}

static void compare_versions(const struct checking *checking, const struct hf_manifest_entry *entry,
                             struct hf_tally *tally)
{
    int64_t cut = hf_chain_header(checking->chain)->sequence;
    if (entry->version == 0)
        return;
    tally->asked++;
    if (entry->sequence > cut) {
        hf_tally_fail(tally, "%s has sequence %lld above the cut %lld", entry->component, (long long)entry->sequence,
                      (long long)cut);
        return;
    }
    const struct hf_manifest_entry *earlier =
        checking->before ? hf_chain_find(checking->before, entry->component) : NULL;
    if (!earlier || earlier->version == 0)
        return;
    if (entry->version < earlier->version || entry->sequence < earlier->sequence)
        hf_tally_fail(tally, "%s is at version %lld, sequence %lld, and was at %lld, %lld in %s", entry->component,
                      (long long)entry->version, (long long)entry->sequence, (long long)earlier->version,
                      (long long)earlier->sequence, checking->before_id);
    else if (entry->version == earlier->version && !hf_hash_equal(&entry->hash, &earlier->hash))
        hf_tally_fail(tally, "version %lld of %s has another content than in %s", (long long)entry->version,
                      entry->component, checking->before_id);
}

/* The parent; for an anchor the newest one before it of the same epoch: a restore in between may have gone back. */
static const char *find_before(const struct hf_validating *validating, const struct hf_manifest_header *header)
{
    if (header->parent[0])
        return hf_arena_strdup(validating->arena, header->parent);
    bool passed = false;
    for (int i = 0; i < validating->row_count; i++) {
        const struct hf_snapshot_row *row = &validating->rows[i];
        if (passed && can_be_compared(row) && row->epoch == header->epoch && row->sequence <= header->sequence &&
            can_be_compared(&validating->row))
            return row->id;
        passed |= strcmp(row->id, validating->row.id) == 0;
    }
    return NULL;
}

/* What came from elsewhere has versions and sizes of its own. */
static bool can_be_compared(const struct hf_snapshot_row *row)
{
    return strcmp(row->trigger, "import") != 0 && strcmp(row->state, "failed") != 0;
}

/* Looked at closely are only those that are far smaller than in the newest or the oldest of the earlier snapshots. */
static void check_sizes(struct checking *checking)
{
    struct hf_validating *validating = checking->validating;
    const char *ids[EARLIER_MAX];
    int id_count = list_earlier(validating, ids), count = 0;
    if (id_count < EARLIER_MIN) {
        hf_check_set(validating, HF_CHECK_SIZES, "skipped", 1, "there are fewer than %d earlier snapshots",
                     EARLIER_MIN);
        return;
    }
    HF_AUTO(free) struct shrunk *suspects = find_suspects(checking, ids, id_count, &count);
    for (int i = 0; i < id_count && count; i++)
        add_sizes(checking, ids[i], suspects, count);
    struct hf_tally tally = {.asked = checking->present};
    for (int i = 0; i < count; i++) {
        const struct hf_manifest_entry *entry = suspects[i].entry;
        int64_t usual = suspects[i].count >= EARLIER_MIN ? median(&suspects[i]) : 0;
        if (entry->bytes * SHRUNK_FACTOR < usual)
            hf_tally_fail(&tally, "%s has %lld bytes and usually %lld", entry->component, (long long)entry->bytes,
                          (long long)usual);
    }
    if (tally.failed)
        hf_check_set(validating, HF_CHECK_SIZES, "warning", 1 - (double)tally.failed / (double)tally.asked,
                     "%lld of %lld components shrank by more than 90 %%, first: %s", (long long)tally.failed,
                     (long long)tally.asked, tally.first);
    else
        hf_check_set(validating, HF_CHECK_SIZES, "passed", 1, "no component shrank by more than 90 %%");
}

/* Newest first. */
static int list_earlier(const struct hf_validating *validating, const char *ids[EARLIER_MAX])
{
    int count = 0;
    bool passed = false;
    for (int i = 0; i < validating->row_count && count < EARLIER_MAX; i++) {
        const struct hf_snapshot_row *row = &validating->rows[i];
        if (passed && can_be_compared(row) && strcmp(row->state, "complete") == 0)
            ids[count++] = row->id;
        passed |= strcmp(row->id, validating->row.id) == 0;
    }
    return can_be_compared(&validating->row) ? count : 0;
}

/* Owns, free(). */
static struct shrunk *find_suspects(struct checking *checking, const char *const ids[], int id_count, int *count_out)
{
    HF_AUTO(chain) struct hf_chain *newest = load_earlier(checking, ids[0]);
    HF_AUTO(chain) struct hf_chain *oldest = load_earlier(checking, ids[id_count - 1]);
    const struct hf_chain *const compared[] = {newest, oldest};
    struct shrunk *suspects = NULL;
    int count = 0, capacity = 0;
    for (int64_t i = 0; i < hf_chain_count(checking->chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(checking->chain, i);
        bool suspect = false;
        for (int c = 0; c < 2 && hf_manifest_entry_is_present(entry); c++) {
            const struct hf_manifest_entry *earlier = compared[c] ? hf_chain_find(compared[c], entry->component) : NULL;
            suspect |=
                earlier && hf_manifest_entry_is_present(earlier) && entry->bytes * SHRUNK_FACTOR < earlier->bytes;
        }
        if (!suspect)
            continue;
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            suspects = hf_realloc(suspects, (size_t)capacity * sizeof(*suspects));
        }
        suspects[count++] = (struct shrunk){.entry = entry};
    }
    *count_out = count;
    return suspects;
}

static void add_sizes(struct checking *checking, const char *id, struct shrunk *suspects, int count)
{
    HF_AUTO(chain) struct hf_chain *earlier = load_earlier(checking, id);
    for (int i = 0; earlier && i < count; i++) {
        const struct hf_manifest_entry *entry = hf_chain_find(earlier, suspects[i].entry->component);
        if (entry && hf_manifest_entry_is_present(entry))
            suspects[i].sizes[suspects[i].count++] = entry->bytes;
    }
}

/* Of an even number the smaller of the two in the middle. */
static int64_t median(const struct shrunk *shrunk)
{
    int64_t sorted[EARLIER_MAX];
    memcpy(sorted, shrunk->sizes, sizeof(sorted));
    qsort(sorted, (size_t)shrunk->count, sizeof(sorted[0]), compare_sizes);
    return sorted[(shrunk->count - 1) / 2];
}

static int compare_sizes(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* NULL: it cannot be read, or is gone; then it is not compared with. */
static struct hf_chain *load_earlier(const struct checking *checking, const char *id)
{
    struct hf_chain *chain = NULL;
    struct hf_error ignored;
    const struct hf_validating *validating = checking->validating;
    return hf_chain_load(&chain, validating->engine->repository, validating->shelf->name, id, &ignored) ? chain : NULL;
}
