#include "syndicate.h"

#include "roster.h"

static void begin(const struct roster *roster);
static void act(struct syndicate *syndicate, int64_t step);
static void share(struct syndicate *syndicate, int64_t step);
static void announce(struct syndicate *syndicate, const struct roster *roster, int64_t step);
static void stamp(struct part *part, int64_t step);

void syndicate_start(struct syndicate *syndicate, uint64_t seed, int64_t agents)
{
    *syndicate = (struct syndicate){0};
    pool_start(&syndicate->pool, seed);
    market_start(&syndicate->market, seed);
    world_start(&syndicate->world, &syndicate->market);
    gnome_start(&syndicate->gnome, seed, &syndicate->world);
    quantum_start(&syndicate->quantum, seed);
    network_start(&syndicate->network, seed);
    mdp_start(&syndicate->mdp, &syndicate->world);
    optimiser_start(&syndicate->optimiser, seed);
    for (int64_t i = 0; i < agents; i++)
        agent_start(&syndicate->agents[i], seed, i);
    judge_start(&syndicate->judge, (size_t)agents);
    orchestrator_start(&syndicate->orchestrator, seed, agents);
    struct roster roster;
    roster_fill(&roster, syndicate, agents);
    begin(&roster);
    for (size_t i = 0; i < roster.count; i++) {
        roster.members[i].part->changed = roster.members[i].part->unsaved = true;
        roster.members[i].part->event = NULL;
    }
    orchestrator_step(&syndicate->orchestrator, syndicate, &roster);
}

void syndicate_step(struct syndicate *syndicate)
{
    struct roster roster;
    roster_fill(&roster, syndicate, syndicate->orchestrator.agents);
    begin(&roster);
    int64_t step = ++syndicate->orchestrator.steps;
    act(syndicate, step);
    share(syndicate, step);
    announce(syndicate, &roster, step);
    for (size_t i = 0; i < roster.count - 1; i++)
        stamp(roster.members[i].part, step);
    orchestrator_step(&syndicate->orchestrator, syndicate, &roster);
    stamp(&syndicate->orchestrator.part, step);
}

static void begin(const struct roster *roster)
{
    for (size_t i = 0; i < roster->count; i++) {
        roster->members[i].part->changed = false;
        roster->members[i].part->happened = NULL;
    }
}

/* Each sees what those before it have done in this step, and of those after it what they did in the one before. */
static void act(struct syndicate *syndicate, int64_t step)
{
    event_queue_step(&syndicate->event_queue, step);
    pool_step(&syndicate->pool, step);
    market_step(&syndicate->market);
    world_step(&syndicate->world, &syndicate->market);
    gnome_step(&syndicate->gnome, &syndicate->world);
    quantum_step(&syndicate->quantum);
    network_step(&syndicate->network, &syndicate->world);
    mdp_step(&syndicate->mdp, &syndicate->world, step);
    optimiser_step(&syndicate->optimiser, &syndicate->world, step);
    for (int64_t i = 0; i < syndicate->orchestrator.agents; i++) {
        const struct surroundings seen = {
            .step = step,
            .world = &syndicate->world,
            .mdp = &syndicate->mdp,
            .prediction = syndicate->network.prediction,
            .rule_position = syndicate->gnome.position,
            .forecast = syndicate->optimiser.forecast,
            .suggestion = judge_suggestion(&syndicate->judge, i),
        };
        agent_step(&syndicate->agents[i], &seen);
    }
    judge_step(&syndicate->judge, syndicate->agents, step);
}

static void share(struct syndicate *syndicate, int64_t step)
{
    struct shared_memory *memory = &syndicate->shared_memory;
    shared_memory_post(memory, "regime", "market-feed", (double)syndicate->market.regime, step);
    shared_memory_post(memory, "restless", "world-model", world_restless(&syndicate->world, WORLD_RETURNS - 1), step);
    shared_memory_post(memory, "bestFitness", "alphagnome", syndicate->gnome.population[0].fitness, step);
    shared_memory_post(memory, "bestWorth", "quantum-evolution", syndicate->quantum.best_worth, step);
    shared_memory_post(memory, "bestAgent", "master-orchestrator", (double)syndicate->orchestrator.best_agent, step);
}

static void announce(struct syndicate *syndicate, const struct roster *roster, int64_t step)
{
    for (size_t i = 0; i < roster->count; i++) {
        struct part *part = roster->members[i].part;
        if (!part->happened)
            continue;
        event_queue_push(&syndicate->event_queue, part->happened, roster->members[i].name, step);
        part->event = part->happened;
    }
}

static void stamp(struct part *part, int64_t step)
{
    if (!part->changed)
        return;
    part->step = step;
    part->unsaved = true;
}
