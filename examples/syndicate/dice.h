/* Random numbers whose state is part of a component's state: a restored component throws what it would have thrown.
 * xoshiro256** 1.0 by David Blackman and Sebastiano Vigna (https://prng.di.unimi.it, public domain). */
#ifndef SYNDICATE_DICE_H
#define SYNDICATE_DICE_H

#include <stdint.h>

struct dice {
    uint64_t state[4];
};

/* Different names give independent sequences of one seed. */
void dice_seed(struct dice *dice, uint64_t seed, const char *name);
uint64_t dice_next(struct dice *dice);
double dice_unit(struct dice *dice);                      /* 0 <= x < 1 */
uint64_t dice_below(struct dice *dice, uint64_t ceiling); /* 0 <= x < ceiling; ceiling at least 1 */
double dice_normal(struct dice *dice);                    /* mean 0, deviation 1 */

#endif
