/* Sessions of the SQLite engine: one connection with every statement prepared, used by one thread at a time. */
#include "store/sqlite.h"

#include "core/auto.h"
#include "core/clock.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define WRITE_CACHE_KIB (64 * 1024)
#define READ_CACHE_KIB  (8 * 1024)
#define PARAMS_MAX      32
#define COLUMNS_MAX     32
#define STEPS_PER_LOOK  4000 /* virtual machine steps between two looks at the clock */

struct prepared {
    sqlite3_stmt *statement;
    unsigned char positions[PARAMS_MAX]; /* where SQLite put $1, $2, … */
    int param_count;
};

/* The few statements of the session itself. */
enum { OWN_BEGIN, OWN_PIN, OWN_COMMIT, OWN_ROLLBACK, OWN_COUNT };
static const char *const own_texts[][OWN_COUNT] = {
    [HF_SESSION_READ] = {"BEGIN", "SELECT number FROM schema_migrations LIMIT 1", "COMMIT", "ROLLBACK"},
    [HF_SESSION_WRITE] = {"BEGIN IMMEDIATE", "SELECT 1", "COMMIT", "ROLLBACK"},
};

struct sqlite_session {
    struct hf_session base;
    struct hf_sqlite_store *store;
    sqlite3 *db;
    struct prepared prepared[HF_STMT_COUNT];
    sqlite3_stmt *own[OWN_COUNT];
    uint64_t deadline_ns; /* 0: none; looked at by the progress handler */
    bool over;            /* the open transaction failed: nothing but a rollback may follow */
    bool broken;          /* the file could not be used: reset opens it again */
};

static bool start(struct sqlite_session *session, struct hf_error *err);
static bool prepare_all(struct sqlite_session *session, struct hf_error *err);
static bool prepare_row(struct sqlite_session *session, enum hf_statement statement, struct hf_error *err);
static void stop(struct sqlite_session *session);
static int look_at_deadline(void *context);
static void set_deadline(struct sqlite_session *session);
static bool run_own(struct sqlite_session *session, int which, struct hf_error *err);
static bool fail(struct sqlite_session *session, int result, const char *what, struct hf_error *err);
static bool refuse_when_over(const struct sqlite_session *session, struct hf_error *err);
static bool may_be_in_log(const struct sqlite_session *session, const struct hf_error *err);
static int bind_row(const struct prepared *prepared, const struct hf_value *params);
static int bind_value(sqlite3_stmt *statement, int position, const struct hf_value *value);
static int step_rows(struct sqlite_session *session, sqlite3_stmt *statement, hf_row_fn *each, void *context);
static void read_column(sqlite3_stmt *statement, int column, struct hf_value *out);

bool hf_sqlite_session_open(struct hf_session **out, struct hf_store *store, enum hf_session_role role,
                            struct hf_error *err)
{
    struct sqlite_session *session = hf_alloc(sizeof(*session));
    session->base.engine = &hf_sqlite_engine;
    session->base.store = store;
    session->base.role = role;
    session->store = (struct hf_sqlite_store *)store;
    if (!start(session, err)) {
        hf_sqlite_session_close(&session->base);
        return false;
    }
    *out = &session->base;
    return true;
}

void hf_sqlite_session_close(struct hf_session *base)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    stop(session);
    free(session);
}

bool hf_sqlite_session_reset(struct hf_session *base, struct hf_error *err)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    hf_sqlite_rollback(base);
    if (!session->broken && session->db)
        return true;
    stop(session);
    return start(session, err);
}

bool hf_sqlite_session_is_broken(struct hf_session *base)
{
    return ((const struct sqlite_session *)base)->broken;
}

static bool start(struct sqlite_session *session, struct hf_error *err)
{
    bool writes = session->base.role == HF_SESSION_WRITE;
    session->broken = true;
    if (!hf_sqlite_connect(&session->db, session->store->path, writes ? WRITE_CACHE_KIB : READ_CACHE_KIB,
                           session->store->timeout_ms, err) ||
        !prepare_all(session, err)) {
        stop(session);
        return false;
    }
    sqlite3_progress_handler(session->db, STEPS_PER_LOOK, look_at_deadline, session);
    if (writes)
        hf_sqlite_checkpointer_watch(session->store->checkpointer, session->db);
    session->broken = false;
    return true;
}

static bool prepare_all(struct sqlite_session *session, struct hf_error *err)
{
    if (session->base.role == HF_SESSION_READ) {
        int result = sqlite3_exec(session->db, "PRAGMA query_only = ON", NULL, NULL, NULL);
        if (result != SQLITE_OK)
            return hf_sqlite_fail(session->db, result, err, "opening a read session");
    }
    for (int i = 0; i < OWN_COUNT; i++) {
        int result = sqlite3_prepare_v3(session->db, own_texts[session->base.role][i], -1, SQLITE_PREPARE_PERSISTENT,
                                        &session->own[i], NULL);
        if (result != SQLITE_OK)
            return hf_sqlite_fail(session->db, result, err, own_texts[session->base.role][i]);
    }
    for (int i = 0; i < HF_STMT_COUNT; i++)
        if (!prepare_row(session, (enum hf_statement)i, err))
            return false;
    return true;
}

