#include "orchestrator.h"

#include "roster.h"
#include "syndicate.h"

#include <stdio.h>

enum { STEPS_OF_LATE = 30 };

static void track(struct orchestrator *orchestrator, const struct roster *roster);
static void sum_up(struct orchestrator *orchestrator, const struct syndicate *syndicate);

void orchestrator_start(struct orchestrator *orchestrator, uint64_t seed, int64_t agents)
{
    *orchestrator = (struct orchestrator){.seed = seed, .agents = agents, .health = 1};
}

void orchestrator_step(struct orchestrator *orchestrator, const struct syndicate *syndicate,
                       const struct roster *roster)
{
    track(orchestrator, roster);
    sum_up(orchestrator, syndicate);
    orchestrator->part.changed = true;
}

static void track(struct orchestrator *orchestrator, const struct roster *roster)
{
    size_t lively = 0;
    orchestrator->tracked_count = roster->count - 1; /* it does not track itself */
    for (size_t i = 0; i < orchestrator->tracked_count; i++) {
        struct tracked *tracked = &orchestrator->tracked[i];
        const struct member *member = &roster->members[i];
        snprintf(tracked->name, sizeof(tracked->name), "%s", member->name);
        tracked->step = member->part->step;
        tracked->changes += member->part->changed;
        lively += orchestrator->steps - tracked->step <= STEPS_OF_LATE;
    }
    orchestrator->health = (double)lively / (double)orchestrator->tracked_count;
}

static void sum_up(struct orchestrator *orchestrator, const struct syndicate *syndicate)
{
    orchestrator->judgments = syndicate->judge.total_judgments;
    orchestrator->events = syndicate->event_queue.processed;
    orchestrator->learning_events = syndicate->network.examples + syndicate->gnome.generation +
                                    syndicate->quantum.cycle + syndicate->mdp.plans + syndicate->optimiser.updates;
    orchestrator->trades = orchestrator->active_agents = orchestrator->best_agent = 0;
    orchestrator->profit = 0;
    for (int64_t i = 0; i < orchestrator->agents; i++) {
        const struct agent *agent = &syndicate->agents[i];
        orchestrator->trades += agent->trades;
        orchestrator->profit += agent->profit;
        orchestrator->active_agents += agent->active;
        orchestrator->learning_events += agent->decisions;
        if (agent->total_reward > syndicate->agents[orchestrator->best_agent].total_reward)
            orchestrator->best_agent = i;
    }
}

void orchestrator_write(const void *part, json_t *to)
{
    const struct orchestrator *orchestrator = part;
    put_word(to, "seed", orchestrator->seed);
    put_integer(to, "agents", orchestrator->agents);
    put_integer(to, "steps", orchestrator->steps);
    put_integer(to, "judgments", orchestrator->judgments);
    put_integer(to, "learningEvents", orchestrator->learning_events);
    put_integer(to, "trades", orchestrator->trades);
    put_integer(to, "events", orchestrator->events);
    put_integer(to, "activeAgents", orchestrator->active_agents);
    put_real(to, "profit", orchestrator->profit);
    put_integer(to, "bestAgent", orchestrator->best_agent);
    put_real(to, "health", orchestrator->health);
    json_t *list = put_list(to, "components");
    for (size_t i = 0; i < orchestrator->tracked_count; i++) {
        json_t *tracked = add_object(list);
        put_text(tracked, "name", orchestrator->tracked[i].name);
        put_integer(tracked, "step", orchestrator->tracked[i].step);
        put_integer(tracked, "changes", orchestrator->tracked[i].changes);
    }
}

void orchestrator_read(void *part, struct reading *from)
{
    struct orchestrator *orchestrator = part;
    orchestrator->seed = get_word(from, "seed");
    orchestrator->agents = get_integer(from, "agents", 1, AGENTS_MOST);
    orchestrator->steps = get_integer(from, "steps", 0, INT64_MAX);
    orchestrator->judgments = get_integer(from, "judgments", 0, INT64_MAX);
    orchestrator->learning_events = get_integer(from, "learningEvents", 0, INT64_MAX);
    orchestrator->trades = get_integer(from, "trades", 0, INT64_MAX);
    orchestrator->events = get_integer(from, "events", 0, INT64_MAX);
    orchestrator->active_agents = get_integer(from, "activeAgents", 0, AGENTS_MOST);
    orchestrator->profit = get_real(from, "profit");
    orchestrator->best_agent = get_integer(from, "bestAgent", 0, AGENTS_MOST - 1);
    orchestrator->health = get_real_within(from, "health", 0, 1);
    orchestrator->tracked_count = get_list(from, "components", 1, TRACKED_MOST);
    for (size_t i = 0; i < orchestrator->tracked_count; i++) {
        struct reading inner = reading_enter(from, "components", i);
        struct tracked *tracked = &orchestrator->tracked[i];
        get_text(&inner, "name", tracked->name, sizeof(tracked->name));
        tracked->step = get_integer(&inner, "step", 0, INT64_MAX);
        tracked->changes = get_integer(&inner, "changes", 0, INT64_MAX);
        reading_leave(from, &inner, "components", i);
    }
}
