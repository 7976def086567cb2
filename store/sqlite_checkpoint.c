/* Copies SQLite's write-ahead log into the database file, beside the commits instead of inside them.
 *
 * A thread with a connection of its own runs passive checkpoints, which never make a writer wait. The log can only
 * start over at a moment when all of it has been copied, and under steady load the thread is always a little behind; so
 * once the log is long, the session that has just committed copies the small rest itself, right after a pass of the
 * thread: nobody writes at that moment, and its next commit begins at the front of the log again. */
#include "store/sqlite.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>

#define CACHE_KIB      1024
#define PASS_PAGES     1000  /* 16 MiB not yet copied: time for a pass */
#define HELP_PAGES     8000  /* 128 MiB of log: the committing session helps */
#define WAIT_MS        10    /* for readers of the old log to finish */
#define LONG_PAGES     32000 /* 512 MiB: readers are many or slow, and the log has to end somewhere */
#define WAIT_LONGER_MS 30
#define HELP_SHARE     50 /* helping takes at most one part in so many of a writer's time */

struct hf_sqlite_checkpointer {
    pthread_t thread;
    sqlite3 *db; /* the thread's; the stopping thread's after the join */
    int64_t timeout_ms;

    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t wake;
    int log_pages;          /* as of the last commit */
    int seen_pages;         /* as of the last pass: the next is due when there are PASS_PAGES more */
    bool may_help;          /* a pass has ended, and no commit has helped since */
    uint64_t help_after_ns; /* the writer's thread only: not before */
    bool failing;           /* the last pass failed: said once */
    bool stopping;
};

static void *run(void *context);
static bool pass_is_due(const struct hf_sqlite_checkpointer *checkpointer);
static void note_pass(struct hf_sqlite_checkpointer *checkpointer, int result);
static int note_commit(void *context, sqlite3 *db, const char *schema, int log_pages);
static bool start_thread(struct hf_sqlite_checkpointer *checkpointer, struct hf_error *err);

bool hf_sqlite_checkpointer_start(struct hf_sqlite_checkpointer **out, const char *path, int64_t timeout_ms,
                                  struct hf_error *err)
{
    struct hf_sqlite_checkpointer *checkpointer = hf_alloc(sizeof(*checkpointer));
    checkpointer->timeout_ms = timeout_ms;
    if (!hf_sqlite_connect(&checkpointer->db, path, CACHE_KIB, timeout_ms, err)) {
        free(checkpointer);
        return false;
    }
    pthread_mutex_init(&checkpointer->lock, NULL);
    pthread_cond_init(&checkpointer->wake, NULL);
    if (!start_thread(checkpointer, err)) {
        sqlite3_close_v2(checkpointer->db);
        pthread_cond_destroy(&checkpointer->wake);
        pthread_mutex_destroy(&checkpointer->lock);
        free(checkpointer);
        return false;
    }
    *out = checkpointer;
    return true;
}

/* Signals are the main thread's business. */
static bool start_thread(struct hf_sqlite_checkpointer *checkpointer, struct hf_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&checkpointer->thread, NULL, run, checkpointer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result == 0 || hf_error_errno(err, result, "starting the checkpoint thread");
}

void hf_sqlite_checkpointer_stop(struct hf_sqlite_checkpointer *checkpointer)
{
    if (!checkpointer)
        return;
    pthread_mutex_lock(&checkpointer->lock);
    checkpointer->stopping = true;
    pthread_cond_signal(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->lock);
    pthread_join(checkpointer->thread, NULL);
    int result = sqlite3_wal_checkpoint_v2(checkpointer->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (result != SQLITE_OK)
        hf_log(HF_LOG_WARNING, "checkpoint_failed",
               "the log could not be copied into the database at the end; the next "
               "start does it",
               HF_LOG_TEXT("reason", sqlite3_errmsg(checkpointer->db)));
    sqlite3_close_v2(checkpointer->db);
    pthread_cond_destroy(&checkpointer->wake);
    pthread_mutex_destroy(&checkpointer->lock);
    free(checkpointer);
}

void hf_sqlite_checkpointer_watch(struct hf_sqlite_checkpointer *checkpointer, struct sqlite3 *db)
{
    sqlite3_wal_hook(db, note_commit, checkpointer);
}

void hf_sqlite_checkpointer_help(struct hf_sqlite_checkpointer *checkpointer, struct sqlite3 *db)
{
    uint64_t began_ns = hf_clock_monotonic_ns();
    if (began_ns < checkpointer->help_after_ns)
        return;
    pthread_mutex_lock(&checkpointer->lock);
    int log_pages = checkpointer->log_pages;
    bool help = checkpointer->may_help && log_pages >= HELP_PAGES;
    if (help)
        checkpointer->may_help = false;
    pthread_mutex_unlock(&checkpointer->lock);
    if (!help)
        return;
    sqlite3_busy_timeout(db, log_pages < LONG_PAGES ? WAIT_MS : WAIT_LONGER_MS);
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    sqlite3_busy_timeout(db, checkpointer->timeout_ms > INT32_MAX ? INT32_MAX : (int)checkpointer->timeout_ms);
    /* While a long reader holds the log, every attempt waits in vain: they must not follow each other. */
    uint64_t now_ns = hf_clock_monotonic_ns();
    checkpointer->help_after_ns = now_ns + HELP_SHARE * (now_ns - began_ns);
}

static void *run(void *context)
{
    struct hf_sqlite_checkpointer *checkpointer = context;
    pthread_mutex_lock(&checkpointer->lock);
    for (;;) {
        while (!checkpointer->stopping && !pass_is_due(checkpointer))
            pthread_cond_wait(&checkpointer->wake, &checkpointer->lock);
        if (checkpointer->stopping)
            break;
        checkpointer->seen_pages = checkpointer->log_pages;
        checkpointer->may_help = false; /* two at once would only get in each other's way */
        pthread_mutex_unlock(&checkpointer->lock);
        int result = sqlite3_wal_checkpoint_v2(checkpointer->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        pthread_mutex_lock(&checkpointer->lock);
        note_pass(checkpointer, result);
    }
    pthread_mutex_unlock(&checkpointer->lock);
    return NULL;
}

static bool pass_is_due(const struct hf_sqlite_checkpointer *checkpointer)
{
    return checkpointer->log_pages - checkpointer->seen_pages >= PASS_PAGES;
}

/* The log keeps growing while passes fail; nothing is lost, and the next commits try again. SQLITE_BUSY means that a
 * commit is helping just now. */
static void note_pass(struct hf_sqlite_checkpointer *checkpointer, int result)
{
    checkpointer->may_help = true;
    bool failed = result != SQLITE_OK && (result & 0xff) != SQLITE_BUSY;
    if (failed && !checkpointer->failing)
        hf_log(HF_LOG_WARNING, "checkpoint_failed",
               "the log could not be copied into the database; it grows until that "
               "works again",
               HF_LOG_TEXT("reason", sqlite3_errmsg(checkpointer->db)));
    checkpointer->failing = failed;
}

static int note_commit(void *context, sqlite3 *db, const char *schema, int log_pages)
{
    (void)db;
    (void)schema;
    struct hf_sqlite_checkpointer *checkpointer = context;
    pthread_mutex_lock(&checkpointer->lock);
    if (log_pages < checkpointer->log_pages)
        checkpointer->seen_pages = 0; /* the log has started over */
    checkpointer->log_pages = log_pages;
    if (pass_is_due(checkpointer))
        pthread_cond_signal(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->lock);
    return SQLITE_OK;
}
