/* Making the mirror even: what it lacks is copied, one file at a time. The generation with the newest missing file
 * comes first, since it is what a rebuild would choose; within a generation the oldest file, since an incremental is
 * worth nothing before those that it builds on. */
#include "engine/mirror_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "store/snapshots.h"

#include <string.h>

#define FAILURES_MAX  3 /* of single files, before the whole mirror is thought to be away */
#define TIDY_EVERY_MS INT64_C(3600000)

/* A file that the mirror lacks; texts in the arena of the round. */
struct missing {
    const struct hf_system_info *system;
    const char *id, *kind, *generation;
    int64_t cut_at_ms;
    int64_t generation_cut_at_ms; /* of the newest missing one in the generation */
};

struct round {
    struct hf_mirror *mirror;
    struct hf_arena arena;
    uint64_t deadline_ns;
    struct missing *missing; /* owns */
    int64_t count, capacity;
    bool unknown; /* some system's rows could not be read */
    bool tidy;    /* is due */
};

/* Rows and names of one system. */
struct comparison {
    struct round *round;
    const struct hf_system_info *system;
    struct hf_mirror_name *names; /* by id; owns */
    int64_t count, capacity, expected;
    int64_t first; /* of round->missing */
};

static bool is_over(const struct round *round);
static void sweep(struct hf_mirror *mirror);
static void tell_swept(void *context, const char *path, int64_t bytes);
static bool compare_all(struct round *round, struct hf_error *err);
static bool compare_system(struct round *round, const struct hf_system_info *system, struct hf_error *err);
static hf_name_fn add_name;
static hf_snapshot_row_fn compare_row;
static void add_missing(struct comparison *comparison, const struct hf_snapshot_row *row);
static bool copy_all(struct round *round, struct hf_error *err);
static bool copy_one(struct round *round, const struct missing *missing, struct hf_error *err);
static void count_waiting(struct hf_mirror *mirror);
static hf_snapshot_row_fn count_row;

void hf_mirror_do_round(struct hf_mirror *mirror, uint64_t deadline_ns)
{
    struct hf_error err;
    mirror->failed = false;
    if (!hf_mirror_is_there(mirror->engine, &err)) {
        count_waiting(mirror);
        hf_mirror_note_away(mirror, &err);
        return;
    }
    struct round round = {.mirror = mirror, .deadline_ns = deadline_ns};
    int64_t now_ms = hf_clock_now_ms();
    round.tidy = now_ms - mirror->tidied_at_ms >= TIDY_EVERY_MS || now_ms < mirror->tidied_at_ms;
    hf_arena_init(&round.arena);
    sweep(mirror);
    hf_mirror_forget_now(mirror);
    bool ok = compare_all(&round, &err) && copy_all(&round, &err);
    mirror->failed = !ok;
    if (!ok)
        hf_mirror_note_away(mirror, &err);
    else if (!is_over(&round) && !round.unknown)
        hf_mirror_note_even(mirror);
    if (ok && round.tidy && !round.unknown)
        mirror->tidied_at_ms = now_ms;
    free(round.missing);
    hf_arena_done(&round.arena);
}

static bool is_over(const struct round *round)
{
    return round->deadline_ns ? hf_clock_monotonic_ns() >= round->deadline_ns : hf_mirror_is_stopping(round->mirror);
}

/* What a crash, or the mirror's going away, left half-written. */
static void sweep(struct hf_mirror *mirror)
{
    struct hf_error err;
    if (mirror->swept)
        return;
    if (hf_repository_sweep(mirror->engine->mirror_repository, tell_swept, NULL, &err))
        mirror->swept = true;
    else
        hf_log(HF_LOG_WARNING, "mirror_not_swept", err.text);
}

static void tell_swept(void *context, const char *path, int64_t bytes)
{
    (void)context;
    hf_log(HF_LOG_INFO, "mirror_leftover_removed", "a copy that was not finished is removed from the mirror",
           HF_LOG_TEXT("path", path), HF_LOG_NUMBER("bytes", bytes));
}

