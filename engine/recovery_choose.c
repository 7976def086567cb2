/* Which snapshot a recovery uses, and what becomes of damaged ones: each is given one chance to be healed; then the
 * one that was named is an error, or is salvaged, and "the newest" means the one before it. Only proven damage goes so
 * far: what could not be read this time says nothing about its bytes, and ends the recovery. */
#include "engine/recovery_private.h"

#include "core/clock.h"
#include "core/log.h"
#include "engine/validation.h"

#include <string.h>
#include <time.h>

#define HEAL_TRIES_MAX 3
#define HEAL_PAUSE_MS  100

/* Of those known to be damaged, the newest that are tried again in one recovery: a copy may have come back meanwhile.
 * Each costs reading its generation, and a recovery has no hours. */
#define KNOWN_TRIES_MAX 3

struct candidates {
    struct hf_arena *arena;
    struct hf_snapshot_row *rows; /* newest first; owns */
    int64_t count, capacity;
};

static bool use_snapshot(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err);
static bool salvage(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err);
static bool refuse_damaged(const struct hf_snapshot_row *row, const struct hf_validation *verdict,
                           struct hf_error *err);
static bool refuse_unreadable(const struct hf_snapshot_row *row, struct hf_error *err);
static bool list_candidates(struct hf_recovering *recovering, int64_t before_ms, struct candidates *out,
                            struct hf_error *err);
static hf_snapshot_row_fn add_candidate;
static bool is_known_damaged(const struct hf_snapshot_row *row);
static bool try_candidate(struct hf_recovering *recovering, const struct hf_snapshot_row *row, int *known_tried,
                          bool *found_out, struct hf_error *err);
static bool try_known(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err);
static bool use_healed(struct hf_recovering *recovering, const struct hf_snapshot_row *row,
                       struct hf_validation *verdict, struct hf_error *err);
static bool heal(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_validation *out,
                 struct hf_error *err);
static bool use_unmended(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err);
static bool is_unmendable(const struct hf_error *err);
static void note_damage(struct hf_recovering *recovering, const struct hf_snapshot_row *row,
                        const struct hf_error *damage);
static bool tell_none(const struct hf_recovering *recovering, int64_t count, int64_t before_ms, struct hf_error *err);

/* Who names a snapshot means that one: damage is no reason to take another. */
bool hf_recovery_use_named(struct hf_recovering *recovering, struct hf_error *err)
{
    struct hf_snapshot_row row;
    struct hf_validation verdict;
    if (!hf_snapshot_find(recovering->engine, recovering->system.name, recovering->request->snapshot,
                          &recovering->arena, &row, err) ||
        !hf_recovery_check_age(recovering, row.cut_at_ms, err))
        return false;
    if (use_snapshot(recovering, &row, err))
        return true;
    if (err->code != HF_DAMAGED)
        return false;
    if (use_healed(recovering, &row, &verdict, err))
        return true;
    if (err->code != HF_DAMAGED)
        return recovering->request->salvage && is_unmendable(err) ? salvage(recovering, &row, err) : false;
    return recovering->request->salvage ? salvage(recovering, &row, err) : refuse_damaged(&row, &verdict, err);
}

static bool use_snapshot(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err)
{
    return hf_recovery_open_snapshot(recovering, row, err) && hf_recovery_use_source(recovering, err);
}

static bool salvage(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err)
{
    hf_recovery_step(recovering, "salvaging what is left of snapshot %s", row->id);
    recovering->salvage = (struct hf_salvage){.under_way = true};
    if (use_snapshot(recovering, row, err))
        return true;
    return err->code == HF_DAMAGED && !recovering->past ? refuse_unreadable(row, err) : false;
}

static bool refuse_damaged(const struct hf_snapshot_row *row, const struct hf_validation *verdict, struct hf_error *err)
{
    struct hf_error damage = *err;
    char lost[80] = "";
    if (verdict->lost_all && !verdict->lost_count) {
        struct hf_error damage_again = *err;
        return hf_error_set(err, HF_DAMAGED,
                            "snapshot %s is damaged and its list of components cannot be read whole; nothing was "
                            "changed; \"salvage\": true restores what is left, if anything: %s",
                            row->id, damage_again.text);
    }
    if (verdict->lost_count)
        snprintf(lost, sizeof(lost), " and %lld of its components %s lost", (long long)verdict->lost_count,
                 verdict->lost_count == 1 ? "is" : "are");
    return hf_error_set(err, HF_DAMAGED,
                        "snapshot %s is damaged%s; nothing was changed; \"salvage\": true restores the rest: %s",
                        row->id, lost, damage.text);
}

