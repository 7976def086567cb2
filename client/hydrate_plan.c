#include "client/hydrate_plan.h"

#include "core/clock.h"

#include <string.h>

#define PAGE_COMPONENTS 1000

struct frame {
    const json_t *component;
    size_t next; /* dependency to look at */
};

struct planning {
    json_t *components; /* by name */
    const json_t *names;
    bool include_dependencies;
    json_t *seen; /* names that were begun with */
    json_t *waves;
    struct frame *stack; /* room for all components, and one */
};

static bool read_components(struct holdfast *service, json_t *components, struct holdfast_error *err);
static bool read_page(struct holdfast *service, const char *cursor, json_t **out, struct holdfast_error *err);
static void place(struct planning *p, const char *name);
static bool begin_with(struct planning *p, const char *name, struct frame *frame);
static void append(struct planning *p, const json_t *component);
static bool is_named(const struct planning *p, const char *name);

bool hf_hydrate_plan(struct holdfast *service, const json_t *names, bool include_dependencies, json_t **out,
                     struct holdfast_error *err)
{
    HF_AUTO(json) json_t *components = json_object();
    HF_AUTO(json) json_t *seen = json_object();
    if (!read_components(service, components, err))
        return false;
    HF_AUTO(free) struct frame *stack = hf_alloc((json_object_size(components) + 1) * sizeof(*stack));
    struct planning p = {components, names, include_dependencies, seen, json_array(), stack};
    const char *name;
    json_t *component;
    json_object_foreach(components, name, component)
    {
        if (is_named(&p, name))
            place(&p, name);
    }
    *out = json_object();
    json_object_set_new(*out, "waves", p.waves);
    return true;
}

static bool read_components(struct holdfast *service, json_t *components, struct holdfast_error *err)
{
    HF_AUTO(free) char *cursor = NULL;
    do {
        HF_AUTO(json) json_t *page = NULL;
        size_t index;
        json_t *component;
        if (!read_page(service, cursor, &page, err))
            return false;
        json_array_foreach(json_object_get(page, "components"), index, component)
        {
            const char *name = json_string_value(json_object_get(component, "name"));
            if (!name || json_object_set(components, name, component) != 0)
                return hf_call_bad_answer(err, "hydrating", "a component has no name");
        }
        free(cursor);
        const char *next = json_string_value(json_object_get(page, "nextCursor"));
        cursor = next ? hf_strdup(next) : NULL;
    } while (cursor);
    return true;
}

static bool read_page(struct holdfast *service, const char *cursor, json_t **out, struct holdfast_error *err)
{
    HF_AUTO(free) char *escaped = hf_call_escape(cursor ? cursor : "");
    HF_AUTO(free)
    char *target =
        hf_call_target(service, "components?limit=%d%s%s", PAGE_COMPONENTS, cursor ? "&cursor=" : "", escaped);
    const struct hf_call call = {
        .request = {.doing = "hydrating", .method = "GET", .target = target},
        .repeatable = true,
    };
    return hf_call_send_json(service, &call, out, err);
}

/* Depth first, on a stack of its own: a chain of dependencies may be as long as the system is large. Dependencies are
 * followed also through components that are not wanted themselves. */
static void place(struct planning *p, const char *name)
{
    struct frame *stack = p->stack;
    size_t depth = begin_with(p, name, &stack[0]) ? 1 : 0;
    while (depth > 0) {
        struct frame *top = &stack[depth - 1];
        const json_t *needs = json_object_get(top->component, "dependsOn");
        const char *need = json_string_value(json_array_get(needs, top->next));
        if (top->next++ < json_array_size(needs))
            depth += need && begin_with(p, need, &stack[depth]);
        else {
            append(p, top->component);
            depth--;
        }
    }
}

static bool begin_with(struct planning *p, const char *name, struct frame *frame)
{
    const json_t *component = json_object_get(p->components, name);
    if (!component || json_object_get(p->seen, name))
        return false;
    json_object_set_new(p->seen, name, json_true());
    *frame = (struct frame){.component = component};
    return true;
}

/* Without a state there is nothing to bring back. */
static void append(struct planning *p, const json_t *component)
{
    const char *name = json_string_value(json_object_get(component, "name"));
    const char *hash = json_string_value(json_object_get(component, "hash"));
    const char *committed = json_string_value(json_object_get(component, "committedAt"));
    int64_t version = 0, committed_ms = 0;
    if (!hash || !committed || !hf_time_parse(committed, &committed_ms) ||
        !hf_call_get_int(component, "version", &version) || version == 0 ||
        !(p->include_dependencies || is_named(p, name)))
        return;
    int64_t age_ms = hf_clock_now_ms() - committed_ms;
    json_array_append_new(p->waves,
                          json_pack("[{s:s,s:I,s:s,s:I}]", "component", name, "restoredVersion", (json_int_t)version,
                                    "hash", hash, "ageMs", (json_int_t)(age_ms > 0 ? age_ms : 0)));
}

static bool is_named(const struct planning *p, const char *name)
{
    size_t index;
    json_t *named;
    if (!p->names)
        return true;
    json_array_foreach((json_t *)p->names, index, named)
    {
        if (strcmp(json_string_value(named), name) == 0)
            return true;
    }
    return false;
}
