/* A validation as rows of state_validation_results, one a check; the row of the blobs check also carries the summary of
 * the run and the list of what is lost, as JSON. */
#include "engine/validation_private.h"

#include "core/clock.h"
#include "core/json.h"
#include "store/journal.h"

#include <string.h>

#define RUNS_KEPT 8 /* of one snapshot */

struct recording {
    const struct hf_validating *validating;
    const struct hf_validation *result;
    const char *summary;
};

/* The rows of the newest run. */
struct latest {
    struct hf_arena *arena;
    struct hf_validation_check checks[HF_CHECK_COUNT];
    int count;
    int64_t checked_at_ms;
    bool failed;
    const char *summary; /* NULL: the run is older than summaries */
};

static double score(const struct hf_validating *validating);
static bool check_there(struct hf_session *session, int64_t system_id, const char *id, struct hf_error *err);
static bool write_rows(struct hf_session *session, void *context, struct hf_error *err);
static json_t *make_summary(const struct hf_validation *result);
static hf_validation_row_fn read_row;
static void read_summary(const char *text, struct hf_arena *arena, struct hf_validation *out);
static void read_lost(const json_t *list, struct hf_arena *arena, struct hf_validation *out);

static const double weights[HF_CHECK_COUNT] = {
#define X(id, name, weight) [id] = (weight),
    HF_CHECK_TABLE(X)
#undef X
};

void hf_validation_fill(struct hf_validating *validating, struct hf_validation *out)
{
    struct hf_validation_check *checks = hf_arena_alloc(validating->arena, sizeof(validating->checks));
    memcpy(checks, validating->checks, sizeof(validating->checks));
    struct hf_lost_component *lost =
        hf_arena_alloc(validating->arena, (size_t)validating->lost_count * sizeof(*lost) + 1);
    if (validating->lost_count)
        memcpy(lost, validating->lost, (size_t)validating->lost_count * sizeof(*lost));
    *out = (struct hf_validation){.status = !validating->valid      ? "damaged"
                                            : validating->was_wrong ? "healed"
                                                                    : "valid",
                                  .quality_score = score(validating),
                                  .checks = checks,
                                  .check_count = HF_CHECK_COUNT,
                                  .lost = lost,
                                  .lost_count = validating->lost_count,
                                  .lost_all = validating->lost_all,
                                  .contents_healed = validating->contents_healed,
                                  .blobs_checked = validating->report.blobs,
                                  .bytes_checked = validating->report.bytes,
                                  .checked_at_ms = hf_clock_now_ms()};
}

/* docs/operations.md explains it to the operator: keep both the same. */
static double score(const struct hf_validating *validating)
{
    bool forged = strcmp(validating->checks[HF_CHECK_SIGNATURE].status, "failed") == 0;
    if (validating->lost_all || validating->lost_parent || forged)
        return 0;
    int64_t components = validating->row.components;
    double readable = components > validating->lost_count ? 1 - (double)validating->lost_count / (double)components
                                                          : validating->lost_count == 0;
    double penalty = 0;
    for (int i = 0; i < HF_CHECK_COUNT; i++)
        penalty += weights[i] * (1 - validating->checks[i].score);
    return readable * (1 - penalty);
}

bool hf_validation_record(struct hf_validating *validating, const struct hf_validation *result, struct hf_error *err)
{
    HF_AUTO(json) json_t *object = make_summary(result);
    HF_AUTO(free) char *summary = hf_json_text(object);
    struct recording recording = {validating, result, summary};
    struct hf_call call = {.run = write_rows, .context = &recording};
    return hf_committer_call(validating->engine->committer, &call, err);
}

/* In the transaction: a snapshot that was deleted meanwhile gets no verdict, and its row does not come back. */
static bool check_there(struct hf_session *session, int64_t system_id, const char *id, struct hf_error *err)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_snapshot_row row;
    bool found = false;
    return hf_snapshots_get(session, system_id, id, &arena, &row, &found, err) &&
           (found || hf_error_set(err, HF_NOT_FOUND, "snapshot %s was deleted while it was validated", id));
}

static bool write_rows(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct recording *recording = context;
    const struct hf_validation *result = recording->result;
    int64_t system_id = recording->validating->shelf->system_id;
    const char *id = recording->validating->row.id;
    if (!check_there(session, system_id, id, err))
        return false;
    for (int i = 0; i < result->check_count; i++) {
        const struct hf_validation_row row = {.system_id = system_id,
                                              .snapshot = id,
                                              .check_name = result->checks[i].name,
                                              .status = result->checks[i].status,
                                              .detail = result->checks[i].detail,
                                              .quality_score = result->checks[i].score,
                                              .checked_at_ms = result->checked_at_ms,
                                              .data = i == HF_CHECK_BLOBS ? recording->summary : NULL};
        if (!hf_validations_insert(session, &row, err))
            return false;
    }
    const struct hf_snapshot_row *corrected = recording->validating->corrected;
    if (corrected &&
        (!hf_snapshots_delete(session, system_id, id, err) || !hf_snapshots_insert(session, corrected, err)))
        return false;
    bool damaged = strcmp(result->status, "damaged") == 0;
    return hf_validations_forget(session, system_id, id, RUNS_KEPT, err) &&
           hf_snapshots_set_state(session, system_id, id, damaged ? "damaged" : "complete",
                                  damaged ? "damaged" : "valid", result->checked_at_ms, result->quality_score, err);
}

