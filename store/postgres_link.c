#include "store/postgres_link.h"

#include "core/auto.h"
#include "core/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* SQLSTATE prefixes, first match; what is not listed is HF_INTERNAL. */
static const struct {
    const char *prefix;
    enum hf_code code;
    bool ends_connection;
} sqlstates[] = {
    {"40001", HF_CONFLICT, false},     /* serialization_failure */
    {"40P01", HF_CONFLICT, false},     /* deadlock_detected */
    {"23505", HF_CONFLICT, false},     /* unique_violation */
    {"53100", HF_STORAGE_FULL, false}, /* disk_full */
    {"53300", HF_STORE_DOWN, true},    /* too_many_connections */
    {"57P01", HF_STORE_DOWN, true},    /* admin_shutdown */
    {"57P02", HF_STORE_DOWN, true},    /* crash_shutdown */
    {"57P03", HF_STORE_DOWN, true},    /* cannot_connect_now */
    {"57P05", HF_STORE_DOWN, true},    /* idle_session_timeout */
    {"25P03", HF_STORE_DOWN, true},    /* idle_in_transaction_session_timeout */
    {"08", HF_STORE_DOWN, true},       /* connection_exception */
    {"57014", HF_STORE_DOWN, false},   /* query_canceled, statement_timeout */
    {"55P03", HF_STORE_DOWN, false},   /* lock_timeout */
    {"25006", HF_STORE_DOWN, false},   /* read_only_sql_transaction: the primary has become a standby */
    {"XX001", HF_DAMAGED, false},      /* data_corrupted */
    {"XX002", HF_DAMAGED, false},      /* index_corrupted */
};

static bool check_target(const PQconninfoOption *options, struct hf_postgres_target *out);
static bool check_ports(const char *ports);
static bool wait_socket(struct hf_postgres_link *link, bool for_write, const char *doing, struct hf_error *err);
static bool next_result(struct hf_postgres_link *link, PGresult **result_out, struct hf_error *err);
static bool result_failed(struct hf_postgres_link *link, const PGresult *result, struct hf_error *err);
static void redact(char *text, const char *secret);
static void join_lines(char *text);
static void drop_notice(void *context, const PGresult *result);

bool hf_postgres_target_init(struct hf_postgres_target *out, const char *url, struct hf_error *err)
{
    struct hf_postgres_target target = {0};
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &message);
    /* libpq's message quotes pieces of the text, which may be pieces of the password. */
    PQfreemem(message);
    bool valid = options && check_target(options, &target);
    PQconninfoFree(options);
    if (!valid) {
        hf_postgres_target_done(&target);
        return hf_error_set(err, HF_CONFIG,
                            "the database URL is not a valid PostgreSQL connection string or URL; in a URL, special "
                            "characters of the password are percent-encoded (@ is %%40, / is %%2F)");
    }
    target.url = hf_strdup(url);
    *out = target;
    return true;
}

void hf_postgres_target_done(struct hf_postgres_target *target)
{
    free(target->url);
    free(target->password);
    free(target->label);
    *target = (struct hf_postgres_target){0};
}

void hf_postgres_link_start_clock(struct hf_postgres_link *link)
{
    link->deadline_ns = hf_clock_monotonic_ns() + (uint64_t)link->timeout_ms * HF_MS_NS;
}

bool hf_postgres_link_open(struct hf_postgres_link *link, struct hf_error *err)
{
    HF_ASSERT(!link->connection);
    const char *const names[] = {"dbname", "application_name", "client_encoding", NULL};
    const char *const values[] = {link->target->url, "holdfast", "UTF8", NULL};
    link->connection = PQconnectStartParams(names, values, 1);
    if (!link->connection)
        return hf_error_set(err, HF_STORE_DOWN, "no memory for a connection to PostgreSQL");
    PQsetNoticeReceiver(link->connection, drop_notice, NULL);
    PostgresPollingStatusType polling =
        PQstatus(link->connection) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (polling != PGRES_POLLING_OK) {
        if (polling == PGRES_POLLING_FAILED)
            return hf_postgres_link_lost(link, "connect", err);
        if (!wait_socket(link, polling == PGRES_POLLING_WRITING, "connect", err))
            return false;
        polling = PQconnectPoll(link->connection);
    }
    if (PQsetnonblocking(link->connection, 1) != 0)
        return hf_postgres_link_lost(link, "connect", err);
    return true;
}

