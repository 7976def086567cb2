/* Taking a snapshot. */
#include "client/call.h"
#include "client/problem.h"

#include <string.h>

static bool read_snapshot(const json_t *json, struct holdfast_snapshot *out);

bool holdfast_take_snapshot(struct holdfast *service, const char *kind, const char *label,
                            struct holdfast_snapshot *out, struct holdfast_error *err)
{
    struct holdfast_error unused;
    struct holdfast_snapshot snapshot = {0};
    err = err ? err : &unused;
    if (!kind || (strcmp(kind, "full") != 0 && strcmp(kind, "incremental") != 0))
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "the kind of a snapshot is full or incremental");
    HF_AUTO(json) json_t *body = json_pack("{s:s}", "kind", kind);
    if (label && json_object_set_new(body, "label", json_string(label)) != 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "the label is not in UTF-8");
    HF_AUTO(free) char *text = hf_json_text(body);
    HF_AUTO(free) char *target = hf_call_target(service, "snapshots");
    const struct hf_call call = {
        .request = {.doing = "taking a snapshot",
                    .method = "POST",
                    .target = target,
                    .body = text,
                    .bytes = strlen(text),
                    .content_type = "application/json"},
        .timeout_ms = HF_CALL_AS_LONG_AS_IT_TAKES,
    };
    HF_AUTO(json) json_t *answer = NULL;
    if (!hf_call_send_json(service, &call, &answer, err))
        return false;
    if (!read_snapshot(answer, &snapshot))
        return hf_call_bad_answer(err, call.request.doing, "it is no snapshot");
    if (out)
        *out = snapshot;
    return true;
}

static bool read_snapshot(const json_t *json, struct holdfast_snapshot *out)
{
    out->unchanged = json_is_true(json_object_get(json, "unchanged"));
    return hf_call_get_text(json, "id", out->id, sizeof(out->id)) &&
           hf_call_get_text(json, "kind", out->kind, sizeof(out->kind)) &&
           hf_call_get_text(json, "state", out->state, sizeof(out->state)) &&
           hf_call_get_text(json, "rootHash", out->root_hash, sizeof(out->root_hash)) &&
           hf_call_get_int(json, "sequence", &out->sequence) && hf_call_get_int(json, "components", &out->components) &&
           hf_call_get_int(json, "stateBytes", &out->state_bytes) &&
           hf_call_get_int(json, "fileBytes", &out->file_bytes) &&
           hf_call_get_int(json, "durationMs", &out->duration_ms);
}
