/* The syndicate: a collective of agents and learners whose states live in holdfast. See README.md. */
#include "options.h"
#include "screen.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BEAT_MS = 5000,
    EXIT_DIVIDED = 3,
    EXIT_UNSAVED = 4, /* told to stop, and the last step was not acknowledged */
    STOPPED = 5,      /* told to stop before the end: becomes an exit status when it is told what is saved */
};

struct run {
    struct options options;
    struct keeper *keeper;
    struct syndicate syndicate;
    struct roster roster; /* points into syndicate */
    int64_t began_ms, beaten_ms, shown_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int start(struct run *run);
static int work(struct run *run);
static int save(struct run *run);
static int come_back(struct run *run);
static int end(struct run *run);
static int tell_stop(const struct run *run);

int main(int count, char **arguments)
{
    static struct run run; /* large, and the roster points into it */
    int status;
    if (!options_read(&run.options, count, arguments, &status))
        return status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    run.keeper = keeper_open(&run.options);
    if (!run.keeper)
        return EXIT_FAILURE;
    run.began_ms = run.beaten_ms = run.shown_ms = now_ms();
    status = start(&run);
    if (status == 0)
        status = work(&run);
    if (status == 0)
        status = end(&run);
    if (status == STOPPED)
        status = tell_stop(&run);
    keeper_close(run.keeper);
    return status;
}

/* 0: goes on. */
static int status_of(enum kept kept)
{
    return kept == KEPT ? 0 : kept == KEPT_STOPPED ? STOPPED : EXIT_FAILURE;
}

static int refuse_divided(const struct homecoming *home)
{
    fprintf(stderr,
            "The stored states are not of one moment: %s.\n"
            "Somebody restored a part of the system. Restore all of it to one moment, then start again.\n",
            home->problem);
    return EXIT_DIVIDED;
}

/* What is there stays reachable for an operator: in a snapshot. */
static int start_fresh(struct run *run, const struct homecoming *home)
{
    if (home->kind == HOME_BROKEN) {
        fprintf(stderr, "System state recovery failed: %s. Starting fresh.\n", home->problem);
        enum kept kept = keeper_back_up(run->keeper, "before a fresh start");
        if (kept == KEPT_STOPPED)
            return status_of(kept);
        if (kept != KEPT)
            fprintf(stderr,
                    "What was found could not be put into a snapshot; its history stays as long as configured.\n");
    }
    syndicate_start(&run->syndicate, run->options.seed, run->options.agents);
    roster_fill(&run->roster, &run->syndicate, run->options.agents);
    int status = status_of(keeper_register(run->keeper, &run->roster));
    return status ? status : save(run);
}

/* A collective stays what it began as. */
static void tell_difference(const struct run *run)
{
    const struct orchestrator *orchestrator = &run->syndicate.orchestrator;
    if ((run->options.seed_given && run->options.seed != orchestrator->seed) ||
        (run->options.agents_given && run->options.agents != orchestrator->agents))
        fprintf(stderr, "The recovered collective has seed %" PRIu64 " and %" PRId64 " agents, and keeps them.\n",
                orchestrator->seed, orchestrator->agents);
}

static int start(struct run *run)
{
    struct homecoming home = {0};
    if (!run->options.quiet)
        screen_start();
    int status = status_of(keeper_bring_back(run->keeper, &run->syndicate, &home));
    if (status)
        return status;
    if (home.kind == HOME_DIVIDED)
        return refuse_divided(&home);
    if (!run->options.quiet && home.kind != HOME_BROKEN)
        screen_homecoming(&home);
    status = status_of(keeper_found_system(run->keeper));
    if (status)
        return status;
    if (home.kind == HOME_WHOLE) {
        tell_difference(run);
        roster_fill(&run->roster, &run->syndicate, run->syndicate.orchestrator.agents);
        status = status_of(keeper_register(run->keeper, &run->roster));
    } else {
        status = start_fresh(run, &home);
    }
    if (status)
        return status;
    if (!run->options.quiet)
        screen_operational(keeper_backup_interval(run->keeper));
    keeper_beat(run->keeper, &run->roster, &run->syndicate);
    return 0;
}

static int save(struct run *run)
{
    enum kept kept = keeper_save(run->keeper, &run->roster);
    return kept == KEPT_STALE ? come_back(run) : status_of(kept);
}

/* States were deleted or spoilt under this process, which has them all in memory. */
static int save_again(struct run *run, const struct homecoming *home)
{
    fprintf(stderr, "States are gone from the service (%s): saving all of step %" PRId64 " again.\n",
            home->kind == HOME_NEW ? "it has none" : home->problem, run->syndicate.orchestrator.steps);
    for (size_t i = 0; i < run->roster.count; i++)
        run->roster.members[i].part->unsaved = true;
    int status = status_of(keeper_found_system(run->keeper));
    if (status == 0)
        status = status_of(keeper_register(run->keeper, &run->roster));
    return status ? status : save(run);
}

/* What is stored is not what this process knew. Where it is what was to be saved, only the answer had been lost. */
static int come_back(struct run *run)
{
    struct homecoming home;
    int64_t epoch = keeper_epoch(run->keeper), step = run->syndicate.orchestrator.steps;
    uint64_t seed = run->syndicate.orchestrator.seed;
    int status = status_of(keeper_bring_back(run->keeper, &run->syndicate, &home));
    if (status)
        return status;
    if (home.kind == HOME_DIVIDED)
        return refuse_divided(&home);
    bool restored = epoch > 0 && keeper_epoch(run->keeper) != epoch;
    if (home.kind == HOME_NEW || (home.kind == HOME_BROKEN && !restored))
        return save_again(run, &home);
    if (home.kind == HOME_BROKEN)
        return start_fresh(run, &home);
    const struct orchestrator *found = &run->syndicate.orchestrator;
    roster_fill(&run->roster, &run->syndicate, found->agents);
    if (restored)
        fprintf(stderr,
                "The system was restored (epoch %" PRId64 "): going on after step %" PRId64 ", was at %" PRId64 ".\n",
                keeper_epoch(run->keeper), found->steps, step);
    else if (found->steps != step || found->seed != seed)
        fprintf(stderr, "Somebody else saves to this system: going on after step %" PRId64 ", was at %" PRId64 ".\n",
                found->steps, step);
    return 0;
}

/* What is due by the clock; nothing of it touches a state. */
static void look_at_clock(struct run *run)
{
    int64_t now = now_ms(), every = run->options.status_seconds * 1000;
    if (now - run->beaten_ms >= BEAT_MS) {
        keeper_beat(run->keeper, &run->roster, &run->syndicate);
        run->beaten_ms = now;
    }
    if (run->options.quiet || every == 0 || now - run->shown_ms < every)
        return;
    struct keeper_status status;
    bool told = keeper_read_status(run->keeper, &status);
    screen_status(&run->syndicate, told ? &status : NULL, (now - run->began_ms) / 1000);
    run->shown_ms = now;
}

static int work(struct run *run)
{
    const struct options *options = &run->options;
    const struct orchestrator *orchestrator = &run->syndicate.orchestrator;
    while (!keeper_is_told_to_stop(run->keeper) && (options->steps == 0 || orchestrator->steps < options->steps)) {
        syndicate_step(&run->syndicate);
        if (orchestrator->steps - keeper_saved_step(run->keeper) >= options->save_every ||
            orchestrator->steps == options->steps) {
            int status = save(run);
            if (status)
                return status;
        }
        look_at_clock(run);
        keeper_pause(run->keeper, options->step_ms);
    }
    return 0;
}

/* The last steps, and a full snapshot of everything. */
static int end(struct run *run)
{
    int status = save(run);
    if (status)
        return status;
    keeper_beat(run->keeper, &run->roster, &run->syndicate);
    status = status_of(keeper_back_up(run->keeper, keeper_is_told_to_stop(run->keeper) ? "shutdown" : "the end"));
    if (status == 0 && !run->options.quiet)
        printf("Stopped after step %" PRId64 "; all of it is saved.\n", run->syndicate.orchestrator.steps);
    return status;
}

/* The exit status of a stop that could not end well: the last backup is missing, perhaps the last step too. */
static int tell_stop(const struct run *run)
{
    int64_t saved = keeper_saved_step(run->keeper), step = run->syndicate.orchestrator.steps;
    if (run->roster.count == 0) {
        fprintf(stderr, "Stopped before the collective could begin; what is stored is as it was.\n");
        return EXIT_FAILURE;
    }
    if (saved < 0)
        fprintf(stderr, "Stopped: the last backup could not be taken, and no step is known to be saved.\n");
    else
        fprintf(stderr, "Stopped: the last backup could not be taken. Every step is saved up to step %" PRId64 ".\n",
                saved);
    if (step == saved)
        return EXIT_FAILURE;
    fprintf(stderr, "Step %" PRId64 " was not acknowledged; what is missing is computed again, to the same states.\n",
            step);
    return EXIT_UNSAVED;
}
