#include "tests/support/postgres.h"

#include "core/auto.h"
#include "core/error.h"
#include "core/id.h"
#include "tests/support/temp.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ANSWER_ATTEMPTS 1200 /* of 50 ms */
#define START_ATTEMPTS  120  /* of 500 ms */
#define GUARD_ATTEMPTS  100
#define PORT_FIRST      10000
#define PORT_COUNT      20000
#define PORT_ATTEMPTS   1000
#define PROCESSES_MAX   512

struct hf_test_postgres {
    char *binaries;  /* directory */
    char *directory; /* data, socket, log */
    char *url;       /* of the database that initdb makes */
    char password[21];
    int port;
    pid_t pid;   /* 0: not running */
    pid_t guard; /* cleans up when our end of the pipe closes */
    int guard_pipe;
    pid_t owner; /* the process that started it; its forks only use it */
    struct hf_test_postgres *next;
};

static struct hf_test_postgres *started; /* by this process */
static struct hf_test_postgres *shared;  /* for ordinary tests */

static _Noreturn void die(const char *what);
static char *find_binaries(void);
static int free_port(void);
static void become_postgres(void);
static void make_directory(struct hf_test_postgres *server);
static void start_guard(struct hf_test_postgres *server);
static _Noreturn void guard(int pipe_end, const char *directory);
static bool start_postmaster(struct hf_test_postgres *server);
static void end_postmaster(struct hf_test_postgres *server, int number);
static void set_pid(struct hf_test_postgres *server, pid_t pid);
static bool await_answer(struct hf_test_postgres *server);
static _Noreturn void die_with_log(const struct hf_test_postgres *server);
static char *run(const char *const argv[], bool as_postgres, int *status_out);
static int children_of(pid_t parent, pid_t out[PROCESSES_MAX]);
static void signal_all(pid_t postmaster, int number);
static void free_started(void);

struct hf_test_postgres *hf_test_postgres_start(void)
{
    struct hf_test_postgres *server = hf_alloc(sizeof(*server));
    server->binaries = find_binaries();
    server->owner = getpid();
    server->port = free_port();
    hf_id_random("", server->password, sizeof(server->password));
    server->url = hf_format("postgresql://holdfast:%s@127.0.0.1:%d/postgres", server->password, server->port);
    make_directory(server);
    start_guard(server);
    if (!start_postmaster(server))
        die_with_log(server);
    if (!started)
        atexit(free_started);
    server->next = started;
    started = server;
    return server;
}

void hf_test_postgres_stop(struct hf_test_postgres *server)
{
    if (!server->pid)
        return;
    end_postmaster(server, SIGINT);
}

void hf_test_postgres_kill(struct hf_test_postgres *server)
{
    if (!server->pid)
        return;
    signal_all(server->pid, SIGKILL);
    end_postmaster(server, SIGKILL);
}

void hf_test_postgres_start_again(struct hf_test_postgres *server)
{
    HF_ASSERT(!server->pid);
    /* What is left of a killed one holds its shared memory for a moment: tried until it is gone. */
    for (int attempt = 0; attempt < START_ATTEMPTS; attempt++) {
        if (start_postmaster(server))
            return;
        poll(NULL, 0, 500);
    }
    die_with_log(server);
}

void hf_test_postgres_pause(struct hf_test_postgres *server)
{
    signal_all(server->pid, SIGSTOP);
}

void hf_test_postgres_resume(struct hf_test_postgres *server)
{
    signal_all(server->pid, SIGCONT);
}

void hf_test_postgres_free(struct hf_test_postgres *server)
{
    if (!server)
        return;
    HF_ASSERT(server->owner == getpid());
    for (struct hf_test_postgres **link = &started; *link; link = &(*link)->next) {
        if (*link == server) {
            *link = server->next;
            break;
        }
    }
    if (shared == server)
        shared = NULL;
    if (server->pid) {
        signal_all(server->pid, SIGCONT);
        end_postmaster(server, SIGQUIT);
    }
    close(server->guard_pipe);
    waitpid(server->guard, NULL, 0);
    free(server->binaries);
    free(server->directory);
    free(server->url);
    free(server);
}

void hf_test_postgres_prepare(void)
{
    const char *url = getenv("HOLDFAST_TEST_POSTGRES_URL");
    if (!shared && !(url && *url))
        shared = hf_test_postgres_start();
}

