#include "core/json_merge.h"

static bool merge_member(json_t *result, const char *name, const json_t *patch);

json_t *hf_json_merge(const json_t *document, const json_t *patch)
{
    if (!json_is_object(patch))
        return json_incref((json_t *)patch);
    json_t *result = json_is_object(document) ? json_copy((json_t *)document) : json_object();
    const char *name;
    json_t *value;
    bool ok = result != NULL;
    json_object_foreach((json_t *)patch, name, value)
    {
        ok = ok && merge_member(result, name, value);
    }
    if (ok)
        return result;
    json_decref(result);
    return NULL;
}

static bool merge_member(json_t *result, const char *name, const json_t *patch)
{
    if (json_is_null(patch)) {
        json_object_del(result, name); /* not there: nothing to remove */
        return true;
    }
    json_t *merged = hf_json_merge(json_object_get(result, name), patch);
    return merged && json_object_set_new(result, name, merged) == 0;
}
