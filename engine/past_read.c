/* Snapshots as the past, and contents of either kind. An I/O error is no proof of anything: it is tried again, and
 * never makes something older the answer. */
#include "engine/past_private.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "engine/heal.h"
#include "engine/row_of.h"
#include "engine/snapshot.h"
#include "engine/validation.h"
#include "repository/repository.h"
#include "store/states.h"

#include <string.h>
#include <time.h>

#define IO_TRIES_MAX 3
#define IO_PAUSE_MS  100

static bool load_chain(struct hf_past *past, const char *id, struct hf_past_salvage *salvage, struct hf_error *err);
static bool try_chain(struct hf_past *past, const char *id, struct hf_past_salvage *salvage, struct hf_error *err);
static void take_entries(struct hf_past *past);
static void pause_before_try(int tries);
static bool tell_unreadable(const char *snapshot, struct hf_error *err);
static bool read_stored(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out,
                        struct hf_error *err);
static bool read_history(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out,
                         struct hf_error *err);
static bool read_row(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out,
                     struct hf_error *err);
static bool heal_history(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out,
                         struct hf_error *err);

bool hf_past_open_snapshot(struct hf_engine *engine, const struct hf_system_info *system, const char *id,
                           struct hf_past_salvage *salvage, struct hf_past **out, struct hf_error *err)
{
    if (!hf_snapshot_lease(engine, system->id, id, err))
        return false;
    struct hf_past *past = hf_past_new(engine, system);
    past->leased = hf_arena_strdup(&past->arena, id);
    past->elsewhere = salvage != NULL;
    if (!load_chain(past, id, salvage, err)) {
        hf_past_close(past);
        return false;
    }
    const struct hf_manifest_header *header = hf_chain_header(past->chain);
    past->cut.sequence = header->sequence;
    past->cut.at_ms = header->cut_at_ms;
    past->cut.snapshot = past->leased;
    take_entries(past);
    *out = past;
    return true;
}

static void take_entries(struct hf_past *past)
{
    past->count = hf_chain_count(past->chain);
    past->entries = hf_alloc(((size_t)past->count + 1) * sizeof(past->entries[0]));
    for (int64_t i = 0; i < past->count; i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(past->chain, i);
        const struct hf_head head = hf_head_of_entry(entry);
        past->entries[i] = hf_past_entry_of(entry->component, &head);
        past->entries[i].stored = entry;
    }
}

static bool load_chain(struct hf_past *past, const char *id, struct hf_past_salvage *salvage, struct hf_error *err)
{
    for (int try = 1;; try++) {
        if (try_chain(past, id, salvage, err))
            return true;
        if (err->code == HF_NOT_FOUND)
            return hf_error_set(err, HF_DAMAGED, "the file of snapshot %s is missing", id);
        if (err->code != HF_IO)
            return false;
        if (try == IO_TRIES_MAX)
            return tell_unreadable(id, err);
        hf_log(HF_LOG_WARNING, "snapshot_read_again", err->text, HF_LOG_TEXT("snapshot", id));
        pause_before_try(try);
    }
}

static bool try_chain(struct hf_past *past, const char *id, struct hf_past_salvage *salvage, struct hf_error *err)
{
    struct hf_repository *repository = past->engine->repository;
    bool ok =
        salvage ? hf_chain_salvage(&past->chain, repository, past->system.name, id, &salvage->whole, salvage->why, err)
                : hf_chain_load(&past->chain, repository, past->system.name, id, err);
    int verdict;
    if (!ok)
        return false;
    bool proven = hf_repository_check_signature(repository, past->chain, &verdict, err);
    if (proven && salvage && !salvage->whole && past->engine->config->require_signatures)
        proven = hf_error_set(err, HF_DAMAGED,
                              "no signature vouches for a part of a list, and signatures are required; what is left of "
                              "snapshot %s can be had without PERSISTENCE_REQUIRE_SIGNATURES: %.160s",
                              id, salvage->why);
    if (proven)
        return true;
    hf_chain_free(past->chain); /* forged, or not proven where proof is required: not even named by its id */
    past->chain = NULL;
    return false;
}

