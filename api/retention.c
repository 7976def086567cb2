/* Which snapshots the next run of retention keeps, which it deletes, and why. */
#include "engine/retention.h"

#include "api/api.h"
#include "api/handlers.h"

static json_t *item_json(const struct hf_retention_item *item);

enum hf_verdict hf_api_retention_preview(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_system_info system;
    struct hf_retention_item *items = NULL;
    int64_t count = 0, deleted = 0, bytes = 0;
    if (!engine || !hf_api_read_system(engine, request->params[0], &system, err) ||
        !hf_retention_preview(engine, system.name, &request->arena, &items, &count, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = json_object();
    json_t *snapshots = json_array();
    for (int64_t i = 0; i < count; i++) {
        json_array_append_new(snapshots, item_json(&items[i]));
        deleted += !items[i].keep;
        bytes += items[i].keep ? 0 : items[i].row.file_bytes;
    }
    hf_api_set_text(object, "system", system.name);
    hf_api_set_int(object, "maxRetentionHours",
                   system.max_retention_hours >= 0 ? system.max_retention_hours : engine->config->max_retention_hours);
    hf_api_set_int(object, "wouldDelete", deleted);
    hf_api_set_int(object, "wouldFreeBytes", bytes);
    hf_api_set(object, "snapshots", snapshots);
    hf_reply_json(reply, 200, object);
    return HF_DONE;
}

static json_t *item_json(const struct hf_retention_item *item)
{
    json_t *object = json_object();
    hf_api_set_text(object, "id", item->row.id);
    hf_api_set_text(object, "kind", item->row.kind);
    hf_api_set_text(object, "generation", item->row.generation);
    hf_json_set_time(object, "cutAt", item->row.cut_at_ms);
    hf_api_set_int(object, "fileBytes", item->row.file_bytes);
    hf_api_set_text(object, "decision", item->keep ? "keep" : "delete");
    hf_api_set_text(object, "reason", item->reason);
    return object;
}
