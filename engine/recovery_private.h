/* What the parts of a recovery share: recovery.c (the course of it), recovery_choose.c (which snapshot it uses, and
 * what becomes of damaged ones), recovery_skipped.c (those that it passed over), recovery_request.c (what was asked
 * for, kept with the plan), recovery_source.c (what is brought back), recovery_plan.c (what that means for the
 * present), recovery_select.c (for which components), recovery_apply.c (the transaction), recovery_record.c (what is
 * kept of it). Not for others. */
#ifndef HF_ENGINE_RECOVERY_PRIVATE_H
#define HF_ENGINE_RECOVERY_PRIVATE_H

#include "core/auto.h"
#include "core/buf.h"
#include "engine/catalog_write.h"
#include "engine/past.h"
#include "engine/recovery.h"
#include "engine/snapshot.h"

#include <jansson.h>

#define HF_RECOVERY_DETAIL_BYTES_MAX ((size_t)256 << 20)

enum hf_plan_action {
    HF_PLAN_KEEP,  /* stands as it was already */
    HF_PLAN_WRITE, /* a new version with the old content */
    HF_PLAN_BURY   /* a tombstone */
};

struct hf_plan_item {
    const char *component;
    const struct hf_component_info *current; /* NULL: the catalogue does not know it */
    const struct hf_past_entry *source;      /* NULL: it came later */
    enum hf_plan_action action;
    bool stays;                          /* when salvaging: nothing is known that it could become */
    struct hf_registration registration; /* the present one, or the source's for one that is not known */
    int64_t component_id;                /* given when applied, for one that is not known */
    int64_t new_version, new_sequence;   /* when action is not KEEP */
    const char *content_type;            /* interned, when applied */
    int64_t loss_ms, loss_versions, loss_bytes;
    int wave; /* -1: not present afterwards */
};

struct hf_plan {
    struct hf_arena arena;
    struct hf_system_info system;            /* as planned for */
    const struct hf_component_info *present; /* by name */
    int present_count;
    struct hf_plan_item *items; /* by name; owns */
    int count, capacity;
    int waves;
    int64_t changes, buried, restored;
    int64_t unproven; /* stay only because it is not known whether the source held them */
    int64_t loss_ms, loss_versions, loss_bytes, loss_components;
};

/* A snapshot that was passed over. */
struct hf_skipped_snapshot {
    const char *snapshot, *reason;
    int64_t cut_at_ms, sequence;          /* 0: not known */
    bool planned;                         /* the plan that is applied told of it, and of its cost: */
    int64_t planned_ms, planned_versions; /* -1: not known */
};

/* What is left of a snapshot, where that is what is restored. */
struct hf_salvage {
    bool under_way;
    struct hf_past_salvage list;
    int64_t lost, lost_bytes;
};

struct hf_recovering {
    struct hf_engine *engine;
    const struct hf_recovery_request *request;
    struct hf_arena arena; /* lives as long as this */
    struct hf_system_info system;
    struct hf_selected *selected; /* by name; owns; NULL: all */
    int selected_count, selected_capacity;
    char id[40];
    int64_t started_at_ms;
    int64_t planned_at_ms;               /* when the plan that is applied was made; 0: there is none */
    uint64_t step_ns;                    /* when the step under way began */
    struct hf_buf steps;                 /* content of a JSON array */
    struct hf_skipped_snapshot *skipped; /* owns */
    int skipped_count, skipped_capacity;
    bool elsewhere; /* what the snapshot's files lack is read from other copies: they cannot be mended */
    struct hf_salvage salvage;
    struct hf_salvage planned; /* what the plan that is applied said of it */
    int64_t planned_sequence;  /* and which cut it showed; 0: there is none */

    /* the source */
    struct hf_past *past;          /* NULL: head */
    const char *snapshot;          /* that it is, or was to be; "" */
    struct hf_past_cut cut;        /* texts of the past */
    int64_t wanted;                /* source at: the sequence of that moment; -1: not known */
    bool foreign;                  /* of another system: its version numbers say nothing about this one's */
    struct hf_past_entry *sources; /* by name; of the past */
    int64_t source_count;

    struct hf_plan plan;
    bool has_plan;
    struct hf_recovery_row row; /* texts in arena */
};

/* recovery.c */
void hf_recovery_step(struct hf_recovering *recovering, const char *format, ...) HF_PRINTF(2, 3);
/* Checks, plans and, unless it is a dry run, applies what was opened. HF_DAMAGED: nothing was changed. */
HF_MUST_USE bool hf_recovery_use_source(struct hf_recovering *recovering, struct hf_error *err);

/* recovery_choose.c: the snapshot that was named, or the newest before before_ms that is whole. */
HF_MUST_USE bool hf_recovery_use_named(struct hf_recovering *recovering, struct hf_error *err);
HF_MUST_USE bool hf_recovery_use_newest(struct hf_recovering *recovering, int64_t before_ms, struct hf_error *err);
/* HF_PRECONDITION: what was cut then is older than the request allows. */
HF_MUST_USE bool hf_recovery_check_age(const struct hf_recovering *recovering, int64_t cut_at_ms, struct hf_error *err);

