/* The SQLite engine: opening, checking and migrating the one database file below the data directory. It never repairs
 * and never replaces a file: damage is reported, and what to do about it is decided elsewhere. */
#include "store/sqlite.h"

#include "core/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME         "holdfast.db"
#define PAGE_BYTES        "16384"
#define CHECKED_BYTES_MAX (INT64_C(256) << 20) /* larger files are not checked as a whole at start */
#define OPENING_CACHE_KIB (8 * 1024)
#define LOG_KEPT_BYTES    "268435456" /* a log that had to grow past this is cut back */

static bool sqlite_store_open(struct hf_store **out, const struct hf_store_options *options, bool *created_out,
                              struct hf_error *err);
static void sqlite_store_close(struct hf_store *store);
static bool sqlite_migrate(struct hf_store *store, struct hf_error *err);

const struct hf_store_engine hf_sqlite_engine = {
    .name = "sqlite",
    .store_open = sqlite_store_open,
    .store_close = sqlite_store_close,
    .migrate = sqlite_migrate,
    .session_open = hf_sqlite_session_open,
    .session_close = hf_sqlite_session_close,
    .session_reset = hf_sqlite_session_reset,
    .session_is_broken = hf_sqlite_session_is_broken,
    .begin = hf_sqlite_begin,
    .commit = hf_sqlite_commit,
    .rollback = hf_sqlite_rollback,
    .exec = hf_sqlite_exec,
    .exec_many = hf_sqlite_exec_many,
};

static bool run_text(void *connection, const char *sql, struct hf_error *err);
static bool list_applied(void *connection, void (*each)(void *context, int64_t number, const char *checksum),
                         void *context, struct hf_error *err);
static bool record_applied(void *connection, int64_t number, const char *name, const char *checksum,
                           int64_t applied_at_ms, struct hf_error *err);
static bool look_at_files(const char *path, bool *exists_out, int64_t *bytes_out, struct hf_error *err);
static bool file_bytes(const char *path, int64_t *bytes_out, struct hf_error *err);
static bool create_file(const char *path, int64_t timeout_ms, struct hf_error *err);
static bool check_file(const char *path, int64_t bytes, int64_t timeout_ms, bool *empty_out, struct hf_error *err);
static bool quick_check(sqlite3 *db, const char *path, struct hf_error *err);
static bool query_int(sqlite3 *db, const char *sql, int64_t *out, struct hf_error *err);

static void close_database(sqlite3 *db)
{
    sqlite3_close_v2(db);
}
HF_AUTO_DEFINE(database, sqlite3 *, close_database);

static void finalize_statement(sqlite3_stmt *statement)
{
    sqlite3_finalize(statement);
}
HF_AUTO_DEFINE(statement, sqlite3_stmt *, finalize_statement);

bool hf_sqlite_connect(struct sqlite3 **out, const char *path, int cache_kib, int64_t timeout_ms, struct hf_error *err)
{
    HF_AUTO(database) sqlite3 *db = NULL;
    int result = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result != SQLITE_OK)
        return hf_sqlite_fail(db, result, err, "opening " FILE_NAME);
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    char pragmas[400];
    snprintf(pragmas, sizeof(pragmas),
             "PRAGMA trusted_schema = OFF; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
             " PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = " LOG_KEPT_BYTES "; PRAGMA cache_size = -%d",
             cache_kib);
    if (!run_text(db, pragmas, err))
        return false;
    *out = db;
    db = NULL;
    return true;
}

