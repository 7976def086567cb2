#include "tests/support/server.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/clock.h"
#include "tests/support/postgres.h"
#include "tests/support/temp.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define START_DEADLINE_NS (120 * HF_SECOND_NS)
#define OUTPUT_BYTES_MAX  (1024 * 1024)
#define ENVIRONMENT_MAX   64

extern char **environ;

struct hf_test_server {
    char *directory;
    char *database;
    char *tokens_file;
    char *environment[ENVIRONMENT_MAX]; /* what is added to our own */
    int environment_count;
    pid_t pid; /* 0: not running */
    int output;
    int port;
};

static const char *binary(void);
static void add_environment(struct hf_test_server *server, char *line);
static void launch(struct hf_test_server *server);
static void become_server(const struct hf_test_server *server, int output);
static void await_port(struct hf_test_server *server);
static void fail_with_log(const struct hf_test_server *server, const char *what);
static int reap(struct hf_test_server *server);
static void fail_if_reported(const struct hf_test_server *server);
static char *read_all(int fd);

struct hf_test_server *hf_test_server_start(const struct hf_test_server_options *options)
{
    static const struct hf_test_server_options defaults;
    if (!options)
        options = &defaults;
    struct hf_test_server *server = hf_alloc(sizeof(*server));
    server->directory = hf_test_temp_directory();
    server->database = options->postgres ? hf_test_postgres_new_database(NULL) : NULL;
    add_environment(server, hf_strdup("PERSISTENCE_LISTEN=127.0.0.1:0"));
    add_environment(server, hf_format("PERSISTENCE_DATA_DIRECTORY=%s/data", server->directory));
    /* Also where processors are few: what happens between loops is tested everywhere. */
    add_environment(server, hf_strdup("PERSISTENCE_LOOPS=2"));
    add_environment(server, hf_strdup("PERSISTENCE_SCRUB_INTERVAL=0")); /* else it may hold the first snapshot */
    if (server->database)
        add_environment(server, hf_format("DATABASE_URL=%s", server->database));
    if (options->tokens_file)
        add_environment(server, hf_format("PERSISTENCE_TOKENS_FILE=%s/%s", server->directory, options->tokens_file));
    for (int i = 0; options->environment && options->environment[i]; i++)
        add_environment(server, hf_strdup(options->environment[i]));
    launch(server);
    return server;
}

void hf_test_server_free(struct hf_test_server *server)
{
    if (!server)
        return;
    if (server->pid)
        hf_test_server_kill(server);
    hf_test_remove_tree(server->directory);
    for (int i = 0; i < server->environment_count; i++)
        free(server->environment[i]);
    free(server->database);
    free(server->directory);
    free(server);
}

int hf_test_server_port(const struct hf_test_server *server)
{
    return server->port;
}

pid_t hf_test_server_pid(const struct hf_test_server *server)
{
    return server->pid;
}

const char *hf_test_server_directory(const struct hf_test_server *server)
{
    return server->directory;
}

void hf_test_server_lose_incremental(const struct hf_test_server *server, const char *id)
{
    const char *directory = hf_test_server_directory(server);
    HF_AUTO(free) char *file = hf_format("%s/data/incremental-state/default/%s.snapshot", directory, id);
    HF_AUTO(free) char *outline = hf_format("%s/data/system-state-backups/default/%s.outline", directory, id);
    ck_assert_int_eq(unlink(file), 0);
    ck_assert_int_eq(unlink(outline), 0);
}

const char *hf_test_server_database(const struct hf_test_server *server)
{
    return server->database;
}

void hf_test_server_kill(struct hf_test_server *server)
{
    kill(server->pid, SIGKILL);
    reap(server);
}

int hf_test_server_stop(struct hf_test_server *server)
{
    ck_assert_int_eq(kill(server->pid, SIGTERM), 0);
    return reap(server);
}

void hf_test_server_start_again(struct hf_test_server *server)
{
    ck_assert_int_eq(server->pid, 0);
    launch(server);
}

