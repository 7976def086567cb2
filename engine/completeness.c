#include "engine/completeness.h"

#include "core/auto.h"
#include "core/json.h"
#include "engine/catalog_write.h"
#include "engine/events.h"

#include <string.h>

static const json_t *follow_pointer(const json_t *value, const char *pointer);
static struct hf_component *find_judged(struct hf_catalog *catalog, int64_t system_id, const char *component,
                                        int64_t sequence, const char *required_pointers_json,
                                        const struct hf_system **system_out);

void hf_completeness_judge(const struct hf_blob *state, const char *required_pointers_json, char lack[HF_LACK_BYTES])
{
    struct hf_error err;
    HF_AUTO(json) json_t *value = hf_json_parse(state->data, state->bytes, &err);
    lack[0] = '\0';
    if (!value) {
        snprintf(lack, HF_LACK_BYTES, "is not valid JSON: %.200s", err.text);
        return;
    }
    HF_AUTO(json) json_t *pointers = hf_json_parse(required_pointers_json, strlen(required_pointers_json), &err);
    for (size_t i = 0; i < json_array_size(pointers) && !lack[0]; i++) {
        const char *pointer = json_string_value(json_array_get(pointers, i));
        if (pointer && !follow_pointer(value, pointer))
            snprintf(lack, HF_LACK_BYTES, "has no %.200s", pointer);
    }
}

/* RFC 6901. */
static const json_t *follow_pointer(const json_t *value, const char *pointer)
{
    while (value && *pointer == '/') {
        char token[256];
        size_t length = 0;
        for (pointer++; *pointer && *pointer != '/'; pointer++) {
            char c = *pointer;
            if (c == '~' && (pointer[1] == '0' || pointer[1] == '1'))
                c = *++pointer == '0' ? '~' : '/';
            if (length + 1 < sizeof(token))
                token[length++] = c;
        }
        token[length] = '\0';
        if (json_is_object(value)) {
            value = json_object_get(value, token);
        } else if (json_is_array(value)) {
            char *end = token;
            unsigned long long index = strtoull(token, &end, 10);
            value = length && !*end && token[0] != '-' ? json_array_get(value, (size_t)index) : NULL;
        } else {
            value = NULL;
        }
    }
    return *pointer == '\0' ? value : NULL;
}

/* Under the catalogue's lock: the component, if these are its present state and registration. */
static struct hf_component *find_judged(struct hf_catalog *catalog, int64_t system_id, const char *component,
                                        int64_t sequence, const char *required_pointers_json,
                                        const struct hf_system **system_out)
{
    const struct hf_system *system = hf_catalog_system_by_id_locked(catalog, system_id);
    struct hf_component *found = system ? hf_catalog_find_component_locked(system, component) : NULL;
    bool same = found && found->registration && hf_head_is_present(&found->head) && found->head.sequence == sequence &&
                strcmp(found->registration->required_pointers_json, required_pointers_json) == 0;
    *system_out = system;
    return same ? found : NULL;
}

bool hf_completeness_recall(struct hf_catalog *catalog, int64_t system_id, const char *component, int64_t sequence,
                            const char *required_pointers_json, char lack[HF_LACK_BYTES])
{
    const struct hf_system *system;
    hf_catalog_lock(catalog);
    const struct hf_component *found =
        find_judged(catalog, system_id, component, sequence, required_pointers_json, &system);
    bool known = found && found->judged_sequence == sequence;
    if (known)
        snprintf(lack, HF_LACK_BYTES, "%s", found->lack ? found->lack : "");
    hf_catalog_unlock(catalog);
    return known;
}

void hf_completeness_record(struct hf_engine *engine, int64_t system_id, const char *component, int64_t sequence,
                            const char *required_pointers_json, const char *lack)
{
    const struct hf_system *system;
    char system_name[HF_NAME_MAX + 4] = "";
    hf_catalog_lock(engine->catalog);
    struct hf_component *found =
        find_judged(engine->catalog, system_id, component, sequence, required_pointers_json, &system);
    bool was_complete = !found || !found->lack;
    if (found) {
        snprintf(system_name, sizeof(system_name), "%s", system->name);
        free(found->lack);
        found->lack = lack[0] ? hf_strdup(lack) : NULL;
        found->judged_sequence = sequence;
    }
    hf_catalog_unlock(engine->catalog);
    if (!found || was_complete == !lack[0])
        return;
    HF_AUTO(free) char *data = hf_format("{\"component\":\"%s\"}", component);
    if (lack[0])
        hf_event_emit(engine, system_id, system_name, HF_EV_COMPONENT_INVALID, data, "the state of component %s %s",
                      component, lack);
    else
        hf_event_emit(engine, system_id, system_name, HF_EV_COMPONENT_RECOVERED, data,
                      "the state of component %s is complete again", component);
}
