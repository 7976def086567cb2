/* The primary database: one contract, two engines (SQLite, PostgreSQL).
 *
 * A store is an opened and migrated database. A session is one connection, used by one thread at a time; reads go to
 * read sessions, all writes to the committer's one write session. Statements are rows of one table (statements.h),
 * prepared when a session opens, so that a typo in SQL fails at start.
 *
 * Promises of both engines:
 *  - hf_session_commit returning true means: on disk, and it stays there (WAL fsynced / synchronous_commit = on).
 *  - Every call ends by the session's timeout; it never hangs, whatever the database does.
 *  - A failure is one of: HF_STORE_DOWN (nothing happened, the session must be reset), HF_OUTCOME_UNKNOWN (the
 *    connection broke or the deadline passed while committing; only from commit, and from a write outside a
 *    transaction, which commits by itself), HF_STORAGE_FULL (nothing happened), HF_DAMAGED (the database file is
 *    corrupt), HF_CONFLICT (unique or serialization failure; nothing happened), HF_INTERNAL.
 *  - After any failure inside a transaction the transaction is over: the caller rolls back (harmless when already
 *    rolled back) and may begin again, after hf_session_reset when the code was HF_STORE_DOWN or HF_OUTCOME_UNKNOWN. */
#ifndef HF_STORE_STORE_H
#define HF_STORE_STORE_H

#include "core/digest.h"
#include "core/error.h"
#include "store/statements.h"

#include <stddef.h>
#include <stdint.h>

struct hf_store;
struct hf_session;

struct hf_store_options {
    const char *database_url;   /* borrows; NULL: SQLite */
    const char *data_directory; /* SQLite: holds holdfast.db; exists */
    int64_t timeout_ms;         /* bound of one call */
    bool claim;                 /* PostgreSQL: take the lock that makes this server the only one (an advisory lock held
                                   by the write session); refused with HF_CONFLICT while another server has it */
};

/* Opens, checks (SQLite: header and quick_check up to a bounded size; HF_DAMAGED when corrupt), applies migrations
 * under a lock. A schema newer than the binary, or a migration whose checksum differs, is refused with HF_CONFIG.
 * PostgreSQL unreachable: HF_STORE_DOWN. *created_out (may be NULL) tells whether the database was empty. */
HF_MUST_USE bool hf_store_open(struct hf_store **out, const struct hf_store_options *options, bool *created_out,
                               struct hf_error *err);
void hf_store_close(struct hf_store *store);               /* after all its sessions are closed; accepts NULL */
const char *hf_store_engine(const struct hf_store *store); /* "sqlite" | "postgres" */

enum hf_session_role { HF_SESSION_READ, HF_SESSION_WRITE };
HF_MUST_USE bool hf_session_open(struct hf_session **out, struct hf_store *store, enum hf_session_role role,
                                 struct hf_error *err);
void hf_session_close(struct hf_session *session); /* accepts NULL */

/* Brings a broken session back (PostgreSQL reconnects, prepares, takes the claim again; SQLite rolls back). One
 * attempt, bounded by the timeout. HF_STORE_DOWN when the database is still away. */
HF_MUST_USE bool hf_session_reset(struct hf_session *session, struct hf_error *err);
/* Needs hf_session_reset before use. Outside a transaction also a look, without waiting, whether the server hung up. */
bool hf_session_is_broken(struct hf_session *session);

/* READ: one consistent view until commit or rollback (PostgreSQL REPEATABLE READ READ ONLY; SQLite WAL snapshot taken
 * at begin, not at the first read). WRITE: SQLite BEGIN IMMEDIATE. */
HF_MUST_USE bool hf_session_begin(struct hf_session *session, struct hf_error *err);
HF_MUST_USE bool hf_session_commit(struct hf_session *session, struct hf_error *err);
void hf_session_rollback(struct hf_session *session);

/* Values, both as parameters and as columns. Text and bytes are borrowed: parameters until the call returns, columns
 * until the row callback returns. Text columns are NUL-terminated. */
enum hf_value_type { HF_VALUE_NULL, HF_VALUE_INT, HF_VALUE_REAL, HF_VALUE_TEXT, HF_VALUE_BYTES };
struct hf_value {
    enum hf_value_type type;
    size_t bytes; /* TEXT, BYTES */
    union {
        int64_t integer;
        double real;
        const void *data;
    };
};
#define HF_NULL        ((struct hf_value){HF_VALUE_NULL, 0, {0}})
#define HF_INT(n)      ((struct hf_value){HF_VALUE_INT, 0, {.integer = (int64_t)(n)}})
#define HF_REAL(x)     ((struct hf_value){HF_VALUE_REAL, 0, {.real = (x)}})
#define HF_BYTES(p, n) ((struct hf_value){HF_VALUE_BYTES, (n), {.data = (p)}})
#define HF_HASH(h)     HF_BYTES((h)->bytes, HF_HASH_BYTES)
struct hf_value HF_TEXT(const char *text); /* NULL gives HF_NULL */

/* Readers for columns: NULL reads as 0, "" or a zero hash. */
int64_t hf_value_int(const struct hf_value *value);
double hf_value_real(const struct hf_value *value);
const char *hf_value_text(const struct hf_value *value);               /* borrows */
bool hf_value_hash(const struct hf_value *value, struct hf_hash *out); /* false when neither NULL nor 32 bytes */

/* Called for each row; returns false to stop early (the statement then still succeeds). */
typedef bool hf_row_fn(void *context, const struct hf_value *columns, int count);

/* Runs one statement. each may be NULL. *affected_out (may be NULL) is the number of rows inserted, updated or
 * deleted. Outside a transaction it is a transaction of its own. */
HF_MUST_USE bool hf_session_exec(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                                 int param_count, hf_row_fn *each, void *context, int64_t *affected_out,
                                 struct hf_error *err);

/* Runs one statement for many rows of parameters (row-major): SQLite row by row, PostgreSQL with one round trip of
 * binary arrays through unnest. Only for statements marked MANY; call inside a transaction. */
HF_MUST_USE bool hf_session_exec_many(struct hf_session *session, enum hf_statement statement,
                                      const struct hf_value *params, int columns, int row_count, int64_t *affected_out,
                                      struct hf_error *err);

/* Runs work inside one transaction with a bounded number of retries on HF_CONFLICT, after a reset when the session is
 * broken. Side effects belong after it returns true. Inside a transaction already open, work simply becomes part of
 * it: nothing is repeated or committed here. */
typedef bool hf_tx_fn(struct hf_session *session, void *context, struct hf_error *err);
HF_MUST_USE bool hf_session_transaction(struct hf_session *session, hf_tx_fn *work, void *context,
                                        struct hf_error *err);

/* Convenience: exec with the values listed in place. */
#define hf_session_run(session, statement, each, context, affected_out, err, ...)                                      \
    hf_session_exec((session), (statement), (const struct hf_value[]){__VA_ARGS__},                                    \
                    (int)(sizeof((const struct hf_value[]){__VA_ARGS__}) / sizeof(struct hf_value)), (each),           \
                    (context), (affected_out), (err))

#endif
