/* The master orchestrator: starts the collective, tracks when each component changed last, and sums up its metrics. As
 * it knows the step of every other component's state, it is also what proves that the states found after a crash or a
 * restore belong together. */
#ifndef SYNDICATE_ORCHESTRATOR_H
#define SYNDICATE_ORCHESTRATOR_H

#include "agent.h"

enum { TRACKED_MOST = 11 + AGENTS_MOST };

struct syndicate;
struct roster;

struct tracked {
    char name[32];
    int64_t step;    /* of its last change */
    int64_t changes; /* all of them */
};

struct orchestrator {
    struct part part;
    uint64_t seed;
    int64_t agents;
    int64_t steps; /* of the collective */
    struct tracked tracked[TRACKED_MOST];
    size_t tracked_count;
    int64_t judgments, learning_events, trades, events, active_agents;
    double profit;
    int64_t best_agent;
    double health; /* the share of components that changed of late, 0 to 1 */
};

void orchestrator_start(struct orchestrator *orchestrator, uint64_t seed, int64_t agents);
/* Ends a step: all other members have been stamped. */
void orchestrator_step(struct orchestrator *orchestrator, const struct syndicate *syndicate,
                       const struct roster *roster);

void orchestrator_write(const void *part, json_t *to);
void orchestrator_read(void *part, struct reading *from);

#endif
