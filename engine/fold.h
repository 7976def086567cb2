/* Folding: bringing the rows of component_state_tracking up to the heads in memory. An upload commits by adding a row
 * at the end of component_states; the head rows, scattered over the tree, follow later, each once however often its
 * component changed meanwhile. systems.folded_sequence says how far that is done; what comes after it is read from the
 * tail at start. Committer thread only. */
#ifndef HF_ENGINE_FOLD_H
#define HF_ENGINE_FOLD_H

#include "engine/catalog_write.h"
#include "store/store.h"

struct hf_fold;
struct hf_fold *hf_fold_new(void);
void hf_fold_free(struct hf_fold *fold);

/* How long until the next step is due, in ms: 0 now, -1 nothing to do. */
int64_t hf_fold_wait_ms(struct hf_fold *fold, struct hf_catalog *catalog, uint64_t now_ns, bool idle);

/* Writes at most some hundred rows in one transaction. On failure nothing is lost: the rows are written later. */
HF_MUST_USE bool hf_fold_step(struct hf_fold *fold, struct hf_catalog *catalog, struct hf_session *session,
                              struct hf_error *err);

/* Everything, for an ordered stop. */
HF_MUST_USE bool hf_fold_all(struct hf_fold *fold, struct hf_catalog *catalog, struct hf_session *session,
                             struct hf_error *err);

/* Writes every head of one system inside the caller's transaction. Needs no struct hf_fold, and leaves what is dirty as
 * it is. */
HF_MUST_USE bool hf_fold_system(struct hf_catalog *catalog, struct hf_session *session, int64_t system_id,
                                struct hf_error *err);

#endif
