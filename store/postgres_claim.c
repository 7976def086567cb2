/* The claim: a session advisory lock that one server holds for as long as its write session lives. PostgreSQL gives it
 * back when the session's backend ends, which may be long after our side of the connection broke; therefore a backend
 * of our own that is left over is ended before the lock is asked for again. */
#include "store/postgres_session.h"

#include "core/auto.h"
#include "core/clock.h"
#include "store/postgres_wire.h"

#include <poll.h>

#define RETRY_MS          50
#define FIRST_PATIENCE_MS 4000 /* for the backend of a server that has just ended: it ends when its last commit has */

/* "holdfast" as a number. */
#define TAKE_TEXT                                                                                                      \
    "SELECT pg_try_advisory_lock(7525352680829580148), pg_backend_pid()::bigint, (SELECT"                              \
    " (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity WHERE pid = pg_backend_pid())"

/* Who has it, and whether that is the backend $1 started at $2, which is then told to end. */
#define HOLDER_TEXT                                                                                                    \
    "SELECT l.pid::bigint, coalesce(host(a.client_addr), 'local'), CASE WHEN l.pid = $1::bigint AND"                   \
    " (extract(epoch FROM a.backend_start) * 1000000)::bigint = $2::bigint THEN pg_terminate_backend(l.pid) END"       \
    " FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted"       \
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"                               \
    " AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = 7525352680829580148"

struct attempt {
    bool taken;
    struct hf_postgres_backend self;
};
struct holder {
    int64_t pid; /* 0: nobody any more */
    char address[64];
    bool is_former; /* ours, told to end */
};

static bool ask(struct hf_postgres_link *link, const char *text, const struct hf_postgres_backend *former,
                hf_postgres_result_fn *each, void *context, struct hf_error *err);
static bool read_attempt(void *context, int index, PGresult *result);
static bool read_holder(void *context, int index, PGresult *result);

bool hf_postgres_claim_take(struct hf_postgres_link *link, struct hf_postgres_backend *former, struct hf_error *err)
{
    uint64_t deadline_ns = link->deadline_ns;
    uint64_t stranger_deadline_ns = hf_clock_monotonic_ns() + FIRST_PATIENCE_MS * HF_MS_NS;
    for (;;) {
        struct attempt attempt = {0};
        struct holder holder = {0};
        if (!ask(link, TAKE_TEXT, NULL, read_attempt, &attempt, err))
            return hf_error_wrap(err, "claim the database");
        if (attempt.taken) {
            *former = attempt.self;
            return true;
        }
        if (!ask(link, HOLDER_TEXT, former, read_holder, &holder, err))
            return hf_error_wrap(err, "find who claims the database");
        uint64_t now_ns = hf_clock_monotonic_ns();
        bool is_stranger = holder.pid != 0 && !holder.is_former;
        if (is_stranger && (now_ns >= stranger_deadline_ns || now_ns + RETRY_MS * HF_MS_NS >= deadline_ns))
            return hf_error_set(err, HF_CONFLICT,
                                "another holdfast-server uses the database %s (backend pid %lld from %s): stop it, or "
                                "give this one a database of its own",
                                link->target->label, (long long)holder.pid, holder.address);
        if (now_ns + RETRY_MS * HF_MS_NS >= deadline_ns)
            return hf_error_set(err, HF_STORE_DOWN,
                                "the former session of this server (backend pid %lld) has not given the database back "
                                "yet",
                                (long long)holder.pid);
        poll(NULL, 0, RETRY_MS);
    }
}

static bool ask(struct hf_postgres_link *link, const char *text, const struct hf_postgres_backend *former,
                hf_postgres_result_fn *each, void *context, struct hf_error *err)
{
    HF_AUTO(free) char *pid = hf_format("%lld", former ? (long long)former->pid : 0);
    HF_AUTO(free) char *started = hf_format("%lld", former ? (long long)former->started_at_us : 0);
    const char *const values[] = {pid, started};
    if (PQsendQueryParams(link->connection, text, former ? 2 : 0, NULL, values, NULL, NULL, 1) != 1 ||
        PQpipelineSync(link->connection) != 1)
        return hf_postgres_link_lost(link, "send", err);
    struct hf_postgres_reading reading = {.each = each, .context = context, .streamed_index = -1};
    return hf_postgres_link_flush(link, err) && hf_postgres_link_read(link, &reading, err);
}

static bool read_attempt(void *context, int index, PGresult *result)
{
    (void)index;
    struct attempt *attempt = context;
    struct hf_value columns[HF_POSTGRES_COLUMNS_MAX];
    struct hf_error err;
    int count;
    if (PQntuples(result) == 1 && hf_postgres_row_read(result, 0, columns, &count, &err)) {
        attempt->taken = hf_value_int(&columns[0]) != 0;
        attempt->self = (struct hf_postgres_backend){hf_value_int(&columns[1]), hf_value_int(&columns[2])};
    }
    return true;
}

static bool read_holder(void *context, int index, PGresult *result)
{
    (void)index;
    struct holder *holder = context;
    struct hf_value columns[HF_POSTGRES_COLUMNS_MAX];
    struct hf_error err;
    int count;
    if (PQntuples(result) == 1 && hf_postgres_row_read(result, 0, columns, &count, &err)) {
        holder->pid = hf_value_int(&columns[0]);
        snprintf(holder->address, sizeof(holder->address), "%s", hf_value_text(&columns[1]));
        holder->is_former = hf_value_int(&columns[2]) != 0;
    }
    return true;
}