bool hf_sqlite_fail(struct sqlite3 *db, int result, struct hf_error *err, const char *what)
{
    int system_errno = db ? sqlite3_system_errno(db) : 0;
    enum hf_code code = HF_INTERNAL;
    switch (result & 0xff) {
    case SQLITE_FULL:
        code = HF_STORAGE_FULL;
        break;
    case SQLITE_IOERR:
        code = system_errno == ENOSPC || system_errno == EDQUOT ? HF_STORAGE_FULL : HF_STORE_DOWN;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        code = HF_DAMAGED;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CONSTRAINT:
        code = HF_CONFLICT;
        break;
    case SQLITE_INTERRUPT:
        return hf_error_set(err, HF_STORE_DOWN, "%s: the time allowed for one database call is over", what);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_NOMEM:
        code = HF_STORE_DOWN;
        break;
    default:
        break;
    }
    const char *reason = db && sqlite3_errcode(db) != SQLITE_OK ? sqlite3_errmsg(db) : sqlite3_errstr(result);
    if (system_errno != 0 && ((result & 0xff) == SQLITE_IOERR || (result & 0xff) == SQLITE_CANTOPEN))
        return hf_error_set(err, code, "%s: %s (%s)", what, reason, strerror(system_errno));
    return hf_error_set(err, code, "%s: %s", what, reason);
}

static bool sqlite_store_open(struct hf_store **out, const struct hf_store_options *options, bool *created_out,
                              struct hf_error *err)
{
    HF_AUTO(free) char *path = hf_format("%s/" FILE_NAME, options->data_directory);
    bool exists = false;
    bool empty = true;
    int64_t bytes = 0;
    if (!look_at_files(path, &exists, &bytes, err))
        return false;
    if (!exists && !create_file(path, options->timeout_ms, err))
        return hf_error_wrap(err, "creating %s", path);
    if (exists && !check_file(path, bytes, options->timeout_ms, &empty, err))
        return false;

    struct hf_sqlite_checkpointer *checkpointer = NULL;
    if (!hf_sqlite_checkpointer_start(&checkpointer, path, options->timeout_ms, err))
        return false;
    struct hf_sqlite_store *store = hf_alloc(sizeof(*store));
    store->base.engine = &hf_sqlite_engine;
    store->path = path;
    store->timeout_ms = options->timeout_ms;
    store->checkpointer = checkpointer;
    path = NULL;
    *created_out = empty;
    *out = &store->base;
    return true;
}

static void sqlite_store_close(struct hf_store *base)
{
    struct hf_sqlite_store *store = (struct hf_sqlite_store *)base;
    hf_sqlite_checkpointer_stop(store->checkpointer);
    free(store->path);
    free(store);
}

static bool sqlite_migrate(struct hf_store *base, struct hf_error *err)
{
    struct hf_sqlite_store *store = (struct hf_sqlite_store *)base;
    HF_AUTO(database) sqlite3 *db = NULL;
    if (!hf_sqlite_connect(&db, store->path, OPENING_CACHE_KIB, store->timeout_ms, err))
        return false;
    const struct hf_migrator migrator = {db, run_text, list_applied, record_applied};
    if (!run_text(db, "BEGIN IMMEDIATE", err))
        return hf_error_wrap(err, "locking %s for its schema", store->path);
    if (hf_migrate(&migrator, "sqlite", err) && run_text(db, "COMMIT", err))
        return true;
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

static bool run_text(void *connection, const char *sql, struct hf_error *err)
{
    int result = sqlite3_exec(connection, sql, NULL, NULL, NULL);
    return result == SQLITE_OK || hf_sqlite_fail(connection, result, err, FILE_NAME);
}

static bool list_applied(void *connection, void (*each)(void *context, int64_t number, const char *checksum),
                         void *context, struct hf_error *err)
{
    HF_AUTO(statement) sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(connection, "SELECT number, checksum FROM schema_migrations ORDER BY number", -1,
                                    &statement, NULL);
    if (result != SQLITE_OK)
        return hf_sqlite_fail(connection, result, err, FILE_NAME);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *checksum = (const char *)sqlite3_column_text(statement, 1);
        each(context, sqlite3_column_int64(statement, 0), checksum ? checksum : "");
    }
    return result == SQLITE_DONE || hf_sqlite_fail(connection, result, err, FILE_NAME);
}

