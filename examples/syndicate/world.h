/* The world model: what the collective knows of the market, and the features that the learners see of it. */
#ifndef SYNDICATE_WORLD_H
#define SYNDICATE_WORLD_H

#include "market.h"

enum {
    WORLD_RETURNS = 128,
    WORLD_CANDLES = 24,
    WORLD_FEATURES = 6,
    WORLD_LOOKBACK = 32, /* returns that come before one whose features can be told */
};

struct candle {
    double open, high, low, close;
};

struct world {
    struct part part;
    double returns[WORLD_RETURNS]; /* oldest first */
    struct candle candles[WORLD_CANDLES];
    size_t candle_count;  /* the last one may be under way */
    int64_t candle_ticks; /* of the one under way */
    int64_t ticks;
    double price;
};

/* Fills the history with the market's first ticks. */
void world_start(struct world *world, struct market *market);
void world_step(struct world *world, const struct market *market);

/* Of the moment after returns[index], WORLD_LOOKBACK <= index: nothing later shows. About -3 to 3 each. */
void world_features(const struct world *world, size_t index, double out[WORLD_FEATURES]);
/* The mean size of the returns up to and with returns[index]; count of them. Above 0. */
double world_spread(const struct world *world, size_t index, size_t count);
/* What the network is to tell of the moment after returns[index]: the next return, in spreads, within -1 and 1. */
double world_target(const struct world *world, size_t index);

/* The same after the last return, in few words: 0 falling, 1 neither, 2 rising. */
int world_trend(const struct world *world, size_t index);
int world_last(const struct world *world, size_t index);     /* of the last return alone */
int world_restless(const struct world *world, size_t index); /* 0 quiet, 1 restless */
double world_newest(const struct world *world);

void world_write(const void *part, json_t *to);
void world_read(void *part, struct reading *from);

#endif
