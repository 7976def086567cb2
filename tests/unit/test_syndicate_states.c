/* The states of examples/syndicate: what is written is read back exactly, and a collective made of what was read goes
 * on as the one that wrote it. */
#include "examples/syndicate/roster.h"
#include "examples/syndicate/syndicate.h"

#include "tests/support/check_main.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { AGENTS = 6, SEED = 11 };

/* A collective and its roster, which points into it. */
struct lot {
    struct syndicate syndicate;
    struct roster roster;
};

static struct lot *start(uint64_t seed, int64_t steps)
{
    struct lot *lot = calloc(1, sizeof(*lot));
    syndicate_start(&lot->syndicate, seed, AGENTS);
    roster_fill(&lot->roster, &lot->syndicate, AGENTS);
    for (int64_t i = 0; i < steps; i++)
        syndicate_step(&lot->syndicate);
    return lot;
}

/* Through the text of every state. */
static struct lot *copy(struct lot *from)
{
    struct lot *lot = calloc(1, sizeof(*lot));
    roster_fill(&lot->roster, &lot->syndicate, AGENTS);
    for (size_t i = 0; i < from->roster.count; i++) {
        char problem[PROBLEM_BYTES];
        char *text = member_state(&from->roster.members[i]);
        ck_assert_msg(member_restore(&lot->roster.members[i], text, strlen(text), problem), "%s: %s",
                      from->roster.members[i].name, problem);
        free(text);
    }
    return lot;
}

static void check_same(struct lot *one, struct lot *other)
{
    for (size_t i = 0; i < one->roster.count; i++) {
        char *a = member_state(&one->roster.members[i]), *b = member_state(&other->roster.members[i]);
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
    }
}

START_TEST(every_state_is_read_back_as_it_was_written)
{
    for (int64_t steps = 0; steps < 400; steps += 57) {
        struct lot *lot = start(SEED, steps), *restored = copy(lot);
        check_same(lot, restored);
        free(lot);
        free(restored);
    }
}
END_TEST

START_TEST(a_restored_collective_goes_on_as_the_one_that_was_saved)
{
    for (int64_t steps = 1; steps < 400; steps = 2 * steps + 3) {
        struct lot *lot = start(SEED, steps), *restored = copy(lot);
        for (int i = 0; i < 150; i++) {
            syndicate_step(&lot->syndicate);
            syndicate_step(&restored->syndicate);
            check_same(lot, restored);
        }
        free(lot);
        free(restored);
    }
}
END_TEST

START_TEST(a_collective_that_is_restored_before_every_step_is_the_same)
{
    struct lot *straight = start(SEED, 120), *broken = start(SEED, 0);
    for (int i = 0; i < 120; i++) {
        struct lot *restored = copy(broken);
        free(broken);
        broken = restored;
        syndicate_step(&broken->syndicate);
    }
    check_same(straight, broken);
    free(straight);
    free(broken);
}
END_TEST

START_TEST(seeds_make_different_collectives)
{
    struct lot *one = start(SEED, 10), *other = start(SEED + 1, 10);
    ck_assert(one->syndicate.market.price != other->syndicate.market.price);
    free(one);
    free(other);
}
END_TEST

START_TEST(what_does_not_say_that_it_changed_has_not_changed)
{
    struct lot *lot = start(SEED, 0);
    int unchanged = 0;
    for (int k = 0; k < 300; k++) {
        char *before[ROSTER_MOST];
        for (size_t i = 0; i < lot->roster.count; i++)
            before[i] = member_state(&lot->roster.members[i]);
        syndicate_step(&lot->syndicate);
        for (size_t i = 0; i < lot->roster.count; i++) {
            char *after = member_state(&lot->roster.members[i]);
            bool changed = lot->roster.members[i].part->changed;
            ck_assert_msg((strcmp(before[i], after) != 0) == changed, "%s in step %d", lot->roster.members[i].name,
                          k + 1);
            unchanged += !changed;
            free(after);
            free(before[i]);
        }
    }
    ck_assert_int_gt(unchanged, 300);
    free(lot);
}
END_TEST

