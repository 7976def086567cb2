/* Recoverability: from when to when one can go back, what would be lost now if the database vanished, how long bringing
 * it back takes. All from memory: it answers while the database is away. */
#ifndef HF_ENGINE_RECOVERABILITY_H
#define HF_ENGINE_RECOVERABILITY_H

#include "core/buf.h"
#include "engine/drill.h"
#include "engine/snapshot.h"

struct hf_recoverability {
    int64_t from_ms, to_ms;         /* of all systems at once; 0: not at all */
    int64_t history_from_ms;        /* from then on any instant is exact; before, only the cuts of snapshots */
    int64_t exposure_ms;            /* since the first commit that no snapshot holds, however it was overwritten */
    int64_t promised_exposure_ms;   /* 0: there is no system */
    int64_t overdue_ms;             /* exposure past the promise; 0 or below: kept */
    int64_t unsnapshotted_versions; /* what is in no snapshot; bytes: of states that changed since */
    int64_t unsnapshotted_bytes;
    int64_t expected_recovery_ms; /* -1: never measured */
    bool has_drill;
    const char *drill_system;
    struct hf_drill_row last_drill; /* of several systems: one that failed, else the oldest */
    int64_t next_drill_by_ms;       /* when an interval is over since the last one or the system came; 0: no drills */
    int64_t systems;                /* that were added up */
};

/* Of one system. The walk over its components adds to it what they know: hf_recoverability_add_head. Texts live in the
 * arena. */
void hf_recoverability_read(struct hf_engine *engine, const struct hf_system_info *system,
                            const struct hf_snapshot_newest *newest, int64_t now_ms, struct hf_arena *arena,
                            struct hf_recoverability *out);

/* A component's head; held: sequence of the newest snapshot, 0: none. */
void hf_recoverability_add_head(struct hf_recoverability *one, const struct hf_head *head, int64_t held);

/* Takes one system, walked over, into those of the whole, which begins as zeros: the worst of exposures, the range that
 * holds for all, sums of what would be lost and of the time to bring all of it back. */
void hf_recoverability_add(struct hf_recoverability *whole, const struct hf_recoverability *one);

/* How old a change may become before a snapshot holds it: the shorter interval of the system, and as long again for the
 * snapshot to be made. */
int64_t hf_exposure_promised_ms(const struct hf_engine *engine, const struct hf_system_info *system);

/* One line a system whose exposure is past what was promised, as "[!]exposure of default: 14 minutes, promised 10
 * minutes"; without the names one line for all. Never blocks. */
void hf_exposure_write(struct hf_engine *engine, bool names, struct hf_buf *out);

#endif
