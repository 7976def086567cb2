/* The service healing itself at start: a missing or damaged database is set aside and rebuilt from the newest snapshot
 * chain that validates. */
#ifndef HF_ENGINE_REBUILD_H
#define HF_ENGINE_REBUILD_H

#include "engine/engine.h"

/* Opens the store. Damaged SQLite: holdfast.db, -wal, -shm are renamed to holdfast.db.damaged-<time> (never
 * overwritten) and a new one is made. A fresh database with snapshot files present is rebuilt system by system: newest
 * valid chain not older than recovery_max_age_ms; only proven corruption moves on to an older snapshot; an I/O error is
 * retried, then ends the start with a message. Too old or all corrupt: fresh start — files stay, sequence and epoch go
 * on above what the files say, and the log gives the exact command that restores them. *rebuilt_out says whether
 * anything was rebuilt; messages and recovery rows are written once the engine runs (kept in the engine until then). */
HF_MUST_USE bool hf_rebuild_open_store(struct hf_engine *engine, bool *rebuilt_out, struct hf_error *err);

/* For a store that opened but proved damaged while it was loaded (a page that the opening check did not reach): closes
 * it, sets it aside and rebuilds as above; engine->store is the new one. PostgreSQL is never set aside: HF_DAMAGED
 * with what to do. */
HF_MUST_USE bool hf_rebuild_replace_store(struct hf_engine *engine, struct hf_error *err);

#endif
