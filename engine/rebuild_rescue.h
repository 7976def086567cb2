/* What a damaged database that was set aside still holds, laid over a system that is rebuilt: of each component the
 * newest version above the snapshot that proves itself. Nothing else is taken. */
#ifndef HF_ENGINE_REBUILD_RESCUE_H
#define HF_ENGINE_REBUILD_RESCUE_H

#include "core/arena.h"
#include "core/buf.h"
#include "repository/repository.h"
#include "store/store.h"
#include "store/systems.h"

struct hf_rescue;

/* *out is NULL when there is no such file, or damage lets nothing of it be read (the log says why). */
HF_MUST_USE bool hf_rescue_open(struct hf_rescue **out, const char *path, struct hf_error *err);
void hf_rescue_close(struct hf_rescue *rescue); /* accepts NULL */

/* Rows of systems, by id; sequence is -1 where only the name can be read. Texts are borrowed. */
const struct hf_system_row *hf_rescue_systems(const struct hf_rescue *rescue, int64_t *count_out);
const struct hf_system_row *hf_rescue_find(const struct hf_rescue *rescue, const char *name); /* NULL: unknown */

/* The greatest sequence and epoch that the file knows of the system: both only ever go on above. */
void hf_rescue_bounds(const struct hf_rescue *rescue, const struct hf_system_row *old, int64_t *sequence_out,
                      int64_t *epoch_out);

struct hf_rescued {
    struct hf_buf taken, lost; /* elements of JSON arrays: {"component", "version"} */
    int64_t taken_count, lost_count;
    int64_t unread;       /* rows that could not be read and that no other replaces, as far as is known */
    bool examined, whole; /* whole: nothing is lost, and it is known how far the system had come */
    char first_lost[200]; /* names */
};
void hf_rescued_init(struct hf_rescued *rescued);
void hf_rescued_done(struct hf_rescued *rescued);

/* Within the transaction that is open on the session, which has written the system and the chain (NULL: none). What is
 * damaged is told of in *out; HF_DAMAGED is never the answer. */
HF_MUST_USE bool hf_rescue_lay(struct hf_rescue *rescue, const struct hf_system_row *old, struct hf_session *session,
                               const struct hf_system_row *system, const struct hf_chain *chain, struct hf_rescued *out,
                               struct hf_error *err);

#endif
