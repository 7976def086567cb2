#include "network.h"

#include <math.h>
#include <string.h>

enum {
    REPLAYS = 7,        /* examples of the past learned again with each new one */
    HISTORY_EVERY = 16, /* steps */
};

static const double loss_memory = 0.98;

/* The weights lie in one array: per hidden neuron its inputs and its bias, then the output's and its bias. */
static const double *hidden_of(const double *weights, size_t neuron)
{
    return weights + neuron * (WORLD_FEATURES + 1);
}

static const double *output_of(const double *weights)
{
    return weights + (size_t)NETWORK_HIDDEN * (WORLD_FEATURES + 1);
}

static double run(const struct network *network, const double *inputs, double hidden[NETWORK_HIDDEN]);
static void note_loss(struct network *network, double error);

void network_start(struct network *network, uint64_t seed)
{
    *network = (struct network){.rate = 0.003, .momentum = 0.8};
    dice_seed(&network->dice, seed, "network");
    for (size_t i = 0; i < NETWORK_WEIGHTS; i++)
        network->weights[i] = 0.2 * dice_normal(&network->dice);
}

void network_step(struct network *network, const struct world *world)
{
    double inputs[WORLD_FEATURES];
    const size_t newest = WORLD_RETURNS - 2; /* the newest one whose next return is known */
    world_features(world, newest, inputs);
    note_loss(network, network_learn(network, inputs, world_target(world, newest)));
    for (int i = 0; i < REPLAYS; i++) {
        size_t index = WORLD_LOOKBACK + dice_below(&network->dice, newest - WORLD_LOOKBACK);
        world_features(world, index, inputs);
        network_learn(network, inputs, world_target(world, index));
    }
    world_features(world, WORLD_RETURNS - 1, inputs);
    network->prediction = network_tell(network, inputs);
    network->part.changed = true;
}

static void note_loss(struct network *network, double error)
{
    int64_t steps = network->examples / (REPLAYS + 1);
    if (steps < HISTORY_EVERY)
        network->first_loss = network->loss = (network->first_loss * (double)steps + error) / (double)(steps + 1);
    else
        network->loss = loss_memory * network->loss + (1 - loss_memory) * error;
    if (steps % HISTORY_EVERY != 0)
        return;
    if (network->history_count == NETWORK_HISTORY)
        memmove(network->history, network->history + 1, --network->history_count * sizeof(network->history[0]));
    network->history[network->history_count++] = network->loss;
}

double network_tell(const struct network *network, const double inputs[WORLD_FEATURES])
{
    double hidden[NETWORK_HIDDEN];
    return run(network, inputs, hidden);
}

static double run(const struct network *network, const double *inputs, double hidden[NETWORK_HIDDEN])
{
    const double *output = output_of(network->weights);
    double sum = output[NETWORK_HIDDEN];
    for (size_t n = 0; n < NETWORK_HIDDEN; n++) {
        const double *weights = hidden_of(network->weights, n);
        double in = weights[WORLD_FEATURES];
        for (size_t i = 0; i < WORLD_FEATURES; i++)
            in += weights[i] * inputs[i];
        hidden[n] = tanh(in);
        sum += output[n] * hidden[n];
    }
    return tanh(sum);
}

double network_learn(struct network *network, const double inputs[WORLD_FEATURES], double target)
{
    double hidden[NETWORK_HIDDEN], gradient[NETWORK_WEIGHTS];
    double told = run(network, inputs, hidden), error = told - target;
    double delta = error * (1 - told * told);
    const double *output = output_of(network->weights);
    const size_t output_at = (size_t)(output - network->weights);
    for (size_t n = 0; n < NETWORK_HIDDEN; n++) {
        double inner = delta * output[n] * (1 - hidden[n] * hidden[n]);
        const size_t at = n * (WORLD_FEATURES + 1);
        for (size_t i = 0; i < WORLD_FEATURES; i++)
            gradient[at + i] = inner * inputs[i];
        gradient[at + WORLD_FEATURES] = inner;
        gradient[output_at + n] = delta * hidden[n];
    }
    gradient[NETWORK_WEIGHTS - 1] = delta;
    for (size_t i = 0; i < NETWORK_WEIGHTS; i++) {
        network->velocities[i] = network->momentum * network->velocities[i] - network->rate * gradient[i];
        network->weights[i] += network->velocities[i];
    }
    network->examples++;
    return error * error;
}

void network_write(const void *part, json_t *to)
{
    const struct network *network = part;
    put_reals(to, "weights", network->weights, NETWORK_WEIGHTS);
    put_reals(to, "velocities", network->velocities, NETWORK_WEIGHTS);
    put_real(to, "rate", network->rate);
    put_real(to, "momentum", network->momentum);
    put_integer(to, "examples", network->examples);
    put_real(to, "firstLoss", network->first_loss);
    put_real(to, "loss", network->loss);
    put_real(to, "prediction", network->prediction);
    put_reals(to, "trainingHistory", network->history, network->history_count);
    put_dice(to, &network->dice);
}

void network_read(void *part, struct reading *from)
{
    struct network *network = part;
    get_reals(from, "weights", network->weights, NETWORK_WEIGHTS);
    get_reals(from, "velocities", network->velocities, NETWORK_WEIGHTS);
    network->rate = get_real_within(from, "rate", 0, 1);
    network->momentum = get_real_within(from, "momentum", 0, 1);
    network->examples = get_integer(from, "examples", 0, INT64_MAX);
    network->first_loss = get_real(from, "firstLoss");
    network->loss = get_real(from, "loss");
    network->prediction = get_real_within(from, "prediction", -1, 1);
    network->history_count = get_list(from, "trainingHistory", 0, NETWORK_HISTORY);
    get_reals(from, "trainingHistory", network->history, network->history_count);
    get_dice(from, &network->dice);
}
