/* The PostgreSQL engine: opening a database and bringing its schema up to date. Sessions are in postgres_session.c. */
#include "store/engine.h"

#include "core/auto.h"
#include "store/postgres_session.h"
#include "store/postgres_wire.h"

/* "holdmigr" as a number: two servers that start together migrate one after the other. */
#define MIGRATION_LOCK_TEXT "BEGIN; SELECT pg_advisory_xact_lock(7525352680947541874)"

#define SERVER_VERSION_MIN 140000

static bool postgres_store_open(struct hf_store **out, const struct hf_store_options *options, bool *created_out,
                                struct hf_error *err);
static void postgres_store_close(struct hf_store *base);
static bool postgres_migrate(struct hf_store *base, struct hf_error *err);

const struct hf_store_engine hf_postgres_engine = {
    .name = "postgres",
    .store_open = postgres_store_open,
    .store_close = postgres_store_close,
    .migrate = postgres_migrate,
    .session_open = hf_postgres_session_open,
    .session_close = hf_postgres_session_close,
    .session_reset = hf_postgres_session_reset,
    .session_is_broken = hf_postgres_session_is_broken,
    .begin = hf_postgres_session_begin,
    .commit = hf_postgres_session_commit,
    .rollback = hf_postgres_session_rollback,
    .exec = hf_postgres_session_exec,
    .exec_many = hf_postgres_session_exec_many,
};

/* Who is told about rows of schema_migrations. */
struct applied {
    void (*each)(void *context, int64_t number, const char *checksum);
    void *context;
};

static bool check_database(struct hf_postgres_link *link, bool *created_out, struct hf_error *err);
static bool run_query(struct hf_postgres_link *link, const char *sql, const char *const *values, int value_count,
                      hf_postgres_result_fn *each, void *context, struct hf_error *err);
static bool run_text(void *connection, const char *sql, struct hf_error *err);
static bool list_applied(void *connection, void (*each)(void *context, int64_t number, const char *checksum),
                         void *context, struct hf_error *err);
static bool record_applied(void *connection, int64_t number, const char *name, const char *checksum,
                           int64_t applied_at_ms, struct hf_error *err);
static bool read_created(void *context, int index, PGresult *result);
static bool read_applied(void *context, int index, PGresult *result);

static bool postgres_store_open(struct hf_store **out, const struct hf_store_options *options, bool *created_out,
                                struct hf_error *err)
{
    struct hf_postgres_target target;
    if (!hf_postgres_target_init(&target, options->database_url, err))
        return false;
    struct hf_postgres_store *store = hf_alloc(sizeof(*store));
    store->base.engine = &hf_postgres_engine;
    store->target = target;
    store->timeout_ms = options->timeout_ms;
    store->claim = options->claim;
    store->link = (struct hf_postgres_link){.target = &store->target, .timeout_ms = options->timeout_ms};
    hf_postgres_link_start_clock(&store->link);
    if (!hf_postgres_link_open(&store->link, err) || !check_database(&store->link, created_out, err)) {
        postgres_store_close(&store->base);
        return false;
    }
    *out = &store->base;
    return true;
}

static void postgres_store_close(struct hf_store *base)
{
    struct hf_postgres_store *store = (struct hf_postgres_store *)base;
    hf_postgres_link_close(&store->link);
    hf_postgres_target_done(&store->target);
    free(store);
}

static bool postgres_migrate(struct hf_store *base, struct hf_error *err)
{
    struct hf_postgres_store *store = (struct hf_postgres_store *)base;
    const struct hf_migrator migrator = {&store->link, run_text, list_applied, record_applied};
    bool ok = run_text(&store->link, MIGRATION_LOCK_TEXT, err) && hf_migrate(&migrator, "postgres", err) &&
              run_text(&store->link, "COMMIT", err);
    hf_postgres_link_close(&store->link); /* which also rolls back what has failed */
    return ok;
}

static bool check_database(struct hf_postgres_link *link, bool *created_out, struct hf_error *err)
{
    if (PQserverVersion(link->connection) < SERVER_VERSION_MIN)
        return hf_error_set(err, HF_CONFIG, "PostgreSQL at %s is version %d; at least 14 is needed",
                            link->target->label, PQserverVersion(link->connection) / 10000);
    HF_AUTO(free) char *timeout = hf_format("SET lock_timeout = %lld", (long long)link->timeout_ms);
    return run_text(link, timeout, err) &&
           run_query(link, "SELECT to_regclass('schema_migrations') IS NULL", NULL, 0, read_created, created_out, err);
}

static bool run_query(struct hf_postgres_link *link, const char *sql, const char *const *values, int value_count,
                      hf_postgres_result_fn *each, void *context, struct hf_error *err)
{
    if (!link->connection)
        return hf_error_set(err, HF_STORE_DOWN, "PostgreSQL at %s: the connection is closed", link->target->label);
    hf_postgres_link_start_clock(link);
    if (PQsendQueryParams(link->connection, sql, value_count, NULL, values, NULL, NULL, 1) != 1)
        return hf_postgres_link_lost(link, "send", err);
    struct hf_postgres_reading reading = {.each = each, .context = context, .streamed_index = -1};
    return hf_postgres_link_flush(link, err) && hf_postgres_link_read(link, &reading, err);
}

static bool run_text(void *connection, const char *sql, struct hf_error *err)
{
    struct hf_postgres_link *link = connection;
    if (!link->connection)
        return hf_error_set(err, HF_STORE_DOWN, "PostgreSQL at %s: the connection is closed", link->target->label);
    hf_postgres_link_start_clock(link);
    if (PQsendQuery(link->connection, sql) != 1)
        return hf_postgres_link_lost(link, "send", err);
    struct hf_postgres_reading reading = {.streamed_index = -1};
    return hf_postgres_link_flush(link, err) && hf_postgres_link_read(link, &reading, err);
}

static bool list_applied(void *connection, void (*each)(void *context, int64_t number, const char *checksum),
                         void *context, struct hf_error *err)
{
    struct applied applied = {each, context};
    return run_query(connection, "SELECT number, checksum FROM schema_migrations ORDER BY number", NULL, 0,
                     read_applied, &applied, err);
}

static bool record_applied(void *connection, int64_t number, const char *name, const char *checksum,
                           int64_t applied_at_ms, struct hf_error *err)
{
    HF_AUTO(free) char *number_text = hf_format("%lld", (long long)number);
    HF_AUTO(free) char *applied_at_text = hf_format("%lld", (long long)applied_at_ms);
    const char *const values[] = {number_text, name, checksum, applied_at_text};
    return run_query(connection,
                     "INSERT INTO schema_migrations (number, name, checksum, applied_at_ms) VALUES ($1, $2, $3, $4)",
                     values, 4, NULL, NULL, err);
}

static bool read_created(void *context, int index, PGresult *result)
{
    (void)index;
    bool *created = context;
    *created = PQntuples(result) == 1 && PQgetvalue(result, 0, 0)[0] != 0;
    return true;
}

static bool read_applied(void *context, int index, PGresult *result)
{
    (void)index;
    struct applied *applied = context;
    struct hf_value columns[HF_POSTGRES_COLUMNS_MAX];
    struct hf_error err;
    int count;
    for (int row = 0; row < PQntuples(result); row++)
        if (hf_postgres_row_read(result, row, columns, &count, &err))
            applied->each(applied->context, hf_value_int(&columns[0]), hf_value_text(&columns[1]));
    return true;
}
