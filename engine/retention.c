/* Which snapshots go, and why. One function decides, for the run that deletes and for the preview that tells. */
#include "engine/retention.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/fault.h"
#include "core/metrics.h"
#include "engine/events.h"
#include "engine/snapshot_private.h"
#include "engine/validation.h"

#include <string.h>

#define HOUR_MS      INT64_C(3600000)
#define PROOF_MS_MAX INT64_C(600000) /* a verdict that is older is no reason to delete what is older still */
#define PROOFS_MAX   16              /* generations that are looked at in one run */

/* Snapshot files that live and die together. */
struct generation {
    const char *id;
    int64_t newest_at_ms; /* from when its retention counts */
    bool pinned, leased;
    bool imported;        /* came from elsewhere: never what the system falls back on */
    bool has_full;        /* complete, not damaged */
    bool has_valid;       /* and proved by validation */
    const char *full;     /* the newest sound full; NULL: none */
    int64_t proved_at_ms; /* when its last validation found it valid; 0: never */
};

struct survey {
    struct hf_engine *engine;
    struct hf_arena *arena;
    int64_t system_id;
    int64_t expired_before_ms;
    const char *expired;          /* the reason of what goes */
    const char *unproved;         /* and of what goes once the last resort is proved */
    const char *being_written;    /* the generation that the next snapshot builds on; NULL: none */
    struct hf_snapshot_row *rows; /* newest first; owns */
    int64_t count, capacity;
    struct generation *generations; /* newest first; owns */
    int64_t generation_count, generation_capacity;
    const struct generation *last_resort; /* NULL: there is none */
};

struct decision {
    bool keep;
    const char *reason;
};

struct tally {
    int64_t snapshots, generations, bytes;
};

static bool take_survey(struct survey *survey, struct hf_engine *engine, const struct hf_system_info *system,
                        struct hf_arena *arena, struct hf_error *err);
static void free_survey(struct survey *survey);
static hf_snapshot_row_fn survey_row;
static struct generation *generation_of(struct survey *survey, const char *id);
static const struct generation *find_last_resort(const struct survey *survey);
static struct decision decide(const struct survey *survey, const struct generation *generation,
                              const struct hf_snapshot_row *row_or_null);
static bool needs_proof(const struct survey *survey);
static bool hangs_on_proof(const struct survey *survey, const struct generation *generation);
static bool survey_proved(struct survey *survey, struct hf_shelf *shelf, const struct hf_system_info *system,
                          struct hf_arena *arena, struct hf_error *err);
static bool delete_expired(struct survey *survey, struct hf_shelf *shelf, struct tally *tally, struct hf_error *err);
static bool delete_generation(struct survey *survey, struct hf_shelf *shelf, const struct generation *generation,
                              struct tally *tally, struct hf_error *err);
static bool is_leased_now(const struct survey *survey, const struct generation *generation);
static void tell_deleted(struct hf_engine *engine, const struct hf_system_info *system, const struct tally *tally);

bool hf_retention_run(struct hf_engine *engine, const char *system, int64_t *deleted_out, struct hf_error *err)
{
    *deleted_out = 0;
    struct hf_system_info info;
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    if (!shelf)
        return false;
    if (!hf_catalog_read_system(engine->catalog, system, &info))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", system);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct survey survey = {0};
    struct tally tally = {0};
    pthread_mutex_lock(&shelf->taking);
    bool ok = hf_shelf_check_current(engine, shelf, err) && take_survey(&survey, engine, &info, &arena, err) &&
              survey_proved(&survey, shelf, &info, &arena, err) && delete_expired(&survey, shelf, &tally, err);
    if (tally.snapshots) {
        struct hf_error ignored;
        tell_deleted(engine, &info, &tally);
        if (!hf_shelf_load(engine, shelf, NULL, ok ? err : &ignored))
            ok = false;
    }
    pthread_mutex_unlock(&shelf->taking);
    free_survey(&survey);
    *deleted_out = tally.snapshots;
    return ok;
}

bool hf_retention_preview(struct hf_engine *engine, const char *system, struct hf_arena *arena,
                          struct hf_retention_item **out, int64_t *count_out, struct hf_error *err)
{
    struct hf_system_info info;
    if (!hf_catalog_read_system(engine->catalog, system, &info))
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", system);
    struct survey survey = {0};
    bool ok = take_survey(&survey, engine, &info, arena, err);
    if (ok) {
        struct hf_retention_item *items = hf_arena_alloc(arena, ((size_t)survey.count + 1) * sizeof(items[0]));
        for (int64_t i = 0; i < survey.count; i++) {
            struct decision decision =
                decide(&survey, generation_of(&survey, survey.rows[i].generation), &survey.rows[i]);
            items[i] = (struct hf_retention_item){survey.rows[i], decision.keep, decision.reason};
        }
        *out = items;
        *count_out = survey.count;
    }
    free_survey(&survey);
    return ok;
}

