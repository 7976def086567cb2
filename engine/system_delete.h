/* Deleting a whole system. Its directories are renamed before its rows go and removed after, so that a new system of
 * the same name, which may come into being at once, never shares them; what a crash leaves in between is ended here at
 * the next start. hf_system_delete is in engine.h. */
#ifndef HF_ENGINE_SYSTEM_DELETE_H
#define HF_ENGINE_SYSTEM_DELETE_H

#include "engine/engine.h"

/* At start, before anything is decided from files: a deletion that was begun and of whose system the rows are there is
 * undone. lost: the database cannot tell (it was made anew, or its rebuild is not finished); then the files stay aside
 * as .orphaned-…, and nothing is rebuilt from them. Others wait for hf_deletions_finish. */
HF_MUST_USE bool hf_deletions_settle(struct hf_engine *engine, struct hf_session *session, bool lost,
                                     struct hf_error *err);

/* At start, when the database has proved good: removes the files of systems that it does not know. What cannot be
 * removed is told of and tried again at the next start. */
void hf_deletions_finish(struct hf_engine *engine);

#endif
