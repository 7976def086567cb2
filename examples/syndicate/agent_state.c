/* The state of an agent, written and read. */
#include "agent.h"

static const char *const skills[AGENT_SKILLS] = {"execution", "riskControl", "forecasting"};

void agent_write(const void *part, json_t *to)
{
    const struct agent *agent = part;
    put_text(to, "specialisationName", agent_specialisation(agent));
    put_integer(to, "specialisation", agent->specialisation);
    put_bool(to, "active", agent->active);
    put_integer(to, "restsUntil", agent->rests_until);
    put_reals(to, "qTable", agent->q, AGENT_Q);
    put_real(to, "rate", agent->rate);
    put_real(to, "discount", agent->discount);
    put_real(to, "exploration", agent->exploration);
    put_integer(to, "state", agent->state);
    put_integer(to, "before", agent->before);
    put_integer(to, "position", agent->position);
    json_t *list = put_list(to, "executions");
    for (size_t i = 0; i < agent->execution_count; i++) {
        json_t *execution = add_object(list);
        put_integer(execution, "step", agent->executions[i].step);
        put_integer(execution, "from", agent->executions[i].from);
        put_integer(execution, "to", agent->executions[i].to);
    }
    put_integer(to, "trades", agent->trades);
    put_integer(to, "wins", agent->wins);
    put_integer(to, "losses", agent->losses);
    put_real(to, "profit", agent->profit);
    put_real(to, "peak", agent->peak);
    put_real(to, "deepestLoss", agent->deepest);
    put_integer(to, "decisions", agent->decisions);
    put_real(to, "totalReward", agent->total_reward);
    put_real(to, "lastReward", agent->last_reward);
    put_real(to, "meanReward", agent->mean_reward);
    put_real(to, "rewardSquare", agent->reward_square);
    put_real(to, "meanSurprise", agent->mean_surprise);
    for (size_t i = 0; i < AGENT_SKILLS; i++)
        put_real(to, skills[i], agent->skills[i]);
    put_integer(to, "adopted", agent->adopted);
    put_dice(to, &agent->dice);
}

static void read_memory(struct agent *agent, struct reading *from)
{
    agent->execution_count = get_list(from, "executions", 0, AGENT_EXECUTIONS);
    for (size_t i = 0; i < agent->execution_count; i++) {
        struct reading inner = reading_enter(from, "executions", i);
        agent->executions[i] = (struct execution){get_integer(&inner, "step", 0, INT64_MAX),
                                                  get_integer(&inner, "from", 0, AGENT_POSITIONS - 1),
                                                  get_integer(&inner, "to", 0, AGENT_POSITIONS - 1)};
        reading_leave(from, &inner, "executions", i);
    }
    agent->trades = get_integer(from, "trades", 0, INT64_MAX);
    agent->wins = get_integer(from, "wins", 0, INT64_MAX);
    agent->losses = get_integer(from, "losses", 0, INT64_MAX);
    agent->profit = get_real(from, "profit");
    agent->peak = get_real(from, "peak");
    agent->deepest = get_real_within(from, "deepestLoss", 0, 1e15);
}

static void read_metrics(struct agent *agent, struct reading *from)
{
    agent->decisions = get_integer(from, "decisions", 0, INT64_MAX);
    agent->total_reward = get_real(from, "totalReward");
    agent->last_reward = get_real(from, "lastReward");
    agent->mean_reward = get_real(from, "meanReward");
    agent->reward_square = get_real_within(from, "rewardSquare", 0, 1e15);
    agent->mean_surprise = get_real_within(from, "meanSurprise", 0, 1e15);
    for (size_t i = 0; i < AGENT_SKILLS; i++)
        agent->skills[i] = get_real_within(from, skills[i], 0, 1);
}

void agent_read(void *part, struct reading *from)
{
    struct agent *agent = part;
    agent->specialisation = get_integer(from, "specialisation", 0, SPECIALISATIONS - 1);
    agent->active = get_bool(from, "active");
    agent->rests_until = get_integer(from, "restsUntil", 0, INT64_MAX);
    get_reals(from, "qTable", agent->q, AGENT_Q);
    agent->rate = get_real_within(from, "rate", 0, 1);
    agent->discount = get_real_within(from, "discount", 0, 0.9999);
    agent->exploration = get_real_within(from, "exploration", 0, 1);
    agent->state = get_integer(from, "state", -1, AGENT_STATES - 1);
    agent->before = get_integer(from, "before", 0, AGENT_POSITIONS - 1);
    agent->position = get_integer(from, "position", 0, AGENT_POSITIONS - 1);
    read_memory(agent, from);
    read_metrics(agent, from);
    agent->adopted = get_integer(from, "adopted", 0, INT64_MAX);
    get_dice(from, &agent->dice);
}
