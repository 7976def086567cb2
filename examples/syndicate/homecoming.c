#include "homecoming.h"

#include "keeper_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A homecoming under way. */
struct arrival {
    struct keeper *keeper;
    struct syndicate syndicate;
    struct roster roster; /* with all agents that there may be; points into syndicate */
    bool here[ROSTER_MOST];
    struct homecoming home;
};

static enum holdfast_outcome arrive(void *context, const char *component, const struct holdfast_state *state,
                                    char detail[160]);
static void judge_arrival(struct arrival *arrival);

static struct arrival *begin(struct keeper *keeper)
{
    struct arrival *arrival = calloc(1, sizeof(*arrival));
    if (!arrival)
        abort();
    arrival->keeper = keeper;
    roster_fill(&arrival->roster, &arrival->syndicate, AGENTS_MOST);
    keeper->known_count = 0;
    return arrival;
}

enum kept keeper_bring_back(struct keeper *keeper, struct syndicate *into, struct homecoming *out)
{
    struct holdfast_error err;
    struct holdfast_recovery recovery;
    struct arrival *arrival = begin(keeper);
    struct holdfast_hydration hydration = {.restore = arrive, .context = arrival, .reason = "the collective starts"};
    while (!holdfast_hydrate(keeper->service, &hydration, &recovery, &err)) {
        enum kept next = keeper_after_failure(keeper, &err);
        free(arrival);
        if (next != KEPT)
            return next;
        hydration.context = arrival = begin(keeper);
    }
    keeper_after_success(keeper);
    judge_arrival(arrival);
    arrival->home.lost_ms = recovery.lost_ms;
    *out = arrival->home;
    if (out->kind == HOME_WHOLE) {
        *into = arrival->syndicate;
        keeper->saved_step = into->orchestrator.steps;
        keeper_note(keeper, "recovered", keeper->saved_step, out->version, recovery.components);
    }
    free(arrival);
    return KEPT;
}

static void fail(struct arrival *arrival, const char *component, const char *problem)
{
    if (arrival->home.kind == HOME_BROKEN)
        return;
    arrival->home.kind = HOME_BROKEN;
    snprintf(arrival->home.problem, sizeof(arrival->home.problem), "%.60s: %s", component, problem);
}

static enum holdfast_outcome arrive(void *context, const char *component, const struct holdfast_state *state,
                                    char detail[160])
{
    struct arrival *arrival = context;
    struct member *member = roster_find(&arrival->roster, component);
    char problem[PROBLEM_BYTES] = "the service has no state of it that it can give";
    if (!member) {
        snprintf(detail, 160, "the collective has no such component");
        return HOLDFAST_FRESH;
    }
    keeper_know(arrival->keeper, member->name, state ? state->etag : "");
    if (!state || !member_restore(member, state->data, state->bytes, problem)) {
        fail(arrival, component, problem);
        snprintf(detail, 160, "%s", problem);
        return HOLDFAST_FRESH;
    }
    arrival->here[member - arrival->roster.members] = true;
    arrival->home.components++;
    if (member != &arrival->roster.members[arrival->roster.count - 1])
        return HOLDFAST_RESTORED;
    arrival->home.version = state->version;
    judge_arrival(arrival);
    snprintf(detail, 160, "%.150s", arrival->home.problem);
    return arrival->home.kind == HOME_WHOLE ? HOLDFAST_RESTORED : HOLDFAST_FAILED;
}

/* Whether all came that the orchestrator knows of, and from one moment. */
static void judge_arrival(struct arrival *arrival)
{
    struct homecoming *home = &arrival->home;
    if (home->kind == HOME_BROKEN || home->components == 0)
        return;
    struct roster roster;
    const size_t last = arrival->roster.count - 1;
    roster_fill(&roster, &arrival->syndicate, arrival->here[last] ? arrival->syndicate.orchestrator.agents : 1);
    for (size_t i = 0; i < roster.count; i++) {
        const struct member *member = roster_find(&arrival->roster, roster.members[i].name);
        if (!arrival->here[member - arrival->roster.members]) {
            fail(arrival, member->name, "it has no state");
            return;
        }
    }
    home->kind = roster_is_one_cut(&roster, &arrival->syndicate, home->problem) ? HOME_WHOLE : HOME_DIVIDED;
}
