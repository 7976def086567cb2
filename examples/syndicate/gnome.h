/* The AlphaGnome population: trading rules that evolve. A genome holds the parameters of one rule; its fitness is what
 * the rule would have earned for its risk on a stretch of past returns, costs included. After an era the stretch is
 * taken anew from the world model, so that the population follows the market. */
#ifndef SYNDICATE_GNOME_H
#define SYNDICATE_GNOME_H

#include "world.h"

enum {
    GNOME_GENES = 5,
    GNOME_POPULATION = 20,
    GNOME_STRETCH = WORLD_RETURNS,
    GNOME_ERAS = 12, /* that are remembered */
};

struct genome {
    double genes[GNOME_GENES]; /* 0 to 1 each: fast rate, slow rate, weight of the trend, of the last return, size */
    double fitness;
};

struct era {
    int64_t generations;
    double first_best, last_best;
};

struct gnome {
    struct part part;
    struct dice dice;
    struct genome population[GNOME_POPULATION]; /* fittest first */
    double stretch[GNOME_STRETCH];
    int64_t generation;          /* of all eras */
    int64_t age;                 /* generations of the present era */
    double first_best;           /* of the present era */
    struct era eras[GNOME_ERAS]; /* past ones, oldest first */
    size_t era_count;
    double record;   /* the best fitness of all eras */
    double position; /* that the fittest would take now, -1 to 1 */
};

void gnome_start(struct gnome *gnome, uint64_t seed, const struct world *world);
void gnome_step(struct gnome *gnome, const struct world *world);

/* One generation on the present stretch. */
void gnome_evolve(struct gnome *gnome);
double gnome_fitness(const double genes[GNOME_GENES], const double *returns, size_t count);

void gnome_write(const void *part, json_t *to);
void gnome_read(void *part, struct reading *from);

#endif
