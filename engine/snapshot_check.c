/* Validation: a snapshot is read back as a restore would read it. Only proven corruption is a verdict; a failed read is
 * not. */
#include "engine/snapshot_private.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/metrics.h"
#include "engine/completeness.h"
#include "engine/events.h"
#include "store/journal.h"

#include <string.h>

#define CHECKS_MAX 6

struct check_results {
    struct hf_validation_row rows[CHECKS_MAX];
    char details[CHECKS_MAX][480];
    int count;
    const char *state, *verdict;
    double score;
    int64_t system_id;
    const char *id;
};

static bool read_back(struct hf_engine *engine, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                      struct hf_verify_report *report_out, bool *valid_out, struct hf_error *damage,
                      struct hf_error *err);
static bool reload_shelf(struct hf_engine *engine, struct hf_shelf *shelf, bool valid, struct hf_error *err);
static void judge_bytes(struct check_results *results, const struct hf_verify_report *report,
                        const struct hf_error *damage);
static void judge_structure(struct hf_engine *engine, const char *system, struct check_results *results);
static void judge_dependencies(struct hf_chain *chain, struct check_results *results);
static void judge_pointers(struct hf_engine *engine, struct hf_chain *chain, struct check_results *results);
static void judge_component(struct hf_engine *engine, struct hf_chain *chain, const struct check_results *results,
                            const struct hf_manifest_entry *entry, char lack[HF_LACK_BYTES]);
static void add_check(struct check_results *results, const char *name, const char *status, double score,
                      const char *format, ...) HF_PRINTF(5, 6);
static bool store_results(struct hf_session *session, void *context, struct hf_error *err);
static void tell_damage(struct hf_engine *engine, struct hf_shelf *shelf, const char *id,
                        const struct hf_error *damage);

bool hf_snapshot_validate(struct hf_engine *engine, const char *system, const char *id,
                          struct hf_verify_report *report_out, bool *valid_out, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    if (!shelf)
        return false;
    struct hf_snapshot_row row;
    struct hf_error damage = {0};
    pthread_mutex_lock(&shelf->judging);
    bool ok = hf_shelf_check_current(engine, shelf, err) && hf_snapshot_find(engine, system, id, &arena, &row, err) &&
              read_back(engine, shelf, &row, report_out, valid_out, &damage, err) &&
              reload_shelf(engine, shelf, *valid_out, err);
    pthread_mutex_unlock(&shelf->judging);
    if (ok && !*valid_out && strcmp(row.validation_status, "damaged") != 0)
        tell_damage(engine, shelf, row.id, &damage);
    return ok;
}

bool hf_snapshot_mark_damaged(struct hf_engine *engine, const char *system, const char *id, const char *reason,
                              struct hf_error *err)
{
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    if (!shelf)
        return false;
    pthread_mutex_lock(&shelf->judging);
    bool ok = hf_shelf_check_current(engine, shelf, err) &&
              hf_snapshot_set_state(engine, shelf->system_id, id, "damaged", "damaged", 0, err) &&
              reload_shelf(engine, shelf, false, err);
    pthread_mutex_unlock(&shelf->judging);
    if (!ok)
        return false;
    struct hf_error damage;
    hf_error_set(&damage, HF_DAMAGED, "%s", reason);
    tell_damage(engine, shelf, id, &damage);
    return true;
}

/* Reads everything and stores the verdict; damage says what was found. */
static bool read_back(struct hf_engine *engine, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                      struct hf_verify_report *report_out, bool *valid_out, struct hf_error *damage,
                      struct hf_error *err)
{
    struct hf_verify_report report = {0};
    struct check_results results = {.system_id = shelf->system_id, .id = row->id};
    if (!hf_snapshot_lease(engine, shelf->system_id, row->id, err))
        return false;
    bool valid = hf_repository_verify(engine->repository, shelf->name, row->id, NULL, &report, damage);
    bool judged = valid || damage->code == HF_DAMAGED || damage->code == HF_NOT_FOUND;
    if (judged) {
        judge_bytes(&results, &report, valid ? NULL : damage);
        if (valid)
            judge_structure(engine, shelf->name, &results);
    }
    hf_snapshot_release(engine, shelf->system_id, row->id);
    if (!judged) {
        *err = *damage;
        return hf_error_wrap(err, "snapshot %s could not be read to its end (this is no verdict)", row->id);
    }
    results.state = valid ? "complete" : "damaged";
    results.verdict = valid ? "valid" : "damaged";
    struct hf_call call = {.run = store_results, .context = &results};
    if (!hf_committer_call(engine->committer, &call, err))
        return false;
    hf_metric_add_labelled(HF_M_VALIDATIONS, results.verdict, 1);
    *report_out = report;
    *valid_out = valid;
    return true;
}

static bool reload_shelf(struct hf_engine *engine, struct hf_shelf *shelf, bool valid, struct hf_error *err)
{
    pthread_mutex_lock(&shelf->taking);
    if (!valid)
        hf_shelf_forget(shelf); /* the next snapshot builds on nothing that is damaged */
    bool ok = hf_shelf_load(engine, shelf, NULL, err);
    pthread_mutex_unlock(&shelf->taking);
    return ok;
}

