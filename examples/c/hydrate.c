/* A small system of three components that need each other: brings back what there is, takes one step, saves all of it
 * in one commit. When an operator has restored the system meanwhile, it comes back once more instead of overwriting
 * that. */
#include <holdfast.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 3

struct part {
    const char *name;
    const char *needs;
    long steps;
};

static struct part parts[COUNT] = {{"agent", "policy", 0}, {"policy", "market", 0}, {"market", NULL, 0}};

static enum holdfast_outcome restore(void *context, const char *component, const struct holdfast_state *state,
                                     char detail[160])
{
    (void)context;
    for (int i = 0; i < COUNT; i++) {
        if (strcmp(parts[i].name, component) != 0)
            continue;
        parts[i].steps = state ? strtol((const char *)state->data, NULL, 10) : 0;
        snprintf(detail, 160, "at step %ld", parts[i].steps);
        printf("%s is %s\n", component, detail);
        return state ? HOLDFAST_RESTORED : HOLDFAST_FRESH;
    }
    return HOLDFAST_FAILED;
}

static bool come_back(struct holdfast *service, struct holdfast_error *err)
{
    static const char *const names[] = {"agent", "policy", "market", NULL};
    const struct holdfast_hydration hydration = {.restore = restore, .components = names, .reason = "start"};
    return holdfast_hydrate(service, &hydration, NULL, err);
}

static bool register_all(struct holdfast *service, struct holdfast_error *err)
{
    for (int i = 0; i < COUNT; i++) {
        const char *const needs[] = {parts[i].needs, NULL};
        const struct holdfast_component component = {.name = parts[i].name, .depends_on = needs};
        if (!holdfast_register(service, &component, err))
            return false;
    }
    return true;
}

static bool take_step(struct holdfast *service, struct holdfast_error *err)
{
    char texts[COUNT][24];
    struct holdfast_item items[COUNT] = {{0}};
    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%ld", parts[i].steps + 1);
        items[i].component = parts[i].name;
        items[i].data = texts[i];
        items[i].bytes = strlen(texts[i]);
    }
    return holdfast_save_all(service, items, COUNT, NULL, err);
}

int main(void)
{
    struct holdfast *service = NULL;
    struct holdfast_error err;
    bool ok = holdfast_open(NULL, &service, &err) && come_back(service, &err) && register_all(service, &err);
    while (ok && !take_step(service, &err))
        ok = strcmp(err.code, "stale_epoch") == 0 && come_back(service, &err);
    if (ok)
        printf("one step on, in epoch %lld\n", (long long)holdfast_epoch(service));
    else
        fprintf(stderr, "%s\n", err.text);
    holdfast_close(service);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
