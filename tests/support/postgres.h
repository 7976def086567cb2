/* A PostgreSQL of the test's own: temporary directory, free loopback port, random password. It is gone, with every
 * process and file, when the process that started it ends, however that ends. Failures end the process with a message.
 */
#ifndef HF_TESTS_POSTGRES_H
#define HF_TESTS_POSTGRES_H

struct hf_test_postgres; /* opaque */

struct hf_test_postgres *hf_test_postgres_start(void);              /* initdb and start; answers when it returns */
void hf_test_postgres_stop(struct hf_test_postgres *server);        /* fast shutdown; the data stays */
void hf_test_postgres_kill(struct hf_test_postgres *server);        /* SIGKILL to all its processes; the data stays */
void hf_test_postgres_start_again(struct hf_test_postgres *server); /* same port, same data */
void hf_test_postgres_pause(struct hf_test_postgres *server);       /* SIGSTOP to all its processes */
void hf_test_postgres_resume(struct hf_test_postgres *server);      /* SIGCONT */
void hf_test_postgres_free(struct hf_test_postgres *server);        /* stops and removes; accepts NULL */

/* Creates a database and returns its URL (owns, free()). NULL: on the server for ordinary tests, which is the one of
 * HOLDFAST_TEST_POSTGRES_URL, or one that is started at the first call. */
char *hf_test_postgres_new_database(struct hf_test_postgres *server);

/* Makes the server for ordinary tests ready. Call in main before Check forks, so that all tests share one. */
void hf_test_postgres_prepare(void);

/* Runs SQL on the database of the URL through psql; returns its output, tuples only (owns, free()). */
char *hf_test_postgres_query(const char *url, const char *sql);

#endif