/* recovery_skipped.c: the "skipped" member of a row's detail. */
void hf_recovery_skip(struct hf_recovering *recovering, const struct hf_snapshot_row *row, const char *reason);
void hf_recovery_take_over_skipped(struct hf_recovering *recovering, const json_t *list);
void hf_recovery_write_skipped(const struct hf_recovering *recovering, struct hf_buf *out);
void hf_recovery_log_skipped(const struct hf_recovering *recovering); /* with what it cost */
/* How much newer the newest of them is than what was used; -1: not known, or none. */
int64_t hf_recovery_skipped_ms(const struct hf_recovering *recovering);

/* recovery_request.c: the "request" member of a row's detail. */
void hf_recovery_write_request(const struct hf_recovering *recovering, struct hf_buf *out);
/* What the plan passed over stays told, and what it said of a salvage is kept. */
void hf_recovery_take_over_plan(struct hf_recovering *recovering);
/* HF_PLAN_CHANGED when a plan that is applied without force was made for another sequence or epoch than now. */
HF_MUST_USE bool hf_recovery_check_unmoved(const struct hf_recovering *recovering, const struct hf_system_info *now,
                                           struct hf_error *err);

/* Of a plan that is applied, forced or not: HF_PLAN_CHANGED when its source holds another cut now. */
HF_MUST_USE bool hf_recovery_check_cut(const struct hf_recovering *recovering, struct hf_error *err);
/* The same, when other components are lost than the plan said. */
HF_MUST_USE bool hf_recovery_check_salvage(const struct hf_recovering *recovering, struct hf_error *err);

/* recovery_source.c: opens the chain of one snapshot, leased; HF_DAMAGED names what is wrong. When salvaging: what
 * is left of it. */
HF_MUST_USE bool hf_recovery_open_snapshot(struct hf_recovering *recovering, const struct hf_snapshot_row *row,
                                           struct hf_error *err);
/* From history. *reached_out false: history does not go back so far. */
HF_MUST_USE bool hf_recovery_open_history(struct hf_recovering *recovering, int64_t at_ms, bool *reached_out,
                                          struct hf_error *err);
void hf_recovery_close_source(struct hf_recovering *recovering);
/* Reads all that would be restored and checks it. When salvaging, damage only marks the component as lost;
 * HF_DAMAGED when none is left. */
HF_MUST_USE bool hf_recovery_verify_source(struct hf_recovering *recovering, struct hf_error *err);

/* recovery_select.c: makes the selection for the source that is open. */
HF_MUST_USE bool hf_recovery_select(struct hf_recovering *recovering, struct hf_error *err);
bool hf_recovery_is_selected(const struct hf_recovering *recovering, const char *component);
/* What depends on it, where it only comes along; NULL: it was named. */
const char *hf_recovery_because(const struct hf_recovering *recovering, const char *component);
/* HF_NOT_FOUND for one that was named and that the source cannot bring back. */
HF_MUST_USE bool hf_recovery_check_selection(const struct hf_recovering *recovering, struct hf_error *err);
/* Content of a JSON array: what the plan leaves without something that it depends on. */
void hf_recovery_write_warnings(const struct hf_recovering *recovering, struct hf_buf *out);

/* recovery_plan.c: compares the source with the catalogue as it is now; replaces an earlier plan. */
HF_MUST_USE bool hf_plan_make(struct hf_recovering *recovering, struct hf_error *err);
void hf_plan_done(struct hf_recovering *recovering);
HF_MUST_USE bool hf_plan_write_detail(struct hf_recovering *recovering, struct hf_buf *out, struct hf_error *err);

/* recovery_record.c: HF_IDEMPOTENCY_REUSED when the request's key is kept already, with something else than this
 * recovery. Inside the caller's transaction. */
HF_MUST_USE bool hf_recovery_check_key(struct hf_session *session, const struct hf_recovering *recovering,
                                       struct hf_error *err);
/* The row as filled, inside the caller's transaction. A recovery that is pending waits for reports
 * of its components from then on; one that is applied can be reported to. The first is a run of hf_call. */
HF_MUST_USE bool hf_recovery_insert_plan(struct hf_session *session, void *recovering, struct hf_error *err);
/* *taken_out: its plan was applied by somebody else meanwhile (HF_PLAN_CHANGED). */
HF_MUST_USE bool hf_recovery_insert_restore(struct hf_session *session, const struct hf_recovering *recovering,
                                            bool *taken_out, struct hf_error *err);

/* recovery_apply.c: everything in one transaction on the committer. */
HF_MUST_USE bool hf_recovery_apply(struct hf_recovering *recovering, struct hf_error *err);
/* Fills the row from the plan. */
HF_MUST_USE bool hf_recovery_fill_row(struct hf_recovering *recovering, const char *status, struct hf_error *err);

#endif
