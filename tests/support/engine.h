/* A whole engine on SQLite in a directory of its own, without HTTP. Every helper fails the test that calls it. */
#ifndef HF_TESTS_ENGINE_H
#define HF_TESTS_ENGINE_H

#include "core/arena.h"
#include "engine/engine.h"
#include "engine/recovery.h"
#include "engine/snapshot.h"
#include "store/journal.h"

#define HF_TEST_NAME "shop" /* the system that the helpers use */

struct hf_test_service {
    char *directory; /* the data directory; snapshot files below it */
    struct hf_config config;
    struct hf_engine *engine; /* NULL while stopped */
    struct hf_arena arena;    /* for rows returned below */
};

/* In a new directory. flags: NULL, or a NULL-terminated list as on the command line; intervals are a day unless given,
 * so that nothing happens by itself. */
void hf_test_service_open(struct hf_test_service *service, const char *const *flags);
void hf_test_service_start(struct hf_test_service *service);
void hf_test_service_stop(struct hf_test_service *service);  /* ordered, with a final snapshot */
void hf_test_service_crash(struct hf_test_service *service); /* the files are as they were while it ran */
void hf_test_service_close(struct hf_test_service *service); /* stops and removes everything */

/* A path below the data directory (in the arena). */
char *hf_test_service_path(struct hf_test_service *service, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void hf_test_service_remove_database(struct hf_test_service *service);
int hf_test_count_set_aside(struct hf_test_service *service); /* damaged databases that a start put away */
int hf_test_service_count_files(struct hf_test_service *service, const char *below); /* snapshot files, recursive */
void hf_test_damage_file(const char *path, long offset); /* flips a byte; negative: from the end */
/* Flips a byte of a content that lies in the file as it is (short ones do); again: flips it back. */
void hf_test_damage_content(const char *path, const char *text);
/* The versions that others superseded are no longer in the database. */
void hf_test_forget_history(struct hf_test_service *service);

int64_t hf_test_put(struct hf_test_service *service, const char *component, const char *text); /* its version */
void hf_test_delete(struct hf_test_service *service, const char *component);
void hf_test_register(struct hf_test_service *service, const char *component, const char *kind,
                      const char *depends_on_or_null, int64_t heartbeat_interval_ms);
/* The present text (arena), or NULL. */
const char *hf_test_get(struct hf_test_service *service, const char *component);
struct hf_system_info hf_test_system(struct hf_test_service *service);

struct hf_snapshot_row hf_test_full(struct hf_test_service *service);
/* Whatever comes of asking for an incremental. */
struct hf_snapshot_row hf_test_incremental(struct hf_test_service *service, bool *unchanged_out);
/* The file of a snapshot. */
char *hf_test_engine_snapshot_path(struct hf_test_service *service, const struct hf_snapshot_row *row);
/* Removes its outline: what the file has only once is lost with it then. */
void hf_test_remove_outline(struct hf_test_service *service, const struct hf_snapshot_row *row);
/* Restores "latest" or an id. */
struct hf_recovery_row hf_test_restore(struct hf_test_service *service, const char *snapshot);
struct hf_hash hf_test_root_hash(struct hf_test_service *service); /* of the catalogue as it is now */
/* Waits for writing, and up to two seconds for one that may still come from a thread of the service. */
int hf_test_count_events(struct hf_test_service *service, int64_t system_id, const char *type);
/* Those that were emitted before this call, all of them and as soon as they are written: for what is told before its
 * caller goes on, and for what must not be told. Leaves a mirror.caught_up of its own. */
int hf_test_count_events_so_far(struct hf_test_service *service, int64_t system_id, const char *type);

#endif
