/* Validations: one on demand, and what the last one found. */
#include "api/api.h"
#include "api/auth.h"
#include "api/handlers.h"
#include "api/validation_json.h"
#include "engine/snapshot.h"
#include "engine/validation_ask.h"

/* A request that waits for its verdict. */
struct asking {
    struct hf_validation_asker asker; /* first */
    struct hf_request *request;
    struct hf_reply *reply;
    const char *snapshot;
    struct hf_error err;
    bool judged;
};

static void answer(struct hf_validation_asker *asker, const struct hf_validation *result, const struct hf_error *err);
static bool finish(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);
static json_t *check_json(const struct hf_validation_check *check);
static json_t *lost_json(const struct hf_lost_component *lost);

enum hf_verdict hf_api_snapshot_validate(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"deep", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, true, fields, err);
    bool deep = true;
    struct hf_system_info system;
    struct hf_snapshot_row row;
    if (!body || !hf_json_get_bool(body, "deep", &deep, err) ||
        !hf_api_read_system(engine, request->params[0], &system, err) ||
        !hf_snapshot_find(engine, system.name, request->params[1], &request->arena, &row, err))
        return HF_FAIL;
    struct asking *asking = hf_arena_alloc(&request->arena, sizeof(*asking));
    *asking = (struct asking){.asker = {.tell = answer}, .request = request, .reply = reply, .snapshot = row.id};
    request->work = asking;
    request->finish = finish;
    /* From here on the request may be gone at any moment. */
    return hf_validation_ask(engine, system.name, row.id, deep, &asking->asker, err) ? HF_LATER : HF_FAIL;
}

bool hf_api_add_latest_validation(struct hf_request *request, struct hf_engine *engine, const char *system,
                                  const struct hf_snapshot_row *row, json_t *validation, struct hf_error *err)
{
    if (row->quality_score < 0) { /* not examined, whatever was found before it was called what it is now */
        hf_api_set(validation, "checks", json_null());
        hf_api_set(validation, "lost", json_null());
        hf_api_set(validation, "lostAll", json_null());
        return true;
    }
    struct hf_validation latest = {0};
    bool found = false;
    if (!hf_validation_latest(engine, system, row->id, &request->arena, &latest, &found, err))
        return false;
    hf_api_add_findings(request, validation, &latest);
    return true;
}

void hf_api_add_findings(struct hf_request *request, json_t *object, const struct hf_validation *validation)
{
    json_t *checks = json_array(), *lost = json_array();
    for (int i = 0; i < validation->check_count; i++)
        json_array_append_new(checks, check_json(&validation->checks[i]));
    for (int64_t i = 0; i < validation->lost_count; i++) {
        if (hf_auth_component_allowed(request->principal, validation->lost[i].component))
            json_array_append_new(lost, lost_json(&validation->lost[i]));
    }
    hf_api_set(object, "checks", checks);
    hf_api_set(object, "lost", lost);
    hf_api_set(object, "lostAll", json_boolean(validation->lost_all));
}

static void answer(struct hf_validation_asker *asker, const struct hf_validation *result, const struct hf_error *err)
{
    struct asking *asking = (struct asking *)(void *)asker;
    struct hf_request *request = asking->request;
    asking->judged = result != NULL;
    if (result) {
        HF_AUTO(json) json_t *object = json_object();
        hf_api_set_text(object, "snapshot", asking->snapshot);
        hf_api_set_text(object, "status", result->status);
        hf_json_set_time(object, "checkedAt", result->checked_at_ms);
        hf_api_set(object, "qualityScore", json_real(result->quality_score));
        hf_api_add_findings(request, object, result);
        hf_api_set_int(object, "contentsHealed", result->contents_healed);
        hf_api_set_int(object, "blobsChecked", result->blobs_checked);
        hf_api_set_int(object, "bytesChecked", result->bytes_checked);
        hf_api_set_int(object, "durationMs", result->duration_ms);
        hf_reply_json(asking->reply, 200, object);
    } else {
        asking->err = *err;
    }
    hf_request_complete(request);
}

static bool finish(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    const struct asking *asking = request->work;
    (void)reply; /* filled already */
    if (!asking->judged)
        *err = asking->err;
    return asking->judged;
}

static json_t *check_json(const struct hf_validation_check *check)
{
    json_t *object = json_object();
    hf_api_set_text(object, "name", check->name);
    hf_api_set_text(object, "status", check->status);
    hf_api_set_text(object, "detail", check->detail);
    hf_api_set(object, "score", json_real(check->score));
    return object;
}

static json_t *lost_json(const struct hf_lost_component *lost)
{
    json_t *object = json_object();
    hf_api_set_text(object, "component", lost->component);
    hf_api_set_int(object, "version", lost->version);
    hf_api_set_hash(object, "hash", &lost->hash);
    hf_api_set_int(object, "bytes", lost->bytes);
    return object;
}