void hf_postgres_link_close(struct hf_postgres_link *link)
{
    if (link->connection)
        PQfinish(link->connection);
    link->connection = NULL;
}

bool hf_postgres_link_lost(struct hf_postgres_link *link, const char *doing, struct hf_error *err)
{
    HF_AUTO(free) char *message = hf_strdup(link->connection ? PQerrorMessage(link->connection) : "");
    redact(message, link->target->password);
    join_lines(message);
    hf_postgres_link_close(link);
    return hf_error_set(err, HF_STORE_DOWN, "PostgreSQL at %s is not available (%s): %s", link->target->label, doing,
                        *message ? message : "the connection was closed");
}

bool hf_postgres_link_probe(struct hf_postgres_link *link, struct hf_error *err)
{
    /* Last words may come before the end of the connection: read until nothing is left, or the end is there. */
    for (;;) {
        struct pollfd socket = {PQsocket(link->connection), POLLIN, 0};
        if (poll(&socket, 1, 0) == 0)
            return true;
        if (PQconsumeInput(link->connection) != 1 || PQstatus(link->connection) == CONNECTION_BAD ||
            hf_clock_monotonic_ns() >= link->deadline_ns)
            return hf_postgres_link_lost(link, "probe", err);
    }
}

bool hf_postgres_link_flush(struct hf_postgres_link *link, struct hf_error *err)
{
    for (;;) {
        int left = PQflush(link->connection);
        if (left == 0)
            return true;
        if (left < 0)
            return hf_postgres_link_lost(link, "send", err);
        if (!wait_socket(link, true, "send", err))
            return false;
        /* The server may be waiting for us to read before it reads on. */
        if (PQconsumeInput(link->connection) != 1)
            return hf_postgres_link_lost(link, "send", err);
    }
}

bool hf_postgres_link_read(struct hf_postgres_link *link, struct hf_postgres_reading *reading, struct hf_error *err)
{
    bool pipeline = PQpipelineStatus(link->connection) != PQ_PIPELINE_OFF;
    bool failed = false, delivering = reading->each != NULL, after_end = true;
    for (int index = 0;;) {
        if (after_end && index == reading->streamed_index)
            PQsetSingleRowMode(link->connection); /* refused: rows then come in one result, which is as good */
        PGresult *result = NULL;
        struct hf_error lost;
        if (!next_result(link, &result, &lost)) {
            if (!failed)
                *err = lost;
            reading->failed_index = failed ? reading->failed_index : index;
            return false;
        }
        if (!result && (after_end || !pipeline)) {
            if (!pipeline)
                return !failed;
            return hf_postgres_link_lost(link, "receive", err);
        }
        after_end = !result;
        index += after_end;
        if (!result)
            continue;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_FATAL_ERROR && !failed) {
            failed = true;
            reading->failed_index = index;
            result_failed(link, result, err);
        } else if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE) {
            delivering = delivering && !failed && reading->each(reading->context, index, result);
            if (status == PGRES_SINGLE_TUPLE)
                hf_postgres_link_start_clock(link);
        }
        PQclear(result);
        if (!link->connection || status == PGRES_PIPELINE_SYNC)
            return !failed;
    }
}

enum hf_code hf_postgres_code_of(const char *sqlstate, bool *ends_connection_out)
{
    *ends_connection_out = false;
    for (size_t i = 0; i < sizeof(sqlstates) / sizeof(sqlstates[0]); i++) {
        if (strncmp(sqlstate, sqlstates[i].prefix, strlen(sqlstates[i].prefix)) == 0) {
            *ends_connection_out = sqlstates[i].ends_connection;
            return sqlstates[i].code;
        }
    }
    return HF_INTERNAL;
}

/* A password with an unescaped '@', '/' or ':' moves its rest into host, port or database; such texts are refused,
 * because those three are shown to people. */