START_TEST(doubles_and_long_words_keep_every_bit)
{
    const double values[] = {0.1, -0.0, DBL_MIN, 5e-324, 1.0 / 3, 999999999999999.9, -1e15, nextafter(1, 2), 1e-9, 4.0};
    enum { COUNT = sizeof(values) / sizeof(values[0]) };
    json_t *object = json_object();
    put_reals(object, "reals", values, COUNT);
    put_word(object, "word", UINT64_MAX - 1);
    struct dice dice, thrown;
    dice_seed(&dice, 3, "test");
    put_dice(object, &dice);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_t *parsed = json_loads(text, 0, NULL);
    struct reading reading = {.from = parsed};
    double found[COUNT];
    get_reals(&reading, "reals", found, COUNT);
    ck_assert_mem_eq(found, values, sizeof(values));
    ck_assert(get_word(&reading, "word") == UINT64_MAX - 1);
    get_dice(&reading, &thrown);
    ck_assert_mem_eq(&dice, &thrown, sizeof(dice));
    ck_assert_str_eq(reading.problem, "");
    free(text);
    json_decref(object);
    json_decref(parsed);
}
END_TEST

/* The state of the member with one field set to JSON text; NULL: taken out. */
static char *change(struct lot *lot, const char *name, const char *key, const char *value)
{
    char *text = member_state(roster_find(&lot->roster, name));
    json_t *object = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(json_object_get(object, key));
    if (value)
        json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(object, key);
    free(text);
    text = json_dumps(object, 0);
    json_decref(object);
    return text;
}

START_TEST(states_that_cannot_be_ours_are_refused_with_the_field)
{
    static const struct {
        const char *member, *key, *value, *problem;
    } cases[] = {
        {"agent-2", "qTable", NULL, "qTable is missing"},
        {"agent-2", "qTable", "[1.5]", "qTable is not a list of 162 to 162"},
        {"agent-2", "position", "3", "position is 3, not between 0 and 2"},
        {"agent-2", "state", "54", "state is 54, not between -1 and 53"},
        {"agent-2", "dice", "\"0000\"", "dice is not 64 hexadecimal digits"},
        {"agent-2", "active", "1", "active is neither true nor false"},
        {"market-feed", "regime", "4", "regime is 4, not between 0 and 3"},
        {"market-feed", "price", "0.0", "price is 0"},
        {"market-feed", "step", "\"7\"", "step is not an integer"},
        {"world-model", "price", "1e300", "price is not a number, or not a sane one"},
        {"mdp-framework", "policy", "[7]", "policy is not a list of 54 to 54"},
        {"central-nervous-system", "profiles", "[]", "profiles is not a list of 1 to 12"},
        {"central-nervous-system", "judgments", "[{\"id\":1}]", "judgments[0]: "},
        {"shared-memory", "contents", "[{\"key\":7}]", "contents[0]: key is not a text of less than 32 bytes"},
        {"master-orchestrator", "agents", "13", "agents is 13, not between 1 and 12"},
        {"master-orchestrator", "seed", "\"xyz\"", "seed is not 16 hexadecimal digits"},
    };
    struct lot *lot = start(SEED, 30), *other = start(SEED, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char problem[PROBLEM_BYTES] = "";
        char *text = change(lot, cases[i].member, cases[i].key, cases[i].value);
        ck_assert(!member_restore(roster_find(&other->roster, cases[i].member), text, strlen(text), problem));
        ck_assert_msg(strstr(problem, cases[i].problem), "%s: %s", cases[i].problem, problem);
        free(text);
    }
    char problem[PROBLEM_BYTES];
    ck_assert(!member_restore(&other->roster.members[0], "not JSON", 8, problem));
    ck_assert_str_eq(problem, "the state is not a JSON object");
    free(lot);
    free(other);
}
END_TEST

