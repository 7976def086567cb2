/* Where the old states come from: a snapshot and what it builds on, or the history in the database. */
#include "engine/recovery_private.h"

#include "core/clock.h"
#include "core/log.h"

#include <string.h>

static void take_past(struct hf_recovering *recovering, struct hf_past *past);
static void note_lineage(struct hf_recovering *recovering, const struct hf_manifest_header *header);

bool hf_recovery_open_snapshot(struct hf_recovering *recovering, const struct hf_snapshot_row *row,
                               struct hf_error *err)
{
    struct hf_salvage *salvage = &recovering->salvage;
    struct hf_past *past = NULL;
    hf_recovery_close_source(recovering);
    recovering->snapshot = hf_arena_strdup(&recovering->arena, row->id);
    if (!hf_past_open_snapshot(recovering->engine, &recovering->system, row->id,
                               salvage->under_way ? &salvage->list : NULL, &past, err))
        return false;
    if (recovering->elsewhere)
        hf_past_look_elsewhere(past);
    take_past(recovering, past);
    /* Asked for by its id or as the newest, it is what was meant; instead of history it may lie before that. */
    recovering->cut.exact = strcmp(recovering->request->source, "at") != 0 || row->sequence == recovering->wanted;
    char time[HF_TIME_BYTES];
    hf_time_format(recovering->cut.at_ms, time);
    hf_recovery_step(recovering, "read snapshot %s, cut at %s", row->id, time);
    note_lineage(recovering, hf_past_header(past));
    return true;
}

static void take_past(struct hf_recovering *recovering, struct hf_past *past)
{
    recovering->past = past;
    recovering->cut = *hf_past_cut(past);
    recovering->sources = hf_past_entries(past, &recovering->source_count);
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

bool hf_recovery_open_history(struct hf_recovering *recovering, int64_t at_ms, bool *reached_out, struct hf_error *err)
{
    const struct hf_past_moment moment = {.kind = HF_PAST_AT, .at_ms = at_ms};
    struct hf_past *past = NULL;
    if (!hf_past_open_history(recovering->engine, &recovering->system, &moment, &past, &recovering->wanted, err))
        return false;
    *reached_out = past != NULL;
    if (!past)
        return true;
    take_past(recovering, past);
    char time[HF_TIME_BYTES];
    hf_time_format(recovering->cut.at_ms, time);
    hf_recovery_step(recovering, "read the history as of %s (sequence %lld)", time,
                     (long long)recovering->cut.sequence);
    return true;
}

void hf_recovery_close_source(struct hf_recovering *recovering)
{
    hf_past_close(recovering->past);
    recovering->past = NULL;
    recovering->snapshot = "";
    recovering->cut = (struct hf_past_cut){.snapshot = "", .why = ""};
    recovering->sources = NULL;
    recovering->source_count = 0;
    recovering->foreign = false;
}

bool hf_recovery_verify_source(struct hf_recovering *recovering, struct hf_error *err)
{
    struct hf_salvage *salvage = &recovering->salvage;
    int64_t checked = 0;
    salvage->lost = salvage->lost_bytes = 0;
    for (int64_t i = 0; i < recovering->source_count; i++) {
        struct hf_past_entry *entry = &recovering->sources[i];
        if (!hf_past_entry_is_present(entry) || !hf_recovery_is_selected(recovering, entry->component))
            continue;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        if (hf_past_read(recovering->past, entry, &blob, err)) {
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
