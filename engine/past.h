/* The whole system as of one moment: opened once, then compared, read from, restored or forked.
 *
 * It comes from version history where that is kept, read in one view of the database, and else from the nearest
 * snapshot before. Either way it is one cut: the system as of one sequence, for all components. Memory: one entry a
 * component; contents are read one at a time. One thread at a time; not from a loop thread. */
#ifndef HF_ENGINE_PAST_H
#define HF_ENGINE_PAST_H

#include "engine/engine.h"
#include "store/snapshots.h"

struct hf_past;

enum hf_past_kind { HF_PAST_NOW, HF_PAST_SNAPSHOT, HF_PAST_AT, HF_PAST_SEQUENCE };
struct hf_past_moment {
    enum hf_past_kind kind;
    const char *snapshot; /* SNAPSHOT: an id, or "latest": the newest that is whole */
    int64_t at_ms;        /* AT: after the last sequence committed at or before this instant */
    int64_t sequence;     /* SEQUENCE: after this one */
};

/* "now", a snapshot id or "latest", digits (a sequence), or an RFC 3339 time. snapshot borrows text. */
HF_MUST_USE bool hf_past_parse(const char *text, struct hf_past_moment *out, struct hf_error *err);

/* Which cut was really used. */
struct hf_past_cut {
    int64_t sequence;
    int64_t at_ms;        /* an instant the system was so: the one asked for, or the snapshot's, or the commit's */
    const char *snapshot; /* its id; "": from history */
    bool exact;           /* it is the moment asked for, or nothing changed in between */
    const char *why;      /* a snapshot was taken instead of history; "": it was not */
};

/* One component as it was. */
struct hf_past_entry {
    const char *component;
    int64_t version; /* 0: it had no state */
    int64_t sequence;
    struct hf_hash hash;
    int64_t bytes;
    const char *content_type;
    int64_t committed_at_ms;
    bool deleted;
    bool lost;                              /* for who salvages: its content is not what it was, or nowhere */
    const struct hf_manifest_entry *stored; /* in the snapshot, with its registration; NULL: from history */
};

static inline bool hf_past_entry_is_present(const struct hf_past_entry *entry)
{
    return entry && entry->version > 0 && !entry->deleted;
}

/* HF_NOT_FOUND: no such system or snapshot, a sequence that is not reached yet, or neither history nor a snapshot goes
 * back so far. A snapshot that proves damaged is HF_DAMAGED when named by its id, else the one before it is tried;
 * HF_IO and HF_KEY_MISSING prove nothing and end it. Imports are read by their id alone. The snapshot is leased, the
 * view of the database kept open until hf_past_close or hf_past_leave_view. */
HF_MUST_USE bool hf_past_open(struct hf_engine *engine, const char *system, const struct hf_past_moment *moment,
                              struct hf_past **out, struct hf_error *err);
void hf_past_close(struct hf_past *past); /* accepts NULL */

/* Gives the database session back early: for who holds several, or takes long. History may then be trimmed under it:
 * contents that are gone are HF_NOT_FOUND. */
void hf_past_leave_view(struct hf_past *past);

const struct hf_past_cut *hf_past_cut(const struct hf_past *past);
const struct hf_system_info *hf_past_system(const struct hf_past *past);     /* as it was when this was opened */
const struct hf_manifest_header *hf_past_header(const struct hf_past *past); /* of the snapshot; NULL: history */

/* In name order, with tombstones and components without a state; lives as long as the past. */
struct hf_past_entry *hf_past_entries(struct hf_past *past, int64_t *count_out);
const struct hf_past_entry *hf_past_find(const struct hf_past *past, const char *component); /* NULL: none */

/* One state, verified; *out owns a reference. An I/O error is tried again. What history holds damaged is healed from
 * another copy. HF_DAMAGED: none is left. */
HF_MUST_USE bool hf_past_read(struct hf_past *past, const struct hf_past_entry *entry, struct hf_blob **out,
                              struct hf_error *err);

/* What the component had declared then, as far as it is kept: snapshots hold registrations, history does not
 * (*known_out false: the present one is all there is). Texts live in the arena or as long as the past. */
HF_MUST_USE bool hf_past_registration(const struct hf_past_entry *entry, struct hf_arena *arena,
                                      struct hf_registration *out, bool *known_out, struct hf_error *err);

/* ---- for who chooses for himself ---- */

/* Of HF_PAST_NOW, AT or SEQUENCE. *out NULL with success: history does not go back so far; *wanted_out (may be NULL) is
 * then the sequence that was looked for, -1: not known. */
HF_MUST_USE bool hf_past_open_history(struct hf_engine *engine, const struct hf_system_info *system,
                                      const struct hf_past_moment *moment, struct hf_past **out, int64_t *wanted_out,
                                      struct hf_error *err);

/* What is left of a damaged snapshot (see hf_chain_salvage). */
struct hf_past_salvage {
    bool whole;    /* the list of components is */
    char why[480]; /* it is not */
};

/* This snapshot; leased. salvage NULL: it must be sound. HF_DAMAGED says what is wrong. */
HF_MUST_USE bool hf_past_open_snapshot(struct hf_engine *engine, const struct hf_system_info *system, const char *id,
                                       struct hf_past_salvage *salvage, struct hf_past **out, struct hf_error *err);

/* Contents that the snapshot's files lack are read from wherever else they are, as hf_past_open's are, and those of
 * who salvages. Else they are HF_DAMAGED: for who mends the files first. */
void hf_past_look_elsewhere(struct hf_past *past);

/* The newest whole snapshot at or before the moment: instead of history, for the reason given. wanted as above. */
HF_MUST_USE bool hf_past_open_nearest(struct hf_engine *engine, const struct hf_system_info *system,
                                      const struct hf_past_moment *moment, int64_t wanted, const char *why,
                                      struct hf_past **out, struct hf_error *err);

#endif
