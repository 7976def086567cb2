/* The learners of examples/syndicate learn: each is measured against where it began, or against what is known to be
 * best. Everything is seeded, so every run gives the same figures. */
#include "examples/syndicate/roster.h"
#include "examples/syndicate/syndicate.h"

#include "tests/support/check_main.h"

#include <math.h>
#include <stdlib.h>

enum { SEEDS = 5 };

START_TEST(the_population_finds_better_rules)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct market market;
        struct world world;
        struct gnome gnome;
        market_start(&market, seed);
        world_start(&world, &market);
        gnome_start(&gnome, seed, &world);
        double first = gnome.population[0].fitness, last = first;
        for (int generation = 0; generation < 200; generation++) {
            gnome_evolve(&gnome);
            ck_assert(gnome.population[0].fitness >= last); /* the fittest survive */
            last = gnome.population[0].fitness;
        }
        ck_assert_msg(last > first + 0.01, "seed %d: %g to %g", (int)seed, first, last);
        ck_assert(last == gnome_fitness(gnome.population[0].genes, gnome.stretch, GNOME_STRETCH));
    }
}
END_TEST

/* The exact answer to the knapsack problem, by trying every choice. */
static double best_possible(const struct quantum *quantum)
{
    double best = 0;
    for (int64_t choice = 0; choice < INT64_C(1) << QUANTUM_SIGNALS; choice++) {
        if (quantum_worth(quantum, choice) > best && quantum_cost(quantum, choice) <= quantum->budget)
            best = quantum_worth(quantum, choice);
    }
    return best;
}

START_TEST(quantum_evolution_comes_close_to_the_best_choice_there_is)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct quantum quantum;
        quantum_start(&quantum, seed);
        quantum_step(&quantum);
        double first = quantum.best_worth;
        for (int cycle = 1; cycle < 150; cycle++)
            quantum_step(&quantum);
        double best = best_possible(&quantum);
        ck_assert(quantum_cost(&quantum, quantum.best_choice) <= quantum.budget);
        ck_assert_msg(quantum.best_worth >= 0.97 * best && quantum.best_worth <= best, "%g of %g", quantum.best_worth,
                      best);
        ck_assert(quantum.best_worth > first);
    }
}
END_TEST

START_TEST(the_network_learns_a_function)
{
    struct network network;
    struct dice dice;
    network_start(&network, 1);
    network.rate = 0.01;
    dice_seed(&dice, 1, "examples");
    double first = 0, last = 0;
    enum { EXAMPLES = 40000, MEASURED = 1000 };
    for (int i = 0; i < EXAMPLES; i++) {
        double inputs[WORLD_FEATURES];
        for (size_t f = 0; f < WORLD_FEATURES; f++)
            inputs[f] = 2 * dice_unit(&dice) - 1;
        double error = network_learn(&network, inputs, 0.8 * sin(2 * inputs[0]) * inputs[1] - 0.3 * inputs[4]);
        first += i < MEASURED ? error / MEASURED : 0;
        last += i >= EXAMPLES - MEASURED ? error / MEASURED : 0;
    }
    ck_assert_msg(last < 0.005 && last < first / 10, "%g to %g", first, last);
}
END_TEST

/* Adds up squared errors on ticks that the network has never seen: its own, and those of always saying zero. */
static void follow_market(uint64_t seed, double *told, double *nothing)
{
    struct market market;
    struct world world;
    struct network network;
    market_start(&market, seed);
    world_start(&world, &market);
    network_start(&network, seed);
    for (int i = 0; i < 4000; i++) {
        market_step(&market);
        world_step(&world, &market);
        double target = world_target(&world, WORLD_RETURNS - 2);
        *told += i < 1000 ? 0 : pow(target - network.prediction, 2);
        *nothing += i < 1000 ? 0 : target * target;
        network_step(&network, &world);
    }
}

START_TEST(the_network_tells_the_market_better_than_nothing_does)
{
    double told = 0, nothing = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        follow_market(seed, &told, &nothing);
    ck_assert_msg(told < 0.98 * nothing, "%g of %g", told, nothing);
}
END_TEST

