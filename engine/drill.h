/* Restore drills: the newest snapshot of a system is restored into a scratch database, by the code that rebuilds a lost
 * one, loaded, compared component by component, and timed. By itself once each drill interval and system, on a thread
 * of its own, one at a time; and on demand. Nothing that clients see is touched. */
#ifndef HF_ENGINE_DRILL_H
#define HF_ENGINE_DRILL_H

#include "engine/engine.h"
#include "store/drills.h"

struct hf_driller;

/* Removes what a crash left of a drill, reads what the last ones said, starts the thread. */
HF_MUST_USE bool hf_driller_start(struct hf_driller **out, struct hf_engine *engine, struct hf_error *err);
void hf_driller_break_off(struct hf_driller *driller); /* a drill under way ends soon, none begins; accepts NULL */
void hf_driller_stop(struct hf_driller *driller);      /* the same, and waits for it; accepts NULL */

/* Drills now and waits for the end; whatever comes of it is success, recorded and told. Texts of *out live in the
 * arena. HF_CONFLICT: another drill is under way; HF_SHUTTING_DOWN: broken off, nothing is recorded. Worker threads. */
HF_MUST_USE bool hf_drill_run(struct hf_engine *engine, const char *system, struct hf_arena *arena,
                              struct hf_drill_row *out, struct hf_error *err);

/* What the past says about recoveries to come. From memory, so that the status answers while the database is away. */
struct hf_drill_facts {
    bool has_last, has_passed;
    struct hf_drill_row last, passed; /* texts in the arena */
    int64_t restore_ms;               /* how long the last restore of the system took; 0: not known */
    int64_t history_from_ms;          /* from then on every version is kept; 0: since there is the system */
};
void hf_drill_read_facts(struct hf_engine *engine, int64_t system_id, struct hf_arena *arena,
                         struct hf_drill_facts *out);

/* Versions were trimmed for their size: how far history reaches back is looked up again soon. Any thread. */
void hf_drill_forget_history(struct hf_engine *engine, int64_t system_id);

#endif
