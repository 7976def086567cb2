/* What the parts of the snapshotter share: snapshot.c (asking, waiting, background), snapshot_cut.c (what a snapshot
 * lists), snapshot_compare.c (whether a snapshot holds it already), snapshot_view.c (the system as it holds it),
 * snapshot_write.c (its file and row), snapshot_exposed.c (what it does not hold), snapshot_lost.c (what to hold of
 * states that are lost), snapshot_keep.c (rows in memory, leases, deletion), snapshot_adopt.c (start-up),
 * system_delete.c (all of a system's), and validation (validation_private.h). Not for others.
 *
 * Locks are taken in this order: shelf->judging, shelf->taking, snapshotter->mutex, the catalogue's. Only the first two
 * are held across I/O. */
#ifndef HF_ENGINE_SNAPSHOT_PRIVATE_H
#define HF_ENGINE_SNAPSHOT_PRIVATE_H

#include "core/arena.h"
#include "core/auto.h"
#include "engine/catalog_write.h"
#include "engine/engine.h"
#include "engine/snapshot.h"

#include <pthread.h>
#include <stdatomic.h>

#define HF_SNAPSHOT_JOBS_MAX    64
#define HF_SNAPSHOT_ALIASES_MAX 64
#define HF_SNAPSHOT_LEASES_MAX  256

/* One component as the last snapshot holds it. */
struct hf_view_entry {
    char *name; /* owns; NULL: no such component in the snapshot */
    int64_t version;
    int64_t sequence;
    int64_t bytes;
    int64_t declared; /* the component's, when it was read; -1: the registration is not known to memory */
    struct hf_hash hash;
    bool deleted;
    /* Above 0: the content of that version, the one of the cut, was lost. The snapshot holds the above instead: what
     * the snapshot before it held, or version 0. */
    int64_t lost_version;
    bool lost_marked; /* the catalogue said damaged then: when it does no more, the state is whole again */
    uint32_t listed;  /* while a snapshot is made: its place in the list + 1 */
};

/* The whole system as of one snapshot: what an incremental needs so that it does not read everything again. */
struct hf_view {
    char id[HF_SNAPSHOT_ID_MAX]; /* the snapshot it stands for; "" while it is being brought up to date */
    int64_t sequence;
    struct hf_view_entry *entries; /* entries[component_id - 1] */
    int64_t capacity;
    uint32_t *order; /* component ids by name */
    int64_t order_count, order_capacity;
    bool unsorted;
};

/* A row kept in memory. */
struct hf_kept_row {
    struct hf_arena arena;
    bool has;
    struct hf_snapshot_row row;
    int64_t declared; /* the system's before the cut; 0: not known, it was taken in an earlier run */
};

/* All about the snapshots of one system. Lives as long as the snapshotter. */
struct hf_shelf {
    int64_t system_id;
    char *name;
    struct hf_shelf *next;

    /* Held from reading a snapshot back until the verdict is recorded: an older verdict must not follow a newer one,
     * and what is being read back is not deleted. Take it with hf_shelf_await. */
    pthread_mutex_t judging;
    atomic_int awaited; /* how many wait for judging: a slow reader then hurries */
    /* With judging held: all files of this generation up to this sequence were read then, and found or made sound. */
    char examined_generation[HF_SNAPSHOT_ID_MAX];
    int64_t examined_sequence;
    uint64_t examined_ns;

    /* Held while a snapshot of the system is taken or deleted; protects the following. */
    pthread_mutex_t taking;
    struct hf_view *view;        /* NULL: must be read again */
    struct hf_blob_index *index; /* of the generation below; NULL: must be read again */
    char index_generation[HF_SNAPSHOT_ID_MAX];
    bool orphaned; /* a file was published whose row could not be written */
    bool loaded;
    int64_t history_bytes, history_sequence; /* retention.c: last measure; -1: none yet */

    /* The following are protected by snapshotter->mutex. */
    struct hf_asked_validation *asked;                    /* validation_ask.c; the first is under way */
    struct hf_kept_row full, incremental, newest, oldest; /* complete and not damaged */
    int64_t anchor_cut_at_ms;                             /* of newest's generation; 0: its anchor is missing */
    int64_t last_cut_at_ms;                               /* the latest of the system's own, damaged ones too */
    bool generation_damaged;                              /* a file of newest's generation is known to be damaged */
    int64_t damaged_count;
    int64_t pending_count;        /* complete rows without a verdict, when they were last read */
    int64_t unvalidated_count;    /* the same, and those that were taken since */
    int64_t last_validated_at_ms; /* 0: never */
    bool has_progress;
    struct hf_snapshot_progress progress;
    char asked_id[HF_SNAPSHOT_ID_MAX];  /* what the one under way was announced as; "": not announced */
    char queued_id[HF_SNAPSHOT_ID_MAX]; /* announced and waiting; "": none */
    bool deleting;                      /* the system is being deleted, or was */
    char removing[HF_SNAPSHOT_ID_MAX];  /* the snapshot that is being deleted; "": none */
};

