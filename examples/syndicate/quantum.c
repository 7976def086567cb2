#include "quantum.h"

#include <math.h>
#include <string.h>

enum { PROBLEM_CYCLES = 150 };

static const double quarter = 1.5707963267948966; /* pi / 2 */
static const double turn = 0.02;                  /* radians a cycle */
static const double never_certain = 0.08;         /* radians that every bit stays away from 0 and 1 */

static void begin_problem(struct quantum *quantum);
static void end_problem(struct quantum *quantum);
static int64_t observe(struct quantum *quantum, const struct strategy *strategy);
static void rotate(struct strategy *strategy, int64_t towards);

void quantum_start(struct quantum *quantum, uint64_t seed)
{
    *quantum = (struct quantum){0};
    dice_seed(&quantum->dice, seed, "quantum");
    begin_problem(quantum);
}

static void begin_problem(struct quantum *quantum)
{
    double all = 0;
    for (size_t i = 0; i < QUANTUM_SIGNALS; i++) {
        quantum->costs[i] = 1 + 9 * dice_unit(&quantum->dice);
        quantum->worths[i] = quantum->costs[i] + 5 * dice_unit(&quantum->dice);
        all += quantum->costs[i];
    }
    quantum->budget = all / 2;
    for (size_t s = 0; s < QUANTUM_STRATEGIES; s++) {
        quantum->strategies[s] = (struct strategy){0};
        for (size_t i = 0; i < QUANTUM_SIGNALS; i++)
            quantum->strategies[s].angles[i] = quarter / 2; /* all choices alike */
    }
    quantum->age = quantum->best_choice = 0;
    quantum->best_worth = quantum->first_worth = 0;
}

void quantum_step(struct quantum *quantum)
{
    if (quantum->age == PROBLEM_CYCLES) {
        end_problem(quantum);
        begin_problem(quantum);
    }
    for (size_t s = 0; s < QUANTUM_STRATEGIES; s++) {
        struct strategy *strategy = &quantum->strategies[s];
        int64_t choice = observe(quantum, strategy);
        double worth = quantum_worth(quantum, choice);
        if (worth > strategy->best_worth) {
            strategy->best_worth = worth;
            strategy->best_choice = choice;
        }
        if (worth > quantum->best_worth) {
            quantum->best_worth = worth;
            quantum->best_choice = choice;
        }
        /* Half of the strategies follow the best of all, half their own best, so that they do not all end alike. */
        rotate(strategy, s % 2 == 0 ? quantum->best_choice : strategy->best_choice);
    }
    if (quantum->age == 0)
        quantum->first_worth = quantum->best_worth;
    quantum->age++;
    quantum->cycle++;
    quantum->part.changed = true;
}

static void end_problem(struct quantum *quantum)
{
    if (quantum->solved_count == QUANTUM_PROBLEMS)
        memmove(quantum->solved, quantum->solved + 1, --quantum->solved_count * sizeof(quantum->solved[0]));
    quantum->solved[quantum->solved_count++] = quantum->best_worth / quantum->first_worth;
}

/* A choice that costs more than the budget is repaired: signals are given up at random until it fits. */
static int64_t observe(struct quantum *quantum, const struct strategy *strategy)
{
    int64_t choice = 0;
    for (size_t i = 0; i < QUANTUM_SIGNALS; i++) {
        double s = sin(strategy->angles[i]);
        if (dice_unit(&quantum->dice) < s * s)
            choice |= INT64_C(1) << i;
    }
    while (quantum_cost(quantum, choice) > quantum->budget)
        choice &= ~(INT64_C(1) << dice_below(&quantum->dice, QUANTUM_SIGNALS));
    return choice;
}

static void rotate(struct strategy *strategy, int64_t towards)
{
    for (size_t i = 0; i < QUANTUM_SIGNALS; i++) {
        double angle = strategy->angles[i] + (towards >> i & 1 ? turn : -turn);
        strategy->angles[i] = fmax(never_certain, fmin(quarter - never_certain, angle));
    }
}

static double sum_of(const double *values, int64_t choice)
{
    double sum = 0;
    for (size_t i = 0; i < QUANTUM_SIGNALS; i++)
        sum += choice >> i & 1 ? values[i] : 0;
    return sum;
}

double quantum_cost(const struct quantum *quantum, int64_t choice)
{
    return sum_of(quantum->costs, choice);
}

double quantum_worth(const struct quantum *quantum, int64_t choice)
{
    return sum_of(quantum->worths, choice);
}

void quantum_write(const void *part, json_t *to)
{
    const struct quantum *quantum = part;
    put_integer(to, "cycle", quantum->cycle);
    put_integer(to, "age", quantum->age);
    put_integer(to, "bestChoice", quantum->best_choice);
    put_real(to, "bestWorth", quantum->best_worth);
    put_real(to, "firstWorth", quantum->first_worth);
    put_real(to, "budget", quantum->budget);
    put_reals(to, "costs", quantum->costs, QUANTUM_SIGNALS);
    put_reals(to, "worths", quantum->worths, QUANTUM_SIGNALS);
    json_t *list = put_list(to, "strategies");
    for (size_t s = 0; s < QUANTUM_STRATEGIES; s++) {
        json_t *strategy = add_object(list);
        put_reals(strategy, "angles", quantum->strategies[s].angles, QUANTUM_SIGNALS);
        put_integer(strategy, "bestChoice", quantum->strategies[s].best_choice);
        put_real(strategy, "bestWorth", quantum->strategies[s].best_worth);
    }
    put_reals(to, "solved", quantum->solved, quantum->solved_count);
    put_dice(to, &quantum->dice);
}

void quantum_read(void *part, struct reading *from)
{
    struct quantum *quantum = part;
    const int64_t all = (INT64_C(1) << QUANTUM_SIGNALS) - 1;
    quantum->cycle = get_integer(from, "cycle", 0, INT64_MAX);
    quantum->age = get_integer(from, "age", 0, PROBLEM_CYCLES);
    quantum->best_choice = get_integer(from, "bestChoice", 0, all);
    quantum->best_worth = get_real(from, "bestWorth");
    quantum->first_worth = get_real(from, "firstWorth");
    quantum->budget = get_real_within(from, "budget", 0, 1e6);
    get_reals(from, "costs", quantum->costs, QUANTUM_SIGNALS);
    get_reals(from, "worths", quantum->worths, QUANTUM_SIGNALS);
    get_list(from, "strategies", QUANTUM_STRATEGIES, QUANTUM_STRATEGIES);
    for (size_t s = 0; s < QUANTUM_STRATEGIES; s++) {
        struct reading inner = reading_enter(from, "strategies", s);
        get_reals(&inner, "angles", quantum->strategies[s].angles, QUANTUM_SIGNALS);
        quantum->strategies[s].best_choice = get_integer(&inner, "bestChoice", 0, all);
        quantum->strategies[s].best_worth = get_real(&inner, "bestWorth");
        reading_leave(from, &inner, "strategies", s);
    }
    quantum->solved_count = get_list(from, "solved", 0, QUANTUM_PROBLEMS);
    get_reals(from, "solved", quantum->solved, quantum->solved_count);
    get_dice(from, &quantum->dice);
}
