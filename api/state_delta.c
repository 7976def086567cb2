#include "api/state_delta.h"

#include "api/api.h"
#include "api/conditions.h"
#include "api/handlers.h"
#include "api/states.h"
#include "api/upload.h"
#include "core/delta.h"

#include <string.h>

static bool check_result(const struct hf_buf *result, const struct hf_state *state, const struct hf_hash *wanted,
                         struct hf_error *err);

enum hf_verdict hf_api_state_signature(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    const struct hf_moment latest = {.kind = HF_MOMENT_LATEST};
    struct hf_state state = {0};
    if (!engine || !hf_state_read(engine, request->params[0], request->params[1], &latest, &state, err))
        return HF_FAIL;
    HF_AUTO(blob) struct hf_blob *body = state.body;
    enum hf_read_condition condition;
    char etag[HF_ETAG_BYTES];
    hf_etag_format(&state.head, etag);
    if (!hf_condition_for_read(request, &state.head, &condition, err))
        return HF_FAIL;
    if (condition == HF_READ_FAILED)
        return hf_state_refuse_condition(request, etag, err);
    hf_state_set_headers(request, reply, &state.head, state.epoch, etag);
    reply->status = condition == HF_READ_NOT_MODIFIED ? 304 : 200;
    if (condition == HF_READ_NOT_MODIFIED)
        return HF_DONE;
    reply->content_type = HF_SIGNATURE_TYPE;
    return hf_delta_sign(body->data, body->bytes, &reply->body, err) ? HF_DONE : HF_FAIL;
}

bool hf_state_delta_read(const struct hf_request *request, struct hf_hash *wanted_out, struct hf_error *err)
{
    const char *match = request->headers[HF_H_IF_MATCH], *digest = request->headers[HF_H_REPR_DIGEST];
    if (!match || strchr(match, '"') == NULL)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "a delta fits one state alone: name that by its ETag in the header If-Match");
    if (!digest)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "header Repr-Digest is missing: sha-256=:BASE64: of what the delta makes of the state");
    return hf_repr_digest_read(digest, wanted_out, err);
}

struct hf_blob *hf_state_delta_apply(struct hf_request *request, const struct hf_state *state,
                                     const struct hf_hash *wanted, struct hf_error *err)
{
    const struct hf_blob *base = state->body, *delta = request->body;
    size_t limit = (size_t)request->api->config->state_bytes_max;
    HF_AUTO(buf) struct hf_buf result;
    hf_buf_init(&result, limit);
    if (!hf_delta_apply(base->data, base->bytes, delta ? (const void *)delta->data : "", delta ? delta->bytes : 0,
                        &result, err)) {
        if (err->code == HF_BODY_TOO_LARGE)
            hf_request_problem_member(request, "limit", hf_arena_format(&request->arena, "%zu", limit));
        return NULL;
    }
    if (!check_result(&result, state, wanted, err))
        return NULL;
    struct hf_blob *blob = hf_blob_copy(result.data, result.bytes);
    if (!blob)
        hf_error_set(err, HF_OVERLOADED, "there is not enough memory to apply the delta");
    return blob;
}

static bool check_result(const struct hf_buf *result, const struct hf_state *state, const struct hf_hash *wanted,
                         struct hf_error *err)
{
    const char *data = result->data ? result->data : "";
    struct hf_hash hash;
    hf_hash_of(data, result->bytes, &hash);
    if (!hf_hash_equal(&hash, wanted))
        return hf_error_set(err, HF_DIGEST_MISMATCH,
                            "what the delta makes of the state does not have the SHA-256 that Repr-Digest states; "
                            "nothing was changed: was it made from the signature of this state?");
    if (!hf_content_type_is_json(state->head.content_type))
        return true;
    return hf_json_check(data, result->bytes, err) || hf_error_wrap(err, "what the delta makes of the state");
}
