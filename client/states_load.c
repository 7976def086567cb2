/* Loading: a state with its digest, present or past. */
#include "client/call.h"
#include "client/problem.h"
#include "core/clock.h"
#include "core/digest.h"

#include <string.h>

static char *query_of(const struct holdfast_when *when, struct holdfast_error *err);
static bool matches_digest(const char *repr_digest, const struct hf_hash *hash);

bool holdfast_load(struct holdfast *service, const char *component, const struct holdfast_when *when,
                   struct holdfast_state *out, struct holdfast_error *err)
{
    struct holdfast_error unused;
    struct hf_hash hash;
    err = err ? err : &unused;
    HF_AUTO(free) char *query = query_of(when, err);
    if (!query || !hf_problem_check_name("component", component, err))
        return false;
    HF_AUTO(free) char *doing = hf_format("loading %s", component);
    HF_AUTO(free) char *target = hf_call_target(service, "components/%s/state%s", component, query);
    const struct hf_call call = {
        .request = {.doing = doing, .method = "GET", .target = target, .answer_bytes_max = service->state_bytes_max},
        .repeatable = true,
    };
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    hf_wire_answer_init(&answer);
    if (!hf_call_send(service, &call, &answer, err))
        return false;
    hf_hash_of(answer.body.data ? answer.body.data : "", answer.body.bytes, &hash);
    if (answer.status != 200 || answer.version == 0)
        return hf_call_bad_answer(err, doing, "it is no state");
    if (!matches_digest(answer.repr_digest, &hash))
        return hf_problem_set(err, HF_PROBLEM_BAD_ANSWER, true, "%s: the bytes that came do not match their digest",
                              doing);
    struct holdfast_state state = {.version = answer.version, .sequence = answer.sequence, .epoch = answer.epoch};
    memcpy(state.content_type, answer.content_type, sizeof(state.content_type));
    memcpy(state.etag, answer.etag, sizeof(state.etag));
    hf_hash_label(&hash, state.hash);
    state.data = hf_buf_take(&answer.body, &state.bytes);
    *out = state;
    return true;
}

void holdfast_state_free(struct holdfast_state *state)
{
    if (!state)
        return;
    free(state->data);
    *state = (struct holdfast_state){0};
}

/* Owns; NULL: refused. */
static char *query_of(const struct holdfast_when *when, struct holdfast_error *err)
{
    static const struct holdfast_when now;
    int64_t at_ms;
    when = when ? when : &now;
    if ((when->version != 0) + (when->at != NULL) + (when->snapshot != NULL) > 1 || when->version < 0) {
        hf_problem_set(err, HF_PROBLEM_INVALID, false, "give one of version, at and snapshot");
        return NULL;
    }
    if (when->at && !hf_time_parse(when->at, &at_ms)) {
        hf_problem_set(err, HF_PROBLEM_INVALID, false, "\"%.60s\" is no time like 2026-11-23T01:30:00Z", when->at);
        return NULL;
    }
    if (when->version)
        return hf_format("?version=%lld", (long long)when->version);
    HF_AUTO(free) char *escaped = hf_call_escape(when->at ? when->at : when->snapshot ? when->snapshot : "");
    return when->at         ? hf_format("?at=%s", escaped)
           : when->snapshot ? hf_format("?snapshot=%s", escaped)
                            : hf_strdup("");
}

/* One of the digests may be of another algorithm (RFC 9530). */
static bool matches_digest(const char *repr_digest, const struct hf_hash *hash)
{
    static const char name[] = "sha-256=:";
    char text[4 * ((HF_HASH_BYTES + 2) / 3) + 1];
    size_t length = hf_base64_encode(hash->bytes, HF_HASH_BYTES, text);
    const char *digest = strstr(repr_digest, name);
    return digest && strncmp(digest + strlen(name), text, length) == 0 && digest[strlen(name) + length] == ':';
}