static bool record_applied(void *connection, int64_t number, const char *name, const char *checksum,
                           int64_t applied_at_ms, struct hf_error *err)
{
    HF_AUTO(statement) sqlite3_stmt *statement = NULL;
    int result =
        sqlite3_prepare_v2(connection, "INSERT INTO schema_migrations VALUES (?, ?, ?, ?)", -1, &statement, NULL);
    if (result != SQLITE_OK)
        return hf_sqlite_fail(connection, result, err, FILE_NAME);
    sqlite3_bind_int64(statement, 1, number);
    sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, checksum, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, applied_at_ms);
    result = sqlite3_step(statement);
    return result == SQLITE_DONE || hf_sqlite_fail(connection, result, err, FILE_NAME);
}

/* A database that lost its file but kept its log is damaged, not new: SQLite would throw the log away. */
static bool look_at_files(const char *path, bool *exists_out, int64_t *bytes_out, struct hf_error *err)
{
    HF_AUTO(free) char *log_path = hf_format("%s-wal", path);
    int64_t bytes, log_bytes;
    if (!file_bytes(path, &bytes, err) || !file_bytes(log_path, &log_bytes, err))
        return false;
    if (bytes == 0 && log_bytes > 0)
        return hf_error_set(err, HF_DAMAGED, "%s is missing or empty while its log %s-wal is still there", path,
                            FILE_NAME);
    *exists_out = bytes > 0;
    *bytes_out = bytes + log_bytes;
    return true;
}

static bool file_bytes(const char *path, int64_t *bytes_out, struct hf_error *err)
{
    struct stat status;
    *bytes_out = 0;
    if (stat(path, &status) != 0)
        return errno == ENOENT || hf_error_errno(err, errno, "looking at %s", path);
    if (!S_ISREG(status.st_mode))
        return hf_error_set(err, HF_CONFIG, "%s is not a regular file", path);
    *bytes_out = status.st_size;
    return true;
}

/* States are nobody else's to read. SQLite gives its log the mode of the database. */
static bool make_private_file(const char *path, struct hf_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return hf_error_errno(err, errno, "%s", path);
    close(fd);
    return true;
}

/* The page size has to be set before anything is written, the journal mode is written into the file. SQLite syncs the
 * file and its directory. */
static bool create_file(const char *path, int64_t timeout_ms, struct hf_error *err)
{
    HF_AUTO(database) sqlite3 *db = NULL;
    if (!make_private_file(path, err))
        return false;
    int result = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result != SQLITE_OK)
        return hf_sqlite_fail(db, result, err, FILE_NAME);
    sqlite3_busy_timeout(db, (int)timeout_ms); /* another server may be creating it at this moment */
    return run_text(db, "PRAGMA synchronous = FULL; PRAGMA page_size = " PAGE_BYTES "; PRAGMA journal_mode = WAL", err);
}

static bool check_file(const char *path, int64_t bytes, int64_t timeout_ms, bool *empty_out, struct hf_error *err)
{
    HF_AUTO(database) sqlite3 *db = NULL;
    int64_t tables = 0;
    if (!hf_sqlite_connect(&db, path, OPENING_CACHE_KIB, timeout_ms, err) ||
        !query_int(db, "SELECT count(*) FROM sqlite_schema", &tables, err) ||
        !run_text(db, "PRAGMA journal_mode = WAL", err))
        return hf_error_wrap(err, "%s", path);
    if (bytes <= CHECKED_BYTES_MAX && !quick_check(db, path, err))
        return false;
    *empty_out = tables == 0;
    return true;
}

static bool quick_check(sqlite3 *db, const char *path, struct hf_error *err)
{
    HF_AUTO(statement) sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result != SQLITE_ROW) {
        hf_sqlite_fail(db, result, err, "checking " FILE_NAME);
        return hf_error_wrap(err, "%s", path);
    }
    const char *answer = (const char *)sqlite3_column_text(statement, 0);
    if (answer && strcmp(answer, "ok") == 0)
        return true;
    return hf_error_set(err, HF_DAMAGED, "%s is damaged: %s", path, answer ? answer : "no answer");
}

static bool query_int(sqlite3 *db, const char *sql, int64_t *out, struct hf_error *err)
{
    HF_AUTO(statement) sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result != SQLITE_ROW)
        return hf_sqlite_fail(db, result, err, FILE_NAME);
    *out = sqlite3_column_int64(statement, 0);
    return true;
}
