#include "cli/interrupt.h"

#include "client/holdfast.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define READER_POLL_MS 50

static struct {
    pthread_mutex_t mutex;    /* protects service */
    struct holdfast *service; /* NULL: none is open */
    const char *_Atomic farewell;
    atomic_int signal;
    int event_fd; /* readable once a signal came */
} interrupt = {.mutex = PTHREAD_MUTEX_INITIALIZER, .event_fd = -1};

static void *watch(void *set);
static bool wait_for(int fd, short events, int64_t ms);

void hf_interrupt_begin(void)
{
    static sigset_t set;
    pthread_t thread;
    pthread_attr_t attributes;
    signal(SIGPIPE, SIG_IGN);
    interrupt.event_fd = eventfd(0, EFD_CLOEXEC);
    HF_ASSERT(interrupt.event_fd >= 0);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    HF_ASSERT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    HF_ASSERT(pthread_create(&thread, &attributes, watch, &set) == 0);
    pthread_attr_destroy(&attributes);
}

void hf_interrupt_attach(struct holdfast *service)
{
    pthread_mutex_lock(&interrupt.mutex);
    interrupt.service = service;
    if (service && atomic_load(&interrupt.signal))
        holdfast_cancel(service);
    pthread_mutex_unlock(&interrupt.mutex);
}

void hf_interrupt_set_farewell(const char *text)
{
    atomic_store(&interrupt.farewell, text);
}

int hf_interrupt_signal(void)
{
    return atomic_load(&interrupt.signal);
}

bool hf_interrupt_sleep(int64_t ms)
{
    return wait_for(-1, 0, ms);
}

bool hf_interrupt_await_input(int fd)
{
    return wait_for(fd, POLLIN, -1);
}

bool hf_interrupt_await_output(int fd)
{
    return wait_for(fd, POLLOUT, -1);
}

/* Blocking again once it is open, as what is no FIFO need not be ready when it is polled as such. */
int hf_interrupt_open_input(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        HF_ASSERT(fcntl(fd, F_SETFL, 0) == 0);
    return fd;
}

/* ENXIO: nobody reads the FIFO yet, and nothing tells when somebody does. */
int hf_interrupt_open_output(const char *path)
{
    for (;;) {
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat status;
        if (fd >= 0 || errno != ENXIO || stat(path, &status) != 0 || !S_ISFIFO(status.st_mode))
            return fd;
        if (!hf_interrupt_sleep(READER_POLL_MS)) {
            errno = EINTR;
            return -1;
        }
    }
}

static void *watch(void *set)
{
    for (;;) {
        int number;
        if (sigwait(set, &number) != 0)
            continue;
        number = number == SIGHUP ? SIGTERM : number;
        if (atomic_exchange(&interrupt.signal, number)) {
            const char *farewell = atomic_load(&interrupt.farewell);
            if (farewell && write(STDOUT_FILENO, farewell, strlen(farewell)) < 0) {
                /* nothing is left to be done */
            }
            _exit(128 + number);
        }
        uint64_t one = 1;
        HF_ASSERT(write(interrupt.event_fd, &one, sizeof(one)) == sizeof(one));
        pthread_mutex_lock(&interrupt.mutex);
        if (interrupt.service)
            holdfast_cancel(interrupt.service);
        pthread_mutex_unlock(&interrupt.mutex);
    }
    return NULL;
}

/* True when fd is ready or the time is over; ms below 0: without an end. */
static bool wait_for(int fd, short events, int64_t ms)
{
    struct pollfd fds[] = {{.fd = interrupt.event_fd, .events = POLLIN}, {.fd = fd, .events = events}};
    int ready;
    do
        ready = poll(fds, 2, ms < 0 ? -1 : ms > INT_MAX ? INT_MAX : (int)ms);
    while (ready < 0 && errno == EINTR);
    return !(fds[0].revents & POLLIN);
}