char *hf_test_server_run(const char *const arguments[], int *exit_code_out, char **errors_out)
{
    int output[2], status;
    FILE *errors = tmpfile();
    ck_assert(errors && pipe2(output, O_CLOEXEC) == 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(output[1], STDOUT_FILENO);
        dup2(fileno(errors), STDERR_FILENO);
        char *argv[32] = {(char *)binary()};
        for (int i = 0; arguments[i] && i < 30; i++)
            argv[i + 1] = (char *)arguments[i];
        execv(argv[0], argv);
        _exit(127);
    }
    close(output[1]);
    char *text = read_all(output[0]);
    close(output[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    *exit_code_out = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    rewind(errors);
    if (errors_out)
        *errors_out = read_all(fileno(errors));
    fclose(errors);
    return text;
}

static const char *binary(void)
{
    const char *path = getenv("HOLDFAST_TEST_SERVER");
    return path ? path : "./holdfast-server";
}

static void add_environment(struct hf_test_server *server, char *line)
{
    ck_assert_int_lt(server->environment_count, ENVIRONMENT_MAX);
    server->environment[server->environment_count++] = line;
}

static void launch(struct hf_test_server *server)
{
    int output[2];
    ck_assert_int_eq(pipe2(output, O_CLOEXEC), 0);
    server->pid = fork();
    ck_assert_int_ge(server->pid, 0);
    if (server->pid == 0)
        become_server(server, output[1]);
    close(output[1]);
    server->output = output[0];
    await_port(server);
}

/* In the child. The settings of whoever runs the tests must not reach the server. */
static void become_server(const struct hf_test_server *server, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
    char *log = hf_format("%s/log", server->directory);
    int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(output, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    char **kept = hf_alloc(sizeof(*kept) * 4096);
    int count = 0;
    for (int i = 0; i < server->environment_count; i++)
        kept[count++] = server->environment[i];
    for (char **line = environ; *line && count < 4000; line++)
        if (strncmp(*line, "PERSISTENCE_", 12) != 0 && strncmp(*line, "DATABASE_URL=", 13) != 0 &&
            strncmp(*line, "POSTGRES_URL=", 13) != 0)
            kept[count++] = *line;
    char *const argv[] = {(char *)binary(), NULL};
    execve(argv[0], argv, kept);
    _exit(127);
}

static void await_port(struct hf_test_server *server)
{
    HF_AUTO(buf) struct hf_buf line;
    hf_buf_init(&line, 4096);
    uint64_t deadline_ns = hf_clock_monotonic_ns() + START_DEADLINE_NS;
    while (!line.data || !strchr(line.data, '\n')) {
        struct pollfd wait = {.fd = server->output, .events = POLLIN};
        char c;
        if (hf_clock_monotonic_ns() > deadline_ns)
            fail_with_log(server, "the server did not say where it listens");
        if (poll(&wait, 1, 1000) <= 0)
            continue;
        if (read(server->output, &c, 1) != 1)
            fail_with_log(server, "the server did not start");
        hf_buf_add_char(&line, c);
    }
    const char *port = strrchr(line.data, ':');
    ck_assert_msg(strstr(line.data, "listens on http://") && port, "unexpected first line: %s", line.data);
    server->port = atoi(port + 1);
}

static void fail_with_log(const struct hf_test_server *server, const char *what)
{
    HF_AUTO(free) char *path = hf_format("%s/log", server->directory);
    int fd = open(path, O_RDONLY);
    char *log = fd >= 0 ? read_all(fd) : hf_strdup("");
    ck_abort_msg("%s (%s); its log:\n%s", what, binary(), log);
}

static int reap(struct hf_test_server *server)
{
    int status;
    pid_t ended;
    do
        ended = waitpid(server->pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    ck_assert_int_eq(ended, server->pid);
    close(server->output);
    server->pid = 0;
    fail_if_reported(server);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A report ends the server, and a test that asks it nothing afterwards would not notice. */
static void fail_if_reported(const struct hf_test_server *server)
{
    static const char *const reports[] = {"Sanitizer: ", "runtime error: ", "assertion failed: ", "Assertion `"};
    HF_AUTO(free) char *path = hf_format("%s/log", server->directory);
    FILE *log = fopen(path, "re");
    ck_assert_ptr_nonnull(log);
    HF_AUTO(free) char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, log) >= 0)
        for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++)
            if (strstr(line, reports[i]))
                fail_with_log(server, "a sanitizer or an assertion ended the server");
    fclose(log);
}

static char *read_all(int fd)
{
    struct hf_buf text;
    hf_buf_init(&text, OUTPUT_BYTES_MAX);
    hf_buf_add_text(&text, "");
    char piece[4096];
    ssize_t got;
    while ((got = read(fd, piece, sizeof(piece))) > 0)
        hf_buf_add(&text, piece, (size_t)got);
    char *taken = hf_buf_take(&text, NULL);
    return taken ? taken : hf_strdup("");
}
