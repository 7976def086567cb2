/* The optimiser engine: fits the collective's forecast of restlessness, a weighted sum of mean sizes of past returns
 * (Corsi's HAR model), by Adam on gradients that SPSA estimates. Every other step one update. */
#ifndef SYNDICATE_OPTIMISER_H
#define SYNDICATE_OPTIMISER_H

#include "world.h"

enum { OPTIMISER_WEIGHTS = 4 }; /* constant, last size, mean of 8, mean of 32 */

struct optimiser {
    struct part part;
    struct dice dice;
    double weights[OPTIMISER_WEIGHTS];
    double means[OPTIMISER_WEIGHTS];   /* Adam's first moments */
    double squares[OPTIMISER_WEIGHTS]; /* and second */
    double rate, beta1, beta2, epsilon, perturbation;
    int64_t updates;
    double loss;     /* mean squared error on the world model's history, in percent squared */
    double forecast; /* mean size of the next return, in percent */
};

void optimiser_start(struct optimiser *optimiser, uint64_t seed);
void optimiser_step(struct optimiser *optimiser, const struct world *world, int64_t step);

/* One update. */
void optimiser_update(struct optimiser *optimiser, const struct world *world);
double optimiser_loss(const double weights[OPTIMISER_WEIGHTS], const struct world *world);

void optimiser_write(const void *part, json_t *to);
void optimiser_read(void *part, struct reading *from);

#endif
