/* Bringing state back: restores of a running system. */
#ifndef HF_ENGINE_RECOVERY_H
#define HF_ENGINE_RECOVERY_H

#include "engine/engine.h"
#include "engine/idempotency.h"
#include "store/journal.h"

/* A component that a partial recovery is for. */
struct hf_selected {
    const char *name;
    const char *because; /* what depends on it; NULL: it was named itself */
};

struct hf_recovery_request {
    const char *system;
    const char *source;   /* head | snapshot | at */
    const char *snapshot; /* id or "latest" */
    int64_t at_ms;
    const char *const *components; /* NULL: the whole system */
    int component_count;
    /* What those depend on comes along, as far as the source has it: by the registrations in the source where it has
     * them, else by the present ones. */
    bool include_dependencies;
    const char *allowed_prefix; /* HF_FORBIDDEN when something else would come along; NULL: anything may */
    int64_t age_ms_max;         /* 0: any age; else HF_PRECONDITION when the source is older */
    bool dry_run;
    bool salvage; /* a snapshot named by id that is damaged: restores what is left; what is lost stays as it is now */
    const char *reason; /* NULL: "" */
    /* From hf_recovery_read_plan; NULL: a recovery of its own. The plan's row becomes the row of the restore. */
    const struct hf_recovery_row *plan;
    const struct hf_selected *along; /* what comes along according to the plan */
    int along_count;
    const struct hf_idempotency *once; /* kept with what it makes; NULL: no key */
    bool force; /* apply the plan although the system moved on since; not when its source holds something else now */
};

/* head: a plan of the present, in waves; unless it is a dry run it is pending until its components have reported
 * (hydration.h). snapshot, at: the old states become new versions in one transaction with a
 * raised epoch; a whole restore makes the system equal to the source (later components get tombstones). Every blob is
 * verified; with validate_on_restore all are before anything is planned or written. A snapshot that proves damaged gets
 * one chance to be healed. Then it is HF_DAMAGED when named by id, unless salvage is set (a whole salvage deletes later
 * components only where the snapshot's list of components is whole); "latest" and a moment before history fall back to
 * the newest one before it that is whole and list what was skipped with what that costs. HF_IO (after some tries) and
 * HF_KEY_MISSING prove nothing and end it. Imports are restored by their id alone. The row lands in
 * system_recovery_logs; *out (arena) holds it, detail as JSON {request, plannedAt, cut, waves,
 * removed, warnings, lost, salvage, skipped, steps}. Dependencies without a state in what the system will be are
 * warnings. With a plan: HF_PLAN_CHANGED when the system is at another sequence or epoch than the plan was made for
 * (checked where nothing else can move it) and force is not set; HF_CONFLICT when the plan was applied meanwhile. A
 * failure leaves the plan as it was. A dry run that fails leaves nothing behind. Once: the key is kept in the
 * transaction of the row, and that of a recovery that failed is not; HF_IDEMPOTENCY_REUSED when it is kept already, by
 * whatever request. */
HF_MUST_USE bool hf_recovery_run(struct hf_engine *engine, const struct hf_recovery_request *request,
                                 struct hf_arena *arena, struct hf_recovery_row *out, struct hf_error *err);

/* What was made, or applied, with the key: as it stands now, with texts in the arena. HF_IDEMPOTENCY_REUSED: with
 * another request; HF_CONFLICT: it is not kept any more. Of a system that is not there nothing was. */
HF_MUST_USE bool hf_recovery_find_made(struct hf_engine *engine, const char *system, const struct hf_idempotency *once,
                                       struct hf_arena *arena, struct hf_recovery_row *out, bool *found_out,
                                       struct hf_error *err);

/* Finds a plan that can be applied and what it was asked for (both in arena; out->plan is plan_out, out->reason the
 * plan's). HF_NOT_FOUND: no such recovery; HF_CONFLICT: it is not a plan, or a plan of the present. */
HF_MUST_USE bool hf_recovery_read_plan(struct hf_engine *engine, const char *system, const char *id,
                                       struct hf_arena *arena, struct hf_recovery_row *plan_out,
                                       struct hf_recovery_request *out, struct hf_error *err);

#endif