static bool prepare_row(struct sqlite_session *session, enum hf_statement statement, struct hf_error *err)
{
    const struct hf_statement_row *row = &hf_statements[statement];
    struct prepared *prepared = &session->prepared[statement];
    int result = sqlite3_prepare_v3(session->db, row->sqlite ? row->sqlite : row->postgres, -1,
                                    SQLITE_PREPARE_PERSISTENT, &prepared->statement, NULL);
    if (result != SQLITE_OK) {
        hf_sqlite_fail(session->db, result, err, row->name);
        return hf_error_wrap(err, "preparing a statement");
    }
    prepared->param_count = (int)strlen(row->params);
    HF_ASSERT(prepared->param_count <= PARAMS_MAX);
    HF_ASSERT(sqlite3_bind_parameter_count(prepared->statement) == prepared->param_count);
    HF_ASSERT(sqlite3_column_count(prepared->statement) <= COLUMNS_MAX);
    for (int i = 0; i < prepared->param_count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "$%d", i + 1);
        int position = sqlite3_bind_parameter_index(prepared->statement, name);
        HF_ASSERT(position > 0);
        prepared->positions[i] = (unsigned char)position;
    }
    return true;
}

static void stop(struct sqlite_session *session)
{
    for (int i = 0; i < HF_STMT_COUNT; i++) {
        sqlite3_finalize(session->prepared[i].statement);
        session->prepared[i].statement = NULL;
    }
    for (int i = 0; i < OWN_COUNT; i++) {
        sqlite3_finalize(session->own[i]);
        session->own[i] = NULL;
    }
    sqlite3_close_v2(session->db);
    session->db = NULL;
}

static int look_at_deadline(void *context)
{
    const struct sqlite_session *session = context;
    return session->deadline_ns != 0 && hf_clock_monotonic_ns() > session->deadline_ns;
}

static void set_deadline(struct sqlite_session *session)
{
    session->deadline_ns = hf_clock_monotonic_ns() + (uint64_t)session->store->timeout_ms * HF_MS_NS;
}

bool hf_sqlite_begin(struct hf_session *base, struct hf_error *err)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    session->over = false;
    set_deadline(session);
    if (!run_own(session, OWN_BEGIN, err))
        return false;
    /* A deferred transaction takes its snapshot with its first read: read now, so that the moment is this one. */
    if (base->role == HF_SESSION_WRITE || run_own(session, OWN_PIN, err))
        return true;
    hf_sqlite_rollback(base);
    return false;
}

bool hf_sqlite_commit(struct hf_session *base, struct hf_error *err)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    session->deadline_ns = 0; /* writing the log cannot be interrupted half-way */
    if (!refuse_when_over(session, err) || !run_own(session, OWN_COMMIT, err)) {
        bool unknown = base->role == HF_SESSION_WRITE && may_be_in_log(session, err);
        hf_sqlite_rollback(base);
        if (unknown) {
            err->code = HF_OUTCOME_UNKNOWN;
            session->broken = true;
        }
        return false;
    }
    if (base->role == HF_SESSION_WRITE)
        hf_sqlite_checkpointer_help(session->store->checkpointer, session->db);
    return true;
}

/* The commit failed on the disk. Rolling back takes the transaction from this process's sight alone: its frames may lie
 * in the log, whole though not flushed, and a start after a crash would find them there. */
static bool may_be_in_log(const struct sqlite_session *session, const struct hf_error *err)
{
    int result = session->db ? sqlite3_extended_errcode(session->db) : SQLITE_OK;
    if ((result & 0xff) != SQLITE_IOERR)
        return false;
    return err->code != HF_STORAGE_FULL || result == SQLITE_IOERR_FSYNC;
}

void hf_sqlite_rollback(struct hf_session *base)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    struct hf_error ignored;
    session->over = false;
    session->deadline_ns = 0;
    if (session->db && !sqlite3_get_autocommit(session->db) && !run_own(session, OWN_ROLLBACK, &ignored))
        session->broken = true;
}

static bool run_own(struct sqlite_session *session, int which, struct hf_error *err)
{
    if (!session->db)
        return hf_error_set(err, HF_STORE_DOWN, "the database is not open");
    int result = sqlite3_step(session->own[which]);
    /* Resetting forgets the error's text: say it first. */
    bool ok = result == SQLITE_DONE || result == SQLITE_ROW ||
              fail(session, result, own_texts[session->base.role][which], err);
    sqlite3_reset(session->own[which]);
    return ok;
}

static bool fail(struct sqlite_session *session, int result, const char *what, struct hf_error *err)
{
    session->over = session->base.in_transaction;
    hf_sqlite_fail(session->db, result, err, what);
    if (err->code == HF_STORE_DOWN && (result & 0xff) != SQLITE_INTERRUPT)
        session->broken = true;
    return false;
}

