/* The neural network: a small perceptron with one hidden layer, trained by back-propagation with momentum to tell the
 * market's next return from the world model's features. */
#ifndef SYNDICATE_NETWORK_H
#define SYNDICATE_NETWORK_H

#include "world.h"

enum {
    NETWORK_HIDDEN = 8,
    NETWORK_WEIGHTS = NETWORK_HIDDEN * (WORLD_FEATURES + 1) + NETWORK_HIDDEN + 1,
    NETWORK_HISTORY = 32,
};

struct network {
    struct part part;
    struct dice dice;
    double weights[NETWORK_WEIGHTS];
    double velocities[NETWORK_WEIGHTS];
    double rate, momentum;
    int64_t examples;
    double first_loss;               /* mean squared error of the first examples, told before they were learned */
    double loss;                     /* the same, of late */
    double prediction;               /* of the next return, in spreads, -1 to 1 */
    double history[NETWORK_HISTORY]; /* losses, one every few steps */
    size_t history_count;
};

void network_start(struct network *network, uint64_t seed);
void network_step(struct network *network, const struct world *world);

double network_tell(const struct network *network, const double inputs[WORLD_FEATURES]);
/* One step down the gradient; the squared error before it. */
double network_learn(struct network *network, const double inputs[WORLD_FEATURES], double target);

void network_write(const void *part, json_t *to);
void network_read(void *part, struct reading *from);

#endif
