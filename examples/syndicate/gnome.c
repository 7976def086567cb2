#include "gnome.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ELITE = 2, /* survive as they are */
    TOURNAMENT = 3,
    ERA_GENERATIONS = 80,
};

static const double cost = 0.0004;         /* of a change of position by one */
static const double record_margin = 0.005; /* less is not worth telling */
static const double mutation_chance = 0.3; /* per gene */
static const double mutation_deviation = 0.12;
static const double blend = 0.3; /* how far a child may lie outside its parents */

static void begin_era(struct gnome *gnome, const struct world *world);
static void breed(struct gnome *gnome, struct genome *child);

void gnome_start(struct gnome *gnome, uint64_t seed, const struct world *world)
{
    *gnome = (struct gnome){0};
    dice_seed(&gnome->dice, seed, "gnome");
    for (size_t i = 0; i < GNOME_POPULATION; i++)
        for (size_t g = 0; g < GNOME_GENES; g++)
            gnome->population[i].genes[g] = dice_unit(&gnome->dice);
    begin_era(gnome, world);
    gnome->record = gnome->first_best;
}

/* What a rule does: holds a position by the distance of two moving averages and by the last return, both in spreads.
 * Gives the mean earning per tick over its deviation, and the position after the last return. */
static double trade(const double genes[GNOME_GENES], const double *returns, size_t count, double *last_position)
{
    double fast_rate = 0.05 + 0.9 * genes[0], slow_rate = 0.01 + 0.2 * genes[1];
    double trend_weight = 6 * genes[2] - 3, last_weight = 4 * genes[3] - 2, size = genes[4];
    double fast = 0, slow = 0, spread = 0.005, position = 0, sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        double earned = position * returns[i];
        fast += fast_rate * (returns[i] - fast);
        slow += slow_rate * (returns[i] - slow);
        spread += 0.05 * (fabs(returns[i]) - spread);
        double wanted = size * tanh((trend_weight * (fast - slow) + last_weight * returns[i]) / (spread + 1e-6));
        earned -= cost * fabs(wanted - position);
        position = wanted;
        sum += earned;
        squares += earned * earned;
    }
    *last_position = position;
    double mean = sum / (double)count;
    double deviation = sqrt(fmax(0, squares / (double)count - mean * mean));
    return mean / (deviation + 0.0005);
}

double gnome_fitness(const double genes[GNOME_GENES], const double *returns, size_t count)
{
    double position;
    return trade(genes, returns, count, &position);
}

static int by_fitness(const void *a, const void *b)
{
    const struct genome *one = a, *other = b;
    if (one->fitness != other->fitness)
        return one->fitness < other->fitness ? 1 : -1;
    return memcmp(one->genes, other->genes, sizeof(one->genes)); /* an order that no library decides */
}

static void rank(struct gnome *gnome)
{
    for (size_t i = 0; i < GNOME_POPULATION; i++)
        gnome->population[i].fitness = gnome_fitness(gnome->population[i].genes, gnome->stretch, GNOME_STRETCH);
    qsort(gnome->population, GNOME_POPULATION, sizeof(gnome->population[0]), by_fitness);
}

static void begin_era(struct gnome *gnome, const struct world *world)
{
    memcpy(gnome->stretch, world->returns, sizeof(gnome->stretch));
    rank(gnome);
    gnome->age = 0;
    gnome->first_best = gnome->population[0].fitness;
}

static void end_era(struct gnome *gnome)
{
    if (gnome->era_count == GNOME_ERAS)
        memmove(gnome->eras, gnome->eras + 1, --gnome->era_count * sizeof(gnome->eras[0]));
    gnome->eras[gnome->era_count++] = (struct era){gnome->age, gnome->first_best, gnome->population[0].fitness};
}

void gnome_step(struct gnome *gnome, const struct world *world)
{
    gnome_evolve(gnome);
    if (gnome->age == ERA_GENERATIONS) {
        end_era(gnome);
        begin_era(gnome, world);
    }
    trade(gnome->population[0].genes, world->returns, WORLD_RETURNS, &gnome->position);
    gnome->part.changed = true;
}

