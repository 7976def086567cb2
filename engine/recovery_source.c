/* Where the old states come from: a snapshot and what it builds on, or the history in the database. */
#include "engine/recovery_private.h"

#include "core/clock.h"
#include "core/log.h"
#include "engine/heal.h"
#include "store/states.h"
#include "store/systems.h"

#include <string.h>
#include <time.h>

#define IO_TRIES_MAX 3
#define IO_PAUSE_MS  100

static bool load_chain(struct hf_recovering *recovering, const char *id, struct hf_error *err);
static bool try_chain(struct hf_recovering *recovering, const char *id, struct hf_error *err);
static void note_lineage(struct hf_recovering *recovering, const struct hf_manifest_header *header);
static void pause_before_try(int tries);
static bool tell_unreadable(const char *snapshot, struct hf_error *err);
static bool read_history(struct hf_recovering *recovering, const struct hf_source_entry *entry, struct hf_blob **out,
                         struct hf_error *err);
static bool heal_history(struct hf_recovering *recovering, const struct hf_source_entry *entry, struct hf_blob **out,
                         struct hf_error *err);
static bool find_then(struct hf_recovering *recovering, const struct hf_component_info *component, int64_t at_sequence,
                      struct hf_source_entry *out, bool *reached_out, struct hf_error *err);
static hf_state_row_fn note_oldest;
static hf_system_row_fn note_sequence;

bool hf_recovery_open_snapshot(struct hf_recovering *recovering, const struct hf_snapshot_row *row,
                               struct hf_error *err)
{
    if (!hf_snapshot_lease(recovering->engine, recovering->system.id, row->id, err))
        return false;
    recovering->snapshot = hf_arena_strdup(&recovering->arena, row->id);
    if (!load_chain(recovering, row->id, err))
        return false;
    const struct hf_manifest_header *header = hf_chain_header(recovering->chain);
    recovering->cut_at_ms = header->cut_at_ms;
    recovering->cut_sequence = header->sequence;
    recovering->source_count = hf_chain_count(recovering->chain);
    recovering->sources = hf_alloc(((size_t)recovering->source_count + 1) * sizeof(recovering->sources[0]));
    for (int64_t i = 0; i < recovering->source_count; i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(recovering->chain, i);
        recovering->sources[i] = (struct hf_source_entry){.component = entry->component,
                                                          .version = entry->version,
                                                          .sequence = entry->sequence,
                                                          .hash = entry->hash,
                                                          .bytes = entry->bytes,
                                                          .content_type = entry->content_type,
                                                          .committed_at_ms = entry->committed_at_ms,
                                                          .deleted = entry->deleted,
                                                          .stored = entry};
    }
    char time[HF_TIME_BYTES];
    hf_time_format(recovering->cut_at_ms, time);
    hf_recovery_step(recovering, "read snapshot %s, cut at %s", row->id, time);
    note_lineage(recovering, header);
    return true;
}

/* Another system, or one that was deleted and had the same name, counted its versions by itself. Of an import nobody
 * knows. */
static void note_lineage(struct hf_recovering *recovering, const struct hf_manifest_header *header)
{
    const struct hf_system_info *system = &recovering->system;
    bool import = strcmp(header->trigger, "import") == 0;
    recovering->foreign =
        import || strcmp(header->system, system->name) != 0 || header->created_at_ms != system->created_at_ms;
    if (!recovering->foreign)
        return;
    if (import) {
        hf_recovery_step(recovering,
                         "snapshot %s was imported: its version numbers need not compare with those here, so every "
                         "version that is replaced counts as lost",
                         header->id);
        return;
    }
    char created[HF_TIME_BYTES];
    hf_time_format(header->created_at_ms, created);
    hf_recovery_step(recovering,
                     "snapshot %s comes from another system (%s, created at %s): its version numbers do not compare "
                     "with those here, so every version that is replaced counts as lost",
                     header->id, header->system, created);
}

