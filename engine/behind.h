/* A database that is behind its own snapshot files: it opens and reads well, and yet lacks commits that were
 * acknowledged (a write-ahead log that was lost, an old copy that was put back). */
#ifndef HF_ENGINE_BEHIND_H
#define HF_ENGINE_BEHIND_H

#include "engine/engine.h"

/* At start, after adoption and before traffic: every system whose newest whole snapshot has a greater sequence than its
 * row is brought forward. Its sequence and epoch go on above what the files say, so that no number is given twice, and
 * the newest snapshot that proves good is restored as new versions; what the database held stays in its history. Events
 * tell of it. A system that cannot be restored keeps what it has. False: the database did not take the new numbers. */
HF_MUST_USE bool hf_behind_bring_forward(struct hf_engine *engine, struct hf_error *err);

#endif
