#include "agent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double cost = 0.03; /* percent, of a change of position by one */
static const double memory = 0.98;
static const double loss_to_rest = 8; /* percent below the peak */
static const int64_t rest_steps = 12;
static const int64_t settled = 40; /* decisions before a reward can be called large */
static const double exploration_least = 0.02, exploration_fades = 0.997;

static const char *const specialisations[SPECIALISATIONS] = {"momentum", "mean-reversion", "volatility",
                                                             "neural",   "evolution",      "planning"};

static void take_up(struct agent *agent, const struct suggestion *suggestion);
static void learn(struct agent *agent, double reward, int64_t next_state);
static void account(struct agent *agent, double reward);
static void decide(struct agent *agent, int64_t state, int64_t step);
static void improve_skills(struct agent *agent);
static int64_t observe(const struct agent *agent, const struct surroundings *seen);

void agent_start(struct agent *agent, uint64_t seed, int64_t number)
{
    char name[] = "agent-a";
    name[sizeof(name) - 2] = (char)('a' + number);
    *agent = (struct agent){.specialisation = number % SPECIALISATIONS,
                            .rate = 0.1,
                            .discount = 0.6,
                            .exploration = 0.3,
                            .state = -1,
                            .before = 1,
                            .position = 1,
                            .active = true};
    dice_seed(&agent->dice, seed, name);
}

void agent_step(struct agent *agent, const struct surroundings *seen)
{
    if (!agent->active && seen->step < agent->rests_until)
        return;
    agent->part.changed = true;
    if (!agent->active) {
        agent->active = true;
        agent->peak = agent->profit;
        agent->state = -1;
    }
    if (seen->suggestion && seen->suggestion->id > agent->adopted)
        take_up(agent, seen->suggestion);
    int64_t state = observe(agent, seen);
    if (agent->state >= 0) {
        double reward = (double)(agent->position - 1) * 100 * world_newest(seen->world) -
                        cost * (double)llabs(agent->position - agent->before);
        learn(agent, reward, state);
        account(agent, reward);
    }
    decide(agent, state, seen->step);
    improve_skills(agent);
    if (agent->peak - agent->profit > loss_to_rest) {
        agent->active = false;
        agent->rests_until = seen->step + rest_steps;
        agent->before = agent->position = 1;
        agent->part.happened = "agent-rests";
    }
}

static void take_up(struct agent *agent, const struct suggestion *suggestion)
{
    if (suggestion->is_rate)
        agent->rate = suggestion->value;
    else
        agent->exploration = suggestion->value;
    agent->adopted = suggestion->id;
}

static int bin(double value, double edge)
{
    return value < -edge ? 0 : value > edge ? 2 : 1;
}

/* 0 sell, 1 neither, 2 buy; of volatility: 0 it falls, 2 it rises. */
static int signal_of(const struct agent *agent, const struct surroundings *seen)
{
    const size_t now = WORLD_RETURNS - 1;
    double features[WORLD_FEATURES];
    switch (agent->specialisation) {
    case 0:
        return world_trend(seen->world, now);
    case 1:
        world_features(seen->world, now, features);
        return bin(-features[0] - features[1], 0.5);
    case 2:
        return bin(seen->forecast - 100 * world_spread(seen->world, now, 16), 0.1);
    case 3:
        return bin(seen->prediction, 0.1);
    case 4:
        return bin(seen->rule_position, 0.15);
    default:
        return (int)seen->mdp->policy[mdp_look(seen->world, now) * MDP_POSITIONS + (int)agent->position];
    }
}

static int64_t observe(const struct agent *agent, const struct surroundings *seen)
{
    const size_t now = WORLD_RETURNS - 1;
    int looks = (signal_of(agent, seen) * 3 + world_last(seen->world, now)) * 2 + world_restless(seen->world, now);
    return (int64_t)looks * AGENT_POSITIONS + agent->position;
}

static int64_t best_action(const struct agent *agent, int64_t state)
{
    const double *q = &agent->q[state * AGENT_POSITIONS];
    int64_t best = state % AGENT_POSITIONS; /* without a reason it stays where it is */
    for (int64_t action = 0; action < AGENT_POSITIONS; action++)
        if (q[action] > q[best])
            best = action;
    return best;
}

static void learn(struct agent *agent, double reward, int64_t next_state)
{
    double *q = &agent->q[agent->state * AGENT_POSITIONS + agent->position];
    double ahead = agent->q[next_state * AGENT_POSITIONS + best_action(agent, next_state)];
    double surprise = reward + agent->discount * ahead - *q;
    *q += agent->rate * surprise;
    agent->mean_surprise = memory * agent->mean_surprise + (1 - memory) * fabs(surprise);
}

static void account(struct agent *agent, double reward)
{
    if (agent->decisions > settled && fabs(reward) > 0.5 + 3.5 * sqrt(agent->reward_square))
        agent->part.happened = reward > 0 ? "large-reward" : "large-loss";
    agent->last_reward = reward;
    agent->total_reward += reward;
    agent->mean_reward = memory * agent->mean_reward + (1 - memory) * reward;
    agent->reward_square = memory * agent->reward_square + (1 - memory) * reward * reward;
    agent->wins += reward > 0;
    agent->losses += reward < 0;
    agent->profit += reward;
    agent->peak = fmax(agent->peak, agent->profit);
    agent->deepest = fmax(agent->deepest, agent->peak - agent->profit);
}

static void decide(struct agent *agent, int64_t state, int64_t step)
{
    int64_t action = best_action(agent, state);
    if (dice_unit(&agent->dice) < agent->exploration)
        action = (int64_t)dice_below(&agent->dice, AGENT_POSITIONS);
    agent->exploration = fmax(exploration_least, agent->exploration * exploration_fades);
    agent->state = state;
    agent->before = agent->position;
    agent->position = action;
    agent->decisions++;
    if (action == agent->before)
        return;
    agent->trades++;
    if (agent->execution_count == AGENT_EXECUTIONS)
        memmove(agent->executions, agent->executions + 1, --agent->execution_count * sizeof(agent->executions[0]));
    agent->executions[agent->execution_count++] = (struct execution){step, agent->before, action};
}

/* Execution: how often it wins; risk control: how little it lost at worst; forecasting: how little surprises it. */
static void improve_skills(struct agent *agent)
{
    double outcomes = (double)(agent->wins + agent->losses);
    agent->skills[0] = outcomes > 0 ? (double)agent->wins / outcomes : 0;
    agent->skills[1] = 1 / (1 + agent->deepest / loss_to_rest);
    agent->skills[2] = 1 / (1 + agent->mean_surprise);
}

const char *agent_specialisation(const struct agent *agent)
{
    return specialisations[agent->specialisation];
}