static int compare_missing(const void *a, const void *b)
{
    const struct missing *left = a, *right = b;
    if (left->generation_cut_at_ms != right->generation_cut_at_ms)
        return left->generation_cut_at_ms > right->generation_cut_at_ms ? -1 : 1;
    int order = strcmp(left->system->name, right->system->name);
    order = order ? order : strcmp(left->generation, right->generation);
    if (order)
        return order;
    if (left->cut_at_ms != right->cut_at_ms)
        return left->cut_at_ms < right->cut_at_ms ? -1 : 1;
    return strcmp(left->id, right->id);
}

static bool compare_all(struct round *round, struct hf_error *err)
{
    int count = 0;
    const struct hf_system_info *systems =
        hf_catalog_list_systems(round->mirror->engine->catalog, &round->arena, &count);
    for (int i = 0; i < count && !is_over(round); i++) {
        if (!compare_system(round, &systems[i], err))
            return false;
    }
    if (round->count > 1)
        qsort(round->missing, (size_t)round->count, sizeof(round->missing[0]), compare_missing);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct hf_mirror_name *)a)->id, ((const struct hf_mirror_name *)b)->id);
}

static bool compare_system(struct round *round, const struct hf_system_info *system, struct hf_error *err)
{
    struct hf_engine *engine = round->mirror->engine;
    struct comparison comparison = {.round = round, .system = system, .first = round->count};
    struct hf_session *session = NULL;
    struct hf_error unknown;
    bool ok = hf_repository_list(engine->mirror_repository, system->name, add_name, &comparison, err);
    if (ok && comparison.count > 1)
        qsort(comparison.names, (size_t)comparison.count, sizeof(comparison.names[0]), compare_names);
    if (ok &&
        (!hf_sessions_take(engine->sessions, &session, &unknown) ||
         !hf_snapshots_list(session, system->id, NULL, INT64_MAX, "", INT64_MAX, compare_row, &comparison, &unknown))) {
        round->unknown = true; /* the database is away: that is told of elsewhere */
        round->count = comparison.first;
    } else if (ok && comparison.expected < comparison.count && (round->tidy || comparison.expected == 0)) {
        bool moved = false;
        ok = hf_mirror_tidy(round->mirror, system, comparison.names, comparison.count, &moved, err);
    }
    hf_sessions_give(engine->sessions, session);
    free(comparison.names);
    return ok;
}

static bool add_name(void *context, const char *kind, const char *id, int64_t file_bytes)
{
    (void)kind, (void)file_bytes;
    struct comparison *comparison = context;
    if (comparison->count == comparison->capacity) {
        comparison->capacity = comparison->capacity ? comparison->capacity * 2 : 64;
        comparison->names = hf_realloc(comparison->names, (size_t)comparison->capacity * sizeof(comparison->names[0]));
    }
    comparison->names[comparison->count++] =
        (struct hf_mirror_name){.id = hf_arena_strdup(&comparison->round->arena, id)};
    return true;
}

/* Newest first. */
static bool compare_row(void *context, const struct hf_snapshot_row *row)
{
    struct comparison *comparison = context;
    struct hf_mirror_name key = {.id = row->id};
    struct hf_mirror_name *name =
        comparison->count ? bsearch(&key, comparison->names, (size_t)comparison->count, sizeof(key), compare_names)
                          : NULL;
    if (name && !name->expected) {
        name->expected = true;
        comparison->expected++;
    }
    if (!name && strcmp(row->state, "complete") == 0 && strcmp(row->validation_status, "damaged") != 0)
        add_missing(comparison, row);
    return true;
}

static void add_missing(struct comparison *comparison, const struct hf_snapshot_row *row)
{
    struct round *round = comparison->round;
    struct hf_arena *arena = &round->arena;
    if (round->count == round->capacity) {
        round->capacity = round->capacity ? round->capacity * 2 : 64;
        round->missing = hf_realloc(round->missing, (size_t)round->capacity * sizeof(round->missing[0]));
    }
    struct missing *missing = &round->missing[round->count];
    *missing = (struct missing){.system = comparison->system,
                                .id = hf_arena_strdup(arena, row->id),
                                .kind = strcmp(row->kind, "full") == 0 ? "full" : "incremental",
                                .generation = hf_arena_strdup(arena, row->generation),
                                .cut_at_ms = row->cut_at_ms,
                                .generation_cut_at_ms = row->cut_at_ms};
    for (int64_t i = round->count - 1; i >= comparison->first; i--) { /* mostly the one before is of the same */
        if (strcmp(round->missing[i].generation, missing->generation) == 0) {
            missing->generation_cut_at_ms = round->missing[i].generation_cut_at_ms;
            break;
        }
    }
    round->count++;
}