static bool take_survey(struct survey *survey, struct hf_engine *engine, const struct hf_system_info *system,
                        struct hf_arena *arena, struct hf_error *err)
{
    int64_t hours =
        system->max_retention_hours >= 0 ? system->max_retention_hours : engine->config->max_retention_hours;
    *survey = (struct survey){.engine = engine,
                              .arena = arena,
                              .system_id = system->id,
                              .expired_before_ms = hf_clock_now_ms() - hours * HOUR_MS,
                              .expired = hf_arena_format(arena, "all of its generation is older than %lld hour%s",
                                                         (long long)hours, hours == 1 ? "" : "s")};
    struct hf_snapshot_newest newest;
    hf_snapshot_read_newest(engine, system->id, arena, &newest);
    survey->being_written = newest.has_newest ? newest.newest.generation : NULL;
    struct hf_session *session;
    if (!hf_sessions_take(engine->sessions, &session, err))
        return false;
    bool ok = hf_snapshots_list(session, system->id, NULL, INT64_MAX, "", INT64_MAX, survey_row, survey, err);
    hf_sessions_give(engine->sessions, session);
    survey->last_resort = find_last_resort(survey);
    if (survey->last_resort && survey->last_resort->full)
        survey->unproved = hf_arena_format(arena, "%s; it goes once %s, which stays, is read again and proved whole",
                                           survey->expired, survey->last_resort->full);
    return ok;
}

/* With taking held, and given up while files are read: what is deleted for the sake of a newer generation is deleted
 * on a fresh verdict of that one. An old one may have come true no more since: then this would delete the last chain
 * that can be restored. */
static bool survey_proved(struct survey *survey, struct hf_shelf *shelf, const struct hf_system_info *system,
                          struct hf_arena *arena, struct hf_error *err)
{
    struct hf_engine *engine = survey->engine;
    for (int proofs = 0; needs_proof(survey); proofs++) {
        struct hf_validation verdict;
        const char *id = survey->last_resort->full;
        if (proofs == PROOFS_MAX)
            return hf_error_set(err, HF_CONFLICT, "nothing was deleted: %d generations in turn could not be proved",
                                PROOFS_MAX);
        pthread_mutex_unlock(&shelf->taking);
        bool ok = hf_validation_run(engine, shelf->name, id, true, 0, arena, &verdict, err);
        pthread_mutex_lock(&shelf->taking);
        if (!ok && err->code != HF_NOT_FOUND)
            return hf_error_wrap(err, "nothing was deleted: snapshot %s has to be proved whole first", id);
        free_survey(survey);
        if (!hf_shelf_check_current(engine, shelf, err) || !take_survey(survey, engine, system, arena, err))
            return false;
    }
    return true;
}

static bool needs_proof(const struct survey *survey)
{
    for (int64_t i = 0; i < survey->generation_count; i++) {
        if (hangs_on_proof(survey, &survey->generations[i]) && !decide(survey, &survey->generations[i], NULL).keep)
            return true;
    }
    return false;
}

/* Is it an older one that could be restored, and what would be left was not looked at lately? */
static bool hangs_on_proof(const struct survey *survey, const struct generation *generation)
{
    const struct generation *last_resort = survey->last_resort;
    return last_resort && last_resort->full && generation > last_resort && generation->has_full &&
           !generation->imported && hf_clock_now_ms() - last_resort->proved_at_ms > PROOF_MS_MAX;
}

static void free_survey(struct survey *survey)
{
    free(survey->rows);
    free(survey->generations);
    survey->rows = NULL;
    survey->generations = NULL;
}

static bool survey_row(void *context, const struct hf_snapshot_row *row)
{
    struct survey *survey = context;
    if (survey->count == survey->capacity) {
        survey->capacity = survey->capacity ? survey->capacity * 2 : 64;
        survey->rows = hf_realloc(survey->rows, (size_t)survey->capacity * sizeof(survey->rows[0]));
    }
    struct hf_snapshot_row *copy = &survey->rows[survey->count++];
    hf_snapshot_row_copy(survey->arena, row, copy);
    struct generation *generation = generation_of(survey, copy->generation);
    bool imported = strcmp(row->trigger, "import") == 0;
    int64_t at_ms = hf_snapshot_kept_from_ms(row);
    if (at_ms > generation->newest_at_ms)
        generation->newest_at_ms = at_ms;
    generation->imported |= imported;
    generation->pinned |= row->pinned;
    generation->leased |= hf_snapshot_is_leased(survey->engine, row->system_id, row->id);
    bool sound = strcmp(row->state, "complete") == 0 && strcmp(row->validation_status, "damaged") != 0;
    if (sound && strcmp(row->kind, "full") == 0) {
        generation->has_full = true;
        bool valid = strcmp(row->validation_status, "valid") == 0;
        generation->has_valid |= valid;
        if (!generation->full) {
            generation->full = copy->id;
            generation->proved_at_ms = valid ? row->validated_at_ms : 0;
        }
    }
    return true;
}

