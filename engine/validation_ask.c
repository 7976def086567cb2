#include "engine/validation_ask.h"

#include "engine/validation_private.h"

#include <string.h>

/* One validation that was asked for; in its shelf's list, the first of which is under way. */
struct hf_asked_validation {
    char id[HF_SNAPSHOT_ID_MAX];
    bool deep;
    struct hf_validation_asker *askers; /* newest first */
    struct hf_asked_validation *next;
};

static struct hf_asked_validation **find_place(struct hf_shelf *shelf, const char *id, bool deep, int *ahead_out);
static struct hf_asked_validation *new_asked(const char *id, bool deep);
static void work(struct hf_engine *engine, struct hf_shelf *shelf);
static void validate(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_asked_validation *asked);
static bool take_off(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_asked_validation *asked);

bool hf_validation_ask(struct hf_engine *engine, const char *system, const char *id, bool deep,
                       struct hf_validation_asker *asker, struct hf_error *err)
{
    struct hf_shelf *shelf = hf_shelf_get(engine, system, err);
    if (!shelf)
        return false;
    int ahead = 0;
    pthread_mutex_lock(&engine->snapshotter->mutex);
    struct hf_asked_validation **place = find_place(shelf, id, deep, &ahead);
    bool has_room = *place || ahead <= HF_VALIDATIONS_WAITING_MAX;
    bool is_first = place == &shelf->asked && !*place;
    if (has_room) {
        if (!*place)
            *place = new_asked(id, deep);
        asker->next = (*place)->askers;
        (*place)->askers = asker;
    }
    pthread_mutex_unlock(&engine->snapshotter->mutex);
    if (!has_room)
        return hf_error_set(err, HF_OVERLOADED,
                            "a validation of system %s is under way and %d more wait; try again when one of them is "
                            "done",
                            system, HF_VALIDATIONS_WAITING_MAX);
    if (is_first)
        work(engine, shelf);
    return true;
}

/* The same one, or the end of the list. Under the snapshotter's mutex. */
static struct hf_asked_validation **find_place(struct hf_shelf *shelf, const char *id, bool deep, int *ahead_out)
{
    struct hf_asked_validation **place = &shelf->asked;
    for (; *place && ((*place)->deep != deep || strcmp((*place)->id, id) != 0); place = &(*place)->next)
        (*ahead_out)++;
    return place;
}

static struct hf_asked_validation *new_asked(const char *id, bool deep)
{
    struct hf_asked_validation *asked = hf_alloc(sizeof(*asked));
    snprintf(asked->id, sizeof(asked->id), "%s", id);
    asked->deep = deep;
    return asked;
}

/* Until none is left: whoever asks meanwhile relies on it. */
static void work(struct hf_engine *engine, struct hf_shelf *shelf)
{
    bool more = true;
    while (more) {
        struct hf_asked_validation *asked = shelf->asked; /* nobody else takes the first off */
        validate(engine, shelf, asked);
        more = take_off(engine, shelf, asked);
    }
}

/* The shelf's name outlives the system: what was deleted meanwhile is found out by the validation. */
static void validate(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_asked_validation *asked)
{
    struct hf_pacer pacer = {.stop = &engine->breaking_off};
    struct hf_validation result;
    struct hf_error err = {0};
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    bool judged = hf_validation_run_paced(engine, shelf->name, asked->id, asked->deep, &pacer, &arena, &result, &err);
    pthread_mutex_lock(&engine->snapshotter->mutex);
    struct hf_validation_asker *askers = asked->askers;
    asked->askers = NULL;
    asked->id[0] = '\0'; /* whoever comes now wants a new one */
    pthread_mutex_unlock(&engine->snapshotter->mutex);
    while (askers) {
        struct hf_validation_asker *asker = askers;
        askers = asker->next;
        asker->tell(asker, judged ? &result : NULL, judged ? NULL : &err);
    }
}

/* Whether another one waits. */
static bool take_off(struct hf_engine *engine, struct hf_shelf *shelf, struct hf_asked_validation *asked)
{
    pthread_mutex_lock(&engine->snapshotter->mutex);
    shelf->asked = asked->next;
    bool more = shelf->asked != NULL;
    pthread_mutex_unlock(&engine->snapshotter->mutex);
    free(asked);
    return more;
}
