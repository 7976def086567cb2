/* The central nervous system: judges the agents' results as a large language model would, here by a formula. It keeps
 * the last hundred judgments, a profile of each agent, and the suggestions that agents have not taken up yet. */
#ifndef SYNDICATE_JUDGE_H
#define SYNDICATE_JUDGE_H

#include "agent.h"

enum {
    JUDGE_JUDGMENTS = 100,
    JUDGE_SUGGESTIONS = 16,
};

struct judgment {
    int64_t id;
    int64_t step;
    int64_t agent; /* its place among the agents */
    double score;  /* 0 to 1 */
    double reward; /* of the agent, mean of late */
};

struct profile {
    int64_t judgments;
    double mean_score, best_score, worst_score, last_score;
};

struct judge {
    struct part part;
    struct judgment judgments[JUDGE_JUDGMENTS]; /* oldest first */
    size_t judgment_count;
    int64_t total_judgments;
    struct profile profiles[AGENTS_MOST];
    size_t agents;
    struct suggestion suggestions[JUDGE_SUGGESTIONS]; /* not taken up yet */
    size_t suggestion_count;
    int64_t total_suggestions, adopted;
};

void judge_start(struct judge *judge, size_t agents);
/* Judges one agent in turn and every agent to which something happened. */
void judge_step(struct judge *judge, const struct agent *agents, int64_t step);
/* The oldest suggestion for the agent; NULL: none. */
const struct suggestion *judge_suggestion(const struct judge *judge, int64_t agent);

void judge_write(const void *part, json_t *to);
void judge_read(void *part, struct reading *from);

#endif