char *hf_test_postgres_new_database(struct hf_test_postgres *server)
{
    if (!server)
        hf_test_postgres_prepare();
    server = server ? server : shared;
    HF_AUTO(free) char *url = hf_strdup(server ? server->url : getenv("HOLDFAST_TEST_POSTGRES_URL"));
    char name[23];
    hf_id_random("t_", name, sizeof(name));
    HF_AUTO(free) char *sql = hf_format("CREATE DATABASE %s", name);
    free(hf_test_postgres_query(url, sql));
    char *options = strchr(url, '?');
    HF_AUTO(free) char *rest = hf_strdup(options ? options : "");
    if (options)
        *options = '\0';
    char *authority = strstr(url, "://");
    char *path = authority ? strchr(authority + 3, '/') : NULL;
    if (path)
        *path = '\0';
    return hf_format("%s/%s%s", url, name, rest);
}

char *hf_test_postgres_query(const char *url, const char *sql)
{
    HF_AUTO(free) char *binaries = find_binaries();
    HF_AUTO(free) char *psql = hf_format("%s/psql", binaries);
    const char *const argv[] = {psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql, NULL};
    int status;
    char *output = run(argv, false, &status);
    if (status != 0) {
        fprintf(stderr, "psql: %s\n%s\n", sql, output);
        die("psql failed");
    }
    return output;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "PostgreSQL for tests: %s\n", what);
    exit(EXIT_FAILURE);
}

static char *find_binaries(void)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) != 0 || found.gl_pathc == 0)
        die("not installed; run scripts/install-deps --test");
    char *path = hf_strdup(found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    *strrchr(path, '/') = '\0';
    return path;
}

/* Below those that the kernel gives to clients and to whoever asks for any: nobody takes it before PostgreSQL does, or
 * while it is away. */
static int free_port(void)
{
    for (int attempt = 0; attempt < PORT_ATTEMPTS; attempt++) {
        uint16_t number;
        if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
            break;
        int port = PORT_FIRST + number % PORT_COUNT;
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        HF_AUTO(close) int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (probe >= 0 && bind(probe, (struct sockaddr *)&address, sizeof(address)) == 0)
            return port;
    }
    die("no free port");
}

/* PostgreSQL refuses to run as root. */
static void become_postgres(void)
{
    if (geteuid() != 0)
        return;
    const struct passwd *user = getpwnam("postgres");
    if (!user || setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
        _exit(126);
}

static void make_directory(struct hf_test_postgres *server)
{
    /* Not below $TMPDIR: its owner may keep the user postgres out, and a socket's path has to be short. */
    char path[] = "/tmp/holdfast-postgres-XXXXXX";
    if (!mkdtemp(path))
        die("no temporary directory");
    server->directory = hf_strdup(path);
    HF_AUTO(free) char *password_file = hf_format("%s/password", path);
    HF_AUTO(free) char *data = hf_format("%s/data", path);
    FILE *file = fopen(password_file, "w");
    if (!file || fputs(server->password, file) < 0 || fclose(file) != 0)
        die("cannot write the password file");
    const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
    if (user && (chown(path, user->pw_uid, user->pw_gid) != 0 || chown(password_file, user->pw_uid, user->pw_gid) != 0))
        die("cannot hand the directory to the user postgres");
    HF_AUTO(free) char *initdb = hf_format("%s/initdb", server->binaries);
    HF_AUTO(free) char *password_option = hf_format("--pwfile=%s", password_file);
    const char *const argv[] = {
        initdb,          "-D", data, "-U", "holdfast", "-E", "UTF8", "--locale=C", "--no-sync", "--auth=scram-sha-256",
        password_option, NULL};
    int status;
    HF_AUTO(free) char *output = run(argv, true, &status);
    if (status != 0) {
        fprintf(stderr, "%s\n", output);
        die("initdb failed");
    }
}

/* A process that waits for us to end, and then ends PostgreSQL and removes its files: atexit would not run after a
 * SIGKILL, and a paused PostgreSQL would stay for ever. */
static void start_guard(struct hf_test_postgres *server)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        die("no pipe");
    server->guard = fork();
    if (server->guard < 0)
        die("no process");
    if (server->guard == 0) {
        close(ends[1]);
        for (const struct hf_test_postgres *other = started; other; other = other->next)
            close(other->guard_pipe);
        guard(ends[0], server->directory);
    }
    close(ends[0]);
    server->guard_pipe = ends[1];
}

static _Noreturn void guard(int pipe_end, const char *directory)
{
    setpgid(0, 0);
    const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    pid_t postmaster = 0, next;
    while (read(pipe_end, &next, sizeof(next)) == (ssize_t)sizeof(next))
        postmaster = next;
    if (postmaster > 0) {
        signal_all(postmaster, SIGCONT);
        kill(postmaster, SIGQUIT); /* lets it give its shared memory back */
        for (int i = 0; i < GUARD_ATTEMPTS && kill(postmaster, 0) == 0; i++)
            poll(NULL, 0, 50);
        signal_all(postmaster, SIGKILL);
    }
    hf_test_remove_tree(directory);
    _exit(0);
}