enum hf_snapshot_job_kind { HF_JOB_TAKE, HF_JOB_VALIDATE };
struct hf_snapshot_job {
    enum hf_snapshot_job_kind kind;
    char system[HF_NAME_MAX + 4];
    char id[HF_SNAPSHOT_ID_MAX]; /* TAKE: the announced one; VALIDATE: the snapshot */
    bool just_taken;             /* VALIDATE */
    bool full, even_unchanged;
    char trigger[16];
    char label[1024];
};

struct hf_snapshot_alias {
    int64_t system_id;
    char announced[HF_SNAPSHOT_ID_MAX];
    char made[HF_SNAPSHOT_ID_MAX];
};

struct hf_snapshot_lease {
    int64_t system_id;
    char id[HF_SNAPSHOT_ID_MAX];
    int count; /* 0: free slot */
};

struct hf_snapshotter {
    struct hf_engine *engine;
    pthread_t thread;
    pthread_mutex_t mutex; /* protects everything below and what the shelves say */
    pthread_cond_t wake;
    bool stopping;
    struct hf_shelf *shelves;
    struct hf_snapshot_job jobs[HF_SNAPSHOT_JOBS_MAX]; /* a ring */
    int job_first, job_count;
    struct hf_snapshot_alias aliases[HF_SNAPSHOT_ALIASES_MAX]; /* a ring */
    int alias_next;
    struct hf_snapshot_lease leases[HF_SNAPSHOT_LEASES_MAX];
};

/* One component as a snapshot lists it. */
struct hf_cut_entry {
    struct hf_manifest_entry entry;
    int64_t component_id;
    int64_t declared; /* as in the view */
    bool changed;     /* since the snapshot that it was compared with */
};

/* One snapshot being made. */
struct hf_making {
    struct hf_engine *engine;
    struct hf_shelf *shelf;
    const struct hf_snapshot_request *request;
    const char *asked_id; /* the id announced, or "" */
    struct hf_session *session;
    struct hf_arena arena; /* lives until the answer is copied out */
    uint64_t started_ns;

    struct hf_manifest_header header; /* what the file will say; filled step by step */
    bool full, anchor;
    const char *reason; /* why it is not what was asked for; "" */
    struct hf_snapshot_row previous;
    bool has_previous;
    int64_t declared;          /* the system's, before anything was read */
    int64_t begun_at_ms;       /* the time of that moment; what was registered before it is in */
    int64_t previous_declared; /* when previous was cut; 0: not known */
    int64_t anchor_cut_at_ms, last_cut_at_ms;
    bool generation_damaged;
    int64_t folded_sequence;

    struct hf_cut_entry *entries; /* what it lists, by name; owns */
    int64_t entry_count, entry_capacity;
    struct hf_view *view;        /* the whole system at the cut; taken from the shelf while it is worked on */
    bool unchanged;              /* last says it all; it is previous then */
    bool perhaps_unchanged;      /* whether last does is for its file to tell */
    struct hf_snapshot_row last; /* the one that makes another needless when nothing changed */
    bool previous_tried;         /* the next is loaded, or cannot be */
    struct hf_chain *chain;      /* of previous, for what is lost; owns */
    const char *lost_reason;     /* what is lost, for the row; NULL: nothing */
    const char *lost_data;       /* the same as JSON, for the event */
};

/* snapshot.c */
struct hf_shelf *hf_shelf_get(struct hf_engine *engine, const char *system, struct hf_error *err); /* NULL: unknown */
/* Takes judging, and lets whoever holds it know that somebody waits. */
void hf_shelf_await(struct hf_shelf *shelf);
/* With judging or taking held: the system of the shelf is still the one of its name. HF_NOT_FOUND: it was deleted while
 * the lock was waited for; HF_CONFLICT: nobody knows yet whether it was. */
HF_MUST_USE bool hf_shelf_check_current(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_error *err);
bool hf_snapshot_queue_validation(struct hf_engine *engine, const char *system, const char *id);

/* snapshot_cut.c; begins the transaction of making->session. */
HF_MUST_USE bool hf_cut_read(struct hf_making *making, struct hf_error *err);

/* snapshot_compare.c */
struct hf_cut_comparison {
    bool continues; /* the database holds exactly what the snapshot says for everything up to its sequence */
    bool same;      /* nothing came later, and all that is declared is the same; what is lost may be held as it was */
};

