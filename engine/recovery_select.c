/* Which components a partial recovery is for: those that were named, and with them, if asked, what they depend on. */
#include "engine/recovery_private.h"

#include <string.h>

#define WARNINGS_MAX 1000

/* What can be brought back, and who knows what it depends on. */
struct field {
    struct hf_recovering *recovering;
    bool head;
    struct hf_arena arena;
    const struct hf_component_info *present; /* by name */
    int present_count;
    bool *taken;        /* by index in the sources, or in present for head; owns */
    bool *passed;       /* by index in present; owns */
    const char **queue; /* whose dependencies are followed, each once; owns */
    int queue_count;
};

static void add_selected(struct hf_recovering *recovering, const char *name, const char *because);
static void add_planned(struct hf_recovering *recovering);
static bool follow_dependencies(struct hf_recovering *recovering, struct hf_error *err);
static bool follow(struct field *field, const char *name, struct hf_error *err);
static void pass_through(struct field *field, const char *name);
static bool read_dependencies(struct field *field, const char *name, const char *const **out, int *count_out,
                              struct hf_error *err);
static int64_t find_index(const struct field *field, const char *name);
static int find_present(const struct hf_component_info *list, int count, const char *name);
static const struct hf_selected *find_selected(const struct hf_recovering *recovering, const char *component);
static int compare_selected(const void *a, const void *b);
static bool is_there_after(const struct hf_plan *plan, const char *component);

bool hf_recovery_select(struct hf_recovering *recovering, struct hf_error *err)
{
    const struct hf_recovery_request *request = recovering->request;
    free(recovering->selected);
    recovering->selected = NULL;
    recovering->selected_count = recovering->selected_capacity = 0;
    if (!request->components)
        return true;
    for (int i = 0; i < request->component_count; i++)
        add_selected(recovering, request->components[i], NULL);
    if (request->plan)
        add_planned(recovering);
    else if (request->include_dependencies && !follow_dependencies(recovering, err))
        return false;
    qsort(recovering->selected, (size_t)recovering->selected_count, sizeof(recovering->selected[0]), compare_selected);
    int along = recovering->selected_count - request->component_count;
    if (along)
        hf_recovery_step(recovering, "components that come along because others depend on them: %d", along);
    return true;
}

static void add_selected(struct hf_recovering *recovering, const char *name, const char *because)
{
    if (recovering->selected_count == recovering->selected_capacity) {
        recovering->selected_capacity = recovering->selected_capacity ? recovering->selected_capacity * 2 : 64;
        recovering->selected =
            hf_realloc(recovering->selected, (size_t)recovering->selected_capacity * sizeof(recovering->selected[0]));
    }
    recovering->selected[recovering->selected_count++] = (struct hf_selected){name, because};
}

/* The plan's, whatever was registered since: what was read is what is applied. */
static void add_planned(struct hf_recovering *recovering)
{
    const struct hf_recovery_request *request = recovering->request;
    for (int i = 0; i < request->along_count; i++) {
        const struct hf_selected *along = &request->along[i];
        if (hf_past_entry_is_present(hf_past_find(recovering->past, along->name)))
            add_selected(recovering, along->name, along->because);
    }
}

/* Breadth first, so that "because" names the nearest that needs it. */
static bool follow_dependencies(struct hf_recovering *recovering, struct hf_error *err)
{
    struct field field = {.recovering = recovering, .head = !recovering->past};
    hf_arena_init(&field.arena);
    bool found;
    field.present = hf_catalog_list_components(recovering->engine->catalog, recovering->system.name, "", INT32_MAX,
                                               &field.arena, &field.present_count, &found);
    size_t count = field.head ? (size_t)field.present_count : (size_t)recovering->source_count;
    size_t queue_max = (size_t)recovering->selected_count + count + (size_t)field.present_count;
    field.taken = hf_alloc((count + 1) * sizeof(field.taken[0]));
    field.passed = hf_alloc(((size_t)field.present_count + 1) * sizeof(field.passed[0]));
    field.queue = hf_alloc((queue_max + 1) * sizeof(field.queue[0]));
    for (int i = 0; i < recovering->selected_count; i++) {
        int64_t index = find_index(&field, recovering->selected[i].name);
        if (index >= 0)
            field.taken[index] = true;
        field.queue[field.queue_count++] = recovering->selected[i].name;
    }
    bool ok = true;
    for (int next = 0; ok && next < field.queue_count; next++)
        ok = follow(&field, field.queue[next], err);
    free(field.taken);
    free(field.passed);
    free(field.queue);
    hf_arena_done(&field.arena);
    return ok;
}

static bool follow(struct field *field, const char *name, struct hf_error *err)
{
    struct hf_recovering *recovering = field->recovering;
    const char *prefix = recovering->request->allowed_prefix;
    const char *const *names;
    int count;
    if (!read_dependencies(field, name, &names, &count, err))
        return false;
    for (int i = 0; i < count; i++) {
        int64_t index = find_index(field, names[i]);
        if (index < 0)
            pass_through(field, names[i]);
        if (index < 0 || field->taken[index])
            continue;
        if (prefix && strncmp(names[i], prefix, strlen(prefix)) != 0)
            return hf_error_set(
                err, HF_FORBIDDEN,
                "component %s depends on %s, which the token, for components named %s…, may not restore", name,
                names[i], prefix);
        const char *along = hf_arena_strdup(&recovering->arena, names[i]);
        field->taken[index] = true;
        field->queue[field->queue_count++] = along;
        add_selected(recovering, along, name);
    }
    return true;
}

