/* Writing one system, as a chain of snapshot files holds it, into a database: the real one that is rebuilt, or a
 * scratch one in which restoring is only tried. */
#ifndef HF_ENGINE_REBUILD_WRITE_H
#define HF_ENGINE_REBUILD_WRITE_H

#include "repository/repository.h"
#include "store/store.h"
#include "store/systems.h"

#include <stdatomic.h>

/* Inserts the system's row, and of every component its row and the state that the chain holds, each verified as it is
 * read: ids are places in the chain, from 1. Within the transaction that is open on the session. stop (NULL: never) set
 * breaks it off: HF_SHUTTING_DOWN. HF_DAMAGED, HF_IO and HF_KEY_MISSING are the chain's, the other codes the store's.
 * chain NULL: the system's row alone. */
HF_MUST_USE bool hf_rebuild_write(struct hf_session *session, const struct hf_system_row *system,
                                  struct hf_chain *chain, const atomic_bool *stop, struct hf_error *err);

#endif