void hf_cut_note_declared(struct hf_making *making);
/* What is listed was registered before the time of the cut, and what comes later is registered after it. */
void hf_cut_keep_order(struct hf_making *making);
/* True: making->last is as good as a new one. Where memory cannot tell, perhaps_unchanged is set. */
bool hf_cut_is_unchanged(struct hf_making *making);
/* Of everything that is listed, with the file of a snapshot; marks what changed. One that cannot be used is not
 * continued. */
HF_MUST_USE bool hf_cut_compare(struct hf_making *making, const struct hf_snapshot_row *row,
                                struct hf_cut_comparison *out, struct hf_error *err);
void hf_cut_keep_changed(struct hf_making *making); /* drops what is not marked */
/* making->last makes another needless: it need not be compared again. continues: what was listed is what it holds, and
 * a next incremental may build on the view. */
void hf_cut_keep_unchanged(struct hf_making *making, bool continues);
/* Of what was listed from the database: which of the catalogue's registrations it is. */
void hf_cut_number_registrations(struct hf_making *making);
/* The catalogue has every component of the view, under the same name. */
bool hf_view_has_all_names(struct hf_making *making, const struct hf_view *view);

/* snapshot_view.c */
void hf_view_free(struct hf_view *view);                                      /* accepts NULL */
struct hf_view_entry *hf_view_at(struct hf_view *view, int64_t component_id); /* made when it is not there */
void hf_view_put(struct hf_view *view, const struct hf_cut_entry *cut);
void hf_cut_sort(struct hf_making *making);
/* Root hash and totals of the whole system, and what of it changed, into the header. */
void hf_cut_count(struct hf_making *making);

/* snapshot_lost.c: the content of cut is lost. The entry becomes what the previous snapshot held of the component,
 * whose content may be lost too; or a registration without a state, when there is none or never_mind. */
HF_MUST_USE bool hf_lost_replace(struct hf_making *making, struct hf_cut_entry *cut, bool never_mind,
                                 struct hf_error *err);
/* The content of a replaced entry, from the snapshot files or wherever a copy is left. */
HF_MUST_USE bool hf_lost_read(struct hf_making *making, const struct hf_manifest_entry *entry, struct hf_blob **out,
                              struct hf_error *err);
void hf_lost_describe(struct hf_making *making); /* fills lost_reason and lost_data */
/* What the last snapshot lacks can be read again. With taking held. */
bool hf_lost_came_back(struct hf_making *making);

/* snapshot_write.c: publishes the file and its row; *row_out's texts live in making->arena. */
HF_MUST_USE bool hf_snapshot_write(struct hf_making *making, struct hf_snapshot_row *row_out, struct hf_error *err);

/* snapshot_keep.c; session NULL: takes one. Reads the rows of the shelf's system into memory. */
HF_MUST_USE bool hf_shelf_load(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_session *session,
                               struct hf_error *err);
/* Tells the catalogue what the newest snapshot holds, and looks up when the first commit was made that it does not
 * hold: where history was trimmed since, the oldest that is kept; without any the cut of the snapshot. Whenever the
 * newest is another one. session NULL: takes one; it must not see a view from before. */
void hf_shelf_note_held(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_session *session);
void hf_shelf_forget(struct hf_shelf *shelf); /* drops view and index; taking is held */
/* No new snapshot, validation or lease until hf_shelf_end_deletion; HF_SNAPSHOT_IN_USE while there is a lease. With
 * judging and taking held. */
HF_MUST_USE bool hf_shelf_begin_deletion(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_error *err);
void hf_shelf_end_deletion(struct hf_engine *engine, struct hf_shelf *shelf, bool deleted);
void hf_kept_row_set(struct hf_kept_row *kept, const struct hf_snapshot_row *row);
void hf_snapshot_row_copy(struct hf_arena *arena, const struct hf_snapshot_row *from, struct hf_snapshot_row *to);
HF_MUST_USE bool hf_snapshot_set_state(struct hf_engine *engine, int64_t system_id, const char *id, const char *state,
                                       const char *validation_status, double quality_score, struct hf_error *err);
/* With taking held: row, then file; the mirror's copy goes later. HF_SNAPSHOT_IN_USE, and nothing is changed, while
 * there is a lease on it; none is given meanwhile. */
HF_MUST_USE bool hf_snapshot_remove(struct hf_engine *engine, struct hf_shelf *shelf, const struct hf_snapshot_row *row,
                                    int64_t *freed_out, struct hf_error *err);
bool hf_snapshot_is_leased(struct hf_engine *engine, int64_t system_id, const char *id);

/* snapshot_adopt.c: files without rows, rows without files; system NULL: all. */
HF_MUST_USE bool hf_snapshots_match_files(struct hf_engine *engine, const char *system_or_null, struct hf_error *err);

#endif