static bool refuse_unreadable(const struct hf_snapshot_row *row, struct hf_error *err)
{
    struct hf_error damage = *err;
    return hf_error_set(err, HF_DAMAGED,
                        "snapshot %s is damaged and not even its list of components can be read; nothing was changed, "
                        "and nothing of it can be restored: %s",
                        row->id, damage.text);
}

bool hf_recovery_use_newest(struct hf_recovering *recovering, int64_t before_ms, struct hf_error *err)
{
    struct candidates candidates = {.arena = &recovering->arena};
    bool ok = list_candidates(recovering, before_ms, &candidates, err), found = false;
    int known_tried = 0;
    for (int64_t i = 0; ok && !found && i < candidates.count; i++)
        ok = try_candidate(recovering, &candidates.rows[i], &known_tried, &found, err);
    free(candidates.rows);
    return found || (ok && tell_none(recovering, candidates.count, before_ms, err));
}

/* True without *found_out: it is damaged, and was passed over. */
static bool try_candidate(struct hf_recovering *recovering, const struct hf_snapshot_row *row, int *known_tried,
                          bool *found_out, struct hf_error *err)
{
    struct hf_validation verdict;
    bool known = is_known_damaged(row);
    if (known && *known_tried == KNOWN_TRIES_MAX) {
        hf_recovery_step(recovering, "snapshot %s is known to be damaged and was not tried again: %d newer ones were",
                         row->id, KNOWN_TRIES_MAX);
        hf_recovery_skip(recovering, row, "known to be damaged; validating it tries to heal it");
        return true;
    }
    if (!hf_recovery_check_age(recovering, row->cut_at_ms, err))
        return false;
    if (known) {
        (*known_tried)++;
        *found_out = try_known(recovering, row, err);
    } else {
        *found_out = use_snapshot(recovering, row, err) ||
                     (err->code == HF_DAMAGED && use_healed(recovering, row, &verdict, err));
    }
    if (*found_out)
        return true;
    if (err->code != HF_DAMAGED)
        return false;
    hf_recovery_skip(recovering, row, err->text);
    return true;
}

static bool is_known_damaged(const struct hf_snapshot_row *row)
{
    return strcmp(row->state, "complete") != 0 || strcmp(row->validation_status, "damaged") == 0;
}

/* What it lacked may be there again. Where that cannot be found out now, the verdict stands as it is. */
static bool try_known(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err)
{
    struct hf_validation verdict;
    hf_error_set(err, HF_DAMAGED, "known to be damaged, and healed only when good copies turn up");
    if (use_healed(recovering, row, &verdict, err))
        return true;
    if (!is_unmendable(err))
        return false;
    struct hf_error why = *err;
    return hf_error_set(err, HF_DAMAGED, "known to be damaged, and it could not be mended now: %s", why.text);
}

static bool list_candidates(struct hf_recovering *recovering, int64_t before_ms, struct candidates *out,
                            struct hf_error *err)
{
    struct hf_sessions *sessions = recovering->engine->sessions;
    struct hf_session *session;
    if (!hf_sessions_take(sessions, &session, err))
        return false;
    bool ok =
        hf_snapshots_list(session, recovering->system.id, NULL, before_ms, "", INT64_MAX, add_candidate, out, err);
    hf_sessions_give(sessions, session);
    return ok;
}

/* An import may be of another system, or of any age: it is restored only by who names it. */
static bool add_candidate(void *context, const struct hf_snapshot_row *row)
{
    struct candidates *candidates = context;
    if (strcmp(row->state, "failed") == 0 || strcmp(row->trigger, "import") == 0)
        return true;
    if (candidates->count == candidates->capacity) {
        candidates->capacity = candidates->capacity ? candidates->capacity * 2 : 64;
        candidates->rows = hf_realloc(candidates->rows, (size_t)candidates->capacity * sizeof(candidates->rows[0]));
    }
    struct hf_snapshot_row *copy = &candidates->rows[candidates->count++];
    *copy = *row;
    copy->id = hf_arena_strdup(candidates->arena, row->id);
    copy->state = hf_arena_strdup(candidates->arena, row->state);
    copy->validation_status = hf_arena_strdup(candidates->arena, row->validation_status);
    return true;
}