START_TEST(value_iteration_satisfies_the_equation_of_bellman)
{
    struct market market;
    struct world world;
    struct mdp mdp;
    market_start(&market, 3);
    world_start(&world, &market);
    mdp_start(&mdp, &world);
    mdp_iterate(&mdp, 1e-12, 1000);
    ck_assert(mdp.residual < 1e-12);
    ck_assert(mdp.sweeps < 1000);
    int held = 0;
    for (int look = 0; look < MDP_LOOKS; look++)
        for (int position = 0; position < MDP_POSITIONS; position++) {
            int state = look * MDP_POSITIONS + position;
            double best = -HUGE_VAL;
            for (int action = 0; action < MDP_POSITIONS; action++)
                best = fmax(best, mdp_worth(&mdp, look, position, action));
            ck_assert_double_eq_tol(best, mdp.values[state], 1e-10);
            ck_assert_double_eq_tol(mdp_worth(&mdp, look, position, (int)mdp.policy[state]), best, 1e-10);
            held += mdp.policy[state] != 1;
        }
    ck_assert_int_gt(held, 0); /* it has found something to earn */
}
END_TEST

START_TEST(the_optimiser_comes_close_to_the_least_squares)
{
    struct market market;
    struct world world;
    struct optimiser optimiser;
    market_start(&market, 4);
    world_start(&world, &market);
    optimiser_start(&optimiser, 4);
    double first = optimiser_loss(optimiser.weights, &world);
    for (int i = 0; i < 2000; i++)
        optimiser_update(&optimiser, &world);
    double last = optimiser_loss(optimiser.weights, &world);
    /* The best constant alone leaves the variance of the sizes. */
    double sum = 0, squares = 0, count = WORLD_RETURNS - 1 - WORLD_LOOKBACK;
    for (size_t i = WORLD_LOOKBACK + 1; i < WORLD_RETURNS; i++) {
        sum += 100 * fabs(world.returns[i]);
        squares += pow(100 * world.returns[i], 2);
    }
    double variance = squares / count - pow(sum / count, 2);
    ck_assert_msg(last < variance && last < first / 2, "%g to %g; variance %g", first, last, variance);
}
END_TEST

/* What six agents earn together in the last thousands of many steps; with exploration 1 for ever they act at random. */
static double earn(uint64_t seed, bool random)
{
    struct syndicate *syndicate = calloc(1, sizeof(*syndicate));
    syndicate_start(syndicate, seed, 6);
    double before = 0, after = 0;
    for (int k = 0; k < 4000; k++) {
        if (random)
            for (int i = 0; i < 6; i++)
                syndicate->agents[i].exploration = 1;
        syndicate_step(syndicate);
        before = k == 1000 ? syndicate->orchestrator.profit : before;
    }
    after = syndicate->orchestrator.profit;
    free(syndicate);
    return after - before;
}

START_TEST(agents_that_learn_earn_more_than_agents_that_guess)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        double learned = earn(seed, false), guessed = earn(seed, true);
        ck_assert_msg(learned > 0 && guessed < 0, "seed %d: %g learned, %g guessed", (int)seed, learned, guessed);
    }
}
END_TEST

START_TEST(the_judge_keeps_a_hundred_judgments_and_is_listened_to)
{
    struct syndicate *syndicate = calloc(1, sizeof(*syndicate));
    syndicate_start(syndicate, 5, 4);
    for (int k = 0; k < 600; k++)
        syndicate_step(syndicate);
    const struct judge *judge = &syndicate->judge;
    ck_assert_uint_eq(judge->judgment_count, JUDGE_JUDGMENTS);
    ck_assert_int_ge(judge->total_judgments, 600);
    for (size_t i = 0; i < JUDGE_JUDGMENTS; i++)
        ck_assert_int_eq(judge->judgments[i].id, judge->total_judgments - JUDGE_JUDGMENTS + 1 + (int64_t)i);
    ck_assert_int_gt(judge->adopted, 0);
    ck_assert_int_eq(judge->total_suggestions, judge->adopted + (int64_t)judge->suggestion_count);
    int64_t judged = 0;
    for (size_t i = 0; i < judge->agents; i++)
        judged += judge->profiles[i].judgments;
    ck_assert_int_eq(judged, judge->total_judgments);
    free(syndicate);
}
END_TEST

HF_TEST_MAIN("syndicate_learning", the_population_finds_better_rules,
             quantum_evolution_comes_close_to_the_best_choice_there_is, the_network_learns_a_function,
             the_network_tells_the_market_better_than_nothing_does, value_iteration_satisfies_the_equation_of_bellman,
             the_optimiser_comes_close_to_the_least_squares, agents_that_learn_earn_more_than_agents_that_guess,
             the_judge_keeps_a_hundred_judgments_and_is_listened_to);