static void pause_before_try(int tries)
{
    nanosleep(&(struct timespec){0, (long)(IO_PAUSE_MS * tries * (int64_t)HF_MS_NS)}, NULL);
}

static bool tell_unreadable(const char *snapshot, struct hf_error *err)
{
    return hf_error_wrap(err,
                         "%s%s could not be read in %d attempts, which does not prove it damaged: nothing was changed "
                         "and nothing older taken instead; make it readable and ask again",
                         snapshot[0] ? "snapshot " : "the history in the database", snapshot, IO_TRIES_MAX);
}

bool hf_past_read(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out, struct hf_error *err)
{
    for (int try = 1;; try++) {
        if (entry->stored ? read_stored(past, entry, out, err) : read_history(past, entry, out, err))
            return true;
        if (err->code != HF_IO)
            return false;
        if (try == IO_TRIES_MAX)
            return tell_unreadable(past->cut.snapshot, err);
        hf_log(HF_LOG_WARNING, "state_read_again", err->text, HF_LOG_TEXT("component", entry->component));
        pause_before_try(try);
    }
}

/* What the files of the snapshot have lost may be elsewhere; mending them is then somebody's business, too. */
static bool read_stored(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out,
                        struct hf_error *err)
{
    char origin[HF_ORIGIN_BYTES];
    if (hf_chain_read(past->chain, entry->stored, out, err))
        return true;
    if (!past->elsewhere || err->code != HF_DAMAGED ||
        !hf_heal_find(past->engine, past->system.name, &entry->hash, entry->bytes, HF_HEAL_THOROUGH, out, origin))
        return false;
    hf_log(HF_LOG_WARNING, "state_read_elsewhere", err->text, HF_LOG_TEXT("system", past->system.name),
           HF_LOG_TEXT("component", entry->component), HF_LOG_TEXT("found_in", origin));
    if (past->mends && !past->mending)
        hf_validation_mend_later(past->engine, past->system.name, past->leased);
    past->mending = true;
    return true;
}

static bool read_history(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out,
                         struct hf_error *err)
{
    bool in_view = past->session != NULL;
    if (!in_view && !hf_sessions_take(past->engine->sessions, &past->session, err))
        return false;
    bool ok = read_row(past, entry, out, err);
    if (!in_view)
        hf_past_leave_view(past);
    else if (!ok && err->code == HF_NOT_FOUND) /* nothing is trimmed out of a view: the row is lost */
        hf_error_set(err, HF_DAMAGED, "its row is missing");
    return ok || (err->code == HF_DAMAGED && heal_history(past, entry, out, err)) ||
           hf_error_wrap(err, "version %lld of component %s", (long long)entry->version, entry->component);
}

static bool read_row(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out,
                     struct hf_error *err)
{
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_blob *blob = NULL;
    if (!hf_states_get(past->session, past->system.id, entry->sequence, &row, &text, &blob, err))
        return false;
    if (blob && hf_hash_equal(&row.hash, &entry->hash)) {
        *out = blob;
        return true;
    }
    hf_blob_unref(blob);
    return hf_error_set(err, HF_DAMAGED, "its row does not say what it said before");
}

/* In a new view: the old one is over, or lacks the row that is written again. Nothing read in it goes unchecked:
 * each content is compared with the hash that the old one gave. */
static bool heal_history(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out,
                         struct hf_error *err)
{
    char damage[sizeof(err->text)];
    snprintf(damage, sizeof(damage), "%s", err->text);
    const struct hf_state_row expected = {.system_id = past->system.id,
                                          .sequence = entry->sequence,
                                          .version = entry->version,
                                          .epoch = past->system.epoch,
                                          .hash = entry->hash,
                                          .bytes = entry->bytes,
                                          .content_type = entry->content_type,
                                          .committed_at_ms = entry->committed_at_ms};
    bool in_view = past->session != NULL;
    if (in_view)
        hf_session_rollback(past->session);
    bool ok =
        hf_heal_state(past->engine, past->system.name, entry->component, &expected, damage, HF_HEAL_THOROUGH, out, err);
    struct hf_error away;
    if (!in_view || hf_session_begin(past->session, ok ? err : &away) || !ok)
        return ok;
    hf_blob_unref(*out);
    *out = NULL;
    return false;
}
