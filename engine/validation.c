/* The course of a validation: verify, heal, verify again, judge, record. Only proven corruption is a verdict; a failed
 * read or a missing key is not. */
#include "engine/validation_private.h"

#include "core/clock.h"
#include "core/fault.h"
#include "core/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/events.h"
#include "engine/mirror.h"
#include "repository/keys.h"

#include <string.h>
#include <time.h>

#define PAUSE_MS_MAX   20 /* a pause is cut into such pieces, so that a stop or a waiting deletion is seen soon */
#define NAMES_IN_EVENT 100

static bool validate(struct hf_validating *validating, struct hf_validation *out, struct hf_error *err);
static bool judge(struct hf_validating *validating, struct hf_error *err);
static bool list_rows(struct hf_validating *validating, struct hf_error *err);
static hf_snapshot_row_fn add_row;
static bool verify(struct hf_validating *validating, struct hf_error *err);
static bool pace_verification(void *context, int64_t bytes);
static void judge_bytes(struct hf_validating *validating);
static void judge_signature(struct hf_validating *validating);
static void tell_healing(struct hf_validating *validating);
static bool settle(struct hf_validating *validating, struct hf_validation *out, struct hf_error *err);
static void ensure_outline(const struct hf_validating *validating);
static bool reload_shelf(struct hf_engine *engine, struct hf_shelf *shelf, bool forget, struct hf_error *err);
static bool mark_siblings(struct hf_validating *validating, struct hf_error *err);
static bool mark_sibling(struct hf_validating *validating, const struct hf_snapshot_row *row, const char *why,
                         struct hf_error *err);
static void look_again_at_siblings(struct hf_validating *validating);
static void tell_whole(struct hf_validating *validating, bool was_damaged);
static void tell_lost(struct hf_validating *validating);
static void tell_damage(struct hf_engine *engine, struct hf_shelf *shelf, const char *id, json_t *data,
                        const char *damage);
static void look_again_unless_hit(struct hf_validating *validating, const struct hf_snapshot_row *row);

static const char *const check_names[HF_CHECK_COUNT] = {
#define X(id, name, weight) [id] = (name),
    HF_CHECK_TABLE(X)
#undef X
};

/* In the order in which they are looked at. */
static const struct {
    enum hf_check check;
    size_t ok; /* offset of the flag in the report */
    const char *passed;
} byte_checks[] = {
    {HF_CHECK_STRUCTURE, offsetof(struct hf_verify_report, structure_ok), "header, footer and lengths fit"},
    {HF_CHECK_MANIFEST, offsetof(struct hf_verify_report, manifest_ok), "the manifest has its hash"},
    {HF_CHECK_CHAIN, offsetof(struct hf_verify_report, chain_ok), "everything it builds on is there"},
    {HF_CHECK_ROOT_HASH, offsetof(struct hf_verify_report, root_hash_ok), "the components make the root hash"},
    {HF_CHECK_SIGNATURE, offsetof(struct hf_verify_report, signature_ok), "signed with a trusted key"},
    {HF_CHECK_BLOBS, offsetof(struct hf_verify_report, blobs_ok), ""},
};
#define BYTE_CHECK_COUNT (int)(sizeof(byte_checks) / sizeof(byte_checks[0]))

bool hf_validation_run(struct hf_engine *engine, const char *system, const char *id, bool deep,
                       int64_t bytes_per_second, struct hf_arena *arena, struct hf_validation *out,
                       struct hf_error *err)
{
    struct hf_pacer pacer = {.bytes_per_second = bytes_per_second};
    return hf_validation_run_paced(engine, system, id, deep, &pacer, arena, out, err);
}

bool hf_validation_run_paced(struct hf_engine *engine, const char *system, const char *id, bool deep,
                             struct hf_pacer *pacer, struct hf_arena *arena, struct hf_validation *out,
                             struct hf_error *err)
{
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    if (!shelf)
        return false;
    struct hf_fates fates = {0};
    struct hf_validating validating = {
        .engine = engine, .shelf = shelf, .arena = arena, .pacer = pacer, .deep = deep, .fates = &fates};
    hf_shelf_await(shelf);
    bool ok = hf_shelf_check_current(engine, shelf, err) &&
              hf_snapshot_find(engine, system, id, arena, &validating.row, err) && validate(&validating, out, err);
    pthread_mutex_unlock(&shelf->judging);
    free(validating.places);
    free(validating.lost);
    free(fates.slots);
    return ok;
}

