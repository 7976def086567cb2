/* How the system is. */
#include "client/call.h"

static bool read_status(const json_t *json, struct holdfast_status *out);

bool holdfast_get_status(struct holdfast *service, struct holdfast_status *out, struct holdfast_error *err)
{
    struct holdfast_error unused, *failure = err ? err : &unused;
    struct hf_error ignored;
    HF_AUTO(free) char *target = hf_call_target(service, "status");
    const struct hf_call call = {
        .request = {.doing = "asking for the status", .method = "GET", .target = target, .accept = "application/json"},
        .repeatable = true,
    };
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    hf_wire_answer_init(&answer);
    if (!hf_call_send(service, &call, &answer, failure))
        return false;
    struct holdfast_status status = {0};
    HF_AUTO(json) json_t *json = hf_json_parse(answer.body.data ? answer.body.data : "", answer.body.bytes, &ignored);
    if (!read_status(json, &status))
        return hf_call_bad_answer(failure, call.request.doing, "it is no status");
    status.json = hf_buf_take(&answer.body, NULL);
    *out = status;
    return true;
}

void holdfast_status_free(struct holdfast_status *status)
{
    if (!status)
        return;
    free(status->json);
    *status = (struct holdfast_status){0};
}

static bool read_status(const json_t *json, struct holdfast_status *out)
{
    const json_t *health = json_object_get(json_object_get(json, "systemHealth"), "overallHealth");
    out->overall_health = json_number_value(health);
    out->warnings = json_array_size(json_object_get(json, "warnings"));
    return json_is_number(health) && hf_call_get_text(json, "status", out->status, sizeof(out->status)) &&
           hf_call_get_int(json, "uptimeSeconds", &out->uptime_seconds) &&
           hf_call_get_int(json, "components", &out->components) &&
           hf_call_get_int(json, "activeAgents", &out->active_agents) &&
           hf_call_get_int(json, "nextFullBackup", &out->next_full_ms) &&
           hf_call_get_int(json, "nextIncrementalBackup", &out->next_incremental_ms) &&
           hf_call_get_int(json_object_get(json, "recoverability"), "exposureMs", &out->exposure_ms);
}
