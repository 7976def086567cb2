/* The engine: what the product does, put together. Plain C; no HTTP, no SQL text. */
#ifndef HF_ENGINE_ENGINE_H
#define HF_ENGINE_ENGINE_H

#include "core/config.h"
#include "engine/catalog.h"
#include "engine/committer.h"
#include "engine/sessions.h"
#include "repository/repository.h"
#include "store/store.h"

enum hf_phase { HF_PHASE_STARTING, HF_PHASE_RECOVERING, HF_PHASE_READY, HF_PHASE_STOPPING };

/* A row whose loss was told of. */
#define HF_TOLD_DAMAGE_MAX 1024
struct hf_told_damage {
    int64_t system_id, sequence;
    uint64_t looked_ns; /* when every place was last looked at; 0: free */
};

struct hf_engine {
    const struct hf_config *config; /* borrows */
    int directory_lock;             /* flock on the data directory: one server a directory */
    struct hf_store *store;
    struct hf_sessions *sessions;
    struct hf_repository *repository;
    struct hf_keys *keys;                    /* of the repository; NULL: neither encrypted nor signed */
    struct hf_repository *mirror_repository; /* NULL: none is configured; its directories come and go */
    struct hf_mirror *mirror;                /* mirror.h */
    struct hf_scrubber *scrubber;            /* validation.h */
    struct hf_driller *driller;              /* drill.h */
    struct hf_catalog *catalog;
    struct hf_event_queue *events; /* on their way to the database; see events.h */
    struct hf_event_feed *feed;    /* of the streams; event_feed.h */
    struct hf_committer *committer;
    struct hf_snapshotter *snapshotter;                    /* snapshot.h */
    struct hf_scheduler *scheduler;                        /* scheduler.h */
    struct hf_told_damage told_damage[HF_TOLD_DAMAGE_MAX]; /* this and the next: heal.c, behind its lock */
    bool told_database_damage;
    struct hf_copies *copies;   /* copies.h */
    struct hf_storage *storage; /* storage.h */
    _Atomic int imports;        /* under way: snapshot_import.c */
    int64_t started_at_ms;
    atomic_bool breaking_off; /* validations that were asked for end without a verdict */
    _Atomic int phase;        /* enum hf_phase */
};

/* Locks the data directory (HF_CONFIG: another server uses it), opens the repository, opens or rebuilds the database
 * (rebuild.h), loads the catalogue, starts committer and scheduler. */
HF_MUST_USE bool hf_engine_start(struct hf_engine **out, const struct hf_config *config, struct hf_error *err);

/* The first step of an ordered end: streams of events end with service.stopping, and no more are opened. */
void hf_engine_end_streams(struct hf_engine *engine);

/* Before an ordered end: validations that were asked for, the scrub and drills break off at their next read, and no
 * further ones begin. What writes goes on to its end. */
void hf_engine_break_off(struct hf_engine *engine);

/* Ordered end: scheduler stops, a final full snapshot of every system that changed since its last snapshot (trigger
 * shutdown), committer drains and folds, database closes. False: a final snapshot could not be taken (told in the log);
 * it stops all the same. */
bool hf_engine_stop(struct hf_engine *engine);

/* ---- reading states (read.c); worker threads ---- */

enum hf_moment_kind { HF_MOMENT_LATEST, HF_MOMENT_VERSION, HF_MOMENT_AT, HF_MOMENT_SNAPSHOT, HF_MOMENT_SEQUENCE };
struct hf_moment {
    enum hf_moment_kind kind;
    int64_t version;      /* VERSION */
    int64_t at_ms;        /* AT */
    const char *snapshot; /* SNAPSHOT: id or "latest" */
    int64_t sequence;     /* SEQUENCE: after this one */
};

struct hf_state {
    struct hf_head head;
    int64_t epoch;
    struct hf_blob *body;   /* owns */
    char content_type[256]; /* what head.content_type points to for past moments */
    /* Which cut was really used, for AT, SNAPSHOT and SEQUENCE: an instant the system was so (0: not asked for, or no
     * longer known), and the snapshot that it came from ("": history). */
    int64_t cut_at_ms;
    char cut_snapshot[HF_SNAPSHOT_ID_MAX];
};

/* HF_NOT_FOUND (says whether system, component, or that moment is missing), HF_DAMAGED (also marks the component and
 * emits an event). AT and SEQUENCE before kept history fall back to the nearest snapshot
 * before that is whole; they mean what past.h says, for one component: what is kept of it is given exactly, even where
 * history no longer tells of all the others. */
HF_MUST_USE bool hf_state_read(struct hf_engine *engine, const char *system, const char *component,
                               const struct hf_moment *moment, struct hf_state *out, struct hf_error *err);

struct hf_version_info {
    struct hf_head head;
    const char *event; /* NULL: none */
};
/* Newest first, versions below before_version (INT64_MAX: start); arena. */
HF_MUST_USE bool hf_state_versions(struct hf_engine *engine, const char *system, const char *component,
                                   int64_t before_version, int limit, struct hf_arena *arena,
                                   struct hf_version_info **out, int *count_out, struct hf_error *err);

/* ---- systems and registrations (systems.c); worker threads ---- */

struct hf_system_settings {
    const char *description;         /* NULL: "" */
    int64_t backup_interval_ms;      /* -1: the service's */
    int64_t incremental_interval_ms; /* -1 */
    int64_t max_retention_hours;     /* -1 */
};
HF_MUST_USE bool hf_system_put(struct hf_engine *engine, const char *system, const struct hf_system_settings *settings,
                               bool *created_out, struct hf_error *err);
/* Creates it, as an upload would, when it is not there. */
HF_MUST_USE bool hf_system_ensure(struct hf_engine *engine, const char *system, struct hf_error *err);
/* Everything of the system: rows, catalogue, snapshot files. Refused while a content that other systems share with it
 * is damaged and a place that may have a copy cannot be searched; with force it is given up then, and an event names
 * it. */
HF_MUST_USE bool hf_system_delete(struct hf_engine *engine, const char *system, bool force, struct hf_error *err);

/* Creates system and component as needed. HF_DEPENDENCY_CYCLE: cycle_out (arena) names it. registered_at_ms is set
 * here, to no time before the system's last commit and after its last cut. */
HF_MUST_USE bool hf_component_register(struct hf_engine *engine, const char *system, const char *component,
                                       const struct hf_registration *registration, bool *created_out,
                                       const char **cycle_out, struct hf_arena *arena, struct hf_error *err);

/* Forgets a component that was registered and never had a state: its row and its place in the catalogue.
 * *forgotten_out is false, and nothing changed, when it has or had a state, or is not known. order: of the deletion,
 * which is remembered (writer 0: none). */
HF_MUST_USE bool hf_component_forget(struct hf_engine *engine, const char *system, const char *component,
                                     const struct hf_order *order, bool *forgotten_out, struct hf_error *err);

#endif
