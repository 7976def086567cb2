#include "engine/recoverability.h"

#include "core/auto.h"
#include "core/clock.h"

#include <string.h>

#define GRACE_INTERVALS 2 /* the interval itself, and one more */
#define LINES_MAX       20

static void read_range(struct hf_engine *engine, const struct hf_system_info *system,
                       const struct hf_snapshot_newest *newest, int64_t now_ms, int64_t history_from_ms,
                       struct hf_recoverability *out);
static int64_t next_drill_by_ms(const struct hf_engine *engine, const struct hf_system_info *system,
                                const struct hf_drill_facts *facts);
static int64_t expected_ms(const struct hf_drill_facts *facts, int64_t state_bytes);
static void note_exposure(struct hf_recoverability *one, int64_t since_ms, int64_t now_ms);
static bool is_worse(const struct hf_drill_row *left, const struct hf_drill_row *right);

void hf_recoverability_read(struct hf_engine *engine, const struct hf_system_info *system,
                            const struct hf_snapshot_newest *newest, int64_t now_ms, struct hf_arena *arena,
                            struct hf_recoverability *out)
{
    struct hf_drill_facts facts;
    hf_drill_read_facts(engine, system->id, arena, &facts);
    *out = (struct hf_recoverability){.systems = 1,
                                      .promised_exposure_ms = hf_exposure_promised_ms(engine, system),
                                      .expected_recovery_ms = expected_ms(&facts, system->state_bytes),
                                      .has_drill = facts.has_last,
                                      .last_drill = facts.last,
                                      .next_drill_by_ms = next_drill_by_ms(engine, system, &facts),
                                      .drill_system = hf_arena_strdup(arena, system->name)};
    out->overdue_ms = -out->promised_exposure_ms;
    int64_t held = newest->has_newest ? newest->newest.sequence : 0;
    if (system->sequence > held) {
        out->unsnapshotted_versions = system->sequence - held;
        if (system->exposed_since_ms)
            note_exposure(out, system->exposed_since_ms, now_ms);
    }
    if (system->sequence > 0)
        read_range(engine, system, newest, now_ms, facts.history_from_ms, out);
}

/* What was uploaded last is always there: one can go back to now, and to any moment since then. */
static void read_range(struct hf_engine *engine, const struct hf_system_info *system,
                       const struct hf_snapshot_newest *newest, int64_t now_ms, int64_t history_from_ms,
                       struct hf_recoverability *out)
{
    int64_t kept_ms = now_ms - engine->config->history_ms;
    int64_t exact_ms = kept_ms > system->created_at_ms ? kept_ms : system->created_at_ms;
    if (history_from_ms > exact_ms)
        exact_ms = history_from_ms;
    if (exact_ms > system->committed_at_ms)
        exact_ms = system->committed_at_ms;
    out->history_from_ms = exact_ms;
    out->from_ms = exact_ms;
    if (newest->has_oldest && newest->oldest.cut_at_ms < exact_ms)
        out->from_ms = newest->oldest.cut_at_ms;
    out->to_ms = now_ms;
}

static int64_t next_drill_by_ms(const struct hf_engine *engine, const struct hf_system_info *system,
                                const struct hf_drill_facts *facts)
{
    int64_t interval_ms = engine->config->drill_interval_ms;
    if (interval_ms == 0)
        return 0;
    return (facts->has_last ? facts->last.started_at_ms : system->created_at_ms) + interval_ms;
}

/* By the drill, which took as long for what there was to restore then; else by the last real restore. */
static int64_t expected_ms(const struct hf_drill_facts *facts, int64_t state_bytes)
{
    if (!facts->has_passed)
        return facts->restore_ms ? facts->restore_ms : -1;
    double share = facts->passed.bytes > 0 ? (double)state_bytes / (double)facts->passed.bytes : 1;
    double ms = (double)facts->passed.duration_ms * (share > 1 ? share : 1);
    return ms < 1e15 ? (int64_t)(ms + 0.5) : INT64_C(1000000000000000);
}

void hf_recoverability_add_head(struct hf_recoverability *one, const struct hf_head *head, int64_t held)
{
    if (head->version > 0 && head->sequence > held && !head->deleted)
        one->unsnapshotted_bytes += head->bytes;
}

