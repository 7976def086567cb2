#include "engine/event_json.h"

#include <string.h>

static void set(json_t *object, const char *name, json_t *value)
{
    HF_ASSERT(json_object_set_new(object, name, value) == 0);
}

json_t *hf_event_json(const struct hf_event_row *row, const char *system)
{
    struct hf_error err;
    json_t *object = json_object();
    const char *data = row->data && *row->data ? row->data : "{}";
    json_t *stored = hf_json_parse(data, strlen(data), &err);
    if (row->id)
        set(object, "id", json_integer(row->id));
    hf_json_set_time(object, "occurredAt", row->at_ms);
    set(object, "severity", json_string(row->severity));
    set(object, "type", json_string(row->type));
    set(object, "system", json_string(system));
    set(object, "text", json_string(row->text));
    set(object, "data", stored ? stored : json_null());
    return object;
}
