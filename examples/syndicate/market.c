#include "market.h"

#include <math.h>

static const double change_chance = 1.0 / 60;
static const double return_most = 0.15;
static const double pull_home = 0.0004; /* keeps the price within a few orders of magnitude over millions of ticks */
static const double home_price = 100;

static const struct {
    const char *name;
    double drift, deviation, memory; /* memory: how much of a return comes back in the next one */
} regimes[REGIMES] = {
    {"calm", 0, 0.004, -0.45},
    {"bull", 0.0008, 0.006, 0.5},
    {"bear", -0.001, 0.008, 0.5},
    {"turbulent", 0, 0.018, -0.35},
};

void market_start(struct market *market, uint64_t seed)
{
    *market = (struct market){.price = home_price, .regimes_seen = 1};
    dice_seed(&market->dice, seed, "market");
}

void market_step(struct market *market)
{
    if (dice_unit(&market->dice) < change_chance) {
        market->regime = (market->regime + 1 + (int64_t)dice_below(&market->dice, REGIMES - 1)) % REGIMES;
        market->regime_age = 0;
        market->regimes_seen++;
        market->part.happened = "regime-change";
    }
    double home = pull_home * log(home_price / market->price);
    double change = regimes[market->regime].drift + home + regimes[market->regime].memory * market->last_return +
                    regimes[market->regime].deviation * dice_normal(&market->dice);
    market->last_return = fmax(-return_most, fmin(return_most, change));
    market->price *= exp(market->last_return);
    market->regime_age++;
    market->ticks++;
    market->part.changed = true;
}

const char *market_regime(const struct market *market)
{
    return regimes[market->regime].name;
}

void market_write(const void *part, json_t *to)
{
    const struct market *market = part;
    put_text(to, "regimeName", market_regime(market));
    put_integer(to, "regime", market->regime);
    put_integer(to, "regimeAge", market->regime_age);
    put_integer(to, "regimesSeen", market->regimes_seen);
    put_integer(to, "ticks", market->ticks);
    put_real(to, "price", market->price);
    put_real(to, "lastReturn", market->last_return);
    put_dice(to, &market->dice);
}

void market_read(void *part, struct reading *from)
{
    struct market *market = part;
    market->regime = get_integer(from, "regime", 0, REGIMES - 1);
    market->regime_age = get_integer(from, "regimeAge", 0, INT64_MAX);
    market->regimes_seen = get_integer(from, "regimesSeen", 1, INT64_MAX);
    market->ticks = get_integer(from, "ticks", 0, INT64_MAX);
    market->price = get_real_within(from, "price", 1e-100, 1e100);
    market->last_return = get_real_within(from, "lastReturn", -return_most, return_most);
    get_dice(from, &market->dice);
}