void gnome_evolve(struct gnome *gnome)
{
    struct genome children[GNOME_POPULATION];
    memcpy(children, gnome->population, ELITE * sizeof(children[0]));
    for (size_t i = ELITE; i < GNOME_POPULATION; i++)
        breed(gnome, &children[i]);
    memcpy(gnome->population, children, sizeof(children));
    rank(gnome);
    gnome->generation++;
    gnome->age++;
    if (gnome->population[0].fitness > gnome->record + record_margin) {
        gnome->record = gnome->population[0].fitness;
        gnome->part.happened = "new-best-genome";
    }
}

/* The population is ranked: the lowest number drawn wins. */
static const struct genome *choose(struct gnome *gnome)
{
    uint64_t best = GNOME_POPULATION;
    for (int i = 0; i < TOURNAMENT; i++) {
        uint64_t drawn = dice_below(&gnome->dice, GNOME_POPULATION);
        if (drawn < best)
            best = drawn;
    }
    return &gnome->population[best];
}

static void breed(struct gnome *gnome, struct genome *child)
{
    const struct genome *mother = choose(gnome), *father = choose(gnome);
    for (size_t g = 0; g < GNOME_GENES; g++) {
        double share = (1 + 2 * blend) * dice_unit(&gnome->dice) - blend;
        double gene = mother->genes[g] + share * (father->genes[g] - mother->genes[g]);
        if (dice_unit(&gnome->dice) < mutation_chance)
            gene += mutation_deviation * dice_normal(&gnome->dice);
        child->genes[g] = fmax(0, fmin(1, gene));
    }
}

void gnome_write(const void *part, json_t *to)
{
    const struct gnome *gnome = part;
    put_integer(to, "generation", gnome->generation);
    put_integer(to, "age", gnome->age);
    put_real(to, "bestFitness", gnome->population[0].fitness);
    put_real(to, "firstBest", gnome->first_best);
    put_real(to, "record", gnome->record);
    put_real(to, "position", gnome->position);
    json_t *list = put_list(to, "population");
    for (size_t i = 0; i < GNOME_POPULATION; i++) {
        json_t *genome = add_object(list);
        put_reals(genome, "genes", gnome->population[i].genes, GNOME_GENES);
        put_real(genome, "fitness", gnome->population[i].fitness);
    }
    list = put_list(to, "evolutionHistory");
    for (size_t i = 0; i < gnome->era_count; i++) {
        json_t *era = add_object(list);
        put_integer(era, "generations", gnome->eras[i].generations);
        put_real(era, "firstBest", gnome->eras[i].first_best);
        put_real(era, "lastBest", gnome->eras[i].last_best);
    }
    put_reals(to, "stretch", gnome->stretch, GNOME_STRETCH);
    put_dice(to, &gnome->dice);
}

void gnome_read(void *part, struct reading *from)
{
    struct gnome *gnome = part;
    gnome->generation = get_integer(from, "generation", 0, INT64_MAX);
    gnome->age = get_integer(from, "age", 0, ERA_GENERATIONS);
    gnome->first_best = get_real(from, "firstBest");
    gnome->record = get_real(from, "record");
    gnome->position = get_real_within(from, "position", -1, 1);
    get_list(from, "population", GNOME_POPULATION, GNOME_POPULATION);
    for (size_t i = 0; i < GNOME_POPULATION; i++) {
        struct reading inner = reading_enter(from, "population", i);
        get_reals(&inner, "genes", gnome->population[i].genes, GNOME_GENES);
        gnome->population[i].fitness = get_real(&inner, "fitness");
        reading_leave(from, &inner, "population", i);
    }
    gnome->era_count = get_list(from, "evolutionHistory", 0, GNOME_ERAS);
    for (size_t i = 0; i < gnome->era_count; i++) {
        struct reading inner = reading_enter(from, "evolutionHistory", i);
        gnome->eras[i] = (struct era){get_integer(&inner, "generations", 0, INT64_MAX), get_real(&inner, "firstBest"),
                                      get_real(&inner, "lastBest")};
        reading_leave(from, &inner, "evolutionHistory", i);
    }
    get_reals(from, "stretch", gnome->stretch, GNOME_STRETCH);
    get_dice(from, &gnome->dice);
}