/* What is registered and never had a state has none to bring back, but may depend on what has. */
static void pass_through(struct field *field, const char *name)
{
    int index = find_present(field->present, field->present_count, name);
    if (index < 0 || field->present[index].head.version > 0 || field->passed[index])
        return;
    field->passed[index] = true;
    field->queue[field->queue_count++] = hf_arena_strdup(&field->recovering->arena, name);
}

/* As the source has them, or as they are registered now where it does not tell. */
static bool read_dependencies(struct field *field, const char *name, const char *const **out, int *count_out,
                              struct hf_error *err)
{
    const struct hf_past_entry *entry = field->head ? NULL : hf_past_find(field->recovering->past, name);
    struct hf_registration registration = {0};
    bool known = false;
    if (entry && !hf_past_registration(entry, &field->arena, &registration, &known, err))
        return false;
    int present = find_present(field->present, field->present_count, name);
    if (!known && present >= 0)
        registration = field->present[present].registration;
    *out = registration.depends_on;
    *count_out = registration.depends_on_count;
    return true;
}

/* Of what has a state that can be brought back; -1: none. */
static int64_t find_index(const struct field *field, const char *name)
{
    if (field->head) {
        int index = find_present(field->present, field->present_count, name);
        return index >= 0 && hf_head_is_present(&field->present[index].head) ? index : -1;
    }
    const struct hf_past_entry *entry = hf_past_find(field->recovering->past, name);
    return hf_past_entry_is_present(entry) ? entry - field->recovering->sources : -1;
}

static int find_present(const struct hf_component_info *list, int count, const char *name)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = strcmp(list[middle].name, name);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

bool hf_recovery_is_selected(const struct hf_recovering *recovering, const char *component)
{
    return !recovering->request->components || find_selected(recovering, component) != NULL;
}

const char *hf_recovery_because(const struct hf_recovering *recovering, const char *component)
{
    const struct hf_selected *selected = find_selected(recovering, component);
    return selected ? selected->because : NULL;
}

static const struct hf_selected *find_selected(const struct hf_recovering *recovering, const char *component)
{
    const struct hf_selected key = {component, NULL};
    if (!recovering->selected_count)
        return NULL;
    return bsearch(&key, recovering->selected, (size_t)recovering->selected_count, sizeof(key), compare_selected);
}

static int compare_selected(const void *a, const void *b)
{
    const struct hf_selected *one = a, *other = b;
    return strcmp(one->name, other->name);
}

bool hf_recovery_check_selection(const struct hf_recovering *recovering, struct hf_error *err)
{
    const struct hf_recovery_request *request = recovering->request;
    const struct hf_plan *plan = &recovering->plan;
    for (int i = 0; i < request->component_count; i++) {
        const char *name = request->components[i];
        bool there;
        if (recovering->past) {
            const struct hf_past_entry *entry = hf_past_find(recovering->past, name);
            there = entry && entry->version > 0;
        } else {
            int index = find_present(plan->present, plan->present_count, name);
            there = index >= 0 && hf_head_is_present(&plan->present[index].head);
        }
        if (!there)
            return hf_error_set(err, HF_NOT_FOUND, "component %s has no state %s", name,
                                recovering->past ? "in what is to be restored" : "in the system");
    }
    return true;
}

void hf_recovery_write_warnings(const struct hf_recovering *recovering, struct hf_buf *out)
{
    const struct hf_plan *plan = &recovering->plan;
    int written = 0;
    for (int i = 0; i < plan->count; i++) {
        const struct hf_plan_item *item = &plan->items[i];
        for (int d = 0; item->wave >= 0 && d < item->registration.depends_on_count; d++) {
            const char *dependency = item->registration.depends_on[d];
            if (written == WARNINGS_MAX || is_there_after(plan, dependency))
                continue;
            hf_buf_add_text(out, written++ ? ",{\"component\":" : "{\"component\":");
            hf_buf_add_json_string(out, item->component, strlen(item->component));
            hf_buf_add_text(out, ",\"dependency\":");
            hf_buf_add_json_string(out, dependency, strlen(dependency));
            hf_buf_add_format(out, ",\"text\":\"%s depends on %s, which will have no state\"}", item->component,
                              dependency);
        }
    }
}

/* What the plan does not touch stays as it is. */
static bool is_there_after(const struct hf_plan *plan, const char *component)
{
    int low = 0, high = plan->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = strcmp(plan->items[middle].component, component);
        if (order == 0)
            return plan->items[middle].wave >= 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    int index = find_present(plan->present, plan->present_count, component);
    return index >= 0 && hf_head_is_present(&plan->present[index].head);
}
