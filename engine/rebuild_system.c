/* One system from its snapshot files, in one transaction: the newest chain whose every byte proves good. */
#include "engine/rebuild_private.h"

#include "core/clock.h"
#include "core/fault.h"
#include "core/id.h"
#include "core/log.h"
#include "core/metrics.h"
#include "engine/events.h"
#include "engine/rebuild_write.h"
#include "engine/row_of.h"
#include "engine/snapshot.h"
#include "store/journal.h"
#include "store/snapshots.h"

#include <string.h>
#include <time.h>

#define IO_TRIES_MAX      3
#define IO_PAUSE_MS       200
#define UNREADABLE_EPOCHS 1000
#define DETAIL_BYTES_MAX  ((size_t)64 << 20)

struct attempt {
    struct hf_rebuild *rebuild;
    const struct hf_rebuild_file *file; /* NULL: a fresh start */
    struct hf_chain *chain;
    int64_t system_id;
    int64_t sequence, epoch; /* the system's afterwards */
    int64_t started_at_ms;
    const struct hf_rebuild_file *files;
    int64_t count;
    const struct hf_system_row *old; /* as the damaged database knows it; NULL: not */
    struct hf_rescued rescued;
};

static bool counts(const struct hf_rebuild_file *file);
static void begin_attempt(struct attempt *attempt, const char *system);
static int64_t sequence_above(const struct attempt *attempt, int64_t sequence);
static void end_attempt(const struct attempt *attempt);
static bool lay_rescued(struct attempt *attempt, const struct hf_system_row *row, struct hf_error *err);
static void write_rescued(const struct hf_rescued *rescued, struct hf_buf *out);
static int64_t epoch_above(const struct hf_rebuild_file *files, int64_t count);
static bool try_file(struct attempt *attempt, struct hf_error *err);
static bool try_once(struct attempt *attempt, struct hf_error *err);
static bool write_system(struct attempt *attempt, struct hf_error *err);
static struct hf_system_row system_row(const struct attempt *attempt);
static bool insert_recovery(struct attempt *attempt, struct hf_error *err);
static bool insert_damaged(struct attempt *attempt, struct hf_error *err);
static void skip_file(struct attempt *attempt, struct hf_rebuild_file *file, const char *reason);
static void write_skipped(const struct attempt *attempt, struct hf_buf *out);
static bool start_fresh(struct attempt *attempt, const struct hf_rebuild_file *too_old, struct hf_error *err);
static void tell_rebuilt(const struct attempt *attempt);

bool hf_rebuild_system(struct hf_rebuild *rebuild, struct hf_rebuild_file *files, int64_t count, struct hf_error *err)
{
    struct attempt attempt = {.rebuild = rebuild,
                              .system_id = rebuild->last_system_id + 1,
                              .started_at_ms = hf_clock_now_ms(),
                              .files = files,
                              .count = count};
    begin_attempt(&attempt, files[0].header.system);
    int64_t age_ms_max = rebuild->engine->config->recovery_max_age_ms;
    const struct hf_rebuild_file *too_old = NULL;
    bool done = false;
    for (int64_t i = 0; i < count && !done && !too_old && !hf_rebuild_file_is_import(&files[i]); i++) {
        if (!counts(&files[i])) {
            skip_file(&attempt, &files[i], "its sequence or epoch is too great to count on");
        } else if (files[i].damage &&
                   (!hf_rebuild_mend(rebuild, files, count, i, attempt.system_id) || files[i].damage)) {
            skip_file(&attempt, &files[i], files[i].damage);
        } else if (attempt.started_at_ms - files[i].header.cut_at_ms > age_ms_max) {
            too_old = &files[i];
        } else {
            attempt.file = &files[i];
            done = try_file(&attempt, err);
            if (!done && err->code == HF_DAMAGED && hf_rebuild_mend(rebuild, files, count, i, attempt.system_id))
                done = try_file(&attempt, err);
            if (!done && err->code != HF_DAMAGED) {
                hf_rescued_done(&attempt.rescued);
                return false;
            }
            if (!done)
                skip_file(&attempt, &files[i], err->text);
        }
    }
    bool ok = done || start_fresh(&attempt, too_old, err);
    if (ok)
        end_attempt(&attempt);
    hf_rescued_done(&attempt.rescued);
    return ok;
}

