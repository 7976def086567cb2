/* What the parts of the SQLite engine share (private to store/sqlite*.c). */
#ifndef HF_STORE_SQLITE_H
#define HF_STORE_SQLITE_H

#include "store/engine.h"

struct sqlite3;
struct hf_sqlite_checkpointer;

struct hf_sqlite_store {
    struct hf_store base;
    char *path;
    int64_t timeout_ms;
    struct hf_sqlite_checkpointer *checkpointer;
};

/* Opens the existing file with the settings that every connection has. cache_kib bounds its page cache. */
HF_MUST_USE bool hf_sqlite_connect(struct sqlite3 **out, const char *path, int cache_kib, int64_t timeout_ms,
                                   struct hf_error *err);

/* Turns a result code into a code of ours with "what: reason"; db may be NULL. Always returns false. */
bool hf_sqlite_fail(struct sqlite3 *db, int result, struct hf_error *err, const char *what);

/* sqlite_session.c: the rows of the engine that concern sessions. */
bool hf_sqlite_session_open(struct hf_session **out, struct hf_store *store, enum hf_session_role role,
                            struct hf_error *err);
void hf_sqlite_session_close(struct hf_session *session);
bool hf_sqlite_session_reset(struct hf_session *session, struct hf_error *err);
bool hf_sqlite_session_is_broken(struct hf_session *session);
bool hf_sqlite_begin(struct hf_session *session, struct hf_error *err);
bool hf_sqlite_commit(struct hf_session *session, struct hf_error *err);
void hf_sqlite_rollback(struct hf_session *session);
bool hf_sqlite_exec(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                    int param_count, hf_row_fn *each, void *context, int64_t *affected_out, struct hf_error *err);
bool hf_sqlite_exec_many(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                         int columns, int row_count, int64_t *affected_out, struct hf_error *err);

/* sqlite_checkpoint.c: the thread that copies the log into the database file, so that no commit has to. */
HF_MUST_USE bool hf_sqlite_checkpointer_start(struct hf_sqlite_checkpointer **out, const char *path, int64_t timeout_ms,
                                              struct hf_error *err);
void hf_sqlite_checkpointer_stop(struct hf_sqlite_checkpointer *checkpointer); /* copies all; accepts NULL */

/* The write session: watch announces every commit to the thread; help, called right after a commit, does the last bit
 * of the copying itself when the log has become long, so that it starts over. */
void hf_sqlite_checkpointer_watch(struct hf_sqlite_checkpointer *checkpointer, struct sqlite3 *db);
void hf_sqlite_checkpointer_help(struct hf_sqlite_checkpointer *checkpointer, struct sqlite3 *db);

#endif
