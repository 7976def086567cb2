/* An agent that never waits for the service: its state is captured every second and what happens is queued at once, on
 * disk before the call returns. The service may be away for as long as it likes, and the agent may die: the next run
 * sends what this one could not. Ctrl-C ends it with a last flush. */
#include <holdfast.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

struct agent {
    atomic_long steps;
    char text[32]; /* what capture gave last; the queue's until the next capture */
};

static volatile sig_atomic_t asked_to_end;

static void on_signal(int number)
{
    (void)number;
    asked_to_end = 1;
}

/* In a thread of the queue. */
static bool capture(void *context, const char *component, const void **data, size_t *bytes)
{
    struct agent *agent = context;
    (void)component;
    *bytes = (size_t)snprintf(agent->text, sizeof(agent->text), "{\"steps\":%ld}", atomic_load(&agent->steps));
    *data = agent->text;
    return true;
}

static void on_result(void *context, const char *component, const struct holdfast_receipt *receipt,
                      const struct holdfast_error *err)
{
    (void)context;
    if (receipt && !receipt->unchanged)
        printf("%s: version %lld is safe\n", component, (long long)receipt->version);
    else if (err)
        printf("%s: given up: %s\n", component, err->text);
}

static void live(struct holdfast_queue *queue, struct agent *agent, long steps)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    struct holdfast_error err;
    for (long step = 1; step <= steps && !asked_to_end; step++) {
        char reward[48];
        atomic_store(&agent->steps, step);
        thrd_sleep(&pause, NULL);
        if (step % 25 != 0)
            continue;
        const struct holdfast_save_options options = {.event = "large-reward"};
        int bytes = snprintf(reward, sizeof(reward), "{\"step\":%ld,\"reward\":%ld}", step, step * 2);
        if (!holdfast_queue_save(queue, "agent-rewards", reward, (size_t)bytes, &options, &err))
            printf("agent-rewards: not queued: %s\n", err.text);
    }
}

int main(int argc, char **argv)
{
    struct holdfast *service = NULL;
    struct holdfast_queue *queue = NULL;
    struct holdfast_error err;
    struct agent agent = {.steps = 0};
    const char *outbox = getenv("AGENT_OUTBOX");
    const struct holdfast_queue_options options = {.outbox_directory = outbox ? outbox : "agent-outbox",
                                                   .flush_ms = 5000,
                                                   .on_result = on_result};
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (!holdfast_open(NULL, &service, &err) || !holdfast_queue_open(service, &options, &queue, &err) ||
        !holdfast_queue_every(queue, "agent", 1000, capture, &agent, &err)) {
        fprintf(stderr, "%s (%s)\n", err.text, err.code);
        return EXIT_FAILURE;
    }
    live(queue, &agent, argc > 1 ? strtol(argv[1], NULL, 10) : 1000000);
    bool all = holdfast_queue_close(queue, &err);
    puts(all ? "all of it is safe" : err.text);
    holdfast_close(service);
    return all ? EXIT_SUCCESS : EXIT_FAILURE;
}