static bool check_target(const PQconninfoOption *options, struct hf_postgres_target *out)
{
    const char *host = NULL, *address = NULL, *port = NULL, *database = NULL, *password = NULL, *user = NULL;
    const struct {
        const char *keyword;
        const char **slot;
    } wanted[] = {{"host", &host},       {"hostaddr", &address},  {"port", &port},
                  {"dbname", &database}, {"password", &password}, {"user", &user}};
    for (const PQconninfoOption *option = options; option->keyword; option++)
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
            if (strcmp(option->keyword, wanted[i].keyword) == 0)
                *wanted[i].slot = option->val;
    if (!host)
        host = address;
    if ((host && strchr(host, '@')) || (database && strchr(database, '@')) || (port && !check_ports(port)))
        return false;
    out->password = password ? hf_strdup(password) : NULL;
    out->label = hf_format("%s:%s/%s", host ? host : "localhost", port ? port : "5432",
                           database ? database : (user ? user : ""));
    return true;
}

static bool check_ports(const char *ports)
{
    return strspn(ports, "0123456789,") == strlen(ports);
}

static bool wait_socket(struct hf_postgres_link *link, bool for_write, const char *doing, struct hf_error *err)
{
    for (;;) {
        uint64_t now_ns = hf_clock_monotonic_ns();
        if (now_ns >= link->deadline_ns) {
            hf_postgres_link_close(link);
            return hf_error_set(err, HF_STORE_DOWN, "PostgreSQL at %s did not answer within %lld ms (%s)",
                                link->target->label, (long long)link->timeout_ms, doing);
        }
        struct pollfd socket = {PQsocket(link->connection), (short)(POLLIN | (for_write ? POLLOUT : 0)), 0};
        int ready = poll(&socket, 1, (int)((link->deadline_ns - now_ns + HF_MS_NS - 1) / HF_MS_NS));
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return hf_postgres_link_lost(link, doing, err);
    }
}

static bool next_result(struct hf_postgres_link *link, PGresult **result_out, struct hf_error *err)
{
    while (PQisBusy(link->connection)) {
        if (!wait_socket(link, false, "receive", err))
            return false;
        if (PQconsumeInput(link->connection) != 1)
            return hf_postgres_link_lost(link, "receive", err);
    }
    PGresult *result = PQgetResult(link->connection);
    if (PQstatus(link->connection) == CONNECTION_BAD) {
        /* The server's last words, if it had any, are worth more than "closed the connection unexpectedly". */
        if (result && PQresultErrorField(result, PG_DIAG_SQLSTATE)) {
            *result_out = result;
            return true;
        }
        PQclear(result);
        return hf_postgres_link_lost(link, "receive", err);
    }
    *result_out = result;
    return true;
}

/* Fills err from a failed result; closes the link when the server is closing it too. */
static bool result_failed(struct hf_postgres_link *link, const PGresult *result, struct hf_error *err)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!sqlstate || !message)
        return hf_postgres_link_lost(link, "receive", err);
    bool ends_connection;
    enum hf_code code = hf_postgres_code_of(sqlstate, &ends_connection);
    if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)) {
        ends_connection = true;
        code = code == HF_DAMAGED ? code : HF_STORE_DOWN;
    }
    if (ends_connection)
        hf_postgres_link_close(link);
    return hf_error_set(err, code, "PostgreSQL at %s: %s (SQLSTATE %s)", link->target->label, message, sqlstate);
}

static void redact(char *text, const char *secret)
{
    size_t length = secret ? strlen(secret) : 0;
    for (char *hit = text; length > 0 && (hit = strstr(hit, secret)); hit += length)
        memset(hit, '*', length);
}

/* libpq writes paragraphs; an error is one line. */
static void join_lines(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        bool is_space = *from == ' ' || *from == '\n' || *from == '\t';
        if (!is_space)
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    }
    if (to > text && to[-1] == ' ')
        to--;
    *to = '\0';
}

static void drop_notice(void *context, const PGresult *result)
{
    (void)context, (void)result; /* libpq would write notices to stderr */
}
