#include "cli/interrupt.h"

#include "client/holdfast.h"
#include "core/error.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
    pthread_mutex_t mutex;    /* protects service */
    struct holdfast *service; /* NULL: none is open */
    const char *_Atomic farewell;
    atomic_int signal;
    int event_fd; /* readable once a signal came */
} interrupt = {.mutex = PTHREAD_MUTEX_INITIALIZER, .event_fd = -1};

static void *watch(void *set);
static bool wait_for(int fd, int64_t ms);

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
    return wait_for(-1, ms);
}

bool hf_interrupt_await_input(int fd)
{
    return wait_for(fd, -1);
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

/* True when fd can be read or the time is over; ms below 0: without an end. */
static bool wait_for(int fd, int64_t ms)
{
    struct pollfd fds[] = {{.fd = interrupt.event_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int ready;
    do
        ready = poll(fds, 2, ms < 0 ? -1 : ms > INT_MAX ? INT_MAX : (int)ms);
    while (ready < 0 && errno == EINTR);
    return !(fds[0].revents & POLLIN);
}
