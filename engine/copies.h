/* Where copies of contents lie: rows, memory and snapshot files of a system, or of all its relatives, read once for all
 * contents that are looked for, and remembered until a snapshot or a fork comes, or for a while. What is remembered is
 * a hint (the first bytes of hashes): who finds a place reads it and verifies. At most 12 MiB each. Any thread. */
#ifndef HF_ENGINE_COPIES_H
#define HF_ENGINE_COPIES_H

#include "engine/heal.h"

struct hf_copies;
struct hf_copies *hf_copies_new(void);
void hf_copies_free(struct hf_copies *copies); /* accepts NULL */

#define HF_COPY_IN_FILES  INT64_C(0) /* of the repository or the mirror */
#define HF_COPY_IN_MEMORY INT64_C(-1)
struct hf_copy_place {
    int64_t system_id;
    int64_t sequence; /* of its row, or one of the above */
};

/* Places with a content of this hash, at most limit: of the system itself, or of its relatives. SOON reads for a second
 * at most, and not while another thread reads; THOROUGH for half a minute. *complete_out false: not everything was
 * read. */
int hf_copies_find(struct hf_engine *engine, int64_t system_id, bool relatives, const struct hf_hash *hash,
                   enum hf_heal_patience patience, struct hf_copy_place *out, int limit, bool *complete_out);

/* There may be copies now that were not there before. */
void hf_copies_changed(struct hf_engine *engine);

#endif
