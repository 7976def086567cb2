/* What an engine implements (private to store/). Semantics are those of store.h; store.c dispatches and does nothing
 * else. Each engine embeds struct hf_store and struct hf_session as the first member of its own. */
#ifndef HF_STORE_ENGINE_H
#define HF_STORE_ENGINE_H

#include "store/store.h"

#include <stdint.h>

struct hf_store_engine {
    const char *name; /* "sqlite" | "postgres"; also the folder of its migrations */

    /* Opens and checks, without migrating. *created_out: nothing was there. */
    bool (*store_open)(struct hf_store **out, const struct hf_store_options *options, bool *created_out,
                       struct hf_error *err);
    void (*store_close)(struct hf_store *store);

    /* Takes the migration lock, calls hf_migrate in one transaction, commits. */
    bool (*migrate)(struct hf_store *store, struct hf_error *err);

    bool (*session_open)(struct hf_session **out, struct hf_store *store, enum hf_session_role role,
                         struct hf_error *err);
    void (*session_close)(struct hf_session *session);
    bool (*session_reset)(struct hf_session *session, struct hf_error *err);
    bool (*session_is_broken)(struct hf_session *session);
    bool (*begin)(struct hf_session *session, struct hf_error *err);
    bool (*commit)(struct hf_session *session, struct hf_error *err);
    void (*rollback)(struct hf_session *session);
    bool (*exec)(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                 int param_count, hf_row_fn *each, void *context, int64_t *affected_out, struct hf_error *err);
    bool (*exec_many)(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                      int columns, int row_count, int64_t *affected_out, struct hf_error *err);
};

extern const struct hf_store_engine hf_sqlite_engine;   /* sqlite.c */
extern const struct hf_store_engine hf_postgres_engine; /* postgres.c */

struct hf_store {
    const struct hf_store_engine *engine;
};

struct hf_session {
    const struct hf_store_engine *engine;
    struct hf_store *store;
    enum hf_session_role role;
    bool in_transaction; /* between begin and commit or rollback; kept by store.c */
};

/* migrate.c: applies what is missing, through the few operations that an engine lends it while it holds the lock.
 *  - run: executes SQL text (several statements) without results.
 *  - applied: calls back with (number, checksum) of each row of schema_migrations, in order.
 *  - record: inserts a row into schema_migrations (number, name, checksum, applied_at_ms). */
struct hf_migrator {
    void *connection;
    bool (*run)(void *connection, const char *sql, struct hf_error *err);
    bool (*applied)(void *connection, void (*each)(void *context, int64_t number, const char *checksum), void *context,
                    struct hf_error *err);
    bool (*record)(void *connection, int64_t number, const char *name, const char *checksum, int64_t applied_at_ms,
                   struct hf_error *err);
};
/* Creates schema_migrations when missing, refuses newer and altered schemas (HF_CONFIG), applies the rest in order.
 * The caller holds the lock, and commits when this returns true or rolls back when false. */
HF_MUST_USE bool hf_migrate(const struct hf_migrator *migrator, const char *engine_name, struct hf_error *err);

#endif
