/* Where copies of contents lie: rows, memory and snapshot files of a system, or of all its relatives, read once for all
 * contents that are looked for, and remembered until a snapshot or a fork comes, or for a while. What is remembered is
 * a hint (the first bytes of hashes): who finds a place reads it and verifies. Eight systems and families are
 * remembered at most, in 24 MiB together; those that were asked for last stay. Any thread. */
#ifndef HF_ENGINE_COPIES_H
#define HF_ENGINE_COPIES_H

#include "engine/heal.h"

#define HF_COPIES_ENTRIES_MAX ((size_t)1 << 19)

/* entries_max: of one index, and of all others together; 24 bytes each. */
struct hf_copies;
struct hf_copies *hf_copies_new(size_t entries_max);
void hf_copies_free(struct hf_copies *copies); /* accepts NULL */

#define HF_COPY_IN_FILES  INT64_C(0) /* of the repository or the mirror */
#define HF_COPY_IN_MEMORY INT64_C(-1)
struct hf_copy_place {
    int64_t system_id;
    int64_t sequence; /* of its row, or one of the above */
};

struct hf_copies_wanted {
    int64_t system_id;
    bool relatives; /* theirs, not its own */
    const struct hf_hash *hash;
    enum hf_heal_patience patience;
    const struct hf_copy_place *after; /* NULL: from the first on; else what comes behind this one */
};

/* Places with a content of this hash, in order, at most limit. SOON reads for a second at most, and not while another
 * thread reads; THOROUGH for half a minute. *missed_out HF_OK: everything was read; HF_KEY_MISSING: everything for
 * which there is a key; else not even that. Its text says for people what was not read. */
int hf_copies_find(struct hf_engine *engine, const struct hf_copies_wanted *wanted, struct hf_copy_place *out,
                   int limit, struct hf_error *missed_out);

/* There may be copies now that were not there before. */
void hf_copies_changed(struct hf_engine *engine);

/* What could not be searched may be there again: whatever has missed something is read again when it is asked for. For
 * one who would otherwise be refused something. Waits while others read. */
void hf_copies_forget_missed(struct hf_engine *engine);

struct hf_copies_usage {
    int64_t readings; /* since the start */
    int remembered;   /* systems and families */
    int64_t bytes;
};
struct hf_copies_usage hf_copies_usage(struct hf_engine *engine);

#endif
