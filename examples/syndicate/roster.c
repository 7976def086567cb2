#include "roster.h"

#include "syndicate.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const agent_names[AGENTS_MOST] = {"agent-1", "agent-2",  "agent-3",  "agent-4",
                                                     "agent-5", "agent-6",  "agent-7",  "agent-8",
                                                     "agent-9", "agent-10", "agent-11", "agent-12"};

static const char *const needs_nothing[] = {NULL};
static const char *const needs_pool[] = {"connection-pool", NULL};
static const char *const needs_memory[] = {"shared-memory", NULL};
static const char *const needs_feed[] = {"market-feed", "shared-memory", NULL};
static const char *const needs_world[] = {"world-model", NULL};
static const char *const needs_learning[] = {"alphagnome",    "neural-network", "optimiser-engine",
                                             "mdp-framework", "event-queue",    NULL};
static const char *const needs_all[] = {"central-nervous-system", NULL};

#define PLACE(member) offsetof(struct syndicate, member)

static const struct row {
    const char *name, *kind;
    const char *const *needs;
    size_t place;
    void (*write)(const void *part, json_t *to);
    void (*read)(void *part, struct reading *from);
} rows[] = {
    {"connection-pool", "infrastructure", needs_nothing, PLACE(pool), pool_write, pool_read},
    {"shared-memory", "infrastructure", needs_pool, PLACE(shared_memory), shared_memory_write, shared_memory_read},
    {"market-feed", "infrastructure", needs_pool, PLACE(market), market_write, market_read},
    {"event-queue", "infrastructure", needs_memory, PLACE(event_queue), event_queue_write, event_queue_read},
    {"world-model", "world-model", needs_feed, PLACE(world), world_write, world_read},
    {"alphagnome", "learning", needs_world, PLACE(gnome), gnome_write, gnome_read},
    {"quantum-evolution", "learning", needs_world, PLACE(quantum), quantum_write, quantum_read},
    {"neural-network", "learning", needs_world, PLACE(network), network_write, network_read},
    {"mdp-framework", "learning", needs_world, PLACE(mdp), mdp_write, mdp_read},
    {"optimiser-engine", "learning", needs_world, PLACE(optimiser), optimiser_write, optimiser_read},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void add(struct roster *roster, struct member member)
{
    roster->members[roster->count++] = member;
}

void roster_fill(struct roster *roster, struct syndicate *syndicate, int64_t agents)
{
    roster->count = 0;
    for (size_t i = 0; i < ROWS; i++)
        add(roster, (struct member){rows[i].name, rows[i].kind, rows[i].needs,
                                    (struct part *)((char *)syndicate + rows[i].place), rows[i].write, rows[i].read});
    roster->agents[0] = "quantum-evolution";
    for (int64_t i = 0; i < agents; i++) {
        roster->agents[i + 1] = agent_names[i];
        add(roster, (struct member){agent_names[i], "agent", needs_learning, &syndicate->agents[i].part, agent_write,
                                    agent_read});
    }
    roster->agents[agents + 1] = NULL;
    add(roster, (struct member){"central-nervous-system", "judge", roster->agents, &syndicate->judge.part, judge_write,
                                judge_read});
    add(roster, (struct member){"master-orchestrator", "orchestrator", needs_all, &syndicate->orchestrator.part,
                                orchestrator_write, orchestrator_read});
}

struct member *roster_find(struct roster *roster, const char *name)
{
    for (size_t i = 0; i < roster->count; i++)
        if (strcmp(roster->members[i].name, name) == 0)
            return &roster->members[i];
    return NULL;
}

char *member_state(const struct member *member)
{
    json_t *object = json_object();
    put_integer(object, "step", member->part->step);
    member->write(member->part, object);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(object);
    if (!text) {
        fprintf(stderr, "syndicate: no memory for the state of %s\n", member->name);
        abort();
    }
    return text;
}

bool member_restore(struct member *member, const void *data, size_t bytes, char problem[PROBLEM_BYTES])
{
    json_error_t error;
    json_t *object = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &error);
    struct reading reading = {.from = object};
    if (!json_is_object(object))
        reading_fail(&reading, "the state is not a JSON object");
    member->part->step = get_integer(&reading, "step", 0, INT64_MAX);
    member->read(member->part, &reading);
    json_decref(object);
    snprintf(problem, PROBLEM_BYTES, "%s", reading.problem);
    return !reading.problem[0];
}

bool roster_is_one_cut(struct roster *roster, const struct syndicate *syndicate, char problem[PROBLEM_BYTES])
{
    const struct orchestrator *orchestrator = &syndicate->orchestrator;
    if (orchestrator->tracked_count != roster->count - 1 || (int64_t)syndicate->judge.agents != orchestrator->agents ||
        orchestrator->part.step != orchestrator->steps) {
        snprintf(problem, PROBLEM_BYTES, "the orchestrator and the others do not know of the same components");
        return false;
    }
    for (size_t i = 0; i < orchestrator->tracked_count; i++) {
        const struct tracked *tracked = &orchestrator->tracked[i];
        const struct member *member = roster_find(roster, tracked->name);
        if (member && member->part->step == tracked->step)
            continue;
        snprintf(problem, PROBLEM_BYTES, "in step %" PRId64 " %s was of step %" PRId64 ", found is %" PRId64,
                 orchestrator->steps, tracked->name, tracked->step, member ? member->part->step : -1);
        return false;
    }
    return true;
}