static void judge_bytes(struct check_results *results, const struct hf_verify_report *report,
                        const struct hf_error *damage)
{
    const struct {
        const char *name;
        bool ok;
    } checks[] = {{"structure", report->structure_ok},
                  {"chain", report->chain_ok},
                  {"root_hash", report->root_hash_ok},
                  {"blobs", report->blobs_ok}};
    int passed = 0;
    bool told = false;
    for (int i = 0; i < 4; i++) {
        if (checks[i].ok) {
            add_check(results, checks[i].name, "passed", 1, "%s",
                      i == 3 ? "every state has the length and the hash of the manifest" : "");
            passed++;
        } else {
            add_check(results, checks[i].name, "failed", 0, "%s", told || !damage ? "not reached" : damage->text);
            told = true;
        }
    }
    results->score = (double)passed / 4;
}

/* Is what the states say complete? Warnings: the bytes are as they were uploaded. */
static void judge_structure(struct hf_engine *engine, const char *system, struct check_results *results)
{
    struct hf_chain *chain = NULL;
    struct hf_error err;
    if (!hf_chain_load(&chain, engine->repository, system, results->id, &err))
        return;
    judge_dependencies(chain, results);
    judge_pointers(engine, chain, results);
    hf_chain_free(chain);
}

static void judge_dependencies(struct hf_chain *chain, struct check_results *results)
{
    int64_t missing = 0;
    char first[300] = "";
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        if (!hf_manifest_entry_is_present(entry) || strcmp(entry->depends_on, "[]") == 0)
            continue;
        struct hf_error ignored;
        HF_AUTO(json) json_t *names = hf_json_parse(entry->depends_on, strlen(entry->depends_on), &ignored);
        for (size_t n = 0; n < json_array_size(names); n++) {
            const char *name = json_string_value(json_array_get(names, n));
            const struct hf_manifest_entry *other = name ? hf_chain_find(chain, name) : NULL;
            if (other && hf_manifest_entry_is_present(other))
                continue;
            if (missing++ == 0)
                snprintf(first, sizeof(first), "%s depends on %s", entry->component, name ? name : "?");
        }
    }
    if (missing == 0)
        add_check(results, "dependencies", "passed", 1, "every dependency has a state in the snapshot");
    else
        add_check(results, "dependencies", "warning", 0.9, "%lld dependencies have no state, first: %s",
                  (long long)missing, first);
}

static void judge_pointers(struct hf_engine *engine, struct hf_chain *chain, struct check_results *results)
{
    int64_t asked = 0, incomplete = 0;
    char first[460] = "";
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        if (!hf_manifest_entry_is_present(entry) || strcmp(entry->required_pointers, "[]") == 0)
            continue;
        char lack[HF_LACK_BYTES];
        asked++;
        judge_component(engine, chain, results, entry, lack);
        if (lack[0] && incomplete++ == 0)
            snprintf(first, sizeof(first), "%s %s", entry->component, lack);
    }
    if (incomplete == 0)
        add_check(results, "required_pointers", "passed", 1, "%lld components with required parts, all complete",
                  (long long)asked);
    else
        add_check(results, "required_pointers", "warning", 1 - (double)incomplete / (double)asked,
                  "%lld of %lld components lack a required part, first: %s", (long long)incomplete, (long long)asked,
                  first);
}

/* What the component lacks, "" if nothing. The verdict on a present state is made once and remembered. */
static void judge_component(struct hf_engine *engine, struct hf_chain *chain, const struct check_results *results,
                            const struct hf_manifest_entry *entry, char lack[HF_LACK_BYTES])
{
    if (hf_completeness_recall(engine->catalog, results->system_id, entry->component, entry->sequence,
                               entry->required_pointers, lack))
        return;
    struct hf_error ignored;
    HF_AUTO(blob) struct hf_blob *state = NULL;
    lack[0] = '\0';
    if (!hf_chain_read(chain, entry, &state, &ignored)) /* said by the blobs check */
        return;
    hf_completeness_judge(state, entry->required_pointers, lack);
    hf_completeness_record(engine, results->system_id, entry->component, entry->sequence, entry->required_pointers,
                           lack);
}

static void add_check(struct check_results *results, const char *name, const char *status, double score,
                      const char *format, ...)
{
    HF_ASSERT(results->count < CHECKS_MAX);
    char *detail = results->details[results->count];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(results->details[0]), format, arguments);
    va_end(arguments);
    results->rows[results->count++] = (struct hf_validation_row){.system_id = results->system_id,
                                                                 .snapshot = results->id,
                                                                 .check_name = name,
                                                                 .status = status,
                                                                 .detail = detail,
                                                                 .quality_score = score,
                                                                 .checked_at_ms = hf_clock_now_ms()};
    if (strcmp(status, "warning") == 0 && results->score > score)
        results->score = score;
}

static bool store_results(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct check_results *results = context;
    for (int i = 0; i < results->count; i++) {
        if (!hf_validations_insert(session, &results->rows[i], err))
            return false;
    }
    return hf_snapshots_set_state(session, results->system_id, results->id, results->state, results->verdict,
                                  hf_clock_now_ms(), results->score, err);
}

static void tell_damage(struct hf_engine *engine, struct hf_shelf *shelf, const char *id, const struct hf_error *damage)
{
    HF_AUTO(free) char *data = hf_format("{\"snapshot\":\"%s\"}", id);
    hf_event_emit(engine, shelf->system_id, shelf->name, HF_EV_SNAPSHOT_DAMAGED, data,
                  "snapshot %s is damaged and will not be restored: %s; the next snapshot starts a new generation", id,
                  damage->text);
}
