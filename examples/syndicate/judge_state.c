/* The state of the central nervous system, written and read. */
#include "judge.h"

static const char *verdict_of(double score)
{
    return score >= 0.75 ? "excellent" : score >= 0.55 ? "good" : score >= 0.35 ? "fair" : "poor";
}

static void write_suggestion(const struct suggestion *suggestion, json_t *to)
{
    put_integer(to, "id", suggestion->id);
    put_integer(to, "step", suggestion->step);
    put_integer(to, "agent", suggestion->agent);
    put_text(to, "parameter", suggestion->is_rate ? "rate" : "exploration");
    put_bool(to, "isRate", suggestion->is_rate);
    put_real(to, "value", suggestion->value);
}

void judge_write(const void *part, json_t *to)
{
    const struct judge *judge = part;
    put_integer(to, "totalJudgments", judge->total_judgments);
    put_integer(to, "totalSuggestions", judge->total_suggestions);
    put_integer(to, "adoptedSuggestions", judge->adopted);
    json_t *list = put_list(to, "profiles");
    for (size_t i = 0; i < judge->agents; i++) {
        json_t *profile = add_object(list);
        put_integer(profile, "judgments", judge->profiles[i].judgments);
        put_real(profile, "meanScore", judge->profiles[i].mean_score);
        put_real(profile, "bestScore", judge->profiles[i].best_score);
        put_real(profile, "worstScore", judge->profiles[i].worst_score);
        put_real(profile, "lastScore", judge->profiles[i].last_score);
    }
    list = put_list(to, "enhancementSuggestions");
    for (size_t i = 0; i < judge->suggestion_count; i++)
        write_suggestion(&judge->suggestions[i], add_object(list));
    list = put_list(to, "judgments");
    for (size_t i = 0; i < judge->judgment_count; i++) {
        json_t *judgment = add_object(list);
        put_integer(judgment, "id", judge->judgments[i].id);
        put_integer(judgment, "step", judge->judgments[i].step);
        put_integer(judgment, "agent", judge->judgments[i].agent);
        put_text(judgment, "verdict", verdict_of(judge->judgments[i].score));
        put_real(judgment, "score", judge->judgments[i].score);
        put_real(judgment, "reward", judge->judgments[i].reward);
    }
}

static void read_profiles(struct judge *judge, struct reading *from)
{
    judge->agents = get_list(from, "profiles", 1, AGENTS_MOST);
    for (size_t i = 0; i < judge->agents; i++) {
        struct reading inner = reading_enter(from, "profiles", i);
        judge->profiles[i] =
            (struct profile){get_integer(&inner, "judgments", 0, INT64_MAX), get_real_within(&inner, "meanScore", 0, 1),
                             get_real_within(&inner, "bestScore", 0, 1), get_real_within(&inner, "worstScore", 0, 1),
                             get_real_within(&inner, "lastScore", 0, 1)};
        reading_leave(from, &inner, "profiles", i);
    }
}

static void read_suggestions(struct judge *judge, struct reading *from)
{
    judge->suggestion_count = get_list(from, "enhancementSuggestions", 0, JUDGE_SUGGESTIONS);
    for (size_t i = 0; i < judge->suggestion_count; i++) {
        struct reading inner = reading_enter(from, "enhancementSuggestions", i);
        judge->suggestions[i] =
            (struct suggestion){get_integer(&inner, "id", 1, INT64_MAX), get_integer(&inner, "step", 0, INT64_MAX),
                                get_integer(&inner, "agent", 0, (int64_t)judge->agents - 1), get_bool(&inner, "isRate"),
                                get_real_within(&inner, "value", 0, 1)};
        reading_leave(from, &inner, "enhancementSuggestions", i);
    }
}

void judge_read(void *part, struct reading *from)
{
    struct judge *judge = part;
    judge->total_judgments = get_integer(from, "totalJudgments", 0, INT64_MAX);
    judge->total_suggestions = get_integer(from, "totalSuggestions", 0, INT64_MAX);
    judge->adopted = get_integer(from, "adoptedSuggestions", 0, INT64_MAX);
    read_profiles(judge, from);
    read_suggestions(judge, from);
    judge->judgment_count = get_list(from, "judgments", 0, JUDGE_JUDGMENTS);
    for (size_t i = 0; i < judge->judgment_count; i++) {
        struct reading inner = reading_enter(from, "judgments", i);
        judge->judgments[i] =
            (struct judgment){get_integer(&inner, "id", 1, INT64_MAX), get_integer(&inner, "step", 0, INT64_MAX),
                              get_integer(&inner, "agent", 0, (int64_t)judge->agents - 1),
                              get_real_within(&inner, "score", 0, 1), get_real(&inner, "reward")};
        reading_leave(from, &inner, "judgments", i);
    }
}