/* An I/O error is no proof of anything: it is tried again, and never makes an older snapshot the answer. */
static bool load_chain(struct hf_recovering *recovering, const char *id, struct hf_error *err)
{
    for (int try = 1;; try++) {
        if (try_chain(recovering, id, err))
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

static bool try_chain(struct hf_recovering *recovering, const char *id, struct hf_error *err)
{
    struct hf_repository *repository = recovering->engine->repository;
    struct hf_salvage *salvage = &recovering->salvage;
    if (!salvage->under_way)
        return hf_chain_load(&recovering->chain, repository, recovering->system.name, id, err);
    return hf_chain_salvage(&recovering->chain, repository, recovering->system.name, id, &salvage->whole, salvage->why,
                            err);
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

bool hf_recovery_open_history(struct hf_recovering *recovering, int64_t at_ms, bool *reached_out, struct hf_error *err)
{
    struct hf_engine *engine = recovering->engine;
    *reached_out = false;
    /* The list first, then the view: everything listed is in the view. */
    int count = 0;
    bool found = false;
    const struct hf_component_info *components =
        hf_catalog_list_components(engine->catalog, recovering->system.name, "", INT32_MAX, &recovering->arena, &count,
                                   &found);
    if (!hf_sessions_take(engine->sessions, &recovering->session, err) || !hf_session_begin(recovering->session, err))
        return false;
    struct hf_system_row row = {.id = recovering->system.id, .sequence = -1};
    if (!hf_systems_list(recovering->session, note_sequence, &row, err))
        return false;
    int64_t at_sequence = 0;
    if (!hf_states_sequence_at(recovering->session, recovering->system.id, row.sequence, at_ms, &at_sequence, &found,
                               err))
        return false;
    if (!found)
        return true;

    recovering->sources = hf_alloc(((size_t)count + 1) * sizeof(recovering->sources[0]));
    for (int i = 0; i < count; i++) {
        if (!find_then(recovering, &components[i], at_sequence, &recovering->sources[i], reached_out, err))
            return false;
        if (!*reached_out)
            return true;
    }
    *reached_out = true;
    recovering->source_count = count;
    recovering->cut_at_ms = at_ms;
    char time[HF_TIME_BYTES];
    hf_time_format(at_ms, time);
    hf_recovery_step(recovering, "read the history as of %s (sequence %lld)", time, (long long)at_sequence);
    return true;
}

static bool note_sequence(void *context, const struct hf_system_row *row)
{
    struct hf_system_row *wanted = context;
    if (row->id != wanted->id)
        return true;
    wanted->sequence = row->sequence;
    return false;
}

static bool find_then(struct hf_recovering *recovering, const struct hf_component_info *component, int64_t at_sequence,
                      struct hf_source_entry *out, bool *reached_out, struct hf_error *err)
{
    *out = (struct hf_source_entry){.component = component->name, .content_type = ""};
    *reached_out = true;
    if (component->head.version == 0)
        return true;
    struct hf_state_row row;
    struct hf_state_text text;
    bool found;
    if (!hf_states_find_at(recovering->session, recovering->system.id, component->head.sequence, at_sequence, &row,
                           &text, &found, err))
        return false;
    if (!found) {
        /* Either it came later, and then its first version is still there; or history was trimmed. */
        int64_t oldest_version = 0;
        if (!hf_states_history(recovering->session, recovering->system.id, component->head.sequence, INT32_MAX,
                               note_oldest, &oldest_version, err))
            return false;
        *reached_out = oldest_version == 1;
        return true;
    }
    out->version = row.version;
    out->sequence = row.sequence;
    out->hash = row.hash;
    out->bytes = row.bytes;
    out->content_type = hf_arena_strdup(&recovering->arena, row.content_type);
    out->committed_at_ms = row.committed_at_ms;
    out->deleted = row.deleted;
    return true;
}

static bool note_oldest(void *context, const struct hf_state_row *row)
{
    *(int64_t *)context = row->version;
    return true;
}

void hf_recovery_close_source(struct hf_recovering *recovering)
{
    hf_chain_free(recovering->chain);
    recovering->chain = NULL;
    if (recovering->snapshot[0])
        hf_snapshot_release(recovering->engine, recovering->system.id, recovering->snapshot);
    recovering->snapshot = "";
    hf_sessions_give(recovering->engine->sessions, recovering->session);
    recovering->session = NULL;
    free(recovering->sources);
    recovering->sources = NULL;
    recovering->source_count = 0;
    recovering->foreign = false;
}

/* An I/O error is tried again, as for the chain; it never proves anything. */
bool hf_recovery_read(struct hf_recovering *recovering, const struct hf_source_entry *entry, struct hf_blob **out,
                      struct hf_error *err)
{
    for (int try = 1;; try++) {
        if (entry->stored ? hf_chain_read(recovering->chain, entry->stored, out, err)
                          : read_history(recovering, entry, out, err))
            return true;
        if (err->code != HF_IO)
            return false;
        if (try == IO_TRIES_MAX)
            return tell_unreadable(entry->stored ? recovering->snapshot : "", err);
        hf_log(HF_LOG_WARNING, "state_read_again", err->text, HF_LOG_TEXT("component", entry->component));
        pause_before_try(try);
    }
}

static bool read_history(struct hf_recovering *recovering, const struct hf_source_entry *entry, struct hf_blob **out,
                         struct hf_error *err)
{
    struct hf_state_row row;
    struct hf_state_text text;
    bool ok = hf_states_get(recovering->session, recovering->system.id, entry->sequence, &row, &text, out, err);
    if (ok && *out && hf_hash_equal(&row.hash, &entry->hash))
        return true;
    if (ok) {
        hf_blob_unref(*out);
        *out = NULL;
        hf_error_set(err, HF_DAMAGED, "its row does not say what it said before");
    }
    return (err->code == HF_DAMAGED && heal_history(recovering, entry, out, err)) ||
           hf_error_wrap(err, "version %lld of component %s", (long long)entry->version, entry->component);
}

/* In a new view: the old one is over, or lacks the row that is written again. Nothing read in it goes unchecked:
 * each content is compared with the hash that the old one gave. */
static bool heal_history(struct hf_recovering *recovering, const struct hf_source_entry *entry, struct hf_blob **out,
                         struct hf_error *err)
{
    char damage[sizeof(err->text)];
    snprintf(damage, sizeof(damage), "%s", err->text);
    const struct hf_state_row expected = {.system_id = recovering->system.id,
                                          .sequence = entry->sequence,
                                          .version = entry->version,
                                          .epoch = recovering->system.epoch,
                                          .hash = entry->hash,
                                          .bytes = entry->bytes,
                                          .content_type = entry->content_type,
                                          .committed_at_ms = entry->committed_at_ms};
    hf_session_rollback(recovering->session);
    bool ok = hf_heal_state(recovering->engine, recovering->system.name, entry->component, &expected, damage, out, err);
    struct hf_error away;
    if (hf_session_begin(recovering->session, ok ? err : &away) || !ok)
        return ok;
    hf_blob_unref(*out);
    *out = NULL;
    return false;
}

bool hf_recovery_verify_source(struct hf_recovering *recovering, struct hf_error *err)
{
    struct hf_salvage *salvage = &recovering->salvage;
    int64_t checked = 0;
    salvage->lost = salvage->lost_bytes = 0;
    for (int64_t i = 0; i < recovering->source_count; i++) {
        struct hf_source_entry *entry = &recovering->sources[i];
        if (!hf_source_entry_is_present(entry) || !hf_recovery_is_selected(recovering, entry->component))
            continue;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        if (hf_recovery_read(recovering, entry, &blob, err)) {
            checked++;
            continue;
        }
        if (!salvage->under_way || (err->code != HF_DAMAGED && err->code != HF_NOT_FOUND))
            return false;
        hf_log(HF_LOG_WARNING, "component_lost", err->text, HF_LOG_TEXT("system", recovering->system.name),
               HF_LOG_TEXT("snapshot", recovering->snapshot), HF_LOG_TEXT("component", entry->component));
        entry->lost = true;
        salvage->lost++;
        salvage->lost_bytes += entry->bytes;
    }
    if (salvage->lost && !checked)
        return hf_error_set(
            err, HF_DAMAGED,
            "nothing that was asked for is left in snapshot %s; components lost: %lld; nothing was changed",
            recovering->snapshot, (long long)salvage->lost);
    if (salvage->under_way)
        hf_recovery_step(recovering, "components that are lost and stay as they are now: %lld (%lld bytes)",
                         (long long)salvage->lost, (long long)salvage->lost_bytes);
    hf_recovery_step(recovering, "verified the content of %lld components", (long long)checked);
    return true;
}

bool hf_recovery_is_selected(const struct hf_recovering *recovering, const char *component)
{
    if (!recovering->request->components)
        return true;
    return bsearch(&component, recovering->selected, (size_t)recovering->request->component_count,
                   sizeof(recovering->selected[0]), hf_recovery_compare_names) != NULL;
}

int hf_recovery_compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}
