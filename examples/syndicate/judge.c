#include "judge.h"

#include <math.h>
#include <string.h>

static const double important_below = 0.12, important_above = 0.85;
static const double poor_below = 0.4, good_above = 0.6;
static const double exploration_most = 0.3, exploration_least = 0.03, rate_least = 0.03;

static void give_judgment(struct judge *judge, const struct agent *agents, int64_t number, int64_t step);
static void suggest(struct judge *judge, const struct agent *agent, int64_t number, int64_t step);
static void forget_adopted(struct judge *judge, const struct agent *agents);

void judge_start(struct judge *judge, size_t agents)
{
    *judge = (struct judge){.agents = agents};
}

void judge_step(struct judge *judge, const struct agent *agents, int64_t step)
{
    forget_adopted(judge, agents);
    for (int64_t i = 0; i < (int64_t)judge->agents; i++)
        if (step % (int64_t)judge->agents == i || agents[i].part.happened)
            give_judgment(judge, agents, i, step);
    judge->part.changed = true;
}

static void forget_adopted(struct judge *judge, const struct agent *agents)
{
    size_t left = 0;
    for (size_t i = 0; i < judge->suggestion_count; i++)
        if (judge->suggestions[i].id > agents[judge->suggestions[i].agent].adopted)
            judge->suggestions[left++] = judge->suggestions[i];
    judge->adopted += (int64_t)(judge->suggestion_count - left);
    judge->suggestion_count = left;
}

/* What the agent earns beside its peers, how often it wins, and how far it is below its peak. */
static double score_of(const struct judge *judge, const struct agent *agents, int64_t number)
{
    double peers = 0;
    for (size_t i = 0; i < judge->agents; i++)
        peers += agents[i].mean_reward / (double)judge->agents;
    const struct agent *agent = &agents[number];
    double score = 0.35 + 0.35 * tanh(5 * (agent->mean_reward - peers)) + 0.3 * agent->skills[0] +
                   0.1 * tanh(agent->last_reward) - 0.15 * tanh((agent->peak - agent->profit) / 4);
    return fmax(0, fmin(1, score));
}

static void give_judgment(struct judge *judge, const struct agent *agents, int64_t number, int64_t step)
{
    double score = score_of(judge, agents, number);
    if (judge->judgment_count == JUDGE_JUDGMENTS)
        memmove(judge->judgments, judge->judgments + 1, --judge->judgment_count * sizeof(judge->judgments[0]));
    judge->judgments[judge->judgment_count++] =
        (struct judgment){++judge->total_judgments, step, number, score, agents[number].mean_reward};
    struct profile *profile = &judge->profiles[number];
    bool first = profile->judgments++ == 0;
    profile->best_score = first ? score : fmax(profile->best_score, score);
    profile->worst_score = first ? score : fmin(profile->worst_score, score);
    profile->mean_score += (score - profile->mean_score) / (double)profile->judgments;
    profile->last_score = score;
    if (score < important_below || score > important_above)
        judge->part.happened = "important-judgment";
    suggest(judge, &agents[number], number, step);
}

/* Who does badly is to try more, or if it tries enough to learn with more care; who does well is to try less. */
static void suggest(struct judge *judge, const struct agent *agent, int64_t number, int64_t step)
{
    if (judge_suggestion(judge, number) || judge->suggestion_count == JUDGE_SUGGESTIONS)
        return;
    struct suggestion made = {.step = step, .agent = number};
    double score = judge->profiles[number].last_score;
    if (score < poor_below && agent->exploration < exploration_most / 2) {
        made.value = fmin(exploration_most, 2 * agent->exploration);
    } else if (score < poor_below && agent->rate > rate_least) {
        made.is_rate = true;
        made.value = fmax(rate_least, 0.9 * agent->rate);
    } else if (score > good_above && agent->exploration > exploration_least) {
        made.value = fmax(exploration_least, 0.7 * agent->exploration);
    } else {
        return;
    }
    made.id = ++judge->total_suggestions;
    judge->suggestions[judge->suggestion_count++] = made;
}

const struct suggestion *judge_suggestion(const struct judge *judge, int64_t agent)
{
    for (size_t i = 0; i < judge->suggestion_count; i++)
        if (judge->suggestions[i].agent == agent)
            return &judge->suggestions[i];
    return NULL;
}