bool hf_rebuild_rescued_system(struct hf_rebuild *rebuild, const struct hf_system_row *old, struct hf_error *err)
{
    const struct hf_rebuild_file none = {.header = {.system = old->name,
                                                    .id = "",
                                                    .kind = "",
                                                    .trigger = "",
                                                    .description = old->description,
                                                    .backup_interval_ms = old->backup_interval_ms,
                                                    .incremental_interval_ms = old->incremental_interval_ms,
                                                    .max_retention_hours = old->max_retention_hours,
                                                    .created_at_ms = old->created_at_ms,
                                                    .cut_at_ms = old->committed_at_ms},
                                         .file = ""};
    struct attempt attempt = {.rebuild = rebuild,
                              .system_id = rebuild->last_system_id + 1,
                              .started_at_ms = hf_clock_now_ms(),
                              .files = &none,
                              .count = 1};
    begin_attempt(&attempt, old->name);
    attempt.sequence = sequence_above(&attempt, 0);
    bool ok = write_system(&attempt, err);
    if (ok)
        end_attempt(&attempt);
    else
        hf_session_rollback(rebuild->session);
    hf_rescued_done(&attempt.rescued);
    return ok;
}

static void begin_attempt(struct attempt *attempt, const char *system)
{
    int64_t sequence, epoch = 0;
    attempt->epoch = epoch_above(attempt->files, attempt->count);
    hf_rescued_init(&attempt->rescued);
    if (attempt->rebuild->rescue)
        attempt->old = hf_rescue_find(attempt->rebuild->rescue, system);
    if (attempt->old)
        hf_rescue_bounds(attempt->rebuild->rescue, attempt->old, &sequence, &epoch);
    if (epoch >= attempt->epoch)
        attempt->epoch = epoch + 1;
}

static int64_t sequence_above(const struct attempt *attempt, int64_t sequence)
{
    int64_t known = 0, epoch;
    if (attempt->old)
        hf_rescue_bounds(attempt->rebuild->rescue, attempt->old, &known, &epoch);
    return known > sequence ? known : sequence;
}

static void end_attempt(const struct attempt *attempt)
{
    bool rebuilt = attempt->file || attempt->rescued.taken_count;
    attempt->rebuild->last_system_id = attempt->system_id;
    attempt->rebuild->rebuilt += rebuilt;
    if (rebuilt)
        tell_rebuilt(attempt);
}

/* Is there room above its numbers? Nobody reaches them by counting: a file that says so was made to. */
static bool counts(const struct hf_rebuild_file *file)
{
    return file->header.epoch <= HF_MANIFEST_NUMBER_MAX / 2 && file->header.sequence <= HF_MANIFEST_NUMBER_MAX / 2;
}

/* Above every epoch that anyone was told of here; imports tell of other places. What newer files said that can no
 * longer be read is bounded by how many restores a system can have seen since the last one that can. */
static int64_t epoch_above(const struct hf_rebuild_file *files, int64_t count)
{
    int64_t epoch = 1;
    for (int64_t i = 0; i < count; i++) {
        if (!hf_rebuild_file_is_import(&files[i]) && counts(&files[i]) && files[i].header.epoch > epoch)
            epoch = files[i].header.epoch;
    }
    return epoch + (files[0].damage ? UNREADABLE_EPOCHS : 1);
}

/* A failed read is tried again; it never makes an older snapshot the answer. */
static bool try_file(struct attempt *attempt, struct hf_error *err)
{
    for (int try = 1;; try++) {
        if (try_once(attempt, err))
            return true;
        hf_session_rollback(attempt->rebuild->session);
        if (err->code == HF_NOT_FOUND)
            err->code = HF_DAMAGED; /* a file of its chain is missing */
        if (err->code != HF_IO)
            return false;
        if (try == IO_TRIES_MAX)
            return hf_error_wrap(
                err,
                "snapshot %s could not be read in %d attempts (that does not prove it damaged; make the "
                "file readable, or move it away to use an older one, and start again)",
                attempt->file->header.id, try);
        hf_log(HF_LOG_WARNING, "rebuild_read_again", err->text, HF_LOG_TEXT("snapshot", attempt->file->header.id));
        nanosleep(&(struct timespec){0, (long)(IO_PAUSE_MS * try * (int64_t)HF_MS_NS)}, NULL);
    }
}

