/* Contents shared between systems, without copying a byte: a row of a fork has none of its own and names the row that
 * holds it. That row is always the last in line: naming one that names another names that other, so a read looks one
 * row further at most (hf_states_get does, and verifies the hash as ever).
 *
 * A holder may go at any time: before it is trimmed or deleted, its content goes to the first that names it, and the
 * others name that one from then on. So history of the holder keeps its rules, and nobody has to count. Error codes are
 * those of store.h. */
#ifndef HF_STORE_SHARED_H
#define HF_STORE_SHARED_H

#include "store/states.h"

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

/* A fork joins the family of its origin, which becomes family (of chance, not 0) if it has none yet: whoever is forked
 * from another is its relative as long as both are there, whatever they share. */
HF_MUST_USE bool hf_shared_join_family(struct hf_session *session, int64_t system_id, int64_t origin_system_id,
                                       int64_t family, struct hf_error *err);

/* Which systems are of one family with this one: they may have other copies. */
HF_MUST_USE bool hf_shared_relatives(struct hf_session *session, int64_t system_id, int limit, int64_t *ids_out,
                                     int *count_out, struct hf_error *err);

/* Writes a row again as hf_states_replace does; but where its content lies with another row, the content is written
 * there, so that all who share it are well at once. Where that row is gone or says another hash or length, or this
 * one another component, version or length than it has to, this one holds the content from now on, and the others name
 * it. In one transaction. */
HF_MUST_USE bool hf_shared_replace(struct hf_session *session, const struct hf_state_row *row, struct hf_error *err);

/* The first row that would get a content of this system when what holds it goes: by hf_shared_give_all, or, with
 * trim, by hf_states_trim with up_to and limit. */
struct hf_heir {
    int64_t origin_sequence;
    int64_t system_id, sequence;
};
typedef bool hf_heir_fn(void *context, const struct hf_heir *heir); /* false ends the list */
struct hf_heirs_of {
    int64_t system_id;
    bool trim;
    int64_t up_to, limit;
};
HF_MUST_USE bool hf_shared_list_heirs(struct hf_session *session, const struct hf_heirs_of *of, hf_heir_fn *each,
                                      void *context, struct hf_error *err);

/* Of all present rows that hold their content themselves: sequence and hash. Reads all of the system's rows. */
typedef bool hf_own_state_fn(void *context, int64_t sequence, const struct hf_hash *hash); /* false ends it */
HF_MUST_USE bool hf_shared_list_own(struct hf_session *session, int64_t system_id, hf_own_state_fn *each, void *context,
                                    struct hf_error *err);

#endif
