#include "dice.h"

#include <math.h>

static uint64_t rotate_left(uint64_t value, int by)
{
    return value << by | value >> (64 - by);
}

/* SplitMix64, which the authors of xoshiro256** advise for seeding. */
static uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

void dice_seed(struct dice *dice, uint64_t seed, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325U; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3U;
    uint64_t state = seed ^ hash;
    for (int i = 0; i < 4; i++)
        dice->state[i] = mix(&state);
}

uint64_t dice_next(struct dice *dice)
{
    uint64_t *s = dice->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double dice_unit(struct dice *dice)
{
    return (double)(dice_next(dice) >> 11) * 0x1p-53;
}

uint64_t dice_below(struct dice *dice, uint64_t ceiling)
{
    uint64_t reject_below = -ceiling % ceiling, drawn;
    do
        drawn = dice_next(dice);
    while (drawn < reject_below);
    return drawn % ceiling;
}

/* Marsaglia's polar method. The second number is thrown away: kept, it would be one more thing to save. */
double dice_normal(struct dice *dice)
{
    double u, v, s;
    do {
        u = 2 * dice_unit(dice) - 1;
        v = 2 * dice_unit(dice) - 1;
        s = u * u + v * v;
    } while (s >= 1 || s == 0);
    return u * sqrt(-2 * log(s) / s);
}