static bool try_once(struct attempt *attempt, struct hf_error *err)
{
    const struct hf_manifest_header *header = &attempt->file->header;
    hf_log(HF_LOG_INFO, "rebuild_snapshot", "reading a snapshot", HF_LOG_TEXT("system", header->system),
           HF_LOG_TEXT("snapshot", header->id));
    if (!hf_chain_load(&attempt->chain, attempt->rebuild->engine->repository, header->system, header->id, err))
        return false;
    attempt->sequence = sequence_above(attempt, hf_chain_header(attempt->chain)->sequence);
    int verdict;
    bool ok = hf_repository_check_signature(attempt->rebuild->engine->repository, attempt->chain, &verdict, err) &&
              write_system(attempt, err);
    hf_chain_free(attempt->chain);
    attempt->chain = NULL;
    return ok;
}

static bool write_system(struct attempt *attempt, struct hf_error *err)
{
    struct hf_session *session = attempt->rebuild->session;
    struct hf_system_row row = system_row(attempt);
    if (!hf_session_begin(session, err) || !hf_rebuild_write(session, &row, attempt->chain, NULL, err))
        return false;
    if (hf_fault("rebuild_midway"))
        return hf_error_set(err, HF_STORE_DOWN, "fault rebuild_midway");
    return lay_rescued(attempt, &row, err) && insert_recovery(attempt, err) && insert_damaged(attempt, err) &&
           hf_session_commit(session, err);
}

/* A failure here is the damaged file's or the store's, never the snapshot's: no older one would help. */
static bool lay_rescued(struct attempt *attempt, const struct hf_system_row *row, struct hf_error *err)
{
    if (!attempt->old || hf_rescue_lay(attempt->rebuild->rescue, attempt->old, attempt->rebuild->session, row,
                                       attempt->chain, &attempt->rescued, err))
        return true;
    if (err->code == HF_DAMAGED)
        err->code = HF_STORE_DOWN;
    return false;
}

static struct hf_system_row system_row(const struct attempt *attempt)
{
    /* Settings of a fresh start come from the newest file whose header is whole. */
    const struct hf_manifest_header *header = attempt->file ? &attempt->file->header : NULL;
    for (int64_t i = 0; i < attempt->count && !header; i++) {
        if (!attempt->files[i].damage)
            header = &attempt->files[i].header;
    }
    struct hf_system_row row = {.id = attempt->system_id,
                                .description = "",
                                .backup_interval_ms = -1,
                                .incremental_interval_ms = -1,
                                .max_retention_hours = -1,
                                .created_at_ms = attempt->started_at_ms,
                                .committed_at_ms = attempt->started_at_ms};
    if (header)
        row = hf_system_row_of_header(attempt->system_id, header);
    row.name = attempt->files[0].header.system;
    row.sequence = row.folded_sequence = attempt->sequence;
    row.epoch = attempt->epoch;
    int64_t rescued_ms = attempt->old ? attempt->old->committed_at_ms : 0;
    if (rescued_ms > row.committed_at_ms && rescued_ms <= attempt->started_at_ms)
        row.committed_at_ms = rescued_ms;
    return row;
}

static bool insert_recovery(struct attempt *attempt, struct hf_error *err)
{
    const struct hf_rebuild_file *newest = &attempt->files[0];
    int64_t now_ms = hf_clock_now_ms();
    int64_t since_ms = attempt->file ? attempt->file->header.cut_at_ms : newest->header.cut_at_ms;
    char id[40];
    hf_id_random("rec-", id, sizeof(id));
    HF_AUTO(buf) struct hf_buf detail;
    hf_buf_init(&detail, DETAIL_BYTES_MAX);
    hf_buf_add_text(&detail, "{\"waves\":[],\"skipped\":[");
    write_skipped(attempt, &detail);
    char at[HF_TIME_BYTES];
    hf_time_format(now_ms, at);
    hf_buf_add_format(&detail, "],\"steps\":[{\"name\":\"%s\",\"at\":\"%s\",\"durationMs\":%lld}",
                      attempt->file ? "rebuilt the database from snapshot files" : "started fresh", at,
                      (long long)(now_ms - attempt->started_at_ms));
    if (attempt->rescued.examined)
        hf_buf_add_format(
            &detail, ",{\"name\":\"took %lld components from the damaged database\",\"at\":\"%s\",\"durationMs\":0}",
            (long long)attempt->rescued.taken_count, at);
    hf_buf_add_char(&detail, ']');
    write_rescued(&attempt->rescued, &detail);
    hf_buf_add_char(&detail, '}');
    const struct hf_rescued *rescued = &attempt->rescued;
    bool is_back = attempt->file || rescued->taken_count;
    struct hf_recovery_row row = {.system_id = attempt->system_id,
                                  .id = id,
                                  .source = "snapshot",
                                  .snapshot = attempt->file ? attempt->file->header.id : "",
                                  .status = is_back ? "applied" : "fresh",
                                  .reason = attempt->rebuild->why,
                                  .epoch = attempt->epoch,
                                  .sequence_before = newest->header.sequence,
                                  .sequence_after = attempt->sequence,
                                  .data_loss_ms =
                                      !rescued->whole && since_ms && now_ms > since_ms ? now_ms - since_ms : 0,
                                  .data_loss_components = rescued->examined ? rescued->lost_count
                                                          : attempt->file   ? 0
                                                                            : newest->header.components,
                                  .started_at_ms = attempt->started_at_ms,
                                  .completed_at_ms = now_ms,
                                  .detail = detail.data};
    return hf_recoveries_insert(attempt->rebuild->session, &row, err);
}