bool hf_snapshot_mark_damaged(struct hf_engine *engine, const char *system, const char *id, const char *reason,
                              struct hf_error *err)
{
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    if (!shelf)
        return false;
    hf_shelf_await(shelf);
    shelf->examined_generation[0] = '\0'; /* somebody has seen what an examination did not */
    bool ok = hf_shelf_check_current(engine, shelf, err) &&
              hf_snapshot_set_state(engine, shelf->system_id, id, "damaged", "damaged", -1, err) &&
              reload_shelf(engine, shelf, true, err);
    pthread_mutex_unlock(&shelf->judging);
    if (!ok)
        return false;
    HF_AUTO(json) json_t *data = json_object();
    tell_damage(engine, shelf, id, data, reason);
    hf_snapshot_queue_validation(engine, system, id); /* what exactly is lost, and what another copy mends */
    return true;
}

bool hf_pacer_wait(struct hf_pacer *pacer, const struct hf_shelf *shelf, int64_t bytes)
{
    if (pacer->scrubbing)
        hf_metric_add(HF_M_SCRUBBED_BYTES, bytes);
    uint64_t now_ns = hf_clock_monotonic_ns();
    if (pacer->bytes_per_second > 0) {
        if (pacer->free_ns < now_ns)
            pacer->free_ns = now_ns;
        pacer->free_ns += (uint64_t)((double)bytes * (double)HF_SECOND_NS / (double)pacer->bytes_per_second);
    }
    while (pacer->free_ns > now_ns && !(pacer->stop && *pacer->stop) && !shelf->awaited) {
        uint64_t pause_ns = pacer->free_ns - now_ns;
        if (pause_ns > PAUSE_MS_MAX * HF_MS_NS)
            pause_ns = PAUSE_MS_MAX * HF_MS_NS;
        nanosleep(&(struct timespec){0, (long)pause_ns}, NULL);
        now_ns = hf_clock_monotonic_ns();
    }
    if (pacer->free_ns > now_ns)
        pacer->free_ns = now_ns; /* what was hurried is not paid for later */
    return !(pacer->stop && *pacer->stop);
}

void hf_tally_fail(struct hf_tally *tally, const char *format, ...)
{
    if (tally->failed++)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(tally->first, sizeof(tally->first), format, arguments);
    va_end(arguments);
}

