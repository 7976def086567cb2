/* The real holdfast-server as a process of its own, for black-box tests: a free port, a directory of its own, and the
 * binary that HOLDFAST_TEST_SERVER names (else ./holdfast-server). Failures fail the test and show the server's log. */
#ifndef HF_TESTS_SUPPORT_SERVER_H
#define HF_TESTS_SUPPORT_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct hf_test_server;

struct hf_test_server_options {
    bool postgres;                  /* a new database on the PostgreSQL for tests; else SQLite */
    const char *const *environment; /* further "NAME=value", NULL-terminated; may be NULL */
    const char *tokens_file;        /* relative to the server's directory; NULL: no tokens */
};

/* Returns when it answers requests. options NULL: defaults. Owns: hf_test_server_free. */
struct hf_test_server *hf_test_server_start(const struct hf_test_server_options *options);
void hf_test_server_free(struct hf_test_server *server); /* kills it if it still runs, removes its directory */

int hf_test_server_port(const struct hf_test_server *server); /* another one after hf_test_server_start_again */
pid_t hf_test_server_pid(const struct hf_test_server *server);
const char *hf_test_server_directory(const struct hf_test_server *server); /* the data is in <directory>/data */
/* Removes the file of an incremental of the system "default", and its outline: nothing makes it again. */
void hf_test_server_lose_incremental(const struct hf_test_server *server, const char *id);
const char *hf_test_server_database(const struct hf_test_server *server); /* URL; NULL: SQLite */

void hf_test_server_kill(struct hf_test_server *server);        /* SIGKILL */
int hf_test_server_stop(struct hf_test_server *server);         /* SIGTERM; its exit code */
void hf_test_server_start_again(struct hf_test_server *server); /* same data, same settings */

/* Runs the binary with these arguments (NULL-terminated) to its end. Returns what it wrote to standard output and, if
 * wanted, standard error (owns both: free()); *exit_code_out is -1 when a signal ended it. */
char *hf_test_server_run(const char *const arguments[], int *exit_code_out, char **errors_out);

#endif