static void write_rescued(const struct hf_rescued *rescued, struct hf_buf *out)
{
    if (!rescued->examined)
        return;
    hf_buf_add_format(out, ",\"rescued\":{\"components\":%lld,\"unreadRows\":%lld,\"versions\":[",
                      (long long)rescued->taken_count, (long long)rescued->unread);
    hf_buf_add(out, rescued->taken.data ? rescued->taken.data : "", rescued->taken.bytes);
    hf_buf_add_text(out, "],\"lost\":[");
    hf_buf_add(out, rescued->lost.data ? rescued->lost.data : "", rescued->lost.bytes);
    hf_buf_add_text(out, "]}");
}

/* What proved damaged on the way gets its row here, so that nothing builds on it; sound files are adopted later. */
static bool insert_damaged(struct attempt *attempt, struct hf_error *err)
{
    for (int64_t i = 0; i < attempt->count; i++) {
        const struct hf_rebuild_file *file = &attempt->files[i];
        if (!file->damage)
            continue;
        struct hf_snapshot_row row =
            hf_snapshot_row_of_file(attempt->system_id, &file->header, file->file, file->file_bytes, true,
                                    "found damaged when the database was rebuilt");
        if (!hf_snapshots_insert(attempt->rebuild->session, &row, err))
            return false;
    }
    return true;
}

static void skip_file(struct attempt *attempt, struct hf_rebuild_file *file, const char *reason)
{
    file->damage = hf_arena_strdup(&attempt->rebuild->arena, reason);
    hf_event_emit(attempt->rebuild->engine, attempt->system_id, file->header.system, HF_EV_SNAPSHOT_DAMAGED, NULL,
                  "snapshot %s is damaged, trying the one before it: %s", file->header.id, file->damage);
}

/* What was passed over before the one that is used, with what that costs: all of it, when none is. */
static void write_skipped(const struct attempt *attempt, struct hf_buf *out)
{
    const struct hf_manifest_header *used = attempt->file ? &attempt->file->header : NULL;
    int skipped = 0;
    for (const struct hf_rebuild_file *file = attempt->files; file < attempt->files + attempt->count; file++) {
        if (file == attempt->file)
            return;
        if (!file->damage)
            continue;
        hf_buf_add_text(out, skipped++ ? ",{\"snapshot\":" : "{\"snapshot\":");
        hf_buf_add_json_string(out, file->header.id, strlen(file->header.id));
        hf_buf_add_text(out, ",\"reason\":");
        hf_buf_add_json_string(out, file->damage, strlen(file->damage));
        if (!used) {
            hf_buf_add_text(out, ",\"extraDataLossMs\":null,\"extraVersions\":null}");
            continue;
        }
        int64_t ms = file->header.cut_at_ms - used->cut_at_ms, versions = file->header.sequence - used->sequence;
        hf_buf_add_format(out, ",\"extraDataLossMs\":%lld,\"extraVersions\":%lld}", (long long)(ms > 0 ? ms : 0),
                          (long long)(versions > 0 ? versions : 0));
        hf_log(HF_LOG_WARNING, "snapshot_passed_over", file->damage, HF_LOG_TEXT("system", used->system),
               HF_LOG_TEXT("snapshot", file->header.id), HF_LOG_TEXT("used", used->id),
               HF_LOG_NUMBER("extraDataLossMs", ms > 0 ? ms : 0),
               HF_LOG_NUMBER("extraVersions", versions > 0 ? versions : 0));
    }
}

