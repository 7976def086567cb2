/* Quantum evolution: the quantum-inspired evolutionary algorithm of Han and Kim (2002). A strategy is a row of q-bits;
 * to observe it is to throw, for each bit, whether a signal is bought. The objective is the knapsack problem: the most
 * worth of signals that the budget of a cycle pays for. After each cycle every strategy is turned towards the best
 * choice it has seen; when the cycles of a problem are over, prices change and a new problem begins. */
#ifndef SYNDICATE_QUANTUM_H
#define SYNDICATE_QUANTUM_H

#include "dice.h"
#include "fields.h"
#include "part.h"

enum {
    QUANTUM_SIGNALS = 20,
    QUANTUM_STRATEGIES = 6,
    QUANTUM_PROBLEMS = 12, /* past ones that are remembered */
};

struct strategy {
    double angles[QUANTUM_SIGNALS]; /* a bit is 1 with the probability sin^2 of its angle, 0 to pi/2 */
    int64_t best_choice;            /* one bit a signal */
    double best_worth;
};

struct quantum {
    struct part part;
    struct dice dice;
    double costs[QUANTUM_SIGNALS], worths[QUANTUM_SIGNALS];
    double budget;
    struct strategy strategies[QUANTUM_STRATEGIES];
    int64_t best_choice; /* of all strategies */
    double best_worth;
    double first_worth;              /* the best after the first cycle of this problem */
    int64_t cycle;                   /* of all problems */
    int64_t age;                     /* cycles of this problem */
    double solved[QUANTUM_PROBLEMS]; /* last worth over first worth, oldest first */
    size_t solved_count;
};

void quantum_start(struct quantum *quantum, uint64_t seed);
/* One cycle. */
void quantum_step(struct quantum *quantum);

double quantum_cost(const struct quantum *quantum, int64_t choice);
double quantum_worth(const struct quantum *quantum, int64_t choice);

void quantum_write(const void *part, json_t *to);
void quantum_read(void *part, struct reading *from);

#endif
