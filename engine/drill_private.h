/* What the parts of drills share: drill.c (the thread, and when which system is due), drill_run.c (the course of one
 * drill and its verdict), drill_scratch.c (the scratch database) and drill_facts.c (what is known, in memory). Not for
 * others. */
#ifndef HF_ENGINE_DRILL_PRIVATE_H
#define HF_ENGINE_DRILL_PRIVATE_H

#include "core/arena.h"
#include "core/auto.h"
#include "engine/drill.h"
#include "store/snapshots.h"

#include <pthread.h>
#include <stdatomic.h>

#define HF_DRILL_BUCKETS 1024

struct hf_known_drill {
    struct hf_arena arena;
    bool has;
    struct hf_drill_row row;
};

/* What is known of one system. */
struct hf_drill_memory {
    struct hf_drill_memory *next;
    int64_t system_id;
    struct hf_known_drill last, passed;
    int64_t restore_ms, history_from_ms;
    uint64_t round;     /* when its system was last there */
    bool history_known; /* history_from_ms was looked up; not again until something was trimmed for its size */
};

struct hf_driller {
    struct hf_engine *engine;
    pthread_t thread;
    pthread_mutex_t drilling; /* held while a drill is under way: one in the process */
    atomic_bool stopping;
    pthread_cond_t wake;   /* on the monotonic clock */
    pthread_mutex_t mutex; /* protects the following, and the sleep; taken after drilling */
    struct hf_drill_memory *memories[HF_DRILL_BUCKETS]; /* by id */
    uint64_t round;
};

/* One drill under way; texts in the arena. */
struct hf_drill {
    struct hf_engine *engine;
    struct hf_driller *driller;
    struct hf_arena *arena;
    struct hf_system_info system;
    struct hf_snapshot_row snapshot; /* leased; id "": none */
    struct hf_drill_row row;
};

/* drill_run.c; wait: for a drill under way, instead of HF_CONFLICT. */
HF_MUST_USE bool hf_drill_take(struct hf_engine *engine, const char *system, bool wait, struct hf_arena *arena,
                               struct hf_drill_row *out, struct hf_error *err);

/* drill_scratch.c: restores, loads and compares; fills in the row's duration, components and bytes. HF_DAMAGED: it is
 * proven that what comes out is not what went in. */
HF_MUST_USE bool hf_drill_restore(struct hf_drill *drill, struct hf_error *err);
/* Is there room for it? Where that cannot be found out there is. */
bool hf_drill_has_room(const struct hf_drill *drill);
/* Removes the scratch databases that a crash left; each is told of. */
void hf_drill_sweep(struct hf_engine *engine);

/* drill_facts.c */
HF_MUST_USE bool hf_drill_load_facts(struct hf_driller *driller, struct hf_error *err);
void hf_drill_note(struct hf_driller *driller, const struct hf_drill_row *row); /* copies it */
/* Looks up what is missing, forgets systems that are gone, sets the gauges. Asks the database. */
void hf_drill_refresh_facts(struct hf_driller *driller);
void hf_drill_free_facts(struct hf_driller *driller);
/* When the last drill was started, and of what kind it was: 0 and "" when there was none. */
int64_t hf_drill_last_at(struct hf_driller *driller, int64_t system_id, char status_out[16]);

#endif