bool hf_recovery_check_age(const struct hf_recovering *recovering, int64_t cut_at_ms, struct hf_error *err)
{
    int64_t age_ms = hf_clock_now_ms() - cut_at_ms, age_ms_max = recovering->request->age_ms_max;
    if (!age_ms_max || age_ms <= age_ms_max)
        return true;
    char age[64], limit[64];
    hf_duration_format(age_ms, age, sizeof(age));
    hf_duration_format(age_ms_max, limit, sizeof(limit));
    return hf_error_set(err, HF_PRECONDITION, "what would be restored is %s old; maxAgeMs allows %s", age, limit);
}

/* A snapshot proved damaged (err). HF_DAMAGED: it still is, and is marked so. */
static bool use_healed(struct hf_recovering *recovering, const struct hf_snapshot_row *row,
                       struct hf_validation *verdict, struct hf_error *err)
{
    struct hf_error damage = *err;
    hf_recovery_step(recovering, "snapshot %s is damaged, looking for good copies: %s", row->id, damage.text);
    hf_recovery_close_source(recovering);
    if (!heal(recovering, row, verdict, err))
        return is_unmendable(err) && use_unmended(recovering, row, err);
    if (strcmp(verdict->status, "damaged") == 0) {
        *err = damage;
        return false;
    }
    hf_recovery_step(recovering, "snapshot %s is whole again: %lld contents healed", row->id,
                     (long long)verdict->contents_healed);
    if (use_snapshot(recovering, row, err))
        return true;
    if (err->code == HF_DAMAGED)
        note_damage(recovering, row, err);
    hf_recovery_close_source(recovering);
    return false;
}

/* Reads everything again and mends what can be mended; the verdict is recorded there. */
static bool heal(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_validation *out,
                 struct hf_error *err)
{
    for (int try = 1;; try++) {
        *out = (struct hf_validation){.status = "damaged"};
        if (hf_validation_run(recovering->engine, recovering->system.name, row->id, true, 0, &recovering->arena, out,
                              err))
            return true;
        if (err->code != HF_IO || try == HEAL_TRIES_MAX)
            return hf_error_wrap(err, "snapshot %s is damaged and could not be validated; nothing was changed",
                                 row->id);
        hf_log(HF_LOG_WARNING, "snapshot_validated_again", err->text, HF_LOG_TEXT("snapshot", row->id));
        nanosleep(&(struct timespec){0, (long)(HEAL_PAUSE_MS * try * (int64_t)HF_MS_NS)}, NULL);
    }
}

/* The file cannot be written again, which is no reason not to restore what can be read: each content from its file
 * or, verified, from wherever else it is. */
static bool use_unmended(struct hf_recovering *recovering, const struct hf_snapshot_row *row, struct hf_error *err)
{
    struct hf_error why = *err;
    hf_recovery_step(recovering, "snapshot %s cannot be mended now, what it lacks is read from elsewhere: %s", row->id,
                     why.text);
    recovering->elsewhere = true;
    bool ok = use_snapshot(recovering, row, err);
    recovering->elsewhere = false;
    if (ok)
        return true;
    struct hf_error damage = *err;
    hf_recovery_close_source(recovering);
    if (damage.code != HF_DAMAGED)
        return false;
    return hf_error_set(err, why.code, "snapshot %s is damaged (%s) and %s: %s", row->id, damage.text,
                        why.code == HF_STORAGE_FULL ? "there is no room to mend it" : "it cannot be mended", why.text);
}

static bool is_unmendable(const struct hf_error *err)
{
    return err->code == HF_STORAGE_FULL || err->code == HF_IO;
}

static void note_damage(struct hf_recovering *recovering, const struct hf_snapshot_row *row,
                        const struct hf_error *damage)
{
    struct hf_error err;
    if (!hf_snapshot_mark_damaged(recovering->engine, recovering->system.name, row->id, damage->text, &err))
        hf_log(HF_LOG_WARNING, "snapshot_not_marked", err.text, HF_LOG_TEXT("snapshot", row->id));
}

static bool tell_none(const struct hf_recovering *recovering, int64_t count, int64_t before_ms, struct hf_error *err)
{
    const char *name = recovering->system.name, *when = before_ms == INT64_MAX ? "" : " that old";
    if (!count)
        return hf_error_set(err, HF_NOT_FOUND, "system %s has no snapshot%s", name, when);
    return hf_error_set(err, HF_DAMAGED,
                        "none of the %lld snapshots of system %s%s is whole; nothing was changed. POST "
                        "/v1/systems/%s/snapshots/{id}/validate heals one when good copies turn up; a recovery of one "
                        "by its id with \"salvage\": true restores what is left of it",
                        (long long)count, name, when, name);
}
