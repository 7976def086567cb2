/* A machine whose threads are late and whose disk is slow, to be preloaded (LD_PRELOAD) into a whole test run.
 *
 * Tests fail now and then on a busy machine because they take for done what another thread has still to do; that
 * machine is seldom at hand when one looks for the cause. Here threads start late, wake late from condition variables,
 * and wait for the disk: mostly for some milliseconds, once in a while for about a second. Each of those is legal on
 * any machine, so whatever fails under it was wrong: the test, or the service. `make test-late` runs everything so.
 *
 * HOLDFAST_LATE multiplies every delay; 1 is the default. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MS        UINT64_C(1000000) /* nanoseconds */
#define OUT_OF    100000
#define SCALE_MAX 100.0

/* How late one kind of call is: some of OUT_OF calls up to a short while, a few of them for long. */
struct lateness {
    unsigned often;
    uint64_t short_ns; /* at most */
    unsigned seldom;
    uint64_t long_ns; /* at most; at least a third of it */
};

static const struct lateness thread_start = {50000, 200 * MS, 5000, 1500 * MS};
static const struct lateness wake_up = {2000, 30 * MS, 150, 1000 * MS};
static const struct lateness flush = {10000, 50 * MS, 300, 1200 * MS};
static const struct lateness directory_change = {4000, 40 * MS, 150, 1000 * MS};
static const struct lateness network_event = {1000, 20 * MS, 20, 1000 * MS};

static double scale = 1;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static int (*real_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int (*real_wait)(pthread_cond_t *, pthread_mutex_t *);
static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

/* C has no conversion from an object pointer, which dlsym gives, to one of a function; POSIX says they look alike. */
#define FIND(real, name)                                                                                               \
    do {                                                                                                               \
        *(void **)&(real) = dlsym(RTLD_NEXT, name);                                                                    \
        if (!(real))                                                                                                   \
            fail(name);                                                                                                \
    } while (0)

static void fail(const char *name)
{
    fprintf(stderr, "late_machine: there is no %s\n", name);
    abort();
}

/* Before any thread of the program, so that nothing has to be looked up at a moment when that may not be done. */
__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("HOLDFAST_LATE");
    if (text)
        scale = strtod(text, NULL);
    if (!(scale >= 0 && scale <= SCALE_MAX))
        scale = 1;
    FIND(real_fsync, "fsync");
    FIND(real_fdatasync, "fdatasync");
    FIND(real_rename, "rename");
    FIND(real_unlink, "unlink");
    FIND(real_epoll_wait, "epoll_wait");
    FIND(real_create, "pthread_create");
    /* By version: without one, dlsym finds the condition variables of before 2003, which have another layout. */
    *(void **)&real_wait = dlvsym(RTLD_NEXT, "pthread_cond_wait", "GLIBC_2.3.2");
    if (!real_wait)
        FIND(real_wait, "pthread_cond_wait");
    *(void **)&real_timedwait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real_timedwait)
        FIND(real_timedwait, "pthread_cond_timedwait");
}

/* xorshift64 (Marsaglia, 2003), for each thread by itself: a shared generator would put threads in step. */
static uint64_t next_random(void)
{
    static __thread uint64_t state;
    if (!state) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = ((uint64_t)now.tv_nsec * UINT64_C(2654435761)) ^ (uint64_t)(uintptr_t)&state ^ (uint64_t)getpid() << 32;
        state |= 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t draw(const struct lateness *lateness)
{
    uint64_t drawn = next_random() % OUT_OF;
    if (drawn < lateness->seldom)
        return lateness->long_ns / 3 + next_random() % (lateness->long_ns * 2 / 3);
    return drawn < lateness->seldom + lateness->often ? next_random() % lateness->short_ns : 0;
}

static void pause_for(uint64_t ns)
{
    ns = (uint64_t)((double)ns * scale);
    struct timespec time = {.tv_sec = (time_t)(ns / (1000 * MS)), .tv_nsec = (long)(ns % (1000 * MS))};
    if (ns)
        nanosleep(&time, NULL);
}

static void be_late(const struct lateness *lateness)
{
    pause_for(draw(lateness));
}

int fsync(int file)
{
    be_late(&flush);
    return real_fsync(file);
}

int fdatasync(int file)
{
    be_late(&flush);
    return real_fdatasync(file);
}

int rename(const char *from, const char *to)
{
    be_late(&directory_change);
    return real_rename(from, to);
}

int unlink(const char *path)
{
    be_late(&directory_change);
    return real_unlink(path);
}

int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
    int found = real_epoll_wait(epoll, events, count, timeout_ms);
    if (found > 0)
        be_late(&network_event);
    return found;
}

struct thread_body {
    void *(*run)(void *);
    void *context;
};

static void *run_late(void *context)
{
    struct thread_body body = *(struct thread_body *)context;
    free(context);
    be_late(&thread_start);
    return body.run(body.context);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context)
{
    struct thread_body *body = malloc(sizeof(*body));
    if (!body)
        return EAGAIN;
    *body = (struct thread_body){run, context};
    int failure = real_create(thread, attributes, run_late, body);
    if (failure)
        free(body);
    return failure;
}

/* Woken, but not running yet: others have the mutex meanwhile. */
static void wake_late(pthread_mutex_t *mutex)
{
    uint64_t ns = draw(&wake_up);
    if (!ns)
        return;
    pthread_mutex_unlock(mutex);
    pause_for(ns);
    pthread_mutex_lock(mutex);
}

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    int result = real_wait(condition, mutex);
    wake_late(mutex);
    return result;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    int result = real_timedwait(condition, mutex, until);
    wake_late(mutex);
    return result;
}
