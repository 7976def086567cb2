/* One connection to PostgreSQL on which nothing waits past a deadline: connecting, sending and receiving are all
 * asynchronous, with poll(2) in between. A connection that breaks or is late is closed at once; what that means for
 * the work under way is decided by the caller. Private to the PostgreSQL engine; one thread at a time. */
#ifndef HF_STORE_POSTGRES_LINK_H
#define HF_STORE_POSTGRES_LINK_H

#include "core/error.h"

#include <libpq-fe.h>
#include <stdint.h>

/* Where the database is. The label is for people and holds no secret; url and password are never shown. */
struct hf_postgres_target {
    char *url;
    char *password; /* NULL: none in the URL */
    char *label;    /* host:port/database */
};
/* HF_CONFIG when the text is no connection string. Done accepts a zeroed struct. */
HF_MUST_USE bool hf_postgres_target_init(struct hf_postgres_target *out, const char *url, struct hf_error *err);
void hf_postgres_target_done(struct hf_postgres_target *target);

struct hf_postgres_link {
    const struct hf_postgres_target *target; /* borrows; outlives the link */
    int64_t timeout_ms;                      /* bound of one call */
    uint64_t deadline_ns;                    /* of the call under way */
    PGconn *connection;                      /* NULL: closed */
};

/* Starts the clock of one call. Everything below ends by then, the streaming of rows excepted: there the clock runs
 * from the last row. */
void hf_postgres_link_start_clock(struct hf_postgres_link *link);

/* Connects by the deadline, or HF_STORE_DOWN. */
HF_MUST_USE bool hf_postgres_link_open(struct hf_postgres_link *link, struct hf_error *err);
void hf_postgres_link_close(struct hf_postgres_link *link); /* never blocks; harmless when closed */

/* Closes the link and says why, with libpq's words and without the password: HF_STORE_DOWN; returns false. */
bool hf_postgres_link_lost(struct hf_postgres_link *link, const char *doing, struct hf_error *err);

/* Notices, without sending anything, that the server has hung up. */
HF_MUST_USE bool hf_postgres_link_probe(struct hf_postgres_link *link, struct hf_error *err);

/* Sends what is queued. In pipeline mode the caller has queued a sync. */
HF_MUST_USE bool hf_postgres_link_flush(struct hf_postgres_link *link, struct hf_error *err);

/* A successful result of statement number index of those sent together; false ends the delivery, not the reading. */
typedef bool hf_postgres_result_fn(void *context, int index, PGresult *result);

struct hf_postgres_reading {
    hf_postgres_result_fn *each; /* may be NULL */
    void *context;
    int streamed_index; /* statement whose rows come one by one; -1: none */
    int failed_index;   /* out: statement that failed */
};

/* Reads all results of what was sent, to the end also after an error; the first error is reported. A lost connection
 * or a passed deadline leaves the link closed. */
HF_MUST_USE bool hf_postgres_link_read(struct hf_postgres_link *link, struct hf_postgres_reading *reading,
                                       struct hf_error *err);

/* The code for what a server says (SQLSTATE), and whether the connection is over with it. */
enum hf_code hf_postgres_code_of(const char *sqlstate, bool *ends_connection_out);

#endif
