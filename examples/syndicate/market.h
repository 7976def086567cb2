/* The market feed: a simulated market, a seeded random walk whose regime changes now and then. In most regimes a return
 * says a little about the next one, so there is something to learn. */
#ifndef SYNDICATE_MARKET_H
#define SYNDICATE_MARKET_H

#include "dice.h"
#include "fields.h"
#include "part.h"

enum { REGIMES = 4 };

struct market {
    struct part part;
    struct dice dice;
    int64_t regime;
    int64_t regime_age; /* ticks */
    int64_t regimes_seen;
    int64_t ticks;
    double price;
    double last_return; /* logarithmic */
};

void market_start(struct market *market, uint64_t seed);
void market_step(struct market *market);
const char *market_regime(const struct market *market);

void market_write(const void *part, json_t *to);
void market_read(void *part, struct reading *from);

#endif
