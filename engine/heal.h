/* Good bytes for bad ones. The primary database is healed from the snapshot files, the snapshot files from each other,
 * the mirror and the primary: a content is known by its hash, wherever it lies. */
#ifndef HF_ENGINE_HEAL_H
#define HF_ENGINE_HEAL_H

#include "engine/engine.h"
#include "repository/repair.h"
#include "store/states.h"

/* The primary as a source of contents for repair.h: latest states in memory and in the database, and version history,
 * which has no index by hash: each content that is asked for may read the metadata of all rows. One thread. */
struct hf_heal_primary {
    struct hf_engine *engine;
    const char *system;
};
struct hf_content_source hf_heal_source(struct hf_heal_primary *primary);

/* SOON: for one who answers a client and holds a worker. Others that are being healed are waited for only shortly
 * (HF_OVERLOADED), and relatives get a second. THOROUGH: for one who may look for many: reads once for all of them.
 * SURE: as thorough, for one who deletes what is lost: HF_DAMAGED only when everything could be searched. */
enum hf_heal_patience { HF_HEAL_SOON, HF_HEAL_THOROUGH, HF_HEAL_SURE };

/* Any copy of this content outside its own row: memory, other rows, snapshot files, mirror; of this system, and of
 * its family, the systems that were forked from each other, whatever they share. Verified. *out owns a reference.
 * False: there is none that can be read now. Not from a loop thread. */
bool hf_heal_find(struct hf_engine *engine, const char *system, const struct hf_hash *hash, int64_t bytes,
                  enum hf_heal_patience patience, struct hf_blob **out, char origin[HF_ORIGIN_BYTES]);

/* The row of a state is damaged, altered or gone: finds its content, gives it (*out owns), and writes the row again
 * through the committer, with an event that says what was wrong (damage) and where the good copy came from. expected
 * says what the row was: system_id, sequence, component_id (0: looked up), version, epoch, hash, content_type,
 * committed_at_ms; its bytes count for nothing, the length is that of the content. A row that is neither the latest of
 * its component nor there any more stays gone. True also when the row could not be written: the bytes are right. False:
 * no copy is left (HF_DAMAGED; a latest state is marked damaged, once with an event), or the database is away (its
 * code), or, to SURE, a place that may have a copy could not be searched (the code of the reason). On the committer's
 * thread the row is left as it is. Not from a loop thread. */
HF_MUST_USE bool hf_heal_state(struct hf_engine *engine, const char *system, const char *component,
                               const struct hf_state_row *expected, const char *damage, enum hf_heal_patience patience,
                               struct hf_blob **out, struct hf_error *err);

/* The database says of itself that it is corrupt: database.damaged, once while the service runs. */
void hf_heal_note_database(struct hf_engine *engine, const char *what);

#endif
