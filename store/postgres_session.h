/* Sessions of the PostgreSQL engine: one link each, statements prepared, and the state of the transaction. Semantics
 * are those of store.h. Private to the PostgreSQL engine. */
#ifndef HF_STORE_POSTGRES_SESSION_H
#define HF_STORE_POSTGRES_SESSION_H

#include "store/engine.h"
#include "store/postgres_link.h"

struct hf_postgres_store {
    struct hf_store base;
    struct hf_postgres_target target;
    int64_t timeout_ms;
    bool claim;
    struct hf_postgres_link link; /* for opening and migrating; closed afterwards */
};

/* A server process of PostgreSQL: ids are reused, so the start time belongs to it. */
struct hf_postgres_backend {
    int64_t pid; /* 0: none */
    int64_t started_at_us;
};

/* Takes the advisory lock that makes this server the only writer, by the deadline of the link. On success *holder is
 * our backend; on entry it may name a former backend of ours, which is ended when it still stands in the way.
 * HF_CONFLICT when another server has the lock, HF_STORE_DOWN when the database is away or the former backend does not
 * end in time. */
HF_MUST_USE bool hf_postgres_claim_take(struct hf_postgres_link *link, struct hf_postgres_backend *holder,
                                        struct hf_error *err);

/* Functions of the engine's table. */
bool hf_postgres_session_open(struct hf_session **out, struct hf_store *store, enum hf_session_role role,
                              struct hf_error *err);
void hf_postgres_session_close(struct hf_session *session);
bool hf_postgres_session_reset(struct hf_session *session, struct hf_error *err);
bool hf_postgres_session_is_broken(struct hf_session *session);
bool hf_postgres_session_begin(struct hf_session *session, struct hf_error *err);
bool hf_postgres_session_commit(struct hf_session *session, struct hf_error *err);
void hf_postgres_session_rollback(struct hf_session *session);
bool hf_postgres_session_exec(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                              int param_count, hf_row_fn *each, void *context, int64_t *affected_out,
                              struct hf_error *err);
bool hf_postgres_session_exec_many(struct hf_session *session, enum hf_statement statement,
                                   const struct hf_value *params, int columns, int row_count, int64_t *affected_out,
                                   struct hf_error *err);

#endif