START_TEST(one_wrong_entry_of_a_long_list_is_refused)
{
    static const struct {
        const char *member, *key, *value, *problem;
    } cases[] = {
        {"agent-2", "qTable", "\"1\"", "qTable has something that is not a number from"},
        {"agent-2", "qTable", "-1e300", "qTable has something that is not a number from"},
        {"mdp-framework", "policy", "1.5", "policy has something that is not an integer from 0 to 2"},
        {"mdp-framework", "policy", "3", "policy has something that is not an integer from 0 to 2"},
        {"mdp-framework", "policy", "-1", "policy has something that is not an integer from 0 to 2"},
    };
    struct lot *lot = start(SEED, 30), *other = start(SEED, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char problem[PROBLEM_BYTES] = "";
        char *text = member_state(roster_find(&lot->roster, cases[i].member));
        json_t *object = json_loads(text, 0, NULL), *list = json_object_get(object, cases[i].key);
        free(text);
        json_array_set_new(list, json_array_size(list) - 1, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        text = json_dumps(object, 0);
        ck_assert(!member_restore(roster_find(&other->roster, cases[i].member), text, strlen(text), problem));
        ck_assert_msg(strstr(problem, cases[i].problem), "%s: %s", cases[i].problem, problem);
        free(text);
        json_decref(object);
    }
    free(lot);
    free(other);
}
END_TEST

START_TEST(no_missing_field_of_any_state_goes_unnoticed)
{
    static const char *const for_people[] = {"regimeName", "specialisationName", "bestFitness"};
    struct lot *lot = start(SEED, 200), *other = start(SEED, 0);
    for (size_t i = 0; i < lot->roster.count; i++) {
        char *text = member_state(&lot->roster.members[i]);
        json_t *object = json_loads(text, 0, NULL);
        const char *key;
        json_t *value;
        json_object_foreach(object, key, value)
        {
            bool derived = false;
            for (size_t f = 0; f < sizeof(for_people) / sizeof(for_people[0]); f++)
                derived = derived || strcmp(for_people[f], key) == 0;
            char problem[PROBLEM_BYTES];
            char *changed = change(lot, lot->roster.members[i].name, key, NULL);
            ck_assert_msg(derived == member_restore(&other->roster.members[i], changed, strlen(changed), problem),
                          "%s without %s", lot->roster.members[i].name, key);
            free(changed);
        }
        json_decref(object);
        free(text);
    }
    free(lot);
    free(other);
}
END_TEST

START_TEST(states_of_different_moments_are_no_cut)
{
    struct lot *lot = start(SEED, 40), *mixed = copy(lot), *older = start(SEED, 30);
    char problem[PROBLEM_BYTES];
    ck_assert(roster_is_one_cut(&mixed->roster, &mixed->syndicate, problem));
    for (size_t i = 0; i < lot->roster.count; i++) {
        char *text = member_state(&older->roster.members[i]);
        if (lot->roster.members[i].part->step != older->roster.members[i].part->step) {
            ck_assert(member_restore(&mixed->roster.members[i], text, strlen(text), problem));
            ck_assert_msg(!roster_is_one_cut(&mixed->roster, &mixed->syndicate, problem), "%s",
                          lot->roster.members[i].name);
        }
        free(text);
        free(mixed);
        mixed = copy(lot);
    }
    free(lot);
    free(mixed);
    free(older);
}
END_TEST

START_TEST(everyone_comes_after_what_it_needs)
{
    struct lot *lot = start(SEED, 0);
    for (size_t i = 0; i < lot->roster.count; i++)
        for (const char *const *need = lot->roster.members[i].needs; *need; need++) {
            struct member *needed = roster_find(&lot->roster, *need);
            ck_assert_ptr_nonnull(needed);
            ck_assert(needed < &lot->roster.members[i]);
        }
    free(lot);
}
END_TEST

HF_TEST_MAIN("syndicate_states", every_state_is_read_back_as_it_was_written,
             a_restored_collective_goes_on_as_the_one_that_was_saved,
             a_collective_that_is_restored_before_every_step_is_the_same, seeds_make_different_collectives,
             what_does_not_say_that_it_changed_has_not_changed, doubles_and_long_words_keep_every_bit,
             states_that_cannot_be_ours_are_refused_with_the_field, one_wrong_entry_of_a_long_list_is_refused,
             no_missing_field_of_any_state_goes_unnoticed, states_of_different_moments_are_no_cut,
             everyone_comes_after_what_it_needs);
