/* The writing side of the catalogue, for the committer and for loading at start. Functions named _locked need
 * hf_catalog_lock held; the pending fields belong to the committer thread alone and need no lock. */
#ifndef HF_ENGINE_CATALOG_WRITE_H
#define HF_ENGINE_CATALOG_WRITE_H

#include "engine/catalog.h"
#include "engine/name_table.h"

struct hf_component {
    char *name; /* first: it is what the name table looks at */
    int64_t id; /* 1, 2, 3, … in its system */
    struct hf_head head;
    struct hf_registration *registration; /* owns; NULL: never registered */
    int64_t declared;                     /* of the system's, when the registration was set; 0: never registered */
    char *status;                         /* owns; NULL: "" */
    char *metrics;                        /* owns; NULL: "{}" */
    double health;
    int64_t heartbeat_at_ms;
    int64_t last_activity_at_ms;
    int64_t created_at_ms;
    bool damaged;
    char *lack;              /* owns; NULL: the state last judged is complete (see completeness.h) */
    int64_t judged_sequence; /* of that state; 0: none, or by another registration */
    bool stale;              /* heartbeats stopped, and the scheduler has told so */
    bool dirty;              /* differs from its row: waits for a fold */
    uint32_t visit;          /* mark of the last walk over the dependencies */
    struct hf_component *dirty_next;

    /* cache: body of head.sequence; on the ring when not NULL */
    struct hf_blob *body;
    bool body_recent;
    struct hf_component *ring_next, *ring_previous;

    /* committer thread only: the head as it will be after the batch under way */
    struct hf_head pending;
    uint64_t pending_batch; /* the batch that pending belongs to; else pending is stale and head counts */
    bool stored;            /* its row exists (or is in the batch under way) */
    /* Of the last write that told one, that under way included. Not on disk: what comes late came on a connection, and
     * connections end with the process. */
    struct hf_order order;
};

struct hf_system {
    char *name; /* first, as above */
    int64_t id;
    char *description;
    int64_t sequence; /* committed */
    int64_t epoch;
    int64_t committed_at_ms;
    int64_t created_at_ms;
    int64_t folded_sequence;
    int64_t backup_interval_ms, incremental_interval_ms, max_retention_hours;
    /* The newest snapshot's, 0: none; and when the first commit after it was made, 0: there is none. Changed by the
     * functions below. */
    int64_t held_sequence, exposed_since_ms;
    int64_t present_count, present_bytes;
    int64_t last_component_id;
    int64_t reserved_component_id; /* rows of states name numbers up to here: never given to another component */
    /* Counts what changes and does not move the sequence: registrations, names, settings. From 1 on in each run of the
     * service: it tells what came since, where a time would not (the clock is set back, a commit comes later). */
    int64_t declared;
    int64_t cut_at_ms;         /* of the last cut in this run: later registrations have later times */
    int64_t registering_at_ms; /* of the registration that is being committed; 0: none */

    struct hf_name_table components;
    struct hf_component **by_id; /* component id - 1 */
    uint32_t by_id_capacity;
    struct hf_component **by_name; /* the first by_name_sorted are in order, the rest waits to be merged */
    uint32_t by_name_count, by_name_sorted, by_name_capacity;
    struct hf_component *dirty_first;
    int64_t dirty_count;

    /* committer thread only */
    int64_t pending_sequence;
    int64_t pending_committed_at_ms;
    uint64_t pending_batch;
    bool stored; /* its row exists; until then nobody but the committer sees it */
    struct hf_system *batch_next;
};

void hf_catalog_lock(struct hf_catalog *catalog);
void hf_catalog_unlock(struct hf_catalog *catalog);

struct hf_system *hf_catalog_find_system_locked(struct hf_catalog *catalog, const char *name);
struct hf_system *hf_catalog_system_by_id_locked(struct hf_catalog *catalog, int64_t id);
/* Adds an empty one; id 0 takes the next free. */
struct hf_system *hf_catalog_add_system_locked(struct hf_catalog *catalog, const char *name, int64_t id,
                                               int64_t created_at_ms);
void hf_catalog_rename_system_locked(struct hf_catalog *catalog, struct hf_system *system, const char *name);
void hf_catalog_remove_system_locked(struct hf_catalog *catalog, struct hf_system *system);    /* frees it */
struct hf_system *hf_catalog_next_system_locked(struct hf_catalog *catalog, int64_t after_id); /* by id; NULL: end */

/* The database has taken commits from the present sequence up to this one, at at_ms. */
void hf_system_advance_locked(struct hf_system *system, int64_t sequence, int64_t at_ms);
/* The newest snapshot holds everything up to held. True: there is more, made after cut_at_ms (of a system without a
 * snapshot: since it was created); since when exactly has to be looked up and told by the one below. */
bool hf_catalog_set_held(struct hf_catalog *catalog, int64_t system_id, int64_t held, int64_t cut_at_ms);
/* Ignored when something else is held by now. */
void hf_catalog_set_exposed(struct hf_catalog *catalog, int64_t system_id, int64_t held, int64_t since_ms);

struct hf_component *hf_catalog_find_component_locked(const struct hf_system *system, const char *name);
struct hf_component *hf_catalog_component_by_id_locked(const struct hf_system *system, int64_t id);
struct hf_component *hf_catalog_add_component_locked(struct hf_system *system, const char *name, int64_t id,
                                                     int64_t created_at_ms); /* id 0 takes the next free */
/* This number and those below are not given to new components, though none may carry it. */
void hf_catalog_reserve_component_id_locked(struct hf_system *system, int64_t id);
/* In memory only. The new name is free. */
void hf_catalog_rename_component_locked(struct hf_system *system, struct hf_component *component, const char *name);
void hf_catalog_drop_component_locked(struct hf_system *system, struct hf_component *component); /* never stored one */
/* A stored one that never had a state, and whose row is deleted. Its number is not given again in this run. */
void hf_catalog_forget_component_locked(struct hf_system *system, struct hf_component *component);

/* Sets the committed head, keeps counts, the dirty list and the cache (body may be NULL; takes no reference of the
 * caller's, adds its own). */
void hf_catalog_set_head_locked(struct hf_catalog *catalog, struct hf_system *system, struct hf_component *component,
                                const struct hf_head *head, struct hf_blob *body);
void hf_catalog_mark_dirty_locked(struct hf_system *system, struct hf_component *component);

/* A mark that no component carries yet, for a walk over the dependencies. */
uint32_t hf_catalog_next_visit_locked(struct hf_catalog *catalog);

/* The order of a deletion that found nothing: kept for a while, until a write of the component tells another. */
void hf_catalog_note_absent_locked(struct hf_catalog *catalog, const char *system, const char *component,
                                   const struct hf_order *order);
/* The component's order (NULL: it does not exist), or that of a deletion that found nothing; writer 0: none. */
struct hf_order hf_catalog_order_locked(const struct hf_catalog *catalog, const char *system, const char *name,
                                        const struct hf_component *component);

/* Replaces the registration (copied). */
void hf_catalog_set_registration_locked(struct hf_system *system, struct hf_component *component,
                                        const struct hf_registration *registration);

/* The one copy of a content type, valid as long as the catalogue; NULL when there are too many different ones. */
const char *hf_catalog_intern_locked(struct hf_catalog *catalog, const char *content_type);

#endif
