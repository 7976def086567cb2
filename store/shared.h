/* Contents shared between systems, without copying a byte: a row of a fork has none of its own and names the row that
 * holds it. That row is always the last in line: naming one that names another names that other, so a read looks one
 * row further at most (hf_states_get does, and verifies the hash as ever).
 *
 * A holder may go at any time: before it is trimmed or deleted, its content goes to the first that names it, and the
 * others name that one from then on. So history of the holder keeps its rules, and nobody has to count. Error codes are
 * those of store.h. */
#ifndef HF_STORE_SHARED_H
#define HF_STORE_SHARED_H

#include "store/store.h"

/* A first version in its system (nothing before it), present, with the content of another row. */
struct hf_shared_row {
    int64_t system_id;
    int64_t sequence;
    int64_t component_id;
    int64_t version;
    int64_t epoch;
    struct hf_hash hash;
    const char *content_type;
    int64_t committed_at_ms;
    int64_t origin_system_id, origin_sequence;
    bool shared; /* out: inserted; false: there is no such origin any more, or it says another hash */
};

/* Rows in order of sequence, all of one system. */
HF_MUST_USE bool hf_shared_insert(struct hf_session *session, struct hf_shared_row *rows, int count,
                                  struct hf_error *err);

/* Before all rows of this system are deleted. */
HF_MUST_USE bool hf_shared_give_all(struct hf_session *session, int64_t system_id, struct hf_error *err);

/* Before hf_states_trim deletes with these arguments; in its transaction. */
HF_MUST_USE bool hf_shared_give_trimmed(struct hf_session *session, int64_t system_id, int64_t up_to, int64_t limit,
                                        struct hf_error *err);

/* Which systems share contents with this one: they may have other copies. No index: reads what all of them share. */
HF_MUST_USE bool hf_shared_relatives(struct hf_session *session, int64_t system_id, int limit, int64_t *ids_out,
                                     int *count_out, struct hf_error *err);

#endif
