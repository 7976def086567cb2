/* The catalogue: every system and the head of every component, in memory, with a bounded cache of latest states.
 *
 * It is what the database says, kept by the committer: heads change only after their commit is on disk. One mutex
 * protects all of it; it is held for lookups and copies only, never across I/O, so loop threads may take it. */
#ifndef HF_ENGINE_CATALOG_H
#define HF_ENGINE_CATALOG_H

#include "core/arena.h"
#include "core/blob.h"
#include "core/digest.h"
#include "core/error.h"

#include <stdint.h>

struct hf_catalog;
struct hf_system;
struct hf_component;

/* What a component declared about itself; immutable once in the catalogue. */
struct hf_registration {
    const char *kind;              /* "" when not given */
    const char *const *depends_on; /* names */
    int depends_on_count;
    const char *depends_on_json;        /* the same as a JSON array */
    const char *required_pointers_json; /* JSON array of RFC 6901 pointers */
    int64_t heartbeat_interval_ms;      /* 0: none promised */
    int64_t registered_at_ms;           /* 0: never registered */
};

/* The version a component stands at. */
struct hf_head {
    int64_t version; /* 0: registered, no state yet */
    int64_t sequence;
    struct hf_hash hash;
    int64_t bytes;
    const char *content_type; /* interned: valid as long as the catalogue */
    int64_t committed_at_ms;
    bool deleted;
    int64_t epoch; /* of the system when the present head was read; 0: a head of the past, or in the catalogue */
};

static inline bool hf_head_is_present(const struct hf_head *head)
{
    return head->version > 0 && !head->deleted;
}

/* Whose write it was, and its place among the writes of that writer. */
struct hf_order {
    uint64_t writer; /* a hash of its name; 0: nobody's */
    int64_t number;
};

struct hf_health_report {
    double health;           /* 0..1; -1: never reported */
    const char *status;      /* "" */
    const char *metrics;     /* JSON object of numbers, "{}" */
    int64_t heartbeat_at_ms; /* 0: never */
};

/* A copy for readers; texts live in the arena given. */
struct hf_component_info {
    const char *name;
    int64_t component_id;
    struct hf_head head;
    struct hf_registration registration;
    struct hf_health_report report;
    int64_t last_activity_at_ms;
    int64_t created_at_ms;
    bool damaged;     /* a read found that the stored bytes do not match their hash */
    const char *lack; /* what validation found wrong with what the state says; NULL: nothing */
};

struct hf_system_info {
    int64_t id;
    char name[132];
    char description[1028];
    int64_t sequence;
    int64_t epoch;
    int64_t committed_at_ms;
    int64_t created_at_ms;
    int64_t backup_interval_ms;      /* -1: the service's setting */
    int64_t incremental_interval_ms; /* -1 */
    int64_t max_retention_hours;     /* -1 */
    int64_t components;              /* with a present state */
    int64_t state_bytes;             /* sum of their sizes */
    int64_t exposed_since_ms;        /* when the first commit was made that no snapshot holds; 0: none */
};

struct hf_catalog *hf_catalog_new(int64_t cache_bytes_max);
void hf_catalog_free(struct hf_catalog *catalog);

/* ---- readers: any thread, never waiting for I/O ---- */

bool hf_catalog_read_system(struct hf_catalog *catalog, const char *system, struct hf_system_info *out);

/* All systems by name; the array lives in the arena. */
struct hf_system_info *hf_catalog_list_systems(struct hf_catalog *catalog, struct hf_arena *arena, int *count_out);

/* The head of one component, the system's epoch, and its cached body (*body_out owns a reference, or NULL: not
 * cached, too big, or no state). epoch_out and body_out may be NULL. False when system or component is unknown. */
bool hf_catalog_read_head(struct hf_catalog *catalog, const char *system, const char *component, struct hf_head *out,
                          int64_t *epoch_out, struct hf_blob **body_out);

bool hf_catalog_read_component(struct hf_catalog *catalog, const char *system, const char *component,
                               struct hf_arena *arena, struct hf_component_info *out);

/* Components in byte order of their names, strictly after `after` ("" for the start), at most limit; tombstones too.
 * The array lives in the arena; *system_found_out tells whether the system exists. */
struct hf_component_info *hf_catalog_list_components(struct hf_catalog *catalog, const char *system, const char *after,
                                                     int limit, struct hf_arena *arena, int *count_out,
                                                     bool *system_found_out);

/* Puts a body that a reader fetched from the database, verified, into the cache, if the head still has that sequence:
 * the component counts as damaged no more. */
void hf_catalog_offer_body(struct hf_catalog *catalog, const char *system, const char *component, int64_t sequence,
                           struct hf_blob *body);

/* Notes a heartbeat (kept in memory, written with the next fold). False: no such component. status and metrics_json
 * are copied; NULL leaves the old. */
bool hf_catalog_heartbeat(struct hf_catalog *catalog, const char *system, const char *component, double health,
                          const char *status, const char *metrics_json, int64_t at_ms);

/* Marks a component whose stored bytes proved damaged (or whole again). True when that is news. */
bool hf_catalog_mark_damaged(struct hf_catalog *catalog, const char *system, const char *component, bool damaged);

/* Would component -> depends_on close a cycle? Writes it as "a -> b -> a" into the arena, or returns NULL. */
const char *hf_catalog_find_cycle(struct hf_catalog *catalog, const char *system, const char *component,
                                  const char *const *depends_on, int count, struct hf_arena *arena);

#endif