void hf_check_set(struct hf_validating *validating, enum hf_check check, const char *status, double score,
                  const char *format, ...)
{
    char detail[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    validating->checks[check] = (struct hf_validation_check){.name = check_names[check],
                                                             .status = status,
                                                             .detail = hf_arena_strdup(validating->arena, detail),
                                                             .score = score};
}

/* With judging held. */
static bool validate(struct hf_validating *validating, struct hf_validation *out, struct hf_error *err)
{
    struct hf_engine *engine = validating->engine;
    const struct hf_snapshot_row *row = &validating->row;
    if (strcmp(row->state, "failed") == 0)
        return hf_error_set(err, HF_CONFLICT, "snapshot %s failed: there is nothing to validate", row->id);
    /* What was found damaged elsewhere in the generation is not forgotten for a look at this file alone. */
    validating->deep |= hf_validation_is_damaged(row) && !hf_validation_was_examined(validating);
    uint64_t started_ns = hf_clock_monotonic_ns();
    if (!hf_snapshot_lease(engine, validating->shelf->system_id, row->id, err))
        return false;
    bool ok = ((!hf_fault("validation_slow") || hf_error_set(err, HF_IO, "fault validation_slow")) &&
               list_rows(validating, err) && judge(validating, err)) ||
              hf_error_wrap(err, "snapshot %s could not be judged (this is no verdict)", row->id);
    if (ok) {
        hf_validation_fill(validating, out);
        out->duration_ms = (int64_t)((hf_clock_monotonic_ns() - started_ns) / HF_MS_NS);
        ok = settle(validating, out, err);
    }
    hf_snapshot_release(engine, validating->shelf->system_id, row->id); /* a verdict is of what is still there */
    return ok;
}

static bool judge(struct hf_validating *validating, struct hf_error *err)
{
    if (!verify(validating, err))
        return false;
    if (!validating->valid) {
        validating->was_wrong = true;
        validating->deep |= hf_validation_is_damaged(&validating->row);
        validating->first_report = validating->report;
        snprintf(validating->what, sizeof(validating->what), "%s", validating->damage.text);
        if (!hf_validation_heal(validating, validating->pacer->scrubbing, err) ||
            (validating->changed && !verify(validating, err)))
            return false;
    } else if (hf_validation_is_damaged(&validating->row) && !hf_validation_was_examined(validating)) {
        struct hf_error missed; /* one look for all that were damaged with it: without it each is read by itself */
        if (!hf_validation_heal(validating, true, &missed))
            hf_log(HF_LOG_INFO, "generation_not_examined", missed.text, HF_LOG_TEXT("system", validating->shelf->name),
                   HF_LOG_TEXT("snapshot", validating->row.id));
    }
    for (int i = 0; i < HF_CHECK_COUNT; i++)
        hf_check_set(validating, (enum hf_check)i, "skipped", 1, "not reached");
    judge_bytes(validating);
    if (!validating->valid)
        return hf_validation_find_lost(validating, err);
    if (validating->was_wrong)
        tell_healing(validating);
    return hf_checks_run(validating, err);
}

static bool list_rows(struct hf_validating *validating, struct hf_error *err)
{
    struct hf_session *session;
    if (!hf_sessions_take(validating->engine->sessions, &session, err))
        return false;
    bool ok = hf_snapshots_list(session, validating->shelf->system_id, NULL, INT64_MAX, "", INT64_MAX, add_row,
                                validating, err);
    hf_sessions_give(validating->engine->sessions, session);
    return ok;
}

/* The array doubles in the arena: nobody else keeps it. */
static bool add_row(void *context, const struct hf_snapshot_row *row)
{
    struct hf_validating *validating = context;
    int count = validating->row_count;
    struct hf_snapshot_row *rows = (struct hf_snapshot_row *)validating->rows;
    if (count >= 16 ? (count & (count - 1)) == 0 : count == 0) {
        int capacity = count < 16 ? 16 : 2 * count;
        rows = hf_arena_alloc(validating->arena, (size_t)capacity * sizeof(*rows));
        if (count)
            memcpy(rows, validating->rows, (size_t)count * sizeof(*rows));
        validating->rows = rows;
    }
    hf_snapshot_row_copy(validating->arena, row, &rows[validating->row_count++]);
    return true;
}

/* Sets valid, report and damage. */
static bool verify(struct hf_validating *validating, struct hf_error *err)
{
    struct hf_verify_options options = {.deep = validating->deep,
                                        .content = hf_checks_read_content,
                                        .pace = pace_verification,
                                        .context = validating};
    validating->json = validating->pointers = (struct hf_tally){0};
    validating->report = (struct hf_verify_report){0};
    struct hf_error found = {0};
    validating->valid = hf_repository_verify(validating->engine->repository, validating->shelf->name,
                                             validating->row.id, &options, &validating->report, &found);
    if (!validating->valid && found.code != HF_DAMAGED && found.code != HF_NOT_FOUND) {
        *err = found;
        return false;
    }
    validating->damage = found;
    return true;
}

static bool pace_verification(void *context, int64_t bytes)
{
    struct hf_validating *validating = context;
    return hf_pacer_wait(validating->pacer, validating->shelf, bytes);
}

/* The first that does not hold failed; those behind it were not reached. */
static void judge_bytes(struct hf_validating *validating)
{
    const char *report = (const char *)&validating->report;
    for (int i = 0; i < BYTE_CHECK_COUNT; i++) {
        if (!*(const bool *)(const void *)(report + byte_checks[i].ok)) {
            hf_check_set(validating, byte_checks[i].check, "failed", 0, "%s", validating->damage.text);
            return;
        }
        if (byte_checks[i].check == HF_CHECK_SIGNATURE)
            judge_signature(validating);
        else
            hf_check_set(validating, byte_checks[i].check, "passed", 1, "%s", byte_checks[i].passed);
    }
    hf_check_set(validating, HF_CHECK_BLOBS, "passed", 1, "%lld contents (%lld bytes) have their length and hash%s",
                 (long long)validating->report.blobs, (long long)validating->report.bytes,
                 validating->deep ? "" : "; those in other files of the generation are where they belong");
}

static void judge_signature(struct hf_validating *validating)
{
    switch (validating->report.signature) {
    case HF_SIGNATURE_GOOD:
        hf_check_set(validating, HF_CHECK_SIGNATURE, "passed", 1, "signed with a trusted key");
        break;
    case HF_SIGNATURE_UNKNOWN:
        hf_check_set(validating, HF_CHECK_SIGNATURE, "warning", 0, "signed with a key that is not among the trusted");
        break;
    default:
        if (hf_keys_trust(validating->engine->keys)) /* whoever can change a file can also take its signature away */
            hf_check_set(validating, HF_CHECK_SIGNATURE, "warning", 0,
                         "not signed, though trusted keys are configured");
        else
            hf_check_set(validating, HF_CHECK_SIGNATURE, "skipped", 1, "not signed");
    }
}

/* Puts the healing into the row of the check that had failed. */
static void tell_healing(struct hf_validating *validating)
{
    const char *report = (const char *)&validating->first_report;
    for (int i = 0; i < BYTE_CHECK_COUNT; i++) {
        if (*(const bool *)(const void *)(report + byte_checks[i].ok))
            continue;
        hf_check_set(validating, byte_checks[i].check, "healed", 1, "%s%s%s", validating->what,
                     validating->origin[0] ? "; the good copy came from " : "", validating->origin);
        return;
    }
}

/* Records the verdict, here and for those it concerns too, and tells of it. */
static bool settle(struct hf_validating *validating, struct hf_validation *out, struct hf_error *err)
{
    struct hf_engine *engine = validating->engine;
    bool was_damaged = hf_validation_is_damaged(&validating->row);
    if (!hf_validation_record(validating, out, err) ||
        !reload_shelf(engine, validating->shelf, !validating->valid || validating->was_wrong || was_damaged, err))
        return false;
    hf_metric_add_labelled(HF_M_VALIDATIONS, out->status, 1);
    if (validating->contents_healed)
        hf_metric_add_labelled(HF_M_HEALED, "content", validating->contents_healed);
    if (validating->files_replaced)
        hf_metric_add_labelled(HF_M_HEALED, "file", validating->files_replaced);
    if (validating->contents_healed || validating->files_replaced)
        hf_mirror_wake(engine);
    if (validating->valid) {
        ensure_outline(validating);
        tell_whole(validating, was_damaged);
        if (validating->was_wrong || was_damaged)
            look_again_at_siblings(validating);
        return true;
    }
    if (!was_damaged)
        tell_lost(validating);
    return mark_siblings(validating, err);
}

/* The second copy of what the file has only once. Without it the snapshot is as valid. */
static void ensure_outline(const struct hf_validating *validating)
{
    const struct hf_snapshot_row *row = &validating->row;
    struct hf_error err;
    if (!hf_repository_ensure_outline(validating->engine->repository, validating->shelf->name,
                                      strcmp(row->kind, "full") == 0 ? "full" : "incremental", row->id, &err))
        hf_log(HF_LOG_WARNING, "outline_not_written", err.text, HF_LOG_TEXT("system", validating->shelf->name),
               HF_LOG_TEXT("snapshot", row->id));
}

static bool reload_shelf(struct hf_engine *engine, struct hf_shelf *shelf, bool forget, struct hf_error *err)
{
    pthread_mutex_lock(&shelf->taking);
    if (forget)
        hf_shelf_forget(shelf); /* the next snapshot builds on nothing that is damaged */
    bool ok = hf_shelf_load(engine, shelf, NULL, err);
    pthread_mutex_unlock(&shelf->taking);
    return ok;
}

/* No row of the generation claims to be whole that refers to what is lost. The scrub, which looks at one of those that
 * are damaged for all of them, has the others looked at that nothing of it concerns any more. */
static bool mark_siblings(struct hf_validating *validating, struct hf_error *err)
{
    bool any = false;
    for (int i = 0; i < validating->row_count; i++) {
        const struct hf_snapshot_row *row = &validating->rows[i];
        const char *why = NULL;
        if (strcmp(row->generation, validating->row.generation) != 0 || strcmp(row->id, validating->row.id) == 0 ||
            strcmp(row->state, "failed") == 0)
            continue;
        if (hf_validation_is_damaged(row)) {
            if (validating->pacer->scrubbing && !validating->unsure)
                look_again_unless_hit(validating, row);
            continue;
        }
        if (!hf_validation_is_hit(validating, row, &why, err))
            return false;
        if (why && !mark_sibling(validating, row, why, err))
            return false;
        any |= why != NULL;
    }
    return !any || reload_shelf(validating->engine, validating->shelf, true, err);
}

static bool mark_sibling(struct hf_validating *validating, const struct hf_snapshot_row *row, const char *why,
                         struct hf_error *err)
{
    struct hf_validating sibling = {.engine = validating->engine,
                                    .shelf = validating->shelf,
                                    .arena = validating->arena,
                                    .pacer = validating->pacer,
                                    .deep = true,
                                    .row = *row,
                                    .fates = validating->fates};
    hf_error_set(&sibling.damage, HF_DAMAGED, "%s", why);
    for (int i = 0; i < HF_CHECK_COUNT; i++)
        hf_check_set(&sibling, (enum hf_check)i, "skipped", 1, "not reached");
    hf_check_set(&sibling, HF_CHECK_BLOBS, "failed", 0, "found with snapshot %s: %s", validating->row.id, why);
    struct hf_validation result;
    bool ok = hf_validation_find_lost(&sibling, err);
    if (ok) {
        hf_validation_fill(&sibling, &result);
        ok = hf_validation_record(&sibling, &result, err);
    }
    if (ok) {
        hf_metric_add_labelled(HF_M_VALIDATIONS, result.status, 1);
        tell_lost(&sibling);
    }
    free(sibling.lost);
    return ok || err->code == HF_NOT_FOUND; /* retention was there first */
}

/* It was found damaged some time; what was read now says no more why. */
static void look_again_unless_hit(struct hf_validating *validating, const struct hf_snapshot_row *row)
{
    const char *why = NULL;
    struct hf_error ignored;
    if (hf_validation_is_hit(validating, row, &why, &ignored) && !why)
        hf_snapshot_queue_validation(validating->engine, validating->shelf->name, row->id);
}

/* What was mended may have been all that they lacked. Asked for once at each change to the better, so it ends. */
static void look_again_at_siblings(struct hf_validating *validating)
{
    for (int i = 0; i < validating->row_count; i++) {
        const struct hf_snapshot_row *row = &validating->rows[i];
        if (strcmp(row->generation, validating->row.generation) == 0 && strcmp(row->id, validating->row.id) != 0 &&
            hf_validation_is_damaged(row) &&
            !hf_snapshot_queue_validation(validating->engine, validating->shelf->name, row->id))
            return; /* the scrub comes to it */
    }
}

static void tell_whole(struct hf_validating *validating, bool was_damaged)
{
    const struct hf_snapshot_row *row = &validating->row;
    if (!validating->was_wrong && !was_damaged)
        return;
    HF_AUTO(json) json_t *data = json_object();
    json_object_set_new(data, "snapshot", json_string(row->id));
    json_object_set_new(data, "contentsHealed", json_integer(validating->contents_healed));
    json_object_set_new(data, "what", json_string(validating->what));
    json_object_set_new(data, "origin", json_string(validating->origin));
    HF_AUTO(free) char *text = hf_json_text(data);
    if (!validating->was_wrong)
        hf_event_emit(validating->engine, validating->shelf->system_id, validating->shelf->name, HF_EV_SNAPSHOT_HEALED,
                      text, "snapshot %s was marked damaged and is whole: everything it needs is there again", row->id);
    else
        hf_event_emit(validating->engine, validating->shelf->system_id, validating->shelf->name, HF_EV_SNAPSHOT_HEALED,
                      text, "snapshot %s was damaged and is whole again: %s%s%s", row->id, validating->what,
                      validating->origin[0] ? "; the good copy came from " : "", validating->origin);
}

static void tell_lost(struct hf_validating *validating)
{
    HF_AUTO(json) json_t *data = json_object();
    json_t *names = json_array();
    for (int64_t i = 0; i < validating->lost_count && i < NAMES_IN_EVENT; i++)
        json_array_append_new(names, json_string(validating->lost[i].component));
    json_object_set_new(data, "lost", names);
    json_object_set_new(data, "lostCount", json_integer(validating->lost_count));
    json_object_set_new(data, "lostAll", json_boolean(validating->lost_all));
    char text[640];
    if (validating->lost_all && !validating->lost_parent)
        snprintf(text, sizeof(text), "%s; nothing of it can be read", validating->damage.text);
    else
        snprintf(text, sizeof(text), "%s; of %lld components %lld are lost%s", validating->damage.text,
                 (long long)validating->row.components, (long long)validating->lost_count,
                 validating->lost_parent ? ", others cannot even be named, and others may be older than the cut" : "");
    tell_damage(validating->engine, validating->shelf, validating->row.id, data, text);
}

static void tell_damage(struct hf_engine *engine, struct hf_shelf *shelf, const char *id, json_t *data,
                        const char *damage)
{
    json_object_set_new(data, "snapshot", json_string(id));
    HF_AUTO(free) char *text = hf_json_text(data);
    hf_event_emit(engine, shelf->system_id, shelf->name, HF_EV_SNAPSHOT_DAMAGED, text,
                  "snapshot %s is damaged and will not be restored: %s; the next snapshot starts a new generation", id,
                  damage);
}