static bool refuse_when_over(const struct sqlite_session *session, struct hf_error *err)
{
    if (!session->over && session->db)
        return true;
    if (!session->db)
        return hf_error_set(err, HF_STORE_DOWN, "the database is not open");
    return hf_error_set(err, HF_INTERNAL, "the transaction has failed before and must be rolled back");
}

bool hf_sqlite_exec(struct hf_session *base, enum hf_statement statement, const struct hf_value *params,
                    int param_count, hf_row_fn *each, void *context, int64_t *affected_out, struct hf_error *err)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    if (!refuse_when_over(session, err))
        return false;
    const struct prepared *prepared = &session->prepared[statement];
    HF_ASSERT(param_count == prepared->param_count && !sqlite3_stmt_busy(prepared->statement));
    set_deadline(session);
    int64_t changes_before = sqlite3_total_changes64(session->db);
    int result = bind_row(prepared, params);
    if (result == SQLITE_OK)
        result = step_rows(session, prepared->statement, each, context);
    bool ok = result == SQLITE_OK || fail(session, result, hf_statements[statement].name, err);
    sqlite3_reset(prepared->statement);
    sqlite3_clear_bindings(prepared->statement);
    if (!ok)
        return false;
    if (affected_out)
        *affected_out = sqlite3_total_changes64(session->db) - changes_before;
    return true;
}

bool hf_sqlite_exec_many(struct hf_session *base, enum hf_statement statement, const struct hf_value *params,
                         int columns, int row_count, int64_t *affected_out, struct hf_error *err)
{
    struct sqlite_session *session = (struct sqlite_session *)base;
    if (!refuse_when_over(session, err))
        return false;
    const struct prepared *prepared = &session->prepared[statement];
    HF_ASSERT(columns == prepared->param_count && !sqlite3_stmt_busy(prepared->statement));
    set_deadline(session);
    int64_t changes_before = sqlite3_total_changes64(session->db);
    bool ok = true;
    for (int row = 0; ok && row < row_count; row++) {
        int result = bind_row(prepared, params + (size_t)row * (size_t)columns);
        if (result == SQLITE_OK)
            result = step_rows(session, prepared->statement, NULL, NULL);
        ok = result == SQLITE_OK || fail(session, result, hf_statements[statement].name, err);
        sqlite3_reset(prepared->statement);
    }
    sqlite3_clear_bindings(prepared->statement);
    if (!ok)
        return false;
    if (affected_out)
        *affected_out = sqlite3_total_changes64(session->db) - changes_before;
    return true;
}

static int bind_row(const struct prepared *prepared, const struct hf_value *params)
{
    int result = SQLITE_OK;
    for (int i = 0; result == SQLITE_OK && i < prepared->param_count; i++)
        result = bind_value(prepared->statement, prepared->positions[i], &params[i]);
    return result;
}

/* A NULL pointer would be bound as NULL: an empty value needs an address too. */
static int bind_value(sqlite3_stmt *statement, int position, const struct hf_value *value)
{
    switch (value->type) {
    case HF_VALUE_INT:
        return sqlite3_bind_int64(statement, position, value->integer);
    case HF_VALUE_REAL:
        return sqlite3_bind_double(statement, position, value->real);
    case HF_VALUE_TEXT:
        return sqlite3_bind_text64(statement, position, value->data ? value->data : "", value->bytes, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case HF_VALUE_BYTES:
        return sqlite3_bind_blob64(statement, position, value->data ? value->data : "", value->bytes, SQLITE_STATIC);
    case HF_VALUE_NULL:
        break;
    }
    return sqlite3_bind_null(statement, position);
}

/* The time that the caller takes for a row is not ours: the deadline starts anew with each. */
static int step_rows(struct sqlite_session *session, sqlite3_stmt *statement, hf_row_fn *each, void *context)
{
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        if (!each)
            continue;
        struct hf_value columns[COLUMNS_MAX];
        int count = sqlite3_column_count(statement);
        for (int i = 0; i < count; i++)
            read_column(statement, i, &columns[i]);
        if (!each(context, columns, count))
            return SQLITE_OK;
        set_deadline(session);
    }
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

static void read_column(sqlite3_stmt *statement, int column, struct hf_value *out)
{
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        *out = HF_INT(sqlite3_column_int64(statement, column));
        return;
    case SQLITE_FLOAT:
        *out = HF_REAL(sqlite3_column_double(statement, column));
        return;
    case SQLITE_TEXT:
        *out = (struct hf_value){HF_VALUE_TEXT, 0, {.data = sqlite3_column_text(statement, column)}};
        out->bytes = (size_t)sqlite3_column_bytes(statement, column);
        return;
    case SQLITE_BLOB:
        *out = (struct hf_value){HF_VALUE_BYTES, 0, {.data = sqlite3_column_blob(statement, column)}};
        out->bytes = (size_t)sqlite3_column_bytes(statement, column);
        if (!out->data)
            out->data = "";
        return;
    default:
        *out = HF_NULL;
    }
}