static void note_exposure(struct hf_recoverability *one, int64_t since_ms, int64_t now_ms)
{
    if (now_ms - since_ms > one->exposure_ms)
        one->exposure_ms = now_ms - since_ms;
    one->overdue_ms = one->exposure_ms - one->promised_exposure_ms;
}

void hf_recoverability_add(struct hf_recoverability *whole, const struct hf_recoverability *one)
{
    if (whole->systems == 0) {
        *whole = *one;
        return;
    }
    whole->systems += one->systems;
    if (one->to_ms) {
        if (one->from_ms > whole->from_ms)
            whole->from_ms = one->from_ms;
        if (one->history_from_ms > whole->history_from_ms)
            whole->history_from_ms = one->history_from_ms;
        whole->to_ms = one->to_ms;
    }
    if (one->overdue_ms > whole->overdue_ms) {
        whole->overdue_ms = one->overdue_ms;
        whole->exposure_ms = one->exposure_ms;
        whole->promised_exposure_ms = one->promised_exposure_ms;
    }
    whole->unsnapshotted_versions += one->unsnapshotted_versions;
    whole->unsnapshotted_bytes += one->unsnapshotted_bytes;
    bool known = whole->expected_recovery_ms >= 0 && one->expected_recovery_ms >= 0;
    whole->expected_recovery_ms = known ? whole->expected_recovery_ms + one->expected_recovery_ms : -1;
    if (one->next_drill_by_ms < whole->next_drill_by_ms)
        whole->next_drill_by_ms = one->next_drill_by_ms;
    if (one->has_drill && (!whole->has_drill || is_worse(&one->last_drill, &whole->last_drill))) {
        whole->has_drill = true;
        whole->last_drill = one->last_drill;
        whole->drill_system = one->drill_system;
    }
}

static bool is_worse(const struct hf_drill_row *left, const struct hf_drill_row *right)
{
    bool left_failed = strcmp(left->status, "failed") == 0, right_failed = strcmp(right->status, "failed") == 0;
    if (left_failed != right_failed)
        return left_failed;
    return left->started_at_ms < right->started_at_ms;
}

int64_t hf_exposure_promised_ms(const struct hf_engine *engine, const struct hf_system_info *system)
{
    const struct hf_config *config = engine->config;
    int64_t full_ms = system->backup_interval_ms >= 0 ? system->backup_interval_ms : config->backup_interval_ms;
    int64_t incremental_ms =
        system->incremental_interval_ms >= 0 ? system->incremental_interval_ms : config->incremental_interval_ms;
    return GRACE_INTERVALS * (full_ms < incremental_ms ? full_ms : incremental_ms);
}

void hf_exposure_write(struct hf_engine *engine, bool names, struct hf_buf *out)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    int count = 0, overdue = 0;
    int64_t now_ms = hf_clock_now_ms();
    struct hf_recoverability worst = {0};
    char exposure[64], promised[64];
    const struct hf_system_info *systems = hf_catalog_list_systems(engine->catalog, &arena, &count);
    for (int i = 0; i < count; i++) {
        struct hf_snapshot_newest newest;
        struct hf_recoverability one;
        hf_snapshot_read_newest(engine, systems[i].id, &arena, &newest);
        hf_recoverability_read(engine, &systems[i], &newest, now_ms, &arena, &one);
        hf_recoverability_add(&worst, &one);
        if (one.overdue_ms <= 0 || ++overdue > LINES_MAX || !names)
            continue;
        hf_duration_format(one.exposure_ms, exposure, sizeof(exposure));
        hf_duration_format(one.promised_exposure_ms, promised, sizeof(promised));
        hf_buf_add_format(out, "[!]exposure of %s: %s, promised %s\n", systems[i].name, exposure, promised);
    }
    hf_duration_format(worst.exposure_ms, exposure, sizeof(exposure));
    hf_duration_format(worst.promised_exposure_ms, promised, sizeof(promised));
    if (!names && overdue)
        hf_buf_add_format(out, "[!]exposure of %d system%s: %s, promised %s\n", overdue, overdue == 1 ? "" : "s",
                          exposure, promised);
    else if (overdue > LINES_MAX)
        hf_buf_add_format(out, "[!]exposure of %d more systems\n", overdue - LINES_MAX);
}
