#include "world.h"

#include <math.h>
#include <string.h>

enum { CANDLE_TICKS = 16 };

static const double restless_from = 0.0075; /* mean size of a return */
static const double bin_edge = 0.4;         /* spreads */

static void add_return(struct world *world, const struct market *market);
static void add_to_candle(struct world *world, double price);
static double mean(const double *values, size_t count);
static double clamp(double value, double most);

void world_start(struct world *world, struct market *market)
{
    *world = (struct world){0};
    for (int i = 0; i < WORLD_RETURNS; i++) {
        market_step(market);
        add_return(world, market);
    }
}

void world_step(struct world *world, const struct market *market)
{
    add_return(world, market);
    world->part.changed = true;
}

static void add_return(struct world *world, const struct market *market)
{
    memmove(world->returns, world->returns + 1, (WORLD_RETURNS - 1) * sizeof(world->returns[0]));
    world->returns[WORLD_RETURNS - 1] = market->last_return;
    world->price = market->price;
    world->ticks++;
    add_to_candle(world, market->price);
}

static void add_to_candle(struct world *world, double price)
{
    if (world->candle_count == 0 || world->candle_ticks == CANDLE_TICKS) {
        if (world->candle_count == WORLD_CANDLES)
            memmove(world->candles, world->candles + 1, (WORLD_CANDLES - 1) * sizeof(world->candles[0]));
        else
            world->candle_count++;
        world->candles[world->candle_count - 1] = (struct candle){price, price, price, price};
        world->candle_ticks = 0;
    }
    struct candle *candle = &world->candles[world->candle_count - 1];
    candle->high = fmax(candle->high, price);
    candle->low = fmin(candle->low, price);
    candle->close = price;
    world->candle_ticks++;
}

void world_features(const struct world *world, size_t index, double out[WORLD_FEATURES])
{
    const double *now = &world->returns[index];
    double spread = world_spread(world, index, 16);
    out[0] = clamp(now[0] / spread, 3);
    out[1] = clamp(now[-1] / spread, 3);
    out[2] = clamp(now[-2] / spread, 3);
    out[3] = clamp(mean(now - 7, 8) / spread * 2, 3);
    out[4] = clamp(world_spread(world, index, 8) / world_spread(world, index, 32) - 1, 3);
    out[5] = clamp(log(spread / restless_from), 3);
}

double world_spread(const struct world *world, size_t index, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += fabs(world->returns[index - i]);
    return sum / (double)count + 1e-6;
}

double world_target(const struct world *world, size_t index)
{
    return tanh(world->returns[index + 1] / world_spread(world, index, 16));
}

static int bin(double value)
{
    return value < -bin_edge ? 0 : value > bin_edge ? 2 : 1;
}

int world_trend(const struct world *world, size_t index)
{
    return bin(2 * mean(&world->returns[index - 7], 8) / world_spread(world, index, 16));
}

int world_last(const struct world *world, size_t index)
{
    return bin(world->returns[index] / world_spread(world, index, 16));
}

int world_restless(const struct world *world, size_t index)
{
    return world_spread(world, index, 16) > restless_from;
}

double world_newest(const struct world *world)
{
    return world->returns[WORLD_RETURNS - 1];
}

void world_write(const void *part, json_t *to)
{
    const struct world *world = part;
    put_integer(to, "ticks", world->ticks);
    put_real(to, "price", world->price);
    put_reals(to, "returns", world->returns, WORLD_RETURNS);
    put_integer(to, "candleTicks", world->candle_ticks);
    json_t *list = put_list(to, "candles");
    for (size_t i = 0; i < world->candle_count; i++) {
        json_t *candle = add_object(list);
        put_real(candle, "open", world->candles[i].open);
        put_real(candle, "high", world->candles[i].high);
        put_real(candle, "low", world->candles[i].low);
        put_real(candle, "close", world->candles[i].close);
    }
}

void world_read(void *part, struct reading *from)
{
    struct world *world = part;
    world->ticks = get_integer(from, "ticks", 0, INT64_MAX);
    world->price = get_real(from, "price");
    get_reals(from, "returns", world->returns, WORLD_RETURNS);
    world->candle_ticks = get_integer(from, "candleTicks", 0, CANDLE_TICKS);
    world->candle_count = get_list(from, "candles", 0, WORLD_CANDLES);
    for (size_t i = 0; i < world->candle_count; i++) {
        struct reading inner = reading_enter(from, "candles", i);
        world->candles[i] = (struct candle){get_real(&inner, "open"), get_real(&inner, "high"), get_real(&inner, "low"),
                                            get_real(&inner, "close")};
        reading_leave(from, &inner, "candles", i);
    }
}

static double mean(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

static double clamp(double value, double most)
{
    return fmax(-most, fmin(most, value));
}
