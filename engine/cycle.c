/* Dependency cycles: a depth-first walk over the registrations, with its own stack because depth is the client's. */
#include "core/auto.h"
#include "core/buf.h"
#include "engine/catalog_write.h"

#include <string.h>

struct step {
    struct hf_component *component;
    int next; /* which dependency to look at next */
};

static const char *describe(const struct step *path, int depth, const char *component, struct hf_arena *arena)
{
    struct hf_buf text;
    hf_buf_init(&text, 64 * 1024);
    hf_buf_add_text(&text, component);
    for (int i = 0; i < depth; i++)
        hf_buf_add_format(&text, " -> %s", path[i].component->name);
    hf_buf_add_format(&text, " -> %s", component);
    const char *result = hf_arena_strndup(arena, text.data, text.bytes);
    hf_buf_done(&text);
    return result;
}

/* Walks from start; returns the depth of the path that leads to component, or 0. */
static int reach(struct hf_system *system, struct hf_component *start, const char *component, uint32_t visit,
                 struct step *path)
{
    int depth = 0;
    path[depth++] = (struct step){start, 0};
    start->visit = visit;
    while (depth) {
        struct step *top = &path[depth - 1];
        const struct hf_registration *registration = top->component->registration;
        if (!registration || top->next == registration->depends_on_count) {
            depth--;
            continue;
        }
        const char *name = registration->depends_on[top->next++];
        if (!strcmp(name, component))
            return depth;
        struct hf_component *next = hf_catalog_find_component_locked(system, name);
        if (next && next->visit != visit) {
            next->visit = visit;
            path[depth++] = (struct step){next, 0};
        }
    }
    return 0;
}

const char *hf_catalog_find_cycle(struct hf_catalog *catalog, const char *system_name, const char *component,
                                  const char *const *depends_on, int count, struct hf_arena *arena)
{
    for (int i = 0; i < count; i++) {
        if (!strcmp(depends_on[i], component))
            return hf_arena_format(arena, "%s -> %s", component, component);
    }
    const char *cycle = NULL;
    hf_catalog_lock(catalog);
    struct hf_system *system = hf_catalog_find_system_locked(catalog, system_name);
    if (system) {
        HF_AUTO(free) struct step *path = hf_alloc((system->by_name_count + 1) * sizeof *path);
        uint32_t visit = hf_catalog_next_visit_locked(catalog);
        for (int i = 0; i < count && !cycle; i++) {
            struct hf_component *start = hf_catalog_find_component_locked(system, depends_on[i]);
            int depth = start && start->visit != visit ? reach(system, start, component, visit, path) : 0;
            if (depth)
                cycle = describe(path, depth, component, arena);
        }
    }
    hf_catalog_unlock(catalog);
    return cycle;
}