/* False: it ended by itself. */
static bool start_postmaster(struct hf_test_postgres *server)
{
    HF_AUTO(free) char *postgres = hf_format("%s/postgres", server->binaries);
    HF_AUTO(free) char *data = hf_format("%s/data", server->directory);
    HF_AUTO(free) char *log = hf_format("%s/log", server->directory);
    HF_AUTO(free) char *port = hf_format("%d", server->port);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        die("no process");
    if (pid == 0) {
        setpgid(0, 0); /* a Ctrl-C is for the tests */
        become_postgres();
        prctl(PR_SET_PDEATHSIG, SIGQUIT);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (getppid() != parent || fd < 0 || chdir("/") != 0)
            _exit(126);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execl(postgres, postgres, "-D", data, "-k", server->directory, "-p", port, "-c", "listen_addresses=127.0.0.1",
              "-c", "max_connections=100", "-c", "shared_buffers=64MB", "-c", "fsync=on", (char *)NULL);
        _exit(127);
    }
    set_pid(server, pid);
    if (await_answer(server))
        return true;
    set_pid(server, 0);
    return false;
}

static void end_postmaster(struct hf_test_postgres *server, int number)
{
    kill(server->pid, number);
    waitpid(server->pid, NULL, 0);
    set_pid(server, 0);
}

static void set_pid(struct hf_test_postgres *server, pid_t pid)
{
    server->pid = pid;
    if (write(server->guard_pipe, &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
        die("the guard is gone");
}

/* False: it ended by itself. */
static bool await_answer(struct hf_test_postgres *server)
{
    HF_AUTO(free) char *probe = hf_format("%s/pg_isready", server->binaries);
    HF_AUTO(free) char *port = hf_format("%d", server->port);
    const char *const argv[] = {probe, "-q", "-h", "127.0.0.1", "-p", port, NULL};
    for (int attempt = 0; attempt < ANSWER_ATTEMPTS; attempt++) {
        int status;
        free(run(argv, false, &status));
        if (status == 0)
            return true;
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
            return false;
        poll(NULL, 0, 50);
    }
    die("does not answer");
}

static _Noreturn void die_with_log(const struct hf_test_postgres *server)
{
    HF_AUTO(free) char *log = hf_format("cat %s/log >&2", server->directory);
    if (system(log) != 0)
        fprintf(stderr, "no log\n");
    die("did not start");
}

/* Runs a program to its end; returns what it wrote (owns). */
static char *run(const char *const argv[], bool as_postgres, int *status_out)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        die("no pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("no process");
    if (pid == 0) {
        if (as_postgres)
            become_postgres();
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        if (chdir("/") == 0)
            execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(ends[1]);
    char *output = NULL;
    size_t bytes = 0;
    for (;;) {
        output = hf_realloc(output, bytes + 4096 + 1);
        ssize_t got = read(ends[0], output + bytes, 4096);
        if (got <= 0)
            break;
        bytes += (size_t)got;
    }
    output[bytes] = '\0';
    close(ends[0]);
    waitpid(pid, status_out, 0);
    return output;
}

/* PostgreSQL's processes are sessions of their own each, so that no process group has them all. */
static int children_of(pid_t parent, pid_t out[PROCESSES_MAX])
{
    int count = 0;
    DIR *processes = opendir("/proc");
    if (!processes)
        die("no /proc");
    for (const struct dirent *entry; (entry = readdir(processes)) && count < PROCESSES_MAX;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        HF_AUTO(free) char *path = hf_format("/proc/%s/stat", entry->d_name);
        char text[512] = "";
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
        const char *after_name = strrchr(text, ')');
        char state;
        int parent_of_it;
        if (after_name && sscanf(after_name + 1, " %c %d", &state, &parent_of_it) == 2 && parent_of_it == parent)
            out[count++] = atoi(entry->d_name);
    }
    closedir(processes);
    return count;
}

/* The postmaster first, so that it starts no new processes meanwhile. */
static void signal_all(pid_t postmaster, int number)
{
    pid_t children[PROCESSES_MAX];
    if (number != SIGCONT)
        kill(postmaster, SIGSTOP);
    int count = children_of(postmaster, children);
    for (int i = 0; i < count; i++)
        kill(children[i], number);
    kill(postmaster, number);
}

static void free_started(void)
{
    while (started && started->owner == getpid())
        hf_test_postgres_free(started);
}