static bool start_fresh(struct attempt *attempt, const struct hf_rebuild_file *too_old, struct hf_error *err)
{
    struct hf_engine *engine = attempt->rebuild->engine;
    const char *system = attempt->files[0].header.system;
    attempt->file = NULL;
    attempt->sequence = 0;
    for (int64_t i = 0; i < attempt->count; i++) {
        if (attempt->files[i].header.sequence > attempt->sequence)
            attempt->sequence = attempt->files[i].header.sequence;
    }
    attempt->sequence = sequence_above(attempt, attempt->sequence);
    if (!write_system(attempt, err)) {
        hf_session_rollback(attempt->rebuild->session);
        return false;
    }
    if (attempt->rescued.taken_count && !too_old)
        return true; /* not fresh: told as rebuilt */
    hf_metric_add_labelled(HF_M_RECOVERIES, "fresh", 1);
    if (hf_rebuild_file_is_import(&attempt->files[0])) {
        hf_event_emit(
            engine, attempt->system_id, system, HF_EV_FRESH_START, NULL,
            "system %s starts fresh: %s and all it has are imported snapshots, which are restored by their id", system,
            attempt->rebuild->why);
        return true;
    }
    if (!too_old) {
        hf_event_emit(
            engine, attempt->system_id, system, HF_EV_FRESH_START, NULL,
            "system %s starts fresh: %s and none of its %lld snapshot files is whole; they stay where they are", system,
            attempt->rebuild->why, (long long)attempt->count);
        return true;
    }
    char age[64], limit[64];
    hf_duration_format(attempt->started_at_ms - too_old->header.cut_at_ms, age, sizeof(age));
    hf_duration_format(engine->config->recovery_max_age_ms, limit, sizeof(limit));
    hf_event_emit(
        engine, attempt->system_id, system, HF_EV_FRESH_START, NULL,
        "system %s starts fresh: %s and its newest whole snapshot is %s old, more than the %s that are restored "
        "automatically; all files stay. To restore it: curl -X POST %shttp://%s/v1/systems/%s/snapshots/%s/restore",
        system, attempt->rebuild->why, age, limit,
        engine->config->tokens_file ? "-H \"Authorization: Bearer $TOKEN\" " : "", engine->config->listen, system,
        too_old->header.id);
    return true;
}

static void tell_rebuilt(const struct attempt *attempt)
{
    const struct hf_manifest_header *header = attempt->file ? &attempt->file->header : &attempt->files[0].header;
    const struct hf_rescued *rescued = &attempt->rescued;
    char age[64];
    hf_duration_format(hf_clock_now_ms() - header->cut_at_ms, age, sizeof(age));
    hf_metric_add_labelled(HF_M_RECOVERIES, "applied", 1);
    HF_AUTO(free)
    char *from = attempt->file ? hf_format("snapshot %s, every byte verified (%lld components)", header->id,
                                           (long long)header->components)
                               : hf_strdup("no snapshot, since none could be used");
    HF_AUTO(free) char *loss = NULL;
    if (rescued->examined)
        loss = hf_format("%lld newer components were taken from the damaged database; %lld came back older or not at "
                         "all%s%s; %lld other rows could not be read",
                         (long long)rescued->taken_count, (long long)rescued->lost_count,
                         rescued->lost_count ? ": " : "", rescued->first_lost, (long long)rescued->unread);
    else
        loss = hf_format("data loss: what was written in the last %s", age);
    HF_AUTO(free)
    char *data = hf_format("{\"snapshot\":\"%s\",\"sequence\":%lld,\"epoch\":%lld,\"rescued\":%lld,\"lost\":%lld}",
                           attempt->file ? header->id : "", (long long)attempt->sequence, (long long)attempt->epoch,
                           (long long)rescued->taken_count, (long long)rescued->lost_count);
    hf_event_emit(attempt->rebuild->engine, attempt->system_id, header->system, HF_EV_DATABASE_REBUILT, data,
                  "system %s was rebuilt from %s: %s; %s; the epoch is %lld now", header->system, from,
                  attempt->rebuild->why, loss, (long long)attempt->epoch);
}