static struct generation *generation_of(struct survey *survey, const char *id)
{
    for (int64_t i = 0; i < survey->generation_count; i++) {
        if (strcmp(survey->generations[i].id, id) == 0)
            return &survey->generations[i];
    }
    if (survey->generation_count == survey->generation_capacity) {
        survey->generation_capacity = survey->generation_capacity ? survey->generation_capacity * 2 : 16;
        survey->generations =
            hf_realloc(survey->generations, (size_t)survey->generation_capacity * sizeof(survey->generations[0]));
    }
    struct generation *generation = &survey->generations[survey->generation_count++];
    *generation = (struct generation){.id = id};
    return generation;
}

/* The newest that proved good; without any, the newest that may be; without any, the newest that something can be
 * salvaged of. It is never deleted, however old. */
static const struct generation *find_last_resort(const struct survey *survey)
{
    const struct generation *hope = NULL, *remains = NULL;
    for (int64_t i = 0; i < survey->generation_count; i++) {
        const struct generation *generation = &survey->generations[i];
        if (generation->imported)
            continue;
        if (generation->has_valid)
            return generation;
        if (generation->has_full && !hope)
            hope = generation;
        if (!remains)
            remains = generation;
    }
    return hope ? hope : remains;
}

/* The generation's fate; row only chooses the words. */
static struct decision decide(const struct survey *survey, const struct generation *generation,
                              const struct hf_snapshot_row *row_or_null)
{
    if (generation->newest_at_ms >= survey->expired_before_ms) {
        bool itself = !row_or_null || hf_snapshot_kept_from_ms(row_or_null) >= survey->expired_before_ms;
        return (struct decision){true, itself ? "it is within the retention time"
                                              : "a newer one of its generation is within the retention time"};
    }
    if (generation->pinned)
        return (struct decision){true, "a snapshot of its generation is pinned"};
    if (generation->leased)
        return (struct decision){true, "a snapshot of its generation is being read"};
    if (generation == survey->last_resort)
        return (struct decision){true, generation->has_full
                                           ? "its generation is the newest that can be restored"
                                           : "no generation is sound, and this is the newest to salvage from"};
    if (survey->being_written && strcmp(survey->being_written, generation->id) == 0)
        return (struct decision){true, "its generation is being written"};
    return (struct decision){false, hangs_on_proof(survey, generation) ? survey->unproved : survey->expired};
}

/* Oldest first, so that what a crash leaves is what would have gone next. */
static bool delete_expired(struct survey *survey, struct hf_shelf *shelf, struct tally *tally, struct hf_error *err)
{
    for (int64_t i = survey->generation_count - 1; i >= 0; i--) {
        const struct generation *generation = &survey->generations[i];
        struct decision decision = decide(survey, generation, NULL);
        hf_log(decision.keep ? HF_LOG_DEBUG : HF_LOG_INFO, decision.keep ? "retention_keeps" : "retention_deletes",
               decision.reason, HF_LOG_TEXT("system", shelf->name), HF_LOG_TEXT("generation", generation->id));
        if (decision.keep || is_leased_now(survey, generation))
            continue;
        if (delete_generation(survey, shelf, generation, tally, err))
            tally->generations++;
        else if (err->code != HF_SNAPSHOT_IN_USE) /* the next run ends what somebody reads now */
            return false;
    }
    return true;
}

/* Files were deleted since the survey: that takes time. */
static bool is_leased_now(const struct survey *survey, const struct generation *generation)
{
    for (int64_t i = 0; i < survey->count; i++) {
        if (strcmp(survey->rows[i].generation, generation->id) == 0 &&
            hf_snapshot_is_leased(survey->engine, survey->system_id, survey->rows[i].id))
            return true;
    }
    return false;
}

/* Newest first, so that what is left at any moment is whole. */
static bool delete_generation(struct survey *survey, struct hf_shelf *shelf, const struct generation *generation,
                              struct tally *tally, struct hf_error *err)
{
    bool first = true;
    for (int64_t i = 0; i < survey->count; i++) {
        if (strcmp(survey->rows[i].generation, generation->id) != 0)
            continue;
        if (!first && hf_fault("retention_midway"))
            return hf_error_set(err, HF_IO, "fault point retention_midway");
        int64_t freed = 0;
        if (!hf_snapshot_remove(survey->engine, shelf, &survey->rows[i], &freed, err))
            return false;
        tally->snapshots++;
        tally->bytes += freed;
        first = false;
    }
    return true;
}

static void tell_deleted(struct hf_engine *engine, const struct hf_system_info *system, const struct tally *tally)
{
    hf_metric_add(HF_M_RETENTION_DELETED, tally->snapshots);
    hf_metric_add(HF_M_RETENTION_FREED_BYTES, tally->bytes);
    HF_AUTO(free)
    char *data = hf_format("{\"snapshots\":%lld,\"generations\":%lld,\"bytesFreed\":%lld}", (long long)tally->snapshots,
                           (long long)tally->generations, (long long)tally->bytes);
    hf_event_emit(engine, system->id, system->name, HF_EV_RETENTION_DELETED, data,
                  "retention deleted %lld snapshot%s (%lld whole generation%s), %lld bytes freed",
                  (long long)tally->snapshots, tally->snapshots == 1 ? "" : "s", (long long)tally->generations,
                  tally->generations == 1 ? "" : "s", (long long)tally->bytes);
}
