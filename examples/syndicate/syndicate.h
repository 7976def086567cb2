/* The collective: all components, and the step that takes them on.
 *
 * A step is a pure function of the components' states: no clock, no addresses, no random numbers but those whose
 * generators are part of the states. So whoever has the states of step k computes the same step k + 1. */
#ifndef SYNDICATE_SYNDICATE_H
#define SYNDICATE_SYNDICATE_H

#include "agent.h"
#include "event_queue.h"
#include "gnome.h"
#include "judge.h"
#include "market.h"
#include "mdp.h"
#include "network.h"
#include "optimiser.h"
#include "orchestrator.h"
#include "pool.h"
#include "quantum.h"
#include "shared_memory.h"
#include "world.h"

struct syndicate {
    struct pool pool;
    struct shared_memory shared_memory;
    struct market market;
    struct event_queue event_queue;
    struct world world;
    struct gnome gnome;
    struct quantum quantum;
    struct network network;
    struct mdp mdp;
    struct optimiser optimiser;
    struct agent agents[AGENTS_MOST]; /* as many as the orchestrator says */
    struct judge judge;
    struct orchestrator orchestrator;
};

/* Step 0, with 1 to AGENTS_MOST agents. */
void syndicate_start(struct syndicate *syndicate, uint64_t seed, int64_t agents);
void syndicate_step(struct syndicate *syndicate);

#endif
