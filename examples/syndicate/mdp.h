/* The MDP framework: a Markov decision process learned from the market, solved by value iteration.
 *
 * A state is what the world looks like (trend, restlessness) and the position held; an action is the next position. How
 * looks follow each other and what they earn is counted; every few steps the values are iterated on from where they
 * are. */
#ifndef SYNDICATE_MDP_H
#define SYNDICATE_MDP_H

#include "world.h"

enum {
    MDP_LOOKS = 18,    /* 3 trends, 3 last returns, 2 kinds of restlessness */
    MDP_POSITIONS = 3, /* short, none, long */
    MDP_STATES = MDP_LOOKS * MDP_POSITIONS,
    MDP_EVERY = 4, /* steps between two plans */
};

struct mdp {
    struct part part;
    int64_t follows[MDP_LOOKS * MDP_LOOKS]; /* how often a look followed another */
    double earned[MDP_LOOKS];               /* the sum of the returns after a look, in percent */
    double values[MDP_STATES];
    int64_t policy[MDP_STATES]; /* the best next position */
    double discount;
    double residual; /* the largest change of a value in the last sweep */
    int64_t sweeps;
    int64_t plans;
};

void mdp_start(struct mdp *mdp, const struct world *world);
/* Every MDP_EVERY steps counts what is new and plans; else changes nothing. */
void mdp_step(struct mdp *mdp, const struct world *world, int64_t step);

int mdp_look(const struct world *world, size_t index);
/* Counts what followed the last `count` moments of which that is known. */
void mdp_count(struct mdp *mdp, const struct world *world, size_t count);
/* Sweeps until the residual is below the bound, at most `most` times. */
void mdp_iterate(struct mdp *mdp, double bound, int most);
/* What the state is worth with that action, by the present values. */
double mdp_worth(const struct mdp *mdp, int look, int position, int action);

void mdp_write(const void *part, json_t *to);
void mdp_read(void *part, struct reading *from);

#endif
