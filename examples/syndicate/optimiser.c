#include "optimiser.h"

#include <math.h>
#include <string.h>

enum { EVERY = 2 }; /* steps */

void optimiser_start(struct optimiser *optimiser, uint64_t seed)
{
    *optimiser = (struct optimiser){.rate = 0.02, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .perturbation = 0.01};
    dice_seed(&optimiser->dice, seed, "optimiser");
}

/* The mean size of the return after returns[index], in percent. */
static double forecast(const double weights[OPTIMISER_WEIGHTS], const struct world *world, size_t index)
{
    return weights[0] + 100 * (weights[1] * fabs(world->returns[index]) + weights[2] * world_spread(world, index, 8) +
                               weights[3] * world_spread(world, index, 32));
}

double optimiser_loss(const double weights[OPTIMISER_WEIGHTS], const struct world *world)
{
    double sum = 0;
    for (size_t i = WORLD_LOOKBACK; i < WORLD_RETURNS - 1; i++) {
        double error = forecast(weights, world, i) - 100 * fabs(world->returns[i + 1]);
        sum += error * error;
    }
    return sum / (WORLD_RETURNS - 1 - WORLD_LOOKBACK);
}

void optimiser_step(struct optimiser *optimiser, const struct world *world, int64_t step)
{
    if (step % EVERY != 0)
        return;
    optimiser_update(optimiser, world);
    optimiser->loss = optimiser_loss(optimiser->weights, world);
    optimiser->forecast = forecast(optimiser->weights, world, WORLD_RETURNS - 1);
    optimiser->part.changed = true;
}

/* SPSA: one random direction, the loss on either side of where we are. */
static void estimate_gradient(struct optimiser *optimiser, const struct world *world,
                              double gradient[OPTIMISER_WEIGHTS])
{
    double up[OPTIMISER_WEIGHTS], down[OPTIMISER_WEIGHTS], direction[OPTIMISER_WEIGHTS];
    for (size_t i = 0; i < OPTIMISER_WEIGHTS; i++) {
        direction[i] = dice_below(&optimiser->dice, 2) ? 1 : -1;
        up[i] = optimiser->weights[i] + optimiser->perturbation * direction[i];
        down[i] = optimiser->weights[i] - optimiser->perturbation * direction[i];
    }
    double slope = (optimiser_loss(up, world) - optimiser_loss(down, world)) / (2 * optimiser->perturbation);
    for (size_t i = 0; i < OPTIMISER_WEIGHTS; i++)
        gradient[i] = slope * direction[i];
}

void optimiser_update(struct optimiser *optimiser, const struct world *world)
{
    double gradient[OPTIMISER_WEIGHTS];
    estimate_gradient(optimiser, world, gradient);
    double steps = (double)++optimiser->updates;
    double mean_share = 1 - pow(optimiser->beta1, steps), square_share = 1 - pow(optimiser->beta2, steps);
    for (size_t i = 0; i < OPTIMISER_WEIGHTS; i++) {
        double *mean = &optimiser->means[i], *square = &optimiser->squares[i];
        *mean = optimiser->beta1 * *mean + (1 - optimiser->beta1) * gradient[i];
        *square = optimiser->beta2 * *square + (1 - optimiser->beta2) * gradient[i] * gradient[i];
        optimiser->weights[i] -=
            optimiser->rate * (*mean / mean_share) / (sqrt(*square / square_share) + optimiser->epsilon);
    }
}

void optimiser_write(const void *part, json_t *to)
{
    const struct optimiser *optimiser = part;
    put_integer(to, "updates", optimiser->updates);
    put_real(to, "loss", optimiser->loss);
    put_real(to, "forecast", optimiser->forecast);
    put_reals(to, "weights", optimiser->weights, OPTIMISER_WEIGHTS);
    put_reals(to, "means", optimiser->means, OPTIMISER_WEIGHTS);
    put_reals(to, "squares", optimiser->squares, OPTIMISER_WEIGHTS);
    put_real(to, "rate", optimiser->rate);
    put_real(to, "beta1", optimiser->beta1);
    put_real(to, "beta2", optimiser->beta2);
    put_real(to, "epsilon", optimiser->epsilon);
    put_real(to, "perturbation", optimiser->perturbation);
    put_dice(to, &optimiser->dice);
}

void optimiser_read(void *part, struct reading *from)
{
    struct optimiser *optimiser = part;
    optimiser->updates = get_integer(from, "updates", 0, INT64_MAX);
    optimiser->loss = get_real(from, "loss");
    optimiser->forecast = get_real(from, "forecast");
    get_reals(from, "weights", optimiser->weights, OPTIMISER_WEIGHTS);
    get_reals(from, "means", optimiser->means, OPTIMISER_WEIGHTS);
    get_reals(from, "squares", optimiser->squares, OPTIMISER_WEIGHTS);
    for (size_t i = 0; i < OPTIMISER_WEIGHTS; i++)
        if (optimiser->squares[i] < 0)
            reading_fail(from, "squares has a negative number");
    optimiser->rate = get_real_within(from, "rate", 0, 1);
    optimiser->beta1 = get_real_within(from, "beta1", 0, 0.9999);
    optimiser->beta2 = get_real_within(from, "beta2", 0, 0.9999);
    optimiser->epsilon = get_real_within(from, "epsilon", 1e-15, 1);
    optimiser->perturbation = get_real_within(from, "perturbation", 1e-6, 1);
    get_dice(from, &optimiser->dice);
}
