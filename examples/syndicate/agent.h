/* A trading agent: learns by Q-learning which position to hold, from what it sees of the world and from the signal of
 * its specialisation. It remembers its executions and its profit, takes up what the judge suggests, and rests after
 * deep losses. */
#ifndef SYNDICATE_AGENT_H
#define SYNDICATE_AGENT_H

#include "mdp.h"
#include "world.h"

enum {
    AGENTS_MOST = 12,
    AGENT_POSITIONS = 3, /* short, none, long */
    AGENT_STATES = 3 * 3 * 2 * AGENT_POSITIONS,
    AGENT_Q = AGENT_STATES * AGENT_POSITIONS,
    AGENT_EXECUTIONS = 16,
    AGENT_SKILLS = 3,
    SPECIALISATIONS = 6,
};

/* What the judge would have an agent change. */
struct suggestion {
    int64_t id;
    int64_t step;
    int64_t agent;
    bool is_rate; /* the learning rate; else exploration */
    double value;
};

struct execution {
    int64_t step;
    int64_t from, to; /* positions */
};

struct agent {
    struct part part;
    struct dice dice;
    int64_t specialisation;
    double q[AGENT_Q];
    double rate, discount, exploration;
    int64_t state; /* when it last decided; -1: never */
    int64_t before, position;
    /* memory */
    struct execution executions[AGENT_EXECUTIONS]; /* the last ones, oldest first */
    size_t execution_count;
    int64_t trades, wins, losses;
    double profit, peak, deepest; /* percent */
    /* metrics */
    int64_t decisions;
    double total_reward, last_reward, mean_reward, reward_square, mean_surprise;
    double skills[AGENT_SKILLS];
    int64_t adopted; /* id of the last suggestion taken up */
    bool active;
    int64_t rests_until;
};

/* What an agent sees in a step besides itself. */
struct surroundings {
    int64_t step;
    const struct world *world;
    const struct mdp *mdp;
    double prediction;                   /* the network's */
    double rule_position;                /* the fittest genome's */
    double forecast;                     /* the optimiser's, in percent */
    const struct suggestion *suggestion; /* NULL: none */
};

void agent_start(struct agent *agent, uint64_t seed, int64_t number);
void agent_step(struct agent *agent, const struct surroundings *seen);
const char *agent_specialisation(const struct agent *agent);

void agent_write(const void *part, json_t *to);
void agent_read(void *part, struct reading *from);

#endif
