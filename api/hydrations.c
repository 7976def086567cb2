/* What the components of a restarting system report about a recovery. */
#include "api/api.h"
#include "api/handlers.h"
#include "engine/hydration.h"

#include <string.h>

#define DETAIL_BYTES_MAX 1024
#define DURATION_MS_MAX  INT64_C(315360000000) /* ten years */

static bool read_report(struct hf_request *request, const json_t *body, struct hf_hydration_report *out,
                        struct hf_error *err);
static json_t *receipt_json(const struct hf_hydration_receipt *receipt);

enum hf_verdict hf_api_recovery_report(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    static const char *const fields[] = {"status", "detail", "durationMs", NULL};
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    HF_AUTO(json) json_t *body = hf_api_body_object(request, false, fields, err);
    struct hf_hydration_report report = {.system = request->params[0],
                                         .recovery = request->params[1],
                                         .component = request->params[2],
                                         .detail = "",
                                         .duration_ms = -1};
    struct hf_hydration_receipt receipt;
    if (!body || !read_report(request, body, &report, err) ||
        !hf_hydration_report(engine, &report, &request->arena, &receipt, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = receipt_json(&receipt);
    hf_reply_json(reply, 200, object);
    return HF_DONE;
}

static bool read_report(struct hf_request *request, const json_t *body, struct hf_hydration_report *out,
                        struct hf_error *err)
{
    const char *status = NULL, *detail = NULL;
    if (!hf_json_get_text(body, "status", &status, err) || !hf_json_get_text(body, "detail", &detail, err) ||
        !hf_json_get_int(body, "durationMs", 0, DURATION_MS_MAX, &out->duration_ms, err))
        return false;
    if (!status || (strcmp(status, "restored") != 0 && strcmp(status, "failed") != 0 && strcmp(status, "fresh") != 0))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"status\" must be restored, failed or fresh");
    if (detail && strlen(detail) > DETAIL_BYTES_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"detail\" is longer than %d bytes", DETAIL_BYTES_MAX);
    out->status = hf_arena_strdup(&request->arena, status);
    if (detail)
        out->detail = hf_arena_strdup(&request->arena, detail);
    return true;
}

static json_t *receipt_json(const struct hf_hydration_receipt *receipt)
{
    const struct hf_recovery_component_row *row = &receipt->row;
    json_t *object = json_object();
    hf_api_set_text(object, "component", row->component);
    hf_api_set_int(object, "wave", row->wave);
    hf_api_set_text(object, "status", row->status);
    hf_api_set_text(object, "detail", row->detail);
    hf_api_set(object, "durationMs", row->duration_ms < 0 ? json_null() : json_integer(row->duration_ms));
    hf_json_set_time(object, "reportedAt", row->reported_at_ms);
    hf_api_set_text(object, "recoveryStatus", receipt->recovery_status);
    return object;
}
