/* A program for tests that kill it: saves numbers through a queue with an outbox, and says which ones it may rely on.
 *
 *     queue_agent URL OUTBOX run FIRST       counts up from FIRST in each component until it is killed
 *     queue_agent URL OUTBOX settle FIRST    the same, and waits after each number until it is stored
 *     queue_agent URL OUTBOX fill COUNT      queues COUNT components once, says "full", and waits to be killed
 *     queue_agent URL OUTBOX drain           sends what is there, and ends with 0 when nothing is left
 *
 * "COMPONENT NUMBER" is written once holdfast_queue_save has returned true. */
#include "client/holdfast.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMPONENTS 4

static struct holdfast_queue *queue;
static int first;
static bool settles;

static _Noreturn void fail(const struct holdfast_error *err)
{
    fprintf(stderr, "queue_agent: %s: %s\n", err->code, err->text);
    exit(1);
}

static void save(const char *component, int number)
{
    struct holdfast_error err;
    char text[24];
    snprintf(text, sizeof(text), "%d", number);
    if (!holdfast_queue_save(queue, component, text, strlen(text), NULL, &err))
        fail(&err);
    dprintf(STDOUT_FILENO, "%s %d\n", component, number);
}

static void *count_up(void *component)
{
    for (int number = first;; number++) {
        struct holdfast_error err;
        save(component, number);
        if (settles && !holdfast_queue_flush(queue, 0, &err))
            fail(&err);
    }
    return NULL;
}

static void run(void)
{
    static char names[COMPONENTS][16];
    pthread_t threads[COMPONENTS];
    for (int i = 0; i < COMPONENTS; i++) {
        snprintf(names[i], sizeof(names[i]), "Counter%d", i);
        if (pthread_create(&threads[i], NULL, count_up, names[i]) != 0)
            abort();
    }
    for (int i = 0; i < COMPONENTS; i++)
        pthread_join(threads[i], NULL);
}

static void fill(int count)
{
    char name[24];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "one-of-many-%d", i);
        save(name, i);
    }
    dprintf(STDOUT_FILENO, "full %d\n", count);
    pause();
}

static void drain(void)
{
    struct holdfast_error err;
    struct holdfast_queue_counts counts;
    if (!holdfast_queue_flush(queue, 60000, &err))
        fail(&err);
    holdfast_queue_count(queue, &counts);
    if (counts.given_up > 0)
        exit(2);
}

int main(int argc, char **argv)
{
    struct holdfast *service;
    struct holdfast_error err;
    if (argc < 4)
        return 64;
    const struct holdfast_options options = {.url = argv[1], .retry_ms = -1};
    const struct holdfast_queue_options queue_options = {.outbox_directory = argv[2], .flush_ms = 60000};
    if (!holdfast_open(&options, &service, &err) || !holdfast_queue_open(service, &queue_options, &queue, &err))
        fail(&err);
    first = argc > 4 ? atoi(argv[4]) : 0;
    settles = strcmp(argv[3], "settle") == 0;
    if (strcmp(argv[3], "run") == 0 || settles)
        run();
    else if (strcmp(argv[3], "fill") == 0)
        fill(first);
    else
        drain();
    if (!holdfast_queue_close(queue, &err))
        fail(&err);
    holdfast_close(service);
    return 0;
}