static json_t *make_summary(const struct hf_validation *result)
{
    json_t *object = json_object(), *lost = json_array();
    for (int64_t i = 0; i < result->lost_count; i++) {
        char hash[HF_HASH_LABEL];
        hf_hash_label(&result->lost[i].hash, hash);
        json_array_append_new(lost, json_pack("{s:s, s:I, s:s, s:I}", "component", result->lost[i].component, "version",
                                              (json_int_t)result->lost[i].version, "hash", hash, "bytes",
                                              (json_int_t)result->lost[i].bytes));
    }
    json_object_set_new(object, "status", json_string(result->status));
    json_object_set_new(object, "qualityScore", json_real(result->quality_score));
    json_object_set_new(object, "contentsHealed", json_integer(result->contents_healed));
    json_object_set_new(object, "blobsChecked", json_integer(result->blobs_checked));
    json_object_set_new(object, "bytesChecked", json_integer(result->bytes_checked));
    json_object_set_new(object, "durationMs", json_integer(result->duration_ms));
    json_object_set_new(object, "lostAll", json_boolean(result->lost_all));
    json_object_set_new(object, "lost", lost);
    return object;
}

bool hf_validation_latest(struct hf_engine *engine, const char *system, const char *id, struct hf_arena *arena,
                          struct hf_validation *out, bool *found_out, struct hf_error *err)
{
    struct hf_system_info info;
    if (!hf_catalog_read_system(engine->catalog, system, &info))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", system);
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    struct latest latest = {.arena = arena};
    bool ok = hf_validations_list(session, info.id, id, read_row, &latest, err);
    hf_sessions_give(engine->sessions, session);
    if (!ok)
        return false;
    *found_out = latest.count > 0;
    if (!latest.count)
        return true;
    struct hf_validation_check *checks = hf_arena_alloc(arena, sizeof(latest.checks));
    memcpy(checks, latest.checks, sizeof(latest.checks));
    *out = (struct hf_validation){.status = latest.failed ? "damaged" : "valid",
                                  .quality_score = -1,
                                  .checks = checks,
                                  .check_count = latest.count,
                                  .checked_at_ms = latest.checked_at_ms};
    if (latest.summary)
        read_summary(latest.summary, arena, out);
    return true;
}

/* Oldest first: a row of another run begins anew. Rows of runs before this table had a column data differ among
 * themselves by a millisecond at times: of those, the last ones are shown. */
static bool read_row(void *context, const struct hf_validation_row *row)
{
    struct latest *latest = context;
    if (row->checked_at_ms != latest->checked_at_ms || latest->count == HF_CHECK_COUNT)
        *latest = (struct latest){.arena = latest->arena, .checked_at_ms = row->checked_at_ms};
    latest->checks[latest->count++] =
        (struct hf_validation_check){.name = hf_arena_strdup(latest->arena, row->check_name),
                                     .status = hf_arena_strdup(latest->arena, row->status),
                                     .detail = hf_arena_strdup(latest->arena, row->detail),
                                     .score = row->quality_score};
    latest->failed |= strcmp(row->status, "failed") == 0;
    if (strcmp(row->data, "{}") != 0)
        latest->summary = hf_arena_strdup(latest->arena, row->data);
    return true;
}

static void read_summary(const char *text, struct hf_arena *arena, struct hf_validation *out)
{
    struct hf_error ignored;
    HF_AUTO(json) json_t *object = hf_json_parse(text, strlen(text), &ignored);
    const char *status = json_string_value(json_object_get(object, "status"));
    if (!status)
        return;
    out->status = hf_arena_strdup(arena, status);
    out->quality_score = json_number_value(json_object_get(object, "qualityScore"));
    out->contents_healed = json_integer_value(json_object_get(object, "contentsHealed"));
    out->blobs_checked = json_integer_value(json_object_get(object, "blobsChecked"));
    out->bytes_checked = json_integer_value(json_object_get(object, "bytesChecked"));
    out->duration_ms = json_integer_value(json_object_get(object, "durationMs"));
    out->lost_all = json_is_true(json_object_get(object, "lostAll"));
    read_lost(json_object_get(object, "lost"), arena, out);
}

static void read_lost(const json_t *list, struct hf_arena *arena, struct hf_validation *out)
{
    struct hf_lost_component *lost = hf_arena_alloc(arena, json_array_size(list) * sizeof(*lost) + 1);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *component = json_string_value(json_object_get(item, "component"));
        const char *hash = json_string_value(json_object_get(item, "hash"));
        lost[i].component = hf_arena_strdup(arena, component ? component : "");
        lost[i].version = json_integer_value(json_object_get(item, "version"));
        lost[i].bytes = json_integer_value(json_object_get(item, "bytes"));
        if (hash && !hf_hash_parse(hash, &lost[i].hash))
            lost[i].hash = (struct hf_hash){0};
    }
    out->lost = lost;
    out->lost_count = (int64_t)json_array_size(list);
}
