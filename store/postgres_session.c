#include "store/postgres_session.h"

#include "core/auto.h"
#include "store/postgres_wire.h"

#include <string.h>

/* One message of parameters: libpq and the server each hold a copy of it, so more gains nothing and costs memory. */
#define MESSAGE_BYTES_MAX (16 * 1024 * 1024)

/* The server gives up later than we do, so that a deadline is always seen here first. Streaming a listing may take many
 * times the deadline as long as rows keep coming. */
#define SERVER_GRACE_MS 1000
#define READ_PATIENCE   20

enum control { CONTROL_BEGIN_READ, CONTROL_BEGIN_WRITE, CONTROL_PIN, CONTROL_COMMIT, CONTROL_ROLLBACK, CONTROL_COUNT };
static const struct {
    const char *name;
    const char *text;
} controls[CONTROL_COUNT] = {
    [CONTROL_BEGIN_READ] = {"begin_read", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
    [CONTROL_BEGIN_WRITE] = {"begin_write", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"},
    [CONTROL_PIN] = {"pin", "SELECT 1"}, /* the first statement fixes what the transaction sees */
    [CONTROL_COMMIT] = {"commit", "COMMIT"},
    [CONTROL_ROLLBACK] = {"rollback", "ROLLBACK"},
};

#define SETTINGS_TEXT                                                                                                  \
    "SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false),"                        \
    " set_config('synchronous_commit', 'on', false), set_config('default_transaction_read_only', $3, false),"          \
    " set_config('jit', 'off', false)"

enum transaction {
    TRANSACTION_NONE,
    TRANSACTION_PENDING, /* begun for the caller; BEGIN goes out with the first statement */
    TRANSACTION_OPEN,
    TRANSACTION_FAILED /* waits for the rollback */
};

struct postgres_session {
    struct hf_session base;
    struct hf_postgres_link link;
    enum transaction transaction;
    bool in_row_callback; /* the connection is busy with the statement whose rows are being delivered */
    bool claims;
    struct hf_postgres_backend holder; /* has the claim, or had it before the link broke */
};

/* What reading the results of one statement needs. */
struct delivery {
    int statement_index;
    hf_row_fn *each;
    void *context;
    bool stopped;
    int64_t affected;
    struct hf_error *err;
    bool failed;
};

static bool connect_session(struct postgres_session *session, struct hf_error *err);
static bool prepare_all(struct postgres_session *session, struct hf_error *err);
static bool queue_settings(struct postgres_session *session);
static const char *prepared_name(int index);
static bool require_ready(const struct postgres_session *session, struct hf_error *err);
static bool queue_control(struct postgres_session *session, enum control control);
static bool run_controls(struct postgres_session *session, const enum control *which, int count,
                         hf_postgres_result_fn *each, void *context, struct hf_error *err);
static bool run_statement(struct postgres_session *session, const struct hf_statement_row *statement,
                          const struct hf_postgres_params *params, struct delivery *delivery, struct hf_error *err);
static bool finish_failure(struct postgres_session *session, const struct hf_statement_row *statement,
                           struct hf_error *err);
static bool deliver_result(void *context, int index, PGresult *result);
static bool note_committed(void *context, int index, PGresult *result);
static bool is_query(const struct hf_statement_row *statement);

bool hf_postgres_session_open(struct hf_session **out, struct hf_store *store, enum hf_session_role role,
                              struct hf_error *err)
{
    struct hf_postgres_store *owner = (struct hf_postgres_store *)store;
    struct postgres_session *session = hf_alloc(sizeof(*session));
    session->base = (struct hf_session){store->engine, store, role};
    session->link = (struct hf_postgres_link){.target = &owner->target, .timeout_ms = owner->timeout_ms};
    session->claims = owner->claim && role == HF_SESSION_WRITE;
    hf_postgres_link_start_clock(&session->link);
    if (!connect_session(session, err)) {
        free(session);
        return false;
    }
    *out = &session->base;
    return true;
}

void hf_postgres_session_close(struct hf_session *base)
{
    struct postgres_session *session = (struct postgres_session *)base;
    hf_postgres_link_close(&session->link);
    free(session);
}

bool hf_postgres_session_reset(struct hf_session *base, struct hf_error *err)
{
    struct postgres_session *session = (struct postgres_session *)base;
    bool begun = session->transaction == TRANSACTION_OPEN || session->transaction == TRANSACTION_FAILED;
    const enum control both[] = {CONTROL_ROLLBACK, CONTROL_PIN};
    session->transaction = TRANSACTION_NONE;
    hf_postgres_link_start_clock(&session->link); /* one deadline for all that follows */
    if (session->link.connection && run_controls(session, begun ? both : both + 1, begun ? 2 : 1, NULL, NULL, err))
        return true;
    hf_postgres_link_close(&session->link); /* it may look well and not answer */
    return connect_session(session, err);
}

/* Looks whether the server has hung up: a session that lay in a pool while the database was restarted must not cost
 * its next user an error. */
bool hf_postgres_session_is_broken(struct hf_session *base)
{
    struct postgres_session *session = (struct postgres_session *)base;
    struct hf_error ignored;
    hf_postgres_link_start_clock(&session->link);
    return !session->link.connection ||
           (session->transaction == TRANSACTION_NONE && !hf_postgres_link_probe(&session->link, &ignored));
}

bool hf_postgres_session_begin(struct hf_session *base, struct hf_error *err)
{
    struct postgres_session *session = (struct postgres_session *)base;
    if (!require_ready(session, err))
        return false;
    if (session->transaction != TRANSACTION_NONE)
        return hf_error_set(err, HF_INTERNAL, "begin inside a transaction");
    if (base->role == HF_SESSION_READ) {
        const enum control both[] = {CONTROL_BEGIN_READ, CONTROL_PIN};
        hf_postgres_link_start_clock(&session->link);
        if (!run_controls(session, both, 2, NULL, NULL, err)) {
            hf_postgres_link_close(&session->link); /* half begun */
            return false;
        }
        session->transaction = TRANSACTION_OPEN;
    } else {
        session->transaction = TRANSACTION_PENDING;
    }
    return true;
}

bool hf_postgres_session_commit(struct hf_session *base, struct hf_error *err)
{
    struct postgres_session *session = (struct postgres_session *)base;
    if (!require_ready(session, err))
        return false;
    if (session->transaction == TRANSACTION_PENDING) {
        session->transaction = TRANSACTION_NONE;
        return true;
    }
    if (session->transaction != TRANSACTION_OPEN)
        return hf_error_set(err, HF_INTERNAL, "commit without a transaction, or after a failure in it");

    /* A connection known to be gone before COMMIT leaves: then nothing happened, and that is certain. */
    hf_postgres_link_start_clock(&session->link);
    if (!hf_postgres_link_probe(&session->link, err)) {
        session->transaction = TRANSACTION_NONE;
        return false;
    }
    bool committed = false;
    const enum control commit = CONTROL_COMMIT;
    bool ok = run_controls(session, &commit, 1, note_committed, &committed, err);
    session->transaction = TRANSACTION_NONE;
    if (ok && !committed) /* the server answers ROLLBACK when the transaction had failed */
        return hf_error_set(err, HF_INTERNAL, "PostgreSQL rolled the transaction back instead of committing it");
    if (!ok && !session->link.connection && base->role == HF_SESSION_WRITE)
        err->code = HF_OUTCOME_UNKNOWN;
    return ok;
}

void hf_postgres_session_rollback(struct hf_session *base)
{
    struct postgres_session *session = (struct postgres_session *)base;
    bool begun = session->transaction == TRANSACTION_OPEN || session->transaction == TRANSACTION_FAILED;
    session->transaction = TRANSACTION_NONE;
    if (!begun || !session->link.connection)
        return;
    struct hf_error err;
    const enum control rollback = CONTROL_ROLLBACK;
    hf_postgres_link_start_clock(&session->link);
    /* A server that does not roll back when asked does so when the connection ends. */
    if (!run_controls(session, &rollback, 1, NULL, NULL, &err))
        hf_postgres_link_close(&session->link);
}

bool hf_postgres_session_exec(struct hf_session *base, enum hf_statement which, const struct hf_value *values,
                              int value_count, hf_row_fn *each, void *context, int64_t *affected_out,
                              struct hf_error *err)
{
    struct postgres_session *session = (struct postgres_session *)base;
    const struct hf_statement_row *statement = &hf_statements[which];
    HF_AUTO(postgres_params) struct hf_postgres_params params = {0};
    if (!require_ready(session, err))
        return false;
    if (!hf_postgres_params_set(&params, statement, values, value_count, err))
        return false;
    struct delivery delivery = {.each = each, .context = context};
    if (!run_statement(session, statement, &params, &delivery, err))
        return false;
    if (affected_out)
        *affected_out = delivery.affected;
    return true;
}

bool hf_postgres_session_exec_many(struct hf_session *base, enum hf_statement which, const struct hf_value *values,
                                   int columns, int row_count, int64_t *affected_out, struct hf_error *err)
{
    struct postgres_session *session = (struct postgres_session *)base;
    const struct hf_statement_row *statement = &hf_statements[which];
    int64_t affected = 0;
    if (!require_ready(session, err))
        return false;
    if (!statement->many || session->transaction == TRANSACTION_NONE)
        return hf_error_set(err, HF_INTERNAL, "%s: not for many rows, or outside a transaction", statement->name);
    while (row_count > 0) {
        int rows = hf_postgres_rows_within(values, columns, row_count, MESSAGE_BYTES_MAX);
        HF_AUTO(postgres_params) struct hf_postgres_params params = {0};
        struct delivery delivery = {0};
        if (!hf_postgres_params_set_many(&params, statement, values, columns, rows, err) ||
            !run_statement(session, statement, &params, &delivery, err))
            return false;
        affected += delivery.affected;
        values += (size_t)rows * (size_t)columns;
        row_count -= rows;
    }
    if (affected_out)
        *affected_out = affected;
    return true;
}

static bool connect_session(struct postgres_session *session, struct hf_error *err)
{
    session->transaction = TRANSACTION_NONE;
    if (!hf_postgres_link_open(&session->link, err))
        return false;
    if (PQenterPipelineMode(session->link.connection) != 1)
        return hf_postgres_link_lost(&session->link, "pipeline mode", err);
    bool ok = prepare_all(session, err) &&
              (!session->claims || hf_postgres_claim_take(&session->link, &session->holder, err));
    if (!ok)
        hf_postgres_link_close(&session->link);
    return ok;
}

/* Settings and all statements in one round trip. */
static bool prepare_all(struct postgres_session *session, struct hf_error *err)
{
    PGconn *connection = session->link.connection;
    bool queued = queue_settings(session);
    for (int i = 0; queued && i < CONTROL_COUNT; i++)
        queued = PQsendPrepare(connection, controls[i].name, controls[i].text, 0, NULL) == 1;
    for (int i = 0; queued && i < HF_STMT_COUNT; i++) {
        Oid types[HF_POSTGRES_COLUMNS_MAX];
        int count = hf_postgres_types(&hf_statements[i], types);
        queued = PQsendPrepare(connection, hf_statements[i].name, hf_statements[i].postgres, count, types) == 1;
    }
    if (!queued || PQpipelineSync(connection) != 1)
        return hf_postgres_link_lost(&session->link, "prepare", err);
    struct hf_postgres_reading reading = {.streamed_index = -1};
    if (!hf_postgres_link_flush(&session->link, err))
        return false;
    if (!hf_postgres_link_read(&session->link, &reading, err))
        return hf_error_wrap(err, "prepare %s", prepared_name(reading.failed_index));
    return true;
}

static bool queue_settings(struct postgres_session *session)
{
    bool writes = session->base.role == HF_SESSION_WRITE;
    int64_t lock_timeout_ms = session->link.timeout_ms + SERVER_GRACE_MS;
    int64_t statement_timeout_ms = writes ? lock_timeout_ms : lock_timeout_ms * READ_PATIENCE;
    HF_AUTO(free) char *statement_timeout = hf_format("%lld", (long long)statement_timeout_ms);
    HF_AUTO(free) char *lock_timeout = hf_format("%lld", (long long)lock_timeout_ms);
    const char *const values[] = {statement_timeout, lock_timeout, writes ? "off" : "on"};
    return PQsendQueryParams(session->link.connection, SETTINGS_TEXT, 3, NULL, values, NULL, NULL, 1) == 1;
}

/* Statements in the order in which prepare_all sends them. */
static const char *prepared_name(int index)
{
    if (index == 0)
        return "settings";
    if (index <= CONTROL_COUNT)
        return controls[index - 1].name;
    index -= 1 + CONTROL_COUNT;
    return index < HF_STMT_COUNT ? hf_statements[index].name : "end";
}

static bool require_ready(const struct postgres_session *session, struct hf_error *err)
{
    if (session->in_row_callback)
        return hf_error_set(err, HF_INTERNAL, "a statement inside the row callback of another one");
    if (!session->link.connection)
        return hf_error_set(err, HF_STORE_DOWN, "PostgreSQL at %s: the session is broken and waits for its reset",
                            session->link.target->label);
    if (session->transaction == TRANSACTION_FAILED)
        return hf_error_set(err, HF_INTERNAL, "the transaction has failed and waits for its rollback");
    return true;
}

static bool queue_control(struct postgres_session *session, enum control control)
{
    return PQsendQueryPrepared(session->link.connection, controls[control].name, 0, NULL, NULL, NULL, 1) == 1;
}

static bool run_controls(struct postgres_session *session, const enum control *which, int count,
                         hf_postgres_result_fn *each, void *context, struct hf_error *err)
{
    bool queued = true;
    for (int i = 0; queued && i < count; i++)
        queued = queue_control(session, which[i]);
    if (!queued || PQpipelineSync(session->link.connection) != 1)
        return hf_postgres_link_lost(&session->link, "send", err);
    struct hf_postgres_reading reading = {.each = each, .context = context, .streamed_index = -1};
    if (hf_postgres_link_flush(&session->link, err) && hf_postgres_link_read(&session->link, &reading, err))
        return true;
    if (err->code == HF_STORE_DOWN)
        hf_postgres_link_close(&session->link);
    return hf_error_wrap(err, "%s", controls[which[0]].name);
}

static bool run_statement(struct postgres_session *session, const struct hf_statement_row *statement,
                          const struct hf_postgres_params *params, struct delivery *delivery, struct hf_error *err)
{
    PGconn *connection = session->link.connection;
    bool begins = session->transaction == TRANSACTION_PENDING;
    hf_postgres_link_start_clock(&session->link);
    bool queued = (!begins || queue_control(session, CONTROL_BEGIN_WRITE)) &&
                  PQsendQueryPrepared(connection, statement->name, params->count, params->values, params->lengths,
                                      params->formats, 1) == 1 &&
                  PQpipelineSync(connection) == 1;
    if (begins)
        session->transaction = TRANSACTION_OPEN;
    if (!queued) {
        hf_postgres_link_lost(&session->link, "send", err);
        return finish_failure(session, statement, err);
    }
    struct hf_error row_error;
    delivery->statement_index = begins ? 1 : 0;
    delivery->err = &row_error;
    struct hf_postgres_reading reading = {.each = deliver_result,
                                          .context = delivery,
                                          .streamed_index = delivery->each ? delivery->statement_index : -1};
    session->in_row_callback = true;
    bool ok = hf_postgres_link_flush(&session->link, err) && hf_postgres_link_read(&session->link, &reading, err);
    session->in_row_callback = false;
    if (ok && delivery->failed) {
        *err = row_error;
        ok = false;
    }
    return ok || finish_failure(session, statement, err);
}

/* What a failed statement means for the session: a broken one is closed, a transaction waits for its rollback. */
static bool finish_failure(struct postgres_session *session, const struct hf_statement_row *statement,
                           struct hf_error *err)
{
    bool was_alone = session->transaction == TRANSACTION_NONE;
    bool lost = !session->link.connection;
    if (err->code == HF_STORE_DOWN)
        hf_postgres_link_close(&session->link);
    session->transaction = was_alone || !session->link.connection ? TRANSACTION_NONE : TRANSACTION_FAILED;
    /* A statement of its own commits by itself: a connection lost meanwhile leaves open whether it did. */
    if (lost && was_alone && session->base.role == HF_SESSION_WRITE && !is_query(statement))
        err->code = HF_OUTCOME_UNKNOWN;
    return hf_error_wrap(err, "%s", statement->name);
}

static bool deliver_result(void *context, int index, PGresult *result)
{
    struct delivery *delivery = context;
    if (index != delivery->statement_index)
        return true;
    struct hf_value columns[HF_POSTGRES_COLUMNS_MAX];
    int count, rows = delivery->each && !delivery->stopped ? PQntuples(result) : 0;
    for (int row = 0; row < rows && !delivery->stopped; row++) {
        if (!hf_postgres_row_read(result, row, columns, &count, delivery->err)) {
            delivery->failed = true;
            delivery->stopped = true;
        } else {
            delivery->stopped = !delivery->each(delivery->context, columns, count);
        }
    }
    if (strncmp(PQcmdStatus(result), "SELECT", 6) != 0)
        delivery->affected = strtoll(PQcmdTuples(result), NULL, 10);
    return true;
}

static bool note_committed(void *context, int index, PGresult *result)
{
    (void)index;
    bool *committed = context;
    *committed = strcmp(PQcmdStatus(result), "COMMIT") == 0;
    return true;
}

static bool is_query(const struct hf_statement_row *statement)
{
    return strncmp(statement->postgres, "SELECT", 6) == 0 || strncmp(statement->postgres, "WITH RECURSIVE", 14) == 0;
}
