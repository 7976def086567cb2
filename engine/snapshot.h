/* Taking and keeping snapshots: a cut at a sequence, read in one read-only transaction, written as one immutable file,
 * then told to the database. Writers never wait. One snapshot per system at a time. */
#ifndef HF_ENGINE_SNAPSHOT_H
#define HF_ENGINE_SNAPSHOT_H

#include "engine/engine.h"
#include "store/snapshots.h"

struct hf_snapshotter;
struct hf_snapshotter *hf_snapshotter_new(struct hf_engine *engine);
void hf_snapshotter_free(struct hf_snapshotter *snapshotter);

struct hf_snapshot_request {
    const char *system;
    bool full;           /* what is asked for; an incremental without a usable parent becomes a full */
    const char *trigger; /* schedule | manual | shutdown | event */
    const char *label;   /* NULL: "" */
    bool even_unchanged; /* manual fulls: take one although nothing changed since the last full */
};

/* Takes one and waits for it (also for one under way on the same system). *out's texts live in the arena. When nothing
 * changed and even_unchanged is not set, *out is the previous snapshot and *unchanged_out true. out->reason says why
 * it is not what was asked for. Failures also leave an event, a metric and, for the operator, the previous snapshot
 * as it was. HF_NOT_FOUND: no such system. */
HF_MUST_USE bool hf_snapshot_take(struct hf_engine *engine, const struct hf_snapshot_request *request,
                                  struct hf_arena *arena, struct hf_snapshot_row *out, bool *unchanged_out,
                                  struct hf_error *err);

/* What is under way or has lately failed, for GET …/snapshots/{id} while running. */
struct hf_snapshot_progress {
    char id[HF_SNAPSHOT_ID_MAX];
    char kind[16];
    char state[16]; /* "running" | "failed" */
    char error[256];
    int64_t cut_at_ms;
    int64_t components_done, components_total;
};
bool hf_snapshot_progress(struct hf_engine *engine, const char *system, const char *id_or_null,
                          struct hf_snapshot_progress *out);

/* Starts one in the background and returns its id at once (Prefer: respond-async, State-Event-Snapshot). Bounded: if
 * one waits already for this system, that one's id is returned. Any thread; never blocks. */
HF_MUST_USE bool hf_snapshot_start(struct hf_engine *engine, const struct hf_snapshot_request *request,
                                   char id_out[HF_SNAPSHOT_ID_MAX], struct hf_error *err);

/* HF_SNAPSHOT_IN_USE while a restore reads it, while another of its generation builds on it, or while it is pinned
 * (the text says which). Row first, then the file. */
HF_MUST_USE bool hf_snapshot_delete(struct hf_engine *engine, const char *system, const char *id, struct hf_error *err);
HF_MUST_USE bool hf_snapshot_patch(struct hf_engine *engine, const char *system, const char *id,
                                   const char *label_or_null, const bool *pinned_or_null, struct hf_error *err);

/* "latest" or an id to its row; arena. */
HF_MUST_USE bool hf_snapshot_find(struct hf_engine *engine, const char *system, const char *id, struct hf_arena *arena,
                                  struct hf_snapshot_row *out, struct hf_error *err);

/* Takes an archive (repository/archive.h) in as a new snapshot of the system, which comes into being if need be: a full
 * of a generation of its own, trigger import. It is never "latest", never what a snapshot builds on, and never what a
 * rebuild chooses; it can be restored by its id. */
struct hf_reader;
HF_MUST_USE bool hf_snapshot_import(struct hf_engine *engine, const char *system, const struct hf_reader *from,
                                    const char *label, struct hf_arena *arena, struct hf_snapshot_row *out,
                                    struct hf_error *err);

/* Leases: a snapshot that is being read is not deleted, nor is its system. HF_CONFLICT: it or the system is being
 * deleted. */
HF_MUST_USE bool hf_snapshot_lease(struct hf_engine *engine, int64_t system_id, const char *id, struct hf_error *err);
void hf_snapshot_release(struct hf_engine *engine, int64_t system_id, const char *id);

/* A restore found that its bytes are not what they were: row, event, and nothing new builds on it. */
HF_MUST_USE bool hf_snapshot_mark_damaged(struct hf_engine *engine, const char *system, const char *id,
                                          const char *reason, struct hf_error *err);

/* When its retention begins: at its cut; of an import when it came, however old it is. */
int64_t hf_snapshot_kept_from_ms(const struct hf_snapshot_row *row);

/* When it expires (the above + retention of the system), in epoch ms; 0: pinned. */
int64_t hf_snapshot_expires_at_ms(struct hf_engine *engine, const struct hf_system_info *system,
                                  const struct hf_snapshot_row *row);

/* The newest rows of a system, from memory: answers while the database is away. Texts live in the arena. */
struct hf_snapshot_newest {
    bool has_full, has_incremental, has_newest, has_oldest; /* complete and not known to be damaged */
    struct hf_snapshot_row full, incremental, newest, oldest;
    int64_t damaged;              /* rows known to be damaged */
    int64_t pending;              /* complete rows that have no verdict yet */
    int64_t last_validated_at_ms; /* of any; 0: never */
    char last_error[256];         /* of the last attempt; "": it succeeded */
};
void hf_snapshot_read_newest(struct hf_engine *engine, int64_t system_id, struct hf_arena *arena,
                             struct hf_snapshot_newest *out);

/* The row of a file that was found; a damaged one is dated now. Texts are borrowed from header, file and reason. */
struct hf_snapshot_row hf_snapshot_row_of_file(int64_t system_id, const struct hf_manifest_header *header,
                                               const char *file, int64_t file_bytes, bool damaged, const char *reason);

/* Queues the validation of snapshots that have not been validated, newest first, as far as the queue takes them;
 * newest_too: of the newest one in any case. Not from a loop thread. */
void hf_snapshots_validate_pending(struct hf_engine *engine, const char *system, bool newest_too);

/* True when nothing waits for the snapshotter's thread and the system has snapshots that have not been validated. */
bool hf_snapshots_wait_for_validation(struct hf_engine *engine, int64_t system_id);

/* At start: rows without files become damaged, files without rows are adopted, leftovers removed; each is told. */
HF_MUST_USE bool hf_snapshots_adopt(struct hf_engine *engine, struct hf_error *err);

#endif