static bool copy_all(struct round *round, struct hf_error *err)
{
    struct hf_mirror *mirror = round->mirror;
    struct hf_error failure = {0};
    int failures = 0;
    int64_t left = round->count;
    hf_mirror_set_pending(mirror, left);
    for (int64_t i = 0; i < round->count && failures < FAILURES_MAX && !is_over(round); i++) {
        if (copy_one(round, &round->missing[i], err)) {
            hf_mirror_set_pending(mirror, --left);
        } else {
            failure = *err;
            failures = failure.code == HF_STORAGE_FULL ? FAILURES_MAX : failures + 1;
        }
        hf_mirror_forget_now(mirror);
    }
    *err = failure;
    return failures == 0;
}

/* True also for a file that cannot be copied because of what it is. */
static bool copy_one(struct round *round, const struct missing *missing, struct hf_error *err)
{
    struct hf_mirror *mirror = round->mirror;
    struct hf_engine *engine = mirror->engine;
    const char *system = missing->system->name;
    struct hf_system_info now;
    int64_t bytes;
    if (!hf_catalog_read_system(engine->catalog, system, &now) || now.id != missing->system->id ||
        now.created_at_ms != missing->system->created_at_ms)
        return true; /* deleted meanwhile */
    if (!hf_mirror_is_there(engine, err) || !hf_repository_prepare(engine->mirror_repository, system, err))
        return false;
    if (hf_repository_copy(engine->repository, engine->mirror_repository, system, missing->kind, missing->id, false,
                           NULL, NULL, &bytes, err)) {
        hf_log(HF_LOG_DEBUG, "mirrored", "a snapshot file was copied to the mirror", HF_LOG_TEXT("system", system),
               HF_LOG_TEXT("snapshot", missing->id), HF_LOG_NUMBER("bytes", bytes));
        return true;
    }
    if (err->code == HF_NOT_FOUND || err->code == HF_CONFLICT) /* deleted meanwhile; or there meanwhile */
        return true;
    if (err->code != HF_DAMAGED)
        return hf_error_wrap(err, "snapshot %s of system %s", missing->id, system);
    /* Healing is for validation; until then there is nothing worth copying. */
    bool told = strcmp(mirror->unsound_id, missing->id) == 0;
    snprintf(mirror->unsound_id, sizeof(mirror->unsound_id), "%s", missing->id);
    hf_log(told ? HF_LOG_DEBUG : HF_LOG_WARNING, "not_mirrored", err->text, HF_LOG_TEXT("system", system),
           HF_LOG_TEXT("snapshot", missing->id));
    return true;
}

/* ---- while it is away ---- */

struct waiting {
    int64_t since_ms, count;
};

/* What came since it was last even. */
static void count_waiting(struct hf_mirror *mirror)
{
    struct hf_engine *engine = mirror->engine;
    struct hf_mirror_status status;
    struct hf_session *session;
    struct hf_error ignored;
    hf_mirror_read_status(engine, &status);
    struct waiting waiting = {.since_ms = status.caught_up_at_ms};
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    if (!hf_sessions_take(engine->sessions, &session, &ignored))
        return;
    int count = 0;
    const struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &arena, &count);
    bool ok = true;
    for (int i = 0; ok && i < count; i++)
        ok = hf_snapshots_list(session, systems[i].id, NULL, INT64_MAX, "", INT64_MAX, count_row, &waiting, &ignored);
    hf_sessions_give(engine->sessions, session);
    if (ok)
        hf_mirror_set_pending(mirror, waiting.count);
}

static bool count_row(void *context, const struct hf_snapshot_row *row)
{
    struct waiting *waiting = context;
    waiting->count += row->completed_at_ms >= waiting->since_ms && strcmp(row->state, "complete") == 0;
    return true;
}
