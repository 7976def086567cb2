#include "server/signals.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SECOND_SIGNAL 130

static sem_t arrived;
static atomic_int first_signal;

static void *receive(void *unused);
static void watched_signals(sigset_t *set);

bool hf_signals_start(struct hf_error *err)
{
    signal(SIGPIPE, SIG_IGN);
    sem_init(&arrived, 0, 0);
    sigset_t set;
    watched_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, receive, NULL);
    if (failure)
        return hf_error_errno(err, failure, "cannot start the signal thread");
    pthread_detach(thread);
    return true;
}

const char *hf_signals_wait(void)
{
    while (sem_wait(&arrived) != 0)
        ;
    return atomic_load(&first_signal) == SIGINT ? "SIGINT" : "SIGTERM";
}

static void *receive(void *unused)
{
    sigset_t set;
    watched_signals(&set);
    for (int count = 0;; count++) {
        int number;
        if (sigwait(&set, &number) != 0)
            continue;
        if (count == 0) {
            atomic_store(&first_signal, number);
            sem_post(&arrived);
            continue;
        }
        static const char text[] = "holdfast: second signal: ending at once, without the final snapshot; "
                                   "what was acknowledged is in the database\n";
        ssize_t written = write(STDERR_FILENO, text, strlen(text));
        (void)written;
        _exit(EXIT_SECOND_SIGNAL);
    }
    return unused;
}

static void watched_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}
